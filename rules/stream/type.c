/* Types and values: names, reading and writing JSON, casts, order. */
#include "type.h"

#include "base/calendar.h"
#include "base/zone.h"

#include <math.h>
#include <stdio.h>

static const struct {
    const char *name;
    enum stream_kind kind;
    uint8_t width;
} names[] = {
        {"BOOLEAN", STREAM_BOOLEAN, 0}, {"TINYINT", STREAM_INTEGER, 8},
        {"SMALLINT", STREAM_INTEGER, 16}, {"INT", STREAM_INTEGER, 32},
        {"INTEGER", STREAM_INTEGER, 32}, {"BIGINT", STREAM_INTEGER, 64},
        {"DOUBLE", STREAM_DOUBLE, 0}, {"FLOAT", STREAM_DOUBLE, 0}, {"REAL", STREAM_DOUBLE, 0},
        {"DECIMAL", STREAM_DECIMAL, 0}, {"DEC", STREAM_DECIMAL, 0}, {"NUMERIC", STREAM_DECIMAL, 0},
        {"STRING", STREAM_STRING, 0}, {"VARCHAR", STREAM_STRING, 0}, {"CHAR", STREAM_STRING, 0},
        {"TIMESTAMP", STREAM_TIMESTAMP, 0}, {"TIMESTAMP_LTZ", STREAM_TIMESTAMP_LTZ, 0},
        {"DATE", STREAM_DATE, 0}, {"ARRAY", STREAM_JSON, 0}, {"ROW", STREAM_JSON, 0},
        {"MAP", STREAM_JSON, 0}, {"JSON", STREAM_JSON, 0},
};

/* "(10,2)" behind a name: two small numbers; absent ones stay as they are. */
static bool
parse_arguments(struct bytes text, int64_t *first, int64_t *second, struct bytes *rest)
{
    *rest = text;
    if (text.size == 0 || text.data[0] != '(') {
        return true;
    }
    size_t end = bytes_find(text, ')');
    struct bytes inside = bytes_slice(text, 1, end), part;
    *rest = bytes_slice(text, end + 1, text.size);
    return end < text.size && bytes_split(&inside, ',', &part) && bytes_to_int64(part, first) &&
           (!bytes_split(&inside, ',', &part) || bytes_to_int64(part, second));
}

bool
stream_type_parse(struct bytes text, struct stream_type *out)
{
    size_t end = 0;
    while (end < text.size && text.data[end] != '(' && text.data[end] != ' ' &&
           text.data[end] != '<') {
        end++;
    }
    struct bytes name = bytes_slice(text, 0, end), rest;
    bool local = bytes_ends_with(text, BYTES("WITHLOCALTIMEZONE"));
    if (bytes_starts_with(name, BYTES("TIMESTAMPWITH"))) {
        name = BYTES("TIMESTAMP"); /* without a precision the words stand together */
    }
    int64_t first = -1, second = 0;
    bool nested = end < text.size && text.data[end] == '<';
    if (!nested && !parse_arguments(bytes_slice(text, end, text.size), &first, &second, &rest)) {
        return false;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (bytes_equal_nocase(name, bytes_of_string(names[i].name))) {
            *out = stream_type_of(names[i].kind);
            out->width = names[i].width;
            if (out->kind == STREAM_DECIMAL) {
                out->precision = (uint8_t)(first < 1 ? 10 : first > 38 ? 38 : first);
                out->scale = (uint8_t)(second < 0 ? 0 : second > 38 ? 38 : second);
            } else if (stream_is_time(*out) && first >= 0 && first < 3) {
                out->precision = (uint8_t)first;
            }
            if (local) {
                out->kind = STREAM_TIMESTAMP_LTZ;
            }
            return true;
        }
    }
    return false;
}

/* The part of "x INT , y ROW < ... >" up to the next comma that is not inside of brackets. */
static struct bytes
next_part(struct bytes *rest)
{
    int depth = 0;
    size_t end = 0;
    while (end < rest->size && (depth > 0 || rest->data[end] != ',')) {
        char c = rest->data[end++];
        depth += (c == '<' || c == '(') - (c == '>' || c == ')');
    }
    struct bytes part = bytes_trim(bytes_slice(*rest, 0, end));
    *rest = bytes_slice(*rest, end + 1, rest->size);
    return part;
}

