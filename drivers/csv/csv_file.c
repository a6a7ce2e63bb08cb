/*
 * An index is made for a set of key columns when it is first asked for: joins name their keys, the
 * file does not. A key is the JSON of its values, in the order of the declared columns.
 */
#include "drivers/csv/csv_file.h"

#include "base/calendar.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "drivers/csv/csv_record.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

struct row {
    const struct cell *cells;
    const struct bytes *values; /* the same as JSON */
    struct bytes json;
};

struct index {
    struct index *next;
    const bool *has; /* a column each */
    struct map rows; /* key -> struct row */
};

struct csv_file {
    const struct driver_declaration *declaration;
    struct arena arena;
    struct row *rows;
    size_t row_count, row_capacity;
    struct index *indexes;
};

/* What reading goes through. */
struct reading {
    struct csv_file *file;
    const struct csv_format *format;
    const size_t *columns; /* of each cell of a record; SIZE_MAX: not declared */
    size_t width;          /* cells of a record */
    struct diag_list *diags;
};

static bool
fail_at(const struct reading *reading, size_t line, size_t column, const char *format, ...)
        PRINTF_LIKE(4, 5);

static bool
fail_at(const struct reading *reading, size_t line, size_t column, const char *format, ...)
{
    struct buf text = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    diag_error(reading->diags, DIAG_CORRUPT, "%.*s:%zu:%zu: %s", BYTES_ARG(reading->format->path),
               line, column, buf_string(&text));
    buf_fini(&text);
    return false;
}

/* ---- the header ---- */

static size_t
find_column(const struct driver_declaration *declaration, struct bytes name)
{
    for (size_t i = 0; i < declaration->column_count; i++) {
        if (bytes_equal_nocase(declaration->columns[i].name, name)) {
            return i;
        }
    }
    return SIZE_MAX;
}

/* Sets what the cells of each record are; true when this record says so. */
static bool
read_header(struct reading *reading, const struct csv_cell *cells, size_t count)
{
    const struct driver_declaration *declaration = reading->file->declaration;
    size_t found = 0;
    size_t *columns = arena_new_array(&reading->file->arena, size_t,
                                      count + declaration->column_count);
    for (size_t i = 0; i < count; i++) {
        columns[i] = find_column(declaration, cells[i].text);
        for (size_t j = 0; j < i; j++) {
            columns[i] = columns[j] == columns[i] ? SIZE_MAX : columns[i];
        }
        found += columns[i] != SIZE_MAX;
    }
    bool is_header = found == declaration->column_count;
    for (size_t i = 0; i < declaration->column_count && !is_header; i++) {
        columns[i] = i;
    }
    reading->columns = columns;
    reading->width = is_header ? count : declaration->column_count;
    return is_header;
}

/* ---- cells ---- */

static bool
read_number(struct bytes text, double *out)
{
    struct arena arena = {0};
    struct json json;
    struct json_error error;
    bool is_number = json_parse(&json, text, 2, &arena, &error) &&
                     json.nodes[0].kind == JSON_NUMBER;
    *out = is_number ? json_double(&json, 0) : 0;
    arena_fini(&arena);
    return is_number;
}

/* False: the text is no value of that type. */
static bool
read_value(enum column_type type, struct bytes text, struct cell *cell, struct buf *json)
{
    switch (type) {
    case COLUMN_VARCHAR:
        if (!bytes_is_utf8(text)) {
            return false;
        }
        cell->text = text;
        json_write_string(json, text);
        return true;
    case COLUMN_BIGINT:
        if (!bytes_to_int64(text, &cell->integer)) {
            return false;
        }
        buf_printf(json, "%" PRId64, cell->integer);
        return true;
    case COLUMN_DOUBLE:
        if (!read_number(text, &cell->real)) {
            return false;
        }
        json_write_double(json, cell->real);
        return true;
    case COLUMN_BOOLEAN:
        cell->integer = bytes_equal_nocase(text, BYTES("true"));
        buf_append_string(json, cell->integer != 0 ? "true" : "false");
        return cell->integer != 0 || bytes_equal_nocase(text, BYTES("false"));
    case COLUMN_TIMESTAMP:
        if (!calendar_parse(text, &cell->integer)) {
            return false;
        }
        buf_append_char(json, '"');
        calendar_print(cell->integer, ' ', json);
        buf_append_char(json, '"');
        return true;
    }
    never("column type");
}

