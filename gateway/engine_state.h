/*
 * What the files of the engine share: engine.c (inputs and the thread), engine_rows.c (one record
 * through the rules), engine_commit.c (the checkpoint). Nobody else includes this.
 */
#ifndef HEADGATE_ENGINE_STATE_H
#define HEADGATE_ENGINE_STATE_H

#include "engine.h"
#include "host.h"

#include "base/log.h"
#include "failure.h"
#include "store/journal.h"

#include <pthread.h>

enum { ENGINE_LOG_EVERY_MS = 10000 };

enum input_kind {
    INPUT_MESSAGES, /* received */
    INPUT_STREAM,   /* what a function emitted */
    INPUT_FAILURES, /* what sinks rejected: for error actions */
};

/* One stream that the engine reads. */
struct input {
    enum input_kind kind;
    char *stream;        /* "mqtt", FAILURE_STREAM, or a function's name */
    char *dir;
    struct sink *sink;   /* the function that emits into it; NULL for other kinds */
    struct journal_reader *reader; /* NULL until there is something to read */
    struct rule_origin origin; /* of its messages without properties */
    uint64_t position;   /* everything before it has been through the rules */
    int64_t retry_at_us; /* monotonic: it could not be read; 0: it can */
    struct log_gate trouble_gate;
    bool wanted;         /* by the current generation */
    struct log_gate gap_gate;
    struct log_gate payload_gate; /* payloads that rules cannot read */
    struct log_gate failure_gate; /* rules that failed */
};

struct generation {
    struct ruleset *ruleset;
    struct sink **sinks;
    size_t sink_count;
    struct sink *topic_sink;
};

struct engine {
    struct engine_options options;
    struct checkpoint committed;   /* the last one; also what is absent now but may come back */
    struct checkpoint_sink *committed_sinks; /* those of `committed`, which may be forgotten */
    struct arena committed_arena;
    struct failure_log *failures;
    pthread_t thread;
    bool started;
    int wake_fd; /* eventfd */

    pthread_mutex_t lock; /* guards the next four, and `committed` against engine_sink_mark() */
    pthread_cond_t swapped;
    struct generation *next; /* waits to be taken */
    bool stopping;
    struct engine_stats stats;

    pthread_mutex_t watch_lock; /* guards what is looked at closely: rule_watch.explain */
    struct recent *recent;

    /* Engine thread only. */
    struct generation *current;
    struct input **inputs;
    size_t input_count, input_capacity;
    struct arena arena; /* for one record */
    struct host host;   /* what rules may ask */
    int64_t committed_at_us; /* monotonic */
    bool moved; /* since the last commit */
    bool hurried; /* the sinks know of the commit that is near */
};

/* ---- engine_ask.c ---- */

/* What rules ask of tables that sinks hold: `lookup` of struct host_sources. Engine thread. */
bool engine_look_up(void *context, struct bytes table, struct bytes key, struct arena *arena,
                    struct bytes *item, struct diag_list *diags);

/* ---- engine_rows.c ---- */

/* One record through the rules of the current generation, its rows into outboxes. */
void engine_run_record(struct engine *engine, struct input *input, const struct record *record);

/* ---- engine_commit.c ---- */

/* Positions, and what every sink still holds, in one commit. On false nothing has changed. */
bool engine_commit_cut(struct engine *engine, struct diag_list *diags) MUST_CHECK;

/*
 * A sink leaves a generation only when it has delivered everything: its mark must not bring old
 * records back when it is declared again. Under the lock.
 */
void engine_forget_closed_sinks(struct engine *engine, const struct generation *next);

/* Up to where the last checkpoint had read a stream; 0 for one that it does not know. */
uint64_t committed_position(const struct checkpoint *checkpoint, struct bytes stream);

/* What the last checkpoint says of a sink, or NULL. */
const struct checkpoint_sink *committed_sink(const struct checkpoint *checkpoint,
                                             struct bytes name);

#endif
