/*
 * Reads the parameters of a timestream action. The rule has checked them already; a record out of
 * an older gateway's backlog may hold anything, so they are checked again.
 */
#include "series_action.h"

#include "base/json.h"

enum { DIMENSIONS_MAX = 128 }; /* Timestream's limit */

bool
series_action_is_reserved(struct bytes name)
{
    return name.size == 0 || bytes_equal(name, BYTES("time")) ||
           bytes_equal(name, BYTES("measure_name")) ||
           bytes_starts_with(name, BYTES("measure_value")) ||
           bytes_starts_with(name, BYTES("ts_")) || bytes_find(name, ':') < name.size;
}

/* The string member of an object; false when there is none. */
static bool
read_text(const struct json *json, uint32_t object, const char *name, struct arena *arena,
          struct bytes *out)
{
    uint32_t node = json->nodes[object].kind == JSON_OBJECT
                            ? json_member(json, object, bytes_of_string(name))
                            : 0;
    if (node == 0 || json->nodes[node].kind != JSON_STRING) {
        return false;
    }
    *out = json_string(json, node, arena);
    return true;
}

static bool
read_dimensions(const struct json *json, uint32_t list, struct arena *arena,
                struct series_action *out, struct bytes *reason)
{
    const struct json_node *nodes = json->nodes;
    if (nodes[list].kind != JSON_ARRAY || nodes[list].count > DIMENSIONS_MAX) {
        *reason = BYTES("'dimensions' is not a list of at most 128");
        return false;
    }
    struct series_dimension *dimensions =
            arena_new_array(arena, struct series_dimension, nodes[list].count + 1);
    for (uint32_t at = list + 1; at < nodes[list].next; at = nodes[at].next) {
        struct series_dimension *dimension = &dimensions[out->dimension_count];
        if (!read_text(json, at, "name", arena, &dimension->name) ||
            !read_text(json, at, "value", arena, &dimension->value)) {
            *reason = BYTES("a dimension has no name or value");
            return false;
        }
        if (series_action_is_reserved(dimension->name)) {
            *reason = arena_printf(arena, "'%.*s' cannot be the name of a dimension",
                                   BYTES_ARG(dimension->name));
            return false;
        }
        for (size_t i = 0; i < out->dimension_count; i++) {
            if (bytes_equal(dimensions[i].name, dimension->name)) {
                *reason = arena_printf(arena, "the dimension '%.*s' is given twice",
                                       BYTES_ARG(dimension->name));
                return false;
            }
        }
        out->dimension_count++;
    }
    out->dimensions = dimensions;
    return true;
}

static bool
read_timestamp(const struct json *json, uint32_t node, struct arena *arena,
               struct series_action *out, struct bytes *reason)
{
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = {{"SECONDS", 1000000000}, {"MILLISECONDS", 1000000}, {"MICROSECONDS", 1000},
                 {"NANOSECONDS", 1}};
    struct bytes value = BYTES(""), unit = BYTES("MILLISECONDS");
    int64_t number;
    bool is_read = read_text(json, node, "value", arena, &value);
    (void)read_text(json, node, "unit", arena, &unit);
    out->time_text = arena_printf(arena, "%.*s %.*s", BYTES_ARG(value), BYTES_ARG(unit));
    for (size_t i = 0; is_read && i < sizeof units / sizeof *units; i++) {
        if (bytes_equal_string(unit, units[i].name) && bytes_to_int64(value, &number) &&
            !__builtin_mul_overflow(number, units[i].ns, &out->time_ns)) {
            out->has_time = true;
            return true;
        }
    }
    *reason = arena_printf(arena, "the timestamp '%.*s' is not a whole number of a unit",
                           BYTES_ARG(out->time_text));
    return false;
}

bool
series_action_read(struct bytes params, struct arena *arena, struct series_action *out,
                   struct bytes *reason)
{
    *out = (struct series_action){.is_given = params.size > 0};
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
    uint32_t dimensions = json_member(&json, 0, BYTES("dimensions"));
    uint32_t timestamp = json_member(&json, 0, BYTES("timestamp"));
    return (dimensions == 0 || read_dimensions(&json, dimensions, arena, out, reason)) &&
           (timestamp == 0 || read_timestamp(&json, timestamp, arena, out, reason));
}
