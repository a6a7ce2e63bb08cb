/*
 * The writer of a log from inside; shared by journal.c, recovery.c and mend.c, and by nobody else.
 * Invariants and threads are told in journal.c.
 */
#ifndef HEADGATE_STORE_JOURNAL_STATE_H
#define HEADGATE_STORE_JOURNAL_STATE_H

#include "segment.h"

#include <pthread.h>
#include <stdatomic.h>

/* Nothing more is appended to it, but it is not on the medium. */
struct full_segment {
    int fd;
    struct segment_header header;
    uint64_t tail;
};

struct journal {
    const struct os *os;
    char *dir;
    uint64_t segment_bytes;
    uint64_t record_max_bytes;
    enum journal_sync sync;
    uint32_t boot;
    char log_id[LOG_ID_BYTES];
    int lock_fd;

    int fd; /* of the newest segment, -1 before the first; changed under sync_lock */
    struct segment_header header;
    _Atomic uint64_t tail;
    uint64_t room;       /* position up to which the newest segment is allocated */
    uint64_t next_least; /* a new segment begins here or above */
    uint64_t position_least; /* as the options say */
    uint64_t bytes_max; /* see the options; UINT64_MAX: no limit */
    int64_t free_min_bytes;
    bool drops_oldest;
    _Atomic uint64_t dropped;
    bool is_old;         /* the newest segment is of another boot, or unreadable behind the tail */
    bool is_dirty;
    _Atomic bool is_failed;

    uint64_t records; /* in the log's whole life */
    int64_t last_time_us;
    struct buf bytes; /* of the record being appended */

    pthread_mutex_t append_lock; /* held while appending; before sync_lock */
    int64_t mend_again_us; /* after journal_mend() has failed: not before this time */
    int64_t mend_pause_us;

    pthread_mutex_t turn_lock; /* with DEFERRED: of who syncs; between the two others */
    pthread_mutex_t sync_lock;
    uint64_t synced; /* below it all is on the medium; under sync_lock */
    /* With DEFERRED, under sync_lock; only who has the turn removes and closes. Oldest first. */
    struct full_segment *full;
    size_t full_count, full_capacity;
    bool has_new_name; /* of a segment, not on the medium */
};

/* With DEFERRED, with the turn: the oldest full segment is on the medium, or has another file. */
void journal_drop_full(struct journal *journal);

/* A warning of class DIAG_CORRUPT in the log's name; `format` takes `bytes` and `position`. */
void journal_warn(const struct journal *journal, struct diag_list *diags, const char *format,
                  uint64_t bytes, uint64_t position);

/* What lies in a segment. */
struct survey {
    uint64_t tail;
    uint64_t records;
    int64_t last_time_us;
    uint64_t damaged_bytes; /* with valid records behind them */
    uint64_t torn_bytes;    /* from the tail to the end of the file, unless all are zero */
    bool is_unclear;        /* the search behind the tail gave up */
};

/* `damage` (may be NULL) is called for each stretch of damaged bytes before a valid record. */
bool segment_survey(const struct os *os, int fd, const struct segment_header *header,
                    uint64_t size, void (*damage)(void *context, uint64_t from, uint64_t to),
                    void *context, struct survey *out, int *os_error) MUST_CHECK;

/* Takes the state from the files. Idempotent; at most one segment is read. */
bool journal_recover(struct journal *journal, struct diag_list *diags) MUST_CHECK;

/* Whether the log may take another segment of `size` bytes; unlinks old ones if that is allowed. */
bool journal_make_space(struct journal *journal, uint64_t size, struct diag_list *diags)
        MUST_CHECK;

/*
 * After a failed sync: writes the newest segment to a new file. With append_lock, without
 * sync_lock. Nothing happens when the log is sound. On false it may be called again.
 */
bool journal_mend(struct journal *journal, struct diag_list *diags) MUST_CHECK;

#endif
