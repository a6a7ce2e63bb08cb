/*
 * Tests as files beside rule files, for whoever loads rules.
 */
#include "ruletest.h"

#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static const struct bytes TEST_ENDING = {".test", 5};

/* A path with another ending. */
static char *
with_ending(struct bytes path, struct bytes ending, const char *other)
{
    struct buf out = {0};
    buf_append(&out, bytes_slice(path, 0, path.size - ending.size));
    buf_append_string(&out, other);
    return buf_take_string(&out);
}

static const char *const rule_endings[] = {".sql", ".json"};

static struct bytes
rule_ending(struct bytes path)
{
    for (size_t i = 0; i < sizeof rule_endings / sizeof *rule_endings; i++) {
        if (bytes_ends_with(path, bytes_of_string(rule_endings[i]))) {
            return bytes_of_string(rule_endings[i]);
        }
    }
    return BYTES("");
}

void
ruletest_text_read(struct ruletest_text *out, const char *rule_path)
{
    struct bytes path = bytes_of_string(rule_path);
    struct bytes ending = rule_ending(path);
    *out = (struct ruletest_text){.path = with_ending(path, ending, ".test"), .error = ENOENT};
    if (ending.size > 0) {
        out->error = -os_read_file(&os_posix, out->path, RULETEST_TEXT_MAX_BYTES, &out->text);
    }
}

void
ruletest_text_fini(struct ruletest_text *test)
{
    free(test->path);
    buf_fini(&test->text);
    *test = (struct ruletest_text){0};
}

bool
ruletest_text_equal(const struct ruletest_text *a, const struct ruletest_text *b)
{
    return a->error == b->error && bytes_equal(buf_bytes(&a->text), buf_bytes(&b->text));
}

bool
ruletest_permits(const struct ruletest_text *test, const struct rule_file *rules,
                 const struct stream_program *const *programs, struct diag_list *diags)
{
    struct bytes path = bytes_of_string(test->path);
    struct ruletest_options options = {
            .os = &os_posix, .programs = programs, .differences_max = 1};
    struct ruletest_report report;
    if (test->error == ENOENT) {
        return true;
    }
    if (test->error != 0) {
        struct diag_place place = {.file = path};
        diag_at(diags, DIAG_ERROR, &place, "cannot be read: %s",
                test->error == EFBIG ? "larger than 1 MiB" : strerror(test->error));
        return false;
    }
    return ruletest_run(rules, path, buf_bytes(&test->text), &options, &report, diags);
}

bool
ruletest_is_test_name(struct bytes name)
{
    return bytes_ends_with(name, TEST_ENDING) && name.data[0] != '.' && name.data[0] != '#' &&
           name.data[0] != '_';
}

/* ---- from a test to its rules ---- */

static char *
find_rule_path(struct bytes test_path)
{
    for (size_t i = 0; i < sizeof rule_endings / sizeof *rule_endings; i++) {
        char *path = with_ending(test_path, TEST_ENDING, rule_endings[i]);
        if (access(path, F_OK) == 0) {
            return path;
        }
        free(path);
    }
    return NULL;
}

static void
report_orphan(enum diag_level level, struct bytes test_path, struct diag_list *diags)
{
    struct diag_place place = {.file = test_path};
    struct bytes stem = bytes_slice(test_path, 0, test_path.size - TEST_ENDING.size);
    diag_at(diags, level, &place, "a test without rules: there is no %.*s.sql and no %.*s.json",
            BYTES_ARG(stem), BYTES_ARG(stem));
    diag_hint(diags, "a test has the name of its rule file");
}

char *
ruletest_rule_path(const char *test_path, struct diag_list *diags)
{
    char *path = find_rule_path(bytes_of_string(test_path));
    if (path == NULL) {
        report_orphan(DIAG_ERROR, bytes_of_string(test_path), diags);
    }
    return path;
}

struct orphans {
    const char *dir;
    struct diag_list *diags;
};

static void
warn_if_orphan(void *context, const char *name)
{
    struct orphans *orphans = context;
    if (ruletest_is_test_name(bytes_of_string(name))) {
        struct buf test = {0};
        buf_printf(&test, "%s/%s", orphans->dir, name);
        char *path = find_rule_path(buf_bytes(&test));
        if (path == NULL) {
            report_orphan(DIAG_WARNING, buf_bytes(&test), orphans->diags);
        }
        free(path);
        buf_fini(&test);
    }
}

void
ruletest_warn_of_orphans(const char *dir, struct diag_list *diags)
{
    struct orphans orphans = {dir, diags};
    int listed = os_posix.list(&os_posix, dir, warn_if_orphan, &orphans);
    (void)listed; /* who loads the rules has said what is wrong with the folder */
}
