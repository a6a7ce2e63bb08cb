/*
 * Functions of the message. They are deterministic: time, and what looks random, come with it, so
 * that replaying a message gives the same rows.
 */
#include "fn.h"

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

/* SplitMix64 over the message's seed, the rule and the number of draws before. */
static uint64_t
draw(struct run *run)
{
    uint64_t x = run->message->seed ^ *run->salt;
    x += ++run->draws * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
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
void
fn_newuuid(const struct call *call, struct value *out)
{
    uint64_t high = (draw(call->run) & ~UINT64_C(0xf000)) | 0x4000;
    uint64_t low = (draw(call->run) >> 2) | UINT64_C(1) << 63;
    *out = value_string(arena_printf(call->arena, "%08x-%04x-%04x-%04x-%012llx",
                                     (unsigned)(high >> 32), (unsigned)(high >> 16 & 0xffff),
                                     (unsigned)(high & 0xffff), (unsigned)(low >> 48),
                                     (unsigned long long)(low & UINT64_C(0xffffffffffff))));
}
