/*
 * The certificates and keys that the configuration and the rule files name, read with OpenSSL as
 * the drivers do, and those of the broker's own listeners: an expired or unreadable one is found
 * here, and not in the night in which a connection is made anew.
 */
#include "doctor.h"

#include "mosquitto.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>

enum { DAYS_WARNING = 30, DAY_S = 86400 };

struct look {
    const struct doctor_case *subject;
    struct report *report;
    const struct doctor_credential *credential;
};

/* The file's text; reports why not. */
static bool
read_pem(const struct look *look, const char *what, const char *path, struct buf *out)
{
    if (doctor_read(look->subject->world, path, out)) {
        return true;
    }
    bool is_absent = errno == ENOENT;
    report_add(look->report, is_absent ? FINDING_ERROR : FINDING_WARNING,
               "%s: the %s '%s' cannot be read: %s", look->credential->owner, what, path,
               strerror(errno));
    report_why(look->report, "without it there is no connection: messages wait until a limit is "
               "reached");
    report_fix(look->report, is_absent ? "mend the path, or put the file there"
               : look->credential->is_brokers ? "run: sudo headgate doctor"
               : "run: sudo headgate doctor; the gateway's user must be able to read it too");
    return false;
}

static BIO *
memory_of(const struct buf *text)
{
    check(text->size <= INT32_MAX);
    BIO *bio = BIO_new_mem_buf(text->size == 0 ? "" : text->data, (int)text->size);
    check(bio != NULL);
    return bio;
}

static void
add_unusable(const struct look *look, const char *what, const char *path)
{
    report_add(look->report, FINDING_ERROR, "%s: '%s' is no %s in PEM form",
               look->credential->owner, path, what);
    report_why(look->report, "without it there is no connection: messages wait until a limit is "
               "reached");
    report_fix(look->report, "look at it: openssl %s -in '%s' -noout -text",
               strcmp(what, "key without a passphrase") == 0 ? "pkey" : "x509", path);
}

/* ---- dates ---- */

static bool
has_expired(const struct look *look, const X509 *certificate, int64_t ahead_s)
{
    time_t when = (time_t)(look->subject->world->wall_us / 1000000 + ahead_s);
    return X509_cmp_time(X509_get0_notAfter(certificate), &when) < 0;
}

static int64_t
days_left(const struct look *look, const X509 *certificate)
{
    time_t now = (time_t)(look->subject->world->wall_us / 1000000);
    ASN1_TIME *from = ASN1_TIME_set(NULL, now);
    int days = 0, seconds = 0;
    check(from != NULL);
    if (ASN1_TIME_diff(&days, &seconds, from, X509_get0_notAfter(certificate)) != 1) {
        days = 0;
    }
    ASN1_TIME_free(from);
    return days;
}

static void
look_at_dates(const struct look *look, const char *what, const char *path, const X509 *certificate)
{
    if (!doctor_is_clock_set(look->subject->world)) {
        return; /* nothing can be said, and the clock is a finding already */
    }
    time_t now = (time_t)(look->subject->world->wall_us / 1000000);
    bool is_expired = has_expired(look, certificate, 0);
    if (is_expired || has_expired(look, certificate, (int64_t)DAYS_WARNING * DAY_S)) {
        struct buf days = {0};
        buf_append_count(&days, (uint64_t)llabs(days_left(look, certificate)), "day");
        report_add(look->report, is_expired ? FINDING_ERROR : FINDING_WARNING, is_expired ?
                   "%s: the %s '%s' has expired %s ago" : "%s: the %s '%s' expires in %s",
                   look->credential->owner, what, path, buf_string(&days));
        buf_fini(&days);
        report_why(look->report, "from then on no new connection is made: messages wait until a "
                   "limit is reached");
        report_fix(look->report, "renew it, and put the new one in its place");
    } else if (X509_cmp_time(X509_get0_notBefore(certificate), &now) > 0) {
        report_add(look->report, FINDING_ERROR, "%s: the %s '%s' is not valid yet",
                   look->credential->owner, what, path);
        report_why(look->report, "until then there is no connection: messages wait until a limit "
                   "is reached");
        report_fix(look->report, "is the clock right? run: date; else ask for another certificate");
    }
}

/* ---- files ---- */

