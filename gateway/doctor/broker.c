/*
 * The broker's settings that lose messages, which it has acknowledged to devices, before they
 * reach the gateway. Only a mosquitto on this machine can be looked at.
 *
 * Sources: mosquitto.conf(5) and src/conf.c of mosquitto 2.0.11. What its releases do wrong is in
 * broker_release.c.
 */
#include "broker_release.h"

#include "mosquitto.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static const char USUAL_CONFIG[] = "/etc/mosquitto/mosquitto.conf";

enum {
    QUEUE_DEFAULT = 1000,
    QUEUE_PLENTY = 1000000,
    QUEUE_QOS0_MIN = 100000,
    QUEUE_HOLDS_MIN_S = 3600,
    QUEUE_HOLDS_WELL_S = 86400,
    RATE_MIN_S = 10, /* a gateway that runs for less has no rate */
    AUTOSAVE_DEFAULT_S = 1800,
    AUTOSAVE_GOOD_S = 60,
    AUTOSAVE_BAD_S = 300,
    AUTOSAVE_CHANGES_MAX = 1000,
    AUTOSAVE_CHANGES_MIN = 100,
    INFLIGHT_DEFAULT = 20,
    INFLIGHT_ALWAYS_MIN = 100,
    TOPIC_ROOM_BYTES = 65536,
};

struct broker {
    const struct doctor_case *subject;
    struct report *report;
    struct mosquitto_config config;
    struct mosquitto_release release;
    const char *path;
};

/* Messages per second that the gateway gets; 0: not known. */
static double
rate_of(const struct doctor_gateway *gateway)
{
    bool is_known = gateway->runs && gateway->uptime_s >= RATE_MIN_S;
    return is_known ? (double)gateway->received / (double)gateway->uptime_s : 0;
}

/* The fix of the newest finding: the line to change, or the file to which to add one. */
static void
fix_line(struct broker *broker, const char *name, const char *value)
{
    const struct mosquitto_line *line = mosquitto_find(&broker->config, name);
    if (line == NULL) {
        report_fix(broker->report, "add the line '%s %s' to %s, and restart mosquitto", name, value,
                   broker->subject->broker_config == NULL ? "/etc/mosquitto/conf.d/headgate.conf"
                                                          : broker->path);
    } else {
        report_fix(broker->report, "change line %u of %.*s to '%s %s', and restart mosquitto",
                   line->number, BYTES_ARG(line->file), name, value);
    }
}

static const char *
or_default(const struct broker *broker, const char *name)
{
    return mosquitto_find(&broker->config, name) == NULL ? ", the default" : "";
}

/* ---- the queue for an absent gateway ---- */

/* Seconds until the queue is full at the rate of now; 0: no rate is known, or no limit. */
static double
queue_holds_s(const struct broker *broker, int64_t messages, int64_t bytes)
{
    const struct doctor_gateway *gateway = &broker->subject->gateway;
    double rate = rate_of(gateway), holds = 0;
    if (rate <= 0) {
        return 0;
    }
    if (messages > 0) {
        holds = (double)messages / rate;
    }
    double bytes_rate = (double)gateway->received_bytes / (double)gateway->uptime_s;
    if (bytes > 0 && bytes_rate > 0 && (holds <= 0 || (double)bytes / bytes_rate < holds)) {
        holds = (double)bytes / bytes_rate;
    }
    return holds;
}

static void
append_limits(struct buf *out, int64_t messages, int64_t bytes)
{
    if (messages > 0) {
        buf_append_count(out, (uint64_t)messages, "message");
    }
    if (messages > 0 && bytes > 0) {
        buf_append_string(out, " or ");
    }
    if (bytes > 0) {
        doctor_append_size(out, (double)bytes);
    }
}

