/*
 * What the files of the engine share: engine.c (inputs and the thread), engine_rows.c (one record
 * through the rules), engine_commit.c (the checkpoint). Nobody else includes this.
 */
#ifndef HEADGATE_ENGINE_STATE_H
#define HEADGATE_ENGINE_STATE_H

#include "engine.h"
#include "host.h"

#include "base/log.h"
#include "base/wall.h"
#include "failure.h"
#include "ledger.h"
#include "store/journal.h"

#include <pthread.h>

enum { ENGINE_LOG_EVERY_MS = 10000 };

enum input_kind {
    INPUT_MESSAGES, /* received */
    INPUT_STREAM,   /* what a function emitted */
    INPUT_FAILURES, /* what sinks rejected: for error actions */
    INPUT_CLOCK,    /* the passing of time, for stream SQL: engine_clock.c */
};

/* One stream that the engine reads. */
struct input {
    enum input_kind kind;
    char *stream;        /* its name: engine_input.c */
    char *dir;
    struct sink *sink;   /* that appends to the stream; NULL for other kinds */
    struct journal_retention retention; /* of the stream, as the most generous table says */
    char *rule;          /* the only one that reads this input, or NULL */
    struct journal_reader *reader; /* NULL until there is something to read */
    struct rule_origin origin; /* of its messages without properties */
    uint64_t position;   /* everything before it has been through the rules */
    uint64_t synced;     /* of a stream, with reads_synced: it is on the medium up to here */
    uint64_t told_position; /* the same for others; under the engine's lock */
    int64_t retry_at_us; /* monotonic: it could not be read; 0: it can */
    struct log_gate trouble_gate;
    bool wanted;         /* by the current generation */
    struct log_gate gap_gate;
    struct log_gate payload_gate; /* payloads that rules cannot read */
    struct log_gate failure_gate; /* rules that failed */
    int64_t read_us;     /* arrival of the last record that was read */
};

/* A rule of stream SQL that runs: its state, which lives on from generation to generation. */
struct flow {
    char *name;
    struct engine *engine;
    const struct ruleset_rule *rule; /* of the current generation */
    struct stream_run *run;
    struct run *cause;         /* while rows come out: the record that sets them free */
    struct stream_stats told;  /* what its counters know */
    bool is_changed;           /* since the last checkpoint */
    bool is_touched;           /* since its counters were told */
    bool is_full;              /* its state has reached its limit */
    struct log_gate reject_gate;
};

struct generation {
    struct ruleset *ruleset;
    struct flow **flows; /* one a rule; NULL of topic SQL. The flows are the engine's */
    bool has_joint_flow; /* one reads more than one input: their order counts */
    struct input **rule_inputs; /* what each rule reads; NULL: messages, or of stream SQL */
    struct input **feed_inputs; /* what feeds each source; NULL: messages */
    struct sink **sinks;
    size_t sink_count;
    struct sink *topic_sink;
};

struct engine {
    struct engine_options options;
    struct checkpoint committed;   /* the last one; also what is absent now but may come back */
    struct checkpoint_sink *committed_sinks; /* those of `committed`, which may be forgotten */
    struct arena committed_arena;
    struct failure_log *failures;
    struct ledger *ledger;
    pthread_t thread;
    bool started;
    int wake_fd; /* eventfd */

    pthread_mutex_t lock; /* guards the next six, and `committed` against engine_sink_mark() */
    pthread_cond_t swapped;
    struct generation *next; /* waits to be taken */
    const char *forgotten;      /* the sink that shall be forgotten, or NULL */
    uint64_t forgotten_records; /* the answer */
    bool stopping;
    struct engine_stats stats;

    pthread_mutex_t watch_lock; /* guards what is looked at closely: rule_watch.explain */
    struct recent *recent;

    /* Engine thread only. */
    struct generation *current;
    struct input **inputs;
    size_t input_count, input_capacity;
    struct arena arena; /* for one record */
    struct host host;   /* what rules may ask */
    int64_t committed_at_us; /* monotonic */
    int64_t audited_at_us;   /* the same; of the ledger */
    bool moved; /* since the last commit */
    struct flow **flows;
    size_t flow_count, flow_capacity;
    size_t committed_flows; /* in the last checkpoint */
    size_t state_bytes;     /* of theirs */
    struct clock *clock;
    struct wall wall; /* under `lock` where it is looked at, and for others */
    bool hurried; /* the sinks know of the commit that is near */
    struct log_gate full_gate;
};

/* ---- engine_ask.c ---- */

/* What rules ask of tables that sinks hold: `lookup` of struct host_sources. Engine thread. */
bool engine_look_up(void *context, struct bytes table, struct bytes key, struct arena *arena,
                    struct bytes *item, struct diag_list *diags);

/* What a function answers: `call`. Blocks the engine, see call of driver.h. */
bool engine_call(void *context, struct bytes function, struct bytes argument,
                 struct arena *arena, struct bytes *answer, struct diag_list *diags);

