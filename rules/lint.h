/*
 * Warnings about queries that are right but hardly meant: comparisons that are always Undefined,
 * conditions that are always the same, quotes that do not quote.
 *
 * A lint that would nag at rules that work does not belong here.
 */
#ifndef HEADGATE_RULES_LINT_H
#define HEADGATE_RULES_LINT_H

#include "compile.h"

/* Reports to the compiler's list. `query` is what the text became; NULL: it has errors. */
void lint_select(struct compiler *compiler, const struct select *select,
                 const struct query *query);

/* What to write instead of a function that other dialects have; NULL when nothing is known. */
const char *lint_foreign_function(struct bytes name);

/* A filter that is valid and matches nothing, or not what was meant; NULL: fine. Static texts. */
const char *lint_filter(struct bytes filter, const char **hint);

#endif
