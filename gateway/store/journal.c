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
 * Invariants
 *   - Below `tail` are whole records, at and above it zeros up to `room`, or `is_dirty` says that
 *     a failed write left bytes there; they are cut off before the next append.
 *   - Nothing is written at or above `room`: space that the file system has promised.
 *   - After a failed sync nobody knows what the medium holds: appends are refused for good.
 *
 * Threads: append and sync may run side by side. `sync_lock` is held while a sync runs and while
 * the descriptor changes; `tail` and `is_failed` are atomic; all else is the appender's.
 */
#define _GNU_SOURCE
#include "scan.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct journal {
    const struct os *os;
    char *dir;
    uint64_t segment_bytes;
    uint64_t record_max_bytes;
    enum journal_sync sync;
    uint32_t boot;
    char log_id[LOG_ID_BYTES];
    int lock_fd;

    int fd; /* of the newest segment, -1 before the first; changed under sync_lock */
    struct segment_header header;
    _Atomic uint64_t tail;
    uint64_t room;       /* position up to which the newest segment is allocated */
    uint64_t next_least; /* a new segment begins here or above */
    uint64_t position_least; /* as the options say */
    bool is_old;         /* the newest segment is of another boot, or unreadable behind the tail */
    bool is_dirty;
    _Atomic bool is_failed;

    uint64_t records; /* in the log's whole life */
    int64_t last_time_us;
    struct buf bytes; /* of the record being appended */

    pthread_mutex_t sync_lock;
    uint64_t synced; /* below it all is on the medium; under sync_lock */
};

/* ---- recovery ---- */

/* What lies in a segment. */
struct survey {
    uint64_t tail;
    uint64_t records;
    int64_t last_time_us;
    uint64_t damaged_bytes; /* with valid records behind them */
    uint64_t torn_bytes;    /* from the tail to the end of the file, unless all are zero */
    bool is_unclear;        /* the search behind the tail gave up */
};

static bool
survey_segment(const struct os *os, int fd, const struct segment_header *header, uint64_t size,
               struct survey *out, int *os_error)
{
    struct scan scan = {0};
    scan_begin(&scan, os, fd, header);
    *out = (struct survey){.last_time_us = header->created_us};
    uint64_t offset = SEGMENT_HEADER_BYTES;
    enum scan_result result = SCAN_RECORD;
    while (result == SCAN_RECORD) {
        struct record record;
        result = scan_next(&scan, offset, size, &record, os_error);
        if (result == SCAN_RECORD) {
            offset = record.next - header->base;
            out->records++;
            out->last_time_us = record.time_us;
        } else if (result != SCAN_ERROR) {
            uint64_t found;
            result = scan_search(&scan, offset, size, &found, os_error);
            if (result == SCAN_RECORD) {
                out->damaged_bytes += found - offset;
                offset = found;
            }
        }
    }
    out->tail = header->base + offset;
    out->torn_bytes = result == SCAN_BAD ? size - offset : 0;
    out->is_unclear = result == SCAN_LIMIT;
    scan_fini(&scan);
    return result != SCAN_ERROR;
}

static void
warn(const struct journal *journal, struct diag_list *diags, const char *format, uint64_t bytes,
     uint64_t position)
{
    struct diag_place place = {.file = bytes_of_string(journal->dir)};
    struct buf text = {0};
    buf_printf(&text, format, bytes, position);
    diag_at(diags, DIAG_WARNING, &place, "%s", buf_string(&text));
    diags->items[diags->count - 1].class = DIAG_CORRUPT;
    buf_fini(&text);
}

/*
 * Opens the newest segment that can be read, if there is one. Files whose creation was cut off are
 * removed; the log goes on behind those that cannot be read.
 */
