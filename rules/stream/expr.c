/*
 * Compiling expressions: errors, nodes, names, CAST, and which file compiles what else.
 *
 * Types follow Flink's rules: the operands of an operator are brought to one type first (INT and
 * BIGINT to BIGINT, a whole number and DOUBLE to DOUBLE), whole numbers divide toward zero. A
 * number with a point is a DOUBLE here, not a DECIMAL: JSON has no other.
 */
#include "node.h"

#include <stdarg.h>

/* ---- errors ---- */

const void *
stream_fail(struct stream_compiler *compiler, struct span span, const char *format, ...)
{
    struct diag_place place = line_index_place(&compiler->lines, span);
    struct buf message = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&message, format, args);
    va_end(args);
    diag_at(compiler->diags, DIAG_ERROR, &place, "%s", buf_string(&message));
    buf_fini(&message);
    return NULL;
}

void
stream_hint(struct stream_compiler *compiler, const char *format, ...)
{
    struct buf text = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    diag_hint(compiler->diags, "%s", buf_string(&text));
    buf_fini(&text);
}

/* ---- making nodes ---- */

struct stream_node *
stream_new_node(struct stream_compiler *compiler, stream_eval_fn *eval, struct stream_type type,
         const struct stream_node *const *args, size_t count)
{
    struct stream_node *node = arena_new(compiler->arena, struct stream_node);
    const struct stream_node **kept = arena_new_array(compiler->arena,
                                                      const struct stream_node *, count);
    bool constant = count > 0;
    for (size_t i = 0; i < count; i++) {
        kept[i] = args[i];
        constant = constant && args[i] != NULL && args[i]->is_constant;
    }
    *node = (struct stream_node){
            .eval = eval, .type = type, .args = kept, .arg_count = (uint32_t)count};
    node->is_constant = constant;
    return node;
}

static void
eval_constant(const struct stream_node *node, struct stream_context *context,
              struct stream_value *out)
{
    *out = node->constant;
}

static void
eval_column(const struct stream_node *node, struct stream_context *context,
            struct stream_value *out)
{
    *out = context->row[node->column];
}

const struct stream_node *
stream_constant_node(struct stream_compiler *compiler, struct stream_type type,
                     struct stream_value value)
{
    struct stream_node *node = stream_new_node(compiler, eval_constant, type, NULL, 0);
    node->constant = value;
    node->is_constant = true;
    return node;
}

const struct stream_node *
stream_column_node(struct stream_compiler *compiler, const struct stream_schema *schema,
                   size_t column)
{
    struct stream_node *node = stream_new_node(compiler, eval_column,
                                               schema->columns[column].type, NULL, 0);
    node->column = (uint32_t)column;
    node->attribute = schema->columns[column].attribute;
    node->bound = schema->columns[column].bound;
    node->window_time = schema->columns[column].window_time;
    node->is_window_local = schema->columns[column].is_window_local;
    node->nested = schema->columns[column].nested;
    return node;
}

const struct stream_node *
stream_fold(struct stream_compiler *compiler, struct stream_node *node)
{
    if (!node->is_constant) {
        return node;
    }
    struct stream_context context = {.arena = compiler->arena, .zone = compiler->zone};
    struct stream_value value;
    stream_eval(node, &context, &value);
    if (context.failure != NULL) {
        node->is_constant = false;
        return node;
    }
    return stream_constant_node(compiler, node->type, value);
}

/* ---- names ---- */

static bool
name_is(struct bytes name, struct bytes wanted, bool loose)
{
    return loose ? bytes_equal_nocase(name, wanted) : bytes_equal(name, wanted);
}

