/*
 * Functions of values of any type: parts of arrays and objects, null and Undefined, base64.
 */
#include "fn.h"

#include "base/base64.h"

/* ---- parts ---- */

static void
get_element(const struct value *array, int64_t wanted, struct arena *arena, struct value *out)
{
    struct value_cursor cursor = value_walk(array);
    for (int64_t i = 0; value_next(&cursor, arena); i++) {
        if (i == wanted) {
            *out = cursor.value;
            return;
        }
    }
}

static void
get_character(struct bytes text, int64_t wanted, struct value *out)
{
    int64_t i = -1;
    size_t start = 0;
    for (size_t at = 0; at <= text.size; at++) {
        bool boundary = at == text.size || ((unsigned char)text.data[at] & 0xc0) != 0x80;
        if (boundary && i == wanted) {
            *out = value_string(bytes_slice(text, start, at));
            return;
        }
        if (boundary) {
            start = at;
            i++;
        }
    }
}

void
fn_get(const struct call *call, struct value *out)
{
    const struct value *container = &call->args[0];
    enum value_type type = value_type(container);
    int64_t i;
    if (type == TYPE_OBJECT) {
        if (value_type(&call->args[1]) == TYPE_STRING) {
            *out = value_member(container, value_string_content(&call->args[1], call->arena));
        }
    } else if (type == TYPE_ARRAY || type == TYPE_STRING) {
        if (!call_index(call, 1, &i) || i < 0) {
            return;
        }
        if (type == TYPE_ARRAY) {
            get_element(container, i, call->arena, out);
        } else {
            get_character(value_string_content(container, call->arena), i, out);
        }
    }
}

/* ---- null and Undefined ---- */

void
fn_isnull(const struct call *call, struct value *out)
{
    *out = value_boolean(value_type(&call->args[0]) == TYPE_NULL);
}

void
fn_isundefined(const struct call *call, struct value *out)
{
    *out = value_boolean(value_is_undefined(&call->args[0]));
}

void
fn_get_or_default(const struct call *call, struct value *out)
{
    enum value_type type = value_type(&call->args[0]);
    if (type != TYPE_UNDEFINED && type != TYPE_NULL) {
        *out = call->args[0];
    } else if (call->count == 2) {
        *out = call->args[1];
    }
}

/* ---- base64 ---- */

static bool
is_base64(const struct call *call, size_t i)
{
    struct bytes scheme;
    return value_type(&call->args[i]) == TYPE_STRING && call_string(call, i, &scheme) &&
           bytes_equal(scheme, BYTES("base64"));
}

/* The bytes to encode: of '*' those that were published, of the rest its text. */
static bool
bytes_to_encode(const struct call *call, struct bytes *out)
{
    const struct value *value = &call->args[0];
    if (value->kind == VALUE_BYTES) {
        *out = value->string;
        return true;
    }
    const struct rule_payload *payload = call->run->message == NULL
                                                 ? NULL
                                                 : call->run->message->parsed;
    bool whole = payload != NULL && value->kind == VALUE_JSON && value->json == &payload->json &&
                 value->node == 0;
    if (whole) {
        *out = payload->json.text;
        return true;
    }
    return call_string(call, 0, out);
}

void
fn_encode(const struct call *call, struct value *out)
{
    struct bytes bytes;
    if (is_base64(call, 1) && bytes_to_encode(call, &bytes)) {
        struct buf text = {.arena = call->arena};
        base64_encode(&text, bytes);
        *out = value_string(buf_bytes(&text));
    }
}

void
fn_decode(const struct call *call, struct value *out)
{
    struct bytes text;
    if (call->count > 2) {
        decode_protobuf(call, out);
        return;
    }
    if (!is_base64(call, 1) || !call_string(call, 0, &text)) {
        return;
    }
    struct buf decoded = {.arena = call->arena};
    if (!base64_decode(&decoded, text) || !bytes_is_utf8(buf_bytes(&decoded))) {
        *out = (struct value){.kind = VALUE_NULL};
        return;
    }
    struct json *json = arena_new(call->arena, struct json);
    struct json_error error;
    if (json_parse(json, buf_bytes(&decoded), JSON_DEPTH_MAX_DEFAULT, call->arena, &error)) {
        *out = value_of_node(json, 0);
    } else {
        *out = value_string(buf_bytes(&decoded));
    }
}

/* ---- transform ---- */

/* The members of `element`, then those of `extra` that it does not have. */
static struct value
enrich(const struct value *element, const struct value *extra, struct arena *arena)
{
    size_t most = (size_t)value_count(element) + value_count(extra);
    struct value_member *members = arena_alloc(arena, most * sizeof *members);
    uint32_t count = 0;
    struct value_cursor cursor = value_walk(element);
    while (value_next(&cursor, arena)) {
        members[count++] = (struct value_member){cursor.name, cursor.value};
    }
    cursor = value_walk(extra);
    while (value_next(&cursor, arena)) {
        struct value own = value_member(element, cursor.name);
        if (value_is_undefined(&own)) {
            members[count++] = (struct value_member){cursor.name, cursor.value};
        }
    }
    return (struct value){.kind = VALUE_OBJECT, .count = count, .members = members};
}

void
fn_transform(const struct call *call, struct value *out)
{
    struct bytes mode;
    bool usable = value_type(&call->args[0]) == TYPE_STRING && call_string(call, 0, &mode) &&
                  bytes_equal(mode, BYTES("enrichArray")) &&
                  value_type(&call->args[1]) == TYPE_OBJECT &&
                  value_type(&call->args[2]) == TYPE_ARRAY;
    if (!usable) {
        return;
    }
    size_t count = value_count(&call->args[2]);
    struct value *elements = arena_alloc(call->arena, count * sizeof *elements);
    struct value_cursor cursor = value_walk(&call->args[2]);
    for (size_t i = 0; value_next(&cursor, call->arena); i++) {
        if (value_type(&cursor.value) != TYPE_OBJECT) {
            return;
        }
        elements[i] = enrich(&cursor.value, &call->args[1], call->arena);
    }
    *out = (struct value){
            .kind = VALUE_ARRAY, .count = (uint32_t)count, .elements = elements};
}
