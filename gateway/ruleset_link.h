/*
 * Linking: what the rule files say of each other. A table is declared once, a rule has its name
 * alone, what a rule names is there.
 *
 * The caller begins with an empty linker, and calls the checks for one file after the other: first
 * link_check_relations() and then link_check_implied() for those that run already, so that they
 * keep their names; the same for those that are new; then the others for all. A check that says no
 * has told why; what the file has entered by then stays, so the caller starts again without it.
 *
 * The maps refer to the files. Main thread only.
 */
#ifndef HEADGATE_RULESET_LINK_H
#define HEADGATE_RULESET_LINK_H

#include "ruleset.h"
#include "ruleset_script.h"

#include "base/map.h"

#define RULESET_MQTT_STREAM "mqtt"

struct linker {
    struct map relations; /* name -> const struct rule_relation, over all files so far */
    struct map rules;     /* name -> const struct rule_info */
    struct catalogue catalogue; /* what stream SQL may name, over all files so far */
    const struct ruleset_report *report; /* so far: what is missing may be in a broken file */
    struct diag_list *diags;
    bool allow_no_target; /* a query alone, whose rows are shown */
};

/* Forgets all names. */
void linker_clear(struct linker *linker);

/* The tables and functions that the file declares. */
bool link_check_relations(struct linker *linker, const struct rule_file *file);

/* The tables that its actions name and nobody declares. */
bool link_check_implied(struct linker *linker, const struct rule_file *file);

/* What its actions name and somebody must have declared. */
bool link_check_needed(struct linker *linker, const struct rule_file *file);

/* What its stream SQL may name; before the rules are checked. */
bool link_check_declarations(struct linker *linker, const struct rule_file *file);

/* Its rules: their names, sources and targets. */
bool link_check_rules(struct linker *linker, const struct rule_file *file);

/* What its stream SQL, which is compiled, reads and writes. */
bool link_check_programs(struct linker *linker, const struct rule_file *file,
                         const struct ruleset_script *script);

/* Whether a rule is stream SQL. */
bool link_is_stream_rule(const struct linker *linker, const struct rule_info *info);

#endif
