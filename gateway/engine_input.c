/*
 * Inputs: what the engine reads, each a journal with a position of its own.
 *
 *   "mqtt"          received messages
 *   NAME            a stream of this machine: what a function emits, or the rows of a table
 *   NAME@RULE       the same stream, for one rule that began elsewhere than the others
 *   "$failures" ... what is not declared: failure_log.h, engine_clock.c
 *
 * A rule reads a stream with all others, as far as these are (LATEST), unless its table says where
 * to begin the first time: at the oldest row that is kept, or at a time. Then it has an input of
 * its own, which it keeps, whatever the table says later: so no row is left out and none comes
 * twice. Rows are named by their input, so both can write into one store. Engine thread.
 */
#define _GNU_SOURCE
#include "engine_state.h"

#include "base/mem.h"
#include "store/examine.h"

#include <stdlib.h>

enum { BATCH_RECORDS_MAX = 1024 };

uint64_t
engine_input_tail(const struct engine *engine, const struct input *input)
{
    switch (input->kind) {
    case INPUT_MESSAGES:
        return engine->options.source.tail(engine->options.source.context);
    case INPUT_STREAM:
        return engine->options.reads_synced ? input->synced : journal_tail(input->sink->stream);
    case INPUT_FAILURES:
        return failure_log_tail(engine->failures);
    case INPUT_CLOCK:
        return input->position; /* engine_clock.c reads it */
    }
    never("input kind");
}

uint64_t
engine_input_end(const struct engine *engine, const struct input *input)
{
    const struct engine_source *source = &engine->options.source;
    if (input->kind == INPUT_MESSAGES && source->end != NULL) {
        return source->end(source->context);
    }
    return input->kind == INPUT_STREAM ? journal_tail(input->sink->stream)
                                       : engine_input_tail(engine, input);
}

static void
note_gap(struct engine *engine, struct input *input, const struct record *gap)
{
    const struct os *os = engine->options.os;
    pthread_mutex_lock(&engine->lock);
    engine->stats.gaps++;
    pthread_mutex_unlock(&engine->lock);
    if (log_gate_open(&input->gap_gate, os->mono_us(os) / 1000, ENGINE_LOG_EVERY_MS)) {
        log_error("stream '%s': damaged or missing bytes from %llu to %llu were passed over; "
                  "their messages are lost",
                  input->stream, (unsigned long long)gap->position, (unsigned long long)gap->next);
    }
    struct diag_list diags = {0};
    if (!journal_quarantine(os, input->dir, gap->position, gap->next, NULL, &diags)) {
        log_diags(&diags); /* the segment still has them, until it is trimmed */
    }
    diag_list_fini(&diags);
}

