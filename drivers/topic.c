/*
 * topic: publishes each record to the broker; the sink behind INSERT INTO 'some/topic'.
 *
 * The connection is a process of its own (publisher_process.c), because Paho may stall or crash.
 * This file is its client: a batch goes over, verdicts come back (publisher.h). What the process
 * cannot answer in time, or takes with it when it dies, is to be sent again: at least once.
 *
 *   DOWN --write, when rested--> UP --died, silent or nonsense--> DOWN (rests 0.1 s to 5 s)
 *
 * Exit code MQTT_EXIT_VERSION asks for MQTT 3.1.1 from then on.
 *
 * Threads: the sink's, which also is the process's parent; health() reads atomics.
 */
#define _GNU_SOURCE
#include "driver.h"

#include "base/child.h"
#include "base/frame.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wire.h"
#include "drivers/mqtt.h"
#include "drivers/publisher.h"
#include "drivers/topic_params.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SEND_TIMEOUT_MS = 2000,
    GRACE_MS = 800,    /* of a goodbye */
    END_GRACE_MS = 200,
    ANSWER_SLACK_MS = 1500, /* beyond the patience that the process was told */
    FIRST_REST_MS = 100,
    REST_MAX_MS = 5000,
    LONG_LIFE_MS = 10000,
};

struct topic_options {
    int64_t qos;
    bool retain;
};

struct topic_sink {
    const struct topic_options *options;
    const struct driver_env *env;
    struct child child; /* pid 0: down */
    struct buf outgoing;
    struct buf incoming;
    uint64_t number; /* of the last batch */
    size_t *sent;    /* indexes of its records; in the batch's arena */
    size_t sent_count;
    int64_t started_us;
    int64_t start_again_us;
    int64_t rest_ms;
    bool is_version_lowered;
    _Atomic uint64_t published; /* read by health */
    _Atomic bool is_up;
    _Atomic bool is_delivering; /* the last batch had no RETRY */
};

static int64_t
now_us(const struct topic_sink *sink)
{
    return sink->env->os->mono_us(sink->env->os);
}

/* ---- the process ---- */

static void
rest(struct topic_sink *sink)
{
    bool lived_long = now_us(sink) - sink->started_us > (int64_t)LONG_LIFE_MS * 1000;
    sink->rest_ms = lived_long || sink->rest_ms == 0 ? FIRST_REST_MS : sink->rest_ms * 2;
    sink->rest_ms = sink->rest_ms > REST_MAX_MS ? REST_MAX_MS : sink->rest_ms;
    sink->start_again_us = now_us(sink) + sink->rest_ms * 1000;
    atomic_store(&sink->is_up, false);
}

static bool
send_config(struct topic_sink *sink, struct diag_list *diags)
{
    struct buf body = {0};
    wire_put_bytes(&body, bytes_of_string(sink->env->name));
    buf_append(&body, sink->env->paths->config_text);
    if (sink->is_version_lowered) {
        buf_append_string(&body, "\nbroker_protocol 3.1.1\n");
    }
    bool sent = frame_send(sink->child.fd, PUBLISHER_CONFIG, buf_bytes(&body), SEND_TIMEOUT_MS,
                           diags);
    explicit_bzero(body.data, body.capacity);
    buf_fini(&body);
    return sent;
}

static bool
start(struct topic_sink *sink, struct diag_list *diags)
{
    static const char *const argv[] = {"headgate", "publisher", NULL};
    sink->started_us = now_us(sink);
    if (!child_spawn(&sink->child, sink->env->paths->executable, argv, NULL, 0, diags)) {
        sink->child = (struct child){.fd = -1};
        rest(sink);
        return false;
    }
    if (!send_config(sink, diags)) {
        child_stop(&sink->child, 0);
        rest(sink);
        return false;
    }
    atomic_store(&sink->is_up, true);
    return true;
}

static void
note_end(struct topic_sink *sink, int status)
{
    struct arena arena = {0};
    struct bytes how = child_describe_status(status, &arena);
    if (WIFEXITED(status) && WEXITSTATUS(status) == MQTT_EXIT_VERSION) {
        sink->is_version_lowered = true;
    } else {
        log_warning("the publisher process ended with %.*s", BYTES_ARG(how));
    }
    arena_fini(&arena);
}