/* Exactly first, then without case when that is unique. */
size_t
stream_find_column(const struct stream_schema *schema, const struct expr *expr,
                   bool *is_ambiguous)
{
    bool member = expr->kind == EXPR_MEMBER && expr->items[0]->kind == EXPR_NAME;
    *is_ambiguous = false;
    if (expr->kind != EXPR_NAME && !member) {
        return SIZE_MAX;
    }
    for (int loose = 0; loose < 2; loose++) {
        size_t found = SIZE_MAX;
        for (size_t i = 0; i < schema->count; i++) {
            const struct stream_column *column = &schema->columns[i];
            if (!name_is(column->name, expr->text, loose) ||
                (member && !name_is(column->relation, expr->items[0]->text, true))) {
                continue;
            }
            *is_ambiguous = found != SIZE_MAX;
            found = i;
        }
        if (found != SIZE_MAX) {
            return found;
        }
    }
    return SIZE_MAX;
}

static const char *
column_name_at(const void *context, size_t i)
{
    return ((const char *const *)context)[i];
}

static const void *
unknown_column(struct stream_compiler *compiler, const struct stream_schema *schema,
               const struct expr *expr)
{
    const char **known = arena_new_array(compiler->arena, const char *, schema->count);
    for (size_t i = 0; i < schema->count; i++) {
        known[i] = arena_printf(compiler->arena, "%.*s", BYTES_ARG(schema->columns[i].name)).data;
    }
    stream_fail(compiler, expr->span, "unknown column '%.*s'", BYTES_ARG(expr->text));
    const char *near = diag_nearest(expr->text, schema->count, column_name_at, known);
    if (near != NULL) {
        stream_hint(compiler, "did you mean '%s'?", near);
    }
    return NULL;
}

/* r.x of a ROW, a[1] of an ARRAY (from 1), m['k'] of a MAP: `extra` is the name, or NULL. */
static void
eval_nested(const struct stream_node *node, struct stream_context *context,
            struct stream_value *out)
{
    struct stream_value value, index = {0};
    struct json json;
    struct json_error error;
    const struct bytes *name = node->extra;
    stream_eval(node->args[0], context, &value);
    if (node->arg_count == 2) {
        stream_eval(node->args[1], context, &index);
    }
    *out = stream_null();
    if (value.is_null || index.is_null ||
        !json_parse(&json, value.text, JSON_DEPTH_MAX_DEFAULT, context->arena, &error)) {
        return;
    }
    uint32_t found = 0;
    if (json.nodes[0].kind == JSON_OBJECT) {
        found = json_member(&json, 0, name != NULL ? *name : index.text);
    } else if (json.nodes[0].kind == JSON_ARRAY && name == NULL && index.integer > 0 &&
               index.integer <= json.nodes[0].count) {
        found = json_element(&json, 0, (uint32_t)index.integer - 1);
    }
    if (found != 0 && !stream_value_read(out, node->type, &json, found, context->arena)) {
        context->failure = "a value inside of a row or array has another type";
        *out = stream_null();
    }
}

static const struct stream_node *
nested_node(struct stream_compiler *compiler, const struct stream_node *base,
            const struct stream_node *index, struct bytes name, struct bytes type)
{
    const struct stream_node *args[] = {base, index};
    struct stream_type parsed;
    if (type.size == 0 || !stream_type_parse(type, &parsed)) {
        parsed = stream_type_of(STREAM_JSON);
    }
    struct stream_node *node = stream_new_node(compiler, eval_nested, parsed, args,
                                               index == NULL ? 1 : 2);
    node->nested = arena_copy(compiler->arena, type);
    if (index == NULL) {
        struct bytes *kept = arena_new(compiler->arena, struct bytes);
        *kept = arena_copy(compiler->arena, name);
        node->extra = kept;
    }
    return node;
}

/* a[1], m['key'] */
static const struct stream_node *
compile_index(struct stream_compiler *compiler, const struct stream_scope *scope,
              const struct expr *expr)
{
    const struct stream_node *base = stream_compile(compiler, scope, expr->items[0]);
    const struct stream_node *index = base == NULL ? NULL
                                                   : stream_compile(compiler, scope,
                                                                    expr->items[1]);
    if (index == NULL) {
        return NULL;
    }
    bool map = bytes_equal_nocase(bytes_slice(base->nested, 0, 3), BYTES("MAP"));
    index = stream_cast_node(compiler, index,
                             stream_type_of(map ? STREAM_STRING : STREAM_INTEGER));
    if (base->type.kind != STREAM_JSON || index == NULL) {
        return stream_fail(compiler, expr->span,
                           "[...] takes an element of an ARRAY (from 1) or a MAP");
    }
    return nested_node(compiler, base, index, BYTES(""), stream_type_of_element(base->nested));
}

