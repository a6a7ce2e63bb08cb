/*
 * Functions of strings. Arguments are converted to String first, so they work on numbers, booleans,
 * arrays and objects too; positions count characters (code points).
 */
#define _GNU_SOURCE /* memmem */

#include "fn.h"

/* ---- UTF-8 ---- */

static bool
starts_character(char c)
{
    return ((unsigned char)c & 0xc0) != 0x80;
}

static int64_t
count_characters(struct bytes text)
{
    int64_t count = 0;
    for (size_t i = 0; i < text.size; i++) {
        count += starts_character(text.data[i]);
    }
    return count;
}

/* The byte offset of character `n`, or the size when there are fewer. */
static size_t
offset_of_character(struct bytes text, int64_t n)
{
    size_t at = 0;
    while (n > 0 && at < text.size) {
        at++;
        while (at < text.size && !starts_character(text.data[at])) {
            at++;
        }
        n--;
    }
    return at;
}

/* ---- looking ---- */

static bool
two_strings(const struct call *call, struct bytes *a, struct bytes *b)
{
    return call_string(call, 0, a) && call_string(call, 1, b);
}

void
fn_startswith(const struct call *call, struct value *out)
{
    struct bytes a, b;
    if (two_strings(call, &a, &b)) {
        *out = value_boolean(bytes_starts_with(a, b));
    }
}

void
fn_endswith(const struct call *call, struct value *out)
{
    struct bytes a, b;
    if (two_strings(call, &a, &b)) {
        *out = value_boolean(bytes_ends_with(a, b));
    }
}

/* The byte offset of `b` in `a` from `at` on, or the size of `a` + 1. */
static size_t
find(struct bytes a, struct bytes b, size_t at)
{
    struct bytes rest = bytes_slice(a, at, a.size);
    const char *found = b.size == 0 ? rest.data : memmem(rest.data, rest.size, b.data, b.size);
    return found == NULL ? a.size + 1 : (size_t)(found - a.data);
}

void
fn_indexof(const struct call *call, struct value *out)
{
    struct bytes a, b;
    if (!two_strings(call, &a, &b)) {
        return;
    }
    size_t at = b.size == 0 ? 0 : find(a, b, 0);
    *out = value_int64(at > a.size ? -1 : count_characters(bytes_slice(a, 0, at)));
}

void
fn_length(const struct call *call, struct value *out)
{
    struct bytes text;
    if (call_string(call, 0, &text)) {
        *out = value_int64(count_characters(text));
    }
}

void
fn_numbytes(const struct call *call, struct value *out)
{
    struct bytes text;
    if (call_string(call, 0, &text)) {
        *out = value_int64((int64_t)text.size);
    }
}

/* ---- parts ---- */

void
fn_substring(const struct call *call, struct value *out)
{
    struct bytes text;
    int64_t from, to = INT64_MAX;
    if (!call_string(call, 0, &text) || !call_index(call, 1, &from) ||
        (call->count == 3 && !call_index(call, 2, &to))) {
        return;
    }
    size_t start = offset_of_character(text, from);
    size_t end = offset_of_character(text, to);
    *out = value_string(bytes_slice(text, start < end ? start : end, end));
}

static struct bytes
trim_left(struct bytes text, const char *what)
{
    while (text.size > 0 && text.data[0] != '\0' && strchr(what, text.data[0]) != NULL) {
        text = bytes_slice(text, 1, text.size);
    }
    return text;
}

static struct bytes
trim_right(struct bytes text, const char *what)
{
    while (text.size > 0 && text.data[text.size - 1] != '\0' &&
           strchr(what, text.data[text.size - 1]) != NULL) {
        text.size--;
    }
    return text;
}

void
fn_ltrim(const struct call *call, struct value *out)
{
    struct bytes text;
    if (call_string(call, 0, &text)) {
        *out = value_string(trim_left(text, " \t"));
    }
}

void
fn_rtrim(const struct call *call, struct value *out)
{
    struct bytes text;
    if (call_string(call, 0, &text)) {
        *out = value_string(trim_right(text, " \t"));
    }
}

void
fn_trim(const struct call *call, struct value *out)
{
    struct bytes text;
    if (call_string(call, 0, &text)) {
        *out = value_string(trim_left(trim_right(text, " \t\n\v\f\r"), " \t\n\v\f\r"));
    }
}

/* ---- changed texts ---- */

enum { PAD_MAX = 1000 };

static void
pad(const struct call *call, bool left, struct value *out)
{
    struct bytes text;
    int64_t n;
    if (!call_string(call, 0, &text) || !call_index(call, 1, &n)) {
        return;
    }
    size_t blanks = n < 0 ? 0 : n > PAD_MAX ? PAD_MAX : (size_t)n;
    char *padded = arena_alloc(call->arena, text.size + blanks);
    memset(padded + (left ? 0 : text.size), ' ', blanks);
    memcpy(padded + (left ? blanks : 0), text.data, text.size);
    *out = value_string(bytes_of(padded, text.size + blanks));
}

void
fn_lpad(const struct call *call, struct value *out)
{
    pad(call, true, out);
}

void
fn_rpad(const struct call *call, struct value *out)
{
    pad(call, false, out);
}

