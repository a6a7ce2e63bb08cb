/* Groups: keys, accumulators, rows that come out. */
#include "group.h"

#include "base/mem.h"
#include "key.h"

#include <stdlib.h>

enum { GROUP_OVERHEAD_BYTES = 48 }; /* of a slot in a map, and of malloc */

bool
group_key(const struct group_plan *plan, const struct stream_op *op, struct stream_run *run,
          const struct stream_value *row, struct buf *out)
{
    buf_clear(out);
    for (size_t i = 0; i < plan->key_count; i++) {
        struct stream_value value;
        if (!stream_op_eval(op, run, plan->keys[i], row, &value)) {
            return false;
        }
        stream_key_put(out, plan->key_types[i], &value);
    }
    return true;
}

static size_t
group_size(const struct group_plan *plan, size_t key_size)
{
    return sizeof(struct group) + plan->aggregate_count * sizeof(struct accumulator) + key_size;
}

struct group *
group_new(const struct group_plan *plan, struct stream_run *run, struct bytes key)
{
    if (run != NULL && !stream_take(run, group_size(plan, key.size) + GROUP_OVERHEAD_BYTES)) {
        return NULL;
    }
    struct group *group = mem_alloc_zeroed(1, group_size(plan, key.size) + 1);
    group->key_size = key.size;
    group->key = (char *)&group->accumulators[plan->aggregate_count];
    if (key.size > 0) {
        memcpy(group->key, key.data, key.size);
    }
    return group;
}

struct group *
group_of(const struct group_plan *plan, struct map *groups, struct stream_run *run,
         struct bytes key)
{
    key = key.size == 0 ? BYTES("") : key;
    struct group *group = map_find(groups, key);
    if (group == NULL) {
        group = group_new(plan, run, key);
        if (group != NULL) {
            map_put(groups, bytes_of(group->key, group->key_size), group);
        }
    }
    return group;
}

void
group_take(const struct group_plan *plan, struct group *group, const struct stream_op *op,
           struct stream_run *run, const struct stream_value *row)
{
    for (size_t i = 0; i < plan->aggregate_count; i++) {
        struct accumulator *accumulator = &group->accumulators[i];
        size_t before = aggregate_footprint(accumulator);
        if (!aggregate_take(plan->aggregates[i], accumulator, op, run, row)) {
            return;
        }
        stream_grew(run, aggregate_footprint(accumulator) - before);
    }
    group->rows++;
}

void
group_merge(const struct group_plan *plan, struct group *into, const struct group *from,
            struct arena *arena)
{
    for (size_t i = 0; i < plan->aggregate_count; i++) {
        aggregate_merge(plan->aggregates[i], &into->accumulators[i], &from->accumulators[i],
                        arena);
    }
    into->rows += from->rows;
}

void
group_emit(const struct group_plan *plan, const struct group *group, struct stream_op *op,
           struct stream_run *run, int64_t start_ms, int64_t end_ms)
{
    struct stream_value *row = arena_alloc(&run->arena, op->plan->schema.count * sizeof *row);
    struct wire_reader reader = wire_reader(bytes_of(group->key, group->key_size));
    struct stream_value *at = row;
    for (size_t i = 0; i < plan->key_count; i++) {
        *at++ = stream_key_get(&reader, plan->key_types[i], &run->arena);
    }
    const struct zone *zone = plan->is_local ? run->context.zone : NULL;
    at[GROUP_START] = stream_integer(start_ms);
    at[GROUP_END] = stream_integer(end_ms);
    at[GROUP_TIME] = stream_integer(stream_instant_ms(zone, end_ms) - 1);
    at += GROUP_BOUNDS;
    for (size_t i = 0; i < plan->aggregate_count; i++) {
        if (!aggregate_finish(plan->aggregates[i], &group->accumulators[i], &run->arena, at++)) {
            run->stats.failed++;
            stream_reject(run, "the result of an aggregate is out of range");
            return;
        }
    }
    stream_push(op, run, row);
}

static int
compare_groups(const void *a, const void *b)
{
    const struct group *x = *(struct group *const *)a, *y = *(struct group *const *)b;
    return bytes_compare(bytes_of(x->key, x->key_size), bytes_of(y->key, y->key_size));
}

struct group **
group_sorted(const struct map *groups, struct stream_run *run)
{
    struct group **sorted = arena_alloc(&run->arena, (groups->count + 1) * sizeof *sorted);
    size_t count = 0, cursor = 0;
    struct bytes key;
    void *value;
    while (map_next(groups, &cursor, &key, &value)) {
        sorted[count++] = value;
    }
    qsort(sorted, count, sizeof *sorted, compare_groups);
    return sorted;
}

void
group_free(const struct group_plan *plan, struct group *group, struct stream_run *run)
{
    size_t size = group_size(plan, group->key_size) + GROUP_OVERHEAD_BYTES;
    for (size_t i = 0; i < plan->aggregate_count; i++) {
        size += aggregate_footprint(&group->accumulators[i]);
        aggregate_fini(&group->accumulators[i]);
    }
    if (run != NULL) {
        stream_give(run, size);
    }
    free(group);
}

void
group_free_all(const struct group_plan *plan, struct map *groups, struct stream_run *run)
{
    size_t cursor = 0;
    struct bytes key;
    void *value;
    while (map_next(groups, &cursor, &key, &value)) {
        group_free(plan, value, run);
    }
    map_fini(groups);
    *groups = (struct map){0};
}

/* ---- snapshots: counted key | signed rows | accumulators ---- */

void
group_save(const struct group_plan *plan, const struct group *group, struct buf *out)
{
    wire_put_bytes(out, bytes_of(group->key, group->key_size));
    wire_put_signed(out, group->rows);
    for (size_t i = 0; i < plan->aggregate_count; i++) {
        aggregate_save(plan->aggregates[i], &group->accumulators[i], out);
    }
}

struct group *
group_load(const struct group_plan *plan, struct wire_reader *reader)
{
    struct group *group = group_new(plan, NULL, wire_get_bytes(reader));
    group->rows = wire_get_signed(reader);
    for (size_t i = 0; i < plan->aggregate_count; i++) {
        if (reader->failed ||
            !aggregate_load(plan->aggregates[i], &group->accumulators[i], reader)) {
            group_free(plan, group, NULL);
            return NULL;
        }
    }
    return group;
}

void
group_save_all(const struct group_plan *plan, const struct map *groups, struct buf *out)
{
    size_t cursor = 0;
    struct bytes key;
    void *value;
    wire_put_varint(out, groups->count);
    while (map_next(groups, &cursor, &key, &value)) {
        group_save(plan, value, out);
    }
}

bool
group_load_all(const struct group_plan *plan, struct map *groups, struct wire_reader *reader)
{
    uint64_t count = wire_get_varint(reader);
    for (uint64_t i = 0; i < count && !reader->failed; i++) {
        struct group *group = group_load(plan, reader);
        if (group == NULL) {
            return false;
        }
        struct group *twin = map_put(groups, bytes_of(group->key, group->key_size), group);
        if (twin != NULL) {
            group_free(plan, twin, NULL);
        }
    }
    return !reader->failed;
}
