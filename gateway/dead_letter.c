/*
 * Dead letters: encoding, and the log they are in.
 *
 * props: u8 version, 1 | counted sink, rule, stream, target, params, reason | varint position of the
 * input | varint output | signed arrival time | varint attempts | signed first attempt, signed
 * last attempt
 *
 * After a failure the log is closed and opened again by the next attempt: a log refuses appends
 * after a failed sync, and an open looks at what is really there.
 */
#define _GNU_SOURCE
#include "dead_letter.h"

#include "base/wire.h"

enum {
    LETTER_VERSION = 1,
    SEGMENT_BYTES = 1024 * 1024,
    LETTER_BYTES_MAX = 63 * 1024 * 1024,
};

void
dead_letter_encode(const struct dead_letter *letter, struct buf *props, struct record *out)
{
    const struct sink_record *record = &letter->record;
    buf_clear(props);
    wire_put_u8(props, LETTER_VERSION);
    wire_put_bytes(props, letter->sink);
    wire_put_bytes(props, record->rule);
    wire_put_bytes(props, record->stream);
    wire_put_bytes(props, record->target);
    wire_put_bytes(props, record->params);
    wire_put_bytes(props, letter->reason);
    wire_put_varint(props, record->id.position);
    wire_put_varint(props, record->id.output);
    wire_put_signed(props, record->time_us);
    wire_put_varint(props, letter->attempts);
    wire_put_signed(props, letter->first_attempt_us);
    wire_put_signed(props, letter->last_attempt_us);
    *out = (struct record){
            .time_us = letter->last_attempt_us,
            .topic = record->source,
            .props = buf_bytes(props),
            .payload = record->payload,
    };
}

bool
dead_letter_decode(const struct record *record, struct dead_letter *out)
{
    struct wire_reader reader = wire_reader(record->props);
    bool is_known = wire_get_u8(&reader) == LETTER_VERSION;
    struct dead_letter letter = {0};
    letter.sink = wire_get_bytes(&reader);
    letter.record.rule = wire_get_bytes(&reader);
    letter.record.stream = wire_get_bytes(&reader);
    letter.record.target = wire_get_bytes(&reader);
    letter.record.params = wire_get_bytes(&reader);
    letter.reason = wire_get_bytes(&reader);
    letter.record.id.position = wire_get_varint(&reader);
    letter.record.id.output = (uint32_t)wire_get_varint(&reader);
    letter.record.time_us = wire_get_signed(&reader);
    letter.attempts = (unsigned)wire_get_varint(&reader);
    letter.first_attempt_us = wire_get_signed(&reader);
    letter.last_attempt_us = wire_get_signed(&reader);
    letter.record.source = record->topic;
    letter.record.payload = record->payload;
    if (!is_known || !wire_at_end(&reader)) {
        return false;
    }
    *out = letter;
    return true;
}

static bool
write_all(struct dead_letters *letters, const struct dead_letter *items, size_t count,
          struct diag_list *diags)
{
    struct buf props = {0};
    bool written = true;
    for (size_t i = 0; i < count && written; i++) {
        struct record record;
        dead_letter_encode(&items[i], &props, &record);
        written = journal_append(letters->journal, &record, diags);
    }
    buf_fini(&props);
    return written && journal_sync(letters->journal, diags);
}

bool
dead_letters_write(struct dead_letters *letters, const struct dead_letter *items, size_t count,
                   struct diag_list *diags)
{
    if (letters->journal == NULL) {
        const struct journal_options options = {
                .os = letters->os,
                .dir = letters->dir,
                .segment_bytes = SEGMENT_BYTES,
                .record_max_bytes = LETTER_BYTES_MAX,
                .sync = JOURNAL_SYNC_INTERVAL,
        };
        if (!journal_open(&letters->journal, &options, diags)) {
            return false;
        }
    }
    if (!write_all(letters, items, count, diags)) {
        dead_letters_close(letters);
        return false;
    }
    return true;
}

void
dead_letters_close(struct dead_letters *letters)
{
    journal_close(letters->journal);
    letters->journal = NULL;
}
