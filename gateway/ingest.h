/*
 * The core's end of the ingest process, which keeps the broker connection and appends every
 * message to the journal `data_dir`/journal/mqtt before the broker is told that we have it.
 *
 * Threads: one thread (the main one) starts, ticks, sets filters and stops; it must live as long
 * as the process should (base/child.h). Another (the engine) may read both ends and wait:
 *
 *   read the journal up to ingest_readable()
 *   nothing was there: ingest_prepare_wait(), poll() on ingest_wake_fd(), ingest_woken()
 *
 * None blocks longer than the time to hand a list of filters over (at most 1 s, when the process
 * is stuck; it is then killed and started again).
 */
#ifndef HEADGATE_INGEST_H
#define HEADGATE_INGEST_H

#include "config.h"
#include "ingest_page.h"
#include "ledger.h"

struct ingest;

/*
 * Makes what both processes share; nothing runs yet. `config` and `executable` (this binary; its
 * verb is "ingest") are read during the call only. False when the page cannot be made.
 */
bool ingest_new(struct ingest **out, const struct config *config, const char *executable,
                struct diag_list *diags) MUST_CHECK;

/*
 * Starts the process. The journal gives out no position below `position_least`, the position up
 * to which it has been read.
 */
bool ingest_start(struct ingest *ingest, uint64_t position_least, struct diag_list *diags)
        MUST_CHECK;

/* Lets the process say goodbye to the broker and sync; kills it after 2 s. The tail stays. */
void ingest_stop(struct ingest *ingest);

/* Stops if needed, frees. Both accept NULL. */
void ingest_free(struct ingest *ingest);

/* The directory that the journal lies in; owned by `ingest`. */
const char *ingest_journal_dir(const struct ingest *ingest);

/*
 * The topic filters to be subscribed, in any order; copied. May be called at any time; new ones
 * are subscribed before old ones are given up. Filters that are not valid are logged.
 */
void ingest_set_filters(struct ingest *ingest, const struct bytes *filters, size_t count);

/* What was there before the first message of this life ends here; behind it lie `accepted`. */
uint64_t ingest_first(const struct ingest *ingest);

/* The position behind the last record. 0 until the journal is open for the first time. */
uint64_t ingest_tail(const struct ingest *ingest);

/*
 * Up to where rules may read. With `sync always` that is what is on the medium, so that a power cut
 * takes nothing from the journal that a store has: it was not acknowledged, and comes again.
 * Otherwise ingest_tail(). 0 until the journal is open, and synced, for the first time.
 */
uint64_t ingest_readable(const struct ingest *ingest);

/* Readable after ingest_readable() has moved while somebody waits; the same for ever. */
int ingest_wake_fd(const struct ingest *ingest);

/*
 * Before going to sleep: false when there are records behind `position` already. Where records
 * have come since the last wait it first naps for a moment, because under load a wake-up
 * for each message would cost the ingest process more than the message itself.
 */
bool ingest_prepare_wait(struct ingest *ingest, uint64_t position);

/* Empties the descriptor after a wake-up. */
void ingest_woken(struct ingest *ingest);

/* Notices that the process ended and starts it again, with back-off. Call every 200 ms or so. */
void ingest_tick(struct ingest *ingest);

struct ingest_stats {
    enum ingest_state state;
    bool is_running;
    unsigned protocol; /* 5 or 4 (3.1.1); 0 before the first connection */
    unsigned filters_wanted, filters_active, filters_refused;
    uint64_t synced;   /* position below which all is on the medium; behind with sync never */
    bool knows_redelivered; /* messages that come again are told from others (redelivery.h) */
    uint64_t held;     /* messages in memory that the journal does not take yet */
    int64_t canary_us; /* last round trip through the broker; 0: none yet */
    uint64_t tail;     /* ingest_tail(), as of the counters */
    bool is_one_instant; /* counters, tail and `held` are of one; else somebody was changing them */
    uint64_t restarts; /* of the process, after it ended by itself */
    char reason[INGEST_REASON_BYTES]; /* why there is no connection; "" while there is one */
    unsigned refused_code; /* reason code of the last refused subscription */
    char refused_filter[INGEST_REASON_BYTES]; /* one of those that are refused; cut if longer */
#define INGEST_COUNTER(name, doc) uint64_t name;
    INGEST_COUNTERS(INGEST_COUNTER)
#undef INGEST_COUNTER
};
void ingest_stats(const struct ingest *ingest, struct ingest_stats *out);

/* What was received, and what became of it: account "ingest" of ledger.h. */
void ingest_account(const struct ingest_stats *stats, struct ledger_account *out);

/* The verb "ingest": main of the process. Never returns while it is wanted. */
int ingest_process_main(void);

#endif
