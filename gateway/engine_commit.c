/*
 * The checkpoint of the engine: positions of all inputs, marks of all sinks and states of all flows,
 * as of one instant between two batches.
 *
 * Entries of streams and sinks that are not there now are carried on: their files are still on
 * disk, and a rule file may declare them again. Two checkpoints are kept on disk, so what the older
 * one needs is not given back yet. Engine thread, or the main thread once that has ended.
 */
#include "engine_state.h"

const struct checkpoint_stream *
committed_stream(const struct checkpoint *checkpoint, struct bytes name)
{
    for (size_t i = 0; i < checkpoint->stream_count; i++) {
        if (bytes_equal(checkpoint->streams[i].name, name)) {
            return &checkpoint->streams[i];
        }
    }
    return NULL;
}

uint64_t
committed_position(const struct checkpoint *checkpoint, struct bytes stream)
{
    const struct checkpoint_stream *found = committed_stream(checkpoint, stream);
    return found == NULL ? 0 : found->position;
}

const struct checkpoint_sink *
committed_sink(const struct checkpoint *checkpoint, struct bytes name)
{
    for (size_t i = 0; i < checkpoint->sink_count; i++) {
        if (bytes_equal(checkpoint->sinks[i].name, name)) {
            return &checkpoint->sinks[i];
        }
    }
    return NULL;
}

const struct checkpoint_rule *
committed_rule(const struct checkpoint *checkpoint, struct bytes name)
{
    for (size_t i = 0; i < checkpoint->rule_count; i++) {
        if (bytes_equal(checkpoint->rules[i].name, name)) {
            return &checkpoint->rules[i];
        }
    }
    return NULL;
}

/* A checkpoint on its way, in an arena of its own. */
struct draft {
    struct arena arena;
    struct arena states; /* needed until it is written */
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
                .name = arena_copy(&draft->arena, bytes_of_string(input->stream)),
                .position = input->position};
    }
    size_t present = now->stream_count;
    for (size_t i = 0; i < before->stream_count; i++) {
        bool known = false;
        for (size_t j = 0; j < present && !known; j++) {
            known = bytes_equal(before->streams[i].name, draft->streams[j].name);
        }
        if (!known) { /* the function may be declared again */
            struct checkpoint_stream *kept = &draft->streams[now->stream_count++];
            *kept = before->streams[i];
            kept->name = arena_copy(&draft->arena, kept->name);
        }
    }
}

/* Up to where a stream that rows are made of is read, as of this cut. */
static uint64_t
drafted_position(const void *context, struct bytes stream)
{
    const struct engine *engine = context;
    for (size_t i = 0; i < engine->input_count; i++) {
        if (bytes_equal_string(stream, engine->inputs[i]->stream)) {
            return engine->inputs[i]->position;
        }
    }
    return UINT64_MAX;
}

