/*
 * One sink's way out, with a driver that follows a script: order, limits, retries, dead letters.
 * What waits on disk, failing calls and crashes are in test_outbox_faults.c.
 */
#define _GNU_SOURCE
#include "unit.h"

#include "outbox_rig.h"

#include "dead_letter.h"
#include "failure.h"
#include "store/journal.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* ---- delivering ---- */

static void
records_arrive_in_order_and_leave_no_trace_on_disk(void **state)
{
    struct bench *bench = bench_new(1);
    bench_open(bench);
    push_range(bench, 0, 1000);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    struct outbox_stats stats = stats_of(bench);
    assert_int_equal(stats.delivered, 1000);
    assert_int_equal(stats.state, OUTBOX_READY);
    assert_order(bench, 0, 1000);
    assert_true(bench->script.largest_batch <= 10);

    struct outbox_mark mark = must_cut(bench);
    assert_int_equal(mark.records, 0);
    struct journal_extent extent;
    struct diag_list diags = {0};
    assert_true(journal_extent(bench->options.os, "sinks/alerts/backlog", &extent, &diags));
    assert_int_equal(extent.segments, 0);
    diag_list_fini(&diags);
    bench_free(bench);
}

static void
batches_keep_the_limit_of_bytes(void **state)
{
    struct bench *bench = bench_new(2);
    bench->options.limits.bytes_max = 22; /* two payloads of 10 or 11 bytes */
    bench_open(bench);
    push_range(bench, 10, 110);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_true(bench->script.largest_batch <= 2);
    bench->options.limits.bytes_max = 1; /* a larger record goes alone */
    struct outbox_mark mark = must_cut(bench);
    restart(bench, &mark);
    push_range(bench, 0, 20);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    bench_free(bench);
}

static void
lingering_gathers_a_batch(void **state)
{
    struct bench *bench = bench_new(3);
    bench->options.limits.linger_ms = 600;
    bench_open(bench);
    WAIT_UNTIL(stats_of(bench).state == OUTBOX_READY);
    for (uint64_t n = 0; n < 7; n++) {
        push(bench, n);
        usleep(2000);
    }
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_int_equal(bench->script.writes, 1);
    int64_t before_us = os_posix.mono_us(&os_posix);
    push_range(bench, 7, 17); /* a whole batch waits for nobody */
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_true(os_posix.mono_us(&os_posix) - before_us < 500000);
    bench_free(bench);
}

static enum verdict
retry_every_third_twice(struct script *script, const struct sink_record *record, unsigned attempt)
{
    return record->id.position % 3 == 0 && attempt < 3 ? VERDICT_RETRY : VERDICT_DONE;
}

static void
only_what_is_not_done_is_sent_again_and_before_anything_newer(void **state)
{
    struct bench *bench = bench_new(4);
    bench->script.judge = retry_every_third_twice;
    bench_open(bench);
    push_range(bench, 0, 300);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    struct outbox_stats stats = stats_of(bench);
    assert_int_equal(stats.delivered, 300);
    assert_int_equal(stats.retried, 200);
    assert_order(bench, 0, 300); /* first attempts: nothing newer came in between */
    for (size_t n = 0; n < 300; n++) {
        assert_int_equal(bench->script.attempts[n], n % 3 == 0 ? 3 : 1);
        assert_int_equal(bench->script.done[n], 1);
    }
    bench_free(bench);
}

static enum verdict
retry_first(struct script *script, const struct sink_record *record, unsigned attempt)
{
    return attempt == 1 ? VERDICT_RETRY : VERDICT_DONE;
}

static void
retry_after_is_honoured(void **state)
{
    struct bench *bench = bench_new(5);
    bench->script.judge = retry_first;
    bench->script.retry_after_ms = 150;
    bench_open(bench);
    push(bench, 0);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    int64_t pause_us = bench->script.write_times_us[1] - bench->script.write_times_us[0];
    assert_true(pause_us >= 150000 && pause_us < 1000000);
    assert_string_equal(stats_of(bench).last_error, "reason 0");
    bench_free(bench);
}

static void
pauses_grow_up_to_the_limit(void **state)
{
    struct bench *bench = bench_new(6);
    bench->options.retry_min_ms = 1;
    bench->options.retry_max_ms = 40;
    bench->script.is_stuck = true;
    bench_open(bench);
    push(bench, 0);
    WAIT_UNTIL(writes_of(bench) >= 40);
    assert_int_equal(stats_of(bench).state, OUTBOX_WAITING);
    set_stuck(bench, false);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    int64_t early_us = bench->script.write_times_us[4] - bench->script.write_times_us[0];
    int64_t late_us = bench->script.write_times_us[39] - bench->script.write_times_us[9];
    assert_true(early_us < late_us / 2);
    assert_true(late_us > 30 * 40000 / 4); /* on average it is half of the limit */
    bench_free(bench);
}

