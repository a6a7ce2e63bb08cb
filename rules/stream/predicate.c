/* IS NULL, IN, LIKE, BETWEEN and CASE. */
#include "node.h"

static void
eval_is_null(const struct stream_node *node, struct stream_context *context,
             struct stream_value *out)
{
    struct stream_value value;
    stream_eval(node->args[0], context, &value);
    *out = stream_integer(value.is_null != (node->op == OP_NOT));
}

const struct stream_node *
stream_compile_is_null(struct stream_compiler *compiler, const struct stream_scope *scope,
                       const struct expr *expr)
{
    const struct stream_node *inner = stream_compile(compiler, scope, expr->items[0]);
    if (inner == NULL) {
        return NULL;
    }
    struct stream_node *test = stream_new_node(compiler, eval_is_null,
                                               stream_type_of(STREAM_BOOLEAN), &inner, 1);
    test->op = expr->negated ? OP_NOT : OP_NONE;
    return stream_fold(compiler, test);
}

/* x IN (a, b): NULL in the list makes "not found" unknown. */
static void
eval_in(const struct stream_node *node, struct stream_context *context, struct stream_value *out)
{
    struct stream_value value, item;
    bool unknown = false, found = false;
    stream_eval(node->args[0], context, &value);
    for (uint32_t i = 1; i < node->arg_count && !found; i++) {
        stream_eval(node->args[i], context, &item);
        unknown |= item.is_null;
        found = !item.is_null && !value.is_null &&
                stream_compare(node->args[0]->type, &value, &item) == 0;
    }
    *out = value.is_null || (!found && unknown) ? stream_null()
                                                : stream_integer(found != (node->op == OP_NOT));
}

static bool
like(struct bytes text, struct bytes pattern, char escape)
{
    size_t t = 0, p = 0, star_p = SIZE_MAX, star_t = 0;
    while (t < text.size) {
        bool escaped = p + 1 < pattern.size && escape != '\0' && pattern.data[p] == escape;
        char c = p < pattern.size ? pattern.data[p + escaped] : '\0';
        if (p < pattern.size && !escaped && c == '%') {
            star_p = p++;
            star_t = t;
        } else if (p < pattern.size && ((c == '_' && !escaped) || c == text.data[t])) {
            p += 1U + escaped;
            t++;
            /* '_' stands for a character, not for a byte */
            while (c == '_' && !escaped && t < text.size && (text.data[t] & 0xc0) == 0x80) {
                t++;
            }
        } else if (star_p != SIZE_MAX) {
            p = star_p + 1;
            t = ++star_t;
        } else {
            return false;
        }
    }
    while (p < pattern.size && pattern.data[p] == '%') {
        p++;
    }
    return p == pattern.size;
}

static void
eval_like(const struct stream_node *node, struct stream_context *context,
          struct stream_value *out)
{
    struct stream_value text, pattern, escape = {0};
    stream_eval(node->args[0], context, &text);
    stream_eval(node->args[1], context, &pattern);
    if (node->arg_count == 3) {
        stream_eval(node->args[2], context, &escape);
    }
    *out = stream_null();
    if (!text.is_null && !pattern.is_null && !escape.is_null) {
        char c = node->arg_count == 3 && escape.text.size == 1 ? escape.text.data[0] : '\0';
        *out = stream_integer(like(text.text, pattern.text, c) != (node->op == OP_NOT));
    }
}

const struct stream_node *
stream_compile_in(struct stream_compiler *compiler, const struct stream_scope *scope,
           const struct expr *expr)
{
    const struct expr *list = expr->items[1];
    size_t count = list->kind == EXPR_ARRAY ? list->item_count : 0;
    if (count == 0) {
        return stream_fail(compiler, list->span, "IN needs a list of values: IN (1, 2)");
    }
    const struct stream_node **nodes = arena_new_array(compiler->arena,
                                                       const struct stream_node *, count + 1);
    nodes[0] = stream_compile(compiler, scope, expr->items[0]);
    struct stream_type type = nodes[0] == NULL ? (struct stream_type){0} : nodes[0]->type;
    for (size_t i = 1; i <= count && nodes[i - 1] != NULL; i++) {
        nodes[i] = stream_compile(compiler, scope, list->items[i - 1]);
        if (nodes[i] != NULL && !stream_common_type(type, nodes[i]->type, &type)) {
            const struct stream_node *pair[2] = {nodes[0], nodes[i]};
            return stream_refuse_operands(compiler, list->items[i - 1], pair);
        }
    }
    if (nodes[count] == NULL) {
        return NULL;
    }
    for (size_t i = 0; i <= count; i++) {
        nodes[i] = stream_cast_node(compiler, nodes[i], type);
        if (nodes[i] == NULL) {
            return stream_fail(compiler, expr->span, "the values of IN are of different types");
        }
    }
    struct stream_node *node = stream_new_node(compiler, eval_in,
                                               stream_type_of(STREAM_BOOLEAN), nodes,
                                        count + 1);
    node->op = expr->negated ? OP_NOT : OP_NONE;
    return stream_fold(compiler, node);
}

