/* Numbers, intervals and times as they are written in a query. */
#include "node.h"

const struct stream_node *
stream_compile_number(struct stream_compiler *compiler, const struct expr *expr)
{
    int64_t integer;
    struct stream_value value = {0};
    if (bytes_to_int64(expr->text, &integer)) {
        struct stream_type type = stream_type_of(STREAM_INTEGER);
        type.width = integer >= INT32_MIN && integer <= INT32_MAX ? 32 : 64;
        return stream_constant_node(compiler, type, stream_integer(integer));
    }
    struct decimal decimal;
    if (!decimal_parse(&decimal, expr->text, compiler->arena)) {
        return stream_fail(compiler, expr->span, "this number is out of range");
    }
    value.real = decimal_to_double(&decimal);
    return stream_constant_node(compiler, stream_type_of(STREAM_DOUBLE), value);
}

/* "1:30" of MINUTE TO SECOND: fields from the largest unit down, the last may have a fraction. */
static bool
parse_fields(struct bytes text, enum stream_unit unit, int64_t *out_ms)
{
    static const int64_t sizes[] = {[UNIT_SECOND] = 1000, [UNIT_MINUTE] = 60000,
                                    [UNIT_HOUR] = 3600000, [UNIT_DAY] = 86400000};
    int64_t total = 0;
    while (text.size > 0) {
        size_t end = 0;
        while (end < text.size && text.data[end] != ':' && text.data[end] != ' ') {
            end++;
        }
        struct bytes field = bytes_slice(text, 0, end);
        size_t point = bytes_find(field, '.');
        int64_t number, fraction = 0;
        struct bytes digits = bytes_slice(field, point + 1, field.size);
        if (!bytes_to_int64(bytes_slice(field, 0, point), &number) || number < 0 ||
            number > INT64_MAX / 86400000 / 2 || (digits.size > 0 && (digits.size > 9 ||
            !bytes_to_int64(digits, &fraction) || fraction < 0))) {
            return false;
        }
        for (size_t i = digits.size; i < 9; i++) {
            fraction *= 10;
        }
        total += number * sizes[unit] + (int64_t)((double)fraction / 1e9 * (double)sizes[unit]);
        text = bytes_slice(text, end + 1, text.size);
        if (text.size > 0 && unit == UNIT_SECOND) {
            return false;
        }
        unit--;
    }
    *out_ms = total;
    return true;
}

/* False without an error: the caller tells. `months` is set for YEAR and MONTH. */
static bool
parse_interval(const struct expr *expr, bool *months, int64_t *out)
{
    struct bytes text = bytes_trim(expr->text);
    bool negative = text.size > 0 && text.data[0] == '-';
    text = bytes_slice(text, negative, text.size);
    negative ^= expr->op == OP_NEGATE;
    size_t blank = bytes_find(expr->type, ' ');
    enum stream_unit unit;
    if (text.size == 0 || !stream_unit_parse(bytes_slice(expr->type, 0, blank), &unit)) {
        return false;
    }
    *months = unit >= UNIT_MONTH;
    if (*months) {
        int64_t count, more = 0;
        size_t dash = bytes_find(text, '-');
        if (!bytes_to_int64(bytes_slice(text, 0, dash), &count) ||
            (dash < text.size &&
             !bytes_to_int64(bytes_slice(text, dash + 1, text.size), &more)) ||
            count < 0 || count > 1000000 || more < 0 || more > 11) {
            return false;
        }
        *out = count * (unit == UNIT_YEAR ? 12 : unit == UNIT_QUARTER ? 3 : 1) + more;
    } else if (unit == UNIT_WEEK || unit == UNIT_MILLISECOND) {
        int64_t count;
        if (!bytes_to_int64(text, &count) || count < 0 || count > 1000000000000) {
            return false;
        }
        *out = count * (unit == UNIT_WEEK ? 7 * 86400000 : 1);
    } else if (!parse_fields(text, unit, out)) {
        return false;
    }
    *out = negative ? -*out : *out;
    return true;
}

const struct stream_node *
stream_compile_interval(struct stream_compiler *compiler, const struct expr *expr)
{
    bool months;
    int64_t size;
    if (!parse_interval(expr, &months, &size)) {
        stream_fail(compiler, expr->span, "this is no interval");
        stream_hint(compiler, "INTERVAL '10' SECOND, INTERVAL '1:30' MINUTE TO SECOND");
        return NULL;
    }
    return stream_constant_node(compiler, stream_type_of(months ? STREAM_MONTHS : STREAM_INTERVAL),
                                stream_integer(size));
}

bool
stream_interval(struct stream_compiler *compiler, const struct expr *expr, const char *what,
                int64_t *out_ms)
{
    const struct stream_schema nothing = {0};
    const struct stream_scope scope = {.schema = &nothing};
    const struct stream_node *node = stream_compile(compiler, &scope, expr);
    if (node == NULL) {
        return false;
    }
    if (!node->is_constant || node->type.kind != STREAM_INTERVAL) {
        stream_fail(compiler, expr->span, "%s must be a constant day-time interval", what);
        stream_hint(compiler, "%s", node->type.kind == STREAM_MONTHS
                                            ? "months and years have no fixed length"
                                            : "INTERVAL '1' MINUTE");
        return false;
    }
    *out_ms = node->constant.integer;
    return true;
}

const struct stream_node *
stream_compile_typed_string(struct stream_compiler *compiler, const struct expr *expr)
{
    struct stream_type type;
    struct stream_value value = {0};
    int64_t ms;
    if (!stream_type_parse(expr->type, &type) || !stream_time_parse(expr->text, NULL, &ms)) {
        return stream_fail(compiler, expr->span, "this is no %.*s", BYTES_ARG(expr->type));
    }
    value.integer = type.kind == STREAM_DATE ? stream_floor_divide(ms, 86400000) : ms;
    return stream_constant_node(compiler, type, value);
}

