#include "unit.h"

#include "base/json.h"

#include <math.h>
#include <stdio.h>

/* What a parse needs and what it gives, for the length of a test. */
struct parsed {
    struct arena arena;
    struct json json;
    struct json_error error;
    bool ok;
};

static struct parsed
parse(struct bytes text, unsigned depth_max)
{
    struct parsed parsed = {0};
    parsed.ok = json_parse(&parsed.json, text, depth_max, &parsed.arena, &parsed.error);
    return parsed;
}

/* The exact heap copy lets the address sanitizer see a read behind the end. */
static void
judge(struct bytes text, bool expected)
{
    char *copy = malloc(text.size + (text.size == 0));
    assert_non_null(copy);
    memcpy(copy, text.data, text.size);
    struct parsed parsed = parse(bytes_of(copy, text.size), 64);
    if (parsed.ok != expected) {
        fail_msg("%.*s: %s", BYTES_ARG(text), parsed.ok ? "accepted" : parsed.error.message);
    }
    if (!parsed.ok) {
        assert_true(parsed.error.offset <= text.size);
        assert_non_null(parsed.error.message);
    }
    arena_fini(&parsed.arena);
    free(copy);
}

static void
what_the_grammar_allows_is_accepted(void **state)
{
    const struct bytes texts[] = {
            BYTES("{}"), BYTES("[]"), BYTES(" [ ] "), BYTES("\t\r\n{ }\n"), BYTES("[[]]"),
            BYTES("[{}]"), BYTES("{\"a\":{}}"), BYTES("{\"\":0}"), BYTES("{\"a\":1,\"a\":2}"),
            BYTES("[null,true,false]"), BYTES("null"), BYTES("true"), BYTES("\"x\""), BYTES("42"),
            BYTES("\"\""), BYTES("[-0]"), BYTES("[0]"), BYTES("[-1]"), BYTES("[0.0]"),
            BYTES("[1e5]"), BYTES("[1E+5]"), BYTES("[1.5e-5]"), BYTES("[1e999]"), BYTES("[0e+1]"),
            BYTES("[9223372036854775808]"), BYTES("[1234567890123456789]"),
            BYTES("[1234567890123456789012345678901234567890123456789012345678901234567890]"),
            BYTES("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]"), BYTES("[\"\\u0000\"]"),
            BYTES("[\"\\u00e9\\uD83D\\ude00\"]"), BYTES("[\"\xc3\xa9\"]"),
            BYTES("[\"\xf0\x9f\x98\x80\"]"), BYTES("[\"\x7f\"]"), BYTES("[\"\xef\xbf\xbf\"]"),
            BYTES("[\"12345678\\n12345678\xc3\xa9\"]"), BYTES("[\"\\uFFFF\"]"),
            BYTES("{\"a\":[1,{\"b\":[]},2],\"c\":\"\"}"), BYTES("[1 , 2]"),
            BYTES("{\"a\" : 1 , \"b\" : 2}"),
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        judge(texts[i], true);
    }
}

