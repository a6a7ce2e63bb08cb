/*
 * Flows: the rules of stream SQL as they run.
 *
 * A flow is the state of one rule: its windows, watermarks, patterns (rules/stream/stream.h). It
 * lives under the rule's name. A new generation brings a new program for an edited rule; where
 * that means the same (stream_program_fingerprint), the state goes over and open windows stay open,
 * else the rule begins anew, and the log says so. A rule whose file did not change keeps its
 * program and its run, untouched.
 *
 * Every checkpoint holds all states as of its positions, so a replay from there is the run that
 * was never interrupted. Engine thread.
 */
#include "engine_state.h"

#include "base/mem.h"

#include <stdlib.h>

/* ---- what comes out ---- */

static void
take_row(void *context, struct bytes json)
{
    engine_push_flow_row(context, json);
}

static void
take_rejected(void *context, const char *reason)
{
    engine_reject_flow_row(context, reason);
}

/* A join with a table: what it holds under a key now. */
static bool
look_up(void *context, const struct stream_table *table, struct bytes key, struct arena *arena,
        struct bytes *item)
{
    struct flow *flow = context;
    struct diag_list diags = {0};
    bool found = engine_look_up(flow->engine, table->name, key, arena, item, &diags);
    diag_list_fini(&diags);
    return found;
}

/* ---- life ---- */

static struct stream_run *
run_new(struct flow *flow, const struct stream_program *program)
{
    const struct stream_output output = {
            .row = take_row, .rejected = take_rejected, .lookup = look_up, .context = flow};
    return stream_run_new(program, &output);
}

static struct flow *
flow_new(struct engine *engine, struct bytes name)
{
    struct flow *flow = mem_new(struct flow);
    flow->name = bytes_to_string(name);
    flow->engine = engine;
    return flow;
}

static void
flow_free(struct flow *flow)
{
    stream_run_free(flow->run);
    free(flow->name);
    free(flow);
}

static struct flow *
find_flow(const struct engine *engine, struct bytes name)
{
    for (size_t i = 0; i < engine->flow_count; i++) {
        if (bytes_equal_string(name, engine->flows[i]->name)) {
            return engine->flows[i];
        }
    }
    return NULL;
}

/* A run of another program gets the state, if it can. */
static bool
hand_over(const struct stream_run *from, struct stream_run *to)
{
    struct buf state = {0};
    stream_run_save(from, &state);
    bool taken = stream_run_load(to, buf_bytes(&state));
    buf_fini(&state);
    return taken;
}

static void
change_program(struct flow *flow, const struct stream_program *program)
{
    struct stream_run *run = run_new(flow, program);
    if (hand_over(flow->run, run)) {
        log_notice("rule '%s' has changed and keeps its open windows", flow->name);
    } else {
        stream_run_free(run); /* it may have taken a part */
        run = run_new(flow, program);
        log_notice("rule '%s' means something else now: its open windows are given up",
                   flow->name);
    }
    stream_run_free(flow->run);
    flow->run = run;
    flow->told = (struct stream_stats){0};
    flow->is_changed = true;
}

static void
start_run(struct flow *flow, const struct stream_program *program)
{
    const struct checkpoint_rule *saved =
            committed_rule(&flow->engine->committed, bytes_of_string(flow->name));
    flow->run = run_new(flow, program);
    flow->is_changed = saved == NULL;
    if (saved != NULL && !stream_run_load(flow->run, saved->state)) {
        stream_run_free(flow->run);
        flow->run = run_new(flow, program);
        flow->is_changed = true;
        log_notice("rule '%s' means something else than before: its open windows are given up",
                   flow->name);
    }
}

static struct flow *
adopt_flow(struct engine *engine, const struct ruleset_rule *rule)
{
    struct flow *flow = find_flow(engine, rule->info->name);
    if (flow == NULL) {
        flow = flow_new(engine, rule->info->name);
        engine->flows = mem_grow(engine->flows, engine->flow_count, &engine->flow_capacity,
                                 sizeof *engine->flows);
        engine->flows[engine->flow_count++] = flow;
        start_run(flow, rule->program);
    } else if (flow->rule->program != rule->program) {
        change_program(flow, rule->program);
    }
    return flow;
}

/* Whether its sources are not all of one input. */
static bool
is_joint(const struct generation *generation, const struct ruleset_rule *rule)
{
    size_t count = stream_program_source_count(rule->program);
    size_t first = (size_t)(rule->feeds - generation->ruleset->feeds);
    for (size_t i = 1; i < count; i++) {
        if (generation->feed_inputs[first + i] != generation->feed_inputs[first]) {
            return true;
        }
    }
    return false;
}

