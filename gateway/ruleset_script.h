/*
 * The stream SQL of rule files, compiled: all that a file has, against what all files declare.
 *
 * A table or view may be declared in another file than the query that reads it. So stream SQL is
 * compiled when the files are linked, each time with the declarations of the versions that are
 * then included; a script is used again while neither its file nor anything that it uses changed.
 *
 * Main thread only; programs are read-only and may be run by any.
 */
#ifndef HEADGATE_RULESET_SCRIPT_H
#define HEADGATE_RULESET_SCRIPT_H

#include "base/map.h"
#include "rules/rule.h"
#include "rules/stream/stream.h"

struct ruleset_script;

/* What files declare, by name without regard to case. `struct catalogue c = {0};` is an empty one. */
struct catalogue {
    struct map names; /* -> struct catalogue_entry, the first of that name */
    struct arena arena;
};

/* Adds what a file declares; the file must outlive the catalogue. */
void catalogue_add(struct catalogue *catalogue, const struct rule_file *file);
void catalogue_fini(struct catalogue *catalogue);

/* Whether there is a function, view, ... of that name. */
bool catalogue_has(const struct catalogue *catalogue, struct bytes name,
                   enum rule_declaration_kind kind);

/* Whether a file has stream SQL at all. */
bool ruleset_script_is_needed(const struct rule_file *file);

/*
 * Compiles what a file has. `before` may be NULL; it is a script of the same file, which is used
 * again (one reference more) if what it uses is what it was.
 */
bool ruleset_script_compile(struct ruleset_script **out, struct ruleset_script *before,
                            const struct catalogue *catalogue, const struct rule_file *file,
                            struct diag_list *diags) MUST_CHECK;

/* Whether the stream SQL of `file` uses what `other` declares. */
bool ruleset_script_uses(const struct catalogue *catalogue, const struct rule_file *file,
                         const struct rule_file *other);

struct ruleset_script *ruleset_script_ref(struct ruleset_script *script);
void ruleset_script_unref(struct ruleset_script *script); /* accepts NULL */

/* One a rule of the file, NULL of those of topic SQL. In the arena; NULL without a script. */
const struct stream_program *const *ruleset_script_programs(const struct ruleset_script *script,
                                                            const struct rule_file *file,
                                                            struct arena *arena);

/* The program of a rule of the file; NULL: it has none, or others have a copy of it. `script` may be
 * NULL. */
const struct stream_program *ruleset_script_program(const struct ruleset_script *script,
                                                    const struct rule_file *file,
                                                    const struct rule_info *rule);

#endif
