/*
 * Reading times by a pattern with the letters of java.time.format.DateTimeFormatter (JDK 11), in
 * three stages, each a file:
 *
 *   time_pattern.c   the pattern, cut into steps
 *   time_match.c     steps and a text give the values of fields
 *   time_resolve.c   fields give an instant, or contradict each other
 *
 * Java's rules hold, strict in matching and smart in resolving, in English (week fields as in the
 * United States), with these differences: a day that its month does not have is refused instead of
 * moved to the end of the month, and a time that the pattern does not have is midnight.
 */
#ifndef HEADGATE_RULES_TIME_PATTERN_H
#define HEADGATE_RULES_TIME_PATTERN_H

#include "date.h"
#include "eval.h"

#include "base/zone.h"

/* The fields of Java that letters stand for. */
enum time_field {
    FIELD_ERA, /* 0: BC */
    FIELD_YEAR_OF_ERA,
    FIELD_YEAR,
    FIELD_QUARTER,
    FIELD_MONTH,
    FIELD_DAY,
    FIELD_DAY_OF_YEAR,
    FIELD_ALIGNED_DAY, /* day in weeks that start with the month */
    FIELD_JULIAN_DAY,  /* modified Julian day */
    FIELD_WEEKDAY,     /* 1: Monday */
    FIELD_LOCAL_WEEKDAY,
    FIELD_WEEK_YEAR,
    FIELD_WEEK,
    FIELD_WEEK_OF_MONTH,
    FIELD_HALF_DAY, /* 0: AM */
    FIELD_HOUR,
    FIELD_CLOCK_HOUR, /* 1 to 24 */
    FIELD_HALF_DAY_HOUR,
    FIELD_CLOCK_HALF_DAY_HOUR,
    FIELD_MINUTE,
    FIELD_SECOND,
    FIELD_NANO,
    FIELD_MS_OF_DAY,
    FIELD_NANO_OF_DAY,
    FIELD_OFFSET_S,
    FIELD_COUNT,
};

/* Values of fields, those in the mask `present`; and the zone that was read. */
struct time_fields {
    int64_t values[FIELD_COUNT];
    uint32_t present;
    const struct zone *zone; /* NULL: none */
};

enum time_step_kind {
    STEP_LITERAL,
    STEP_NUMBER,
    STEP_YEAR_2,     /* two digits: 2000 to 2099 */
    STEP_FRACTION,   /* of a second */
    STEP_TEXT,
    STEP_OFFSET,     /* +01:00 in many forms */
    STEP_GMT_OFFSET, /* GMT+1 */
    STEP_ZONE_ID,
    STEP_ZONE_NAME,
    STEP_OPTIONAL,   /* what follows up to `end` may be absent */
};

/* What may stand before a number. */
enum time_sign {
    SIGN_NONE,
    SIGN_MINUS,
    SIGN_WHEN_WIDE, /* '-'; '+' exactly when there are more digits than `width_min` */
};

struct time_step {
    uint8_t kind;
    uint8_t field;
    uint8_t sign;
    uint8_t width_min, width_max; /* digits */
    uint16_t width_behind; /* digits that belong to the numbers which follow at once */
    uint16_t pad;       /* blanks and value together are this wide; 0: no padding */
    uint8_t form;       /* text: letters of the name; offsets: see time_pattern.c */
    uint32_t end;       /* of an optional section: the index behind its last step */
    struct bytes literal; /* or what stands for no offset: "Z", "+0000" */
};

struct time_pattern {
    const struct time_step *steps;
    size_t count;
    bool is_valid;
};

/* STEP_OFFSET */
enum time_offset_form {
    OFFSET_HOUR,             /* +HH, and minutes if they follow */
    OFFSET_MINUTE,           /* +HHMM */
    OFFSET_MINUTE_COLON,     /* +HH:MM */
    OFFSET_SECOND,           /* +HHMM, and seconds if they follow */
    OFFSET_SECOND_COLON,
};

/* Of an invalid pattern `problem` says what is wrong; `is_valid` is false. */
struct time_pattern time_pattern_compile(struct bytes pattern, struct arena *arena,
                                         struct pattern_problem *problem);

/* False: `text` does not fit, wholly. */
bool time_match(const struct time_pattern *pattern, struct bytes text, struct run *run,
                struct time_fields *out);

/* False: fields are missing, contradict each other, or are out of range, or the result is. */
bool time_resolve(const struct time_fields *fields, int64_t *out_ms);

static inline bool
time_has(const struct time_fields *fields, enum time_field field)
{
    return (fields->present >> field & 1) != 0;
}

#endif
