/*
 * Tests of rules: what passes, what is told when one does not, and what --update writes.
 *
 * Input lines themselves are in test_trial.c; what a reload does with tests in test_ruleset.c.
 */
#include "unit.h"

#include "ruletest.h"

#include <stdio.h>

static const char RULES[] =
        "CREATE RULE hot AS INSERT INTO 'alerts/${topic(2)}', readings "
        "  SELECT sensor_id, temperature FROM 'sensors/+' WHERE sensor_id <> '' AND temperature > 60;"
        "CREATE RULE clock AS INSERT INTO 'time' SELECT timestamp() AS t FROM 'now';"
        "CREATE RULE copy AS INSERT INTO 'copy' SELECT * FROM 'copy/+';"
        "CREATE RULE size AS INSERT INTO 'sizes' SELECT numbytes(encode(*, 'base64')) AS n "
        "  FROM 'copy/size';"
        "CREATE RULE bad AS INSERT INTO '${a}' SELECT a FROM 'bad';"
        "CREATE RULE after AS INSERT INTO 'after' SELECT x FROM enrich;"
        "CREATE RULE chance AS INSERT INTO 'chance' SELECT rand() AS r FROM 'chance';"
        "CREATE RULE seed AS INSERT INTO 'seeds' SELECT a FROM 'seed';";

struct result {
    bool passed;
    struct ruletest_report report;
    struct buf said, updated;
};

static struct result
run(const char *rules, const char *text)
{
    struct result result = {0};
    struct diag_list diags = {0};
    struct rule_file *file;
    struct ruletest_options options = {
            .os = &os_posix, .differences_max = 10, .updated = &result.updated};
    if (!rule_file_parse(&file, BYTES("r.sql"), bytes_of_string(rules), &diags)) {
        fail_msg("%.*s", BYTES_ARG(diag_first_error(&diags)));
    }
    result.passed = ruletest_run(file, BYTES("r.test"), bytes_of_string(text), &options,
                                 &result.report, &diags);
    assert_int_equal(result.passed, diags.errors == 0);
    diag_list_print(&diags, &result.said);
    rule_file_free(file);
    diag_list_fini(&diags);
    return result;
}

static void
result_fini(struct result *result)
{
    buf_fini(&result->said);
    buf_fini(&result->updated);
}

static void
assert_passes(const char *text)
{
    struct result result = run(RULES, text);
    if (!result.passed) {
        fail_msg("%s", buf_string(&result.said));
    }
    assert_string_equal(buf_string(&result.updated), text);
    result_fini(&result);
}

static void
what_comes_out_is_what_is_written(void **state)
{
    static const char *const cases[] = {
            "# a comment\n\nsensors/7 {\"sensor_id\":\"s7\",\"temperature\":61.50}\n"
            "=> alerts/7 {\"temperature\": 61.5, \"sensor_id\": \"s7\"}\n"
            "# between\n"
            "=>   readings {\"sensor_id\":\"s7\",\"temperature\":615e-1}  \r\n",
            "sensors/7 {\"sensor_id\":\"s7\",\"temperature\":6}\n=> filtered",
            "sensors/7 {\"sensor_id\":\"s7\",\"temperature\":6}\n",
            "sensors/7 {\"sensor_id\":\"s7\"}\n=> undefined\n",
            "other x\n=> unmatched\n",
            "copy/1 plain \"text\"\n=> copy text \"plain \\\"text\\\"\"\n",
            "copy/1 \xff\n=> copy base64 \"/w==\"\n",
            "copy/1 (null)\n=> copy text \"\"\n",
            "{\"topic\":\"copy/1\",\"payload\":\"{\\n\\\"a\\\":\\n1}\"}\n=> copy {\"a\":1}\n",
            "copy/size {}\n=> copy {}\n=> sizes {\"n\":4}\n",
            "bad {\"a\":\"a topic\"}\n=> \"a topic\" {\"a\":\"a topic\"}\n",
            "bad {\"a\":\"filtered\"}\n=> filtered {\"a\":\"filtered\"}\n",
            "bad {\"a\":\"failed:\"}\n=> \"failed:\" {\"a\":\"failed:\"}\n",
            "bad {\"a\":\"#\"}\n=> # failed\n",
            "{\"stream\":\"enrich\",\"payload\":{\"x\":1}}\n=> after {\"x\":1}\n",
            "other x\n+10s\n",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_passes(cases[i]);
    }
}

