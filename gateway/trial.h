/*
 * Messages through rules without a gateway: what `headgate try` and rule tests share.
 *
 * A trial runs rules on messages one by one, under a clock that the caller sets. Nothing is opened,
 * sent or stored: outcomes are shown to the caller. The same messages at the same times with the
 * same seed give the same outcomes.
 *
 * One thread.
 */
#ifndef HEADGATE_TRIAL_H
#define HEADGATE_TRIAL_H

#include "rules/rule.h"
#include "rules/stream/stream.h"

/* ---- messages from lines ---- */

struct trial_message {
    struct bytes topic;
    struct bytes stream;  /* not empty: what the function of this name emitted; no topic then */
    struct bytes payload; /* raw bytes */
    bool has_time;
    int64_t time_us;      /* of arrival, when `has_time` */
    unsigned qos;
    struct rule_origin origin;
};

/*
 * Reads one input line:
 *
 *   topic payload                    what mosquitto_sub -v prints: the payload is all behind the
 *                                    first blank; `(null)` is an empty one
 *   {"topic":"a/b","payload":...}    JSON; what mosquitto_sub -F %j and -F %J print is such a line
 *
 * Members of the JSON form: `topic`, or `stream` for what a function emitted; `payload`, where a
 * string stands for its text and anything else for its JSON, or `base64` for bytes; `at` or `tst`,
 * as milliseconds since 1970 or ISO 8601 text; `qos`; `properties` (MQTT 5) with `content-type`,
 * `response-topic`, `correlation-data`, `payload-format-indicator` and `user-properties`;
 * `identity` with `account_id`, `client_id`, `principal`, `source_ip` and `trace_id`. `retain`,
 * `mid` and `payloadlen` are passed over; any other is an error.
 *
 * `line` is not empty. `place` is that of its first byte, for messages. `*out` has views into
 * `line` and `arena`.
 */
bool trial_message_parse(struct trial_message *out, struct bytes line,
                         const struct diag_place *place, struct arena *arena,
                         struct diag_list *diags) MUST_CHECK;

/* Times reach from 1677 to 2262, as those of base/calendar.h. */
#define TRIAL_TIME_MAX_US (INT64_MAX / 1000)

/* A time as a person writes it: milliseconds since 1970, or ISO 8601 text. */
bool trial_time_parse(struct bytes text, int64_t *out_us) MUST_CHECK;

/* The forms of an input line in one sentence, for hints. */
extern const char trial_line_forms[];

/* ---- rules ---- */

struct trial;

/* What one rule made of one message. */
struct trial_outcome {
    size_t rule; /* index into the rules of the trial */
    const struct rule_info *info;
    struct rule_message *message;
    enum rule_verdict verdict;
    struct rule_row row; /* lives as long as the arena given to trial_run() */
};

/* The rules must outlive the trial, the array need not. `host` may be NULL. */
struct trial *trial_new(const struct rule *const *rules, size_t count,
                        const struct rule_host *host, uint64_t seed);
void trial_free(struct trial *trial);

/* Makes a rule one of stream SQL. Its rows come out under the message, or the time, that sets them
 * free; `trial_outcome.row` is filled for each of them. The program must outlive the trial. */
void trial_set_program(struct trial *trial, size_t rule, const struct stream_program *program);

typedef void trial_each_fn(void *context, struct trial_outcome *outcome);

/* Time passes without a message: rows of stream SQL that wait for the clock. */
void trial_pass_time(struct trial *trial, int64_t time_us, struct arena *arena,
                     trial_each_fn *each, void *context);

/* No more messages: windows in event time fire. */
void trial_finish(struct trial *trial, struct arena *arena, trial_each_fn *each, void *context);

/*
 * Runs one message through every rule that it reaches, in the order of the rules, and calls `each`
 * with what became of it. `message->time_us` is used as it is. A rule without FROM is reached by
 * every message; $aws/rules/NAME/... reaches the rule NAME only. First time passes up to the
 * message's. False: it reached none.
 */
bool trial_run(struct trial *trial, const struct trial_message *message, struct arena *arena,
               trial_each_fn *each, void *context);

/* ---- payloads as text ---- */

/*
 * Appends a payload so that it can be read back: JSON as it is; other text as `text "..."`, bytes
 * as `base64 "..."`.
 */
void trial_payload_write(struct bytes payload, bool is_json, struct buf *out);

#endif
