/* What the files that compile expressions share: making nodes, and their parts. */
#ifndef HEADGATE_RULES_STREAM_NODE_H
#define HEADGATE_RULES_STREAM_NODE_H

#include "expr.h"

/* A node over arguments, which are copied. */
struct stream_node *stream_new_node(struct stream_compiler *compiler, stream_eval_fn *eval,
                                    struct stream_type type,
                                    const struct stream_node *const *args, size_t count);

/* Computes what is constant at load. What fails there is left to the run: it may never come. */
const struct stream_node *stream_fold(struct stream_compiler *compiler, struct stream_node *node);

/* Brings both to one type; false without an error when there is none. */
bool stream_unify(struct stream_compiler *compiler, const struct stream_node *nodes[2]);

/* Two types do not go together: an error, and NULL. */
const void *stream_refuse_operands(struct stream_compiler *compiler, const struct expr *expr,
                                   const struct stream_node *const nodes[2]);

typedef const struct stream_node *stream_compile_fn(struct stream_compiler *compiler,
                                                    const struct stream_scope *scope,
                                                    const struct expr *expr);

/* literal.c */
const struct stream_node *stream_compile_number(struct stream_compiler *compiler,
                                                const struct expr *expr);
const struct stream_node *stream_compile_interval(struct stream_compiler *compiler,
                                                  const struct expr *expr);
const struct stream_node *stream_compile_typed_string(struct stream_compiler *compiler,
                                                      const struct expr *expr);

/* operator.c */
stream_compile_fn stream_compile_binary, stream_compile_unary;

/* predicate.c */
stream_compile_fn stream_compile_in, stream_compile_like, stream_compile_between,
        stream_compile_is_null, stream_compile_case;

#endif
