/*
 * Options and columns are compiled once into a list of named members with their parts; a row then
 * walks its JSON members and looks each up in that list. Lists are short, so a linear search with
 * a comparison of sizes first is quicker than a hash.
 *
 * Every refusal names the member, what it holds and what was expected: the sentence travels with
 * the dead letter. Refusals depend on the record alone, never on the table or the clock, so that a
 * record that is delivered again gets the same answer.
 */
#include "series_map.h"

#include "base/calendar.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/wall.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum {
    DIMENSIONS_MAX = 128, /* Timestream's limits */
    MEASURES_MAX = 256,
    SHOWN_MAX = 60, /* bytes of a bad value in a reason */
};

#define FUTURE_MAX_US (INT64_C(15) * 60 * 1000000)

struct member {
    struct bytes name;
    bool is_dimension;
    bool is_measure;
    bool is_typed; /* a measure with a declared type */
    enum column_type type;
};

struct series_map {
    struct arena arena;
    struct member *members;
    size_t count;
    bool time_named; /* by option or column: else the member is optional 'time' */
    struct bytes time;
    struct bytes version; /* empty: none */
    bool others_ignored;
    bool others_measures;  /* else by their JSON form */
    bool numbers_ignored;  /* of the others only strings count: 'measures' was given */
    enum series_time_unit time_unit;
    enum series_numbers numbers;
    int64_t life_ms;
};

/* ---- compiling ---- */

static struct member *
find_member(const struct series_map *map, struct bytes name)
{
    for (size_t i = 0; i < map->count; i++) {
        if (bytes_equal(map->members[i].name, name)) {
            return &map->members[i];
        }
    }
    return NULL;
}

static struct member *
need_member(struct series_map *map, struct bytes name)
{
    struct member *found = find_member(map, name);
    if (found == NULL) {
        found = &map->members[map->count++];
        found->name = arena_copy(&map->arena, name);
    }
    return found;
}

static size_t
count_names(const char *list)
{
    size_t count = list != NULL;
    for (; list != NULL && *list != '\0'; list++) {
        count += *list == ',';
    }
    return count;
}

static bool
is_reserved(struct bytes name)
{
    return bytes_equal(name, BYTES("time")) || bytes_equal(name, BYTES("measure_name"))
           || bytes_starts_with(name, BYTES("measure_value"));
}

/* Marks the names of a comma-separated list. */
static bool
mark_list(struct series_map *map, const char *list, bool dimensions, struct diag_list *diags)
{
    struct bytes rest = bytes_of_string(list);
    struct bytes part;
    while (rest.data != NULL && bytes_split(&rest, ',', &part)) {
        struct bytes name = bytes_trim(part);
        if (name.size == 0 || (dimensions && is_reserved(name))) {
            diag_error(diags, DIAG_INVALID, "'%s' = '%s' holds %s name",
                       dimensions ? "dimensions" : "measures", list,
                       name.size == 0 ? "an empty" : "a reserved");
            return false;
        }
        struct member *member = need_member(map, name);
        member->is_dimension = member->is_dimension || dimensions;
        member->is_measure = member->is_measure || !dimensions;
    }
    return true;
}

static bool
mark_column(struct series_map *map, const struct declared_column *column,
            const struct series_map_options *options, struct diag_list *diags)
{
    if (column->type == COLUMN_TIMESTAMP && options->time == NULL) {
        if (map->time_named) {
            diag_error(diags, DIAG_INVALID,
                       "'%.*s' and '%.*s' are both TIMESTAMP: name the time with 'time' = '...'",
                       BYTES_ARG(map->time), BYTES_ARG(column->name));
            return false;
        }
        map->time = arena_copy(&map->arena, column->name);
        map->time_named = true;
        return true;
    }
    struct member *member = need_member(map, column->name);
    bool listed = member->is_dimension || member->is_measure;
    member->is_typed = true;
    member->type = column->type;
    if (!listed) {
        member->is_dimension = column->type == COLUMN_VARCHAR;
        member->is_measure = column->type != COLUMN_VARCHAR;
    }
    if (member->is_dimension && is_reserved(column->name)) {
        diag_error(diags, DIAG_INVALID, "column name '%.*s' is reserved", BYTES_ARG(column->name));
        return false;
    }
    return true;
}

