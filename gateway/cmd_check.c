/*
 * headgate check: every error and every warning of a folder of rules in one run, in the order of
 * files and lines.
 */
#include "checkpoint.h"
#include "command.h"
#include "lint.h"
#include "ruleset.h"

#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int
compare_diags(const void *a, const void *b)
{
    const struct diag *x = a, *y = b;
    int order = bytes_compare(x->place.file, y->place.file);
    if (order == 0) {
        order = x->place.line < y->place.line ? -1 : x->place.line > y->place.line;
    }
    if (order == 0) {
        order = x->place.column < y->place.column ? -1 : x->place.column > y->place.column;
    }
    return order != 0 ? order : bytes_compare(x->message, y->message);
}

/* Linking goes in rounds, so what it says of a file may be far from what the parser said. */
static void
sort_diags(struct diag_list *diags)
{
    if (diags->count > 0) {
        qsort(diags->items, diags->count, sizeof *diags->items, compare_diags);
    }
}

static void
print_json(const struct diag_list *diags)
{
    struct buf out = {0};
    command_diags_write_json(diags, &out);
    puts(buf_string(&out));
    buf_fini(&out);
}

static void
print_summary(const char *path, const struct ruleset *ruleset, const struct ruleset_report *report,
              const struct diag_list *diags)
{
    struct buf out = {0};
    ruleset_report_contents(report, ruleset, &out);
    buf_append_string(&out, "; ");
    buf_append_count(&out, diags->errors, "error");
    if (report->broken > 0) {
        buf_append_string(&out, " in ");
        buf_append_count(&out, report->broken, "file");
    }
    buf_append_string(&out, ", ");
    buf_append_count(&out, diags->count - diags->errors, "warning");
    printf("%s: %s\n", path, buf_string(&out));
    buf_fini(&out);
}

/* ---- what a reload would do to open windows ---- */

static const struct ruleset_rule *
find_flow(const struct ruleset *ruleset, struct bytes name)
{
    const struct ruleset_rule *rule = map_find(&ruleset->by_name, name);
    return rule != NULL && rule->program != NULL ? rule : NULL;
}

static const struct checkpoint_rule *
find_saved(const struct checkpoint *checkpoint, struct bytes name)
{
    for (size_t i = 0; i < checkpoint->rule_count; i++) {
        if (bytes_equal(checkpoint->rules[i].name, name)) {
            return &checkpoint->rules[i];
        }
    }
    return NULL;
}

static void
print_rule_diff(const struct checkpoint *checkpoint, const struct ruleset_rule *rule)
{
    const struct checkpoint_rule *saved = find_saved(checkpoint, rule->info->name);
    const char *what =
            saved == NULL ? "is new"
            : stream_state_fits(rule->program, saved->state)
                    ? "keeps its open windows"
                    : "begins anew: its sources, keys, windows or aggregates are others";
    printf("rule '%.*s' %s\n", BYTES_ARG(rule->info->name), what);
}

/* Against the gateway's last checkpoint, whether it runs or not. */
static void
print_diff(const char *data_dir, const struct ruleset *ruleset, struct diag_list *diags)
{
    struct arena arena = {0};
    struct checkpoint checkpoint;
    if (checkpoint_load(&os_posix, data_dir, &arena, &checkpoint, diags)) {
        for (size_t i = 0; i < ruleset->rule_count; i++) {
            if (ruleset->rules[i].program != NULL) {
                print_rule_diff(&checkpoint, &ruleset->rules[i]);
            }
        }
        for (size_t i = 0; i < checkpoint.rule_count; i++) {
            if (find_flow(ruleset, checkpoint.rules[i].name) == NULL) {
                printf("rule '%.*s' is gone, and its open windows with it\n",
                       BYTES_ARG(checkpoint.rules[i].name));
            }
        }
    }
    arena_fini(&arena);
}

int
cmd_check(int argc, char **argv)
{
    bool strict = false, diff = false;
    const struct flag flags[] = {
            {"--diff", NULL, "say which rules of stream SQL would keep their open windows", NULL,
             &diff},
            {"--strict", NULL, "warnings fail too", NULL, &strict},
    };
    struct command_line line;
    int code;
    if (!command_line_parse(&line, command_find("check"), argc, argv, flags,
                            sizeof flags / sizeof *flags, 1, &code)) {
        return code;
    }
    const char *path = line.operand_count > 0 ? line.operands[0] : line.config.rules_dir;
    struct diag_list diags = {0};
    struct ruleset_report report;
    struct ruleset *ruleset = NULL;
    bool is_there = line.operand_count == 0 || access(path, F_OK) == 0;
    bool loaded = ruleset_load(&ruleset, path, NULL, NULL, &report, &diags);
    if (loaded) {
        lint_ruleset(ruleset, &diags);
    }
    bool valid = loaded && is_there && diags.errors == 0 && (!strict || diags.count == 0);
    sort_diags(&diags);
    if (line.json) {
        print_json(&diags);
    } else {
        command_print_diags(&diags);
        if (loaded) {
            print_summary(path, ruleset, &report, &diags);
        }
    }
    if (loaded && diff) {
        print_diff(line.config.data_dir, ruleset, &diags);
    }
    ruleset_free(ruleset);
    diag_list_fini(&diags);
    command_line_fini(&line);
    return valid ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
}
