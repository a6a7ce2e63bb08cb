/*
 * Interval join: rows of two tables whose times are near each other.
 *
 * Each side keeps its rows by key, in the order of time, for as long as a partner may still come:
 * until the watermark has passed the far end of their interval. A pair comes out when its second
 * row arrives. In a LEFT JOIN a row that found nobody comes out when its interval has passed.
 */
#include "join.h"

#include "base/map.h"
#include "base/mem.h"
#include "rows.h"

#include <stdlib.h>

enum { ROW_OVERHEAD_BYTES = 48 };

struct join_key {
    struct kept_rows rows; /* sequence: 1 when a left row has found a partner */
    size_t size;
    char bytes[];
};

struct join_op {
    struct stream_op op;
    struct map keys[2];
    struct buf key;
};

static const struct join_plan *
plan_of(const struct join_op *join)
{
    return (const struct join_plan *)join->op.plan;
}

static struct join_key *
key_of(struct map *keys, struct bytes bytes, bool make)
{
    bytes = bytes.size == 0 ? BYTES("") : bytes;
    struct join_key *key = map_find(keys, bytes);
    if (key == NULL && make) {
        key = mem_alloc_zeroed(1, sizeof *key + bytes.size + 1);
        key->size = bytes.size;
        memcpy(key->bytes, bytes.data, bytes.size);
        map_put(keys, bytes_of(key->bytes, key->size), key);
    }
    return key;
}

/* Encodes the keys; false: the row failed. A NULL key has no partner. */
static bool
encode_key(struct join_op *join, struct stream_run *run, unsigned side,
           const struct stream_value *row, bool *has_null)
{
    const struct join_plan *plan = plan_of(join);
    buf_clear(&join->key);
    *has_null = false;
    for (size_t i = 0; i < plan->key_count; i++) {
        struct stream_value value;
        if (!stream_op_eval(&join->op, run, plan->sides[side].keys[i], row, &value)) {
            return false;
        }
        *has_null |= value.is_null;
        stream_key_put(&join->key, plan->sides[side].key_types[i], &value);
    }
    return true;
}

/* Both rows side by side; `right` NULL: NULLs. */
static struct stream_value *
pair(struct join_op *join, struct stream_run *run, const struct stream_value *left,
     const struct stream_value *right)
{
    const struct join_plan *plan = plan_of(join);
    size_t lefts = plan->sides[0].schema.count, rights = plan->sides[1].schema.count;
    struct stream_value *both = arena_alloc(&run->arena, (lefts + rights) * sizeof *both);
    memcpy(both, left, lefts * sizeof *both);
    for (size_t i = 0; i < rights; i++) {
        both[lefts + i] = right == NULL ? stream_null() : right[i];
    }
    return both;
}

static bool
push_pair(struct join_op *join, struct stream_run *run, const struct stream_value *left,
          const struct stream_value *right)
{
    const struct join_plan *plan = plan_of(join);
    struct stream_value *both = pair(join, run, left, right), pass;
    if (plan->rest != NULL && (!stream_op_eval(&join->op, run, plan->rest, both, &pass) ||
                               pass.is_null || pass.integer == 0)) {
        return false;
    }
    stream_push(&join->op, run, both);
    return true;
}

static bool
near(const struct join_plan *plan, int64_t left_ms, int64_t right_ms)
{
    return right_ms - left_ms >= plan->low_ms && right_ms - left_ms <= plan->high_ms;
}

/* Joins a row with those of the other side; returns whether there was a partner. */
static bool
meet(struct join_op *join, struct stream_run *run, unsigned side, int64_t time_ms,
     const struct stream_value *row)
{
    const struct join_plan *plan = plan_of(join);
    struct join_key *others = key_of(&join->keys[1 - side], buf_bytes(&join->key), false);
    bool met = false;
    for (size_t i = 0; others != NULL && i < others->rows.count; i++) {
        struct kept_row *other = kept_rows_at(&others->rows, i);
        int64_t left_ms = side == 0 ? time_ms : other->time_ms;
        int64_t right_ms = side == 0 ? other->time_ms : time_ms;
        if (!near(plan, left_ms, right_ms)) {
            continue;
        }
        const struct stream_value *values = kept_row_values(
                other, &plan->sides[1 - side].schema, &run->arena);
        bool joined = side == 0 ? push_pair(join, run, row, values)
                                : push_pair(join, run, values, row);
        if (joined && side == 1) {
            other->sequence = 1;
        }
        met |= joined;
    }
    return met;
}

/* After this watermark a row of that time has no partner to wait for. */
static int64_t
needed_until(const struct join_plan *plan, unsigned side, int64_t time_ms)
{
    return side == 0 ? time_ms + plan->high_ms : time_ms - plan->low_ms;
}

