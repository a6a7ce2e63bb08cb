/*
 * timeseries: rows into a durable table of points, and points out to queries.
 *
 * A local stand-in for Amazon Timestream: dimensions, measures, time, versions and retention mean
 * the same. series_map.c turns payloads into rows, series_store.c keeps them, series_reader.c
 * gives them back; this file is the driver: options, verdicts, progress, retention.
 *
 * One write is one transaction, and the progress of each stream is committed in it:
 *
 *   record id <= progress        DONE or REJECT as before, nothing is stored again
 *   record is refused            REJECT with the reason; its good rows and the other records stay
 *   the file fails               rolled back, RETRY for all; the ids of the batch are "in doubt",
 *                                so that they are taken when they come behind later records
 *   the file is damaged          moved aside, a new one begins, RETRY for all
 *
 * DONE means committed and on the medium: it survives a crash and a power cut at any instant. With
 * 'sync' = 'checkpoint' only a crash: a power cut may take what SQLite's write-ahead log held in
 * memory (up to 4 MB of points).
 *
 * Threads: open, close and write on the sink's; describe and scan on any (series_reader.c);
 * health reads counters under the lock.
 */
#include "series_map.h"
#include "series_store.h"

#include "base/calendar.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wall.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXPIRE_LIMIT = 20000 }; /* points deleted in one batch at most */

#define EXPIRE_EVERY_US (INT64_C(60) * 1000000)

struct series_options {
    char *dimensions;
    char *measures;
    char *time;
    char *version;
    int time_unit;
    int numbers;
    int on_conflict;
    int sync;
    int64_t memory_retention_ms;
    int64_t magnetic_retention_ms;
    int64_t series_max;
};

enum { SYNC_CHECKPOINT, SYNC_BATCH };

struct series_table {
    const struct driver_env *env;
    const struct series_options *options;
    struct series_map *map;
    struct series_store_options store_options;
    struct series_store *store; /* NULL: opened for reading only, or to be opened again */
    struct series_reader *reader;
    int64_t expire_next_us; /* monotonic */
    struct wall wall;
    int64_t now_us;         /* of the batch; 0: the clock is doubted */
    struct progress_doubts *doubts;

    pthread_mutex_t lock; /* of the members below */
    uint64_t stored;      /* records */
    uint64_t repeated;
    uint64_t refused;
    struct health health;
};

static int64_t
life_ms(const struct series_options *options)
{
    return options->memory_retention_ms > options->magnetic_retention_ms
                   ? options->memory_retention_ms
                   : options->magnetic_retention_ms;
}

/* ---- open and close ---- */

static bool
open_store(struct series_table *table, struct diag_list *diags)
{
    struct diag_list found = {0};
    bool opened = series_store_open(&table->store, &table->store_options, &found);
    log_diags(&found);
    diag_list_append(diags, &found);
    diag_list_fini(&found);
    return opened;
}

static void
series_close(void *instance)
{
    struct series_table *table = instance;
    series_store_close(table->store);
    series_reader_free(table->reader);
    series_map_free(table->map);
    progress_doubts_free(table->doubts);
    pthread_mutex_destroy(&table->lock);
    free(table);
}

static bool
series_open(void **out_instance, const struct driver_env *env, const void *options,
            const struct driver_declaration *declaration, struct diag_list *diags)
{
    const struct series_options *chosen = options;
    struct series_table *table = mem_new(struct series_table);
    table->env = env;
    table->options = chosen;
    table->doubts = progress_doubts_new();
    table->store_options = (struct series_store_options){
            .os = env->os,
            .dir = env->data_dir,
            .on_conflict = (enum series_conflict)chosen->on_conflict,
            .series_max = chosen->series_max,
            .sync_each = chosen->sync == SYNC_BATCH,
    };
    struct series_map_options map_options = {
            .dimensions = chosen->dimensions,
            .measures = chosen->measures,
            .time = chosen->time,
            .version = chosen->version,
            .time_unit = (enum series_time_unit)chosen->time_unit,
            .numbers = (enum series_numbers)chosen->numbers,
            .life_ms = life_ms(chosen),
    };
    check(pthread_mutex_init(&table->lock, NULL) == 0);
    table->reader = series_reader_new(env->data_dir);
    if (!series_map_new(&table->map, &map_options, declaration, diags)
        || (!env->read_only && !open_store(table, diags))) {
        series_close(table);
        return false;
    }
    *out_instance = table;
    return true;
}

