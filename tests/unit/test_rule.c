#include "unit.h"

#include "base/buf.h"
#include "rules/error_action.h"
#include "rules/rule.h"

#include <stdio.h>
#include <time.h>

/* ---- files ---- */

/* The file, which must be right and without warnings. */
static struct rule_file *
load(const char *text)
{
    struct diag_list diags = {0};
    struct rule_file *file = NULL;
    bool ok = rule_file_parse(&file, BYTES("etc/rules.d/hot.sql"), bytes_of_string(text), &diags);
    if (!ok || diags.count > 0) {
        struct buf out = {0};
        diag_list_print(&diags, &out);
        fail_msg("%s", buf_string(&out));
    }
    diag_list_fini(&diags);
    return file;
}

/* What people see of a file with errors or warnings. */
static char *
complaints(struct bytes text, bool expected)
{
    struct diag_list diags = {0};
    struct rule_file *file = NULL;
    struct buf out = {0};
    assert_int_equal(rule_file_parse(&file, BYTES("hot.sql"), text, &diags), expected);
    assert_int_equal(diags.errors == 0, expected);
    diag_list_print(&diags, &out);
    diag_list_fini(&diags);
    rule_file_free(file);
    return buf_take_string(&out);
}

static void
assert_complaints(const char *text, bool ok, const char *expected)
{
    char *actual = complaints(bytes_of_string(text), ok);
    if (strcmp(actual, expected) != 0) {
        fail_msg("%s\ngives\n%s\nexpected\n%s", text, actual, expected);
    }
    free(actual);
}

static void
a_file_says_what_its_rules_are(void **state)
{
    struct rule_file *file = load(
            "-- hot sensors\n"
            "INSERT INTO 'alerts/${topic(2)}', readings\n"
            "SELECT sensor_id, timestamp() AS time FROM 'sensors/+/data' WHERE temperature > 60;\n"
            "CREATE RULE named WITH ('on_error' = 'dead_letters', 'x' = 'it''s') AS\n"
            "INSERT INTO readings SELECT * FROM enrich;\n"
            "/* third */ INSERT INTO 'copy' SELECT * FROM '#'");
    assert_int_equal(file->rule_count, 3);
    const struct rule_info *hot = rule_info(file->rules[0]);
    assert_bytes(hot->name, "hot");
    assert_int_equal(hot->source_kind, RULE_SOURCE_TOPIC);
    assert_bytes(hot->source, "sensors/+/data");
    assert_int_equal(hot->source_place.line, 3);
    assert_int_equal(hot->source_place.column, 44);
    assert_int_equal(hot->target_count, 2);
    assert_int_equal(hot->targets[0].kind, RULE_TARGET_TOPIC);
    assert_bytes(hot->targets[0].text, "alerts/${topic(2)}");
    assert_int_equal(hot->targets[1].kind, RULE_TARGET_RELATION);
    assert_bytes(hot->targets[1].text, "readings");
    assert_int_equal(hot->targets[1].place.column, 35);
    assert_true(bytes_starts_with(hot->text, BYTES("INSERT INTO 'alerts")));
    assert_true(bytes_ends_with(hot->text, BYTES("> 60;")));
    const struct rule_info *named = rule_info(file->rules[1]);
    assert_bytes(named->name, "named");
    assert_int_equal(named->source_kind, RULE_SOURCE_RELATION);
    assert_bytes(named->source, "enrich");
    assert_int_equal(named->option_count, 2);
    assert_bytes(named->options[0].name, "on_error");
    assert_bytes(named->options[1].value, "it's");
    assert_int_equal(named->options[1].place.line, 4);
    assert_bytes(rule_info(file->rules[2])->name, "hot.2");
    rule_file_free(file);
    rule_file_free(NULL);
}

