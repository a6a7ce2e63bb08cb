/*
 * The progress of a local store in its streams; progress.h says what it is for.
 *
 * Doubts are held in memory only until the next commit, which writes them beside the progress: a
 * process that dies before has committed nothing behind them.
 */
#include "drivers/progress.h"

#include "base/mem.h"

#include <stdlib.h>

enum { STREAMS_MAX = 64 };

struct doubt {
    struct buf stream;
    struct record_id first;
    struct record_id last;
};

struct progress_doubts {
    struct doubt items[STREAMS_MAX];
    size_t count;
};

/* ---- the file ---- */

bool
progress_table_open(struct progress_table *table, sqlite3 *db, struct diag_list *diags)
{
    static const char select[] = "SELECT position, output, doubt, first_position, first_output,"
                                 " last_position, last_output FROM progress WHERE stream = ?1";
    static const char save[] = "INSERT OR REPLACE INTO progress (stream, position, output, doubt,"
                               " first_position, first_output, last_position, last_output)"
                               " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    *table = (struct progress_table){0};
    if (sqlite_prepare(db, select, &table->select, diags)
        && sqlite_prepare(db, save, &table->save, diags)) {
        return true;
    }
    progress_table_close(table);
    return false;
}

void
progress_table_close(struct progress_table *table)
{
    sqlite3_finalize(table->select);
    sqlite3_finalize(table->save);
    *table = (struct progress_table){0};
}

static struct record_id
column_id(sqlite3_stmt *statement, int column)
{
    return (struct record_id){
            .position = (uint64_t)sqlite3_column_int64(statement, column),
            .output = (uint32_t)sqlite3_column_int64(statement, column + 1),
    };
}

static void
bind_id(sqlite3_stmt *statement, int index, struct record_id id)
{
    sqlite3_bind_int64(statement, index, (int64_t)id.position);
    sqlite3_bind_int64(statement, index + 1, id.output);
}

static bool
load(struct progress_table *table, struct bytes stream, struct progress *out,
     struct diag_list *diags)
{
    sqlite3_stmt *select = table->select;
    sqlite_bind_text(select, 1, stream);
    int code = sqlite3_step(select);
    struct progress progress = {.stream = stream};
    if (code == SQLITE_ROW) {
        progress.any = true;
        progress.last = column_id(select, 0);
        progress.doubt = sqlite3_column_int(select, 2) != 0;
        progress.doubt_first = column_id(select, 3);
        progress.doubt_last = column_id(select, 5);
    }
    bool loaded = code == SQLITE_ROW || code == SQLITE_DONE
                  || sqlite_error(sqlite3_db_handle(select), diags);
    sqlite3_reset(select);
    if (loaded) {
        *out = progress;
    }
    return loaded;
}

bool
progress_save(const struct progress_batch *progress, struct diag_list *diags)
{
    sqlite3_stmt *save = progress->table->save;
    for (size_t i = 0; i < progress->count; i++) {
        const struct progress *item = &progress->items[i];
        sqlite_bind_text(save, 1, item->stream);
        bind_id(save, 2, item->last);
        sqlite3_bind_int(save, 4, item->doubt);
        bind_id(save, 5, item->doubt_first);
        bind_id(save, 7, item->doubt_last);
        if (!sqlite_finish(save, diags)) {
            return false;
        }
    }
    return true;
}

/* ---- doubts ---- */

struct progress_doubts *
progress_doubts_new(void)
{
    return mem_new(struct progress_doubts);
}

void
progress_doubts_free(struct progress_doubts *doubts)
{
    for (size_t i = 0; doubts != NULL && i < STREAMS_MAX; i++) {
        buf_fini(&doubts->items[i].stream);
    }
    free(doubts);
}

static size_t
find(const struct progress_doubts *doubts, struct bytes stream)
{
    size_t i = 0;
    while (i < doubts->count && !bytes_equal(buf_bytes(&doubts->items[i].stream), stream)) {
        i++;
    }
    return i;
}

static void
widen(struct record_id *first, struct record_id *last, struct record_id from, struct record_id to)
{
    if (record_id_compare(from, *first) < 0) {
        *first = from;
    }
    if (record_id_compare(to, *last) > 0) {
        *last = to;
    }
}

void
progress_failed(struct progress_doubts *doubts, const struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct sink_record *record = &batch->records[i];
        size_t at = find(doubts, record->stream);
        if (at < doubts->count) {
            widen(&doubts->items[at].first, &doubts->items[at].last, record->id, record->id);
        } else if (at < STREAMS_MAX) {
            struct doubt *doubt = &doubts->items[doubts->count++];
            buf_clear(&doubt->stream);
            buf_append(&doubt->stream, record->stream);
            doubt->first = record->id;
            doubt->last = record->id;
        }
    }
}

void
progress_settled(struct progress_doubts *doubts)
{
    doubts->count = 0;
}

/* ---- a batch ---- */

struct progress_batch
progress_begin(struct progress_table *table, const struct progress_doubts *doubts,
               const struct batch *batch)
{
    return (struct progress_batch){
            .table = table,
            .doubts = doubts,
            .items = arena_new_array(batch->arena, struct progress, batch->count),
    };
}

struct progress *
progress_of(struct progress_batch *progress, struct bytes stream, struct diag_list *diags)
{
    for (size_t i = 0; i < progress->count; i++) {
        if (bytes_equal(progress->items[i].stream, stream)) {
            return &progress->items[i];
        }
    }
    struct progress *item = &progress->items[progress->count];
    if (!load(progress->table, stream, item, diags)) {
        return NULL;
    }
    size_t at = find(progress->doubts, stream);
    if (at < progress->doubts->count) {
        const struct doubt *doubt = &progress->doubts->items[at];
        if (!item->doubt) {
            item->doubt_first = doubt->first;
            item->doubt_last = doubt->last;
        }
        widen(&item->doubt_first, &item->doubt_last, doubt->first, doubt->last);
        item->doubt = true;
    }
    progress->count++;
    return item;
}

bool
progress_is_applied(const struct progress *progress, struct record_id id)
{
    if (!progress->any || record_id_compare(id, progress->last) > 0) {
        return false;
    }
    return !(progress->doubt && record_id_compare(id, progress->doubt_first) >= 0
             && record_id_compare(id, progress->doubt_last) <= 0);
}

void
progress_advance(struct progress *progress, struct record_id id)
{
    if (!progress->any || record_id_compare(id, progress->last) > 0) {
        progress->last = id;
        progress->any = true;
    }
    if (progress->doubt && record_id_compare(id, progress->doubt_last) == 0) {
        progress->doubt = false;
    }
}
