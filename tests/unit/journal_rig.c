#define _GNU_SOURCE
#include "journal_rig.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct journal_options
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

struct journal *
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

struct record
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

bool
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

void
append_range(struct journal *journal, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n < to; n++) {
        assert_true(try_append(journal, n, NULL));
    }
}

bool
try_sync(struct journal *journal)
{
    struct diag_list diags = {0};
    bool synced = journal_sync(journal, &diags);
    diag_list_fini(&diags);
    return synced;
}

uint64_t
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

struct reading
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

struct reading
read_all(const struct os *os)
{
    return read_until(os, 0, UINT64_MAX);
}

void
assert_numbers(const struct reading *reading, uint64_t from, uint64_t to)
{
    assert_int_equal(reading->count, to - from);
    for (size_t i = 0; i < reading->count; i++) {
        assert_int_equal(reading->numbers[i], from + i);
    }
}

struct buf *
only_segment(struct crash_disk *disk)
{
    return crash_disk_file(disk, "log/00000000000000000000.seg");
}

void
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

void
path_of(uint64_t base, char path[64])
{
    snprintf(path, 64, "log/%020" PRIu64 ".seg", base);
}
