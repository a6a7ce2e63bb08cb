/*
 * Why a rule is silent: which condition stopped a message, which fields were there instead, which
 * topics nearly match. The text that people see is tested in test_why.
 */
#include "unit.h"

#include "rules/explain.h"

#include "base/buf.h"

/* ---- one rule, messages, the report ---- */

struct bench {
    struct rule_file *file;
    const struct rule *rule;
    const struct rule_info *info;
    struct explain *explain;
    struct arena arena;
    struct explain_report report;
    enum rule_verdict verdict;
    struct rule_row row;
    int64_t time_us;
    size_t looks;
};

static struct bench
begin(const char *text, bool thorough)
{
    struct bench bench = {.time_us = 1000000};
    struct diag_list diags = {0};
    if (!rule_file_parse(&bench.file, BYTES("hot.sql"), bytes_of_string(text), &diags)) {
        fail_msg("%.*s", BYTES_ARG(diag_first_error(&diags)));
    }
    bench.rule = bench.file->rules[0];
    bench.info = rule_info(bench.rule);
    bench.explain = explain_new(bench.info, thorough);
    diag_list_fini(&diags);
    return bench;
}

static void
send(struct bench *bench, const char *payload)
{
    struct rule_message message = {.arena = &bench->arena,
                                   .topic = BYTES("sensors/7/data"),
                                   .payload = bytes_of_string(payload),
                                   .time_us = bench->time_us};
    bench->verdict = rule_run(bench->rule, &message, &bench->row);
    if (explain_count(bench->explain, &message, bench->verdict, &bench->row)) {
        explain_look(bench->explain, bench->info, &message, bench->verdict, &bench->row);
        bench->looks++;
    }
}

static const struct explain_report *
report(struct bench *bench)
{
    explain_report(bench->explain, bench->info, &bench->arena, &bench->report);
    return &bench->report;
}

static void
end(struct bench *bench)
{
    explain_free(bench->explain);
    rule_file_free(bench->file);
    arena_fini(&bench->arena);
}

/* ---- conditions ---- */

static void
the_condition_that_stopped_a_message_is_counted(void **state)
{
    struct bench bench = begin("INSERT INTO 'x' SELECT a FROM 'sensors/+/data'\n"
                               "WHERE a > 1 AND (b = 'on' AND NOT c) AND (d > 5 OR e = 1);",
                               true);
    assert_int_equal(bench.info->conjunct_count, 4);
    assert_bytes(bench.info->conjuncts[0].text, "a > 1");
    assert_bytes(bench.info->conjuncts[1].text, "b = 'on'");
    assert_bytes(bench.info->conjuncts[2].text, "NOT c");
    assert_true(bytes_starts_with(bench.info->conjuncts[3].text, BYTES("(d > 5")) ||
                bytes_starts_with(bench.info->conjuncts[3].text, BYTES("d > 5")));
    assert_int_equal(bench.info->conjuncts[1].place.line, 2);
    assert_int_equal(bench.info->conjuncts[3].field_count, 2);
    const struct {
        const char *payload;
        enum rule_verdict verdict;
        uint32_t conjunct;
    } cases[] = {
            {"{\"a\":1}", RULE_FILTERED, 0},
            {"{\"a\":\"x\"}", RULE_UNDEFINED, 0},
            {"{\"b\":\"on\"}", RULE_UNDEFINED, 0},
            {"{\"a\":2,\"b\":\"off\"}", RULE_FILTERED, 1},
            {"{\"a\":2}", RULE_UNDEFINED, 1},
            {"{\"a\":2,\"b\":\"on\",\"c\":true}", RULE_FILTERED, 2},
            {"{\"a\":2,\"b\":\"on\",\"c\":false,\"d\":5,\"e\":2}", RULE_FILTERED, 3},
            {"{\"a\":2,\"b\":\"on\",\"c\":false,\"d\":6}", RULE_MATCHED, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        send(&bench, cases[i].payload);
        assert_int_equal(bench.verdict, cases[i].verdict);
        assert_int_equal(bench.row.conjunct, cases[i].conjunct);
    }
    const struct explain_report *told = report(&bench);
    assert_int_equal(told->conjuncts[0].no, 1);
    assert_int_equal(told->conjuncts[0].undefined, 2);
    assert_bytes(told->conjuncts[0].last, "a: missing");
    assert_int_equal(told->conjuncts[1].no, 1);
    assert_int_equal(told->conjuncts[1].undefined, 1);
    assert_int_equal(told->conjuncts[2].no, 1);
    assert_int_equal(told->conjuncts[3].no, 1);
    assert_bytes(told->conjuncts[3].last, "d: 5, e: 2");
    end(&bench);
}

/* ---- fields ---- */

static const struct rule_field *
field(const struct bench *bench, const char *name)
{
    for (size_t i = 0; i < bench->info->field_count; i++) {
        if (bytes_equal_string(bench->info->fields[i].name, name)) {
            return &bench->info->fields[i];
        }
    }
    return NULL;
}

static void
a_rule_knows_the_paths_that_it_names(void **state)
{
    struct bench bench = begin(
            "CREATE TABLE t WITH ('connector' = 'null');\n"
            "INSERT INTO 'out/${site}' SET @twice = level * 2\n"
            "SELECT device.id, get(device, 'my-key') AS k, list[0].x AS first, @twice AS t,\n"
            "       (SELECT inner_name AS n FROM points WHERE other > 1) AS p, nanvl(rare, 0) AS r\n"
            "FROM 'a/+' WHERE temperature > 5 AND status = 'on' AND nr = -1 AND device.id <> 3;",
            true);
    static const char *const names[] = {"device.id", "device.my-key", "list", "level", "points",
                                        "rare", "temperature", "status", "nr", "site"};
    assert_int_equal(bench.info->field_count, sizeof names / sizeof *names);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (field(&bench, names[i]) == NULL) {
            fail_msg("'%s' is not among the fields", names[i]);
        }
    }
    assert_int_equal(field(&bench, "device.id")->segment_count, 2);
    assert_int_equal(field(&bench, "device.id")->uses, RULE_FIELD_SELECT | RULE_FIELD_WHERE);
    assert_int_equal(field(&bench, "site")->uses, RULE_FIELD_TARGET);
    assert_int_equal(field(&bench, "level")->uses, RULE_FIELD_SET);
    assert_int_equal(field(&bench, "level")->wish, RULE_WISH_NUMERIC);
    assert_int_equal(field(&bench, "temperature")->wish, RULE_WISH_NUMERIC);
    assert_int_equal(field(&bench, "status")->wish, RULE_WISH_STRING);
    assert_int_equal(field(&bench, "nr")->wish, RULE_WISH_NUMBER);
    assert_true(field(&bench, "rare")->may_be_missing);
    assert_false(field(&bench, "nr")->may_be_missing);
    end(&bench);
}

