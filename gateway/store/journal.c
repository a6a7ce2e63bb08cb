/*
 * The writer of a log. The bytes are told in segment.c, reading in reader.c.
 *
 * Path: journal_append() encodes a record into one buffer and writes it with one pwrite() at the
 * tail. A record that does not fit any more seals the segment and begins the next:
 *
 *   sync the old file -> cut it to what it holds -> create, allocate, header, sync, sync the
 *   directory -> append
 *
 * The new file is on the medium before a position in it is given out. So after a power cut every
 * position that anybody has seen is below the end of the newest file, and the log goes on from
 * there (segment.c tells why); that is known by the boot number in the newest header. The order is
 * reversed then: the old file keeps its size, which holds that knowledge, until the new one is
 * there.
 *
 * With JOURNAL_SYNC_DEFERRED nothing of that is synced then. Full segments stay open in a list, and a
 * sync takes them one by one, while appends go on:
 *
 *   full segments, oldest first -> the newest -> the directory
 *
 * Invariants
 *   - Below `tail` are whole records, at and above it zeros up to `room`, or `is_dirty` says that
 *     a failed write left bytes there; they are cut off before the next append.
 *   - Nothing is written at or above `room`: space that the file system has promised.
 *   - After a failed sync nobody knows what the medium holds (`is_failed`): the file is never
 *     synced or written again, its content moves to another one first (mend.c).
 *
 * Threads: append and sync may run side by side. `append_lock` guards the appender's state, which
 * a failed sync has to touch; `sync_lock` is held while a sync runs and while the descriptor
 * changes; `tail` and `is_failed` are atomic. With DEFERRED `turn_lock` is held while a sync runs, and
 * `sync_lock` only while the descriptor and the list of full segments change.
 */
#define _GNU_SOURCE
#include "journal_state.h"

#include "base/mem.h"
#include "base/wall.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>

enum { FULL_SEGMENTS_MAX = 64 };

/* ---- opening ---- */

static bool
check_version(const struct journal_options *options, struct diag_list *diags)
{
    struct segment_list list = {0};
    int result = segment_list_read(options->os, options->dir, &list);
    int state = SEGMENT_GOOD;
    if (result == 0 && list.count > 0) {
        struct segment_header header;
        state = segment_header_load(options->os, options->dir, list.bases[list.count - 1], &header);
    }
    segment_list_fini(&list);
    if (state == SEGMENT_NEWER) {
        diag_error(diags, DIAG_INVALID, "log '%s' was written by a newer version", options->dir);
        diag_hint(diags, "install that version again, or move the directory away");
        return false;
    }
    return true;
}

static bool
lock_log(struct journal *journal, struct diag_list *diags)
{
    struct buf path = {0};
    buf_printf(&path, "%s/lock", journal->dir);
    int fd = journal->os->open(journal->os, buf_string(&path), O_RDWR | O_CREAT, 0640);
    buf_fini(&path);
    if (fd < 0) {
        diag_io_error(diags, -fd, "cannot open the lock of '%s'", journal->dir);
        return false;
    }
    journal->lock_fd = fd;
    int result = journal->os->lock(journal->os, fd);
    if (result == -EWOULDBLOCK) {
        diag_error(diags, DIAG_BUSY, "another process writes '%s'", journal->dir);
        return false;
    }
    if (result < 0) {
        diag_io_error(diags, -result, "cannot lock '%s'", journal->dir);
        return false;
    }
    return true;
}

/* Learns the log's id, or gives a new log one; keeps it in the lock file. */
static bool
identify(struct journal *journal, struct diag_list *diags)
{
    struct segment_list list = {0};
    int result = segment_list_read(journal->os, journal->dir, &list);
    if (result == 0 && !segment_log_id(journal->os, journal->dir, &list, journal->log_id)) {
        journal->os->random(journal->os, journal->log_id, LOG_ID_BYTES);
    }
    segment_list_fini(&list);
    struct buf text = {0};
    for (size_t i = 0; i < LOG_ID_BYTES; i++) {
        buf_printf(&text, "%02x", (unsigned char)journal->log_id[i]);
    }
    buf_append_char(&text, '\n');
    if (result == 0) {
        result = os_pwrite_all(journal->os, journal->lock_fd, text.data, text.size, 0);
    }
    buf_fini(&text);
    if (result < 0) {
        diag_io_error(diags, -result, "cannot write the id of '%s'", journal->dir);
    }
    return result == 0;
}

