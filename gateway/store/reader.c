/*
 * Reading a log from segment to segment.
 *
 * Reading goes on in the open segment until its end is known and reached. A segment is known to
 * be complete when a newer one exists (`sealed_end`, from the newer one's header); the newest one
 * ends where the caller's limit says, or where bytes stop being records.
 *
 *   what lies at the position       known to be complete          not known
 *   a record                        RECORD                        RECORD
 *   zeros, end of file              GAP to the next record        END; look for a newer segment
 *   other bytes                     GAP to the next record        END, or GAP when a valid record
 *                                                                 lies behind them
 *
 * The writer may be appending while we read, and a read across pages may see its second write
 * without the first. So nothing is called damaged before it was read again after the valid record
 * behind it was seen.
 *
 * Damage at the open end is looked at again at the 1st, 2nd, 4th, 8th, ... call only: a torn tail
 * stays until the writer is started again.
 */
#define _GNU_SOURCE
#include "scan.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>

struct journal_reader {
    const struct os *os;
    char *dir;
    uint64_t position;
    bool from_oldest; /* nothing was read yet: begin where the log begins */
    bool knows_log;
    char log_id[LOG_ID_BYTES];
    struct scan scan;
    int fd;              /* of the segment that holds `position`; -1: none open */
    uint64_t base;       /* of that segment */
    uint64_t sealed_end; /* position where it ends; UINT64_MAX: it is the newest */
    uint64_t next_base;  /* of the segment behind it */
    unsigned ends;       /* calls in a row that found nothing at `position` */
};

/* What a step has decided; STEP_ON: nothing yet, take another step. */
enum step { STEP_ON = -1 };

static bool
listed(struct journal_reader *reader, struct segment_list *list, struct diag_list *diags)
{
    int result = segment_list_read(reader->os, reader->dir, list);
    if (result < 0) {
        diag_io_error(diags, -result, "cannot list '%s'", reader->dir);
        return false;
    }
    return true;
}

static bool
check_start(struct journal_reader *reader, const struct segment_list *list,
            struct diag_list *diags)
{
    uint64_t end = 0;
    if (list->count > 0) {
        uint64_t base = list->bases[list->count - 1];
        int fd = segment_open(reader->os, reader->dir, base, O_RDONLY);
        int64_t size = fd < 0 ? fd : reader->os->size(reader->os, fd);
        if (fd >= 0) {
            reader->os->close(reader->os, fd);
        }
        if (size < 0) {
            diag_io_error(diags, (int)-size, "cannot open the newest segment in '%s'", reader->dir);
            return false;
        }
        end = base + (uint64_t)size;
    }
    if (reader->position > end) {
        diag_error(diags, DIAG_MISSING,
                   "log '%s' ends before position %" PRIu64 ", where reading shall begin",
                   reader->dir, reader->position);
        diag_hint(diags, "its files were removed or replaced; begin at the oldest record");
        return false;
    }
    return true;
}

bool
journal_reader_open(struct journal_reader **out, const struct os *os, const char *dir,
                    uint64_t from, struct diag_list *diags)
{
    struct journal_reader *reader = mem_new(struct journal_reader);
    reader->os = os;
    reader->dir = bytes_to_string(bytes_of_string(dir));
    reader->position = from;
    reader->from_oldest = from == 0;
    reader->fd = -1;
    struct segment_list list = {0};
    bool opened = listed(reader, &list, diags) && (from == 0 || check_start(reader, &list, diags));
    segment_list_fini(&list);
    if (!opened) {
        journal_reader_close(reader);
        return false;
    }
    *out = reader;
    return true;
}

static void
leave_segment(struct journal_reader *reader)
{
    if (reader->fd >= 0) {
        reader->os->close(reader->os, reader->fd);
        reader->fd = -1;
    }
}

void
journal_reader_close(struct journal_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    leave_segment(reader);
    scan_fini(&reader->scan);
    free(reader->dir);
    free(reader);
}

uint64_t
journal_reader_position(const struct journal_reader *reader)
{
    return reader->position;
}

static int
pass_gap(struct journal_reader *reader, uint64_t next, struct record *out)
{
    *out = (struct record){.position = reader->position, .next = next};
    reader->position = next;
    reader->ends = 0;
    return JOURNAL_GAP;
}

