/*
 * Planning of a SELECT: relations first (FROM, WITH), so that names have a meaning, then the
 * clauses in the order of their meaning, not of the text: WHERE, SELECT items, GROUP BY, HAVING,
 * ORDER BY.
 *
 *   text --parse.c--> tree --query_expr, _call, _name--> typed nodes --query_emit--> SQLite's SQL
 *
 * SQLite lets a grouped query show columns that are not grouped, with the value of any row: that is
 * refused here, as Trino does.
 */
#include "query.h"

#include "query_node.h"

#include <inttypes.h>

/* ---- relations ---- */

static bool
is_series_table(const struct query_table *table)
{
    for (size_t i = 0; i < table->column_count; i++) {
        if (bytes_equal(table->columns[i].name, BYTES("measure_name"))) {
            return true;
        }
    }
    return false;
}

static size_t
add_table(struct planner *planner, const struct query_table *table)
{
    for (size_t i = 0; i < planner->table_count; i++) {
        if (planner->tables[i] == table) {
            return i;
        }
    }
    size_t count = planner->table_count;
    const struct query_table **larger =
            arena_alloc(planner->arena, (count + 1) * sizeof(struct query_table *));
    if (count > 0) {
        memcpy(larger, planner->tables, count * sizeof(struct query_table *));
    }
    larger[count] = table;
    planner->tables = larger;
    return planner->table_count++;
}

static bool
plan_table(struct planner *planner, const struct source *source, struct relation *out)
{
    const struct name_path *path = &source->name;
    if (path->count > 2) {
        planner_fail(planner, path->span, "a table's name has at most two parts");
        return false;
    }
    struct bytes name = path->items[path->count - 1];
    struct bytes database = path->count == 2 ? path->items[0] : (struct bytes){0};
    const struct query_table *table = NULL;
    if (!planner->catalogue->find(planner->catalogue->context, database, name, &table,
                                  planner->diags)) {
        return false;
    }
    if (table == NULL) {
        planner_fail(planner, path->span, "unknown table '%.*s'", BYTES_ARG(name));
        const char *near = diag_nearest(name, planner->catalogue->name_count,
                                        planner->catalogue->name_at,
                                        planner->catalogue->name_context);
        if (near != NULL) {
            diag_hint(planner->diags, "did you mean '%s'?", near);
        } else if (planner->catalogue->whence != NULL) {
            diag_hint(planner->diags, "%s", planner->catalogue->whence);
        }
        return false;
    }
    out->kind = RELATION_TABLE;
    out->name = name;
    out->database = database;
    out->columns = table->columns;
    out->column_count = table->column_count;
    out->index = add_table(planner, table);
    out->series = is_series_table(table);
    return true;
}

static const struct common *
find_common(const struct scope *scope, struct bytes name)
{
    for (const struct common *at = scope->commons; at != NULL; at = at->next) {
        if (bytes_equal_nocase(at->name, name)) {
            return at;
        }
    }
    return NULL;
}

/* The columns of a relation under the names that AS t (a, b) gives them. */
static bool
rename_columns(struct planner *planner, const struct bytes *names, size_t count,
               struct span span, const struct query_column **columns, size_t column_count)
{
    if (count == 0) {
        return true;
    }
    if (count != column_count) {
        planner_fail(planner, span, "%zu names for %zu columns", count, column_count);
        return false;
    }
    struct query_column *renamed = arena_new_array(planner->arena, struct query_column, count);
    for (size_t i = 0; i < count; i++) {
        renamed[i] = (*columns)[i];
        renamed[i].name = names[i];
    }
    *columns = renamed;
    return true;
}

static size_t
row_width(const struct expr *row)
{
    return row->kind == EXPR_ARRAY ? row->item_count : 1;
}

/* The types of a column are made one over all rows. */
static bool
unify_values(struct planner *planner, struct node **cells, size_t rows, size_t width,
             struct query_column *columns, struct span span)
{
    struct node **column = arena_new_array(planner->arena, struct node *, rows);
    for (size_t c = 0; c < width; c++) {
        for (size_t r = 0; r < rows; r++) {
            column[r] = cells[r * width + c];
        }
        enum query_type type = common_type(column, rows);
        if (type == QUERY_TYPES) {
            planner_fail(planner, span, "the values of column %zu have different types", c + 1);
            return false;
        }
        if (!coerce_all(planner, column, rows, type)) {
            return false;
        }
        for (size_t r = 0; r < rows; r++) {
            cells[r * width + c] = column[r];
        }
        columns[c] = (struct query_column){
                .name = arena_printf(planner->arena, "_col%zu", c), .type = type};
    }
    return true;
}