/* What stands between the brackets of ARRAY<...>; empty: nothing does. */
static struct bytes
inside_of(struct bytes type)
{
    size_t start = bytes_find(type, '<');
    return start < type.size && type.data[type.size - 1] == '>'
                   ? bytes_slice(type, start + 1, type.size - 1)
                   : BYTES("");
}

struct bytes
stream_type_of_field(struct bytes type, struct bytes name)
{
    struct bytes rest = inside_of(bytes_trim(type));
    if (!bytes_equal_nocase(bytes_slice(type, 0, 3), BYTES("ROW"))) {
        return BYTES("");
    }
    while (rest.size > 0) {
        struct bytes part = next_part(&rest);
        size_t blank = bytes_find(part, ' ');
        if (bytes_equal(bytes_slice(part, 0, blank), name)) {
            return bytes_trim(bytes_slice(part, blank, part.size));
        }
    }
    return BYTES("");
}

struct bytes
stream_type_of_element(struct bytes type)
{
    struct bytes rest = inside_of(bytes_trim(type));
    bool map = bytes_equal_nocase(bytes_slice(type, 0, 3), BYTES("MAP"));
    struct bytes part = next_part(&rest);
    return map ? next_part(&rest) : part;
}

void
stream_type_print(struct stream_type type, struct buf *out)
{
    static const char *const kinds[] = {
            [STREAM_NULLS] = "NULL", [STREAM_BOOLEAN] = "BOOLEAN", [STREAM_DOUBLE] = "DOUBLE",
            [STREAM_STRING] = "STRING", [STREAM_DATE] = "DATE", [STREAM_INTERVAL] = "INTERVAL",
            [STREAM_MONTHS] = "INTERVAL MONTH", [STREAM_JSON] = "ROW",
    };
    switch ((enum stream_kind)type.kind) {
    case STREAM_INTEGER:
        buf_append_string(out, type.width == 8    ? "TINYINT"
                               : type.width == 16 ? "SMALLINT"
                               : type.width == 32 ? "INT"
                                                  : "BIGINT");
        return;
    case STREAM_DECIMAL:
        buf_printf(out, "DECIMAL(%u, %u)", type.precision, type.scale);
        return;
    case STREAM_TIMESTAMP:
        buf_printf(out, "TIMESTAMP(%u)", type.precision);
        return;
    case STREAM_TIMESTAMP_LTZ:
        buf_printf(out, "TIMESTAMP_LTZ(%u)", type.precision);
        return;
    default:
        buf_append_string(out, kinds[type.kind]);
    }
}

bool
stream_fits(struct stream_type type, int64_t integer)
{
    if (type.width >= 64) {
        return true;
    }
    int64_t limit = INT64_C(1) << (type.width - 1);
    return integer >= -limit && integer < limit;
}

/* ---- times ---- */

/* Whether a text that is a time says its zone: Z, +02:00, -0530 behind the time of day. */
static bool
has_zone(struct bytes text)
{
    struct bytes time = bytes_slice(text, 10, text.size);
    return bytes_find(time, 'Z') < time.size || bytes_find(time, 'z') < time.size ||
           bytes_find(time, '+') < time.size || bytes_find(time, '-') < time.size;
}

int64_t
stream_floor_divide(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a % b < 0) != (b < 0));
}

int64_t
stream_local_ms(const struct zone *zone, int64_t ms)
{
    return zone == NULL ? ms : ms + zone_at(zone, stream_floor_divide(ms, 1000)).offset_s * 1000;
}

int64_t
stream_instant_ms(const struct zone *zone, int64_t local_ms)
{
    if (zone == NULL) {
        return local_ms;
    }
    int64_t second = stream_floor_divide(local_ms, 1000);
    return zone_utc_of_local(zone, second, NULL) * 1000 + (local_ms - second * 1000);
}

