/*
 * MATCH_RECOGNIZE: rows of one key that follow each other, in a pattern of conditions.
 *
 * As Flink does it (strict contiguity): each row may begin an attempt; an attempt takes every next
 * row of its key, or dies. A greedy step takes a row as long as its condition holds, only then the
 * next step is asked; a reluctant one asks the next step first, and goes on both ways when both
 * would do. An attempt whose last step is satisfied is a match. It comes out when no attempt that
 * began earlier is left, for that would have the better right to these rows; what AFTER MATCH says
 * of where to go on then ends other attempts.
 *
 * Because rows follow each other, an attempt is no more than where it began and how many rows each
 * step has taken. A key keeps its rows from where its oldest attempt began.
 */
#include "match.h"

#include "base/mem.h"

#include <stdlib.h>

enum { ROW_OVERHEAD_BYTES = 48 };

struct attempt {
    uint64_t start; /* number of its first row, within the key */
    uint32_t step;  /* the one that took the last row */
    bool is_complete;
    uint32_t counts[];
};

struct match_key {
    struct kept_rows rows;
    uint64_t first; /* number of rows.items[0] */
    struct attempt **attempts; /* in the order of their starts */
    size_t attempt_count, attempt_capacity;
    size_t size;
    char bytes[];
};

struct match_op {
    struct stream_op op;
    struct map keys;
    struct kept_rows waiting; /* for the watermark */
    size_t held;              /* matches that wait for an earlier attempt */
    int64_t due_ms;           /* in processing time: when to look whether it is gone */
    struct buf key;
};

static const struct match_plan *
plan_of(const struct match_op *match)
{
    return (const struct match_plan *)match->op.plan;
}

const struct stream_value *
match_row(const struct match_view *view, uint32_t step, size_t n, bool from_last)
{
    size_t first = 0, count = view->row_count;
    if (step != MATCH_ANY) {
        for (uint32_t i = 0; i < step; i++) {
            first += view->counts[i];
        }
        count = view->counts[step];
    }
    return n >= count ? NULL : view->rows[from_last ? first + count - 1 - n : first + n];
}

/* ---- attempts ---- */

/* What an advance works on: the attempt as it is tried, and what it may become. */
struct advance {
    struct match_op *match;
    struct stream_run *run;
    struct match_key *key;
    uint64_t start;
    struct match_view view;
    uint32_t *counts;
    struct attempt **next; /* successors */
    size_t next_count, next_capacity;
};

static struct attempt *
attempt_new(const struct match_plan *plan, uint64_t start, uint32_t step, const uint32_t *counts)
{
    size_t size = plan->step_count * sizeof(uint32_t);
    struct attempt *attempt = mem_alloc(sizeof *attempt + size);
    attempt->start = start;
    attempt->step = step;
    attempt->is_complete = false;
    memcpy(attempt->counts, counts, size);
    return attempt;
}

/* Whether nothing more is needed, and nothing more may come. */
static bool
is_complete(const struct match_plan *plan, uint32_t step, uint32_t count)
{
    const struct match_step *last = &plan->steps[step];
    bool done = count == last->most || (last->reluctant && count >= last->least);
    for (size_t i = step + 1; i < plan->step_count && done; i++) {
        done = plan->steps[i].least == 0;
    }
    return done;
}

static void
add_next(struct advance *advance, struct attempt *attempt)
{
    advance->next = mem_grow(advance->next, advance->next_count, &advance->next_capacity,
                             sizeof *advance->next);
    advance->next[advance->next_count++] = attempt;
}

/* Lets the step take the row if its condition holds. A condition without value does not. */
static bool
take(struct advance *advance, uint32_t step)
{
    const struct match_plan *plan = plan_of(advance->match);
    const struct stream_node *condition = plan->steps[step].condition;
    struct stream_value pass = stream_integer(1);
    advance->counts[step]++;
    advance->run->context.match = &advance->view;
    if (condition != NULL &&
        !stream_op_eval(&advance->match->op, advance->run, condition,
                        advance->view.rows[advance->view.row_count - 1], &pass)) {
        pass = stream_null();
    }
    bool taken = !pass.is_null && pass.integer != 0;
    if (taken) {
        struct attempt *next = attempt_new(plan, advance->start, step, advance->counts);
        next->is_complete = is_complete(plan, step, advance->counts[step]);
        add_next(advance, next);
    }
    advance->counts[step]--;
    return taken;
}

