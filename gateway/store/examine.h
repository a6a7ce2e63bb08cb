/*
 * What lies in a log, from its first byte to its last; and copies of what is damaged there.
 *
 * Reads as any reader does, beside a writer in this or another process. One thread.
 */
#ifndef HEADGATE_STORE_EXAMINE_H
#define HEADGATE_STORE_EXAMINE_H

#include "journal.h"

struct journal_examination {
    uint64_t first; /* position of the oldest byte */
    uint64_t end;   /* behind the last record */
    uint64_t records;
    int64_t first_time_us; /* of the first and the last record; 0: there is none */
    int64_t last_time_us;
    uint64_t gaps;
    uint64_t gap_bytes;  /* damaged or missing, with valid records behind them */
    uint64_t torn_bytes; /* behind the last record, until the last that is not zero */
    unsigned segments;
    uint64_t bytes; /* that they take on disk */
};

/*
 * Reads every record; `gap` (may be NULL) is called for each stretch that holds none. Torn bytes
 * are no damage: a writer is in the middle of a record, or will cut them off when it starts. False
 * when the log cannot be read or a newer version wrote it.
 */
bool journal_examine(const struct os *os, const char *dir,
                     void (*gap)(void *context, uint64_t from, uint64_t to), void *context,
                     struct journal_examination *out, struct diag_list *diags) MUST_CHECK;

/*
 * Copies the damaged bytes [from, to) to files in `dir`/quarantine, one a segment, named
 * FROM-TO.bin, so that they outlive the segment. What is there already is left alone. Of a stretch
 * above 1 MiB the beginning is copied, and nothing when 100 files are there. `copied` (may be
 * NULL) gets how many files were written.
 */
bool journal_quarantine(const struct os *os, const char *dir, uint64_t from, uint64_t to,
                        unsigned *copied, struct diag_list *diags) MUST_CHECK;

/* How many files the quarantine holds; 0 also when it cannot be read. */
unsigned journal_quarantined(const struct os *os, const char *dir);

#endif
