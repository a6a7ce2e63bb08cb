#include "rows.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

/* Times may be written with fewer digits: "12:20:00.000" for "12:20:00.000000000". */
static bool
text_matches(struct bytes actual, struct bytes expected, enum query_type type)
{
    if (type != QUERY_TIMESTAMP) {
        return bytes_equal(actual, expected);
    }
    if (!bytes_starts_with(actual, expected)) {
        return false;
    }
    for (size_t i = expected.size; i < actual.size; i++) {
        if (actual.data[i] != '0' && actual.data[i] != '.') {
            return false;
        }
    }
    return true;
}

static bool
number_matches(const struct query_value *value, const struct json *json, uint32_t node,
               double tolerance)
{
    if (value->type == QUERY_BIGINT) {
        int64_t expected = 0;
        return json_int64(json, node, &expected) && expected == value->integer;
    }
    double expected = json_double(json, node);
    return value->type == QUERY_DOUBLE
           && fabs(value->real - expected) <= tolerance * fmax(1, fabs(expected));
}

static bool
value_matches(const struct query_value *value, const struct json *json, uint32_t node,
              double tolerance)
{
    enum json_kind kind = json->nodes[node].kind;
    if (value->is_null || kind == JSON_NULL) {
        return value->is_null && kind == JSON_NULL;
    }
    if (kind == JSON_NUMBER) {
        return number_matches(value, json, node, tolerance);
    }
    struct arena arena = {0};
    struct buf text = {0};
    query_value_print(value, &text);
    bool matches = kind == JSON_STRING
                           ? text_matches(buf_bytes(&text), json_string(json, node, &arena),
                                          value->type)
                           : bytes_equal(buf_bytes(&text), json_raw(json, node));
    buf_fini(&text);
    arena_fini(&arena);
    return matches;
}

static bool
row_matches(const struct query_result *result, size_t row, const struct rows_expected *expected,
            uint32_t node)
{
    const struct json *json = expected->json;
    if (json->nodes[node].count != result->column_count) {
        return false;
    }
    uint32_t at = node + 1;
    for (size_t c = 0; c < result->column_count; c++, at = json->nodes[at].next) {
        if (!value_matches(&result->rows[row][c], json, at, expected->tolerance)) {
            return false;
        }
    }
    return true;
}

static void
tell(const struct query_result *result, const struct rows_expected *expected, struct buf *why)
{
    buf_append_string(why, "expected ");
    buf_append(why, bytes_slice(json_raw(expected->json, expected->rows), 0, 600));
    buf_append_string(why, "\n  got ");
    query_print_json(result, why);
}

bool
rows_match(const struct query_result *result, const struct rows_expected *expected,
           struct buf *why)
{
    const struct json *json = expected->json;
    if (json->nodes[expected->rows].count != result->row_count) {
        tell(result, expected, why);
        return false;
    }
    bool *used = mem_new_array(bool, result->row_count + 1);
    bool all = true;
    uint32_t at = expected->rows + 1;
    for (size_t r = 0; r < result->row_count && all; r++, at = json->nodes[at].next) {
        size_t found = r;
        if (expected->any_order) {
            for (found = 0; found < result->row_count
                            && (used[found] || !row_matches(result, found, expected, at));
                 found++) {
            }
        }
        all = found < result->row_count && row_matches(result, found, expected, at);
        used[found] = true;
    }
    free(used);
    if (!all) {
        tell(result, expected, why);
    }
    return all;
}
