/*
 * Calls of scalar functions: how a call finds its row of functions.def, and how it is evaluated;
 * and the functions that choose among their arguments.
 */
#include "function.h"

enum { ARGS_MAX = 100 };

struct function {
    const char *name;
    const char *args;
    char result;
    stream_function_fn *run;
    const char *doc;
};

/* ---- choices ---- */

void
stream_fn_coalesce(const struct stream_call *call, struct stream_value *out)
{
    size_t i = 0;
    while (i + 1 < call->count && call->args[i].is_null) {
        i++;
    }
    *out = call->args[i];
}

void
stream_fn_null_if(const struct stream_call *call, struct stream_value *out)
{
    bool equal = !call->args[0].is_null && !call->args[1].is_null &&
                 stream_compare(call->node->type, &call->args[0], &call->args[1]) == 0;
    *out = equal ? stream_null() : call->args[0];
}

void
stream_fn_choose(const struct stream_call *call, struct stream_value *out)
{
    bool first = !call->args[0].is_null && call->args[0].integer != 0;
    *out = call->args[first ? 1 : 2];
}

/* ---- the table, and how a call finds its row ---- */

static const struct function functions[] = {
#define STREAM_FUNCTION(name, args, result, run, doc) {#name, args, result, stream_fn_##run, doc},
#include "functions.def"
#undef STREAM_FUNCTION
};

static void
eval_call(const struct stream_node *node, struct stream_context *context, struct stream_value *out)
{
    const struct function *function = node->extra;
    struct stream_value args[ARGS_MAX];
    bool nulls = function->args[0] == '?';
    *out = stream_null();
    for (uint32_t i = 0; i < node->arg_count; i++) {
        stream_eval(node->args[i], context, &args[i]);
        if (args[i].is_null && !nulls) {
            return;
        }
    }
    *out = (struct stream_value){0};
    const struct stream_call call = {node, context, args, node->arg_count};
    function->run(&call, out);
    if (context->failure != NULL) {
        *out = stream_null();
    }
}

static struct stream_type
type_of_letter(char letter)
{
    switch (letter) {
    case 's':
        return stream_type_of(STREAM_STRING);
    case 'd':
        return stream_type_of(STREAM_DOUBLE);
    case 'z':
        return stream_type_of(STREAM_BOOLEAN);
    case 't':
        return stream_type_of(STREAM_TIMESTAMP);
    case 'l':
        return stream_type_of(STREAM_TIMESTAMP_LTZ);
    case 'v':
        return stream_type_of(STREAM_INTERVAL);
    default:
        return stream_type_of(STREAM_INTEGER);
    }
}

/* The letter for argument `i`; '\0' when the form takes fewer. */
static char
letter_at(const char *args, size_t i)
{
    args += args[0] == '?';
    size_t length = strlen(args);
    if (length > 0 && args[length - 1] == '+') {
        return i < length - 1 ? args[i] : args[length - 2];
    }
    return i < length ? args[i] : '\0';
}

static bool
count_fits(const char *args, size_t count)
{
    args += args[0] == '?';
    size_t length = strlen(args);
    bool open = length > 0 && args[length - 1] == '+';
    return open ? count >= length - 1 : count == length;
}

static bool
argument_fits(const struct stream_node *arg, const struct expr *expr, char letter)
{
    enum stream_unit unit;
    struct stream_type type = arg == NULL ? (struct stream_type){0} : arg->type;
    switch (letter) {
    case 'u':
        return expr->kind == EXPR_NAME && stream_unit_parse(expr->text, &unit);
    case 'm':
        return arg != NULL && stream_is_number(type);
    case 't':
        return arg != NULL && (stream_is_time(type) || type.kind == STREAM_DATE);
    case 'v':
        return arg != NULL && type.kind == STREAM_INTERVAL;
    case 'l':
        return arg != NULL && (stream_is_time(type) || type.kind == STREAM_STRING);
    case 'i':
        return arg != NULL && type.kind == STREAM_INTEGER;
    case 'd':
        return arg != NULL && (stream_is_number(type) || type.kind == STREAM_STRING);
    default:
        return arg != NULL;
    }
}

static bool
form_fits(const struct function *function, const struct stream_node *const *args,
          const struct expr *expr)
{
    if (!count_fits(function->args, expr->item_count)) {
        return false;
    }
    for (size_t i = 0; i < expr->item_count; i++) {
        char letter = letter_at(function->args, i);
        bool is_null = args[i] != NULL && args[i]->type.kind == STREAM_NULLS;
        if (!is_null && !argument_fits(args[i], expr->items[i], letter)) {
            return false;
        }
    }
    return true;
}

