/*
 * Why a rule is silent: a document of what is known of the rule and its messages, the most likely
 * reason in one sentence, and both as text for people.
 *
 * The document is JSON. A running gateway makes it for `headgate why RULE`; `headgate why RULE
 * --input FILE` makes the same one from given messages. The verb completes it with what it heard
 * itself and with the reason, and prints it. It holds samples of payloads, and of the configuration
 * nothing but names: no option's value, so no secret.
 *
 * Pure: no clock, no I/O. One thread.
 */
#ifndef HEADGATE_WHY_H
#define HEADGATE_WHY_H

#include "recent.h"

#include "rules/explain.h"
#include "rules/topic.h"

/* Where rows go. */
struct why_target {
    struct bytes name; /* the topic template or the table */
    bool is_topic;
    struct bytes driver;
    struct bytes state; /* empty: nothing runs */
    struct bytes last_error;
    struct bytes held_up; /* outbox_print_held_up() */
    uint64_t queued, delivered, rejected, lost;
};

/* What only a running gateway knows. */
struct why_gateway {
    bool is_connected;
    struct bytes broker; /* why not, or in which state it is */
    int64_t uptime_s;
    bool is_refused;     /* the broker refuses this rule's filter, or it may be this one's */
    bool is_subscribed;  /* all filters are granted */
    struct bytes refusal;
};

struct why_counts {
    uint64_t messages; /* matched the filter */
    uint64_t matched;  /* a row came out */
    uint64_t rows;     /* handed to targets */
    uint64_t not_json;
    bool is_stream;    /* stream SQL; then, of `messages`: */
    uint64_t unusable; /* not JSON or a column of another type, without event time, from the future */
    uint64_t late;
    uint64_t refused;  /* the state has reached its limit */
};

struct why_subject {
    const struct rule_info *info;
    struct bytes path;   /* of its file */
    struct bytes errors; /* of the newest version of the file, as printed; empty: it runs */
    struct why_counts counts;
    const struct explain_report *report;
    const struct recent_topic *topics;
    size_t topic_count;
    int64_t now_us; /* to tell how long ago a topic was seen */
    const struct why_target *targets;
    size_t target_count;
    const struct why_gateway *gateway; /* NULL: none runs */
    bool is_idle; /* no messages were given either */
};

/* Appends the document. Scratch memory and nothing else is in `arena`. */
void why_write(const struct why_subject *subject, struct arena *arena, struct buf *out);

/* The document for a name that no rule has: with the nearest name, and errors of files like it. */
void why_write_unknown(struct bytes name, struct bytes nearest, struct bytes errors,
                       struct buf *out);

/* Entries of a printed list that are errors of one rule file or of the test beside it; in the
 * arena. */
struct bytes why_errors_of(struct bytes report, struct bytes path, struct arena *arena);

/* What was heard on all topics, by --listen. */
struct why_heard {
    int64_t seconds;
    uint64_t messages;
    const struct recent_topic *topics;
    size_t topic_count;
    int64_t now_us;
};

/* The document with "heard" (when there is something, else NULL) and "reason". */
bool why_complete(struct bytes document, const struct why_heard *heard, struct buf *out,
                  struct diag_list *diags) MUST_CHECK;

/* Appends the reason alone, without control characters; `document` is one of ours. */
void why_reason_of(struct bytes document, struct buf *out);

/* A complete document as text. Control characters in it are replaced. */
bool why_print(struct bytes document, struct buf *out, struct diag_list *diags) MUST_CHECK;

/* Whether the document is of a rule, not of an unknown name. */
bool why_is_known(struct bytes document);

#endif
