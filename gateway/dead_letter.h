/*
 * What could not be delivered and never can be: the original bytes with the whole story.
 *
 * The dead letters of a sink are a log (store/journal.h). One record of it is one letter: topic =
 * topic of the input message, payload = the payload for the sink, time = when it was given up,
 * props = all other fields. Other records say that letters are gone: a removal (dead_list.h).
 */
#ifndef HEADGATE_DEAD_LETTER_H
#define HEADGATE_DEAD_LETTER_H

#include "driver.h"
#include "store/journal.h"

struct dead_letter {
    struct sink_record record;
    struct bytes sink;
    struct bytes reason;      /* one sentence, from the sink's driver */
    unsigned attempts;        /* how often it was handed to the driver */
    int64_t first_attempt_us; /* wall clock */
    int64_t last_attempt_us;
};

/* Fills `out`: topic and payload are those of the letter, props are in `props`. */
void dead_letter_encode(const struct dead_letter *letter, struct buf *props, struct record *out);

/* Views into `record`; false when the props are not those of a letter. */
bool dead_letter_decode(const struct record *record, struct dead_letter *out);

/* The letters at positions [from, to) are gone: delivered after all, or dropped. */
struct dead_removal {
    uint64_t from;
    uint64_t to;
};

void dead_removal_encode(const struct dead_removal *removal, struct buf *props,
                         struct record *out);
bool dead_removal_decode(const struct record *record, struct dead_removal *out);

/* ---- writing: one sink's dead letters ---- */

/*
 * A zeroed one with os and dir is closed; the log is opened by the first letter. One thread at a
 * time.
 */
struct dead_letters {
    const struct os *os;
    const char *dir; /* borrowed */
    uint64_t max_bytes; /* of the log; beyond it the oldest letters are dropped. 0: any */
    struct journal *journal;
    uint64_t first;   /* no letter lies before it */
    uint64_t dropped; /* letters, because of max_bytes */
};

/*
 * Appends `count` letters and, for each that has a dead_position, that the letter there is gone;
 * syncs. On false some may be in the log: write all of them again (a letter may then be there
 * twice, never not at all).
 */
bool dead_letters_write(struct dead_letters *letters, const struct dead_letter *items,
                        size_t count, struct diag_list *diags) MUST_CHECK;

/* The letters at these positions were delivered after all. Cheap; gives no space back. */
bool dead_letters_settle(struct dead_letters *letters, const uint64_t *positions, size_t count,
                         struct diag_list *diags) MUST_CHECK;

/*
 * The letters at [from, to) are gone from now on; `*count` becomes how many there were. Gives space
 * back where it can.
 */
bool dead_letters_remove(struct dead_letters *letters, uint64_t from, uint64_t to,
                         uint64_t *count, struct diag_list *diags) MUST_CHECK;
void dead_letters_close(struct dead_letters *letters);

#endif
