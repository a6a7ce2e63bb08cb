/*
 * Headers out of parameters. They come from messages, by templates, so they are checked like
 * everything from outside: a line end in a value would begin a header, or a request, of its own.
 */
#include "http_params.h"

#include "base/json.h"
#include "http_header.h"

static bool
read_header(const struct json *json, uint32_t object, struct arena *arena, struct http_header *out,
            struct bytes *reason)
{
    const struct json_node *nodes = json->nodes;
    bool is_object = nodes[object].kind == JSON_OBJECT;
    uint32_t key = is_object ? json_member(json, object, BYTES("key")) : 0;
    uint32_t value = is_object ? json_member(json, object, BYTES("value")) : 0;
    if (key == 0 || value == 0 || nodes[key].kind != JSON_STRING ||
        nodes[value].kind != JSON_STRING) {
        *reason = BYTES("a header of the action has no key or value");
        return false;
    }
    out->name = json_string(json, key, arena);
    struct bytes text = json_string(json, value, arena);
    const char *problem = http_header_problem(out->name, text);
    if (problem != NULL) {
        *reason = arena_printf(arena, "the header '%.*s' %s", BYTES_ARG(out->name), problem);
        return false;
    }
    /* "Name:" alone would take a header away; libcurl sends an empty one for "Name;". */
    out->line = text.size == 0
                        ? arena_printf(arena, "%.*s;", BYTES_ARG(out->name)).data
                        : arena_printf(arena, "%.*s: %.*s", BYTES_ARG(out->name),
                                       BYTES_ARG(text)).data;
    return true;
}

bool
http_params_read(struct bytes params, struct arena *arena, struct http_headers *out,
                 struct bytes *reason)
{
    *out = (struct http_headers){0};
    if (params.size == 0) {
        return true;
    }
    struct json json;
    struct json_error error;
    if (!json_parse(&json, params, JSON_DEPTH_MAX_DEFAULT, arena, &error) ||
        json.nodes[0].kind != JSON_OBJECT) {
        *reason = BYTES("the action's parameters are not a JSON object");
        return false;
    }
    uint32_t list = json_member(&json, 0, BYTES("headers"));
    if (list == 0 || json.nodes[list].kind != JSON_ARRAY) {
        return true;
    }
    struct http_header *items = arena_new_array(arena, struct http_header, json.nodes[list].count);
    for (uint32_t at = list + 1; at < json.nodes[list].next; at = json.nodes[at].next) {
        if (!read_header(&json, at, arena, &items[out->count], reason)) {
            return false;
        }
        out->count++;
    }
    out->items = items;
    return true;
}

bool
http_headers_have(const struct http_headers *headers, const char *name)
{
    for (size_t i = 0; i < headers->count; i++) {
        if (bytes_equal_nocase(headers->items[i].name, bytes_of_string(name))) {
            return true;
        }
    }
    return false;
}
