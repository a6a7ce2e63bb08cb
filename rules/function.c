/*
 * The table of functions and its look-up.
 */
#include "function.h"

#include "fn.h"

const struct function functions[] = {
#define FUNCTION(name, min, max, flags, run, prepare, doc, example, result) \
    {#name, min, max, flags, run, prepare, doc, example, result},
#include "functions.def"
#undef FUNCTION
};

const size_t function_count = sizeof functions / sizeof functions[0];

const struct function *
function_find(struct bytes name)
{
    for (size_t i = 0; i < function_count; i++) {
        if (bytes_equal_nocase(name, bytes_of_string(functions[i].name))) {
            return &functions[i];
        }
    }
    return NULL;
}

static const char *
name_at(const void *context, size_t i)
{
    return ((const struct function *)context)[i].name;
}

const char *
function_nearest(struct bytes name)
{
    return diag_nearest(name, function_count, name_at, functions);
}

bool
call_index(const struct call *call, size_t i, int64_t *out)
{
    struct decimal number;
    if (!call_number(call, i, &number)) {
        return false;
    }
    struct decimal whole = decimal_round(&number, 0, DECIMAL_TRUNCATE, call->arena);
    if (!decimal_to_int64(&whole, out)) {
        *out = decimal_sign(&whole) < 0 ? INT64_MIN : INT64_MAX;
    }
    return true;
}
