/* What the tests of the log share: numbered records on a disk in memory, and reading them back. */
#ifndef HEADGATE_TESTS_JOURNAL_RIG_H
#define HEADGATE_TESTS_JOURNAL_RIG_H

#include "unit.h"

#include "fault/crash_disk.h"
#include "store/journal.h"

enum { SEGMENT_BYTES = 1024, RECORD_MAX = 4096 };

static const char dir[] = "log";

struct reading {
    uint64_t numbers[512];
    uint64_t positions[512];
    size_t count;
    size_t gaps;
    uint64_t gap_bytes;
    uint64_t end;
};

/* A small log in `dir`. */
struct journal_options options_for(const struct os *os);

/* Fails the test when the log cannot be opened. */
struct journal *must_open(const struct journal_options *options);

/* Record number `n`: its text tells the number, its length differs. */
struct record numbered(uint64_t n, char text[64]);

/* Appends record number `n`; `out` may be NULL. */
bool try_append(struct journal *journal, uint64_t n, struct record *out);

/* Appends the numbers [from, to). */
void append_range(struct journal *journal, uint64_t from, uint64_t to);
bool try_sync(struct journal *journal);

/* The number of a record; fails the test when it is not exactly that one. */
uint64_t number_of(const struct record *record);

/* Reads what there is before `limit`; checks that positions and times rise. */
struct reading read_until(const struct os *os, uint64_t from, uint64_t limit);
struct reading read_all(const struct os *os);

/* The numbers [from, to) were read. */
void assert_numbers(const struct reading *reading, uint64_t from, uint64_t to);

/* The file of the first segment. */
struct buf *only_segment(struct crash_disk *disk);

/* The positions of the segments of an undamaged log. */
void list_segment_bases(const struct os *os, uint64_t *bases, size_t *count);

/* The file name of the segment at `base`. */
void path_of(uint64_t base, char path[64]);

#endif
