#include "unit.h"

#include "expression.h"
#include "host.h"

#include "base/json.h"

#include <inttypes.h>

/* parse_time(). The values were computed with Joda-Time 2.12.7 in English. */

struct format_case {
    const char *pattern;
    int64_t ms;
    const char *zone, *value;
};

/* Each as constants, which are compiled at load, and as members of the payload, which are not. */
static void
assert_case(const struct format_case *format, const struct rule_host *host)
{
    struct buf payload = {0};
    buf_append_string(&payload, "{\"p\":");
    json_write_string(&payload, bytes_of_string(format->pattern));
    buf_append_string(&payload, ",\"z\":");
    json_write_string(&payload, bytes_of_string(format->zone));
    buf_printf(&payload, ",\"ms\":%" PRId64 "}", format->ms);
    char *literal = expression_literal(format->pattern);
    struct buf constant = {0};
    buf_printf(&constant, "parse_time(%s, ms, z)", literal);
    const char *expressions[] = {"parse_time(p, ms, z)", buf_string(&constant)};
    for (size_t i = 0; i < 2; i++) {
        char *value = expression_value(expressions[i], buf_string(&payload), host);
        if (strcmp(value, format->value) != 0) {
            fail_msg("%" PRId64 " in %s by '%s' is %s, expected %s", format->ms, format->zone,
                     format->pattern, value, format->value);
        }
        free(value);
    }
    free(literal);
    buf_fini(&constant);
    buf_fini(&payload);
}

static void
times_are_written_as_joda_time_does(void **state)
{
    static const struct format_case cases[] = {
            {"yyyy.MM.dd G 'at' HH:mm:ss z", 100000000, "America/Belize",
             "\"1970.01.01 AD at 21:46:40 CST\""},
            {"G GGGG", -99999999999999, "UTC", "\"BC BC\""},
            {"C CC CCC", 1497028786123, "UTC", "\"20 20 020\""},
            {"Y YY YYYYY", -99999999999999, "UTC", "\"1200 99 01200\""},
            {"y yy yyyyy", -99999999999999, "UTC", "\"-1199 99 -01199\""},
            {"y yy yyyy yyyyyy", 1497028786123, "UTC", "\"2017 17 2017 002017\""},
            {"x xx xxxx ww", 1262304000000, "UTC", "\"2009 09 2009 53\""},
            {"x w e", 1230768000000, "UTC", "\"2009 1 4\""},
            {"e ee E EEE EEEE", 1497028786123, "UTC", "\"5 05 Fri Fri Friday\""},
            {"D DD DDDD", 1262304000000, "UTC", "\"1 01 0001\""},
            {"M MM MMM MMMM MMMMM", 1497028786123, "UTC", "\"6 06 Jun June June\""},
            {"d dd ddd", 1497028786123, "UTC", "\"9 09 009\""},
            {"a K KK h hh H HH k kk", 1497028786123, "UTC", "\"PM 5 05 5 05 17 17 17 17\""},
            {"a K h H k", 1262304000000, "UTC", "\"AM 0 12 0 24\""},
            {"m mm s ss", 1262304065000, "UTC", "\"1 01 5 05\""},
            {"S SS SSS SSSSSS", 1497028786123, "UTC", "\"1 12 123 123000\""},
            {"ss.SSS", -1, "UTC", "\"59.999\""},
            {"HH:mm Z ZZ ZZZ", 1497028786123, "Asia/Kolkata",
             "\"22:49 +0530 +05:30 Asia/Kolkata\""},
            {"HH:mm Z ZZ ZZZ", 1497028786123, "+05:30", "\"22:49 +0530 +05:30 +05:30\""},
            {"HH:mm Z ZZ ZZZ", 1497028786123, "-03:00", "\"14:19 -0300 -03:00 -03:00\""},
            {"HH:mm Z ZZ ZZZ", 1497028786123, "Z", "\"17:19 +0000 +00:00 UTC\""},
            {"HH:mm Z ZZ ZZZ", 1497028786123, "UTC+01:00", "\"18:19 +0100 +01:00 +01:00\""},
            {"z zzzz", 1497028786123, "Europe/Oslo", "\"CEST Central European Summer Time\""},
            {"z zzzz", 1484000000000, "Europe/Oslo", "\"CET Central European Standard Time\""},
            {"z zzzz", 1497028786123, "America/New_York", "\"EDT Eastern Daylight Time\""},
            {"z zzzz", 1497028786123, "Asia/Shanghai", "\"CST China Standard Time\""},
            {"z zzzz", 1497028786123, "America/Sao_Paulo", "\"BRT Brasilia Standard Time\""},
            {"z zzzz", 1497028786123, "Etc/GMT+5", "\"-05:00 -05:00\""},
            {"z zzzz", 1497028786123, "UTC", "\"UTC Coordinated Universal Time\""},
            {"z zzzz", 1497028786123, "+05:30", "\"+05:30 +05:30\""},
            {"yyyy-MM-dd HH:mm z", 1774745999000, "Europe/Oslo", "\"2026-03-29 01:59 CET\""},
            {"yyyy-MM-dd HH:mm z", 1774746000000, "Europe/Oslo", "\"2026-03-29 03:00 CEST\""},
            {"yyyy-MM-dd HH:mm z", 4118893200000, "Europe/Oslo", "\"2100-07-10 11:00 CEST\""},
            {"yyyy", 1497028786123, "Nope/Zone", "Undefined"},
            {"yyyy", 1497028786123, "../etc/passwd", "Undefined"},
            {"yyyy", 1497028786123, "europe/oslo", "Undefined"},
            {"yyyy-MM-dd'T'HH:mm:ss.SSSZ", INT64_MAX, "UTC",
             "\"292278994-08-17T07:12:55.807+0000\""},
            {"yyyy-MM-dd'T'HH:mm:ss.SSSZ", INT64_MIN, "UTC",
             "\"-292275055-05-16T16:47:04.192+0000\""},
            {"'day' D 'of' yyyy", 1497028786123, "UTC", "\"day 160 of 2017\""},
            {"yyyy''MM'x'''", 1497028786123, "UTC", "\"2017'06x'\""},
            {"'open", 1497028786123, "UTC", "\"open\""},
            {"''", 1497028786123, "UTC", "\"'\""},
            {"'", 1497028786123, "UTC", "Undefined"},
            {"", 1497028786123, "UTC", "Undefined"},
            {"[yyyy] 1%é", 1497028786123, "UTC", "\"[2017] 1%é\""},
            {"yyyy-MM-ddTHH", 1497028786123, "UTC", "Undefined"},
            {"uuuu", 1497028786123, "UTC", "Undefined"},
            {"yyyy b", 1497028786123, "UTC", "Undefined"},
    };
    struct host host;
    host_init(&host, &os_posix);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_case(&cases[i], &host.rule);
    }
    host_fini(&host);
}

