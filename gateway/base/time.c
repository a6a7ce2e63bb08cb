#include "time.h"

#include "check.h"

/* Years begin in March here, so that the leap day is the last of a year. */
int64_t
time_days_of_date(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

struct time_date
time_date_of_days(int64_t days)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 -
                           day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t march_month = (5 * day_of_year + 2) / 153;
    unsigned month = (unsigned)(march_month < 10 ? march_month + 3 : march_month - 9);
    return (struct time_date){
            .year = year_of_era + era * 400 + (month <= 2),
            .month = month,
            .day = (unsigned)(day_of_year - (153 * march_month + 2) / 5 + 1),
    };
}

unsigned
time_days_in_month(int64_t year, unsigned month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    check(month >= 1 && month <= 12);
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 && leap ? 29 : days[month - 1];
}

/* Takes exactly `count` digits off the front. */
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
take_char(struct bytes *rest, char c)
{
    if (rest->size == 0 || rest->data[0] != c) {
        return false;
    }
    *rest = bytes_slice(*rest, 1, rest->size);
    return true;
}

static bool
take_fraction(struct bytes *rest, int64_t *out_ns)
{
    int64_t scale = TIME_NS_PER_SECOND / 10;
    unsigned digit;
    if (!take_digits(rest, 1, &digit)) {
        return false;
    }
    do {
        *out_ns += (int64_t)digit * scale;
        scale /= 10;
    } while (scale > 0 && take_digits(rest, 1, &digit));
    return true;
}

/* "Z", "+02:00", "+0200", "+02"; nothing means UTC. Gives seconds east of UTC. */
static bool
take_zone(struct bytes *rest, int64_t *out_s)
{
    if (rest->size == 0 || take_char(rest, 'Z') || take_char(rest, 'z')) {
        return true;
    }
    bool west = take_char(rest, '-');
    unsigned hours, minutes = 0;
    if ((!west && !take_char(rest, '+')) || !take_digits(rest, 2, &hours)) {
        return false;
    }
    if (rest->size > 0) {
        take_char(rest, ':');
        if (!take_digits(rest, 2, &minutes)) {
            return false;
        }
    }
    *out_s = ((int64_t)hours * 3600 + (int64_t)minutes * 60) * (west ? -1 : 1);
    return hours <= 18 && minutes <= 59;
}

static bool
take_time_of_day(struct bytes *rest, int64_t *out_s, int64_t *out_ns)
{
    unsigned hour, minute, second = 0;
    if (!take_digits(rest, 2, &hour) || !take_char(rest, ':') || !take_digits(rest, 2, &minute)) {
        return false;
    }
    if (take_char(rest, ':')) {
        if (!take_digits(rest, 2, &second) || (take_char(rest, '.') && !take_fraction(rest, out_ns))) {
            return false;
        }
    }
    int64_t east_s = 0;
    if (!take_zone(rest, &east_s)) {
        return false;
    }
    *out_s = (int64_t)hour * 3600 + (int64_t)minute * 60 + second - east_s;
    return hour <= 23 && minute <= 59 && second <= 59;
}

bool
time_parse_iso8601(struct bytes text, int64_t *out_ns)
{
    unsigned year, month, day;
    if (!take_digits(&text, 4, &year) || !take_char(&text, '-') ||
        !take_digits(&text, 2, &month) || !take_char(&text, '-') || !take_digits(&text, 2, &day) ||
        month < 1 || month > 12 || day < 1 || day > time_days_in_month(year, month)) {
        return false;
    }
    int64_t second = 0, fraction_ns = 0, ns;
    if (text.size > 0) {
        if ((!take_char(&text, 'T') && !take_char(&text, ' ')) ||
            !take_time_of_day(&text, &second, &fraction_ns)) {
            return false;
        }
    }
    second += time_days_of_date(year, month, day) * 86400;
    if (text.size > 0 || __builtin_mul_overflow(second, TIME_NS_PER_SECOND, &ns) ||
        __builtin_add_overflow(ns, fraction_ns, &ns)) {
        return false;
    }
    *out_ns = ns;
    return true;
}

void
time_append_iso8601(struct buf *out, int64_t ns, unsigned digits)
{
    check(digits <= 9);
    int64_t fraction = ns % TIME_NS_PER_SECOND;
    int64_t second = ns / TIME_NS_PER_SECOND;
    if (fraction < 0) {
        fraction += TIME_NS_PER_SECOND;
        second--;
    }
    int64_t days = second / 86400, of_day = second % 86400;
    if (of_day < 0) {
        of_day += 86400;
        days--;
    }
    struct time_date date = time_date_of_days(days);
    buf_printf(out, "%04d-%02u-%02uT%02d:%02d:%02d", (int)date.year, date.month, date.day,
               (int)(of_day / 3600), (int)(of_day / 60 % 60), (int)(of_day % 60));
    if (digits > 0) {
        for (unsigned i = digits; i < 9; i++) {
            fraction /= 10;
        }
        buf_printf(out, ".%0*d", (int)digits, (int)fraction);
    }
    buf_append_char(out, 'Z');
}
