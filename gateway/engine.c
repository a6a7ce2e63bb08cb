/*
 * The core thread. One turn:
 *
 *   take a new generation, if one waits
 *   for each input: up to a batch of records -> rules -> outboxes
 *   let time pass for stream SQL (engine_clock.c)
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
#include "engine_state.h"

#include "base/mem.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    HURRY_MS = 100,  /* before a checkpoint, sinks are asked to send what lingers */
    FULL_LOG_EVERY_MS = 60000,
    STATE_BYTES_PER_MS = 64,
    STATE_INTERVAL_MAX_MS = 30000,
    AUDIT_EVERY_MS = 900, /* a little less than the interval of checkpoints by default */
    HELD_UP_MS = 20, /* until a full sink is looked at again */
};

/*
 * A sink at its bound, or one that cannot even spill to disk: better to read on later, since the
 * journal holds what comes. No input is read then, whichever rules it feeds.
 */
static bool
is_any_sink_full(struct engine *engine)
{
    const struct os *os = engine->options.os;
    for (size_t i = 0; i < engine->current->sink_count; i++) {
        const struct sink *sink = engine->current->sinks[i];
        if (outbox_is_full(sink->outbox)) {
            if (log_gate_open(&engine->full_gate, os->mono_us(os) / 1000, FULL_LOG_EVERY_MS)) {
                log_warning("no more records may wait for '%s': all rules wait for it, the journal "
                            "holds what arrives",
                            sink->name);
            }
            return true;
        }
    }
    return false;
}

/* ---- when to commit ---- */

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

/* With short intervals not at each checkpoint: it walks over all rules. */
static void
audit(struct engine *engine)
{
    int64_t now_us = engine->options.os->mono_us(engine->options.os);
    if (engine->options.is_stepped ||
        now_us - engine->audited_at_us >= (int64_t)AUDIT_EVERY_MS * 1000) {
        engine->audited_at_us = now_us;
        engine_check_ledger(engine);
    }
}

