/* Plans of the operators behind OVER: over.c (frames) and rank.c (ROW_NUMBER within a window). */
#ifndef HEADGATE_RULES_STREAM_OVER_H
#define HEADGATE_RULES_STREAM_OVER_H

#include "aggregate.h"

enum over_kind { OVER_AGGREGATE, OVER_LAG, OVER_ROW_NUMBER };

struct over_call {
    enum over_kind kind;
    const struct aggregate *aggregate;
    const struct stream_node *arg; /* LAG */
    int64_t distance;              /* LAG */
};

/*
 * One output a row: the row, and a column for each call. In event time rows wait for the
 * watermark and come out in the order of their times; in processing time they go at once.
 */
struct over_plan {
    struct stream_op_plan op;
    const struct stream_node *const *keys;
    const struct stream_type *key_types;
    size_t key_count;
    const struct stream_node *time; /* NULL: processing time */
    const struct over_call *calls;
    size_t call_count;
    size_t input_columns;
    enum { OVER_UNBOUNDED, OVER_ROWS, OVER_RANGE } frame;
    int64_t preceding;       /* rows, or ms */
    bool is_lower_exclusive; /* RANGE of Kinesis: the edge is out */
    int64_t rows_kept;       /* for LAG: of each key at least */
    int64_t keep_ms;         /* ROW_NUMBER: a silent key is forgotten after it; 0: never */
};
extern const struct stream_op_class stream_over_class;

/* ROW_NUMBER() OVER (PARTITION BY window_start, window_end, ... ORDER BY x): when the window is
 * over its rows come out in order, with their numbers behind them. */
struct rank_plan {
    struct stream_op_plan op;
    const struct stream_node *const *keys;
    const struct stream_type *key_types;
    size_t key_count;
    const struct stream_node *const *order;
    const bool *descending;
    size_t order_count;
    size_t end_column;
    bool is_local;
    bool is_processing;
};
extern const struct stream_op_class stream_rank_class;

#endif
