/*
 * Which rules a message reaches, and in what order; and stream SQL, whose rows come when they are
 * free. The order of the rules, not that of the topic
 * trie: what is printed must not depend on how filters are found.
 */
#include "trial.h"

#include "base/base64.h"
#include "base/json.h"
#include "base/mem.h"
#include "rules/topic.h"

#include <stdlib.h>

/* A rule of stream SQL. */
struct trial_flow {
    const struct stream_program *program; /* NULL: topic SQL */
    struct stream_run *run;
    struct trial *trial;
    size_t rule;
};

struct trial {
    const struct rule **rules;
    struct trial_flow *flows; /* one a rule */
    size_t rule_count;
    struct topic_trie *topics; /* filter -> index of the rule */
    const struct rule_host *host;
    uint64_t seed;
    uint64_t messages;
    uint32_t *reached; /* by the message at hand: indices of rules */
    size_t reached_count;
    /* While something runs: */
    struct rule_message *message;
    trial_each_fn *each;
    void *context;
};

struct trial *
trial_new(const struct rule *const *rules, size_t count, const struct rule_host *host,
          uint64_t seed)
{
    struct trial *trial = mem_new(struct trial);
    trial->rules = mem_new_array(const struct rule *, count);
    trial->flows = mem_new_array(struct trial_flow, count);
    trial->reached = mem_new_array(uint32_t, count);
    trial->rule_count = count;
    trial->topics = topic_trie_new();
    trial->host = host;
    trial->seed = seed;
    for (size_t i = 0; i < count; i++) {
        const struct rule_info *info = rule_info(rules[i]);
        trial->rules[i] = rules[i];
        if (info->source_kind == RULE_SOURCE_TOPIC && info->source.size > 0) {
            topic_trie_add(trial->topics, info->source, (uint32_t)i);
        }
    }
    return trial;
}

void
trial_free(struct trial *trial)
{
    if (trial != NULL) {
        topic_trie_free(trial->topics);
        for (size_t i = 0; i < trial->rule_count; i++) {
            stream_run_free(trial->flows[i].run);
        }
        free(trial->flows);
        free(trial->rules);
        free(trial->reached);
        free(trial);
    }
}

/* Each rule once, however many of its filters match. */
static void
reach(void *context, uint32_t index)
{
    struct trial *trial = context;
    for (size_t i = 0; trial->flows[index].program != NULL && i < trial->reached_count; i++) {
        if (trial->reached[i] == index) {
            return;
        }
    }
    trial->reached[trial->reached_count++] = index;
}

