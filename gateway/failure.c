/*
 * The failure log and what stands in it.
 *
 * original:            u8 flags | counted action, resource, props | payload to the end
 * a record of the log: topic = of the input message, time = its arrival, payload = the original,
 *                      props = u8 version, 1 | counted rule, stream | varint position |
 *                              signed arrival time | counted message
 *
 * The arrival stands twice, because a journal raises the time of a record above that of the one
 * before. After a failed append or sync the log is closed and opened again by the next: a log
 * refuses appends after a failed sync, and an open looks at what is really there.
 *
 * Failures are rare, so one lock serves all outboxes, also while it syncs; the engine reads only
 * the atomic tail.
 */
#define _GNU_SOURCE
#include "failure.h"

#include "base/mem.h"
#include "base/wire.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    FAILURE_VERSION = 1,
    SEGMENT_BYTES = 1024 * 1024,
    FAILURE_BYTES_MAX = 63 * 1024 * 1024,
};

/* ---- encoding ---- */

void
original_encode(const struct original *original, struct buf *out)
{
    wire_put_u8(out, (uint8_t)original->flags);
    wire_put_bytes(out, original->action);
    wire_put_bytes(out, original->resource);
    wire_put_bytes(out, original->props);
    buf_append(out, original->payload);
}

bool
original_decode(struct bytes encoded, struct original *out)
{
    struct wire_reader reader = wire_reader(encoded);
    *out = (struct original){0};
    out->flags = wire_get_u8(&reader);
    out->action = wire_get_bytes(&reader);
    out->resource = wire_get_bytes(&reader);
    out->props = wire_get_bytes(&reader);
    out->payload = reader.rest;
    return !reader.failed;
}

static void
encode_letter(const struct dead_letter *letter, struct buf *props, struct record *out)
{
    const struct sink_record *record = &letter->record;
    buf_clear(props);
    wire_put_u8(props, FAILURE_VERSION);
    wire_put_bytes(props, record->rule);
    wire_put_bytes(props, record->stream);
    wire_put_varint(props, record->id.position);
    wire_put_signed(props, record->time_us);
    wire_put_bytes(props, letter->reason);
    *out = (struct record){
            .time_us = record->time_us,
            .topic = record->source,
            .props = buf_bytes(props),
            .payload = record->original,
    };
}

bool
failure_decode(const struct record *record, struct failure *out)
{
    struct wire_reader reader = wire_reader(record->props);
    bool is_known = wire_get_u8(&reader) == FAILURE_VERSION;
    *out = (struct failure){.topic = record->topic};
    out->rule = wire_get_bytes(&reader);
    out->stream = wire_get_bytes(&reader);
    out->position = wire_get_varint(&reader);
    out->time_us = wire_get_signed(&reader);
    out->message = wire_get_bytes(&reader);
    return is_known && wire_at_end(&reader) && original_decode(record->payload, &out->original);
}

/* ---- the log ---- */

struct failure_log {
    struct failure_log_options options;
    char *dir;
    pthread_mutex_t lock; /* of the journal */
    struct journal *journal;
    _Atomic uint64_t tail;
};

static bool
open_journal(struct failure_log *log, struct diag_list *diags)
{
    const struct journal_options options = {
            .os = log->options.os,
            .dir = log->dir,
            .segment_bytes = SEGMENT_BYTES,
            .record_max_bytes = FAILURE_BYTES_MAX,
            .sync = JOURNAL_SYNC_INTERVAL,
            .position_least = log->options.position_least,
    };
    return journal_open(&log->journal, &options, diags);
}

static void
note_entry(void *context, const char *name)
{
    *(bool *)context = true;
}

bool
failure_log_open(struct failure_log **out, const struct failure_log_options *options,
                 struct diag_list *diags)
{
    struct failure_log *log = mem_new(struct failure_log);
    log->options = *options;
    log->dir = bytes_to_string(bytes_of_string(options->dir));
    check(pthread_mutex_init(&log->lock, NULL) == 0);
    bool is_there = false;
    options->os->list(options->os, log->dir, note_entry, &is_there);
    if (is_there) {
        if (!open_journal(log, diags)) {
            failure_log_close(log);
            return false;
        }
        atomic_store(&log->tail, journal_tail(log->journal));
    }
    *out = log;
    return true;
}

void
failure_log_close(struct failure_log *log)
{
    if (log == NULL) {
        return;
    }
    journal_close(log->journal);
    pthread_mutex_destroy(&log->lock);
    free(log->dir);
    free(log);
}

static bool
append_all(struct failure_log *log, const struct dead_letter *letters, size_t count,
           struct diag_list *diags)
{
    struct buf props = {0};
    bool is_good = true;
    for (size_t i = 0; i < count && is_good; i++) {
        if (letters[i].record.original.size > 0) {
            struct record record;
            encode_letter(&letters[i], &props, &record);
            is_good = journal_append(log->journal, &record, diags);
        }
    }
    buf_fini(&props);
    return is_good && journal_sync(log->journal, diags);
}

bool
failure_log_append(struct failure_log *log, const struct dead_letter *letters, size_t count,
                   struct diag_list *diags)
{
    size_t wanted = 0;
    for (size_t i = 0; i < count; i++) {
        wanted += letters[i].record.original.size > 0;
    }
    if (wanted == 0) {
        return true;
    }
    pthread_mutex_lock(&log->lock);
    bool is_good = (log->journal != NULL || open_journal(log, diags)) &&
                   append_all(log, letters, count, diags);
    if (is_good) {
        atomic_store(&log->tail, journal_tail(log->journal));
    } else {
        journal_close(log->journal);
        log->journal = NULL;
    }
    pthread_mutex_unlock(&log->lock);
    if (is_good) {
        log->options.appended(log->options.context);
    }
    return is_good;
}

uint64_t
failure_log_tail(const struct failure_log *log)
{
    return atomic_load(&log->tail);
}