void
fn_replace(const struct call *call, struct value *out)
{
    struct bytes text, what, with;
    if (!two_strings(call, &text, &what) || !call_string(call, 2, &with)) {
        return;
    }
    if (what.size == 0) {
        *out = value_string(text);
        return;
    }
    struct buf replaced = {.arena = call->arena};
    size_t at = 0;
    for (size_t next = find(text, what, 0); next <= text.size; next = find(text, what, at)) {
        buf_append(&replaced, bytes_slice(text, at, next));
        buf_append(&replaced, with);
        at = next + what.size;
    }
    buf_append(&replaced, bytes_slice(text, at, text.size));
    *out = value_string(buf_bytes(&replaced));
}

void
fn_chr(const struct call *call, struct value *out)
{
    struct decimal x;
    int64_t code;
    if (!call_number(call, 0, &x)) {
        return;
    }
    x = decimal_round(&x, 0, DECIMAL_FLOOR, call->arena);
    if (decimal_to_int64(&x, &code) && code >= 0 && code < 128) {
        char *text = arena_alloc(call->arena, 1);
        *text = (char)code;
        *out = value_string(bytes_of(text, 1));
    }
}

/* ---- case: Latin, Greek and Cyrillic letters whose forms are equally long in UTF-8 ---- */

/* The distance from upper to lower case of an upper-case letter, 0 for all others. */
static int
distance_to_lower(unsigned c)
{
    if (c >= 0x100 && c <= 0x17e) { /* pairs: even upper, odd lower, or the other way round */
        bool odd_upper = (c >= 0x139 && c <= 0x148) || c >= 0x179;
        bool paired = c != 0x130 && c != 0x131 && c != 0x138 && c != 0x149 && c != 0x178;
        return paired && (c % 2 == 1) == odd_upper ? 1 : 0;
    }
    bool latin = (c >= 'A' && c <= 'Z') || (c >= 0xc0 && c <= 0xde && c != 0xd7);
    bool wide = (c >= 0x391 && c <= 0x3ab && c != 0x3a2) || (c >= 0x410 && c <= 0x42f);
    return latin || wide ? 32 : c >= 0x400 && c <= 0x40f ? 80 : 0;
}

static unsigned
change_case(unsigned c, bool upper)
{
    if (!upper) {
        return c + (unsigned)distance_to_lower(c);
    }
    static const unsigned distances[] = {32, 1, 80};
    for (size_t i = 0; i < sizeof distances / sizeof distances[0]; i++) {
        if (c > distances[i] && distance_to_lower(c - distances[i]) == (int)distances[i]) {
            return c - distances[i];
        }
    }
    return c;
}

static void
change_text(const struct call *call, bool upper, struct value *out)
{
    struct bytes text;
    if (!call_string(call, 0, &text)) {
        return;
    }
    char *changed = arena_alloc(call->arena, text.size);
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        bool two = c >= 0xc3 && c < 0xe0 && i + 1 < text.size;
        if (two) {
            unsigned letter = (c & 0x1fu) << 6 | ((unsigned char)text.data[i + 1] & 0x3fu);
            letter = change_case(letter, upper);
            changed[i++] = (char)(0xc0 | letter >> 6);
            changed[i] = (char)(0x80 | (letter & 0x3f));
        } else {
            changed[i] = c < 0x80 ? (char)change_case(c, upper) : (char)c;
        }
    }
    *out = value_string(bytes_of(changed, text.size));
}

void
fn_lower(const struct call *call, struct value *out)
{
    change_text(call, false, out);
}

void
fn_upper(const struct call *call, struct value *out)
{
    change_text(call, true, out);
}

/* ---- concat ---- */

/* All arguments in one flat array: arrays give their elements. */
static void
concat_arrays(const struct call *call, struct value *out)
{
    size_t count = 0;
    for (size_t i = 0; i < call->count; i++) {
        bool array = value_type(&call->args[i]) == TYPE_ARRAY;
        count += array ? value_count(&call->args[i]) : 1;
    }
    struct value *elements = arena_alloc(call->arena, count * sizeof *elements);
    uint32_t filled = 0;
    for (size_t i = 0; i < call->count; i++) {
        if (value_type(&call->args[i]) != TYPE_ARRAY) {
            elements[filled++] = call->args[i];
            continue;
        }
        struct value_cursor cursor = value_walk(&call->args[i]);
        while (value_next(&cursor, call->arena)) {
            elements[filled++] = cursor.value;
        }
    }
    *out = (struct value){.kind = VALUE_ARRAY, .count = filled, .elements = elements};
}

void
fn_concat(const struct call *call, struct value *out)
{
    bool arrays = false, strings = false;
    for (size_t i = 0; i < call->count; i++) {
        enum value_type type = value_type(&call->args[i]);
        if (type == TYPE_UNDEFINED && call->count > 1) {
            return;
        }
        arrays = arrays || type == TYPE_ARRAY;
        strings = strings || type == TYPE_STRING;
    }
    if (call->count == 1) {
        *out = call->args[0];
    } else if (arrays) {
        concat_arrays(call, out);
    } else if (strings) {
        struct buf text = {.arena = call->arena};
        for (size_t i = 0; i < call->count; i++) {
            struct bytes part;
            if (!call_string(call, i, &part)) {
                return;
            }
            buf_append(&text, part);
        }
        *out = value_string(buf_bytes(&text));
    }
}
