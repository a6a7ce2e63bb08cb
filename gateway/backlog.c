/*
 * Three runs in the order of pushes:
 *
 *   front: in memory            disk: only in the log         rear: in memory
 *   ┌──────────┬──────────┐     ┌─────────────────────┐       ┌─────────────┐
 *   │ logged   │ unlogged │     │ disk_head ... tail  │       │ unlogged    │
 *   └──────────┴──────────┘     └─────────────────────┘       └─────────────┘
 *
 * Delivery takes from `front`. A sink that keeps up has nothing else, and of that nothing is
 * logged but what waited during a cut. When memory is full, the rest of `front` is logged, and
 * from then on records go to disk only, until all of them have been read back into `front`. `rear`
 * exists only while the disk takes no more.
 *
 * Invariant: the log holds records in the order of pushes. So the unlogged part of `front` is
 * empty whenever the disk run is not, `rear` is empty whenever the disk run is, and what waits is
 * one range of the log after a cut. Order matters to sinks that take an id for old when they have
 * seen a higher one.
 *
 * The oldest can be given up from the left: those of `front` that the sink's thread has are only
 * marked (it removes them), those on disk are read once more, so that they can be counted by rule.
 *
 * props of a record in the log: u64 position, u32 output of the id | signed arrival time | counted
 * stream, rule, source | varint hops | counted params, original, rejection | u8 flags: 1 made by an
 * error action, 2 a dead letter tried again, then varint its position there. Its topic is the
 * target. A rejection that is not empty came with the push.
 */
#define _GNU_SOURCE
#include "backlog.h"

#include "base/mem.h"
#include "base/wire.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    BACKLOG_SEGMENT_BYTES = 1024 * 1024,
    LOG_RECORD_BYTES_MAX = 63 * 1024 * 1024,
    LOG_OVERHEAD_BYTES = 64, /* what a record takes there beside its bytes: 40 to 60 */
    FLAG_ERROR_ACTION = 1,
    FLAG_DEAD_LETTER = 2,
    SPILL_PAUSE_US = 500 * 1000, /* between two tries of a disk that takes nothing */
};

/* ---- records in memory ---- */

static struct bytes
store_bytes(char **at, struct bytes bytes)
{
    if (bytes.size > 0) {
        memcpy(*at, bytes.data, bytes.size);
    }
    struct bytes stored = bytes_of(*at, bytes.size);
    *at += bytes.size;
    return stored;
}

static size_t
record_size(const struct sink_record *record)
{
    return record->stream.size + record->rule.size + record->target.size + record->source.size +
           record->params.size + record->payload.size + record->original.size;
}

static struct waiting *
waiting_new(const struct sink_record *record, struct bytes rejection, int64_t now_us)
{
    size_t size = record_size(record);
    struct waiting *waiting = mem_alloc(sizeof *waiting + size);
    *waiting = (struct waiting){.record = *record,
                                .size = sizeof *waiting + size,
                                .weight = LOG_OVERHEAD_BYTES + size + rejection.size,
                                .pushed_us = now_us};
    char *at = waiting->bytes;
    waiting->record.stream = store_bytes(&at, record->stream);
    waiting->record.rule = store_bytes(&at, record->rule);
    waiting->record.target = store_bytes(&at, record->target);
    waiting->record.source = store_bytes(&at, record->source);
    waiting->record.params = store_bytes(&at, record->params);
    waiting->record.payload = store_bytes(&at, record->payload);
    waiting->record.original = store_bytes(&at, record->original);
    waiting->rejection = rejection.size == 0 ? NULL : bytes_to_string(rejection);
    return waiting;
}

static void
waiting_free(struct waiting *waiting)
{
    free(waiting->rejection);
    free(waiting);
}

static void
list_append(struct waiting_list *list, struct waiting *waiting)
{
    waiting->next = NULL;
    waiting->previous = list->last;
    if (list->last == NULL) {
        list->first = waiting;
    } else {
        list->last->next = waiting;
    }
    list->last = waiting;
    list->count++;
    list->bytes += waiting->size;
    list->weight += waiting->weight;
}

static void
list_remove(struct waiting_list *list, struct waiting *waiting)
{
    if (waiting->previous == NULL) {
        list->first = waiting->next;
    } else {
        waiting->previous->next = waiting->next;
    }
    if (waiting->next == NULL) {
        list->last = waiting->previous;
    } else {
        waiting->next->previous = waiting->previous;
    }
    list->count--;
    list->bytes -= waiting->size;
    list->weight -= waiting->weight;
}

