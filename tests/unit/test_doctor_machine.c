/* Disk, SD card, clock, limits and access: what is found, and what next to it is not. */
#include "doctor_rig.h"

/* ---- disk ---- */

static void
room_is_compared_with_what_may_be_needed(void **state)
{
    struct clinic clinic;
    clinic_init(&clinic);
    clinic_look(&clinic, doctor_disk);
    assert_healthy(&clinic);
    clinic.space.free_bytes = 10000000;
    clinic_look(&clinic, doctor_disk);
    assert_found(&clinic, FINDING_ERROR, "10 MB of the disk under '/var/lib/headgate' are free");
    clinic.space.free_bytes = 100000000;
    clinic_look(&clinic, doctor_disk);
    assert_found(&clinic, FINDING_WARNING, "100 MB of the disk");
    clinic.space.free_bytes = 2000000000;
    clinic_look(&clinic, doctor_disk);
    assert_healthy(&clinic);
    clinic.config.journal_max = 4000000000;
    clinic_look(&clinic, doctor_disk);
    assert_found(&clinic, FINDING_WARNING, "4.0 GB (what is left of journal_max");
    clinic.subject.gateway.journal_bytes = 3900000000;
    clinic_look(&clinic, doctor_disk);
    assert_healthy(&clinic);
    clinic_fini(&clinic);
}

static void
inodes_run_out_too(void **state)
{
    struct clinic clinic;
    clinic_init(&clinic);
    clinic.space.free_files = 10;
    clinic_look(&clinic, doctor_disk);
    assert_found(&clinic, FINDING_ERROR, "10 more files fit");
    clinic.space.free_files = 500;
    clinic_look(&clinic, doctor_disk);
    assert_found(&clinic, FINDING_WARNING, "500 more files fit");
    clinic.space.total_files = 0; /* btrfs: no fixed number */
    clinic.space.free_files = 0;
    clinic_look(&clinic, doctor_disk);
    assert_healthy(&clinic);
    clinic_fini(&clinic);
}

static void
some_file_systems_do_not_keep(void **state)
{
    static const struct {
        const char *type;
        enum finding_level level;
        const char *words;
    } cases[] = {
            {"tmpfs", FINDING_ERROR, "in memory (tmpfs on /)"},
            {"overlay", FINDING_ERROR, "an overlay"},
            {"squashfs", FINDING_ERROR, "read-only (squashfs"},
            {"vfat", FINDING_WARNING, "without a journal"},
            {"nfs4", FINDING_WARNING, "on another machine"},
            {"btrfs", FINDING_OK, "chattr +C"},
            {"f2fs", FINDING_OK, "f2fs"},
    };
    struct clinic clinic;
    clinic_init(&clinic);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        clinic_mount(&clinic, cases[i].type, "rw");
        clinic_look(&clinic, doctor_disk);
        assert_found(&clinic, cases[i].level, cases[i].words);
        assert_int_equal(clinic.report.errors + clinic.report.warnings,
                         cases[i].level == FINDING_OK ? 0 : 1);
    }
    clinic_fini(&clinic);
}

static void
some_mount_options_do_not_keep(void **state)
{
    static const struct {
        const char *options;
        enum finding_level level;
        const char *words;
    } cases[] = {
            {"ro,noatime", FINDING_ERROR, "/ is mounted read-only"},
            {"rw,barrier=0", FINDING_WARNING, "without barriers"},
            {"rw,nobarrier", FINDING_WARNING, "without barriers"},
            {"rw,sync", FINDING_WARNING, "with 'sync'"},
            {"rw,errors=remount-ro,commit=600", FINDING_OK, "ext4"},
    };
    struct clinic clinic;
    struct diag_list diags = {0};
    clinic_init(&clinic);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        clinic_mount(&clinic, "ext4", cases[i].options);
        clinic_look(&clinic, doctor_disk);
        assert_found(&clinic, cases[i].level, cases[i].words);
        assert_int_equal(clinic.report.errors + clinic.report.warnings,
                         cases[i].level == FINDING_OK ? 0 : 1);
    }
    assert_true(config_set(&clinic.config, BYTES("sync=never"), &diags));
    clinic_look(&clinic, doctor_disk);
    assert_found(&clinic, FINDING_WARNING, "every 600 seconds only");
    clinic_fini(&clinic);
}