static const struct stream_node *
compile_name(struct stream_compiler *compiler, const struct stream_scope *scope,
             const struct expr *expr)
{
    bool is_ambiguous;
    size_t column = stream_find_column(scope->schema, expr, &is_ambiguous);
    if (is_ambiguous) {
        stream_fail(compiler, expr->span, "'%.*s' could be a column of more than one table",
                    BYTES_ARG(expr->text));
        stream_hint(compiler, "say which one: table.%.*s", BYTES_ARG(expr->text));
        return NULL;
    }
    if (column != SIZE_MAX) {
        return stream_column_node(compiler, scope->schema, column);
    }
    if (expr->kind == EXPR_MEMBER) {
        const struct stream_node *base = stream_compile(compiler, scope, expr->items[0]);
        if (base == NULL) {
            return NULL;
        }
        if (base->type.kind != STREAM_JSON) {
            return unknown_column(compiler, scope->schema, expr);
        }
        return nested_node(compiler, base, NULL, expr->text,
                           stream_type_of_field(base->nested, expr->text));
    }
    return unknown_column(compiler, scope->schema, expr);
}

static bool
same_items(const struct stream_schema *schema, const struct expr *a, const struct expr *b)
{
    for (size_t i = 0; i < a->item_count; i++) {
        bool both = a->items[i] != NULL && b->items[i] != NULL;
        if (both ? !stream_same(schema, a->items[i], b->items[i])
                 : a->items[i] != b->items[i]) {
            return false;
        }
    }
    return true;
}

bool
stream_same(const struct stream_schema *schema, const struct expr *a, const struct expr *b)
{
    bool ambiguous;
    size_t x = stream_find_column(schema, a, &ambiguous);
    size_t y = stream_find_column(schema, b, &ambiguous);
    if (x != SIZE_MAX || y != SIZE_MAX) {
        return x == y;
    }
    bool call = a->kind == EXPR_CALL;
    return a->kind == b->kind && a->op == b->op && a->negated == b->negated &&
           a->distinct == b->distinct && a->item_count == b->item_count &&
           bytes_equal(a->type, b->type) && a->select == NULL && b->select == NULL &&
           (call ? bytes_equal_nocase(a->text, b->text) : bytes_equal(a->text, b->text)) &&
           a->filter == b->filter && a->over == b->over && same_items(schema, a, b);
}

/* ---- CAST ---- */

static void
eval_cast(const struct stream_node *node, struct stream_context *context, struct stream_value *out)
{
    struct stream_value value;
    stream_eval(node->args[0], context, &value);
    if (!stream_cast(out, node->type, &value, node->args[0]->type, context->zone,
                     context->arena)) {
        *out = stream_null();
        if (node->op == OP_NONE) { /* not TRY_CAST */
            context->failure = "a value cannot be cast";
        }
    }
}

static bool
can_cast(struct stream_type from, struct stream_type to)
{
    bool times = stream_is_time(from) || from.kind == STREAM_DATE || from.kind == STREAM_STRING;
    switch ((enum stream_kind)to.kind) {
    case STREAM_STRING:
        return true;
    case STREAM_TIMESTAMP:
    case STREAM_TIMESTAMP_LTZ:
    case STREAM_DATE:
        return times;
    case STREAM_BOOLEAN:
        return from.kind == STREAM_BOOLEAN || from.kind == STREAM_INTEGER ||
               from.kind == STREAM_STRING;
    case STREAM_INTEGER:
    case STREAM_DOUBLE:
    case STREAM_DECIMAL:
        return stream_is_number(from) || from.kind == STREAM_STRING || from.kind == STREAM_BOOLEAN;
    default:
        return from.kind == to.kind;
    }
}

