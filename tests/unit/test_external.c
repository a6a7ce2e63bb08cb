/*
 * Functions that ask others: how a failure ends the rule, and what is refused at load. What the
 * functions give: test_functions.c and the vectors. What the gateway answers: test_host.c.
 */
#include "unit.h"

#include "base/buf.h"
#include "rules/rule.h"

#include <stdio.h>

/* ---- a host that answers what its context says, and notes what it was asked ---- */

struct stub {
    enum rule_answer result;
    const char *answer;
    struct buf asked;
};

static enum rule_answer
answer(void *context, struct rule_ask *ask)
{
    struct stub *stub = context;
    buf_printf(&stub->asked, "%d", (int)ask->question);
    for (size_t i = 0; i < ask->count; i++) {
        buf_printf(&stub->asked, " %.*s", BYTES_ARG(ask->args[i]));
    }
    buf_append_char(&stub->asked, ';');
    ask->answer = bytes_of_string(stub->answer);
    return stub->result;
}

struct outcome {
    enum rule_verdict verdict;
    char row[200];    /* or the reason */
    char target[200]; /* of the first output */
    char asked[400];
};

static struct outcome
run_rules(const char *text, struct stub *stub)
{
    const struct rule_host host = {.ask = answer, .context = stub};
    struct arena arena = {0};
    struct diag_list diags = {0};
    struct rule_file *file;
    struct outcome outcome = {0};
    if (!rule_file_parse(&file, BYTES("test.sql"), bytes_of_string(text), &diags)) {
        fail_msg("%s: %.*s", text, BYTES_ARG(diag_first_error(&diags)));
    }
    struct rule_message message = {.arena = &arena,
                                   .topic = BYTES("t"),
                                   .payload = BYTES("{\"a\": 1, \"s\": \"x\"}"),
                                   .host = stub == NULL ? NULL : &host};
    struct rule_row row;
    outcome.verdict = rule_run(file->rules[0], &message, &row);
    if (outcome.verdict == RULE_FAILED) {
        assert_int_equal(row.output_count, 0);
        snprintf(outcome.row, sizeof outcome.row, "%s", row.reason);
    } else {
        snprintf(outcome.row, sizeof outcome.row, "%.*s", BYTES_ARG(row.payload));
    }
    if (row.output_count > 0) {
        snprintf(outcome.target, sizeof outcome.target, "%.*s", BYTES_ARG(row.outputs[0].text));
    }
    if (stub != NULL) {
        snprintf(outcome.asked, sizeof outcome.asked, "%s", buf_string(&stub->asked));
        buf_fini(&stub->asked);
    }
    arena_fini(&arena);
    rule_file_free(file);
    diag_list_fini(&diags);
    return outcome;
}

#define SHADOW "get_thing_shadow(s, \"role\").v"
#define FAILING (&(struct stub){RULE_ASK_FAILED, "out of order", {0}})
#define GIVING(text) (&(struct stub){RULE_ANSWERED, text, {0}})

static void
assert_fails(const char *text)
{
    struct outcome outcome = run_rules(text, FAILING);
    if (outcome.verdict != RULE_FAILED ||
        strcmp(outcome.row, "get_thing_shadow: out of order") != 0) {
        fail_msg("%s: verdict %d, %s", text, (int)outcome.verdict, outcome.row);
    }
    assert_string_equal(outcome.asked, "0 x;"); /* once: after the first failure nobody is asked */
}

static void
a_failure_ends_the_rule_wherever_it_is(void **state)
{
    assert_fails("INSERT INTO 'o' SELECT " SHADOW " AS v, " SHADOW " AS w FROM 't';");
    assert_fails("INSERT INTO 'o' SELECT a FROM 't' WHERE " SHADOW " = 1;");
    assert_fails("INSERT INTO 'o' SELECT a FROM 't' WHERE NOT isUndefined(" SHADOW ");");
    assert_fails("INSERT INTO 'o' SET @x = " SHADOW " SELECT a FROM 't' WHERE a = 2;");
    assert_fails("INSERT INTO 'o/${" SHADOW "}', 'p' SELECT a FROM 't';");
    assert_fails("INSERT INTO 'o' SET @l = [1, 2] SELECT (SELECT VALUE " SHADOW " FROM @l) AS v "
                 "FROM 't';");
    assert_fails("INSERT INTO 'o' SELECT " SHADOW " AS v, get_or_default(a, 2) AS b FROM 't';");
}

static void
what_is_not_evaluated_cannot_fail(void **state)
{
    struct outcome outcome = run_rules("INSERT INTO 'o' SELECT a FROM 't' WHERE a = 1 OR " SHADOW
                                       " = 1;", FAILING);
    assert_int_equal(outcome.verdict, RULE_MATCHED);
    assert_string_equal(outcome.asked, "");
    outcome = run_rules("INSERT INTO 'o' SELECT " SHADOW " AS v FROM 't' WHERE a = 2;", FAILING);
    assert_int_equal(outcome.verdict, RULE_FILTERED);
}

