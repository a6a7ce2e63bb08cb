/*
 * What people get for typing mistakes and for rules that are right but hardly meant: each message
 * with its hint, and beside it what must not be complained about.
 */
#include "unit.h"

#include "lint.h"

#include "base/buf.h"

/* Everything that is said of a rule file, in one text. */
static char *
said_of(const char *text)
{
    struct diag_list diags = {0};
    struct ruleset *ruleset = NULL;
    struct buf out = {0};
    if (ruleset_load_text(&ruleset, BYTES("hot.sql"), bytes_of_string(text), &diags)) {
        lint_ruleset(ruleset, &diags);
    }
    diag_list_print(&diags, &out);
    ruleset_free(ruleset);
    diag_list_fini(&diags);
    return buf_take_string(&out);
}

struct lint_case {
    const char *text;
    const char *expected; /* part of what is said; "": nothing is */
};

static void
check_cases(const struct lint_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *said = said_of(cases[i].text);
        bool good = cases[i].expected[0] == '\0' ? said[0] == '\0'
                                                 : strstr(said, cases[i].expected) != NULL;
        if (!good) {
            fail_msg("%s\nsays\n%s\nexpected: %s", cases[i].text, said, cases[i].expected);
        }
        free(said);
    }
}

#define CASES(cases) check_cases(cases, sizeof cases / sizeof *cases)
#define RULE(rest) "INSERT INTO 'out' SELECT x " rest

static void
slips_have_hints(void **state)
{
    static const struct lint_case cases[] = {
            {"INSERT INTO 'a' SELECT * FORM 'b';", "did you mean 'FROM'?"},
            {"INSERT INTO 'a' SELECT * FROM 'b' WERE x > 1;", "did you mean 'WHERE'?"},
            {RULE("FROM 'b' WHERE x == 5;"), "hint: one '=' compares"},
            {RULE("FROM 'b' WHERE x && y;"), "hint: write AND"},
            {RULE("FROM 'b' WHERE !x;"), "hint: write NOT"},
            {RULE("FROM 'b' WHERE x || y;"), "OR asks for either"},
            {RULE("FROM 'b' WHERE x LIKE 'a%';"), "use regexp_matches(x, 'pattern')"},
            {RULE("FROM 'b' WHERE x IS NULL;"), "use isNull(x) or isUndefined(x)"},
            {RULE("FROM 'b' WHERE x BETWEEN 1 AND 5;"), "use x >= a AND x <= b"},
            {RULE("FROM 'b' WHERE x IN (1, 2);"), "IN takes an array: x IN [1, 2]"},
            {RULE("FROM 'b' GROUP BY y;"), "a rule sees one message at a time"},
            {RULE("FROM 'b' LIMIT 5;"), "a rule sees one message at a time"},
            {RULE("FROM 'b', 'c';"), "a rule has one source"},
            {RULE("FROM sensors/+/data;"), "a topic filter stands in quotes"},
            {RULE("FROM 'b'\nINSERT INTO 'c' SELECT * FROM 'd';"), "is a ';' missing before it?"},
            {"INSERT INTO 'a' SELECT count(*) AS n FROM 'b';", "it cannot count or sum up"},
            {"INSERT INTO 'a' SELECT coalesce(x, 1) AS n FROM 'b';", "nanvl(x, y)"},
            {"INSERT INTO 'a' SELECT if(x, 1, 2) AS n FROM 'b';", "CASE condition WHEN true"},
            {"INSERT INTO 'a' SELECT uper(x) AS n FROM 'b';", "did you mean 'upper'?"},
            {"INSERT INTO 'a' SELECT CASE WHEN x > 1 THEN 2 END AS y FROM 'b';",
             "write CASE condition WHEN true THEN"},
            {"INSERT INTO 'a' SELECT x AS select FROM 'b';", "'SELECT' is a reserved word here"},
            {"SELECT * FROM 'b'; SELECT 1;", "error: "},
            {"CREATE TABLE t WITH ('conector' = 'null');", "did you mean 'connector' where you"},
            {"CREATE TABLE t WITH ('connector' = 'timeserie');", "did you mean 'timeseries'?"},
            {"CREATE TABLE t WITH ('connector' = 'timeseries', 'memory.retension' = '1h');",
             "did you mean 'memory.retention'?"},
            {"CREATE TABLE t (a INT, a INT) WITH ('connector' = 'null');",
             "column 'a' is declared twice"},
            {"CREATE FUNCTION f AS 'f.c';", "AS 'source.c' LANGUAGE C"},
            {"CREATE TABLE readings WITH ('connector' = 'null');\n"
             "INSERT INTO reading SELECT * FROM 'b';",
             "did you mean 'readings'?"},
            {"INSERT INTO readings SELECT * FROM 'b';", "or quote it to mean an MQTT topic"},
            {RULE("FROM 'b/#/c';"), "'#' must be the last level"},
            {RULE("FROM 'b/c#';"), "a wildcard must fill its whole level"},
            {"INSERT INTO 'a/+' SELECT * FROM 'b';", "nobody can publish to this topic"},
            {"INSERT INTO 'a' SET @limit = 5 SELECT x FROM 'b' WHERE x > @limt;",
             "did you mean '@limit'?"},
    };
    CASES(cases);
}

