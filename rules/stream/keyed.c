/*
 * One run a key, for fleets whose clocks do not agree: each has its own watermark and windows.
 *
 * Children are whole runs of the same program; their rows go out through the parent, and their
 * memory counts there. A key that holds no state keeps its child, because that remembers how far
 * its time has come; the rule's limit bounds how many there are.
 */
#include "program.h"

#include "base/map.h"
#include "base/mem.h"
#include "key.h"

#include <stdlib.h>

struct keyed_child {
    struct stream_run *run;
    size_t size;
    char bytes[];
};

struct stream_keyed {
    struct map children; /* -> struct keyed_child */
    struct buf key;
};

enum { CHILD_OVERHEAD_BYTES = 1024 }; /* of a run without state, about */

static struct stream_keyed *
keyed_of(struct stream_run *run)
{
    if (run->keyed == NULL) {
        run->keyed = mem_new(struct stream_keyed);
    }
    return run->keyed;
}

/* The members' texts as they stand; what is no object has the empty key. */
static void
encode_key(struct stream_run *run, struct bytes payload, struct buf *out)
{
    const struct stream_program *program = run->program;
    struct json json;
    struct json_error error;
    buf_clear(out);
    if (!json_parse(&json, payload, JSON_DEPTH_MAX_DEFAULT, &run->arena, &error) ||
        json.nodes[0].kind != JSON_OBJECT) {
        return;
    }
    for (size_t i = 0; i < program->scope_count; i++) {
        uint32_t member = json_member(&json, 0, program->scope[i]);
        wire_put_bytes(out, member == 0 ? BYTES("") : json_raw(&json, member));
    }
}

static struct stream_run *
child_new(struct stream_run *run, struct bytes key)
{
    struct keyed_child *child = mem_alloc(sizeof *child + key.size + 1);
    child->size = key.size;
    memcpy(child->bytes, key.size == 0 ? "" : key.data, key.size);
    child->run = stream_run_new(run->program, &run->output);
    child->run->parent = run;
    map_put(&keyed_of(run)->children, bytes_of(child->bytes, child->size), child);
    return child->run;
}

struct stream_run *
stream_keyed_run(struct stream_run *run, struct bytes payload)
{
    struct stream_keyed *keyed = keyed_of(run);
    encode_key(run, payload, &keyed->key);
    struct bytes key = keyed->key.size == 0 ? BYTES("") : buf_bytes(&keyed->key);
    struct keyed_child *child = map_find(&keyed->children, key);
    if (child != NULL) {
        return child->run;
    }
    return stream_take(run, CHILD_OVERHEAD_BYTES + key.size) ? child_new(run, key) : NULL;
}

static int
compare_children(const void *a, const void *b)
{
    const struct keyed_child *x = *(struct keyed_child *const *)a;
    const struct keyed_child *y = *(struct keyed_child *const *)b;
    return bytes_compare(bytes_of(x->bytes, x->size), bytes_of(y->bytes, y->size));
}

/* In the order of keys, so that rows always come in the same order. */
void
stream_keyed_each(const struct stream_run *run,
                  void (*each)(void *context, struct stream_run *child), void *context)
{
    if (run->keyed == NULL) {
        return;
    }
    const struct map *children = &run->keyed->children;
    struct keyed_child **sorted = mem_new_array(struct keyed_child *, children->count + 1);
    size_t cursor = 0, count = 0;
    struct bytes key;
    void *value;
    while (map_next(children, &cursor, &key, &value)) {
        sorted[count++] = value;
    }
    qsort(sorted, count, sizeof *sorted, compare_children);
    for (size_t i = 0; i < count; i++) {
        each(context, sorted[i]->run);
    }
    free(sorted);
}

void
stream_keyed_free(struct stream_run *run)
{
    size_t cursor = 0;
    struct bytes key;
    void *value;
    if (run->keyed == NULL) {
        return;
    }
    while (map_next(&run->keyed->children, &cursor, &key, &value)) {
        stream_run_free(((struct keyed_child *)value)->run);
        free(value);
    }
    map_fini(&run->keyed->children);
    buf_fini(&run->keyed->key);
    free(run->keyed);
    run->keyed = NULL;
}

/* varint count | each: counted key, counted state */
void
stream_keyed_save(const struct stream_run *run, struct buf *out)
{
    size_t cursor = 0;
    struct bytes key;
    void *value;
    struct buf state = {0};
    wire_put_varint(out, run->keyed == NULL ? 0 : run->keyed->children.count);
    while (run->keyed != NULL && map_next(&run->keyed->children, &cursor, &key, &value)) {
        buf_clear(&state);
        stream_run_save(((struct keyed_child *)value)->run, &state);
        wire_put_bytes(out, key);
        wire_put_bytes(out, buf_bytes(&state));
    }
    buf_fini(&state);
}

bool
stream_keyed_load(struct stream_run *run, struct wire_reader *reader)
{
    uint64_t count = wire_get_varint(reader);
    for (uint64_t i = 0; i < count && !reader->failed; i++) {
        struct bytes key = wire_get_bytes(reader);
        struct bytes state = wire_get_bytes(reader);
        if (reader->failed || map_find(&keyed_of(run)->children, key) != NULL ||
            run->program->scope_count == 0 || !stream_run_load(child_new(run, key), state)) {
            return false;
        }
    }
    return !reader->failed;
}
