/*
 * Descriptors are messages themselves (descriptor.proto), so they are read with the same reader.
 * A descriptor comes out of a file that somebody put there: nothing in it is taken on trust.
 */
#include "protobuf_schema.h"

#include "protobuf.h"
#include "protobuf_wire.h"

#include <stdlib.h>

/* Numbers of the fields that are read. */
enum {
    SET_FILE = 1,
    FILE_NAME = 1, FILE_PACKAGE = 2, FILE_MESSAGE = 4, FILE_ENUM = 5, FILE_SYNTAX = 12,
    MESSAGE_NAME = 1, MESSAGE_FIELD = 2, MESSAGE_NESTED = 3, MESSAGE_ENUM = 4,
    MESSAGE_OPTIONS = 7,
    OPTIONS_MAP_ENTRY = 7,
    FIELD_NAME = 1, FIELD_NUMBER = 3, FIELD_LABEL = 4, FIELD_TYPE = 5, FIELD_TYPE_NAME = 6,
    FIELD_ONEOF = 9, FIELD_OPTIONAL = 17,
    ENUM_NAME = 1, ENUM_VALUE = 2, VALUE_NAME = 1, VALUE_NUMBER = 2,
    LABEL_REPEATED = 3,
};

static const char damaged[] = "the descriptor is damaged";

/* The first field of that number that is bytes; empty when there is none. */
static struct bytes
find_text(struct bytes message, uint32_t number)
{
    struct wire_field field;
    bool bad;
    while (protobuf_take_field(&message, &field, &bad)) {
        if (field.number == number && field.type == WIRE_BYTES) {
            return field.bytes;
        }
    }
    return BYTES("");
}

/* ---- names ---- */

struct naming {
    struct schema *schema;
    bool is_proto3;
    unsigned depth;
};

static bool
add_type(struct naming *naming, struct bytes scope, struct bytes descriptor, bool is_enum)
{
    struct schema *schema = naming->schema;
    struct schema_type *type = arena_new(schema->arena, struct schema_type);
    struct bytes name = find_text(descriptor, MESSAGE_NAME); /* the same number in enums */
    if (name.size == 0 || naming->depth > PROTOBUF_DEPTH_MAX) {
        return false;
    }
    *type = (struct schema_type){
            .name = arena_printf(schema->arena, "%.*s.%.*s", BYTES_ARG(scope), BYTES_ARG(name)),
            .descriptor = descriptor,
            .is_enum = is_enum,
            .is_proto3 = naming->is_proto3,
    };
    map_put(&schema->types, type->name, type);
    if (is_enum) {
        return true;
    }
    struct wire_field field;
    bool bad, good = true;
    naming->depth++;
    while (good && protobuf_take_field(&descriptor, &field, &bad)) {
        if (field.type == WIRE_BYTES &&
            (field.number == MESSAGE_NESTED || field.number == MESSAGE_ENUM)) {
            good = add_type(naming, type->name, field.bytes, field.number == MESSAGE_ENUM);
        }
    }
    naming->depth--;
    return good && !bad;
}

/* person and dir/person.proto are the same for dir/person.proto. */
static bool
is_file(struct bytes name, struct bytes wanted)
{
    struct bytes stem = bytes_ends_with(name, BYTES(".proto"))
                                ? bytes_slice(name, 0, name.size - strlen(".proto"))
                                : name;
    struct bytes part, last = stem, rest = stem;
    while (bytes_split(&rest, '/', &part)) {
        last = part;
    }
    return bytes_equal(name, wanted) || bytes_equal(stem, wanted) || bytes_equal(last, wanted);
}

