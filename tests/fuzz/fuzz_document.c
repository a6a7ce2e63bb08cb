/*
 * AWS rule JSON: any text is refused with errors or gives rules that run on any message, and that
 * are the same rules when they are written and read again.
 */
#include "base/check.h"
#include "fuzz.h"
#include "rules/action.h"

static const char *const payloads[] = {
        "{\"a\":1,\"b\":\"x\",\"timestamp\":17,\"c\":{\"d\":[1,2.50,null,true]},\"t\":72.0}",
        "[{\"a\":1,\"timestamp\":1},{\"a\":\"2\",\"message\":\"m\",\"timestamp\":2}]",
        "plain \xff bytes",
        "",
};

static void
check_row(const struct rule_row *row, size_t target_count)
{
    struct arena arena = {0};
    for (size_t i = 0; i < row->output_count; i++) {
        const struct rule_output *output = &row->outputs[i];
        struct json json;
        struct json_error error;
        check(output->target < target_count);
        if (output->params.size > 0) {
            check(json_parse(&json, output->params, 100, &arena, &error));
            check(json.nodes[0].kind == JSON_OBJECT);
        }
    }
    arena_fini(&arena);
}

static void
run(const struct rule *rule, const char *payload)
{
    struct arena arena = {0};
    struct rule_message message = {
            .arena = &arena,
            .topic = BYTES("sensors/7/data"),
            .payload = bytes_of_string(payload),
            .time_us = INT64_C(1500000000123456),
            .seed = 1,
    };
    const struct rule_failure failure = {BYTES("S3Action"), BYTES("b"), BYTES("no \xff such")};
    struct rule_row row;
    if (rule_run(rule, &message, &row) == RULE_MATCHED) {
        check_row(&row, rule_info(rule)->target_count);
    }
    if (rule_info(rule)->error_target_count > 0) {
        rule_run_error(rule, &message, &failure, 1, &row);
        check_row(&row, rule_info(rule)->error_target_count);
    }
    arena_fini(&arena);
}

/* Written and read again it is written as the same text. */
static void
check_written(const struct rule *rule)
{
    struct buf first = {0}, second = {0};
    struct diag_list diags = {0};
    struct rule_file *again = NULL;
    rule_document_write(rule, BYTES(""), &first);
    if (first.size <= 1024 * 1024) {
        check(rule_document_parse(&again, BYTES("again.json"), buf_bytes(&first), &diags));
        check(again->rule_count == 1);
        rule_document_write(again->rules[0], BYTES(""), &second);
        check(bytes_equal(buf_bytes(&first), buf_bytes(&second)));
    }
    buf_fini(&first);
    buf_fini(&second);
    rule_file_free(again);
    diag_list_fini(&diags);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diag_list diags = {0};
    struct rule_file *file = NULL;
    if (rule_document_parse(&file, BYTES("fuzz.json"), bytes_of(data, size), &diags)) {
        check(diags.errors == 0);
        for (size_t i = 0; i < file->rule_count; i++) {
            for (size_t p = 0; p < sizeof payloads / sizeof payloads[0]; p++) {
                run(file->rules[i], payloads[p]);
            }
            check_written(file->rules[i]);
        }
    } else {
        struct buf out = {0};
        check(diags.errors > 0);
        diag_list_print(&diags, &out);
        buf_fini(&out);
    }
    rule_file_free(file);
    diag_list_fini(&diags);
    return 0;
}
