/*
 * What the gateway has loaded, and what it had before, as files: data_dir/rules/NAME and NAME.before.
 *
 * An edit replaces a rule file, and what it was is gone; so the gateway keeps the text of each
 * version that it takes. Only for those who want to compare: nothing is ever loaded from here.
 */
#ifndef HEADGATE_RULES_KEPT_H
#define HEADGATE_RULES_KEPT_H

#include "ruleset.h"

/* 0, or a negative errno. Files whose texts are kept already cost a read. Main thread. */
int rules_keep(const struct os *os, const char *data_dir, const struct ruleset *ruleset);

/* Appends the version that is not `text`: the loaded one, or else that before. False: none is kept. */
bool rules_kept_other(const struct os *os, const char *data_dir, const char *path,
                      struct bytes text, struct buf *out) MUST_CHECK;

#endif
