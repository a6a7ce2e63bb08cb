/*
 * The world outside: clock, files, random. One small table, so that the same engine runs in
 * production (os_posix), in `try`, in tests, and on a simulated disk that loses power.
 *
 * Calls that can fail return a negative errno. All are thread-safe in os_posix.
 * Only durable state goes through here (journal, checkpoint, outbox); sockets and third-party
 * libraries do their own I/O inside the drivers.
 */
#ifndef HEADGATE_BASE_OS_H
#define HEADGATE_BASE_OS_H

#include "buf.h"

#include <stdint.h>
#include <sys/types.h>

struct os {
    int64_t (*wall_us)(const struct os *os); /* microseconds since 1970, may step */
    int64_t (*mono_us)(const struct os *os); /* monotonic, since the boot; for timers and durations */
    bool (*is_synchronised)(const struct os *os); /* NTP keeps the wall clock, says the kernel */
    void (*random)(const struct os *os, void *out, size_t size);

    int (*open)(const struct os *os, const char *path, int flags, mode_t mode); /* fd */
    int (*close)(const struct os *os, int fd);
    ssize_t (*pread)(const struct os *os, int fd, void *out, size_t size, int64_t offset);
    ssize_t (*pwrite)(const struct os *os, int fd, const void *data, size_t size, int64_t offset);
    int (*sync)(const struct os *os, int fd); /* data and size on the medium: fdatasync */
    int (*truncate)(const struct os *os, int fd, int64_t size);
    int (*allocate)(const struct os *os, int fd, int64_t size); /* zero-filled up to size */
    int64_t (*size)(const struct os *os, int fd);
    int (*rename)(const struct os *os, const char *from, const char *to);
    int (*unlink)(const struct os *os, const char *path);
    int (*mkdir)(const struct os *os, const char *path, mode_t mode); /* 0 when it exists */
    int (*sync_dir)(const struct os *os, const char *path);
    /* Calls `each` with every name in a directory except "." and "..", in no order. */
    int (*list)(const struct os *os, const char *path, void (*each)(void *context, const char *name),
                void *context);
    /* Bytes that a file in that directory may still take. */
    int64_t (*free_bytes)(const struct os *os, const char *path);
    int (*lock)(const struct os *os, int fd); /* exclusive for this process; -EWOULDBLOCK */
};

extern const struct os os_posix;

/* Helpers over the table; all return 0 or a negative errno. */

/* Writes all of `data`, going on after short writes and EINTR. */
int os_pwrite_all(const struct os *os, int fd, const void *data, size_t size, int64_t offset)
        MUST_CHECK;

/* Appends a whole file to `out`; -EFBIG when it is larger than `max_bytes`. */
int os_read_file(const struct os *os, const char *path, size_t max_bytes, struct buf *out)
        MUST_CHECK;

/* Replaces a file: temporary name, write, sync, rename, sync of the directory. */
int os_replace_file(const struct os *os, const char *path, struct bytes content, mode_t mode)
        MUST_CHECK;

/* mkdir -p. */
int os_make_dirs(const struct os *os, const char *path, mode_t mode) MUST_CHECK;

#endif