static bool
add_file(struct schema *schema, struct bytes file, struct bytes wanted)
{
    struct bytes package = find_text(file, FILE_PACKAGE);
    struct naming naming = {schema, bytes_equal(find_text(file, FILE_SYNTAX), BYTES("proto3")), 0};
    struct bytes scope = package.size == 0 ? package
                                           : arena_printf(schema->arena, ".%.*s",
                                                          BYTES_ARG(package));
    if (is_file(find_text(file, FILE_NAME), wanted)) {
        schema->has_file = true;
        schema->package = scope;
    }
    struct wire_field field;
    bool bad, good = true;
    while (good && protobuf_take_field(&file, &field, &bad)) {
        if (field.type == WIRE_BYTES &&
            (field.number == FILE_MESSAGE || field.number == FILE_ENUM)) {
            good = add_type(&naming, scope, field.bytes, field.number == FILE_ENUM);
        }
    }
    return good && !bad;
}

bool
schema_init(struct schema *schema, struct bytes set, struct bytes file, struct arena *arena)
{
    struct wire_field field;
    bool bad, good = true;
    *schema = (struct schema){.arena = arena};
    while (good && protobuf_take_field(&set, &field, &bad)) {
        if (field.number == SET_FILE && field.type == WIRE_BYTES) {
            good = add_file(schema, field.bytes, file);
        }
    }
    if (!good || bad) {
        schema->reason = damaged;
    } else if (!schema->has_file) {
        schema->reason = "the descriptor has no such .proto file";
    }
    return schema->reason == NULL;
}

void
schema_fini(struct schema *schema)
{
    map_fini(&schema->types);
}

/* ---- fields ---- */

static void
take_field_member(struct schema_field *out, const struct wire_field *member, bool *is_optional)
{
    bool is_text = member->type == WIRE_BYTES;
    switch (member->number) {
    case FIELD_NAME:
        out->name = is_text ? member->bytes : out->name;
        return;
    case FIELD_TYPE_NAME:
        out->type_name = is_text ? member->bytes : out->type_name;
        return;
    case FIELD_NUMBER:
        out->number = (uint32_t)member->scalar;
        return;
    case FIELD_LABEL:
        out->repeated = member->scalar == LABEL_REPEATED;
        return;
    case FIELD_TYPE:
        out->type = member->scalar <= FIELD_SINT64 ? (enum field_type)member->scalar : 0;
        return;
    case FIELD_ONEOF:
        out->oneof = (int32_t)member->scalar;
        return;
    case FIELD_OPTIONAL:
        *is_optional = member->scalar != 0;
        return;
    default:
        return;
    }
}

static bool
read_field(const struct schema_type *type, struct bytes descriptor, struct schema_field *out)
{
    struct wire_field member;
    bool bad, is_optional = false;
    *out = (struct schema_field){.oneof = -1};
    while (protobuf_take_field(&descriptor, &member, &bad)) {
        take_field_member(out, &member, &is_optional);
    }
    out->has_presence = !type->is_proto3 || is_optional || out->oneof >= 0 ||
                        out->type == FIELD_MESSAGE;
    return !bad && out->name.size > 0 && bytes_is_utf8(out->name) && out->number > 0 &&
           out->type != 0 && out->oneof < PROTOBUF_DESCRIPTOR_MAX_BYTES;
}

static int
compare_fields(const void *a, const void *b)
{
    uint32_t left = ((const struct schema_field *)a)->number;
    uint32_t right = ((const struct schema_field *)b)->number;
    return (left > right) - (left < right);
}

/* Fields of a message, or values of an enum: both have the number 2. */
static size_t
count_fields(struct bytes descriptor)
{
    struct wire_field member;
    bool bad;
    size_t count = 0;
    while (protobuf_take_field(&descriptor, &member, &bad)) {
        count += member.number == MESSAGE_FIELD && member.type == WIRE_BYTES;
    }
    return count;
}

