/*
 * Records into items. The parameters of an action only make another text, which then goes the way
 * of every item: parse, find the key, check the limits.
 */
#include "table_item.h"

#include "base/base64.h"

enum { DEPTH_MAX = JSON_DEPTH_MAX_DEFAULT + 1, SHOWN_BYTES = 60 };

/* The beginning of a text for a message, cut between characters. */
static struct bytes
shown(struct bytes text)
{
    size_t size = text.size < SHOWN_BYTES ? text.size : SHOWN_BYTES;
    while (size < text.size && size > 0 && ((unsigned char)text.data[size] & 0xc0) == 0x80) {
        size--;
    }
    return bytes_slice(text, 0, size);
}

/* ---- keys ---- */

/* The text of {"$binary":"..."}, decoded into the arena; false when the node is none. */
static bool
read_binary(const struct json *json, uint32_t node, struct arena *arena, struct bytes *out)
{
    if (json->nodes[node].kind != JSON_OBJECT || json->nodes[node].count != 1) {
        return false;
    }
    uint32_t text = json_member(json, node, BYTES("$binary"));
    struct buf decoded = {.arena = arena};
    if (text == 0 || json->nodes[text].kind != JSON_STRING
        || !base64_decode(&decoded, json_string(json, text, arena))) {
        return false;
    }
    *out = buf_bytes(&decoded);
    return true;
}

/* Appends a key's bytes. Returns NULL or what is wrong, as the end of "its value ...". */
static const char *
append_key(const struct json *json, uint32_t node, struct arena *arena, struct buf *out,
           enum table_key_type *type)
{
    struct bytes binary;
    if (json->nodes[node].kind == JSON_NUMBER) {
        *type = TABLE_KEY_NUMBER;
        return table_key_append_number(out, json_raw(json, node));
    }
    if (json->nodes[node].kind == JSON_STRING) {
        *type = TABLE_KEY_STRING;
        table_key_append_text(out, *type, json_string(json, node, arena));
        return NULL;
    }
    if (read_binary(json, node, arena, &binary)) {
        *type = TABLE_KEY_BINARY;
        table_key_append_text(out, *type, binary);
        return NULL;
    }
    return "is neither a string nor a number nor {\"$binary\": base64}";
}

bool
table_item_key_bytes(const struct json *json, uint32_t node, struct arena *arena,
                     struct buf *out)
{
    enum table_key_type type;
    return append_key(json, node, arena, out, &type) == NULL;
}

static const char *
type_name(enum table_key_type type)
{
    static const char *const names[] = {
            [TABLE_KEY_ANY] = "a key",
            [TABLE_KEY_NUMBER] = "a number",
            [TABLE_KEY_STRING] = "a string",
            [TABLE_KEY_BINARY] = "a binary",
    };
    return names[type];
}

/* One member of the key; returns why it cannot be one, or nothing. */
static struct bytes
read_key(const struct json *item, const struct table_key_member *member, const char *role,
         size_t bytes_max, struct arena *arena, struct bytes *out)
{
    uint32_t node = json_member(item, 0, member->name);
    if (node == 0) {
        return arena_printf(arena, "member '%.*s', the %s key, is missing",
                            BYTES_ARG(member->name), role);
    }
    struct buf key = {.arena = arena};
    enum table_key_type type = TABLE_KEY_ANY;
    const char *wrong = append_key(item, node, arena, &key, &type);
    if (wrong != NULL) {
        return arena_printf(arena, "member '%.*s', the %s key, holds %.*s, which %s",
                            BYTES_ARG(member->name), role, BYTES_ARG(shown(json_raw(item, node))),
                            wrong);
    }
    if (member->type != TABLE_KEY_ANY && member->type != type) {
        return arena_printf(arena, "member '%.*s', the %s key, holds %.*s, expected %s",
                            BYTES_ARG(member->name), role, BYTES_ARG(shown(json_raw(item, node))),
                            type_name(member->type));
    }
    if (key.size == 1 || (type != TABLE_KEY_NUMBER && key.size - 1 > bytes_max)) {
        return arena_printf(arena, "member '%.*s', the %s key, has %zu bytes, expected 1 to %zu",
                            BYTES_ARG(member->name), role, key.size - 1, bytes_max);
    }
    *out = buf_bytes(&key);
    return (struct bytes){0};
}

static struct bytes
read_keys(const struct table_keys *keys, const struct json *item, struct arena *arena,
          struct table_change *out)
{
    struct bytes reason = read_key(item, &keys->partition, "partition", TABLE_PARTITION_MAX,
                                   arena, &out->partition);
    if (reason.size == 0 && keys->sort.name.size > 0) {
        reason = read_key(item, &keys->sort, "sort", TABLE_SORT_MAX, arena, &out->sort);
    }
    return reason;
}

