/*
 * Runs a query (rules/query.h has the language) over the tables of drivers, and prints the result.
 *
 * Works over instances of the running gateway and over instances that were opened with
 * env.read_only beside it. Any thread; a run shares nothing with another run but the tables.
 */
#ifndef HEADGATE_QUERY_H
#define HEADGATE_QUERY_H

#include "driver.h"
#include "rules/query.h"

/* A table to read from; must stay open while the query runs. */
struct query_table_ref {
    const struct driver *driver; /* NULL: there is no such table */
    void *instance;
};

struct query_limits {
    size_t rows_max;   /* of the result */
    size_t bytes_max;  /* of the result */
    int64_t time_ms;   /* of the whole run */
    size_t memory_max; /* of sorting and grouping; what is more goes to temporary files */
};

/* 100,000 rows, 64 MB, 60 s, 32 MB. */
extern const struct query_limits query_limits_default;

struct query_request {
    struct bytes name; /* for messages: "query", or a file's name */
    struct bytes sql;
    int64_t now_ns; /* now() */
    const struct os *os;
    struct query_limits limits;
    void *context; /* of the two functions below */
    /* The table that `database`.`name` means; `database` may be empty. False after an error. */
    bool (*find_table)(void *context, struct bytes database, struct bytes name,
                       struct query_table_ref *out, struct diag_list *diags);
    /* The names of all tables, for "did you mean". */
    size_t table_count;
    const char *(*table_name_at)(const void *context, size_t i);
    const char *whence; /* the hint when no name is near: where tables come from; or NULL */
};

struct query_result {
    struct arena arena; /* owns all below */
    const struct query_column *columns;
    size_t column_count;
    struct query_value **rows; /* rows[i][column] */
    size_t row_count;
};

/* Fails with a place in the text, DIAG_TIMEOUT, or what the table said; then there is no result. */
bool query_execute(const struct query_request *request, struct query_result *out,
               struct diag_list *diags) MUST_CHECK;
void query_result_fini(struct query_result *result);

/* Columns under their names, numbers to the right, control characters as \x1b. */
void query_print_text(const struct query_result *result, struct buf *out);

/* An array of objects, a line each: numbers and booleans as such, all else as text. */
void query_print_json(const struct query_result *result, struct buf *out);

#endif
