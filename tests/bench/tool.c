#define _GNU_SOURCE
#include "tool.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

void
tool_options(const struct option_table *table, void *target, const char *about, int argc,
             char **argv)
{
    option_defaults(table, target);
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        struct buf help = {0};
        option_table_help(table, &help);
        printf("%s\n\nArguments are name=value:\n\n%s", about, buf_string(&help));
        buf_fini(&help);
        exit(0);
    }
    struct diag_list diags = {0};
    bool fine = true;
    for (int i = 1; i < argc && fine; i++) {
        struct bytes argument = bytes_of_string(argv[i]);
        size_t at = bytes_find(argument, '=');
        fine = option_set(table, target, bytes_slice(argument, 0, at),
                          bytes_slice(argument, at + 1, argument.size), NULL, &diags);
    }
    if (!fine || !option_check_required(table, target, NULL, &diags)) {
        struct buf text = {0};
        diag_list_print(&diags, &text);
        fprintf(stderr, "%s%s: see --help\n", buf_string(&text), argv[0]);
        exit(2);
    }
    diag_list_fini(&diags);
}

_Noreturn void
tool_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

int64_t
tool_mono_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

int64_t
tool_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

int64_t
tool_cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000LL +
           usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

void
tool_sequence_init(struct tool_sequence *sequence, int64_t first, int64_t count)
{
    check(count >= 0);
    *sequence = (struct tool_sequence){.first = first, .count = count};
    sequence->seen = mem_new_array(uint64_t, (size_t)count / 64 + 1);
}

void
tool_sequence_fini(struct tool_sequence *sequence)
{
    free(sequence->seen);
    sequence->seen = NULL;
}

void
tool_sequence_add(struct tool_sequence *sequence, int64_t number)
{
    int64_t at = number - sequence->first;
    if (number < sequence->first || at >= sequence->count) {
        sequence->foreign++;
        return;
    }
    uint64_t bit = 1ULL << (at % 64);
    if ((sequence->seen[at / 64] & bit) != 0) {
        sequence->duplicates++;
    } else {
        sequence->seen[at / 64] |= bit;
        sequence->distinct++;
    }
}

int64_t
tool_member(struct bytes payload, struct bytes quoted_key)
{
    const char *end = payload.data + payload.size;
    const char *at = memmem(payload.data, payload.size, quoted_key.data, quoted_key.size);
    if (at == NULL) {
        return -1;
    }
    at += quoted_key.size;
    while (at < end && (*at == ':' || *at == ' ')) {
        at++;
    }
    int64_t value = -1;
    while (at < end && *at >= '0' && *at <= '9') {
        value = (value < 0 ? 0 : value) * 10 + (*at++ - '0');
    }
    return value;
}
