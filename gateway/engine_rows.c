/*
 * One record through the rules: which rules it meets, what each makes of it, and where that goes.
 *
 * Whatever keeps a row from its sink is counted at its rule, and named in the log, one line for
 * many. Engine thread.
 */
#include "engine_state.h"

#include "message.h"

#include <stdlib.h>

enum { ROW_BYTES_MAX = 32 * 1024 * 1024 };

/* What one record's run through the rules needs. */
struct run {
    struct engine *engine;
    struct input *input;
    const struct record *record;
    struct rule_message message;
    unsigned hops; /* rules and gateways that it came through */
    bool is_checked;
    const char *not_json; /* NULL: the payload is JSON; else why not. Once it is checked */
};

static void
count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static struct record_id
next_id(struct sink *sink, const struct input *input, uint64_t position)
{
    if (sink->last_input != input || sink->last_position != position) {
        sink->last_input = input;
        sink->last_position = position;
        sink->next_output = 0;
    }
    return (struct record_id){position, sink->next_output++};
}

static void
note_failure(struct run *run, const struct ruleset_rule *rule, const char *reason)
{
    const struct os *os = run->engine->options.os;
    struct log_gate *gate = &run->input->failure_gate;
    count(&rule->counters->failed);
    pthread_mutex_lock(&run->engine->watch_lock);
    explain_failure(rule->watch->explain, reason);
    pthread_mutex_unlock(&run->engine->watch_lock);
    if (log_gate_open(gate, os->mono_us(os) / 1000, ENGINE_LOG_EVERY_MS)) {
        log_error("rule '%.*s' failed on a message on '%.*s': %s; %llu more since the last such "
                  "line",
                  BYTES_ARG(rule->info->name), BYTES_ARG(run->record->topic), reason,
                  (unsigned long long)gate->hidden);
    }
}

static void
push_output(struct run *run, const struct ruleset_rule *rule, const struct rule_output *output)
{
    const struct ruleset_relation *relation = rule->targets[output->target].relation;
    struct sink *sink = relation == NULL ? run->engine->current->topic_sink : relation->sink;
    struct sink_record record = {
            .id = next_id(sink, run->input, run->record->position),
            .time_us = run->record->time_us,
            .stream = bytes_of_string(run->input->stream),
            .rule = rule->info->name,
            .target = output->text,
            .source = run->record->topic,
            .hops = run->hops,
            .params = output->params,
            .payload = output->payload,
    };
    outbox_push(sink->outbox, &record);
    count(&rule->counters->rows);
}

static void
push_row(struct run *run, const struct ruleset_rule *rule, const struct rule_row *row)
{
    size_t bytes = 0;
    for (size_t i = 0; i < row->output_count; i++) {
        const struct rule_output *output = &row->outputs[i];
        bytes += output->payload.size + output->text.size + output->params.size;
    }
    if (bytes > ROW_BYTES_MAX) {
        note_failure(run, rule, "its row is larger than 32 MB");
        return;
    }
    if (run->hops >= MESSAGE_HOPS_LIMIT) {
        note_failure(run, rule, "the message has come through five rules: they go round in a "
                                "circle");
        return;
    }
    count(&rule->counters->matched);
    for (size_t i = 0; i < row->output_count; i++) {
        if (row->outputs[i].failure.size > 0) {
            char *reason = bytes_to_string(row->outputs[i].failure);
            note_failure(run, rule, reason);
            free(reason);
        } else {
            push_output(run, rule, &row->outputs[i]);
        }
    }
}

static void
check_json(struct run *run)
{
    if (!run->is_checked) {
        const char *reason;
        run->is_checked = true;
        run->not_json = rule_message_is_json(&run->message, &reason) ? NULL : reason;
    }
}

/* One line for many: a device that sends garbage does so all the time. */
static void
note_unreadable(struct run *run, const struct ruleset_rule *rule)
{
    const struct os *os = run->engine->options.os;
    struct log_gate *gate = &run->input->payload_gate;
    if (run->not_json != NULL && log_gate_open(gate, os->mono_us(os) / 1000, ENGINE_LOG_EVERY_MS)) {
        log_warning("rule '%.*s': the payload of a message on '%.*s' is not JSON (%s); %llu more "
                    "since the last such line",
                    BYTES_ARG(rule->info->name), BYTES_ARG(run->record->topic), run->not_json,
                    (unsigned long long)gate->hidden);
    }
}

