/*
 * The page that the core and its ingest process share: one memfd, mapped by both.
 *
 * The core reads everything and writes `is_core_waiting`; the ingest process writes the rest. The
 * page outlives the process, so counters go on over a restart and the tail is never unknown again.
 *
 * Sleeping. The core sets `is_core_waiting`, then looks at `readable` once more, then polls the
 * eventfd. The ingest process raises that, then takes the flag back and, if it was set, writes
 * to the eventfd. Both orders are sequentially consistent, so one of the two sees the
 * other; and as long as the core is busy a message costs no system call beyond its append.
 *
 * One instant. Whoever counts what becomes of a message says so before and afterwards, in
 * `moves_begun` and `moves_ended`; a reader that finds as many begun after it has read the
 * counters as had ended before it, has read them while nobody changed them.
 */
#ifndef HEADGATE_INGEST_PAGE_H
#define HEADGATE_INGEST_PAGE_H

#include <stdatomic.h>
#include <stdint.h>

/* INGEST_COUNTER(name, what it counts) */
#define INGEST_COUNTERS(INGEST_COUNTER)                                                        \
    INGEST_COUNTER(received, "messages from the broker, without the canary's")                 \
    INGEST_COUNTER(received_bytes, "payload bytes of them")                                    \
    INGEST_COUNTER(accepted, "messages appended to the journal")                               \
    INGEST_COUNTER(dropped_too_large, "payload above payload_max, or too many properties")     \
    INGEST_COUNTER(dropped_bad_topic, "topic that is not valid UTF-8, or has NUL or wildcards") \
    INGEST_COUNTER(surplus_copies, "second copies because of overlapping subscriptions")       \
    INGEST_COUNTER(duplicates_flagged, "messages that the broker had sent before")             \
    INGEST_COUNTER(redelivered, "of them, those that the journal had already; dropped")         \
    INGEST_COUNTER(append_failures, "appends that failed and were tried again")                \
    INGEST_COUNTER(dropped_no_room, "QoS 0: the journal took nothing and the memory was full")  \
    INGEST_COUNTER(dropped_oldest, "kept messages that journal_full = drop_oldest gave up")      \
    INGEST_COUNTER(interrupted, "not kept and not acknowledged, because the process ended")    \
    INGEST_COUNTER(syncs, "times the journal was forced to the medium")                        \
    INGEST_COUNTER(sync_failures, "times that failed; another file was tried then")            \
    INGEST_COUNTER(gave_up, "times the process ended because the journal took nothing")        \
    INGEST_COUNTER(connects, "connections to the broker")                                      \
    INGEST_COUNTER(sessions_lost, "connections that found no session of ours any more")        \
    INGEST_COUNTER(canaries_lost, "sessions renewed because the canary did not come back")

enum { INGEST_REASON_BYTES = 200 };

/* So much of the journal stays, read or not: the ingest process looks there after a restart. */
enum { INGEST_KEPT_BYTES = 4 * 1024 * 1024 };

enum ingest_state {
    INGEST_STARTING,   /* the journal is being opened */
    INGEST_CONNECTING, /* waiting for the broker */
    INGEST_SUBSCRIBING,
    INGEST_READY,
    INGEST_BLOCKED,    /* the journal takes nothing */
};

struct ingest_page {
    _Atomic uint64_t position_least; /* set by the core before the first start: journal_options */
    _Atomic uint64_t first; /* where the first process began to append: `accepted` lie behind it */
    _Atomic uint64_t tail; /* position behind the last record; 0 before the first start */
    _Atomic uint64_t readable; /* rules may read up to here: `tail`, with `sync always` `synced` */
    _Atomic uint64_t synced; /* position below which all is on the medium */
    _Atomic uint64_t held; /* messages in memory that the journal does not take yet */
    _Atomic uint64_t moves_begun, moves_ended;
    _Atomic uint32_t is_core_waiting;
    _Atomic uint32_t state;            /* enum ingest_state */
    _Atomic uint32_t protocol;         /* 5 or 4 (3.1.1); 0 before the first connection */
    _Atomic uint32_t filters_wanted;
    _Atomic uint32_t filters_active;
    _Atomic uint32_t filters_refused;
    _Atomic uint32_t knows_redelivered; /* redelivery_is_ready() */
    _Atomic uint32_t canaries_lost_in_row;
    _Atomic int64_t canary_us;         /* the last round trip; 0: none yet */
    _Atomic uint32_t reason_version;   /* odd while `reason` is being written */
    char reason[INGEST_REASON_BYTES];  /* why there is no connection; "" while there is one */
    _Atomic uint32_t refused_code;     /* reason code of the last refused subscription */
    _Atomic uint32_t refused_version;  /* odd while `refused_filter` is being written */
    char refused_filter[INGEST_REASON_BYTES]; /* one of those that are refused; cut if longer */
#define INGEST_COUNTER(name, doc) _Atomic uint64_t name;
    INGEST_COUNTERS(INGEST_COUNTER)
#undef INGEST_COUNTER
};

/* Around everything that counts messages. More than one thread may be in between. */
static inline void
ingest_page_begin_move(struct ingest_page *page)
{
    atomic_fetch_add_explicit(&page->moves_begun, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

static inline void
ingest_page_end_move(struct ingest_page *page)
{
    atomic_fetch_add_explicit(&page->moves_ended, 1, memory_order_release);
}

/* The descriptors that the process gets, behind its socket. */
enum { INGEST_PAGE_FD = 4, INGEST_WAKE_FD = 5 };

/* Frames from the core. Nothing goes the other way. */
enum ingest_frame {
    INGEST_FRAME_CONFIG = 1,  /* first; text as of config_print() */
    INGEST_FRAME_FILTERS = 2, /* counted bytes, one after the other */
};

#endif
