/*
 * What rules ask of sinks while they run: an item of a table, the answer of a function. Engine
 * thread.
 *
 * A look-up reads a local file and waits at most for another one, and after a start or an edit
 * until the table is open. A call does make the engine wait:
 * 2 s at most, and a function that is late or crashes is left alone for 10 s, so that it cannot
 * hold up the others for long.
 */
#include "engine_state.h"

/* The sink of that name in the current generation; NULL with an error when there is none. */
static struct sink *
find_sink(const struct engine *engine, struct bytes name, struct diag_list *diags)
{
    const struct ruleset *ruleset = engine->current->ruleset;
    for (size_t i = 0; i < ruleset->relation_count; i++) {
        if (bytes_equal(ruleset->relations[i].declared->name, name)) {
            return ruleset->relations[i].sink;
        }
    }
    diag_error(diags, DIAG_MISSING, "there is no table or function '%.*s'", BYTES_ARG(name));
    return NULL;
}

bool
engine_look_up(void *context, struct bytes table, struct bytes key, struct arena *arena,
               struct bytes *item, struct diag_list *diags)
{
    const struct engine *engine = context;
    struct sink *sink = find_sink(engine, table, diags);
    return sink != NULL && outbox_lookup(sink->outbox, key, arena, item, diags);
}

bool
engine_call(void *context, struct bytes function, struct bytes argument, struct arena *arena,
            struct bytes *answer, struct diag_list *diags)
{
    const struct engine *engine = context;
    struct sink *sink = find_sink(engine, function, diags);
    return sink != NULL && outbox_call(sink->outbox, argument, arena, answer, diags);
}
