/*
 * The core thread. One turn:
 *
 *   take a new generation, if one waits
 *   for each input: up to a batch of records -> rules -> outboxes
 *   commit a checkpoint, if it is time and something moved
 *   sleep, if no input had anything
 *
 * Ids. A row is named by the position of its input and a count of the outputs of that input to
 * that sink. Both come from the input alone, so a replay after a crash names its rows alike, and
 * a store that has them drops them.
 *
 * Invariant: every row of a record before an input's position has been pushed. A checkpoint is
 * taken between batches only, so it never cuts through a record.
 */
#define _GNU_SOURCE
#include "engine.h"

#include "message.h"

#include "base/log.h"
#include "base/mem.h"
#include "store/journal.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    BATCH_RECORDS_MAX = 1024,
    BATCH_ARENA_BYTES_MAX = 4 * 1024 * 1024,
    LOG_EVERY_MS = 10000,
    HURRY_MS = 100,  /* before a checkpoint, sinks are asked to send what lingers */
    RETRY_READ_MS = 1000,
    ROW_BYTES_MAX = 32 * 1024 * 1024,
    HOPS_MAX = 5, /* as the publisher has it for what leaves */
    HELD_UP_MS = 20, /* until a full sink is looked at again */
};

/* One stream that the engine reads. */
struct input {
    char *stream;        /* "mqtt", or a function's name */
    char *dir;
    struct sink *sink;   /* the function that emits into it; NULL for received messages */
    struct journal_reader *reader; /* NULL until there is something to read */
    uint64_t position;   /* everything before it has been through the rules */
    int64_t retry_at_us; /* monotonic: it could not be read; 0: it can */
    struct log_gate trouble_gate;
    bool wanted;         /* by the current generation */
    struct log_gate gap_gate;
    struct log_gate payload_gate; /* payloads that rules cannot read */
    struct log_gate failure_gate; /* rules that failed */
};

struct generation {
    struct ruleset *ruleset;
    struct sink **sinks;
    size_t sink_count;
    struct sink *topic_sink;
};

struct engine {
    struct engine_options options;
    struct checkpoint committed;   /* the last one; also what is absent now but may come back */
    struct checkpoint_sink *committed_sinks; /* those of `committed`, which may be forgotten */
    struct arena committed_arena;
    pthread_t thread;
    bool started;
    int wake_fd; /* eventfd */

    pthread_mutex_t lock; /* guards the next four, and `committed` against engine_sink_mark() */
    pthread_cond_t swapped;
    struct generation *next; /* waits to be taken */
    bool stopping;
    struct engine_stats stats;

    /* Engine thread only. */
    struct generation *current;
    struct input **inputs;
    size_t input_count, input_capacity;
    struct arena arena; /* per batch */
    int64_t committed_at_us; /* monotonic */
    bool moved; /* since the last commit */
    bool hurried; /* the sinks know of the commit that is near */
};

/* ---- rows ---- */

/* What one record's run through the rules needs. */
struct run {
    struct engine *engine;
    struct input *input;
    const struct record *record;
    struct rule_message message;
    unsigned hops; /* rules and gateways that it came through */
    bool is_checked;
    const char *not_json; /* NULL: the payload is JSON; else why not. Once it is checked */
};

static void
count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static struct record_id
next_id(struct sink *sink, const struct input *input, uint64_t position)
{
    if (sink->last_input != input || sink->last_position != position) {
        sink->last_input = input;
        sink->last_position = position;
        sink->next_output = 0;
    }
    return (struct record_id){position, sink->next_output++};
}

static void
note_failure(struct run *run, const struct ruleset_rule *rule, const char *reason)
{
    const struct os *os = run->engine->options.os;
    struct log_gate *gate = &run->input->failure_gate;
    count(&rule->counters->failed);
    if (log_gate_open(gate, os->mono_us(os) / 1000, LOG_EVERY_MS)) {
        log_error("rule '%.*s' failed on a message on '%.*s': %s; %llu more since the last such "
                  "line",
                  BYTES_ARG(rule->info->name), BYTES_ARG(run->record->topic), reason,
                  (unsigned long long)gate->hidden);
        gate->hidden = 0;
    }
}

