/*
 * One sink's way out: takes records from the core without making it wait, delivers them in order
 * on a thread of its own, and keeps what is not delivered over restarts.
 *
 *   core                                         the sink's thread
 *   outbox_push()  ──> memory ──────────────────> batch ──> driver write ──> DONE: gone
 *                        │ too many                 ^                        RETRY: again, later
 *                        v                          │                        REJECT: dead letters
 *                      backlog log ─────────────────┘
 *   outbox_cut()   all that waits is in the backlog log and on the medium: {head, tail}
 *   (checkpoint_save)
 *   outbox_committed()  frees what no checkpoint needs any more
 *
 * What is acknowledged between two cuts never touches the disk. After a restart the backlog log is
 * cut at the checkpoint's `tail` (later records are produced again by replay) and delivery begins
 * at `head`: at least once, in the order of pushes, each record with the id it had.
 *
 * Order: one queue a sink, first in, first out. A batch whose records are not all DONE is sent again
 * without those that are, before any newer record; so ids grow over first attempts. A driver that
 * takes records behind one that has to wait keeps no order itself, and then neither does the outbox:
 * what such a driver refuses again and again steps aside, newer records pass, and after
 * OUTBOX_REFUSALS_MAX refusals *in a write that took others* it is parked as a dead letter. With a
 * driver that keeps the order, a record that is refused for long goes alone, and then single ones
 * behind it are tried to see whether it is about the record: outbox_probe.c. An outage, in which
 * nothing is taken, parks nothing, unless `attempts_max` says so.
 *
 * Bounds: above `backlog_max_bytes` either the oldest records are given up and counted, or the
 * outbox is full.
 *
 * Threads: push, hurry, cut and committed belong to the core's thread; open, reconfigure, stop and
 * close to one that manages sinks; all else may be called from any.
 */
#ifndef HEADGATE_OUTBOX_H
#define HEADGATE_OUTBOX_H

#include "driver.h"
#include "tally.h"

enum {
    OUTBOX_RECORD_BYTES_MAX = 48 * 1024 * 1024,
    OUTBOX_REFUSALS_MAX = 10,
};

struct outbox;
struct failure_log;

/* A range of the backlog log; belongs into a checkpoint. All zero: nothing waits. */
struct outbox_mark {
    uint64_t head;    /* position of the oldest record that is not acknowledged */
    uint64_t tail;    /* position behind the newest */
    uint64_t records; /* between them; acknowledged ones among them are sent again */
};

/*
 * Everything that is pointed to is borrowed until outbox_close(), or until outbox_is_settled()
 * after an outbox_reconfigure() to something else.
 */
struct outbox_options {
    const struct os *os;
    const char *name; /* of the sink; in dead letters and messages */
    const char *dir;  /* of the sink; `backlog` and `dead` are made in it */
    const struct driver *driver;
    const struct driver_env *env;
    const void *driver_options;
    const struct driver_declaration *declaration;
    struct sink_limits limits;
    size_t queue_max_bytes; /* more than this waits on disk */
    int64_t segment_bytes;  /* of the backlog log; 0: 1 MiB */
    uint64_t backlog_max_bytes; /* that may wait in memory and on disk; 0: any */
    bool drops_oldest;      /* above it; else outbox_is_full() */
    unsigned attempts_max;  /* a record that is refused so often is parked; 0: any */
    int64_t drain_rate;     /* records a second while some wait on disk; 0: any */
    uint64_t dead_max_bytes; /* of dead letters; beyond it the oldest are dropped. 0: any */
    int64_t retry_min_ms;   /* upper end of the first pause; 0: 200 */
    int64_t retry_max_ms;   /* upper end of the longest pause */
    struct outbox_mark mark; /* from the checkpoint; all zero for a new sink */
    struct failure_log *failures; /* is told of rejected records that have an `original`; or NULL */
    /* For a simulation: no thread is started, outbox_turn() does its work. */
    bool is_stepped;
};

