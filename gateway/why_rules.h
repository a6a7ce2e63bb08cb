/* Rules by name, for `headgate why` and for the gateway that answers it. */
#ifndef HEADGATE_WHY_RULES_H
#define HEADGATE_WHY_RULES_H

#include "ruleset.h"

/* NULL: there is none. */
const struct ruleset_rule *why_find_rule(const struct ruleset *ruleset, struct bytes name);

/*
 * Appends the document for a name that no rule of the set has. `report` is the printed report of
 * the newest load: a file that never was good is found by the name that its first rule would have.
 */
void why_write_no_rule(const struct ruleset *ruleset, struct bytes name, const char *rules_dir,
                       struct bytes report, struct arena *arena, struct buf *out);

#endif
