/*
 * A window over one segment file.
 *
 * The window begins small and doubles with every read up to SCAN_CHUNK_MAX, so that following a
 * slow log costs little and replaying a long one costs one system call per 256 KiB. A record that
 * is larger than the window makes it grow.
 *
 * Searching behind damage tries every offset. What looks like a record costs a checksum over its
 * length; hostile bytes could make each of them long, so the work is limited. The limit is far
 * above what damage in text payloads needs. Beyond it the damaged record's own length is believed
 * when a valid record follows; this is not done first, because a damaged length may by chance
 * lead to a valid record farther on and hide those before it.
 */
#define _GNU_SOURCE
#include "scan.h"

#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>

enum {
    SCAN_CHUNK_MIN = 4 * 1024,
    SCAN_CHUNK_MAX = 256 * 1024,
    SEARCH_WORK_BYTES_MAX = 256 * 1024 * 1024,
};

void
scan_begin(struct scan *scan, const struct os *os, int fd, const struct segment_header *header)
{
    scan->os = os;
    scan->fd = fd;
    scan->header = *header;
    scan->chunk = SCAN_CHUNK_MIN;
    scan_refresh(scan);
}

void
scan_fini(struct scan *scan)
{
    free(scan->buffer);
    *scan = (struct scan){.fd = -1};
}

void
scan_refresh(struct scan *scan)
{
    scan->size = 0;
    scan->start = 0;
    scan->chunk = SCAN_CHUNK_MIN;
}

static struct bytes
window_at(const struct scan *scan, uint64_t offset)
{
    if (offset < scan->start || offset - scan->start >= scan->size) {
        return bytes_of(scan->buffer, 0);
    }
    size_t skip = (size_t)(offset - scan->start);
    return bytes_of(scan->buffer + skip, scan->size - skip);
}

/* Makes the window begin at `offset`, keeping what it already holds from there on. */
static void
slide(struct scan *scan, uint64_t offset, size_t capacity)
{
    struct bytes kept = window_at(scan, offset);
    if (scan->capacity < capacity) {
        char *buffer = mem_alloc(capacity);
        if (kept.size > 0) {
            memcpy(buffer, kept.data, kept.size);
        }
        free(scan->buffer);
        scan->buffer = buffer;
        scan->capacity = capacity;
    } else if (kept.size > 0) {
        memmove(scan->buffer, kept.data, kept.size);
    }
    scan->start = offset;
    scan->size = kept.size;
}

/*
 * The bytes from `offset` on: at least `wanted`, unless `end` or the file's end comes before.
 * 0 or a negative errno.
 */
static int
load(struct scan *scan, uint64_t offset, uint64_t end, size_t wanted, struct bytes *out)
{
    *out = window_at(scan, offset);
    if (out->size < wanted) {
        size_t room = wanted > scan->chunk ? wanted + scan->chunk : scan->chunk;
        scan->chunk = scan->chunk >= SCAN_CHUNK_MAX ? SCAN_CHUNK_MAX : scan->chunk * 2;
        slide(scan, offset, room);
        if (end - offset < room) {
            room = (size_t)(end - offset);
        }
        while (scan->size < room) {
            ssize_t n = scan->os->pread(scan->os, scan->fd, scan->buffer + scan->size,
                                        room - scan->size, (int64_t)(offset + scan->size));
            if (n < 0 && n != -EINTR) {
                return (int)n;
            }
            if (n == 0) {
                break;
            }
            scan->size += n > 0 ? (size_t)n : 0;
        }
        *out = window_at(scan, offset);
    }
    if (end - offset < out->size) {
        out->size = (size_t)(end - offset);
    }
    return 0;
}

static size_t
count_zeros(struct bytes bytes)
{
    size_t i = 0;
    for (uint64_t word; i + sizeof word <= bytes.size; i += sizeof word) {
        memcpy(&word, bytes.data + i, sizeof word);
        if (word != 0) {
            break;
        }
    }
    while (i < bytes.size && bytes.data[i] == 0) {
        i++;
    }
    return i;
}

