/*
 * How much of the disk a log may take: judged when a segment begins, because space is taken a
 * segment at a time.
 *
 *   too large, or too little of the disk left
 *     hold           appends fail; readers let segments go (journal_trim) as they come along
 *     drops_oldest   the oldest segments are unlinked, read or not, until there is space
 *
 * The newest segment always stays, even when all of it has been read. So a second one is always
 * allowed by `bytes_max`: with less a log could wait for ever for itself.
 */
#define _GNU_SOURCE
#include "journal_state.h"

#include <errno.h>
#include <inttypes.h>

enum { SEGMENTS_LEAST = 2 }; /* that bytes_max must allow */

/* Why there is no space for `size` more bytes; empty: there is. A disk that does not say is taken
 * for one with space: allocating tells. */
static void
find_obstacle(const struct journal *journal, const struct journal_extent *extent, uint64_t size,
              struct buf *out)
{
    int64_t free_bytes = journal->free_min_bytes == 0
                                 ? INT64_MAX
                                 : journal->os->free_bytes(journal->os, journal->dir);
    if (extent->segments >= SEGMENTS_LEAST && extent->bytes + size > journal->bytes_max) {
        buf_printf(out, "it takes %" PRIu64 " of the %" PRIu64 " bytes that it may", extent->bytes,
                   journal->bytes_max);
    } else if (free_bytes >= 0 && free_bytes - journal->free_min_bytes < (int64_t)size) {
        buf_printf(out, "%" PRId64 " bytes are left on the disk, %" PRId64 " are kept free",
                   free_bytes, journal->free_min_bytes);
    }
}

/* Records of the oldest segment, from the numbers in its header and the next one's; 0: unknown. */
static uint64_t
count_records(const struct journal *journal, const struct segment_list *list)
{
    struct segment_header oldest, next;
    bool is_known = segment_header_load(journal->os, journal->dir, list->bases[0], &oldest) ==
                            SEGMENT_GOOD &&
                    segment_header_load(journal->os, journal->dir, list->bases[1], &next) ==
                            SEGMENT_GOOD;
    return is_known && next.records_before > oldest.records_before
                   ? next.records_before - oldest.records_before
                   : 0;
}

/* False: there is nothing to drop, or the disk does not let us. */
static bool
drop_oldest(struct journal *journal, struct diag_list *diags)
{
    struct segment_list list = {0};
    int result = segment_list_read(journal->os, journal->dir, &list);
    bool is_dropped = false;
    if (result == 0 && list.count >= SEGMENTS_LEAST) {
        uint64_t records = count_records(journal, &list);
        result = segment_unlink(journal->os, journal->dir, list.bases[0]);
        is_dropped = result == 0 || result == -ENOENT; /* a reader's trim came first */
        if (result == 0) {
            atomic_fetch_add(&journal->dropped, records);
            journal_warn(journal, diags,
                         "it is full: dropped its oldest %" PRIu64
                         " records, before position %" PRIu64,
                         records, list.bases[1]);
        }
    }
    segment_list_fini(&list);
    return is_dropped;
}

bool
journal_make_space(struct journal *journal, uint64_t size, struct diag_list *diags)
{
    if (journal->bytes_max == UINT64_MAX && journal->free_min_bytes == 0) {
        return true;
    }
    for (;;) {
        struct journal_extent extent;
        struct buf obstacle = {0};
        if (!journal_extent(journal->os, journal->dir, &extent, diags)) {
            return false;
        }
        find_obstacle(journal, &extent, size, &obstacle);
        bool has_space = obstacle.size == 0;
        bool goes_on = !has_space && journal->drops_oldest && drop_oldest(journal, diags);
        if (!has_space && !goes_on) {
            diag_error(diags, DIAG_BUSY, "log '%s' is full: %s", journal->dir,
                       buf_string(&obstacle));
        }
        buf_fini(&obstacle);
        if (!goes_on) {
            return has_space;
        }
    }
}

uint64_t
journal_dropped(const struct journal *journal)
{
    return atomic_load(&journal->dropped);
}
