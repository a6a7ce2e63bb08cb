/*
 * SELECT with OVER: the calls become columns behind those of the row, and the items are compiled
 * over both.
 *
 * All OVER clauses of a query are equal (Flink asks for it). Two forms are different operators:
 * ROW_NUMBER partitioned by a window (rank.c), and everything else (over.c).
 */
#include "over.h"
#include "plan.h"

enum { CALLS_MAX = 64 };

struct overs {
    struct planner *planner;
    const struct select *select;
    struct from *from;
    const struct over *over; /* of the first call */
    struct over_call *calls;
    const struct expr **exprs;
    struct stream_type types[CALLS_MAX];
    size_t count;
};

static bool
find_over(void *context, const struct expr *expr)
{
    return expr->over == NULL;
}

bool
plan_has_over(const struct select *select)
{
    for (size_t i = 0; i < select->item_count; i++) {
        if (!expr_walk(select->items[i].expr, find_over, NULL)) {
            return true;
        }
    }
    return false;
}

/* OVER w, with WINDOW w AS (...) behind. */
static const struct over *
resolve(struct overs *overs, const struct over *over)
{
    if (over->name.size == 0) {
        return over;
    }
    for (size_t i = 0; i < overs->select->named_over_count; i++) {
        if (bytes_equal_nocase(overs->select->named_overs[i].name, over->name)) {
            return &overs->select->named_overs[i].over;
        }
    }
    stream_fail(&overs->planner->compiler, over->span, "there is no WINDOW '%.*s'",
                BYTES_ARG(over->name));
    return NULL;
}

static bool
same_over(const struct overs *overs, const struct over *a, const struct over *b)
{
    const struct stream_schema *schema = &overs->from->schema;
    bool same = a->partition_count == b->partition_count && a->order_count == b->order_count &&
                a->frame == b->frame && (a->preceding == NULL) == (b->preceding == NULL) &&
                (a->preceding == NULL || stream_same(schema, a->preceding, b->preceding));
    for (size_t i = 0; i < a->partition_count && same; i++) {
        same = stream_same(schema, a->partition_by[i], b->partition_by[i]);
    }
    for (size_t i = 0; i < a->order_count && same; i++) {
        same = a->order_by[i].descending == b->order_by[i].descending &&
               stream_same(schema, a->order_by[i].expr, b->order_by[i].expr);
    }
    return same;
}

/* ---- calls ---- */

static bool
compile_lag(struct overs *overs, const struct expr *expr, struct over_call *call)
{
    struct stream_compiler *compiler = &overs->planner->compiler;
    const struct stream_scope scope = {.schema = &overs->from->schema};
    call->kind = OVER_LAG;
    call->distance = 1;
    if (expr->item_count < 1 || expr->item_count > 2) {
        stream_fail(compiler, expr->span, "it is LAG(x) or LAG(x, rows)");
        return false;
    }
    call->arg = stream_compile(compiler, &scope, expr->items[0]);
    if (expr->item_count == 2 &&
        (expr->items[1]->kind != EXPR_NUMBER ||
         !bytes_to_int64(expr->items[1]->text, &call->distance) || call->distance < 1 ||
         call->distance > 10000)) {
        stream_fail(compiler, expr->items[1]->span, "LAG looks back 1 to 10000 rows");
        return false;
    }
    return call->arg != NULL;
}

static bool
compile_over_call(struct overs *overs, const struct expr *expr)
{
    struct stream_compiler *compiler = &overs->planner->compiler;
    const struct stream_scope scope = {.schema = &overs->from->schema};
    struct over_call *call = &overs->calls[overs->count];
    struct stream_type *type = &overs->types[overs->count];
    if (bytes_equal_nocase(expr->text, BYTES("ROW_NUMBER"))) {
        call->kind = OVER_ROW_NUMBER;
        *type = stream_type_of(STREAM_INTEGER);
    } else if (bytes_equal_nocase(expr->text, BYTES("LAG"))) {
        if (!compile_lag(overs, expr, call)) {
            return false;
        }
        *type = call->arg->type;
    } else if (stream_is_aggregate(expr->text)) {
        call->kind = OVER_AGGREGATE;
        call->aggregate = aggregate_compile(compiler, &scope, expr);
        if (call->aggregate == NULL) {
            return false;
        }
        *type = call->aggregate->type;
    } else {
        stream_fail(compiler, expr->span, "%.*s cannot stand before OVER", BYTES_ARG(expr->text));
        stream_hint(compiler, "aggregates, LAG and ROW_NUMBER can");
        return false;
    }
    overs->exprs[overs->count++] = expr;
    return true;
}

