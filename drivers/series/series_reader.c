/*
 * The reading half of a time series table: what has been committed, from any thread or process.
 *
 * Each scan has a connection of its own, out of a small pool; SQLite's WAL gives it one consistent
 * state for its whole length and never makes the writer wait. Points come straight off the
 * primary key (time, series), so a time range and its order cost nothing. What a series number
 * means is looked up once and kept in a direct-mapped cache: memory does not grow with the table.
 *
 * An equality hint on a dimension or on measure_name is decided once a series, not once a row.
 */
#include "series_store.h"

#include "drivers/sqlite.h"

#include "base/json.h"
#include "base/mem.h"

#include <stdlib.h>

enum { CACHE_SLOTS = 4096 };

struct series_reader {
    struct sqlite_pool *pool;
};

struct series_reader *
series_reader_new(const char *dir)
{
    struct series_reader *reader = mem_new(struct series_reader);
    reader->pool = sqlite_pool_new(dir, SERIES_FILE, NULL);
    return reader;
}

void
series_reader_reset(struct series_reader *reader)
{
    sqlite_pool_reset(reader->pool);
}

void
series_reader_free(struct series_reader *reader)
{
    if (reader != NULL) {
        sqlite_pool_free(reader->pool);
        free(reader);
    }
}

/* ---- shape ---- */

static bool
read_dimensions(sqlite3 *db, struct arena *arena, struct series_shape *out,
                struct diag_list *diags)
{
    sqlite3_stmt *select = NULL;
    if (!sqlite_prepare(db, "SELECT name, count(*) OVER () FROM dimension ORDER BY position",
                               &select, diags)) {
        return false;
    }
    struct bytes *names = NULL;
    size_t count = 0;
    int code = SQLITE_OK;
    while ((code = sqlite3_step(select)) == SQLITE_ROW) {
        size_t total = (size_t)sqlite3_column_int64(select, 1);
        if (names == NULL) {
            names = arena_new_array(arena, struct bytes, total);
        }
        if (count < total) {
            names[count++] = arena_copy(arena, sqlite_column_text(select, 0));
        }
    }
    bool done = code == SQLITE_DONE || sqlite_error(db, diags);
    sqlite3_finalize(select);
    out->dimensions = names;
    out->dimension_count = count;
    return done;
}

static bool
read_kinds(sqlite3 *db, struct series_shape *out, struct diag_list *diags)
{
    sqlite3_stmt *select = NULL;
    if (!sqlite_prepare(db, "SELECT DISTINCT kinds FROM measure", &select, diags)) {
        return false;
    }
    int code = SQLITE_OK;
    while ((code = sqlite3_step(select)) == SQLITE_ROW) {
        unsigned kinds = (unsigned)sqlite3_column_int(select, 0);
        for (unsigned kind = 0; kind < SERIES_KINDS; kind++) {
            out->has_kind[kind] = out->has_kind[kind] || (kinds & 1U << kind) != 0;
        }
    }
    bool done = code == SQLITE_DONE || sqlite_error(db, diags);
    sqlite3_finalize(select);
    return done;
}

bool
series_reader_shape(struct series_reader *reader, struct arena *arena, struct series_shape *out,
                    struct diag_list *diags)
{
    struct sqlite_lease lease = {0};
    struct series_shape shape = {0};
    if (!sqlite_pool_take(reader->pool, &lease, diags)) {
        return false;
    }
    bool read = lease.db == NULL
                || (read_dimensions(lease.db, arena, &shape, diags)
                    && read_kinds(lease.db, &shape, diags));
    sqlite_pool_give(reader->pool, lease);
    if (read) {
        *out = shape;
    }
    return read;
}

/* ---- scan ---- */

enum role { ROLE_DIMENSION, ROLE_MEASURE_NAME, ROLE_TIME, ROLE_VALUE };

struct scan_column {
    enum role role;
    enum series_kind kind; /* with ROLE_VALUE */
    bool wanted;
};

/* What is known about one series, in terms of this scan's columns. */
struct cached_series {
    int64_t id; /* 0: free */
    bool matches; /* the equality hint */
    bool widens;  /* bigints show as doubles too */
    struct cell *cells; /* one a column; dimensions and measure_name are filled */
    char *storage;      /* of the texts */
};

struct scan {
    sqlite3 *db;
    sqlite3_stmt *points;
    sqlite3_stmt *series;
    const struct table_schema *schema;
    const struct scan_request *request;
    struct scan_column *columns;
    struct cached_series *cache;
    struct cell *row;
    struct arena scratch;
};