static bool
read_message(struct schema_type *type, struct arena *arena)
{
    struct bytes rest = type->descriptor;
    struct schema_field *fields =
            arena_new_array(arena, struct schema_field, count_fields(type->descriptor));
    struct wire_field member, option;
    bool bad, option_bad;
    while (protobuf_take_field(&rest, &member, &bad)) {
        if (member.type != WIRE_BYTES) {
            continue;
        }
        if (member.number == MESSAGE_FIELD) {
            struct schema_field *field = &fields[type->field_count++];
            if (!read_field(type, member.bytes, field)) {
                return false;
            }
            type->oneof_count = field->oneof >= (int32_t)type->oneof_count
                                        ? (size_t)field->oneof + 1
                                        : type->oneof_count;
        } else if (member.number == MESSAGE_OPTIONS) {
            while (protobuf_take_field(&member.bytes, &option, &option_bad)) {
                type->is_map_entry |= option.number == OPTIONS_MAP_ENTRY && option.scalar != 0;
            }
        }
    }
    if (type->field_count > 1) {
        qsort(fields, type->field_count, sizeof *fields, compare_fields);
    }
    type->fields = fields;
    return true;
}

static bool
read_value(struct bytes descriptor, struct schema_enum_value *out)
{
    struct wire_field member;
    bool bad;
    *out = (struct schema_enum_value){0};
    while (protobuf_take_field(&descriptor, &member, &bad)) {
        if (member.number == VALUE_NAME && member.type == WIRE_BYTES) {
            out->name = member.bytes;
        } else if (member.number == VALUE_NUMBER) {
            out->number = (int32_t)(uint32_t)member.scalar;
        }
    }
    return !bad && out->name.size > 0 && bytes_is_utf8(out->name);
}

static int
compare_values(const void *a, const void *b)
{
    int32_t left = ((const struct schema_enum_value *)a)->number;
    int32_t right = ((const struct schema_enum_value *)b)->number;
    return (left > right) - (left < right);
}

static bool
read_enum(struct schema_type *type, struct arena *arena)
{
    struct bytes rest = type->descriptor;
    struct schema_enum_value *values = arena_new_array(
            arena, struct schema_enum_value, count_fields(type->descriptor));
    struct wire_field member;
    bool bad;
    while (protobuf_take_field(&rest, &member, &bad)) {
        if (member.number == ENUM_VALUE && member.type == WIRE_BYTES &&
            !read_value(member.bytes, &values[type->value_count++])) {
            return false;
        }
    }
    if (type->value_count > 1) {
        qsort(values, type->value_count, sizeof *values, compare_values);
    }
    type->values = values;
    return true;
}

struct schema_type *
schema_find(struct schema *schema, struct bytes name)
{
    struct schema_type *type = map_find(&schema->types, name);
    if (type == NULL) {
        schema->reason = "the descriptor lacks a type that it uses (protoc --include_imports)";
        return NULL;
    }
    if (!type->is_read) {
        type->is_read = type->is_enum ? read_enum(type, schema->arena)
                                      : read_message(type, schema->arena);
        if (!type->is_read) {
            schema->reason = damaged;
            return NULL;
        }
    }
    return type;
}

struct schema_type *
schema_find_root(struct schema *schema, struct bytes name)
{
    struct bytes local = arena_printf(schema->arena, "%.*s.%.*s", BYTES_ARG(schema->package),
                                      BYTES_ARG(name));
    struct bytes full = arena_printf(schema->arena, ".%.*s", BYTES_ARG(name));
    bool is_local = map_find(&schema->types, local) != NULL;
    struct schema_type *type = schema_find(schema, is_local ? local : full);
    if (type == NULL || type->is_enum) {
        schema->reason = schema->reason == damaged ? damaged
                                                   : "the descriptor has no such message type";
        return NULL;
    }
    return type;
}

const struct schema_field *
schema_field(const struct schema_type *type, uint32_t number)
{
    const struct schema_field wanted = {.number = number};
    return type->field_count == 0 ? NULL
                                  : bsearch(&wanted, type->fields, type->field_count,
                                            sizeof *type->fields, compare_fields);
}

struct bytes
schema_enum_name(const struct schema_type *type, int32_t number)
{
    const struct schema_enum_value wanted = {.number = number};
    const struct schema_enum_value *value =
            type->value_count == 0 ? NULL
                                   : bsearch(&wanted, type->values, type->value_count,
                                             sizeof *type->values, compare_values);
    return value == NULL ? BYTES("") : value->name;
}
