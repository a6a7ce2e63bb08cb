/*
 * One SQLite file, one row an item.
 *
 *   <data_dir>/table.db                                             user_version 1
 *     item(pk, sk, item)               PRIMARY KEY (pk, sk), WITHOUT ROWID; keys: table_key.h
 *     attribute(position, name, kinds) columns, in the order of first use; kinds: bit set below
 *     setting(name, value)             "partition_key", "sort_key": what the keys are made of
 *     progress(stream, last, doubt)    see progress.h
 *
 * The keys order by bytes, so the items of a partition lie together in the order of their sort
 * keys. A batch is one transaction and holds the progress of its streams, so that a batch that is
 * sent twice is applied once.
 *
 * An attribute's kinds say which type of column can show all its values without loss. They only
 * grow: an item that is replaced or deleted takes none away.
 *
 * Invariant: what the map of attributes says is in the file or in the open transaction; a rollback
 * therefore loads it again. The reading half is in table_reader.c.
 */
#include "table_store.h"

#include "table_file.h"

#include "base/map.h"
#include "base/mem.h"
#include "table_key.h"

#include <stdlib.h>

enum { FILE_VERSION = 1 };

enum writer_statement { PUT_ITEM, DELETE_ITEM, SELECT_ITEM, SAVE_ATTRIBUTE, STATEMENTS };

static const char *const statement_texts[STATEMENTS] = {
        [PUT_ITEM] = "INSERT OR REPLACE INTO item (pk, sk, item) VALUES (?1, ?2, ?3)",
        [DELETE_ITEM] = "DELETE FROM item WHERE pk = ?1 AND sk = ?2",
        [SELECT_ITEM] = TABLE_SELECT_ITEM,
        [SAVE_ATTRIBUTE] = ("INSERT INTO attribute (name, kinds) VALUES (?1, ?2)"
                            " ON CONFLICT (name) DO UPDATE SET kinds = excluded.kinds"),
};

static const char schema_text[] =
        "CREATE TABLE item (pk BLOB NOT NULL, sk BLOB NOT NULL, item TEXT NOT NULL,"
        " PRIMARY KEY (pk, sk)) WITHOUT ROWID;"
        "CREATE TABLE attribute (position INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
        " kinds INTEGER NOT NULL);"
        "CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
        PROGRESS_SCHEMA
        "PRAGMA user_version = 1;";

struct attribute {
    unsigned kinds; /* bits of enum table_kind */
};

struct table_store {
    struct sqlite_writer writer;
    struct bytes partition;
    struct bytes sort;
    sqlite3_stmt *statements[STATEMENTS];
    struct progress_table progress;
    bool full;
    struct map attributes; /* name -> struct attribute */
    struct arena names;    /* owns both */
};

/* ---- opening ---- */

static void
add_attribute(struct table_store *store, struct bytes name, unsigned kinds)
{
    struct attribute *attribute = arena_new(&store->names, struct attribute);
    attribute->kinds = kinds;
    map_put(&store->attributes, arena_copy(&store->names, name), attribute);
}

static bool
load_attributes(struct table_store *store, sqlite3 *db, struct diag_list *diags)
{
    map_fini(&store->attributes);
    arena_reset(&store->names);
    sqlite3_stmt *select = NULL;
    if (!sqlite_prepare(db, "SELECT name, kinds FROM attribute", &select, diags)) {
        return false;
    }
    int code = SQLITE_OK;
    while ((code = sqlite3_step(select)) == SQLITE_ROW) {
        add_attribute(store, sqlite_column_text(select, 0),
                      (unsigned)sqlite3_column_int(select, 1));
    }
    bool loaded = code == SQLITE_DONE || sqlite_error(db, diags);
    sqlite3_finalize(select);
    return loaded;
}