static enum series_kind
kind_of(enum column_type type)
{
    switch (type) {
    case COLUMN_DOUBLE:
        return SERIES_DOUBLE;
    case COLUMN_BIGINT:
        return SERIES_BIGINT;
    case COLUMN_BOOLEAN:
        return SERIES_BOOLEAN;
    case COLUMN_VARCHAR:
    case COLUMN_TIMESTAMP:
        return SERIES_VARCHAR;
    }
    never("not a type");
}

static void
plan_columns(struct scan *scan)
{
    for (size_t i = 0; i < scan->schema->count; i++) {
        const struct column *column = &scan->schema->columns[i];
        struct scan_column *planned = &scan->columns[i];
        planned->wanted = scan->request->wanted == NULL || scan->request->wanted[i];
        if (bytes_equal(column->kind, BYTES("DIMENSION"))) {
            planned->role = ROLE_DIMENSION;
        } else if (bytes_equal(column->kind, BYTES("MEASURE_NAME"))) {
            planned->role = ROLE_MEASURE_NAME;
        } else if (bytes_equal(column->kind, BYTES("TIMESTAMP"))) {
            planned->role = ROLE_TIME;
        } else {
            planned->role = ROLE_VALUE;
            planned->kind = kind_of(column->type);
        }
    }
}

static bool
scan_prepare(struct scan *scan, struct diag_list *diags)
{
    const char *points =
            scan->request->newest_first
                    ? "SELECT time, series, kind, value FROM point WHERE time BETWEEN ?1 AND ?2"
                      " ORDER BY time DESC, series DESC"
                    : "SELECT time, series, kind, value FROM point WHERE time BETWEEN ?1 AND ?2"
                      " ORDER BY time, series";
    if (!sqlite_prepare(scan->db, points, &scan->points, diags)
        || !sqlite_prepare(scan->db,
                                  "SELECT s.measure, s.dims, m.kinds FROM series s"
                                  " LEFT JOIN measure m ON m.name = s.measure WHERE s.id = ?1",
                                  &scan->series, diags)) {
        return false;
    }
    sqlite3_bind_int64(scan->points, 1, scan->request->time_min_ns);
    sqlite3_bind_int64(scan->points, 2, scan->request->time_max_ns);
    return true;
}

/* Fills the texts of a cached series from its row; they are copied into one block. */
static void
fill_texts(struct scan *scan, struct cached_series *cached, struct bytes measure,
           const struct json *dims)
{
    size_t count = scan->schema->count;
    size_t total = 1;
    for (size_t i = 0; i < count; i++) {
        struct cell *cell = &cached->cells[i];
        cell->is_null = true;
        if (scan->columns[i].role == ROLE_MEASURE_NAME) {
            *cell = (struct cell){.text = measure};
        } else if (scan->columns[i].role == ROLE_DIMENSION) {
            uint32_t node = json_member(dims, 0, scan->schema->columns[i].name);
            if (node != 0) {
                *cell = (struct cell){.text = json_string(dims, node, &scan->scratch)};
            }
        }
        total += cell->is_null ? 0 : cell->text.size;
    }
    free(cached->storage);
    cached->storage = mem_alloc(total);
    char *next = cached->storage;
    for (size_t i = 0; i < count; i++) {
        struct cell *cell = &cached->cells[i];
        if (!cell->is_null && cell->text.size > 0) {
            memcpy(next, cell->text.data, cell->text.size);
            cell->text.data = next;
            next += cell->text.size;
        }
    }
    size_t equal = scan->request->equal_column;
    cached->matches = equal >= count || scan->columns[equal].role == ROLE_TIME
                      || scan->columns[equal].role == ROLE_VALUE
                      || (!cached->cells[equal].is_null
                          && bytes_equal(cached->cells[equal].text, scan->request->equal_text));
}

