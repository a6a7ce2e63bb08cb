/*
 * Aggregates: accumulators that take values one by one, are merged (a window is the merge of its
 * slices), written to snapshots, and finished into a value.
 *
 * Meaning: Flink's. NULLs are ignored (COUNT(*) counts rows); nothing to work on gives NULL, and 0
 * of COUNT. AVG of whole numbers is whole, toward zero. Whole numbers are summed in 64 bits: beyond
 * them the result fails. DOUBLE sums are compensated (Neumaier). FIRST_VALUE and LAST_VALUE go by
 * arrival.
 */
#ifndef HEADGATE_RULES_STREAM_AGGREGATE_H
#define HEADGATE_RULES_STREAM_AGGREGATE_H

#include "base/map.h"
#include "op.h"

enum aggregate_kind {
    AGGREGATE_COUNT,
    AGGREGATE_SUM,
    AGGREGATE_AVG,
    AGGREGATE_MIN,
    AGGREGATE_MAX,
    AGGREGATE_FIRST,
    AGGREGATE_LAST,
    AGGREGATE_STDDEV_POP,
    AGGREGATE_STDDEV_SAMP,
    AGGREGATE_VAR_POP,
    AGGREGATE_VAR_SAMP,
    AGGREGATE_LISTAGG,
};

struct aggregate {
    enum aggregate_kind kind;
    bool distinct;
    const struct stream_node *arg;    /* NULL: COUNT(*) */
    const struct stream_node *filter; /* NULL: all rows */
    struct stream_type arg_type;
    struct stream_type type; /* of the result */
    struct bytes separator;  /* of LISTAGG */
};

struct accumulator_extra;

/* All zero is an empty one. Small: there is one for each key, window and aggregate. */
struct accumulator {
    int64_t count; /* of values taken */
    union {
        struct stream_value value; /* SUM, MIN, MAX, FIRST, LAST: so far */
        struct {
            double mean, squares;  /* STDDEV, VAR (Welford) */
        };
        struct {
            double sum, lost; /* SUM and AVG of doubles */
        };
    };
    struct accumulator_extra *extra; /* what few need: texts, order, distinct values; or NULL */
};

/* From a call; NULL after an error. The argument is compiled in `scope`. */
const struct aggregate *aggregate_compile(struct stream_compiler *compiler,
                                          const struct stream_scope *scope,
                                          const struct expr *call);

/* Takes a row's value if the filter passes. False: the row failed (and is told). */
bool aggregate_take(const struct aggregate *aggregate, struct accumulator *into,
                    const struct stream_op *op, struct stream_run *run,
                    const struct stream_value *row);

/* Takes a value that is at hand. */
void aggregate_add(const struct aggregate *aggregate, struct accumulator *into,
                   const struct stream_value *value, uint64_t sequence, struct arena *arena);

/* Adds what `from` has seen to `into`; `from` stays as it is. */
void aggregate_merge(const struct aggregate *aggregate, struct accumulator *into,
                     const struct accumulator *from, struct arena *arena);

/* False: the result is out of range. Text is borrowed from the accumulator or the arena. */
bool aggregate_finish(const struct aggregate *aggregate, const struct accumulator *from,
                      struct arena *arena, struct stream_value *out);

void aggregate_fini(struct accumulator *accumulator);

/* Bytes that it holds beyond itself, about. */
size_t aggregate_footprint(const struct accumulator *accumulator);

void aggregate_save(const struct aggregate *aggregate, const struct accumulator *from,
                    struct buf *out);
bool aggregate_load(const struct aggregate *aggregate, struct accumulator *into,
                    struct wire_reader *reader);

#endif
