/*
 * The functions that plans call, beside those that SQLite has: times, exact arithmetic, casts,
 * aggregates. Types are settled by the planner; a function sees what rules/query.h says a type is
 * in SQLite. NULL in gives NULL out. An error stops the query with its text.
 */
#include "query_table.h"

#include "base/calendar.h"
#include "base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

static bool
any_null(int argc, sqlite3_value **argv)
{
    for (int i = 0; i < argc; i++) {
        if (sqlite3_value_type(argv[i]) == SQLITE_NULL) {
            return true;
        }
    }
    return false;
}

static struct bytes
value_text(sqlite3_value *value)
{
    const void *data = sqlite3_value_text(value);
    return bytes_of(data, (size_t)sqlite3_value_bytes(value));
}

static void
result_bytes(sqlite3_context *context, struct bytes text)
{
    sqlite3_result_text64(context, text.size == 0 ? "" : text.data, text.size, SQLITE_TRANSIENT,
                          SQLITE_UTF8);
}

/* ---- arithmetic ---- */

static void
fn_divide(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    if (any_null(argc, argv)) {
        return;
    }
    int64_t a = sqlite3_value_int64(argv[0]);
    int64_t b = sqlite3_value_int64(argv[1]);
    if (b == 0) {
        sqlite3_result_error(context, "division by zero", -1);
    } else if (a == INT64_MIN && b == -1) {
        sqlite3_result_error(context, "the result of a division is out of range", -1);
    } else {
        sqlite3_result_int64(context, a / b);
    }
}

static void
fn_modulo(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    if (any_null(argc, argv)) {
        return;
    }
    int64_t b = sqlite3_value_int64(argv[1]);
    if (b == 0) {
        sqlite3_result_error(context, "division by zero", -1);
    } else {
        sqlite3_result_int64(context, b == -1 ? 0 : sqlite3_value_int64(argv[0]) % b);
    }
}

/* x / 0 is an infinity, 0 / 0 not a number: which SQLite can only keep as NULL. */
static void
fn_divide_double(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    if (!any_null(argc, argv)) {
        sqlite3_result_double(context,
                              sqlite3_value_double(argv[0]) / sqlite3_value_double(argv[1]));
    }
}

static void
fn_modulo_double(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    if (!any_null(argc, argv)) {
        sqlite3_result_double(
                context, fmod(sqlite3_value_double(argv[0]), sqlite3_value_double(argv[1])));
    }
}

/* ---- times ---- */

static int64_t
floor_to(int64_t value, int64_t step)
{
    int64_t rest = value % step;
    return value - (rest < 0 ? rest + step : rest);
}

static void
fn_bin(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    if (any_null(argc, argv)) {
        return;
    }
    int64_t width = sqlite3_value_int64(argv[1]);
    if (width <= 0) {
        sqlite3_result_error(context, "bin needs an interval longer than nothing", -1);
        return;
    }
    sqlite3_result_int64(context, floor_to(sqlite3_value_int64(argv[0]), width));
}

static void
fn_day(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    if (!any_null(argc, argv)) {
        sqlite3_result_int64(context, calendar_day_of(sqlite3_value_int64(argv[0]), NULL));
    }
}

static void
fn_last_day(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    if (any_null(argc, argv)) {
        return;
    }
    struct calendar_date date =
            calendar_date_of(calendar_day_of(sqlite3_value_int64(argv[0]), NULL));
    date.day = calendar_month_length(date.year, date.month);
    sqlite3_result_int64(context, calendar_days(date));
}

/* A day some months later; the 31st becomes the last of a shorter month. */
static int64_t
add_months(int64_t day, int64_t months)
{
    struct calendar_date date = calendar_date_of(day);
    int64_t count = date.year * 12 + (date.month - 1) + months;
    int64_t year = count / 12;
    int64_t month = count % 12;
    if (month < 0) {
        month += 12;
        year--;
    }
    date.year = year;
    date.month = (unsigned)month + 1;
    unsigned length = calendar_month_length(date.year, date.month);
    date.day = date.day > length ? length : date.day;
    return calendar_days(date);
}

