/*
 * Two paths. The short one computes with int64 coefficients and overflow checks. What does not fit
 * is done with `struct big`: digits in an array, lowest first, school arithmetic, then rounded to
 * 34 digits. The long path is slow (a microsecond or so) and rare, so it is kept simple.
 */
#include "decimal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { BIG_DIGITS_MAX = 2 * DECIMAL_DIGITS + 8, POWERS = 19 };

/* Value: sum of digits[i] * 10^(i + exponent); count 0 is zero. */
struct big {
    int count;
    int exponent;
    bool negative;
    uint8_t digits[BIG_DIGITS_MAX];
};

static const int64_t powers[POWERS] = {
        INT64_C(1), INT64_C(10), INT64_C(100), INT64_C(1000), INT64_C(10000), INT64_C(100000),
        INT64_C(1000000), INT64_C(10000000), INT64_C(100000000), INT64_C(1000000000),
        INT64_C(10000000000), INT64_C(100000000000), INT64_C(1000000000000),
        INT64_C(10000000000000), INT64_C(100000000000000), INT64_C(1000000000000000),
        INT64_C(10000000000000000), INT64_C(100000000000000000), INT64_C(1000000000000000000),
};

/* ---- between the two forms ---- */

static struct big
big_of(const struct decimal *number)
{
    struct big big = {.exponent = number->exponent};
    if (number->wide != NULL) {
        big.count = number->wide->count;
        big.negative = number->wide->negative;
        memcpy(big.digits, number->wide->digits, number->wide->count);
        return big;
    }
    big.negative = number->coefficient < 0;
    uint64_t left = big.negative ? 0 - (uint64_t)number->coefficient
                                 : (uint64_t)number->coefficient;
    for (; left > 0; left /= 10) {
        big.digits[big.count++] = (uint8_t)(left % 10);
    }
    return big;
}

/* The power of ten of the highest digit. */
static int
big_top(const struct big *big)
{
    return big->count - 1 + big->exponent;
}

static void
drop_high_zeros(struct big *big)
{
    while (big->count > 0 && big->digits[big->count - 1] == 0) {
        big->count--;
    }
}

/* Removes the lowest `n` digits. */
static void
drop_low(struct big *big, int n)
{
    memmove(big->digits, big->digits + n, (size_t)(big->count - n));
    big->count -= n;
    big->exponent += n;
}

/* Adds one unit in the lowest place. */
static void
increment(struct big *big)
{
    int i = 0;
    while (i < big->count && big->digits[i] == 9) {
        big->digits[i++] = 0;
    }
    if (i == big->count) {
        big->digits[big->count++] = 0;
    }
    big->digits[i]++;
}

/* To 34 digits, HALF_EVEN. */
static void
round_to_precision(struct big *big)
{
    int excess = big->count - DECIMAL_DIGITS;
    if (excess <= 0) {
        return;
    }
    int first = big->digits[excess - 1];
    bool rest = false;
    for (int i = 0; i < excess - 1; i++) {
        rest = rest || big->digits[i] != 0;
    }
    drop_low(big, excess);
    if (first > 5 || (first == 5 && (rest || big->digits[0] % 2 == 1))) {
        increment(big);
        if (big->count > DECIMAL_DIGITS) {
            drop_low(big, 1); /* 99...9 became 100...0 */
        }
    }
}

static void
drop_low_zeros(struct big *big)
{
    int zeros = 0;
    while (zeros < big->count && big->digits[zeros] == 0) {
        zeros++;
    }
    if (zeros > 0) {
        drop_low(big, zeros);
    }
}

