/* headgate export: rules for AWS IoT Core, stream SQL for Flink. */
#include "command.h"
#include "export.h"

#include <stdio.h>
#include <unistd.h>

/* One rule as it is, several as a list; what cannot be exported is left out, with errors. */
static void
print_rules(const struct ruleset *ruleset, const struct export_options *options,
            struct diag_list *diags)
{
    struct buf all = {0};
    size_t count = 0;
    for (size_t i = 0; i < ruleset->rule_count; i++) {
        struct buf one = {0};
        if (export_rule(&ruleset->rules[i], options, &one, diags)) {
            buf_append_string(&all, count == 0 ? "" : ",\n");
            buf_append(&all, buf_bytes(&one));
            count++;
        }
        buf_fini(&one);
    }
    bool is_list = ruleset->rule_count != 1;
    printf("%s%s%s\n", is_list ? "[" : "", buf_string(&all), is_list ? "]" : "");
    buf_fini(&all);
}

/* Each file's stream SQL, one behind the other: the tables of one may be used by another. */
static void
print_scripts(const struct ruleset *ruleset, const struct export_options *options,
              struct diag_list *diags)
{
    struct buf out = {0};
    struct flink_options flink = {.region = options->region};
    for (size_t i = 0; i < ruleset->file_count; i++) {
        export_script(ruleset, i, &flink, &out, diags);
    }
    printf("%s", buf_string(&out));
    buf_fini(&out);
}

/* The account in "arn:aws:iam::123456789012:role/name". */
static bool
account_of(struct bytes role, struct bytes *out)
{
    struct bytes rest = role, part = BYTES("");
    for (int i = 0; i < 5; i++) {
        if (!bytes_split(&rest, ':', &part)) {
            return false;
        }
    }
    *out = part;
    return bytes_starts_with(role, BYTES("arn:")) && part.size == 12;
}

/* The caller frees `*ruleset`, behind the diags: these show its texts. */
static int
export(const char *path, const struct export_options *options, bool is_for_flink,
       struct ruleset **ruleset, struct diag_list *diags)
{
    struct ruleset_report report;
    if (access(path, F_OK) != 0) {
        diag_error(diags, DIAG_MISSING, "there is no '%s'", path);
        return EXIT_CODE_FAILED;
    }
    if (ruleset_load(ruleset, path, NULL, NULL, &report, diags)) {
        (is_for_flink ? print_scripts : print_rules)(*ruleset, options, diags);
    }
    return diags->errors == 0 ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
}

int
cmd_export(int argc, char **argv)
{
    const char *to = NULL, *role = "arn:aws:iam::123456789012:role/headgate";
    const char *region = "us-east-1", *database = "headgate";
    const struct flag flags[] = {
            {"--to", "TARGET", "where the rules shall run: aws, flink", &to, NULL},
            {"--role", "ARN", "the role of every action; its account is that of functions", &role,
             NULL},
            {"--region", "REGION", "of functions' ARNs and streams", &region, NULL},
            {"--database", "NAME", "the Timestream database of time series", &database, NULL},
    };
    struct command_line line;
    int code;
    if (!command_line_parse(&line, command_find("export"), argc, argv, flags,
                            sizeof flags / sizeof *flags, 1, &code)) {
        return code;
    }
    struct diag_list diags = {0};
    struct ruleset *ruleset = NULL;
    struct export_options options = {.role = bytes_of_string(role),
                                     .region = bytes_of_string(region),
                                     .database = bytes_of_string(database)};
    code = EXIT_CODE_USAGE;
    bool is_for_flink = to != NULL && strcmp(to, "flink") == 0;
    if (to == NULL || (strcmp(to, "aws") != 0 && !is_for_flink)) {
        diag_error(&diags, DIAG_INVALID, to == NULL ? "no '--to'" : "unknown target '--to %s'", to);
        diag_hint(&diags, "headgate export --to aws|flink [RULES_DIR | FILE]");
    } else if (!account_of(options.role, &options.account)) {
        diag_error(&diags, DIAG_INVALID, "'--role %s' is not the ARN of a role", role);
        diag_hint(&diags, "it looks like arn:aws:iam::123456789012:role/name");
    } else {
        code = export(line.operand_count > 0 ? line.operands[0] : line.config.rules_dir, &options,
                      is_for_flink, &ruleset, &diags);
    }
    command_print_diags(&diags);
    diag_list_fini(&diags);
    ruleset_free(ruleset);
    command_line_fini(&line);
    return code;
}
