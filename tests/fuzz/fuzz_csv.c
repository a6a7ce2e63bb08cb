/*
 * CSV text: what is accepted gives the same rows when its cells are written again, in quotes, and
 * each row is found by all of its cells that are there.
 */
#include "fuzz.h"

#include "drivers/csv/csv_file.h"
#include "drivers/csv/csv_record.h"

#include "base/json.h"

static const struct declared_column columns[] = {
        {{"a", 1}, COLUMN_VARCHAR}, {{"b", 1}, COLUMN_BIGINT}, {{"c", 1}, COLUMN_DOUBLE},
        {{"d", 1}, COLUMN_TIMESTAMP},
};

/* Writes the text's records with every cell in quotes; but not those that are NULL. */
static bool
quote(struct bytes text, struct buf *out)
{
    struct arena arena = {0};
    struct csv_reader reader = csv_reader(text, ',');
    const struct csv_cell *cells;
    size_t count;
    while (csv_next(&reader, &arena, &cells, &count)) {
        for (size_t i = 0; i < count; i++) {
            bool is_null = cells[i].text.size == 0 && !cells[i].is_quoted;
            buf_append_string(out, i == 0 ? "" : ",");
            buf_append_string(out, is_null && count > 1 ? "" : "\"");
            for (size_t at = 0; at < cells[i].text.size; at++) {
                buf_append_char(out, cells[i].text.data[at]);
                buf_append_string(out, cells[i].text.data[at] == '"' ? "\"" : "");
            }
            buf_append_string(out, is_null && count > 1 ? "" : "\"");
        }
        buf_append_char(out, '\n');
    }
    arena_fini(&arena);
    return reader.problem == NULL;
}

static bool
read_file(struct bytes text, size_t width, struct csv_file **out)
{
    const struct driver_declaration declaration = {.columns = columns, .column_count = width};
    const struct csv_format format = {',', BYTES("x")};
    static struct driver_declaration kept[5];
    struct diag_list diags = {0};
    kept[width] = declaration;
    bool is_read = csv_file_read(out, text, &format, &kept[width], &diags);
    check(is_read == (diags.errors == 0));
    diag_list_fini(&diags);
    return is_read;
}

/* Asks for a row by its text cells alone. */
static void
find(struct csv_file *file, size_t row)
{
    const struct cell *cells = csv_file_cells(file, row);
    struct diag_list diags = {0};
    struct buf key = {0};
    struct bytes found;
    if (cells[0].is_null) {
        return;
    }
    buf_append_string(&key, "{\"a\":");
    json_write_string(&key, cells[0].text);
    buf_append_char(&key, '}');
    check(csv_file_find(file, buf_bytes(&key), &found, &diags) && found.size > 0);
    buf_fini(&key);
    diag_list_fini(&diags);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    size_t width = 1 + data[0] % 4;
    struct bytes text = bytes_of(data + 1, size - 1);
    struct csv_file *file, *again;
    struct buf quoted = {0};
    bool is_cut = quote(text, &quoted);
    if (read_file(text, width, &file)) {
        check(is_cut);
        size_t rows = csv_file_rows(file);
        for (size_t i = 0; i < rows && i < 20; i++) {
            find(file, i);
        }
        check(width == 1 || !read_file(buf_bytes(&quoted), width, &again) ||
              (csv_file_rows(again) == rows && (csv_file_free(again), true)));
        csv_file_free(file);
    }
    buf_fini(&quoted);
    return 0;
}
