/*
 * Queries end to end: text cases (tests/vectors/query-cases.txt), the two scenarios with time
 * series (seeds.json), limits, and what the pipe between scan and SQLite must survive.
 */
#include "rows.h"
#include "table.h"

#include "base/calendar.h"

#include <stdio.h>
#include <unistd.h>

enum { TABLES_MAX = 8 };

struct database {
    struct arena arena;
    struct table tables[TABLES_MAX];
    const char *names[TABLES_MAX];
    size_t count;
    int64_t now_ns;
    struct query_limits limits;
};

static struct table *
add_table(struct database *database, const char *name, const char *const *options)
{
    assert_true(database->count < TABLES_MAX);
    struct table *table = &database->tables[database->count];
    database->names[database->count++] = name;
    table_init(table, "timeseries", options);
    if (!table_open(table)) {
        fail_msg("table %s: %.*s", name, BYTES_ARG(diag_first_error(&table->diags)));
    }
    return table;
}

static void
begin(struct database *database)
{
    *database = (struct database){.limits = query_limits_default};
    assert_true(calendar_parse(BYTES("2024-07-11 13:00"), &database->now_ns));
}

static void
end(struct database *database)
{
    for (size_t i = 0; i < database->count; i++) {
        table_fini(&database->tables[i]);
    }
    arena_fini(&database->arena);
}

static bool
find_table(void *context, struct bytes name_database, struct bytes name,
           struct query_table_ref *out, struct diag_list *diags)
{
    struct database *database = context;
    for (size_t i = 0; i < database->count; i++) {
        if (bytes_equal_string(name, database->names[i])) {
            *out = (struct query_table_ref){database->tables[i].driver,
                                            database->tables[i].instance};
        }
    }
    return true;
}

static const char *
table_name_at(const void *context, size_t i)
{
    return ((const struct database *)context)->names[i];
}

static bool
run(struct database *database, struct bytes sql, struct query_result *result,
    struct diag_list *diags)
{
    struct query_request request = {
            .name = BYTES("query"),
            .sql = sql,
            .now_ns = database->now_ns,
            .os = &os_posix,
            .limits = database->limits,
            .context = database,
            .find_table = find_table,
            .table_count = database->count,
            .table_name_at = table_name_at,
    };
    return query_execute(&request, result, diags);
}

/* What a query prints: its table of text, or its errors. */
static const char *
printed(struct database *database, struct bytes sql)
{
    struct query_result result = {0};
    struct diag_list diags = {0};
    struct buf out = {0};
    if (run(database, sql, &result, &diags)) {
        query_print_text(&result, &out);
        query_result_fini(&result);
    } else {
        diag_list_print(&diags, &out);
    }
    struct bytes text = arena_copy(&database->arena, buf_bytes(&out));
    buf_fini(&out);
    diag_list_fini(&diags);
    return text.data;
}

static void
assert_done(struct table *table, const char *payload)
{
    const char *reason = "";
    if (table_write(table, payload, &reason) != VERDICT_DONE) {
        fail_msg("%s: %s", payload, reason);
    }
}

static const char *
string_of(struct database *database, struct bytes text)
{
    return arena_copy(&database->arena, text).data;
}

/* ---- text cases ---- */

static struct bytes
read_vectors(struct database *database, const char *name)
{
    struct buf content = {0};
    char path[512];
    snprintf(path, sizeof path, "%s/%s", VECTORS, name);
    assert_int_equal(os_read_file(&os_posix, path, 1 << 20, &content), 0);
    struct bytes text = arena_copy(&database->arena, buf_bytes(&content));
    buf_fini(&content);
    return text;
}

/* "NAME option=value option=value" */
static struct table *
table_of_line(struct database *database, struct bytes line)
{
    const char *options[8] = {NULL};
    size_t count = 0;
    struct bytes name;
    struct bytes part;
    assert_true(bytes_split(&line, ' ', &name));
    while (line.data != NULL && bytes_split(&line, ' ', &part) && count < 7) {
        options[count++] = string_of(database, part);
    }
    return add_table(database, string_of(database, name), options);
}

