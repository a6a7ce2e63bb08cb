#define _GNU_SOURCE
#include "fault_os.h"

#include <errno.h>

static struct fault_os *
self(const struct os *os)
{
    return (struct fault_os *)(uintptr_t)os; /* `os` is the first member */
}

/* 0, or the negative errno with which this call shall fail. */
static int
strike(struct fault_os *fault, enum fault_call call)
{
    fault->counts[call]++;
    if (fault->is_cut && call == FAULT_PWRITE) {
        fault->is_cut = false;
        return -ENOSPC;
    }
    if (fault->countdown == 0 || fault->call != call) {
        return 0;
    }
    if (fault->countdown > 1) {
        fault->countdown--;
        return 0;
    }
    fault->countdown = fault->is_lasting ? 1 : 0;
    fault->fired = true;
    return fault->error == FAULT_SHORT ? FAULT_SHORT : -fault->error;
}

static int64_t
fault_wall_us(const struct os *os)
{
    struct fault_os *fault = self(os);
    pthread_mutex_lock(&fault->lock);
    int64_t now_us = fault->inner->wall_us(fault->inner);
    pthread_mutex_unlock(&fault->lock);
    return now_us;
}

/* The real one: threads wait by it. */
static int64_t
fault_mono_us(const struct os *os)
{
    return os_posix.mono_us(&os_posix);
}

static bool
fault_is_synchronised(const struct os *os)
{
    const struct os *inner = self(os)->inner;
    return inner->is_synchronised(inner);
}

static void
fault_random(const struct os *os, void *out, size_t size)
{
    struct fault_os *fault = self(os);
    pthread_mutex_lock(&fault->lock);
    fault->inner->random(fault->inner, out, size);
    pthread_mutex_unlock(&fault->lock);
}

/* The body of a call: strikes, or passes it on; one call at a time. */
#define FAULT_PASS(kind, type, call_inner)                    \
    struct fault_os *fault = self(os);                        \
    const struct os *inner = fault->inner;                    \
    pthread_mutex_lock(&fault->lock);                         \
    int error = strike(fault, kind);                          \
    type result = error < 0 ? error : inner->call_inner;      \
    pthread_mutex_unlock(&fault->lock);                       \
    return result

static int
fault_open(const struct os *os, const char *path, int flags, mode_t mode)
{
    FAULT_PASS(FAULT_OPEN, int, open(inner, path, flags, mode));
}

static int
fault_close(const struct os *os, int fd)
{
    struct fault_os *fault = self(os);
    pthread_mutex_lock(&fault->lock);
    fault->poisoned[fd % FAULT_FDS] = false;
    int result = fault->inner->close(fault->inner, fd);
    pthread_mutex_unlock(&fault->lock);
    return result;
}

static ssize_t
fault_pread(const struct os *os, int fd, void *out, size_t size, int64_t offset)
{
    FAULT_PASS(FAULT_PREAD, ssize_t, pread(inner, fd, out, size, offset));
}

static ssize_t
fault_pwrite(const struct os *os, int fd, const void *data, size_t size, int64_t offset)
{
    struct fault_os *fault = self(os);
    pthread_mutex_lock(&fault->lock);
    int error = strike(fault, FAULT_PWRITE);
    if (error == FAULT_SHORT && fault->error == FAULT_SHORT) {
        fault->is_cut = true;
        size = (size + 1) / 2;
        error = 0;
    }
    ssize_t result =
            error < 0 ? error : fault->inner->pwrite(fault->inner, fd, data, size, offset);
    pthread_mutex_unlock(&fault->lock);
    return result;
}

static int
fault_sync(const struct os *os, int fd)
{
    struct fault_os *fault = self(os);
    bool *is_poisoned = &fault->poisoned[fd % FAULT_FDS];
    pthread_mutex_lock(&fault->lock);
    int result = strike(fault, FAULT_SYNC);
    *is_poisoned |= result < 0;
    if (!*is_poisoned) {
        result = fault->inner->sync(fault->inner, fd);
    }
    pthread_mutex_unlock(&fault->lock);
    return result;
}

static int
fault_truncate(const struct os *os, int fd, int64_t size)
{
    FAULT_PASS(FAULT_TRUNCATE, int, truncate(inner, fd, size));
}

static int
fault_allocate(const struct os *os, int fd, int64_t size)
{
    FAULT_PASS(FAULT_ALLOCATE, int, allocate(inner, fd, size));
}

static int64_t
fault_size(const struct os *os, int fd)
{
    FAULT_PASS(FAULT_SIZE, int64_t, size(inner, fd));
}

static int
fault_rename(const struct os *os, const char *from, const char *to)
{
    FAULT_PASS(FAULT_RENAME, int, rename(inner, from, to));
}

static int
fault_unlink(const struct os *os, const char *path)
{
    FAULT_PASS(FAULT_UNLINK, int, unlink(inner, path));
}

static int
fault_mkdir(const struct os *os, const char *path, mode_t mode)
{
    FAULT_PASS(FAULT_MKDIR, int, mkdir(inner, path, mode));
}

static int
fault_sync_dir(const struct os *os, const char *path)
{
    FAULT_PASS(FAULT_SYNC_DIR, int, sync_dir(inner, path));
}

static int
fault_list(const struct os *os, const char *path, void (*each)(void *context, const char *name),
           void *context)
{
    FAULT_PASS(FAULT_LIST, int, list(inner, path, each, context));
}

static int64_t
fault_free_bytes(const struct os *os, const char *path)
{
    FAULT_PASS(FAULT_FREE_BYTES, int64_t, free_bytes(inner, path));
}

static int
fault_lock(const struct os *os, int fd)
{
    FAULT_PASS(FAULT_LOCK, int, lock(inner, fd));
}

void
fault_os_init(struct fault_os *fault, const struct os *inner)
{
    *fault = (struct fault_os){
            .inner = inner,
            .lock = PTHREAD_MUTEX_INITIALIZER,
            .os = {.wall_us = fault_wall_us,
                   .mono_us = fault_mono_us,
                   .is_synchronised = fault_is_synchronised,
                   .random = fault_random,
                   .open = fault_open,
                   .close = fault_close,
                   .pread = fault_pread,
                   .pwrite = fault_pwrite,
                   .sync = fault_sync,
                   .truncate = fault_truncate,
                   .allocate = fault_allocate,
                   .size = fault_size,
                   .rename = fault_rename,
                   .unlink = fault_unlink,
                   .mkdir = fault_mkdir,
                   .sync_dir = fault_sync_dir,
                   .list = fault_list,
                   .free_bytes = fault_free_bytes,
                   .lock = fault_lock},
    };
}

void
fault_os_arm(struct fault_os *fault, enum fault_call call, uint64_t nth, int error)
{
    pthread_mutex_lock(&fault->lock);
    fault->call = call;
    fault->countdown = nth;
    fault->error = error;
    fault->fired = false;
    fault->is_cut = false;
    pthread_mutex_unlock(&fault->lock);
}

void
fault_os_disarm(struct fault_os *fault)
{
    pthread_mutex_lock(&fault->lock);
    fault->countdown = 0;
    fault->is_cut = false;
    fault->is_lasting = false;
    pthread_mutex_unlock(&fault->lock);
}

const char *
fault_call_name(enum fault_call call)
{
    static const char *const names[FAULT_CALLS] = {
            "open",   "pread",  "pwrite", "sync",     "truncate", "allocate", "size",
            "rename", "unlink", "mkdir",  "sync_dir", "list",     "lock",
            "free_bytes",
    };
    return names[call];
}
