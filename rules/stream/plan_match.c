/*
 * MATCH_RECOGNIZE: from the clause to steps with conditions, and measures.
 *
 * In DEFINE a bare column is that of the row that is tried, `V.column` that of the last row of V;
 * FIRST and LAST reach further back, aggregates run over the rows of one variable, or over all.
 */
#include "match.h"
#include "plan.h"

struct matching {
    struct planner *planner;
    const struct match *match;
    const struct stream_schema *schema;
};

/* ---- references ---- */

/* FIRST, LAST and V.column: `column` of the nodes is n, `op` whether from the last. */
static void
eval_reference(const struct stream_node *node, struct stream_context *context,
               struct stream_value *out)
{
    const struct match_view *view = context->match;
    const uint32_t *step = node->extra;
    const struct stream_value *row = match_row(view, *step, node->column, node->op != OP_NONE);
    const struct stream_value *before = context->row;
    *out = stream_null();
    if (row != NULL) {
        context->row = row;
        stream_eval(node->args[0], context, out);
        context->row = before;
    }
}

struct match_aggregate {
    const struct aggregate *aggregate;
    uint32_t step;
};

static void
eval_match_aggregate(const struct stream_node *node, struct stream_context *context,
                     struct stream_value *out)
{
    const struct match_view *view = context->match;
    const struct match_aggregate *over = node->extra;
    const struct stream_value *before = context->row, *row;
    struct accumulator accumulator = {0};
    for (size_t n = 0; (row = match_row(view, over->step, n, false)) != NULL; n++) {
        struct stream_value value = {0};
        context->row = row;
        if (over->aggregate->filter != NULL && !stream_passes(over->aggregate->filter, context)) {
            continue;
        }
        if (over->aggregate->arg != NULL) {
            stream_eval(over->aggregate->arg, context, &value);
        }
        aggregate_add(over->aggregate, &accumulator, &value, n, context->arena);
    }
    context->row = before;
    if (!aggregate_finish(over->aggregate, &accumulator, context->arena, out)) {
        context->failure = "the result of an aggregate is out of range";
        *out = stream_null();
    }
    if (!out->is_null && (node->type.kind == STREAM_STRING || node->type.kind == STREAM_JSON)) {
        out->text = arena_copy(context->arena, out->text);
    }
    aggregate_fini(&accumulator);
}

/* The step of a pattern variable; MATCH_ANY: it is none. */
static uint32_t
find_step(const struct matching *matching, struct bytes name)
{
    for (size_t i = 0; i < matching->match->pattern_count; i++) {
        if (bytes_equal_nocase(matching->match->pattern[i].variable, name)) {
            return (uint32_t)i;
        }
    }
    return MATCH_ANY;
}

static bool
is_variable_column(const struct matching *matching, const struct expr *expr, uint32_t *step)
{
    *step = expr->kind == EXPR_MEMBER && expr->items[0]->kind == EXPR_NAME
                    ? find_step(matching, expr->items[0]->text)
                    : MATCH_ANY;
    return *step != MATCH_ANY;
}

/* Within FIRST, LAST and aggregates: V.column is the column, and all V are one. */
struct inside {
    const struct matching *matching;
    uint32_t step;
    bool is_bare; /* a column without variable was seen */
    bool is_mixed;
};

static bool
special_inside(void *context, struct stream_compiler *compiler, const struct expr *expr,
               const struct stream_node **out)
{
    struct inside *inside = context;
    uint32_t step;
    if (!is_variable_column(inside->matching, expr, &step)) {
        inside->is_bare |= expr->kind == EXPR_NAME;
        return false;
    }
    inside->is_mixed |= inside->step != MATCH_ANY && inside->step != step;
    inside->step = step;
    const struct expr column = {.kind = EXPR_NAME, .text = expr->text, .span = expr->span};
    const struct stream_scope scope = {.schema = inside->matching->schema};
    *out = stream_compile(compiler, &scope, &column);
    return true;
}

static struct stream_node *
reference_node(struct stream_compiler *compiler, const struct stream_node *inner, uint32_t step,
               uint32_t n, bool from_last)
{
    struct stream_node *node = arena_new(compiler->arena, struct stream_node);
    const struct stream_node **args = arena_new_array(compiler->arena,
                                                      const struct stream_node *, 1);
    uint32_t *kept = arena_new(compiler->arena, uint32_t);
    args[0] = inner;
    *kept = step;
    *node = (struct stream_node){.eval = eval_reference, .type = inner->type, .args = args,
                                 .arg_count = 1, .column = n, .extra = kept};
    node->op = from_last ? OP_NOT : OP_NONE;
    return node;
}

