/* Folders of rule files: what is loaded, what falls back, what is reported. */
#include "unit.h"

#include "ruleset.h"

#include "base/os.h"

#include <stdio.h>
#include <unistd.h>

static char dir[64];
static const char *const names[] = {"a.sql", "b.sql", "tables.sql", ".b.sql.swp", "b.sql~", "_x.sql"};

static char *
path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void
put(const char *name, const char *text)
{
    assert_int_equal(os_replace_file(&os_posix, path_of(name), bytes_of_string(text), 0600), 0);
}

static int
set_up(void **state)
{
    snprintf(dir, sizeof dir, "/tmp/headgate-unit-XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
tear_down(void **state)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        unlink(path_of(names[i]));
    }
    return rmdir(dir);
}

/* Loads, frees the generation before, and leaves what was said in `said`. */
static struct ruleset *
load(struct ruleset *previous, struct ruleset_report *report, struct buf *said)
{
    struct diag_list diags = {0};
    struct ruleset *ruleset;
    assert_true(ruleset_load(&ruleset, dir, previous, NULL, report, &diags));
    ruleset_free(previous);
    buf_clear(said);
    diag_list_print(&diags, said);
    diag_list_fini(&diags);
    return ruleset;
}

static bool
has_rule(const struct ruleset *ruleset, const char *name)
{
    for (size_t i = 0; i < ruleset->rule_count; i++) {
        if (bytes_equal_string(ruleset->rules[i].info->name, name)) {
            return true;
        }
    }
    return false;
}

static void
assert_says(struct buf *said, const char *what)
{
    if (strstr(buf_string(said), what) == NULL) {
        fail_msg("'%s' is not in:\n%s", what, buf_string(said));
    }
}

static void
files_link_across_and_others_are_ignored(void **state)
{
    struct ruleset_report report;
    struct buf said = {0};
    put("a.sql", "INSERT INTO readings SELECT * FROM 'a/+';");
    put("tables.sql", "CREATE TABLE readings WITH ('connector' = 'null');");
    put(".b.sql.swp", "garbage");
    put("b.sql~", "garbage");
    put("_x.sql", "garbage");
    struct ruleset *ruleset = load(NULL, &report, &said);
    assert_string_equal(buf_string(&said), "");
    assert_int_equal(report.files, 2);
    assert_int_equal(report.broken, 0);
    assert_int_equal(ruleset->rule_count, 1);
    assert_ptr_equal(ruleset->rules[0].targets[0].relation, ruleset_find(ruleset, BYTES("readings")));
    size_t count;
    struct bytes *filters = ruleset_filters(ruleset, &count);
    assert_int_equal(count, 1);
    assert_bytes(filters[0], "a/+");
    free(filters);
    ruleset_free(ruleset);
    buf_fini(&said);
}

static void
a_broken_file_keeps_its_last_good_version(void **state)
{
    struct ruleset_report report;
    struct buf said = {0};
    put("a.sql", "INSERT INTO 'out' SELECT * FROM 'a/+';");
    put("b.sql", "INSERT INTO 'out' SELECT * FROM 'b/+';");
    struct ruleset *ruleset = load(NULL, &report, &said);
    atomic_store(&ruleset->rules[0].counters->messages, 7);

    put("a.sql", "INSERT INTO 'out' SELEC * FROM 'a/+';");
    ruleset = load(ruleset, &report, &said);
    assert_int_equal(report.broken, 1);
    assert_int_equal(report.kept, 1);
    assert_says(&said, "a.sql:1:19: error:");
    assert_true(has_rule(ruleset, "a") && has_rule(ruleset, "b"));
    assert_int_equal(ruleset->rules[0].counters->messages, 7);

    put("a.sql", "INSERT INTO 'out' SELECT v FROM 'a/+';");
    ruleset = load(ruleset, &report, &said);
    assert_string_equal(buf_string(&said), "");
    assert_int_equal(report.broken, 0);
    assert_int_equal(ruleset->rules[0].counters->messages, 7);
    ruleset_free(ruleset);
    buf_fini(&said);
}

static void
a_new_broken_file_is_left_out(void **state)
{
    struct ruleset_report report;
    struct buf said = {0};
    put("a.sql", "INSERT INTO 'out' SELECT * FROM 'a/+';");
    put("b.sql", "INSERT INTO nowhere SELECT * FROM 'b/+';");
    struct ruleset *ruleset = load(NULL, &report, &said);
    assert_int_equal(report.broken, 1);
    assert_int_equal(report.kept, 0);
    assert_says(&said, "b.sql:1:13: error: unknown table 'nowhere'");
    assert_true(has_rule(ruleset, "a") && !has_rule(ruleset, "b"));
    ruleset_free(ruleset);
    buf_fini(&said);
}

/* The table's file breaks: the rules that use it go on, because the table does. */
static void
a_broken_table_takes_no_rule_with_it(void **state)
{
    struct ruleset_report report;
    struct buf said = {0};
    put("a.sql", "INSERT INTO readings SELECT * FROM 'a/+';");
    put("tables.sql", "CREATE TABLE readings WITH ('connector' = 'null');");
    struct ruleset *ruleset = load(NULL, &report, &said);
    put("tables.sql", "CREATE TABLE readings WITH ('connector' = 'nul');");
    ruleset = load(ruleset, &report, &said);
    assert_says(&said, "unknown connector 'nul'");
    assert_says(&said, "did you mean 'null'?");
    assert_true(has_rule(ruleset, "a"));
    assert_int_equal(ruleset->relation_count, 1);
    ruleset_free(ruleset);
    buf_fini(&said);
}

static void
names_are_unique_and_options_checked(void **state)
{
    struct ruleset_report report;
    struct buf said = {0};
    put("a.sql", "CREATE TABLE t WITH ('connector' = 'null');");
    put("b.sql", "CREATE TABLE t WITH ('connector' = 'null');");
    struct ruleset *ruleset = load(NULL, &report, &said);
    assert_says(&said, "table 't' exists already");
    assert_int_equal(ruleset->relation_count, 1);
    put("b.sql", "CREATE TABLE u WITH ('connector' = 'null', 'delya' = '1s', 'delay' = 'x');");
    ruleset = load(ruleset, &report, &said);
    assert_says(&said, "unknown option 'delya'");
    assert_says(&said, "did you mean 'delay'?");
    assert_says(&said, "option 'delay' is 'x', expected a duration");
    ruleset_free(ruleset);
    buf_fini(&said);
}

static void
a_missing_folder_is_an_empty_generation(void **state)
{
    struct ruleset_report report;
    struct diag_list diags = {0};
    struct ruleset *ruleset;
    assert_true(ruleset_load(&ruleset, "/nonexistent/rules.d", NULL, NULL, &report, &diags));
    assert_int_equal(ruleset->rule_count, 0);
    assert_int_equal(diags.count, 1);
    assert_int_equal(diags.errors, 0);
    ruleset_free(ruleset);
    diag_list_fini(&diags);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
            TEST(files_link_across_and_others_are_ignored),
            TEST(a_broken_file_keeps_its_last_good_version),
            TEST(a_new_broken_file_is_left_out),
            TEST(a_broken_table_takes_no_rule_with_it),
            TEST(names_are_unique_and_options_checked),
            TEST(a_missing_folder_is_an_empty_generation),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