/* An enum segment_state of ours, or a negative errno; a segment of another log is damage. */
static int
own_header(struct journal_reader *reader, int fd, uint64_t base, struct segment_header *out)
{
    int state = fd >= 0 ? segment_header_read(reader->os, fd, base, out)
                        : segment_header_load(reader->os, reader->dir, base, out);
    if (state == SEGMENT_GOOD && memcmp(out->log_id, reader->log_id, LOG_ID_BYTES) != 0) {
        return SEGMENT_DAMAGED;
    }
    return state;
}

/* Learns where segment `index` of the list ends from the header of the one behind it. */
static void
learn_end(struct journal_reader *reader, const struct segment_list *list, size_t index)
{
    if (index + 1 == list->count) {
        reader->sealed_end = UINT64_MAX;
        return;
    }
    uint64_t next_base = list->bases[index + 1];
    struct segment_header next;
    int state = own_header(reader, -1, next_base, &next);
    if (state == SEGMENT_BLANK && index + 2 == list->count) {
        reader->sealed_end = UINT64_MAX; /* it is being created */
        return;
    }
    reader->next_base = next_base;
    reader->sealed_end = next_base;
    if (state == SEGMENT_GOOD && next.previous_end > reader->base) {
        reader->sealed_end = next.previous_end;
    }
}

/* The segment at list[index] cannot be read: passes over it, or waits when it is the newest. */
static int
pass_unreadable(struct journal_reader *reader, const struct segment_list *list, size_t index,
                int state, struct record *out, struct diag_list *diags)
{
    uint64_t base = list->bases[index];
    if (state == SEGMENT_NEWER) {
        diag_error(diags, DIAG_INVALID, "log '%s' was written by a newer version", reader->dir);
        return JOURNAL_ERROR;
    }
    if (state < 0 && state != -ENOENT) {
        diag_io_error(diags, -state, "cannot read segment %" PRIu64 " of '%s'", base, reader->dir);
        return JOURNAL_ERROR;
    }
    if (index + 1 == list->count) {
        return JOURNAL_END;
    }
    return pass_gap(reader, list->bases[index + 1], out);
}

/* Opens the segment that holds the position. */
static int
enter_listed(struct journal_reader *reader, const struct segment_list *list, struct record *out,
             struct diag_list *diags)
{
    if (list->count == 0) {
        return JOURNAL_END;
    }
    if (!reader->knows_log) {
        reader->knows_log = segment_log_id(reader->os, reader->dir, list, reader->log_id);
    }
    if (reader->from_oldest) {
        reader->from_oldest = false;
        reader->position = list->bases[0];
    }
    size_t index = segment_list_find(list, reader->position);
    if (index == SIZE_MAX) {
        return pass_gap(reader, list->bases[0], out);
    }
    uint64_t base = list->bases[index];
    struct segment_header header;
    int fd = segment_open(reader->os, reader->dir, base, O_RDONLY);
    int state = fd < 0 ? fd : own_header(reader, fd, base, &header);
    if (state != SEGMENT_GOOD) {
        if (fd >= 0) {
            reader->os->close(reader->os, fd);
        }
        return pass_unreadable(reader, list, index, state, out, diags);
    }
    reader->fd = fd;
    reader->base = base;
    if (reader->position < base + SEGMENT_HEADER_BYTES) {
        reader->position = base + SEGMENT_HEADER_BYTES;
    }
    learn_end(reader, list, index);
    scan_begin(&reader->scan, reader->os, fd, &header);
    return STEP_ON;
}

static int
enter_segment(struct journal_reader *reader, struct record *out, struct diag_list *diags)
{
    struct segment_list list = {0};
    int step = listed(reader, &list, diags) ? enter_listed(reader, &list, out, diags)
                                            : (int)JOURNAL_ERROR;
    segment_list_fini(&list);
    return step;
}

/* Whether a newer segment has come, so that the end of this one is known now. */
static int
look_for_newer(struct journal_reader *reader, struct diag_list *diags)
{
    struct segment_list list = {0};
    int step = JOURNAL_ERROR;
    if (listed(reader, &list, diags)) {
        size_t index = segment_list_find(&list, reader->base);
        if (index != SIZE_MAX && list.bases[index] == reader->base) {
            learn_end(reader, &list, index);
        } else if (index == SIZE_MAX ? list.count > 0 : index + 1 < list.count) {
            /* Unlinked under us: what lies behind begins a new segment. */
            reader->next_base = list.bases[index == SIZE_MAX ? 0 : index + 1];
            reader->sealed_end = reader->next_base;
        }
        step = reader->sealed_end == UINT64_MAX ? (int)JOURNAL_END : (int)STEP_ON;
    }
    segment_list_fini(&list);
    return step;
}

