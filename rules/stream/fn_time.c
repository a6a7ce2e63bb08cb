/* Functions of times, and units of time. Times of type LTZ are seen on the clock of the zone. */
#include "function.h"

#include "base/calendar.h"

bool
stream_unit_parse(struct bytes text, enum stream_unit *out)
{
    static const struct {
        const char *name;
        enum stream_unit unit;
    } units[] = {
            {"MILLISECOND", UNIT_MILLISECOND}, {"SECOND", UNIT_SECOND}, {"MINUTE", UNIT_MINUTE},
            {"HOUR", UNIT_HOUR}, {"DAY", UNIT_DAY}, {"WEEK", UNIT_WEEK}, {"MONTH", UNIT_MONTH},
            {"QUARTER", UNIT_QUARTER}, {"YEAR", UNIT_YEAR},
    };
    struct bytes precision = bytes_slice(text, 0, bytes_find(text, '(')); /* DAY(3) */
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        struct bytes name = bytes_of_string(units[i].name);
        bool plural = precision.size == name.size + 1 &&
                      (precision.data[name.size] | 0x20) == 's';
        if (bytes_equal_nocase(plural ? bytes_slice(precision, 0, name.size) : precision, name)) {
            *out = units[i].unit;
            return true;
        }
    }
    return false;
}

static const int64_t unit_ms[] = {
        [UNIT_MILLISECOND] = 1, [UNIT_SECOND] = 1000, [UNIT_MINUTE] = 60000,
        [UNIT_HOUR] = 3600000, [UNIT_DAY] = 86400000, [UNIT_WEEK] = 7 * INT64_C(86400000),
};

static const int64_t unit_months[] = {[UNIT_MONTH] = 1, [UNIT_QUARTER] = 3, [UNIT_YEAR] = 12};

static int64_t
month_start_ms(int64_t month)
{
    int64_t year = stream_floor_divide(month, 12);
    struct calendar_date date = {year, (unsigned)(month - year * 12) + 1, 1};
    return calendar_days(date) * 86400000;
}

static int64_t
month_of(int64_t ms)
{
    struct calendar_date date = calendar_date_of(stream_floor_divide(ms, 86400000));
    return date.year * 12 + date.month - 1;
}

int64_t
stream_floor_to(int64_t ms, enum stream_unit unit)
{
    if (unit >= UNIT_MONTH) {
        return month_start_ms(stream_floor_divide(month_of(ms), unit_months[unit]) *
                              unit_months[unit]);
    }
    /* 1970-01-01 was a Thursday: the Sunday before is four days earlier. */
    int64_t offset = unit == UNIT_WEEK ? -4 * INT64_C(86400000) : 0;
    return stream_floor_divide(ms - offset, unit_ms[unit]) * unit_ms[unit] + offset;
}

static int64_t
next_unit(int64_t floored_ms, enum stream_unit unit)
{
    return unit >= UNIT_MONTH ? month_start_ms(month_of(floored_ms) + unit_months[unit])
                              : floored_ms + unit_ms[unit];
}

/* Times of type LTZ are seen on the local clock. */
static const struct zone *
zone_of(const struct stream_call *call, size_t i)
{
    return call_type(call, i).kind == STREAM_TIMESTAMP_LTZ ? call->context->zone : NULL;
}

static int64_t
local_time(const struct stream_call *call, size_t i)
{
    return stream_local_ms(zone_of(call, i), call->args[i].integer);
}

void
stream_fn_floor_time(const struct stream_call *call, struct stream_value *out)
{
    int64_t floored = stream_floor_to(local_time(call, 0),
                                      (enum stream_unit)call->args[1].integer);
    *out = stream_integer(stream_instant_ms(zone_of(call, 0), floored));
}

void
stream_fn_ceil_time(const struct stream_call *call, struct stream_value *out)
{
    enum stream_unit unit = (enum stream_unit)call->args[1].integer;
    int64_t local = local_time(call, 0), floored = stream_floor_to(local, unit);
    int64_t result = floored == local ? local : next_unit(floored, unit);
    *out = stream_integer(stream_instant_ms(zone_of(call, 0), result));
}

void
stream_fn_step(const struct stream_call *call, struct stream_value *out)
{
    int64_t size = call->args[1].integer;
    if (size <= 0) {
        call->context->failure = "the interval of STEP is not positive";
        return;
    }
    int64_t floored = stream_floor_divide(local_time(call, 0), size) * size;
    *out = stream_integer(stream_instant_ms(zone_of(call, 0), floored));
}

void
stream_fn_now(const struct stream_call *call, struct stream_value *out)
{
    *out = stream_integer(call->context->now_ms);
}

void
stream_fn_local_now(const struct stream_call *call, struct stream_value *out)
{
    *out = stream_integer(stream_local_ms(call->context->zone, call->context->now_ms));
}

void
stream_fn_unix_now(const struct stream_call *call, struct stream_value *out)
{
    *out = stream_integer(stream_floor_divide(call->context->now_ms, 1000));
}

void
stream_fn_unix_time(const struct stream_call *call, struct stream_value *out)
{
    *out = stream_integer(stream_floor_divide(call->args[0].integer, 1000));
}

void
stream_fn_current_watermark(const struct stream_call *call, struct stream_value *out)
{
    int64_t watermark = call->context->watermark_ms;
    *out = watermark == INT64_MIN ? stream_null() : stream_integer(watermark);
}

