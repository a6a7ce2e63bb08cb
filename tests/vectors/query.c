/*
 * vectors_query FILE.jsonl PENDING
 *
 * Runs query vectors, one JSON object a line: setup_rows are written into time series tables
 * through the driver, `sql` is run, and the rows, types and column names must be those of
 * expect_rows, types and columns. PENDING lists what is not built yet, an id (or the start of one
 * with '*' behind) and the reason a line. A pending vector is run all the same: it is an error when
 * it passes, so that the list can only shrink.
 */
#include "rows.h"
#include "table.h"

#include "base/calendar.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TABLES_MAX = 8 };

struct vector {
    struct arena arena;
    struct json json;
    struct bytes id;
    int64_t now_ns;
    struct table tables[TABLES_MAX];
    struct bytes names[TABLES_MAX];
    size_t table_count;
    struct buf why;
};

static uint32_t
member(const struct vector *vector, uint32_t object, const char *name)
{
    return json_member(&vector->json, object, bytes_of_string(name));
}

static struct bytes
text(struct vector *vector, uint32_t node)
{
    return node == 0 || vector->json.nodes[node].kind != JSON_STRING
                   ? (struct bytes){0}
                   : json_string(&vector->json, node, &vector->arena);
}

static bool
refuse(struct vector *vector, const char *what)
{
    buf_append_string(&vector->why, what);
    return false;
}

/* ---- tables ---- */

/* The dimension names of all rows of a table, as the option wants them. */
static void
list_dimensions(struct vector *vector, uint32_t rows, struct bytes table, struct buf *out)
{
    const struct json_node *nodes = vector->json.nodes;
    struct buf seen = {0};
    for (uint32_t row = rows + 1; row < nodes[rows].next; row = nodes[row].next) {
        uint32_t dims = member(vector, row, "dims");
        if (dims == 0 || !bytes_equal(text(vector, member(vector, row, "table")), table)) {
            continue;
        }
        for (uint32_t key = dims + 1; key < nodes[dims].next; key = nodes[key + 1].next) {
            struct bytes name = text(vector, key);
            char *needle = bytes_to_string(name);
            if (strstr(buf_string(&seen), needle) == NULL) {
                buf_printf(out, "%s%s", out->size > 0 ? "," : "dimensions=", needle);
                buf_printf(&seen, ",%s,", needle);
            }
            free(needle);
        }
    }
    buf_fini(&seen);
}

static struct table *
need_table(struct vector *vector, uint32_t rows, struct bytes name)
{
    for (size_t i = 0; i < vector->table_count; i++) {
        if (bytes_equal(vector->names[i], name)) {
            return &vector->tables[i];
        }
    }
    if (vector->table_count == TABLES_MAX) {
        return NULL;
    }
    struct buf dimensions = {0};
    if (rows != 0) {
        list_dimensions(vector, rows, name, &dimensions);
    }
    bool any = dimensions.size > 0;
    const char *const options[] = {"version=$version", any ? buf_string(&dimensions) : NULL, NULL};
    struct table *table = &vector->tables[vector->table_count];
    vector->names[vector->table_count++] = name;
    table_init(table, "timestream", options);
    buf_fini(&dimensions);
    if (vector->now_ns != 0) {
        table->wall_us = vector->now_ns / 1000;
    }
    return table_open(table) ? table : NULL;
}

/* {"time":...,"$version":...,dimensions,"measure":value} */
static bool
write_payload(struct vector *vector, uint32_t row, struct buf *out)
{
    static const char *const kinds[] = {"double", "bigint", "varchar", "boolean"};
    const struct json_node *nodes = vector->json.nodes;
    uint32_t dims = member(vector, row, "dims");
    buf_append_string(out, "{\"time\":");
    buf_append(out, json_raw(&vector->json, member(vector, row, "time")));
    if (member(vector, row, "version") != 0) {
        buf_append_string(out, ",\"$version\":");
        buf_append(out, json_raw(&vector->json, member(vector, row, "version")));
    }
    for (uint32_t key = dims + 1; dims != 0 && key < nodes[dims].next; key = nodes[key + 1].next) {
        buf_append_char(out, ',');
        buf_append(out, json_raw(&vector->json, key));
        buf_append_char(out, ':');
        buf_append(out, json_raw(&vector->json, key + 1));
    }
    for (size_t i = 0; i < 4; i++) {
        uint32_t value = member(vector, row, kinds[i]);
        if (value != 0) {
            buf_append_char(out, ',');
            buf_append(out, json_raw(&vector->json, member(vector, row, "measure_name")));
            buf_append_char(out, ':');
            buf_append(out, json_raw(&vector->json, value));
            buf_append_char(out, '}');
            return true;
        }
    }
    return refuse(vector, "a row without a single value");
}

