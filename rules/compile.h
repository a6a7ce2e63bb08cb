/*
 * Stage 3: from the tree to a program: names resolved to functions and variables, constants
 * computed, fields laid out. A program is drafted in the scratch arena, where it may refer to the
 * tree and the text; when it is complete the pool keeps it, and then it refers to nothing else.
 *
 * Errors are added for everything that is wrong, not only for the first.
 */
#ifndef HEADGATE_RULES_COMPILE_H
#define HEADGATE_RULES_COMPILE_H

#include "eval.h"
#include "parse.h"
#include "pool.h"

enum { VARIABLES_MAX = 10, VARIABLE_NAME_MAX = 64, TEMPLATE_PARTS_MAX = 64, REPORTS_MAX = 200 };

struct fields; /* fields.h */

/* Where in a rule the text that is compiled stands: what becomes of its value. */
enum compile_place {
    PLACE_ROW,      /* SELECT, SET: it is stored */
    PLACE_WHERE,
    PLACE_TEMPLATE, /* a parameter of an action */
    PLACE_TOPIC,    /* a topic, which everybody sees */
};

/* Calls of external functions in one rule, its templates included. */
struct compile_uses {
    unsigned items, registry, protobuf;
    unsigned calls; /* that take their time */
};

struct compiler {
    struct arena *arena; /* for what is kept */
    struct arena *scratch;
    struct pool pool;    /* of finished programs; lives in `arena` */
    struct line_index lines;
    struct diag_list *diags;
    size_t diags_before; /* entries of `diags` when this text was begun */
    size_t errors_before;
    bool muted;          /* too many of them: the newest was not added */
    bool comments;
    bool version_2015;
    const struct assignment *variables; /* SET, those that are visible */
    uint32_t variable_count;
    enum compile_place place;
    struct compile_uses uses;
    struct bytes source_alias;          /* FROM table AS alias: alias.column is column */
    struct fields *fields;              /* gathers the paths of templates; NULL: nobody asks */
};

/* A finished program, or NULL after an error. */
const struct query *compile_query(struct compiler *compiler, const struct select *select);

/* Parts of a draft, or NULL after an error. */
const struct query *compile_subquery(struct compiler *compiler, const struct select *select);
const struct node *compile_expr(struct compiler *compiler, const struct expr *expr);

/* Compiles a template whose text stands at `span` (in quotes). False after an error. */
bool template_compile(struct template *out, struct compiler *compiler, struct bytes text,
                      struct span span) MUST_CHECK;

/* Fills it in; what is Undefined gives nothing. */
struct bytes template_run(const struct template *template, struct run *run);

/* compile_external.c: whether the call asks the host, and what is wrong with such a call. */
bool external_call(const struct function *function, const struct expr *expr);
bool external_check(struct compiler *compiler, const struct expr *expr,
                    const struct function *function);
bool external_check_default(struct compiler *compiler, const struct expr *expr);

/* For all of compile*.c. */
struct node *compiler_node(struct compiler *compiler, node_fn *eval, enum node_content content,
                           size_t item_count);
struct bytes compiler_keep(struct compiler *compiler, struct bytes text);
void compiler_report(struct compiler *compiler, enum diag_level level, struct span span,
                     const char *format, ...) PRINTF_LIKE(4, 5);
void compiler_hint(struct compiler *compiler, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
