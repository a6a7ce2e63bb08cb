/*
 * Functions of the message. They are deterministic: time, and what looks random, come with it, so
 * that replaying a message gives the same rows.
 */
#include "fn.h"

#include "base/base64.h"
#include "topic.h"

#include <stdio.h>

void
fn_timestamp(const struct call *call, struct value *out)
{
    *out = value_int64(call->run->message->time_us / 1000);
}

void
fn_topic(const struct call *call, struct value *out)
{
    struct bytes topic = call->run->message->topic, rule, rest;
    if (topic_is_basic_ingest(topic, &rule, &rest)) {
        topic = rest;
    }
    if (call->count == 0) {
        *out = value_string(topic);
        return;
    }
    int64_t wanted;
    if (!call_index(call, 0, &wanted)) {
        return;
    }
    struct bytes level;
    for (int64_t i = 1; bytes_split(&topic, '/', &level); i++) {
        if (i == wanted) {
            *out = value_string(level);
            return;
        }
    }
}

void
fn_sql_version(const struct call *call, struct value *out)
{
    *out = value_string(call->run->version_2015 ? BYTES("2015-10-08") : BYTES("2016-03-23"));
}

/* SplitMix64: the n-th number that a seed gives. */
static uint64_t
scatter(uint64_t seed, uint64_t n)
{
    uint64_t x = seed + n * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Of the message's seed, the rule and the number of draws before. */
static uint64_t
draw(struct run *run)
{
    return scatter(run->message->seed ^ *run->salt, ++run->draws);
}

void
fn_rand(const struct call *call, struct value *out)
{
    struct decimal number;
    double value = (double)(draw(call->run) >> 11) / 9007199254740992.0; /* 2^53 */
    if (decimal_of_double(&number, value, call->arena)) {
        *out = value_number(number);
    }
}

/* Version 4, variant 1 of RFC 4122. */
static struct bytes
print_uuid(struct arena *arena, uint64_t high, uint64_t low)
{
    high = (high & ~UINT64_C(0xf000)) | 0x4000;
    low = (low >> 2) | UINT64_C(1) << 63;
    return arena_printf(arena, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(high >> 32),
                        (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xffff),
                        (unsigned)(low >> 48),
                        (unsigned long long)(low & UINT64_C(0xffffffffffff)));
}

void
fn_newuuid(const struct call *call, struct value *out)
{
    uint64_t high = draw(call->run);
    *out = value_string(print_uuid(call->arena, high, draw(call->run)));
}

/* ---- who sent it ---- */

static void
text_or_undefined(struct bytes text, struct value *out)
{
    if (text.data != NULL) {
        *out = value_string(text);
    }
}

void
fn_accountid(const struct call *call, struct value *out)
{
    const struct rule_origin *origin = call->run->message->origin;
    text_or_undefined(origin == NULL ? bytes_of(NULL, 0) : origin->account_id, out);
}

void
fn_clientid(const struct call *call, struct value *out)
{
    const struct rule_origin *origin = call->run->message->origin;
    bool known = origin != NULL && origin->client_id.data != NULL;
    *out = value_string(known ? origin->client_id : BYTES("n/a"));
}

void
fn_principal(const struct call *call, struct value *out)
{
    const struct rule_origin *origin = call->run->message->origin;
    text_or_undefined(origin == NULL ? bytes_of(NULL, 0) : origin->principal, out);
}

void
fn_sourceip(const struct call *call, struct value *out)
{
    const struct rule_origin *origin = call->run->message->origin;
    text_or_undefined(origin == NULL ? bytes_of(NULL, 0) : origin->source_ip, out);
}

struct bytes
rule_message_trace_id(const struct rule_message *message)
{
    const struct rule_origin *origin = message->origin;
    if (origin == NULL || origin->trace_id.data != NULL || origin->trace_seed == 0) {
        return origin == NULL ? bytes_of(NULL, 0) : origin->trace_id;
    }
    return print_uuid(message->arena, scatter(origin->trace_seed, message->seed),
                      scatter(origin->trace_seed ^ message->seed, (uint64_t)message->time_us));
}

void
fn_traceid(const struct call *call, struct value *out)
{
    text_or_undefined(rule_message_trace_id(call->run->message), out);
}

/* ---- MQTT 5 properties ---- */

static bool
wanted_name(const struct call *call, struct bytes *out)
{
    return value_type(&call->args[0]) == TYPE_STRING && call_string(call, 0, out);
}

void
fn_get_mqtt_property(const struct call *call, struct value *out)
{
    static const struct rule_origin nothing = {0};
    const struct rule_origin *origin = call->run->message->origin;
    struct bytes name;
    if (!wanted_name(call, &name)) {
        return;
    }
    origin = origin == NULL ? &nothing : origin;
    if (bytes_equal(name, BYTES("content_type"))) {
        text_or_undefined(origin->content_type, out);
    } else if (bytes_equal(name, BYTES("response_topic"))) {
        text_or_undefined(origin->response_topic, out);
    } else if (bytes_equal(name, BYTES("format_indicator"))) {
        *out = value_string(origin->payload_is_text ? BYTES("UTF8_DATA")
                                                    : BYTES("UNSPECIFIED_BYTES"));
    } else if (bytes_equal(name, BYTES("correlation_data")) && origin->correlation.data != NULL) {
        struct buf text = {.arena = call->arena};
        base64_encode(&text, origin->correlation);
        *out = value_string(bytes_of(buf_string(&text), text.size));
    }
}

/* Names may repeat, so that each property is an object of its own. */
static void
all_properties(const struct rule_origin *origin, struct arena *arena, struct value *out)
{
    struct value *elements = arena_alloc(arena, origin->user_count * sizeof *elements);
    struct value_member *members = arena_alloc(arena, origin->user_count * sizeof *members);
    for (size_t i = 0; i < origin->user_count; i++) {
        members[i] = (struct value_member){origin->user[i].name,
                                           value_string(origin->user[i].value)};
        elements[i] = (struct value){
                .kind = VALUE_OBJECT, .count = 1, .members = &members[i]};
    }
    *out = (struct value){
            .kind = VALUE_ARRAY, .count = (uint32_t)origin->user_count, .elements = elements};
}

void
fn_get_user_properties(const struct call *call, struct value *out)
{
    const struct rule_origin *origin = call->run->message->origin;
    struct bytes name;
    if (origin == NULL) {
        return;
    }
    if (call->count == 0) {
        all_properties(origin, call->arena, out);
        return;
    }
    if (!wanted_name(call, &name)) {
        return;
    }
    struct value *elements = arena_alloc(call->arena, origin->user_count * sizeof *elements);
    uint32_t count = 0;
    for (size_t i = 0; i < origin->user_count; i++) {
        if (bytes_equal(origin->user[i].name, name)) {
            elements[count++] = value_string(origin->user[i].value);
        }
    }
    if (count > 0) {
        *out = (struct value){.kind = VALUE_ARRAY, .count = count, .elements = elements};
    }
}
