/* Damage: what it costs, that it is told, and that a copy is kept. */
#define _GNU_SOURCE
#include "journal_rig.h"

#include "fault/fault_os.h"
#include "store/examine.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { COUNT = 16 };

struct gaps {
    uint64_t from[64];
    uint64_t to[64];
    size_t count;
};

static void
note(void *context, uint64_t from, uint64_t to)
{
    struct gaps *gaps = context;
    gaps->from[gaps->count] = from;
    gaps->to[gaps->count++] = to;
}

static struct journal_examination
examine(const struct os *os, struct gaps *gaps)
{
    struct journal_examination found;
    struct diag_list diags = {0};
    *gaps = (struct gaps){0};
    assert_true(journal_examine(os, dir, note, gaps, &found, &diags));
    assert_int_equal(found.gaps, gaps->count);
    diag_list_fini(&diags);
    return found;
}

static void
put(struct crash_disk *disk, const char *path, const struct buf *content)
{
    struct buf *file = crash_disk_file(disk, path);
    if (file == NULL) {
        crash_disk_put(disk, path, buf_bytes(content));
    } else {
        buf_clear(file);
        buf_append(file, buf_bytes(content));
    }
}

/* A log that lost at most one record, which the writer or a reader tells, and that goes on. */
static void
judge_flip(struct crash_disk *disk, uint64_t at, uint64_t tail)
{
    struct diag_list diags = {0};
    struct gaps gaps;
    struct journal *journal = NULL;
    struct journal_options options = options_for(crash_disk_os(disk));
    assert_true(journal_open(&journal, &options, &diags));
    assert_int_equal(diags.errors, 0);
    bool is_told = diags.count > 0;
    append_range(journal, COUNT, COUNT + 2);
    struct reading reading = read_until(options.os, 0, journal_tail(journal));
    struct journal_examination found = examine(options.os, &gaps);
    if (reading.count < COUNT + 1 || (at < tail && !is_told)) {
        fail_msg("byte %" PRIu64 ": %zu records, %zu diags", at, reading.count, diags.count);
    }
    assert_int_equal(found.records, reading.count);
    bool is_in_middle = reading.count == COUNT + 1 && found.gaps == 1;
    assert_int_equal(journal_quarantined(options.os, dir), is_in_middle);
    journal_close(journal);
    diag_list_fini(&diags);
}

static void
one_damaged_byte_costs_one_record_wherever_it_is(void **state)
{
    static const unsigned char changes[] = {0x01, 0x80, 0xff};
    struct crash_disk *model = crash_disk_new(41);
    struct journal_options options = options_for(crash_disk_os(model));
    struct journal *journal = must_open(&options);
    append_range(journal, 0, COUNT);
    uint64_t tail = journal_tail(journal);
    struct buf whole = {0}, lock = {0};
    buf_append(&whole, buf_bytes(only_segment(model)));
    buf_append(&lock, buf_bytes(crash_disk_file(model, "log/lock")));
    for (uint64_t at = 0; at < tail + 40; at++) {
        for (size_t c = 0; c < sizeof changes; c++) {
            struct crash_disk *disk = crash_disk_new(41);
            char path[64];
            whole.data[at] = (char)((unsigned char)whole.data[at] ^ changes[c]);
            path_of(0, path);
            put(disk, path, &whole);
            put(disk, "log/lock", &lock);
            judge_flip(disk, at, tail);
            whole.data[at] = (char)((unsigned char)whole.data[at] ^ changes[c]);
            crash_disk_free(disk);
        }
    }
    buf_fini(&whole);
    buf_fini(&lock);
    journal_close(journal);
    crash_disk_free(model);
}

static void
the_quarantine_has_the_damaged_bytes_under_their_positions(void **state)
{
    struct crash_disk *disk = crash_disk_new(42);
    struct journal_options options = options_for(crash_disk_os(disk));
    struct journal *journal = must_open(&options);
    struct record third;
    append_range(journal, 0, 2);
    assert_true(try_append(journal, 2, &third));
    append_range(journal, 3, 6);
    journal_close(journal);
    struct buf *file = only_segment(disk);
    file->data[third.position + 20] ^= 1;
    struct buf copy = {0};
    buf_append(&copy, bytes_slice(buf_bytes(file), (size_t)third.position, (size_t)third.next));
    for (int starts = 0; starts < 2; starts++) {
        journal = must_open(&options);
        journal_close(journal);
        assert_int_equal(journal_quarantined(options.os, dir), 1);
    }
    char path[128];
    snprintf(path, sizeof path, "log/quarantine/%020" PRIu64 "-%020" PRIu64 ".bin",
             third.position, third.next);
    assert_non_null(crash_disk_file(disk, path));
    assert_true(bytes_equal(buf_bytes(crash_disk_file(disk, path)), buf_bytes(&copy)));
    struct gaps gaps;
    examine(options.os, &gaps);
    assert_int_equal(gaps.count, 1);
    assert_int_equal(gaps.from[0], third.position);
    assert_int_equal(gaps.to[0], third.next);
    buf_fini(&copy);
    crash_disk_free(disk);
}

