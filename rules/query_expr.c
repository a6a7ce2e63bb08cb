/*
 * Expressions to typed nodes. SQLite has no types to speak of, so all typing happens here: what may
 * be compared, what '2024-01-01' means next to a timestamp, what + does to a date. What reaches
 * SQLite is already a number, a text or a call of one of our functions.
 *
 * The operators are one table: the row that fits with the fewest conversions is taken.
 */
#include "query_node.h"

#include "base/calendar.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

struct node *
planner_fail(struct planner *planner, struct span span, const char *format, ...)
{
    struct diag_place place = diag_place_of(planner->source->name, planner->source->text,
                                            span.start, span.end - span.start);
    struct buf message = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&message, format, args);
    va_end(args);
    diag_at(planner->diags, DIAG_ERROR, &place, "%s", buf_string(&message));
    buf_fini(&message);
    return NULL;
}

/* ---- making nodes ---- */

static bool
value_equal(const struct query_value *a, const struct query_value *b)
{
    if (a->type != b->type || a->is_null != b->is_null) {
        return false;
    }
    if (a->is_null) {
        return true;
    }
    if (a->type == QUERY_VARCHAR) {
        return bytes_equal(a->text, b->text);
    }
    return a->integer == b->integer; /* doubles by their bits */
}

enum { SHARED_PARAMETERS = 1024 }; /* how many of the newest are looked at */

/* The number of a parameter with this value: equal ones share it, so that equal expressions look
   equal, here (GROUP BY) and to SQLite. */
static size_t
parameter_of(struct planner *planner, const struct query_value *value)
{
    size_t newest = planner->parameter_count;
    for (size_t i = newest; i > 0 && newest - i < SHARED_PARAMETERS; i--) {
        if (value_equal(&planner->parameters[i - 1], value)) {
            return i;
        }
    }
    size_t count = planner->parameter_count;
    if (count == 0 || (count >= 16 && (count & (count - 1)) == 0)) {
        struct query_value *larger =
                arena_new_array(planner->arena, struct query_value, count == 0 ? 16 : count * 2);
        if (count > 0) {
            memcpy(larger, planner->parameters, count * sizeof *larger);
        }
        planner->parameters = larger;
    }
    planner->parameters[planner->parameter_count++] = *value;
    return planner->parameter_count;
}

struct node *
new_literal(struct planner *planner, const struct query_value *value, struct span span)
{
    struct query_value *copy = arena_new(planner->arena, struct query_value);
    *copy = *value;
    struct node *node = arena_new(planner->arena, struct node);
    node->kind = NODE_LITERAL;
    node->type = value->type;
    node->span = span;
    node->value = copy;
    node->parameter = parameter_of(planner, value);
    return node;
}

static struct node *
new_integer(struct planner *planner, enum query_type type, int64_t integer, struct span span)
{
    struct query_value value = {.type = type, .integer = integer};
    return new_literal(planner, &value, span);
}

struct node *
new_pattern(struct planner *planner, enum query_type type, struct span span, const char *pattern,
            struct node *const *args, size_t arg_count)
{
    struct node *node = arena_new(planner->arena, struct node);
    const struct node **copy =
            arena_alloc(planner->arena, (arg_count + 1) * sizeof(struct node *));
    node->kind = NODE_PATTERN;
    node->type = type;
    node->span = span;
    node->pattern = pattern;
    node->args = copy;
    node->arg_count = arg_count;
    for (size_t i = 0; i < arg_count; i++) {
        copy[i] = args[i];
        node->has_aggregate = node->has_aggregate || args[i]->has_aggregate;
    }
    return node;
}

/* ---- types ---- */

bool
can_coerce(const struct node *node, enum query_type type)
{
    if (node->type == type || node->type == QUERY_UNKNOWN) {
        return true;
    }
    switch (type) {
    case QUERY_DOUBLE:
        return node->type == QUERY_BIGINT;
    case QUERY_TIMESTAMP:
        return node->type == QUERY_DATE || node->from_string;
    case QUERY_DATE:
        return node->from_string;
    default:
        return false;
    }
}