static void
date_patterns_are_checked(void **state)
{
    static const struct lint_case cases[] = {
            {"INSERT INTO 'a' SELECT parse_time('uuuu', t) AS x FROM 'b';",
             "this is always Undefined: 'u' is no letter of this date pattern"},
            {"INSERT INTO 'a' SELECT parse_time('uuuu', t) AS x FROM 'b';",
             "parse_time has the letters of Joda-Time"},
            {"INSERT INTO 'a' SELECT parse_time('', t) AS x FROM 'b';", "pattern is empty"},
            {"INSERT INTO 'a' SELECT Time_to_epoch(t, 'yyyy-MM-dd x C') AS x FROM 'b';",
             "parse_time those of Joda-Time"},
            {"INSERT INTO 'a' SELECT time_to_epoch(t, 'yyyy-MM-ddThh:mm') AS x FROM 'b';",
             "hint: text stands in quotes: 'yyyy-MM-dd''T''HH:mm'"},
            {"INSERT INTO 'a' SELECT time_to_epoch(t, 'ddd') AS x FROM 'b';",
             "'d' cannot stand there 3 times"},
            {"INSERT INTO 'a' SELECT * FROM 'b' WHERE time_to_epoch(t, 'yyyy]') > 0;",
             "']' closes nothing"},
            {"INSERT INTO 'a' SELECT time_to_epoch(t, 'yyyy-MM-dd[ HH:mm]') AS x FROM 'b';", ""},
            {"INSERT INTO 'a' SELECT parse_time('yyyy-MM-dd''T''HH', t) AS x FROM 'b';", ""},
            {"INSERT INTO 'a' SELECT parse_time(p, t) AS x FROM 'b';", ""},
    };
    CASES(cases);
}

static void
conditions_that_cannot_be_meant_are_warned_about(void **state)
{
    static const struct lint_case cases[] = {
            {RULE("FROM 'b' WHERE y > 'hot';"), "strings have no order"},
            {RULE("FROM 'b' WHERE 'y' > 60;"), "a field is written without them: y"},
            {RULE("FROM 'b' WHERE y > '60';"), ""},
            {RULE("FROM 'b' WHERE y > true;"), "only numbers can be compared so"},
            {RULE("FROM 'b' WHERE y <= NULL;"), "only numbers can be compared so"},
            {RULE("FROM 'b' WHERE y = NULL;"), "isNull(y) asks for null"},
            {RULE("FROM 'b' WHERE a.b <> NULL;"), "isUndefined(a.b) for a missing member"},
            {RULE("FROM 'b' WHERE isNull(y);"), ""},
            {RULE("FROM 'b' WHERE 1 = 2;"), "this condition is always false"},
            {RULE("FROM 'b' WHERE y > 1 AND 'a' = \"a\";"), "this condition is always true"},
            {RULE("FROM 'b' WHERE \"y\" = 'on';"), "are texts; a field is written without quotes"},
            {RULE("FROM 'b' WHERE sqrt('no') > 1;"), "this condition is always Undefined"},
            {RULE("FROM 'b' WHERE true;"), ""},
            {RULE("FROM 'b' WHERE y IN [];"), "nothing is in an empty array"},
            {RULE("FROM 'b' WHERE y IN [1];"), ""},
            {RULE("FROM 'b' WHERE my-field > 1;"), "a member of that name is get(*, 'my-field')"},
            {RULE("FROM 'b' WHERE a - b > 1;"), ""},
            {RULE("FROM 'b' WHERE a-1 > 1;"), ""},
            {RULE("FROM 'b' WHERE y = \xE2\x80\x9Con\xE2\x80\x9D;"), "straight quotes"},
            {RULE("FROM 'b' WHERE gr\xC3\xB6\xC3\x9F" "e > 1;"), ""},
            {"INSERT INTO 'a' SELECT x AS hot FROM 'b' WHERE hot > 1;",
             "not what SELECT names so"},
            {"INSERT INTO 'a' SELECT round(hot) AS hot FROM 'b' WHERE hot > 1;", ""},
            {"INSERT INTO 'a' SELECT x AS t, y AS t FROM 'b';", "is given twice"},
            {"INSERT INTO 'a' SELECT upper(x, y) AS t FROM 'b';", "is always Undefined"},
    };
    CASES(cases);
}

