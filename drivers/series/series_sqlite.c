/* Small shared pieces around SQLite's API; the essay about the file is in series_store.c. */
#include "series_sqlite.h"

char *
series_file_path(const char *dir)
{
    struct buf path = {0};
    buf_printf(&path, "%s/%s", dir, SERIES_FILE);
    return buf_take_string(&path);
}

static enum diag_class
class_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return DIAG_CORRUPT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return DIAG_BUSY;
    case SQLITE_INTERRUPT:
        return DIAG_TIMEOUT;
    default:
        return DIAG_IO;
    }
}

bool
series_sqlite_error(sqlite3 *db, const char *what, struct diag_list *diags)
{
    int code = sqlite3_extended_errcode(db);
    diag_error(diags, class_of(code), "%s: %s", what, sqlite3_errmsg(db));
    return false;
}

bool
series_sqlite_run(sqlite3 *db, const char *sql, struct diag_list *diags)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        return series_sqlite_error(db, "time series file", diags);
    }
    return true;
}

bool
series_sqlite_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out, struct diag_list *diags)
{
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) != SQLITE_OK) {
        return series_sqlite_error(db, "time series file", diags);
    }
    return true;
}