static void
a_quarantine_that_cannot_be_written_stops_nothing(void **state)
{
    struct crash_disk *disk = crash_disk_new(43);
    struct fault_os fault;
    fault_os_init(&fault, crash_disk_os(disk));
    struct journal_options options = options_for(&fault.os);
    struct journal *journal = must_open(&options);
    append_range(journal, 0, 6);
    journal_close(journal);
    only_segment(disk)->data[100] ^= 1;
    fault_os_arm(&fault, FAULT_RENAME, 1, ENOSPC);
    struct diag_list diags = {0};
    assert_true(journal_open(&journal, &options, &diags));
    assert_true(fault.fired);
    assert_int_equal(diags.errors, 0);
    assert_int_equal(diags.count, 2);
    assert_int_equal(journal_quarantined(options.os, dir), 0);
    append_range(journal, 6, 8);
    journal_close(journal);
    journal = must_open(&options);
    assert_int_equal(journal_quarantined(options.os, dir), 1);
    journal_close(journal);
    diag_list_fini(&diags);
    crash_disk_free(disk);
}

static void
a_destroyed_header_costs_its_segment_and_no_other(void **state)
{
    struct crash_disk *disk = crash_disk_new(44);
    struct journal_options options = options_for(crash_disk_os(disk));
    struct journal *journal = must_open(&options);
    uint64_t bases[16];
    size_t count;
    append_range(journal, 0, 60);
    list_segment_bases(options.os, bases, &count);
    assert_true(count >= 3);
    char path[64];
    path_of(bases[1], path);
    memset(crash_disk_file(disk, path)->data, 'x', 64);
    struct gaps gaps;
    struct journal_examination found = examine(options.os, &gaps);
    assert_int_equal(gaps.count, 1);
    assert_int_equal(gaps.from[0], bases[1]);
    assert_int_equal(gaps.to[0], bases[2]);
    assert_true(found.records < 60 && found.records > 20);
    struct diag_list diags = {0};
    unsigned copied;
    assert_true(journal_quarantine(options.os, dir, bases[1], bases[2], &copied, &diags));
    assert_int_equal(copied, 1);
    assert_true(journal_quarantine(options.os, dir, bases[1], bases[2], &copied, &diags));
    assert_int_equal(copied, 0);
    journal_close(journal);
    diag_list_fini(&diags);
    crash_disk_free(disk);
}

static void
a_torn_tail_is_counted_and_is_no_damage(void **state)
{
    struct crash_disk *disk = crash_disk_new(45);
    struct journal_options options = options_for(crash_disk_os(disk));
    struct journal *journal = must_open(&options);
    append_range(journal, 0, 6);
    uint64_t tail = journal_tail(journal);
    memcpy(only_segment(disk)->data + tail, "torn", 4);
    struct gaps gaps;
    struct journal_examination found = examine(options.os, &gaps);
    assert_int_equal(found.records, 6);
    assert_int_equal(found.end, tail);
    assert_int_equal(found.gaps, 0);
    assert_int_equal(found.torn_bytes, 4);
    assert_int_equal(found.first_time_us, 1700000000000000);
    assert_int_equal(found.last_time_us, 1700000000000050);
    journal_close(journal);
    crash_disk_free(disk);
}

static void
a_folder_that_may_not_be_written_is_named(void **state)
{
    static const int errors[] = {EROFS, EACCES};
    for (size_t i = 0; i < 2; i++) {
        struct crash_disk *disk = crash_disk_new(46);
        struct fault_os fault;
        fault_os_init(&fault, crash_disk_os(disk));
        struct journal_options options = options_for(&fault.os);
        struct journal *journal = must_open(&options);
        append_range(journal, 0, 6);
        journal_close(journal);
        fault.is_lasting = true;
        fault_os_arm(&fault, FAULT_OPEN, 1, errors[i]);
        struct diag_list diags = {0};
        assert_false(journal_open(&journal, &options, &diags));
        struct bytes said = diag_first_error(&diags);
        assert_non_null(memmem(said.data, said.size, "'log'", 5));
        diag_list_fini(&diags);
        crash_disk_free(disk);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(one_damaged_byte_costs_one_record_wherever_it_is),
            cmocka_unit_test(the_quarantine_has_the_damaged_bytes_under_their_positions),
            cmocka_unit_test(a_quarantine_that_cannot_be_written_stops_nothing),
            cmocka_unit_test(a_destroyed_header_costs_its_segment_and_no_other),
            cmocka_unit_test(a_torn_tail_is_counted_and_is_no_damage),
            cmocka_unit_test(a_folder_that_may_not_be_written_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
