/*
 * Input lines: `topic payload`, or a JSON object whose members are those that mosquitto_sub -F %J
 * prints, so that a recording of a broker's messages with all their properties is an input file.
 */
#include "trial.h"

#include "base/base64.h"
#include "base/calendar.h"
#include "base/json.h"
#include "rules/topic.h"

const char trial_line_forms[] =
        "a line is `topic payload`, or {\"topic\":...,\"payload\":...,\"at\":...}";

/* A line on its way into a message. */
struct reading {
    struct json json;
    struct bytes line;
    const struct diag_place *place; /* of the line's first byte */
    struct arena *arena;
    struct diag_list *diags;
    struct trial_message *out;
    bool has_topic, has_payload;
};

/* A member that an object may have. */
struct member {
    const char *name;
    bool (*read)(struct reading *reading, uint32_t node, const struct member *member);
    size_t offset; /* of a text in struct rule_origin */
};

bool
trial_time_parse(struct bytes text, int64_t *out_us)
{
    int64_t number;
    if (bytes_to_int64(text, &number)) {
        bool in_range = number >= -TRIAL_TIME_MAX_US / 1000 && number <= TRIAL_TIME_MAX_US / 1000;
        *out_us = in_range ? number * 1000 : 0;
        return in_range;
    }
    if (!calendar_parse(text, &number)) {
        return false;
    }
    *out_us = number / CALENDAR_NS_PER_US;
    return true;
}

static bool
fail_at(const struct reading *reading, size_t offset, size_t length, const char *what,
        const char *hint)
{
    struct diag_place place = *reading->place;
    place.column += (unsigned)offset;
    place.length = (unsigned)length;
    diag_at(reading->diags, DIAG_ERROR, &place, "%s", what);
    diag_hint(reading->diags, "%s", hint);
    return false;
}

static bool
fail_node(const struct reading *reading, uint32_t node, const char *what, const char *hint)
{
    const struct json_node *at = &reading->json.nodes[node];
    return fail_at(reading, at->start, at->end - at->start, what, hint);
}

static bool
read_text(const struct reading *reading, uint32_t node, struct bytes *out)
{
    if (reading->json.nodes[node].kind != JSON_STRING) {
        return fail_node(reading, node, "not a text", "write it in double quotes");
    }
    *out = json_string(&reading->json, node, reading->arena);
    return true;
}

/* ---- members ---- */

static bool
read_topic(struct reading *reading, uint32_t node, const struct member *member)
{
    reading->has_topic = true;
    return read_text(reading, node, &reading->out->topic);
}

static bool
read_stream(struct reading *reading, uint32_t node, const struct member *member)
{
    reading->has_topic = true;
    if (!read_text(reading, node, &reading->out->stream)) {
        return false;
    }
    return reading->out->stream.size > 0 ||
           fail_node(reading, node, "an empty name", "a stream is named like its function");
}

static bool
read_payload(struct reading *reading, uint32_t node, const struct member *member)
{
    reading->has_payload = true;
    reading->out->payload = reading->json.nodes[node].kind == JSON_STRING
                                    ? json_string(&reading->json, node, reading->arena)
                                    : json_raw(&reading->json, node);
    return true;
}

static bool
read_base64(struct reading *reading, uint32_t node, const struct member *member)
{
    struct bytes text;
    struct buf bytes = {.arena = reading->arena};
    reading->has_payload = true;
    if (!read_text(reading, node, &text)) {
        return false;
    }
    if (!base64_decode(&bytes, text)) {
        return fail_node(reading, node, "not base64", "the alphabet is A-Z a-z 0-9 + /");
    }
    reading->out->payload = buf_bytes(&bytes);
    return true;
}

/* mosquitto_sub writes 2026-01-31T12:00:00.000000Z+0100 and means +0100. */
static struct bytes
without_surplus_zone(struct bytes text, struct arena *arena)
{
    size_t z = bytes_find(text, 'Z');
    if (z + 1 >= text.size) {
        return text;
    }
    return arena_printf(arena, "%.*s%.*s", BYTES_ARG(bytes_slice(text, 0, z)),
                        BYTES_ARG(bytes_slice(text, z + 1, text.size)));
}

