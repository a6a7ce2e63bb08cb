/*
 * The walk is over the tree as it was written; what a condition came to is asked of its program.
 * The recursion is as deep as the parser lets expressions be.
 */
#include "lint.h"

#include "date.h"
#include "fields.h"

/* ---- comparisons ---- */

static bool
is_order(enum expr_op op)
{
    return op == OP_LESS || op == OP_LESS_EQUAL || op == OP_GREATER || op == OP_GREATER_EQUAL;
}

static bool
is_numeric_text(struct compiler *compiler, const struct expr *expr)
{
    struct value value = value_string(expr->text);
    struct decimal number;
    return value_to_number(&value, &number, compiler->scratch);
}

/* A literal that is no number, on a side of '<' or '-'. */
static void
lint_number_operand(struct compiler *compiler, const struct expr *whole, const struct expr *side)
{
    bool is_text = side->kind == EXPR_STRING && !is_numeric_text(compiler, side);
    bool is_other = side->kind == EXPR_TRUE || side->kind == EXPR_FALSE ||
                    side->kind == EXPR_NULL || side->kind == EXPR_ARRAY ||
                    side->kind == EXPR_OBJECT;
    if (!is_text && !is_other) {
        return;
    }
    compiler_report(compiler, DIAG_WARNING, whole->span, "this is always Undefined: %s",
                    is_text ? "strings have no order, and this one is not a number"
                            : "only numbers can be compared so");
    if (is_text) {
        compiler_hint(compiler, "quotes make a text; a field is written without them: %.*s",
                      BYTES_ARG(side->text));
    }
}

static void
lint_null(struct compiler *compiler, const struct expr *expr)
{
    bool left = expr->items[0]->kind == EXPR_NULL, right = expr->items[1]->kind == EXPR_NULL;
    if (left == right) {
        return;
    }
    struct span span = expr->items[left ? 1 : 0]->span;
    struct bytes name = bytes_slice(compiler->lines.text, span.start, span.end);
    compiler_report(compiler, DIAG_WARNING, expr->span,
                    "this is Undefined, not %s, where the member is missing",
                    expr->op == OP_EQUAL ? "true" : "false");
    compiler_hint(compiler, "isNull(%.*s) asks for null, isUndefined(%.*s) for a missing member",
                  BYTES_ARG(name), BYTES_ARG(name));
}

/* my-field: nobody subtracts without blanks, and many payloads have such names. */
static void
lint_dash(struct compiler *compiler, const struct expr *expr)
{
    const struct expr *left = expr->items[0], *right = expr->items[1];
    if (left->kind == EXPR_NAME && right->kind == EXPR_NAME &&
        left->span.end + 1 == right->span.start) {
        compiler_report(compiler, DIAG_WARNING, expr->span, "this is '%.*s' minus '%.*s'",
                        BYTES_ARG(left->text), BYTES_ARG(right->text));
        compiler_hint(compiler,
                      "a member of that name is get(*, '%.*s-%.*s'); blanks around '-' say that a "
                      "difference is meant",
                      BYTES_ARG(left->text), BYTES_ARG(right->text));
    }
}

static void
lint_binary(struct compiler *compiler, const struct expr *expr)
{
    if (is_order(expr->op)) {
        lint_number_operand(compiler, expr, expr->items[0]);
        lint_number_operand(compiler, expr, expr->items[1]);
    } else if (expr->op == OP_EQUAL || expr->op == OP_NOT_EQUAL) {
        lint_null(compiler, expr);
    } else if (expr->op == OP_SUBTRACT) {
        lint_dash(compiler, expr);
    }
}

/* “on” is a name: such characters are letters to the lexer. */
static void
lint_name(struct compiler *compiler, const struct expr *expr)
{
    static const char *const marks[] = {"\xE2\x80\x9C", "\xE2\x80\x9D", "\xE2\x80\x98",
                                        "\xE2\x80\x99", "\xC2\xB4", "\xE2\x80\x9E"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks && !expr->quoted; i++) {
        struct bytes mark = bytes_of_string(marks[i]);
        if (bytes_starts_with(expr->text, mark) || bytes_ends_with(expr->text, mark)) {
            compiler_report(compiler, DIAG_WARNING, expr->span,
                            "typographic quotes do not quote: this is the name of a member");
            compiler_hint(compiler, "a text stands in straight quotes: 'text'");
            return;
        }
    }
}

