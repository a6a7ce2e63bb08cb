/* The origin of messages. What rules make of it: test_functions.c and the vectors. */
#include "unit.h"

#include "message_origin.h"

static const struct message_origin_options options = {
        .account_id = "123456789012",
        .client_id_property = "who",
        .principal_property = "",
        .gateway = "headgate",
};

static void
properties_become_an_origin(void **state)
{
    const struct message_property user[] = {{BYTES("who"), BYTES("pump")},
                                            {BYTES("site"), BYTES("north")}};
    const struct message_props props = {.content_type = BYTES("text/plain"),
                                        .correlation = BYTES("\1\2"),
                                        .payload_is_text = true,
                                        .user = user,
                                        .user_count = 2};
    struct arena arena = {0};
    struct rule_origin plain = message_origin_plain(&options, BYTES("mqtt"));
    struct rule_origin origin = message_origin_of_props(&plain, &options, &props, &arena);
    assert_bytes(origin.account_id, "123456789012");
    assert_bytes(origin.client_id, "pump");
    assert_bytes(origin.content_type, "text/plain");
    assert_null(origin.response_topic.data);
    assert_null(origin.principal.data); /* no property is trusted for it */
    assert_null(origin.source_ip.data);
    assert_true(origin.payload_is_text);
    assert_int_equal(origin.user_count, 2);
    assert_bytes(origin.user[1].value, "north");
    assert_true(origin.trace_seed == plain.trace_seed);
    arena_fini(&arena);
}

static void
streams_and_gateways_trace_differently(void **state)
{
    struct message_origin_options other = options;
    other.gateway = "headgate-2";
    uint64_t seed = message_origin_plain(&options, BYTES("mqtt")).trace_seed;
    assert_true(seed == message_origin_plain(&options, BYTES("mqtt")).trace_seed);
    assert_true(seed != message_origin_plain(&options, BYTES("enrich")).trace_seed);
    assert_true(seed != message_origin_plain(&other, BYTES("mqtt")).trace_seed);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(properties_become_an_origin),
            cmocka_unit_test(streams_and_gateways_trace_differently),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
