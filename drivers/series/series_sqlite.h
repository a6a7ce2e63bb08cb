/*
 * What the writer and the readers share of SQLite: opening, statements, errors.
 */
#ifndef HEADGATE_DRIVERS_SERIES_SQLITE_H
#define HEADGATE_DRIVERS_SERIES_SQLITE_H

#include "driver.h"

#include <sqlite3.h>

#define SERIES_FILE "series.db"

/* "<dir>/series.db", to be freed with free(). */
char *series_file_path(const char *dir);

/* Adds "<what>: <SQLite's message>" in the class that fits the code. Returns false. */
bool series_sqlite_error(sqlite3 *db, const char *what, struct diag_list *diags);

/* Runs statements without parameters and rows. */
bool series_sqlite_run(sqlite3 *db, const char *sql, struct diag_list *diags) MUST_CHECK;

/* A statement to be kept. */
bool series_sqlite_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out,
                           struct diag_list *diags) MUST_CHECK;

static inline void
series_bind_text(sqlite3_stmt *statement, int index, struct bytes text)
{
    const char *data = text.data == NULL ? "" : text.data;
    check(sqlite3_bind_text64(statement, index, data, text.size, SQLITE_STATIC, SQLITE_UTF8)
          == SQLITE_OK);
}

static inline struct bytes
series_column_text(sqlite3_stmt *statement, int column)
{
    const void *data = sqlite3_column_text(statement, column);
    return bytes_of(data, (size_t)sqlite3_column_bytes(statement, column));
}

#endif
