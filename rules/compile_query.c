/*
 * Queries: which shape the row has, what its members are called and where they go.
 */
#include "compile.h"

#include "fields.h"
#include "lint.h"

/* ---- names of members ---- */

/* What a member without AS is called: the last name of a path, the name of a function. */
static struct bytes
natural_name(struct compiler *compiler, const struct select_item *item)
{
    const struct expr *expr = item->expr;
    while (expr->kind == EXPR_INDEX) {
        expr = expr->items[0];
    }
    struct bytes text = expr->text;
    bool named = expr->kind == EXPR_NAME || expr->kind == EXPR_MEMBER ||
                 expr->kind == EXPR_CALL || expr->kind == EXPR_VARIABLE;
    if (expr->kind == EXPR_CAST && !expr->colons) {
        named = true;
    }
    if (!named) {
        text = bytes_slice(compiler->lines.text, expr->span.start, expr->span.end);
    }
    if (expr->kind != EXPR_NAME) {
        compiler_report(compiler, DIAG_WARNING, item->span, "this member will be called '%.*s'",
                        BYTES_ARG(text));
        compiler_hint(compiler, "AS gives it a name of your choice");
    }
    return text;
}

static struct name_path
alias_of(struct compiler *compiler, const struct select_item *item)
{
    struct name_path alias = {.span = item->span};
    size_t count = item->alias.count == 0 ? 1 : item->alias.count;
    struct bytes *names = arena_new_array(compiler->scratch, struct bytes, count);
    if (item->alias.count == 0) {
        names[0] = natural_name(compiler, item);
    }
    for (size_t i = 0; i < item->alias.count; i++) {
        names[i] = item->alias.items[i];
    }
    alias.items = names;
    alias.count = count;
    return alias;
}

/* ---- items ---- */

static bool
compile_item(struct compiler *compiler, const struct select_item *item, bool named,
             struct output_item *out)
{
    const struct expr *expr = item->expr;
    bool star = expr->kind == EXPR_STAR;
    bool whole = star && expr->item_count == 0;
    out->star = star && item->alias.count == 0;
    if (star && !whole && item->alias.count > 0) {
        compiler_report(compiler, DIAG_ERROR, item->span, "'.*' takes no alias");
        compiler_hint(compiler, "leave '.*' away: path AS name");
        return false;
    }
    if (named && !out->star) {
        out->alias = alias_of(compiler, item);
    }
    if (whole && out->star) {
        return true; /* node stays NULL */
    }
    if (whole) {
        out->node = compiler_node(compiler, eval_star, NODE_NOTHING, 0);
        return true;
    }
    out->node = compile_expr(compiler, star ? expr->items[0] : expr);
    return out->node != NULL;
}

enum { SELECT_ITEMS_MAX = 1000 };

static bool
compile_output(struct compiler *compiler, const struct select *select, struct query *query)
{
    if (select->item_count > SELECT_ITEMS_MAX) {
        compiler_report(compiler, DIAG_ERROR, select->items[SELECT_ITEMS_MAX].span,
                        "SELECT takes at most %d items", SELECT_ITEMS_MAX);
        return false;
    }
    struct output_item *items = arena_new_array(compiler->scratch, struct output_item,
                                                select->item_count);
    bool ok = true;
    for (size_t i = 0; i < select->item_count; i++) {
        ok = compile_item(compiler, &select->items[i], !select->value, &items[i]) && ok;
    }
    query->items = items;
    query->item_count = (uint32_t)select->item_count;
    if (select->value && select->item_count > 1) {
        compiler_report(compiler, DIAG_ERROR, select->items[1].span,
                        "SELECT VALUE takes one expression");
        return false;
    }
    if (select->value && select->items[0].expr->kind == EXPR_STAR &&
        select->items[0].expr->item_count > 0) {
        compiler_report(compiler, DIAG_ERROR, select->items[0].span,
                        "SELECT VALUE takes one expression");
        compiler_hint(compiler, "leave '.*' away");
        return false;
    }
    return ok;
}

static enum query_shape
shape_of(const struct select *select, const struct query *query)
{
    uint32_t stars = 0;
    for (uint32_t i = 0; i < query->item_count; i++) {
        stars += query->items[i].star;
    }
    bool leading = query->items[0].star && query->items[0].node == NULL;
    if (leading && query->item_count == 1) {
        return QUERY_WHOLE;
    }
    if (select->value) {
        return QUERY_VALUE;
    }
    return stars == 0 ? QUERY_FIELDS : stars == 1 && leading ? QUERY_EXTEND : QUERY_MERGE;
}

/* ---- layout ---- */

/* Room for one more: capacities are powers of two. */
static void *
grow(struct compiler *compiler, const void *items, uint32_t count, size_t size)
{
    if (count > 0 && (count & (count - 1)) != 0) {
        return (void *)(uintptr_t)items;
    }
    void *larger = arena_alloc_zeroed(compiler->scratch, count == 0 ? 1 : 2 * (size_t)count, size);
    if (count > 0) {
        memcpy(larger, items, count * size);
    }
    return larger;
}

static struct layout *
find_or_add_part(struct compiler *compiler, struct layout *layout, struct bytes name)
{
    struct layout *parts = (struct layout *)(uintptr_t)layout->parts;
    for (uint32_t i = 0; i < layout->part_count; i++) {
        if (bytes_equal(parts[i].name, name)) {
            return &parts[i];
        }
    }
    parts = grow(compiler, parts, layout->part_count, sizeof *parts);
    layout->parts = parts;
    struct layout *part = &parts[layout->part_count++];
    struct buf key = {.arena = compiler->scratch};
    json_write_string(&key, name);
    buf_append_char(&key, ':');
    part->name = name;
    part->key_text = buf_bytes(&key);
    return part;
}

