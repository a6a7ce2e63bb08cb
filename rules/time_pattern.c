/*
 * Stage 1 of reading times: a pattern becomes steps.
 *
 * The letters are rows of a table: which field, and how many of the letter may stand together. What
 * the count means is decided by the row's class.
 *
 * Numbers that follow each other without anything between them share their digits: where all but
 * the first have a certain width, the first leaves them theirs ("yyyyMMdd"). One without a certain
 * width ends that: all before it take what they can, as in Java.
 */
#include "time_pattern.h"

enum {
    DIGITS_MAX = 19,
    SECTIONS_MAX = 16, /* nested [ ] */
    STEPS_MAX = 1000,
    PAD_MAX = 1000,
};

enum letter_class {
    CLASS_NUMBER,      /* 1: any width (of days and weeks: 1); more: that many digits */
    CLASS_YEAR,        /* as above, but 2 are a reduced year */
    CLASS_WIDE,        /* at least that many digits */
    CLASS_DAY_OF_YEAR, /* 1: any; 2, 3: from that many to 3 digits */
    CLASS_TEXT,        /* the name, in the form that the count says */
    CLASS_NAME_OR_NUMBER, /* 1, 2: a number; from 3 on the name */
    CLASS_FRACTION,
    CLASS_ZONE_ID,
    CLASS_ZONE_NAME,
    CLASS_GMT_OFFSET,
    CLASS_OFFSET,      /* X and x */
    CLASS_OFFSET_Z,    /* Z: three classes in one */
};

struct letter {
    char letter;
    uint8_t class;
    uint8_t field;
    uint8_t count_max;
};

static const struct letter letters[] = {
        {'G', CLASS_TEXT, FIELD_ERA, 5},
        {'u', CLASS_YEAR, FIELD_YEAR, DIGITS_MAX},
        {'y', CLASS_YEAR, FIELD_YEAR_OF_ERA, DIGITS_MAX},
        {'Y', CLASS_YEAR, FIELD_WEEK_YEAR, DIGITS_MAX},
        {'Q', CLASS_NAME_OR_NUMBER, FIELD_QUARTER, 5},
        {'q', CLASS_NAME_OR_NUMBER, FIELD_QUARTER, 5},
        {'M', CLASS_NAME_OR_NUMBER, FIELD_MONTH, 5},
        {'L', CLASS_NAME_OR_NUMBER, FIELD_MONTH, 5},
        {'w', CLASS_NUMBER, FIELD_WEEK, 2},
        {'W', CLASS_NUMBER, FIELD_WEEK_OF_MONTH, 1},
        {'D', CLASS_DAY_OF_YEAR, FIELD_DAY_OF_YEAR, 3},
        {'d', CLASS_NUMBER, FIELD_DAY, 2},
        {'F', CLASS_NUMBER, FIELD_ALIGNED_DAY, 1},
        {'g', CLASS_WIDE, FIELD_JULIAN_DAY, DIGITS_MAX},
        {'E', CLASS_TEXT, FIELD_WEEKDAY, 5},
        {'e', CLASS_NAME_OR_NUMBER, FIELD_LOCAL_WEEKDAY, 5},
        {'c', CLASS_NAME_OR_NUMBER, FIELD_LOCAL_WEEKDAY, 5},
        {'a', CLASS_TEXT, FIELD_HALF_DAY, 1},
        {'h', CLASS_NUMBER, FIELD_CLOCK_HALF_DAY_HOUR, 2},
        {'K', CLASS_NUMBER, FIELD_HALF_DAY_HOUR, 2},
        {'k', CLASS_NUMBER, FIELD_CLOCK_HOUR, 2},
        {'H', CLASS_NUMBER, FIELD_HOUR, 2},
        {'m', CLASS_NUMBER, FIELD_MINUTE, 2},
        {'s', CLASS_NUMBER, FIELD_SECOND, 2},
        {'S', CLASS_FRACTION, FIELD_NANO, 9},
        {'A', CLASS_WIDE, FIELD_MS_OF_DAY, DIGITS_MAX},
        {'n', CLASS_WIDE, FIELD_NANO, DIGITS_MAX},
        {'N', CLASS_WIDE, FIELD_NANO_OF_DAY, DIGITS_MAX},
        {'V', CLASS_ZONE_ID, 0, 2},
        {'z', CLASS_ZONE_NAME, 0, 4},
        {'v', CLASS_ZONE_NAME, 0, 4},
        {'O', CLASS_GMT_OFFSET, FIELD_OFFSET_S, 4},
        {'X', CLASS_OFFSET, FIELD_OFFSET_S, 5},
        {'x', CLASS_OFFSET, FIELD_OFFSET_S, 5},
        {'Z', CLASS_OFFSET_Z, FIELD_OFFSET_S, 5},
};