static struct node *
time_of_string(struct planner *planner, struct bytes text, enum query_type type, struct span span)
{
    int64_t ns = 0;
    int64_t rest = 0;
    bool read = calendar_parse(bytes_trim(text), &ns);
    int64_t day = read ? calendar_day_of(ns, &rest) : 0;
    if (!read || (type == QUERY_DATE && rest != 0)) {
        planner_fail(planner, span, "'%.*s' is no %s", BYTES_ARG(bytes_slice(text, 0, 60)),
                     type == QUERY_DATE ? "date" : "timestamp");
        diag_hint(planner->diags, type == QUERY_DATE ? "write '2024-01-31'"
                                                     : "write '2024-01-31 12:00:00.000'");
        return NULL;
    }
    return new_integer(planner, type, type == QUERY_DATE ? day : ns, span);
}

struct node *
coerce(struct planner *planner, struct node *node, enum query_type type)
{
    check(can_coerce(node, type));
    if (node->type == type || node->type == QUERY_UNKNOWN) {
        return node;
    }
    if (type == QUERY_DOUBLE && node->kind == NODE_LITERAL) {
        struct query_value value = {.type = QUERY_DOUBLE, .is_null = node->value->is_null,
                                    .real = (double)node->value->integer};
        return new_literal(planner, &value, node->span);
    }
    if (type == QUERY_DOUBLE) {
        return new_pattern(planner, type, node->span, "CAST($ AS REAL)", &node, 1);
    }
    if (node->from_string) {
        return time_of_string(planner, node->value->text, type, node->span);
    }
    struct node *args[] = {
            node, new_integer(planner, QUERY_BIGINT, CALENDAR_NS_PER_DAY, node->span)};
    return new_pattern(planner, type, node->span, "($ % $)", args, 2);
}

bool
coerce_all(struct planner *planner, struct node **nodes, size_t count, enum query_type type)
{
    for (size_t i = 0; i < count; i++) {
        nodes[i] = coerce(planner, nodes[i], type);
        if (nodes[i] == NULL) {
            return false;
        }
    }
    return true;
}

enum query_type
common_type(struct node *const *nodes, size_t count)
{
    bool any_typed = false;
    for (size_t i = 0; i < count; i++) {
        enum query_type type = nodes[i]->type;
        if (type == QUERY_UNKNOWN) {
            continue;
        }
        any_typed = true;
        bool all = true;
        for (size_t other = 0; other < count && all; other++) {
            all = can_coerce(nodes[other], type);
        }
        if (all) {
            return type;
        }
    }
    return any_typed ? QUERY_TYPES : QUERY_UNKNOWN;
}

static enum query_type
type_of_name(struct bytes name)
{
    static const struct {
        const char *name;
        enum query_type type;
    } types[] = {
            {"VARCHAR", QUERY_VARCHAR},     {"BIGINT", QUERY_BIGINT}, {"INTEGER", QUERY_BIGINT},
            {"INT", QUERY_BIGINT},          {"DOUBLE", QUERY_DOUBLE}, {"REAL", QUERY_DOUBLE},
            {"BOOLEAN", QUERY_BOOLEAN},     {"DATE", QUERY_DATE},
            {"TIMESTAMP", QUERY_TIMESTAMP},
    };
    struct bytes base = bytes_slice(name, 0, bytes_find(name, '('));
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (bytes_equal_string(base, types[i].name)) {
            return types[i].type;
        }
    }
    return QUERY_TYPES;
}

/* ---- literals ---- */

static struct node *
plan_number(struct planner *planner, const struct expr *expr, bool negative)
{
    struct query_value value = {.type = QUERY_BIGINT};
    struct buf text = {0};
    buf_printf(&text, "%s%.*s", negative ? "-" : "", BYTES_ARG(expr->text));
    if (!bytes_to_int64(buf_bytes(&text), &value.integer)) {
        value.type = QUERY_DOUBLE;
        value.real = strtod(buf_string(&text), NULL);
    }
    buf_fini(&text);
    return new_literal(planner, &value, expr->span);
}