static void
add_short_queue(struct broker *broker, int64_t messages, int64_t bytes, double holds)
{
    bool is_error = (messages > 0 && messages <= QUEUE_DEFAULT) ||
                    (holds > 0 && holds < QUEUE_HOLDS_MIN_S / 10.0);
    bool is_bytes = messages == 0 || messages > QUEUE_DEFAULT * 100;
    struct buf text = {0}, value = {0};
    append_limits(&text, messages, bytes);
    buf_printf(&text, " wait%s for the gateway while it is away%s", messages == 1 ? "s" : "",
               or_default(broker, "max_queued_messages"));
    if (holds > 0) {
        buf_printf(&text, ": at %.1f messages/s, as now, that is ",
                   rate_of(&broker->subject->gateway));
        doctor_append_time(&text, holds);
    }
    report_add(broker->report, is_error ? FINDING_ERROR : FINDING_WARNING, "%s", buf_string(&text));
    report_why(broker->report, "the broker drops what comes beyond that without a word, though the "
                               "device was told that it arrived");
    buf_printf(&value, "%d", QUEUE_PLENTY);
    if (is_bytes) {
        double wanted = holds > 0 ? (double)bytes / holds * QUEUE_HOLDS_WELL_S
                                  : 4.0 * (double)bytes;
        buf_clear(&value);
        buf_printf(&value, "%.0f", wanted);
    }
    fix_line(broker, is_bytes ? "max_queued_bytes" : "max_queued_messages", buf_string(&value));
    buf_fini(&text);
    buf_fini(&value);
}

static void
look_at_queue(struct broker *broker)
{
    int64_t messages = mosquitto_number(&broker->config, "max_queued_messages", QUEUE_DEFAULT);
    int64_t bytes = mosquitto_number(&broker->config, "max_queued_bytes", 0);
    double holds = queue_holds_s(broker, messages, bytes);
    struct buf text = {0};
    append_limits(&text, messages, bytes);
    if (messages == 0 && bytes == 0) {
        report_add(broker->report, FINDING_WARNING, "nothing limits what the broker queues for the "
                                                    "gateway while it is away");
        report_why(broker->report, "it is kept in memory: after days the broker is killed, and "
                   "with it goes what it has not saved");
        fix_line(broker, "max_queued_bytes", "64000000");
    } else if ((messages > 0 && messages <= QUEUE_DEFAULT && holds < QUEUE_HOLDS_WELL_S) ||
               (holds > 0 && holds < QUEUE_HOLDS_MIN_S)) {
        add_short_queue(broker, messages, bytes, holds);
    } else {
        report_fact(broker->report, "%s may wait for the gateway", buf_string(&text));
    }
    if (mosquitto_flag(&broker->config, "queue_qos0_messages", false) && messages > 0 &&
        messages < QUEUE_QOS0_MIN) {
        report_add(broker->report, FINDING_WARNING,
                   "messages of QoS 0 take places in the queue of %" PRId64 " messages", messages);
        report_why(broker->report, "a flood of them while the gateway is away displaces messages "
                   "of QoS 1, which the broker has acknowledged");
        fix_line(broker, "queue_qos0_messages", "false");
    }
    buf_fini(&text);
}

/* ---- what a restart of the broker takes ---- */

