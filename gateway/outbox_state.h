/*
 * What the files of the outbox share: outbox.c (what the core calls), outbox_thread.c (the sink's
 * thread), outbox_judge.c (what a verdict means for a record), outbox_probe.c (which record holds up
 * the others), outbox_dead.c (dead letters by hand).
 * Nobody else includes this.
 *
 * Locking: `lock` guards everything below it in the struct. It is held for list operations and,
 * in push and cut, for writes of the backlog into the page cache, and for reading what is dropped;
 * never during any other read, a driver call or a pause, nor during a sync, but where 64 segments
 * of the backlog are full: then a push waits for it. Records of the batch stay linked in the
 * backlog's `front`, where the core may log them meanwhile.
 */
#ifndef HEADGATE_OUTBOX_STATE_H
#define HEADGATE_OUTBOX_STATE_H

#include "outbox.h"

#include "backlog.h"
#include "base/log.h"
#include "dead_letter.h"

#include <pthread.h>

enum { OUTBOX_PROBES_MAX = 16 }; /* by which a batch may grow: so many bad ones in a row */

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
    struct arena arena;
    unsigned failures; /* in a row; how long the next pause may be */
    int64_t rest_until_us; /* monotonic; the pause of a stepped one */
    bool is_unordered; /* the driver has taken a record behind one that it refused */
    size_t portion;    /* most records of a write, to find the one that is refused; 0: any */
    size_t probe_turn; /* which record is the next probe */
    size_t aside_count; /* in `front`, when the last batch was taken; and since */
    int64_t drain_us;  /* monotonic: no batch before it while records wait on disk */
    struct log_gate reject_gate;
    struct log_gate drop_gate; /* the core's */

    pthread_mutex_t dead_lock; /* before `lock` */
    struct dead_letters dead;
    bool knows_retrying; /* `retrying` holds the letters of an earlier life, too */

    pthread_mutex_t lookup_lock; /* of the four below: held for a look-up, never for a write */
    pthread_cond_t opened;       /* `is_tried` has changed */
    bool is_tried;               /* to open the driver, since it was closed */
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
    size_t doomed_by_hand; /* of the records that are given up while the thread has them */
    struct map retrying; /* dead letters on their way: position -> struct retrying */
};

int64_t outbox_now_us(const struct outbox *outbox);

/* Under the lock: the sentence that statistics show. */
void outbox_note_error(struct outbox *outbox, struct bytes sentence);

/* Under the lock: a record was dropped because of the bound, or given up. Of a `struct outbox`. */
void outbox_count_dropped(void *context, const struct sink_record *record, bool is_restored);
void outbox_count_given_up(void *context, const struct sink_record *record, bool is_restored);

/* ---- outbox_dead.c ---- */

/* Under the lock: the record is settled, or given up. */
void outbox_forget_retrying(struct outbox *outbox, const struct sink_record *record);
void outbox_free_retrying(struct outbox *outbox);

/* ---- outbox_judge.c: the sink's thread, after a write ---- */

/* A pause of full jitter: the `step`-th in a row, behind what the other side asked for. */
int64_t outbox_draw_pause_us(struct outbox *outbox, unsigned step, int64_t retry_after_ms);

/*
 * Takes over the verdicts of `count` records of the batch, from that one on; returns the longest
 * pause that was asked for.
 */
int64_t outbox_judge(struct outbox *outbox, size_t from, size_t count, bool is_late);

/* Takes what has to let others pass out of the batch. */
void outbox_set_aside(struct outbox *outbox);

/* ---- outbox_probe.c: the sink's thread, around a write ---- */

/* How many of the batch the next write takes: all, or fewer to find the one that is refused. */
size_t outbox_write_count(const struct outbox *outbox);

/* After a write: whether all that it had is settled, and what pause was asked for. */
void outbox_narrow(struct outbox *outbox, bool is_whole, int64_t retry_after_ms);

/* After a write of `tried`: the first record was refused alone, and another may tell why. */
bool outbox_wants_probe(const struct outbox *outbox, size_t tried, int64_t retry_after_ms);

/* Which of the batch is the probe, which may grow by it; 0: there is no other record. */
size_t outbox_choose_probe(struct outbox *outbox);

/* The probe was written and judged. */
void outbox_note_probe(struct outbox *outbox, size_t index);

/* Under the lock: what statistics say of the batch's first record. */
void outbox_note_held_up(struct outbox *outbox);

/* The thread's main: of a `struct outbox`. */
void *outbox_run(void *context);

/* What the thread does at its end. */
void outbox_close_driver(struct outbox *outbox);

#endif
