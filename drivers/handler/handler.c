/*
 * handler: C code of the owner as a sink, in a process of its own (CREATE FUNCTION).
 *
 * Path. write() hands the records to the worker process in calls of up to `batch` records. What a
 * successful call emitted is appended to the function's stream, in order, before the first of its
 * records is DONE; what a failed call emitted is dropped with it.
 *
 * Failures, as Lambda has them. A call fails when handle() returns another number than 0, when the
 * process dies, is late, or writes nonsense. The same call is made again `retries` times; then the
 * front half of it alone, and so on, until one record fails alone: it gets REJECT with the reason.
 * Halves that succeed are done on the way. A record named by headgate_fail() while the call
 * succeeds is handed over again with what follows it, `retries` times, then it gets REJECT.
 *
 *   chunk      records of the next call; halved while something is being hunted
 *   failures   failed calls since the last good one; above `retries`: hunting
 *   suspects   records left of the call that started the hunt; at 0 it ends, found or not
 *
 * This and the tries of single records stay in the sink across write calls, so that a hunt which
 * the deadline interrupts goes on with the next call: each failed call halves, counts or rejects,
 * therefore it ends. A call is started only before the deadline but gets its whole `timeout`:
 * write may return that much late, and a record is never blamed for a deadline of the outbox.
 *
 * Restarts of a process that keeps dying are paced: 10 ms more each time in a row, up to 1 s.
 *
 * A changed source is compiled between two batches; if that fails the version before goes on.
 */
#define _GNU_SOURCE
#include "driver.h"

#include "base/log.h"
#include "base/mem.h"
#include "build.h"
#include "caller.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    CALL_MAX_BYTES = 16 * 1024 * 1024, /* payloads of a call of more than one record */
    RECORD_MAX_BYTES = 48 * 1024 * 1024,
    CHECK_EVERY_US = 1000 * 1000,
    PAUSE_STEP_MS = 10,
    PAUSE_MAX_MS = 1000,
};

struct handler_options {
    int64_t timeout_ms;
    int64_t memory_bytes;
    int64_t batch;
    int64_t retries;
    char *environment;
    char *libraries;
};

struct tried {
    struct record_id id;
    unsigned tries;
};

struct handler_sink {
    const struct handler_options *options;
    const struct driver_env *env;
    struct handler_source source;
    struct runner *runner;
    struct caller *caller; /* for rules that wait for an answer */
    struct buf object; /* path of the one that is loaded */
    uint64_t stamp;
    int64_t checked_us;

    size_t chunk;
    unsigned failures;
    size_t suspects;
    unsigned failed_in_row; /* for the pause */
    struct tried *tried;    /* of records that come again */
    size_t tried_count;

    struct buf call;
    _Atomic uint64_t calls, failed_calls, done, rejected, emitted;
    _Atomic bool outdated; /* the source has changed and could not be built */
};

/* The records of a write call that are not decided yet, in order. */
struct work {
    struct batch *batch;
    size_t *pending; /* indexes into the batch */
    unsigned *tries; /* per record of the batch */
    size_t count;    /* of pending */
    bool stopped;    /* the rest is RETRY with `reason` */
    struct bytes reason;
};

/* ---- open and close ---- */

/* One "NAME=value" a line. */
static struct bytes
environment_lines(const char *text, struct buf *out)
{
    struct bytes rest = bytes_of_string(text), line, part;
    while (text != NULL && bytes_split(&rest, '\n', &line)) {
        while (bytes_split(&line, '|', &part)) {
            buf_append(out, bytes_trim(part));
            buf_append_char(out, '\n');
        }
    }
    return buf_bytes(out);
}

static void
handler_close(void *instance)
{
    struct handler_sink *sink = instance;
    runner_free(sink->runner);
    caller_free(sink->caller);
    free(sink->tried);
    buf_fini(&sink->object);
    buf_fini(&sink->call);
    free(sink);
}

