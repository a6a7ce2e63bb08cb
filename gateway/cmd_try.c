/*
 * headgate try: one statement or the rules of a file, messages in, rows out, no side effects.
 *
 * Nothing is opened: targets are shown, not written to. Everything that depends on time comes from
 * the input's `at` or from --now, so that the same input gives the same output.
 */
#include "command.h"
#include "host.h"
#include "ruleset.h"
#include "ruleset_script.h"
#include "trial_input.h"
#include "why_trial.h"

#include "base/base64.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>

struct try {
    struct host_sources sources;
    struct rule_file *file; /* of --rule */
    struct ruleset *ruleset; /* of --sql */
    const struct rule **rules;
    const struct stream_program **programs; /* one a rule; NULL of topic SQL */
    size_t rule_count;
    struct trial *trial;
    struct why_trial *observed;
    struct arena arena; /* of one message */
    struct trial_input input;
    uint64_t seed;
    bool line_is_json;
    uint64_t messages, unmatched, matched, filtered, undefined, failed, not_json;
    struct diag_list diags;
};

/* JSON as it is, other text as a JSON string. */
static void
append_text(struct bytes payload, bool is_json, struct buf *out)
{
    if (is_json) {
        buf_append(out, payload);
    } else {
        json_write_string(out, payload);
    }
}

static void
append_base64(struct bytes payload, struct buf *out)
{
    buf_append_string(out, "\"base64\":\"");
    base64_encode(out, payload);
    buf_append_char(out, '"');
}

static void
append_output(const struct try *try, const struct trial_outcome *outcome,
              const struct rule_output *output, struct buf *out)
{
    buf_append_char(out, '{');
    if (try->rule_count > 1) {
        buf_append_string(out, "\"rule\":");
        json_write_string(out, outcome->info->name);
        buf_append_char(out, ',');
    }
    buf_append_string(out, "\"target\":");
    json_write_string(out, output->text);
    if (output->params.size > 0) {
        buf_append_string(out, ",\"params\":");
        buf_append(out, output->params);
    }
    buf_append_char(out, ',');
    if (output->failure.size > 0) {
        buf_append_string(out, "\"failure\":");
        json_write_string(out, output->failure);
    } else if (!output->payload_is_json && !bytes_is_utf8(output->payload)) {
        append_base64(output->payload, out);
    } else {
        buf_append_string(out, "\"payload\":");
        append_text(output->payload, output->payload_is_json, out);
    }
    buf_append_string(out, "}\n");
}

/* A query without targets gives its rows alone. */
static void
append_row(const struct rule_row *row, struct buf *out)
{
    if (!row->payload_is_json && !bytes_is_utf8(row->payload)) {
        buf_append_char(out, '{');
        append_base64(row->payload, out);
        buf_append_char(out, '}');
    } else {
        append_text(row->payload, row->payload_is_json, out);
    }
    buf_append_char(out, '\n');
}

static void
print_row(const struct try *try, const struct trial_outcome *outcome)
{
    struct buf out = {0};
    const struct rule_row *row = &outcome->row;
    for (size_t i = 0; i < row->output_count; i++) {
        append_output(try, outcome, &row->outputs[i], &out);
    }
    if (row->output_count == 0) {
        append_row(row, &out);
    }
    fwrite(out.data, 1, out.size, stdout);
    buf_fini(&out);
}

static void
count_outcome(void *context, struct trial_outcome *outcome)
{
    struct try *try = context;
    const char *reason;
    try->line_is_json = rule_message_is_json(outcome->message, &reason);
    why_trial_outcome(try->observed, outcome);
    switch (outcome->verdict) {
    case RULE_MATCHED:
        try->matched++;
        print_row(try, outcome);
        return;
    case RULE_FILTERED:
        try->filtered++;
        return;
    case RULE_UNDEFINED:
    case RULE_NOTHING:
        try->undefined++;
        return;
    case RULE_FAILED:
        try->failed++;
        fprintf(stderr, "rule failed: %s\n", outcome->row.reason);
        return;
    }
    never("rule verdict");
}

static void
try_message(void *context, const struct trial_message *message)
{
    struct try *try = context;
    try->messages++;
    why_trial_message(try->observed, message);
    try->line_is_json = true;
    if (trial_run(try->trial, message, &try->arena, count_outcome, try)) {
        try->not_json += !try->line_is_json;
    } else {
        try->unmatched++;
    }
}

