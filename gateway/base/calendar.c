/*
 * The calendar is counted in eras of 400 years that begin on 1 March, so that the leap day is the
 * last day of its year and the lengths of months follow one formula (the well-known civil-from-days
 * method). Everything else is range checks.
 */
#include "calendar.h"

#include <inttypes.h>

enum { DAYS_PER_ERA = 146097, DAYS_TO_1970 = 719468, ZONE_HOURS_MAX = 18 };

int64_t
calendar_days(struct calendar_date date)
{
    int64_t year = date.month <= 2 ? date.year - 1 : date.year;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t month_from_march = date.month > 2 ? date.month - 3 : date.month + 9;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + date.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * DAYS_PER_ERA + day_of_era - DAYS_TO_1970;
}

struct calendar_date
calendar_date_of(int64_t days)
{
    days += DAYS_TO_1970;
    int64_t era = (days >= 0 ? days : days - (DAYS_PER_ERA - 1)) / DAYS_PER_ERA;
    int64_t day_of_era = days - era * DAYS_PER_ERA;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524
                           - day_of_era / (DAYS_PER_ERA - 1))
                          / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    int64_t month_shift = month_from_march < 10 ? 3 : -9;
    unsigned month = (unsigned)(month_from_march + month_shift);
    return (struct calendar_date){
            .year = year_of_era + era * 400 + (month <= 2),
            .month = month,
            .day = (unsigned)(day_of_year - (153 * month_from_march + 2) / 5 + 1),
    };
}

unsigned
calendar_month_length(int64_t year, unsigned month)
{
    if (month == 2) {
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        return leap ? 29 : 28;
    }
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

int64_t
calendar_day_of(int64_t ns, int64_t *rest_ns)
{
    int64_t day = ns / CALENDAR_NS_PER_DAY;
    int64_t rest = ns % CALENDAR_NS_PER_DAY;
    if (rest < 0) {
        day--;
        rest += CALENDAR_NS_PER_DAY;
    }
    if (rest_ns != NULL) {
        *rest_ns = rest;
    }
    return day;
}

/* Takes `count` digits off the front. */
static bool
take_digits(struct bytes *rest, size_t count, unsigned *out)
{
    if (rest->size < count) {
        return false;
    }
    unsigned value = 0;
    for (size_t i = 0; i < count; i++) {
        char c = rest->data[i];
        if (c < '0' || c > '9') {
            return false;
        }
        value = value * 10 + (unsigned)(c - '0');
    }
    *rest = bytes_slice(*rest, count, rest->size);
    *out = value;
    return true;
}

static bool
take_char(struct bytes *rest, char wanted)
{
    if (rest->size == 0 || rest->data[0] != wanted) {
        return false;
    }
    *rest = bytes_slice(*rest, 1, rest->size);
    return true;
}

static bool
take_date(struct bytes *rest, int64_t *out_days)
{
    unsigned year = 0;
    unsigned month = 0;
    unsigned day = 0;
    if (!take_digits(rest, 4, &year) || !take_char(rest, '-') || !take_digits(rest, 2, &month)
        || !take_char(rest, '-') || !take_digits(rest, 2, &day)) {
        return false;
    }
    if (month < 1 || month > 12 || day < 1 || day > calendar_month_length(year, month)) {
        return false;
    }
    *out_days = calendar_days((struct calendar_date){year, month, day});
    return true;
}

/* ".123" as nanoseconds; the point has been taken. */
static bool
take_fraction(struct bytes *rest, int64_t *out_ns)
{
    int64_t value = 0;
    size_t digits = 0;
    while (rest->size > 0 && rest->data[0] >= '0' && rest->data[0] <= '9') {
        if (++digits > 9) {
            return false;
        }
        value = value * 10 + (rest->data[0] - '0');
        *rest = bytes_slice(*rest, 1, rest->size);
    }
    for (size_t i = digits; i < 9; i++) {
        value *= 10;
    }
    *out_ns = value;
    return digits > 0;
}

/* hh:mm[:ss[.fraction]] */
static bool
take_clock(struct bytes *rest, int64_t *out_ns)
{
    unsigned hour = 0;
    unsigned minute = 0;
    unsigned second = 0;
    int64_t fraction = 0;
    if (!take_digits(rest, 2, &hour) || !take_char(rest, ':') || !take_digits(rest, 2, &minute)) {
        return false;
    }
    if (take_char(rest, ':')) {
        if (!take_digits(rest, 2, &second)) {
            return false;
        }
        if (take_char(rest, '.') && !take_fraction(rest, &fraction)) {
            return false;
        }
    }
    if (hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    *out_ns = (int64_t)(hour * 3600 + minute * 60 + second) * CALENDAR_NS_PER_SECOND + fraction;
    return true;
}

/* Z, +hh, +hhmm, +hh:mm, or nothing. */
static bool
take_zone(struct bytes *rest, int64_t *out_ns)
{
    *out_ns = 0;
    if (rest->size == 0) {
        return true;
    }
    if (take_char(rest, 'Z') || take_char(rest, 'z')) {
        return rest->size == 0;
    }
    bool west = rest->data[0] == '-';
    if (!take_char(rest, '+') && !take_char(rest, '-')) {
        return false;
    }
    unsigned hour = 0;
    unsigned minute = 0;
    if (!take_digits(rest, 2, &hour)) {
        return false;
    }
    if (rest->size > 0) {
        bool colon = take_char(rest, ':');
        if (!take_digits(rest, 2, &minute) || (colon && rest->size > 0)) {
            return false;
        }
    }
    if (hour > ZONE_HOURS_MAX || minute > 59 || rest->size > 0) {
        return false;
    }
    int64_t offset = (int64_t)(hour * 60 + minute) * 60 * CALENDAR_NS_PER_SECOND;
    *out_ns = west ? -offset : offset;
    return true;
}

bool
calendar_parse(struct bytes text, int64_t *out_ns)
{
    struct bytes rest = text;
    int64_t days = 0;
    int64_t clock_ns = 0;
    int64_t zone_ns = 0;
    if (!take_date(&rest, &days)) {
        return false;
    }
    if (rest.size > 0) {
        if (!take_char(&rest, 'T') && !take_char(&rest, 't') && !take_char(&rest, ' ')) {
            return false;
        }
        if (!take_clock(&rest, &clock_ns) || !take_zone(&rest, &zone_ns)) {
            return false;
        }
    }
    int64_t ns = 0;
    if (__builtin_mul_overflow(days, CALENDAR_NS_PER_DAY, &ns)
        || __builtin_add_overflow(ns, clock_ns - zone_ns, &ns)) {
        return false;
    }
    *out_ns = ns;
    return true;
}

void
calendar_print_date(int64_t days, struct buf *out)
{
    struct calendar_date date = calendar_date_of(days);
    buf_printf(out, "%04" PRId64 "-%02u-%02u", date.year, date.month, date.day);
}

void
calendar_print(int64_t ns, char separator, struct buf *out)
{
    int64_t rest = 0;
    calendar_print_date(calendar_day_of(ns, &rest), out);
    int64_t seconds = rest / CALENDAR_NS_PER_SECOND;
    buf_printf(out, "%c%02d:%02d:%02d.%09d", separator, (int)(seconds / 3600),
               (int)(seconds / 60 % 60), (int)(seconds % 60), (int)(rest % CALENDAR_NS_PER_SECOND));
}
