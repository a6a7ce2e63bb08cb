/*
 * One run: plan, make a connection in memory, give it the tables and functions, step, copy rows.
 *
 *   sql --rules/query.c--> plan --> SQLite :memory: --xFilter--> query_pipe --> driver->scan
 *
 * The connection is new for each run and dies with it: nothing is shared, nothing is kept, and it
 * may do nothing but read (authorizer), for a bounded time (progress handler) and into a bounded
 * result. Sorting and grouping beyond `memory_max` go to SQLite's temporary files.
 */
#include "query.h"

#include "query_table.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { PROGRESS_STEPS = 2000 };

const struct query_limits query_limits_default = {
        .rows_max = 100000, .bytes_max = 64 << 20, .time_ms = 60000, .memory_max = 32 << 20};

struct run {
    const struct query_request *request;
    struct arena arena; /* of plan and tables */
    struct query_source_table **tables; /* those that the query mentions */
    size_t table_count;
    size_t table_capacity;
    struct query_watch watch;
    struct query_plan plan;
    sqlite3 *db;
    struct query_result result;
    size_t result_bytes;
    size_t row_capacity;
};

/* ---- tables ---- */

static enum query_type
type_of_column(enum column_type type)
{
    switch (type) {
    case COLUMN_VARCHAR:
        return QUERY_VARCHAR;
    case COLUMN_BIGINT:
        return QUERY_BIGINT;
    case COLUMN_DOUBLE:
        return QUERY_DOUBLE;
    case COLUMN_BOOLEAN:
        return QUERY_BOOLEAN;
    case COLUMN_TIMESTAMP:
        return QUERY_TIMESTAMP;
    }
    never("not a type");
}

static bool
describe_table(struct run *run, const struct query_table_ref *ref,
               struct query_source_table *out, struct diag_list *diags)
{
    if (!ref->driver->describe(ref->instance, &run->arena, &out->schema, diags)) {
        return false;
    }
    struct query_column *columns =
            arena_new_array(&run->arena, struct query_column, out->schema.count + 1);
    for (size_t i = 0; i < out->schema.count; i++) {
        const struct column *column = &out->schema.columns[i];
        columns[i] = (struct query_column){
                .name = column->name,
                .type = type_of_column(column->type),
                .never_null = bytes_equal(column->kind, BYTES("TIMESTAMP")),
        };
    }
    out->table = (struct query_table){columns, out->schema.count, out};
    out->driver = ref->driver;
    out->instance = ref->instance;
    out->watch = &run->watch;
    return true;
}

/* For the planner. The same instance is described once, so that a query sees one schema of it. */
static bool
find_table(void *context, struct bytes database, struct bytes name,
           const struct query_table **out, struct diag_list *diags)
{
    struct run *run = context;
    struct query_table_ref ref = {0};
    *out = NULL;
    if (!run->request->find_table(run->request->context, database, name, &ref, diags)) {
        return false;
    }
    if (ref.driver == NULL) {
        return true;
    }
    for (size_t i = 0; i < run->table_count; i++) {
        if (run->tables[i]->instance == ref.instance) {
            *out = &run->tables[i]->table;
            return true;
        }
    }
    if (!ref.driver->can_scan) {
        diag_error(diags, DIAG_INVALID, "'%.*s' cannot be queried: %s only takes records",
                   BYTES_ARG(name), ref.driver->name);
        return false;
    }
    struct query_source_table *table = arena_new(&run->arena, struct query_source_table);
    if (!describe_table(run, &ref, table, diags)) {
        return false;
    }
    run->tables = mem_grow(run->tables, run->table_count, &run->table_capacity,
                           sizeof(struct query_source_table *));
    run->tables[run->table_count++] = table;
    *out = &table->table;
    return true;
}

static bool
plan(struct run *run, struct diag_list *diags)
{
    const struct query_request *request = run->request;
    struct query_source source = {request->name, request->sql, request->now_ns};
    struct query_catalogue catalogue = {
            .context = run,
            .find = find_table,
            .name_context = request->context,
            .name_count = request->table_count,
            .name_at = request->table_name_at,
            .whence = request->whence,
    };
    return query_plan(&run->plan, &source, &catalogue, &run->arena, diags);
}