enum { MONTHS_MAX = 12 * 1000 };

static bool
join_day(sqlite3_context *context, int64_t day, int64_t rest, int64_t *out)
{
    if (__builtin_mul_overflow(day, CALENDAR_NS_PER_DAY, out)
        || __builtin_add_overflow(*out, rest, out)) {
        sqlite3_result_error(context, "a time is out of range", -1);
        return false;
    }
    return true;
}

static bool
months_fit(sqlite3_context *context, int64_t months)
{
    if (months < -MONTHS_MAX || months > MONTHS_MAX) {
        sqlite3_result_error(context, "more than 1000 years", -1);
        return false;
    }
    return true;
}

static void
fn_add_months(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    if (any_null(argc, argv) || !months_fit(context, sqlite3_value_int64(argv[1]))) {
        return;
    }
    int64_t rest = 0;
    int64_t day = calendar_day_of(sqlite3_value_int64(argv[0]), &rest);
    int64_t sum = 0;
    if (join_day(context, add_months(day, sqlite3_value_int64(argv[1])), rest, &sum)) {
        sqlite3_result_int64(context, sum);
    }
}

static void
fn_add_date_months(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    if (!any_null(argc, argv) && months_fit(context, sqlite3_value_int64(argv[1]))) {
        sqlite3_result_int64(context, add_months(sqlite3_value_int64(argv[0]),
                                                 sqlite3_value_int64(argv[1])));
    }
}

/* date + interval: whole days only, as in Trino. */
static void
fn_add_days(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    if (any_null(argc, argv)) {
        return;
    }
    int64_t interval = sqlite3_value_int64(argv[1]);
    if (interval % CALENDAR_NS_PER_DAY != 0) {
        sqlite3_result_error(context, "only whole days can be added to a date: "
                                      "CAST(date AS TIMESTAMP) makes a time of it", -1);
        return;
    }
    sqlite3_result_int64(context,
                         sqlite3_value_int64(argv[0]) + interval / CALENDAR_NS_PER_DAY);
}

/* Units of date_trunc, date_add and date_diff: a length, or a number of months. */
struct unit {
    const char *name;
    int64_t ns;
    int64_t months;
};

static const struct unit units[] = {
        {"nanosecond", 1, 0},
        {"microsecond", CALENDAR_NS_PER_US, 0},
        {"millisecond", CALENDAR_NS_PER_MS, 0},
        {"second", CALENDAR_NS_PER_SECOND, 0},
        {"minute", 60 * CALENDAR_NS_PER_SECOND, 0},
        {"hour", 3600 * CALENDAR_NS_PER_SECOND, 0},
        {"day", CALENDAR_NS_PER_DAY, 0},
        {"week", 7 * CALENDAR_NS_PER_DAY, 0},
        {"month", 0, 1},
        {"quarter", 0, 3},
        {"year", 0, 12},
};

static const struct unit *
find_unit(sqlite3_context *context, sqlite3_value *value)
{
    struct bytes name = value_text(value);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (bytes_equal_nocase(name, bytes_of_string(units[i].name))) {
            return &units[i];
        }
    }
    struct buf message = {0};
    buf_printf(&message,
               "unknown unit '%.*s': second, minute, hour, day, week, month, quarter, year",
               BYTES_ARG(bytes_slice(name, 0, 40)));
    sqlite3_result_error(context, buf_string(&message), -1);
    buf_fini(&message);
    return NULL;
}

/* Weeks begin on Monday; 1970-01-01 was a Thursday. */
static int64_t
monday_of(int64_t day)
{
    return floor_to(day + 3, 7) - 3;
}

