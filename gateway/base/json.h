/*
 * The hot path's JSON reader: keeps number text and key order, allocates one array, no tree.
 *
 * Source of the grammar: RFC 8259, read strictly: one value with white space around it, UTF-8, no
 * raw control characters in strings, no lone surrogate escapes ("\ud800" alone is an error), no
 * leading zeros, nothing behind the value. Duplicate keys are kept; a look-up finds the last.
 *
 * The parse is a flat array of nodes in document order (a "tape"). A container is followed by its
 * content; `next` is the index of the node behind a node's whole subtree, so siblings are walked
 * without visiting children. In an object each key (a JSON_STRING node) is followed by its value.
 *
 *   {"a":[1,2],"b":"x"}   0 object next=7 count=2   1 key a   2 array next=5 count=2   3: 1
 *                         4: 2   5 key b   6 string x
 *
 * A document only borrows its text: it is valid as long as the text is. Pure, thread-free.
 */
#ifndef HEADGATE_BASE_JSON_H
#define HEADGATE_BASE_JSON_H

#include "arena.h"
#include "buf.h"

enum json_kind {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

enum {
    JSON_ESCAPED = 1,  /* a string whose text holds backslashes: use json_string() */
    JSON_INTEGER = 2,  /* a number without fraction and exponent */
};

struct json_node {
    uint32_t start; /* text span; for strings without the quotes */
    uint32_t end;
    uint32_t next;  /* index of the node behind this one's subtree */
    uint32_t count; /* members of an object, elements of an array */
    uint8_t kind;   /* enum json_kind */
    uint8_t flags;
};

struct json {
    struct bytes text;
    const struct json_node *nodes; /* nodes[0] is the document's value */
    uint32_t count;
};

/* What is wrong with a text and where. */
struct json_error {
    size_t offset;
    const char *message; /* static: "unexpected end", "nesting deeper than 64", ... */
};

enum { JSON_DEPTH_MAX_DEFAULT = 64 };

/* Texts of 4 GiB and more are refused. Nodes live in `arena`. */
bool json_parse(struct json *out, struct bytes text, unsigned depth_max, struct arena *arena,
                struct json_error *error) MUST_CHECK;

/* The text span of a node as it stands in the document (strings with their quotes). */
struct bytes json_raw(const struct json *json, uint32_t node);

/* A string node's content, unescaped into `arena` only when it holds escapes. */
struct bytes json_string(const struct json *json, uint32_t node, struct arena *arena);

/* The value node of an object's member, or 0 when there is none (0 is never a member). */
uint32_t json_member(const struct json *json, uint32_t object, struct bytes key);

/* The i-th element of an array, or 0. */
uint32_t json_element(const struct json *json, uint32_t array, uint32_t i);

/* A number node as int64 when it is a whole number in range ("12", "1e3", "5.0"); else false. */
bool json_int64(const struct json *json, uint32_t node, int64_t *out);

/* A number node as the nearest double, correctly rounded; infinities for huge ones. */
double json_double(const struct json *json, uint32_t node);

/* The first values that differ, as nodes of both documents. What only one of them has is set against
 * the object or array that lacks it. */
struct json_difference {
    uint32_t a, b;
};

/*
 * Whether two documents are the same value: members in any order (those of one name in theirs),
 * numbers exactly and by value: 1.0, 1 and 10e-1 are one. Only numbers with exponents beyond 10^9
 * are compared as texts. When false, `*difference` is set.
 */
bool json_equal(const struct json *a, const struct json *b, struct arena *arena,
                struct json_difference *difference);

/* Writers. Strings are escaped as RFC 8259 asks and no more; must be UTF-8. */
void json_write_string(struct buf *out, struct bytes text);

/* Shortest text that reads back as the same double; "null" for NaN and infinities. */
void json_write_double(struct buf *out, double value);

#endif
