/*
 * What queries see of a table. Any thread; the memory of a scan is that of its largest item.
 */
#include "table_query.h"

#include "base/map.h"
#include "base/mem.h"

#include <stdlib.h>

/* ---- columns ---- */

struct column_list {
    struct column *columns;
    size_t count;
    const struct table_attribute *attributes;
    size_t attribute_count;
};

/* Adds a column that is not there yet; `type` counts while no item has given it one. */
static void
add_column(struct column_list *list, struct bytes name, enum column_type type, struct bytes kind)
{
    for (size_t i = 0; i < list->count; i++) {
        if (bytes_equal(list->columns[i].name, name)) {
            return;
        }
    }
    for (size_t i = 0; i < list->attribute_count; i++) {
        const struct table_attribute *attribute = &list->attributes[i];
        if (attribute->typed && bytes_equal(attribute->name, name)) {
            type = attribute->type;
        }
    }
    list->columns[list->count++] = (struct column){name, type, kind};
}

static enum column_type
declared_type(const struct driver_declaration *declaration, struct bytes name)
{
    for (size_t i = 0; i < declaration->column_count; i++) {
        if (bytes_equal(declaration->columns[i].name, name)) {
            return declaration->columns[i].type;
        }
    }
    return COLUMN_VARCHAR;
}

bool
table_query_describe(struct table_reader *reader, const struct table_keys *keys,
                     const struct driver_declaration *declaration, struct arena *arena,
                     struct table_schema *out, struct diag_list *diags)
{
    struct column_list list = {0};
    if (!table_reader_attributes(reader, arena, &list.attributes, &list.attribute_count, diags)) {
        return false;
    }
    list.columns = arena_new_array(arena, struct column,
                                   2 + declaration->column_count + list.attribute_count);
    add_column(&list, keys->partition.name, declared_type(declaration, keys->partition.name),
               BYTES("PARTITION_KEY"));
    if (keys->sort.name.size > 0) {
        add_column(&list, keys->sort.name, declared_type(declaration, keys->sort.name),
                   BYTES("SORT_KEY"));
    }
    for (size_t i = 0; i < declaration->column_count; i++) {
        const struct declared_column *column = &declaration->columns[i];
        bool is_time = column->type == COLUMN_TIMESTAMP; /* an item holds it as text or number */
        add_column(&list, column->name, is_time ? COLUMN_VARCHAR : column->type,
                   BYTES("ATTRIBUTE"));
    }
    for (size_t i = 0; i < list.attribute_count; i++) {
        add_column(&list, list.attributes[i].name, list.attributes[i].type, BYTES("ATTRIBUTE"));
    }
    *out = (struct table_schema){list.columns, list.count};
    return true;
}

/* ---- rows ---- */

struct scan {
    const struct table_schema *schema;
    struct map columns; /* name -> cell in `cells` */
    struct cell *cells;
    scan_row_fn row;
    void *context;
    struct arena arena; /* of one item */
};

/* An item may be newer than the schema: what does not fit its column is null. */
static struct cell
cell_of(const struct json *item, uint32_t node, enum column_type type, struct arena *arena)
{
    enum json_kind kind = (enum json_kind)item->nodes[node].kind;
    struct cell cell = {.is_null = true};
    switch (type) {
    case COLUMN_BOOLEAN:
        cell.is_null = kind != JSON_TRUE && kind != JSON_FALSE;
        cell.integer = kind == JSON_TRUE;
        break;
    case COLUMN_BIGINT:
        cell.is_null = kind != JSON_NUMBER || !json_int64(item, node, &cell.integer);
        break;
    case COLUMN_DOUBLE:
        cell.is_null = kind != JSON_NUMBER;
        cell.real = cell.is_null ? 0 : json_double(item, node);
        break;
    case COLUMN_VARCHAR:
        cell.is_null = kind == JSON_NULL;
        cell.text = kind == JSON_STRING ? json_string(item, node, arena) : json_raw(item, node);
        break;
    case COLUMN_TIMESTAMP:
        break;
    }
    return cell;
}

static bool
scan_item(void *context, struct bytes text, struct diag_list *diags)
{
    struct scan *scan = context;
    struct json item;
    struct json_error error;
    arena_reset(&scan->arena);
    if (!json_parse(&item, text, JSON_DEPTH_MAX_DEFAULT + 1, &scan->arena, &error)) {
        diag_error(diags, DIAG_CORRUPT, "a stored item is not JSON: %s at byte %zu", error.message,
                   error.offset);
        return false;
    }
    for (size_t i = 0; i < scan->schema->count; i++) {
        scan->cells[i] = (struct cell){.is_null = true};
    }
    uint32_t end = item.nodes[0].next;
    for (uint32_t node = 1; node < end; node = item.nodes[node + 1].next) {
        struct cell *cell = map_find(&scan->columns, json_string(&item, node, &scan->arena));
        if (cell != NULL) {
            size_t column = (size_t)(cell - scan->cells);
            *cell = cell_of(&item, node + 1, scan->schema->columns[column].type, &scan->arena);
        }
    }
    return scan->row(scan->context, scan->cells);
}

/*
 * The partitions whose key may show as a text: the string itself, and the number or binary that is
 * written so.
 */
static void
partitions_of(struct bytes text, struct arena *arena, struct bytes out[2])
{
    struct buf string = {.arena = arena};
    struct buf other = {.arena = arena};
    struct json json;
    struct json_error error;
    table_key_append_text(&string, TABLE_KEY_STRING, text);
    out[0] = buf_bytes(&string);
    bool is_json = json_parse(&json, text, 2, arena, &error);
    out[1] = is_json && table_item_key_bytes(&json, 0, arena, &other) ? buf_bytes(&other) : out[0];
}

bool
table_query_scan(struct table_reader *reader, const struct table_keys *keys,
                 const struct table_schema *schema, const struct scan_request *request,
                 scan_row_fn row, void *context, struct diag_list *diags)
{
    struct scan scan = {
            .schema = schema,
            .cells = mem_new_array(struct cell, schema->count),
            .row = row,
            .context = context,
    };
    for (size_t i = 0; i < schema->count; i++) {
        if (request->wanted == NULL || request->wanted[i]) {
            map_put(&scan.columns, schema->columns[i].name, &scan.cells[i]);
        }
    }
    struct arena arena = {0};
    struct bytes only[2];
    size_t equal = request->equal_column;
    bool narrow = equal < schema->count
                  && bytes_equal(schema->columns[equal].name, keys->partition.name);
    if (narrow) {
        partitions_of(request->equal_text, &arena, only);
    }
    bool done = table_reader_scan(reader, narrow ? only : NULL, scan_item, &scan, diags);
    map_fini(&scan.columns);
    free(scan.cells);
    arena_fini(&scan.arena);
    arena_fini(&arena);
    return done;
}
