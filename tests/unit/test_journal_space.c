/* How much of the disk a log may take. */
#include "journal_rig.h"

#include "fault/fault_os.h"
#include "store/examine.h"

#include <errno.h>

static uint64_t
taken(const struct os *os)
{
    struct journal_extent extent;
    struct diag_list diags = {0};
    assert_true(journal_extent(os, dir, &extent, &diags));
    diag_list_fini(&diags);
    return extent.bytes;
}

/* Appends until the log is full; gives how many records it took. */
static uint64_t
fill(struct journal *journal, uint64_t from)
{
    uint64_t n = from;
    while (n < 400 && try_append(journal, n, NULL)) {
        n++;
    }
    return n;
}

static void
at_its_limit_it_holds_until_segments_are_trimmed(void **state)
{
    struct crash_disk *disk = crash_disk_new(51);
    struct journal_options options = options_for(crash_disk_os(disk));
    struct diag_list diags = {0};
    options.bytes_max = 4 * SEGMENT_BYTES;
    struct journal *journal = must_open(&options);
    uint64_t n = fill(journal, 0);
    assert_true(n > 40 && n < 400);
    assert_true(taken(options.os) <= 4 * SEGMENT_BYTES);
    char text[64];
    struct record record = numbered(n, text);
    assert_false(journal_append(journal, &record, &diags));
    assert_int_equal(diags.items[0].class, DIAG_BUSY);
    assert_true(journal_trim(options.os, dir, journal_tail(journal), &diags));
    assert_true(try_append(journal, n, NULL));
    assert_int_equal(journal_dropped(journal), 0);
    journal_close(journal);
    diag_list_fini(&diags);
    crash_disk_free(disk);
}

static void
two_segments_are_always_allowed(void **state)
{
    struct crash_disk *disk = crash_disk_new(52);
    struct journal_options options = options_for(crash_disk_os(disk));
    options.bytes_max = 10;
    struct journal *journal = must_open(&options);
    uint64_t n = fill(journal, 0);
    assert_true(n > 20 && n < 60);
    struct diag_list diags = {0};
    assert_true(journal_trim(options.os, dir, journal_tail(journal), &diags));
    assert_true(fill(journal, n) > n);
    journal_close(journal);
    diag_list_fini(&diags);
    crash_disk_free(disk);
}

static void
the_oldest_go_where_that_is_asked_for_and_are_counted(void **state)
{
    struct crash_disk *disk = crash_disk_new(53);
    struct journal_options options = options_for(crash_disk_os(disk));
    options.bytes_max = 4 * SEGMENT_BYTES;
    options.drops_oldest = true;
    struct journal *journal = must_open(&options);
    append_range(journal, 0, 200);
    assert_true(taken(options.os) <= 4 * SEGMENT_BYTES);
    struct reading reading = read_all(options.os);
    assert_true(reading.count > 20);
    assert_int_equal(journal_dropped(journal), 200 - reading.count);
    assert_int_equal(reading.numbers[0], 200 - reading.count);
    assert_int_equal(reading.numbers[reading.count - 1], 199);
    struct reading behind = read_until(options.os, 64, journal_tail(journal));
    assert_int_equal(behind.gaps, 1);
    assert_int_equal(behind.count, reading.count);
    journal_close(journal);
    crash_disk_free(disk);
}

static void
some_of_the_disk_is_left_free(void **state)
{
    for (int drops = 0; drops < 2; drops++) {
        struct crash_disk *disk = crash_disk_new(54);
        struct journal_options options = options_for(crash_disk_os(disk));
        crash_disk_set_space(disk, 8 * SEGMENT_BYTES);
        options.free_min_bytes = 3 * SEGMENT_BYTES;
        options.drops_oldest = drops == 1;
        struct journal *journal = must_open(&options);
        uint64_t n = fill(journal, 0);
        assert_true(taken(options.os) <= 5 * SEGMENT_BYTES);
        assert_int_equal(n == 400, drops == 1);
        crash_disk_set_space(disk, 0);
        assert_true(try_append(journal, n, NULL));
        journal_close(journal);
        crash_disk_free(disk);
    }
}

/* With drop_oldest, each call fails once in turn: nothing kept is damaged, and it goes on. */
static void
dropping_may_fail_anywhere(void **state)
{
    for (enum fault_call call = 0; call < FAULT_CALLS; call++) {
        for (uint64_t nth = 1;; nth++) {
            struct crash_disk *disk = crash_disk_new(55);
            struct fault_os fault;
            fault_os_init(&fault, crash_disk_os(disk));
            struct journal_options options = options_for(&fault.os);
            options.bytes_max = 3 * SEGMENT_BYTES;
            options.free_min_bytes = 1;
            options.drops_oldest = true;
            struct journal *journal = must_open(&options);
            append_range(journal, 0, 40);
            fault_os_arm(&fault, call, nth, EIO);
            for (uint64_t n = 40; n < 100;) {
                n += try_append(journal, n, NULL);
            }
            bool fired = fault.fired;
            fault_os_disarm(&fault);
            struct reading reading = read_all(&fault.os);
            assert_int_equal(reading.numbers[reading.count - 1], 99);
            assert_int_equal(reading.gaps, 0);
            assert_true(taken(&fault.os) <= 3 * SEGMENT_BYTES);
            journal_close(journal);
            crash_disk_free(disk);
            if (!fired) {
                break;
            }
        }
    }
}

static void
space_that_comes_and_goes_costs_nothing(void **state)
{
    struct crash_disk *disk = crash_disk_new(56);
    struct journal_options options = options_for(crash_disk_os(disk));
    struct diag_list diags = {0};
    struct journal *journal = must_open(&options);
    uint64_t n = 0;
    for (int round = 0; round < 100; round++) {
        crash_disk_set_space(disk, taken(options.os) + SEGMENT_BYTES / 2);
        uint64_t full = n;
        while (try_append(journal, full, NULL)) {
            full++;
        }
        assert_true(full - n < 40);
        crash_disk_set_space(disk, 0);
        append_range(journal, full, full + 3);
        struct reading reading = read_until(options.os, 0, journal_tail(journal));
        assert_int_equal(reading.gaps, 0);
        assert_int_equal(reading.numbers[reading.count - 1], full + 2);
        n = full + 3;
        assert_true(journal_trim(options.os, dir, journal_tail(journal), &diags));
    }
    struct journal_extent extent;
    assert_true(journal_extent(options.os, dir, &extent, &diags));
    assert_int_equal(extent.segments, 1);
    journal_close(journal);
    diag_list_fini(&diags);
    crash_disk_free(disk);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(at_its_limit_it_holds_until_segments_are_trimmed),
            cmocka_unit_test(two_segments_are_always_allowed),
            cmocka_unit_test(the_oldest_go_where_that_is_asked_for_and_are_counted),
            cmocka_unit_test(some_of_the_disk_is_left_free),
            cmocka_unit_test(space_that_comes_and_goes_costs_nothing),
            cmocka_unit_test(dropping_may_fail_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