/* Every message is counted; a few are looked at closely, for whoever asks why. */
static void
watch(struct run *run, const struct ruleset_rule *rule, enum rule_verdict verdict,
      const struct rule_row *row)
{
    struct explain *explain = rule->watch->explain;
    if (explain_count(explain, &run->message, verdict, row)) {
        pthread_mutex_lock(&run->engine->watch_lock);
        explain_look(explain, rule->info, &run->message, verdict, row);
        pthread_mutex_unlock(&run->engine->watch_lock);
    }
}

static void
run_rule(struct run *run, const struct ruleset_rule *rule)
{
    struct rule_counters *counters = rule->counters;
    struct rule_row row;
    count(&counters->messages);
    enum rule_verdict verdict = rule_run(rule->rule, &run->message, &row);
    watch(run, rule, verdict, &row);
    check_json(run);
    if (run->not_json != NULL) {
        count(&counters->not_json);
    }
    switch (verdict) {
    case RULE_MATCHED:
        push_row(run, rule, &row);
        return;
    case RULE_FILTERED:
        count(&counters->filtered);
        return;
    case RULE_UNDEFINED:
    case RULE_NOTHING:
        count(&counters->undefined);
        note_unreadable(run, rule);
        return;
    case RULE_FAILED:
        note_failure(run, rule, row.reason);
        return;
    }
    never("rule verdict");
}

static void
run_matched(void *context, uint32_t rule_index)
{
    struct run *run = context;
    run_rule(run, &run->engine->current->ruleset->rules[rule_index]);
}

/* $aws/rules/NAME/...: the rule of that name, whatever its FROM says, and no other. */
static void
run_addressed(struct run *run, struct bytes name)
{
    const struct ruleset_rule *rule = map_find(&run->engine->current->ruleset->by_name, name);
    const struct os *os = run->engine->options.os;
    struct log_gate *gate = &run->input->failure_gate;
    if (rule != NULL) {
        run_rule(run, rule);
    } else if (log_gate_open(gate, os->mono_us(os) / 1000, ENGINE_LOG_EVERY_MS)) {
        log_warning("there is no rule '%.*s' for the message on '%.*s'; %llu more since the last "
                    "such line",
                    BYTES_ARG(name), BYTES_ARG(run->record->topic),
                    (unsigned long long)gate->hidden);
    }
}

/* What the record's properties say: who it comes from, and how many rules it came through. */
static void
read_props(struct run *run)
{
    struct arena *arena = &run->engine->arena;
    struct message_props props;
    if (message_props_decode(run->record->props, arena, &props)) {
        struct rule_origin *origin = arena_new(arena, struct rule_origin);
        *origin = message_origin_of_props(&run->input->origin, &run->engine->options.origin,
                                          &props, arena);
        run->message.origin = origin;
        run->hops = message_hops(&props);
    }
}

void
engine_run_record(struct engine *engine, struct input *input, const struct record *record)
{
    struct run run = {
            .engine = engine,
            .input = input,
            .record = record,
            .message = {.arena = &engine->arena,
                        .topic = record->topic,
                        .payload = record->payload,
                        .time_us = record->time_us,
                        .seed = record->position,
                        .qos = record->flags & RECORD_QOS,
                        .depth_max = engine->options.depth_max,
                        .origin = &input->origin,
                        .host = &engine->host.rule},
    };
    if (record->props.size > 0) {
        read_props(&run);
    }
    const struct ruleset *ruleset = engine->current->ruleset;
    if (input->sink == NULL) {
        struct bytes name, rest;
        recent_note(engine->recent, record->topic, record->time_us);
        if (topic_is_basic_ingest(record->topic, &name, &rest)) {
            run_addressed(&run, name);
        } else {
            topic_trie_match(ruleset->topics, record->topic, run_matched, &run);
        }
        return;
    }
    for (size_t i = 0; i < ruleset->rule_count; i++) {
        const struct ruleset_relation *source = ruleset->rules[i].source;
        if (source != NULL && source->sink == input->sink) {
            run_rule(&run, &ruleset->rules[i]);
        }
    }
}
