/*
 * Functions that ask somebody else: a shadow, a table, a secret, a handler, the registry, a model.
 * rules/ knows none of these; the host of the message does (rule.h, struct rule_host).
 *
 * What fails here fails the rule: the first failure is kept in the run, and nothing is asked any
 * more, so that a rule without such calls pays nothing. get_or_default() catches what its first
 * argument failed at (eval.c). The roles that AWS wants are read and not used.
 *
 * Reference: AWS IoT developer guide, "SQL functions"; the local meanings are in rules/README.md.
 */
#include "fn.h"

#include "base/base64.h"
#include "protobuf.h"

#include <stdarg.h>

static void fail(const struct call *call, const char *format, ...) PRINTF_LIKE(2, 3);

static void
fail(const struct call *call, const char *format, ...)
{
    struct buf reason = {.arena = call->arena};
    va_list args;
    va_start(args, format);
    buf_vprintf(&reason, format, args);
    va_end(args);
    call->run->failure = buf_string(&reason);
}

/* ---- arguments ---- */

/* An argument as text; a failure when it has none. */
static bool
take_text(const struct call *call, size_t i, const char *function, struct bytes *out)
{
    if (call->run->failure != NULL) {
        return false;
    }
    if (!call_string(call, i, out) || out->size == 0) {
        fail(call, "%s: argument %zu is Undefined, null or empty", function, i + 1);
        return false;
    }
    return true;
}

/* An argument as JSON text; a failure when it has none. */
static bool
take_json(const struct call *call, size_t i, const char *function, struct bytes *out)
{
    const struct value *value = &call->args[i];
    enum value_type type = value_type(value);
    if (call->run->failure != NULL) {
        return false;
    }
    if (type == TYPE_UNDEFINED || type == TYPE_BYTES) {
        fail(call, "%s: argument %zu is %s", function, i + 1,
             type == TYPE_UNDEFINED ? "Undefined" : "not JSON");
        return false;
    }
    struct buf text = {.arena = call->arena};
    value_write_compact(&text, value, call->arena);
    *out = buf_bytes(&text);
    return true;
}

/* A key of a table: a string or a number, as JSON. */
static bool
take_key(const struct call *call, size_t i, struct bytes *out)
{
    enum value_type type = value_type(&call->args[i]);
    if (call->run->failure == NULL && type != TYPE_STRING && type != TYPE_NUMBER) {
        fail(call, "get_dynamodb: the key in argument %zu is neither a string nor a number", i + 1);
    }
    return take_json(call, i, "get_dynamodb", out);
}

/* ---- asking ---- */

/* False: there is no value, or it failed; then the run knows why. */
static bool
ask(const struct call *call, const char *function, enum rule_question question,
    const struct bytes *args, size_t count, struct bytes *out)
{
    const struct rule_message *message = call->run->message;
    const struct rule_host *host = message->host;
    struct rule_ask ask = {question, message, args, count, call->arena, bytes_of(NULL, 0)};
    if (call->run->failure != NULL) {
        return false;
    }
    if (host == NULL || host->ask == NULL) {
        fail(call, "%s: there is nobody to ask here", function);
        return false;
    }
    switch (host->ask(host->context, &ask)) {
    case RULE_ANSWERED:
        *out = ask.answer;
        return true;
    case RULE_NO_SUCH:
        return false;
    case RULE_ASK_FAILED:
        fail(call, "%s: %.*s", function, BYTES_ARG(ask.answer));
        return false;
    }
    never("all answers are listed");
}

static void
ask_json(const struct call *call, const char *function, enum rule_question question,
         const struct bytes *args, size_t count, struct value *out)
{
    struct bytes text;
    struct json_error error;
    struct json *json = arena_new(call->arena, struct json);
    if (!ask(call, function, question, args, count, &text)) {
        return;
    }
    if (json_parse(json, text, JSON_DEPTH_MAX_DEFAULT, call->arena, &error)) {
        *out = value_of_node(json, 0);
    } else {
        fail(call, "%s: the answer is not JSON: %s", function, error.message);
    }
}

/* ---- functions ---- */

/* get_thing_shadow(thing[, shadow], role) */
void
fn_get_thing_shadow(const struct call *call, struct value *out)
{
    struct bytes args[2];
    size_t count = call->count - 1;
    for (size_t i = 0; i < count; i++) {
        if (!take_text(call, i, "get_thing_shadow", &args[i])) {
            return;
        }
    }
    ask_json(call, "get_thing_shadow", RULE_ASK_SHADOW, args, count, out);
}

/* get_dynamodb(table, key name, key[, sort key name, sort key], role) */
void
fn_get_dynamodb(const struct call *call, struct value *out)
{
    struct bytes args[5];
    size_t count = call->count - 1;
    for (size_t i = 0; i < count; i++) {
        bool is_key = i == 2 || i == 4;
        if (!(is_key ? take_key(call, i, &args[i])
                     : take_text(call, i, "get_dynamodb", &args[i]))) {
            return;
        }
    }
    ask_json(call, "get_dynamodb", RULE_ASK_ITEM, args, count, out);
}