/* ---- write ---- */

struct write_counts {
    uint64_t stored;
    uint64_t repeated;
    uint64_t refused;
};

static bool
write_record(struct series_table *table, const struct sink_record *record, bool applied,
             struct arena *arena, struct outcome *outcome, struct diag_list *diags)
{
    struct series_mapped mapped;
    const struct series_input input = {record->payload, record->params, record->time_us,
                                       table->now_us};
    series_map_payload(table->map, &input, arena, &mapped);
    struct bytes reason = mapped.reason;
    for (size_t i = 0; i < mapped.count && !applied; i++) {
        struct bytes refusal = {0};
        if (!series_store_put(table->store, &mapped.rows[i], arena, &refusal, diags)) {
            return false;
        }
        if (reason.size == 0) {
            reason = refusal;
        }
    }
    outcome->verdict = reason.size > 0 ? VERDICT_REJECT : VERDICT_DONE;
    outcome->reason = reason;
    return true;
}

static bool
write_records(struct series_table *table, struct batch *batch, struct progress_batch *progress,
              struct write_counts *counts, struct diag_list *diags)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct sink_record *record = &batch->records[i];
        struct progress *stream = progress_of(progress, record->stream, diags);
        if (stream == NULL) {
            return false;
        }
        /* Where nothing is replaced, storing again changes nothing and tells a conflict again. */
        bool repeated = record->dead_position == 0 && progress_is_applied(stream, record->id);
        bool skip = repeated && table->options->on_conflict == SERIES_CONFLICT_REPLACE;
        if (!write_record(table, record, skip, batch->arena, &batch->outcomes[i], diags)) {
            return false;
        }
        progress_advance(stream, record->id);
        bool done = batch->outcomes[i].verdict == VERDICT_DONE;
        counts->repeated += repeated;
        counts->refused += !done;
        counts->stored += done && !repeated;
    }
    return progress_save(progress, diags);
}

/* Deletes a slice of what is too old, now and then, within the batch's transaction. */
static bool
expire(struct series_table *table, struct diag_list *diags)
{
    const struct os *os = table->env->os;
    int64_t mono_us = os->mono_us(os);
    if (mono_us < table->expire_next_us || !wall_is_believed(&table->wall, os)) {
        return true;
    }
    bool more = false;
    int64_t oldest_ns = (os->wall_us(os) - life_ms(table->options) * 1000) * CALENDAR_NS_PER_US;
    if (!series_store_expire(table->store, oldest_ns, EXPIRE_LIMIT, &more, diags)) {
        return false;
    }
    table->expire_next_us = more ? mono_us : mono_us + EXPIRE_EVERY_US;
    return true;
}

static bool
write_batch(struct series_table *table, struct batch *batch, struct write_counts *counts,
            struct diag_list *diags)
{
    const struct os *os = table->env->os;
    wall_look(&table->wall, os);
    table->now_us = wall_is_doubted(os) ? 0 : os->wall_us(os);
    if (table->store == NULL && !open_store(table, diags)) {
        return false;
    }
    struct progress_batch progress =
            progress_begin(series_store_progress(table->store), table->doubts, batch);
    return series_store_begin(table->store, diags)
           && write_records(table, batch, &progress, counts, diags) && expire(table, diags)
           && series_store_commit(table->store, diags);
}

/* Ends the failed transaction; a damaged file makes way for a new one at the next write. */
static void
recover(struct series_table *table, const struct diag_list *failure)
{
    bool damaged = failure->items[failure->count - 1].class == DIAG_CORRUPT;
    if (table->store == NULL) {
        return;
    }
    if (!damaged) {
        series_store_rollback(table->store);
        return;
    }
    struct diag_list diags = {0};
    series_store_close(table->store);
    table->store = NULL;
    if (series_store_move_aside(table->env->os, table->env->data_dir, &diags)) {
        series_reader_reset(table->reader);
    }
    log_diags(&diags);
    diag_list_fini(&diags);
}

static void
retry_all(struct series_table *table, struct batch *batch, const struct diag_list *diags)
{
    struct bytes reason = arena_copy(batch->arena, diag_first_error(diags));
    for (size_t i = 0; i < batch->count; i++) {
        batch->outcomes[i] = (struct outcome){.verdict = VERDICT_RETRY, .reason = reason};
    }
    progress_failed(table->doubts, batch);
    recover(table, diags);
}

