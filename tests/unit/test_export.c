/*
 * Rules for AWS: what is printed, that it loads again to a rule that does the same, and what cannot
 * be exported. That a document is written as it was read is in test_document.c.
 */
#include "unit.h"

#include "export.h"

#include "base/json.h"

static const struct export_options options = {
        .role = {"arn:aws:iam::123456789012:role/r", 32},
        .region = {"eu-central-1", 12},
        .account = {"123456789012", 12},
        .database = {"plant", 5},
};

static struct ruleset *
load(const char *text)
{
    struct diag_list diags = {0};
    struct ruleset *ruleset = NULL;
    if (!ruleset_load_text(&ruleset, BYTES("hot.sql"), bytes_of_string(text), &diags)) {
        struct buf out = {0};
        diag_list_print(&diags, &out);
        fail_msg("%s", buf_string(&out));
    }
    diag_list_fini(&diags);
    return ruleset;
}

static void
assert_exported(const char *text, const char *expected)
{
    struct diag_list diags = {0};
    struct ruleset *ruleset = load(text);
    struct buf out = {0};
    bool ok = export_rule(&ruleset->rules[0], &options, &out, &diags);
    if (!ok) {
        diag_list_print(&diags, &out);
    }
    assert_string_equal(buf_string(&out), expected);
    assert_true(ok);
    buf_fini(&out);
    ruleset_free(ruleset);
    diag_list_fini(&diags);
}

static void
assert_refused(const char *text, const char *said)
{
    struct diag_list diags = {0};
    struct ruleset *ruleset = load(text);
    struct buf out = {0};
    assert_false(export_rule(&ruleset->rules[0], &options, &out, &diags));
    assert_int_equal(out.size, 0);
    diag_list_print(&diags, &out);
    if (strstr(buf_string(&out), said) == NULL) {
        fail_msg("%s\ngives\n%s\nwithout '%s'", text, buf_string(&out), said);
    }
    buf_fini(&out);
    ruleset_free(ruleset);
    diag_list_fini(&diags);
}

#define END "],\"ruleDisabled\":false,\"awsIotSqlVersion\":\"2016-03-23\"}}"
#define ROLE "\"roleArn\":\"arn:aws:iam::123456789012:role/r\""

static void
targets_become_actions(void **state)
{
    assert_exported("INSERT INTO 'alerts/${topic(2)}' SELECT a /* b */, '--' AS c -- d\n"
                    "FROM 'sensors/+' WHERE a > 1;",
                    "{\"ruleName\":\"hot\",\"topicRulePayload\":{\"sql\":\"SELECT a  , '--' AS c "
                    "\\nFROM 'sensors/+' WHERE a > 1\",\"actions\":[{\"republish\":{" ROLE
                    ",\"topic\":\"alerts/${topic(2)}\",\"qos\":1}}" END);
    assert_exported("CREATE FUNCTION f AS 'f.c' LANGUAGE C;\n"
                    "CREATE RULE r WITH ('on_error' = 'errors/${topic()}') AS\n"
                    "INSERT INTO f SELECT * FROM 'a';",
                    "{\"ruleName\":\"r\",\"topicRulePayload\":{\"sql\":\"SELECT * FROM 'a'\","
                    "\"actions\":[{\"lambda\":{\"functionArn\":\"arn:aws:lambda:eu-central-1:"
                    "123456789012:function:f\"}}],\"ruleDisabled\":false,\"awsIotSqlVersion\":"
                    "\"2016-03-23\",\"errorAction\":{\"republish\":{" ROLE
                    ",\"topic\":\"errors/${topic()}\",\"qos\":1}}}}");
    assert_exported("CREATE TABLE t WITH ('connector' = 'timeseries', 'dimensions' = 'id, site');\n"
                    "INSERT INTO t SELECT topic(2) AS id, dev.site, v FROM 'a/+';",
                    "{\"ruleName\":\"hot\",\"topicRulePayload\":{\"sql\":\"SELECT topic(2) AS id, "
                    "dev.site, v FROM 'a/+'\",\"actions\":[{\"timestream\":{" ROLE
                    ",\"databaseName\":\"plant\",\"tableName\":\"t\",\"dimensions\":["
                    "{\"name\":\"id\",\"value\":\"${topic(2)}\"},"
                    "{\"name\":\"site\",\"value\":\"${dev.site}\"}]}}" END);
    assert_exported("CREATE TABLE t (id VARCHAR, v DOUBLE) WITH ('connector' = 'timestream');\n"
                    "CREATE TABLE k WITH ('connector' = 'table', 'partition_key' = 'id');\n"
                    "CREATE TABLE w WITH ('connector' = 'http', 'url' = 'https://h/x', "
                    "'format' = 'single');\n"
                    "INSERT INTO t, k, w SELECT * FROM 'a/+';",
                    "{\"ruleName\":\"hot\",\"topicRulePayload\":{\"sql\":\"SELECT * FROM 'a/+'\","
                    "\"actions\":[{\"timestream\":{" ROLE ",\"databaseName\":\"plant\","
                    "\"tableName\":\"t\",\"dimensions\":[{\"name\":\"id\",\"value\":\"${id}\"}]}},"
                    "{\"dynamoDBv2\":{" ROLE ",\"putItem\":{\"tableName\":\"k\"}}},"
                    "{\"http\":{\"url\":\"https://h/x\"}}" END);
}

