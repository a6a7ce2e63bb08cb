/*
 * What actions make of a row: texts, params, payloads, failures. Also that the manual names them
 * all. Reading of documents is in test_document.c.
 */
#include "unit.h"

#include "base/buf.h"
#include "rules/action.h"
#include "rules/error_action.h"

#include <stdio.h>

struct fixture {
    struct arena arena;
    struct rule_file *file;
    struct rule_row row;
};

static const char default_payload[] =
        "{\"id\":\"s7\",\"v\":21.5,\"n\":3,\"on\":true,\"none\":null,\"timestamp\":17}";

/* Runs SQL with one action on a message. */
static void
run_sql(struct fixture *fixture, const char *sql, const char *action, struct bytes payload)
{
    struct buf text = {0};
    struct diag_list diags = {0};
    *fixture = (struct fixture){0};
    buf_append_string(&text, "{\"sql\":");
    json_write_string(&text, bytes_of_string(sql));
    buf_printf(&text, ",\"awsIotSqlVersion\":\"2016-03-23\",\"actions\":[%s]}", action);
    if (!rule_document_parse(&fixture->file, BYTES("a.json"), buf_bytes(&text), &diags)) {
        struct buf out = {0};
        diag_list_print(&diags, &out);
        fail_msg("%s", buf_string(&out));
    }
    struct rule_message message = {.arena = &fixture->arena,
                                   .topic = BYTES("sensors/7/data"),
                                   .payload = payload,
                                   .time_us = INT64_C(1700000000123456)};
    assert_int_equal(rule_run(fixture->file->rules[0], &message, &fixture->row), RULE_MATCHED);
    buf_fini(&text);
    diag_list_fini(&diags);
}

static void
run(struct fixture *fixture, const char *action)
{
    run_sql(fixture, "SELECT * FROM 'sensors/+/data'", action, bytes_of_string(default_payload));
}

static void
tear_down(struct fixture *fixture)
{
    arena_fini(&fixture->arena);
    rule_file_free(fixture->file);
}

/* One output with these texts; NULL stands for the row. */
static void
assert_output(const char *action, const char *text, const char *params, const char *payload)
{
    struct fixture fixture;
    run(&fixture, action);
    assert_int_equal(fixture.row.output_count, 1);
    assert_bytes(fixture.row.outputs[0].failure, "");
    assert_bytes(fixture.row.outputs[0].text, text);
    assert_bytes(fixture.row.outputs[0].params, params);
    assert_bytes(fixture.row.outputs[0].payload, payload == NULL ? default_payload : payload);
    tear_down(&fixture);
}

static void
assert_failure_of(const char *sql, const char *action, struct bytes payload, const char *failure)
{
    struct fixture fixture;
    run_sql(&fixture, sql, action, payload);
    assert_int_equal(fixture.row.output_count, 1);
    char *actual = bytes_to_string(fixture.row.outputs[0].failure);
    if (strstr(actual, failure) == NULL) {
        fail_msg("%s\ngives '%s' instead of '%s'", action, actual, failure);
    }
    free(actual);
    tear_down(&fixture);
}

static void
assert_failure(const char *action, const char *failure)
{
    assert_failure_of("SELECT * FROM '#'", action, bytes_of_string(default_payload), failure);
}

static void
republish_fills_in_topic_and_headers(void **state)
{
    assert_output("{\"republish\":{\"topic\":\"alerts/${topic(2)}\"}}", "alerts/7", "", NULL);
    assert_output("{\"republish\":{\"topic\":\"$$aws/things/${id}/shadow/update\",\"qos\":0}}",
                  "$aws/things/s7/shadow/update", "{\"qos\":0}", NULL);
    assert_output("{\"republish\":{\"roleArn\":\"r\",\"topic\":\"a\",\"qos\":1,\"headers\":{"
                  "\"payloadFormatIndicator\":\"UTF8_DATA\",\"contentType\":\"${missing}\","
                  "\"correlationData\":\"${encode(id, 'base64')}\",\"messageExpiry\":\"${n}\","
                  "\"userProperties\":[{\"key\":\"a\",\"value\":\"${v}\"},"
                  "{\"key\":\"b\",\"value\":\"${missing}\"}]}}}",
                  "a",
                  "{\"qos\":1,\"headers\":{\"payloadFormatIndicator\":\"UTF8_DATA\","
                  "\"correlationData\":\"czc=\",\"messageExpiry\":\"3\",\"userProperties\":["
                  "{\"key\":\"a\",\"value\":\"21.5\"},{\"key\":\"b\",\"value\":\"\"}]}}",
                  NULL);
    assert_output("{\"republish\":{\"topic\":\"a\",\"headers\":{\"contentType\":\"${missing}\"}}}",
                  "a", "", NULL);
}

