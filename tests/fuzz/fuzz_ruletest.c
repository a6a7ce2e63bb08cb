/*
 * Tests of rules: any text is refused with errors or runs to its end, and what --update makes of it
 * is a test that passes.
 */
#include "base/check.h"
#include "fuzz.h"
#include "gateway/ruletest.h"

static const char RULES[] =
        "INSERT INTO 'out/${topic(2)}', t SELECT *, timestamp() AS now FROM 'a/+' WHERE v > 1;"
        "INSERT INTO 'copy' SELECT * FROM '#';"
        "INSERT INTO '${to}' SELECT VALUE v FROM 'b';"
        "INSERT INTO t SELECT get_user_properties('k') AS k, clientid() AS c FROM f;";

/* What a run of `text` writes into `updated`, empty when it is no test; whether it passed. */
static bool
run(const struct rule_file *rules, struct bytes text, struct buf *updated)
{
    struct ruletest_options options = {.differences_max = 3, .updated = updated};
    struct ruletest_report report;
    struct diag_list diags = {0};
    struct buf said = {0};
    bool passed = ruletest_run(rules, BYTES("fuzz.test"), text, &options, &report, &diags);
    check(passed == (diags.errors == 0));
    diag_list_print(&diags, &said);
    buf_fini(&said);
    diag_list_fini(&diags);
    return passed;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diag_list diags = {0};
    struct rule_file *rules;
    struct buf first = {0}, second = {0};
    bool parsed = rule_file_parse(&rules, BYTES("fuzz.sql"), bytes_of_string(RULES), &diags);
    check(parsed);
    bool passed = run(rules, bytes_of(data, size), &first);
    if (first.size > 0 && first.size < RULETEST_TEXT_MAX_BYTES) {
        check(!passed || bytes_equal(buf_bytes(&first), bytes_of(data, size)));
        passed = run(rules, buf_bytes(&first), &second);
        check(passed && "what was updated passes");
    }
    buf_fini(&first);
    buf_fini(&second);
    rule_file_free(rules);
    diag_list_fini(&diags);
    return 0;
}
