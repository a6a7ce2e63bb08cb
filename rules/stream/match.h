/* The plan of MATCH_RECOGNIZE: between plan_match.c, which makes it, and match.c, which runs it. */
#ifndef HEADGATE_RULES_STREAM_MATCH_H
#define HEADGATE_RULES_STREAM_MATCH_H

#include "aggregate.h"
#include "rows.h"

enum { MATCH_ITEMS_MAX = 50, MATCH_ANY = INT32_MAX };

struct match_step {
    uint32_t least, most; /* PATTERN_UNBOUNDED: no upper bound */
    bool reluctant;
    const struct stream_node *condition; /* NULL: always true */
};

struct match_plan {
    struct stream_op_plan op;
    struct stream_schema input;
    const struct stream_node *const *keys;
    const struct stream_type *key_types;
    size_t key_count;
    const struct stream_node *time; /* NULL: processing time */
    const struct match_step *steps;
    size_t step_count;
    enum match_skip skip;
    uint32_t skip_step;
    int64_t within_ms; /* 0: none */
    const struct stream_node *const *measures;
    size_t measure_count;
};
extern const struct stream_op_class stream_match_class;

/*
 * A match, or an attempt at one: rows in order, the first counts[0] of them of step 0, and so on.
 * Conditions and measures see it through stream_context.match.
 */
struct match_view {
    const struct stream_value *const *rows;
    size_t row_count;
    const uint32_t *counts; /* one a step */
    size_t step_count;
};

/* The n-th row of a step (of all: MATCH_ANY), from the first or from the last; NULL: none. */
const struct stream_value *match_row(const struct match_view *view, uint32_t step, size_t n,
                                     bool from_last);

#endif