static void
republish_refuses_what_aws_refuses(void **state)
{
    assert_failure("{\"republish\":{\"topic\":\"${missing}\"}}", "empty or holds a wildcard");
    assert_failure("{\"republish\":{\"topic\":\"a/${chr(35)}\"}}", "empty or holds a wildcard");
    assert_failure("{\"republish\":{\"topic\":\"$$aws/things/${id}/jobs/x\"}}", "topics of jobs");
    assert_failure("{\"republish\":{\"topic\":\"a\",\"headers\":{\"messageExpiry\":\"${id}\"}}}",
                   "'messageExpiry' came out as 's7', which is not a whole number");
    assert_failure("{\"republish\":{\"topic\":\"a\",\"headers\":{\"responseTopic\":\"${id}/+\"}}}",
                   "'responseTopic' came out as 's7/+', which is no topic");
    assert_failure("{\"republish\":{\"topic\":\"a\",\"headers\":{\"contentType\":"
                   "\"${rpad(rpad(id, 1000), 1000)}\"}}}",
                   "is longer than AWS takes");
}

static void
an_action_that_fails_leaves_the_others(void **state)
{
    struct fixture fixture;
    run(&fixture, "{\"republish\":{\"topic\":\"${missing}\"}},{\"republish\":{\"topic\":\"b\"}}");
    assert_int_equal(fixture.row.output_count, 2);
    assert_true(fixture.row.outputs[0].failure.size > 0);
    assert_int_equal(fixture.row.outputs[1].target, 1);
    assert_bytes(fixture.row.outputs[1].text, "b");
    assert_int_equal(fixture.row.outputs[1].failure.size, 0);
    tear_down(&fixture);
}

