/* Operators: arithmetic on numbers and times, comparisons, AND, OR, NOT, ||. */
#include "node.h"

#include "base/calendar.h"

#include <math.h>

static void
eval_compare(const struct stream_node *node, struct stream_context *context,
             struct stream_value *out)
{
    struct stream_value a, b;
    stream_eval(node->args[0], context, &a);
    stream_eval(node->args[1], context, &b);
    if (a.is_null || b.is_null) {
        *out = stream_null();
        return;
    }
    int order = stream_compare(node->args[0]->type, &a, &b);
    bool result = false;
    switch ((enum expr_op)node->op) {
    case OP_EQUAL:
        result = order == 0;
        break;
    case OP_NOT_EQUAL:
        result = order != 0;
        break;
    case OP_LESS:
        result = order < 0;
        break;
    case OP_LESS_EQUAL:
        result = order <= 0;
        break;
    case OP_GREATER:
        result = order > 0;
        break;
    default:
        result = order >= 0;
    }
    *out = stream_integer(result);
}

static void
eval_logic(const struct stream_node *node, struct stream_context *context,
           struct stream_value *out)
{
    struct stream_value a, b;
    int64_t decisive = node->op == OP_OR;
    stream_eval(node->args[0], context, &a);
    if (!a.is_null && a.integer == decisive) {
        *out = a;
        return;
    }
    stream_eval(node->args[1], context, &b);
    bool decided = !b.is_null && b.integer == decisive;
    *out = decided || !a.is_null ? b : stream_null();
}

static void
eval_not(const struct stream_node *node, struct stream_context *context, struct stream_value *out)
{
    stream_eval(node->args[0], context, out);
    out->integer = !out->is_null && out->integer == 0;
}

static bool
integer_arithmetic(enum expr_op op, int64_t a, int64_t b, int64_t *out)
{
    switch (op) {
    case OP_ADD:
        return !__builtin_add_overflow(a, b, out);
    case OP_SUBTRACT:
        return !__builtin_sub_overflow(a, b, out);
    case OP_MULTIPLY:
        return !__builtin_mul_overflow(a, b, out);
    default:
        if (b == 0 || (a == INT64_MIN && b == -1)) {
            return false;
        }
        *out = op == OP_DIVIDE ? a / b : a % b;
        return true;
    }
}

static double
real_arithmetic(enum expr_op op, double a, double b)
{
    switch (op) {
    case OP_ADD:
        return a + b;
    case OP_SUBTRACT:
        return a - b;
    case OP_MULTIPLY:
        return a * b;
    case OP_DIVIDE:
        return a / b;
    default:
        return fmod(a, b);
    }
}

static bool
decimal_arithmetic(enum expr_op op, const struct decimal *a, const struct decimal *b,
                   struct decimal *out, struct arena *arena)
{
    switch (op) {
    case OP_ADD:
        return decimal_add(out, a, b, arena);
    case OP_SUBTRACT:
        return decimal_subtract(out, a, b, arena);
    case OP_MULTIPLY:
        return decimal_multiply(out, a, b, arena);
    case OP_DIVIDE:
        return decimal_divide(out, a, b, arena);
    default:
        return decimal_modulo(out, a, b, arena);
    }
}

static void
eval_arithmetic(const struct stream_node *node, struct stream_context *context,
                struct stream_value *out)
{
    struct stream_value a, b;
    stream_eval(node->args[0], context, &a);
    stream_eval(node->args[1], context, &b);
    *out = stream_null();
    if (a.is_null || b.is_null) {
        return;
    }
    bool done = true;
    if (node->type.kind == STREAM_DOUBLE) {
        /* JSON has no infinity: what is none becomes NULL. */
        double real = real_arithmetic(node->op, a.real, b.real);
        *out = isfinite(real) ? (struct stream_value){.real = real} : stream_null();
    } else if (node->type.kind == STREAM_DECIMAL) {
        done = decimal_arithmetic(node->op, &a.decimal, &b.decimal, &out->decimal, context->arena);
        out->is_null = !done;
    } else {
        done = integer_arithmetic(node->op, a.integer, b.integer, &out->integer) &&
               stream_fits(node->type, out->integer);
        out->is_null = !done;
    }
    if (!done) {
        bool division = node->op == OP_DIVIDE || node->op == OP_MODULO;
        context->failure = division ? "division by zero" : "a number is out of range";
    }
}

