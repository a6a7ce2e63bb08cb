/*
 * What the core calls of an outbox, on its threads. The sink's thread is in outbox_thread.c, and what
 * guards the two from each other in outbox_state.h.
 */
#define _GNU_SOURCE
#include "outbox_state.h"

#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    OPEN_WAIT_S = 5, /* no driver takes longer to open */
    RETRY_MIN_MS = 200,
    DROP_SLACK_BYTES = 256 * 1024,
    DROPS_LOG_EVERY_MS = 10000,
};

int64_t
outbox_now_us(const struct outbox *outbox)
{
    return outbox->options.os->mono_us(outbox->options.os);
}

void
outbox_note_error(struct outbox *outbox, struct bytes sentence)
{
    snprintf(outbox->stats.last_error, sizeof outbox->stats.last_error, "%.*s",
             BYTES_ARG(sentence));
}

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
    size_t records_max = options->limits.records_max + OUTBOX_PROBES_MAX;
    outbox->options = *options;
    if (options->retry_min_ms == 0) {
        outbox->options.retry_min_ms = RETRY_MIN_MS;
    }
    outbox->committed = options->mark;
    outbox->dead_dir = path_in(options->dir, "dead");
    outbox->dead = (struct dead_letters){
            .os = options->os, .dir = outbox->dead_dir, .max_bytes = options->dead_max_bytes};
    outbox->batch = mem_new_array(struct waiting *, records_max);
    outbox->records = mem_new_array(struct sink_record, records_max);
    outbox->outcomes = mem_new_array(struct outcome, records_max);
    outbox->letters = mem_new_array(struct dead_letter, records_max);
    pthread_condattr_t attributes;
    check(pthread_condattr_init(&attributes) == 0);
    check(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    check(pthread_cond_init(&outbox->changed, &attributes) == 0);
    check(pthread_cond_init(&outbox->opened, &attributes) == 0);
    check(pthread_condattr_destroy(&attributes) == 0);
    check(pthread_mutex_init(&outbox->lock, NULL) == 0);
    check(pthread_mutex_init(&outbox->dead_lock, NULL) == 0);
    check(pthread_mutex_init(&outbox->lookup_lock, NULL) == 0);
    return outbox;
}

static void
outbox_free(struct outbox *outbox)
{
    dead_letters_close(&outbox->dead);
    outbox_free_retrying(outbox);
    tallies_fini(&outbox->tallies);
    arena_fini(&outbox->arena);
    pthread_cond_destroy(&outbox->changed);
    pthread_mutex_destroy(&outbox->lock);
    pthread_mutex_destroy(&outbox->dead_lock);
    pthread_cond_destroy(&outbox->opened);
    pthread_mutex_destroy(&outbox->lookup_lock);
    free(outbox->batch);
    free(outbox->records);
    free(outbox->outcomes);
    free(outbox->letters);
    free(outbox->dead_dir);
    free(outbox);
}

/* Under the lock, or before there is a thread. */
static void
set_bounds(struct outbox *outbox, const struct outbox_options *options)
{
    outbox->backlog.max_bytes = options->backlog_max_bytes;
    outbox->backlog.drops_oldest = options->drops_oldest;
}

