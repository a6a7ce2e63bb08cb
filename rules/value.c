/*
 * Values: conversions, parts, equality and text. The tables are those of the AWS IoT developer
 * guide, "Data types" and "Conversions".
 */
#include "value.h"

#include "base/base64.h"

struct value
value_of_node(const struct json *json, uint32_t node)
{
    switch ((enum json_kind)json->nodes[node].kind) {
    case JSON_NULL:
        return (struct value){.kind = VALUE_NULL};
    case JSON_FALSE:
        return value_boolean(false);
    case JSON_TRUE:
        return value_boolean(true);
    default:
        return (struct value){.kind = VALUE_JSON, .node = node, .json = json};
    }
}

static enum value_type
type_of_node(const struct value *value)
{
    switch ((enum json_kind)value->json->nodes[value->node].kind) {
    case JSON_NUMBER:
        return TYPE_NUMBER;
    case JSON_STRING:
        return TYPE_STRING;
    case JSON_ARRAY:
        return TYPE_ARRAY;
    case JSON_OBJECT:
        return TYPE_OBJECT;
    default:
        never("words become values of their own");
    }
}

enum value_type
value_type(const struct value *value)
{
    switch ((enum value_kind)value->kind) {
    case VALUE_UNDEFINED:
        return TYPE_UNDEFINED;
    case VALUE_NULL:
        return TYPE_NULL;
    case VALUE_BOOLEAN:
        return TYPE_BOOLEAN;
    case VALUE_NUMBER:
        return TYPE_NUMBER;
    case VALUE_STRING:
        return TYPE_STRING;
    case VALUE_JSON:
        return type_of_node(value);
    case VALUE_ARRAY:
        return TYPE_ARRAY;
    case VALUE_OBJECT:
        return TYPE_OBJECT;
    case VALUE_BYTES:
        return TYPE_BYTES;
    }
    never("all kinds are listed");
}

/* ---- conversions ---- */

/* Java's pattern has neither '+' nor a point without digits around it. */
static bool
number_of_string(struct bytes text, struct decimal *out, struct arena *arena)
{
    bool plausible = text.size > 0 && bytes_find(text, '+') == text.size;
    return plausible && decimal_parse(out, text, arena);
}

bool
value_number_content(const struct value *value, struct decimal *out, struct arena *arena)
{
    if (value->kind == VALUE_NUMBER) {
        *out = value->number;
        return true;
    }
    return decimal_parse(out, json_raw(value->json, value->node), arena);
}

struct bytes
value_string_content(const struct value *value, struct arena *arena)
{
    return value->kind == VALUE_STRING ? value->string
                                       : json_string(value->json, value->node, arena);
}

bool
value_to_number(const struct value *value, struct decimal *out, struct arena *arena)
{
    switch (value_type(value)) {
    case TYPE_NUMBER:
        return value_number_content(value, out, arena);
    case TYPE_STRING:
        return number_of_string(value_string_content(value, arena), out, arena);
    default:
        return false;
    }
}

bool
value_to_boolean(const struct value *value, bool *out, struct arena *arena)
{
    switch (value_type(value)) {
    case TYPE_BOOLEAN:
        *out = value->boolean;
        return true;
    case TYPE_STRING: {
        struct bytes text = value_string_content(value, arena);
        *out = bytes_equal_nocase(text, BYTES("true"));
        return *out || bytes_equal_nocase(text, BYTES("false"));
    }
    default:
        return false;
    }
}

static struct bytes
print_number(const struct decimal *number, struct arena *arena)
{
    char *text = arena_alloc(arena, DECIMAL_TEXT_MAX);
    return bytes_of(text, decimal_print(number, text));
}

bool
value_to_string(const struct value *value, struct bytes *out, struct arena *arena)
{
    switch (value_type(value)) {
    case TYPE_UNDEFINED:
    case TYPE_NULL:
    case TYPE_BYTES:
        return false;
    case TYPE_BOOLEAN:
        *out = value->boolean ? BYTES("true") : BYTES("false");
        return true;
    case TYPE_NUMBER: {
        struct decimal number;
        if (!value_number_content(value, &number, arena)) {
            return false;
        }
        bool keeps = value->kind == VALUE_JSON && value->boolean;
        *out = keeps ? json_raw(value->json, value->node) : print_number(&number, arena);
        return true;
    }
    case TYPE_STRING:
        *out = value_string_content(value, arena);
        return true;
    case TYPE_ARRAY:
    case TYPE_OBJECT: {
        struct buf text = {.arena = arena};
        value_write_compact(&text, value, arena);
        *out = buf_bytes(&text);
        return true;
    }
    }
    never("all types are listed");
}