static void
get_or_default_catches_a_failure(void **state)
{
    struct outcome outcome = run_rules("INSERT INTO 'o/${get_or_default(" SHADOW ", \"d\")}' "
                                       "SELECT get_or_default(" SHADOW ", a) AS v, "
                                       "get_or_default(isUndefined(" SHADOW ")) AS w FROM 't';",
                                       FAILING);
    assert_int_equal(outcome.verdict, RULE_MATCHED);
    assert_string_equal(outcome.row, "{\"v\":1}");
    assert_string_equal(outcome.target, "o/d");
    outcome = run_rules("INSERT INTO 'o' SELECT get_or_default(" SHADOW ", a) AS v FROM 't';",
                        GIVING("{\"v\": 5.50}"));
    assert_string_equal(outcome.row, "{\"v\":5.50}");
}

static void
none_is_not_a_failure(void **state)
{
    struct outcome outcome = run_rules("INSERT INTO 'o' SELECT a, get_dynamodb('t', 'k', a, 'r') "
                                       "AS item FROM 't';",
                                       &(struct stub){RULE_NO_SUCH, "", {0}});
    assert_int_equal(outcome.verdict, RULE_MATCHED);
    assert_string_equal(outcome.row, "{\"a\":1}");
    assert_string_equal(outcome.asked, "1 t k 1;");
}

