/*
 * influxDB: the row's objects as points in line protocol.
 *
 *   table,tag=value,tag=value field=1.5,field=7i,field="text",field=t 1700000000000
 *
 * Source: AWS IoT developer guide, "InfluxDB"; InfluxDB, "Line protocol". Tags are those of the
 * action, sorted, without those that came out empty; @{name} takes a member of the object, which is
 * then no field. All other members but "timestamp" are fields: whole numbers end in i (or u, above
 * 2^63), arrays and objects are JSON in a string, null is left out. A row is an object or an array
 * of them, and one point that cannot be written refuses them all.
 */
#include "action.h"

#include <stdlib.h>

enum { COLUMNS_MAX = 250, MEMBERS_MAX = 1000, POINT_DEPTH_MAX = 1000 };

struct tag {
    struct bytes name;
    struct bytes value;
};

/* One object on its way to a line. */
struct point {
    struct action_emission *emission;
    struct arena *arena;
    const struct json *json;
    uint32_t node;
    struct buf *out;
    const struct tag *tags;
    uint32_t tag_count;
};

/* ---- @{name} ---- */

/* The text of a member: of null, and when there is none, empty. */
static struct bytes
member_text(const struct point *point, struct bytes name)
{
    uint32_t node = json_member(point->json, point->node, name);
    struct bytes text = BYTES("");
    if (node != 0) {
        struct value value = value_of_node(point->json, node);
        if (!value_to_string(&value, &text, point->arena)) {
            text = BYTES("");
        }
    }
    return text;
}

static struct bytes
text_of(const struct point *point, const struct action_value *value)
{
    if (value->field.size == 0) {
        return action_text(value, point->emission->run);
    }
    struct bytes text = member_text(point, value->field);
    if (text.size == 0 || value->before.size + value->after.size == 0) {
        return text;
    }
    struct buf whole = {.arena = point->arena};
    buf_append(&whole, value->before);
    buf_append(&whole, text);
    buf_append(&whole, value->after);
    return buf_bytes(&whole);
}

static bool
is_taken(const struct point *point, struct bytes name)
{
    const struct action_value *table = action_value(point->emission,
                                                    PARAMETER_OF(influxDB, tableName));
    const struct action_value *tags = action_value(point->emission, PARAMETER_OF(influxDB, tags));
    if (bytes_equal(name, BYTES("timestamp")) ||
        (table->field.size > 0 && bytes_equal(name, table->field))) {
        return true;
    }
    for (uint32_t i = 0; i < tags->count; i++) {
        if (tags->items[i].field.size > 0 && bytes_equal(name, tags->items[i].field)) {
            return true;
        }
    }
    return false;
}

/* ---- writing ---- */

static void
write_escaped(struct buf *out, struct bytes text, const char *special)
{
    for (size_t i = 0; i < text.size; i++) {
        if (strchr(special, text.data[i]) != NULL) {
            buf_append_char(out, '\\');
        }
        buf_append_char(out, text.data[i]);
    }
}

static bool
refuse(const struct point *point, const char *what, struct bytes name, const char *why)
{
    action_fail(point->emission, "%s '%.*s' %s", what, BYTES_ARG(bytes_slice(name, 0, 100)), why);
    return false;
}

static bool
is_one_line(struct bytes text)
{
    return bytes_find(text, '\n') == text.size && bytes_find(text, '\r') == text.size &&
           bytes_find(text, '\0') == text.size;
}

/* Names are not empty, not InfluxDB's own, and on one line. */
static bool
check_name(const struct point *point, const char *what, struct bytes name)
{
    if (name.size == 0) {
        return refuse(point, what, name, "is empty");
    }
    if (name.data[0] == '_') {
        return refuse(point, what, name, "begins with '_'");
    }
    return is_one_line(name) || refuse(point, what, name, "holds a line end");
}

static bool
write_number(const struct point *point, struct bytes name, uint32_t node)
{
    struct bytes text = json_raw(point->json, node);
    struct bytes digits = text.data[0] == '-' ? bytes_slice(text, 1, text.size) : text;
    int64_t whole;
    buf_append(point->out, text);
    if (!(point->json->nodes[node].flags & JSON_INTEGER)) {
        return true;
    }
    if (bytes_to_int64(text, &whole)) {
        buf_append_char(point->out, 'i');
        return true;
    }
    struct bytes max = BYTES("18446744073709551615"); /* 2^64 - 1 */
    bool fits = digits.size == text.size &&
                (digits.size < max.size ||
                 (digits.size == max.size && bytes_compare(digits, max) <= 0));
    buf_append_char(point->out, 'u');
    return fits || refuse(point, "field", name, "does not fit 64 bits");
}

static void
write_string(const struct point *point, struct bytes text)
{
    buf_append_char(point->out, '"');
    write_escaped(point->out, text, "\"\\");
    buf_append_char(point->out, '"');
}

static bool
write_field(const struct point *point, struct bytes name, uint32_t node, bool first)
{
    if (!check_name(point, "field", name)) {
        return false;
    }
    struct value value = value_of_node(point->json, node);
    struct bytes text;
    buf_append_char(point->out, first ? ' ' : ',');
    write_escaped(point->out, name, ",= ");
    buf_append_char(point->out, '=');
    switch ((enum json_kind)point->json->nodes[node].kind) {
    case JSON_TRUE:
    case JSON_FALSE:
        buf_append_char(point->out, point->json->nodes[node].kind == JSON_TRUE ? 't' : 'f');
        return true;
    case JSON_NUMBER:
        return write_number(point, name, node);
    default:
        if (!value_to_string(&value, &text, point->arena)) {
            return refuse(point, "field", name, "cannot be written as a text");
        }
        write_string(point, text);
        return true;
    }
}

