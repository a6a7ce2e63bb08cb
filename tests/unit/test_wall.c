/* When the wall clock is believed, on a machine whose clock the test sets. */
#include "unit.h"

#include "base/wall.h"
#include "fault/crash_disk.h"

#define HOUR_US (INT64_C(3600) * 1000000)
#define YEARS_10_US (INT64_C(3650) * 24 * HOUR_US)

/* Whoever looks does so now and then. */
static void
pass_hours(struct crash_disk *disk, struct wall *wall, int hours)
{
    for (int i = 0; i < hours; i++) {
        crash_disk_advance(disk, HOUR_US);
        assert_int_equal(wall_look(wall, crash_disk_os(disk)), 0);
    }
}

static void
the_kernel_is_believed(void **state)
{
    struct crash_disk *disk = crash_disk_new(1);
    const struct os *os = crash_disk_os(disk);
    struct wall wall = {0};
    assert_true(wall_is_believed(&wall, os)); /* before the first look, too */
    assert_int_equal(wall_look(&wall, os), 0);
    crash_disk_set_clock(disk, YEARS_10_US, false); /* setting a clock ends its synchronisation */
    assert_false(wall_is_believed(&wall, os));
    crash_disk_set_clock(disk, YEARS_10_US, true); /* and NTP says: so it is */
    assert_true(wall_is_believed(&wall, os));
    crash_disk_set_clock(disk, -5 * YEARS_10_US, true); /* what nobody says */
    assert_false(wall_is_believed(&wall, os));
    crash_disk_free(disk);
}

static void
a_clock_that_nobody_keeps_is_believed_after_a_day(void **state)
{
    struct crash_disk *disk = crash_disk_new(1);
    const struct os *os = crash_disk_os(disk);
    struct wall wall = {0};
    crash_disk_set_clock(disk, 0, false);
    assert_false(wall_is_believed(&wall, os));
    assert_int_equal(wall_look(&wall, os), 0);
    pass_hours(disk, &wall, 23);
    assert_false(wall_is_believed(&wall, os));
    pass_hours(disk, &wall, 1);
    assert_true(wall_is_believed(&wall, os));
    crash_disk_set_clock(disk, 1000000, false); /* a second is no step */
    assert_int_equal(wall_look(&wall, os), 0);
    assert_true(wall_is_believed(&wall, os));
    crash_disk_set_clock(disk, -3 * HOUR_US, false);
    assert_false(wall_is_believed(&wall, os)); /* nobody has looked since, and yet */
    assert_in_range(-wall_look(&wall, os), 3 * HOUR_US, 3 * HOUR_US + 2000000);
    assert_int_equal(wall_look(&wall, os), 0);
    pass_hours(disk, &wall, 23);
    assert_false(wall_is_believed(&wall, os));
    pass_hours(disk, &wall, 1);
    assert_true(wall_is_believed(&wall, os));
    crash_disk_free(disk);
}

/* ---- doubt ---- */

static struct {
    int64_t wall_us, mono_us;
    bool is_synchronised;
} machine;

static int64_t
machine_wall_us(const struct os *os)
{
    return machine.wall_us;
}

static int64_t
machine_mono_us(const struct os *os)
{
    return machine.mono_us;
}

static bool
machine_is_synchronised(const struct os *os)
{
    return machine.is_synchronised;
}

static void
a_clock_is_doubted_until_ntp_may_have_answered(void **state)
{
    const struct os os = {.wall_us = machine_wall_us,
                          .mono_us = machine_mono_us,
                          .is_synchronised = machine_is_synchronised};
    machine.wall_us = INT64_C(1772323200000000);
    machine.mono_us = 10 * 60 * INT64_C(1000000) - 1;
    assert_true(wall_is_doubted(&os));
    machine.is_synchronised = true;
    assert_false(wall_is_doubted(&os));
    machine.is_synchronised = false;
    machine.mono_us++;
    assert_false(wall_is_doubted(&os)); /* nobody is going to set it */
    machine.wall_us = 0;
    machine.is_synchronised = true;
    assert_true(wall_is_doubted(&os));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(the_kernel_is_believed),
            cmocka_unit_test(a_clock_is_doubted_until_ntp_may_have_answered),
            cmocka_unit_test(a_clock_that_nobody_keeps_is_believed_after_a_day),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