static void
make_runners(struct handler_sink *sink, const struct driver_env *env,
             const struct handler_options *options)
{
    struct buf lines = {0};
    struct runner_settings settings = {.executable = env->paths->executable, .name = env->name,
                                       .environment = environment_lines(options->environment,
                                                                        &lines),
                                       .memory_bytes = (uint64_t)options->memory_bytes,
                                       .timeout_ms = options->timeout_ms};
    sink->runner = runner_new(&settings);
    sink->caller = caller_new(env->os, &settings);
    buf_fini(&lines);
}

/* Builds the source and loads the object where it is another one than before. */
static bool
refresh(struct handler_sink *sink, struct diag_list *diags)
{
    struct buf object = {0};
    sink->stamp = handler_stamp(&sink->source);
    bool good = handler_build(&sink->source, &object, diags);
    bool changed = good && !bytes_equal(buf_bytes(&object), buf_bytes(&sink->object));
    if (changed && (good = runner_load(sink->runner, buf_string(&object), diags))) {
        buf_clear(&sink->object);
        buf_append(&sink->object, buf_bytes(&object));
        caller_set_object(sink->caller, buf_string(&object));
    }
    buf_fini(&object);
    return good;
}

static bool
handler_open(void **out_instance, const struct driver_env *env, const void *options,
             const struct driver_declaration *declaration, struct diag_list *diags)
{
    struct handler_sink *sink = mem_new(struct handler_sink);
    sink->options = options;
    sink->env = env;
    sink->source = (struct handler_source){.os = env->os, .data_dir = env->data_dir,
                                           .handlers_dir = env->paths->handlers_dir,
                                           .name = declaration->source,
                                           .libraries = sink->options->libraries};
    make_runners(sink, env, options);
    sink->chunk = (size_t)sink->options->batch;
    sink->checked_us = env->os->mono_us(env->os);
    if (!refresh(sink, diags)) {
        handler_close(sink);
        return false;
    }
    if ((runner_confinement(sink->runner) & WORKER_HAS_SECCOMP) == 0) {
        log_warning("%s: this machine has no seccomp; the handler could open files and sockets",
                    env->name);
    }
    *out_instance = sink;
    return true;
}

/* ---- a new version ---- */

static void
refresh_when_changed(struct handler_sink *sink)
{
    int64_t now_us = sink->env->os->mono_us(sink->env->os);
    if (now_us - sink->checked_us < CHECK_EVERY_US ||
        handler_stamp(&sink->source) == sink->stamp) {
        return;
    }
    sink->checked_us = now_us;
    struct diag_list diags = {0};
    bool fresh = refresh(sink, &diags);
    log_diags(&diags);
    if (fresh) {
        log_notice("%s: runs the new '%.*s'", sink->env->name, BYTES_ARG(sink->source.name));
    } else {
        log_error("%s: the version of '%.*s' before goes on", sink->env->name,
                  BYTES_ARG(sink->source.name));
    }
    atomic_store(&sink->outdated, !fresh);
    diag_list_fini(&diags);
}

/* ---- pending records ---- */

static void
load_tries(struct handler_sink *sink, struct work *work)
{
    for (size_t i = 0; i < work->count; i++) {
        for (size_t j = 0; j < sink->tried_count; j++) {
            if (record_id_compare(work->batch->records[i].id, sink->tried[j].id) == 0) {
                work->tries[i] = sink->tried[j].tries;
            }
        }
    }
}

static void
save_tries(struct handler_sink *sink, const struct work *work)
{
    free(sink->tried);
    sink->tried = mem_new_array(struct tried, work->count);
    sink->tried_count = 0;
    for (size_t i = 0; i < work->count; i++) {
        size_t index = work->pending[i];
        if (work->tries[index] > 0) {
            sink->tried[sink->tried_count++] =
                    (struct tried){work->batch->records[index].id, work->tries[index]};
        }
    }
}

