/*
 * Memory that is given back all at once: one arena for a message, a rule file, a query.
 *
 * arena_alloc() moves a pointer; arena_reset() makes all of it free again and keeps the largest
 * block, so that a steady stream of messages calls malloc never. Not thread-safe: an arena belongs
 * to one thread.
 */
#ifndef HEADGATE_BASE_ARENA_H
#define HEADGATE_BASE_ARENA_H

#include "bytes.h"
#include "check.h"

struct arena_block;

struct arena {
    struct arena_block *block; /* newest first */
    char *next;
    char *end;
};

/* `struct arena a = {0};` is an empty arena. Frees all blocks; the arena may be used again. */
void arena_fini(struct arena *arena);

/* Everything allocated before is invalid afterwards. */
void arena_reset(struct arena *arena);

/* Uninitialised, aligned for any type. Never NULL. */
void *arena_alloc(struct arena *arena, size_t size) __attribute__((returns_nonnull));
void *arena_alloc_zeroed(struct arena *arena, size_t count, size_t size)
        __attribute__((returns_nonnull));

#define arena_new(arena, type) ((type *)arena_alloc_zeroed((arena), 1, sizeof(type)))
#define arena_new_array(arena, type, count) \
    ((type *)arena_alloc_zeroed((arena), (count), sizeof(type)))

/* Uninitialised, at a multiple of `alignment`, a power of two: 1 for texts. */
void *arena_alloc_aligned(struct arena *arena, size_t size, size_t alignment)
        __attribute__((returns_nonnull));

/* A copy of the bytes, NUL-terminated behind its size, not aligned. */
struct bytes arena_copy(struct arena *arena, struct bytes bytes);

/* Formatted text, not aligned, NUL-terminated behind its size. */
struct bytes arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);

/* Bytes held by the arena's blocks: for limits and metrics. */
size_t arena_footprint(const struct arena *arena);

#endif