static void
a_folder_that_is_not_there_yet_is_looked_at_where_it_will_be(void **state)
{
    struct clinic clinic;
    clinic_init(&clinic);
    clinic_remove(&clinic, "/var/lib/headgate");
    clinic_mount(&clinic, "tmpfs", "rw");
    clinic_look(&clinic, doctor_disk);
    assert_found(&clinic, FINDING_OK, "is not there yet");
    assert_found(&clinic, FINDING_ERROR, "in memory");
    clinic_fini(&clinic);
}

/* ---- card ---- */

static void
a_card_lasts_as_long_as_the_gateway_and_its_children_let_it(void **state)
{
    struct clinic clinic;
    clinic_init(&clinic); /* 6 MB in 1000 s: 518 MB a day, a card of 32 GB takes 3.2 TB */
    clinic_look(&clinic, doctor_card);
    assert_healthy(&clinic);
    assert_found(&clinic, FINDING_OK, "518 MB a day to the SD card of 32 GB, which takes that for "
                 "16.9 years");
    clinic_put(&clinic, "/proc/702/io", "write_bytes: 60000000\n");
    clinic_look(&clinic, doctor_card);
    assert_found(&clinic, FINDING_WARNING, "5.4 GB a day to the SD card of 32 GB, which takes that "
                 "for 1.6");
    clinic_fini(&clinic);
}

static void
what_cannot_be_measured_is_said(void **state)
{
    struct clinic clinic;
    clinic_init(&clinic);
    clinic.subject.gateway.uptime_s = 30;
    clinic_look(&clinic, doctor_card);
    assert_healthy(&clinic);
    assert_found(&clinic, FINDING_OK, "is known while the gateway runs for a minute");
    clinic.subject.gateway.uptime_s = 100;
    clinic.subject.gateway.pid = 12345;
    clinic_look(&clinic, doctor_card);
    assert_found(&clinic, FINDING_WARNING, "cannot be seen");
    clinic_fini(&clinic);
}

static void
what_is_no_card_has_no_budget(void **state)
{
    struct clinic clinic;
    clinic_init(&clinic);
    clinic_put(&clinic, "/proc/702/io", "write_bytes: 60000000\n");
    clinic_put(&clinic, "/sys/block/mmcblk0/device/type", "MMC\n");
    clinic_look(&clinic, doctor_card);
    assert_found(&clinic, FINDING_OK, "on no SD card");
    clinic_put(&clinic, "/sys/dev/block/179:2/uevent", "DEVNAME=sda2\n");
    clinic_look(&clinic, doctor_card);
    assert_found(&clinic, FINDING_OK, "on no SD card");
    assert_healthy(&clinic);
    clinic_fini(&clinic);
}

static void
swap_on_the_same_card_is_found(void **state)
{
    static const char *const swaps[] = {"/var/swap file 102396 0 -2\n",
                                        "/dev/mmcblk0p3\tpartition\t100\t0\t-2\n"};
    struct clinic clinic;
    clinic_init(&clinic);
    for (size_t i = 0; i < 2; i++) {
        clinic_put(&clinic, "/proc/swaps", swaps[i]);
        clinic_look(&clinic, doctor_card);
        assert_found(&clinic, FINDING_WARNING, "swapped out to the same SD card");
    }
    clinic_put(&clinic, "/proc/swaps", "/dev/sda3 partition 100 0 -2\n");
    clinic_look(&clinic, doctor_card);
    assert_healthy(&clinic);
    clinic_fini(&clinic);
}

/* ---- clock ---- */

static void
a_clock_is_set_and_kept_right(void **state)
{
    struct clinic clinic;
    clinic_init(&clinic);
    clinic_look(&clinic, doctor_clock);
    assert_healthy(&clinic);
    assert_found(&clinic, FINDING_OK, "time zone Europe/Berlin");
    clinic.world.is_time_synchronised = false;
    clinic_look(&clinic, doctor_clock);
    assert_found(&clinic, FINDING_WARNING, "nothing keeps the clock right");
    clinic_remove(&clinic, "/sys/class/rtc");
    clinic_look(&clinic, doctor_clock);
    assert_found(&clinic, FINDING_ERROR, "and there is no hardware clock");
    clinic.world.is_time_synchronised = true;
    clinic_look(&clinic, doctor_clock);
    assert_healthy(&clinic);
    clinic.world.wall_us = INT64_C(1000000);
    clinic_look(&clinic, doctor_clock);
    assert_found(&clinic, FINDING_ERROR, "it shows 1970-01-01");
    clinic_fini(&clinic);
}

