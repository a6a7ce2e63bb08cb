#include "drivers/csv/csv_record.h"

#include "base/buf.h"

struct csv_reader
csv_reader(struct bytes text, char separator)
{
    struct bytes mark = BYTES("\xef\xbb\xbf");
    size_t skipped = bytes_starts_with(text, mark) ? mark.size : 0;
    return (struct csv_reader){.rest = bytes_slice(text, skipped, text.size),
                               .separator = separator, .line = 1, .column = 1};
}

static bool
at_end(const struct csv_reader *reader)
{
    return reader->rest.size == 0;
}

/* CR LF, LF or the end of the text; a CR alone is of the cell. */
static bool
at_line_end(const struct csv_reader *reader)
{
    struct bytes rest = reader->rest;
    return rest.size == 0 || rest.data[0] == '\n' || bytes_starts_with(rest, BYTES("\r\n"));
}

/* Takes one byte. */
static void
step(struct csv_reader *reader)
{
    bool is_line = reader->rest.data[0] == '\n';
    reader->line += is_line;
    reader->column = is_line ? 1 : reader->column + 1;
    reader->rest = bytes_slice(reader->rest, 1, reader->rest.size);
}

static void
step_line_end(struct csv_reader *reader)
{
    while (!at_end(reader) && at_line_end(reader)) {
        bool is_last = reader->rest.data[0] == '\n';
        step(reader);
        if (is_last) {
            return;
        }
    }
}

/* False: `problem` is set. */
static bool
read_quoted(struct csv_reader *reader, struct arena *arena, struct csv_cell *cell)
{
    struct buf text = {.arena = arena};
    step(reader);
    for (; !at_end(reader); step(reader)) {
        bool is_quote = reader->rest.data[0] == '"';
        bool is_doubled = is_quote && reader->rest.size > 1 && reader->rest.data[1] == '"';
        if (is_quote && !is_doubled) {
            break;
        }
        buf_append_char(&text, reader->rest.data[0]);
        if (is_doubled) {
            step(reader);
        }
    }
    if (at_end(reader)) {
        reader->line = cell->line;
        reader->column = cell->column;
        reader->problem = "the quote that begins here is never closed";
        return false;
    }
    step(reader);
    cell->text = buf_bytes(&text);
    if (!at_line_end(reader) && reader->rest.data[0] != reader->separator) {
        reader->problem = "text behind a closing quote; a quote inside of a cell is doubled: \"\"";
        return false;
    }
    return true;
}

static void
read_plain(struct csv_reader *reader, struct csv_cell *cell)
{
    struct bytes start = reader->rest;
    while (!at_line_end(reader) && reader->rest.data[0] != reader->separator) {
        step(reader);
    }
    cell->text = bytes_slice(start, 0, start.size - reader->rest.size);
}

bool
csv_next(struct csv_reader *reader, struct arena *arena, const struct csv_cell **cells,
         size_t *count)
{
    struct csv_cell *list = NULL;
    size_t used = 0, capacity = 0;
    while (!at_end(reader) && at_line_end(reader)) {
        step_line_end(reader);
    }
    if (at_end(reader) || reader->problem != NULL) {
        return false;
    }
    for (;;) {
        if (used == capacity) {
            size_t more = capacity == 0 ? 16 : capacity * 2;
            struct csv_cell *grown = arena_new_array(arena, struct csv_cell, more);
            if (used > 0) {
                memcpy(grown, list, used * sizeof *list);
            }
            list = grown;
            capacity = more;
        }
        struct csv_cell *cell = &list[used++];
        *cell = (struct csv_cell){.line = reader->line, .column = reader->column};
        cell->is_quoted = !at_end(reader) && reader->rest.data[0] == '"';
        if (!cell->is_quoted) {
            read_plain(reader, cell);
        } else if (!read_quoted(reader, arena, cell)) {
            return false;
        }
        if (at_line_end(reader)) {
            break;
        }
        step(reader); /* the separator */
    }
    step_line_end(reader);
    *cells = list;
    *count = used;
    return true;
}
