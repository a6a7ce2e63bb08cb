/*
 * Reads one segment file through a window of memory: the next record, or where the next valid one
 * is behind damaged bytes. Used by readers and by the writer's recovery.
 *
 * Offsets are the file's. The file may be appended to by another process meanwhile.
 */
#ifndef HEADGATE_STORE_SCAN_H
#define HEADGATE_STORE_SCAN_H

#include "segment.h"

struct scan {
    const struct os *os;
    int fd; /* not owned; -1: none */
    struct segment_header header;
    char *buffer;
    size_t capacity;
    uint64_t start; /* file offset of the window */
    size_t size;    /* bytes in the window */
    size_t chunk;   /* how much the next read asks for: grows while reading on */
};

enum scan_result {
    SCAN_RECORD,
    SCAN_BLANK, /* zeros or the end of the file */
    SCAN_BAD,   /* bytes that are no record */
    SCAN_ERROR, /* `os_error` holds a positive errno */
    SCAN_LIMIT, /* only scan_search: gave up after too much work */
};

/* Begins with a file; the memory of the one before is used on. */
void scan_begin(struct scan *scan, const struct os *os, int fd,
                const struct segment_header *header);
void scan_fini(struct scan *scan);

/* Forgets the window, so that the next call reads from the file. */
void scan_refresh(struct scan *scan);

/*
 * The record at `offset`. `end` is a file offset that no record crosses and behind which nothing
 * is read (UINT64_MAX: the end of the file). The record's bytes are borrowed until the next call.
 */
enum scan_result scan_next(struct scan *scan, uint64_t offset, uint64_t end, struct record *out,
                           int *os_error);

/*
 * Looks for the first valid record behind the damaged bytes at `damaged` and before `end`, which
 * is not behind the file's end. SCAN_RECORD sets `found`; SCAN_BLANK: all bytes from `damaged` on
 * are zero; SCAN_BAD: there are others, but no record.
 */
enum scan_result scan_search(struct scan *scan, uint64_t damaged, uint64_t end, uint64_t *found,
                             int *os_error);

#endif
