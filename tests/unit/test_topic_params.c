/*
 * Parameters of the republish action as headers of a publication. What the broker makes of them is
 * in scenario/test_republish.py.
 */
#include "unit.h"

#include "base/wire.h"
#include "drivers/publisher.h"
#include "drivers/topic_params.h"

static void
nothing_is_said_without_parameters(void **state)
{
    struct arena arena = {0};
    struct topic_params params;
    struct bytes reason;
    assert_true(topic_params_read(BYTES(""), &arena, &params, &reason));
    assert_int_equal(params.qos, -1);
    assert_int_equal(params.headers.size, 0);
    assert_true(topic_params_read(BYTES("{\"qos\":0,\"later\":1}"), &arena, &params, &reason));
    assert_int_equal(params.qos, 0);
    assert_int_equal(params.headers.size, 0);
    arena_fini(&arena);
}

static void
all_headers_are_taken(void **state)
{
    struct arena arena = {0};
    struct topic_params params;
    struct bytes reason;
    assert_true(topic_params_read(
            BYTES("{\"qos\":1,\"headers\":{\"payloadFormatIndicator\":\"UTF8_DATA\",\"contentType\":"
                  "\"a/b\",\"responseTopic\":\"r/1\",\"correlationData\":\"AP8=\",\"messageExpiry\":"
                  "\"4294967295\",\"userProperties\":[{\"key\":\"k\",\"value\":\"v\\u00fc\"},{"
                  "\"key\":\"k\",\"value\":\"\"}]}}"),
            &arena, &params, &reason));
    assert_int_equal(params.qos, 1);
    struct wire_reader reader = wire_reader(params.headers);
    assert_int_equal(wire_get_u8(&reader), PUBLISHER_TEXT | PUBLISHER_EXPIRES);
    assert_int_equal(wire_get_varint(&reader), 4294967295);
    assert_bytes(wire_get_bytes(&reader), "a/b");
    assert_bytes(wire_get_bytes(&reader), "r/1");
    assert_true(bytes_equal(wire_get_bytes(&reader), bytes_of("\0\xff", 2)));
    assert_int_equal(wire_get_varint(&reader), 2);
    assert_bytes(wire_get_bytes(&reader), "k");
    assert_bytes(wire_get_bytes(&reader), "v\xc3\xbc");
    assert_bytes(wire_get_bytes(&reader), "k");
    assert_bytes(wire_get_bytes(&reader), "");
    assert_true(wire_at_end(&reader));
    arena_fini(&arena);
}

static void
what_cannot_be_published_is_named(void **state)
{
    static const struct {
        const char *params;
        const char *reason;
    } cases[] = {
            {"[]", "the action's parameters are not a JSON object"},
            {"{", "the action's parameters are not a JSON object"},
            {"{\"qos\":2}", "'qos' is neither 0 nor 1"},
            {"{\"headers\":1}", "the header 'headers' is not an object"},
            {"{\"headers\":{\"payloadFormatIndicator\":\"x\"}}",
             "the header 'payloadFormatIndicator' is neither UTF8_DATA nor UNSPECIFIED_BYTES"},
            {"{\"headers\":{\"responseTopic\":\"a/+\"}}",
             "the header 'responseTopic' holds a wildcard"},
            {"{\"headers\":{\"correlationData\":\"?\"}}",
             "the header 'correlationData' is not base64"},
            {"{\"headers\":{\"messageExpiry\":\"-1\"}}",
             "the header 'messageExpiry' is not a number of seconds up to 4294967295"},
            {"{\"headers\":{\"messageExpiry\":\"4294967296\"}}",
             "the header 'messageExpiry' is not a number of seconds up to 4294967295"},
            {"{\"headers\":{\"contentType\":5}}", "the header 'contentType' is not a string"},
            {"{\"headers\":{\"contentType\":\"\\u0000\"}}", "the header 'contentType' holds a NUL"},
            {"{\"headers\":{\"userProperties\":{}}}", "the header 'userProperties' is not a list"},
            {"{\"headers\":{\"userProperties\":[1]}}",
             "the header 'userProperties' holds something that is no object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena arena = {0};
        struct topic_params params;
        struct bytes reason = {0};
        assert_false(topic_params_read(bytes_of_string(cases[i].params), &arena, &params, &reason));
        assert_bytes(reason, cases[i].reason);
        arena_fini(&arena);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(nothing_is_said_without_parameters),
            cmocka_unit_test(all_headers_are_taken),
            cmocka_unit_test(what_cannot_be_published_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
