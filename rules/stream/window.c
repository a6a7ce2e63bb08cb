/*
 * TUMBLE, HOP and CUMULATE over slices.
 *
 * The grid of windows is anchored at 1970 (plus an offset). Time is cut into slices that no window's
 * edge divides: of size for TUMBLE, gcd(slide, size) for HOP, step for CUMULATE. A row goes into
 * one slice, and a window is the merge of its slices when it fires; so a row costs the same however
 * many windows it is in.
 *
 *   HOP(10 s, 30 s)    slices   |0   |10  |20  |30  |40
 *                      windows  [0 .......... 30)
 *                                    [10 ......... 40)
 *
 * A window fires once, when event time has passed its end - 1 ms (in processing time: when the
 * clock has reached its end). A row is late when all windows that it belongs to have fired; it may
 * still count for some of them. A slice is freed when its last window has fired. Windows without
 * rows give nothing.
 *
 * Windows of instants follow the wall clock of the zone: their grid is local time, and what is
 * compared with the watermark is the instant of their local end.
 */
#include "group.h"

#include "base/mem.h"

#include <stdlib.h>

struct slice {
    int64_t start_ms; /* local */
    struct map groups;
};

struct window_op {
    struct stream_op op;
    struct slice *slices; /* in the order of their starts */
    size_t count, capacity;
    int64_t fired_ms; /* the instant up to which windows have fired; INT64_MIN: none */
    int64_t due_ms;   /* in processing time: when the next one is over */
    struct buf key;
};

/* ---- the grid ---- */

static int64_t
floor_to_grid(int64_t time_ms, int64_t offset_ms, int64_t step_ms)
{
    return stream_floor_divide(time_ms - offset_ms, step_ms) * step_ms + offset_ms;
}

bool
window_ends(const struct window_shape *shape, int64_t time_ms, int64_t *first, int64_t *last)
{
    if (shape->kind == WINDOW_CUMULATE) {
        *first = floor_to_grid(time_ms, shape->offset_ms, shape->slide_ms) + shape->slide_ms;
        *last = floor_to_grid(time_ms, shape->offset_ms, shape->size_ms) + shape->size_ms;
        return true;
    }
    int64_t start = floor_to_grid(time_ms, shape->offset_ms, shape->slide_ms);
    *last = start + shape->size_ms;
    /* The earliest window that still holds it: the end is the first of the grid behind it. */
    int64_t back = (start + shape->size_ms - 1 - time_ms) / shape->slide_ms;
    *first = *last - (back > 0 ? back : 0) * shape->slide_ms;
    return time_ms < *last;
}

int64_t
window_start_of(const struct window_shape *shape, int64_t end_ms)
{
    return shape->kind == WINDOW_CUMULATE
                   ? floor_to_grid(end_ms - 1, shape->offset_ms, shape->size_ms)
                   : end_ms - shape->size_ms;
}