static bool
collect(void *context, const struct expr *expr)
{
    struct overs *overs = context;
    struct stream_compiler *compiler = &overs->planner->compiler;
    if (expr->over == NULL) {
        return true;
    }
    const struct over *over = resolve(overs, expr->over);
    if (over == NULL) {
        return false;
    }
    if (overs->over == NULL) {
        overs->over = over;
    } else if (!same_over(overs, overs->over, over)) {
        stream_fail(compiler, expr->over->span, "all OVER clauses of a query must be equal");
        return false;
    }
    if (overs->count == CALLS_MAX) {
        stream_fail(compiler, expr->span, "a query has at most %d OVER calls", CALLS_MAX);
        return false;
    }
    return compile_over_call(overs, expr);
}

/* ---- operators ---- */

static bool
compile_list(struct overs *overs, struct expr *const *exprs, size_t count,
             const struct stream_node *const **nodes, const struct stream_type **types)
{
    struct arena *arena = overs->planner->compiler.arena;
    const struct stream_scope scope = {.schema = &overs->from->schema};
    const struct stream_node **made = arena_new_array(arena, const struct stream_node *, count);
    struct stream_type *kinds = arena_new_array(arena, struct stream_type, count);
    for (size_t i = 0; i < count; i++) {
        made[i] = stream_compile(&overs->planner->compiler, &scope, exprs[i]);
        if (made[i] == NULL) {
            return false;
        }
        kinds[i] = made[i]->type;
    }
    *nodes = made;
    *types = kinds;
    return true;
}

/* The row, and a column for each call; nameless, so that only the calls find them. */
static struct stream_schema
widened(struct overs *overs)
{
    const struct stream_schema *schema = &overs->from->schema;
    size_t count = schema->count + overs->count;
    struct stream_column *columns = arena_new_array(overs->planner->compiler.arena,
                                                    struct stream_column, count);
    memcpy(columns, schema->columns, schema->count * sizeof *columns);
    for (size_t i = 0; i < overs->count; i++) {
        columns[schema->count + i].type = overs->types[i];
        columns[schema->count + i].is_hidden = true;
    }
    return (struct stream_schema){columns, count};
}

static bool
set_frame(struct overs *overs, struct over_plan *plan)
{
    struct stream_compiler *compiler = &overs->planner->compiler;
    const struct over *over = overs->over;
    plan->frame = over->preceding == NULL      ? OVER_UNBOUNDED
                  : over->frame == FRAME_ROWS ? OVER_ROWS
                                               : OVER_RANGE;
    if (plan->frame == OVER_RANGE) {
        return stream_interval(compiler, over->preceding, "the range of OVER", &plan->preceding);
    }
    if (plan->frame == OVER_ROWS &&
        (over->preceding->kind != EXPR_NUMBER ||
         !bytes_to_int64(over->preceding->text, &plan->preceding) || plan->preceding > 100000)) {
        stream_fail(compiler, over->preceding->span, "ROWS takes a number up to 100000");
        return false;
    }
    return true;
}

static bool
set_time(struct overs *overs, struct over_plan *plan)
{
    struct stream_compiler *compiler = &overs->planner->compiler;
    const struct stream_schema *schema = &overs->from->schema;
    const struct over *over = overs->over;
    const struct stream_node *time = NULL;
    if (over->order_count == 0) { /* Kinesis orders by ROWTIME without saying so */
        const struct expr rowtime = {.kind = EXPR_NAME, .text = BYTES("ROWTIME"),
                                     .span = over->span};
        bool ambiguous;
        plan->is_lower_exclusive = true;
        if (stream_find_column(schema, &rowtime, &ambiguous) == SIZE_MAX) {
            stream_fail(compiler, over->span, "OVER needs ORDER BY a time attribute");
            return false;
        }
        return plan_time_column(overs->planner, schema, &rowtime, &time);
    }
    if (!plan_time_column(overs->planner, schema, over->order_by[0].expr, &time)) {
        return false;
    }
    if (over->order_by[0].descending || over->order_count > 1) {
        stream_fail(compiler, over->span, "OVER goes by one time attribute, ascending");
        stream_hint(compiler, "the newest row of a key changes with each row: keep it in a "
                              "key-value table, where put replaces");
        return false;
    }
    plan->time = time->attribute == ATTRIBUTE_EVENT ? time : NULL;
    for (size_t i = 0; i < overs->count; i++) {
        if (overs->calls[i].kind == OVER_ROW_NUMBER && plan->time != NULL) {
            stream_fail(compiler, overs->exprs[i]->span,
                        "ROW_NUMBER by event time would have to be corrected by late rows");
            stream_hint(compiler, "order by a PROCTIME() column, or partition by window_start, "
                                  "window_end");
            return false;
        }
    }
    return true;
}