static void
checkpoint_now(struct engine *engine)
{
    const struct os *os = engine->options.os;
    struct diag_list diags = {0};
    audit(engine);
    int64_t began_us = os->mono_us(os);
    bool committed = engine_commit_cut(engine, &diags);
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
    engine->stats.is_checkpoint_due = engine->moved;
    if (committed) {
        engine->stats.checkpoint_at_us = engine->committed_at_us;
    }
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

/* Large states are written less often: so many bytes a second, and at least every half minute. */
static int64_t
checkpoint_interval_ms(const struct engine *engine)
{
    int64_t interval_ms = engine->options.checkpoint_interval_ms;
    int64_t wanted_ms = (int64_t)(engine->state_bytes / STATE_BYTES_PER_MS);
    wanted_ms = wanted_ms > STATE_INTERVAL_MAX_MS ? STATE_INTERVAL_MAX_MS : wanted_ms;
    return wanted_ms > interval_ms ? wanted_ms : interval_ms;
}

static int64_t
until_checkpoint_ms(const struct engine *engine)
{
    const struct os *os = engine->options.os;
    int64_t due_us = engine->committed_at_us + checkpoint_interval_ms(engine) * 1000;
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

static void
generation_free(struct generation *generation)
{
    if (generation != NULL) {
        free(generation->sinks);
        free(generation->flows);
        free(generation->rule_inputs);
        free(generation->feed_inputs);
        free(generation);
    }
}

static void
take_generation(struct engine *engine)
{
    const struct os *os = engine->options.os;
    pthread_mutex_lock(&engine->lock);
    struct generation *next = engine->next;
    engine->next = NULL;
    if (next != NULL) {
        int64_t began_us = os->mono_us(os);
        engine_forget_closed_sinks(engine, next);
        engine_adopt_inputs(engine, next);
        engine_adopt_flows(engine, next);
        engine_adopt_ledger(engine, next);
        generation_free(engine->current);
        engine->current = next;
        engine->stats.swap_us = os->mono_us(os) - began_us;
        pthread_cond_broadcast(&engine->swapped);
    }
    if (engine->forgotten != NULL) {
        engine_forget_named_sink(engine);
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
    if (is_any_input_resting(engine) && (timeout_ms < 0 || timeout_ms > INPUT_RETRY_MS)) {
        timeout_ms = INPUT_RETRY_MS;
    }
    int clock_ms = engine_clock_timeout_ms(engine);
    if (clock_ms >= 0 && (timeout_ms < 0 || timeout_ms > clock_ms)) {
        timeout_ms = clock_ms;
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

/* Everything but the sleep; whether it read something, or time went on. */
static bool
turn(struct engine *engine, bool *is_held_up)
{
    take_generation(engine);
    size_t records = 0;
    *is_held_up = is_any_sink_full(engine);
    for (size_t i = 0; i < engine->input_count && !*is_held_up; i++) {
        records += engine_read_input(engine, engine->inputs[i]);
    }
    bool has_ticked = !*is_held_up && engine_clock_step(engine);
    if (records > 0 || has_ticked) {
        engine_count_flows(engine);
    }
    checkpoint_when_due(engine);
    return records > 0 || has_ticked;
}

static void *
engine_main(void *context)
{
    struct engine *engine = context;
    while (!is_stopping(engine)) {
        bool is_held_up;
        if (!turn(engine, &is_held_up)) {
            sleep_until_news(engine, is_held_up);
        }
    }
    return NULL;
}

bool
engine_turn(struct engine *engine)
{
    check(engine->options.is_stepped && engine->started);
    bool is_held_up;
    return turn(engine, &is_held_up);
}

/* ---- outside ---- */

static void
wake_for_failure(void *context)
{
    engine_wake(context);
}

static bool
open_failures(struct engine *engine, struct diag_list *diags)
{
    struct buf dir = {0};
    buf_printf(&dir, "%s/errors", engine->options.data_dir);
    const struct failure_log_options options = {
            .os = engine->options.os,
            .dir = buf_string(&dir),
            .position_least = committed_position(&engine->committed, BYTES(FAILURE_STREAM)),
            .appended = wake_for_failure,
            .context = engine,
    };
    bool is_open = failure_log_open(&engine->failures, &options, diags);
    if (is_open) {
        engine_add_input(engine, INPUT_FAILURES, FAILURE_STREAM, options.dir);
    }
    buf_fini(&dir);
    return is_open;
}

struct failure_log *
engine_failures(struct engine *engine)
{
    return engine->failures;
}

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
    pthread_mutex_init(&engine->watch_lock, NULL);
    engine->recent = recent_new();
    engine->ledger = ledger_new(options->os);
    host_init(&engine->host, options->os);
    engine->options.sources.lookup = engine_look_up;
    engine->options.sources.call = engine_call;
    engine->options.sources.context = engine;
    host_set_sources(&engine->host, &engine->options.sources);
    engine_add_input(engine, INPUT_MESSAGES, "mqtt", options->source.dir);
    if (!open_failures(engine, diags) || !engine_open_clock(engine, diags)) {
        engine_free(engine);
        return false;
    }
    *out = engine;
    return true;
}

struct ledger *
engine_ledger(struct engine *engine)
{
    return engine->ledger;
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

struct stream_place
engine_stream_place(struct engine *engine, const char *stream)
{
    pthread_mutex_lock(&engine->lock);
    const struct checkpoint_stream *found =
            committed_stream(&engine->committed, bytes_of_string(stream));
    struct stream_place place = {0};
    if (found != NULL) {
        place = (struct stream_place){found->position, found->ids_from};
    }
    pthread_mutex_unlock(&engine->lock);
    return place;
}

uint64_t
engine_stream_position(struct engine *engine, const char *stream)
{
    return engine_stream_place(engine, stream).position;
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
engine_forget_absent_sink(struct engine *engine, const char *name, uint64_t *records)
{
    pthread_mutex_lock(&engine->lock);
    engine->forgotten = name;
    pthread_mutex_unlock(&engine->lock);
    engine_wake(engine);
    pthread_mutex_lock(&engine->lock);
    while (engine->forgotten != NULL) {
        pthread_cond_wait(&engine->swapped, &engine->lock);
    }
    *records = engine->forgotten_records;
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
        engine->committed_at_us = engine->options.os->mono_us(engine->options.os);
        check(engine->options.is_stepped ||
              pthread_create(&engine->thread, NULL, engine_main, engine) == 0);
    }
    if (engine->options.is_stepped) {
        take_generation(engine);
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
    out->is_clock_believed = wall_is_believed(&engine->wall, engine->options.os);
    pthread_mutex_unlock(&engine->lock);
}

void
engine_each_reader(struct engine *engine,
                   void (*each)(void *context, const char *stream, uint64_t position,
                                uint64_t end),
                   void *context)
{
    pthread_mutex_lock(&engine->lock);
    for (size_t i = 0; i < engine->input_count; i++) {
        const struct input *input = engine->inputs[i];
        if (input->kind != INPUT_CLOCK) { /* it has no end to be reached */
            each(context, input->stream, input->told_position, engine_input_end(engine, input));
        }
    }
    pthread_mutex_unlock(&engine->lock);
}

void
engine_explain(struct engine *engine, const struct ruleset_rule *rule, struct arena *arena,
               struct explain_report *out)
{
    pthread_mutex_lock(&engine->watch_lock);
    explain_report(rule->watch->explain, rule->info, arena, out);
    pthread_mutex_unlock(&engine->watch_lock);
}

struct recent_topic *
engine_recent_topics(struct engine *engine, struct arena *arena, size_t *count)
{
    return recent_list(engine->recent, arena, count);
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
    if (!engine->options.is_stepped) {
        pthread_join(engine->thread, NULL);
    }
    engine->started = false;
}

void
engine_commit(struct engine *engine)
{
    check(!engine->started);
    if (engine->current != NULL) {
        engine_check_ledger(engine);
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
        engine_free_input(engine->inputs[i]);
    }
    engine_free_flows(engine);
    engine_close_clock(engine);
    generation_free(engine->current);
    free(engine->inputs);
    host_fini(&engine->host);
    failure_log_close(engine->failures);
    arena_fini(&engine->arena);
    arena_fini(&engine->committed_arena);
    close(engine->wake_fd);
    pthread_mutex_destroy(&engine->lock);
    pthread_mutex_destroy(&engine->watch_lock);
    recent_free(engine->recent);
    ledger_free(engine->ledger);
    pthread_cond_destroy(&engine->swapped);
    free(engine);
}
