/* What every unit test includes: cmocka with what it needs, and a few shorthands. */
#ifndef HEADGATE_TESTS_UNIT_H
#define HEADGATE_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bytes.h"

/* cmocka compares C strings; views are compared as such. */
#define assert_bytes(actual, expected)                                      \
    do {                                                                    \
        char *actual_string = bytes_to_string(actual);                      \
        assert_string_equal(actual_string, expected);                       \
        free(actual_string);                                                \
    } while (0)

#endif
