/*
 * One segment file of a log: its name, its header, its records. The layout is told in segment.c.
 *
 * Private to store/: journal.c writes segments, reader.c reads them, both through scan.h.
 * Pure but for the listing and the header; no threads.
 */
#ifndef HEADGATE_STORE_SEGMENT_H
#define HEADGATE_STORE_SEGMENT_H

#include "journal.h"

enum {
    SEGMENT_HEADER_BYTES = 64,
    SEGMENT_VERSION = 1,
    LOG_ID_BYTES = 12,
    RECORD_BYTES_LEAST = 8,                /* checksum, length, flags, time, topic length */
    RECORD_OVERHEAD_BYTES_MAX = 32,        /* what encoding adds to topic, props and payload */
    RECORD_BYTES_LIMIT = 64 * 1024 * 1024, /* a length above this is damage, never an allocation */
};

#define SEGMENT_SUFFIX ".seg"
#define SEGMENT_FRESH_SUFFIX ".new" /* what shall take a segment's place: mend.c */

struct segment_header {
    uint64_t base;           /* position of the header's first byte; the file's name */
    uint64_t previous_end;   /* where the segment before ended; below `base` after a restart */
    uint64_t records_before; /* in the log's whole life */
    int64_t created_us;      /* wall clock, not below the time of any record before */
    uint32_t boot;           /* of the machine that appends to it */
    uint32_t salt;           /* random; part of every checksum */
    char log_id[LOG_ID_BYTES];
    bool is_corrected;       /* one byte of it was damaged on disk */
};

enum segment_state {
    SEGMENT_GOOD,
    SEGMENT_BLANK,   /* no header was ever written: its creation was cut off */
    SEGMENT_DAMAGED, /* not a header, or of another position */
    SEGMENT_NEWER,   /* of a format version that we do not know */
};

void segment_header_encode(const struct segment_header *header, struct buf *out);
enum segment_state segment_header_decode(struct bytes bytes, uint64_t base,
                                         struct segment_header *out);

/* Reads and decodes the header of an open file; a negative errno, or an enum segment_state. */
int segment_header_read(const struct os *os, int fd, uint64_t base, struct segment_header *out);

/* The same by position: opens and closes the file. */
int segment_header_load(const struct os *os, const char *dir, uint64_t base,
                        struct segment_header *out);

/* Appends the name of the file. */
void segment_path(struct buf *out, const char *dir, uint64_t base);

/* Opens the file of a position: a descriptor or a negative errno. */
int segment_open(const struct os *os, const char *dir, uint64_t base, int flags);
int segment_unlink(const struct os *os, const char *dir, uint64_t base);

/* Positions of the segments in a directory, rising. */
struct segment_list {
    uint64_t *bases;
    size_t count;
    size_t capacity;
};

int segment_list_read(const struct os *os, const char *dir, struct segment_list *out);
void segment_list_fini(struct segment_list *list);

/* The index of the last segment that begins at or before `position`, or SIZE_MAX. */
size_t segment_list_find(const struct segment_list *list, uint64_t position);

/*
 * Which log this directory holds: what the lock file says when a segment agrees, else what the
 * newest good segment says. False when there is neither.
 */
bool segment_log_id(const struct os *os, const char *dir, const struct segment_list *list,
                    char out[LOG_ID_BYTES]);

/* A number that is the same as long as the machine runs: page cache written under it is there. */
uint32_t segment_boot(const struct os *os);

/* ---- records ---- */

/* Appends the record's bytes as they are at `record->position`. */
void segment_record_encode(const struct segment_header *header, const struct record *record,
                           struct buf *out);

enum record_state {
    RECORD_GOOD,
    RECORD_BLANK, /* zeros: nothing was written here */
    RECORD_BAD,
    RECORD_CUT, /* the window ends before the record: `size` says how much it takes to judge it */
};

/* Decodes the record at the front of `window`, which lies at `position`. Views into `window`. */
enum record_state segment_record_decode(const struct segment_header *header, uint64_t position,
                                        struct bytes window, struct record *out, size_t *size);

#endif
