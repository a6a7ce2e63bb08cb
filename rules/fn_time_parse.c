/*
 * time_to_epoch(text, pattern): a time as people write it, in milliseconds since 1970. The three
 * stages are told in time_pattern.h.
 */
#include "fn.h"

#include "time_pattern.h"

const void *
prepare_time_to_epoch(const struct value *const *args, size_t count, struct arena *arena)
{
    if (args[1] == NULL || value_type(args[1]) != TYPE_STRING) {
        return NULL;
    }
    struct time_pattern *pattern = arena_new(arena, struct time_pattern);
    struct pattern_problem unheard = {0};
    *pattern = time_pattern_compile(value_string_content(args[1], arena), arena, &unheard);
    return pattern;
}

struct pattern_problem
time_to_epoch_problem(struct bytes pattern, struct arena *arena)
{
    struct pattern_problem problem = {0};
    (void)time_pattern_compile(pattern, arena, &problem);
    return problem;
}

void
fn_time_to_epoch(const struct call *call, struct value *out)
{
    if (value_type(&call->args[0]) != TYPE_STRING || value_type(&call->args[1]) != TYPE_STRING) {
        return;
    }
    struct bytes text = value_string_content(&call->args[0], call->arena);
    struct pattern_problem unheard = {0};
    struct time_pattern pattern =
            call->prepared != NULL
                    ? *(const struct time_pattern *)call->prepared
                    : time_pattern_compile(value_string_content(&call->args[1], call->arena),
                                           call->arena, &unheard);
    struct time_fields fields;
    int64_t ms;
    if (pattern.is_valid && time_match(&pattern, text, call->run, &fields) &&
        time_resolve(&fields, &ms)) {
        *out = value_int64(ms);
    }
}
