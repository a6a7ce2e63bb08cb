/*
 * The log: what is written is read. Damage, failing calls and crashes are in test_journal_faults.c;
 * speed is measured by tests/bench.
 */
#define _GNU_SOURCE
#include "unit.h"

#include "journal_rig.h"

#include "base/mem.h"
#include "base/wire.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

/* ---- writing and reading ---- */

static void
every_field_comes_back(void **state)
{
    struct crash_disk *disk = crash_disk_new(1);
    struct journal_options options = options_for(crash_disk_os(disk));
    struct journal *journal = must_open(&options);
    struct diag_list diags = {0};
    struct record full = {.time_us = 1700000000123456,
                          .flags = 2 | RECORD_RETAINED | RECORD_DUP | RECORD_TIME_UNSYNCED,
                          .topic = BYTES("a/b"),
                          .props = BYTES("p\0q"),
                          .payload = BYTES("\0\xff payload")};
    struct record empty = {.time_us = full.time_us - 1000000}; /* a little back: raised */
    struct record other = {.time_us = full.time_us - 3000000}; /* the clock was set back */
    assert_true(journal_append(journal, &full, &diags));
    assert_true(journal_append(journal, &empty, &diags));
    assert_int_equal(full.next, empty.position);
    assert_true(empty.time_us == 1700000000123457);
    assert_true(journal_append(journal, &other, &diags));
    assert_true(other.time_us == 1699999997123456);
    assert_int_equal(other.next, journal_tail(journal));
    journal_close(journal);

    struct journal_reader *reader = NULL;
    struct record record;
    assert_true(journal_reader_open(&reader, options.os, dir, 0, &diags));
    assert_int_equal(journal_reader_next(reader, UINT64_MAX, &record, &diags), JOURNAL_RECORD);
    assert_int_equal(record.position, full.position);
    assert_int_equal(record.flags, full.flags);
    assert_true(record.time_us == full.time_us);
    assert_true(bytes_equal(record.topic, full.topic));
    assert_true(bytes_equal(record.props, full.props));
    assert_true(bytes_equal(record.payload, full.payload));
    assert_int_equal(journal_reader_next(reader, UINT64_MAX, &record, &diags), JOURNAL_RECORD);
    assert_true(record.time_us == empty.time_us);
    assert_int_equal(record.topic.size + record.props.size + record.payload.size, 0);
    assert_int_equal(journal_reader_next(reader, UINT64_MAX, &record, &diags), JOURNAL_RECORD);
    assert_true(record.time_us == other.time_us);
    assert_int_equal(journal_reader_next(reader, UINT64_MAX, &record, &diags), JOURNAL_END);
    journal_reader_close(reader);
    diag_list_fini(&diags);
    crash_disk_free(disk);
}

static uint32_t
read_u32(const char *data)
{
    struct wire_reader reader = wire_reader(bytes_of(data, 4));
    return wire_get_u32(&reader);
}

/* The format is a promise to later versions: these bytes must stay readable for ever. */
static void
the_bytes_are_those_of_format_1(void **state)
{
    struct crash_disk *disk = crash_disk_new(1);
    struct journal_options options = options_for(crash_disk_os(disk));
    struct journal *journal = must_open(&options);
    struct diag_list diags = {0};
    struct record record = {.time_us = 1000, .flags = 1, .topic = BYTES("t"),
                            .payload = BYTES("xyz")};
    assert_true(journal_append(journal, &record, &diags));
    record.time_us = 1000 + 64;
    record.props = BYTES("pp");
    assert_true(journal_append(journal, &record, &diags));
    journal_close(journal);
    const struct buf *file = crash_disk_file(disk, "log/00000000000000000000.seg");
    assert_int_equal(file->size, SEGMENT_BYTES);
    assert_memory_equal(file->data, "HGLG\x01\0\0\0", 8);
    assert_memory_equal(file->data + 24, "\0\0\0\0\0\0\0\0", 8);         /* base */
    assert_memory_equal(file->data + 32, "\0\0\0\0\0\0\0\0", 8);         /* previous end */
    assert_memory_equal(file->data + 40, "\0\0\0\0\0\0\0\0", 8);         /* records before */
    assert_memory_equal(file->data + 48, "\xe8\x03\0\0\0\0\0\0", 8);     /* creation: 1000 */
    assert_int_equal(wire_crc32c(0, bytes_of(file->data, 60)), read_u32(file->data + 60));
    uint32_t salt = read_u32(file->data + 56);
    assert_memory_equal(file->data + 68, "\x07\x01\0\x01txyz", 8);
    assert_int_equal(wire_crc32c(salt + 64, bytes_of(file->data + 68, 8)),
                     read_u32(file->data + 64));
    assert_memory_equal(file->data + 80, "\x0b\x21\x80\x01\x01t\x02ppxyz", 12);
    assert_int_equal(wire_crc32c(salt + 76, bytes_of(file->data + 80, 12)),
                     read_u32(file->data + 76));
    diag_list_fini(&diags);
    crash_disk_free(disk);
}