/* Rounds and packs; false when beyond the range. */
static bool
decimal_of_big(struct decimal *out, struct big *big, struct arena *arena)
{
    drop_high_zeros(big);
    round_to_precision(big);
    drop_low_zeros(big);
    if (big->count == 0 || big_top(big) < -DECIMAL_EXPONENT_MAX) {
        *out = decimal_of_int64(0);
        return true;
    }
    if (big_top(big) > DECIMAL_EXPONENT_MAX) {
        return false;
    }
    if (big->count < POWERS) {
        int64_t coefficient = 0;
        for (int i = big->count - 1; i >= 0; i--) {
            coefficient = coefficient * 10 + big->digits[i];
        }
        *out = (struct decimal){.coefficient = big->negative ? -coefficient : coefficient,
                                .exponent = big->exponent};
        return true;
    }
    struct decimal_digits *wide = arena_new(arena, struct decimal_digits);
    wide->negative = big->negative;
    wide->count = (uint8_t)big->count;
    memcpy(wide->digits, big->digits, (size_t)big->count);
    *out = (struct decimal){.wide = wide, .exponent = big->exponent};
    return true;
}

/* ---- reading ---- */

struct literal {
    struct bytes digits;  /* with a '.' somewhere */
    int64_t exponent;     /* of the last digit */
    bool negative;
};

enum { EXPONENT_LIMIT = 100000000 };

static const char *
scan_digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9') {
        p++;
    }
    return p;
}

static bool
scan_exponent(const char *p, const char *end, int64_t *exponent)
{
    bool negative = p < end && *p == '-';
    p += p < end && (*p == '-' || *p == '+');
    if (p == end || scan_digits(p, end) != end) {
        return false;
    }
    int64_t value = 0;
    for (; p < end; p++) {
        value = value * 10 + (*p - '0');
        value = value > EXPONENT_LIMIT ? EXPONENT_LIMIT : value;
    }
    *exponent = negative ? -value : value;
    return true;
}

static bool
scan(struct literal *out, struct bytes text)
{
    const char *p = text.data;
    const char *end = p + text.size;
    out->negative = p < end && *p == '-';
    p += out->negative;
    const char *start = p;
    p = scan_digits(p, end);
    if (p == start) {
        return false;
    }
    const char *point = p;
    if (p < end && *p == '.') {
        p = scan_digits(p + 1, end);
        if (p == point + 1) {
            return false;
        }
    }
    out->digits = bytes_of(start, (size_t)(p - start));
    int64_t fraction = p > point ? p - point - 1 : 0;
    int64_t exponent = 0;
    if (p < end && ((*p | 0x20) != 'e' || !scan_exponent(p + 1, end, &exponent))) {
        return false;
    }
    out->exponent = exponent - fraction;
    return true;
}

/* More digits than 64 bits hold: the first ones, and a last one telling whether something follows. */
static bool
parse_long(struct decimal *out, const struct literal *literal, struct arena *arena)
{
    enum { KEPT = DECIMAL_DIGITS + 2 };
    struct big big = {.negative = literal->negative};
    int64_t dropped = 0;
    bool rest = false;
    uint8_t kept[KEPT];
    for (size_t i = 0; i < literal->digits.size; i++) {
        char c = literal->digits.data[i];
        if (c == '.' || (c == '0' && big.count == 0)) {
            continue;
        }
        if (big.count < KEPT) {
            kept[big.count++] = (uint8_t)(c - '0');
        } else {
            rest = rest || c != '0';
            dropped++;
        }
    }
    for (int i = 0; i < big.count; i++) {
        big.digits[i] = kept[big.count - 1 - i];
    }
    if (rest && big.digits[0] % 5 == 0) {
        big.digits[0]++; /* neither zero nor half any more */
    }
    int64_t exponent = literal->exponent + dropped;
    if (exponent < -EXPONENT_LIMIT) {
        exponent = -EXPONENT_LIMIT;
    }
    big.exponent = (int)exponent;
    return decimal_of_big(out, &big, arena);
}

bool
decimal_parse(struct decimal *out, struct bytes text, struct arena *arena)
{
    struct literal literal;
    if (text.size == 0 || !scan(&literal, text)) {
        return false;
    }
    bool small = literal.exponent > -DECIMAL_EXPONENT_MAX &&
                 literal.exponent < DECIMAL_EXPONENT_MAX - POWERS;
    int64_t coefficient = 0;
    for (size_t i = 0; i < literal.digits.size && small; i++) {
        char c = literal.digits.data[i];
        small = c == '.' || (!__builtin_mul_overflow(coefficient, 10, &coefficient) &&
                             !__builtin_add_overflow(coefficient, c - '0', &coefficient));
    }
    if (!small) {
        return parse_long(out, &literal, arena);
    }
    *out = (struct decimal){.coefficient = literal.negative ? -coefficient : coefficient,
                            .exponent = (int32_t)literal.exponent};
    return true;
}