/* What cannot be read now is tried again in a second. */
static void
rest_input(struct engine *engine, struct input *input, const struct diag_list *diags)
{
    const struct os *os = engine->options.os;
    if (log_gate_open(&input->trouble_gate, os->mono_us(os) / 1000, ENGINE_LOG_EVERY_MS)) {
        log_error("stream '%s' cannot be read: %.*s; trying again every second", input->stream,
                  BYTES_ARG(diag_first_error(diags)));
    }
    journal_reader_close(input->reader);
    input->reader = NULL;
    input->retry_at_us = os->mono_us(os) + (int64_t)INPUT_RETRY_MS * 1000;
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

/* Where those begin that were received in this life. */
static uint64_t
first_fresh(const struct engine *engine, const struct input *input)
{
    const struct engine_source *source = &engine->options.source;
    bool has_first = input->kind == INPUT_MESSAGES && source->first != NULL;
    return has_first ? source->first(source->context) : UINT64_MAX;
}

/* With reads_synced: one sync for all that the stream's sink has appended meanwhile. */
static void
sync_input(struct engine *engine, struct input *input)
{
    if (input->kind != INPUT_STREAM || !engine->options.reads_synced ||
        is_resting(engine, input)) {
        return;
    }
    struct diag_list diags = {0};
    uint64_t end = journal_tail(input->sink->stream);
    if (end > input->synced && journal_sync(input->sink->stream, &diags)) {
        input->synced = end;
    } else if (end > input->synced) {
        rest_input(engine, input, &diags);
    }
    diag_list_fini(&diags);
}

/* Runs one batch; returns how many records it read. */
size_t
engine_read_input(struct engine *engine, struct input *input)
{
    sync_input(engine, input);
    uint64_t tail = engine_clock_limit(engine, input, engine_input_tail(engine, input));
    if (tail <= input->position || is_resting(engine, input) ||
        !engine_clock_take_turn(engine, input) || !ensure_reader(engine, input)) {
        return 0;
    }
    struct diag_list diags = {0};
    uint64_t first = first_fresh(engine, input);
    size_t records = 0, fresh = 0;
    bool more = true, is_read = true;
    while (more && records < BATCH_RECORDS_MAX) {
        struct record record;
        switch (journal_reader_next(input->reader, tail, &record, &diags)) {
        case JOURNAL_RECORD:
            engine_run_record(engine, input, &record);
            input->read_us = record.time_us;
            fresh += record.position >= first;
            arena_reset(&engine->arena); /* each record's few KB are in the cache already */
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
    engine->stats.is_checkpoint_due |= engine->moved;
    input->told_position = input->position;
    if (input->kind == INPUT_MESSAGES) {
        engine->stats.position = input->position;
        engine->stats.fresh += fresh;
    }
    pthread_mutex_unlock(&engine->lock);
    diag_list_fini(&diags);
    return records;
}

void
engine_free_input(struct input *input)
{
    journal_reader_close(input->reader);
    free(input->stream);
    free(input->rule);
    free(input->dir);
    free(input);
}

struct input *
engine_add_input(struct engine *engine, enum input_kind kind, const char *stream, const char *dir)
{
    struct input *input = mem_new(struct input);
    input->kind = kind;
    input->stream = bytes_to_string(bytes_of_string(stream));
    input->dir = bytes_to_string(bytes_of_string(dir));
    input->origin = message_origin_plain(&engine->options.origin, bytes_of_string(stream));
    input->position = committed_position(&engine->committed, bytes_of_string(stream));
    input->told_position = input->position;
    engine->inputs = mem_grow(engine->inputs, engine->input_count, &engine->input_capacity,
                              sizeof *engine->inputs);
    engine->inputs[engine->input_count++] = input;
    return input;
}

static struct input *
find_input(const struct engine *engine, struct bytes name)
{
    for (size_t i = 0; i < engine->input_count; i++) {
        if (bytes_equal_string(name, engine->inputs[i]->stream)) {
            return engine->inputs[i];
        }
    }
    return NULL;
}

/* ---- what a generation reads ---- */

/* What all rules read that have no input of their own. */
static void
adopt_shared(struct engine *engine, struct sink *sink)
{
    struct input *input = find_input(engine, bytes_of_string(sink->name));
    if (input == NULL) {
        input = engine_add_input(engine, INPUT_STREAM, sink->name, sink->stream_dir);
    }
    input->sink = sink;
    input->retention = (struct journal_retention){0};
    input->wanted = true;
}

/* Tables of one stream may say different things: rows stay as long as any of them wants. */
static void
retain(struct input *input, const struct relation *relation)
{
    const struct driver_stream_options *options = relation->options;
    if (!relation->driver->has_stream ||
        (options->retention_ms == 0 && options->retention_bytes == 0)) {
        return;
    }
    struct journal_retention *kept = &input->retention;
    bool is_first = kept->age_us == 0 && kept->bytes == 0;
    int64_t age_us = options->retention_ms * 1000;
    uint64_t bytes = (uint64_t)options->retention_bytes;
    bool is_of_any_age = age_us == 0 || (!is_first && kept->age_us == 0);
    bool is_of_any_size = bytes == 0 || (!is_first && kept->bytes == 0);
    *kept = (struct journal_retention){
            .age_us = is_of_any_age ? 0 : age_us > kept->age_us ? age_us : kept->age_us,
            .bytes = is_of_any_size ? 0 : bytes > kept->bytes ? bytes : kept->bytes,
    };
}

static bool
has_run(const struct engine *engine, struct bytes rule)
{
    const struct generation *current = engine->current;
    return committed_rule(&engine->committed, rule) != NULL ||
           (current != NULL && map_find(&current->ruleset->by_name, rule) != NULL);
}

/* Where a rule begins that has not read the stream by an input of its own yet. */
static bool
find_start(struct engine *engine, const struct input *shared, const struct ruleset_rule *rule,
           const struct relation *relation, uint64_t *position)
{
    const struct os *os = engine->options.os;
    struct diag_list diags = {0};
    struct journal_extent extent;
    bool is_found = true;
    *position = shared->position;
    if (has_run(engine, rule->info->name)) {
        return true; /* it goes on where it is */
    }
    if (relation->stream.initpos == STREAM_TRIM_HORIZON) {
        is_found = journal_extent(os, shared->dir, &extent, &diags);
        *position = is_found ? extent.first : 0;
    } else if (relation->stream.initpos == STREAM_AT_TIMESTAMP) {
        is_found = journal_find_time(os, shared->dir, relation->start_us, position, &diags);
    }
    if (!is_found) {
        log_diags(&diags);
    } else if (*position < shared->position) {
        log_notice("rule '%.*s' reads stream '%s' from %llu on", BYTES_ARG(rule->info->name),
                   shared->stream, (unsigned long long)*position);
    }
    diag_list_fini(&diags);
    return is_found;
}

/* A rule that was away for long may find its place no longer kept. */
static void
skip_trimmed(struct engine *engine, struct input *input)
{
    struct diag_list diags = {0};
    struct journal_extent extent;
    if (journal_extent(engine->options.os, input->dir, &extent, &diags) &&
        input->position < extent.first) {
        log_warning("rule '%s' was away: rows of stream '%s' before %llu are not kept any more",
                    input->rule, input->sink->name, (unsigned long long)extent.first);
        input->position = input->told_position = extent.first;
    }
    diag_list_fini(&diags);
}

static struct input *
open_own(struct engine *engine, struct input *shared, const struct ruleset_rule *rule,
         const struct relation *relation, struct bytes name)
{
    uint64_t position;
    bool has_place = committed_stream(&engine->committed, name) != NULL;
    bool is_own = has_place || relation->stream.initpos != STREAM_LATEST;
    if (!is_own ||
        (!has_place && !find_start(engine, shared, rule, relation, &position))) {
        return shared;
    }
    char *text = bytes_to_string(name);
    struct input *input = engine_add_input(engine, INPUT_STREAM, text, shared->dir);
    free(text);
    input->sink = shared->sink;
    input->rule = bytes_to_string(rule->info->name);
    if (has_place) {
        skip_trimmed(engine, input);
    } else {
        input->position = input->told_position = position;
        engine->moved = true; /* from now on this is its place */
    }
    return input;
}

/* The input that a rule reads a table's stream from; NULL: it reads messages. */
static struct input *
choose(struct engine *engine, const struct ruleset_rule *rule,
       const struct ruleset_relation *relation)
{
    struct buf name = {0};
    if (relation == NULL || relation->sink == NULL) {
        return NULL;
    }
    buf_printf(&name, "%s@%.*s", relation->sink->name, BYTES_ARG(rule->info->name));
    struct input *shared = find_input(engine, bytes_of_string(relation->sink->name));
    struct input *input = find_input(engine, buf_bytes(&name));
    if (input == NULL) {
        input = open_own(engine, shared, rule, &relation->relation, buf_bytes(&name));
    }
    input->sink = relation->sink;
    input->wanted = true;
    buf_fini(&name);
    return input;
}

static void
choose_inputs(struct engine *engine, struct generation *next)
{
    const struct ruleset *ruleset = next->ruleset;
    next->rule_inputs = mem_new_array(struct input *, ruleset->rule_count);
    next->feed_inputs = mem_new_array(struct input *, ruleset->feed_count);
    for (size_t i = 0; i < ruleset->rule_count; i++) {
        const struct ruleset_rule *rule = &ruleset->rules[i];
        next->rule_inputs[i] = choose(engine, rule, rule->source);
    }
    for (size_t i = 0; i < ruleset->feed_count; i++) {
        const struct ruleset_feed *feed = &ruleset->feeds[i];
        next->feed_inputs[i] = choose(engine, &ruleset->rules[feed->rule], feed->relation);
    }
}

void
engine_adopt_inputs(struct engine *engine, struct generation *next)
{
    for (size_t i = 0; i < engine->input_count; i++) {
        engine->inputs[i]->wanted = engine->inputs[i]->kind != INPUT_STREAM;
    }
    for (size_t i = 0; i < next->sink_count; i++) {
        if (next->sinks[i]->stream != NULL) {
            adopt_shared(engine, next->sinks[i]);
        }
    }
    for (size_t i = 0; i < next->ruleset->relation_count; i++) {
        const struct ruleset_relation *relation = &next->ruleset->relations[i];
        if (relation->sink != NULL && relation->sink->stream != NULL) {
            retain(find_input(engine, bytes_of_string(relation->sink->name)),
                   &relation->relation);
        }
    }
    choose_inputs(engine, next);
    size_t kept = 0;
    for (size_t i = 0; i < engine->input_count; i++) {
        if (engine->inputs[i]->wanted) {
            engine->inputs[kept++] = engine->inputs[i];
        } else {
            engine_free_input(engine->inputs[i]);
        }
    }
    engine->input_count = kept;
}