/* The lines of a part of a case, up to the next mark. */
static void
append_line(struct buf *out, struct bytes line)
{
    buf_append(out, line);
    buf_append_char(out, '\n');
}

struct text_case {
    struct bytes name; /* empty: none is open */
    struct buf sql;
    struct buf expected;
    bool in_expected;
};

static size_t
finish_case(struct database *database, struct text_case *text_case)
{
    if (text_case->name.size == 0) {
        return 0;
    }
    const char *actual = printed(database, bytes_trim(buf_bytes(&text_case->sql)));
    struct bytes expected = bytes_trim(buf_bytes(&text_case->expected));
    struct bytes trimmed = bytes_trim(bytes_of_string(actual));
    size_t failed = 0;
    if (!bytes_equal(expected, trimmed)) {
        print_error("== %.*s\n%.*s\n---- expected\n%.*s\n----\n", BYTES_ARG(text_case->name),
                    BYTES_ARG(trimmed), BYTES_ARG(expected));
        failed = 1;
    }
    text_case->name = (struct bytes){0};
    buf_clear(&text_case->sql);
    buf_clear(&text_case->expected);
    text_case->in_expected = false;
    return failed;
}

static void
cases_print_what_they_should(void **state)
{
    struct database database;
    begin(&database);
    struct bytes rest = read_vectors(&database, "query-cases.txt");
    struct bytes line;
    struct text_case text_case = {0};
    struct table *table = NULL;
    size_t failed = 0;
    size_t cases = 0;
    while (rest.data != NULL && bytes_split(&rest, '\n', &line)) {
        if (bytes_starts_with(line, BYTES("@@ "))) {
            table = table_of_line(&database, bytes_slice(line, 3, line.size));
        } else if (bytes_starts_with(line, BYTES("== "))) {
            failed += finish_case(&database, &text_case);
            text_case.name = bytes_slice(line, 3, line.size);
            cases++;
        } else if (text_case.name.size > 0 && !text_case.in_expected
                   && bytes_equal(line, BYTES("--"))) {
            text_case.in_expected = true;
        } else if (text_case.name.size > 0) {
            append_line(text_case.in_expected ? &text_case.expected : &text_case.sql, line);
        } else if (table != NULL && line.size > 0) {
            assert_done(table, string_of(&database, line));
        }
    }
    failed += finish_case(&database, &text_case);
    buf_fini(&text_case.sql);
    buf_fini(&text_case.expected);
    end(&database);
    assert_true(cases > 20);
    assert_int_equal(failed, 0);
}

/* ---- scenarios ---- */

static uint32_t
seed_member(const struct json *json, uint32_t object, const char *name)
{
    uint32_t node = json_member(json, object, bytes_of_string(name));
    assert_true(node != 0);
    return node;
}

static void
read_seeds(struct database *database, struct json *out)
{
    struct json_error error;
    assert_true(json_parse(out, read_vectors(database, "seeds.json"), 64, &database->arena,
                           &error));
}

/* The rows of a query are those of an array in the seeds. */
static void
assert_rows(struct database *database, const char *sql, const struct json *json, uint32_t rows)
{
    struct query_result result = {0};
    struct diag_list diags = {0};
    struct buf why = {0};
    if (!run(database, bytes_of_string(sql), &result, &diags)) {
        diag_list_print(&diags, &why);
        fail_msg("%s", buf_string(&why));
    }
    struct rows_expected expected = {.json = json, .rows = rows, .tolerance = 1e-9};
    if (!rows_match(&result, &expected, &why)) {
        fail_msg("%s\n%s", sql, buf_string(&why));
    }
    query_result_fini(&result);
    buf_fini(&why);
    diag_list_fini(&diags);
}