void
stream_fn_to_timestamp(const struct stream_call *call, struct stream_value *out)
{
    *out = stream_integer(0);
    out->is_null = !stream_time_parse(call->args[0].text, NULL, &out->integer);
}

void
stream_fn_to_instant(const struct stream_call *call, struct stream_value *out)
{
    int64_t number = call->args[0].integer, ms = number;
    bool seconds = call->args[1].integer == 0;
    if (seconds && __builtin_mul_overflow(number, (int64_t)1000, &ms)) {
        *out = stream_null();
        return;
    }
    *out = stream_integer(ms);
}

void
stream_fn_time_diff(const struct stream_call *call, struct stream_value *out)
{
    enum stream_unit unit = (enum stream_unit)call->args[0].integer;
    int64_t from = local_time(call, 1), to = local_time(call, 2);
    if (unit < UNIT_MONTH) {
        *out = stream_integer((to - from) / unit_ms[unit]);
        return;
    }
    int64_t months = month_of(to) - month_of(from);
    int64_t rest_from = from - month_start_ms(month_of(from));
    int64_t rest_to = to - month_start_ms(month_of(to));
    months -= months > 0 && rest_to < rest_from;
    months += months < 0 && rest_to > rest_from;
    *out = stream_integer(months / unit_months[unit]);
}

void
stream_fn_time_add(const struct stream_call *call, struct stream_value *out)
{
    enum stream_unit unit = (enum stream_unit)call->args[0].integer;
    int64_t count = call->args[1].integer, time = local_time(call, 2), result;
    if (unit < UNIT_MONTH) {
        int64_t span;
        if (__builtin_mul_overflow(count, unit_ms[unit], &span) ||
            __builtin_add_overflow(time, span, &result)) {
            call->context->failure = "a time is out of range";
            return;
        }
    } else {
        if (count > 1000000 || count < -1000000) {
            call->context->failure = "a time is out of range";
            return;
        }
        int64_t month = month_of(time) + count * unit_months[unit];
        int64_t year = stream_floor_divide(month, 12);
        int64_t rest = time - month_start_ms(month_of(time));
        int64_t length = calendar_month_length(year, (unsigned)(month - year * 12) + 1);
        int64_t last_day = (length - 1) * 86400000 + rest % 86400000;
        result = month_start_ms(month) + (rest >= length * 86400000 ? last_day : rest);
    }
    *out = stream_integer(stream_instant_ms(zone_of(call, 2), result));
}

static int64_t
part_of(int64_t time, enum stream_unit unit)
{
    int64_t day = stream_floor_divide(time, 86400000);
    int64_t rest = time - day * 86400000;
    struct calendar_date date = calendar_date_of(day);
    switch (unit) {
    case UNIT_MILLISECOND:
        return rest % 60000;
    case UNIT_SECOND:
        return rest / 1000 % 60;
    case UNIT_MINUTE:
        return rest / 60000 % 60;
    case UNIT_HOUR:
        return rest / 3600000;
    case UNIT_DAY:
        return date.day;
    case UNIT_MONTH:
        return date.month;
    case UNIT_QUARTER:
        return (date.month + 2) / 3;
    case UNIT_YEAR:
        return date.year;
    case UNIT_WEEK: { /* ISO 8601: of the year that the week's Thursday is in */
        int64_t thursday = stream_floor_divide(day + 3, 7) * 7;
        struct calendar_date first = {calendar_date_of(thursday).year, 1, 1};
        return (thursday - calendar_days(first)) / 7 + 1;
    }
    }
    never("all units are listed");
}

void
stream_fn_extract(const struct stream_call *call, struct stream_value *out)
{
    *out = stream_integer(part_of(local_time(call, 1), (enum stream_unit)call->args[0].integer));
}

#define PART_FUNCTION(name, unit)                                        \
    void name(const struct stream_call *call, struct stream_value *out) \
    {                                                                    \
        *out = stream_integer(part_of(local_time(call, 0), (unit)));     \
    }
PART_FUNCTION(stream_fn_year, UNIT_YEAR)
PART_FUNCTION(stream_fn_quarter, UNIT_QUARTER)
PART_FUNCTION(stream_fn_month, UNIT_MONTH)
PART_FUNCTION(stream_fn_week, UNIT_WEEK)
PART_FUNCTION(stream_fn_day_of_month, UNIT_DAY)
PART_FUNCTION(stream_fn_hour, UNIT_HOUR)
PART_FUNCTION(stream_fn_minute, UNIT_MINUTE)
PART_FUNCTION(stream_fn_second, UNIT_SECOND)
#undef PART_FUNCTION

void
stream_fn_day_of_year(const struct stream_call *call, struct stream_value *out)
{
    int64_t day = stream_floor_divide(local_time(call, 0), 86400000);
    struct calendar_date first = {calendar_date_of(day).year, 1, 1};
    *out = stream_integer(day - calendar_days(first) + 1);
}

/* 1970-01-01 was a Thursday. */
void
stream_fn_day_of_week(const struct stream_call *call, struct stream_value *out)
{
    int64_t day = stream_floor_divide(local_time(call, 0), 86400000) + 4;
    *out = stream_integer(day - stream_floor_divide(day, 7) * 7 + 1);
}

