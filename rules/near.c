/* Small distances between names, and between topics level by level. */
#include "near.h"

#include "topic.h"

#include <ctype.h>

/* ---- fields ---- */

/* The next letter or digit at or behind `*at`, in lower case; 0 at the end. */
static int
next_plain(struct bytes text, size_t *at, bool keeps_dots)
{
    while (*at < text.size) {
        unsigned char c = (unsigned char)text.data[(*at)++];
        if (c >= 0x80 || isalnum(c) || (keeps_dots && c == '.')) {
            return tolower(c);
        }
    }
    return 0;
}

/* Without case, '_' and '-'. */
static bool
is_alike(struct bytes a, struct bytes b)
{
    size_t i = 0, j = 0;
    int x, y;
    do {
        x = next_plain(a, &i, true);
        y = next_plain(b, &j, true);
    } while (x == y && x != 0);
    return x == y;
}

static struct bytes
last_segment(struct bytes path)
{
    size_t start = 0;
    for (size_t i = 0; i < path.size; i++) {
        start = path.data[i] == '.' ? i + 1 : start;
    }
    return bytes_slice(path, start, path.size);
}

enum near_field
near_field(struct bytes wanted, struct bytes seen, size_t *distance)
{
    *distance = bytes_distance(wanted, seen);
    if (is_alike(wanted, seen)) {
        return NEAR_FIELD_CASE;
    }
    if (is_alike(last_segment(wanted), last_segment(seen))) {
        *distance = wanted.size > seen.size ? wanted.size - seen.size : seen.size - wanted.size;
        return NEAR_FIELD_LEVEL;
    }
    size_t allowed = wanted.size < 3 ? 0 : wanted.size / 4 + 1;
    return *distance <= allowed ? NEAR_FIELD_SPELLING : NEAR_FIELD_NOT;
}

/* ---- topics ---- */

enum { LEVELS_MAX = 16 };

struct levels {
    struct bytes items[LEVELS_MAX];
    size_t count;
};

/* False when there are more levels than anybody compares by eye. */
static bool
split(struct bytes text, struct levels *out)
{
    out->count = 0;
    struct bytes rest = text, level;
    while (bytes_split(&rest, '/', &level)) {
        if (out->count == LEVELS_MAX) {
            return false;
        }
        out->items[out->count++] = level;
    }
    return true;
}

static bool
fits(struct bytes filter, struct bytes level)
{
    return bytes_equal(filter, BYTES("+")) || bytes_equal(filter, level);
}

static bool
is_wild(struct bytes level)
{
    return bytes_equal(level, BYTES("+")) || bytes_equal(level, BYTES("#"));
}

static bool
is_plural(struct bytes a, struct bytes b)
{
    return a.size == b.size + 1 && bytes_ends_with(a, BYTES("s")) &&
           bytes_equal_nocase(bytes_slice(a, 0, b.size), b);
}

static bool
is_near_level(struct bytes wanted, struct bytes level)
{
    if (is_wild(wanted) || wanted.size == 0 || level.size == 0) {
        return false;
    }
    return is_alike(wanted, level) || is_plural(wanted, level) || is_plural(level, wanted) ||
           (wanted.size > 2 && bytes_distance(wanted, level) <= wanted.size / 4 + 1);
}

/* As many levels as the filter wants, and all but one or two of them fit. */
static bool
is_near_by_names(const struct levels *filter, const struct levels *topic, struct arena *arena,
                 struct bytes *why)
{
    struct buf text = {.arena = arena};
    size_t fitting = 0, near = 0;
    bool open = filter->count > 0 && bytes_equal(filter->items[filter->count - 1], BYTES("#"));
    size_t count = open ? filter->count - 1 : filter->count;
    if (open ? topic->count <= count : topic->count != count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (fits(filter->items[i], topic->items[i])) {
            fitting++;
        } else if (is_near_level(filter->items[i], topic->items[i])) {
            near++;
            buf_printf(&text, "%slevel %zu is '%.*s', the filter has '%.*s'",
                       near > 1 ? "; " : "", i + 1, BYTES_ARG(topic->items[i]),
                       BYTES_ARG(filter->items[i]));
        }
    }
    *why = buf_bytes(&text);
    return fitting + near == count && near > 0 && near <= 2;
}

/* The filter without one of its levels. */
static struct bytes
without_level(const struct levels *levels, size_t skip, struct arena *arena)
{
    struct buf shorter = {.arena = arena};
    for (size_t i = 0; i < levels->count; i++) {
        if (i != skip) {
            buf_append_string(&shorter, i == 0 || (skip == 0 && i == 1) ? "" : "/");
            buf_append(&shorter, levels->items[i]);
        }
    }
    return buf_bytes(&shorter);
}

/* One level of the topic is too much. */
static bool
is_near_by_count(struct bytes filter, const struct levels *topic, struct arena *arena,
                 struct bytes *why)
{
    for (size_t skip = 0; skip < topic->count && topic->count > 1; skip++) {
        if (topic_match(filter, without_level(topic, skip, arena))) {
            struct bytes level = topic->items[skip];
            *why = level.size == 0
                           ? arena_printf(arena, "it has a %s'/' too many",
                                          skip == 0 ? "leading " : "")
                           : arena_printf(arena,
                                          "it has a level that the filter does not have: '%.*s'",
                                          BYTES_ARG(level));
            return true;
        }
    }
    return false;
}

/* One level of the filter is missing in the topic; rather a wildcard than a name. */
static bool
is_near_by_gap(const struct levels *filter, struct bytes topic, struct arena *arena,
               struct bytes *why)
{
    size_t best = LEVELS_MAX;
    for (size_t skip = 0; skip < filter->count; skip++) {
        struct bytes level = filter->items[skip];
        bool better = best == LEVELS_MAX || (is_wild(level) && !is_wild(filter->items[best]));
        if (better && !bytes_equal(level, BYTES("#")) &&
            topic_match(without_level(filter, skip, arena), topic)) {
            best = skip;
        }
    }
    if (best == LEVELS_MAX) {
        return false;
    }
    size_t named = 0;
    for (size_t i = 0; i < filter->count; i++) {
        named += i != best && !is_wild(filter->items[i]);
    }
    struct bytes level = filter->items[best];
    *why = level.size == 0 ? arena_printf(arena, "the filter has a '/' that it does not have")
                           : arena_printf(arena, "it lacks level %zu of the filter, '%.*s'",
                                          best + 1, BYTES_ARG(level));
    return named > 0;
}

bool
near_topic(struct bytes filter, struct bytes topic, struct arena *arena, struct bytes *why)
{
    struct levels wanted, there;
    if (topic_match(filter, topic) || !split(filter, &wanted) || !split(topic, &there) ||
        bytes_starts_with(topic, BYTES("$")) != bytes_starts_with(filter, BYTES("$"))) {
        return false;
    }
    struct bytes parent = bytes_slice(filter, 0, filter.size < 2 ? 0 : filter.size - 2);
    if (bytes_ends_with(filter, BYTES("/#")) && topic_match(parent, topic)) {
        *why = arena_printf(arena, "'%.*s' matches only what is below it: in AWS IoT, 'a/#' does "
                                   "not match 'a'",
                            BYTES_ARG(filter));
        return true;
    }
    return is_near_by_names(&wanted, &there, arena, why) ||
           is_near_by_count(filter, &there, arena, why) ||
           is_near_by_gap(&wanted, topic, arena, why);
}