/* ---- engine.c ---- */

struct input *engine_add_input(struct engine *engine, enum input_kind kind, const char *stream,
                               const char *dir);
uint64_t engine_input_tail(const struct engine *engine, const struct input *input);

/* Behind what cannot be read yet. */
uint64_t engine_input_end(const struct engine *engine, const struct input *input);

void engine_free_input(struct input *input);

/* The inputs of a generation that is going to be the current one, and who reads which. */
void engine_adopt_inputs(struct engine *engine, struct generation *next);

/* Runs one batch; returns how many records it read. */
size_t engine_read_input(struct engine *engine, struct input *input);

enum { INPUT_RETRY_MS = 1000 }; /* what could not be read is tried again */

/* ---- engine_rows.c ---- */

/* One record through the rules of the current generation, its rows into outboxes. */
void engine_run_record(struct engine *engine, struct input *input, const struct record *record);

/* Rows that a tick sets free, or that the clock was set back; `record` names them: its position, its
 * time. */
void engine_run_tick(struct engine *engine, struct input *input, const struct record *record,
                     bool is_set_back);

/* What comes out of a flow, while flow->cause is set. */
void engine_push_flow_row(struct flow *flow, struct bytes json);
void engine_reject_flow_row(struct flow *flow, const char *reason);

/* ---- engine_flow.c: stream SQL ---- */

/* Gives each rule of stream SQL of a generation its flow: the one that runs under its name, if it
 * means the same, or that of the checkpoint, or a new one. Flows without a rule end. */
void engine_adopt_flows(struct engine *engine, struct generation *next);
void engine_free_flows(struct engine *engine);

void engine_flow_message(struct flow *flow, uint32_t source, struct run *cause,
                         const struct record *record);

/* When the clock would set something free; INT64_MAX: not without messages. */
int64_t engine_next_tick_ms(const struct engine *engine);

/* The latest time that any flow has seen; INT64_MIN: none has. */
int64_t engine_latest_flow_ms(const struct engine *engine);

/* Tells the counters of rules what their flows did. */
void engine_count_flows(struct engine *engine);

/* Whether a flow's state is not as in the last checkpoint. */
bool engine_has_changed_flow(const struct engine *engine);

/* ---- engine_clock.c: when time passes, the same again in a replay ---- */

#define CLOCK_STREAM "$clock"

bool engine_open_clock(struct engine *engine, struct diag_list *diags) MUST_CHECK;
void engine_close_clock(struct engine *engine);

/* Up to where an input may be read now: before `tail`, in a replay up to the next turn. */
uint64_t engine_clock_limit(const struct engine *engine, const struct input *input, uint64_t tail);

/* About to read from an input that has something: false, now it is the turn of another. */
bool engine_clock_take_turn(struct engine *engine, struct input *input) MUST_CHECK;

/* After a commit: a replay from it must be told whose turn it is. */
void engine_clock_forget_turn(struct engine *engine);

/* Between two turns of the loop: goes on in the replay, or lets time pass. True: something ran. */
bool engine_clock_step(struct engine *engine);

/* How long the engine may sleep for the clock's sake; -1: for ever. */
int engine_clock_timeout_ms(const struct engine *engine);

/* Where its log ends; 0: it has no files yet. */
uint64_t engine_clock_tail(const struct engine *engine);

/* ---- engine_ledger.c ---- */

/* Before `next` becomes the current generation, and with the counters of flows told: what goes and
 * what comes, for the accounts. */
void engine_adopt_ledger(struct engine *engine, const struct generation *next);

/* Looks at all accounts; between two batches only, with the counters of flows told. */
void engine_check_ledger(struct engine *engine);

/* ---- engine_commit.c ---- */

/* Positions, and what every sink still holds, in one commit. On false nothing has changed. */
bool engine_commit_cut(struct engine *engine, struct diag_list *diags) MUST_CHECK;

/*
 * A sink leaves a generation only when it has delivered everything: its mark must not bring old
 * records back when it is declared again. Under the lock.
 */
void engine_forget_closed_sinks(struct engine *engine, const struct generation *next);

/* Under the lock: answers engine_forget_absent_sink(). */
void engine_forget_named_sink(struct engine *engine);

/* What the last checkpoint says of a rule of stream SQL, or NULL. */
const struct checkpoint_rule *committed_rule(const struct checkpoint *checkpoint,
                                             struct bytes name);

/* What it says of a stream, or NULL. */
const struct checkpoint_stream *committed_stream(const struct checkpoint *checkpoint,
                                                 struct bytes name);

/* Up to where it had read a stream; 0 for one that it does not know. */
uint64_t committed_position(const struct checkpoint *checkpoint, struct bytes stream);

/* What the last checkpoint says of a sink, or NULL. */
const struct checkpoint_sink *committed_sink(const struct checkpoint *checkpoint,
                                             struct bytes name);

#endif