static void
a_time_zone_is_set(void **state)
{
    struct clinic clinic;
    clinic_init(&clinic);
    clinic_remove(&clinic, "/etc/timezone");
    clinic_look(&clinic, doctor_clock);
    assert_healthy(&clinic);
    clinic_remove(&clinic, "/etc/localtime");
    clinic_look(&clinic, doctor_clock);
    assert_found(&clinic, FINDING_WARNING, "no time zone is set");
    clinic_fini(&clinic);
}

/* ---- limits ---- */

static void
open_files_are_compared_with_sinks(void **state)
{
    struct clinic clinic;
    clinic_init(&clinic);
    clinic_look(&clinic, doctor_limits);
    assert_healthy(&clinic);
    clinic.subject.sinks = 200;
    clinic.config.queue_max = 65536;
    clinic_look(&clinic, doctor_limits);
    assert_found(&clinic, FINDING_WARNING, "may open 1024 files; with 200 sinks it may need 2464");
    clinic_remove(&clinic, "/proc/700/limits");
    clinic_look(&clinic, doctor_limits);
    assert_found(&clinic, FINDING_WARNING, "cannot be seen");
    clinic.subject.gateway.runs = false;
    clinic_look(&clinic, doctor_limits);
    assert_healthy(&clinic);
    clinic_fini(&clinic);
}

static void
queues_fit_into_memory(void **state)
{
    struct clinic clinic;
    clinic_init(&clinic);
    clinic.config.queue_max = 200000000;
    clinic_look(&clinic, doctor_limits);
    assert_found(&clinic, FINDING_WARNING, "their queues take 634 MB of 1.0 GB memory");
    clinic_fini(&clinic);
}

/* ---- access ---- */

static void
passwords_are_for_few(void **state)
{
    struct clinic clinic;
    clinic_init(&clinic);
    clinic_put(&clinic, "/etc/headgate/headgate.conf", "  broker_password secret\n");
    clinic_look(&clinic, doctor_access);
    assert_healthy(&clinic);
    clinic_mode(&clinic, "/etc/headgate/headgate.conf", 0644);
    clinic_look(&clinic, doctor_access);
    assert_found(&clinic, FINDING_ERROR, "may read the password in '/etc/headgate/headgate.conf'");
    clinic_put(&clinic, "/etc/headgate/headgate.conf", "broker_password file:/etc/headgate/pw\n");
    clinic_put(&clinic, "/etc/headgate/pw", "secret\n");
    clinic_mode(&clinic, "/etc/headgate/headgate.conf", 0644);
    clinic_look(&clinic, doctor_access);
    assert_healthy(&clinic);
    clinic_mode(&clinic, "/etc/headgate/pw", 0644);
    clinic_look(&clinic, doctor_access);
    assert_found(&clinic, FINDING_WARNING, "may read the password in '/etc/headgate/pw'");
    clinic_fini(&clinic);
}

static void
passwords_in_rules_are_for_few(void **state)
{
    static const struct doctor_secret secret = {"table 'up'", "/etc/headgate/rules.d/hot.sql"};
    struct clinic clinic;
    clinic_init(&clinic);
    clinic.subject.secrets = &secret;
    clinic.subject.secret_count = 1;
    clinic_look(&clinic, doctor_access);
    assert_healthy(&clinic);
    clinic_mode(&clinic, secret.path, 0644);
    clinic_look(&clinic, doctor_access);
    assert_found(&clinic, FINDING_ERROR, "table 'up': everybody on this machine may read its "
                 "password");
    clinic_fini(&clinic);
}

static void
what_decides_what_runs_is_for_few(void **state)
{
    static const char *const paths[] = {"/etc/headgate/headgate.conf", "/etc/headgate/rules.d",
                                        "/etc/headgate/handlers"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct clinic clinic;
        clinic_init(&clinic);
        clinic_mode(&clinic, paths[i], 0775);
        clinic_look(&clinic, doctor_access);
        assert_healthy(&clinic);
        clinic_mode(&clinic, paths[i], 0777);
        clinic_look(&clinic, doctor_access);
        assert_found(&clinic, FINDING_ERROR, paths[i]);
        clinic_fini(&clinic);
    }
}

static void
data_belongs_to_the_gateway_alone(void **state)
{
    struct clinic clinic;
    clinic_init(&clinic);
    clinic_mode(&clinic, "/var/lib/headgate", 0750);
    clinic_look(&clinic, doctor_access);
    assert_healthy(&clinic);
    clinic_mode(&clinic, "/var/lib/headgate", 0755);
    clinic_look(&clinic, doctor_access);
    assert_found(&clinic, FINDING_WARNING, "may enter data_dir");
    clinic_mode(&clinic, "/var/lib/headgate", 0700);
    clinic_put(&clinic, "/proc/700/status", "Uid:\t54321\t54321\t54321\t54321\n");
    clinic_look(&clinic, doctor_access);
    assert_found(&clinic, FINDING_ERROR, "the gateway is user 54321");
    clinic_fini(&clinic);
}

