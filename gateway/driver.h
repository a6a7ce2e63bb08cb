/*
 * The whole contract between the gateway and what touches the outside: sinks, sources, tables.
 *
 * A driver is one `const struct driver` at the bottom of its file and one row in
 * drivers/drivers.def. It never includes another driver, never reads a clock or a file of the
 * gateway except through `struct driver_env`, and keeps no file-level mutable state: several
 * instances of one driver run side by side. drivers/null.c is the template for a new one.
 *
 * Threads. Each instance of a sink has one thread of its own (the outbox's). open, write and close
 * are called on that thread and may block within the limits stated below; the core never waits
 * for them. Calls for one instance are never concurrent. describe, scan, lookup, call and
 * health may be called from other threads at the same time as write, and must bring their own
 * protection.
 *
 * Wrong in three kinds (base/diag.h): a broken contract asserts; an instance that cannot be opened
 * fails with a diag; a record that cannot be delivered gets a verdict. Nothing is dropped silently.
 */
#ifndef HEADGATE_DRIVER_H
#define HEADGATE_DRIVER_H

#include "base/arena.h"
#include "base/diag.h"
#include "base/option.h"
#include "base/os.h"

/* ---- what a sink gets ---- */

/*
 * The stable name of a record: where its input lies and which output of it this is. A record that
 * is delivered again (retry, restart) has the same id. Within one sink ids grow in the order of
 * delivery, except for records that are retried after a RETRY verdict, and for dead letters that
 * are tried again.
 */
struct record_id {
    uint64_t position; /* of the input in its stream */
    uint32_t output;   /* 0, 1, ... : the outputs of one input, per sink */
};

/* <0, 0, >0 as id `a` comes before, is, or comes after `b`. */
static inline int
record_id_compare(struct record_id a, struct record_id b)
{
    if (a.position != b.position) {
        return a.position < b.position ? -1 : 1;
    }
    return a.output < b.output ? -1 : a.output > b.output;
}

struct sink_record {
    struct record_id id;
    int64_t time_us;      /* arrival of the input: wall clock, as in store/journal.h */
    struct bytes stream;  /* the input's stream: "mqtt", or a function's name */
    struct bytes rule;    /* the rule that made it */
    struct bytes target;  /* INSERT INTO 'target': the topic, templates filled in; else the table */
    struct bytes source;  /* topic of the input message */
    unsigned hops;        /* rules and gateways that the input came through: message_hops() */
    /*
     * What the rule says of this record beside its target and payload: a JSON object of the
     * action's parameters, named as AWS names them, templates filled in. Empty for most records.
     */
    struct bytes params;
    struct bytes payload; /* JSON text, or raw bytes where the rule passes bytes through */
    /* For the gateway alone: */
    struct bytes original;  /* what the rule's error action needs (failure.h); empty: it has none */
    bool is_error_action;   /* made by an error action: what it meets is told to nobody else */
    /*
     * Not 0: a dead letter that is tried again, out of order (its place there). A driver that drops
     * what it has taken by its id does not drop this one.
     */
    uint64_t dead_position;
};

enum verdict {
    VERDICT_NONE,   /* not decided: counts as RETRY when write returns */
    VERDICT_DONE,   /* durable at the other side, as the driver's doc says */
    VERDICT_RETRY,  /* may succeed later: the outbox keeps it and tries again with back-off */
    VERDICT_REJECT, /* will never succeed: goes to the dead letters with the reason */
};

struct outcome {
    enum verdict verdict;
    int64_t retry_after_ms; /* with RETRY: what the other side asked for; 0: the outbox decides */
    struct bytes reason;    /* with RETRY and REJECT: one sentence; in batch->arena or static */
};

/*
 * A batch for one write call. Records and their bytes are borrowed until write returns. Outcomes
 * are set to VERDICT_NONE before the call.
 */
struct batch {
    const struct sink_record *records;
    struct outcome *outcomes; /* one a record; set by the driver */
    size_t count;
    int64_t deadline_us; /* monotonic: write returns before it, or soon after */
    struct arena *arena; /* for reasons and scratch; reset after the call */
};

