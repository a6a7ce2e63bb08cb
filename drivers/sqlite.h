/*
 * What the local stores share of SQLite: opening a durable file, moving a damaged one aside,
 * statements, errors, and a pool of connections for readers.
 *
 * Files are in WAL mode: readers have one consistent state for their whole length and never make
 * the writer wait, in this process or in another one. A writer's connection belongs to one thread;
 * a pool may be used by any threads at once.
 */
#ifndef HEADGATE_DRIVERS_SQLITE_H
#define HEADGATE_DRIVERS_SQLITE_H

#include "driver.h"

#include <sqlite3.h>

/* One store's file. Everything is borrowed. */
struct sqlite_file {
    const struct os *os;
    const char *dir;    /* made when missing */
    const char *name;   /* in `dir` */
    const char *schema; /* makes the tables of a new file and sets user_version to `version` */
    int version;        /* of the format; a file with a higher one is refused */
    bool sync_each;     /* each commit reaches the medium; else the next WAL checkpoint does */
};

/* "<dir>/<name>", to be freed with free(). */
char *sqlite_path(const char *dir, const char *name);

/*
 * Opens for writing, makes the tables, and calls `prepare(context, db, diags)`, which readies the
 * caller's statements and undoes what it did when it fails. A file that is no database, or a
 * damaged one, is moved aside, a new one begins, and a warning in `diags` says so. Files of up to
 * 16 MB are checked whole, larger ones as they are read.
 */
bool sqlite_open(sqlite3 **out, const struct sqlite_file *file,
                 bool (*prepare)(void *context, sqlite3 *db, struct diag_list *diags),
                 void *context, struct diag_list *diags) MUST_CHECK;

/*
 * For damage found later: renames the closed file and what belongs to it, ".damaged-<time>" behind
 * its name, with a warning in `diags`.
 */
bool sqlite_move_aside(const struct sqlite_file *file, struct diag_list *diags) MUST_CHECK;

/* Adds "'<path>': <SQLite's message>" in the class that fits the code. Returns false. */
bool sqlite_error(sqlite3 *db, struct diag_list *diags);

/* Runs statements without parameters and rows. */
bool sqlite_run(sqlite3 *db, const char *sql, struct diag_list *diags) MUST_CHECK;

/* A statement to be kept. */
bool sqlite_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out, struct diag_list *diags)
        MUST_CHECK;

/* Runs a kept statement that gives no row, and makes it ready for the next use. */
bool sqlite_finish(sqlite3_stmt *statement, struct diag_list *diags) MUST_CHECK;

/* `count` of them, a text each. On false none is left open; `out` holds NULLs before the call. */
bool sqlite_prepare_all(sqlite3 *db, const char *const *texts, size_t count, sqlite3_stmt **out,
                        struct diag_list *diags) MUST_CHECK;
void sqlite_finalize_all(sqlite3_stmt **statements, size_t count);

static inline void
sqlite_bind_text(sqlite3_stmt *statement, int index, struct bytes text)
{
    const char *data = text.data == NULL ? "" : text.data;
    check(sqlite3_bind_text64(statement, index, data, text.size, SQLITE_STATIC, SQLITE_UTF8)
          == SQLITE_OK);
}

static inline void
sqlite_bind_blob(sqlite3_stmt *statement, int index, struct bytes blob)
{
    const char *data = blob.data == NULL ? "" : blob.data;
    check(sqlite3_bind_blob64(statement, index, data, blob.size, SQLITE_STATIC) == SQLITE_OK);
}

/* Valid until the statement moves on. */
static inline struct bytes
sqlite_column_text(sqlite3_stmt *statement, int column)
{
    const void *data = sqlite3_column_text(statement, column);
    return bytes_of(data, (size_t)sqlite3_column_bytes(statement, column));
}

/* ---- transactions ---- */

/* A writer's connection. */
struct sqlite_writer {
    sqlite3 *db; /* NULL: not open */
    bool in_transaction;
};

bool sqlite_begin(struct sqlite_writer *writer, struct diag_list *diags) MUST_CHECK;

/* On false the transaction is still to be rolled back. */
bool sqlite_commit(struct sqlite_writer *writer, struct diag_list *diags) MUST_CHECK;

/* Nothing where there is no transaction. */
void sqlite_rollback(struct sqlite_writer *writer);

/* ---- readers ---- */

struct sqlite_pool;

/* A connection for the time of one question. */
struct sqlite_lease {
    sqlite3 *db;        /* read-only; NULL: there is no file yet */
    sqlite3_stmt *kept; /* the pool's statement on it, reset; NULL when the pool has none */
    unsigned generation;
};

/* Cheap: connections are made by the first use, when the file exists. `kept` may be NULL. */
struct sqlite_pool *sqlite_pool_new(const char *dir, const char *name, const char *kept);
void sqlite_pool_free(struct sqlite_pool *pool);

/* After the file has been moved aside: later leases are of the new one. */
void sqlite_pool_reset(struct sqlite_pool *pool);

bool sqlite_pool_take(struct sqlite_pool *pool, struct sqlite_lease *out, struct diag_list *diags)
        MUST_CHECK;
void sqlite_pool_give(struct sqlite_pool *pool, struct sqlite_lease lease);

#endif
