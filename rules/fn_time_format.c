/*
 * parse_time(pattern, milliseconds[, zone]): an instant as text, by a pattern with the letters of
 * Joda-Time's DateTimeFormat (http://www.joda.org/joda-time/key_format.html), in English.
 *
 * The name is AWS's: it prints. A pattern is cut into parts once, at load when it is constant; each
 * part is a letter with its count, or a literal.
 */
#include "fn.h"

#include "date.h"
#include "zone_name.h"

#include "base/zone.h"

enum { MS_PER_DAY = 86400000 };

/* ---- patterns ---- */

struct part {
    char letter; /* NUL: a literal */
    size_t count;
    struct bytes literal;
};

struct format {
    const struct part *parts;
    size_t count;
    bool is_valid;
};

static bool
is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static const char letters[] = "GCYyxweEDMdaKhHkmsSzZ";

/* Text up to the next letter outside of quotes; two quotes are one, inside and outside. */
static struct bytes
take_literal(struct bytes pattern, size_t *at, struct arena *arena)
{
    struct buf text = {.arena = arena};
    bool quoted = false;
    for (; *at < pattern.size; ++*at) {
        char c = pattern.data[*at];
        bool doubled = c == '\'' && *at + 1 < pattern.size && pattern.data[*at + 1] == '\'';
        if (c == '\'' && !doubled) {
            quoted = !quoted;
            continue;
        }
        if (is_letter(c) && !quoted) {
            break;
        }
        buf_append_char(&text, c);
        *at += doubled;
    }
    return buf_bytes(&text);
}

static void
note_letter(struct pattern_problem *problem, char letter, struct arena *arena)
{
    problem->text = arena_printf(arena, "'%c' is no letter of this date pattern", letter);
    problem->hint = letter == 'u' || letter == 'L' || letter == 'X' || letter == 'V'
                         ? BYTES("parse_time has the letters of Joda-Time, time_to_epoch those of "
                                 "Java's DateTimeFormatter")
                         : BYTES("text stands in quotes: 'yyyy-MM-dd''T''HH:mm'");
}

static struct format
compile(struct bytes pattern, struct arena *arena, struct pattern_problem *problem)
{
    struct part *parts = arena_new_array(arena, struct part, pattern.size);
    struct format format = {.parts = parts};
    for (size_t at = 0; at < pattern.size;) {
        struct part part = {0};
        char c = pattern.data[at];
        if (!is_letter(c)) {
            part.literal = take_literal(pattern, &at, arena);
        } else if (strchr(letters, c) == NULL) {
            note_letter(problem, c, arena);
            return format;
        } else {
            part.letter = c;
            while (at < pattern.size && pattern.data[at] == c) {
                at++;
                part.count++;
            }
        }
        if (part.letter != '\0' || part.literal.size > 0) {
            parts[format.count++] = part;
        }
    }
    format.is_valid = format.count > 0;
    if (!format.is_valid) {
        problem->text = BYTES("the date pattern is empty");
    }
    return format;
}

const void *
prepare_parse_time(const struct value *const *args, size_t count, struct arena *arena)
{
    if (args[0] == NULL || value_type(args[0]) != TYPE_STRING) {
        return NULL;
    }
    struct format *format = arena_new(arena, struct format);
    struct pattern_problem unheard = {0};
    *format = compile(value_string_content(args[0], arena), arena, &unheard);
    return format;
}

struct pattern_problem
parse_time_problem(struct bytes pattern, struct arena *arena)
{
    struct pattern_problem problem = {0};
    (void)compile(pattern, arena, &problem);
    return problem;
}

/* ---- the moment ---- */

struct moment {
    const struct zone *zone;
    struct zone_span span;
    struct date date;
    int64_t ms_of_day;
    struct arena *arena;
};

/* False: beyond the range of int64. */
static bool
moment_init(struct moment *moment, int64_t utc_ms)
{
    int64_t utc_s = utc_ms / 1000 - (utc_ms % 1000 < 0);
    moment->span = zone_at(moment->zone, utc_s);
    int64_t local_ms;
    if (__builtin_add_overflow(utc_ms, (int64_t)moment->span.offset_s * 1000, &local_ms)) {
        return false;
    }
    int64_t days = local_ms / MS_PER_DAY - (local_ms % MS_PER_DAY < 0);
    moment->date = date_of_days(days);
    moment->ms_of_day = local_ms - days * MS_PER_DAY;
    return true;
}

/* ---- printing ---- */