static void
push_to_target(struct run *run, const struct ruleset_rule *rule, const struct rule_row *row,
               size_t target)
{
    const struct ruleset_relation *relation = rule->targets[target].relation;
    struct sink *sink = relation == NULL ? run->engine->current->topic_sink : relation->sink;
    struct sink_record record = {
            .id = next_id(sink, run->input, run->record->position),
            .time_us = run->record->time_us,
            .stream = bytes_of_string(run->input->stream),
            .rule = rule->info->name,
            .target = row->targets[target],
            .source = run->record->topic,
            .hops = run->hops,
            .payload = row->payload,
    };
    outbox_push(sink->outbox, &record);
    count(&rule->counters->rows);
}

static void
push_row(struct run *run, const struct ruleset_rule *rule, const struct rule_row *row)
{
    size_t bytes = row->payload.size;
    for (size_t i = 0; i < rule->info->target_count; i++) {
        bytes += row->targets[i].size;
    }
    if (bytes > ROW_BYTES_MAX) {
        note_failure(run, rule, "its row is larger than 32 MB");
        return;
    }
    if (run->hops >= HOPS_MAX) {
        note_failure(run, rule, "the message has come through five rules: they go round in a "
                                "circle");
        return;
    }
    count(&rule->counters->matched);
    for (size_t i = 0; i < rule->info->target_count; i++) {
        push_to_target(run, rule, row, i);
    }
}

static void
check_json(struct run *run)
{
    if (!run->is_checked) {
        const char *reason;
        run->is_checked = true;
        run->not_json = rule_message_is_json(&run->message, &reason) ? NULL : reason;
    }
}

/* One line for many: a device that sends garbage does so all the time. */
static void
note_unreadable(struct run *run, const struct ruleset_rule *rule)
{
    const struct os *os = run->engine->options.os;
    struct log_gate *gate = &run->input->payload_gate;
    if (run->not_json != NULL && log_gate_open(gate, os->mono_us(os) / 1000, LOG_EVERY_MS)) {
        log_warning("rule '%.*s': the payload of a message on '%.*s' is not JSON (%s); %llu more "
                    "since the last such line",
                    BYTES_ARG(rule->info->name), BYTES_ARG(run->record->topic), run->not_json,
                    (unsigned long long)gate->hidden);
        gate->hidden = 0;
    }
}

static void
run_rule(struct run *run, const struct ruleset_rule *rule)
{
    struct rule_counters *counters = rule->counters;
    struct rule_row row;
    count(&counters->messages);
    enum rule_verdict verdict = rule_run(rule->rule, &run->message, &row);
    check_json(run);
    if (run->not_json != NULL) {
        count(&counters->not_json);
    }
    switch (verdict) {
    case RULE_MATCHED:
        push_row(run, rule, &row);
        return;
    case RULE_FILTERED:
        count(&counters->filtered);
        return;
    case RULE_UNDEFINED:
    case RULE_NOTHING:
        count(&counters->undefined);
        note_unreadable(run, rule);
        return;
    case RULE_FAILED:
        note_failure(run, rule, row.reason);
        return;
    }
    never("rule verdict");
}

static void
run_matched(void *context, uint32_t rule_index)
{
    struct run *run = context;
    run_rule(run, &run->engine->current->ruleset->rules[rule_index]);
}

static void
run_record(struct engine *engine, struct input *input, const struct record *record)
{
    struct run run = {
            .engine = engine,
            .input = input,
            .record = record,
            .message = {.arena = &engine->arena,
                        .topic = record->topic,
                        .payload = record->payload,
                        .time_us = record->time_us,
                        .seed = record->position,
                        .qos = record->flags & RECORD_QOS,
                        .depth_max = engine->options.depth_max},
    };
    struct message_props props;
    if (record->props.size > 0 &&
        message_props_decode(record->props, &engine->arena, &props)) {
        run.hops = message_hops(&props);
    }
    const struct ruleset *ruleset = engine->current->ruleset;
    if (input->sink == NULL) {
        topic_trie_match(ruleset->topics, record->topic, run_matched, &run);
        return;
    }
    for (size_t i = 0; i < ruleset->rule_count; i++) {
        const struct ruleset_relation *source = ruleset->rules[i].source;
        if (source != NULL && source->sink == input->sink) {
            run_rule(&run, &ruleset->rules[i]);
        }
    }
}

