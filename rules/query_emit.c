/*
 * Nodes to the text of a SQLite statement.
 *
 * A pattern is text of ours in which these characters stand for something:
 *
 *   $   the next argument        &   the remaining arguments with AND between
 *   *   the remaining ones with commas   |   the same with ||   ^   the same with OR
 *   ~   DISTINCT, where asked for        @   the subquery
 *
 * A star that is meant (count of all rows) is written "%". Nothing of the user's text gets here:
 * values are parameters, tables and columns have numbers.
 */
#include "query_node.h"

static void
emit_rest(const struct node *node, size_t *next, const char *between, struct buf *out)
{
    for (bool first = true; *next < node->arg_count; first = false) {
        buf_append_string(out, first ? "" : between);
        emit_node(node->args[(*next)++], out);
    }
}

static void
emit_pattern(const struct node *node, struct buf *out)
{
    size_t next = 0;
    for (const char *at = node->pattern; *at != '\0'; at++) {
        switch (*at) {
        case '$':
            check(next < node->arg_count);
            emit_node(node->args[next++], out);
            break;
        case '*':
            emit_rest(node, &next, ", ", out);
            break;
        case '&':
            emit_rest(node, &next, " AND ", out);
            break;
        case '^':
            emit_rest(node, &next, " OR ", out);
            break;
        case '|':
            emit_rest(node, &next, " || ", out);
            break;
        case '~':
            buf_append_string(out, node->distinct ? "DISTINCT " : "");
            break;
        case '@':
            emit_planned(node->query, out);
            break;
        case '%':
            buf_append_char(out, '*');
            break;
        default:
            buf_append_char(out, *at);
        }
    }
    check(next == node->arg_count);
}

void
emit_node(const struct node *node, struct buf *out)
{
    switch (node->kind) {
    case NODE_LITERAL:
        buf_printf(out, "?%zu", node->parameter);
        break;
    case NODE_COLUMN:
        buf_printf(out, "a%zu.c%zu", node->relation->number, node->column);
        break;
    case NODE_PATTERN:
        emit_pattern(node, out);
        break;
    case NODE_OUTPUT:
        buf_printf(out, "%zu", node->column);
        break;
    }
}

/* (SELECT column1 AS c0, column2 AS c1 FROM (VALUES (..), (..))) */
static void
emit_values(const struct relation *relation, struct buf *out)
{
    buf_append_string(out, "(SELECT ");
    for (size_t i = 0; i < relation->column_count; i++) {
        buf_printf(out, "%scolumn%zu AS c%zu", i > 0 ? ", " : "", i + 1, i);
    }
    buf_append_string(out, " FROM (VALUES ");
    for (size_t row = 0; row < relation->row_count; row++) {
        buf_append_string(out, row > 0 ? ", (" : "(");
        for (size_t i = 0; i < relation->column_count; i++) {
            buf_append_string(out, i > 0 ? ", " : "");
            emit_node(relation->cells[row * relation->column_count + i], out);
        }
        buf_append_char(out, ')');
    }
    buf_append_string(out, "))");
}

static void
emit_relation(const struct relation *relation, struct buf *out)
{
    switch (relation->kind) {
    case RELATION_TABLE:
        buf_printf(out, "t%zu", relation->index);
        break;
    case RELATION_COMMON:
        buf_printf(out, "w%zu", relation->index);
        break;
    case RELATION_QUERY:
        buf_append_char(out, '(');
        emit_planned(relation->query, out);
        buf_append_char(out, ')');
        break;
    case RELATION_VALUES:
        emit_values(relation, out);
        break;
    }
    buf_printf(out, " AS a%zu", relation->number);
}

static void
emit_from(const struct planned *planned, struct buf *out)
{
    static const char *const joins[] = {
            [JOIN_CROSS] = " CROSS JOIN ", [JOIN_INNER] = " JOIN ", [JOIN_LEFT] = " LEFT JOIN ",
            [JOIN_RIGHT] = " RIGHT JOIN ", [JOIN_FULL] = " FULL JOIN ",
    };
    for (size_t i = 0; i < planned->relation_count; i++) {
        const struct relation *relation = planned->relations[i];
        /* A comma lets SQLite choose the order of the loops; CROSS JOIN would fix it. */
        bool comma = relation->join == JOIN_CROSS;
        buf_append_string(out, i == 0 ? " FROM " : comma ? " JOIN " : joins[relation->join]);
        emit_relation(relation, out);
        if (relation->on != NULL) {
            buf_append_string(out, " ON ");
            emit_node(relation->on, out);
        }
    }
}

static void
emit_order(const struct planned *planned, struct buf *out)
{
    for (size_t i = 0; i < planned->order_by_count; i++) {
        const struct planned_order *order = &planned->order_by[i];
        const struct node *node = order->node;
        const struct node *value = node->kind == NODE_OUTPUT ? planned->items[node->column - 1]
                                                             : node;
        bool never_null = value->kind == NODE_COLUMN
                          && value->relation->columns[value->column].never_null;
        buf_append_string(out, i == 0 ? " ORDER BY " : ", ");
        emit_node(node, out);
        buf_append_string(out, order->descending ? " DESC" : " ASC");
        if (!never_null) {
            buf_append_string(out, order->nulls_first ? " NULLS FIRST" : " NULLS LAST");
        }
    }
}

static void
emit_with(const struct planned *planned, struct buf *out)
{
    for (size_t i = 0; i < planned->with_count; i++) {
        const struct common *common = planned->with[i];
        buf_printf(out, "%sw%zu AS (", i == 0 ? "WITH " : ", ", common->number);
        emit_planned(common->query, out);
        buf_append_char(out, ')');
    }
    if (planned->with_count > 0) {
        buf_append_char(out, ' ');
    }
}

static void
emit_clause(const char *word, const struct node *node, struct buf *out)
{
    if (node != NULL) {
        buf_append_string(out, word);
        emit_node(node, out);
    }
}

void
emit_planned(const struct planned *planned, struct buf *out)
{
    emit_with(planned, out);
    buf_append_string(out, planned->distinct ? "SELECT DISTINCT " : "SELECT ");
    for (size_t i = 0; i < planned->item_count; i++) {
        buf_append_string(out, i > 0 ? ", " : "");
        emit_node(planned->items[i], out);
        buf_printf(out, " AS c%zu", i);
    }
    emit_from(planned, out);
    emit_clause(" WHERE ", planned->where, out);
    for (size_t i = 0; i < planned->group_by_count; i++) {
        buf_append_string(out, i == 0 ? " GROUP BY " : ", ");
        emit_node(planned->group_by[i], out);
    }
    emit_clause(" HAVING ", planned->having, out);
    emit_order(planned, out);
    emit_clause(" LIMIT ", planned->limit, out);
    emit_clause(planned->limit == NULL && planned->offset != NULL ? " LIMIT -1 OFFSET "
                                                                  : " OFFSET ",
                planned->offset, out);
}
