/*
 * The log when things go wrong: damage costs what it damages, a failed call costs its record, a
 * crash costs what the policy says.
 */
#define _GNU_SOURCE
#include "unit.h"

#include "journal_rig.h"

#include "base/mem.h"
#include "base/wire.h"
#include "fault/fault_os.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- damage ---- */

/* Behind the tail there is nothing but zeros. */
static void
assert_blank_behind(const struct buf *file, uint64_t offset)
{
    for (size_t i = offset; i < file->size; i++) {
        assert_int_equal(file->data[i], 0);
    }
}

static void
a_torn_tail_is_cut_at_every_byte(void **state)
{
    for (uint64_t boots = 0; boots < 2; boots++) {
        for (uint64_t cut = 1;; cut++) {
            struct crash_disk *disk = crash_disk_new(8);
            struct journal_options options = options_for(crash_disk_os(disk));
            struct journal *journal = must_open(&options);
            append_range(journal, 0, 5);
            struct record last;
            assert_true(try_append(journal, 5, &last));
            journal_close(journal);
            if (boots > 0) {
                crash_disk_cut(disk, CRASH_DROP);
            }
            struct buf *file = only_segment(disk);
            if (last.position + cut >= last.next) {
                crash_disk_free(disk);
                break;
            }
            memset(file->data + last.position + cut, 0, last.next - last.position - cut);
            struct reading reading = read_all(options.os);
            assert_numbers(&reading, 0, 5);
            journal = must_open(&options);
            struct diag_list diags = {0};
            struct record tiny = {.payload = BYTES("")};
            assert_true(journal_append(journal, &tiny, &diags));
            diag_list_fini(&diags);
            if (boots == 0) {
                assert_blank_behind(only_segment(disk), tiny.next);
            }
            assert_true(journal_cut(journal, tiny.position, &diags));
            append_range(journal, 5, 8);
            journal_close(journal);
            reading = read_all(options.os);
            assert_numbers(&reading, 0, 8);
            assert_int_equal(reading.gaps, 0);
            crash_disk_free(disk);
        }
    }
}

static void
one_flipped_bit_costs_one_record_and_is_told(void **state)
{
    enum { COUNT = 16 };
    struct crash_disk *disk = crash_disk_new(9);
    struct journal_options options = options_for(crash_disk_os(disk));
    struct journal *journal = must_open(&options);
    append_range(journal, 0, COUNT);
    uint64_t tail = journal_tail(journal);
    journal_close(journal);
    for (uint64_t at = 0; at < tail; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            struct buf *file = only_segment(disk);
            file->data[at] = (char)(file->data[at] ^ (1 << bit));
            struct reading reading = read_until(options.os, 0, tail);
            if (at >= 64) {
                assert_int_equal(reading.count, COUNT - 1);
                assert_int_equal(reading.gaps, 1);
            } else { /* the header: one damaged byte is corrected */
                assert_int_equal(reading.count, COUNT);
            }
            for (size_t i = 1; i < reading.count; i++) {
                assert_true(reading.numbers[i] > reading.numbers[i - 1]);
            }
            file->data[at] = (char)(file->data[at] ^ (1 << bit));
        }
    }
    crash_disk_free(disk);
}

/* Records of one size: a damaged length then leads exactly to a later record. */
static void
a_damaged_length_hides_no_other_record(void **state)
{
    struct crash_disk *disk = crash_disk_new(10);
    struct journal_options options = options_for(crash_disk_os(disk));
    struct journal *journal = must_open(&options);
    struct diag_list diags = {0};
    char payload[27];
    memset(payload, 'p', sizeof payload);
    for (int i = 0; i < 20; i++) {
        struct record record = {.time_us = i, .payload = bytes_of(payload, sizeof payload)};
        assert_true(journal_append(journal, &record, &diags));
        assert_int_equal(record.next - record.position, 35);
    }
    uint64_t tail = journal_tail(journal);
    journal_close(journal);
    for (unsigned bit = 0; bit < 8; bit++) {
        struct buf *file = only_segment(disk);
        file->data[64 + 35 * 3 + 4] = (char)(file->data[64 + 35 * 3 + 4] ^ (1 << bit));
        struct journal_reader *reader = NULL;
        struct record record;
        size_t count = 0;
        assert_true(journal_reader_open(&reader, options.os, dir, 0, &diags));
        enum journal_read result;
        while ((result = journal_reader_next(reader, tail, &record, &diags)) != JOURNAL_END) {
            count += result == JOURNAL_RECORD;
        }
        assert_int_equal(count, 19);
        journal_reader_close(reader);
        file->data[64 + 35 * 3 + 4] = (char)(file->data[64 + 35 * 3 + 4] ^ (1 << bit));
    }
    diag_list_fini(&diags);
    crash_disk_free(disk);
}