/* After an error on the socket: most likely it is about to end by itself. */
static void
bring_down(struct topic_sink *sink)
{
    int status;
    bool has_ended = child_has_ended(&sink->child, &status);
    for (int waited_ms = 0; !has_ended && waited_ms < END_GRACE_MS; waited_ms += 10) {
        usleep(10000);
        has_ended = child_has_ended(&sink->child, &status);
    }
    if (has_ended) {
        note_end(sink, status);
    }
    child_stop(&sink->child, 0);
    rest(sink);
}

static bool
is_up(struct topic_sink *sink, struct diag_list *diags)
{
    int status;
    if (sink->child.pid != 0 && child_has_ended(&sink->child, &status)) {
        note_end(sink, status);
        child_stop(&sink->child, 0);
        rest(sink);
    }
    if (sink->child.pid != 0) {
        return true;
    }
    int64_t wait_us = sink->start_again_us - now_us(sink);
    if (wait_us > (int64_t)FIRST_REST_MS * 1000) {
        diag_error(diags, DIAG_BUSY, "the publisher process ended; it rests");
        return false;
    }
    if (wait_us > 0) {
        usleep((useconds_t)wait_us);
    }
    return start(sink, diags);
}

/* ---- a batch ---- */

static void
encode_record(struct topic_sink *sink, const struct sink_record *record,
              const struct topic_params *params, struct arena *arena)
{
    struct buf *out = &sink->outgoing;
    struct bytes id = arena_printf(arena, "%.*s:%" PRIu64 ":%" PRIu32, BYTES_ARG(record->stream),
                                   record->id.position, record->id.output);
    wire_put_bytes(out, record->target);
    wire_put_bytes(out, record->payload);
    wire_put_bytes(out, id);
    wire_put_varint(out, record->hops);
    wire_put_u8(out, (uint8_t)(params->qos < 0 ? sink->options->qos : params->qos));
    wire_put_bytes(out, params->headers);
}

/* Reads the parameters of all records; those that cannot be published are rejected here. */
static struct topic_params *
select_records(struct topic_sink *sink, struct batch *batch)
{
    struct topic_params *params = arena_new_array(batch->arena, struct topic_params, batch->count);
    sink->sent = arena_new_array(batch->arena, size_t, batch->count);
    sink->sent_count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct bytes reason;
        if (topic_params_read(batch->records[i].params, batch->arena, &params[i], &reason)) {
            sink->sent[sink->sent_count++] = i;
        } else {
            batch->outcomes[i] = (struct outcome){.verdict = VERDICT_REJECT, .reason = reason};
        }
    }
    return params;
}

static void
encode_batch(struct topic_sink *sink, struct batch *batch, int64_t patience_ms)
{
    struct buf *out = &sink->outgoing;
    const struct topic_params *params = select_records(sink, batch);
    buf_clear(out);
    wire_put_u64(out, ++sink->number);
    wire_put_u32(out, (uint32_t)patience_ms);
    wire_put_u8(out, sink->options->retain);
    wire_put_varint(out, sink->sent_count);
    for (size_t i = 0; i < sink->sent_count; i++) {
        size_t index = sink->sent[i];
        encode_record(sink, &batch->records[index], &params[index], batch->arena);
    }
}

static void
take_verdicts(struct topic_sink *sink, struct wire_reader *reader, struct batch *batch)
{
    bool has_retry = false;
    for (size_t i = 0; i < sink->sent_count && !reader->failed; i++) {
        struct outcome *outcome = &batch->outcomes[sink->sent[i]];
        uint8_t verdict = wire_get_u8(reader);
        struct bytes reason = wire_get_bytes(reader);
        if (reader->failed || verdict > VERDICT_REJECT) {
            return;
        }
        outcome->verdict = (enum verdict)verdict;
        outcome->reason = arena_copy(batch->arena, reason);
        has_retry |= verdict == VERDICT_RETRY;
        atomic_fetch_add(&sink->published, verdict == VERDICT_DONE);
    }
    atomic_store(&sink->is_delivering, !has_retry);
}

