/*
 * One inotify instance a folder. States: absent (no watch descriptor) -> watched -> pending (events
 * seen, waiting for quiet) -> watched.
 */
#define _GNU_SOURCE
#include "watch.h"

#include "base/bytes.h"
#include "base/mem.h"

#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum { QUIET_MS = 30, PATIENCE_MS = 500 };

struct watch {
    char *path;
    int fd;          /* inotify, non-blocking */
    int descriptor;  /* -1: absent */
    bool pending;
    int64_t first_ms, last_ms; /* of the pending events */
    struct timespec modified;  /* for the time that inotify does not work */
};

static void
add_watch(struct watch *watch)
{
    watch->descriptor = inotify_add_watch(watch->fd, watch->path,
                                          IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM |
                                                  IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF |
                                                  IN_ATTRIB);
}

struct watch *
watch_new(const char *path)
{
    struct watch *watch = mem_new(struct watch);
    watch->path = bytes_to_string(bytes_of_string(path));
    watch->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    watch->descriptor = -1;
    if (watch->fd >= 0) {
        add_watch(watch);
    }
    return watch;
}

void
watch_free(struct watch *watch)
{
    if (watch != NULL) {
        if (watch->fd >= 0) {
            close(watch->fd);
        }
        free(watch->path);
        free(watch);
    }
}

int
watch_fd(const struct watch *watch)
{
    return watch->fd;
}

static void
note(struct watch *watch, int64_t now_ms)
{
    if (!watch->pending) {
        watch->first_ms = now_ms;
    }
    watch->pending = true;
    watch->last_ms = now_ms;
}

static void
read_events(struct watch *watch, int64_t now_ms)
{
    _Alignas(struct inotify_event) char buffer[4096];
    for (;;) {
        ssize_t n = read(watch->fd, buffer, sizeof buffer);
        if (n <= 0) {
            return;
        }
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *event = (const void *)(buffer + at);
            if ((event->mask & (IN_IGNORED | IN_MOVE_SELF)) != 0) {
                if ((event->mask & IN_MOVE_SELF) != 0) {
                    inotify_rm_watch(watch->fd, watch->descriptor);
                }
                watch->descriptor = -1; /* the folder is gone; watch_tick looks for a new one */
            }
            note(watch, now_ms);
            at += (ssize_t)sizeof *event + event->len;
        }
    }
}

/* Without a watch: a folder that appeared, or changed by its modification time. */
static void
look(struct watch *watch, int64_t now_ms)
{
    struct stat status;
    if (stat(watch->path, &status) < 0) {
        return;
    }
    bool changed = status.st_mtim.tv_sec != watch->modified.tv_sec ||
                   status.st_mtim.tv_nsec != watch->modified.tv_nsec;
    watch->modified = status.st_mtim;
    if (watch->fd >= 0) {
        add_watch(watch);
    }
    if (changed) {
        note(watch, now_ms);
    }
}

bool
watch_tick(struct watch *watch, int64_t now_ms)
{
    if (watch->fd >= 0) {
        read_events(watch, now_ms);
    }
    if (watch->descriptor < 0) {
        look(watch, now_ms);
    }
    bool quiet = now_ms - watch->last_ms >= QUIET_MS || now_ms - watch->first_ms >= PATIENCE_MS;
    if (!watch->pending || !quiet) {
        return false;
    }
    watch->pending = false;
    return true;
}

int
watch_timeout_ms(const struct watch *watch, int64_t now_ms)
{
    if (!watch->pending) {
        return -1;
    }
    int64_t left_ms = watch->last_ms + QUIET_MS - now_ms;
    return left_ms < 0 ? 0 : (int)left_ms;
}