/* Batch limits that the outbox keeps; drivers state defaults, rules may lower them. */
struct sink_limits {
    size_t records_max;    /* of a batch; at least 1 */
    size_t bytes_max;      /* payload bytes of a batch; a single larger record still goes alone */
    int64_t linger_ms;     /* how long a batch may wait to fill; 0: send what is there */
    int64_t timeout_ms;    /* deadline of one write */
};

/* ---- what a table answers ---- */

enum column_type {
    COLUMN_VARCHAR,
    COLUMN_BIGINT,
    COLUMN_DOUBLE,
    COLUMN_BOOLEAN,
    COLUMN_TIMESTAMP, /* int64 nanoseconds since 1970, UTC */
};

struct column {
    struct bytes name;
    enum column_type type;
    /*
     * For DESCRIBE: "DIMENSION", "MEASURE_NAME", "TIMESTAMP", "MEASURE_VALUE" of a time series,
     * "PARTITION_KEY", "SORT_KEY", "ATTRIBUTE" of a key-value table. A scan knows the time by it.
     */
    struct bytes kind;
};

struct cell {
    bool is_null;
    union {
        int64_t integer; /* BIGINT, TIMESTAMP, BOOLEAN (0 or 1) */
        double real;
        struct bytes text; /* borrowed until the row function returns */
    };
};

struct table_schema {
    const struct column *columns; /* in the arena handed to describe */
    size_t count;
};

/* What a scan may skip. The time range is exact; everything else is a hint it may ignore. */
struct scan_request {
    int64_t time_min_ns; /* inclusive */
    int64_t time_max_ns; /* inclusive */
    bool newest_first;   /* rows come in falling time, else in rising time */
    const bool *wanted;  /* per column of the schema: others may be left null; NULL: all */
    size_t equal_column; /* only rows whose column equals `equal_text`; SIZE_MAX: no such hint */
    struct bytes equal_text;
};

/* One row, a cell a column; false ends the scan. */
typedef bool (*scan_row_fn)(void *context, const struct cell *cells);

/* ---- what a driver is ---- */

/* What an instance may use of the gateway. Valid until close. */
struct driver_env {
    const struct os *os;
    const char *name;     /* of the instance: the table's or function's name */
    const char *data_dir; /* a folder of its own; made by the first driver that needs it */
    const struct gateway_paths *paths;
    /*
     * For describe, scan and lookup only: another process may be the writer. open changes nothing
     * on disk and works before there is anything to read; write is not called.
     */
    bool read_only;
    /*
     * Appends a record to the durable stream named like the instance, from which rules can read
     * (`FROM name`). `hops`: the most of the records it comes from, see sink_record.
     * Returns when it is in the stream's journal. NULL when there is no engine.
     */
    bool (*emit)(const struct driver_env *env, unsigned hops, struct bytes topic,
                 struct bytes payload, struct diag_list *diags);
    /*
     * Appends a record to the same stream, unless it is there already: a record that is written
     * again after a crash is stored once. NULL when there is no engine.
     */
    bool (*append)(const struct driver_env *env, const struct sink_record *record,
                   struct diag_list *diags);
    void *emit_context; /* of both */
};

/* Where things are; the same for all instances. */
struct gateway_paths {
    const char *executable;   /* this binary: workers are exec'ed from it */
    const char *handlers_dir; /* sources of CREATE FUNCTION ... AS 'file.c' */
    struct bytes config_text; /* for child processes: config_print(); holds secrets */
};

enum health_state { HEALTH_OK, HEALTH_WAITING, HEALTH_FAILED };

struct health {
    enum health_state state;
    char sentence[200]; /* what it waits for or why it failed; cut at the end */
};

/* A declared column of CREATE TABLE, for drivers that store typed rows. */
struct declared_column {
    struct bytes name;
    enum column_type type;
};

struct driver_declaration {
    const struct declared_column *columns;
    size_t column_count;
    struct bytes source; /* CREATE FUNCTION ... AS 'source' */
};

