/* Templates: any text is refused or filled in. */
#include "fuzz.h"
#include "rules/rule.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes template = bytes_of(data, size);
    struct rule_sql sql = {
            .path = BYTES("fuzz"),
            .name = BYTES("fuzz"),
            .sql = BYTES("SET @v = a + 1 SELECT * FROM '#'"),
            .templates = &template,
            .template_count = 1,
    };
    struct diag_list diags = {0};
    struct rule_file *file = NULL;
    struct arena arena = {0};
    if (rule_sql_parse(&file, &sql, &diags)) {
        struct rule_message message = {
                .arena = &arena,
                .topic = BYTES("a/b/c"),
                .payload = BYTES("{\"a\":7.0,\"s\":\"x\",\"o\":{\"p\":[1]}}"),
        };
        struct rule_row row;
        check(rule_run(file->rules[0], &message, &row) == RULE_MATCHED);
        check(row.outputs[0].text.size < (size + 1) * 4096);
    }
    arena_fini(&arena);
    rule_file_free(file);
    diag_list_fini(&diags);
    return 0;
}