static bool
write_row(struct vector *vector, uint32_t rows, uint32_t row)
{
    struct bytes name = text(vector, member(vector, row, "table"));
    if (name.size == 0) {
        return refuse(vector, "a row of no time series table");
    }
    if (member(vector, row, "time_unit") != 0) {
        return refuse(vector, "time units are set per table, not per row");
    }
    struct table *table = need_table(vector, rows, name);
    struct buf payload = {0};
    bool written = table != NULL && write_payload(vector, row, &payload);
    if (written) {
        const char *reason = "";
        bool refused = bytes_equal(text(vector, member(vector, row, "expect")), BYTES("rejected"));
        enum verdict verdict = table_write(table, buf_string(&payload), &reason);
        written = verdict == (refused ? VERDICT_REJECT : VERDICT_DONE);
        if (!written) {
            buf_printf(&vector->why, "verdict %d for %s: %s", (int)verdict, buf_string(&payload),
                       reason);
        }
    }
    buf_fini(&payload);
    return written;
}

static bool
set_up(struct vector *vector)
{
    const struct json_node *nodes = vector->json.nodes;
    uint32_t rows = member(vector, 0, "setup_rows");
    for (uint32_t row = rows + 1; rows != 0 && row < nodes[rows].next; row = nodes[row].next) {
        if (!write_row(vector, rows, row)) {
            return false;
        }
    }
    uint32_t ddl = member(vector, 0, "ddl");
    for (uint32_t at = ddl + 1; ddl != 0 && at < nodes[ddl].next; at = nodes[at].next) {
        if (need_table(vector, 0, text(vector, at)) == NULL) {
            return refuse(vector, "no table");
        }
    }
    return true;
}

/* ---- the query ---- */

static bool
find_table(void *context, struct bytes database, struct bytes name, struct query_table_ref *out,
           struct diag_list *diags)
{
    struct vector *vector = context;
    struct bytes full = arena_printf(&vector->arena, "%.*s.%.*s", BYTES_ARG(database),
                                     BYTES_ARG(name));
    for (size_t i = 0; i < vector->table_count; i++) {
        if (bytes_equal(vector->names[i], full)) {
            *out = (struct query_table_ref){vector->tables[i].driver, vector->tables[i].instance};
        }
    }
    return true;
}

static bool
headers_match(struct vector *vector, const struct query_result *result)
{
    const struct json_node *nodes = vector->json.nodes;
    uint32_t types = member(vector, 0, "types");
    uint32_t columns = member(vector, 0, "columns");
    bool match = true;
    uint32_t at = types + 1;
    for (size_t i = 0; types != 0 && i < nodes[types].count; i++, at = nodes[at].next) {
        match = match && i < result->column_count
                && bytes_equal_string(text(vector, at), query_type_name(result->columns[i].type));
    }
    at = columns + 1;
    for (size_t i = 0; columns != 0 && i < nodes[columns].count; i++, at = nodes[at].next) {
        match = match && i < result->column_count
                && bytes_equal(text(vector, at), result->columns[i].name);
    }
    return match || refuse(vector, "types or column names differ");
}

