/*
 * From a declaration to a driver that can be opened. Pure checking: nothing is opened here, so
 * `headgate check` uses it too.
 */
#include "relation.h"

#include "base/calendar.h"
#include "base/mem.h"

#include <stdlib.h>

#define SINK_OPTION(name_, type_, member, fallback_, min_, max_, doc_)     \
    {.name = name_,                                                        \
     .type = OPTION_##type_,                                               \
     .offset = offsetof(struct sink_options, member),                      \
     .fallback = fallback_,                                                \
     .min = min_,                                                          \
     .max = max_,                                                          \
     .doc = doc_}

#define SINK_CHOICE(name_, member, fallback_, choices_, doc_)              \
    {.name = name_,                                                        \
     .type = OPTION_CHOICE,                                                \
     .offset = offsetof(struct sink_options, member),                      \
     .fallback = fallback_,                                                \
     .choices = choices_,                                                  \
     .doc = doc_}

/* 0 stands for "as the driver says". */
static const struct option sink_option_rows[] = {
        SINK_OPTION("batch.records", INT, batch_records, "0", 0, 100000,
                    "Most records of one batch; 0: as the driver says."),
        SINK_OPTION("batch.bytes", SIZE, batch_bytes, "0", 0, 67108864,
                    "Most payload bytes of one batch; 0: as the driver says."),
        SINK_OPTION("batch.linger", DURATION, batch_linger_ms, NULL, 0, 3600000,
                    "How long a batch may wait to fill; default: as the driver says."),
        SINK_OPTION("retry.max", DURATION, retry_max_ms, "0ms", 0, 86400000,
                    "Longest pause between two attempts; 0: as the gateway's retry_max."),
        SINK_OPTION("retry.max_attempts", INT, retry_max_attempts, "0", 0, 1000000,
                    "A record that has to wait is tried so often, in an outage too, then it is a "
                    "dead letter; 0: for ever."),
        SINK_OPTION("backlog.max", SIZE, backlog_max, "0", 0, INT64_C(1) << 40,
                    "Most bytes that wait for this sink, in memory and on disk; 0: as the gateway's "
                    "backlog_max."),
        SINK_CHOICE("backlog.policy", backlog_policy, "pause", "pause|drop_oldest",
                    "Above backlog.max. pause: nothing is lost, but all rules wait, and what "
                    "arrives stays in the journal. drop_oldest: the oldest records are dropped and "
                    "counted."),
        SINK_OPTION("drain.rate", INT, drain_rate, "0", 0, 1000000,
                    "Most records a second while some wait on disk, after an outage; 0: any."),
        SINK_OPTION("dead.max", SIZE, dead_max, "64M", 65536, INT64_C(1) << 40,
                    "Most bytes of dead letters; beyond it the oldest are dropped and counted."),
};

const struct option_table sink_option_table = {
        sink_option_rows, sizeof sink_option_rows / sizeof *sink_option_rows};

#define STREAM_OPTION(name_, type_, member, fallback_, choices_, doc_)     \
    {.name = name_,                                                        \
     .type = OPTION_##type_,                                               \
     .offset = offsetof(struct stream_options, member),                    \
     .fallback = fallback_,                                                \
     .choices = choices_,                                                  \
     .doc = doc_}