static void
look_at_place(struct broker *broker)
{
    const struct mosquitto_line *line = mosquitto_find(&broker->config, "persistence_location");
    struct stat status;
    if (line == NULL || line->value.size == 0) {
        report_add(broker->report, FINDING_WARNING,
                   "no persistence_location says where the broker saves its queues");
        report_why(broker->report, "it saves to the folder in which it was started; started from "
                                   "another one it finds no queue and no session of the gateway");
        fix_line(broker, "persistence_location", "/var/lib/mosquitto/");
        return;
    }
    char *place = bytes_to_string(line->value);
    struct arena arena = {0};
    struct doctor_mount mount;
    if (!doctor_stat(broker->subject->world, place, &status) && errno == ENOENT) {
        report_add(broker->report, FINDING_ERROR, "persistence_location '%s' does not exist",
                   place);
        report_why(broker->report, "the broker cannot save its queues; its next restart loses "
                   "them, and the gateway's session");
        report_fix(broker->report, "run: sudo install -d -o mosquitto -m 700 '%s'", place);
    } else if (doctor_mount_of(broker->subject->world, place, &arena, &mount) &&
               (bytes_equal_string(mount.type, "tmpfs") ||
                bytes_equal_string(mount.type, "ramfs"))) {
        report_add(broker->report, FINDING_ERROR, "persistence_location '%s' is in memory (%.*s)",
                   place, BYTES_ARG(mount.type));
        report_why(broker->report, "what the broker queues, and the gateway's session, are gone "
                   "when the machine restarts or loses power");
        fix_line(broker, "persistence_location", "/var/lib/mosquitto/");
    }
    arena_fini(&arena);
    free(place);
}

static void
add_autosave(struct broker *broker, enum finding_level level, const char *value, const char *what)
{
    report_add(broker->report, level, "%s", what);
    report_why(broker->report, "a broker that is killed or loses power loses all that it queued "
               "since, and new subscriptions with it");
    fix_line(broker, "autosave_interval", value);
}

static void
look_at_saved_changes(struct broker *broker, int64_t changes)
{
    struct buf text = {0};
    buf_printf(&text, "the broker saves its queues at every %" PRId64 ". change", changes);
    if (changes > AUTOSAVE_CHANGES_MAX || changes == 0) {
        buf_printf(&text, "%s, however long that takes", or_default(broker, "autosave_interval"));
        add_autosave(broker, FINDING_WARNING, "500", buf_string(&text));
    } else if (changes < AUTOSAVE_CHANGES_MIN) {
        report_add(broker->report, FINDING_WARNING, "%s", buf_string(&text));
        report_why(broker->report, "each time it writes the whole queue anew: a long one, while "
                   "the gateway is away, wears out a card and blocks the broker");
        report_fix(broker->report, "set 'autosave_on_changes false' and 'autosave_interval 10' in "
                   "%s", broker->path);
    } else {
        report_fact(broker->report, "%s", buf_string(&text));
    }
    buf_fini(&text);
}

static void
look_at_autosave(struct broker *broker)
{
    int64_t interval = mosquitto_number(&broker->config, "autosave_interval", AUTOSAVE_DEFAULT_S);
    struct buf text = {0};
    if (mosquitto_flag(&broker->config, "autosave_on_changes", false)) {
        look_at_saved_changes(broker, interval);
        return;
    }
    if (interval == 0) {
        add_autosave(broker, FINDING_ERROR, "10",
                     "the broker saves its queues only when it is stopped in good order");
    } else {
        buf_append_string(&text, "the broker saves its queues every ");
        doctor_append_time(&text, (double)interval);
        buf_append_string(&text, or_default(broker, "autosave_interval"));
        if (interval > AUTOSAVE_GOOD_S) {
            add_autosave(broker, interval > AUTOSAVE_BAD_S ? FINDING_ERROR : FINDING_WARNING, "10",
                         buf_string(&text));
        } else {
            report_fact(broker->report, "%s", buf_string(&text));
        }
    }
    buf_fini(&text);
}

static void
look_at_persistence(struct broker *broker)
{
    if (mosquitto_flag(&broker->config, "persistence", false)) {
        look_at_place(broker);
        look_at_autosave(broker);
        return;
    }
    report_add(broker->report, FINDING_ERROR,
               "the broker keeps queues and sessions in memory only%s", or_default(broker,
               "persistence"));
    report_why(broker->report, "each restart of the broker loses what waits for the gateway, and "
               "the gateway's subscriptions until it is connected again");
    fix_line(broker, "persistence", "true");
}

/* ---- limits and lifetimes ---- */