bool
stream_time_parse(struct bytes text, const struct zone *zone, int64_t *out_ms)
{
    int64_t ns;
    if (!calendar_parse(text, &ns)) {
        return false;
    }
    int64_t ms = stream_floor_divide(ns, CALENDAR_NS_PER_MS);
    *out_ms = has_zone(text) ? ms : stream_instant_ms(zone, ms);
    return true;
}

void
stream_time_print(int64_t ms, enum stream_time_format format, struct buf *out)
{
    int64_t day = stream_floor_divide(ms, 86400000), rest = ms - day * 86400000;
    unsigned fraction = (unsigned)(rest % 1000), digits = 3;
    calendar_print_date(day, out);
    buf_printf(out, "%c%02d:%02d:%02d", format == STREAM_TIME_ISO ? 'T' : ' ',
               (int)(rest / 3600000), (int)(rest / 60000 % 60), (int)(rest / 1000 % 60));
    if (fraction != 0) {
        while (fraction % 10 == 0) {
            fraction /= 10;
            digits--;
        }
        buf_printf(out, ".%0*u", (int)digits, fraction);
    }
}

/* ---- JSON ---- */

static void
write_text(struct buf *out, int64_t ms, bool instant, enum stream_time_format format)
{
    buf_append_char(out, '"');
    stream_time_print(ms, format, out);
    buf_append_string(out, instant ? "Z\"" : "\"");
}

void
stream_value_write(struct buf *out, struct stream_type type, const struct stream_value *value,
                   enum stream_time_format format)
{
    char digits[DECIMAL_TEXT_MAX];
    if (value->is_null) {
        buf_append_string(out, "null");
        return;
    }
    switch ((enum stream_kind)type.kind) {
    case STREAM_NULLS:
        buf_append_string(out, "null");
        return;
    case STREAM_BOOLEAN:
        buf_append_string(out, value->integer != 0 ? "true" : "false");
        return;
    case STREAM_INTEGER:
    case STREAM_INTERVAL:
    case STREAM_MONTHS:
        buf_append_int64(out, value->integer);
        return;
    case STREAM_DOUBLE:
        json_write_double(out, value->real);
        return;
    case STREAM_DECIMAL:
        buf_append(out, bytes_of(digits, decimal_print(&value->decimal, digits)));
        return;
    case STREAM_STRING:
        json_write_string(out, value->text);
        return;
    case STREAM_TIMESTAMP:
    case STREAM_TIMESTAMP_LTZ:
        write_text(out, value->integer, type.kind == STREAM_TIMESTAMP_LTZ, format);
        return;
    case STREAM_DATE:
        buf_append_char(out, '"');
        calendar_print_date(value->integer, out);
        buf_append_char(out, '"');
        return;
    case STREAM_JSON:
        buf_append(out, value->text);
        return;
    }
}

static bool
integer_of_decimal(const struct decimal *number, struct stream_type type, int64_t *out,
                   struct arena *arena)
{
    struct decimal whole = decimal_round(number, 0, DECIMAL_TRUNCATE, arena);
    return decimal_to_int64(&whole, out) && stream_fits(type, *out);
}

/* Text that is a number, also as Flink reads it: "41", "1.5", " 7 " is none. */
static bool
number_of_text(struct stream_value *out, struct stream_type type, struct bytes text,
               struct arena *arena)
{
    struct decimal number;
    if (!decimal_parse(&number, text, arena)) {
        return false;
    }
    switch (type.kind) {
    case STREAM_INTEGER:
        return integer_of_decimal(&number, type, &out->integer, arena);
    case STREAM_DOUBLE:
        out->real = decimal_to_double(&number);
        return true;
    default:
        out->decimal = decimal_round(&number, type.scale, DECIMAL_HALF_AWAY, arena);
        return true;
    }
}

static bool
read_number(struct stream_value *out, struct stream_type type, const struct json *json,
            uint32_t node, struct arena *arena)
{
    if (type.kind == STREAM_INTEGER && json->nodes[node].kind == JSON_NUMBER &&
        json_int64(json, node, &out->integer)) {
        return stream_fits(type, out->integer);
    }
    if (type.kind == STREAM_DOUBLE && json->nodes[node].kind == JSON_NUMBER) {
        out->real = json_double(json, node);
        return isfinite(out->real);
    }
    struct bytes text = json->nodes[node].kind == JSON_STRING ? json_string(json, node, arena)
                                                              : json_raw(json, node);
    return number_of_text(out, type, text, arena);
}