bool
decimal_of_double(struct decimal *out, double value, struct arena *arena)
{
    if (!isfinite(value)) {
        return false;
    }
    if (fabs(value) < 1e15 && value == (double)(int64_t)value) {
        *out = decimal_of_int64((int64_t)value);
        return true;
    }
    for (int precision = 14; precision <= 16; precision++) {
        char text[40];
        int size = snprintf(text, sizeof text, "%.*e", precision, value);
        if (precision == 16 || strtod(text, NULL) == value) {
            return decimal_parse(out, bytes_of(text, (size_t)size), arena);
        }
    }
    never("17 digits are always enough");
}

double
decimal_to_double(const struct decimal *number)
{
    const int64_t exact = INT64_C(1) << 53;
    if (number->wide == NULL && number->exponent == 0 && number->coefficient > -exact &&
        number->coefficient < exact) {
        return (double)number->coefficient;
    }
    struct big big = big_of(number);
    char text[BIG_DIGITS_MAX + 16];
    size_t size = 0;
    for (int i = big.count - 1; i >= 0; i--) {
        text[size++] = (char)('0' + big.digits[i]);
    }
    if (size == 0) {
        return 0;
    }
    snprintf(text + size, sizeof text - size, "e%d", big.exponent);
    double value = strtod(text, NULL);
    return big.negative ? -value : value;
}

/* ---- looking ---- */

bool
decimal_is_zero(const struct decimal *number)
{
    return number->wide == NULL && number->coefficient == 0;
}

bool
decimal_is_whole(const struct decimal *number)
{
    if (number->exponent >= 0 || decimal_is_zero(number)) {
        return true;
    }
    if (number->wide == NULL) {
        int places = -number->exponent;
        return places < POWERS && number->coefficient % powers[places] == 0;
    }
    struct big big = big_of(number);
    drop_low_zeros(&big);
    return big.exponent >= 0;
}

int
decimal_sign(const struct decimal *number)
{
    if (number->wide != NULL) {
        return number->wide->negative ? -1 : 1;
    }
    return number->coefficient < 0 ? -1 : number->coefficient > 0;
}

bool
decimal_to_int64(const struct decimal *number, int64_t *out)
{
    if (number->wide == NULL && number->exponent == 0) {
        *out = number->coefficient;
        return true;
    }
    struct big big = big_of(number);
    drop_low_zeros(&big);
    if (big.count > 0 && (big.exponent < 0 || big_top(&big) > POWERS)) {
        return false;
    }
    int64_t value = 0; /* kept negative: its range is one larger */
    for (int i = big.count - 1; i >= -big.exponent && big.count > 0; i--) {
        int digit = i >= 0 ? big.digits[i] : 0;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, digit, &value)) {
            return false;
        }
    }
    if (!big.negative && value == INT64_MIN) {
        return false;
    }
    *out = big.negative ? value : -value;
    return true;
}

/* ---- comparing ---- */

/* Brings both to the lower exponent; false when that leaves 64 bits. */
static bool
align(const struct decimal *a, const struct decimal *b, int64_t *x, int64_t *y, int32_t *exponent)
{
    if (a->wide != NULL || b->wide != NULL) {
        return false;
    }
    *x = a->coefficient;
    *y = b->coefficient;
    if (a->exponent == b->exponent) {
        *exponent = a->exponent;
        return true;
    }
    if (a->exponent > b->exponent) {
        int gap = a->exponent - b->exponent;
        *exponent = b->exponent;
        return gap < POWERS && !__builtin_mul_overflow(*x, powers[gap], x);
    }
    int gap = b->exponent - a->exponent;
    *exponent = a->exponent;
    return gap < POWERS && !__builtin_mul_overflow(*y, powers[gap], y);
}