static bool
find_newest(struct journal *journal, const struct segment_list *list, int64_t *size,
            struct diag_list *diags)
{
    const struct os *os = journal->os;
    for (size_t i = list->count; i > 0; i--) {
        uint64_t base = list->bases[i - 1];
        int fd = segment_open(os, journal->dir, base, O_RDWR);
        int state = fd < 0 ? fd : segment_header_read(os, fd, base, &journal->header);
        if (state == SEGMENT_GOOD &&
            memcmp(journal->header.log_id, journal->log_id, LOG_ID_BYTES) != 0) {
            state = SEGMENT_DAMAGED;
        }
        *size = fd < 0 ? fd : os->size(os, fd);
        if (state >= 0 && *size >= 0 && state == SEGMENT_GOOD) {
            journal->fd = fd;
            return true;
        }
        if (fd >= 0) {
            os->close(os, fd);
        }
        int os_error = state < 0 ? -state : *size < 0 ? (int)-*size : 0;
        if (os_error == 0 && state == SEGMENT_BLANK) {
            int result = segment_unlink(os, journal->dir, base);
            os_error = result < 0 ? -result : 0;
        } else if (os_error == 0) {
            uint64_t end = base + (uint64_t)*size;
            journal->next_least = end > journal->next_least ? end : journal->next_least;
            warn(journal, diags, "segment of %" PRIu64 " bytes at %" PRIu64 " cannot be read",
                 (uint64_t)*size, base);
        }
        if (os_error != 0) {
            diag_io_error(diags, os_error, "cannot open segment %" PRIu64 " of '%s'", base,
                          journal->dir);
            return false;
        }
    }
    return true;
}

static void
report_survey(const struct journal *journal, const struct survey *survey, struct diag_list *diags)
{
    if (survey->damaged_bytes > 0) {
        warn(journal, diags, "%" PRIu64 " damaged bytes before position %" PRIu64,
             survey->damaged_bytes, survey->tail);
    }
    if (survey->torn_bytes > 0) {
        warn(journal, diags, "cut a torn tail of up to %" PRIu64 " bytes at position %" PRIu64,
             survey->torn_bytes, survey->tail);
    }
    if (survey->is_unclear) {
        warn(journal, diags, "%" PRIu64 " bytes before position %" PRIu64 " are left as they are",
             journal->room - survey->tail, journal->room);
    }
}

/* Takes the state from the files. Idempotent; at most one segment is read. */
static bool
recover(struct journal *journal, struct diag_list *diags)
{
    struct segment_list list = {0};
    int result = segment_list_read(journal->os, journal->dir, &list);
    if (result < 0) {
        diag_io_error(diags, -result, "cannot list '%s'", journal->dir);
        return false;
    }
    int64_t size = 0;
    journal->next_least = journal->position_least;
    bool found = find_newest(journal, &list, &size, diags);
    segment_list_fini(&list);
    if (!found) {
        return false;
    }
    if (journal->fd < 0) {
        atomic_store(&journal->tail, journal->next_least);
        if (journal->position_least > 0) {
            warn(journal, diags,
                 "no segment is left, but it was read up to position %" PRIu64
                 "; it goes on at %" PRIu64,
                 journal->position_least, journal->next_least);
        }
        return true;
    }
    struct survey survey;
    int os_error;
    if (!survey_segment(journal->os, journal->fd, &journal->header, (uint64_t)size, &survey,
                        &os_error)) {
        diag_io_error(diags, os_error, "cannot read segment %" PRIu64 " of '%s'",
                      journal->header.base, journal->dir);
        return false;
    }
    journal->room = journal->header.base + (uint64_t)size;
    if (journal->next_least < journal->room) {
        journal->next_least = journal->room;
    }
    report_survey(journal, &survey, diags);
    uint64_t tail = survey.is_unclear ? journal->room : survey.tail;
    atomic_store(&journal->tail, tail);
    journal->records = journal->header.records_before + survey.records;
    journal->last_time_us = survey.last_time_us;
    bool is_behind = tail < journal->position_least;
    if (is_behind) {
        warn(journal, diags,
             "it ends at position %" PRIu64 ", but was read up to %" PRIu64
             ": records are missing, it goes on behind",
             tail, journal->position_least);
    }
    journal->is_old = journal->header.boot != journal->boot || survey.is_unclear || is_behind ||
                      journal->next_least > journal->room;
    journal->is_dirty = survey.torn_bytes > 0 && !journal->is_old;
    return true;
}

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
           recover(journal, diags);
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
    journal->boot = segment_boot(options->os);
    journal->lock_fd = -1;
    journal->fd = -1;
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

