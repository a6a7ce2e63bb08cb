#include "bytes.h"

#include "mem.h"

#include <limits.h>

static char
ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

int
bytes_compare(struct bytes a, struct bytes b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    if (order != 0) {
        return order;
    }
    return a.size < b.size ? -1 : a.size > b.size;
}

bool
bytes_equal_nocase(struct bytes a, struct bytes b)
{
    if (a.size != b.size) {
        return false;
    }
    for (size_t i = 0; i < a.size; i++) {
        if (ascii_lower(a.data[i]) != ascii_lower(b.data[i])) {
            return false;
        }
    }
    return true;
}

bool
bytes_starts_with(struct bytes whole, struct bytes start)
{
    return whole.size >= start.size && bytes_equal(bytes_slice(whole, 0, start.size), start);
}

bool
bytes_ends_with(struct bytes whole, struct bytes end)
{
    return whole.size >= end.size &&
           bytes_equal(bytes_slice(whole, whole.size - end.size, whole.size), end);
}

size_t
bytes_find(struct bytes whole, char c)
{
    const char *found = whole.size == 0 ? NULL : memchr(whole.data, c, whole.size);
    return found == NULL ? whole.size : (size_t)(found - whole.data);
}

struct bytes
bytes_slice(struct bytes whole, size_t from, size_t to)
{
    if (to > whole.size) {
        to = whole.size;
    }
    if (from > to) {
        from = to;
    }
    return bytes_of(whole.data == NULL ? NULL : whole.data + from, to - from);
}

static bool
is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct bytes
bytes_trim(struct bytes whole)
{
    while (whole.size > 0 && is_space(whole.data[0])) {
        whole = bytes_slice(whole, 1, whole.size);
    }
    while (whole.size > 0 && is_space(whole.data[whole.size - 1])) {
        whole.size--;
    }
    return whole;
}

bool
bytes_split(struct bytes *rest, char separator, struct bytes *part)
{
    if (rest->data == NULL) {
        return false;
    }
    size_t at = bytes_find(*rest, separator);
    *part = bytes_slice(*rest, 0, at);
    *rest = at == rest->size ? bytes_of(NULL, 0) : bytes_slice(*rest, at + 1, rest->size);
    return true;
}

bool
bytes_to_int64(struct bytes text, int64_t *out)
{
    bool negative = text.size > 0 && text.data[0] == '-';
    size_t i = negative ? 1 : 0;
    if (i == text.size) {
        return false;
    }
    int64_t value = 0; /* kept negative: its range is one larger */
    for (; i < text.size; i++) {
        char c = text.data[i];
        if (c < '0' || c > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, c - '0', &value)) {
            return false;
        }
    }
    if (!negative && value == INT64_MIN) {
        return false;
    }
    *out = negative ? value : -value;
    return true;
}

/* The length of the well-formed sequence at the front of `p`, or 0. */
static size_t
utf8_sequence(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80) {
        return 1;
    }
    size_t length = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || left < length) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool bad = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
               (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f);
    return bad ? 0 : length;
}

bool
bytes_is_utf8(struct bytes text)
{
    const unsigned char *p = (const unsigned char *)text.data;
    size_t left = text.size;
    while (left > 0) {
        uint64_t word;
        if (left >= sizeof word) {
            memcpy(&word, p, sizeof word);
            if ((word & UINT64_C(0x8080808080808080)) == 0) {
                p += sizeof word;
                left -= sizeof word;
                continue;
            }
        }
        size_t length = utf8_sequence(p, left);
        if (length == 0) {
            return false;
        }
        p += length;
        left -= length;
    }
    return true;
}

char *
bytes_to_string(struct bytes text)
{
    char *string = mem_alloc(text.size + 1);
    if (text.size > 0) {
        memcpy(string, text.data, text.size);
    }
    string[text.size] = '\0';
    return string;
}

enum { DISTANCE_NAME_MAX = 64 };

static size_t
min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t
bytes_distance(struct bytes a, struct bytes b)
{
    if (a.size > DISTANCE_NAME_MAX || b.size > DISTANCE_NAME_MAX) {
        return SIZE_MAX;
    }
    size_t rows[3][DISTANCE_NAME_MAX + 1];
    for (size_t j = 0; j <= b.size; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a.size; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *above_two = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b.size; j++) {
            char ca = ascii_lower(a.data[i - 1]);
            char cb = ascii_lower(b.data[j - 1]);
            row[j] = min_size(min_size(above[j], row[j - 1]) + 1, above[j - 1] + (ca != cb));
            if (i > 1 && j > 1 && ca == ascii_lower(b.data[j - 2]) &&
                cb == ascii_lower(a.data[i - 2])) {
                row[j] = min_size(row[j], above_two[j - 2] + 1);
            }
        }
    }
    return rows[a.size % 3][b.size];
}
