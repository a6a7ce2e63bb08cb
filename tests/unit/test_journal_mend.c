/* The log after a sync that failed: fault_os makes the later ones lie, as Linux does. */
#include "journal_rig.h"

#include "fault/fault_os.h"

#include <errno.h>
#include <unistd.h>

enum { TRIES = 2000 };

struct rig {
    struct crash_disk *disk;
    struct fault_os fault;
    struct journal_options options;
    struct journal *journal;
};

static void
set_up(struct rig *rig)
{
    rig->disk = crash_disk_new(31);
    fault_os_init(&rig->fault, crash_disk_os(rig->disk));
    rig->options = options_for(&rig->fault.os);
    rig->journal = must_open(&rig->options);
}

static void
tear_down(struct rig *rig)
{
    journal_close(rig->journal);
    crash_disk_free(rig->disk);
}

static void
the_newest_segment_moves_to_another_file(void **state)
{
    struct rig rig;
    struct diag_list diags = {0};
    set_up(&rig);
    append_range(rig.journal, 0, 3);
    fault_os_arm(&rig.fault, FAULT_SYNC, 1, EIO);
    assert_true(journal_sync(rig.journal, &diags));
    assert_true(rig.fault.fired);
    assert_int_equal(diags.count, 1);
    assert_int_equal(diags.items[0].level, DIAG_WARNING);
    crash_disk_stop_after(rig.disk, 0);
    journal_close(rig.journal);
    crash_disk_cut(rig.disk, CRASH_DROP);
    rig.journal = must_open(&rig.options);
    struct reading reading = read_all(rig.options.os);
    assert_numbers(&reading, 0, 3);
    append_range(rig.journal, 3, 6);
    reading = read_all(rig.options.os);
    assert_numbers(&reading, 0, 6);
    diag_list_fini(&diags);
    tear_down(&rig);
}

static void
readers_of_the_old_file_go_on(void **state)
{
    struct rig rig;
    struct diag_list diags = {0};
    struct journal_reader *reader = NULL;
    struct record record;
    set_up(&rig);
    append_range(rig.journal, 0, 3);
    assert_true(journal_reader_open(&reader, rig.options.os, dir, 0, &diags));
    assert_int_equal(journal_reader_next(reader, journal_tail(rig.journal), &record, &diags),
                     JOURNAL_RECORD);
    fault_os_arm(&rig.fault, FAULT_SYNC, 1, EIO);
    assert_true(try_sync(rig.journal));
    append_range(rig.journal, 3, 40);
    for (uint64_t n = 1; n < 40; n++) {
        assert_int_equal(journal_reader_next(reader, journal_tail(rig.journal), &record, &diags),
                         JOURNAL_RECORD);
        assert_int_equal(number_of(&record), n);
    }
    assert_int_equal(journal_reader_next(reader, journal_tail(rig.journal), &record, &diags),
                     JOURNAL_END);
    journal_reader_close(reader);
    diag_list_fini(&diags);
    tear_down(&rig);
}

static void
a_medium_that_takes_nothing_is_tried_again_later(void **state)
{
    struct rig rig;
    set_up(&rig);
    append_range(rig.journal, 0, 3);
    rig.fault.is_lasting = true;
    fault_os_arm(&rig.fault, FAULT_SYNC, 1, EIO);
    for (int i = 0; i < 5; i++) {
        assert_false(try_sync(rig.journal));
        assert_false(try_append(rig.journal, 3, NULL));
    }
    assert_true(rig.fault.counts[FAULT_SYNC] < 8); /* not a copy for each try */
    fault_os_disarm(&rig.fault);
    int tries = 0;
    while (!try_append(rig.journal, 3, NULL) && tries++ < TRIES) {
        usleep(1000);
    }
    append_range(rig.journal, 4, 10);
    assert_true(try_sync(rig.journal));
    struct reading reading = read_all(rig.options.os);
    assert_numbers(&reading, 0, 10);
    tear_down(&rig);
}

/* The old file's sync fails, and then the n-th call of each kind of what mends it. */
static void
mending_may_fail_anywhere(void **state)
{
    static const enum fault_call calls[] = {FAULT_OPEN, FAULT_PREAD, FAULT_PWRITE, FAULT_RENAME,
                                            FAULT_SYNC, FAULT_SYNC_DIR, FAULT_SIZE};
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++) {
        for (uint64_t nth = 1;; nth++) {
            struct rig rig;
            struct fault_os second;
            set_up(&rig);
            journal_close(rig.journal);
            fault_os_init(&second, &rig.fault.os);
            rig.options.os = &second.os;
            rig.journal = must_open(&rig.options);
            append_range(rig.journal, 0, 30);
            fault_os_arm(&rig.fault, FAULT_SYNC, 1, EIO);
            fault_os_arm(&second, calls[c], nth, EIO);
            uint64_t appended = 30;
            for (int tries = 0; !try_sync(rig.journal) && tries < TRIES; tries++) {
                usleep(1000);
            }
            bool fired = second.fired;
            fault_os_disarm(&second);
            for (; appended < 60; appended++) {
                assert_true(try_append(rig.journal, appended, NULL));
            }
            assert_true(try_sync(rig.journal));
            crash_disk_stop_after(rig.disk, 0);
            journal_close(rig.journal);
            crash_disk_cut(rig.disk, CRASH_DROP);
            rig.journal = must_open(&rig.options);
            struct reading reading = read_all(rig.options.os);
            assert_numbers(&reading, 0, 60);
            tear_down(&rig);
            if (!fired) {
                break;
            }
        }
    }
}

static void
a_copy_that_was_not_finished_is_removed(void **state)
{
    struct rig rig;
    set_up(&rig);
    append_range(rig.journal, 0, 3);
    journal_close(rig.journal);
    crash_disk_put(rig.disk, "log/00000000000000000000.new", BYTES("half"));
    rig.journal = must_open(&rig.options);
    assert_null(crash_disk_file(rig.disk, "log/00000000000000000000.new"));
    struct reading reading = read_all(rig.options.os);
    assert_numbers(&reading, 0, 3);
    tear_down(&rig);
}

/* The page cache had given the bytes up before they were copied. */
static void
what_cannot_be_read_back_is_told(void **state)
{
    struct rig rig;
    struct diag_list diags = {0};
    struct record record;
    set_up(&rig);
    append_range(rig.journal, 0, 3);
    assert_true(try_append(rig.journal, 3, &record));
    struct buf *file = only_segment(rig.disk);
    memset(file->data + record.position, 0, (size_t)(record.next - record.position));
    fault_os_arm(&rig.fault, FAULT_SYNC, 1, EIO);
    assert_false(journal_sync(rig.journal, &diags));
    assert_int_equal(diags.items[diags.count - 1].class, DIAG_CORRUPT);
    append_range(rig.journal, 4, 6);
    assert_true(try_sync(rig.journal));
    struct reading reading = read_until(rig.options.os, 0, journal_tail(rig.journal));
    assert_int_equal(reading.count, 5);
    assert_int_equal(reading.gaps, 1);
    diag_list_fini(&diags);
    tear_down(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(the_newest_segment_moves_to_another_file),
            cmocka_unit_test(readers_of_the_old_file_go_on),
            cmocka_unit_test(a_medium_that_takes_nothing_is_tried_again_later),
            cmocka_unit_test(mending_may_fail_anywhere),
            cmocka_unit_test(a_copy_that_was_not_finished_is_removed),
            cmocka_unit_test(what_cannot_be_read_back_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