static bool
same_type(struct stream_type a, struct stream_type b)
{
    return a.kind == b.kind && a.width == b.width &&
           (a.kind != STREAM_DECIMAL || a.scale == b.scale);
}

const struct stream_node *
stream_cast_node(struct stream_compiler *compiler, const struct stream_node *node,
                 struct stream_type to)
{
    bool widening = node->type.kind == STREAM_INTEGER && to.kind == STREAM_INTEGER &&
                    to.width >= node->type.width;
    if (same_type(node->type, to) || widening) {
        if (widening && to.width > node->type.width) {
            struct stream_node *wider = arena_new(compiler->arena, struct stream_node);
            *wider = *node;
            wider->type = to;
            return wider;
        }
        return node;
    }
    if (node->type.kind == STREAM_NULLS) {
        return stream_constant_node(compiler, to, stream_null());
    }
    if (!can_cast(node->type, to)) {
        return NULL;
    }
    return stream_fold(compiler, stream_new_node(compiler, eval_cast, to, &node, 1));
}

static const struct stream_node *
compile_cast(struct stream_compiler *compiler, const struct stream_scope *scope,
             const struct expr *expr)
{
    const struct stream_node *inner = stream_compile(compiler, scope, expr->items[0]);
    struct stream_type to;
    if (inner == NULL) {
        return NULL;
    }
    if (!stream_type_parse(expr->type, &to)) {
        return stream_fail(compiler, expr->name_span, "unknown type '%.*s'",
                           BYTES_ARG(expr->type));
    }
    const struct stream_node *node = stream_cast_node(compiler, inner, to);
    if (node == NULL) {
        struct buf from = {0};
        stream_type_print(inner->type, &from);
        stream_fail(compiler, expr->span, "%s cannot be cast to %.*s", buf_string(&from),
                    BYTES_ARG(expr->type));
        buf_fini(&from);
        return NULL;
    }
    if (bytes_equal_nocase(expr->text, BYTES("TRY_CAST")) && node->eval == eval_cast) {
        struct stream_node *trying = arena_new(compiler->arena, struct stream_node);
        *trying = *node;
        trying->op = OP_NOT;
        return trying;
    }
    return node;
}

bool
stream_common_type(struct stream_type a, struct stream_type b, struct stream_type *out)
{
    if (a.kind == STREAM_NULLS || same_type(a, b)) {
        *out = b;
        return true;
    }
    if (b.kind == STREAM_NULLS) {
        *out = a;
        return true;
    }
    if (stream_is_number(a) && stream_is_number(b)) {
        *out = a.kind > b.kind ? a : b;
        if (a.kind == STREAM_INTEGER && b.kind == STREAM_INTEGER) {
            out->width = a.width > b.width ? a.width : b.width;
        } else if (a.kind == STREAM_DOUBLE || b.kind == STREAM_DOUBLE) {
            *out = stream_type_of(STREAM_DOUBLE);
        } else {
            out->precision = 38;
            out->scale = a.kind == STREAM_DECIMAL && a.scale > out->scale ? a.scale : out->scale;
        }
        return true;
    }
    if ((stream_is_time(a) || a.kind == STREAM_DATE) &&
        (stream_is_time(b) || b.kind == STREAM_DATE)) {
        bool local = a.kind == STREAM_TIMESTAMP_LTZ || b.kind == STREAM_TIMESTAMP_LTZ;
        *out = stream_type_of(local ? STREAM_TIMESTAMP_LTZ : STREAM_TIMESTAMP);
        return true;
    }
    if (a.kind == STREAM_STRING || b.kind == STREAM_STRING) {
        *out = a.kind == STREAM_STRING ? b : a; /* a text is read as what it is compared with */
        return out->kind != STREAM_JSON && out->kind != STREAM_INTERVAL &&
               out->kind != STREAM_MONTHS;
    }
    return a.kind == b.kind;
}

