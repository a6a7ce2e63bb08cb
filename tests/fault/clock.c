/*
 * A wall clock that a test sets while a real process runs, by LD_PRELOAD: what the processes see
 * is the machine's plus an offset. The monotonic clock stays true, as it does when a real clock is
 * set. For builds without sanitizers, which want to be the first library.
 *
 * The file named by $CLOCK is mapped, in the machine's order of bytes: the offset in microseconds,
 * i64; whether the kernel calls the clock synchronised, i64.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#define NS INT64_C(1000000000)
#define SLICE_NS (NS / 20) /* in which a wait sees that the clock was set */

struct settings {
    _Atomic int64_t offset_us;
    _Atomic int64_t is_synchronised;
};

static struct settings *settings; /* NULL: the machine's clock */

static void __attribute__((constructor))
read_settings(void)
{
    const char *path = getenv("CLOCK");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        void *page = mmap(NULL, sizeof *settings, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        settings = page == MAP_FAILED ? NULL : page;
        close(fd);
    }
}

static int64_t
ns_of(const struct timespec *time)
{
    return (int64_t)time->tv_sec * NS + time->tv_nsec;
}

static struct timespec
timespec_of(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / NS, .tv_nsec = ns % NS};
}

static int64_t
offset_ns(void)
{
    return settings == NULL ? 0 : atomic_load(&settings->offset_us) * 1000;
}

int
clock_gettime(clockid_t clock, struct timespec *out)
{
    long result = syscall(SYS_clock_gettime, clock, out);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        *out = timespec_of(ns_of(out) + offset_ns());
    }
    return (int)result;
}

int
gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *out = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}

time_t
time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL) {
        *out = now.tv_sec;
    }
    return now.tv_sec;
}

int
adjtimex(struct timex *out)
{
    int state = (int)syscall(SYS_adjtimex, out);
    if (state < 0 || settings == NULL) {
        return state;
    }
    int is_synchronised = atomic_load(&settings->is_synchronised) != 0;
    out->status = is_synchronised ? out->status & ~STA_UNSYNC : out->status | STA_UNSYNC;
    return is_synchronised ? TIME_OK : TIME_ERROR;
}

typedef int wait_fn(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

static wait_fn *
real_wait(void)
{
    static _Atomic(wait_fn *) found;
    wait_fn *wait = atomic_load(&found);
    if (wait == NULL) {
        *(void **)&wait = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
        if (wait == NULL) { /* architectures that are younger than that version */
            *(void **)&wait = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
        }
        atomic_store(&found, wait);
    }
    return wait;
}

/*
 * The kernel waits by the machine's clock, so a wait for a time of ours goes in slices. A time
 * since the machine's start is one of the monotonic clock, and left alone.
 */
int
pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                       const struct timespec *restrict until)
{
    struct timespec up;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &up);
    if (settings == NULL || until->tv_sec < up.tv_sec + 30 * 365 * 86400) {
        return real_wait()(condition, mutex, until);
    }
    for (;;) {
        struct timespec real;
        syscall(SYS_clock_gettime, CLOCK_REALTIME, &real);
        int64_t left_ns = ns_of(until) - offset_ns() - ns_of(&real);
        if (left_ns <= 0) {
            return ETIMEDOUT;
        }
        struct timespec slice =
                timespec_of(ns_of(&real) + (left_ns < SLICE_NS ? left_ns : SLICE_NS));
        int result = real_wait()(condition, mutex, &slice);
        if (result != ETIMEDOUT) {
            return result;
        }
    }
}
