/*
 * GROUP BY: the window, the keys, the aggregates, and what SELECT and HAVING may say of them.
 *
 * What comes out of the window is: keys | window_start | window_end | window_time | aggregates.
 * SELECT and HAVING are compiled over those columns: an expression that is a key, an aggregate or
 * a word about the window (TUMBLE_START(...), window_end) becomes a column, and whatever is left
 * must be made of those.
 */
#include "plan.h"

struct grouping {
    struct planner *planner;
    const struct select *select;
    struct from *from;
    struct group_plan plan;
    const struct expr **keys; /* of GROUP BY, without what says the window */
    const struct expr *window; /* TUMBLE(...), FLOOR(ROWTIME TO ...); NULL: bounds */
    struct bytes window_name;
    bool has_bounds[GROUP_BOUNDS + 1]; /* by enum stream_bound: named in GROUP BY */
    bool is_kinesis;                   /* by ROWTIME */
    struct window_shape shape;
    const struct stream_node *time;
    const struct stream_column *columns; /* of the rows that come out, but the aggregates */
    const struct expr **calls;           /* of the aggregates */
    const struct aggregate **aggregates;
    size_t call_count, call_capacity;
};

/* ---- shapes ---- */

static const struct {
    const char *name;
    enum window_kind kind;
    size_t least, most; /* intervals; a table function takes an offset more */
    const char *usage;
    const char *args[3]; /* names, in the order of the function's own */
} functions[] = {
        {"TUMBLE", WINDOW_TUMBLE, 1, 1, "TUMBLE(time, size)", {"SIZE"}},
        {"HOP", WINDOW_HOP, 2, 2, "HOP(time, slide, size)", {"SLIDE", "SIZE"}},
        {"CUMULATE", WINDOW_CUMULATE, 2, 2, "CUMULATE(time, step, size)", {"STEP", "SIZE"}},
        {"SESSION", WINDOW_SESSION, 1, 1, "SESSION(time, gap)", {"GAP"}},
};

enum { FUNCTION_COUNT = sizeof functions / sizeof functions[0] };

static size_t
find_function(struct bytes name)
{
    size_t i = 0;
    while (i < FUNCTION_COUNT && !bytes_equal_nocase(name, bytes_of_string(functions[i].name))) {
        i++;
    }
    return i;
}

/* Which argument a name means: SIZE => ..., in any order; OFFSET is the last. */
static size_t
argument_index(size_t function, struct bytes name, size_t position)
{
    if (name.size == 0) {
        return position;
    }
    for (size_t i = 0; i < functions[function].most; i++) {
        if (bytes_equal_nocase(name, bytes_of_string(functions[function].args[i]))) {
            return i;
        }
    }
    return bytes_equal_nocase(name, BYTES("OFFSET")) ? functions[function].most : SIZE_MAX;
}

static bool
check_shape(struct planner *planner, struct span span, const struct window_shape *shape,
            bool is_table_function)
{
    bool multiple = shape->kind == WINDOW_CUMULATE ||
                    (shape->kind == WINDOW_HOP && is_table_function);
    if (shape->size_ms <= 0 || shape->slide_ms <= 0) {
        stream_fail(&planner->compiler, span, "the intervals of a window must be positive");
        return false;
    }
    if (multiple && shape->size_ms % shape->slide_ms != 0) {
        stream_fail(&planner->compiler, span,
                    "the size of this window must be a multiple of its %s",
                    shape->kind == WINDOW_HOP ? "slide" : "step");
        return false;
    }
    if (shape->kind == WINDOW_HOP && shape->size_ms / shape->slide_ms > 100000) {
        stream_fail(&planner->compiler, span, "a row would be in more than 100000 windows");
        return false;
    }
    return true;
}

