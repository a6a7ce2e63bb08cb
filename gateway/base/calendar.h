/*
 * Dates and times as people write them, against nanoseconds since 1970-01-01T00:00Z.
 *
 * Proleptic Gregorian calendar, UTC, no leap seconds. An int64 of nanoseconds reaches from
 * 1677-09-21 to 2262-04-11; what lies outside does not parse. Pure.
 */
#ifndef HEADGATE_BASE_CALENDAR_H
#define HEADGATE_BASE_CALENDAR_H

#include "buf.h"

#define CALENDAR_NS_PER_US INT64_C(1000)
#define CALENDAR_NS_PER_MS INT64_C(1000000)
#define CALENDAR_NS_PER_SECOND INT64_C(1000000000)
#define CALENDAR_NS_PER_DAY (INT64_C(86400) * CALENDAR_NS_PER_SECOND)

struct calendar_date {
    int64_t year;
    unsigned month; /* 1..12 */
    unsigned day;   /* 1..31 */
};

/* Days since 1970-01-01, and back. The date must be a real one (day may be up to 31). */
int64_t calendar_days(struct calendar_date date);
struct calendar_date calendar_date_of(int64_t days);

unsigned calendar_month_length(int64_t year, unsigned month);

/* The day that holds `ns`, counted from 1970-01-01; and what is left of it, 0 <= rest < a day. */
int64_t calendar_day_of(int64_t ns, int64_t *rest_ns);

/*
 * ISO 8601: "2022-06-17", "2022-06-17T10:15", "2022-06-17 10:15:20.123456789Z", "...+02:00",
 * "...-0530", "...+02". 'T' (any case) or one blank between date and time, 0 to 9 digits after the
 * point, without a zone UTC. The whole view must be the time; false for anything else, for dates
 * that do not exist, and beyond the range.
 */
bool calendar_parse(struct bytes text, int64_t *out_ns);

/* "2022-06-17 10:15:20.000000000", with `separator` between date and time. */
void calendar_print(int64_t ns, char separator, struct buf *out);

/* "2022-06-17" */
void calendar_print_date(int64_t days, struct buf *out);

#endif
