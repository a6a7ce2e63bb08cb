/*
 * The reading half of a table: what was committed, from any thread or process.
 *
 * Each question has a connection of its own out of a pool, with the statement of the point look-up
 * kept on it: rules ask for single items while they run, on a thread that must not wait.
 */
#include "table_store.h"

#include "table_file.h"

#include "base/mem.h"

#include <stdlib.h>

enum { GET_BUSY_MS = 2 };

struct table_reader {
    struct sqlite_pool *pool;
};

struct table_reader *
table_reader_new(const char *dir)
{
    struct table_reader *reader = mem_new(struct table_reader);
    reader->pool = sqlite_pool_new(dir, TABLE_FILE, TABLE_SELECT_ITEM);
    return reader;
}

void
table_reader_reset(struct table_reader *reader)
{
    sqlite_pool_reset(reader->pool);
}

void
table_reader_free(struct table_reader *reader)
{
    if (reader != NULL) {
        sqlite_pool_free(reader->pool);
        free(reader);
    }
}

/* ---- attributes ---- */

/* The type of column that shows values of all these kinds without loss. */
static enum column_type
type_of(unsigned kinds)
{
    unsigned integers = 1U << TABLE_KIND_INTEGER | 1U << TABLE_KIND_LONG_INTEGER;
    unsigned doubles = 1U << TABLE_KIND_INTEGER | 1U << TABLE_KIND_DOUBLE;
    if (kinds == 1U << TABLE_KIND_BOOLEAN) {
        return COLUMN_BOOLEAN;
    }
    if (kinds != 0 && (kinds & ~integers) == 0) {
        return COLUMN_BIGINT;
    }
    if (kinds != 0 && (kinds & ~doubles) == 0) {
        return COLUMN_DOUBLE;
    }
    return COLUMN_VARCHAR;
}

static bool
read_attributes(sqlite3 *db, struct arena *arena, struct table_attribute *attributes,
                size_t *count, struct diag_list *diags)
{
    sqlite3_stmt *select = NULL;
    if (!sqlite_prepare(db, "SELECT name, kinds FROM attribute ORDER BY position", &select,
                        diags)) {
        return false;
    }
    int code = SQLITE_OK;
    size_t read = 0;
    while ((code = sqlite3_step(select)) == SQLITE_ROW && read < TABLE_ATTRIBUTES_MAX) {
        unsigned kinds = (unsigned)sqlite3_column_int(select, 1);
        attributes[read++] = (struct table_attribute){
                .name = arena_copy(arena, sqlite_column_text(select, 0)),
                .typed = kinds != 0,
                .type = type_of(kinds),
        };
    }
    bool done = code == SQLITE_DONE || code == SQLITE_ROW || sqlite_error(db, diags);
    sqlite3_finalize(select);
    *count = read;
    return done;
}

bool
table_reader_attributes(struct table_reader *reader, struct arena *arena,
                        const struct table_attribute **out, size_t *count,
                        struct diag_list *diags)
{
    struct sqlite_lease lease;
    if (!sqlite_pool_take(reader->pool, &lease, diags)) {
        return false;
    }
    struct table_attribute *attributes =
            arena_new_array(arena, struct table_attribute, TABLE_ATTRIBUTES_MAX);
    size_t found = 0;
    bool read = lease.db == NULL || read_attributes(lease.db, arena, attributes, &found, diags);
    sqlite_pool_give(reader->pool, lease);
    if (read) {
        *out = attributes;
        *count = found;
    }
    return read;
}

/* ---- items ---- */

bool
table_file_get(sqlite3_stmt *select, struct bytes partition, struct bytes sort,
               struct arena *arena, struct bytes *item, struct diag_list *diags)
{
    sqlite_bind_blob(select, 1, partition);
    sqlite_bind_blob(select, 2, sort);
    int code = sqlite3_step(select);
    bool read = code == SQLITE_ROW || code == SQLITE_DONE
                || sqlite_error(sqlite3_db_handle(select), diags);
    if (read) {
        *item = code == SQLITE_ROW ? arena_copy(arena, sqlite_column_text(select, 0))
                                   : (struct bytes){0};
    }
    sqlite3_reset(select);
    return read;
}

bool
table_reader_get(struct table_reader *reader, struct bytes partition, struct bytes sort,
                 struct arena *arena, struct bytes *item, struct diag_list *diags)
{
    struct sqlite_lease lease;
    if (!sqlite_pool_take(reader->pool, &lease, diags)) {
        return false;
    }
    bool read = true;
    if (lease.db == NULL) {
        *item = (struct bytes){0};
    } else {
        sqlite3_busy_timeout(lease.db, GET_BUSY_MS);
        read = table_file_get(lease.kept, partition, sort, arena, item, diags);
    }
    sqlite_pool_give(reader->pool, lease);
    return read;
}

static bool
scan_with(sqlite3_stmt *select, bool (*item)(void *, struct bytes, struct diag_list *),
          void *context, struct diag_list *diags)
{
    int code = SQLITE_OK;
    size_t errors = diags->errors;
    while ((code = sqlite3_step(select)) == SQLITE_ROW) {
        if (!item(context, sqlite_column_text(select, 0), diags)) {
            return diags->errors == errors;
        }
    }
    return code == SQLITE_DONE || sqlite_error(sqlite3_db_handle(select), diags);
}

bool
table_reader_scan(struct table_reader *reader, const struct bytes *only,
                  bool (*item)(void *context, struct bytes text, struct diag_list *diags),
                  void *context, struct diag_list *diags)
{
    struct sqlite_lease lease;
    if (!sqlite_pool_take(reader->pool, &lease, diags)) {
        return false;
    }
    if (lease.db == NULL) {
        return true;
    }
    const char *sql = only == NULL ? "SELECT item FROM item ORDER BY pk, sk"
                                   : "SELECT item FROM item WHERE pk IN (?1, ?2) ORDER BY pk, sk";
    sqlite3_stmt *select = NULL;
    bool done = sqlite_prepare(lease.db, sql, &select, diags);
    if (done) {
        for (int i = 0; only != NULL && i < 2; i++) {
            sqlite_bind_blob(select, i + 1, only[i]);
        }
        done = scan_with(select, item, context, diags);
    }
    sqlite3_finalize(select);
    sqlite_pool_give(reader->pool, lease);
    return done;
}
