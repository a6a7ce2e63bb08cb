/*
 * Which paths of the payload a rule names, found in the tree: for explanations, not for running.
 *
 * A path is a name with members behind it; `get(x, 'key')` and `x['key']` count as members. What a
 * nested SELECT names is left out, except the path that it reads from: its names may mean members
 * of the elements.
 */
#ifndef HEADGATE_RULES_FIELDS_H
#define HEADGATE_RULES_FIELDS_H

#include "parse.h"
#include "rule.h"

struct field {
    struct bytes name;
    struct bytes *segments;
    size_t segment_count;
    unsigned uses;
    enum rule_field_wish wish;
    bool may_be_missing;
    struct span span;
};

/* Gathers; lives as long as the scratch arena. */
struct fields {
    struct arena *scratch;
    struct bytes source_alias; /* FROM table AS alias: alias.column is column */
    struct field *items;       /* room for RULE_FIELDS_MAX */
    size_t count;
    size_t omitted; /* that were too many */
};

struct fields fields_of(struct arena *scratch, struct bytes source_alias);

/* Indices of fields, each once. */
struct field_indices {
    uint32_t items[RULE_FIELDS_MAX];
    size_t count;
};

/* Notes the paths of an expression; `named`, which may be NULL, gets their indices. */
void fields_note(struct fields *fields, const struct expr *expr, enum rule_field_use use,
                 struct field_indices *named);

/*
 * Notes what the query names, and tells all of it, with the conditions of WHERE, in `info`. What
 * stays is in `arena`, or a view into the text of `lines`.
 */
void fields_finish(struct fields *fields, const struct select *select, struct arena *arena,
                   const struct line_index *lines, struct rule_info *info);

/* The conditions of a AND (b AND c) AND d: a, b, c, d. Anything else is one condition. */
const struct expr *const *conjuncts_of(const struct expr *where, struct arena *arena,
                                       size_t *count);

#endif
