/*
 * How far the wall clock can be trusted: a Raspberry Pi boots with the time of its last shutdown, or
 * with 1970, until NTP answers; and what set the clock may have been wrong.
 */
#ifndef HEADGATE_BASE_WALL_H
#define HEADGATE_BASE_WALL_H

#include "os.h"

/* Steps below this are a matter of timekeeping, and stay unnoticed. */
#define WALL_STEP_US INT64_C(2000000)

/* What was seen of the clock so far; starts zeroed. One thread, or a lock. */
struct wall {
    bool is_seen;
    int64_t offset_us; /* to the monotonic clock */
    int64_t since_us;  /* monotonic: since then it was not set */
};

/* Whether anybody has ever set the clock: it shows 2024 or later. */
bool wall_is_set(int64_t wall_us);

/* Looks at the clock. By how much it was set since the last look, in microseconds; 0: it was not. */
int64_t wall_look(struct wall *wall, const struct os *os);

/*
 * Whether something may be deleted because of the time that the clock shows. It may when NTP keeps
 * the clock; when nothing does, the clock is believed after it has been looked at for a day, and not
 * been set. Setting a clock makes the kernel call it unsynchronised until NTP confirms the new
 * time, so a jump of years alone deletes nothing.
 */
bool wall_is_believed(const struct wall *wall, const struct os *os);

/*
 * Whether nothing may even be refused because of it: the clock was never set, or the machine has
 * booted less than ten minutes ago, and NTP may still set it.
 */
bool wall_is_doubted(const struct os *os);

#endif
