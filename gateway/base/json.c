/*
 * The JSON reader of the hot path: one pass over the text, one array of nodes, no recursion.
 *
 * While a container is open its `next` holds the index of the container around it, so the stack of
 * open containers lives inside the tape and costs nothing; closing writes the real `next`. Strings
 * are scanned eight bytes at a time for the four things that matter (quote, backslash, control
 * character, byte above 0x7f); only a string that holds such a byte is checked as UTF-8. Numbers
 * are checked against the grammar and kept as text: what they are worth is asked later, by few.
 *
 * Nodes start as one node for eight bytes of text and double in the arena when that is not enough.
 */
#include "json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { NODES_MIN = 16 };

static const uint32_t NO_CONTAINER = UINT32_MAX;

struct reader {
    const char *start;
    const char *p;
    const char *end;
    struct arena *arena;
    struct json_node *nodes;
    uint32_t count;
    uint32_t capacity;
    uint32_t open; /* innermost open container or NO_CONTAINER */
    unsigned depth;
    unsigned depth_max;
    const char *error;
};

static bool
fail(struct reader *reader, const char *at, const char *message)
{
    reader->p = at;
    reader->error = at == reader->end ? "unexpected end" : message;
    return false;
}

static void
grow_nodes(struct reader *reader)
{
    uint32_t capacity = reader->capacity * 2;
    check(capacity > reader->capacity);
    struct json_node *nodes = arena_alloc(reader->arena, capacity * sizeof *nodes);
    memcpy(nodes, reader->nodes, reader->count * sizeof *nodes);
    reader->nodes = nodes;
    reader->capacity = capacity;
}

static inline struct json_node *
add_node(struct reader *reader, enum json_kind kind, const char *start, const char *end)
{
    if (reader->count == reader->capacity) {
        grow_nodes(reader);
    }
    struct json_node *node = &reader->nodes[reader->count++];
    *node = (struct json_node){
            .start = (uint32_t)(start - reader->start),
            .end = (uint32_t)(end - reader->start),
            .next = reader->count,
            .kind = (uint8_t)kind,
    };
    return node;
}

static inline const char *
skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) {
        p++;
    }
    return p;
}

/* ---- strings ---- */

/* The high bit of each byte of `word` that equals `byte`; exact up to the lowest such byte. */
static inline uint64_t
bytes_that_equal(uint64_t word, unsigned char byte)
{
    uint64_t zero_where_equal = word ^ (UINT64_C(0x0101010101010101) * byte);
    return (zero_where_equal - UINT64_C(0x0101010101010101)) & ~zero_where_equal &
           UINT64_C(0x8080808080808080);
}

/* How many bytes of the text lie before the lowest high bit of a word that was read there. */
static inline size_t
bytes_before(uint64_t high_bits)
{
    return (size_t)__builtin_ctzll(high_bits) / 8;
}

/* The text's first byte is the lowest, whatever the machine's order. */
static inline uint64_t
load_word(const char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/* To the first quote, backslash, control character or byte above 0x7f. */
static inline const char *
skip_plain(const char *p, const char *end)
{
    while ((size_t)(end - p) >= 8) {
        uint64_t word = load_word(p);
        uint64_t high = word & UINT64_C(0x8080808080808080);
        uint64_t control = (word - UINT64_C(0x2020202020202020)) & ~word &
                           UINT64_C(0x8080808080808080);
        uint64_t stop = high | control | bytes_that_equal(word, '"') |
                        bytes_that_equal(word, '\\');
        if (stop != 0) {
            return p + bytes_before(stop);
        }
        p += 8;
    }
    while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20 &&
           (unsigned char)*p < 0x80) {
        p++;
    }
    return p;
}

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The value of four hexadecimal digits at `p`, or -1. */
static int
hex_unit(const char *p, const char *end)
{
    if (end - p < 4) {
        return -1;
    }
    int unit = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);
        if (digit < 0) {
            return -1;
        }
        unit = unit * 16 + digit;
    }
    return unit;
}

