/*
 * The drivers of the simulated gateway, in a catalogue of its own instead of drivers/catalogue.c:
 *
 *   store     a local store: a batch and the last record ids are committed as one file
 *   upstream  a service that answers as it likes; also the sink of topics
 *   handler   what runs a function: emits each record into the function's stream
 *
 * Each also checks what outbox.h promises of order: within one life of the gateway a record that
 * was not handed over before comes behind all of its stream that were.
 */
#define _GNU_SOURCE
#include "world.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { STREAMS_MAX = 8, STATE_BYTES_MAX = 1 << 20, REFUSED_EVERY = 5, RETRY_EVERY = 4 };

/* How far a sink has come in a stream. */
struct place {
    char stream[32];
    struct record_id last;
};

struct instance {
    struct sim *sim;
    const struct driver_env *env;
    struct place seen[STREAMS_MAX]; /* the last one handed over in this life */
    size_t seen_count;
    struct place *handed; /* all of them */
    size_t handed_count;
    size_t handed_capacity;
    struct place stored[STREAMS_MAX]; /* the store's: committed with the rows */
    size_t stored_count;
    struct buf rows;
};

struct sim *
sim_of_env(const struct driver_env *env)
{
    /* The sinks' context, which `paths` lies in, is a member of the simulation. */
    return (struct sim *)((uintptr_t)env->paths - offsetof(struct sim, context.paths));
}

static bool
instance_open(void **out, const struct driver_env *env, const void *options,
              const struct driver_declaration *declaration, struct diag_list *diags)
{
    struct instance *instance = mem_new(struct instance);
    instance->sim = sim_of_env(env);
    instance->env = env;
    *out = instance;
    return true;
}

static void
instance_close(void *context)
{
    struct instance *instance = context;
    buf_fini(&instance->rows);
    free(instance->handed);
    free(instance);
}

/* The place of a stream in a list, made when it is new. */
static struct place *
place_of(struct place *places, size_t *count, struct bytes stream)
{
    for (size_t i = 0; i < *count; i++) {
        if (bytes_equal_string(stream, places[i].stream)) {
            return &places[i];
        }
    }
    check(*count < STREAMS_MAX);
    struct place *place = &places[(*count)++];
    *place = (struct place){0};
    snprintf(place->stream, sizeof place->stream, "%.*s", BYTES_ARG(stream));
    return place;
}

static bool
was_handed_over(const struct instance *instance, const char *stream, struct record_id id)
{
    for (size_t i = instance->handed_count; i > 0; i--) {
        const struct place *handed = &instance->handed[i - 1];
        if (record_id_compare(handed->last, id) == 0 && strcmp(handed->stream, stream) == 0) {
            return true;
        }
    }
    return false;
}

static void
check_order(struct instance *instance, const struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct sink_record *record = &batch->records[i];
        struct place *seen = place_of(instance->seen, &instance->seen_count, record->stream);
        bool is_new = record_id_compare(record->id, seen->last) > 0;
        if (!is_new && !was_handed_over(instance, seen->stream, record->id)) {
            sim_wrong(instance->sim, "%s: %s %" PRIu64 ".%u came only behind %" PRIu64 ".%u",
                      instance->env->name, seen->stream, record->id.position, record->id.output,
                      seen->last.position, seen->last.output);
        }
        if (is_new) {
            seen->last = record->id;
            instance->handed = mem_grow(instance->handed, instance->handed_count,
                                        &instance->handed_capacity, sizeof *instance->handed);
            instance->handed[instance->handed_count++] = *seen;
        }
    }
}

static void
answer_all(struct batch *batch, enum verdict verdict)
{
    for (size_t i = 0; i < batch->count; i++) {
        batch->outcomes[i] = (struct outcome){.verdict = verdict, .reason = BYTES("not now")};
    }
}

/* ---- the store ---- */

/* One line a stream: "last STREAM POSITION OUTPUT"; then one a row: "row STREAM POSITION OUTPUT
 * RULE PAYLOAD". */
