/*
 * Each kind of piece has a function that builds its copy in zeroed scratch memory, so that bytes
 * between members are equal when the members are, and with its own pieces kept already, so that
 * equal pieces have equal pointers. Then keep() looks whether these bytes are known.
 */
#include "pool.h"

#include "function.h"

void
pool_fini(struct pool *pool)
{
    map_fini(&pool->texts);
    map_fini(&pool->pieces);
}

static const void *
keep(struct pool *pool, const void *piece, size_t size)
{
    if (size == 0) {
        return NULL;
    }
    void *kept = map_find(&pool->pieces, bytes_of(piece, size));
    if (kept == NULL) {
        kept = arena_alloc(pool->arena, size);
        memcpy(kept, piece, size);
        map_put(&pool->pieces, bytes_of(kept, size), kept);
    }
    return kept;
}

struct bytes
pool_text(struct pool *pool, struct bytes text)
{
    if (text.size == 0) {
        return text.data == NULL ? text : BYTES("");
    }
    const char *kept = map_find(&pool->texts, text);
    if (kept == NULL) {
        struct bytes copy = arena_copy(pool->arena, text);
        map_put(&pool->texts, copy, (void *)(uintptr_t)copy.data);
        kept = copy.data;
    }
    return bytes_of(kept, text.size);
}

static const struct bytes *
keep_names(struct pool *pool, const struct bytes *names, size_t count)
{
    struct bytes *copy = arena_new_array(pool->scratch, struct bytes, count);
    for (size_t i = 0; i < count; i++) {
        copy[i] = pool_text(pool, names[i]);
    }
    return keep(pool, copy, count * sizeof *copy);
}

/* ---- constants ---- */

static void copy_value(struct pool *pool, const struct value *value, struct value *copy);

static struct decimal
copy_number(struct pool *pool, const struct decimal *number)
{
    struct decimal copy = {.coefficient = number->coefficient, .exponent = number->exponent};
    if (number->wide != NULL) {
        struct decimal_digits digits;
        memset(&digits, 0, sizeof digits);
        digits.negative = number->wide->negative;
        digits.count = number->wide->count;
        memcpy(digits.digits, number->wide->digits, digits.count);
        copy.wide = keep(pool, &digits, sizeof digits);
    }
    return copy;
}

static const struct json *
keep_json(struct pool *pool, const struct json *json)
{
    struct json *copy = arena_new(pool->scratch, struct json);
    copy->text = pool_text(pool, json->text);
    copy->nodes = keep(pool, json->nodes, json->count * sizeof *json->nodes);
    copy->count = json->count;
    return keep(pool, copy, sizeof *copy);
}

static const struct value *
keep_elements(struct pool *pool, const struct value *elements, size_t count)
{
    struct value *copy = arena_new_array(pool->scratch, struct value, count);
    for (size_t i = 0; i < count; i++) {
        copy_value(pool, &elements[i], &copy[i]);
    }
    return keep(pool, copy, count * sizeof *copy);
}

static const struct value_member *
keep_members(struct pool *pool, const struct value_member *members, size_t count)
{
    struct value_member *copy = arena_new_array(pool->scratch, struct value_member, count);
    for (size_t i = 0; i < count; i++) {
        copy[i].name = pool_text(pool, members[i].name);
        copy_value(pool, &members[i].value, &copy[i].value);
    }
    return keep(pool, copy, count * sizeof *copy);
}

/* Into zeroed memory. */
static void
copy_value(struct pool *pool, const struct value *value, struct value *copy)
{
    copy->kind = value->kind;
    switch ((enum value_kind)value->kind) {
    case VALUE_UNDEFINED:
    case VALUE_NULL:
        return;
    case VALUE_BOOLEAN:
        copy->boolean = value->boolean;
        return;
    case VALUE_NUMBER: {
        struct decimal number = copy_number(pool, &value->number);
        copy->number.coefficient = number.coefficient;
        copy->number.wide = number.wide;
        copy->number.exponent = number.exponent;
        return;
    }
    case VALUE_STRING:
    case VALUE_BYTES:
        copy->string = pool_text(pool, value->string);
        return;
    case VALUE_JSON:
        copy->node = value->node;
        copy->json = keep_json(pool, value->json);
        return;
    case VALUE_ARRAY:
        copy->count = value->count;
        copy->elements = keep_elements(pool, value->elements, value->count);
        return;
    case VALUE_OBJECT:
        copy->count = value->count;
        copy->members = keep_members(pool, value->members, value->count);
        return;
    }
    never("all kinds are listed");
}

/* ---- nodes ---- */

/* NULL stays NULL. */
static const struct node *keep_node(struct pool *pool, const struct node *draft);

static const struct node *const *
keep_nodes(struct pool *pool, const struct node *const *drafts, size_t count)
{
    const struct node **copy = arena_new_array(pool->scratch, const struct node *, count);
    for (size_t i = 0; i < count; i++) {
        copy[i] = keep_node(pool, drafts[i]);
    }
    return keep(pool, copy, count * sizeof *copy);
}

/*
 * What the function prepares follows from the node as it is without: so it is made once for equal
 * nodes, found by the bytes that they had before, and not at all for calls that were constant.
 */
