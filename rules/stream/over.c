/*
 * OVER: for each row an aggregate of the rows before it, LAG, or its number.
 *
 * Each key keeps the rows that a later frame may still reach. In event time a row waits until the
 * watermark has reached it; then all that wait come out in the order of their times, and rows of
 * equal time are peers: a RANGE frame of each holds all of them.
 */
#include "over.h"

#include "base/mem.h"
#include "rows.h"

#include <stdlib.h>

enum { ROW_OVERHEAD_BYTES = 48 };

struct over_key {
    struct kept_rows past;  /* came out already, in order */
    struct accumulator *running; /* of unbounded frames: one a call */
    int64_t numbered;       /* rows so far, for ROW_NUMBER */
    int64_t touched_ms;
    size_t size;
    char bytes[];
};

struct over_op {
    struct stream_op op;
    struct map keys;
    struct kept_rows waiting; /* for the watermark, in the order of times */
    int64_t due_ms;           /* no key is silent for long enough before */
    struct buf key;
};

static const struct over_plan *
plan_of(const struct over_op *over)
{
    return (const struct over_plan *)over->op.plan;
}

/* The schema of the rows that come in: the first columns of those that go out. */
static struct stream_schema
input_schema(const struct over_plan *plan)
{
    return (struct stream_schema){plan->op.schema.columns, plan->input_columns};
}

static void
key_free(const struct over_plan *plan, struct over_key *key)
{
    for (size_t i = 0; i < plan->call_count && key->running != NULL; i++) {
        aggregate_fini(&key->running[i]);
    }
    free(key->running);
    kept_rows_fini(&key->past);
    free(key);
}

static struct over_key *
key_new(struct over_op *over, struct bytes bytes)
{
    const struct over_plan *plan = plan_of(over);
    struct over_key *key = mem_alloc_zeroed(1, sizeof *key + bytes.size + 1);
    key->size = bytes.size;
    memcpy(key->bytes, bytes.size == 0 ? "" : bytes.data, bytes.size);
    if (plan->frame == OVER_UNBOUNDED) {
        key->running = mem_new_array(struct accumulator, plan->call_count);
    }
    map_put(&over->keys, bytes_of(key->bytes, key->size), key);
    return key;
}

/* NULL: the row failed, or there is no room. */
static struct over_key *
key_of(struct over_op *over, struct stream_run *run, const struct stream_value *row)
{
    const struct over_plan *plan = plan_of(over);
    buf_clear(&over->key);
    for (size_t i = 0; i < plan->key_count; i++) {
        struct stream_value value;
        if (!stream_op_eval(&over->op, run, plan->keys[i], row, &value)) {
            return NULL;
        }
        stream_key_put(&over->key, plan->key_types[i], &value);
    }
    struct bytes bytes = over->key.size == 0 ? BYTES("") : buf_bytes(&over->key);
    struct over_key *key = map_find(&over->keys, bytes);
    if (key == NULL) {
        if (!stream_take(run, sizeof *key + bytes.size + ROW_OVERHEAD_BYTES)) {
            return NULL;
        }
        key = key_new(over, bytes);
    }
    key->touched_ms = run->context.now_ms;
    if (plan->keep_ms > 0 && over->due_ms == INT64_MAX) {
        over->due_ms = key->touched_ms + plan->keep_ms;
    }
    return key;
}

/* ---- one row ---- */

/* Whether a row of the past is in the frame of a row. */
static bool
in_frame(const struct over_plan *plan, const struct kept_row *past, const struct kept_row *row)
{
    if (plan->frame != OVER_RANGE) {
        return true;
    }
    int64_t distance = row->time_ms - past->time_ms;
    return plan->is_lower_exclusive ? distance < plan->preceding : distance <= plan->preceding;
}