bool
plan_shape(struct planner *planner, struct bytes name, struct span span, struct expr *const *args,
           const struct bytes *names, size_t count, bool is_table_function,
           struct window_shape *out)
{
    size_t function = find_function(name);
    int64_t values[4] = {0};
    bool given[4] = {false};
    if (function == FUNCTION_COUNT) {
        stream_fail(&planner->compiler, span, "unknown window '%.*s'", BYTES_ARG(name));
        stream_hint(&planner->compiler, "there are TUMBLE, HOP, CUMULATE and SESSION");
        return false;
    }
    bool offset = is_table_function && functions[function].kind != WINDOW_SESSION;
    if (count < functions[function].least || count > functions[function].most + offset) {
        stream_fail(&planner->compiler, span, "wrong number of arguments of %s",
                    functions[function].name);
        stream_hint(&planner->compiler, "it is %s", functions[function].usage);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        size_t index = argument_index(function, names == NULL ? BYTES("") : names[i], i);
        if (index > functions[function].most || given[index]) {
            stream_fail(&planner->compiler, args[i]->span, "%s has no such argument",
                        functions[function].name);
            return false;
        }
        if (!stream_interval(&planner->compiler, args[i], "the size of a window",
                             &values[index])) {
            return false;
        }
        given[index] = true;
    }
    *out = (struct window_shape){
            .kind = functions[function].kind,
            .size_ms = values[functions[function].most - 1],
            .slide_ms = values[0],
            .offset_ms = values[functions[function].most],
    };
    return check_shape(planner, span, out, is_table_function);
}

bool
plan_time_column(struct planner *planner, const struct stream_schema *schema,
                 const struct expr *column, const struct stream_node **out)
{
    const struct stream_scope scope = {.schema = schema};
    *out = stream_compile(&planner->compiler, &scope, column);
    if (*out == NULL) {
        return false;
    }
    if ((*out)->attribute == ATTRIBUTE_NONE) {
        stream_fail(&planner->compiler, column->span, "this is no time attribute");
        stream_hint(&planner->compiler,
                    "declare one in CREATE TABLE: WATERMARK FOR time AS time - INTERVAL '5' "
                    "SECOND, or proctime AS PROCTIME()");
        return false;
    }
    return true;
}

/* ---- what GROUP BY says ---- */

static bool
is_rowtime(const struct grouping *grouping, const struct expr *expr)
{
    bool ambiguous;
    size_t column = stream_find_column(&grouping->from->schema, expr, &ambiguous);
    return column != SIZE_MAX && grouping->from->schema.columns[column].is_hidden;
}

/* FLOOR(ROWTIME TO MINUTE) and STEP(ROWTIME BY INTERVAL ...) of Kinesis Analytics. */
static bool
kinesis_window(struct grouping *grouping, const struct expr *expr, bool *is_one)
{
    struct planner *planner = grouping->planner;
    bool floor = bytes_equal_nocase(expr->text, BYTES("FLOOR"));
    bool step = bytes_equal_nocase(expr->text, BYTES("STEP"));
    *is_one = expr->kind == EXPR_CALL && (floor || step) && expr->item_count == 2 &&
              is_rowtime(grouping, expr->items[0]);
    if (!*is_one) {
        return true;
    }
    grouping->shape.kind = WINDOW_TUMBLE;
    if (floor) {
        static const int64_t sizes[] = {
                [UNIT_MILLISECOND] = 1, [UNIT_SECOND] = 1000, [UNIT_MINUTE] = 60000,
                [UNIT_HOUR] = 3600000, [UNIT_DAY] = 86400000};
        enum stream_unit unit;
        if (!stream_unit_parse(expr->items[1]->text, &unit) || unit > UNIT_DAY) {
            stream_fail(&planner->compiler, expr->items[1]->span,
                        "ROWTIME groups by SECOND, MINUTE, HOUR or DAY");
            return false;
        }
        grouping->shape.size_ms = sizes[unit];
    } else if (!stream_interval(&planner->compiler, expr->items[1], "the interval of STEP",
                                &grouping->shape.size_ms)) {
        return false;
    }
    grouping->shape.slide_ms = grouping->shape.size_ms;
    grouping->is_kinesis = true;
    grouping->window = expr;
    return check_shape(planner, expr->span, &grouping->shape, false) &&
           plan_time_column(planner, &grouping->from->schema, expr->items[0], &grouping->time);
}