static void
a_log_goes_on_over_segments_and_restarts(void **state)
{
    struct crash_disk *disk = crash_disk_new(2);
    struct journal_options options = options_for(crash_disk_os(disk));
    for (uint64_t n = 0; n < 200; n += 20) {
        struct journal *journal = must_open(&options);
        append_range(journal, n, n + 20);
        journal_close(journal);
    }
    struct reading reading = read_all(options.os);
    assert_numbers(&reading, 0, 200);
    assert_int_equal(reading.gaps, 0);

    struct journal_extent extent;
    struct diag_list diags = {0};
    assert_true(journal_extent(options.os, dir, &extent, &diags));
    assert_true(extent.segments > 8);
    assert_int_equal(extent.first, 0);

    for (size_t i = 0; i < 200; i += 7) { /* any position is a place to begin */
        struct reading rest = read_until(options.os, reading.positions[i], UINT64_MAX);
        assert_numbers(&rest, i, 200);
        struct reading before = read_until(options.os, 0, reading.positions[i]);
        assert_numbers(&before, 0, i);
        assert_int_equal(rest.gaps + before.gaps, 0);
    }
    diag_list_fini(&diags);
    crash_disk_free(disk);
}

static void
a_reader_follows_the_writer(void **state)
{
    struct crash_disk *disk = crash_disk_new(3);
    struct journal_options options = options_for(crash_disk_os(disk));
    struct diag_list diags = {0};
    struct journal_reader *reader = NULL;
    struct record record;
    struct journal *journal = must_open(&options);
    assert_true(journal_reader_open(&reader, options.os, dir, 0, &diags));
    assert_int_equal(journal_reader_next(reader, UINT64_MAX, &record, &diags), JOURNAL_END);
    for (uint64_t n = 0; n < 100; n++) {
        assert_true(try_append(journal, n, NULL));
        uint64_t limit = n % 2 == 0 ? UINT64_MAX : journal_tail(journal);
        assert_int_equal(journal_reader_next(reader, limit, &record, &diags), JOURNAL_RECORD);
        assert_int_equal(number_of(&record), n);
        for (int i = 0; i < 3; i++) {
            limit = i == 0 ? journal_tail(journal) : UINT64_MAX;
            assert_int_equal(journal_reader_next(reader, limit, &record, &diags), JOURNAL_END);
        }
    }
    journal_reader_close(reader);
    journal_close(journal);
    diag_list_fini(&diags);
    crash_disk_free(disk);
}

