/*
 * What a name in an expression means: a column of a relation in FROM, of this query or of one
 * around it.
 *
 * A name is first looked for as written, then without case (Trino's names know no case,
 * Timestream's data does). measure_value::double is a column's name with a type in it.
 */
#include "query_node.h"

bool
name_matches(struct bytes name, struct bytes wanted, bool loose)
{
    return loose ? bytes_equal_nocase(name, wanted) : bytes_equal(name, wanted);
}

struct node *
new_column(struct planner *planner, const struct relation *relation, size_t column,
           struct span span)
{
    struct node *node = arena_new(planner->arena, struct node);
    node->kind = NODE_COLUMN;
    node->type = relation->columns[column].type;
    node->span = span;
    node->relation = relation;
    node->column = column;
    return node;
}

bool
is_value_column(const struct expr *expr)
{
    if (expr->kind != EXPR_CAST || !expr->colons) {
        return false;
    }
    const struct expr *inner = expr->items[0];
    return (inner->kind == EXPR_NAME || inner->kind == EXPR_MEMBER)
           && bytes_equal_nocase(inner->text, BYTES("measure_value"));
}

/* A name taken apart: [[database.]relation.]column */
struct path {
    struct bytes database;
    struct bytes relation;
    struct bytes column;
    struct span span;
    bool quoted;
};

static bool
read_path(struct planner *planner, const struct expr *expr, struct path *out)
{
    struct path path = {.span = expr->span};
    struct bytes type = {0};
    const struct expr *at = expr;
    if (at->kind == EXPR_CAST) {
        type = at->type;
        at = at->items[0];
    }
    struct bytes *const parts[] = {&path.column, &path.relation, &path.database};
    path.quoted = at->quoted;
    size_t count = 0;
    for (; at->kind == EXPR_MEMBER && count < 2; at = at->items[0]) {
        *parts[count++] = at->text;
    }
    if (at->kind != EXPR_NAME) {
        planner_fail(planner, expr->span, "this is not the name of a column");
        return false;
    }
    *parts[count] = at->text;
    if (type.size > 0) {
        struct buf name = {0};
        buf_printf(&name, "measure_value::%.*s", BYTES_ARG(type));
        for (size_t i = 0; i < name.size; i++) {
            char c = name.data[i];
            name.data[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
        }
        path.column = arena_copy(planner->arena, buf_bytes(&name));
        buf_fini(&name);
    }
    *out = path;
    return true;
}

static bool
relation_matches(const struct relation *relation, const struct path *path)
{
    if (path->relation.size == 0) {
        return true;
    }
    return name_matches(relation->name, path->relation, true)
           && (path->database.size == 0
               || name_matches(relation->database, path->database, true));
}

static bool
is_using(const struct relation *relation, struct bytes column)
{
    for (size_t i = 0; i < relation->using_count; i++) {
        if (bytes_equal_nocase(relation->using[i], column)) {
            return true;
        }
    }
    return false;
}

struct found {
    const struct relation *relation;
    size_t column;
    size_t count; /* more than 1: ambiguous */
};

static struct found
find_in_scope(const struct scope *scope, const struct path *path, bool loose)
{
    struct found found = {0};
    for (size_t i = 0; i < scope->count; i++) {
        const struct relation *relation = scope->relations[i];
        if (!relation_matches(relation, path)) {
            continue;
        }
        for (size_t c = 0; c < relation->column_count; c++) {
            if (!name_matches(relation->columns[c].name, path->column, loose)) {
                continue;
            }
            bool again = found.count > 0 && path->relation.size == 0
                         && is_using(relation, path->column);
            if (found.count == 0) {
                found.relation = relation;
                found.column = c;
            }
            found.count += !again;
        }
    }
    return found;
}

/* measure_value::double of a time series table that holds no double yet: NULL, not an error. */
static struct node *
absent_value(struct planner *planner, const struct scope *scope, const struct path *path)
{
    static const struct {
        const char *name;
        enum query_type type;
    } values[] = {
            {"measure_value::double", QUERY_DOUBLE},
            {"measure_value::bigint", QUERY_BIGINT},
            {"measure_value::varchar", QUERY_VARCHAR},
            {"measure_value::boolean", QUERY_BOOLEAN},
    };
    for (size_t i = 0; i < scope->count; i++) {
        if (!scope->relations[i]->series || !relation_matches(scope->relations[i], path)) {
            continue;
        }
        for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
            if (bytes_equal_string(path->column, values[v].name)) {
                struct query_value value = {.type = values[v].type, .is_null = true};
                return new_literal(planner, &value, path->span);
            }
        }
    }
    return NULL;
}

