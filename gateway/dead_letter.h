/*
 * What could not be delivered and never can be: the original bytes with the whole story.
 *
 * The dead letters of a sink are a log (store/journal.h). One record of it is one letter: topic =
 * topic of the input message, payload = the payload for the sink, time = when it was given up,
 * props = all other fields.
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

/* ---- writing: one sink's dead letters ---- */

/* A zeroed one with os and dir is closed; the log is opened by the first letter. One thread. */
struct dead_letters {
    const struct os *os;
    const char *dir; /* borrowed */
    struct journal *journal;
};

/*
 * Appends `count` letters and syncs. On false some may be in the log: write all of them again
 * (a letter may then be there twice, never not at all).
 */
bool dead_letters_write(struct dead_letters *letters, const struct dead_letter *items,
                        size_t count, struct diag_list *diags) MUST_CHECK;
void dead_letters_close(struct dead_letters *letters);

#endif
