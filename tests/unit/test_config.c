#include "unit.h"

#include "config.h"

static void
defaults_hold_without_a_file(void **state)
{
    struct config config;
    struct diag_list diags = {0};
    config_init(&config);
    assert_true(config_load(&config, "/nonexistent/headgate.conf", false, &diags));
    assert_string_equal(config.broker, "mqtt://localhost:1883");
    assert_true(config.sync_interval == 500);
    assert_false(config_load(&config, "/nonexistent/headgate.conf", true, &diags));
    config_fini(&config);
    diag_list_fini(&diags);
}

static void
lines_are_applied_and_comments_skipped(void **state)
{
    struct config config;
    struct diag_list diags = {0};
    config_init(&config);
    assert_true(config_parse(&config, BYTES("h.conf"),
                             BYTES("# a comment\n\n  broker\tmqtt://pi:1884  \r\nsync always\n"
                                   "data_dir /var/lib/with blank\n"),
                             &diags));
    assert_string_equal(config.broker, "mqtt://pi:1884");
    assert_string_equal(config.data_dir, "/var/lib/with blank");
    assert_int_equal(config.sync, 2);
    config_fini(&config);
    diag_list_fini(&diags);
}

static void
every_bad_line_is_named(void **state)
{
    struct config config;
    struct diag_list diags = {0};
    config_init(&config);
    assert_false(config_parse(&config, BYTES("h.conf"),
                              BYTES("brokr mqtt://x\nsync\nsync_interval 1ms\nsync never\n"),
                              &diags));
    struct buf out = {0};
    diag_list_print(&diags, &out);
    assert_string_equal(buf_string(&out),
                        "h.conf:1:1: error: unknown option 'brokr'\n"
                        "  brokr mqtt://x\n"
                        "  ^~~~~\n"
                        "  hint: did you mean 'broker'?\n"
                        "h.conf:2:1: error: option 'sync' has no value\n"
                        "  sync\n"
                        "  ^~~~\n"
                        "  hint: write: sync VALUE\n"
                        "h.conf:3:1: error: option 'sync_interval' is '1ms', expected 10ms to 1m\n"
                        "  sync_interval 1ms\n"
                        "  ^~~~~~~~~~~~~\n");
    assert_int_equal(config.sync, 0); /* good lines behind a bad one are still read */
    buf_fini(&out);
    config_fini(&config);
    diag_list_fini(&diags);
}

static void
what_is_printed_reads_back(void **state)
{
    struct config first, second;
    struct diag_list diags = {0};
    struct buf printed = {0}, again = {0};
    config_init(&first);
    config_init(&second);
    assert_true(config_set(&first, BYTES("broker_password=s3cret = x"), &diags));
    assert_true(config_set(&first, BYTES("queue_max=3M"), &diags));
    assert_true(config_set(&first, BYTES("broker_keepalive=90s"), &diags));
    config_print(&first, &printed);
    assert_true(config_parse(&second, BYTES("printed"), buf_bytes(&printed), &diags));
    config_print(&second, &again);
    assert_string_equal(buf_string(&printed), buf_string(&again));
    assert_string_equal(second.broker_password, "s3cret = x");
    assert_true(second.queue_max == 3 << 20 && second.broker_keepalive == 90000);
    buf_fini(&printed);
    buf_fini(&again);
    config_fini(&first);
    config_fini(&second);
    diag_list_fini(&diags);
}

static void
a_setting_needs_an_equals_sign(void **state)
{
    struct config config;
    struct diag_list diags = {0};
    config_init(&config);
    assert_false(config_set(&config, BYTES("broker"), &diags));
    assert_bytes(diags.items[0].message, "'--set broker' has no '=', expected --set name=value");
    config_fini(&config);
    diag_list_fini(&diags);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(defaults_hold_without_a_file),
            cmocka_unit_test(lines_are_applied_and_comments_skipped),
            cmocka_unit_test(every_bad_line_is_named),
            cmocka_unit_test(what_is_printed_reads_back),
            cmocka_unit_test(a_setting_needs_an_equals_sign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
