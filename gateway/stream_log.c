/*
 * A journal whose records know where they come from: message properties with id and hops.
 *
 * Which rows are there is a set of ids, not the last one: a power cut may take a row out of the
 * middle of what was not synced and leave those behind it.
 */
#define _GNU_SOURCE
#include "stream_log.h"

#include "message.h"

#include "base/map.h"
#include "base/mem.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * An input that rows were made of: positions behind its last row, 0 without one. Rows of an input
 * come in its order.
 */
struct origin {
    uint64_t known;    /* of those that opening has found */
    uint64_t appended; /* of those that have come in this life */
    uint64_t at_cut;   /* `appended` at this cut */
    uint64_t at_next;  /* `appended` at the cut of next_ids_from */
};

struct stream_log {
    const struct os *os;
    struct journal *journal;
    struct map known;   /* id -> anything: of rows that may come again */
    struct arena arena; /* of its keys, and of names */

    pthread_mutex_t lock; /* guards the origins */
    struct map origins;   /* stream -> struct origin */

    /* Of cuts; the engine's. */
    uint64_t ids_from;
    uint64_t tail;          /* at the beginning of this cut */
    uint64_t next_ids_from; /* the tail at an earlier cut, in which something waited */
    uint64_t next_batches;  /* that had been written then */
};

/* Under the lock, once there are threads. */
static struct origin *
origin_of(struct stream_log *log, struct bytes stream)
{
    struct origin *origin = map_find(&log->origins, stream);
    if (origin == NULL) {
        origin = arena_new(&log->arena, struct origin);
        *origin = (struct origin){0};
        map_put(&log->origins, arena_copy(&log->arena, stream), origin);
    }
    return origin;
}

/* Takes the last part behind a colon off the end of `*rest`; false when there is none. */
static bool
cut_last(struct bytes *rest, struct bytes *part)
{
    const char *colon = rest->size == 0 ? NULL : memrchr(rest->data, ':', rest->size);
    if (colon == NULL) {
        return false;
    }
    size_t end = (size_t)(colon - rest->data);
    *part = bytes_slice(*rest, end + 1, rest->size);
    *rest = bytes_slice(*rest, 0, end);
    return true;
}

/* An id is the name of a stream, a position and an output. */
static void
note_known(struct stream_log *log, struct bytes id)
{
    struct bytes stream = id, part;
    int64_t position;
    if (cut_last(&stream, &part) && cut_last(&stream, &part) && bytes_to_int64(part, &position)) {
        struct origin *origin = origin_of(log, stream);
        uint64_t behind = (uint64_t)position + 1;
        origin->known = behind > origin->known ? behind : origin->known;
    }
}

static void
read_id(struct stream_log *log, const struct record *record)
{
    struct arena arena = {0};
    struct message_props props;
    struct bytes id;
    if (message_props_decode(record->props, &arena, &props) &&
        message_props_find(&props, BYTES(MESSAGE_ID_PROPERTY), &id)) {
        map_put(&log->known, arena_copy(&log->arena, id), log);
        note_known(log, id);
    }
    arena_fini(&arena);
}

static bool
read_ids(struct stream_log *log, const struct journal_options *options, struct diag_list *diags)
{
    struct journal_reader *reader;
    uint64_t tail = journal_tail(log->journal);
    if (tail <= log->ids_from) {
        return true;
    }
    if (!journal_reader_open(&reader, options->os, options->dir, log->ids_from, diags)) {
        return false;
    }
    struct record record;
    enum journal_read read = journal_reader_next(reader, tail, &record, diags);
    for (; read == JOURNAL_RECORD || read == JOURNAL_GAP;
         read = journal_reader_next(reader, tail, &record, diags)) {
        if (read == JOURNAL_RECORD) {
            read_id(log, &record);
        }
    }
    journal_reader_close(reader);
    return read == JOURNAL_END;
}

bool
stream_log_open(struct stream_log **out, const struct journal_options *options,
                uint64_t ids_from, struct diag_list *diags)
{
    struct stream_log *log = mem_new(struct stream_log);
    log->os = options->os;
    log->ids_from = ids_from;
    log->next_ids_from = ids_from;
    check(pthread_mutex_init(&log->lock, NULL) == 0);
    if (!journal_open(&log->journal, options, diags) || !read_ids(log, options, diags)) {
        stream_log_close(log);
        return false;
    }
    *out = log;
    return true;
}

