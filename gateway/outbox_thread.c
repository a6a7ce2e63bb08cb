/*
 * The sink's thread: takes what waits, hands it to the driver, and sees to what became of it.
 *
 *      open driver ──failed, may pass──> pause ──┐        OPENING
 *        │   ^─────────────────────────────────────┘
 *        │   └─failed for good: waits for close           FAILED
 *        v
 *   ┌> take a batch: fill memory from disk, wait for
 *   │    records, linger                                  READY
 *   │  v
 *   │  write ──> DONE    removed from the backlog
 *   │        ──> REJECT  to the dead letters and the failure log, then removed; the disk
 *   │                    refuses them: BLOCKED
 *   │        ──> RETRY   stays in the batch, pause         WAITING
 *   └──── batch empty
 *
 * A batch is decided once. Until all of it is settled nothing else is taken, so a repetition
 * carries the same records in the same order (less those settled), and a driver that makes an
 * idempotency key from a batch makes the same one again.
 *
 * What a verdict means for a record, and how long pauses are, is in outbox_judge.c; what is done
 * about a record that holds up the others in outbox_probe.c.
 */
#define _GNU_SOURCE
#include "outbox_state.h"

#include "base/mem.h"
#include "failure.h"

#include <stdlib.h>
#include <time.h>

enum {
    REJECTS_LOG_EVERY_MS = 10000,
    SLEEP_SLICE_MS = 250, /* os->mono_us may be a test's clock: look at it now and then */
};

/* ---- waiting ---- */

/* Under the lock. Whether the thread must not begin anything new. */
static bool
must_stop(const struct outbox *outbox)
{
    return outbox->is_stopping &&
           (backlog_is_empty(&outbox->backlog) || outbox_now_us(outbox) >= outbox->stop_us);
}

/* Under the lock. Whether the thread has something else to do than to wait. */
static bool
must_turn(const struct outbox *outbox)
{
    return must_stop(outbox) || outbox->has_next;
}

/*
 * Under the lock: sleeps until `deadline_us` (INT64_MAX: none) or a signal, whichever is first.
 * False: a stepped outbox does not sleep, the caller gives up waiting.
 */
static bool
sleep_until(struct outbox *outbox, int64_t deadline_us)
{
    if (outbox->options.is_stepped) {
        return false;
    }
    int64_t left_us = deadline_us - outbox_now_us(outbox);
    if (left_us <= 0) {
        return true;
    }
    if (deadline_us == INT64_MAX) {
        pthread_cond_wait(&outbox->changed, &outbox->lock);
        return true;
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
    return true;
}

/* Under the lock. Not when something of the batch was given up meanwhile. */
static bool
is_resting(const struct outbox *outbox)
{
    return !must_turn(outbox) && outbox->backlog.doomed_count == 0 &&
           outbox_now_us(outbox) < outbox->rest_until_us;
}

static void
set_state(struct outbox *outbox, enum outbox_state state)
{
    pthread_mutex_lock(&outbox->lock);
    outbox->stats.state = state;
    pthread_mutex_unlock(&outbox->lock);
}

/*
 * Under the lock, which is released meanwhile. While nothing is delivered the backlog grows: its full
 * segments are brought to the medium here, so that the next cut has little to wait for.
 */
static void
sync_full_segments(struct outbox *outbox)
{
    struct diag_list diags = {0};
    if (!journal_is_behind(outbox->backlog.journal)) {
        return;
    }
    pthread_mutex_unlock(&outbox->lock);
    bool is_synced = journal_sync(outbox->backlog.journal, &diags);
    pthread_mutex_lock(&outbox->lock);
    if (!is_synced) {
        outbox_note_error(outbox, diag_first_error(&diags)); /* the cut will tell, too */
    }
    diag_list_fini(&diags);
}

static void
pause_in_state(struct outbox *outbox, enum outbox_state state, int64_t retry_after_ms)
{
    int64_t until_us = outbox_now_us(outbox) +
                       outbox_draw_pause_us(outbox, outbox->failures, retry_after_ms);
    outbox->failures++;
    pthread_mutex_lock(&outbox->lock);
    outbox->stats.state = state;
    outbox->rest_until_us = until_us;
    while (is_resting(outbox) && sleep_until(outbox, until_us)) {
        sync_full_segments(outbox);
    }
    pthread_mutex_unlock(&outbox->lock);
}

/* ---- opening the driver ---- */

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
    outbox->rest_until_us = INT64_MAX;
    while (!outbox->is_stopping && !outbox->has_next && sleep_until(outbox, INT64_MAX)) {
    }
    if (outbox->is_stopping) {
        outbox->stop_us = INT64_MIN;
    }
    pthread_mutex_unlock(&outbox->lock);
}

