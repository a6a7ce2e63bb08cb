/*
 * Protocol Buffers to JSON: messages byte by byte. Random messages against another implementation:
 * tests/scenario/test_protobuf.py. How rules call it: here too, at the end.
 */
#include "unit.h"

#include "base/base64.h"
#include "rules/protobuf.h"
#include "rules/rule.h"

#include <stdio.h>

/* tests/scenario/proto/readings.proto, by protoc --descriptor_set_out. */
static const char descriptor[] =
        "CpMJCg5yZWFkaW5ncy5wcm90bxIFcGxhbnQiIwoFUG9pbnQSDAoBeBgBIAEoAVIBeBIMCgF5GAIgASgCUgF5"
        "IpEICgdSZWFkaW5nEhsKCXNlbnNvcl9pZBgBIAEoCVIIc2Vuc29ySWQSFAoFY291bnQYAiABKANSBWNvdW50"
        "EhAKA2JpZxgDIAEoBFIDYmlnEhQKBWRlbHRhGAQgASgRUgVkZWx0YRIQCgNmMzIYBSABKAdSA2YzMhISCgRz"
        "ZjY0GAYgASgQUgRzZjY0Eg4KAm9rGAcgASgIUgJvaxIQCgNyYXcYCCABKAxSA3JhdxIfCgRtb2RlGAkgASgO"
        "MgsucGxhbnQuTW9kZVIEbW9kZRIWCgZ2YWx1ZXMYCiADKAVSBnZhbHVlcxIUCgVuYW1lcxgLIAMoCVIFbmFt"
        "ZXMSHAoCYXQYDCABKAsyDC5wbGFudC5Qb2ludFICYXQSIAoEcGF0aBgNIAMoCzIMLnBsYW50LlBvaW50UgRw"
        "YXRoEjIKBnBvaW50cxgOIAMoCzIaLnBsYW50LlJlYWRpbmcuUG9pbnRzRW50cnlSBnBvaW50cxIyCgZsYWJl"
        "bHMYDyADKAsyGi5wbGFudC5SZWFkaW5nLkxhYmVsc0VudHJ5UgZsYWJlbHMSGQoFbWF5YmUYECABKAVIAVIF"
        "bWF5YmWIAQESGAoGbnVtYmVyGBEgASgFSABSBm51bWJlchIUCgR0ZXh0GBIgASgJSABSBHRleHQSJAoFcGxh"
        "Y2UYEyABKAsyDC5wbGFudC5Qb2ludEgAUgVwbGFjZRInCgR1bml0GBQgASgOMhMucGxhbnQuUmVhZGluZy5V"
        "bml0UgR1bml0EiIKBG5leHQYFSABKAsyDi5wbGFudC5SZWFkaW5nUgRuZXh0EiEKBW1vZGVzGBYgAygOMgsu"
        "cGxhbnQuTW9kZVIFbW9kZXMSEAoDaTMyGBcgASgFUgNpMzISEAoDdTMyGBggASgNUgN1MzISEAoDczY0GBkg"
        "ASgSUgNzNjQSEgoEc2YzMhgaIAEoD1IEc2YzMhIQCgNmNjQYGyABKAZSA2Y2NBIvCgVmbGFncxgcIAMoCzIZ"
        "LnBsYW50LlJlYWRpbmcuRmxhZ3NFbnRyeVIFZmxhZ3MaRwoLUG9pbnRzRW50cnkSEAoDa2V5GAEgASgJUgNr"
        "ZXkSIgoFdmFsdWUYAiABKAsyDC5wbGFudC5Qb2ludFIFdmFsdWU6AjgBGjkKC0xhYmVsc0VudHJ5EhAKA2tl"
        "eRgBIAEoBVIDa2V5EhQKBXZhbHVlGAIgASgJUgV2YWx1ZToCOAEaRQoKRmxhZ3NFbnRyeRIQCgNrZXkYASAB"
        "KAhSA2tleRIhCgV2YWx1ZRgCIAEoDjILLnBsYW50Lk1vZGVSBXZhbHVlOgI4ASIfCgRVbml0EgsKB0NFTFNJ"
        "VVMQABIKCgZLRUxWSU4QAUIICgZjaG9pY2VCCAoGX21heWJlKjkKBE1vZGUSDAoITU9ERV9PRkYQABILCgdN"
        "T0RFX09OEAESFgoJTU9ERV9BVVRPEPv//////////wFiBnByb3RvMw==";

static struct bytes
from_base64(const char *text, struct arena *arena)
{
    struct buf bytes = {.arena = arena};
    assert_true(base64_decode(&bytes, bytes_of_string(text)));
    return buf_bytes(&bytes);
}

static struct bytes
from_hex(const char *text, struct arena *arena)
{
    struct buf bytes = {.arena = arena};
    for (size_t i = 0; i < strlen(text); i += 2) {
        unsigned byte;
        assert_int_equal(sscanf(text + i, "%2x", &byte), 1);
        buf_append_char(&bytes, (char)byte);
    }
    return buf_bytes(&bytes);
}

