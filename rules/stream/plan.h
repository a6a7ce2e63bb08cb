/*
 * From a script to programs: what the files plan*.c share.
 *
 *   script.c       statements: declarations, INSERT, the programs
 *   plan.c         tables, streams and pumps as sources; what INSERT casts to
 *   plan_select.c  SELECT: sources, WHERE, items
 *   plan_group.c   GROUP BY a window: keys, aggregates, TUMBLE_START(...)
 *   plan_over.c    OVER: frames, LAG, ROW_NUMBER
 *   plan_match.c   MATCH_RECOGNIZE
 *   plan_join.c    interval joins
 *   meaning.c      what a state means, so that an edit may keep it
 *
 * Operators are made from the sources on, each behind its inputs.
 */
#ifndef HEADGATE_RULES_STREAM_PLAN_H
#define HEADGATE_RULES_STREAM_PLAN_H

#include "group.h"
#include "program.h"

enum { SELECT_NESTING_MAX = 32, OPS_MAX = 200 };

/* An INSERT into an in-application stream. */
struct pump {
    const struct statement *statement;
    struct line_index lines; /* of the text that it stands in */
};

/* A name that queries may read. */
struct relation_entry {
    const struct statement *statement; /* CREATE TABLE, VIEW, STREAM or FUNCTION */
    const struct stream_table *table;  /* of a TABLE or STREAM */
    struct pump *pumps; /* STREAM: the INSERTs that fill it, so far */
    size_t pump_count, pump_capacity;
    struct line_index lines; /* of the text that it stands in */
    bool is_read; /* STREAM: its pumps are part of another program */
};

struct planner {
    struct stream_compiler compiler; /* its arena is the script's */
    const struct stream_host *host;
    struct arena *scratch; /* of the tree */
    struct relation_entry *entries;
    size_t entry_count, entry_capacity;
    struct stream_program **programs;
    size_t program_count, program_capacity;

    /* Of the program at hand. */
    const struct stream_op_plan *ops[OPS_MAX];
    size_t op_count;
    const struct stream_source_plan *sources[OPS_MAX];
    const struct stream_table *source_tables[OPS_MAX];
    size_t source_count;
    unsigned nesting;
    uint64_t meaning; /* of what is planned so far: meaning.c */
    enum stream_time_format format; /* of the first source */
    const struct statement *scope;  /* the table whose keys have watermarks; NULL: none */
};

/* A window that a source asks for and that has not become an operator yet. */
struct pending_window {
    struct window_shape shape;
    const struct stream_node *time;
    bool is_local;
    struct expr *const *partition_by; /* SESSION(TABLE t PARTITION BY k, ...) */
    size_t partition_count;
};

/* What stands behind FROM: an operator, and how its columns are called here. */
struct from {
    const struct stream_op_plan *op;
    struct stream_schema schema; /* with the columns of `pending` */
    const struct pending_window *pending;
};

/* Makes room for an operator and adds it; the caller fills it in before. NULL: too many. */
const struct stream_op_plan *plan_add(struct planner *planner, struct stream_op_plan *op);

/* A plan of a class over an input, as a type that begins with struct stream_op_plan. */
void *plan_new_op(struct planner *planner, size_t size, const struct stream_op_class *class,
                  const struct stream_op_plan *input);
#define plan_new(planner, type, class, input) \
    ((type *)plan_new_op((planner), sizeof(type), (class), (input)))

/* NULL after an error, as all that follow. */
const struct stream_op_plan *plan_query(struct planner *planner, const struct select *select);

/* plan_select.c */
bool plan_source(struct planner *planner, const struct source *source, struct from *out);
const struct stream_op_plan *plan_filter(struct planner *planner,
                                         const struct stream_op_plan *input,
                                         const struct stream_node *where);
/* The items of SELECT over an operator, whose names `scope` knows; HAVING or WHERE before. */
const struct stream_op_plan *plan_items(struct planner *planner, const struct select *select,
                                        const struct stream_op_plan *input,
                                        const struct stream_scope *scope,
                                        const struct stream_node *where);
/* Turns the pending window of a source into an operator. */
bool plan_pending(struct planner *planner, struct from *from);

/* plan.c */
struct relation_entry *plan_find(struct planner *planner, struct bytes name);
bool plan_has_columns(const struct relation_entry *entry);
/* A table, view or stream as a source. */
const struct stream_op_plan *plan_named_relation(struct planner *planner,
                                           const struct relation_entry *entry);
/* A table, or a stream without pumps: its rows come from outside. */
const struct stream_op_plan *plan_outside(struct planner *planner,
                                          const struct relation_entry *entry);
enum stream_time_format plan_time_format(const struct statement *statement);
/* Casts a query's columns to those of a table, by position. `span` is for errors. */
const struct stream_op_plan *plan_assign(struct planner *planner, struct span span,
                                         const struct stream_op_plan *query,
                                         const struct relation_entry *entry,
                                         const struct statement *insert);

/* meaning.c: each adds to planner->meaning. */
void plan_mean_query(struct planner *planner, const struct select *select);
void plan_mean_table(struct planner *planner, const struct statement *table);
void plan_mean_layout(struct planner *planner);

/* plan_group.c */
bool plan_has_aggregates(const struct select *select);

/* window_start, window_end and window_time of windows that go by `time`. */
void plan_bound_columns(struct stream_column columns[GROUP_BOUNDS], const struct stream_node *time);
const struct stream_op_plan *plan_group(struct planner *planner, const struct select *select,
                                        struct from *from);
/* TUMBLE(t, size) and its like: the shape from intervals in the order of the function's own;
 * `has_offset` for table functions. */
bool plan_shape(struct planner *planner, struct bytes name, struct span span,
                struct expr *const *args, const struct bytes *names, size_t count,
                bool is_table_function, struct window_shape *out);
/* Whether a column is a time attribute; otherwise an error is added. */
bool plan_time_column(struct planner *planner, const struct stream_schema *schema,
                      const struct expr *column, const struct stream_node **out);

/* plan_over.c */
bool plan_has_over(const struct select *select);
const struct stream_op_plan *plan_over(struct planner *planner, const struct select *select,
                                       struct from *from);

/* plan_match.c */
bool plan_match(struct planner *planner, const struct source *source, struct from *from);

/* plan_join.c */
bool plan_joins(struct planner *planner, const struct source *first, struct from *from);

/* Calls `visit` for an expression and all below it, aggregates and OVERs included, subqueries not;
 * stops when it returns false. */
bool expr_walk(const struct expr *expr, bool (*visit)(void *context, const struct expr *expr),
               void *context);

#endif