static bool
set_window(struct grouping *grouping, const struct expr *call)
{
    struct planner *planner = grouping->planner;
    if (grouping->window != NULL) {
        stream_fail(&planner->compiler, call->span, "a query has one window");
        return false;
    }
    if (call->item_count == 0) {
        stream_fail(&planner->compiler, call->span, "the time column is missing");
        return false;
    }
    grouping->window = call;
    return plan_time_column(planner, &grouping->from->schema, call->items[0], &grouping->time) &&
           plan_shape(planner, call->text, call->span, call->items + 1, NULL,
                      call->item_count - 1, false, &grouping->shape);
}

static bool
add_key(struct grouping *grouping, const struct expr *expr)
{
    struct planner *planner = grouping->planner;
    const struct stream_scope scope = {.schema = &grouping->from->schema};
    const struct stream_node *node = stream_compile(&planner->compiler, &scope, expr);
    if (node == NULL) {
        return false;
    }
    size_t i = grouping->plan.key_count++;
    grouping->keys[i] = expr;
    ((const struct stream_node **)(uintptr_t)grouping->plan.keys)[i] = node;
    ((struct stream_type *)(uintptr_t)grouping->plan.key_types)[i] = node->type;
    return true;
}

static enum stream_bound
bound_of(const struct stream_schema *schema, const struct expr *expr)
{
    bool ambiguous;
    size_t column = stream_find_column(schema, expr, &ambiguous);
    return column == SIZE_MAX ? BOUND_NONE : schema->columns[column].bound;
}

static bool
read_group_by(struct grouping *grouping)
{
    const struct select *select = grouping->select;
    for (size_t i = 0; i < select->group_by_count; i++) {
        const struct expr *expr = select->group_by[i];
        enum stream_bound bound = bound_of(&grouping->from->schema, expr);
        bool is_kinesis = false;
        if (expr->kind == EXPR_CALL && find_function(expr->text) < FUNCTION_COUNT) {
            if (!set_window(grouping, expr)) {
                return false;
            }
        } else if (bound != BOUND_NONE) {
            grouping->has_bounds[bound] = true;
        } else if (!kinesis_window(grouping, expr, &is_kinesis) ||
                   (!is_kinesis && !add_key(grouping, expr))) {
            return false;
        }
    }
    return true;
}

static bool
check_window(struct grouping *grouping)
{
    struct stream_compiler *compiler = &grouping->planner->compiler;
    struct span span = grouping->select->group_by_count > 0
                               ? grouping->select->group_by[0]->span
                               : grouping->select->span;
    bool any = grouping->has_bounds[BOUND_START] || grouping->has_bounds[BOUND_END] ||
               grouping->has_bounds[BOUND_TIME];
    if (grouping->window != NULL && !any) {
        return true;
    }
    if (grouping->window == NULL && grouping->has_bounds[BOUND_START] &&
        grouping->has_bounds[BOUND_END]) {
        return true;
    }
    if (any) {
        stream_fail(compiler, span, "GROUP BY needs both window_start and window_end, and no other "
                                    "window");
        stream_hint(compiler, "GROUP BY window_start, window_end, ...");
    } else {
        stream_fail(compiler, span, "a group without window is never finished");
        stream_hint(compiler, "GROUP BY TUMBLE(time, INTERVAL '1' MINUTE), ... gives a row for "
                              "each minute and group");
    }
    return false;
}

/* ---- what SELECT and HAVING may say ---- */

