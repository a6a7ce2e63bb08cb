/* The plan of a lookup join: between plan_join.c, which makes it, and lookup.c, which runs it. */
#ifndef HEADGATE_RULES_STREAM_LOOKUP_H
#define HEADGATE_RULES_STREAM_LOOKUP_H

#include "op.h"

/*
 * Each row is joined with the item that the table holds under a key right now; later changes of
 * the table change nothing. Rows that come out: the row's columns, then the table's.
 */
struct lookup_plan {
    struct stream_op_plan op;
    const struct stream_table *table;
    const struct bytes *key_names; /* JSON, with ':' */
    const struct stream_node *const *keys;
    size_t key_count;
    size_t left_count; /* columns of the row */
    bool is_left;      /* LEFT JOIN: without an item the table's columns are NULL */
    const struct stream_node *rest; /* over both; NULL: true */
};
extern const struct stream_op_class stream_lookup_class;

#endif
