/*
 * Reading a sink's dead letters: those that are still there.
 *
 * The log of dead letters only grows. A letter that was dropped, or delivered after all, stays where
 * it is and a *removal* behind it says so: a range of positions. So a letter's position names it for
 * ever, and reading is one pass for the removals and one for the letters.
 *
 * Reads beside a writer in this or another process. One thread.
 */
#ifndef HEADGATE_DEAD_LIST_H
#define HEADGATE_DEAD_LIST_H

#include "dead_letter.h"

struct dead_item {
    uint64_t position;
    uint64_t next; /* behind it; any later letter lies there or behind */
    struct dead_letter letter; /* borrowed until the next one */
};

/* One letter, in the order of the log; false ends the reading. */
typedef bool (*dead_item_fn)(void *context, const struct dead_item *item);

/*
 * Calls `each` for the letters of the log in `dir`; none when there is no such folder. What is
 * damaged is passed over. False when the log cannot be read.
 */
bool dead_list_each(const struct os *os, const char *dir, dead_item_fn each, void *context,
                    struct diag_list *diags) MUST_CHECK;

#endif
