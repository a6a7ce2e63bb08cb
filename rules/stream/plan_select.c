/* SELECT: what it reads, WHERE, and its items. */
#include "plan.h"

bool
expr_walk(const struct expr *expr, bool (*visit)(void *context, const struct expr *expr),
          void *context)
{
    if (expr == NULL) {
        return true;
    }
    if (!visit(context, expr) || !expr_walk(expr->filter, visit, context)) {
        return false;
    }
    for (size_t i = 0; i < expr->item_count; i++) {
        if (!expr_walk(expr->items[i], visit, context)) {
            return false;
        }
    }
    return true;
}

void *
plan_new_op(struct planner *planner, size_t size, const struct stream_op_class *class,
            const struct stream_op_plan *input)
{
    struct stream_op_plan *op = arena_alloc_zeroed(planner->compiler.arena, 1, size);
    op->class = class;
    op->inputs[0] = input;
    op->input_count = 1;
    return op;
}

const struct stream_op_plan *
plan_add(struct planner *planner, struct stream_op_plan *op)
{
    if (planner->op_count == OPS_MAX) {
        diag_error(planner->compiler.diags, DIAG_INVALID,
                   "the query has more than %d parts; views within views count each time", OPS_MAX);
        return NULL;
    }
    planner->ops[planner->op_count++] = op;
    return op;
}

/* ---- sources ---- */

static struct stream_schema
named_schema(struct planner *planner, const struct stream_schema *schema, struct bytes relation)
{
    struct arena *arena = planner->compiler.arena;
    struct stream_column *columns = arena_new_array(arena, struct stream_column, schema->count);
    for (size_t i = 0; i < schema->count; i++) {
        columns[i] = schema->columns[i];
        columns[i].relation = arena_copy(arena, relation);
    }
    return (struct stream_schema){columns, schema->count};
}

static const char *
entry_name_at(const void *context, size_t i)
{
    const struct planner *planner = context;
    return arena_printf(planner->scratch, "%.*s",
                        BYTES_ARG(planner->entries[i].statement->name)).data;
}

static const struct stream_op_plan *
plan_named(struct planner *planner, const struct source *source, struct bytes name)
{
    const struct relation_entry *entry = plan_find(planner, name);
    if (entry == NULL) {
        stream_fail(&planner->compiler, source->span, "unknown table '%.*s'", BYTES_ARG(name));
        const char *near = diag_nearest(name, planner->entry_count, entry_name_at, planner);
        if (near != NULL) {
            stream_hint(&planner->compiler, "did you mean '%s'?", near);
        }
        return NULL;
    }
    if (entry->statement->kind == STATEMENT_CREATE_FUNCTION || !plan_has_columns(entry)) {
        stream_fail(&planner->compiler, source->span, "'%.*s' has no columns to be queried",
                    BYTES_ARG(name));
        stream_hint(&planner->compiler,
                    "declare them: CREATE TABLE %.*s (sensor_id VARCHAR, temperature DOUBLE) ...",
                    BYTES_ARG(name));
        return NULL;
    }
    return plan_named_relation(planner, entry);
}

/* The three columns that a window table function adds. */
static struct stream_schema
with_bounds(struct planner *planner, const struct stream_schema *schema,
            const struct stream_node *time)
{
    size_t count = schema->count + GROUP_BOUNDS;
    struct stream_column *columns = arena_new_array(planner->compiler.arena,
                                                    struct stream_column, count);
    memcpy(columns, schema->columns, schema->count * sizeof *columns);
    plan_bound_columns(columns + schema->count, time);
    return (struct stream_schema){columns, count};
}

static bool
plan_window_source(struct planner *planner, const struct window_call *window, struct from *out)
{
    struct from table = {0};
    struct pending_window *pending = arena_new(planner->compiler.arena, struct pending_window);
    const struct expr column = {.kind = EXPR_NAME, .text = window->column,
                                .span = window->column_span};
    if (window->column.size == 0) {
        stream_fail(&planner->compiler, window->span, "the time column is missing");
        stream_hint(&planner->compiler, "DESCRIPTOR(time_column)");
        return false;
    }
    if (!plan_source(planner, window->table, &table) ||
        !plan_shape(planner, window->name, window->span, window->args, window->arg_names,
                    window->arg_count, true, &pending->shape) ||
        !plan_time_column(planner, &table.schema, &column, &pending->time)) {
        return false;
    }
    pending->is_local = pending->time->type.kind == STREAM_TIMESTAMP_LTZ;
    pending->partition_by = window->partition_by;
    pending->partition_count = window->partition_count;
    out->op = table.op;
    out->schema = with_bounds(planner, &table.schema, pending->time);
    out->pending = pending;
    return true;
}

