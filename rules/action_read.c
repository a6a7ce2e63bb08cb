/*
 * From a JSON object to an action, along the tables of action_parameters.def.
 */
#include "document.h"

#include "base/mem.h"

#include <stdarg.h>

struct reading {
    struct document *document;
    const struct action_kind *kind;
    bool is_error_action;
};

/* ---- names ---- */

static const char *
parameter_name_at(const void *context, size_t i)
{
    return ((const struct action_group *)context)->parameters[i].name;
}

static const char *
kind_key_at(const void *context, size_t i)
{
    return ((const struct action_kind *)context)[i].key;
}

/* "TopicName" of "topicName" where the document is CloudFormation's. */
static struct bytes
spelled(struct document *document, const char *name)
{
    struct bytes text = arena_copy(&document->loader->scratch, bytes_of_string(name));
    if (document->pascal && text.size > 0 && text.data[0] >= 'a' && text.data[0] <= 'z') {
        struct bytes rest = bytes_slice(text, 1, text.size);
        return arena_printf(&document->loader->scratch, "%c%.*s", text.data[0] - 'a' + 'A',
                            BYTES_ARG(rest));
    }
    return text;
}

static void
hint_nearest(struct document *document, const char *nearest)
{
    if (nearest != NULL) {
        document_hint(document, "did you mean '%.*s'?", BYTES_ARG(spelled(document, nearest)));
    }
}

static bool
fail(struct reading *reading, uint32_t node, const struct action_parameter *parameter,
     const char *format, ...) PRINTF_LIKE(4, 5);

static bool
fail(struct reading *reading, uint32_t node, const struct action_parameter *parameter,
     const char *format, ...)
{
    struct buf text = {.arena = &reading->document->loader->scratch};
    va_list args;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    document_report(reading->document, DIAG_ERROR, node, "%s: '%.*s' %s", reading->kind->key,
                    BYTES_ARG(spelled(reading->document, parameter->name)), buf_string(&text));
    return false;
}

static enum json_kind
kind_of(const struct reading *reading, uint32_t node)
{
    return (enum json_kind)reading->document->json.nodes[node].kind;
}

/* A value of a wrong kind; CloudFormation's functions are one that people meet. */
static bool
fail_kind(struct reading *reading, uint32_t node, const struct action_parameter *parameter,
          const char *wanted)
{
    fail(reading, node, parameter, "is %s, expected %s",
         document_kind_name(reading->document, node), wanted);
    document_hint_functions(reading->document, node);
    return false;
}

/* ---- texts ---- */

/* @{field}, at most once, and not together with ${...}. */
static bool
read_element(struct reading *reading, uint32_t node, struct action_value *value)
{
    struct bytes text = value->text;
    size_t start = 0;
    while (start + 1 < text.size && !(text.data[start] == '@' && text.data[start + 1] == '{')) {
        start++;
    }
    if (start + 1 >= text.size) {
        return true;
    }
    struct bytes rest = bytes_slice(text, start + 2, text.size);
    size_t size = bytes_find(rest, '}');
    value->before = bytes_slice(text, 0, start);
    value->field = bytes_slice(rest, 0, size);
    value->after = bytes_slice(rest, size + 1, rest.size);
    if (size == 0 || size == rest.size) {
        return fail(reading, node, value->parameter, "has a '@{' without a name and '}'");
    }
    struct buf others = {.arena = &reading->document->loader->scratch};
    buf_append(&others, value->before);
    buf_append_char(&others, ' ');
    buf_append(&others, value->after);
    if (strstr(buf_string(&others), "@{") != NULL || strstr(buf_string(&others), "${") != NULL) {
        fail(reading, node, value->parameter, "takes one '@{...}', and no '${...}' beside it");
        return false;
    }
    return true;
}

static bool
has_template(struct bytes text)
{
    for (size_t i = 0; i + 1 < text.size; i++) {
        if (text.data[i] == '$' && text.data[i + 1] == '{') {
            return true;
        }
    }
    return false;
}

