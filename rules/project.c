/*
 * From a message to a row: WHERE, then the items of SELECT as JSON text.
 *
 * The row is written straight into the caller's buffer. What the payload gave is copied as text;
 * for `SELECT *, x AS y` that is one copy of the whole object, with the new members behind it. Only
 * when a new member replaces one of the payload's, or when '*' stands elsewhere, are the members
 * collected in a list first.
 */
#include "eval.h"

/* ---- fields laid out at load ---- */

/* The value of the last item that is defined; NULL when none is. */
static const struct value *
field_value(const struct layout *field, const struct value *values)
{
    for (uint32_t i = field->item_count; i > 0; i--) {
        const struct value *value = &values[field->items[i - 1]];
        if (!value_is_undefined(value)) {
            return value;
        }
    }
    return NULL;
}

/* Writes the defined members with commas between; `*first` is whether none was written before. */
static void
write_fields(struct buf *out, const struct layout *layout, const struct value *values, bool *first)
{
    for (uint32_t i = 0; i < layout->part_count; i++) {
        const struct layout *part = &layout->parts[i];
        size_t before = out->size;
        if (!*first) {
            buf_append_char(out, ',');
        }
        buf_append(out, part->key_text);
        bool empty = true;
        if (part->part_count > 0) {
            buf_append_char(out, '{');
            write_fields(out, part, values, &empty);
            buf_append_char(out, '}');
        }
        if (empty) {
            const struct value *value = field_value(part, values);
            if (value == NULL) {
                out->size = before;
                continue;
            }
            out->size -= part->part_count > 0 ? 2 : 0;
            value_write(out, value);
        }
        *first = false;
    }
}

/* Evaluates all items but stars. */
static struct value *
eval_items(const struct query *query, struct run *run)
{
    struct value *values = arena_alloc(run->arena, query->item_count * sizeof *values);
    for (uint32_t i = 0; i < query->item_count; i++) {
        if (query->items[i].node == NULL) {
            values[i] = value_undefined();
        } else {
            node_eval(query->items[i].node, run, &values[i]);
        }
    }
    return values;
}

/* ---- members collected at run time ---- */

struct member {
    struct bytes raw_name; /* JSON text of the name, or empty */
    struct bytes name;
    struct value value;
    struct member_list *parts; /* instead of `value`: made by AS a.b */
    bool carried;              /* by a '*': stays byte for byte */
};

struct member_list {
    struct member *items;
    size_t count;
    size_t capacity;
};

static struct member *
add_member(struct member_list *list, struct arena *arena)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 16 : list->capacity * 2;
        struct member *items = arena_new_array(arena, struct member, capacity);
        if (list->count > 0) {
            memcpy(items, list->items, list->count * sizeof *items);
        }
        list->items = items;
        list->capacity = capacity;
    }
    return &list->items[list->count++];
}

static struct member *
find_or_add_member(struct member_list *list, struct bytes name, struct arena *arena)
{
    struct member *found = NULL;
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) { /* of equal names only the first stays */
        bool same = bytes_equal(list->items[i].name, name);
        if (same && found != NULL) {
            continue;
        }
        list->items[kept] = list->items[i];
        found = same ? &list->items[kept] : found;
        kept++;
    }
    list->count = kept;
    if (found == NULL) {
        found = add_member(list, arena);
        *found = (struct member){.name = name};
    }
    return found;
}

static void
set_path(struct member_list *list, const struct name_path *path, const struct value *value,
         struct arena *arena)
{
    for (size_t i = 0; i + 1 < path->count; i++) {
        struct member *member = find_or_add_member(list, path->items[i], arena);
        if (member->parts == NULL) {
            member->parts = arena_new(arena, struct member_list);
        }
        list = member->parts;
    }
    struct member *member = find_or_add_member(list, path->items[path->count - 1], arena);
    member->value = *value;
    member->parts = NULL;
    member->carried = false;
}

/* All members of an object; those that are there already are replaced. */
static void
set_all(struct member_list *list, const struct value *object, struct arena *arena)
{
    bool fresh = list->count == 0; /* then its names, even equal ones, are taken as they are */
    struct value_cursor cursor = value_walk(object);
    while (value_next(&cursor, arena)) {
        struct member *member = fresh ? add_member(list, arena)
                                      : find_or_add_member(list, cursor.name, arena);
        *member = (struct member){
                .raw_name = cursor.raw_name,
                .name = cursor.name,
                .value = cursor.value,
                .carried = true,
        };
    }
}

