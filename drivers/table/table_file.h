/*
 * What the writing and the reading half of a table's file share. Internal to drivers/table/.
 */
#ifndef HEADGATE_DRIVERS_TABLE_FILE_H
#define HEADGATE_DRIVERS_TABLE_FILE_H

#include "drivers/sqlite.h"

#define TABLE_FILE "table.db"

#define TABLE_SELECT_ITEM "SELECT item FROM item WHERE pk = ?1 AND sk = ?2"

/* Bits of attribute.kinds: what values an attribute has had. */
enum table_kind {
    TABLE_KIND_INTEGER,      /* exact as a double too */
    TABLE_KIND_LONG_INTEGER, /* fits 64 bits */
    TABLE_KIND_DOUBLE,       /* a number of at most 15 digits: exact as a double */
    TABLE_KIND_BOOLEAN,
    TABLE_KIND_TEXT,         /* strings, arrays, objects, longer numbers */
};

/* Runs TABLE_SELECT_ITEM. The item is copied into `arena`; empty when there is none. */
bool table_file_get(sqlite3_stmt *select, struct bytes partition, struct bytes sort,
                    struct arena *arena, struct bytes *item, struct diag_list *diags) MUST_CHECK;

#endif