static bool
open_log(struct journal *journal, const struct journal_options *options, struct diag_list *diags)
{
    int result = os_make_dirs(journal->os, journal->dir, 0750);
    if (result < 0) {
        diag_io_error(diags, -result, "cannot make '%s'", journal->dir);
        return false;
    }
    return check_version(options, diags) && lock_log(journal, diags) && identify(journal, diags) &&
           journal_recover(journal, diags);
}

static void
journal_free(struct journal *journal)
{
    if (journal->fd >= 0) {
        journal->os->close(journal->os, journal->fd);
    }
    if (journal->lock_fd >= 0) {
        journal->os->close(journal->os, journal->lock_fd);
    }
    for (size_t i = 0; i < journal->full_count; i++) {
        journal->os->close(journal->os, journal->full[i].fd);
    }
    free(journal->full);
    pthread_mutex_destroy(&journal->append_lock);
    pthread_mutex_destroy(&journal->turn_lock);
    pthread_mutex_destroy(&journal->sync_lock);
    buf_fini(&journal->bytes);
    free(journal->dir);
    free(journal);
}

bool
journal_open(struct journal **out, const struct journal_options *options, struct diag_list *diags)
{
    check(options->segment_bytes > SEGMENT_HEADER_BYTES);
    check(options->record_max_bytes > 0 &&
          options->record_max_bytes <= RECORD_BYTES_LIMIT - RECORD_OVERHEAD_BYTES_MAX);
    struct journal *journal = mem_new(struct journal);
    journal->os = options->os;
    journal->dir = bytes_to_string(bytes_of_string(options->dir));
    journal->segment_bytes = (uint64_t)options->segment_bytes;
    journal->record_max_bytes = (uint64_t)options->record_max_bytes;
    journal->sync = options->sync;
    journal->position_least = options->position_least;
    journal->bytes_max = options->bytes_max > 0 ? (uint64_t)options->bytes_max : UINT64_MAX;
    journal->free_min_bytes = options->free_min_bytes;
    journal->drops_oldest = options->drops_oldest;
    journal->boot = segment_boot(options->os);
    journal->lock_fd = -1;
    journal->fd = -1;
    check(pthread_mutex_init(&journal->append_lock, NULL) == 0);
    check(pthread_mutex_init(&journal->turn_lock, NULL) == 0);
    check(pthread_mutex_init(&journal->sync_lock, NULL) == 0);
    if (!open_log(journal, options, diags)) {
        journal_free(journal);
        return false;
    }
    *out = journal;
    return true;
}

void
journal_close(struct journal *journal)
{
    if (journal == NULL) {
        return;
    }
    if (journal->sync != JOURNAL_SYNC_NEVER && !atomic_load(&journal->is_failed)) {
        struct diag_list diags = {0};
        /* Nobody is left who could act on a failure; the next open looks at what is there. */
        if (!journal_sync(journal, &diags)) {
            atomic_store(&journal->is_failed, true);
        }
        diag_list_fini(&diags);
    }
    journal_free(journal);
}

uint64_t
journal_tail(const struct journal *journal)
{
    return atomic_load(&journal->tail);
}

/* ---- writing ---- */

void
journal_drop_full(struct journal *journal)
{
    pthread_mutex_lock(&journal->sync_lock);
    journal->os->close(journal->os, journal->full[0].fd);
    journal->full_count--;
    memmove(journal->full, journal->full + 1, journal->full_count * sizeof *journal->full);
    pthread_mutex_unlock(&journal->sync_lock);
}

/* The descriptor of the oldest file that is behind below `target`, -1 when none is. */
static int
find_behind(struct journal *journal, uint64_t target, bool *is_full)
{
    pthread_mutex_lock(&journal->sync_lock);
    *is_full = journal->full_count > 0 && journal->full[0].header.base < target;
    bool is_newest = !*is_full && journal->fd >= 0 && journal->synced < target &&
                     journal->header.base < target;
    int fd = *is_full ? journal->full[0].fd : is_newest ? journal->fd : -1;
    pthread_mutex_unlock(&journal->sync_lock);
    return fd;
}