static void
damage_in_the_middle_survives_recovery_as_a_gap(void **state)
{
    struct crash_disk *disk = crash_disk_new(11);
    struct journal_options options = options_for(crash_disk_os(disk));
    struct journal *journal = must_open(&options);
    append_range(journal, 0, 10);
    struct reading all = read_all(options.os);
    journal_close(journal);
    struct buf *file = only_segment(disk);
    memset(file->data + all.positions[3], 0xa5, 20);
    memset(file->data + all.positions[6], 0, all.positions[7] - all.positions[6]);
    struct buf before = {0};
    buf_append(&before, buf_bytes(file));

    struct diag_list diags = {0};
    assert_true(journal_open(&journal, &options, &diags));
    assert_int_equal(diags.count, 1);
    assert_int_equal(diags.items[0].level, DIAG_WARNING);
    assert_int_equal(diags.items[0].class, DIAG_CORRUPT);
    assert_true(bytes_equal(buf_bytes(&before), buf_bytes(only_segment(disk))));
    append_range(journal, 10, 12);
    journal_close(journal);

    struct reading reading = read_until(options.os, 0, all.end);
    assert_int_equal(reading.count, 8);
    assert_int_equal(reading.gaps, 2);
    buf_fini(&before);
    diag_list_fini(&diags);
    crash_disk_free(disk);
}

static void
a_missing_or_foreign_segment_is_a_gap(void **state)
{
    for (int kind = 0; kind < 3; kind++) {
        for (size_t victim = 0; victim < 3; victim++) {
            struct crash_disk *disk = crash_disk_new(12);
            struct journal_options options = options_for(crash_disk_os(disk));
            struct journal *journal = must_open(&options);
            append_range(journal, 0, 100);
            uint64_t tail = journal_tail(journal);
            journal_close(journal);
            uint64_t bases[100];
            size_t count;
            list_segment_bases(options.os, bases, &count);
            assert_true(count > 4);
            char path[64];
            path_of(bases[victim], path);
            struct buf *file = crash_disk_file(disk, path);
            if (kind == 0) {
                assert_int_equal(options.os->unlink(options.os, path), 0);
            } else if (kind == 1) {
                memset(file->data, 'x', 64);
            } else { /* a segment of another log, but at the right position */
                struct crash_disk *other = crash_disk_new(99);
                struct journal_options foreign = options_for(crash_disk_os(other));
                journal = must_open(&foreign);
                append_range(journal, 0, 100);
                journal_close(journal);
                struct buf *source = crash_disk_file(other, path);
                assert_non_null(source);
                buf_clear(file);
                buf_append(file, buf_bytes(source));
                crash_disk_free(other);
            }
            uint64_t end = bases[victim + 1];
            struct reading reading = read_until(options.os, 1, tail);
            assert_int_equal(reading.gaps, 1);
            assert_int_equal(reading.gap_bytes, end - (victim == 0 ? 1 : bases[victim]));
            assert_true(reading.count > 50 && reading.count < 100);
            struct reading oldest = read_until(options.os, 0, tail);
            assert_int_equal(oldest.count, reading.count);
            assert_int_equal(oldest.gaps, kind == 0 && victim == 0 ? 0 : 1);
            journal = must_open(&options);
            assert_true(try_append(journal, 100, NULL));
            journal_close(journal);
            crash_disk_free(disk);
        }
    }
}

