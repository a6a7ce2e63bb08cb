/*
 * A running program: its operators, their clock, and how a message goes through them.
 *
 * Processing time moves before the row that moved it: windows that end now are out before. Event
 * time moves behind it: the source pushes a row, then its watermark.
 */
#include "program.h"

#include "base/mem.h"

#include <stdlib.h>

enum { SAVE_VERSION = 3, SAVE_VERSION_OLDEST = 2 };

void
stream_push(struct stream_op *op, struct stream_run *run, const struct stream_value *row)
{
    if (op->next != NULL) {
        op->next->plan->class->row(op->next, run, op->port, row);
        return;
    }
    struct buf json = {.arena = &run->arena};
    const struct stream_program *program = run->program;
    const struct stream_schema *schema = &op->plan->schema;
    for (size_t i = 0; i < schema->count; i++) {
        buf_append_char(&json, i == 0 ? '{' : ',');
        buf_append(&json, program->names[i]);
        stream_value_write(&json, schema->columns[i].type, &row[i], program->format);
    }
    buf_append_char(&json, '}');
    run->stats.rows_out++;
    run->output.row(run->output.context, buf_bytes(&json));
}

/* What event time has come to: of two inputs the one that is behind, if it is not silent. */
static int64_t
least_watermark(const struct stream_op *op)
{
    const int64_t *ms = op->port_watermarks_ms;
    if (op->plan->input_count < 2 || op->is_port_idle[1]) {
        return ms[0];
    }
    return op->is_port_idle[0] || ms[1] < ms[0] ? ms[1] : ms[0];
}

static void
move_watermark(struct stream_op *op, struct stream_run *run, unsigned port)
{
    int64_t ms = least_watermark(op);
    if (ms <= op->watermark_ms) {
        return;
    }
    if (op->plan->class->watermark != NULL) {
        op->plan->class->watermark(op, run, port, ms);
        op->watermark_ms = ms;
    } else {
        op->watermark_ms = ms;
        stream_push_watermark(op, run, ms);
    }
}

void
stream_push_watermark(struct stream_op *op, struct stream_run *run, int64_t ms)
{
    if (op->next != NULL) {
        op->next->port_watermarks_ms[op->port] = ms;
        move_watermark(op->next, run, op->port);
    }
}

void
stream_push_idle(struct stream_op *op, struct stream_run *run, bool is_idle)
{
    struct stream_op *next = op->next;
    if (next == NULL || next->is_port_idle[op->port] == is_idle) {
        return;
    }
    next->is_port_idle[op->port] = is_idle;
    if (next->plan->input_count == 1 || next->is_port_idle[0] == next->is_port_idle[1]) {
        stream_push_idle(next, run, is_idle && next->is_port_idle[0]);
    }
    if (is_idle && next->plan->input_count == 2 && !next->is_port_idle[1 - op->port]) {
        move_watermark(next, run, op->port);
    }
}

void
stream_reject(struct stream_run *run, const char *reason)
{
    if (run->output.rejected != NULL) {
        run->output.rejected(run->output.context, reason);
    }
}

bool
stream_op_eval(const struct stream_op *op, struct stream_run *run,
               const struct stream_node *node, const struct stream_value *row,
               struct stream_value *out)
{
    struct stream_context *context = &run->context;
    context->row = row;
    context->watermark_ms = op->watermark_ms;
    context->failure = NULL;
    stream_eval(node, context, out);
    if (context->failure != NULL) {
        run->stats.failed++;
        stream_reject(run, context->failure);
        return false;
    }
    return true;
}

bool
stream_row_time(const struct stream_op *op, struct stream_run *run,
                const struct stream_node *time, const struct stream_value *row, int64_t *out_ms)
{
    struct stream_value value = stream_integer(run->context.now_ms);
    if (time != NULL && !stream_op_eval(op, run, time, row, &value)) {
        return false;
    }
    if (value.is_null) {
        run->stats.null_rowtime++;
        stream_reject(run, "the event time is missing");
        return false;
    }
    *out_ms = value.integer;
    return true;
}

/* Memory of a run for one key counts in the rule's. */
static struct stream_run *
root_of(struct stream_run *run)
{
    return run->parent == NULL ? run : run->parent;
}

bool
stream_take(struct stream_run *run, size_t bytes)
{
    struct stream_run *root = root_of(run);
    bool is_full = root->state_entries >= root->program->state_max_entries;
    if (is_full || root->state_bytes + bytes > root->program->state_max_bytes) {
        run->stats.refused++;
        stream_reject(run, is_full ? "the rule holds as many entries as 'state.max_entries' allows"
                                   : "the rule's state has reached its limit, 'state.max'");
        return false;
    }
    root->state_bytes += bytes;
    root->state_entries++;
    return true;
}