/* Checks the escape at `p` (a backslash); returns the byte behind it or NULL. */
static const char *
skip_escape(struct reader *reader, const char *p)
{
    const char *end = reader->end;
    if (end - p < 2) {
        fail(reader, end, "unexpected end");
        return NULL;
    }
    if (p[1] != 'u') {
        if (p[1] == '\0' || strchr("\"\\/bfnrt", p[1]) == NULL) {
            fail(reader, p, "unknown escape in a string");
            return NULL;
        }
        return p + 2;
    }
    int unit = hex_unit(p + 2, end);
    if (unit < 0) {
        fail(reader, p, "'\\u' without four hexadecimal digits");
        return NULL;
    }
    if (unit < 0xd800 || unit > 0xdfff) {
        return p + 6;
    }
    int low = unit <= 0xdbff && end - p >= 12 && p[6] == '\\' && p[7] == 'u'
                    ? hex_unit(p + 8, end)
                    : -1;
    if (low < 0xdc00 || low > 0xdfff) {
        fail(reader, p, "lone surrogate in a string");
        return NULL;
    }
    return p + 12;
}

static bool
read_string(struct reader *reader)
{
    const char *start = reader->p + 1;
    const char *p = start;
    bool escaped = false;
    bool wide = false;
    for (;;) {
        p = skip_plain(p, reader->end);
        if (p == reader->end) {
            return fail(reader, p, "unexpected end");
        }
        if (*p == '"') {
            break;
        }
        if (*p == '\\') {
            escaped = true;
            p = skip_escape(reader, p);
            if (p == NULL) {
                return false;
            }
        } else if ((unsigned char)*p >= 0x80) {
            wide = true;
            p++;
        } else {
            return fail(reader, p, "raw control character in a string");
        }
    }
    if (wide && !bytes_is_utf8(bytes_of(start, (size_t)(p - start)))) {
        return fail(reader, start - 1, "string is not UTF-8");
    }
    add_node(reader, JSON_STRING, start, p)->flags = escaped ? JSON_ESCAPED : 0;
    reader->p = p + 1;
    return true;
}

/* ---- numbers and words ---- */

static inline const char *
skip_digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9') {
        p++;
    }
    return p;
}

static bool
read_number(struct reader *reader)
{
    const char *start = reader->p;
    const char *end = reader->end;
    const char *digits = *start == '-' ? start + 1 : start;
    const char *p = skip_digits(digits, end);
    if (p == digits) {
        return fail(reader, p, "digit expected");
    }
    if (*digits == '0' && p - digits > 1) {
        return fail(reader, digits, "number with a leading zero");
    }
    bool integer = true;
    if (p < end && *p == '.') {
        integer = false;
        digits = p + 1;
        p = skip_digits(digits, end);
        if (p == digits) {
            return fail(reader, p, "digit expected behind the decimal point");
        }
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        integer = false;
        digits = p + 1;
        digits += digits < end && (*digits == '+' || *digits == '-');
        p = skip_digits(digits, end);
        if (p == digits) {
            return fail(reader, p, "digit expected in the exponent");
        }
    }
    add_node(reader, JSON_NUMBER, start, p)->flags = integer ? JSON_INTEGER : 0;
    reader->p = p;
    return true;
}

static bool
read_word(struct reader *reader, struct bytes word, enum json_kind kind)
{
    size_t left = (size_t)(reader->end - reader->p);
    if (left < word.size || memcmp(reader->p, word.data, word.size) != 0) {
        return fail(reader, reader->p, "value expected");
    }
    add_node(reader, kind, reader->p, reader->p + word.size);
    reader->p += word.size;
    return true;
}

/* ---- structure ---- */

static bool
read_key(struct reader *reader)
{
    reader->p = skip_space(reader->p, reader->end);
    if (reader->p == reader->end || *reader->p != '"') {
        return fail(reader, reader->p, "member name expected");
    }
    if (!read_string(reader)) {
        return false;
    }
    reader->p = skip_space(reader->p, reader->end);
    if (reader->p == reader->end || *reader->p != ':') {
        return fail(reader, reader->p, "':' expected");
    }
    reader->p++;
    return true;
}