/* The newest segment's header is gone: the log goes on behind it and never overwrites it. */
static void
an_unreadable_newest_segment_is_left_alone(void **state)
{
    struct crash_disk *disk = crash_disk_new(13);
    struct journal_options options = options_for(crash_disk_os(disk));
    struct journal *journal = must_open(&options);
    append_range(journal, 0, 50);
    journal_close(journal);
    uint64_t bases[100];
    size_t count;
    list_segment_bases(options.os, bases, &count);
    char path[64];
    path_of(bases[count - 1], path);
    memset(crash_disk_file(disk, path)->data, 'x', 64);
    struct diag_list diags = {0};
    assert_true(journal_open(&journal, &options, &diags));
    assert_true(diags.count >= 1);
    append_range(journal, 50, 60);
    journal_close(journal);
    assert_memory_equal(crash_disk_file(disk, path)->data, "xxxx", 4);
    struct reading reading = read_all(options.os);
    assert_int_equal(reading.gaps, 1);
    assert_int_equal(reading.numbers[reading.count - 1], 59);
    diag_list_fini(&diags);
    crash_disk_free(disk);
}

static void
a_file_without_header_is_an_unfinished_creation(void **state)
{
    static const char zeros[2048] = {0};
    static const size_t sizes[] = {0, 10, 64, 2048};
    for (size_t i = 0; i < 4; i++) {
        struct crash_disk *disk = crash_disk_new(14);
        struct journal_options options = options_for(crash_disk_os(disk));
        struct journal *journal = must_open(&options);
        append_range(journal, 0, 5);
        uint64_t tail = journal_tail(journal);
        journal_close(journal);
        char path[64];
        path_of(tail, path);
        crash_disk_put(disk, path, bytes_of(zeros, sizes[i]));
        struct reading reading = read_all(options.os);
        assert_numbers(&reading, 0, 5);
        assert_int_equal(reading.gaps, 0);
        journal = must_open(&options);
        append_range(journal, 5, 9);
        journal_close(journal);
        reading = read_all(options.os);
        assert_numbers(&reading, 0, 9);
        assert_int_equal(reading.gaps, 0);
        crash_disk_free(disk);
    }
}

/* Its previous end is not known before its header is there. */
static void
a_segment_that_is_being_created_is_no_gap(void **state)
{
    struct crash_disk *disk = crash_disk_new(14);
    struct journal_options options = options_for(crash_disk_os(disk));
    struct journal *journal = must_open(&options);
    append_range(journal, 0, 5);
    char path[64];
    path_of(SEGMENT_BYTES, path);
    crash_disk_put(disk, path, BYTES(""));
    struct reading reading = read_all(options.os);
    assert_numbers(&reading, 0, 5);
    assert_int_equal(reading.gaps, 0);
    journal_close(journal);
    crash_disk_free(disk);
}

static void
a_foreign_newest_segment_does_not_take_over(void **state)
{
    struct crash_disk *disk = crash_disk_new(14);
    struct crash_disk *other = crash_disk_new(98);
    struct journal_options options = options_for(crash_disk_os(disk));
    struct journal_options foreign = options_for(crash_disk_os(other));
    struct journal *journal = must_open(&foreign);
    append_range(journal, 0, 100);
    journal_close(journal);
    uint64_t bases[100];
    size_t count;
    char path[64];
    list_segment_bases(foreign.os, bases, &count);
    path_of(bases[count - 1], path);

    journal = must_open(&options);
    append_range(journal, 0, 5);
    journal_close(journal);
    crash_disk_put(disk, path, buf_bytes(crash_disk_file(other, path)));
    journal = must_open(&options);
    append_range(journal, 5, 10);
    journal_close(journal);
    struct reading reading = read_all(options.os);
    assert_numbers(&reading, 0, 10);
    assert_int_equal(reading.gaps, 2); /* up to the stranger, and the stranger */
    crash_disk_free(disk);
    crash_disk_free(other);
}