static const struct letter *
find_letter(char c)
{
    for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++) {
        if (letters[i].letter == c) {
            return &letters[i];
        }
    }
    return NULL;
}

/* ---- building ---- */

#define NO_STEP SIZE_MAX

struct builder {
    struct bytes pattern;
    size_t at;
    struct arena *arena;
    struct time_step *steps;
    size_t count;
    size_t open[SECTIONS_MAX]; /* optional sections that are not closed */
    size_t open_count;
    size_t number; /* the number that gives way to those behind it; NO_STEP: none */
    uint16_t pad;  /* for the next step */
    struct pattern_problem *problem;
};

static bool
refuse(struct builder *builder, struct bytes text, const char *hint)
{
    builder->problem->text = text;
    builder->problem->hint = bytes_of_string(hint);
    return false;
}

static bool
add(struct builder *builder, struct time_step step)
{
    if (builder->count == STEPS_MAX) {
        return refuse(builder, BYTES("the date pattern is too long"), "");
    }
    step.pad = builder->pad;
    builder->pad = 0;
    builder->number = NO_STEP;
    builder->steps[builder->count++] = step;
    return true;
}

static bool
add_number(struct builder *builder, struct time_step step)
{
    size_t number = builder->number;
    bool padded = builder->pad > 0;
    bool certain = step.width_min == step.width_max && step.sign == SIGN_NONE;
    if (number != NO_STEP && certain) {
        builder->steps[number].width_behind =
                (uint16_t)(builder->steps[number].width_behind + step.width_min);
    } else if (number != NO_STEP) {
        builder->steps[number].width_behind = 0;
    }
    if (!add(builder, step)) {
        return false;
    }
    builder->number = padded                            ? NO_STEP
                      : number != NO_STEP && certain ? number
                                                        : builder->count - 1;
    return true;
}

/* ---- letters ---- */

static struct time_step
number_step(enum time_field field, size_t width_min, size_t width_max, enum time_sign sign)
{
    return (struct time_step){
            .kind = STEP_NUMBER,
            .field = (uint8_t)field,
            .sign = (uint8_t)sign,
            .width_min = (uint8_t)width_min,
            .width_max = (uint8_t)width_max,
    };
}

static bool
add_plain_number(struct builder *builder, enum time_field field, size_t count)
{
    bool any_width = count == 1 && field != FIELD_LOCAL_WEEKDAY && field != FIELD_WEEK_OF_MONTH;
    struct time_step step = field == FIELD_WEEK ? number_step(field, count, 2, SIGN_NONE)
                            : any_width ? number_step(field, 1, DIGITS_MAX, SIGN_MINUS)
                                        : number_step(field, count, count, SIGN_NONE);
    return add_number(builder, step);
}

static bool
add_year(struct builder *builder, enum time_field field, size_t count)
{
    struct time_step step = number_step(field, count, count == 2 ? 2 : DIGITS_MAX,
                                        count == 2  ? SIGN_NONE
                                        : count < 4 ? SIGN_MINUS
                                                    : SIGN_WHEN_WIDE);
    step.kind = count == 2 ? STEP_YEAR_2 : STEP_NUMBER;
    return add_number(builder, step);
}

static bool
add_text(struct builder *builder, enum time_field field, size_t count)
{
    return add(builder, (struct time_step){.kind = STEP_TEXT,
                                           .field = (uint8_t)field,
                                           .form = (uint8_t)(count < 3 ? 3 : count)});
}