bool
plan_pending(struct planner *planner, struct from *from)
{
    const struct pending_window *pending = from->pending;
    if (pending == NULL) {
        return true;
    }
    if (pending->shape.kind == WINDOW_SESSION) {
        diag_error(planner->compiler.diags, DIAG_INVALID,
                   "a SESSION window needs GROUP BY window_start, window_end");
        return false;
    }
    struct assign_plan *plan = plan_new(planner, struct assign_plan, &stream_assign_class,
                                        from->op);
    plan->op.schema = from->schema;
    plan->shape = pending->shape;
    plan->time = pending->time->attribute == ATTRIBUTE_EVENT ? pending->time : NULL;
    plan->is_local = pending->is_local;
    from->op = plan_add(planner, &plan->op);
    from->pending = NULL;
    return from->op != NULL;
}

bool
plan_source(struct planner *planner, const struct source *source, struct from *out)
{
    struct bytes relation = source->alias;
    *out = (struct from){0};
    switch (source->kind) {
    case SOURCE_TABLE: {
        struct bytes name = source->name.items[source->name.count - 1];
        out->op = plan_named(planner, source, name);
        relation = relation.size == 0 ? name : relation;
        break;
    }
    case SOURCE_QUERY:
        out->op = plan_query(planner, source->select);
        break;
    case SOURCE_WINDOW:
        if (!plan_window_source(planner, source->window, out)) {
            return false;
        }
        if (relation.size > 0) {
            out->schema = named_schema(planner, &out->schema, relation);
        }
        return true;
    default:
        stream_fail(&planner->compiler, source->span, "stream SQL reads declared tables");
        return false;
    }
    if (out->op == NULL) {
        return false;
    }
    out->schema = named_schema(planner, &out->op->schema, relation);
    return source->match == NULL || plan_match(planner, source, out);
}

/* ---- WHERE and items ---- */

const struct stream_op_plan *
plan_filter(struct planner *planner, const struct stream_op_plan *input,
            const struct stream_node *where)
{
    struct stream_select_plan *plan = plan_new(planner, struct stream_select_plan,
                                               &stream_select_class, input);
    plan->op.schema = input->schema;
    plan->where = where;
    return plan_add(planner, &plan->op);
}

struct items {
    const struct stream_node **nodes;
    struct stream_column *columns;
    size_t count, capacity;
};

static void
add_item(struct planner *planner, struct items *items, const struct stream_node *node,
         struct bytes name)
{
    struct arena *arena = planner->compiler.arena;
    if (items->count == items->capacity) {
        size_t capacity = items->capacity == 0 ? 8 : items->capacity * 2;
        const struct stream_node **nodes = arena_new_array(arena, const struct stream_node *,
                                                           capacity);
        struct stream_column *columns = arena_new_array(arena, struct stream_column, capacity);
        if (items->count > 0) {
            memcpy(nodes, items->nodes, items->count * sizeof *nodes);
            memcpy(columns, items->columns, items->count * sizeof *columns);
        }
        items->nodes = nodes;
        items->columns = columns;
        items->capacity = capacity;
    }
    items->nodes[items->count] = node;
    items->columns[items->count++] = (struct stream_column){
            .name = arena_copy(arena, name),
            .type = node->type,
            .attribute = node->attribute,
            .bound = node->bound,
            .window_time = node->window_time,
            .is_window_local = node->is_window_local,
            .nested = node->nested,
    };
}

/* '*' or 'a.*': what is not hidden. */
static bool
add_star(struct planner *planner, struct items *items, const struct stream_schema *schema,
         const struct expr *star)
{
    bool any = false;
    for (size_t i = 0; i < schema->count; i++) {
        const struct stream_column *column = &schema->columns[i];
        bool wanted = star->item_count == 0 ||
                      bytes_equal_nocase(column->relation, star->items[0]->text);
        if (wanted && !column->is_hidden) {
            add_item(planner, items, stream_column_node(&planner->compiler, schema, i),
                     column->name);
            any = true;
        }
    }
    if (!any) {
        stream_fail(&planner->compiler, star->span, "there are no such columns");
    }
    return any;
}