static void
look_at_expiry(struct broker *broker)
{
    int64_t expires_s = mosquitto_expiration_s(&broker->config);
    int64_t wanted_s = broker->subject->config->broker_session_expiry / 1000;
    if (expires_s == 0 || expires_s >= wanted_s) {
        return;
    }
    struct buf text = {0}, value = {0};
    buf_append_string(&text, "the broker forgets a client that is away for ");
    doctor_append_time(&text, (double)expires_s);
    buf_append_string(&text, ", the gateway asks for ");
    doctor_append_time(&text, (double)wanted_s);
    report_add(broker->report, FINDING_WARNING, "%s", buf_string(&text));
    report_why(broker->report, "then the session and everything that waits for the gateway are "
               "gone, earlier than broker_session_expiry promises");
    buf_printf(&value, "%" PRId64 "d", (wanted_s + 86399) / 86400);
    fix_line(broker, "persistent_client_expiration", buf_string(&value));
    buf_fini(&text);
    buf_fini(&value);
}

static void
look_at_size(struct broker *broker, const char *name, int64_t fallback)
{
    int64_t limit = mosquitto_number(&broker->config, name, fallback);
    int64_t wanted = broker->subject->config->payload_max;
    bool is_packet = strcmp(name, "max_packet_size") == 0;
    if (limit == 0 || limit >= wanted) {
        return;
    }
    struct buf value = {0};
    report_add(broker->report, FINDING_WARNING, "the broker takes %s of %" PRId64
               " bytes at most (%s), the gateway payloads of %" PRId64 " (payload_max)", is_packet ?
               "packets" : "payloads", limit, name, wanted);
    report_why(broker->report, is_packet ?
               "a device that sends a larger one is disconnected, and its message lost" :
               "a larger message is dropped; a device with MQTT 3.1.1 is told that it arrived");
    buf_printf(&value, "%" PRId64, wanted + TOPIC_ROOM_BYTES);
    fix_line(broker, name, buf_string(&value));
    buf_fini(&value);
}

static void
look_at_inflight(struct broker *broker)
{
    enum { SYNC_ALWAYS = 2 };
    int64_t count = mosquitto_number(&broker->config, "max_inflight_messages", INFLIGHT_DEFAULT);
    bool is_held = broker->subject->config->sync == SYNC_ALWAYS;
    if (count > 0 && ((is_held && count < INFLIGHT_ALWAYS_MIN) || count < INFLIGHT_DEFAULT)) {
        report_add(broker->report, FINDING_WARNING,
                   "no more than %" PRId64 " may be on their way to the gateway at once%s", count,
                   or_default(broker, "max_inflight_messages"));
        report_why(broker->report, is_held ? "with 'sync always' so many share one sync of the "
                   "card; a faster stream fills the broker's queue, which drops" :
                   "a fast stream waits for each round trip and fills the broker's queue, which "
                   "drops what is too much");
        fix_line(broker, "max_inflight_messages", "1000");
    }
}

/* ---- who may come in ---- */

static void
look_at_listeners(struct broker *broker)
{
    bool is_ours = false;
    for (size_t i = 0; i < broker->config.listener_count; i++) {
        const struct mosquitto_listener *listener = &broker->config.listeners[i];
        if (!mosquitto_listens(&broker->config, i)) {
            continue;
        }
        is_ours |= listener->port == broker->subject->broker_port;
        bool is_open = !mosquitto_is_loopback(listener) &&
                       !mosquitto_is_local_only(&broker->config) &&
                       mosquitto_is_anonymous(&broker->config, i);
        if (is_open) {
            report_add(broker->report, FINDING_WARNING,
                       "anybody who reaches port %u may publish and subscribe (allow_anonymous "
                       "true)", listener->port);
            report_why(broker->report, "a stranger can invent readings, fill the queue, or take "
                       "the gateway's session by its client id, with all that waits in it");
            report_fix(broker->report, "run: sudo mosquitto_passwd -c /etc/mosquitto/passwd NAME, "
                       "and set 'allow_anonymous false' and 'password_file /etc/mosquitto/passwd'; "
                       "or let it listen on this machine only: 'listener %u 127.0.0.1'",
                       listener->port);
        }
    }
    if (!is_ours) {
        report_add(broker->report, FINDING_WARNING,
                   "%s has no listener on port %u, where the gateway looks for its broker",
                   broker->path, broker->subject->broker_port);
        report_why(broker->report, "what was found here may be about another broker than the one "
                   "that holds the gateway's messages");
        report_fix(broker->report, "name the configuration that runs: headgate doctor "
                   "--broker-config FILE; or mend the option broker");
    }
}

