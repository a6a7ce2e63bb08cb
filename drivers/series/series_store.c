/*
 * The writing half of a time series table: one SQLite file, one row a point.
 *
 *   <data_dir>/series.db                                            user_version 1
 *     point(time, series, kind, value, version)   PRIMARY KEY (time, series), WITHOUT ROWID
 *     series(id, measure, dims)                   dims: JSON object, names sorted
 *     dimension(position, name)                   columns of the table, in the order of first use
 *     measure(name, kinds)                        kinds: bit set of enum series_kind
 *     progress(stream, last, doubt range)         see progress.h
 *
 * Time comes first in the key: points that come in time's order touch only the right edge of the
 * tree, ranges of time lie together, and what is too old is cut off at the left edge. A batch is
 * one transaction and holds the progress of its streams, so that a batch that is sent twice is
 * applied once. Few and large transactions matter more than anything else on an SD card.
 *
 * Invariant: what the maps in memory say is in the file or in the open transaction; a rollback
 * therefore empties them.
 *
 * SQLite runs in WAL mode, so readers (series_reader.c) never wait for the writer.
 */
#include "series_store.h"

#include "series_index.h"
#include "drivers/sqlite.h"

#include "base/json.h"
#include "base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    FILE_VERSION = 1,
    MEASURES_MAX = 8192, /* Timestream's limit */
};

enum writer_statement {
    INSERT_POINT,
    SELECT_POINT,
    UPDATE_POINT,
    INSERT_SERIES,
    SELECT_SERIES,
    COUNT_SERIES,
    INSERT_DIMENSION,
    SAVE_MEASURE,
    SELECT_MEASURES,
    EXPIRE,
    STATEMENTS,
};

static const char *const statement_texts[STATEMENTS] = {
        [INSERT_POINT] = "INSERT INTO point (time, series, kind, value, version)"
                         " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
        [SELECT_POINT] = "SELECT kind, value, version FROM point WHERE time = ?1 AND series = ?2",
        [UPDATE_POINT] = "UPDATE point SET kind = ?3, value = ?4, version = ?5"
                         " WHERE time = ?1 AND series = ?2",
        [INSERT_SERIES] = "INSERT INTO series (measure, dims) VALUES (?1, ?2)",
        [SELECT_SERIES] = "SELECT id FROM series WHERE measure = ?1 AND dims = ?2",
        [COUNT_SERIES] = "SELECT count(*) FROM series",
        [INSERT_DIMENSION] = "INSERT INTO dimension (name) VALUES (?1) ON CONFLICT DO NOTHING",
        [SAVE_MEASURE] = "INSERT INTO measure (name, kinds) VALUES (?1, ?2)"
                         " ON CONFLICT (name) DO UPDATE SET kinds = excluded.kinds",
        [SELECT_MEASURES] = "SELECT name, kinds FROM measure",
        [EXPIRE] = "DELETE FROM point WHERE time < min(?1, coalesce("
                   "(SELECT time FROM point ORDER BY time LIMIT 1 OFFSET ?2), ?1))",
};

static const char schema_text[] =
        "CREATE TABLE point (time INTEGER NOT NULL, series INTEGER NOT NULL, kind INTEGER NOT NULL,"
        " value NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (time, series)) WITHOUT ROWID;"
        "CREATE TABLE series (id INTEGER PRIMARY KEY, measure TEXT NOT NULL, dims TEXT NOT NULL,"
        " UNIQUE (measure, dims));"
        "CREATE TABLE dimension (position INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
        "CREATE TABLE measure (name TEXT PRIMARY KEY, kinds INTEGER NOT NULL) WITHOUT ROWID;"
        PROGRESS_SCHEMA
        "PRAGMA user_version = 1;";

struct series_store {
    struct series_store_options options;
    struct sqlite_writer writer;
    sqlite3_stmt *statements[STATEMENTS];
    struct progress_table progress;
    int64_t series_count;
    struct series_index series;   /* series key -> id */
    struct series_index measures; /* name -> 1 + index into measure_kinds */
    unsigned *measure_kinds;      /* bit sets */
    size_t measure_count;
    size_t measure_capacity;
    struct buf key; /* scratch: dims text, '\n', measure */
};

/* ---- opening ---- */