static bool
read_boolean(struct stream_value *out, const struct json *json, uint32_t node, struct arena *arena)
{
    struct bytes text = json->nodes[node].kind == JSON_STRING ? json_string(json, node, arena)
                                                              : json_raw(json, node);
    out->integer = bytes_equal_nocase(text, BYTES("true"));
    return out->integer != 0 || bytes_equal_nocase(text, BYTES("false"));
}

bool
stream_value_read(struct stream_value *out, struct stream_type type, const struct json *json,
                  uint32_t node, struct arena *arena)
{
    *out = (struct stream_value){0};
    if (node == 0 || json->nodes[node].kind == JSON_NULL) {
        out->is_null = true;
        return true;
    }
    bool string = json->nodes[node].kind == JSON_STRING;
    switch ((enum stream_kind)type.kind) {
    case STREAM_BOOLEAN:
        return read_boolean(out, json, node, arena);
    case STREAM_INTEGER:
    case STREAM_DOUBLE:
    case STREAM_DECIMAL:
        return json->nodes[node].kind <= JSON_STRING &&
               read_number(out, type, json, node, arena);
    case STREAM_STRING:
        out->text = string ? json_string(json, node, arena) : json_raw(json, node);
        return true;
    case STREAM_TIMESTAMP:
    case STREAM_TIMESTAMP_LTZ:
        return string && stream_time_parse(json_string(json, node, arena), NULL, &out->integer);
    case STREAM_DATE: {
        int64_t ms;
        bool read = string && stream_time_parse(json_string(json, node, arena), NULL, &ms);
        out->integer = read ? stream_floor_divide(ms, 86400000) : 0;
        return read;
    }
    default:
        out->text = json_raw(json, node);
        return true;
    }
}

/* ---- CAST ---- */

static struct bytes
text_of(struct stream_type type, const struct stream_value *value, const struct zone *zone,
        struct arena *arena)
{
    struct buf text = {.arena = arena};
    if (type.kind == STREAM_STRING || type.kind == STREAM_JSON) {
        return value->text;
    }
    if (stream_is_time(type)) {
        int64_t ms = type.kind == STREAM_TIMESTAMP_LTZ ? stream_local_ms(zone, value->integer)
                                                       : value->integer;
        stream_time_print(ms, STREAM_TIME_SQL, &text);
    } else if (type.kind == STREAM_DATE) {
        calendar_print_date(value->integer, &text);
    } else if (type.kind == STREAM_DOUBLE && value->real == floor(value->real) &&
               fabs(value->real) < 1e7) {
        buf_printf(&text, "%.1f", value->real); /* 7.0, as Java writes it */
    } else if (type.kind == STREAM_BOOLEAN) {
        buf_append_string(&text, value->integer != 0 ? "TRUE" : "FALSE");
    } else {
        stream_value_write(&text, type, value, STREAM_TIME_SQL);
    }
    return buf_bytes(&text);
}

static bool
cast_to_number(struct stream_value *out, struct stream_type to, const struct stream_value *value,
               struct stream_type from, struct arena *arena)
{
    switch ((enum stream_kind)from.kind) {
    case STREAM_STRING:
        return number_of_text(out, to, bytes_trim(value->text), arena);
    case STREAM_BOOLEAN:
    case STREAM_INTEGER:
        if (to.kind == STREAM_INTEGER) {
            out->integer = value->integer;
            return stream_fits(to, out->integer);
        }
        if (to.kind == STREAM_DOUBLE) {
            out->real = (double)value->integer;
        } else {
            out->decimal = decimal_of_int64(value->integer);
        }
        return true;
    case STREAM_DOUBLE:
        if (to.kind == STREAM_INTEGER) {
            bool fits = value->real > -9.3e18 && value->real < 9.3e18;
            out->integer = fits ? (int64_t)fmin(fmax(value->real, -0x1p63), 0x1.fffffffffffffp62)
                                : 0;
            return fits && stream_fits(to, out->integer);
        }
        if (to.kind == STREAM_DOUBLE) {
            out->real = value->real;
            return true;
        }
        if (!decimal_of_double(&out->decimal, value->real, arena)) {
            return false;
        }
        out->decimal = decimal_round(&out->decimal, to.scale, DECIMAL_HALF_AWAY, arena);
        return true;
    case STREAM_DECIMAL:
        if (to.kind == STREAM_INTEGER) {
            return integer_of_decimal(&value->decimal, to, &out->integer, arena);
        }
        if (to.kind == STREAM_DOUBLE) {
            out->real = decimal_to_double(&value->decimal);
        } else {
            out->decimal = decimal_round(&value->decimal, to.scale, DECIMAL_HALF_AWAY, arena);
        }
        return true;
    default:
        return false;
    }
}