/* get_secret(id, 'SecretString' | 'SecretBinary'[, key], role) */
void
fn_get_secret(const struct call *call, struct value *out)
{
    struct bytes args[3], secret;
    size_t count = call->count - 1;
    for (size_t i = 0; i < count; i++) {
        if (!take_text(call, i, "get_secret", &args[i])) {
            return;
        }
    }
    if (ask(call, "get_secret", RULE_ASK_SECRET, args, count, &secret)) {
        *out = value_string(secret);
    }
}

/* aws_lambda(function, argument) */
void
fn_aws_lambda(const struct call *call, struct value *out)
{
    struct bytes args[2];
    if (take_text(call, 0, "aws_lambda", &args[0]) && take_json(call, 1, "aws_lambda", &args[1])) {
        ask_json(call, "aws_lambda", RULE_ASK_FUNCTION, args, 2, out);
    }
}

/* get_registry_data('DescribeThing' | 'ListThingGroupsForThing', thing, role) */
void
fn_get_registry_data(const struct call *call, struct value *out)
{
    struct bytes what, thing;
    if (take_text(call, 0, "get_registry_data", &what) &&
        take_text(call, 1, "get_registry_data", &thing)) {
        bool groups = bytes_equal(what, BYTES("ListThingGroupsForThing"));
        ask_json(call, "get_registry_data", groups ? RULE_ASK_GROUPS : RULE_ASK_THING, &thing, 1,
                 out);
    }
}

/* A record of texts and numbers: what is nested is handed over as its JSON text. */
static bool
flatten(const struct value *record, struct arena *arena, struct value *out)
{
    if (value_type(record) != TYPE_OBJECT) {
        return false;
    }
    struct value_member *members = arena_alloc(arena, value_count(record) * sizeof *members);
    struct value_cursor cursor = value_walk(record);
    uint32_t count = 0;
    while (value_next(&cursor, arena)) {
        enum value_type type = value_type(&cursor.value);
        members[count] = (struct value_member){cursor.name, cursor.value};
        if (type == TYPE_ARRAY || type == TYPE_OBJECT) {
            struct buf text = {.arena = arena};
            value_write_compact(&text, &cursor.value, arena);
            members[count].value = value_string(buf_bytes(&text));
        }
        count++;
    }
    *out = (struct value){.kind = VALUE_OBJECT, .count = count, .members = members};
    return true;
}

/* The bytes of a message: raw ones, or in base64. */
static bool
take_message(const struct call *call, struct bytes *out)
{
    const struct value *value = &call->args[0];
    struct buf bytes = {.arena = call->arena};
    struct bytes text;
    if (value->kind == VALUE_BYTES) {
        *out = value->string;
        return true;
    }
    if (value_type(value) == TYPE_OBJECT && value_count(value) == 0) {
        *out = BYTES(""); /* an empty payload */
        return true;
    }
    if (value_type(value) != TYPE_STRING || !call_string(call, 0, &text) ||
        !base64_decode(&bytes, text)) {
        fail(call, "decode: the first argument is neither bytes nor base64");
        return false;
    }
    *out = buf_bytes(&bytes);
    return true;
}

/* decode(message, 'proto', bucket, key, file, type) */
void
decode_protobuf(const struct call *call, struct value *out)
{
    struct bytes args[4], message, set;
    struct buf text = {.arena = call->arena};
    struct json_error error;
    const char *reason;
    for (size_t i = 0; i < 4; i++) {
        if (!take_text(call, i + 2, "decode", &args[i])) {
            return;
        }
    }
    if (!take_message(call, &message) ||
        !ask(call, "decode", RULE_ASK_DESCRIPTOR, args, 2, &set)) {
        return;
    }
    if (!protobuf_to_json(&text, set, args[2], args[3], message, call->arena, &reason)) {
        fail(call, "decode: %s", reason);
        return;
    }
    struct json *json = arena_new(call->arena, struct json);
    check(json_parse(json, buf_bytes(&text), 4 * PROTOBUF_DEPTH_MAX, call->arena, &error));
    *out = value_of_node(json, 0);
}

/* machinelearning_predict(model, role, record) */
void
fn_machinelearning_predict(const struct call *call, struct value *out)
{
    struct bytes args[2];
    struct value record;
    if (!take_text(call, 0, "machinelearning_predict", &args[0])) {
        return;
    }
    if (!flatten(&call->args[2], call->arena, &record)) {
        fail(call, "machinelearning_predict: the record is not an object");
        return;
    }
    struct buf text = {.arena = call->arena};
    value_write(&text, &record);
    args[1] = buf_bytes(&text);
    ask_json(call, "machinelearning_predict", RULE_ASK_MODEL, args, 2, out);
}
