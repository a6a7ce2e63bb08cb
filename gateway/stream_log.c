/* A journal whose records know where they come from: message properties with id and hops. */
#include "stream_log.h"

#include "message.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* The last row of a source. */
struct last {
    char *source;
    struct record_id id;
};

struct stream_log {
    const struct os *os;
    struct journal *journal;
    struct last *lasts;
    size_t last_count, last_capacity;
};

static struct last *
last_of(struct stream_log *log, struct bytes source)
{
    for (size_t i = 0; i < log->last_count; i++) {
        if (bytes_equal_string(source, log->lasts[i].source)) {
            return &log->lasts[i];
        }
    }
    return NULL;
}

static void
note_last(struct stream_log *log, struct bytes source, struct record_id id)
{
    struct last *last = last_of(log, source);
    if (last == NULL) {
        log->lasts = mem_grow(log->lasts, log->last_count, &log->last_capacity,
                              sizeof *log->lasts);
        last = &log->lasts[log->last_count++];
        *last = (struct last){.source = bytes_to_string(source)};
    }
    last->id = id;
}

/* source:position:output */
static bool
parse_id(struct bytes text, struct bytes *source, struct record_id *id)
{
    int64_t numbers[2] = {0};
    for (int n = 1; n >= 0; n--) {
        size_t colon = text.size;
        while (colon > 0 && text.data[colon - 1] != ':') {
            colon--;
        }
        if (colon == 0 || !bytes_to_int64(bytes_slice(text, colon, text.size), &numbers[n])) {
            return false;
        }
        text = bytes_slice(text, 0, colon - 1);
    }
    *source = text;
    *id = (struct record_id){(uint64_t)numbers[0], (uint32_t)numbers[1]};
    return true;
}

static void
read_id(struct stream_log *log, const struct record *record)
{
    struct arena arena = {0};
    struct message_props props;
    struct bytes text, source;
    struct record_id id;
    if (message_props_decode(record->props, &arena, &props) &&
        message_props_find(&props, BYTES(MESSAGE_ID_PROPERTY), &text) &&
        parse_id(text, &source, &id)) {
        note_last(log, source, id);
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
    for (size_t i = 0; i < log->last_count; i++) {
        free(log->lasts[i].source);
    }
    free(log->lasts);
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
    const struct last *last = last_of(log, record->stream);
    if (last != NULL && record_id_compare(record->id, last->id) <= 0) {
        return true;
    }
    struct buf id = {0};
    buf_printf(&id, "%.*s:%" PRIu64 ":%" PRIu32, BYTES_ARG(record->stream), record->id.position,
               record->id.output);
    bool appended = append(log, record->hops, buf_bytes(&id), record->source, record->payload,
                           diags);
    buf_fini(&id);
    if (appended) {
        note_last(log, record->stream, record->id);
    }
    return appended;
}