bool
journal_sync(struct journal *journal, struct diag_list *diags)
{
    pthread_mutex_lock(&journal->sync_lock);
    uint64_t tail = atomic_load(&journal->tail);
    int result = 0;
    if (atomic_load(&journal->is_failed)) {
        result = -EIO;
    } else if (journal->fd >= 0 && journal->synced < tail) {
        result = journal->os->sync(journal->os, journal->fd);
        atomic_store(&journal->is_failed, result < 0);
        journal->synced = tail;
    }
    pthread_mutex_unlock(&journal->sync_lock);
    if (result < 0) {
        diag_io_error(diags, -result, "cannot sync '%s'", journal->dir);
    }
    return result == 0;
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
    if (result == 0) {
        result = os->sync(os, fd);
    }
    if (result == 0) {
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
    if (journal->sync != JOURNAL_SYNC_NEVER && !journal_sync(journal, diags)) {
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

/* Begins a segment that has room for a record of `bytes`. */
static bool
begin_segment(struct journal *journal, uint64_t bytes, int64_t time_us, struct diag_list *diags)
{
    if (journal->fd >= 0 && !seal_segment(journal, diags)) {
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
    uint64_t size = SEGMENT_HEADER_BYTES + bytes;
    size = size < journal->segment_bytes ? journal->segment_bytes : size;
    int fd = create_segment(journal, &header, size);
    if (fd < 0) {
        diag_io_error(diags, -fd, "cannot begin a segment of '%s'", journal->dir);
        return false;
    }
    if (journal->fd >= 0 && journal->is_old && journal->room > tail) {
        /* Gives space back; when it fails, readers see the end in the new header. */
        journal->os->truncate(journal->os, journal->fd, (int64_t)(tail - journal->header.base));
    }
    pthread_mutex_lock(&journal->sync_lock);
    if (journal->fd >= 0) {
        journal->os->close(journal->os, journal->fd);
    }
    journal->fd = fd;
    journal->header = header;
    journal->room = header.base + size;
    journal->is_old = false;
    journal->is_dirty = false;
    atomic_store(&journal->tail, header.base + SEGMENT_HEADER_BYTES);
    journal->synced = header.base + SEGMENT_HEADER_BYTES;
    pthread_mutex_unlock(&journal->sync_lock);
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

bool
journal_append(struct journal *journal, struct record *record, struct diag_list *diags)
{
    if (atomic_load(&journal->is_failed)) {
        diag_io_error(diags, EIO, "log '%s' takes nothing after a failed sync", journal->dir);
        return false;
    }
    uint64_t bytes = RECORD_OVERHEAD_BYTES_MAX + (uint64_t)record->topic.size +
                     record->props.size + record->payload.size;
    if (bytes > journal->record_max_bytes + RECORD_OVERHEAD_BYTES_MAX) {
        diag_error(diags, DIAG_INVALID,
                   "a record of %" PRIu64 " bytes is above the limit of %" PRIu64 " of '%s'",
                   bytes - RECORD_OVERHEAD_BYTES_MAX, journal->record_max_bytes, journal->dir);
        return false;
    }
    struct record whole = *record;
    if (whole.time_us <= journal->last_time_us) {
        whole.time_us = journal->last_time_us + 1;
    }
    if (!make_room(journal, bytes, whole.time_us, diags)) {
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
    if (journal->sync == JOURNAL_SYNC_ALWAYS && !journal_sync(journal, diags)) {
        atomic_store(&journal->tail, whole.position);
        clean_tail(journal);
        return false;
    }
    journal->records++;
    journal->last_time_us = whole.time_us;
    *record = whole;
    return true;
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

bool
journal_cut(struct journal *journal, uint64_t tail, struct diag_list *diags)
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
    bool recovered = recover(journal, diags);
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
