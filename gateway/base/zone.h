/*
 * Time zones: which offset from UTC holds at an instant, and which instant a local time names.
 *
 * A zone is made from the bytes of a TZif file (RFC 8536, versions 1 to 4, as zic writes them below
 * /usr/share/zoneinfo), or from a name that needs no file ("UTC", "+05:30"). It is read-only
 * afterwards: threads may share it. Pure: no clock, no environment, no files (zone_cache.h reads
 * those). All times are int64 seconds since 1970-01-01T00:00Z, without leap seconds.
 */
#ifndef HEADGATE_BASE_ZONE_H
#define HEADGATE_BASE_ZONE_H

#include "arena.h"

struct zone;

enum { ZONE_BYTES_MAX = 256 * 1024, ZONE_OFFSET_MAX_S = 26 * 3600 };

/*
 * A stretch of time without a change: [start_s, end_s). Two neighbours may differ in the
 * abbreviation only. INT64_MIN and INT64_MAX stand for no bound.
 */
struct zone_span {
    int64_t start_s;
    int64_t end_s;
    int32_t offset_s; /* local time minus UTC: east is positive */
    bool is_dst;
    struct bytes abbreviation; /* "CET", "-03"; of a fixed offset its name: "UTC", "+05:30" */
};

/*
 * Reads TZif bytes; `name` and all that is needed of `tzif` are copied. NULL when the bytes are
 * not a well-formed TZif file, or one that counts leap seconds ("right/...").
 */
const struct zone *zone_parse(struct bytes name, struct bytes tzif, struct arena *arena);

/*
 * A zone whose name says its offset: "Z", "UTC", "GMT", "UT", each of the last three with an offset
 * behind it ("UTC+01:00"), or the offset alone: [+-] h, hh, hhmm, hh:mm, hhmmss, hh:mm:ss, up to 18
 * hours (as java.time.ZoneId.of has them). NULL for any other name. Case matters.
 */
const struct zone *zone_fixed(struct bytes name, struct arena *arena);

/* One of `offset_s` (at most ZONE_OFFSET_MAX_S either way), named "UTC" or "+05:30". */
const struct zone *zone_of_offset(int32_t offset_s, struct arena *arena);

struct bytes zone_name(const struct zone *zone);

/* Whether zone_fixed() or zone_of_offset() made it: it has one span for ever. */
bool zone_is_fixed(const struct zone *zone);

/* The span that holds an instant. */
struct zone_span zone_at(const struct zone *zone, int64_t utc_s);

/*
 * The instant of a local time ("seconds since 1970" as a clock there shows them), and in `span`
 * (may be NULL) what holds at that instant. As java.time.ZonedDateTime.ofLocal: of two instants (a
 * clock was set back) the earlier, that of the offset before; a time that no clock showed (it was
 * set forward) is moved forward by the length of the gap. `local_s` must be at least
 * ZONE_OFFSET_MAX_S away from the ends of int64.
 */
int64_t zone_utc_of_local(const struct zone *zone, int64_t local_s, struct zone_span *span);

/* "+05:30", "-00:44:30"; of 0 "+00:00". */
struct bytes zone_offset_text(int32_t offset_s, struct arena *arena);

#endif