/* Fills the maps that must be complete: measures and the number of series. */
static bool
load_maps(struct series_store *store, struct diag_list *diags)
{
    series_index_clear(&store->series);
    series_index_clear(&store->measures);
    store->measure_count = 0;
    sqlite3_stmt *select = store->statements[SELECT_MEASURES];
    int code = SQLITE_OK;
    while ((code = sqlite3_step(select)) == SQLITE_ROW && store->measure_count < MEASURES_MAX) {
        store->measure_kinds = mem_grow(store->measure_kinds, store->measure_count,
                                        &store->measure_capacity, sizeof *store->measure_kinds);
        store->measure_kinds[store->measure_count++] = (unsigned)sqlite3_column_int(select, 1);
        series_index_add(&store->measures, sqlite_column_text(select, 0),
                         (int64_t)store->measure_count);
    }
    sqlite3_reset(select);
    if (code != SQLITE_DONE && code != SQLITE_ROW) {
        return sqlite_error(store->writer.db, diags);
    }
    sqlite3_stmt *count = store->statements[COUNT_SERIES];
    code = sqlite3_step(count);
    store->series_count = sqlite3_column_int64(count, 0);
    sqlite3_reset(count);
    return code == SQLITE_ROW || sqlite_error(store->writer.db, diags);
}

static void
close_statements(struct series_store *store)
{
    progress_table_close(&store->progress);
    sqlite_finalize_all(store->statements, STATEMENTS);
}

static bool
prepare(void *context, sqlite3 *db, struct diag_list *diags)
{
    struct series_store *store = context;
    store->writer.db = db;
    bool prepared = progress_table_open(&store->progress, db, diags)
                    && sqlite_prepare_all(db, statement_texts, STATEMENTS, store->statements, diags)
                    && load_maps(store, diags);
    if (!prepared) {
        close_statements(store);
        store->writer.db = NULL;
    }
    return prepared;
}

static struct sqlite_file
file_of(const struct os *os, const char *dir)
{
    return (struct sqlite_file){
            .os = os,
            .dir = dir,
            .name = SERIES_FILE,
            .schema = schema_text,
            .version = FILE_VERSION,
    };
}

bool
series_store_move_aside(const struct os *os, const char *dir, struct diag_list *diags)
{
    struct sqlite_file file = file_of(os, dir);
    return sqlite_move_aside(&file, diags);
}

bool
series_store_open(struct series_store **out, const struct series_store_options *options,
                  struct diag_list *diags)
{
    struct series_store *store = mem_new(struct series_store);
    store->options = *options;
    struct sqlite_file file = file_of(options->os, options->dir);
    file.sync_each = options->sync_each;
    if (!sqlite_open(&store->writer.db, &file, prepare, store, diags)) {
        series_store_close(store);
        return false;
    }
    *out = store;
    return true;
}

void
series_store_close(struct series_store *store)
{
    if (store == NULL) {
        return;
    }
    sqlite_rollback(&store->writer);
    close_statements(store);
    check(sqlite3_close(store->writer.db) == SQLITE_OK);
    series_index_fini(&store->series);
    series_index_fini(&store->measures);
    free(store->measure_kinds);
    buf_fini(&store->key);
    free(store);
}

/* ---- transactions ---- */

bool
series_store_begin(struct series_store *store, struct diag_list *diags)
{
    return sqlite_begin(&store->writer, diags);
}

bool
series_store_commit(struct series_store *store, struct diag_list *diags)
{
    return sqlite_commit(&store->writer, diags);
}

void
series_store_rollback(struct series_store *store)
{
    struct diag_list ignored = {0};
    sqlite_rollback(&store->writer);
    if (!load_maps(store, &ignored)) {
        series_index_clear(&store->series); /* the file cannot be read: the next write says so */
    }
    diag_list_fini(&ignored);
}

static bool
finish(struct series_store *store, enum writer_statement which, struct diag_list *diags)
{
    return sqlite_finish(store->statements[which], diags);
}

/* ---- points ---- */

/* The dimensions as a JSON object with sorted names: what makes two sets equal. */
static void
write_dimensions(const struct series_row *row, struct arena *arena, struct buf *out)
{
    const struct series_dimension **sorted =
            arena_new_array(arena, const struct series_dimension *, row->dimension_count + 1);
    for (size_t i = 0; i < row->dimension_count; i++) {
        size_t at = i;
        while (at > 0 && bytes_compare(sorted[at - 1]->name, row->dimensions[i].name) > 0) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        sorted[at] = &row->dimensions[i];
    }
    buf_append_char(out, '{');
    for (size_t i = 0; i < row->dimension_count; i++) {
        if (i > 0) {
            buf_append_char(out, ',');
        }
        json_write_string(out, sorted[i]->name);
        buf_append_char(out, ':');
        json_write_string(out, sorted[i]->value);
    }
    buf_append_char(out, '}');
}

