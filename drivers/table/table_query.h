/*
 * Items as rows of a table: columns from the attributes that items have, cells from their JSON.
 */
#ifndef HEADGATE_DRIVERS_TABLE_QUERY_H
#define HEADGATE_DRIVERS_TABLE_QUERY_H

#include "table_item.h"
#include "table_store.h"

/*
 * The key members, the declared columns, then the other attributes in the order of first use. A
 * column has the type that shows all its values without loss: BIGINT, DOUBLE or BOOLEAN where all
 * have it; else VARCHAR, with strings as they are and everything else as JSON text.
 */
bool table_query_describe(struct table_reader *reader, const struct table_keys *keys,
                          const struct driver_declaration *declaration, struct arena *arena,
                          struct table_schema *out, struct diag_list *diags) MUST_CHECK;

/* In the order of the keys; there is no time. An equality with the partition key is used. */
bool table_query_scan(struct table_reader *reader, const struct table_keys *keys,
                      const struct table_schema *schema, const struct scan_request *request,
                      scan_row_fn row, void *context, struct diag_list *diags) MUST_CHECK;

#endif
