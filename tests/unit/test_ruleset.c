/* Folders of rule files: what is loaded, what falls back, what is reported. */
#include "unit.h"

#include "ruleset.h"

#include "base/os.h"

#include <stdio.h>
#include <unistd.h>

static char dir[64];
static const char *const names[] = {"a.sql", "b.sql", "c.sql", "d.sql", "e.sql",
                                    "tables.sql", ".b.sql.swp", "b.sql~", "_x.sql", "0.sql",
                                    "d.json", "e.json", "a.test", "b.test", "d.test"};

static char *
path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void
put(const char *name, const char *text)
{
    assert_int_equal(os_replace_file(&os_posix, path_of(name), bytes_of_string(text), 0600), 0);
}

static int
set_up(void **state)
{
    snprintf(dir, sizeof dir, "/tmp/headgate-unit-XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
tear_down(void **state)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        unlink(path_of(names[i]));
    }
    return rmdir(dir);
}

/* Loads, frees the generation before, and leaves what was said in `said`. */
static struct ruleset *
load(struct ruleset *previous, struct ruleset_report *report, struct buf *said)
{
    struct diag_list diags = {0};
    struct ruleset *ruleset;
    assert_true(ruleset_load(&ruleset, dir, previous, NULL, report, &diags));
    ruleset_free(previous);
    buf_clear(said);
    diag_list_print(&diags, said);
    diag_list_fini(&diags);
    return ruleset;
}

static bool
has_rule(const struct ruleset *ruleset, const char *name)
{
    for (size_t i = 0; i < ruleset->rule_count; i++) {
        if (bytes_equal_string(ruleset->rules[i].info->name, name)) {
            return true;
        }
    }
    return false;
}

static void
assert_says(struct buf *said, const char *what)
{
    if (strstr(buf_string(said), what) == NULL) {
        fail_msg("'%s' is not in:\n%s", what, buf_string(said));
    }
}

static void
files_link_across_and_others_are_ignored(void **state)
{
    struct ruleset_report report;
    struct buf said = {0};
    put("a.sql", "INSERT INTO readings SELECT * FROM 'a/+';");
    put("tables.sql", "CREATE TABLE readings WITH ('connector' = 'null');");
    put(".b.sql.swp", "garbage");
    put("b.sql~", "garbage");
    put("_x.sql", "garbage");
    struct ruleset *ruleset = load(NULL, &report, &said);
    assert_string_equal(buf_string(&said), "");
    assert_int_equal(report.files, 2);
    assert_int_equal(report.broken, 0);
    assert_int_equal(ruleset->rule_count, 1);
    assert_int_equal(ruleset->relation_count, 1);
    assert_bytes(ruleset->relations[0].declared->name, "readings");
    assert_ptr_equal(ruleset->rules[0].targets[0].relation, &ruleset->relations[0]);
    size_t count;
    struct bytes *filters = ruleset_filters(ruleset, &count);
    assert_int_equal(count, 1);
    assert_bytes(filters[0], "a/+");
    free(filters);
    ruleset_free(ruleset);
    buf_fini(&said);
}

static void
a_broken_file_keeps_its_last_good_version(void **state)
{
    struct ruleset_report report;
    struct buf said = {0};
    put("a.sql", "INSERT INTO 'out' SELECT * FROM 'a/+';");
    put("b.sql", "INSERT INTO 'out' SELECT * FROM 'b/+';");
    struct ruleset *ruleset = load(NULL, &report, &said);
    atomic_store(&ruleset->rules[0].counters->messages, 7);

    put("a.sql", "INSERT INTO 'out' SELEC * FROM 'a/+';");
    ruleset = load(ruleset, &report, &said);
    assert_int_equal(report.broken, 1);
    assert_int_equal(report.kept, 1);
    assert_says(&said, "a.sql:1:19: error:");
    assert_true(has_rule(ruleset, "a") && has_rule(ruleset, "b"));
    assert_int_equal(ruleset->rules[0].counters->messages, 7);

    put("a.sql", "INSERT INTO 'out' SELECT v FROM 'a/+';");
    ruleset = load(ruleset, &report, &said);
    assert_string_equal(buf_string(&said), "");
    assert_int_equal(report.broken, 0);
    assert_int_equal(ruleset->rules[0].counters->messages, 7);
    ruleset_free(ruleset);
    buf_fini(&said);
}

