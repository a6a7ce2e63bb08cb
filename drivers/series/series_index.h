/*
 * A bounded map in memory from a series' key to its number, so that a point costs no look-up in
 * the file. When it is full it forgets everything and fills again: the file has all of it.
 */
#ifndef HEADGATE_DRIVERS_SERIES_INDEX_H
#define HEADGATE_DRIVERS_SERIES_INDEX_H

#include "base/arena.h"

struct series_index_slot;

struct series_index {
    struct series_index_slot *slots;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
    struct arena keys;
};

enum { SERIES_INDEX_MAX = 32768 };

void series_index_fini(struct series_index *index);

/* Forgets all entries. */
void series_index_clear(struct series_index *index);

/* The number behind a key, or 0. */
int64_t series_index_find(const struct series_index *index, struct bytes key);

/* Adds a key that is not there; `number` is not 0. */
void series_index_add(struct series_index *index, struct bytes key, int64_t number);

#endif
