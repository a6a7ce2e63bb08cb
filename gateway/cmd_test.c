/*
 * headgate test: runs the tests that lie beside rule files; with --from an edited rule file over
 * what was received.
 *
 * Tests are run one by one, each with the rules of its own file, in the order of their paths.
 */
#include "command.h"
#include "history.h"
#include "ruleset.h"
#include "ruleset_script.h"
#include "ruletest.h"
#include "trial.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/option.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { RULE_FILE_MAX_BYTES = 1024 * 1024, DIFFERENCES_MAX = 20 };

struct tester {
    bool update, json;
    char **paths; /* of tests */
    size_t path_count, path_capacity;
    size_t passed, failed;
    struct buf json_tests;
    struct diag_list diags; /* what concerns no single test */
};

/* ---- which tests ---- */

static void
add_path(struct tester *tester, char *path)
{
    tester->paths = mem_grow(tester->paths, tester->path_count, &tester->path_capacity,
                             sizeof *tester->paths);
    tester->paths[tester->path_count++] = path;
}

struct listing {
    struct tester *tester;
    const char *dir;
};

static void
add_name(void *context, const char *name)
{
    struct listing *listing = context;
    if (ruletest_is_test_name(bytes_of_string(name))) {
        struct buf path = {0};
        buf_printf(&path, "%s/%s", listing->dir, name);
        add_path(listing->tester, buf_take_string(&path));
    }
}

static int
compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
add_folder(struct tester *tester, const char *dir)
{
    struct listing listing = {tester, dir};
    size_t first = tester->path_count;
    int result = os_posix.list(&os_posix, dir, add_name, &listing);
    if (result < 0) {
        diag_io_error(&tester->diags, -result, "cannot read the folder '%s'", dir);
    } else if (tester->path_count == first) {
        diag_error(&tester->diags, DIAG_MISSING, "there is no test in '%s'", dir);
        diag_hint(&tester->diags, "write NAME.test beside NAME.sql; rules/README.md shows how");
    } else {
        qsort(tester->paths + first, tester->path_count - first, sizeof *tester->paths,
              compare_paths);
    }
}

/* A test, or the rule file that it lies beside. */
static void
add_file(struct tester *tester, const char *path)
{
    struct bytes bytes = bytes_of_string(path);
    struct ruletest_text test;
    if (bytes_ends_with(bytes, BYTES(".test"))) {
        add_path(tester, bytes_to_string(bytes));
        return;
    }
    ruletest_text_read(&test, path);
    if (test.error == ENOENT) {
        diag_error(&tester->diags, DIAG_MISSING, "there is no test for '%s'", path);
        diag_hint(&tester->diags, "write '%s' beside it; rules/README.md shows how", test.path);
    } else {
        add_path(tester, bytes_to_string(bytes_of_string(test.path)));
    }
    ruletest_text_fini(&test);
}

static void
add_operand(struct tester *tester, const char *path)
{
    struct stat status;
    if (stat(path, &status) < 0) {
        diag_io_error(&tester->diags, errno, "cannot test '%s'", path);
    } else if (S_ISDIR(status.st_mode)) {
        add_folder(tester, path);
    } else {
        add_file(tester, path);
    }
}

/* ---- one test ---- */

struct test {
    const char *path;
    struct buf text, updated;
    struct ruletest_report report;
    struct diag_list diags;
    bool passed, is_updated;
};

static bool
read_text(const char *path, size_t max_bytes, struct buf *out, struct diag_list *diags)
{
    struct diag_place place = {.file = bytes_of_string(path)};
    int result = os_read_file(&os_posix, path, max_bytes, out);
    if (result < 0) {
        diag_at(diags, DIAG_ERROR, &place, "cannot be read: %s",
                result == -EFBIG ? "larger than 1 MiB" : strerror(-result));
    }
    return result >= 0;
}

static bool
read_rules(const char *path, struct rule_file **out, struct diag_list *diags)
{
    struct buf text = {0};
    bool read = read_text(path, RULE_FILE_MAX_BYTES, &text, diags) &&
                ruleset_parse_file(out, path, buf_bytes(&text), diags);
    buf_fini(&text);
    return read;
}

static void
run_rules(struct test *test, const struct rule_file *rules,
          const struct stream_program *const *programs)
{
    struct ruletest_options options = {.os = &os_posix,
                                       .programs = programs,
                                       .differences_max = DIFFERENCES_MAX,
                                       .updated = &test->updated};
    test->passed = read_text(test->path, RULETEST_TEXT_MAX_BYTES, &test->text, &test->diags) &&
                   ruletest_run(rules, bytes_of_string(test->path), buf_bytes(&test->text),
                                &options, &test->report, &test->diags);
}

