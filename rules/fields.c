/* A walk over the tree of a rule; the recursion is as deep as the parser lets expressions be. */
#include "fields.h"

struct fields
fields_of(struct arena *scratch, struct bytes source_alias)
{
    return (struct fields){
            .scratch = scratch,
            .source_alias = source_alias,
            .items = arena_new_array(scratch, struct field, RULE_FIELDS_MAX),
    };
}

/* ---- conjuncts ---- */

static size_t
count_conjuncts(const struct expr *expr)
{
    bool is_and = expr->kind == EXPR_BINARY && expr->op == OP_AND;
    return is_and ? count_conjuncts(expr->items[0]) + count_conjuncts(expr->items[1]) : 1;
}

static const struct expr **
list_conjuncts(const struct expr *expr, const struct expr **at)
{
    if (expr->kind == EXPR_BINARY && expr->op == OP_AND) {
        return list_conjuncts(expr->items[1], list_conjuncts(expr->items[0], at));
    }
    *at = expr;
    return at + 1;
}

const struct expr *const *
conjuncts_of(const struct expr *where, struct arena *arena, size_t *count)
{
    *count = count_conjuncts(where);
    const struct expr **conjuncts = arena_new_array(arena, const struct expr *, *count);
    list_conjuncts(where, conjuncts);
    return conjuncts;
}

/* ---- paths ---- */

static bool
is_get(const struct expr *expr)
{
    return expr->kind == EXPR_CALL && expr->item_count == 2 &&
           bytes_equal_nocase(expr->text, BYTES("get"));
}

/* The expression that the path goes on from; NULL when `expr` is the start, or no path. */
static const struct expr *
path_parent(const struct expr *expr, struct bytes *segment)
{
    if (expr->kind == EXPR_MEMBER) {
        *segment = expr->text;
        return expr->items[0];
    }
    if ((expr->kind == EXPR_INDEX || is_get(expr)) && expr->items[1]->kind == EXPR_STRING) {
        *segment = expr->items[1]->text;
        return expr->items[0];
    }
    return NULL;
}

/* How many segments the path has; 0 when it is none. */
static size_t
path_length(const struct expr *expr)
{
    size_t length = 1;
    struct bytes segment;
    for (const struct expr *parent; (parent = path_parent(expr, &segment)) != NULL;
         expr = parent) {
        length++;
    }
    return expr->kind == EXPR_NAME ? length : 0;
}

static struct bytes
join(const struct bytes *segments, size_t count, struct arena *arena)
{
    struct buf name = {.arena = arena};
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            buf_append_char(&name, '.');
        }
        buf_append(&name, segments[i]);
    }
    return buf_bytes(&name);
}

static struct field *
find_or_add(struct fields *fields, struct bytes name)
{
    for (size_t i = 0; i < fields->count; i++) {
        if (bytes_equal(fields->items[i].name, name)) {
            return &fields->items[i];
        }
    }
    if (fields->count == RULE_FIELDS_MAX) {
        fields->omitted++;
        return NULL;
    }
    struct field *field = &fields->items[fields->count++];
    *field = (struct field){.name = name, .may_be_missing = true};
    return field;
}

static void
add_index(struct field_indices *indices, uint32_t index)
{
    for (size_t i = 0; i < indices->count; i++) {
        if (indices->items[i] == index) {
            return;
        }
    }
    indices->items[indices->count++] = index;
}

/* ---- the walk ---- */

struct walk {
    struct fields *fields;
    struct field_indices *named;
    enum rule_field_use use;
};

static void
note_path(struct walk *walk, const struct expr *expr, size_t length, enum rule_field_wish wish,
          bool may_be_missing)
{
    struct fields *fields = walk->fields;
    struct bytes *segments = arena_new_array(fields->scratch, struct bytes, length);
    const struct expr *at = expr;
    for (size_t i = length; i > 1; i--) {
        at = path_parent(at, &segments[i - 1]);
    }
    segments[0] = at->text;
    if (length > 1 && fields->source_alias.size > 0 &&
        bytes_equal(segments[0], fields->source_alias)) {
        segments++;
        length--;
    }
    struct field *field = find_or_add(fields, join(segments, length, fields->scratch));
    if (field == NULL) {
        return;
    }
    if (field->uses == 0) {
        field->segments = segments;
        field->segment_count = length;
        field->span = expr->span;
    }
    field->uses |= walk->use;
    field->wish = field->wish == RULE_WISH_ANY ? wish : field->wish;
    field->may_be_missing = field->may_be_missing && may_be_missing;
    if (walk->named != NULL) {
        add_index(walk->named, (uint32_t)(field - fields->items));
    }
}