static void
fn_date_trunc(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    const struct unit *unit = any_null(argc, argv) ? NULL : find_unit(context, argv[0]);
    if (unit == NULL) {
        return;
    }
    int64_t ns = sqlite3_value_int64(argv[1]);
    int64_t day = calendar_day_of(ns, NULL);
    if (unit->months > 0) {
        struct calendar_date date = calendar_date_of(day);
        date.day = 1;
        date.month -= (date.month - 1) % (unsigned)unit->months;
        ns = calendar_days(date) * CALENDAR_NS_PER_DAY;
    } else if (strcmp(unit->name, "week") == 0) {
        ns = monday_of(day) * CALENDAR_NS_PER_DAY;
    } else {
        ns = floor_to(ns, unit->ns);
    }
    sqlite3_result_int64(context, ns);
}

static bool
shift(sqlite3_context *context, int64_t ns, const struct unit *unit, int64_t count, int64_t *out)
{
    int64_t change = 0;
    if (unit->months > 0) {
        int64_t rest = 0;
        int64_t day = calendar_day_of(ns, &rest);
        return !__builtin_mul_overflow(unit->months, count, &change)
               && months_fit(context, change)
               && join_day(context, add_months(day, change), rest, out);
    }
    if (__builtin_mul_overflow(unit->ns, count, &change)
        || __builtin_add_overflow(ns, change, out)) {
        sqlite3_result_error(context, "a time is out of range", -1);
        return false;
    }
    return true;
}

static void
fn_date_add(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    const struct unit *unit = any_null(argc, argv) ? NULL : find_unit(context, argv[0]);
    int64_t sum = 0;
    if (unit != NULL
        && shift(context, sqlite3_value_int64(argv[2]), unit, sqlite3_value_int64(argv[1]),
                 &sum)) {
        sqlite3_result_int64(context, sum);
    }
}

static void
fn_date_add_day(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    const struct unit *unit = any_null(argc, argv) ? NULL : find_unit(context, argv[0]);
    int64_t start = 0;
    int64_t sum = 0;
    if (unit != NULL && join_day(context, sqlite3_value_int64(argv[2]), 0, &start)
        && shift(context, start, unit, sqlite3_value_int64(argv[1]), &sum)) {
        sqlite3_result_int64(context, calendar_day_of(sum, NULL));
    }
}

/* Whole months from a to b, a <= b. */
static int64_t
months_between(int64_t a, int64_t b)
{
    int64_t rest_a = 0;
    int64_t rest_b = 0;
    int64_t day_a = calendar_day_of(a, &rest_a);
    int64_t day_b = calendar_day_of(b, &rest_b);
    struct calendar_date from = calendar_date_of(day_a);
    struct calendar_date to = calendar_date_of(day_b);
    int64_t months = (to.year - from.year) * 12 + (int64_t)to.month - (int64_t)from.month;
    int64_t reached = add_months(day_a, months);
    return months - (reached > day_b || (reached == day_b && rest_a > rest_b));
}

static void
fn_date_diff(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    const struct unit *unit = any_null(argc, argv) ? NULL : find_unit(context, argv[0]);
    if (unit == NULL) {
        return;
    }
    int64_t a = sqlite3_value_int64(argv[1]);
    int64_t b = sqlite3_value_int64(argv[2]);
    int64_t difference = 0;
    if (unit->months > 0) {
        int64_t months = a <= b ? months_between(a, b) : -months_between(b, a);
        sqlite3_result_int64(context, months / unit->months);
    } else if (__builtin_sub_overflow(b, a, &difference)) {
        sqlite3_result_error(context, "a time is out of range", -1);
    } else {
        sqlite3_result_int64(context, difference / unit->ns);
    }
}

static void
fn_from_epoch(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    int64_t ns = 0;
    if (any_null(argc, argv)) {
        return;
    }
    if (sqlite3_value_int64(argv[0]) < 0
        || __builtin_mul_overflow(sqlite3_value_int64(argv[0]), sqlite3_value_int64(argv[1]),
                                  &ns)) {
        sqlite3_result_error(context, "a time before 1970 or after 2262", -1);
    } else {
        sqlite3_result_int64(context, ns);
    }
}

