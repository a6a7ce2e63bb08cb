/*
 * Calls of functions: the table of query_functions.def, and the choice among the forms of a name.
 */
#include "query_node.h"

/* Patterns of hg_cast hold these numbers. */
_Static_assert(QUERY_VARCHAR == 4 && QUERY_TIMESTAMP == 5 && QUERY_DATE == 6, "see the .def");

enum function_kind { SCALAR, AGGREGATE };

struct function {
    const char *name;
    enum function_kind kind;
    const char *arguments; /* a letter each */
    char result;
    const char *pattern;
    const char *doc;
};

static const struct function functions[] = {
#define QUERY_FUNCTION(name, kind, arguments, result, pattern, doc) \
    {#name, kind, arguments, result, pattern, doc},
#include "query_functions.def"
#undef QUERY_FUNCTION
};

enum { FUNCTIONS = sizeof functions / sizeof functions[0] };

static enum query_type
type_of_letter(char letter)
{
    switch (letter) {
    case 'b':
        return QUERY_BIGINT;
    case 'd':
        return QUERY_DOUBLE;
    case 's':
        return QUERY_VARCHAR;
    case 'z':
        return QUERY_BOOLEAN;
    case 't':
        return QUERY_TIMESTAMP;
    case 'u':
        return QUERY_DATE;
    case 'i':
        return QUERY_INTERVAL;
    case 'm':
        return QUERY_INTERVAL_MONTHS;
    default:
        return QUERY_TYPES;
    }
}

/* The letter of argument `i` of `count`; 0 when the form takes another number. */
static char
letter_of(const struct function *function, size_t i, size_t count)
{
    size_t size = strlen(function->arguments);
    bool repeats = size > 0 && function->arguments[size - 1] == '+';
    size_t least = repeats ? size - 1 : size;
    if (count < least || (count > least && !repeats)) {
        return '\0';
    }
    return function->arguments[i < least ? i : least - 1];
}

enum { NO_FIT = 1000 };

/* How many arguments must be converted for a form; NO_FIT when it does not fit. */
static unsigned
cost_of(const struct function *function, struct node *const *args, size_t count,
        struct node **same)
{
    unsigned cost = 0;
    size_t same_count = 0;
    if (count == 0) {
        return function->arguments[0] == '\0' ? 0 : NO_FIT;
    }
    for (size_t i = 0; i < count; i++) {
        char letter = letter_of(function, i, count);
        if (letter == '\0') {
            return NO_FIT;
        }
        if (letter == 'a') {
            same[same_count++] = args[i];
        } else if (letter != 'x') {
            enum query_type type = type_of_letter(letter);
            if (!can_coerce(args[i], type)) {
                return NO_FIT;
            }
            cost += args[i]->type != type;
        }
    }
    return same_count > 0 && common_type(same, same_count) == QUERY_TYPES ? NO_FIT : cost;
}

/* ---- messages ---- */

static const char *
function_name_at(const void *context, size_t i)
{
    return functions[i].name;
}

/* What Timestream has and this version does not: named, so that the message is no riddle. */
static bool
is_known_elsewhere(struct bytes name)
{
    static const char *const names[] = {
            "create_time_series", "interpolate_linear", "interpolate_locf", "interpolate_fill",
            "interpolate_spline_cubic", "derivative_linear", "non_negative_derivative_linear",
            "integral_trapezoidal", "non_negative_integral_trapezoidal", "correlate_pearson",
            "correlate_spearman", "filter", "reduce", "sequence", "array_agg", "row", "unnest",
            "date_format", "date_parse", "format_datetime", "parse_datetime", "regexp_like",
            "regexp_extract", "corr", "covar_pop", "covar_samp", "regr_slope", "regr_intercept",
            "row_number", "rank", "dense_rank", "lag", "lead", "first_value", "last_value",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (bytes_equal_nocase(name, bytes_of_string(names[i]))) {
            return true;
        }
    }
    return false;
}

static struct node *
unknown_function(struct planner *planner, const struct expr *expr)
{
    if (is_known_elsewhere(expr->text)) {
        return planner_fail(planner, expr->name_span,
                            "function '%.*s' is not supported by this version",
                            BYTES_ARG(expr->text));
    }
    planner_fail(planner, expr->name_span, "unknown function '%.*s'", BYTES_ARG(expr->text));
    const char *near = diag_nearest(expr->text, FUNCTIONS, function_name_at, NULL);
    if (near != NULL) {
        diag_hint(planner->diags, "did you mean '%s'?", near);
    }
    return NULL;
}

static void
print_form(const struct function *function, struct buf *out)
{
    buf_printf(out, "%s(", function->name);
    for (const char *at = function->arguments; *at != '\0'; at++) {
        if (*at == '+') {
            buf_append_string(out, ", ...");
            continue;
        }
        enum query_type type = type_of_letter(*at);
        buf_printf(out, "%s%s", at == function->arguments ? "" : ", ",
                   type == QUERY_TYPES ? "any" : query_type_name(type));
    }
    buf_append_char(out, ')');
}

/* The name is known, its arguments are not what it takes. */
static struct node *
wrong_arguments(struct planner *planner, const struct expr *expr, struct node *const *args)
{
    struct buf found = {0};
    struct buf forms = {0};
    for (size_t i = 0; i < expr->item_count; i++) {
        buf_printf(&found, "%s%s", i > 0 ? ", " : "", query_type_name(args[i]->type));
    }
    for (size_t i = 0; i < FUNCTIONS; i++) {
        if (bytes_equal_nocase(expr->text, bytes_of_string(functions[i].name))) {
            buf_append_string(&forms, forms.size > 0 ? " or " : "");
            print_form(&functions[i], &forms);
        }
    }
    planner_fail(planner, expr->span, "%.*s(%s) has no meaning", BYTES_ARG(expr->text),
                 buf_string(&found));
    diag_hint(planner->diags, "it is %s", buf_string(&forms));
    buf_fini(&found);
    buf_fini(&forms);
    return NULL;
}

/* ---- planning ---- */

/* The pattern with '#' put as an argument: now() is a literal like any other. */
static struct node *
new_call(struct planner *planner, const struct function *function, enum query_type type,
         const struct expr *expr, struct node **args, size_t count)
{
    const char *hash = strchr(function->pattern, '#');
    struct node *node;
    if (hash == NULL) {
        node = new_pattern(planner, type, expr->span, function->pattern, args, count);
    } else {
        struct query_value now = {.type = QUERY_TIMESTAMP, .integer = planner->source->now_ns};
        struct node **all = arena_new_array(planner->arena, struct node *, count + 1);
        all[0] = new_literal(planner, &now, expr->span);
        memcpy(all + 1, args, count * sizeof *all);
        char *pattern = arena_alloc(planner->arena, strlen(function->pattern) + 1);
        memcpy(pattern, function->pattern, strlen(function->pattern) + 1);
        pattern[hash - function->pattern] = '$';
        node = new_pattern(planner, type, expr->span, pattern, all, count + 1);
    }
    node->aggregate = function->kind == AGGREGATE;
    node->has_aggregate = node->has_aggregate || node->aggregate;
    node->distinct = expr->kind == EXPR_CALL && expr->distinct;
    return node;
}

/* Converts the arguments to what the form takes; QUERY_TYPES after an error. */
static enum query_type
fit_arguments(struct planner *planner, const struct function *function, struct node **args,
              size_t count)
{
    struct node **same = arena_new_array(planner->arena, struct node *, count + 1);
    size_t same_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (letter_of(function, i, count) == 'a') {
            same[same_count++] = args[i];
        }
    }
    enum query_type any = same_count > 0 ? common_type(same, same_count) : QUERY_UNKNOWN;
    for (size_t i = 0; i < count; i++) {
        char letter = letter_of(function, i, count);
        if (letter == 'x') {
            continue;
        }
        args[i] = coerce(planner, args[i], letter == 'a' ? any : type_of_letter(letter));
        if (args[i] == NULL) {
            return QUERY_TYPES;
        }
    }
    return function->result == 'a' ? any : type_of_letter(function->result);
}

