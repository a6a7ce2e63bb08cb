/*
 * Functions of numbers. What has an exact result is computed with decimals; the transcendental
 * ones go through doubles, as AWS does, and are Undefined where they are not finite.
 */
#include "fn.h"

#include <math.h>

/* ---- exact ---- */

void
fn_abs(const struct call *call, struct value *out)
{
    struct decimal x;
    if (call_number(call, 0, &x)) {
        *out = value_number(decimal_sign(&x) < 0 ? decimal_negate(&x, call->arena) : x);
    }
}

static void
round_with(const struct call *call, enum decimal_rounding rounding, struct value *out)
{
    struct decimal x;
    if (call_number(call, 0, &x)) {
        *out = value_number(decimal_round(&x, 0, rounding, call->arena));
    }
}

void
fn_ceil(const struct call *call, struct value *out)
{
    round_with(call, DECIMAL_CEIL, out);
}

void
fn_floor(const struct call *call, struct value *out)
{
    round_with(call, DECIMAL_FLOOR, out);
}

void
fn_round(const struct call *call, struct value *out)
{
    round_with(call, DECIMAL_HALF_AWAY, out);
}

void
fn_sign(const struct call *call, struct value *out)
{
    struct decimal x;
    if (call_number(call, 0, &x)) {
        *out = value_int64(decimal_sign(&x));
    }
}

enum { TRUNC_PLACES_MAX = 34 };

void
fn_trunc(const struct call *call, struct value *out)
{
    struct decimal x, n;
    if (value_type(&call->args[1]) != TYPE_NUMBER || !call_number(call, 0, &x) ||
        !call_number(call, 1, &n)) {
        return;
    }
    n = decimal_round(&n, 0, DECIMAL_FLOOR, call->arena);
    int64_t places;
    if (decimal_sign(&n) < 0) {
        places = 0;
    } else if (!decimal_to_int64(&n, &places) || places > TRUNC_PLACES_MAX) {
        places = TRUNC_PLACES_MAX;
    }
    *out = value_number(decimal_round(&x, (unsigned)places, DECIMAL_TRUNCATE, call->arena));
}

void
fn_mod(const struct call *call, struct value *out)
{
    struct decimal x, y, result;
    if (call_number(call, 0, &x) && call_number(call, 1, &y) &&
        decimal_modulo(&result, &x, &y, call->arena)) {
        *out = value_number(result);
    }
}

void
fn_nanvl(const struct call *call, struct value *out)
{
    enum value_type type = value_type(&call->args[0]);
    *out = call->args[type == TYPE_UNDEFINED || type == TYPE_NULL ? 1 : 0];
}

/* ---- bits, of 64-bit integers in two's complement ---- */

static bool
bits_of(const struct call *call, size_t i, int64_t *out)
{
    struct decimal x;
    if (!call_number(call, i, &x)) {
        return false;
    }
    x = decimal_round(&x, 0, DECIMAL_FLOOR, call->arena);
    return decimal_to_int64(&x, out);
}

void
fn_bitand(const struct call *call, struct value *out)
{
    int64_t a, b;
    if (bits_of(call, 0, &a) && bits_of(call, 1, &b)) {
        *out = value_int64(a & b);
    }
}

void
fn_bitor(const struct call *call, struct value *out)
{
    int64_t a, b;
    if (bits_of(call, 0, &a) && bits_of(call, 1, &b)) {
        *out = value_int64(a | b);
    }
}

void
fn_bitxor(const struct call *call, struct value *out)
{
    int64_t a, b;
    if (bits_of(call, 0, &a) && bits_of(call, 1, &b)) {
        *out = value_int64(a ^ b);
    }
}

void
fn_bitnot(const struct call *call, struct value *out)
{
    int64_t a;
    if (bits_of(call, 0, &a)) {
        *out = value_int64(~a);
    }
}

/* ---- by doubles ---- */

static void
set_double(const struct call *call, double result, struct value *out)
{
    struct decimal number;
    if (decimal_of_double(&number, result, call->arena)) {
        *out = value_number(number);
    }
}

static void
apply(const struct call *call, double (*function)(double), struct value *out)
{
    struct decimal x;
    if (call_number(call, 0, &x)) {
        set_double(call, function(decimal_to_double(&x)), out);
    }
}

static void
apply_two(const struct call *call, double (*function)(double, double), struct value *out)
{
    struct decimal x, y;
    if (call_number(call, 0, &x) && call_number(call, 1, &y)) {
        set_double(call, function(decimal_to_double(&x), decimal_to_double(&y)), out);
    }
}

void
fn_acos(const struct call *call, struct value *out)
{
    apply(call, acos, out);
}

void
fn_asin(const struct call *call, struct value *out)
{
    apply(call, asin, out);
}

void
fn_atan(const struct call *call, struct value *out)
{
    apply(call, atan, out);
}

void
fn_atan2(const struct call *call, struct value *out)
{
    apply_two(call, atan2, out);
}

void
fn_cos(const struct call *call, struct value *out)
{
    apply(call, cos, out);
}

void
fn_cosh(const struct call *call, struct value *out)
{
    apply(call, cosh, out);
}

void
fn_exp(const struct call *call, struct value *out)
{
    apply(call, exp, out);
}

void
fn_ln(const struct call *call, struct value *out)
{
    apply(call, log, out);
}

void
fn_log(const struct call *call, struct value *out)
{
    apply(call, log10, out);
}

void
fn_power(const struct call *call, struct value *out)
{
    apply_two(call, pow, out);
}

void
fn_sin(const struct call *call, struct value *out)
{
    apply(call, sin, out);
}

void
fn_sinh(const struct call *call, struct value *out)
{
    apply(call, sinh, out);
}

void
fn_sqrt(const struct call *call, struct value *out)
{
    apply(call, sqrt, out);
}

void
fn_tan(const struct call *call, struct value *out)
{
    apply(call, tan, out);
}

void
fn_tanh(const struct call *call, struct value *out)
{
    apply(call, tanh, out);
}
