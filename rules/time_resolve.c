/*
 * Stage 3 of reading times: the values of fields become a date, a time of day and an offset.
 *
 * A date comes from year, month and day, else from year and day of the year, else from weeks, else
 * from a day number; a time from the hour, or from a count of the day. What was not needed is
 * compared with the result: a Tuesday that is none is a contradiction.
 */
#include "time_pattern.h"

#include "date.h"

#include "base/calendar.h"

#define NS_PER_SECOND INT64_C(1000000000)
#define NS_PER_DAY CALENDAR_NS_PER_DAY

enum {
    YEAR_MAX = 999999999,
    JULIAN_DAYS_TO_1970 = 40587,
    OFFSET_MAX_S = 18 * 3600,
    SECONDS_PER_DAY = 86400,
};

/* From the least to the largest value of each field; 24 hours are the end of a day. */
static const struct {
    int64_t low, high;
} ranges[FIELD_COUNT] = {
        [FIELD_ERA] = {0, 1},
        [FIELD_YEAR_OF_ERA] = {1, YEAR_MAX + 1},
        [FIELD_YEAR] = {-YEAR_MAX, YEAR_MAX},
        [FIELD_QUARTER] = {1, 4},
        [FIELD_MONTH] = {1, 12},
        [FIELD_DAY] = {1, 31},
        [FIELD_DAY_OF_YEAR] = {1, 366},
        [FIELD_ALIGNED_DAY] = {1, 7},
        [FIELD_JULIAN_DAY] = {-365243219162 + JULIAN_DAYS_TO_1970,
                              365241780471 + JULIAN_DAYS_TO_1970},
        [FIELD_WEEKDAY] = {1, 7},
        [FIELD_LOCAL_WEEKDAY] = {1, 7},
        [FIELD_WEEK_YEAR] = {-YEAR_MAX, YEAR_MAX},
        [FIELD_WEEK] = {1, 53},
        [FIELD_WEEK_OF_MONTH] = {0, 6},
        [FIELD_HALF_DAY] = {0, 1},
        [FIELD_HOUR] = {0, 24},
        [FIELD_CLOCK_HOUR] = {0, 24},
        [FIELD_HALF_DAY_HOUR] = {0, 11},
        [FIELD_CLOCK_HALF_DAY_HOUR] = {0, 12},
        [FIELD_MINUTE] = {0, 59},
        [FIELD_SECOND] = {0, 59},
        [FIELD_NANO] = {0, NS_PER_SECOND - 1},
        [FIELD_MS_OF_DAY] = {0, 86399999},
        [FIELD_NANO_OF_DAY] = {0, NS_PER_DAY - 1},
        [FIELD_OFFSET_S] = {-OFFSET_MAX_S, OFFSET_MAX_S},
};

static bool
are_in_range(const struct time_fields *fields)
{
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        int64_t value = fields->values[i];
        if (time_has(fields, i) && (value < ranges[i].low || value > ranges[i].high)) {
            return false;
        }
    }
    return true;
}

/* False: the field has another value already. */
static bool
set(struct time_fields *fields, enum time_field field, int64_t value)
{
    if (time_has(fields, field)) {
        return fields->values[field] == value;
    }
    fields->values[field] = value;
    fields->present |= UINT32_C(1) << field;
    return true;
}

/* Its value, and it is gone. */
static int64_t
use(struct time_fields *fields, enum time_field field)
{
    fields->present &= ~(UINT32_C(1) << field);
    return fields->values[field];
}

static bool
has_all(const struct time_fields *fields, uint32_t mask)
{
    return (fields->present & mask) == mask;
}

#define MASK(field) (UINT32_C(1) << (field))

/* ---- the date ---- */

/* A year of the era is a year; without an era it is one after Christ. */
static bool
resolve_year(struct time_fields *fields)
{
    if (!time_has(fields, FIELD_YEAR_OF_ERA)) {
        return true;
    }
    int64_t year = use(fields, FIELD_YEAR_OF_ERA);
    bool before = time_has(fields, FIELD_ERA)
                          ? use(fields, FIELD_ERA) == 0
                          : time_has(fields, FIELD_YEAR) && fields->values[FIELD_YEAR] <= 0;
    return set(fields, FIELD_YEAR, before ? 1 - year : year);
}

static bool
resolve_weekday(struct time_fields *fields)
{
    if (!time_has(fields, FIELD_LOCAL_WEEKDAY)) {
        return true;
    }
    int64_t local = use(fields, FIELD_LOCAL_WEEKDAY);
    return set(fields, FIELD_WEEKDAY, (week_rule_us.first_weekday - 1 + local - 1) % 7 + 1);
}

