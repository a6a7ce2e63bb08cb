/*
 * Calls of a handler by rules that wait for its answer (aws_lambda(), machinelearning_predict()):
 * one argument, one answer, in a process of its own beside that of the batches.
 *
 * Who calls is the engine, which serves everybody: so a call is short, and a handler that failed to
 * be is not called again for a while.
 */
#ifndef HEADGATE_DRIVERS_HANDLER_CALLER_H
#define HEADGATE_DRIVERS_HANDLER_CALLER_H

#include "runner.h"

#include "base/os.h"

struct caller;

/* A call takes 2 s at most, and another 2 s where a process has to be started before. */
enum { CALLER_TIMEOUT_MS = 2000, CALLER_REST_MS = 10000 };

/* Nothing is started yet. `settings` are those of the batches; their timeouts are not used. */
struct caller *caller_new(const struct os *os, const struct runner_settings *settings);

/* Accepts NULL. */
void caller_free(struct caller *caller);

/* The object that the next call runs. Any thread. */
void caller_set_object(struct caller *caller, const char *object);

/*
 * Calls the handler with a record whose payload is `argument`; what it emits first is the answer, in
 * the arena. False when it fails, emits nothing, or is at rest after it was late or crashed. One
 * thread at a time.
 */
bool caller_call(struct caller *caller, struct bytes argument, struct arena *arena,
                 struct bytes *answer, struct diag_list *diags) MUST_CHECK;

#endif