static bool
result_matches(struct vector *vector, const struct query_result *result)
{
    uint32_t tolerance = member(vector, 0, "tolerance");
    uint32_t ordered = member(vector, 0, "ordered");
    struct rows_expected expected = {
            .json = &vector->json,
            .rows = member(vector, 0, "expect_rows"),
            .tolerance = tolerance == 0 ? 1e-9 : json_double(&vector->json, tolerance),
            .any_order = ordered != 0 && vector->json.nodes[ordered].kind == JSON_FALSE,
    };
    if (vector->json.nodes[expected.rows].kind != JSON_ARRAY) {
        return refuse(vector, "an error was expected");
    }
    return rows_match(result, &expected, &vector->why) && headers_match(vector, result);
}

/* An error that was expected is about what the query says, not about what is not built. */
static bool
is_understood(struct buf *message)
{
    return strstr(buf_string(message), "not supported by this version") == NULL
           && strstr(buf_string(message), "error: found") == NULL;
}

static bool
run_query(struct vector *vector)
{
    uint32_t sql = member(vector, 0, "sql");
    if (vector->json.nodes[sql].kind != JSON_STRING) {
        return refuse(vector, "not a query");
    }
    struct query_request request = {
            .name = BYTES("query"),
            .sql = text(vector, sql),
            .now_ns = vector->now_ns,
            .os = &os_posix,
            .limits = query_limits_default,
            .context = vector,
            .find_table = find_table,
    };
    struct query_result result = {0};
    struct diag_list diags = {0};
    bool ran = query_execute(&request, &result, &diags);
    bool passed = false;
    if (ran) {
        passed = result_matches(vector, &result);
        query_result_fini(&result);
    } else {
        diag_list_print(&diags, &vector->why);
        passed = member(vector, 0, "expect_error") != 0 && is_understood(&vector->why);
    }
    diag_list_fini(&diags);
    return passed;
}

/* ---- the file ---- */

static bool
is_pending(struct bytes list, struct bytes id)
{
    struct bytes line;
    while (list.data != NULL && bytes_split(&list, '\n', &line)) {
        struct bytes name = bytes_slice(line, 0, bytes_find(line, ' '));
        if (bytes_ends_with(name, BYTES("*"))
                    ? bytes_starts_with(id, bytes_slice(name, 0, name.size - 1))
                    : name.size > 0 && bytes_equal(name, id)) {
            return true;
        }
    }
    return false;
}

struct tally {
    unsigned passed, failed, pending;
};

static void
run_line(struct bytes line, struct bytes pending, struct tally *tally)
{
    struct vector *vector = mem_new(struct vector);
    struct json_error error;
    check(json_parse(&vector->json, line, 1000, &vector->arena, &error));
    vector->id = text(vector, member(vector, 0, "id"));
    struct bytes now = text(vector, member(vector, 0, "now"));
    check(now.size == 0 || calendar_parse(now, &vector->now_ns));
    bool passed = set_up(vector) && run_query(vector);
    bool later = is_pending(pending, vector->id);
    if (passed && !later) {
        tally->passed++;
    } else if (!passed && later) {
        tally->pending++;
    } else {
        printf("%.*s: %s\n", BYTES_ARG(vector->id),
               passed ? "passes but is listed as pending" : buf_string(&vector->why));
        tally->failed++;
    }
    for (size_t i = 0; i < vector->table_count; i++) {
        table_fini(&vector->tables[i]);
    }
    buf_fini(&vector->why);
    arena_fini(&vector->arena);
    free(vector);
}

int
main(int argc, char **argv)
{
    struct buf vectors = {0};
    struct buf pending = {0};
    if (argc != 3 || os_read_file(&os_posix, argv[1], 16 << 20, &vectors) != 0
        || os_read_file(&os_posix, argv[2], 1 << 20, &pending) != 0) {
        fprintf(stderr, "usage: vectors_query FILE.jsonl PENDING\n");
        return 2;
    }
    struct bytes rest = buf_bytes(&vectors);
    struct bytes line;
    struct tally tally = {0};
    while (rest.data != NULL && bytes_split(&rest, '\n', &line)) {
        if (line.size > 0) {
            run_line(line, buf_bytes(&pending), &tally);
        }
    }
    printf("%u passed, %u failed, %u pending\n", tally.passed, tally.failed, tally.pending);
    buf_fini(&vectors);
    buf_fini(&pending);
    return tally.failed > 0 || tally.passed == 0;
}
