/* What the tests of the outbox share: a driver that follows a script, and a bench around it. */
#ifndef HEADGATE_TESTS_OUTBOX_RIG_H
#define HEADGATE_TESTS_OUTBOX_RIG_H

#include "unit.h"

#include "fault/crash_disk.h"
#include "fault/fault_os.h"
#include "outbox.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { RECORDS_MAX = 4096 };

/* The driver's script and its log; under the lock while an outbox is open. */
struct script {
    pthread_mutex_t lock;
    /* What to do; read at each call. */
    enum verdict (*judge)(struct script *script, const struct sink_record *record,
                          unsigned attempt);
    int open_failures; /* opens that fail first; -1: all */
    enum diag_class open_class;
    bool is_stuck; /* write gives RETRY to all */
    bool is_whole; /* one verdict for all of a write: RETRY, when `judge` gives it to one */
    int64_t retry_after_ms;
    int64_t write_ms; /* how long a write takes */
    /* What happened. */
    unsigned opens;
    unsigned closes;
    unsigned writes;
    size_t largest_batch;
    int64_t write_times_us[64];
    unsigned attempts[RECORDS_MAX];
    unsigned done[RECORDS_MAX];
    uint64_t done_order[RECORDS_MAX];
    size_t done_count;
    uint64_t order[RECORDS_MAX]; /* of first attempts in this life of the instance */
    size_t order_count;
    uint64_t seen_bytes_wrong;
    unsigned letters; /* records that were dead letters before */
    /* Without the lock. */
    _Atomic bool is_open;
    _Atomic unsigned lookups_wrong; /* while it was not open */
};

/* original_encode() of action "A", resource "R", flags 1, props "P", payload "the message" */
#define ORIGINAL "\x01\x01" "A\x01R\x01Pthe message"

struct bench {
    struct crash_disk *disk;
    struct fault_os fault;
    struct script script;
    struct outbox_options options;
    struct outbox *outbox;
    bool rejects_seconds; /* pushes odd numbers as rejected ones */
};

void bench_open(struct bench *bench);

/* An outbox over a disk in memory, with limits that make tests quick; not open yet. */
struct bench *bench_new(uint64_t seed);

/* Closes, checks that no record came with wrong bytes, frees. */
void bench_free(struct bench *bench);

/* Record number `n`; its fields follow from the number and are checked by the driver. */
void push(struct bench *bench, uint64_t n);

/* The numbers [from, to). */
void push_range(struct bench *bench, uint64_t from, uint64_t to);

/* Checks that the ledger holds. */
struct outbox_stats stats_of(const struct bench *bench);

/* From now on every record gets RETRY, or no longer. */
void set_stuck(struct bench *bench, bool is_stuck);
void accept_all(struct bench *bench);
unsigned writes_of(struct bench *bench);
struct outbox_mark must_cut(struct bench *bench);
void must_commit(struct bench *bench, const struct outbox_mark *mark);

/* First attempts came in the order of pushes, without a hole. */
void assert_order(const struct bench *bench, uint64_t from, uint64_t to);

/* Closes without grace and opens again with a mark; the driver forgets what it got. */
void restart(struct bench *bench, const struct outbox_mark *mark);

/* Fails the test when the condition has not come true after ten seconds. */
#define WAIT_UNTIL(condition)                                                \
    do {                                                                     \
        int64_t until_us = os_posix.mono_us(&os_posix) + 10000000;           \
        while (!(condition)) {                                               \
            if (os_posix.mono_us(&os_posix) > until_us) {                    \
                fail_msg("in vain: %s", #condition);                         \
            }                                                                \
            usleep(200);                                                     \
        }                                                                    \
    } while (0)

#endif
