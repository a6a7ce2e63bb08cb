/*
 * Stage 2 of reading times: steps of a pattern against a text.
 *
 * There is no way back: each step takes what it can and the next goes on behind it. Only an
 * optional section that does not fit leaves text and fields as they were before it.
 */
#include "time_pattern.h"

#include "date.h"
#include "zone_name.h"

struct reader {
    struct run *run;
    struct bytes rest;
    struct time_fields fields;
};

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
is_sign(char c)
{
    return c == '+' || c == '-';
}

/* False: the field has another value already. */
static bool
set(struct reader *reader, enum time_field field, int64_t value)
{
    if (time_has(&reader->fields, field) && reader->fields.values[field] != value) {
        return false;
    }
    reader->fields.values[field] = value;
    reader->fields.present |= UINT32_C(1) << field;
    return true;
}

static void
skip(struct reader *reader, size_t size)
{
    reader->rest = bytes_slice(reader->rest, size, reader->rest.size);
}

static bool
take(struct reader *reader, struct bytes text)
{
    bool there = bytes_starts_with(reader->rest, text);
    skip(reader, there ? text.size : 0);
    return there;
}

/* ---- numbers ---- */

static size_t
count_digits(struct bytes text, size_t most)
{
    size_t count = 0;
    while (count < most && count < text.size && is_digit(text.data[count])) {
        count++;
    }
    return count;
}

/* Of at most 19 digits, those that make a number within int64: the last may be left over. */
static int64_t
read_digits(struct bytes text, size_t *count)
{
    uint64_t value = 0;
    for (size_t i = 0; i < *count; i++) {
        uint64_t longer = value * 10 + (uint64_t)(text.data[i] - '0');
        if (longer > INT64_MAX) {
            *count = i;
            break;
        }
        value = longer;
    }
    return (int64_t)value;
}

/* Takes a sign and says whether the digits behind it may be as many as they are. */
static bool
take_sign(struct reader *reader, const struct time_step *step, char *sign)
{
    *sign = reader->rest.size > 0 && is_sign(reader->rest.data[0]) ? reader->rest.data[0] : '\0';
    bool may = *sign == '\0' || step->sign == SIGN_WHEN_WIDE ||
               (*sign == '-' && step->sign == SIGN_MINUS);
    skip(reader, may && *sign != '\0');
    return may;
}

static bool
match_number(struct reader *reader, const struct time_step *step)
{
    char sign;
    if (!take_sign(reader, step, &sign)) {
        return false;
    }
    size_t count = count_digits(reader->rest, (size_t)step->width_max + step->width_behind);
    if (step->width_behind > 0) {
        size_t own = count > step->width_behind ? count - step->width_behind : 0;
        count = own > step->width_min ? own : count < step->width_min ? count : step->width_min;
    }
    if (count < step->width_min) {
        return false;
    }
    int64_t value = read_digits(reader->rest, &count);
    bool wide = count > step->width_min;
    if ((sign == '-' && value == 0) ||
        (step->sign == SIGN_WHEN_WIDE && sign != '-' && wide != (sign == '+'))) {
        return false;
    }
    skip(reader, count);
    value = sign == '-' ? -value : value;
    return set(reader, step->field, step->kind == STEP_YEAR_2 ? 2000 + value : value);
}

static bool
match_fraction(struct reader *reader, const struct time_step *step)
{
    size_t count = count_digits(reader->rest, step->width_max);
    if (count < step->width_min) {
        return false;
    }
    int64_t value = read_digits(reader->rest, &count);
    for (size_t i = count; i < 9; i++) {
        value *= 10;
    }
    skip(reader, count);
    return set(reader, step->field, value);
}

/* ---- names ---- */

enum { LETTERS_SHORT = 3, LETTERS_FULL = 4, LETTERS_NARROW = 5 };

/* Names of a field: full ones, or a template whose '#' is the number. */
struct name_list {
    const struct bytes *names;
    size_t count;
    int64_t first; /* the value of the first name */
};

static const struct bytes eras[] = {{"BC", 2}, {"AD", 2}};
static const struct bytes eras_full[] = {{"Before Christ", 13}, {"Anno Domini", 11}};
static const struct bytes halves[] = {{"AM", 2}, {"PM", 2}};
static const struct bytes quarters[] = {{"Q1", 2}, {"Q2", 2}, {"Q3", 2}, {"Q4", 2}};
static const struct bytes quarters_full[] = {
        {"1st quarter", 11}, {"2nd quarter", 11}, {"3rd quarter", 11}, {"4th quarter", 11}};
static const struct bytes quarters_narrow[] = {{"1", 1}, {"2", 1}, {"3", 1}, {"4", 1}};