bool
stream_unify(struct stream_compiler *compiler, const struct stream_node *nodes[2])
{
    struct stream_type type;
    if (!stream_common_type(nodes[0]->type, nodes[1]->type, &type)) {
        return false;
    }
    nodes[0] = stream_cast_node(compiler, nodes[0], type);
    nodes[1] = stream_cast_node(compiler, nodes[1], type);
    return nodes[0] != NULL && nodes[1] != NULL;
}

const void *
stream_refuse_operands(struct stream_compiler *compiler, const struct expr *expr,
                const struct stream_node *const nodes[2])
{
    struct buf a = {0}, b = {0};
    stream_type_print(nodes[0]->type, &a);
    stream_type_print(nodes[1]->type, &b);
    stream_fail(compiler, expr->span, "%s and %s do not go together here", buf_string(&a),
                buf_string(&b));
    stream_hint(compiler, "CAST(x AS ...) makes one type the other");
    buf_fini(&a);
    buf_fini(&b);
    return NULL;
}

/* ---- all kinds ---- */

const struct stream_node *
stream_compile(struct stream_compiler *compiler, const struct stream_scope *scope,
               const struct expr *expr)
{
    const struct stream_node *node;
    if (scope->special != NULL && scope->special(scope->context, compiler, expr, &node)) {
        return node;
    }
    const struct stream_type boolean = stream_type_of(STREAM_BOOLEAN);
    switch (expr->kind) {
    case EXPR_NULL:
        return stream_constant_node(compiler, stream_type_of(STREAM_NULLS), stream_null());
    case EXPR_TRUE:
    case EXPR_FALSE:
        return stream_constant_node(compiler, boolean, stream_integer(expr->kind == EXPR_TRUE));
    case EXPR_NUMBER:
        return stream_compile_number(compiler, expr);
    case EXPR_STRING:
        return stream_constant_node(
                compiler, stream_type_of(STREAM_STRING),
                (struct stream_value){.text = arena_copy(compiler->arena, expr->text)});
    case EXPR_INTERVAL:
        return stream_compile_interval(compiler, expr);
    case EXPR_TYPED_STRING:
        return stream_compile_typed_string(compiler, expr);
    case EXPR_NAME:
    case EXPR_MEMBER:
        return compile_name(compiler, scope, expr);
    case EXPR_INDEX:
        return compile_index(compiler, scope, expr);
    case EXPR_UNARY:
        return stream_compile_unary(compiler, scope, expr);
    case EXPR_BINARY:
        return stream_compile_binary(compiler, scope, expr);
    case EXPR_IN:
        return stream_compile_in(compiler, scope, expr);
    case EXPR_BETWEEN:
        return stream_compile_between(compiler, scope, expr);
    case EXPR_LIKE:
        return stream_compile_like(compiler, scope, expr);
    case EXPR_IS_NULL:
        return stream_compile_is_null(compiler, scope, expr);
    case EXPR_CASE:
        return stream_compile_case(compiler, scope, expr);
    case EXPR_CAST:
        return compile_cast(compiler, scope, expr);
    case EXPR_CALL:
        return stream_compile_call(compiler, scope, expr);
    default:
        return stream_fail(compiler, expr->span, "stream SQL has no such expression here");
    }
}

const struct stream_node *
stream_compile_condition(struct stream_compiler *compiler, const struct stream_scope *scope,
                         const struct expr *expr, const char *clause)
{
    const struct stream_node *node = stream_compile(compiler, scope, expr);
    if (node != NULL && node->type.kind != STREAM_BOOLEAN && node->type.kind != STREAM_NULLS) {
        return stream_fail(compiler, expr->span, "%s needs a condition", clause);
    }
    return node;
}

bool
stream_passes(const struct stream_node *condition, struct stream_context *context)
{
    struct stream_value value;
    stream_eval(condition, context, &value);
    return !value.is_null && value.integer != 0;
}