static void
sensors_and_their_dashboard(void **state)
{
    static const char *const options[] = {"dimensions=sensor_id,status", "measures=temperature",
                                          "time=event_time", "numbers=double", NULL};
    struct database database;
    struct json json;
    begin(&database);
    read_seeds(&database, &json);
    struct table *table = add_table(&database, "raw", options);
    uint32_t seed = seed_member(&json, 0, "seed0");
    uint32_t input = seed_member(&json, seed, "input");
    for (uint32_t at = input + 1; at < json.nodes[input].next; at = json.nodes[at].next) {
        assert_done(table, string_of(&database, json_raw(&json, at)));
    }
    assert_string_equal(
            printed(&database, BYTES("SELECT count(*) AS n, count(DISTINCT measure_name) AS m, "
                                     "count(measure_value::double) AS d FROM raw")),
            "  n  m    d\n---  -  ---\n169  1  169\n(1 row)\n");
    assert_string_equal(
            printed(&database, BYTES("SELECT sensor_id, status, measure_value::double, time "
                                     "FROM raw ORDER BY time LIMIT 1")),
            "sensor_id  status  measure_value::double  time\n"
            "---------  ------  ---------------------  -----------------------------\n"
            "sensor-01  OK                       98.0  2021-10-26 09:20:20.904000000\n(1 row)\n");
    assert_string_equal(printed(&database, BYTES("SELECT status, count(*) AS total FROM raw "
                                                 "GROUP BY status ORDER BY status")),
                        "status   total\n-------  -----\nERROR       44\nOK         103\n"
                        "WARNING     22\n(3 rows)\n");
    assert_rows(&database,
                "SELECT bin(time, 30s) AS b, round(avg(measure_value::double), 2) FROM raw "
                "WHERE measure_name = 'temperature' GROUP BY bin(time, 30s) ORDER BY b DESC",
                &json, seed_member(&json, seed, "query_bin_30s_avg"));
    assert_rows(&database,
                "SELECT sensor_id, max(measure_value::double) AS m FROM raw GROUP BY sensor_id "
                "ORDER BY m DESC, sensor_id",
                &json, seed_member(&json, seed, "query_max_per_sensor_desc"));
    end(&database);
}

/* {"device_id","location","timestamp","sensors":{...}} as one flat row. */
static const char *
flat_event(struct database *database, const struct json *json, uint32_t event)
{
    struct buf out = {0};
    struct bytes sensors = json_raw(json, seed_member(json, event, "sensors"));
    buf_append_string(&out, "{\"device_id\":");
    buf_append(&out, json_raw(json, seed_member(json, event, "device_id")));
    buf_append_string(&out, ",\"location\":");
    buf_append(&out, json_raw(json, seed_member(json, event, "location")));
    buf_append_string(&out, ",\"time\":");
    buf_append(&out, json_raw(json, seed_member(json, event, "timestamp")));
    buf_append_char(&out, ',');
    buf_append(&out, bytes_slice(sensors, 1, sensors.size));
    const char *text = string_of(database, buf_bytes(&out));
    buf_fini(&out);
    return text;
}