/* The aggregate over the rows [from, to) of the past. */
static bool
aggregate_past(struct over_op *over, struct stream_run *run, const struct over_key *key,
               const struct aggregate *aggregate, size_t from, size_t to,
               struct stream_value *out)
{
    const struct over_plan *plan = plan_of(over);
    const struct stream_schema schema = input_schema(plan);
    struct accumulator accumulator = {0};
    bool done = true;
    for (size_t i = from; i < to && done; i++) {
        const struct stream_value *row = kept_row_values(kept_rows_at(&key->past, i), &schema,
                                                         &run->arena);
        done = aggregate_take(aggregate, &accumulator, &over->op, run, row);
    }
    done = done && aggregate_finish(aggregate, &accumulator, &run->arena, out);
    if (done && (aggregate->type.kind == STREAM_STRING || aggregate->type.kind == STREAM_JSON) &&
        !out->is_null) {
        out->text = arena_copy(&run->arena, out->text);
    }
    aggregate_fini(&accumulator);
    return done;
}

static bool
lag(struct over_op *over, struct stream_run *run, const struct over_key *key,
    const struct over_call *call, size_t at, struct stream_value *out)
{
    const struct stream_schema schema = input_schema(plan_of(over));
    if ((int64_t)at < call->distance) {
        *out = stream_null();
        return true;
    }
    const struct kept_row *past = kept_rows_at(&key->past, at - (size_t)call->distance);
    return stream_op_eval(&over->op, run, call->arg,
                          kept_row_values(past, &schema, &run->arena), out);
}

/* The row at place `at` of the past goes out; its frame ends before `peers`. */
static void
emit(struct over_op *over, struct stream_run *run, struct over_key *key, size_t at, size_t peers)
{
    const struct over_plan *plan = plan_of(over);
    const struct stream_schema schema = input_schema(plan);
    const struct kept_row *row = kept_rows_at(&key->past, at);
    struct stream_value *out = arena_alloc(&run->arena, plan->op.schema.count * sizeof *out);
    memcpy(out, kept_row_values(row, &schema, &run->arena), schema.count * sizeof *out);
    size_t from = 0, to = plan->frame == OVER_ROWS ? at + 1 : peers;
    if (plan->frame == OVER_ROWS && (int64_t)at > plan->preceding) {
        from = at - (size_t)plan->preceding;
    }
    while (from < at && !in_frame(plan, kept_rows_at(&key->past, from), row)) {
        from++;
    }
    key->numbered++;
    for (size_t i = 0; i < plan->call_count; i++) {
        const struct over_call *call = &plan->calls[i];
        struct stream_value *value = &out[schema.count + i];
        bool done = true;
        if (call->kind == OVER_ROW_NUMBER) {
            *value = stream_integer(key->numbered);
        } else if (call->kind == OVER_LAG) {
            done = lag(over, run, key, call, at, value);
        } else if (plan->frame == OVER_UNBOUNDED) {
            done = aggregate_finish(call->aggregate, &key->running[i], &run->arena, value);
        } else {
            done = aggregate_past(over, run, key, call->aggregate, from, to, value);
        }
        if (!done) {
            return;
        }
    }
    stream_push(&over->op, run, out);
}

/* What no later frame can reach goes. Rows come in order, so a row at `time_ms` decides. */
static void
trim(const struct over_plan *plan, struct stream_run *run, struct over_key *key, int64_t time_ms)
{
    const struct kept_row now = {.time_ms = time_ms};
    int64_t rows = plan->frame == OVER_ROWS ? plan->preceding : 0;
    rows = plan->rows_kept > rows ? plan->rows_kept : rows;
    while ((int64_t)key->past.count > rows &&
           (plan->frame != OVER_RANGE || !in_frame(plan, kept_rows_at(&key->past, 0), &now))) {
        struct kept_row old = kept_rows_shift(&key->past);
        stream_give(run, old.size + ROW_OVERHEAD_BYTES);
        kept_row_fini(&old);
    }
}

/* Takes rows of one key and equal time into the past and lets them out. */
static void
take_peers(struct over_op *over, struct stream_run *run, struct over_key *key, size_t first)
{
    const struct over_plan *plan = plan_of(over);
    const struct stream_schema schema = input_schema(plan);
    size_t count = key->past.count;
    int64_t time_ms = kept_rows_at(&key->past, first)->time_ms;
    for (size_t i = first; i < count && plan->frame == OVER_UNBOUNDED; i++) {
        const struct stream_value *row = kept_row_values(kept_rows_at(&key->past, i), &schema,
                                                         &run->arena);
        for (size_t c = 0; c < plan->call_count; c++) {
            if (plan->calls[c].kind == OVER_AGGREGATE) {
                aggregate_take(plan->calls[c].aggregate, &key->running[c], &over->op, run, row);
            }
        }
    }
    for (size_t i = first; i < count; i++) {
        emit(over, run, key, i, count);
    }
    trim(plan, run, key, time_ms);
}