/* ---- the connection ---- */

static int
authorize(void *context, int action, const char *a, const char *b, const char *database,
          const char *trigger)
{
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_FUNCTION:
    case SQLITE_RECURSIVE:
        return SQLITE_OK;
    default:
        return SQLITE_DENY;
    }
}

static int
progress(void *context)
{
    const struct query_watch *watch = context;
    return query_watch_expired(watch);
}

static bool
configure(struct run *run, struct diag_list *diags)
{
    struct buf pragmas = {0};
    buf_printf(&pragmas,
               "PRAGMA case_sensitive_like = ON; PRAGMA temp_store = FILE;"
               "PRAGMA cache_size = -%zu;",
               run->request->limits.memory_max / 1024);
    int code = sqlite3_exec(run->db, buf_string(&pragmas), NULL, NULL, NULL);
    buf_fini(&pragmas);
    sqlite3_db_config(run->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(run->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    sqlite3_limit(run->db, SQLITE_LIMIT_LENGTH, (int)(16 << 20));
    if (code != SQLITE_OK) {
        diag_error(diags, DIAG_IO, "query: %s", sqlite3_errmsg(run->db));
        return false;
    }
    return true;
}

/* SQLite makes a virtual table at its first mention, which the authorizer would forbid. */
static bool
touch(sqlite3 *db, const char *table, struct diag_list *diags)
{
    char sql[64];
    sqlite3_stmt *statement = NULL;
    snprintf(sql, sizeof sql, "SELECT 1 FROM %s", table);
    bool made = sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK;
    if (!made) {
        diag_error(diags, DIAG_INVALID, "query: %s", sqlite3_errmsg(db));
    }
    sqlite3_finalize(statement);
    return made;
}

static bool
connect(struct run *run, struct diag_list *diags)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(":memory:", &run->db, flags, NULL) != SQLITE_OK) {
        diag_error(diags, DIAG_IO, "query: %s", sqlite3_errmsg(run->db));
        return false;
    }
    if (!configure(run, diags) || !query_function_register(run->db, diags)) {
        return false;
    }
    for (size_t i = 0; i < run->plan.table_count; i++) {
        char name[32];
        snprintf(name, sizeof name, "t%zu", i);
        if (!query_table_register(run->db, name, run->plan.tables[i]->handle, diags)
            || !touch(run->db, name, diags)) {
            return false;
        }
    }
    sqlite3_set_authorizer(run->db, authorize, NULL);
    sqlite3_progress_handler(run->db, PROGRESS_STEPS, progress, &run->watch);
    return true;
}

static bool
bind(struct run *run, sqlite3_stmt *statement)
{
    int used = sqlite3_bind_parameter_count(statement);
    for (int i = 1; i <= used && (size_t)i <= run->plan.parameter_count; i++) {
        const struct query_value *value = &run->plan.parameters[i - 1];
        int code = SQLITE_OK;
        if (value->is_null) {
            code = sqlite3_bind_null(statement, i);
        } else if (value->type == QUERY_DOUBLE) {
            code = sqlite3_bind_double(statement, i, value->real);
        } else if (value->type == QUERY_VARCHAR) {
            code = sqlite3_bind_text64(statement, i,
                                       value->text.size == 0 ? "" : value->text.data,
                                       value->text.size, SQLITE_STATIC, SQLITE_UTF8);
        } else {
            code = sqlite3_bind_int64(statement, i, value->integer);
        }
        if (code != SQLITE_OK) {
            return false;
        }
    }
    return true;
}

/* ---- rows ---- */

static bool
read_value(struct run *run, sqlite3_stmt *statement, int column, struct query_value *out,
           struct diag_list *diags)
{
    out->type = run->plan.columns[column].type;
    int stored = sqlite3_column_type(statement, column);
    if (stored == SQLITE_NULL) {
        out->is_null = true;
        return true;
    }
    if (out->type == QUERY_DOUBLE) {
        out->real = sqlite3_column_double(statement, column);
    } else if (out->type == QUERY_VARCHAR) {
        const void *data = sqlite3_column_text(statement, column);
        size_t size = (size_t)sqlite3_column_bytes(statement, column);
        out->text = arena_copy(&run->result.arena, bytes_of(data, size));
        run->result_bytes += size;
    } else if (stored == SQLITE_INTEGER) {
        out->integer = sqlite3_column_int64(statement, column);
    } else {
        diag_error(diags, DIAG_INVALID, "a number in column '%.*s' is beyond 64 bits",
                   BYTES_ARG(run->plan.columns[column].name));
        return false;
    }
    return true;
}

