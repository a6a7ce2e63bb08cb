/* Functions of numbers. */
#include "function.h"

#include <math.h>

static struct stream_value
real_value(double real)
{
    return isfinite(real) ? (struct stream_value){.real = real} : stream_null();
}

void
stream_fn_abs_value(const struct stream_call *call, struct stream_value *out)
{
    *out = call->args[0];
    if (call_type(call, 0).kind == STREAM_DOUBLE) {
        out->real = fabs(out->real);
    } else if (call_type(call, 0).kind == STREAM_DECIMAL) {
        if (decimal_sign(&out->decimal) < 0) {
            out->decimal = decimal_negate(&out->decimal, call->context->arena);
        }
    } else if (out->integer == INT64_MIN) {
        call->context->failure = "a number is out of range";
    } else {
        out->integer = out->integer < 0 ? -out->integer : out->integer;
    }
}

void
stream_fn_sign(const struct stream_call *call, struct stream_value *out)
{
    struct stream_value value = call->args[0];
    if (call_type(call, 0).kind == STREAM_DOUBLE) {
        out->real = (value.real > 0) - (value.real < 0);
    } else if (call_type(call, 0).kind == STREAM_DECIMAL) {
        out->decimal = decimal_of_int64(decimal_sign(&value.decimal));
    } else {
        out->integer = (value.integer > 0) - (value.integer < 0);
    }
}

void
stream_fn_mod(const struct stream_call *call, struct stream_value *out)
{
    int64_t divisor = call->args[1].integer;
    if (divisor == 0) {
        call->context->failure = "division by zero";
    } else {
        out->integer = divisor == -1 ? 0 : call->args[0].integer % divisor;
    }
}

/* Doubles are rounded as the decimals that they are written as: 2.675 to 2.68. */
static void
round_to(const struct stream_call *call, enum decimal_rounding rounding, int64_t places,
         struct stream_value *out)
{
    struct arena *arena = call->context->arena;
    struct stream_type type = call_type(call, 0);
    struct decimal number;
    if (type.kind == STREAM_INTEGER) {
        number = decimal_of_int64(call->args[0].integer);
    } else if (type.kind == STREAM_DECIMAL) {
        number = call->args[0].decimal;
    } else if (!decimal_of_double(&number, call->args[0].real, arena)) {
        *out = stream_null();
        return;
    }
    if (places < 0) { /* to tens, hundreds, ... */
        int32_t zeros = (int32_t)(places < -40 ? 40 : -places);
        struct decimal power = {.coefficient = 1, .exponent = zeros};
        struct decimal part;
        if (!decimal_divide(&part, &number, &power, arena)) {
            *out = stream_null();
            return;
        }
        part = decimal_round(&part, 0, rounding, arena);
        if (!decimal_multiply(&number, &part, &power, arena)) {
            *out = stream_null();
            return;
        }
    } else {
        number = decimal_round(&number, (unsigned)(places > 40 ? 40 : places), rounding, arena);
    }
    if (type.kind == STREAM_DOUBLE) {
        out->real = decimal_to_double(&number);
    } else if (type.kind == STREAM_DECIMAL) {
        out->decimal = number;
    } else if (!decimal_to_int64(&number, &out->integer)) {
        call->context->failure = "a number is out of range";
    }
}

void
stream_fn_round_value(const struct stream_call *call, struct stream_value *out)
{
    round_to(call, DECIMAL_HALF_AWAY, call->count == 2 ? call->args[1].integer : 0, out);
}

void
stream_fn_truncate_value(const struct stream_call *call, struct stream_value *out)
{
    round_to(call, DECIMAL_TRUNCATE, call->count == 2 ? call->args[1].integer : 0, out);
}

void
stream_fn_floor_value(const struct stream_call *call, struct stream_value *out)
{
    round_to(call, DECIMAL_FLOOR, 0, out);
}

void
stream_fn_ceil_value(const struct stream_call *call, struct stream_value *out)
{
    round_to(call, DECIMAL_CEIL, 0, out);
}

#define REAL_FUNCTION(name, expression)                                 \
    void name(const struct stream_call *call, struct stream_value *out) \
    {                                                                   \
        double x = call->args[0].real;                                  \
        *out = real_value(expression);                                  \
    }
REAL_FUNCTION(stream_fn_square_root, sqrt(x))
REAL_FUNCTION(stream_fn_exponential, exp(x))
REAL_FUNCTION(stream_fn_natural_log, log(x))
REAL_FUNCTION(stream_fn_decimal_log, log10(x))
REAL_FUNCTION(stream_fn_binary_log, log2(x))
REAL_FUNCTION(stream_fn_sine, sin(x))
REAL_FUNCTION(stream_fn_cosine, cos(x))
REAL_FUNCTION(stream_fn_tangent, tan(x))
REAL_FUNCTION(stream_fn_power, pow(x, call->args[1].real))
REAL_FUNCTION(stream_fn_arc_tangent, atan2(x, call->args[1].real))
#undef REAL_FUNCTION

static void
extreme(const struct stream_call *call, int sign_wanted, struct stream_value *out)
{
    *out = call->args[0];
    for (size_t i = 1; i < call->count; i++) {
        int order = stream_compare(call->node->type, &call->args[i], out);
        if (order * sign_wanted > 0) {
            *out = call->args[i];
        }
    }
}

void
stream_fn_greatest(const struct stream_call *call, struct stream_value *out)
{
    extreme(call, 1, out);
}

void
stream_fn_least(const struct stream_call *call, struct stream_value *out)
{
    extreme(call, -1, out);
}