/* Casts the arguments to what the form takes; false when there is no such cast. */
static bool
convert(struct stream_compiler *compiler, const struct function *function,
        const struct stream_node **args, const struct expr *expr, struct stream_type *result)
{
    struct stream_type any = stream_type_of(STREAM_NULLS);
    *result = type_of_letter(function->result);
    for (size_t i = 0; i < expr->item_count; i++) {
        if (letter_at(function->args, i) == 'a' &&
            !stream_common_type(any, args[i]->type, &any)) {
            return false;
        }
    }
    for (size_t i = 0; i < expr->item_count; i++) {
        char letter = letter_at(function->args, i);
        enum stream_unit unit = UNIT_SECOND;
        if (letter == 'u') {
            stream_unit_parse(expr->items[i]->text, &unit);
            args[i] = stream_constant_node(compiler, stream_type_of(STREAM_INTEGER),
                                           stream_integer(unit));
        } else if (letter == 'a') {
            args[i] = stream_cast_node(compiler, args[i], any);
        } else if (letter == 't') {
            bool time = stream_is_time(args[i]->type);
            args[i] = time ? args[i]
                           : stream_cast_node(compiler, args[i], type_of_letter(letter));
            *result = function->result == 'T' ? args[i]->type : *result;
        } else if (letter != 'm' && letter != 'x') {
            args[i] = stream_cast_node(compiler, args[i], type_of_letter(letter));
        } else if (letter == 'm' && function->result == 'm' && i == 0) {
            *result = args[i]->type;
        }
        if (args[i] == NULL) {
            return false;
        }
    }
    if (function->result == 'a') {
        *result = any;
    }
    return true;
}

static const char *
function_name_at(const void *context, size_t i)
{
    return ((const struct function *)context)[i].name;
}

static const void *
refuse_call(struct stream_compiler *compiler, const struct expr *expr, const char *forms)
{
    size_t count = sizeof functions / sizeof functions[0];
    if (forms != NULL) {
        stream_fail(compiler, expr->span, "%.*s does not take these arguments",
                    BYTES_ARG(expr->text));
        stream_hint(compiler, "it is: %s", forms);
        return NULL;
    }
    stream_fail(compiler, expr->name_span, "unknown function '%.*s'", BYTES_ARG(expr->text));
    const char *near = diag_nearest(expr->text, count, function_name_at, functions);
    if (near != NULL) {
        stream_hint(compiler, "did you mean '%s'?", near);
    }
    return NULL;
}

/* A unit is a bare word: no column. */
static bool
wants_unit(struct bytes name, size_t i)
{
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
        if (bytes_equal_nocase(name, bytes_of_string(functions[f].name)) &&
            letter_at(functions[f].args, i) == 'u') {
            return true;
        }
    }
    return false;
}

const struct stream_node *
stream_compile_call(struct stream_compiler *compiler, const struct stream_scope *scope,
                    const struct expr *expr)
{
    if (stream_is_aggregate(expr->text)) {
        stream_fail(compiler, expr->span, "an aggregate cannot stand here");
        stream_hint(compiler, "aggregates belong into SELECT and HAVING of a query with a window");
        return NULL;
    }
    if (expr->item_count > ARGS_MAX) {
        return stream_fail(compiler, expr->span, "a function takes at most %d arguments",
                           ARGS_MAX);
    }
    const struct stream_node **args = arena_new_array(compiler->arena, const struct stream_node *,
                                                      expr->item_count);
    for (size_t i = 0; i < expr->item_count; i++) {
        enum stream_unit unit;
        bool is_unit = wants_unit(expr->text, i) && expr->items[i]->kind == EXPR_NAME &&
                       stream_unit_parse(expr->items[i]->text, &unit);
        if (!is_unit && (args[i] = stream_compile(compiler, scope, expr->items[i])) == NULL) {
            return NULL;
        }
    }
    const char *forms = NULL;
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
        const struct function *function = &functions[f];
        if (!bytes_equal_nocase(expr->text, bytes_of_string(function->name))) {
            continue;
        }
        forms = function->doc;
        struct stream_type result;
        if (form_fits(function, args, expr) &&
            convert(compiler, function, args, expr, &result)) {
            struct stream_node *node = arena_new(compiler->arena, struct stream_node);
            bool clock = function->result == 'l' && expr->item_count == 0;
            *node = (struct stream_node){
                    .eval = eval_call,
                    .type = result,
                    .args = args,
                    .arg_count = (uint32_t)expr->item_count,
                    .extra = function,
                    .attribute = clock && bytes_equal_nocase(expr->text, BYTES("PROCTIME"))
                                         ? ATTRIBUTE_PROCESSING
                                         : ATTRIBUTE_NONE,
            };
            return node;
        }
    }
    return refuse_call(compiler, expr, forms);
}