static int64_t
slice_size(const struct window_shape *shape)
{
    int64_t a = shape->size_ms, b = shape->slide_ms;
    if (shape->kind == WINDOW_CUMULATE) {
        return b;
    }
    while (b != 0) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static const struct zone *
zone_of(const struct window_plan *plan, const struct stream_run *run)
{
    return plan->group.is_local ? run->context.zone : NULL;
}

/* The instant after which a window with this local end is over. */
static int64_t
over_at(const struct window_plan *plan, const struct stream_run *run, int64_t end_ms)
{
    return stream_instant_ms(zone_of(plan, run), end_ms) - 1;
}

/* ---- slices ---- */

static struct slice *
slice_of(struct window_op *window, int64_t start_ms)
{
    size_t at = window->count;
    while (at > 0 && window->slices[at - 1].start_ms > start_ms) {
        at--;
    }
    if (at > 0 && window->slices[at - 1].start_ms == start_ms) {
        return &window->slices[at - 1];
    }
    window->slices = mem_grow(window->slices, window->count, &window->capacity,
                              sizeof *window->slices);
    memmove(&window->slices[at + 1], &window->slices[at],
            (window->count - at) * sizeof *window->slices);
    window->slices[at] = (struct slice){.start_ms = start_ms};
    window->count++;
    return &window->slices[at];
}

static void set_due(struct window_op *window, const struct stream_run *run);

static void
take(struct window_op *window, struct stream_run *run, int64_t local_ms,
     const struct stream_value *row)
{
    const struct window_plan *plan = (const struct window_plan *)window->op.plan;
    int64_t first, last;
    if (!window_ends(&plan->shape, local_ms, &first, &last)) {
        run->stats.no_window++;
        stream_reject(run, "between two windows");
        return;
    }
    if (over_at(plan, run, last) <= window->fired_ms) {
        run->stats.late++;
        stream_reject(run, "late: its windows have closed");
        return;
    }
    if (!group_key(&plan->group, &window->op, run, row, &window->key)) {
        return;
    }
    int64_t start = floor_to_grid(local_ms, plan->shape.offset_ms, slice_size(&plan->shape));
    struct slice *slice = slice_of(window, start);
    struct group *group = group_of(&plan->group, &slice->groups, run, buf_bytes(&window->key));
    if (group != NULL) {
        group_take(&plan->group, group, &window->op, run, row);
    }
}

static void
row(struct stream_op *op, struct stream_run *run, unsigned port, const struct stream_value *values)
{
    struct window_op *window = (struct window_op *)op;
    const struct window_plan *plan = (const struct window_plan *)op->plan;
    int64_t time_ms;
    if (!stream_row_time(op, run, plan->time, values, &time_ms)) {
        return;
    }
    size_t slices = window->count;
    take(window, run, stream_local_ms(zone_of(plan, run), time_ms), values);
    if (plan->time == NULL && window->count != slices) {
        set_due(window, run);
    }
}

/* ---- firing ---- */

/* The next local end that has not fired; false: nothing waits. */
static bool
next_end(const struct window_op *window, const struct stream_run *run, int64_t *out)
{
    const struct window_plan *plan = (const struct window_plan *)window->op.plan;
    int64_t first, last;
    if (window->count == 0 ||
        !window_ends(&plan->shape, window->slices[0].start_ms, &first, &last)) {
        return false;
    }
    for (int64_t end = first; end <= last; end += plan->shape.slide_ms) {
        if (over_at(plan, run, end) > window->fired_ms) {
            *out = end;
            return true;
        }
    }
    never("a slice whose windows have fired is freed");
}

static void
set_due(struct window_op *window, const struct stream_run *run)
{
    const struct window_plan *plan = (const struct window_plan *)window->op.plan;
    int64_t end;
    bool waits = plan->time == NULL && next_end(window, run, &end);
    window->due_ms = waits ? over_at(plan, run, end) + 1 : INT64_MAX;
}

/* The groups of a window: those of its slice, or the merge of its slices. */
static void
fire(struct window_op *window, struct stream_run *run, int64_t end_ms)
{
    const struct window_plan *plan = (const struct window_plan *)window->op.plan;
    int64_t start_ms = window_start_of(&plan->shape, end_ms);
    struct map merged = {0};
    const struct map *groups = NULL;
    size_t slices = 0;
    for (size_t i = 0; i < window->count; i++) {
        const struct slice *slice = &window->slices[i];
        bool inside = slice->start_ms >= start_ms && slice->start_ms < end_ms;
        slices += inside;
        groups = inside ? &slice->groups : groups;
    }
    for (size_t i = 0; i < window->count && slices > 1; i++) {
        const struct slice *slice = &window->slices[i];
        if (slice->start_ms < start_ms || slice->start_ms >= end_ms) {
            continue;
        }
        size_t cursor = 0;
        struct bytes key;
        void *value;
        while (map_next(&slice->groups, &cursor, &key, &value)) {
            struct group *group = group_of(&plan->group, &merged, NULL, key);
            group_merge(&plan->group, group, value, &run->arena);
        }
        groups = &merged;
    }
    if (groups != NULL) {
        struct group **sorted = group_sorted(groups, run);
        for (size_t i = 0; i < groups->count; i++) {
            if (sorted[i]->rows > 0) {
                group_emit(&plan->group, sorted[i], &window->op, run, start_ms, end_ms);
            }
        }
    }
    group_free_all(&plan->group, &merged, NULL);
}

static void
free_passed(struct window_op *window, struct stream_run *run)
{
    const struct window_plan *plan = (const struct window_plan *)window->op.plan;
    size_t passed = 0;
    int64_t first, last;
    while (passed < window->count &&
           (!window_ends(&plan->shape, window->slices[passed].start_ms, &first, &last) ||
            over_at(plan, run, last) <= window->fired_ms)) {
        group_free_all(&plan->group, &window->slices[passed].groups, run);
        passed++;
    }
    if (passed > 0) {
        window->count -= passed;
        memmove(window->slices, window->slices + passed, window->count * sizeof *window->slices);
    }
}

static void
fire_until(struct window_op *window, struct stream_run *run, int64_t ms)
{
    const struct window_plan *plan = (const struct window_plan *)window->op.plan;
    int64_t end;
    while (next_end(window, run, &end) && over_at(plan, run, end) <= ms) {
        fire(window, run, end);
        window->fired_ms = over_at(plan, run, end);
        free_passed(window, run);
    }
    window->fired_ms = ms > window->fired_ms ? ms : window->fired_ms;
    free_passed(window, run);
    set_due(window, run);
}

static void
watermark(struct stream_op *op, struct stream_run *run, unsigned port, int64_t ms)
{
    const struct window_plan *plan = (const struct window_plan *)op->plan;
    if (plan->time != NULL) {
        fire_until((struct window_op *)op, run, ms);
    }
    stream_push_watermark(op, run, ms);
}

static void
tick(struct stream_op *op, struct stream_run *run)
{
    fire_until((struct window_op *)op, run, run->context.now_ms - 1);
}

static void
set_back(struct stream_op *op, struct stream_run *run)
{
    struct window_op *window = (struct window_op *)op;
    bool is_processing = ((const struct window_plan *)op->plan)->time == NULL;
    if (is_processing) {
        fire_until(window, run, INT64_MAX - 1);
    }
    if (is_processing || op->watermark_ms == INT64_MIN) {
        window->fired_ms = INT64_MIN;
    }
}

static int64_t
next_tick(const struct stream_op *op)
{
    return ((const struct window_op *)op)->due_ms;
}

/* ---- life ---- */

static void
close(struct stream_op *op)
{
    struct window_op *window = (struct window_op *)op;
    const struct window_plan *plan = (const struct window_plan *)op->plan;
    for (size_t i = 0; i < window->count; i++) {
        group_free_all(&plan->group, &window->slices[i].groups, NULL);
    }
    free(window->slices);
    buf_fini(&window->key);
}

static void
open(struct stream_op *op)
{
    struct window_op *window = (struct window_op *)op;
    window->fired_ms = INT64_MIN;
    window->due_ms = INT64_MAX;
}

static void
save(const struct stream_op *op, struct buf *out)
{
    const struct window_op *window = (const struct window_op *)op;
    const struct window_plan *plan = (const struct window_plan *)op->plan;
    wire_put_u64(out, (uint64_t)window->fired_ms);
    wire_put_u64(out, (uint64_t)window->due_ms);
    wire_put_varint(out, window->count);
    for (size_t i = 0; i < window->count; i++) {
        wire_put_signed(out, window->slices[i].start_ms);
        group_save_all(&plan->group, &window->slices[i].groups, out);
    }
}

static bool
load(struct stream_op *op, struct wire_reader *reader)
{
    struct window_op *window = (struct window_op *)op;
    const struct window_plan *plan = (const struct window_plan *)op->plan;
    window->fired_ms = (int64_t)wire_get_u64(reader);
    window->due_ms = (int64_t)wire_get_u64(reader);
    uint64_t count = wire_get_varint(reader);
    for (uint64_t i = 0; i < count && !reader->failed; i++) {
        struct slice *slice = slice_of(window, wire_get_signed(reader));
        if (!group_load_all(&plan->group, &slice->groups, reader)) {
            return false;
        }
    }
    return wire_at_end(reader);
}

const struct stream_op_class stream_window_class = {
        .name = "window",
        .size = sizeof(struct window_op),
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
