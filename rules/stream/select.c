/* WHERE or HAVING, and the items of SELECT. Nothing is kept between rows. */
#include "op.h"

static void
row(struct stream_op *op, struct stream_run *run, unsigned port, const struct stream_value *values)
{
    const struct stream_select_plan *plan = (const struct stream_select_plan *)op->plan;
    struct stream_value pass;
    if (plan->where != NULL && (!stream_op_eval(op, run, plan->where, values, &pass) ||
                                pass.is_null || pass.integer == 0)) {
        return;
    }
    if (plan->items == NULL) {
        stream_push(op, run, values);
        return;
    }
    size_t count = plan->op.schema.count;
    struct stream_value *items = arena_alloc(&run->arena, count * sizeof *items);
    for (size_t i = 0; i < count; i++) {
        if (!stream_op_eval(op, run, plan->items[i], values, &items[i])) {
            return;
        }
    }
    stream_push(op, run, items);
}

const struct stream_op_class stream_select_class = {
        .name = "select",
        .size = sizeof(struct stream_op),
        .row = row,
};
