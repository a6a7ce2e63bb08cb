#include "unit.h"

#include "expression.h"
#include "host.h"

#include "base/json.h"

/*
 * time_to_epoch(). The values were computed with java.time (JDK 17, Locale.US); where this function
 * differs from it on purpose, the case stands apart.
 */

struct date_case {
    const char *pattern, *text, *value;
};

/* Each as constants, which are compiled at load, and as members of the payload, which are not. */
static void
assert_case(const struct date_case *date, const struct rule_host *host)
{
    struct buf payload = {0};
    buf_append_string(&payload, "{\"t\":");
    json_write_string(&payload, bytes_of_string(date->text));
    buf_append_string(&payload, ",\"p\":");
    json_write_string(&payload, bytes_of_string(date->pattern));
    buf_append_char(&payload, '}');
    char *literal = expression_literal(date->pattern);
    struct buf constant = {0};
    buf_printf(&constant, "time_to_epoch(t, %s)", literal);
    const char *expressions[] = {"time_to_epoch(t, p)", buf_string(&constant)};
    for (size_t i = 0; i < 2; i++) {
        char *value = expression_value(expressions[i], buf_string(&payload), host);
        if (strcmp(value, date->value) != 0) {
            fail_msg("'%s' by '%s' is %s, expected %s", date->text, date->pattern, value,
                     date->value);
        }
        free(value);
    }
    free(literal);
    buf_fini(&constant);
    buf_fini(&payload);
}

static void
assert_cases(const struct date_case *cases, size_t count)
{
    struct host host;
    host_init(&host, &os_posix);
    for (size_t i = 0; i < count; i++) {
        assert_case(&cases[i], &host.rule);
    }
    host_fini(&host);
}

static void
dates_are_read_as_java_does(void **state)
{
    static const struct date_case cases[] = {
            {"yyyy-MM-dd", "2020-04-03", "1585872000000"},
            {"yyyy-MM-dd", "0001-01-01", "-62135596800000"},
            {"yyyy-MM-dd", "12020-04-03", "Undefined"},
            {"yyyy-MM-dd", "+12020-04-03", "317155392000000"},
            {"u-M-d", "-44-3-15", "-63549360000000"},
            {"yyyy-MM-dd", "2020-4-03", "Undefined"},
            {"yyyy-M-d", "2020-4-3", "1585872000000"},
            {"yyyyMMdd", "20200403", "1585872000000"},
            {"uuMMdd", "200403", "1585872000000"},
            {"d/M/yy", "3/4/99", "4078857600000"},
            {"dd MMMM yyyy", "18 December 2015", "1450396800000"},
            {"d MMM yyyy", "3 Apr 2020", "1585872000000"},
            {"d MMM yyyy", "3 April 2020", "Undefined"},
            {"d MMM yyyy", "3 apr 2020", "Undefined"},
            {"LLL d yyyy", "Sep 9 2020", "1599609600000"},
            {"MMMMM d yyyy", "J 1 2020", "1593561600000"},
            {"EEEE, d MMMM uuuu", "Friday, 3 April 2020", "1585872000000"},
            {"EEE d MMM yyyy", "Thu 3 Apr 2020", "Undefined"},
            {"EEE d MMM yyyy", "Fri 3 Apr 2020", "1585872000000"},
            {"yyyy-DDD", "2020-366", "1609372800000"},
            {"yyyy-DDD", "2021-366", "Undefined"},
            {"yyyyDDD", "2020094", "1585872000000"},
            {"YYYY-'W'ww-e", "2020-W14-6", "1585872000000"},
            {"YYYY-'W'ww-e", "2020-W53-6", "Undefined"},
            {"YYYYwwe", "2020146", "1585872000000"},
            {"yyyy MM W e", "2020 04 1 6", "1585872000000"},
            {"yyyy-MM-dd w", "2020-04-03 14", "1585872000000"},
            {"yyyy-MM-dd w", "2020-04-03 15", "Undefined"},
            {"yyyy-MM-dd ccc", "2020-04-03 Fri", "1585872000000"},
            {"yyyy-MM-dd e", "2020-04-03 6", "1585872000000"},
            {"yyyy-MM-dd F", "2020-04-03 3", "1585872000000"},
            {"QQQ yyyy-MM-dd", "Q2 2020-04-03", "1585872000000"},
            {"QQQQ yyyy-MM-dd", "2nd quarter 2020-04-03", "1585872000000"},
            {"Q yyyy-MM-dd", "1 2020-04-03", "Undefined"},
            {"G y-M-d", "BC 44-3-15", "-63517824000000"},
            {"GGGG y-M-d", "Anno Domini 44-3-15", "-60772291200000"},
            {"G u-M-d", "AD -43-3-15", "Undefined"},
            {"g", "58942", "1585872000000"},
            {"yyyy-MM-dd", "2021-02-29", "Undefined"},
            {"yyyy-MM-dd", "2020-02-30", "Undefined"},
            {"yyyy-MM-dd", "2020-04-31", "Undefined"},
            {"yyyy-MM-dd", "2020-00-03", "Undefined"},
            {"yyyy-MM-dd", "2020-13-03", "Undefined"},
            {"yyyy", "2020", "Undefined"},
            {"yyyy-MM", "2020-04", "Undefined"},
            {"HH:mm", "09:45", "Undefined"},
    };
    assert_cases(cases, sizeof cases / sizeof cases[0]);
}

