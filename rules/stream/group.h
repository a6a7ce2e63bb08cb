/*
 * Groups: rows of one window with equal keys, and their accumulators. Shared by all kinds of
 * windows.
 *
 * Rows that come out: keys | window_start | window_end | window_time | aggregates. Start and end
 * are the wall clock's, window_time is an instant where the time column is one.
 */
#ifndef HEADGATE_RULES_STREAM_GROUP_H
#define HEADGATE_RULES_STREAM_GROUP_H

#include "aggregate.h"

struct group_plan {
    const struct stream_node *const *keys;
    const struct stream_type *key_types;
    size_t key_count;
    const struct aggregate *const *aggregates;
    size_t aggregate_count;
    bool is_local; /* the time column is an instant: windows follow the zone's clock */
};

/* Where the columns of the window are in the rows that come out. */
enum { GROUP_START, GROUP_END, GROUP_TIME, GROUP_BOUNDS };

struct group {
    int64_t rows;
    size_t key_size;
    char *key; /* behind the accumulators */
    struct accumulator accumulators[];
};

/* Encodes the keys of a row. False: the row failed. */
bool group_key(const struct group_plan *plan, const struct stream_op *op, struct stream_run *run,
               const struct stream_value *row, struct buf *out);

/* An empty group; NULL: the rule's limit is reached. `run` NULL: no limit is asked. */
struct group *group_new(const struct group_plan *plan, struct stream_run *run, struct bytes key);

/* The group of a key in a map, made if there is none; else as group_new(). */
struct group *group_of(const struct group_plan *plan, struct map *groups, struct stream_run *run,
                       struct bytes key);

/* Takes a row into the group's accumulators; a row that fails half-way has been counted as failed,
 * and is in none of the others behind. */
void group_take(const struct group_plan *plan, struct group *group, const struct stream_op *op,
                struct stream_run *run, const struct stream_value *row);

void group_merge(const struct group_plan *plan, struct group *into, const struct group *from,
                 struct arena *arena);

/* Pushes the group's row. */
void group_emit(const struct group_plan *plan, const struct group *group, struct stream_op *op,
                struct stream_run *run, int64_t start_ms, int64_t end_ms);

/* All groups in the order of their keys, so that the order of rows is always the same. In the
 * run's arena. */
struct group **group_sorted(const struct map *groups, struct stream_run *run);

void group_free(const struct group_plan *plan, struct group *group, struct stream_run *run);
void group_free_all(const struct group_plan *plan, struct map *groups, struct stream_run *run);

void group_save(const struct group_plan *plan, const struct group *group, struct buf *out);
struct group *group_load(const struct group_plan *plan, struct wire_reader *reader);
void group_save_all(const struct group_plan *plan, const struct map *groups, struct buf *out);
bool group_load_all(const struct group_plan *plan, struct map *groups, struct wire_reader *reader);

/* ---- plans of the operators that hold groups ---- */

enum window_kind {
    WINDOW_TUMBLE,
    WINDOW_HOP,
    WINDOW_CUMULATE,
    WINDOW_SESSION,
    WINDOW_STAGGER,
};

/* Times in ms. TUMBLE: slide == size. CUMULATE: slide is the step. SESSION: size is the gap.
 * STAGGER (Kinesis): size is how long a key's window is open from its first row on. */
struct window_shape {
    enum window_kind kind;
    int64_t size_ms;
    int64_t slide_ms;
    int64_t offset_ms;
};

/* window.c: TUMBLE, HOP, CUMULATE; session.c: SESSION. */
struct window_plan {
    struct stream_op_plan op;
    struct group_plan group;
    struct window_shape shape;
    const struct stream_node *time; /* NULL: processing time */
};
extern const struct stream_op_class stream_window_class;
extern const struct stream_op_class stream_session_class;

/* bound.c: GROUP BY window_start, window_end of rows that have them already. */
struct bound_plan {
    struct stream_op_plan op;
    struct group_plan group;
    size_t start_column, end_column;
    bool is_processing;
};
extern const struct stream_op_class stream_bound_class;

/* assign.c: a window table function without GROUP BY: each row, once for each of its windows. */
struct assign_plan {
    struct stream_op_plan op;
    struct window_shape shape;
    const struct stream_node *time;
    bool is_local;
};
extern const struct stream_op_class stream_assign_class;

/* ---- the grid of windows (window.c) ---- */

/* The first and the last end of the windows that hold a time; false: it is in a gap. */
bool window_ends(const struct window_shape *shape, int64_t time_ms, int64_t *first, int64_t *last);
int64_t window_start_of(const struct window_shape *shape, int64_t end_ms);

#endif