static void
a_new_broken_file_is_left_out(void **state)
{
    struct ruleset_report report;
    struct buf said = {0};
    put("a.sql", "INSERT INTO 'out' SELECT * FROM 'a/+';");
    put("b.sql", "INSERT INTO nowhere SELECT * FROM 'b/+';");
    put("tables.sql", "CREATE RULE c WITH ('on_error' = 'nobody') AS "
                 "INSERT INTO 'out' SELECT * FROM 'c';");
    struct ruleset *ruleset = load(NULL, &report, &said);
    assert_int_equal(report.broken, 2);
    assert_int_equal(report.kept, 0);
    assert_says(&said, "tables.sql:1:34: error: unknown table 'nobody'");
    assert_says(&said, "b.sql:1:13: error: unknown table 'nowhere'");
    assert_true(has_rule(ruleset, "a") && !has_rule(ruleset, "b"));
    ruleset_free(ruleset);
    buf_fini(&said);
}

/* The table's file breaks: the rules that use it go on, because the table does. */
static void
a_broken_table_takes_no_rule_with_it(void **state)
{
    struct ruleset_report report;
    struct buf said = {0};
    put("a.sql", "INSERT INTO readings SELECT * FROM 'a/+';");
    put("tables.sql", "CREATE TABLE readings WITH ('connector' = 'null');");
    struct ruleset *ruleset = load(NULL, &report, &said);
    put("tables.sql", "CREATE TABLE readings WITH ('connector' = 'nul');");
    ruleset = load(ruleset, &report, &said);
    assert_says(&said, "unknown connector 'nul'");
    assert_says(&said, "did you mean 'null'?");
    assert_true(has_rule(ruleset, "a"));
    assert_int_equal(ruleset->relation_count, 1);
    ruleset_free(ruleset);
    buf_fini(&said);
}

static void
names_are_unique_and_options_checked(void **state)
{
    struct ruleset_report report;
    struct buf said = {0};
    put("a.sql", "CREATE TABLE t WITH ('connector' = 'null');");
    put("b.sql", "CREATE TABLE t WITH ('connector' = 'null');");
    struct ruleset *ruleset = load(NULL, &report, &said);
    assert_says(&said, "table 't' exists already");
    assert_int_equal(ruleset->relation_count, 1);
    put("b.sql", "CREATE TABLE u WITH ('connector' = 'null', 'delya' = '1s', 'delay' = 'x');");
    ruleset = load(ruleset, &report, &said);
    assert_says(&said, "unknown option 'delya'");
    assert_says(&said, "did you mean 'delay'?");
    assert_says(&said, "option 'delay' is 'x', expected a duration");
    ruleset_free(ruleset);
    buf_fini(&said);
}

/* The copy sorts before the file that runs, and yet does not take its names. */
static void
a_newcomer_takes_no_name_of_what_runs(void **state)
{
    struct ruleset_report report;
    struct buf said = {0};
    static const char text[] = "CREATE TABLE t WITH ('connector' = 'null');"
                               "CREATE RULE r AS INSERT INTO t SELECT * FROM 'a';";
    put("a.sql", text);
    struct ruleset *ruleset = load(NULL, &report, &said);
    put("0.sql", text);
    ruleset = load(ruleset, &report, &said);
    assert_says(&said, "0.sql:1:14: error: table 't' exists already");
    assert_int_equal(report.broken, 1);
    assert_int_equal(ruleset->rule_count, 1);
    assert_true(has_rule(ruleset, "r"));
    ruleset_free(ruleset);
    buf_fini(&said);
}