static bool
date_of_week_of_month(struct time_fields *fields, int64_t local_weekday, struct date *out)
{
    struct date first;
    if (!date_of_day(use(fields, FIELD_YEAR), use(fields, FIELD_MONTH), 1, &first)) {
        return false;
    }
    int64_t weeks = use(fields, FIELD_WEEK_OF_MONTH) - date_week_of_month(&first, &week_rule_us);
    int64_t days = local_weekday - date_local_weekday(first.weekday, &week_rule_us);
    *out = date_of_days(first.days + weeks * 7 + days);
    return true;
}

/* False: there is no such date, or nothing that gives one. */
static bool
resolve_date(struct time_fields *fields, struct date *out)
{
    if (!resolve_year(fields) || !resolve_weekday(fields)) {
        return false;
    }
    if (has_all(fields, MASK(FIELD_YEAR) | MASK(FIELD_MONTH) | MASK(FIELD_DAY))) {
        return date_of_day(use(fields, FIELD_YEAR), use(fields, FIELD_MONTH),
                           use(fields, FIELD_DAY), out);
    }
    if (has_all(fields, MASK(FIELD_YEAR) | MASK(FIELD_DAY_OF_YEAR))) {
        int64_t year = use(fields, FIELD_YEAR);
        struct date first;
        check(date_of_day(year, 1, 1, &first));
        *out = date_of_days(first.days + use(fields, FIELD_DAY_OF_YEAR) - 1);
        return out->year == year;
    }
    int64_t local_weekday =
            date_local_weekday(fields->values[FIELD_WEEKDAY], &week_rule_us);
    if (has_all(fields, MASK(FIELD_YEAR) | MASK(FIELD_MONTH) | MASK(FIELD_WEEK_OF_MONTH) |
                                MASK(FIELD_WEEKDAY))) {
        return date_of_week_of_month(fields, local_weekday, out);
    }
    if (!time_has(fields, FIELD_YEAR) &&
        has_all(fields, MASK(FIELD_WEEK_YEAR) | MASK(FIELD_WEEK) | MASK(FIELD_WEEKDAY))) {
        struct week week = {use(fields, FIELD_WEEK_YEAR), use(fields, FIELD_WEEK)};
        return date_of_week(week, local_weekday, &week_rule_us, out);
    }
    if (time_has(fields, FIELD_JULIAN_DAY)) {
        *out = date_of_days(use(fields, FIELD_JULIAN_DAY) - JULIAN_DAYS_TO_1970);
        return true;
    }
    return false;
}

/* ---- the time of day ---- */

/* Hours that are counted from 1, and halves of the day, become the hour. */
static bool
resolve_hour(struct time_fields *fields)
{
    bool ok = true;
    if (time_has(fields, FIELD_CLOCK_HOUR)) {
        ok = set(fields, FIELD_HOUR, use(fields, FIELD_CLOCK_HOUR) % 24);
    }
    if (time_has(fields, FIELD_CLOCK_HALF_DAY_HOUR)) {
        ok = ok &&
             set(fields, FIELD_HALF_DAY_HOUR, use(fields, FIELD_CLOCK_HALF_DAY_HOUR) % 12);
    }
    if (has_all(fields, MASK(FIELD_HALF_DAY) | MASK(FIELD_HALF_DAY_HOUR))) {
        ok = ok && set(fields, FIELD_HOUR,
                       use(fields, FIELD_HALF_DAY) * 12 + use(fields, FIELD_HALF_DAY_HOUR));
    }
    return ok;
}

/* A count of the whole day becomes hour, minute, second and fraction. */
static bool
spread(struct time_fields *fields, int64_t ns)
{
    return set(fields, FIELD_HOUR, ns / NS_PER_SECOND / 3600) &&
           set(fields, FIELD_MINUTE, ns / NS_PER_SECOND / 60 % 60) &&
           set(fields, FIELD_SECOND, ns / NS_PER_SECOND % 60) &&
           set(fields, FIELD_NANO, ns % NS_PER_SECOND);
}

/* A fraction that is given too may have more digits. */
static bool
spread_ms(struct time_fields *fields, int64_t ms)
{
    int64_t rest_ns = 0;
    if (time_has(fields, FIELD_NANO)) {
        rest_ns = fields->values[FIELD_NANO] % 1000000;
    }
    return spread(fields, ms * 1000000 + rest_ns);
}

