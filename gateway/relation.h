/*
 * A declared table or function, checked against its driver: CREATE TABLE ... WITH (...) becomes a
 * driver, its filled options, and the batch limits of its sink.
 *
 * Options that every sink has (batch.records, ...) come from one table here; all others belong to
 * the driver. Owned by the caller, borrowed from the rule file's arena where it says bytes.
 */
#ifndef HEADGATE_RELATION_H
#define HEADGATE_RELATION_H

#include "driver.h"

#include "rules/rule.h"

/* What every sink can be told, whatever its driver. */
struct sink_options {
    int64_t batch_records;
    int64_t batch_bytes;
    int64_t batch_linger_ms;
    int64_t retry_max_ms;
    int64_t retry_max_attempts;
    int64_t backlog_max;
    int backlog_policy; /* enum backlog_policy */
    int64_t drain_rate;
    int64_t dead_max;
};

/* 'scan.stream.initpos': where a rule begins that reads a stream for the first time. */
enum stream_start { STREAM_LATEST, STREAM_TRIM_HORIZON, STREAM_AT_TIMESTAMP };

enum backlog_policy { BACKLOG_PAUSE, BACKLOG_DROP_OLDEST };

extern const struct option_table sink_option_table;

/*
 * What tables of stream SQL say beside what their connector asks. Most of it is read by rules/
 * (rules/stream/stream.h); here it is known, so that a misspelt name is found.
 */
struct stream_options {
    int format;
    int timestamp_format;
    bool fail_on_missing_field;
    bool ignore_parse_errors;
    int initpos; /* enum stream_start */
    char *initpos_timestamp;
    char *idle_timeout;
    char *max_future;
    int idle;
    int watermark_scope;
};

extern const struct option_table stream_option_table;

struct relation {
    const struct driver *driver;
    void *options; /* driver->options_size bytes */
    struct sink_options sink;
    struct stream_options stream;
    int64_t start_us; /* of STREAM_AT_TIMESTAMP, since 1970 */
    struct sink_limits limits; /* the driver's, lowered or raised by `sink` */
    struct declared_column *columns;
    struct driver_declaration declaration;
};

/*
 * Checks a declaration and fills `out`. All errors are reported, with the place of the option and
 * the nearest known name.
 */
bool relation_init(struct relation *out, const struct rule_relation *declared,
                   struct diag_list *diags) MUST_CHECK;

/*
 * The name of the sink that takes the rows of a table: its own, or that of the stream which several
 * tables may read and write. Tables of MQTT topics have none (driver->write is NULL). A view into
 * the declaration.
 */
struct bytes relation_sink_name(const struct rule_relation *declared);

/* An option's value as it was declared; data NULL: it was not. */
struct bytes relation_option(const struct rule_relation *declared, const char *name);

/* The sink that needs no declaration, of a driver with default options. */
void relation_init_default(struct relation *out, const struct driver *driver);

void relation_fini(struct relation *relation);

/*
 * Appends what makes this relation what it is: two declarations with equal text can share one
 * running instance.
 */
void relation_fingerprint(const struct rule_relation *declared, struct buf *out);

#endif
