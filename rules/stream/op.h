/*
 * A query runs as a chain of operators: rows and watermarks are pushed from the sources to the end.
 *
 *   source -> filter -> window -> project -> end
 *
 * The plan of an operator is read-only and belongs to the program; a running operator is its
 * state, and belongs to one run. An operator handles a row, a watermark or the passing of time and
 * pushes what follows from it to the next one, in this order: rows that a watermark sets free come
 * before that watermark, so a chain of windows adds no delay.
 *
 * Rows are arrays of values in the run's arena, valid until the push returns. What an operator
 * keeps, it copies (key.h).
 */
#ifndef HEADGATE_RULES_STREAM_OP_H
#define HEADGATE_RULES_STREAM_OP_H

#include "base/wire.h"
#include "expr.h"
#include "stream.h"

struct stream_op;

struct stream_op_class {
    const char *name;
    size_t size; /* of a running operator */
    void (*open)(struct stream_op *op);  /* may be NULL, as all but row */
    void (*close)(struct stream_op *op); /* frees what it holds, not itself */
    void (*row)(struct stream_op *op, struct stream_run *run, unsigned port,
                const struct stream_value *row);
    /* Default: passes it on. */
    void (*watermark)(struct stream_op *op, struct stream_run *run, unsigned port, int64_t ms);
    /* Processing time is now run->context.now_ms. */
    void (*tick)(struct stream_op *op, struct stream_run *run);
    /* When tick() has something to do next; INT64_MAX: nothing waits. */
    int64_t (*next_tick)(const struct stream_op *op);
    /* The clock was set back, to run->context.now_ms: what waits for a time of it comes out, and
     * nothing that the clock showed before counts any more. A watermark that is INT64_MIN here
     * begins anew, too. */
    void (*set_back)(struct stream_op *op, struct stream_run *run);
    /* State to bytes and back; a fresh operator loads. */
    void (*save)(const struct stream_op *op, struct buf *out);
    bool (*load)(struct stream_op *op, struct wire_reader *reader);
};

/* Every plan begins with this. */
struct stream_op_plan {
    const struct stream_op_class *class;
    struct stream_schema schema; /* of the rows that come out */
    const struct stream_op_plan *inputs[2];
    unsigned input_count;
};

struct stream_op {
    const struct stream_op_plan *plan;
    struct stream_op *next;  /* NULL: the end */
    unsigned port;           /* which input of `next` this is */
    int64_t watermark_ms;    /* the last that came in (of several inputs, the least) */
    int64_t port_watermarks_ms[2];
    bool is_port_idle[2];    /* of two inputs: its source is silent, and does not hold back */
};

struct stream_run {
    const struct stream_program *program;
    struct stream_op **ops; /* sources first: an operator comes behind its inputs */
    size_t op_count;
    struct arena arena;     /* of what is being pushed; reset in between */
    struct stream_context context;
    struct stream_stats stats;
    struct stream_output output;
    uint64_t sequence;      /* of rows: the order of arrival */
    size_t state_bytes;     /* that operators hold, about; of children: in their parent */
    size_t state_entries;   /* stream_take() without its stream_give(); in the same place */
    struct stream_run *parent; /* of a run for one key: keyed.c */
    struct stream_keyed *keyed;
};

/* Pushes to what follows `op`. */
void stream_push(struct stream_op *op, struct stream_run *run, const struct stream_value *row);
void stream_push_watermark(struct stream_op *op, struct stream_run *run, int64_t ms);

/* The source before `op` has fallen silent, or speaks again: of several inputs, a silent one does
 * not hold back the others. */
void stream_push_idle(struct stream_op *op, struct stream_run *run, bool is_idle);

/* Evaluates in the context of an operator: its row and watermark. False: the row failed and has
 * been counted and reported. */
bool stream_op_eval(const struct stream_op *op, struct stream_run *run,
                    const struct stream_node *node, const struct stream_value *row,
                    struct stream_value *out);

/* When a row happened: its event time, or the processing time where `time` is NULL. False: it has
 * none, and has been counted and reported. */
bool stream_row_time(const struct stream_op *op, struct stream_run *run,
                     const struct stream_node *time, const struct stream_value *row,
                     int64_t *out_ms);

/* A row (or a pair of row and window) that gives nothing: for the error output. */
void stream_reject(struct stream_run *run, const char *reason);

/* Counts memory taken (or given back); false: the rule's limit is reached, and the row that wanted
 * more has been rejected. */
bool stream_take(struct stream_run *run, size_t bytes);
void stream_give(struct stream_run *run, size_t bytes);
/* Counts memory that was taken without asking: an accumulator that grew. */
void stream_grew(struct stream_run *run, size_t bytes);

/* ---- the kinds of operators: each has a plan of its own ---- */

enum stream_metadata {
    METADATA_NONE,
    METADATA_TOPIC,
    METADATA_TIME,
    METADATA_QOS,
    METADATA_OFFSET,
};

struct stream_source_column {
    struct bytes name;
    bool is_physical;
    enum stream_metadata metadata;
    const struct stream_node *computed;
};

/* source.c: a table; rows come from stream_run_message(). */
struct stream_source_plan {
    struct stream_op_plan op;
    struct bytes table;
    const struct stream_source_column *columns; /* one a column of the schema */
    size_t event_column;                        /* SIZE_MAX: none */
    const struct stream_node *watermark;
    int64_t max_future_ms;                      /* 0: any */
    int64_t idle_ms;      /* 0: a silent source holds its windows open */
    bool is_idle_advance; /* then event time goes on by the clock; else only others go on */
    size_t index;                               /* of the source in the program */
};
extern const struct stream_op_class stream_source_class;
/* Counts the message as used, rejected or turned away; who does not use it has said why. */
void stream_source_message(struct stream_op *op, struct stream_run *run,
                           const struct stream_message *message);

/* select.c: WHERE or HAVING, then the items of SELECT. */
struct stream_select_plan {
    struct stream_op_plan op;
    const struct stream_node *where;        /* NULL: all */
    const struct stream_node *const *items; /* NULL: the row as it is */
};
extern const struct stream_op_class stream_select_class;

#endif