static void
a_socket_that_nobody_answers_is_found(void **state)
{
    struct clinic clinic;
    clinic_init(&clinic);
    clinic.subject.gateway.runs = false;
    clinic_look(&clinic, doctor_access);
    assert_healthy(&clinic);
    assert_found(&clinic, FINDING_OK, "no gateway runs with '/var/lib/headgate'");
    clinic_put(&clinic, "/var/lib/headgate/control.sock", "");
    clinic_look(&clinic, doctor_access);
    assert_found(&clinic, FINDING_WARNING, "no gateway answers at '/var/lib/headgate/control.sock'");
    clinic_fini(&clinic);
}

/* ---- the report ---- */

static void
an_area_without_findings_is_one_line(void **state)
{
    struct clinic clinic;
    struct buf text = {0};
    clinic_init(&clinic);
    clinic_look(&clinic, doctor_examine);
    report_print(&clinic.report, &text);
    struct bytes rest = buf_bytes(&text), line;
    size_t lines = 0;
    while (bytes_split(&rest, '\n', &line)) {
        lines++;
    }
    assert_healthy(&clinic);
    assert_int_equal(lines, 7 + 1 + 1); /* areas, the counts, and what is behind the last line */
    buf_fini(&text);
    clinic_fini(&clinic);
}

static void
findings_have_reason_and_fix_and_hide_the_facts(void **state)
{
    struct report report = {0};
    struct buf text = {0};
    report_area(&report, "disk");
    report_fact(&report, "ext4");
    report_add(&report, FINDING_ERROR, "%d bytes", 5);
    report_why(&report, "so");
    report_fix(&report, "do \"%s\"", "it");
    report_area(&report, "clock");
    report_fact(&report, "set");
    report_fact(&report, "right");
    report_print(&report, &text);
    assert_string_equal(buf_string(&text), "disk: error: 5 bytes\n  why: so\n  fix: do \"it\"\n"
                                           "clock: ok: set, right\n1 error, 0 warnings\n");
    buf_clear(&text);
    report_write_json(&report, &text);
    assert_string_equal(
            buf_string(&text),
            "{\"errors\":1,\"warnings\":0,\"findings\":["
            "{\"area\":\"disk\",\"level\":\"ok\",\"what\":\"ext4\",\"why\":\"\",\"fix\":\"\"},"
            "{\"area\":\"disk\",\"level\":\"error\",\"what\":\"5 bytes\",\"why\":\"so\","
            "\"fix\":\"do \\\"it\\\"\"},"
            "{\"area\":\"clock\",\"level\":\"ok\",\"what\":\"set\",\"why\":\"\",\"fix\":\"\"},"
            "{\"area\":\"clock\",\"level\":\"ok\",\"what\":\"right\",\"why\":\"\",\"fix\":\"\"}]}");
    buf_fini(&text);
    report_fini(&report);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(room_is_compared_with_what_may_be_needed),
            cmocka_unit_test(inodes_run_out_too),
            cmocka_unit_test(some_file_systems_do_not_keep),
            cmocka_unit_test(some_mount_options_do_not_keep),
            cmocka_unit_test(a_folder_that_is_not_there_yet_is_looked_at_where_it_will_be),
            cmocka_unit_test(a_card_lasts_as_long_as_the_gateway_and_its_children_let_it),
            cmocka_unit_test(what_cannot_be_measured_is_said),
            cmocka_unit_test(what_is_no_card_has_no_budget),
            cmocka_unit_test(swap_on_the_same_card_is_found),
            cmocka_unit_test(a_clock_is_set_and_kept_right),
            cmocka_unit_test(a_time_zone_is_set),
            cmocka_unit_test(open_files_are_compared_with_sinks),
            cmocka_unit_test(queues_fit_into_memory),
            cmocka_unit_test(passwords_are_for_few),
            cmocka_unit_test(passwords_in_rules_are_for_few),
            cmocka_unit_test(what_decides_what_runs_is_for_few),
            cmocka_unit_test(data_belongs_to_the_gateway_alone),
            cmocka_unit_test(a_socket_that_nobody_answers_is_found),
            cmocka_unit_test(an_area_without_findings_is_one_line),
            cmocka_unit_test(findings_have_reason_and_fix_and_hide_the_facts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