/* Parses an item and finds its key. */
static void
take_item(const struct table_keys *keys, struct bytes text, struct arena *arena,
          struct table_change *change)
{
    struct json_error error;
    if (!json_parse(&change->item, text, DEPTH_MAX, arena, &error)) {
        change->reason = arena_printf(arena, "the payload is not JSON: %s at byte %zu",
                                      error.message, error.offset);
    } else if (change->item.nodes[0].kind != JSON_OBJECT) {
        change->reason = arena_printf(
                arena, "the payload is not a JSON object with the member '%.*s'",
                BYTES_ARG(keys->partition.name));
    } else if (json_raw(&change->item, 0).size > TABLE_ITEM_MAX) {
        change->reason = arena_printf(arena, "the item has %zu bytes, more than %d",
                                      json_raw(&change->item, 0).size, TABLE_ITEM_MAX);
    } else {
        change->reason = read_keys(keys, &change->item, arena, change);
    }
}

void
table_item_key(const struct table_keys *keys, struct bytes text, struct arena *arena,
               struct table_change *out)
{
    *out = (struct table_change){.kind = TABLE_DELETE};
    take_item(keys, text, arena, out);
    if (out->reason.size > 0) {
        return;
    }
    uint32_t end = out->item.nodes[0].next;
    for (uint32_t node = 1; node < end; node = out->item.nodes[node + 1].next) {
        struct bytes name = json_string(&out->item, node, arena);
        if (!bytes_equal(name, keys->partition.name) && !bytes_equal(name, keys->sort.name)) {
            bool has_sort = keys->sort.name.size > 0;
            out->reason = arena_printf(
                    arena, "'%.*s' is no key of the table, which has '%.*s'%s%.*s%s",
                    BYTES_ARG(name), BYTES_ARG(keys->partition.name), has_sort ? " and '" : "",
                    BYTES_ARG(keys->sort.name), has_sort ? "'" : "");
            return;
        }
    }
}

/* ---- the parameters of an action ---- */

struct action {
    const struct json *params;
    struct arena *arena;
    struct buf text; /* the item so far */
    struct bytes reason;
};

/* A parameter's text, or `otherwise` when it is not there. */
static struct bytes
parameter(const struct action *action, const char *name, struct bytes otherwise)
{
    uint32_t node = json_member(action->params, 0, bytes_of_string(name));
    if (node == 0) {
        return otherwise;
    }
    return action->params->nodes[node].kind == JSON_STRING
                   ? json_string(action->params, node, action->arena)
                   : json_raw(action->params, node);
}

static bool
is_number(struct bytes text, struct arena *arena)
{
    struct json json;
    struct json_error error;
    return json_parse(&json, text, 1, arena, &error) && json.nodes[0].kind == JSON_NUMBER;
}

static void
add_name(struct action *action, struct bytes name)
{
    if (action->text.size > 1) {
        buf_append_char(&action->text, ',');
    }
    json_write_string(&action->text, name);
    buf_append_char(&action->text, ':');
}

/* Adds a key member; `prefix` is "hash" or "range". */
static void
add_key(struct action *action, const char *prefix, const struct table_key_member *member,
        const char *role)
{
    struct arena *arena = action->arena;
    struct bytes field = parameter(action, arena_printf(arena, "%sKeyField", prefix).data,
                                   (struct bytes){0});
    struct bytes value = parameter(action, arena_printf(arena, "%sKeyValue", prefix).data,
                                   (struct bytes){0});
    struct bytes type = parameter(action, arena_printf(arena, "%sKeyType", prefix).data,
                                  BYTES("STRING"));
    bool number = bytes_equal_nocase(type, BYTES("NUMBER"));
    if (!bytes_equal(field, member->name)) {
        action->reason = arena_printf(
                arena, "%sKeyField is '%.*s', but the table's %s key is '%.*s'", prefix,
                BYTES_ARG(field), role, BYTES_ARG(member->name));
    } else if (!number && !bytes_equal_nocase(type, BYTES("STRING"))) {
        action->reason = arena_printf(arena, "%sKeyType is '%.*s', expected STRING or NUMBER",
                                      prefix, BYTES_ARG(type));
    } else if (number && !is_number(value, arena)) {
        action->reason = arena_printf(arena, "%sKeyValue is '%.*s', expected a number", prefix,
                                      BYTES_ARG(shown(value)));
    } else {
        add_name(action, field);
        if (number) {
            buf_append(&action->text, bytes_trim(value));
        } else {
            json_write_string(&action->text, value);
        }
    }
}

