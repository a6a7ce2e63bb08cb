/*
 * A hash map from bytes to pointers. Keys are borrowed: they must live as long as the map.
 *
 * `struct map m = {0};` is an empty one. Open addressing, grows at 3/4, never shrinks; a removal
 * leaves no tombstone. The hash is seeded per process, so that topics and names from outside
 * cannot be chosen to collide.
 */
#ifndef HEADGATE_BASE_MAP_H
#define HEADGATE_BASE_MAP_H

#include "bytes.h"

struct map_slot;

struct map {
    struct map_slot *slots;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

void map_fini(struct map *map);

/* The value, or NULL. */
void *map_find(const struct map *map, struct bytes key);

/* Sets a value (not NULL); returns the one that it replaced, or NULL. */
void *map_put(struct map *map, struct bytes key, void *value);

/* Returns the value that was there, or NULL. */
void *map_remove(struct map *map, struct bytes key);

/* The next entry at or behind `*cursor` (start with 0), in no order; false at the end. */
bool map_next(const struct map *map, size_t *cursor, struct bytes *key, void **value);

/* Bytes of the table, without the keys. */
size_t map_footprint(const struct map *map);

uint64_t map_hash(struct bytes key);

#endif