static int
compare_indices(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

/* ---- stream SQL ---- */

static struct bytes
table_option(const struct stream_table *table, const char *name)
{
    for (size_t i = 0; i < table->option_count; i++) {
        if (bytes_equal_string(table->options[i].name, name)) {
            return table->options[i].value;
        }
    }
    return bytes_of(NULL, 0);
}

/* Whether the table is one of durable streams, and of this. */
static bool
is_stream_of(const struct stream_table *table, struct bytes stream)
{
    struct bytes name = table_option(table, "stream");
    return table_option(table, "topic").data == NULL &&
           bytes_equal(name.size > 0 ? name : table->name, stream);
}

static bool
takes_message(const struct stream_table *table, const struct trial_message *message)
{
    if (message->stream.size > 0) {
        return is_stream_of(table, message->stream);
    }
    struct bytes filter = table_option(table, "topic");
    return filter.data != NULL && topic_match(filter, message->topic);
}

static void
take_row(void *context, struct bytes json)
{
    struct trial_flow *flow = context;
    struct trial *trial = flow->trial;
    struct rule_message message = *trial->message;
    message.payload = arena_copy(message.arena, json);
    message.parsed = NULL;
    struct trial_outcome outcome = {.rule = flow->rule,
                                    .info = rule_info(trial->rules[flow->rule]),
                                    .message = &message,
                                    .verdict = RULE_MATCHED};
    rule_fill(trial->rules[flow->rule], &message, &outcome.row);
    trial->each(trial->context, &outcome);
}

static void
take_rejected(void *context, const char *reason)
{
    struct trial_flow *flow = context;
    struct trial *trial = flow->trial;
    struct trial_outcome outcome = {.rule = flow->rule,
                                    .info = rule_info(trial->rules[flow->rule]),
                                    .message = trial->message,
                                    .verdict = RULE_FAILED,
                                    .row = {.reason = reason}};
    trial->each(trial->context, &outcome);
}

void
trial_set_program(struct trial *trial, size_t rule, const struct stream_program *program)
{
    struct trial_flow *flow = &trial->flows[rule];
    const struct stream_output output = {
            .row = take_row, .rejected = take_rejected, .context = flow};
    *flow = (struct trial_flow){
            .program = program, .run = stream_run_new(program, &output), .trial = trial,
            .rule = rule};
    for (size_t i = 0; i < stream_program_source_count(program); i++) {
        struct bytes filter = table_option(stream_program_source(program, i), "topic");
        if (filter.data != NULL) {
            topic_trie_add(trial->topics, filter, (uint32_t)rule);
        }
    }
}

static void
begin(struct trial *trial, struct rule_message *message, trial_each_fn *each, void *context)
{
    trial->message = message;
    trial->each = each;
    trial->context = context;
}

static void
tick_all(struct trial *trial, int64_t time_us)
{
    for (size_t i = 0; i < trial->rule_count; i++) {
        struct stream_run *run = trial->flows[i].run;
        if (run != NULL && stream_run_next_tick(run) <= time_us / 1000) {
            stream_run_tick(run, time_us / 1000);
        }
    }
}

void
trial_pass_time(struct trial *trial, int64_t time_us, struct arena *arena, trial_each_fn *each,
                void *context)
{
    struct rule_message message = {.arena = arena, .time_us = time_us, .host = trial->host};
    begin(trial, &message, each, context);
    tick_all(trial, time_us);
}

void
trial_finish(struct trial *trial, struct arena *arena, trial_each_fn *each, void *context)
{
    struct rule_message message = {.arena = arena, .host = trial->host};
    begin(trial, &message, each, context);
    for (size_t i = 0; i < trial->rule_count; i++) {
        if (trial->flows[i].run != NULL) {
            stream_run_finish(trial->flows[i].run);
        }
    }
}

static void
run_flow(struct trial_flow *flow, const struct trial_message *input,
         const struct rule_message *message, bool is_addressed)
{
    const struct stream_message row = {.payload = input->payload,
                                       .topic = input->topic,
                                       .time_ms = input->time_us / 1000,
                                       .position = message->seed,
                                       .qos = input->qos};
    for (size_t i = 0; i < stream_program_source_count(flow->program); i++) {
        if (is_addressed || takes_message(stream_program_source(flow->program, i), input)) {
            stream_run_message(flow->run, i, &row);
        }
    }
}

/* ---- which rules ---- */

static bool
is_source_of(const struct trial_flow *flow, struct bytes stream)
{
    for (size_t i = 0; i < stream_program_source_count(flow->program); i++) {
        if (is_stream_of(stream_program_source(flow->program, i), stream)) {
            return true;
        }
    }
    return false;
}

static bool
is_reached(const struct trial_flow *flow, const struct rule_info *info,
           const struct trial_message *message, struct bytes rule_name)
{
    if (rule_name.size > 0) {
        return bytes_equal(info->name, rule_name);
    }
    if (flow->program != NULL) {
        return message->stream.size > 0 && is_source_of(flow, message->stream);
    }
    if (message->stream.size > 0) {
        return info->source_kind == RULE_SOURCE_RELATION &&
               bytes_equal(info->source, message->stream);
    }
    return info->source_kind == RULE_SOURCE_TOPIC && info->source.size == 0;
}

static void
find_rules(struct trial *trial, const struct trial_message *message)
{
    struct bytes rule_name = {0}, rest;
    trial->reached_count = 0;
    if (message->stream.size == 0 &&
        !topic_is_basic_ingest(message->topic, &rule_name, &rest)) {
        topic_trie_match(trial->topics, message->topic, reach, trial);
    }
    for (size_t i = 0; i < trial->rule_count; i++) {
        if (is_reached(&trial->flows[i], rule_info(trial->rules[i]), message, rule_name)) {
            reach(trial, (uint32_t)i);
        }
    }
    if (trial->reached_count > 1) {
        qsort(trial->reached, trial->reached_count, sizeof *trial->reached, compare_indices);
    }
}

bool
trial_run(struct trial *trial, const struct trial_message *input, struct arena *arena,
          trial_each_fn *each, void *context)
{
    struct rule_message message = {.arena = arena,
                                   .topic = input->topic,
                                   .payload = input->payload,
                                   .time_us = input->time_us,
                                   .seed = trial->seed + trial->messages,
                                   .qos = input->qos,
                                   .origin = &input->origin,
                                   .host = trial->host};
    struct bytes rule_name, rest;
    bool is_addressed = input->stream.size == 0 &&
                        topic_is_basic_ingest(input->topic, &rule_name, &rest);
    trial->messages++;
    begin(trial, &message, each, context);
    tick_all(trial, input->time_us);
    find_rules(trial, input);
    for (size_t i = 0; i < trial->reached_count; i++) {
        const struct rule *rule = trial->rules[trial->reached[i]];
        struct trial_flow *flow = &trial->flows[trial->reached[i]];
        if (flow->program != NULL) {
            run_flow(flow, input, &message, is_addressed);
            continue;
        }
        struct trial_outcome outcome = {
                .rule = trial->reached[i], .info = rule_info(rule), .message = &message};
        outcome.verdict = rule_run(rule, &message, &outcome.row);
        each(context, &outcome);
    }
    return trial->reached_count > 0;
}

void
trial_payload_write(struct bytes payload, bool is_json, struct buf *out)
{
    if (is_json) {
        buf_append(out, payload);
    } else if (bytes_is_utf8(payload)) {
        buf_append_string(out, "text ");
        json_write_string(out, payload);
    } else {
        buf_append_string(out, "base64 \"");
        base64_encode(out, payload);
        buf_append_char(out, '"');
    }
}