static bool
plan_values(struct planner *planner, const struct scope *scope, const struct source *source,
            struct relation *out)
{
    size_t width = row_width(source->rows[0]);
    size_t rows = source->row_count;
    struct node **cells = arena_new_array(planner->arena, struct node *, rows * width);
    for (size_t r = 0; r < rows; r++) {
        const struct expr *row = source->rows[r];
        if (row_width(row) != width) {
            planner_fail(planner, row->span, "this row has %zu values, the first has %zu",
                         row_width(row), width);
            return false;
        }
        for (size_t c = 0; c < width; c++) {
            const struct expr *cell = row->kind == EXPR_ARRAY ? row->items[c] : row;
            cells[r * width + c] = plan_expr(planner, scope, cell);
            if (cells[r * width + c] == NULL) {
                return false;
            }
        }
    }
    struct query_column *columns = arena_new_array(planner->arena, struct query_column, width);
    if (!unify_values(planner, cells, rows, width, columns, source->span)) {
        return false;
    }
    const struct node **kept = arena_alloc(planner->arena, rows * width * sizeof(struct node *));
    for (size_t i = 0; i < rows * width; i++) {
        kept[i] = cells[i];
    }
    out->kind = RELATION_VALUES;
    out->columns = columns;
    out->column_count = width;
    out->cells = kept;
    out->row_count = rows;
    return true;
}

/* What a source is, before its alias. */
static bool
plan_source_kind(struct planner *planner, const struct scope *scope, const struct source *source,
                 struct relation *out)
{
    switch (source->kind) {
    case SOURCE_TABLE: {
        const struct common *common =
                source->name.count == 1 ? find_common(scope, source->name.items[0]) : NULL;
        if (common == NULL) {
            return plan_table(planner, source, out);
        }
        out->kind = RELATION_COMMON;
        out->name = common->name;
        out->columns = common->columns;
        out->column_count = common->column_count;
        out->index = common->number;
        return true;
    }
    case SOURCE_QUERY: {
        /* Relations of the same FROM are not seen from inside of a subquery. */
        struct scope around = *scope;
        around.count = 0;
        out->kind = RELATION_QUERY;
        out->query = plan_select(planner, &around, source->select);
        if (out->query == NULL) {
            return false;
        }
        out->columns = out->query->columns;
        out->column_count = out->query->item_count;
        return true;
    }
    case SOURCE_VALUES: {
        struct scope nothing = {.commons = scope->commons};
        return plan_values(planner, &nothing, source, out);
    }
    case SOURCE_WINDOW: /* the parser makes none in this dialect */
    case SOURCE_TOPIC:
        planner_fail(planner, source->span, "a topic cannot be queried");
        diag_hint(planner->diags, "store it in a table with a rule, and query the table");
        return false;
    case SOURCE_EXPR:
        break;
    }
    planner_fail(planner, source->span, "this is not a table");
    return false;
}

static struct relation *
plan_source(struct planner *planner, const struct scope *scope, const struct source *source)
{
    struct relation *relation = arena_new(planner->arena, struct relation);
    if (!plan_source_kind(planner, scope, source, relation)) {
        return NULL;
    }
    relation->number = planner->relation_count++;
    if (source->alias.size > 0) {
        relation->name = source->alias;
        relation->database = (struct bytes){0};
    }
    if (!rename_columns(planner, source->columns, source->column_count, source->span,
                        &relation->columns, relation->column_count)) {
        return NULL;
    }
    relation->series = relation->series && source->column_count == 0;
    return relation;
}

/* USING (a): an equality between the first relation before that has it, and this one. */
static struct node *
plan_using(struct planner *planner, const struct scope *scope, const struct join *join)
{
    struct node *all = NULL;
    struct scope left = {.relations = scope->relations, .count = scope->count - 1};
    struct scope right = {.relations = scope->relations + scope->count - 1, .count = 1};
    for (size_t i = 0; i < join->using_count; i++) {
        struct expr name = {.kind = EXPR_NAME, .text = join->using[i], .span = join->span};
        struct node *pair[2] = {plan_name(planner, &left, &name), NULL};
        pair[1] = pair[0] == NULL ? NULL : plan_name(planner, &right, &name);
        if (pair[1] == NULL) {
            return NULL;
        }
        if (!can_coerce(pair[1], pair[0]->type) && !can_coerce(pair[0], pair[1]->type)) {
            return planner_fail(planner, join->span, "%s cannot be compared with %s",
                                query_type_name(pair[0]->type), query_type_name(pair[1]->type));
        }
        struct node *equal =
                new_pattern(planner, QUERY_BOOLEAN, join->span, "($ = $)", pair, 2);
        struct node *both[] = {all, equal};
        all = all == NULL ? equal
                          : new_pattern(planner, QUERY_BOOLEAN, join->span, "(&)", both, 2);
    }
    return all;
}