static void
plain_actions_have_their_parameters(void **state)
{
    assert_output("{\"s3\":{\"bucketName\":\"b\",\"key\":\"${topic()}/${timestamp()}.json\","
                  "\"cannedAcl\":\"private\"}}",
                  "b",
                  "{\"key\":\"sensors/7/data/1700000000123.json\",\"cannedAcl\":\"private\"}",
                  NULL);
    assert_output("{\"http\":{\"url\":\"https://host/in\",\"confirmationUrl\":\"https://host/\","
                  "\"headers\":[{\"key\":\"x-id\",\"value\":\"${id}\"}],\"enableBatching\":false}}",
                  "http_host_in", "{\"headers\":[{\"key\":\"x-id\",\"value\":\"s7\"}]}", NULL);
    assert_output("{\"dynamoDB\":{\"tableName\":\"t\",\"hashKeyField\":\"id\",\"hashKeyValue\":"
                  "\"${id}\",\"rangeKeyField\":\"at\",\"rangeKeyValue\":\"${n}\","
                  "\"rangeKeyType\":\"NUMBER\",\"operation\":\"${'UPDATE'}\"}}",
                  "t",
                  "{\"hashKeyField\":\"id\",\"hashKeyValue\":\"s7\",\"rangeKeyField\":\"at\","
                  "\"rangeKeyValue\":\"3\",\"rangeKeyType\":\"NUMBER\",\"operation\":\"UPDATE\"}",
                  NULL);
    assert_output("{\"dynamoDBv2\":{\"putItem\":{\"tableName\":\"t\"}}}", "t", "", NULL);
    assert_output("{\"lambda\":{\"functionArn\":\"arn:aws:lambda:r:1:function:f:alias\"}}", "f", "",
                  NULL);
    assert_output("{\"kafka\":{\"destinationArn\":\"arn:x/y\",\"topic\":\"${id}\",\"key\":\"${v}\","
                  "\"clientProperties\":{\"acks\":\"1\"}}}",
                  "y", "{\"topic\":\"s7\",\"key\":\"21.5\"}", NULL);
    assert_output("{\"cloudwatchMetric\":{\"metricNamespace\":\"ns\",\"metricName\":\"${topic()}\","
                  "\"metricValue\":\"${v}\",\"metricUnit\":\"None\"}}",
                  "metrics",
                  "{\"metricNamespace\":\"ns\",\"metricName\":\"sensors/7/data\","
                  "\"metricValue\":\"21.5\",\"metricUnit\":\"None\"}",
                  NULL);
    assert_output("{\"sqs\":{\"queueUrl\":\"https://q/1/name\",\"useBase64\":true}}", "name", "",
                  "eyJpZCI6InM3IiwidiI6MjEuNSwibiI6Mywib24iOnRydWUsIm5vbmUiOm51bGwsInRpbWVzdGFt"
                  "cCI6MTd9");
    assert_failure("{\"cloudwatchMetric\":{\"metricNamespace\":\"ns\",\"metricName\":\"n\","
                   "\"metricValue\":\"${id}\",\"metricUnit\":\"None\"}}",
                   "'metricValue' came out as 's7', which is not a number");
    assert_failure("{\"dynamoDB\":{\"tableName\":\"t\",\"hashKeyField\":\"id\",\"hashKeyValue\":"
                   "\"${missing}\"}}",
                   "'hashKeyValue' came out as '', which is empty");
    assert_failure("{\"dynamoDB\":{\"tableName\":\"t\",\"hashKeyField\":\"id\",\"hashKeyValue\":"
                   "\"${id}\",\"hashKeyType\":\"NUMBER\"}}",
                   "not a number");
    assert_failure("{\"dynamoDB\":{\"tableName\":\"t\",\"hashKeyField\":\"id\",\"hashKeyValue\":"
                   "\"${id}\",\"operation\":\"${id}\"}}",
                   "'operation' came out as 's7', which is none of the values that AWS takes");
}

static void
rows_must_have_the_form_that_the_action_needs(void **state)
{
    struct bytes raw = BYTES("\xff\x00raw");
    assert_failure_of("SELECT * FROM '#'", "{\"lambda\":{\"functionArn\":\"f\"}}", raw,
                      "the row is not JSON");
    assert_failure_of("SELECT * FROM '#'", "{\"dynamoDBv2\":{\"putItem\":{\"tableName\":\"t\"}}}",
                      BYTES("[1]"), "the row is not a JSON object");
    assert_failure_of("SELECT * FROM '#'", "{\"influxDB\":{\"destinationArn\":\"a\","
                                           "\"databaseName\":\"d\",\"tableName\":\"t\"}}",
                      raw, "the row is not JSON");
    struct fixture fixture;
    run_sql(&fixture, "SELECT * FROM '#'", "{\"s3\":{\"bucketName\":\"b\",\"key\":\"k\"}}", raw);
    assert_true(bytes_equal(fixture.row.outputs[0].payload, raw));
    assert_false(fixture.row.outputs[0].payload_is_json);
    tear_down(&fixture);
}

#define TIMESTREAM(more)                                                                    \
    "{\"timestream\":{\"databaseName\":\"d\",\"tableName\":\"t\",\"dimensions\":"           \
    "[{\"name\":\"id\",\"value\":\"${id}\"}]" more "}}"

