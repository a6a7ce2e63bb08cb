/* The plan of an interval join: between plan_join.c, which makes it, and join.c, which runs it. */
#ifndef HEADGATE_RULES_STREAM_JOIN_H
#define HEADGATE_RULES_STREAM_JOIN_H

#include "op.h"

/*
 * A row of the left and one of the right belong together when their keys are equal, the right
 * one's time lies in [left + low_ms, left + high_ms], and the rest of the condition holds. Rows
 * that come out: the left's columns, then the right's.
 */
struct join_side {
    struct stream_schema schema;
    const struct stream_node *const *keys;
    const struct stream_type *key_types;
    const struct stream_node *time;
};

struct join_plan {
    struct stream_op_plan op;
    struct join_side sides[2];
    size_t key_count;
    int64_t low_ms, high_ms;
    bool is_left; /* LEFT JOIN: a left row without partner comes out with NULLs */
    const struct stream_node *rest; /* over both; NULL: true */
};
extern const struct stream_op_class stream_join_class;

#endif