static void
close_container(struct reader *reader)
{
    struct json_node *node = &reader->nodes[reader->open];
    reader->p++;
    node->end = (uint32_t)(reader->p - reader->start);
    reader->open = node->next;
    node->next = reader->count;
    reader->depth--;
}

/* Opens a container; `*value_follows` is false when it is empty and closed again. */
static bool
open_container(struct reader *reader, enum json_kind kind, bool *value_follows)
{
    if (reader->depth == reader->depth_max) {
        return fail(reader, reader->p, "nesting is too deep");
    }
    reader->depth++;
    struct json_node *node = add_node(reader, kind, reader->p, reader->p + 1);
    node->next = reader->open;
    reader->open = reader->count - 1;
    reader->p = skip_space(reader->p + 1, reader->end);
    if (reader->p < reader->end && *reader->p == (kind == JSON_OBJECT ? '}' : ']')) {
        close_container(reader);
        *value_follows = false;
        return true;
    }
    node->count = 1;
    *value_follows = true;
    return kind == JSON_ARRAY || read_key(reader);
}

/* Reads a scalar, or the start of a container. */
static bool
read_value(struct reader *reader, bool *value_follows)
{
    reader->p = skip_space(reader->p, reader->end);
    *value_follows = false;
    if (reader->p == reader->end) {
        return fail(reader, reader->p, "unexpected end");
    }
    switch (*reader->p) {
    case '"':
        return read_string(reader);
    case '{':
        return open_container(reader, JSON_OBJECT, value_follows);
    case '[':
        return open_container(reader, JSON_ARRAY, value_follows);
    case 't':
        return read_word(reader, BYTES("true"), JSON_TRUE);
    case 'f':
        return read_word(reader, BYTES("false"), JSON_FALSE);
    case 'n':
        return read_word(reader, BYTES("null"), JSON_NULL);
    case '-': case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7':
    case '8': case '9':
        return read_number(reader);
    default:
        return fail(reader, reader->p, "value expected");
    }
}

/* Behind a value: closes containers up to the next ',' or to the end of the document. */
static bool
read_separator(struct reader *reader, bool *value_follows)
{
    *value_follows = false;
    while (reader->open != NO_CONTAINER) {
        struct json_node *node = &reader->nodes[reader->open];
        bool object = node->kind == JSON_OBJECT;
        reader->p = skip_space(reader->p, reader->end);
        if (reader->p == reader->end) {
            return fail(reader, reader->p, "unexpected end");
        }
        if (*reader->p == ',') {
            reader->p++;
            node->count++;
            *value_follows = true;
            return !object || read_key(reader);
        }
        if (*reader->p != (object ? '}' : ']')) {
            return fail(reader, reader->p, object ? "',' or '}' expected" : "',' or ']' expected");
        }
        close_container(reader);
    }
    return true;
}

static bool
read_document(struct reader *reader)
{
    for (bool more = true; more;) {
        if (!read_value(reader, &more)) {
            return false;
        }
        if (!more && !read_separator(reader, &more)) {
            return false;
        }
    }
    reader->p = skip_space(reader->p, reader->end);
    if (reader->p < reader->end) {
        return fail(reader, reader->p, "something behind the value");
    }
    return true;
}

bool
json_parse(struct json *out, struct bytes text, unsigned depth_max, struct arena *arena,
           struct json_error *error)
{
    if (text.size >= UINT32_MAX) {
        *error = (struct json_error){0, "text is too long"};
        return false;
    }
    const char *start = text.data == NULL ? "" : text.data;
    struct reader reader = {
            .start = start,
            .p = start,
            .end = start + text.size,
            .arena = arena,
            .capacity = (uint32_t)(text.size / 8) + NODES_MIN,
            .open = NO_CONTAINER,
            .depth_max = depth_max,
    };
    reader.nodes = arena_alloc(arena, reader.capacity * sizeof *reader.nodes);
    if (!read_document(&reader)) {
        *error = (struct json_error){(size_t)(reader.p - start), reader.error};
        return false;
    }
    *out = (struct json){text, reader.nodes, reader.count};
    return true;
}

