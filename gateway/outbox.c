/*
 * The outbox's two halves: what the core calls, and the sink's thread.
 *
 * The thread's life
 *
 *      open driver ──failed, may pass──> pause ──┐        OPENING
 *        │   ^─────────────────────────────────────┘
 *        │   └─failed for good: waits for close           FAILED
 *        v
 *   ┌> take a batch: fill memory from disk, wait for
 *   │    records, linger                                  READY
 *   │  v
 *   │  write ──> DONE    removed from the backlog
 *   │        ──> REJECT  to the dead letters, then removed; the disk refuses them: BLOCKED
 *   │        ──> RETRY   stays in the batch, pause         WAITING
 *   └──── batch empty
 *
 * A batch is decided once. Until all of it is settled nothing else is taken, so a repetition
 * carries the same records in the same order (less those settled), and a driver that makes an
 * idempotency key from a batch makes the same one again.
 *
 * Pauses are full jitter: uniform between 0 and retry_min * 2^n, at most retry_max; n counts writes
 * in a row that settled nothing. What the other side asks for (retry_after) comes on top of the
 * first step's jitter, at most an hour.
 *
 * Locking: `lock` guards everything below it in the struct. It is held for list operations and,
 * in push and cut, for writes of the backlog into the page cache, and for the syncs with which the
 * log begins a new segment; never during a read, a driver call or a pause. Records of the batch
 * stay linked in the backlog's `front`, where the core may log them meanwhile.
 */
#define _GNU_SOURCE
#include "outbox.h"

#include "backlog.h"
#include "base/log.h"
#include "base/mem.h"
#include "dead_letter.h"
#include "failure.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    RETRY_MIN_MS = 200,
    RETRY_AFTER_MAX_MS = 60 * 60 * 1000,
    REJECTS_LOG_EVERY_MS = 10000,
    SLEEP_SLICE_MS = 250, /* os->mono_us may be a test's clock: look at it now and then */
};

struct outbox {
    struct outbox_options options;
    char *dead_dir;
    pthread_t thread;
    struct outbox_mark committed; /* the core's */
    uint64_t trimmed;             /* the core's: the backlog log is free before it */

    /* the thread's */
    void *instance;
    struct waiting **batch;
    size_t batch_count;
    struct sink_record *records;
    struct outcome *outcomes;
    struct dead_letter *letters;
    struct dead_letters dead;
    struct arena arena;
    unsigned failures; /* in a row; how long the next pause may be */
    struct log_gate reject_gate;

    pthread_mutex_t lookup_lock; /* of the two below: held for a look-up, never for a write */
    const struct driver *lookup_driver;
    void *lookup_instance; /* NULL: not open */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_asleep;        /* the thread waits for records */
    bool is_hurried;       /* the records that are there linger no longer */
    bool is_stopped; /* the thread has ended; the manager's */
    bool is_stopping;
    bool has_next;                /* a configuration waits to be taken */
    struct outbox_options next;
    int64_t stop_us;       /* monotonic: deliver until then, if there is something */
    struct backlog backlog;
    struct outbox_stats stats; /* its counters and sentence; the rest is computed */
    struct tallies tallies;
};

static int64_t
now_us(const struct outbox *outbox)
{
    return outbox->options.os->mono_us(outbox->options.os);
}

/* ---- the sink's thread: waiting ---- */

/* Under the lock. Whether the thread must not begin anything new. */
static bool
must_stop(const struct outbox *outbox)
{
    return outbox->is_stopping &&
           (backlog_is_empty(&outbox->backlog) || now_us(outbox) >= outbox->stop_us);
}

/* Under the lock. Whether the thread has something else to do than to wait. */
static bool
must_turn(const struct outbox *outbox)
{
    return must_stop(outbox) || outbox->has_next;
}

