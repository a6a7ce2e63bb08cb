/*
 * Whether two JSON values are the same value, however they are written.
 *
 * Numbers are compared as texts of digits: there is no precision to lose and no range to leave.
 */
#include "json.h"

#include <stdlib.h>

enum { EXPONENT_MAX = 1000000000 };

/* 0.digits * 10^exponent; `digits` neither begins nor ends with 0, but may hold a point. */
struct number {
    bool negative;
    struct bytes digits; /* empty: zero */
    int64_t exponent;
    bool out_of_reach; /* an exponent beyond EXPONENT_MAX */
};

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The exponent of a number's text, which the reader has found to be well-formed. */
static int64_t
read_exponent(struct bytes text, bool *out_of_reach)
{
    bool negative = text.size > 0 && text.data[0] == '-';
    int64_t exponent = 0;
    for (size_t i = 0; i < text.size && exponent <= EXPONENT_MAX; i++) {
        exponent = is_digit(text.data[i]) ? exponent * 10 + (text.data[i] - '0') : exponent;
    }
    *out_of_reach = exponent > EXPONENT_MAX;
    return negative ? -exponent : exponent;
}

static struct number
number_of(struct bytes text)
{
    struct number number = {.negative = text.data[0] == '-'};
    size_t e = bytes_find(text, 'e');
    e = e == text.size ? bytes_find(text, 'E') : e;
    struct bytes digits = bytes_slice(text, number.negative, e);
    size_t point = bytes_find(digits, '.');
    size_t first = 0, last = digits.size;
    while (first < last && !(is_digit(digits.data[first]) && digits.data[first] != '0')) {
        first++;
    }
    while (last > first && !(is_digit(digits.data[last - 1]) && digits.data[last - 1] != '0')) {
        last--;
    }
    number.digits = bytes_slice(digits, first, last);
    number.exponent = read_exponent(bytes_slice(text, e + 1, text.size), &number.out_of_reach);
    number.exponent += (int64_t)point - (int64_t)first + (first > point);
    return number;
}

/* The next digit at or behind `*at`, passing over the point; '\0' at the end. */
static char
next_digit(struct bytes digits, size_t *at)
{
    if (*at < digits.size && digits.data[*at] == '.') {
        ++*at;
    }
    return *at < digits.size ? digits.data[(*at)++] : '\0';
}

static bool
numbers_equal(struct bytes x, struct bytes y)
{
    struct number a = number_of(x), b = number_of(y);
    if (a.out_of_reach || b.out_of_reach) {
        return bytes_equal(x, y);
    }
    if (a.digits.size == 0 || b.digits.size == 0) {
        return a.digits.size == b.digits.size;
    }
    size_t i = 0, j = 0;
    char digit;
    do {
        digit = next_digit(a.digits, &i);
        if (digit != next_digit(b.digits, &j)) {
            return false;
        }
    } while (digit != '\0');
    return a.negative == b.negative && a.exponent == b.exponent;
}

/* ---- objects ---- */

struct entry {
    struct bytes key;
    uint32_t value;
};

static int
compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = bytes_compare(x->key, y->key);
    return order != 0 ? order : (x->value > y->value) - (x->value < y->value);
}

/* The members by name, those of one name in their order. */
static struct entry *
sorted_members(const struct json *json, uint32_t object, struct arena *arena)
{
    uint32_t count = json->nodes[object].count;
    struct entry *entries = arena_new_array(arena, struct entry, count);
    uint32_t key = object + 1;
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = (struct entry){json_string(json, key, arena), key + 1};
        key = json->nodes[key + 1].next;
    }
    if (count > 1) {
        qsort(entries, count, sizeof *entries, compare_entries);
    }
    return entries;
}

/* ---- values ---- */

struct comparison {
    const struct json *a, *b;
    struct arena *arena;
    struct json_difference *difference;
};

static bool
differ(const struct comparison *comparison, uint32_t x, uint32_t y)
{
    *comparison->difference = (struct json_difference){x, y};
    return false;
}

static bool nodes_equal(const struct comparison *comparison, uint32_t x, uint32_t y);

static bool
objects_equal(const struct comparison *comparison, uint32_t x, uint32_t y)
{
    uint32_t a_count = comparison->a->nodes[x].count, b_count = comparison->b->nodes[y].count;
    const struct entry *a = sorted_members(comparison->a, x, comparison->arena);
    const struct entry *b = sorted_members(comparison->b, y, comparison->arena);
    for (uint32_t i = 0; i < a_count || i < b_count; i++) {
        int order = i == a_count ? 1 : i == b_count ? -1 : bytes_compare(a[i].key, b[i].key);
        if (order != 0) {
            return differ(comparison, order < 0 ? a[i].value : x, order < 0 ? y : b[i].value);
        }
        if (!nodes_equal(comparison, a[i].value, b[i].value)) {
            return false;
        }
    }
    return true;
}

static bool
arrays_equal(const struct comparison *comparison, uint32_t x, uint32_t y)
{
    const struct json_node *a = comparison->a->nodes, *b = comparison->b->nodes;
    uint32_t i = x + 1, j = y + 1;
    while (i < a[x].next && j < b[y].next) {
        if (!nodes_equal(comparison, i, j)) {
            return false;
        }
        i = a[i].next;
        j = b[j].next;
    }
    bool longer = i < a[x].next, shorter = j < b[y].next;
    return (!longer && !shorter) || differ(comparison, longer ? i : x, shorter ? j : y);
}

static bool
nodes_equal(const struct comparison *comparison, uint32_t x, uint32_t y)
{
    const struct json *a = comparison->a, *b = comparison->b;
    if (a->nodes[x].kind != b->nodes[y].kind) {
        return differ(comparison, x, y);
    }
    switch ((enum json_kind)a->nodes[x].kind) {
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE:
        return true;
    case JSON_NUMBER:
        return numbers_equal(json_raw(a, x), json_raw(b, y)) || differ(comparison, x, y);
    case JSON_STRING:
        return bytes_equal(json_string(a, x, comparison->arena),
                           json_string(b, y, comparison->arena)) ||
               differ(comparison, x, y);
    case JSON_ARRAY:
        return arrays_equal(comparison, x, y);
    case JSON_OBJECT:
        return objects_equal(comparison, x, y);
    }
    never("kind of a node");
}

bool
json_equal(const struct json *a, const struct json *b, struct arena *arena,
           struct json_difference *difference)
{
    const struct comparison comparison = {a, b, arena, difference};
    return nodes_equal(&comparison, 0, 0);
}
