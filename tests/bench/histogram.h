/*
 * A histogram of durations with a relative error below 1/32, in constant memory.
 *
 * Values are microseconds. Each power of two is cut into 32 equal parts, so 100 us and 10 s are
 * kept with the same relative precision; values beyond 2^40 us count as the largest.
 */
#ifndef HEADGATE_TESTS_HISTOGRAM_H
#define HEADGATE_TESTS_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_PARTS = 32,
    HISTOGRAM_POWERS = 36,
    HISTOGRAM_SLOTS = HISTOGRAM_PARTS * HISTOGRAM_POWERS,
};

struct histogram {
    uint64_t counts[HISTOGRAM_SLOTS];
    uint64_t total;
    int64_t max_us;
};

/* Negative values (a clock that differs) count as 0. */
void histogram_add(struct histogram *histogram, int64_t value_us);

/* The value that `share` (0..1) of all values do not exceed; 0 when empty. */
int64_t histogram_quantile(const struct histogram *histogram, double share);

#endif
