/*
 * iot-sql: {id, area, sql, topic, payload, expect} and, where needed, context, version, template,
 * raw_payload, cmp ("approx"), exact. A payload or expectation of {"base64": ...} is raw bytes;
 * {"nomatch": true} means no row, {"undefined": true} no payload, {"error": true} a rule that is
 * refused or fails. With "action" see action.h; an "action" of {"errorAction": true, "failures":
 * [...]} expects the payload of the error action.
 */
#include "action.h"
#include "base/base64.h"
#include "rules/topic.h"
#include "vector.h"

/* What a vector gave: text to show, and how it is to be judged. */
struct outcome {
    const char *kind; /* "row", "nomatch", "undefined", "error" */
    struct bytes text;
    bool is_json;
    bool partly; /* members beyond those that are expected do not count */
};

/* Actions pass texts on, and theirs are expected without blanks. */
static struct bytes
without_blanks(struct bytes json, struct arena *arena)
{
    struct buf out = {.arena = arena};
    bool in_string = false;
    for (size_t i = 0; i < json.size; i++) {
        char c = json.data[i];
        if (c == '"') {
            in_string = !in_string;
        } else if (c == '\\') {
            buf_append_char(&out, c);
            c = json.data[++i];
        }
        if (in_string || c != ' ') {
            buf_append_char(&out, c);
        }
    }
    return buf_bytes(&out);
}

static struct bytes
payload_of(struct vector *vector)
{
    uint32_t node = member(vector, "payload");
    if (member(vector, "raw_payload") != 0) {
        return member_string(vector, 0, "raw_payload");
    }
    if (!is_marked(&vector->json, node, "base64")) {
        struct bytes text = json_raw(&vector->json, node);
        return member(vector, "action") != 0 ? without_blanks(text, &vector->arena) : text;
    }
    struct buf bytes = {.arena = &vector->arena};
    check(base64_decode(&bytes, member_string(vector, node, "base64")));
    return buf_bytes(&bytes);
}

static int64_t
now_us(struct vector *vector)
{
    uint32_t context = member(vector, "context");
    uint32_t now = context == 0 ? 0 : json_member(&vector->json, context, BYTES("now_ms"));
    int64_t now_ms = INT64_C(1500000000000);
    if (now != 0) {
        check(json_int64(&vector->json, now, &now_ms));
    }
    return now_ms * 1000;
}

/* ---- context: what is known of the message beside topic and payload ---- */

static const struct rule_property *
user_properties(struct vector *vector, uint32_t list, size_t *count)
{
    const struct json *json = &vector->json;
    *count = json->nodes[list].count;
    struct rule_property *user = arena_new_array(&vector->arena, struct rule_property, *count);
    for (uint32_t i = 0; i < *count; i++) {
        uint32_t pair = json_element(json, list, i);
        user[i].name = json_string(json, json_element(json, pair, 0), &vector->arena);
        user[i].value = json_string(json, json_element(json, pair, 1), &vector->arena);
    }
    return user;
}

static void
set_properties(struct vector *vector, uint32_t mqtt5, struct rule_origin *origin)
{
    struct bytes correlation = member_string(vector, mqtt5, "correlation_data");
    uint32_t user = json_member(&vector->json, mqtt5, BYTES("user_properties"));
    origin->content_type = member_string(vector, mqtt5, "content_type");
    origin->response_topic = member_string(vector, mqtt5, "response_topic");
    origin->payload_is_text = bytes_equal(member_string(vector, mqtt5, "format_indicator"),
                                          BYTES("UTF8_DATA"));
    if (correlation.data != NULL) {
        struct buf bytes = {.arena = &vector->arena};
        check(base64_decode(&bytes, correlation));
        origin->correlation = buf_bytes(&bytes);
    }
    if (user != 0) {
        origin->user = user_properties(vector, user, &origin->user_count);
    }
}

static struct rule_origin
origin_of(struct vector *vector)
{
    struct rule_origin origin = {0};
    uint32_t context = member(vector, "context");
    if (context == 0) {
        return origin;
    }
    uint32_t mqtt5 = json_member(&vector->json, context, BYTES("mqtt5"));
    origin.account_id = member_string(vector, context, "accountid");
    origin.client_id = member_string(vector, context, "clientid");
    origin.principal = member_string(vector, context, "principal");
    origin.source_ip = member_string(vector, context, "sourceip");
    origin.trace_id = member_string(vector, context, "traceid");
    origin.trace_seed = member_string(vector, context, "protocol").data == NULL;
    if (mqtt5 != 0) {
        set_properties(vector, mqtt5, &origin);
    }
    return origin;
}