/* Whether the file is keyed as wanted; a new file is told how. */
static bool
settle_key(sqlite3 *db, const char *name, struct bytes wanted, struct diag_list *diags)
{
    sqlite3_stmt *insert = NULL;
    sqlite3_stmt *select = NULL;
    bool settled = sqlite_prepare(db,
                                  "INSERT INTO setting (name, value) VALUES (?1, ?2)"
                                  " ON CONFLICT DO NOTHING",
                                  &insert, diags)
                   && sqlite_prepare(db, "SELECT value FROM setting WHERE name = ?1", &select,
                                     diags);
    if (settled) {
        sqlite_bind_text(insert, 1, bytes_of_string(name));
        sqlite_bind_text(insert, 2, wanted);
        sqlite_bind_text(select, 1, bytes_of_string(name));
        settled = sqlite_finish(insert, diags)
                  && (sqlite3_step(select) == SQLITE_ROW || sqlite_error(db, diags));
    }
    if (settled && !bytes_equal(sqlite_column_text(select, 0), wanted)) {
        diag_error(diags, DIAG_INVALID, "the stored items have the %s '%.*s', not '%.*s'", name,
                   BYTES_ARG(sqlite_column_text(select, 0)), BYTES_ARG(wanted));
        diag_hint(diags, "give the table another name, or remove '%s'",
                  sqlite3_db_filename(db, "main"));
        settled = false;
    }
    sqlite3_finalize(insert);
    sqlite3_finalize(select);
    return settled;
}

static void
close_statements(struct table_store *store)
{
    progress_table_close(&store->progress);
    sqlite_finalize_all(store->statements, STATEMENTS);
}

static bool
prepare(void *context, sqlite3 *db, struct diag_list *diags)
{
    struct table_store *store = context;
    bool prepared = settle_key(db, "partition_key", store->partition, diags)
                    && settle_key(db, "sort_key", store->sort, diags)
                    && load_attributes(store, db, diags)
                    && progress_table_open(&store->progress, db, diags)
                    && sqlite_prepare_all(db, statement_texts, STATEMENTS, store->statements,
                                          diags);
    if (!prepared) {
        close_statements(store);
    }
    return prepared;
}

static struct sqlite_file
file_of(const struct os *os, const char *dir)
{
    return (struct sqlite_file){
            .os = os,
            .dir = dir,
            .name = TABLE_FILE,
            .schema = schema_text,
            .version = FILE_VERSION,
            .sync_each = true,
    };
}

bool
table_store_move_aside(const struct os *os, const char *dir, struct diag_list *diags)
{
    struct sqlite_file file = file_of(os, dir);
    return sqlite_move_aside(&file, diags);
}

bool
table_store_open(struct table_store **out, const struct os *os, const char *dir,
                 struct bytes partition, struct bytes sort, struct diag_list *diags)
{
    struct table_store *store = mem_new(struct table_store);
    store->partition = partition;
    store->sort = sort;
    struct sqlite_file file = file_of(os, dir);
    if (!sqlite_open(&store->writer.db, &file, prepare, store, diags)) {
        table_store_close(store);
        return false;
    }
    *out = store;
    return true;
}

void
table_store_close(struct table_store *store)
{
    if (store == NULL) {
        return;
    }
    sqlite_rollback(&store->writer);
    close_statements(store);
    check(sqlite3_close(store->writer.db) == SQLITE_OK);
    map_fini(&store->attributes);
    arena_fini(&store->names);
    free(store);
}

/* ---- transactions ---- */

bool
table_store_begin(struct table_store *store, struct diag_list *diags)
{
    return sqlite_begin(&store->writer, diags);
}

bool
table_store_commit(struct table_store *store, struct diag_list *diags)
{
    return sqlite_commit(&store->writer, diags);
}

void
table_store_rollback(struct table_store *store)
{
    struct diag_list ignored = {0};
    sqlite_rollback(&store->writer);
    if (!load_attributes(store, store->writer.db, &ignored)) {
        map_fini(&store->attributes); /* the file cannot be read: the next write says so */
    }
    diag_list_fini(&ignored);
}

