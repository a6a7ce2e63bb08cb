#include "expression.h"

#include "unit.h"

#include "base/buf.h"

char *
expression_value(const char *expression, const char *payload, const struct rule_host *host)
{
    struct buf text = {0};
    buf_printf(&text, "SELECT VALUE %s FROM '#'", expression);
    struct rule_sql sql = {
            .path = BYTES("test"), .name = BYTES("test"), .sql = buf_bytes(&text)};
    struct diag_list diags = {0};
    struct rule_file *file;
    if (!rule_sql_parse(&file, &sql, &diags)) {
        fail_msg("%s: %.*s", expression, BYTES_ARG(diag_first_error(&diags)));
    }
    struct arena arena = {0};
    struct rule_message message = {
            .arena = &arena, .topic = BYTES("t"), .payload = bytes_of_string(payload),
            .host = host};
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

char *
expression_literal(const char *text)
{
    struct buf out = {0};
    buf_append_char(&out, '\'');
    for (const char *c = text; *c != '\0'; c++) {
        buf_append_string(&out, *c == '\'' ? "'" : "");
        buf_append_char(&out, *c);
    }
    buf_append_char(&out, '\'');
    return buf_take_string(&out);
}

void
assert_value(const char *expression, const char *expected)
{
    char *actual = expression_value(expression, "{}", NULL);
    if (strcmp(actual, expected) != 0) {
        fail_msg("%s is %s, expected %s", expression, actual, expected);
    }
    free(actual);
}