/*
 * Recovers the backlog and starts the thread, which opens the driver: a driver that cannot be
 * opened is not an error here but a state. Fails when the backlog cannot be used (DIAG_IO,
 * DIAG_BUSY). Records of the backlog that are gone are a warning and counted as lost.
 */
bool outbox_open(struct outbox **out, const struct outbox_options *options,
                 struct diag_list *diags) MUST_CHECK;

/*
 * Goes on with another driver or other options: the thread closes the driver once the write that
 * runs has returned, opens the new one, and what waits goes out through it. Of `options` only
 * driver, env, driver_options, declaration, limits, bounds and the pauses count; the bounds do so at
 * once. Does not wait.
 */
void outbox_reconfigure(struct outbox *outbox, const struct outbox_options *options);

/*
 * Of a stepped outbox: one thing that the sink's thread would do now, like one write; nothing while
 * it would pause or wait. Everything of a stepped outbox is called by one thread.
 */
void outbox_turn(struct outbox *outbox);

/* Nothing of an earlier configuration is in use any more. */
bool outbox_is_settled(struct outbox *outbox);

/* Begins what outbox_stop() waits for, so that many can be stopped at a time. */
void outbox_ask_stop(struct outbox *outbox, int64_t grace_ms);

/*
 * Tries to deliver what waits for at most `grace_ms`, stops the thread (a write that runs is
 * waited for), closes the driver. A cut may follow, nothing else. May be called again.
 */
void outbox_stop(struct outbox *outbox, int64_t grace_ms);

/*
 * Stops and frees. What is not acknowledged is what the last cut says plus what replay produces
 * again. Accepts NULL.
 */
void outbox_close(struct outbox *outbox, int64_t grace_ms);

/*
 * Copies the record and its bytes, at most OUTBOX_RECORD_BYTES_MAX of them. Never fails, and waits
 * at most for a write into the page cache, or for a read of what it drops. While the backlog cannot be
 * written either, records are kept in memory above the limit: outbox_is_full() then asks the core to
 * push no more.
 */
void outbox_push(struct outbox *outbox, const struct sink_record *record);

/*
 * The same for a record that is not to be tried, because of `reason`: it goes to the dead letters
 * in its turn, as one that the driver rejected.
 */
void outbox_push_rejected(struct outbox *outbox, const struct sink_record *record,
                          struct bytes reason);

/*
 * A cut is near: what lingers for a fuller batch goes out now, so that the cut finds it delivered
 * and need not write it to the backlog.
 */
void outbox_hurry(struct outbox *outbox);

/*
 * More waits than may, in memory or in all; goes back to false when the sink or the disk has taken
 * some.
 */
bool outbox_is_full(struct outbox *outbox);

/*
 * Everything pushed before and not acknowledged is in the backlog log and on the medium. On false
 * there is no mark and the checkpoint must not be written; a later cut may succeed, unless a sync
 * has failed: then only a restart helps.
 */
bool outbox_cut(struct outbox *outbox, struct outbox_mark *out, struct diag_list *diags)
        MUST_CHECK;

/*
 * A checkpoint with this mark is on the medium. Frees the backlog before the mark of the
 * checkpoint before it (two are kept). False when files could not be removed; nothing else is
 * affected.
 */
bool outbox_committed(struct outbox *outbox, const struct outbox_mark *mark,
                      struct diag_list *diags) MUST_CHECK;

/*
 * Tries the dead letters at positions [from, to) again, each with its old id, behind what waits now.
 * They stay dead letters until they are delivered. `*count` becomes how many go out; those that are
 * on their way already do not count. Any thread. DIAG_BUSY: the outbox is full, and the rest was left.
 */
bool outbox_retry_dead(struct outbox *outbox, uint64_t from, uint64_t to, uint64_t *count,
                       struct diag_list *diags) MUST_CHECK;

/* Drops the dead letters at positions [from, to). Any thread. */
bool outbox_drop_dead(struct outbox *outbox, uint64_t from, uint64_t to, uint64_t *count,
                      struct diag_list *diags) MUST_CHECK;

/*
 * Gives up what waits now; `*count` becomes how many records that are. What is being written may still
 * be delivered. Any thread. False: what is on disk could not be read in order to be counted.
 */