/* Date patterns that are wrong. */
static void
lint_pattern(struct compiler *compiler, const struct expr *call)
{
    static const struct {
        const char *name;
        size_t arg;
        struct pattern_problem (*find)(struct bytes pattern, struct arena *arena);
    } patterns[] = {
            {"parse_time", 0, parse_time_problem},
            {"time_to_epoch", 1, time_to_epoch_problem},
    };
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        size_t arg = patterns[i].arg;
        if (!bytes_equal_nocase(call->text, bytes_of_string(patterns[i].name)) ||
            arg >= call->item_count || call->items[arg]->kind != EXPR_STRING) {
            continue;
        }
        struct pattern_problem problem =
                patterns[i].find(call->items[arg]->text, compiler->scratch);
        if (problem.text.size > 0) {
            compiler_report(compiler, DIAG_WARNING, call->items[arg]->span,
                            "this is always Undefined: %.*s", BYTES_ARG(problem.text));
        }
        if (problem.hint.size > 0) {
            compiler_hint(compiler, "%.*s", BYTES_ARG(problem.hint));
        }
    }
}

static void
lint_expr(struct compiler *compiler, const struct expr *expr)
{
    if (expr->kind == EXPR_BINARY) {
        lint_binary(compiler, expr);
    } else if (expr->kind == EXPR_NAME) {
        lint_name(compiler, expr);
    } else if (expr->kind == EXPR_CALL) {
        lint_pattern(compiler, expr);
    } else if (expr->kind == EXPR_IN && expr->items[1]->kind == EXPR_ARRAY &&
               expr->items[1]->item_count == 0) {
        compiler_report(compiler, DIAG_WARNING, expr->span, "nothing is in an empty array");
    }
    for (size_t i = 0; i < expr->item_count; i++) {
        if (expr->items[i] != NULL) {
            lint_expr(compiler, expr->items[i]);
        }
    }
}

/* ---- WHERE ---- */

/* WHERE true says what it means. */
static void
lint_constant(struct compiler *compiler, const struct expr *expr, const struct node *node)
{
    bool pass;
    if (node->content != NODE_CONSTANT || expr->kind == EXPR_TRUE) {
        return;
    }
    bool is_defined = value_to_boolean(&node->constant, &pass, compiler->scratch);
    compiler_report(compiler, DIAG_WARNING, expr->span,
                    "this condition is always %s, whatever the message holds",
                    !is_defined ? "Undefined"
                    : pass      ? "true"
                                : "false");
    bool has_text = expr->kind == EXPR_STRING;
    for (size_t i = 0; i < expr->item_count; i++) {
        has_text = has_text || (expr->items[i] != NULL && expr->items[i]->kind == EXPR_STRING);
    }
    if (has_text) {
        compiler_hint(compiler, "both '...' and \"...\" are texts; a field is written without "
                                "quotes");
    }
}

/* Whether a name is asked for anywhere in an expression. */
static bool
mentions(const struct expr *expr, struct bytes name)
{
    bool found = expr->kind == EXPR_NAME && bytes_equal(expr->text, name);
    for (size_t i = 0; i < expr->item_count && !found; i++) {
        found = expr->items[i] != NULL && mentions(expr->items[i], name);
    }
    return found;
}

/* An alias is not known to WHERE. Where SELECT also reads a member of that name, that is meant. */
static void
lint_alias(struct compiler *compiler, const struct select *select, const struct expr *expr)
{
    if (expr->kind == EXPR_NAME) {
        bool is_alias = false, is_member = false;
        for (size_t i = 0; i < select->item_count; i++) {
            const struct select_item *item = &select->items[i];
            is_alias |= item->alias.count == 1 && bytes_equal(item->alias.items[0], expr->text);
            is_member |= mentions(item->expr, expr->text);
        }
        if (is_alias && !is_member) {
            compiler_report(compiler, DIAG_WARNING, expr->span,
                            "'%.*s' here is a member of the payload, not what SELECT names so",
                            BYTES_ARG(expr->text));
            compiler_hint(compiler, "WHERE is asked before SELECT: repeat the expression, or give "
                                    "it a name with SET @%.*s = ...",
                          BYTES_ARG(expr->text));
        }
    }
    for (size_t i = 0; i < expr->item_count; i++) {
        if (expr->items[i] != NULL) {
            lint_alias(compiler, select, expr->items[i]);
        }
    }
}