static const char *
type_words(enum column_type type)
{
    static const char *const words[] = {
            [COLUMN_VARCHAR] = "UTF-8 text",
            [COLUMN_BIGINT] = "a whole number",
            [COLUMN_DOUBLE] = "a number",
            [COLUMN_BOOLEAN] = "true or false",
            [COLUMN_TIMESTAMP] = "a time like 2026-03-01 12:00:00",
    };
    return words[type];
}

static bool
read_cell(struct reading *reading, const struct csv_cell *from, size_t column, struct cell *cell,
          struct bytes *value)
{
    const struct declared_column *declared = &reading->file->declaration->columns[column];
    struct buf json = {.arena = &reading->file->arena};
    *cell = (struct cell){.is_null = from->text.size == 0 && !from->is_quoted};
    if (cell->is_null) {
        *value = BYTES("null");
        return true;
    }
    if (!read_value(declared->type, from->text, cell, &json)) {
        return fail_at(reading, from->line, from->column, "'%.*s' is not %s, as column '%.*s' wants",
                       BYTES_ARG(bytes_slice(from->text, 0, 60)), type_words(declared->type),
                       BYTES_ARG(declared->name));
    }
    *value = buf_bytes(&json);
    return true;
}

/* ---- rows ---- */

static struct bytes
object_of(struct csv_file *file, const struct bytes *values)
{
    struct buf json = {.arena = &file->arena};
    for (size_t i = 0; i < file->declaration->column_count; i++) {
        buf_append_char(&json, i == 0 ? '{' : ',');
        json_write_string(&json, file->declaration->columns[i].name);
        buf_append_char(&json, ':');
        buf_append(&json, values[i]);
    }
    buf_append_char(&json, '}');
    return buf_bytes(&json);
}

static bool
add_row(struct reading *reading, const struct csv_cell *from, size_t count)
{
    struct csv_file *file = reading->file;
    size_t width = file->declaration->column_count;
    if (count != reading->width) {
        return fail_at(reading, from[0].line, from[0].column, "%zu cells, there should be %zu",
                       count, reading->width);
    }
    struct cell *cells = arena_new_array(&file->arena, struct cell, width);
    struct bytes *values = arena_new_array(&file->arena, struct bytes, width);
    for (size_t i = 0; i < count; i++) {
        size_t column = reading->columns[i];
        if (column != SIZE_MAX &&
            !read_cell(reading, &from[i], column, &cells[column], &values[column])) {
            return false;
        }
    }
    file->rows = mem_grow(file->rows, file->row_count, &file->row_capacity, sizeof *file->rows);
    file->rows[file->row_count++] = (struct row){cells, values, object_of(file, values)};
    return true;
}

bool
csv_file_read(struct csv_file **out, struct bytes text, const struct csv_format *format,
              const struct driver_declaration *declaration, struct diag_list *diags)
{
    struct csv_file *file = mem_new(struct csv_file);
    file->declaration = declaration;
    struct reading reading = {.file = file, .format = format, .diags = diags};
    struct csv_reader reader = csv_reader(arena_copy(&file->arena, text), format->separator);
    const struct csv_cell *cells;
    size_t count;
    bool is_good = true, is_first = true;
    while (is_good && csv_next(&reader, &file->arena, &cells, &count)) {
        bool is_header = is_first && read_header(&reading, cells, count);
        is_first = false;
        is_good = is_header || add_row(&reading, cells, count);
    }
    if (is_good && reader.problem != NULL) {
        is_good = fail_at(&reading, reader.line, reader.column, "%s", reader.problem);
    }
    if (!is_good) {
        csv_file_free(file);
        return false;
    }
    *out = file;
    return true;
}