static void
the_clock_goes_as_the_lines_say(void **state)
{
    assert_passes("now 2026-01-31T12:00:00Z\n"
                  "{\"topic\":\"now\",\"payload\":{}}\n"
                  "=> time {\"t\":1769860800000}\n"
                  "+1500ms now {}\n"
                  "=> time {\"t\":1769860801500}\n"
                  "+1m\n"
                  "2026-01-31T12:05:00.250Z now {}\n"
                  "=> time {\"t\":1769861100250}\n"
                  "now {}\n"
                  "=> time {\"t\":1769861100250}\n"
                  "{\"topic\":\"now\",\"at\":1769861100251,\"payload\":{}}\n"
                  "=> time {\"t\":1769861100251}\n");
}

static void
the_same_seed_gives_the_same(void **state)
{
    struct result first = run(RULES, "seed 7\nchance {}\n=> chance {}\n");
    struct result other = run(RULES, "seed 8\nchance {}\n=> chance {}\n");
    assert_passes(buf_string(&first.updated));
    assert_string_not_equal(buf_string(&first.updated) + 7, buf_string(&other.updated) + 7);
    result_fini(&first);
    result_fini(&other);
}

/* Behind the first message no word has a meaning of its own: a recording may hold any topic. */
static void
directives_stand_at_the_head_only(void **state)
{
    assert_passes("other x\nseed {\"a\":1}\n=> seeds {\"a\":1}\n");
    assert_passes("{\"topic\":\"seed\",\"payload\":{\"a\":1}}\n=> seeds {\"a\":1}\n");
}

