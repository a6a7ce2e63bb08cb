#include "http_items.h"

#include "base/json.h"

enum { ITEM_DEPTH_MAX = 64, STATUS_MIN = 100, STATUS_MAX = 599 };

static struct bytes
message_of(const struct json *json, uint32_t item, struct arena *arena)
{
    const struct bytes names[] = {BYTES("message"), BYTES("error")};
    for (size_t i = 0; i < 2; i++) {
        uint32_t member = json_member(json, item, names[i]);
        if (member != 0 && json->nodes[member].kind == JSON_STRING) {
            return json_string(json, member, arena);
        }
    }
    return (struct bytes){0};
}

static bool
read_item(const struct json *json, uint32_t node, struct arena *arena, struct http_item *out)
{
    if (json->nodes[node].kind != JSON_OBJECT) {
        return false;
    }
    uint32_t status = json_member(json, node, BYTES("status"));
    int64_t number;
    if (status == 0 || json->nodes[status].kind != JSON_NUMBER ||
        !json_int64(json, status, &number) || number < STATUS_MIN || number > STATUS_MAX) {
        return false;
    }
    *out = (struct http_item){.status = (int)number, .message = message_of(json, node, arena)};
    return true;
}

bool
http_items_read(struct bytes body, size_t count, struct arena *arena,
                const struct http_item **out, struct bytes *reason)
{
    struct json json;
    struct json_error error;
    if (!json_parse(&json, body, ITEM_DEPTH_MAX, arena, &error)) {
        *reason = arena_printf(arena, "the body is not JSON (byte %zu: %s)", error.offset,
                               error.message);
        return false;
    }
    if (json.nodes[0].kind != JSON_ARRAY || json.nodes[0].count != count) {
        *reason = arena_printf(arena, "the body is not an array of %zu objects, one a record", count);
        return false;
    }
    struct http_item *items = arena_new_array(arena, struct http_item, count);
    uint32_t node = 1;
    for (size_t i = 0; i < count; i++, node = json.nodes[node].next) {
        if (!read_item(&json, node, arena, &items[i])) {
            *reason = arena_printf(arena,
                                   "element %zu of the body has no \"status\" from %d to %d", i,
                                   STATUS_MIN, STATUS_MAX);
            return false;
        }
    }
    *out = items;
    return true;
}