void
stream_grew(struct stream_run *run, size_t bytes)
{
    root_of(run)->state_bytes += bytes;
}

void
stream_give(struct stream_run *run, size_t bytes)
{
    struct stream_run *root = root_of(run);
    root->state_bytes -= bytes < root->state_bytes ? bytes : root->state_bytes;
    root->state_entries -= root->state_entries > 0; /* version 2 of a snapshot did not count them */
}

/* ---- life ---- */

/* Which operator takes the rows of plan `i`, and as which input. */
static void
connect_op(struct stream_run *run, size_t i)
{
    for (size_t j = i + 1; j < run->op_count; j++) {
        for (unsigned port = 0; port < run->ops[j]->plan->input_count; port++) {
            if (run->ops[j]->plan->inputs[port] == run->ops[i]->plan) {
                run->ops[i]->next = run->ops[j];
                run->ops[i]->port = port;
                return;
            }
        }
    }
}

struct stream_run *
stream_run_new(const struct stream_program *program, const struct stream_output *output)
{
    struct stream_run *run = mem_new(struct stream_run);
    run->program = program;
    run->output = *output;
    run->op_count = program->op_count;
    run->ops = mem_new_array(struct stream_op *, program->op_count);
    run->context = (struct stream_context){
            .arena = &run->arena, .zone = program->zone, .now_ms = INT64_MIN};
    for (size_t i = 0; i < program->op_count; i++) {
        const struct stream_op_plan *plan = program->ops[i];
        struct stream_op *op = mem_alloc_zeroed(1, plan->class->size);
        op->plan = plan;
        op->watermark_ms = INT64_MIN;
        op->port_watermarks_ms[0] = op->port_watermarks_ms[1] = INT64_MIN;
        run->ops[i] = op;
    }
    for (size_t i = 0; i < program->op_count; i++) {
        connect_op(run, i);
        if (run->ops[i]->plan->class->open != NULL) {
            run->ops[i]->plan->class->open(run->ops[i]);
        }
    }
    return run;
}

void
stream_run_free(struct stream_run *run)
{
    if (run == NULL) {
        return;
    }
    stream_keyed_free(run);
    for (size_t i = 0; i < run->op_count; i++) {
        if (run->ops[i]->plan->class->close != NULL) {
            run->ops[i]->plan->class->close(run->ops[i]);
        }
        free(run->ops[i]);
    }
    free(run->ops);
    arena_fini(&run->arena);
    free(run);
}

/* ---- time and messages ---- */

static void
find_next_tick(void *context, struct stream_run *child)
{
    int64_t *next = context, at = stream_run_next_tick(child);
    *next = at < *next ? at : *next;
}

/* Event time that goes on by the clock sets nothing free where nothing is held. */
static bool
waits_in_vain(const struct stream_run *run, const struct stream_op *op)
{
    const struct stream_run *root = run->parent == NULL ? run : run->parent;
    return op->plan->class == &stream_source_class && root->state_bytes == 0 &&
           ((const struct stream_source_plan *)op->plan)->is_idle_advance;
}

int64_t
stream_run_next_tick(const struct stream_run *run)
{
    int64_t next = INT64_MAX;
    stream_keyed_each(run, find_next_tick, &next);
    for (size_t i = 0; i < run->op_count; i++) {
        const struct stream_op *op = run->ops[i];
        const struct stream_op_class *class = op->plan->class;
        int64_t at = class->next_tick == NULL || waits_in_vain(run, op) ? INT64_MAX
                                                                        : class->next_tick(op);
        next = at < next ? at : next;
    }
    return next;
}

static void
move_clock(struct stream_run *run, int64_t now_ms)
{
    if (now_ms <= run->context.now_ms) {
        return; /* time stands still until the clock is there again, or stream_run_set_back() */
    }
    run->context.now_ms = now_ms;
    for (size_t i = 0; i < run->op_count; i++) {
        const struct stream_op_class *class = run->ops[i]->plan->class;
        if (class->tick != NULL && class->next_tick(run->ops[i]) <= now_ms) {
            class->tick(run->ops[i], run);
        }
    }
}

static void
tick_child(void *context, struct stream_run *child)
{
    stream_run_tick(child, *(const int64_t *)context);
}

void
stream_run_tick(struct stream_run *run, int64_t now_ms)
{
    stream_keyed_each(run, tick_child, &now_ms);
    move_clock(run, now_ms);
    arena_reset(&run->arena);
}