static void
a_record_above_the_limit_is_refused_and_one_above_the_segment_is_not(void **state)
{
    struct crash_disk *disk = crash_disk_new(4);
    struct journal_options options = options_for(crash_disk_os(disk));
    struct journal *journal = must_open(&options);
    struct diag_list diags = {0};
    char payload[RECORD_MAX + 1];
    memset(payload, 'x', sizeof payload);
    struct record record = {.payload = bytes_of(payload, RECORD_MAX + 1)};
    assert_false(journal_append(journal, &record, &diags));
    assert_int_equal(diags.items[0].class, DIAG_INVALID);
    assert_true(try_append(journal, 0, NULL));
    record.payload.size = RECORD_MAX;
    assert_true(journal_append(journal, &record, &diags));
    assert_true(try_append(journal, 1, NULL));
    journal_close(journal);

    struct journal_reader *reader = NULL;
    assert_true(journal_reader_open(&reader, options.os, dir, 0, &diags));
    assert_int_equal(journal_reader_next(reader, UINT64_MAX, &record, &diags), JOURNAL_RECORD);
    assert_int_equal(journal_reader_next(reader, UINT64_MAX, &record, &diags), JOURNAL_RECORD);
    assert_true(bytes_equal(record.payload, bytes_of(payload, RECORD_MAX)));
    assert_int_equal(journal_reader_next(reader, UINT64_MAX, &record, &diags), JOURNAL_RECORD);
    assert_int_equal(number_of(&record), 1);
    journal_reader_close(reader);
    diag_list_fini(&diags);
    crash_disk_free(disk);
}

static void
a_second_writer_is_told_that_the_log_is_busy(void **state)
{
    char path[] = "/tmp/headgate-journal-XXXXXX";
    assert_non_null(mkdtemp(path));
    struct journal_options options = options_for(&os_posix);
    options.dir = path;
    struct journal *journal = must_open(&options), *second;
    struct diag_list diags = {0};
    assert_true(try_append(journal, 0, NULL));
    assert_false(journal_open(&second, &options, &diags));
    assert_int_equal(diags.items[0].class, DIAG_BUSY);
    assert_true(try_append(journal, 1, NULL));
    journal_close(journal);
    journal = must_open(&options);
    journal_close(journal);

    char command[100];
    snprintf(command, sizeof command, "rm -r '%s'", path);
    assert_int_equal(system(command), 0);
    diag_list_fini(&diags);
}

static void
trimming_frees_whole_segments_before_a_position(void **state)
{
    struct crash_disk *disk = crash_disk_new(5);
    struct journal_options options = options_for(crash_disk_os(disk));
    struct journal *journal = must_open(&options);
    struct diag_list diags = {0};
    append_range(journal, 0, 100);
    struct reading all = read_all(options.os);
    struct journal_extent before, after;
    assert_true(journal_extent(options.os, dir, &before, &diags));
    assert_true(journal_trim(options.os, dir, all.positions[50], &diags));
    assert_true(journal_extent(options.os, dir, &after, &diags));
    assert_true(after.bytes < before.bytes && after.first > 0);
    struct reading rest = read_until(options.os, all.positions[50], UINT64_MAX);
    assert_numbers(&rest, 50, 100);
    assert_int_equal(rest.gaps, 0);

    /* A consumer that was overtaken is told so; one that begins anew is not. */
    struct reading late = read_until(options.os, all.positions[1], UINT64_MAX);
    assert_int_equal(late.gaps, 1);
    assert_int_equal(late.gap_bytes, after.first - all.positions[1]);
    rest = read_all(options.os);
    assert_int_equal(rest.gaps, 0);
    assert_int_equal(rest.count, late.count);

    assert_true(journal_trim(options.os, dir, UINT64_MAX, &diags)); /* the newest stays */
    assert_true(try_append(journal, 100, NULL));
    rest = read_all(options.os);
    assert_int_equal(rest.numbers[rest.count - 1], 100);
    journal_close(journal);
    diag_list_fini(&diags);
    crash_disk_free(disk);
}