static void
a_file_declares_tables_and_functions(void **state)
{
    struct rule_file *file = load(
            "CREATE TABLE readings WITH ('connector' = 'timeseries', 'memory.retention' = '24h');\n"
            "CREATE TABLE IF NOT EXISTS sensor_data (\n"
            "  sensor_id INTEGER, `current` double NOT NULL,\n"
            "  status varchar ( 6 ), event_time TIMESTAMP(3), upper_status AS upper(status),\n"
            "  WATERMARK FOR event_time AS event_time - INTERVAL '5' SECOND)\n"
            "  PARTITIONED BY (sensor_id) WITH ('connector' = 'mqtt');\n"
            "CREATE FUNCTION enrich AS 'enrich.c' LANGUAGE C WITH ('timeout' = '3s');");
    assert_int_equal(file->relation_count, 3);
    const struct rule_relation *readings = &file->relations[0];
    assert_int_equal(readings->kind, RULE_TABLE);
    assert_bytes(readings->name, "readings");
    assert_bytes(readings->connector, "timeseries");
    assert_int_equal(readings->option_count, 1);
    assert_bytes(readings->options[0].name, "memory.retention");
    assert_int_equal(readings->place.line, 1);
    assert_int_equal(readings->place.column, 14);
    const struct rule_relation *data = &file->relations[1];
    assert_int_equal(data->column_count, 4); /* computed ones are not stored */
    assert_bytes(data->columns[1].name, "current");
    assert_bytes(data->columns[1].type, "DOUBLE");
    assert_bytes(data->columns[2].type, "VARCHAR(6)");
    assert_bytes(data->columns[4].type, "");
    const struct rule_relation *enrich = &file->relations[2];
    assert_int_equal(enrich->kind, RULE_FUNCTION);
    assert_bytes(enrich->source, "enrich.c");
    assert_bytes(enrich->connector, "handler");
    assert_bytes(enrich->options[0].value, "3s");
    rule_file_free(file);
}

static void
all_errors_of_a_file_are_told(void **state)
{
    assert_complaints(
            "INSERT INTO 'a' SELCT b FROM 't';\n"
            "INSERT INTO 'a' SELECT uper(b) AS x, lowr(c) AS y FROM 'a/#/b';\n"
            "INSERT INTO 'a' SELECT b FORM 't';\n"
            "INSRT INTO 'a' SELECT b FROM 't';\n"
            "CREATE TABLE t WITH ('x' = 'y')",
            false,
            "hot.sql:1:17: error: found 'SELCT', expected ',' or SELECT\n"
            "  INSERT INTO 'a' SELCT b FROM 't';\n"
            "                  ^~~~~\n"
            "  hint: did you mean 'SELECT'?\n"
            "hot.sql:2:56: error: '#' must be the last level\n"
            "  INSERT INTO 'a' SELECT uper(b) AS x, lowr(c) AS y FROM 'a/#/b';\n"
            "                                                         ^~~~~~~\n"
            "hot.sql:2:24: error: unknown function 'uper'\n"
            "  INSERT INTO 'a' SELECT uper(b) AS x, lowr(c) AS y FROM 'a/#/b';\n"
            "                         ^~~~\n"
            "  hint: did you mean 'upper'?\n"
            "hot.sql:2:38: error: unknown function 'lowr'\n"
            "  INSERT INTO 'a' SELECT uper(b) AS x, lowr(c) AS y FROM 'a/#/b';\n"
            "                                       ^~~~\n"
            "  hint: did you mean 'lower'?\n"
            "hot.sql:3:26: error: found 'FORM', expected ',', AS or FROM\n"
            "  INSERT INTO 'a' SELECT b FORM 't';\n"
            "                           ^~~~\n"
            "  hint: did you mean 'FROM'?\n"
            "hot.sql:4:1: error: found 'INSRT', expected INSERT INTO or CREATE\n"
            "  INSRT INTO 'a' SELECT b FROM 't';\n"
            "  ^~~~~\n"
            "  hint: did you mean 'INSERT'?\n"
            "hot.sql:5:14: error: table 't' has no 'connector'\n"
            "  CREATE TABLE t WITH ('x' = 'y')\n"
            "               ^\n"
            "  hint: WITH ('connector' = 'timeseries', ...)\n");
}