static void
fn_from_unixtime(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    if (any_null(argc, argv)) {
        return;
    }
    double seconds = sqlite3_value_double(argv[0]);
    if (!(seconds >= 0 && seconds < 9.2e9)) {
        sqlite3_result_error(context, "a time before 1970 or after 2262", -1);
        return;
    }
    double whole = floor(seconds);
    sqlite3_result_int64(context, (int64_t)whole * CALENDAR_NS_PER_SECOND
                                          + llround((seconds - whole) * 1e9));
}

static void
fn_iso8601(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    if (any_null(argc, argv)) {
        return;
    }
    struct buf text = {0};
    calendar_print(sqlite3_value_int64(argv[0]), 'T', &text);
    result_bytes(context, buf_bytes(&text));
    buf_fini(&text);
}

/* "42.8ms", "1day": a decimal number and a unit. */
static void
fn_parse_duration(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    if (any_null(argc, argv)) {
        return;
    }
    struct bytes text = value_text(argv[0]);
    size_t point = bytes_find(text, '.');
    size_t unit_at = point == text.size ? 0 : point + 1;
    while (unit_at < text.size && text.data[unit_at] >= '0' && text.data[unit_at] <= '9') {
        unit_at++;
    }
    struct buf one = {0};
    buf_append_char(&one, '1');
    buf_append(&one, bytes_slice(text, unit_at, text.size));
    enum query_type type = QUERY_UNKNOWN;
    int64_t unit = 0;
    char *number = bytes_to_string(bytes_slice(text, 0, unit_at));
    char *end = NULL;
    double count = strtod(number, &end);
    bool read = query_parse_interval(buf_bytes(&one), &type, &unit) && type == QUERY_INTERVAL
                && end != number && *end == '\0' && fabs(count * (double)unit) < 9e18;
    if (read) {
        sqlite3_result_int64(context, llround(count * (double)unit));
    } else {
        sqlite3_result_error(context, "parse_duration: this is no duration; write '42.8ms'", -1);
    }
    free(number);
    buf_fini(&one);
}

/* ---- parts of a time ---- */

struct iso_week {
    int64_t year;
    int64_t week;
};

/* The week belongs to the year of its Thursday. */
static struct iso_week
iso_week_of(int64_t day)
{
    int64_t thursday = monday_of(day) + 3;
    int64_t year = calendar_date_of(thursday).year;
    int64_t first = calendar_days((struct calendar_date){year, 1, 1});
    return (struct iso_week){year, (thursday - first) / 7 + 1};
}

static int64_t
part_of(struct bytes name, int64_t ns, bool *known)
{
    int64_t rest = 0;
    int64_t day = calendar_day_of(ns, &rest);
    int64_t second = rest / CALENDAR_NS_PER_SECOND;
    struct calendar_date date = calendar_date_of(day);
    const struct {
        const char *name;
        int64_t value;
    } parts[] = {
            {"year", date.year},
            {"quarter", (date.month - 1) / 3 + 1},
            {"month", date.month},
            {"week", iso_week_of(day).week},
            {"year_of_week", iso_week_of(day).year},
            {"day", date.day},
            {"day_of_week", day - monday_of(day) + 1},
            {"day_of_year", day - calendar_days((struct calendar_date){date.year, 1, 1}) + 1},
            {"hour", second / 3600},
            {"minute", second / 60 % 60},
            {"second", second % 60},
            {"millisecond", rest % CALENDAR_NS_PER_SECOND / CALENDAR_NS_PER_MS},
            {"nanosecond", rest % CALENDAR_NS_PER_SECOND},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (bytes_equal_string(name, parts[i].name)) {
            *known = true;
            return parts[i].value;
        }
    }
    return 0;
}

