/*
 * mosquitto.conf as mosquitto reads it. What is made of it: test_doctor_broker; that real
 * mosquitto means the same: scenario/test_doctor.
 */
#include "doctor_rig.h"

#include "doctor/mosquitto.h"

static struct mosquitto_config
parsed(const char *text)
{
    struct mosquitto_config config = {0};
    mosquitto_config_parse(&config, BYTES("m.conf"), bytes_of_string(text));
    return config;
}

static void
the_last_line_of_a_name_counts(void **state)
{
    struct mosquitto_config config = parsed("max_queued_messages 5\nmax_queued_messages 7\n");
    assert_int_equal(mosquitto_number(&config, "max_queued_messages", 1), 7);
    assert_int_equal(mosquitto_find(&config, "max_queued_messages")->number, 2);
    assert_int_equal(mosquitto_number(&config, "max_queued_bytes", 9), 9);
    mosquitto_config_fini(&config);
}

static void
a_comment_begins_in_the_first_column_and_a_tab_is_no_blank(void **state)
{
    struct mosquitto_config config =
            parsed("#persistence true\n  queue_qos0_messages   true \npersistence\ttrue\n");
    assert_null(mosquitto_find(&config, "persistence"));
    assert_int_equal(config.line_count, 2);
    assert_true(mosquitto_flag(&config, "queue_qos0_messages", false));
    mosquitto_config_fini(&config);
}

static void
numbers_are_read_as_atoi_reads_them(void **state)
{
    static const struct {
        const char *text;
        int64_t number;
    } cases[] = {{"12", 12}, {"12k", 12}, {"k", 0}, {"-3", 0}, {"+4", 4}, {"", 0},
                 {"99999999999999999999", INT32_MAX}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf text = {0};
        buf_printf(&text, "max_queued_bytes %s", cases[i].text);
        struct mosquitto_config config = parsed(buf_string(&text));
        assert_int_equal(mosquitto_number(&config, "max_queued_bytes", 5), cases[i].number);
        mosquitto_config_fini(&config);
        buf_fini(&text);
    }
}

static void
lines_may_end_as_on_windows(void **state)
{
    struct mosquitto_config config = parsed("persistence true\r\nport 1900\r\nlonely\r\n");
    assert_non_null(mosquitto_find(&config, "lonely"));
    assert_true(mosquitto_flag(&config, "persistence", false));
    assert_int_equal(config.listeners[0].port, 1900);
    mosquitto_config_fini(&config);
}

