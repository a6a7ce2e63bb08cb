/*
 * Where the items of one table lie, and which attributes they have. Keys are bytes of table_key.h.
 *
 * A writer belongs to one thread. A reader may be used by any threads at once, in the writer's
 * process or in another one, and sees what was committed.
 */
#ifndef HEADGATE_DRIVERS_TABLE_STORE_H
#define HEADGATE_DRIVERS_TABLE_STORE_H

#include "drivers/progress.h"

#include "base/json.h"

enum {
    TABLE_ATTRIBUTES_MAX = 1000,    /* that become columns */
    TABLE_ATTRIBUTE_NAME_MAX = 255, /* bytes of a name that becomes a column */
};

/* ---- writing ---- */

struct table_store;

/*
 * Opens for writing; see sqlite_open() about damaged files. Items that were stored under other key
 * members are an error: `partition` and `sort` ("" for none) are part of the file.
 */
bool table_store_open(struct table_store **out, const struct os *os, const char *dir,
                      struct bytes partition, struct bytes sort, struct diag_list *diags)
        MUST_CHECK;

/* Accepts NULL. An open transaction is rolled back. */
void table_store_close(struct table_store *store);

/* Renames the closed file, for damage found later. */
bool table_store_move_aside(const struct os *os, const char *dir, struct diag_list *diags)
        MUST_CHECK;

/* All calls below are within one transaction. After a false, roll back. */
bool table_store_begin(struct table_store *store, struct diag_list *diags) MUST_CHECK;
bool table_store_commit(struct table_store *store, struct diag_list *diags) MUST_CHECK;
void table_store_rollback(struct table_store *store);

/* Stores an item (a JSON object, byte for byte) in the place of the one with its key. */
bool table_store_put(struct table_store *store, struct bytes partition, struct bytes sort,
                     const struct json *item, struct arena *arena, struct diag_list *diags)
        MUST_CHECK;

/* No such item is no error. */
bool table_store_delete(struct table_store *store, struct bytes partition, struct bytes sort,
                        struct diag_list *diags) MUST_CHECK;

/* The item with a key as it is within the transaction, in `arena`; empty when there is none. */
bool table_store_get(struct table_store *store, struct bytes partition, struct bytes sort,
                     struct arena *arena, struct bytes *item, struct diag_list *diags) MUST_CHECK;

/* Items have had attributes beyond the limits above: they are stored, but are no columns. */
bool table_store_is_full(const struct table_store *store);

/* How far the streams are applied; to be saved in each transaction (progress.h). */
struct progress_table *table_store_progress(struct table_store *store);

/* ---- reading ---- */

struct table_reader;

/* Cheap: connections are made by the first use, when the file exists. */
struct table_reader *table_reader_new(const char *dir);
void table_reader_free(struct table_reader *reader);

/* After the file has been moved aside: later calls open the new one. */
void table_reader_reset(struct table_reader *reader);

/* An attribute that items have or had, and the type of column that holds all its values exactly. */
struct table_attribute {
    struct bytes name;
    bool typed; /* false: it was only ever null */
    enum column_type type;
};

/* In the order of first use, in `arena`. A table without a file has none. */
bool table_reader_attributes(struct table_reader *reader, struct arena *arena,
                             const struct table_attribute **out, size_t *count,
                             struct diag_list *diags) MUST_CHECK;

/*
 * The item with a key, in `arena`; empty when there is none. Fails with DIAG_BUSY instead of
 * waiting.
 */
bool table_reader_get(struct table_reader *reader, struct bytes partition, struct bytes sort,
                      struct arena *arena, struct bytes *item, struct diag_list *diags) MUST_CHECK;

/*
 * The items in the order of their keys; those of two partitions when `only` (two keys, may be
 * equal) is not NULL. `item` is called with each text; false ends the scan.
 */
bool table_reader_scan(struct table_reader *reader, const struct bytes *only,
                       bool (*item)(void *context, struct bytes text, struct diag_list *diags),
                       void *context, struct diag_list *diags) MUST_CHECK;

#endif
