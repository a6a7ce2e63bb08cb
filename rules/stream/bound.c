/*
 * GROUP BY window_start, window_end over rows that carry them: the second of two aggregations, or
 * one behind a filter or join. A window fires when event time (or the clock) has passed its end.
 */
#include "group.h"

#include "base/mem.h"

#include <stdlib.h>

struct bound_window {
    int64_t start_ms, end_ms; /* local */
    int64_t over_ms;          /* the instant after which it is over */
    struct map groups;
};

struct bound_op {
    struct stream_op op;
    struct bound_window *windows; /* in the order of ends, then starts */
    size_t count, capacity;
    int64_t fired_ms;
    struct buf key;
};

static struct bound_window *
window_of(struct bound_op *bound, int64_t start_ms, int64_t end_ms, int64_t over_ms)
{
    size_t at = bound->count;
    while (at > 0 && (bound->windows[at - 1].end_ms > end_ms ||
                      (bound->windows[at - 1].end_ms == end_ms &&
                       bound->windows[at - 1].start_ms > start_ms))) {
        at--;
    }
    if (at > 0 && bound->windows[at - 1].end_ms == end_ms &&
        bound->windows[at - 1].start_ms == start_ms) {
        return &bound->windows[at - 1];
    }
    bound->windows = mem_grow(bound->windows, bound->count, &bound->capacity,
                              sizeof *bound->windows);
    memmove(&bound->windows[at + 1], &bound->windows[at],
            (bound->count - at) * sizeof *bound->windows);
    bound->windows[at] = (struct bound_window){start_ms, end_ms, over_ms, {0}};
    bound->count++;
    return &bound->windows[at];
}

static void
row(struct stream_op *op, struct stream_run *run, unsigned port, const struct stream_value *values)
{
    struct bound_op *bound = (struct bound_op *)op;
    const struct bound_plan *plan = (const struct bound_plan *)op->plan;
    const struct zone *zone = plan->group.is_local ? run->context.zone : NULL;
    int64_t start_ms = values[plan->start_column].integer;
    int64_t end_ms = values[plan->end_column].integer;
    int64_t over_ms = stream_instant_ms(zone, end_ms) - 1;
    if (over_ms <= bound->fired_ms) {
        run->stats.late++;
        stream_reject(run, "late: its window has closed");
        return;
    }
    if (!group_key(&plan->group, op, run, values, &bound->key)) {
        return;
    }
    struct bound_window *window = window_of(bound, start_ms, end_ms, over_ms);
    struct group *group = group_of(&plan->group, &window->groups, run, buf_bytes(&bound->key));
    if (group != NULL) {
        group_take(&plan->group, group, op, run, values);
    }
}

static void
fire_until(struct bound_op *bound, struct stream_run *run, int64_t ms)
{
    const struct bound_plan *plan = (const struct bound_plan *)bound->op.plan;
    size_t fired = 0;
    for (; fired < bound->count && bound->windows[fired].over_ms <= ms; fired++) {
        struct bound_window *window = &bound->windows[fired];
        struct group **sorted = group_sorted(&window->groups, run);
        for (size_t i = 0; i < window->groups.count; i++) {
            if (sorted[i]->rows > 0) {
                group_emit(&plan->group, sorted[i], &bound->op, run, window->start_ms,
                           window->end_ms);
            }
        }
        group_free_all(&plan->group, &window->groups, run);
    }
    if (fired > 0) {
        bound->count -= fired;
        memmove(bound->windows, bound->windows + fired, bound->count * sizeof *bound->windows);
    }
    bound->fired_ms = ms > bound->fired_ms ? ms : bound->fired_ms;
}

static void
watermark(struct stream_op *op, struct stream_run *run, unsigned port, int64_t ms)
{
    if (!((const struct bound_plan *)op->plan)->is_processing) {
        fire_until((struct bound_op *)op, run, ms);
    }
    stream_push_watermark(op, run, ms);
}

/* Operators tick in the order of the chain: what the windows before gave is here already. */
static void
tick(struct stream_op *op, struct stream_run *run)
{
    fire_until((struct bound_op *)op, run, run->context.now_ms - 1);
}

static void
set_back(struct stream_op *op, struct stream_run *run)
{
    struct bound_op *bound = (struct bound_op *)op;
    bool is_processing = ((const struct bound_plan *)op->plan)->is_processing;
    if (is_processing) {
        fire_until(bound, run, INT64_MAX - 1);
    }
    if (is_processing || op->watermark_ms == INT64_MIN) {
        bound->fired_ms = INT64_MIN;
    }
}

static int64_t
next_tick(const struct stream_op *op)
{
    const struct bound_op *bound = (const struct bound_op *)op;
    bool waits = ((const struct bound_plan *)op->plan)->is_processing && bound->count > 0;
    return waits ? bound->windows[0].over_ms + 1 : INT64_MAX;
}

static void
open(struct stream_op *op)
{
    ((struct bound_op *)op)->fired_ms = INT64_MIN;
}

static void
close(struct stream_op *op)
{
    struct bound_op *bound = (struct bound_op *)op;
    for (size_t i = 0; i < bound->count; i++) {
        group_free_all(&((const struct bound_plan *)op->plan)->group, &bound->windows[i].groups,
                       NULL);
    }
    free(bound->windows);
    buf_fini(&bound->key);
}

static void
save(const struct stream_op *op, struct buf *out)
{
    const struct bound_op *bound = (const struct bound_op *)op;
    const struct bound_plan *plan = (const struct bound_plan *)op->plan;
    wire_put_u64(out, (uint64_t)bound->fired_ms);
    wire_put_varint(out, bound->count);
    for (size_t i = 0; i < bound->count; i++) {
        wire_put_signed(out, bound->windows[i].start_ms);
        wire_put_signed(out, bound->windows[i].end_ms);
        wire_put_signed(out, bound->windows[i].over_ms);
        group_save_all(&plan->group, &bound->windows[i].groups, out);
    }
}

static bool
load(struct stream_op *op, struct wire_reader *reader)
{
    struct bound_op *bound = (struct bound_op *)op;
    const struct bound_plan *plan = (const struct bound_plan *)op->plan;
    bound->fired_ms = (int64_t)wire_get_u64(reader);
    uint64_t count = wire_get_varint(reader);
    for (uint64_t i = 0; i < count && !reader->failed; i++) {
        int64_t start_ms = wire_get_signed(reader), end_ms = wire_get_signed(reader);
        struct bound_window *window = window_of(bound, start_ms, end_ms, wire_get_signed(reader));
        if (!group_load_all(&plan->group, &window->groups, reader)) {
            return false;
        }
    }
    return wire_at_end(reader);
}

const struct stream_op_class stream_bound_class = {
        .name = "bound",
        .size = sizeof(struct bound_op),
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