/* ---- the area ---- */

static bool
is_here(struct bytes host)
{
    return bytes_equal_string(host, "localhost") || bytes_starts_with(host, BYTES("127.")) ||
           bytes_equal_string(host, "::1");
}

static void
add_unread(struct broker *broker, const struct diag_list *diags)
{
    bool is_absent = diags->items[0].os_error == ENOENT;
    report_add(broker->report, FINDING_WARNING, "%.*s", BYTES_ARG(diag_first_error(diags)));
    report_why(broker->report, "whether the broker loses messages before they reach the gateway is "
               "not known");
    report_fix(broker->report, is_absent ?
               "name the file: headgate doctor --broker-config FILE (of a broker in a container: "
               "the one that it is given)" : "run: sudo headgate doctor");
}

static void
add_unread_parts(struct broker *broker, const struct diag_list *diags)
{
    for (size_t i = 0; i < diags->count; i++) {
        report_add(broker->report, FINDING_WARNING, "'%.*s' %.*s",
                   BYTES_ARG(diags->items[i].place.file), BYTES_ARG(diags->items[i].message));
        report_why(broker->report, "its settings may undo what the rest says: the broker may lose "
                                   "messages all the same");
        report_fix(broker->report, "run: sudo headgate doctor; if it is not there, mend the "
                   "include_dir of %s", broker->path);
    }
}

static void
look_at_config(struct broker *broker)
{
    struct diag_list diags = {0};
    const char *root = broker->subject->world->root;
    if (!mosquitto_config_read(&broker->config, root, broker->path, &diags)) {
        add_unread(broker, &diags);
    } else {
        int64_t packet_max = mosquitto_release_at_least(&broker->release, 2, 1, 0) ? 2000000 : 0;
        add_unread_parts(broker, &diags);
        look_at_queue(broker);
        look_at_persistence(broker);
        look_at_expiry(broker);
        look_at_size(broker, "message_size_limit", 0);
        look_at_size(broker, "max_packet_size", packet_max);
        look_at_inflight(broker);
        look_at_listeners(broker);
        mosquitto_release_look(&broker->release, &broker->config, broker->report);
    }
    diag_list_fini(&diags);
}

const char *
doctor_broker_config(const struct doctor_case *subject, bool *is_on_this_machine)
{
    *is_on_this_machine = is_here(subject->broker_host);
    return subject->broker_config == NULL && *is_on_this_machine ? USUAL_CONFIG
                                                                  : subject->broker_config;
}

void
doctor_broker(const struct doctor_case *subject, struct report *report)
{
    bool is_on_this_machine;
    const char *path = doctor_broker_config(subject, &is_on_this_machine);
    struct broker broker = {.subject = subject, .report = report, .path = path};
    report_area(report, "broker");
    if (path == NULL) {
        report_fact(report, "not looked at, because '%.*s' is another machine (there: headgate "
                    "doctor, or --broker-config FILE with a copy of its mosquitto.conf)",
                    BYTES_ARG(subject->broker_host));
        return;
    }
    if (is_on_this_machine) {
        mosquitto_release_find(&broker.release, subject->world);
    }
    look_at_config(&broker);
    mosquitto_config_fini(&broker.config);
}
