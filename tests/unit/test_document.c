/*
 * AWS rule JSON: wrappings, errors with their places, what is implied, and that what is written
 * reads as the same rule. What actions make of rows is in test_action.c, linking in test_ruleset.c.
 */
#include "unit.h"

#include "rules/action.h"

#include <stdio.h>

static struct bytes path = {"etc/rules.d/hot.json", 20};

/* The file, which must be right. */
static struct rule_file *
load(const char *text)
{
    struct diag_list diags = {0};
    struct rule_file *file = NULL;
    if (!rule_document_parse(&file, path, bytes_of_string(text), &diags)) {
        struct buf out = {0};
        diag_list_print(&diags, &out);
        fail_msg("%s", buf_string(&out));
    }
    diag_list_fini(&diags);
    return file;
}

/* What people see of a document, right or wrong. */
static void
assert_says(const char *text, bool expected, const char *const *said, size_t count)
{
    struct diag_list diags = {0};
    struct rule_file *file = NULL;
    struct buf out = {0};
    bool ok = rule_document_parse(&file, BYTES("a.json"), bytes_of_string(text), &diags);
    diag_list_print(&diags, &out);
    if (ok != expected) {
        fail_msg("%s\ngives\n%s", text, buf_string(&out));
    }
    assert_int_equal(diags.errors == 0, expected);
    for (size_t i = 0; i < count; i++) {
        if (strstr(buf_string(&out), said[i]) == NULL) {
            fail_msg("%s\ngives\n%s\nwithout\n%s", text, buf_string(&out), said[i]);
        }
    }
    buf_fini(&out);
    diag_list_fini(&diags);
    rule_file_free(file);
}

