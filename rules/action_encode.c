/*
 * From a row to what an action hands to its sink: the encoders named in actions.def, but for
 * influxDB's (action_influx.c). What they produce is described in action.h.
 */
#include "action.h"

#include "base/base64.h"
#include "topic.h"

#include <stdarg.h>

enum {
    PAYLOAD_DEPTH_MAX = 1000,
    FIREHOSE_BATCH_MAX = 500,
    ANALYTICS_BATCH_MAX = 100,
    EVENTS_BATCH_MAX = 10,
    LOGS_BATCH_MAX = 10000,
    MEASURES_MAX = 100,
};

struct rule_output *
output_list_add(struct output_list *list, struct arena *arena)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 4 : list->capacity * 2;
        struct rule_output *items = arena_alloc(arena, capacity * sizeof *items);
        if (list->count > 0) {
            memcpy(items, list->items, list->count * sizeof *items);
        }
        list->items = items;
        list->capacity = capacity;
    }
    return &list->items[list->count++];
}

void
action_emit(struct action_emission *emission, struct bytes payload, bool is_json)
{
    struct rule_output *output = output_list_add(emission->list, emission->run->arena);
    *output = emission->output;
    output->payload = payload;
    output->payload_is_json = is_json;
}

void
action_fail(struct action_emission *emission, const char *format, ...)
{
    struct buf text = {.arena = emission->run->arena};
    va_list args;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    struct rule_output *output = output_list_add(emission->list, emission->run->arena);
    *output = emission->output;
    output->failure = buf_bytes(&text);
}

/* ---- what comes before every encoder ---- */

/* Jobs have topics of their own that AWS keeps for its service. */
static bool
is_job_topic(struct bytes topic)
{
    struct bytes rest = topic, level;
    const char *const levels[] = {"$aws", "things", NULL, "jobs"};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (!bytes_split(&rest, '/', &level) ||
            (levels[i] != NULL && !bytes_equal_string(level, levels[i]))) {
            return false;
        }
    }
    return true;
}

const char *
action_topic_problem(struct bytes topic)
{
    if (!topic_is_valid(topic)) {
        return "the target topic is empty or holds a wildcard";
    }
    return is_job_topic(topic) ? "rules may not publish to the topics of jobs" : NULL;
}

static bool
check_topic(struct action_emission *emission)
{
    const char *reason = action_topic_problem(emission->output.text);
    if (reason != NULL) {
        action_fail(emission, "%s", reason);
    }
    return reason == NULL;
}

static bool
check_row(struct action_emission *emission)
{
    const struct rule_row *row = emission->row;
    enum action_form form = emission->action->kind->form;
    struct bytes text = bytes_trim(row->payload);
    bool is_object = row->payload_is_json && text.size > 0 && text.data[0] == '{';
    if (form == ROW_OBJECT && !is_object) {
        action_fail(emission, "the row is not a JSON object");
        return false;
    }
    if (form == ROW_JSON && !row->payload_is_json) {
        action_fail(emission, "the row is not JSON");
        return false;
    }
    return true;
}

static bool
fill_params(struct action_emission *emission)
{
    const struct action *action = emission->action;
    struct buf params = {.arena = emission->run->arena};
    struct bytes failure = {0};
    if (action->is_fixed) {
        emission->output.params = action->params;
        return true;
    }
    if (!action_write_params(&params, &action->root, emission->run, &failure)) {
        action_fail(emission, "%.*s", BYTES_ARG(failure));
        return false;
    }
    emission->output.params = buf_bytes(&params);
    return true;
}

void
action_run(const struct action *action, const struct rule_output *output, struct run *run,
           const struct rule_row *row, struct output_list *list)
{
    struct action_emission emission = {
            .action = action, .run = run, .row = row, .output = *output, .list = list};
    bool is_topic = action->kind->naming == NAMING_TOPIC;
    if ((!is_topic || check_topic(&emission)) && check_row(&emission) && fill_params(&emission)) {
        action->kind->encode(&emission);
    }
}

/* ---- encoders ---- */

void
action_encode_plain(struct action_emission *emission)
{
    action_emit(emission, emission->row->payload, emission->row->payload_is_json);
}

