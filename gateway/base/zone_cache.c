/*
 * Two maps from names: to zones, and of names that have none. The first is bounded by the files of
 * the folder, the second is emptied when it is full.
 */
#include "zone_cache.h"

void
zone_cache_init(struct zone_cache *cache, const struct os *os, const char *folder)
{
    *cache = (struct zone_cache){.os = os, .folder = folder};
}

void
zone_cache_fini(struct zone_cache *cache)
{
    map_fini(&cache->zones);
    map_fini(&cache->missing);
    arena_fini(&cache->zone_arena);
    arena_fini(&cache->missing_arena);
}

static bool
is_name_byte(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           c == '_' || c == '+' || c == '-';
}

/* Words between single slashes: no dots, so nothing leads out of the folder, and no empty word, so
 * nothing is absolute. */
static bool
is_name(struct bytes name)
{
    if (name.size == 0 || name.size > ZONE_NAME_MAX) {
        return false;
    }
    bool in_word = false;
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] == '/' ? !in_word : !is_name_byte(name.data[i])) {
            return false;
        }
        in_word = name.data[i] != '/';
    }
    return in_word;
}

/* Tried in memory of its own first: a file that is no zone must leave nothing behind. */
static const struct zone *
load(struct zone_cache *cache, struct bytes name)
{
    struct arena scratch = {0};
    struct bytes path = arena_printf(&scratch, "%s/%.*s", cache->folder, BYTES_ARG(name));
    struct buf content = {.arena = &scratch};
    bool sound = os_read_file(cache->os, path.data, ZONE_BYTES_MAX, &content) == 0 &&
                 zone_parse(name, buf_bytes(&content), &scratch) != NULL;
    const struct zone *zone =
            sound ? zone_parse(name, buf_bytes(&content), &cache->zone_arena) : NULL;
    arena_fini(&scratch);
    return zone;
}

static void
remember_missing(struct zone_cache *cache, struct bytes name)
{
    if (cache->missing.count == ZONES_MISSING_MAX) {
        map_fini(&cache->missing);
        arena_reset(&cache->missing_arena);
    }
    map_put(&cache->missing, arena_copy(&cache->missing_arena, name), cache);
}

const struct zone *
zone_cache_find(struct zone_cache *cache, struct bytes name)
{
    const struct zone *zone = map_find(&cache->zones, name);
    if (zone != NULL || !is_name(name) || map_find(&cache->missing, name) != NULL) {
        return zone;
    }
    zone = load(cache, name);
    if (zone == NULL) {
        remember_missing(cache, name);
    } else {
        map_put(&cache->zones, zone_name(zone), (void *)zone);
    }
    return zone;
}
