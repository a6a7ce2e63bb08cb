/*
 * Which settings and releases of the broker are findings, and which next to them are not. How the
 * file is read: test_doctor_mosquitto.
 */
#include "doctor_rig.h"

struct setting {
    const char *lines; /* added to what is healthy */
    enum finding_level level;
    const char *words; /* FINDING_OK: nothing may be found */
};

static const struct setting settings[] = {
        {"max_queued_messages 1000\n", FINDING_ERROR, "1000 messages or 64 MB wait for the gateway"},
        {"max_queued_messages 0\n", FINDING_OK, NULL},
        {"max_queued_messages 0\nmax_queued_bytes 0\n", FINDING_WARNING, "nothing limits"},
        {"max_queued_bytes 0\n", FINDING_OK, NULL},
        {"max_queued_messages 2000\n", FINDING_WARNING, "that is 33 minutes"},
        {"max_queued_messages 4000\n", FINDING_OK, NULL},
        {"max_queued_bytes 30000\n", FINDING_ERROR, "that is 5 minutes"},
        {"max_queued_bytes 300000\n", FINDING_WARNING, "that is 50 minutes"},
        {"queue_qos0_messages true\nmax_queued_messages 5000\n", FINDING_WARNING, "QoS 0"},
        {"queue_qos0_messages true\n", FINDING_OK, NULL},
        {"persistence false\n", FINDING_ERROR, "in memory only"},
        {"persistence_location /gone/\n", FINDING_ERROR, "'/gone/' does not exist"},
        {"persistence_location /run/\n", FINDING_ERROR, "'/run/' is in memory (tmpfs)"},
        {"persistence_location \n", FINDING_WARNING, "no persistence_location"},
        {"autosave_interval 1800\n", FINDING_ERROR, "every 30 minutes"},
        {"autosave_interval 120\n", FINDING_WARNING, "every 2 minutes"},
        {"autosave_interval 60\n", FINDING_OK, NULL},
        {"autosave_interval 0\n", FINDING_ERROR, "only when it is stopped"},
        {"autosave_on_changes true\nautosave_interval 1800\n", FINDING_WARNING,
         "at every 1800. change"},
        {"autosave_on_changes true\nautosave_interval 1\n", FINDING_WARNING, "at every 1. change"},
        {"autosave_on_changes true\nautosave_interval 500\n", FINDING_OK, NULL},
        {"persistent_client_expiration 2d\n", FINDING_WARNING,
         "away for 2 days, the gateway asks for 7"},
        {"persistent_client_expiration 1w\n", FINDING_OK, NULL},
        {"message_size_limit 1000\n", FINDING_WARNING, "payloads of 1000 bytes at most"},
        {"message_size_limit 1048576\n", FINDING_OK, NULL},
        {"max_packet_size 1000\n", FINDING_WARNING, "packets of 1000 bytes at most"},
        {"max_packet_size 1114112\n", FINDING_OK, NULL},
        {"max_inflight_messages 1\n", FINDING_WARNING, "no more than 1 may be"},
        {"max_inflight_messages 20\n", FINDING_OK, NULL},
        {"max_inflight_messages 0\n", FINDING_OK, NULL},
        {"listener 1900\n", FINDING_WARNING, "anybody who reaches port 1900"},
        {"listener 1900 ::1\n", FINDING_OK, NULL},
        {"listener 1900\nallow_anonymous false\n", FINDING_OK, NULL},
        {"include_dir /gone\n", FINDING_WARNING, "'/gone' cannot be read"},
};

static void
each_setting_is_found_or_not(void **state)
{
    struct clinic clinic;
    clinic_init(&clinic);
    clinic_look(&clinic, doctor_broker);
    assert_healthy(&clinic);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        clinic_broker(&clinic, settings[i].lines);
        clinic_look(&clinic, doctor_broker);
        if (settings[i].words == NULL) {
            assert_healthy(&clinic);
        } else {
            assert_found(&clinic, settings[i].level, settings[i].words);
            assert_int_equal(clinic.report.errors + clinic.report.warnings, 1);
        }
    }
    clinic_fini(&clinic);
}