static void
a_lifetime_has_a_unit(void **state)
{
    static const struct {
        const char *text;
        int64_t seconds;
    } cases[] = {{"2h", 7200}, {"1d", 86400}, {"1w", 604800}, {"1m", 2592000}, {"1y", 31536000},
                 {"5", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf text = {0};
        buf_printf(&text, "persistent_client_expiration %s", cases[i].text);
        struct mosquitto_config config = parsed(buf_string(&text));
        assert_int_equal(mosquitto_expiration_s(&config), cases[i].seconds);
        mosquitto_config_fini(&config);
        buf_fini(&text);
    }
}

static void
without_a_listener_it_is_for_this_machine_and_open(void **state)
{
    struct mosquitto_config config = parsed("");
    assert_true(mosquitto_is_local_only(&config));
    assert_true(mosquitto_listens(&config, 0));
    assert_int_equal(config.listeners[0].port, 1883);
    assert_true(mosquitto_is_anonymous(&config, 0));
    mosquitto_config_fini(&config);
}

static void
a_listener_is_closed_unless_it_says_otherwise(void **state)
{
    struct mosquitto_config config = parsed("listener 1884 0.0.0.0\nlistener 0 /run/m.sock\n");
    assert_false(mosquitto_is_local_only(&config));
    assert_false(mosquitto_listens(&config, 0));
    assert_int_equal(config.listeners[1].port, 1884);
    assert_bytes(config.listeners[1].host, "0.0.0.0");
    assert_false(mosquitto_is_anonymous(&config, 1));
    assert_false(mosquitto_is_loopback(&config.listeners[1]));
    assert_true(mosquitto_is_loopback(&config.listeners[2]));
    mosquitto_config_fini(&config);
}

static void
anonymous_is_for_all_or_for_each(void **state)
{
    static const char text[] = "listener 1884\nallow_anonymous true\nlistener 1885\n";
    struct buf each = {0};
    struct mosquitto_config config = parsed(text);
    assert_true(mosquitto_is_anonymous(&config, 1));
    assert_true(mosquitto_is_anonymous(&config, 2));
    mosquitto_config_fini(&config);
    buf_printf(&each, "per_listener_settings true\n%s", text);
    config = parsed(buf_string(&each));
    assert_true(mosquitto_is_anonymous(&config, 1));
    assert_false(mosquitto_is_anonymous(&config, 2));
    mosquitto_config_fini(&config);
    buf_fini(&each);
}

/* ---- folders ---- */

static void
included_files_come_in_the_order_of_their_names(void **state)
{
    struct clinic clinic;
    struct diag_list diags = {0};
    struct mosquitto_config config = {0};
    clinic_init(&clinic);
    clinic_put(&clinic, "/m/main.conf", "a 1\ninclude_dir /m/conf.d\nz 1\n");
    clinic_put(&clinic, "/m/conf.d/b.conf", "x b\ny b\n");
    clinic_put(&clinic, "/m/conf.d/A.conf", "x A\ny A\nz A\n");
    clinic_put(&clinic, "/m/conf.d/a.conf", "x a\n");
    clinic_put(&clinic, "/m/conf.d/B.conf", "x B\n");
    clinic_put(&clinic, "/m/conf.d/c.txt", "x c\n");
    assert_true(mosquitto_config_read(&config, clinic.root, "/m/main.conf", &diags));
    assert_int_equal(diags.count, 0);
    assert_int_equal(config.files, 5);
    assert_bytes(mosquitto_find(&config, "x")->value, "b");
    assert_bytes(mosquitto_find(&config, "x")->file, "/m/conf.d/b.conf");
    assert_bytes(mosquitto_find(&config, "z")->value, "1");
    size_t order = 0;
    for (size_t i = 0; i < config.line_count; i++) {
        if (bytes_equal_string(config.lines[i].name, "x")) {
            assert_memory_equal(config.lines[i].value.data, &"AaBb"[order++], 1);
        }
    }
    assert_int_equal(order, 4);
    mosquitto_config_fini(&config);
    diag_list_fini(&diags);
    clinic_fini(&clinic);
}

static void
files_that_include_themselves_do_not_go_in_circles(void **state)
{
    struct clinic clinic;
    struct diag_list diags = {0};
    struct mosquitto_config config = {0};
    clinic_init(&clinic);
    clinic_put(&clinic, "/m/main.conf", "include_dir /m\ninclude_dir /gone\n");
    assert_true(mosquitto_config_read(&config, clinic.root, "/m/main.conf", &diags));
    assert_int_equal(config.files, 2);
    assert_int_equal(diags.errors, 0);
    assert_int_equal(diags.count, 1);
    assert_bytes(diags.items[0].place.file, "/gone");
    mosquitto_config_fini(&config);
    diag_list_fini(&diags);
    clinic_fini(&clinic);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(the_last_line_of_a_name_counts),
            cmocka_unit_test(a_comment_begins_in_the_first_column_and_a_tab_is_no_blank),
            cmocka_unit_test(numbers_are_read_as_atoi_reads_them),
            cmocka_unit_test(lines_may_end_as_on_windows),
            cmocka_unit_test(a_lifetime_has_a_unit),
            cmocka_unit_test(without_a_listener_it_is_for_this_machine_and_open),
            cmocka_unit_test(a_listener_is_closed_unless_it_says_otherwise),
            cmocka_unit_test(anonymous_is_for_all_or_for_each),
            cmocka_unit_test(included_files_come_in_the_order_of_their_names),
            cmocka_unit_test(files_that_include_themselves_do_not_go_in_circles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