static void
write_members(struct buf *out, const struct member_list *list)
{
    buf_append_char(out, '{');
    for (size_t i = 0; i < list->count; i++) {
        const struct member *member = &list->items[i];
        if (i > 0) {
            buf_append_char(out, ',');
        }
        if (member->raw_name.size > 0) {
            buf_append(out, member->raw_name);
        } else {
            json_write_string(out, member->name);
        }
        buf_append_char(out, ':');
        if (member->parts != NULL) {
            write_members(out, member->parts);
        } else if (member->carried && member->value.kind == VALUE_JSON) {
            buf_append(out, json_raw(member->value.json, member->value.node));
        } else {
            value_write(out, &member->value);
        }
    }
    buf_append_char(out, '}');
}

static enum query_verdict
merge(const struct query *query, struct run *run, struct buf *out, const char **reason)
{
    struct member_list list = {0};
    for (uint32_t i = 0; i < query->item_count; i++) {
        const struct output_item *item = &query->items[i];
        struct value value;
        if (item->node != NULL) {
            node_eval(item->node, run, &value);
        } else {
            eval_star(NULL, run, &value);
        }
        if (!item->star) {
            if (!value_is_undefined(&value)) {
                set_path(&list, &item->alias, &value, run->arena);
            }
        } else if (value_type(&value) == TYPE_OBJECT) {
            set_all(&list, &value, run->arena);
        } else if (item->node == NULL) {
            *reason = "SELECT *, ... needs a payload that is a JSON object";
            return QUERY_FAILED;
        }
    }
    write_members(out, &list);
    return QUERY_ROW;
}

/* ---- SELECT *, fields ---- */

/* Whether a field replaces a member of the object. */
static bool
collides(const struct layout *layout, const struct value *object)
{
    for (uint32_t i = 0; i < layout->part_count; i++) {
        struct value member = value_member(object, layout->parts[i].name);
        if (!value_is_undefined(&member)) {
            return true;
        }
    }
    return false;
}

static enum query_verdict
extend(const struct query *query, struct run *run, struct buf *out, const char **reason)
{
    struct value object;
    eval_star(NULL, run, &object);
    if (object.kind != VALUE_JSON || value_type(&object) != TYPE_OBJECT ||
        collides(query->layout, &object)) {
        return merge(query, run, out, reason);
    }
    const struct value *values = eval_items(query, run);
    struct bytes text = json_raw(object.json, object.node);
    text.size--;
    while (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\n' ||
           text.data[text.size - 1] == '\r' || text.data[text.size - 1] == '\t') {
        text.size--;
    }
    buf_append(out, text);
    bool first = value_count(&object) == 0;
    write_fields(out, query->layout, values, &first);
    buf_append_char(out, '}');
    return QUERY_ROW;
}

/* ---- all shapes ---- */

static enum query_verdict
project(const struct query *query, struct run *run, struct buf *out, const char **reason)
{
    struct value value;
    switch (query->shape) {
    case QUERY_WHOLE:
        if (run->scope != NULL) {
            value_write(out, &run->scope->element);
        }
        return QUERY_ROW;
    case QUERY_VALUE:
        node_eval(query->items[0].node, run, &value);
        value_write(out, &value);
        return value_is_undefined(&value) ? QUERY_NOTHING : QUERY_ROW;
    case QUERY_FIELDS: {
        const struct value *values = eval_items(query, run);
        bool first = true;
        buf_append_char(out, '{');
        write_fields(out, query->layout, values, &first);
        buf_append_char(out, '}');
        return QUERY_ROW;
    }
    case QUERY_EXTEND:
        return extend(query, run, out, reason);
    case QUERY_MERGE:
        return merge(query, run, out, reason);
    }
    never("all shapes are listed");
}

void
query_set_variables(const struct query *query, struct run *run)
{
    for (uint32_t i = 0; i < query->variable_count; i++) {
        node_eval(query->variables[i], run, &run->variables[i]);
    }
}

enum query_verdict
query_run(const struct query *query, struct run *run, struct buf *out, const char **reason)
{
    query_set_variables(query, run);
    for (uint32_t i = 0; i < query->conjunct_count; i++) {
        struct value value;
        bool pass;
        node_eval(query->conjuncts[i], run, &value);
        bool is_defined = value_to_boolean(&value, &pass, run->arena);
        if (!is_defined || !pass) {
            run->conjunct = i;
            return is_defined ? QUERY_FILTERED : QUERY_UNDEFINED;
        }
    }
    return project(query, run, out, reason);
}