static bool
check_fixed_text(struct reading *reading, uint32_t node, const struct action_value *value)
{
    const char *reason;
    if (action_text_is_valid(value->parameter, value->text, &reading->document->loader->scratch,
                             &reason)) {
        return true;
    }
    fail(reading, node, value->parameter, "%s", reason);
    if (value->parameter->choices != NULL && value->parameter->kind == PARAMETER_TEXT) {
        struct buf choices = {.arena = &reading->document->loader->scratch};
        json_write_string(&choices, bytes_of_string(value->parameter->choices));
        document_hint(reading->document, "write one of %s", buf_string(&choices));
    }
    return false;
}

static bool
is_topic(const struct reading *reading, const struct action_value *value)
{
    return reading->kind->naming == NAMING_TOPIC &&
           (value->parameter->flags & PARAMETER_TARGET) != 0;
}

/* The text of the topic after '$$', which AWS writes for a leading '$'. */
static struct bytes
template_text(const struct reading *reading, const struct action_value *value)
{
    return is_topic(reading, value) && bytes_starts_with(value->text, BYTES("$$"))
                   ? bytes_slice(value->text, 1, value->text.size)
                   : value->text;
}

static bool
compile_text(struct reading *reading, uint32_t node, struct action_value *value)
{
    struct document *document = reading->document;
    struct bytes text = template_text(reading, value);
    document_enter(document, value->text, node);
    document->loader->compiler.place = is_topic(reading, value) ? PLACE_TOPIC : PLACE_TEMPLATE;
    bool ok = template_compile(&value->template, &document->loader->compiler, text,
                               (struct span){0, (uint32_t)value->text.size});
    document_leave(document);
    return ok;
}

static bool
read_text(struct reading *reading, uint32_t node, struct action_value *value)
{
    const struct action_parameter *parameter = value->parameter;
    enum json_kind kind = kind_of(reading, node);
    bool is_word = kind == JSON_NUMBER || kind == JSON_TRUE || kind == JSON_FALSE;
    if (kind == JSON_STRING) {
        value->text = document_text(reading->document, node);
    } else if (reading->document->pascal && is_word) { /* CloudFormation makes strings of them */
        value->text = json_raw(&reading->document->json, node);
    } else {
        fail_kind(reading, node, parameter, "a string");
        if (is_word) {
            document_hint(reading->document, "write it in quotes");
        }
        return false;
    }
    if (value->text.size > 0 && bytes_find(value->text, '\0') < value->text.size) {
        return fail(reading, node, parameter, "holds a NUL");
    }
    if ((parameter->flags & PARAMETER_ELEMENT) && !read_element(reading, node, value)) {
        return false;
    }
    if (value->field.size > 0) {
        return true;
    }
    if (!has_template(value->text)) {
        return check_fixed_text(reading, node, value) &&
               (kind != JSON_STRING || !(parameter->flags & PARAMETER_TEMPLATE) ||
                compile_text(reading, node, value));
    }
    if (!(parameter->flags & PARAMETER_TEMPLATE)) {
        return fail(reading, node, parameter,
                    "cannot hold '${...}': AWS takes it as it is written");
    }
    return compile_text(reading, node, value);
}

/* ---- other kinds ---- */

static bool
read_whole(struct reading *reading, uint32_t node, struct action_value *value)
{
    const struct action_parameter *parameter = value->parameter;
    const struct json *json = &reading->document->json;
    bool is_text = reading->document->pascal && kind_of(reading, node) == JSON_STRING;
    bool ok = kind_of(reading, node) == JSON_NUMBER ? json_int64(json, node, &value->number)
              : is_text && bytes_to_int64(document_text(reading->document, node), &value->number);
    if (!ok) {
        return fail_kind(reading, node, parameter, "a whole number");
    }
    if (value->number < parameter->min || value->number > parameter->max) {
        return fail(reading, node, parameter, "is %lld, and AWS takes %lld to %lld",
                    (long long)value->number, (long long)parameter->min,
                    (long long)parameter->max);
    }
    return true;
}