static void
a_field_that_is_missing_has_a_nearest(void **state)
{
    struct bench bench = begin("INSERT INTO 'x' SELECT sensor_Id, humidity, zzz\n"
                               "FROM 'sensors/+/data' WHERE temprature > 60;",
                               true);
    for (int i = 0; i < 3; i++) {
        send(&bench, "{\"sensor_id\":\"s1\",\"temperature\":71,\"data\":{\"humidity\":5}}");
    }
    send(&bench, "no JSON");
    const struct explain_report *told = report(&bench);
    assert_int_equal(told->looked_at, 4);
    const struct {
        enum near_field near;
        const char *nearest;
    } expected[] = {{NEAR_FIELD_CASE, "sensor_id"},
                    {NEAR_FIELD_LEVEL, "data.humidity"},
                    {NEAR_FIELD_NOT, ""},
                    {NEAR_FIELD_SPELLING, "temperature"}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(told->fields[i].seen, 0);
        assert_int_equal(told->fields[i].near, expected[i].near);
        assert_bytes(told->fields[i].nearest, expected[i].nearest);
    }
    assert_int_equal(told->fields[3].nearest_seen, 3);
    assert_true(told->not_json.size > 0);
    end(&bench);
}

static void
values_of_a_wrong_type_are_a_surprise(void **state)
{
    struct bench bench = begin("INSERT INTO 'x' SELECT a FROM 'sensors/+/data'\n"
                               "WHERE a > 1 OR b = 5 OR c = 'on' OR d = true;",
                               true);
    send(&bench, "{\"a\":\"warm\",\"b\":\"5\",\"c\":1,\"d\":\"true\"}");
    send(&bench, "{\"a\":\"0.5\",\"b\":4,\"c\":\"off\",\"d\":false}");
    const struct explain_report *told = report(&bench);
    assert_int_equal(told->fields[0].surprises, 1);
    assert_int_equal(told->fields[0].surprise, EXPLAIN_STRING);
    assert_int_equal(told->fields[1].surprises, 1);
    assert_int_equal(told->fields[1].surprise, EXPLAIN_NUMERIC_STRING);
    assert_int_equal(told->fields[2].surprise, EXPLAIN_NUMBER);
    assert_int_equal(told->fields[3].surprises, 1);
    assert_bytes(told->fields[0].last, "\"0.5\"");
    end(&bench);
}

/* ---- cost ---- */

static void
most_messages_are_only_counted(void **state)
{
    struct bench bench = begin("INSERT INTO 'x' SELECT a FROM 'sensors/+/data' WHERE b > 1;",
                               false);
    for (int i = 0; i < 10000; i++) {
        send(&bench, "{\"a\":1,\"b\":1}");
        bench.time_us += 1000; /* 10 s in all: 40 looks of four a second */
    }
    assert_in_range(bench.looks, 100, 150);
    assert_int_equal(report(&bench)->conjuncts[0].no, 10000);
    end(&bench);
    bench = begin("INSERT INTO 'x' SELECT a FROM 'sensors/+/data' WHERE c > 1;", false);
    for (int i = 0; i < 10000; i++) {
        send(&bench, "{\"a\":1,\"b\":1}");
        bench.time_us += 1000;
    }
    assert_in_range(bench.looks, 1000, 1050); /* a field is missing */
    end(&bench);
}

