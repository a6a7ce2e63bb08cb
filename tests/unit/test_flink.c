/*
 * Stream SQL for Flink: what is printed and what is refused. That the same rows come of it:
 * tests/vectors/windows.c.
 */
#include "unit.h"

#include "export.h"

static const struct flink_options options = {.region = {"eu-central-1", 12}};

/* True: all of it could be exported. */
static bool
export(const char *text, struct buf *out, struct buf *said)
{
    struct diag_list diags = {0};
    struct ruleset *ruleset = NULL;
    if (!ruleset_load_text(&ruleset, BYTES("x.sql"), bytes_of_string(text), &diags)) {
        diag_list_print(&diags, said);
        fail_msg("%s", buf_string(said));
    }
    size_t before = diags.errors;
    export_script(ruleset, 0, &options, out, &diags);
    bool is_whole = diags.errors == before;
    diag_list_print(&diags, said);
    diag_list_fini(&diags);
    ruleset_free(ruleset);
    return is_whole;
}

static void
exports_to(const char *text, const char *expected)
{
    struct buf out = {0}, said = {0};
    assert_true(export(text, &out, &said));
    assert_string_equal(buf_string(&out), expected);
    buf_fini(&out);
    buf_fini(&said);
}

/* The rest is `expected`. */
static void
refuses(const char *text, const char *what, const char *expected)
{
    struct buf out = {0}, said = {0};
    assert_false(export(text, &out, &said));
    if (strstr(buf_string(&said), what) == NULL) {
        fail_msg("'%s' is not in %s", what, buf_string(&said));
    }
    assert_string_equal(buf_string(&out), expected);
    buf_fini(&out);
    buf_fini(&said);
}

#define OPTIONS(stream, more)                                                             \
    "WITH (\n  'connector' = 'kinesis',\n  'stream' = '" stream "',\n" more               \
    "  'aws.region' = 'eu-central-1',\n  'format' = 'json'\n);\n\n"

#define READINGS                                                                          \
    "CREATE TABLE r (id STRING, v DOUBLE, ts TIMESTAMP(3),\n"                             \
    "  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)\n"

#define FROM_TOPIC READINGS "WITH ('connector' = 'mqtt', 'topic' = 'in/+');\n"

#define EXPORTED "-- of the topic in/+: an IoT rule with the action kinesis\n" READINGS   \
                 OPTIONS("r", "")

static void
tables_become_kinesis_streams(void **state)
{
    exports_to(FROM_TOPIC, EXPORTED);
    exports_to("CREATE TABLE s (a INT) WITH ('connector' = 'stream', 'stream' = 'it''s', \n"
               "  'json.timestamp-format.standard' = 'ISO-8601', 'retention' = '1h',\n"
               "  'scan.stream.initpos' = 'TRIM_HORIZON', 'gateway.max-future' = '1 h');",
               "CREATE TABLE s (a INT) "
               OPTIONS("it''s", "  'json.timestamp-format.standard' = 'ISO-8601',\n"
                                "  'scan.stream.initpos' = 'TRIM_HORIZON',\n"));
    exports_to("CREATE TABLE k (a INT) WITH ('connector' = 'kinesis', 'aws.region' = 'x');",
               "CREATE TABLE k (a INT) WITH (\n  'connector' = 'kinesis',\n  'stream' = 'k',\n"
               "  'aws.region' = 'x',\n  'format' = 'json'\n);\n\n");
}

static void
rules_become_inserts_one_a_target(void **state)
{
    exports_to(FROM_TOPIC "CREATE TABLE k (id STRING, n BIGINT) WITH ('connector' = 'stream');\n"
                          "CREATE RULE counted WITH ('on_error' = 'errors/1') AS\n"
                          "INSERT INTO k, 'out/it' SELECT id, COUNT(*) AS n FROM r\n"
                          "GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE), id; -- every minute",
               EXPORTED "CREATE TABLE k (id STRING, n BIGINT) " OPTIONS("k", "")
               "-- rule counted\n"
               "-- on_error 'errors/1' has no counterpart: Flink ends the job\n"
               "INSERT INTO `k` SELECT id, COUNT(*) AS n FROM r\n"
               "GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE), id;\n\n"
               "-- for the topic out/it\n"
               "CREATE TABLE topic_out_it (\n  `id` STRING,\n  `n` BIGINT\n) "
               OPTIONS("topic_out_it", "")
               "INSERT INTO `topic_out_it` SELECT id, COUNT(*) AS n FROM r\n"
               "GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE), id;\n\n");
}

static void
names_that_are_words_of_flink_are_quoted(void **state)
{
    exports_to("CREATE VIEW w AS SELECT value, r.time, day AS date, CAST(day AS DATE) AS d,\n"
               "  FLOOR(time TO DAY) AS e, EXTRACT(YEAR FROM time) AS year,\n"
               "  time + INTERVAL '1' DAY AS later, SUM(value) OVER (ORDER BY time\n"
               "  ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS sum FROM r;\n"
               "SET 'table.local-time-zone' = 'Europe/Berlin';\n"
               "CREATE TABLE r (value DOUBLE, time TIMESTAMP(3), day DATE,\n"
               "  WATERMARK FOR time AS time) WITH ('connector' = 'stream');",
               "CREATE VIEW w AS SELECT `value`, r.`time`, `day` AS `date`, CAST(`day` AS DATE) "
               "AS d,\n  FLOOR(`time` TO DAY) AS e, EXTRACT(YEAR FROM `time`) AS `year`,\n"
               "  `time` + INTERVAL '1' DAY AS later, SUM(`value`) OVER (ORDER BY `time`\n"
               "  ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS `sum` FROM r;\n\n"
               "SET 'table.local-time-zone' = 'Europe/Berlin';\n\n"
               "CREATE TABLE r (`value` DOUBLE, `time` TIMESTAMP(3), `day` DATE,\n"
               "  WATERMARK FOR `time` AS `time`) " OPTIONS("r", ""));
}

static void
what_flink_cannot_do_is_refused_at_its_place(void **state)
{
    refuses(FROM_TOPIC "INSERT INTO 'x/${id}' SELECT id FROM r;",
            "x.sql:4:13: error: Flink has no topics that depend on the row", EXPORTED);
    refuses(FROM_TOPIC "INSERT INTO 'x' SELECT a FROM 'b';",
            "x.sql:4:1: error: a rule on topics is not stream SQL", EXPORTED);
    refuses(FROM_TOPIC "INSERT INTO 'x' SELECT UCASE(id) AS id FROM r;",
            "x.sql:4:24: error: Flink has no function UCASE", EXPORTED);
    refuses("CREATE TABLE t WITH ('connector' = 'timeseries');",
            "x.sql:1:22: error: Flink has no connector 'timeseries' that fits", "");
    refuses("CREATE TABLE t (a INT, q INT METADATA FROM 'qos') WITH ('connector' = 'mqtt',\n"
            "'topic' = 'a');", "x.sql:1:24: error: a Kinesis stream does not tell 'qos'", "");
    refuses("CREATE TABLE t (a INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) PARTITIONED BY (a)\n"
            "WITH ('connector' = 'stream', 'gateway.watermark-scope' = 'key');",
            "x.sql:2:31: error: Flink has one watermark for all keys of a stream", "");
    refuses("CREATE OR REPLACE STREAM \"S\" (a INTEGER);",
            "error: Flink has no in-application streams", "");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(tables_become_kinesis_streams),
            cmocka_unit_test(rules_become_inserts_one_a_target),
            cmocka_unit_test(names_that_are_words_of_flink_are_quoted),
            cmocka_unit_test(what_flink_cannot_do_is_refused_at_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