static void
times_of_day_are_read_as_java_does(void **state)
{
    static const struct date_case cases[] = {
            {"yyyy-MM-dd HH:mm:ss", "2020-04-03 09:45:18", "1585907118000"},
            {"yyyy-MM-dd HH:mm:ss", "2020-04-03 24:00:00", "1585958400000"},
            {"yyyy-MM-dd HH:mm:ss", "2020-04-03 24:00:01", "Undefined"},
            {"yyyy-MM-dd HH:mm:ss", "2020-04-03 09:60:18", "Undefined"},
            {"yyyy-MM-dd HH:mm:ss", "2020-04-03 09:45:60", "Undefined"},
            {"yyyy-MM-dd HH:mm:ss.SSS", "2020-04-03 09:45:18.592", "1585907118592"},
            {"yyyy-MM-dd HH:mm:ss.SSS", "2020-04-03 09:45:18.59", "Undefined"},
            {"yyyy-MM-dd HH:mm:ss.SSS", "1969-12-31 23:59:59.999", "-1"},
            {"yyyy-MM-dd HH:mm:ss.SSSSSS", "1969-12-31 23:59:59.999999", "-1"},
            {"yyyy-MM-dd HH:mm:ss.S", "2020-04-03 09:45:18.5", "1585907118500"},
            {"yyyyMMddHHmmss", "20200403094518", "1585907118000"},
            {"yyyyMMddHHmmssSSS", "20200403094518592", "1585907118592"},
            {"yyyy-MM-dd'T'HH:mm", "2020-04-03T09:45", "1585907100000"},
            {"yyyy-MM-dd h:mm a", "2020-04-03 12:05 AM", "1585872300000"},
            {"yyyy-MM-dd h:mm a", "2020-04-03 12:05 PM", "1585915500000"},
            {"yyyy-MM-dd h:mm a", "2020-04-03 9:05 PM", "1585947900000"},
            {"yyyy-MM-dd h:mm a", "2020-04-03 9:05 pm", "Undefined"},
            {"yyyy-MM-dd h:mm a", "2020-04-03 13:05 PM", "Undefined"},
            {"yyyy-MM-dd K:mm a", "2020-04-03 0:05 PM", "1585915500000"},
            {"yyyy-MM-dd kk:mm", "2020-04-03 24:05", "1585872300000"},
            {"yyyy-MM-dd hh:mm", "2020-04-03 09:05", "Undefined"},
            {"yyyy-MM-dd HH a", "2020-04-03 09 PM", "Undefined"},
            {"yyyy-MM-dd HH", "2020-04-03 09", "1585904400000"},
            {"yyyy-MM-dd mm", "2020-04-03 09", "Undefined"},
            {"yyyy-MM-dd HH ss", "2020-04-03 09 05", "Undefined"},
            {"yyyy-MM-dd A", "2020-04-03 35118592", "1585907118592"},
            {"yyyy-MM-dd N", "2020-04-03 35118592000001", "1585907118592"},
            {"yyyy-MM-dd HH:mm:ss n", "2020-04-03 09:45:18 592000000", "1585907118592"},
            {"yyyy-MM-dd Hmm", "2020-04-03 945", "1585907100000"},
    };
    assert_cases(cases, sizeof cases / sizeof cases[0]);
}