static int
compare_tags(const void *a, const void *b)
{
    return bytes_compare(((const struct tag *)a)->name, ((const struct tag *)b)->name);
}

/* The action's tags, sorted; those that are empty are left out. */
static bool
fill_tags(struct point *point)
{
    const struct action_value *given = action_value(point->emission, PARAMETER_OF(influxDB, tags));
    struct tag *tags = arena_new_array(point->arena, struct tag, given->count + 1);
    point->tags = tags;
    point->tag_count = 0;
    for (uint32_t i = 0; i < given->count; i++) {
        struct tag tag = {given->items[i].name, text_of(point, &given->items[i])};
        if (tag.value.size == 0) {
            continue;
        }
        if (!check_name(point, "tag", tag.name)) {
            return false;
        }
        if (!is_one_line(tag.value) || !bytes_is_utf8(tag.value)) {
            return refuse(point, "tag", tag.name, "has a value that is not one line of text");
        }
        tags[point->tag_count++] = tag;
    }
    qsort(tags, point->tag_count, sizeof *tags, compare_tags);
    return true;
}

static bool
write_head(struct point *point)
{
    struct bytes table = text_of(point, action_value(point->emission,
                                                     PARAMETER_OF(influxDB, tableName)));
    if (!check_name(point, "table", table) || !fill_tags(point)) {
        return false;
    }
    if (!bytes_is_utf8(table)) {
        return refuse(point, "table", BYTES(""), "is not UTF-8");
    }
    write_escaped(point->out, table, ", ");
    for (uint32_t i = 0; i < point->tag_count; i++) {
        buf_append_char(point->out, ',');
        write_escaped(point->out, point->tags[i].name, ",= ");
        buf_append_char(point->out, '=');
        write_escaped(point->out, point->tags[i].value, ",= ");
    }
    return true;
}

static bool
write_fields(const struct point *point)
{
    const struct json *json = point->json;
    uint32_t columns = point->tag_count, fields = 0;
    for (uint32_t name = point->node + 1; name < json->nodes[point->node].next;
         name = json->nodes[name + 1].next) {
        struct bytes text = json_string(json, name, point->arena);
        bool is_last = json_member(json, point->node, text) == name + 1;
        if (!is_last || json->nodes[name + 1].kind == JSON_NULL || is_taken(point, text)) {
            continue;
        }
        if (!write_field(point, text, name + 1, fields == 0)) {
            return false;
        }
        fields++;
    }
    if (fields == 0) {
        action_fail(point->emission, "a point has no field");
    } else if (columns + fields > COLUMNS_MAX) {
        action_fail(point->emission, "a point has %u columns, and AWS takes at most %d",
                    columns + fields, COLUMNS_MAX);
    }
    return fields > 0 && columns + fields <= COLUMNS_MAX;
}

/* The payload of an error action has no time of its own: it gets the message's. */
static bool
write_generated_time(const struct point *point)
{
    static const struct {
        const char *unit;
        int64_t divisor, factor;
    } units[] = {{"s", 1000000, 1}, {"ms", 1000, 1}, {"us", 1, 1}, {"ns", 1, 1000}};
    struct bytes unit = action_value(point->emission, PARAMETER_OF(influxDB, timestampUnit))->text;
    size_t found = 1;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        found = bytes_equal_string(unit, units[i].unit) ? i : found;
    }
    int64_t time_us = point->emission->run->message->time_us;
    buf_append_int64(point->out, time_us / units[found].divisor * units[found].factor);
    return true;
}

static bool
write_time(const struct point *point)
{
    uint32_t node = json_member(point->json, point->node, BYTES("timestamp"));
    bool is_given = node != 0 && (point->json->nodes[node].flags & JSON_INTEGER) &&
                    point->json->nodes[node].kind == JSON_NUMBER;
    buf_append_char(point->out, ' ');
    if (is_given) {
        buf_append(point->out, json_raw(point->json, node));
        return true;
    }
    if (node == 0 && point->emission->action->is_error_action) {
        return write_generated_time(point);
    }
    action_fail(point->emission, node == 0 ? "a point has no 'timestamp'"
                                           : "'timestamp' is not a whole number");
    return false;
}

static bool
write_point(struct point *point)
{
    if (point->json->nodes[point->node].kind != JSON_OBJECT) {
        action_fail(point->emission, "an element of the row is not an object");
        return false;
    }
    if (point->json->nodes[point->node].count > MEMBERS_MAX) {
        action_fail(point->emission, "a point has more than %d members", MEMBERS_MAX);
        return false;
    }
    return write_head(point) && write_fields(point) && write_time(point);
}

void
action_encode_influx(struct action_emission *emission)
{
    struct json json;
    struct json_error error;
    struct buf lines = {.arena = emission->run->arena};
    if (!json_parse(&json, emission->row->payload, POINT_DEPTH_MAX, emission->run->arena,
                    &error)) {
        action_fail(emission, "the row is not JSON: %s", error.message);
        return;
    }
    bool is_array = json.nodes[0].kind == JSON_ARRAY;
    for (uint32_t node = is_array ? 1 : 0; node < json.nodes[0].next;
         node = json.nodes[node].next) {
        struct point point = {.emission = emission,
                              .arena = emission->run->arena,
                              .json = &json,
                              .node = node,
                              .out = &lines};
        if (lines.size > 0) {
            buf_append_char(&lines, '\n');
        }
        if (!write_point(&point)) {
            return;
        }
    }
    if (lines.size == 0) {
        action_fail(emission, "the row has no point");
        return;
    }
    action_emit(emission, buf_bytes(&lines), false);
}
