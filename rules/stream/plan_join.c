/*
 * JOIN with a table as it is now (FOR SYSTEM_TIME AS OF), and JOIN of two streams.
 *
 * Of two streams: two tables with event times, whose condition bounds the distance of those times.
 *
 *   FROM a JOIN b ON a.k = b.k AND b.t BETWEEN a.t - INTERVAL '1' MINUTE AND a.t
 *
 * The condition is a row of ANDs: equalities of a left with a right expression become the key,
 * comparisons of the two times become bounds, the rest is asked of each pair.
 */
#include "join.h"
#include "lookup.h"
#include "plan.h"

enum { CONJUNCTS_MAX = 100 };

struct joining {
    struct planner *planner;
    struct stream_schema sides[2];
    struct stream_schema both;
    const struct expr *keys[2][CONJUNCTS_MAX];
    size_t key_count;
    const struct expr *rest[CONJUNCTS_MAX];
    size_t rest_count;
    const struct stream_node *times[2];
    int64_t low_ms, high_ms;
    bool has_low, has_high;
    struct span span;
};

/* ---- which side an expression is of ---- */

struct side_use {
    const struct joining *joining;
    bool uses[2];
};

static bool
note_side(void *context, const struct expr *expr)
{
    struct side_use *use = context;
    bool ambiguous;
    size_t column = stream_find_column(&use->joining->both, expr, &ambiguous);
    if (column != SIZE_MAX) {
        use->uses[column >= use->joining->sides[0].count] = true;
        return true;
    }
    return true;
}

/* 0 or 1; 2: of both or of none. */
static unsigned
side_of(const struct joining *joining, const struct expr *expr)
{
    struct side_use use = {joining, {false, false}};
    expr_walk(expr, note_side, &use);
    return use.uses[0] == use.uses[1] ? 2 : use.uses[1];
}

/* ---- times: column, column + interval, column - interval ---- */

static bool
read_time(struct joining *joining, const struct expr *expr, unsigned *side, int64_t *shift_ms)
{
    const struct expr *column = expr;
    bool shifted = expr->kind == EXPR_BINARY && (expr->op == OP_ADD || expr->op == OP_SUBTRACT) &&
                   expr->items[1]->kind == EXPR_INTERVAL;
    *shift_ms = 0;
    if (shifted) {
        column = expr->items[0];
    }
    bool ambiguous;
    size_t index = stream_find_column(&joining->both, column, &ambiguous);
    if (index == SIZE_MAX || joining->both.columns[index].attribute != ATTRIBUTE_EVENT) {
        return false;
    }
    if (shifted && !stream_interval(&joining->planner->compiler, expr->items[1],
                                    "the interval of a join", shift_ms)) {
        return false;
    }
    *shift_ms = shifted && expr->op == OP_SUBTRACT ? -*shift_ms : *shift_ms;
    *side = index >= joining->sides[0].count;
    if (joining->times[*side] == NULL) {
        size_t own = *side == 0 ? index : index - joining->sides[0].count;
        joining->times[*side] = stream_column_node(&joining->planner->compiler,
                                                   &joining->sides[*side], own);
    }
    return true;
}

/* a <= b as a bound of right - left; false: it is no comparison of the two times. */
static bool
add_bound(struct joining *joining, const struct expr *a, const struct expr *b, bool strict)
{
    unsigned x, y;
    int64_t a_ms, b_ms;
    if (!read_time(joining, a, &x, &a_ms) || !read_time(joining, b, &y, &b_ms) || x == y) {
        return false;
    }
    if (x == 0) { /* left + a <= right + b: right - left >= a - b */
        int64_t low = a_ms - b_ms + strict;
        joining->low_ms = joining->has_low && joining->low_ms > low ? joining->low_ms : low;
        joining->has_low = true;
    } else { /* right + a <= left + b: right - left <= b - a */
        int64_t high = b_ms - a_ms - strict;
        joining->high_ms = joining->has_high && joining->high_ms < high ? joining->high_ms : high;
        joining->has_high = true;
    }
    return true;
}