/* What a series number means; NULL when its row cannot be read. */
static const struct cached_series *
look_up(struct scan *scan, int64_t id, struct diag_list *diags)
{
    struct cached_series *cached = &scan->cache[(uint64_t)id % CACHE_SLOTS];
    if (cached->id == id) {
        return cached;
    }
    cached->id = 0;
    sqlite3_bind_int64(scan->series, 1, id);
    int code = sqlite3_step(scan->series);
    struct json dims = {0};
    struct json_error error = {0};
    arena_reset(&scan->scratch);
    bool read = code == SQLITE_ROW
                && json_parse(&dims, sqlite_column_text(scan->series, 1), 2, &scan->scratch,
                              &error);
    if (read) {
        if (cached->cells == NULL) {
            cached->cells = mem_new_array(struct cell, scan->schema->count);
        }
        fill_texts(scan, cached, sqlite_column_text(scan->series, 0), &dims);
        unsigned kinds = (unsigned)sqlite3_column_int(scan->series, 2);
        cached->widens = (kinds & 1U << SERIES_DOUBLE) != 0;
        cached->id = id;
    } else if (code == SQLITE_ROW || code == SQLITE_DONE) {
        diag_error(diags, DIAG_CORRUPT, "series %lld has no valid description",
                   (long long)id);
    } else {
        sqlite_error(scan->db, diags);
    }
    sqlite3_reset(scan->series);
    return read ? cached : NULL;
}

static struct cell
value_cell(sqlite3_stmt *points, enum series_kind stored, enum series_kind wanted, bool widens)
{
    if (stored == SERIES_BIGINT && wanted == SERIES_DOUBLE && widens) {
        return (struct cell){.real = sqlite3_column_double(points, 3)};
    }
    if (stored != wanted) {
        return (struct cell){.is_null = true};
    }
    switch (stored) {
    case SERIES_DOUBLE:
        return (struct cell){.real = sqlite3_column_double(points, 3)};
    case SERIES_BIGINT:
    case SERIES_BOOLEAN:
        return (struct cell){.integer = sqlite3_column_int64(points, 3)};
    case SERIES_VARCHAR:
        return (struct cell){.text = sqlite_column_text(points, 3)};
    case SERIES_KINDS:
        break;
    }
    return (struct cell){.is_null = true};
}

static void
fill_row(struct scan *scan, const struct cached_series *cached)
{
    enum series_kind stored = (enum series_kind)sqlite3_column_int(scan->points, 2);
    for (size_t i = 0; i < scan->schema->count; i++) {
        const struct scan_column *column = &scan->columns[i];
        if (!column->wanted) {
            scan->row[i] = (struct cell){.is_null = true};
            continue;
        }
        switch (column->role) {
        case ROLE_DIMENSION:
        case ROLE_MEASURE_NAME:
            scan->row[i] = cached->cells[i];
            break;
        case ROLE_TIME:
            scan->row[i] = (struct cell){.integer = sqlite3_column_int64(scan->points, 0)};
            break;
        case ROLE_VALUE:
            scan->row[i] = value_cell(scan->points, stored, column->kind, cached->widens);
            break;
        }
    }
}

static bool
scan_run(struct scan *scan, scan_row_fn row, void *context, struct diag_list *diags)
{
    int code = SQLITE_OK;
    while ((code = sqlite3_step(scan->points)) == SQLITE_ROW) {
        const struct cached_series *cached =
                look_up(scan, sqlite3_column_int64(scan->points, 1), diags);
        if (cached == NULL) {
            return false;
        }
        if (!cached->matches) {
            continue;
        }
        fill_row(scan, cached);
        if (!row(context, scan->row)) {
            return true;
        }
    }
    return code == SQLITE_DONE || sqlite_error(scan->db, diags);
}

static void
scan_fini(struct scan *scan)
{
    sqlite3_finalize(scan->points);
    sqlite3_finalize(scan->series);
    for (size_t i = 0; i < CACHE_SLOTS; i++) {
        free(scan->cache[i].cells);
        free(scan->cache[i].storage);
    }
    free(scan->cache);
    free(scan->columns);
    free(scan->row);
    arena_fini(&scan->scratch);
}

bool
series_reader_scan(struct series_reader *reader, const struct table_schema *schema,
                   const struct scan_request *request, scan_row_fn row, void *context,
                   struct diag_list *diags)
{
    struct sqlite_lease lease = {0};
    if (!sqlite_pool_take(reader->pool, &lease, diags)) {
        return false;
    }
    if (lease.db == NULL) {
        return true;
    }
    struct scan scan = {
            .db = lease.db,
            .schema = schema,
            .request = request,
            .columns = mem_new_array(struct scan_column, schema->count),
            .cache = mem_new_array(struct cached_series, CACHE_SLOTS),
            .row = mem_new_array(struct cell, schema->count),
    };
    plan_columns(&scan);
    bool done = scan_prepare(&scan, diags) && scan_run(&scan, row, context, diags);
    scan_fini(&scan);
    sqlite_pool_give(reader->pool, lease);
    return done;
}