static bool
read_flag(struct reading *reading, uint32_t node, struct action_value *value)
{
    enum json_kind kind = kind_of(reading, node);
    value->flag = kind == JSON_TRUE;
    if (reading->document->pascal && kind == JSON_STRING) {
        struct bytes text = document_text(reading->document, node);
        value->flag = bytes_equal(text, BYTES("true"));
        kind = value->flag || bytes_equal(text, BYTES("false")) ? JSON_TRUE : JSON_STRING;
    }
    return kind == JSON_TRUE || kind == JSON_FALSE ||
           fail_kind(reading, node, value->parameter, "true or false");
}

static bool
read_map(struct reading *reading, uint32_t node, struct action_value *value)
{
    const struct json *json = &reading->document->json;
    const struct action_parameter *parameter = value->parameter;
    if (kind_of(reading, node) != JSON_OBJECT) {
        return fail_kind(reading, node, parameter, "an object");
    }
    bool ok = true;
    struct action_value *items = arena_new_array(&reading->document->loader->file->arena,
                                                 struct action_value, json->nodes[node].count);
    value->items = items;
    for (uint32_t name = node + 1; name < json->nodes[node].next;
         name = json->nodes[name + 1].next) {
        struct action_value *item = &items[value->count++];
        *item = (struct action_value){.parameter = parameter,
                                      .is_set = true,
                                      .name = document_text(reading->document, name)};
        const struct action_parameter names = {.name = parameter->name,
                                               .kind = PARAMETER_TEXT,
                                               .choices = parameter->choices};
        const char *reason;
        if (!action_text_is_valid(&names, item->name, &reading->document->loader->scratch,
                                  &reason)) {
            ok = fail(reading, name, parameter, "knows no '%.*s'", BYTES_ARG(item->name));
        }
        ok = read_text(reading, name + 1, item) && ok;
    }
    return ok;
}

static bool read_object(struct reading *reading, uint32_t node, const struct action_group *group,
                        struct action_value *value);

static bool
read_list(struct reading *reading, uint32_t node, struct action_value *value)
{
    const struct action_parameter *parameter = value->parameter;
    const struct json *json = &reading->document->json;
    if (kind_of(reading, node) != JSON_ARRAY) {
        return fail_kind(reading, node, parameter, "a list");
    }
    uint32_t count = json->nodes[node].count;
    if (count < parameter->min || count > parameter->max) {
        return fail(reading, node, parameter, "has %u entries, and AWS takes %lld to %lld", count,
                    (long long)parameter->min, (long long)parameter->max);
    }
    bool ok = true;
    struct action_value *items = arena_new_array(&reading->document->loader->file->arena,
                                                 struct action_value, count);
    value->items = items;
    for (uint32_t item = node + 1; item < json->nodes[node].next; item = json->nodes[item].next) {
        struct action_value *element = &items[value->count++];
        *element = (struct action_value){.parameter = parameter, .is_set = true};
        if (kind_of(reading, item) != JSON_OBJECT) {
            ok = fail_kind(reading, item, parameter, "objects in it");
        } else {
            ok = read_object(reading, item, parameter->group, element) && ok;
        }
    }
    return ok;
}

static bool
read_value(struct reading *reading, uint32_t node, struct action_value *value)
{
    const struct action_parameter *parameter = value->parameter;
    value->is_set = true;
    switch (parameter->kind) {
    case PARAMETER_TEXT:
        return read_text(reading, node, value);
    case PARAMETER_WHOLE:
        return read_whole(reading, node, value);
    case PARAMETER_FLAG:
        return read_flag(reading, node, value);
    case PARAMETER_OBJECT:
        return kind_of(reading, node) == JSON_OBJECT
                       ? read_object(reading, node, parameter->group, value)
                       : fail_kind(reading, node, parameter, "an object");
    case PARAMETER_LIST:
        return read_list(reading, node, value);
    case PARAMETER_MAP:
        return read_map(reading, node, value);
    case PARAMETER_IGNORED:
        value->text = json_raw(&reading->document->json, node);
        return true;
    case PARAMETER_REFUSED:
        fail(reading, node, parameter, "is not built yet");
        document_hint(reading->document, "%s", parameter->hint);
        return false;
    }
    never("all kinds are listed");
}

