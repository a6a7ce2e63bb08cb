/*
 * SESSION windows, and STAGGER windows of Kinesis: rows of one key whose distance is at most the
 * gap.
 *
 * A row opens [t, t + gap); what overlaps or touches it of the same key becomes one window, several
 * at a time when the row bridges them. The merged window decides whether a row is late. A session
 * that fired is gone and cannot be extended.
 *
 * A STAGGER window is opened by a key's first row and is not extended by the others.
 *
 * Each key holds its open sessions in order (they are disjoint, so ends are in order too), and has
 * a place in a heap, at the end of its first session or earlier.
 */
#include "group.h"

#include "base/mem.h"

#include <stdlib.h>

struct session {
    struct session *next;
    int64_t start_ms, end_ms; /* instants */
    struct group *group;
};

struct session_key {
    struct session *first;
    int64_t scheduled_ms; /* its place in the heap that counts; INT64_MAX: none does */
    size_t places;        /* in the heap, with those that do not count any more */
    size_t size;
    char bytes[];
};

struct heap_item {
    int64_t end_ms;
    struct session_key *key;
};

struct session_op {
    struct stream_op op;
    struct map keys; /* -> struct session_key */
    struct heap_item *heap;
    size_t heap_count, heap_capacity;
    struct buf key;
};

/* ---- the heap: the least end first, among equals the least key ---- */

static bool
before(const struct heap_item *a, const struct heap_item *b)
{
    if (a->end_ms != b->end_ms) {
        return a->end_ms < b->end_ms;
    }
    return bytes_compare(bytes_of(a->key->bytes, a->key->size),
                         bytes_of(b->key->bytes, b->key->size)) < 0;
}

