/*
 * The text of a rule test as steps: a message or a passage of time, and what is expected to come
 * out.
 *
 *   # a comment; blank lines mean nothing
 *   now 2026-01-31T12:00:00Z             before the first step: where the clock begins, and
 *   seed 7                               the seed of rand() and newuuid()
 *   sensors/7 {"temperature":161}        a message, at the time of the one before
 *   +2s sensors/7 {"temperature":162}    two seconds later
 *   2026-01-31T12:05:00Z sensors/7 x     at that time
 *   {"topic":"sensors/7","base64":"/w=="}    trial.h has all members; "at" sets the clock
 *   +10s                                 time passes, nothing arrives
 *   => alerts/7 {"temperature":161}      what the step above gives (ruletest_output.h)
 *
 * Time never goes back. The clock begins at the first absolute time, or at
 * 2026-01-01T00:00:00Z. Pure.
 */
#ifndef HEADGATE_RULETEST_SCRIPT_H
#define HEADGATE_RULETEST_SCRIPT_H

#include "ruletest_output.h"

struct ruletest_expected {
    struct ruletest_output output;
    struct diag_place place; /* of what stands behind "=>" */
    size_t start, end;       /* the whole line in the text, with its line end */
};

struct ruletest_step {
    bool has_message;              /* else time passes */
    struct trial_message message;  /* `time_us` is always set */
    struct diag_place place;       /* of the line */
    size_t end;                    /* where the next line begins */
    const struct ruletest_expected *expected;
    size_t expected_count;
};

struct ruletest_script {
    struct arena arena;
    struct bytes text; /* own copy */
    uint64_t seed;
    const struct ruletest_step *steps;
    size_t step_count;
    size_t message_count;
};

/*
 * `path` is for messages. False: not a test; all errors are reported, up to 50. On true the caller
 * frees with ruletest_script_fini().
 */
bool ruletest_script_parse(struct ruletest_script *out, struct bytes path, struct bytes text,
                           struct diag_list *diags) MUST_CHECK;
void ruletest_script_fini(struct ruletest_script *script);

#endif