/* The options of a driver with has_stream. */
struct driver_stream_options {
    char *stream;            /* its name, or NULL: the table's */
    int64_t retention_ms;    /* rows stay so long after rules have read them; 0: not at all, or */
    int64_t retention_bytes; /* as long as they take no more than that; 0: any */
};

struct driver {
    const char *name;    /* the connector: WITH ('connector' = 'name') */
    const char *summary; /* one line for the catalogue */

    /* The WITH options; parsed, checked and defaulted by the gateway into `options_size` bytes. */
    struct option_table options;
    size_t options_size;

    struct sink_limits limits;
    /*
     * It takes a record for old when it has taken one with a higher id, or looks itself for the one
     * that it cannot take: then the outbox tries none before an older one.
     */
    bool needs_order;
    bool can_scan; /* rows can be queried */
    bool is_read_only; /* no rule may write to it */
    bool is_source; /* stream SQL can read tables of it: FROM name */
    bool has_stream; /* each instance has a durable stream: driver_env.append */

    /*
     * Makes an instance from checked options. May block up to 5 s. `options` and `declaration`
     * are borrowed until close. On false nothing is left behind, diags name the fix, and it will
     * be tried again with back-off when the cause may pass (DIAG_IO, DIAG_REMOTE, DIAG_BUSY,
     * DIAG_TIMEOUT); other classes are final until the rule file changes.
     */
    bool (*open)(void **out_instance, const struct driver_env *env, const void *options,
                 const struct driver_declaration *declaration, struct diag_list *diags);

    /* Called once after a successful open; must not take longer than 1 s. */
    void (*close)(void *instance);

    /*
     * SINK. Delivers a batch in order and sets one outcome a record. May block until the deadline.
     * A local store commits the batch and the last record id together, and answers DONE for
     * records it already holds: so a batch sent twice is stored once.
     * NULL: instances are not opened; rows are published by the sink `topic`, to the table's option
     * 'topic'.
     */
    void (*write)(void *instance, struct batch *batch);

    /* TABLE. Columns as they are now, in the arena; they may grow between calls. Any thread. */
    bool (*describe)(void *instance, struct arena *arena, struct table_schema *out,
                     struct diag_list *diags);

    /* TABLE. Calls `row` for each row that may match. Any thread; constant memory. */
    bool (*scan)(void *instance, const struct table_schema *schema,
                 const struct scan_request *request, scan_row_fn row, void *context,
                 struct diag_list *diags);

    /*
     * TABLE. One item by its whole key, for rules that look into tables while they run (DynamoDB's
     * GetItem). `key` is a JSON object of the key's members and no others:
     * {"CustomerID":10027610,"Period":"2022-01"}. `*item` becomes the item's JSON text in the
     * arena, or empty when there is none. Sees what write has answered DONE. Any thread; takes a
     * few milliseconds at most: it fails with DIAG_BUSY rather than wait. DIAG_INVALID: this can
     * be no key of the table. NULL: the driver has no keys.
     */
    bool (*lookup)(void *instance, struct bytes key, struct arena *arena, struct bytes *item,
                   struct diag_list *diags);

    /*
     * FUNCTION. What it answers to one argument, JSON text, for rules that wait for the answer
     * (aws_lambda). `*answer` is in the arena. Blocks for 2 s, and for another 2 s where a process
     * has to be started first; a function that is late or crashes fails at once for the next 10 s.
     * One thread at a time, which may be another than that of write. NULL: it is no function.
     */
    bool (*call)(void *instance, struct bytes argument, struct arena *arena, struct bytes *answer,
                 struct diag_list *diags);

    /* Cheap and non-blocking; any thread. NULL: always OK. */
    void (*health)(void *instance, struct health *out);
};

/* The row of drivers.def with this connector name, or NULL. */
const struct driver *driver_find(struct bytes name);

/* All rows, NULL-terminated: for the catalogue and did-you-mean. */
extern const struct driver *const driver_catalogue[];

#endif