static void
cutting_takes_records_back(void **state)
{
    struct crash_disk *disk = crash_disk_new(6);
    struct journal_options options = options_for(crash_disk_os(disk));
    struct diag_list diags = {0};
    struct journal *journal = must_open(&options);
    append_range(journal, 0, 60);
    struct reading all = read_all(options.os);
    for (uint64_t kept = 60; kept-- > 0;) {
        assert_true(journal_cut(journal, all.positions[kept], &diags));
        if (kept % 3 == 0) {
            journal_close(journal);
            crash_disk_cut(disk, CRASH_DROP); /* a cut is durable */
            journal = must_open(&options);
        }
        struct reading reading = read_all(options.os);
        assert_numbers(&reading, 0, kept);
        assert_int_equal(reading.gaps, 0);
    }
    append_range(journal, 0, 40);
    struct reading reading = read_all(options.os);
    assert_numbers(&reading, 0, 40);
    assert_true(journal_cut(journal, 0, &diags));
    reading = read_all(options.os);
    assert_int_equal(reading.count, 0);
    assert_int_equal(diags.errors, 0);
    journal_close(journal);
    diag_list_fini(&diags);
    crash_disk_free(disk);
}

static void
a_reader_of_another_log_is_told_so(void **state)
{
    struct crash_disk *disk = crash_disk_new(7);
    struct journal_options options = options_for(crash_disk_os(disk));
    struct journal *journal = must_open(&options);
    append_range(journal, 0, 3);
    struct diag_list diags = {0};
    struct journal_reader *reader = NULL;
    assert_false(journal_reader_open(&reader, options.os, dir, 100000, &diags));
    assert_int_equal(diags.items[0].class, DIAG_MISSING);
    journal_close(journal);
    diag_list_fini(&diags);
    crash_disk_free(disk);
}

/* ---- beside each other, size ---- */

/* A disk on which a read sees garbage in a range, a few times: as a read beside a write may. */
struct racing_os {
    struct os os;
    const struct os *inner;
    uint64_t from, to;
    int left;
};

static ssize_t
racing_pread(const struct os *os, int fd, void *out, size_t size, int64_t offset)
{
    struct racing_os *racing = (struct racing_os *)(uintptr_t)os;
    ssize_t n = racing->inner->pread(racing->inner, fd, out, size, offset);
    if (racing->left > 0 && n > 64) {
        racing->left--;
        for (uint64_t at = racing->from; at < racing->to; at++) {
            if (at >= (uint64_t)offset && at < (uint64_t)offset + (uint64_t)n) {
                ((char *)out)[at - (uint64_t)offset] = 'x';
            }
        }
    }
    return n;
}

static int
racing_open(const struct os *os, const char *path, int flags, mode_t mode)
{
    const struct os *inner = ((const struct racing_os *)os)->inner;
    return inner->open(inner, path, flags, mode);
}

static int
racing_close(const struct os *os, int fd)
{
    const struct os *inner = ((const struct racing_os *)os)->inner;
    return inner->close(inner, fd);
}

static int64_t
racing_size(const struct os *os, int fd)
{
    const struct os *inner = ((const struct racing_os *)os)->inner;
    return inner->size(inner, fd);
}

static int
racing_list(const struct os *os, const char *path, void (*each)(void *context, const char *name),
            void *context)
{
    const struct os *inner = ((const struct racing_os *)os)->inner;
    return inner->list(inner, path, each, context);
}

static void
a_write_seen_by_half_is_no_damage(void **state)
{
    struct crash_disk *disk = crash_disk_new(14);
    struct journal_options options = options_for(crash_disk_os(disk));
    struct journal *journal = must_open(&options);
    append_range(journal, 0, 10);
    struct reading all = read_all(options.os);
    for (int left = 1; left < 4; left++) {
        struct racing_os racing = {
                .os = {.open = racing_open, .close = racing_close, .pread = racing_pread,
                       .size = racing_size, .list = racing_list},
                .inner = options.os,
                .from = all.positions[4] + 3,
                .to = all.positions[5] - 2,
                .left = left,
        };
        struct diag_list diags = {0};
        struct journal_reader *reader = NULL;
        struct record record;
        assert_true(journal_reader_open(&reader, &racing.os, dir, 0, &diags));
        for (uint64_t n = 0; n < 10;) {
            enum journal_read result = journal_reader_next(reader, UINT64_MAX, &record, &diags);
            assert_true(result == JOURNAL_RECORD || result == JOURNAL_END || left > 2);
            if (result == JOURNAL_RECORD) {
                n = number_of(&record) + 1;
            }
        }
        journal_reader_close(reader);
        diag_list_fini(&diags);
    }
    journal_close(journal);
    crash_disk_free(disk);
}