static const struct stream_node *
column_node(struct grouping *grouping, size_t column, struct stream_type type)
{
    const struct stream_column out = {.type = type};
    struct stream_schema schema = {&out, 1};
    bool known = column < grouping->plan.key_count + GROUP_BOUNDS;
    if (known) {
        schema = (struct stream_schema){grouping->columns,
                                        grouping->plan.key_count + GROUP_BOUNDS};
        return stream_column_node(&grouping->planner->compiler, &schema, column);
    }
    struct stream_node *node = arena_new(grouping->planner->compiler.arena, struct stream_node);
    *node = *stream_column_node(&grouping->planner->compiler, &schema, 0);
    node->column = (uint32_t)column;
    return node;
}

static const struct stream_node *
bound_node(struct grouping *grouping, size_t which)
{
    return column_node(grouping, grouping->plan.key_count + which, (struct stream_type){0});
}

static const struct stream_node *
aggregate_node(struct grouping *grouping, const struct expr *call)
{
    struct planner *planner = grouping->planner;
    const struct stream_scope scope = {.schema = &grouping->from->schema};
    size_t i = 0;
    while (i < grouping->call_count &&
           !stream_same(&grouping->from->schema, grouping->calls[i], call)) {
        i++;
    }
    if (i == grouping->call_count) {
        const struct aggregate *aggregate = aggregate_compile(&planner->compiler, &scope, call);
        if (aggregate == NULL) {
            return NULL;
        }
        if (grouping->call_count == grouping->call_capacity) {
            return stream_fail(&planner->compiler, call->span, "a query has at most %zu aggregates",
                               grouping->call_capacity);
        }
        grouping->calls[i] = call;
        grouping->aggregates[i] = aggregate;
        grouping->call_count++;
    }
    return column_node(grouping, grouping->plan.key_count + GROUP_BOUNDS + i,
                       grouping->aggregates[i]->type);
}

static bool
same_arguments(const struct grouping *grouping, const struct expr *a, const struct expr *b)
{
    bool same = a->item_count == b->item_count;
    for (size_t i = 0; i < a->item_count && same; i++) {
        same = stream_same(&grouping->from->schema, a->items[i], b->items[i]);
    }
    return same;
}

/* TUMBLE_START(...) and its like; false: the call is none. */
static bool
window_word(struct grouping *grouping, const struct expr *call, const struct stream_node **out)
{
    static const struct {
        const char *suffix;
        size_t which;
    } words[] = {{"_START", GROUP_START}, {"_END", GROUP_END}, {"_ROWTIME", GROUP_TIME},
                 {"_PROCTIME", GROUP_TIME}};
    struct stream_compiler *compiler = &grouping->planner->compiler;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        struct bytes suffix = bytes_of_string(words[i].suffix);
        size_t size = call->text.size > suffix.size ? call->text.size - suffix.size : 0;
        struct bytes kind = bytes_slice(call->text, 0, size);
        if (size == 0 || find_function(kind) == FUNCTION_COUNT ||
            !bytes_equal_nocase(bytes_slice(call->text, size, call->text.size), suffix)) {
            continue;
        }
        *out = NULL;
        const struct expr *window = grouping->window;
        if (window == NULL || !bytes_equal_nocase(window->text, kind)) {
            stream_fail(compiler, call->span, "%.*s needs the same window in GROUP BY",
                        BYTES_ARG(call->text));
        } else if (!same_arguments(grouping, window, call)) {
            stream_fail(compiler, call->span,
                        "%.*s needs the same arguments as the window in GROUP BY",
                        BYTES_ARG(call->text));
        } else {
            *out = bound_node(grouping, words[i].which);
        }
        return true;
    }
    return false;
}