/* The ways that a row can go on from a step. */
static void
explore(struct advance *advance, uint32_t step)
{
    const struct match_plan *plan = plan_of(advance->match);
    for (; step < plan->step_count; step++) {
        const struct match_step *here = &plan->steps[step];
        bool may_take = advance->counts[step] < here->most;
        bool may_leave = advance->counts[step] >= here->least;
        if (here->reluctant && may_leave && step + 1 < plan->step_count) {
            explore(advance, step + 1);
            if (may_take) {
                take(advance, step);
            }
            return;
        }
        if ((may_take && take(advance, step)) || !may_leave) {
            return;
        }
    }
}

/* ---- a match comes out ---- */

static const struct stream_value *const *
rows_of(struct match_op *match, struct stream_run *run, const struct match_key *key,
        uint64_t start, size_t count)
{
    const struct match_plan *plan = plan_of(match);
    const struct stream_value **rows = arena_alloc(&run->arena, (count + 1) * sizeof *rows);
    for (size_t i = 0; i < count; i++) {
        rows[i] = kept_row_values(kept_rows_at(&key->rows, (size_t)(start - key->first) + i),
                                  &plan->input, &run->arena);
    }
    return rows;
}

static void
emit(struct match_op *match, struct stream_run *run, const struct match_key *key,
     const struct attempt *attempt)
{
    const struct match_plan *plan = plan_of(match);
    size_t count = 0;
    for (size_t i = 0; i < plan->step_count; i++) {
        count += attempt->counts[i];
    }
    const struct match_view view = {
            .rows = rows_of(match, run, key, attempt->start, count),
            .row_count = count,
            .counts = attempt->counts,
            .step_count = plan->step_count,
    };
    struct stream_value *out = arena_alloc(&run->arena,
                                           (plan->op.schema.count + 1) * sizeof *out);
    struct wire_reader reader = wire_reader(bytes_of(key->bytes, key->size));
    for (size_t i = 0; i < plan->key_count; i++) {
        out[i] = stream_key_get(&reader, plan->key_types[i], &run->arena);
    }
    for (size_t i = 0; i < plan->measure_count; i++) {
        run->context.match = &view;
        if (!stream_op_eval(&match->op, run, plan->measures[i], view.rows[count - 1],
                            &out[plan->key_count + i])) {
            return;
        }
    }
    stream_push(&match->op, run, out);
}

/* The first row from which attempts may begin after a match. */
static uint64_t
resume_at(const struct match_plan *plan, const struct attempt *match)
{
    uint64_t at = match->start;
    switch (plan->skip) {
    case SKIP_TO_NEXT_ROW:
        return match->start + 1;
    case SKIP_PAST_LAST_ROW:
        for (size_t i = 0; i < plan->step_count; i++) {
            at += match->counts[i];
        }
        return at;
    case SKIP_TO_FIRST:
    case SKIP_TO_LAST:
        for (uint32_t i = 0; i < plan->skip_step; i++) {
            at += match->counts[i];
        }
        at += plan->skip == SKIP_TO_LAST && match->counts[plan->skip_step] > 0
                      ? match->counts[plan->skip_step] - 1
                      : 0;
        return at > match->start ? at : match->start + 1; /* the same match must not come again */
    }
    never("all ways to skip are listed");
}

/* ---- a row ---- */

static void
advance_one(struct advance *advance, const struct attempt *attempt, uint64_t start,
            uint64_t number)
{
    const struct match_plan *plan = plan_of(advance->match);
    size_t count = (size_t)(number - start) + 1;
    advance->start = start;
    advance->view.rows = rows_of(advance->match, advance->run, advance->key, start, count);
    advance->view.row_count = count;
    memset(advance->counts, 0, plan->step_count * sizeof *advance->counts);
    if (attempt != NULL) {
        memcpy(advance->counts, attempt->counts, plan->step_count * sizeof *advance->counts);
    }
    explore(advance, attempt == NULL ? 0 : attempt->step);
}

/* Frees the attempts that begin before `resume`; keeps the order. */
static void
drop_before(struct match_key *key, uint64_t resume)
{
    size_t kept = 0;
    for (size_t i = 0; i < key->attempt_count; i++) {
        if (key->attempts[i]->start < resume) {
            free(key->attempts[i]);
        } else {
            key->attempts[kept++] = key->attempts[i];
        }
    }
    key->attempt_count = kept;
}

