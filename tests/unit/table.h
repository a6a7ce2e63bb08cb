/*
 * A table instance for tests: a driver over a folder of its own, with options as a user writes
 * them, a clock that stands where the test puts it, and rows as text.
 */
#ifndef HEADGATE_TESTS_TABLE_H
#define HEADGATE_TESTS_TABLE_H

#include "unit.h"

#include "driver.h"

struct table {
    const struct driver *driver;
    struct os os; /* of the system, but for the clocks */
    int64_t wall_us;
    int64_t mono_us; /* it stands, too */
    bool is_synchronised;
    struct driver_env env;
    struct driver_declaration declaration;
    void *options;
    void *instance;
    char dir[64];
    struct arena arena;
    struct diag_list diags;
    uint64_t position; /* of the next record */
    const char *params; /* of the next records' action; NULL: none */
    uint64_t dead_position; /* of the records of table_write_at() */
};

/* "name=value" options, NULL-terminated. The folder is made anew; the instance is not open. */
void table_init(struct table *table, const char *connector, const char *const *options);
void table_fini(struct table *table);

bool table_open(struct table *table); /* false: see diags */
void table_close(struct table *table);

/* Writes one record at the next position; returns its verdict, `*reason` (may be NULL) in arena. */
enum verdict table_write(struct table *table, const char *payload, const char **reason);

/* Writes `count` records with the positions given. */
void table_write_at(struct table *table, const uint64_t *positions, const char *const *payloads,
                    size_t count, enum verdict *verdicts);

/* All rows in time's order as text, "name=value name=value\n", nulls left out. */
const char *table_rows(struct table *table, const struct scan_request *request);

/* The columns: "name:TYPE name:TYPE". */
const char *table_columns(struct table *table);

#endif
