/*
 * The calendar as date patterns see it: days with their week, English names. Proleptic Gregorian;
 * shared by parse_time() and time_to_epoch(), whose letters are two different tables.
 */
#ifndef HEADGATE_RULES_DATE_H
#define HEADGATE_RULES_DATE_H

#include "base/arena.h"

struct date {
    int64_t days; /* since 1970-01-01 */
    int64_t year; /* 0 is 1 BC */
    int64_t month; /* 1 to 12 */
    int64_t day;
    int64_t day_of_year;
    int64_t weekday; /* 1 (Monday) to 7 */
};

/* `days` within the 10^12 days around 1970. */
struct date date_of_days(int64_t days);

/* False when there is no such day. `year` within the 10^9 years around 0. */
bool date_of_day(int64_t year, int64_t month, int64_t day, struct date *out);

/* How weeks are counted: their first day, and how many days of the first week lie in the year. */
struct week_rule {
    int64_t first_weekday; /* 1: Monday */
    int64_t days_min;
};

extern const struct week_rule week_rule_iso; /* Monday, 4 */
extern const struct week_rule week_rule_us;  /* Sunday, 1: java.util.Locale.US */

struct week {
    int64_t year; /* that the week belongs to */
    int64_t week; /* from 1 */
};

struct week date_week(const struct date *date, const struct week_rule *rule);
int64_t date_week_of_month(const struct date *date, const struct week_rule *rule); /* from 0 */

/* 1 for the rule's first day of the week. */
int64_t date_local_weekday(int64_t weekday, const struct week_rule *rule);

/* The day of a week; false when the year has no such week. */
bool date_of_week(struct week week, int64_t local_weekday, const struct week_rule *rule,
                  struct date *out);

/* What is wrong with a date pattern; no `text`: nothing. */
struct pattern_problem {
    struct bytes text;
    struct bytes hint; /* may be empty */
};

/* Of the patterns of the two functions. Texts are static or in `arena`. */
struct pattern_problem parse_time_problem(struct bytes pattern, struct arena *arena);
struct pattern_problem time_to_epoch_problem(struct bytes pattern, struct arena *arena);

/* English; the short form is the first three letters. */
extern const struct bytes date_months[12];
extern const struct bytes date_weekdays[7]; /* from Monday */

#endif
