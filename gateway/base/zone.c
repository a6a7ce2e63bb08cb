/*
 * A zone is a list of changes, and a rule for the years behind the last of them. Looking up is a
 * binary search in the list; behind it the rule is asked (zone_rule.c).
 *
 * Local times are resolved over spans: the first span whose end, read off its own clock, lies
 * behind the local time is the one, which gives the earlier of two instants; and a local time
 * before that span's start has been skipped. No case of this needs a guess of how far offsets can
 * jump.
 */
#include "zone_data.h"

#include <stdlib.h> /* abs */

/* ---- fixed zones ---- */

enum { FIXED_HOURS_MAX = 18 };

struct bytes
zone_offset_text(int32_t offset_s, struct arena *arena)
{
    int32_t size = abs(offset_s);
    struct bytes text = arena_printf(arena, "%c%02d:%02d:%02d", offset_s < 0 ? '-' : '+',
                                     size / 3600, size / 60 % 60, size % 60);
    return size % 60 == 0 ? bytes_slice(text, 0, text.size - 3) : text;
}

/* `name` and `abbreviation` are kept as they are. */
static const struct zone *
make_fixed(struct bytes name, struct bytes abbreviation, int32_t offset_s, struct arena *arena)
{
    struct zone_kind *kind = arena_new(arena, struct zone_kind);
    *kind = (struct zone_kind){.offset_s = offset_s, .abbreviation = abbreviation};
    struct zone *zone = arena_new(arena, struct zone);
    *zone = (struct zone){.name = name, .is_fixed = true, .first = kind};
    return zone;
}

const struct zone *
zone_of_offset(int32_t offset_s, struct arena *arena)
{
    check(abs(offset_s) <= ZONE_OFFSET_MAX_S);
    struct bytes name = offset_s == 0 ? BYTES("UTC") : zone_offset_text(offset_s, arena);
    return make_fixed(name, name, offset_s, arena);
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* One or two digits (two: exactly) below `limit`. */
static bool
take_part(struct bytes *rest, bool two, int32_t limit, int32_t *out)
{
    size_t count = 0;
    *out = 0;
    while (count < 2 && count < rest->size && is_digit(rest->data[count])) {
        *out = *out * 10 + (rest->data[count++] - '0');
    }
    *rest = bytes_slice(*rest, count, rest->size);
    return count > 0 && (count == 2 || !two) && *out < limit;
}

/* [+-]h, hh, then mm and ss, all with colons or all without. */
static bool
parse_offset(struct bytes text, int32_t *out)
{
    if (text.size < 2 || (text.data[0] != '+' && text.data[0] != '-')) {
        return false;
    }
    struct bytes rest = bytes_slice(text, 1, text.size);
    int32_t parts[3] = {0};
    bool colons = bytes_find(rest, ':') < rest.size;
    if (!take_part(&rest, text.size > 2, FIXED_HOURS_MAX + 1, &parts[0])) {
        return false;
    }
    for (size_t i = 1; i < 3 && rest.size > 0; i++) {
        if (colons) {
            if (rest.data[0] != ':') {
                return false;
            }
            rest = bytes_slice(rest, 1, rest.size);
        }
        if (!take_part(&rest, true, 60, &parts[i])) {
            return false;
        }
    }
    int32_t offset_s = parts[0] * 3600 + parts[1] * 60 + parts[2];
    *out = text.data[0] == '-' ? -offset_s : offset_s;
    return rest.size == 0 && offset_s <= FIXED_HOURS_MAX * 3600;
}

const struct zone *
zone_fixed(struct bytes name, struct arena *arena)
{
    static const struct bytes words[] = {
            {"UTC", 3}, {"GMT", 3}, {"UT", 2}, {"Z", 1}, {"", 0}};
    size_t i = 0;
    while (!bytes_starts_with(name, words[i])) {
        i++;
    }
    struct bytes offset = bytes_slice(name, words[i].size, name.size);
    bool is_z = bytes_equal(words[i], BYTES("Z"));
    int32_t offset_s = 0;
    if (offset.size == 0 && name.size > 0) {
        struct bytes word = bytes_equal(words[i], BYTES("GMT")) ? words[i] : BYTES("UTC");
        return make_fixed(arena_copy(arena, name), word, 0, arena);
    }
    if (is_z || !parse_offset(offset, &offset_s)) {
        return NULL;
    }
    struct bytes text = offset_s == 0 ? BYTES("UTC") : zone_offset_text(offset_s, arena);
    return make_fixed(arena_copy(arena, name), text, offset_s, arena);
}

/* ---- instants ---- */

struct bytes
zone_name(const struct zone *zone)
{
    return zone->name;
}

bool
zone_is_fixed(const struct zone *zone)
{
    return zone->is_fixed;
}

/* How many changes lie at or before `utc_s`. */
static size_t
changes_until(const struct zone *zone, int64_t utc_s)
{
    size_t low = 0, high = zone->change_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (zone->changes[middle].at_s <= utc_s) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct zone_span
zone_at(const struct zone *zone, int64_t utc_s)
{
    size_t passed = changes_until(zone, utc_s);
    int64_t start_s = passed == 0 ? INT64_MIN : zone->changes[passed - 1].at_s;
    if (passed == zone->change_count && zone->has_rule) {
        struct zone_span span = zone_rule_at(&zone->rule, utc_s);
        span.start_s = span.start_s > start_s ? span.start_s : start_s;
        return span;
    }
    const struct zone_kind *kind = passed == 0 ? zone->first : zone->changes[passed - 1].kind;
    return (struct zone_span){
            .start_s = start_s,
            .end_s = passed == zone->change_count ? INT64_MAX : zone->changes[passed].at_s,
            .offset_s = kind->offset_s,
            .is_dst = kind->is_dst,
            .abbreviation = kind->abbreviation,
    };
}

int64_t
zone_utc_of_local(const struct zone *zone, int64_t local_s, struct zone_span *out)
{
    check(local_s >= INT64_MIN + ZONE_OFFSET_MAX_S && local_s <= INT64_MAX - ZONE_OFFSET_MAX_S);
    struct zone_span span = zone_at(zone, local_s - ZONE_OFFSET_MAX_S);
    int32_t offset_before_s = span.offset_s;
    while (span.end_s != INT64_MAX && local_s - span.offset_s >= span.end_s) {
        offset_before_s = span.offset_s;
        span = zone_at(zone, span.end_s);
    }
    bool skipped = span.start_s != INT64_MIN && local_s - span.offset_s < span.start_s;
    int64_t utc_s = local_s - (skipped ? offset_before_s : span.offset_s);
    if (out != NULL) {
        *out = span;
    }
    return utc_s;
}