static bool
read_bounds(struct joining *joining, const struct expr *expr)
{
    struct expr *const *items = expr->items;
    if (expr->kind == EXPR_BETWEEN && !expr->negated) {
        return add_bound(joining, items[1], items[0], false) &&
               add_bound(joining, items[0], items[2], false);
    }
    if (expr->kind != EXPR_BINARY) {
        return false;
    }
    switch (expr->op) {
    case OP_LESS:
    case OP_LESS_EQUAL:
        return add_bound(joining, items[0], items[1], expr->op == OP_LESS);
    case OP_GREATER:
    case OP_GREATER_EQUAL:
        return add_bound(joining, items[1], items[0], expr->op == OP_GREATER);
    case OP_EQUAL:
        return add_bound(joining, items[0], items[1], false) &&
               add_bound(joining, items[1], items[0], false);
    default:
        return false;
    }
}

static bool
read_key(struct joining *joining, const struct expr *expr)
{
    if (expr->kind != EXPR_BINARY || expr->op != OP_EQUAL) {
        return false;
    }
    unsigned a = side_of(joining, expr->items[0]), b = side_of(joining, expr->items[1]);
    if (a == 2 || b == 2 || a == b) {
        return false;
    }
    joining->keys[a][joining->key_count] = expr->items[0];
    joining->keys[b][joining->key_count++] = expr->items[1];
    return true;
}

static bool
read_condition(struct joining *joining, const struct expr *expr)
{
    if (expr->kind == EXPR_BINARY && expr->op == OP_AND) {
        return read_condition(joining, expr->items[0]) && read_condition(joining, expr->items[1]);
    }
    if (joining->key_count == CONJUNCTS_MAX || joining->rest_count == CONJUNCTS_MAX) {
        stream_fail(&joining->planner->compiler, expr->span, "the condition is too long");
        return false;
    }
    size_t errors = joining->planner->compiler.diags->errors;
    if (!read_bounds(joining, expr) && !read_key(joining, expr)) {
        joining->rest[joining->rest_count++] = expr;
    }
    return joining->planner->compiler.diags->errors == errors;
}

/* ---- the operator ---- */

static bool
set_side(struct joining *joining, unsigned side, struct join_plan *plan)
{
    struct stream_compiler *compiler = &joining->planner->compiler;
    const struct stream_scope scope = {.schema = &joining->sides[side]};
    const struct stream_node **nodes = arena_new_array(
            compiler->arena, const struct stream_node *, joining->key_count);
    struct stream_type *types = arena_new_array(compiler->arena, struct stream_type,
                                                joining->key_count);
    for (size_t i = 0; i < joining->key_count; i++) {
        nodes[i] = stream_compile(compiler, &scope, joining->keys[side][i]);
        if (nodes[i] == NULL) {
            return false;
        }
        types[i] = nodes[i]->type;
    }
    plan->sides[side] = (struct join_side){joining->sides[side], nodes, types,
                                           joining->times[side]};
    return true;
}

/* Keys of both sides are brought to one type, so that equal values are equal bytes. */
static bool
unify_keys(struct joining *joining, struct join_plan *plan)
{
    struct stream_compiler *compiler = &joining->planner->compiler;
    for (size_t i = 0; i < joining->key_count; i++) {
        struct stream_type type;
        if (!stream_common_type(plan->sides[0].key_types[i], plan->sides[1].key_types[i], &type)) {
            stream_fail(compiler, joining->keys[0][i]->span,
                        "the keys of the join are of different types");
            return false;
        }
        for (unsigned side = 0; side < 2; side++) {
            const struct stream_node **nodes = (const struct stream_node **)(uintptr_t)
                                                       plan->sides[side].keys;
            nodes[i] = stream_cast_node(compiler, nodes[i], type);
            if (nodes[i] == NULL) {
                return false;
            }
            ((struct stream_type *)(uintptr_t)plan->sides[side].key_types)[i] = type;
        }
    }
    return true;
}

