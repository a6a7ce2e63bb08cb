/*
 * table: rows into items under a key, and items out to queries and rules.
 *
 * A local stand-in for Amazon DynamoDB: partition and sort key, put, merge, delete, keys of
 * numbers, strings and binaries mean the same. table_item.c turns records into changes,
 * table_store.c keeps the items, table_reader.c and table_query.c give them back; this file is the
 * driver: options, verdicts, progress.
 *
 * One write is one transaction, and the progress of each stream is committed in it:
 *
 *   record id <= progress        DONE as before, nothing is stored again
 *   record is refused            REJECT with the reason; the other records stay
 *   the file fails               rolled back, RETRY for all (progress.h has what follows)
 *   the file is damaged          moved aside, a new one begins, RETRY for all
 *
 * DONE means committed and on the medium.
 *
 * Threads: open, close and write on the sink's; describe, scan and lookup on any; health reads
 * counters under the lock.
 */
#include "table_query.h"

#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct table_options {
    char *partition_key;
    char *sort_key;
};

struct table_counts {
    uint64_t stored;
    uint64_t deleted;
    uint64_t repeated;
    uint64_t refused;
};

struct table {
    const struct driver_env *env;
    const struct driver_declaration *declaration;
    struct table_keys keys;
    struct table_store *store; /* NULL: opened for reading only, or to be opened again */
    struct table_reader *reader;
    struct progress_doubts *doubts;
    bool told_full;

    pthread_mutex_t lock; /* of the members below */
    struct table_counts counts;
    struct health health;
};

/* ---- open and close ---- */

static const char *
column_name_at(const void *context, size_t i)
{
    return ((const char *const *)context)[i];
}

static void
hint_columns(const struct driver_declaration *declaration, struct bytes name,
             struct diag_list *diags)
{
    struct arena arena = {0};
    const char **names = arena_new_array(&arena, const char *, declaration->column_count);
    for (size_t i = 0; i < declaration->column_count; i++) {
        names[i] = arena_copy(&arena, declaration->columns[i].name).data;
    }
    const char *nearest =
            diag_nearest(name, declaration->column_count, column_name_at, names);
    if (nearest != NULL) {
        diag_hint(diags, "did you mean '%s'?", nearest);
    }
    arena_fini(&arena);
}

/* A key member with the type of its declared column, if columns are declared. */
static bool
set_key(struct table_key_member *out, const char *option, const char *name,
        const struct driver_declaration *declaration, struct diag_list *diags)
{
    out->name = bytes_of_string(name);
    if (out->name.size == 0 || out->name.size > TABLE_ATTRIBUTE_NAME_MAX) {
        diag_error(diags, DIAG_INVALID, "'%s' has %zu bytes, expected 1 to %d", option,
                   out->name.size, TABLE_ATTRIBUTE_NAME_MAX);
        return false;
    }
    for (size_t i = 0; i < declaration->column_count; i++) {
        if (!bytes_equal(declaration->columns[i].name, out->name)) {
            continue;
        }
        switch (declaration->columns[i].type) {
        case COLUMN_VARCHAR:
            out->type = TABLE_KEY_STRING;
            return true;
        case COLUMN_BIGINT:
        case COLUMN_DOUBLE:
            out->type = TABLE_KEY_NUMBER;
            return true;
        case COLUMN_BOOLEAN:
        case COLUMN_TIMESTAMP:
            diag_error(diags, DIAG_INVALID, "column '%s' cannot be the '%s'", name, option);
            diag_hint(diags, "keys are VARCHAR, BIGINT or DOUBLE");
            return false;
        }
    }
    if (declaration->column_count > 0) {
        diag_error(diags, DIAG_INVALID, "'%s' is '%s', which is no column of the table", option,
                   name);
        hint_columns(declaration, out->name, diags);
    }
    return declaration->column_count == 0;
}

static bool
set_keys(struct table *table, const struct table_options *options, struct diag_list *diags)
{
    struct table_keys *keys = &table->keys;
    if (!set_key(&keys->partition, "partition_key", options->partition_key, table->declaration,
                 diags)) {
        return false;
    }
    if (options->sort_key == NULL) {
        return true;
    }
    if (!set_key(&keys->sort, "sort_key", options->sort_key, table->declaration, diags)) {
        return false;
    }
    if (bytes_equal(keys->sort.name, keys->partition.name)) {
        diag_error(diags, DIAG_INVALID, "'partition_key' and 'sort_key' are both '%s'",
                   options->sort_key);
        diag_hint(diags, "without 'sort_key' there is one item for each partition key");
        return false;
    }
    return true;
}