static const struct option stream_option_rows[] = {
        STREAM_OPTION("format", CHOICE, format, "json", "json", "How rows are written."),
        STREAM_OPTION("json.timestamp-format.standard", CHOICE, timestamp_format, "SQL",
                      "SQL|ISO-8601|ISO-8601-WITH-OFFSET",
                      "Times that go out: with a blank, or with a T between day and time."),
        STREAM_OPTION("json.fail-on-missing-field", BOOL, fail_on_missing_field, "false", NULL,
                      "Read for scripts that have it; a missing field is NULL."),
        STREAM_OPTION("json.ignore-parse-errors", BOOL, ignore_parse_errors, "false", NULL,
                      "Read for scripts that have it; rows that are not JSON are counted."),
        STREAM_OPTION("scan.stream.initpos", CHOICE, initpos, "LATEST",
                      "LATEST|TRIM_HORIZON|AT_TIMESTAMP",
                      "Where a rule begins that reads the stream for the first time."),
        STREAM_OPTION("scan.stream.initpos-timestamp", STRING, initpos_timestamp, NULL, NULL,
                      "The time of AT_TIMESTAMP: ISO 8601, or seconds since 1970."),
        STREAM_OPTION("scan.watermark.idle-timeout", STRING, idle_timeout, NULL, NULL,
                      "A source that is silent for so long holds nobody back."),
        STREAM_OPTION("gateway.max-future", STRING, max_future, NULL, NULL,
                      "Rows from further ahead of the clock are rejected."),
        STREAM_OPTION("gateway.idle", CHOICE, idle, "hold", "hold|advance",
                      "Whether event time goes on by the clock where the source is silent."),
        STREAM_OPTION("gateway.watermark-scope", CHOICE, watermark_scope, "source", "source|key",
                      "One watermark for all, or one for each value of PARTITIONED BY."),
};

const struct option_table stream_option_table = {
        stream_option_rows, sizeof stream_option_rows / sizeof *stream_option_rows};

static const char *
driver_name_at(const void *context, size_t i)
{
    return ((const struct driver *const *)context)[i]->name;
}

static size_t
driver_count(void)
{
    size_t count = 0;
    while (driver_catalogue[count] != NULL) {
        count++;
    }
    return count;
}

static const struct driver *
find_driver(const struct rule_relation *declared, struct diag_list *diags)
{
    if (declared->connector.size == 0) {
        diag_at(diags, DIAG_ERROR, &declared->place, "table '%.*s' has no 'connector' option",
                BYTES_ARG(declared->name));
        diag_hint(diags, "say where its rows go, for example WITH ('connector' = 'timeseries')");
        return NULL;
    }
    const struct driver *driver = driver_find(declared->connector);
    if (driver == NULL && declared->action != NULL) {
        diag_at(diags, DIAG_ERROR, &declared->place,
                "the action %s needs the connector '%.*s', which is not built yet",
                declared->action, BYTES_ARG(declared->connector));
        diag_hint(diags, "'headgate help drivers' lists the connectors");
    } else if (driver == NULL) {
        diag_at(diags, DIAG_ERROR, &declared->place, "table '%.*s': unknown connector '%.*s'",
                BYTES_ARG(declared->name), BYTES_ARG(declared->connector));
        const char *nearest = diag_nearest(declared->connector, driver_count(), driver_name_at,
                                           driver_catalogue);
        if (nearest != NULL) {
            diag_hint(diags, "did you mean '%s'?", nearest);
        } else {
            diag_hint(diags, "'headgate help drivers' lists the connectors");
        }
    }
    return driver;
}

static bool
table_has(const struct option_table *table, struct bytes name)
{
    for (size_t i = 0; i < table->count; i++) {
        if (bytes_equal_string(name, table->options[i].name)) {
            return true;
        }
    }
    return false;
}

/* Options that mean something to the services only that scripts come from. */
static bool
is_of_services(struct bytes name)
{
    return bytes_starts_with(name, BYTES("aws.")) ||
           bytes_starts_with(name, BYTES("sink.producer."));
}

static const char *
option_name_at(const void *context, size_t i)
{
    return ((const struct option_table *)context)->options[i].name;
}

/* An option of the table, or one that is misspelt. */
static bool
is_near(const struct option_table *table, struct bytes name)
{
    return diag_nearest(name, table->count, option_name_at, table) != NULL;
}

static bool
set_option(struct relation *relation, const struct rule_option *option, struct diag_list *diags)
{
    const struct option_table *table = &relation->driver->options;
    void *target = relation->options;
    if (is_of_services(option->name)) {
        diag_at(diags, DIAG_WARNING, &option->place, "'%.*s' has no meaning here",
                BYTES_ARG(option->name));
        return true;
    }
    if (table_has(&sink_option_table, option->name)) {
        table = &sink_option_table;
        target = &relation->sink;
    } else if (!table_has(table, option->name) && is_near(&stream_option_table, option->name)) {
        table = &stream_option_table;
        target = &relation->stream;
    }
    return option_set(table, target, option->name, option->value, &option->place, diags);
}