static void
what_debian_configures_loses_messages(void **state)
{
    struct clinic clinic;
    clinic_init(&clinic);
    clinic.subject.gateway = (struct doctor_gateway){0};
    clinic_put(&clinic, "/etc/mosquitto/mosquitto.conf",
               "persistence true\npersistence_location /var/lib/mosquitto/\n"
               "include_dir /etc/mosquitto/conf.d\n");
    clinic_put(&clinic, "/etc/mosquitto/conf.d/README", "");
    clinic_look(&clinic, doctor_broker);
    assert_found(&clinic, FINDING_ERROR, "1000 messages wait for the gateway while it is away, the "
                 "default");
    assert_found(&clinic, FINDING_ERROR, "every 30 minutes, the default");
    assert_int_equal(clinic.report.errors, 2);
    assert_int_equal(clinic.report.warnings, 0);
    clinic_fini(&clinic);
}

static void
the_fix_names_the_line_or_a_file_to_write(void **state)
{
    struct clinic clinic;
    clinic_init(&clinic);
    clinic_broker(&clinic, "persistence false\n");
    clinic_look(&clinic, doctor_broker);
    assert_bytes(clinic.report.items[1].fix, "change line 8 of /etc/mosquitto/mosquitto.conf to "
                                             "'persistence true', and restart mosquitto");
    clinic_put(&clinic, "/etc/mosquitto/mosquitto.conf", "max_queued_messages 4000\n");
    clinic_look(&clinic, doctor_broker);
    assert_bytes(clinic.report.items[1].fix, "add the line 'persistence true' to "
                                             "/etc/mosquitto/conf.d/headgate.conf, and restart "
                                             "mosquitto");
    clinic_fini(&clinic);
}

static void
a_short_queue_is_enough_where_little_comes(void **state)
{
    struct clinic clinic;
    clinic_init(&clinic);
    clinic_broker(&clinic, "max_queued_messages 1000\n");
    clinic.subject.gateway.received = 10; /* one in 100 s: 1000 last more than a day */
    clinic.subject.gateway.received_bytes = 1000;
    clinic_look(&clinic, doctor_broker);
    assert_healthy(&clinic);
    clinic_fini(&clinic);
}

static void
a_gateway_that_has_just_started_has_no_rate(void **state)
{
    struct clinic clinic;
    clinic_init(&clinic);
    clinic_broker(&clinic, "max_queued_messages 2000\n");
    clinic.subject.gateway.uptime_s = 5;
    clinic_look(&clinic, doctor_broker);
    assert_healthy(&clinic);
    clinic_fini(&clinic);
}

static void
with_sync_always_few_in_flight_are_slow(void **state)
{
    struct clinic clinic;
    struct diag_list diags = {0};
    clinic_init(&clinic);
    assert_true(config_set(&clinic.config, BYTES("sync=always"), &diags));
    clinic_look(&clinic, doctor_broker);
    assert_found(&clinic, FINDING_WARNING, "no more than 20 may be on their way");
    clinic_broker(&clinic, "max_inflight_messages 1000\n");
    clinic_look(&clinic, doctor_broker);
    assert_healthy(&clinic);
    clinic_fini(&clinic);
}

/* ---- which broker ---- */

static void
a_broker_elsewhere_is_not_looked_at(void **state)
{
    struct clinic clinic;
    clinic_init(&clinic);
    clinic_broker(&clinic, "persistence false\n");
    clinic.subject.broker_host = BYTES("broker.example.com");
    clinic_look(&clinic, doctor_broker);
    assert_found(&clinic, FINDING_OK, "'broker.example.com' is another machine");
    assert_healthy(&clinic);
    clinic.subject.broker_config = "/etc/mosquitto/mosquitto.conf"; /* a copy of it */
    clinic_look(&clinic, doctor_broker);
    assert_found(&clinic, FINDING_ERROR, "in memory only");
    clinic_fini(&clinic);
}

static void
a_configuration_that_cannot_be_read_is_said(void **state)
{
    struct clinic clinic;
    clinic_init(&clinic);
    clinic_remove(&clinic, "/etc/mosquitto/mosquitto.conf");
    clinic_look(&clinic, doctor_broker);
    assert_found(&clinic, FINDING_WARNING, "cannot read '/etc/mosquitto/mosquitto.conf'");
    clinic_fini(&clinic);
}

static void
the_configuration_of_another_broker_is_noticed(void **state)
{
    struct clinic clinic;
    clinic_init(&clinic);
    clinic.subject.broker_port = 1884;
    clinic_look(&clinic, doctor_broker);
    assert_found(&clinic, FINDING_WARNING, "has no listener on port 1884");
    clinic_fini(&clinic);
}