static bool
cast_to_time(struct stream_value *out, struct stream_type to, const struct stream_value *value,
             struct stream_type from, const struct zone *zone)
{
    bool local = to.kind == STREAM_TIMESTAMP_LTZ;
    switch ((enum stream_kind)from.kind) {
    case STREAM_STRING:
        return stream_time_parse(bytes_trim(value->text), local ? zone : NULL, &out->integer);
    case STREAM_DATE:
        out->integer = stream_instant_ms(local ? zone : NULL, value->integer * 86400000);
        return true;
    case STREAM_TIMESTAMP:
        out->integer = stream_instant_ms(local ? zone : NULL, value->integer);
        return true;
    case STREAM_TIMESTAMP_LTZ:
        out->integer = stream_local_ms(local ? NULL : zone, value->integer);
        return true;
    default:
        return false;
    }
}

static bool
cast_to_boolean(struct stream_value *out, const struct stream_value *value,
                struct stream_type from)
{
    if (from.kind == STREAM_STRING) {
        struct bytes text = bytes_trim(value->text);
        out->integer = bytes_equal_nocase(text, BYTES("true"));
        return out->integer != 0 || bytes_equal_nocase(text, BYTES("false"));
    }
    out->integer = value->integer != 0;
    return from.kind == STREAM_BOOLEAN || from.kind == STREAM_INTEGER;
}

bool
stream_cast(struct stream_value *out, struct stream_type to, const struct stream_value *value,
            struct stream_type from, const struct zone *zone, struct arena *arena)
{
    struct stream_value in = *value;
    *out = (struct stream_value){.is_null = in.is_null};
    if (in.is_null || from.kind == STREAM_NULLS) {
        out->is_null = true;
        return true;
    }
    switch ((enum stream_kind)to.kind) {
    case STREAM_BOOLEAN:
        return cast_to_boolean(out, &in, from);
    case STREAM_INTEGER:
    case STREAM_DOUBLE:
    case STREAM_DECIMAL:
        return cast_to_number(out, to, &in, from, arena);
    case STREAM_STRING:
        out->text = text_of(from, &in, zone, arena);
        return true;
    case STREAM_TIMESTAMP:
    case STREAM_TIMESTAMP_LTZ:
        return cast_to_time(out, to, &in, from, zone);
    case STREAM_DATE:
        if (from.kind == STREAM_DATE) {
            out->integer = in.integer;
            return true;
        }
        if (!cast_to_time(out, stream_type_of(STREAM_TIMESTAMP), &in, from, zone)) {
            return false;
        }
        out->integer = stream_floor_divide(out->integer, 86400000);
        return true;
    default:
        *out = in;
        return to.kind == from.kind;
    }
}

/* ---- order ---- */

int
stream_compare(struct stream_type type, const struct stream_value *a, const struct stream_value *b)
{
    switch ((enum stream_kind)type.kind) {
    case STREAM_DOUBLE:
        return (a->real > b->real) - (a->real < b->real);
    case STREAM_DECIMAL:
        return decimal_compare(&a->decimal, &b->decimal);
    case STREAM_STRING:
    case STREAM_JSON:
        return bytes_compare(a->text, b->text);
    default:
        return (a->integer > b->integer) - (a->integer < b->integer);
    }
}
