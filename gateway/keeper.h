/*
 * Keeps what the ingest process receives: the writer of the journal `data_dir`/journal/mqtt, by
 * the policy that the option `sync` names.
 *
 * Threads: keeper_keep() is called by Paho's thread, keeper_hurry() by the ack gate's,
 * keeper_taken() by both, all else by the main thread. The keeper has a thread of its own that syncs.
 */
#ifndef HEADGATE_KEEPER_H
#define HEADGATE_KEEPER_H

#include "config.h"
#include "drivers/mqtt_gate.h"
#include "ingest_page.h"
#include "store/journal.h"

/* Of a record's encoded properties; a message with more is not for us. */
enum { KEEPER_PROPS_BYTES_MAX = 65535 };

struct keeper;

/* Opens the journal, and settles what a process before left uncounted; what recovery did is in `diags`
 * as warnings. `page` and `config` are borrowed. */
bool keeper_open(struct keeper **out, const struct config *config, struct ingest_page *page,
                 struct diag_list *diags) MUST_CHECK;

/*
 * Before the first keeper_keep(): gives the journal's last records, at least `bytes` where it has
 * them, to `record`; with NULL for bytes that are no record.
 */
bool keeper_read_last(const struct keeper *keeper, uint64_t bytes,
                      void (*record)(void *context, const struct record *record), void *context,
                      struct diag_list *diags) MUST_CHECK;

/* Begins to sync. `gate` is what keeper_taken() was given to with `sync always`, NULL otherwise. */
void keeper_start(struct keeper *keeper, struct mqtt_gate *gate);

/*
 * Returns when the record may be acknowledged to Paho. Without a gate it is in the journal then; a
 * journal that takes nothing is tried again for up to half the keep-alive, after which the
 * process ends so that the broker keeps the message. With a gate it is counted as taken, and what
 * the journal does not take waits in memory, unacknowledged, up to a limit.
 */
void keeper_keep(struct keeper *keeper, const struct record *record);

/* Whether the journal takes nothing at the moment. */
bool keeper_is_blocked(const struct keeper *keeper);

/* struct mqtt_gate_events, with the keeper as context. */
uint64_t keeper_taken(void *keeper);
void keeper_hurry(void *keeper);

/* At the end: what is in the journal is on the medium, as far as the policy asks for it. */
bool keeper_finish(struct keeper *keeper, struct diag_list *diags) MUST_CHECK;

#endif
