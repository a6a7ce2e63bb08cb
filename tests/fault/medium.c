/*
 * A slow or failing medium under a real process, by LD_PRELOAD: fdatasync() and fsync() do what
 * the file named by $MEDIUM says at that moment, so that a test can change it while the process
 * runs. One line: microseconds that a sync takes more, and the errno that it fails with, or 0.
 *
 *   5000 0     an SD card
 *   0 5        EIO
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* 0, or the errno to fail with. */
static int
suffer(void)
{
    const char *path = getenv("MEDIUM");
    FILE *file = path == NULL ? NULL : fopen(path, "re");
    unsigned delay_us = 0;
    int error = 0;
    if (file != NULL) {
        if (fscanf(file, "%u %d", &delay_us, &error) != 2) {
            delay_us = 0;
            error = 0;
        }
        fclose(file);
    }
    if (delay_us > 0) {
        usleep(delay_us);
    }
    return error;
}

static int
sync_by(const char *name, int fd)
{
    int error = suffer();
    if (error != 0) {
        errno = error;
        return -1;
    }
    int (*next)(int) = NULL;
    *(void **)&next = dlsym(RTLD_NEXT, name);
    return next(fd);
}

int
fdatasync(int fd)
{
    return sync_by("fdatasync", fd);
}

int
fsync(int fd)
{
    return sync_by("fsync", fd);
}
