/*
 * Query SQL: the SELECT dialect of Amazon Timestream (a subset of Trino's) over tables that the
 * caller describes, planned into SQLite's SQL.
 *
 * Text in, plan out; pure. The plan is a statement for SQLite whose tables are t0, t1, ... (in the
 * order of `tables`), whose columns are c0, c1, ..., and whose every value is a parameter: no byte
 * of the user's text is in it. The caller binds the parameters, provides the tables and the
 * functions hg_... that the statement calls, and reads each result column as its type says.
 *
 *   type                    in SQLite           as text
 *   BOOLEAN                 0, 1                true
 *   BIGINT                  integer             7
 *   DOUBLE                  real                7.0
 *   VARCHAR                 text                as it is
 *   TIMESTAMP               ns since 1970       2022-06-17 10:15:20.000000000
 *   DATE                    days since 1970     2022-06-17
 *   INTERVAL_DAY_TO_SECOND  ns                  1 21:00:00.000000000
 *   INTERVAL_YEAR_TO_MONTH  months              2-7
 *   UNKNOWN                 only NULL
 */
#ifndef HEADGATE_RULES_QUERY_H
#define HEADGATE_RULES_QUERY_H

#include "base/arena.h"
#include "base/diag.h"

enum query_type {
    QUERY_UNKNOWN,
    QUERY_BOOLEAN,
    QUERY_BIGINT,
    QUERY_DOUBLE,
    QUERY_VARCHAR,
    QUERY_TIMESTAMP,
    QUERY_DATE,
    QUERY_INTERVAL,
    QUERY_INTERVAL_MONTHS,
    QUERY_TYPES,
};

/* "BIGINT", "INTERVAL_DAY_TO_SECOND" */
const char *query_type_name(enum query_type type);

struct query_value {
    enum query_type type;
    bool is_null;
    union {
        int64_t integer; /* all but DOUBLE and VARCHAR */
        double real;
        struct bytes text;
    };
};

/* The text of a value as in the table above; nothing for NULL. */
void query_value_print(const struct query_value *value, struct buf *out);

struct query_column {
    struct bytes name;
    enum query_type type;
    bool never_null; /* of a table's column: its order needs no word about NULLs */
};

struct query_table {
    const struct query_column *columns;
    size_t column_count;
    void *handle; /* the caller's */
};

/* The tables there are. */
struct query_catalogue {
    void *context;
    /*
     * The table of that name, NULL when there is none; on false an error has been added. `database`
     * is what stands before the dot, or empty. Asked once for each mention.
     */
    bool (*find)(void *context, struct bytes database, struct bytes name,
                 const struct query_table **out, struct diag_list *diags);
    /* All names, for "did you mean". */
    const void *name_context;
    size_t name_count;
    const char *(*name_at)(const void *name_context, size_t i);
    const char *whence; /* the hint when no name is near: where tables come from; or NULL */
};

struct query_source {
    struct bytes name; /* for messages: "query" */
    struct bytes text;
    int64_t now_ns; /* now() */
};

struct query_plan {
    const char *sql;
    const struct query_value *parameters; /* of ?1, ?2, ... ; the text may not use all of them */
    size_t parameter_count;
    const struct query_table *const *tables; /* t0, t1, ... */
    size_t table_count;
    const struct query_column *columns; /* of the result; unnamed ones are _col0, _col1, ... */
    size_t column_count;
};

enum { QUERY_TEXT_MAX_BYTES = 262144 };

/* Everything is in `arena`; the first error ends it, with place, caret and hint. */
bool query_plan(struct query_plan *out, const struct query_source *source,
                const struct query_catalogue *catalogue, struct arena *arena,
                struct diag_list *diags) MUST_CHECK;

/* "15m", "1d" with a day-to-second unit, in nanoseconds; "2year", "12month" in months. */
bool query_parse_interval(struct bytes text, enum query_type *type, int64_t *out);

#endif