static struct node *
plan_string(struct planner *planner, const struct expr *expr)
{
    struct query_value value = {.type = QUERY_VARCHAR, .text = expr->text};
    struct node *node = new_literal(planner, &value, expr->span);
    node->from_string = true;
    return node;
}

/* 15m, and INTERVAL '15' MINUTE, which is the same with the unit apart. */
static struct node *
plan_interval(struct planner *planner, const struct expr *expr)
{
    struct buf text = {0};
    buf_append(&text, bytes_trim(expr->text));
    buf_append(&text, expr->type);
    enum query_type type = QUERY_INTERVAL;
    int64_t count = 0;
    bool read = query_parse_interval(buf_bytes(&text), &type, &count);
    buf_fini(&text);
    if (!read) {
        planner_fail(planner, expr->span, "this is no interval");
        diag_hint(planner->diags, "write 15m or INTERVAL '15' MINUTE; units: ns us ms s m h d, and "
                                  "month y for calendar arithmetic");
        return NULL;
    }
    return new_integer(planner, type, expr->op == OP_NEGATE ? -count : count, expr->span);
}

static struct node *
plan_typed_string(struct planner *planner, const struct expr *expr)
{
    enum query_type type = type_of_name(expr->type);
    if (type != QUERY_TIMESTAMP && type != QUERY_DATE) {
        return planner_fail(planner, expr->span, "%.*s literals are not supported",
                            BYTES_ARG(expr->type));
    }
    return time_of_string(planner, expr->text, type, expr->span);
}

/* ---- operators ---- */

struct operator_row {
    enum expr_op op;
    enum query_type left, right, result;
    const char *pattern;
};

#define B QUERY_BIGINT
#define D QUERY_DOUBLE
#define T QUERY_TIMESTAMP
#define U QUERY_DATE
#define I QUERY_INTERVAL
#define M QUERY_INTERVAL_MONTHS

static const struct operator_row operator_rows[] = {
        {OP_ADD, B, B, B, "($ + $)"},
        {OP_ADD, D, D, D, "($ + $)"},
        {OP_ADD, T, I, T, "($ + $)"},
        {OP_ADD, I, T, T, "($ + $)"},
        {OP_ADD, I, I, I, "($ + $)"},
        {OP_ADD, M, M, M, "($ + $)"},
        {OP_ADD, T, M, T, "hg_add_months($, $)"},
        {OP_ADD, U, I, U, "hg_add_days($, $)"},
        {OP_ADD, U, M, U, "hg_add_date_months($, $)"},
        {OP_SUBTRACT, B, B, B, "($ - $)"},
        {OP_SUBTRACT, D, D, D, "($ - $)"},
        {OP_SUBTRACT, T, I, T, "($ - $)"},
        {OP_SUBTRACT, T, T, I, "($ - $)"},
        {OP_SUBTRACT, I, I, I, "($ - $)"},
        {OP_SUBTRACT, M, M, M, "($ - $)"},
        {OP_SUBTRACT, T, M, T, "hg_add_months($, -$)"},
        {OP_SUBTRACT, U, I, U, "hg_add_days($, -$)"},
        {OP_SUBTRACT, U, M, U, "hg_add_date_months($, -$)"},
        {OP_MULTIPLY, B, B, B, "($ % $)"},
        {OP_MULTIPLY, D, D, D, "($ % $)"},
        {OP_MULTIPLY, I, B, I, "($ % $)"},
        {OP_MULTIPLY, B, I, I, "($ % $)"},
        {OP_DIVIDE, B, B, B, "hg_divide($, $)"},
        {OP_DIVIDE, D, D, D, "hg_divide_double($, $)"},
        {OP_DIVIDE, I, B, I, "hg_divide($, $)"},
        {OP_MODULO, B, B, B, "hg_modulo($, $)"},
        {OP_MODULO, D, D, D, "hg_modulo_double($, $)"},
};

#undef B
#undef D
#undef T
#undef U
#undef I
#undef M