static struct name_list
names_of(enum time_field field, unsigned letters)
{
    switch (field) {
    case FIELD_ERA:
        return (struct name_list){letters == LETTERS_FULL ? eras_full : eras, 2, 0};
    case FIELD_HALF_DAY:
        return (struct name_list){halves, 2, 0};
    case FIELD_QUARTER:
        return (struct name_list){letters == LETTERS_SHORT  ? quarters
                                  : letters == LETTERS_FULL ? quarters_full
                                                            : quarters_narrow,
                                  4, 1};
    case FIELD_MONTH:
        return (struct name_list){date_months, 12, 1};
    default:
        check(field == FIELD_WEEKDAY);
        return (struct name_list){date_weekdays, 7, 1};
    }
}

/* The narrow form is one letter; of names that share it, Java takes the last. */
static bool
match_text(struct reader *reader, const struct time_step *step)
{
    struct name_list list = names_of(step->field, step->form);
    size_t size = step->form == LETTERS_SHORT ? 3 : step->form == LETTERS_NARROW ? 1 : SIZE_MAX;
    for (size_t i = list.count; i-- > 0;) {
        struct bytes name = bytes_slice(list.names[i], 0, size);
        if (take(reader, name)) {
            return set(reader, step->field, list.first + (int64_t)i);
        }
    }
    return false;
}

/* ---- offsets ---- */

/* Two digits up to 59, behind a colon if one is wanted. False takes nothing. */
static bool
take_two(struct reader *reader, bool colon, int64_t *out)
{
    struct bytes rest = reader->rest;
    if (colon && (rest.size == 0 || rest.data[0] != ':')) {
        return false;
    }
    rest = bytes_slice(rest, colon, rest.size);
    if (rest.size < 2 || rest.data[0] > '5' || !is_digit(rest.data[0]) || !is_digit(rest.data[1])) {
        return false;
    }
    *out = (rest.data[0] - '0') * 10 + (rest.data[1] - '0');
    skip(reader, 2 + (size_t)colon);
    return true;
}

/* +HH, then minutes and seconds: whether they must be there says the form. */
static bool
read_offset(struct reader *reader, enum time_offset_form form, int64_t *out_s)
{
    if (reader->rest.size == 0 || !is_sign(reader->rest.data[0])) {
        return false;
    }
    bool west = reader->rest.data[0] == '-';
    bool colon = form == OFFSET_MINUTE_COLON || form == OFFSET_SECOND_COLON;
    int64_t hours = 0, minutes = 0, seconds = 0;
    skip(reader, 1);
    if (!take_two(reader, false, &hours) ||
        (!take_two(reader, colon, &minutes) && form != OFFSET_HOUR)) {
        return false;
    }
    if (form == OFFSET_SECOND || form == OFFSET_SECOND_COLON) {
        (void)take_two(reader, colon, &seconds);
    }
    int64_t offset_s = hours * 3600 + minutes * 60 + seconds;
    *out_s = west ? -offset_s : offset_s;
    return hours <= 23;
}

static bool
match_offset(struct reader *reader, const struct time_step *step)
{
    if (take(reader, step->literal)) {
        return set(reader, FIELD_OFFSET_S, 0);
    }
    int64_t offset_s;
    return read_offset(reader, step->form, &offset_s) && set(reader, FIELD_OFFSET_S, offset_s);
}

/* "GMT", "GMT+1", "GMT+01:30" */
static bool
match_gmt_offset(struct reader *reader, const struct time_step *step)
{
    if (!take(reader, BYTES("GMT"))) {
        return false;
    }
    if (reader->rest.size == 0 || !is_sign(reader->rest.data[0])) {
        return set(reader, FIELD_OFFSET_S, 0);
    }
    bool west = reader->rest.data[0] == '-';
    bool full = step->form == LETTERS_FULL;
    int64_t minutes = 0, seconds = 0;
    skip(reader, 1);
    size_t count = count_digits(reader->rest, 2);
    if (count == 0 || (full && count < 2)) {
        return false;
    }
    int64_t hours = read_digits(reader->rest, &count);
    skip(reader, count);
    if (take_two(reader, true, &minutes)) {
        (void)take_two(reader, true, &seconds);
    } else if (full) {
        return false;
    }
    int64_t offset_s = hours * 3600 + minutes * 60 + seconds;
    return set(reader, FIELD_OFFSET_S, west ? -offset_s : offset_s);
}

/* ---- zones ---- */

static bool
set_zone(struct reader *reader, const struct zone *zone)
{
    reader->fields.zone = zone;
    return zone != NULL;
}

enum { ZONE_OFFSET_READ_MAX_S = 18 * 3600 };

/*
 * "UTC", "UTC+01:00", "+01:00": what stands behind the prefix is an offset with minutes, or not
 * part of the zone.
 */
static bool
match_prefixed_offset(struct reader *reader, struct bytes prefix)
{
    skip(reader, prefix.size);
    struct bytes behind = reader->rest;
    int64_t offset_s = 0;
    if (!read_offset(reader, OFFSET_SECOND_COLON, &offset_s)) {
        reader->rest = behind;
        return prefix.size > 0 && set_zone(reader, zone_fixed(prefix, reader->run->arena));
    }
    return offset_s >= -ZONE_OFFSET_READ_MAX_S && offset_s <= ZONE_OFFSET_READ_MAX_S &&
           set_zone(reader, zone_of_offset((int32_t)offset_s, reader->run->arena));
}