/* ---- items ---- */

/* Which types of column can hold a value. */
static unsigned
kinds_of(const struct json *item, uint32_t node)
{
    int64_t integer;
    struct table_number number;
    switch ((enum json_kind)item->nodes[node].kind) {
    case JSON_NULL:
        return 0;
    case JSON_FALSE:
    case JSON_TRUE:
        return 1U << TABLE_KIND_BOOLEAN;
    case JSON_STRING:
    case JSON_ARRAY:
    case JSON_OBJECT:
        return 1U << TABLE_KIND_TEXT;
    case JSON_NUMBER:
        break;
    }
    if (json_int64(item, node, &integer)) {
        bool exact = integer >= -(INT64_C(1) << 53) && integer <= INT64_C(1) << 53;
        return 1U << (exact ? TABLE_KIND_INTEGER : TABLE_KIND_LONG_INTEGER);
    }
    bool exact = table_number_read(&number, json_raw(item, node)) && number.count <= 15
                 && number.exponent > -300 && number.exponent < 300;
    return 1U << (exact ? TABLE_KIND_DOUBLE : TABLE_KIND_TEXT);
}

static bool
note_attribute(struct table_store *store, struct bytes name, unsigned kinds,
               struct diag_list *diags)
{
    struct attribute *attribute = map_find(&store->attributes, name);
    if (attribute != NULL && (attribute->kinds | kinds) == attribute->kinds) {
        return true;
    }
    if (attribute != NULL) {
        attribute->kinds |= kinds;
        kinds = attribute->kinds;
    } else if (store->attributes.count >= TABLE_ATTRIBUTES_MAX
               || name.size > TABLE_ATTRIBUTE_NAME_MAX) {
        store->full = true;
        return true;
    } else {
        add_attribute(store, name, kinds);
    }
    sqlite_bind_text(store->statements[SAVE_ATTRIBUTE], 1, name);
    sqlite3_bind_int(store->statements[SAVE_ATTRIBUTE], 2, (int)kinds);
    return sqlite_finish(store->statements[SAVE_ATTRIBUTE], diags);
}

static void
bind_key(sqlite3_stmt *statement, struct bytes partition, struct bytes sort)
{
    sqlite_bind_blob(statement, 1, partition);
    sqlite_bind_blob(statement, 2, sort);
}

bool
table_store_put(struct table_store *store, struct bytes partition, struct bytes sort,
                const struct json *item, struct arena *arena, struct diag_list *diags)
{
    check(store->writer.in_transaction);
    uint32_t end = item->nodes[0].next;
    for (uint32_t node = 1; node < end; node = item->nodes[node + 1].next) {
        if (!note_attribute(store, json_string(item, node, arena), kinds_of(item, node + 1),
                            diags)) {
            return false;
        }
    }
    bind_key(store->statements[PUT_ITEM], partition, sort);
    sqlite_bind_text(store->statements[PUT_ITEM], 3, json_raw(item, 0));
    return sqlite_finish(store->statements[PUT_ITEM], diags);
}

bool
table_store_delete(struct table_store *store, struct bytes partition, struct bytes sort,
                   struct diag_list *diags)
{
    check(store->writer.in_transaction);
    bind_key(store->statements[DELETE_ITEM], partition, sort);
    return sqlite_finish(store->statements[DELETE_ITEM], diags);
}

bool
table_store_get(struct table_store *store, struct bytes partition, struct bytes sort,
                struct arena *arena, struct bytes *item, struct diag_list *diags)
{
    check(store->writer.in_transaction);
    return table_file_get(store->statements[SELECT_ITEM], partition, sort, arena, item, diags);
}

bool
table_store_is_full(const struct table_store *store)
{
    return store->full;
}

struct progress_table *
table_store_progress(struct table_store *store)
{
    return &store->progress;
}
