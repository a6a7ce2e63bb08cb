/*
 * Stage 2: what a text says, as a tree. One tree for all four dialects; which of its nodes a
 * dialect may use is decided by the parser, what they mean by each dialect's own compiler.
 *
 * Every node knows its span in the text. Nodes are read-only once parsed and live in the arena of
 * the parse. Names and literals are views into the text where that is possible.
 */
#ifndef HEADGATE_RULES_AST_H
#define HEADGATE_RULES_AST_H

#include "token.h"

enum dialect {
    DIALECT_TOPIC,    /* AWS IoT SQL 2016-03-23: "x" is a string, FROM 'filter' */
    DIALECT_STREAM,   /* Flink SQL */
    DIALECT_QUERY,    /* Timestream / Trino subset */
    DIALECT_PARTIQL,
};

enum expr_kind {
    EXPR_NULL,
    EXPR_TRUE,
    EXPR_FALSE,
    EXPR_NUMBER,       /* text: as written, without sign */
    EXPR_STRING,       /* text: the content */
    EXPR_INTERVAL,     /* 15m: text "15m"; INTERVAL '5' SECOND: text "5", type "SECOND"
                          (or "DAY TO SECOND"); OP_NEGATE for INTERVAL -'5' SECOND */
    EXPR_TYPED_STRING, /* TIMESTAMP '2020-01-01': type "TIMESTAMP", text the content */
    EXPR_NAME,         /* text: a column, attribute, alias or table */
    EXPR_VARIABLE,     /* text: without '@' */
    EXPR_STAR,         /* '*', or with one item 'item.*' */
    EXPR_MEMBER,       /* items[0] '.' text */
    EXPR_INDEX,        /* items[0] '[' items[1] ']' */
    EXPR_UNARY,        /* op, items[0] */
    EXPR_BINARY,       /* op, items[0], items[1] */
    EXPR_IN,           /* items[0] IN items[1]: an array, a list (as EXPR_ARRAY) or a subquery */
    EXPR_BETWEEN,      /* items[0] BETWEEN items[1] AND items[2] */
    EXPR_LIKE,         /* items[0] LIKE items[1] [ESCAPE items[2]] */
    EXPR_IS_NULL,      /* items[0] IS NULL */
    EXPR_CASE,         /* items[0] the subject or NULL, items[1] ELSE or NULL,
                          then pairs of WHEN and THEN */
    EXPR_CAST,         /* items[0], type; colons tells x::type from CAST(x AS type) */
    EXPR_CALL,         /* text: the function's name as written; items are the arguments */
    EXPR_ARRAY,        /* [items...] */
    EXPR_OBJECT,       /* items are pairs of key (EXPR_STRING) and value */
    EXPR_SELECT,       /* (SELECT ...) */
    EXPR_EXISTS,       /* EXISTS (SELECT ...) */
};

enum expr_op {
    OP_NONE,
    OP_OR,
    OP_AND,
    OP_NOT,
    OP_EQUAL,
    OP_NOT_EQUAL,
    OP_LESS,
    OP_LESS_EQUAL,
    OP_GREATER,
    OP_GREATER_EQUAL,
    OP_ADD,
    OP_SUBTRACT,
    OP_CONCAT, /* || */
    OP_MULTIPLY,
    OP_DIVIDE,
    OP_MODULO,
    OP_NEGATE,
};

struct expr {
    enum expr_kind kind;
    enum expr_op op;
    bool negated;  /* NOT IN, NOT BETWEEN, NOT LIKE, IS NOT NULL */
    bool quoted;   /* EXPR_NAME, EXPR_MEMBER: written in quotes: case matters, never a keyword */
    bool distinct; /* EXPR_CALL: count(DISTINCT x) */
    bool colons;   /* EXPR_CAST */
    uint16_t depth; /* of the tree below, at most EXPR_DEPTH_MAX */
    struct span span;
    struct span name_span; /* of a call's name, a member's name */
    struct bytes text;
    struct bytes type; /* upper case, without spaces: VARCHAR(6) */
    struct expr *const *items;
    size_t item_count;
    const struct select *select;
    const struct expr *filter; /* EXPR_CALL: FILTER (WHERE ...); stream SQL only, as is `over` */
    const struct over *over;   /* EXPR_CALL: OVER (...) */
};