static void
lay_out(struct compiler *compiler, const struct output_item *item, uint32_t index,
        struct layout *layout)
{
    for (size_t i = 0; i < item->alias.count; i++) {
        layout = find_or_add_part(compiler, layout, item->alias.items[i]);
    }
    uint32_t *items = grow(compiler, layout->items, layout->item_count, sizeof *items);
    if (layout->item_count > 0) {
        compiler_report(compiler, DIAG_WARNING, item->alias.span,
                        "member '%.*s' is given twice: the later value wins",
                        BYTES_ARG(layout->name));
    }
    items[layout->item_count++] = index;
    layout->items = items;
}

static void
warn_mixed(struct compiler *compiler, const struct layout *layout, const struct query *query)
{
    for (uint32_t i = 0; i < layout->part_count; i++) {
        const struct layout *part = &layout->parts[i];
        if (part->item_count > 0 && part->part_count > 0) {
            compiler_report(compiler, DIAG_WARNING, query->items[part->items[0]].alias.span,
                            "member '%.*s' is both a value and an object: the object wins",
                            BYTES_ARG(part->name));
        }
        warn_mixed(compiler, part, query);
    }
}

/* ---- the parts of a query ---- */

static bool
compile_variables(struct compiler *compiler, const struct select *select, struct query *query)
{
    if (select->assignment_count == 0) {
        return true;
    }
    if (compiler->version_2015) {
        compiler_report(compiler, DIAG_ERROR, select->assignments[0].span,
                        "version 2015-10-08 has no SET");
        compiler_hint(compiler, "set awsIotSqlVersion to 2016-03-23");
        return false;
    }
    if (select->assignment_count > VARIABLES_MAX) {
        compiler_report(compiler, DIAG_ERROR, select->assignments[VARIABLES_MAX].span,
                        "SET takes at most %d variables", VARIABLES_MAX);
        return false;
    }
    const struct node **nodes = arena_new_array(compiler->scratch, const struct node *,
                                                select->assignment_count);
    bool ok = true;
    compiler->variables = select->assignments;
    for (size_t i = 0; i < select->assignment_count; i++) {
        const struct assignment *one = &select->assignments[i];
        compiler->variable_count = (uint32_t)i;
        for (size_t j = 0; j < i; j++) {
            if (bytes_equal(select->assignments[j].name, one->name)) {
                compiler_report(compiler, DIAG_ERROR, one->span, "'@%.*s' is set twice",
                                BYTES_ARG(one->name));
                ok = false;
            }
        }
        if (one->name.size > VARIABLE_NAME_MAX) {
            compiler_report(compiler, DIAG_ERROR, one->span,
                            "the name of a variable has at most %d characters",
                            VARIABLE_NAME_MAX);
            ok = false;
        }
        nodes[i] = compile_expr(compiler, one->expr);
        ok = ok && nodes[i] != NULL;
    }
    compiler->variable_count = (uint32_t)select->assignment_count;
    query->variables = nodes;
    query->variable_count = compiler->variable_count;
    return ok;
}

/* What only windows over stream tables will have. */
static bool
refuse_table_clauses(struct compiler *compiler, const struct select *select)
{
    const struct expr *clause = select->group_by_count > 0   ? select->group_by[0]
                                : select->having != NULL     ? select->having
                                : select->order_by_count > 0 ? select->order_by[0].expr
                                : select->limit != NULL      ? select->limit
                                                             : select->offset;
    if (clause == NULL && !select->distinct) {
        return true;
    }
    compiler_report(compiler, DIAG_ERROR, clause != NULL ? clause->span : select->items[0].span,
                    "grouping and ordering are not available in rules yet");
    return false;
}

/*
 * a AND b AND c is asked from left to right until one is not true, and that one's value is the
 * whole's: so each can be a node of its own, and which one stopped a message is known for nothing.
 */
static bool
compile_where(struct compiler *compiler, const struct expr *where, struct query *query)
{
    if (where == NULL) {
        return true;
    }
    size_t count;
    const struct expr *const *conjuncts = conjuncts_of(where, compiler->scratch, &count);
    const struct node **nodes = arena_new_array(compiler->scratch, const struct node *, count);
    enum compile_place place = compiler->place;
    bool ok = true;
    compiler->place = PLACE_WHERE;
    for (size_t i = 0; i < count; i++) {
        nodes[i] = compile_expr(compiler, conjuncts[i]);
        ok = ok && nodes[i] != NULL;
    }
    compiler->place = place;
    query->conjuncts = nodes;
    query->conjunct_count = (uint32_t)count;
    return ok;
}

const struct query *
compile_subquery(struct compiler *compiler, const struct select *select)
{
    struct query *query = arena_new(compiler->scratch, struct query);
    bool ok = compile_variables(compiler, select, query);
    ok = refuse_table_clauses(compiler, select) && ok;
    ok = compile_output(compiler, select, query) && ok;
    ok = compile_where(compiler, select->where, query) && ok;
    if (!ok) {
        return NULL;
    }
    query->shape = shape_of(select, query);
    struct layout *layout = arena_new(compiler->scratch, struct layout);
    for (uint32_t i = 0; i < query->item_count && query->shape != QUERY_VALUE; i++) {
        if (!query->items[i].star) {
            lay_out(compiler, &query->items[i], i, layout);
        }
    }
    query->layout = layout;
    warn_mixed(compiler, layout, query);
    return query;
}

const struct query *
compile_query(struct compiler *compiler, const struct select *select)
{
    compiler->uses = (struct compile_uses){0};
    compiler->place = PLACE_ROW;
    const struct query *draft = compile_subquery(compiler, select);
    lint_select(compiler, select, draft);
    return draft == NULL ? NULL : pool_query(&compiler->pool, draft);
}
