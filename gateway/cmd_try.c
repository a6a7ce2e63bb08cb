/*
 * headgate try: one statement, messages in, rows out, no side effects.
 *
 * Nothing is opened: targets are shown, not written to. Everything that depends on time comes from
 * the input's `at` or from --now, so that the same input gives the same output.
 */
#include "command.h"
#include "host.h"
#include "ruleset.h"
#include "trial_input.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>

struct try {
    struct host_sources sources;
    struct trial *trial;
    struct arena arena; /* of one message */
    struct trial_input input;
    uint64_t seed;
    bool line_is_json;
    uint64_t messages, unmatched, matched, filtered, undefined, failed, not_json;
    struct diag_list diags;
};

/* A payload that is not JSON is shown as a JSON string; bytes that are not UTF-8 as base64 would
 * be: they are named, not shown. */
static void
append_payload(struct bytes payload, bool is_json, struct buf *out)
{
    if (is_json) {
        buf_append(out, payload);
    } else if (bytes_is_utf8(payload)) {
        json_write_string(out, payload);
    } else {
        buf_printf(out, "\"(%zu bytes)\"", payload.size);
    }
}

static void
append_output(const struct rule_output *output, struct buf *out)
{
    buf_append_string(out, "{\"target\":");
    json_write_string(out, output->text);
    if (output->params.size > 0) {
        buf_append_string(out, ",\"params\":");
        buf_append(out, output->params);
    }
    if (output->failure.size > 0) {
        buf_append_string(out, ",\"failure\":");
        json_write_string(out, output->failure);
    } else {
        buf_append_string(out, ",\"payload\":");
        append_payload(output->payload, output->payload_is_json, out);
    }
    buf_append_string(out, "}\n");
}

static void
print_row(const struct rule_row *row)
{
    struct buf out = {0};
    for (size_t i = 0; i < row->output_count; i++) {
        append_output(&row->outputs[i], &out);
    }
    if (row->output_count == 0) {
        append_payload(row->payload, row->payload_is_json, &out);
        buf_append_char(&out, '\n');
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
    switch (outcome->verdict) {
    case RULE_MATCHED:
        try->matched++;
        print_row(&outcome->row);
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
    if (trial_run(try->trial, message, &try->arena, count_outcome, try)) {
        try->not_json += !try->line_is_json;
    } else {
        try->unmatched++;
    }
}

static void
print_summary(const struct try *try)
{
    fprintf(stderr, "%llu messages: %llu rows", (unsigned long long)try->messages,
            (unsigned long long)try->matched);
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

static struct trial *
start_trial(const struct ruleset *ruleset, const struct host *host, uint64_t seed)
{
    const struct rule **rules = mem_new_array(const struct rule *, ruleset->rule_count);
    for (size_t i = 0; i < ruleset->rule_count; i++) {
        rules[i] = ruleset->rules[i].rule;
    }
    struct trial *trial = trial_new(rules, ruleset->rule_count, &host->rule, seed);
    free(rules);
    return trial;
}

static int
run_try(struct try *try, const char *sql, const char *input_path)
{
    struct buf input = {0};
    struct ruleset *ruleset = NULL;
    struct host host;
    host_init(&host, &os_posix);
    host_set_sources(&host, &try->sources);
    if (ruleset_load_text(&ruleset, BYTES("--sql"), bytes_of_string(sql), &try->diags) &&
        trial_input_read(input_path, &input, &try->diags)) {
        try->input.name = input_path == NULL ? BYTES("-") : bytes_of_string(input_path);
        try->trial = start_trial(ruleset, &host, try->seed);
        trial_input_each(&try->input, buf_bytes(&input), &try->arena, try_message, try,
                         &try->diags);
        fflush(stdout); /* rows before the summary, also where both go to one place */
        print_summary(try);
    }
    trial_free(try->trial);
    host_fini(&host);
    ruleset_free(ruleset);
    buf_fini(&input);
    return try->diags.errors == 0 ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
}

int
cmd_try(int argc, char **argv)
{
    const char *sql = NULL, *topic = "", *input = NULL, *now = NULL, *seed = "1";
    const struct flag flags[] = {
            {"--sql", "SQL", "the statement: SELECT ..., or INSERT INTO ... SELECT ...", &sql, NULL},
            {"--topic", "TOPIC", "the topic of every input line; the line is the payload", &topic,
             NULL},
            {"--input", "FILE", "read messages from FILE instead of standard input", &input, NULL},
            {"--now", "TIME", "the arrival time of messages that do not say it", &now, NULL},
            {"--seed", "NUMBER", "for rand() and newuuid()", &seed, NULL},
    };
    struct command_line line;
    int code;
    if (!command_line_parse(&line, command_find("try"), argc, argv, flags,
                            sizeof flags / sizeof *flags, 0, &code)) {
        return code;
    }
    struct try try = {.input = {.topic = bytes_of_string(topic)}};
    int64_t seed_number;
    code = EXIT_CODE_USAGE;
    if (sql == NULL) {
        diag_error(&try.diags, DIAG_INVALID, "no statement to try");
        diag_hint(&try.diags, "headgate try --sql \"SELECT * FROM 'a/b'\" --topic a/b");
    } else if (!bytes_to_int64(bytes_of_string(seed), &seed_number)) {
        diag_error(&try.diags, DIAG_INVALID, "'--seed %s' is not a number", seed);
    } else if (trial_input_now(now, &try.input.now_us, &try.diags)) {
        try.seed = (uint64_t)seed_number;
        try.input.account_id = bytes_of_string(line.config.account_id);
        try.sources = (struct host_sources){.hides_secrets = true,
                                            .registry_file = line.config.registry_file,
                                            .descriptors_dir = line.config.descriptors_dir};
        code = run_try(&try, sql, input);
    }
    command_print_diags(&try.diags);
    arena_fini(&try.arena);
    diag_list_fini(&try.diags);
    command_line_fini(&line);
    return code;
}