static void
drop_rows(struct match_key *key, struct stream_run *run)
{
    uint64_t oldest = key->attempt_count == 0 ? UINT64_MAX : key->attempts[0]->start;
    while (key->rows.count > 0 && key->first < oldest) {
        struct kept_row row = kept_rows_shift(&key->rows);
        stream_give(run, row.size + ROW_OVERHEAD_BYTES);
        kept_row_fini(&row);
        key->first++;
    }
}

static bool
is_expired(const struct match_plan *plan, const struct match_key *key,
           const struct attempt *attempt, int64_t time_ms)
{
    const struct kept_row *first = kept_rows_at(&key->rows, (size_t)(attempt->start - key->first));
    return plan->within_ms > 0 && time_ms - first->time_ms > plan->within_ms;
}

/* Frees the attempts that have taken too long by `time_ms`. */
static void
drop_expired(const struct match_plan *plan, struct match_key *key, int64_t time_ms)
{
    size_t kept = 0;
    for (size_t i = 0; i < key->attempt_count; i++) {
        struct attempt *attempt = key->attempts[i];
        if (!attempt->is_complete && is_expired(plan, key, attempt, time_ms)) {
            free(attempt);
        } else {
            key->attempts[kept++] = attempt;
        }
    }
    key->attempt_count = kept;
}

/* Of attempts that began at the same row a match goes first: it is the one that was preferred. */
static size_t
first_match(const struct match_key *key)
{
    for (size_t i = 0; i < key->attempt_count && key->attempts[i]->start == key->attempts[0]->start;
         i++) {
        if (key->attempts[i]->is_complete) {
            return i;
        }
    }
    return SIZE_MAX;
}

static void
emit_matches(struct match_op *match, struct stream_run *run, struct match_key *key)
{
    size_t at;
    while (key->attempt_count > 0 && (at = first_match(key)) != SIZE_MAX) {
        uint64_t resume = resume_at(plan_of(match), key->attempts[at]);
        emit(match, run, key, key->attempts[at]);
        drop_before(key, resume);
    }
}

static size_t
count_held(const struct match_key *key)
{
    size_t held = 0;
    for (size_t i = 0; i < key->attempt_count; i++) {
        held += key->attempts[i]->is_complete;
    }
    return held;
}

/* The newest row of the key goes through all its attempts, and begins one. */
static void
advance_key(struct match_op *match, struct stream_run *run, struct match_key *key)
{
    const struct match_plan *plan = plan_of(match);
    uint64_t number = key->first + key->rows.count - 1;
    uint32_t counts[MATCH_ITEMS_MAX];
    struct advance advance = {.match = match, .run = run, .key = key, .counts = counts};
    advance.view.counts = counts;
    advance.view.step_count = plan->step_count;
    match->held -= count_held(key);
    drop_expired(plan, key, kept_rows_at(&key->rows, key->rows.count - 1)->time_ms);
    emit_matches(match, run, key);
    for (size_t i = 0; i < key->attempt_count; i++) {
        struct attempt *attempt = key->attempts[i];
        if (attempt->is_complete) {
            add_next(&advance, attempt);
            continue;
        }
        advance_one(&advance, attempt, attempt->start, number);
        free(attempt);
    }
    advance_one(&advance, NULL, number, number);
    free(key->attempts);
    key->attempts = advance.next;
    key->attempt_count = advance.next_count;
    key->attempt_capacity = advance.next_capacity;
    emit_matches(match, run, key);
    match->held += count_held(key);
    drop_rows(key, run);
}

static void
key_free(struct match_key *key)
{
    for (size_t i = 0; i < key->attempt_count; i++) {
        free(key->attempts[i]);
    }
    free(key->attempts);
    kept_rows_fini(&key->rows);
    free(key);
}

static struct match_key *
key_of(struct match_op *match, struct bytes bytes)
{
    bytes = bytes.size == 0 ? BYTES("") : bytes;
    struct match_key *key = map_find(&match->keys, bytes);
    if (key == NULL) {
        key = mem_alloc_zeroed(1, sizeof *key + bytes.size + 1);
        key->size = bytes.size;
        memcpy(key->bytes, bytes.data, bytes.size);
        map_put(&match->keys, bytes_of(key->bytes, key->size), key);
    }
    return key;
}

