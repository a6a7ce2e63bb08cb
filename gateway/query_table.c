/*
 * The virtual table: SQLite's questions answered with a driver's describe and scan.
 *
 * What is pushed down to the scan, because it is exact there: the time range (=, <, <=, >, >= on
 * the TIMESTAMP column), the order by time, and which columns are read at all. An equality with a text
 * goes along as a hint and is checked again by SQLite.
 *
 *   idxNum   bit 0: newest first; above: number of the column of the hint + 1, or 0
 *   idxStr   the columns that are read, as 16 hexadecimal digits of a bit set (bit 63: all from 63
 *            on), then a letter per argument of xFilter: < L > G = for the time (L: <=, G: >=),
 *            h for the hint
 *
 * Only the thread of the query is here; the scan runs on the pipe's.
 */
#include "query_table.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

struct virtual_table {
    sqlite3_vtab base; /* first: SQLite knows this part */
    struct query_source_table *source;
    size_t time_column; /* SIZE_MAX: none */
};

struct virtual_cursor {
    sqlite3_vtab_cursor base;
    struct query_pipe *pipe;
    const struct cell *cells; /* of the current row; NULL: at the end */
    sqlite3_int64 row;
};

static int
table_connect(sqlite3 *db, void *context, int argc, const char *const *argv, sqlite3_vtab **out,
              char **error)
{
    struct query_source_table *source = context;
    struct buf declaration = {0};
    buf_append_string(&declaration, "CREATE TABLE x (");
    for (size_t i = 0; i < source->schema.count; i++) {
        buf_printf(&declaration, "%sc%zu", i > 0 ? ", " : "", i);
    }
    buf_append_char(&declaration, ')');
    int code = sqlite3_declare_vtab(db, buf_string(&declaration));
    buf_fini(&declaration);
    if (code != SQLITE_OK) {
        return code;
    }
    struct virtual_table *table = mem_new(struct virtual_table);
    table->source = source;
    table->time_column = SIZE_MAX;
    for (size_t i = 0; i < source->schema.count; i++) {
        if (bytes_equal(source->schema.columns[i].kind, BYTES("TIMESTAMP"))) {
            table->time_column = i;
        }
    }
    *out = &table->base;
    return SQLITE_OK;
}

static int
table_disconnect(sqlite3_vtab *base)
{
    sqlite3_free(base->zErrMsg);
    free(base);
    return SQLITE_OK;
}

/* ---- planning ---- */

enum { ARGUMENTS_MAX = 8, COLUMN_DIGITS = 16 };

#define ROWS_GUESSED 1e6

static char
time_letter(unsigned char op)
{
    switch (op) {
    case SQLITE_INDEX_CONSTRAINT_EQ:
        return '=';
    case SQLITE_INDEX_CONSTRAINT_LT:
        return '<';
    case SQLITE_INDEX_CONSTRAINT_LE:
        return 'L';
    case SQLITE_INDEX_CONSTRAINT_GT:
        return '>';
    case SQLITE_INDEX_CONSTRAINT_GE:
        return 'G';
    default:
        return '\0';
    }
}

struct pushdown {
    char letters[ARGUMENTS_MAX + 1];
    int count;
    int hint_column; /* -1: none */
    double rows;     /* expected */
    double cost;
};

static void
push_constraints(const struct virtual_table *table, sqlite3_index_info *info,
                 struct pushdown *push)
{
    for (int i = 0; i < info->nConstraint && push->count < ARGUMENTS_MAX; i++) {
        int column = info->aConstraint[i].iColumn;
        if (!info->aConstraint[i].usable || column < 0) {
            continue;
        }
        char letter = '\0';
        bool is_time = (size_t)column == table->time_column;
        if (is_time) {
            letter = time_letter(info->aConstraint[i].op);
            push->rows /= letter == '=' ? 1000 : letter != '\0' ? 4 : 1;
            push->cost = push->rows;
        } else if (info->aConstraint[i].op == SQLITE_INDEX_CONSTRAINT_EQ && push->hint_column < 0
                   && table->source->schema.columns[column].type == COLUMN_VARCHAR) {
            letter = 'h';
            push->hint_column = column;
            push->rows /= 20; /* the scan still passes over the others: the cost stays */
        }
        if (letter != '\0') {
            push->letters[push->count++] = letter;
            info->aConstraintUsage[i].argvIndex = push->count;
            info->aConstraintUsage[i].omit = is_time;
        }
    }
}