/* ---- parts ---- */

struct value
value_member(const struct value *value, struct bytes name)
{
    if (value->kind == VALUE_JSON) {
        bool object = value->json->nodes[value->node].kind == JSON_OBJECT;
        uint32_t node = object ? json_member(value->json, value->node, name) : 0;
        return node == 0 ? value_undefined() : value_of_node(value->json, node);
    }
    if (value->kind == VALUE_OBJECT) {
        for (uint32_t i = value->count; i > 0; i--) {
            if (bytes_equal(value->members[i - 1].name, name)) {
                return value->members[i - 1].value;
            }
        }
    }
    return value_undefined();
}

uint32_t
value_count(const struct value *value)
{
    if (value->kind == VALUE_ARRAY || value->kind == VALUE_OBJECT) {
        return value->count;
    }
    return value->kind == VALUE_JSON ? value->json->nodes[value->node].count : 0;
}

struct value_cursor
value_walk(const struct value *container)
{
    return (struct value_cursor){
            .container = container,
            .left = value_count(container),
            .at = container->kind == VALUE_JSON ? container->node + 1 : 0,
    };
}

bool
value_next(struct value_cursor *cursor, struct arena *arena)
{
    if (cursor->left == 0) {
        return false;
    }
    cursor->left--;
    const struct value *container = cursor->container;
    if (container->kind == VALUE_ARRAY) {
        cursor->value = container->elements[cursor->at++];
    } else if (container->kind == VALUE_OBJECT) {
        cursor->name = container->members[cursor->at].name;
        cursor->value = container->members[cursor->at++].value;
    } else {
        const struct json *json = container->json;
        if (json->nodes[container->node].kind == JSON_OBJECT) {
            cursor->name = json_string(json, cursor->at, arena);
            cursor->raw_name = json_raw(json, cursor->at);
            cursor->at++;
        }
        cursor->value = value_of_node(json, cursor->at);
        cursor->at = json->nodes[cursor->at].next;
    }
    return true;
}

/* ---- equality ---- */

static bool
arrays_equal(const struct value *a, const struct value *b, struct arena *arena)
{
    if (value_count(a) != value_count(b)) {
        return false;
    }
    struct value_cursor x = value_walk(a);
    struct value_cursor y = value_walk(b);
    while (value_next(&x, arena) && value_next(&y, arena)) {
        if (!value_equal(&x.value, &y.value, arena)) {
            return false;
        }
    }
    return true;
}

static bool
members_within(const struct value *a, const struct value *b, struct arena *arena)
{
    struct value_cursor x = value_walk(a);
    while (value_next(&x, arena)) {
        struct value mine = value_member(a, x.name); /* the last of equal names */
        struct value other = value_member(b, x.name);
        if (!value_is_undefined(&mine) && !value_equal(&mine, &other, arena)) {
            return false;
        }
    }
    return true;
}

bool
value_equal(const struct value *a, const struct value *b, struct arena *arena)
{
    enum value_type type = value_type(a);
    if (type != value_type(b)) {
        return false;
    }
    switch (type) {
    case TYPE_UNDEFINED:
        return false;
    case TYPE_NULL:
        return true;
    case TYPE_BOOLEAN:
        return a->boolean == b->boolean;
    case TYPE_NUMBER: {
        struct decimal x, y;
        return value_number_content(a, &x, arena) && value_number_content(b, &y, arena) &&
               decimal_compare(&x, &y) == 0;
    }
    case TYPE_STRING:
        return bytes_equal(value_string_content(a, arena), value_string_content(b, arena));
    case TYPE_ARRAY:
        return arrays_equal(a, b, arena);
    case TYPE_OBJECT:
        return members_within(a, b, arena) && members_within(b, a, arena);
    case TYPE_BYTES:
        return bytes_equal(a->string, b->string);
    }
    never("all types are listed");
}