/* ---- inputs ---- */

static uint64_t
committed_position(const struct checkpoint *checkpoint, struct bytes stream)
{
    for (size_t i = 0; i < checkpoint->stream_count; i++) {
        if (bytes_equal(checkpoint->streams[i].name, stream)) {
            return checkpoint->streams[i].position;
        }
    }
    return 0;
}

static const struct checkpoint_sink *
committed_sink(const struct checkpoint *checkpoint, struct bytes name)
{
    for (size_t i = 0; i < checkpoint->sink_count; i++) {
        if (bytes_equal(checkpoint->sinks[i].name, name)) {
            return &checkpoint->sinks[i];
        }
    }
    return NULL;
}

static uint64_t
input_tail(const struct engine *engine, const struct input *input)
{
    return input->sink == NULL ? engine->options.source.tail(engine->options.source.context)
                               : journal_tail(input->sink->stream);
}

static void
note_gap(struct engine *engine, struct input *input, const struct record *gap)
{
    const struct os *os = engine->options.os;
    pthread_mutex_lock(&engine->lock);
    engine->stats.gaps++;
    pthread_mutex_unlock(&engine->lock);
    if (log_gate_open(&input->gap_gate, os->mono_us(os) / 1000, LOG_EVERY_MS)) {
        log_error("stream '%s': damaged or missing bytes from %llu to %llu were passed over; "
                  "their messages are lost",
                  input->stream, (unsigned long long)gap->position, (unsigned long long)gap->next);
    }
}

/* What cannot be read now is tried again in a second. */
static void
rest_input(struct engine *engine, struct input *input, const struct diag_list *diags)
{
    const struct os *os = engine->options.os;
    if (log_gate_open(&input->trouble_gate, os->mono_us(os) / 1000, LOG_EVERY_MS)) {
        log_error("stream '%s' cannot be read: %.*s; trying again every second", input->stream,
                  BYTES_ARG(diag_first_error(diags)));
    }
    journal_reader_close(input->reader);
    input->reader = NULL;
    input->retry_at_us = os->mono_us(os) + (int64_t)RETRY_READ_MS * 1000;
}

static bool
is_resting(const struct engine *engine, const struct input *input)
{
    return input->retry_at_us > engine->options.os->mono_us(engine->options.os);
}

static bool
ensure_reader(struct engine *engine, struct input *input)
{
    struct diag_list diags = {0};
    input->retry_at_us = 0;
    if (input->reader == NULL && !journal_reader_open(&input->reader, engine->options.os,
                                                      input->dir, input->position, &diags)) {
        input->reader = NULL;
        rest_input(engine, input, &diags);
    }
    diag_list_fini(&diags);
    return input->reader != NULL;
}

/* A sink that cannot even spill to disk: better to read on later than to hold it all in memory. */
static bool
is_any_sink_full(const struct engine *engine)
{
    for (size_t i = 0; i < engine->current->sink_count; i++) {
        if (outbox_is_full(engine->current->sinks[i]->outbox)) {
            return true;
        }
    }
    return false;
}