/* Of the absolute values. */
static int
compare_digits(const struct big *a, const struct big *b)
{
    if (big_top(a) != big_top(b)) {
        return big_top(a) < big_top(b) ? -1 : 1;
    }
    int low = a->exponent < b->exponent ? a->exponent : b->exponent;
    for (int place = big_top(a); place >= low; place--) {
        int x = place >= a->exponent ? a->digits[place - a->exponent] : 0;
        int y = place >= b->exponent ? b->digits[place - b->exponent] : 0;
        if (x != y) {
            return x < y ? -1 : 1;
        }
    }
    return 0;
}

int
decimal_compare(const struct decimal *a, const struct decimal *b)
{
    int64_t x, y;
    int32_t exponent;
    if (align(a, b, &x, &y, &exponent)) {
        return x < y ? -1 : x > y;
    }
    int sign = decimal_sign(a);
    if (sign != decimal_sign(b)) {
        return sign < decimal_sign(b) ? -1 : 1;
    }
    if (sign == 0) {
        return 0;
    }
    struct big p = big_of(a);
    struct big q = big_of(b);
    return sign * compare_digits(&p, &q);
}

/* ---- arithmetic ---- */

struct decimal
decimal_negate(const struct decimal *number, struct arena *arena)
{
    struct decimal negated = *number;
    if (number->wide == NULL && number->coefficient != INT64_MIN) {
        negated.coefficient = -number->coefficient;
        return negated;
    }
    struct big big = big_of(number);
    big.negative = !big.negative;
    check(decimal_of_big(&negated, &big, arena)); /* the range is symmetric */
    return negated;
}

/* The digits of `from` from the place `low` upward; what lies below is told by a last digit 1. */
static struct big
shift_to(const struct big *from, int low)
{
    struct big to = {.exponent = low, .negative = from->negative};
    bool rest = false;
    for (int i = 0; i < from->count; i++) {
        int place = i + from->exponent - low;
        if (place >= 0) {
            to.digits[place] = from->digits[i];
            to.count = place + 1;
        } else {
            rest = rest || from->digits[i] != 0;
        }
    }
    if (rest && to.digits[0] == 0) {
        to.digits[0] = 1;
        to.count = to.count == 0 ? 1 : to.count;
    }
    return to;
}

/* a += b, both at the same exponent and of the same sign. */
static void
add_digits(struct big *a, const struct big *b)
{
    int carry = 0;
    int count = a->count > b->count ? a->count : b->count;
    for (int i = 0; i < count || carry > 0; i++) {
        int sum = a->digits[i] + b->digits[i] + carry;
        a->digits[i] = (uint8_t)(sum % 10);
        carry = sum / 10;
        a->count = i + 1 > a->count ? i + 1 : a->count;
    }
}

/* a -= b in absolute values, where a >= b, both at the same exponent. */
static void
subtract_digits(struct big *a, const struct big *b)
{
    int borrow = 0;
    for (int i = 0; i < a->count; i++) {
        int difference = a->digits[i] - borrow - (i < b->count ? b->digits[i] : 0);
        borrow = difference < 0;
        a->digits[i] = (uint8_t)(difference + 10 * borrow);
    }
    drop_high_zeros(a);
}

/*
 * Two guard digits below the 34 of the larger number are enough: an operand that reaches below
 * them is so much smaller that at most one digit cancels.
 */
static bool
add_big(struct decimal *out, struct big *a, struct big *b, struct arena *arena)
{
    if (a->count == 0 || b->count == 0) {
        return decimal_of_big(out, a->count == 0 ? b : a, arena);
    }
    int top = big_top(a) > big_top(b) ? big_top(a) : big_top(b);
    int low = a->exponent < b->exponent ? a->exponent : b->exponent;
    int floor_place = top - DECIMAL_DIGITS - 2;
    low = low < floor_place ? floor_place : low;
    struct big x = shift_to(a, low);
    struct big y = shift_to(b, low);
    if (x.negative == y.negative) {
        add_digits(&x, &y);
        return decimal_of_big(out, &x, arena);
    }
    if (compare_digits(&x, &y) >= 0) {
        subtract_digits(&x, &y);
        return decimal_of_big(out, &x, arena);
    }
    subtract_digits(&y, &x);
    return decimal_of_big(out, &y, arena);
}