/* ---- rows and time ---- */

static void
row(struct stream_op *op, struct stream_run *run, unsigned port, const struct stream_value *values)
{
    struct over_op *over = (struct over_op *)op;
    const struct over_plan *plan = plan_of(over);
    const struct stream_schema schema = input_schema(plan);
    int64_t time_ms;
    if (!stream_row_time(op, run, plan->time, values, &time_ms)) {
        return;
    }
    if (plan->time != NULL && time_ms <= op->watermark_ms) {
        run->stats.late++;
        stream_reject(run, "late: rows behind it have come out");
        return;
    }
    struct kept_row kept = kept_row_of(&schema, values, time_ms, run->sequence);
    if (!stream_take(run, kept.size + ROW_OVERHEAD_BYTES)) {
        kept_row_fini(&kept);
        return;
    }
    if (plan->time != NULL) {
        kept_rows_insert(&over->waiting, kept);
        return;
    }
    struct over_key *key = key_of(over, run, values);
    if (key == NULL) {
        stream_give(run, kept.size + ROW_OVERHEAD_BYTES);
        kept_row_fini(&kept);
        return;
    }
    kept_rows_push(&key->past, kept);
    take_peers(over, run, key, key->past.count - 1);
}

/* The waiting rows of one time and one key: the first, and those behind it with the same key. */
static void
release_key(struct over_op *over, struct stream_run *run, struct kept_row *rows, size_t count)
{
    const struct stream_schema schema = input_schema(plan_of(over));
    struct over_key *key = NULL;
    size_t first = 0;
    for (size_t i = 0; i < count; i++) {
        if (rows[i].bytes == NULL) {
            continue;
        }
        struct over_key *own = key_of(over, run, kept_row_values(&rows[i], &schema, &run->arena));
        if (own == NULL) {
            kept_row_fini(&rows[i]);
        } else if (key == NULL || own == key) {
            first = key == NULL ? own->past.count : first;
            key = own;
            kept_rows_push(&key->past, rows[i]);
            rows[i].bytes = NULL; /* the past owns it */
        }
    }
    if (key != NULL) {
        take_peers(over, run, key, first);
    }
}

static void
watermark(struct stream_op *op, struct stream_run *run, unsigned port, int64_t ms)
{
    struct over_op *over = (struct over_op *)op;
    while (over->waiting.count > 0 && kept_rows_at(&over->waiting, 0)->time_ms <= ms) {
        int64_t time_ms = kept_rows_at(&over->waiting, 0)->time_ms;
        size_t count = 0, left;
        while (count < over->waiting.count &&
               kept_rows_at(&over->waiting, count)->time_ms == time_ms) {
            count++;
        }
        struct kept_row *rows = arena_alloc(&run->arena, count * sizeof *rows);
        for (size_t i = 0; i < count; i++) {
            rows[i] = kept_rows_shift(&over->waiting);
        }
        do {
            release_key(over, run, rows, count);
            left = 0;
            for (size_t i = 0; i < count; i++) {
                left += rows[i].bytes != NULL;
            }
        } while (left > 0);
    }
    stream_push_watermark(op, run, ms);
}

/* ---- keys that fell silent ---- */

static int64_t
next_tick(const struct stream_op *op)
{
    return ((const struct over_op *)op)->due_ms;
}

static void
tick(struct stream_op *op, struct stream_run *run)
{
    struct over_op *over = (struct over_op *)op;
    const struct over_plan *plan = plan_of(over);
    int64_t before_ms = run->context.now_ms - plan->keep_ms;
    size_t cursor = 0;
    struct bytes name;
    void *value;
    over->due_ms = INT64_MAX;
    while (map_next(&over->keys, &cursor, &name, &value)) {
        struct over_key *key = value;
        if (key->touched_ms <= before_ms) {
            map_remove(&over->keys, bytes_of(key->bytes, key->size));
            stream_give(run, sizeof *key + key->size + ROW_OVERHEAD_BYTES);
            key_free(plan, key);
            cursor = 0; /* a removal moves entries */
            over->due_ms = INT64_MAX;
        } else if (key->touched_ms + plan->keep_ms < over->due_ms) {
            over->due_ms = key->touched_ms + plan->keep_ms;
        }
    }
}