static void
timestream_checks_measures(void **state)
{
    assert_output(TIMESTREAM(""), "t", "{\"dimensions\":[{\"name\":\"id\",\"value\":\"s7\"}]}",
                  NULL);
    assert_output(TIMESTREAM(",\"timestamp\":{\"value\":\"${timestamp()}\",\"unit\":"
                             "\"MILLISECONDS\"}"),
                  "t",
                  "{\"dimensions\":[{\"name\":\"id\",\"value\":\"s7\"}],\"timestamp\":{\"value\":"
                  "\"1700000000123\",\"unit\":\"MILLISECONDS\"}}",
                  NULL);
    assert_failure(TIMESTREAM(",\"timestamp\":{\"value\":\"${v}\",\"unit\":\"SECONDS\"}"),
                   "'value' came out as '21.5', which is not a whole number");
    const char *const names[] = {"time", "measure_name", "measure_value::double", "ts_x", "a:b"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct bytes payload = {0};
        char text[100];
        payload.size = (size_t)snprintf(text, sizeof text, "{\"id\":\"x\",\"%s\":1}", names[i]);
        payload.data = text;
        assert_failure_of("SELECT * FROM '#'", TIMESTREAM(""), payload,
                          "cannot be the name of a measure");
    }
    assert_failure_of("SELECT id FROM '#'", TIMESTREAM(""), BYTES("{\"a\":1}"), "came out as ''");
    assert_failure_of("SELECT a FROM '#'", TIMESTREAM(""), BYTES("{\"id\":\"x\"}"), "0 measures");
    assert_failure_of("SELECT * FROM '#'", TIMESTREAM(""),
                      BYTES("{\"id\":\"x\",\"n\":9223372036854775808}"), "does not fit a BIGINT");
}

static void
firehose_splits_arrays(void **state)
{
    struct fixture fixture;
    struct bytes list = BYTES("[{\"a\":1}, 2 ,\"x\"]");
    run_sql(&fixture, "SELECT * FROM '#'",
            "{\"firehose\":{\"deliveryStreamName\":\"s\",\"batchMode\":true,"
            "\"separator\":\"\\n\"}}",
            list);
    assert_int_equal(fixture.row.output_count, 3);
    assert_bytes(fixture.row.outputs[0].payload, "{\"a\":1}\n");
    assert_bytes(fixture.row.outputs[1].payload, "2\n");
    assert_bytes(fixture.row.outputs[2].payload, "\"x\"\n");
    assert_bytes(fixture.row.outputs[2].text, "s");
    tear_down(&fixture);
    run_sql(&fixture, "SELECT * FROM '#'", "{\"firehose\":{\"deliveryStreamName\":\"s\"}}", list);
    assert_int_equal(fixture.row.output_count, 1);
    tear_down(&fixture);
    struct buf many = {0};
    for (int i = 0; i < 501; i++) {
        buf_append_string(&many, i == 0 ? "[1" : ",1");
    }
    buf_append_char(&many, ']');
    run_sql(&fixture, "SELECT * FROM '#'",
            "{\"firehose\":{\"deliveryStreamName\":\"s\",\"batchMode\":true}}", buf_bytes(&many));
    assert_int_equal(fixture.row.output_count, 1);
    assert_int_equal(fixture.row.outputs[0].payload.size, many.size);
    tear_down(&fixture);
    buf_fini(&many);
}

static void
other_batches_have_their_limits(void **state)
{
    struct fixture fixture;
    const char *events = "{\"iotEvents\":{\"inputName\":\"i\",\"batchMode\":true}}";
    const char *logs = "{\"cloudwatchLogs\":{\"logGroupName\":\"g\",\"batchMode\":true}}";
    run_sql(&fixture, "SELECT * FROM '#'", events, BYTES("[{\"a\":1},{\"a\":2}]"));
    assert_int_equal(fixture.row.output_count, 2);
    tear_down(&fixture);
    assert_failure_of("SELECT * FROM '#'", events, BYTES("[1,2,3,4,5,6,7,8,9,10,11]"),
                      "the array has 11 elements, and AWS takes at most 10");
    assert_failure_of("SELECT * FROM '#'", events, BYTES("{}"), "has to be an array");
    run_sql(&fixture, "SELECT * FROM '#'", logs,
            BYTES("[{\"timestamp\":5,\"message\":\"one\\n\"},{\"message\":\"\",\"timestamp\":6}]"));
    assert_int_equal(fixture.row.output_count, 2);
    assert_bytes(fixture.row.outputs[0].payload, "one\n");
    assert_bytes(fixture.row.outputs[0].params, "{\"logGroupName\":\"g\",\"timestamp\":5}");
    assert_bytes(fixture.row.outputs[1].params, "{\"logGroupName\":\"g\",\"timestamp\":6}");
    tear_down(&fixture);
    assert_failure_of("SELECT * FROM '#'", logs,
                      BYTES("[{\"timestamp\":5,\"message\":\"one\"},{\"message\":\"two\"}]"),
                      "each element has to be");
    assert_failure_of("SELECT * FROM '#'", logs, BYTES("[7]"), "each element has to be");
}

