/* Rule files: any text is refused with errors or gives rules that run on any message. */
#include "base/check.h"
#include "fuzz.h"
#include "rules/rule.h"

static const char *const payloads[] = {
        ("{\"a\":1,\"b\":\"x\",\"c\":{\"d\":[1,2.50,null,true,{\"e\":\"\\u00e9\"}]},\"t\":72.0,"
        "\"id\":1234567890123456789,\"a\":-1e3,\"u\":\"\xc3\xa9\xe2\x82\xac\"}"),
        "[{\"a\":1},{\"a\":\"2\"},3]",
        "plain \xff bytes",
        "",
};

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
    struct rule_row row;
    if (rule_run(rule, &message, &row) == RULE_MATCHED && row.payload_is_json) {
        struct rule_message again = {.arena = &arena, .payload = row.payload};
        const char *reason;
        bool container = row.payload.size > 0 &&
                         (row.payload.data[0] == '{' || row.payload.data[0] == '[');
        bool json = rule_message_is_json(&again, &reason);
        check(json || !container || bytes_equal_string(bytes_of_string(reason),
                                                       "nesting is too deep"));
    }
    arena_fini(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diag_list diags = {0};
    struct rule_file *file = NULL;
    if (rule_file_parse(&file, BYTES("fuzz.sql"), bytes_of(data, size), &diags)) {
        check(diags.errors == 0);
        for (size_t i = 0; i < file->rule_count; i++) {
            for (size_t p = 0; p < sizeof payloads / sizeof payloads[0]; p++) {
                run(file->rules[i], payloads[p]);
            }
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