bool
series_map_new(struct series_map **out, const struct series_map_options *options,
               const struct driver_declaration *declaration, struct diag_list *diags)
{
    struct series_map *map = mem_new(struct series_map);
    size_t columns = declaration == NULL ? 0 : declaration->column_count;
    size_t names = count_names(options->dimensions) + count_names(options->measures) + columns;
    map->members = arena_new_array(&map->arena, struct member, names + 1);
    map->time_unit = options->time_unit;
    map->numbers = options->numbers;
    map->life_ms = options->life_ms;
    map->time = BYTES("time");
    if (options->time != NULL) {
        map->time = arena_copy(&map->arena, bytes_of_string(options->time));
        map->time_named = true;
    }
    if (options->version != NULL) {
        map->version = arena_copy(&map->arena, bytes_of_string(options->version));
    }
    bool good = mark_list(map, options->dimensions, true, diags)
                && mark_list(map, options->measures, false, diags);
    for (size_t i = 0; i < columns && good; i++) {
        good = mark_column(map, &declaration->columns[i], options, diags);
    }
    map->others_ignored = columns > 0 || (options->dimensions != NULL && options->measures != NULL);
    map->others_measures = options->dimensions != NULL;
    map->numbers_ignored = options->measures != NULL;
    if (!good) {
        series_map_free(map);
        return false;
    }
    *out = map;
    return true;
}

void
series_map_free(struct series_map *map)
{
    if (map != NULL) {
        arena_fini(&map->arena);
        free(map);
    }
}

bool
series_map_dimension(const struct series_map *map, size_t i, struct bytes *name)
{
    for (size_t at = 0; at < map->count; at++) {
        if (map->members[at].is_dimension && i-- == 0) {
            *name = map->members[at].name;
            return true;
        }
    }
    return false;
}

/* ---- one row ---- */

struct mapping {
    const struct series_map *map;
    const struct json *json;
    struct arena *arena;
    int64_t arrival_us;
    int64_t now_us; /* as in series_input */
    struct series_action action;
    struct series_dimension *dimensions;
    size_t dimension_count;
    struct series_measure *measures;
    size_t measure_count;
    int64_t time_ns;
    int64_t version;
    struct bytes reason;
};

static bool
refuse(struct mapping *mapping, struct bytes reason)
{
    mapping->reason = reason;
    return false;
}

/* The value as written, cut for a message. */
static struct bytes
shown(const struct mapping *mapping, uint32_t node)
{
    return bytes_slice(json_raw(mapping->json, node), 0, SHOWN_MAX);
}

static bool
refuse_value(struct mapping *mapping, struct bytes name, uint32_t node, const char *expected)
{
    return refuse(mapping, arena_printf(mapping->arena, "member '%.*s' holds %.*s, expected %s",
                                        BYTES_ARG(name), BYTES_ARG(shown(mapping, node)),
                                        expected));
}

/* Strings without quotes, everything else as written. */
static struct bytes
text_of(struct mapping *mapping, uint32_t node)
{
    return mapping->json->nodes[node].kind == JSON_STRING
                   ? json_string(mapping->json, node, mapping->arena)
                   : json_raw(mapping->json, node);
}

/* Splits "12.5e3" into its digits "12", "5" and the exponent 3. */
static bool
split_decimal(struct bytes text, struct bytes *whole, struct bytes *fraction, int64_t *exponent)
{
    size_t mantissa_end = bytes_find(text, 'e');
    if (mantissa_end == text.size) {
        mantissa_end = bytes_find(text, 'E');
    }
    struct bytes mantissa = bytes_slice(text, 0, mantissa_end);
    size_t point = bytes_find(mantissa, '.');
    *whole = bytes_slice(mantissa, 0, point);
    *fraction = bytes_slice(mantissa, point + 1, mantissa.size);
    *exponent = 0;
    if (mantissa_end == text.size) {
        return whole->size > 0;
    }
    struct bytes digits = bytes_slice(text, mantissa_end + 1, text.size);
    if (bytes_starts_with(digits, BYTES("+"))) {
        digits = bytes_slice(digits, 1, digits.size);
    }
    return whole->size > 0 && bytes_to_int64(digits, exponent) && *exponent > -400
           && *exponent < 400;
}

/*
 * A decimal number whose unit is 10^`scale` nanoseconds, exactly: "1635240020.9" with scale 9
 * (seconds) is 1635240020900000000. Digits below a nanosecond are cut off.
 */
