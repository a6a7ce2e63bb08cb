/*
 * The door: what a rule is, and from a message to its row and what each target gets of it.
 */
#include "action.h"
#include "error_action.h"
#include "function.h"
#include "load.h"
#include "topic.h"

const char *
rule_function_name(size_t i)
{
    return i < function_count ? functions[i].name : NULL;
}

/* ---- running ---- */

const struct rule_info *
rule_info(const struct rule *rule)
{
    return &rule->about->info;
}

bool
rule_report_deferred(const struct rule_file *file, const struct rule *rule,
                     struct diag_list *diags)
{
    const struct rule_about *about = rule->about;
    struct diag_list part = file->deferred;
    part.items += about->deferred_first;
    part.count = about->deferred_count;
    if (part.count > 0) {
        diag_list_append(diags, &part);
    }
    return rule->query != NULL;
}

bool
rule_message_is_json(struct rule_message *message, const char **reason)
{
    const struct rule_payload *payload = run_payload(message);
    *reason = payload->reason;
    return payload->is_json;
}

/* One target's part of a row: its text filled in, or why it gets nothing. */
static struct rule_output
fill_output(const struct target_program *target, struct run *run, const struct rule_row *row)
{
    struct rule_output output = {
            .payload_is_json = row->payload_is_json,
            .text = target->kind == RULE_TARGET_RELATION ? target->text
                                                         : template_run(&target->template, run),
            .payload = row->payload,
    };
    bool checked = target->kind != RULE_TARGET_TOPIC || template_is_fixed(&target->template);
    if (!checked && !topic_is_valid(output.text)) {
        output.failure = BYTES("the target topic is empty or holds a wildcard");
    }
    return output;
}

/* The same of actions, each of which may give several. */
static void
run_actions(const struct target_program *targets, size_t count, struct run *run,
            struct rule_row *row)
{
    struct output_list list = {0};
    for (size_t i = 0; i < count; i++) {
        const struct rule_output output = {
                .target = (uint32_t)i,
                .text = targets[i].kind == RULE_TARGET_RELATION
                                ? targets[i].text
                                : action_topic(targets[i].action, run),
                .payload = row->payload,
                .payload_is_json = row->payload_is_json,
        };
        action_run(targets[i].action, &output, run, row, &list);
    }
    row->outputs = list.items;
    row->output_count = list.count;
}

/* The targets of a rule are all of SQL, or all actions of AWS rule JSON. */
static void
fill_outputs(const struct target_program *targets, size_t count, struct run *run,
             struct rule_row *row)
{
    if (count > 0 && targets[0].action != NULL) {
        run_actions(targets, count, run, row);
        return;
    }
    struct rule_output *outputs = arena_alloc(run->arena, count * sizeof *outputs);
    for (size_t i = 0; i < count; i++) {
        outputs[i] = fill_output(&targets[i], run, row);
        outputs[i].target = (uint32_t)i;
    }
    row->outputs = outputs;
    row->output_count = count;
}

static enum rule_verdict
finish_row(const struct rule *rule, struct run *run, const struct buf *text, struct rule_row *row)
{
    if (rule->query->shape == QUERY_WHOLE) {
        row->payload = run->message->payload;
        row->payload_is_json = run_payload(run->message)->is_json;
    } else {
        row->payload = buf_bytes(text);
        row->payload_is_json = true;
    }
    fill_outputs(rule->targets, rule->target_count, run, row);
    return RULE_MATCHED;
}

enum { ROW_ROOM = 64 };

static enum rule_verdict
make_row(const struct rule *rule, struct run *run, struct rule_row *out)
{
    struct buf text = {.arena = run->arena};
    if (rule->query->shape == QUERY_EXTEND) {
        buf_reserve(&text, run->message->payload.size + ROW_ROOM);
    }
    switch (query_run(rule->query, run, &text, &out->reason)) {
    case QUERY_ROW:
        return finish_row(rule, run, &text, out);
    case QUERY_FILTERED:
        out->conjunct = run->conjunct;
        return RULE_FILTERED;
    case QUERY_UNDEFINED:
        out->conjunct = run->conjunct;
        return RULE_UNDEFINED;
    case QUERY_NOTHING:
        return RULE_NOTHING;
    case QUERY_FAILED:
        return RULE_FAILED;
    }
    never("all verdicts are listed");
}

/* Version 2015-10-08 neither takes nor gives an array as payload. */
static enum rule_verdict
refuse_array(enum rule_verdict verdict, struct rule_row *row)
{
    struct bytes text = bytes_trim(row->payload);
    if (verdict == RULE_MATCHED && row->payload_is_json && text.size > 0 && text.data[0] == '[') {
        *row = (struct rule_row){
                .reason = "version 2015-10-08 has no payloads that are arrays; set "
                          "awsIotSqlVersion to 2016-03-23"};
        return RULE_FAILED;
    }
    return verdict;
}

static struct run
start_run(const struct rule *rule, struct rule_message *message, struct value *variables)
{
    return (struct run){
            .message = message,
            .arena = message->arena,
            .variables = variables,
            .salt = &rule->about->salt,
            .version_2015 = rule->version_2015,
    };
}

enum rule_verdict
rule_run(const struct rule *rule, struct rule_message *message, struct rule_row *out)
{
    struct value variables[VARIABLES_MAX];
    struct run run = start_run(rule, message, variables);
    *out = (struct rule_row){0};
    if (rule->query == NULL) {
        out->reason = "it is stream SQL, which takes more than one message";
        return RULE_FAILED;
    }
    enum rule_verdict verdict = make_row(rule, &run, out);
    if (run.failure != NULL) { /* wherever it was: no target gets anything */
        *out = (struct rule_row){.reason = run.failure};
        return RULE_FAILED;
    }
    return rule->version_2015 ? refuse_array(verdict, out) : verdict;
}

/* Whatever a template failed at: nobody gets anything. */
static void
fail_outputs(const struct run *run, struct rule_row *row)
{
    for (size_t i = 0; i < row->output_count && run->failure != NULL; i++) {
        struct rule_output *output = (struct rule_output *)(uintptr_t)&row->outputs[i];
        output->failure = bytes_of_string(run->failure);
    }
}

void
rule_fill(const struct rule *rule, struct rule_message *message, struct rule_row *out)
{
    struct value variables[VARIABLES_MAX];
    struct run run = start_run(rule, message, variables);
    *out = (struct rule_row){.payload = message->payload, .payload_is_json = true};
    fill_outputs(rule->targets, rule->target_count, &run, out);
    fail_outputs(&run, out);
}

void
rule_run_error(const struct rule *rule, struct rule_message *message,
               const struct rule_failure *failures, size_t failure_count, struct rule_row *out)
{
    struct value variables[VARIABLES_MAX];
    struct run run = start_run(rule, message, variables);
    struct buf text = {.arena = message->arena};
    error_action_write(&text, rule->about->info.name, message, failures, failure_count);
    *out = (struct rule_row){.payload = buf_bytes(&text), .payload_is_json = true};
    if (rule->query != NULL) {
        query_set_variables(rule->query, &run);
    }
    fill_outputs(rule->about->error_targets, rule->about->info.error_target_count, &run, out);
    fail_outputs(&run, out);
}

struct bytes
rule_info_option(const struct rule_info *info, struct bytes name)
{
    for (size_t i = 0; i < info->option_count; i++) {
        if (bytes_equal(info->options[i].name, name)) {
            return info->options[i].value;
        }
    }
    return (struct bytes){0};
}