/* The row as a document; false when it is none. */
static bool
parse_row(const struct action_emission *emission, struct json *out)
{
    struct json_error error;
    return emission->row->payload_is_json &&
           json_parse(out, emission->row->payload, PAYLOAD_DEPTH_MAX, emission->run->arena,
                      &error);
}

/* Whether the action splits arrays, and the row is one. */
static bool
is_batch(const struct action_emission *emission, unsigned parameter, struct json *json)
{
    return action_value(emission, parameter)->flag && parse_row(emission, json) &&
           json->nodes[0].kind == JSON_ARRAY;
}

static struct bytes
with_separator(const struct action_emission *emission, struct bytes payload)
{
    struct bytes separator = action_value(emission, PARAMETER_OF(firehose, separator))->text;
    if (separator.size == 0) {
        return payload;
    }
    struct buf record = {.arena = emission->run->arena};
    buf_append(&record, payload);
    buf_append(&record, separator);
    return buf_bytes(&record);
}

void
action_encode_firehose(struct action_emission *emission)
{
    struct json json;
    if (!is_batch(emission, PARAMETER_OF(firehose, batchMode), &json) ||
        json.nodes[0].count > FIREHOSE_BATCH_MAX) {
        action_emit(emission, with_separator(emission, emission->row->payload),
                    emission->row->payload_is_json);
        return;
    }
    for (uint32_t node = 1; node < json.nodes[0].next; node = json.nodes[node].next) {
        action_emit(emission, with_separator(emission, json_raw(&json, node)), true);
    }
}

/* One record an element. */
static void
emit_elements(struct action_emission *emission, unsigned parameter, uint32_t max)
{
    struct json json;
    if (!action_value(emission, parameter)->flag) {
        action_encode_plain(emission);
        return;
    }
    if (!is_batch(emission, parameter, &json)) {
        action_fail(emission, "with 'batchMode' the row has to be an array");
        return;
    }
    if (json.nodes[0].count > max) {
        action_fail(emission, "the array has %u elements, and AWS takes at most %u",
                    json.nodes[0].count, max);
        return;
    }
    for (uint32_t node = 1; node < json.nodes[0].next; node = json.nodes[node].next) {
        action_emit(emission, json_raw(&json, node), true);
    }
}

void
action_encode_analytics(struct action_emission *emission)
{
    emit_elements(emission, PARAMETER_OF(iotAnalytics, batchMode), ANALYTICS_BATCH_MAX);
}

void
action_encode_events(struct action_emission *emission)
{
    emit_elements(emission, PARAMETER_OF(iotEvents, batchMode), EVENTS_BATCH_MAX);
}

/* The params of the action with one member more. */
static struct bytes
with_member(struct bytes params, const char *name, struct bytes json, struct arena *arena)
{
    struct buf out = {.arena = arena};
    bool has_members = params.size > 2;
    buf_append(&out, has_members ? bytes_slice(params, 0, params.size - 1) : BYTES("{"));
    buf_printf(&out, "%s\"%s\":%.*s}", has_members ? "," : "", name, BYTES_ARG(json));
    return buf_bytes(&out);
}

/* [{"timestamp": ms, "message": "text"}, ...] */
void
action_encode_logs(struct action_emission *emission)
{
    struct json json;
    struct arena *arena = emission->run->arena;
    struct bytes params = emission->output.params;
    struct output_list *list = emission->list;
    size_t before = list->count;
    int64_t time;
    if (!action_value(emission, PARAMETER_OF(cloudwatchLogs, batchMode))->flag) {
        action_encode_plain(emission);
        return;
    }
    if (!is_batch(emission, PARAMETER_OF(cloudwatchLogs, batchMode), &json) ||
        json.nodes[0].count > LOGS_BATCH_MAX) {
        action_fail(emission, "with 'batchMode' the row has to be an array of at most %d elements",
                    LOGS_BATCH_MAX);
        return;
    }
    for (uint32_t node = 1; node < json.nodes[0].next; node = json.nodes[node].next) {
        bool is_object = json.nodes[node].kind == JSON_OBJECT;
        uint32_t at = is_object ? json_member(&json, node, BYTES("timestamp")) : 0;
        uint32_t message = is_object ? json_member(&json, node, BYTES("message")) : 0;
        if (at == 0 || message == 0 || json.nodes[at].kind != JSON_NUMBER ||
            !json_int64(&json, at, &time) || json.nodes[message].kind != JSON_STRING) {
            list->count = before;
            emission->output.params = params;
            action_fail(emission, "with 'batchMode' each element has to be {\"timestamp\": "
                                  "milliseconds, \"message\": \"text\"}");
            return;
        }
        emission->output.params = with_member(params, "timestamp", json_raw(&json, at), arena);
        action_emit(emission, json_string(&json, message, arena), false);
    }
}

