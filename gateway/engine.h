/*
 * The core: one thread that turns committed records into rows for the sinks, and never waits for
 * anything outside.
 *
 * It reads every input stream (the journal of received messages, and what each function emitted)
 * from the position of the checkpoint, runs the rules of the current generation, and pushes rows
 * to outboxes. Between two batches it takes a new generation, and about every second it commits
 * one checkpoint: the positions, and the backlog of every sink. Killed anywhere, it starts again
 * at the checkpoint and makes the same rows with the same ids.
 */
#ifndef HEADGATE_ENGINE_H
#define HEADGATE_ENGINE_H

#include "checkpoint.h"
#include "host.h"
#include "message_origin.h"
#include "recent.h"
#include "ruleset.h"
#include "sink.h"

struct engine;
struct ledger;
struct ledger_account;

/* Where received messages come from: the ingest process, or a test. */
struct engine_source {
    uint64_t kept_bytes; /* of the journal's end stay, read or not */
    struct journal_retention history; /* of what rules are done with, so much stays, too */
    int64_t history_free_bytes; /* but only while the disk has so much left */
    const char *dir;               /* of the journal */
    uint64_t (*tail)(void *context); /* everything before it is complete, and may be read */
    uint64_t (*end)(void *context);  /* of what is there, to be read later too. NULL: the tail */
    uint64_t (*first)(void *context); /* see engine_stats.fresh; once there is a tail. NULL: none */
    /* About to sleep on wake_fd: from now on new records must wake. False: look again first. */
    bool (*prepare_wait)(void *context, uint64_t seen_tail);
    int wake_fd;                   /* readable when there is something new; -1: none */
    void (*woken)(void *context);  /* empties wake_fd */
    void *context;
};

struct engine_options {
    const struct os *os;
    const char *data_dir;
    struct engine_source source;
    int64_t checkpoint_interval_ms;
    struct message_origin_options origin;
    struct host_sources sources; /* the engine sets `lookup` and its context */
    /* Rules read of streams, too, only what a power cut cannot take any more (source.tail). */
    bool reads_synced;
    unsigned depth_max; /* of a payload's nesting; 0: the rule language's default */
    /* For a simulation: there is no thread, engine_swap() is done at once, engine_turn() runs. */
    bool is_stepped;
};

struct engine_stats {
    uint64_t records;        /* processed since start */
    uint64_t gaps;           /* damaged stretches of a journal that were passed over */
    uint64_t rules_not_found; /* messages to $aws/rules/NAME without such a rule */
    uint64_t checkpoints;
    uint64_t checkpoint_failures;
    int64_t checkpoint_us;   /* how long the last one took */
    int64_t checkpoint_at_us; /* monotonic: when the last one was committed; 0: none yet */
    bool is_checkpoint_due;  /* something has moved that is in none yet */
    uint64_t clock_steps;    /* how often the clock was set */
    bool is_clock_believed;  /* base/wall.h: only then something is deleted for its age */
    int64_t swap_us; /* so long the last change of rules held up all of them */
    uint64_t fresh;          /* of the received messages, those behind engine_source.first */
    uint64_t position;       /* in the MQTT stream: everything before it has been through the rules */
};

/* Loads the checkpoint; the engine does nothing until the first engine_swap(). */
bool engine_new(struct engine **out, const struct engine_options *options,
                struct diag_list *diags) MUST_CHECK;

/* Where sinks tell of records that they rejected: the engine runs the rules' error actions on it. */
struct failure_log *engine_failures(struct engine *engine);

/* The engine looks at its accounts before each checkpoint; others may enter theirs. */
struct ledger *engine_ledger(struct engine *engine);

/* A sink's account. */
void engine_sink_account(const char *name, const struct outbox_stats *stats,
                         struct ledger_account *out);

/* Where the last checkpoint left a sink's backlog; false when it knows no such sink. Any thread. */
bool engine_sink_mark(struct engine *engine, const char *name, struct outbox_mark *out);

/* What the last checkpoint says of a stream; 0 of one that it does not know. Any thread. */
struct stream_place engine_stream_place(struct engine *engine, const char *stream);

/* Its position. */
uint64_t engine_stream_position(struct engine *engine, const char *stream);

/*
 * Calls `each` with what the last checkpoint says of sinks that hold something and are not running:
 * no rule file declares them any more. Any thread.
 */
void engine_each_absent_sink(struct engine *engine,
                             void (*each)(void *context, struct bytes name, uint64_t records),
                             void *context);

/*
 * Gives up what waits for a sink that is not running: the next checkpoint knows nothing of it.
 * `*records` becomes how many that were; 0 also when there is no such sink. Any thread but the
 * engine's, while that runs.
 */
void engine_forget_absent_sink(struct engine *engine, const char *name, uint64_t *records);

/*
 * Hands over a generation and all sinks that run (also retired ones), and waits until the engine
 * works with them. Then the caller may free the generation before. `sinks` is copied;
 * `topic_sink` takes rows whose target is a topic. The first call starts the thread, also the first
 * one after engine_stop().
 */
void engine_swap(struct engine *engine, struct ruleset *ruleset, struct sink *const *sinks,
                 size_t sink_count, struct sink *topic_sink);

/*
 * One turn of the engine, without its sleep: true when it read something or a window's time went on.
 * Only for a stepped one, of which everything is called by one thread.
 */
bool engine_turn(struct engine *engine);

/* Makes the engine look for new records now. Any thread. */
void engine_wake(struct engine *engine);

void engine_stats(struct engine *engine, struct engine_stats *out);

/* Calls `each` for the streams that are read: up to where, and where they end. Any thread. */
void engine_each_reader(struct engine *engine,
                        void (*each)(void *context, const char *stream, uint64_t position,
                                     uint64_t end),
                        void *context);

/*
 * What a rule's messages looked like; texts are in the arena. The rule's generation must be the
 * current one for as long as the call lasts. Any thread.
 */
void engine_explain(struct engine *engine, const struct ruleset_rule *rule, struct arena *arena,
                    struct explain_report *out);

/* The topics of the last received messages. Any thread. */
struct recent_topic *engine_recent_topics(struct engine *engine, struct arena *arena,
                                          size_t *count);

/* Ends the thread between two batches. Afterwards nothing is pushed any more. */
void engine_stop(struct engine *engine);

/* Commits a last checkpoint; after engine_stop() and once the sinks have stopped delivering. */
void engine_commit(struct engine *engine);

/* Stops if needed, frees. Accepts NULL. */
void engine_free(struct engine *engine);

#endif