/* Bounds what later stages recurse over. */
enum { EXPR_DEPTH_MAX = 1000, EXPR_NESTING_MAX = 200 };

struct name_path {
    const struct bytes *items; /* a.b.c */
    size_t count;
    struct span span;
};

struct select_item {
    struct span span;
    const struct expr *expr;
    struct name_path alias; /* count 0: none */
};

enum source_kind {
    SOURCE_TOPIC, /* FROM 'filter' */
    SOURCE_TABLE, /* FROM name, or database.table */
    SOURCE_EXPR,  /* nested SELECT of topic SQL: FROM path */
    SOURCE_QUERY, /* FROM (SELECT ...) */
    SOURCE_VALUES, /* FROM (VALUES ...): rows; query SQL only */
    SOURCE_WINDOW, /* FROM TABLE(TUMBLE(...)): stream SQL only */
};

enum join_kind { JOIN_CROSS, JOIN_INNER, JOIN_LEFT, JOIN_RIGHT, JOIN_FULL };

/* Query SQL: what stands behind the first source, in order. */
struct join {
    enum join_kind kind;
    struct span span;
    const struct source *right;
    const struct expr *on;     /* NULL: none */
    const struct bytes *using; /* USING (a, b) */
    size_t using_count;
};

struct source {
    enum source_kind kind;
    struct span span;
    struct bytes text;           /* SOURCE_TOPIC: the filter */
    struct name_path name;       /* SOURCE_TABLE */
    const struct expr *expr;     /* SOURCE_EXPR */
    const struct select *select; /* SOURCE_QUERY */
    struct bytes alias;          /* empty: none */
    const struct bytes *columns; /* AS alias (a, b); query SQL only, as are the members below */
    size_t column_count;
    struct expr *const *rows; /* SOURCE_VALUES: each an EXPR_ARRAY, or the one value of a row */
    size_t row_count;
    const struct join *joins;
    size_t join_count;
    const struct expr *system_time;   /* FOR SYSTEM_TIME AS OF; stream SQL only, as are these: */
    const struct window_call *window; /* SOURCE_WINDOW */
    const struct match *match;        /* MATCH_RECOGNIZE behind the source */
};

/* ---- what only stream SQL has (Flink SQL, Kinesis Analytics) ---- */

struct order_item;

/* OVER (PARTITION BY ... ORDER BY ... ROWS|RANGE BETWEEN ... PRECEDING AND CURRENT ROW), or the
 * name of one. */
struct over {
    struct span span;
    struct bytes name; /* OVER name; else empty */
    struct expr *const *partition_by;
    size_t partition_count;
    const struct order_item *order_by;
    size_t order_count;
    enum { FRAME_NONE, FRAME_ROWS, FRAME_RANGE } frame;
    const struct expr *preceding; /* NULL: UNBOUNDED */
};

struct named_over {
    struct bytes name;
    struct over over;
};

/* TUMBLE(TABLE t [PARTITION BY k], DESCRIPTOR(time), size, ...): arguments by position or name. */
struct window_call {
    struct bytes name; /* as written: TUMBLE, HOP, CUMULATE, SESSION */
    struct span span;
    const struct source *table;
    struct expr *const *partition_by;
    size_t partition_count;
    struct bytes column; /* of DESCRIPTOR */
    struct span column_span;
    struct expr *const *args; /* intervals, in the order of the function's own */
    const struct bytes *arg_names; /* size => ...; empty: by position */
    size_t arg_count;
};

struct pattern_item {
    struct bytes variable;
    struct span span;
    uint32_t least;
    uint32_t most; /* PATTERN_UNBOUNDED: no upper bound */
    bool reluctant;
};

enum { PATTERN_UNBOUNDED = INT32_MAX };

enum match_skip { SKIP_PAST_LAST_ROW, SKIP_TO_NEXT_ROW, SKIP_TO_FIRST, SKIP_TO_LAST };

struct match_item {
    struct bytes name; /* of the measure, or of the pattern variable that is defined */
    const struct expr *expr;
    struct span span;
};

