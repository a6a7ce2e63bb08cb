/*
 * Topic filters level by level: three walks over two lists of levels, one step a level.
 *
 * A level is '+' (any one), '#' (this and all that follow, also none) or a word. Pure functions.
 */
#include "filters.h"

#include "rules/topic.h"

bool
filter_is_valid(struct bytes filter)
{
    const char *reason;
    size_t at;
    return topic_filter_is_valid(filter, &reason, &at);
}

static bool
is_wildcard(struct bytes level, char which)
{
    return level.size == 1 && level.data[0] == which;
}

static bool
begins_with(struct bytes text, char c)
{
    return text.size > 0 && text.data[0] == c;
}

static bool
begins_with_wildcard(struct bytes filter)
{
    return begins_with(filter, '+') || begins_with(filter, '#');
}

static bool
is_shared(struct bytes filter)
{
    return bytes_starts_with(filter, BYTES("$share/"));
}

bool
filter_matches(struct bytes filter, struct bytes topic)
{
    if (begins_with(topic, '$') && begins_with_wildcard(filter)) {
        return false;
    }
    struct bytes wanted, level;
    for (;;) {
        bool has_wanted = bytes_split(&filter, '/', &wanted);
        if (has_wanted && is_wildcard(wanted, '#')) {
            return true;
        }
        bool has_level = bytes_split(&topic, '/', &level);
        if (!has_wanted || !has_level) {
            return has_wanted == has_level;
        }
        if (!is_wildcard(wanted, '+') && !bytes_equal(wanted, level)) {
            return false;
        }
    }
}

bool
filter_covers(struct bytes outer, struct bytes inner)
{
    if (is_shared(outer) || is_shared(inner)) {
        return bytes_equal(outer, inner);
    }
    if (begins_with(inner, '$') && begins_with_wildcard(outer)) {
        return false;
    }
    struct bytes wide, narrow;
    for (;;) {
        bool has_wide = bytes_split(&outer, '/', &wide);
        if (has_wide && is_wildcard(wide, '#')) {
            return true;
        }
        bool has_narrow = bytes_split(&inner, '/', &narrow);
        if (!has_wide || !has_narrow) {
            return has_wide == has_narrow;
        }
        if (is_wildcard(narrow, '#') || (!is_wildcard(wide, '+') && !bytes_equal(wide, narrow))) {
            return false;
        }
    }
}

bool
filter_overlaps(struct bytes a, struct bytes b)
{
    if (is_shared(a) || is_shared(b)) {
        return false;
    }
    if ((begins_with(a, '$') && begins_with_wildcard(b)) ||
        (begins_with(b, '$') && begins_with_wildcard(a))) {
        return false;
    }
    struct bytes left, right;
    for (;;) {
        bool has_left = bytes_split(&a, '/', &left);
        bool has_right = bytes_split(&b, '/', &right);
        if ((has_left && is_wildcard(left, '#')) || (has_right && is_wildcard(right, '#'))) {
            return true;
        }
        if (!has_left || !has_right) {
            return has_left == has_right;
        }
        if (!is_wildcard(left, '+') && !is_wildcard(right, '+') && !bytes_equal(left, right)) {
            return false;
        }
    }
}