static bool
open_store(struct table *table, struct diag_list *diags)
{
    struct diag_list found = {0};
    bool opened = table_store_open(&table->store, table->env->os, table->env->data_dir,
                                   table->keys.partition.name, table->keys.sort.name, &found);
    log_diags(&found);
    diag_list_append(diags, &found);
    diag_list_fini(&found);
    return opened;
}

static void
table_close(void *instance)
{
    struct table *table = instance;
    table_store_close(table->store);
    table_reader_free(table->reader);
    progress_doubts_free(table->doubts);
    pthread_mutex_destroy(&table->lock);
    free(table);
}

static bool
table_open(void **out_instance, const struct driver_env *env, const void *options,
           const struct driver_declaration *declaration, struct diag_list *diags)
{
    struct table *table = mem_new(struct table);
    table->env = env;
    table->declaration = declaration;
    table->doubts = progress_doubts_new();
    table->reader = table_reader_new(env->data_dir);
    check(pthread_mutex_init(&table->lock, NULL) == 0);
    if (!set_keys(table, options, diags) || (!env->read_only && !open_store(table, diags))) {
        table_close(table);
        return false;
    }
    *out_instance = table;
    return true;
}

/* ---- write ---- */

/* A merge becomes a put of the whole item. */
static bool
complete(struct table *table, struct table_change *change, struct arena *arena,
         struct diag_list *diags)
{
    struct bytes text;
    if (!table_store_get(table->store, change->partition, change->sort, arena, &text, diags)) {
        return false;
    }
    if (text.size == 0) {
        change->kind = TABLE_PUT;
        return true;
    }
    struct json stored;
    struct json_error error;
    if (!json_parse(&stored, text, JSON_DEPTH_MAX_DEFAULT + 1, arena, &error)) {
        diag_error(diags, DIAG_CORRUPT, "a stored item is not JSON: %s", error.message);
        return false;
    }
    table_item_merge(&stored, change, arena);
    return true;
}

static bool
apply(struct table *table, struct table_change *change, struct arena *arena,
      struct table_counts *counts, struct diag_list *diags)
{
    if (change->kind == TABLE_DELETE) {
        counts->deleted++;
        return table_store_delete(table->store, change->partition, change->sort, diags);
    }
    if (change->kind == TABLE_MERGE && !complete(table, change, arena, diags)) {
        return false;
    }
    if (change->reason.size > 0) {
        return true;
    }
    counts->stored++;
    return table_store_put(table->store, change->partition, change->sort, &change->item, arena,
                           diags);
}

static bool
write_records(struct table *table, struct batch *batch, struct progress_batch *progress,
              struct table_counts *counts, struct diag_list *diags)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct sink_record *record = &batch->records[i];
        struct progress *stream = progress_of(progress, record->stream, diags);
        if (stream == NULL) {
            return false;
        }
        struct table_change change;
        table_item_read(&table->keys, record->params, record->payload, batch->arena, &change);
        bool repeated = record->dead_position == 0 && progress_is_applied(stream, record->id);
        counts->repeated += repeated;
        if (!repeated && change.reason.size == 0
            && !apply(table, &change, batch->arena, counts, diags)) {
            return false;
        }
        progress_advance(stream, record->id);
        bool refused = change.reason.size > 0;
        counts->refused += refused;
        batch->outcomes[i] = (struct outcome){
                .verdict = refused ? VERDICT_REJECT : VERDICT_DONE, .reason = change.reason};
    }
    return progress_save(progress, diags);
}

static bool
write_batch(struct table *table, struct batch *batch, struct table_counts *counts,
            struct diag_list *diags)
{
    if (table->store == NULL && !open_store(table, diags)) {
        return false;
    }
    struct progress_batch progress =
            progress_begin(table_store_progress(table->store), table->doubts, batch);
    return table_store_begin(table->store, diags)
           && write_records(table, batch, &progress, counts, diags)
           && table_store_commit(table->store, diags);
}

/* Ends the failed transaction; a damaged file makes way for a new one at the next write. */
static void
recover(struct table *table, const struct diag_list *failure)
{
    bool damaged = failure->items[failure->count - 1].class == DIAG_CORRUPT;
    if (table->store == NULL) {
        return;
    }
    if (!damaged) {
        table_store_rollback(table->store);
        return;
    }
    struct diag_list diags = {0};
    table_store_close(table->store);
    table->store = NULL;
    if (table_store_move_aside(table->env->os, table->env->data_dir, &diags)) {
        table_reader_reset(table->reader);
    }
    log_diags(&diags);
    diag_list_fini(&diags);
}

static void
retry_all(struct table *table, struct batch *batch, const struct diag_list *diags)
{
    struct bytes reason = arena_copy(batch->arena, diag_first_error(diags));
    for (size_t i = 0; i < batch->count; i++) {
        batch->outcomes[i] = (struct outcome){.verdict = VERDICT_RETRY, .reason = reason};
    }
    progress_failed(table->doubts, batch);
    recover(table, diags);
}