static enum verdict
no_verdict_first(struct script *script, const struct sink_record *record, unsigned attempt)
{
    return attempt == 1 ? VERDICT_NONE : VERDICT_DONE;
}

static void
no_verdict_means_again_and_lateness_is_counted(void **state)
{
    struct bench *bench = bench_new(7);
    bench->script.judge = no_verdict_first;
    bench->script.write_ms = 20;
    bench->options.limits.timeout_ms = 5;
    bench_open(bench);
    push_range(bench, 0, 5);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    struct outbox_stats stats = stats_of(bench);
    assert_int_equal(stats.undecided, 5);
    assert_int_equal(stats.retried, 5);
    assert_int_equal(stats.delivered, 5);
    assert_int_equal(stats.overruns, stats.batches);
    bench_free(bench);
}

/* ---- opening ---- */

static void
an_open_that_may_succeed_later_is_tried_again(void **state)
{
    struct bench *bench = bench_new(8);
    bench->script.open_failures = 5;
    bench->script.open_class = DIAG_REMOTE;
    bench_open(bench);
    push_range(bench, 0, 20);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_int_equal(bench->script.opens, 6);
    assert_int_equal(stats_of(bench).delivered, 20);
    outbox_close(bench->outbox, 0);
    assert_int_equal(bench->script.closes, 1);
    bench->outbox = NULL;
    bench_free(bench);
}

static void
an_open_that_fails_for_good_keeps_the_records(void **state)
{
    struct bench *bench = bench_new(9);
    bench->script.open_failures = -1;
    bench->script.open_class = DIAG_INVALID;
    bench->options.queue_max_bytes = 2000;
    bench_open(bench);
    push_range(bench, 0, 100);
    WAIT_UNTIL(stats_of(bench).state == OUTBOX_FAILED);
    assert_string_equal(stats_of(bench).last_error, "no luck");
    assert_int_equal(bench->script.opens, 1);
    struct outbox_mark mark = must_cut(bench);
    assert_int_equal(mark.records, 100);
    outbox_close(bench->outbox, 0);
    bench->script.open_failures = 0;
    bench->options.mark = mark;
    bench_open(bench);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_order(bench, 0, 100);
    assert_int_equal(bench->script.closes, 0);
    bench_free(bench);
}

/* ---- dead letters ---- */

static enum verdict
reject_every_fifth_at_second_attempt(struct script *script, const struct sink_record *record,
                                     unsigned attempt)
{
    return record->id.position % 5 != 2 ? VERDICT_DONE
           : attempt == 1               ? VERDICT_RETRY
                                        : VERDICT_REJECT;
}

/* Checks the letters of 2, 7, 12, ... and returns how many there are. */
static size_t
count_letters(const struct bench *bench)
{
    struct diag_list diags = {0};
    struct journal_reader *reader = NULL;
    struct record record;
    size_t count = 0;
    assert_true(journal_reader_open(&reader, bench->options.os, "sinks/alerts/dead", 0, &diags));
    while (journal_reader_next(reader, UINT64_MAX, &record, &diags) == JOURNAL_RECORD) {
        struct dead_letter letter;
        char text[64];
        uint64_t n = count * 5 + 2;
        assert_true(dead_letter_decode(&record, &letter));
        assert_int_equal(letter.record.id.position, n);
        assert_int_equal(letter.record.id.output, n % 3);
        assert_int_equal(letter.record.time_us, n + 5);
        assert_int_equal(letter.attempts, 2);
        assert_true(letter.first_attempt_us > 0 &&
                    letter.last_attempt_us >= letter.first_attempt_us);
        assert_bytes(letter.sink, "alerts");
        assert_bytes(letter.record.rule, "hot");
        assert_bytes(letter.record.stream, "mqtt");
        assert_bytes(letter.record.target, "alerts/7");
        assert_bytes(letter.record.params, "{\"qos\":1}");
        assert_bytes(record.topic, "sensors/7/data");
        snprintf(text, sizeof text, "payload %u", (unsigned)n);
        assert_bytes(record.payload, text);
        snprintf(text, sizeof text, "reason %u", (unsigned)n);
        assert_bytes(letter.reason, text);
        count++;
    }
    journal_reader_close(reader);
    diag_list_fini(&diags);
    return count;
}

