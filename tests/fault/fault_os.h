/*
 * A decorator of `struct os`: counts every call by kind and makes a chosen one fail, so that a
 * test can fail the n-th call of each kind for all n. It passes one call at a time to the inner
 * one, so that a crash_disk below it may be used by several threads; the monotonic clock is real.
 *
 *   struct fault_os fault;
 *   fault_os_init(&fault, &os_posix);
 *   fault_os_arm(&fault, FAULT_PWRITE, 3, ENOSPC);    the third pwrite from now on fails, once
 *   run(&fault.os);
 *   if (!fault.fired) ... the workload has fewer calls: the sweep is done
 */
#ifndef HEADGATE_TESTS_FAULT_OS_H
#define HEADGATE_TESTS_FAULT_OS_H

#include "base/os.h"

#include <pthread.h>

enum fault_call {
    FAULT_OPEN,
    FAULT_PREAD,
    FAULT_PWRITE,
    FAULT_SYNC,
    FAULT_TRUNCATE,
    FAULT_ALLOCATE,
    FAULT_SIZE,
    FAULT_RENAME,
    FAULT_UNLINK,
    FAULT_MKDIR,
    FAULT_SYNC_DIR,
    FAULT_LIST,
    FAULT_LOCK,
    FAULT_FREE_BYTES,
    FAULT_CALLS,
};

/* With FAULT_PWRITE: half of the bytes are written, and what follows fails with ENOSPC. */
enum { FAULT_SHORT = -1 };

/*
 * A descriptor whose sync was made to fail is poisoned, as Linux does it: its later syncs succeed
 * and bring nothing to the medium.
 */
enum { FAULT_FDS = 256 };

struct fault_os {
    struct os os;
    const struct os *inner;
    pthread_mutex_t lock;
    enum fault_call call;
    uint64_t countdown; /* 0: not armed */
    int error;          /* positive errno or FAULT_SHORT */
    bool is_lasting;    /* every call from that one on fails */
    bool is_cut;        /* the next pwrite is the one behind a short write */
    bool fired;
    uint64_t counts[FAULT_CALLS];
    bool poisoned[FAULT_FDS]; /* see below; by descriptor modulo FAULT_FDS */
};

void fault_os_init(struct fault_os *fault, const struct os *inner);

/* The nth call (from 1) of that kind from now on fails. */
void fault_os_arm(struct fault_os *fault, enum fault_call call, uint64_t nth, int error);
void fault_os_disarm(struct fault_os *fault);

const char *fault_call_name(enum fault_call call);

#endif
