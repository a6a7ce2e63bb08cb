/*
 * The records that wait for one sink, in the order of pushes: first those in memory, then, when
 * there are too many, those on disk. The outbox's inside; nobody else includes this.
 *
 * Threads: the core pushes and cuts, the sink's thread reads, fills and removes. Everything is
 * called under the outbox's lock, except backlog_read(). Records in `front` stay where they are in
 * memory until they are removed, so the sink's thread may look at them without the lock.
 */
#ifndef HEADGATE_BACKLOG_H
#define HEADGATE_BACKLOG_H

#include "outbox.h"
#include "store/journal.h"

/* A record in memory, with its bytes behind it. */
struct waiting {
    struct waiting *next;
    struct waiting *previous;
    struct sink_record record;
    size_t size;           /* in memory */
    size_t weight;         /* in the log; a little more is assumed until it is there */
    uint64_t log_position; /* in the backlog log; 0: not there */
    uint64_t log_index;    /* the how-manieth record of the log; with log_position only */
    int64_t pushed_us;     /* monotonic; for lingering */
    char *rejection; /* the reason; its dead letter is not written yet. Set under the lock */
    bool is_taken;   /* the sink's thread has it in a batch: only that thread may remove it */
    bool is_doomed;  /* given up while it was taken */
    /* the sink's thread's alone: */
    unsigned attempts;
    unsigned refusals;      /* among them: others were taken in the same breath */
    int64_t aside_until_us; /* monotonic: others go first until then; 0: it is not set aside */
    int64_t first_attempt_us;
    bool is_settled; /* delivered, or its dead letter is written */
    char bytes[];
};

/* A chain of records in memory. */
struct waiting_list {
    struct waiting *first;
    struct waiting *last;
    size_t count;
    size_t bytes;    /* in memory: for the memory limit */
    uint64_t weight; /* in the log: for backlog_bytes() */
};

struct backlog {
    const struct os *os;
    char *dir;
    size_t memory_max_bytes;
    int64_t segment_bytes;
    uint64_t max_bytes;  /* in memory and on disk; 0: any */
    bool drops_oldest;   /* above `max_bytes` the oldest are given up; else backlog_is_full() */
    struct journal *journal;       /* the core's */
    struct journal_reader *reader; /* the sink's thread's */
    struct journal_reader *dropper; /* the core's: reads what is given up, to count it */

    struct waiting_list front;    /* the oldest */
    struct waiting *unlogged;     /* the first of `front` that is not in the log; NULL: all are */
    bool is_spilled;              /* records on disk follow those of `front` */
    uint64_t disk_head;           /* where they begin */
    uint64_t disk_records;        /* how many; those that are damaged included */
    struct waiting_list rear;     /* follow those on disk, because the disk took no more */
    uint64_t restored_tail;       /* the log's when it was opened; 0: nothing was in it */
    uint64_t next_index;          /* of the log's next record */
    uint64_t lost;                /* records of the log that could not be read back */
    uint64_t doomed_weight;       /* of records in `front` that are given up */
    size_t doomed_count;          /* how many they are */
    int64_t spill_again_us;       /* after a failed append: not before this time */
};

struct backlog_limits {
    size_t memory_max_bytes;
    int64_t segment_bytes; /* of the log; 0: 1 MiB */
};

bool backlog_open(struct backlog *backlog, const struct os *os, const char *dir,
                  const struct backlog_limits *limits, const struct outbox_mark *mark,
                  struct diag_list *diags) MUST_CHECK;
void backlog_close(struct backlog *backlog);

/*
 * Copies the record; `rejection` is empty, or why it need not be tried. False: it waits, but only
 * above the memory limit (the disk failed: diags).
 */
bool backlog_push(struct backlog *backlog, const struct sink_record *record,
                  struct bytes rejection, struct diag_list *diags) MUST_CHECK;

/* Every record is in the log; not yet synced. */
bool backlog_log_all(struct backlog *backlog, struct outbox_mark *out, struct diag_list *diags)
        MUST_CHECK;

/* Whether what lies at this position of the log (0: nowhere) was there when it was opened. */
bool backlog_is_restored(const struct backlog *backlog, uint64_t log_position);

bool backlog_is_empty(const struct backlog *backlog);
bool backlog_is_full(const struct backlog *backlog);

/*
 * Bytes that wait, in memory and on disk; what is given up is left out. A record weighs what it
 * takes in the log, wherever it is: reading it back changes nothing.
 */
uint64_t backlog_bytes(const struct backlog *backlog);

/* Is told of a record that was given up; it is freed afterwards. See backlog_is_restored(). */
typedef void (*backlog_drop_fn)(void *context, const struct sink_record *record,
                                bool is_restored);

/*
 * Gives up the oldest records until at most `bytes` wait. Those that the sink's thread has are
 * doomed: no later cut holds them, and it removes and counts them itself. Reads what is dropped
 * from the disk. False: it cannot be read (diags).
 */
bool backlog_drop_oldest(struct backlog *backlog, uint64_t bytes, backlog_drop_fn dropped,
                         void *context, struct diag_list *diags) MUST_CHECK;

/*
 * Reads records of the log from `head` up to `limit` into `out`, about `max_bytes` of them.
 * WITHOUT the lock, by the sink's thread. `end` is set to where the next read begins.
 */
bool backlog_read(struct backlog *backlog, uint64_t head, uint64_t limit, size_t max_bytes,
                  struct waiting_list *out, uint64_t *end, struct diag_list *diags) MUST_CHECK;

/* Is told of a record of the log, and where it lies; borrowed until it returns. */
typedef void (*backlog_record_fn)(void *context, const struct sink_record *record,
                                  uint64_t log_position);

/*
 * Calls `each` for the records of the log in [from, to); what is damaged or trimmed is passed over.
 * WITHOUT the lock, by any thread. False when the log cannot be read.
 */
bool backlog_each_logged(const struct os *os, const char *dir, uint64_t from, uint64_t to,
                         backlog_record_fn each, void *context, struct diag_list *diags)
        MUST_CHECK;

/* Moves what was read behind `front`, but for what was given up meanwhile. */
void backlog_adopt(struct backlog *backlog, struct waiting_list *read, uint64_t end);

/* Takes a record out of `front` and frees it. */
void backlog_remove(struct backlog *backlog, struct waiting *waiting);

void waiting_list_free(struct waiting_list *list);

#endif