static void
a_rejected_record_becomes_a_dead_letter(void **state)
{
    struct bench *bench = bench_new(10);
    bench->script.judge = reject_every_fifth_at_second_attempt;
    bench_open(bench);
    push_range(bench, 0, 100);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    struct outbox_stats stats = stats_of(bench);
    assert_int_equal(stats.delivered, 80);
    assert_int_equal(stats.rejected, 20);
    assert_int_equal(count_letters(bench), 20);
    bench_free(bench);
}

static enum verdict
reject_seventh(struct script *script, const struct sink_record *record, unsigned attempt)
{
    return record->id.position == 7 ? VERDICT_REJECT : VERDICT_DONE;
}

static void
a_dead_letter_that_cannot_be_written_blocks_the_sink(void **state)
{
    static const enum fault_call calls[] = {FAULT_ALLOCATE, FAULT_SYNC, FAULT_OPEN};
    for (size_t i = 0; i < 3; i++) {
        struct bench *bench = bench_new(11);
        bench->script.judge = reject_seventh;
        bench_open(bench);
        WAIT_UNTIL(stats_of(bench).state == OUTBOX_READY);
        bench->fault.is_lasting = true;
        fault_os_arm(&bench->fault, calls[i], 1, ENOSPC);
        push_range(bench, 0, 50);
        WAIT_UNTIL(stats_of(bench).state == OUTBOX_BLOCKED);
        usleep(20000);
        struct outbox_stats stats = stats_of(bench);
        assert_int_equal(stats.rejected, 0);
        assert_true(stats.delivered < 20 && stats.queued_records > 30);
        assert_non_null(strstr(stats.last_error, "No space"));
        fault_os_disarm(&bench->fault);
        WAIT_UNTIL(outbox_is_drained(bench->outbox));
        stats = stats_of(bench);
        assert_int_equal(stats.delivered, 49);
        assert_int_equal(stats.rejected, 1);
        assert_int_equal(bench->script.attempts[7], 1); /* the verdict stands */
        bench_free(bench);
    }
}

/* ---- failures ---- */

static void
note_append(void *context)
{
    ++*(unsigned *)context;
}

static struct failure_log *
open_failures(struct bench *bench, unsigned *appends)
{
    const struct failure_log_options options = {.os = bench->options.os, .dir = "errors",
                                                .appended = note_append, .context = appends};
    struct diag_list diags = {0};
    struct failure_log *log = NULL;
    assert_true(failure_log_open(&log, &options, &diags));
    diag_list_fini(&diags);
    return log;
}

/* Checks what the log says of records `first`, `first` + `step`, ...; returns how many. */
static uint64_t
count_failures(const struct bench *bench, uint64_t first, uint64_t step, const char *reason)
{
    struct diag_list diags = {0};
    struct journal_reader *reader = NULL;
    struct record record;
    uint64_t count = 0;
    assert_true(journal_reader_open(&reader, bench->options.os, "errors", 0, &diags));
    while (journal_reader_next(reader, UINT64_MAX, &record, &diags) == JOURNAL_RECORD) {
        struct failure failure;
        char expected[32];
        uint64_t n = first + step * count++;
        assert_true(failure_decode(&record, &failure));
        assert_int_equal(failure.position, n);
        assert_int_equal(failure.time_us, n + 5);
        snprintf(expected, sizeof expected, reason, (unsigned)n);
        assert_bytes(failure.message, expected);
        assert_bytes(failure.rule, "hot");
        assert_bytes(failure.stream, "mqtt");
        assert_bytes(failure.topic, "sensors/7/data");
        assert_bytes(failure.original.action, "A");
        assert_bytes(failure.original.resource, "R");
        assert_int_equal(failure.original.flags, 1);
        assert_bytes(failure.original.props, "P");
        assert_bytes(failure.original.payload, "the message");
    }
    journal_reader_close(reader);
    diag_list_fini(&diags);
    return count;
}