static void
load_line(struct instance *store, struct bytes line)
{
    if (!bytes_starts_with(line, BYTES("last "))) {
        buf_append(&store->rows, line);
        buf_append_char(&store->rows, '\n');
        return;
    }
    char *text = bytes_to_string(line);
    char stream[32];
    struct record_id id;
    check(sscanf(text, "last %31s %" SCNu64 " %" SCNu32, stream, &id.position, &id.output) == 3);
    place_of(store->stored, &store->stored_count, bytes_of_string(stream))->last = id;
    free(text);
}

static void
store_load(struct instance *store)
{
    struct buf state = {0};
    buf_clear(&store->rows);
    store->stored_count = 0;
    if (os_read_file(store->env->os, "store/rows", STATE_BYTES_MAX, &state) == 0) {
        struct bytes rest = buf_bytes(&state);
        struct bytes line;
        while (rest.size > 0 && bytes_split(&rest, '\n', &line)) {
            load_line(store, line);
        }
    }
    buf_fini(&state);
}

static bool
store_open(void **out, const struct driver_env *env, const void *options,
           const struct driver_declaration *declaration, struct diag_list *diags)
{
    check(instance_open(out, env, options, declaration, diags));
    store_load(*out);
    return true;
}

static bool
store_commit(struct instance *store)
{
    struct buf state = {0};
    bool forgets = store->sim->setup.broken == BREAK_FORGET_LAST_ID;
    for (size_t i = 0; i < store->stored_count && !forgets; i++) {
        const struct place *place = &store->stored[i];
        buf_printf(&state, "last %s %" PRIu64 " %u\n", place->stream, place->last.position,
                   place->last.output);
    }
    buf_append(&state, buf_bytes(&store->rows));
    int result = os_replace_file(store->env->os, "store/rows", buf_bytes(&state), 0600);
    buf_fini(&state);
    return result == 0;
}

static void
store_write(void *context, struct batch *batch)
{
    struct instance *store = context;
    check_order(store, batch);
    if (sim_draw(store->sim, REFUSED_EVERY) == 0) {
        sim_event(store->sim, "store: %zu records, busy", batch->count);
        answer_all(batch, VERDICT_RETRY);
        return;
    }
    bool is_early = store->sim->setup.broken == BREAK_DONE_EARLY;
    bool is_good = !is_early || store_commit(store); /* the batch before */
    for (size_t i = 0; i < batch->count && is_good; i++) {
        const struct sink_record *record = &batch->records[i];
        struct place *place = place_of(store->stored, &store->stored_count, record->stream);
        if (record_id_compare(record->id, place->last) > 0) {
            place->last = record->id;
            buf_printf(&store->rows, "row %.*s %" PRIu64 " %u %.*s %.*s\n",
                       BYTES_ARG(record->stream), record->id.position, record->id.output,
                       BYTES_ARG(record->rule), BYTES_ARG(record->payload));
        }
    }
    is_good = is_good && (is_early || store_commit(store));
    sim_event(store->sim, "store: %zu records, %s", batch->count, is_good ? "done" : "failed");
    if (!is_good) {
        store_load(store);
    }
    answer_all(batch, is_good ? VERDICT_DONE : VERDICT_RETRY);
}

static const struct driver driver_store = {
        .name = "store",
        .summary = "a local store",
        .limits = {.records_max = 7, .bytes_max = 1 << 16, .linger_ms = 50, .timeout_ms = 1000},
        .needs_order = true,
        .open = store_open,
        .close = instance_close,
        .write = store_write,
};

/* ---- the upstream ---- */

