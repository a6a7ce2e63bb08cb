/*
 * Three policies:
 *
 *   never      Paho's thread appends; its return acknowledges
 *   interval   the same, and the keeper's thread syncs every sync_interval
 *   always     Paho's thread appends and counts; its return sends a PUBACK to the gate, which
 *              waits there until the keeper's thread has synced past that message
 *
 * With `always` one sync serves everything that was appended while the one before was running
 * (group commit): the slower the medium, the larger the group. Rules, too, read only what a sync
 * has covered: else a store could have what a power cut takes from the journal, and the broker
 * sends it again. QoS 0 is not sent again, and is read at once where nothing waits before it.
 *
 * When the journal takes nothing (disk full, I/O error, journal_max), nothing may be acknowledged
 * that is not kept. Without the gate the callback waits, in which Paho reads nothing and the
 * broker holds what it has; that must end before the broker takes us for dead. With the gate
 * the message waits here in memory and its PUBACK in the gate, while Paho and keep-alive go on;
 * the broker stops at its limit of messages in flight. Order stays: what comes later waits behind.
 * Memory is limited. Above the limit QoS 0 is dropped and counted, and for QoS 1 the process
 * ends without acknowledging.
 *
 *   taken = records given to keeper_keep() = kept (in the journal, or dropped) + held in memory
 *
 * `lock` guards the journal's appending side and everything else here that is not atomic. A sync
 * runs without it.
 */
#define _GNU_SOURCE
#include "keeper.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "rules/topic.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { JOURNAL_FULL_DROP_OLDEST = 1 }; /* the second word of the option */

enum {
    RETRY_MS = 100,
    APPEND_PAUSE_MAX_MS = 250,
    REPEAT_LOG_MS = 60000,
    HELD_BYTES_MAX = 16 * 1024 * 1024,
};

/* A record that the journal has not taken yet, with its bytes behind it. */
struct held {
    struct held *next;
    struct record record;
    size_t size;
    char bytes[];
};

struct keeper {
    const struct config *config;
    struct ingest_page *page;
    struct journal *journal;
    char *dir;
    struct mqtt_gate *gate;

    pthread_mutex_t lock;
    pthread_cond_t work;
    bool is_hurried;
    struct held *first;
    struct held **last;
    uint64_t held_count;
    size_t held_bytes;
    uint64_t dropped; /* as of journal_dropped() */
    struct log_gate failure_gate;
    struct log_gate drop_gate;

    _Atomic uint64_t taken;
    _Atomic bool is_append_blocked;
    _Atomic bool is_sync_blocked;
};

static int64_t
now_us(void)
{
    return os_posix.mono_us(&os_posix);
}