/* Smaller units may be missing, but only all that are smaller than one. */
static bool
resolve_time(struct time_fields *fields, int64_t *out_ns)
{
    const uint32_t all = MASK(FIELD_HALF_DAY) | MASK(FIELD_HOUR) | MASK(FIELD_HALF_DAY_HOUR) |
                         MASK(FIELD_MINUTE) | MASK(FIELD_SECOND) | MASK(FIELD_NANO);
    if (!resolve_hour(fields) ||
        (time_has(fields, FIELD_NANO_OF_DAY) && !spread(fields, use(fields, FIELD_NANO_OF_DAY))) ||
        (time_has(fields, FIELD_MS_OF_DAY) && !spread_ms(fields, use(fields, FIELD_MS_OF_DAY)))) {
        return false;
    }
    *out_ns = 0;
    if ((fields->present & all) == 0) {
        return true; /* the pattern has no time: midnight */
    }
    bool hole = !time_has(fields, FIELD_HOUR) ||
                (!time_has(fields, FIELD_MINUTE) &&
                 (time_has(fields, FIELD_SECOND) || time_has(fields, FIELD_NANO))) ||
                (time_has(fields, FIELD_MINUTE) && !time_has(fields, FIELD_SECOND) &&
                 time_has(fields, FIELD_NANO));
    if (hole) {
        return false;
    }
    static const struct {
        enum time_field field;
        int64_t ns;
    } units[] = {
            {FIELD_HOUR, 3600 * NS_PER_SECOND},
            {FIELD_MINUTE, 60 * NS_PER_SECOND},
            {FIELD_SECOND, NS_PER_SECOND},
            {FIELD_NANO, 1},
    };
    for (size_t i = 0; i < 4; i++) {
        if (time_has(fields, units[i].field)) {
            *out_ns += use(fields, units[i].field) * units[i].ns;
        }
    }
    return *out_ns <= NS_PER_DAY;
}

/* ---- what was not needed ---- */

static int64_t
field_of_date(const struct date *date, enum time_field field)
{
    switch (field) {
    case FIELD_ERA:
        return date->year > 0;
    case FIELD_YEAR:
        return date->year;
    case FIELD_QUARTER:
        return (date->month - 1) / 3 + 1;
    case FIELD_MONTH:
        return date->month;
    case FIELD_DAY:
        return date->day;
    case FIELD_DAY_OF_YEAR:
        return date->day_of_year;
    case FIELD_ALIGNED_DAY:
        return (date->day - 1) % 7 + 1;
    case FIELD_JULIAN_DAY:
        return date->days + JULIAN_DAYS_TO_1970;
    case FIELD_WEEKDAY:
        return date->weekday;
    case FIELD_WEEK_YEAR:
        return date_week(date, &week_rule_us).year;
    case FIELD_WEEK:
        return date_week(date, &week_rule_us).week;
    case FIELD_WEEK_OF_MONTH:
        return date_week_of_month(date, &week_rule_us);
    default:
        never("a field of no date");
    }
}

static bool
agree(const struct time_fields *fields, const struct date *date, int64_t ns_of_day)
{
    int64_t hour = ns_of_day / NS_PER_SECOND / 3600 % 24;
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        if (!time_has(fields, i) || i == FIELD_OFFSET_S) {
            continue;
        }
        int64_t expected = i == FIELD_HALF_DAY        ? hour / 12
                           : i == FIELD_HALF_DAY_HOUR ? hour % 12
                                                      : field_of_date(date, i);
        if (expected != fields->values[i]) {
            return false;
        }
    }
    return true;
}

bool
time_resolve(const struct time_fields *read, int64_t *out_ms)
{
    struct time_fields fields = *read;
    struct date date;
    int64_t ns_of_day;
    if (!are_in_range(&fields) || !resolve_date(&fields, &date) ||
        !resolve_time(&fields, &ns_of_day) || !agree(&fields, &date, ns_of_day)) {
        return false;
    }
    int64_t local_s = date.days * SECONDS_PER_DAY + ns_of_day / NS_PER_SECOND;
    int64_t utc_s = time_has(&fields, FIELD_OFFSET_S) ? local_s - fields.values[FIELD_OFFSET_S]
                    : fields.zone != NULL ? zone_utc_of_local(fields.zone, local_s, NULL)
                                          : local_s;
    return !__builtin_mul_overflow(utc_s, INT64_C(1000), out_ms) &&
           !__builtin_add_overflow(*out_ms, ns_of_day % NS_PER_SECOND / 1000000, out_ms);
}
