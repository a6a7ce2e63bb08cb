/*
 * A view of bytes owned by somebody else: {data, size}, passed by value, never NUL-terminated.
 *
 * Everything that comes from outside (payloads, topics, rule text) travels as `struct bytes`; C
 * strings exist only at the edges to libc and to third-party libraries.
 */
#ifndef HEADGATE_BASE_BYTES_H
#define HEADGATE_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const char *data;
    size_t size;
};

/* For printf's "%.*s". Sizes above INT_MAX are cut; everything printed is bounded far below. */
#define BYTES_ARG(b) ((b).size > 0x7fffffff ? 0x7fffffff : (int)(b).size), ((b).data)

/* A literal as bytes, usable in initialisers. */
#define BYTES(literal) ((struct bytes){"" literal, sizeof(literal) - 1})

static inline struct bytes
bytes_of(const void *data, size_t size)
{
    return (struct bytes){data, size};
}

static inline struct bytes
bytes_of_string(const char *string)
{
    return (struct bytes){string, string == NULL ? 0 : strlen(string)};
}

static inline bool
bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool
bytes_equal_string(struct bytes a, const char *string)
{
    return bytes_equal(a, bytes_of_string(string));
}

/* memcmp order, shorter first. */
int bytes_compare(struct bytes a, struct bytes b);

/* ASCII letters compare without case; all other bytes exactly. */
bool bytes_equal_nocase(struct bytes a, struct bytes b);

bool bytes_starts_with(struct bytes whole, struct bytes start);
bool bytes_ends_with(struct bytes whole, struct bytes end);

/* Index of the first `c`, or `whole.size` when there is none. */
size_t bytes_find(struct bytes whole, char c);

/* The part [from, to); both are clamped to the size. */
struct bytes bytes_slice(struct bytes whole, size_t from, size_t to);

/* Without leading and trailing ASCII white space. */
struct bytes bytes_trim(struct bytes whole);

/*
 * Takes the next part up to `separator` off the front of `*rest` into `*part`; false when nothing
 * is left. "a//b" gives "a", "", "b"; an empty view gives one empty part. `*rest` has data NULL
 * after the last part.
 */
bool bytes_split(struct bytes *rest, char separator, struct bytes *part);

/* A decimal integer that fills the whole view ("-12"); false on anything else or overflow. */
bool bytes_to_int64(struct bytes text, int64_t *out);

/* Whether the view is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool bytes_is_utf8(struct bytes text);

/* A NUL-terminated heap copy; the caller frees it with free(). */
char *bytes_to_string(struct bytes text);

/*
 * The number of edits (insert, delete, replace, swap neighbours) between two names, without case;
 * for "did you mean". Names longer than 64 bytes are never near (returns SIZE_MAX).
 */
size_t bytes_distance(struct bytes a, struct bytes b);

#endif