/* Zeros in front of a record whose own first bytes are zero belong to both. */
static void
a_record_behind_zeros_is_found_by_its_first_byte(void **state)
{
    struct crash_disk *disk = crash_disk_new(23);
    struct journal_options options = options_for(crash_disk_os(disk));
    options.segment_bytes = 64 * 1024;
    struct journal *journal = must_open(&options);
    append_range(journal, 0, 500);
    struct reading all = read_all(options.os);
    journal_close(journal);
    struct buf *file = only_segment(disk);
    size_t tried = 0;
    for (size_t i = 1; i < all.count; i++) {
        if (file->data[all.positions[i]] == 0) {
            uint64_t from = all.positions[i - 1];
            char kept[128];
            memcpy(kept, file->data + from, all.positions[i] - from);
            memset(file->data + from, 0, all.positions[i] - from);
            struct reading reading = read_until(options.os, 0, all.end);
            assert_int_equal(reading.count, all.count - 1);
            memcpy(file->data + from, kept, all.positions[i] - from);
            tried++;
        }
    }
    assert_true(tried > 0);
    crash_disk_free(disk);
}

static void
a_newer_format_is_refused_and_untouched(void **state)
{
    struct crash_disk *disk = crash_disk_new(15);
    struct journal_options options = options_for(crash_disk_os(disk));
    struct journal *journal = must_open(&options);
    append_range(journal, 0, 3);
    journal_close(journal);
    struct buf *file = only_segment(disk);
    file->data[4] = 2;
    uint32_t crc = wire_crc32c(0, bytes_of(file->data, 60));
    for (int i = 0; i < 4; i++) {
        file->data[60 + i] = (char)(crc >> (8 * i));
    }
    uint64_t changes = crash_disk_changes(disk);
    struct diag_list diags = {0};
    assert_false(journal_open(&journal, &options, &diags));
    assert_int_equal(diags.items[0].class, DIAG_INVALID);
    assert_int_equal(crash_disk_changes(disk), changes);

    struct journal_reader *reader = NULL;
    struct record record;
    assert_true(journal_reader_open(&reader, options.os, dir, 0, &diags));
    assert_int_equal(journal_reader_next(reader, UINT64_MAX, &record, &diags), JOURNAL_ERROR);
    journal_reader_close(reader);
    diag_list_fini(&diags);
    crash_disk_free(disk);
}

static void
records_of_an_older_file_behind_the_tail_stay_dead(void **state)
{
    struct crash_disk *disk = crash_disk_new(16);
    struct journal_options options = options_for(crash_disk_os(disk));
    struct journal *journal = must_open(&options);
    append_range(journal, 0, 10);
    struct reading all = read_all(options.os);
    journal_close(journal);
    struct buf old = {0};
    buf_append(&old, buf_bytes(only_segment(disk)));
    assert_int_equal(options.os->unlink(options.os, "log/00000000000000000000.seg"), 0);

    journal = must_open(&options); /* the same id, the same positions, another salt */
    append_range(journal, 0, 5);
    journal_close(journal);
    struct buf *file = only_segment(disk);
    memcpy(file->data + all.positions[5], old.data + all.positions[5], 300);
    struct reading reading = read_all(options.os);
    assert_numbers(&reading, 0, 5);
    /* and a whole record of this file at a wrong place */
    memset(file->data + all.positions[5], 0, 300);
    memcpy(file->data + all.positions[5], file->data + all.positions[2],
           all.positions[3] - all.positions[2]);
    reading = read_all(options.os);
    assert_numbers(&reading, 0, 5);
    buf_fini(&old);
    crash_disk_free(disk);
}

static void
hostile_lengths_end_quickly(void **state)
{
    static const char *const lengths[] = {
            "\xff\xff\xff\xff\x0f", "\xff\xff\xff\x7f\0", "\x01\0\0\0\0",
            "\x80\x80\x80\x80\x01", "\xff\xff\x1f\0\0",  "\xff\xff\xff\xff\xff",
    };
    for (size_t i = 0; i < 6; i++) {
        struct crash_disk *disk = crash_disk_new(17);
        struct journal_options options = options_for(crash_disk_os(disk));
        options.segment_bytes = 256 * 1024;
        struct journal *journal = must_open(&options);
        append_range(journal, 0, 10);
        struct reading all = read_all(options.os);
        journal_close(journal);
        struct buf *file = only_segment(disk);
        memcpy(file->data + all.positions[4] + 4, lengths[i], 5);
        for (uint64_t at = all.end; at + 5 < 256 * 1024; at += 5) { /* and all the way down */
            memcpy(file->data + at, lengths[i], 5);
        }
        struct reading reading = read_until(options.os, 0, all.end);
        assert_int_equal(reading.count, 9);
        journal = must_open(&options);
        assert_true(try_append(journal, 10, NULL));
        journal_close(journal);
        crash_disk_free(disk);
    }
}