static void
fn_part(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    if (any_null(argc, argv)) {
        return;
    }
    bool known = false;
    int64_t value = part_of(value_text(argv[0]), sqlite3_value_int64(argv[1]), &known);
    check(known); /* the planner's table has the names */
    sqlite3_result_int64(context, value);
}

/* ---- casts ---- */

static bool
text_to_double(struct bytes text, double *out)
{
    char *copy = bytes_to_string(bytes_trim(text));
    char *end = NULL;
    *out = strtod(copy, &end);
    bool hex = strpbrk(copy, "xXpP") != NULL;
    bool read = end != copy && *end == '\0' && !hex;
    free(copy);
    return read;
}

static bool
to_bigint(sqlite3_value *value, enum query_type from, struct query_value *out)
{
    if (from == QUERY_VARCHAR) {
        return bytes_to_int64(bytes_trim(value_text(value)), &out->integer);
    }
    if (from == QUERY_DOUBLE) {
        double real = round(sqlite3_value_double(value));
        bool fits = real >= -0x1p63 && real < 0x1p63;
        out->integer = fits ? (int64_t)real : 0;
        return fits;
    }
    out->integer = sqlite3_value_int64(value);
    return from == QUERY_BIGINT || from == QUERY_BOOLEAN;
}

static bool
to_double(sqlite3_value *value, enum query_type from, struct query_value *out)
{
    if (from == QUERY_VARCHAR) {
        return text_to_double(value_text(value), &out->real);
    }
    out->real = sqlite3_value_double(value);
    return from == QUERY_DOUBLE || from == QUERY_BIGINT || from == QUERY_BOOLEAN;
}

static bool
to_boolean(sqlite3_value *value, enum query_type from, struct query_value *out)
{
    if (from == QUERY_VARCHAR) {
        struct bytes text = bytes_trim(value_text(value));
        bool yes = bytes_equal_nocase(text, BYTES("true")) || bytes_equal_nocase(text, BYTES("t"))
                   || bytes_equal(text, BYTES("1"));
        out->integer = yes;
        return yes || bytes_equal_nocase(text, BYTES("false"))
               || bytes_equal_nocase(text, BYTES("f")) || bytes_equal(text, BYTES("0"));
    }
    out->integer = sqlite3_value_double(value) != 0;
    return from == QUERY_BOOLEAN || from == QUERY_BIGINT || from == QUERY_DOUBLE;
}

static bool
to_timestamp(sqlite3_value *value, enum query_type from, struct query_value *out)
{
    if (from == QUERY_VARCHAR) {
        return calendar_parse(bytes_trim(value_text(value)), &out->integer);
    }
    if (from == QUERY_DATE) {
        return !__builtin_mul_overflow(sqlite3_value_int64(value), CALENDAR_NS_PER_DAY,
                                       &out->integer);
    }
    out->integer = sqlite3_value_int64(value);
    return from == QUERY_TIMESTAMP;
}

static bool
to_date(sqlite3_value *value, enum query_type from, struct query_value *out)
{
    int64_t rest = 0;
    int64_t ns = sqlite3_value_int64(value);
    if (from == QUERY_VARCHAR) {
        bool read = calendar_parse(bytes_trim(value_text(value)), &ns);
        out->integer = calendar_day_of(ns, &rest);
        return read && rest == 0;
    }
    out->integer = from == QUERY_TIMESTAMP ? calendar_day_of(ns, NULL) : ns;
    return from == QUERY_TIMESTAMP || from == QUERY_DATE;
}

static bool
convert(sqlite3_value *value, enum query_type from, enum query_type to, struct query_value *out)
{
    switch (to) {
    case QUERY_BIGINT:
        return to_bigint(value, from, out);
    case QUERY_DOUBLE:
        return to_double(value, from, out);
    case QUERY_BOOLEAN:
        return to_boolean(value, from, out);
    case QUERY_TIMESTAMP:
        return to_timestamp(value, from, out);
    case QUERY_DATE:
        return to_date(value, from, out);
    default:
        return false;
    }
}

