/* The measuring tools' parts: what they print is only as good as these. */
#include "unit.h"

#include "bench/histogram.h"
#include "bench/template.h"
#include "bench/tool.h"

static void
test_histogram_is_near(void **state)
{
    struct histogram histogram = {0};
    assert_int_equal(histogram_quantile(&histogram, 0.5), 0);
    for (int64_t i = 1; i <= 100000; i++) {
        histogram_add(&histogram, i);
    }
    for (int percent = 1; percent <= 100; percent++) {
        int64_t exact = percent * 1000;
        int64_t found = histogram_quantile(&histogram, percent / 100.0);
        assert_in_range(found, exact, exact + exact / 32);
    }
    assert_int_equal(histogram_quantile(&histogram, 1), 100000);
}

static void
test_histogram_extremes(void **state)
{
    struct histogram histogram = {0};
    histogram_add(&histogram, -5);
    assert_int_equal(histogram_quantile(&histogram, 1), 0);
    histogram_add(&histogram, INT64_MAX);
    assert_int_equal(histogram.max_us, INT64_MAX);
    assert_int_equal(histogram.total, 2);
    assert_true(histogram_quantile(&histogram, 1) >= (1LL << 40) - 1);
}

static void
test_template_fills(void **state)
{
    struct template template;
    struct buf out = {0};
    assert_true(template_cut(&template, BYTES("a/%d/%n %v%% %t;%m.")));
    template_fill(&template, &(struct template_values){7, 100, 200, 3, 61}, &out);
    assert_bytes(buf_bytes(&out), "a/3/7 61% 100;200.");
    buf_fini(&out);
    assert_false(template_cut(&template, BYTES("a%q")));
    assert_false(template_cut(&template, BYTES("a%")));
}

static void
test_sequence_counts(void **state)
{
    struct tool_sequence sequence;
    tool_sequence_init(&sequence, 10, 100);
    for (int64_t number = 5; number < 120; number++) {
        tool_sequence_add(&sequence, number);
    }
    tool_sequence_add(&sequence, 73);
    assert_int_equal(sequence.distinct, 100);
    assert_int_equal(sequence.duplicates, 1);
    assert_int_equal(sequence.foreign, 15);
    tool_sequence_fini(&sequence);
}

static void
test_member_reads(void **state)
{
    assert_int_equal(tool_member(BYTES("{\"seq\":12,\"x\":3}"), BYTES("\"x\"")), 3);
    assert_int_equal(tool_member(BYTES("{\"x\": 45"), BYTES("\"x\"")), 45);
    assert_int_equal(tool_member(BYTES("{\"y\":4}"), BYTES("\"x\"")), -1);
    assert_int_equal(tool_member(BYTES("{\"x\":\"4\"}"), BYTES("\"x\"")), -1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_histogram_is_near), cmocka_unit_test(test_histogram_extremes),
            cmocka_unit_test(test_template_fills),    cmocka_unit_test(test_sequence_counts),
            cmocka_unit_test(test_member_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