static bool
read_member(struct reading *reading, uint32_t name, const struct action_group *group,
            struct action_value *items)
{
    struct document *document = reading->document;
    for (size_t i = 0; i < group->count; i++) {
        const struct action_parameter *parameter = &group->parameters[i];
        if (!document_is_named(document, name, parameter->name)) {
            continue;
        }
        if (items[i].is_set) {
            return fail(reading, name, parameter, "is given twice");
        }
        if (reading->is_error_action && strcmp(parameter->name, "batchConfig") == 0) {
            return fail(reading, name, parameter, "is not allowed in an error action");
        }
        return read_value(reading, name + 1, &items[i]);
    }
    struct bytes found = document_text(document, name);
    document_report(document, DIAG_ERROR, name, "%s: unknown parameter '%.*s'",
                    reading->kind->key, BYTES_ARG(found));
    hint_nearest(document, diag_nearest(found, group->count, parameter_name_at, group));
    return false;
}

static bool
read_object(struct reading *reading, uint32_t node, const struct action_group *group,
            struct action_value *value)
{
    const struct json *json = &reading->document->json;
    struct action_value *items = arena_new_array(&reading->document->loader->file->arena,
                                                 struct action_value, group->count);
    bool ok = true;
    value->items = items;
    value->count = (uint32_t)group->count;
    for (size_t i = 0; i < group->count; i++) {
        items[i].parameter = &group->parameters[i];
    }
    for (uint32_t name = node + 1; name < json->nodes[node].next;
         name = json->nodes[name + 1].next) {
        ok = read_member(reading, name, group, items) && ok;
    }
    for (size_t i = 0; i < group->count; i++) {
        if ((items[i].parameter->flags & PARAMETER_REQUIRED) && !items[i].is_set) {
            ok = fail(reading, node, items[i].parameter, "is missing");
        }
    }
    return ok;
}

/* ---- what the tables cannot say ---- */

/* Parameters that need one another. */
static bool
check_together(struct reading *reading, uint32_t node, const struct action_value *root)
{
    const struct action_value *items = root->items;
    if (reading->kind == action_kind_find(BYTES("dynamoDB")) &&
        items[PARAMETER_OF(dynamoDB, rangeKeyField)].is_set !=
                items[PARAMETER_OF(dynamoDB, rangeKeyValue)].is_set) {
        document_report(reading->document, DIAG_ERROR, node,
                        "dynamoDB: 'rangeKeyField' and 'rangeKeyValue' belong together");
        return false;
    }
    if (reading->kind == action_kind_find(BYTES("iotEvents")) &&
        items[PARAMETER_OF(iotEvents, batchMode)].flag &&
        items[PARAMETER_OF(iotEvents, messageId)].is_set) {
        document_report(reading->document, DIAG_ERROR, node,
                        "iotEvents: 'messageId' cannot be given with 'batchMode'");
        return false;
    }
    return true;
}

static const struct action_kind *
read_kind(struct document *document, uint32_t node)
{
    const struct json *json = &document->json;
    if (json->nodes[node].kind != JSON_OBJECT || json->nodes[node].count != 1) {
        document_report(document, DIAG_ERROR, node,
                        "an action is an object with one member, the action's name");
        document_hint(document, "{\"republish\": {\"topic\": \"...\"}}; several actions are "
                                "several objects of the list");
        return NULL;
    }
    for (size_t i = 0; i < ACTION_KINDS; i++) {
        if (document_is_named(document, node + 1, action_kinds[i].key)) {
            return &action_kinds[i];
        }
    }
    struct bytes found = document_text(document, node + 1);
    document_report(document, DIAG_ERROR, node + 1, "unknown action '%.*s'", BYTES_ARG(found));
    hint_nearest(document, diag_nearest(found, ACTION_KINDS, kind_key_at, action_kinds));
    return NULL;
}

