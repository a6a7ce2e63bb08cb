/*
 * Failed targets on their way to a rule's error action.
 *
 *   engine                          a sink's outbox                  engine
 *   record with its `original` ──>  REJECT: failure_log_append() ──> one more input: the rule's
 *   (rules with an error action)    after the dead letter            error action runs
 *
 * The *original* is the input message as the engine read it, with the failing action's name, packed
 * into sink_record.original: so it waits, spills and survives a restart with its record. The
 * *failure log* is a stream (store/journal.h) below data_dir/errors that all outboxes append to.
 *
 * A rejection is settled only when its failure is on the medium. A crash between the two, or before
 * the next checkpoint, makes the rejection again: an error action is told at least once.
 */
#ifndef HEADGATE_FAILURE_H
#define HEADGATE_FAILURE_H

#include "dead_letter.h"

/* The engine's name for the stream of failures; no table can be named so. */
#define FAILURE_STREAM "$errors"

struct original {
    struct bytes action;   /* "HttpAction": what failed, as AWS names it */
    struct bytes resource; /* topic, table or URL */
    unsigned flags;        /* enum record_flag */
    struct bytes props;    /* message_props_encode() */
    struct bytes payload;
};

void original_encode(const struct original *original, struct buf *out);

/* Views; false: not our encoding. */
bool original_decode(struct bytes encoded, struct original *out) MUST_CHECK;

struct failure {
    struct bytes rule;
    struct bytes stream;   /* of the input message, and its place there: */
    uint64_t position;
    int64_t time_us;       /* its arrival */
    struct bytes topic;
    struct original original;
    struct bytes message;  /* why it was rejected */
};

/* Views into a record of the log; false: not our encoding. */
bool failure_decode(const struct record *record, struct failure *out) MUST_CHECK;

/* ---- the log ---- */

struct failure_log;

struct failure_log_options {
    const struct os *os;
    const char *dir;         /* copied */
    uint64_t position_least; /* up to where it has been read: see journal_options */
    void (*appended)(void *context); /* on the appending thread */
    void *context;
};

/* Opens what is there; a folder is made by the first failure. */
bool failure_log_open(struct failure_log **out, const struct failure_log_options *options,
                      struct diag_list *diags) MUST_CHECK;

/* After all outboxes have stopped. Accepts NULL. */
void failure_log_close(struct failure_log *log);

/*
 * Appends one failure for each letter whose record has an `original`, and syncs. Any thread. On
 * false some may be in the log: append all of them again.
 */
bool failure_log_append(struct failure_log *log, const struct dead_letter *letters, size_t count,
                        struct diag_list *diags) MUST_CHECK;

/* Everything before it is complete and on the medium; 0: nothing is there. Any thread. */
uint64_t failure_log_tail(const struct failure_log *log);

#endif