static void
everything_else_is_refused(void **state)
{
    const struct bytes texts[] = {
            BYTES(""), BYTES(" "), BYTES("{"), BYTES("["), BYTES("}"), BYTES("]"), BYTES("[1"),
            BYTES("[1,"), BYTES("[1,]"), BYTES("[,1]"), BYTES("[,]"), BYTES("[1,,2]"),
            BYTES("[1 2]"), BYTES("[1}"), BYTES("{]"), BYTES("{\"a\"}"), BYTES("{\"a\":}"),
            BYTES("{\"a\":1,}"), BYTES("{\"a\":1 \"b\":2}"), BYTES("{,}"), BYTES("{a:1}"),
            BYTES("{'a':1}"), BYTES("{1:1}"), BYTES("{\"a\",1}"), BYTES("{\"a\"::1}"),
            BYTES("{\"a\":1"), BYTES("{\"a\":"), BYTES("{\"a\""), BYTES("{\"a"),
            BYTES("007"), BYTES("[00]"), BYTES("[-01]"), BYTES("[+1]"), BYTES("[.5]"),
            BYTES("[5.]"), BYTES("[5.e1]"), BYTES("[-]"), BYTES("[-.5]"), BYTES("[1e]"),
            BYTES("[1e+]"), BYTES("[1.e]"), BYTES("[0x1]"), BYTES("[1_0]"), BYTES("[NaN]"),
            BYTES("[Infinity]"), BYTES("[-Infinity]"), BYTES("[1a]"), BYTES("1.2.3"),
            BYTES("nul"), BYTES("nulll"), BYTES("True"), BYTES("[tru]"), BYTES("[\"a]"),
            BYTES("[\"\\\"]"), BYTES("[\"\\a\"]"), BYTES("[\"\\x41\"]"), BYTES("[\"\\\0\"]"),
            BYTES("[\"\\u12\"]"), BYTES("[\"\\u12G4\"]"), BYTES("[\"\\u"), BYTES("[\"\\u12"),
            BYTES("[\"\\ud800\"]"), BYTES("[\"\\udc00\"]"), BYTES("[\"\\ud800\\ud800\"]"),
            BYTES("[\"\\ud800\\n\"]"), BYTES("[\"\\ud800abcdef\"]"), BYTES("[\"\\ud83d\\u"),
            BYTES("[\"\t\"]"), BYTES("[\"\n\"]"), BYTES("[\"\0\"]"), BYTES("[\"1234567\x1f\"]"),
            BYTES("[\"\xff\"]"), BYTES("[\"\xc0\xaf\"]"), BYTES("[\"\xed\xa0\x80\"]"),
            BYTES("[\"\xf4\x90\x80\x80\"]"), BYTES("[\"\xe2\x82\"]"), BYTES("[\"12345678\x80\"]"),
            BYTES("[\xc3\xa9]"), BYTES("\xef\xbb\xbf{}"), BYTES("\xff\xfe{\0}\0"),
            BYTES("{}x"), BYTES("{} {}"), BYTES("1 2"), BYTES("[]]"), BYTES("{}}"), BYTES("{}\0"),
            BYTES("[1]#"), BYTES("// c\n{}"), BYTES("{}/**/"), BYTES("[1\f]"), BYTES("\v1"),
            BYTES("\"a\"\"b\""),
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        judge(texts[i], false);
    }
}

static void
errors_tell_the_place(void **state)
{
    struct parsed parsed = parse(BYTES("{\"a\":1,\"b\":x}"), 64);
    assert_false(parsed.ok);
    assert_int_equal(parsed.error.offset, 11);
    assert_string_equal(parsed.error.message, "value expected");
    arena_fini(&parsed.arena);
    parsed = parse(BYTES("{\"a\":1"), 64);
    assert_int_equal(parsed.error.offset, 6);
    assert_string_equal(parsed.error.message, "unexpected end");
    arena_fini(&parsed.arena);
}

static void
depth_is_bounded(void **state)
{
    enum { DEPTH = 10000 };
    char *text = malloc(2 * DEPTH);
    assert_non_null(text);
    memset(text, '[', DEPTH);
    memset(text + DEPTH, ']', DEPTH);
    struct parsed parsed = parse(bytes_of(text, 2 * DEPTH), DEPTH);
    assert_true(parsed.ok);
    assert_int_equal(parsed.json.count, DEPTH);
    assert_int_equal(parsed.json.nodes[0].next, DEPTH);
    assert_int_equal(parsed.json.nodes[DEPTH - 1].count, 0);
    arena_fini(&parsed.arena);
    parsed = parse(bytes_of(text, 2 * DEPTH), DEPTH - 1);
    assert_false(parsed.ok);
    assert_int_equal(parsed.error.offset, DEPTH - 1);
    assert_string_equal(parsed.error.message, "nesting is too deep");
    arena_fini(&parsed.arena);
    free(text);
}

static void
the_tape_is_in_document_order(void **state)
{
    struct parsed parsed = parse(BYTES("{\"a\":[1,2],\"b\":\"x\"}"), 64);
    assert_true(parsed.ok);
    static const struct json_node expected[] = {
            {0, 19, 7, 2, JSON_OBJECT, 0},           {2, 3, 2, 0, JSON_STRING, 0},
            {5, 10, 5, 2, JSON_ARRAY, 0},            {6, 7, 4, 0, JSON_NUMBER, JSON_INTEGER},
            {8, 9, 5, 0, JSON_NUMBER, JSON_INTEGER}, {12, 13, 6, 0, JSON_STRING, 0},
            {16, 17, 7, 0, JSON_STRING, 0},
    };
    assert_int_equal(parsed.json.count, 7);
    for (size_t i = 0; i < 7; i++) {
        const struct json_node *node = &parsed.json.nodes[i];
        assert_int_equal(node->start, expected[i].start);
        assert_int_equal(node->end, expected[i].end);
        assert_int_equal(node->next, expected[i].next);
        assert_int_equal(node->count, expected[i].count);
        assert_int_equal(node->kind, expected[i].kind);
        assert_int_equal(node->flags, expected[i].flags);
    }
    arena_fini(&parsed.arena);
}