static const char *
operator_text(enum expr_op op)
{
    static const char *const texts[] = {
            [OP_EQUAL] = "=",      [OP_NOT_EQUAL] = "<>", [OP_LESS] = "<", [OP_LESS_EQUAL] = "<=",
            [OP_GREATER] = ">",    [OP_GREATER_EQUAL] = ">=", [OP_ADD] = "+",
            [OP_SUBTRACT] = "-",   [OP_CONCAT] = "||",    [OP_MULTIPLY] = "*",
            [OP_DIVIDE] = "/",     [OP_MODULO] = "%",     [OP_AND] = "AND", [OP_OR] = "OR",
    };
    return texts[op];
}

/* The row that fits with the fewest conversions; NULL: none. */
static const struct operator_row *
find_operator(enum expr_op op, struct node *const *args)
{
    const struct operator_row *best = NULL;
    int best_cost = 3;
    for (size_t i = 0; i < sizeof operator_rows / sizeof operator_rows[0]; i++) {
        const struct operator_row *row = &operator_rows[i];
        int cost = (args[0]->type != row->left) + (args[1]->type != row->right);
        if (row->op == op && cost < best_cost && can_coerce(args[0], row->left)
            && can_coerce(args[1], row->right)) {
            best = row;
            best_cost = cost;
        }
    }
    return best;
}

static struct node *
plan_arithmetic(struct planner *planner, const struct expr *expr, struct node **args)
{
    const struct operator_row *row = find_operator(expr->op, args);
    if (row != NULL) {
        args[0] = coerce(planner, args[0], row->left);
        args[1] = args[0] == NULL ? NULL : coerce(planner, args[1], row->right);
        return args[1] == NULL ? NULL
                               : new_pattern(planner, row->result, expr->span, row->pattern, args,
                                             2);
    }
    planner_fail(planner, expr->span, "%s %s %s has no meaning", query_type_name(args[0]->type),
                 operator_text(expr->op), query_type_name(args[1]->type));
    if (args[0]->type == QUERY_VARCHAR || args[1]->type == QUERY_VARCHAR) {
        diag_hint(planner->diags, "CAST(text AS DOUBLE) makes a number of a text; || joins texts");
    }
    return NULL;
}

/* Operands of a chain of one operator in one node: deep trees become long lists. */
static struct node *
new_chain(struct planner *planner, const struct expr *expr, enum query_type type,
          const char *pattern, struct node *const *args)
{
    const struct node *left = args[0];
    bool same = left->kind == NODE_PATTERN && left->pattern == pattern;
    size_t count = same ? left->arg_count + 1 : 2;
    struct node **all = arena_alloc(planner->arena, count * sizeof *all);
    if (same) {
        memcpy(all, left->args, left->arg_count * sizeof *all);
    } else {
        all[0] = args[0];
    }
    all[count - 1] = args[1];
    return new_pattern(planner, type, expr->span, pattern, all, count);
}

static struct node *
plan_logic(struct planner *planner, const struct expr *expr, struct node *const *args)
{
    static const char and_pattern[] = "(&)";
    static const char or_pattern[] = "(^)";
    for (size_t i = 0; i < 2; i++) {
        if (!can_coerce(args[i], QUERY_BOOLEAN)) {
            return planner_fail(planner, args[i]->span, "%s joins conditions, this is a %s",
                                operator_text(expr->op), query_type_name(args[i]->type));
        }
    }
    return new_chain(planner, expr, QUERY_BOOLEAN, expr->op == OP_AND ? and_pattern : or_pattern,
                     args);
}

static struct node *
plan_concat(struct planner *planner, const struct expr *expr, struct node *const *args)
{
    static const char concat_pattern[] = "(|)";
    for (size_t i = 0; i < 2; i++) {
        if (!can_coerce(args[i], QUERY_VARCHAR)) {
            planner_fail(planner, args[i]->span, "|| joins texts, this is a %s",
                         query_type_name(args[i]->type));
            diag_hint(planner->diags, "CAST(x AS VARCHAR) makes a text of it");
            return NULL;
        }
    }
    return new_chain(planner, expr, QUERY_VARCHAR, concat_pattern, args);
}

