#include "date.h"

#include "base/calendar.h"

const struct week_rule week_rule_iso = {1, 4};
const struct week_rule week_rule_us = {7, 1};

const struct bytes date_months[12] = {
        {"January", 7}, {"February", 8}, {"March", 5},     {"April", 5},
        {"May", 3},     {"June", 4},     {"July", 4},      {"August", 6},
        {"September", 9}, {"October", 7}, {"November", 8}, {"December", 8},
};

const struct bytes date_weekdays[7] = {
        {"Monday", 6}, {"Tuesday", 7},  {"Wednesday", 9}, {"Thursday", 8},
        {"Friday", 6}, {"Saturday", 8}, {"Sunday", 6},
};

/* The remainder, 0 to 6 also for negative numbers. */
static int64_t
mod_7(int64_t x)
{
    return (x % 7 + 7) % 7;
}

static int64_t
new_year(int64_t year)
{
    return calendar_days((struct calendar_date){year, 1, 1});
}

struct date
date_of_days(int64_t days)
{
    struct calendar_date date = calendar_date_of(days);
    return (struct date){
            .days = days,
            .year = date.year,
            .month = date.month,
            .day = date.day,
            .day_of_year = days - new_year(date.year) + 1,
            .weekday = mod_7(days + 3) + 1, /* 1970-01-01 was a Thursday */
    };
}

bool
date_of_day(int64_t year, int64_t month, int64_t day, struct date *out)
{
    if (month < 1 || month > 12 || day < 1 ||
        day > calendar_month_length(year, (unsigned)month)) {
        return false;
    }
    *out = date_of_days(
            calendar_days((struct calendar_date){year, (unsigned)month, (unsigned)day}));
    return true;
}

/* ---- weeks ---- */

int64_t
date_local_weekday(int64_t weekday, const struct week_rule *rule)
{
    return mod_7(weekday - rule->first_weekday) + 1;
}

/* Where week 1 of a year or month starts, as days behind its first day; `first` is that day's
 * weekday, counted from the rule's first day of the week. */
static int64_t
week_1_start(int64_t first_local_weekday, const struct week_rule *rule)
{
    int64_t days_before = first_local_weekday - 1; /* of its week, in the year before */
    return 7 - days_before >= rule->days_min ? -days_before : 7 - days_before;
}

static int64_t
week_year_start(int64_t year, const struct week_rule *rule)
{
    int64_t day = new_year(year);
    return day + week_1_start(date_local_weekday(mod_7(day + 3) + 1, rule), rule);
}

struct week
date_week(const struct date *date, const struct week_rule *rule)
{
    struct week week = {.year = date->year};
    if (date->days < week_year_start(week.year, rule)) {
        week.year--;
    } else if (date->days >= week_year_start(week.year + 1, rule)) {
        week.year++;
    }
    week.week = (date->days - week_year_start(week.year, rule)) / 7 + 1;
    return week;
}

int64_t
date_week_of_month(const struct date *date, const struct week_rule *rule)
{
    int64_t first_weekday = mod_7(date->weekday - date->day) + 1; /* of the month */
    int64_t start = week_1_start(date_local_weekday(first_weekday, rule), rule);
    return (date->day - 1 - start + 7) / 7;
}

bool
date_of_week(struct week week, int64_t local_weekday, const struct week_rule *rule,
             struct date *out)
{
    int64_t start = week_year_start(week.year, rule) + (week.week - 1) * 7;
    if (week.week < 1 || start >= week_year_start(week.year + 1, rule)) {
        return false;
    }
    *out = date_of_days(start + local_weekday - 1);
    return true;
}