void
csv_file_free(struct csv_file *file)
{
    if (file == NULL) {
        return;
    }
    for (struct index *index = file->indexes; index != NULL; index = index->next) {
        map_fini(&index->rows);
    }
    free(file->rows);
    arena_fini(&file->arena);
    free(file);
}

size_t
csv_file_rows(const struct csv_file *file)
{
    return file->row_count;
}

const struct cell *
csv_file_cells(const struct csv_file *file, size_t row)
{
    return file->rows[row].cells;
}

/* ---- keys ---- */

static struct bytes
key_of(const struct csv_file *file, const bool *has, const struct bytes *values,
       struct arena *arena)
{
    struct buf key = {.arena = arena};
    for (size_t i = 0; i < file->declaration->column_count; i++) {
        if (has[i]) {
            buf_append(&key, values[i]);
            buf_append_char(&key, ',');
        }
    }
    return buf_bytes(&key);
}

static struct index *
index_of(struct csv_file *file, const bool *has)
{
    size_t width = file->declaration->column_count;
    struct index *index = file->indexes;
    while (index != NULL && memcmp(index->has, has, width * sizeof *has) != 0) {
        index = index->next;
    }
    if (index != NULL) {
        return index;
    }
    bool *kept = arena_new_array(&file->arena, bool, width);
    memcpy(kept, has, width * sizeof *kept);
    index = arena_new(&file->arena, struct index);
    *index = (struct index){.next = file->indexes, .has = kept};
    file->indexes = index;
    for (size_t i = 0; i < file->row_count; i++) {
        struct bytes key = key_of(file, has, file->rows[i].values, &file->arena);
        if (map_find(&index->rows, key) == NULL) {
            map_put(&index->rows, key, &file->rows[i]);
        }
    }
    return index;
}

/* The values as the file's cells have them, so that texts can be compared. */
static bool
read_key(struct csv_file *file, const struct json *json, bool *has, struct bytes *values,
         struct arena *arena)
{
    const struct driver_declaration *declaration = file->declaration;
    size_t found = 0;
    for (size_t i = 0; i < declaration->column_count; i++) {
        uint32_t node = json_member(json, 0, declaration->columns[i].name);
        has[i] = node != 0;
        if (has[i]) {
            struct cell cell;
            struct buf value = {.arena = arena};
            struct bytes text = json->nodes[node].kind == JSON_STRING
                                        ? json_string(json, node, arena)
                                        : json_raw(json, node);
            if (!read_value(declaration->columns[i].type, text, &cell, &value)) {
                return false;
            }
            values[i] = buf_bytes(&value);
            found++;
        }
    }
    return found > 0 && found == json->nodes[0].count;
}

bool
csv_file_find(struct csv_file *file, struct bytes key, struct bytes *row, struct diag_list *diags)
{
    struct arena arena = {0};
    struct json json;
    struct json_error error;
    size_t width = file->declaration->column_count;
    bool *has = arena_new_array(&arena, bool, width);
    struct bytes *values = arena_new_array(&arena, struct bytes, width);
    bool is_key = json_parse(&json, key, 2, &arena, &error) &&
                  json.nodes[0].kind == JSON_OBJECT && read_key(file, &json, has, values, &arena);
    *row = BYTES("");
    if (is_key) {
        const struct row *found = map_find(&index_of(file, has)->rows,
                                           key_of(file, has, values, &arena));
        *row = found == NULL ? BYTES("") : found->json;
    } else {
        diag_error(diags, DIAG_INVALID, "%.*s is no key of columns that are declared",
                   BYTES_ARG(bytes_slice(key, 0, 100)));
    }
    arena_fini(&arena);
    return is_key;
}
