/*
 * What can be said at load of calls to functions that ask somebody else: counts of arguments, words
 * that must be constants, where such a call may stand, and how many of them a rule may have.
 * Reference: AWS IoT developer guide, "SQL functions", and its limits for external functions.
 */
#include "compile.h"

#include "function.h"

static bool
refuse(struct compiler *compiler, const struct expr *expr, const char *what, const char *hint)
{
    compiler_report(compiler, DIAG_ERROR, expr->span, "%s", what);
    compiler_hint(compiler, "%s", hint);
    return false;
}

/* How a call is written, for hints. */
static const struct {
    const char *name;
    const char *form;
} forms[] = {
        {"aws_lambda", "aws_lambda('function', argument)"},
        {"decode", "decode(*, 'proto', 'bucket', 'key', 'file.proto', 'Message')"},
        {"get_dynamodb",
         "get_dynamodb('table', 'keyName', key, 'role') or get_dynamodb('table', 'keyName', key, "
         "'sortKeyName', sortKey, 'role')"},
        {"get_registry_data", "get_registry_data('DescribeThing', thing, 'role')"},
        {"get_secret", "get_secret('id', 'SecretString', 'key', 'role')"},
        {"get_thing_shadow", "get_thing_shadow(thing, 'role') or get_thing_shadow(thing, 'shadow', "
                             "'role')"},
        {"machinelearning_predict", "machinelearning_predict('model', 'role', record)"},
};

static const char *
form_of(const struct function *function)
{
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (strcmp(forms[i].name, function->name) == 0) {
            return forms[i].form;
        }
    }
    never("each external function has a form");
}

/* ---- single checks ---- */

static bool
check_count(struct compiler *compiler, const struct expr *expr, const struct function *function)
{
    size_t count = expr->item_count;
    bool fits = count >= function->count_min && count <= function->count_max;
    if (strcmp(function->name, "get_dynamodb") == 0 && count == 5) {
        fits = false;
    }
    if (!fits) {
        compiler_report(compiler, DIAG_ERROR, expr->span, "'%s' with %zu arguments",
                        function->name, count);
        compiler_hint(compiler, "write %s", form_of(function));
    }
    return fits;
}

/* Whether argument `i` is one of two words, written out. */
static bool
check_word(struct compiler *compiler, const struct expr *expr, size_t i, const char *first,
           const char *second)
{
    const struct expr *word = expr->items[i];
    if (word->kind == EXPR_STRING && (bytes_equal_string(word->text, first) ||
                                      bytes_equal_string(word->text, second))) {
        return true;
    }
    compiler_report(compiler, DIAG_ERROR, word->span, "this argument is '%s' or '%s', written out",
                    first, second);
    bool nearer = word->kind == EXPR_STRING && bytes_distance(word->text, bytes_of_string(second)) <
                                                       bytes_distance(word->text,
                                                                      bytes_of_string(first));
    compiler_hint(compiler, "did you mean '%s'?", nearer ? second : first);
    return false;
}

static bool
check_uses(struct compiler *compiler, const struct expr *expr, const char *name, unsigned *uses,
           unsigned uses_max)
{
    if (++*uses <= uses_max) {
        return true;
    }
    compiler_report(compiler, DIAG_ERROR, expr->span, "a rule may call '%s' %s", name,
                    uses_max == 1 ? "once" : "twice");
    compiler_hint(compiler, uses_max == 1 ? "SET @x = %s(...) and use @x in both places"
                                          : "make two rules of it; %s is dear", name);
    return false;
}

static bool
check_secret(struct compiler *compiler, const struct expr *expr)
{
    if (compiler->place == PLACE_ROW) {
        return refuse(compiler, expr, "a secret would become part of the row and be stored",
                      "use it in WHERE or in a parameter of an action");
    }
    if (compiler->place == PLACE_TOPIC) {
        return refuse(compiler, expr, "a secret would become part of a topic",
                      "use it in WHERE or in a parameter of an action");
    }
    return check_word(compiler, expr, 1, "SecretString", "SecretBinary");
}

static bool
check_proto(struct compiler *compiler, const struct expr *expr, const struct function *function)
{
    if (compiler->place == PLACE_TEMPLATE || compiler->place == PLACE_TOPIC) {
        return refuse(compiler, expr, "a template cannot decode protobuf",
                      "decode it in SET and use the variable here");
    }
    return check_count(compiler, expr, function) &&
           check_uses(compiler, expr, "decode(..., 'proto', ...)", &compiler->uses.protobuf, 2);
}

/* ---- the door ---- */

bool
external_call(const struct function *function, const struct expr *expr)
{
    if ((function->flags & FUNCTION_EXTERNAL) != 0) {
        return true;
    }
    return strcmp(function->name, "decode") == 0 && expr->item_count > 2;
}

bool
external_check(struct compiler *compiler, const struct expr *expr, const struct function *function)
{
    const char *name = function->name;
    if (strcmp(name, "decode") == 0) {
        if (expr->item_count != function->count_max) {
            return refuse(compiler, expr, "'decode' takes 2 arguments, for protobuf 6",
                          form_of(function));
        }
        return check_word(compiler, expr, 1, "proto", "proto") &&
               check_proto(compiler, expr, function);
    }
    if (!check_count(compiler, expr, function)) {
        return false;
    }
    if (strcmp(name, "get_dynamodb") == 0) {
        return check_uses(compiler, expr, name, &compiler->uses.items, 1);
    }
    if (strcmp(name, "get_registry_data") == 0) {
        return check_word(compiler, expr, 0, "DescribeThing", "ListThingGroupsForThing") &&
               check_uses(compiler, expr, name, &compiler->uses.registry, 1);
    }
    if (strcmp(name, "get_secret") == 0) {
        return check_secret(compiler, expr);
    }
    compiler->uses.calls += strcmp(name, "get_thing_shadow") != 0;
    return true;
}

/* ---- get_or_default ---- */

static const struct expr *find_external(const struct expr *expr);

static const struct expr *
find_external_in_select(const struct select *select)
{
    const struct expr *found = select->where == NULL ? NULL : find_external(select->where);
    for (size_t i = 0; i < select->item_count && found == NULL; i++) {
        found = find_external(select->items[i].expr);
    }
    if (found == NULL && select->from != NULL && select->from->kind == SOURCE_EXPR) {
        found = find_external(select->from->expr);
    }
    return found;
}

/* As deep as the parser allows. */
static const struct expr *
find_external(const struct expr *expr)
{
    const struct function *function = expr->kind == EXPR_CALL ? function_find(expr->text) : NULL;
    if (function != NULL && external_call(function, expr)) {
        return expr;
    }
    const struct expr *found =
            expr->select == NULL ? NULL : find_external_in_select(expr->select);
    for (size_t i = 0; i < expr->item_count && found == NULL; i++) {
        found = expr->items[i] == NULL ? NULL : find_external(expr->items[i]);
    }
    return found;
}

bool
external_check_default(struct compiler *compiler, const struct expr *expr)
{
    const struct expr *external = expr->item_count < 2 ? NULL : find_external(expr->items[1]);
    return external == NULL ||
           refuse(compiler, external, "a default cannot ask others: it must not fail",
                  "give a constant, or something of the payload");
}
