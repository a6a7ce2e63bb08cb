#include "diag.h"

#include "mem.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void
diag_list_fini(struct diag_list *list)
{
    arena_fini(&list->arena);
    free(list->items);
    *list = (struct diag_list){0};
}

void
diag_list_clear(struct diag_list *list)
{
    arena_reset(&list->arena);
    list->count = 0;
    list->errors = 0;
}

static struct diag *
add(struct diag_list *list, enum diag_level level, enum diag_class class)
{
    list->items = mem_grow(list->items, list->count, &list->capacity, sizeof *list->items);
    struct diag *diag = &list->items[list->count++];
    *diag = (struct diag){.level = level, .class = class};
    list->errors += level == DIAG_ERROR;
    return diag;
}

static struct bytes
format_text(struct arena *arena, const char *format, va_list args)
{
    struct buf text = {0};
    buf_vprintf(&text, format, args);
    struct bytes copy = arena_copy(arena, buf_bytes(&text));
    buf_fini(&text);
    return copy;
}

void
diag_error(struct diag_list *list, enum diag_class class, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(list, DIAG_ERROR, class)->message = format_text(&list->arena, format, args);
    va_end(args);
}

void
diag_io_error(struct diag_list *list, int os_error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct bytes what = format_text(&list->arena, format, args);
    va_end(args);
    struct diag *diag = add(list, DIAG_ERROR, DIAG_IO);
    diag->os_error = os_error;
    diag->message = arena_printf(&list->arena, "%.*s: %s", BYTES_ARG(what), strerror(os_error));
}

/* A copy of a source line; many errors of one long line share it. */
static struct bytes
copy_line(struct diag_list *list, struct bytes line)
{
    if (list->count >= 2) {
        struct bytes before = list->items[list->count - 2].place.source_line;
        if (bytes_equal(before, line)) {
            return before;
        }
    }
    return arena_copy(&list->arena, line);
}

void
diag_at(struct diag_list *list, enum diag_level level, const struct diag_place *place,
        const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct bytes message = format_text(&list->arena, format, args);
    va_end(args);
    struct diag *diag = add(list, level, DIAG_INVALID);
    diag->message = message;
    diag->place = *place;
    diag->place.file = arena_copy(&list->arena, place->file);
    diag->place.source_line = copy_line(list, place->source_line);
}

void
diag_hint(struct diag_list *list, const char *format, ...)
{
    check(list->count > 0);
    va_list args;
    va_start(args, format);
    list->items[list->count - 1].hint = format_text(&list->arena, format, args);
    va_end(args);
}

struct bytes
diag_first_error(const struct diag_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].level == DIAG_ERROR) {
            return list->items[i].message;
        }
    }
    return BYTES("");
}

enum { SHOWN_LINE_MAX = 160 };

/* The source line around the column, and the caret under it. */
static void
print_excerpt(const struct diag_place *place, struct buf *out)
{
    size_t from = place->column > SHOWN_LINE_MAX / 2 ? place->column - SHOWN_LINE_MAX / 2 : 0;
    struct bytes line = bytes_slice(place->source_line, from, from + SHOWN_LINE_MAX);
    buf_append_string(out, "  ");
    for (size_t i = 0; i < line.size; i++) {
        unsigned char c = (unsigned char)line.data[i];
        buf_append_char(out, c < ' ' && c != '\t' ? '?' : (char)c);
    }
    buf_append_string(out, "\n  ");
    for (size_t i = 0; i + from + 1 < place->column && i < line.size; i++) {
        unsigned char c = (unsigned char)line.data[i];
        if (c == '\t') {
            buf_append_char(out, '\t');
        } else if ((c & 0xc0) != 0x80) { /* one column for a whole UTF-8 character */
            buf_append_char(out, ' ');
        }
    }
    buf_append_char(out, '^');
    for (unsigned i = 1; i < place->length && place->column + i - from <= line.size; i++) {
        buf_append_char(out, '~');
    }
    buf_append_char(out, '\n');
}

void
diag_print(const struct diag *diag, struct buf *out)
{
    const struct diag_place *place = &diag->place;
    if (place->file.size > 0) {
        buf_append(out, place->file);
        if (place->line > 0) {
            buf_printf(out, ":%u:%u", place->line, place->column);
        }
        buf_append_string(out, ": ");
    }
    buf_append_string(out, diag->level == DIAG_ERROR ? "error: " : "warning: ");
    buf_append(out, diag->message);
    buf_append_char(out, '\n');
    if (place->line > 0) {
        print_excerpt(place, out);
    }
    if (diag->hint.size > 0) {
        buf_printf(out, "  hint: %.*s\n", BYTES_ARG(diag->hint));
    }
}

void
diag_list_print(const struct diag_list *list, struct buf *out)
{
    for (size_t i = 0; i < list->count; i++) {
        diag_print(&list->items[i], out);
    }
}

void
diag_list_append(struct diag_list *list, const struct diag_list *from)
{
    for (size_t i = 0; i < from->count; i++) {
        const struct diag *source = &from->items[i];
        struct diag *copy = add(list, source->level, source->class);
        *copy = *source;
        copy->message = arena_copy(&list->arena, source->message);
        copy->hint = arena_copy(&list->arena, source->hint);
        copy->place.file = arena_copy(&list->arena, source->place.file);
        copy->place.source_line = arena_copy(&list->arena, source->place.source_line);
    }
}

struct diag_place
diag_place_of(struct bytes file, struct bytes text, size_t offset, size_t length)
{
    if (offset > text.size) {
        offset = text.size;
    }
    unsigned line = 1;
    size_t start = 0;
    for (size_t i = 0; i < offset; i++) {
        if (text.data[i] == '\n') {
            line++;
            start = i + 1;
        }
    }
    struct bytes rest = bytes_slice(text, start, text.size);
    struct bytes source_line = bytes_slice(rest, 0, bytes_find(rest, '\n'));
    if (bytes_ends_with(source_line, BYTES("\r"))) {
        source_line.size--;
    }
    return (struct diag_place){
            .file = file,
            .line = line,
            .column = (unsigned)(offset - start + 1),
            .length = (unsigned)length,
            .source_line = source_line,
    };
}

const char *
diag_nearest(struct bytes wanted, size_t count,
             const char *(*name_at)(const void *context, size_t i), const void *context)
{
    const char *nearest = NULL;
    size_t best = wanted.size / 3 + 1; /* one slip in a short name, more in a long one */
    for (size_t i = 0; i < count; i++) {
        const char *name = name_at(context, i);
        size_t distance = bytes_distance(wanted, bytes_of_string(name));
        if (distance <= best && (nearest == NULL || distance < best)) {
            best = distance;
            nearest = name;
        }
    }
    return nearest;
}
