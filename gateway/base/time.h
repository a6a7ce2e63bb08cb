/*
 * Instants as text and back: ISO 8601 / RFC 3339, and calendar arithmetic without libc's time
 * zones. An instant is int64 nanoseconds since 1970-01-01 UTC (years 1678 to 2262).
 */
#ifndef HEADGATE_BASE_TIME_H
#define HEADGATE_BASE_TIME_H

#include "buf.h"

#define TIME_NS_PER_SECOND INT64_C(1000000000)

/*
 * "2026-01-31", "2026-01-31T12:00", "2026-01-31 12:00:05.123456789Z", "...+02:00": a date, then
 * after 'T' or a blank a time, a fraction of 1 to 9 digits, a zone. Without a zone the text is UTC.
 * False for anything else, an impossible date, or an instant that does not fit.
 */
bool time_parse_iso8601(struct bytes text, int64_t *out_ns);

/* "2026-01-31T12:00:05.123Z" with `digits` (0..9) of the fraction. */
void time_append_iso8601(struct buf *out, int64_t ns, unsigned digits);

/* Days since 1970-01-01 of a date of the proleptic Gregorian calendar; month 1..12. */
int64_t time_days_of_date(int64_t year, unsigned month, unsigned day);

struct time_date {
    int64_t year;
    unsigned month, day;
};
struct time_date time_date_of_days(int64_t days);

unsigned time_days_in_month(int64_t year, unsigned month);

#endif