static bool
set_rest(struct joining *joining, struct join_plan *plan)
{
    struct stream_compiler *compiler = &joining->planner->compiler;
    const struct stream_scope scope = {.schema = &joining->both};
    struct expr *all = NULL;
    for (size_t i = 0; i < joining->rest_count; i++) {
        struct expr *one = (struct expr *)(uintptr_t)joining->rest[i];
        if (all == NULL) {
            all = one;
            continue;
        }
        struct expr **items = arena_new_array(compiler->arena, struct expr *, 2);
        struct expr *both = arena_new(compiler->arena, struct expr);
        items[0] = all;
        items[1] = one;
        *both = (struct expr){.kind = EXPR_BINARY, .op = OP_AND, .span = one->span,
                              .items = items, .item_count = 2};
        all = both;
    }
    if (all != NULL) {
        plan->rest = stream_compile_condition(compiler, &scope, all, "ON");
    }
    return all == NULL || plan->rest != NULL;
}

static struct stream_schema
joined_schema(struct planner *planner, const struct stream_schema *a,
              const struct stream_schema *b)
{
    struct stream_column *columns = arena_new_array(planner->compiler.arena, struct stream_column,
                                                    a->count + b->count);
    memcpy(columns, a->columns, a->count * sizeof *columns);
    memcpy(columns + a->count, b->columns, b->count * sizeof *columns);
    return (struct stream_schema){columns, a->count + b->count};
}

static const void *
refuse(struct planner *planner, const struct join *join)
{
    stream_fail(&planner->compiler, join->span,
                "this join would have to keep its rows for ever");
    stream_hint(&planner->compiler,
                "bound the distance in time: ON a.id = b.id AND b.time BETWEEN a.time AND a.time + "
                "INTERVAL '10' MINUTE, both with a WATERMARK");
    return NULL;
}

static const struct stream_op_plan *
plan_one(struct planner *planner, const struct join *join, struct from *left,
         const struct from *right)
{
    struct joining *joining = arena_new(planner->scratch, struct joining);
    *joining = (struct joining){.planner = planner, .span = join->span,
                                .sides = {left->schema, right->schema},
                                .both = joined_schema(planner, &left->schema, &right->schema)};
    if (join->on == NULL || (join->kind != JOIN_INNER && join->kind != JOIN_LEFT)) {
        return refuse(planner, join);
    }
    if (!read_condition(joining, join->on)) {
        return NULL;
    }
    if (!joining->has_low || !joining->has_high || joining->times[0] == NULL ||
        joining->times[1] == NULL) {
        return refuse(planner, join);
    }
    struct join_plan *plan = plan_new(planner, struct join_plan, &stream_join_class, left->op);
    plan->op.inputs[1] = right->op;
    plan->op.input_count = 2;
    plan->op.schema = joining->both;
    plan->key_count = joining->key_count;
    plan->low_ms = joining->low_ms;
    plan->high_ms = joining->high_ms;
    plan->is_left = join->kind == JOIN_LEFT;
    if (plan->is_left && joining->rest_count > 0) {
        return stream_fail(&planner->compiler, join->span,
                           "a LEFT JOIN takes equalities and the bounds of time only");
    }
    return set_side(joining, 0, plan) && set_side(joining, 1, plan) &&
                           unify_keys(joining, plan) && set_rest(joining, plan)
                   ? plan_add(planner, &plan->op)
                   : NULL;
}

/* ---- lookup ---- */

/* The columns of the table that is asked, named by its alias. */
static bool
lookup_side(struct planner *planner, const struct join *join, struct from *out,
            const struct relation_entry **entry)
{
    const struct source *source = join->right;
    struct bytes name = source->kind == SOURCE_TABLE
                                ? source->name.items[source->name.count - 1]
                                : BYTES("");
    *entry = plan_find(planner, name);
    if (*entry == NULL || (*entry)->statement->kind != STATEMENT_CREATE_TABLE) {
        stream_fail(&planner->compiler, source->span,
                    "FOR SYSTEM_TIME AS OF needs a declared table");
        return false;
    }
    /* Planned for its columns only: nothing is read from it as a stream. */
    size_t ops = planner->op_count, sources = planner->source_count;
    bool planned = plan_source(planner, source, out);
    planner->op_count = ops;
    planner->source_count = sources;
    return planned;
}

