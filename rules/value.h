/*
 * What an expression gives: one of the types of AWS IoT SQL, or Undefined.
 *
 * Undefined is a type of its own, not null: a missing field, a wrong argument. It is never written
 * out: members that are Undefined vanish.
 *
 * A value that was read from a document stays a reference to its node (VALUE_JSON) until somebody
 * computes with it: so what a rule only passes on keeps its text byte for byte. Everything else
 * that a value points to lives in the arena of the message (or, for constants, of the rule file).
 */
#ifndef HEADGATE_RULES_VALUE_H
#define HEADGATE_RULES_VALUE_H

#include "base/json.h"
#include "decimal.h"

enum value_kind {
    VALUE_UNDEFINED,
    VALUE_NULL,
    VALUE_BOOLEAN,
    VALUE_NUMBER,
    VALUE_STRING,
    VALUE_JSON,   /* a number, string, array or object of a document: json, node; with `boolean`
                     a number keeps its text, as in version 2015-10-08 */
    VALUE_ARRAY,  /* made by an expression: elements, count */
    VALUE_OBJECT, /* made by an expression: members, count */
    VALUE_BYTES,  /* '*' of a payload that is not JSON: string */
};

struct value {
    uint8_t kind;
    bool boolean;
    union {
        uint32_t node;
        uint32_t count;
    };
    union {
        struct decimal number;
        struct bytes string;
        const struct json *json;
        const struct value *elements;
        const struct value_member *members;
    };
};

struct value_member {
    struct bytes name;
    struct value value;
};

enum value_type {
    TYPE_UNDEFINED,
    TYPE_NULL,
    TYPE_BOOLEAN,
    TYPE_NUMBER,
    TYPE_STRING,
    TYPE_ARRAY,
    TYPE_OBJECT,
    TYPE_BYTES,
};

static inline struct value
value_undefined(void)
{
    return (struct value){.kind = VALUE_UNDEFINED};
}

static inline struct value
value_boolean(bool boolean)
{
    return (struct value){.kind = VALUE_BOOLEAN, .boolean = boolean};
}

static inline struct value
value_int64(int64_t number)
{
    return (struct value){.kind = VALUE_NUMBER, .number = {.coefficient = number}};
}

static inline struct value
value_number(struct decimal number)
{
    return (struct value){.kind = VALUE_NUMBER, .number = number};
}

static inline struct value
value_string(struct bytes string)
{
    return (struct value){.kind = VALUE_STRING, .string = string};
}

struct value value_of_node(const struct json *json, uint32_t node);

enum value_type value_type(const struct value *value);

static inline bool
value_is_undefined(const struct value *value)
{
    return value->kind == VALUE_UNDEFINED;
}

/* ---- standard conversions (false: Undefined) ---- */

/* Int, Decimal, and String of the form -?d+(.d+)?(E-?d+)? */
bool value_to_number(const struct value *value, struct decimal *out, struct arena *arena);

/* All but Null and Undefined; arrays and objects as compact JSON. */
bool value_to_string(const struct value *value, struct bytes *out, struct arena *arena);

/* Boolean, and the strings "true" and "false" in any case. */
bool value_to_boolean(const struct value *value, bool *out, struct arena *arena);

/* The content of a value whose type is TYPE_STRING. */
struct bytes value_string_content(const struct value *value, struct arena *arena);

/* The number of a value whose type is TYPE_NUMBER; false when it is beyond the range. */
bool value_number_content(const struct value *value, struct decimal *out, struct arena *arena);

/* ---- parts ---- */

/* Undefined when there is none, or when `value` is no object. The last of equal names counts. */
struct value value_member(const struct value *value, struct bytes name);

uint32_t value_count(const struct value *value); /* of elements or members; else 0 */

/* Walks over elements (name is empty) or members in order. */
struct value_cursor {
    const struct value *container;
    uint32_t left;
    uint32_t at;
    struct bytes name;     /* of the member */
    struct bytes raw_name; /* with quotes and escapes, when it comes from a document; else empty */
    struct value value;
};

struct value_cursor value_walk(const struct value *container);
bool value_next(struct value_cursor *cursor, struct arena *arena);

/* ---- equality and text ---- */

/* As the operator '=': numbers by value, no conversions. Undefined equals nothing. */
bool value_equal(const struct value *a, const struct value *b, struct arena *arena);

/*
 * JSON text. A value from a document is copied as it stands; only a number that is whole but was
 * not written so loses its zeros (72.0 is 72, as AWS does since version 2016-03-23). Undefined
 * inside of arrays and objects is left out; alone it writes nothing. Raw bytes become base64.
 */
void value_write(struct buf *out, const struct value *value);

/* JSON text without white space, as the conversion to String gives it. */
void value_write_compact(struct buf *out, const struct value *value, struct arena *arena);

#endif