const struct stream_node *
stream_compile_like(struct stream_compiler *compiler, const struct stream_scope *scope,
             const struct expr *expr)
{
    const struct stream_node *nodes[3] = {NULL};
    for (size_t i = 0; i < expr->item_count; i++) {
        nodes[i] = stream_compile(compiler, scope, expr->items[i]);
        if (nodes[i] == NULL) {
            return NULL;
        }
        nodes[i] = stream_cast_node(compiler, nodes[i], stream_type_of(STREAM_STRING));
    }
    struct stream_node *node = stream_new_node(compiler, eval_like,
                                               stream_type_of(STREAM_BOOLEAN), nodes,
                                        expr->item_count);
    node->op = expr->negated ? OP_NOT : OP_NONE;
    return stream_fold(compiler, node);
}

/* a BETWEEN b AND c is a >= b AND a <= c. */
const struct stream_node *
stream_compile_between(struct stream_compiler *compiler, const struct stream_scope *scope,
                       const struct expr *expr)
{
    struct expr low = {.kind = EXPR_BINARY, .op = OP_GREATER_EQUAL, .span = expr->span};
    struct expr high = {.kind = EXPR_BINARY, .op = OP_LESS_EQUAL, .span = expr->span};
    struct expr both = {.kind = EXPR_BINARY, .op = OP_AND, .span = expr->span};
    struct expr neither = {.kind = EXPR_UNARY, .op = OP_NOT, .span = expr->span};
    struct expr *const low_items[] = {expr->items[0], expr->items[1]};
    struct expr *const high_items[] = {expr->items[0], expr->items[2]};
    struct expr *const both_items[] = {&low, &high};
    struct expr *const neither_items[] = {&both};
    low.items = low_items;
    high.items = high_items;
    both.items = both_items;
    neither.items = neither_items;
    low.item_count = high.item_count = both.item_count = 2;
    neither.item_count = 1;
    return stream_compile(compiler, scope, expr->negated ? &neither : &both);
}

/* ---- CASE ---- */

/* args: pairs of condition and result, then ELSE. */
static void
eval_case(const struct stream_node *node, struct stream_context *context, struct stream_value *out)
{
    for (uint32_t i = 0; i + 1 < node->arg_count; i += 2) {
        if (stream_passes(node->args[i], context)) {
            stream_eval(node->args[i + 1], context, out);
            return;
        }
    }
    stream_eval(node->args[node->arg_count - 1], context, out);
}

static const struct stream_node *
compile_when(struct stream_compiler *compiler, const struct stream_scope *scope,
             const struct expr *subject, struct expr *when)
{
    if (subject == NULL) {
        return stream_compile_condition(compiler, scope, when, "WHEN");
    }
    struct expr *const items[] = {(struct expr *)(uintptr_t)subject, when};
    const struct expr equal = {.kind = EXPR_BINARY, .op = OP_EQUAL, .span = when->span,
                               .items = items, .item_count = 2};
    return stream_compile(compiler, scope, &equal);
}

const struct stream_node *
stream_compile_case(struct stream_compiler *compiler, const struct stream_scope *scope,
             const struct expr *expr)
{
    size_t count = expr->item_count - 1; /* pairs, and ELSE at the end */
    const struct stream_node **nodes = arena_new_array(compiler->arena,
                                                       const struct stream_node *, count);
    struct stream_type type = stream_type_of(STREAM_NULLS);
    for (size_t i = 0; i < count; i++) {
        struct expr *item = i + 1 < count ? expr->items[i + 2] : expr->items[1];
        bool condition = i % 2 == 0 && i + 1 < count;
        nodes[i] = item == NULL ? stream_constant_node(compiler, type, stream_null())
                   : condition  ? compile_when(compiler, scope, expr->items[0], item)
                                : stream_compile(compiler, scope, item);
        if (nodes[i] == NULL) {
            return NULL;
        }
        if (!condition && !stream_common_type(type, nodes[i]->type, &type)) {
            return stream_fail(compiler, item == NULL ? expr->span : item->span,
                               "the results of CASE are of different types");
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (i % 2 == 1 || i + 1 == count) {
            nodes[i] = stream_cast_node(compiler, nodes[i], type);
        }
    }
    return stream_fold(compiler, stream_new_node(compiler, eval_case, type, nodes, count));
}

