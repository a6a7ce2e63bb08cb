/*
 * One worker process as its driver sees it: started when needed, called, ended by SIGKILL when it
 * is late or speaks nonsense. Belongs to one thread, which must be the one that made it: the
 * process dies with that thread.
 */
#ifndef HEADGATE_DRIVERS_HANDLER_RUNNER_H
#define HEADGATE_DRIVERS_HANDLER_RUNNER_H

#include "base/diag.h"
#include "worker/protocol.h"

struct runner;

struct runner_settings {
    const char *executable;   /* has the role `worker` */
    const char *name;         /* of the function: in log lines */
    struct bytes environment; /* "NAME=value" lines; copied */
    uint64_t memory_bytes;
    int64_t timeout_ms; /* of one call */
    int ready_ms;       /* until the object is loaded; 0: 5 s */
};

struct runner *runner_new(const struct runner_settings *settings);

/* Ends the process. */
void runner_free(struct runner *runner);

/*
 * Starts a process with this object; once it is ready it replaces the one before. On false the one
 * before goes on: DIAG_INVALID when the object is refused or dies while loading.
 */
bool runner_load(struct runner *runner, const char *object, struct diag_list *diags) MUST_CHECK;

enum runner_result {
    RUNNER_REPLIED, /* `reply` is set; its status may tell of a failure */
    RUNNER_FAILED,  /* crashed, late, or wrote garbage: `reason` says which */
    RUNNER_ABSENT,  /* there is no process and none could be started: not the records' fault */
};

/*
 * Calls the handler with an encoded call of `count` records (worker/protocol.h), after starting
 * the process again where it has ended. `reply` and `reason` live in the arena, or until the next
 * call.
 */
enum runner_result runner_call(struct runner *runner, struct bytes call, size_t count,
                               struct arena *arena, struct worker_reply *reply,
                               struct bytes *reason);

/* Ends the process between two calls; the next call starts another. */
void runner_recycle(struct runner *runner);

/* What confines the process: WORKER_HAS_... bits. */
unsigned runner_confinement(const struct runner *runner);

#endif