#define SAYS(text, expected, ...)                                                       \
    assert_says(text, expected, (const char *const[]){__VA_ARGS__},                     \
                sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

#define RULE "\"sql\":\"SELECT * FROM 'a/+'\",\"awsIotSqlVersion\":\"2016-03-23\","
#define ACTIONS "\"actions\":[{\"republish\":{\"topic\":\"out\",\"roleArn\":\"r\"}}]"
#define WITH_ACTION(action) "{" RULE "\"actions\":[" action "]}"

static void
assert_one_rule(const char *text, const char *name)
{
    struct rule_file *file = load(text);
    assert_int_equal(file->rule_count, 1);
    const struct rule_info *info = rule_info(file->rules[0]);
    assert_bytes(info->name, name);
    assert_bytes(info->source, "a/+");
    assert_int_equal(info->target_count, 1);
    assert_int_equal(info->targets[0].kind, RULE_TARGET_TOPIC);
    assert_bytes(info->targets[0].text, "out");
    assert_true(info->is_document);
    rule_file_free(file);
}

static void
every_wrapping_is_understood(void **state)
{
    static const char properties[] =
            "{\"RuleName\":\"named\",\"TopicRulePayload\":{\"Sql\":\"SELECT * FROM 'a/+'\","
            "\"AwsIotSqlVersion\":\"2016-03-23\",\"RuleDisabled\":\"false\","
            "\"Actions\":[{\"Republish\":{\"Topic\":\"out\",\"Qos\":\"1\","
            "\"RoleArn\":{\"Fn::GetAtt\":[\"Role\",\"Arn\"]}}}]}}";
    char text[1024];
    assert_one_rule("{" RULE ACTIONS "}", "hot");
    assert_one_rule("{\"ruleName\":\"named\",\"topicRulePayload\":{" RULE ACTIONS "}}", "named");
    assert_one_rule("{\"topicRulePayload\":{" RULE ACTIONS "}}", "hot");
    assert_one_rule("{\"ruleArn\":\"arn:aws:iot:x\",\"rule\":{\"ruleName\":\"named\","
                    "\"createdAt\":1.5," RULE ACTIONS "}}",
                    "named");
    assert_one_rule("[{" RULE ACTIONS "}]", "hot");
    assert_one_rule(properties, "named");
    snprintf(text, sizeof text, "{\"Type\":\"AWS::IoT::TopicRule\",\"DependsOn\":\"Role\","
                                "\"Properties\":%s}",
             properties);
    assert_one_rule(text, "named");
    snprintf(text, sizeof text, "{\"AWSTemplateFormatVersion\":\"2010-09-09\",\"Resources\":{"
                                "\"Role\":{\"Type\":\"AWS::IAM::Role\"},"
                                "\"Hot\":{\"Type\":\"AWS::IoT::TopicRule\",\"Properties\":%s}}}",
             properties);
    assert_one_rule(text, "named");
    assert_one_rule("{\"Resources\":{\"Logical1\":{\"Type\":\"AWS::IoT::TopicRule\",\"Properties\":"
                    "{\"TopicRulePayload\":{\"Sql\":\"SELECT * FROM 'a/+'\","
                    "\"AwsIotSqlVersion\":\"2016-03-23\",\"Actions\":[{\"Republish\":"
                    "{\"Topic\":\"out\"}}]}}}}}",
                    "Logical1");
}

static void
a_file_may_hold_several_rules(void **state)
{
    struct rule_file *file =
            load("[{" RULE ACTIONS "},{" RULE ACTIONS ",\"ruleDisabled\":true,"
                 "\"description\":\"the second\"},"
                 "{\"ruleName\":\"third\",\"topicRulePayload\":{" RULE ACTIONS "}}]");
    assert_int_equal(file->rule_count, 3);
    assert_bytes(rule_info(file->rules[0])->name, "hot");
    assert_false(rule_info(file->rules[0])->disabled);
    assert_bytes(rule_info(file->rules[1])->name, "hot_2");
    assert_true(rule_info(file->rules[1])->disabled);
    assert_bytes(rule_info(file->rules[1])->description, "the second");
    assert_bytes(rule_info(file->rules[2])->name, "third");
    rule_file_free(file);
}

static void
errors_are_told_at_their_place_in_the_document(void **state)
{
    SAYS("{\n  \"sql\": \"SELECT uper(a) AS x, \\\"q\\u00e9\\\" AS y, lowr(b) AS z FROM 'a'\",\n"
         "  \"awsIotSqlVersion\": \"2016-03-23\",\n"
         "  \"actions\": [{\"republish\": {\"topic\": \"a/${uper(b)}/\\u0041\"}}]\n}",
         false,
         "a.json:2:18: error: unknown function 'uper'\n"
         "    \"sql\": \"SELECT uper(a) AS x, \\\"q\\u00e9\\\" AS y, lowr(b) AS z FROM 'a'\",\n"
         "                   ^~~~\n"
         "  hint: did you mean 'upper'?\n",
         "a.json:2:50: error: unknown function 'lowr'\n",
         "a.json:4:44: error: unknown function 'uper'\n");
    SAYS("{\"sql\":\"SELECT a \\n FROM a\",\"actions\":[]}", false,
         "a.json:1:26: error: AWS has no tables", "a.json:1:39: error: no action");
    SAYS("{\"sql\":\"SELECT a -- all\\n FROM 'a'\"," ACTIONS "}", false, "a.json:1:18: error: ");
    SAYS("{\"sql\": \"SELECT * FROM 'a'\" \"x\"}", false,
         "a.json:1:29: error: not JSON: ");
    SAYS("[{" RULE ACTIONS "},7]", false, "error: a rule is a number, expected an object");
    SAYS("[]", false, "a.json:1:1: error: the list has no rule");
    SAYS("{\"Resources\":{\"A\":{\"Type\":\"AWS::S3::Bucket\"}}}", false,
         "has no resource of the type AWS::IoT::TopicRule");
}

static void
members_are_checked(void **state)
{
    SAYS("{" RULE ACTIONS ",\"actionz\":[]}", false, "unknown member 'actionz'",
         "did you mean 'actions'?");
    SAYS("{" RULE ACTIONS "," ACTIONS "}", false, "'actions' comes twice");
    SAYS("{\"awsIotSqlVersion\":\"2016-03-23\"," ACTIONS "}", false, "the rule has no 'sql'");
    SAYS("{\"sql\":7," ACTIONS "}", false, "the SQL is a number, expected a string");
    SAYS("{\"sql\":\"SELECT * FROM 'a'\"," ACTIONS "}", true,
         "warning: no 'awsIotSqlVersion': taken as 2016-03-23");
    SAYS("{\"sql\":\"SELECT * FROM 'a'\",\"awsIotSqlVersion\":\"beta\"," ACTIONS "}", true,
         "warning: version beta is taken as 2016-03-23");
    SAYS("{\"sql\":\"SELECT * FROM 'a'\",\"awsIotSqlVersion\":\"2017-01-01\"," ACTIONS "}", false,
         "unknown version '2017-01-01'");
    SAYS("{\"sql\":\"SELECT length(a) AS n FROM 'a'\",\"awsIotSqlVersion\":\"2015-10-08\"," ACTIONS
         "}",
         false, "length");
    SAYS("{\"ruleName\":\"bad-name\",\"topicRulePayload\":{" RULE ACTIONS "}}", false,
         "a.json:1:13: error: 'bad-name' cannot be the name of a rule");
    SAYS("{" RULE ACTIONS ",\"ruleDisabled\":\"true\"}", false, "expected true or false");
    SAYS("{\"sql\":\"SELECT * FROM table\"," ACTIONS "}", false, "FROM");
}

static void
actions_are_checked(void **state)
{
    SAYS(WITH_ACTION("{\"republsh\":{}}"), false, "unknown action 'republsh'",
         "did you mean 'republish'?");
    SAYS(WITH_ACTION("{\"republish\":{\"topic\":\"a\"},\"s3\":{}}"), false,
         "an action is an object with one member");
    SAYS(WITH_ACTION("{\"republish\":{\"topik\":\"a\",\"qos\":2}}"), false,
         "republish: unknown parameter 'topik'", "did you mean 'topic'?",
         "republish: 'topic' is missing", "republish: 'qos' is 2, and AWS takes 0 to 1");
    SAYS(WITH_ACTION("{\"republish\":{\"topic\":\"a/+\"}}"), false, "wildcard");
    SAYS(WITH_ACTION("{\"republish\":{\"topic\":\"a\",\"topic\":\"b\"}}"), false,
         "republish: 'topic' is given twice");
    SAYS(WITH_ACTION("{\"republish\":{\"topic\":\"$$aws/things/t/jobs/x\"}}"), false,
         "rules may not publish to the topics of jobs");
    SAYS(WITH_ACTION("{\"republish\":{\"topic\":\"a\",\"headers\":{\"messageExpiry\":10}}}"), false,
         "'messageExpiry' is a number, expected a string", "write it in quotes");
    SAYS(WITH_ACTION("{\"republish\":{\"topic\":\"a\",\"headers\":{\"responseTopic\":\"a/#\","
                     "\"payloadFormatIndicator\":\"TEXT\",\"correlationData\":\"*\","
                     "\"messageExpiry\":\"soon\",\"userProperties\":[]}}}"),
         false, "'responseTopic' is no topic", "'payloadFormatIndicator' is none of the values",
         "'correlationData' is not base64", "'messageExpiry' is not a whole number",
         "'userProperties' has 0 entries, and AWS takes 1 to 100");
    SAYS(WITH_ACTION("{\"firehose\":{\"deliveryStreamName\":\"s\",\"separator\":\"${a}\"}}"), false,
         "'separator' cannot hold '${...}'");
    SAYS(WITH_ACTION("{\"firehose\":{\"deliveryStreamName\":\"s\",\"separator\":\";\"}}"), false,
         "'separator' is none of the values");
    SAYS(WITH_ACTION("{\"timestream\":{\"databaseName\":\"d\",\"tableName\":\"t\","
                     "\"dimensions\":[{\"name\":\"${a}\",\"value\":\"x\"}]}}"),
         false, "'name' cannot hold '${...}'");
    SAYS(WITH_ACTION("{\"kinesis\":{\"streamName\":\"${topic()}\"}}"), false,
         "'streamName' names what is opened when the rule is loaded");
    SAYS(WITH_ACTION("{\"influxDB\":{\"destinationArn\":\"a\",\"databaseName\":\"d\","
                     "\"tableName\":\"@{a}${b}\",\"tags\":{\"x\":\"@{}\"}}}"),
         false, "takes one '@{...}'", "'tags' has a '@{' without a name");
    SAYS(WITH_ACTION("{\"dynamoDB\":{\"tableName\":\"t\",\"hashKeyField\":\"id\","
                     "\"hashKeyValue\":\"x\",\"rangeKeyField\":\"at\"}}"),
         false, "'rangeKeyField' and 'rangeKeyValue' belong together");
    SAYS(WITH_ACTION("{\"http\":{\"url\":\"https://h/\",\"auth\":{\"sigv4\":{}}}}"), false,
         "'auth' is not built yet");
    SAYS(WITH_ACTION("{\"kafka\":{\"destinationArn\":\"a/b\",\"topic\":\"t\","
                     "\"clientProperties\":{\"ack\":\"1\"}}}"),
         false, "'clientProperties' knows no 'ack'");
    SAYS("{" RULE ACTIONS ",\"errorAction\":{\"http\":{\"url\":\"https://h/\","
         "\"batchConfig\":{\"maxBatchSize\":5}}}}",
         false, "'batchConfig' is not allowed in an error action");
}

static void
functions_of_cloudformation_are_told(void **state)
{
    SAYS("{\"Sql\":{\"Fn::Sub\":\"SELECT *\"},\"Actions\":[{\"Lambda\":{\"FunctionArn\":"
         "{\"Fn::GetAtt\":[\"F\",\"Arn\"]}}}]}",
         false,
         "the SQL is an object, expected a string\n"
         "  {\"Sql\":{\"Fn::Sub\":\"SELECT *\"},\"Actions\":[{\"Lambda\":{\"FunctionArn\":"
         "{\"Fn::GetAtt\":[\"F\",\"Arn\"]}}}]}\n"
         "         ^\n"
         "  hint: functions of CloudFormation are not evaluated here: write the value",
         "lambda: 'FunctionArn' is an object, expected a string");
}

static void
a_name_has_128_characters_at_most(void **state)
{
    struct buf text = {0};
    for (size_t size = 128; size <= 129; size++) {
        struct diag_list diags = {0};
        struct rule_file *file = NULL;
        buf_clear(&text);
        buf_append_string(&text, "{\"ruleName\":\"");
        for (size_t i = 0; i < size; i++) {
            buf_append_char(&text, 'n');
        }
        buf_append_string(&text, "\",\"topicRulePayload\":{" RULE ACTIONS "}}");
        assert_int_equal(rule_document_parse(&file, path, buf_bytes(&text), &diags), size == 128);
        rule_file_free(file);
        diag_list_fini(&diags);
    }
    buf_fini(&text);
}

static void
a_rule_has_ten_actions_at_most(void **state)
{
    struct buf text = {0};
    buf_append_string(&text, "{" RULE "\"actions\":[");
    for (int i = 0; i < 11; i++) {
        buf_append_string(&text, i == 0 ? "{\"republish\":{\"topic\":\"a\"}}"
                                        : ",{\"republish\":{\"topic\":\"a\"}}");
    }
    buf_append_string(&text, "]}");
    SAYS(buf_string(&text), false, "11 actions, and a rule has at most 10");
    buf_fini(&text);
}

static void
tables_of_actions_are_implied(void **state)
{
    struct rule_file *file = load(WITH_ACTION(
            "{\"lambda\":{\"functionArn\":\"arn:aws:lambda:us-east-1:123456789012:function:enrich:"
            "prod\"}},"
            "{\"dynamoDB\":{\"tableName\":\"items\",\"hashKeyField\":\"id\","
            "\"hashKeyValue\":\"x\"}},"
            "{\"http\":{\"url\":\"https://host/a/b\"}},"
            "{\"sqs\":{\"queueUrl\":\"https://sqs.eu-west-1.amazonaws.com/1/queue\"}},"
            "{\"sns\":{\"targetArn\":\"arn:aws:sns:eu-west-1:1:topic1\"}},"
            "{\"stepFunctions\":{\"stateMachineName\":\"m\"}}"));
    static const struct {
        const char *name, *connector;
        bool must_be_declared;
        size_t option_count;
    } expected[] = {{"enrich", "handler", true, 0},        {"items", "dynamodb", false, 1},
                    {"http_host_a_b", "http", false, 3},   {"queue", "sqs", false, 0},
                    {"topic1", "sns", false, 0},           {"m", "", false, 0}};
    assert_int_equal(file->implied_count, 6);
    for (size_t i = 0; i < 6; i++) {
        assert_bytes(file->implied[i].name, expected[i].name);
        assert_bytes(file->implied[i].connector, expected[i].connector);
        assert_int_equal(file->implied[i].must_be_declared, expected[i].must_be_declared);
        assert_int_equal(file->implied[i].option_count, expected[i].option_count);
    }
    assert_bytes(file->implied[1].options[0].name, "partition_key");
    assert_bytes(file->implied[1].options[0].value, "id");
    assert_bytes(rule_info(file->rules[0])->targets[0].text, "enrich");
    rule_file_free(file);
}

/* The rule as text, and that read again. */
static void
assert_survives(const char *text)
{
    struct rule_file *first = load(text);
    struct buf one = {0}, two = {0};
    rule_document_write(first->rules[0], BYTES(""), &one);
    struct rule_file *second = load(buf_string(&one));
    rule_document_write(second->rules[0], BYTES(""), &two);
    assert_string_equal(buf_string(&one), buf_string(&two));
    assert_int_equal(rule_info(first->rules[0])->target_count,
                     rule_info(second->rules[0])->target_count);
    buf_fini(&one);
    buf_fini(&two);
    rule_file_free(first);
    rule_file_free(second);
}

static void
what_is_written_reads_as_the_same_rule(void **state)
{
    struct rule_file *file = load(
            "{\"Sql\":\"SELECT *, \\\"\\u00e9\\\" AS e FROM 'a/+'\",\"AwsIotSqlVersion\":"
            "\"2015-10-08\",\"Description\":\"d\",\"RuleDisabled\":true,\"Actions\":["
            "{\"Republish\":{\"Topic\":\"$$aws/x/${topic(2)}\",\"Qos\":1,\"RoleArn\":\"role\","
            "\"Headers\":{\"UserProperties\":[{\"Key\":\"k\",\"Value\":\"${a}\"}]}}}],"
            "\"ErrorAction\":{\"Republish\":{\"Topic\":\"e\",\"RoleArn\":\"role\"}}}");
    struct buf out = {0};
    rule_document_write(file->rules[0], BYTES(""), &out);
    assert_string_equal(
            buf_string(&out),
            "{\"ruleName\":\"hot\",\"topicRulePayload\":{\"sql\":\"SELECT *, \\\"\xc3\xa9\\\" AS e "
            "FROM 'a/+'\",\"description\":\"d\",\"actions\":[{\"republish\":{\"roleArn\":\"role\","
            "\"topic\":\"$$aws/x/${topic(2)}\",\"qos\":1,\"headers\":{\"userProperties\":[{\"key\":"
            "\"k\",\"value\":\"${a}\"}]}}}],\"ruleDisabled\":true,\"awsIotSqlVersion\":"
            "\"2015-10-08\",\"errorAction\":{\"republish\":{\"roleArn\":\"role\",\"topic\":\"e\"}}}"
            "}");
    buf_fini(&out);
    rule_file_free(file);
    assert_survives("{" RULE ACTIONS "}");
    assert_survives(WITH_ACTION(
            "{\"kafka\":{\"destinationArn\":\"a/b\",\"topic\":\"t\",\"headers\":[{\"key\":\"k\","
            "\"value\":\"\"}],\"clientProperties\":{\"acks\":\"1\"}}},"
            "{\"firehose\":{\"deliveryStreamName\":\"s\",\"separator\":\"\\n\","
            "\"batchMode\":true}},"
            "{\"iotSiteWise\":{\"putAssetPropertyValueEntries\":[{\"propertyAlias\":\"p\","
            "\"propertyValues\":[{\"value\":{\"doubleValue\":\"${v}\"},\"timestamp\":"
            "{\"timeInSeconds\":\"${floor(timestamp()/1E3)}\"}}]}]}}"));
}

static void
a_huge_document_is_refused(void **state)
{
    struct buf text = {0};
    buf_append_string(&text, "{" RULE ACTIONS ",\"description\":\"");
    while (text.size < 200 * 1024) {
        buf_append_string(&text, "xxxxxxxxxxxxxxxx");
    }
    buf_append_string(&text, "\"}");
    SAYS(buf_string(&text), true, "larger than the 128 KB of AWS");
    while (text.size < 1100 * 1024) {
        buf_append_string(&text, "                ");
    }
    SAYS(buf_string(&text), false, "larger than 1 MiB");
    buf_fini(&text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(every_wrapping_is_understood),
            cmocka_unit_test(a_file_may_hold_several_rules),
            cmocka_unit_test(errors_are_told_at_their_place_in_the_document),
            cmocka_unit_test(members_are_checked),
            cmocka_unit_test(actions_are_checked),
            cmocka_unit_test(functions_of_cloudformation_are_told),
            cmocka_unit_test(a_name_has_128_characters_at_most),
            cmocka_unit_test(a_rule_has_ten_actions_at_most),
            cmocka_unit_test(tables_of_actions_are_implied),
            cmocka_unit_test(what_is_written_reads_as_the_same_rule),
            cmocka_unit_test(a_huge_document_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
