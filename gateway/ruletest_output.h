/*
 * What comes out of a rule, as a line of a rule test: written, read and compared.
 *
 *   => alerts/7 {"sensor_id":"s7"}          a row: target and payload, JSON
 *   => alerts/7 text "plain"                a payload that is text, or bytes: base64 "/wA="
 *   => store {"a":1} with {"key":"s7"}      with the parameters of the target's action
 *   => "a topic" 1                          a target that a plain word cannot hold
 *   => alerts/ failed: why                  nothing for this target
 *   => failed: why                          the rule could not be evaluated
 *   => filtered                             WHERE was false
 *   => undefined                            WHERE, or the row, was Undefined
 *   => unmatched                            no rule takes messages of this topic
 *
 * Written and read again a line is the same output. Pure.
 */
#ifndef HEADGATE_RULETEST_OUTPUT_H
#define HEADGATE_RULETEST_OUTPUT_H

#include "trial.h"

enum ruletest_kind {
    RULETEST_ROW,
    RULETEST_FAILED,
    RULETEST_FILTERED,
    RULETEST_UNDEFINED,
    RULETEST_UNMATCHED,
};

struct ruletest_output {
    enum ruletest_kind kind;
    bool payload_is_json;
    struct bytes target;  /* of a row or a failure; data NULL: a failure of the whole rule */
    struct bytes payload; /* JSON text, or raw bytes */
    size_t payload_at;    /* of one that was read: where the payload begins in the text */
    struct bytes params;  /* JSON text; empty: none */
    struct bytes reason;  /* of a failure; empty in an expectation: any. Of `filtered` and
                           * `undefined` what of WHERE decided; neither written nor compared */
    struct bytes rule;    /* that gave it; empty in an expectation */
};

/*
 * Reads what stands behind `=>`; `text` has no blanks at its ends, `place` is that of its first
 * byte. Views into `text` and `arena`.
 */
bool ruletest_output_parse(struct ruletest_output *out, struct bytes text,
                           const struct diag_place *place, struct arena *arena,
                           struct diag_list *diags) MUST_CHECK;

/* Appends the line without "=> " and line end. */
void ruletest_output_write(const struct ruletest_output *output, struct buf *out);

/* Whether an output need not be expected: it says only why there is no row. */
bool ruletest_output_is_optional(const struct ruletest_output *output);

/*
 * Whether `actual` is what was expected. When both are JSON rows for one target whose payloads
 * differ, `*at` and `*length` are the part of `expected->payload` that does, else 0.
 */
bool ruletest_output_equal(const struct ruletest_output *expected,
                           const struct ruletest_output *actual, struct arena *arena, size_t *at,
                           size_t *length);

#endif
