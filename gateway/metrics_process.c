/*
 * From /proc, see proc(5). Children are told apart by the verb they run under: they are the same
 * binary.
 */
#define _GNU_SOURCE
#include "metrics_process.h"

#include "metrics_text.h"

#include "base/os.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    FILE_BYTES_MAX = 65536,
    CHILD_KINDS_MAX = 16,
};

/* Fields of /proc/PID/stat by their numbers in proc(5). */
enum {
    FIELD_AFTER_NAME = 3,
    FIELD_PARENT = 4,
    FIELD_STARTED = 22, /* in ticks since boot */
    FIELD_VIRTUAL = 23,
    FIELD_RESIDENT = 24, /* in pages */
    FIELD_COUNT = 25,
};

struct process {
    uint64_t fields[FIELD_COUNT];
};

/* `pid`: a number or "self". */
static bool
read_process(const char *pid, struct process *out)
{
    struct buf path = {0}, text = {0};
    buf_printf(&path, "/proc/%s/stat", pid);
    bool is_read = os_read_file(&os_posix, buf_string(&path), FILE_BYTES_MAX, &text) == 0;
    const char *at = is_read ? strrchr(buf_string(&text), ')') : NULL; /* a name may hold blanks */
    size_t field = FIELD_AFTER_NAME;
    for (char *rest = at == NULL ? NULL : text.data + (at - text.data) + 1;
         rest != NULL && field < FIELD_COUNT; field++) {
        char *word = strtok_r(NULL, " ", &rest);
        out->fields[field] = word == NULL ? 0 : strtoull(word, NULL, 10);
    }
    buf_fini(&path);
    buf_fini(&text);
    return at != NULL;
}

/* "ingest" of `headgate ingest`; false: no child of ours that has a verb. */
static bool
read_verb(const char *pid, char *out, size_t size)
{
    struct buf path = {0}, text = {0};
    buf_printf(&path, "/proc/%s/cmdline", pid);
    bool is_read = os_read_file(&os_posix, buf_string(&path), FILE_BYTES_MAX, &text) == 0;
    struct bytes rest = buf_bytes(&text), program, verb = BYTES("");
    is_read = is_read && bytes_split(&rest, '\0', &program) && bytes_split(&rest, '\0', &verb) &&
              verb.size > 0;
    if (is_read) {
        snprintf(out, size, "%.*s", BYTES_ARG(verb));
    }
    buf_fini(&path);
    buf_fini(&text);
    return is_read;
}

static uint64_t
page_bytes(void)
{
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

static int64_t
us_of(const struct timeval *time)
{
    return (int64_t)time->tv_sec * 1000000 + time->tv_usec;
}

/* Wall clock in microseconds. */
static int64_t
started_at_us(uint64_t ticks)
{
    struct timespec since_boot;
    int64_t age_us = -1;
    if (clock_gettime(CLOCK_BOOTTIME, &since_boot) == 0) {
        age_us = (int64_t)since_boot.tv_sec * 1000000 + since_boot.tv_nsec / 1000 -
                 (int64_t)ticks * (1000000 / sysconf(_SC_CLK_TCK));
    }
    return os_posix.wall_us(&os_posix) - age_us;
}

static void
count_name(void *context, const char *name)
{
    ++*(uint64_t *)context;
}

static void
write_files(struct buf *out)
{
    uint64_t count = 0;
    struct rlimit limit;
    if (os_posix.list(&os_posix, "/proc/self/fd", count_name, &count) == 0) {
        metric_only(out, METRIC_OPEN_FDS, count - (count > 0)); /* without the one that looks */
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        metric_only(out, METRIC_MAX_FDS, limit.rlim_cur);
    }
}

/* ---- children ---- */

struct kind {
    char name[32];
    uint64_t bytes;
};

struct children {
    struct kind kinds[CHILD_KINDS_MAX];
    size_t count;
};

static void
add_child(void *context, const char *pid)
{
    struct children *children = context;
    struct process process;
    char verb[sizeof children->kinds[0].name];
    if (pid[0] < '0' || pid[0] > '9' || !read_process(pid, &process) ||
        process.fields[FIELD_PARENT] != (uint64_t)getpid() || !read_verb(pid, verb, sizeof verb)) {
        return;
    }
    size_t i = 0;
    while (i < children->count && strcmp(children->kinds[i].name, verb) != 0) {
        i++;
    }
    if (i == CHILD_KINDS_MAX) {
        return;
    }
    children->count += i == children->count;
    snprintf(children->kinds[i].name, sizeof verb, "%s", verb);
    children->kinds[i].bytes += process.fields[FIELD_RESIDENT] * page_bytes();
}

static void
write_children(struct buf *out)
{
    struct children children = {0};
    os_posix.list(&os_posix, "/proc", add_child, &children);
    metric_begin(out, METRIC_CHILD_RESIDENT);
    for (size_t i = 0; i < children.count; i++) {
        struct metric_labels labels = {{bytes_of_string(children.kinds[i].name)}};
        metric_count(out, METRIC_CHILD_RESIDENT, &labels, children.kinds[i].bytes);
    }
}

void
metrics_process(struct buf *out)
{
    struct process self = {0};
    struct rusage usage;
    bool is_read = read_process("self", &self);
    if (is_read) {
        metric_only(out, METRIC_RESIDENT, self.fields[FIELD_RESIDENT] * page_bytes());
        metric_only(out, METRIC_VIRTUAL, self.fields[FIELD_VIRTUAL]);
    }
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        metric_only_seconds(out, METRIC_CPU, us_of(&usage.ru_utime) + us_of(&usage.ru_stime));
    }
    if (is_read) {
        metric_only_seconds(out, METRIC_STARTED, started_at_us(self.fields[FIELD_STARTED]));
    }
    write_files(out);
    write_children(out);
}