void
lint_select(struct compiler *compiler, const struct select *select, const struct query *query)
{
    for (size_t i = 0; i < select->assignment_count; i++) {
        lint_expr(compiler, select->assignments[i].expr);
    }
    for (size_t i = 0; i < select->item_count; i++) {
        lint_expr(compiler, select->items[i].expr);
    }
    if (select->where == NULL) {
        return;
    }
    size_t count;
    const struct expr *const *conjuncts =
            conjuncts_of(select->where, compiler->scratch, &count);
    for (size_t i = 0; i < count; i++) {
        size_t before = compiler->diags->count;
        lint_expr(compiler, conjuncts[i]);
        lint_alias(compiler, select, conjuncts[i]);
        if (query != NULL && compiler->diags->count == before) {
            lint_constant(compiler, conjuncts[i], query->conjuncts[i]);
        }
    }
}

/* ---- functions of other dialects ---- */

const char *
lint_foreign_function(struct bytes name)
{
    static const char aggregates[] = "a rule sees one message at a time: it cannot count or sum up "
                                     "over messages";
    static const struct {
        const char *name, *hint;
    } known[] = {
            {"count", aggregates},
            {"sum", aggregates},
            {"avg", aggregates},
            {"min", aggregates},
            {"max", aggregates},
            {"if", "write CASE condition WHEN true THEN a ELSE b END"},
            {"iif", "write CASE condition WHEN true THEN a ELSE b END"},
            {"coalesce", "nanvl(x, y) gives y where x is Undefined or null"},
            {"ifnull", "nanvl(x, y) gives y where x is Undefined or null"},
            {"nvl", "nanvl(x, y) gives y where x is Undefined or null"},
            {"now", "timestamp() is the arrival time in milliseconds"},
            {"current_timestamp", "timestamp() is the arrival time in milliseconds"},
            {"getdate", "timestamp() is the arrival time in milliseconds"},
            {"unix_timestamp", "timestamp() is the arrival time in milliseconds"},
            {"len", "did you mean 'length'?"},
            {"strlen", "did you mean 'length'?"},
            {"char_length", "did you mean 'length'?"},
            {"substr", "did you mean 'substring'?"},
            {"ucase", "did you mean 'upper'?"},
            {"lcase", "did you mean 'lower'?"},
            {"regexp_like", "did you mean 'regexp_matches'?"},
            {"contains", "indexof(x, 'text') >= 0 asks whether a text holds another"},
            {"int", "CAST(x AS Int) converts"},
            {"float", "CAST(x AS Decimal) converts"},
            {"to_number", "CAST(x AS Decimal) converts"},
            {"str", "CAST(x AS String) converts"},
            {"to_char", "CAST(x AS String) converts"},
            {"json_extract", "write the path: a.b.c, or get(a, 'key')"},
            {"json_value", "write the path: a.b.c, or get(a, 'key')"},
            {"random", "did you mean 'rand'?"},
            {"uuid", "did you mean 'newuuid'?"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (bytes_equal_nocase(name, bytes_of_string(known[i].name))) {
            return known[i].hint;
        }
    }
    return NULL;
}

/* ---- filters ---- */

const char *
lint_filter(struct bytes filter, const char **hint)
{
    struct bytes rest = filter, level;
    *hint = NULL;
    if (bytes_starts_with(filter, BYTES("$share/"))) {
        *hint = "leave '$share/GROUP/' away";
        return "no message has a topic that begins with '$share/'";
    }
    while (bytes_split(&rest, '/', &level)) {
        if (bytes_equal(level, BYTES("*"))) {
            *hint = "'+' stands for one level, '#' for the rest";
            return "'*' is not a wildcard: this matches only a level named '*'";
        }
        if (level.size > 0 && (level.data[0] == ' ' || level.data[level.size - 1] == ' ')) {
            return "a level of this filter begins or ends with a blank, and matches only topics "
                   "that do too";
        }
    }
    return NULL;
}