static bool
is_number(const struct node *node)
{
    return node->type == QUERY_BIGINT || node->type == QUERY_DOUBLE;
}

/* Makes operands comparable, in place. Numbers stay: SQLite compares them exactly. */
static bool
make_comparable(struct planner *planner, struct node **args, size_t count, struct span span)
{
    bool numbers = true;
    for (size_t i = 0; i < count; i++) {
        numbers = numbers && is_number(args[i]);
    }
    if (numbers) {
        return true;
    }
    enum query_type type = common_type(args, count);
    if (type != QUERY_TYPES) {
        return coerce_all(planner, args, count, type);
    }
    const struct node *other = args[1];
    for (size_t i = 1; i < count && other->type == args[0]->type; i++) {
        other = args[i];
    }
    planner_fail(planner, span, "%s cannot be compared with %s", query_type_name(args[0]->type),
                 query_type_name(other->type));
    if (args[0]->type == QUERY_VARCHAR || other->type == QUERY_VARCHAR) {
        enum query_type wanted = args[0]->type == QUERY_VARCHAR ? other->type : args[0]->type;
        diag_hint(planner->diags, "CAST(text AS %s) converts a text", query_type_name(wanted));
    }
    return false;
}

static struct node *
plan_comparison(struct planner *planner, const struct expr *expr, struct node **args)
{
    static const char *const patterns[] = {
            [OP_EQUAL] = "($ = $)",   [OP_NOT_EQUAL] = "($ <> $)",
            [OP_LESS] = "($ < $)",    [OP_LESS_EQUAL] = "($ <= $)",
            [OP_GREATER] = "($ > $)", [OP_GREATER_EQUAL] = "($ >= $)",
    };
    if (!make_comparable(planner, args, 2, expr->span)) {
        return NULL;
    }
    return new_pattern(planner, QUERY_BOOLEAN, expr->span, patterns[expr->op], args, 2);
}

struct node **
plan_list(struct planner *planner, const struct scope *scope, struct expr *const *items,
          size_t count)
{
    struct node **nodes = arena_new_array(planner->arena, struct node *, count + 1);
    for (size_t i = 0; i < count; i++) {
        nodes[i] = plan_expr(planner, scope, items[i]);
        if (nodes[i] == NULL) {
            return NULL;
        }
    }
    return nodes;
}

static struct node *
plan_binary(struct planner *planner, const struct scope *scope, const struct expr *expr)
{
    struct node **args = plan_list(planner, scope, expr->items, 2);
    if (args == NULL) {
        return NULL;
    }
    switch (expr->op) {
    case OP_AND:
    case OP_OR:
        return plan_logic(planner, expr, args);
    case OP_CONCAT:
        return plan_concat(planner, expr, args);
    case OP_EQUAL:
    case OP_NOT_EQUAL:
    case OP_LESS:
    case OP_LESS_EQUAL:
    case OP_GREATER:
    case OP_GREATER_EQUAL:
        return plan_comparison(planner, expr, args);
    default:
        return plan_arithmetic(planner, expr, args);
    }
}

static struct node *
plan_unary(struct planner *planner, const struct scope *scope, const struct expr *expr)
{
    if (expr->op == OP_NEGATE && expr->items[0]->kind == EXPR_NUMBER) {
        return plan_number(planner, expr->items[0], true);
    }
    struct node *arg = plan_expr(planner, scope, expr->items[0]);
    if (arg == NULL) {
        return NULL;
    }
    bool fits = expr->op == OP_NOT ? can_coerce(arg, QUERY_BOOLEAN)
                                   : is_number(arg) || arg->type == QUERY_INTERVAL
                                             || arg->type == QUERY_INTERVAL_MONTHS;
    if (!fits) {
        return planner_fail(planner, expr->span, "%s of a %s has no meaning",
                            expr->op == OP_NOT ? "NOT" : "minus", query_type_name(arg->type));
    }
    return new_pattern(planner, expr->op == OP_NOT ? QUERY_BOOLEAN : arg->type, expr->span,
                       expr->op == OP_NOT ? "(NOT $)" : "(-$)", &arg, 1);
}

