/*
 * The functions of the language: one row each in functions.def, one C function each in fn_*.c.
 */
#ifndef HEADGATE_RULES_FUNCTION_H
#define HEADGATE_RULES_FUNCTION_H

#include "eval.h"

enum {
    FUNCTION_PURE = 1,  /* the same arguments give the same value: constant calls are folded */
    FUNCTION_2016 = 2,  /* not in version 2015-10-08 */
    FUNCTION_EXTERNAL = 4, /* asks the host, and may fail: compile_external.c */
    FUNCTION_CATCHES = 8,  /* what fails in its arguments is Undefined */
    FUNCTION_ANY_COUNT = UINT8_MAX,
};

struct call {
    struct run *run;
    struct arena *arena; /* for what the value points to */
    const struct value *args;
    size_t count;         /* within the function's bounds */
    const void *prepared; /* see function->prepare */
};

/* Writes the value; leaving `*out` alone gives Undefined. */
typedef void function_fn(const struct call *call, struct value *out);

/*
 * Work that needs to be done only once when the arguments are constant (compiling a pattern).
 * Entries of `args` are NULL where an argument is not constant. The result lives in `arena`;
 * NULL: nothing was prepared.
 */
typedef const void *function_prepare_fn(const struct value *const *args, size_t count,
                                        struct arena *arena);

struct function {
    const char *name;
    uint8_t count_min;
    uint8_t count_max; /* FUNCTION_ANY_COUNT: no bound */
    uint8_t flags;
    function_fn *run;
    function_prepare_fn *prepare; /* or NULL */
    const char *doc;
    const char *example;
    const char *result; /* JSON text, or "Undefined" */
};

/* All functions, for look-up, the manual and its test. */
extern const struct function functions[];
extern const size_t function_count;

/* Without case; NULL when there is none. */
const struct function *function_find(struct bytes name);

/* The nearest name for "did you mean", or NULL. */
const char *function_nearest(struct bytes name);

/* ---- arguments ---- */

/* The standard conversions of an argument; false: Undefined. */
static inline bool
call_number(const struct call *call, size_t i, struct decimal *out)
{
    return value_to_number(&call->args[i], out, call->arena);
}

static inline bool
call_string(const struct call *call, size_t i, struct bytes *out)
{
    return value_to_string(&call->args[i], out, call->arena);
}

/* Truncated toward zero and clamped to the range of int64: for indices and counts. */
bool call_index(const struct call *call, size_t i, int64_t *out);

#endif