static bool
plan_joins(struct planner *planner, struct scope *scope, const struct source *first)
{
    for (size_t i = 0; i < first->join_count; i++) {
        const struct join *join = &first->joins[i];
        struct relation *relation = plan_source(planner, scope, join->right);
        if (relation == NULL) {
            return false;
        }
        relation->join = join->kind;
        scope->relations[scope->count++] = relation;
        if (join->using_count > 0) {
            relation->using = join->using;
            relation->using_count = join->using_count;
            relation->on = plan_using(planner, scope, join);
            if (relation->on == NULL) {
                return false;
            }
        } else if (join->on != NULL) {
            struct node *on = plan_condition(planner, scope, join->on, "ON");
            if (on != NULL && on->has_aggregate) {
                on = planner_fail(planner, on->span, "an aggregate cannot stand in ON");
            }
            relation->on = on;
            if (on == NULL) {
                return false;
            }
        }
    }
    return true;
}

/* WITH: each query sees those before it. */
static bool
plan_commons(struct planner *planner, struct scope *scope, const struct select *select,
             struct planned *out)
{
    out->with = arena_alloc(planner->arena, (select->with_count + 1) * sizeof(struct common *));
    for (size_t i = 0; i < select->with_count; i++) {
        const struct common_table *table = &select->with[i];
        struct scope around = {.outer = scope->outer, .commons = scope->commons};
        struct common *common = arena_new(planner->arena, struct common);
        common->query = plan_select(planner, &around, table->select);
        if (common->query == NULL) {
            return false;
        }
        common->name = table->name;
        common->columns = common->query->columns;
        common->column_count = common->query->item_count;
        if (!rename_columns(planner, table->columns, table->column_count, table->name_span,
                            &common->columns, common->column_count)) {
            return false;
        }
        common->number = planner->common_count++;
        common->next = scope->commons;
        scope->commons = common;
        out->with[out->with_count++] = common;
    }
    return true;
}

/* ---- select items ---- */

struct items {
    const struct node **nodes;
    struct query_column *columns;
    size_t count;
    size_t capacity;
};

static void
add_item(struct planner *planner, struct items *items, struct node *node, struct bytes name)
{
    if (items->count == items->capacity) {
        size_t capacity = items->capacity == 0 ? 8 : items->capacity * 2;
        const struct node **nodes =
                arena_alloc(planner->arena, capacity * sizeof(struct node *));
        struct query_column *columns =
                arena_new_array(planner->arena, struct query_column, capacity);
        if (items->count > 0) {
            memcpy(nodes, items->nodes, items->count * sizeof *nodes);
            memcpy(columns, items->columns, items->count * sizeof *columns);
        }
        items->nodes = nodes;
        items->columns = columns;
        items->capacity = capacity;
    }
    items->nodes[items->count] = node;
    items->columns[items->count++] = (struct query_column){.name = name, .type = node->type};
}

/* '*' and 't.*'; columns joined by USING come once. */
static bool
add_star(struct planner *planner, const struct scope *scope, const struct expr *star,
         struct items *items)
{
    struct bytes wanted = star->item_count > 0 ? star->items[0]->text : (struct bytes){0};
    bool found = false;
    for (size_t i = 0; i < scope->count; i++) {
        const struct relation *relation = scope->relations[i];
        if (wanted.size > 0 && !name_matches(relation->name, wanted, true)) {
            continue;
        }
        found = true;
        for (size_t c = 0; c < relation->column_count; c++) {
            bool again = false;
            for (size_t u = 0; u < relation->using_count && wanted.size == 0; u++) {
                again = again
                        || bytes_equal_nocase(relation->using[u], relation->columns[c].name);
            }
            if (!again) {
                add_item(planner, items, new_column(planner, relation, c, star->span),
                         relation->columns[c].name);
            }
        }
    }
    if (!found) {
        planner_fail(planner, star->span, wanted.size > 0 ? "unknown table '%.*s'"
                                                          : "'*' needs a FROM%.*s",
                     BYTES_ARG(wanted));
    }
    return found;
}