static const struct rule_option *
find_option(const struct rule_relation *declared, const char *name)
{
    for (size_t i = 0; i < declared->option_count; i++) {
        if (bytes_equal_string(declared->options[i].name, name)) {
            return &declared->options[i];
        }
    }
    return NULL;
}

static bool
parse_time(struct bytes text, int64_t *out_us)
{
    int64_t seconds, ns;
    if (bytes_to_int64(text, &seconds) && seconds >= 0 && seconds < INT64_MAX / 1000000) {
        *out_us = seconds * 1000000;
        return true;
    }
    bool is_time = calendar_parse(text, &ns);
    *out_us = is_time ? ns / 1000 : 0;
    return is_time;
}

/* Where a reader of the table begins. */
static bool
set_start(struct relation *relation, const struct rule_relation *declared,
          struct diag_list *diags)
{
    const struct rule_option *start = find_option(declared, "scan.stream.initpos");
    const struct rule_option *time = find_option(declared, "scan.stream.initpos-timestamp");
    if (relation->stream.initpos == STREAM_LATEST) {
        return true;
    }
    if (!relation->driver->has_stream) {
        diag_at(diags, DIAG_WARNING, &start->place,
                "'%.*s' has no meaning for '%s', which keeps nothing to begin with",
                BYTES_ARG(start->value), relation->driver->name);
        diag_hint(diags, "INSERT the topic's messages INTO a table with the connector 'stream', and "
                         "read that");
        relation->stream.initpos = STREAM_LATEST;
        return true;
    }
    if (relation->stream.initpos == STREAM_AT_TIMESTAMP &&
        (time == NULL || !parse_time(time->value, &relation->start_us))) {
        diag_at(diags, DIAG_ERROR, time == NULL ? &start->place : &time->place,
                time == NULL ? "AT_TIMESTAMP needs a time" : "'%.*s' is no time",
                BYTES_ARG(time == NULL ? BYTES("") : time->value));
        diag_hint(diags, "for example 'scan.stream.initpos-timestamp' = '2026-03-01T12:00:00Z', or "
                         "seconds since 1970");
        return false;
    }
    return true;
}

static bool
set_options(struct relation *relation, const struct rule_relation *declared,
            struct diag_list *diags)
{
    bool valid = true;
    for (size_t i = 0; i < declared->option_count; i++) {
        valid &= set_option(relation, &declared->options[i], diags);
    }
    return option_check_required(&relation->driver->options, relation->options, &declared->place,
                                 diags) &&
           valid;
}

static bool
column_type_parse(struct bytes type, enum column_type *out)
{
    static const struct {
        const char *name;
        enum column_type type;
    } types[] = {
            {"VARCHAR", COLUMN_VARCHAR},     {"STRING", COLUMN_VARCHAR},   {"CHAR", COLUMN_VARCHAR},
            {"BIGINT", COLUMN_BIGINT},       {"INTEGER", COLUMN_BIGINT},   {"INT", COLUMN_BIGINT},
            {"SMALLINT", COLUMN_BIGINT},     {"TINYINT", COLUMN_BIGINT},   {"DOUBLE", COLUMN_DOUBLE},
            {"FLOAT", COLUMN_DOUBLE},        {"BOOLEAN", COLUMN_BOOLEAN},
            {"TIMESTAMP", COLUMN_TIMESTAMP}, {"TIMESTAMP_LTZ", COLUMN_TIMESTAMP},
    };
    struct bytes base = bytes_slice(type, 0, bytes_find(type, '('));
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (bytes_equal_nocase(base, bytes_of_string(types[i].name))) {
            *out = types[i].type;
            return true;
        }
    }
    return false;
}