/* Moves all of `from` behind `list`. */
static void
list_join(struct waiting_list *list, struct waiting_list *from)
{
    if (from->first != NULL) {
        from->first->previous = list->last;
        if (list->last == NULL) {
            list->first = from->first;
        } else {
            list->last->next = from->first;
        }
        list->last = from->last;
        list->count += from->count;
        list->bytes += from->bytes;
        list->weight += from->weight;
    }
    *from = (struct waiting_list){0};
}

void
waiting_list_free(struct waiting_list *list)
{
    for (struct waiting *waiting = list->first; waiting != NULL;) {
        struct waiting *next = waiting->next;
        waiting_free(waiting);
        waiting = next;
    }
    *list = (struct waiting_list){0};
}

/* ---- the log ---- */

static bool
log_record(struct backlog *backlog, const struct sink_record *record, struct bytes rejection,
           struct record *out, struct diag_list *diags)
{
    struct buf props = {0};
    wire_put_u64(&props, record->id.position);
    wire_put_u32(&props, record->id.output);
    wire_put_signed(&props, record->time_us);
    wire_put_bytes(&props, record->stream);
    wire_put_bytes(&props, record->rule);
    wire_put_bytes(&props, record->source);
    wire_put_varint(&props, record->hops);
    wire_put_bytes(&props, record->params);
    wire_put_bytes(&props, record->original);
    wire_put_bytes(&props, rejection);
    bool is_letter = record->dead_position != 0;
    wire_put_u8(&props, (uint8_t)((record->is_error_action ? FLAG_ERROR_ACTION : 0) |
                                  (is_letter ? FLAG_DEAD_LETTER : 0)));
    if (is_letter) {
        wire_put_varint(&props, record->dead_position);
    }
    *out = (struct record){
            .time_us = backlog->os->wall_us(backlog->os),
            .topic = record->target,
            .props = buf_bytes(&props),
            .payload = record->payload,
    };
    bool logged = journal_append(backlog->journal, out, diags);
    buf_fini(&props);
    backlog->next_index += logged;
    return logged;
}

static bool
decode_record(const struct record *record, struct sink_record *out, struct bytes *rejection)
{
    struct wire_reader reader = wire_reader(record->props);
    *out = (struct sink_record){.target = record->topic, .payload = record->payload};
    out->id.position = wire_get_u64(&reader);
    out->id.output = wire_get_u32(&reader);
    out->time_us = wire_get_signed(&reader);
    out->stream = wire_get_bytes(&reader);
    out->rule = wire_get_bytes(&reader);
    out->source = wire_get_bytes(&reader);
    out->hops = (unsigned)wire_get_varint(&reader);
    out->params = wire_get_bytes(&reader);
    out->original = wire_get_bytes(&reader);
    *rejection = wire_get_bytes(&reader);
    uint8_t flags = wire_get_u8(&reader);
    out->is_error_action = (flags & FLAG_ERROR_ACTION) != 0;
    out->dead_position = (flags & FLAG_DEAD_LETTER) != 0 ? wire_get_varint(&reader) : 0;
    return wire_at_end(&reader);
}

static struct bytes
rejection_of(const struct waiting *waiting)
{
    return waiting->rejection == NULL ? BYTES("") : bytes_of_string(waiting->rejection);
}

/* Of `front`: it is in the log now. */
static void
note_logged(struct backlog *backlog, struct waiting *waiting, const struct record *record)
{
    size_t weight = (size_t)(record->next - record->position);
    backlog->front.weight += weight - waiting->weight;
    backlog->doomed_weight += waiting->is_doomed ? weight - waiting->weight : 0;
    waiting->weight = weight;
    waiting->log_position = record->position;
    waiting->log_index = backlog->next_index - 1;
}

static bool
log_front(struct backlog *backlog, struct diag_list *diags)
{
    while (backlog->unlogged != NULL) {
        struct waiting *waiting = backlog->unlogged;
        struct record record;
        if (!log_record(backlog, &waiting->record, rejection_of(waiting), &record, diags)) {
            return false;
        }
        note_logged(backlog, waiting, &record);
        backlog->unlogged = waiting->next;
    }
    return true;
}

