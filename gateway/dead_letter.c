/*
 * Dead letters: encoding, and the log they are in.
 *
 * props: u8 version, 3 | counted sink, rule, stream, target, params, reason | varint position of the
 * input | varint output | signed arrival time | varint attempts | signed first attempt, signed
 * last attempt | varint hops. Version 1, which is still read, has no hops: they count as 0.
 *
 * props of a removal: u8 version, 2 | varint from | varint to
 *
 * After a failure the log is closed and opened again by the next attempt: a log refuses appends
 * after a failed sync, and an open looks at what is really there.
 */
#define _GNU_SOURCE
#include "dead_letter.h"

#include "base/log.h"
#include "base/wire.h"
#include "dead_list.h"

enum {
    LETTER_VERSION_1 = 1,
    REMOVAL_VERSION = 2,
    LETTER_VERSION = 3,
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
    wire_put_varint(props, record->hops);
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
    uint8_t version = wire_get_u8(&reader);
    bool is_known = version == LETTER_VERSION || version == LETTER_VERSION_1;
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
    letter.record.hops = version == LETTER_VERSION_1 ? 0 : (unsigned)wire_get_varint(&reader);
    letter.record.source = record->topic;
    letter.record.payload = record->payload;
    if (!is_known || !wire_at_end(&reader)) {
        return false;
    }
    *out = letter;
    return true;
}

void
dead_removal_encode(const struct dead_removal *removal, struct buf *props, struct record *out)
{
    buf_clear(props);
    wire_put_u8(props, REMOVAL_VERSION);
    wire_put_varint(props, removal->from);
    wire_put_varint(props, removal->to);
    *out = (struct record){.props = buf_bytes(props)};
}

bool
dead_removal_decode(const struct record *record, struct dead_removal *out)
{
    struct wire_reader reader = wire_reader(record->props);
    bool is_removal = wire_get_u8(&reader) == REMOVAL_VERSION;
    out->from = wire_get_varint(&reader);
    out->to = wire_get_varint(&reader);
    return is_removal && wire_at_end(&reader) && out->from < out->to;
}

/* ---- writing ---- */

static bool
open_log(struct dead_letters *letters, struct diag_list *diags)
{
    const struct journal_options options = {
            .os = letters->os,
            .dir = letters->dir,
            .segment_bytes = SEGMENT_BYTES,
            .record_max_bytes = LETTER_BYTES_MAX,
            .sync = JOURNAL_SYNC_INTERVAL,
    };
    struct journal_extent extent;
    if (letters->journal != NULL) {
        return true;
    }
    if (!journal_extent(letters->os, letters->dir, &extent, diags)) {
        return false;
    }
    letters->first = extent.first;
    return journal_open(&letters->journal, &options, diags);
}

static bool
append_removal(struct dead_letters *letters, uint64_t from, uint64_t to, struct diag_list *diags)
{
    const struct dead_removal removal = {from, to};
    struct buf props = {0};
    struct record record;
    dead_removal_encode(&removal, &props, &record);
    bool appended = journal_append(letters->journal, &record, diags);
    buf_fini(&props);
    return appended;
}

static bool
write_all(struct dead_letters *letters, const struct dead_letter *items, size_t count,
          struct diag_list *diags)
{
    struct buf props = {0};
    bool written = true;
    for (size_t i = 0; i < count && written; i++) {
        struct record record;
        uint64_t before = items[i].record.dead_position;
        dead_letter_encode(&items[i], &props, &record);
        written = journal_append(letters->journal, &record, diags) &&
                  (before == 0 || append_removal(letters, before, before + 1, diags));
    }
    buf_fini(&props);
    return written && journal_sync(letters->journal, diags);
}

bool
dead_letters_settle(struct dead_letters *letters, const uint64_t *positions, size_t count,
                    struct diag_list *diags)
{
    bool is_written = open_log(letters, diags);
    for (size_t i = 0; i < count && is_written; i++) {
        is_written = append_removal(letters, positions[i], positions[i] + 1, diags);
    }
    if (!is_written || !journal_sync(letters->journal, diags)) {
        dead_letters_close(letters);
        return false;
    }
    return true;
}

/* What a removal finds, before it is there. */
struct survey_of_letters {
    uint64_t from;
    uint64_t to;
    uint64_t count;      /* in the range */
    uint64_t first_kept; /* UINT64_MAX: none */
};

static bool
survey_letter(void *context, const struct dead_item *item)
{
    struct survey_of_letters *survey = context;
    bool is_inside = item->position >= survey->from && item->position < survey->to;
    survey->count += is_inside;
    if (!is_inside && survey->first_kept == UINT64_MAX) {
        survey->first_kept = item->position;
    }
    return true;
}

bool
dead_letters_remove(struct dead_letters *letters, uint64_t from, uint64_t to, uint64_t *count,
                    struct diag_list *diags)
{
    struct survey_of_letters survey = {.from = from, .to = to, .first_kept = UINT64_MAX};
    *count = 0;
    if (!dead_list_each(letters->os, letters->dir, survey_letter, &survey, diags)) {
        return false;
    }
    if (survey.count == 0) {
        return true;
    }
    if (!open_log(letters, diags)) {
        return false;
    }
    uint64_t tail = journal_tail(letters->journal);
    if (!append_removal(letters, from, to < tail ? to : tail, diags) ||
        !journal_sync(letters->journal, diags)) {
        dead_letters_close(letters);
        return false;
    }
    *count = survey.count;
    letters->first = survey.first_kept < tail ? survey.first_kept : tail;
    return journal_trim(letters->os, letters->dir, letters->first, diags);
}

/* Drops the oldest above the bound; a little more, since that reads the log. */
static bool
keep_bound(struct dead_letters *letters, struct diag_list *diags)
{
    uint64_t tail = journal_tail(letters->journal);
    uint64_t count;
    if (letters->max_bytes == 0 || tail - letters->first <= letters->max_bytes) {
        return true;
    }
    uint64_t end = tail - (letters->max_bytes - letters->max_bytes / 8);
    uint64_t first = letters->first;
    if (!dead_letters_remove(letters, 0, end, &count, diags)) {
        return false;
    }
    letters->first = first < end ? end : letters->first; /* also when there was none */
    letters->dropped += count;
    return true;
}

bool
dead_letters_write(struct dead_letters *letters, const struct dead_letter *items, size_t count,
                   struct diag_list *diags)
{
    struct diag_list unbound = {0};
    if (!open_log(letters, diags)) {
        return false;
    }
    if (!write_all(letters, items, count, diags)) {
        dead_letters_close(letters);
        return false;
    }
    if (!keep_bound(letters, &unbound)) {
        log_diags(&unbound); /* they are written; the next ones try it again */
    }
    diag_list_fini(&unbound);
    return true;
}

void
dead_letters_close(struct dead_letters *letters)
{
    journal_close(letters->journal);
    letters->journal = NULL;
}