/* Stream SQL may use what other files of the folder declare. */
static void
run_in_folder(struct test *test, const char *rule_path)
{
    struct arena arena = {0};
    struct ruleset *ruleset;
    const char *listed;
    if (ruleset_load_file(&ruleset, rule_path, &listed, &test->diags)) {
        const struct ruleset_script *script;
        const struct rule_file *rules = ruleset_file_of(ruleset, listed, &script);
        run_rules(test, rules, ruleset_script_programs(script, rules, &arena));
        ruleset_free(ruleset);
    }
    arena_fini(&arena);
}

static void
run_test(struct test *test)
{
    struct rule_file *rules;
    char *rule_path = ruletest_rule_path(test->path, &test->diags);
    if (rule_path != NULL && read_rules(rule_path, &rules, &test->diags)) {
        if (ruleset_script_is_needed(rules)) {
            run_in_folder(test, rule_path);
        } else {
            run_rules(test, rules, NULL);
        }
        rule_file_free(rules);
    }
    free(rule_path);
}

/* Writes the outputs that came into the test. */
static void
update_test(struct test *test)
{
    struct stat status;
    if (test->updated.size == 0 || bytes_equal(buf_bytes(&test->text), buf_bytes(&test->updated))) {
        return;
    }
    mode_t mode = stat(test->path, &status) == 0 ? status.st_mode & 0777 : 0644;
    int result = os_replace_file(&os_posix, test->path, buf_bytes(&test->updated), mode);
    if (result < 0) {
        diag_io_error(&test->diags, -result, "cannot write '%s'", test->path);
    } else {
        test->is_updated = true;
    }
}

/* ---- telling ---- */

static bool
is_output_line(struct bytes rest)
{
    return bytes_starts_with(rest, BYTES("=>"));
}

/* Takes the lines of outputs off the front of a text. */
static struct bytes
take_outputs(struct bytes *rest, unsigned *line_number)
{
    const char *begin = rest->data;
    while (is_output_line(*rest)) {
        *rest = bytes_slice(*rest, bytes_find(*rest, '\n') + 1, rest->size);
        ++*line_number;
    }
    return bytes_of(begin, (size_t)(rest->data - begin));
}

static void
print_lines(const char *before, struct bytes lines)
{
    struct bytes line;
    if (bytes_ends_with(lines, BYTES("\n"))) {
        lines.size--;
    } else if (lines.size == 0) {
        return;
    }
    while (bytes_split(&lines, '\n', &line)) {
        printf("  %s %.*s\n", before, BYTES_ARG(line));
    }
}

/* Both texts are the same but for lines of outputs, so they are walked side by side. */
static void
print_changes(const struct test *test)
{
    struct bytes old = buf_bytes(&test->text), new = buf_bytes(&test->updated);
    unsigned line_number = 1;
    while (old.size > 0 || new.size > 0) {
        unsigned ignored = 0, first = line_number;
        struct bytes old_lines = take_outputs(&old, &line_number);
        struct bytes new_lines = take_outputs(&new, &ignored);
        if (!bytes_equal(old_lines, new_lines)) {
            printf("%s:%u: updated\n", test->path, first);
            print_lines("-", old_lines);
            print_lines("+", new_lines);
        }
        old = bytes_slice(old, bytes_find(old, '\n') + 1, old.size);
        new = bytes_slice(new, bytes_find(new, '\n') + 1, new.size);
        line_number++;
    }
}

static void
print_test(const struct test *test)
{
    struct buf text = {0};
    if (test->passed) {
        printf("passed   %s: %zu messages\n", test->path, test->report.messages);
    } else if (test->is_updated) {
        printf("updated  %s: %zu of %zu messages gave something else\n", test->path,
               test->report.differences, test->report.messages);
        print_changes(test);
    } else if (test->report.differences > 0) {
        printf("FAILED   %s: %zu of %zu messages give something else\n", test->path,
               test->report.differences, test->report.messages);
    } else {
        printf("FAILED   %s\n", test->path);
    }
    if (!test->is_updated) {
        diag_list_print(&test->diags, &text);
        fputs(buf_string(&text), stdout);
    }
    buf_fini(&text);
}

static void
write_json(const struct test *test, struct buf *out)
{
    buf_append_string(out, out->size == 0 ? "" : ",");
    buf_append_string(out, "{\"test\":");
    json_write_string(out, bytes_of_string(test->path));
    buf_printf(out,
               ",\"passed\":%s,\"updated\":%s,\"messages\":%zu,\"differences\":%zu,\"errors\":",
               test->passed ? "true" : "false", test->is_updated ? "true" : "false",
               test->report.messages, test->report.differences);
    command_diags_write_json(&test->diags, out);
    buf_append_char(out, '}');
}

/* ---- all tests ---- */