/* Every offset of a random payload may look like a record: the search gives up, and hops. */
static void
damage_in_a_large_binary_record_costs_that_record_only(void **state)
{
    enum { BIG = 2 << 20 };
    struct crash_disk *disk = crash_disk_new(24);
    struct journal_options options = options_for(crash_disk_os(disk));
    options.segment_bytes = 2 * BIG;
    options.record_max_bytes = BIG;
    struct journal *journal = must_open(&options);
    struct diag_list diags = {0};
    char *payload = mem_alloc(BIG);
    options.os->random(options.os, payload, BIG);
    struct record big = {.payload = bytes_of(payload, BIG)};
    append_range(journal, 0, 3);
    assert_true(journal_append(journal, &big, &diags));
    append_range(journal, 3, 6);
    uint64_t tail = journal_tail(journal);
    journal_close(journal);
    only_segment(disk)->data[big.position + BIG / 2] ^= 1;
    struct reading reading = read_until(options.os, 0, tail);
    assert_numbers(&reading, 0, 6);
    assert_int_equal(reading.gap_bytes, big.next - big.position);
    journal = must_open(&options);
    append_range(journal, 6, 8);
    journal_close(journal);
    reading = read_all(options.os);
    assert_numbers(&reading, 0, 8);
    free(payload);
    diag_list_fini(&diags);
    crash_disk_free(disk);
}

/* ---- failing calls ---- */

static void
a_full_disk_is_not_final(void **state)
{
    struct crash_disk *disk = crash_disk_new(18);
    struct journal_options options = options_for(crash_disk_os(disk));
    struct journal *journal = must_open(&options);
    crash_disk_set_space(disk, 3 * SEGMENT_BYTES + 200);
    uint64_t n = 0;
    while (try_append(journal, n, NULL)) {
        n++;
        assert_true(n < 1000);
    }
    assert_true(n > 30);
    struct reading reading = read_all(options.os);
    assert_numbers(&reading, 0, n);
    assert_false(try_append(journal, n, NULL));
    for (int i = 0; i < 2; i++) { /* a restart on a full disk works too */
        journal_close(journal);
        journal = must_open(&options);
        assert_false(try_append(journal, n, NULL));
    }
    crash_disk_set_space(disk, 0);
    append_range(journal, n, n + 30);
    reading = read_all(options.os);
    assert_numbers(&reading, 0, n + 30);
    assert_int_equal(reading.gaps, 0);
    journal_close(journal);
    crash_disk_free(disk);
}

static void
a_failed_write_leaves_nothing_behind(void **state)
{
    static const enum fault_call also[] = {FAULT_CALLS, FAULT_TRUNCATE, FAULT_ALLOCATE};
    for (size_t i = 0; i < 3; i++) {
        struct crash_disk *disk = crash_disk_new(19);
        struct fault_os fault, second;
        fault_os_init(&fault, crash_disk_os(disk));
        fault_os_init(&second, &fault.os);
        struct journal_options options = options_for(&second.os);
        struct journal *journal = must_open(&options);
        append_range(journal, 0, 3);
        fault_os_arm(&fault, FAULT_PWRITE, 1, FAULT_SHORT);
        if (also[i] != FAULT_CALLS) { /* cutting off fails too: the next append does it */
            fault_os_arm(&second, also[i], 1, EIO);
        }
        assert_false(try_append(journal, 22, NULL));
        struct diag_list diags = {0};
        struct record tiny = {.payload = BYTES("")};
        assert_true(journal_append(journal, &tiny, &diags));
        assert_blank_behind(only_segment(disk), tiny.next);
        assert_int_equal(only_segment(disk)->size, SEGMENT_BYTES);
        journal_close(journal);
        diag_list_fini(&diags);
        crash_disk_free(disk);
    }
}

/*
 * Appends, syncs, cuts and trims with a fault somewhere. A record whose append has failed is
 * tried again, as the daemon does with a message that was not acknowledged.
 */