/* Under the lock: sleeps until `deadline_us` (INT64_MAX: none) or a signal, whichever is first. */
static void
sleep_until(struct outbox *outbox, int64_t deadline_us)
{
    int64_t left_us = deadline_us - now_us(outbox);
    if (left_us <= 0) {
        return;
    }
    if (deadline_us == INT64_MAX) {
        pthread_cond_wait(&outbox->changed, &outbox->lock);
        return;
    }
    if (left_us > (int64_t)SLEEP_SLICE_MS * 1000) {
        left_us = (int64_t)SLEEP_SLICE_MS * 1000;
    }
    struct timespec until;
    check(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    int64_t nanoseconds = until.tv_nsec + left_us * 1000;
    until.tv_sec += (time_t)(nanoseconds / 1000000000);
    until.tv_nsec = nanoseconds % 1000000000;
    pthread_cond_timedwait(&outbox->changed, &outbox->lock, &until);
}

static void
note_error(struct outbox *outbox, struct bytes sentence)
{
    snprintf(outbox->stats.last_error, sizeof outbox->stats.last_error, "%.*s",
             BYTES_ARG(sentence));
}

static void
set_state(struct outbox *outbox, enum outbox_state state)
{
    pthread_mutex_lock(&outbox->lock);
    outbox->stats.state = state;
    pthread_mutex_unlock(&outbox->lock);
}

/* The pause before the next attempt, in microseconds. */
static int64_t
draw_pause_us(struct outbox *outbox, int64_t retry_after_ms)
{
    unsigned steps = outbox->failures < 30 ? outbox->failures : 30;
    int64_t cap_us = outbox->options.retry_min_ms * 1000;
    int64_t max_us = outbox->options.retry_max_ms * 1000;
    for (; retry_after_ms == 0 && steps > 0 && cap_us < max_us; steps--) {
        cap_us *= 2;
    }
    cap_us = cap_us < max_us ? cap_us : max_us;
    uint64_t random;
    outbox->options.os->random(outbox->options.os, &random, sizeof random);
    int64_t after_ms = retry_after_ms < RETRY_AFTER_MAX_MS ? retry_after_ms : RETRY_AFTER_MAX_MS;
    return after_ms * 1000 + (int64_t)(random % ((uint64_t)cap_us + 1));
}

static void
pause_in_state(struct outbox *outbox, enum outbox_state state, int64_t retry_after_ms)
{
    int64_t until_us = now_us(outbox) + draw_pause_us(outbox, retry_after_ms);
    outbox->failures++;
    pthread_mutex_lock(&outbox->lock);
    outbox->stats.state = state;
    while (!must_turn(outbox) && now_us(outbox) < until_us) {
        sleep_until(outbox, until_us);
    }
    pthread_mutex_unlock(&outbox->lock);
}

/* ---- the sink's thread: opening the driver ---- */

static bool
may_pass(enum diag_class class)
{
    return class == DIAG_IO || class == DIAG_REMOTE || class == DIAG_BUSY || class == DIAG_TIMEOUT;
}

/* Until the end, or until other options come. */
static void
rest_failed(struct outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    outbox->stats.state = OUTBOX_FAILED;
    while (!outbox->is_stopping && !outbox->has_next) {
        sleep_until(outbox, INT64_MAX);
    }
    if (outbox->is_stopping) {
        outbox->stop_us = INT64_MIN;
    }
    pthread_mutex_unlock(&outbox->lock);
}

/* From here on look-ups are answered by the open driver, or by none. */
static void
set_lookup(struct outbox *outbox, void *instance)
{
    pthread_mutex_lock(&outbox->lookup_lock);
    outbox->lookup_driver = outbox->options.driver;
    outbox->lookup_instance = instance;
    pthread_mutex_unlock(&outbox->lookup_lock);
}

static void
open_driver(struct outbox *outbox)
{
    const struct outbox_options *options = &outbox->options;
    struct diag_list diags = {0};
    bool is_open = options->driver->open(&outbox->instance, options->env, options->driver_options,
                                         options->declaration, &diags);
    enum diag_class class = DIAG_REMOTE;
    for (size_t i = diags.count; i > 0; i--) {
        class = diags.items[i - 1].level == DIAG_ERROR ? diags.items[i - 1].class : class;
    }
    if (!is_open) {
        outbox->instance = NULL;
        pthread_mutex_lock(&outbox->lock);
        note_error(outbox, diag_first_error(&diags));
        pthread_mutex_unlock(&outbox->lock);
    }
    diag_list_fini(&diags);
    if (is_open) {
        outbox->failures = 0;
        set_lookup(outbox, outbox->instance);
        set_state(outbox, OUTBOX_READY);
    } else if (may_pass(class)) {
        pause_in_state(outbox, OUTBOX_OPENING, 0);
    } else {
        rest_failed(outbox);
    }
}

/* ---- the sink's thread: taking a batch ---- */

/* Reads from the disk into memory when memory runs low. */
static bool
fill(struct outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    size_t half = outbox->options.queue_max_bytes / 2 + 1;
    bool is_due = outbox->backlog.is_spilled && outbox->backlog.front.bytes <= half;
    uint64_t head = outbox->backlog.disk_head;
    uint64_t limit = journal_tail(outbox->backlog.journal);
    pthread_mutex_unlock(&outbox->lock);
    if (!is_due) {
        return true;
    }
    struct waiting_list read = {0};
    struct diag_list diags = {0};
    uint64_t end;
    bool is_read = backlog_read(&outbox->backlog, head, limit, half, &read, &end, &diags);
    pthread_mutex_lock(&outbox->lock);
    if (is_read) {
        backlog_adopt(&outbox->backlog, &read, end);
    } else {
        note_error(outbox, diag_first_error(&diags));
    }
    pthread_mutex_unlock(&outbox->lock);
    waiting_list_free(&read);
    diag_list_fini(&diags);
    return is_read;
}

/* Under the lock: how many records of `front` make a batch, and whether it can take no more. */
static size_t
measure_batch(const struct outbox *outbox, bool *is_whole)
{
    const struct sink_limits *limits = &outbox->options.limits;
    size_t count = 0;
    size_t bytes = 0;
    *is_whole = false;
    for (const struct waiting *waiting = outbox->backlog.front.first; waiting != NULL;
         waiting = waiting->next) {
        bytes += waiting->record.payload.size;
        if (count == limits->records_max || (count > 0 && bytes > limits->bytes_max)) {
            *is_whole = true;
            return count;
        }
        count++;
    }
    *is_whole = count == limits->records_max || bytes >= limits->bytes_max;
    return count;
}

/* Waits for records and lets them gather. The batch is empty when it is time to stop. */
static void
take_batch(struct outbox *outbox)
{
    int64_t linger_us = outbox->options.limits.linger_ms * 1000;
    pthread_mutex_lock(&outbox->lock);
    size_t count = 0;
    while (!must_turn(outbox)) {
        bool is_whole;
        count = measure_batch(outbox, &is_whole);
        if (count == 0 && outbox->backlog.is_spilled) {
            break; /* they are on disk */
        }
        const struct waiting *first = outbox->backlog.front.first;
        int64_t until_us = first == NULL ? INT64_MAX : first->pushed_us + linger_us;
        if (count > 0 && (is_whole || outbox->backlog.is_spilled || outbox->is_stopping ||
                          outbox->is_hurried || now_us(outbox) >= until_us)) {
            break;
        }
        count = 0;
        outbox->is_asleep = true;
        sleep_until(outbox, until_us);
        outbox->is_asleep = false;
    }
    struct waiting *waiting = outbox->backlog.front.first;
    for (size_t i = 0; i < count; i++, waiting = waiting->next) {
        outbox->batch[i] = waiting;
    }
    outbox->batch_count = count;
    outbox->is_hurried = false;
    pthread_mutex_unlock(&outbox->lock);
}

/* ---- the sink's thread: delivering ---- */

/* One line for many: what is wrong with one record is so with its like. */
static void
log_rejected(struct outbox *outbox, const struct dead_letter *letter)
{
    struct log_gate *gate = &outbox->reject_gate;
    if (log_gate_open(gate, now_us(outbox) / 1000, REJECTS_LOG_EVERY_MS)) {
        log_warning("'%s' cannot take a record of %srule '%.*s': %.*s; it is a dead letter now; "
                    "%llu more since the last such line",
                    outbox->options.name,
                    letter->record.is_error_action ? "the error action of " : "",
                    BYTES_ARG(letter->record.rule), BYTES_ARG(letter->reason),
                    (unsigned long long)gate->hidden);
    }
}

/*
 * Writes the letters of rejected records and tells of their failures; all of them or none count as
 * written.
 */
static bool
bury_rejected(struct outbox *outbox)
{
    size_t count = 0;
    int64_t wall_us = outbox->options.os->wall_us(outbox->options.os);
    for (size_t i = 0; i < outbox->batch_count; i++) {
        const struct waiting *waiting = outbox->batch[i];
        if (waiting->rejection != NULL) {
            outbox->letters[count++] = (struct dead_letter){
                    .record = waiting->record,
                    .sink = bytes_of_string(outbox->options.name),
                    .reason = bytes_of_string(waiting->rejection),
                    .attempts = waiting->attempts,
                    .first_attempt_us = waiting->first_attempt_us,
                    .last_attempt_us = wall_us,
            };
        }
    }
    struct diag_list diags = {0};
    bool is_written =
            count == 0 ||
            (dead_letters_write(&outbox->dead, outbox->letters, count, &diags) &&
             (outbox->options.failures == NULL ||
              failure_log_append(outbox->options.failures, outbox->letters, count, &diags)));
    if (is_written && count > 0) {
        log_rejected(outbox, &outbox->letters[count - 1]);
    } else if (!is_written) {
        pthread_mutex_lock(&outbox->lock);
        note_error(outbox, diag_first_error(&diags));
        pthread_mutex_unlock(&outbox->lock);
    }
    for (size_t i = 0; i < outbox->batch_count && is_written; i++) {
        outbox->batch[i]->is_settled |= outbox->batch[i]->rejection != NULL;
    }
    diag_list_fini(&diags);
    return is_written;
}

/* Under the lock. */
static void
count_settled(struct outbox *outbox, const struct waiting *waiting)
{
    bool is_rejected = waiting->rejection != NULL;
    struct tally *tally = tally_of(&outbox->tallies, waiting->record.rule);
    outbox->stats.delivered += !is_rejected;
    outbox->stats.rejected += is_rejected;
    if (waiting->record.is_error_action) {
        tally->error_delivered += !is_rejected;
        tally->error_rejected += is_rejected;
    } else {
        tally->delivered += !is_rejected;
        tally->rejected += is_rejected;
    }
}

/* Removes what is settled from the batch and from the backlog; true when something was. */
static bool
drop_settled(struct outbox *outbox)
{
    size_t kept = 0;
    pthread_mutex_lock(&outbox->lock);
    for (size_t i = 0; i < outbox->batch_count; i++) {
        struct waiting *waiting = outbox->batch[i];
        if (!waiting->is_settled) {
            outbox->batch[kept++] = waiting;
            continue;
        }
        count_settled(outbox, waiting);
        backlog_remove(&outbox->backlog, waiting);
    }
    pthread_mutex_unlock(&outbox->lock);
    bool is_less = kept < outbox->batch_count;
    outbox->batch_count = kept;
    return is_less;
}

/* Hands the batch to the driver; `is_late`: it took longer than it may. */
static void
write_batch(struct outbox *outbox, bool *is_late)
{
    int64_t wall_us = outbox->options.os->wall_us(outbox->options.os);
    for (size_t i = 0; i < outbox->batch_count; i++) {
        struct waiting *waiting = outbox->batch[i];
        waiting->first_attempt_us = waiting->attempts == 0 ? wall_us : waiting->first_attempt_us;
        waiting->attempts++;
        outbox->records[i] = waiting->record;
        outbox->outcomes[i] = (struct outcome){.verdict = VERDICT_NONE};
    }
    struct batch batch = {
            .records = outbox->records,
            .outcomes = outbox->outcomes,
            .count = outbox->batch_count,
            .deadline_us = now_us(outbox) + outbox->options.limits.timeout_ms * 1000,
            .arena = &outbox->arena,
    };
    outbox->options.driver->write(outbox->instance, &batch);
    *is_late = now_us(outbox) > batch.deadline_us;
}

/* Takes the verdicts over; returns the longest pause that was asked for. */
static int64_t
judge_batch(struct outbox *outbox, bool is_late)
{
    int64_t retry_after_ms = 0;
    pthread_mutex_lock(&outbox->lock);
    struct outbox_stats *stats = &outbox->stats;
    stats->batches++;
    stats->overruns += is_late;
    for (size_t i = 0; i < outbox->batch_count; i++) {
        struct waiting *waiting = outbox->batch[i];
        const struct outcome *outcome = &outbox->outcomes[i];
        switch (outcome->verdict) {
        case VERDICT_DONE:
            waiting->is_settled = true;
            break;
        case VERDICT_REJECT:
            waiting->rejection = bytes_to_string(outcome->reason);
            note_error(outbox, outcome->reason);
            break;
        case VERDICT_NONE:
        case VERDICT_RETRY:
            stats->retried++;
            stats->undecided += outcome->verdict == VERDICT_NONE;
            note_error(outbox, outcome->verdict == VERDICT_RETRY
                                       ? outcome->reason
                                       : BYTES("the driver gave no verdict"));
            if (outcome->retry_after_ms > retry_after_ms) {
                retry_after_ms = outcome->retry_after_ms;
            }
            break;
        }
    }
    pthread_mutex_unlock(&outbox->lock);
    return retry_after_ms;
}

static bool
has_rejected(const struct outbox *outbox)
{
    for (size_t i = 0; i < outbox->batch_count; i++) {
        if (outbox->batch[i]->rejection != NULL) {
            return true;
        }
    }
    return false;
}

/* One attempt at the batch, and the pause after it when something is left. */
static void
deliver(struct outbox *outbox)
{
    int64_t retry_after_ms = 0;
    if (!has_rejected(outbox)) {
        bool is_late;
        write_batch(outbox, &is_late);
        retry_after_ms = judge_batch(outbox, is_late);
        arena_reset(&outbox->arena);
    }
    bool is_buried = bury_rejected(outbox);
    if (drop_settled(outbox)) {
        outbox->failures = 0;
    }
    if (outbox->batch_count == 0) {
        set_state(outbox, OUTBOX_READY);
    } else if (is_buried) {
        pause_in_state(outbox, OUTBOX_WAITING, retry_after_ms);
    } else {
        pause_in_state(outbox, OUTBOX_BLOCKED, 0);
    }
}

static bool
is_over(struct outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    bool over = must_stop(outbox);
    pthread_mutex_unlock(&outbox->lock);
    return over;
}

static void
close_driver(struct outbox *outbox)
{
    if (outbox->instance != NULL) {
        set_lookup(outbox, NULL);
        outbox->options.driver->close(outbox->instance);
        outbox->instance = NULL;
    }
}

/* A batch that is under way keeps its records, also when the new limits are lower. */
static void
make_room(struct outbox *outbox, size_t records_max)
{
    size_t count = records_max > outbox->batch_count ? records_max : outbox->batch_count;
    outbox->batch = mem_realloc(outbox->batch, count * sizeof *outbox->batch);
    outbox->records = mem_realloc(outbox->records, count * sizeof *outbox->records);
    outbox->outcomes = mem_realloc(outbox->outcomes, count * sizeof *outbox->outcomes);
    outbox->letters = mem_realloc(outbox->letters, count * sizeof *outbox->letters);
}

/* Goes over to the configuration that waits, if there is one. */
static void
take_next_options(struct outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    bool has_next = outbox->has_next;
    pthread_mutex_unlock(&outbox->lock);
    if (!has_next) {
        return;
    }
    close_driver(outbox);
    pthread_mutex_lock(&outbox->lock);
    outbox->has_next = false;
    outbox->options.driver = outbox->next.driver;
    outbox->options.env = outbox->next.env;
    outbox->options.driver_options = outbox->next.driver_options;
    outbox->options.declaration = outbox->next.declaration;
    outbox->options.limits = outbox->next.limits;
    outbox->options.retry_max_ms = outbox->next.retry_max_ms;
    outbox->stats.state = OUTBOX_OPENING;
    outbox->stats.last_error[0] = '\0';
    make_room(outbox, outbox->options.limits.records_max);
    pthread_mutex_unlock(&outbox->lock);
    outbox->failures = 0;
}

static void *
run(void *context)
{
    struct outbox *outbox = context;
    while (!is_over(outbox)) {
        take_next_options(outbox);
        if (outbox->instance == NULL) {
            open_driver(outbox);
        } else if (outbox->batch_count > 0) {
            deliver(outbox);
        } else if (fill(outbox)) {
            take_batch(outbox);
        } else {
            pause_in_state(outbox, OUTBOX_BLOCKED, 0);
        }
    }
    close_driver(outbox);
    return NULL;
}

/* ---- the core's side ---- */

static char *
path_in(const char *dir, const char *name)
{
    struct buf path = {0};
    buf_printf(&path, "%s/%s", dir, name);
    return buf_take_string(&path);
}

static struct outbox *
outbox_new(const struct outbox_options *options)
{
    struct outbox *outbox = mem_new(struct outbox);
    size_t records_max = options->limits.records_max;
    outbox->options = *options;
    if (options->retry_min_ms == 0) {
        outbox->options.retry_min_ms = RETRY_MIN_MS;
    }
    outbox->committed = options->mark;
    outbox->dead_dir = path_in(options->dir, "dead");
    outbox->dead = (struct dead_letters){.os = options->os, .dir = outbox->dead_dir};
    outbox->batch = mem_new_array(struct waiting *, records_max);
    outbox->records = mem_new_array(struct sink_record, records_max);
    outbox->outcomes = mem_new_array(struct outcome, records_max);
    outbox->letters = mem_new_array(struct dead_letter, records_max);
    pthread_condattr_t attributes;
    check(pthread_condattr_init(&attributes) == 0);
    check(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    check(pthread_cond_init(&outbox->changed, &attributes) == 0);
    check(pthread_condattr_destroy(&attributes) == 0);
    check(pthread_mutex_init(&outbox->lock, NULL) == 0);
    check(pthread_mutex_init(&outbox->lookup_lock, NULL) == 0);
    return outbox;
}

static void
outbox_free(struct outbox *outbox)
{
    dead_letters_close(&outbox->dead);
    tallies_fini(&outbox->tallies);
    arena_fini(&outbox->arena);
    pthread_cond_destroy(&outbox->changed);
    pthread_mutex_destroy(&outbox->lock);
    pthread_mutex_destroy(&outbox->lookup_lock);
    free(outbox->batch);
    free(outbox->records);
    free(outbox->outcomes);
    free(outbox->letters);
    free(outbox->dead_dir);
    free(outbox);
}

bool
outbox_open(struct outbox **out, const struct outbox_options *options, struct diag_list *diags)
{
    check(options->limits.records_max > 0 && options->limits.timeout_ms > 0);
    struct outbox *outbox = outbox_new(options);
    char *dir = path_in(options->dir, "backlog");
    bool is_open = backlog_open(&outbox->backlog, options->os, dir, options->queue_max_bytes,
                                &options->mark, diags);
    free(dir);
    if (is_open) {
        outbox->stats.restored = options->mark.records;
        int result = pthread_create(&outbox->thread, NULL, run, outbox);
        if (result != 0) {
            diag_io_error(diags, result, "cannot start a thread for '%s'", options->name);
            backlog_close(&outbox->backlog);
            is_open = false;
        }
    }
    if (!is_open) {
        outbox_free(outbox);
        return false;
    }
    *out = outbox;
    return true;
}

void
outbox_reconfigure(struct outbox *outbox, const struct outbox_options *options)
{
    check(options->limits.records_max > 0 && options->limits.timeout_ms > 0);
    pthread_mutex_lock(&outbox->lock);
    outbox->next = *options;
    outbox->has_next = true;
    pthread_cond_signal(&outbox->changed);
    pthread_mutex_unlock(&outbox->lock);
}

bool
outbox_is_settled(struct outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    bool is_settled = !outbox->has_next;
    pthread_mutex_unlock(&outbox->lock);
    return is_settled;
}

void
outbox_ask_stop(struct outbox *outbox, int64_t grace_ms)
{
    pthread_mutex_lock(&outbox->lock);
    if (!outbox->is_stopping) {
        outbox->is_stopping = true;
        outbox->stop_us = now_us(outbox) + grace_ms * 1000;
    }
    pthread_cond_signal(&outbox->changed);
    pthread_mutex_unlock(&outbox->lock);
}

void
outbox_stop(struct outbox *outbox, int64_t grace_ms)
{
    if (outbox->is_stopped) {
        return;
    }
    outbox_ask_stop(outbox, grace_ms);
    check(pthread_join(outbox->thread, NULL) == 0);
    outbox->is_stopped = true;
}

void
outbox_close(struct outbox *outbox, int64_t grace_ms)
{
    if (outbox == NULL) {
        return;
    }
    outbox_stop(outbox, grace_ms);
    backlog_close(&outbox->backlog);
    outbox_free(outbox);
}

/* Under the lock: wakes the thread when the records there are worth it. */
static void
wake(struct outbox *outbox)
{
    const struct sink_limits *limits = &outbox->options.limits;
    const struct waiting_list *front = &outbox->backlog.front;
    bool is_first = front->count <= 1 || outbox->backlog.is_spilled;
    bool is_whole = front->count >= limits->records_max || front->bytes >= limits->bytes_max;
    if (outbox->is_asleep && (is_first || is_whole)) {
        pthread_cond_signal(&outbox->changed);
    }
}

static void
push(struct outbox *outbox, const struct sink_record *record, struct bytes rejection)
{
    struct diag_list diags = {0};
    pthread_mutex_lock(&outbox->lock);
    if (!backlog_push(&outbox->backlog, record, rejection, &diags) && diags.errors > 0) {
        note_error(outbox, diag_first_error(&diags));
    }
    if (rejection.size > 0) {
        note_error(outbox, rejection);
    }
    outbox->stats.pushed++;
    wake(outbox);
    pthread_mutex_unlock(&outbox->lock);
    diag_list_fini(&diags);
}

void
outbox_push(struct outbox *outbox, const struct sink_record *record)
{
    push(outbox, record, BYTES(""));
}

void
outbox_push_rejected(struct outbox *outbox, const struct sink_record *record, struct bytes reason)
{
    check(reason.size > 0);
    push(outbox, record, reason);
}

void
outbox_hurry(struct outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    if (outbox->backlog.front.count > 0) {
        outbox->is_hurried = true;
        if (outbox->is_asleep) {
            pthread_cond_signal(&outbox->changed);
        }
    }
    pthread_mutex_unlock(&outbox->lock);
}

bool
outbox_is_full(struct outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    bool is_full = backlog_is_full(&outbox->backlog);
    pthread_mutex_unlock(&outbox->lock);
    return is_full;
}

bool
outbox_is_drained(struct outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    bool is_drained = backlog_is_empty(&outbox->backlog);
    pthread_mutex_unlock(&outbox->lock);
    return is_drained;
}

bool
outbox_cut(struct outbox *outbox, struct outbox_mark *out, struct diag_list *diags)
{
    struct outbox_mark mark;
    pthread_mutex_lock(&outbox->lock);
    bool is_logged = backlog_log_all(&outbox->backlog, &mark, diags);
    if (!is_logged) {
        note_error(outbox, diag_first_error(diags));
    }
    pthread_mutex_unlock(&outbox->lock);
    if (!is_logged || (mark.records > 0 && !journal_sync(outbox->backlog.journal, diags))) {
        return false;
    }
    *out = mark;
    return true;
}

bool
outbox_committed(struct outbox *outbox, const struct outbox_mark *mark, struct diag_list *diags)
{
    uint64_t free_before = outbox->committed.head;
    outbox->committed = *mark;
    if (free_before <= outbox->trimmed) {
        return true;
    }
    if (!journal_trim(outbox->options.os, outbox->backlog.dir, free_before, diags)) {
        return false;
    }
    outbox->trimmed = free_before;
    return true;
}

bool
outbox_lookup(struct outbox *outbox, struct bytes key, struct arena *arena, struct bytes *item,
              struct diag_list *diags)
{
    pthread_mutex_lock(&outbox->lookup_lock);
    const struct driver *driver = outbox->lookup_driver;
    bool found = false;
    if (outbox->lookup_instance == NULL) {
        diag_error(diags, DIAG_BUSY, "'%s' is not open", outbox->options.name);
    } else if (driver->lookup == NULL) {
        diag_error(diags, DIAG_INVALID, "'%s' is a '%s', which has no keys", outbox->options.name,
                   driver->name);
    } else {
        found = driver->lookup(outbox->lookup_instance, key, arena, item, diags);
    }
    pthread_mutex_unlock(&outbox->lookup_lock);
    return found;
}

void
outbox_stats(struct outbox *outbox, struct outbox_stats *out)
{
    int64_t wall_us = outbox->options.os->wall_us(outbox->options.os);
    pthread_mutex_lock(&outbox->lock);
    const struct backlog *backlog = &outbox->backlog;
    *out = outbox->stats;
    out->lost = backlog->lost;
    out->queued_records = backlog->front.count + backlog->rear.count;
    out->queued_bytes = backlog->front.bytes + backlog->rear.bytes;
    out->backlog_records = backlog->disk_records;
    out->backlog_bytes =
            backlog->is_spilled ? journal_tail(backlog->journal) - backlog->disk_head : 0;
    if (backlog->front.first != NULL) {
        int64_t age_us = wall_us - backlog->front.first->record.time_us;
        out->oldest_age_us = age_us < 0 ? 0 : age_us;
    }
    pthread_mutex_unlock(&outbox->lock);
}

void
outbox_tally(struct outbox *outbox, struct bytes rule, struct tally *out)
{
    pthread_mutex_lock(&outbox->lock);
    const struct tally *tally = map_find(&outbox->tallies.by_rule, rule);
    *out = tally == NULL ? (struct tally){0} : *tally;
    out->rule = NULL;
    pthread_mutex_unlock(&outbox->lock);
}

const char *
outbox_state_name(enum outbox_state state)
{
    static const char *const names[] = {
            [OUTBOX_OPENING] = "opening", [OUTBOX_READY] = "ready",
            [OUTBOX_WAITING] = "waiting", [OUTBOX_BLOCKED] = "blocked",
            [OUTBOX_FAILED] = "failed",
    };
    return names[state];
}
