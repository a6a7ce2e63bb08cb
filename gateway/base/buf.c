#include "buf.h"

#include "mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void
buf_fini(struct buf *buf)
{
    if (buf->arena == NULL) {
        free(buf->data);
    }
    *buf = (struct buf){.arena = buf->arena};
}

static void
grow_in_arena(struct buf *buf, size_t capacity)
{
    struct arena *arena = buf->arena;
    size_t more = capacity - buf->capacity;
    bool newest = buf->data != NULL && buf->data + buf->capacity == arena->next;
    if (newest && more <= (size_t)(arena->end - arena->next)) {
        arena_alloc_aligned(arena, more, 1);
        return;
    }
    char *data = arena_alloc_aligned(arena, capacity, 1);
    if (buf->size > 0) {
        memcpy(data, buf->data, buf->size);
    }
    buf->data = data;
}

char *
buf_reserve(struct buf *buf, size_t more)
{
    size_t wanted;
    check(!__builtin_add_overflow(buf->size, more, &wanted));
    if (wanted > buf->capacity) {
        size_t capacity = buf->capacity < 64 ? 64 : buf->capacity;
        while (capacity < wanted) {
            check(!__builtin_mul_overflow(capacity, 2, &capacity));
        }
        if (buf->arena == NULL) {
            buf->data = mem_realloc(buf->data, capacity);
        } else {
            grow_in_arena(buf, capacity);
        }
        buf->capacity = capacity;
    }
    return buf->data + buf->size;
}

void
buf_append(struct buf *buf, struct bytes bytes)
{
    if (bytes.size > 0) {
        memcpy(buf_reserve(buf, bytes.size), bytes.data, bytes.size);
        buf->size += bytes.size;
    }
}

void
buf_append_string(struct buf *buf, const char *string)
{
    buf_append(buf, bytes_of_string(string));
}

void
buf_append_char(struct buf *buf, char c)
{
    *buf_reserve(buf, 1) = c;
    buf->size++;
}

void
buf_append_int64(struct buf *buf, int64_t value)
{
    char digits[24];
    char *end = digits + sizeof digits;
    char *p = end;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        *--p = (char)('0' + left % 10);
        left /= 10;
    } while (left != 0);
    if (value < 0) {
        *--p = '-';
    }
    buf_append(buf, bytes_of(p, (size_t)(end - p)));
}

void
buf_vprintf(struct buf *buf, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    check(size >= 0);
    char *to = buf_reserve(buf, (size_t)size + 1);
    vsnprintf(to, (size_t)size + 1, format, again);
    va_end(again);
    buf->size += (size_t)size;
}

void
buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buf_vprintf(buf, format, args);
    va_end(args);
}

void
buf_append_count(struct buf *buf, uint64_t count, const char *thing)
{
    buf_printf(buf, "%" PRIu64 " %s%s", count, thing, count == 1 ? "" : "s");
}

const char *
buf_string(struct buf *buf)
{
    *buf_reserve(buf, 1) = '\0';
    return buf->data;
}

char *
buf_take_string(struct buf *buf)
{
    check(buf->arena == NULL);
    buf_string(buf);
    char *string = buf->data;
    *buf = (struct buf){0};
    return string;
}
