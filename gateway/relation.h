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
};

extern const struct option_table sink_option_table;

struct relation {
    const struct driver *driver;
    void *options; /* driver->options_size bytes */
    struct sink_options sink;
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

/* The sink that needs no declaration, of a driver with default options. */
void relation_init_default(struct relation *out, const struct driver *driver);

void relation_fini(struct relation *relation);

/*
 * Appends what makes this relation what it is: two declarations with equal text can share one
 * running instance.
 */
void relation_fingerprint(const struct rule_relation *declared, struct buf *out);

#endif
