/* headgate check: every error of a folder of rules in one run. */
#include "command.h"
#include "ruleset.h"

#include <stdio.h>
#include <unistd.h>

static void
print_json(const struct diag_list *diags)
{
    struct buf out = {0};
    command_diags_write_json(diags, &out);
    puts(buf_string(&out));
    buf_fini(&out);
}

int
cmd_check(int argc, char **argv)
{
    struct command_line line;
    int code;
    if (!command_line_parse(&line, command_find("check"), argc, argv, NULL, 0, 1, &code)) {
        return code;
    }
    const char *path = line.operand_count > 0 ? line.operands[0] : line.config.rules_dir;
    struct diag_list diags = {0};
    struct ruleset_report report;
    struct ruleset *ruleset = NULL;
    bool is_there = line.operand_count == 0 || access(path, F_OK) == 0;
    bool loaded = ruleset_load(&ruleset, path, NULL, NULL, &report, &diags);
    bool valid = loaded && is_there && diags.errors == 0;
    if (line.json) {
        print_json(&diags);
    } else {
        command_print_diags(&diags);
        if (loaded) {
            printf("%s: %zu files, %zu rules, %zu tables; %zu files with errors\n", path,
                   report.files, ruleset->rule_count, ruleset->relation_count, report.broken);
        }
    }
    ruleset_free(ruleset);
    diag_list_fini(&diags);
    command_line_fini(&line);
    return valid ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
}
