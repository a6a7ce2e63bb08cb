/*
 * Stage 3: from the tree to a program: names resolved to functions and variables, constants
 * computed, fields laid out. The program lives in the arena given here and does not refer to the
 * tree; of the text only what lies within `lines.text` is referred to.
 *
 * Errors are added for everything that is wrong, not only for the first.
 */
#ifndef HEADGATE_RULES_COMPILE_H
#define HEADGATE_RULES_COMPILE_H

#include "eval.h"
#include "parse.h"

enum { VARIABLES_MAX = 10, VARIABLE_NAME_MAX = 64, TEMPLATE_PARTS_MAX = 64, REPORTS_MAX = 200 };

struct compiler {
    struct arena *arena; /* of the program */
    struct arena *scratch;
    struct line_index lines;
    struct diag_list *diags;
    size_t diags_before; /* entries of `diags` when this text was begun */
    size_t errors_before;
    bool muted;          /* too many of them: the newest was not added */
    bool comments;
    bool version_2015;
    const struct assignment *variables; /* SET, those that are visible */
    uint32_t variable_count;
    struct bytes source_alias;          /* FROM table AS alias: alias.column is column */
};

/* NULL after an error. */
const struct query *compile_query(struct compiler *compiler, const struct select *select);
const struct node *compile_expr(struct compiler *compiler, const struct expr *expr);

/* Text with ${expressions} in it: the text of parts without `node`, the value of those with. */
struct template_part {
    struct bytes text;
    const struct node *node;
};

struct template {
    const struct template_part *parts;
    uint32_t part_count;
};

/* Compiles a template whose text stands at `span` (in quotes). False after an error. */
bool template_compile(struct template *out, struct compiler *compiler, struct bytes text,
                      struct span span) MUST_CHECK;

/* Fills it in; what is Undefined gives nothing. */
struct bytes template_run(const struct template *template, struct run *run);

/* For all of compile*.c. */
struct bytes compiler_keep(struct compiler *compiler, struct bytes text);
void compiler_report(struct compiler *compiler, enum diag_level level, struct span span,
                     const char *format, ...) PRINTF_LIKE(4, 5);
void compiler_hint(struct compiler *compiler, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