bool outbox_drop_waiting(struct outbox *outbox, uint64_t *count, struct diag_list *diags)
        MUST_CHECK;

/* Nothing waits, in memory or on disk. */
bool outbox_is_drained(struct outbox *outbox);

/*
 * What the sink's function answers to one argument, see call of driver.h. One thread, which waits as
 * long as the driver says. Fails as outbox_lookup() does.
 */
bool outbox_call(struct outbox *outbox, struct bytes argument, struct arena *arena,
                 struct bytes *answer, struct diag_list *diags) MUST_CHECK;

/*
 * One item of the sink's table by its key, see lookup of driver.h. Any thread, until outbox_close();
 * waits for another look-up, and 5 s at most for a driver that is just being opened, so that rules
 * do not fail for the moment of a start or an edit. Fails with DIAG_BUSY while the driver is not
 * open, and with DIAG_INVALID when it has no keys.
 */
bool outbox_lookup(struct outbox *outbox, struct bytes key, struct arena *arena,
                   struct bytes *item, struct diag_list *diags) MUST_CHECK;

enum outbox_state {
    OUTBOX_OPENING, /* the driver is not open yet; again after a pause when it failed */
    OUTBOX_READY,
    OUTBOX_WAITING, /* pausing before another attempt */
    OUTBOX_BLOCKED, /* dead letters or the backlog cannot be used: nothing moves */
    OUTBOX_FAILED,  /* the driver cannot be opened with these options; records wait */
};

/* How these add up: ledger.h. */
struct outbox_stats {
    enum outbox_state state;
    uint64_t pushed;
    uint64_t restored;  /* from the backlog at open */
    uint64_t delivered; /* DONE */
    uint64_t rejected;  /* in the dead letters */
    uint64_t parked;    /* among them: the driver never rejected them, but refused too often */
    uint64_t dropped;   /* the oldest, to stay below backlog_max_bytes */
    uint64_t given_up;  /* by outbox_drop_waiting() */
    uint64_t resubmitted;  /* dead letters that were tried again */
    uint64_t dead_dropped; /* dead letters, to stay below dead_max_bytes */
    uint64_t lost;      /* of the backlog log: damaged on disk */
    uint64_t retried;   /* RETRY verdicts, a record may have many */
    uint64_t undecided; /* among them: the driver gave no verdict */
    uint64_t overruns;  /* writes that returned after their deadline */
    uint64_t batches;   /* writes */
    uint64_t queued_records; /* in memory, those being written included */
    uint64_t queued_bytes;   /* as they count for backlog_max_bytes; without what is given up */
    uint64_t backlog_records; /* on disk and not in memory */
    uint64_t backlog_bytes;
    bool is_full;       /* holds up the engine: outbox_is_full() */
    int64_t oldest_age_us; /* of the oldest record in memory, since its input arrived; 0: none */
    int64_t held_up_since_us;  /* wall clock: one record is refused while others are taken; 0: none */
    unsigned held_up_attempts; /* of it */
    unsigned held_up_refusals; /* among them */
    char last_error[200];  /* the latest reason of a RETRY, REJECT or failure; "" for none */
};

void outbox_stats(struct outbox *outbox, struct outbox_stats *out);

/*
 * The same, and as of the same instant what became of each rule's records: `total` of all, and each
 * one's (or NULL). `each` must be quick and call nothing of the outbox. Any thread.
 */
void outbox_audit(struct outbox *outbox, struct outbox_stats *out, struct tally *total,
                  void (*each)(void *context, const struct tally *tally), void *context);

/* What became of a rule's records here; all zero for one that has sent nothing. Any thread. */
void outbox_tally(struct outbox *outbox, struct bytes rule, struct tally *out);

/* "held up by one record since 2026-11-25T07:31:02Z: ..."; nothing when it is not. */
void outbox_print_held_up(const struct outbox_stats *stats, struct buf *out);

/* "opening", "ready", ... */
const char *outbox_state_name(enum outbox_state state);

#endif