static bool
decimal_to_ns(struct bytes text, int scale, int64_t *out)
{
    bool negative = bytes_starts_with(text, BYTES("-"));
    struct bytes whole;
    struct bytes fraction;
    int64_t exponent = 0;
    if (!split_decimal(bytes_slice(text, negative, text.size), &whole, &fraction, &exponent)) {
        return false;
    }
    int64_t wanted = (int64_t)whole.size + scale + exponent; /* digits that are nanoseconds */
    int64_t value = 0;
    int64_t at = 0;
    for (; at < (int64_t)(whole.size + fraction.size); at++) {
        size_t i = (size_t)at;
        char c = i < whole.size ? whole.data[i] : fraction.data[i - whole.size];
        if (c < '0' || c > '9') {
            return false;
        }
        if (at < wanted
            && (__builtin_mul_overflow(value, 10, &value)
                || __builtin_add_overflow(value, c - '0', &value))) {
            return false;
        }
    }
    for (; at < wanted; at++) {
        if (__builtin_mul_overflow(value, 10, &value)) {
            return false;
        }
    }
    *out = negative ? -value : value;
    return true;
}

static bool
is_future(const struct mapping *mapping)
{
    int64_t latest_us = mapping->arrival_us > mapping->now_us ? mapping->arrival_us
                                                              : mapping->now_us;
    return mapping->now_us != 0 && wall_is_set(mapping->arrival_us) &&
           mapping->time_ns / CALENDAR_NS_PER_US > latest_us + FUTURE_MAX_US;
}

static bool
is_too_old(const struct mapping *mapping)
{
    int64_t earliest_us = mapping->arrival_us < mapping->now_us ? mapping->arrival_us
                                                                : mapping->now_us;
    return mapping->now_us != 0 && wall_is_set(mapping->arrival_us) &&
           mapping->time_ns / CALENDAR_NS_PER_US < earliest_us - mapping->map->life_ms * 1000;
}

static bool
take_time(struct mapping *mapping, struct bytes name, uint32_t node)
{
    static const int scales[] = {
            [SERIES_UNIT_S] = 9, [SERIES_UNIT_MS] = 6, [SERIES_UNIT_US] = 3, [SERIES_UNIT_NS] = 0};
    static const char *const units[] = {"s", "ms", "us", "ns"};
    enum json_kind kind = mapping->json->nodes[node].kind;
    int scale = scales[mapping->map->time_unit];
    bool read = false;
    if (kind == JSON_NUMBER || kind == JSON_STRING) {
        struct bytes text = text_of(mapping, node);
        read = (kind == JSON_STRING && calendar_parse(text, &mapping->time_ns))
               || decimal_to_ns(text, scale, &mapping->time_ns);
    }
    if (!read) {
        return refuse_value(mapping, name, node,
                            "a time: an epoch number or an ISO 8601 text like "
                            "\"2024-01-01T12:00:00Z\"");
    }
    if (is_future(mapping)) {
        return refuse(mapping,
                      arena_printf(mapping->arena,
                                   "member '%.*s' holds %.*s, more than 15 minutes after the "
                                   "arrival: is 'time_unit' = '%s' right?",
                                   BYTES_ARG(name), BYTES_ARG(shown(mapping, node)),
                                   units[mapping->map->time_unit]));
    }
    if (is_too_old(mapping)) {
        return refuse(mapping,
                      arena_printf(mapping->arena,
                                   "member '%.*s' holds %.*s, older than 'magnetic.retention'",
                                   BYTES_ARG(name), BYTES_ARG(shown(mapping, node))));
    }
    return true;
}

/* The time that the action gives. */
static bool
take_action_time(struct mapping *mapping)
{
    const struct series_action *action = &mapping->action;
    if (!action->has_time) {
        return true;
    }
    mapping->time_ns = action->time_ns;
    if (is_future(mapping)) {
        return refuse(mapping, arena_printf(mapping->arena,
                                            "the timestamp '%.*s' is more than 15 minutes after "
                                            "the arrival: is the unit right?",
                                            BYTES_ARG(action->time_text)));
    }
    if (is_too_old(mapping)) {
        return refuse(mapping, arena_printf(mapping->arena,
                                            "the timestamp '%.*s' is older than "
                                            "'magnetic.retention'",
                                            BYTES_ARG(action->time_text)));
    }
    return true;
}

static bool
take_version(struct mapping *mapping, struct bytes name, uint32_t node)
{
    if (mapping->json->nodes[node].kind != JSON_NUMBER
        || !json_int64(mapping->json, node, &mapping->version) || mapping->version < 1) {
        return refuse_value(mapping, name, node, "a whole number from 1");
    }
    return true;
}