/* Runs one batch; returns how many records it read. */
static size_t
process_input(struct engine *engine, struct input *input)
{
    uint64_t tail = input_tail(engine, input);
    if (tail <= input->position || is_resting(engine, input) || !ensure_reader(engine, input)) {
        return 0;
    }
    struct diag_list diags = {0};
    size_t records = 0;
    bool more = true, is_read = true;
    while (more && records < BATCH_RECORDS_MAX &&
           arena_footprint(&engine->arena) < BATCH_ARENA_BYTES_MAX) {
        struct record record;
        switch (journal_reader_next(input->reader, tail, &record, &diags)) {
        case JOURNAL_RECORD:
            run_record(engine, input, &record);
            records++;
            break;
        case JOURNAL_GAP:
            note_gap(engine, input, &record);
            records++;
            break;
        case JOURNAL_END:
            more = false;
            break;
        case JOURNAL_ERROR:
            is_read = false;
            more = false;
            break;
        }
    }
    input->position = journal_reader_position(input->reader);
    if (!is_read) {
        rest_input(engine, input, &diags);
    }
    engine->moved |= records > 0;
    pthread_mutex_lock(&engine->lock);
    engine->stats.records += records;
    if (input->sink == NULL) {
        engine->stats.position = input->position;
    }
    pthread_mutex_unlock(&engine->lock);
    arena_reset(&engine->arena);
    diag_list_fini(&diags);
    return records;
}

static void
input_free(struct input *input)
{
    journal_reader_close(input->reader);
    free(input->stream);
    free(input->dir);
    free(input);
}

static struct input *
add_input(struct engine *engine, const char *stream, const char *dir, struct sink *sink)
{
    struct input *input = mem_new(struct input);
    input->stream = bytes_to_string(bytes_of_string(stream));
    input->dir = bytes_to_string(bytes_of_string(dir));
    input->sink = sink;
    input->position = committed_position(&engine->committed, bytes_of_string(stream));
    engine->inputs = mem_grow(engine->inputs, engine->input_count, &engine->input_capacity,
                              sizeof *engine->inputs);
    engine->inputs[engine->input_count++] = input;
    return input;
}

static struct input *
find_input(struct engine *engine, const struct sink *sink)
{
    for (size_t i = 0; i < engine->input_count; i++) {
        if (engine->inputs[i]->sink == sink) {
            return engine->inputs[i];
        }
    }
    return NULL;
}