static void
many_nodes_outgrow_the_first_guess(void **state)
{
    struct buf text = {0};
    buf_append_char(&text, '[');
    for (int i = 0; i < 5000; i++) {
        buf_append_string(&text, i == 0 ? "7" : ",7");
    }
    buf_append_char(&text, ']');
    struct parsed parsed = parse(buf_bytes(&text), 64);
    assert_true(parsed.ok);
    assert_int_equal(parsed.json.nodes[0].count, 5000);
    assert_int_equal(json_element(&parsed.json, 0, 4999), 5000);
    assert_int_equal(json_element(&parsed.json, 0, 5000), 0);
    arena_fini(&parsed.arena);
    buf_fini(&text);
}

static void
members_are_found_and_the_last_wins(void **state)
{
    struct parsed parsed = parse(
            BYTES("{\"a\":{\"b\":5},\"x\":1,\"k\\u0065y\":2,\"x\":[3],"
                  "\"\":4,\"\\ud83d\\ude00\":6}"),
            64);
    assert_true(parsed.ok);
    const struct json *json = &parsed.json;
    assert_bytes(json_raw(json, json_member(json, 0, BYTES("x"))), "[3]");
    assert_bytes(json_raw(json, json_member(json, 0, BYTES("key"))), "2");
    assert_bytes(json_raw(json, json_member(json, 0, bytes_of(NULL, 0))), "4");
    assert_bytes(json_raw(json, json_member(json, 0, BYTES("\xf0\x9f\x98\x80"))), "6");
    assert_int_equal(json_member(json, 0, BYTES("b")), 0);
    assert_int_equal(json_member(json, 0, BYTES("ke")), 0);
    assert_int_equal(json_member(json, 0, BYTES("keyy")), 0);
    uint32_t a = json_member(json, 0, BYTES("a"));
    assert_bytes(json_raw(json, json_member(json, a, BYTES("b"))), "5");
    arena_fini(&parsed.arena);
}