/* The name of a result column that has no alias: a column keeps its own. */
static struct bytes
item_name(struct planner *planner, const struct select_item *item, const struct node *node,
          size_t number)
{
    if (item->alias.count > 0) {
        return item->alias.items[item->alias.count - 1];
    }
    if (node->kind == NODE_COLUMN) {
        return node->relation->columns[node->column].name;
    }
    if (is_value_column(item->expr)) {
        return arena_printf(planner->arena, "measure_value::%s",
                            node->type == QUERY_DOUBLE    ? "double"
                            : node->type == QUERY_BIGINT  ? "bigint"
                            : node->type == QUERY_VARCHAR ? "varchar"
                                                          : "boolean");
    }
    return arena_printf(planner->arena, "_col%zu", number);
}

static bool
plan_items(struct planner *planner, const struct scope *scope, const struct select *select,
           struct items *items)
{
    for (size_t i = 0; i < select->item_count; i++) {
        const struct select_item *item = &select->items[i];
        if (item->expr->kind == EXPR_STAR) {
            if (!add_star(planner, scope, item->expr, items)) {
                return false;
            }
            continue;
        }
        struct node *node = plan_expr(planner, scope, item->expr);
        if (node == NULL) {
            return false;
        }
        add_item(planner, items, node, item_name(planner, item, node, items->count));
    }
    return true;
}

/* ---- GROUP BY, ORDER BY, LIMIT ---- */

/* A number in GROUP BY or ORDER BY is a select item; false when the expression is none. */
static bool
is_ordinal(const struct expr *expr, int64_t *out)
{
    return expr->kind == EXPR_NUMBER && bytes_to_int64(expr->text, out);
}

/* The select item with this alias, or SIZE_MAX. */
static size_t
find_alias(const struct select *select, const struct items *items, const struct expr *expr)
{
    bool starred = items->count != select->item_count;
    for (size_t i = 0; i < select->item_count && !starred && expr->kind == EXPR_NAME; i++) {
        const struct name_path *alias = &select->items[i].alias;
        if (alias->count > 0 && bytes_equal_nocase(alias->items[alias->count - 1], expr->text)) {
            return i;
        }
    }
    return SIZE_MAX;
}

static bool
ordinal_in_range(struct planner *planner, const struct items *items, const struct expr *expr,
                 int64_t ordinal)
{
    if (ordinal < 1 || ordinal > (int64_t)items->count) {
        planner_fail(planner, expr->span, "there is no select item %" PRId64 ", there are %zu",
                     ordinal, items->count);
        return false;
    }
    return true;
}

static bool
is_column_here(const struct scope *scope, struct bytes name)
{
    for (size_t i = 0; i < scope->count; i++) {
        for (size_t c = 0; c < scope->relations[i]->column_count; c++) {
            if (bytes_equal_nocase(scope->relations[i]->columns[c].name, name)) {
                return true;
            }
        }
    }
    return false;
}

static bool
plan_group_by(struct planner *planner, const struct scope *scope, const struct select *select,
              const struct items *items, struct planned *out)
{
    out->group_by =
            arena_alloc(planner->arena, (select->group_by_count + 1) * sizeof(struct node *));
    for (size_t i = 0; i < select->group_by_count; i++) {
        const struct expr *expr = select->group_by[i];
        int64_t ordinal = 0;
        const struct node *node = NULL;
        size_t alias = expr->kind == EXPR_NAME && is_column_here(scope, expr->text)
                               ? SIZE_MAX
                               : find_alias(select, items, expr);
        if (is_ordinal(expr, &ordinal)) {
            if (!ordinal_in_range(planner, items, expr, ordinal)) {
                return false;
            }
            node = items->nodes[ordinal - 1];
        } else if (alias != SIZE_MAX) {
            node = items->nodes[alias];
        } else {
            node = plan_expr(planner, scope, expr);
        }
        if (node != NULL && node->has_aggregate) {
            node = planner_fail(planner, expr->span, "an aggregate cannot stand in GROUP BY");
        }
        if (node == NULL) {
            return false;
        }
        out->group_by[out->group_by_count++] = node;
    }
    return true;
}

