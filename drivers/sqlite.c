/*
 * The writer's half of what stores share of SQLite; the readers' pool is in sqlite_pool.c.
 *
 * Settings that every store has: WAL, no secure_delete (deleted bytes are not overwritten, which
 * would cost writes on an SD card), a log that is cut back to 4 MB.
 */
#include "drivers/sqlite.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    CHECK_WHOLE_BYTES = 16 << 20, /* a file up to this size is checked whole when opened */
    BUSY_TIMEOUT_MS = 2000,
};

char *
sqlite_path(const char *dir, const char *name)
{
    struct buf path = {0};
    buf_printf(&path, "%s/%s", dir, name);
    return buf_take_string(&path);
}

/* ---- statements and errors ---- */

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
sqlite_error(sqlite3 *db, struct diag_list *diags)
{
    int code = sqlite3_extended_errcode(db);
    const char *path = sqlite3_db_filename(db, "main");
    diag_error(diags, class_of(code), "'%s': %s", path == NULL ? "database" : path,
               sqlite3_errmsg(db));
    return false;
}

bool
sqlite_run(sqlite3 *db, const char *sql, struct diag_list *diags)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK || sqlite_error(db, diags);
}

bool
sqlite_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out, struct diag_list *diags)
{
    return sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) == SQLITE_OK
           || sqlite_error(db, diags);
}

bool
sqlite_finish(sqlite3_stmt *statement, struct diag_list *diags)
{
    bool done = sqlite3_step(statement) == SQLITE_DONE
                || sqlite_error(sqlite3_db_handle(statement), diags);
    sqlite3_reset(statement);
    return done;
}

bool
sqlite_prepare_all(sqlite3 *db, const char *const *texts, size_t count, sqlite3_stmt **out,
                   struct diag_list *diags)
{
    for (size_t i = 0; i < count; i++) {
        if (!sqlite_prepare(db, texts[i], &out[i], diags)) {
            sqlite_finalize_all(out, count);
            return false;
        }
    }
    return true;
}

void
sqlite_finalize_all(sqlite3_stmt **statements, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sqlite3_finalize(statements[i]);
        statements[i] = NULL;
    }
}

/* ---- transactions ---- */

bool
sqlite_begin(struct sqlite_writer *writer, struct diag_list *diags)
{
    check(!writer->in_transaction);
    writer->in_transaction = sqlite_run(writer->db, "BEGIN IMMEDIATE", diags);
    return writer->in_transaction;
}

bool
sqlite_commit(struct sqlite_writer *writer, struct diag_list *diags)
{
    check(writer->in_transaction);
    bool committed = sqlite_run(writer->db, "COMMIT", diags);
    writer->in_transaction = !committed;
    return committed;
}

void
sqlite_rollback(struct sqlite_writer *writer)
{
    if (writer->in_transaction) {
        sqlite3_exec(writer->db, "ROLLBACK", NULL, NULL, NULL);
        writer->in_transaction = false;
    }
}

/* ---- opening ---- */

/* The number that a one-row, one-column statement gives, or `otherwise`. */
static int64_t
pragma_number(sqlite3 *db, const char *sql, int64_t otherwise)
{
    sqlite3_stmt *statement = NULL;
    int64_t value = otherwise;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK
        && sqlite3_step(statement) == SQLITE_ROW) {
        value = sqlite3_column_int64(statement, 0);
    }
    sqlite3_finalize(statement);
    return value;
}

/* Whether the whole file is sound; only asked of small files, because it reads all of it. */
static bool
check_whole(sqlite3 *db, struct diag_list *diags)
{
    int64_t bytes = pragma_number(db, "PRAGMA page_count", 0)
                    * pragma_number(db, "PRAGMA page_size", 0);
    if (bytes > CHECK_WHOLE_BYTES) {
        return true;
    }
    sqlite3_stmt *statement = NULL;
    if (!sqlite_prepare(db, "PRAGMA quick_check(1)", &statement, diags)) {
        return false;
    }
    bool sound = sqlite3_step(statement) == SQLITE_ROW
                 && bytes_equal(sqlite_column_text(statement, 0), BYTES("ok"));
    if (!sound) {
        diag_error(diags, DIAG_CORRUPT, "'%s': %s", sqlite3_db_filename(db, "main"),
                   sqlite3_errmsg(db));
    }
    sqlite3_finalize(statement);
    return sound;
}

