/*
 * What people do with an outbox's dead letters, and with what waits: try again, or drop.
 *
 * A letter that is tried again is pushed with its old id and its place among the dead letters. It
 * stays listed until it is settled: then the sink's thread removes it (delivered), or writes a new
 * letter and removes the old one (rejected again). So a crash in between loses nothing; the letter
 * may then be delivered and still be listed. After a restart those that wait in the backlog are
 * looked for there, once, before the first letter is tried again: none goes out beside itself.
 *
 * Locks: `dead_lock` before `lock`.
 */
#define _GNU_SOURCE
#include "outbox_state.h"

#include "base/mem.h"
#include "dead_list.h"

#include <stdlib.h>

enum { DROP_STEP_BYTES = 4 * 1024 * 1024 };

/* ---- which letters are on their way ---- */

struct retrying {
    uint64_t position; /* the key */
};

static struct bytes
key_of(const uint64_t *position)
{
    return bytes_of((const char *)position, sizeof *position);
}

void
outbox_forget_retrying(struct outbox *outbox, const struct sink_record *record)
{
    if (record->dead_position != 0) {
        free(map_remove(&outbox->retrying, key_of(&record->dead_position)));
    }
}

void
outbox_free_retrying(struct outbox *outbox)
{
    size_t cursor = 0;
    struct bytes key;
    void *value;
    while (map_next(&outbox->retrying, &cursor, &key, &value)) {
        free(value);
    }
    map_fini(&outbox->retrying);
}

/* Under the lock. */
static void
note_retrying(struct outbox *outbox, uint64_t position)
{
    if (map_find(&outbox->retrying, key_of(&position)) == NULL) {
        struct retrying *retrying = mem_new(struct retrying);
        retrying->position = position;
        map_put(&outbox->retrying, key_of(&retrying->position), retrying);
    }
}

/* Not when it has left the disk meanwhile: then it is in memory, or was given up. */
static void
note_logged_letter(void *context, const struct sink_record *record, uint64_t log_position)
{
    struct outbox *outbox = context;
    if (record->dead_position == 0) {
        return;
    }
    pthread_mutex_lock(&outbox->lock);
    if (outbox->backlog.is_spilled && log_position >= outbox->backlog.disk_head) {
        note_retrying(outbox, record->dead_position);
    }
    pthread_mutex_unlock(&outbox->lock);
}

/*
 * Under `dead_lock`, so that no letter is settled meanwhile. Disk first, then memory, since records
 * go from there to here.
 */
static bool
find_retrying(struct outbox *outbox, struct diag_list *diags)
{
    pthread_mutex_lock(&outbox->lock);
    uint64_t from = outbox->backlog.is_spilled ? outbox->backlog.disk_head : UINT64_MAX;
    uint64_t to = outbox->backlog.restored_tail;
    pthread_mutex_unlock(&outbox->lock);
    if (!outbox->knows_retrying && from < to &&
        !backlog_each_logged(outbox->options.os, outbox->backlog.dir, from, to, note_logged_letter,
                             outbox, diags)) {
        return false;
    }
    pthread_mutex_lock(&outbox->lock);
    const struct waiting *waiting = outbox->knows_retrying ? NULL : outbox->backlog.front.first;
    for (; waiting != NULL; waiting = waiting->next) {
        if (waiting->record.dead_position != 0) {
            note_retrying(outbox, waiting->record.dead_position);
        }
    }
    pthread_mutex_unlock(&outbox->lock);
    outbox->knows_retrying = true;
    return true;
}

/* Whether the letter is to be pushed; it counts as on its way from now on. */
static bool
begin_retrying(struct outbox *outbox, uint64_t position, bool *is_full)
{
    pthread_mutex_lock(&outbox->lock);
    *is_full = backlog_is_full(&outbox->backlog);
    bool is_new = !*is_full && map_find(&outbox->retrying, key_of(&position)) == NULL;
    if (is_new) {
        note_retrying(outbox, position);
    }
    pthread_mutex_unlock(&outbox->lock);
    return is_new;
}

/* ---- trying again ---- */

struct retry_pass {
    struct outbox *outbox;
    uint64_t from;
    uint64_t to;
    uint64_t count;
    bool is_full;
};

static bool
retry_letter(void *context, const struct dead_item *item)
{
    struct retry_pass *pass = context;
    if (item->position < pass->from) {
        return true;
    }
    if (item->position >= pass->to) {
        return false;
    }
    if (begin_retrying(pass->outbox, item->position, &pass->is_full)) {
        struct sink_record record = item->letter.record;
        record.dead_position = item->position;
        outbox_push(pass->outbox, &record);
        pass->count++;
    }
    return !pass->is_full;
}

bool
outbox_retry_dead(struct outbox *outbox, uint64_t from, uint64_t to, uint64_t *count,
                  struct diag_list *diags)
{
    struct retry_pass pass = {.outbox = outbox, .from = from, .to = to};
    pthread_mutex_lock(&outbox->dead_lock);
    bool is_read = find_retrying(outbox, diags) &&
                   dead_list_each(outbox->options.os, outbox->dead_dir, retry_letter, &pass, diags);
    pthread_mutex_unlock(&outbox->dead_lock);
    *count = pass.count;
    if (is_read && pass.is_full) {
        diag_error(diags, DIAG_BUSY, "no more records may wait for '%s'", outbox->options.name);
        diag_hint(diags, "try again when it has delivered some; see 'backlog.max'");
    }
    return is_read && !pass.is_full;
}

/* ---- dropping ---- */

bool
outbox_drop_dead(struct outbox *outbox, uint64_t from, uint64_t to, uint64_t *count,
                 struct diag_list *diags)
{
    pthread_mutex_lock(&outbox->dead_lock);
    bool is_dropped = dead_letters_remove(&outbox->dead, from, to, count, diags);
    pthread_mutex_unlock(&outbox->dead_lock);
    return is_dropped;
}

bool
outbox_drop_waiting(struct outbox *outbox, uint64_t *count, struct diag_list *diags)
{
    pthread_mutex_lock(&outbox->lock);
    uint64_t bytes = backlog_bytes(&outbox->backlog);
    uint64_t before = outbox->stats.given_up;
    bool is_read = true;
    while (is_read && bytes > 0) { /* in steps, so that the core can push in between */
        bytes = bytes < DROP_STEP_BYTES ? 0 : bytes - DROP_STEP_BYTES;
        is_read = backlog_drop_oldest(&outbox->backlog, bytes, outbox_count_given_up, outbox,
                                      diags);
        outbox->doomed_by_hand = outbox->backlog.doomed_count;
        pthread_cond_signal(&outbox->changed);
        pthread_mutex_unlock(&outbox->lock);
        pthread_mutex_lock(&outbox->lock);
    }
    *count = outbox->stats.given_up - before + outbox->backlog.doomed_count;
    pthread_mutex_unlock(&outbox->lock);
    return is_read;
}