#define INFLUX(table, more)                                                               \
    "{\"influxDB\":{\"destinationArn\":\"arn:x/y\",\"databaseName\":\"d\",\"tableName\":" \
    "\"" table "\"" more "}}"

static void
assert_lines(const char *action, const char *payload, const char *lines)
{
    struct fixture fixture;
    run_sql(&fixture, "SELECT * FROM '#'", action, bytes_of_string(payload));
    assert_bytes(fixture.row.outputs[0].failure, "");
    assert_int_equal(fixture.row.output_count, 1);
    assert_bytes(fixture.row.outputs[0].payload, lines);
    assert_bytes(fixture.row.outputs[0].params, "{\"databaseName\":\"d\"}");
    tear_down(&fixture);
}

static void
influx_writes_line_protocol(void **state)
{
    assert_lines(INFLUX("m", ""), default_payload,
                 "m id=\"s7\",v=21.5,n=3i,on=t 17");
    assert_lines(INFLUX("m x,y", ",\"tags\":{\"z\":\"1\",\"a b\":\"c=d, e\","
                                 "\"none\":\"${missing}\"}"),
                 "{\"x\":false,\"timestamp\":1}", "m\\ x\\,y,a\\ b=c\\=d\\,\\ e,z=1 x=f 1");
}

static void
influx_takes_members_by_element(void **state)
{
    assert_lines(INFLUX("@{kind}", ",\"tags\":{\"id\":\"id-@{id}\",\"at\":\"${topic(2)}\"}"),
                 "[{\"kind\":\"t\",\"id\":7,\"v\":1,\"timestamp\":1},"
                 "{\"kind\":\"h\",\"id\":null,\"v\":2.0,\"timestamp\":2}]",
                 "t,at=7,id=id-7 v=1i 1\nh,at=7 v=2.0 2");
    assert_lines(INFLUX("m", ""),
                 "{\"a\":-5,\"b\":9223372036854775807,\"c\":9223372036854775808,"
                 "\"d\":18446744073709551615,\"e\":1e3,\"timestamp\":1}",
                 "m a=-5i,b=9223372036854775807i,c=9223372036854775808u,"
                 "d=18446744073709551615u,e=1e3 1");
    assert_lines(INFLUX("m", ""),
                 "{\"s\":\"a\\\"b\\\\c d\",\"o\":{\"x\":[1,\"y\"]},\"k=l,m n\":true,"
                 "\"timestamp\":1}",
                 "m s=\"a\\\"b\\\\c d\",o=\"{\\\"x\\\":[1,\\\"y\\\"]}\",k\\=l\\,m\\ n=t 1");
}

