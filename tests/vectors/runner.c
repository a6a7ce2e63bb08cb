/*
 * vectors KIND FILE.jsonl [PENDING]
 *
 * Runs a file of test vectors, one JSON object a line, against the library. For each failure one
 * line is printed (id, what was expected, what came), then "N passed, N failed". PENDING lists what
 * is not built yet, a line each: an id or an area, and the reason. A pending vector is run all the
 * same: it is an error when it passes, so that the list can only shrink.
 *
 * KIND iot-sql: {id, area, sql, topic, payload, expect} and, where needed, context, version,
 * template, raw_payload, cmp ("approx"), exact. A payload or expectation of {"base64": ...} is raw
 * bytes; {"nomatch": true} means no row, {"undefined": true} no payload, {"error": true} a rule
 * that is refused or fails. With "action" see action.h; an "action" of {"errorAction": true,
 * "failures": [...]} expects the payload of the error action.
 */
#include "action.h"
#include "base/base64.h"
#include "base/json.h"
#include "host.h"
#include "rules/rule.h"
#include "rules/topic.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- the file ---- */

static struct bytes
read_file(const char *path, struct arena *arena)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    struct buf content = {.arena = arena};
    size_t got;
    do {
        got = fread(buf_reserve(&content, 65536), 1, 65536, file);
        content.size += got;
    } while (got > 0);
    fclose(file);
    return buf_bytes(&content);
}

struct vector {
    struct json json;
    struct arena arena;
    struct bytes id;
    struct bytes area;
    const struct rule_host *host;
};

static struct bytes
member_string(struct vector *vector, uint32_t object, const char *name)
{
    uint32_t node = json_member(&vector->json, object, bytes_of_string(name));
    bool string = node != 0 && vector->json.nodes[node].kind == JSON_STRING;
    return string ? json_string(&vector->json, node, &vector->arena) : bytes_of(NULL, 0);
}

static uint32_t
member(const struct vector *vector, const char *name)
{
    return json_member(&vector->json, 0, bytes_of_string(name));
}

/* Whether the node is {"name": ...} and nothing else. */
static bool
is_marked(const struct json *json, uint32_t node, const char *name)
{
    return json->nodes[node].kind == JSON_OBJECT && json->nodes[node].count == 1 &&
           json_member(json, node, bytes_of_string(name)) != 0;
}

/* ---- comparing ---- */

enum comparing { BY_VALUE, BY_TEXT, NEARLY, PARTLY };

static bool
numbers_equal(const struct json *a, uint32_t x, const struct json *b, uint32_t y,
              enum comparing how)
{
    double p = json_double(a, x), q = json_double(b, y);
    if (how == BY_TEXT) {
        return bytes_equal(json_raw(a, x), json_raw(b, y));
    }
    return how == NEARLY ? fabs(p - q) <= 1e-14 * fmax(fabs(p), fabs(q)) || fabs(p - q) < 1e-300
                         : p == q;
}

static bool
nodes_equal(const struct json *a, uint32_t x, const struct json *b, uint32_t y,
            enum comparing how, struct arena *arena)
{
    const struct json_node *p = &a->nodes[x], *q = &b->nodes[y];
    bool fewer = how == PARTLY && p->kind == JSON_OBJECT && p->count <= q->count;
    if (p->kind != q->kind || (p->count != q->count && !fewer)) {
        return false;
    }
    switch ((enum json_kind)p->kind) {
    case JSON_NUMBER:
        return numbers_equal(a, x, b, y, how);
    case JSON_STRING:
        return bytes_equal(json_string(a, x, arena), json_string(b, y, arena));
    case JSON_ARRAY:
        for (uint32_t i = 0; i < p->count; i++) {
            if (!nodes_equal(a, json_element(a, x, i), b, json_element(b, y, i), how, arena)) {
                return false;
            }
        }
        return true;
    case JSON_OBJECT:
        for (uint32_t i = 0, name = x + 1; i < p->count; i++, name = a->nodes[name + 1].next) {
            uint32_t other = json_member(b, y, json_string(a, name, arena));
            if (other == 0 || !nodes_equal(a, name + 1, b, other, how, arena)) {
                return false;
            }
        }
        return true;
    default:
        return true;
    }
}

/* ---- iot-sql ---- */

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

/* ---- running ---- */

static struct rule_message
message_of(struct vector *vector, const struct rule_origin *origin)
{
    return (struct rule_message){
            .arena = &vector->arena,
            .topic = member_string(vector, 0, "topic"),
            .payload = payload_of(vector),
            .time_us = now_us(vector),
            .seed = 7,
            .origin = origin,
            .host = vector->host,
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
    return nodes_equal(&vector->json, expect, &row, 0,
                       outcome->partly ? PARTLY
                       : nearly        ? NEARLY
                       : exact         ? BY_TEXT
                                       : BY_VALUE,
                       &vector->arena);
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

/* Whether it passed; `out` holds what came otherwise. */
static bool
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

/* ---- pending ---- */

/* The line of `list` that names the vector's id or area; false when there is none. */
static bool
is_pending(struct bytes list, const struct vector *vector)
{
    struct bytes line;
    while (bytes_split(&list, '\n', &line)) {
        struct bytes name = bytes_slice(line, 0, bytes_find(line, ' '));
        if (name.size > 0 && (bytes_equal(name, vector->id) || bytes_equal(name, vector->area))) {
            return true;
        }
    }
    return false;
}

struct tally {
    unsigned passed, failed, pending;
};

static void
run_line(struct bytes line, struct bytes pending, const struct rule_host *host,
         struct tally *tally)
{
    struct vector vector = {.host = host};
    struct json_error error;
    if (!json_parse(&vector.json, line, 1000, &vector.arena, &error)) {
        printf("line is no JSON: %s\n", error.message);
        tally->failed++;
        arena_fini(&vector.arena);
        return;
    }
    vector.id = member_string(&vector, 0, "id");
    vector.area = member_string(&vector, 0, "area");
    struct buf got = {0};
    bool passed = run_iot_sql(&vector, &got);
    bool later = is_pending(pending, &vector);
    struct bytes expected = json_raw(&vector.json, member(&vector, "expect"));
    if (passed && later) {
        printf("%.*s: passes but is listed as pending\n", BYTES_ARG(vector.id));
        tally->failed++;
    } else if (passed) {
        tally->passed++;
    } else if (later) {
        tally->pending++;
    } else {
        printf("%.*s: expected %.*s, got %s\n", BYTES_ARG(vector.id), BYTES_ARG(expected),
               buf_string(&got));
        tally->failed++;
    }
    buf_fini(&got);
    arena_fini(&vector.arena);
}

int
main(int argc, char **argv)
{
    if (argc < 3 || argc > 4 || strcmp(argv[1], "iot-sql") != 0) {
        fprintf(stderr, "usage: vectors iot-sql FILE.jsonl [PENDING]\n");
        return 2;
    }
    struct arena arena = {0};
    struct bytes rest = read_file(argv[2], &arena), line;
    struct bytes pending = argc == 4 ? read_file(argv[3], &arena) : BYTES("");
    struct tally tally = {0};
    struct host host;
    host_init(&host, &os_posix);
    while (bytes_split(&rest, '\n', &line)) {
        if (line.size > 0) {
            run_line(line, pending, &host.rule, &tally);
        }
    }
    printf("%u passed, %u failed", tally.passed, tally.failed);
    if (argc == 4) {
        printf(", %u pending", tally.pending);
    }
    printf("\n");
    host_fini(&host);
    arena_fini(&arena);
    return tally.failed > 0 || tally.passed == 0;
}