static void
mistakes_are_met_with_advice(void **state)
{
    assert_complaints("SELECT a FROM 't'", false,
                      "hot.sql:1:1: error: found 'SELECT', expected INSERT INTO or CREATE\n"
                      "  SELECT a FROM 't'\n"
                      "  ^~~~~~\n"
                      "  hint: a rule says where its rows go: INSERT INTO 'topic' SELECT ...\n");
    assert_complaints("INSERT INTO 'a/+' SELECT a FROM 't'", false,
                      "hot.sql:1:13: error: nobody can publish to this topic\n"
                      "  INSERT INTO 'a/+' SELECT a FROM 't'\n"
                      "              ^~~~~\n"
                      "  hint: a topic is not empty and has no '+' and '#'; ${topic(2)} takes a "
                      "level from the message's topic\n");
    assert_complaints("CREATE RULE r WITH ('on_error' = 'e/#') AS INSERT INTO 'a' SELECT a FROM 't'",
                      false,
                      "hot.sql:1:34: error: nobody can publish to this topic\n"
                      "  CREATE RULE r WITH ('on_error' = 'e/#') AS INSERT INTO 'a' SELECT a FROM "
                      "'t'\n"
                      "                                   ^~~~~\n"
                      "  hint: a topic is not empty and has no '+' and '#'; ${topic(2)} takes a "
                      "level from the message's topic\n");
    assert_complaints("INSERT INTO 'a/${uper(b)}' SELECT a FROM 't'", false,
                      "hot.sql:1:18: error: unknown function 'uper'\n"
                      "  INSERT INTO 'a/${uper(b)}' SELECT a FROM 't'\n"
                      "                   ^~~~\n"
                      "  hint: did you mean 'upper'?\n");
    assert_complaints("INSERT INTO 'a/${uper(''b'')}' SELECT a FROM 't'", false,
                      "hot.sql:1:13: error: in the template: unknown function 'uper'\n"
                      "  INSERT INTO 'a/${uper(''b'')}' SELECT a FROM 't'\n"
                      "              ^~~~~~~~~~~~~~~~~~\n"
                      "  hint: did you mean 'upper'?\n");
    assert_complaints("INSERT INTO 'a' SELECT cast(a AS Strng) AS b FROM 't'", false,
                      "hot.sql:1:34: error: cannot cast to 'STRNG'\n"
                      "  INSERT INTO 'a' SELECT cast(a AS Strng) AS b FROM 't'\n"
                      "                                   ^~~~~\n"
                      "  hint: did you mean 'STRING'?\n");
    assert_complaints("INSERT INTO 'a' SELECT a FROM 't' GROUP BY a", false,
                      "hot.sql:1:35: error: found 'GROUP', expected WHERE or ';'\n"
                      "  INSERT INTO 'a' SELECT a FROM 't' GROUP BY a\n"
                      "                                    ^~~~~\n"
                      "  hint: a rule sees one message at a time: there is nothing to group, order "
                      "or limit\n");
    assert_complaints("INSERT INTO 'a' SET @x = 1, @x = 2 SELECT @y AS a FROM 't'", false,
                      "hot.sql:1:29: error: '@x' is set twice\n"
                      "  INSERT INTO 'a' SET @x = 1, @x = 2 SELECT @y AS a FROM 't'\n"
                      "                              ^~~~~~\n"
                      "hot.sql:1:43: error: variable '@y' is not set before\n"
                      "  INSERT INTO 'a' SET @x = 1, @x = 2 SELECT @y AS a FROM 't'\n"
                      "                                            ^~\n"
                      "  hint: did you mean '@x'?\n");
    assert_complaints("INSERT INTO 'a' SELECT b.c, abs() AS d FROM 't'", true,
                      "hot.sql:1:24: warning: this member will be called 'c'\n"
                      "  INSERT INTO 'a' SELECT b.c, abs() AS d FROM 't'\n"
                      "                         ^~~\n"
                      "  hint: AS gives it a name of your choice\n"
                      "hot.sql:1:29: warning: 'abs' with 0 arguments is always Undefined\n"
                      "  INSERT INTO 'a' SELECT b.c, abs() AS d FROM 't'\n"
                      "                              ^~~~~\n"
                      "  hint: it takes 1\n");
    struct buf wide = {0};
    buf_append_string(&wide, "INSERT INTO 'a' SELECT a AS x0");
    for (int i = 1; i <= 1000; i++) {
        buf_printf(&wide, ", a AS x%d", i);
    }
    buf_append_string(&wide, " FROM 't'");
    char *message = complaints(buf_bytes(&wide), false);
    assert_non_null(strstr(message, "SELECT takes at most 1000 items"));
    free(message);
    buf_fini(&wide);
    assert_complaints("CREATE RULE r AS INSERT INTO 'a' SELECT * FROM 't';"
                      "CREATE RULE r AS INSERT INTO 'b' SELECT * FROM 't';", false,
                      "hot.sql:1:64: error: there are two rules named 'r'\n"
                      "  CREATE RULE r AS INSERT INTO 'a' SELECT * FROM 't';CREATE RULE r AS "
                      "INSERT INTO 'b' SELECT * FROM 't';\n"
                      "                                                                 ^\n");
}

