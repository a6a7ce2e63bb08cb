/* Results for people (a table of text) and for programs (JSON). */
#include "query.h"

#include "base/json.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

/* Control characters would let stored data steer the terminal. */
static void
append_visible(struct buf *out, struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c < 0x20 || c == 0x7f) {
            buf_printf(out, "\\x%02x", c);
        } else {
            buf_append_char(out, text.data[i]);
        }
    }
}

/* Characters, not bytes: continuation bytes of UTF-8 take no place. */
static size_t
width_of(struct bytes text)
{
    size_t width = 0;
    for (size_t i = 0; i < text.size; i++) {
        width += ((unsigned char)text.data[i] & 0xc0) != 0x80;
    }
    return width;
}

static bool
is_number(enum query_type type)
{
    return type == QUERY_BIGINT || type == QUERY_DOUBLE;
}

static void
print_cell(const struct query_value *value, struct buf *out)
{
    struct buf text = {0};
    query_value_print(value, &text);
    buf_clear(out);
    append_visible(out, value->is_null ? BYTES("NULL") : buf_bytes(&text));
    buf_fini(&text);
}

static void
pad(struct buf *out, size_t count, char with)
{
    for (size_t i = 0; i < count; i++) {
        buf_append_char(out, with);
    }
}

static void
print_padded(struct buf *out, struct bytes text, size_t width, bool right, bool last)
{
    size_t missing = width - width_of(text);
    if (right) {
        pad(out, missing, ' ');
    }
    buf_append(out, text);
    if (!right && !last) {
        pad(out, missing, ' ');
    }
    buf_append_string(out, last ? "\n" : "  ");
}

static size_t *
measure(const struct query_result *result, struct buf *scratch)
{
    size_t *widths = mem_new_array(size_t, result->column_count + 1);
    for (size_t c = 0; c < result->column_count; c++) {
        buf_clear(scratch);
        append_visible(scratch, result->columns[c].name);
        widths[c] = width_of(buf_bytes(scratch));
        for (size_t r = 0; r < result->row_count; r++) {
            print_cell(&result->rows[r][c], scratch);
            size_t width = width_of(buf_bytes(scratch));
            widths[c] = width > widths[c] ? width : widths[c];
        }
    }
    return widths;
}

void
query_print_text(const struct query_result *result, struct buf *out)
{
    struct buf cell = {0};
    size_t *widths = measure(result, &cell);
    size_t columns = result->column_count;
    for (size_t c = 0; c < columns; c++) {
        buf_clear(&cell);
        append_visible(&cell, result->columns[c].name);
        print_padded(out, buf_bytes(&cell), widths[c], is_number(result->columns[c].type),
                     c + 1 == columns);
    }
    for (size_t c = 0; c < columns; c++) {
        pad(out, widths[c], '-');
        buf_append_string(out, c + 1 == columns ? "\n" : "  ");
    }
    for (size_t r = 0; r < result->row_count; r++) {
        for (size_t c = 0; c < columns; c++) {
            print_cell(&result->rows[r][c], &cell);
            print_padded(out, buf_bytes(&cell), widths[c], is_number(result->columns[c].type),
                         c + 1 == columns);
        }
    }
    buf_printf(out, "(%zu row%s)\n", result->row_count, result->row_count == 1 ? "" : "s");
    free(widths);
    buf_fini(&cell);
}

static void
print_json_value(const struct query_value *value, struct buf *out)
{
    bool no_number = value->type == QUERY_DOUBLE && !isfinite(value->real);
    if (value->is_null || no_number) {
        buf_append_string(out, "null");
        return;
    }
    if (is_number(value->type) || value->type == QUERY_BOOLEAN) {
        query_value_print(value, out);
        return;
    }
    struct buf text = {0};
    query_value_print(value, &text);
    json_write_string(out, buf_bytes(&text));
    buf_fini(&text);
}

void
query_print_json(const struct query_result *result, struct buf *out)
{
    buf_append_char(out, '[');
    for (size_t r = 0; r < result->row_count; r++) {
        buf_append_string(out, r > 0 ? ",\n{" : "\n{");
        for (size_t c = 0; c < result->column_count; c++) {
            buf_append_string(out, c > 0 ? "," : "");
            json_write_string(out, result->columns[c].name);
            buf_append_char(out, ':');
            print_json_value(&result->rows[r][c], out);
        }
        buf_append_char(out, '}');
    }
    buf_append_string(out, result->row_count > 0 ? "\n]\n" : "]\n");
}
