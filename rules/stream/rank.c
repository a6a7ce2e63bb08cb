/*
 * ROW_NUMBER() OVER (PARTITION BY window_start, window_end, ... ORDER BY x): the rows of a window
 * are kept until it is over, then numbered in order. Equal rows are numbered by arrival.
 */
#include "base/mem.h"
#include "over.h"
#include "rows.h"

#include <stdlib.h>

enum { ROW_OVERHEAD_BYTES = 48 };

struct rank_op {
    struct stream_op op;
    struct kept_rows rows; /* in the order of when their windows are over */
};

static const struct rank_plan *
plan_of(const struct stream_op *op)
{
    return (const struct rank_plan *)op->plan;
}

/* The rows that come in: without the number behind them. */
static struct stream_schema
input_schema(const struct rank_plan *plan)
{
    return (struct stream_schema){plan->op.schema.columns, plan->op.schema.count - 1};
}

static void
row(struct stream_op *op, struct stream_run *run, unsigned port, const struct stream_value *values)
{
    struct rank_op *rank = (struct rank_op *)op;
    const struct rank_plan *plan = plan_of(op);
    const struct stream_schema schema = input_schema(plan);
    const struct zone *zone = plan->is_local ? run->context.zone : NULL;
    int64_t over_ms = stream_instant_ms(zone, values[plan->end_column].integer) - 1;
    if (!plan->is_processing && over_ms <= op->watermark_ms) {
        run->stats.late++;
        stream_reject(run, "late: its window has closed");
        return;
    }
    struct kept_row kept = kept_row_of(&schema, values, over_ms, run->sequence);
    if (!stream_take(run, kept.size + ROW_OVERHEAD_BYTES)) {
        kept_row_fini(&kept);
        return;
    }
    kept_rows_insert(&rank->rows, kept);
}

/* A row on its way out, with what it is sorted by. */
struct ranked {
    const struct rank_plan *plan;
    struct bytes key;
    struct stream_value *order;
    struct stream_value *values;
    size_t arrival;
};

static int
compare(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    int result = bytes_compare(x->key, y->key);
    for (size_t i = 0; i < x->plan->order_count && result == 0; i++) {
        const struct stream_value *p = &x->order[i], *q = &y->order[i];
        bool descending = x->plan->descending[i];
        if (p->is_null || q->is_null) {
            /* NULL is below all values, as in Flink. */
            result = q->is_null - p->is_null;
        } else {
            result = stream_compare(x->plan->order[i]->type, p, q);
        }
        result = descending ? -result : result;
    }
    return result != 0 ? result : (x->arrival > y->arrival) - (x->arrival < y->arrival);
}

static bool
prepare(struct rank_op *rank, struct stream_run *run, struct kept_row *kept, size_t arrival,
        struct ranked *out)
{
    const struct rank_plan *plan = plan_of(&rank->op);
    const struct stream_schema schema = input_schema(plan);
    struct buf key = {.arena = &run->arena};
    *out = (struct ranked){.plan = plan, .arrival = arrival};
    struct kept_row copy = *kept;
    copy.bytes = (char *)(uintptr_t)arena_copy(&run->arena, bytes_of(kept->bytes, kept->size)).data;
    out->values = kept_row_values(&copy, &schema, &run->arena);
    out->order = arena_alloc(&run->arena, (plan->order_count + 1) * sizeof *out->order);
    for (size_t i = 0; i < plan->key_count; i++) {
        struct stream_value value;
        if (!stream_op_eval(&rank->op, run, plan->keys[i], out->values, &value)) {
            return false;
        }
        stream_key_put(&key, plan->key_types[i], &value);
    }
    out->key = buf_bytes(&key);
    for (size_t i = 0; i < plan->order_count; i++) {
        if (!stream_op_eval(&rank->op, run, plan->order[i], out->values, &out->order[i])) {
            return false;
        }
    }
    return true;
}

/* The rows of all windows that are over at the same time. */
static void
release(struct rank_op *rank, struct stream_run *run, size_t count)
{
    size_t columns = rank->op.plan->schema.count;
    struct ranked *ranked = arena_alloc(&run->arena, count * sizeof *ranked);
    size_t ready = 0;
    for (size_t i = 0; i < count; i++) {
        struct kept_row kept = kept_rows_shift(&rank->rows);
        ready += prepare(rank, run, &kept, i, &ranked[ready]);
        stream_give(run, kept.size + ROW_OVERHEAD_BYTES);
        kept_row_fini(&kept);
    }
    qsort(ranked, ready, sizeof *ranked, compare);
    int64_t number = 0;
    for (size_t i = 0; i < ready; i++) {
        number = i > 0 && bytes_equal(ranked[i].key, ranked[i - 1].key) ? number + 1 : 1;
        ranked[i].values[columns - 1] = stream_integer(number);
        stream_push(&rank->op, run, ranked[i].values);
    }
}

static void
release_until(struct rank_op *rank, struct stream_run *run, int64_t ms)
{
    while (rank->rows.count > 0 && kept_rows_at(&rank->rows, 0)->time_ms <= ms) {
        size_t count = 1;
        int64_t over_ms = kept_rows_at(&rank->rows, 0)->time_ms;
        while (count < rank->rows.count && kept_rows_at(&rank->rows, count)->time_ms == over_ms) {
            count++;
        }
        release(rank, run, count);
    }
}

static void
watermark(struct stream_op *op, struct stream_run *run, unsigned port, int64_t ms)
{
    if (!plan_of(op)->is_processing) {
        release_until((struct rank_op *)op, run, ms);
    }
    stream_push_watermark(op, run, ms);
}

static void
tick(struct stream_op *op, struct stream_run *run)
{
    release_until((struct rank_op *)op, run, run->context.now_ms - 1);
}

static void
set_back(struct stream_op *op, struct stream_run *run)
{
    if (plan_of(op)->is_processing) {
        release_until((struct rank_op *)op, run, INT64_MAX - 1);
    }
}

static int64_t
next_tick(const struct stream_op *op)
{
    const struct rank_op *rank = (const struct rank_op *)op;
    bool waits = plan_of(op)->is_processing && rank->rows.count > 0;
    return waits ? kept_rows_at(&rank->rows, 0)->time_ms + 1 : INT64_MAX;
}

static void
close(struct stream_op *op)
{
    kept_rows_fini(&((struct rank_op *)op)->rows);
}

static void
save(const struct stream_op *op, struct buf *out)
{
    kept_rows_save(&((const struct rank_op *)op)->rows, out);
}

static bool
load(struct stream_op *op, struct wire_reader *reader)
{
    return kept_rows_load(&((struct rank_op *)op)->rows, reader) && wire_at_end(reader);
}

const struct stream_op_class stream_rank_class = {
        .name = "rank",
        .size = sizeof(struct rank_op),
        .close = close,
        .row = row,
        .watermark = watermark,
        .tick = tick,
        .set_back = set_back,
        .next_tick = next_tick,
        .save = save,
        .load = load,
};