/* Adds a series to the file; its dimension names become columns of the table. */
static bool
add_series(struct series_store *store, const struct series_row *row, struct bytes measure,
           struct bytes dims, int64_t *out_id, struct diag_list *diags)
{
    for (size_t i = 0; i < row->dimension_count; i++) {
        sqlite_bind_text(store->statements[INSERT_DIMENSION], 1, row->dimensions[i].name);
        if (!finish(store, INSERT_DIMENSION, diags)) {
            return false;
        }
    }
    sqlite_bind_text(store->statements[INSERT_SERIES], 1, measure);
    sqlite_bind_text(store->statements[INSERT_SERIES], 2, dims);
    if (!finish(store, INSERT_SERIES, diags)) {
        return false;
    }
    *out_id = sqlite3_last_insert_rowid(store->writer.db);
    store->series_count++;
    return true;
}

/* The id of a series; 0 when the table may not hold another one. */
static bool
find_series(struct series_store *store, const struct series_row *row, struct bytes measure,
            size_t dims_size, int64_t *out_id, struct diag_list *diags)
{
    store->key.size = dims_size;
    buf_append_char(&store->key, '\n');
    buf_append(&store->key, measure);
    *out_id = series_index_find(&store->series, buf_bytes(&store->key));
    if (*out_id != 0) {
        return true;
    }
    struct bytes dims = bytes_of(store->key.data, dims_size);
    sqlite3_stmt *select = store->statements[SELECT_SERIES];
    sqlite_bind_text(select, 1, measure);
    sqlite_bind_text(select, 2, dims);
    int code = sqlite3_step(select);
    int64_t id = code == SQLITE_ROW ? sqlite3_column_int64(select, 0) : 0;
    sqlite3_reset(select);
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        return sqlite_error(store->writer.db, diags);
    }
    if (id == 0) {
        if (store->series_count >= store->options.series_max) {
            return true;
        }
        if (!add_series(store, row, measure, dims, &id, diags)) {
            return false;
        }
    }
    series_index_add(&store->series, buf_bytes(&store->key), id);
    *out_id = id;
    return true;
}

static bool
int64_is_exact_double(int64_t value)
{
    return value >= -(INT64_C(1) << 53) && value <= INT64_C(1) << 53;
}

/*
 * Notes that a measure holds values of this kind. A bigint for a measure with doubles becomes a
 * double: JSON does not tell 10 from 10.0, and a measure should not change its type by chance.
 */
static bool
settle_kind(struct series_store *store, struct bytes measure, struct series_value *value,
            bool *full, struct diag_list *diags)
{
    int64_t number = series_index_find(&store->measures, measure);
    unsigned kinds = number == 0 ? 0 : store->measure_kinds[number - 1];
    if (value->kind == SERIES_BIGINT && (kinds & 1U << SERIES_DOUBLE) != 0
        && int64_is_exact_double(value->integer)) {
        *value = (struct series_value){.kind = SERIES_DOUBLE, .real = (double)value->integer};
    }
    if ((kinds & 1U << value->kind) != 0) {
        return true;
    }
    kinds |= 1U << value->kind;
    if (number == 0) {
        if (store->measure_count >= MEASURES_MAX) {
            *full = true;
            return true;
        }
        store->measure_kinds = mem_grow(store->measure_kinds, store->measure_count,
                                        &store->measure_capacity, sizeof *store->measure_kinds);
        number = (int64_t)++store->measure_count;
        series_index_add(&store->measures, measure, number);
    }
    store->measure_kinds[number - 1] = kinds;
    sqlite_bind_text(store->statements[SAVE_MEASURE], 1, measure);
    sqlite3_bind_int(store->statements[SAVE_MEASURE], 2, (int)kinds);
    return finish(store, SAVE_MEASURE, diags);
}

static void
bind_point(sqlite3_stmt *statement, int64_t time_ns, int64_t series,
           const struct series_value *value, int64_t version)
{
    sqlite3_bind_int64(statement, 1, time_ns);
    sqlite3_bind_int64(statement, 2, series);
    sqlite3_bind_int(statement, 3, (int)value->kind);
    switch (value->kind) {
    case SERIES_DOUBLE:
        sqlite3_bind_double(statement, 4, value->real);
        break;
    case SERIES_BIGINT:
    case SERIES_BOOLEAN:
        sqlite3_bind_int64(statement, 4, value->integer);
        break;
    case SERIES_VARCHAR:
        sqlite_bind_text(statement, 4, value->text);
        break;
    case SERIES_KINDS:
        never("not a kind");
    }
    sqlite3_bind_int64(statement, 5, version);
}

/* The stored value as text for a message, and whether it equals the new one. */
static bool
stored_equals(sqlite3_stmt *select, const struct series_value *value)
{
    enum series_kind kind = (enum series_kind)sqlite3_column_int(select, 0);
    bool is_number = kind == SERIES_DOUBLE || kind == SERIES_BIGINT;
    if (is_number && (value->kind == SERIES_DOUBLE || value->kind == SERIES_BIGINT)
        && kind != value->kind) {
        int64_t integer = kind == SERIES_BIGINT ? sqlite3_column_int64(select, 1) : value->integer;
        double real = kind == SERIES_DOUBLE ? sqlite3_column_double(select, 1) : value->real;
        return int64_is_exact_double(integer) && (double)integer == real;
    }
    if (kind != value->kind) {
        return false;
    }
    switch (kind) {
    case SERIES_DOUBLE:
        return sqlite3_column_double(select, 1) == value->real;
    case SERIES_BIGINT:
    case SERIES_BOOLEAN:
        return sqlite3_column_int64(select, 1) == value->integer;
    default:
        return bytes_equal(sqlite_column_text(select, 1), value->text);
    }
}

