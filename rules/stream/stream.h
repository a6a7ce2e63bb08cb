/*
 * Stream SQL: windows, event time and patterns over tables that are never finished. Flink SQL, and
 * the older dialect of Kinesis Data Analytics.
 *
 * A script is compiled into programs, one for each INSERT (or lone SELECT); views and in-application
 * streams are part of the programs that read them. A program is read-only and may be shared by
 * threads; a `struct stream_run` is its state (watermark, open windows) and belongs to one thread.
 * The same messages at the same times give the same rows, however they are cut into batches, and
 * also when the run was saved and loaded in between.
 *
 * Pure: no clock, no files. Time comes in with messages and ticks.
 */
#ifndef HEADGATE_RULES_STREAM_H
#define HEADGATE_RULES_STREAM_H

#include "base/arena.h"
#include "base/diag.h"

struct stream_program;
struct stream_run;
struct zone;

struct stream_option {
    struct bytes name;
    struct bytes value;
    struct diag_place place;
};

/* A table that a program reads or writes, as it was declared. */
struct stream_table {
    struct bytes name;
    const struct stream_option *options; /* of WITH */
    size_t option_count;
    const struct bytes *partition_by; /* PARTITIONED BY */
    size_t partition_count;
};

/* A statement of another text that a script may use: CREATE TABLE, VIEW, STREAM or FUNCTION, and a
 * pump that fills such a stream. */
struct stream_declaration {
    struct bytes path; /* for messages */
    struct bytes text; /* the whole one; those of one text stand together */
    uint32_t start, end; /* of the statement in it */
};

/* What a script may use of its host; members may be NULL or 0. */
struct stream_host {
    /* For tables that do not say 'gateway.max-future', 'scan.watermark.idle-timeout' (then event
     * time goes on by the clock). 0: off, as in Flink. */
    int64_t max_future_ms;
    int64_t idle_ms;
    size_t state_max_bytes; /* of each program; 0: 64 MiB */
    /* A zone lives as long as the script. */
    const struct zone *(*zone)(void *context, struct bytes name);
    void *context;
    const struct stream_declaration *declarations; /* each name once; streams before their pumps */
    size_t declaration_count;
};

/* A compiled script. */
struct stream_script {
    struct arena arena;
    struct stream_program *const *programs; /* in the order of the script */
    size_t program_count;
};

/* `lone_select`: a SELECT may stand alone. All errors are reported; false: there is at least one. */
bool stream_script_parse(struct stream_script **out, struct bytes path, struct bytes text,
                         bool lone_select, const struct stream_host *host,
                         struct diag_list *diags) MUST_CHECK;
void stream_script_free(struct stream_script *script);

/* ---- what a program is ---- */

size_t stream_program_source_count(const struct stream_program *program);
const struct stream_table *stream_program_source(const struct stream_program *program, size_t i);
/* NULL of a lone SELECT and of one into a topic. */
const struct stream_table *stream_program_target(const struct stream_program *program);

/*
 * Whether it fills an in-application stream that other programs of the script read: those have a
 * copy of it, and it need not run itself.
 */
bool stream_program_is_inner(const struct stream_program *program);

/* Where the program's statement begins in the script's text. */
size_t stream_program_start(const struct stream_program *program);

/*
 * Of what the state means: sources, keys, windows, aggregates and patterns, but not how columns are
 * called, what is made of the aggregates, or where rows go. A state can be loaded where this is the
 * same.
 */
uint64_t stream_program_fingerprint(const struct stream_program *program);

/* ---- running ---- */

struct stream_message {
    struct bytes payload; /* JSON */
    struct bytes topic;
    int64_t time_ms;      /* arrival: the processing time of this row */
    uint64_t position;
    unsigned qos;
    bool is_clock_doubted; /* `time_ms` may be wrong: event times are not held against it */
};

/* Where a run puts what comes out. Texts are borrowed for the call. */
struct stream_output {
    /* A row, as JSON. */
    void (*row)(void *context, struct bytes json);
    /* A row that could not be used, and why (static text). May be NULL. */
    void (*rejected)(void *context, const char *reason);
    /*
     * What a table holds under a key now: `key` is a JSON object of its key columns; `item` a JSON
     * object, or empty when there is none; both may live in the arena. False: it cannot be asked.
     * May be NULL: then it never can.
     */
    bool (*lookup)(void *context, const struct stream_table *table, struct bytes key,
                   struct arena *arena, struct bytes *item);
    void *context;
};

struct stream_stats {
    uint64_t rows_in;      /* = used + rejected + turned_away */
    uint64_t rows_out;
    uint64_t used;         /* read, and taken over by all that follows the source */
    uint64_t rejected;     /* read, and rejected by something that follows, as one of those below */
    uint64_t turned_away;  /* by the source, as bad, null_rowtime, future, failed or refused */
    uint64_t bad;          /* not JSON, or a column of a wrong type */
    uint64_t null_rowtime; /* the event time is NULL */
    uint64_t future;       /* event time beyond max_future */
    uint64_t late;         /* every window that it belongs to had fired */
    uint64_t no_window;    /* between the windows of a HOP with gaps */
    uint64_t failed;       /* an expression had no value */
    uint64_t refused;      /* state would have grown beyond the rule's limit */
};

struct stream_run *stream_run_new(const struct stream_program *program,
                                  const struct stream_output *output);
void stream_run_free(struct stream_run *run);

/* A message for source number `source`. Time moves to the message's first. */
void stream_run_message(struct stream_run *run, size_t source,
                        const struct stream_message *message);

/* Time passes without a message; also when it stood still nothing breaks. */
void stream_run_tick(struct stream_run *run, int64_t now_ms);

/*
 * The clock was set back, to a time before stream_run_now(): without this, processing time stands
 * still until it is there again. Windows in processing time end with what they hold. Where a source
 * takes its event time from this clock, and its watermark is further ahead than max_future allows,
 * event time begins anew: windows in event time end, too. Times of devices stay what they are.
 */
void stream_run_set_back(struct stream_run *run, int64_t now_ms);

/* Processing time: of the last message or tick; INT64_MIN before the first. */
int64_t stream_run_now(const struct stream_run *run);

/* When a tick would do something; INT64_MAX: never without messages. */
int64_t stream_run_next_tick(const struct stream_run *run);

/* No more input: windows in event time fire, those in processing time do not (as in Flink). */
void stream_run_finish(struct stream_run *run);

/* Keys, keys in windows, and rows that wait: what 'state.max_entries' limits. */
size_t stream_run_entries(const struct stream_run *run);

void stream_run_stats(const struct stream_run *run, struct stream_stats *out);
size_t stream_run_footprint(const struct stream_run *run); /* bytes of state, about */
int64_t stream_run_watermark(const struct stream_run *run); /* of the first source */

/*
 * Options of tables beyond Flink's: 'gateway.max-future' = '10 min' (rows from further ahead of the
 * clock are rejected), 'scan.watermark.idle-timeout' = '30 s' with 'gateway.idle' = 'advance' (a
 * silent source's windows close by the clock; without it a silent source only holds no join back),
 * 'gateway.watermark-scope' = 'key' (each value of the PARTITIONED BY columns has a watermark of
 * its own).
 */

/* The state as bytes, and a fresh run brought to it. False: not from the same program. */
void stream_run_save(const struct stream_run *run, struct buf *out);
bool stream_run_load(struct stream_run *run, struct bytes saved) MUST_CHECK;

/* Whether a state that was saved means what the program's would. */
bool stream_state_fits(const struct stream_program *program, struct bytes saved);

#endif
