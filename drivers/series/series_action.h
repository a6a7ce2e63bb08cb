/*
 * What the parameters of AWS IoT's timestream action say of a row:
 *
 *   {"dimensions":[{"name","value"}],"timestamp":{"value","unit"}}
 *
 * Values are strings; the unit is SECONDS, MILLISECONDS, MICROSECONDS or NANOSECONDS. Pure.
 */
#ifndef HEADGATE_DRIVERS_SERIES_ACTION_H
#define HEADGATE_DRIVERS_SERIES_ACTION_H

#include "series_store.h"

struct series_action {
    bool is_given; /* else the table's options and columns say what a row is */
    const struct series_dimension *dimensions;
    size_t dimension_count;
    bool has_time;
    int64_t time_ns;
    struct bytes time_text; /* value and unit as written, for messages */
};

/* In the arena; empty `params`: not given. False: `reason` is why no row can be made with them. */
bool series_action_read(struct bytes params, struct arena *arena, struct series_action *out,
                        struct bytes *reason) MUST_CHECK;

/* Whether Timestream keeps a name of a dimension or measure for itself. */
bool series_action_is_reserved(struct bytes name);

#endif
