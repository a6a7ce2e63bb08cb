/* What of a log is how old: where it has to stay from, and where a time begins. */
#include "journal_rig.h"

enum { SECOND_US = 1000000, RECORDS = 200 };

/* A record a second; gives the clock at the first. */
static int64_t
fill(struct journal *journal, struct crash_disk *disk)
{
    const struct os *os = crash_disk_os(disk);
    struct diag_list diags = {0};
    int64_t first_us = os->wall_us(os);
    for (uint64_t n = 0; n < RECORDS; n++) {
        char text[64];
        struct record record = numbered(n, text);
        record.time_us = os->wall_us(os);
        assert_true(journal_append(journal, &record, &diags));
        crash_disk_advance(disk, SECOND_US);
    }
    diag_list_fini(&diags);
    return first_us;
}

static uint64_t
retained(const struct os *os, int64_t age_us, uint64_t bytes)
{
    const struct journal_retention retention = {age_us, bytes};
    struct diag_list diags = {0};
    uint64_t from;
    assert_true(journal_retained_from(os, dir, &retention, &from, &diags));
    diag_list_fini(&diags);
    return from;
}

static struct record
first_from(const struct os *os, uint64_t position)
{
    struct journal_reader *reader;
    struct diag_list diags = {0};
    struct record record;
    assert_true(journal_reader_open(&reader, os, dir, position, &diags));
    assert_int_equal(journal_reader_next(reader, UINT64_MAX, &record, &diags), JOURNAL_RECORD);
    journal_reader_close(reader);
    diag_list_fini(&diags);
    return record;
}

static void
records_younger_than_that_stay(void **state)
{
    struct crash_disk *disk = crash_disk_new(61);
    const struct os *os = crash_disk_os(disk);
    struct journal_options options = options_for(os);
    struct journal *journal = must_open(&options);
    fill(journal, disk);
    uint64_t bases[64], position;
    size_t count;
    struct diag_list diags = {0};
    list_segment_bases(os, bases, &count);
    assert_int_equal(retained(os, 0, 0), UINT64_MAX);
    assert_int_equal(retained(os, INT64_C(10000) * SECOND_US, 0), bases[0]);
    for (int64_t age = 1; age < RECORDS; age += 13) {
        int64_t since_us = os->wall_us(os) - age * SECOND_US;
        uint64_t from = retained(os, age * SECOND_US, 0);
        assert_true(journal_find_time(os, dir, since_us, &position, &diags));
        assert_true(from <= position);
        for (size_t i = 1; i < count; i++) { /* nor does a segment stay in vain */
            assert_true(bases[i - 1] != from || first_from(os, bases[i]).time_us >= since_us);
        }
    }
    diag_list_fini(&diags);
    journal_close(journal);
    crash_disk_free(disk);
}

/* What was written while the clock was wrong takes nothing along that is young. */
static void
a_clock_that_was_wrong_makes_nothing_old(void **state)
{
    static const int64_t ahead_days[] = {-3650, -30, 3650};
    for (size_t i = 0; i < sizeof ahead_days / sizeof *ahead_days; i++) {
        struct crash_disk *disk = crash_disk_new(64);
        const struct os *os = crash_disk_os(disk);
        struct journal_options options = options_for(os);
        struct journal *journal = must_open(&options);
        struct diag_list diags = {0};
        struct journal_extent all;
        fill(journal, disk);
        crash_disk_set_clock(disk, ahead_days[i] * 86400 * SECOND_US, true);
        fill(journal, disk);
        crash_disk_set_clock(disk, 0, true);
        fill(journal, disk);
        assert_true(journal_extent(os, dir, &all, &diags));
        assert_int_equal(retained(os, INT64_C(3600) * SECOND_US, 0), all.first);
        crash_disk_advance(disk, INT64_C(7200) * SECOND_US);
        fill(journal, disk); /* it all goes with what comes behind it */
        assert_true(retained(os, INT64_C(3600) * SECOND_US, 0) >
                    all.first + all.bytes - 2 * SEGMENT_BYTES);
        diag_list_fini(&diags);
        journal_close(journal);
        crash_disk_free(disk);
    }
}

static void
no_more_stays_than_bytes_allow(void **state)
{
    struct crash_disk *disk = crash_disk_new(62);
    const struct os *os = crash_disk_os(disk);
    struct journal_options options = options_for(os);
    struct journal *journal = must_open(&options);
    fill(journal, disk);
    struct diag_list diags = {0};
    struct journal_extent all, kept;
    assert_true(journal_extent(os, dir, &all, &diags));
    assert_true(all.segments > 5);
    assert_int_equal(retained(os, 0, UINT64_MAX / 2), all.first);
    assert_true(journal_trim(os, dir, retained(os, INT64_C(10000) * SECOND_US, 3 * SEGMENT_BYTES),
                             &diags));
    assert_true(journal_extent(os, dir, &kept, &diags));
    assert_true(kept.bytes <= 3 * SEGMENT_BYTES && kept.segments >= 3);
    assert_true(journal_trim(os, dir, retained(os, 0, 1), &diags)); /* the newest always stays */
    assert_true(journal_extent(os, dir, &kept, &diags));
    assert_int_equal(kept.segments, 1);
    diag_list_fini(&diags);
    journal_close(journal);
    crash_disk_free(disk);
}

static void
a_time_is_found_to_the_record(void **state)
{
    struct crash_disk *disk = crash_disk_new(63);
    const struct os *os = crash_disk_os(disk);
    struct journal_options options = options_for(os);
    struct journal *journal = must_open(&options);
    struct diag_list diags = {0};
    uint64_t position;
    assert_true(journal_find_time(os, dir, 5, &position, &diags));
    assert_int_equal(position, journal_tail(journal));
    int64_t first_us = fill(journal, disk);
    uint64_t before = 0;
    for (int64_t n = 0; n < RECORDS; n++) {
        int64_t time_us = first_us + n * SECOND_US - SECOND_US / 2;
        assert_true(journal_find_time(os, dir, time_us, &position, &diags));
        assert_true(n == 0 || position > before);
        struct record record = first_from(os, position);
        assert_true(record.time_us >= time_us && record.time_us < time_us + SECOND_US);
        before = position;
    }
    assert_true(journal_find_time(os, dir, INT64_MAX, &position, &diags));
    assert_int_equal(position, journal_tail(journal));
    diag_list_fini(&diags);
    journal_close(journal);
    crash_disk_free(disk);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(records_younger_than_that_stay),
            cmocka_unit_test(a_clock_that_was_wrong_makes_nothing_old),
            cmocka_unit_test(no_more_stays_than_bytes_allow),
            cmocka_unit_test(a_time_is_found_to_the_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
