/*
 * The evaluators: one function for each kind of node. The rules about Undefined are those of the
 * AWS IoT developer guide, "Operators"; where it leaves gaps, rules/README.md tells the choice.
 *
 * Recursion is as deep as the expression, which the parser bounds.
 */
#include "eval.h"

#include "function.h"

/* ---- the payload and names ---- */

static void
parse_payload(struct rule_message *message, struct rule_payload *payload)
{
    struct json_error error;
    if (message->payload.size == 0) {
        payload->reason = "the payload is empty";
    } else if (!json_parse(&payload->json, message->payload,
                           message->depth_max == 0 ? JSON_DEPTH_MAX_DEFAULT : message->depth_max,
                           message->arena, &error)) {
        payload->reason = error.message;
    } else if (payload->json.nodes[0].kind < JSON_ARRAY) {
        payload->reason = "neither an object nor an array";
    } else {
        payload->is_json = true;
    }
}

const struct rule_payload *
run_payload(struct rule_message *message)
{
    if (message->parsed == NULL) {
        message->parsed = arena_new(message->arena, struct rule_payload);
        parse_payload(message, message->parsed);
    }
    return message->parsed;
}

struct value
payload_value(struct rule_message *message)
{
    const struct rule_payload *payload = run_payload(message);
    if (payload->is_json) {
        return value_of_node(&payload->json, 0);
    }
    if (message->payload.size == 0) {
        return (struct value){.kind = VALUE_OBJECT};
    }
    return (struct value){.kind = VALUE_BYTES, .string = message->payload};
}

static struct value
find_in_payload(struct run *run, struct bytes name)
{
    const struct rule_payload *payload = run_payload(run->message);
    if (!payload->is_json || payload->json.nodes[0].kind != JSON_OBJECT) {
        return value_undefined();
    }
    uint32_t node = json_member(&payload->json, 0, name);
    return node == 0 ? value_undefined() : value_of_node(&payload->json, node);
}

static struct value
find_name(struct run *run, struct bytes name)
{
    for (const struct scope *scope = run->scope; scope != NULL; scope = scope->outer) {
        if (scope->alias.size > 0 && bytes_equal(scope->alias, name)) {
            return scope->element;
        }
        struct value member = value_member(&scope->element, name);
        if (!value_is_undefined(&member)) {
            return member;
        }
    }
    return find_in_payload(run, name);
}

void
eval_path(const struct node *node, struct run *run, struct value *out)
{
    struct value value = find_name(run, node->names[0]);
    for (uint32_t i = 1; i < node->name_count; i++) {
        value = value_member(&value, node->names[i]);
    }
    *out = value;
}

/* In version 2015-10-08 a number of the payload stays as it is written: 10.0. */
void
eval_path_2015(const struct node *node, struct run *run, struct value *out)
{
    eval_path(node, run, out);
    out->boolean = out->boolean || out->kind == VALUE_JSON;
}

void
eval_member(const struct node *node, struct run *run, struct value *out)
{
    struct value value;
    node_eval(node->items[0], run, &value);
    *out = value_member(&value, node->names[0]);
}

void
eval_star(const struct node *node, struct run *run, struct value *out)
{
    *out = run->scope != NULL ? run->scope->element : payload_value(run->message);
}

void
eval_constant(const struct node *node, struct run *run, struct value *out)
{
    *out = node->constant;
}

void
eval_variable(const struct node *node, struct run *run, struct value *out)
{
    *out = run->variables[node->variable];
}

/* x[i] is get(x, i). */
void
eval_index(const struct node *node, struct run *run, struct value *out)
{
    struct value *args = arena_alloc(run->arena, 2 * sizeof *args);
    node_eval(node->items[0], run, &args[0]);
    node_eval(node->items[1], run, &args[1]);
    struct call call = {.run = run, .arena = run->arena, .args = args, .count = 2};
    *out = value_undefined();
    node->function->run(&call, out);
}

/* ---- logic ---- */

void
eval_not(const struct node *node, struct run *run, struct value *out)
{
    struct value value;
    bool boolean;
    node_eval(node->items[0], run, &value);
    *out = value_to_boolean(&value, &boolean, run->arena) ? value_boolean(!boolean)
                                                          : value_undefined();
}