static void
zones_are_read_as_java_does(void **state)
{
    static const struct date_case cases[] = {
            {"yyyy-MM-dd HH:mm:ss VV", "2020-04-03 09:45:18 UTC+01:00", "1585903518000"},
            {"yyyy-MM-dd HH:mm:ss VV", "2020-04-03 09:45:18 UTC+1", "Undefined"},
            {"yyyy-MM-dd HH:mm:ss VV", "2020-04-03 09:45:18 Z", "1585907118000"},
            {"yyyy-MM-dd HH:mm:ss VV", "2020-04-03 09:45:18 GMT", "1585907118000"},
            {"yyyy-MM-dd HH:mm:ss VV", "2020-04-03 09:45:18 -03:30", "1585919718000"},
            {"yyyy-MM-dd HH:mm:ss VV", "2020-04-03 09:45:18 Europe/Oslo", "1585899918000"},
            {"yyyy-MM-dd HH:mm:ss VV", "2020-04-03 09:45:18 Europe/Nowhere", "Undefined"},
            {"yyyy-MM-dd HH:mm VV", "2026-03-29 02:30 Europe/Oslo", "1774747800000"},
            {"yyyy-MM-dd HH:mm VV", "2026-10-25 02:30 Europe/Oslo", "1792888200000"},
            {"yyyy-MM-dd HH:mmXXX VV", "2026-10-25 02:30+01:00 Europe/Oslo", "1792891800000"},
            {"yyyy-MM-dd HH:mm:ss.SSS z", "2007-12-03 10:15:30.592 America/Los_Angeles",
             "1196705730592"},
            {"yyyy-MM-dd HH:mm z", "2020-07-01 12:00 PST", "1593630000000"},
            {"yyyy-MM-dd HH:mm z", "2020-07-01 12:00 CEST", "1593597600000"},
            {"yyyy-MM-dd HH:mm zzzz", "2020-01-01 12:00 Pacific Standard Time", "1577908800000"},
            {"yyyy-MM-dd HH:mm z", "2020-01-01 12:00 Pacific Standard Time", "Undefined"},
            {"yyyy-MM-dd HH:mm X", "2020-04-03 09:45 Z", "1585907100000"},
            {"yyyy-MM-dd HH:mm X", "2020-04-03 09:45 +05", "1585889100000"},
            {"yyyy-MM-dd HH:mm X", "2020-04-03 09:45 +0530", "1585887300000"},
            {"yyyy-MM-dd HH:mm XX", "2020-04-03 09:45 +05", "Undefined"},
            {"yyyy-MM-dd HH:mm XX", "2020-04-03 09:45 +0530", "1585887300000"},
            {"yyyy-MM-dd HH:mm XXX", "2020-04-03 09:45 -05:30", "1585926900000"},
            {"yyyy-MM-dd HH:mm XXX", "2020-04-03 09:45 -0530", "Undefined"},
            {"yyyy-MM-dd HH:mm XXXXX", "2020-04-03 09:45 +05:30:15", "1585887285000"},
            {"yyyy-MM-dd HH:mm x", "2020-04-03 09:45 +00", "1585907100000"},
            {"yyyy-MM-dd HH:mm xxx", "2020-04-03 09:45 Z", "Undefined"},
            {"yyyy-MM-dd HH:mm xxx", "2020-04-03 09:45 +19:00", "Undefined"},
            {"yyyy-MM-dd HH:mm xxxx", "2020-04-03 09:45 -053015", "1585926915000"},
            {"yyyy-MM-dd HH:mm Z", "2020-04-03 09:45 +0200", "1585899900000"},
            {"yyyy-MM-dd HH:mm Z", "2020-04-03 09:45 +02:00", "Undefined"},
            {"yyyy-MM-dd HH:mm Z", "2020-04-03 09:45 Z", "Undefined"},
            {"yyyy-MM-dd HH:mm ZZZZ", "2020-04-03 09:45 GMT+02:00", "1585899900000"},
            {"yyyy-MM-dd HH:mm ZZZZZ", "2020-04-03 09:45 Z", "1585907100000"},
            {"yyyy-MM-dd HH:mm O", "2020-04-03 09:45 GMT+2", "1585899900000"},
            {"yyyy-MM-dd HH:mm O", "2020-04-03 09:45 GMT", "1585907100000"},
            {"yyyy-MM-dd HH:mm O", "2020-04-03 09:45 GMT+2:30", "1585898100000"},
            {"yyyy-MM-dd HH:mm OOOO", "2020-04-03 09:45 GMT+2", "Undefined"},
            {"yyyy-MM-ddXXX", "2020-04-03+02:00", "1585864800000"},
    };
    assert_cases(cases, sizeof cases / sizeof cases[0]);
}

static void
patterns_have_optional_parts_padding_and_quotes(void **state)
{
    static const struct date_case cases[] = {
            {"yyyy-MM-dd[ HH:mm[:ss]]", "2020-04-03", "1585872000000"},
            {"yyyy-MM-dd[ HH:mm[:ss]]", "2020-04-03 09:45", "1585907100000"},
            {"yyyy-MM-dd[ HH:mm[:ss]]", "2020-04-03 09:45:18", "1585907118000"},
            {"yyyy-MM-dd[ HH:mm[:ss]]", "2020-04-03 09", "Undefined"},
            {"[yyyy-MM-dd][dd.MM.yyyy]", "03.04.2020", "1585872000000"},
            {"[[[yyyy-MM-dd", "2020-04-03", "1585872000000"},
            {"ppd.ppM.yyyy", " 3. 4.2020", "1585872000000"},
            {"ppd.ppM.yyyy", "3.4.2020", "Undefined"},
            {"yyyy-MM-dd 'o''clock'", "2020-04-03 o'clock", "1585872000000"},
            {"yyyy''MM''dd", "2020'04'03", "1585872000000"},
            {"yyyy-MM-dd", "2020-04-03 ", "Undefined"},
            {"yyyy-MM-dd", " 2020-04-03", "Undefined"},
            {"yyyy MM dd yyyy", "2020 04 03 2020", "1585872000000"},
            {"yyyy MM dd yyyy", "2020 04 03 2021", "Undefined"},
            {"MM MMM dd yyyy", "04 Apr 03 2020", "1585872000000"},
            {"MM MMM dd yyyy", "04 May 03 2020", "Undefined"},
            {"yyyyMd", "202043", "Undefined"},
    };
    assert_cases(cases, sizeof cases / sizeof cases[0]);
}

