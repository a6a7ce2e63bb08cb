/* Does what the payload says: every way in which a handler can go wrong, one word each. */
#define _GNU_SOURCE
#include <headgate/handler.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char constructed[100];

__attribute__((constructor)) static void
read_at_start(void)
{
    FILE *file = fopen("/proc/self/comm", "r");
    if (file != NULL) {
        if (fgets(constructed, sizeof constructed, file) == NULL) {
            constructed[0] = '\0';
        }
        fclose(file);
    }
}

static void
spin(void)
{
    signal(SIGTERM, SIG_IGN);
    for (volatile int i = 0;; i++) {
    }
}

static int
recurse(volatile char *above)
{
    volatile char here[4096];
    here[0] = above == NULL ? 1 : above[0];
    return recurse(here) + here[0];
}

static void *
idle(void *context)
{
    return context;
}

static void
exhaust(void)
{
    size_t total = 0;
    for (;;) {
        char *block = malloc(1 << 20);
        if (block == NULL) {
            printf("malloc failed after %zu MB\n", total);
            abort();
        }
        memset(block, 'x', 1 << 20);
        total++;
    }
}

static void
exhaust_shared(void)
{
    for (size_t total = 0;; total++) {
        char *block = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                           0);
        if (block == MAP_FAILED) {
            printf("mmap failed after %zu MB\n", total);
            abort();
        }
        memset(block, 'x', 1 << 20);
    }
}

static void
flood(void)
{
    char block[65536];
    memset(block, 'f', sizeof block);
    for (int i = 0; i < 16384; i++) {
        if (write(1, block, sizeof block) < 0 && errno != EAGAIN) {
            abort();
        }
    }
}

static void
emit_number(struct headgate_context *context, long number)
{
    char text[32];
    snprintf(text, sizeof text, "%ld", number);
    headgate_emit(context, "number", text, strlen(text));
}

/* The errno of a call that should be refused, 0 when it was not. */
static void
try_harmless(struct headgate_context *context)
{
    emit_number(context, open("/etc/passwd", O_RDONLY) < 0 ? errno : 0);
    emit_number(context, open("/tmp/headgate-handler-was-here", O_WRONLY | O_CREAT, 0600) < 0
                                 ? errno
                                 : 0);
    emit_number(context, mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                              0) == MAP_FAILED
                                 ? errno
                                 : 0);
    emit_number(context, dup(0) < 0 ? errno : 0);
    emit_number(context, prctl(PR_SET_DUMPABLE, 1) < 0 ? errno : 0);
    emit_number(context, unlink("/etc/headgate-nothing") < 0 ? errno : 0);
}

static void
try_useful(struct headgate_context *context)
{
    const char *value = headgate_environment(context, "COLOUR");
    headgate_emit(context, "env", value == NULL ? "" : value, value == NULL ? 0 : strlen(value));
    headgate_emit(context, "secret", getenv("HEADGATE_TEST_SECRET") == NULL ? "none" : "leak", 4);
    headgate_emit(context, "constructed", constructed, strcspn(constructed, "\n"));
    int64_t left = headgate_remaining_ms(context);
    headgate_emit(context, "time", left > 100 && left <= 3000 ? "left" : "odd", 4);
    time_t now = time(NULL);
    struct tm local;
    headgate_emit(context, "year", localtime_r(&now, &local) != NULL && local.tm_year > 100 ? "ok"
                                                                                            : "no",
                  2);
    int *calls = context->state;
    if (calls == NULL) {
        context->state = calls = calloc(1, sizeof *calls);
    }
    emit_number(context, ++*calls);
}

static int
obey(struct headgate_context *context, const struct headgate_record *records, size_t i)
{
    const char *word = records[i].payload;
    struct sockaddr address = {.sa_family = AF_UNIX};
    pthread_t thread;
    if (strcmp(word, "segfault") == 0) {
        *(volatile int *)8 = 1;
    } else if (strcmp(word, "abort") == 0) {
        fprintf(stderr, "giving up\n");
        abort();
    } else if (strcmp(word, "overflow") == 0) {
        return recurse(NULL) == 0;
    } else if (strcmp(word, "exit") == 0) {
        exit(0);
    } else if (strcmp(word, "spin") == 0) {
        spin();
    } else if (strcmp(word, "sleep") == 0) {
        sleep(1000);
    } else if (strcmp(word, "exhaust") == 0) {
        exhaust();
    } else if (strcmp(word, "exhaust shared") == 0) {
        exhaust_shared();
    } else if (strcmp(word, "fork") == 0) {
        while (fork() >= 0) {
        }
    } else if (strcmp(word, "thread") == 0) {
        pthread_create(&thread, NULL, idle, NULL);
    } else if (strcmp(word, "system") == 0) {
        return system("true") == 77;
    } else if (strcmp(word, "socket") == 0) {
        return socket(AF_INET, SOCK_STREAM, 0) == 77;
    } else if (strcmp(word, "connect") == 0) {
        return connect(0, &address, sizeof address) == 77;
    } else if (strcmp(word, "ptrace") == 0) {
        return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == 77;
    } else if (strcmp(word, "kill") == 0) {
        kill(-1, SIGKILL);
    } else if (strcmp(word, "flood") == 0) {
        flood();
    } else if (strcmp(word, "print") == 0) {
        printf("printed \033[31mred\n");
    } else if (strcmp(word, "line flood") == 0) {
        for (int n = 0; n < 1000000; n++) {
            printf("x\n");
        }
    } else if (strcmp(word, "log flood") == 0) {
        for (int n = 0; n < 1000000; n++) {
            headgate_log(context, HEADGATE_INFO, "again");
        }
    } else if (strcmp(word, "garbage") == 0) {
        return write(3, "\xff\xff\xff\xff\xff\xff\xff\xff", 8) != 8;
    } else if (strcmp(word, "false reply") == 0) {
        return write(3, "\x05\0\0\0\x06hello", 10) != 10;
    } else if (strcmp(word, "partial frame") == 0) {
        if (write(3, "\x10\0", 2) == 2) {
            sleep(1000);
        }
    } else if (strcmp(word, "close") == 0) {
        close(3);
        sleep(1000);
    } else if (strcmp(word, "harmless") == 0) {
        try_harmless(context);
    } else if (strcmp(word, "useful") == 0) {
        try_useful(context);
    } else if (strcmp(word, "fail") == 0) {
        headgate_fail(context, i, "no such unit");
    } else if (strcmp(word, "slow fail") == 0) {
        usleep(80000);
        headgate_fail(context, i, "too slow");
    } else if (strcmp(word, "return") == 0) {
        return 7;
    } else if (strcmp(word, "leak") == 0) {
        memset(malloc(2 << 20), 1, 2 << 20);
    } else {
        headgate_emit(context, "said", word, records[i].payload_size);
    }
    return 0;
}

int
handle(struct headgate_context *context, const struct headgate_record *records, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int result = obey(context, records, i);
        if (result != 0) {
            return result;
        }
    }
    return 0;
}