/* The newest file was synced, when all below `target` was in it; it may be full meanwhile. */
static void
note_newest_synced(struct journal *journal, int fd, uint64_t target)
{
    pthread_mutex_lock(&journal->sync_lock);
    if (journal->fd == fd && journal->synced < target) {
        journal->synced = target;
    }
    pthread_mutex_unlock(&journal->sync_lock);
}

static int
sync_names(struct journal *journal)
{
    pthread_mutex_lock(&journal->sync_lock);
    bool has_new_name = journal->has_new_name;
    journal->has_new_name = false;
    pthread_mutex_unlock(&journal->sync_lock);
    int result = has_new_name ? journal->os->sync_dir(journal->os, journal->dir) : 0;
    if (result < 0) {
        pthread_mutex_lock(&journal->sync_lock);
        journal->has_new_name = true;
        pthread_mutex_unlock(&journal->sync_lock);
    }
    return result;
}

/* Holds up nobody who appends. */
static int
sync_deferred(struct journal *journal)
{
    pthread_mutex_lock(&journal->turn_lock);
    uint64_t target = atomic_load(&journal->tail);
    int result = atomic_load(&journal->is_failed) ? -EIO : 0;
    bool is_full, is_done = false;
    while (result == 0 && !is_done) {
        int fd = find_behind(journal, target, &is_full);
        is_done = fd < 0 || !is_full; /* the newest is the last */
        result = fd < 0 ? 0 : journal->os->sync(journal->os, fd);
        if (result == 0 && is_full) {
            journal_drop_full(journal);
        } else if (result == 0 && fd >= 0) {
            note_newest_synced(journal, fd, target);
        }
    }
    if (result < 0) {
        atomic_store(&journal->is_failed, true);
    } else {
        result = sync_names(journal);
    }
    pthread_mutex_unlock(&journal->turn_lock);
    return result;
}

bool
journal_is_behind(struct journal *journal)
{
    pthread_mutex_lock(&journal->sync_lock);
    bool is_behind = journal->full_count > 0;
    pthread_mutex_unlock(&journal->sync_lock);
    return is_behind;
}

/* 0, or a negative errno; then the log has failed. */
static int
try_sync(struct journal *journal)
{
    if (journal->sync == JOURNAL_SYNC_DEFERRED) {
        return sync_deferred(journal);
    }
    pthread_mutex_lock(&journal->sync_lock);
    uint64_t tail = atomic_load(&journal->tail);
    int result = 0;
    if (atomic_load(&journal->is_failed)) {
        result = -EIO;
    } else if (journal->fd >= 0 && journal->synced < tail) {
        result = journal->os->sync(journal->os, journal->fd);
        atomic_store(&journal->is_failed, result < 0);
        journal->synced = result < 0 ? journal->synced : tail;
    }
    pthread_mutex_unlock(&journal->sync_lock);
    return result;
}

/* The appender's own sync. */
static bool
sync_appended(struct journal *journal, struct diag_list *diags)
{
    return try_sync(journal) == 0 || journal_mend(journal, diags);
}

bool
journal_sync(struct journal *journal, struct diag_list *diags)
{
    if (try_sync(journal) == 0) {
        return true;
    }
    pthread_mutex_lock(&journal->append_lock);
    bool is_mended = journal_mend(journal, diags);
    pthread_mutex_unlock(&journal->append_lock);
    return is_mended;
}

/* Removes what a failed write left behind the tail and takes the space again. */
static int
clean_tail(struct journal *journal)
{
    const struct os *os = journal->os;
    int64_t used = (int64_t)(atomic_load(&journal->tail) - journal->header.base);
    int64_t room = (int64_t)(journal->room - journal->header.base);
    journal->is_dirty = true;
    int result = os->truncate(os, journal->fd, used);
    if (result == 0) {
        result = os->allocate(os, journal->fd, room);
    }
    journal->is_dirty = result < 0;
    return result;
}

