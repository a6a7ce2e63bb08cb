/*
 * What a FileDescriptorSet says of messages and enums (descriptor.proto). Names are found at once,
 * the fields of a message are read when they are first asked for.
 */
#ifndef HEADGATE_RULES_PROTOBUF_SCHEMA_H
#define HEADGATE_RULES_PROTOBUF_SCHEMA_H

#include "base/arena.h"
#include "base/map.h"

/* FieldDescriptorProto.Type */
enum field_type {
    FIELD_DOUBLE = 1,
    FIELD_FLOAT,
    FIELD_INT64,
    FIELD_UINT64,
    FIELD_INT32,
    FIELD_FIXED64,
    FIELD_FIXED32,
    FIELD_BOOL,
    FIELD_STRING,
    FIELD_GROUP,
    FIELD_MESSAGE,
    FIELD_BYTES,
    FIELD_UINT32,
    FIELD_ENUM,
    FIELD_SFIXED32,
    FIELD_SFIXED64,
    FIELD_SINT32,
    FIELD_SINT64,
};

struct schema_field {
    struct bytes name;
    uint32_t number;
    enum field_type type;
    struct bytes type_name; /* of messages and enums: ".package.Name" */
    bool repeated;
    bool has_presence;      /* it is written even when it holds its default */
    int32_t oneof;          /* index, or -1 */
};

struct schema_enum_value {
    struct bytes name;
    int32_t number;
};

struct schema_type {
    struct bytes name;       /* ".package.Name" */
    struct bytes descriptor; /* DescriptorProto or EnumDescriptorProto */
    bool is_enum;
    bool is_proto3;
    bool is_read;            /* the members below are set */
    bool is_map_entry;
    const struct schema_field *fields; /* in the order of their numbers */
    size_t field_count;
    size_t oneof_count;
    const struct schema_enum_value *values; /* in the order of their numbers; of an enum */
    size_t value_count;
};

struct schema {
    struct arena *arena;
    struct map types;     /* name -> struct schema_type */
    struct bytes package; /* of the wanted file */
    bool has_file;
    const char *reason;   /* why something failed; static */
};

/* Reads the names; `file` is the wanted one. False: schema->reason. */
bool schema_init(struct schema *schema, struct bytes set, struct bytes file, struct arena *arena);
void schema_fini(struct schema *schema);

/* By the full name with its leading '.'; NULL when there is none or it is damaged. */
struct schema_type *schema_find(struct schema *schema, struct bytes name);

/* Of the wanted file: "Person", "package.Person". NULL when there is none. */
struct schema_type *schema_find_root(struct schema *schema, struct bytes name);

/* The field of that number, or NULL. */
const struct schema_field *schema_field(const struct schema_type *type, uint32_t number);

/* The name of an enum's value, or an empty text. */
struct bytes schema_enum_name(const struct schema_type *type, int32_t number);

#endif
