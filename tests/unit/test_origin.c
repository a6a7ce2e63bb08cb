/* Places in a string of a JSON document: what a byte of its content was written as. */
#include "unit.h"

#include "rules/origin.h"

#include "base/json.h"

/* The columns in `document`, whose only string is the member "s", of each byte of its content. */
static void
assert_columns(const char *document, const unsigned *columns, size_t count)
{
    struct arena arena = {0};
    struct json json;
    struct json_error error;
    struct bytes text = bytes_of_string(document);
    assert_true(json_parse(&json, text, 10, &arena, &error));
    const struct json_node *node = &json.nodes[2];
    struct text_origin origin = {BYTES("a.json"), text, node->start, node->end};
    assert_int_equal(json_string(&json, 2, &arena).size, count);
    for (size_t i = 0; i < count; i++) {
        struct diag_place place = origin_place(&origin, i, i + 1);
        assert_int_equal(place.line, 1);
        assert_int_equal(place.column, columns[i]);
    }
    assert_int_equal(origin_place(&origin, count, count).column, node->end + 1);
    arena_fini(&arena);
}

static void
each_byte_knows_its_place(void **state)
{
    assert_columns("{\"s\":\"abc\"}", (unsigned[]){7, 8, 9}, 3);
    assert_columns("{\"s\":\"a\\nb\\\"c\"}", (unsigned[]){7, 8, 10, 11, 13}, 5);
    assert_columns("{\"s\":\"\\u0041b\"}", (unsigned[]){7, 13}, 2);
    assert_columns("{\"s\":\"\\u00e9b\"}", (unsigned[]){7, 7, 13}, 3);
    assert_columns("{\"s\":\"\\u20AC!\"}", (unsigned[]){7, 7, 7, 13}, 4);
    assert_columns("{\"s\":\"\\ud83d\\ude00!\"}", (unsigned[]){7, 7, 7, 7, 19}, 5);
}

static void
a_span_is_as_long_as_it_was_written(void **state)
{
    struct bytes text = BYTES("{\n  \"s\": \"ab\\u0041\\tc\"}");
    struct text_origin origin = {BYTES("a.json"), text, 10, 21};
    struct diag_place place = origin_place(&origin, 1, 4);
    assert_int_equal(place.line, 2);
    assert_int_equal(place.column, 10);
    assert_int_equal(place.length, 9);
    assert_bytes(place.source_line, "  \"s\": \"ab\\u0041\\tc\"}");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(each_byte_knows_its_place),
            cmocka_unit_test(a_span_is_as_long_as_it_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
