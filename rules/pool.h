/*
 * Where finished programs rest: packed in the order in which they are run, and each piece once.
 *
 * A draft is scattered over the scratch arena, between all that compiling needed. The pool copies
 * it, from the leaves up, into the file's arena. A piece that is there already, byte for byte, is
 * not copied but referred to: programs are read-only, so ten thousand rules that differ in their
 * topic share one program, and rules that differ in a constant share all but that constant and
 * what leads to it. So many rules fit the processor's caches.
 *
 * `struct pool pool = {.arena = ..., .scratch = ...};` is an empty one. What it gave stays valid
 * after pool_fini(), as long as its arena. One thread.
 */
#ifndef HEADGATE_RULES_POOL_H
#define HEADGATE_RULES_POOL_H

#include "base/map.h"
#include "eval.h"

struct pool {
    struct arena *arena;   /* of what is kept */
    struct arena *scratch; /* for pieces until they are known to be new */
    struct map texts;      /* text -> its copy */
    struct map pieces;     /* bytes of a piece -> the piece */
};

/* Forgets what it gave, which is not freed. */
void pool_fini(struct pool *pool);

/* The same text, NUL-terminated, equal texts at one address. No text (data NULL) stays none. */
struct bytes pool_text(struct pool *pool, struct bytes text);

const struct query *pool_query(struct pool *pool, const struct query *draft);
struct template pool_template(struct pool *pool, const struct template *draft);

/* Their templates are kept already. */
const struct target_program *pool_targets(struct pool *pool, const struct target_program *targets,
                                          size_t count);

#endif