static const struct stream_op_plan *
over_op(struct overs *overs)
{
    struct planner *planner = overs->planner;
    struct over_plan *plan = plan_new(planner, struct over_plan, &stream_over_class,
                                      overs->from->op);
    plan->input_columns = overs->from->schema.count;
    plan->key_count = overs->over->partition_count;
    plan->calls = overs->calls;
    plan->call_count = overs->count;
    if (!compile_list(overs, overs->over->partition_by, plan->key_count, &plan->keys,
                      &plan->key_types) ||
        !set_frame(overs, plan) || !set_time(overs, plan)) {
        return NULL;
    }
    for (size_t i = 0; i < overs->count; i++) {
        int64_t distance = overs->calls[i].distance;
        plan->rows_kept = distance > plan->rows_kept ? distance : plan->rows_kept;
    }
    plan->op.schema = widened(overs);
    return plan_add(planner, &plan->op);
}

/* The column of a bound that the partition names; SIZE_MAX: it does not. */
static size_t
partition_bound(const struct overs *overs, enum stream_bound bound)
{
    const struct stream_schema *schema = &overs->from->schema;
    for (size_t i = 0; i < overs->over->partition_count; i++) {
        bool ambiguous;
        size_t column = stream_find_column(schema, overs->over->partition_by[i], &ambiguous);
        if (column != SIZE_MAX && schema->columns[column].bound == bound) {
            return column;
        }
    }
    return SIZE_MAX;
}

static const struct stream_op_plan *
rank_op(struct overs *overs, size_t end_column)
{
    struct planner *planner = overs->planner;
    struct arena *arena = planner->compiler.arena;
    const struct stream_schema *schema = &overs->from->schema;
    const struct over *over = overs->over;
    struct rank_plan *plan = plan_new(planner, struct rank_plan, &stream_rank_class,
                                      overs->from->op);
    struct expr **order = arena_new_array(arena, struct expr *, over->order_count);
    bool *descending = arena_new_array(arena, bool, over->order_count);
    const struct stream_type *types;
    for (size_t i = 0; i < over->order_count; i++) {
        order[i] = (struct expr *)(uintptr_t)over->order_by[i].expr;
        descending[i] = over->order_by[i].descending;
    }
    plan->key_count = over->partition_count;
    plan->order_count = over->order_count;
    plan->descending = descending;
    plan->end_column = end_column;
    plan->is_processing = schema->columns[end_column].window_time == ATTRIBUTE_PROCESSING;
    plan->is_local = schema->columns[end_column].is_window_local;
    if (!compile_list(overs, over->partition_by, plan->key_count, &plan->keys, &plan->key_types) ||
        !compile_list(overs, order, plan->order_count, &plan->order, &types)) {
        return NULL;
    }
    plan->op.schema = widened(overs);
    return plan_add(planner, &plan->op);
}

static bool
special(void *context, struct stream_compiler *compiler, const struct expr *expr,
        const struct stream_node **out)
{
    const struct overs *overs = context;
    if (expr->kind != EXPR_CALL || expr->over == NULL) {
        return false;
    }
    const struct stream_schema *schema = &overs->from->schema;
    for (size_t i = 0; i < overs->count; i++) {
        if (overs->exprs[i] == expr) {
            *out = stream_column_node(compiler, schema, schema->count - overs->count + i);
            return true;
        }
    }
    *out = stream_fail(compiler, expr->span, "OVER cannot stand here");
    return true;
}

static bool
apply_where(struct overs *overs)
{
    struct planner *planner = overs->planner;
    const struct stream_scope scope = {.schema = &overs->from->schema};
    if (overs->select->where == NULL) {
        return true;
    }
    const struct stream_node *where = stream_compile_condition(
            &planner->compiler, &scope, overs->select->where, "WHERE");
    overs->from->op = where == NULL ? NULL : plan_filter(planner, overs->from->op, where);
    return overs->from->op != NULL;
}

const struct stream_op_plan *
plan_over(struct planner *planner, const struct select *select, struct from *from)
{
    struct overs overs = {
            .planner = planner,
            .select = select,
            .from = from,
            .calls = arena_new_array(planner->compiler.arena, struct over_call, CALLS_MAX),
            .exprs = arena_new_array(planner->scratch, const struct expr *, CALLS_MAX),
    };
    if (!plan_pending(planner, from) || !apply_where(&overs)) {
        return NULL;
    }
    for (size_t i = 0; i < select->item_count; i++) {
        if (!expr_walk(select->items[i].expr, collect, &overs)) {
            return NULL;
        }
    }
    size_t end_column = partition_bound(&overs, BOUND_END);
    bool rank = overs.count == 1 && overs.calls[0].kind == OVER_ROW_NUMBER &&
                end_column != SIZE_MAX && partition_bound(&overs, BOUND_START) != SIZE_MAX;
    const struct stream_op_plan *op = rank ? rank_op(&overs, end_column) : over_op(&overs);
    if (op == NULL) {
        return NULL;
    }
    from->op = op;
    from->schema = op->schema;
    const struct stream_scope scope = {.schema = &from->schema, special, &overs};
    return plan_items(planner, select, op, &scope, NULL);
}