static bool
check_aggregate(struct planner *planner, const struct function *function, const struct expr *expr,
                struct node *const *args, size_t count)
{
    if (expr->distinct && strchr(function->pattern, '~') == NULL) {
        planner_fail(planner, expr->span, "%s has no DISTINCT form", function->name);
        return false;
    }
    for (size_t i = 0; i < count && function->kind == AGGREGATE; i++) {
        if (args[i]->has_aggregate) {
            planner_fail(planner, args[i]->span, "an aggregate inside of the aggregate %s",
                         function->name);
            return false;
        }
    }
    return true;
}

/* bin with an interval that is known: an error now is better than one in the middle of rows. */
static bool
check_interval(struct planner *planner, const struct function *function,
               struct node *const *args)
{
    if (strcmp(function->name, "bin") == 0 && args[1]->kind == NODE_LITERAL
        && args[1]->value->integer <= 0) {
        planner_fail(planner, args[1]->span, "bin needs an interval longer than nothing");
        return false;
    }
    return true;
}

struct node *
plan_call(struct planner *planner, const struct scope *scope, const struct expr *expr)
{
    bool known = false;
    bool star = expr->item_count == 1 && expr->items[0]->kind == EXPR_STAR
                && expr->items[0]->item_count == 0
                && bytes_equal_nocase(expr->text, BYTES("count"));
    size_t count = star ? 0 : expr->item_count;
    for (size_t i = 0; i < FUNCTIONS && !known; i++) {
        known = bytes_equal_nocase(expr->text, bytes_of_string(functions[i].name));
    }
    if (!known) {
        return unknown_function(planner, expr);
    }
    struct node **args = plan_list(planner, scope, expr->items, count);
    if (args == NULL) {
        return NULL;
    }
    const struct function *best = NULL;
    unsigned best_cost = NO_FIT;
    struct node **scratch = arena_new_array(planner->arena, struct node *, count + 1);
    for (size_t i = 0; i < FUNCTIONS; i++) {
        if (!bytes_equal_nocase(expr->text, bytes_of_string(functions[i].name))) {
            continue;
        }
        unsigned cost = cost_of(&functions[i], args, count, scratch);
        if (cost < best_cost) {
            best = &functions[i];
            best_cost = cost;
        }
    }
    if (best == NULL) {
        return wrong_arguments(planner, expr, args);
    }
    if (!check_aggregate(planner, best, expr, args, count)) {
        return NULL;
    }
    enum query_type type = fit_arguments(planner, best, args, count);
    if (type == QUERY_TYPES || !check_interval(planner, best, args)) {
        return NULL;
    }
    return new_call(planner, best, type, expr, args, count);
}

struct node *
plan_bare_call(struct planner *planner, const struct expr *expr)
{
    for (size_t i = 0; i < FUNCTIONS; i++) {
        const struct function *function = &functions[i];
        if (bytes_starts_with(bytes_of_string(function->name), BYTES("current_"))
            && bytes_equal_nocase(expr->text, bytes_of_string(function->name))) {
            struct node *none = NULL;
            return new_call(planner, function, type_of_letter(function->result), expr, &none, 0);
        }
    }
    return NULL;
}
