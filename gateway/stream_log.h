/*
 * A durable stream of this machine under its name: what functions emit, and the rows of tables
 * with the connector `stream`.
 *
 * A row carries the id that its rule gave it, so that one which comes again after a crash is
 * stored once. Only rows from behind the last checkpoint can come again, and all that was appended
 * since then lies behind what rules had read of the stream at that checkpoint: so opening reads
 * from there and knows the ids of these rows.
 *
 * Threads: opened and closed by the main thread, appended to by that of the sink; journal() may be
 * synced and asked for its tail by any.
 */
#ifndef HEADGATE_STREAM_LOG_H
#define HEADGATE_STREAM_LOG_H

#include "driver.h"
#include "store/journal.h"

struct stream_log;

/* `options->position_least` is up to where the last checkpoint had read. */
bool stream_log_open(struct stream_log **out, const struct journal_options *options,
                     struct diag_list *diags) MUST_CHECK;
void stream_log_close(struct stream_log *log); /* accepts NULL */

struct journal *stream_log_journal(struct stream_log *log);

/* What a function emits: no id. */
bool stream_log_emit(struct stream_log *log, unsigned hops, struct bytes topic,
                     struct bytes payload, struct diag_list *diags) MUST_CHECK;

/* A rule's row, unless it is there already. */
bool stream_log_append(struct stream_log *log, const struct sink_record *record,
                       struct diag_list *diags) MUST_CHECK;

#endif