static bool
special(void *context, struct stream_compiler *compiler, const struct expr *expr,
        const struct stream_node **out)
{
    struct grouping *grouping = context;
    const struct stream_schema *schema = &grouping->from->schema;
    for (size_t i = 0; i < grouping->plan.key_count; i++) {
        if (stream_same(schema, grouping->keys[i], expr)) {
            *out = column_node(grouping, i, grouping->plan.key_types[i]);
            return true;
        }
    }
    enum stream_bound bound = bound_of(schema, expr);
    if (bound != BOUND_NONE && grouping->window == NULL) {
        *out = bound_node(grouping, (size_t)(bound - BOUND_START));
        return true;
    }
    if (grouping->is_kinesis && is_rowtime(grouping, expr)) {
        *out = bound_node(grouping, GROUP_END);
        return true;
    }
    if (grouping->window != NULL && stream_same(schema, grouping->window, expr)) {
        *out = bound_node(grouping, GROUP_START);
        return true;
    }
    if (expr->kind == EXPR_CALL && stream_is_aggregate(expr->text)) {
        *out = aggregate_node(grouping, expr);
        return true;
    }
    if (expr->kind == EXPR_CALL && window_word(grouping, expr, out)) {
        return true;
    }
    bool ambiguous;
    if (stream_find_column(schema, expr, &ambiguous) != SIZE_MAX) {
        *out = stream_fail(compiler, expr->span, "'%.*s' is not grouped", BYTES_ARG(expr->text));
        stream_hint(compiler, "add it to GROUP BY, or say which of its values: MAX(%.*s)",
                    BYTES_ARG(expr->text));
        return true;
    }
    return false;
}

/* ---- putting it together ---- */

static bool
find_aggregate(void *context, const struct expr *expr)
{
    bool is_one = expr->kind == EXPR_CALL && expr->over == NULL && stream_is_aggregate(expr->text);
    return !is_one;
}

bool
plan_has_aggregates(const struct select *select)
{
    for (size_t i = 0; i < select->item_count; i++) {
        const struct expr *expr = select->items[i].expr;
        if (expr->over == NULL && !expr_walk(expr, find_aggregate, NULL)) {
            return true;
        }
    }
    return select->having != NULL && !expr_walk(select->having, find_aggregate, NULL);
}

void
plan_bound_columns(struct stream_column columns[GROUP_BOUNDS], const struct stream_node *time)
{
    static const char *const names[] = {"window_start", "window_end", "window_time"};
    for (size_t i = 0; i < GROUP_BOUNDS; i++) {
        columns[i] = (struct stream_column){
                .name = bytes_of_string(names[i]),
                .type = stream_type_of(STREAM_TIMESTAMP),
                .bound = (enum stream_bound)(BOUND_START + i),
                .window_time = time->attribute,
                .is_window_local = time->type.kind == STREAM_TIMESTAMP_LTZ,
        };
    }
    columns[GROUP_TIME].type = time->type;
    columns[GROUP_TIME].attribute = time->attribute;
}

/* Keys and bounds of the rows that come out. */
static void
set_columns(struct grouping *grouping)
{
    size_t keys = grouping->plan.key_count;
    struct stream_column *columns = arena_new_array(grouping->planner->compiler.arena,
                                                    struct stream_column, keys + GROUP_BOUNDS);
    for (size_t i = 0; i < keys; i++) {
        columns[i] = (struct stream_column){.name = arena_copy(grouping->planner->compiler.arena,
                                                               grouping->keys[i]->text),
                                            .type = grouping->plan.key_types[i]};
    }
    plan_bound_columns(columns + keys, grouping->time);
    grouping->columns = columns;
}

static void
init_grouping(struct grouping *grouping)
{
    enum { AGGREGATES_MAX = 200 };
    struct arena *arena = grouping->planner->compiler.arena;
    size_t keys = grouping->select->group_by_count +
                  (grouping->select->stagger == NULL ? 0
                                                     : grouping->select->stagger->partition_count);
    grouping->keys = arena_new_array(arena, const struct expr *, keys);
    grouping->plan.keys = arena_new_array(arena, const struct stream_node *, keys);
    grouping->plan.key_types = arena_new_array(arena, struct stream_type, keys);
    grouping->calls = arena_new_array(grouping->planner->scratch, const struct expr *,
                                      AGGREGATES_MAX);
    grouping->aggregates = arena_new_array(arena, const struct aggregate *, AGGREGATES_MAX);
    grouping->call_capacity = AGGREGATES_MAX;
}