static void
print_summary(const struct try *try)
{
    fprintf(stderr, "%llu message%s: %llu row%s", (unsigned long long)try->messages,
            try->messages == 1 ? "" : "s", (unsigned long long)try->matched,
            try->matched == 1 ? "" : "s");
    const struct {
        uint64_t count;
        const char *what;
    } parts[] = {{try->filtered, "filtered (WHERE was false)"},
                 {try->undefined, "undefined (a field is missing or of a wrong type)"},
                 {try->unmatched, "on other topics"},
                 {try->not_json, "not JSON"},
                 {try->failed, "failed"}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i].count > 0) {
            fprintf(stderr, ", %llu %s", (unsigned long long)parts[i].count, parts[i].what);
        }
    }
    fputc('\n', stderr);
}

/* A rule of which nothing came says why, in a sentence. */
static void
print_reasons(const struct try *try)
{
    for (size_t i = 0; i < try->rule_count && try->messages > 0; i++) {
        struct buf reason = {0};
        if (why_trial_matched(try->observed, i) > 0) {
            continue;
        }
        if (try->rule_count > 1) {
            buf_printf(&reason, "%.*s: ", BYTES_ARG(rule_info(try->rules[i])->name));
        }
        if (try->programs[i] != NULL) {
            buf_append_string(&reason, "Nothing came out: no row was kept, or what was is in windows "
                                       "that have not ended; those of processing time end with "
                                       "the clock alone.");
        } else {
            why_trial_reason(try->observed, i, &reason);
        }
        fprintf(stderr, "%s\n", buf_string(&reason));
        buf_fini(&reason);
    }
}

/* ---- which rules ---- */

struct choice {
    const char *sql, *path, *name; /* one of the first two; of `path` all rules, or that one */
};

static void
add_rule(struct try *try, const struct rule *rule, const struct stream_program *program)
{
    try->programs[try->rule_count] = program;
    try->rules[try->rule_count++] = rule;
}

static void
make_room(struct try *try, size_t count)
{
    try->rules = mem_new_array(const struct rule *, count);
    try->programs = mem_new_array(const struct stream_program *, count);
}

static bool
load_sql(struct try *try, const char *sql)
{
    if (!ruleset_load_text(&try->ruleset, BYTES("--sql"), bytes_of_string(sql), &try->diags)) {
        return false;
    }
    make_room(try, try->ruleset->rule_count);
    for (size_t i = 0; i < try->ruleset->rule_count; i++) {
        add_rule(try, try->ruleset->rules[i].rule, try->ruleset->rules[i].program);
    }
    return true;
}

static const char *
rule_name_at(const void *context, size_t i)
{
    struct try *try = (struct try *)(uintptr_t)context;
    return arena_copy(&try->arena, rule_info(try->file->rules[i])->name).data;
}

/* Of stream SQL: with what other files of the folder declare. */
static bool
add_folder_rules(struct try *try, const struct choice *choice)
{
    const char *listed;
    if (!ruleset_load_file(&try->ruleset, choice->path, &listed, &try->diags)) {
        return false;
    }
    make_room(try, try->ruleset->rule_count);
    for (size_t i = 0; i < try->ruleset->rule_count; i++) {
        const struct ruleset_rule *rule = &try->ruleset->rules[i];
        if (strcmp(rule->path, listed) == 0 &&
            (choice->name == NULL || bytes_equal_string(rule->info->name, choice->name))) {
            add_rule(try, rule->rule, rule->program);
        }
    }
    return true;
}

static void
add_file_rules(struct try *try, const struct choice *choice)
{
    make_room(try, try->file->rule_count);
    for (size_t i = 0; i < try->file->rule_count; i++) {
        const struct rule *rule = try->file->rules[i];
        if (choice->name == NULL || bytes_equal_string(rule_info(rule)->name, choice->name)) {
            add_rule(try, rule, NULL);
        }
    }
}

/* The file alone: tables that it names may be declared in others. */
static bool
load_file(struct try *try, const struct choice *choice)
{
    struct buf text = {0};
    bool parsed = trial_input_read(choice->path, &text, &try->diags) &&
                  ruleset_parse_file(&try->file, choice->path, buf_bytes(&text), &try->diags);
    buf_fini(&text);
    if (!parsed) {
        return false;
    }
    if (!ruleset_script_is_needed(try->file)) {
        add_file_rules(try, choice);
    } else if (!add_folder_rules(try, choice)) {
        return false;
    }
    if (try->rule_count > 0) {
        return true;
    }
    diag_error(&try->diags, DIAG_MISSING, "'%s' has no rule%s%s", choice->path,
               choice->name == NULL ? "" : " named ", choice->name == NULL ? "" : choice->name);
    const char *near = choice->name == NULL
                               ? NULL
                               : diag_nearest(bytes_of_string(choice->name),
                                              try->file->rule_count, rule_name_at, try);
    if (near != NULL) {
        diag_hint(&try->diags, "did you mean '%s'?", near);
    }
    return false;
}