static double
seconds_to_complain(struct bytes text)
{
    clock_t start = clock();
    free(complaints(text, false));
    return (double)(clock() - start) / CLOCKS_PER_SEC;
}

static void
hostile_texts_take_bounded_time(void **state)
{
    static const char *const parts[] = {"(", "a,", "x;", "'", "\"a\" ", "1+", "#", "/*", "@",
                                        "INSERT INTO 'a' SELECT f(b) FROM 't';\n", "CASE ", "[",
                                        "\n",
                                        "INSERT INTO 'a/${f(1)}' SELECT b FROM 't';\n",
                                        "b.c FROM 't'; INSERT INTO 'a' SELECT ", "f(1),",
                                        "(SELECT ", "a AS b.c.d,"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        struct buf text = {0};
        buf_append_string(&text, "INSERT INTO 'a' SELECT ");
        while (text.size < 256 * 1024) {
            buf_append_string(&text, parts[i]);
        }
        double seconds = seconds_to_complain(buf_bytes(&text));
        if (seconds > 5) { /* under a sanitizer; far less without */
            fail_msg("256 KiB of '%s' takes %.1f s", parts[i], seconds);
        }
        buf_fini(&text);
    }
    struct buf text = {0};
    memset(buf_reserve(&text, 5 << 20), ' ', 5 << 20);
    text.size = 5 << 20;
    char *message = complaints(buf_bytes(&text), false);
    assert_string_equal(message, "hot.sql: error: the text is longer than 4 MiB\n");
    free(message);
    buf_fini(&text);
    message = complaints(BYTES("INSERT \xff"), false);
    assert_string_equal(message, "hot.sql: error: the text is not UTF-8\n");
    free(message);
}

/* ---- running ---- */

/* Runs `INSERT INTO <target> <query>` and shows the verdict, payload and first target. */
static char *
ran(const char *target, const char *query, struct bytes topic, struct bytes payload)
{
    struct buf out = {0};
    struct diag_list diags = {0};
    struct rule_file *file;
    buf_printf(&out, "INSERT INTO %s %s", target, query);
    if (!rule_file_parse(&file, BYTES("hot.sql"), buf_bytes(&out), &diags)) {
        fail_msg("%s: %.*s", query, BYTES_ARG(diag_first_error(&diags)));
    }
    struct arena arena = {0};
    char *copy = bytes_to_string(payload);
    struct rule_message message = {
            .arena = &arena, .topic = topic, .payload = bytes_of(copy, payload.size),
            .time_us = INT64_C(1500000000123456), .seed = 1};
    struct rule_row row;
    static const char *const names[] = {"matched", "filtered", "undefined", "nothing", "failed"};
    enum rule_verdict verdict = rule_run(file->rules[0], &message, &row);
    buf_clear(&out);
    buf_append_string(&out, names[verdict]);
    if (verdict == RULE_MATCHED) {
        const struct rule_output *output = &row.outputs[0];
        bool has_failed = output->failure.size > 0;
        buf_printf(&out, " %.*s -> %s%.*s%s", BYTES_ARG(row.payload), has_failed ? "failure: " : "",
                   BYTES_ARG(has_failed ? output->failure : output->text),
                   row.payload_is_json ? "" : " (raw)");
    } else if (verdict == RULE_FAILED) {
        buf_printf(&out, ": %s", row.reason);
    }
    arena_fini(&arena);
    rule_file_free(file);
    diag_list_fini(&diags);
    free(copy);
    return buf_take_string(&out);
}

