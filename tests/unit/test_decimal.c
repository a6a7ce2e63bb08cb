#include "unit.h"

#include "base/buf.h"
#include "rules/decimal.h"

#include <stdio.h>

static struct decimal
parse(const char *text, struct arena *arena)
{
    struct decimal number;
    if (!decimal_parse(&number, bytes_of_string(text), arena)) {
        fail_msg("%s does not parse", text);
    }
    return number;
}

static void
assert_number(const struct decimal *number, const char *text)
{
    char printed[DECIMAL_TEXT_MAX];
    size_t size = decimal_print(number, printed);
    assert_true(size <= sizeof printed);
    assert_bytes(bytes_of(printed, size), text);
}

static bool
compute(struct decimal *out, const char *a_text, char op, const char *b_text, struct arena *arena)
{
    struct decimal a = parse(a_text, arena);
    struct decimal b = parse(b_text, arena);
    switch (op) {
    case '+':
        return decimal_add(out, &a, &b, arena);
    case '-':
        return decimal_subtract(out, &a, &b, arena);
    case '*':
        return decimal_multiply(out, &a, &b, arena);
    case '/':
        return decimal_divide(out, &a, &b, arena);
    case '%':
        return decimal_modulo(out, &a, &b, arena);
    default:
        *out = decimal_of_int64(decimal_compare(&a, &b) < 0);
        assert_int_equal(decimal_compare(&b, &a), -decimal_compare(&a, &b));
        return true;
    }
}

static void
arithmetic_agrees_with_an_independent_table(void **state)
{
    FILE *file = fopen(VECTORS "/decimal.txt", "r");
    assert_non_null(file);
    char line[512], a[128], op, b[128], expected[128];
    unsigned count = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        if (line[0] == '#') {
            continue;
        }
        assert_int_equal(sscanf(line, "%127s %c %127s %127s", a, &op, b, expected), 4);
        struct arena arena = {0};
        struct decimal result;
        char printed[DECIMAL_TEXT_MAX + 1] = "none";
        if (compute(&result, a, op, b, &arena)) {
            printed[decimal_print(&result, printed)] = '\0';
        }
        if (strcmp(printed, expected) != 0) {
            fail_msg("%s %c %s = %s, expected %s", a, op, b, printed, expected);
        }
        arena_fini(&arena);
        count++;
    }
    fclose(file);
    assert_true(count > 600);
}

