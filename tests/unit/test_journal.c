/*
 * The log: what is written is read, damage costs what it damages, and what a crash may cost.
 * Most tests run on a disk in memory (tests/fault); speed is measured by tests/bench.
 */
#define _GNU_SOURCE
#include "unit.h"

#include "base/mem.h"
#include "base/os.h"
#include "base/wire.h"
#include "fault/crash_disk.h"
#include "fault/fault_os.h"
#include "store/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SEGMENT_BYTES = 1024, RECORD_MAX = 4096 };

static const char dir[] = "log";

static struct journal_options
options_for(const struct os *os)
{
    return (struct journal_options){
            .os = os,
            .dir = dir,
            .segment_bytes = SEGMENT_BYTES,
            .record_max_bytes = RECORD_MAX,
            .sync = JOURNAL_SYNC_INTERVAL,
    };
}

static struct journal *
must_open(const struct journal_options *options)
{
    struct journal *journal = NULL;
    struct diag_list diags = {0};
    if (!journal_open(&journal, options, &diags)) {
        fail_msg("open: %.*s", BYTES_ARG(diag_first_error(&diags)));
    }
    diag_list_fini(&diags);
    return journal;
}

/* Record number `n`: its text tells the number, its length differs. */
static struct record
numbered(uint64_t n, char text[64])
{
    int size = snprintf(text, 64, "payload %" PRIu64 " %.*s", n, (int)(n % 23),
                        "abcdefghijklmnopqrstuvwxyz");
    return (struct record){
            .time_us = 1700000000000000 + (int64_t)n * 10,
            .flags = (unsigned)(n % 2),
            .topic = BYTES("sensors/a/data"),
            .payload = bytes_of(text, (size_t)size),
    };
}

static bool
try_append(struct journal *journal, uint64_t n, struct record *out)
{
    char text[64];
    struct diag_list diags = {0};
    struct record record = numbered(n, text);
    bool appended = journal_append(journal, &record, &diags);
    assert_int_equal(appended, diags.errors == 0);
    if (appended && out != NULL) {
        *out = record;
    }
    diag_list_fini(&diags);
    return appended;
}

static void
append_range(struct journal *journal, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n < to; n++) {
        assert_true(try_append(journal, n, NULL));
    }
}

static bool
try_sync(struct journal *journal)
{
    struct diag_list diags = {0};
    bool synced = journal_sync(journal, &diags);
    diag_list_fini(&diags);
    return synced;
}

/* The number in a record's payload; fails the test when the record is not exactly that one. */
static uint64_t
number_of(const struct record *record)
{
    char text[64], copy[64] = {0};
    uint64_t n = 0;
    memcpy(copy, record->payload.data,
           record->payload.size < 63 ? record->payload.size : 63);
    assert_int_equal(sscanf(copy, "payload %" SCNu64, &n), 1);
    struct record expected = numbered(n, text);
    assert_true(bytes_equal(record->payload, expected.payload));
    assert_true(bytes_equal(record->topic, expected.topic));
    assert_int_equal(record->flags, expected.flags);
    return n;
}

struct reading {
    uint64_t numbers[512];
    uint64_t positions[512];
    size_t count;
    size_t gaps;
    uint64_t gap_bytes;
    uint64_t end;
};

/* Reads all; checks that positions and times rise. */
static struct reading
read_until(const struct os *os, uint64_t from, uint64_t limit)
{
    struct reading reading = {0};
    struct diag_list diags = {0};
    struct journal_reader *reader = NULL;
    assert_true(journal_reader_open(&reader, os, dir, from, &diags));
    int64_t time_us = 0;
    uint64_t position = from;
    for (;;) {
        struct record record;
        enum journal_read result = journal_reader_next(reader, limit, &record, &diags);
        assert_int_not_equal(result, JOURNAL_ERROR);
        if (result == JOURNAL_END) {
            break;
        }
        assert_true(record.position >= position && record.next > record.position);
        position = record.next;
        if (result == JOURNAL_GAP) {
            reading.gaps++;
            reading.gap_bytes += record.next - record.position;
            continue;
        }
        assert_true(record.time_us > time_us);
        time_us = record.time_us;
        assert_true(reading.count < 512);
        reading.positions[reading.count] = record.position;
        reading.numbers[reading.count++] = number_of(&record);
    }
    reading.end = journal_reader_position(reader);
    journal_reader_close(reader);
    diag_list_fini(&diags);
    return reading;
}

static struct reading
read_all(const struct os *os)
{
    return read_until(os, 0, UINT64_MAX);
}

static void
assert_numbers(const struct reading *reading, uint64_t from, uint64_t to)
{
    assert_int_equal(reading->count, to - from);
    for (size_t i = 0; i < reading->count; i++) {
        assert_int_equal(reading->numbers[i], from + i);
    }
}

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
    struct record empty = {.time_us = 5}; /* the clock went back: raised */
    assert_true(journal_append(journal, &full, &diags));
    assert_true(journal_append(journal, &empty, &diags));
    assert_int_equal(full.next, empty.position);
    assert_int_equal(empty.next, journal_tail(journal));
    assert_true(empty.time_us == 1700000000123457);
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