struct match {
    struct span span;
    struct expr *const *partition_by;
    size_t partition_count;
    const struct order_item *order_by;
    size_t order_count;
    const struct match_item *measures;
    size_t measure_count;
    enum match_skip skip;
    struct bytes skip_variable; /* SKIP_TO_FIRST, SKIP_TO_LAST */
    const struct pattern_item *pattern;
    size_t pattern_count;
    struct span pattern_span;
    const struct expr *within; /* NULL: none */
    const struct match_item *defines;
    size_t define_count;
};

/* WINDOWED BY STAGGER (PARTITION BY ... RANGE INTERVAL ...) of Kinesis Analytics. */
struct stagger {
    struct span span;
    struct expr *const *partition_by;
    size_t partition_count;
    const struct expr *range;
};

/* WITH name [(columns)] AS (SELECT ...) */
struct common_table {
    struct bytes name;
    struct span name_span;
    const struct bytes *columns;
    size_t column_count;
    const struct select *select;
};

struct order_item {
    const struct expr *expr;
    bool descending;
    bool nulls_first; /* default: nulls last */
};

/* SET @name = expr, of topic SQL. */
struct assignment {
    struct span span;
    struct bytes name;
    const struct expr *expr;
};

struct select {
    struct span span;
    const struct assignment *assignments;
    size_t assignment_count;
    const struct common_table *with; /* query SQL */
    size_t with_count;
    bool distinct;
    bool value; /* SELECT VALUE expr */
    const struct select_item *items;
    size_t item_count;
    const struct source *from; /* NULL: none */
    const struct expr *where;  /* NULL: none */
    struct expr *const *group_by;
    size_t group_by_count;
    const struct expr *having;
    const struct order_item *order_by;
    size_t order_by_count;
    const struct expr *limit;
    const struct expr *offset;
    const struct stagger *stagger;       /* stream SQL */
    const struct named_over *named_overs; /* WINDOW name AS (...) */
    size_t named_over_count;
};

/* ---- statements of rule files ---- */

struct option_item {
    struct span span; /* of name and value */
    struct span name_span;
    struct span value_span;
    struct bytes name;
    struct bytes value;
};

struct option_items {
    const struct option_item *items;
    size_t count;
};

struct target {
    bool topic; /* quoted: a topic template; bare: a relation */
    struct bytes text;
    struct span span;
};

struct column {
    struct bytes name;
    struct bytes type;           /* empty for a computed column */
    const struct expr *computed; /* name AS expr */
    bool metadata;               /* name TYPE METADATA [FROM 'key'] */
    struct bytes metadata_key;   /* empty: the name */
    bool not_null;
    struct span span;
};

struct watermark {
    struct bytes column;
    const struct expr *expr;
    struct span span;
};

enum statement_kind {
    STATEMENT_INSERT, /* also inside CREATE RULE, then with a name */
    STATEMENT_CREATE_TABLE,
    STATEMENT_CREATE_FUNCTION,
    STATEMENT_CREATE_VIEW,   /* select */
    STATEMENT_CREATE_STREAM, /* in-application stream of Kinesis Analytics: columns */
    STATEMENT_SET,           /* SET 'name' = 'value': options */
    STATEMENT_SELECT,        /* alone: where the caller allows it */
};

struct statement {
    enum statement_kind kind;
    struct span span;
    struct bytes name; /* of rule, table or function; empty: none */
    struct span name_span;
    struct option_items options;
    const struct target *targets; /* STATEMENT_INSERT */
    size_t target_count;
    const struct select *select;
    const struct column *columns; /* STATEMENT_CREATE_TABLE */
    size_t column_count;
    const struct watermark *watermark; /* NULL: none */
    struct bytes source; /* STATEMENT_CREATE_FUNCTION: AS 'source' */
    bool or_replace;
    bool if_not_exists;
    const struct bytes *partition_by; /* PARTITIONED BY (...) of a table */
    size_t partition_count;
    const struct bytes *insert_columns; /* INSERT INTO t (a, b) */
    size_t insert_column_count;
    enum dialect dialect; /* of the query */
};

#endif
