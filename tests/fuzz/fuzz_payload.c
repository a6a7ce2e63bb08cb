/* Payloads: a few rules that use most of the language run on any bytes. */
#include "base/check.h"
#include "fuzz.h"
#include "rules/rule.h"

static const char rules_text[] =
        "INSERT INTO 'x' SELECT * FROM '#';"
        "INSERT INTO 'x' SELECT *, a + b AS c, o.p AS q.r FROM '#';"
        "INSERT INTO 'x' SELECT a + b AS s, a - b AS d, a * b AS m, a / b AS q, a % b AS r,"
        "  a = b AS e, a < b AS l, a IN b AS i, -a AS n FROM '#';"
        "INSERT INTO 'x/${a}' SELECT o.*, a, * FROM '#' WHERE NOT (a = 1 AND b <> 'x');"
        "INSERT INTO 'x' SELECT cast(a AS Int) AS i, cast(a AS Decimal) AS d,"
        "  cast(a AS String) AS s, cast(a AS Boolean) AS b,"
        "  CASE a WHEN 1 THEN b ELSE c END AS e FROM '#';"
        "INSERT INTO 'x' SELECT (SELECT VALUE p FROM a WHERE p > 1) AS v, (SELECT * FROM o) AS w,"
        "  EXISTS (SELECT p FROM a AS p WHERE p = b) AS x, get(a, b) AS g FROM '#';"
        "INSERT INTO 'x' SELECT substring(a, b, 3) AS s, replace(a, b, '--') AS r, upper(a) AS u,"
        "  lower(a) AS l, indexof(a, b) AS i, length(a) AS n, lpad(a, b) AS p, trim(a) AS t,"
        "  concat(a, b) AS c, chr(b) AS h, encode(a, 'base64') AS e,"
        "  decode(a, 'base64') AS d FROM '#';"
        "INSERT INTO 'x' SELECT round(a) AS r, floor(a) AS f, ceil(a) AS c, trunc(a, b) AS t,"
        "  sqrt(a) AS q, power(a, b) AS p, bitand(a, b) AS i, exp(a) AS e, mod(a, b) AS m FROM '#';"
        "INSERT INTO 'x' SELECT regexp_matches(a, b) AS m, regexp_replace(a, b, c) AS r,"
        "  regexp_substr(a, '[a-c]+') AS s, transform('enrichArray', o, a) AS t FROM '#';";

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diag_list diags = {0};
    struct rule_file *file = NULL;
    check(rule_file_parse(&file, BYTES("fuzz.sql"), bytes_of_string(rules_text), &diags));
    struct arena arena = {0};
    struct rule_message message = {
            .arena = &arena, .topic = BYTES("a/b"), .payload = bytes_of(data, size)};
    for (size_t i = 0; i < file->rule_count; i++) {
        struct rule_row row;
        const char *reason;
        if (rule_run(file->rules[i], &message, &row) == RULE_MATCHED && row.payload_is_json) {
            struct rule_message again = {.arena = &arena, .payload = row.payload};
            check(rule_message_is_json(&again, &reason) ||
                  bytes_equal_string(bytes_of_string(reason), "nesting is too deep"));
        }
    }
    arena_fini(&arena);
    rule_file_free(file);
    diag_list_fini(&diags);
    return 0;
}