static void
eval_add_months(const struct stream_node *node, struct stream_context *context,
                struct stream_value *out)
{
    struct stream_value time, months;
    stream_eval(node->args[0], context, &time);
    stream_eval(node->args[1], context, &months);
    *out = stream_null();
    if (time.is_null || months.is_null) {
        return;
    }
    bool date = node->type.kind == STREAM_DATE;
    int64_t day = date ? time.integer : stream_floor_divide(time.integer, 86400000);
    int64_t rest = date ? 0 : time.integer - day * 86400000;
    struct calendar_date old = calendar_date_of(day);
    int64_t month = old.year * 12 + old.month - 1 +
                    (node->op == OP_SUBTRACT ? -months.integer : months.integer);
    struct calendar_date new = {.year = stream_floor_divide(month, 12)};
    new.month = (unsigned)(month - new.year * 12) + 1;
    unsigned length = calendar_month_length(new.year, new.month);
    new.day = old.day > length ? length : old.day;
    *out = stream_integer(date ? calendar_days(new) : calendar_days(new) * 86400000 + rest);
}

static void
eval_negate(const struct stream_node *node, struct stream_context *context,
            struct stream_value *out)
{
    stream_eval(node->args[0], context, out);
    if (out->is_null) {
        return;
    }
    if (node->type.kind == STREAM_DOUBLE) {
        out->real = -out->real;
    } else if (node->type.kind == STREAM_DECIMAL) {
        out->decimal = decimal_negate(&out->decimal, context->arena);
    } else if (__builtin_sub_overflow((int64_t)0, out->integer, &out->integer)) {
        context->failure = "a number is out of range";
    }
}

static void
eval_concat(const struct stream_node *node, struct stream_context *context,
            struct stream_value *out)
{
    struct stream_value a, b;
    stream_eval(node->args[0], context, &a);
    stream_eval(node->args[1], context, &b);
    *out = stream_null();
    if (!a.is_null && !b.is_null) {
        struct buf text = {.arena = context->arena};
        buf_append(&text, a.text);
        buf_append(&text, b.text);
        *out = (struct stream_value){.text = buf_bytes(&text)};
    }
}

/* time + interval, interval + time, time - interval, time - time, interval +- interval. */
static const struct stream_node *
compile_time_arithmetic(struct stream_compiler *compiler, const struct expr *expr,
                        const struct stream_node *nodes[2])
{
    bool swapped = expr->op == OP_ADD && (nodes[0]->type.kind == STREAM_INTERVAL ||
                                          nodes[0]->type.kind == STREAM_MONTHS) &&
                   nodes[1]->type.kind != nodes[0]->type.kind;
    if (swapped) {
        const struct stream_node *first = nodes[0];
        nodes[0] = nodes[1];
        nodes[1] = first;
    }
    struct stream_type a = nodes[0]->type, b = nodes[1]->type;
    struct stream_node *node = NULL;
    bool time = stream_is_time(a) || a.kind == STREAM_DATE;
    if (time && b.kind == STREAM_MONTHS) {
        node = stream_new_node(compiler, eval_add_months, a, nodes, 2);
    } else if (a.kind == STREAM_DATE && b.kind == STREAM_INTERVAL) {
        nodes[0] = stream_cast_node(compiler, nodes[0], stream_type_of(STREAM_TIMESTAMP));
        node = stream_new_node(compiler, eval_arithmetic, nodes[0]->type, nodes, 2);
    } else if (time && b.kind == STREAM_INTERVAL) {
        node = stream_new_node(compiler, eval_arithmetic, a, nodes, 2);
    } else if (a.kind == b.kind && (a.kind == STREAM_INTERVAL || a.kind == STREAM_MONTHS)) {
        node = stream_new_node(compiler, eval_arithmetic, a, nodes, 2);
    } else if (time && expr->op == OP_SUBTRACT && stream_unify(compiler, nodes)) {
        node = stream_new_node(compiler, eval_arithmetic, stream_type_of(STREAM_INTERVAL), nodes,
                               2);
    } else if (a.kind == STREAM_INTERVAL && b.kind == STREAM_INTEGER && expr->op >= OP_MULTIPLY) {
        node = stream_new_node(compiler, eval_arithmetic, a, nodes, 2);
    }
    if (node == NULL || (time && expr->op >= OP_MULTIPLY)) {
        return stream_refuse_operands(compiler, expr, nodes);
    }
    node->type.width = 64;
    node->op = (uint8_t)expr->op;
    return stream_fold(compiler, node);
}