/* Writes a segment's file up to its header, durably; a descriptor or a negative errno. */
static int
create_segment(struct journal *journal, const struct segment_header *header, uint64_t size)
{
    const struct os *os = journal->os;
    int fd = segment_open(os, journal->dir, header->base, O_RDWR | O_CREAT | O_TRUNC);
    if (fd < 0) {
        return fd;
    }
    struct buf bytes = {0};
    segment_header_encode(header, &bytes);
    int result = os->allocate(os, fd, (int64_t)size);
    if (result == 0) {
        result = os_pwrite_all(os, fd, bytes.data, bytes.size, 0);
    }
    bool is_deferred = journal->sync == JOURNAL_SYNC_DEFERRED;
    if (result == 0 && !is_deferred) {
        result = os->sync(os, fd);
    }
    if (result == 0 && !is_deferred) {
        result = os->sync_dir(os, journal->dir);
    }
    buf_fini(&bytes);
    if (result < 0) {
        os->close(os, fd);
        segment_unlink(os, journal->dir, header->base);
        return result;
    }
    return fd;
}

/* Nothing more is appended to the newest segment: its data to the medium, its end to its tail. */
static bool
seal_segment(struct journal *journal, struct diag_list *diags)
{
    bool waits = journal->sync == JOURNAL_SYNC_DEFERRED ? journal->full_count >= FULL_SEGMENTS_MAX
                                                        : journal->sync != JOURNAL_SYNC_NEVER;
    if (waits && !sync_appended(journal, diags)) {
        return false;
    }
    if (journal->is_old) {
        return true; /* its size is needed until the next segment is there */
    }
    uint64_t tail = atomic_load(&journal->tail);
    int result = journal->os->truncate(journal->os, journal->fd,
                                       (int64_t)(tail - journal->header.base));
    if (result < 0) {
        diag_io_error(diags, -result, "cannot seal a segment of '%s'", journal->dir);
        return false;
    }
    journal->room = tail;
    journal->is_dirty = false;
    return true;
}

/* Leaves the newest segment for the one that `fd` is. */
static void
enter_segment(struct journal *journal, int fd, const struct segment_header *header, uint64_t size)
{
    bool is_deferred = journal->sync == JOURNAL_SYNC_DEFERRED;
    pthread_mutex_lock(&journal->sync_lock);
    if (journal->fd >= 0 && is_deferred) {
        journal->full = mem_grow(journal->full, journal->full_count, &journal->full_capacity,
                                 sizeof *journal->full);
        journal->full[journal->full_count++] =
                (struct full_segment){journal->fd, journal->header, atomic_load(&journal->tail)};
    } else if (journal->fd >= 0) {
        journal->os->close(journal->os, journal->fd);
    }
    journal->fd = fd;
    journal->header = *header;
    journal->room = header->base + size;
    journal->is_old = false;
    journal->is_dirty = false;
    journal->has_new_name = is_deferred;
    atomic_store(&journal->tail, header->base + SEGMENT_HEADER_BYTES);
    journal->synced = header->base + (is_deferred ? 0 : SEGMENT_HEADER_BYTES);
    pthread_mutex_unlock(&journal->sync_lock);
}

/* Begins a segment that has room for a record of `bytes`. */
static bool
begin_segment(struct journal *journal, uint64_t bytes, int64_t time_us, struct diag_list *diags)
{
    uint64_t size = SEGMENT_HEADER_BYTES + bytes;
    size = size < journal->segment_bytes ? journal->segment_bytes : size;
    if ((journal->fd >= 0 && !seal_segment(journal, diags)) ||
        !journal_make_space(journal, size, diags)) {
        return false;
    }
    uint64_t tail = atomic_load(&journal->tail);
    struct segment_header header = {
            .base = journal->is_old || journal->fd < 0 ? journal->next_least : tail,
            .previous_end = tail,
            .records_before = journal->records,
            .created_us = time_us,
            .boot = journal->boot,
    };
    memcpy(header.log_id, journal->log_id, LOG_ID_BYTES);
    journal->os->random(journal->os, &header.salt, sizeof header.salt);
    int fd = create_segment(journal, &header, size);
    if (fd < 0) {
        diag_io_error(diags, -fd, "cannot begin a segment of '%s'", journal->dir);
        return false;
    }
    if (journal->fd >= 0 && journal->is_old && journal->room > tail) {
        /* Gives space back; when it fails, readers see the end in the new header. */
        journal->os->truncate(journal->os, journal->fd, (int64_t)(tail - journal->header.base));
    }
    enter_segment(journal, fd, &header, size);
    return true;
}

