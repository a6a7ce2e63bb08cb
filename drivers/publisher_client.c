/*
 * The sink's end of a publisher process: a batch goes over, verdicts come back (publisher.h).
 *
 * The connection is a process of its own (publisher_process.c), because Paho may stall or crash.
 * What the process cannot answer in time, or takes with it when it dies, is to be sent again: at
 * least once.
 *
 *   DOWN --write, when rested--> UP --died, silent or nonsense--> DOWN (rests 0.1 s to 5 s)
 *
 * Exit code MQTT_EXIT_VERSION asks for MQTT 3.1.1 from then on.
 *
 * Threads: the sink's, which also is the process's parent; health() reads atomics.
 */
#define _GNU_SOURCE
#include "drivers/publisher_client.h"

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

struct publisher_client {
    struct publisher_settings settings;
    const struct driver_env *env;
    struct buf config; /* the process's; holds secrets */
    struct buf client_id;
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
now_us(const struct publisher_client *client)
{
    return client->env->os->mono_us(client->env->os);
}

/* ---- the process ---- */

static void
rest(struct publisher_client *client)
{
    bool lived_long = now_us(client) - client->started_us > (int64_t)LONG_LIFE_MS * 1000;
    client->rest_ms = lived_long || client->rest_ms == 0 ? FIRST_REST_MS : client->rest_ms * 2;
    client->rest_ms = client->rest_ms > REST_MAX_MS ? REST_MAX_MS : client->rest_ms;
    client->start_again_us = now_us(client) + client->rest_ms * 1000;
    atomic_store(&client->is_up, false);
}

static bool
send_config(struct publisher_client *client, struct diag_list *diags)
{
    struct buf body = {0};
    wire_put_u8(&body, client->settings.is_bridge);
    wire_put_bytes(&body, buf_bytes(&client->client_id));
    buf_append(&body, buf_bytes(&client->config));
    if (client->is_version_lowered) {
        buf_append_string(&body, "\nbroker_protocol 3.1.1\n");
    }
    bool sent = frame_send(client->child.fd, PUBLISHER_CONFIG, buf_bytes(&body), SEND_TIMEOUT_MS,
                           diags);
    explicit_bzero(body.data, body.capacity);
    buf_fini(&body);
    return sent;
}

static bool
start(struct publisher_client *client, struct diag_list *diags)
{
    static const char *const argv[] = {"headgate", "publisher", NULL};
    client->started_us = now_us(client);
    if (!child_spawn(&client->child, client->env->paths->executable, argv, NULL, 0, diags)) {
        client->child = (struct child){.fd = -1};
        rest(client);
        return false;
    }
    if (!send_config(client, diags)) {
        child_stop(&client->child, 0);
        rest(client);
        return false;
    }
    atomic_store(&client->is_up, true);
    return true;
}

static void
note_end(struct publisher_client *client, int status)
{
    struct arena arena = {0};
    struct bytes how = child_describe_status(status, &arena);
    if (WIFEXITED(status) && WEXITSTATUS(status) == MQTT_EXIT_VERSION) {
        client->is_version_lowered = true;
    } else {
        log_warning("the publisher process ended with %.*s", BYTES_ARG(how));
    }
    arena_fini(&arena);
}

/* After an error on the socket: most likely it is about to end by itself. */
static void
bring_down(struct publisher_client *client)
{
    int status;
    bool has_ended = child_has_ended(&client->child, &status);
    for (int waited_ms = 0; !has_ended && waited_ms < END_GRACE_MS; waited_ms += 10) {
        usleep(10000);
        has_ended = child_has_ended(&client->child, &status);
    }
    if (has_ended) {
        note_end(client, status);
    }
    child_stop(&client->child, 0);
    rest(client);
}

static bool
is_up(struct publisher_client *client, struct diag_list *diags)
{
    int status;
    if (client->child.pid != 0 && child_has_ended(&client->child, &status)) {
        note_end(client, status);
        child_stop(&client->child, 0);
        rest(client);
    }
    if (client->child.pid != 0) {
        return true;
    }
    int64_t wait_us = client->start_again_us - now_us(client);
    if (wait_us > (int64_t)FIRST_REST_MS * 1000) {
        diag_error(diags, DIAG_BUSY, "the publisher process ended; it rests");
        return false;
    }
    if (wait_us > 0) {
        usleep((useconds_t)wait_us);
    }
    return start(client, diags);
}

/* ---- a batch ---- */

static void
encode_record(struct publisher_client *client, const struct sink_record *record,
              const struct topic_params *params, struct arena *arena)
{
    struct buf *out = &client->outgoing;
    struct bytes id = arena_printf(arena, "%.*s:%" PRIu64 ":%" PRIu32, BYTES_ARG(record->stream),
                                   record->id.position, record->id.output);
    const struct publisher_settings *settings = &client->settings;
    wire_put_bytes(out, settings->topic == NULL
                                ? record->target
                                : settings->topic(settings->context, record, arena));
    wire_put_bytes(out, record->payload);
    wire_put_bytes(out, id);
    wire_put_varint(out, record->hops);
    wire_put_u8(out, (uint8_t)(params->qos < 0 ? client->settings.qos : params->qos));
    wire_put_bytes(out, params->headers);
}

/* Reads the parameters of all records; those that cannot be published are rejected here. */
static struct topic_params *
select_records(struct publisher_client *client, struct batch *batch)
{
    struct topic_params *params = arena_new_array(batch->arena, struct topic_params, batch->count);
    client->sent = arena_new_array(batch->arena, size_t, batch->count);
    client->sent_count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct bytes reason;
        if (topic_params_read(batch->records[i].params, batch->arena, &params[i], &reason)) {
            client->sent[client->sent_count++] = i;
        } else {
            batch->outcomes[i] = (struct outcome){.verdict = VERDICT_REJECT, .reason = reason};
        }
    }
    return params;
}

