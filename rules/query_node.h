/*
 * What planning makes of a query: typed nodes and relations, between the tree (ast.h) and the
 * statement's text. Internal to rules/query*.c.
 */
#ifndef HEADGATE_RULES_QUERY_NODE_H
#define HEADGATE_RULES_QUERY_NODE_H

#include "parse.h"
#include "query.h"

struct relation;
struct planned;

enum node_kind {
    NODE_LITERAL, /* ?parameter */
    NODE_COLUMN,  /* relation's column */
    NODE_PATTERN, /* `pattern` with the arguments filled in; see query_emit.c */
    NODE_OUTPUT,  /* the select item of that number, in ORDER BY */
};

struct node {
    enum node_kind kind;
    enum query_type type;
    struct span span;
    bool aggregate;     /* it is an aggregate's call */
    bool has_aggregate; /* it or a node below is */
    bool from_string;   /* a literal written as a string: may become a time */
    size_t parameter;   /* NODE_LITERAL: counts from 1 */
    const struct query_value *value;
    const struct relation *relation; /* NODE_COLUMN */
    size_t column;                   /* NODE_COLUMN; NODE_OUTPUT: counts from 1 */
    const char *pattern;             /* NODE_PATTERN */
    const struct node *const *args;
    size_t arg_count;
    bool distinct;               /* NODE_PATTERN: DISTINCT goes where the pattern has '~' */
    const struct planned *query; /* NODE_PATTERN: the subquery for '@' */
};

enum relation_kind { RELATION_TABLE, RELATION_COMMON, RELATION_QUERY, RELATION_VALUES };

struct relation {
    enum relation_kind kind;
    size_t number; /* a0, a1, ... : unique in the statement */
    struct bytes database;
    struct bytes name; /* how the query calls it; empty: it has no name */
    const struct query_column *columns;
    size_t column_count;
    size_t index;                /* of the table or common table */
    const struct planned *query; /* RELATION_QUERY */
    const struct node *const *cells; /* RELATION_VALUES: row by row */
    size_t row_count;
    bool series; /* a time series table: measure_value::x is known before it was ever written */

    enum join_kind join; /* with what stands before it */
    const struct node *on;
    const struct bytes *using; /* not ambiguous: the left one is meant */
    size_t using_count;
};

/* The relations that names may mean; the queries around see to `outer`. */
struct scope {
    const struct scope *outer;
    struct relation **relations;
    size_t count;
    const struct common *commons; /* visible here, newest first */
};

struct common {
    const struct common *next;
    struct bytes name;
    size_t number; /* w0, w1, ... */
    const struct query_column *columns;
    size_t column_count;
    const struct planned *query;
};

struct planned_order {
    const struct node *node;
    bool descending;
    bool nulls_first;
};

/* A planned SELECT. */
struct planned {
    const struct common **with; /* in order */
    size_t with_count;
    bool distinct;
    const struct node **items;
    const struct query_column *columns; /* of the items */
    size_t item_count;
    struct relation **relations;
    size_t relation_count;
    const struct node *where;
    const struct node **group_by;
    size_t group_by_count;
    const struct node *having;
    const struct planned_order *order_by;
    size_t order_by_count;
    const struct node *limit;
    const struct node *offset;
};

struct planner {
    const struct query_source *source;
    const struct query_catalogue *catalogue;
    struct arena *arena;
    struct diag_list *diags;
    struct query_value *parameters;
    size_t parameter_count;
    const struct query_table **tables;
    size_t table_count;
    size_t relation_count;
    size_t common_count;
};

/* ---- query_expr.c ---- */

/* Adds an error at a span of the query's text; returns NULL for `return planner_fail(...)`. */
struct node *planner_fail(struct planner *planner, struct span span, const char *format, ...)
        PRINTF_LIKE(3, 4);

/* A typed node for an expression; NULL after an error. */
struct node *plan_expr(struct planner *planner, const struct scope *scope,
                       const struct expr *expr);

/* The same, and it must be a condition. `clause` is for the message: "WHERE". */
struct node *plan_condition(struct planner *planner, const struct scope *scope,
                            const struct expr *expr, const char *clause);

/* Whether a value is of a type, or becomes it without a CAST: bigint to double, date to timestamp,
   NULL to anything, a literal in quotes to a time. */
bool can_coerce(const struct node *node, enum query_type type);

/* What can_coerce() says, done. NULL after an error: the text in the quotes is no time. */
struct node *coerce(struct planner *planner, struct node *node, enum query_type type);

/* The type that all of them can be coerced to; QUERY_TYPES when there is none. */
enum query_type common_type(struct node *const *nodes, size_t count);

/* Coerces all to a type, in place; false after an error. */
bool coerce_all(struct planner *planner, struct node **nodes, size_t count,
                enum query_type type) MUST_CHECK;

/* Plans a list; NULL after an error. */
struct node **plan_list(struct planner *planner, const struct scope *scope,
                        struct expr *const *items, size_t count);

struct node *new_literal(struct planner *planner, const struct query_value *value,
                         struct span span);
struct node *new_pattern(struct planner *planner, enum query_type type, struct span span,
                         const char *pattern, struct node *const *args, size_t arg_count);
struct node *new_column(struct planner *planner, const struct relation *relation, size_t column,
                        struct span span);

/* ---- query_name.c ---- */

/* The column that a name, a path or measure_value::type means; NULL after an error. */
struct node *plan_name(struct planner *planner, const struct scope *scope,
                       const struct expr *expr);

/* Whether `x::type` is a column's name rather than a cast. */
bool is_value_column(const struct expr *expr);

/* Names are equal: exactly, or without case when `loose`. */
bool name_matches(struct bytes name, struct bytes wanted, bool loose);

/* ---- query_call.c ---- */

struct node *plan_call(struct planner *planner, const struct scope *scope,
                       const struct expr *expr);

/* now(), current_timestamp and current_date stand without parentheses too; NULL: not one. */
struct node *plan_bare_call(struct planner *planner, const struct expr *expr);

/* ---- query.c ---- */

/* Plans a subquery. */
const struct planned *plan_select(struct planner *planner, const struct scope *outer,
                                  const struct select *select);

/* ---- query_emit.c ---- */

void emit_node(const struct node *node, struct buf *out);
void emit_planned(const struct planned *planned, struct buf *out);

#endif
