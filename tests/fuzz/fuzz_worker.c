/*
 * What a handler's process may send: any bytes decode or are refused, and a decoded reply keeps
 * the limits that the driver relies on. The first byte is the number of records of the call.
 */
#include "fuzz.h"
#include "worker/protocol.h"

static void
visit(const struct worker_reply *reply, size_t count)
{
    check(reply->failure_count <= count);
    for (size_t i = 0; i < reply->failure_count; i++) {
        check(reply->failures[i].index < count);
        check(i == 0 || reply->failures[i].index > reply->failures[i - 1].index);
        check(reply->failures[i].reason.size <= WORKER_REASON_MAX_BYTES);
    }
    check(reply->emitted_count <= WORKER_EMIT_MAX_RECORDS);
    for (size_t i = 0; i < reply->emitted_count; i++) {
        check(worker_topic_is_good(reply->emitted[i].topic));
    }
}

/* A decoded reply encodes to one that decodes to the same. */
static void
go_round(const struct worker_reply *reply, size_t count, struct arena *arena)
{
    struct buf out = {0};
    struct worker_reply again;
    worker_reply_begin(&out, reply);
    for (size_t i = 0; i < reply->emitted_count; i++) {
        worker_reply_add(&out, &reply->emitted[i]);
    }
    check(worker_reply_decode(&again, buf_bytes(&out), count, arena));
    check(again.status == reply->status && again.failure_count == reply->failure_count &&
          again.emitted_count == reply->emitted_count);
    for (size_t i = 0; i < reply->emitted_count; i++) {
        check(bytes_equal(again.emitted[i].payload, reply->emitted[i].payload));
    }
    buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {0};
    size_t count = size == 0 ? 0 : data[0];
    struct bytes body = bytes_slice(bytes_of(data, size), 1, size);
    struct worker_reply reply;
    struct worker_call call;
    struct worker_setup setup;
    if (worker_reply_decode(&reply, body, count, &arena)) {
        visit(&reply, count);
        go_round(&reply, count, &arena);
    }
    if (worker_call_decode(&call, body, &arena)) {
        check(call.count <= body.size);
    }
    (void)!worker_setup_decode(&setup, body);
    check(arena_footprint(&arena) <= (size << 7) + (1 << 20));
    arena_fini(&arena);
    return 0;
}