/* Makes sure that a record of up to `bytes` can be written at the tail. */
static bool
make_room(struct journal *journal, uint64_t bytes, int64_t time_us, struct diag_list *diags)
{
    if (journal->fd >= 0 && journal->is_dirty) {
        int result = clean_tail(journal);
        if (result < 0) {
            diag_io_error(diags, -result, "cannot cut off a failed write in '%s'", journal->dir);
            return false;
        }
    }
    uint64_t tail = atomic_load(&journal->tail);
    if (journal->fd < 0 || journal->is_old || tail + bytes > journal->room) {
        return begin_segment(journal, bytes, time_us, diags);
    }
    return true;
}

/* The write at the tail has failed in the middle. */
static bool
undo_write(struct journal *journal, int os_error, struct diag_list *diags)
{
    clean_tail(journal); /* when it fails, the next append tries again */
    diag_io_error(diags, os_error, "cannot append to '%s'", journal->dir);
    return false;
}

static bool
append(struct journal *journal, struct record *record, struct diag_list *diags)
{
    uint64_t bytes = RECORD_OVERHEAD_BYTES_MAX + (uint64_t)record->topic.size +
                     record->props.size + record->payload.size;
    if (bytes > journal->record_max_bytes + RECORD_OVERHEAD_BYTES_MAX) {
        diag_error(diags, DIAG_INVALID,
                   "a record of %" PRIu64 " bytes is above the limit of %" PRIu64 " of '%s'",
                   bytes - RECORD_OVERHEAD_BYTES_MAX, journal->record_max_bytes, journal->dir);
        return false;
    }
    struct record whole = *record;
    bool is_set_back = journal->last_time_us - whole.time_us > WALL_STEP_US;
    if (whole.time_us <= journal->last_time_us && !is_set_back) {
        whole.time_us = journal->last_time_us + 1;
    }
    if (!journal_mend(journal, diags) || !make_room(journal, bytes, whole.time_us, diags)) {
        return false;
    }
    whole.position = atomic_load(&journal->tail);
    buf_clear(&journal->bytes);
    segment_record_encode(&journal->header, &whole, &journal->bytes);
    check(whole.position + journal->bytes.size <= journal->room);
    whole.next = whole.position + journal->bytes.size;
    int result = os_pwrite_all(journal->os, journal->fd, journal->bytes.data, journal->bytes.size,
                               (int64_t)(whole.position - journal->header.base));
    if (result < 0) {
        return undo_write(journal, -result, diags);
    }
    atomic_store(&journal->tail, whole.next);
    journal->records++;
    journal->last_time_us = whole.time_us;
    *record = whole;
    return true;
}

bool
journal_append(struct journal *journal, struct record *record, struct diag_list *diags)
{
    pthread_mutex_lock(&journal->append_lock);
    bool is_appended = append(journal, record, diags);
    if (is_appended && journal->sync == JOURNAL_SYNC_ALWAYS && !sync_appended(journal, diags)) {
        /* The file is not touched again; the one that takes its place ends here. */
        atomic_store(&journal->tail, record->position);
        journal->records--;
        is_appended = false;
    }
    pthread_mutex_unlock(&journal->append_lock);
    return is_appended;
}

/* ---- cutting and trimming ---- */

/* Unlinks the segments that begin at or behind `tail`, newest first, but keeps the oldest. */
static int
unlink_behind(struct journal *journal, struct segment_list *list, uint64_t tail)
{
    int result = 0;
    bool unlinked = false;
    while (result == 0 && list->count > 1 && list->bases[list->count - 1] >= tail) {
        result = segment_unlink(journal->os, journal->dir, list->bases[list->count - 1]);
        list->count--;
        unlinked = true;
    }
    if (result == 0 && unlinked) {
        result = journal->os->sync_dir(journal->os, journal->dir);
    }
    return result;
}

/* Cuts the newest file that is left, on the medium too. */
static int
cut_file(struct journal *journal, uint64_t base, uint64_t tail)
{
    const struct os *os = journal->os;
    int fd = segment_open(os, journal->dir, base, O_RDWR);
    if (fd < 0) {
        return fd;
    }
    uint64_t used = tail > base + SEGMENT_HEADER_BYTES ? tail - base : SEGMENT_HEADER_BYTES;
    int64_t size = os->size(os, fd);
    int result = size < 0 ? (int)size : 0;
    if (result == 0 && (uint64_t)size > used) {
        result = os->truncate(os, fd, (int64_t)used);
    }
    if (result == 0) {
        result = os->sync(os, fd);
    }
    os->close(os, fd);
    return result;
}

