#include "unit.h"

#include "base/buf.h"
#include "rules/function.h"

#include <stdio.h>

/* Every row of functions.def has an example: what it says is what the function gives. */

static enum rule_answer
answer(void *context, struct rule_ask *ask)
{
    static const char *const answers[] = {
            [RULE_ASK_SHADOW] = "{\"state\": {\"reported\": {\"on\": true}}}",
            [RULE_ASK_ITEM] = "{\"id\": \"red\", \"site\": \"north\"}",
            [RULE_ASK_SECRET] = "s3cr3t",
            [RULE_ASK_FUNCTION] = "{\"twice\": 2}",
            [RULE_ASK_THING] = "{\"thingTypeName\": \"lamp\"}",
            [RULE_ASK_GROUPS] = "{\"thingGroups\": []}",
            [RULE_ASK_MODEL] = "{\"predictedLabel\": \"hot\"}",
            [RULE_ASK_DESCRIPTOR] = "",
    };
    ask->answer = bytes_of_string(answers[ask->question]);
    return RULE_ANSWERED;
}

static void
run_example(const struct function *function)
{
    struct buf text = {0};
    buf_printf(&text, "SELECT VALUE %s FROM '#'", function->example);
    struct rule_sql sql = {.path = bytes_of_string(function->name), .name = BYTES("example"),
                           .sql = buf_bytes(&text)};
    struct diag_list diags = {0};
    struct rule_file *file;
    if (!rule_sql_parse(&file, &sql, &diags) || diags.count > 0) {
        fail_msg("%s: %.*s", function->example, BYTES_ARG(diag_first_error(&diags)));
    }
    const struct rule_property user = {BYTES("site"), BYTES("north")};
    const struct rule_origin origin = {
            .content_type = BYTES("application/json"),
            .user = &user,
            .user_count = 1,
            .account_id = BYTES("123456789012"),
            .client_id = BYTES("sensor-7"),
            .principal = BYTES("user-7"),
            .source_ip = BYTES("192.0.2.7"),
            .trace_seed = 1,
    };
    const struct rule_host host = {.ask = answer};
    struct arena arena = {0};
    struct rule_message message = {
            .arena = &arena,
            .topic = BYTES("sensors/7/data"),
            .payload = BYTES("{\"a\": 1, \"s\": \"red\", \"list\": [1, 2, 3], "
                             "\"obj\": {\"my-key\": \"v\"}, \"none\": null}"),
            .time_us = INT64_C(1497028786123000),
            .seed = 42,
            .origin = &origin,
            .host = &host,
    };
    struct rule_row row;
    enum rule_verdict verdict = rule_run(file->rules[0], &message, &row);
    if (strcmp(function->result, "Undefined") == 0) {
        assert_int_equal(verdict, RULE_NOTHING);
    } else {
        assert_int_equal(verdict, RULE_MATCHED);
        assert_bytes(row.payload, function->result);
    }
    arena_fini(&arena);
    rule_file_free(file);
    diag_list_fini(&diags);
    buf_fini(&text);
}

static void
the_examples_are_true(void **state)
{
    assert_true(function_count > 50);
    for (size_t i = 0; i < function_count; i++) {
        run_example(&functions[i]);
    }
}

/* | `abs(-5.25)` | `5.25` | the absolute value | */
static void
print_row(struct buf *out, const struct function *function)
{
    buf_printf(out, "| %s | `%s` | `%s` | %s%s |\n", function->name, function->example,
               function->result, function->doc,
               (function->flags & FUNCTION_2016) != 0 ? " (not in 2015-10-08)" : "");
}

static void
the_manual_lists_each_function(void **state)
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
    for (size_t i = 0; i < function_count; i++) {
        struct buf row = {0};
        print_row(&row, &functions[i]);
        if (strstr(text, buf_string(&row)) == NULL) {
            fail_msg("rules/README.md lacks the line\n%s", buf_string(&row));
        }
        buf_fini(&row);
    }
    buf_fini(&manual);
}

static void
names_are_found_without_case(void **state)
{
    assert_string_equal(function_find(BYTES("IsUndefined"))->name, "isundefined");
    assert_null(function_find(BYTES("uper")));
    assert_string_equal(function_nearest(BYTES("uper")), "upper");
    assert_null(function_nearest(BYTES("completely_different")));
    assert_string_equal(rule_function_name(0), "abs");
    assert_null(rule_function_name(function_count));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(the_examples_are_true),
            cmocka_unit_test(the_manual_lists_each_function),
            cmocka_unit_test(names_are_found_without_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
