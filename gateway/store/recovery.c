/*
 * What a writer finds when it opens a log: the newest segment that can be read, its last record.
 *
 * Older segments are not read; what is damaged there is found by who reads them. The newest one is
 * read to its end. A record behind damaged bytes makes them damage in the middle, which stays
 * where it is, since a position is never moved, and is copied to the quarantine. Bytes with no
 * record behind them are a torn tail.
 */
#define _GNU_SOURCE
#include "examine.h"
#include "journal_state.h"
#include "scan.h"

#include <fcntl.h>
#include <inttypes.h>

bool
segment_survey(const struct os *os, int fd, const struct segment_header *header, uint64_t size,
               void (*damage)(void *context, uint64_t from, uint64_t to), void *context,
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
                if (damage != NULL) {
                    damage(context, header->base + offset, header->base + found);
                }
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

void
journal_warn(const struct journal *journal, struct diag_list *diags, const char *format,
             uint64_t bytes, uint64_t position)
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
            if (journal->header.is_corrected) {
                journal_warn(journal, diags,
                             "one of the %" PRIu64 " bytes of the header at %" PRIu64
                             " is damaged; it is corrected while reading",
                             SEGMENT_HEADER_BYTES, base);
            }
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
            journal_warn(journal, diags,
                         "segment of %" PRIu64 " bytes at %" PRIu64 " cannot be read",
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
        journal_warn(journal, diags, "%" PRIu64 " damaged bytes before position %" PRIu64,
                     survey->damaged_bytes, survey->tail);
        diag_hint(diags, "copies are in '%s/quarantine'; records around them are not affected",
                  journal->dir);
    }
    if (survey->torn_bytes > 0) {
        journal_warn(journal, diags,
                     "cut a torn tail of up to %" PRIu64 " bytes at position %" PRIu64,
                     survey->torn_bytes, survey->tail);
    }
    if (survey->is_unclear) {
        journal_warn(journal, diags,
                     "%" PRIu64 " bytes before position %" PRIu64 " are left as they are",
                     journal->room - survey->tail, journal->room);
    }
}

/* A file that mend.c was writing when the process ended. */
static void
remove_unfinished(const struct journal *journal)
{
    struct buf path = {0};
    segment_path(&path, journal->dir, journal->header.base);
    path.size -= strlen(SEGMENT_SUFFIX);
    buf_append_string(&path, SEGMENT_FRESH_SUFFIX);
    journal->os->unlink(journal->os, buf_string(&path)); /* usually there is none */
    buf_fini(&path);
}

/* The context of quarantine(). */
struct damage {
    const struct journal *journal;
    struct diag_list *diags;
};

static void
quarantine(void *context, uint64_t from, uint64_t to)
{
    const struct damage *damage = context;
    struct diag_list diags = {0};
    if (!journal_quarantine(damage->journal->os, damage->journal->dir, from, to, NULL, &diags)) {
        /* The bytes stay where they are, and the next start tries again. */
        journal_warn(damage->journal, damage->diags,
                     "%" PRIu64 " damaged bytes at position %" PRIu64
                     " could not be copied to the quarantine",
                     to - from, from);
    }
    diag_list_fini(&diags);
}

/*
 * A process that ended between making a file and the sync of its name has left a file that can be
 * read, written and synced, and that a power cut takes away. Names of an earlier boot are safe.
 */
static bool
secure_name(const struct journal *journal, struct diag_list *diags)
{
    const struct os *os = journal->os;
    int result = journal->header.boot == journal->boot ? os->sync_dir(os, journal->dir) : 0;
    if (result < 0) {
        diag_io_error(diags, -result, "cannot sync the directory '%s'", journal->dir);
    }
    return result == 0;
}

bool
journal_recover(struct journal *journal, struct diag_list *diags)
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
    remove_unfinished(journal);
    if (journal->fd < 0) {
        atomic_store(&journal->tail, journal->next_least);
        if (journal->position_least > 0) {
            journal_warn(journal, diags,
                 "no segment is left, but it was read up to position %" PRIu64
                 "; it goes on at %" PRIu64,
                 journal->position_least, journal->next_least);
        }
        return true;
    }
    if (!secure_name(journal, diags)) {
        return false;
    }
    struct survey survey;
    int os_error;
    struct damage damage = {journal, diags};
    if (!segment_survey(journal->os, journal->fd, &journal->header, (uint64_t)size, quarantine,
                        &damage, &survey, &os_error)) {
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
        journal_warn(journal, diags,
             "it ends at position %" PRIu64 ", but was read up to %" PRIu64
             ": records are missing, it goes on behind",
             tail, journal->position_least);
    }
    journal->is_old = journal->header.boot != journal->boot || survey.is_unclear || is_behind ||
                      journal->next_least > journal->room;
    journal->is_dirty = survey.torn_bytes > 0 && !journal->is_old;
    return true;
}
