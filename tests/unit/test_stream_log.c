/* Rows that come again after a crash; that rules read the stream is in test_flow.c. */
#define _GNU_SOURCE
#include "unit.h"

#include "fault/crash_disk.h"
#include "stream_log.h"

enum { ROWS = 6 };

static struct stream_log *
must_open(const struct os *os)
{
    struct diag_list diags = {0};
    struct stream_log *log;
    const struct journal_options options = {
            .os = os, .dir = "log", .segment_bytes = 4096, .record_max_bytes = 1000};
    assert_true(stream_log_open(&log, &options, 0, &diags));
    diag_list_fini(&diags);
    return log;
}

static void
append_all(struct stream_log *log)
{
    struct diag_list diags = {0};
    for (unsigned n = 0; n < ROWS; n++) {
        char digit = (char)('a' + n);
        struct sink_record record = {.id = {100 + n, 0},
                                     .stream = BYTES("mqtt"),
                                     .source = BYTES("in/1"),
                                     .payload = bytes_of(&digit, 1)};
        assert_true(stream_log_append(log, &record, &diags));
    }
    diag_list_fini(&diags);
}

/* The payloads, in order. */
static void
assert_rows(const struct os *os, const char *expected)
{
    struct diag_list diags = {0};
    struct journal_reader *reader;
    struct record record;
    struct buf rows = {0};
    enum journal_read read = JOURNAL_RECORD;
    assert_true(journal_reader_open(&reader, os, "log", 0, &diags));
    while (read == JOURNAL_RECORD || read == JOURNAL_GAP) {
        read = journal_reader_next(reader, UINT64_MAX, &record, &diags);
        if (read == JOURNAL_RECORD) {
            buf_append(&rows, record.payload);
        }
    }
    assert_string_equal(buf_string(&rows), expected);
    buf_fini(&rows);
    journal_reader_close(reader);
    diag_list_fini(&diags);
}

static void
rows_that_come_again_are_there_once(void **state)
{
    struct crash_disk *disk = crash_disk_new(1);
    const struct os *os = crash_disk_os(disk);
    for (int life = 0; life < 3; life++) {
        struct stream_log *log = must_open(os);
        append_all(log);
        stream_log_close(log);
    }
    assert_rows(os, "abcdef");
    crash_disk_free(disk);
}

static void
a_row_lost_out_of_the_middle_is_written_again(void **state)
{
    struct crash_disk *disk = crash_disk_new(1);
    const struct os *os = crash_disk_os(disk);
    struct stream_log *log = must_open(os);
    append_all(log);
    stream_log_close(log);
    struct buf *segment = crash_disk_file(disk, "log/00000000000000000000.seg");
    assert_non_null(segment);
    char *row = memmem(segment->data, segment->size, "mqtt:102:0", 10);
    assert_non_null(row);
    row[0] ^= 1;
    log = must_open(os);
    append_all(log);
    stream_log_close(log);
    assert_rows(os, "abdefc");
    crash_disk_free(disk);
}

/* ---- from where on ids have to be read ---- */

/* Up to where the input is read, by chance of its name. */
static uint64_t
position_of(const void *context, struct bytes stream)
{
    assert_true(bytes_equal_string(stream, "mqtt"));
    return *(const uint64_t *)context;
}

static uint64_t
cut(struct stream_log *log, bool is_drained, uint64_t batches, uint64_t position)
{
    const struct stream_log_cut cut = {is_drained, batches, position_of, &position};
    stream_log_begin_cut(log);
    return stream_log_end_cut(log, &cut);
}

static uint64_t
tail_of(struct stream_log *log)
{
    return journal_tail(stream_log_journal(log));
}

static void
ids_are_read_from_the_tail_of_a_cut_that_finds_nothing_waiting(void **state)
{
    struct crash_disk *disk = crash_disk_new(1);
    struct stream_log *log = must_open(crash_disk_os(disk));
    append_all(log);
    assert_int_equal(cut(log, true, 1, 106), tail_of(log));
    stream_log_close(log);
    crash_disk_free(disk);
}

/* The batch at hand may have been appended, and still wait in the eyes of the outbox. */
static void
while_something_waits_ids_are_read_from_an_earlier_cut(void **state)
{
    struct crash_disk *disk = crash_disk_new(1);
    struct stream_log *log = must_open(crash_disk_os(disk));
    uint64_t start = cut(log, true, 1, 100);
    append_all(log);
    uint64_t middle = tail_of(log);
    assert_int_equal(cut(log, false, 3, 106), start);
    append_all(log);
    assert_int_equal(cut(log, false, 4, 106), start);
    assert_int_equal(cut(log, false, 5, 106), middle);
    stream_log_close(log);
    crash_disk_free(disk);
}

/* A second crash would make the rest come again once more. */
static void
after_a_crash_ids_are_kept_until_all_rows_have_come_again(void **state)
{
    struct crash_disk *disk = crash_disk_new(1);
    const struct os *os = crash_disk_os(disk);
    struct stream_log *log = must_open(os);
    append_all(log);
    stream_log_close(log);
    log = must_open(os);
    assert_int_equal(cut(log, true, 0, 103), 0); /* the input is before the last rows */
    assert_int_equal(cut(log, false, 5, 106), 0); /* it is behind them, but they wait */
    append_all(log);
    uint64_t tail = tail_of(log);
    assert_int_equal(cut(log, false, 7, 106), 0);
    assert_int_equal(cut(log, false, 9, 106), tail);
    stream_log_close(log);
    crash_disk_free(disk);
}

static void
rows_that_no_rule_makes_any_more_are_forgotten(void **state)
{
    struct crash_disk *disk = crash_disk_new(1);
    const struct os *os = crash_disk_os(disk);
    struct stream_log *log = must_open(os);
    append_all(log);
    stream_log_close(log);
    log = must_open(os);
    assert_int_equal(cut(log, true, 0, 105), 0);
    assert_int_equal(cut(log, true, 0, 106), tail_of(log));
    stream_log_close(log);
    crash_disk_free(disk);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(rows_that_come_again_are_there_once),
            cmocka_unit_test(a_row_lost_out_of_the_middle_is_written_again),
            cmocka_unit_test(ids_are_read_from_the_tail_of_a_cut_that_finds_nothing_waiting),
            cmocka_unit_test(while_something_waits_ids_are_read_from_an_earlier_cut),
            cmocka_unit_test(after_a_crash_ids_are_kept_until_all_rows_have_come_again),
            cmocka_unit_test(rows_that_no_rule_makes_any_more_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