/* The JSON, or the reason why there is none. */
static const char *
convert(struct bytes set, const char *file, const char *type, struct bytes message,
        struct arena *arena)
{
    struct buf out = {.arena = arena};
    const char *reason;
    bool done = protobuf_to_json(&out, set, bytes_of_string(file), bytes_of_string(type), message,
                                 arena, &reason);
    return done ? buf_string(&out) : reason;
}

static void
messages_become_json(void **state)
{
    static const struct {
        const char *hex, *json;
    } cases[] = {
            {"", "{}"},
            {"0a026131", "{\"sensor_id\":\"a1\"}"},
            {"1080808080808080808001", "{\"count\":-9223372036854775808}"},
            {"18ffffffffffffffffff01", "{\"big\":18446744073709551615}"},
            {"2003", "{\"delta\":-2}"},
            {"2d07000000", "{\"f32\":7}"},
            {"31ffffffffffffffff", "{\"sf64\":-1}"},
            {"3801", "{\"ok\":true}"},
            {"42020001", "{\"raw\":\"AAE=\"}"},
            {"4801", "{\"mode\":\"MODE_ON\"}"},
            {"48fbffffffffffffffff01", "{\"mode\":\"MODE_AUTO\"}"},
            {"4809", "{\"mode\":9}"},                    /* a value that the enum lacks */
            {"a00101", "{\"unit\":\"KELVIN\"}"},         /* an enum inside of the message */
            {"5203010203", "{\"values\":[1,2,3]}"},       /* packed */
            {"500152020203", "{\"values\":[1,2,3]}"},     /* and not */
            {"5a005a0178", "{\"names\":[\"\",\"x\"]}"},
            {"62090900000000" "0000f83f" "620515cdcccc3d",
             "{\"at\":{\"x\":1.5,\"y\":0.1}}"},          /* twice: merged */
            {"6200", "{\"at\":{}}"},
            {"620909000000000000f07f", "{\"at\":{\"x\":\"Infinity\"}}"},
            {"620909000000000000f8ff", "{\"at\":{\"x\":\"NaN\"}}"},
            {"6a006a0515000080bf", "{\"path\":[{},{\"y\":-1}]}"},
            {"7a0508071201617a050807120162", "{\"labels\":{\"7\":\"b\"}}"}, /* the last counts */
            {"7a00", "{\"labels\":{\"0\":\"\"}}"},
            {"7203" "0a016b", "{\"points\":{\"k\":{}}}"},
            {"e2010408011001", "{\"flags\":{\"true\":\"MODE_ON\"}}"},
            {"1000", "{}"},                               /* a default, without presence */
            {"800100", "{\"maybe\":0}"},                  /* with presence */
            {"88010592010178", "{\"text\":\"x\"}"},       /* oneof: the last counts */
            {"920101788801" "00", "{\"number\":0}"},
            {"aa0103" "0a0162" "0a0161", "{\"sensor_id\":\"a\",\"next\":{\"sensor_id\":\"b\"}}"},
            {"10011002", "{\"count\":2}"},
            {"a0060510" "05", "{\"count\":5}"},           /* an unknown field */
            {"f3010801f3010801f401f4011005", "{\"count\":5}"}, /* groups */
            {"08011005", "{\"count\":5}"},                /* another wire type than declared */
    };
    struct arena arena = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *json = convert(from_base64(descriptor, &arena), "readings", "Reading",
                                   from_hex(cases[i].hex, &arena), &arena);
        if (strcmp(json, cases[i].json) != 0) {
            fail_msg("%s: %s, expected %s", cases[i].hex, json, cases[i].json);
        }
    }
    arena_fini(&arena);
}

static void
damaged_messages_are_refused(void **state)
{
    static const char *const cases[] = {
            "0a0561",                   /* shorter than it says */
            "10",                       /* no value */
            "10ffffffffffffffffffff01", /* eleven bytes */
            "00",                       /* field 0 */
            "0e",                       /* wire type 6 */
            "f301",                     /* a group without an end */
            "f3010801fc01",             /* another group's end */
            "fc01",                     /* an end without a group */
            "5203010280",               /* packed: the last number is cut off */
            "620100",                   /* damaged inside */
    };
    struct arena arena = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *reason = convert(from_base64(descriptor, &arena), "readings", "Reading",
                                     from_hex(cases[i], &arena), &arena);
        if (strcmp(reason, "the payload is no such message") != 0) {
            fail_msg("%s: %s", cases[i], reason);
        }
    }
    assert_string_equal(convert(from_base64(descriptor, &arena), "readings", "Reading",
                                from_hex("0a01ff", &arena), &arena),
                        "a string of the message is not UTF-8");
    arena_fini(&arena);
}