/* From here on look-ups are answered by the open driver, or by none; perhaps soon by one. */
static void
set_lookup(struct outbox *outbox, void *instance, bool is_tried)
{
    pthread_mutex_lock(&outbox->lookup_lock);
    outbox->lookup_driver = outbox->options.driver;
    outbox->lookup_instance = instance;
    outbox->is_tried = is_tried;
    pthread_cond_broadcast(&outbox->opened);
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
        outbox_note_error(outbox, diag_first_error(&diags));
        pthread_mutex_unlock(&outbox->lock);
    }
    diag_list_fini(&diags);
    set_lookup(outbox, outbox->instance, true);
    if (is_open) {
        outbox->failures = 0;
        set_state(outbox, OUTBOX_READY);
    } else if (may_pass(class)) {
        pause_in_state(outbox, OUTBOX_OPENING, 0);
    } else {
        rest_failed(outbox);
    }
}

/* ---- taking a batch ---- */

/* Memory is low below it: then more is read from the disk. */
static size_t
fill_below_bytes(const struct outbox *outbox)
{
    return outbox->options.queue_max_bytes / 2 + 1;
}

/* Reads from the disk into memory when memory runs low. */
static bool
fill(struct outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    size_t half = fill_below_bytes(outbox);
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
        outbox_note_error(outbox, diag_first_error(&diags));
    }
    pthread_mutex_unlock(&outbox->lock);
    waiting_list_free(&read);
    diag_list_fini(&diags);
    return is_read;
}

/* What `front` has for a batch. */
struct offer {
    size_t count;         /* are in outbox->batch */
    bool is_whole;        /* it can take no more */
    int64_t linger_us;    /* monotonic: until then it may wait for more */
    int64_t again_us;     /* when the first of those set aside is due; INT64_MAX: there are none */
};

/* Under the lock. Those set aside come in their old place once they are due. */
static struct offer
look_for_batch(struct outbox *outbox)
{
    const struct sink_limits *limits = &outbox->options.limits;
    struct offer offer = {.again_us = INT64_MAX, .linger_us = INT64_MAX};
    outbox->aside_count = 0;
    int64_t now_us = outbox_now_us(outbox);
    size_t bytes = 0;
    for (struct waiting *waiting = outbox->backlog.front.first;
         waiting != NULL && !offer.is_whole; waiting = waiting->next) {
        if (waiting->aside_until_us > now_us) {
            outbox->aside_count++;
            offer.again_us = waiting->aside_until_us < offer.again_us ? waiting->aside_until_us
                                                                      : offer.again_us;
            continue;
        }
        bytes += waiting->record.payload.size;
        if (offer.count > 0 && bytes > limits->bytes_max) {
            offer.is_whole = true;
            break;
        }
        if (offer.count == 0) {
            offer.linger_us = waiting->pushed_us + limits->linger_ms * 1000;
        }
        outbox->batch[offer.count++] = waiting;
        offer.is_whole = offer.count == limits->records_max || bytes >= limits->bytes_max;
    }
    return offer;
}