static bool
take_dimension(struct mapping *mapping, struct bytes name, uint32_t node)
{
    if (is_reserved(name)) {
        return refuse(mapping, arena_printf(mapping->arena,
                                            "member '%.*s' would be a dimension, but the name is "
                                            "reserved",
                                            BYTES_ARG(name)));
    }
    struct series_dimension dimension = {name, text_of(mapping, node)};
    for (size_t i = 0; i < mapping->dimension_count; i++) {
        if (bytes_equal(mapping->dimensions[i].name, name)) {
            mapping->dimensions[i] = dimension;
            return true;
        }
    }
    if (mapping->dimension_count >= DIMENSIONS_MAX) {
        return refuse(mapping, arena_printf(mapping->arena, "more than %d dimensions",
                                            DIMENSIONS_MAX));
    }
    mapping->dimensions[mapping->dimension_count++] = dimension;
    return true;
}

static bool
take_double(struct mapping *mapping, struct bytes name, uint32_t node, struct series_value *out)
{
    double value = json_double(mapping->json, node);
    if (isinf(value)) {
        return refuse_value(mapping, name, node, "a number that a DOUBLE can hold");
    }
    *out = (struct series_value){.kind = SERIES_DOUBLE, .real = value};
    return true;
}

static bool
take_number(struct mapping *mapping, struct bytes name, uint32_t node, struct series_value *out)
{
    bool whole = (mapping->json->nodes[node].flags & JSON_INTEGER) != 0;
    if (!whole || mapping->map->numbers == SERIES_NUMBERS_DOUBLE) {
        return take_double(mapping, name, node, out);
    }
    *out = (struct series_value){.kind = SERIES_BIGINT};
    if (!json_int64(mapping->json, node, &out->integer)) {
        return refuse_value(mapping, name, node,
                            "a whole number of at most 64 bits; 'numbers' = 'double' would round "
                            "it");
    }
    return true;
}

static bool
take_typed(struct mapping *mapping, const struct member *member, uint32_t node,
           struct series_value *out)
{
    enum json_kind kind = mapping->json->nodes[node].kind;
    switch (member->type) {
    case COLUMN_DOUBLE:
        return kind == JSON_NUMBER ? take_double(mapping, member->name, node, out)
                                   : refuse_value(mapping, member->name, node, "a DOUBLE");
    case COLUMN_BIGINT:
        *out = (struct series_value){.kind = SERIES_BIGINT};
        return (kind == JSON_NUMBER && json_int64(mapping->json, node, &out->integer))
               || refuse_value(mapping, member->name, node, "a BIGINT");
    case COLUMN_BOOLEAN:
        *out = (struct series_value){.kind = SERIES_BOOLEAN, .integer = kind == JSON_TRUE};
        return kind == JSON_TRUE || kind == JSON_FALSE
               || refuse_value(mapping, member->name, node, "a BOOLEAN");
    case COLUMN_VARCHAR:
    case COLUMN_TIMESTAMP:
        *out = (struct series_value){.kind = SERIES_VARCHAR, .text = text_of(mapping, node)};
        return true;
    }
    never("not a type");
}

static bool
take_untyped(struct mapping *mapping, struct bytes name, uint32_t node, struct series_value *out)
{
    switch ((enum json_kind)mapping->json->nodes[node].kind) {
    case JSON_NUMBER:
        return take_number(mapping, name, node, out);
    case JSON_TRUE:
    case JSON_FALSE:
        *out = (struct series_value){
                .kind = SERIES_BOOLEAN,
                .integer = mapping->json->nodes[node].kind == JSON_TRUE,
        };
        return true;
    case JSON_STRING:
    case JSON_ARRAY:
    case JSON_OBJECT:
        *out = (struct series_value){.kind = SERIES_VARCHAR, .text = text_of(mapping, node)};
        return true;
    case JSON_NULL:
        break;
    }
    never("null is left out before");
}

static bool
take_measure(struct mapping *mapping, const struct member *member, struct bytes name,
             uint32_t node)
{
    struct series_measure measure = {.name = name};
    bool typed = member != NULL && member->is_typed;
    if (typed ? !take_typed(mapping, member, node, &measure.value)
              : !take_untyped(mapping, name, node, &measure.value)) {
        return false;
    }
    for (size_t i = 0; i < mapping->measure_count; i++) {
        if (bytes_equal(mapping->measures[i].name, name)) {
            mapping->measures[i] = measure;
            return true;
        }
    }
    if (mapping->measure_count >= MEASURES_MAX) {
        return refuse(mapping, arena_printf(mapping->arena, "more than %d measures",
                                            MEASURES_MAX));
    }
    mapping->measures[mapping->measure_count++] = measure;
    return true;
}

