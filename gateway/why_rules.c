/* What is asked of a rule set before anything can be said of a rule. */
#include "why_rules.h"

#include "why.h"

const struct ruleset_rule *
why_find_rule(const struct ruleset *ruleset, struct bytes name)
{
    for (size_t i = 0; i < ruleset->rule_count; i++) {
        if (bytes_equal(ruleset->rules[i].info->name, name)) {
            return &ruleset->rules[i];
        }
    }
    return NULL;
}

struct names {
    const struct ruleset *ruleset;
    struct arena *arena;
};

static const char *
rule_name_at(const void *context, size_t i)
{
    const struct names *names = context;
    return arena_copy(names->arena, names->ruleset->rules[i].info->name).data;
}

void
why_write_no_rule(const struct ruleset *ruleset, struct bytes name, const char *rules_dir,
                  struct bytes report, struct arena *arena, struct buf *out)
{
    struct names names = {ruleset, arena};
    struct bytes stem = bytes_slice(name, 0, bytes_find(name, '.'));
    const char *nearest = diag_nearest(name, ruleset->rule_count, rule_name_at, &names);
    struct bytes path = arena_printf(arena, "%s/%.*s.sql", rules_dir, BYTES_ARG(stem));
    struct bytes errors = why_errors_of(report, path, arena);
    why_write_unknown(name, nearest == NULL ? BYTES("") : bytes_of_string(nearest), errors, out);
}
