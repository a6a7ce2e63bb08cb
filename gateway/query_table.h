/*
 * A driver's table as a virtual table of SQLite. Internal to gateway/query*.c.
 */
#ifndef HEADGATE_QUERY_TABLE_H
#define HEADGATE_QUERY_TABLE_H

#include "driver.h"
#include "rules/query.h"

#include <sqlite3.h>

/* What all parts of one run look at: whether it must stop, and why it failed. */
struct query_watch {
    const struct os *os;
    int64_t deadline_us; /* monotonic */
    struct diag_list *diags; /* a failed scan tells its reason here */
};

static inline bool
query_watch_expired(const struct query_watch *watch)
{
    return watch->os->mono_us(watch->os) >= watch->deadline_us;
}

/* One table of a run; lives as long as the connection. */
struct query_source_table {
    struct query_table table; /* what the planner sees */
    const struct driver *driver;
    void *instance;
    struct table_schema schema;
    struct query_watch *watch;
};

/* Makes the table known to the connection as `name`. */
bool query_table_register(sqlite3 *db, const char *name, struct query_source_table *table,
                          struct diag_list *diags) MUST_CHECK;

/* Registers the functions hg_... that plans call (query_function.c). */
bool query_function_register(sqlite3 *db, struct diag_list *diags) MUST_CHECK;
bool query_aggregate_register(sqlite3 *db, struct diag_list *diags) MUST_CHECK;

/* ---- query_pipe.c ---- */

/*
 * Rows of a driver's scan, one at a time. A scan pushes rows into a function, SQLite pulls them; a
 * thread runs the scan and hands over chunks of rows, two at most, so memory stays constant.
 */
struct query_pipe;

struct query_pipe *query_pipe_start(const struct query_source_table *table,
                                    const struct scan_request *request);

/* Stops the scan and frees all. */
void query_pipe_stop(struct query_pipe *pipe);

enum query_pipe_state { QUERY_PIPE_ROW, QUERY_PIPE_END, QUERY_PIPE_FAILED };

/* The next row's cells, valid until the next call. On FAILED the watch's diags say why. */
enum query_pipe_state query_pipe_next(struct query_pipe *pipe, const struct cell **cells);

#endif