static int
io_failed(struct journal_reader *reader, int os_error, struct diag_list *diags)
{
    diag_io_error(diags, os_error, "cannot read segment %" PRIu64 " of '%s'", reader->base,
                  reader->dir);
    return JOURNAL_ERROR;
}

/* Bytes up to `end` are no record at the position: finds the next one, in the file as it is now. */
static int
pass_damage(struct journal_reader *reader, uint64_t end, bool is_complete, struct record *out,
            struct diag_list *diags)
{
    uint64_t offset = reader->position - reader->base;
    int64_t file_size = reader->os->size(reader->os, reader->fd);
    if (file_size < 0) {
        return io_failed(reader, (int)-file_size, diags);
    }
    uint64_t search_end = end - reader->base;
    if (end == UINT64_MAX || search_end > (uint64_t)file_size) {
        search_end = (uint64_t)file_size;
    }
    int os_error;
    uint64_t found = 0;
    scan_refresh(&reader->scan);
    enum scan_result result =
            scan_search(&reader->scan, offset, search_end, &found, &os_error);
    if (result == SCAN_ERROR) {
        return io_failed(reader, os_error, diags);
    }
    scan_refresh(&reader->scan);
    struct record record;
    enum scan_result again = scan_next(&reader->scan, offset, search_end, &record, &os_error);
    if (again == SCAN_ERROR) {
        return io_failed(reader, os_error, diags);
    }
    if (again == SCAN_RECORD) {
        return STEP_ON;
    }
    if (result == SCAN_RECORD) {
        return pass_gap(reader, reader->base + found, out);
    }
    return is_complete ? pass_gap(reader, end, out) : (int)JOURNAL_END;
}

static bool
is_power_of_two(unsigned value)
{
    return (value & (value - 1)) == 0;
}

/* No record at the position, and nobody says that there is one. */
static int
wait_at_end(struct journal_reader *reader, bool is_bad, struct record *out,
            struct diag_list *diags)
{
    scan_refresh(&reader->scan);
    reader->ends++;
    int64_t file_size = reader->os->size(reader->os, reader->fd);
    bool is_full = file_size >= 0 && reader->position - reader->base >= (uint64_t)file_size;
    bool looks = is_power_of_two(reader->ends) || reader->ends % 64 == 0;
    if (!is_full && !(is_bad && looks) && reader->ends % 64 != 0) {
        return JOURNAL_END;
    }
    int step = look_for_newer(reader, diags);
    if (step == JOURNAL_END && is_bad && looks) {
        step = pass_damage(reader, UINT64_MAX, false, out, diags);
    }
    return step;
}

static int
read_segment(struct journal_reader *reader, uint64_t limit, struct record *out,
             struct diag_list *diags)
{
    if (reader->position >= reader->sealed_end) {
        leave_segment(reader);
        reader->position = reader->next_base;
        return STEP_ON;
    }
    uint64_t end = limit < reader->sealed_end ? limit : reader->sealed_end;
    int os_error;
    enum scan_result result =
            scan_next(&reader->scan, reader->position - reader->base,
                      end == UINT64_MAX ? UINT64_MAX : end - reader->base, out, &os_error);
    if (result == SCAN_RECORD) {
        reader->position = out->next;
        reader->ends = 0;
        return JOURNAL_RECORD;
    }
    if (result == SCAN_ERROR) {
        return io_failed(reader, os_error, diags);
    }
    if (end == UINT64_MAX) {
        return wait_at_end(reader, result == SCAN_BAD, out, diags);
    }
    if (reader->sealed_end == UINT64_MAX) { /* the limit may lie in a segment that came later */
        int step = look_for_newer(reader, diags);
        if (step != JOURNAL_END) {
            return step;
        }
    }
    return pass_damage(reader, end, true, out, diags);
}

enum journal_read
journal_reader_next(struct journal_reader *reader, uint64_t limit, struct record *out,
                    struct diag_list *diags)
{
    for (;;) {
        if (reader->position >= limit) {
            return JOURNAL_END;
        }
        int step = reader->fd < 0 ? enter_segment(reader, out, diags)
                                  : read_segment(reader, limit, out, diags);
        if (step != STEP_ON) {
            return (enum journal_read)step;
        }
    }
}
