/*
 * What loading a rule file consists of, for load.c (SQL) and document.c (AWS rule JSON).
 *
 *   struct loader loader;
 *   loader_init(&loader, path, text, comments, diags);
 *   loader_start(&loader);
 *   ... loader_add_rule(&loader, ...) ...
 *   return loader_finish(&loader, errors, out);
 *
 * Places of messages come from loader.compiler.lines, which stands for the text that is read just
 * now: the file, or a string in it.
 */
#ifndef HEADGATE_RULES_LOAD_H
#define HEADGATE_RULES_LOAD_H

#include "compile.h"
#include "rule.h"

/* What not every message needs. */
struct rule_about {
    struct rule_info info;
    uint64_t salt;
    const struct target_program *error_targets; /* one an error target */
    size_t deferred_first, deferred_count; /* in rule_file.deferred */
};

/*
 * What every message needs: half a cache line. The rules of a file stand one behind the other,
 * and what they point to is shared where it is equal (pool.h).
 */
struct rule {
    const struct query *query; /* NULL: it can only be stream SQL */
    const struct target_program *targets; /* one a target */
    struct rule_about *about;
    uint32_t target_count;
    bool version_2015;
};

/* What is at hand while a file is read. */
struct loader {
    struct rule_file *file;
    struct arena scratch;
    struct compiler compiler;
    struct diag_list *diags;
    struct rule *rules;
    size_t rule_count, rule_capacity;
    struct map names; /* of the rules */
    struct rule_relation *relations;
    size_t relation_count, relation_capacity;
    struct rule_declaration *declarations;
    size_t declaration_count, declaration_capacity;
    struct rule_relation *implied;
    size_t implied_count, implied_capacity;
    size_t unnamed_count;
};

/* Whether the text can be read at all: its size, and that it is UTF-8. Adds errors. */
bool loader_check_text(struct bytes path, struct bytes text, struct diag_list *diags);

void loader_init(struct loader *loader, struct bytes path, struct bytes text, bool comments,
                 struct diag_list *diags);

/* The scratch arena is part of the loader: call this once that has its final address. */
void loader_start(struct loader *loader);

/* Hands the file over, or frees it when there were errors beyond `errors_before`. */
bool loader_finish(struct loader *loader, size_t errors_before, struct rule_file **out);

struct diag_place loader_place(struct loader *loader, struct span span);

/* A name after the file: hot, hot.2, hot.3, ... with the separator '.'. */
struct bytes loader_next_name(struct loader *loader, char separator);

/* FROM: sets the source of the rule; false after an error. */
bool loader_set_source(struct loader *loader, struct rule_info *info, const struct source *from);

/* Compiles a target's text; a relation's is its name. A topic must be one to publish to. */
bool loader_compile_target(struct loader *loader, enum rule_target_kind kind, struct bytes text,
                           struct span span, struct target_program *out);

/* A rule to fill in; it is in scratch, what it is about is kept. */
struct rule *loader_new_rule(struct loader *loader);

/* A rule that is complete. Two of one name are an error, told at `span`. */
void loader_add_rule(struct loader *loader, struct rule *rule, struct span span);

#endif
