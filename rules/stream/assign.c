/* A window table function alone: each row with window_start, window_end and window_time, once for
 * each of its windows. Nothing is kept, and no row is late. */
#include "group.h"

static void
row(struct stream_op *op, struct stream_run *run, unsigned port, const struct stream_value *values)
{
    const struct assign_plan *plan = (const struct assign_plan *)op->plan;
    const struct zone *zone = plan->is_local ? run->context.zone : NULL;
    int64_t time_ms;
    size_t columns = op->plan->schema.count - GROUP_BOUNDS;
    int64_t first, last;
    if (!stream_row_time(op, run, plan->time, values, &time_ms)) {
        return;
    }
    if (!window_ends(&plan->shape, stream_local_ms(zone, time_ms), &first, &last)) {
        run->stats.no_window++;
        stream_reject(run, "between two windows");
        return;
    }
    for (int64_t end = first; end <= last; end += plan->shape.slide_ms) {
        struct stream_value *out = arena_alloc(&run->arena, (columns + GROUP_BOUNDS) * sizeof *out);
        memcpy(out, values, columns * sizeof *out);
        out[columns + GROUP_START] = stream_integer(window_start_of(&plan->shape, end));
        out[columns + GROUP_END] = stream_integer(end);
        out[columns + GROUP_TIME] = stream_integer(stream_instant_ms(zone, end) - 1);
        stream_push(op, run, out);
    }
}

const struct stream_op_class stream_assign_class = {
        .name = "assign",
        .size = sizeof(struct stream_op),
        .row = row,
};