struct syncer {
    struct journal *journal;
    _Atomic bool stop;
    unsigned syncs;
};

static void *
sync_repeatedly(void *context)
{
    struct syncer *syncer = context;
    while (!atomic_load(&syncer->stop)) {
        syncer->syncs += try_sync(syncer->journal);
        usleep(200);
    }
    return NULL;
}

static void
syncing_beside_appending_is_safe(void **state)
{
    char path[] = "/tmp/headgate-journal-XXXXXX";
    assert_non_null(mkdtemp(path));
    struct journal_options options = options_for(&os_posix);
    options.dir = path;
    options.segment_bytes = 8192;
    struct syncer syncer = {.journal = must_open(&options)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, sync_repeatedly, &syncer), 0);
    append_range(syncer.journal, 0, 3000);
    atomic_store(&syncer.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(syncer.syncs > 0);
    journal_close(syncer.journal);

    struct diag_list diags = {0};
    struct journal_reader *reader = NULL;
    struct record record;
    assert_true(journal_reader_open(&reader, &os_posix, path, 0, &diags));
    for (uint64_t n = 0; n < 3000; n++) {
        assert_int_equal(journal_reader_next(reader, UINT64_MAX, &record, &diags), JOURNAL_RECORD);
        assert_int_equal(number_of(&record), n);
    }
    journal_reader_close(reader);
    diag_list_fini(&diags);
    char command[100];
    snprintf(command, sizeof command, "rm -r '%s'", path);
    assert_int_equal(system(command), 0);
}

/* 100 messages a second for a segment's life: the files' bytes over the payloads'. */
static void
a_record_of_100_bytes_takes_at_most_130(void **state)
{
    struct crash_disk *disk = crash_disk_new(22);
    struct journal_options options = options_for(crash_disk_os(disk));
    options.segment_bytes = 1 << 20;
    struct journal *journal = must_open(&options);
    struct diag_list diags = {0};
    char payload[100];
    memset(payload, 'x', sizeof payload);
    uint64_t count = 100000;
    for (uint64_t n = 0; n < count; n++) {
        struct record record = {.time_us = 1700000000000000 + (int64_t)n * 10000,
                                .flags = 1,
                                .topic = BYTES("sensors/0017/value"),
                                .payload = bytes_of(payload, sizeof payload)};
        assert_true(journal_append(journal, &record, &diags));
    }
    struct journal_extent extent;
    uint64_t used = journal_tail(journal);
    assert_true(journal_extent(options.os, dir, &extent, &diags));
    assert_true((double)used <= 1.3 * 100 * (double)count);
    assert_true(extent.bytes <= used + (1 << 20));
    journal_close(journal);
    diag_list_fini(&diags);
    crash_disk_free(disk);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(every_field_comes_back),
            cmocka_unit_test(the_bytes_are_those_of_format_1),
            cmocka_unit_test(a_log_goes_on_over_segments_and_restarts),
            cmocka_unit_test(a_reader_follows_the_writer),
            cmocka_unit_test(a_record_above_the_limit_is_refused_and_one_above_the_segment_is_not),
            cmocka_unit_test(a_second_writer_is_told_that_the_log_is_busy),
            cmocka_unit_test(trimming_frees_whole_segments_before_a_position),
            cmocka_unit_test(cutting_takes_records_back),
            cmocka_unit_test(a_reader_of_another_log_is_told_so),
            cmocka_unit_test(a_write_seen_by_half_is_no_damage),
            cmocka_unit_test(syncing_beside_appending_is_safe),
            cmocka_unit_test(a_record_of_100_bytes_takes_at_most_130),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