static void
a_difference_is_shown_with_its_place_and_reason(void **state)
{
    static const struct {
        const char *text, *said;
    } cases[] = {
            {"sensors/7 {\"sensor_id\":\"s7\",\"temperature\":61}\n"
             "=> alerts/7 {\"sensor_id\":\"s7\",\"temperature\":62}\n",
             "r.test:2:45: error: expected, but rule 'hot' gives => alerts/7 "
             "{\"sensor_id\":\"s7\",\"temperature\":61}\n"
             "  => alerts/7 {\"sensor_id\":\"s7\",\"temperature\":62}\n"
             "                                              ^~\n"},
            {"sensors/7 {\"sensor_id\":\"s7\",\"temperature\":6}\n=> alerts/7 {}\n",
             "r.test:2:4: error: expected, but it does not come\n  => alerts/7 {}\n"
             "     ^~~~~~~~~~~\n  hint: rule 'hot': WHERE was false: temperature > 60\n"},
            {"sensors/7 {\"sensor_id\":\"\",\"temperature\":6}\n=> alerts/7 {}\n",
             "hint: rule 'hot': WHERE was false: sensor_id <> ''\n"},
            {"sensors/7 {\"sensor_id\":\"s7\"}\n=> filtered\n",
             "r.test:2:4: error: expected, but it does not come\n  => filtered\n"
             "     ^~~~~~~~\n  hint: rule 'hot': WHERE or the row was undefined: a field is missing "
             "or of a wrong type: temperature > 60\n"},
            {"sensors/7 {\"sensor_id\":\"s7\",\"temperature\":61}\n",
             "r.test:1:1: error: rule 'hot' gives what is not expected: => alerts/7 "},
            {"sensors/7 {\"sensor_id\":\"s7\",\"temperature\":61}\n"
             "=> alerts/7 {\"sensor_id\":\"s7\",\"temperature\":61}\n",
             "r.test:1:1: error: rule 'hot' gives what is not expected: => readings "},
            {"other x\n=> alerts/7 {}\n", "no rule of this file takes messages of this topic"},
            {"other x\n+1s\n=> alerts/7 {}\n", "no message, only time passes"},
            {"bad {\"a\":\"#\"}\n", "r.test:1:1: error: rule 'bad' gives what is not expected: "
                                   "=> "},
            {"bad {\"a\":\"#\"}\n=> failed: because\n", "expected, but rule 'bad' gives => "},
            {"copy/1 x\n=> copy \"x\"\n", "expected, but rule 'copy' gives => copy text \"x\"\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct result result = run(RULES, cases[i].text);
        if (result.passed || result.report.differences != 1 ||
            strstr(buf_string(&result.said), cases[i].said) == NULL) {
            fail_msg("%s\ngives\n%s\nwithout\n%s", cases[i].text, buf_string(&result.said),
                     cases[i].said);
        }
        result_fini(&result);
    }
}

static void
what_is_no_test_is_refused_with_place_and_hint(void **state)
{
    static const struct {
        const char *text, *said;
    } cases[] = {
            {"", "r.test: error: a test without a message"},
            {"# nothing\nnow 2026-01-31T12:00:00Z\n+5s\n", "a test without a message"},
            {"now noon\n", "r.test:1:1: error: not a time"},
            {"seed x\n", "r.test:1:1: error: not a whole number"},
            {"other\n", "r.test:1:1: error: no payload behind the topic"},
            {"\n+2x other x\n", "r.test:2:1: error: not a duration"},
            {"+-2s other x\n", "not a duration"},
            {"+9999999999d other x\n", "not a duration"},
            {"=> other x\n", "r.test:1:1: error: nothing comes before the first message"},
            {"other x\n=> alerts/7\n", "r.test:2:4: error: no payload behind the target"},
            {"other x\n=>\n", "r.test:2:1: error: no payload behind the target"},
            {"other x\n=> a {\"a\":1} x\n", "r.test:2:14: error: something behind the payload"},
            {"other x\n=> a {\"a\":}\n", "r.test:2:11: error: "},
            {"other x\n=> a text x\n", "r.test:2:11: error: "},
            {"other x\n=> a base64 \"?\"\n", "r.test:2:13: error: not base64"},
            {"other x\n=> a 1 with 2\n", "r.test:2:13: error: parameters are one JSON object"},
            {"+2s {\"topic\":\"a\",\"payload\":1,\"at\":5}\n", "two times for one message"},
            {"2026-01-31T12:00:01Z other x\n2026-01-31T12:00:00Z other x\n",
             "r.test:2:1: error: time goes back"},
            {"+2s {\"topic\":\"a\",\"payloud\":1}\n", "r.test:1:19: error: unknown member"},
            {"other\nanother\n", "r.test:2:1: error: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct result result = run(RULES, cases[i].text);
        if (result.passed || strstr(buf_string(&result.said), cases[i].said) == NULL ||
            strstr(buf_string(&result.said), "hint: ") == NULL) {
            fail_msg("%s\ngives\n%s\nwithout\n%s", cases[i].text, buf_string(&result.said),
                     cases[i].said);
        }
        assert_int_equal(result.updated.size, 0);
        result_fini(&result);
    }
}

static void
an_update_touches_nothing_but_the_outputs(void **state)
{
    static const struct {
        const char *before, *after;
    } cases[] = {
            {"# kept\r\nsensors/7   {\"sensor_id\":\"s7\",\"temperature\":61}\r\n\r\n"
             "=>  alerts/7  {\"temperature\": 61.0, \"sensor_id\": \"s7\"}  \r\n# kept too\r\n"
             "=>   readings 1  \r\n=> readings 2\r\nother x",
             "# kept\r\nsensors/7   {\"sensor_id\":\"s7\",\"temperature\":61}\r\n\r\n"
             "=>  alerts/7  {\"temperature\": 61.0, \"sensor_id\": \"s7\"}  \r\n# kept too\r\n"
             "=>   readings {\"sensor_id\":\"s7\",\"temperature\":61}  \r\nother x"},
            {"copy/1 {}", "copy/1 {}\n=> copy {}\n"},
            {"copy/1 {}\r\nother x\r\n", "copy/1 {}\r\n=> copy {}\r\nother x\r\n"},
            {"copy/size {}\n=> copy 1", "copy/size {}\n=> copy {}\n=> sizes {\"n\":4}\n"},
            {"other x\n=> a 1\n# end", "other x\n=> unmatched\n# end"},
            {"copy/1 {}\n=> filtered\n+1s\n=> b 2\n", "copy/1 {}\n=> copy {}\n+1s\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct result result = run(RULES, cases[i].before);
        assert_false(result.passed);
        assert_string_equal(buf_string(&result.updated), cases[i].after);
        result_fini(&result);
        assert_passes(cases[i].after);
    }
}

static void
a_test_has_limits(void **state)
{
    struct buf text = {0};
    for (int i = 0; i <= RULETEST_MESSAGES_MAX; i++) {
        buf_append_string(&text, "other x\n");
    }
    struct result result = run(RULES, buf_string(&text));
    assert_non_null(strstr(buf_string(&result.said),
                           "r.test:10001:1: error: more than 10000 messages in one test"));
    result_fini(&result);

    static char large[RULETEST_TEXT_MAX_BYTES / 2 + 1];
    buf_clear(&text);
    memset(large, 'x', sizeof large - 1);
    buf_printf(&text, "copy/1 %s\n", large);
    static const char rules[] = "INSERT INTO 't' SELECT * FROM 'copy/1';";
    struct buf many = {0};
    for (int i = 0; i < 40; i++) {
        buf_append_string(&many, rules);
    }
    buf_append_string(&text, "+1s other x\n");
    result = run(buf_string(&many), buf_string(&text));
    assert_non_null(strstr(buf_string(&result.said), "the rules give more than 16 MiB"));
    result_fini(&result);
    buf_fini(&many);
    buf_fini(&text);
}

/* Each look at this clock takes a second. */
static int64_t
slow_mono_us(const struct os *os)
{
    static int64_t now_us;
    return now_us += 1000000;
}

static void
a_slow_test_is_stopped(void **state)
{
    struct os slow = os_posix;
    struct ruletest_options options = {.os = &slow, .differences_max = 1};
    struct ruletest_report report;
    struct diag_list diags = {0};
    struct rule_file *file;
    slow.mono_us = slow_mono_us;
    assert_true(rule_file_parse(&file, BYTES("r.sql"), bytes_of_string(RULES), &diags));
    assert_false(ruletest_run(file, BYTES("r.test"), BYTES("a 1\na 2\na 3\na 4\n"), &options,
                              &report, &diags));
    assert_bytes(diag_first_error(&diags), "the test takes longer than 2 seconds: stopped here");
    assert_int_equal(diags.items[0].place.line, 3);
    rule_file_free(file);
    diag_list_fini(&diags);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(what_comes_out_is_what_is_written),
            cmocka_unit_test(the_clock_goes_as_the_lines_say),
            cmocka_unit_test(the_same_seed_gives_the_same),
            cmocka_unit_test(directives_stand_at_the_head_only),
            cmocka_unit_test(a_difference_is_shown_with_its_place_and_reason),
            cmocka_unit_test(what_is_no_test_is_refused_with_place_and_hint),
            cmocka_unit_test(an_update_touches_nothing_but_the_outputs),
            cmocka_unit_test(a_test_has_limits),
            cmocka_unit_test(a_slow_test_is_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