static int
table_best_index(sqlite3_vtab *base, sqlite3_index_info *info)
{
    const struct virtual_table *table = (const struct virtual_table *)base;
    struct pushdown push = {.hint_column = -1, .rows = ROWS_GUESSED, .cost = ROWS_GUESSED};
    push_constraints(table, info, &push);
    bool newest_first = false;
    if (info->nOrderBy == 1 && info->aOrderBy[0].iColumn >= 0
        && (size_t)info->aOrderBy[0].iColumn == table->time_column) {
        info->orderByConsumed = 1;
        newest_first = info->aOrderBy[0].desc;
    }
    info->idxNum = (push.hint_column + 1) * 2 + newest_first;
    info->idxStr = sqlite3_mprintf("%016llx%s", info->colUsed, push.letters);
    info->needToFreeIdxStr = 1;
    info->estimatedRows = (sqlite3_int64)push.rows + 1;
    info->estimatedCost = push.cost;
    return info->idxStr == NULL ? SQLITE_NOMEM : SQLITE_OK;
}

/* ---- reading ---- */

static int
cursor_open(sqlite3_vtab *base, sqlite3_vtab_cursor **out)
{
    struct virtual_cursor *cursor = mem_new(struct virtual_cursor);
    *out = &cursor->base;
    return SQLITE_OK;
}

static int
cursor_close(sqlite3_vtab_cursor *base)
{
    struct virtual_cursor *cursor = (struct virtual_cursor *)base;
    query_pipe_stop(cursor->pipe);
    free(cursor);
    return SQLITE_OK;
}

/* Narrows the range by one comparison; false when nothing is left. */
static bool
narrow(struct scan_request *request, char letter, sqlite3_value *value)
{
    if (sqlite3_value_type(value) != SQLITE_INTEGER) {
        return false; /* NULL compares with nothing */
    }
    int64_t ns = sqlite3_value_int64(value);
    if ((letter == '>' && ns == INT64_MAX) || (letter == '<' && ns == INT64_MIN)) {
        return false;
    }
    int64_t from = letter == '>' ? ns + 1 : ns;
    int64_t to = letter == '<' ? ns - 1 : ns;
    if (letter != '<' && letter != 'L' && from > request->time_min_ns) {
        request->time_min_ns = from;
    }
    if (letter != '>' && letter != 'G' && to < request->time_max_ns) {
        request->time_max_ns = to;
    }
    return request->time_min_ns <= request->time_max_ns;
}

static void
take_hint(struct scan_request *request, int index_number, sqlite3_value *value)
{
    if (sqlite3_value_type(value) == SQLITE_TEXT) {
        request->equal_column = (size_t)(index_number / 2 - 1);
        request->equal_text = bytes_of(sqlite3_value_text(value),
                                       (size_t)sqlite3_value_bytes(value));
    }
}

static int
cursor_next(sqlite3_vtab_cursor *base)
{
    struct virtual_cursor *cursor = (struct virtual_cursor *)base;
    cursor->row++;
    switch (query_pipe_next(cursor->pipe, &cursor->cells)) {
    case QUERY_PIPE_ROW:
        return SQLITE_OK;
    case QUERY_PIPE_END:
        cursor->cells = NULL;
        return SQLITE_OK;
    case QUERY_PIPE_FAILED:
        break;
    }
    cursor->cells = NULL;
    return SQLITE_ERROR;
}

