/*
 * The clock: a Raspberry Pi up to the 4 has none that runs without power. Messages carry the time
 * at which they arrived, and windows, retention and certificates are judged by it.
 */
#include "doctor.h"

#include "base/calendar.h"
#include "base/os.h"

#include <string.h>

/* When this was written: a clock that shows less has not been set. */
static const struct calendar_date WRITTEN = {2026, 11, 1};

bool
doctor_is_clock_set(const struct doctor_world *world)
{
    return world->wall_us / 1000000 >= calendar_days(WRITTEN) * 86400;
}

static void
count_entry(void *context, const char *name)
{
    size_t *count = context;
    *count += strncmp(name, "rtc", 3) == 0;
}

static bool
has_hardware_clock(const struct doctor_world *world)
{
    size_t count = 0;
    struct buf path = {0};
    buf_printf(&path, "%s/sys/class/rtc", world->root);
    bool is_there = os_posix.list(&os_posix, buf_string(&path), count_entry, &count) == 0;
    buf_fini(&path);
    return is_there && count > 0;
}

static void
look_at_zone(const struct doctor_world *world, struct report *report)
{
    struct stat status;
    struct buf name = {0};
    if (!doctor_stat(world, "/etc/localtime", &status)) {
        report_add(report, FINDING_WARNING, "no time zone is set: there is no /etc/localtime");
        report_why(report, "programs beside the gateway that write local times take UTC for them, "
                   "so what they publish may be hours off");
        report_fix(report, "run: sudo timedatectl set-timezone Europe/Berlin (or UTC, if that is "
                   "meant)");
    } else if (doctor_read(world, "/etc/timezone", &name)) {
        report_fact(report, "time zone %.*s", BYTES_ARG(bytes_trim(buf_bytes(&name))));
    } else {
        report_fact(report, "a time zone is set");
    }
    buf_fini(&name);
}

static void
look_at_time(const struct doctor_world *world, struct report *report)
{
    bool has_clock = has_hardware_clock(world);
    if (!doctor_is_clock_set(world)) {
        struct buf date = {0};
        calendar_print_date(world->wall_us / 1000000 / 86400, &date);
        report_add(report, FINDING_ERROR, "the clock is not set: it shows %s", buf_string(&date));
        report_why(report, "messages are kept with a time that is years off; windows and retention "
                   "go by it, and certificates count as not valid yet");
        report_fix(report, "run: sudo timedatectl set-ntp true; without network: sudo date -s "
                           "'YYYY-MM-DD hh:mm'");
        buf_fini(&date);
    } else if (!world->is_time_synchronised) {
        report_add(report, has_clock ? FINDING_WARNING : FINDING_ERROR,
                   "nothing keeps the clock right (no NTP)%s",
                   has_clock ? "" : ", and there is no hardware clock");
        report_why(report, has_clock ? "it drifts by seconds a week; rows of several gateways do "
                   "not fit together, and a later correction makes time jump. For a day after each "
                   "start nothing is deleted because of its age" :
                   "after a power cut it goes on from the time of the last shutdown: messages get "
                   "wrong times until somebody sets it. For a day after each start nothing is "
                   "deleted because of its age");
        report_fix(report, "run: sudo timedatectl set-ntp true%s",
                   has_clock ? "" : "; without network, add a clock module (DS3231)");
    } else {
        report_fact(report, has_clock ? "synchronised, with a hardware clock" :
                    "synchronised; without a hardware clock the time after a power cut is a guess "
                    "until the network answers");
    }
}

void
doctor_clock(const struct doctor_case *subject, struct report *report)
{
    report_area(report, "clock");
    look_at_time(subject->world, report);
    look_at_zone(subject->world, report);
}