static void
assert_ran(const char *query, const char *payload, const char *expected)
{
    char *actual = ran("out", query, BYTES("a/b/c"), bytes_of_string(payload));
    if (strcmp(actual, expected) != 0) {
        fail_msg("%s\non %s gives\n%s\nexpected\n%s", query, payload, actual, expected);
    }
    free(actual);
}

static void
what_is_not_touched_stays_byte_for_byte(void **state)
{
    const char *payload = " {\"b\": 10.0, \"a\":[ 1e2 ,2], \"id\":1234567890123456789, "
                          "\"s\":\"\\u00e9\\/\", \"b\":1.50 }\n";
    assert_ran("SELECT * FROM 't'", payload,
               "matched  {\"b\": 10.0, \"a\":[ 1e2 ,2], \"id\":1234567890123456789, "
               "\"s\":\"\\u00e9\\/\", \"b\":1.50 }\n -> out");
    assert_ran("SELECT *, 1 AS x FROM 't'", payload,
               "matched {\"b\": 10.0, \"a\":[ 1e2 ,2], \"id\":1234567890123456789, "
               "\"s\":\"\\u00e9\\/\", \"b\":1.50,\"x\":1} -> out");
    assert_ran("SELECT *, 1 AS a FROM 't'", payload,
               "matched {\"b\":10.0,\"a\":1,\"id\":1234567890123456789,"
               "\"s\":\"\\u00e9\\/\",\"b\":1.50} -> out");
    assert_ran("SELECT *, b AS a FROM 't'", "{\"a\":1.0,\"b\":72.0}",
               "matched {\"a\":72,\"b\":72.0} -> out");
    assert_ran("SELECT *, missing AS a FROM 't'", "{\"a\":10.0}", "matched {\"a\":10.0} -> out");
    assert_ran("SELECT 1 AS a, * FROM 't'", "{\"z\":0.0,\"a\":10.0}",
               "matched {\"a\":10.0,\"z\":0.0} -> out");
    assert_ran("SELECT a, s AS t, id FROM 't'", payload,
               "matched {\"a\":[ 1e2 ,2],\"t\":\"\\u00e9\\/\",\"id\":1234567890123456789} -> out");
    assert_ran("SELECT *, 1 AS x FROM 't'", "{ }", "matched {\"x\":1} -> out");
    assert_ran("SELECT * AS m FROM 't'", "{ \"a\": 1 }", "matched {\"m\":{ \"a\": 1 }} -> out");
}

static void
numbers_survive(void **state)
{
    const char *payload = "{\"w\":72.0,\"d\":72.50,\"e\":1E3,\"big\":"
                          "12345678901234567890123456789012345678,"
                          "\"n\":-0.0,\"id\":9223372036854775807}";
    assert_ran("SELECT w, d, e, big FROM 't'", payload,
               "matched {\"w\":72,\"d\":72.50,\"e\":1000,"
               "\"big\":12345678901234567890123456789012345678} -> out");
    assert_ran("SELECT id + 1 AS next, d + 1 AS f, 0.1 + 0.2 AS s, 1 / 3 AS q FROM 't'", payload,
               "matched {\"next\":9223372036854775808,\"f\":73.5,\"s\":0.3,"
               "\"q\":0.3333333333333333333333333333333333} -> out");
    assert_ran("SELECT id * id AS i, 1E30 AS j, n AS z FROM 't'", payload,
               "matched {\"i\":8.50705917302346158473969077842325E+37,"
               "\"j\":1000000000000000000000000000000,\"z\":0} -> out");
}