/* ---- what rules ask of others ---- */

/* "external" is {function: what it gives}, or else everything that is asked for fails. */
static enum rule_answer
answer(void *context, struct rule_ask *ask)
{
    static const char *const functions[] = {
            [RULE_ASK_SHADOW] = "get_thing_shadow",
            [RULE_ASK_ITEM] = "get_dynamodb",
            [RULE_ASK_SECRET] = "get_secret",
            [RULE_ASK_FUNCTION] = "aws_lambda",
            [RULE_ASK_THING] = "get_registry_data",
            [RULE_ASK_GROUPS] = "get_registry_data",
            [RULE_ASK_MODEL] = "machinelearning_predict",
            [RULE_ASK_DESCRIPTOR] = "decode",
    };
    struct vector *vector = context;
    const char *function = functions[ask->question];
    uint32_t parent = member(vector, "context");
    uint32_t external =
            parent == 0 ? 0 : json_member(&vector->json, parent, BYTES("external"));
    bool listed = external != 0 && vector->json.nodes[external].kind == JSON_OBJECT;
    uint32_t given =
            listed ? json_member(&vector->json, external, bytes_of_string(function)) : 0;
    if (given == 0) {
        ask->answer = BYTES("it fails");
        return RULE_ASK_FAILED;
    }
    ask->answer = ask->question == RULE_ASK_SECRET ? member_string(vector, external, function)
                                                   : json_raw(&vector->json, given);
    return RULE_ANSWERED;
}

static const struct zone *
find_zone(void *context, struct bytes name)
{
    const struct vector *vector = context;
    return vector->host->zone(vector->host->context, name);
}

/* ---- running ---- */

static struct rule_message
message_of(struct vector *vector, const struct rule_origin *origin)
{
    struct rule_host *host = arena_new(&vector->arena, struct rule_host);
    *host = (struct rule_host){.ask = answer, .zone = find_zone, .context = vector};
    return (struct rule_message){
            .arena = &vector->arena,
            .topic = member_string(vector, 0, "topic"),
            .payload = payload_of(vector),
            .time_us = now_us(vector),
            .seed = 7,
            .origin = origin,
            .host = host,
    };
}

/* What the rule's action made of the row; of a rule without one the row, or the template's text. */
static struct outcome
outcome_of(struct vector *vector, const struct rule *rule, const struct rule_row *row,
           bool template)
{
    struct outcome outcome = {"row", template ? row->outputs[0].text : row->payload,
                              row->payload_is_json && !template, false};
    uint32_t action = member(vector, "action");
    if (action != 0) {
        uint32_t expect = member(vector, "expect");
        bool is_list = vector->json.nodes[expect].kind == JSON_ARRAY;
        uint32_t sample = is_list && vector->json.nodes[expect].count > 0 ? expect + 1 : expect;
        bool is_text = vector->json.nodes[sample].kind == JSON_STRING;
        outcome.is_json = true;
        if (!action_result(&vector->json, action, rule, row, is_text, &vector->arena,
                           &outcome.text, &outcome.partly)) {
            outcome.kind = "error";
        }
    }
    return outcome;
}

static struct outcome
run_rule(struct vector *vector, const struct rule *rule, bool template)
{
    const struct rule_origin origin = origin_of(vector);
    struct rule_message message = message_of(vector, &origin);
    struct bytes name, rest;
    const struct rule_info *info = rule_info(rule);
    bool direct = topic_is_basic_ingest(message.topic, &name, &rest);
    if (!direct && (info->source.size == 0 || !topic_match(info->source, message.topic))) {
        return (struct outcome){.kind = "nomatch"};
    }
    struct rule_row row;
    switch (rule_run(rule, &message, &row)) {
    case RULE_MATCHED:
        return outcome_of(vector, rule, &row, template);
    case RULE_NOTHING:
        return (struct outcome){.kind = "undefined"};
    case RULE_FAILED:
        return (struct outcome){.kind = "error", .text = bytes_of_string(row.reason)};
    default:
        return (struct outcome){.kind = "nomatch"};
    }
}

