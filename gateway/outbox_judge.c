/*
 * What a verdict means for a record: gone, again, later than others, or never.
 *
 *   DONE                                            gone
 *   REJECT                                          a dead letter
 *   RETRY  attempts_max reached                     a dead letter: parked
 *          a driver that keeps no order takes
 *          others of the same write                 a refusal; several: set aside; too many: parked
 *          else                                     again, before any newer record; what only it is
 *                                                   refused is told by outbox_probe.c
 *
 * The last attempt that attempts_max leaves to a record is made with it alone. One bad record in a
 * request with a hundred others then costs itself and nothing else.
 *
 * Pauses are full jitter: uniform between 0 and retry_min * 2^step, at most retry_max; the step is
 * the number of writes in a row that settled nothing, for a record aside that of its refusals. What
 * the other side asks for (retry_after) comes on top of the first step's jitter, at most an hour.
 */
#define _GNU_SOURCE
#include "outbox_state.h"

enum {
    RETRY_AFTER_MAX_MS = 60 * 60 * 1000,
    STEPS_MAX = 30,
    ATTEMPTS_IN_ORDER = 4, /* before a refused record lets others pass */
};

int64_t
outbox_draw_pause_us(struct outbox *outbox, unsigned step, int64_t retry_after_ms)
{
    const struct os *os = outbox->options.os;
    int64_t cap_us = outbox->options.retry_min_ms * 1000;
    int64_t max_us = outbox->options.retry_max_ms * 1000;
    unsigned steps = retry_after_ms != 0 ? 0 : step < STEPS_MAX ? step : STEPS_MAX;
    for (; steps > 0 && cap_us < max_us; steps--) {
        cap_us *= 2;
    }
    cap_us = cap_us < max_us ? cap_us : max_us;
    uint64_t random;
    os->random(os, &random, sizeof random);
    int64_t after_ms = retry_after_ms < RETRY_AFTER_MAX_MS ? retry_after_ms : RETRY_AFTER_MAX_MS;
    return after_ms * 1000 + (int64_t)(random % ((uint64_t)cap_us + 1));
}

/* Whether one was taken. Learns whether the driver takes a record behind a refused one. */
static bool
look_for_taken(struct outbox *outbox, size_t count)
{
    bool is_refused = false, is_taken = false;
    for (size_t i = 0; i < count; i++) {
        enum verdict verdict = outbox->outcomes[i].verdict;
        outbox->is_unordered |= is_refused && verdict == VERDICT_DONE;
        is_refused |= verdict == VERDICT_RETRY;
        is_taken |= verdict == VERDICT_DONE;
    }
    return is_taken;
}

/* Under the lock. It has been tried often enough. */
static void
park(struct outbox *outbox, struct waiting *waiting, struct bytes reason)
{
    struct buf sentence = {0};
    buf_printf(&sentence, "given up after %u attempts%s: %.*s", waiting->attempts,
               waiting->refusals >= OUTBOX_REFUSALS_MAX ? ", while others were taken" : "",
               BYTES_ARG(reason));
    waiting->rejection = buf_take_string(&sentence);
    outbox->stats.parked++;
}

/* Under the lock. */
static void
judge_retry(struct outbox *outbox, struct waiting *waiting, const struct outcome *outcome,
            bool is_other_taken)
{
    struct outbox_stats *stats = &outbox->stats;
    unsigned attempts_max = outbox->options.attempts_max;
    bool is_decided = outcome->verdict == VERDICT_RETRY;
    struct bytes reason = is_decided ? outcome->reason : BYTES("the driver gave no verdict");
    stats->retried++;
    stats->undecided += !is_decided;
    outbox_note_error(outbox, reason);
    waiting->refusals += is_decided && outbox->is_unordered && is_other_taken;
    if (waiting->refusals >= OUTBOX_REFUSALS_MAX ||
        (attempts_max > 0 && waiting->attempts >= attempts_max)) {
        park(outbox, waiting, reason);
    }
}

int64_t
outbox_judge(struct outbox *outbox, size_t from, size_t count, bool is_late)
{
    int64_t retry_after_ms = 0;
    bool is_one_taken = look_for_taken(outbox, count);
    pthread_mutex_lock(&outbox->lock);
    outbox->stats.batches++;
    outbox->stats.overruns += is_late;
    for (size_t i = 0; i < count; i++) {
        struct waiting *waiting = outbox->batch[from + i];
        const struct outcome *outcome = &outbox->outcomes[i];
        switch (outcome->verdict) {
        case VERDICT_DONE:
            waiting->is_settled = true;
            break;
        case VERDICT_REJECT:
            waiting->rejection = bytes_to_string(outcome->reason);
            outbox_note_error(outbox, outcome->reason);
            break;
        case VERDICT_NONE:
        case VERDICT_RETRY:
            judge_retry(outbox, waiting, outcome, is_one_taken);
            if (outcome->retry_after_ms > retry_after_ms) {
                retry_after_ms = outcome->retry_after_ms;
            }
            break;
        }
    }
    pthread_mutex_unlock(&outbox->lock);
    return retry_after_ms;
}

void
outbox_set_aside(struct outbox *outbox)
{
    size_t kept = 0;
    int64_t now_us = outbox_now_us(outbox);
    for (size_t i = 0; i < outbox->batch_count; i++) {
        struct waiting *waiting = outbox->batch[i];
        bool is_aside = waiting->rejection == NULL && outbox->is_unordered &&
                        waiting->attempts >= ATTEMPTS_IN_ORDER &&
                        outbox->aside_count < outbox->options.limits.records_max;
        if (!is_aside) {
            outbox->batch[kept++] = waiting;
            continue;
        }
        outbox->aside_count++;
        waiting->aside_until_us =
                now_us + outbox_draw_pause_us(outbox, waiting->refusals, 0) + 1;
        pthread_mutex_lock(&outbox->lock);
        waiting->is_taken = false;
        pthread_mutex_unlock(&outbox->lock);
    }
    outbox->batch_count = kept;
}
