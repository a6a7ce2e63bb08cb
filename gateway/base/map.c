#include "map.h"

#include "check.h"
#include "mem.h"
#include "os.h"

#include <pthread.h>
#include <stdlib.h>

struct map_slot {
    struct bytes key;
    void *value; /* NULL: empty */
};

/* The process's hash seed: drawn once, read by all threads. */
static uint64_t hash_seed;
static pthread_once_t hash_seed_once = PTHREAD_ONCE_INIT;

static void
draw_seed(void)
{
    os_posix.random(&os_posix, &hash_seed, sizeof hash_seed);
}

/* Multiply and fold, eight bytes at a time. */
uint64_t
map_hash(struct bytes key)
{
    pthread_once(&hash_seed_once, draw_seed);
    uint64_t hash = hash_seed ^ key.size;
    while (key.size > 0) {
        uint64_t word = 0;
        size_t take = key.size < sizeof word ? key.size : sizeof word;
        memcpy(&word, key.data, take);
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
        key = bytes_slice(key, take, key.size);
    }
    return hash ^ (hash >> 29);
}

void
map_fini(struct map *map)
{
    free(map->slots);
    *map = (struct map){0};
}

/* The slot that holds the key, or the empty one where it would go. */
static struct map_slot *
probe(const struct map *map, struct bytes key)
{
    size_t i = map_hash(key) & (map->capacity - 1);
    while (map->slots[i].value != NULL && !bytes_equal(map->slots[i].key, key)) {
        i = (i + 1) & (map->capacity - 1);
    }
    return &map->slots[i];
}

void *
map_find(const struct map *map, struct bytes key)
{
    return map->capacity == 0 ? NULL : probe(map, key)->value;
}

static void
grow(struct map *map)
{
    struct map larger = {.capacity = map->capacity == 0 ? 16 : map->capacity * 2};
    larger.slots = mem_new_array(struct map_slot, larger.capacity);
    for (size_t i = 0; i < map->capacity; i++) {
        if (map->slots[i].value != NULL) {
            *probe(&larger, map->slots[i].key) = map->slots[i];
        }
    }
    free(map->slots);
    map->slots = larger.slots;
    map->capacity = larger.capacity;
}

void *
map_put(struct map *map, struct bytes key, void *value)
{
    check(value != NULL);
    if ((map->count + 1) * 4 > map->capacity * 3) {
        grow(map);
    }
    struct map_slot *slot = probe(map, key);
    void *replaced = slot->value;
    *slot = (struct map_slot){key, value};
    map->count += replaced == NULL;
    return replaced;
}

void *
map_remove(struct map *map, struct bytes key)
{
    struct map_slot *slot = map->capacity == 0 ? NULL : probe(map, key);
    if (slot == NULL || slot->value == NULL) {
        return NULL;
    }
    void *removed = slot->value;
    *slot = (struct map_slot){0};
    map->count--;
    /* What was pushed behind the freed slot moves up. */
    size_t i = (size_t)(slot - map->slots);
    for (;;) {
        i = (i + 1) & (map->capacity - 1);
        struct map_slot moved = map->slots[i];
        if (moved.value == NULL) {
            return removed;
        }
        map->slots[i] = (struct map_slot){0};
        *probe(map, moved.key) = moved;
    }
}

bool
map_next(const struct map *map, size_t *cursor, struct bytes *key, void **value)
{
    while (*cursor < map->capacity) {
        const struct map_slot *slot = &map->slots[(*cursor)++];
        if (slot->value != NULL) {
            *key = slot->key;
            *value = slot->value;
            return true;
        }
    }
    return false;
}

size_t
map_footprint(const struct map *map)
{
    return map->capacity * sizeof *map->slots;
}