static void
filters_that_match_nothing_are_warned_about(void **state)
{
    static const struct lint_case cases[] = {
            {RULE("FROM 'sensors/*/data';"), "'*' is not a wildcard"},
            {RULE("FROM 'a*/data';"), ""},
            {RULE("FROM ' sensors/data';"), "begins or ends with a blank"},
            {RULE("FROM 'living room/data';"), ""},
            {RULE("FROM '$share/g/x';"), "leave '$share/GROUP/' away"},
            {RULE("FROM '$SYS/broker/uptime';"), ""},
            {RULE("FROM '#';"), "gets every message of the broker"},
    };
    CASES(cases);
}

static void
rules_are_looked_at_together(void **state)
{
    static const struct lint_case cases[] = {
            {"INSERT INTO 'a/${topic(2)}' SELECT * FROM 'a/#';", "gets its own rows again"},
            {"INSERT INTO 'a/${topic(2)}' SELECT * FROM 'a/+/data';", ""},
            {"INSERT INTO 'a/${topic(2)}' SELECT * FROM 'a/b';", ""},
            {"CREATE RULE a AS INSERT INTO 'y/1' SELECT * FROM 'z/1';\n"
             "CREATE RULE b AS INSERT INTO 'w' SELECT * FROM 'y/+';\n"
             "CREATE RULE c AS INSERT INTO 'z/1' SELECT * FROM 'w';",
             "rules 'a', 'b', 'c' feed each other in a circle"},
            {"CREATE RULE a AS INSERT INTO 'y' SELECT * FROM 'x';\n"
             "CREATE RULE b AS INSERT INTO 'z' SELECT * FROM 'y';",
             ""},
            {"CREATE RULE a AS INSERT INTO 'y' SELECT v FROM 'x';\n"
             "CREATE RULE b AS INSERT INTO 'y'  SELECT v\nFROM 'x';",
             "rule 'b' does the same as rule 'a'"},
            {"CREATE RULE a AS INSERT INTO 'y' SELECT v FROM 'x';\n"
             "CREATE RULE b AS INSERT INTO 'y' SELECT w FROM 'x';",
             ""},
            {"CREATE TABLE t WITH ('connector' = 'null');", "no rule uses table 't'"},
            {"CREATE TABLE t (v INT) WITH ('connector' = 'mqtt', 'topic' = 'a/+');\n"
             "CREATE TABLE u (v INT) WITH ('connector' = 'mqtt', 'topic' = 'b');\n"
             "INSERT INTO u SELECT v FROM t;",
             ""},
            {"CREATE TABLE t WITH ('connector' = 'null');\n"
             "INSERT INTO t SELECT * FROM 'x';",
             ""},
            {"CREATE TABLE t WITH ('connector' = 'null');\n"
             "CREATE RULE r WITH ('on_error' = 't') AS INSERT INTO 'y' SELECT * FROM 'x';",
             ""},
            {"CREATE RULE r WITH ('on_eror' = 't') AS INSERT INTO 'y' SELECT * FROM 'x';",
             "did you mean 'on_error'?"},
    };
    CASES(cases);
}

#define CLOUD(options)                                                       \
    "CREATE TABLE t WITH ('connector' = 'http', 'url' = 'https://h/'" options ");\n" \
    "INSERT INTO t SELECT * FROM 'x';"

static void
trusting_anybody_is_warned_about(void **state)
{
    static const struct lint_case cases[] = {
            {CLOUD(", 'insecure' = 'true'"), "warning: 'insecure' takes any certificate"},
            {CLOUD(", 'insecure' = 'YES'"), "can read what table 't' sends"},
            {CLOUD(", 'insecure' = 'true'"), "hint: leave it away, and for a certificate that no"},
            {CLOUD(", 'insecure' = 'on', 'ca' = '/x.pem'"), "'ca' says already whose"},
            {CLOUD(", 'insecure' = 'false'"), ""},
            {CLOUD(""), ""},
            {"CREATE TABLE t WITH ('connector' = 'mqtt-bridge', 'url' = 'mqtts://h', "
             "'insecure' = 'true');\nINSERT INTO t SELECT * FROM 'x';",
             "'insecure' takes any certificate"},
    };
    CASES(cases);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(slips_have_hints),
            cmocka_unit_test(date_patterns_are_checked),
            cmocka_unit_test(conditions_that_cannot_be_meant_are_warned_about),
            cmocka_unit_test(filters_that_match_nothing_are_warned_about),
            cmocka_unit_test(rules_are_looked_at_together),
            cmocka_unit_test(trusting_anybody_is_warned_about),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
