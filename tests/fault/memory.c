/*
 * Memory that is refused to a real process, by LD_PRELOAD: the allocation of a process that the file
 * named by $MEMORY says, so that a test can say it while the process runs. For builds whose
 * malloc() asks glibc's (gateway/base/heap.c), so not for sanitizers.
 *
 * The file is mapped, in the machine's order of bytes: the process's first argument, 16 bytes
 * padded with NUL; how many more of its allocations, i64, until one is refused (1: the next; 0:
 * none); how many were refused so far, u64.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { NAME_BYTES = 16 };

struct order {
    char name[NAME_BYTES];
    _Atomic int64_t countdown;
    _Atomic uint64_t refused;
};

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static struct {
    struct order *order; /* NULL: none */
    char name[NAME_BYTES];
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
} self;

static void __attribute__((constructor))
read_order(void)
{
    char line[256] = "";
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
    close(fd);
    const char *argument = size <= 0 ? "" : line + strlen(line) + 1;
    strncpy(self.name, argument, NAME_BYTES - 1);
    const char *path = getenv("MEMORY");
    fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        void *page = mmap(NULL, sizeof *self.order, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        self.order = page == MAP_FAILED ? NULL : page;
        close(fd);
    }
}

static int
is_refused(void)
{
    struct order *order = self.order;
    if (order == NULL || atomic_load(&order->countdown) <= 0 ||
        memcmp(order->name, self.name, NAME_BYTES) != 0 ||
        atomic_fetch_sub(&order->countdown, 1) != 1) {
        return 0;
    }
    atomic_fetch_add(&order->refused, 1);
    errno = ENOMEM;
    return 1;
}

void *
__libc_malloc(size_t size)
{
    if (self.malloc == NULL) {
        *(void **)&self.malloc = dlsym(RTLD_NEXT, "__libc_malloc");
    }
    return is_refused() ? NULL : self.malloc(size);
}

void *
__libc_calloc(size_t count, size_t size)
{
    if (self.calloc == NULL) {
        *(void **)&self.calloc = dlsym(RTLD_NEXT, "__libc_calloc");
    }
    return is_refused() ? NULL : self.calloc(count, size);
}

void *
__libc_realloc(void *old, size_t size)
{
    if (self.realloc == NULL) {
        *(void **)&self.realloc = dlsym(RTLD_NEXT, "__libc_realloc");
    }
    return is_refused() ? NULL : self.realloc(old, size);
}
