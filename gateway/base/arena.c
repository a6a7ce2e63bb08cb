#include "arena.h"

#include "mem.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct arena_block {
    struct arena_block *older;
    size_t size;
    alignas(max_align_t) char data[];
};

enum { ARENA_BLOCK_MIN_BYTES = 1024, ARENA_BLOCK_MAX_BYTES = 1024 * 1024 };

void
arena_fini(struct arena *arena)
{
    while (arena->block != NULL) {
        struct arena_block *older = arena->block->older;
        free(arena->block);
        arena->block = older;
    }
    *arena = (struct arena){0};
}

static void
use_block(struct arena *arena, struct arena_block *block)
{
    arena->block = block;
    arena->next = block->data;
    arena->end = block->data + block->size;
}

void
arena_reset(struct arena *arena)
{
    struct arena_block *largest = NULL;
    while (arena->block != NULL) {
        struct arena_block *block = arena->block;
        arena->block = block->older;
        bool keep = block->size <= ARENA_BLOCK_MAX_BYTES &&
                    (largest == NULL || block->size > largest->size);
        if (keep) {
            free(largest);
            largest = block;
        } else {
            free(block);
        }
    }
    *arena = (struct arena){0};
    if (largest != NULL) {
        largest->older = NULL;
        use_block(arena, largest);
    }
}

static void
add_block(struct arena *arena, size_t size)
{
    size_t wanted = arena->block == NULL ? ARENA_BLOCK_MIN_BYTES : arena->block->size * 2;
    wanted = wanted > ARENA_BLOCK_MAX_BYTES ? ARENA_BLOCK_MAX_BYTES : wanted;
    wanted = wanted < size ? size : wanted;
    struct arena_block *block = mem_alloc(sizeof *block + wanted);
    block->older = arena->block;
    block->size = wanted;
    use_block(arena, block);
}

void *
arena_alloc_aligned(struct arena *arena, size_t size, size_t alignment)
{
    size_t gap = -(uintptr_t)arena->next & (alignment - 1);
    size_t needed;
    check(!__builtin_add_overflow(size, gap, &needed));
    if (arena->block == NULL || needed > (size_t)(arena->end - arena->next)) {
        check(!__builtin_add_overflow(size, alignment - 1, &needed));
        add_block(arena, needed);
        gap = -(uintptr_t)arena->next & (alignment - 1);
    }
    char *memory = arena->next + gap;
    arena->next = memory + size;
    return memory;
}

void *
arena_alloc(struct arena *arena, size_t size)
{
    return arena_alloc_aligned(arena, size, alignof(max_align_t));
}

void *
arena_alloc_zeroed(struct arena *arena, size_t count, size_t size)
{
    size_t total;
    check(!__builtin_mul_overflow(count, size, &total));
    return memset(arena_alloc(arena, total), 0, total);
}

struct bytes
arena_copy(struct arena *arena, struct bytes bytes)
{
    char *copy = arena_alloc_aligned(arena, bytes.size + 1, 1);
    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    copy[bytes.size] = '\0';
    return bytes_of(copy, bytes.size);
}

struct bytes
arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    check(size >= 0);
    char *text = arena_alloc_aligned(arena, (size_t)size + 1, 1);
    vsnprintf(text, (size_t)size + 1, format, again);
    va_end(again);
    return bytes_of(text, (size_t)size);
}

size_t
arena_footprint(const struct arena *arena)
{
    size_t total = 0;
    for (const struct arena_block *block = arena->block; block != NULL; block = block->older) {
        total += block->size;
    }
    return total;
}