static void
texts_are_shortest(void **state)
{
    static const char *const cases[][2] = {
            {"10.0", "10"}, {"1.50", "1.5"}, {"-0", "0"}, {"0.000", "0"}, {"-0.50", "-0.5"},
            {"1E20", "100000000000000000000"}, {"0.000001", "0.000001"}, {"0.0000001", "1E-7"},
            {"-1.25E-9", "-1.25E-9"}, {"007", "7"}, {"5e-12", "5E-12"}, {"1E+3", "1000"},
            {"9999999999999999999", "9999999999999999999"},
            {"1E33", "1000000000000000000000000000000000"}, {"1E34", "1E+34"},
            {"9.99E999", "9.99E+999"}, {"1E-999", "1E-999"}, {"1E-1000", "0"},
            {"1E-99999999999999999999", "0"}, {"123456789.987654321", "123456789.987654321"},
            {"12345678901234567890123456789012345678901234567890123456789012345678901",
             "1.234567890123456789012345678901235E+70"},
            {"1234567890123456789012345678901234.5", "1234567890123456789012345678901234"},
            {"1234567890123456789012345678901235.5", "1234567890123456789012345678901236"},
            {"1234567890123456789012345678901234.50000000000001",
             "1234567890123456789012345678901235"},
            {"99999999999999999999999999999999999", "1E+35"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena arena = {0};
        struct decimal number = parse(cases[i][0], &arena);
        assert_number(&number, cases[i][1]);
        arena_fini(&arena);
    }
}

static void
what_is_no_number_is_refused(void **state)
{
    static const char *const texts[] = {
            "", "-", "+5", ".5", "5.", "1e", "1e+", "0x10", " 5", "5 ", "1.2.3", "--1", "1E1000",
            "1E99999999999999999999", "abc", "1e5x", "9.99E999999",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct arena arena = {0};
        struct decimal number;
        if (decimal_parse(&number, bytes_of_string(texts[i]), &arena)) {
            fail_msg("'%s' is read as a number", texts[i]);
        }
        arena_fini(&arena);
    }
}

static void
rounding_goes_where_it_should(void **state)
{
    static const struct {
        const char *text;
        unsigned places;
        const char *truncate, *floor, *ceil, *half_away;
    } cases[] = {
            {"1.5", 0, "1", "1", "2", "2"}, {"-1.5", 0, "-1", "-2", "-1", "-2"},
            {"0.4", 0, "0", "0", "1", "0"}, {"-0.4", 0, "0", "-1", "0", "0"},
            {"0.5", 0, "0", "0", "1", "1"}, {"-0.001", 0, "0", "-1", "0", "0"},
            {"2.3123", 2, "2.31", "2.31", "2.32", "2.31"},
            {"0.29", 2, "0.29", "0.29", "0.29", "0.29"},
            {"-2.888", 2, "-2.88", "-2.89", "-2.88", "-2.89"}, {"7", 3, "7", "7", "7", "7"},
            {"9.99", 1, "9.9", "9.9", "10", "10"}, {"1E-900", 0, "0", "0", "1", "0"},
            {"123456789012345678901234.5", 0, "123456789012345678901234",
             "123456789012345678901234", "123456789012345678901235", "123456789012345678901235"},
            {"1E900", 0, "1E+900", "1E+900", "1E+900", "1E+900"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena arena = {0};
        struct decimal number = parse(cases[i].text, &arena);
        const char *const expected[] = {cases[i].truncate, cases[i].floor, cases[i].ceil,
                                        cases[i].half_away};
        for (enum decimal_rounding r = DECIMAL_TRUNCATE; r <= DECIMAL_HALF_AWAY; r++) {
            struct decimal rounded = decimal_round(&number, cases[i].places, r, &arena);
            assert_number(&rounded, expected[r]);
        }
        arena_fini(&arena);
    }
}

static void
integers_and_doubles_convert(void **state)
{
    struct arena arena = {0};
    static const struct {
        const char *text;
        bool whole, fits;
        int64_t value;
    } cases[] = {
            {"5.00", true, true, 5}, {"1e3", true, true, 1000}, {"1.5", false, false, 0},
            {"9223372036854775807", true, true, INT64_MAX}, {"-9223372036854775808", true, true,
            INT64_MIN}, {"9223372036854775808", true, false, 0}, {"1e300", true, false, 0},
            {"-92233720368547758080e-1", true, true, INT64_MIN}, {"0e5", true, true, 0},
            {"1e-300", false, false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct decimal number = parse(cases[i].text, &arena);
        int64_t value = 0;
        assert_int_equal(decimal_is_whole(&number), cases[i].whole);
        assert_int_equal(decimal_to_int64(&number, &value), cases[i].fits);
        assert_true(value == cases[i].value);
        assert_true(decimal_to_double(&number) == strtod(cases[i].text, NULL));
    }
    struct decimal number;
    assert_true(decimal_of_double(&number, 0.1, &arena));
    assert_number(&number, "0.1");
    assert_true(decimal_of_double(&number, 1e300, &arena));
    assert_number(&number, "1E+300");
    assert_false(decimal_of_double(&number, 1 / strtod("0", NULL), &arena));
    arena_fini(&arena);
}

/* The same number in the form that long ones have. */
static struct decimal
widen(const struct decimal *number, struct decimal_digits *digits)
{
    *digits = (struct decimal_digits){.negative = number->coefficient < 0};
    int64_t left = number->coefficient;
    for (; left != 0; left /= 10) {
        digits->digits[digits->count++] = (uint8_t)(left < 0 ? -(left % 10) : left % 10);
    }
    return (struct decimal){.wide = digits, .exponent = number->exponent};
}

static void
short_division_agrees_with_long(void **state)
{
    struct arena arena = {0};
    uint64_t seed = 1;
    for (int i = 0; i < 20000; i++) {
        struct decimal a, b, quick, slow;
        struct decimal *both[] = {&a, &b};
        for (size_t j = 0; j < 2; j++) {
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            int64_t coefficient = (int64_t)seed >> (seed >> 7) % 63;
            *both[j] = (struct decimal){.coefficient = coefficient == 0 ? 1 : coefficient,
                                        .exponent = (int32_t)(seed >> 20) % 30};
        }
        struct decimal_digits p, q;
        struct decimal wide_a = widen(&a, &p), wide_b = widen(&b, &q);
        assert_true(decimal_divide(&quick, &a, &b, &arena));
        assert_true(decimal_divide(&slow, &wide_a, &wide_b, &arena));
        char one[DECIMAL_TEXT_MAX], other[DECIMAL_TEXT_MAX];
        size_t one_size = decimal_print(&quick, one), other_size = decimal_print(&slow, other);
        assert_int_equal(one_size, other_size);
        assert_memory_equal(one, other, one_size);
        arena_reset(&arena);
    }
    arena_fini(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(arithmetic_agrees_with_an_independent_table),
            cmocka_unit_test(texts_are_shortest),
            cmocka_unit_test(what_is_no_number_is_refused),
            cmocka_unit_test(rounding_goes_where_it_should),
            cmocka_unit_test(integers_and_doubles_convert),
            cmocka_unit_test(short_division_agrees_with_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