static bool
read_time(struct reading *reading, uint32_t node, const struct member *member)
{
    struct bytes text = reading->json.nodes[node].kind == JSON_STRING
                                ? json_string(&reading->json, node, reading->arena)
                                : json_raw(&reading->json, node);
    reading->out->has_time = true;
    return trial_time_parse(without_surplus_zone(text, reading->arena),
                            &reading->out->time_us) ||
           fail_node(reading, node, "not a time",
                     "write milliseconds since 1970, or text like \"2026-01-31T12:00:00Z\"");
}

static bool
read_qos(struct reading *reading, uint32_t node, const struct member *member)
{
    int64_t qos = -1;
    if (reading->json.nodes[node].kind != JSON_NUMBER ||
        !json_int64(&reading->json, node, &qos) || qos < 0 || qos > 2) {
        return fail_node(reading, node, "not a quality of service", "write 0, 1 or 2");
    }
    reading->out->qos = (unsigned)qos;
    return true;
}

static bool
pass_over(struct reading *reading, uint32_t node, const struct member *member)
{
    return true;
}

static bool
read_origin(struct reading *reading, uint32_t node, const struct member *member)
{
    void *text = (char *)&reading->out->origin + member->offset;
    return read_text(reading, node, text);
}

static bool
read_format(struct reading *reading, uint32_t node, const struct member *member)
{
    int64_t format = -1;
    if (reading->json.nodes[node].kind != JSON_NUMBER ||
        !json_int64(&reading->json, node, &format) || format < 0 || format > 1) {
        return fail_node(reading, node, "not a payload format", "write 0 for bytes, 1 for text");
    }
    reading->out->origin.payload_is_text = format == 1;
    return true;
}

static bool
read_user(struct reading *reading, uint32_t node, const struct member *member)
{
    const struct json *json = &reading->json;
    if (json->nodes[node].kind != JSON_OBJECT) {
        return fail_node(reading, node, "not an object", "write {\"name\":\"value\"}");
    }
    size_t count = json->nodes[node].count;
    struct rule_property *user = arena_new_array(reading->arena, struct rule_property, count);
    uint32_t key = node + 1;
    for (size_t i = 0; i < count; i++) {
        user[i].name = json_string(json, key, reading->arena);
        if (!read_text(reading, key + 1, &user[i].value)) {
            return false;
        }
        key = json->nodes[key + 1].next;
    }
    reading->out->origin.user = user;
    reading->out->origin.user_count = count;
    return true;
}

/* ---- objects ---- */

static const char *
member_name_at(const void *context, size_t i)
{
    return ((const struct member *)context)[i].name;
}

static bool
unknown_member(const struct reading *reading, uint32_t key, const struct member *members,
               size_t count)
{
    struct bytes name = json_string(&reading->json, key, reading->arena);
    const char *nearest = diag_nearest(name, count, member_name_at, members);
    fail_node(reading, key, "unknown member", trial_line_forms);
    if (nearest != NULL) {
        diag_hint(reading->diags, "did you mean '%s'?", nearest);
    }
    return false;
}

static bool
read_members(struct reading *reading, uint32_t object, const struct member *members, size_t count)
{
    const struct json *json = &reading->json;
    if (json->nodes[object].kind != JSON_OBJECT) {
        return fail_node(reading, object, "not an object", trial_line_forms);
    }
    for (uint32_t key = object + 1; key < json->nodes[object].next;
         key = json->nodes[key + 1].next) {
        size_t i = 0;
        struct bytes name = json_string(json, key, reading->arena);
        while (i < count && !bytes_equal_string(name, members[i].name)) {
            i++;
        }
        if (i == count) {
            return unknown_member(reading, key, members, count);
        }
        if (!members[i].read(reading, key + 1, &members[i])) {
            return false;
        }
    }
    return true;
}