static void
what_aws_cannot_do_is_refused(void **state)
{
    assert_refused("CREATE TABLE c WITH ('connector' = 'console');\n"
                   "INSERT INTO c SELECT * FROM 'a';",
                   "hot.sql:2:13: error: 'c' cannot be exported: AWS has no action for the "
                   "connector 'console'");
    assert_refused("CREATE FUNCTION f AS 'f.c' LANGUAGE C;\nINSERT INTO 'a' SELECT * FROM f;",
                   "rules of AWS read topics only");
    assert_refused("CREATE TABLE t WITH ('connector' = 'timeseries');\n"
                   "INSERT INTO t SELECT * FROM 'a';",
                   "AWS has to be told which members are dimensions");
    assert_refused("CREATE TABLE t WITH ('connector' = 'timeseries', 'dimensions' = 'id');\n"
                   "INSERT INTO t SELECT v FROM 'a';",
                   "hint: select 'id' too");
    assert_refused("CREATE TABLE t WITH ('connector' = 'timeseries', 'dimensions' = 'id');\n"
                   "INSERT INTO t SELECT id, v, timestamp() AS time FROM 'a';",
                   "AWS would store the row's time as a measure");
    assert_refused("CREATE TABLE w WITH ('connector' = 'http', 'url' = 'https://h/', "
                   "'token' = 'secret');\nINSERT INTO w SELECT * FROM 'a';",
                   "'token' cannot be exported: AWS has no such option");
    assert_refused("CREATE TABLE w WITH ('connector' = 'http', 'url' = 'https://h/', "
                   "'format' = 'json_lines');\nINSERT INTO w SELECT * FROM 'a';",
                   "AWS sends one message or a JSON array");
}

static void
names_are_made_to_fit(void **state)
{
    struct diag_list diags = {0};
    struct ruleset *ruleset = load("INSERT INTO 'a' SELECT * FROM 'b';"
                                   "INSERT INTO 'c' SELECT * FROM 'd';");
    struct buf out = {0};
    assert_true(export_rule(&ruleset->rules[1], &options, &out, &diags));
    assert_true(bytes_starts_with(buf_bytes(&out), BYTES("{\"ruleName\":\"hot_2\"")));
    assert_int_equal(diags.count, 1);
    assert_bytes(diags.items[0].message, "rule 'hot.2' is exported as 'hot_2'");
    buf_fini(&out);
    ruleset_free(ruleset);
    diag_list_fini(&diags);
}

/* What a rule sends to topics for a message, and why not. */
static void
print_outputs(const struct rule *rule, const char *payload, struct buf *out)
{
    struct arena arena = {0};
    struct rule_message message = {.arena = &arena,
                                   .topic = BYTES("sensors/7"),
                                   .payload = bytes_of_string(payload),
                                   .time_us = 1700000000000000};
    struct rule_row row = {0};
    buf_printf(out, "%d", (int)rule_run(rule, &message, &row));
    for (size_t i = 0; i < row.output_count; i++) {
        const struct rule_output *output = &row.outputs[i];
        buf_printf(out, "|%.*s %.*s %.*s", BYTES_ARG(output->text), BYTES_ARG(output->payload),
                   BYTES_ARG(output->failure));
    }
    buf_append_char(out, '\n');
    arena_fini(&arena);
}

static void
what_is_exported_does_the_same(void **state)
{
    static const char *const payloads[] = {"{\"a\":1}", "{\"a\":70.0,\"b\":\"x\"}", "[1]", "raw",
                                           "{\"a\":\"80\"}"};
    struct diag_list diags = {0};
    struct ruleset *ruleset = load(
            "CREATE TABLE k WITH ('connector' = 'dynamodb', 'partition_key' = 'a');\n"
            "INSERT INTO 'alerts/${@t}/${b}', '$$aws/x', k\n"
            "SET @t = topic(2) SELECT *, a * 2 AS twice, @t AS t FROM 'sensors/+' WHERE a > 60;");
    struct buf document = {0}, before = {0}, after = {0};
    struct rule_file *file = NULL;
    assert_true(export_rule(&ruleset->rules[0], &options, &document, &diags));
    assert_true(rule_document_parse(&file, BYTES("x.json"), buf_bytes(&document), &diags));
    for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++) {
        print_outputs(ruleset->rules[0].rule, payloads[i], &before);
        print_outputs(file->rules[0], payloads[i], &after);
    }
    assert_string_equal(buf_string(&before), buf_string(&after));
    assert_non_null(strstr(buf_string(&after), "alerts/7/x {\"a\":70.0,\"b\":\"x\",\"twice\":140"));
    buf_fini(&document);
    buf_fini(&before);
    buf_fini(&after);
    rule_file_free(file);
    ruleset_free(ruleset);
    diag_list_fini(&diags);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(targets_become_actions),
            cmocka_unit_test(what_aws_cannot_do_is_refused),
            cmocka_unit_test(names_are_made_to_fit),
            cmocka_unit_test(what_is_exported_does_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
