/*
 * Zones by name: those of the system's zone files, read when first asked for and kept.
 *
 * A cache belongs to one thread; a zone that it gave out is read-only and may be used by others
 * while the cache lives. Reading a zone blocks for one small file, once a name; a name without a
 * file is remembered too, up to a number of them, so that names out of messages cannot make the
 * gateway look for files again and again.
 */
#ifndef HEADGATE_BASE_ZONE_CACHE_H
#define HEADGATE_BASE_ZONE_CACHE_H

#include "map.h"
#include "os.h"
#include "zone.h"

/* Where Debian's package tzdata puts them. */
#define ZONE_FOLDER "/usr/share/zoneinfo"

enum { ZONE_NAME_MAX = 64, ZONES_MISSING_MAX = 256 };

struct zone_cache {
    const struct os *os;
    const char *folder;
    struct map zones;
    struct arena zone_arena;
    struct map missing;
    struct arena missing_arena; /* forgotten as a whole when full */
};

/* Both must live as long as the cache. Nothing is read yet. */
void zone_cache_init(struct zone_cache *cache, const struct os *os, const char *folder);
void zone_cache_fini(struct zone_cache *cache);

/*
 * The zone in the file `folder`/NAME (for "+05:30" and the like ask zone_fixed() first). NULL when
 * there is none, when the file cannot be read or is no zone, and for names that are no plain path
 * downward (letters, digits, '_', '+', '-', single '/'). It lives as long as the cache.
 */
const struct zone *zone_cache_find(struct zone_cache *cache, struct bytes name);

#endif