/* Cuts the sink's outbox, and its stream with it. */
static bool
draft_sink(struct engine *engine, struct draft *draft, struct sink *sink, struct outbox_mark *mark,
           struct diag_list *diags)
{
    struct outbox_stats stats;
    if (sink->log == NULL) {
        return outbox_cut(sink->outbox, mark, diags);
    }
    stream_log_begin_cut(sink->log);
    if (!outbox_cut(sink->outbox, mark, diags)) {
        return false;
    }
    outbox_stats(sink->outbox, &stats);
    const struct stream_log_cut cut = {mark->records == 0, stats.batches, drafted_position,
                                       engine};
    for (size_t i = 0; i < draft->checkpoint.stream_count; i++) {
        if (bytes_equal_string(draft->streams[i].name, sink->name)) {
            draft->streams[i].ids_from = stream_log_end_cut(sink->log, &cut);
        }
    }
    return true;
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
        if (!draft_sink(engine, draft, generation->sinks[i], &mark, diags)) {
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

/* The state of each rule of stream SQL. */
static void
draft_rules(struct engine *engine, struct draft *draft)
{
    struct checkpoint_rule *rules =
            arena_new_array(&draft->states, struct checkpoint_rule, engine->flow_count);
    size_t bytes = 0;
    for (size_t i = 0; i < engine->flow_count; i++) {
        struct buf state = {.arena = &draft->states};
        stream_run_save(engine->flows[i]->run, &state);
        rules[i].name = bytes_of_string(engine->flows[i]->name);
        rules[i].state = buf_bytes(&state);
        bytes += state.size;
    }
    draft->checkpoint.rules = rules;
    draft->checkpoint.rule_count = engine->flow_count;
    engine->state_bytes = bytes;
}

/* States are read at a start only, so memory holds none of the committed ones. */
static void
note_committed_flows(struct engine *engine, struct draft *draft)
{
    for (size_t i = 0; i < engine->flow_count; i++) {
        engine->flows[i]->is_changed = false;
    }
    engine->committed_flows = engine->flow_count;
    draft->checkpoint.rules = NULL;
    draft->checkpoint.rule_count = 0;
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

/* Up to where no reader of a stream needs it, and none that a crash brings back. */
static uint64_t
unneeded_before(const struct engine *engine, const struct input *shared)
{
    uint64_t before = UINT64_MAX;
    for (size_t i = 0; i < engine->input_count; i++) {
        const struct input *input = engine->inputs[i];
        const struct checkpoint_stream *stream =
                committed_stream(&engine->committed, bytes_of_string(input->stream));
        if (input->sink != shared->sink) {
            continue;
        }
        /* One that is in no checkpoint yet began at its position, or before. */
        uint64_t position = stream != NULL          ? stream->position
                            : input->rule != NULL ? input->position
                                                  : 0;
        before = position < before ? position : before;
        if (input == shared) {
            uint64_t ids_from = stream == NULL ? 0 : stream->ids_from;
            before = ids_from < before ? ids_from : before;
        }
    }
    return before;
}

/* What all have read stays for as long as it is asked for; nothing is old by a clock that is wrong. */
static uint64_t
unretained_before(const struct engine *engine, const char *dir,
                  const struct journal_retention *retention, uint64_t before)
{
    struct diag_list diags = {0};
    uint64_t kept_from;
    struct journal_retention limits = *retention;
    if (limits.age_us > 0 && !wall_is_believed(&engine->wall, engine->options.os)) {
        limits.age_us = INT64_MAX;
    }
    if (!journal_retained_from(engine->options.os, dir, &limits, &kept_from, &diags)) {
        log_diags(&diags);
        kept_from = 0;
    }
    diag_list_fini(&diags);
    return kept_from < before ? kept_from : before;
}

/* Up to where an input's journal is given back. */
static uint64_t
released_before(const struct engine *engine, const struct input *input)
{
    if (input->kind == INPUT_STREAM) {
        return unretained_before(engine, input->dir, &input->retention,
                                 unneeded_before(engine, input));
    }
    uint64_t before = committed_position(&engine->committed, bytes_of_string(input->stream));
    if (input->kind != INPUT_MESSAGES) {
        return before;
    }
    const struct engine_source *source = &engine->options.source;
    before -= before < source->kept_bytes ? before : source->kept_bytes;
    int64_t free_bytes = source->history.age_us == 0
                                 ? 0
                                 : engine->options.os->free_bytes(engine->options.os, input->dir);
    return free_bytes <= source->history_free_bytes
                   ? before
                   : unretained_before(engine, input->dir, &source->history, before);
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
        bool is_absent =
                (input->kind == INPUT_FAILURES && failure_log_tail(engine->failures) == 0) ||
                (input->kind == INPUT_CLOCK && engine_clock_tail(engine) == 0);
        if (!is_absent && input->rule == NULL &&
            !journal_trim(engine->options.os, input->dir, released_before(engine, input),
                          &diags)) {
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
    bool same = before->generation > 0 && !engine_has_changed_flow(engine) &&
                engine->committed_flows == engine->flow_count &&
                draft->stream_count == before->stream_count &&
                draft->sink_count == before->sink_count;
    for (size_t i = 0; same && i < draft->stream_count; i++) {
        same = bytes_equal(draft->streams[i].name, before->streams[i].name) &&
               draft->streams[i].position == before->streams[i].position &&
               draft->streams[i].ids_from == before->streams[i].ids_from;
    }
    for (size_t i = 0; same && i < draft->sink_count; i++) {
        const struct checkpoint_sink *a = &draft->sinks[i], *b = &before->sinks[i];
        same = bytes_equal(a->name, b->name) && a->head == b->head && a->tail == b->tail &&
               a->records == b->records;
    }
    return same;
}

bool
engine_commit_cut(struct engine *engine, struct diag_list *diags)
{
    struct draft draft = {.checkpoint.generation = engine->committed.generation + 1};
    draft_streams(engine, &draft);
    bool drafted = draft_sinks(engine, &draft, diags);
    if (drafted && is_as_committed(engine, &draft.checkpoint)) {
        arena_fini(&draft.arena);
        return true;
    }
    draft_rules(engine, &draft);
    bool saved = drafted && sync_streams(engine, diags) &&
                 checkpoint_save(engine->options.os, engine->options.data_dir, &draft.checkpoint,
                                 diags);
    arena_fini(&draft.states);
    if (!saved) {
        arena_fini(&draft.arena);
        return false;
    }
    release(engine, &draft);
    engine_clock_forget_turn(engine);
    note_committed_flows(engine, &draft);
    pthread_mutex_lock(&engine->lock);
    arena_fini(&engine->committed_arena);
    engine->committed = draft.checkpoint;
    engine->committed_sinks = draft.sinks;
    engine->committed_arena = draft.arena;
    pthread_mutex_unlock(&engine->lock);
    return true;
}

void
engine_forget_closed_sinks(struct engine *engine, const struct generation *next)
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

void
engine_forget_named_sink(struct engine *engine)
{
    struct bytes name = bytes_of_string(engine->forgotten);
    bool is_running = false;
    for (size_t i = 0; engine->current != NULL && i < engine->current->sink_count; i++) {
        is_running |= bytes_equal_string(name, engine->current->sinks[i]->name);
    }
    engine->forgotten_records = 0;
    for (size_t i = 0; i < engine->committed.sink_count && !is_running; i++) {
        struct checkpoint_sink *mark = &engine->committed_sinks[i];
        if (bytes_equal(mark->name, name)) {
            engine->forgotten_records = mark->records;
            mark->head = mark->tail;
            mark->records = 0;
            engine->moved = true;
        }
    }
    engine->forgotten = NULL;
}
