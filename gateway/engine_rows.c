/*
 * One record through the rules: which rules it meets, what each makes of it, and where that goes.
 *
 * Whatever keeps a row from its sink is counted at its rule, and named in the log, one line for
 * many. Engine thread.
 */
#include "engine_state.h"

#include "message.h"
#include "rules/error_action.h"

#include <stdlib.h>

enum { ROW_BYTES_MAX = 32 * 1024 * 1024 };

/* What one record's run through the rules needs. */
struct run {
    struct engine *engine;
    struct input *input;
    const struct record *record;
    /* In the input: those of `record`, but for failures, which quote it. */
    uint64_t position;
    int64_t time_us;
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

/* ---- what goes wrong ---- */

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

/* An error action that fails is told to nobody but the log: it must not cause another. */
static void
note_error_failure(struct run *run, const struct ruleset_rule *rule, struct bytes reason)
{
    const struct os *os = run->engine->options.os;
    struct log_gate *gate = &run->input->failure_gate;
    count(&rule->counters->error_failed);
    if (log_gate_open(gate, os->mono_us(os) / 1000, ENGINE_LOG_EVERY_MS)) {
        log_error("the error action of rule '%.*s' failed on a message on '%.*s': %.*s; %llu more "
                  "since the last such line",
                  BYTES_ARG(rule->info->name), BYTES_ARG(run->record->topic), BYTES_ARG(reason),
                  (unsigned long long)gate->hidden);
    }
}

/* ---- rows ---- */

static struct sink *
sink_of(const struct run *run, const struct ruleset_target *target)
{
    return target->relation == NULL ? run->engine->current->topic_sink : target->relation->sink;
}

/* Rows of a table of MQTT topics are published to its topic. */
static struct bytes
text_of(const struct ruleset_target *target, const struct rule_output *output)
{
    const struct ruleset_relation *relation = target->relation;
    return relation != NULL && relation->relation.driver->write == NULL
                   ? relation_option(relation->declared, "topic")
                   : output->text;
}

static struct sink_record
record_of(struct run *run, const struct ruleset_rule *rule, const struct ruleset_target *target,
          const struct rule_output *output)
{
    struct sink *sink = sink_of(run, target);
    return (struct sink_record){
            .id = next_id(sink, run->input, run->position),
            .time_us = run->time_us,
            .stream = bytes_of_string(run->input->stream),
            .rule = rule->info->name,
            .target = text_of(target, output),
            .source = run->record->topic,
            .hops = run->hops,
            .params = output->params,
            .payload = output->payload,
    };
}

/* What failed, in the error action's words: a topic, a table, or a URL. */
static struct rule_failure
failure_of(const struct ruleset_rule *rule, const struct rule_output *output)
{
    const struct ruleset_relation *relation = rule->targets[output->target].relation;
    struct rule_failure failure = {
            .action = error_action_class(&rule->info->targets[output->target],
                                         relation == NULL ? BYTES("topic")
                                                          : relation->declared->connector),
            .resource = output->text,
            .message = output->failure,
    };
    for (size_t i = 0; relation != NULL && i < relation->declared->option_count; i++) {
        if (bytes_equal(relation->declared->options[i].name, BYTES("url"))) {
            failure.resource = relation->declared->options[i].value;
        }
    }
    return failure;
}

/* Runs the rule's error action on failures of this message. */
static void
run_error_action(struct run *run, const struct ruleset_rule *rule,
                 const struct rule_failure *failures, size_t failure_count)
{
    struct rule_row row;
    rule_run_error(rule->rule, &run->message, failures, failure_count, &row);
    for (size_t i = 0; i < row.output_count; i++) {
        const struct rule_output *output = &row.outputs[i];
        if (output->failure.size > 0) {
            note_error_failure(run, rule, output->failure);
            continue;
        }
        if (output->payload.size + output->text.size + output->params.size > ROW_BYTES_MAX) {
            note_error_failure(run, rule, BYTES("its message is larger than 32 MiB"));
            continue;
        }
        const struct ruleset_target *target = &rule->error_targets[output->target];
        struct sink_record record = record_of(run, rule, target, output);
        record.is_error_action = true;
        count(&rule->counters->error_rows);
        outbox_push(sink_of(run, target)->outbox, &record);
    }
}

/* What the error action will need, should the sink reject this output. */
static struct bytes
original_of(const struct run *run, const struct ruleset_rule *rule,
            const struct rule_output *output)
{
    struct arena *arena = run->message.arena;
    const struct rule_failure failure = failure_of(rule, output);
    const struct original original = {
            .action = failure.action,
            .resource = failure.resource,
            .flags = run->record->flags,
            .props = run->record->props,
            .payload = run->record->payload,
    };
    struct buf out = {.arena = arena};
    original_encode(&original, &out);
    return buf_bytes(&out);
}

/* The outbox counts and logs it; this is for whoever asks why. */
static void
explain_output_failure(struct run *run, const struct ruleset_rule *rule, struct bytes reason)
{
    char *text = bytes_to_string(reason);
    pthread_mutex_lock(&run->engine->watch_lock);
    explain_failure(rule->watch->explain, text);
    pthread_mutex_unlock(&run->engine->watch_lock);
    free(text);
}

/* Hands one output to its sink; one that failed as what cannot be delivered. */
static void
push_output(struct run *run, const struct ruleset_rule *rule, const struct rule_output *output)
{
    const struct ruleset_target *target = &rule->targets[output->target];
    struct sink *sink = sink_of(run, target);
    struct sink_record record = record_of(run, rule, target, output);
    count(&rule->counters->rows);
    if (output->failure.size > 0) {
        explain_output_failure(run, rule, output->failure);
        outbox_push_rejected(sink->outbox, &record, output->failure);
        return;
    }
    if (rule->info->error_target_count > 0) {
        record.original = original_of(run, rule, output);
    }
    outbox_push(sink->outbox, &record);
}

/* The failures of a row that are known already go into one message of the error action. */
static void
tell_failures(struct run *run, const struct ruleset_rule *rule, const struct rule_row *row)
{
    struct arena *arena = run->message.arena;
    struct rule_failure *failures = arena_new_array(arena, struct rule_failure, row->output_count);
    size_t failed = 0;
    for (size_t i = 0; i < row->output_count; i++) {
        const struct rule_output *output = &row->outputs[i];
        if (output->failure.size > 0) {
            failures[failed++] = failure_of(rule, output);
        }
    }
    if (failed > 0) {
        run_error_action(run, rule, failures, failed);
    }
}

/* Of all copies that the row's outputs will be: they wait in memory. */
static size_t
size_of_row(const struct run *run, const struct ruleset_rule *rule, const struct rule_row *row)
{
    size_t original = rule->info->error_target_count == 0
                              ? 0
                              : run->record->payload.size + run->record->props.size;
    size_t bytes = 0;
    for (size_t i = 0; i < row->output_count; i++) {
        const struct rule_output *output = &row->outputs[i];
        bytes += output->payload.size + output->text.size + output->params.size + original;
    }
    return bytes;
}

static void
push_row(struct run *run, const struct ruleset_rule *rule, const struct rule_row *row)
{
    if (size_of_row(run, rule, row) > ROW_BYTES_MAX) {
        note_failure(run, rule, "its row is larger than 32 MiB");
        return;
    }
    if (run->hops >= MESSAGE_HOPS_LIMIT) {
        note_failure(run, rule, "the message has come through five rules: they go round in a "
                                "circle");
        return;
    }
    count(&rule->counters->matched);
    for (size_t i = 0; i < row->output_count; i++) {
        push_output(run, rule, &row->outputs[i]);
    }
    if (rule->info->error_target_count > 0) {
        tell_failures(run, rule, row);
    }
}

/* ---- rules ---- */

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
    if (rule->ignores_retained && (run->record->flags & RECORD_RETAINED) != 0) {
        count(&counters->retained);
        return;
    }
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
run_feed(struct run *run, const struct ruleset_feed *feed)
{
    engine_flow_message(run->engine->current->flows[feed->rule], feed->source, run, run->record);
}

static void
run_matched(void *context, uint32_t index)
{
    struct run *run = context;
    const struct ruleset *ruleset = run->engine->current->ruleset;
    if (index < ruleset->feed_base) {
        run_rule(run, &ruleset->rules[index]);
    } else {
        run_feed(run, &ruleset->feeds[index - ruleset->feed_base]);
    }
}

/* $aws/rules/NAME/...: the rule of that name, whatever its FROM says, and no other. */
static void
run_addressed(struct run *run, struct bytes name)
{
    const struct ruleset_rule *rule = map_find(&run->engine->current->ruleset->by_name, name);
    const struct os *os = run->engine->options.os;
    struct log_gate *gate = &run->input->failure_gate;
    if (rule != NULL && rule->program != NULL) {
        for (size_t i = 0; i < stream_program_source_count(rule->program); i++) {
            run_feed(run, &rule->feeds[i]);
        }
        return;
    }
    if (rule != NULL) {
        run_rule(run, rule);
        return;
    }
    pthread_mutex_lock(&run->engine->lock);
    run->engine->stats.rules_not_found++;
    pthread_mutex_unlock(&run->engine->lock);
    if (log_gate_open(gate, os->mono_us(os) / 1000, ENGINE_LOG_EVERY_MS)) {
        log_warning("there is no rule '%.*s' for the message on '%.*s'; %llu more since the last "
                    "such line",
                    BYTES_ARG(name), BYTES_ARG(run->record->topic),
                    (unsigned long long)gate->hidden);
    }
}

/* What the record's properties say: who it comes from, and how many rules it came through. */
static void
read_props(struct run *run, const struct rule_origin *plain)
{
    struct arena *arena = &run->engine->arena;
    struct message_props props;
    if (message_props_decode(run->record->props, arena, &props)) {
        struct rule_origin *origin = arena_new(arena, struct rule_origin);
        *origin = message_origin_of_props(plain, &run->engine->options.origin, &props, arena);
        run->message.origin = origin;
        run->hops = message_hops(&props);
    }
}

/* `plain`: the origin of all messages of the record's stream. */
static void
run_init(struct run *run, struct engine *engine, struct input *input,
         const struct rule_origin *plain, const struct record *record)
{
    *run = (struct run){
            .engine = engine,
            .input = input,
            .record = record,
            .position = record->position,
            .time_us = record->time_us,
            .message = {.arena = &engine->arena,
                        .topic = record->topic,
                        .payload = record->payload,
                        .time_us = record->time_us,
                        .seed = record->position,
                        .qos = record->flags & RECORD_QOS,
                        .depth_max = engine->options.depth_max,
                        .origin = plain,
                        .host = &engine->host.rule},
    };
    if (record->props.size > 0) {
        read_props(run, plain);
    }
}

/* ---- failures that sinks tell of ---- */

static const struct ruleset_rule *
find_rule(const struct ruleset *ruleset, struct bytes name)
{
    for (size_t i = 0; i < ruleset->rule_count; i++) {
        if (bytes_equal(ruleset->rules[i].info->name, name)) {
            return &ruleset->rules[i];
        }
    }
    return NULL;
}

/* The rule may have been edited or removed since. */
static void
note_deaf_rule(struct engine *engine, struct input *input, struct bytes rule)
{
    const struct os *os = engine->options.os;
    struct log_gate *gate = &input->payload_gate;
    if (log_gate_open(gate, os->mono_us(os) / 1000, ENGINE_LOG_EVERY_MS)) {
        log_warning("rule '%.*s' has no error action any more that could be told of a failure; it "
                    "is in the dead letters; %llu more since the last such line",
                    BYTES_ARG(rule), (unsigned long long)gate->hidden);
    }
}

static void
run_failure(struct engine *engine, struct input *input, const struct record *record)
{
    struct failure failure;
    if (!failure_decode(record, &failure)) {
        note_deaf_rule(engine, input, BYTES("(of an unknown version)"));
        return;
    }
    const struct ruleset_rule *rule = find_rule(engine->current->ruleset, failure.rule);
    if (rule == NULL || rule->info->error_target_count == 0) {
        note_deaf_rule(engine, input, failure.rule);
        return;
    }
    const struct record original = {
            .position = failure.position,
            .time_us = failure.time_us,
            .flags = failure.original.flags,
            .topic = failure.topic,
            .props = failure.original.props,
            .payload = failure.original.payload,
    };
    const struct rule_failure told = {failure.original.action, failure.original.resource,
                                      failure.message};
    struct run run;
    const struct rule_origin plain = message_origin_plain(&engine->options.origin, failure.stream);
    run_init(&run, engine, input, &plain, &original);
    run.position = record->position;
    run.time_us = record->time_us;
    run_error_action(&run, rule, &told, 1);
}

/* ---- stream SQL ---- */

void
engine_run_tick(struct engine *engine, struct input *input, const struct record *record,
                bool is_set_back)
{
    int64_t now_ms = record->time_us / 1000;
    struct run run;
    run_init(&run, engine, input, &input->origin, record);
    for (size_t i = 0; i < engine->flow_count; i++) {
        struct flow *flow = engine->flows[i];
        bool goes_back = is_set_back && stream_run_now(flow->run) > now_ms;
        if (goes_back || stream_run_next_tick(flow->run) <= now_ms) {
            flow->cause = &run;
            flow->is_changed = flow->is_touched = true;
            (goes_back ? stream_run_set_back : stream_run_tick)(flow->run, now_ms);
            flow->cause = NULL;
        }
    }
}

/* The row takes the place of the message that set it free: for templates, and as what a sink
 * rejected. */
void
engine_push_flow_row(struct flow *flow, struct bytes json)
{
    struct run run = *flow->cause;
    struct record record = *run.record;
    struct rule_row row;
    record.payload = json;
    run.record = &record;
    run.message.payload = json;
    run.message.parsed = NULL;
    rule_fill(flow->rule->rule, &run.message, &row);
    push_row(&run, flow->rule, &row);
}

static void
log_rejected(struct flow *flow, const char *reason)
{
    const struct os *os = flow->engine->options.os;
    struct log_gate *gate = &flow->reject_gate;
    if (log_gate_open(gate, os->mono_us(os) / 1000, ENGINE_LOG_EVERY_MS)) {
        log_warning("rule '%s' rejects a row, from a message on '%.*s': %s; %llu more since the "
                    "last such line",
                    flow->name, BYTES_ARG(flow->cause->record->topic), reason,
                    (unsigned long long)gate->hidden);
    }
}

void
engine_reject_flow_row(struct flow *flow, const char *reason)
{
    const struct ruleset_rule *rule = flow->rule;
    const struct rule_failure failure = {BYTES("StreamSql"), rule->info->source,
                                         bytes_of_string(reason)};
    log_rejected(flow, reason);
    if (rule->info->error_target_count > 0) {
        run_error_action(flow->cause, rule, &failure, 1);
    }
}

void
engine_run_record(struct engine *engine, struct input *input, const struct record *record)
{
    if (input->kind == INPUT_FAILURES) {
        run_failure(engine, input, record);
        return;
    }
    struct run run;
    run_init(&run, engine, input, &input->origin, record);
    const struct ruleset *ruleset = engine->current->ruleset;
    if (input->kind == INPUT_MESSAGES) {
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
        if (engine->current->rule_inputs[i] == input) {
            run_rule(&run, &ruleset->rules[i]);
        }
    }
    for (size_t i = 0; i < ruleset->feed_count; i++) {
        if (engine->current->feed_inputs[i] == input) {
            run_feed(&run, &ruleset->feeds[i]);
        }
    }
}
