#include "mem.h"

#include "check.h"

#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 64 };

void *
mem_alloc(size_t size)
{
    void *memory = malloc(size == 0 ? 1 : size);
    check(memory != NULL && "out of memory");
    return memory;
}

void *
mem_alloc_zeroed(size_t count, size_t size)
{
    void *memory = calloc(count == 0 ? 1 : count, size == 0 ? 1 : size);
    check(memory != NULL && "out of memory");
    return memory;
}

void *
mem_alloc_lines(size_t count, size_t size)
{
    size_t total;
    check(!__builtin_mul_overflow(count, size, &total) &&
          !__builtin_add_overflow(total == 0 ? 1 : total, LINE_BYTES - 1, &total));
    total &= ~(size_t)(LINE_BYTES - 1);
    void *memory = aligned_alloc(LINE_BYTES, total);
    check(memory != NULL && "out of memory");
    return memset(memory, 0, total);
}

void *
mem_realloc(void *old, size_t size)
{
    void *memory = realloc(old, size == 0 ? 1 : size);
    check(memory != NULL && "out of memory");
    return memory;
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