static void
count_upstream(struct instance *upstream, const struct sink_record *record)
{
    struct sim *sim = upstream->sim;
    bool is_error = record->is_error_action;
    struct token *token = sim_token_of(
            sim, is_error ? bytes_slice(record->target, strlen("errors/"), record->target.size)
                          : record->payload);
    if (token == NULL) {
        sim_wrong(sim, "%s: got '%.*s', which nobody sent", upstream->env->name,
                  BYTES_ARG(record->payload));
    } else if (is_error) {
        token->errors++;
    } else if (strcmp(upstream->env->name, "topic") == 0) {
        token->topic++;
    } else {
        token->upstream++;
    }
}

/* Values that the service never takes. */
static bool
is_poison(struct instance *upstream, const struct sink_record *record)
{
    struct token *token = sim_token_of(upstream->sim, record->payload);
    return strcmp(upstream->env->name, "upstream") == 0 && token != NULL && token->value % 4 == 1;
}

static enum verdict
upstream_take(struct instance *upstream, const struct sink_record *record)
{
    bool is_moody = sim_draw(upstream->sim, RETRY_EVERY) == 0;
    if (is_moody) {
        return upstream->sim->setup.broken == BREAK_DROP_RETRIED ? VERDICT_DONE : VERDICT_RETRY;
    }
    if (is_poison(upstream, record)) {
        return VERDICT_REJECT;
    }
    if (!sim_act(upstream->sim)) {
        return VERDICT_RETRY;
    }
    count_upstream(upstream, record);
    return VERDICT_DONE;
}

static void
upstream_write(void *context, struct batch *batch)
{
    struct instance *upstream = context;
    unsigned counts[VERDICT_REJECT + 1] = {0};
    check_order(upstream, batch);
    for (size_t i = 0; i < batch->count; i++) {
        enum verdict verdict = upstream_take(upstream, &batch->records[i]);
        batch->outcomes[i] = (struct outcome){.verdict = verdict, .reason = BYTES("not this one")};
        counts[verdict]++;
    }
    sim_event(upstream->sim, "%s: %zu records, %u done, %u retry, %u reject", upstream->env->name,
              batch->count, counts[VERDICT_DONE], counts[VERDICT_RETRY], counts[VERDICT_REJECT]);
}

static const struct driver driver_upstream = {
        .name = "upstream",
        .summary = "a service with moods",
        .limits = {.records_max = 5, .bytes_max = 1 << 16, .linger_ms = 0, .timeout_ms = 1000},
        .open = instance_open,
        .close = instance_close,
        .write = upstream_write,
};

/* ---- the function ---- */

static void
relay_write(void *context, struct batch *batch)
{
    struct instance *relay = context;
    struct diag_list diags = {0};
    check_order(relay, batch);
    answer_all(batch, VERDICT_RETRY);
    for (size_t i = 0; i < batch->count && diags.errors == 0; i++) {
        const struct sink_record *record = &batch->records[i];
        if (relay->env->emit(relay->env, record->hops, record->source, record->payload, &diags)) {
            batch->outcomes[i].verdict = VERDICT_DONE;
        }
    }
    sim_event(relay->sim, "relay: %zu records, %s", batch->count,
              diags.errors == 0 ? "emitted" : "failed");
    diag_list_fini(&diags);
}

static const struct driver driver_relay = {
        .name = "handler",
        .summary = "emits what it gets",
        .limits = {.records_max = 3, .bytes_max = 1 << 16, .linger_ms = 0, .timeout_ms = 1000},
        .needs_order = true,
        .open = instance_open,
        .close = instance_close,
        .write = relay_write,
};

/* ---- the catalogue ---- */

/* Those of drivers/stream.c: they live of the gateway alone. */
extern const struct driver driver_mqtt, driver_stream;

const struct driver *const driver_catalogue[] = {&driver_store, &driver_upstream, &driver_relay,
                                                 &driver_mqtt,  &driver_stream,   NULL};

const struct driver *
driver_find(struct bytes name)
{
    for (size_t i = 0; driver_catalogue[i] != NULL; i++) {
        if (bytes_equal_string(name, driver_catalogue[i]->name)) {
            return driver_catalogue[i];
        }
    }
    return NULL;
}