/* ---- damage ---- */

static struct buf *
only_segment(struct crash_disk *disk)
{
    return crash_disk_file(disk, "log/00000000000000000000.seg");
}

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
            struct record last = {0};
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
            } else { /* the header: without its salt nothing can be trusted */
                assert_int_equal(reading.count, 0);
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
list_segment_bases(const struct os *os, uint64_t *bases, size_t *count)
{
    struct reading all = read_all(os);
    *count = 1;
    bases[0] = 0;
    for (size_t i = 1; i < all.count; i++) { /* a header lies between two segments */
        char path[64];
        uint64_t base = all.positions[i] - 64;
        snprintf(path, sizeof path, "log/%020" PRIu64 ".seg", base);
        int fd = os->open(os, path, 0, 0);
        if (fd >= 0) {
            os->close(os, fd);
            bases[(*count)++] = base;
        }
    }
}

static void
path_of(uint64_t base, char path[64])
{
    snprintf(path, 64, "log/%020" PRIu64 ".seg", base);
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
    static const char *const lengths[] = {"\xff\xff\xff\xff\x0f", "\xff\xff\xff\x7f\0", "\x01\0\0\0\0",
                                          "\x80\x80\x80\x80\x01", "\xff\xff\x1f\0\0",
                                          "\xff\xff\xff\xff\xff"};
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

static void
a_failed_sync_is_final(void **state)
{
    struct crash_disk *disk = crash_disk_new(19);
    struct fault_os fault;
    fault_os_init(&fault, crash_disk_os(disk));
    struct journal_options options = options_for(&fault.os);
    struct journal *journal = must_open(&options);
    append_range(journal, 0, 3);
    fault_os_arm(&fault, FAULT_SYNC, 1, EIO);
    assert_false(try_sync(journal));
    assert_false(try_sync(journal));
    assert_false(try_append(journal, 3, NULL));
    journal_close(journal);
    journal = must_open(&options);
    append_range(journal, 3, 5);
    assert_true(try_sync(journal));
    struct reading reading = read_all(options.os);
    assert_numbers(&reading, 0, 5);
    journal_close(journal);
    crash_disk_free(disk);
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

static void
a_power_cut_loses_nothing_synced(void **state)
{
    crash_everywhere(CRASH_DROP, JOURNAL_SYNC_INTERVAL, 1);
    crash_everywhere(CRASH_DROP, JOURNAL_SYNC_ALWAYS, 1);
    crash_everywhere(CRASH_TEAR, JOURNAL_SYNC_INTERVAL, 12);
    crash_everywhere(CRASH_TEAR, JOURNAL_SYNC_ALWAYS, 4);
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

/* ---- threads, size ---- */

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
            cmocka_unit_test(a_torn_tail_is_cut_at_every_byte),
            cmocka_unit_test(one_flipped_bit_costs_one_record_and_is_told),
            cmocka_unit_test(a_damaged_length_hides_no_other_record),
            cmocka_unit_test(damage_in_the_middle_survives_recovery_as_a_gap),
            cmocka_unit_test(a_missing_or_foreign_segment_is_a_gap),
            cmocka_unit_test(an_unreadable_newest_segment_is_left_alone),
            cmocka_unit_test(a_file_without_header_is_an_unfinished_creation),
            cmocka_unit_test(a_segment_that_is_being_created_is_no_gap),
            cmocka_unit_test(a_foreign_newest_segment_does_not_take_over),
            cmocka_unit_test(a_write_seen_by_half_is_no_damage),
            cmocka_unit_test(a_record_behind_zeros_is_found_by_its_first_byte),
            cmocka_unit_test(a_newer_format_is_refused_and_untouched),
            cmocka_unit_test(records_of_an_older_file_behind_the_tail_stay_dead),
            cmocka_unit_test(hostile_lengths_end_quickly),
            cmocka_unit_test(damage_in_a_large_binary_record_costs_that_record_only),
            cmocka_unit_test(a_full_disk_is_not_final),
            cmocka_unit_test(a_failed_write_leaves_nothing_behind),
            cmocka_unit_test(a_failed_sync_is_final),
            cmocka_unit_test(any_failing_call_loses_nothing_appended),
            cmocka_unit_test(reading_goes_on_after_a_failed_call),
            cmocka_unit_test(a_killed_writer_loses_nothing),
            cmocka_unit_test(a_power_cut_loses_nothing_synced),
            cmocka_unit_test(recovery_is_idempotent),
            cmocka_unit_test(syncing_beside_appending_is_safe),
            cmocka_unit_test(a_record_of_100_bytes_takes_at_most_130),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