static void
rows_are_built_from_aliases(void **state)
{
    assert_ran("SELECT a AS x.y, b AS x.z, c AS q FROM 't'", "{\"a\":1,\"b\":2,\"c\":3}",
               "matched {\"x\":{\"y\":1,\"z\":2},\"q\":3} -> out");
    assert_ran("SELECT a AS x.y, m AS x.z FROM 't'", "{\"a\":1}",
               "matched {\"x\":{\"y\":1}} -> out");
    assert_ran("SELECT m AS x.y, n AS x.z, a FROM 't'", "{\"a\":1}", "matched {\"a\":1} -> out");
    assert_ran("SELECT *, a AS o.p.q FROM 't'", "{\"a\":1}",
               "matched {\"a\":1,\"o\":{\"p\":{\"q\":1}}} -> out");
    assert_ran("SELECT *, a AS o.p FROM 't'", "{\"a\":1,\"o\":5}",
               "matched {\"a\":1,\"o\":{\"p\":1}} -> out");
    assert_ran("SELECT o.*, a FROM 't'", "{\"a\":1,\"o\":{\"x\":1.0,\"a\":2}}",
               "matched {\"x\":1.0,\"a\":1} -> out");
    assert_ran("SELECT a AS \"x y\" FROM t", "{\"a\":1}", "matched {\"x y\":1} -> out");
    assert_ran("SELECT missing FROM 't'", "{\"a\":1}", "matched {} -> out");
    assert_ran("SELECT VALUE a FROM 't'", "{\"a\":\"red\"}", "matched \"red\" -> out");
    assert_ran("SELECT VALUE b FROM 't'", "{\"a\":\"red\"}", "nothing");
    assert_ran("SELECT [a, b, 1] AS l, {'k': b, 'v': a} AS o FROM 't'", "{\"a\":null}",
               "matched {\"l\":[null,1],\"o\":{\"v\":null}} -> out");
}

static void
where_tells_false_from_undefined(void **state)
{
    assert_ran("SELECT a FROM 't' WHERE a > 1", "{\"a\":2}", "matched {\"a\":2} -> out");
    assert_ran("SELECT a FROM 't' WHERE a > 2", "{\"a\":2}", "filtered");
    assert_ran("SELECT a FROM 't' WHERE b > 2", "{\"a\":2}", "undefined");
    assert_ran("SELECT a FROM 't' WHERE a", "{\"a\":2}", "undefined");
    assert_ran("SELECT a FROM 't' WHERE a", "{\"a\":\"True\"}", "matched {\"a\":\"True\"} -> out");
    assert_ran("SELECT a FROM 't' WHERE a = 2 OR b = 3", "{\"a\":2}", "matched {\"a\":2} -> out");
    assert_ran("SELECT a FROM 't' WHERE b = 3 OR a = 2", "{\"a\":2}", "undefined");
    assert_ran("SELECT a FROM 't' WHERE a = 3 AND b = 3", "{\"a\":2}", "filtered");
}

static void
payloads_that_are_not_json(void **state)
{
    assert_ran("SELECT * FROM 't'", "plain", "matched plain -> out (raw)");
    assert_ran("SELECT * FROM 't'", "5", "matched 5 -> out (raw)");
    assert_ran("SELECT * FROM 't'", "", "matched  -> out (raw)");
    assert_ran("SELECT a FROM 't'", "plain", "matched {} -> out");
    assert_ran("SELECT a FROM 't' WHERE a = 1", "plain", "undefined");
    assert_ran("SELECT *, 1 AS x FROM 't'", "", "matched {\"x\":1} -> out");
    assert_ran("SELECT *, 1 AS x FROM 't'", "plain",
               "failed: SELECT *, ... needs a payload that is a JSON object");
    assert_ran("SELECT *, 1 AS x FROM 't'", "[1]",
               "failed: SELECT *, ... needs a payload that is a JSON object");
    assert_ran("SELECT * AS data, encode(*, 'base64') AS e FROM 't'", "plain",
               "matched {\"data\":\"cGxhaW4=\",\"e\":\"cGxhaW4=\"} -> out");
    assert_ran("SELECT get(*, 1) AS second FROM 't'", "[1, 2]", "matched {\"second\":2} -> out");
    assert_ran("SELECT decode(a, 'base64') AS d FROM 't'", "{\"a\":\"/w==\"}",
               "matched {\"d\":null} -> out");
    assert_ran("SELECT concat(*, 'x') AS d FROM 't'", "plain", "matched {} -> out");
}