static struct bytes
item_name(struct planner *planner, const struct select_item *item, size_t number)
{
    if (item->alias.count > 0) {
        return item->alias.items[item->alias.count - 1];
    }
    if (item->expr->kind == EXPR_NAME || item->expr->kind == EXPR_MEMBER) {
        return item->expr->text;
    }
    return arena_printf(planner->compiler.arena, "EXPR$%zu", number);
}

const struct stream_op_plan *
plan_items(struct planner *planner, const struct select *select,
           const struct stream_op_plan *input, const struct stream_scope *scope,
           const struct stream_node *where)
{
    struct items items = {0};
    for (size_t i = 0; i < select->item_count; i++) {
        const struct select_item *item = &select->items[i];
        if (item->expr->kind == EXPR_STAR) {
            if (scope->special != NULL && select->group_by_count + (select->stagger != NULL) > 0) {
                return stream_fail(&planner->compiler, item->expr->span,
                                   "'*' of a group has no meaning: name keys and aggregates");
            }
            if (!add_star(planner, &items, scope->schema, item->expr)) {
                return NULL;
            }
            continue;
        }
        const struct stream_node *node = stream_compile(&planner->compiler, scope, item->expr);
        if (node == NULL) {
            return NULL;
        }
        add_item(planner, &items, node, item_name(planner, item, i));
    }
    struct stream_select_plan *plan = plan_new(planner, struct stream_select_plan,
                                               &stream_select_class, input);
    plan->where = where;
    plan->items = items.nodes;
    plan->op.schema = (struct stream_schema){items.columns, items.count};
    return plan_add(planner, &plan->op);
}

static bool
refuse_clauses(struct planner *planner, const struct select *select)
{
    struct stream_compiler *compiler = &planner->compiler;
    if (select->from == NULL) {
        stream_fail(compiler, select->span, "a query needs FROM");
    } else if (select->distinct) {
        stream_fail(compiler, select->span, "SELECT DISTINCT of a stream is never finished");
        stream_hint(compiler, "group by a window, or keep the first of each key with ROW_NUMBER() "
                              "OVER (PARTITION BY key ORDER BY proctime)");
    } else if (select->order_by_count > 0) {
        stream_fail(compiler, select->order_by[0].expr->span,
                    "a stream cannot be sorted: it never ends");
        stream_hint(compiler, "ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY "
                              "...) sorts within a window");
    } else if (select->limit != NULL || select->offset != NULL) {
        stream_fail(compiler, (select->limit != NULL ? select->limit : select->offset)->span,
                    "LIMIT and OFFSET need an end, and a stream has none");
    } else {
        return true;
    }
    return false;
}

static const struct stream_op_plan *
plan_plain(struct planner *planner, const struct select *select, struct from *from)
{
    const struct stream_scope scope = {.schema = &from->schema};
    const struct stream_node *where = NULL;
    if (!plan_pending(planner, from)) {
        return NULL;
    }
    if (select->where != NULL) {
        where = stream_compile_condition(&planner->compiler, &scope, select->where, "WHERE");
        if (where == NULL) {
            return NULL;
        }
    }
    return plan_items(planner, select, from->op, &scope, where);
}

const struct stream_op_plan *
plan_query(struct planner *planner, const struct select *select)
{
    struct from from;
    const struct stream_op_plan *op = NULL;
    if (planner->nesting == SELECT_NESTING_MAX) {
        return stream_fail(&planner->compiler, select->span,
                           "queries and views are nested deeper than %d", SELECT_NESTING_MAX);
    }
    bool is_possible = refuse_clauses(planner, select);
    if (is_possible) {
        plan_mean_query(planner, select);
    }
    planner->nesting++;
    if (is_possible && plan_source(planner, select->from, &from) &&
        (select->from->join_count == 0 || plan_joins(planner, select->from, &from))) {
        bool grouped = select->group_by_count > 0 || select->stagger != NULL ||
                       plan_has_aggregates(select) || select->having != NULL;
        op = grouped                  ? plan_group(planner, select, &from)
             : plan_has_over(select) ? plan_over(planner, select, &from)
                                     : plan_plain(planner, select, &from);
    }
    planner->nesting--;
    return op;
}