static void
decide(struct handler_sink *sink, struct work *work, size_t index, enum verdict verdict,
       struct bytes reason)
{
    work->batch->outcomes[index] = (struct outcome){.verdict = verdict, .reason = reason};
    atomic_fetch_add(verdict == VERDICT_DONE ? &sink->done : &sink->rejected, 1);
}

/* Drops what was decided from the pending records. */
static void
compact(struct work *work)
{
    size_t kept = 0;
    for (size_t i = 0; i < work->count; i++) {
        if (work->batch->outcomes[work->pending[i]].verdict == VERDICT_NONE) {
            work->pending[kept++] = work->pending[i];
        }
    }
    work->count = kept;
}

/* ---- one call ---- */

/* How many pending records go into the next call: `chunk`, and not too many bytes. */
static size_t
next_count(const struct handler_sink *sink, const struct work *work)
{
    size_t bytes = 0, n = 0;
    while (n < work->count && n < sink->chunk) {
        bytes += work->batch->records[work->pending[n]].payload.size;
        if (n > 0 && bytes > CALL_MAX_BYTES) {
            break;
        }
        n++;
    }
    return n;
}

static void
encode_call(struct handler_sink *sink, const struct work *work, size_t n)
{
    buf_clear(&sink->call);
    worker_call_begin(&sink->call, (uint64_t)sink->options->timeout_ms, n);
    for (size_t i = 0; i < n; i++) {
        const struct sink_record *record = &work->batch->records[work->pending[i]];
        struct worker_record out = {.position = record->id.position, .output = record->id.output,
                                    .time_us = record->time_us, .rule = record->rule,
                                    .topic = record->source, .payload = record->payload};
        worker_call_add(&sink->call, &out);
    }
}

/* What a call of the first `n` pending records has emitted goes into the function's stream. */
static bool
keep_emitted(struct handler_sink *sink, struct work *work, size_t n,
             const struct worker_reply *reply)
{
    const struct driver_env *env = sink->env;
    struct diag_list diags = {0};
    bool kept = true;
    unsigned hops = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned more = work->batch->records[work->pending[i]].hops;
        hops = more > hops ? more : hops;
    }
    for (size_t i = 0; i < reply->emitted_count && kept && env->emit != NULL; i++) {
        kept = env->emit(env, hops, reply->emitted[i].topic, reply->emitted[i].payload, &diags);
    }
    if (kept) {
        atomic_fetch_add(&sink->emitted, reply->emitted_count);
    } else {
        work->stopped = true;
        work->reason = arena_copy(work->batch->arena, diag_first_error(&diags));
    }
    diag_list_fini(&diags);
    return kept;
}

static void
settle(struct handler_sink *sink, struct work *work, size_t n, const struct worker_reply *reply)
{
    size_t next_failure = 0;
    for (size_t i = 0; i < n; i++) {
        size_t index = work->pending[i];
        bool failed = next_failure < reply->failure_count &&
                      reply->failures[next_failure].index == i;
        if (!failed) {
            decide(sink, work, index, VERDICT_DONE, BYTES(""));
            continue;
        }
        struct bytes why = reply->failures[next_failure++].reason;
        if (++work->tries[index] > (uint64_t)sink->options->retries) {
            struct bytes reason = arena_printf(work->batch->arena, "failed: %.*s", BYTES_ARG(why));
            decide(sink, work, index, VERDICT_REJECT, reason);
        }
    }
    compact(work);
}

/* ---- the hunt for the record that makes calls fail ---- */

static void
end_hunt(struct handler_sink *sink)
{
    sink->failures = 0;
    sink->suspects = 0;
    sink->chunk = (size_t)sink->options->batch;
}

static void
after_good_call(struct handler_sink *sink, size_t n)
{
    sink->failed_in_row = 0;
    sink->suspects -= n < sink->suspects ? n : sink->suspects;
    if (sink->suspects == 0) {
        end_hunt(sink);
    }
}

