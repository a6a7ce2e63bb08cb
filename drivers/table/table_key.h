/*
 * Keys of items as bytes whose order (memcmp, shorter first) is the order of the keys: numbers by
 * value before strings by their UTF-8 bytes before binaries by theirs.
 *
 *   01 | sign | exponent | digits   a number; see table_key.c
 *   02 | bytes                      a string
 *   03 | bytes                      a binary
 *
 * Equal keys have equal bytes, however they were written: 1, 1.0 and 1e0 are one key. Pure.
 */
#ifndef HEADGATE_DRIVERS_TABLE_KEY_H
#define HEADGATE_DRIVERS_TABLE_KEY_H

#include "base/buf.h"

enum table_key_type {
    TABLE_KEY_ANY, /* of a table that does not say */
    TABLE_KEY_NUMBER,
    TABLE_KEY_STRING,
    TABLE_KEY_BINARY,
};

enum { TABLE_DIGITS_MAX = 38 }; /* as DynamoDB */

/* 0.DIGITS * 10^exponent. */
struct table_number {
    bool negative;
    int64_t exponent;
    size_t count; /* 0: the number is zero; else neither the first nor the last digit is 0 */
    uint8_t digits[TABLE_DIGITS_MAX];
};

/* Reads a JSON number; false when it has more digits than TABLE_DIGITS_MAX. */
bool table_number_read(struct table_number *out, struct bytes text) MUST_CHECK;

/* Appends the bytes of a JSON number; returns NULL, or what is wrong: "has more than 38 digits". */
const char *table_key_append_number(struct buf *out, struct bytes text) MUST_CHECK;

void table_key_append_text(struct buf *out, enum table_key_type type, struct bytes text);

#endif