static void
a_rejected_record_is_told_to_the_failure_log(void **state)
{
    struct bench *bench = bench_new(23);
    unsigned appends = 0;
    bench->options.failures = open_failures(bench, &appends);
    assert_int_equal(failure_log_tail(bench->options.failures), 0);
    bench->script.judge = reject_every_fifth_at_second_attempt;
    bench_open(bench);
    push_range(bench, 0, 100);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    struct tally tally;
    outbox_tally(bench->outbox, BYTES("hot"), &tally);
    assert_int_equal(tally.delivered, 60);
    assert_int_equal(tally.rejected, 15);
    assert_int_equal(tally.error_delivered, 20);
    assert_int_equal(tally.error_rejected, 5);
    outbox_tally(bench->outbox, BYTES("cold"), &tally);
    assert_int_equal(tally.delivered + tally.rejected, 0);
    assert_int_equal(count_failures(bench, 2, 5, "reason %u"), 20);
    assert_true(appends > 0 && failure_log_tail(bench->options.failures) > 0);
    bench_free(bench);
}

/* Rejected by the core: never tried, a dead letter in its turn, also behind a stop. */
static void
a_record_pushed_as_rejected_is_not_tried(void **state)
{
    struct bench *bench = bench_new(24);
    unsigned appends = 0;
    bench->options.failures = open_failures(bench, &appends);
    bench->options.queue_max_bytes = 5000; /* most wait on disk */
    bench->script.open_failures = -1;
    bench->script.open_class = DIAG_IO;
    bench->rejects_seconds = true;
    bench_open(bench);
    push_range(bench, 0, 100);
    struct outbox_mark mark = must_cut(bench);
    outbox_close(bench->outbox, 0);
    bench->script.open_failures = 0;
    bench->options.mark = mark;
    bench_open(bench);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    struct outbox_stats stats = stats_of(bench);
    for (size_t n = 0; n < 100; n++) {
        assert_int_equal(bench->script.attempts[n], n % 2 == 0);
    }
    assert_int_equal(stats.delivered, 50);
    assert_int_equal(stats.rejected, 50);
    assert_int_equal(count_failures(bench, 1, 2, "odd"), 50);
    bench_free(bench);
}

static void
a_failure_that_cannot_be_told_blocks_the_sink(void **state)
{
    static const enum fault_call calls[] = {FAULT_ALLOCATE, FAULT_SYNC};
    for (size_t i = 0; i < 2; i++) {
        struct bench *bench = bench_new(25);
        unsigned appends = 0;
        bench->options.failures = open_failures(bench, &appends);
        bench->script.judge = reject_seventh;
        bench_open(bench);
        WAIT_UNTIL(stats_of(bench).state == OUTBOX_READY);
        bench->fault.is_lasting = true;
        fault_os_arm(&bench->fault, calls[i], calls[i] == FAULT_SYNC ? 4 : 2, ENOSPC);
        push_range(bench, 0, 50);
        WAIT_UNTIL(stats_of(bench).state == OUTBOX_BLOCKED);
        assert_int_equal(appends, 0);
        assert_int_equal(stats_of(bench).rejected, 0);
        fault_os_disarm(&bench->fault);
        WAIT_UNTIL(outbox_is_drained(bench->outbox));
        assert_int_equal(appends, 1);
        assert_int_equal(stats_of(bench).rejected, 1);
        bench_free(bench);
        }
}