/* ---- predicates ---- */

static struct node *
plan_in_query(struct planner *planner, const struct scope *scope, const struct expr *expr)
{
    struct node *args[2] = {plan_expr(planner, scope, expr->items[0])};
    const struct planned *query =
            args[0] == NULL ? NULL : plan_select(planner, scope, expr->items[1]->select);
    if (query == NULL) {
        return NULL;
    }
    if (query->item_count != 1) {
        return planner_fail(planner, expr->items[1]->span,
                            "the query behind IN has %zu columns, expected one",
                            query->item_count);
    }
    struct node column = {.type = query->columns[0].type, .span = expr->items[1]->span};
    args[1] = &column;
    bool same = args[0]->type == column.type || column.type == QUERY_UNKNOWN
                || (is_number(args[0]) && is_number(&column));
    if (!same && can_coerce(args[0], column.type)) {
        args[0] = coerce(planner, args[0], column.type);
        same = args[0] != NULL;
    } else if (!same) {
        make_comparable(planner, args, 2, expr->span);
        return NULL;
    }
    if (!same) {
        return NULL;
    }
    struct node *node = new_pattern(planner, QUERY_BOOLEAN, expr->span,
                                    expr->negated ? "($ NOT IN (@))" : "($ IN (@))", args, 1);
    node->query = query;
    return node;
}

static struct node *
plan_in(struct planner *planner, const struct scope *scope, const struct expr *expr)
{
    const struct expr *right = expr->items[1];
    if (right->kind == EXPR_SELECT) {
        return plan_in_query(planner, scope, expr);
    }
    if (right->kind != EXPR_ARRAY) {
        return planner_fail(planner, right->span, "expected a list in parentheses behind IN");
    }
    size_t count = right->item_count + 1;
    struct expr **items = arena_new_array(planner->arena, struct expr *, count);
    items[0] = expr->items[0];
    memcpy(items + 1, right->items, right->item_count * sizeof *items);
    struct node **args = plan_list(planner, scope, items, count);
    if (args == NULL || !make_comparable(planner, args, count, expr->span)) {
        return NULL;
    }
    return new_pattern(planner, QUERY_BOOLEAN, expr->span,
                       expr->negated ? "($ NOT IN (*))" : "($ IN (*))", args, count);
}

static struct node *
plan_between(struct planner *planner, const struct scope *scope, const struct expr *expr)
{
    struct node **args = plan_list(planner, scope, expr->items, 3);
    if (args == NULL || !make_comparable(planner, args, 3, expr->span)) {
        return NULL;
    }
    return new_pattern(planner, QUERY_BOOLEAN, expr->span,
                       expr->negated ? "($ NOT BETWEEN $ AND $)" : "($ BETWEEN $ AND $)", args,
                       3);
}

static struct node *
plan_like(struct planner *planner, const struct scope *scope, const struct expr *expr)
{
    static const char *const patterns[2][2] = {{"($ LIKE $)", "($ NOT LIKE $)"},
                                               {"($ LIKE $ ESCAPE $)", "($ NOT LIKE $ ESCAPE $)"}};
    struct node **args = plan_list(planner, scope, expr->items, expr->item_count);
    if (args == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < expr->item_count; i++) {
        if (!can_coerce(args[i], QUERY_VARCHAR)) {
            return planner_fail(planner, args[i]->span, "LIKE works on texts, this is a %s",
                                query_type_name(args[i]->type));
        }
    }
    return new_pattern(planner, QUERY_BOOLEAN, expr->span,
                       patterns[expr->item_count == 3][expr->negated], args, expr->item_count);
}

static struct node *
plan_is_null(struct planner *planner, const struct scope *scope, const struct expr *expr)
{
    struct node *arg = plan_expr(planner, scope, expr->items[0]);
    return arg == NULL ? NULL
                       : new_pattern(planner, QUERY_BOOLEAN, expr->span,
                                     expr->negated ? "($ IS NOT NULL)" : "($ IS NULL)", &arg, 1);
}