/* Another process may have been quicker: the version is asked again behind the lock. */
static bool
make_tables(sqlite3 *db, const char *schema, struct diag_list *diags)
{
    if (!sqlite_run(db, "BEGIN IMMEDIATE", diags)) {
        return false;
    }
    bool made = pragma_number(db, "PRAGMA user_version", 0) != 0 || sqlite_run(db, schema, diags);
    return made && sqlite_run(db, "COMMIT", diags);
}

static bool
ready_file(sqlite3 *db, const struct sqlite_file *file, struct diag_list *diags)
{
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
    if (!sqlite_run(db,
                    "PRAGMA journal_mode = WAL; PRAGMA secure_delete = OFF;"
                    "PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 4194304;",
                    diags)
        || !sqlite_run(db,
                       file->sync_each ? "PRAGMA synchronous = FULL"
                                       : "PRAGMA synchronous = NORMAL",
                       diags)) {
        return false;
    }
    int64_t version = pragma_number(db, "PRAGMA user_version", 0);
    if (version > file->version) {
        diag_error(diags, DIAG_INVALID,
                   "'%s' has format %" PRId64 ", this program knows up to %d",
                   sqlite3_db_filename(db, "main"), version, file->version);
        return false;
    }
    return version == 0 ? make_tables(db, file->schema, diags) : check_whole(db, diags);
}

/* One attempt; on false nothing is open. */
static bool
open_once(sqlite3 **out, const struct sqlite_file *file, const char *path,
          bool (*prepare)(void *context, sqlite3 *db, struct diag_list *diags), void *context,
          struct diag_list *diags)
{
    sqlite3 *db = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    bool opened = sqlite3_open_v2(path, &db, flags, NULL) == SQLITE_OK;
    if (!opened) {
        diag_error(diags, class_of(sqlite3_extended_errcode(db)), "'%s': %s", path,
                   sqlite3_errmsg(db));
    }
    if (opened && ready_file(db, file, diags) && prepare(context, db, diags)) {
        *out = db;
        return true;
    }
    check(sqlite3_close(db) == SQLITE_OK);
    return false;
}

bool
sqlite_open(sqlite3 **out, const struct sqlite_file *file,
            bool (*prepare)(void *context, sqlite3 *db, struct diag_list *diags), void *context,
            struct diag_list *diags)
{
    int error = os_make_dirs(file->os, file->dir, 0750);
    if (error != 0) {
        diag_io_error(diags, -error, "cannot make '%s'", file->dir);
        return false;
    }
    char *path = sqlite_path(file->dir, file->name);
    struct diag_list found = {0};
    bool opened = open_once(out, file, path, prepare, context, &found);
    if (!opened && found.items[found.count - 1].class == DIAG_CORRUPT) {
        diag_list_clear(&found);
        opened = sqlite_move_aside(file, &found)
                 && open_once(out, file, path, prepare, context, &found);
    }
    diag_list_append(diags, &found);
    diag_list_fini(&found);
    free(path);
    return opened;
}

bool
sqlite_move_aside(const struct sqlite_file *file, struct diag_list *diags)
{
    const struct os *os = file->os;
    char *path = sqlite_path(file->dir, file->name);
    bool moved = true;
    int64_t now_us = os->wall_us(os);
    static const char *const endings[] = {"-wal", "-shm", ""};
    for (size_t i = 0; i < sizeof endings / sizeof *endings && moved; i++) {
        struct buf from = {0};
        struct buf to = {0};
        buf_printf(&from, "%s%s", path, endings[i]);
        buf_printf(&to, "%s.damaged-%" PRId64 "%s", path, now_us, endings[i]);
        int error = os->rename(os, buf_string(&from), buf_string(&to));
        if (error != 0 && error != -ENOENT) {
            diag_io_error(diags, -error, "cannot move the damaged file '%s' aside",
                          buf_string(&from));
            moved = false;
        }
        buf_fini(&from);
        buf_fini(&to);
    }
    if (moved) {
        diag_at(diags, DIAG_WARNING, &(struct diag_place){0},
                "'%s' is damaged: moved aside to '%s.damaged-%" PRId64 "', a new one begins",
                path, path, now_us);
    }
    free(path);
    return moved;
}