static void
count(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* Rules may read up to `end`. With the lock, once there are appends. */
static void
show(struct ingest_page *page, uint64_t end)
{
    if (end <= atomic_load(&page->readable)) {
        return;
    }
    atomic_store(&page->readable, end);
    if (atomic_load(&page->is_core_waiting) != 0 &&
        atomic_exchange(&page->is_core_waiting, 0) != 0) {
        uint64_t one = 1;
        ssize_t written = write(INGEST_WAKE_FD, &one, sizeof one);
        (void)written; /* a full counter wakes too */
    }
}

static bool
is_gated(const struct keeper *keeper)
{
    return keeper->config->sync == JOURNAL_SYNC_ALWAYS;
}

/* ---- opening ---- */

/*
 * Of the process before, if there was one: it may have ended between a message's arrival and the
 * journal, or before it had counted the one that the journal has behind the page's tail. What it
 * held in memory is gone with it. A larger difference is no end of a process.
 */
static void
settle_counters(struct ingest_page *page, uint64_t journal_end)
{
    uint64_t held = atomic_exchange(&page->held, 0);
    uint64_t settled = page->accepted + page->dropped_too_large + page->dropped_bad_topic +
                       page->dropped_no_room + page->surplus_copies + page->redelivered +
                       page->interrupted;
    uint64_t open = page->received - settled;
    if (open > 0 && journal_end > atomic_load(&page->tail)) {
        count(&page->accepted);
        open--;
    }
    if (open <= held + 1) {
        atomic_fetch_add(&page->interrupted, open);
    }
    atomic_store(&page->moves_ended, atomic_load(&page->moves_begun));
}

/* The journal is open: what is in it can be read. */
static void
publish_journal(struct keeper *keeper)
{
    struct ingest_page *page = keeper->page;
    uint64_t end = journal_tail(keeper->journal);
    settle_counters(page, end);
    if (atomic_load(&page->tail) == 0) {
        atomic_store(&page->first, end);
    }
    atomic_store(&page->tail, end);
    if (!is_gated(keeper)) {
        show(page, end);
    }
}

bool
keeper_open(struct keeper **out, const struct config *config, struct ingest_page *page,
            struct diag_list *diags)
{
    struct buf dir = {0};
    buf_printf(&dir, "%s/journal/mqtt", config->data_dir);
    struct keeper *keeper = mem_new(struct keeper);
    keeper->config = config;
    keeper->page = page;
    keeper->last = &keeper->first;
    struct journal_options options = {
            .os = &os_posix,
            .dir = buf_string(&dir),
            .segment_bytes = config->segment_size,
            .record_max_bytes = config->payload_max + TOPIC_BYTES_MAX + KEEPER_PROPS_BYTES_MAX,
            .position_least = atomic_load(&page->position_least),
            .bytes_max = config->journal_max,
            .free_min_bytes = config->disk_reserve,
            .drops_oldest = config->journal_full == JOURNAL_FULL_DROP_OLDEST,
            .sync = config->sync == JOURNAL_SYNC_NEVER ? JOURNAL_SYNC_NEVER
                                                       : JOURNAL_SYNC_INTERVAL,
    };
    bool is_open = journal_open(&keeper->journal, &options, diags);
    keeper->dir = buf_take_string(&dir);
    if (!is_open) {
        free(keeper->dir);
        free(keeper);
        return false;
    }
    pthread_condattr_t attributes;
    check(pthread_mutex_init(&keeper->lock, NULL) == 0);
    check(pthread_condattr_init(&attributes) == 0);
    check(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    check(pthread_cond_init(&keeper->work, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
    publish_journal(keeper);
    *out = keeper;
    return true;
}

bool
keeper_read_last(const struct keeper *keeper, uint64_t bytes,
                 void (*record)(void *context, const struct record *record), void *context,
                 struct diag_list *diags)
{
    uint64_t tail = journal_tail(keeper->journal), from;
    struct journal_reader *reader;
    if (!journal_segment_start(&os_posix, keeper->dir, tail > bytes ? tail - bytes : 0, &from,
                               diags) ||
        !journal_reader_open(&reader, &os_posix, keeper->dir, from, diags)) {
        return false;
    }
    struct record next;
    enum journal_read result;
    do {
        result = journal_reader_next(reader, tail, &next, diags);
        if (result == JOURNAL_RECORD || result == JOURNAL_GAP) {
            record(context, result == JOURNAL_RECORD ? &next : NULL);
        }
    } while (result == JOURNAL_RECORD || result == JOURNAL_GAP);
    journal_reader_close(reader);
    return result == JOURNAL_END;
}

/* ---- appending ---- */

/* With the lock: what was appended is to be synced now. */
static void
hurry(struct keeper *keeper)
{
    keeper->is_hurried = true;
    pthread_cond_signal(&keeper->work);
}

static bool
append(struct keeper *keeper, const struct record *record, struct diag_list *diags)
{
    struct record copy = *record;
    if (!journal_append(keeper->journal, &copy, diags)) {
        count(&keeper->page->append_failures);
        return false;
    }
    if (diags->count > 0) {
        log_diags(diags); /* warnings: what the journal had to do for it */
        diag_list_clear(diags);
    }
    uint64_t dropped = journal_dropped(keeper->journal);
    if (dropped != keeper->dropped) {
        atomic_fetch_add(&keeper->page->dropped_oldest, dropped - keeper->dropped);
        keeper->dropped = dropped;
    }
    count(&keeper->page->accepted);
    atomic_store(&keeper->page->tail, copy.next);
    bool comes_again = (record->flags & RECORD_QOS) > 0;
    bool is_first = atomic_load(&keeper->page->readable) == copy.position;
    if (!is_gated(keeper) || (!comes_again && is_first)) {
        show(keeper->page, copy.next);
    } else if (!comes_again) {
        hurry(keeper);
    }
    return true;
}

static void
note_failure(struct keeper *keeper, const struct diag_list *diags)
{
    atomic_store(&keeper->is_append_blocked, true);
    atomic_store(&keeper->page->state, INGEST_BLOCKED);
    if (log_gate_open(&keeper->failure_gate, now_us() / 1000, REPEAT_LOG_MS)) {
        log_error("the journal takes nothing: %.*s; the broker holds what it has",
                  BYTES_ARG(diag_first_error(diags)));
    }
}

static void
note_recovery(struct keeper *keeper)
{
    atomic_store(&keeper->is_append_blocked, false);
    keeper->failure_gate = (struct log_gate){0};
    log_notice("the journal takes messages again");
}

static _Noreturn void
give_up(struct keeper *keeper, const char *why)
{
    count(&keeper->page->gave_up);
    log_error("the journal takes nothing, and %s; ending without acknowledging, so that the "
              "broker keeps the messages", why);
    _exit(MQTT_EXIT_RETRY);
}

/* Half the keep-alive at most: longer, and the broker takes us for dead. */
static void
append_patiently(struct keeper *keeper, const struct record *record)
{
    struct diag_list diags = {0};
    int64_t until_us = now_us() + keeper->config->broker_keepalive * 1000 / 2;
    int64_t pause_ms = 1;
    bool was_blocked = false;
    while (!append(keeper, record, &diags)) {
        was_blocked = true;
        note_failure(keeper, &diags);
        diag_list_clear(&diags);
        if (now_us() + pause_ms * 1000 > until_us) {
            give_up(keeper, "half the keep-alive has passed");
        }
        usleep((useconds_t)(pause_ms * 1000));
        pause_ms = pause_ms * 2 > APPEND_PAUSE_MAX_MS ? APPEND_PAUSE_MAX_MS : pause_ms * 2;
    }
    if (was_blocked) {
        note_recovery(keeper);
    }
    diag_list_fini(&diags);
}

/* ---- what the journal does not take ---- */

static struct bytes
store_bytes(char **at, struct bytes bytes)
{
    if (bytes.size > 0) {
        memcpy(*at, bytes.data, bytes.size);
    }
    struct bytes stored = bytes_of(*at, bytes.size);
    *at += bytes.size;
    return stored;
}

static void
hold(struct keeper *keeper, const struct record *record)
{
    size_t size = sizeof(struct held) + record->topic.size + record->props.size +
                  record->payload.size;
    if (keeper->held_bytes + size > HELD_BYTES_MAX) {
        if ((record->flags & RECORD_QOS) > 0) {
            give_up(keeper, "too much waits in memory");
        }
        count(&keeper->page->dropped_no_room);
        if (log_gate_open(&keeper->drop_gate, now_us() / 1000, REPEAT_LOG_MS)) {
            log_error("dropped a message of QoS 0 to '%.*s': the journal takes nothing, and too "
                      "much waits in memory", BYTES_ARG(bytes_slice(record->topic, 0, 100)));
        }
        return;
    }
    struct held *held = mem_alloc(size);
    *held = (struct held){.record = *record, .size = size};
    char *at = held->bytes;
    held->record.topic = store_bytes(&at, record->topic);
    held->record.props = store_bytes(&at, record->props);
    held->record.payload = store_bytes(&at, record->payload);
    *keeper->last = held;
    keeper->last = &held->next;
    keeper->held_count++;
    keeper->held_bytes += size;
}

/* Appends what waits in memory, as far as the journal takes it. */
static void
append_held(struct keeper *keeper)
{
    struct diag_list diags = {0};
    bool had_some = keeper->first != NULL;
    ingest_page_begin_move(keeper->page);
    while (keeper->first != NULL) {
        struct held *held = keeper->first;
        if (!append(keeper, &held->record, &diags)) {
            note_failure(keeper, &diags);
            break;
        }
        keeper->first = held->next;
        keeper->last = keeper->first == NULL ? &keeper->first : keeper->last;
        keeper->held_count--;
        keeper->held_bytes -= held->size;
        free(held);
    }
    atomic_store(&keeper->page->held, keeper->held_count);
    ingest_page_end_move(keeper->page);
    if (had_some && keeper->first == NULL) {
        note_recovery(keeper);
    }
    diag_list_fini(&diags);
}

static void
take(struct keeper *keeper, const struct record *record)
{
    struct diag_list diags = {0};
    pthread_mutex_lock(&keeper->lock);
    bool is_kept = keeper->first == NULL && append(keeper, record, &diags);
    if (!is_kept) {
        if (keeper->first == NULL) {
            note_failure(keeper, &diags);
        }
        hold(keeper, record);
        atomic_store(&keeper->page->held, keeper->held_count);
        pthread_cond_signal(&keeper->work);
    }
    atomic_fetch_add(&keeper->taken, 1);
    pthread_mutex_unlock(&keeper->lock);
    diag_list_fini(&diags);
}

void
keeper_keep(struct keeper *keeper, const struct record *record)
{
    if (is_gated(keeper)) {
        take(keeper, record);
    } else {
        append_patiently(keeper, record);
    }
}

/* ---- syncing ---- */

static bool
sync_once(struct keeper *keeper)
{
    struct diag_list diags = {0};
    uint64_t tail = journal_tail(keeper->journal);
    bool is_synced = journal_sync(keeper->journal, &diags);
    count(&keeper->page->syncs);
    if (!is_synced) {
        count(&keeper->page->sync_failures);
        atomic_store(&keeper->page->state, INGEST_BLOCKED);
        pthread_mutex_lock(&keeper->lock);
        if (log_gate_open(&keeper->failure_gate, now_us() / 1000, REPEAT_LOG_MS)) {
            log_error("%.*s; trying again with another file",
                      BYTES_ARG(diag_first_error(&diags)));
        }
        pthread_mutex_unlock(&keeper->lock);
    } else if (atomic_load(&keeper->is_sync_blocked)) {
        log_notice("the journal can be synced again");
    }
    if (is_synced) {
        atomic_store(&keeper->page->synced, tail);
        if (is_gated(keeper)) {
            pthread_mutex_lock(&keeper->lock);
            show(keeper->page, tail);
            pthread_mutex_unlock(&keeper->lock);
        }
        log_diags(&diags);
    }
    atomic_store(&keeper->is_sync_blocked, !is_synced);
    diag_list_fini(&diags);
    return is_synced;
}

static void *
sync_regularly(void *context)
{
    struct keeper *keeper = context;
    uint64_t synced = 0;
    for (;;) {
        usleep((useconds_t)(keeper->config->sync_interval * 1000));
        uint64_t tail = journal_tail(keeper->journal);
        if (tail != synced && sync_once(keeper)) {
            synced = tail;
        }
    }
    return NULL;
}

/* Until acknowledgements wait, or it is time to try again what failed. With the lock. */
static void
await_work(struct keeper *keeper)
{
    bool is_blocked = keeper->first != NULL || atomic_load(&keeper->is_sync_blocked);
    int64_t until_us =
            now_us() + (is_blocked ? RETRY_MS : keeper->config->sync_interval) * 1000;
    struct timespec until = {until_us / 1000000, until_us % 1000000 * 1000};
    int result = 0;
    while (result == 0 && (is_blocked || (!keeper->is_hurried && keeper->first == NULL))) {
        result = pthread_cond_timedwait(&keeper->work, &keeper->lock, &until);
    }
    keeper->is_hurried = false;
}

/* What is of QoS 0 alone has no acknowledgement to wait for, and is synced every sync_interval. */
static void *
sync_for_acks(void *context)
{
    struct keeper *keeper = context;
    uint64_t synced = 0; /* what an earlier process wrote is perhaps in the cache only */
    for (;;) {
        pthread_mutex_lock(&keeper->lock);
        await_work(keeper);
        append_held(keeper);
        uint64_t kept = atomic_load(&keeper->taken) - keeper->held_count;
        uint64_t tail = journal_tail(keeper->journal);
        pthread_mutex_unlock(&keeper->lock);
        if (tail == synced || sync_once(keeper)) {
            synced = tail;
            mqtt_gate_release(keeper->gate, kept);
        }
    }
    return NULL;
}

void
keeper_start(struct keeper *keeper, struct mqtt_gate *gate)
{
    pthread_t thread;
    keeper->gate = gate;
    keeper->is_hurried = true; /* what an earlier process has left is read when it is synced */
    if (gate != NULL) {
        check(pthread_create(&thread, NULL, sync_for_acks, keeper) == 0);
    } else if (keeper->config->sync != JOURNAL_SYNC_NEVER) {
        check(pthread_create(&thread, NULL, sync_regularly, keeper) == 0);
    }
}

bool
keeper_is_blocked(const struct keeper *keeper)
{
    return atomic_load(&keeper->is_append_blocked) || atomic_load(&keeper->is_sync_blocked);
}

uint64_t
keeper_taken(void *context)
{
    struct keeper *keeper = context;
    return atomic_load(&keeper->taken);
}

void
keeper_hurry(void *context)
{
    struct keeper *keeper = context;
    pthread_mutex_lock(&keeper->lock);
    hurry(keeper);
    pthread_mutex_unlock(&keeper->lock);
}

bool
keeper_finish(struct keeper *keeper, struct diag_list *diags)
{
    return keeper->config->sync == JOURNAL_SYNC_NEVER || journal_sync(keeper->journal, diags);
}