static bool
plan_order_by(struct planner *planner, const struct scope *scope, const struct select *select,
              const struct items *items, struct planned *out)
{
    struct planned_order *orders =
            arena_new_array(planner->arena, struct planned_order, select->order_by_count + 1);
    for (size_t i = 0; i < select->order_by_count; i++) {
        const struct order_item *item = &select->order_by[i];
        int64_t ordinal = 0;
        size_t alias = find_alias(select, items, item->expr);
        struct node *node;
        if (is_ordinal(item->expr, &ordinal)) {
            if (!ordinal_in_range(planner, items, item->expr, ordinal)) {
                return false;
            }
        } else if (alias != SIZE_MAX) {
            ordinal = (int64_t)alias + 1;
        }
        if (ordinal > 0) {
            node = arena_new(planner->arena, struct node);
            *node = (struct node){.kind = NODE_OUTPUT,
                                  .type = items->columns[ordinal - 1].type,
                                  .span = item->expr->span,
                                  .column = (size_t)ordinal};
        } else {
            node = plan_expr(planner, scope, item->expr);
        }
        if (node == NULL) {
            return false;
        }
        orders[i] = (struct planned_order){node, item->descending, item->nulls_first};
    }
    out->order_by = orders;
    out->order_by_count = select->order_by_count;
    return true;
}

/* LIMIT and OFFSET: a whole number, not an expression; LIMIT ALL is no limit. */
static bool
plan_count(struct planner *planner, const struct expr *expr, const char *clause,
           const struct node **out)
{
    int64_t count = 0;
    if (expr == NULL
        || (expr->kind == EXPR_NAME && bytes_equal_nocase(expr->text, BYTES("ALL")))) {
        return true;
    }
    if (expr->kind != EXPR_NUMBER || !bytes_to_int64(expr->text, &count)) {
        planner_fail(planner, expr->span, "%s needs a whole number", clause);
        return false;
    }
    struct query_value value = {.type = QUERY_BIGINT, .integer = count};
    *out = new_literal(planner, &value, expr->span);
    return true;
}

/* ---- grouping rules ---- */

static bool
same_text(const struct node *a, const struct node *b)
{
    struct buf first = {0};
    struct buf second = {0};
    emit_node(a, &first);
    emit_node(b, &second);
    bool same = bytes_equal(buf_bytes(&first), buf_bytes(&second));
    buf_fini(&first);
    buf_fini(&second);
    return same;
}

static bool
is_own_relation(const struct planned *planned, const struct relation *relation)
{
    for (size_t i = 0; i < planned->relation_count; i++) {
        if (planned->relations[i] == relation) {
            return true;
        }
    }
    return false;
}

/* In a grouped query: made of groups, aggregates and constants only. Tells what is not. */
static bool
check_grouped(struct planner *planner, const struct planned *planned, const struct node *node)
{
    if (node->aggregate || node->kind == NODE_LITERAL || node->kind == NODE_OUTPUT) {
        return true;
    }
    for (size_t i = 0; i < planned->group_by_count; i++) {
        if (planned->group_by[i] == node || same_text(planned->group_by[i], node)) {
            return true;
        }
    }
    if (node->kind == NODE_COLUMN) {
        if (!is_own_relation(planned, node->relation)) {
            return true;
        }
        struct bytes name = node->relation->columns[node->column].name;
        planner_fail(planner, node->span, "'%.*s' is neither grouped nor inside of an aggregate",
                     BYTES_ARG(name));
        diag_hint(planner->diags, "add it to GROUP BY, or write min(%.*s)", BYTES_ARG(name));
        return false;
    }
    for (size_t i = 0; i < node->arg_count; i++) {
        if (!check_grouped(planner, planned, node->args[i])) {
            return false;
        }
    }
    return true;
}