/* ---- look-up ---- */

struct bytes
json_raw(const struct json *json, uint32_t node)
{
    const struct json_node *n = &json->nodes[node];
    size_t quote = n->kind == JSON_STRING ? 1 : 0;
    return bytes_of(json->text.data + n->start - quote, n->end - n->start + 2 * quote);
}

static size_t
write_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | (c >> 6));
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | (c >> 12));
        to[1] = (char)(0x80 | ((c >> 6) & 0x3f));
        to[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | (c >> 18));
    to[1] = (char)(0x80 | ((c >> 12) & 0x3f));
    to[2] = (char)(0x80 | ((c >> 6) & 0x3f));
    to[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* Decodes the checked escape at `*p` into at most four bytes and moves behind it. */
static size_t
decode_escape(const char **p, const char *end, char *to)
{
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    char c = (*p)[1];
    if (c != 'u') {
        to[0] = values[strchr(names, c) - names];
        *p += 2;
        return 1;
    }
    uint32_t unit = (uint32_t)hex_unit(*p + 2, end);
    *p += 6;
    if (unit >= 0xd800 && unit <= 0xdfff) {
        uint32_t low = (uint32_t)hex_unit(*p + 2, end);
        *p += 6;
        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    }
    return write_utf8(to, unit);
}

struct bytes
json_string(const struct json *json, uint32_t node, struct arena *arena)
{
    const struct json_node *n = &json->nodes[node];
    check(n->kind == JSON_STRING);
    const char *p = json->text.data + n->start;
    const char *end = json->text.data + n->end;
    if ((n->flags & JSON_ESCAPED) == 0) {
        return bytes_of(p, (size_t)(end - p));
    }
    char *out = arena_alloc(arena, (size_t)(end - p)); /* an escape is longer than what it means */
    size_t size = 0;
    while (p < end) {
        if (*p == '\\') {
            size += decode_escape(&p, end, out + size);
        } else {
            out[size++] = *p++;
        }
    }
    return bytes_of(out, size);
}

/* Apart, so that the usual look-up needs no room on the stack. */
static bool __attribute__((noinline))
escaped_equals(const struct json *json, const struct json_node *node, struct bytes key)
{
    const char *p = json->text.data + node->start;
    const char *end = json->text.data + node->end;
    size_t at = 0;
    while (p < end) {
        char piece[4];
        size_t size = 1;
        if (*p == '\\') {
            size = decode_escape(&p, end, piece);
        } else {
            piece[0] = *p++;
        }
        if (key.size - at < size || memcmp(key.data + at, piece, size) != 0) {
            return false;
        }
        at += size;
    }
    return at == key.size;
}

/* Most names differ in their size or first byte. */
static inline bool
name_equals(const struct json *json, const struct json_node *node, struct bytes key)
{
    if ((node->flags & JSON_ESCAPED) != 0) {
        return escaped_equals(json, node, key);
    }
    const char *name = json->text.data + node->start;
    return node->end - node->start == key.size &&
           (key.size == 0 ||
            (name[0] == key.data[0] && memcmp(name, key.data, key.size) == 0));
}

uint32_t
json_member(const struct json *json, uint32_t object, struct bytes key)
{
    const struct json_node *nodes = json->nodes;
    check(nodes[object].kind == JSON_OBJECT);
    uint32_t found = 0;
    const struct json_node *name = &nodes[object + 1];
    for (uint32_t i = nodes[object].count; i > 0; i--) {
        const struct json_node *value = name + 1;
        if (name_equals(json, name, key)) {
            found = (uint32_t)(value - nodes);
        }
        name = &nodes[value->next];
    }
    return found;
}

uint32_t
json_element(const struct json *json, uint32_t array, uint32_t i)
{
    check(json->nodes[array].kind == JSON_ARRAY);
    if (i >= json->nodes[array].count) {
        return 0;
    }
    uint32_t node = array + 1;
    while (i > 0) {
        node = json->nodes[node].next;
        i--;
    }
    return node;
}

/* ---- numbers ---- */

/* A checked number taken apart: its value is the digits of `text` times 10^exponent. */
struct number {
    struct bytes text;   /* first to last significant digit, maybe with a '.' within; empty is 0 */
    size_t digits;       /* of them */
    int64_t exponent;
    bool negative;
};

enum { EXPONENT_LIMIT = 1000000000 };

static int64_t
read_exponent(const char *p, const char *end)
{
    bool negative = *p == '-';
    p += *p == '-' || *p == '+';
    int64_t value = 0;
    for (; p < end; p++) {
        value = value * 10 + (*p - '0');
        if (value > EXPONENT_LIMIT) {
            value = EXPONENT_LIMIT;
        }
    }
    return negative ? -value : value;
}

static struct number
take_apart(struct bytes text)
{
    struct number number = {.negative = text.data[0] == '-'};
    const char *end = text.data + text.size;
    const char *first = NULL, *last = NULL, *point = NULL;
    size_t trailing_zeros = 0;
    const char *p = text.data + number.negative;
    for (; p < end && (*p | 0x20) != 'e'; p++) {
        if (*p == '.') {
            point = p;
        } else if (*p != '0') {
            first = first == NULL ? p : first;
            last = p;
            number.digits += trailing_zeros + 1;
            trailing_zeros = 0;
        } else if (first != NULL) {
            trailing_zeros++;
        }
    }
    if (first == NULL) {
        return number;
    }
    number.exponent = p < end ? read_exponent(p + 1, end) : 0;
    number.exponent += (int64_t)trailing_zeros - (point == NULL ? 0 : p - point - 1);
    number.text = bytes_of(first, (size_t)(last - first) + 1);
    return number;
}

bool
json_int64(const struct json *json, uint32_t node, int64_t *out)
{
    check(json->nodes[node].kind == JSON_NUMBER);
    struct bytes text = json_raw(json, node);
    if ((json->nodes[node].flags & JSON_INTEGER) != 0) {
        return bytes_to_int64(text, out);
    }
    struct number number = take_apart(text);
    if (number.exponent < 0 || (int64_t)number.digits + number.exponent > 19) {
        return false;
    }
    int64_t value = 0; /* kept negative: its range is one larger */
    for (size_t i = 0; i < number.text.size; i++) {
        char c = number.text.data[i];
        if (c != '.' && (__builtin_mul_overflow(value, 10, &value) ||
                         __builtin_sub_overflow(value, c - '0', &value))) {
            return false;
        }
    }
    for (; number.exponent > 0; number.exponent--) {
        if (__builtin_mul_overflow(value, 10, &value)) {
            return false;
        }
    }
    if (!number.negative && value == INT64_MIN) {
        return false;
    }
    *out = number.negative ? value : -value;
    return true;
}

enum { EXACT_DIGITS = 15, EXACT_POWER = 22, DECIDING_DIGITS = 800 };

/* Both factors are exact as doubles, so the one operation rounds correctly. */
static double
short_double_of(const struct number *number)
{
    static const double powers[EXACT_POWER + 1] = {
            1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
            1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
    };
    int64_t digits = 0;
    for (size_t i = 0; i < number->text.size; i++) {
        if (number->text.data[i] != '.') {
            digits = digits * 10 + (number->text.data[i] - '0');
        }
    }
    double value = (double)digits;
    value = number->exponent < 0 ? value / powers[-number->exponent]
                                 : value * powers[number->exponent];
    return number->negative ? -value : value;
}

/*
 * strtod() of the digits without a point, so that no locale matters. No two neighbouring doubles
 * need more than 767 digits to be told apart; what lies behind DECIDING_DIGITS can only break a
 * tie, which a single '1' does as well.
 */
static double
long_double_of(const struct number *number)
{
    char text[DECIDING_DIGITS + 32];
    size_t size = 0;
    for (size_t i = 0; i < number->text.size && size < DECIDING_DIGITS; i++) {
        if (number->text.data[i] != '.') {
            text[size++] = number->text.data[i];
        }
    }
    int64_t exponent = number->exponent + (int64_t)(number->digits - size);
    if (number->digits > size) {
        text[size++] = '1';
        exponent--;
    }
    snprintf(text + size, sizeof text - size, "e%lld", (long long)exponent);
    double value = strtod(text, NULL);
    return number->negative ? -value : value;
}

double
json_double(const struct json *json, uint32_t node)
{
    check(json->nodes[node].kind == JSON_NUMBER);
    struct number number = take_apart(json_raw(json, node));
    if (number.digits <= EXACT_DIGITS && number.exponent >= -EXACT_POWER &&
        number.exponent <= EXACT_POWER) {
        return short_double_of(&number);
    }
    return long_double_of(&number);
}

/* ---- writers ---- */

static void
write_escape(struct buf *out, unsigned char c)
{
    static const char names[] = "\"\\bfnrt";
    static const char values[] = "\"\\\b\f\n\r\t";
    const char *value = memchr(values, c, sizeof values - 1);
    if (value != NULL) {
        buf_append_char(out, '\\');
        buf_append_char(out, names[value - values]);
    } else {
        buf_printf(out, "\\u%04x", c);
    }
}

void
json_write_string(struct buf *out, struct bytes text)
{
    const char *p = text.data;
    const char *end = p + text.size;
    buf_append_char(out, '"');
    while (p < end) {
        const char *plain = p;
        while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20) {
            p++;
        }
        buf_append(out, bytes_of(plain, (size_t)(p - plain)));
        if (p < end) {
            write_escape(out, (unsigned char)*p++);
        }
    }
    buf_append_char(out, '"');
}

