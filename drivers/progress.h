/*
 * How a local store takes each record once: how far it has come in every stream that feeds it is
 * committed together with what the records did.
 *
 *   record id <= last of its stream    it was decided before: nothing is stored again
 *   but in the range in doubt          its batch failed: it is taken when it comes again, even
 *                                      behind later records
 *
 * The caller's file has the table of PROGRESS_SCHEMA; a batch is one transaction of it:
 *
 *   progress_begin    in the transaction
 *   progress_of       for each record, then progress_is_applied, then progress_advance
 *   progress_save     before the commit
 *   progress_settled / progress_failed   after the commit, or after the rollback
 *
 * Belongs to the store's writing thread.
 */
#ifndef HEADGATE_DRIVERS_PROGRESS_H
#define HEADGATE_DRIVERS_PROGRESS_H

#include "drivers/sqlite.h"

#define PROGRESS_SCHEMA                                                                            \
    "CREATE TABLE progress (stream TEXT PRIMARY KEY, position INTEGER NOT NULL,"                   \
    " output INTEGER NOT NULL, doubt INTEGER NOT NULL, first_position INTEGER NOT NULL,"           \
    " first_output INTEGER NOT NULL, last_position INTEGER NOT NULL,"                              \
    " last_output INTEGER NOT NULL) WITHOUT ROWID;"

/* The statements of one open file. */
struct progress_table {
    sqlite3_stmt *select;
    sqlite3_stmt *save;
};

/* On false nothing is left open. */
bool progress_table_open(struct progress_table *table, sqlite3 *db, struct diag_list *diags)
        MUST_CHECK;
void progress_table_close(struct progress_table *table);

/* What an instance remembers of failed batches, until one commits. Outlives the open file. */
struct progress_doubts;

struct progress_doubts *progress_doubts_new(void);
void progress_doubts_free(struct progress_doubts *doubts);

/* One stream: ids up to `last` were decided, except those in [doubt_first, doubt_last]. */
struct progress {
    struct bytes stream; /* borrowed from the batch */
    bool any;
    struct record_id last;
    bool doubt;
    struct record_id doubt_first;
    struct record_id doubt_last;
};

struct progress_batch {
    struct progress_table *table;
    const struct progress_doubts *doubts;
    struct progress *items; /* in the batch's arena */
    size_t count;
};

struct progress_batch progress_begin(struct progress_table *table,
                                     const struct progress_doubts *doubts,
                                     const struct batch *batch);

/* The progress of a record's stream within this batch; NULL when the file fails. */
struct progress *progress_of(struct progress_batch *progress, struct bytes stream,
                             struct diag_list *diags);

bool progress_is_applied(const struct progress *progress, struct record_id id);
void progress_advance(struct progress *progress, struct record_id id);

bool progress_save(const struct progress_batch *progress, struct diag_list *diags) MUST_CHECK;

/* The transaction was committed: it holds the doubts too. */
void progress_settled(struct progress_doubts *doubts);

/* The transaction was rolled back: the batch's ids may come again behind later ones. */
void progress_failed(struct progress_doubts *doubts, const struct batch *batch);

#endif