static bool
add_offset(struct builder *builder, enum time_offset_form form, const char *zero)
{
    return add(builder, (struct time_step){.kind = STEP_OFFSET,
                                           .field = FIELD_OFFSET_S,
                                           .form = (uint8_t)form,
                                           .literal = bytes_of_string(zero)});
}

static bool
add_gmt_offset(struct builder *builder, size_t count)
{
    return add(builder, (struct time_step){.kind = STEP_GMT_OFFSET,
                                           .field = FIELD_OFFSET_S,
                                           .form = (uint8_t)count});
}

static bool
add_iso_offset(struct builder *builder, char letter, size_t count)
{
    const char *zero = letter == 'X'    ? "Z"
                       : count == 1     ? "+00"
                       : count % 2 == 0 ? "+0000"
                                        : "+00:00";
    return add_offset(builder, (enum time_offset_form)(OFFSET_HOUR + count - 1), zero);
}

/* Whether that many of a letter may stand together, where not every number up to its maximum. */
static bool
is_count(const struct letter *letter, size_t count)
{
    switch (letter->letter) {
    case 'V':
        return count == 2;
    case 'O':
    case 'v':
        return count == 1 || count == 4;
    case 'c':
        return count != 2 && count <= letter->count_max;
    default:
        return count <= letter->count_max;
    }
}

static bool
add_letter(struct builder *builder, const struct letter *letter, size_t count)
{
    enum time_field field = letter->field;
    switch ((enum letter_class)letter->class) {
    case CLASS_NUMBER:
        return add_plain_number(builder, field, count);
    case CLASS_YEAR:
        return add_year(builder, field, count);
    case CLASS_WIDE:
        return add_number(builder, number_step(field, count, DIGITS_MAX,
                                               letter->letter == 'g' ? SIGN_MINUS : SIGN_NONE));
    case CLASS_DAY_OF_YEAR:
        return count == 1 ? add_plain_number(builder, field, 1)
                          : add_number(builder, number_step(field, count, 3, SIGN_NONE));
    case CLASS_TEXT:
        return add_text(builder, field, count);
    case CLASS_NAME_OR_NUMBER:
        return count < 3 ? add_plain_number(builder, field, count)
                         : add_text(builder, field == FIELD_LOCAL_WEEKDAY ? FIELD_WEEKDAY : field,
                                    count);
    case CLASS_FRACTION:
        return add_number(builder, (struct time_step){.kind = STEP_FRACTION,
                                                      .field = (uint8_t)field,
                                                      .width_min = (uint8_t)count,
                                                      .width_max = (uint8_t)count});
    case CLASS_ZONE_ID:
        return add(builder, (struct time_step){.kind = STEP_ZONE_ID});
    case CLASS_ZONE_NAME:
        return add(builder, (struct time_step){.kind = STEP_ZONE_NAME, .form = (uint8_t)count});
    case CLASS_GMT_OFFSET:
        return add_gmt_offset(builder, count);
    case CLASS_OFFSET:
        return add_iso_offset(builder, letter->letter, count);
    case CLASS_OFFSET_Z:
        return count == 4   ? add_gmt_offset(builder, count)
               : count == 5 ? add_offset(builder, OFFSET_SECOND_COLON, "Z")
                            : add_offset(builder, OFFSET_MINUTE, "+0000");
    }
    never("a class of letters");
}

/* ---- the pattern ---- */

static bool
is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* How many times the letter at `at` stands there; goes behind them. */
static size_t
take_run(struct builder *builder)
{
    size_t start = builder->at;
    char c = builder->pattern.data[start];
    while (builder->at < builder->pattern.size && builder->pattern.data[builder->at] == c) {
        builder->at++;
    }
    return builder->at - start;
}

