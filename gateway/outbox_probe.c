/*
 * One record that holds up all others, and an outage: both look like "refused, again and again".
 *
 * A driver that keeps the order takes nothing behind a refused record, and some answer for a whole
 * batch at once. So a record that the other side never takes (it answers 500 to it, or hangs) would
 * block its sink for ever. What tells it from an outage is whether another one is taken:
 *
 *   refused NARROW_AFTER times     the first record goes alone, then 2, 4, ... as long as all are
 *                                  taken: so the bad one is soon alone at the front
 *   alone, and refused             right after it the next one is tried alone: the probe
 *     probe taken                  a refusal of the first: it is about the record
 *     probe refused                an outage, or a bad record too: the count of refusals begins
 *                                  anew, and another record is the next probe
 *   OUTBOX_REFUSALS_MAX refusals   it is parked; each of them with a probe that was taken at once
 *
 * In an outage no probe is taken, so nothing is parked however long it lasts. Where requests fail at
 * random, ten rounds in a row have p = (1/4)^10 at most. An upstream that says when it wants to be
 * asked again (Retry-After) speaks of itself: then nothing is narrowed and nothing probed.
 *
 * What it costs: up to ten records are delivered before an older one that is taken in the end.
 * Drivers that need the order (driver.h) are left alone.
 *
 * A driver that keeps no order has its refused records set aside (outbox_judge.c), and what it says of
 * several in one write tells enough. But it too may have failed as a whole because of one of them: so
 * what was set aside often goes alone, and then with a probe.
 */
#define _GNU_SOURCE
#include "outbox_state.h"

#include <time.h>

enum { NARROW_AFTER = 6 };

/* It was set aside, which needs no narrowing: it comes again alone. */
static bool
is_suspect(const struct outbox *outbox, const struct waiting *waiting)
{
    return outbox->is_unordered && waiting->aside_until_us != 0 && waiting->attempts >= NARROW_AFTER;
}

/* ---- how much a write takes ---- */

/* As many of the batch's first records as may go in one write. Probes may have made it longer. */
static size_t
count_within_limits(const struct outbox *outbox)
{
    const struct sink_limits *limits = &outbox->options.limits;
    size_t count = 0, bytes = 0;
    while (count < outbox->batch_count && count < limits->records_max) {
        bytes += outbox->batch[count]->record.payload.size;
        if (count > 0 && bytes > limits->bytes_max) {
            break;
        }
        count++;
    }
    return count;
}

size_t
outbox_write_count(const struct outbox *outbox)
{
    unsigned attempts_max = outbox->options.attempts_max;
    bool is_last = attempts_max > 0 && outbox->batch[0]->attempts + 1 >= attempts_max;
    bool is_alone = is_last || is_suspect(outbox, outbox->batch[0]);
    size_t count = is_alone ? 1 : count_within_limits(outbox);
    return outbox->portion > 0 && outbox->portion < count ? outbox->portion : count;
}

void
outbox_narrow(struct outbox *outbox, bool is_whole, int64_t retry_after_ms)
{
    if (is_whole) {
        size_t twice = 2 * outbox->portion;
        outbox->portion = twice < outbox->options.limits.records_max ? twice : 0;
    } else if (outbox->batch_count > 0 && outbox->batch[0]->attempts >= NARROW_AFTER &&
               retry_after_ms == 0 && !outbox->is_unordered &&
               !outbox->options.driver->needs_order) {
        outbox->portion = 1;
    }
}

/* ---- the probe ---- */

bool
outbox_wants_probe(const struct outbox *outbox, size_t tried, int64_t retry_after_ms)
{
    const struct waiting *first = outbox->batch[0];
    bool is_alone = tried == 1 && (outbox->portion == 1 || is_suspect(outbox, first));
    return is_alone && retry_after_ms == 0 && !first->is_settled && first->rejection == NULL &&
           !outbox->options.driver->needs_order;
}

/* Under the lock: the first record of `front` that is in no batch; NULL: there is none. */
static struct waiting *
find_free(const struct outbox *outbox)
{
    struct waiting *waiting = outbox->backlog.front.first;
    while (waiting != NULL && (waiting->is_taken || waiting->rejection != NULL)) {
        waiting = waiting->next;
    }
    return waiting;
}

size_t
outbox_choose_probe(struct outbox *outbox)
{
    size_t count = outbox->batch_count;
    size_t index = 1 + outbox->probe_turn % count;
    if (index < count) {
        return index;
    }
    struct waiting *next = NULL;
    if (count < outbox->options.limits.records_max + OUTBOX_PROBES_MAX) {
        pthread_mutex_lock(&outbox->lock);
        next = find_free(outbox);
        if (next != NULL) {
            next->is_taken = true;
            outbox->batch[outbox->batch_count++] = next;
        }
        pthread_mutex_unlock(&outbox->lock);
    }
    return next != NULL ? count : count > 1 ? 1 : 0;
}

void
outbox_note_probe(struct outbox *outbox, size_t index)
{
    const struct waiting *probe = outbox->batch[index];
    struct waiting *first = outbox->batch[0];
    if (probe->is_settled) {
        first->refusals++;
    } else {
        first->refusals = probe->rejection == NULL ? 0 : first->refusals;
        outbox->probe_turn++;
    }
}

void
outbox_note_held_up(struct outbox *outbox)
{
    const struct waiting *first = outbox->batch_count == 0 ? NULL : outbox->batch[0];
    bool is_held_up = first != NULL && first->refusals > 0 && !outbox->is_unordered;
    outbox->stats.held_up_since_us = is_held_up ? first->first_attempt_us : 0;
    outbox->stats.held_up_attempts = is_held_up ? first->attempts : 0;
    outbox->stats.held_up_refusals = is_held_up ? first->refusals : 0;
}

void
outbox_print_held_up(const struct outbox_stats *stats, struct buf *out)
{
    if (stats->held_up_since_us == 0) {
        return;
    }
    time_t seconds = (time_t)(stats->held_up_since_us / 1000000);
    struct tm utc;
    char since[32];
    gmtime_r(&seconds, &utc);
    strftime(since, sizeof since, "%Y-%m-%dT%H:%M:%SZ", &utc);
    buf_printf(out,
               "held up by one record since %s: refused %u times, of them %u while others were taken; "
               "after %d of these it becomes a dead letter",
               since, stats->held_up_attempts, stats->held_up_refusals, OUTBOX_REFUSALS_MAX);
}