bool
decimal_add(struct decimal *out, const struct decimal *a, const struct decimal *b,
            struct arena *arena)
{
    int64_t x, y;
    int32_t exponent;
    if (align(a, b, &x, &y, &exponent) && !__builtin_add_overflow(x, y, &x)) {
        *out = (struct decimal){.coefficient = x, .exponent = exponent};
        return true;
    }
    struct big p = big_of(a);
    struct big q = big_of(b);
    return add_big(out, &p, &q, arena);
}

bool
decimal_subtract(struct decimal *out, const struct decimal *a, const struct decimal *b,
                 struct arena *arena)
{
    int64_t x, y;
    int32_t exponent;
    if (align(a, b, &x, &y, &exponent) && !__builtin_sub_overflow(x, y, &x)) {
        *out = (struct decimal){.coefficient = x, .exponent = exponent};
        return true;
    }
    struct big p = big_of(a);
    struct big q = big_of(b);
    q.negative = !q.negative;
    return add_big(out, &p, &q, arena);
}

bool
decimal_multiply(struct decimal *out, const struct decimal *a, const struct decimal *b,
                 struct arena *arena)
{
    int64_t product;
    int exponent = a->exponent + b->exponent;
    if (a->wide == NULL && b->wide == NULL && exponent > -DECIMAL_EXPONENT_MAX &&
        exponent < DECIMAL_EXPONENT_MAX - POWERS &&
        !__builtin_mul_overflow(a->coefficient, b->coefficient, &product)) {
        *out = (struct decimal){.coefficient = product, .exponent = exponent};
        return true;
    }
    struct big p = big_of(a);
    struct big q = big_of(b);
    struct big result = {.exponent = exponent, .negative = p.negative != q.negative};
    int sums[BIG_DIGITS_MAX] = {0};
    for (int i = 0; i < p.count; i++) {
        for (int j = 0; j < q.count; j++) {
            sums[i + j] += p.digits[i] * q.digits[j];
        }
    }
    result.count = p.count + q.count;
    int carry = 0;
    for (int i = 0; i < result.count; i++) {
        int sum = sums[i] + carry;
        result.digits[i] = (uint8_t)(sum % 10);
        carry = sum / 10;
    }
    return decimal_of_big(out, &result, arena);
}

/* remainder = remainder * 10 + digit */
static void
push_digit(struct big *remainder, uint8_t digit)
{
    if (remainder->count == 0 && digit == 0) {
        return;
    }
    memmove(remainder->digits + 1, remainder->digits, (size_t)remainder->count);
    remainder->digits[0] = digit;
    remainder->count++;
}

/* Takes the divisor off as often as it goes: the next digit of the quotient. */
static uint8_t
take_off(struct big *remainder, const struct big *divisor)
{
    uint8_t times = 0;
    while (remainder->count > 0 && compare_digits(remainder, divisor) >= 0) {
        subtract_digits(remainder, divisor);
        times++;
    }
    return times;
}

/* Enough to round from, with a last one that tells whether something follows. */
enum { QUOTIENT_DIGITS = DECIMAL_DIGITS + 2 };

struct quotient {
    uint8_t digits[QUOTIENT_DIGITS]; /* highest first, which is not 0 */
    int count;
    int exponent; /* of the last */
    bool rest;    /* more would follow */
    bool negative;
};

static bool
decimal_of_quotient(struct decimal *out, const struct quotient *quotient, struct arena *arena)
{
    int count = quotient->count;
    struct big result = {
            .count = count, .exponent = quotient->exponent, .negative = quotient->negative};
    for (int i = 0; i < count; i++) {
        result.digits[i] = quotient->digits[count - 1 - i];
    }
    if (quotient->rest && count > 0 && result.digits[0] % 5 == 0) {
        result.digits[0]++;
    }
    return decimal_of_big(out, &result, arena);
}

