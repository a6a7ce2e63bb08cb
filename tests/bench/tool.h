/*
 * What the measuring programs share: options as name=value arguments, and clocks.
 */
#ifndef HEADGATE_TESTS_TOOL_H
#define HEADGATE_TESTS_TOOL_H

#include "base/option.h"

#include <stdio.h>

/*
 * Sets `target` to the defaults and applies the arguments, each name=value. Prints the reference
 * and exits for "--help"; prints what is wrong and exits with 2 for anything that does not fit.
 */
void tool_options(const struct option_table *table, void *target, const char *about, int argc,
                  char **argv);

/* Prints the message and exits with 1. */
_Noreturn void tool_fail(const char *format, ...) PRINTF_LIKE(1, 2);

int64_t tool_mono_us(void);
int64_t tool_wall_ms(void);

/* User and system time of this process in microseconds. */
int64_t tool_cpu_us(void);

/* Sequence numbers seen, once and again. */
struct tool_sequence {
    uint64_t *seen; /* one bit a number */
    int64_t first, count;
    int64_t distinct, duplicates, foreign;
};

void tool_sequence_init(struct tool_sequence *sequence, int64_t first, int64_t count);
void tool_sequence_fini(struct tool_sequence *sequence);
void tool_sequence_add(struct tool_sequence *sequence, int64_t number);

/* The integer behind `"key":` in a JSON text that our own publisher made; -1 when absent. */
int64_t tool_member(struct bytes payload, struct bytes quoted_key);

#endif
