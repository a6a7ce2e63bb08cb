/*
 * The rule that a TZif file ends with: a POSIX TZ string, "CET-1CEST,M3.5.0,M10.5.0/3". Offsets in
 * it count west, hours may be negative or exceed a day (RFC 8536, section 3.3.1).
 *
 * The changes of the years around an instant are laid out in order, and the last at or before it
 * counts: that covers southern summers, summers all year long, and changes that cross new year (a
 * time of 167 hours moves one by a week), without a case for each.
 */
#include "calendar.h"
#include "zone_data.h"

enum {
    SECONDS_PER_DAY = 86400,
    HOURS_MAX = 167,
    OFFSET_HOURS_MAX = 24,
    DEFAULT_CHANGE_S = 2 * 3600,
};

/* Within, no arithmetic overflows; beyond, 36 billion years away, standard time holds. */
#define INSTANT_MAX_S (INT64_C(1) << 60)

/* ---- reading ---- */

static bool
take(struct bytes *rest, char wanted)
{
    if (rest->size == 0 || rest->data[0] != wanted) {
        return false;
    }
    *rest = bytes_slice(*rest, 1, rest->size);
    return true;
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
take_number(struct bytes *rest, int32_t low, int32_t high, int32_t *out)
{
    size_t count = 0;
    int32_t value = 0;
    while (count < 3 && count < rest->size && is_digit(rest->data[count])) {
        value = value * 10 + (rest->data[count++] - '0');
    }
    *rest = bytes_slice(*rest, count, rest->size);
    *out = value;
    return count > 0 && value >= low && value <= high;
}

/* [+-]hh[:mm[:ss]] */
static bool
take_time(struct bytes *rest, int32_t hours_max, int32_t *out_s)
{
    int32_t hours, minutes = 0, seconds = 0;
    bool negative = take(rest, '-');
    if (!negative) {
        (void)take(rest, '+');
    }
    bool ok = take_number(rest, 0, hours_max, &hours);
    if (ok && take(rest, ':')) {
        ok = take_number(rest, 0, 59, &minutes);
        if (ok && take(rest, ':')) {
            ok = take_number(rest, 0, 59, &seconds);
        }
    }
    int32_t time_s = ok ? hours * 3600 + minutes * 60 + seconds : 0;
    *out_s = negative ? -time_s : time_s;
    return ok;
}

static bool
is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* "CET", or "<-03>" with digits and signs in it. */
static bool
take_abbreviation(struct bytes *rest, struct bytes *out)
{
    if (take(rest, '<')) {
        size_t end = bytes_find(*rest, '>');
        *out = bytes_slice(*rest, 0, end);
        bool closed = end < rest->size;
        *rest = bytes_slice(*rest, end + 1, rest->size);
        return closed && end > 0;
    }
    size_t size = 0;
    while (size < rest->size && is_letter(rest->data[size])) {
        size++;
    }
    *out = bytes_slice(*rest, 0, size);
    *rest = bytes_slice(*rest, size, rest->size);
    return size >= 3;
}

/* ",M3.5.0/2" */
static bool
take_day(struct bytes *rest, struct zone_day *out)
{
    *out = (struct zone_day){.form = ZONE_DAY_OF_YEAR, .time_s = DEFAULT_CHANGE_S};
    bool ok = take(rest, ',');
    if (take(rest, 'M')) {
        out->form = ZONE_DAY_OF_MONTH;
        ok = ok && take_number(rest, 1, 12, &out->month) && take(rest, '.') &&
             take_number(rest, 1, 5, &out->week) && take(rest, '.') &&
             take_number(rest, 0, 6, &out->day);
    } else if (take(rest, 'J')) {
        out->form = ZONE_DAY_JULIAN;
        ok = ok && take_number(rest, 1, 365, &out->day);
    } else {
        ok = ok && take_number(rest, 0, 365, &out->day);
    }
    if (ok && take(rest, '/')) {
        ok = take_time(rest, HOURS_MAX, &out->time_s);
    }
    return ok;
}

bool
zone_rule_parse(struct bytes text, struct zone_rule *out)
{
    struct zone_rule rule = {0};
    int32_t west_s;
    if (!take_abbreviation(&text, &rule.standard.abbreviation) ||
        !take_time(&text, OFFSET_HOURS_MAX, &west_s)) {
        return false;
    }
    rule.standard.offset_s = -west_s;
    if (text.size > 0) {
        rule.has_summer = true;
        rule.summer.is_dst = true;
        rule.summer.offset_s = rule.standard.offset_s + 3600;
        if (!take_abbreviation(&text, &rule.summer.abbreviation)) {
            return false;
        }
        if (text.size > 0 && text.data[0] != ',') {
            if (!take_time(&text, OFFSET_HOURS_MAX, &west_s)) {
                return false;
            }
            rule.summer.offset_s = -west_s;
        }
        if (!take_day(&text, &rule.starts) || !take_day(&text, &rule.ends)) {
            return false;
        }
    }
    *out = rule;
    return text.size == 0;
}

/* ---- instants ---- */

/* The day since 1970 that the form names in a year. */
static int64_t
day_in_year(const struct zone_day *day, int64_t year)
{
    int64_t new_year = calendar_days((struct calendar_date){year, 1, 1});
    if (day->form == ZONE_DAY_OF_YEAR) {
        return new_year + day->day;
    }
    if (day->form == ZONE_DAY_JULIAN) {
        bool behind_leap_day = day->day >= 60 && calendar_month_length(year, 2) == 29;
        return new_year + day->day - 1 + behind_leap_day;
    }
    unsigned month = (unsigned)day->month;
    int64_t first = calendar_days((struct calendar_date){year, month, 1});
    int64_t first_weekday = ((first + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
    int64_t in_month = (day->day - first_weekday + 7) % 7 + (day->week - 1) * 7;
    return first + (in_month < calendar_month_length(year, month) ? in_month : in_month - 7);
}

enum { YEARS_AROUND = 2, CHANGES_LAID_OUT = 2 * (2 * YEARS_AROUND + 1) };

/* The changes of five years, in order. */
struct layout {
    struct zone_change changes[CHANGES_LAID_OUT];
    size_t count;
};

static void
layout_add(struct layout *layout, struct zone_change change)
{
    size_t i = layout->count++;
    while (i > 0 && layout->changes[i - 1].at_s > change.at_s) {
        layout->changes[i] = layout->changes[i - 1];
        i--;
    }
    layout->changes[i] = change;
}

static struct layout
layout_of(const struct zone_rule *rule, int64_t year)
{
    struct layout layout = {0};
    for (int64_t y = year - YEARS_AROUND; y <= year + YEARS_AROUND; y++) {
        int64_t starts_s = day_in_year(&rule->starts, y) * SECONDS_PER_DAY + rule->starts.time_s -
                           rule->standard.offset_s;
        int64_t ends_s = day_in_year(&rule->ends, y) * SECONDS_PER_DAY + rule->ends.time_s -
                         rule->summer.offset_s;
        /* Where summer ends as the next begins, the later entry of the two counts: the start. */
        layout_add(&layout, (struct zone_change){ends_s, &rule->standard});
        layout_add(&layout, (struct zone_change){starts_s, &rule->summer});
    }
    return layout;
}

struct zone_span
zone_rule_at(const struct zone_rule *rule, int64_t utc_s)
{
    struct zone_span span = {
            .start_s = INT64_MIN, .end_s = INT64_MAX, .offset_s = rule->standard.offset_s,
            .abbreviation = rule->standard.abbreviation};
    if (!rule->has_summer || utc_s > INSTANT_MAX_S || utc_s < -INSTANT_MAX_S) {
        return span;
    }
    int64_t local_s = utc_s + rule->standard.offset_s;
    int64_t day = local_s / SECONDS_PER_DAY - (local_s % SECONDS_PER_DAY < 0);
    struct layout layout = layout_of(rule, calendar_date_of(day).year);
    size_t passed = 0;
    while (passed < layout.count && layout.changes[passed].at_s <= utc_s) {
        passed++;
    }
    check(passed > 0 && passed < layout.count); /* of the years before and after */
    const struct zone_kind *kind = layout.changes[passed - 1].kind;
    span.start_s = layout.changes[passed - 1].at_s;
    span.end_s = layout.changes[passed].at_s;
    span.offset_s = kind->offset_s;
    span.is_dst = kind->is_dst;
    span.abbreviation = kind->abbreviation;
    return span;
}
