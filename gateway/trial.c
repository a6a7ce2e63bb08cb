/*
 * Which rules a message reaches, and in what order. The order of the rules, not that of the topic
 * trie: what is printed must not depend on how filters are found.
 */
#include "trial.h"

#include "base/base64.h"
#include "base/json.h"
#include "base/mem.h"
#include "rules/topic.h"

#include <stdlib.h>

struct trial {
    const struct rule **rules;
    size_t rule_count;
    struct topic_trie *topics; /* filter -> index of the rule */
    const struct rule_host *host;
    uint64_t seed;
    uint64_t messages;
    uint32_t *reached; /* by the message at hand: indices of rules */
    size_t reached_count;
};

struct trial *
trial_new(const struct rule *const *rules, size_t count, const struct rule_host *host,
          uint64_t seed)
{
    struct trial *trial = mem_new(struct trial);
    trial->rules = mem_new_array(const struct rule *, count);
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
        free(trial->rules);
        free(trial->reached);
        free(trial);
    }
}

static void
reach(void *context, uint32_t index)
{
    struct trial *trial = context;
    trial->reached[trial->reached_count++] = index;
}

static int
compare_indices(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static bool
is_reached(const struct rule_info *info, const struct trial_message *message,
           struct bytes rule_name)
{
    if (rule_name.size > 0) {
        return bytes_equal(info->name, rule_name);
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
        if (is_reached(rule_info(trial->rules[i]), message, rule_name)) {
            reach(trial, (uint32_t)i);
        }
    }
    if (trial->reached_count > 1) {
        qsort(trial->reached, trial->reached_count, sizeof *trial->reached, compare_indices);
    }
}

bool
trial_run(struct trial *trial, const struct trial_message *input, struct arena *arena,
          void (*each)(void *context, struct trial_outcome *outcome), void *context)
{
    struct rule_message message = {.arena = arena,
                                   .topic = input->topic,
                                   .payload = input->payload,
                                   .time_us = input->time_us,
                                   .seed = trial->seed + trial->messages,
                                   .qos = input->qos,
                                   .origin = &input->origin,
                                   .host = trial->host};
    trial->messages++;
    find_rules(trial, input);
    for (size_t i = 0; i < trial->reached_count; i++) {
        const struct rule *rule = trial->rules[trial->reached[i]];
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
