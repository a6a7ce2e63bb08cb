/*
 * What the files of the outbox share: outbox.c (what the core calls) and outbox_thread.c (the sink's
 * thread). Nobody else includes this.
 *
 * Locking: `lock` guards everything below it in the struct. It is held for list operations and,
 * in push and cut, for writes of the backlog into the page cache, and for the syncs with which the
 * log begins a new segment; never during a read, a driver call or a pause. Records of the batch
 * stay linked in the backlog's `front`, where the core may log them meanwhile.
 */
#ifndef HEADGATE_OUTBOX_STATE_H
#define HEADGATE_OUTBOX_STATE_H

#include "outbox.h"

#include "backlog.h"
#include "base/log.h"
#include "dead_letter.h"

#include <pthread.h>

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
    int64_t rest_until_us; /* monotonic; the pause of a stepped one */
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

int64_t outbox_now_us(const struct outbox *outbox);

/* Under the lock: the sentence that statistics show. */
void outbox_note_error(struct outbox *outbox, struct bytes sentence);

/* The thread's main: of a `struct outbox`. */
void *outbox_run(void *context);

/* What the thread does at its end. */
void outbox_close_driver(struct outbox *outbox);

#endif
