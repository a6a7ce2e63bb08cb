#include "origin.h"

/* How many bytes the hexadecimal escape at `at` stands for, and where it ends. A pair of
 * surrogates counts as one. */
static size_t
unicode_size(struct bytes text, size_t at, size_t *next)
{
    unsigned code = 0;
    for (size_t i = at + 2; i < at + 6 && i < text.size; i++) {
        char c = text.data[i];
        code = code * 16 + (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    bool surrogate = code >= 0xd800 && code < 0xe000;
    *next = at + (surrogate ? 12 : 6);
    return surrogate ? 4 : code < 0x80 ? 1 : code < 0x800 ? 2 : 3;
}

/* Where byte `offset` of the content stands in the string as written. */
static size_t
written_offset(struct bytes string, size_t offset)
{
    size_t at = 0, size = 0;
    while (at < string.size) {
        size_t next = at + 1, bytes = 1;
        if (string.data[at] == '\\') {
            next = at + 2;
            if (at + 1 < string.size && string.data[at + 1] == 'u') {
                bytes = unicode_size(string, at, &next);
            }
        }
        if (size + bytes > offset) {
            return at;
        }
        size += bytes;
        at = next;
    }
    return string.size;
}

struct diag_place
origin_place(const struct text_origin *origin, size_t start, size_t end)
{
    struct bytes string = bytes_slice(origin->document, origin->start, origin->end);
    size_t from = written_offset(string, start);
    size_t to = end > start ? written_offset(string, end) : from;
    return diag_place_of(origin->file, origin->document, origin->start + from, to - from);
}