static void
heap_push(struct session_op *sessions, struct heap_item item)
{
    sessions->heap = mem_grow(sessions->heap, sessions->heap_count, &sessions->heap_capacity,
                              sizeof *sessions->heap);
    size_t at = sessions->heap_count++;
    while (at > 0 && before(&item, &sessions->heap[(at - 1) / 2])) {
        sessions->heap[at] = sessions->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    sessions->heap[at] = item;
}

static struct heap_item
heap_pop(struct session_op *sessions)
{
    struct heap_item top = sessions->heap[0], last = sessions->heap[--sessions->heap_count];
    size_t at = 0, count = sessions->heap_count;
    for (;;) {
        size_t child = at * 2 + 1;
        if (child + 1 < count && before(&sessions->heap[child + 1], &sessions->heap[child])) {
            child++;
        }
        if (child >= count || !before(&sessions->heap[child], &last)) {
            break;
        }
        sessions->heap[at] = sessions->heap[child];
        at = child;
    }
    if (count > 0) {
        sessions->heap[at] = last;
    }
    return top;
}

static void
schedule(struct session_op *sessions, struct session_key *key)
{
    if (key->first != NULL && key->first->end_ms < key->scheduled_ms) {
        key->scheduled_ms = key->first->end_ms;
        key->places++;
        heap_push(sessions, (struct heap_item){key->scheduled_ms, key});
    }
}

/* ---- rows ---- */

static struct session_key *
key_of(struct session_op *sessions, struct bytes bytes)
{
    bytes = bytes.size == 0 ? BYTES("") : bytes;
    struct session_key *key = map_find(&sessions->keys, bytes);
    if (key == NULL) {
        key = mem_alloc_zeroed(1, sizeof *key + bytes.size + 1);
        key->scheduled_ms = INT64_MAX;
        key->size = bytes.size;
        memcpy(key->bytes, bytes.data, bytes.size);
        map_put(&sessions->keys, bytes_of(key->bytes, key->size), key);
    }
    return key;
}

static void
forget_if_empty(struct session_op *sessions, struct session_key *key)
{
    if (key->first == NULL && key->places == 0) {
        map_remove(&sessions->keys, bytes_of(key->bytes, key->size));
        free(key);
    }
}

static void
session_free(const struct window_plan *plan, struct session *session, struct stream_run *run)
{
    group_free(&plan->group, session->group, run);
    free(session);
}

/* The session that holds [start, end), made of all that it overlaps or touches; NULL: no room. */
static struct session *
open_session(struct session_op *sessions, struct stream_run *run, struct session_key *key,
             int64_t start_ms, int64_t end_ms)
{
    const struct window_plan *plan = (const struct window_plan *)sessions->op.plan;
    struct session **at = &key->first;
    while (*at != NULL && (*at)->end_ms < start_ms) {
        at = &(*at)->next;
    }
    struct session *session = *at;
    if (session == NULL || session->start_ms > end_ms) {
        struct group *group = group_new(&plan->group, run, bytes_of(key->bytes, key->size));
        if (group == NULL) {
            return NULL;
        }
        session = mem_new(struct session);
        *session = (struct session){*at, start_ms, end_ms, group};
        *at = session;
        return session;
    }
    if (plan->shape.kind == WINDOW_STAGGER) {
        return session;
    }
    session->start_ms = start_ms < session->start_ms ? start_ms : session->start_ms;
    session->end_ms = end_ms > session->end_ms ? end_ms : session->end_ms;
    while (session->next != NULL && session->next->start_ms <= session->end_ms) {
        struct session *merged = session->next;
        group_merge(&plan->group, session->group, merged->group, &run->arena);
        session->end_ms = merged->end_ms > session->end_ms ? merged->end_ms : session->end_ms;
        session->next = merged->next;
        session_free(plan, merged, run);
    }
    return session;
}

/* Whether a row that ends here alone would touch an open session. */
static bool
touches_open(const struct session_key *key, int64_t start_ms, int64_t end_ms)
{
    for (const struct session *s = key->first; s != NULL; s = s->next) {
        if (s->start_ms <= end_ms && s->end_ms >= start_ms) {
            return true;
        }
    }
    return false;
}

static void
take(struct session_op *sessions, struct stream_run *run, int64_t time_ms, int64_t fired_ms,
     const struct stream_value *row)
{
    const struct window_plan *plan = (const struct window_plan *)sessions->op.plan;
    int64_t end_ms = time_ms + plan->shape.size_ms;
    if (!group_key(&plan->group, &sessions->op, run, row, &sessions->key)) {
        return;
    }
    struct session_key *key = key_of(sessions, buf_bytes(&sessions->key));
    if (end_ms - 1 <= fired_ms && !touches_open(key, time_ms, end_ms)) {
        run->stats.late++;
        stream_reject(run, "late: its session has closed");
    } else {
        struct session *session = open_session(sessions, run, key, time_ms, end_ms);
        if (session != NULL) {
            group_take(&plan->group, session->group, &sessions->op, run, row);
        }
        schedule(sessions, key);
    }
    forget_if_empty(sessions, key);
}

static void
row(struct stream_op *op, struct stream_run *run, unsigned port, const struct stream_value *values)
{
    const struct window_plan *plan = (const struct window_plan *)op->plan;
    int64_t time_ms;
    if (!stream_row_time(op, run, plan->time, values, &time_ms)) {
        return;
    }
    /* In processing time the clock has fired what is over before it let the row through. */
    int64_t fired_ms = plan->time == NULL ? INT64_MIN : op->watermark_ms;
    take((struct session_op *)op, run, time_ms, fired_ms, values);
}

/* ---- firing ---- */

static void
fire_first(struct session_op *sessions, struct stream_run *run, struct session_key *key)
{
    const struct window_plan *plan = (const struct window_plan *)sessions->op.plan;
    const struct zone *zone = plan->group.is_local ? run->context.zone : NULL;
    struct session *session = key->first;
    key->first = session->next;
    if (session->group->rows > 0) {
        group_emit(&plan->group, session->group, &sessions->op, run,
                   stream_local_ms(zone, session->start_ms),
                   stream_local_ms(zone, session->end_ms));
    }
    session_free(plan, session, run);
}

static void
fire_until(struct session_op *sessions, struct stream_run *run, int64_t ms)
{
    while (sessions->heap_count > 0 && sessions->heap[0].end_ms - 1 <= ms) {
        struct heap_item item = heap_pop(sessions);
        struct session_key *key = item.key;
        key->places--;
        if (key->scheduled_ms == item.end_ms) {
            key->scheduled_ms = INT64_MAX;
            if (key->first != NULL && key->first->end_ms == item.end_ms) {
                fire_first(sessions, run, key);
            }
            schedule(sessions, key);
        }
        forget_if_empty(sessions, key);
    }
}

static void
watermark(struct stream_op *op, struct stream_run *run, unsigned port, int64_t ms)
{
    const struct window_plan *plan = (const struct window_plan *)op->plan;
    if (plan->time != NULL) {
        fire_until((struct session_op *)op, run, ms);
    }
    stream_push_watermark(op, run, ms);
}

static void
tick(struct stream_op *op, struct stream_run *run)
{
    fire_until((struct session_op *)op, run, run->context.now_ms - 1);
}

static void
set_back(struct stream_op *op, struct stream_run *run)
{
    if (((const struct window_plan *)op->plan)->time == NULL) {
        fire_until((struct session_op *)op, run, INT64_MAX - 1);
    }
}

static int64_t
next_tick(const struct stream_op *op)
{
    const struct session_op *sessions = (const struct session_op *)op;
    const struct window_plan *plan = (const struct window_plan *)op->plan;
    bool waits = plan->time == NULL && sessions->heap_count > 0;
    return waits ? sessions->heap[0].end_ms : INT64_MAX;
}

/* ---- life ---- */

static void
close(struct stream_op *op)
{
    struct session_op *sessions = (struct session_op *)op;
    size_t cursor = 0;
    struct bytes name;
    void *value;
    while (map_next(&sessions->keys, &cursor, &name, &value)) {
        struct session_key *key = value;
        while (key->first != NULL) {
            struct session *session = key->first;
            key->first = session->next;
            session_free((const struct window_plan *)op->plan, session, NULL);
        }
        free(key);
    }
    map_fini(&sessions->keys);
    free(sessions->heap);
    buf_fini(&sessions->key);
}

static size_t
count_sessions(const struct session_op *sessions)
{
    size_t cursor = 0, count = 0;
    struct bytes name;
    void *value;
    while (map_next(&sessions->keys, &cursor, &name, &value)) {
        for (const struct session *s = ((struct session_key *)value)->first; s != NULL;
             s = s->next) {
            count++;
        }
    }
    return count;
}

/* varint count | for each: signed start, signed end, its group (with its key) */
static void
save(const struct stream_op *op, struct buf *out)
{
    const struct session_op *sessions = (const struct session_op *)op;
    const struct window_plan *plan = (const struct window_plan *)op->plan;
    size_t cursor = 0;
    struct bytes name;
    void *value;
    wire_put_varint(out, count_sessions(sessions));
    while (map_next(&sessions->keys, &cursor, &name, &value)) {
        for (const struct session *s = ((struct session_key *)value)->first; s != NULL;
             s = s->next) {
            wire_put_signed(out, s->start_ms);
            wire_put_signed(out, s->end_ms);
            group_save(&plan->group, s->group, out);
        }
    }
}

static bool
load(struct stream_op *op, struct wire_reader *reader)
{
    struct session_op *sessions = (struct session_op *)op;
    const struct window_plan *plan = (const struct window_plan *)op->plan;
    uint64_t count = wire_get_varint(reader);
    for (uint64_t i = 0; i < count && !reader->failed; i++) {
        int64_t start_ms = wire_get_signed(reader), end_ms = wire_get_signed(reader);
        struct group *group = group_load(&plan->group, reader);
        if (group == NULL) {
            return false;
        }
        struct session_key *key = key_of(sessions, bytes_of(group->key, group->key_size));
        struct session **at = &key->first;
        while (*at != NULL && (*at)->start_ms < start_ms) {
            at = &(*at)->next;
        }
        struct session *session = mem_new(struct session);
        *session = (struct session){*at, start_ms, end_ms, group};
        *at = session;
        schedule(sessions, key);
    }
    return wire_at_end(reader);
}

const struct stream_op_class stream_session_class = {
        .name = "session",
        .size = sizeof(struct session_op),
        .close = close,
        .row = row,
        .watermark = watermark,
        .tick = tick,
        .set_back = set_back,
        .next_tick = next_tick,
        .save = save,
        .load = load,
};
