/*
 * From the JSON text of parameters to the headers of a publication. Members that are not known are
 * passed over: they are of a later version.
 */
#include "topic_params.h"

#include "base/base64.h"
#include "base/json.h"
#include "base/wire.h"
#include "publisher.h"

enum { TEXT_BYTES_MAX = 65535 }; /* of a string or binary property of MQTT 5 */

struct reading {
    const struct json *json;
    struct arena *arena;
    struct bytes *reason;
};

static bool
refuse(struct reading *reading, const char *name, const char *why)
{
    *reading->reason = arena_printf(reading->arena, "the header '%s' %s", name, why);
    return false;
}

/* The text of a member of an object; empty when it is absent. */
static bool
read_text(struct reading *reading, uint32_t object, const char *name, struct bytes *out)
{
    uint32_t node = json_member(reading->json, object, bytes_of_string(name));
    *out = BYTES("");
    if (node == 0 || reading->json->nodes[node].kind == JSON_NULL) {
        return true;
    }
    if (reading->json->nodes[node].kind != JSON_STRING) {
        return refuse(reading, name, "is not a string");
    }
    *out = json_string(reading->json, node, reading->arena);
    if (out->size > TEXT_BYTES_MAX) {
        return refuse(reading, name, "is longer than 65535 bytes");
    }
    return bytes_find(*out, '\0') == out->size || refuse(reading, name, "holds a NUL");
}

static bool
read_format(struct reading *reading, uint32_t headers, unsigned *flags)
{
    struct bytes format;
    if (!read_text(reading, headers, "payloadFormatIndicator", &format)) {
        return false;
    }
    if (bytes_equal(format, BYTES("UTF8_DATA"))) {
        *flags |= PUBLISHER_TEXT;
        return true;
    }
    return format.size == 0 || bytes_equal(format, BYTES("UNSPECIFIED_BYTES")) ||
           refuse(reading, "payloadFormatIndicator", "is neither UTF8_DATA nor UNSPECIFIED_BYTES");
}

static bool
read_expiry(struct reading *reading, uint32_t headers, unsigned *flags, uint64_t *seconds)
{
    struct bytes text;
    int64_t number = 0;
    if (!read_text(reading, headers, "messageExpiry", &text)) {
        return false;
    }
    if (text.size == 0) {
        return true;
    }
    if (!bytes_to_int64(text, &number) || number < 0 || number > UINT32_MAX) {
        return refuse(reading, "messageExpiry", "is not a number of seconds up to 4294967295");
    }
    *flags |= PUBLISHER_EXPIRES;
    *seconds = (uint64_t)number;
    return true;
}

static bool
read_response_topic(struct reading *reading, uint32_t headers, struct bytes *topic)
{
    return read_text(reading, headers, "responseTopic", topic) &&
           ((bytes_find(*topic, '+') == topic->size && bytes_find(*topic, '#') == topic->size) ||
            refuse(reading, "responseTopic", "holds a wildcard"));
}

static bool
read_correlation(struct reading *reading, uint32_t headers, struct bytes *data)
{
    struct bytes text;
    struct buf decoded = {.arena = reading->arena};
    if (!read_text(reading, headers, "correlationData", &text)) {
        return false;
    }
    if (!base64_decode(&decoded, text)) {
        return refuse(reading, "correlationData", "is not base64");
    }
    *data = buf_bytes(&decoded);
    return true;
}

static bool
read_users(struct reading *reading, uint32_t headers, struct buf *out)
{
    const struct json_node *nodes = reading->json->nodes;
    uint32_t list = json_member(reading->json, headers, BYTES("userProperties"));
    if (list == 0 || nodes[list].kind != JSON_ARRAY) {
        wire_put_varint(out, 0);
        return list == 0 || refuse(reading, "userProperties", "is not a list");
    }
    wire_put_varint(out, nodes[list].count);
    for (uint32_t at = list + 1; at < nodes[list].next; at = nodes[at].next) {
        struct bytes key, value;
        if (nodes[at].kind != JSON_OBJECT) {
            return refuse(reading, "userProperties", "holds something that is no object");
        }
        if (!read_text(reading, at, "key", &key) || !read_text(reading, at, "value", &value)) {
            return false;
        }
        wire_put_bytes(out, key);
        wire_put_bytes(out, value);
    }
    return true;
}

static bool
read_headers(struct reading *reading, uint32_t headers, struct bytes *out)
{
    struct bytes content_type, response_topic, correlation;
    unsigned flags = 0;
    uint64_t seconds = 0;
    if (!read_format(reading, headers, &flags) ||
        !read_expiry(reading, headers, &flags, &seconds) ||
        !read_text(reading, headers, "contentType", &content_type) ||
        !read_response_topic(reading, headers, &response_topic) ||
        !read_correlation(reading, headers, &correlation)) {
        return false;
    }
    struct buf encoded = {.arena = reading->arena};
    wire_put_u8(&encoded, (uint8_t)flags);
    wire_put_varint(&encoded, seconds);
    wire_put_bytes(&encoded, content_type);
    wire_put_bytes(&encoded, response_topic);
    wire_put_bytes(&encoded, correlation);
    if (!read_users(reading, headers, &encoded)) {
        return false;
    }
    *out = buf_bytes(&encoded);
    return true;
}

bool
topic_params_read(struct bytes params, struct arena *arena, struct topic_params *out,
                  struct bytes *reason)
{
    *out = (struct topic_params){.qos = -1};
    if (params.size == 0) {
        return true;
    }
    struct json json;
    struct json_error error;
    struct reading reading = {&json, arena, reason};
    if (!json_parse(&json, params, JSON_DEPTH_MAX_DEFAULT, arena, &error) ||
        json.nodes[0].kind != JSON_OBJECT) {
        *reason = BYTES("the action's parameters are not a JSON object");
        return false;
    }
    uint32_t qos = json_member(&json, 0, BYTES("qos"));
    int64_t number = -1;
    if (qos != 0 && (json.nodes[qos].kind != JSON_NUMBER || !json_int64(&json, qos, &number) ||
                     number < 0 || number > 1)) {
        *reason = BYTES("'qos' is neither 0 nor 1");
        return false;
    }
    out->qos = (int)number;
    uint32_t headers = json_member(&json, 0, BYTES("headers"));
    if (headers == 0) {
        return true;
    }
    if (json.nodes[headers].kind != JSON_OBJECT) {
        return refuse(&reading, "headers", "is not an object");
    }
    return read_headers(&reading, headers, &out->headers);
}