/* ---- CASE, CAST, subqueries ---- */

/* Coerces the results of a CASE (every second node from `first`, and ELSE) to one type. */
static enum query_type
unify_results(struct planner *planner, struct node **nodes, size_t count, struct node **otherwise,
              struct span span)
{
    size_t results = count / 2 + (*otherwise != NULL);
    struct node **all = arena_new_array(planner->arena, struct node *, results + 1);
    for (size_t i = 0; i < count / 2; i++) {
        all[i] = nodes[2 * i + 1];
    }
    if (*otherwise != NULL) {
        all[results - 1] = *otherwise;
    }
    enum query_type type = common_type(all, results);
    if (type == QUERY_TYPES) {
        planner_fail(planner, span, "the results of CASE have different types");
        return QUERY_TYPES;
    }
    if (!coerce_all(planner, all, results, type)) {
        return QUERY_TYPES;
    }
    for (size_t i = 0; i < count / 2; i++) {
        nodes[2 * i + 1] = all[i];
    }
    if (*otherwise != NULL) {
        *otherwise = all[results - 1];
    }
    return type;
}

/* CASE x WHEN v ...: each v must be comparable with x. Without x: each is a condition. */
static bool
check_whens(struct planner *planner, struct node **subject, struct node **nodes, size_t count)
{
    for (size_t i = 0; i < count; i += 2) {
        if (*subject != NULL) {
            struct node *pair[] = {*subject, nodes[i]};
            if (!make_comparable(planner, pair, 2, nodes[i]->span)) {
                return false;
            }
            *subject = pair[0];
            nodes[i] = pair[1];
        } else if (!can_coerce(nodes[i], QUERY_BOOLEAN)) {
            planner_fail(planner, nodes[i]->span, "WHEN needs a condition, this is a %s",
                         query_type_name(nodes[i]->type));
            return false;
        }
    }
    return true;
}

static struct node *
plan_case(struct planner *planner, const struct scope *scope, const struct expr *expr)
{
    size_t count = expr->item_count - 2;
    struct node *subject = NULL;
    struct node *otherwise = NULL;
    if (expr->items[0] != NULL && (subject = plan_expr(planner, scope, expr->items[0])) == NULL) {
        return NULL;
    }
    if (expr->items[1] != NULL
        && (otherwise = plan_expr(planner, scope, expr->items[1])) == NULL) {
        return NULL;
    }
    struct node **nodes = plan_list(planner, scope, expr->items + 2, count);
    if (nodes == NULL || !check_whens(planner, &subject, nodes, count)) {
        return NULL;
    }
    enum query_type type = unify_results(planner, nodes, count, &otherwise, expr->span);
    if (type == QUERY_TYPES) {
        return NULL;
    }
    struct buf pattern = {0};
    struct node **args = arena_new_array(planner->arena, struct node *, count + 2);
    size_t arg_count = 0;
    buf_append_string(&pattern, subject == NULL ? "CASE" : "CASE $");
    if (subject != NULL) {
        args[arg_count++] = subject;
    }
    for (size_t i = 0; i < count; i += 2) {
        buf_append_string(&pattern, " WHEN $ THEN $");
        args[arg_count++] = nodes[i];
        args[arg_count++] = nodes[i + 1];
    }
    if (otherwise != NULL) {
        buf_append_string(&pattern, " ELSE $");
        args[arg_count++] = otherwise;
    }
    buf_append_string(&pattern, " END");
    const char *text = arena_copy(planner->arena, buf_bytes(&pattern)).data;
    buf_fini(&pattern);
    return new_pattern(planner, type, expr->span, text, args, arg_count);
}