static void
do_test(struct tester *tester, const char *path)
{
    struct test test = {.path = path};
    run_test(&test);
    if (tester->update && !test.passed) {
        update_test(&test);
    }
    tester->passed += test.passed || test.is_updated;
    tester->failed += !test.passed && !test.is_updated;
    if (tester->json) {
        write_json(&test, &tester->json_tests);
    } else {
        print_test(&test);
    }
    buf_fini(&test.text);
    buf_fini(&test.updated);
    diag_list_fini(&test.diags);
}

static void
print_summary(struct tester *tester)
{
    if (tester->json) {
        printf("{\"passed\":%zu,\"failed\":%zu,\"tests\":[%s]}\n", tester->passed,
               tester->failed, buf_string(&tester->json_tests));
    } else {
        printf("%zu passed, %zu failed\n", tester->passed, tester->failed);
    }
}

static int
run_all(struct tester *tester, const struct command_line *line)
{
    if (line->operand_count == 0) {
        add_operand(tester, line->config.rules_dir);
    }
    for (size_t i = 0; i < line->operand_count; i++) {
        add_operand(tester, line->operands[i]);
    }
    for (size_t i = 0; i < tester->path_count; i++) {
        do_test(tester, tester->paths[i]);
        free(tester->paths[i]);
    }
    fflush(stdout);
    command_print_diags(&tester->diags);
    print_summary(tester);
    bool passed = tester->failed == 0 && tester->diags.errors == 0;
    free(tester->paths);
    buf_fini(&tester->json_tests);
    diag_list_fini(&tester->diags);
    return passed ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
}

/* ---- over recorded history ---- */

/* "-1h": so long ago; else a time. NULL: `otherwise`. */
static bool
parse_when(const char *flag, const char *text, int64_t otherwise, int64_t *out_us,
           struct diag_list *diags)
{
    int64_t ago_ms;
    *out_us = otherwise;
    if (text == NULL || trial_time_parse(bytes_of_string(text), out_us)) {
        return true;
    }
    if (text[0] == '-' && option_parse_duration(bytes_of_string(text + 1), &ago_ms)) {
        *out_us = os_posix.wall_us(&os_posix) - ago_ms * 1000;
        return true;
    }
    diag_error(diags, DIAG_INVALID, "'%s %s' is no time", flag, text);
    diag_hint(diags, "-1h is an hour ago; or 2026-03-01T12:00:00Z");
    return false;
}

static void
print_history(const struct history_report *report)
{
    printf("%llu message%s; of the outputs %llu the same, %llu gone, %llu new\n",
           (unsigned long long)report->messages, report->messages == 1 ? "" : "s",
           (unsigned long long)report->same, (unsigned long long)report->gone,
           (unsigned long long)report->come);
}

/* As diff(1): 0 when all is the same, 1 when not, 2 for trouble. */
static int
run_history(const struct command_line *line, const char *from, const char *to,
            const char *against)
{
    struct diag_list diags = {0};
    struct history_report report = {0};
    struct history_options options = {.config = &line->config, .against = against};
    int code = EXIT_CODE_USAGE;
    if (line->operand_count == 0 || line->operand_count > 2) {
        diag_error(&diags, DIAG_INVALID, "--from wants a rule file, and at most one rule of it");
        diag_hint(&diags, "headgate test rules.d/hot.sql --from -1h");
        command_print_diags(&diags);
    } else if (!parse_when("--from", from, 0, &options.from_us, &diags) ||
               !parse_when("--to", to, INT64_MAX, &options.to_us, &diags)) {
        command_print_diags(&diags);
    } else {
        options.path = line->operands[0];
        options.rule = line->operand_count > 1 ? line->operands[1] : NULL;
        if (history_run(&options, &report, &diags)) {
            print_history(&report);
            code = report.gone + report.come == 0 ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
        }
    }
    diag_list_fini(&diags);
    return code;
}

int
cmd_test(int argc, char **argv)
{
    struct tester tester = {0};
    const char *from = NULL, *to = NULL, *against = NULL;
    const struct flag flags[] = {
            {"--update", NULL, "write into the tests what the rules give now", NULL,
             &tester.update},
            {"--from", "TIME", "run a rule file over what was received since then (-1h), before "
                               "and after its edit; print what differs", &from, NULL},
            {"--to", "TIME", "with --from: up to then", &to, NULL},
            {"--against", "FILE", "with --from: the version to compare with, instead of what the "
                                  "gateway has, or had, loaded", &against, NULL},
    };
    struct command_line line;
    int code;
    if (!command_line_parse(&line, command_find("test"), argc, argv, flags,
                            sizeof flags / sizeof *flags, SIZE_MAX, &code)) {
        return code;
    }
    tester.json = line.json;
    code = from != NULL ? run_history(&line, from, to, against) : run_all(&tester, &line);
    command_line_fini(&line);
    return code;
}