static bool
is_word_byte(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static bool
is_name_byte(char c)
{
    return is_word_byte(c) || is_digit(c) || is_sign(c) || c == '/';
}

enum { ZONE_NAME_READ_MAX = 64 };

/*
 * The longest beginning of the text that is a zone's name: the whole run of bytes that names are
 * made of, then without what stands behind its last word, and so on.
 */
static const struct zone *
longest_zone(struct reader *reader, size_t *size)
{
    size_t end = 0;
    while (end < reader->rest.size && end <= ZONE_NAME_READ_MAX &&
           is_name_byte(reader->rest.data[end])) {
        end++;
    }
    for (; end > 0 && end <= ZONE_NAME_READ_MAX; end--) {
        bool boundary = end == reader->rest.size || !is_word_byte(reader->rest.data[end]);
        const struct zone *zone =
                boundary ? run_zone(reader->run, bytes_slice(reader->rest, 0, end)) : NULL;
        if (zone != NULL) {
            *size = end;
            return zone;
        }
    }
    *size = 0;
    return NULL;
}

/* The id of a zone; with `letters` > 0 also a name of one, short or full. */
static bool
match_zone(struct reader *reader, unsigned letters)
{
    static const struct bytes prefixes[] = {{"GMT0", 4}, {"UTC", 3}, {"UT", 2}, {"GMT", 3}};
    struct bytes rest = reader->rest;
    if (rest.size > 0 && is_sign(rest.data[0])) {
        return match_prefixed_offset(reader, BYTES(""));
    }
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        if (bytes_starts_with(rest, prefixes[i]) && i > 0) {
            return match_prefixed_offset(reader, prefixes[i]);
        }
        if (bytes_starts_with(rest, prefixes[i])) {
            skip(reader, prefixes[i].size);
            return set_zone(reader, zone_of_offset(0, reader->run->arena));
        }
    }
    struct bytes called;
    size_t size;
    size_t name_size = letters == 0 ? 0 : zone_name_read(rest, letters >= LETTERS_FULL, &called);
    const struct zone *zone = longest_zone(reader, &size);
    if (name_size > 0 && name_size >= size) {
        size = name_size;
        zone = run_zone(reader->run, called);
    }
    if (zone == NULL && rest.size > 0 && rest.data[0] == 'Z') {
        size = 1;
        zone = zone_of_offset(0, reader->run->arena);
    }
    skip(reader, size);
    return set_zone(reader, zone);
}

/* ---- steps ---- */

static bool
match_value(struct reader *reader, const struct time_step *step)
{
    switch ((enum time_step_kind)step->kind) {
    case STEP_LITERAL:
        return take(reader, step->literal);
    case STEP_NUMBER:
    case STEP_YEAR_2:
        return match_number(reader, step);
    case STEP_FRACTION:
        return match_fraction(reader, step);
    case STEP_TEXT:
        return match_text(reader, step);
    case STEP_OFFSET:
        return match_offset(reader, step);
    case STEP_GMT_OFFSET:
        return match_gmt_offset(reader, step);
    case STEP_ZONE_ID:
        return match_zone(reader, 0);
    case STEP_ZONE_NAME:
        return match_zone(reader, step->form);
    case STEP_OPTIONAL:
        break;
    }
    never("a step that has no value");
}

/* Blanks, then the value, together exactly as wide as the padding. */
static bool
match_padded(struct reader *reader, const struct time_step *step)
{
    if (step->pad == 0) {
        return match_value(reader, step);
    }
    struct bytes all = reader->rest;
    if (all.size < step->pad) {
        return false;
    }
    reader->rest = bytes_slice(all, 0, step->pad);
    while (reader->rest.size > 0 && reader->rest.data[0] == ' ') {
        skip(reader, 1);
    }
    bool ok = match_value(reader, step) && reader->rest.size == 0;
    reader->rest = bytes_slice(all, step->pad, all.size);
    return ok;
}

/* Sections are nested at most SECTIONS_MAX deep (time_pattern.c), and so is this. */
static bool
match_steps(struct reader *reader, const struct time_step *steps, size_t from, size_t to)
{
    for (size_t i = from; i < to;) {
        if (steps[i].kind != STEP_OPTIONAL) {
            if (!match_padded(reader, &steps[i])) {
                return false;
            }
            i++;
            continue;
        }
        struct reader before = *reader;
        if (!match_steps(reader, steps, i + 1, steps[i].end)) {
            *reader = before;
        }
        i = steps[i].end;
    }
    return true;
}

bool
time_match(const struct time_pattern *pattern, struct bytes text, struct run *run,
           struct time_fields *out)
{
    struct reader reader = {.run = run, .rest = text};
    if (!match_steps(&reader, pattern->steps, 0, pattern->count) || reader.rest.size > 0) {
        return false;
    }
    *out = reader.fields;
    return true;
}
