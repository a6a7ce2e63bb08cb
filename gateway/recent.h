/*
 * The topics of the last messages, with counts: what `headgate why` compares a silent rule's filter
 * with.
 *
 * Bounded: 512 topics in 128 sets of four; a new topic takes the place of the one in its set that
 * has been silent longest. A message costs one hash and at most four comparisons. Topics longer
 * than 256 bytes are not kept.
 *
 * Thread-safe.
 */
#ifndef HEADGATE_RECENT_H
#define HEADGATE_RECENT_H

#include "base/arena.h"

#include <stdint.h>

struct recent;

struct recent *recent_new(void);
void recent_free(struct recent *recent);

/* `time_us`: the message's arrival. */
void recent_note(struct recent *recent, struct bytes topic, int64_t time_us);

struct recent_topic {
    struct bytes topic;
    uint64_t count; /* since it is in the table */
    int64_t last_us;
};

/* All of them, in no order; in the arena. */
struct recent_topic *recent_list(struct recent *recent, struct arena *arena, size_t *count);

#endif
