/*
 * From a message to JSON. The fields of a message come in any order and may come more than once, so
 * its wire fields are gathered first and sorted by their number (stable: of a single field the last
 * counts, a repeated one keeps its order). Messages that come more than once are merged, which for
 * their bytes means: one behind the other.
 */
#include "protobuf.h"

#include "base/base64.h"
#include "base/json.h"
#include "protobuf_schema.h"
#include "protobuf_wire.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct conversion {
    struct schema schema;
    struct buf *out;
    struct arena *arena;
    unsigned depth;
    const char *reason;
};

/* A value of a field as it came. */
struct occurrence {
    const struct schema_field *field;
    uint32_t order;
    uint64_t scalar;
    struct bytes bytes;
};

struct message {
    struct occurrence *items;
    size_t count;
    size_t capacity;
};

static bool
fail(struct conversion *conversion, const char *reason)
{
    if (conversion->reason == NULL) {
        conversion->reason = reason;
    }
    return false;
}

/* ---- scalars ---- */

/* The wire type that a single value of the field has. */
static enum wire_type
wire_type_of(enum field_type type)
{
    switch (type) {
    case FIELD_DOUBLE:
    case FIELD_FIXED64:
    case FIELD_SFIXED64:
        return WIRE_64;
    case FIELD_FLOAT:
    case FIELD_FIXED32:
    case FIELD_SFIXED32:
        return WIRE_32;
    case FIELD_STRING:
    case FIELD_BYTES:
    case FIELD_MESSAGE:
        return WIRE_BYTES;
    case FIELD_GROUP:
        return WIRE_GROUP;
    default:
        return WIRE_VARINT;
    }
}