static void
patterns_are_bounded_and_groups_are_javas(void **state)
{
    assert_ran("SELECT regexp_replace('abc', '(a)(b)', '[$12$0\\$]') AS r FROM 't'", "{}",
               "matched {\"r\":\"[a2ab$]c\"} -> out");
    assert_ran("SELECT regexp_replace('abc', 'b*', '-') AS r FROM 't'", "{}",
               "matched {\"r\":\"-a--c-\"} -> out");
    assert_ran("SELECT regexp_replace('abc', 'b', '$1') AS r, 1 AS k FROM 't'", "{}",
               "matched {\"k\":1} -> out");
    assert_ran("SELECT regexp_matches(a, '^(a|aa)+$') AS slow, regexp_matches(a, p) AS m FROM 't'",
               "{\"a\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\",\"p\":\"b$\"}",
               "matched {\"m\":true} -> out");
}

static void
targets_are_filled_in(void **state)
{
    static const struct {
        const char *target;
        const char *expected;
    } cases[] = {
            {"'x/${topic(2)}/${n}'", "matched {} -> x/b/7"},
            {"'${concat(\"a\", \"}\")}'", "matched {} -> a}"},
            {"'${replace(topic(), ''/'', ''-'')}'", "matched {} -> a-b-c"},
            {"'x/${missing}'", "matched {} -> x/"},
            {"'${missing}'", "matched {} -> failure: the target topic is empty or holds a "
                            "wildcard"},
            {"'x/${plus}'", "matched {} -> failure: the target topic is empty or holds a "
                            "wildcard"},
            {"'$$aws/things/x'", "matched {} -> $aws/things/x"},
            {"'$aws/things/${n}'", "matched {} -> $aws/things/7"},
            {"'a$b/${{\"k\": n}.k}'", "matched {} -> a$b/7"},
            {"'${timestamp()}'", "matched {} -> 1500000000123"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *actual = ran(cases[i].target, "SELECT missing FROM 't'", BYTES("a/b/c"),
                           BYTES("{\"n\":7.0,\"plus\":\"+\"}"));
        assert_string_equal(actual, cases[i].expected);
        free(actual);
    }
}

static const char DOCUMENTED_ERROR[] =
        "{\"ruleName\":\"hot\",\"topic\":\"a/7\",\"cloudwatchTraceId\":\"7e14\","
        "\"clientId\":\"c1\",\"base64OriginalPayload\":\"eyJhIjoxfQ==\","
        "\"failures\":[{\"failedAction\":\"S3Action\",\"failedResource\":\"bucket\","
        "\"errorMessage\":\"gone\"},{\"failedAction\":\"HttpAction\","
        "\"failedResource\":\"http://x\",\"errorMessage\":\"\xEF\xBF\xBD \"}]}";

static void
an_error_action_sees_the_original_message(void **state)
{
    struct rule_file *file = load(
            "CREATE RULE hot WITH ('on_error' = 'errors/${topic(2)}/${@b}') AS "
            "INSERT INTO 'out' SET @b = a + 1 SELECT a AS gone FROM 'a/+';"
            "CREATE RULE t WITH ('on_error' = 'dead_2') AS INSERT INTO 'out' SELECT * FROM 'a';"
            "CREATE RULE u WITH ('on_error' = '${a}') AS INSERT INTO 'out' SELECT * FROM 'a';"
            "CREATE RULE w AS INSERT INTO 'out' SELECT * FROM 'a';");
    struct arena arena = {0};
    const struct rule_origin origin = {.client_id = BYTES("c1"), .trace_id = BYTES("7e14")};
    struct rule_message message = {.arena = &arena, .topic = BYTES("a/7"),
                                   .payload = BYTES("{\"a\":1}"), .origin = &origin};
    const struct rule_failure failures[] = {
            {BYTES("S3Action"), BYTES("bucket"), BYTES("gone")},
            {BYTES("HttpAction"), BYTES("http://x"), BYTES("\xff ")}};
    struct rule_row row;
    rule_run_error(file->rules[0], &message, failures, 2, &row);
    assert_int_equal(row.output_count, 1);
    assert_bytes(row.outputs[0].text, "errors/7/2");
    assert_bytes(row.outputs[0].payload, DOCUMENTED_ERROR);
    assert_true(row.outputs[0].payload_is_json);
    message.origin = NULL;
    rule_run_error(file->rules[1], &message, failures, 0, &row);
    assert_bytes(row.outputs[0].text, "dead_2");
    assert_bytes(row.payload, "{\"ruleName\":\"t\",\"topic\":\"a/7\",\"cloudwatchTraceId\":\"\","
                              "\"clientId\":\"n/a\",\"base64OriginalPayload\":\"eyJhIjoxfQ==\","
                              "\"failures\":[]}");
    message.payload = BYTES("{\"a\":\"+\"}");
    message.parsed = NULL;
    rule_run_error(file->rules[2], &message, failures, 0, &row);
    assert_bytes(row.outputs[0].failure, "the target topic is empty or holds a wildcard");
    const struct rule_target *target = &rule_info(file->rules[1])->error_targets[0];
    assert_int_equal(target->kind, RULE_TARGET_RELATION);
    assert_bytes(error_action_class(target, BYTES("timeseries")), "TimestreamAction");
    assert_bytes(error_action_class(target, BYTES("handler")), "LambdaAction");
    assert_bytes(error_action_class(target, BYTES("topic")), "RepublishAction");
    assert_bytes(error_action_class(target, BYTES("console")), "console");
    assert_int_equal(rule_info(file->rules[3])->error_target_count, 0);
    arena_fini(&arena);
    rule_file_free(file);
}

static void
one_message_serves_many_rules(void **state)
{
    struct rule_file *file = load(
            "INSERT INTO 'a' SELECT a, rand() AS r, newuuid() AS u FROM '#';"
            "INSERT INTO 'b' SELECT a, rand() AS r, newuuid() AS u FROM '#';");
    struct arena arena = {0};
    struct rule_message message = {.arena = &arena, .topic = BYTES("t"),
                                   .payload = BYTES("{\"a\":1}"), .seed = 99};
    struct rule_row first, second, again;
    assert_int_equal(rule_run(file->rules[0], &message, &first), RULE_MATCHED);
    struct rule_payload *parsed = message.parsed;
    assert_non_null(parsed);
    assert_int_equal(rule_run(file->rules[1], &message, &second), RULE_MATCHED);
    assert_int_equal(rule_run(file->rules[0], &message, &again), RULE_MATCHED);
    assert_ptr_equal(message.parsed, parsed);
    assert_true(bytes_equal(first.payload, again.payload));
    assert_false(bytes_equal(first.payload, second.payload)); /* each rule draws its own */
    const char *reason;
    assert_true(rule_message_is_json(&message, &reason));
    arena_fini(&arena);
    struct rule_message whole = {.arena = &arena, .payload = BYTES("{\"a\":1")};
    assert_false(rule_message_is_json(&whole, &reason));
    assert_string_equal(reason, "unexpected end");
    arena_fini(&arena);
    rule_file_free(file);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_file_says_what_its_rules_are),
            cmocka_unit_test(a_file_declares_tables_and_functions),
            cmocka_unit_test(all_errors_of_a_file_are_told),
            cmocka_unit_test(mistakes_are_met_with_advice),
            cmocka_unit_test(hostile_texts_take_bounded_time),
            cmocka_unit_test(what_is_not_touched_stays_byte_for_byte),
            cmocka_unit_test(numbers_survive),
            cmocka_unit_test(rows_are_built_from_aliases),
            cmocka_unit_test(where_tells_false_from_undefined),
            cmocka_unit_test(payloads_that_are_not_json),
            cmocka_unit_test(patterns_are_bounded_and_groups_are_javas),
            cmocka_unit_test(targets_are_filled_in),
            cmocka_unit_test(an_error_action_sees_the_original_message),
            cmocka_unit_test(one_message_serves_many_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