/* GROUP BY window_start, window_end right behind the window's function: no need to copy rows. */
static bool
use_pending(struct grouping *grouping)
{
    struct from *from = grouping->from;
    if (from->pending == NULL || grouping->window != NULL) {
        return plan_pending(grouping->planner, from);
    }
    grouping->shape = from->pending->shape;
    grouping->time = from->pending->time;
    return true;
}

struct column_use {
    const struct stream_schema *schema;
    size_t from;
};

static bool
is_before(void *context, const struct expr *expr)
{
    const struct column_use *use = context;
    bool ambiguous;
    size_t column = stream_find_column(use->schema, expr, &ambiguous);
    return column == SIZE_MAX || column < use->from;
}

static bool
apply_where(struct grouping *grouping)
{
    struct planner *planner = grouping->planner;
    struct from *from = grouping->from;
    const struct stream_scope scope = {.schema = &from->schema};
    if (grouping->select->where == NULL) {
        return true;
    }
    struct column_use use = {&from->schema, from->schema.count - GROUP_BOUNDS};
    if (from->pending != NULL && !expr_walk(grouping->select->where, is_before, &use) &&
        !plan_pending(planner, from)) {
        return false;
    }
    const struct stream_node *where = stream_compile_condition(&planner->compiler, &scope,
                                                               grouping->select->where, "WHERE");
    if (where == NULL) {
        return false;
    }
    from->op = plan_filter(planner, from->op, where);
    return from->op != NULL;
}

static bool
check_session_keys(struct grouping *grouping, const struct pending_window *pending)
{
    for (size_t i = 0; i < pending->partition_count; i++) {
        bool found = false;
        for (size_t k = 0; k < grouping->plan.key_count; k++) {
            found |= stream_same(&grouping->from->schema, grouping->keys[k],
                                 pending->partition_by[i]);
        }
        if (!found) {
            stream_fail(&grouping->planner->compiler, pending->partition_by[i]->span,
                        "GROUP BY must name the column that SESSION is partitioned by");
            return false;
        }
    }
    return true;
}

static struct stream_op_plan *
window_op(struct grouping *grouping)
{
    struct planner *planner = grouping->planner;
    bool session = grouping->shape.kind >= WINDOW_SESSION;
    struct window_plan *plan = plan_new(planner, struct window_plan,
                                        session ? &stream_session_class : &stream_window_class,
                                        grouping->from->op);
    plan->shape = grouping->shape;
    plan->time = grouping->time->attribute == ATTRIBUTE_EVENT ? grouping->time : NULL;
    plan->group = grouping->plan;
    return &plan->op;
}

static struct stream_op_plan *
bound_op(struct grouping *grouping)
{
    struct planner *planner = grouping->planner;
    const struct stream_schema *schema = &grouping->from->schema;
    struct bound_plan *plan = plan_new(planner, struct bound_plan, &stream_bound_class,
                                       grouping->from->op);
    for (size_t i = 0; i < schema->count; i++) {
        plan->start_column = schema->columns[i].bound == BOUND_START ? i : plan->start_column;
        plan->end_column = schema->columns[i].bound == BOUND_END ? i : plan->end_column;
    }
    plan->group = grouping->plan;
    plan->is_processing = grouping->time->attribute == ATTRIBUTE_PROCESSING;
    return &plan->op;
}

/* Of rows that carry bounds: window_time, whether it is there or not. */
static const struct stream_node *
time_of_bounds(struct grouping *grouping)
{
    const struct stream_schema *schema = &grouping->from->schema;
    struct stream_node *time = arena_new(grouping->planner->compiler.arena, struct stream_node);
    for (size_t i = 0; i < schema->count; i++) {
        const struct stream_column *column = &schema->columns[i];
        if (column->bound == BOUND_TIME) {
            return stream_column_node(&grouping->planner->compiler, schema, i);
        }
        if (column->bound == BOUND_END) {
            time->type = stream_type_of(column->is_window_local ? STREAM_TIMESTAMP_LTZ
                                                                : STREAM_TIMESTAMP);
            time->attribute = column->window_time;
        }
    }
    return time;
}