bool
action_read(struct document *document, uint32_t node, bool is_error_action, struct action *out)
{
    const struct action_kind *kind = read_kind(document, node);
    if (kind == NULL) {
        return false;
    }
    struct reading reading = {document, kind, is_error_action};
    uint32_t parameters = node + 2;
    if (document->json.nodes[parameters].kind != JSON_OBJECT) {
        document_report(document, DIAG_ERROR, parameters,
                        "the parameters of '%s' are %s, expected an object", kind->key,
                        document_kind_name(document, parameters));
        return false;
    }
    *out = (struct action){.kind = kind, .is_error_action = is_error_action};
    if (!read_object(&reading, parameters, kind->group, &out->root) ||
        !check_together(&reading, parameters, &out->root)) {
        return false;
    }
    action_prepare(out, &document->loader->file->arena);
    return true;
}

/* ---- targets ---- */

static const struct action_value *
find_target(const struct action_value *value)
{
    for (uint32_t i = 0; i < value->count; i++) {
        const struct action_value *item = &value->items[i];
        if (item->is_set && (item->parameter->flags & PARAMETER_TARGET)) {
            return item;
        }
        if (item->is_set && item->parameter->kind == PARAMETER_OBJECT &&
            find_target(item) != NULL) {
            return find_target(item);
        }
    }
    return NULL;
}

static struct bytes
last_part(struct bytes text)
{
    size_t start = text.size;
    while (start > 0 && text.data[start - 1] != ':' && text.data[start - 1] != '/') {
        start--;
    }
    return bytes_slice(text, start, text.size);
}

/* arn:aws:lambda:REGION:ACCOUNT:function:NAME[:ALIAS], or the name alone. */
static struct bytes
lambda_name(struct bytes arn)
{
    struct bytes rest = arn, part;
    while (bytes_split(&rest, ':', &part)) {
        if (bytes_equal(part, BYTES("function")) && bytes_split(&rest, ':', &part)) {
            return part;
        }
    }
    return bytes_find(arn, ':') == arn.size ? arn : last_part(arn);
}

enum { URL_NAME_MAX = 80 };

/* Different URLs have different names, also where the letters that make the difference are cut. */
static struct bytes
url_name(struct bytes url, struct arena *arena)
{
    struct buf name = {.arena = arena};
    uint32_t hash = 2166136261u;
    bool is_exact = true;
    struct bytes rest = bytes_starts_with(url, BYTES("https://"))
                                ? bytes_slice(url, 8, url.size)
                                : url;
    buf_append_string(&name, "http_");
    for (size_t i = 0; i < rest.size; i++) {
        char c = rest.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        is_exact = is_exact && (plain || c == '.' || c == '/') && i < URL_NAME_MAX;
        hash = (hash ^ (unsigned char)c) * 16777619u;
        if (i < URL_NAME_MAX) {
            buf_append_char(&name, plain ? c : '_');
        }
    }
    if (!is_exact) {
        buf_printf(&name, "_%08x", hash);
    }
    return buf_bytes(&name);
}

static struct bytes
relation_name(const struct action_kind *kind, struct bytes text, struct arena *arena)
{
    switch (kind->naming) {
    case NAMING_LAST:
        return last_part(text);
    case NAMING_LAMBDA:
        return lambda_name(text);
    case NAMING_URL:
        return url_name(text, arena);
    case NAMING_FIXED:
        return bytes_of_string(kind->connector);
    case NAMING_TOPIC:
    case NAMING_PLAIN:
        return text;
    }
    never("all namings are listed");
}

enum { IMPLIED_OPTIONS_MAX = 4 };

static void
imply_option(struct rule_relation *implied, struct rule_option *options, const char *name,
             struct bytes value)
{
    check(implied->option_count < IMPLIED_OPTIONS_MAX);
    options[implied->option_count++] = (struct rule_option){
            .name = bytes_of_string(name), .value = value, .place = implied->place};
    implied->options = options;
}

