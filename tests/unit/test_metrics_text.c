/* The text that Prometheus reads. What reads it back is in the scenario test_metrics. */
#include "unit.h"

#include "metrics_text.h"

#include <string.h>

static void
a_family_has_help_type_and_samples(void **state)
{
    struct buf out = {0};
    const struct metric_labels first = {{BYTES("hot"), BYTES("matched")}},
                               second = {{BYTES("hot"), BYTES("failed")}};
    metric_only(&out, METRIC_CONNECTED, 1);
    metric_begin(&out, METRIC_RULE_OUTCOMES);
    metric_count(&out, METRIC_RULE_OUTCOMES, &first, UINT64_C(9007199254740993));
    metric_count(&out, METRIC_RULE_OUTCOMES, &second, 0);
    assert_string_equal(buf_string(&out),
                        "# HELP headgate_broker_connected 1 while the broker is connected and "
                        "messages can be received.\n"
                        "# TYPE headgate_broker_connected gauge\n"
                        "headgate_broker_connected 1\n"
                        "# HELP headgate_rule_outcomes_total What became of them. Topic SQL: "
                        "matched, filtered, undefined, failed. Stream SQL: used, "
                        "rejected (late, ...), turned_away (bad, ...).\n"
                        "# TYPE headgate_rule_outcomes_total counter\n"
                        "headgate_rule_outcomes_total{rule=\"hot\",outcome=\"matched\"} "
                        "9007199254740993\n"
                        "headgate_rule_outcomes_total{rule=\"hot\",outcome=\"failed\"} 0\n");
    buf_fini(&out);
}

static void
label_values_are_escaped(void **state)
{
    static const struct {
        const char *value;
        const char *text;
    } cases[] = {
            {"", "headgate_rule_rows_total{rule=\"\"} 7\n"},
            {"a\"b\\c\nd", "headgate_rule_rows_total{rule=\"a\\\"b\\\\c\\nd\"} 7\n"},
            {"\xc3\xbc\xc3\x9f", "headgate_rule_rows_total{rule=\"\xc3\xbc\xc3\x9f\"} 7\n"},
            {"a\xff\xc3", "headgate_rule_rows_total{rule=\"a??\"} 7\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = {0};
        const struct metric_labels labels = {{bytes_of_string(cases[i].value)}};
        metric_count(&out, METRIC_RULE_ROWS, &labels, 7);
        assert_string_equal(buf_string(&out), cases[i].text);
        buf_fini(&out);
    }
}

static void
times_are_seconds(void **state)
{
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {
            {0, "headgate_checkpoint_age_seconds 0.000000\n"},
            {1, "headgate_checkpoint_age_seconds 0.000001\n"},
            {1500000, "headgate_checkpoint_age_seconds 1.500000\n"},
            {-1, "headgate_checkpoint_age_seconds 0.000000\n"}, /* a clock that was set */
            {INT64_C(1764057600000000), "headgate_checkpoint_age_seconds 1764057600.000000\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = {0};
        metric_seconds(&out, METRIC_CHECKPOINT_AGE, NULL, cases[i].us);
        assert_string_equal(buf_string(&out), cases[i].text);
        buf_fini(&out);
    }
}

static void
every_metric_follows_the_conventions(void **state)
{
    static const struct {
        const char *type, *name, *labels, *doc;
    } metrics[] = {
#define COUNTER "counter"
#define GAUGE "gauge"
#define METRIC(id, type, name, labels, doc) {type, name, labels, doc},
#include "metrics.def"
#undef METRIC
    };
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        const char *name = metrics[i].name;
        size_t size = strlen(name);
        bool is_total = size > 6 && strcmp(name + size - 6, "_total") == 0;
        assert_int_equal(is_total, strcmp(metrics[i].type, COUNTER) == 0);
        assert_true(strncmp(name, "headgate_", 9) == 0 || strncmp(name, "process_", 8) == 0);
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), size);
        assert_int_equal(strspn(metrics[i].labels, "abcdefghijklmnopqrstuvwxyz_,"),
                         strlen(metrics[i].labels));
        assert_null(strpbrk(metrics[i].doc, "\\\n"));
        assert_int_equal(metrics[i].doc[strlen(metrics[i].doc) - 1], '.');
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(name, metrics[j].name);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_family_has_help_type_and_samples),
            cmocka_unit_test(label_values_are_escaped),
            cmocka_unit_test(times_are_seconds),
            cmocka_unit_test(every_metric_follows_the_conventions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