static bool
check_grouping(struct planner *planner, const struct planned *planned)
{
    bool grouped = planned->group_by_count > 0 || planned->having != NULL;
    for (size_t i = 0; i < planned->item_count; i++) {
        grouped = grouped || planned->items[i]->has_aggregate;
    }
    for (size_t i = 0; i < planned->order_by_count; i++) {
        grouped = grouped || planned->order_by[i].node->has_aggregate;
    }
    if (!grouped) {
        return true;
    }
    for (size_t i = 0; i < planned->item_count; i++) {
        if (!check_grouped(planner, planned, planned->items[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < planned->order_by_count; i++) {
        if (!check_grouped(planner, planned, planned->order_by[i].node)) {
            return false;
        }
    }
    return planned->having == NULL || check_grouped(planner, planned, planned->having);
}

/* ---- the whole ---- */

static bool
plan_from(struct planner *planner, struct scope *scope, const struct select *select,
          struct planned *out)
{
    size_t count = select->from == NULL ? 0 : 1 + select->from->join_count;
    scope->relations = arena_alloc(planner->arena, (count + 1) * sizeof(struct relation *));
    if (count > 0) {
        struct relation *first = plan_source(planner, scope, select->from);
        if (first == NULL) {
            return false;
        }
        scope->relations[scope->count++] = first;
        if (!plan_joins(planner, scope, select->from)) {
            return false;
        }
    }
    out->relations = scope->relations;
    out->relation_count = scope->count;
    return true;
}

static bool
plan_where(struct planner *planner, const struct scope *scope, const struct select *select,
           struct planned *out)
{
    if (select->where == NULL) {
        return true;
    }
    struct node *where = plan_condition(planner, scope, select->where, "WHERE");
    if (where != NULL && where->has_aggregate) {
        planner_fail(planner, where->span, "an aggregate cannot stand in WHERE");
        diag_hint(planner->diags, "HAVING filters groups");
        return false;
    }
    out->where = where;
    return where != NULL;
}

static bool
plan_having(struct planner *planner, const struct scope *scope, const struct select *select,
            struct planned *out)
{
    if (select->having == NULL) {
        return true;
    }
    out->having = plan_condition(planner, scope, select->having, "HAVING");
    return out->having != NULL;
}

const struct planned *
plan_select(struct planner *planner, const struct scope *outer, const struct select *select)
{
    struct planned *planned = arena_new(planner->arena, struct planned);
    struct scope scope = {.outer = outer, .commons = outer == NULL ? NULL : outer->commons};
    struct items items = {0};
    if (!plan_commons(planner, &scope, select, planned)
        || !plan_from(planner, &scope, select, planned)
        || !plan_where(planner, &scope, select, planned)
        || !plan_items(planner, &scope, select, &items)) {
        return NULL;
    }
    planned->distinct = select->distinct;
    planned->items = items.nodes;
    planned->columns = items.columns;
    planned->item_count = items.count;
    if (!plan_group_by(planner, &scope, select, &items, planned)
        || !plan_having(planner, &scope, select, planned)
        || !plan_order_by(planner, &scope, select, &items, planned)
        || !plan_count(planner, select->limit, "LIMIT", &planned->limit)
        || !plan_count(planner, select->offset, "OFFSET", &planned->offset)
        || !check_grouping(planner, planned)) {
        return NULL;
    }
    return planned;
}

/* One SELECT and nothing behind it but a ';'. */
static const struct select *
parse_whole(const struct query_source *source, struct arena *arena, struct diag_list *diags)
{
    struct token_source text = {.file = source->name, .text = source->text, .comments = true};
    struct parser parser;
    if (!parser_init(&parser, &text, DIALECT_QUERY, arena, diags)) {
        return NULL;
    }
    const struct select *select = parse_select(&parser);
    if (select == NULL) {
        return NULL;
    }
    parser_accept(&parser, TOKEN_SEMICOLON);
    if (!parser_at_end(&parser)) {
        parser_fail_expected(&parser, "the end of the query", NULL);
        return NULL;
    }
    return select;
}

bool
query_plan(struct query_plan *out, const struct query_source *source,
           const struct query_catalogue *catalogue, struct arena *arena, struct diag_list *diags)
{
    if (source->text.size > QUERY_TEXT_MAX_BYTES) {
        diag_error(diags, DIAG_INVALID, "the query is longer than %d bytes",
                   QUERY_TEXT_MAX_BYTES);
        return false;
    }
    const struct select *select = parse_whole(source, arena, diags);
    if (select == NULL) {
        return false;
    }
    struct planner planner = {
            .source = source, .catalogue = catalogue, .arena = arena, .diags = diags};
    const struct planned *planned = plan_select(&planner, NULL, select);
    if (planned == NULL) {
        return false;
    }
    struct buf sql = {0};
    emit_planned(planned, &sql);
    *out = (struct query_plan){
            .sql = arena_copy(arena, buf_bytes(&sql)).data,
            .parameters = planner.parameters,
            .parameter_count = planner.parameter_count,
            .tables = planner.tables,
            .table_count = planner.table_count,
            .columns = planned->columns,
            .column_count = planned->item_count,
    };
    buf_fini(&sql);
    return true;
}
