/*
 * Typed expressions of stream SQL: from the tree (ast.h) to a read-only program over rows.
 *
 * A node knows its type and the function that evaluates it. NULL follows SQL: an operator or
 * function with a NULL argument gives NULL unless it says otherwise, conditions are three-valued.
 * What has no value (a division of integers by zero, an overflow, text that is no number) fails
 * the row: `failure` says why, and the row goes to the rule's error output.
 */
#ifndef HEADGATE_RULES_STREAM_EXPR_H
#define HEADGATE_RULES_STREAM_EXPR_H

#include "rules/ast.h"
#include "rules/parse.h"
#include "type.h"

/* Which time a column carries through a query, if any (Flink: "time attributes"). */
enum stream_attribute { ATTRIBUTE_NONE, ATTRIBUTE_EVENT, ATTRIBUTE_PROCESSING };

/* What a column says of the window that its row belongs to. */
enum stream_bound { BOUND_NONE, BOUND_START, BOUND_END, BOUND_TIME };

struct stream_column {
    struct bytes name;
    struct bytes relation; /* the alias that may stand before it; empty: none */
    struct stream_type type;
    struct bytes nested; /* STREAM_JSON: the type as declared, ROW<x INT>; empty: not known */
    enum stream_attribute attribute;
    enum stream_bound bound;
    enum stream_attribute window_time; /* of a bound: what ends its window */
    bool is_window_local;              /* and whether its grid is local time */
    bool is_hidden; /* not part of '*': ROWTIME of Kinesis Analytics */
};

struct stream_schema {
    const struct stream_column *columns;
    size_t count;
};

/* What an evaluation sees. One for each row. */
struct stream_context {
    const struct stream_value *row;
    struct arena *arena;
    const struct zone *zone; /* table.local-time-zone; NULL: UTC */
    int64_t now_ms;          /* processing time */
    int64_t watermark_ms;    /* INT64_MIN: none yet */
    const void *match;       /* of MATCH_RECOGNIZE: see match.c */
    const char *failure;     /* static text; NULL: fine */
};

struct stream_node;
typedef void stream_eval_fn(const struct stream_node *node, struct stream_context *context,
                            struct stream_value *out);

struct stream_node {
    stream_eval_fn *eval;
    struct stream_type type;
    enum stream_attribute attribute; /* a bare column that still is one */
    enum stream_bound bound;         /* the same */
    enum stream_attribute window_time; /* the same */
    bool is_window_local;            /* the same */
    struct bytes nested;             /* the same */
    bool is_constant;
    uint8_t op;                      /* enum expr_op, or the function's own */
    uint32_t column;
    const struct stream_node *const *args;
    uint32_t arg_count;
    struct stream_value constant;
    const void *extra;
};

static inline void
stream_eval(const struct stream_node *node, struct stream_context *context,
            struct stream_value *out)
{
    node->eval(node, context, out);
}

/* What is at hand while a query is compiled. Everything lives in `arena`. */
struct stream_compiler {
    struct arena *arena;
    struct line_index lines;
    struct diag_list *diags;
    const struct zone *zone;
};

/*
 * Where names are looked up. `special` may take an expression away from the ordinary meaning
 * (group keys, aggregates, pattern variables): it returns true when it did, with the node in
 * `*out`, NULL after an error.
 */
struct stream_scope {
    const struct stream_schema *schema;
    bool (*special)(void *context, struct stream_compiler *compiler, const struct expr *expr,
                    const struct stream_node **out);
    void *context;
};

/* NULL after an error, which has been added. */
const struct stream_node *stream_compile(struct stream_compiler *compiler,
                                         const struct stream_scope *scope,
                                         const struct expr *expr);

/* The same, and it must be a condition; `clause` is for the message: "WHERE". */
const struct stream_node *stream_compile_condition(struct stream_compiler *compiler,
                                                   const struct stream_scope *scope,
                                                   const struct expr *expr, const char *clause);

/* Only TRUE passes. */
bool stream_passes(const struct stream_node *condition, struct stream_context *context);

/* The column that a name or path means: its index; SIZE_MAX without one, `*error` when the name is
 * ambiguous. No error is added. */
size_t stream_find_column(const struct stream_schema *schema, const struct expr *expr,
                          bool *is_ambiguous);

/* A node for a column, and one for a constant. */
const struct stream_node *stream_column_node(struct stream_compiler *compiler,
                                             const struct stream_schema *schema, size_t column);
const struct stream_node *stream_constant_node(struct stream_compiler *compiler,
                                               struct stream_type type,
                                               struct stream_value value);

/* `node` cast to a type; itself when it has it already. NULL when there is no such cast. */
const struct stream_node *stream_cast_node(struct stream_compiler *compiler,
                                           const struct stream_node *node, struct stream_type to);

/* The type that both become without a loss: INT and BIGINT give BIGINT. False: none. */
bool stream_common_type(struct stream_type a, struct stream_type b, struct stream_type *out);

/* Two expressions say the same: names by the column they mean, all else by its text. */
bool stream_same(const struct stream_schema *schema, const struct expr *a, const struct expr *b);

/*
 * A constant day-to-second interval in ms. False (an error is added) for anything else; `what` is
 * for the message: "the size of a window".
 */
bool stream_interval(struct stream_compiler *compiler, const struct expr *expr, const char *what,
                     int64_t *out_ms);

/* Adds an error; returns NULL for `return stream_fail(...)`. */
const void *stream_fail(struct stream_compiler *compiler, struct span span, const char *format,
                        ...) PRINTF_LIKE(3, 4);
void stream_hint(struct stream_compiler *compiler, const char *format, ...) PRINTF_LIKE(2, 3);

/* ---- function.c ---- */

/* A call of a scalar function; NULL after an error. */
const struct stream_node *stream_compile_call(struct stream_compiler *compiler,
                                              const struct stream_scope *scope,
                                              const struct expr *expr);

/* Whether a name is an aggregate's (aggregate.h): told apart from misspelt functions. */
bool stream_is_aggregate(struct bytes name);

/* Units of time: "MINUTE", "minutes". False: none. */
enum stream_unit {
    UNIT_MILLISECOND,
    UNIT_SECOND,
    UNIT_MINUTE,
    UNIT_HOUR,
    UNIT_DAY,
    UNIT_WEEK,
    UNIT_MONTH,
    UNIT_QUARTER,
    UNIT_YEAR,
};
bool stream_unit_parse(struct bytes text, enum stream_unit *out);

/* Rounded down to the unit on the clock that `ms` counts; weeks begin on Sunday, as in Flink. */
int64_t stream_floor_to(int64_t ms, enum stream_unit unit);

#endif
