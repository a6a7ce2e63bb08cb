/*
 * What a rule's messages looked like: the counts and samples from which `headgate why` tells why
 * a rule is silent.
 *
 * Counting costs a message one addition. Looking closely (which fields are there, of which type,
 * and what else is there instead) costs about a microsecond, so it is done for the first messages
 * and then for a few a second; how many were looked at is part of the answer. Memory is bounded:
 * by the rule's own fields and conditions, and by 64 other names.
 *
 * One thread at a time: whoever looks and whoever reads share a lock, explain_count() needs none.
 */
#ifndef HEADGATE_RULES_EXPLAIN_H
#define HEADGATE_RULES_EXPLAIN_H

#include "near.h"
#include "rule.h"

struct explain;

/* `thorough`: look at every message. Fits the rules of which `info` tells the shape. */
struct explain *explain_new(const struct rule_info *info, bool thorough);
void explain_free(struct explain *explain);

/*
 * Whether what was counted for `before` still means the same for `after`: same filter, conditions
 * and fields.
 */
bool explain_is_same(const struct rule_info *before, const struct rule_info *after);

/* One message; returns whether it should be looked at. Needs no lock, but one thread only. */
bool explain_count(struct explain *explain, const struct rule_message *message,
                   enum rule_verdict verdict, const struct rule_row *row);

/* A close look, after explain_count(). Scratch memory is the message's arena. */
void explain_look(struct explain *explain, const struct rule_info *info,
                  struct rule_message *message, enum rule_verdict verdict,
                  const struct rule_row *row);

/* The rule failed after it had made its row, or while it did. `reason` is copied. */
void explain_failure(struct explain *explain, const char *reason);

/* ---- the answer ---- */

/* Types of values as people tell them apart. */
enum explain_type {
    EXPLAIN_NULL,
    EXPLAIN_BOOLEAN,
    EXPLAIN_NUMBER,
    EXPLAIN_NUMERIC_STRING, /* "21.5" */
    EXPLAIN_STRING,
    EXPLAIN_ARRAY,
    EXPLAIN_OBJECT,
    EXPLAIN_TYPES,
};

const char *explain_type_name(enum explain_type type);

struct explain_field {
    uint64_t seen; /* in so many of the messages looked at */
    uint64_t types[EXPLAIN_TYPES];
    uint64_t surprises; /* values of a type that the rule cannot use */
    enum explain_type surprise; /* the most frequent of them */
    struct bytes last;  /* the last value, as JSON text, cut if long; empty: none */
    /* When it was never seen: the nearest path that was. */
    enum near_field near;
    struct bytes nearest;
    uint64_t nearest_seen;
};

struct explain_conjunct {
    uint64_t no;        /* it was false */
    uint64_t undefined;
    struct bytes last;  /* values of its fields in the last message it stopped: "a: 1, b: 2" */
};

struct explain_report {
    uint64_t looked_at;
    const struct explain_conjunct *conjuncts; /* as in rule_info */
    const struct explain_field *fields;       /* the same */
    bool names_full;      /* there were more names than are kept */
    uint64_t nothing;     /* SELECT VALUE was Undefined */
    uint64_t failed;
    struct bytes failure; /* the last reason; empty: none */
    struct bytes not_json; /* why the last payload that was not JSON is none; empty: all were */
};

/* Texts are in the arena. */
void explain_report(const struct explain *explain, const struct rule_info *info,
                    struct arena *arena, struct explain_report *out);

#endif