static void
print_value(sqlite3_value *value, enum query_type type, struct buf *out)
{
    struct query_value typed = {.type = type};
    if (type == QUERY_DOUBLE) {
        typed.real = sqlite3_value_double(value);
    } else if (type == QUERY_VARCHAR) {
        typed.text = value_text(value);
    } else {
        typed.integer = sqlite3_value_int64(value);
    }
    query_value_print(&typed, out);
}

static void
cast_failed(sqlite3_context *context, sqlite3_value *value, enum query_type from,
            enum query_type to)
{
    struct buf shown = {0};
    struct buf message = {0};
    print_value(value, from, &shown);
    buf_printf(&message, "'%.*s' cannot be cast to %s; TRY_CAST gives NULL instead",
               BYTES_ARG(bytes_slice(buf_bytes(&shown), 0, 60)), query_type_name(to));
    sqlite3_result_error(context, buf_string(&message), -1);
    buf_fini(&shown);
    buf_fini(&message);
}

/* hg_cast(value, from, to, try) with numbers of enum query_type. */
static void
fn_cast(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    if (any_null(argc, argv)) {
        return;
    }
    enum query_type from = (enum query_type)sqlite3_value_int(argv[1]);
    enum query_type to = (enum query_type)sqlite3_value_int(argv[2]);
    struct query_value out = {.type = to};
    if (to == QUERY_VARCHAR) {
        struct buf text = {0};
        print_value(argv[0], from, &text);
        result_bytes(context, buf_bytes(&text));
        buf_fini(&text);
    } else if (convert(argv[0], from, to, &out)) {
        if (to == QUERY_DOUBLE) {
            sqlite3_result_double(context, out.real);
        } else {
            sqlite3_result_int64(context, out.integer);
        }
    } else if (sqlite3_value_int(argv[3]) == 0) {
        cast_failed(context, argv[0], from, to);
    }
}

/* ---- registration ---- */

typedef void (*scalar_fn)(sqlite3_context *context, int argc, sqlite3_value **argv);

static const struct {
    const char *name;
    int arguments;
    scalar_fn function;
} scalars[] = {
        {"hg_divide", 2, fn_divide},
        {"hg_divide_double", 2, fn_divide_double},
        {"hg_modulo", 2, fn_modulo},
        {"hg_modulo_double", 2, fn_modulo_double},
        {"hg_bin", 2, fn_bin},
        {"hg_day", 1, fn_day},
        {"hg_last_day", 1, fn_last_day},
        {"hg_add_months", 2, fn_add_months},
        {"hg_add_date_months", 2, fn_add_date_months},
        {"hg_add_days", 2, fn_add_days},
        {"hg_date_trunc", 2, fn_date_trunc},
        {"hg_date_add", 3, fn_date_add},
        {"hg_date_add_day", 3, fn_date_add_day},
        {"hg_date_diff", 3, fn_date_diff},
        {"hg_from_epoch", 2, fn_from_epoch},
        {"hg_from_unixtime", 1, fn_from_unixtime},
        {"hg_iso8601", 1, fn_iso8601},
        {"hg_parse_duration", 1, fn_parse_duration},
        {"hg_part", 2, fn_part},
        {"hg_cast", 4, fn_cast},
};

bool
query_function_register(sqlite3 *db, struct diag_list *diags)
{
    int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
    for (size_t i = 0; i < sizeof scalars / sizeof scalars[0]; i++) {
        if (sqlite3_create_function_v2(db, scalars[i].name, scalars[i].arguments, flags, NULL,
                                       scalars[i].function, NULL, NULL, NULL) != SQLITE_OK) {
            diag_error(diags, DIAG_INVALID, "query: %s", sqlite3_errmsg(db));
            return false;
        }
    }
    return query_aggregate_register(db, diags);
}