/* At least `width` digits. */
static void
print_number(struct buf *out, int64_t number, size_t width)
{
    char digits[24];
    size_t count = 0;
    uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
    do {
        digits[count++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (number < 0) {
        buf_append_char(out, '-');
    }
    for (size_t i = count; i < width; i++) {
        buf_append_char(out, '0');
    }
    while (count > 0) {
        buf_append_char(out, digits[--count]);
    }
}

static void
print_year(struct buf *out, int64_t year, size_t count)
{
    if (count == 2) {
        print_number(out, (year < 0 ? -year : year) % 100, 2);
    } else {
        print_number(out, year, count);
    }
}

static void
print_fraction(struct buf *out, int64_t ms, size_t count)
{
    static const int64_t units[] = {100, 10, 1};
    for (size_t i = 0; i < count; i++) {
        int64_t digit = i < 3 ? ms / units[i] % 10 : 0;
        buf_append_char(out, (char)('0' + digit));
    }
}

static void
print_text(struct buf *out, struct bytes text, bool full)
{
    buf_append(out, full ? text : bytes_slice(text, 0, 3));
}

/* +hhmm, +hh:mm, or the zone's name. */
static void
print_zone(struct buf *out, const struct moment *moment, size_t count)
{
    if (count >= 3) {
        bool fixed = zone_is_fixed(moment->zone);
        buf_append(out, fixed ? moment->span.abbreviation : zone_name(moment->zone));
        return;
    }
    int32_t offset_s = moment->span.offset_s;
    int32_t minutes = (offset_s < 0 ? -offset_s : offset_s) / 60;
    buf_append_char(out, offset_s < 0 ? '-' : '+');
    print_number(out, minutes / 60, 2);
    buf_append_string(out, count == 2 ? ":" : "");
    print_number(out, minutes % 60, 2);
}

static void
print_date_part(struct buf *out, const struct moment *moment, char letter, size_t count)
{
    const struct date *date = &moment->date;
    switch (letter) {
    case 'G':
        buf_append_string(out, date->year > 0 ? "AD" : "BC");
        break;
    case 'C':
        print_number(out, (date->year < 0 ? -date->year : date->year) / 100, count);
        break;
    case 'Y': /* of the era, but for two digits */
        print_year(out, date->year > 0 || count == 2 ? date->year : 1 - date->year, count);
        break;
    case 'y':
        print_year(out, date->year, count);
        break;
    case 'x':
        print_year(out, date_week(date, &week_rule_iso).year, count);
        break;
    case 'w':
        print_number(out, date_week(date, &week_rule_iso).week, count);
        break;
    case 'e':
        print_number(out, date->weekday, count);
        break;
    case 'E':
        print_text(out, date_weekdays[date->weekday - 1], count >= 4);
        break;
    case 'D':
        print_number(out, date->day_of_year, count);
        break;
    case 'd':
        print_number(out, date->day, count);
        break;
    case 'M':
        if (count >= 3) {
            print_text(out, date_months[date->month - 1], count >= 4);
        } else {
            print_number(out, date->month, count);
        }
        break;
    default:
        never("a letter of dates");
    }
}

/* From 1 to `hours` instead of from 0. */
static int64_t
clock_hour(int64_t hour, int64_t hours)
{
    return hour % hours == 0 ? hours : hour % hours;
}

static void
print_part(struct buf *out, const struct moment *moment, const struct part *part)
{
    int64_t seconds = moment->ms_of_day / 1000, hour = seconds / 3600;
    switch (part->letter) {
    case '\0':
        buf_append(out, part->literal);
        break;
    case 'a':
        buf_append_string(out, hour < 12 ? "AM" : "PM");
        break;
    case 'K':
        print_number(out, hour % 12, part->count);
        break;
    case 'h':
        print_number(out, clock_hour(hour, 12), part->count);
        break;
    case 'H':
        print_number(out, hour, part->count);
        break;
    case 'k':
        print_number(out, clock_hour(hour, 24), part->count);
        break;
    case 'm':
        print_number(out, seconds / 60 % 60, part->count);
        break;
    case 's':
        print_number(out, seconds % 60, part->count);
        break;
    case 'S':
        print_fraction(out, moment->ms_of_day % 1000, part->count);
        break;
    case 'z':
        buf_append(out, part->count >= 4
                                ? zone_long_name(moment->zone, &moment->span, moment->arena)
                                : zone_short_name(moment->zone, &moment->span, moment->arena));
        break;
    case 'Z':
        print_zone(out, moment, part->count);
        break;
    default:
        print_date_part(out, moment, part->letter, part->count);
    }
}

/* ---- the function ---- */

/* Truncated; false: no number, or beyond the range of int64. */
static bool
read_ms(const struct call *call, size_t i, int64_t *out)
{
    struct decimal number;
    if (!call_number(call, i, &number)) {
        return false;
    }
    struct decimal whole = decimal_round(&number, 0, DECIMAL_TRUNCATE, call->arena);
    return decimal_to_int64(&whole, out);
}

/* NULL: no such zone. */
static const struct zone *
read_zone(const struct call *call)
{
    if (call->count < 3) {
        return zone_of_offset(0, call->arena);
    }
    if (value_type(&call->args[2]) != TYPE_STRING) {
        return NULL;
    }
    return run_zone(call->run, value_string_content(&call->args[2], call->arena));
}

void
fn_parse_time(const struct call *call, struct value *out)
{
    struct moment moment = {.arena = call->arena};
    struct pattern_problem unheard = {0};
    int64_t utc_ms;
    if (value_type(&call->args[0]) != TYPE_STRING || !read_ms(call, 1, &utc_ms)) {
        return;
    }
    struct format format = call->prepared != NULL
                                   ? *(const struct format *)call->prepared
                                   : compile(value_string_content(&call->args[0], call->arena),
                                             call->arena, &unheard);
    moment.zone = format.is_valid ? read_zone(call) : NULL;
    if (moment.zone == NULL || !moment_init(&moment, utc_ms)) {
        return;
    }
    struct buf text = {.arena = call->arena};
    for (size_t i = 0; i < format.count; i++) {
        print_part(&text, &moment, &format.parts[i]);
    }
    *out = value_string(buf_bytes(&text));
}