/* ---- releases ---- */

struct release {
    const char *release;
    const char *package; /* as dpkg has it; "" not from a package */
    const char *lines;
    enum finding_level level;
    const char *words; /* NULL: nothing may be found */
};

static const struct release releases[] = {
        {"2.0.11", "2.0.11-1.2+deb12u2", "", FINDING_OK, NULL},
        {"2.0.11", "2.0.11-1.2+deb12u2", "max_queued_messages 0\n", FINDING_WARNING, "#3244"},
        {"2.0.21", "2.0.21-1", "max_queued_messages 0\n", FINDING_WARNING, "#3244"},
        {"2.0.21", "2.0.21-1", "", FINDING_OK, NULL},
        {"2.0.22", "", "max_queued_messages 0\n", FINDING_OK, NULL},
        {"2.0.16", "", "max_queued_messages 0\n", FINDING_ERROR, "#2879"},
        {"2.0.16", "", "max_inflight_messages 100\n", FINDING_WARNING, "#2876"},
        {"2.0.17", "", "", FINDING_WARNING, "#2885"},
        {"2.0.18", "", "", FINDING_OK, NULL},
        {"2.0.15", "", "", FINDING_WARNING, "CVE-2023-28366"},
        {"2.0.11", "2.0.11-1.2", "", FINDING_WARNING, "CVE-2023-28366"},
        {"2.0.8", "", "", FINDING_WARNING, "#2123"},
        {"2.0.11", "2.0.11-1.2+deb12u2", "per_listener_settings true\n", FINDING_WARNING, "#2314"},
        {"2.0.22", "", "per_listener_settings true\n", FINDING_OK, NULL},
        {"2.1.0", "", "max_packet_size 900000\n", FINDING_WARNING, "packets of 900000 bytes"},
        {"nonsense", "", "", FINDING_OK, NULL},
        {NULL, "", "", FINDING_OK, NULL},
};

static void
each_release_has_its_faults(void **state)
{
    struct clinic clinic;
    clinic_init(&clinic);
    for (size_t i = 0; i < sizeof releases / sizeof *releases; i++) {
        struct buf status = {0};
        buf_printf(&status, "Package: mosquitto-clients\nVersion: 9+deb1\n\n%s%s\n\nPackage: "
                   "zip\nVersion: 1+deb12u1\n", releases[i].package[0] == '\0' ? "" :
                   "Package: mosquitto\nStatus: install ok installed\nVersion: ",
                   releases[i].package);
        clinic_put(&clinic, "/var/lib/dpkg/status", buf_string(&status));
        buf_fini(&status);
        clinic.broker_release = releases[i].release;
        clinic_broker(&clinic, releases[i].lines);
        clinic_look(&clinic, doctor_broker);
        if (releases[i].words == NULL) {
            assert_healthy(&clinic);
        } else {
            assert_found(&clinic, releases[i].level, releases[i].words);
        }
    }
    clinic_fini(&clinic);
}

static void
large_packets_of_a_new_release_need_a_line(void **state)
{
    struct clinic clinic;
    clinic_init(&clinic);
    clinic.config.payload_max = 4000000;
    clinic_look(&clinic, doctor_broker);
    assert_healthy(&clinic);
    clinic.broker_release = "2.1.0";
    clinic_look(&clinic, doctor_broker);
    assert_found(&clinic, FINDING_WARNING, "packets of 2000000 bytes at most");
    clinic_fini(&clinic);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(each_setting_is_found_or_not),
            cmocka_unit_test(what_debian_configures_loses_messages),
            cmocka_unit_test(the_fix_names_the_line_or_a_file_to_write),
            cmocka_unit_test(a_short_queue_is_enough_where_little_comes),
            cmocka_unit_test(a_gateway_that_has_just_started_has_no_rate),
            cmocka_unit_test(with_sync_always_few_in_flight_are_slow),
            cmocka_unit_test(a_broker_elsewhere_is_not_looked_at),
            cmocka_unit_test(a_configuration_that_cannot_be_read_is_said),
            cmocka_unit_test(the_configuration_of_another_broker_is_noticed),
            cmocka_unit_test(each_release_has_its_faults),
            cmocka_unit_test(large_packets_of_a_new_release_need_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