static bool
set_columns(struct relation *relation, const struct rule_relation *declared,
            struct diag_list *diags)
{
    bool valid = true;
    if (relation->driver->is_source) {
        return true; /* rules/stream knows their types */
    }
    relation->columns = mem_new_array(struct declared_column, declared->column_count);
    for (size_t i = 0; i < declared->column_count; i++) {
        const struct rule_column *column = &declared->columns[i];
        relation->columns[i].name = column->name;
        if (!column_type_parse(column->type, &relation->columns[i].type)) {
            diag_at(diags, DIAG_ERROR, &column->place, "column '%.*s': unknown type '%.*s'",
                    BYTES_ARG(column->name), BYTES_ARG(column->type));
            diag_hint(diags, "types are VARCHAR, BIGINT, INTEGER, DOUBLE, BOOLEAN and TIMESTAMP");
            valid = false;
        }
    }
    relation->declaration = (struct driver_declaration){
            .columns = relation->columns,
            .column_count = declared->column_count,
            .source = declared->source,
    };
    return valid;
}

static void
set_limits(struct relation *relation)
{
    const struct sink_options *sink = &relation->sink;
    relation->limits = relation->driver->limits;
    if (sink->batch_records > 0) {
        relation->limits.records_max = (size_t)sink->batch_records;
    }
    if (sink->batch_bytes > 0) {
        relation->limits.bytes_max = (size_t)sink->batch_bytes;
    }
    if (sink->batch_linger_ms >= 0) {
        relation->limits.linger_ms = sink->batch_linger_ms;
    }
}

static void
init_defaults(struct relation *relation, const struct driver *driver)
{
    *relation = (struct relation){.driver = driver, .sink.batch_linger_ms = -1};
    relation->options = mem_alloc_zeroed(1, driver->options_size);
    option_defaults(&driver->options, relation->options);
    option_defaults(&sink_option_table, &relation->sink);
    option_defaults(&stream_option_table, &relation->stream);
}

void
relation_init_default(struct relation *out, const struct driver *driver)
{
    init_defaults(out, driver);
    set_limits(out);
}

bool
relation_init(struct relation *out, const struct rule_relation *declared, struct diag_list *diags)
{
    const struct driver *driver = find_driver(declared, diags);
    if (driver == NULL) {
        return false;
    }
    struct relation relation;
    init_defaults(&relation, driver);
    bool valid = set_options(&relation, declared, diags);
    valid &= set_start(&relation, declared, diags);
    valid &= set_columns(&relation, declared, diags);
    if (!valid) {
        relation_fini(&relation);
        return false;
    }
    set_limits(&relation);
    *out = relation;
    return true;
}

void
relation_fini(struct relation *relation)
{
    if (relation->driver != NULL) {
        option_fini(&relation->driver->options, relation->options);
        option_fini(&stream_option_table, &relation->stream);
    }
    free(relation->options);
    free(relation->columns);
    *relation = (struct relation){0};
}

struct bytes
relation_option(const struct rule_relation *declared, const char *name)
{
    const struct rule_option *option = find_option(declared, name);
    return option == NULL ? bytes_of(NULL, 0) : option->value;
}

static bool
is_stream(const struct rule_relation *declared)
{
    return declared->kind == RULE_TABLE && (bytes_equal(declared->connector, BYTES("stream")) ||
                                            bytes_equal(declared->connector, BYTES("kinesis")));
}

struct bytes
relation_sink_name(const struct rule_relation *declared)
{
    struct bytes stream = relation_option(declared, "stream");
    return is_stream(declared) && stream.size > 0 ? stream : declared->name;
}

void
relation_fingerprint(const struct rule_relation *declared, struct buf *out)
{
    if (is_stream(declared)) { /* tables of one stream share what runs */
        buf_append(out, relation_sink_name(declared));
        return;
    }
    buf_printf(out, "%.*s|%.*s|%.*s", BYTES_ARG(declared->name), BYTES_ARG(declared->connector),
               BYTES_ARG(declared->source));
    for (size_t i = 0; i < declared->column_count; i++) {
        buf_printf(out, "|%.*s %.*s", BYTES_ARG(declared->columns[i].name),
                   BYTES_ARG(declared->columns[i].type));
    }
    for (size_t i = 0; i < declared->option_count; i++) {
        buf_printf(out, "|%.*s=%.*s", BYTES_ARG(declared->options[i].name),
                   BYTES_ARG(declared->options[i].value));
    }
}