static bool
take_letters(struct builder *builder)
{
    char c = builder->pattern.data[builder->at];
    size_t count = take_run(builder);
    if (c == 'p') {
        bool followed = builder->at < builder->pattern.size &&
                        is_letter(builder->pattern.data[builder->at]);
        if (!followed || count > PAD_MAX) {
            return refuse(builder, BYTES("'p' pads the letter behind it, and there is none"), "");
        }
        builder->pad = (uint16_t)count;
        c = builder->pattern.data[builder->at];
        count = take_run(builder);
    }
    const struct letter *letter = find_letter(c);
    if (letter == NULL) {
        return refuse(builder,
                      arena_printf(builder->arena, "'%c' is no letter of this date pattern", c),
                      c == 'C' || c == 'x' ? "time_to_epoch has the letters of Java's "
                                             "DateTimeFormatter, parse_time those of Joda-Time"
                                           : "text stands in quotes: 'yyyy-MM-dd''T''HH:mm'");
    }
    if (!is_count(letter, count)) {
        return refuse(builder,
                      arena_printf(builder->arena, "'%c' cannot stand there %zu times", c, count),
                      "");
    }
    return add_letter(builder, letter, count);
}

/* 'text', where '' is one quote; '' alone is one too. */
static bool
take_quoted(struct builder *builder)
{
    struct bytes pattern = builder->pattern;
    struct buf text = {.arena = builder->arena};
    size_t at = builder->at + 1;
    bool closed = false;
    while (at < pattern.size && !closed) {
        bool quote = pattern.data[at] == '\'';
        bool doubled = quote && at + 1 < pattern.size && pattern.data[at + 1] == '\'';
        closed = quote && !doubled;
        if (!closed) {
            buf_append_char(&text, pattern.data[at]);
        }
        at += doubled ? 2 : 1;
    }
    if (!closed) {
        return refuse(builder, BYTES("a quote of the date pattern is not closed"), "");
    }
    builder->at = at;
    struct bytes literal = text.size == 0 ? BYTES("'") : buf_bytes(&text);
    return add(builder, (struct time_step){.kind = STEP_LITERAL, .literal = literal});
}

static bool
open_section(struct builder *builder)
{
    if (builder->open_count == SECTIONS_MAX) {
        return refuse(builder, BYTES("optional sections are nested too deep"), "");
    }
    builder->open[builder->open_count++] = builder->count;
    builder->at++;
    return add(builder, (struct time_step){.kind = STEP_OPTIONAL});
}

static bool
close_section(struct builder *builder)
{
    if (builder->open_count == 0) {
        return refuse(builder, BYTES("']' closes nothing"), "'[' opens an optional section");
    }
    builder->steps[builder->open[--builder->open_count]].end = (uint32_t)builder->count;
    builder->number = NO_STEP;
    return true;
}

static bool
take_next(struct builder *builder)
{
    char c = builder->pattern.data[builder->at];
    if (is_letter(c)) {
        return take_letters(builder);
    }
    switch (c) {
    case '\'':
        return take_quoted(builder);
    case '[':
        return open_section(builder);
    case ']':
        builder->at++;
        return close_section(builder);
    case '{':
    case '}':
    case '#':
        return refuse(builder, arena_printf(builder->arena, "'%c' is reserved in date patterns", c),
                      "put it in quotes");
    default:
        builder->at++;
        return add(builder, (struct time_step){.kind = STEP_LITERAL,
                                               .literal = bytes_slice(builder->pattern,
                                                                      builder->at - 1,
                                                                      builder->at)});
    }
}

struct time_pattern
time_pattern_compile(struct bytes pattern, struct arena *arena, struct pattern_problem *problem)
{
    size_t most = pattern.size < STEPS_MAX ? pattern.size : STEPS_MAX;
    struct builder builder = {
            .pattern = arena_copy(arena, pattern),
            .arena = arena,
            .steps = arena_new_array(arena, struct time_step, most),
            .number = NO_STEP,
            .problem = problem,
    };
    bool ok = true;
    while (ok && builder.at < pattern.size) {
        ok = take_next(&builder);
    }
    while (ok && builder.open_count > 0) { /* as Java: what is open ends with the pattern */
        ok = close_section(&builder);
    }
    return (struct time_pattern){
            .steps = builder.steps, .count = builder.count, .is_valid = ok};
}
