/*
 * Examining a log by reading it, and keeping copies of damaged bytes.
 *
 * Damaged bytes stay in their segment, because positions are never moved, and go with it when it is
 * trimmed. The copy is for whoever wants to know what they were: a message that can be read by eye,
 * or the pattern of a dying card.
 */
#define _GNU_SOURCE
#include "examine.h"

#include "base/mem.h"
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    LOOK_BYTES = 64 * 1024,
    QUARANTINE_FILES_MAX = 100,
    QUARANTINE_BYTES_MAX = 1024 * 1024,
};

/* ---- examining ---- */

static ssize_t
read_at(const struct os *os, int fd, char *out, size_t size, uint64_t offset)
{
    ssize_t n;
    do {
        n = os->pread(os, fd, out, size, (int64_t)offset);
    } while (n == -EINTR);
    return n;
}

/* Bytes from `position` to the last one of the newest segment that is not zero. */
static uint64_t
count_torn(const struct os *os, const char *dir, uint64_t position)
{
    struct segment_list list = {0};
    uint64_t torn = 0;
    size_t index = segment_list_read(os, dir, &list) == 0 ? segment_list_find(&list, position)
                                                          : SIZE_MAX;
    int fd = index == SIZE_MAX ? -1 : segment_open(os, dir, list.bases[index], O_RDONLY);
    if (fd >= 0) {
        char *bytes = mem_alloc(LOOK_BYTES);
        uint64_t start = position - list.bases[index];
        uint64_t offset = start;
        ssize_t n;
        while ((n = read_at(os, fd, bytes, LOOK_BYTES, offset)) > 0) {
            for (size_t i = (size_t)n; i > 0; i--) {
                if (bytes[i - 1] != 0) {
                    torn = offset + i - start;
                    break;
                }
            }
            offset += (uint64_t)n;
        }
        free(bytes);
        os->close(os, fd);
    }
    segment_list_fini(&list);
    return torn;
}

static void
note_record(struct journal_examination *out, const struct record *record)
{
    out->records++;
    out->first_time_us = out->first_time_us == 0 ? record->time_us : out->first_time_us;
    out->last_time_us = record->time_us;
}

static bool
read_all(struct journal_reader *reader, void (*gap)(void *context, uint64_t from, uint64_t to),
         void *context, struct journal_examination *out, struct diag_list *diags)
{
    for (;;) {
        struct record record;
        switch (journal_reader_next(reader, UINT64_MAX, &record, diags)) {
        case JOURNAL_RECORD:
            note_record(out, &record);
            break;
        case JOURNAL_GAP:
            out->gaps++;
            out->gap_bytes += record.next - record.position;
            if (gap != NULL) {
                gap(context, record.position, record.next);
            }
            break;
        case JOURNAL_END:
            return true;
        case JOURNAL_ERROR:
            return false;
        }
    }
}

bool
journal_examine(const struct os *os, const char *dir,
                void (*gap)(void *context, uint64_t from, uint64_t to), void *context,
                struct journal_examination *out, struct diag_list *diags)
{
    struct journal_examination found = {0};
    struct journal_extent extent;
    struct journal_reader *reader = NULL;
    if (!journal_extent(os, dir, &extent, diags) ||
        !journal_reader_open(&reader, os, dir, 0, diags)) {
        return false;
    }
    bool is_read = read_all(reader, gap, context, &found, diags);
    found.first = extent.first;
    found.segments = extent.segments;
    found.bytes = extent.bytes;
    found.end = journal_reader_position(reader);
    found.torn_bytes = is_read ? count_torn(os, dir, found.end) : 0;
    journal_reader_close(reader);
    *out = found;
    return is_read;
}

/* ---- quarantine ---- */

static void
count_name(void *context, const char *name)
{
    *(unsigned *)context += name[0] != '\0';
}

static void
quarantine_dir(const char *dir, struct buf *out)
{
    buf_printf(out, "%s/quarantine", dir);
}

unsigned
journal_quarantined(const struct os *os, const char *dir)
{
    struct buf path = {0};
    unsigned count = 0;
    quarantine_dir(dir, &path);
    bool is_listed = os->list(os, buf_string(&path), count_name, &count) == 0;
    buf_fini(&path);
    return is_listed ? count : 0;
}

/* The bytes of one segment in [from, to), as far as there are any. */
static int
read_piece(const struct os *os, const char *dir, uint64_t base, uint64_t from, uint64_t to,
           struct buf *out)
{
    int fd = segment_open(os, dir, base, O_RDONLY);
    if (fd < 0) {
        return fd;
    }
    size_t wanted = to - from > QUARANTINE_BYTES_MAX ? QUARANTINE_BYTES_MAX : (size_t)(to - from);
    char *bytes = buf_reserve(out, wanted);
    ssize_t n = 1;
    while (out->size < wanted && n > 0) {
        n = read_at(os, fd, bytes + out->size, wanted - out->size, from - base + out->size);
        out->size += n > 0 ? (size_t)n : 0;
    }
    os->close(os, fd);
    return n < 0 ? (int)n : 0;
}

static bool
is_there(const struct os *os, const char *path)
{
    int fd = os->open(os, path, O_RDONLY, 0);
    if (fd >= 0) {
        os->close(os, fd);
    }
    return fd >= 0;
}

/* 1: written; 0: nothing to do; a negative errno. */
static int
keep_piece(const struct os *os, const char *dir, uint64_t base, uint64_t from, uint64_t to)
{
    struct buf path = {0}, bytes = {0};
    quarantine_dir(dir, &path);
    int result = read_piece(os, dir, base, from, to, &bytes);
    bool is_wanted = result == 0 && bytes.size > 0 &&
                     journal_quarantined(os, dir) < QUARANTINE_FILES_MAX;
    if (is_wanted) {
        result = os_make_dirs(os, buf_string(&path), 0750);
        buf_printf(&path, "/%020" PRIu64 "-%020" PRIu64 ".bin", from, to);
        is_wanted = result == 0 && !is_there(os, buf_string(&path));
    }
    if (is_wanted) {
        result = os_replace_file(os, buf_string(&path), buf_bytes(&bytes), 0640);
    }
    buf_fini(&path);
    buf_fini(&bytes);
    return result < 0 ? result : is_wanted;
}

bool
journal_quarantine(const struct os *os, const char *dir, uint64_t from, uint64_t to,
                   unsigned *copied, struct diag_list *diags)
{
    struct segment_list list = {0};
    unsigned count = 0;
    int result = segment_list_read(os, dir, &list);
    for (size_t i = 0; i < list.count && result == 0; i++) {
        uint64_t begin = list.bases[i];
        uint64_t end = i + 1 < list.count ? list.bases[i + 1] : UINT64_MAX;
        uint64_t piece_from = from > begin ? from : begin;
        uint64_t piece_to = to < end ? to : end;
        if (piece_from < piece_to) {
            int kept = keep_piece(os, dir, begin, piece_from, piece_to);
            result = kept < 0 ? kept : 0;
            count += kept == 1;
        }
    }
    segment_list_fini(&list);
    if (copied != NULL) {
        *copied = count;
    }
    if (result < 0) {
        diag_io_error(diags, -result, "cannot copy damaged bytes of '%s' to its quarantine", dir);
    }
    return result == 0;
}
