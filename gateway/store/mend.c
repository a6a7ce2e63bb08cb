/*
 * Going on after a failed sync.
 *
 * When fsync() fails, Linux marks the pages as written all the same; the next fsync() of the same
 * file succeeds and says nothing about them. So a file whose sync has failed is not trusted and
 * not synced again. What it holds is still in the page cache. It is read from there, written to a
 * new file of other blocks, synced, and takes the old one's name; positions stay what they were.
 *
 *   BASE.new written, synced -> renamed to BASE.seg -> directory synced -> next append: new segment
 *
 * The next segment begins at once, because readers that have the old file open learn of its end
 * from the header of the one behind it, and read no more from it.
 *
 * The copy is judged record by record. What the page cache had lost already, and the medium never
 * got, is an error that is told; it stays a gap.
 *
 * A medium that takes nothing at all fails here too. It is tried again at most every MEND_PAUSE,
 * since a try writes a whole segment. Not covered: the process is killed between the failed
 * sync and the mended file, and the power fails before that machine is started again.
 */
#define _GNU_SOURCE
#include "journal_state.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    COPY_BYTES = 256 * 1024,
    MEND_PAUSE_FIRST_US = 100 * 1000,
    MEND_PAUSE_MAX_US = 5 * 1000 * 1000,
};

/* Copies the first `size` bytes. */
static int
copy_bytes(const struct os *os, int from, int to, uint64_t size)
{
    char *bytes = mem_alloc(COPY_BYTES);
    int result = 0;
    for (uint64_t at = 0; at < size && result == 0;) {
        size_t wanted = size - at < COPY_BYTES ? (size_t)(size - at) : COPY_BYTES;
        ssize_t n = os->pread(os, from, bytes, wanted, (int64_t)at);
        if (n == 0) {
            result = -EIO; /* shorter than what was written to it */
        } else if (n > 0) {
            result = os_pwrite_all(os, to, bytes, (size_t)n, (int64_t)at);
            at += (uint64_t)n;
        } else if (n != -EINTR) {
            result = (int)n;
        }
    }
    free(bytes);
    return result;
}

/*
 * The new file of the segment that `old` is, on the medium and under its name; a descriptor or a
 * negative errno.
 */
static int
replace_file(const struct journal *journal, int old, uint64_t base, uint64_t size)
{
    const struct os *os = journal->os;
    struct buf fresh = {0}, name = {0};
    segment_path(&name, journal->dir, base);
    buf_append(&fresh, bytes_slice(buf_bytes(&name), 0, name.size - strlen(SEGMENT_SUFFIX)));
    buf_append_string(&fresh, SEGMENT_FRESH_SUFFIX);
    int fd = os->open(os, buf_string(&fresh), O_RDWR | O_CREAT | O_TRUNC, 0640);
    int result = fd < 0 ? fd : copy_bytes(os, old, fd, size);
    if (result == 0) {
        result = os->sync(os, fd);
    }
    if (result == 0) {
        result = os->rename(os, buf_string(&fresh), buf_string(&name));
    }
    if (result == 0) {
        result = os->sync_dir(os, journal->dir);
    }
    if (result < 0 && fd >= 0) {
        os->close(os, fd);
        os->unlink(os, buf_string(&fresh));
    }
    buf_fini(&fresh);
    buf_fini(&name);
    return result < 0 ? result : fd;
}

/* Whether all records are in the new file; what is missing is told. */
static bool
judge_copy(const struct journal *journal, int fd, const struct segment_header *header,
           uint64_t tail, struct diag_list *diags)
{
    struct survey survey;
    int os_error = 0;
    uint64_t size = tail - header->base;
    bool is_read =
            segment_survey(journal->os, fd, header, size, NULL, NULL, &survey, &os_error);
    uint64_t lost = !is_read ? size : tail - survey.tail + survey.damaged_bytes;
    if (lost > 0) {
        diag_error(diags, DIAG_CORRUPT,
                   "after a failed sync %" PRIu64 " bytes of '%s' could not be read back", lost,
                   journal->dir);
    }
    return lost == 0;
}

static bool
fail(struct journal *journal, int os_error, struct diag_list *diags)
{
    journal->mend_again_us = journal->os->mono_us(journal->os) + journal->mend_pause_us;
    journal->mend_pause_us = journal->mend_pause_us == 0 ? MEND_PAUSE_FIRST_US
                                                         : journal->mend_pause_us * 2;
    if (journal->mend_pause_us > MEND_PAUSE_MAX_US) {
        journal->mend_pause_us = MEND_PAUSE_MAX_US;
    }
    diag_io_error(diags, os_error, "cannot sync '%s', nor write its newest segment anew",
                  journal->dir);
    return false;
}

/* With DEFERRED: full segments that are not on the medium, one of which may be what failed. */
static int
mend_full(struct journal *journal, bool *is_whole, struct diag_list *diags)
{
    int result = 0;
    while (result == 0 && journal->full_count > 0) {
        const struct full_segment *full = &journal->full[0];
        int fd = replace_file(journal, full->fd, full->header.base,
                              full->tail - full->header.base);
        result = fd < 0 ? fd : 0;
        if (fd >= 0) {
            *is_whole &= judge_copy(journal, fd, &full->header, full->tail, diags);
            journal->os->close(journal->os, fd);
            journal_drop_full(journal);
        }
    }
    return result;
}

/* The newest; 0, or a negative errno. */
static int
mend_newest(struct journal *journal, uint64_t tail)
{
    pthread_mutex_lock(&journal->sync_lock);
    int fd = replace_file(journal, journal->fd, journal->header.base, tail - journal->header.base);
    if (fd >= 0) {
        journal->os->close(journal->os, journal->fd);
        journal->fd = fd;
        journal->room = tail;
        journal->is_dirty = false;
        journal->synced = tail;
        atomic_store(&journal->is_failed, false);
    }
    pthread_mutex_unlock(&journal->sync_lock);
    return fd < 0 ? fd : 0;
}

bool
journal_mend(struct journal *journal, struct diag_list *diags)
{
    if (!atomic_load(&journal->is_failed)) {
        return true;
    }
    if (journal->os->mono_us(journal->os) < journal->mend_again_us) {
        diag_io_error(diags, EIO, "'%s' takes nothing after a failed sync", journal->dir);
        return false;
    }
    uint64_t tail = atomic_load(&journal->tail);
    uint64_t size = tail - journal->header.base;
    bool is_whole = true;
    pthread_mutex_lock(&journal->turn_lock);
    int result = mend_full(journal, &is_whole, diags);
    if (result == 0) {
        result = mend_newest(journal, tail);
    }
    pthread_mutex_unlock(&journal->turn_lock);
    if (result < 0) {
        return fail(journal, -result, diags);
    }
    journal->mend_pause_us = journal->mend_again_us = 0;
    journal_warn(journal, diags,
                 "a sync failed; %" PRIu64 " bytes before position %" PRIu64
                 " are written to another file",
                 size, tail);
    return judge_copy(journal, journal->fd, &journal->header, tail, diags) && is_whole;
}