static void
some_things_are_not_as_in_java(void **state)
{
    static const struct date_case cases[] = {
            {"yyyy-MM-dd", "2021-02-29", "Undefined"},           /* Java: the 28th */
            {"YYYY-'W'ww-e", "2020-W53-6", "Undefined"},         /* Java: week 52 */
            {"yyyy-MM-dd z", "2020-01-01 IST", "1577817000000"}, /* India; Java: Abidjan */
            {"yyyy-MM-dd z", "2020-07-01 BST", "1593558000000"}, /* Britain; Java: Bougainville */
            {"yyyy-MM-dd a", "2020-04-03 PM", "Undefined"},      /* Java since 16: 18:00 */
    };
    assert_cases(cases, sizeof cases / sizeof cases[0]);
}

static void
patterns_that_are_wrong_give_undefined(void **state)
{
    static const char *const patterns[] = {
            "yyyy-MM-dd b", "yyyy-MM-dd C", "yyyy-MM-dd x x xxxxxx", "yyyy-MM-ddd", "yyyyMMMMMM",
            "yyyy-MM-dd hhh", "yyyy-MM-dd aa", "yyyy-MM-dd SSSSSSSSSS", "V", "VVV", "OO", "zzzzz",
            "ZZZZZZ", "www", "WW", "cc", "FF", "DDDD", "'yyyy", "yyyy]", "yyyy#", "{yyyy}", "p",
            "yyyy pp", "pp-", "uuuuuuuuuuuuuuuuuuuu", "",
            "[[[[[[[[[[[[[[[[[yyyy]]]]]]]]]]]]]]]]]",
    };
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        assert_case(&(struct date_case){patterns[i], "2020-04-03", "Undefined"}, NULL);
    }
}

static void
what_is_out_of_range_is_undefined(void **state)
{
    static const struct date_case cases[] = {
            {"u-M-d", "292278994-8-17", "9223372036828800000"},
            {"u-M-d", "292278994-8-18", "Undefined"},
            {"u-M-d", "-292275055-5-17", "-9223372036828800000"},
            {"u-M-d", "-292275055-5-16", "Undefined"},
            {"u-M-d", "999999999-12-31", "Undefined"},
            {"u-M-d", "1000000000-1-1", "Undefined"},
            {"u-M-d", "9223372036854775807-1-1", "Undefined"},
            {"u-M-d", "9999999999999999999-1-1", "Undefined"},
            {"g", "9223372036854775807", "Undefined"},
            {"yyyy-MM-dd N", "2020-01-01 9223372036854775807", "Undefined"},
            {"yyyy-MM-dd OOOO", "2020-01-01 GMT+99:59", "Undefined"},
    };
    assert_cases(cases, sizeof cases / sizeof cases[0]);
}

static void
other_types_are_undefined(void **state)
{
    assert_value("time_to_epoch(2020, 'yyyy')", "Undefined");
    assert_value("time_to_epoch('2020-01-01', 1)", "Undefined");
    assert_value("time_to_epoch(null, 'yyyy-MM-dd')", "Undefined");
    assert_value("time_to_epoch('2020-01-01', missing)", "Undefined");
    assert_value("time_to_epoch('2020-01-01', 'yyyy-MM-dd')", "1577836800000");
    /* Without a host there are offsets, but no names. */
    assert_value("time_to_epoch('2020-01-01 +01:00', 'yyyy-MM-dd VV')", "1577833200000");
    assert_value("time_to_epoch('2020-01-01 Europe/Oslo', 'yyyy-MM-dd VV')", "Undefined");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(dates_are_read_as_java_does),
            cmocka_unit_test(times_of_day_are_read_as_java_does),
            cmocka_unit_test(zones_are_read_as_java_does),
            cmocka_unit_test(patterns_have_optional_parts_padding_and_quotes),
            cmocka_unit_test(some_things_are_not_as_in_java),
            cmocka_unit_test(patterns_that_are_wrong_give_undefined),
            cmocka_unit_test(what_is_out_of_range_is_undefined),
            cmocka_unit_test(other_types_are_undefined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