static void
set_back(struct stream_op *op, struct stream_run *run)
{
    struct over_op *over = (struct over_op *)op;
    const struct over_plan *plan = plan_of(over);
    int64_t now_ms = run->context.now_ms;
    bool is_anew = plan->time == NULL || op->watermark_ms == INT64_MIN;
    size_t cursor = 0;
    struct bytes name;
    void *value;
    while (map_next(&over->keys, &cursor, &name, &value)) {
        struct over_key *key = value;
        key->touched_ms = key->touched_ms > now_ms ? now_ms : key->touched_ms;
        if (is_anew) {
            kept_rows_set_back(&key->past, now_ms);
        }
    }
    over->due_ms = plan->keep_ms > 0 && over->keys.count > 0 ? now_ms : INT64_MAX;
}

/* ---- life ---- */

static void
open(struct stream_op *op)
{
    ((struct over_op *)op)->due_ms = INT64_MAX;
}

static void
close(struct stream_op *op)
{
    struct over_op *over = (struct over_op *)op;
    size_t cursor = 0;
    struct bytes name;
    void *value;
    while (map_next(&over->keys, &cursor, &name, &value)) {
        key_free(plan_of(over), value);
    }
    map_fini(&over->keys);
    kept_rows_fini(&over->waiting);
    buf_fini(&over->key);
}

static void
save(const struct stream_op *op, struct buf *out)
{
    const struct over_op *over = (const struct over_op *)op;
    const struct over_plan *plan = plan_of(over);
    size_t cursor = 0;
    struct bytes name;
    void *value;
    kept_rows_save(&over->waiting, out);
    wire_put_varint(out, over->keys.count);
    while (map_next(&over->keys, &cursor, &name, &value)) {
        const struct over_key *key = value;
        wire_put_bytes(out, name);
        wire_put_signed(out, key->numbered);
        wire_put_signed(out, key->touched_ms);
        kept_rows_save(&key->past, out);
        for (size_t i = 0; i < plan->call_count && key->running != NULL; i++) {
            if (plan->calls[i].kind == OVER_AGGREGATE) {
                aggregate_save(plan->calls[i].aggregate, &key->running[i], out);
            }
        }
    }
}

static bool
load(struct stream_op *op, struct wire_reader *reader)
{
    struct over_op *over = (struct over_op *)op;
    const struct over_plan *plan = plan_of(over);
    if (!kept_rows_load(&over->waiting, reader)) {
        return false;
    }
    uint64_t count = wire_get_varint(reader);
    for (uint64_t i = 0; i < count && !reader->failed; i++) {
        struct bytes name = wire_get_bytes(reader);
        if (reader->failed || map_find(&over->keys, name) != NULL) {
            return false;
        }
        struct over_key *key = key_new(over, name);
        key->numbered = wire_get_signed(reader);
        key->touched_ms = wire_get_signed(reader);
        if (plan->keep_ms > 0 && key->touched_ms + plan->keep_ms < over->due_ms) {
            over->due_ms = key->touched_ms + plan->keep_ms;
        }
        if (!kept_rows_load(&key->past, reader)) {
            return false;
        }
        for (size_t c = 0; c < plan->call_count && key->running != NULL; c++) {
            if (plan->calls[c].kind == OVER_AGGREGATE &&
                !aggregate_load(plan->calls[c].aggregate, &key->running[c], reader)) {
                return false;
            }
        }
    }
    return wire_at_end(reader);
}

const struct stream_op_class stream_over_class = {
        .name = "over",
        .size = sizeof(struct over_op),
        .open = open,
        .close = close,
        .row = row,
        .watermark = watermark,
        .tick = tick,
        .set_back = set_back,
        .next_tick = next_tick,
        .save = save,
        .load = load,
};