static void
row(struct stream_op *op, struct stream_run *run, unsigned port, const struct stream_value *values)
{
    struct join_op *join = (struct join_op *)op;
    const struct join_plan *plan = plan_of(join);
    int64_t time_ms;
    bool has_null;
    if (!stream_row_time(op, run, plan->sides[port].time, values, &time_ms) ||
        !encode_key(join, run, port, values, &has_null)) {
        return;
    }
    bool met = !has_null && meet(join, run, port, time_ms, values);
    bool is_late = op->watermark_ms != INT64_MIN &&
                   needed_until(plan, port, time_ms) < op->watermark_ms;
    if (is_late && !met) {
        run->stats.late++;
        stream_reject(run, "late: its partners have gone");
    }
    if (is_late) {
        return;
    }
    struct kept_row kept = kept_row_of(&plan->sides[port].schema, values, time_ms, met);
    if (!stream_take(run, kept.size + ROW_OVERHEAD_BYTES)) {
        kept_row_fini(&kept);
        return;
    }
    kept_rows_insert(&key_of(&join->keys[port], buf_bytes(&join->key), true)->rows, kept);
}

/* Gives up the rows of a key that nobody can meet any more; true: none is left. */
static bool
expire(struct join_op *join, struct stream_run *run, unsigned side, struct join_key *key,
       int64_t ms)
{
    const struct join_plan *plan = plan_of(join);
    while (key->rows.count > 0 &&
           needed_until(plan, side, kept_rows_at(&key->rows, 0)->time_ms) < ms) {
        struct kept_row old = kept_rows_shift(&key->rows);
        if (plan->is_left && side == 0 && old.sequence == 0) {
            const struct stream_value *left = kept_row_values(&old, &plan->sides[0].schema,
                                                              &run->arena);
            stream_push(&join->op, run, pair(join, run, left, NULL));
        }
        stream_give(run, old.size + ROW_OVERHEAD_BYTES);
        kept_row_fini(&old);
    }
    return key->rows.count == 0;
}

static int
compare_keys(const void *a, const void *b)
{
    const struct join_key *x = *(struct join_key *const *)a, *y = *(struct join_key *const *)b;
    return bytes_compare(bytes_of(x->bytes, x->size), bytes_of(y->bytes, y->size));
}

static void
expire_side(struct join_op *join, struct stream_run *run, unsigned side, int64_t ms)
{
    struct map *keys = &join->keys[side];
    struct join_key **sorted = arena_alloc(&run->arena, (keys->count + 1) * sizeof *sorted);
    size_t count = 0, cursor = 0;
    struct bytes name;
    void *value;
    while (map_next(keys, &cursor, &name, &value)) {
        sorted[count++] = value;
    }
    qsort(sorted, count, sizeof *sorted, compare_keys);
    for (size_t i = 0; i < count; i++) {
        if (expire(join, run, side, sorted[i], ms)) {
            map_remove(keys, bytes_of(sorted[i]->bytes, sorted[i]->size));
            kept_rows_fini(&sorted[i]->rows);
            free(sorted[i]);
        }
    }
}

static void
watermark(struct stream_op *op, struct stream_run *run, unsigned port, int64_t ms)
{
    struct join_op *join = (struct join_op *)op;
    expire_side(join, run, 0, ms);
    expire_side(join, run, 1, ms);
    stream_push_watermark(op, run, ms);
}

static void
close(struct stream_op *op)
{
    struct join_op *join = (struct join_op *)op;
    for (unsigned side = 0; side < 2; side++) {
        size_t cursor = 0;
        struct bytes name;
        void *value;
        while (map_next(&join->keys[side], &cursor, &name, &value)) {
            kept_rows_fini(&((struct join_key *)value)->rows);
            free(value);
        }
        map_fini(&join->keys[side]);
    }
    buf_fini(&join->key);
}

static void
save(const struct stream_op *op, struct buf *out)
{
    const struct join_op *join = (const struct join_op *)op;
    for (unsigned side = 0; side < 2; side++) {
        size_t cursor = 0;
        struct bytes name;
        void *value;
        wire_put_varint(out, join->keys[side].count);
        while (map_next(&join->keys[side], &cursor, &name, &value)) {
            wire_put_bytes(out, name);
            kept_rows_save(&((struct join_key *)value)->rows, out);
        }
    }
}

static bool
load(struct stream_op *op, struct wire_reader *reader)
{
    struct join_op *join = (struct join_op *)op;
    for (unsigned side = 0; side < 2; side++) {
        uint64_t count = wire_get_varint(reader);
        for (uint64_t i = 0; i < count && !reader->failed; i++) {
            struct join_key *key = key_of(&join->keys[side], wire_get_bytes(reader), true);
            if (!kept_rows_load(&key->rows, reader)) {
                return false;
            }
        }
    }
    return wire_at_end(reader);
}

const struct stream_op_class stream_join_class = {
        .name = "join",
        .size = sizeof(struct join_op),
        .close = close,
        .row = row,
        .watermark = watermark,
        .save = save,
        .load = load,
};