static void
names_that_the_gateway_needs_are_refused(void **state)
{
    static const char *const refused[] = {"topic", "mqtt", "`../x`", "`.hidden`", "`a/b`"};
    struct ruleset_report report;
    struct buf said = {0};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct buf text = {0};
        buf_printf(&text, "CREATE TABLE %s WITH ('connector' = 'null');", refused[i]);
        put("a.sql", buf_string(&text));
        struct ruleset *ruleset = load(NULL, &report, &said);
        assert_int_equal(report.broken, 1);
        assert_says(&said, "hint: ");
        ruleset_free(ruleset);
        buf_fini(&text);
    }
    buf_fini(&said);
}

static bool
provide_all_but_u(void *context, const struct ruleset_relation *relation, struct diag_list *diags)
{
    if (!bytes_equal_string(relation->declared->name, "u")) {
        return true;
    }
    diag_error(diags, DIAG_IO, "no room for u");
    return false;
}

static void
a_table_that_cannot_be_opened_leaves_out_its_file(void **state)
{
    const struct ruleset_provider provider = {provide_all_but_u, NULL};
    struct ruleset_report report;
    struct diag_list diags = {0};
    struct ruleset *ruleset;
    put("a.sql", "CREATE TABLE t WITH ('connector' = 'null'); INSERT INTO t SELECT * FROM 'a';");
    put("b.sql", "CREATE TABLE u WITH ('connector' = 'null'); INSERT INTO u SELECT * FROM 'b';");
    assert_true(ruleset_load(&ruleset, dir, NULL, &provider, &report, &diags));
    assert_int_equal(report.unprovided, 1);
    assert_true(has_rule(ruleset, "a") && !has_rule(ruleset, "b"));
    assert_bytes(diag_first_error(&diags), "no room for u");
    ruleset_free(ruleset);
    diag_list_fini(&diags);
}

/* Somebody moves the folder away and a new one in its place: in between nothing must stop. */
static void
a_folder_that_vanishes_changes_nothing(void **state)
{
    struct ruleset_report report;
    struct diag_list diags = {0};
    struct buf said = {0};
    struct ruleset *next;
    put("a.sql", "INSERT INTO 'out' SELECT * FROM 'a/+';");
    struct ruleset *ruleset = load(NULL, &report, &said);
    assert_false(ruleset_load(&next, "/nonexistent/rules.d", ruleset, NULL, &report, &diags));
    assert_int_equal(diags.errors, 1);
    ruleset_free(ruleset);
    buf_fini(&said);
    diag_list_fini(&diags);
}

/* What `headgate try --sql` takes. */
static void
a_query_alone_is_a_rule_without_targets(void **state)
{
    struct diag_list diags = {0};
    struct ruleset *ruleset;
    assert_true(ruleset_load_text(&ruleset, BYTES("--sql"), BYTES(" select a FROM 'x'"), &diags));
    assert_int_equal(ruleset->rule_count, 1);
    assert_int_equal(ruleset->rules[0].info->target_count, 0);
    ruleset_free(ruleset);
    assert_false(ruleset_load_text(&ruleset, BYTES("--sql"), BYTES("SELEC a FROM 'x'"), &diags));
    assert_bytes(diags.items[0].hint, "did you mean 'SELECT'?");
    diag_list_fini(&diags);
}

static void
a_missing_folder_is_an_empty_generation(void **state)
{
    struct ruleset_report report;
    struct diag_list diags = {0};
    struct ruleset *ruleset;
    assert_true(ruleset_load(&ruleset, "/nonexistent/rules.d", NULL, NULL, &report, &diags));
    assert_int_equal(ruleset->rule_count, 0);
    assert_int_equal(diags.count, 1);
    assert_int_equal(diags.errors, 0);
    ruleset_free(ruleset);
    diag_list_fini(&diags);
}

#define DOCUMENT(actions)                                                              \
    "{\"sql\":\"SELECT * FROM 'd/+'\",\"awsIotSqlVersion\":\"2016-03-23\",\"actions\":[" \
    actions "]}"