/* The payload that the rule's error action gets for the failures of the vector. */
static struct outcome
run_error_action(struct vector *vector, const struct rule *rule, uint32_t list)
{
    const struct rule_origin origin = origin_of(vector);
    struct rule_message message = message_of(vector, &origin);
    uint32_t count = vector->json.nodes[list].count;
    struct rule_failure *failures = arena_new_array(&vector->arena, struct rule_failure, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t node = json_element(&vector->json, list, i);
        failures[i] = (struct rule_failure){
                .action = member_string(vector, node, "failedAction"),
                .resource = member_string(vector, node, "failedResource"),
                .message = member_string(vector, node, "errorMessage"),
        };
    }
    struct rule_row row;
    rule_run_error(rule, &message, failures, count, &row);
    return (struct outcome){"row", row.outputs[0].payload, true, false};
}

/* Judges a row against the expected JSON value, raw bytes, or (of a template) text. */
static bool
row_is_expected(struct vector *vector, uint32_t expect, const struct outcome *outcome)
{
    if (is_marked(&vector->json, expect, "base64")) {
        struct buf bytes = {.arena = &vector->arena};
        check(base64_decode(&bytes, member_string(vector, expect, "base64")));
        return bytes_equal(buf_bytes(&bytes), outcome->text);
    }
    bool template = member(vector, "template") != 0 &&
                    vector->json.nodes[expect].kind == JSON_STRING;
    if (template) {
        return bytes_equal(json_string(&vector->json, expect, &vector->arena), outcome->text);
    }
    struct json row;
    struct json_error error;
    if (!outcome->is_json || !json_parse(&row, outcome->text, 1000, &vector->arena, &error)) {
        return false;
    }
    bool nearly = bytes_equal(member_string(vector, 0, "cmp"), BYTES("approx"));
    bool exact = member(vector, "exact") != 0;
    enum comparing how = outcome->partly ? PARTLY : nearly ? NEARLY : exact ? BY_TEXT : BY_VALUE;
    bool is_wrapped = outcome->partly && row.nodes[0].kind == JSON_OBJECT;
    uint32_t payload = is_wrapped ? json_member(&row, 0, BYTES("payload")) : 0;
    return nodes_equal(&vector->json, expect, &row, 0, how, &vector->arena) ||
           (payload != 0 &&
            nodes_equal(&vector->json, expect, &row, payload, BY_VALUE, &vector->arena));
}

/* The rule: its SQL, or a document around the vector's action. */
static bool
load_rule(struct vector *vector, struct rule_file **out, struct diag_list *diags)
{
    struct bytes template = member_string(vector, 0, "template");
    struct bytes version = member_string(vector, 0, "version");
    uint32_t action = member(vector, "action"), context = member(vector, "context");
    struct rule_sql sql = {
            .path = vector->id,
            .name = vector->id,
            .sql = member_string(vector, 0, "sql"),
            .version_2015 = bytes_equal(version, BYTES("2015-10-08")),
            .templates = &template,
            .template_count = template.data != NULL,
    };
    if (action == 0) {
        return rule_sql_parse(out, &sql, diags);
    }
    struct bytes name = context == 0 ? bytes_of(NULL, 0) : member_string(vector, context, "rule");
    struct bytes document = action_document(&vector->json, action, sql.sql, version,
                                            &vector->arena);
    return rule_document_parse(out, name.data == NULL ? BYTES("vector") : name, document, diags);
}

bool
run_iot_sql(struct vector *vector, struct buf *out)
{
    uint32_t expect = member(vector, "expect"), action = member(vector, "action");
    bool templated = member_string(vector, 0, "template").data != NULL &&
                     vector->json.nodes[expect].kind == JSON_STRING;
    uint32_t failures = action == 0 ? 0 : json_member(&vector->json, action, BYTES("failures"));
    struct diag_list diags = {0};
    struct rule_file *file = NULL;
    struct outcome outcome;
    if (!load_rule(vector, &file, &diags)) {
        outcome = (struct outcome){
                .kind = "error", .text = arena_copy(&vector->arena, diag_first_error(&diags))};
    } else if (failures != 0) {
        outcome = run_error_action(vector, file->rules[0], failures);
    } else {
        outcome = run_rule(vector, file->rules[0], templated);
    }
    bool row = strcmp(outcome.kind, "row") == 0;
    bool passed = row ? row_is_expected(vector, expect, &outcome)
                      : is_marked(&vector->json, expect, outcome.kind);
    buf_printf(out, "%s %.*s", outcome.kind, BYTES_ARG(outcome.text));
    rule_file_free(file);
    diag_list_fini(&diags);
    return passed;
}
