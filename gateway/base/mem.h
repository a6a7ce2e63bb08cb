/*
 * Heap memory that never returns NULL.
 *
 * Every queue, table and text of the gateway has a limit, so running out of memory is either a
 * wrong limit or a dying machine. Both are answered alike: the process stops, the supervisor
 * starts it again, the journal holds what was acknowledged.
 */
#ifndef HEADGATE_BASE_MEM_H
#define HEADGATE_BASE_MEM_H

#include <stddef.h>

/* Uninitialised; free with free(). A size of 0 gives a valid pointer. */
void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));

/* Zeroed array of `count` elements of `size` bytes; stops on overflow. */
void *mem_alloc_zeroed(size_t count, size_t size) __attribute__((malloc, returns_nonnull));

void *mem_realloc(void *old, size_t size) __attribute__((returns_nonnull));

/* A zeroed object or array of a type. */
#define mem_new(type) ((type *)mem_alloc_zeroed(1, sizeof(type)))
#define mem_new_array(type, count) ((type *)mem_alloc_zeroed((count), sizeof(type)))

/* The same for tables that are looked up at random: begins at a cache line. Free with free(). */
void *mem_alloc_lines(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
#define mem_new_lines(type, count) ((type *)mem_alloc_lines((count), sizeof(type)))

/*
 * Makes room for one more element in a growing array: `capacity` doubles when `count` has reached
 * it. Use: items = mem_grow(items, count, &capacity, sizeof *items); items[count++] = ...
 */
void *mem_grow(void *items, size_t count, size_t *capacity, size_t size);

#endif
