#define _GNU_SOURCE
/* Nothing here is about doctor itself: see doctor_rig.h. */
#include "doctor_rig.h"

#include "base/os.h"

#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

static bool
fake_space(const struct doctor_world *world, const char *path, struct doctor_space *out)
{
    const struct clinic *clinic = world->context;
    assert_memory_equal(path, clinic->root, strlen(clinic->root));
    *out = clinic->space;
    return true;
}

static void
fake_help(const struct doctor_world *world, struct buf *out)
{
    const struct clinic *clinic = world->context;
    if (clinic->broker_release != NULL) {
        buf_printf(out, "mosquitto version %s\n\nmosquitto is an MQTT broker.\n",
                   clinic->broker_release);
    }
}

static void
put_machine(struct clinic *clinic)
{
    clinic_put(clinic, "/sys/dev/block/179:2/uevent", "MAJOR=179\nMINOR=2\nDEVNAME=mmcblk0p2\n");
    clinic_put(clinic, "/sys/block/mmcblk0/device/type", "SD\n");
    clinic_put(clinic, "/sys/block/mmcblk0/size", "62500000\n"); /* 32 GB */
    clinic_put(clinic, "/sys/class/rtc/rtc0/name", "rtc-ds1307\n");
    clinic_put(clinic, "/etc/localtime", "TZif");
    clinic_put(clinic, "/etc/timezone", "Europe/Berlin\n");
    clinic_put(clinic, "/proc/meminfo", "MemTotal:        1000000 kB\nMemFree: 5 kB\n");
    clinic_put(clinic, "/proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n"
                                      "/dev/zram0 partition 100 0 100\n");
    clinic_put(clinic, "/proc/700/stat", "700 (head gate) x) S 1 700 700 0\n");
    clinic_put(clinic, "/proc/700/io", "rchar: 1\nwrite_bytes: 1000000\n");
    clinic_put(clinic, "/proc/701/stat", "701 (ingest) S 700 700 700 0\n");
    clinic_put(clinic, "/proc/701/io", "write_bytes: 2000000\n");
    clinic_put(clinic, "/proc/702/stat", "702 (worker) S 701 700 700 0\n");
    clinic_put(clinic, "/proc/702/io", "write_bytes: 3000000\n");
    clinic_put(clinic, "/proc/900/stat", "900 (other) S 1 900 900 0\n");
    clinic_put(clinic, "/proc/900/io", "write_bytes: 900000000000\n");
    clinic_put(clinic, "/proc/700/limits", "Limit  Soft Limit  Hard Limit  Units\n"
                                           "Max open files            1024      524288   files\n");
    clinic_put(clinic, "/proc/700/status", "Name:\theadgate\nUid:\t0\t0\t0\t0\n");
    clinic_put(clinic, "/etc/headgate/headgate.conf", "# nothing\n");
    clinic_put(clinic, "/etc/headgate/rules.d/hot.sql", "");
    clinic_put(clinic, "/etc/headgate/handlers/enrich.c", "");
    clinic_put(clinic, "/var/lib/headgate/lock", "");
    clinic_put(clinic, "/var/lib/mosquitto/mosquitto.db", "");
    clinic_put(clinic, "/run/utmp", "");
    clinic_mode(clinic, "/var/lib/headgate", 0700);
    clinic_mount(clinic, "ext4", "rw,noatime");
    clinic_broker(clinic, "");
}

void
clinic_init(struct clinic *clinic)
{
    *clinic = (struct clinic){.root = "/tmp/headgate-unit-XXXXXX",
                              .broker_release = "2.0.22",
                              .space = {.free_bytes = 20000000000, .total_bytes = 30000000000,
                                        .free_files = 1000000, .total_files = 2000000}};
    assert_non_null(mkdtemp(clinic->root));
    clinic->world = (struct doctor_world){.root = clinic->root,
                                          .wall_us = INT64_C(1800000000) * 1000000, /* January 2027 */
                                          .is_time_synchronised = true,
                                          .uid = geteuid(),
                                          .context = clinic,
                                          .space = fake_space,
                                          .broker_help = fake_help};
    config_init(&clinic->config);
    clinic->subject = (struct doctor_case){
            .world = &clinic->world,
            .config = &clinic->config,
            .config_path = "/etc/headgate/headgate.conf",
            .broker_host = BYTES("localhost"),
            .broker_port = 1883,
            .sinks = 3,
            /* 1 message/s of 100 bytes */
            .gateway = {.runs = true, .pid = GATEWAY_PID, .uptime_s = 1000, .received = 1000,
                        .received_bytes = 100000},
    };
    put_machine(clinic);
}