/* The left operand decides alone when it can: `true OR missing` is true (observed on AWS). */
static void
eval_logic(const struct node *node, struct run *run, bool decisive, struct value *out)
{
    struct value value;
    bool boolean;
    *out = value_undefined();
    node_eval(node->items[0], run, &value);
    if (!value_to_boolean(&value, &boolean, run->arena)) {
        return;
    }
    if (boolean == decisive) {
        *out = value_boolean(decisive);
        return;
    }
    node_eval(node->items[1], run, &value);
    if (value_to_boolean(&value, &boolean, run->arena)) {
        *out = value_boolean(boolean);
    }
}

void
eval_and(const struct node *node, struct run *run, struct value *out)
{
    eval_logic(node, run, false, out);
}

void
eval_or(const struct node *node, struct run *run, struct value *out)
{
    eval_logic(node, run, true, out);
}

/* ---- comparisons ---- */

/* Evaluates both operands; false when one is Undefined (then `*out` is too). */
static bool
eval_pair(const struct node *node, struct run *run, struct value *a, struct value *b,
          struct value *out)
{
    node_eval(node->items[0], run, a);
    node_eval(node->items[1], run, b);
    *out = value_undefined();
    return !value_is_undefined(a) && !value_is_undefined(b);
}

void
eval_equal(const struct node *node, struct run *run, struct value *out)
{
    struct value a, b;
    if (eval_pair(node, run, &a, &b, out)) {
        *out = value_boolean(value_equal(&a, &b, run->arena));
    }
}

void
eval_not_equal(const struct node *node, struct run *run, struct value *out)
{
    struct value a, b;
    if (eval_pair(node, run, &a, &b, out)) {
        *out = value_boolean(!value_equal(&a, &b, run->arena));
    }
}

/* < <= > >=: always of numbers; there is no order of strings. */
void
eval_order(const struct node *node, struct run *run, struct value *out)
{
    struct value a, b;
    struct decimal x, y;
    if (!eval_pair(node, run, &a, &b, out) || !value_to_number(&a, &x, run->arena) ||
        !value_to_number(&b, &y, run->arena)) {
        return;
    }
    int order = decimal_compare(&x, &y);
    switch ((enum expr_op)node->op) {
    case OP_LESS:
        *out = value_boolean(order < 0);
        return;
    case OP_LESS_EQUAL:
        *out = value_boolean(order <= 0);
        return;
    case OP_GREATER:
        *out = value_boolean(order > 0);
        return;
    default:
        *out = value_boolean(order >= 0);
        return;
    }
}

void
eval_in(const struct node *node, struct run *run, struct value *out)
{
    struct value wanted, array;
    if (!eval_pair(node, run, &wanted, &array, out) || value_type(&array) != TYPE_ARRAY) {
        return;
    }
    bool found = false;
    struct value_cursor cursor = value_walk(&array);
    while (!found && value_next(&cursor, run->arena)) {
        found = value_equal(&wanted, &cursor.value, run->arena);
    }
    *out = value_boolean(found != (node->op == OP_NOT));
}

/* ---- arithmetic ---- */

void
eval_negate(const struct node *node, struct run *run, struct value *out)
{
    struct value value;
    struct decimal number;
    node_eval(node->items[0], run, &value);
    *out = value_undefined();
    if (value_to_number(&value, &number, run->arena)) {
        *out = value_number(decimal_negate(&number, run->arena));
    }
}

/* a + b in text; Undefined when a part has no text. */
static void
concat(const struct value *a, const struct value *b, struct run *run, struct value *out)
{
    struct bytes x, y;
    if (!value_to_string(a, &x, run->arena) || !value_to_string(b, &y, run->arena)) {
        return;
    }
    char *text = arena_alloc(run->arena, x.size + y.size + 1);
    memcpy(text, x.data, x.size);
    memcpy(text + x.size, y.data, y.size);
    *out = value_string(bytes_of(text, x.size + y.size));
}

