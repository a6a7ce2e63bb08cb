/*
 * How old the records of a log are. A segment's header says when it began; its records are younger
 * than that, and those of the segments before are older.
 */
#define _GNU_SOURCE
#include "journal.h"
#include "segment.h"

#include <errno.h>
#include <fcntl.h>

/* When the segment began; a header that cannot be read: at no time, so that it stays. */
static int64_t
began_us(const struct os *os, const char *dir, uint64_t base)
{
    struct segment_header header;
    return segment_header_load(os, dir, base, &header) == SEGMENT_GOOD ? header.created_us
                                                                       : INT64_MAX;
}

static uint64_t
size_of(const struct os *os, const char *dir, uint64_t base)
{
    int fd = segment_open(os, dir, base, O_RDONLY);
    int64_t size = fd < 0 ? 0 : os->size(os, fd);
    if (fd >= 0) {
        os->close(os, fd);
    }
    return size < 0 ? 0 : (uint64_t)size;
}

/* The oldest segment of those from the newest on that are kept. */
static size_t
find_oldest_kept(const struct os *os, const char *dir, const struct segment_list *list,
                 const struct journal_retention *retention)
{
    int64_t oldest_us = os->wall_us(os) - retention->age_us;
    size_t kept = list->count - 1;
    uint64_t bytes = size_of(os, dir, list->bases[kept]);
    while (kept > 0) {
        bytes += size_of(os, dir, list->bases[kept - 1]);
        bool is_old = retention->age_us > 0 && began_us(os, dir, list->bases[kept]) < oldest_us;
        if (is_old || (retention->bytes > 0 && bytes > retention->bytes)) {
            break;
        }
        kept--;
    }
    return kept;
}

bool
journal_retained_from(const struct os *os, const char *dir,
                      const struct journal_retention *retention, uint64_t *out,
                      struct diag_list *diags)
{
    struct segment_list list = {0};
    *out = UINT64_MAX;
    if (retention->age_us == 0 && retention->bytes == 0) {
        return true;
    }
    int result = segment_list_read(os, dir, &list);
    if (result == 0 && list.count > 0) {
        *out = list.bases[find_oldest_kept(os, dir, &list, retention)];
    } else if (result < 0) {
        diag_io_error(diags, -result, "cannot list '%s'", dir);
    }
    segment_list_fini(&list);
    return result >= 0;
}

/* The newest segment that began before that time, or the oldest. */
static uint64_t
find_segment(const struct os *os, const char *dir, const struct segment_list *list,
             int64_t time_us)
{
    size_t i = list->count - 1;
    while (i > 0 && began_us(os, dir, list->bases[i]) >= time_us) {
        i--;
    }
    return list->bases[i];
}

bool
journal_find_time(const struct os *os, const char *dir, int64_t time_us, uint64_t *out,
                  struct diag_list *diags)
{
    struct segment_list list = {0};
    struct journal_reader *reader;
    int result = segment_list_read(os, dir, &list);
    uint64_t from = result == 0 && list.count > 0 ? find_segment(os, dir, &list, time_us) : 0;
    segment_list_fini(&list);
    if (result < 0) {
        diag_io_error(diags, -result, "cannot list '%s'", dir);
        return false;
    }
    if (!journal_reader_open(&reader, os, dir, from, diags)) {
        return false;
    }
    struct record record;
    enum journal_read read = JOURNAL_GAP;
    bool is_found = false;
    while ((read == JOURNAL_RECORD || read == JOURNAL_GAP) && !is_found) {
        read = journal_reader_next(reader, UINT64_MAX, &record, diags);
        is_found = read == JOURNAL_RECORD && record.time_us >= time_us;
    }
    *out = is_found ? record.position : journal_reader_position(reader);
    journal_reader_close(reader);
    return read != JOURNAL_ERROR;
}