static bool
read_properties(struct reading *reading, uint32_t node, const struct member *member)
{
    static const struct member members[] = {
            {"content-type", read_origin, offsetof(struct rule_origin, content_type)},
            {"response-topic", read_origin, offsetof(struct rule_origin, response_topic)},
            {"correlation-data", read_origin, offsetof(struct rule_origin, correlation)},
            {"payload-format-indicator", read_format, 0},
            {"user-properties", read_user, 0},
            {"message-expiry-interval", pass_over, 0},
            {"topic-alias", pass_over, 0},
            {"subscription-identifier", pass_over, 0},
    };
    return read_members(reading, node, members, sizeof members / sizeof *members);
}

static bool
read_identity(struct reading *reading, uint32_t node, const struct member *member)
{
    static const struct member members[] = {
            {"account_id", read_origin, offsetof(struct rule_origin, account_id)},
            {"client_id", read_origin, offsetof(struct rule_origin, client_id)},
            {"principal", read_origin, offsetof(struct rule_origin, principal)},
            {"source_ip", read_origin, offsetof(struct rule_origin, source_ip)},
            {"trace_id", read_origin, offsetof(struct rule_origin, trace_id)},
    };
    return read_members(reading, node, members, sizeof members / sizeof *members);
}

static bool
parse_json(struct reading *reading)
{
    static const struct member members[] = {
            {"topic", read_topic, 0},       {"stream", read_stream, 0},
            {"payload", read_payload, 0},   {"base64", read_base64, 0},
            {"at", read_time, 0},           {"tst", read_time, 0},
            {"qos", read_qos, 0},           {"properties", read_properties, 0},
            {"identity", read_identity, 0}, {"retain", pass_over, 0},
            {"payloadlen", pass_over, 0},   {"mid", pass_over, 0},
    };
    struct json_error error;
    if (!json_parse(&reading->json, reading->line, JSON_DEPTH_MAX_DEFAULT, reading->arena,
                    &error)) {
        return fail_at(reading, error.offset, 1, error.message, trial_line_forms);
    }
    if (!read_members(reading, 0, members, sizeof members / sizeof *members)) {
        return false;
    }
    if (!reading->has_topic || !reading->has_payload) {
        return fail_at(reading, 0, 1,
                       reading->has_topic ? "no \"payload\"" : "no \"topic\"", trial_line_forms);
    }
    if (reading->out->topic.size > 0 && reading->out->stream.size > 0) {
        return fail_at(reading, 0, 1, "both a topic and a stream", trial_line_forms);
    }
    return true;
}

bool
trial_message_parse(struct trial_message *out, struct bytes line, const struct diag_place *place,
                    struct arena *arena, struct diag_list *diags)
{
    struct trial_message message = {0};
    struct reading reading = {
            .line = line, .place = place, .arena = arena, .diags = diags, .out = &message};
    size_t blank = bytes_find(line, ' ');
    bool parsed = true;
    if (line.data[0] == '{') {
        parsed = parse_json(&reading);
    } else if (blank == line.size || blank == 0) {
        parsed = fail_at(&reading, 0, line.size,
                         blank == 0 ? "no topic before the blank" : "no payload behind the topic",
                         trial_line_forms);
    } else {
        message.topic = bytes_slice(line, 0, blank);
        message.payload = bytes_slice(line, blank + 1, line.size);
        if (bytes_equal(message.payload, BYTES("(null)"))) { /* so mosquitto_sub shows nothing */
            message.payload.size = 0;
        }
    }
    if (parsed && message.stream.size == 0 && !topic_is_valid(message.topic)) {
        parsed = fail_at(&reading, 0, 1, "no message can have this topic",
                         "a topic is UTF-8, not empty, and has no +, # and NUL");
    }
    if (parsed) {
        *out = message;
    }
    return parsed;
}