/* '+': a string on either side makes it a concatenation; two numbers a sum; nothing else. */
void
eval_add(const struct node *node, struct run *run, struct value *out)
{
    struct value a, b;
    if (!eval_pair(node, run, &a, &b, out)) {
        return;
    }
    enum value_type left = value_type(&a);
    enum value_type right = value_type(&b);
    if (left == TYPE_STRING || right == TYPE_STRING) {
        concat(&a, &b, run, out);
        return;
    }
    struct decimal x, y, sum;
    if (left == TYPE_NUMBER && right == TYPE_NUMBER && value_number_content(&a, &x, run->arena) &&
        value_number_content(&b, &y, run->arena) && decimal_add(&sum, &x, &y, run->arena)) {
        *out = value_number(sum);
    }
}

/* - * / %: of numbers and strings that are numbers. */
void
eval_arithmetic(const struct node *node, struct run *run, struct value *out)
{
    struct value a, b;
    struct decimal x, y, result;
    if (!eval_pair(node, run, &a, &b, out) || !value_to_number(&a, &x, run->arena) ||
        !value_to_number(&b, &y, run->arena)) {
        return;
    }
    bool ok;
    switch ((enum expr_op)node->op) {
    case OP_SUBTRACT:
        ok = decimal_subtract(&result, &x, &y, run->arena);
        break;
    case OP_MULTIPLY:
        ok = decimal_multiply(&result, &x, &y, run->arena);
        break;
    case OP_DIVIDE:
        ok = decimal_divide(&result, &x, &y, run->arena);
        break;
    default:
        ok = decimal_modulo(&result, &x, &y, run->arena);
        break;
    }
    if (ok) {
        *out = value_number(result);
    }
}

/* ---- CASE, literals, calls ---- */

/* items: subject (NULL: conditions), ELSE (or NULL), then WHEN and THEN in turn. */
void
eval_case(const struct node *node, struct run *run, struct value *out)
{
    struct value subject = value_undefined();
    *out = value_undefined();
    if (node->items[0] != NULL) {
        node_eval(node->items[0], run, &subject);
        if (value_is_undefined(&subject)) {
            return; /* not even ELSE */
        }
    }
    for (uint32_t i = 2; i < node->item_count; i += 2) {
        struct value when;
        bool matches;
        node_eval(node->items[i], run, &when);
        if (node->items[0] != NULL) {
            matches = value_equal(&subject, &when, run->arena);
        } else {
            matches = value_to_boolean(&when, &matches, run->arena) && matches;
        }
        if (matches) {
            node_eval(node->items[i + 1], run, out);
            return;
        }
    }
    if (node->items[1] != NULL) {
        node_eval(node->items[1], run, out);
    }
}

/* [a, b]: elements that are Undefined are left out. */
void
eval_array(const struct node *node, struct run *run, struct value *out)
{
    struct value *elements = arena_alloc(run->arena, node->item_count * sizeof *elements);
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->item_count; i++) {
        node_eval(node->items[i], run, &elements[count]);
        count += !value_is_undefined(&elements[count]);
    }
    *out = (struct value){.kind = VALUE_ARRAY, .count = count, .elements = elements};
}

/* {'a': x}: items are the values, names the keys. */
void
eval_object(const struct node *node, struct run *run, struct value *out)
{
    struct value_member *members = arena_alloc(run->arena, node->item_count * sizeof *members);
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->item_count; i++) {
        members[count].name = node->names[i];
        node_eval(node->items[i], run, &members[count].value);
        count += !value_is_undefined(&members[count].value);
    }
    *out = (struct value){.kind = VALUE_OBJECT, .count = count, .members = members};
}

void
eval_call(const struct node *node, struct run *run, struct value *out)
{
    struct value *args = arena_alloc(run->arena, node->item_count * sizeof *args);
    for (uint32_t i = 0; i < node->item_count; i++) {
        node_eval(node->items[i], run, &args[i]);
    }
    struct call call = {
            .run = run,
            .arena = run->arena,
            .args = args,
            .count = node->item_count,
            .prepared = node->prepared,
    };
    *out = value_undefined();
    node->function->run(&call, out);
}