static void
forget_if_empty(struct match_op *match, struct match_key *key)
{
    if (key->attempt_count == 0) {
        map_remove(&match->keys, bytes_of(key->bytes, key->size));
        key_free(key);
    }
}

/* Takes over the kept row. */
static void
process(struct match_op *match, struct stream_run *run, struct kept_row kept)
{
    const struct match_plan *plan = plan_of(match);
    const struct stream_value *values = kept_row_values(&kept, &plan->input, &run->arena);
    buf_clear(&match->key);
    for (size_t i = 0; i < plan->key_count; i++) {
        struct stream_value value;
        if (!stream_op_eval(&match->op, run, plan->keys[i], values, &value)) {
            stream_give(run, kept.size + ROW_OVERHEAD_BYTES);
            kept_row_fini(&kept);
            return;
        }
        stream_key_put(&match->key, plan->key_types[i], &value);
    }
    struct match_key *key = key_of(match, buf_bytes(&match->key));
    kept_rows_push(&key->rows, kept);
    advance_key(match, run, key);
    forget_if_empty(match, key);
}

static void
row(struct stream_op *op, struct stream_run *run, unsigned port, const struct stream_value *values)
{
    struct match_op *match = (struct match_op *)op;
    const struct match_plan *plan = plan_of(match);
    int64_t time_ms;
    if (!stream_row_time(op, run, plan->time, values, &time_ms)) {
        return;
    }
    if (plan->time != NULL && time_ms <= op->watermark_ms) {
        run->stats.late++;
        stream_reject(run, "late: rows behind it have been matched");
        return;
    }
    struct kept_row kept = kept_row_of(&plan->input, values, time_ms, run->sequence);
    if (!stream_take(run, kept.size + ROW_OVERHEAD_BYTES)) {
        kept_row_fini(&kept);
    } else if (plan->time != NULL) {
        kept_rows_insert(&match->waiting, kept);
    } else {
        process(match, run, kept);
    }
}

static int
compare_keys(const void *a, const void *b)
{
    const struct match_key *x = *(struct match_key *const *)a, *y = *(struct match_key *const *)b;
    return bytes_compare(bytes_of(x->bytes, x->size), bytes_of(y->bytes, y->size));
}

/* Time alone ends attempts that took too long; matches that waited for them come out. */
static void
release_held(struct match_op *match, struct stream_run *run, int64_t time_ms)
{
    const struct match_plan *plan = plan_of(match);
    struct match_key **sorted = arena_alloc(&run->arena, (match->keys.count + 1) * sizeof *sorted);
    size_t count = 0, cursor = 0;
    struct bytes name;
    void *value;
    while (plan->within_ms > 0 && map_next(&match->keys, &cursor, &name, &value)) {
        sorted[count] = value;
        count += count_held(value) > 0;
    }
    qsort(sorted, count, sizeof *sorted, compare_keys);
    for (size_t i = 0; i < count; i++) {
        match->held -= count_held(sorted[i]);
        drop_expired(plan, sorted[i], time_ms);
        emit_matches(match, run, sorted[i]);
        match->held += count_held(sorted[i]);
        drop_rows(sorted[i], run);
        forget_if_empty(match, sorted[i]);
    }
    match->due_ms = time_ms + plan->within_ms / 4 + 1;
}

static void
watermark(struct stream_op *op, struct stream_run *run, unsigned port, int64_t ms)
{
    struct match_op *match = (struct match_op *)op;
    while (match->waiting.count > 0 && kept_rows_at(&match->waiting, 0)->time_ms <= ms) {
        process(match, run, kept_rows_shift(&match->waiting));
    }
    if (match->held > 0 && plan_of(match)->time != NULL) {
        release_held(match, run, ms);
    }
    stream_push_watermark(op, run, ms);
}

static void
tick(struct stream_op *op, struct stream_run *run)
{
    release_held((struct match_op *)op, run, run->context.now_ms);
}

