/*
 * What the handler driver and its worker process say to each other, as frames (base/frame.h).
 *
 *   driver                          worker
 *   SETUP object, limits, env  -->  limits itself, loads the object
 *                             <--   READY (what confines it) | REFUSED reason
 *   CALL records, time        -->  handle()
 *                             <--   LOG level, text      (any number, while it runs)
 *                             <--   REPLY status, failures, emitted records, memory
 *   ...
 *   closes the socket         -->   exits
 *
 * The worker runs code that may write anything to the socket: everything it sends is decoded here
 * as hostile bytes. On false from a decoder the worker is killed.
 */
#ifndef HEADGATE_WORKER_PROTOCOL_H
#define HEADGATE_WORKER_PROTOCOL_H

#include "base/arena.h"
#include "base/buf.h"

enum worker_frame {
    WORKER_SETUP = 1,
    WORKER_READY,
    WORKER_REFUSED, /* body: the reason */
    WORKER_CALL,
    WORKER_LOG,
    WORKER_REPLY,
};

enum {
    WORKER_EMIT_MAX_BYTES = 16 * 1024 * 1024, /* of one call */
    WORKER_EMIT_MAX_RECORDS = 100000,
    WORKER_LOG_MAX_LINES = 100, /* of one call */
    WORKER_LOG_MAX_BYTES = 2000, /* of one line; the rest is cut */
    WORKER_REASON_MAX_BYTES = 500,
    WORKER_TOPIC_MAX_BYTES = 65535,
};

struct worker_setup {
    struct bytes object;      /* path of the shared object */
    struct bytes environment; /* "NAME=value" lines */
    uint64_t memory_bytes;
};

/* What confines the worker: a bit each. */
enum { WORKER_HAS_SECCOMP = 1, WORKER_HAS_MEMORY_LIMIT = 2 };

struct worker_record {
    uint64_t position;
    uint32_t output;
    int64_t time_us;
    struct bytes rule;
    struct bytes topic;
    struct bytes payload;
};

struct worker_call {
    uint64_t timeout_ms;
    size_t count;
    const struct worker_record *records; /* in the arena */
};

struct worker_failure {
    size_t index; /* below the call's count; rising */
    struct bytes reason;
};

struct worker_emitted {
    struct bytes topic;
    struct bytes payload;
};

struct worker_reply {
    int64_t status; /* what handle() returned */
    uint64_t duration_us;
    uint64_t peak_kb;    /* largest resident size of the process so far */
    uint64_t private_kb; /* anonymous memory now */
    size_t failure_count;
    const struct worker_failure *failures; /* in the arena */
    size_t emitted_count;
    const struct worker_emitted *emitted; /* in the arena */
};

void worker_setup_encode(struct buf *out, const struct worker_setup *setup);
bool worker_setup_decode(struct worker_setup *out, struct bytes body);

/* `records` one after the other: begin, then one add for each record. */
void worker_call_begin(struct buf *out, uint64_t timeout_ms, size_t count);
void worker_call_add(struct buf *out, const struct worker_record *record);
bool worker_call_decode(struct worker_call *out, struct bytes body, struct arena *arena);

/* `emitted` one after the other: all before them (reads emitted_count), then one add for each. */
void worker_reply_begin(struct buf *out, const struct worker_reply *reply);
void worker_reply_add(struct buf *out, const struct worker_emitted *emitted);

/* The views of a decoded reply are into `body`. `count` is the call's. */
bool worker_reply_decode(struct worker_reply *out, struct bytes body, size_t count,
                         struct arena *arena);

/* Whether a topic may be emitted: 1 to 65,535 bytes of UTF-8 without NUL. */
bool worker_topic_is_good(struct bytes topic);

#endif