#define DYNAMODB(key)                                                   \
    "{\"dynamoDB\":{\"tableName\":\"items\",\"hashKeyField\":\"" key    \
    "\",\"hashKeyValue\":\"x\"}}"

static void
documents_are_rules_like_others(void **state)
{
    struct ruleset_report report;
    struct buf said = {0};
    put("a.sql", "INSERT INTO 'out' SELECT * FROM 'a/+';");
    put("d.json", DOCUMENT("{\"republish\":{\"topic\":\"out\"}}," DYNAMODB("id")));
    struct ruleset *ruleset = load(NULL, &report, &said);
    assert_string_equal(buf_string(&said), "");
    assert_int_equal(report.files, 2);
    assert_true(has_rule(ruleset, "a") && has_rule(ruleset, "d"));
    assert_int_equal(ruleset->relation_count, 1);
    assert_bytes(ruleset->relations[0].declared->name, "items");
    assert_bytes(ruleset->relations[0].declared->connector, "dynamodb");
    assert_null(ruleset->rules[1].targets[0].relation);
    assert_ptr_equal(ruleset->rules[1].targets[1].relation, &ruleset->relations[0]);

    put("d.json", DOCUMENT("{\"republsh\":{\"topic\":\"out\"}}"));
    ruleset = load(ruleset, &report, &said);
    assert_int_equal(report.kept, 1);
    assert_says(&said, "did you mean 'republish'?");
    assert_true(has_rule(ruleset, "d"));
    ruleset_free(ruleset);
    buf_fini(&said);
}

static void
actions_share_tables_or_disagree(void **state)
{
    struct ruleset_report report;
    struct buf said = {0};
    put("d.json", DOCUMENT(DYNAMODB("id")));
    put("e.json", DOCUMENT("{\"dynamoDBv2\":{\"putItem\":{\"tableName\":\"items\"}}},"
                           DYNAMODB("id")));
    struct ruleset *ruleset = load(NULL, &report, &said);
    assert_string_equal(buf_string(&said), "");
    assert_int_equal(ruleset->rule_count, 2);
    assert_int_equal(ruleset->relation_count, 1);

    put("e.json", DOCUMENT(DYNAMODB("other")));
    ruleset = load(ruleset, &report, &said);
    assert_says(&said, "dynamoDB: 'items' is wanted with other settings elsewhere");
    assert_says(&said, "d.json:1:");

    unlink(path_of("e.json"));
    put("tables.sql", "CREATE TABLE items WITH ('connector' = 'table', 'partition_key' = 'id');");
    ruleset = load(ruleset, &report, &said);
    assert_string_equal(buf_string(&said), "");
    assert_int_equal(ruleset->relation_count, 1);
    assert_bytes(ruleset->relations[0].declared->connector, "table");

    put("tables.sql", "CREATE TABLE items WITH ('connector' = 'null');");
    ruleset_free(ruleset);
    ruleset = load(NULL, &report, &said);
    assert_says(&said, "dynamoDB: 'items' is something else");
    assert_says(&said, "tables.sql:1:14: 'items' has the connector 'null'");
    assert_int_equal(ruleset->rule_count, 0);
    ruleset_free(ruleset);
    buf_fini(&said);
}

static void
a_new_table_takes_nothing_from_an_action_that_runs(void **state)
{
    struct ruleset_report report;
    struct buf said = {0};
    put("d.json", DOCUMENT(DYNAMODB("id")));
    struct ruleset *ruleset = load(NULL, &report, &said);
    put("a.sql", "CREATE TABLE items WITH ('connector' = 'null');");
    ruleset = load(ruleset, &report, &said);
    assert_says(&said, "a.sql:1:14: error: 'items' is used by an action that needs the connector "
                       "'dynamodb'");
    assert_says(&said, "d.json:1:");
    assert_true(has_rule(ruleset, "d"));
    assert_bytes(ruleset->relations[0].declared->connector, "dynamodb");
    put("a.sql", "CREATE TABLE items WITH ('connector' = 'table', 'partition_key' = 'id');");
    ruleset = load(ruleset, &report, &said);
    assert_string_equal(buf_string(&said), "");
    assert_bytes(ruleset->relations[0].declared->connector, "table");
    ruleset_free(ruleset);
    buf_fini(&said);
}