static void
devices_trends_and_anomalies(void **state)
{
    static const char *const options[] = {"dimensions=device_id,location", "numbers=double", NULL};
    struct database database;
    struct json json;
    begin(&database);
    read_seeds(&database, &json);
    struct table *table = add_table(&database, "sensor-data", options);
    uint32_t seed = seed_member(&json, 0, "seed4");
    uint32_t input = seed_member(&json, seed, "input_lambda_events");
    for (uint32_t at = input + 1; at < json.nodes[input].next; at = json.nodes[at].next) {
        assert_done(table, flat_event(&database, &json, at));
    }
    assert_string_equal(printed(&database,
                                BYTES("SELECT count(*) AS n FROM \"iot\".\"sensor-data\"")),
                        "   n\n----\n1000\n(1 row)\n");
    assert_rows(&database,
                "SELECT device_id, bin(time, 10m) AS time_bucket, "
                "avg(measure_value::double), min(measure_value::double), "
                "max(measure_value::double) FROM \"iot\".\"sensor-data\" "
                "WHERE measure_name = 'temperature' AND time >= ago(1d) "
                "GROUP BY device_id, bin(time, 10m) ORDER BY time_bucket DESC, device_id",
                &json, seed_member(&json, seed, "query_temperature_trends_10m"));
    assert_rows(&database,
                "SELECT device_id, location, count(*) AS total, count(DISTINCT measure_name) "
                "FROM \"iot\".\"sensor-data\" GROUP BY device_id, location "
                "ORDER BY total DESC, device_id",
                &json, seed_member(&json, seed, "query_device_summary"));
    assert_rows(&database,
                "WITH stats AS (SELECT device_id, avg(measure_value::double) AS mean, "
                "  stddev(measure_value::double) AS deviation FROM \"iot\".\"sensor-data\" "
                "  WHERE measure_name = 'temperature' AND time >= ago(7d) GROUP BY device_id) "
                "SELECT s.device_id, s.time, s.measure_value::double, "
                "  abs(s.measure_value::double - stats.mean) / stats.deviation AS z "
                "FROM \"iot\".\"sensor-data\" s JOIN stats ON s.device_id = stats.device_id "
                "WHERE s.measure_name = 'temperature' AND s.time >= ago(1d) "
                "  AND abs(s.measure_value::double - stats.mean) / stats.deviation > 2 "
                "ORDER BY z DESC",
                &json, seed_member(&json, seed, "query_anomaly_z_gt_2"));
    end(&database);
}

/* ---- limits ---- */

/* A table with `rows` points, one a millisecond. */
static void
fill(struct table *table, int rows)
{
    struct buf many = {0};
    for (int i = 0; i < rows; i++) {
        buf_printf(&many, "%s{\"time\":%lld,\"id\":\"s%d\",\"v\":%d}", i == 0 ? "[" : ",",
                   1720699200000LL + i, i % 10, i);
    }
    buf_append_char(&many, ']');
    assert_done(table, buf_string(&many));
    buf_fini(&many);
}

static enum diag_class
failure_class(struct database *database, const char *sql)
{
    struct query_result result = {0};
    struct diag_list diags = {0};
    assert_false(run(database, bytes_of_string(sql), &result, &diags));
    enum diag_class class = diags.items[0].class;
    diag_list_fini(&diags);
    return class;
}

static void
limits_end_a_query_with_a_reason(void **state)
{
    struct database database;
    begin(&database);
    fill(add_table(&database, "t", NULL), 20000);
    database.limits.rows_max = 100;
    const char *text = printed(&database, BYTES("SELECT time FROM t"));
    assert_non_null(strstr(text, "more than 100 rows"));
    assert_non_null(strstr(printed(&database, BYTES("SELECT time FROM t LIMIT 100")),
                           "(100 rows)"));
    database.limits = query_limits_default;
    database.limits.bytes_max = 1000;
    assert_non_null(strstr(printed(&database, BYTES("SELECT id FROM t")), "more than 1000 bytes"));
    database.limits = query_limits_default;
    database.limits.time_ms = 200;
    assert_int_equal(failure_class(&database, "SELECT count(*) FROM t a, t b, t c"), DIAG_TIMEOUT);
    end(&database);
}

/* All rows come through the pipe, in order, whether the reader is slow, stops early or joins. */
static void
the_pipe_loses_no_row(void **state)
{
    struct database database;
    begin(&database);
    fill(add_table(&database, "t", NULL), 20000);
    assert_string_equal(
            printed(&database, BYTES("SELECT count(*) AS n, sum(measure_value::bigint) AS s, "
                                     "count(DISTINCT id) AS d FROM t")),
            "    n          s   d\n-----  ---------  --\n20000  199990000  10\n(1 row)\n");
    assert_string_equal(
            printed(&database, BYTES("SELECT measure_value::bigint AS v FROM t "
                                     "ORDER BY time DESC LIMIT 2")),
            "    v\n-----\n19999\n19998\n(2 rows)\n");
    assert_string_equal(
            printed(&database,
                    BYTES("SELECT count(*) AS n FROM t a JOIN t b ON a.time = b.time "
                          "WHERE a.time < '2024-07-11 12:00:00.050'")),
            " n\n--\n50\n(1 row)\n");
    end(&database);
}

