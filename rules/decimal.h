/*
 * Exact decimal numbers of 34 significant digits, rounded HALF_EVEN, from 1E-999 to 9.99E999: what
 * AWS IoT SQL calls Int and Decimal.
 *
 * The value is coefficient * 10^exponent. Nearly all numbers fit a coefficient of 64 bits, and
 * their sums, products and comparisons never leave this path; only longer ones carry `wide`, an
 * array of digits in an arena. A number whose value is whole is an Int (version 2016-03-23), no
 * matter how it was written: 10.0 is 10.
 *
 * An operation returns false when its result does not exist or lies beyond 9.99E999; below 1E-999
 * it is 0. Pure, thread-free.
 */
#ifndef HEADGATE_RULES_DECIMAL_H
#define HEADGATE_RULES_DECIMAL_H

#include "base/arena.h"
#include "base/check.h"

enum { DECIMAL_DIGITS = 34, DECIMAL_EXPONENT_MAX = 999 };

struct decimal_digits {
    bool negative;
    uint8_t count;                   /* 1 to DECIMAL_DIGITS, the highest is not 0 */
    uint8_t digits[DECIMAL_DIGITS];  /* lowest first */
};

struct decimal {
    int64_t coefficient;
    const struct decimal_digits *wide; /* not NULL: instead of `coefficient` */
    int32_t exponent;
};

static inline struct decimal
decimal_of_int64(int64_t value)
{
    return (struct decimal){.coefficient = value};
}

/* Reads '-'? digits ('.' digits)? ([eE] [+-]? digits)? ; false on anything else or out of range. */
bool decimal_parse(struct decimal *out, struct bytes text, struct arena *arena) MUST_CHECK;

/* The shortest decimal that reads back as the same double; false for NaN and infinities. */
bool decimal_of_double(struct decimal *out, double value, struct arena *arena) MUST_CHECK;

double decimal_to_double(const struct decimal *number);

bool decimal_is_zero(const struct decimal *number);
bool decimal_is_whole(const struct decimal *number);
int decimal_sign(const struct decimal *number); /* -1, 0, 1 */

/* When it is whole and fits. */
bool decimal_to_int64(const struct decimal *number, int64_t *out);

/* < 0, 0, > 0; 1.0 equals 1. */
int decimal_compare(const struct decimal *a, const struct decimal *b);

struct decimal decimal_negate(const struct decimal *number, struct arena *arena);

bool decimal_add(struct decimal *out, const struct decimal *a, const struct decimal *b,
                 struct arena *arena) MUST_CHECK;
bool decimal_subtract(struct decimal *out, const struct decimal *a, const struct decimal *b,
                      struct arena *arena) MUST_CHECK;
bool decimal_multiply(struct decimal *out, const struct decimal *a, const struct decimal *b,
                      struct arena *arena) MUST_CHECK;
bool decimal_divide(struct decimal *out, const struct decimal *a, const struct decimal *b,
                    struct arena *arena) MUST_CHECK;

/* The remainder has the sign of `a`. */
bool decimal_modulo(struct decimal *out, const struct decimal *a, const struct decimal *b,
                    struct arena *arena) MUST_CHECK;

enum decimal_rounding {
    DECIMAL_TRUNCATE, /* toward zero */
    DECIMAL_FLOOR,    /* toward minus infinity */
    DECIMAL_CEIL,
    DECIMAL_HALF_AWAY, /* 0.5 is 1, -0.5 is -1 */
};

/* With at most `places` digits behind the point. */
struct decimal decimal_round(const struct decimal *number, unsigned places,
                             enum decimal_rounding rounding, struct arena *arena);

enum { DECIMAL_TEXT_MAX = 48 };

/*
 * The text, without NUL; returns its size. Without trailing zeros; whole numbers of up to 34 digits
 * plain, the rest as Java's BigDecimal.toString: plain down to 0.000001, then 1E-7.
 */
size_t decimal_print(const struct decimal *number, char out[DECIMAL_TEXT_MAX]);

#endif
