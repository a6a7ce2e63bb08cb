/* Scalar functions: the table functions.def, and what a C function of it sees. */
#ifndef HEADGATE_RULES_STREAM_FUNCTION_H
#define HEADGATE_RULES_STREAM_FUNCTION_H

#include "expr.h"

/* The arguments are values already: not NULL, unless the function's row asks for NULLs. */
struct stream_call {
    const struct stream_node *node;
    struct stream_context *context;
    const struct stream_value *args;
    size_t count;
};

typedef void stream_function_fn(const struct stream_call *call, struct stream_value *out);

static inline struct stream_type
call_type(const struct stream_call *call, size_t i)
{
    return call->node->args[i]->type;
}

#define STREAM_FUNCTION(name, args, result, run, doc) stream_function_fn stream_fn_##run;
#include "functions.def"
#undef STREAM_FUNCTION

#endif
