/*
 * The text of a generated message: literal parts with place holders, cut once, filled often.
 *
 *   %n sequence number   %t CLOCK_MONOTONIC in microseconds   %m wall clock in milliseconds
 *   %d sensor number     %v a temperature, 10..180            %%  a percent sign
 */
#ifndef HEADGATE_TESTS_TEMPLATE_H
#define HEADGATE_TESTS_TEMPLATE_H

#include "base/buf.h"

enum { TEMPLATE_PARTS_MAX = 32 };

struct template_part {
    struct bytes literal; /* comes before the value */
    char value;           /* the letter of the place holder; 0 for none */
};

struct template {
    struct template_part parts[TEMPLATE_PARTS_MAX];
    unsigned count;
};

struct template_values {
    int64_t sequence;
    int64_t mono_us;
    int64_t wall_ms;
    int64_t sensor;
    int64_t temperature;
};

/* False when a place holder is unknown or there are too many. Borrows `text`. */
bool template_cut(struct template *out, struct bytes text) MUST_CHECK;

void template_fill(const struct template *template, const struct template_values *values,
                   struct buf *out);

#endif
