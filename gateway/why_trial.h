/*
 * Why rules gave nothing of given messages: what `headgate why --input` tells at length, and
 * `headgate try` in a sentence.
 *
 * One thread.
 */
#ifndef HEADGATE_WHY_TRIAL_H
#define HEADGATE_WHY_TRIAL_H

#include "trial.h"
#include "why.h"

struct why_trial;

/* For the rules of a trial, in its order. */
struct why_trial *why_trial_new(const struct rule *const *rules, size_t count);
void why_trial_free(struct why_trial *trial);

/* Every message, and every outcome of it, while the message's arena lives. */
void why_trial_message(struct why_trial *trial, const struct trial_message *message);
void why_trial_outcome(struct why_trial *trial, const struct trial_outcome *outcome);

/* Messages that a rule made a row of. */
uint64_t why_trial_matched(const struct why_trial *trial, size_t rule);

/*
 * Appends the document about one rule. `path` and `errors` as in struct why_subject; `is_idle`:
 * there were no messages at all.
 */
void why_trial_write(const struct why_trial *trial, size_t rule, struct bytes path,
                     struct bytes errors, bool is_idle, struct buf *out);

/* Appends the reason alone. */
void why_trial_reason(const struct why_trial *trial, size_t rule, struct buf *out);

#endif