static bool
log_to_disk_run(struct backlog *backlog, const struct sink_record *record,
                struct bytes rejection, struct diag_list *diags)
{
    struct record logged;
    if (!log_record(backlog, record, rejection, &logged, diags)) {
        return false;
    }
    if (!backlog->is_spilled) {
        backlog->is_spilled = true;
        backlog->disk_head = logged.position;
    }
    backlog->disk_records++;
    return true;
}

static bool
log_rear(struct backlog *backlog, struct diag_list *diags)
{
    while (backlog->rear.first != NULL) {
        struct waiting *waiting = backlog->rear.first;
        if (!log_to_disk_run(backlog, &waiting->record, rejection_of(waiting), diags)) {
            return false;
        }
        list_remove(&backlog->rear, waiting);
        waiting_free(waiting);
    }
    return true;
}

/* ---- the core's side ---- */

static bool
open_log(struct backlog *backlog, const struct outbox_mark *mark, struct diag_list *diags)
{
    const struct journal_options options = {
            .os = backlog->os,
            .dir = backlog->dir,
            .segment_bytes = backlog->segment_bytes,
            .record_max_bytes = LOG_RECORD_BYTES_MAX,
            .sync = JOURNAL_SYNC_DEFERRED, /* a push waits for no medium; open cuts */
    };
    return journal_open(&backlog->journal, &options, diags) &&
           journal_cut(backlog->journal, mark->tail, diags);
}

bool
backlog_open(struct backlog *backlog, const struct os *os, const char *dir,
             const struct backlog_limits *limits, const struct outbox_mark *mark,
             struct diag_list *diags)
{
    *backlog = (struct backlog){.os = os, .memory_max_bytes = limits->memory_max_bytes};
    backlog->segment_bytes =
            limits->segment_bytes > 0 ? limits->segment_bytes : BACKLOG_SEGMENT_BYTES;
    backlog->dir = bytes_to_string(bytes_of_string(dir));
    if (!open_log(backlog, mark, diags)) {
        backlog_close(backlog);
        return false;
    }
    backlog->next_index = mark->records;
    backlog->restored_tail = mark->records > 0 ? mark->tail : 0;
    if (mark->records > 0) {
        backlog->is_spilled = true;
        backlog->disk_head = mark->head;
        backlog->disk_records = mark->records;
    }
    if (backlog->is_spilled && journal_tail(backlog->journal) <= mark->head) {
        backlog->is_spilled = false;
        backlog->disk_records = 0;
        backlog->lost = mark->records;
        struct diag_place place = {.file = bytes_of_string(dir)};
        diag_at(diags, DIAG_WARNING, &place,
                "the backlog ends before position %" PRIu64 ": %" PRIu64 " records are lost",
                mark->head, mark->records);
    }
    return true;
}

void
backlog_close(struct backlog *backlog)
{
    waiting_list_free(&backlog->front);
    waiting_list_free(&backlog->rear);
    journal_reader_close(backlog->reader);
    journal_reader_close(backlog->dropper);
    journal_close(backlog->journal);
    free(backlog->dir);
    *backlog = (struct backlog){0};
}

static void
keep_in_memory(struct backlog *backlog, struct waiting_list *list,
               const struct sink_record *record, struct bytes rejection)
{
    struct waiting *waiting = waiting_new(record, rejection, backlog->os->mono_us(backlog->os));
    list_append(list, waiting);
    if (list == &backlog->front && backlog->unlogged == NULL) {
        backlog->unlogged = waiting;
    }
}

static bool
spill(struct backlog *backlog, const struct sink_record *record, struct bytes rejection,
      struct diag_list *diags)
{
    int64_t now_us = backlog->os->mono_us(backlog->os);
    if (now_us < backlog->spill_again_us) {
        return false;
    }
    if (log_front(backlog, diags) && log_rear(backlog, diags) &&
        log_to_disk_run(backlog, record, rejection, diags)) {
        return true;
    }
    backlog->spill_again_us = now_us + SPILL_PAUSE_US;
    return false;
}

bool
backlog_push(struct backlog *backlog, const struct sink_record *record, struct bytes rejection,
             struct diag_list *diags)
{
    check(record_size(record) <= OUTBOX_RECORD_BYTES_MAX);
    check(backlog->is_spilled ? backlog->unlogged == NULL : backlog->rear.count == 0);
    size_t bytes = backlog->front.bytes + sizeof(struct waiting) + record_size(record);
    if (!backlog->is_spilled &&
        (bytes <= backlog->memory_max_bytes || backlog->front.count == 0)) {
        keep_in_memory(backlog, &backlog->front, record, rejection);
        return true;
    }
    if (spill(backlog, record, rejection, diags)) {
        return true;
    }
    keep_in_memory(backlog, backlog->is_spilled ? &backlog->rear : &backlog->front, record,
                   rejection);
    return false;
}