/* The inputs of a generation: received messages, and the stream of each function. */
static void
adopt_inputs(struct engine *engine, const struct generation *generation)
{
    for (size_t i = 0; i < engine->input_count; i++) {
        engine->inputs[i]->wanted = engine->inputs[i]->sink == NULL;
    }
    for (size_t i = 0; i < generation->sink_count; i++) {
        struct sink *sink = generation->sinks[i];
        if (sink->stream != NULL) {
            struct input *input = find_input(engine, sink);
            if (input == NULL) {
                input = add_input(engine, sink->name, sink->stream_dir, sink);
            }
            input->wanted = true;
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < engine->input_count; i++) {
        if (engine->inputs[i]->wanted) {
            engine->inputs[kept++] = engine->inputs[i];
        } else {
            input_free(engine->inputs[i]);
        }
    }
    engine->input_count = kept;
}

/* ---- checkpoint ---- */

/* A checkpoint on its way, in an arena of its own. */
struct draft {
    struct arena arena;
    struct checkpoint checkpoint;
    struct checkpoint_stream *streams;
    struct checkpoint_sink *sinks;
};

static void
draft_streams(struct engine *engine, struct draft *draft)
{
    const struct checkpoint *before = &engine->committed;
    struct checkpoint *now = &draft->checkpoint;
    draft->streams = arena_new_array(&draft->arena, struct checkpoint_stream,
                                     engine->input_count + before->stream_count);
    now->streams = draft->streams;
    for (size_t i = 0; i < engine->input_count; i++) {
        const struct input *input = engine->inputs[i];
        draft->streams[now->stream_count++] = (struct checkpoint_stream){
                arena_copy(&draft->arena, bytes_of_string(input->stream)), input->position};
    }
    size_t present = now->stream_count;
    for (size_t i = 0; i < before->stream_count; i++) {
        bool known = false;
        for (size_t j = 0; j < present && !known; j++) {
            known = bytes_equal(before->streams[i].name, draft->streams[j].name);
        }
        if (!known) { /* the function may be declared again */
            draft->streams[now->stream_count++] = (struct checkpoint_stream){
                    arena_copy(&draft->arena, before->streams[i].name),
                    before->streams[i].position};
        }
    }
}

/* Cuts every outbox. Marks of sinks that are not there now stay: their backlog is still on disk. */
static bool
draft_sinks(struct engine *engine, struct draft *draft, struct diag_list *diags)
{
    const struct checkpoint *before = &engine->committed;
    const struct generation *generation = engine->current;
    struct checkpoint *now = &draft->checkpoint;
    draft->sinks = arena_new_array(&draft->arena, struct checkpoint_sink,
                                   generation->sink_count + before->sink_count);
    now->sinks = draft->sinks;
    for (size_t i = 0; i < generation->sink_count; i++) {
        struct outbox_mark mark;
        if (!outbox_cut(generation->sinks[i]->outbox, &mark, diags)) {
            return false;
        }
        draft->sinks[now->sink_count++] = (struct checkpoint_sink){
                .name = arena_copy(&draft->arena, bytes_of_string(generation->sinks[i]->name)),
                .head = mark.head,
                .tail = mark.tail,
                .records = mark.records};
    }
    size_t present = now->sink_count;
    for (size_t i = 0; i < before->sink_count; i++) {
        bool known = false;
        for (size_t j = 0; j < present && !known; j++) {
            known = bytes_equal(before->sinks[i].name, draft->sinks[j].name);
        }
        if (!known && before->sinks[i].records > 0) {
            struct checkpoint_sink kept = before->sinks[i];
            kept.name = arena_copy(&draft->arena, kept.name);
            draft->sinks[now->sink_count++] = kept;
        }
    }
    return true;
}

/* What functions emitted must be on the medium before their input counts as done. */
static bool
sync_streams(struct engine *engine, struct diag_list *diags)
{
    for (size_t i = 0; i < engine->input_count; i++) {
        const struct input *input = engine->inputs[i];
        if (input->sink != NULL && !journal_sync(input->sink->stream, diags)) {
            return false;
        }
    }
    return true;
}

/*
 * Only after the commit may be given back what no checkpoint needs. Two are kept, so streams are
 * trimmed to the older of them. A failure is logged: the space is given back at a later commit.
 */
static void
release(struct engine *engine, const struct draft *draft)
{
    struct diag_list diags = {0};
    const struct generation *generation = engine->current;
    for (size_t i = 0; i < generation->sink_count; i++) {
        const struct checkpoint_sink *sink = &draft->sinks[i];
        struct outbox_mark mark = {sink->head, sink->tail, sink->records};
        if (!outbox_committed(generation->sinks[i]->outbox, &mark, &diags)) {
            log_diags(&diags);
            diag_list_clear(&diags);
        }
    }
    for (size_t i = 0; i < engine->input_count; i++) {
        const struct input *input = engine->inputs[i];
        uint64_t before = committed_position(&engine->committed, bytes_of_string(input->stream));
        if (!journal_trim(engine->options.os, input->dir, before, &diags)) {
            log_diags(&diags);
            diag_list_clear(&diags);
        }
    }
    diag_list_fini(&diags);
}

/* Nothing has moved since: a dead upstream must not cost a write every second. */
static bool
is_as_committed(const struct engine *engine, const struct checkpoint *draft)
{
    const struct checkpoint *before = &engine->committed;
    bool same = before->generation > 0 && draft->stream_count == before->stream_count &&
                draft->sink_count == before->sink_count;
    for (size_t i = 0; same && i < draft->stream_count; i++) {
        same = bytes_equal(draft->streams[i].name, before->streams[i].name) &&
               draft->streams[i].position == before->streams[i].position;
    }
    for (size_t i = 0; same && i < draft->sink_count; i++) {
        const struct checkpoint_sink *a = &draft->sinks[i], *b = &before->sinks[i];
        same = bytes_equal(a->name, b->name) && a->head == b->head && a->tail == b->tail &&
               a->records == b->records;
    }
    return same;
}

static bool
commit(struct engine *engine, struct diag_list *diags)
{
    struct draft draft = {.checkpoint.generation = engine->committed.generation + 1};
    draft_streams(engine, &draft);
    bool drafted = draft_sinks(engine, &draft, diags);
    if (drafted && is_as_committed(engine, &draft.checkpoint)) {
        arena_fini(&draft.arena);
        return true;
    }
    bool saved = drafted && sync_streams(engine, diags) &&
                 checkpoint_save(engine->options.os, engine->options.data_dir, &draft.checkpoint,
                                 diags);
    if (!saved) {
        arena_fini(&draft.arena);
        return false;
    }
    release(engine, &draft);
    pthread_mutex_lock(&engine->lock);
    arena_fini(&engine->committed_arena);
    engine->committed = draft.checkpoint;
    engine->committed_sinks = draft.sinks;
    engine->committed_arena = draft.arena;
    pthread_mutex_unlock(&engine->lock);
    return true;
}

static bool
sinks_hold_something(const struct engine *engine)
{
    for (size_t i = 0; i < engine->current->sink_count; i++) {
        if (!outbox_is_drained(engine->current->sinks[i]->outbox)) {
            return true;
        }
    }
    return false;
}

static void
checkpoint_now(struct engine *engine)
{
    const struct os *os = engine->options.os;
    struct diag_list diags = {0};
    int64_t began_us = os->mono_us(os);
    bool committed = commit(engine, &diags);
    engine->hurried = false;
    engine->committed_at_us = os->mono_us(os);
    if (committed) {
        /* Once more when records were still on their way, so that the journal can be freed. */
        engine->moved = sinks_hold_something(engine);
    } else {
        log_diags(&diags);
    }
    pthread_mutex_lock(&engine->lock);
    engine->stats.checkpoints += committed;
    engine->stats.checkpoint_failures += !committed;
    engine->stats.checkpoint_us = engine->committed_at_us - began_us;
    pthread_mutex_unlock(&engine->lock);
    diag_list_fini(&diags);
}

/* What lingers in a sink when it is cut is written to its backlog in vain; so it goes out first. */
static void
hurry_sinks(struct engine *engine)
{
    for (size_t i = 0; i < engine->current->sink_count; i++) {
        outbox_hurry(engine->current->sinks[i]->outbox);
    }
    engine->hurried = true;
}

static int64_t
until_checkpoint_ms(const struct engine *engine)
{
    const struct os *os = engine->options.os;
    int64_t due_us = engine->committed_at_us + engine->options.checkpoint_interval_ms * 1000;
    int64_t left_us = due_us - os->mono_us(os);
    return left_us <= 0 ? 0 : (left_us + 999) / 1000;
}

/* Until the sinks are hurried, or then until the checkpoint. */
static int64_t
until_due_ms(const struct engine *engine)
{
    int64_t left_ms = until_checkpoint_ms(engine);
    return engine->hurried || left_ms <= HURRY_MS ? left_ms : left_ms - HURRY_MS;
}

static void
checkpoint_when_due(struct engine *engine)
{
    if (!engine->moved) {
        return;
    }
    if (until_checkpoint_ms(engine) == 0) {
        checkpoint_now(engine);
    } else if (!engine->hurried && until_checkpoint_ms(engine) <= HURRY_MS) {
        hurry_sinks(engine);
    }
}

/* ---- the thread ---- */

/*
 * A sink leaves a generation only when it has delivered everything: its mark must not bring old
 * records back when it is declared again.
 */
static void
forget_closed_sinks(struct engine *engine, const struct generation *next)
{
    for (size_t i = 0; engine->current != NULL && i < engine->current->sink_count; i++) {
        const struct sink *sink = engine->current->sinks[i];
        bool stays = false;
        for (size_t j = 0; j < next->sink_count && !stays; j++) {
            stays = next->sinks[j] == sink;
        }
        struct bytes name = bytes_of_string(sink->name);
        for (size_t j = 0; j < engine->committed.sink_count && !stays; j++) {
            struct checkpoint_sink *mark = &engine->committed_sinks[j];
            if (bytes_equal(mark->name, name)) {
                mark->head = mark->tail;
                mark->records = 0;
                engine->moved = true;
            }
        }
    }
}

static void
take_generation(struct engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    struct generation *next = engine->next;
    engine->next = NULL;
    if (next != NULL) {
        forget_closed_sinks(engine, next);
        adopt_inputs(engine, next);
        if (engine->current != NULL) {
            free(engine->current->sinks);
            free(engine->current);
        }
        engine->current = next;
        pthread_cond_broadcast(&engine->swapped);
    }
    pthread_mutex_unlock(&engine->lock);
}

static bool
is_any_input_resting(const struct engine *engine)
{
    for (size_t i = 0; i < engine->input_count; i++) {
        if (engine->inputs[i]->retry_at_us != 0) {
            return true;
        }
    }
    return false;
}

static void
sleep_until_news(struct engine *engine, bool is_held_up)
{
    const struct engine_source *source = &engine->options.source;
    bool is_blind = is_held_up || engine->inputs[0]->retry_at_us != 0;
    uint64_t seen = is_blind ? UINT64_MAX : engine->inputs[0]->position;
    if (!source->prepare_wait(source->context, seen)) {
        return;
    }
    struct pollfd fds[] = {
            {.fd = engine->wake_fd, .events = POLLIN},
            {.fd = source->wake_fd, .events = POLLIN},
    };
    int timeout_ms = is_held_up ? HELD_UP_MS : engine->moved ? (int)until_due_ms(engine) : -1;
    if (is_any_input_resting(engine) && (timeout_ms < 0 || timeout_ms > RETRY_READ_MS)) {
        timeout_ms = RETRY_READ_MS;
    }
    poll(fds, 2, timeout_ms);
    uint64_t wakes;
    if ((fds[0].revents & POLLIN) != 0 && read(engine->wake_fd, &wakes, sizeof wakes) < 0) {
        check(errno == EAGAIN || errno == EINTR);
    }
    if ((fds[1].revents & POLLIN) != 0) {
        source->woken(source->context);
    }
}

static bool
is_stopping(struct engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    bool stopping = engine->stopping;
    pthread_mutex_unlock(&engine->lock);
    return stopping;
}

static void *
engine_main(void *context)
{
    struct engine *engine = context;
    engine->committed_at_us = engine->options.os->mono_us(engine->options.os);
    while (!is_stopping(engine)) {
        take_generation(engine);
        size_t records = 0;
        bool is_held_up = is_any_sink_full(engine);
        for (size_t i = 0; i < engine->input_count && !is_held_up; i++) {
            records += process_input(engine, engine->inputs[i]);
        }
        checkpoint_when_due(engine);
        if (records == 0) {
            sleep_until_news(engine, is_held_up);
        }
    }
    return NULL;
}

/* ---- outside ---- */

bool
engine_new(struct engine **out, const struct engine_options *options, struct diag_list *diags)
{
    struct checkpoint committed;
    struct arena arena = {0};
    if (!checkpoint_load(options->os, options->data_dir, &arena, &committed, diags)) {
        arena_fini(&arena);
        return false;
    }
    struct engine *engine = mem_new(struct engine);
    engine->options = *options;
    engine->committed = committed;
    engine->committed_arena = arena;
    engine->committed_sinks =
            arena_new_array(&engine->committed_arena, struct checkpoint_sink, committed.sink_count);
    if (committed.sink_count > 0) {
        memcpy(engine->committed_sinks, committed.sinks,
               committed.sink_count * sizeof *committed.sinks);
    }
    engine->committed.sinks = engine->committed_sinks;
    engine->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    check(engine->wake_fd >= 0);
    pthread_mutex_init(&engine->lock, NULL);
    pthread_cond_init(&engine->swapped, NULL);
    add_input(engine, "mqtt", options->source.dir, NULL);
    *out = engine;
    return true;
}

bool
engine_sink_mark(struct engine *engine, const char *name, struct outbox_mark *out)
{
    pthread_mutex_lock(&engine->lock);
    const struct checkpoint_sink *mark =
            committed_sink(&engine->committed, bytes_of_string(name));
    if (mark != NULL) {
        *out = (struct outbox_mark){mark->head, mark->tail, mark->records};
    }
    pthread_mutex_unlock(&engine->lock);
    return mark != NULL;
}

uint64_t
engine_stream_position(struct engine *engine, const char *stream)
{
    pthread_mutex_lock(&engine->lock);
    uint64_t position = committed_position(&engine->committed, bytes_of_string(stream));
    pthread_mutex_unlock(&engine->lock);
    return position;
}

static bool
is_running(const struct engine *engine, struct bytes name)
{
    const struct generation *generation = engine->current;
    for (size_t i = 0; generation != NULL && i < generation->sink_count; i++) {
        if (bytes_equal_string(name, generation->sinks[i]->name)) {
            return true;
        }
    }
    return false;
}

void
engine_each_absent_sink(struct engine *engine,
                        void (*each)(void *context, struct bytes name, uint64_t records),
                        void *context)
{
    pthread_mutex_lock(&engine->lock);
    for (size_t i = 0; i < engine->committed.sink_count; i++) {
        const struct checkpoint_sink *sink = &engine->committed.sinks[i];
        if (sink->records > 0 && !is_running(engine, sink->name)) {
            each(context, sink->name, sink->records);
        }
    }
    pthread_mutex_unlock(&engine->lock);
}

void
engine_swap(struct engine *engine, struct ruleset *ruleset, struct sink *const *sinks,
            size_t sink_count, struct sink *topic_sink)
{
    struct generation *generation = mem_new(struct generation);
    generation->ruleset = ruleset;
    generation->sinks = mem_new_array(struct sink *, sink_count);
    generation->sink_count = sink_count;
    generation->topic_sink = topic_sink;
    if (sink_count > 0) {
        memcpy(generation->sinks, sinks, sink_count * sizeof *sinks);
    }
    pthread_mutex_lock(&engine->lock);
    engine->next = generation;
    pthread_mutex_unlock(&engine->lock);
    if (!engine->started) {
        engine->started = true;
        engine->stopping = false;
        check(pthread_create(&engine->thread, NULL, engine_main, engine) == 0);
    }
    engine_wake(engine);
    pthread_mutex_lock(&engine->lock);
    while (engine->next != NULL) {
        pthread_cond_wait(&engine->swapped, &engine->lock);
    }
    pthread_mutex_unlock(&engine->lock);
}

void
engine_wake(struct engine *engine)
{
    uint64_t one = 1;
    ssize_t written = write(engine->wake_fd, &one, sizeof one);
    check(written == sizeof one || errno == EAGAIN);
}

void
engine_stats(struct engine *engine, struct engine_stats *out)
{
    pthread_mutex_lock(&engine->lock);
    *out = engine->stats;
    pthread_mutex_unlock(&engine->lock);
}

void
engine_stop(struct engine *engine)
{
    if (!engine->started) {
        return;
    }
    pthread_mutex_lock(&engine->lock);
    engine->stopping = true;
    pthread_mutex_unlock(&engine->lock);
    engine_wake(engine);
    pthread_join(engine->thread, NULL);
    engine->started = false;
}

void
engine_commit(struct engine *engine)
{
    check(!engine->started);
    if (engine->current != NULL) {
        checkpoint_now(engine);
    }
}

void
engine_free(struct engine *engine)
{
    if (engine == NULL) {
        return;
    }
    engine_stop(engine);
    for (size_t i = 0; i < engine->input_count; i++) {
        input_free(engine->inputs[i]);
    }
    if (engine->current != NULL) {
        free(engine->current->sinks);
        free(engine->current);
    }
    free(engine->inputs);
    arena_fini(&engine->arena);
    arena_fini(&engine->committed_arena);
    close(engine->wake_fd);
    pthread_mutex_destroy(&engine->lock);
    pthread_cond_destroy(&engine->swapped);
    free(engine);
}
