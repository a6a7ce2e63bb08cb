/*
 * The last step of loading: from linked files to the arrays that the engine runs from. Between
 * ruleset.c and ruleset_build.c.
 *
 * Main thread only.
 */
#ifndef HEADGATE_RULESET_BUILD_H
#define HEADGATE_RULESET_BUILD_H

#include "ruleset.h"
#include "ruleset_script.h"
#include "ruletest.h"

struct ruleset_file {
    char *path;
    struct rule_file *compiled;
    struct ruletest_text test; /* that it passed */
    unsigned references;
};

/* Takes the compiled file; one reference. */
struct ruleset_file *ruleset_file_new(const char *path, struct rule_file *compiled);

/* Takes the arrays and their references; files are linked. `previous` may be NULL. */
struct ruleset *ruleset_build(struct ruleset_file **files, struct ruleset_script **scripts,
                              size_t file_count, const struct ruleset *previous);

#endif