static const struct stream_node *
compile_navigation(struct matching *matching, struct stream_compiler *compiler,
                   const struct expr *call, bool from_last)
{
    struct inside inside = {.matching = matching, .step = MATCH_ANY};
    const struct stream_scope scope = {matching->schema, special_inside, &inside};
    int64_t n = 0;
    bool counted = call->item_count == 2;
    if (call->item_count < 1 || call->item_count > 2 ||
        (counted && (call->items[1]->kind != EXPR_NUMBER ||
                     !bytes_to_int64(call->items[1]->text, &n) || n < 0 || n > 100000))) {
        return stream_fail(compiler, call->span, "it is %s(V.column) or %s(V.column, rows)",
                           from_last ? "LAST" : "FIRST", from_last ? "LAST" : "FIRST");
    }
    const struct stream_node *inner = stream_compile(compiler, &scope, call->items[0]);
    if (inner == NULL) {
        return NULL;
    }
    if (inside.is_mixed) {
        return stream_fail(compiler, call->span, "one call looks at one pattern variable");
    }
    return reference_node(compiler, inner, inside.step, (uint32_t)n, from_last);
}

static const struct stream_node *
compile_match_aggregate(struct matching *matching, struct stream_compiler *compiler,
                        const struct expr *call)
{
    struct inside inside = {.matching = matching, .step = MATCH_ANY};
    const struct stream_scope scope = {matching->schema, special_inside, &inside};
    if (call->distinct) {
        return stream_fail(compiler, call->span, "DISTINCT cannot be used in a pattern");
    }
    const struct aggregate *aggregate = aggregate_compile(compiler, &scope, call);
    if (aggregate == NULL) {
        return NULL;
    }
    if (inside.is_mixed || (inside.is_bare && inside.step != MATCH_ANY)) {
        return stream_fail(compiler, call->span, "an aggregate runs over one pattern variable");
    }
    struct match_aggregate *over = arena_new(compiler->arena, struct match_aggregate);
    struct stream_node *node = arena_new(compiler->arena, struct stream_node);
    *over = (struct match_aggregate){aggregate, inside.step};
    *node = (struct stream_node){
            .eval = eval_match_aggregate, .type = aggregate->type, .extra = over};
    return node;
}

static bool
special(void *context, struct stream_compiler *compiler, const struct expr *expr,
        const struct stream_node **out)
{
    struct matching *matching = context;
    uint32_t step;
    if (is_variable_column(matching, expr, &step)) {
        struct inside inside = {.matching = matching, .step = MATCH_ANY};
        const struct stream_node *inner;
        special_inside(&inside, compiler, expr, &inner);
        *out = inner == NULL ? NULL : reference_node(compiler, inner, step, 0, true);
        return true;
    }
    if (expr->kind != EXPR_CALL) {
        return false;
    }
    bool first = bytes_equal_nocase(expr->text, BYTES("FIRST"));
    if (first || bytes_equal_nocase(expr->text, BYTES("LAST"))) {
        *out = compile_navigation(matching, compiler, expr, !first);
        return true;
    }
    if (stream_is_aggregate(expr->text)) {
        *out = compile_match_aggregate(matching, compiler, expr);
        return true;
    }
    if (bytes_equal_nocase(expr->text, BYTES("PREV")) ||
        bytes_equal_nocase(expr->text, BYTES("NEXT"))) {
        *out = stream_fail(compiler, expr->span, "%.*s is not supported", BYTES_ARG(expr->text));
        stream_hint(compiler, "LAST(V.column, 1) is the row of V before its last");
        return true;
    }
    return false;
}

/* ---- the clause ---- */

static bool
check_pattern(struct matching *matching)
{
    struct stream_compiler *compiler = &matching->planner->compiler;
    const struct match *match = matching->match;
    bool may_be_empty = true, is_open = false;
    for (size_t i = 0; i < match->pattern_count; i++) {
        const struct pattern_item *item = &match->pattern[i];
        may_be_empty = may_be_empty && item->least == 0;
        is_open |= item->most == PATTERN_UNBOUNDED;
        if (find_step(matching, item->variable) != i) {
            stream_fail(compiler, item->span, "'%.*s' stands twice in the pattern",
                        BYTES_ARG(item->variable));
            return false;
        }
    }
    if (match->pattern_count == 0 || match->pattern_count > MATCH_ITEMS_MAX || may_be_empty) {
        stream_fail(compiler, match->pattern_span,
                    match->pattern_count > MATCH_ITEMS_MAX
                            ? "the pattern has more than 50 variables"
                            : "a pattern that may be an empty match would match everywhere");
        return false;
    }
    const struct pattern_item *last = &match->pattern[match->pattern_count - 1];
    if (last->least != last->most && !last->reluctant) {
        stream_fail(compiler, last->span,
                    "a greedy last variable has no end: it would wait for ever");
        stream_hint(compiler, "make it reluctant (%.*s+?), or put a variable behind it",
                    BYTES_ARG(last->variable));
        return false;
    }
    if (is_open && match->within == NULL) {
        diag_at(compiler->diags, DIAG_WARNING,
                &(struct diag_place){.file = compiler->lines.file}, "%s",
                "a pattern without upper bound keeps rows until it ends");
        compiler->diags->items[compiler->diags->count - 1].place = line_index_place(
                &compiler->lines, match->pattern_span);
        stream_hint(compiler, "WITHIN INTERVAL '10' MINUTE bounds it; the rule's limit of state "
                              "does in any case");
    }
    return true;
}

