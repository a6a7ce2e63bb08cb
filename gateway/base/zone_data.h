/* What a zone is made of; for zone*.c only. */
#ifndef HEADGATE_BASE_ZONE_DATA_H
#define HEADGATE_BASE_ZONE_DATA_H

#include "zone.h"

struct zone_kind {
    int32_t offset_s;
    bool is_dst;
    struct bytes abbreviation;
};

/* From `at_s` on, `kind` holds. */
struct zone_change {
    int64_t at_s;
    const struct zone_kind *kind;
};

/* The day and time of day at which a clock is set each year (POSIX TZ). */
enum zone_day_form {
    ZONE_DAY_JULIAN,    /* Jn: day 1 to 365, 29 February is never counted */
    ZONE_DAY_OF_YEAR,   /* n: day 0 to 365 */
    ZONE_DAY_OF_MONTH,  /* Mm.w.d: weekday d (0 is Sunday) of week w (5: the last) of month m */
};

struct zone_day {
    enum zone_day_form form;
    int32_t day;
    int32_t week, month;
    int32_t time_s; /* of the wall clock before the change; from -167 to 167 hours */
};

/* What goes on for ever after the last change of the list. */
struct zone_rule {
    struct zone_kind standard, summer;
    bool has_summer;
    struct zone_day starts, ends; /* summer */
};

struct zone {
    struct bytes name;
    bool is_fixed;
    const struct zone_kind *first; /* before all changes */
    const struct zone_change *changes;
    size_t change_count;
    bool has_rule; /* false: the last change's kind holds for ever */
    struct zone_rule rule;
};

/* Reads the footer of a TZif file, "CET-1CEST,M3.5.0,M10.5.0/3" (POSIX TZ as RFC 8536, section
 * 3.3.1, extends it). False when it is malformed. Abbreviations are views into `text`. */
bool zone_rule_parse(struct bytes text, struct zone_rule *out);

/* The span of the rule that holds at `utc_s`. */
struct zone_span zone_rule_at(const struct zone_rule *rule, int64_t utc_s);

#endif
