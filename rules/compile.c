/*
 * Expressions: each kind of tree node becomes a node with its evaluator. A node whose operands are
 * all constant, and that depends on nothing else, is evaluated here and now.
 */
#include "compile.h"

#include "function.h"
#include "lint.h"

#include <stdarg.h>

struct bytes
compiler_keep(struct compiler *compiler, struct bytes text)
{
    struct bytes whole = compiler->lines.text;
    bool inside = text.data >= whole.data && text.data + text.size <= whole.data + whole.size;
    return inside ? text : arena_copy(compiler->arena, text);
}

void
compiler_report(struct compiler *compiler, enum diag_level level, struct span span,
                const char *format, ...)
{
    compiler->muted = compiler->diags->count - compiler->diags_before >= REPORTS_MAX &&
                      (level == DIAG_WARNING || compiler->diags->errors > compiler->errors_before);
    if (compiler->muted) {
        return;
    }
    struct buf message = {.arena = compiler->scratch};
    va_list args;
    va_start(args, format);
    buf_vprintf(&message, format, args);
    va_end(args);
    struct diag_place place = line_index_place(&compiler->lines, span);
    diag_at(compiler->diags, level, &place, "%s", buf_string(&message));
}

void
compiler_hint(struct compiler *compiler, const char *format, ...)
{
    if (compiler->muted) {
        return;
    }
    struct buf hint = {.arena = compiler->scratch};
    va_list args;
    va_start(args, format);
    buf_vprintf(&hint, format, args);
    va_end(args);
    diag_hint(compiler->diags, "%s", buf_string(&hint));
}

static const struct node *
refuse(struct compiler *compiler, const struct expr *expr, const char *what, const char *hint)
{
    compiler_report(compiler, DIAG_ERROR, expr->span, "%s", what);
    if (hint != NULL) {
        compiler_hint(compiler, "%s", hint);
    }
    return NULL;
}

static const char newer_version[] = "set awsIotSqlVersion to 2016-03-23";

/* ---- nodes ---- */

struct node *
compiler_node(struct compiler *compiler, node_fn *eval, enum node_content content, size_t items)
{
    struct node *node = arena_alloc_zeroed(
            compiler->scratch, 1, sizeof *node + items * sizeof(const struct node *));
    node->eval = eval;
    node->content = (uint8_t)content;
    node->item_count = (uint32_t)items;
    return node;
}

static const struct node *
new_constant(struct compiler *compiler, struct value value)
{
    struct node *node = compiler_node(compiler, eval_constant, NODE_CONSTANT, 0);
    node->constant = value;
    return node;
}

/* All items, also behind a wrong one, so that each tells its error. NULL items stay NULL. */
static bool
compile_items(struct compiler *compiler, struct node *node, struct expr *const *items)
{
    bool ok = true;
    for (size_t i = 0; i < node->item_count; i++) {
        if (items[i] != NULL) {
            node->items[i] = compile_expr(compiler, items[i]);
            ok = ok && node->items[i] != NULL;
        }
    }
    return ok;
}

/* Replaces a node whose operands are constant by its value. */
static const struct node *
fold(struct compiler *compiler, const struct node *node)
{
    for (uint32_t i = 0; i < node->item_count; i++) {
        if (node->items[i] != NULL && node->items[i]->content != NODE_CONSTANT) {
            return node;
        }
    }
    struct run run = {.arena = compiler->scratch, .version_2015 = compiler->version_2015};
    struct value value;
    node_eval(node, &run, &value);
    return new_constant(compiler, value);
}

static const struct node *
compile_operands(struct compiler *compiler, const struct expr *expr, node_fn *eval)
{
    struct node *node = compiler_node(compiler, eval, NODE_NOTHING, expr->item_count);
    node->op = (uint8_t)expr->op;
    return compile_items(compiler, node, expr->items) ? fold(compiler, node) : NULL;
}

/* ---- literals ---- */

static const struct node *
compile_number(struct compiler *compiler, const struct expr *expr)
{
    struct decimal number;
    if (!decimal_parse(&number, expr->text, compiler->scratch)) {
        return refuse(compiler, expr, "this number is beyond 9.99E999", NULL);
    }
    return new_constant(compiler, value_number(number));
}

static const struct node *
compile_array(struct compiler *compiler, const struct expr *expr)
{
    if (compiler->version_2015) {
        return refuse(compiler, expr, "version 2015-10-08 has no array literals", newer_version);
    }
    return compile_operands(compiler, expr, eval_array);
}