static void
series_write(void *instance, struct batch *batch)
{
    struct series_table *table = instance;
    check(!table->env->read_only);
    struct diag_list diags = {0};
    struct write_counts counts = {0};
    bool written = write_batch(table, batch, &counts, &diags);
    if (written) {
        progress_settled(table->doubts);
    } else {
        retry_all(table, batch, &diags);
    }
    pthread_mutex_lock(&table->lock);
    if (written) {
        table->stored += counts.stored;
        table->repeated += counts.repeated;
        table->refused += counts.refused;
    }
    table->health.state = written ? HEALTH_OK : HEALTH_FAILED;
    snprintf(table->health.sentence, sizeof table->health.sentence, "%.*s",
             BYTES_ARG(diag_first_error(&diags)));
    pthread_mutex_unlock(&table->lock);
    diag_list_fini(&diags);
}

/* ---- describe and scan ---- */

struct column_list {
    struct column *columns;
    size_t count;
};

static void
add_column(struct column_list *list, struct bytes name, enum column_type type, struct bytes kind)
{
    list->columns[list->count++] = (struct column){name, type, kind};
}

static void
add_dimension(struct column_list *list, struct bytes name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (bytes_equal(list->columns[i].name, name)) {
            return;
        }
    }
    add_column(list, name, COLUMN_VARCHAR, BYTES("DIMENSION"));
}

/* Timestream's order: dimensions, measure_name, time, value columns. */
static bool
series_describe(void *instance, struct arena *arena, struct table_schema *out,
                struct diag_list *diags)
{
    static const struct {
        enum series_kind kind;
        enum column_type type;
        const char *name;
    } values[] = {
            {SERIES_DOUBLE, COLUMN_DOUBLE, "measure_value::double"},
            {SERIES_BIGINT, COLUMN_BIGINT, "measure_value::bigint"},
            {SERIES_VARCHAR, COLUMN_VARCHAR, "measure_value::varchar"},
            {SERIES_BOOLEAN, COLUMN_BOOLEAN, "measure_value::boolean"},
    };
    struct series_table *table = instance;
    struct series_shape shape;
    if (!series_reader_shape(table->reader, arena, &shape, diags)) {
        return false;
    }
    struct bytes name;
    size_t named = 0;
    while (series_map_dimension(table->map, named, &name)) {
        named++;
    }
    struct column_list list = {
            .columns = arena_new_array(arena, struct column,
                                       named + shape.dimension_count + 2 + SERIES_KINDS)};
    for (size_t i = 0; series_map_dimension(table->map, i, &name); i++) {
        add_dimension(&list, arena_copy(arena, name));
    }
    for (size_t i = 0; i < shape.dimension_count; i++) {
        add_dimension(&list, shape.dimensions[i]);
    }
    add_column(&list, BYTES("measure_name"), COLUMN_VARCHAR, BYTES("MEASURE_NAME"));
    add_column(&list, BYTES("time"), COLUMN_TIMESTAMP, BYTES("TIMESTAMP"));
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        if (shape.has_kind[values[i].kind]) {
            add_column(&list, bytes_of_string(values[i].name), values[i].type,
                       BYTES("MEASURE_VALUE"));
        }
    }
    *out = (struct table_schema){list.columns, list.count};
    return true;
}

/* What is older than the retention is gone for readers, whether it has been deleted yet or not. */
static bool
series_scan(void *instance, const struct table_schema *schema, const struct scan_request *request,
            scan_row_fn row, void *context, struct diag_list *diags)
{
    struct series_table *table = instance;
    const struct os *os = table->env->os;
    int64_t wall_us = os->wall_us(os);
    struct scan_request narrowed = *request;
    if (wall_is_set(wall_us)) {
        int64_t oldest_ns = (wall_us - life_ms(table->options) * 1000) * CALENDAR_NS_PER_US;
        if (narrowed.time_min_ns < oldest_ns) {
            narrowed.time_min_ns = oldest_ns;
        }
    }
    return series_reader_scan(table->reader, schema, &narrowed, row, context, diags);
}