static bool
set_lookup_keys(struct joining *joining, struct lookup_plan *plan)
{
    struct stream_compiler *compiler = &joining->planner->compiler;
    const struct stream_scope scope = {.schema = &joining->sides[0]};
    const struct stream_node **keys = arena_new_array(
            compiler->arena, const struct stream_node *, joining->key_count);
    struct bytes *names = arena_new_array(compiler->arena, struct bytes, joining->key_count);
    for (size_t i = 0; i < joining->key_count; i++) {
        bool ambiguous;
        size_t column = stream_find_column(&joining->sides[1], joining->keys[1][i], &ambiguous);
        if (column == SIZE_MAX) {
            stream_fail(compiler, joining->keys[1][i]->span,
                        "the table's side of a lookup must be one of its columns");
            return false;
        }
        struct buf name = {.arena = compiler->arena};
        json_write_string(&name, joining->sides[1].columns[column].name);
        buf_append_char(&name, ':');
        names[i] = buf_bytes(&name);
        keys[i] = stream_compile(compiler, &scope, joining->keys[0][i]);
        keys[i] = keys[i] == NULL ? NULL
                                  : stream_cast_node(compiler, keys[i],
                                                     joining->sides[1].columns[column].type);
        if (keys[i] == NULL) {
            stream_fail(compiler, joining->keys[0][i]->span,
                        "the keys of the join are of different types");
            return false;
        }
    }
    plan->keys = keys;
    plan->key_names = names;
    plan->key_count = joining->key_count;
    return true;
}

static const struct stream_op_plan *
plan_lookup(struct planner *planner, const struct join *join, struct from *left)
{
    struct from right;
    const struct relation_entry *entry;
    if (!lookup_side(planner, join, &right, &entry)) {
        return NULL;
    }
    struct joining *joining = arena_new(planner->scratch, struct joining);
    *joining = (struct joining){.planner = planner, .span = join->span,
                                .sides = {left->schema, right.schema},
                                .both = joined_schema(planner, &left->schema, &right.schema)};
    if (join->on == NULL || (join->kind != JOIN_INNER && join->kind != JOIN_LEFT)) {
        return stream_fail(&planner->compiler, join->span, "a lookup is JOIN or LEFT JOIN ... ON");
    }
    if (!read_condition(joining, join->on)) {
        return NULL;
    }
    if (joining->key_count == 0) {
        stream_fail(&planner->compiler, join->on->span, "a lookup needs the table's key");
        stream_hint(&planner->compiler, "ON stream.id = table.id");
        return NULL;
    }
    struct lookup_plan *plan = plan_new(planner, struct lookup_plan, &stream_lookup_class,
                                        left->op);
    plan->op.schema = joining->both;
    plan->table = entry->table;
    plan->left_count = left->schema.count;
    plan->is_left = join->kind == JOIN_LEFT;
    struct join_plan rest = {0};
    if (!set_lookup_keys(joining, plan) || !set_rest(joining, &rest)) {
        return NULL;
    }
    plan->rest = rest.rest;
    return plan_add(planner, &plan->op);
}

bool
plan_joins(struct planner *planner, const struct source *first, struct from *from)
{
    if (!plan_pending(planner, from)) {
        return false;
    }
    for (size_t i = 0; i < first->join_count; i++) {
        struct from right;
        const struct join *join = &first->joins[i];
        bool lookup = join->right->system_time != NULL;
        if (!lookup && (!plan_source(planner, join->right, &right) ||
                        !plan_pending(planner, &right))) {
            return false;
        }
        from->op = lookup ? plan_lookup(planner, join, from)
                          : plan_one(planner, join, from, &right);
        if (from->op == NULL) {
            return false;
        }
        from->schema = from->op->schema;
    }
    return true;
}