static const struct node *
compile_object(struct compiler *compiler, const struct expr *expr)
{
    if (compiler->version_2015) {
        return refuse(compiler, expr, "version 2015-10-08 has no object literals",
                      newer_version);
    }
    size_t count = expr->item_count / 2;
    struct node *node = compiler_node(compiler, eval_object, NODE_NAMES, count);
    struct bytes *names = arena_new_array(compiler->scratch, struct bytes, count);
    struct expr **values = arena_new_array(compiler->scratch, struct expr *, count);
    for (size_t i = 0; i < count; i++) {
        names[i] = expr->items[2 * i]->text;
        values[i] = expr->items[2 * i + 1];
    }
    node->names = names;
    node->name_count = (uint32_t)count;
    return compile_items(compiler, node, values) ? fold(compiler, node) : NULL;
}

/* ---- names ---- */

/* a.b.c, from the outermost member inward. */
static const struct node *
compile_path(struct compiler *compiler, const struct expr *expr)
{
    uint32_t count = 1;
    for (const struct expr *e = expr; e->kind == EXPR_MEMBER; e = e->items[0]) {
        count++;
    }
    struct bytes *names = arena_new_array(compiler->scratch, struct bytes, count);
    uint32_t i = count;
    for (const struct expr *e = expr; i > 0; e = e->kind == EXPR_MEMBER ? e->items[0] : e) {
        names[--i] = e->text;
    }
    node_fn *eval = compiler->version_2015 ? eval_path_2015 : eval_path;
    struct node *node = compiler_node(compiler, eval, NODE_NAMES, 0);
    bool aliased = count > 1 && compiler->source_alias.size > 0 &&
                   bytes_equal(names[0], compiler->source_alias);
    node->names = names + aliased;
    node->name_count = count - aliased;
    return node;
}

static const struct node *
compile_member(struct compiler *compiler, const struct expr *expr)
{
    if (expr_is_path(expr)) {
        return compile_path(compiler, expr);
    }
    struct node *node = compiler_node(compiler, eval_member, NODE_NAMES, 1);
    node->names = &expr->text;
    node->name_count = 1;
    return compile_items(compiler, node, expr->items) ? fold(compiler, node) : NULL;
}

static const char *
variable_name_at(const void *context, size_t i)
{
    struct compiler *compiler = (struct compiler *)context;
    return arena_copy(compiler->scratch, compiler->variables[i].name).data;
}

static const struct node *
compile_variable(struct compiler *compiler, const struct expr *expr)
{
    for (uint32_t i = 0; i < compiler->variable_count; i++) {
        if (bytes_equal(compiler->variables[i].name, expr->text)) {
            struct node *node = compiler_node(compiler, eval_variable, NODE_VARIABLE, 0);
            node->variable = i;
            return node;
        }
    }
    compiler_report(compiler, DIAG_ERROR, expr->span, "variable '@%.*s' is not set before",
                    BYTES_ARG(expr->text));
    const char *near = diag_nearest(expr->text, compiler->variable_count, variable_name_at,
                                    compiler);
    if (near != NULL) {
        compiler_hint(compiler, "did you mean '@%s'?", near);
    }
    return NULL;
}

/* ---- operators ---- */

static const struct node *
compile_binary(struct compiler *compiler, const struct expr *expr)
{
    switch (expr->op) {
    case OP_AND:
        return compile_operands(compiler, expr, eval_and);
    case OP_OR:
        return compile_operands(compiler, expr, eval_or);
    case OP_EQUAL:
        return compile_operands(compiler, expr, eval_equal);
    case OP_NOT_EQUAL:
        return compile_operands(compiler, expr, eval_not_equal);
    case OP_LESS:
    case OP_LESS_EQUAL:
    case OP_GREATER:
    case OP_GREATER_EQUAL:
        return compile_operands(compiler, expr, eval_order);
    case OP_ADD:
        return compile_operands(compiler, expr, eval_add);
    case OP_SUBTRACT:
    case OP_MULTIPLY:
    case OP_DIVIDE:
    case OP_MODULO:
        return compile_operands(compiler, expr, eval_arithmetic);
    default:
        return refuse(compiler, expr, "this operator is not available in rules",
                      "'+' joins strings, OR asks for either");
    }
}