bool
outbox_open(struct outbox **out, const struct outbox_options *options, struct diag_list *diags)
{
    check(options->limits.records_max > 0 && options->limits.timeout_ms > 0);
    struct outbox *outbox = outbox_new(options);
    char *dir = path_in(options->dir, "backlog");
    const struct backlog_limits limits = {options->queue_max_bytes, options->segment_bytes};
    bool is_open = backlog_open(&outbox->backlog, options->os, dir, &limits, &options->mark, diags);
    free(dir);
    if (is_open) {
        outbox->stats.restored = options->mark.records;
        set_bounds(outbox, options);
        int result = options->is_stepped
                             ? 0
                             : pthread_create(&outbox->thread, NULL, outbox_run, outbox);
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
    set_bounds(outbox, options);
    pthread_cond_signal(&outbox->changed);
    pthread_mutex_unlock(&outbox->lock);
    pthread_mutex_lock(&outbox->dead_lock);
    outbox->dead.max_bytes = options->dead_max_bytes;
    pthread_mutex_unlock(&outbox->dead_lock);
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
        outbox->stop_us = outbox_now_us(outbox) + grace_ms * 1000;
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
    if (outbox->options.is_stepped) {
        outbox_close_driver(outbox);
    } else {
        check(pthread_join(outbox->thread, NULL) == 0);
    }
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

/* Under the lock: a record leaves without an outcome at the sink. */
static void
count_gone(struct outbox *outbox, const struct sink_record *record, bool is_restored)
{
    struct tally *tally = tally_of(&outbox->tallies, record->rule);
    tally->dropped++;
    tally->restored += is_restored;
    outbox_forget_retrying(outbox, record);
}

void
outbox_count_dropped(void *context, const struct sink_record *record, bool is_restored)
{
    struct outbox *outbox = context;
    outbox->stats.dropped++;
    count_gone(outbox, record, is_restored);
}

void
outbox_count_given_up(void *context, const struct sink_record *record, bool is_restored)
{
    struct outbox *outbox = context;
    outbox->stats.given_up++;
    count_gone(outbox, record, is_restored);
}

/* Under the lock: keeps below the bound. A little more is given up, so that reads come in rows. */
static bool
drop_oldest(struct outbox *outbox, struct diag_list *diags)
{
    struct backlog *backlog = &outbox->backlog;
    uint64_t max_bytes = backlog->max_bytes;
    uint64_t slack = max_bytes / 16 < DROP_SLACK_BYTES ? max_bytes / 16 : DROP_SLACK_BYTES;
    if (!backlog->drops_oldest || max_bytes == 0 || backlog_bytes(backlog) <= max_bytes) {
        return false;
    }
    if (!backlog_drop_oldest(backlog, max_bytes - slack, outbox_count_dropped, outbox, diags)) {
        outbox_note_error(outbox, diag_first_error(diags));
    }
    pthread_cond_signal(&outbox->changed); /* what its thread has may be doomed */
    return true;
}

static void
log_dropped(struct outbox *outbox)
{
    if (log_gate_open(&outbox->drop_gate, outbox_now_us(outbox) / 1000, DROPS_LOG_EVERY_MS)) {
        log_warning("'%s': more waits than 'backlog.max' allows, the oldest records are dropped",
                    outbox->options.name);
    }
}

/* Under the lock. */
static void
count_pushed(struct outbox *outbox, const struct sink_record *record)
{
    struct tally *tally = tally_of(&outbox->tallies, record->rule);
    bool is_letter = record->dead_position != 0;
    outbox->stats.pushed += !is_letter;
    outbox->stats.resubmitted += is_letter;
    tally->resubmitted += is_letter;
    tally->pushed += !is_letter && !record->is_error_action;
    tally->error_pushed += !is_letter && record->is_error_action;
}

static void
push(struct outbox *outbox, const struct sink_record *record, struct bytes rejection)
{
    struct diag_list diags = {0};
    pthread_mutex_lock(&outbox->lock);
    if (!backlog_push(&outbox->backlog, record, rejection, &diags) && diags.errors > 0) {
        outbox_note_error(outbox, diag_first_error(&diags));
    }
    if (rejection.size > 0) {
        outbox_note_error(outbox, rejection);
    }
    count_pushed(outbox, record);
    bool has_dropped = drop_oldest(outbox, &diags);
    wake(outbox);
    pthread_mutex_unlock(&outbox->lock);
    if (has_dropped) {
        log_dropped(outbox);
    }
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
        outbox_note_error(outbox, diag_first_error(diags));
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

/* Takes the look-up's lock, and waits for a driver that is being opened. */
static void
begin_asking(struct outbox *outbox)
{
    struct timespec until;
    check(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_sec += OPEN_WAIT_S;
    int result = outbox->options.is_stepped ? ETIMEDOUT : 0;
    pthread_mutex_lock(&outbox->lookup_lock);
    while (!outbox->is_tried && result == 0) {
        result = pthread_cond_timedwait(&outbox->opened, &outbox->lookup_lock, &until);
    }
}

/* Under the look-up's lock: whether the driver is open and offers the operation. */
static bool
can_ask(const struct outbox *outbox, bool offers, const char *lack, struct diag_list *diags)
{
    if (outbox->lookup_instance == NULL) {
        diag_error(diags, DIAG_BUSY, "'%s' is not open", outbox->options.name);
        return false;
    }
    if (!offers) {
        diag_error(diags, DIAG_INVALID, "'%s' is a '%s', which %s", outbox->options.name,
                   outbox->lookup_driver->name, lack);
    }
    return offers;
}

bool
outbox_lookup(struct outbox *outbox, struct bytes key, struct arena *arena, struct bytes *item,
              struct diag_list *diags)
{
    begin_asking(outbox);
    const struct driver *driver = outbox->lookup_driver;
    bool found = can_ask(outbox, driver != NULL && driver->lookup != NULL, "has no keys", diags) &&
                 driver->lookup(outbox->lookup_instance, key, arena, item, diags);
    pthread_mutex_unlock(&outbox->lookup_lock);
    return found;
}

bool
outbox_call(struct outbox *outbox, struct bytes argument, struct arena *arena,
            struct bytes *answer, struct diag_list *diags)
{
    begin_asking(outbox);
    const struct driver *driver = outbox->lookup_driver;
    bool answered =
            can_ask(outbox, driver != NULL && driver->call != NULL, "is no function", diags) &&
            driver->call(outbox->lookup_instance, argument, arena, answer, diags);
    pthread_mutex_unlock(&outbox->lookup_lock);
    return answered;
}

/* Under the lock. */
static void
fill_stats(struct outbox *outbox, struct outbox_stats *out)
{
    int64_t wall_us = outbox->options.os->wall_us(outbox->options.os);
    const struct backlog *backlog = &outbox->backlog;
    *out = outbox->stats;
    out->lost = backlog->lost;
    out->is_full = backlog_is_full(backlog);
    out->queued_records = backlog->front.count + backlog->rear.count;
    out->queued_bytes = backlog->front.weight - backlog->doomed_weight + backlog->rear.weight;
    out->backlog_records = backlog->disk_records;
    out->backlog_bytes =
            backlog->is_spilled ? journal_tail(backlog->journal) - backlog->disk_head : 0;
    if (backlog->front.first != NULL) {
        int64_t age_us = wall_us - backlog->front.first->record.time_us;
        out->oldest_age_us = age_us < 0 ? 0 : age_us;
    }
}

void
outbox_stats(struct outbox *outbox, struct outbox_stats *out)
{
    pthread_mutex_lock(&outbox->lock);
    fill_stats(outbox, out);
    pthread_mutex_unlock(&outbox->lock);
}

void
outbox_audit(struct outbox *outbox, struct outbox_stats *out, struct tally *total,
             void (*each)(void *context, const struct tally *tally), void *context)
{
    size_t cursor = 0;
    struct bytes name;
    void *value;
    *total = (struct tally){0};
    pthread_mutex_lock(&outbox->lock);
    fill_stats(outbox, out);
    while (map_next(&outbox->tallies.by_rule, &cursor, &name, &value)) {
        const struct tally *tally = value;
        tally_add(total, tally);
        if (each != NULL) {
            each(context, tally);
        }
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
