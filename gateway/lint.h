/*
 * Warnings about a whole set of rules, for `headgate check`: what no rule shows alone.
 *
 * Not part of loading: a gateway that reloads has better things to do.
 */
#ifndef HEADGATE_LINT_H
#define HEADGATE_LINT_H

#include "ruleset.h"

/*
 * Rules that feed themselves or each other, that get every message, that are the same twice, with
 * options that nobody knows; tables that no rule uses, or that trust any certificate.
 */
void lint_ruleset(const struct ruleset *ruleset, struct diag_list *diags);

#endif