static bool
divide_big(struct decimal *out, const struct big *a, struct big *b, struct arena *arena)
{
    struct big remainder = {0};
    struct quotient quotient = {
            .exponent = a->exponent - b->exponent, .negative = a->negative != b->negative};
    b->exponent = 0;
    int next = a->count - 1;
    while (quotient.count < QUOTIENT_DIGITS && (next >= 0 || remainder.count > 0)) {
        push_digit(&remainder, next >= 0 ? a->digits[next] : 0);
        quotient.exponent -= next < 0;
        next--;
        uint8_t digit = take_off(&remainder, b);
        if (quotient.count > 0 || digit > 0) {
            quotient.digits[quotient.count++] = digit;
        }
    }
    quotient.rest = remainder.count > 0;
    for (; next >= 0; next--) { /* the quotient has digits enough: the rest are places */
        quotient.rest = quotient.rest || a->digits[next] != 0;
        quotient.exponent++;
    }
    return decimal_of_quotient(out, &quotient, arena);
}

static uint64_t
magnitude(int64_t value)
{
    return value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
}

/* The same in machine words; the divisor times ten fits one, and neither number is wide. */
static bool
divide_short(struct decimal *out, const struct decimal *a, const struct decimal *b,
             struct arena *arena)
{
    uint64_t dividend = magnitude(a->coefficient), divisor = magnitude(b->coefficient);
    uint64_t whole = dividend / divisor, remainder = dividend % divisor;
    struct quotient quotient = {
            .exponent = a->exponent - b->exponent,
            .negative = (a->coefficient < 0) != (b->coefficient < 0),
    };
    for (uint64_t left = whole; left > 0; left /= 10) {
        quotient.count++;
    }
    for (int i = quotient.count; i > 0; whole /= 10) {
        quotient.digits[--i] = (uint8_t)(whole % 10);
    }
    while (quotient.count < QUOTIENT_DIGITS && remainder > 0) {
        remainder *= 10;
        uint8_t digit = (uint8_t)(remainder / divisor);
        remainder %= divisor;
        quotient.exponent--;
        if (quotient.count > 0 || digit > 0) {
            quotient.digits[quotient.count++] = digit;
        }
    }
    quotient.rest = remainder > 0;
    return decimal_of_quotient(out, &quotient, arena);
}

bool
decimal_divide(struct decimal *out, const struct decimal *a, const struct decimal *b,
               struct arena *arena)
{
    if (decimal_is_zero(b)) {
        return false;
    }
    bool whole = a->wide == NULL && b->wide == NULL && a->exponent == 0 && b->exponent == 0;
    if (whole && b->coefficient != -1 && a->coefficient % b->coefficient == 0) {
        *out = decimal_of_int64(a->coefficient / b->coefficient);
        return true;
    }
    if (a->wide == NULL && b->wide == NULL && magnitude(b->coefficient) <= UINT64_MAX / 10) {
        return divide_short(out, a, b, arena);
    }
    struct big p = big_of(a);
    struct big q = big_of(b);
    return divide_big(out, &p, &q, arena);
}

static bool
modulo_big(struct decimal *out, const struct big *a, struct big *b, struct arena *arena)
{
    int low = a->exponent < b->exponent ? a->exponent : b->exponent;
    if (b->exponent - low + b->count > BIG_DIGITS_MAX - 2) {
        struct big whole = *a; /* the divisor is larger by far */
        return decimal_of_big(out, &whole, arena);
    }
    struct big divisor = shift_to(b, low);
    divisor.exponent = 0;
    struct big remainder = {0};
    for (int place = big_top(a); place >= low; place--) {
        push_digit(&remainder, place >= a->exponent ? a->digits[place - a->exponent] : 0);
        take_off(&remainder, &divisor);
    }
    remainder.exponent = low;
    remainder.negative = a->negative;
    return decimal_of_big(out, &remainder, arena);
}

