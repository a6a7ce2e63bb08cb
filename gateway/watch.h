/*
 * Says when something in a folder has changed, by inotify.
 *
 * Editors save in different ways (write in place, write aside and rename, swap files), so a change
 * only means "look again": events are gathered until the folder has been quiet for a moment, but
 * not longer than a few times that. A folder that does not exist yet, or is replaced, is picked up
 * again by watch_tick(). Main thread.
 */
#ifndef HEADGATE_WATCH_H
#define HEADGATE_WATCH_H

#include <stdbool.h>
#include <stdint.h>

struct watch;

/* Never fails: without inotify the folder is compared by modification time on every tick. */
struct watch *watch_new(const char *path);
void watch_free(struct watch *watch);

/* Readable when events wait; -1 when there is no inotify. */
int watch_fd(const struct watch *watch);

/* Call when watch_fd() is readable and every now and then: true once per settled change. */
bool watch_tick(struct watch *watch, int64_t now_ms);

/* How long poll may sleep so that a pending change is reported in time; -1: no limit. */
int watch_timeout_ms(const struct watch *watch, int64_t now_ms);

#endif