static struct bytes
conflict_reason(sqlite3_stmt *select, struct bytes measure, struct arena *arena)
{
    struct bytes stored = sqlite_column_text(select, 1);
    return arena_printf(arena,
                        "measure '%.*s' already has the value %.*s at this time (version %" PRId64
                        "); a higher version or 'on_conflict' = 'replace' would change it",
                        BYTES_ARG(measure), BYTES_ARG(bytes_slice(stored, 0, 100)),
                        (int64_t)sqlite3_column_int64(select, 2));
}

/* A point of this time and series is there: equal, replaced, or refused. */
static bool
settle_conflict(struct series_store *store, int64_t time_ns, int64_t series,
                const struct series_measure *measure, const struct series_value *value,
                int64_t version, struct arena *arena, struct bytes *reason,
                struct diag_list *diags)
{
    sqlite3_stmt *select = store->statements[SELECT_POINT];
    sqlite3_bind_int64(select, 1, time_ns);
    sqlite3_bind_int64(select, 2, series);
    if (sqlite3_step(select) != SQLITE_ROW) {
        sqlite_error(store->writer.db, diags);
        sqlite3_reset(select);
        return false;
    }
    bool equal = stored_equals(select, value);
    int64_t stored_version = sqlite3_column_int64(select, 2);
    bool higher = version > stored_version;
    bool replace = higher || (!equal && store->options.on_conflict == SERIES_CONFLICT_REPLACE);
    if (!equal && !replace && reason->size == 0) {
        *reason = conflict_reason(select, measure->name, arena);
    }
    sqlite3_reset(select);
    if (!replace) {
        return true;
    }
    bind_point(store->statements[UPDATE_POINT], time_ns, series, value,
               higher ? version : stored_version);
    return finish(store, UPDATE_POINT, diags);
}

static bool
put_point(struct series_store *store, const struct series_row *row,
          const struct series_measure *measure, size_t dims_size, struct arena *arena,
          struct bytes *reason, struct diag_list *diags)
{
    int64_t series = 0;
    if (!find_series(store, row, measure->name, dims_size, &series, diags)) {
        return false;
    }
    if (series == 0) {
        *reason = arena_printf(arena,
                               "the table holds %" PRId64 " series, its 'series_max': does a "
                               "dimension change with every message?",
                               store->options.series_max);
        return true;
    }
    struct series_value value = measure->value;
    bool full = false;
    if (!settle_kind(store, measure->name, &value, &full, diags)) {
        return false;
    }
    if (full) {
        *reason = arena_printf(arena, "the table holds %d measure names, the most it can",
                               MEASURES_MAX);
        return true;
    }
    bind_point(store->statements[INSERT_POINT], row->time_ns, series, &value, row->version);
    if (!finish(store, INSERT_POINT, diags)) {
        return false;
    }
    if (sqlite3_changes(store->writer.db) > 0) {
        return true;
    }
    return settle_conflict(store, row->time_ns, series, measure, &value, row->version, arena,
                           reason, diags);
}

bool
series_store_put(struct series_store *store, const struct series_row *row, struct arena *arena,
                 struct bytes *reason, struct diag_list *diags)
{
    check(store->writer.in_transaction && row->version >= 1);
    *reason = (struct bytes){0};
    buf_clear(&store->key);
    write_dimensions(row, arena, &store->key);
    size_t dims_size = store->key.size;
    for (size_t i = 0; i < row->measure_count; i++) {
        if (!put_point(store, row, &row->measures[i], dims_size, arena, reason, diags)) {
            return false;
        }
    }
    return true;
}

/* ---- progress and retention ---- */

struct progress_table *
series_store_progress(struct series_store *store)
{
    return &store->progress;
}

bool
series_store_expire(struct series_store *store, int64_t time_ns, int64_t limit, bool *more,
                    struct diag_list *diags)
{
    check(store->writer.in_transaction);
    sqlite3_bind_int64(store->statements[EXPIRE], 1, time_ns);
    sqlite3_bind_int64(store->statements[EXPIRE], 2, limit);
    if (!finish(store, EXPIRE, diags)) {
        return false;
    }
    *more = sqlite3_changes64(store->writer.db) >= limit;
    return true;
}