static void
a_record_without_letter_is_no_letter(void **state)
{
    struct dead_letter letter;
    struct record record = {.props = BYTES("")};
    assert_false(dead_letter_decode(&record, &letter));
    record.props = BYTES("\x02\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_false(dead_letter_decode(&record, &letter));
    record.props = BYTES("\x01\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_true(dead_letter_decode(&record, &letter));
    record.props = BYTES("\x01\0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_false(dead_letter_decode(&record, &letter));
}

/* ---- looking up ---- */

/* True with an answer, which is the key; else `*class` says why not. */
static bool
look_up(struct outbox *outbox, enum diag_class *class)
{
    struct arena arena = {0};
    struct diag_list diags = {0};
    struct bytes item;
    bool found = outbox_lookup(outbox, BYTES("{\"id\":1}"), &arena, &item, &diags);
    if (found) {
        assert_bytes(item, "{\"id\":1}");
    } else {
        *class = diags.items[0].class;
    }
    diag_list_fini(&diags);
    arena_fini(&arena);
    return found;
}

static void
a_lookup_is_answered_while_the_driver_is_open(void **state)
{
    struct bench *bench = bench_new(20);
    enum diag_class class = DIAG_IO;
    bench->script.open_failures = 1;
    bench->script.open_class = DIAG_INVALID;
    bench_open(bench);
    WAIT_UNTIL(stats_of(bench).state == OUTBOX_FAILED);
    assert_false(look_up(bench->outbox, &class));
    assert_int_equal(class, DIAG_BUSY);
    outbox_reconfigure(bench->outbox, &bench->options);
    WAIT_UNTIL(look_up(bench->outbox, &class));
    struct arena arena = {0};
    struct diag_list diags = {0};
    struct bytes answer;
    assert_false(outbox_call(bench->outbox, BYTES("1"), &arena, &answer, &diags));
    assert_true(bytes_ends_with(diags.items[0].message, BYTES("which is no function")));
    diag_list_fini(&diags);
    arena_fini(&arena);

    struct driver keyless = *bench->options.driver;
    keyless.lookup = NULL;
    bench->options.driver = &keyless;
    outbox_reconfigure(bench->outbox, &bench->options);
    WAIT_UNTIL(!look_up(bench->outbox, &class) && class == DIAG_INVALID);
    outbox_stop(bench->outbox, 0);
    assert_false(look_up(bench->outbox, &class));
    assert_int_equal(class, DIAG_BUSY);
    bench_free(bench);
}

struct asking {
    struct outbox *outbox;
    _Atomic bool is_over;
    _Atomic unsigned answers;
};

static void *
ask_on(void *context)
{
    struct asking *asking = context;
    enum diag_class class;
    while (!asking->is_over) {
        asking->answers += look_up(asking->outbox, &class);
    }
    return NULL;
}

static void
a_lookup_never_meets_a_driver_that_closes(void **state)
{
    struct bench *bench = bench_new(21);
    bench_open(bench);
    struct asking asking = {.outbox = bench->outbox};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, ask_on, &asking), 0);
    for (unsigned i = 0; i < 200; i++) {
        unsigned answers = asking.answers;
        outbox_reconfigure(bench->outbox, &bench->options);
        WAIT_UNTIL(outbox_is_settled(bench->outbox) && asking.answers > answers);
    }
    asking.is_over = true;
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(bench->script.lookups_wrong, 0);
    bench_free(bench);
}

/* Neither a start nor an edit makes rules fail that look into the table. */
static void
a_lookup_waits_for_a_driver_that_is_being_opened(void **state)
{
    struct bench *bench = bench_new(22);
    enum diag_class class;
    bench_open(bench);
    for (unsigned i = 0; i < 200; i++) {
        assert_true(look_up(bench->outbox, &class));
        outbox_reconfigure(bench->outbox, &bench->options);
    }
    bench_free(bench);
}

/* ---- closing ---- */

static void
closing_with_grace_delivers_first(void **state)
{
    struct bench *bench = bench_new(19);
    bench->script.write_ms = 2;
    bench->options.limits.linger_ms = 1000;
    bench_open(bench);
    push_range(bench, 0, 105);
    outbox_close(bench->outbox, 10000);
    assert_order(bench, 0, 105);
    bench->outbox = NULL;

    bench->script.is_stuck = true;
    bench_open(bench);
    push(bench, 0);
    int64_t before_us = os_posix.mono_us(&os_posix);
    outbox_close(bench->outbox, 50);
    int64_t took_us = os_posix.mono_us(&os_posix) - before_us;
    assert_true(took_us >= 50000 && took_us < 5000000);
    bench->outbox = NULL;
    bench_free(bench);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(records_arrive_in_order_and_leave_no_trace_on_disk),
            cmocka_unit_test(batches_keep_the_limit_of_bytes),
            cmocka_unit_test(lingering_gathers_a_batch),
            cmocka_unit_test(only_what_is_not_done_is_sent_again_and_before_anything_newer),
            cmocka_unit_test(retry_after_is_honoured),
            cmocka_unit_test(pauses_grow_up_to_the_limit),
            cmocka_unit_test(no_verdict_means_again_and_lateness_is_counted),
            cmocka_unit_test(an_open_that_may_succeed_later_is_tried_again),
            cmocka_unit_test(an_open_that_fails_for_good_keeps_the_records),
            cmocka_unit_test(a_rejected_record_becomes_a_dead_letter),
            cmocka_unit_test(a_dead_letter_that_cannot_be_written_blocks_the_sink),
            cmocka_unit_test(a_rejected_record_is_told_to_the_failure_log),
            cmocka_unit_test(a_record_pushed_as_rejected_is_not_tried),
            cmocka_unit_test(a_failure_that_cannot_be_told_blocks_the_sink),
            cmocka_unit_test(a_record_without_letter_is_no_letter),
            cmocka_unit_test(a_lookup_is_answered_while_the_driver_is_open),
            cmocka_unit_test(a_lookup_never_meets_a_driver_that_closes),
            cmocka_unit_test(a_lookup_waits_for_a_driver_that_is_being_opened),
            cmocka_unit_test(closing_with_grace_delivers_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