static const struct node *
keep_prepared(struct pool *pool, const struct node *node, size_t size)
{
    struct node *kept = map_find(&pool->pieces, bytes_of(node, size));
    if (kept == NULL) {
        const struct value **constants = arena_new_array(pool->scratch, const struct value *,
                                                         node->item_count);
        for (uint32_t i = 0; i < node->item_count; i++) {
            const struct node *item = node->items[i];
            constants[i] = item->content == NODE_CONSTANT ? &item->constant : NULL;
        }
        kept = arena_alloc(pool->arena, size);
        memcpy(kept, node, size);
        kept->prepared = node->function->prepare(constants, node->item_count, pool->arena);
        map_put(&pool->pieces, bytes_of(node, size), kept);
    }
    return kept;
}

static void
copy_content(struct pool *pool, const struct node *draft, struct node *node)
{
    switch ((enum node_content)draft->content) {
    case NODE_NOTHING:
        return;
    case NODE_CONSTANT:
        copy_value(pool, &draft->constant, &node->constant);
        return;
    case NODE_NAMES:
        node->names = keep_names(pool, draft->names, draft->name_count);
        node->name_count = draft->name_count;
        return;
    case NODE_FUNCTION:
        node->function = draft->function;
        return;
    case NODE_VARIABLE:
        node->variable = draft->variable;
        return;
    case NODE_QUERY:
        node->query = pool_query(pool, draft->query);
        node->alias = pool_text(pool, draft->alias);
        return;
    }
    never("all contents are listed");
}

static const struct node *
keep_node(struct pool *pool, const struct node *draft)
{
    if (draft == NULL) {
        return NULL;
    }
    size_t size = sizeof *draft + draft->item_count * sizeof(const struct node *);
    struct node *node = arena_alloc_zeroed(pool->scratch, 1, size);
    node->eval = draft->eval;
    node->item_count = draft->item_count;
    node->op = draft->op;
    node->content = draft->content;
    copy_content(pool, draft, node);
    for (uint32_t i = 0; i < draft->item_count; i++) {
        node->items[i] = keep_node(pool, draft->items[i]);
    }
    bool prepares = node->content == NODE_FUNCTION && node->function->prepare != NULL;
    return prepares ? keep_prepared(pool, node, size) : keep(pool, node, size);
}

/* ---- queries ---- */

/* Aliases are looked at only where members are collected when the query runs. */
static const struct output_item *
keep_items(struct pool *pool, const struct query *draft)
{
    bool aliases = draft->shape == QUERY_EXTEND || draft->shape == QUERY_MERGE;
    struct output_item *copy = arena_new_array(pool->scratch, struct output_item,
                                               draft->item_count);
    for (uint32_t i = 0; i < draft->item_count; i++) {
        const struct output_item *item = &draft->items[i];
        copy[i].node = keep_node(pool, item->node);
        copy[i].star = item->star;
        if (aliases) {
            copy[i].alias.items = keep_names(pool, item->alias.items, item->alias.count);
            copy[i].alias.count = item->alias.count;
        }
    }
    return keep(pool, copy, draft->item_count * sizeof *copy);
}

/* Into zeroed memory. */
static void
copy_layout(struct pool *pool, const struct layout *draft, struct layout *copy)
{
    struct layout *parts = arena_new_array(pool->scratch, struct layout, draft->part_count);
    for (uint32_t i = 0; i < draft->part_count; i++) {
        copy_layout(pool, &draft->parts[i], &parts[i]);
    }
    copy->key_text = pool_text(pool, draft->key_text);
    copy->name = pool_text(pool, draft->name);
    copy->items = keep(pool, draft->items, draft->item_count * sizeof *draft->items);
    copy->item_count = draft->item_count;
    copy->parts = keep(pool, parts, draft->part_count * sizeof *parts);
    copy->part_count = draft->part_count;
}

const struct query *
pool_query(struct pool *pool, const struct query *draft)
{
    struct query *query = arena_new(pool->scratch, struct query);
    struct layout *layout = arena_new(pool->scratch, struct layout);
    copy_layout(pool, draft->layout, layout);
    query->shape = draft->shape;
    query->layout = keep(pool, layout, sizeof *layout);
    query->variables = keep_nodes(pool, draft->variables, draft->variable_count);
    query->variable_count = draft->variable_count;
    query->items = keep_items(pool, draft);
    query->item_count = draft->item_count;
    query->conjuncts = keep_nodes(pool, draft->conjuncts, draft->conjunct_count);
    query->conjunct_count = draft->conjunct_count;
    return keep(pool, query, sizeof *query);
}

/* ---- templates ---- */

struct template
pool_template(struct pool *pool, const struct template *draft)
{
    struct template_part *parts = arena_new_array(pool->scratch, struct template_part,
                                                  draft->part_count);
    for (uint32_t i = 0; i < draft->part_count; i++) {
        parts[i].text = pool_text(pool, draft->parts[i].text);
        parts[i].node = keep_node(pool, draft->parts[i].node);
    }
    return (struct template){
            .parts = keep(pool, parts, draft->part_count * sizeof *parts),
            .part_count = draft->part_count,
    };
}

const struct target_program *
pool_targets(struct pool *pool, const struct target_program *targets, size_t count)
{
    struct target_program *copy = arena_new_array(pool->scratch, struct target_program, count);
    for (size_t i = 0; i < count; i++) {
        copy[i].kind = targets[i].kind;
        copy[i].text = pool_text(pool, targets[i].text);
        copy[i].template.parts = targets[i].template.parts;
        copy[i].template.part_count = targets[i].template.part_count;
        copy[i].action = targets[i].action;
    }
    return keep(pool, copy, count * sizeof *copy);
}