/* Under the lock. Whether a batch goes out that could still grow. */
static bool
is_ripe(const struct outbox *outbox, const struct offer *offer)
{
    return offer->is_whole || outbox->backlog.is_spilled || outbox->is_stopping ||
           outbox->is_hurried || outbox_now_us(outbox) >= offer->linger_us;
}

/* Under the lock. Until when the next batch has to wait, because the backlog drains slowly. */
static int64_t
drains_until_us(const struct outbox *outbox)
{
    bool is_paced = outbox->options.drain_rate > 0 && outbox->backlog.is_spilled;
    return is_paced && outbox->drain_us > outbox_now_us(outbox) ? outbox->drain_us : 0;
}

/* Waits for records and lets them gather. The batch is empty when it is time to stop. */
static void
take_batch(struct outbox *outbox)
{
    struct offer offer = {0};
    pthread_mutex_lock(&outbox->lock);
    while (!must_turn(outbox)) {
        offer = look_for_batch(outbox);
        int64_t until_us = drains_until_us(outbox);
        if (until_us == 0 && offer.count == 0 && outbox->backlog.is_spilled &&
            outbox->backlog.front.bytes <= fill_below_bytes(outbox)) {
            break; /* they are on disk */
        }
        if (until_us == 0 && offer.count > 0 && is_ripe(outbox, &offer)) {
            break;
        }
        if (until_us == 0) {
            until_us = offer.linger_us < offer.again_us ? offer.linger_us : offer.again_us;
        }
        offer.count = 0;
        outbox->is_asleep = true;
        bool may_sleep = sleep_until(outbox, until_us);
        outbox->is_asleep = false;
        if (!may_sleep) {
            break;
        }
    }
    for (size_t i = 0; i < offer.count; i++) {
        outbox->batch[i]->is_taken = true;
    }
    outbox->batch_count = offer.count;
    outbox->is_hurried = false;
    pthread_mutex_unlock(&outbox->lock);
}

/* ---- delivering ---- */

/* One line for many: what is wrong with one record is so with its like. */
static void
log_rejected(struct outbox *outbox, const struct dead_letter *letter)
{
    struct log_gate *gate = &outbox->reject_gate;
    if (log_gate_open(gate, outbox_now_us(outbox) / 1000, REJECTS_LOG_EVERY_MS)) {
        log_warning("'%s' cannot take a record of %srule '%.*s': %.*s; it is a dead letter now; "
                    "%llu more since the last such line",
                    outbox->options.name,
                    letter->record.is_error_action ? "the error action of " : "",
                    BYTES_ARG(letter->record.rule), BYTES_ARG(letter->reason),
                    (unsigned long long)gate->hidden);
    }
}

static bool
write_letters(struct outbox *outbox, size_t count, struct diag_list *diags)
{
    struct failure_log *failures = outbox->options.failures;
    pthread_mutex_lock(&outbox->dead_lock);
    bool is_written = dead_letters_write(&outbox->dead, outbox->letters, count, diags);
    uint64_t dropped = outbox->dead.dropped;
    pthread_mutex_unlock(&outbox->dead_lock);
    pthread_mutex_lock(&outbox->lock);
    outbox->stats.dead_dropped = dropped;
    pthread_mutex_unlock(&outbox->lock);
    return is_written &&
           (failures == NULL || failure_log_append(failures, outbox->letters, count, diags));
}