void
engine_adopt_flows(struct engine *engine, struct generation *next)
{
    const struct ruleset *ruleset = next->ruleset;
    size_t kept = 0;
    next->flows = mem_new_array(struct flow *, ruleset->rule_count);
    engine_count_flows(engine);
    for (size_t i = 0; i < ruleset->rule_count; i++) {
        if (ruleset->rules[i].program != NULL) {
            next->flows[i] = adopt_flow(engine, &ruleset->rules[i]);
            next->has_joint_flow |= is_joint(next, &ruleset->rules[i]);
        }
    }
    for (size_t f = 0; f < engine->flow_count; f++) {
        engine->flows[f]->rule = NULL;
    }
    for (size_t i = 0; i < ruleset->rule_count; i++) {
        if (next->flows[i] != NULL) {
            next->flows[i]->rule = &ruleset->rules[i];
        }
    }
    for (size_t f = 0; f < engine->flow_count; f++) {
        struct flow *flow = engine->flows[f];
        if (flow->rule != NULL) {
            engine->flows[kept++] = flow;
            continue;
        }
        log_notice("rule '%s' is gone, and its open windows with it", flow->name);
        engine->moved = true;
        flow_free(flow);
    }
    engine->flow_count = kept;
    engine->moved |= engine_has_changed_flow(engine);
}

void
engine_free_flows(struct engine *engine)
{
    for (size_t i = 0; i < engine->flow_count; i++) {
        flow_free(engine->flows[i]);
    }
    free(engine->flows);
}

/* ---- messages and time ---- */

void
engine_flow_message(struct flow *flow, uint32_t source, struct run *cause,
                    const struct record *record)
{
    const struct stream_message message = {
            .payload = record->payload,
            .topic = record->topic,
            .time_ms = record->time_us / 1000,
            .position = record->position,
            .qos = record->flags & RECORD_QOS,
            .is_clock_doubted = !wall_is_set(record->time_us) ||
                              (record->flags & RECORD_TIME_UNSYNCED) != 0,
    };
    flow->cause = cause;
    flow->is_changed = flow->is_touched = true;
    stream_run_message(flow->run, source, &message);
    flow->cause = NULL;
}

int64_t
engine_next_tick_ms(const struct engine *engine)
{
    int64_t next_ms = INT64_MAX;
    for (size_t i = 0; i < engine->flow_count; i++) {
        int64_t at_ms = stream_run_next_tick(engine->flows[i]->run);
        next_ms = at_ms < next_ms ? at_ms : next_ms;
    }
    return next_ms;
}

int64_t
engine_latest_flow_ms(const struct engine *engine)
{
    int64_t latest_ms = INT64_MIN;
    for (size_t i = 0; i < engine->flow_count; i++) {
        int64_t now_ms = stream_run_now(engine->flows[i]->run);
        latest_ms = now_ms > latest_ms ? now_ms : latest_ms;
    }
    return latest_ms;
}

/* ---- counting ---- */

static void
add(_Atomic uint64_t *counter, uint64_t now, uint64_t before)
{
    atomic_fetch_add_explicit(counter, now - before, memory_order_relaxed);
}

static void
count_flow(struct flow *flow)
{
    struct stream_stats now;
    const struct stream_stats *told = &flow->told;
    struct rule_counters *counters = flow->rule->counters;
    stream_run_stats(flow->run, &now);
    add(&counters->messages, now.rows_in, told->rows_in);
    add(&counters->stream.used, now.used, told->used);
    add(&counters->stream.rejected, now.rejected, told->rejected);
    add(&counters->stream.turned_away, now.turned_away, told->turned_away);
    add(&counters->stream.bad, now.bad, told->bad);
    add(&counters->stream.null_rowtime, now.null_rowtime, told->null_rowtime);
    add(&counters->stream.future, now.future, told->future);
    add(&counters->stream.late, now.late, told->late);
    add(&counters->stream.no_window, now.no_window, told->no_window);
    add(&counters->stream.refused, now.refused, told->refused);
    add(&counters->failed, now.failed, told->failed);
    atomic_store_explicit(&counters->stream.state_bytes, stream_run_footprint(flow->run),
                          memory_order_relaxed);
    atomic_store_explicit(&counters->stream.state_entries, stream_run_entries(flow->run),
                          memory_order_relaxed);
    atomic_store_explicit(&counters->stream.watermark_ms, stream_run_watermark(flow->run),
                          memory_order_relaxed);
    if (now.refused > told->refused && !flow->is_full) {
        log_error("rule '%s': its state has reached its limit; rows that need more are rejected",
                  flow->name);
    }
    flow->is_full = now.refused > told->refused;
    flow->told = now;
}

void
engine_count_flows(struct engine *engine)
{
    for (size_t i = 0; i < engine->flow_count; i++) {
        struct flow *flow = engine->flows[i];
        if (flow->is_touched) {
            flow->is_touched = false;
            count_flow(flow);
        }
    }
}

bool
engine_has_changed_flow(const struct engine *engine)
{
    for (size_t i = 0; i < engine->flow_count; i++) {
        if (engine->flows[i]->is_changed) {
            return true;
        }
    }
    return false;
}