/* The columns to read; to be freed with free(). */
static bool *
wanted_columns(const struct virtual_table *table, const char *digits)
{
    char mask_text[COLUMN_DIGITS + 1] = {0};
    memcpy(mask_text, digits, COLUMN_DIGITS);
    uint64_t mask = strtoull(mask_text, NULL, 16);
    bool *wanted = mem_new_array(bool, table->source->schema.count + 1);
    for (size_t i = 0; i < table->source->schema.count; i++) {
        wanted[i] = (mask >> (i < 63 ? i : 63) & 1) != 0;
    }
    return wanted;
}

static int
cursor_filter(sqlite3_vtab_cursor *base, int index_number, const char *index_string, int argc,
              sqlite3_value **argv)
{
    struct virtual_cursor *cursor = (struct virtual_cursor *)base;
    struct virtual_table *table = (struct virtual_table *)base->pVtab;
    const char *letters = index_string + COLUMN_DIGITS;
    struct scan_request request = {
            .time_min_ns = INT64_MIN,
            .time_max_ns = INT64_MAX,
            .newest_first = index_number & 1,
            .equal_column = SIZE_MAX,
    };
    bool any = true;
    for (int i = 0; i < argc && any; i++) {
        if (letters[i] == 'h') {
            take_hint(&request, index_number, argv[i]);
        } else {
            any = narrow(&request, letters[i], argv[i]);
        }
    }
    query_pipe_stop(cursor->pipe);
    cursor->pipe = NULL;
    cursor->cells = NULL;
    if (!any) {
        return SQLITE_OK;
    }
    bool *wanted = wanted_columns(table, index_string);
    request.wanted = wanted;
    cursor->pipe = query_pipe_start(table->source, &request);
    free(wanted);
    return cursor_next(base);
}

static int
cursor_eof(sqlite3_vtab_cursor *base)
{
    return ((struct virtual_cursor *)base)->cells == NULL;
}

static int
cursor_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
    const struct virtual_cursor *cursor = (const struct virtual_cursor *)base;
    const struct virtual_table *table = (const struct virtual_table *)base->pVtab;
    const struct cell *cell = &cursor->cells[column];
    if (cell->is_null) {
        return SQLITE_OK; /* NULL is what SQLite assumes */
    }
    switch (table->source->schema.columns[column].type) {
    case COLUMN_VARCHAR:
        sqlite3_result_text64(context, cell->text.size == 0 ? "" : cell->text.data,
                              cell->text.size, SQLITE_TRANSIENT, SQLITE_UTF8);
        break;
    case COLUMN_DOUBLE:
        sqlite3_result_double(context, cell->real);
        break;
    case COLUMN_BIGINT:
    case COLUMN_BOOLEAN:
    case COLUMN_TIMESTAMP:
        sqlite3_result_int64(context, cell->integer);
        break;
    }
    return SQLITE_OK;
}

static int
cursor_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out)
{
    *out = ((struct virtual_cursor *)base)->row;
    return SQLITE_OK;
}

static const sqlite3_module table_module = {
        .xConnect = table_connect, /* no xCreate: the table is there by its name alone */
        .xBestIndex = table_best_index,
        .xDisconnect = table_disconnect,
        .xOpen = cursor_open,
        .xClose = cursor_close,
        .xFilter = cursor_filter,
        .xNext = cursor_next,
        .xEof = cursor_eof,
        .xColumn = cursor_column,
        .xRowid = cursor_rowid,
};

bool
query_table_register(sqlite3 *db, const char *name, struct query_source_table *table,
                     struct diag_list *diags)
{
    if (sqlite3_create_module(db, name, &table_module, table) != SQLITE_OK) {
        diag_error(diags, DIAG_INVALID, "query: %s", sqlite3_errmsg(db));
        return false;
    }
    return true;
}
