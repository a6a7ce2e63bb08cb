/*
 * Open addressing with linear probing, at most half full. Keys are copied into an arena that is
 * reset when the index is cleared. Not thread-safe: it belongs to the writer.
 */
#include "series_index.h"

#include "base/mem.h"

#include <stdlib.h>

struct series_index_slot {
    struct bytes key;
    uint64_t hash;
    int64_t number; /* 0: free */
};

enum { CAPACITY_FIRST = 256 };

/* FNV-1a, folded at the end because the low bits choose the slot. */
static uint64_t
hash_of(struct bytes key)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < key.size; i++) {
        hash = (hash ^ (unsigned char)key.data[i]) * UINT64_C(0x100000001b3);
    }
    return hash ^ (hash >> 32);
}

void
series_index_fini(struct series_index *index)
{
    free(index->slots);
    arena_fini(&index->keys);
    *index = (struct series_index){0};
}

void
series_index_clear(struct series_index *index)
{
    if (index->capacity > 0) {
        memset(index->slots, 0, index->capacity * sizeof *index->slots);
    }
    index->count = 0;
    arena_reset(&index->keys);
}

int64_t
series_index_find(const struct series_index *index, struct bytes key)
{
    if (index->capacity == 0) {
        return 0;
    }
    uint64_t hash = hash_of(key);
    size_t mask = index->capacity - 1;
    for (size_t i = hash & mask; index->slots[i].number != 0; i = (i + 1) & mask) {
        if (index->slots[i].hash == hash && bytes_equal(index->slots[i].key, key)) {
            return index->slots[i].number;
        }
    }
    return 0;
}

static void
place(struct series_index *index, struct series_index_slot slot)
{
    size_t mask = index->capacity - 1;
    size_t i = slot.hash & mask;
    while (index->slots[i].number != 0) {
        i = (i + 1) & mask;
    }
    index->slots[i] = slot;
}

static void
grow(struct series_index *index)
{
    struct series_index_slot *old = index->slots;
    size_t old_capacity = index->capacity;
    index->capacity = old_capacity == 0 ? CAPACITY_FIRST : old_capacity * 2;
    index->slots = mem_new_array(struct series_index_slot, index->capacity);
    for (size_t i = 0; i < old_capacity; i++) {
        if (old[i].number != 0) {
            place(index, old[i]);
        }
    }
    free(old);
}

void
series_index_add(struct series_index *index, struct bytes key, int64_t number)
{
    check(number != 0);
    if (index->count >= SERIES_INDEX_MAX) {
        series_index_clear(index);
    }
    if (index->count * 2 >= index->capacity) {
        grow(index);
    }
    place(index, (struct series_index_slot){
                         .key = arena_copy(&index->keys, key),
                         .hash = hash_of(key),
                         .number = number,
                 });
    index->count++;
}