int64_t
stream_run_now(const struct stream_run *run)
{
    return run->context.now_ms;
}

static void
set_back_child(void *context, struct stream_run *child)
{
    stream_run_set_back(child, *(const int64_t *)context);
}

/* Whether the clock has brought the source's watermark to where no row may be yet. */
static bool
is_beyond_future(const struct stream_run *run, const struct stream_op *op)
{
    const struct stream_source_plan *plan = (const struct stream_source_plan *)op->plan;
    if (op->plan->class != &stream_source_class || plan->max_future_ms <= 0 ||
        op->watermark_ms <= run->context.now_ms + plan->max_future_ms) {
        return false;
    }
    bool is_of_clock = plan->is_idle_advance;
    for (size_t i = 0; i < plan->op.schema.count; i++) {
        is_of_clock |= plan->columns[i].metadata == METADATA_TIME;
    }
    return is_of_clock;
}

/* All that waits in event time comes out, and the next rows decide what time it is. */
static void
begin_event_time(struct stream_run *run)
{
    stream_run_finish(run);
    for (size_t i = 0; i < run->op_count; i++) {
        struct stream_op *op = run->ops[i];
        op->watermark_ms = op->port_watermarks_ms[0] = op->port_watermarks_ms[1] = INT64_MIN;
    }
}

void
stream_run_set_back(struct stream_run *run, int64_t now_ms)
{
    bool is_beyond = false;
    stream_keyed_each(run, set_back_child, &now_ms);
    if (now_ms >= run->context.now_ms) {
        return;
    }
    run->context.now_ms = now_ms;
    for (size_t i = 0; i < run->op_count; i++) {
        is_beyond |= is_beyond_future(run, run->ops[i]);
    }
    if (is_beyond) {
        begin_event_time(run);
    }
    for (size_t i = 0; i < run->op_count; i++) {
        const struct stream_op_class *class = run->ops[i]->plan->class;
        if (class->set_back != NULL) {
            class->set_back(run->ops[i], run);
        }
    }
    arena_reset(&run->arena);
}

void
stream_run_message(struct stream_run *run, size_t source, const struct stream_message *message)
{
    if (run->program->scope_count > 0 && run->parent == NULL) {
        move_clock(run, message->time_ms);
        struct stream_run *child = stream_keyed_run(run, message->payload);
        run->stats.rows_in += child == NULL;
        run->stats.turned_away += child == NULL;
        arena_reset(&run->arena);
        if (child != NULL) {
            stream_run_message(child, source, message);
        }
        return;
    }
    move_clock(run, message->time_ms);
    run->stats.rows_in++;
    run->sequence++;
    size_t seen = 0;
    for (size_t i = 0; i < run->op_count; i++) {
        if (run->ops[i]->plan->class == &stream_source_class && seen++ == source) {
            stream_source_message(run->ops[i], run, message);
            break;
        }
    }
    arena_reset(&run->arena);
}

static void
finish_child(void *context, struct stream_run *child)
{
    stream_run_finish(child);
}

void
stream_run_finish(struct stream_run *run)
{
    stream_keyed_each(run, finish_child, NULL);
    for (size_t i = 0; i < run->op_count; i++) {
        if (run->ops[i]->plan->class == &stream_source_class) {
            stream_push_watermark(run->ops[i], run, INT64_MAX);
            arena_reset(&run->arena);
        }
    }
}

static void
add_stats(void *context, struct stream_run *child)
{
    struct stream_stats *sum = context;
    const struct stream_stats *own = &child->stats;
    sum->rows_in += own->rows_in;
    sum->rows_out += own->rows_out;
    sum->used += own->used;
    sum->rejected += own->rejected;
    sum->turned_away += own->turned_away;
    sum->bad += own->bad;
    sum->null_rowtime += own->null_rowtime;
    sum->future += own->future;
    sum->late += own->late;
    sum->no_window += own->no_window;
    sum->failed += own->failed;
    sum->refused += own->refused;
}

void
stream_run_stats(const struct stream_run *run, struct stream_stats *out)
{
    *out = run->stats;
    stream_keyed_each(run, add_stats, out);
}

size_t
stream_run_footprint(const struct stream_run *run)
{
    return run->state_bytes;
}

size_t
stream_run_entries(const struct stream_run *run)
{
    return run->state_entries;
}

int64_t
stream_run_watermark(const struct stream_run *run)
{
    return run->ops[0]->watermark_ms;
}

/* ---- snapshots ----
 *
 * u8 version | u64 fingerprint of the program | u64 sequence | u64 now | u64 bytes of
 * state | u64 entries of state (not in version 2) | for each operator that has a state: its
 * three watermarks, which inputs are silent, and its own bytes, counted | the runs of keys.
 *
 * Operators without a state are as their inputs are, so that an edit may add or take some.
 */