/* The payload as one member: JSON as it is, anything else as a binary. */
static void
add_payload(struct action *action, const struct table_keys *keys, struct bytes payload)
{
    struct bytes field = parameter(action, "payloadField", BYTES("payload"));
    if (bytes_equal(field, keys->partition.name) || bytes_equal(field, keys->sort.name)) {
        action->reason = arena_printf(action->arena, "payloadField '%.*s' is a key of the table",
                                      BYTES_ARG(field));
        return;
    }
    struct json json;
    struct json_error error;
    add_name(action, field);
    if (json_parse(&json, payload, JSON_DEPTH_MAX_DEFAULT, action->arena, &error)) {
        buf_append(&action->text, json_raw(&json, 0));
    } else {
        buf_append_string(&action->text, "{\"$binary\":\"");
        base64_encode(&action->text, payload);
        buf_append_string(&action->text, "\"}");
    }
}

static void
set_operation(struct action *action, enum table_change_kind *kind)
{
    struct bytes operation = parameter(action, "operation", BYTES("INSERT"));
    if (bytes_equal_nocase(operation, BYTES("INSERT"))) {
        *kind = TABLE_PUT;
    } else if (bytes_equal_nocase(operation, BYTES("UPDATE"))) {
        *kind = TABLE_MERGE;
    } else if (bytes_equal_nocase(operation, BYTES("DELETE"))) {
        *kind = TABLE_DELETE;
    } else {
        action->reason =
                arena_printf(action->arena,
                             "operation is '%.*s', expected INSERT, UPDATE or DELETE",
                             BYTES_ARG(operation));
    }
}

static void
take_action(const struct table_keys *keys, const struct json *params, struct bytes payload,
            struct arena *arena, struct table_change *out)
{
    struct action action = {.params = params, .arena = arena, .text = {.arena = arena}};
    buf_append_char(&action.text, '{');
    set_operation(&action, &out->kind);
    if (action.reason.size == 0) {
        add_key(&action, "hash", &keys->partition, "partition");
    }
    bool has_range = json_member(params, 0, BYTES("rangeKeyField")) != 0;
    if (action.reason.size == 0 && (has_range || keys->sort.name.size > 0)) {
        add_key(&action, "range", &keys->sort, "sort");
    }
    if (action.reason.size == 0 && out->kind != TABLE_DELETE) {
        add_payload(&action, keys, payload);
    }
    buf_append_char(&action.text, '}');
    out->reason = action.reason;
    if (out->reason.size == 0) {
        take_item(keys, buf_bytes(&action.text), arena, out);
    }
}

void
table_item_read(const struct table_keys *keys, struct bytes params, struct bytes payload,
                struct arena *arena, struct table_change *out)
{
    *out = (struct table_change){.kind = TABLE_PUT};
    struct json json = {0};
    struct json_error error;
    if (params.size > 0 && !json_parse(&json, params, DEPTH_MAX, arena, &error)) {
        out->reason = arena_printf(arena, "the action's parameters are not JSON: %s at byte %zu",
                                   error.message, error.offset);
    } else if (params.size > 0 && json.nodes[0].kind != JSON_OBJECT) {
        out->reason = BYTES("the action's parameters are not a JSON object");
    } else if (params.size > 0 && json_member(&json, 0, BYTES("hashKeyField")) != 0) {
        take_action(keys, &json, payload, arena, out);
    } else {
        take_item(keys, payload, arena, out);
    }
}

/* ---- merging ---- */

static void
copy_members(const struct json *from, const struct json *unless, struct arena *arena,
             struct buf *out)
{
    uint32_t end = from->nodes[0].next;
    for (uint32_t node = 1; node < end; node = from->nodes[node + 1].next) {
        struct bytes name = json_string(from, node, arena);
        if (unless == NULL || json_member(unless, 0, name) == 0) {
            buf_append_char(out, out->size == 0 ? '{' : ',');
            buf_append(out, json_raw(from, node));
            buf_append_char(out, ':');
            buf_append(out, json_raw(from, node + 1));
        }
    }
}

void
table_item_merge(const struct json *stored, struct table_change *change, struct arena *arena)
{
    struct buf text = {.arena = arena};
    struct json_error error;
    copy_members(stored, &change->item, arena, &text);
    copy_members(&change->item, NULL, arena, &text);
    buf_append_char(&text, '}');
    change->kind = TABLE_PUT;
    if (text.size > TABLE_ITEM_MAX) {
        change->reason = arena_printf(arena, "the item would have %zu bytes, more than %d",
                                      text.size, TABLE_ITEM_MAX);
    } else {
        bool parsed = json_parse(&change->item, buf_bytes(&text), DEPTH_MAX, arena, &error);
        check(parsed && "made of members of two valid items");
    }
}