static void
work(const struct journal_options *options, uint64_t *appended)
{
    struct diag_list diags = {0};
    *appended = 0;
    for (int opens = 0; opens < 4; opens++) {
        struct journal *journal = NULL;
        if (!journal_open(&journal, options, &diags)) {
            continue;
        }
        for (int i = 0; i < 30; i++) {
            *appended += try_append(journal, *appended, NULL);
            if (i % 10 == 9) {
                try_sync(journal);
            }
        }
        journal_close(journal);
    }
    diag_list_fini(&diags);
}

static void
any_failing_call_loses_nothing_appended(void **state)
{
    static const int errors[] = {EIO, ENOSPC, EINTR, FAULT_SHORT};
    for (enum fault_call call = 0; call < FAULT_CALLS; call++) {
        for (size_t e = 0; e < 4; e++) {
            if (errors[e] == FAULT_SHORT && call != FAULT_PWRITE) {
                continue;
            }
            for (uint64_t nth = 1;; nth++) {
                struct crash_disk *disk = crash_disk_new(20);
                struct fault_os fault;
                fault_os_init(&fault, crash_disk_os(disk));
                fault_os_arm(&fault, call, nth, errors[e]);
                struct journal_options options = options_for(&fault.os);
                uint64_t appended;
                work(&options, &appended);
                bool fired = fault.fired;
                fault_os_disarm(&fault);
                struct reading reading = read_all(&fault.os);
                if (reading.count != appended) {
                    fail_msg("%s %" PRIu64 " error %d: %zu of %" PRIu64 " records",
                             fault_call_name(call), nth, errors[e], reading.count, appended);
                }
                assert_numbers(&reading, 0, appended);
                assert_int_equal(reading.gaps, 0);
                assert_true(appended >= 60);
                struct journal *journal = must_open(&options);
                append_range(journal, appended, appended + 20);
                journal_close(journal);
                crash_disk_free(disk);
                if (!fired) {
                    break;
                }
            }
        }
    }
}

static void
reading_goes_on_after_a_failed_call(void **state)
{
    static const enum fault_call calls[] = {FAULT_OPEN, FAULT_PREAD, FAULT_LIST, FAULT_SIZE};
    struct crash_disk *disk = crash_disk_new(21);
    struct fault_os fault;
    fault_os_init(&fault, crash_disk_os(disk));
    struct journal_options options = options_for(&fault.os);
    struct journal *journal = must_open(&options);
    append_range(journal, 0, 100);
    uint64_t tail = journal_tail(journal);
    for (size_t c = 0; c < 4; c++) {
        for (uint64_t nth = 1;; nth++) {
            struct diag_list diags = {0};
            struct journal_reader *reader = NULL;
            struct record record;
            uint64_t n = 0;
            fault_os_arm(&fault, calls[c], nth, EIO);
            if (journal_reader_open(&reader, &fault.os, dir, 0, &diags)) {
                enum journal_read result;
                do {
                    result = journal_reader_next(reader, tail, &record, &diags);
                    assert_int_not_equal(result, JOURNAL_GAP);
                    if (result == JOURNAL_RECORD) {
                        assert_int_equal(number_of(&record), n++);
                    }
                } while (result != JOURNAL_END);
                assert_int_equal(n, 100);
            }
            journal_reader_close(reader);
            diag_list_fini(&diags);
            if (!fault.fired) {
                break;
            }
        }
    }
    journal_close(journal);
    crash_disk_free(disk);
}

/* ---- crashes ---- */

struct witness {
    uint64_t appended;     /* numbers below were appended with success */
    uint64_t synced;       /* numbers below were synced with success */
    uint64_t positions[400];
    uint64_t seen;         /* positions below were given out */
};

/* Writes until the disk stops. */
static void
write_until_stopped(const struct journal_options *options, struct witness *witness)
{
    struct diag_list diags = {0};
    struct journal *journal = NULL;
    if (journal_open(&journal, options, &diags)) {
        for (int i = 0; i < 25; i++) {
            struct record record;
            if (try_append(journal, witness->appended, &record)) {
                assert_true(record.position >= witness->seen);
                witness->seen = record.next;
                witness->positions[witness->appended++] = record.position;
                witness->synced = options->sync == JOURNAL_SYNC_ALWAYS ? witness->appended
                                                                       : witness->synced;
            }
            if (i % 6 == 5 && try_sync(journal)) {
                witness->synced = witness->appended;
            }
        }
        journal_close(journal);
    }
    diag_list_fini(&diags);
}

