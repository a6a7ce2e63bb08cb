/*
 * The durable primitive: an append-only log of records, addressed by position.
 *
 * The same code is the journal of received messages, a named stream, a sink's backlog and the
 * dead letters. It knows bytes, not messages: what topic and payload mean is the caller's.
 *
 * A *position* is the byte address of a record in the log's whole life: a segment file is named
 * by the position of its first byte, so a position is found without an index, grows for ever, and
 * stays the same when damaged bytes lie before it. A position is never given out twice, not even
 * when a power cut has taken records back; only journal_cut() frees positions. The byte layout is
 * in segment.c.
 *
 * One writer (locked), any number of readers, in any processes. Readers see a record as soon as
 * it is written (page cache), not only when it is synced.
 *
 * Threads: a journal or reader belongs to one thread at a time, except journal_sync(), which may
 * run beside journal_append() on another thread (that is what the interval policy does).
 */
#ifndef HEADGATE_STORE_JOURNAL_H
#define HEADGATE_STORE_JOURNAL_H

#include "base/diag.h"
#include "base/os.h"

enum record_flag {
    RECORD_QOS = 3,           /* two bits: the QoS it was received with */
    RECORD_RETAINED = 4,
    RECORD_DUP = 8,
    RECORD_TIME_UNSYNCED = 16, /* the wall clock was doubted on arrival: base/wall.h */
};

struct record {
    uint64_t position; /* set by the journal */
    uint64_t next;     /* position behind this record; set by the journal */
    int64_t time_us;   /* wall clock on arrival, microseconds since 1970; strictly increasing, but
                          where the clock was set back by more than WALL_STEP_US */
    unsigned flags;    /* enum record_flag */
    struct bytes topic;
    struct bytes props; /* the caller's encoding; empty for none */
    struct bytes payload;
};

enum journal_sync {
    JOURNAL_SYNC_NEVER,
    JOURNAL_SYNC_INTERVAL,
    JOURNAL_SYNC_ALWAYS,
    JOURNAL_SYNC_DEFERRED,
};

struct journal_options {
    const struct os *os;
    const char *dir;       /* created when missing */
    int64_t segment_bytes;    /* allocated at once; a record that does not fit begins the next */
    int64_t record_max_bytes; /* topic, props and payload; a larger one is DIAG_INVALID */
    /*
     * ALWAYS: journal_append() returns after the sync. NEVER: not even full segments are synced.
     * DEFERRED: full segments are synced by journal_sync() only, so that an append waits for the
     * medium at most where very many are full. A power cut may take whole segments, and their
     * positions are then given out again: for a log that is cut at a synced position when it is
     * opened.
     */
    enum journal_sync sync;
    /*
     * When to begin no further segment: the log takes `bytes_max` then (0: no limit; two segments
     * are always allowed), or less than `free_min_bytes` of the disk would be left. Then appends
     * fail with DIAG_BUSY, until readers have let segments go; or, with `drops_oldest`, the oldest
     * segments are unlinked, which is a warning and a gap for readers that are behind.
     */
    int64_t bytes_max;
    int64_t free_min_bytes;
    bool drops_oldest;
    /*
     * No record gets a position below this one: what readers have committed, so that a log whose
     * files were lost does not give out positions that they would take for known ones. 0: none.
     */
    uint64_t position_least;
};

struct journal;

/*
 * Opens for writing, creates when empty, and recovers: a torn tail is cut; damaged bytes in the
 * middle stay where they are (readers report them as a gap). What recovery did is a warning in
 * `diags`. Fails with DIAG_BUSY when another process writes this log, and with DIAG_INVALID,
 * without touching it, when a newer version wrote it.
 */
bool journal_open(struct journal **out, const struct journal_options *options,
                  struct diag_list *diags) MUST_CHECK;

/* Seals nothing, syncs (unless NEVER), closes. Accepts NULL. */
void journal_close(struct journal *journal);

/*
 * Appends one record with a single write; sets `position`, `next`, and raises `time_us` where
 * needed so that it is larger than that of the record before (see struct record). On false nothing
 * is in the log (a short write has been cut off again), and the next append may succeed (disk full
 * is not final).
 * Space is taken a segment at a time, so a full disk shows only when a segment begins.
 */
