/*
 * Encoding of the worker's frames. Counts come before their items; a count is believed only as far
 * as the rest of the body could hold that many items, so a hostile one allocates nothing.
 */
#include "worker/protocol.h"

#include "base/wire.h"

enum {
    CALL_RECORD_MIN_BYTES = 6, /* encoded sizes with every field empty */
    FAILURE_MIN_BYTES = 2,
    EMITTED_MIN_BYTES = 2,
};

void
worker_setup_encode(struct buf *out, const struct worker_setup *setup)
{
    wire_put_bytes(out, setup->object);
    wire_put_bytes(out, setup->environment);
    wire_put_varint(out, setup->memory_bytes);
}

bool
worker_setup_decode(struct worker_setup *out, struct bytes body)
{
    struct wire_reader reader = wire_reader(body);
    out->object = wire_get_bytes(&reader);
    out->environment = wire_get_bytes(&reader);
    out->memory_bytes = wire_get_varint(&reader);
    return wire_at_end(&reader);
}

void
worker_call_begin(struct buf *out, uint64_t timeout_ms, size_t count)
{
    wire_put_varint(out, timeout_ms);
    wire_put_varint(out, count);
}

void
worker_call_add(struct buf *out, const struct worker_record *record)
{
    wire_put_varint(out, record->position);
    wire_put_varint(out, record->output);
    wire_put_signed(out, record->time_us);
    wire_put_bytes(out, record->rule);
    wire_put_bytes(out, record->topic);
    wire_put_bytes(out, record->payload);
}

/* A count of items of at least `item_bytes` each; fails when they cannot all be there. */
static size_t
get_count(struct wire_reader *reader, size_t item_bytes)
{
    uint64_t count = wire_get_varint(reader);
    if (count > reader->rest.size / item_bytes) {
        reader->failed = true;
        return 0;
    }
    return (size_t)count;
}

bool
worker_call_decode(struct worker_call *out, struct bytes body, struct arena *arena)
{
    struct wire_reader reader = wire_reader(body);
    out->timeout_ms = wire_get_varint(&reader);
    out->count = get_count(&reader, CALL_RECORD_MIN_BYTES);
    struct worker_record *records = arena_new_array(arena, struct worker_record, out->count);
    for (size_t i = 0; i < out->count; i++) {
        records[i].position = wire_get_varint(&reader);
        records[i].output = (uint32_t)wire_get_varint(&reader);
        records[i].time_us = wire_get_signed(&reader);
        records[i].rule = wire_get_bytes(&reader);
        records[i].topic = wire_get_bytes(&reader);
        records[i].payload = wire_get_bytes(&reader);
    }
    out->records = records;
    return wire_at_end(&reader);
}

void
worker_reply_begin(struct buf *out, const struct worker_reply *reply)
{
    wire_put_signed(out, reply->status);
    wire_put_varint(out, reply->duration_us);
    wire_put_varint(out, reply->peak_kb);
    wire_put_varint(out, reply->private_kb);
    wire_put_varint(out, reply->failure_count);
    for (size_t i = 0; i < reply->failure_count; i++) {
        wire_put_varint(out, reply->failures[i].index);
        wire_put_bytes(out, reply->failures[i].reason);
    }
    wire_put_varint(out, reply->emitted_count);
}

void
worker_reply_add(struct buf *out, const struct worker_emitted *emitted)
{
    wire_put_bytes(out, emitted->topic);
    wire_put_bytes(out, emitted->payload);
}

static void
get_failures(struct wire_reader *reader, struct worker_reply *out, size_t count,
             struct arena *arena)
{
    out->failure_count = get_count(reader, FAILURE_MIN_BYTES);
    struct worker_failure *failures = arena_new_array(arena, struct worker_failure,
                                                      out->failure_count);
    for (size_t i = 0; i < out->failure_count; i++) {
        failures[i].index = (size_t)wire_get_varint(reader);
        failures[i].reason = wire_get_bytes(reader);
        bool rising = i == 0 || failures[i].index > failures[i - 1].index;
        if (!rising || failures[i].index >= count ||
            failures[i].reason.size > WORKER_REASON_MAX_BYTES) {
            reader->failed = true;
        }
    }
    out->failures = failures;
}

static void
get_emitted(struct wire_reader *reader, struct worker_reply *out, struct arena *arena)
{
    out->emitted_count = get_count(reader, EMITTED_MIN_BYTES);
    if (out->emitted_count > WORKER_EMIT_MAX_RECORDS) {
        reader->failed = true;
        out->emitted_count = 0;
    }
    struct worker_emitted *emitted = arena_new_array(arena, struct worker_emitted,
                                                     out->emitted_count);
    for (size_t i = 0; i < out->emitted_count; i++) {
        emitted[i].topic = wire_get_bytes(reader);
        emitted[i].payload = wire_get_bytes(reader);
        if (!worker_topic_is_good(emitted[i].topic)) {
            reader->failed = true;
        }
    }
    out->emitted = emitted;
}

bool
worker_reply_decode(struct worker_reply *out, struct bytes body, size_t count,
                    struct arena *arena)
{
    struct wire_reader reader = wire_reader(body);
    out->status = wire_get_signed(&reader);
    out->duration_us = wire_get_varint(&reader);
    out->peak_kb = wire_get_varint(&reader);
    out->private_kb = wire_get_varint(&reader);
    get_failures(&reader, out, count, arena);
    get_emitted(&reader, out, arena);
    return wire_at_end(&reader);
}

bool
worker_topic_is_good(struct bytes topic)
{
    return topic.size > 0 && topic.size <= WORKER_TOPIC_MAX_BYTES &&
           bytes_find(topic, '\0') == topic.size && bytes_is_utf8(topic);
}