/* What the other side of an operator lets one hope for. */
static enum rule_field_wish
wish_of(enum expr_op op, const struct expr *other)
{
    switch (op) {
    case OP_LESS:
    case OP_LESS_EQUAL:
    case OP_GREATER:
    case OP_GREATER_EQUAL:
    case OP_SUBTRACT:
    case OP_MULTIPLY:
    case OP_DIVIDE:
    case OP_MODULO:
        return RULE_WISH_NUMERIC;
    case OP_EQUAL:
        break;
    default:
        return RULE_WISH_ANY;
    }
    if (other->kind == EXPR_UNARY && other->op == OP_NEGATE) {
        other = other->items[0];
    }
    return other->kind == EXPR_NUMBER                                ? RULE_WISH_NUMBER
           : other->kind == EXPR_STRING                              ? RULE_WISH_STRING
           : other->kind == EXPR_TRUE || other->kind == EXPR_FALSE   ? RULE_WISH_BOOLEAN
                                                                     : RULE_WISH_ANY;
}

static bool
copes_with_missing(const struct expr *expr)
{
    static const char *const names[] = {"isundefined", "isnull", "nanvl", "get_or_default"};
    bool copes = false;
    for (size_t i = 0; i < sizeof names / sizeof *names && expr->kind == EXPR_CALL; i++) {
        copes |= bytes_equal_nocase(expr->text, bytes_of_string(names[i]));
    }
    return copes;
}

static void
walk_expr(struct walk *walk, const struct expr *expr, enum rule_field_wish wish,
          bool may_be_missing)
{
    size_t length = path_length(expr);
    if (length > 0) {
        note_path(walk, expr, length, wish, may_be_missing);
        return;
    }
    if (expr->kind == EXPR_SELECT || expr->kind == EXPR_EXISTS) {
        if (expr->select->from != NULL && expr->select->from->kind == SOURCE_EXPR) {
            walk_expr(walk, expr->select->from->expr, RULE_WISH_ANY, may_be_missing);
        }
        return;
    }
    bool is_pair = expr->kind == EXPR_BINARY;
    may_be_missing = may_be_missing || copes_with_missing(expr);
    for (size_t i = 0; i < expr->item_count; i++) {
        if (expr->items[i] != NULL) {
            walk_expr(walk, expr->items[i],
                      is_pair ? wish_of(expr->op, expr->items[1 - i]) : RULE_WISH_ANY,
                      may_be_missing);
        }
    }
}

void
fields_note(struct fields *fields, const struct expr *expr, enum rule_field_use use,
            struct field_indices *named)
{
    struct walk walk = {fields, named, use};
    walk_expr(&walk, expr, RULE_WISH_ANY, false);
}

/* Those of SET and SELECT. */
static void
note_select(struct fields *fields, const struct select *select)
{
    for (size_t i = 0; i < select->assignment_count; i++) {
        fields_note(fields, select->assignments[i].expr, RULE_FIELD_SET, NULL);
    }
    for (size_t i = 0; i < select->item_count; i++) {
        fields_note(fields, select->items[i].expr, RULE_FIELD_SELECT, NULL);
    }
}

/* ---- what stays ---- */

static void
keep_fields(const struct fields *fields, struct arena *arena, const struct line_index *lines,
            struct rule_info *info)
{
    struct rule_field *kept = arena_new_array(arena, struct rule_field, fields->count);
    for (size_t i = 0; i < fields->count; i++) {
        const struct field *field = &fields->items[i];
        struct bytes *segments = arena_new_array(arena, struct bytes, field->segment_count);
        for (size_t s = 0; s < field->segment_count; s++) {
            segments[s] = arena_copy(arena, field->segments[s]);
        }
        kept[i] = (struct rule_field){
                .name = arena_copy(arena, field->name),
                .segments = segments,
                .segment_count = field->segment_count,
                .uses = field->uses,
                .wish = field->wish,
                .may_be_missing = field->may_be_missing,
                .place = line_index_place(lines, field->span),
        };
    }
    info->fields = kept;
    info->field_count = fields->count;
    info->fields_omitted = fields->omitted;
}

static const uint32_t *
keep_indices(const struct field_indices *indices, struct arena *arena)
{
    uint32_t *kept = arena_new_array(arena, uint32_t, indices->count);
    if (indices->count > 0) {
        memcpy(kept, indices->items, indices->count * sizeof *kept);
    }
    return kept;
}

void
fields_finish(struct fields *fields, const struct select *select, struct arena *arena,
              const struct line_index *lines, struct rule_info *info)
{
    size_t count = 0;
    const struct expr *const *conjuncts =
            select->where == NULL ? NULL : conjuncts_of(select->where, fields->scratch, &count);
    struct rule_conjunct *kept = arena_new_array(arena, struct rule_conjunct, count);
    note_select(fields, select);
    for (size_t i = 0; i < count; i++) {
        struct span span = conjuncts[i]->span;
        struct field_indices named = {0};
        fields_note(fields, conjuncts[i], RULE_FIELD_WHERE, &named);
        kept[i] = (struct rule_conjunct){
                .text = bytes_slice(lines->text, span.start, span.end),
                .place = line_index_place(lines, span),
                .fields = keep_indices(&named, arena),
                .field_count = named.count,
        };
    }
    info->conjuncts = kept;
    info->conjunct_count = count;
    keep_fields(fields, arena, lines, info);
}
