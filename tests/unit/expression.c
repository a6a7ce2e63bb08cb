#include "expression.h"

#include "unit.h"

#include "base/buf.h"

char *
expression_value(const char *expression, const char *payload)
{
    struct buf text = {0};
    buf_printf(&text, "SELECT VALUE %s FROM '#'", expression);
    struct rule_sql sql = {
            .path = BYTES("test"), .name = BYTES("test"), .sql = buf_bytes(&text)};
    struct diag_list diags = {0};
    struct rule_file *file;
    if (!rule_sql_parse(&file, &sql, &diags) || diags.count > 0) {
        fail_msg("%s: %.*s", expression, BYTES_ARG(diags.items[0].message));
    }
    struct arena arena = {0};
    struct rule_message message = {
            .arena = &arena, .topic = BYTES("t"), .payload = bytes_of_string(payload)};
    struct rule_row row;
    enum rule_verdict verdict = rule_run(file->rules[0], &message, &row);
    if (verdict != RULE_MATCHED && verdict != RULE_NOTHING) {
        fail_msg("%s: verdict %d", expression, (int)verdict);
    }
    char *value = bytes_to_string(verdict == RULE_MATCHED ? row.payload : BYTES("Undefined"));
    arena_fini(&arena);
    rule_file_free(file);
    diag_list_fini(&diags);
    buf_fini(&text);
    return value;
}

void
assert_value(const char *expression, const char *expected)
{
    char *actual = expression_value(expression, "{}");
    if (strcmp(actual, expected) != 0) {
        fail_msg("%s is %s, expected %s", expression, actual, expected);
    }
    free(actual);
}
