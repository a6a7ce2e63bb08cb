/* awsIotSqlVersion 2015-10-08: what it lacks, and its numbers. The newer one: everywhere else. */
#include "unit.h"

#include "rules/rule.h"

static const char *
run_version(const char *sql, bool version_2015, const char *payload, struct arena *arena)
{
    const struct rule_sql text = {.path = BYTES("test"), .name = BYTES("test"),
                                  .sql = bytes_of_string(sql), .version_2015 = version_2015};
    struct diag_list diags = {0};
    struct rule_file *file;
    struct rule_row row;
    if (!rule_sql_parse(&file, &text, &diags)) {
        fail_msg("%s: %.*s", sql, BYTES_ARG(diag_first_error(&diags)));
    }
    struct rule_message message = {
            .arena = arena, .topic = BYTES("t"), .payload = bytes_of_string(payload)};
    enum rule_verdict verdict = rule_run(file->rules[0], &message, &row);
    const char *result = verdict == RULE_FAILED ? row.reason : arena_copy(arena, row.payload).data;
    rule_file_free(file);
    diag_list_fini(&diags);
    return result;
}

static void
numbers_keep_their_scale(void **state)
{
    static const struct {
        const char *sql, *of_2015, *of_2016;
    } cases[] = {
            {"SELECT v AS r FROM 't'", "{\"r\":10.0}", "{\"r\":10}"},
            {"SELECT o.v AS r FROM 't'", "{\"r\":2.50}", "{\"r\":2.50}"},
            {"SELECT cast(v AS String) AS r FROM 't'", "{\"r\":\"10.0\"}", "{\"r\":\"10\"}"},
            {"SELECT 'v' + v AS r FROM 't'", "{\"r\":\"v10.0\"}", "{\"r\":\"v10\"}"},
            {"SELECT v + 1 AS r FROM 't'", "{\"r\":11}", "{\"r\":11}"},
            {"SELECT b AS r FROM 't' WHERE v = 10", "{\"r\":false}", "{\"r\":false}"},
            {"SELECT *, v AS w FROM 't'",
             "{\"v\": 10.0, \"o\": {\"v\": 2.50}, \"b\": false,\"w\":10.0}",
             "{\"v\": 10.0, \"o\": {\"v\": 2.50}, \"b\": false,\"w\":10}"},
    };
    static const char payload[] = "{\"v\": 10.0, \"o\": {\"v\": 2.50}, \"b\": false}";
    struct arena arena = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_string_equal(run_version(cases[i].sql, true, payload, &arena), cases[i].of_2015);
        assert_string_equal(run_version(cases[i].sql, false, payload, &arena), cases[i].of_2016);
    }
    arena_fini(&arena);
}

static void
arrays_are_no_payloads(void **state)
{
    static const char reason[] = "version 2015-10-08 has no payloads that are arrays; set "
                                 "awsIotSqlVersion to 2016-03-23";
    struct arena arena = {0};
    assert_string_equal(run_version("SELECT * FROM 't'", true, " [1]", &arena), reason);
    assert_string_equal(run_version("SELECT VALUE a FROM 't'", true, "{\"a\": [1]}", &arena),
                        reason);
    assert_string_equal(run_version("SELECT a FROM 't'", true, "{\"a\": [1]}", &arena),
                        "{\"a\":[1]}");
    assert_string_equal(run_version("SELECT * FROM 't'", false, " [1]", &arena), " [1]");
    arena_fini(&arena);
}

static void
what_came_later_is_refused(void **state)
{
    static const char *const cases[] = {
            "SELECT [1] AS r FROM 't'",
            "SELECT {'a': 1} AS r FROM 't'",
            "SET @v = 1 SELECT a FROM 't'",
            "SELECT a FROM 't' WHERE a IN b",
            "SELECT (SELECT b FROM a) AS r FROM 't'",
            "SELECT a FROM 't' WHERE EXISTS (SELECT b FROM a)",
            "SELECT cast(a AS Decimal) AS r FROM 't'",
            "SELECT cast(a AS Bool) AS r FROM 't'",
            "SELECT length(a) AS r FROM 't'",
            "SELECT encode(a, 'base64') AS r FROM 't'",
            "SELECT sourceip() AS r FROM 't'",
            "SELECT get_or_default(a) AS r FROM 't'",
            "SELECT get_thing_shadow(a, 'role') AS r FROM 't'",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct rule_sql text = {.path = BYTES("test"), .name = BYTES("test"),
                                      .sql = bytes_of_string(cases[i]), .version_2015 = true};
        struct diag_list diags = {0};
        struct rule_file *file;
        if (rule_sql_parse(&file, &text, &diags)) {
            fail_msg("accepted: %s", cases[i]);
        }
        const struct diag *error = &diags.items[0];
        while (error->level != DIAG_ERROR) {
            error++;
        }
        if (!bytes_equal(error->hint, BYTES("set awsIotSqlVersion to 2016-03-23"))) {
            fail_msg("%s: %.*s", cases[i], BYTES_ARG(error->hint));
        }
        diag_list_fini(&diags);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(numbers_keep_their_scale),
            cmocka_unit_test(arrays_are_no_payloads),
            cmocka_unit_test(what_came_later_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
