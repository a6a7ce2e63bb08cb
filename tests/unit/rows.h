/* Query results against rows in JSON: [["s1", 40.0, 3], ...] */
#ifndef HEADGATE_TESTS_ROWS_H
#define HEADGATE_TESTS_ROWS_H

#include "base/json.h"
#include "query.h"

struct rows_expected {
    const struct json *json;
    uint32_t rows;    /* the array of rows */
    double tolerance; /* of doubles, relative */
    bool any_order;
};

/* False with a sentence in `why`. */
bool rows_match(const struct query_result *result, const struct rows_expected *expected,
                struct buf *why);

#endif