/* Waits for the answer to this batch; one to an earlier batch came too late and is passed over. */
static bool
receive_verdicts(struct topic_sink *sink, struct batch *batch, int64_t until_us,
                 struct diag_list *diags)
{
    for (;;) {
        int64_t left_ms = (until_us - now_us(sink)) / 1000;
        struct frame frame;
        if (!frame_receive(sink->child.fd, &sink->incoming, &frame,
                           left_ms < 0 ? 0 : (int)left_ms, diags)) {
            return false;
        }
        struct wire_reader reader = wire_reader(frame.body);
        uint64_t number = wire_get_u64(&reader);
        uint64_t count = wire_get_varint(&reader);
        if (frame.type == PUBLISHER_VERDICTS && number == sink->number &&
            count == sink->sent_count) {
            take_verdicts(sink, &reader, batch);
            return true;
        }
    }
}

static void
retry_undecided(struct batch *batch, struct bytes reason)
{
    struct bytes copy = arena_copy(batch->arena, reason);
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->outcomes[i].verdict == VERDICT_NONE) {
            batch->outcomes[i].verdict = VERDICT_RETRY;
            batch->outcomes[i].reason = copy;
        }
    }
}

static void
topic_write(void *instance, struct batch *batch)
{
    struct topic_sink *sink = instance;
    struct diag_list diags = {0};
    int64_t patience_ms = (batch->deadline_us - now_us(sink)) / 1000;
    patience_ms = patience_ms < 1 ? 1 : patience_ms > INT32_MAX / 2 ? INT32_MAX / 2 : patience_ms;
    if (is_up(sink, &diags)) {
        encode_batch(sink, batch, patience_ms);
        int64_t until_us = now_us(sink) + (patience_ms + ANSWER_SLACK_MS) * 1000;
        if (sink->sent_count == 0) {
            return; /* all are rejected */
        }
        if (!frame_send(sink->child.fd, PUBLISHER_BATCH, buf_bytes(&sink->outgoing),
                        SEND_TIMEOUT_MS, &diags) ||
            !receive_verdicts(sink, batch, until_us, &diags)) {
            bring_down(sink);
        }
    }
    if (diags.errors > 0) {
        atomic_store(&sink->is_delivering, false);
    }
    retry_undecided(batch, diag_first_error(&diags));
    diag_list_fini(&diags);
}

/* ---- the instance ---- */

static bool
topic_open(void **out_instance, const struct driver_env *env, const void *options,
           const struct driver_declaration *declaration, struct diag_list *diags)
{
    struct topic_sink *sink = mem_new(struct topic_sink);
    sink->options = options;
    sink->env = env;
    sink->child.fd = -1;
    sink->is_delivering = true;
    if (!start(sink, diags)) {
        free(sink);
        return false;
    }
    *out_instance = sink;
    return true;
}

static void
topic_close(void *instance)
{
    struct topic_sink *sink = instance;
    if (sink->child.pid != 0) {
        child_stop(&sink->child, GRACE_MS);
    }
    buf_fini(&sink->outgoing);
    buf_fini(&sink->incoming);
    free(sink);
}

static void
topic_health(void *instance, struct health *out)
{
    struct topic_sink *sink = instance;
    bool is_well = atomic_load(&sink->is_up) && atomic_load(&sink->is_delivering);
    out->state = is_well ? HEALTH_OK : HEALTH_WAITING;
    if (is_well) {
        snprintf(out->sentence, sizeof out->sentence, "%" PRIu64 " messages published",
                 atomic_load(&sink->published));
    } else {
        snprintf(out->sentence, sizeof out->sentence, "%s",
                 atomic_load(&sink->is_up) ? "the broker does not take messages"
                                           : "the publisher process is being started again");
    }
}

static const struct option topic_options[] = {
        {.name = "qos", .type = OPTION_INT, .offset = offsetof(struct topic_options, qos),
         .fallback = "1", .min = 0, .max = 1,
         .doc = "Quality of service; with 0 a message counts as delivered once it is sent."},
        {.name = "retain", .type = OPTION_BOOL, .offset = offsetof(struct topic_options, retain),
         .fallback = "false", .doc = "Whether the broker keeps the last message of each topic."},
};

const struct driver driver_topic = {
        .name = "topic",
        .summary = "publishes to the MQTT broker: INSERT INTO 'some/topic'",
        .options = {topic_options, sizeof topic_options / sizeof *topic_options},
        .options_size = sizeof(struct topic_options),
        .limits = {.records_max = 1000, .bytes_max = 1 << 20, .linger_ms = 0, .timeout_ms = 30000},
        .open = topic_open,
        .close = topic_close,
        .write = topic_write,
        .health = topic_health,
};