/* Decodes at `offset`, loading as much as that takes; RECORD_CUT when the file has no more. */
static int
decode(struct scan *scan, uint64_t offset, uint64_t end, struct record *out,
       enum record_state *state, struct bytes *window, size_t *size)
{
    size_t wanted = RECORD_BYTES_LEAST;
    for (;;) {
        int result = load(scan, offset, end, wanted, window);
        if (result < 0) {
            return result;
        }
        *state = segment_record_decode(&scan->header, scan->header.base + offset, *window, out,
                                       size);
        if (*state != RECORD_CUT || window->size < wanted || *size > end - offset) {
            return 0;
        }
        wanted = *size;
        if (wanted > SCAN_CHUNK_MAX) { /* a damaged length must not make us allocate it */
            int64_t file_size = scan->os->size(scan->os, scan->fd);
            if (file_size < 0) {
                return (int)file_size;
            }
            if ((uint64_t)file_size < offset + wanted) {
                return 0;
            }
        }
    }
}

enum scan_result
scan_next(struct scan *scan, uint64_t offset, uint64_t end, struct record *out, int *os_error)
{
    enum record_state state;
    struct bytes window;
    size_t size;
    int result = decode(scan, offset, end, out, &state, &window, &size);
    if (result < 0) {
        *os_error = -result;
        return SCAN_ERROR;
    }
    if (state == RECORD_GOOD) {
        return SCAN_RECORD;
    }
    bool is_blank = state == RECORD_BLANK ||
                    (state == RECORD_CUT && count_zeros(window) == window.size);
    return is_blank ? SCAN_BLANK : SCAN_BAD;
}

/* Whether the damaged record at `offset` still tells its length, and a valid one follows it. */
static enum scan_result
hop(struct scan *scan, uint64_t offset, uint64_t end, uint64_t *found, int *os_error)
{
    struct record record;
    enum record_state state;
    struct bytes window;
    size_t size;
    int result = decode(scan, offset, end, &record, &state, &window, &size);
    uint64_t next = offset + size;
    if (result == 0 && next < end) {
        result = decode(scan, next, end, &record, &state, &window, &size);
        if (result == 0 && state == RECORD_GOOD) {
            *found = next;
            return SCAN_RECORD;
        }
    }
    *os_error = -result;
    return result < 0 ? SCAN_ERROR : SCAN_LIMIT;
}

enum scan_result
scan_search(struct scan *scan, uint64_t damaged, uint64_t end, uint64_t *found, int *os_error)
{
    bool is_blank = true;
    uint64_t work = 0;
    for (uint64_t offset = damaged; offset < end;) {
        struct bytes window;
        int result = load(scan, offset, end, RECORD_BYTES_LEAST, &window);
        if (result < 0) {
            *os_error = -result;
            return SCAN_ERROR;
        }
        if (window.size == 0) {
            break;
        }
        /* The checksum in front of a record may begin with zeros, four at most. */
        size_t zeros = count_zeros(window);
        is_blank = is_blank && zeros == window.size;
        if (zeros > 4) {
            offset += zeros - 4;
            continue;
        }
        struct record record;
        enum record_state state;
        size_t size = 0;
        result = decode(scan, offset, end, &record, &state, &window, &size);
        if (result < 0) {
            *os_error = -result;
            return SCAN_ERROR;
        }
        if (state == RECORD_GOOD && offset > damaged) {
            *found = offset;
            return SCAN_RECORD;
        }
        work += state == RECORD_CUT ? RECORD_BYTES_LEAST : size;
        if (work > SEARCH_WORK_BYTES_MAX) {
            return hop(scan, damaged, end, found, os_error);
        }
        offset++;
    }
    return is_blank ? SCAN_BLANK : SCAN_BAD;
}