static struct node *
plan_cast(struct planner *planner, const struct scope *scope, const struct expr *expr)
{
    if (is_value_column(expr)) {
        return plan_name(planner, scope, expr);
    }
    enum query_type type = type_of_name(expr->type);
    if (type == QUERY_TYPES) {
        planner_fail(planner, expr->name_span, "unknown type '%.*s'", BYTES_ARG(expr->type));
        diag_hint(planner->diags, "types are VARCHAR, BIGINT, DOUBLE, BOOLEAN, TIMESTAMP and DATE");
        return NULL;
    }
    struct node *arg = plan_expr(planner, scope, expr->items[0]);
    if (arg == NULL) {
        return NULL;
    }
    bool try_cast = bytes_equal_nocase(expr->text, BYTES("TRY_CAST"));
    const char *pattern = arena_printf(planner->arena, "hg_cast($, %d, %d, %d)", (int)arg->type,
                                       (int)type, try_cast)
                                  .data;
    return new_pattern(planner, type, expr->span, pattern, &arg, 1);
}

static struct node *
plan_subquery(struct planner *planner, const struct scope *scope, const struct expr *expr)
{
    const struct planned *query = plan_select(planner, scope, expr->select);
    if (query == NULL) {
        return NULL;
    }
    if (expr->kind == EXPR_SELECT && query->item_count != 1) {
        return planner_fail(planner, expr->span, "a query used as a value has %zu columns, "
                            "expected one", query->item_count);
    }
    bool exists = expr->kind == EXPR_EXISTS;
    struct node *node = new_pattern(planner, exists ? QUERY_BOOLEAN : query->columns[0].type,
                                    expr->span, exists ? "EXISTS (@)" : "(@)", NULL, 0);
    node->query = query;
    return node;
}

struct node *
plan_expr(struct planner *planner, const struct scope *scope, const struct expr *expr)
{
    struct query_value value = {.type = QUERY_BOOLEAN};
    switch (expr->kind) {
    case EXPR_NULL:
        value = (struct query_value){.type = QUERY_UNKNOWN, .is_null = true};
        return new_literal(planner, &value, expr->span);
    case EXPR_TRUE:
    case EXPR_FALSE:
        value.integer = expr->kind == EXPR_TRUE;
        return new_literal(planner, &value, expr->span);
    case EXPR_NUMBER:
        return plan_number(planner, expr, false);
    case EXPR_STRING:
        return plan_string(planner, expr);
    case EXPR_INTERVAL:
        return plan_interval(planner, expr);
    case EXPR_TYPED_STRING:
        return plan_typed_string(planner, expr);
    case EXPR_NAME:
    case EXPR_MEMBER:
        return plan_name(planner, scope, expr);
    case EXPR_UNARY:
        return plan_unary(planner, scope, expr);
    case EXPR_BINARY:
        return plan_binary(planner, scope, expr);
    case EXPR_IN:
        return plan_in(planner, scope, expr);
    case EXPR_BETWEEN:
        return plan_between(planner, scope, expr);
    case EXPR_LIKE:
        return plan_like(planner, scope, expr);
    case EXPR_IS_NULL:
        return plan_is_null(planner, scope, expr);
    case EXPR_CASE:
        return plan_case(planner, scope, expr);
    case EXPR_CAST:
        return plan_cast(planner, scope, expr);
    case EXPR_CALL:
        return plan_call(planner, scope, expr);
    case EXPR_SELECT:
    case EXPR_EXISTS:
        return plan_subquery(planner, scope, expr);
    case EXPR_STAR:
        return planner_fail(planner, expr->span, "'*' stands alone in SELECT, or in count(*)");
    case EXPR_VARIABLE:
    case EXPR_INDEX:
    case EXPR_ARRAY:
    case EXPR_OBJECT:
        break;
    }
    return planner_fail(planner, expr->span, "this has no meaning in a query of this version");
}

struct node *
plan_condition(struct planner *planner, const struct scope *scope, const struct expr *expr,
               const char *clause)
{
    struct node *node = plan_expr(planner, scope, expr);
    if (node != NULL && !can_coerce(node, QUERY_BOOLEAN)) {
        return planner_fail(planner, node->span, "%s needs a condition, this is a %s", clause,
                            query_type_name(node->type));
    }
    return node;
}