static const struct stream_node *
compile_arithmetic(struct stream_compiler *compiler, const struct expr *expr,
                   const struct stream_node *nodes[2])
{
    for (int i = 0; i < 2; i++) {
        if (nodes[i]->type.kind == STREAM_INTERVAL || nodes[i]->type.kind == STREAM_MONTHS ||
            stream_is_time(nodes[i]->type) || nodes[i]->type.kind == STREAM_DATE) {
            return compile_time_arithmetic(compiler, expr, nodes);
        }
    }
    for (int i = 0; i < 2; i++) {
        if (!stream_is_number(nodes[i]->type) && nodes[i]->type.kind != STREAM_NULLS) {
            return stream_refuse_operands(compiler, expr, nodes);
        }
    }
    if (nodes[0]->type.kind == STREAM_NULLS && nodes[1]->type.kind == STREAM_NULLS) {
        return nodes[0];
    }
    if (!stream_unify(compiler, nodes)) {
        return stream_refuse_operands(compiler, expr, nodes);
    }
    struct stream_type type = nodes[0]->type;
    if (type.kind == STREAM_INTEGER) {
        type.width = 64; /* INT + INT may outgrow INT: 64 bits, checked */
    }
    struct stream_node *node = stream_new_node(compiler, eval_arithmetic, type, nodes, 2);
    node->op = (uint8_t)expr->op;
    return stream_fold(compiler, node);
}

const struct stream_node *
stream_compile_binary(struct stream_compiler *compiler, const struct stream_scope *scope,
               const struct expr *expr)
{
    const struct stream_node *nodes[2] = {stream_compile(compiler, scope, expr->items[0]), NULL};
    nodes[1] = nodes[0] == NULL ? NULL : stream_compile(compiler, scope, expr->items[1]);
    if (nodes[1] == NULL) {
        return NULL;
    }
    const struct stream_type boolean = stream_type_of(STREAM_BOOLEAN);
    struct stream_node *node;
    switch (expr->op) {
    case OP_AND:
    case OP_OR:
        nodes[0] = stream_cast_node(compiler, nodes[0], boolean);
        nodes[1] = stream_cast_node(compiler, nodes[1], boolean);
        if (nodes[0] == NULL || nodes[1] == NULL) {
            return stream_fail(compiler, expr->span, "AND and OR join conditions");
        }
        node = stream_new_node(compiler, eval_logic, boolean, nodes, 2);
        break;
    case OP_CONCAT:
        nodes[0] = stream_cast_node(compiler, nodes[0], stream_type_of(STREAM_STRING));
        nodes[1] = stream_cast_node(compiler, nodes[1], stream_type_of(STREAM_STRING));
        node = stream_new_node(compiler, eval_concat, stream_type_of(STREAM_STRING), nodes, 2);
        break;
    case OP_ADD:
    case OP_SUBTRACT:
    case OP_MULTIPLY:
    case OP_DIVIDE:
    case OP_MODULO:
        return compile_arithmetic(compiler, expr, nodes);
    default:
        if (!stream_unify(compiler, nodes)) {
            return stream_refuse_operands(compiler, expr, nodes);
        }
        node = stream_new_node(compiler, eval_compare, boolean, nodes, 2);
    }
    node->op = (uint8_t)expr->op;
    return stream_fold(compiler, node);
}

const struct stream_node *
stream_compile_unary(struct stream_compiler *compiler, const struct stream_scope *scope,
              const struct expr *expr)
{
    const struct stream_node *inner = stream_compile(compiler, scope, expr->items[0]);
    if (inner == NULL) {
        return NULL;
    }
    if (expr->op == OP_NOT) {
        inner = stream_cast_node(compiler, inner, stream_type_of(STREAM_BOOLEAN));
        return inner == NULL
                       ? stream_fail(compiler, expr->span, "NOT needs a condition")
                       : stream_fold(compiler, stream_new_node(compiler, eval_not,
                                                 stream_type_of(STREAM_BOOLEAN), &inner, 1));
    }
    if (!stream_is_number(inner->type) && inner->type.kind != STREAM_INTERVAL) {
        return stream_fail(compiler, expr->span, "'-' needs a number");
    }
    return stream_fold(compiler, stream_new_node(compiler, eval_negate, inner->type, &inner, 1));
}