/* AWS sends each message alone unless it is told to batch. */
static void
imply_http(const struct action *action, struct rule_relation *implied, struct arena *arena)
{
    const struct action_value *items = action->root.items;
    const struct action_value *batch = &items[PARAMETER_OF(http, batchConfig)];
    struct rule_option *options = arena_new_array(arena, struct rule_option, IMPLIED_OPTIONS_MAX);
    int64_t records = 10, open_ms = 20;
    if (batch->is_set) {
        const struct action_value *size = &batch->items[PARAMETER_OF(http_batch, maxBatchSize)];
        const struct action_value *open = &batch->items[PARAMETER_OF(http_batch, maxBatchOpenMs)];
        records = size->is_set ? size->number : records;
        open_ms = open->is_set ? open->number : open_ms;
    }
    imply_option(implied, options, "url", items[PARAMETER_OF(http, url)].text);
    imply_option(implied, options, "retry", BYTES("aws"));
    if (!items[PARAMETER_OF(http, enableBatching)].flag) {
        imply_option(implied, options, "format", BYTES("single"));
        return;
    }
    imply_option(implied, options, "batch.records",
                 arena_printf(arena, "%lld", (long long)records));
    imply_option(implied, options, "batch.linger",
                 arena_printf(arena, "%lldms", (long long)open_ms));
}

static void
imply_dynamodb(const struct action *action, struct rule_relation *implied, struct arena *arena)
{
    const struct action_value *items = action->root.items;
    struct rule_option *options = arena_new_array(arena, struct rule_option, IMPLIED_OPTIONS_MAX);
    imply_option(implied, options, "partition_key",
                 items[PARAMETER_OF(dynamoDB, hashKeyField)].text);
    if (items[PARAMETER_OF(dynamoDB, rangeKeyField)].is_set) {
        imply_option(implied, options, "sort_key",
                     items[PARAMETER_OF(dynamoDB, rangeKeyField)].text);
    }
}

/* A topic that is the same for every message is judged here, all others when they are filled in. */
static bool
read_topic(struct document *document, uint32_t node, const struct action_value *topic,
           struct rule_target *out)
{
    struct json_node at = document->json.nodes[node];
    *out = (struct rule_target){
            .kind = RULE_TARGET_TOPIC,
            .text = topic->text,
            .place = line_index_place(&document->lines, (struct span){at.start, at.end}),
    };
    bool is_doubled = bytes_starts_with(topic->text, BYTES("$$"));
    const char *reason = action_topic_problem(
            bytes_slice(topic->text, is_doubled ? 1 : 0, topic->text.size));
    if (reason == NULL || has_template(topic->text)) {
        return true;
    }
    document_report(document, DIAG_ERROR, node + 1, "republish: %s", reason);
    return false;
}

bool
action_read_target(struct document *document, uint32_t node, const struct action *action,
                   struct rule_target *out, struct rule_relation *implied)
{
    const struct action_kind *kind = action->kind;
    const struct action_value *target = find_target(&action->root);
    struct arena *arena = &document->loader->file->arena;
    struct bytes text = target == NULL ? BYTES("") : target->text;
    *implied = (struct rule_relation){0};
    if (kind->naming == NAMING_TOPIC) {
        return read_topic(document, node + 1, target, out);
    }
    struct diag_place place = line_index_place(
            &document->lines, (struct span){document->json.nodes[node + 1].start,
                                            document->json.nodes[node + 1].end});
    *out = (struct rule_target){.kind = RULE_TARGET_RELATION,
                                .text = relation_name(kind, text, arena),
                                .place = place};
    *implied = (struct rule_relation){
            .kind = kind->naming == NAMING_LAMBDA ? RULE_FUNCTION : RULE_TABLE,
            .name = out->text,
            .connector = bytes_of_string(kind->connector),
            .place = place,
            .action = kind->key,
            .advice = kind->sentence,
            .must_be_declared = kind->naming == NAMING_LAMBDA ||
                                kind == action_kind_find(BYTES("dynamoDBv2"))};
    if (kind->connector[0] != '\0' && target != NULL && has_template(text)) {
        document_report(document, DIAG_ERROR, node + 1,
                        "%s: '%s' names what is opened when the rule is loaded, so it cannot "
                        "hold '${...}'",
                        kind->key, target->parameter->name);
        document_hint(document, "write one rule for each name, or keep what differs in the row");
        return false;
    }
    if (kind->naming == NAMING_URL) {
        imply_http(action, implied, arena);
    } else if (kind == action_kind_find(BYTES("dynamoDB"))) {
        imply_dynamodb(action, implied, arena);
    }
    return true;
}