static void
strings_are_unescaped(void **state)
{
    struct parsed parsed = parse(BYTES("[\"plain\",\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041"
                                       "\\u00e9\\u20ac\\ud83d\\ude00\",\"a\\u0000b\"]"), 64);
    assert_true(parsed.ok);
    struct bytes plain = json_string(&parsed.json, 1, &parsed.arena);
    assert_bytes(plain, "plain");
    assert_ptr_equal(plain.data, parsed.json.text.data + 2);
    assert_bytes(json_string(&parsed.json, 2, &parsed.arena),
                 "\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    assert_true(bytes_equal(json_string(&parsed.json, 3, &parsed.arena), BYTES("a\0b")));
    assert_bytes(json_raw(&parsed.json, 1), "\"plain\"");
    arena_fini(&parsed.arena);
}

static void
whole_numbers_are_exact(void **state)
{
    static const struct {
        const char *text;
        bool whole;
        int64_t value;
    } cases[] = {
            {"12", true, 12}, {"-0", true, 0}, {"1e3", true, 1000}, {"5.0", true, 5},
            {"-1.50e1", true, -15}, {"120e-1", true, 12}, {"0.0e999999999999", true, 0},
            {"9223372036854775807", true, INT64_MAX}, {"-9223372036854775808", true, INT64_MIN},
            {"9223372036854775808", false, 0}, {"922337203685477580.8e1", false, 0},
            {"-922337203685477580.8e1", true, INT64_MIN}, {"1e19", false, 0},
            {"1e18", true, INT64_C(1000000000000000000)}, {"1.5", false, 0},
            {"1e-1", false, 0}, {"1e999", false, 0},
            {"1e-99999999999999999999", false, 0}, {"1e99999999999999999999", false, 0},
            {"0.00000000000000000000000001e26", true, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct parsed parsed = parse(bytes_of_string(cases[i].text), 64);
        assert_true(parsed.ok);
        int64_t value = 77;
        if (json_int64(&parsed.json, 0, &value) != cases[i].whole) {
            fail_msg("%s", cases[i].text);
        }
        assert_true(value == (cases[i].whole ? cases[i].value : 77));
        arena_fini(&parsed.arena);
    }
}

static void
doubles_are_rounded_correctly(void **state)
{
    static const char *const texts[] = {
            "0", "-0", "0.1", "1.5", "-2.25", "1e22", "1e23", "1e-22", "1e-23", "1e308", "1e309",
            "-1e999", "5e-324", "2e-324", "2.4703282292062328e-324", "1e-99999999999", "17.05",
            "123456789012345", "1234567890123456", "9007199254740993", "9007199254740992.9999999",
            "0.000000000000000000000000000000123456789", "1.7976931348623157e308",
            "2.2250738585072011e-308", "8.41e21", "9.0608011534336e15", "4.8726570057e288",
            "1234567890123456789012345678901234567890123456789012345678901234567890",
            "0.500000000000000166533453693773481063544750213623046875",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct parsed parsed = parse(bytes_of_string(texts[i]), 64);
        assert_true(parsed.ok);
        double value = json_double(&parsed.json, 0);
        double expected = strtod(texts[i], NULL);
        if (memcmp(&value, &expected, sizeof value) != 0) {
            fail_msg("%s: %.17g", texts[i], value);
        }
        arena_fini(&parsed.arena);
    }
}

static void
a_tie_is_broken_by_the_last_of_a_thousand_digits(void **state)
{
    struct buf text = {0};
    buf_append_string(&text, "9007199254740993."); /* half way between two doubles */
    for (int i = 0; i < 1000; i++) {
        buf_append_char(&text, '0');
    }
    struct parsed parsed = parse(buf_bytes(&text), 64);
    assert_true(json_double(&parsed.json, 0) == 9007199254740992.0);
    arena_fini(&parsed.arena);
    buf_append_char(&text, '1');
    parsed = parse(buf_bytes(&text), 64);
    assert_true(json_double(&parsed.json, 0) == 9007199254740994.0);
    arena_fini(&parsed.arena);
    buf_fini(&text);
}

static void
strings_are_written_with_few_escapes(void **state)
{
    struct buf out = {0};
    json_write_string(&out, BYTES("a\"b\\c/\b\f\n\r\t\x01\x1f\x7f\xc3\xa9"));
    assert_string_equal(buf_string(&out),
                        "\"a\\\"b\\\\c/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\xc3\xa9\"");
    buf_clear(&out);
    json_write_string(&out, bytes_of(NULL, 0));
    assert_string_equal(buf_string(&out), "\"\"");
    buf_fini(&out);
}

static void
doubles_are_written_short(void **state)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
            {0, "0"}, {-0.0, "-0"}, {1, "1"}, {-42, "-42"}, {0.1, "0.1"}, {72.5, "72.5"},
            {1e15, "1000000000000000"}, {1e16, "10000000000000000"}, {1e21, "1e+21"},
            {1e20, "100000000000000000000"}, {123456789012345680.0, "123456789012345680"},
            {0.1 + 0.2, "0.30000000000000004"}, {1.0 / 3, "0.3333333333333333"},
            {0.000001, "0.000001"}, {0.0000001, "1e-7"}, {-1.5e-9, "-1.5e-9"}, {1e300, "1e+300"},
            {5e-324, "5e-324"}, {1.7976931348623157e308, "1.7976931348623157e+308"},
            {INFINITY, "null"}, {-INFINITY, "null"}, {NAN, "null"},
            {1e15 + 0.5, "1000000000000000.5"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf out = {0};
        json_write_double(&out, cases[i].value);
        assert_string_equal(buf_string(&out), cases[i].text);
        buf_fini(&out);
    }
}

static void
written_doubles_read_back_the_same(void **state)
{
    uint64_t bits = UINT64_C(0x9e3779b97f4a7c15);
    for (int i = 0; i < 20000; i++) {
        bits = bits * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint64_t mixed = bits ^ (bits >> 29);
        double value;
        memcpy(&value, &mixed, sizeof value);
        if (!isfinite(value)) {
            continue;
        }
        struct buf out = {0};
        json_write_double(&out, value);
        struct parsed parsed = parse(buf_bytes(&out), 64);
        assert_true(parsed.ok);
        assert_true(json_double(&parsed.json, 0) == value);
        arena_fini(&parsed.arena);
        buf_fini(&out);
    }
}

/* Gives the texts of the first difference, or "" for equal documents. */
static void
assert_difference(const char *a, const char *b, const char *in_a, const char *in_b)
{
    struct parsed x = parse(bytes_of_string(a), 64), y = parse(bytes_of_string(b), 64);
    struct json_difference difference;
    assert_true(x.ok && y.ok);
    if (json_equal(&x.json, &y.json, &x.arena, &difference)) {
        assert_string_equal(in_a, "");
    } else {
        assert_bytes(json_raw(&x.json, difference.a), in_a);
        assert_bytes(json_raw(&y.json, difference.b), in_b);
    }
    arena_fini(&x.arena);
    arena_fini(&y.arena);
}

static void
values_are_equal_however_they_are_written(void **state)
{
    static const char *const same[][2] = {
            {"{\"a\":1,\"b\":[true,null]}", " { \"b\" : [ true , null ], \"a\" : 1.0 } "},
            {"100", "1e2"},
            {"0.00120", "12E-4"},
            {"12.30", "1230e-2"},
            {"-0", "0.0e5"},
            {"1234567890123456789012345678901234567890.5",
             "12345678901234567890123456789012345678905e-1"},
            {"1e9999999", "10e9999998"},
            {"\"\\u00e9\"", "\"\xc3\xa9\""},
            {"{\"a\":1,\"b\":2,\"a\":3}", "{\"b\":2,\"a\":1,\"a\":3}"},
            {"[]", "[ ]"},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        assert_difference(same[i][0], same[i][1], "", "");
        assert_difference(same[i][1], same[i][0], "", "");
    }
}

static void
the_first_difference_is_told(void **state)
{
    static const char *const cases[][4] = {
            {"1", "2", "1", "2"},
            {"1", "-1", "1", "-1"},
            {"10", "1", "10", "1"},
            {"0.1", "0.01", "0.1", "0.01"},
            {"12345678901234567890123456789012345678901", "12345678901234567890123456789012345678902",
             "12345678901234567890123456789012345678901", "12345678901234567890123456789012345678902"},
            {"1e99999999999", "1e99999999998", "1e99999999999", "1e99999999998"},
            {"0", "null", "0", "null"},
            {"{\"a\":{\"b\":[1,2]}}", "{\"a\":{\"b\":[1,3]}}", "2", "3"},
            {"{\"a\":1}", "{\"a\":1,\"b\":2}", "{\"a\":1}", "2"},
            {"{\"b\":1,\"a\":7}", "{\"b\":1}", "7", "{\"b\":1}"},
            {"[1,2]", "[1]", "2", "[1]"},
            {"{\"a\":1,\"a\":2}", "{\"a\":2,\"a\":1}", "1", "2"},
            {"{\"a\":1,\"a\":1}", "{\"a\":1,\"b\":1}", "1", "{\"a\":1,\"b\":1}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_difference(cases[i][0], cases[i][1], cases[i][2], cases[i][3]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(what_the_grammar_allows_is_accepted),
            cmocka_unit_test(everything_else_is_refused),
            cmocka_unit_test(errors_tell_the_place),
            cmocka_unit_test(depth_is_bounded),
            cmocka_unit_test(the_tape_is_in_document_order),
            cmocka_unit_test(many_nodes_outgrow_the_first_guess),
            cmocka_unit_test(members_are_found_and_the_last_wins),
            cmocka_unit_test(strings_are_unescaped),
            cmocka_unit_test(whole_numbers_are_exact),
            cmocka_unit_test(doubles_are_rounded_correctly),
            cmocka_unit_test(a_tie_is_broken_by_the_last_of_a_thousand_digits),
            cmocka_unit_test(strings_are_written_with_few_escapes),
            cmocka_unit_test(doubles_are_written_short),
            cmocka_unit_test(written_doubles_read_back_the_same),
            cmocka_unit_test(values_are_equal_however_they_are_written),
            cmocka_unit_test(the_first_difference_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