/* The first certificate of a file, or NULL; all of them are looked at. */
static X509 *
look_at_certificates(const struct look *look, const char *what, const char *path)
{
    struct buf text = {0};
    X509 *first = NULL, *next;
    if (path == NULL || !read_pem(look, what, path, &text)) {
        return NULL;
    }
    BIO *bio = memory_of(&text);
    while ((next = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        look_at_dates(look, what, path, next);
        if (first == NULL) {
            first = next;
        } else {
            X509_free(next);
        }
    }
    ERR_clear_error(); /* the end of the file is one */
    if (first == NULL) {
        add_unusable(look, "certificate", path);
    }
    BIO_free(bio);
    buf_fini(&text);
    return first;
}

/* A key with a passphrase cannot be used: nobody is there to type it. */
static int
no_passphrase(char *out, int size, int is_writing, void *context)
{
    return -1;
}

static void
look_at_mode(const struct look *look, const char *path)
{
    struct stat status;
    if (doctor_stat(look->subject->world, path, &status) && (status.st_mode & S_IRWXO) != 0) {
        report_add(look->report, FINDING_WARNING,
                   "%s: everybody on this machine may read the key '%s'", look->credential->owner,
                   path);
        report_why(look->report, "who has the key can send as this gateway, and take its session "
                   "with all that waits in it");
        report_fix(look->report, "run: sudo chmod o= '%s' (its group must be the gateway's; under "
                   "systemd use LoadCredential=)", path);
    }
}

static void
look_at_key(const struct look *look, const char *path, const X509 *certificate)
{
    struct buf text = {0};
    if (!read_pem(look, "key", path, &text)) {
        return;
    }
    BIO *bio = memory_of(&text);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    if (key == NULL) {
        add_unusable(look, "key without a passphrase", path);
    } else if (certificate != NULL && X509_check_private_key(certificate, key) != 1) {
        report_add(look->report, FINDING_ERROR,
                   "%s: the key '%s' is not that of the certificate '%s'", look->credential->owner,
                   path, look->credential->certificate);
        report_why(look->report, "there is no connection with the two: messages wait until a limit "
                   "is reached");
        report_fix(look->report, "name the key that the certificate was requested with");
    }
    look_at_mode(look, path);
    ERR_clear_error();
    EVP_PKEY_free(key);
    BIO_free(bio);
    if (text.size > 0) {
        OPENSSL_cleanse(text.data, text.size);
    }
    buf_fini(&text);
}

/* Gives the number of files. */
static size_t
look_at_credential(const struct doctor_case *subject, struct report *report,
                   const struct doctor_credential *credential)
{
    struct look look = {.subject = subject, .report = report, .credential = credential};
    const char *key = credential->key;
    X509_free(look_at_certificates(&look, "authority", credential->ca));
    X509 *certificate = look_at_certificates(&look, "certificate", credential->certificate);
    if (key == NULL) {
        key = credential->certificate; /* the file may hold both */
    }
    if (key != NULL) {
        look_at_key(&look, key, certificate);
    }
    X509_free(certificate);
    return (size_t)(credential->ca != NULL) + (size_t)(credential->certificate != NULL) +
           (size_t)(credential->key != NULL);
}

/* ---- the broker's ---- */

/* NULL where the section does not name one. */
static const char *
path_of(const struct mosquitto_config *config, size_t listener, const char *name,
        struct arena *arena)
{
    const struct mosquitto_line *line = mosquitto_find_of(config, listener, name);
    return line == NULL || line->value.size == 0 ? NULL : arena_copy(arena, line->value).data;
}

static size_t
look_at_listeners(const struct doctor_case *subject, struct report *report,
                  const struct mosquitto_config *config)
{
    size_t files = 0;
    struct arena arena = {0};
    for (size_t i = 0; i < config->listener_count; i++) {
        struct bytes owner = i == 0 ? BYTES("the broker")
                                    : arena_printf(&arena, "the broker's listener %u",
                                                   config->listeners[i].port);
        files += look_at_credential(subject, report, &(struct doctor_credential){
                .owner = owner.data,
                .ca = path_of(config, i, "cafile", &arena),
                .certificate = path_of(config, i, "certfile", &arena),
                .key = path_of(config, i, "keyfile", &arena),
                .is_brokers = true,
        });
    }
    arena_fini(&arena);
    return files;
}

/* A file that cannot be read is a finding of doctor_broker(). */
static size_t
look_at_broker(const struct doctor_case *subject, struct report *report)
{
    bool is_here;
    size_t files = 0;
    const char *path = doctor_broker_config(subject, &is_here);
    struct mosquitto_config config = {0};
    struct diag_list diags = {0};
    if (is_here && mosquitto_config_read(&config, subject->world->root, path, &diags)) {
        files = look_at_listeners(subject, report, &config);
    }
    diag_list_fini(&diags);
    mosquitto_config_fini(&config);
    return files;
}

void
doctor_certificates(const struct doctor_case *subject, struct report *report)
{
    report_area(report, "certificates");
    size_t files = look_at_broker(subject, report);
    for (size_t i = 0; i < subject->credential_count; i++) {
        files += look_at_credential(subject, report, &subject->credentials[i]);
    }
    if (files == 0) {
        report_fact(report, "none is named");
    } else {
        struct buf text = {0};
        buf_append_count(&text, files, "file");
        report_fact(report, "%s, valid for %d days and more", buf_string(&text), DAYS_WARNING);
        buf_fini(&text);
    }
}