/* get_or_default(x[, default]): what fails in x alone is Undefined. */
void
eval_catch(const struct node *node, struct run *run, struct value *out)
{
    bool doomed = run->failure != NULL;
    struct value args[2];
    for (uint32_t i = 0; i < node->item_count; i++) {
        node_eval(node->items[i], run, &args[i]);
        if (!doomed && run->failure != NULL) {
            run->failure = NULL;
            args[i] = value_undefined();
        }
    }
    struct call call = {.run = run, .arena = run->arena, .args = args, .count = node->item_count};
    *out = value_undefined();
    node->function->run(&call, out);
}

/* ---- CAST ---- */

static void
cast_to_number(const struct value *value, bool to_int, struct run *run, struct value *out)
{
    struct decimal number;
    if (value_type(value) == TYPE_BOOLEAN) {
        *out = value_int64(value->boolean);
    } else if (value_to_number(value, &number, run->arena)) {
        *out = value_number(to_int ? decimal_round(&number, 0, DECIMAL_FLOOR, run->arena)
                                   : number);
    }
}

static void
cast_to_boolean(const struct value *value, struct run *run, struct value *out)
{
    struct decimal number;
    bool boolean;
    if (value_type(value) == TYPE_NUMBER) {
        if (value_number_content(value, &number, run->arena)) {
            *out = value_boolean(!decimal_is_zero(&number));
        }
    } else if (value_to_boolean(value, &boolean, run->arena)) {
        *out = value_boolean(boolean);
    }
}

static void
cast_to_string(const struct value *value, struct run *run, struct value *out)
{
    struct bytes text;
    if (value_to_string(value, &text, run->arena)) {
        *out = value_string(text);
    }
}

void
eval_cast(const struct node *node, struct run *run, struct value *out)
{
    struct value value;
    node_eval(node->items[0], run, &value);
    *out = value_undefined();
    switch ((enum cast_type)node->op) {
    case CAST_STRING:
        cast_to_string(&value, run, out);
        return;
    case CAST_INT:
        cast_to_number(&value, true, run, out);
        return;
    case CAST_DECIMAL:
        cast_to_number(&value, false, run, out);
        return;
    case CAST_BOOLEAN:
        cast_to_boolean(&value, run, out);
        return;
    }
}

/* ---- nested SELECT ---- */

/* Runs the query for one element and appends its row; false when there is none. */
static bool
append_row(const struct node *node, struct run *run, const struct value *element, struct buf *out)
{
    const struct scope *outer = run->scope;
    struct scope scope = {*element, node->alias, outer};
    const char *reason;
    run->scope = &scope;
    enum query_verdict verdict = query_run(node->query, run, out, &reason);
    run->scope = outer;
    return verdict == QUERY_ROW;
}

/* The rows are written as JSON and read again: one way to make a row, not two. */
static void
read_back(struct run *run, struct buf *text, struct value *out)
{
    enum { OWN_DEPTH_MAX = 10000 }; /* bounded already by the payload and the expression */
    struct json *json = arena_new(run->arena, struct json);
    struct json_error error;
    check(json_parse(json, buf_bytes(text), OWN_DEPTH_MAX, run->arena, &error));
    *out = value_of_node(json, 0);
}

/* Of an array, the array of the rows; of an object its one row; else Undefined. */
void
eval_select(const struct node *node, struct run *run, struct value *out)
{
    struct value source;
    node_eval(node->items[0], run, &source);
    enum value_type type = value_type(&source);
    struct buf text = {.arena = run->arena};
    *out = value_undefined();
    if (type == TYPE_OBJECT) {
        if (append_row(node, run, &source, &text)) {
            read_back(run, &text, out);
        }
        return;
    }
    if (type != TYPE_ARRAY) {
        return;
    }
    buf_append_char(&text, '[');
    struct value_cursor cursor = value_walk(&source);
    while (value_next(&cursor, run->arena)) {
        size_t before = text.size;
        if (before > 1) {
            buf_append_char(&text, ',');
        }
        if (!append_row(node, run, &cursor.value, &text)) {
            text.size = before;
        }
    }
    buf_append_char(&text, ']');
    read_back(run, &text, out);
}

void
eval_exists(const struct node *node, struct run *run, struct value *out)
{
    struct value rows;
    eval_select(node, run, &rows);
    bool any = value_type(&rows) == TYPE_ARRAY ? value_count(&rows) > 0
                                               : !value_is_undefined(&rows);
    *out = value_boolean(any);
}