static int64_t
from_zigzag(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

static void
write_real(struct buf *out, double value, bool single)
{
    char text[40];
    if (isnan(value) || isinf(value)) {
        buf_append(out, isnan(value) ? BYTES("\"NaN\"")
                                     : value > 0 ? BYTES("\"Infinity\"") : BYTES("\"-Infinity\""));
        return;
    }
    if (!single) {
        json_write_double(out, value);
        return;
    }
    for (int digits = 6; digits <= 9; digits++) { /* the shortest that is this float */
        snprintf(text, sizeof text, "%.*g", digits, value);
        if ((double)strtof(text, NULL) == value) {
            break;
        }
    }
    json_write_double(out, strtod(text, NULL));
}

static void
write_bits(struct buf *out, uint64_t bits, bool single)
{
    if (single) {
        uint32_t half = (uint32_t)bits;
        float value;
        memcpy(&value, &half, sizeof value);
        write_real(out, (double)value, true);
    } else {
        double value;
        memcpy(&value, &bits, sizeof value);
        write_real(out, value, false);
    }
}

static bool
write_enum(struct conversion *conversion, const struct schema_field *field, int32_t number)
{
    const struct schema_type *type = schema_find(&conversion->schema, field->type_name);
    if (type == NULL || !type->is_enum) {
        return fail(conversion, "the descriptor lacks an enum that it uses");
    }
    struct bytes name = schema_enum_name(type, number);
    if (name.size > 0) {
        json_write_string(conversion->out, name);
    } else {
        buf_append_int64(conversion->out, number);
    }
    return true;
}

static bool
write_text(struct conversion *conversion, const struct schema_field *field, struct bytes bytes)
{
    if (field->type == FIELD_STRING) {
        if (!bytes_is_utf8(bytes)) {
            return fail(conversion, "a string of the message is not UTF-8");
        }
        json_write_string(conversion->out, bytes);
        return true;
    }
    buf_append_char(conversion->out, '"');
    base64_encode(conversion->out, bytes);
    buf_append_char(conversion->out, '"');
    return true;
}

static bool write_message(struct conversion *conversion, struct bytes type, struct bytes message);

static bool
write_value(struct conversion *conversion, const struct schema_field *field,
            const struct occurrence *value)
{
    struct buf *out = conversion->out;
    if (out->size > PROTOBUF_JSON_MAX_BYTES) {
        return fail(conversion, "the message has more than 128 KiB of JSON");
    }
    switch (field->type) {
    case FIELD_DOUBLE:
    case FIELD_FLOAT:
        write_bits(out, value->scalar, field->type == FIELD_FLOAT);
        return true;
    case FIELD_INT64:
    case FIELD_SFIXED64:
        buf_append_int64(out, (int64_t)value->scalar);
        return true;
    case FIELD_UINT64:
    case FIELD_FIXED64:
        buf_printf(out, "%llu", (unsigned long long)value->scalar);
        return true;
    case FIELD_INT32:
    case FIELD_SFIXED32:
        buf_append_int64(out, (int32_t)(uint32_t)value->scalar);
        return true;
    case FIELD_UINT32:
    case FIELD_FIXED32:
        buf_append_int64(out, (uint32_t)value->scalar);
        return true;
    case FIELD_SINT32:
    case FIELD_SINT64:
        buf_append_int64(out, field->type == FIELD_SINT64
                                      ? from_zigzag(value->scalar)
                                      : (int32_t)from_zigzag((uint32_t)value->scalar));
        return true;
    case FIELD_BOOL:
        buf_append(out, value->scalar != 0 ? BYTES("true") : BYTES("false"));
        return true;
    case FIELD_ENUM:
        return write_enum(conversion, field, (int32_t)(uint32_t)value->scalar);
    case FIELD_STRING:
    case FIELD_BYTES:
        return write_text(conversion, field, value->bytes);
    case FIELD_MESSAGE:
        return write_message(conversion, field->type_name, value->bytes);
    case FIELD_GROUP:
        break;
    }
    never("groups are passed over");
}

/* ---- gathering ---- */

static void
gather(struct conversion *conversion, struct message *message, const struct schema_field *field,
       uint64_t scalar, struct bytes bytes)
{
    if (message->count == message->capacity) {
        size_t capacity = message->capacity == 0 ? 16 : 2 * message->capacity;
        struct occurrence *items = arena_new_array(conversion->arena, struct occurrence, capacity);
        if (message->count > 0) {
            memcpy(items, message->items, message->count * sizeof *items);
        }
        message->items = items;
        message->capacity = capacity;
    }
    message->items[message->count] = (struct occurrence){field, (uint32_t)message->count, scalar,
                                                         bytes};
    message->count++;
}

/* Many numbers in one field. */
static bool
unpack(struct conversion *conversion, struct message *message, const struct schema_field *field,
       struct bytes packed)
{
    enum wire_type type = wire_type_of(field->type);
    while (packed.size > 0) {
        uint64_t scalar;
        bool taken = type == WIRE_VARINT ? protobuf_take_varint(&packed, &scalar)
                                         : protobuf_take_fixed(&packed, type == WIRE_64 ? 8 : 4,
                                                               &scalar);
        if (!taken || message->count > PROTOBUF_JSON_MAX_BYTES) {
            return fail(conversion, "the payload is no such message");
        }
        gather(conversion, message, field, scalar, BYTES(""));
    }
    return true;
}

static bool
gather_all(struct conversion *conversion, const struct schema_type *type, struct bytes rest,
           struct message *message)
{
    struct wire_field wire;
    bool bad;
    while (protobuf_take_field(&rest, &wire, &bad)) {
        const struct schema_field *field = schema_field(type, wire.number);
        if (field == NULL || field->type == FIELD_GROUP) {
            continue;
        }
        enum wire_type expected = wire_type_of(field->type);
        if (wire.type == expected) {
            gather(conversion, message, field, wire.scalar, wire.bytes);
        } else if (wire.type == WIRE_BYTES && field->repeated &&
                   !unpack(conversion, message, field, wire.bytes)) {
            return false;
        }
    }
    return !bad || fail(conversion, "the payload is no such message");
}

static int
compare_occurrences(const void *a, const void *b)
{
    const struct occurrence *x = a, *y = b;
    if (x->field->number != y->field->number) {
        return x->field->number < y->field->number ? -1 : 1;
    }
    return (x->order > y->order) - (x->order < y->order);
}

/* Of a oneof only the member that came last is there. */
static void
drop_overridden(const struct conversion *conversion, const struct schema_type *type,
                struct message *message)
{
    const struct schema_field **winners =
            arena_new_array(conversion->arena, const struct schema_field *, type->oneof_count);
    for (size_t i = 0; i < message->count && type->oneof_count > 0; i++) {
        const struct schema_field *field = message->items[i].field;
        if (field->oneof >= 0) {
            winners[field->oneof] = field;
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < message->count; i++) {
        const struct schema_field *field = message->items[i].field;
        if (field->oneof < 0 || winners[field->oneof] == field) {
            message->items[kept++] = message->items[i];
        }
    }
    message->count = kept;
}

/* ---- writing ---- */

static bool
is_default(const struct schema_field *field, const struct occurrence *value)
{
    return !field->has_presence &&
           (wire_type_of(field->type) == WIRE_BYTES ? value->bytes.size == 0 : value->scalar == 0);
}

/* The occurrences of one field as one. */
static struct occurrence
merge(struct conversion *conversion, const struct occurrence *items, size_t count)
{
    struct occurrence merged = items[count - 1];
    if (merged.field->type == FIELD_MESSAGE && count > 1) {
        struct buf bytes = {.arena = conversion->arena};
        for (size_t i = 0; i < count; i++) {
            buf_append(&bytes, items[i].bytes);
        }
        merged.bytes = buf_bytes(&bytes);
    }
    return merged;
}

static bool
write_list(struct conversion *conversion, const struct occurrence *items, size_t count)
{
    buf_append_char(conversion->out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            buf_append_char(conversion->out, ',');
        }
        if (!write_value(conversion, items[i].field, &items[i])) {
            return false;
        }
    }
    buf_append_char(conversion->out, ']');
    return true;
}

/* The last occurrence of the field in an entry of a map, or its default. */
static struct occurrence
entry_part(const struct message *entry, const struct schema_field *field)
{
    struct occurrence part = {.field = field};
    for (size_t i = 0; i < entry->count; i++) {
        part = entry->items[i].field == field ? entry->items[i] : part;
    }
    return part;
}

/* The text of an entry's key: keys of any type are strings in JSON. */
static bool
entry_key(struct conversion *conversion, const struct schema_field *key,
          const struct message *entry, struct bytes *out)
{
    struct occurrence part = entry_part(entry, key);
    struct buf text = {.arena = conversion->arena};
    bool quoted = key->type != FIELD_STRING && key->type != FIELD_BYTES;
    struct buf *whole = conversion->out;
    conversion->out = &text;
    buf_append(&text, quoted ? BYTES("\"") : BYTES(""));
    bool written = write_value(conversion, key, &part);
    buf_append(&text, quoted ? BYTES("\":") : BYTES(":"));
    conversion->out = whole;
    *out = buf_bytes(&text);
    return written;
}

/* The entries in order; of equal keys the last one counts. */
static bool
write_entries(struct conversion *conversion, const struct schema_field *value,
              const struct message *entries, const struct bytes *keys, size_t count,
              const struct map *last)
{
    bool first = true;
    for (size_t i = 0; i < count; i++) {
        if (map_find(last, keys[i]) != &keys[i]) {
            continue;
        }
        struct occurrence part = entry_part(&entries[i], value);
        buf_append(conversion->out, first ? BYTES("") : BYTES(","));
        buf_append(conversion->out, keys[i]);
        first = false;
        if (!write_value(conversion, value, &part)) {
            return false;
        }
    }
    return true;
}

static bool
write_map(struct conversion *conversion, const struct schema_type *type,
          const struct occurrence *items, size_t count)
{
    const struct schema_field *key = schema_field(type, 1), *value = schema_field(type, 2);
    struct message *entries = arena_new_array(conversion->arena, struct message, count);
    struct bytes *keys = arena_new_array(conversion->arena, struct bytes, count);
    struct map last = {0};
    bool good = key != NULL && value != NULL && wire_type_of(key->type) != WIRE_GROUP &&
                wire_type_of(value->type) != WIRE_GROUP && key->type != FIELD_MESSAGE;
    good = good || fail(conversion, "the descriptor is damaged");
    for (size_t i = 0; i < count && good; i++) {
        good = gather_all(conversion, type, items[i].bytes, &entries[i]) &&
               entry_key(conversion, key, &entries[i], &keys[i]);
        map_put(&last, keys[i], &keys[i]);
    }
    buf_append_char(conversion->out, '{');
    good = good && write_entries(conversion, value, entries, keys, count, &last);
    buf_append_char(conversion->out, '}');
    map_fini(&last);
    return good;
}

/* All occurrences of one field. */
static bool
write_field(struct conversion *conversion, const struct occurrence *items, size_t count,
            bool *first)
{
    const struct schema_field *field = items[0].field;
    const struct schema_type *entry = NULL;
    struct occurrence single = merge(conversion, items, count);
    if (!field->repeated && is_default(field, &single)) {
        return true;
    }
    if (!*first) {
        buf_append_char(conversion->out, ',');
    }
    *first = false;
    json_write_string(conversion->out, field->name);
    buf_append_char(conversion->out, ':');
    if (field->repeated && field->type == FIELD_MESSAGE) {
        entry = schema_find(&conversion->schema, field->type_name);
        if (entry == NULL) {
            return fail(conversion, conversion->schema.reason);
        }
    }
    return entry != NULL && entry->is_map_entry ? write_map(conversion, entry, items, count)
           : field->repeated                    ? write_list(conversion, items, count)
                                                : write_value(conversion, field, &single);
}

static bool
write_fields(struct conversion *conversion, const struct schema_type *type, struct bytes bytes)
{
    struct message message = {0};
    bool first = true;
    if (!gather_all(conversion, type, bytes, &message)) {
        return false;
    }
    drop_overridden(conversion, type, &message);
    if (message.count > 1) {
        qsort(message.items, message.count, sizeof *message.items, compare_occurrences);
    }
    buf_append_char(conversion->out, '{');
    for (size_t i = 0, end; i < message.count; i = end) {
        end = i + 1;
        while (end < message.count && message.items[end].field == message.items[i].field) {
            end++;
        }
        if (!write_field(conversion, &message.items[i], end - i, &first)) {
            return false;
        }
    }
    buf_append_char(conversion->out, '}');
    return true;
}

static bool
write_message(struct conversion *conversion, struct bytes name, struct bytes bytes)
{
    const struct schema_type *type = schema_find(&conversion->schema, name);
    if (type == NULL || type->is_enum) {
        return fail(conversion, type == NULL ? conversion->schema.reason
                                             : "the descriptor is damaged");
    }
    if (conversion->depth == PROTOBUF_DEPTH_MAX) {
        return fail(conversion, "messages are nested deeper than 64");
    }
    conversion->depth++;
    bool written = write_fields(conversion, type, bytes);
    conversion->depth--;
    return written;
}

bool
protobuf_to_json(struct buf *out, struct bytes set, struct bytes file, struct bytes type,
                 struct bytes message, struct arena *arena, const char **reason)
{
    struct conversion conversion = {.out = out, .arena = arena};
    bool written = false;
    if (set.size > PROTOBUF_DESCRIPTOR_MAX_BYTES) {
        fail(&conversion, "the descriptor is larger than 32 KiB");
    } else if (!schema_init(&conversion.schema, set, file, arena)) {
        fail(&conversion, conversion.schema.reason);
    } else {
        const struct schema_type *root = schema_find_root(&conversion.schema, type);
        written = root != NULL ? write_message(&conversion, root->name, message)
                               : fail(&conversion, conversion.schema.reason);
    }
    if (written && out->size > PROTOBUF_JSON_MAX_BYTES) {
        written = fail(&conversion, "the message has more than 128 KiB of JSON");
    }
    schema_fini(&conversion.schema);
    *reason = conversion.reason;
    return written;
}
