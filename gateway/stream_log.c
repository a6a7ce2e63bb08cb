/*
 * A journal whose records know where they come from: message properties with id and hops.
 *
 * Which rows are there is a set of ids, not the last one: a power cut may take a row out of the
 * middle of what was not synced and leave those behind it.
 */
#include "stream_log.h"

#include "message.h"

#include "base/map.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct stream_log {
    const struct os *os;
    struct journal *journal;
    struct map known;   /* id -> anything: of rows that may come again */
    struct arena arena; /* of its keys */
};

static void
read_id(struct stream_log *log, const struct record *record)
{
    struct arena arena = {0};
    struct message_props props;
    struct bytes id;
    if (message_props_decode(record->props, &arena, &props) &&
        message_props_find(&props, BYTES(MESSAGE_ID_PROPERTY), &id)) {
        map_put(&log->known, arena_copy(&log->arena, id), log);
    }
    arena_fini(&arena);
}

static bool
read_ids(struct stream_log *log, const struct journal_options *options, struct diag_list *diags)
{
    struct journal_reader *reader;
    uint64_t tail = journal_tail(log->journal);
    if (tail <= options->position_least) {
        return true;
    }
    if (!journal_reader_open(&reader, options->os, options->dir, options->position_least, diags)) {
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
                struct diag_list *diags)
{
    struct stream_log *log = mem_new(struct stream_log);
    log->os = options->os;
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
    return is_there;
}