static void
encode_batch(struct publisher_client *client, struct batch *batch, int64_t patience_ms)
{
    struct buf *out = &client->outgoing;
    const struct topic_params *params = select_records(client, batch);
    buf_clear(out);
    wire_put_u64(out, ++client->number);
    wire_put_u32(out, (uint32_t)patience_ms);
    wire_put_u8(out, client->settings.is_retained);
    wire_put_varint(out, client->sent_count);
    for (size_t i = 0; i < client->sent_count; i++) {
        size_t index = client->sent[i];
        encode_record(client, &batch->records[index], &params[index], batch->arena);
    }
}

static void
take_verdicts(struct publisher_client *client, struct wire_reader *reader, struct batch *batch)
{
    bool has_retry = false;
    for (size_t i = 0; i < client->sent_count && !reader->failed; i++) {
        struct outcome *outcome = &batch->outcomes[client->sent[i]];
        uint8_t verdict = wire_get_u8(reader);
        struct bytes reason = wire_get_bytes(reader);
        if (reader->failed || verdict > VERDICT_REJECT) {
            return;
        }
        outcome->verdict = (enum verdict)verdict;
        outcome->reason = arena_copy(batch->arena, reason);
        has_retry |= verdict == VERDICT_RETRY;
        atomic_fetch_add(&client->published, verdict == VERDICT_DONE);
    }
    atomic_store(&client->is_delivering, !has_retry);
}

/* Waits for the answer to this batch; one to an earlier batch came too late and is passed over. */
static bool
receive_verdicts(struct publisher_client *client, struct batch *batch, int64_t until_us,
                 struct diag_list *diags)
{
    for (;;) {
        int64_t left_ms = (until_us - now_us(client)) / 1000;
        struct frame frame;
        if (!frame_receive(client->child.fd, &client->incoming, &frame,
                           left_ms < 0 ? 0 : (int)left_ms, diags)) {
            return false;
        }
        struct wire_reader reader = wire_reader(frame.body);
        uint64_t number = wire_get_u64(&reader);
        uint64_t count = wire_get_varint(&reader);
        if (frame.type == PUBLISHER_VERDICTS && number == client->number &&
            count == client->sent_count) {
            take_verdicts(client, &reader, batch);
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

void
publisher_client_write(struct publisher_client *client, struct batch *batch)
{
    struct diag_list diags = {0};
    int64_t patience_ms = (batch->deadline_us - now_us(client)) / 1000;
    patience_ms = patience_ms < 1 ? 1 : patience_ms > INT32_MAX / 2 ? INT32_MAX / 2 : patience_ms;
    if (is_up(client, &diags)) {
        encode_batch(client, batch, patience_ms);
        int64_t until_us = now_us(client) + (patience_ms + ANSWER_SLACK_MS) * 1000;
        if (client->sent_count == 0) {
            return; /* all are rejected */
        }
        if (!frame_send(client->child.fd, PUBLISHER_BATCH, buf_bytes(&client->outgoing),
                        SEND_TIMEOUT_MS, &diags) ||
            !receive_verdicts(client, batch, until_us, &diags)) {
            bring_down(client);
        }
    }
    if (diags.errors > 0) {
        atomic_store(&client->is_delivering, false);
    }
    retry_undecided(batch, diag_first_error(&diags));
    diag_list_fini(&diags);
}

/* ---- life ---- */

bool
publisher_client_open(struct publisher_client **out, const struct driver_env *env,
                      const struct publisher_settings *settings, struct diag_list *diags)
{
    struct publisher_client *client = mem_new(struct publisher_client);
    client->settings = *settings;
    client->env = env;
    client->child.fd = -1;
    client->is_delivering = true;
    buf_append(&client->config, settings->config);
    buf_append(&client->client_id, settings->client_id);
    if (!start(client, diags)) {
        publisher_client_close(client);
        return false;
    }
    *out = client;
    return true;
}

void
publisher_client_close(struct publisher_client *client)
{
    if (client->child.pid != 0) {
        child_stop(&client->child, GRACE_MS);
    }
    explicit_bzero(client->config.data, client->config.size);
    buf_fini(&client->config);
    buf_fini(&client->client_id);
    buf_fini(&client->outgoing);
    buf_fini(&client->incoming);
    free(client);
}

void
publisher_client_health(const struct publisher_client *client, struct health *out)
{
    bool is_well = atomic_load(&client->is_up) && atomic_load(&client->is_delivering);
    out->state = is_well ? HEALTH_OK : HEALTH_WAITING;
    if (is_well) {
        snprintf(out->sentence, sizeof out->sentence, "%" PRIu64 " messages published",
                 atomic_load(&client->published));
    } else {
        snprintf(out->sentence, sizeof out->sentence, "%s",
                 atomic_load(&client->is_up) ? "the broker does not take messages"
                                             : "the publisher process is being started again");
    }
}