bool
backlog_log_all(struct backlog *backlog, struct outbox_mark *out, struct diag_list *diags)
{
    if (!log_front(backlog, diags) || !log_rear(backlog, diags)) {
        return false;
    }
    const struct waiting *first = backlog->front.first;
    while (first != NULL && first->is_doomed) {
        first = first->next;
    }
    uint64_t tail = journal_tail(backlog->journal);
    uint64_t index = first != NULL ? first->log_index
                                   : backlog->next_index - backlog->disk_records;
    *out = (struct outbox_mark){
            .head = first != NULL ? first->log_position
                    : backlog->is_spilled ? backlog->disk_head
                                          : tail,
            .tail = tail,
            .records = backlog->next_index - index,
    };
    return true;
}

bool
backlog_is_restored(const struct backlog *backlog, uint64_t log_position)
{
    return log_position < backlog->restored_tail && log_position > 0;
}

bool
backlog_is_empty(const struct backlog *backlog)
{
    return backlog->front.count == 0 && !backlog->is_spilled && backlog->rear.count == 0;
}

bool
backlog_is_full(const struct backlog *backlog)
{
    bool is_at_limit = backlog->max_bytes > 0 && !backlog->drops_oldest &&
                       backlog_bytes(backlog) >= backlog->max_bytes;
    return is_at_limit || backlog->rear.count > 0 ||
           (backlog->front.bytes > backlog->memory_max_bytes && backlog->front.count > 1);
}

uint64_t
backlog_bytes(const struct backlog *backlog)
{
    uint64_t disk =
            backlog->is_spilled ? journal_tail(backlog->journal) - backlog->disk_head : 0;
    return backlog->front.weight - backlog->doomed_weight + disk + backlog->rear.weight;
}

/* ---- giving up the oldest ---- */

/* All records on disk have been read: what follows them is in memory. */
static void
end_disk_run(struct backlog *backlog)
{
    backlog->lost += backlog->disk_records;
    backlog->disk_records = 0;
    backlog->is_spilled = false;
    backlog->unlogged = backlog->rear.first;
    list_join(&backlog->front, &backlog->rear);
}

static void
drop_from_front(struct backlog *backlog, uint64_t bytes, backlog_drop_fn dropped, void *context)
{
    struct waiting *next;
    for (struct waiting *waiting = backlog->front.first;
         waiting != NULL && backlog_bytes(backlog) > bytes; waiting = next) {
        next = waiting->next;
        if (!waiting->is_taken) {
            dropped(context, &waiting->record,
                    backlog_is_restored(backlog, waiting->log_position));
            backlog_remove(backlog, waiting);
        } else if (!waiting->is_doomed) {
            waiting->is_doomed = true;
            backlog->doomed_weight += waiting->weight;
            backlog->doomed_count++;
        }
    }
}

static bool
open_dropper(struct backlog *backlog, struct diag_list *diags)
{
    if (backlog->dropper != NULL &&
        journal_reader_position(backlog->dropper) != backlog->disk_head) {
        journal_reader_close(backlog->dropper);
        backlog->dropper = NULL;
    }
    return backlog->dropper != NULL ||
           journal_reader_open(&backlog->dropper, backlog->os, backlog->dir, backlog->disk_head,
                               diags);
}

static bool
drop_from_disk(struct backlog *backlog, uint64_t bytes, backlog_drop_fn dropped, void *context,
               struct diag_list *diags)
{
    if (!open_dropper(backlog, diags)) {
        backlog->dropper = NULL;
        return false;
    }
    uint64_t tail = journal_tail(backlog->journal);
    bool is_read = true;
    while (is_read && backlog->disk_head < tail && backlog_bytes(backlog) > bytes) {
        struct record record;
        struct sink_record found;
        struct bytes rejection;
        enum journal_read result = journal_reader_next(backlog->dropper, tail, &record, diags);
        is_read = result == JOURNAL_RECORD || result == JOURNAL_GAP;
        if (result == JOURNAL_RECORD && decode_record(&record, &found, &rejection)) {
            dropped(context, &found, backlog_is_restored(backlog, record.position));
            backlog->disk_records -= backlog->disk_records > 0;
        }
        backlog->disk_head = journal_reader_position(backlog->dropper);
    }
    if (backlog->disk_head >= tail) {
        end_disk_run(backlog);
    }
    return is_read;
}