static void
after_failed_call(struct handler_sink *sink, struct work *work, size_t n, struct bytes reason)
{
    atomic_fetch_add(&sink->failed_calls, 1);
    sink->failures++;
    sink->failed_in_row++;
    log_debug("%s: a call of %zu records failed: %.*s", sink->env->name, n, BYTES_ARG(reason));
    if (sink->failures <= (uint64_t)sink->options->retries) {
        return;
    }
    if (sink->suspects == 0) {
        sink->suspects = n;
    }
    if (n > 1) {
        sink->chunk = n / 2;
        return;
    }
    decide(sink, work, work->pending[0], VERDICT_REJECT, reason);
    compact(work);
    sink->suspects--;
    if (sink->suspects == 0) {
        end_hunt(sink);
    } else {
        sink->chunk = sink->suspects;
    }
}

static int64_t
left_us(const struct handler_sink *sink, const struct work *work)
{
    return work->batch->deadline_us - sink->env->os->mono_us(sink->env->os);
}

static void
pause_after_failures(const struct handler_sink *sink, const struct work *work)
{
    int64_t pause_us = (int64_t)sink->failed_in_row * PAUSE_STEP_MS * 1000;
    int64_t most_us = left_us(sink, work);
    pause_us = pause_us > PAUSE_MAX_MS * 1000 ? PAUSE_MAX_MS * 1000 : pause_us;
    pause_us = pause_us > most_us ? most_us : pause_us;
    if (pause_us > 0 && work->count > 0) {
        usleep((useconds_t)pause_us);
    }
}

/* A leak is answered before the limit is: the process is replaced between two calls. */
static void
recycle_when_large(struct handler_sink *sink, const struct worker_reply *reply)
{
    uint64_t limit_kb = (uint64_t)sink->options->memory_bytes / 1024;
    bool limited = (runner_confinement(sink->runner) & WORKER_HAS_MEMORY_LIMIT) != 0;
    if (limited && reply->private_kb > limit_kb / 4 * 3) {
        log_info("%s: uses %" PRIu64 " kB of memory, starting again", sink->env->name,
                 reply->private_kb);
        runner_recycle(sink->runner);
    }
}

static void
take_reply(struct handler_sink *sink, struct work *work, size_t n,
           const struct worker_reply *reply)
{
    log_debug("%s: REPORT records %zu, duration %.3f ms, peak memory %" PRIu64
              " kB, emitted %zu, failed %zu, returned %" PRId64,
              sink->env->name, n, (double)reply->duration_us / 1000, reply->peak_kb,
              reply->emitted_count, reply->failure_count, reply->status);
    if (reply->status != 0) {
        struct bytes reason = arena_printf(work->batch->arena,
                                           "failed: handle returned %" PRId64, reply->status);
        after_failed_call(sink, work, n, reason);
        pause_after_failures(sink, work);
    } else if (keep_emitted(sink, work, n, reply)) {
        settle(sink, work, n, reply);
        after_good_call(sink, n);
    }
    recycle_when_large(sink, reply);
}

static void
call_once(struct handler_sink *sink, struct work *work)
{
    const struct sink_record *first = &work->batch->records[work->pending[0]];
    if (first->payload.size > RECORD_MAX_BYTES) {
        decide(sink, work, work->pending[0], VERDICT_REJECT,
               BYTES("the payload is larger than 48 MiB"));
        compact(work);
        return;
    }
    size_t n = next_count(sink, work);
    struct worker_reply reply;
    struct bytes reason = BYTES("");
    encode_call(sink, work, n);
    atomic_fetch_add(&sink->calls, 1);
    switch (runner_call(sink->runner, buf_bytes(&sink->call), n, work->batch->arena, &reply,
                        &reason)) {
    case RUNNER_REPLIED:
        take_reply(sink, work, n, &reply);
        return;
    case RUNNER_FAILED:
        after_failed_call(sink, work, n, reason);
        pause_after_failures(sink, work);
        return;
    case RUNNER_ABSENT:
        work->stopped = true;
        work->reason = reason;
        return;
    }
}

