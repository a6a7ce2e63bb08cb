/*
 * How old the records of a log are. A segment's header says when it began; its records are younger
 * than that, and those of the segments before are older. Not so where the clock was wrong for a
 * while: then what is young keeps all that lies behind it.
 */
#define _GNU_SOURCE
#include "journal.h"
#include "segment.h"

#include "base/wall.h"

#include <errno.h>
#include <fcntl.h>

/* A header that cannot be read, or of a clock that nobody had set or that was ahead: INT64_MAX. */
static int64_t
began_us(const struct os *os, const char *dir, uint64_t base)
{
    struct segment_header header;
    bool is_known = segment_header_load(os, dir, base, &header) == SEGMENT_GOOD &&
                    wall_is_set(header.created_us) && header.created_us <= os->wall_us(os);
    return is_known ? header.created_us : INT64_MAX;
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

/* The first segment that holds something younger: the next one began since. */
static size_t
find_young(const struct os *os, const char *dir, const struct segment_list *list, int64_t age_us)
{
    int64_t oldest_us = os->wall_us(os) - age_us;
    int64_t next_us = INT64_MAX;
    size_t young = list->count - 1;
    for (size_t i = list->count; i-- > 0;) {
        int64_t this_us = began_us(os, dir, list->bases[i]);
        /* When nobody knows: before the next one. */
        this_us = this_us == INT64_MAX ? next_us : this_us;
        young = this_us < oldest_us && next_us < oldest_us ? young : i;
        next_us = this_us;
    }
    return young;
}

/* The first segment from which on the log takes no more than that; the newest always stays. */
static size_t
find_within(const struct os *os, const char *dir, const struct segment_list *list,
            uint64_t bytes_max)
{
    size_t first = list->count - 1;
    uint64_t bytes = size_of(os, dir, list->bases[first]);
    while (first > 0 && (bytes += size_of(os, dir, list->bases[first - 1])) <= bytes_max) {
        first--;
    }
    return first;
}

static size_t
find_oldest_kept(const struct os *os, const char *dir, const struct segment_list *list,
                 const struct journal_retention *retention)
{
    size_t young = retention->age_us > 0 ? find_young(os, dir, list, retention->age_us) : 0;
    size_t within = retention->bytes > 0 ? find_within(os, dir, list, retention->bytes) : 0;
    return young > within ? young : within;
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