static bool
cut(struct journal *journal, uint64_t tail, struct diag_list *diags)
{
    if (journal->fd < 0 || tail >= atomic_load(&journal->tail)) {
        return true;
    }
    struct segment_list list = {0};
    int result = segment_list_read(journal->os, journal->dir, &list);
    if (result == 0) {
        result = unlink_behind(journal, &list, tail);
    }
    if (result == 0 && list.count > 0) {
        result = cut_file(journal, list.bases[list.count - 1], tail);
    }
    segment_list_fini(&list);
    if (result < 0) {
        diag_io_error(diags, -result, "cannot cut '%s'", journal->dir);
        return false;
    }
    pthread_mutex_lock(&journal->sync_lock);
    journal->os->close(journal->os, journal->fd);
    journal->fd = -1;
    bool recovered = journal_recover(journal, diags);
    if (recovered && journal->fd >= 0 && !journal->is_old) {
        uint64_t full = journal->header.base + journal->segment_bytes;
        journal->room = full > journal->room ? full : journal->room;
        journal->is_dirty = true; /* takes the space again before the next append */
    }
    journal->synced = atomic_load(&journal->tail);
    pthread_mutex_unlock(&journal->sync_lock);
    return recovered;
}

bool
journal_cut(struct journal *journal, uint64_t tail, struct diag_list *diags)
{
    pthread_mutex_lock(&journal->append_lock);
    bool is_cut = (journal->full_count == 0 || sync_appended(journal, diags)) &&
                  cut(journal, tail, diags);
    pthread_mutex_unlock(&journal->append_lock);
    return is_cut;
}

bool
journal_trim(const struct os *os, const char *dir, uint64_t position, struct diag_list *diags)
{
    struct segment_list list = {0};
    int result = segment_list_read(os, dir, &list);
    bool unlinked = false;
    for (size_t i = 0; result == 0 && i + 1 < list.count && list.bases[i + 1] <= position; i++) {
        result = segment_unlink(os, dir, list.bases[i]);
        result = result == -ENOENT ? 0 : result;
        unlinked = true;
    }
    if (result == 0 && unlinked) {
        result = os->sync_dir(os, dir);
    }
    segment_list_fini(&list);
    if (result < 0 && result != -ENOENT) {
        diag_io_error(diags, -result, "cannot trim '%s'", dir);
        return false;
    }
    return true;
}

bool
journal_segment_start(const struct os *os, const char *dir, uint64_t position, uint64_t *out,
                      struct diag_list *diags)
{
    struct segment_list list = {0};
    int result = segment_list_read(os, dir, &list);
    size_t index = segment_list_find(&list, position);
    *out = list.count == 0 ? 0 : list.bases[index == SIZE_MAX ? 0 : index];
    segment_list_fini(&list);
    if (result < 0) {
        diag_io_error(diags, -result, "cannot list '%s'", dir);
    }
    return result >= 0;
}

bool
journal_extent(const struct os *os, const char *dir, struct journal_extent *out,
               struct diag_list *diags)
{
    struct segment_list list = {0};
    struct journal_extent extent = {0};
    int result = segment_list_read(os, dir, &list);
    for (size_t i = 0; result == 0 && i < list.count; i++) {
        int fd = segment_open(os, dir, list.bases[i], O_RDONLY);
        int64_t size = fd < 0 ? fd : os->size(os, fd);
        if (fd >= 0) {
            os->close(os, fd);
        }
        if (size == -ENOENT) {
            continue; /* trimmed meanwhile */
        }
        result = size < 0 ? (int)size : 0;
        extent.first = extent.segments == 0 ? list.bases[i] : extent.first;
        extent.bytes += (uint64_t)(size < 0 ? 0 : size);
        extent.segments++;
    }
    segment_list_fini(&list);
    if (result < 0 && result != -ENOENT) {
        diag_io_error(diags, -result, "cannot measure '%s'", dir);
        return false;
    }
    *out = extent;
    return true;
}