void
action_encode_sqs(struct action_emission *emission)
{
    if (!action_value(emission, PARAMETER_OF(sqs, useBase64))->flag) {
        action_encode_plain(emission);
        return;
    }
    struct buf text = {.arena = emission->run->arena};
    base64_encode(&text, emission->row->payload);
    action_emit(emission, buf_bytes(&text), false);
}

/* ---- dynamoDB ---- */

/* Whether a key's value, filled in, is of the key's type. */
static bool
check_key(struct action_emission *emission, unsigned value, unsigned type)
{
    const struct action_value *parameter = action_value(emission, value);
    struct bytes text = action_text(parameter, emission->run);
    struct value string = value_string(text);
    struct decimal number;
    bool is_number = bytes_equal(action_value(emission, type)->text, BYTES("NUMBER"));
    if (text.size > 0 && (!is_number || value_to_number(&string, &number, emission->run->arena))) {
        return true;
    }
    action_fail(emission, "'%s' came out as '%.*s', which is %s", parameter->parameter->name,
                BYTES_ARG(bytes_slice(text, 0, 100)), text.size == 0 ? "empty" : "not a number");
    return false;
}

void
action_encode_dynamodb(struct action_emission *emission)
{
    bool has_range = action_value(emission, PARAMETER_OF(dynamoDB, rangeKeyField))->is_set;
    if (check_key(emission, PARAMETER_OF(dynamoDB, hashKeyValue),
                  PARAMETER_OF(dynamoDB, hashKeyType)) &&
        (!has_range || check_key(emission, PARAMETER_OF(dynamoDB, rangeKeyValue),
                                 PARAMETER_OF(dynamoDB, rangeKeyType)))) {
        action_encode_plain(emission);
    }
}

/* ---- timestream ---- */

const char *
action_measure_type(const struct json *json, uint32_t node)
{
    switch ((enum json_kind)json->nodes[node].kind) {
    case JSON_NULL:
        return NULL;
    case JSON_FALSE:
    case JSON_TRUE:
        return "BOOLEAN";
    case JSON_NUMBER:
        return json->nodes[node].flags & JSON_INTEGER ? "BIGINT" : "DOUBLE";
    case JSON_STRING:
    case JSON_ARRAY:
    case JSON_OBJECT:
        return "VARCHAR";
    }
    never("all kinds are listed");
}

/* Names that Timestream keeps for itself. */
static bool
is_reserved_measure(struct bytes name)
{
    return bytes_equal(name, BYTES("time")) || bytes_equal(name, BYTES("measure_name")) ||
           bytes_starts_with(name, BYTES("measure_value")) ||
           bytes_starts_with(name, BYTES("ts_")) || bytes_find(name, ':') < name.size ||
           name.size == 0;
}

void
action_encode_timestream(struct action_emission *emission)
{
    struct json json;
    uint32_t measures = 0;
    if (!parse_row(emission, &json)) {
        action_fail(emission, "the row is nested too deep");
        return;
    }
    for (uint32_t name = 1; name < json.nodes[0].next; name = json.nodes[name + 1].next) {
        struct bytes text = json_string(&json, name, emission->run->arena);
        const char *type = action_measure_type(&json, name + 1);
        int64_t whole;
        if (is_reserved_measure(text)) {
            action_fail(emission, "'%.*s' cannot be the name of a measure", BYTES_ARG(text));
            return;
        }
        if (type != NULL && strcmp(type, "BIGINT") == 0 && !json_int64(&json, name + 1, &whole)) {
            action_fail(emission, "'%.*s' does not fit a BIGINT", BYTES_ARG(text));
            return;
        }
        measures += type != NULL;
    }
    if (measures == 0 || measures > MEASURES_MAX) {
        action_fail(emission, "the row has %u measures, and Timestream takes 1 to %d", measures,
                    MEASURES_MAX);
        return;
    }
    action_encode_plain(emission);
}