static const struct node *
compile_in(struct compiler *compiler, const struct expr *expr)
{
    if (compiler->version_2015) {
        return refuse(compiler, expr, "version 2015-10-08 has no IN", newer_version);
    }
    struct node *node = compiler_node(compiler, eval_in, NODE_NOTHING, 2);
    node->op = expr->negated ? OP_NOT : OP_NONE;
    return compile_items(compiler, node, expr->items) ? fold(compiler, node) : NULL;
}

static const struct node *
compile_index(struct compiler *compiler, const struct expr *expr)
{
    struct node *node = compiler_node(compiler, eval_index, NODE_FUNCTION, 2);
    node->function = function_find(BYTES("get"));
    return compile_items(compiler, node, expr->items) ? fold(compiler, node) : NULL;
}

/* ---- CAST ---- */

static const struct {
    const char *name;
    enum cast_type type;
    bool only_2016;
} cast_types[] = {
        {"STRING", CAST_STRING, false},   {"VARCHAR", CAST_STRING, false},
        {"NVARCHAR", CAST_STRING, false}, {"TEXT", CAST_STRING, false},
        {"NTEXT", CAST_STRING, false},    {"INT", CAST_INT, false},
        {"INTEGER", CAST_INT, false},     {"DOUBLE", CAST_DECIMAL, false},
        {"DECIMAL", CAST_DECIMAL, true},  {"BOOL", CAST_BOOLEAN, true},
        {"BOOLEAN", CAST_BOOLEAN, true},
};

enum { CAST_TYPES = sizeof cast_types / sizeof cast_types[0] };

static const char *
cast_type_at(const void *context, size_t i)
{
    (void)context;
    return cast_types[i].name;
}

static const struct node *
compile_cast(struct compiler *compiler, const struct expr *expr)
{
    struct node *node = compiler_node(compiler, eval_cast, NODE_NOTHING, 1);
    bool known = false;
    for (size_t i = 0; i < CAST_TYPES && !known; i++) {
        known = bytes_equal_string(expr->type, cast_types[i].name) &&
                !(compiler->version_2015 && cast_types[i].only_2016);
        node->op = (uint8_t)cast_types[i].type;
    }
    bool ok = compile_items(compiler, node, expr->items);
    if (!known) {
        compiler_report(compiler, DIAG_ERROR, expr->name_span, "cannot cast to '%.*s'",
                        BYTES_ARG(expr->type));
        const char *near = diag_nearest(expr->type, CAST_TYPES, cast_type_at, NULL);
        if (near != NULL && bytes_equal_string(expr->type, near)) {
            compiler_hint(compiler, "%s", newer_version);
        } else if (near != NULL) {
            compiler_hint(compiler, "did you mean '%s'?", near);
        } else {
            compiler_hint(compiler, "the types are String, Int, Decimal and Boolean");
        }
        return NULL;
    }
    return ok ? fold(compiler, node) : NULL;
}

/* ---- calls ---- */

static void
report_unknown_function(struct compiler *compiler, const struct expr *expr)
{
    compiler_report(compiler, DIAG_ERROR, expr->name_span, "unknown function '%.*s'",
                    BYTES_ARG(expr->text));
    const char *known = lint_foreign_function(expr->text);
    const char *near = function_nearest(expr->text);
    if (known != NULL) {
        compiler_hint(compiler, "%s", known);
    } else if (near != NULL) {
        compiler_hint(compiler, "did you mean '%s'?", near);
    }
}

/* As compile_items, but '*' may stand for the payload. */
static bool
compile_arguments(struct compiler *compiler, struct node *node, const struct expr *expr)
{
    bool ok = true;
    for (size_t i = 0; i < expr->item_count; i++) {
        const struct expr *arg = expr->items[i];
        bool star = arg->kind == EXPR_STAR && arg->item_count == 0;
        node->items[i] = star ? compiler_node(compiler, eval_star, NODE_NOTHING, 0)
                              : compile_expr(compiler, arg);
        ok = ok && node->items[i] != NULL;
    }
    return ok;
}

/* A wrong number of arguments is Undefined on AWS; nobody means it. */
static const struct node *
warn_count(struct compiler *compiler, const struct expr *expr, const struct function *function)
{
    compiler_report(compiler, DIAG_WARNING, expr->span,
                    "'%s' with %zu arguments is always Undefined", function->name,
                    expr->item_count);
    if (function->count_min == function->count_max) {
        compiler_hint(compiler, "it takes %u", function->count_min);
    } else {
        compiler_hint(compiler, "it takes %u to %u", function->count_min, function->count_max);
    }
    return new_constant(compiler, value_undefined());
}