static void
set_back(struct stream_op *op, struct stream_run *run)
{
    struct match_op *match = (struct match_op *)op;
    size_t cursor = 0;
    struct bytes name;
    void *value;
    if (plan_of(match)->time != NULL && op->watermark_ms != INT64_MIN) {
        return;
    }
    while (map_next(&match->keys, &cursor, &name, &value)) {
        kept_rows_set_back(&((struct match_key *)value)->rows, run->context.now_ms);
    }
    match->due_ms = run->context.now_ms;
}

/* Matches are held rarely, and then looked at as often as there is time. */
static int64_t
next_tick(const struct stream_op *op)
{
    const struct match_op *match = (const struct match_op *)op;
    const struct match_plan *plan = plan_of(match);
    return match->held > 0 && plan->time == NULL && plan->within_ms > 0 ? match->due_ms
                                                                        : INT64_MAX;
}

/* ---- life ---- */

static void
close(struct stream_op *op)
{
    struct match_op *match = (struct match_op *)op;
    size_t cursor = 0;
    struct bytes name;
    void *value;
    while (map_next(&match->keys, &cursor, &name, &value)) {
        key_free(value);
    }
    map_fini(&match->keys);
    kept_rows_fini(&match->waiting);
    buf_fini(&match->key);
}

/* waiting rows | varint keys | each: counted key, varint first, rows, varint attempts, each: varint
 * start, step, u8 complete, and counts */
static void
save(const struct stream_op *op, struct buf *out)
{
    const struct match_op *match = (const struct match_op *)op;
    const struct match_plan *plan = plan_of(match);
    size_t cursor = 0;
    struct bytes name;
    void *value;
    kept_rows_save(&match->waiting, out);
    wire_put_varint(out, match->keys.count);
    while (map_next(&match->keys, &cursor, &name, &value)) {
        const struct match_key *key = value;
        wire_put_bytes(out, name);
        wire_put_varint(out, key->first);
        kept_rows_save(&key->rows, out);
        wire_put_varint(out, key->attempt_count);
        for (size_t i = 0; i < key->attempt_count; i++) {
            wire_put_varint(out, key->attempts[i]->start);
            wire_put_varint(out, key->attempts[i]->step);
            wire_put_u8(out, key->attempts[i]->is_complete);
            for (size_t s = 0; s < plan->step_count; s++) {
                wire_put_varint(out, key->attempts[i]->counts[s]);
            }
        }
    }
}

static bool
load_attempts(const struct match_plan *plan, struct match_key *key, struct wire_reader *reader)
{
    uint64_t count = wire_get_varint(reader);
    for (uint64_t i = 0; i < count && !reader->failed; i++) {
        uint32_t counts[MATCH_ITEMS_MAX] = {0};
        uint64_t start = wire_get_varint(reader), step = wire_get_varint(reader), rows = 0;
        bool complete = wire_get_u8(reader) != 0;
        for (size_t s = 0; s < plan->step_count; s++) {
            counts[s] = (uint32_t)wire_get_varint(reader);
            rows += counts[s];
        }
        if (step >= plan->step_count || start < key->first || rows == 0 ||
            rows > key->first + key->rows.count - start) {
            return false;
        }
        key->attempts = mem_grow(key->attempts, key->attempt_count, &key->attempt_capacity,
                                 sizeof *key->attempts);
        key->attempts[key->attempt_count] = attempt_new(plan, start, (uint32_t)step, counts);
        key->attempts[key->attempt_count++]->is_complete = complete;
    }
    return !reader->failed;
}

static bool
load(struct stream_op *op, struct wire_reader *reader)
{
    struct match_op *match = (struct match_op *)op;
    if (!kept_rows_load(&match->waiting, reader)) {
        return false;
    }
    uint64_t count = wire_get_varint(reader);
    for (uint64_t i = 0; i < count && !reader->failed; i++) {
        struct match_key *key = key_of(match, wire_get_bytes(reader));
        if (key->rows.count > 0) {
            return false;
        }
        key->first = wire_get_varint(reader);
        if (!kept_rows_load(&key->rows, reader) ||
            !load_attempts(plan_of(match), key, reader)) {
            return false;
        }
        match->held += count_held(key);
    }
    return wire_at_end(reader);
}

const struct stream_op_class stream_match_class = {
        .name = "match",
        .size = sizeof(struct match_op),
        .close = close,
        .row = row,
        .watermark = watermark,
        .tick = tick,
        .set_back = set_back,
        .next_tick = next_tick,
        .save = save,
        .load = load,
};