/* ---- did you mean ---- */

struct names {
    const char *items[256];
    size_t count;
};

static const char *
name_at(const void *context, size_t i)
{
    return ((const struct names *)context)->items[i];
}

static void
suggest_column(struct planner *planner, const struct scope *scope, const struct path *path)
{
    struct names names = {0};
    for (; scope != NULL; scope = scope->outer) {
        for (size_t i = 0; i < scope->count; i++) {
            const struct relation *relation = scope->relations[i];
            for (size_t c = 0; c < relation->column_count && names.count < 256; c++) {
                names.items[names.count++] =
                        arena_copy(planner->arena, relation->columns[c].name).data;
            }
        }
    }
    const char *near = diag_nearest(path->column, names.count, name_at, &names);
    if (near != NULL) {
        diag_hint(planner->diags, "did you mean '%s'?", near);
    } else if (path->quoted) {
        diag_hint(planner->diags, "double quotes are for names; a text is written 'like this'");
    } else if (names.count > 0 && names.count <= 12) {
        struct buf list = {0};
        for (size_t i = 0; i < names.count; i++) {
            buf_printf(&list, "%s%s", i > 0 ? ", " : "", names.items[i]);
        }
        diag_hint(planner->diags, "the columns here are %s", buf_string(&list));
        buf_fini(&list);
    }
}

static struct node *
unknown_column(struct planner *planner, const struct scope *scope, const struct path *path)
{
    bool known = path->relation.size == 0;
    for (const struct scope *at = scope; at != NULL && !known; at = at->outer) {
        for (size_t i = 0; i < at->count; i++) {
            known = known || relation_matches(at->relations[i], path);
        }
    }
    if (!known) {
        return planner_fail(planner, path->span, "unknown table '%.*s' in '%.*s.%.*s'",
                            BYTES_ARG(path->relation), BYTES_ARG(path->relation),
                            BYTES_ARG(path->column));
    }
    planner_fail(planner, path->span, "unknown column '%.*s'", BYTES_ARG(path->column));
    suggest_column(planner, scope, path);
    return NULL;
}

struct node *
plan_name(struct planner *planner, const struct scope *scope, const struct expr *expr)
{
    struct path path;
    if (!read_path(planner, expr, &path)) {
        return NULL;
    }
    for (const struct scope *at = scope; at != NULL; at = at->outer) {
        struct found found = find_in_scope(at, &path, false);
        if (found.count == 0) {
            found = find_in_scope(at, &path, true);
        }
        if (found.count > 1) {
            planner_fail(planner, path.span, "column '%.*s' is in more than one table",
                         BYTES_ARG(path.column));
            diag_hint(planner->diags, "write the table's name before it: table.%.*s",
                      BYTES_ARG(path.column));
            return NULL;
        }
        if (found.count == 1) {
            return new_column(planner, found.relation, found.column, expr->span);
        }
        struct node *absent = absent_value(planner, at, &path);
        if (absent != NULL) {
            return absent;
        }
    }
    struct node *bare = expr->kind == EXPR_NAME && !expr->quoted ? plan_bare_call(planner, expr)
                                                                 : NULL;
    return bare != NULL ? bare : unknown_column(planner, scope, &path);
}
