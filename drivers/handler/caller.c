/*
 * The process is started by the first call, and belongs to the thread that calls. A new version of
 * the object, which the sink's thread builds, is loaded by the next call.
 */
#include "caller.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdlib.h>

struct caller {
    const struct os *os;
    char *name;
    struct runner *runner;
    char *loaded;          /* the object that the runner has; NULL: none yet */
    int64_t rest_until_us; /* monotonic */
    struct buf call;

    pthread_mutex_t lock; /* of `object` */
    char *object;
};

struct caller *
caller_new(const struct os *os, const struct runner_settings *settings)
{
    struct caller *caller = mem_new(struct caller);
    caller->os = os;
    caller->name = bytes_to_string(bytes_of_string(settings->name));
    struct runner_settings own = *settings;
    own.name = caller->name;
    own.timeout_ms = CALLER_TIMEOUT_MS;
    own.ready_ms = CALLER_TIMEOUT_MS;
    caller->runner = runner_new(&own);
    check(pthread_mutex_init(&caller->lock, NULL) == 0);
    return caller;
}

void
caller_free(struct caller *caller)
{
    if (caller != NULL) {
        runner_free(caller->runner);
        pthread_mutex_destroy(&caller->lock);
        buf_fini(&caller->call);
        free(caller->loaded);
        free(caller->object);
        free(caller->name);
        free(caller);
    }
}

void
caller_set_object(struct caller *caller, const char *object)
{
    pthread_mutex_lock(&caller->lock);
    free(caller->object);
    caller->object = bytes_to_string(bytes_of_string(object));
    pthread_mutex_unlock(&caller->lock);
}

static void
rest(struct caller *caller)
{
    caller->rest_until_us = caller->os->mono_us(caller->os) + (int64_t)CALLER_REST_MS * 1000;
}

/* Loads the newest object where it is another one than before. */
static bool
load(struct caller *caller, struct diag_list *diags)
{
    pthread_mutex_lock(&caller->lock);
    char *object = bytes_to_string(bytes_of_string(caller->object));
    pthread_mutex_unlock(&caller->lock);
    if (caller->loaded != NULL && strcmp(caller->loaded, object) == 0) {
        free(object);
        return true;
    }
    if (!runner_load(caller->runner, object, diags)) {
        free(object);
        rest(caller);
        return false;
    }
    free(caller->loaded);
    caller->loaded = object;
    return true;
}

static bool
fail(const struct caller *caller, struct diag_list *diags, struct bytes reason)
{
    diag_error(diags, DIAG_REMOTE, "handler '%s': %.*s", caller->name, BYTES_ARG(reason));
    return false;
}

static bool
take_answer(const struct caller *caller, const struct worker_reply *reply, struct arena *arena,
            struct bytes *answer, struct diag_list *diags)
{
    if (reply->status != 0) {
        return fail(caller, diags,
                    arena_printf(arena, "it returned %lld", (long long)reply->status));
    }
    if (reply->failure_count > 0) {
        return fail(caller, diags, reply->failures[0].reason);
    }
    if (reply->emitted_count == 0) {
        return fail(caller, diags, BYTES("it emitted no answer"));
    }
    *answer = arena_copy(arena, reply->emitted[0].payload);
    return true;
}

bool
caller_call(struct caller *caller, struct bytes argument, struct arena *arena,
            struct bytes *answer, struct diag_list *diags)
{
    int64_t left_us = caller->rest_until_us - caller->os->mono_us(caller->os);
    if (left_us > 0) {
        return fail(caller, diags, arena_printf(arena, "at rest for another %lld s after it was "
                                                       "late or crashed",
                                                (long long)(left_us / 1000000 + 1)));
    }
    if (!load(caller, diags)) {
        return false;
    }
    struct worker_reply reply;
    struct bytes reason = BYTES("");
    struct bytes name = bytes_of_string(caller->name);
    const struct worker_record record = {
            .time_us = caller->os->wall_us(caller->os), .rule = name, .topic = name,
            .payload = argument};
    buf_clear(&caller->call);
    worker_call_begin(&caller->call, CALLER_TIMEOUT_MS, 1);
    worker_call_add(&caller->call, &record);
    if (runner_call(caller->runner, buf_bytes(&caller->call), 1, arena, &reply, &reason) !=
        RUNNER_REPLIED) {
        rest(caller);
        return fail(caller, diags, reason);
    }
    return take_answer(caller, &reply, arena, answer, diags);
}
