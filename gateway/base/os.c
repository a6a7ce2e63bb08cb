#define _GNU_SOURCE
#include "os.h"

#include "mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static int64_t
clock_us(clockid_t clock)
{
    struct timespec now;
    check(clock_gettime(clock, &now) == 0);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t
posix_wall_us(const struct os *os)
{
    (void)os;
    return clock_us(CLOCK_REALTIME);
}

static int64_t
posix_mono_us(const struct os *os)
{
    (void)os;
    return clock_us(CLOCK_MONOTONIC);
}

static bool
posix_is_synchronised(const struct os *os)
{
    (void)os;
    struct timex state = {.modes = 0};
    int result = adjtimex(&state);
    return result >= 0 && result != TIME_ERROR && (state.status & STA_UNSYNC) == 0;
}

static void
posix_random(const struct os *os, void *out, size_t size)
{
    (void)os;
    for (size_t done = 0; done < size;) {
        ssize_t n = getrandom((char *)out + done, size - done, 0);
        check(n > 0 || errno == EINTR);
        done += n > 0 ? (size_t)n : 0;
    }
}

static int
posix_open(const struct os *os, const char *path, int flags, mode_t mode)
{
    (void)os;
    int fd = open(path, flags | O_CLOEXEC, mode);
    return fd < 0 ? -errno : fd;
}

static int
posix_close(const struct os *os, int fd)
{
    (void)os;
    return close(fd) < 0 ? -errno : 0;
}

static ssize_t
posix_pread(const struct os *os, int fd, void *out, size_t size, int64_t offset)
{
    (void)os;
    ssize_t n = pread(fd, out, size, offset);
    return n < 0 ? -errno : n;
}

static ssize_t
posix_pwrite(const struct os *os, int fd, const void *data, size_t size, int64_t offset)
{
    (void)os;
    ssize_t n = pwrite(fd, data, size, offset);
    return n < 0 ? -errno : n;
}

static int
posix_sync(const struct os *os, int fd)
{
    (void)os;
    return fdatasync(fd) < 0 ? -errno : 0;
}

static int
posix_truncate(const struct os *os, int fd, int64_t size)
{
    (void)os;
    return ftruncate(fd, size) < 0 ? -errno : 0;
}

static int
posix_allocate(const struct os *os, int fd, int64_t size)
{
    (void)os;
    return -posix_fallocate(fd, 0, size);
}

static int64_t
posix_size(const struct os *os, int fd)
{
    (void)os;
    struct stat status;
    return fstat(fd, &status) < 0 ? -errno : status.st_size;
}

static int
posix_rename(const struct os *os, const char *from, const char *to)
{
    (void)os;
    return rename(from, to) < 0 ? -errno : 0;
}

static int
posix_unlink(const struct os *os, const char *path)
{
    (void)os;
    return unlink(path) < 0 ? -errno : 0;
}

static int
posix_mkdir(const struct os *os, const char *path, mode_t mode)
{
    (void)os;
    return mkdir(path, mode) < 0 && errno != EEXIST ? -errno : 0;
}

static int
posix_sync_dir(const struct os *os, const char *path)
{
    (void)os;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int result = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return result;
}

static int
posix_list(const struct os *os, const char *path, void (*each)(void *context, const char *name),
           void *context)
{
    (void)os;
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return -errno;
    }
    errno = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            each(context, entry->d_name);
        }
        errno = 0;
    }
    int result = -errno;
    closedir(dir);
    return result;
}

static int64_t
posix_free_bytes(const struct os *os, const char *path)
{
    (void)os;
    struct statvfs status;
    if (statvfs(path, &status) < 0) {
        return -errno;
    }
    return (int64_t)(status.f_bavail * status.f_frsize);
}

static int
posix_lock(const struct os *os, int fd)
{
    (void)os;
    return flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

const struct os os_posix = {
        .wall_us = posix_wall_us,
        .mono_us = posix_mono_us,
        .is_synchronised = posix_is_synchronised,
        .random = posix_random,
        .open = posix_open,
        .close = posix_close,
        .pread = posix_pread,
        .pwrite = posix_pwrite,
        .sync = posix_sync,
        .truncate = posix_truncate,
        .allocate = posix_allocate,
        .size = posix_size,
        .rename = posix_rename,
        .unlink = posix_unlink,
        .mkdir = posix_mkdir,
        .sync_dir = posix_sync_dir,
        .list = posix_list,
        .free_bytes = posix_free_bytes,
        .lock = posix_lock,
};

int
os_pwrite_all(const struct os *os, int fd, const void *data, size_t size, int64_t offset)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = os->pwrite(os, fd, (const char *)data + done, size - done,
                               offset + (int64_t)done);
        if (n == 0) {
            return -EIO;
        }
        if (n < 0 && n != -EINTR) {
            return (int)n;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

int
os_read_file(const struct os *os, const char *path, size_t max_bytes, struct buf *out)
{
    /* O_NONBLOCK: a FIFO that somebody left in a folder must not stop the reader. */
    int fd = os->open(os, path, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0) {
        return fd;
    }
    size_t before = out->size;
    int result = 0;
    for (;;) {
        ssize_t n = os->pread(os, fd, buf_reserve(out, 16 * 1024), 16 * 1024,
                              (int64_t)(out->size - before));
        if (n == -EINTR) {
            continue;
        }
        if (n <= 0) {
            result = (int)n;
            break;
        }
        out->size += (size_t)n;
        if (out->size - before > max_bytes) {
            result = -EFBIG;
            break;
        }
    }
    if (result < 0) {
        out->size = before;
    }
    os->close(os, fd);
    return result;
}

static int
write_new_file(const struct os *os, const char *path, struct bytes content, mode_t mode)
{
    int fd = os->open(os, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    if (fd < 0) {
        return fd;
    }
    int result = os_pwrite_all(os, fd, content.data, content.size, 0);
    if (result == 0) {
        result = os->sync(os, fd);
    }
    int closed = os->close(os, fd);
    return result < 0 ? result : closed;
}

int
os_replace_file(const struct os *os, const char *path, struct bytes content, mode_t mode)
{
    struct buf temporary = {0};
    buf_printf(&temporary, "%s.tmp", path);
    const char *temporary_path = buf_string(&temporary);
    int result = write_new_file(os, temporary_path, content, mode);
    if (result == 0) {
        result = os->rename(os, temporary_path, path);
    }
    if (result < 0) {
        os->unlink(os, temporary_path);
    } else {
        const char *slash = strrchr(path, '/');
        char *dir = slash == NULL    ? bytes_to_string(BYTES("."))
                    : slash == path  ? bytes_to_string(BYTES("/"))
                                     : bytes_to_string(bytes_of(path, (size_t)(slash - path)));
        result = os->sync_dir(os, dir);
        free(dir);
    }
    buf_fini(&temporary);
    return result;
}

int
os_make_dirs(const struct os *os, const char *path, mode_t mode)
{
    char *copy = bytes_to_string(bytes_of_string(path));
    int result = 0;
    for (char *p = copy + 1; result == 0 && *copy != '\0'; p++) {
        if (*p == '/' || *p == '\0') {
            char kept = *p;
            *p = '\0';
            result = os->mkdir(os, copy, mode);
            *p = kept;
            if (kept == '\0') {
                break;
            }
        }
    }
    free(copy);
    return result;
}