/* Dead letters that were delivered after all are none any more. */
static void
settle_letters(struct outbox *outbox)
{
    uint64_t *positions = arena_new_array(&outbox->arena, uint64_t, outbox->batch_count);
    struct diag_list diags = {0};
    size_t count = 0;
    for (size_t i = 0; i < outbox->batch_count; i++) {
        const struct waiting *waiting = outbox->batch[i];
        if (waiting->is_settled && waiting->rejection == NULL &&
            waiting->record.dead_position != 0) {
            positions[count++] = waiting->record.dead_position;
        }
    }
    if (count > 0) {
        pthread_mutex_lock(&outbox->dead_lock);
        if (!dead_letters_settle(&outbox->dead, positions, count, &diags)) {
            log_diags(&diags); /* they stay listed */
        }
        pthread_mutex_unlock(&outbox->dead_lock);
    }
    arena_reset(&outbox->arena);
    diag_list_fini(&diags);
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
    bool is_written = count == 0 || write_letters(outbox, count, &diags);
    if (is_written && count > 0) {
        log_rejected(outbox, &outbox->letters[count - 1]);
    } else if (!is_written) {
        pthread_mutex_lock(&outbox->lock);
        outbox_note_error(outbox, diag_first_error(&diags));
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
    tally->restored += backlog_is_restored(&outbox->backlog, waiting->log_position);
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

/*
 * Removes what is settled from the batch and from the backlog; returns how many records were. What
 * was given up meanwhile goes with it.
 */
static size_t
drop_settled(struct outbox *outbox)
{
    size_t kept = 0, settled = 0;
    pthread_mutex_lock(&outbox->lock);
    for (size_t i = 0; i < outbox->batch_count; i++) {
        struct waiting *waiting = outbox->batch[i];
        if (!waiting->is_settled && !waiting->is_doomed) {
            outbox->batch[kept++] = waiting;
            continue;
        }
        bool is_restored = backlog_is_restored(&outbox->backlog, waiting->log_position);
        bool is_by_hand = waiting->is_doomed && outbox->doomed_by_hand > 0;
        outbox->doomed_by_hand -= is_by_hand;
        if (waiting->is_settled) {
            count_settled(outbox, waiting);
            outbox_forget_retrying(outbox, &waiting->record);
            settled++;
        } else if (is_by_hand) {
            outbox_count_given_up(outbox, &waiting->record, is_restored);
        } else {
            outbox_count_dropped(outbox, &waiting->record, is_restored);
        }
        backlog_remove(&outbox->backlog, waiting);
    }
    outbox->batch_count = kept;
    outbox_note_held_up(outbox);
    pthread_mutex_unlock(&outbox->lock);
    return settled;
}

/* Hands `count` of the batch to the driver; true when that took longer than it may. */
static bool
write_batch(struct outbox *outbox, size_t from, size_t count)
{
    int64_t wall_us = outbox->options.os->wall_us(outbox->options.os);
    for (size_t i = 0; i < count; i++) {
        struct waiting *waiting = outbox->batch[from + i];
        waiting->first_attempt_us = waiting->attempts == 0 ? wall_us : waiting->first_attempt_us;
        waiting->attempts++;
        outbox->records[i] = waiting->record;
        outbox->outcomes[i] = (struct outcome){.verdict = VERDICT_NONE};
    }
    struct batch batch = {
            .records = outbox->records,
            .outcomes = outbox->outcomes,
            .count = count,
            .deadline_us = outbox_now_us(outbox) + outbox->options.limits.timeout_ms * 1000,
            .arena = &outbox->arena,
    };
    outbox->options.driver->write(outbox->instance, &batch);
    return outbox_now_us(outbox) > batch.deadline_us;
}

static size_t
count_rejected(const struct outbox *outbox)
{
    size_t count = 0;
    for (size_t i = 0; i < outbox->batch_count; i++) {
        count += outbox->batch[i]->rejection != NULL;
    }
    return count;
}

/* When the next batch of a backlog may go, after one of `count`. */
static void
pace_drain(struct outbox *outbox, size_t count)
{
    int64_t rate = outbox->options.drain_rate;
    if (rate > 0) {
        outbox->drain_us = outbox_now_us(outbox) + (int64_t)count * 1000000 / rate;
    }
}

/* One write and its verdicts; returns the pause that was asked for. */
static int64_t
attempt(struct outbox *outbox, size_t from, size_t count)
{
    bool is_late = write_batch(outbox, from, count);
    int64_t retry_after_ms = outbox_judge(outbox, from, count, is_late);
    arena_reset(&outbox->arena);
    pace_drain(outbox, count);
    return retry_after_ms;
}

/* Tries another record alone when that can tell something of the first. True when it did. */
static bool
probe(struct outbox *outbox, size_t tried, int64_t *retry_after_ms)
{
    if (!outbox_wants_probe(outbox, tried, *retry_after_ms) || !fill(outbox)) {
        return false;
    }
    size_t index = outbox_choose_probe(outbox);
    if (index == 0) {
        return false;
    }
    *retry_after_ms = attempt(outbox, index, 1);
    outbox_note_probe(outbox, index);
    return true;
}

/* One attempt at the batch, and the pause after it when something is left. */
static void
deliver(struct outbox *outbox)
{
    int64_t retry_after_ms = 0;
    bool has_probed = false;
    size_t tried = count_rejected(outbox);
    if (tried == 0) {
        tried = outbox_write_count(outbox);
        retry_after_ms = attempt(outbox, 0, tried);
        has_probed = probe(outbox, tried, &retry_after_ms);
    }
    bool is_buried = bury_rejected(outbox);
    settle_letters(outbox);
    size_t settled = drop_settled(outbox);
    bool is_whole = settled >= tried && !has_probed;
    outbox_narrow(outbox, is_whole, retry_after_ms);
    if (settled > 0) {
        outbox->failures = has_probed ? outbox->stats.held_up_refusals : 0;
    }
    outbox_set_aside(outbox);
    if (!is_buried) {
        pause_in_state(outbox, OUTBOX_BLOCKED, 0);
    } else if (outbox->batch_count == 0 || is_whole) {
        set_state(outbox, OUTBOX_READY);
    } else {
        pause_in_state(outbox, OUTBOX_WAITING, retry_after_ms);
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

void
outbox_close_driver(struct outbox *outbox)
{
    if (outbox->instance != NULL) {
        pthread_mutex_lock(&outbox->lock);
        bool is_stopping = outbox->is_stopping;
        pthread_mutex_unlock(&outbox->lock);
        set_lookup(outbox, NULL, is_stopping);
        outbox->options.driver->close(outbox->instance);
        outbox->instance = NULL;
    }
}

/* A batch that is under way keeps its records, also when the new limits are lower. */
static void
make_room(struct outbox *outbox, size_t records_max)
{
    size_t count = records_max > outbox->batch_count ? records_max : outbox->batch_count;
    count += OUTBOX_PROBES_MAX;
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
    outbox_close_driver(outbox);
    pthread_mutex_lock(&outbox->lock);
    outbox->has_next = false;
    outbox->options.driver = outbox->next.driver;
    outbox->options.env = outbox->next.env;
    outbox->options.driver_options = outbox->next.driver_options;
    outbox->options.declaration = outbox->next.declaration;
    outbox->options.limits = outbox->next.limits;
    outbox->options.retry_max_ms = outbox->next.retry_max_ms;
    outbox->options.attempts_max = outbox->next.attempts_max;
    outbox->options.drain_rate = outbox->next.drain_rate;
    outbox->stats.state = OUTBOX_OPENING;
    outbox->stats.last_error[0] = '\0';
    make_room(outbox, outbox->options.limits.records_max);
    pthread_mutex_unlock(&outbox->lock);
    outbox->failures = 0;
    outbox->rest_until_us = 0;
    outbox->is_unordered = false;
    outbox->portion = 0;
}

static void
turn(struct outbox *outbox)
{
    take_next_options(outbox);
    drop_settled(outbox); /* what was given up meanwhile */
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

void
outbox_turn(struct outbox *outbox)
{
    check(outbox->options.is_stepped);
    pthread_mutex_lock(&outbox->lock);
    bool may_turn = !must_stop(outbox) && !is_resting(outbox);
    pthread_mutex_unlock(&outbox->lock);
    if (may_turn) {
        turn(outbox);
    }
}

void *
outbox_run(void *context)
{
    struct outbox *outbox = context;
    while (!is_over(outbox)) {
        turn(outbox);
    }
    outbox_close_driver(outbox);
    return NULL;
}