static void
series_health(void *instance, struct health *out)
{
    struct series_table *table = instance;
    pthread_mutex_lock(&table->lock);
    *out = table->health;
    if (out->state == HEALTH_OK) {
        snprintf(out->sentence, sizeof out->sentence,
                 "%" PRIu64 " records stored, %" PRIu64 " refused, %" PRIu64 " came again",
                 table->stored, table->refused, table->repeated);
    }
    pthread_mutex_unlock(&table->lock);
}

#define MEMBER(name) offsetof(struct series_options, name)

static const struct option series_options[] = {
        {.name = "dimensions", .type = OPTION_STRING, .offset = MEMBER(dimensions),
         .doc = "Members that tell series apart, separated by commas; default: the VARCHAR "
                "columns, without columns all members that hold strings."},
        {.name = "measures", .type = OPTION_STRING, .offset = MEMBER(measures),
         .doc = "Members that are stored as values; default: the DOUBLE, BIGINT and BOOLEAN "
                "columns, without columns everything that is no dimension."},
        {.name = "time", .type = OPTION_STRING, .offset = MEMBER(time),
         .doc = "Member that holds the time of a row, as an epoch number or ISO 8601 text; "
                "default: the TIMESTAMP column, else 'time'. A row without it has the time of its "
                "arrival."},
        {.name = "time_unit", .type = OPTION_CHOICE, .offset = MEMBER(time_unit),
         .fallback = "ms", .choices = "s|ms|us|ns", .doc = "What an epoch number counts."},
        {.name = "version", .type = OPTION_STRING, .offset = MEMBER(version),
         .doc = "Member that holds the version of a row, a whole number from 1: a higher one "
                "replaces the value of the same series and time."},
        {.name = "numbers", .type = OPTION_CHOICE, .offset = MEMBER(numbers), .fallback = "as_is",
         .choices = "as_is|double",
         .doc = "as_is: 72 is a BIGINT and 72.0 a DOUBLE (a whole number for a measure that also "
                "holds doubles becomes one). double: every number is a DOUBLE."},
        {.name = "on_conflict", .type = OPTION_CHOICE, .offset = MEMBER(on_conflict),
         .fallback = "reject", .choices = "reject|replace",
         .doc = "What happens to another value for a series and time that is there: reject sends "
                "the record to the dead letters, as Timestream does; replace keeps the last one."},
        {.name = "memory.retention", .type = OPTION_DURATION, .offset = MEMBER(memory_retention_ms),
         .fallback = "6h", .min = INT64_C(3600000), .max = INT64_C(8766) * 3600000,
         .doc = "For Timestream's DDL: never shortens what 'magnetic.retention' keeps."},
        {.name = "magnetic.retention", .type = OPTION_DURATION,
         .offset = MEMBER(magnetic_retention_ms), .fallback = "73000d", .min = 86400000,
         .max = INT64_C(73000) * 86400000,
         .doc = "Rows whose time is older are refused, no longer shown, and deleted; deleted by a "
                "clock that is believed only."},
        {.name = "series_max", .type = OPTION_INT, .offset = MEMBER(series_max),
         .fallback = "100000", .min = 1, .max = 100000000,
         .doc = "Most series (combinations of dimensions and measure) of the table; a record that "
                "would begin one more is refused."},
        {.name = "sync", .type = OPTION_CHOICE, .offset = MEMBER(sync), .fallback = "batch",
         .choices = "checkpoint|batch",
         .doc = "batch: each batch is forced to the medium before it counts as done. checkpoint: "
                "no such wait, but a power cut may take the last 4 MB; a crash takes nothing."},
};

#define SERIES_DRIVER(connector, line)                                                            \
    {                                                                                             \
        .name = connector, .summary = line,                                                       \
        .options = {series_options, sizeof series_options / sizeof *series_options},              \
        .options_size = sizeof(struct series_options),                                            \
        .limits = {.records_max = 4096, .bytes_max = 4 << 20, .linger_ms = 1000,                  \
                   .timeout_ms = 30000},                                                          \
        .needs_order = true, .can_scan = true, .open = series_open, .close = series_close,        \
        .write = series_write,                                                                    \
        .describe = series_describe, .scan = series_scan, .health = series_health,                \
    }

const struct driver driver_timeseries =
        SERIES_DRIVER("timeseries", "a time series table on disk that answers queries");

const struct driver driver_timestream =
        SERIES_DRIVER("timestream", "the same as timeseries, for DDL written for Timestream");