static bool
set_steps(struct matching *matching, struct match_plan *plan)
{
    struct stream_compiler *compiler = &matching->planner->compiler;
    const struct match *match = matching->match;
    const struct stream_scope scope = {matching->schema, special, matching};
    struct match_step *steps = arena_new_array(compiler->arena, struct match_step,
                                               match->pattern_count);
    for (size_t i = 0; i < match->pattern_count; i++) {
        steps[i] = (struct match_step){match->pattern[i].least, match->pattern[i].most,
                                       match->pattern[i].reluctant, NULL};
    }
    for (size_t i = 0; i < match->define_count; i++) {
        uint32_t step = find_step(matching, match->defines[i].name);
        if (step == MATCH_ANY) {
            stream_fail(compiler, match->defines[i].span, "'%.*s' is not in the pattern",
                        BYTES_ARG(match->defines[i].name));
            return false;
        }
        steps[step].condition = stream_compile_condition(compiler, &scope, match->defines[i].expr,
                                                         "DEFINE");
        if (steps[step].condition == NULL) {
            return false;
        }
    }
    plan->steps = steps;
    plan->step_count = match->pattern_count;
    plan->skip = match->skip;
    plan->skip_step = find_step(matching, match->skip_variable);
    if (match->skip >= SKIP_TO_FIRST && plan->skip_step == MATCH_ANY) {
        stream_fail(compiler, match->span, "'%.*s' is not in the pattern",
                    BYTES_ARG(match->skip_variable));
        return false;
    }
    return match->within == NULL ||
           stream_interval(compiler, match->within, "WITHIN", &plan->within_ms);
}

static bool
set_order(struct matching *matching, struct match_plan *plan)
{
    struct stream_compiler *compiler = &matching->planner->compiler;
    const struct match *match = matching->match;
    const struct stream_node *time;
    if (match->order_count == 0) {
        stream_fail(compiler, match->span, "MATCH_RECOGNIZE needs ORDER BY a time attribute");
        return false;
    }
    if (!plan_time_column(matching->planner, matching->schema, match->order_by[0].expr, &time)) {
        return false;
    }
    if (match->order_by[0].descending) {
        stream_fail(compiler, match->span, "rows come in the order of time: ascending");
        return false;
    }
    plan->time = time->attribute == ATTRIBUTE_EVENT ? time : NULL;
    return true;
}

/* Partition columns, then measures: as nodes and as the schema of what comes out. */
static bool
set_columns(struct matching *matching, struct match_plan *plan)
{
    struct stream_compiler *compiler = &matching->planner->compiler;
    struct arena *arena = compiler->arena;
    const struct match *match = matching->match;
    size_t count = match->partition_count + match->measure_count;
    struct stream_column *columns = arena_new_array(arena, struct stream_column, count);
    const struct stream_node **nodes = arena_new_array(arena, const struct stream_node *, count);
    struct stream_type *types = arena_new_array(arena, struct stream_type, count);
    for (size_t i = 0; i < count; i++) {
        bool key = i < match->partition_count;
        const struct match_item *measure = key ? NULL
                                               : &match->measures[i - match->partition_count];
        const struct expr *expr = key ? match->partition_by[i] : measure->expr;
        const struct stream_scope scope = {matching->schema, key ? NULL : special, matching};
        nodes[i] = stream_compile(compiler, &scope, expr);
        if (nodes[i] == NULL) {
            return false;
        }
        types[i] = nodes[i]->type;
        columns[i] = (struct stream_column){
                .name = arena_copy(arena, key ? expr->text : measure->name), .type = types[i]};
    }
    plan->keys = nodes;
    plan->key_types = types;
    plan->key_count = match->partition_count;
    plan->measures = nodes + match->partition_count;
    plan->measure_count = match->measure_count;
    plan->op.schema = (struct stream_schema){columns, count};
    return true;
}

bool
plan_match(struct planner *planner, const struct source *source, struct from *from)
{
    struct matching matching = {planner, source->match, &from->schema};
    struct match_plan *plan = plan_new(planner, struct match_plan, &stream_match_class, from->op);
    struct stream_schema *input = arena_new(planner->compiler.arena, struct stream_schema);
    *input = from->schema;
    matching.schema = input;
    plan->input = *input;
    if (!check_pattern(&matching) || !set_order(&matching, plan) || !set_steps(&matching, plan) ||
        !set_columns(&matching, plan) || plan_add(planner, &plan->op) == NULL) {
        return false;
    }
    struct stream_column *columns = arena_new_array(planner->compiler.arena, struct stream_column,
                                                    plan->op.schema.count);
    memcpy(columns, plan->op.schema.columns, plan->op.schema.count * sizeof *columns);
    for (size_t i = 0; i < plan->op.schema.count; i++) {
        columns[i].relation = arena_copy(planner->compiler.arena, source->alias);
    }
    from->op = &plan->op;
    from->schema = (struct stream_schema){columns, plan->op.schema.count};
    return true;
}