bool
backlog_drop_oldest(struct backlog *backlog, uint64_t bytes, backlog_drop_fn dropped,
                    void *context, struct diag_list *diags)
{
    drop_from_front(backlog, bytes, dropped, context);
    if (backlog->is_spilled && backlog_bytes(backlog) > bytes) {
        bool is_read = drop_from_disk(backlog, bytes, dropped, context, diags);
        drop_from_front(backlog, bytes, dropped, context); /* what was behind the disk run */
        return is_read;
    }
    return true;
}

/* ---- the sink's thread's side ---- */

bool
backlog_read(struct backlog *backlog, uint64_t head, uint64_t limit, size_t max_bytes,
             struct waiting_list *out, uint64_t *end, struct diag_list *diags)
{
    if (backlog->reader != NULL && journal_reader_position(backlog->reader) != head) {
        journal_reader_close(backlog->reader);
        backlog->reader = NULL;
    }
    if (backlog->reader == NULL &&
        !journal_reader_open(&backlog->reader, backlog->os, backlog->dir, head, diags)) {
        return false;
    }
    int64_t now_us = backlog->os->mono_us(backlog->os);
    bool is_read = true;
    while (out->bytes < max_bytes) {
        struct record record;
        struct sink_record found;
        enum journal_read result = journal_reader_next(backlog->reader, limit, &record, diags);
        struct bytes rejection;
        if (result == JOURNAL_RECORD && decode_record(&record, &found, &rejection)) {
            struct waiting *waiting = waiting_new(&found, rejection, now_us);
            waiting->log_position = record.position;
            waiting->weight = (size_t)(record.next - record.position);
            list_append(out, waiting);
        } else if (result == JOURNAL_ERROR) {
            is_read = out->count > 0; /* what was read before it is good */
            break;
        } else if (result == JOURNAL_END) {
            break;
        }
    }
    *end = journal_reader_position(backlog->reader);
    return is_read;
}

bool
backlog_each_logged(const struct os *os, const char *dir, uint64_t from, uint64_t to,
                    backlog_record_fn each, void *context, struct diag_list *diags)
{
    struct journal_reader *reader = NULL;
    enum journal_read result = JOURNAL_RECORD;
    if (!journal_reader_open(&reader, os, dir, from, diags)) {
        return false;
    }
    while (result == JOURNAL_RECORD || result == JOURNAL_GAP) {
        struct record record;
        struct sink_record found;
        struct bytes rejection;
        result = journal_reader_next(reader, to, &record, diags);
        if (result == JOURNAL_RECORD && decode_record(&record, &found, &rejection)) {
            each(context, &found, record.position);
        }
    }
    journal_reader_close(reader);
    return result == JOURNAL_END;
}

/* Frees what was given up while it was being read. */
static void
discard_dropped(const struct backlog *backlog, struct waiting_list *read)
{
    uint64_t head = backlog->is_spilled ? backlog->disk_head : UINT64_MAX;
    while (read->first != NULL && read->first->log_position < head) {
        struct waiting *waiting = read->first;
        list_remove(read, waiting);
        waiting_free(waiting);
    }
}

void
backlog_adopt(struct backlog *backlog, struct waiting_list *read, uint64_t end)
{
    discard_dropped(backlog, read);
    if (!backlog->is_spilled || end <= backlog->disk_head) {
        return;
    }
    check(backlog->unlogged == NULL);
    uint64_t index = backlog->next_index - backlog->disk_records;
    for (struct waiting *waiting = read->first; waiting != NULL; waiting = waiting->next) {
        waiting->log_index = index++;
    }
    backlog->disk_records -=
            read->count < backlog->disk_records ? read->count : backlog->disk_records;
    backlog->disk_head = end;
    list_join(&backlog->front, read);
    if (end >= journal_tail(backlog->journal)) {
        end_disk_run(backlog);
    }
}

void
backlog_remove(struct backlog *backlog, struct waiting *waiting)
{
    if (backlog->unlogged == waiting) {
        backlog->unlogged = waiting->next;
    }
    backlog->doomed_weight -= waiting->is_doomed ? waiting->weight : 0;
    backlog->doomed_count -= waiting->is_doomed;
    list_remove(&backlog->front, waiting);
    waiting_free(waiting);
}