/* WINDOWED BY STAGGER: the window is of its own kind, the keys are its partition. */
static bool
read_stagger(struct grouping *grouping)
{
    const struct stagger *stagger = grouping->select->stagger;
    struct planner *planner = grouping->planner;
    const struct expr rowtime = {.kind = EXPR_NAME, .text = BYTES("ROWTIME"),
                                 .span = stagger->span};
    grouping->is_kinesis = true;
    grouping->shape.kind = WINDOW_STAGGER;
    if (!stream_interval(&planner->compiler, stagger->range, "the range of STAGGER",
                         &grouping->shape.size_ms) ||
        !plan_time_column(planner, &grouping->from->schema, &rowtime, &grouping->time)) {
        return false;
    }
    grouping->shape.slide_ms = grouping->shape.size_ms;
    for (size_t i = 0; i < stagger->partition_count; i++) {
        if (!add_key(grouping, stagger->partition_by[i])) {
            return false;
        }
    }
    return check_shape(planner, stagger->span, &grouping->shape, false);
}

const struct stream_op_plan *
plan_group(struct planner *planner, const struct select *select, struct from *from)
{
    struct grouping grouping = {.planner = planner, .select = select, .from = from};
    init_grouping(&grouping);
    bool stagger = select->stagger != NULL;
    if (stagger ? !read_stagger(&grouping)
                : !read_group_by(&grouping) || !check_window(&grouping)) {
        return NULL;
    }
    const struct pending_window *pending = from->pending;
    if (!apply_where(&grouping) || !use_pending(&grouping) ||
        (pending != NULL && !check_session_keys(&grouping, pending))) {
        return NULL;
    }
    bool bound = grouping.window == NULL && from->pending == NULL && !stagger;
    if (bound) {
        grouping.time = time_of_bounds(&grouping);
    }
    grouping.plan.is_local = grouping.time->type.kind == STREAM_TIMESTAMP_LTZ;
    set_columns(&grouping);

    /* Items and HAVING find the aggregates; the window's operator comes before them. */
    size_t place = planner->op_count;
    struct stream_op_plan *op = bound ? bound_op(&grouping) : window_op(&grouping);
    const struct stream_scope scope = {.schema = &from->schema, special, &grouping};
    const struct stream_node *having = NULL;
    if (plan_add(planner, op) == NULL) {
        return NULL;
    }
    if (select->having != NULL) {
        having = stream_compile_condition(&planner->compiler, &scope, select->having, "HAVING");
        if (having == NULL) {
            return NULL;
        }
    }
    const struct stream_op_plan *items = plan_items(planner, select, op, &scope, having);
    if (items == NULL) {
        return NULL;
    }
    check(planner->ops[place] == op);
    struct group_plan *plan = bound ? &((struct bound_plan *)op)->group
                                    : &((struct window_plan *)op)->group;
    plan->aggregates = grouping.aggregates;
    plan->aggregate_count = grouping.call_count;
    size_t count = grouping.plan.key_count + GROUP_BOUNDS + grouping.call_count;
    struct stream_column *columns = arena_new_array(planner->compiler.arena, struct stream_column,
                                                    count);
    memcpy(columns, grouping.columns,
           (grouping.plan.key_count + GROUP_BOUNDS) * sizeof *columns);
    for (size_t i = 0; i < grouping.call_count; i++) {
        columns[grouping.plan.key_count + GROUP_BOUNDS + i].type = grouping.aggregates[i]->type;
    }
    op->schema = (struct stream_schema){columns, count};
    return items;
}