static bool
take_member(struct mapping *mapping, uint32_t key, uint32_t node)
{
    const struct series_map *map = mapping->map;
    struct bytes name = json_string(mapping->json, key, mapping->arena);
    enum json_kind kind = mapping->json->nodes[node].kind;
    if (kind == JSON_NULL) {
        return true;
    }
    if (mapping->action.is_given) {
        return series_action_is_reserved(name)
                       ? refuse(mapping, arena_printf(mapping->arena,
                                                      "'%.*s' cannot be the name of a measure",
                                                      BYTES_ARG(name)))
                       : take_measure(mapping, find_member(map, name), name, node);
    }
    if (bytes_equal(name, map->time)) {
        return take_time(mapping, name, node);
    }
    if (map->version.size > 0 && bytes_equal(name, map->version)) {
        return take_version(mapping, name, node);
    }
    const struct member *member = find_member(map, name);
    if (member != NULL) {
        return (!member->is_dimension || take_dimension(mapping, name, node))
               && (!member->is_measure || take_measure(mapping, member, name, node));
    }
    if (map->others_ignored || (map->numbers_ignored && kind != JSON_STRING)) {
        return true;
    }
    if (kind == JSON_STRING && !map->others_measures) {
        return take_dimension(mapping, name, node);
    }
    return take_measure(mapping, NULL, name, node);
}

/* Maps one object; false with a reason. */
static bool
map_row(struct mapping *mapping, uint32_t object, struct series_row *out)
{
    const struct json_node *nodes = mapping->json->nodes;
    if (nodes[object].kind != JSON_OBJECT) {
        return refuse(mapping, arena_printf(mapping->arena, "the row is %.*s, not a JSON object",
                                            BYTES_ARG(shown(mapping, object))));
    }
    size_t members = nodes[object].count;
    mapping->dimensions = arena_new_array(mapping->arena, struct series_dimension, members + 1);
    mapping->measures = arena_new_array(mapping->arena, struct series_measure, members + 1);
    mapping->dimension_count = 0;
    mapping->measure_count = 0;
    mapping->time_ns = mapping->arrival_us * CALENDAR_NS_PER_US;
    mapping->version = 1;
    if (!take_action_time(mapping)) {
        return false;
    }
    for (uint32_t key = object + 1; key < nodes[object].next; key = nodes[key + 1].next) {
        if (!take_member(mapping, key, key + 1)) {
            return false;
        }
    }
    if (mapping->measure_count == 0) {
        return refuse(mapping, BYTES("no member holds a measure"));
    }
    bool is_action = mapping->action.is_given;
    *out = (struct series_row){
            .dimensions = is_action ? mapping->action.dimensions : mapping->dimensions,
            .dimension_count = is_action ? mapping->action.dimension_count
                                         : mapping->dimension_count,
            .time_ns = mapping->time_ns,
            .version = mapping->version,
            .measures = mapping->measures,
            .measure_count = mapping->measure_count,
    };
    return true;
}

static void
map_array(struct mapping *mapping, struct series_row *rows, struct series_mapped *out)
{
    const struct json_node *nodes = mapping->json->nodes;
    size_t number = 1;
    for (uint32_t at = 1; at < nodes[0].next; at = nodes[at].next, number++) {
        if (map_row(mapping, at, &rows[out->count])) {
            out->count++;
        } else if (out->reason.size == 0) {
            out->reason = arena_printf(mapping->arena, "row %zu: %.*s", number,
                                       BYTES_ARG(mapping->reason));
        }
    }
}

void
series_map_payload(const struct series_map *map, const struct series_input *input,
                   struct arena *arena, struct series_mapped *out)
{
    struct json json = {0};
    struct json_error error = {0};
    *out = (struct series_mapped){0};
    if (!json_parse(&json, input->payload, JSON_DEPTH_MAX_DEFAULT, arena, &error)) {
        out->reason = arena_printf(arena, "the payload is not JSON: %s at byte %zu", error.message,
                                   error.offset);
        return;
    }
    struct mapping mapping = {
            .map = map, .json = &json, .arena = arena,
            .arrival_us = input->arrival_us, .now_us = input->now_us};
    if (!series_action_read(input->params, arena, &mapping.action, &out->reason)) {
        return;
    }
    bool is_array = json.nodes[0].kind == JSON_ARRAY;
    struct series_row *rows =
            arena_new_array(arena, struct series_row, is_array ? json.nodes[0].count + 1 : 1);
    out->rows = rows;
    if (is_array) {
        map_array(&mapping, rows, out);
    } else if (map_row(&mapping, 0, rows)) {
        out->count = 1;
    } else {
        out->reason = mapping.reason;
    }
}
