/*
 * A growing byte buffer that owns its memory. `struct buf b = {0};` is an empty one.
 *
 * `struct buf b = {.arena = &arena};` grows inside an arena instead: nothing to free, for texts
 * that live as long as a batch. While it is the arena's newest allocation it grows in place.
 *
 * `data` may be NULL while `size` is 0. The views that buf_bytes() gives are valid until the next
 * call that appends.
 */
#ifndef HEADGATE_BASE_BUF_H
#define HEADGATE_BASE_BUF_H

#include "arena.h"
#include "bytes.h"
#include "check.h"

#include <stdarg.h>

struct buf {
    char *data;
    size_t size;
    size_t capacity;
    struct arena *arena; /* NULL: the heap */
};

/* Frees the memory (an arena keeps it) and leaves an empty buffer that may be used again. */
void buf_fini(struct buf *buf);

/* Room for `more` bytes beyond `size`; returns where they start. Does not change `size`. */
char *buf_reserve(struct buf *buf, size_t more);

void buf_append(struct buf *buf, struct bytes bytes);
void buf_append_string(struct buf *buf, const char *string);
void buf_append_char(struct buf *buf, char c);
void buf_append_int64(struct buf *buf, int64_t value);
void buf_printf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(struct buf *buf, const char *format, va_list args) PRINTF_LIKE(2, 0);

/* Drops the content, keeps the memory. */
static inline void
buf_clear(struct buf *buf)
{
    buf->size = 0;
}

static inline struct bytes
buf_bytes(const struct buf *buf)
{
    return bytes_of(buf->data, buf->size);
}

/* "1 file", "2 files", "0 files". */
void buf_append_count(struct buf *buf, uint64_t count, const char *thing);

/* NUL-terminates (the NUL is not counted in `size`) and returns the text, "" when empty. */
const char *buf_string(struct buf *buf);

/* Hands the memory over as a NUL-terminated string to be freed with free(); empties `buf`, which
 * must not live in an arena. */
char *buf_take_string(struct buf *buf);

#endif