/* The shortest digits that read back as `value` (finite, > 0): value = 0.DIGITS * 10^point. */
static size_t
shortest_digits(double value, char digits[20], int *point)
{
    int first = value < DBL_MIN ? 0 : 14; /* normal doubles keep 15 digits, the tiny ones fewer */
    for (int precision = first; precision <= 16; precision++) {
        char text[40];
        snprintf(text, sizeof text, "%.*e", precision, value);
        if (precision == 16 || strtod(text, NULL) == value) {
            size_t size = 0;
            const char *p = text;
            for (; *p != 'e'; p++) {
                if (*p >= '0' && *p <= '9') {
                    digits[size++] = *p;
                }
            }
            *point = (int)strtol(p + 1, NULL, 10) + 1;
            while (size > 1 && digits[size - 1] == '0') {
                size--;
            }
            return size;
        }
    }
    never("17 digits are always enough");
}

enum { PLAIN_POINT_MIN = -5, PLAIN_POINT_MAX = 21 };

void
json_write_double(struct buf *out, double value)
{
    if (!isfinite(value)) {
        buf_append_string(out, "null");
        return;
    }
    if (signbit(value)) {
        buf_append_char(out, '-');
        value = -value;
    }
    if (value < 1e15 && value == (double)(int64_t)value) {
        buf_append_int64(out, (int64_t)value);
        return;
    }
    char digits[20];
    int point;
    size_t size = shortest_digits(value, digits, &point);
    bool plain = point >= PLAIN_POINT_MIN && point <= PLAIN_POINT_MAX;
    int at = plain ? point : 1; /* where the point goes among the digits */
    if (at <= 0) {
        buf_append_string(out, "0.");
        for (; at < 0; at++) {
            buf_append_char(out, '0');
        }
        buf_append(out, bytes_of(digits, size));
    } else {
        for (size_t i = 0; i < size || i < (size_t)at; i++) {
            if (i == (size_t)at) {
                buf_append_char(out, '.');
            }
            buf_append_char(out, i < size ? digits[i] : '0');
        }
    }
    if (!plain) {
        buf_printf(out, "e%+d", point - 1);
    }
}