void
stream_log_close(struct stream_log *log)
{
    if (log == NULL) {
        return;
    }
    journal_close(log->journal);
    map_fini(&log->known);
    map_fini(&log->origins);
    pthread_mutex_destroy(&log->lock);
    arena_fini(&log->arena);
    free(log);
}

struct journal *
stream_log_journal(struct stream_log *log)
{
    return log->journal;
}

/* `id` may be empty. */
static bool
append(struct stream_log *log, unsigned hops, struct bytes id, struct bytes topic,
       struct bytes payload, struct diag_list *diags)
{
    char text[12];
    int size = snprintf(text, sizeof text, "%u", hops + 1);
    const struct message_property properties[] = {
            {BYTES(MESSAGE_HOPS_PROPERTY), bytes_of(text, (size_t)size)},
            {BYTES(MESSAGE_ID_PROPERTY), id},
    };
    const struct message_props props = {.user = properties, .user_count = id.size > 0 ? 2 : 1};
    struct buf encoded = {0};
    message_props_encode(&props, &encoded);
    struct record record = {.time_us = log->os->wall_us(log->os),
                            .topic = topic,
                            .props = buf_bytes(&encoded),
                            .payload = payload};
    bool appended = journal_append(log->journal, &record, diags);
    buf_fini(&encoded);
    return appended;
}

bool
stream_log_emit(struct stream_log *log, unsigned hops, struct bytes topic, struct bytes payload,
                struct diag_list *diags)
{
    return append(log, hops, BYTES(""), topic, payload, diags);
}

bool
stream_log_append(struct stream_log *log, const struct sink_record *record,
                  struct diag_list *diags)
{
    struct buf id = {0};
    buf_printf(&id, "%.*s:%" PRIu64 ":%" PRIu32, BYTES_ARG(record->stream), record->id.position,
               record->id.output);
    bool is_there = map_find(&log->known, buf_bytes(&id)) != NULL ||
                    append(log, record->hops, buf_bytes(&id), record->source, record->payload,
                           diags);
    buf_fini(&id);
    if (is_there) {
        pthread_mutex_lock(&log->lock);
        struct origin *origin = origin_of(log, record->stream);
        uint64_t behind = record->id.position + 1;
        origin->appended = behind > origin->appended ? behind : origin->appended;
        pthread_mutex_unlock(&log->lock);
    }
    return is_there;
}

/* ---- cuts ---- */

void
stream_log_begin_cut(struct stream_log *log)
{
    size_t cursor = 0;
    struct bytes stream;
    void *origin;
    pthread_mutex_lock(&log->lock);
    log->tail = journal_tail(log->journal);
    while (map_next(&log->origins, &cursor, &stream, &origin)) {
        ((struct origin *)origin)->at_cut = ((struct origin *)origin)->appended;
    }
    pthread_mutex_unlock(&log->lock);
}

/*
 * What was appended before a cut is done with at a later one, in the eyes of the outbox,
 *   drained   when nothing waits in it; the later cut may be the same
 *   else      when two more batches were written: that at hand is not the one of then
 */
uint64_t
stream_log_end_cut(struct stream_log *log, const struct stream_log_cut *cut)
{
    bool is_done = cut->batches >= log->next_batches + 2;
    bool have_all_come = true, are_all_past = true;
    size_t cursor = 0;
    struct bytes stream;
    void *value;
    pthread_mutex_lock(&log->lock);
    while (map_next(&log->origins, &cursor, &stream, &value)) {
        struct origin *origin = value;
        have_all_come = have_all_come && origin->at_next >= origin->known;
        are_all_past = are_all_past && cut->position(cut->context, stream) >= origin->known;
        origin->at_next = cut->is_drained || is_done ? origin->at_cut : origin->at_next;
    }
    pthread_mutex_unlock(&log->lock);
    if (cut->is_drained && are_all_past) {
        log->ids_from = log->tail;
    } else if (is_done && have_all_come) {
        log->ids_from = log->next_ids_from;
    }
    if (cut->is_drained || is_done) {
        log->next_ids_from = log->tail;
        log->next_batches = cut->batches;
    }
    return log->ids_from;
}
