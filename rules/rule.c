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
rule_message_is_json(struct rule_message *message, const char **reason)
{
    const struct rule_payload *payload = run_payload(message);
    *reason = payload->reason;
    return payload->is_json;
}

/* The text of a target, filled in. */
static struct bytes
target_text(const struct target_program *target, struct run *run)
{
    if (target->kind == RULE_TARGET_RELATION) {
        return target->text;
    }
    return target->action == NULL ? template_run(&target->template, run)
                                  : action_topic(target->action, run);
}

/* Every target's part of a row: what it gets, or why it gets nothing. */
static void
fill_outputs(const struct target_program *targets, size_t count, struct run *run,
             struct rule_row *row)
{
    struct output_list list = {.items = arena_alloc(run->arena, count * sizeof *list.items),
                               .capacity = count};
    for (size_t i = 0; i < count; i++) {
        struct rule_output output = {
                .target = (uint32_t)i,
                .payload_is_json = row->payload_is_json,
                .text = target_text(&targets[i], run),
                .payload = row->payload,
        };
        if (targets[i].action != NULL) {
            action_run(targets[i].action, &output, run, row, &list);
            continue;
        }
        bool is_checked = targets[i].kind != RULE_TARGET_TOPIC ||
                          template_is_fixed(&targets[i].template);
        if (!is_checked && !topic_is_valid(output.text)) {
            output.failure = BYTES("the target topic is empty or holds a wildcard");
        }
        *output_list_add(&list, run->arena) = output;
    }
    row->outputs = list.items;
    row->output_count = list.count;
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

enum rule_verdict
rule_run(const struct rule *rule, struct rule_message *message, struct rule_row *out)
{
    struct value variables[VARIABLES_MAX];
    struct run run = {
            .message = message,
            .arena = message->arena,
            .variables = variables,
            .salt = &rule->about->salt,
            .version_2015 = rule->version_2015,
    };
    struct buf text = {.arena = message->arena};
    *out = (struct rule_row){0};
    if (rule->query->shape == QUERY_EXTEND) {
        buf_reserve(&text, message->payload.size + ROW_ROOM);
    }
    switch (query_run(rule->query, &run, &text, &out->reason)) {
    case QUERY_ROW:
        return finish_row(rule, &run, &text, out);
    case QUERY_FILTERED:
        out->conjunct = run.conjunct;
        return RULE_FILTERED;
    case QUERY_UNDEFINED:
        out->conjunct = run.conjunct;
        return RULE_UNDEFINED;
    case QUERY_NOTHING:
        return RULE_NOTHING;
    case QUERY_FAILED:
        return RULE_FAILED;
    }
    never("all verdicts are listed");
}

void
rule_run_error(const struct rule *rule, struct rule_message *message,
               const struct rule_failure *failures, size_t failure_count, struct rule_row *out)
{
    struct value variables[VARIABLES_MAX];
    struct run run = {
            .message = message,
            .arena = message->arena,
            .variables = variables,
            .salt = &rule->about->salt,
            .version_2015 = rule->version_2015,
    };
    struct buf text = {.arena = message->arena};
    error_action_write(&text, rule->about->info.name, message, failures, failure_count);
    *out = (struct rule_row){.payload = buf_bytes(&text), .payload_is_json = true};
    query_set_variables(rule->query, &run);
    fill_outputs(rule->about->error_targets, rule->about->info.error_target_count, &run, out);
}
