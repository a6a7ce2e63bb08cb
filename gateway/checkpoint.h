/*
 * The one cut: how far the engine has come, committed as a whole.
 *
 * A checkpoint holds, of one instant between two batches, the position read up to in each stream,
 * the range of each sink's backlog log that is not delivered, and each rule's window state. A
 * restart loads it, hands each sink its backlog and replays the streams from their positions.
 *
 * Two files, written in turn: checkpoint-0 holds even generations, checkpoint-1 odd ones. The
 * newer valid one counts; when it is damaged the other one does. So what the *older* of the two
 * needs must be kept: trim streams and backlogs only up to the positions of the checkpoint before
 * the newest.
 *
 * Threads: none of its own; one thread at a time for one directory.
 */
#ifndef HEADGATE_CHECKPOINT_H
#define HEADGATE_CHECKPOINT_H

#include "base/diag.h"
#include "base/os.h"

struct checkpoint_stream {
    struct bytes name;
    uint64_t position; /* of the first record that is not processed */
    uint64_t ids_from; /* of rows that may come again, the first; see stream_log.h */
};

struct checkpoint_sink {
    struct bytes name;
    uint64_t head; /* as struct outbox_mark says */
    uint64_t tail;
    uint64_t records;
};

struct checkpoint_rule {
    struct bytes name;
    struct bytes state; /* the rule library's encoding */
};

struct checkpoint {
    uint64_t generation; /* 0: there is none; the next one to save is one higher */
    const struct checkpoint_stream *streams;
    size_t stream_count;
    const struct checkpoint_sink *sinks;
    size_t sink_count;
    const struct checkpoint_rule *rules;
    size_t rule_count;
};

/*
 * Commits a checkpoint: on true it is on the medium and a load gives it. On false the one before
 * still counts, and the same generation may be tried again. `generation` must be one higher than
 * that of the checkpoint loaded or saved before.
 */
bool checkpoint_save(const struct os *os, const char *dir, const struct checkpoint *checkpoint,
                     struct diag_list *diags) MUST_CHECK;

/*
 * The newest valid checkpoint of a directory; generation 0 and nothing else when there is none
 * yet. All memory is in `arena`. A damaged or unreadable file is a warning while the other one is
 * valid; with no valid one left it is an error, DIAG_CORRUPT or DIAG_IO: begin without, at the
 * oldest records. DIAG_INVALID: a newer version wrote it.
 */
bool checkpoint_load(const struct os *os, const char *dir, struct arena *arena,
                     struct checkpoint *out, struct diag_list *diags) MUST_CHECK;

/* The bytes of a file; pure. Decoding takes any bytes. */
void checkpoint_encode(const struct checkpoint *checkpoint, struct buf *out);
bool checkpoint_decode(struct bytes bytes, struct arena *arena, struct checkpoint *out,
                       struct diag_list *diags) MUST_CHECK;

#endif