static int
run_try(struct try *try, const struct choice *choice, const char *input_path)
{
    struct buf input = {0};
    struct host host;
    host_init(&host, &os_posix);
    host_set_sources(&host, &try->sources);
    bool loaded = choice->sql != NULL ? load_sql(try, choice->sql) : load_file(try, choice);
    if (loaded && trial_input_read(input_path, &input, &try->diags)) {
        try->input.name = input_path == NULL ? BYTES("-") : bytes_of_string(input_path);
        try->trial = trial_new(try->rules, try->rule_count, &host.rule, try->seed);
        try->observed = why_trial_new(try->rules, try->rule_count);
        for (size_t i = 0; i < try->rule_count; i++) {
            if (try->programs[i] != NULL) {
                trial_set_program(try->trial, i, try->programs[i]);
            }
        }
        trial_input_each(&try->input, buf_bytes(&input), &try->arena, try_message, try,
                         &try->diags);
        trial_finish(try->trial, &try->arena, count_outcome, try);
        fflush(stdout); /* rows before the summary, also where both go to one place */
        print_summary(try);
        print_reasons(try);
    }
    trial_free(try->trial);
    why_trial_free(try->observed);
    free(try->rules);
    free(try->programs);
    rule_file_free(try->file);
    ruleset_free(try->ruleset);
    host_fini(&host);
    buf_fini(&input);
    return try->diags.errors == 0 ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
}

int
cmd_try(int argc, char **argv)
{
    struct choice choice = {0};
    const char *topic = "", *input = NULL, *now = NULL, *seed = "1";
    const struct flag flags[] = {
            {"--sql", "SQL", "the statement: SELECT ..., or INSERT INTO ... SELECT ...",
             &choice.sql, NULL},
            {"--rule", "FILE", "the rules of a rule file, or of them the one that is named",
             &choice.path, NULL},
            {"--topic", "TOPIC", "the topic of every input line; the line is the payload", &topic,
             NULL},
            {"--input", "FILE", "read messages from FILE instead of standard input", &input, NULL},
            {"--now", "TIME", "the arrival time of messages that do not say it", &now, NULL},
            {"--seed", "NUMBER", "for rand() and newuuid()", &seed, NULL},
    };
    struct command_line line;
    int code;
    if (!command_line_parse(&line, command_find("try"), argc, argv, flags,
                            sizeof flags / sizeof *flags, 1, &code)) {
        return code;
    }
    struct try try = {.input = {.topic = bytes_of_string(topic)}};
    int64_t seed_number;
    code = EXIT_CODE_USAGE;
    choice.name = line.operand_count > 0 ? line.operands[0] : NULL;
    if ((choice.sql == NULL) == (choice.path == NULL)) {
        diag_error(&try.diags, DIAG_INVALID, "what to try is said by one of --sql and --rule");
        diag_hint(&try.diags, "headgate try --sql \"SELECT * FROM 'a/b'\" --topic a/b");
    } else if (choice.sql != NULL && choice.name != NULL) {
        diag_error(&try.diags, DIAG_INVALID, "'%s': only the rules of a file have names",
                   choice.name);
    } else if (!bytes_to_int64(bytes_of_string(seed), &seed_number)) {
        diag_error(&try.diags, DIAG_INVALID, "'--seed %s' is not a number", seed);
    } else if (trial_input_now(now, &try.input.now_us, &try.diags)) {
        try.seed = (uint64_t)seed_number;
        try.input.account_id = bytes_of_string(line.config.account_id);
        try.sources = (struct host_sources){.hides_secrets = true,
                                            .registry_file = line.config.registry_file,
                                            .descriptors_dir = line.config.descriptors_dir};
        code = run_try(&try, &choice, input);
    }
    command_print_diags(&try.diags);
    arena_fini(&try.arena);
    diag_list_fini(&try.diags);
    command_line_fini(&line);
    return code;
}