static bool
read_row(struct run *run, sqlite3_stmt *statement, struct diag_list *diags)
{
    const struct query_limits *limits = &run->request->limits;
    struct query_result *result = &run->result;
    if (result->row_count == limits->rows_max) {
        diag_error(diags, DIAG_INVALID, "the result has more than %zu rows", limits->rows_max);
        diag_hint(diags, "add LIMIT, or group with bin(time, 1m)");
        return false;
    }
    struct query_value *row =
            arena_new_array(&result->arena, struct query_value, run->plan.column_count + 1);
    run->result_bytes += run->plan.column_count * sizeof *row;
    for (size_t i = 0; i < run->plan.column_count; i++) {
        if (!read_value(run, statement, (int)i, &row[i], diags)) {
            return false;
        }
    }
    if (run->result_bytes > limits->bytes_max) {
        diag_error(diags, DIAG_INVALID, "the result has more than %zu bytes", limits->bytes_max);
        diag_hint(diags, "add LIMIT, or name fewer columns");
        return false;
    }
    result->rows = mem_grow(result->rows, result->row_count, &run->row_capacity,
                            sizeof(struct query_value *));
    result->rows[result->row_count++] = row;
    return true;
}

static bool
step_failed(struct run *run, struct diag_list *diags)
{
    int code = sqlite3_errcode(run->db);
    if (query_watch_expired(&run->watch)) {
        diag_error(diags, DIAG_TIMEOUT, "the query took longer than %" PRId64 " ms",
                   run->request->limits.time_ms);
        diag_hint(diags, "narrow the time range: WHERE time > ago(1h)");
    } else if (diags->errors == 0) {
        bool deep = strstr(sqlite3_errmsg(run->db), "parser stack overflow") != NULL;
        diag_error(diags, code == SQLITE_NOMEM || code == SQLITE_FULL ? DIAG_IO : DIAG_INVALID,
                   "query: %s", deep ? "an expression is nested too deep"
                                     : sqlite3_errmsg(run->db));
    }
    return false;
}

static bool
execute(struct run *run, struct diag_list *diags)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(run->db, run->plan.sql, -1, &statement, NULL) != SQLITE_OK) {
        return step_failed(run, diags);
    }
    bool good = bind(run, statement) || step_failed(run, diags);
    int code = SQLITE_OK;
    while (good && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        good = read_row(run, statement, diags);
    }
    if (good && code != SQLITE_DONE) {
        good = step_failed(run, diags);
    }
    sqlite3_finalize(statement);
    return good;
}

static void
copy_columns(struct run *run)
{
    struct query_column *columns =
            arena_new_array(&run->result.arena, struct query_column, run->plan.column_count + 1);
    for (size_t i = 0; i < run->plan.column_count; i++) {
        columns[i] = run->plan.columns[i];
        columns[i].name = arena_copy(&run->result.arena, run->plan.columns[i].name);
    }
    run->result.columns = columns;
    run->result.column_count = run->plan.column_count;
}

void
query_result_fini(struct query_result *result)
{
    free(result->rows);
    arena_fini(&result->arena);
    *result = (struct query_result){0};
}

bool
query_execute(const struct query_request *request, struct query_result *out, struct diag_list *diags)
{
    struct diag_list found = {0};
    struct run run = {
            .request = request,
            .watch = {.os = request->os,
                      .deadline_us = request->os->mono_us(request->os)
                                     + request->limits.time_ms * 1000,
                      .diags = &found},
    };
    bool done = plan(&run, &found) && connect(&run, &found) && execute(&run, &found);
    check(sqlite3_close(run.db) == SQLITE_OK);
    diag_list_append(diags, &found);
    diag_list_fini(&found);
    if (done) {
        copy_columns(&run);
        *out = run.result;
    } else {
        query_result_fini(&run.result);
    }
    free(run.tables);
    arena_fini(&run.arena);
    return done;
}
