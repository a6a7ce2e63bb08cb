#include "zone_name.h"

struct zone_name {
    struct bytes short_name, long_name;
    int32_t offset_s;
    struct bytes zone;
};

/* Names that do not say whether it is summer are read only. */
#define ANY_SEASON INT32_MAX

static const struct zone_name names[] = {
#define ZONE_NAME(short_name, long_name, hours, zone) \
    {{short_name, sizeof short_name - 1},             \
     {long_name, sizeof long_name - 1},               \
     (int32_t)((hours)*3600),                         \
     {zone, sizeof zone - 1}},
#define ZONE_NAME_ANY(short_name, long_name, zone) \
    {{short_name, sizeof short_name - 1},          \
     {long_name, sizeof long_name - 1},            \
     ANY_SEASON,                                   \
     {zone, sizeof zone - 1}},
#include "zone_names.def"
#undef ZONE_NAME
#undef ZONE_NAME_ANY
};

enum { NAMES = sizeof names / sizeof names[0] };

const struct zone *
run_zone(struct run *run, struct bytes name)
{
    const struct zone *zone = zone_fixed(name, run->arena);
    const struct rule_host *host = run->message == NULL ? NULL : run->message->host;
    if (zone == NULL && host != NULL && host->zone != NULL) {
        zone = host->zone(host->context, name);
    }
    return zone;
}

static bool
is_number(struct bytes abbreviation)
{
    return abbreviation.size > 0 &&
           (abbreviation.data[0] == '+' || abbreviation.data[0] == '-');
}

/* By the abbreviation, which several zones share, or by the zone where there is only a number. */
static const struct zone_name *
find(const struct zone *zone, const struct zone_span *span)
{
    for (size_t i = 0; i < NAMES; i++) {
        bool named = is_number(span->abbreviation)
                             ? bytes_equal(names[i].zone, zone_name(zone))
                             : bytes_equal(names[i].short_name, span->abbreviation);
        if (named && names[i].offset_s == span->offset_s) {
            return &names[i];
        }
    }
    return NULL;
}

struct bytes
zone_short_name(const struct zone *zone, const struct zone_span *span, struct arena *arena)
{
    if (!is_number(span->abbreviation)) {
        return span->abbreviation;
    }
    const struct zone_name *name = find(zone, span);
    return name != NULL ? name->short_name : zone_offset_text(span->offset_s, arena);
}

struct bytes
zone_long_name(const struct zone *zone, const struct zone_span *span, struct arena *arena)
{
    const struct zone_name *name = find(zone, span);
    return name != NULL ? name->long_name : zone_offset_text(span->offset_s, arena);
}

size_t
zone_name_read(struct bytes text, bool full, struct bytes *zone)
{
    size_t size = 0;
    for (size_t i = 0; i < NAMES; i++) {
        struct bytes name = full ? names[i].long_name : names[i].short_name;
        if (name.size > size && bytes_starts_with(text, name)) {
            size = name.size;
            *zone = names[i].zone;
        }
    }
    return size;
}
