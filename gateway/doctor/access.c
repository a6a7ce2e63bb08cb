/*
 * Who may read secrets, change rules or enter data_dir, and whether the gateway itself may.
 */
#include "doctor.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- headgate.conf ---- */

/* Whether a line of the text gives a password itself, not the name of a file or variable. */
static bool
has_secret(struct bytes text)
{
    struct bytes rest = text, line, name = BYTES("broker_password");
    while (bytes_split(&rest, '\n', &line)) {
        line = bytes_trim(line);
        struct bytes value = bytes_trim(bytes_slice(line, name.size, line.size));
        if (bytes_starts_with(line, name) && value.size > 0 &&
            !bytes_starts_with(value, BYTES("file:")) && !bytes_starts_with(value, BYTES("env:"))) {
            return true;
        }
    }
    return false;
}

/* The file that broker_password names in the text; empty: none. */
static struct bytes
secret_file(struct bytes text)
{
    struct bytes rest = text, line, name = BYTES("broker_password");
    while (bytes_split(&rest, '\n', &line)) {
        line = bytes_trim(line);
        struct bytes value = bytes_trim(bytes_slice(line, name.size, line.size));
        if (bytes_starts_with(line, name) && bytes_starts_with(value, BYTES("file:"))) {
            return bytes_slice(value, strlen("file:"), value.size);
        }
    }
    return (struct bytes){0};
}

static void
look_at_secret_file(const struct doctor_case *subject, struct report *report, struct bytes text)
{
    char *path = bytes_to_string(secret_file(text));
    struct stat status;
    if (path[0] != '\0' && doctor_stat(subject->world, path, &status) &&
        (status.st_mode & S_IRWXO) != 0) {
        report_add(report, FINDING_WARNING, "everybody on this machine may read the password in "
                   "'%s'", path);
        report_why(report, "who has it can take the gateway's session, with all that waits in it");
        report_fix(report, "run: sudo chmod o= '%s' (under systemd use LoadCredential=)", path);
    }
    free(path);
}

static void
look_at_config(const struct doctor_case *subject, struct report *report)
{
    struct buf text = {0};
    struct stat status;
    const char *path = subject->config_path;
    if (!doctor_stat(subject->world, path, &status)) {
        report_fact(report, "'%s' is not there: all options have their defaults", path);
        return;
    }
    if ((status.st_mode & S_IWOTH) != 0) {
        report_add(report, FINDING_ERROR, "everybody on this machine may change '%s'", path);
        report_why(report, "who can change it can send all messages elsewhere, or let them be "
                   "dropped");
        report_fix(report, "run: sudo chmod o-w '%s'", path);
    }
    if (doctor_read(subject->world, path, &text)) {
        if (has_secret(buf_bytes(&text)) && (status.st_mode & S_IROTH) != 0) {
            report_add(report, FINDING_ERROR, "everybody on this machine may read the password in "
                       "'%s'", path);
            report_why(report, "who has it can take the gateway's session, with all that waits in "
                       "it");
            report_fix(report, "write the password to a file of its own (mode 600), and "
                       "'broker_password file:PATH' in %s; under systemd use LoadCredential=",
                       path);
        }
        look_at_secret_file(subject, report, buf_bytes(&text));
    }
    if (text.size > 0) {
        explicit_bzero(text.data, text.size);
    }
    buf_fini(&text);
}

static void
look_at_rule_secrets(const struct doctor_case *subject, struct report *report)
{
    for (size_t i = 0; i < subject->secret_count; i++) {
        const struct doctor_secret *secret = &subject->secrets[i];
        struct stat status;
        if (doctor_stat(subject->world, secret->path, &status) && (status.st_mode & S_IROTH) != 0) {
            report_add(report, FINDING_ERROR, "%s: everybody on this machine may read its password "
                       "in '%s'", secret->owner, secret->path);
            report_why(report, "who has it can send to the same place, or read what was sent");
            report_fix(report, "write it to a file of its own (mode 600), and 'file:PATH' in the "
                       "rule; under systemd use LoadCredential=");
        }
    }
}

/* ---- folders ---- */

static void
look_at_sources(const struct doctor_case *subject, struct report *report, const char *option,
                const char *path)
{
    struct stat status;
    if (doctor_stat(subject->world, path, &status) && (status.st_mode & S_IWOTH) != 0) {
        report_add(report, FINDING_ERROR, "everybody on this machine may write to %s '%s'", option,
                   path);
        report_why(report, "what is written there runs with the gateway's rights and sees every "
                   "message");
        report_fix(report, "run: sudo chmod o-w '%s'", path);
    }
}

/* The user of the running gateway; without one, who asks. */
static int64_t
user_of_gateway(const struct doctor_case *subject)
{
    struct buf path = {0}, text = {0};
    int64_t uid = subject->world->uid;
    buf_printf(&path, "/proc/%" PRId64 "/status", (int64_t)subject->gateway.pid);
    if (subject->gateway.runs) {
        uid = doctor_read(subject->world, buf_string(&path), &text)
                      ? doctor_field(buf_bytes(&text), "Uid")
                      : -1;
    }
    buf_fini(&path);
    buf_fini(&text);
    return uid;
}

static void
look_at_data(const struct doctor_case *subject, struct report *report)
{
    const char *path = subject->config->data_dir;
    struct stat status;
    if (!doctor_stat(subject->world, path, &status)) {
        return;
    }
    int64_t uid = user_of_gateway(subject);
    if ((status.st_mode & S_IRWXO) != 0) {
        report_add(report, FINDING_WARNING, "everybody on this machine may enter data_dir '%s'",
                   path);
        report_why(report, "every message can be read there, and 'headgate dlq drop' over the "
                   "control socket throws records away");
        report_fix(report, "run: sudo chmod 700 '%s'", path);
    }
    if (uid > 0 && (uid_t)uid != status.st_uid) {
        report_add(report, FINDING_ERROR, "data_dir '%s' belongs to user %u, the gateway is user %"
                   PRId64, path, (unsigned)status.st_uid, uid);
        report_why(report, "what it cannot write it cannot keep: nothing is acknowledged, the "
                   "broker queues and then drops");
        report_fix(report, "run: sudo chown -R %" PRId64 " '%s'", uid, path);
    }
}

static void
look_at_socket(const struct doctor_case *subject, struct report *report)
{
    struct buf path = {0};
    struct stat status;
    buf_printf(&path, "%s/control.sock", subject->config->data_dir);
    if (subject->gateway.runs) {
        report_fact(report, "a gateway answers");
    } else if (doctor_stat(subject->world, buf_string(&path), &status)) {
        report_add(report, FINDING_WARNING, "no gateway answers at '%s'", buf_string(&path));
        report_why(report, "it was killed, hangs, or does not let you ask: messages may be waiting "
                   "in the broker, which drops them at its limit");
        report_fix(report, "run: systemctl status headgate; sudo headgate status");
    } else {
        report_fact(report, "no gateway runs with '%s'", subject->config->data_dir);
    }
    buf_fini(&path);
}

void
doctor_access(const struct doctor_case *subject, struct report *report)
{
    report_area(report, "access");
    look_at_socket(subject, report);
    look_at_config(subject, report);
    look_at_rule_secrets(subject, report);
    look_at_sources(subject, report, "rules_dir", subject->config->rules_dir);
    look_at_sources(subject, report, "handlers_dir", subject->config->handlers_dir);
    look_at_data(subject, report);
}
