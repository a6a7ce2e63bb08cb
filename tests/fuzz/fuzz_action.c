/*
 * Actions on any payload: the first line of the input is an action of AWS rule JSON, the rest the
 * message. It is refused, fails, or gives outputs whose params are JSON; line protocol has one line
 * a point.
 */
#include "base/check.h"
#include "fuzz.h"
#include "rules/action.h"

static struct rule_file *
load(struct bytes action)
{
    struct buf text = {0};
    struct diag_list diags = {0};
    struct rule_file *file = NULL;
    buf_append_string(&text, "{\"sql\":\"SET @v = a SELECT * FROM '#'\",\"awsIotSqlVersion\":"
                             "\"2016-03-23\",\"actions\":[");
    buf_append(&text, action);
    buf_append_string(&text, "]}");
    if (!rule_document_parse(&file, BYTES("fuzz.json"), buf_bytes(&text), &diags)) {
        check(diags.errors > 0);
    }
    buf_fini(&text);
    diag_list_fini(&diags);
    return file;
}

static void
check_output(const struct rule_output *output, struct arena *arena)
{
    struct json json;
    struct json_error error;
    if (output->failure.size == 0 && output->params.size > 0) {
        check(json_parse(&json, output->params, 100, arena, &error));
        check(json.nodes[0].kind == JSON_OBJECT && json.nodes[0].count > 0);
    }
    if (output->failure.size == 0 && output->payload_is_json) {
        check(json_parse(&json, output->payload, 1000, arena, &error));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes input = bytes_of(data, size);
    size_t end = bytes_find(input, '\n');
    struct rule_file *file = load(bytes_slice(input, 0, end));
    struct arena arena = {0};
    if (file != NULL) {
        struct rule_message message = {
                .arena = &arena,
                .topic = BYTES("a/b/c"),
                .payload = bytes_slice(input, end + 1, size),
                .time_us = INT64_C(1500000000123456),
        };
        struct rule_row row;
        if (rule_run(file->rules[0], &message, &row) == RULE_MATCHED) {
            for (size_t i = 0; i < row.output_count; i++) {
                check_output(&row.outputs[i], &arena);
            }
        }
    }
    arena_fini(&arena);
    rule_file_free(file);
    return 0;
}
