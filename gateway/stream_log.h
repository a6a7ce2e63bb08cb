/*
 * A durable stream of this machine under its name: what functions emit, and the rows of tables
 * with the connector `stream`.
 *
 * A row carries the id that its rule gave it, so that one which comes again after a crash is
 * stored once. It comes again when the checkpoint has it in the sink's backlog, or has its input
 * before it; and what comes again is known when opening has read its id. So each checkpoint says
 * from where on ids have to be read: behind that lies every row that may come again after it.
 *
 *   ──────┬──────────────────┬──────────────> positions
 *     ids_from             tail
 *         └─ rows may come again: opening reads their ids
 *
 * In a life without a crash before it, ids_from follows the tail, one cut later when something
 * waits at each cut. After a crash it stays until every row that opening found has come again, or
 * cannot come again: the same may be needed after a second crash.
 *
 * Threads: opened and closed by the main thread, appended to by that of the sink, cut by the
 * engine's; journal() may be synced and asked for its tail by any.
 */
#ifndef HEADGATE_STREAM_LOG_H
#define HEADGATE_STREAM_LOG_H

#include "driver.h"
#include "store/journal.h"

struct stream_log;

/* `ids_from` is what the last checkpoint says; its position is `options->position_least`. */
bool stream_log_open(struct stream_log **out, const struct journal_options *options,
                     uint64_t ids_from, struct diag_list *diags) MUST_CHECK;
void stream_log_close(struct stream_log *log); /* accepts NULL */

struct journal *stream_log_journal(struct stream_log *log);

/* What a function emits: no id. */
bool stream_log_emit(struct stream_log *log, unsigned hops, struct bytes topic,
                     struct bytes payload, struct diag_list *diags) MUST_CHECK;

/* A rule's row, unless it is there already. */
bool stream_log_append(struct stream_log *log, const struct sink_record *record,
                       struct diag_list *diags) MUST_CHECK;

/* The sink at a cut. */
struct stream_log_cut {
    bool is_drained;  /* nothing waits in the outbox: all that was appended is done with */
    uint64_t batches; /* that it has written so far */
    /* Up to where the input of that name is read; UINT64_MAX when there is none. */
    uint64_t (*position)(const void *context, struct bytes stream);
    const void *context;
};

/*
 * Around outbox_cut(): begin says what is appended before, end gives ids_from for the checkpoint
 * with that cut.
 */
void stream_log_begin_cut(struct stream_log *log);
uint64_t stream_log_end_cut(struct stream_log *log, const struct stream_log_cut *cut);

#endif