static bool
has_state(const struct stream_op *op)
{
    return op->plan->class->save != NULL || op->plan->input_count > 1;
}

void
stream_run_save(const struct stream_run *run, struct buf *out)
{
    struct buf state = {0};
    wire_put_u8(out, SAVE_VERSION);
    wire_put_u64(out, run->program->fingerprint);
    wire_put_u64(out, run->sequence);
    wire_put_u64(out, (uint64_t)run->context.now_ms);
    wire_put_u64(out, run->state_bytes);
    wire_put_u64(out, run->state_entries);
    for (size_t i = 0; i < run->op_count; i++) {
        const struct stream_op *op = run->ops[i];
        if (!has_state(op)) {
            continue;
        }
        wire_put_u64(out, (uint64_t)op->watermark_ms);
        wire_put_u64(out, (uint64_t)op->port_watermarks_ms[0]);
        wire_put_u64(out, (uint64_t)op->port_watermarks_ms[1]);
        wire_put_u8(out, (uint8_t)(op->is_port_idle[0] | op->is_port_idle[1] << 1));
        buf_clear(&state);
        if (op->plan->class->save != NULL) {
            op->plan->class->save(op, &state);
        }
        wire_put_bytes(out, buf_bytes(&state));
    }
    stream_keyed_save(run, out);
    buf_fini(&state);
}

static bool
load_op(struct stream_op *op, struct wire_reader *reader)
{
    op->watermark_ms = (int64_t)wire_get_u64(reader);
    op->port_watermarks_ms[0] = (int64_t)wire_get_u64(reader);
    op->port_watermarks_ms[1] = (int64_t)wire_get_u64(reader);
    uint8_t idle = wire_get_u8(reader);
    op->is_port_idle[0] = (idle & 1) != 0;
    op->is_port_idle[1] = (idle & 2) != 0;
    struct wire_reader state = wire_reader(wire_get_bytes(reader));
    return !reader->failed &&
           (op->plan->class->load == NULL || op->plan->class->load(op, &state));
}

/* An operator without a state: its input's. */
static void
inherit(struct stream_run *run, struct stream_op *op)
{
    for (size_t i = 0; i < run->op_count; i++) {
        if (run->ops[i]->plan == op->plan->inputs[0]) {
            op->watermark_ms = run->ops[i]->watermark_ms;
            op->port_watermarks_ms[0] = op->watermark_ms;
            op->is_port_idle[0] = run->ops[i]->is_port_idle[0];
        }
    }
}

static bool
read_fit(struct wire_reader *reader, const struct stream_program *program, unsigned *version)
{
    *version = wire_get_u8(reader);
    return *version >= SAVE_VERSION_OLDEST && *version <= SAVE_VERSION &&
           wire_get_u64(reader) == program->fingerprint;
}

bool
stream_state_fits(const struct stream_program *program, struct bytes saved)
{
    struct wire_reader reader = wire_reader(saved);
    unsigned version;
    return read_fit(&reader, program, &version);
}

bool
stream_run_load(struct stream_run *run, struct bytes saved)
{
    struct wire_reader reader = wire_reader(saved);
    unsigned version;
    if (!read_fit(&reader, run->program, &version)) {
        return false;
    }
    run->sequence = wire_get_u64(&reader);
    run->context.now_ms = (int64_t)wire_get_u64(&reader);
    run->state_bytes = wire_get_u64(&reader);
    run->state_entries = version == SAVE_VERSION_OLDEST ? 0 : wire_get_u64(&reader);
    for (size_t i = 0; i < run->op_count; i++) {
        if (!has_state(run->ops[i])) {
            inherit(run, run->ops[i]);
        } else if (!load_op(run->ops[i], &reader)) {
            return false;
        }
    }
    return stream_keyed_load(run, &reader) && wire_at_end(&reader);
}

/* ---- what a program is ---- */

size_t
stream_program_source_count(const struct stream_program *program)
{
    return program->source_count;
}

const struct stream_table *
stream_program_source(const struct stream_program *program, size_t i)
{
    return program->source_tables[i];
}

const struct stream_table *
stream_program_target(const struct stream_program *program)
{
    return program->target;
}

size_t
stream_program_start(const struct stream_program *program)
{
    return program->start;
}

uint64_t
stream_program_fingerprint(const struct stream_program *program)
{
    return program->fingerprint;
}

bool
stream_program_is_inner(const struct stream_program *program)
{
    return program->is_inner;
}