static void
names_and_values_are_bounded(void **state)
{
    struct bench bench = begin("INSERT INTO 'x' SELECT a FROM 'sensors/+/data' WHERE b > 1;",
                               true);
    struct buf payload = {0};
    buf_append_string(&payload, "{\"b\":\"");
    for (int i = 0; i < 100; i++) {
        buf_append_string(&payload, "\xC3\xA9");
    }
    buf_append_string(&payload, "\"");
    for (int i = 0; i < 1000; i++) {
        buf_printf(&payload, ",\"name%d\":{\"deep\":{\"deeper\":{\"deepest\":{}}}}", i);
    }
    buf_append_char(&payload, '}');
    for (int i = 0; i < 10; i++) {
        send(&bench, buf_string(&payload));
    }
    const struct explain_report *told = report(&bench);
    assert_true(told->names_full);
    assert_in_range(told->fields[1].last.size, 10, 60);
    assert_true(bytes_ends_with(told->fields[1].last, BYTES("\xC3\xA9...")));
    assert_true(bytes_is_utf8(told->conjuncts[0].last));
    buf_fini(&payload);
    end(&bench);
}

static void
counts_go_on_where_the_rule_asks_the_same(void **state)
{
    struct bench a = begin("INSERT INTO 'x' SELECT a FROM 'f' WHERE b > 1;", false);
    struct bench b = begin("INSERT INTO 'elsewhere' SELECT a AS z FROM 'f' WHERE b > 1;", false);
    struct bench c = begin("INSERT INTO 'x' SELECT a FROM 'f' WHERE b > 2;", false);
    struct bench d = begin("INSERT INTO 'x' SELECT c FROM 'f' WHERE b > 1;", false);
    struct bench e = begin("INSERT INTO 'x' SELECT a FROM 'g' WHERE b > 1;", false);
    assert_true(explain_is_same(a.info, b.info));
    assert_false(explain_is_same(a.info, c.info));
    assert_false(explain_is_same(a.info, d.info));
    assert_false(explain_is_same(a.info, e.info));
    end(&a);
    end(&b);
    end(&c);
    end(&d);
    end(&e);
}

/* ---- topics ---- */

static void
topics_that_nearly_match_are_told_apart(void **state)
{
    static const struct {
        const char *filter, *topic, *why; /* "": not near */
    } cases[] = {
            {"sensors/+/data", "Sensors/7/data", "level 1 is 'Sensors', the filter has 'sensors'"},
            {"sensors/+/data", "sensor/7/data", "level 1 is 'sensor', the filter has 'sensors'"},
            {"sensors/+/data", "sensors/7/dat", "level 3 is 'dat', the filter has 'data'"},
            {"sensors/+/data", "sensors/7/data/raw",
             "it has a level that the filter does not have: 'raw'"},
            {"sensors/+/data", "site/sensors/7/data",
             "it has a level that the filter does not have: 'site'"},
            {"sensors/+/data", "/sensors/7/data", "it has a leading '/' too many"},
            {"sensors/+/data", "sensors/7/data/", "it has a '/' too many"},
            {"sensors/+/data", "sensors/data", "it lacks level 2 of the filter, '+'"},
            {"/sensors/+", "sensors/7", "the filter has a '/' that it does not have"},
            {"sensors/#", "sensors",
             "'sensors/#' matches only what is below it: in AWS IoT, 'a/#' does not match 'a'"},
            {"sensors/#", "Sensors/7/x", "level 1 is 'Sensors', the filter has 'sensors'"},
            {"sensors/+/data", "sensors/7/data", ""}, /* it does match */
            {"sensors/+/data", "lights/7/state", ""},
            {"sensors/+/data", "sensors/7/status/x/y", ""},
            {"a/b", "c/d", ""},
            {"+", "a/b/c", ""},
            {"$SYS/broker/load", "SYS/broker/load", ""},
    };
    struct arena arena = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bytes why = BYTES("");
        bool near = near_topic(bytes_of_string(cases[i].filter), bytes_of_string(cases[i].topic),
                               &arena, &why);
        if (near != (cases[i].why[0] != '\0') || (near && !bytes_equal_string(why, cases[i].why))) {
            fail_msg("'%s' for '%s': %s %.*s", cases[i].topic, cases[i].filter,
                     near ? "near:" : "not near", BYTES_ARG(why));
        }
    }
    arena_fini(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(the_condition_that_stopped_a_message_is_counted),
            cmocka_unit_test(a_rule_knows_the_paths_that_it_names),
            cmocka_unit_test(a_field_that_is_missing_has_a_nearest),
            cmocka_unit_test(values_of_a_wrong_type_are_a_surprise),
            cmocka_unit_test(most_messages_are_only_counted),
            cmocka_unit_test(names_and_values_are_bounded),
            cmocka_unit_test(counts_go_on_where_the_rule_asks_the_same),
            cmocka_unit_test(topics_that_nearly_match_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