/*
 * After a crash: what must be there is there, in order, and nothing that was never appended. What
 * a power cut took back is forgotten by the witness: its numbers are sent again, its positions
 * must not come again.
 */
static void
check_after_crash(const struct os *os, struct witness *witness, enum crash_mode mode)
{
    struct reading reading = read_all(os);
    uint64_t promised = mode == CRASH_KILL ? witness->appended : witness->synced;
    uint64_t expected = 0;
    for (size_t i = 0; i < reading.count; i++) {
        uint64_t n = reading.numbers[i];
        assert_true(n >= expected);
        if (n > expected) { /* records are missing: only such as were never synced */
            assert_true(expected >= promised);
        }
        expected = n + 1;
    }
    if (expected < promised) {
        fail_msg("%" PRIu64 " of %" PRIu64 " promised records", expected, promised);
    }
    witness->appended = expected;
    witness->synced = promised;
}

static void
crash_everywhere(enum crash_mode mode, enum journal_sync sync, uint64_t seeds)
{
    for (uint64_t seed = 0; seed < seeds; seed++) {
        for (uint64_t stop = 0;; stop++) {
            struct crash_disk *disk = crash_disk_new(seed);
            struct journal_options options = options_for(crash_disk_os(disk));
            options.sync = sync;
            struct witness witness = {0};
            bool stopped = true;
            for (int round = 0; round < 3; round++) {
                /* the first crash at the step under test, the second in the recovery */
                uint64_t limit = round == 0 ? stop : round == 1 ? stop % 7 : UINT64_MAX;
                uint64_t before = crash_disk_changes(disk);
                crash_disk_stop_after(disk, limit);
                write_until_stopped(&options, &witness);
                stopped = round == 0 ? crash_disk_changes(disk) - before == limit : stopped;
                crash_disk_cut(disk, mode);
                check_after_crash(options.os, &witness, mode);
            }
            struct reading reading = read_all(options.os);
            assert_true(reading.count >= 25);
            crash_disk_free(disk);
            if (!stopped) {
                break;
            }
        }
    }
}

static void
a_killed_writer_loses_nothing(void **state)
{
    crash_everywhere(CRASH_KILL, JOURNAL_SYNC_NEVER, 1);
    crash_everywhere(CRASH_KILL, JOURNAL_SYNC_INTERVAL, 1);
    crash_everywhere(CRASH_KILL, JOURNAL_SYNC_ALWAYS, 1);
}

/* The file is there and can be synced, but nobody has brought its name to the medium. */
static void
a_file_begun_by_a_killed_writer_survives_a_power_cut(void **state)
{
    bool was_appended = false;
    for (uint64_t calls = 0; !was_appended; calls++) {
        struct crash_disk *disk = crash_disk_new(calls);
        struct journal_options options = options_for(crash_disk_os(disk));
        struct journal *journal = must_open(&options);
        crash_disk_stop_after(disk, calls);
        was_appended = try_append(journal, 0, NULL);
        journal_close(journal);
        crash_disk_cut(disk, CRASH_KILL);
        journal = must_open(&options);
        assert_true(try_append(journal, 1, NULL));
        assert_true(try_sync(journal));
        crash_disk_stop_after(disk, 0);
        journal_close(journal);
        crash_disk_cut(disk, CRASH_DROP);
        struct reading reading = read_all(options.os);
        assert_true(reading.count > 0);
        assert_int_equal(reading.numbers[reading.count - 1], 1);
        crash_disk_free(disk);
    }
}

static void
a_power_cut_loses_nothing_synced(void **state)
{
    crash_everywhere(CRASH_DROP, JOURNAL_SYNC_INTERVAL, 1);
    crash_everywhere(CRASH_DROP, JOURNAL_SYNC_ALWAYS, 1);
    crash_everywhere(CRASH_TEAR, JOURNAL_SYNC_INTERVAL, 12);
    crash_everywhere(CRASH_TEAR, JOURNAL_SYNC_ALWAYS, 4);
}