static int
remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    return remove(path);
}

void
clinic_fini(struct clinic *clinic)
{
    report_fini(&clinic->report);
    config_fini(&clinic->config);
    nftw(clinic->root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static char *
place_of(const struct clinic *clinic, const char *path)
{
    struct buf place = {0};
    buf_printf(&place, "%s%s", clinic->root, path);
    return buf_take_string(&place);
}

void
clinic_put(struct clinic *clinic, const char *path, const char *text)
{
    char *place = place_of(clinic, path);
    char *slash = strrchr(place, '/');
    *slash = '\0';
    assert_int_equal(os_make_dirs(&os_posix, place, 0755), 0);
    *slash = '/';
    assert_int_equal(os_replace_file(&os_posix, place, bytes_of_string(text), 0600), 0);
    free(place);
}

void
clinic_mode(struct clinic *clinic, const char *path, mode_t mode)
{
    char *place = place_of(clinic, path);
    assert_int_equal(chmod(place, mode), 0);
    free(place);
}

void
clinic_remove(struct clinic *clinic, const char *path)
{
    char *place = place_of(clinic, path);
    assert_int_equal(nftw(place, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
    free(place);
}

void
clinic_broker(struct clinic *clinic, const char *more)
{
    struct buf text = {0};
    buf_printf(&text,
               "listener 1883 127.0.0.1\nallow_anonymous true\npersistence true\n"
               "persistence_location /var/lib/mosquitto/\nautosave_interval 10\n"
               "max_queued_messages 1000000\nmax_queued_bytes 64000000\n%s",
               more);
    clinic_put(clinic, "/etc/mosquitto/mosquitto.conf", buf_string(&text));
    buf_fini(&text);
}

void
clinic_mount(struct clinic *clinic, const char *type, const char *options)
{
    struct buf text = {0};
    buf_printf(&text,
               "22 28 0:21 / /proc rw shared:14 - proc proc rw\n"
               "31 28 0:30 / /run rw shared:3 - tmpfs tmpfs rw\n"
               "28 1 179:2 / / %s shared:1 - %s /dev/root rw\n"
               "30 28 179:1 / /boot rw shared:2 - vfat /dev/mmcblk0p1 rw\n"
               "nonsense\n",
               options, type);
    clinic_put(clinic, "/proc/self/mountinfo", buf_string(&text));
    buf_fini(&text);
}

void
clinic_look(struct clinic *clinic, clinic_area area)
{
    report_fini(&clinic->report);
    area(&clinic->subject, &clinic->report);
    assert_true(clinic->report.count > 0);
}

bool
clinic_found(const struct clinic *clinic, enum finding_level level, const char *words)
{
    for (size_t i = 0; i < clinic->report.count; i++) {
        const struct finding *finding = &clinic->report.items[i];
        char *what = bytes_to_string(finding->what);
        bool is_it = finding->level == level && strstr(what, words) != NULL;
        free(what);
        if (is_it) {
            assert_true(level == FINDING_OK || (finding->why.size > 0 && finding->fix.size > 0));
            return true;
        }
    }
    return false;
}

void
clinic_check(const struct clinic *clinic, bool is_so, const char *words, const char *file, int line)
{
    if (!is_so) {
        struct buf text = {0};
        report_print(&clinic->report, &text);
        print_error("expected: %s\nfound:\n%s", words, buf_string(&text));
        buf_fini(&text);
        _fail(file, line);
    }
}