static void
arguments_are_numbers_and_texts(void **state)
{
    assert_value("parse_time('yyyy', 0)", "\"1970\"");
    assert_value("parse_time('SSS', 1.9)", "\"001\"");
    assert_value("parse_time('SSS', -1.9)", "\"999\"");
    assert_value("parse_time('yyyy', '1497028786123')", "\"2017\"");
    assert_value("parse_time('yyyy', 'abc')", "Undefined");
    assert_value("parse_time('yyyy', true)", "Undefined");
    assert_value("parse_time('yyyy', null)", "Undefined");
    assert_value("parse_time('yyyy', missing)", "Undefined");
    assert_value("parse_time(2017, 0)", "Undefined");
    assert_value("parse_time(missing, 0)", "Undefined");
    assert_value("parse_time('yyyy', 0, null)", "Undefined");
    assert_value("parse_time('yyyy', 0, 1)", "Undefined");
    assert_value("parse_time('yyyy', 0, '+25:00')", "Undefined");
    assert_value("parse_time('yyyy', 9223372036854775808)", "Undefined");
    assert_value("parse_time('yyyy', 1E40)", "Undefined");
    assert_value("parse_time('yyyy', 9223372036854775807, '+01:00')", "Undefined");
    /* Without a host there are offsets, but no names. */
    assert_value("parse_time('HH', 0, '+02:00')", "\"02\"");
    assert_value("parse_time('HH', 0, 'Europe/Oslo')", "Undefined");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(times_are_written_as_joda_time_does),
            cmocka_unit_test(arguments_are_numbers_and_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
