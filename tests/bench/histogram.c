/*
 * Slots: values below 32 have one each; above, a value with its highest bit at 2^p lies in group
 * p - 4, at the offset given by the 5 bits behind the highest.
 *
 *   value 0..31 -> slot 0..31      32..63 -> 32..63 (step 1)      64..127 -> 64..95 (step 2) ...
 */
#include "histogram.h"

#include "base/check.h"

static unsigned
slot_of(uint64_t value)
{
    if (value < HISTOGRAM_PARTS) {
        return (unsigned)value;
    }
    unsigned power = 63U - (unsigned)__builtin_clzll(value);
    unsigned slot = (power - 4) * HISTOGRAM_PARTS +
                    (unsigned)((value >> (power - 5)) - HISTOGRAM_PARTS);
    return slot < HISTOGRAM_SLOTS ? slot : HISTOGRAM_SLOTS - 1;
}

/* The largest value of a slot. */
static int64_t
slot_value(unsigned slot)
{
    if (slot < HISTOGRAM_PARTS) {
        return slot;
    }
    unsigned power = slot / HISTOGRAM_PARTS + 4;
    uint64_t part = slot % HISTOGRAM_PARTS + HISTOGRAM_PARTS;
    return (int64_t)(((part + 1) << (power - 5)) - 1);
}

void
histogram_add(struct histogram *histogram, int64_t value_us)
{
    uint64_t value = value_us < 0 ? 0 : (uint64_t)value_us;
    histogram->counts[slot_of(value)]++;
    histogram->total++;
    if ((int64_t)value > histogram->max_us) {
        histogram->max_us = (int64_t)value;
    }
}

int64_t
histogram_quantile(const struct histogram *histogram, double share)
{
    check(share >= 0 && share <= 1);
    double wanted = share * (double)histogram->total;
    uint64_t seen = 0;
    for (unsigned slot = 0; slot < HISTOGRAM_SLOTS; slot++) {
        seen += histogram->counts[slot];
        if (seen > 0 && (double)seen >= wanted) {
            int64_t value = slot_value(slot);
            return value < histogram->max_us ? value : histogram->max_us;
        }
    }
    return histogram->max_us;
}
