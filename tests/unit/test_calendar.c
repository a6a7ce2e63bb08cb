#include "unit.h"

#include "base/calendar.h"

static int64_t
parsed(const char *text)
{
    int64_t ns = -1;
    assert_true(calendar_parse(bytes_of_string(text), &ns));
    return ns;
}

static void
days_and_dates_are_inverse(void **state)
{
    assert_int_equal(calendar_days((struct calendar_date){1970, 1, 1}), 0);
    assert_int_equal(calendar_days((struct calendar_date){2000, 3, 1}), 11017);
    for (int64_t day = -200000; day < 200000; day += 17) {
        struct calendar_date date = calendar_date_of(day);
        assert_true(date.month >= 1 && date.month <= 12);
        assert_true(date.day >= 1 && date.day <= calendar_month_length(date.year, date.month));
        assert_int_equal(calendar_days(date), day);
    }
}

static void
iso_texts_parse(void **state)
{
    int64_t noon = INT64_C(1704110400) * CALENDAR_NS_PER_SECOND;
    assert_int_equal(parsed("2024-01-01T12:00:00Z"), noon);
    assert_int_equal(parsed("2024-01-01 12:00"), noon);
    assert_int_equal(parsed("2024-01-01t14:00:00+02:00"), noon);
    assert_int_equal(parsed("2024-01-01T06:30:00-0530"), noon);
    assert_int_equal(parsed("2024-01-01T13:00:00+01"), noon);
    assert_int_equal(parsed("2024-01-01T12:00:00.5Z"), noon + 500000000);
    assert_int_equal(parsed("2024-01-01 12:00:00.000000001"), noon + 1);
    assert_int_equal(parsed("2024-01-01"), noon - CALENDAR_NS_PER_DAY / 2);
    assert_int_equal(parsed("1969-12-31T23:59:59.999999999Z"), -1);
}

static void
what_is_no_time_does_not_parse(void **state)
{
    static const char *const bad[] = {
            "",           "2024",          "2024-13-01",          "2023-02-29",
            "2024-01-32", "2024-01-01T",   "2024-01-01T24:00:00", "2024-01-01T12:00:00.Z",
            "2024-1-1",   "2024-01-01x",   "2024-01-01T12:00Zx",  "2024-01-01T12:00:00+19:00",
            "x",          "2024-01-01T12", "9999-01-01",          "2024-01-01T12:00:00.1234567890",
            "2024-01-01T12:00:00+02:",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t ns = 7;
        if (calendar_parse(bytes_of_string(bad[i]), &ns)) {
            fail_msg("'%s' parsed", bad[i]);
        }
        assert_int_equal(ns, 7);
    }
}

static void
times_print_with_nine_digits(void **state)
{
    struct buf out = {0};
    calendar_print(INT64_C(1655460920000000001), ' ', &out);
    assert_string_equal(buf_string(&out), "2022-06-17 10:15:20.000000001");
    buf_clear(&out);
    calendar_print(-1, 'T', &out);
    assert_string_equal(buf_string(&out), "1969-12-31T23:59:59.999999999");
    buf_fini(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(days_and_dates_are_inverse),
            cmocka_unit_test(iso_texts_parse),
            cmocka_unit_test(what_is_no_time_does_not_parse),
            cmocka_unit_test(times_print_with_nine_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
