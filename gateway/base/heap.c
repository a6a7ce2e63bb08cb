/*
 * Who gets no memory ends, and is started again. The alternative, an answer at each of thousands
 * of calls, is what nobody tests; and this gateway is built to be killed at any moment anyhow.
 *
 * That must hold for libraries, too. Paho answers a failed malloc() of a message by dropping it and
 * acknowledging it all the same; a look-up in SQLite would be a rule that fails on its message.
 * Libraries call the malloc() that the program defines, which is this one; it asks glibc's
 * (manual, "Replacing malloc"; free() and the aligned kinds stay as they are). Under sanitizers,
 * whose allocator ends the process by itself, nothing is replaced.
 */
#include "heap.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || \
        __has_feature(thread_sanitizer)
#define HAS_ALLOCATOR_OF_ITS_OWN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_ALLOCATOR_OF_ITS_OWN 1
#endif

/* Set once, before there are threads. */
static int ends_when_exhausted;

void
heap_end_when_exhausted(void)
{
    ends_when_exhausted = 1;
}

_Noreturn void
heap_exhausted(size_t size)
{
    char line[200];
    int length = snprintf(line, sizeof line,
                          "<2>headgate: out of memory: %zu bytes were refused, so this process "
                          "ends; what it has not acknowledged comes again\n", size);
    ssize_t written = write(STDERR_FILENO, line, (size_t)length);
    (void)written; /* a closed stderr changes nothing */
    _exit(HEAP_EXIT);
}

#if defined(__GLIBC__) && !defined(HAS_ALLOCATOR_OF_ITS_OWN)

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static void *
given(void *memory, size_t count, size_t size)
{
    if (memory == NULL && ends_when_exhausted && count > 0 && size > 0) {
        size_t total;
        heap_exhausted(__builtin_mul_overflow(count, size, &total) ? SIZE_MAX : total);
    }
    return memory;
}

void *
malloc(size_t size)
{
    return given(__libc_malloc(size), 1, size);
}

void *
calloc(size_t count, size_t size)
{
    return given(__libc_calloc(count, size), count, size);
}

void *
realloc(void *old, size_t size)
{
    return given(__libc_realloc(old, size), 1, size);
}

#endif