static const struct node *
compile_call(struct compiler *compiler, const struct expr *expr)
{
    const struct function *function = function_find(expr->text);
    struct node *node = compiler_node(compiler, eval_call, NODE_FUNCTION, expr->item_count);
    node->function = function;
    bool ok = compile_arguments(compiler, node, expr);
    if (function == NULL) {
        report_unknown_function(compiler, expr);
        return NULL;
    }
    bool asks = external_call(function, expr);
    bool catches = (function->flags & FUNCTION_CATCHES) != 0;
    node->eval = catches ? eval_catch : eval_call;
    ok = (!asks || external_check(compiler, expr, function)) && ok;
    ok = (!catches || external_check_default(compiler, expr)) && ok;
    if (expr->distinct) {
        return refuse(compiler, expr, "DISTINCT is not available in rules", NULL);
    }
    if (compiler->version_2015 && (function->flags & FUNCTION_2016) != 0) {
        return refuse(compiler, expr, "this function is not in version 2015-10-08",
                      newer_version);
    }
    if (!ok) {
        return NULL;
    }
    if (expr->item_count < function->count_min ||
        (expr->item_count > function->count_max && function->count_max != FUNCTION_ANY_COUNT)) {
        return warn_count(compiler, expr, function);
    }
    return (function->flags & FUNCTION_PURE) != 0 && !asks ? fold(compiler, node) : node;
}

/* ---- nested SELECT ---- */

static const struct node *
compile_select(struct compiler *compiler, const struct expr *expr, node_fn *eval)
{
    const struct select *select = expr->select;
    if (compiler->version_2015) {
        return refuse(compiler, expr, "version 2015-10-08 has no nested SELECT",
                      newer_version);
    }
    if (select->from == NULL) {
        return refuse(compiler, expr, "a nested SELECT needs FROM", NULL);
    }
    if (select->from->kind != SOURCE_EXPR) {
        return refuse(compiler, expr, "a nested SELECT reads a member of the payload",
                      "(SELECT ... FROM member)");
    }
    struct node *node = compiler_node(compiler, eval, NODE_QUERY, 1);
    node->items[0] = compile_expr(compiler, select->from->expr);
    node->alias = select->from->alias;
    node->query = compile_subquery(compiler, select);
    return node->items[0] == NULL || node->query == NULL ? NULL : node;
}

/* ---- all kinds ---- */

const struct node *
compile_expr(struct compiler *compiler, const struct expr *expr)
{
    switch (expr->kind) {
    case EXPR_NULL:
        return new_constant(compiler, (struct value){.kind = VALUE_NULL});
    case EXPR_TRUE:
        return new_constant(compiler, value_boolean(true));
    case EXPR_FALSE:
        return new_constant(compiler, value_boolean(false));
    case EXPR_NUMBER:
        return compile_number(compiler, expr);
    case EXPR_STRING:
        return new_constant(compiler, value_string(expr->text));
    case EXPR_NAME:
        return compile_path(compiler, expr);
    case EXPR_MEMBER:
        return compile_member(compiler, expr);
    case EXPR_VARIABLE:
        return compile_variable(compiler, expr);
    case EXPR_STAR:
        return refuse(compiler, expr, "'*' stands for a whole object only as an item of SELECT "
                                      "or an argument", NULL);
    case EXPR_INDEX:
        return compile_index(compiler, expr);
    case EXPR_UNARY:
        return compile_operands(compiler, expr, expr->op == OP_NOT ? eval_not : eval_negate);
    case EXPR_BINARY:
        return compile_binary(compiler, expr);
    case EXPR_IN:
        return compile_in(compiler, expr);
    case EXPR_CASE:
        return compile_operands(compiler, expr, eval_case);
    case EXPR_CAST:
        return compile_cast(compiler, expr);
    case EXPR_CALL:
        return compile_call(compiler, expr);
    case EXPR_ARRAY:
        return compile_array(compiler, expr);
    case EXPR_OBJECT:
        return compile_object(compiler, expr);
    case EXPR_SELECT:
        return compile_select(compiler, expr, eval_select);
    case EXPR_EXISTS:
        return compile_select(compiler, expr, eval_exists);
    case EXPR_INTERVAL:
    case EXPR_TYPED_STRING:
    case EXPR_BETWEEN:
    case EXPR_LIKE:
    case EXPR_IS_NULL:
        return refuse(compiler, expr, "this is not available in rules", NULL);
    }
    never("all kinds are listed");
}