bool journal_append(struct journal *journal, struct record *record, struct diag_list *diags)
        MUST_CHECK;

/*
 * Everything appended before is on the medium. When the medium refuses, the newest segment is
 * written to another file and that is synced (mend.c); then this is true all the same, with a
 * warning in `diags`. Otherwise appends are refused until a later sync or append succeeds with it.
 */
bool journal_sync(struct journal *journal, struct diag_list *diags) MUST_CHECK;

/* With DEFERRED: a full segment waits for a sync. Any thread. */
bool journal_is_behind(struct journal *journal);

/*
 * Cuts the log off at `tail`, a position returned before; for backlogs ahead of a checkpoint.
 * Nothing happens when the log ends before. Readers must be opened again afterwards.
 */
bool journal_cut(struct journal *journal, uint64_t tail, struct diag_list *diags) MUST_CHECK;

/* The position behind the last record: where the next one will be. May be read by any thread. */
uint64_t journal_tail(const struct journal *journal);

/* Records in the segments that drops_oldest has unlinked since the log was opened. Any thread. */
uint64_t journal_dropped(const struct journal *journal);

/* What stays of a log although it was read, in whole segments; both 0: nothing. */
struct journal_retention {
    int64_t age_us;  /* records younger than that; 0: of any age */
    uint64_t bytes;  /* but no more than that; 0: any */
};

/* From which position on a log has to stay for that; UINT64_MAX: all may go. */
bool journal_retained_from(const struct os *os, const char *dir,
                           const struct journal_retention *retention, uint64_t *out,
                           struct diag_list *diags) MUST_CHECK;

/* The position of the first record from `time_us` on; the log's end when all are older. */
bool journal_find_time(const struct os *os, const char *dir, int64_t time_us, uint64_t *out,
                       struct diag_list *diags) MUST_CHECK;

/*
 * Unlinks whole segments that lie before `position`; the newest stays. By directory, because the
 * reader that decides is often another process than the writer.
 */
bool journal_trim(const struct os *os, const char *dir, uint64_t position,
                  struct diag_list *diags) MUST_CHECK;

/* Bytes that the log's segments take on disk, and its first position; 0 for an empty log. */
struct journal_extent {
    uint64_t first;
    uint64_t bytes;
    unsigned segments;
};
bool journal_extent(const struct os *os, const char *dir, struct journal_extent *out,
                    struct diag_list *diags) MUST_CHECK;

/*
 * Where the segment begins that holds `position`; the oldest one when it is before that. A reader
 * can be opened there, it gives first the segment's first record. 0: there is none yet.
 */
bool journal_segment_start(const struct os *os, const char *dir, uint64_t position, uint64_t *out,
                           struct diag_list *diags) MUST_CHECK;

/* ---- reading ---- */

struct journal_reader;

enum journal_read {
    JOURNAL_RECORD, /* `out` is filled; its bytes are borrowed until the next call */
    JOURNAL_END,    /* nothing complete before the limit yet; call again later */
    JOURNAL_GAP,    /* damaged or missing bytes [position, next) were passed over */
    JOURNAL_ERROR,  /* the operating system said no: diags; call again to retry */
};

/*
 * `from` = 0: starts at the oldest record. Else a position returned before; what was trimmed or
 * lost behind it is a gap. DIAG_MISSING when the log ends before `from`: it is not the log that
 * this position was in.
 */
bool journal_reader_open(struct journal_reader **out, const struct os *os, const char *dir,
                         uint64_t from, struct diag_list *diags) MUST_CHECK;
void journal_reader_close(struct journal_reader *reader);

/*
 * The next record before `limit`, a position that journal_tail() has returned. Bytes before it are
 * known to be complete, so that anything there that is no record is a gap. With UINT64_MAX, bytes
 * at the very end that are no record are an END: the writer may be in the middle of it, or a dead
 * writer's torn tail waits for recovery.
 */
enum journal_read journal_reader_next(struct journal_reader *reader, uint64_t limit,
                                      struct record *out, struct diag_list *diags);

/* Where the next call continues. */
uint64_t journal_reader_position(const struct journal_reader *reader);

#endif