/* ---- text ---- */

static void
write_number(struct buf *out, const struct decimal *number)
{
    out->size += decimal_print(number, buf_reserve(out, DECIMAL_TEXT_MAX));
}

/* Whole numbers as such; all others as they stand. */
static void
write_number_text(struct buf *out, struct bytes text, bool integer)
{
    if (!integer) {
        struct arena scratch = {0}; /* only numbers of more than 18 digits need it */
        struct decimal number;
        bool whole = decimal_parse(&number, text, &scratch) && decimal_is_whole(&number);
        if (whole) {
            write_number(out, &number);
        }
        arena_fini(&scratch);
        if (whole) {
            return;
        }
    }
    buf_append(out, text);
}

static void
write_node(struct buf *out, const struct json *json, uint32_t node)
{
    const struct json_node *n = &json->nodes[node];
    if (n->kind == JSON_NUMBER) {
        write_number_text(out, json_raw(json, node), (n->flags & JSON_INTEGER) != 0);
    } else {
        buf_append(out, json_raw(json, node));
    }
}

/* All nodes of a subtree, one behind the other, with only the marks that JSON needs. */
static void
write_node_compact(struct buf *out, const struct json *json, uint32_t node)
{
    const struct json_node *n = &json->nodes[node];
    if (n->kind != JSON_ARRAY && n->kind != JSON_OBJECT) {
        write_node(out, json, node);
        return;
    }
    bool object = n->kind == JSON_OBJECT;
    buf_append_char(out, object ? '{' : '[');
    uint32_t at = node + 1;
    for (uint32_t i = 0; i < n->count; i++) {
        if (i > 0) {
            buf_append_char(out, ',');
        }
        if (object) {
            buf_append(out, json_raw(json, at++));
            buf_append_char(out, ':');
        }
        write_node_compact(out, json, at);
        at = json->nodes[at].next;
    }
    buf_append_char(out, object ? '}' : ']');
}

static void
write_parts(struct buf *out, const struct value *value, struct arena *compact_arena)
{
    bool object = value->kind == VALUE_OBJECT;
    bool first = true;
    buf_append_char(out, object ? '{' : '[');
    for (uint32_t i = 0; i < value->count; i++) {
        const struct value *part = object ? &value->members[i].value : &value->elements[i];
        if (value_is_undefined(part)) {
            continue;
        }
        if (!first) {
            buf_append_char(out, ',');
        }
        first = false;
        if (object) {
            json_write_string(out, value->members[i].name);
            buf_append_char(out, ':');
        }
        if (compact_arena != NULL) {
            value_write_compact(out, part, compact_arena);
        } else {
            value_write(out, part);
        }
    }
    buf_append_char(out, object ? '}' : ']');
}

static void
write_value(struct buf *out, const struct value *value, struct arena *compact_arena)
{
    switch ((enum value_kind)value->kind) {
    case VALUE_UNDEFINED:
        return;
    case VALUE_NULL:
        buf_append(out, BYTES("null"));
        return;
    case VALUE_BOOLEAN:
        buf_append(out, value->boolean ? BYTES("true") : BYTES("false"));
        return;
    case VALUE_NUMBER:
        write_number(out, &value->number);
        return;
    case VALUE_STRING:
        json_write_string(out, value->string);
        return;
    case VALUE_JSON:
        if (value->boolean && value->json->nodes[value->node].kind == JSON_NUMBER) {
            buf_append(out, json_raw(value->json, value->node));
        } else if (compact_arena != NULL) {
            write_node_compact(out, value->json, value->node);
        } else {
            write_node(out, value->json, value->node);
        }
        return;
    case VALUE_ARRAY:
    case VALUE_OBJECT:
        write_parts(out, value, compact_arena);
        return;
    case VALUE_BYTES:
        buf_append_char(out, '"');
        base64_encode(out, value->string);
        buf_append_char(out, '"');
        return;
    }
}

void
value_write(struct buf *out, const struct value *value)
{
    write_value(out, value, NULL);
}

void
value_write_compact(struct buf *out, const struct value *value, struct arena *arena)
{
    write_value(out, value, arena);
}
