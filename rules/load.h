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

/* What every message needs stands first. */
struct rule {
    const struct query *query;
    const struct template *templates; /* one a target; without parts for relations */
    uint64_t salt;
    bool version_2015;
    struct rule_info info; /* begins with the targets */
    const struct template *error_templates; /* one an error target */
};

/* What is at hand while a file is read. */
struct loader {
    struct rule_file *file;
    struct arena scratch;
    struct compiler compiler;
    struct diag_list *diags;
    struct rule **rules;
    size_t rule_count, rule_capacity;
    struct rule_relation *relations;
    size_t relation_count, relation_capacity;
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

/* A name after the file: hot, hot.2, hot.3, ... */
struct bytes loader_next_name(struct loader *loader);

/* FROM: sets the source of the rule; false after an error. */
bool loader_set_source(struct loader *loader, struct rule_info *info, const struct source *from);

/* Compiles a target's text; of relations nothing. A topic must be one that can be published to. */
bool loader_compile_target(struct loader *loader, enum rule_target_kind kind, struct bytes text,
                           struct span span, struct template *out);

/* A rule that is complete. Two of one name are an error, told at `span`. */
void loader_add_rule(struct loader *loader, struct rule *rule, struct span span);

#endif