static bool
scan_fails(void *instance, const struct table_schema *schema, const struct scan_request *request,
           scan_row_fn row, void *context, struct diag_list *diags)
{
    diag_error(diags, DIAG_CORRUPT, "the medium is scratched");
    return false;
}

static void
the_table_says_why_it_failed(void **state)
{
    struct database database;
    begin(&database);
    struct table *table = add_table(&database, "t", NULL);
    struct driver broken = *table->driver;
    const struct driver *whole = table->driver;
    broken.scan = scan_fails;
    table->driver = &broken;
    assert_string_equal(printed(&database, BYTES("SELECT * FROM t")),
                        "error: the medium is scratched\n");
    table->driver = whole;
    end(&database);
}

static void
json_keeps_numbers(void **state)
{
    struct database database;
    struct query_result result = {0};
    struct diag_list diags = {0};
    struct buf out = {0};
    begin(&database);
    assert_true(run(&database,
                    BYTES("SELECT 9223372036854775807 AS n, 1.0 AS d, 'a\"b' AS s, NULL AS x, "
                          "TIMESTAMP '2022-06-17 10:15:20' AS t, 90m AS i, false AS f"),
                    &result, &diags));
    query_print_json(&result, &out);
    assert_string_equal(buf_string(&out),
                        "[\n{\"n\":9223372036854775807,\"d\":1.0,\"s\":\"a\\\"b\",\"x\":null,"
                        "\"t\":\"2022-06-17 10:15:20.000000000\",\"i\":\"0 01:30:00.000000000\","
                        "\"f\":false}\n]\n");
    query_result_fini(&result);
    buf_fini(&out);
    end(&database);
}

/* Long chains of conditions stay flat; what is too deep is an error, not a crash. */
static void
long_queries_run(void **state)
{
    struct database database;
    begin(&database);
    struct buf sql = {0};
    buf_append_string(&sql, "SELECT count(*) AS n FROM (VALUES 1, 2) AS v(x) WHERE x = 1");
    for (int i = 0; i < 400; i++) {
        buf_printf(&sql, " OR x = %d", i + 10);
    }
    assert_string_equal(printed(&database, buf_bytes(&sql)), "n\n-\n1\n(1 row)\n");
    buf_clear(&sql);
    buf_append_string(&sql, "SELECT bin(v.t, 1m) AS b FROM (VALUES now()) AS v(t) "
                            "WHERE 0 NOT IN (1");
    for (int i = 2; i < 3000; i++) {
        buf_printf(&sql, ", %d", i);
    }
    buf_append_string(&sql, ") GROUP BY bin(v.t, 1m)");
    assert_non_null(strstr(printed(&database, buf_bytes(&sql)), "2024-07-11 13:00:00"));
    buf_clear(&sql);
    buf_append_string(&sql, "SELECT 1");
    for (int i = 0; i < 900; i++) {
        buf_append_string(&sql, " + 1");
    }
    assert_non_null(strstr(printed(&database, buf_bytes(&sql)), "nested too deep"));
    buf_fini(&sql);
    end(&database);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(cases_print_what_they_should),
            cmocka_unit_test(sensors_and_their_dashboard),
            cmocka_unit_test(devices_trends_and_anomalies),
            cmocka_unit_test(limits_end_a_query_with_a_reason),
            cmocka_unit_test(the_pipe_loses_no_row),
            cmocka_unit_test(the_table_says_why_it_failed),
            cmocka_unit_test(json_keeps_numbers),
            cmocka_unit_test(long_queries_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
