/*
 * Where the points of one table lie. The driver above knows rows, payloads and verdicts; this
 * module knows how points are kept. Today one SQLite row a point; compressed column blocks take
 * its place behind the same calls.
 *
 * Identity of a point: (dimensions, measure, time). A point holds one value of one kind; a measure
 * may hold points of several kinds. Numbers are compared by value, so 72 and 72.0 are the same.
 *
 * A writer belongs to one thread. A reader (series_reader) may be used by any threads at once, in
 * the writer's process or in another one, and sees what was committed.
 */
#ifndef HEADGATE_DRIVERS_SERIES_STORE_H
#define HEADGATE_DRIVERS_SERIES_STORE_H

#include "drivers/progress.h"

#define SERIES_FILE "series.db"

enum series_kind { SERIES_DOUBLE, SERIES_BIGINT, SERIES_VARCHAR, SERIES_BOOLEAN, SERIES_KINDS };

struct series_value {
    enum series_kind kind;
    union {
        double real;
        int64_t integer; /* BIGINT; BOOLEAN as 0 or 1 */
        struct bytes text;
    };
};

struct series_dimension {
    struct bytes name;
    struct bytes value;
};

struct series_measure {
    struct bytes name;
    struct series_value value;
};

/* The points of one moment: one a measure. */
struct series_row {
    const struct series_dimension *dimensions; /* names distinct, in the order of the payload */
    size_t dimension_count;
    int64_t time_ns;
    int64_t version; /* at least 1 */
    const struct series_measure *measures; /* names distinct */
    size_t measure_count;
};

/* ---- writing ---- */

enum series_conflict { SERIES_CONFLICT_REJECT, SERIES_CONFLICT_REPLACE };

struct series_store_options {
    const struct os *os;
    const char *dir; /* made when missing */
    enum series_conflict on_conflict;
    int64_t series_max;
    bool sync_each; /* each commit reaches the medium; else the next WAL checkpoint does */
};

struct series_store;

/*
 * Opens for writing. A file that is no database, or a damaged one, is moved aside (its name with
 * ".damaged-<time>" behind), a new one begins, and a warning in `diags` says so.
 */
bool series_store_open(struct series_store **out, const struct series_store_options *options,
                       struct diag_list *diags) MUST_CHECK;

/* Accepts NULL. An open transaction is rolled back. */
void series_store_close(struct series_store *store);

/* Renames the closed file of `dir` as series_store_open() does, for damage found later. */
bool series_store_move_aside(const struct os *os, const char *dir, struct diag_list *diags)
        MUST_CHECK;

/* All calls below are within one transaction. After a false, roll back. */
bool series_store_begin(struct series_store *store, struct diag_list *diags) MUST_CHECK;
bool series_store_commit(struct series_store *store, struct diag_list *diags) MUST_CHECK;
void series_store_rollback(struct series_store *store);

/*
 * Stores a row's points. A point that is there with the same value stays as it is. One that is
 * there with another value is replaced by a higher version or with SERIES_CONFLICT_REPLACE; else
 * the row's other points are stored and `*reason` (in `arena`) names the first that was refused.
 * A bigint for a measure that also holds doubles becomes a double when that is exact.
 */
bool series_store_put(struct series_store *store, const struct series_row *row,
                      struct arena *arena, struct bytes *reason, struct diag_list *diags)
        MUST_CHECK;

/* How far the streams are applied; to be saved in each transaction (progress.h). */
struct progress_table *series_store_progress(struct series_store *store);

/* Deletes points before `time_ns`, at most about `limit`; tells whether there may be more. */
bool series_store_expire(struct series_store *store, int64_t time_ns, int64_t limit, bool *more,
                         struct diag_list *diags) MUST_CHECK;

/* ---- reading ---- */

struct series_reader;

/* Cheap: connections are made by the first use, when the file exists. */
struct series_reader *series_reader_new(const char *dir);
void series_reader_free(struct series_reader *reader);

/* After the file has been moved aside: later calls open the new one. */
void series_reader_reset(struct series_reader *reader);

/* What the table holds: dimension names in the order of their first use, kinds of its values. */
struct series_shape {
    const struct bytes *dimensions;
    size_t dimension_count;
    bool has_kind[SERIES_KINDS];
};

/* In `arena`. A table without a file is empty. */
bool series_reader_shape(struct series_reader *reader, struct arena *arena,
                         struct series_shape *out, struct diag_list *diags) MUST_CHECK;

/*
 * The points of a time range in rising or falling time, `schema` being what the driver's describe
 * gave: DIMENSION, MEASURE_NAME, TIMESTAMP and MEASURE_VALUE columns. A bigint of a measure that
 * also holds doubles shows in both value columns.
 */
bool series_reader_scan(struct series_reader *reader, const struct table_schema *schema,
                        const struct scan_request *request, scan_row_fn row, void *context,
                        struct diag_list *diags) MUST_CHECK;

#endif