static void
bad_arguments_and_answers_are_failures(void **state)
{
    static const struct {
        const char *call, *reason;
    } cases[] = {
            {"get_thing_shadow(missing, 'role')",
             "get_thing_shadow: argument 1 is Undefined, null or empty"},
            {"get_dynamodb('t', 'k', [1], 'role')",
             "get_dynamodb: the key in argument 3 is neither a string nor a number"},
            {"aws_lambda('f', missing)", "aws_lambda: argument 2 is Undefined"},
            {"machinelearning_predict('m', 'role', 1)",
             "machinelearning_predict: the record is not an object"},
            {"get_thing_shadow(s, 'role')", "get_thing_shadow: the answer is not JSON: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[200];
        snprintf(text, sizeof text, "INSERT INTO 'o' SELECT %s AS v FROM 't';", cases[i].call);
        struct outcome outcome = run_rules(text, GIVING("oops"));
        assert_int_equal(outcome.verdict, RULE_FAILED);
        if (strncmp(outcome.row, cases[i].reason, strlen(cases[i].reason)) != 0) {
            fail_msg("%s: %s", cases[i].call, outcome.row);
        }
    }
    struct outcome outcome = run_rules("INSERT INTO 'o' SELECT " SHADOW " AS v FROM 't';", NULL);
    assert_string_equal(outcome.row, "get_thing_shadow: there is nobody to ask here");
}

static void
arguments_reach_the_host(void **state)
{
    static const struct {
        const char *call, *asked;
    } cases[] = {
            {"get_thing_shadow(s, 'named', 'role')", "0 x named;"},
            {"get_dynamodb('t', 'k', s, 'r', 1.50, 'role')", "1 t k \"x\" r 1.5;"},
            {"aws_lambda('arn:aws:lambda:r:1:function:f', {'v': [a, s]})",
             "3 arn:aws:lambda:r:1:function:f {\"v\":[1,\"x\"]};"},
            {"aws_lambda('f', *)", "3 f {\"a\":1,\"s\":\"x\"};"},
            {"get_registry_data('DescribeThing', s, 'role')", "4 x;"},
            {"get_registry_data(\"ListThingGroupsForThing\", s, 'role')", "5 x;"},
            {"machinelearning_predict('m', 'role', {'n': a, 'o': {'p': 1}})",
             "6 m {\"n\":1,\"o\":\"{\\\"p\\\":1}\"};"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[200];
        snprintf(text, sizeof text, "INSERT INTO 'o' SELECT %s AS v FROM 't';", cases[i].call);
        assert_string_equal(run_rules(text, GIVING("1")).asked, cases[i].asked);
    }
}

/* ---- at load ---- */

#define INTO "INSERT INTO 'o' "
#define FROM " FROM 't';"
#define ITEM "get_dynamodb('t', 'k', a, 'role')"
#define PROTO "decode(*, 'proto', 'b', 'k', 'f.proto', 'M')"

static void
what_cannot_work_is_refused_at_load(void **state)
{
    static const struct {
        const char *text, *message, *hint;
    } cases[] = {
            {INTO "SELECT get_thing_shadow(s) AS v" FROM, "'get_thing_shadow' with 1 arguments",
             "write get_thing_shadow("},
            {INTO "SELECT get_dynamodb('t', 'k', a, 'r', 'role') AS v" FROM,
             "'get_dynamodb' with 5 arguments", "write get_dynamodb("},
            {INTO "SELECT aws_lambda('f') AS v" FROM, "'aws_lambda' with 1 arguments", "write aws_"},
            {INTO "SELECT get_registry_data('DescribeThings', s, 'r') AS v" FROM,
             "this argument is 'DescribeThing' or 'ListThingGroupsForThing', written out",
             "did you mean 'DescribeThing'?"},
            {INTO "SELECT get_registry_data(s, s, 'r') AS v" FROM,
             "this argument is 'DescribeThing' or 'ListThingGroupsForThing', written out", "did"},
            {INTO "SELECT a" " FROM 't' WHERE get_secret('i', 'SecretBin', 'r') = s;",
             "this argument is 'SecretString' or 'SecretBinary', written out",
             "did you mean 'SecretBinary'?"},
            {INTO "SELECT get_secret('i', 'SecretString', 'r') AS v" FROM,
             "a secret would become part of the row and be stored", "use it in WHERE"},
            {INTO "SET @s = get_secret('i', 'SecretString', 'r') SELECT a" FROM,
             "a secret would become part of the row and be stored", "use it in WHERE"},
            {"INSERT INTO 'o/${get_secret(''i'', ''SecretString'', ''r'')}' SELECT a" FROM,
             "in the template: a secret would become part of a topic", "use it in WHERE"},
            {INTO "SELECT " ITEM " AS v FROM 't' WHERE " ITEM ".x = 1;",
             "a rule may call 'get_dynamodb' once", "SET @x = get_dynamodb(...)"},
            {"INSERT INTO 'o/${" "get_dynamodb(\"t\", \"k\", a, \"role\")" "}' SELECT " ITEM
             " AS v" FROM, "a rule may call 'get_dynamodb' once", "SET @x"},
            {INTO "SELECT " PROTO " AS a, " PROTO " AS b, " PROTO " AS c" FROM,
             "a rule may call 'decode(..., 'proto', ...)' twice", "make two rules"},
            {"INSERT INTO 'o/${decode(*, \"proto\", \"b\", \"k\", \"f\", \"M\")}' SELECT a" FROM,
             "a template cannot decode protobuf", "decode it in SET"},
            {INTO "SELECT decode(*, 'proto', 'b') AS v" FROM,
             "'decode' takes 2 arguments, for protobuf 6", "decode(*, 'proto'"},
            {INTO "SELECT get_or_default(a, " SHADOW ") AS v" FROM,
             "a default cannot ask others: it must not fail", "give a constant"},
            {INTO "SELECT get_or_default(a, (SELECT " SHADOW " AS q FROM s)) AS v" FROM,
             "a default cannot ask others: it must not fail", "give a constant"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct diag_list diags = {0};
        struct rule_file *file;
        if (rule_file_parse(&file, BYTES("test.sql"), bytes_of_string(cases[i].text), &diags)) {
            fail_msg("accepted: %s", cases[i].text);
        }
        const struct diag *error = &diags.items[0];
        while (error->level != DIAG_ERROR) {
            error++;
        }
        assert_bytes(error->message, cases[i].message);
        assert_true(bytes_starts_with(error->hint, bytes_of_string(cases[i].hint)));
        assert_int_equal(error->place.line, 1);
        assert_true(error->place.column > 1);
        diag_list_fini(&diags);
    }
}

static void
rules_that_take_their_time_are_marked(void **state)
{
    struct diag_list diags = {0};
    struct rule_file *file;
    assert_true(rule_file_parse(&file, BYTES("test.sql"),
                                BYTES("INSERT INTO 'o' SELECT aws_lambda('f', *) AS v FROM 't';"
                                      "INSERT INTO 'o' SELECT " SHADOW " AS v FROM 't';"
                                      "INSERT INTO 'o/${aws_lambda(''f'', 1)}' SELECT a FROM 't';"),
                                &diags));
    assert_true(rule_info(file->rules[0])->calls_functions);
    assert_false(rule_info(file->rules[1])->calls_functions);
    assert_true(rule_info(file->rules[2])->calls_functions);
    rule_file_free(file);
    diag_list_fini(&diags);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_failure_ends_the_rule_wherever_it_is),
            cmocka_unit_test(what_is_not_evaluated_cannot_fail),
            cmocka_unit_test(get_or_default_catches_a_failure),
            cmocka_unit_test(none_is_not_a_failure),
            cmocka_unit_test(bad_arguments_and_answers_are_failures),
            cmocka_unit_test(arguments_reach_the_host),
            cmocka_unit_test(what_cannot_work_is_refused_at_load),
            cmocka_unit_test(rules_that_take_their_time_are_marked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