static void
actions_that_cannot_run_are_told(void **state)
{
    struct ruleset_report report;
    struct buf said = {0};
    static const struct {
        const char *document, *said, *hint;
    } cases[] = {
            {DOCUMENT("{\"sqs\":{\"queueUrl\":\"https://q/1/n\"}}"),
             "the action sqs needs the connector 'sqs', which is not built yet",
             "'headgate help drivers' lists"},
            {DOCUMENT("{\"stepFunctions\":{\"stateMachineName\":\"m\"}}"),
             "the action stepFunctions cannot run here", "hint: call a function of your own"},
            {DOCUMENT("{\"lambda\":{\"functionArn\":\"arn:aws:lambda:r:1:function:f:a\"}}"),
             "lambda: there is no function 'f'", "CREATE FUNCTION f AS 'f.c' LANGUAGE C;"},
            {DOCUMENT("{\"dynamoDBv2\":{\"putItem\":{\"tableName\":\"t\"}}}"),
             "dynamoDBv2: there is no table 't'", "'partition_key' = '...'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put("d.json", cases[i].document);
        struct ruleset *ruleset = load(NULL, &report, &said);
        assert_int_equal(report.broken, 1);
        assert_int_equal(ruleset->rule_count, 0);
        assert_says(&said, "d.json:1:");
        assert_says(&said, cases[i].said);
        assert_says(&said, cases[i].hint);
        ruleset_free(ruleset);
    }
    buf_fini(&said);
}

static void
fail_when_found(void *context, uint32_t index)
{
    fail_msg("rule %u is run", index);
}

static void
a_disabled_rule_is_loaded_and_not_run(void **state)
{
    struct ruleset_report report;
    struct buf said = {0};
    size_t count;
    put("d.json", "{\"sql\":\"SELECT * FROM 'd/+'\",\"awsIotSqlVersion\":\"2016-03-23\","
                  "\"ruleDisabled\":true,\"actions\":[{\"republish\":{\"topic\":\"out\"}}]}");
    struct ruleset *ruleset = load(NULL, &report, &said);
    assert_int_equal(ruleset->rule_count, 1);
    assert_true(ruleset->rules[0].info->disabled);
    topic_trie_match(ruleset->topics, BYTES("d/x"), fail_when_found, NULL);
    free(ruleset_filters(ruleset, &count));
    assert_int_equal(count, 0);
    ruleset_free(ruleset);
    buf_fini(&said);
}

static const char ABOVE_60[] = "INSERT INTO 'out' SELECT t FROM 'a/+' WHERE t > 60;";
static const char ABOVE_20[] = "INSERT INTO 'out' SELECT t FROM 'a/+' WHERE t > 20;";
static const char TEST_OF_61[] = "a/1 {\"t\":61}\n=> out {\"t\":61}\na/1 {\"t\":60}\n";
static const char TEST_OF_21[] = "a/1 {\"t\":21}\n=> out {\"t\":21}\na/1 {\"t\":20}\n";

static bool
runs_text(const struct ruleset *ruleset, const char *rule, const char *text)
{
    for (size_t i = 0; i < ruleset->rule_count; i++) {
        const struct rule_info *info = ruleset->rules[i].info;
        if (bytes_equal_string(info->name, rule)) {
            return strncmp(info->text.data, text, info->text.size) == 0;
        }
    }
    return false;
}

static void
a_file_that_fails_its_test_keeps_its_last_good_version(void **state)
{
    struct ruleset_report report;
    struct buf said = {0};
    put("a.sql", ABOVE_60);
    put("a.test", TEST_OF_61);
    put("b.sql", "INSERT INTO 'out' SELECT * FROM 'b/+';");
    struct ruleset *ruleset = load(NULL, &report, &said);
    assert_string_equal(buf_string(&said), "");
    assert_int_equal(report.broken, 0);

    put("a.sql", ABOVE_20);
    ruleset = load(ruleset, &report, &said);
    assert_says(&said, "a.test:3:1: error: rule 'a' gives what is not expected: => out {\"t\":60}");
    assert_int_equal(report.broken, 1);
    assert_int_equal(report.kept, 1);
    assert_true(runs_text(ruleset, "a", ABOVE_60) && has_rule(ruleset, "b"));

    put("a.test", TEST_OF_21);
    ruleset = load(ruleset, &report, &said);
    assert_string_equal(buf_string(&said), "");
    assert_int_equal(report.broken, 0);
    assert_true(runs_text(ruleset, "a", ABOVE_20));
    ruleset_free(ruleset);
    buf_fini(&said);
}

/* The rules are what they were, but what is asked of them is not. */
static void
a_changed_test_is_run_and_so_is_a_failing_one_again(void **state)
{
    struct ruleset_report report;
    struct buf said = {0};
    put("a.sql", ABOVE_60);
    struct ruleset *ruleset = load(NULL, &report, &said);
    put("a.test", TEST_OF_21);
    for (int i = 0; i < 2; i++) {
        ruleset = load(ruleset, &report, &said);
        assert_says(&said, "a.test:2:4: error: expected, but it does not come");
        assert_int_equal(report.kept, 1);
        assert_true(runs_text(ruleset, "a", ABOVE_60));
    }
    put("a.test", TEST_OF_61);
    ruleset = load(ruleset, &report, &said);
    assert_string_equal(buf_string(&said), "");
    assert_int_equal(report.changed, 1);
    ruleset = load(ruleset, &report, &said);
    assert_int_equal(report.changed, 0);
    ruleset_free(ruleset);
    buf_fini(&said);
}

static void
a_new_file_that_fails_its_test_is_left_out(void **state)
{
    struct ruleset_report report;
    struct buf said = {0};
    put("a.sql", ABOVE_20);
    put("a.test", "what is this\n=> \n");
    put("b.sql", "INSERT INTO 'out' SELECT * FROM 'b/+';");
    struct ruleset *ruleset = load(NULL, &report, &said);
    assert_says(&said, "a.test:2:1: error: no payload behind the target");
    assert_int_equal(report.broken, 1);
    assert_true(!has_rule(ruleset, "a") && has_rule(ruleset, "b"));
    ruleset_free(ruleset);
    buf_fini(&said);
}

/* With the parameters of its actions; and also while it is disabled, so that it can be. */
static void
a_document_has_a_test_like_other_rules(void **state)
{
    struct ruleset_report report;
    struct buf said = {0};
    put("d.json", DOCUMENT("{\"republish\":{\"topic\":\"out\",\"qos\":1}}"));
    put("d.test", "d/1 {\"a\":1}\n=> out {\"a\":1} with {\"qos\":0}\n");
    struct ruleset *ruleset = load(NULL, &report, &said);
    assert_says(&said, "d.test:2:4: error: expected, but rule 'd' gives => out {\"a\":1} with ");
    assert_int_equal(ruleset->rule_count, 0);
    put("d.test", "d/1 {\"a\":1}\n=> out {\"a\":1} with {\"qos\":1}\n");
    ruleset = load(ruleset, &report, &said);
    assert_string_equal(buf_string(&said), "");
    put("d.json", "{\"sql\":\"SELECT * FROM 'd/+'\",\"awsIotSqlVersion\":\"2016-03-23\","
                  "\"ruleDisabled\":true,\"actions\":[{\"republish\":{\"topic\":\"out\","
                  "\"qos\":1}}]}");
    ruleset = load(ruleset, &report, &said);
    assert_string_equal(buf_string(&said), "");
    assert_true(ruleset->rules[0].info->disabled);
    ruleset_free(ruleset);
    buf_fini(&said);
}

static void
a_test_without_rules_is_told(void **state)
{
    struct ruleset_report report;
    struct buf said = {0};
    put("a.sql", ABOVE_60);
    put("b.test", TEST_OF_61);
    struct ruleset *ruleset = load(NULL, &report, &said);
    assert_says(&said, "b.test: warning: a test without rules: there is no ");
    assert_int_equal(report.broken, 0);
    ruleset_free(ruleset);
    buf_fini(&said);
}

#define TABLE_OF(topic)                                                                           \
    "CREATE TABLE readings (id STRING, v INTEGER, ts TIMESTAMP(3),\n"                             \
    "  WATERMARK FOR ts AS ts) WITH ('connector' = 'mqtt', 'topic' = '" topic "');\n"

static void
stream_sql_reads_what_other_files_declare(void **state)
{
    struct ruleset_report report;
    struct buf said = {0};
    put("a.sql", "INSERT INTO 'out' SELECT id, COUNT(*) AS n FROM warm\n"
                 "GROUP BY id, TUMBLE(ts, INTERVAL '1' MINUTE);");
    put("b.sql", "CREATE VIEW warm AS SELECT id, ts FROM readings WHERE v > 20;");
    put("c.sql", TABLE_OF("in/+"));
    struct ruleset *ruleset = load(NULL, &report, &said);
    assert_string_equal(buf_string(&said), "");
    assert_int_equal(ruleset->flow_count, 1);
    assert_bytes(ruleset->feeds[0].filter, "in/+");
    const struct stream_program *program = ruleset->rules[0].program;

    ruleset = load(ruleset, &report, &said); /* nothing changed */
    assert_ptr_equal(ruleset->rules[0].program, program);

    put("c.sql", TABLE_OF("from/#")); /* what a.sql uses by way of b.sql */
    ruleset = load(ruleset, &report, &said);
    assert_string_equal(buf_string(&said), "");
    assert_bytes(ruleset->feeds[0].filter, "from/#");

    put("b.sql", "CREATE VIEW warm AS SELECT id, ts FROM readings WHERE w > 20;");
    ruleset = load(ruleset, &report, &said);
    assert_says(&said, "b.sql:1:55: error: unknown column 'w'");
    assert_int_equal(report.kept, 1);
    assert_int_equal(ruleset->flow_count, 1);

    put("b.sql", "CREATE VIEW warm AS SELECT id FROM readings WHERE v > 20;");
    ruleset = load(ruleset, &report, &said); /* nothing is wrong with it, but a.sql needs `ts` */
    assert_says(&said, "a.sql', which runs, needs what this declares");
    assert_int_equal(report.kept, 1);
    assert_int_equal(ruleset->flow_count, 1);
    ruleset_free(ruleset);
    buf_fini(&said);
}

static void
options_of_streams_are_checked(void **state)
{
    struct ruleset_report report;
    struct buf said = {0};
    put("a.sql", "CREATE TABLE s (id STRING) WITH ('connector' = 'kinesis', 'aws.region' = 'eu',\n"
                 "'scan.stream.initpso' = 'LATEST', 'retention' = '1h');\n");
    put("b.sql", "CREATE TABLE t (id STRING) WITH ('connector' = 'mqtt', 'topic' = 'a/#/b');\n");
    put("c.sql", "CREATE TABLE u (id STRING) WITH ('connector' = 'mqtt', 'topic' = 'a/+');\n"
                 "INSERT INTO u SELECT * FROM 'x';\n");
    struct ruleset *ruleset = load(NULL, &report, &said);
    assert_int_equal(report.broken, 3);
    assert_says(&said, "warning: 'aws.region' has no meaning here");
    assert_says(&said, "did you mean 'scan.stream.initpos'?");
    assert_says(&said, "b.sql:1:66: error:");
    assert_says(&said, "nobody can publish to 'a/+', the topic of table 'u'");
    ruleset_free(ruleset);
    buf_fini(&said);
}

static void
no_rule_writes_to_a_table_that_is_only_read(void **state)
{
    struct ruleset_report report;
    struct buf said = {0};
    put("a.sql", "CREATE TABLE f (id STRING) WITH ('connector' = 'filesystem', 'path' = '/x.csv');");
    put("b.sql", "INSERT INTO f SELECT id FROM 'x';");
    struct ruleset *ruleset = load(NULL, &report, &said);
    assert_says(&said, "b.sql:1:13: error: table 'f' is only read: its connector is 'filesystem'");
    assert_int_equal(report.broken, 1);
    ruleset_free(ruleset);
    buf_fini(&said);
}

static void
where_readers_of_streams_begin_is_checked(void **state)
{
    struct ruleset_report report;
    struct buf said = {0};
#define AT "CREATE TABLE s (id STRING) WITH ('connector' = 'stream', 'scan.stream.initpos' = "
    put("a.sql", AT "'AT_TIMESTAMP');\n");
    put("b.sql", AT "'AT_TIMESTAMP', 'scan.stream.initpos-timestamp' = 'noon');\n");
    put("c.sql", AT "'EARLIEST');\n");
    put("d.sql", "CREATE TABLE m (id STRING) WITH ('connector' = 'mqtt', 'topic' = 'a',\n"
                 "'scan.stream.initpos' = 'TRIM_HORIZON');\n");
    put("e.sql", "CREATE TABLE t (id STRING) WITH ('connector' = 'stream',\n"
                 "'scan.stream.initpos' = 'AT_TIMESTAMP',\n"
                 "'scan.stream.initpos-timestamp' = '2026-03-01T12:00:00Z');\n");
#undef AT
    struct ruleset *ruleset = load(NULL, &report, &said);
    assert_int_equal(report.broken, 3);
    assert_says(&said, "a.sql:1:82: error: AT_TIMESTAMP needs a time");
    assert_says(&said, "b.sql:1:132: error: 'noon' is no time");
    assert_says(&said, "c.sql:1:");
    assert_says(&said, "d.sql:2:25: warning: 'TRIM_HORIZON' has no meaning for 'mqtt'");
    assert_int_equal(ruleset->relation_count, 2);
    assert_true(ruleset->relations[1].relation.start_us == INT64_C(1772366400) * 1000000);
    ruleset_free(ruleset);
    buf_fini(&said);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
            TEST(files_link_across_and_others_are_ignored),
            TEST(stream_sql_reads_what_other_files_declare),
            TEST(options_of_streams_are_checked),
            TEST(where_readers_of_streams_begin_is_checked),
            TEST(no_rule_writes_to_a_table_that_is_only_read),
            TEST(a_broken_file_keeps_its_last_good_version),
            TEST(a_new_broken_file_is_left_out),
            TEST(a_broken_table_takes_no_rule_with_it),
            TEST(names_are_unique_and_options_checked),
            TEST(a_newcomer_takes_no_name_of_what_runs),
            TEST(names_that_the_gateway_needs_are_refused),
            TEST(a_table_that_cannot_be_opened_leaves_out_its_file),
            TEST(a_folder_that_vanishes_changes_nothing),
            TEST(a_query_alone_is_a_rule_without_targets),
            TEST(a_missing_folder_is_an_empty_generation),
            TEST(documents_are_rules_like_others),
            TEST(actions_share_tables_or_disagree),
            TEST(a_new_table_takes_nothing_from_an_action_that_runs),
            TEST(actions_that_cannot_run_are_told),
            TEST(a_disabled_rule_is_loaded_and_not_run),
            TEST(a_file_that_fails_its_test_keeps_its_last_good_version),
            TEST(a_changed_test_is_run_and_so_is_a_failing_one_again),
            TEST(a_new_file_that_fails_its_test_is_left_out),
            TEST(a_document_has_a_test_like_other_rules),
            TEST(a_test_without_rules_is_told),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
