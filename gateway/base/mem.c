#include "mem.h"

#include "check.h"
#include "heap.h"

#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 64 };

static void *
given(void *memory, size_t size)
{
    if (memory == NULL) {
        heap_exhausted(size);
    }
    return memory;
}

void *
mem_alloc(size_t size)
{
    return given(malloc(size == 0 ? 1 : size), size);
}

void *
mem_alloc_zeroed(size_t count, size_t size)
{
    size_t total;
    check(!__builtin_mul_overflow(count, size, &total));
    return given(calloc(count == 0 ? 1 : count, size == 0 ? 1 : size), total);
}

void *
mem_alloc_lines(size_t count, size_t size)
{
    size_t total;
    check(!__builtin_mul_overflow(count, size, &total) &&
          !__builtin_add_overflow(total == 0 ? 1 : total, LINE_BYTES - 1, &total));
    total &= ~(size_t)(LINE_BYTES - 1);
    return memset(given(aligned_alloc(LINE_BYTES, total), total), 0, total);
}

void *
mem_realloc(void *old, size_t size)
{
    return given(realloc(old, size == 0 ? 1 : size), size);
}

void *
mem_grow(void *items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity) {
        return items;
    }
    size_t wanted = *capacity == 0 ? 8 : *capacity * 2;
    size_t total;
    check(!__builtin_mul_overflow(wanted, size, &total));
    *capacity = wanted;
    return mem_realloc(items, total);
}