static void
handler_write(void *instance, struct batch *batch)
{
    struct handler_sink *sink = instance;
    struct work work = {.batch = batch, .count = batch->count,
                        .pending = arena_new_array(batch->arena, size_t, batch->count),
                        .tries = arena_new_array(batch->arena, unsigned, batch->count),
                        .reason = BYTES("the deadline of the call was reached")};
    for (size_t i = 0; i < batch->count; i++) {
        work.pending[i] = i;
    }
    load_tries(sink, &work);
    if (left_us(sink, &work) > 0) {
        refresh_when_changed(sink);
    }
    while (work.count > 0 && !work.stopped && left_us(sink, &work) > 0) {
        call_once(sink, &work);
    }
    save_tries(sink, &work);
    for (size_t i = 0; i < work.count; i++) {
        batch->outcomes[work.pending[i]] =
                (struct outcome){.verdict = VERDICT_RETRY, .reason = work.reason};
    }
}

static bool
handler_call(void *instance, struct bytes argument, struct arena *arena, struct bytes *answer,
             struct diag_list *diags)
{
    struct handler_sink *sink = instance;
    return caller_call(sink->caller, argument, arena, answer, diags);
}

static void
handler_health(void *instance, struct health *out)
{
    struct handler_sink *sink = instance;
    bool outdated = atomic_load(&sink->outdated);
    out->state = outdated ? HEALTH_FAILED : HEALTH_OK;
    snprintf(out->sentence, sizeof out->sentence,
             "%s%" PRIu64 " calls, %" PRIu64 " failed; %" PRIu64 " records done, %" PRIu64
             " rejected, %" PRIu64 " emitted",
             outdated ? "the changed source cannot be used, the version before goes on; " : "",
             atomic_load(&sink->calls), atomic_load(&sink->failed_calls),
             atomic_load(&sink->done), atomic_load(&sink->rejected), atomic_load(&sink->emitted));
}

#define FIELD(member) offsetof(struct handler_options, member)
static const struct option handler_options[] = {
        {.name = "timeout", .type = OPTION_DURATION, .offset = FIELD(timeout_ms),
         .fallback = "3s", .min = 10, .max = 900000,
         .doc = "How long one call may take; then the process is killed."},
        {.name = "memory", .type = OPTION_SIZE, .offset = FIELD(memory_bytes), .fallback = "64M",
         .min = 1 << 20, .max = (int64_t)4 << 30,
         .doc = "How much memory the handler may take; malloc fails beyond."},
        {.name = "batch", .type = OPTION_INT, .offset = FIELD(batch), .fallback = "100", .min = 1,
         .max = 10000, .doc = "Most records handed to one call."},
        {.name = "retries", .type = OPTION_INT, .offset = FIELD(retries), .fallback = "2",
         .min = 0, .max = 100,
         .doc = "How often a failed call or record is tried again before the batch is halved, or "
                "the record put aside."},
        {.name = "environment", .type = OPTION_SECRET, .offset = FIELD(environment),
         .doc = "The handler's environment variables, NAME=value, one a line or separated by '|'; "
                "never shown. Also file:PATH or env:NAME."},
        {.name = "libraries", .type = OPTION_STRING, .offset = FIELD(libraries),
         .doc = "Libraries to link a .c handler with, as after -l: 'cjson,m'."},
};
#undef FIELD

const struct driver driver_handler = {
        .name = "handler",
        .summary = "runs C code of yours on each record, in a confined process (CREATE FUNCTION)",
        .options = {handler_options, sizeof handler_options / sizeof *handler_options},
        .options_size = sizeof(struct handler_options),
        .limits = {.records_max = 1000, .bytes_max = 4 << 20, .linger_ms = 20,
                   .timeout_ms = 60000},
        .needs_order = true, /* it parks what it crashes on, by tries in a row */
        .open = handler_open,
        .close = handler_close,
        .write = handler_write,
        .call = handler_call,
        .health = handler_health,
};