static void
files_and_types_are_found_by_their_names(void **state)
{
    struct arena arena = {0};
    struct bytes set = from_base64(descriptor, &arena);
    struct bytes message = from_hex("0d0000803f", &arena);
    static const char *const files[] = {"readings", "readings.proto"};
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(convert(set, files[i], "Point", BYTES(""), &arena), "{}");
        assert_string_equal(convert(set, files[i], "plant.Point", BYTES(""), &arena), "{}");
    }
    assert_string_equal(convert(set, "reading", "Point", message, &arena),
                        "the descriptor has no such .proto file");
    assert_string_equal(convert(set, "readings", "Pint", message, &arena),
                        "the descriptor has no such message type");
    assert_string_equal(convert(set, "readings", "Mode", message, &arena),
                        "the descriptor has no such message type");
    assert_string_equal(convert(bytes_slice(set, 0, set.size - 3), "readings", "Point", message,
                                &arena), "the descriptor is damaged");
    assert_string_equal(convert(bytes_of(arena_alloc_zeroed(&arena, 1, 33000), 33000), "readings",
                                "Point", message, &arena), "the descriptor is larger than 32 KiB");
    arena_fini(&arena);
}

static void
depth_and_size_are_bounded(void **state)
{
    struct arena arena = {0};
    struct bytes set = from_base64(descriptor, &arena);
    struct bytes message = BYTES("");
    for (int depth = 0; depth < 70; depth++) { /* next: { next: { ... */
        struct buf outer = {.arena = &arena};
        buf_append(&outer, BYTES("\xaa\x01"));
        if (message.size > 127) {
            buf_append_char(&outer, (char)(message.size & 127) | (char)128);
            buf_append_char(&outer, (char)(message.size >> 7));
        } else {
            buf_append_char(&outer, (char)message.size);
        }
        buf_append(&outer, message);
        message = buf_bytes(&outer);
        const char *json = convert(set, "readings", "Reading", message, &arena);
        assert_string_equal(depth < 63 ? "{" : json,
                            depth < 63 ? arena_printf(&arena, "%.1s", json).data
                                       : "messages are nested deeper than 64");
    }
    struct buf many = {.arena = &arena};
    for (int i = 0; i < 100000; i++) {
        buf_append(&many, BYTES("\x6a\x00")); /* path: {} */
    }
    assert_string_equal(convert(set, "readings", "Reading", buf_bytes(&many), &arena),
                        "the message has more than 128 KiB of JSON");
    arena_fini(&arena);
}

/* ---- from a rule ---- */

static enum rule_answer
answer(void *context, struct rule_ask *ask)
{
    assert_int_equal(ask->question, RULE_ASK_DESCRIPTOR);
    assert_bytes(ask->args[0], "bucket");
    assert_bytes(ask->args[1], "dir/readings.desc");
    ask->answer = from_base64(descriptor, ask->arena);
    return RULE_ANSWERED;
}

/* The row, or the reason. */
static const char *
run_rule(const char *sql, struct bytes payload, struct arena *arena)
{
    const struct rule_host host = {.ask = answer};
    const struct rule_sql text = {
            .path = BYTES("test"), .name = BYTES("test"), .sql = bytes_of_string(sql)};
    struct diag_list diags = {0};
    struct rule_file *file;
    struct rule_row row;
    assert_true(rule_sql_parse(&file, &text, &diags));
    struct rule_message message = {
            .arena = arena, .topic = BYTES("t"), .payload = payload, .host = &host};
    enum rule_verdict verdict = rule_run(file->rules[0], &message, &row);
    const char *result = verdict == RULE_FAILED ? row.reason : arena_copy(arena, row.payload).data;
    rule_file_free(file);
    diag_list_fini(&diags);
    return result;
}

#define DECODE(x) "decode(" x ", 'proto', 'bucket', 'dir/readings.desc', 'readings', 'Reading')"

static void
rules_decode_payloads_and_members(void **state)
{
    struct arena arena = {0};
    assert_string_equal(run_rule("SELECT VALUE " DECODE("*") " FROM 't'",
                                 from_hex("0a026131", &arena), &arena),
                        "{\"sensor_id\":\"a1\"}");
    assert_string_equal(run_rule("SELECT VALUE " DECODE("*") " FROM 't'", BYTES(""), &arena), "{}");
    assert_string_equal(run_rule("SELECT " DECODE("data") ".count + 1 AS n FROM 't' WHERE "
                                 DECODE("data") ".mode = 'MODE_ON'",
                                 BYTES("{\"data\": \"EAVIAQ==\"}"), &arena), "{\"n\":6}");
    assert_string_equal(run_rule("SELECT " DECODE("data") " AS n FROM 't'",
                                 BYTES("{\"data\": 5}"), &arena),
                        "decode: the first argument is neither bytes nor base64");
    assert_string_equal(run_rule("SELECT " DECODE("*") " AS n FROM 't'", BYTES("x"), &arena),
                        "decode: the payload is no such message");
    assert_string_equal(run_rule("SELECT get_or_default(" DECODE("*") ", 0) AS n FROM 't'",
                                 BYTES("x"), &arena), "{\"n\":0}");
    arena_fini(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(messages_become_json),
            cmocka_unit_test(damaged_messages_are_refused),
            cmocka_unit_test(files_and_types_are_found_by_their_names),
            cmocka_unit_test(depth_and_size_are_bounded),
            cmocka_unit_test(rules_decode_payloads_and_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
