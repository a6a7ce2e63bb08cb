/* Queues of encoded rows. */
#include "rows.h"

#include "base/mem.h"

#include <stdlib.h>

struct kept_row
kept_row_of(const struct stream_schema *schema, const struct stream_value *values,
            int64_t time_ms, uint64_t sequence)
{
    struct buf bytes = {0};
    for (size_t i = 0; i < schema->count; i++) {
        stream_key_put(&bytes, schema->columns[i].type, &values[i]);
    }
    return (struct kept_row){time_ms, sequence, bytes.size, bytes.data};
}

struct stream_value *
kept_row_values(const struct kept_row *row, const struct stream_schema *schema,
                struct arena *arena)
{
    struct stream_value *values = arena_alloc(arena, (schema->count + 1) * sizeof *values);
    struct wire_reader reader = wire_reader(bytes_of(row->bytes, row->size));
    for (size_t i = 0; i < schema->count; i++) {
        values[i] = stream_key_get(&reader, schema->columns[i].type, arena);
    }
    return values;
}

void
kept_row_fini(struct kept_row *row)
{
    free(row->bytes);
    *row = (struct kept_row){0};
}

void
kept_rows_push(struct kept_rows *rows, struct kept_row row)
{
    if (rows->first > 0 && rows->first + rows->count == rows->capacity) {
        memmove(rows->items, rows->items + rows->first, rows->count * sizeof *rows->items);
        rows->first = 0;
    }
    rows->items = mem_grow(rows->items, rows->first + rows->count, &rows->capacity,
                           sizeof *rows->items);
    rows->items[rows->first + rows->count++] = row;
}

void
kept_rows_insert(struct kept_rows *rows, struct kept_row row)
{
    kept_rows_push(rows, row);
    struct kept_row *items = rows->items + rows->first;
    size_t at = rows->count - 1;
    while (at > 0 && items[at - 1].time_ms > row.time_ms) {
        items[at] = items[at - 1];
        at--;
    }
    items[at] = row;
}

struct kept_row
kept_rows_shift(struct kept_rows *rows)
{
    check(rows->count > 0);
    struct kept_row row = rows->items[rows->first++];
    rows->count--;
    rows->first = rows->count == 0 ? 0 : rows->first;
    return row;
}

void
kept_rows_set_back(struct kept_rows *rows, int64_t now_ms)
{
    for (size_t i = 0; i < rows->count; i++) {
        struct kept_row *row = kept_rows_at(rows, i);
        row->time_ms = row->time_ms > now_ms ? now_ms : row->time_ms;
    }
}

void
kept_rows_fini(struct kept_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        kept_row_fini(kept_rows_at(rows, i));
    }
    free(rows->items);
    *rows = (struct kept_rows){0};
}

void
kept_rows_save(const struct kept_rows *rows, struct buf *out)
{
    wire_put_varint(out, rows->count);
    for (size_t i = 0; i < rows->count; i++) {
        const struct kept_row *row = kept_rows_at(rows, i);
        wire_put_signed(out, row->time_ms);
        wire_put_varint(out, row->sequence);
        wire_put_bytes(out, bytes_of(row->bytes, row->size));
    }
}

bool
kept_rows_load(struct kept_rows *rows, struct wire_reader *reader)
{
    uint64_t count = wire_get_varint(reader);
    for (uint64_t i = 0; i < count && !reader->failed; i++) {
        struct kept_row row = {.time_ms = wire_get_signed(reader),
                               .sequence = wire_get_varint(reader)};
        struct bytes bytes = wire_get_bytes(reader);
        row.size = bytes.size;
        row.bytes = mem_alloc(bytes.size + 1);
        memcpy(row.bytes, bytes.size == 0 ? "" : bytes.data, bytes.size);
        kept_rows_push(rows, row);
    }
    return !reader->failed;
}
