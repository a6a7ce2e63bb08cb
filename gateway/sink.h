/*
 * A running instance of a declared table or function: its outbox, its folder, and for a function
 * the stream of what it emits.
 *
 * A sink is known by its name and lives across reloads: an edited declaration reconfigures the
 * outbox, and what was waiting goes out with the new settings. A sink that no rule file declares
 * any more is retired: it delivers what it holds and is then closed.
 *
 * Threads: created, reconfigured and freed by the main thread; pushed to by the engine; read by
 * the status thread through the outbox's own statistics.
 */
#ifndef HEADGATE_SINK_H
#define HEADGATE_SINK_H

#include "outbox.h"
#include "ruleset.h"
#include "store/journal.h"
#include "stream_log.h"

struct engine;

/* Where the last checkpoint left a stream of this machine. */
struct stream_place {
    uint64_t position; /* up to where it was read: its journal gives out nothing below */
    uint64_t ids_from; /* stream_log.h */
};

/* What all sinks of a gateway have in common. */
struct sink_context {
    const struct os *os;
    const char *data_dir;
    struct gateway_paths paths;
    int64_t queue_max_bytes;
    int64_t retry_max_ms;
    int64_t backlog_max_bytes;
    int64_t segment_bytes;
    struct failure_log *failures; /* of the engine; NULL: nobody is told of rejected records */
    void (*wake)(void *context); /* something was emitted: the engine should look */
    struct stream_place (*stream_place)(void *context, const char *stream);
    void *wake_context; /* of both */
    bool is_stepped;    /* as outbox_options says */
};

/* One declaration as it runs; the driver borrows from it until its instance is closed. */
struct sink_setup {
    struct sink_setup *older;  /* waiting for its instance to be closed */
    struct relation relation;
    struct driver_env env;
    char *folder;              /* env.data_dir */
    char *fingerprint;         /* of the declaration; NULL for the built-in sink */
    struct ruleset_file *file; /* keeps the declaration's bytes; NULL for the built-in sink */
};

struct sink {
    char *name;
    const struct sink_context *context;
    struct sink_setup *setup; /* newest first */
    char *dir;                /* of the outbox */
    struct outbox *outbox;
    bool retired;

    struct stream_log *log;    /* of functions: what they emit; of streams: their rows; or NULL */
    struct journal *stream;    /* of `log`; appended by the outbox's thread */
    char *stream_dir;

    /* Engine thread only: numbering of the outputs of one input record. */
    uint64_t last_position;
    const void *last_input;
    uint32_t next_output;
};

/* Opens the sink of a declaration. `mark` is where the checkpoint left its backlog, or NULL. */
bool sink_open(struct sink **out, const struct sink_context *context,
               const struct ruleset_relation *declared, const struct outbox_mark *mark,
               struct diag_list *diags) MUST_CHECK;

/* Opens the sink that needs no declaration: INSERT INTO 'topic'. */
bool sink_open_builtin(struct sink **out, const struct sink_context *context, const char *name,
                       const struct driver *driver, const struct outbox_mark *mark,
                       struct diag_list *diags) MUST_CHECK;

/* Opens what a changed declaration needs beyond what is open: before sink_reconfigure(). */
bool sink_prepare(struct sink *sink, const struct rule_relation *declared,
                  struct diag_list *diags) MUST_CHECK;

/* Lets the sink go on under a changed declaration: what waits goes out with the new settings. */
void sink_reconfigure(struct sink *sink, const struct ruleset_relation *declared);

/* Tries again to open a driver that had failed for good: something outside has changed. */
void sink_retry(struct sink *sink);

/* Frees setups that the driver no longer uses. Main thread, now and then. */
void sink_settle(struct sink *sink);

/* Whether a declaration is the one that runs. */
bool sink_is_current(const struct sink *sink, const struct ruleset_relation *declared);

/* Stops delivery and frees; waits at most `grace_ms` for a write under way. Accepts NULL. */
void sink_close(struct sink *sink, int grace_ms);

#endif