static void
tell_full(struct table *table)
{
    if (!table->told_full && table->store != NULL && table_store_is_full(table->store)) {
        table->told_full = true;
        log_warning("table '%s': items have more than %d attributes, or names of more than %d "
                    "bytes: they are stored, but those beyond are no columns of queries",
                    table->env->name, TABLE_ATTRIBUTES_MAX, TABLE_ATTRIBUTE_NAME_MAX);
    }
}

static void
note_counts(struct table *table, const struct table_counts *counts)
{
    table->counts.stored += counts->stored;
    table->counts.deleted += counts->deleted;
    table->counts.repeated += counts->repeated;
    table->counts.refused += counts->refused;
}

static void
table_write(void *instance, struct batch *batch)
{
    struct table *table = instance;
    check(!table->env->read_only);
    struct diag_list diags = {0};
    struct table_counts counts = {0};
    bool written = write_batch(table, batch, &counts, &diags);
    if (written) {
        progress_settled(table->doubts);
        tell_full(table);
    } else {
        retry_all(table, batch, &diags);
    }
    pthread_mutex_lock(&table->lock);
    if (written) {
        note_counts(table, &counts);
    }
    table->health.state = written ? HEALTH_OK : HEALTH_FAILED;
    snprintf(table->health.sentence, sizeof table->health.sentence, "%.*s",
             BYTES_ARG(diag_first_error(&diags)));
    pthread_mutex_unlock(&table->lock);
    diag_list_fini(&diags);
}

/* ---- questions ---- */

static bool
table_describe(void *instance, struct arena *arena, struct table_schema *out,
               struct diag_list *diags)
{
    struct table *table = instance;
    return table_query_describe(table->reader, &table->keys, table->declaration, arena, out,
                                diags);
}

static bool
table_scan(void *instance, const struct table_schema *schema, const struct scan_request *request,
           scan_row_fn row, void *context, struct diag_list *diags)
{
    struct table *table = instance;
    return table_query_scan(table->reader, &table->keys, schema, request, row, context, diags);
}

static bool
table_lookup(void *instance, struct bytes key, struct arena *arena, struct bytes *item,
             struct diag_list *diags)
{
    struct table *table = instance;
    struct table_change change;
    table_item_key(&table->keys, key, arena, &change);
    if (change.reason.size > 0) {
        diag_error(diags, DIAG_INVALID, "table '%s': %.*s", table->env->name,
                   BYTES_ARG(change.reason));
        return false;
    }
    return table_reader_get(table->reader, change.partition, change.sort, arena, item, diags);
}

static void
table_health(void *instance, struct health *out)
{
    struct table *table = instance;
    pthread_mutex_lock(&table->lock);
    *out = table->health;
    if (out->state == HEALTH_OK) {
        snprintf(out->sentence, sizeof out->sentence,
                 "%" PRIu64 " items stored, %" PRIu64 " deleted, %" PRIu64 " records refused, %"
                 PRIu64 " came again",
                 table->counts.stored, table->counts.deleted, table->counts.refused,
                 table->counts.repeated);
    }
    pthread_mutex_unlock(&table->lock);
}

static const struct option table_options[] = {
        {.name = "partition_key", .type = OPTION_STRING, .required = true,
         .aliases = "hash_key|primary_key|key",
         .offset = offsetof(struct table_options, partition_key),
         .doc = "Member of an item that is its key: a number, a string, or {\"$binary\": base64}; "
                "with columns of the type that is declared, VARCHAR or a number."},
        {.name = "sort_key", .type = OPTION_STRING, .aliases = "range_key",
         .offset = offsetof(struct table_options, sort_key),
         .doc = "Second member of the key: items of one partition lie in its order. Without it "
                "there is one item for each partition key."},
};

#define TABLE_DRIVER(connector, line)                                                             \
    {                                                                                             \
        .name = connector, .summary = line,                                                       \
        .options = {table_options, sizeof table_options / sizeof *table_options},                 \
        .options_size = sizeof(struct table_options),                                             \
        .limits = {.records_max = 1000, .bytes_max = 4 << 20, .linger_ms = 1000,                  \
                   .timeout_ms = 30000},                                                          \
        .needs_order = true, .can_scan = true, .open = table_open, .close = table_close,          \
        .write = table_write,                                                                     \
        .describe = table_describe, .scan = table_scan, .lookup = table_lookup,                   \
        .health = table_health,                                                                   \
    }

const struct driver driver_table =
        TABLE_DRIVER("table", "a key-value table on disk: one item a key, the last one counts");

const struct driver driver_dynamodb =
        TABLE_DRIVER("dynamodb", "the same as table, for DDL written for DynamoDB");