bool
decimal_modulo(struct decimal *out, const struct decimal *a, const struct decimal *b,
               struct arena *arena)
{
    if (decimal_is_zero(b)) {
        return false;
    }
    int64_t x, y;
    int32_t exponent;
    if (align(a, b, &x, &y, &exponent)) {
        *out = (struct decimal){.coefficient = y == -1 ? 0 : x % y, .exponent = exponent};
        return true;
    }
    struct big p = big_of(a);
    struct big q = big_of(b);
    return modulo_big(out, &p, &q, arena);
}

/* ---- rounding ---- */

/* Whether cutting off a part (first digit `first`, any other digit `rest`) moves away from zero. */
static bool
rounds_away(enum decimal_rounding rounding, bool negative, int first, bool rest)
{
    switch (rounding) {
    case DECIMAL_TRUNCATE:
        return false;
    case DECIMAL_FLOOR:
        return negative && (first > 0 || rest);
    case DECIMAL_CEIL:
        return !negative && (first > 0 || rest);
    case DECIMAL_HALF_AWAY:
        return first >= 5;
    }
    never("all roundings are listed");
}

struct decimal
decimal_round(const struct decimal *number, unsigned places, enum decimal_rounding rounding,
              struct arena *arena)
{
    int excess = -(int)places - number->exponent;
    if (excess <= 0) {
        return *number;
    }
    struct big big = big_of(number);
    int first = excess <= big.count ? big.digits[excess - 1] : 0;
    bool rest = false;
    for (int i = 0; i < excess - 1 && i < big.count; i++) {
        rest = rest || big.digits[i] != 0;
    }
    if (excess >= big.count) {
        big.count = 0;
        big.exponent = -(int)places;
    } else {
        drop_low(&big, excess);
    }
    if (rounds_away(rounding, big.negative, first, rest)) {
        increment(&big);
    }
    struct decimal out;
    check(decimal_of_big(&out, &big, arena)); /* it did not grow beyond the next whole number */
    return out;
}

/* ---- printing ---- */

static size_t
print_small(int64_t value, char *out)
{
    char reversed[24];
    size_t size = 0;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        reversed[size++] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (value < 0) {
        reversed[size++] = '-';
    }
    for (size_t i = 0; i < size; i++) {
        out[i] = reversed[size - 1 - i];
    }
    return size;
}

/* Digits from the highest place (or 0) down to the lowest (or 0), with the point. */
static size_t
print_plain(const struct big *big, char *out)
{
    size_t size = 0;
    int top = big_top(big) > 0 ? big_top(big) : 0;
    int low = big->exponent < 0 ? big->exponent : 0;
    for (int place = top; place >= low; place--) {
        if (place == -1) {
            out[size++] = '.';
        }
        int i = place - big->exponent;
        out[size++] = (char)('0' + (i >= 0 && i < big->count ? big->digits[i] : 0));
    }
    return size;
}

static size_t
print_scientific(const struct big *big, char *out)
{
    size_t size = 0;
    for (int i = big->count - 1; i >= 0; i--) {
        out[size++] = (char)('0' + big->digits[i]);
        if (i == big->count - 1 && i > 0) {
            out[size++] = '.';
        }
    }
    char exponent[8];
    int length = snprintf(exponent, sizeof exponent, "E%+d", big_top(big));
    memcpy(out + size, exponent, (size_t)length);
    return size + (size_t)length;
}

enum { PLAIN_PLACE_MIN = -6 };

size_t
decimal_print(const struct decimal *number, char out[DECIMAL_TEXT_MAX])
{
    if (number->wide == NULL && (number->exponent == 0 || number->coefficient == 0)) {
        return print_small(number->coefficient, out);
    }
    struct big big = big_of(number);
    drop_low_zeros(&big);
    size_t sign = 0;
    if (big.negative) {
        out[sign++] = '-';
    }
    bool whole = big.exponent >= 0;
    bool plain = whole ? big_top(&big) < DECIMAL_DIGITS : big_top(&big) >= PLAIN_PLACE_MIN;
    return sign + (plain ? print_plain(&big, out + sign) : print_scientific(&big, out + sign));
}