/*
 * A consumer has read and committed records that the power cut then took back. It goes on behind
 * them: what comes next has other positions, so it misses nothing and takes nothing for old.
 */
static void
a_consumer_ahead_of_a_power_cut_misses_nothing(void **state)
{
    for (int writer_first = 0; writer_first < 2; writer_first++) {
        struct crash_disk *disk = crash_disk_new(25);
        struct journal_options options = options_for(crash_disk_os(disk));
        struct journal *journal = must_open(&options);
        struct diag_list diags = {0};
        struct journal_reader *reader = NULL;
        struct record record;
        append_range(journal, 0, 5);
        assert_true(try_sync(journal));
        append_range(journal, 5, 10);
        uint64_t consumed = journal_tail(journal);
        crash_disk_stop_after(disk, 0); /* closing must not sync */
        journal_close(journal);
        crash_disk_cut(disk, CRASH_DROP);

        if (writer_first) {
            journal = must_open(&options);
            append_range(journal, 20, 22);
        }
        assert_true(journal_reader_open(&reader, options.os, dir, consumed, &diags));
        if (!writer_first) {
            assert_int_equal(journal_reader_next(reader, UINT64_MAX, &record, &diags), JOURNAL_END);
            journal = must_open(&options);
            append_range(journal, 20, 22);
        }
        for (uint64_t n = 20; n < 22; n++) {
            assert_int_equal(journal_reader_next(reader, UINT64_MAX, &record, &diags),
                             JOURNAL_RECORD);
            assert_int_equal(number_of(&record), n);
            assert_true(record.position >= consumed);
        }
        journal_reader_close(reader);
        journal_close(journal);
        diag_list_fini(&diags);
        crash_disk_free(disk);
    }
}

/* A second recovery finds nothing left to do. */
static void
recovery_is_idempotent(void **state)
{
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct crash_disk *disk = crash_disk_new(seed);
        struct journal_options options = options_for(crash_disk_os(disk));
        struct witness witness = {0};
        crash_disk_stop_after(disk, 10 + seed % 30);
        write_until_stopped(&options, &witness);
        crash_disk_cut(disk, CRASH_TEAR);
        journal_close(must_open(&options));
        struct reading first = read_all(options.os);
        journal_close(must_open(&options));
        struct reading second = read_all(options.os);
        assert_memory_equal(&first, &second, sizeof first);
        crash_disk_free(disk);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_torn_tail_is_cut_at_every_byte),
            cmocka_unit_test(one_flipped_bit_costs_one_record_and_is_told),
            cmocka_unit_test(a_damaged_length_hides_no_other_record),
            cmocka_unit_test(damage_in_the_middle_survives_recovery_as_a_gap),
            cmocka_unit_test(a_missing_or_foreign_segment_is_a_gap),
            cmocka_unit_test(an_unreadable_newest_segment_is_left_alone),
            cmocka_unit_test(a_file_without_header_is_an_unfinished_creation),
            cmocka_unit_test(a_segment_that_is_being_created_is_no_gap),
            cmocka_unit_test(a_foreign_newest_segment_does_not_take_over),
            cmocka_unit_test(a_record_behind_zeros_is_found_by_its_first_byte),
            cmocka_unit_test(a_newer_format_is_refused_and_untouched),
            cmocka_unit_test(records_of_an_older_file_behind_the_tail_stay_dead),
            cmocka_unit_test(hostile_lengths_end_quickly),
            cmocka_unit_test(damage_in_a_large_binary_record_costs_that_record_only),
            cmocka_unit_test(a_full_disk_is_not_final),
            cmocka_unit_test(a_failed_write_leaves_nothing_behind),
            cmocka_unit_test(any_failing_call_loses_nothing_appended),
            cmocka_unit_test(reading_goes_on_after_a_failed_call),
            cmocka_unit_test(a_killed_writer_loses_nothing),
            cmocka_unit_test(a_file_begun_by_a_killed_writer_survives_a_power_cut),
            cmocka_unit_test(a_power_cut_loses_nothing_synced),
            cmocka_unit_test(a_consumer_ahead_of_a_power_cut_misses_nothing),
            cmocka_unit_test(recovery_is_idempotent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
