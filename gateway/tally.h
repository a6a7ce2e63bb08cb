/*
 * What became of the records of each rule at one sink, counted since the start: AWS IoT's metrics
 * Success, Failure, ErrorActionSuccess and ErrorActionFailure of a rule and an action; and what the
 * ledger needs beside them (ledger.h).
 *
 * No lock of its own: the outbox guards it.
 */
#ifndef HEADGATE_TALLY_H
#define HEADGATE_TALLY_H

#include "base/map.h"

struct tally {
    char *rule;
    uint64_t pushed;
    uint64_t delivered;
    uint64_t rejected;
    uint64_t dropped; /* to stay below a bound, or by hand; those of error actions too */
    uint64_t restored; /* of all that is settled: pushed in an earlier life. Error actions' too */
    uint64_t resubmitted; /* dead letters tried again: they were rejected once already */
    uint64_t error_pushed;
    uint64_t error_delivered; /* of what the rule's error action made */
    uint64_t error_rejected;
};

/* All zero is an empty one. */
struct tallies {
    struct map by_rule; /* name -> struct tally */
    struct tally *last; /* looked for: records of one rule come in rows */
};

/* The rule's entry, made when there is none. */
struct tally *tally_of(struct tallies *tallies, struct bytes rule);

/* What it has not settled yet; records lost from the disk stay in it. Negative: an error. */
int64_t tally_waiting(const struct tally *tally);

/* Adds the counts of `more`. */
void tally_add(struct tally *tally, const struct tally *more);

void tallies_fini(struct tallies *tallies);

#endif
