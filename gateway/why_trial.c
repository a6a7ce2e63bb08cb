/* Looks closely at every message: whoever gives messages wants to know. */
#include "why_trial.h"

#include "base/mem.h"

#include <stdlib.h>

struct observed {
    const struct rule_info *info;
    struct explain *explain;
    struct why_counts counts;
};

struct why_trial {
    struct observed *rules;
    size_t count;
    struct recent *topics;
    int64_t newest_us;
};

struct why_trial *
why_trial_new(const struct rule *const *rules, size_t count)
{
    struct why_trial *trial = mem_new(struct why_trial);
    trial->rules = mem_new_array(struct observed, count);
    trial->count = count;
    trial->topics = recent_new();
    for (size_t i = 0; i < count; i++) {
        trial->rules[i].info = rule_info(rules[i]);
        trial->rules[i].explain = explain_new(trial->rules[i].info, true);
    }
    return trial;
}

void
why_trial_free(struct why_trial *trial)
{
    if (trial == NULL) {
        return;
    }
    for (size_t i = 0; i < trial->count; i++) {
        explain_free(trial->rules[i].explain);
    }
    recent_free(trial->topics);
    free(trial->rules);
    free(trial);
}

void
why_trial_message(struct why_trial *trial, const struct trial_message *message)
{
    bool is_newer = message->time_us > trial->newest_us;
    trial->newest_us = is_newer ? message->time_us : trial->newest_us;
    if (message->topic.size > 0) {
        recent_note(trial->topics, message->topic, message->time_us);
    }
}

void
why_trial_outcome(struct why_trial *trial, const struct trial_outcome *outcome)
{
    struct observed *rule = &trial->rules[outcome->rule];
    const char *reason;
    rule->counts.messages++;
    rule->counts.not_json += !rule_message_is_json(outcome->message, &reason);
    rule->counts.matched += outcome->verdict == RULE_MATCHED;
    rule->counts.rows += outcome->row.output_count;
    if (explain_count(rule->explain, outcome->message, outcome->verdict, &outcome->row)) {
        explain_look(rule->explain, rule->info, outcome->message, outcome->verdict,
                     &outcome->row);
    }
    if (outcome->verdict == RULE_FAILED) {
        explain_failure(rule->explain, outcome->row.reason);
    }
}

uint64_t
why_trial_matched(const struct why_trial *trial, size_t rule)
{
    return trial->rules[rule].counts.matched;
}

void
why_trial_write(const struct why_trial *trial, size_t rule, struct bytes path,
                struct bytes errors, bool is_idle, struct buf *out)
{
    const struct observed *observed = &trial->rules[rule];
    const struct rule_info *info = observed->info;
    struct arena arena = {0};
    struct explain_report seen;
    explain_report(observed->explain, info, &arena, &seen);
    struct why_target *targets = arena_new_array(&arena, struct why_target, info->target_count);
    for (size_t i = 0; i < info->target_count; i++) {
        targets[i].name = info->targets[i].text;
        targets[i].is_topic = info->targets[i].kind != RULE_TARGET_RELATION;
    }
    struct why_subject subject = {
            .info = info,
            .path = path,
            .errors = errors,
            .counts = observed->counts,
            .report = &seen,
            .now_us = trial->newest_us,
            .targets = targets,
            .target_count = info->target_count,
            .is_idle = is_idle,
    };
    subject.topics = recent_list(trial->topics, &arena, &subject.topic_count);
    why_write(&subject, &arena, out);
    arena_fini(&arena);
}

void
why_trial_reason(const struct why_trial *trial, size_t rule, struct buf *out)
{
    struct buf document = {0};
    why_trial_write(trial, rule, BYTES(""), BYTES(""), false, &document);
    why_reason_of(buf_bytes(&document), out);
    buf_fini(&document);
}