static void
influx_refuses_the_whole_row(void **state)
{
    static const struct {
        const char *payload, *failure;
    } cases[] = {
            {"{\"v\":1}", "a point has no 'timestamp'"},
            {"{\"v\":1,\"timestamp\":\"1\"}", "'timestamp' is not a whole number"},
            {"{\"v\":1,\"timestamp\":1.5}", "'timestamp' is not a whole number"},
            {"{\"timestamp\":1}", "a point has no field"},
            {"{\"v\":null,\"timestamp\":1}", "a point has no field"},
            {"{\"_v\":1,\"timestamp\":1}", "field '_v' begins with '_'"},
            {"{\"\":1,\"timestamp\":1}", "field '' is empty"},
            {"{\"v\":18446744073709551616,\"timestamp\":1}", "does not fit 64 bits"},
            {"{\"v\":-9223372036854775809,\"timestamp\":1}", "does not fit 64 bits"},
            {"[{\"v\":1,\"timestamp\":1},{\"v\":2}]", "a point has no 'timestamp'"},
            {"[{\"v\":1,\"timestamp\":1},7]", "an element of the row is not an object"},
            {"[]", "the row has no point"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_failure_of("SELECT * FROM '#'", INFLUX("m", ""), bytes_of_string(cases[i].payload),
                          cases[i].failure);
    }
    assert_failure(INFLUX("@{missing}", ""), "table '' is empty");
    assert_failure(INFLUX("m", ",\"tags\":{\"_t\":\"x\"}"), "tag '_t' begins with '_'");
    assert_failure(INFLUX("m", ",\"tags\":{\"t\":\"${chr(10)}\"}"), "not one line of text");
    struct buf wide = {0};
    buf_append_string(&wide, "{\"timestamp\":1");
    for (int i = 0; i < 251; i++) {
        buf_printf(&wide, ",\"f%d\":1", i);
    }
    buf_append_char(&wide, '}');
    assert_failure_of("SELECT * FROM '#'", INFLUX("m", ""), buf_bytes(&wide),
                      "a point has 251 columns, and AWS takes at most 250");
    buf_fini(&wide);
}

static void
an_error_action_fills_in_its_templates(void **state)
{
    struct diag_list diags = {0};
    struct rule_file *file;
    struct arena arena = {0};
    assert_true(rule_document_parse(
            &file, BYTES("hot.json"),
            BYTES("{\"sql\":\"SET @d = topic(2) SELECT * FROM '#'\",\"awsIotSqlVersion\":"
                  "\"2016-03-23\",\"actions\":[{\"republish\":{\"topic\":\"a\"}}],\"errorAction\":"
                  "{\"republish\":{\"topic\":\"errors/${@d}/${v}\",\"qos\":1}}}"),
            &diags));
    struct rule_message message = {
            .arena = &arena, .topic = BYTES("a/7"), .payload = BYTES("{\"v\":1}")};
    struct rule_failure failure = {BYTES("S3Action"), BYTES("bucket"), BYTES("no such bucket")};
    struct rule_row row;
    rule_run_error(file->rules[0], &message, &failure, 1, &row);
    assert_int_equal(row.output_count, 1);
    assert_bytes(row.outputs[0].text, "errors/7/1");
    assert_bytes(row.outputs[0].params, "{\"qos\":1}");
    assert_true(bytes_starts_with(row.outputs[0].payload, BYTES("{\"ruleName\":\"hot\",")));
    arena_fini(&arena);
    rule_file_free(file);
    diag_list_fini(&diags);
}

static void
a_batch_is_told_as_one(void **state)
{
    struct arena arena = {0};
    struct buf out = {0};
    const struct rule_origin origin = {.client_id = BYTES("c1"), .trace_id = BYTES("t1"),
                                       .source_ip = BYTES("10.0.0.1")};
    const struct rule_message messages[] = {
            {.arena = &arena, .topic = BYTES("a"), .payload = BYTES("1"), .origin = &origin},
            {.arena = &arena, .topic = BYTES("b"), .payload = BYTES("\xff")},
    };
    const struct error_batch_failure failures[] = {
            {{BYTES("HttpAction"), BYTES("https://h/"), BYTES("404")}, (uint32_t[]){1, 2}, 2},
            {{BYTES("HttpAction"), BYTES("https://h/"), BYTES("413")}, (uint32_t[]){2}, 1},
    };
    error_action_write_batch(&out, BYTES("hot"), messages, 2, true, failures, 2);
    assert_string_equal(
            buf_string(&out),
            "{\"ruleName\":\"hot\",\"payloadsWithMetadata\":[{\"id\":1,\"topic\":\"a\","
            "\"cloudwatchTraceId\":\"t1\",\"clientId\":\"c1\",\"sourceIp\":\"10.0.0.1\","
            "\"base64OriginalPayload\":\"MQ==\"},{\"id\":2,\"topic\":\"b\","
            "\"cloudwatchTraceId\":\"\",\"clientId\":\"n/a\",\"base64OriginalPayload\":"
            "\"/w==\"}],\"failures\":[{\"affectedIds\":[1,2],\"failedAction\":\"HttpAction\","
            "\"failedResource\":\"https://h/\",\"errorMessage\":\"404\"},{\"affectedIds\":[2],"
            "\"failedAction\":\"HttpAction\",\"failedResource\":\"https://h/\","
            "\"errorMessage\":\"413\"}]}");
    buf_clear(&out);
    error_action_write_batch(&out, BYTES("hot"), messages, 1, false, failures, 0);
    assert_string_equal(
            buf_string(&out),
            "{\"ruleName\":\"hot\",\"topic\":\"a\",\"payloadsWithMetadata\":[{\"id\":1,"
            "\"cloudwatchTraceId\":\"t1\",\"clientId\":\"c1\",\"sourceIp\":\"10.0.0.1\","
            "\"base64OriginalPayload\":\"MQ==\"}],\"failures\":[]}");
    buf_fini(&out);
    arena_fini(&arena);
}

static void
connectors_have_an_action(void **state)
{
    assert_string_equal(action_kind_of_connector(BYTES("timeseries"))->key, "timestream");
    assert_string_equal(action_kind_of_connector(BYTES("dynamodb"))->key, "dynamoDBv2");
    assert_string_equal(action_kind_of_connector(BYTES("table"))->key, "dynamoDBv2");
    assert_string_equal(action_kind_of_connector(BYTES("handler"))->key, "lambda");
    assert_string_equal(action_kind_of_connector(BYTES("topic"))->key, "republish");
    assert_null(action_kind_of_connector(BYTES("console")));
    assert_null(action_kind_of_connector(BYTES("")));
}

/* Each action has its line in the table of rules/README.md. */
static void
the_manual_lists_each_action(void **state)
{
    FILE *file = fopen(MANUAL, "r");
    assert_non_null(file);
    struct buf manual = {0};
    size_t got;
    do {
        got = fread(buf_reserve(&manual, 4096), 1, 4096, file);
        manual.size += got;
    } while (got > 0);
    fclose(file);
    const char *text = buf_string(&manual);
    for (size_t i = 0; i < ACTION_KINDS; i++) {
        const struct action_kind *kind = &action_kinds[i];
        struct buf row = {0};
        buf_printf(&row, "\n| %s | %s | %s |\n", kind->key,
                   kind->connector[0] == '\0' ? "-" : kind->connector, kind->sentence);
        if (strstr(text, buf_string(&row)) == NULL) {
            fail_msg("rules/README.md lacks the line%s", buf_string(&row));
        }
        buf_fini(&row);
    }
    buf_fini(&manual);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(republish_fills_in_topic_and_headers),
            cmocka_unit_test(republish_refuses_what_aws_refuses),
            cmocka_unit_test(an_action_that_fails_leaves_the_others),
            cmocka_unit_test(plain_actions_have_their_parameters),
            cmocka_unit_test(rows_must_have_the_form_that_the_action_needs),
            cmocka_unit_test(timestream_checks_measures),
            cmocka_unit_test(firehose_splits_arrays),
            cmocka_unit_test(other_batches_have_their_limits),
            cmocka_unit_test(influx_writes_line_protocol),
            cmocka_unit_test(influx_takes_members_by_element),
            cmocka_unit_test(influx_refuses_the_whole_row),
            cmocka_unit_test(an_error_action_fills_in_its_templates),
            cmocka_unit_test(a_batch_is_told_as_one),
            cmocka_unit_test(connectors_have_an_action),
            cmocka_unit_test(the_manual_lists_each_action),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
