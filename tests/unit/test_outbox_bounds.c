/*
 * What an outbox does not go on with for ever: too many records, and records that are always refused.
 */
#define _GNU_SOURCE
#include "unit.h"

#include "outbox_rig.h"

#include "dead_letter.h"
#include "store/journal.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* ---- too many: drop_oldest ---- */

static void
above_the_bound_the_oldest_are_dropped_and_counted(void **state)
{
    struct bench *bench = bench_new(31);
    bench->script.is_stuck = true;
    bench->options.queue_max_bytes = 4000;
    bench->options.backlog_max_bytes = 60000;
    bench->options.drops_oldest = true;
    bench_open(bench);
    WAIT_UNTIL(stats_of(bench).state == OUTBOX_READY);
    push_range(bench, 0, 3000);
    WAIT_UNTIL(stats_of(bench).dropped > 1000);
    assert_false(outbox_is_full(bench->outbox));
    struct outbox_stats stats = stats_of(bench);
    assert_true(stats.queued_bytes + stats.backlog_bytes <= 60000);
    assert_true(stats.queued_bytes + stats.backlog_bytes >= 50000);
    set_stuck(bench, false);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    stats = stats_of(bench);
    assert_int_equal(stats.delivered + stats.dropped, 3000);
    struct tally tally;
    outbox_tally(bench->outbox, BYTES("hot"), &tally);
    assert_int_equal(tally.dropped, stats.dropped);
    /* The newest are there, in order and without a hole. */
    uint64_t first = 3000 - 1;
    while (bench->script.done[first - 1] > 0) {
        first--;
    }
    for (uint64_t n = first; n < 3000; n++) {
        assert_int_equal(bench->script.done[n], 1);
    }
    assert_true(3000 - first > 100 && 3000 - first >= stats.delivered - 10);
    bench_free(bench);
}

/* What the driver has in hand must not hold the head of the log for days. */
static void
dropping_frees_the_log_and_a_restart_brings_nothing_back(void **state)
{
    struct bench *bench = bench_new(32);
    struct diag_list diags = {0};
    struct journal_extent extent;
    char payload[20000];
    memset(payload, 'x', sizeof payload);
    bench->script.is_stuck = true;
    bench->options.queue_max_bytes = 100000;
    bench->options.backlog_max_bytes = 2000000;
    bench->options.drops_oldest = true;
    bench_open(bench);
    WAIT_UNTIL(stats_of(bench).state == OUTBOX_READY);
    struct outbox_mark mark = {0};
    for (uint64_t round = 0; round < 30; round++) {
        for (uint64_t n = 0; n < 30; n++) {
            struct sink_record record = {.id = {round * 30 + n, 0},
                                         .payload = bytes_of(payload, sizeof payload)};
            outbox_push(bench->outbox, &record);
        }
        mark = must_cut(bench);
        must_commit(bench, &mark);
        assert_true(mark.records <= 100);
    }
    assert_true(journal_extent(bench->options.os, "sinks/alerts/backlog", &extent, &diags));
    assert_true(extent.bytes <= 5 << 20); /* of 18 MB */
    set_stuck(bench, false);
    restart(bench, &mark);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_int_equal(stats_of(bench).delivered, mark.records);
    assert_int_equal(stats_of(bench).lost, 0);
    assert_int_equal(bench->script.done[30 * 30 - 1], 1);
    bench->script.seen_bytes_wrong = 0;
    diag_list_fini(&diags);
    bench_free(bench);
}

static void
dropping_beside_delivery_counts_each_record_once(void **state)
{
    struct bench *bench = bench_new(33);
    bench->options.queue_max_bytes = 3000;
    bench->options.backlog_max_bytes = 20000;
    bench->options.drops_oldest = true;
    bench->script.write_ms = 1;
    bench_open(bench);
    for (uint64_t n = 0; n < 4000; n++) {
        push(bench, n);
        if (n % 100 == 0) {
            usleep(500);
            must_cut(bench);
        }
        stats_of(bench);
    }
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    struct outbox_stats stats = stats_of(bench);
    assert_true(stats.dropped > 0 && stats.delivered > 0);
    assert_int_equal(stats.dropped + stats.delivered, 4000);
    assert_int_equal(stats.lost, 0);
    for (size_t i = 1; i < bench->script.order_count; i++) {
        assert_true(bench->script.order[i] > bench->script.order[i - 1]);
    }
    bench_free(bench);
}

/* What cannot be read cannot be counted: it stays, and the sink goes over its bound. */
static void
a_log_that_cannot_be_read_is_not_dropped(void **state)
{
    struct bench *bench = bench_new(34);
    bench->script.is_stuck = true;
    bench->options.queue_max_bytes = 3000;
    bench->options.backlog_max_bytes = 20000;
    bench->options.drops_oldest = true;
    bench_open(bench);
    WAIT_UNTIL(stats_of(bench).state == OUTBOX_READY);
    push_range(bench, 0, 50);
    WAIT_UNTIL(writes_of(bench) > 1);
    bench->fault.is_lasting = true;
    fault_os_arm(&bench->fault, FAULT_PREAD, 1, EIO);
    push_range(bench, 50, 500);
    assert_true(stats_of(bench).dropped < 50); /* those in memory */
    assert_non_null(strstr(stats_of(bench).last_error, "reason") == NULL
                            ? stats_of(bench).last_error
                            : "the driver's");
    fault_os_disarm(&bench->fault);
    set_stuck(bench, false);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    struct outbox_stats stats = stats_of(bench);
    assert_int_equal(stats.delivered + stats.dropped, 500);
    bench_free(bench);
}

/* Whether in memory, on disk or read back: the bound counts the same bytes. */
static void
a_record_weighs_the_same_wherever_it_is(void **state)
{
    struct bench *bench = bench_new(40);
    bench->script.is_stuck = true;
    bench_open(bench);
    push_range(bench, 0, 500);
    struct outbox_stats stats = stats_of(bench);
    uint64_t assumed = stats.queued_bytes;
    assert_int_equal(stats.backlog_records, 0);
    struct outbox_mark mark = must_cut(bench);
    stats = stats_of(bench);
    uint64_t logged = stats.queued_bytes;
    assert_int_equal(logged, mark.tail - mark.head);
    assert_true(assumed >= logged && assumed - logged < 500 * 40);
    bench->options.queue_max_bytes = 3000;
    restart(bench, &mark);
    WAIT_UNTIL(stats_of(bench).queued_records > 0); /* some are read back */
    stats = stats_of(bench);
    assert_true(stats.backlog_records > 0);
    assert_int_equal(stats.queued_bytes + stats.backlog_bytes, logged);
    set_stuck(bench, false);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_int_equal(stats_of(bench).queued_bytes, 0);
    bench_free(bench);
}

/* ---- too many: pause ---- */

static void
at_the_bound_the_outbox_is_full_until_some_are_delivered(void **state)
{
    struct bench *bench = bench_new(35);
    bench->script.is_stuck = true;
    bench->options.queue_max_bytes = 3000;
    bench->options.backlog_max_bytes = 20000;
    bench_open(bench);
    uint64_t n = 0;
    while (!outbox_is_full(bench->outbox)) {
        push(bench, n++);
        assert_true(n < 1000);
    }
    struct outbox_stats stats = stats_of(bench);
    assert_true(stats.is_full && stats.queued_bytes + stats.backlog_bytes < 21000);
    assert_int_equal(stats.dropped, 0);
    struct outbox_mark mark = must_cut(bench); /* a full one can be cut, and is full again */
    restart(bench, &mark);
    while (!outbox_is_full(bench->outbox)) { /* on disk they take a little less */
        push(bench, n++);
        assert_true(n < 1000);
    }
    bench->options.backlog_max_bytes = 1 << 20; /* a new bound counts at once */
    outbox_reconfigure(bench->outbox, &bench->options);
    assert_false(outbox_is_full(bench->outbox));
    bench->options.backlog_max_bytes = 20000;
    outbox_reconfigure(bench->outbox, &bench->options);
    assert_true(outbox_is_full(bench->outbox));
    WAIT_UNTIL(outbox_is_settled(bench->outbox));
    set_stuck(bench, false);
    WAIT_UNTIL(!outbox_is_full(bench->outbox));
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_order(bench, 0, n);
    bench_free(bench);
}

/* ---- refused again and again ---- */

static enum verdict
refuse_seventh(struct script *script, const struct sink_record *record, unsigned attempt)
{
    return record->id.position == 7 ? VERDICT_RETRY : VERDICT_DONE;
}

static void
assert_letter(const struct bench *bench, uint64_t n, unsigned attempts, const char *reason)
{
    struct diag_list diags = {0};
    struct journal_reader *reader = NULL;
    struct record record;
    struct dead_letter letter;
    assert_true(journal_reader_open(&reader, bench->options.os, "sinks/alerts/dead", 0, &diags));
    assert_int_equal(journal_reader_next(reader, UINT64_MAX, &record, &diags), JOURNAL_RECORD);
    assert_true(dead_letter_decode(&record, &letter));
    assert_int_equal(letter.record.id.position, n);
    assert_int_equal(letter.attempts, attempts);
    assert_bytes(letter.reason, reason);
    assert_int_equal(journal_reader_next(reader, UINT64_MAX, &record, &diags), JOURNAL_END);
    journal_reader_close(reader);
    diag_list_fini(&diags);
}

/* A driver with a verdict a record: one that is always refused does not hold the others up. */
static void
what_is_refused_while_others_are_taken_is_parked(void **state)
{
    struct bench *bench = bench_new(36);
    bench->script.judge = refuse_seventh;
    bench->options.limits.linger_ms = 2;
    bench_open(bench);
    uint64_t n = 20;
    push_range(bench, 0, n);
    for (; stats_of(bench).rejected == 0; n++) {
        assert_true(n < RECORDS_MAX - 1);
        push(bench, n);
        usleep(300);
    }
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    struct outbox_stats stats = stats_of(bench);
    assert_int_equal(stats.delivered, n - 1);
    assert_int_equal(stats.parked, 1);
    assert_order(bench, 0, n);
    char reason[100];
    unsigned attempts = bench->script.attempts[7];
    assert_true(attempts >= OUTBOX_REFUSALS_MAX);
    snprintf(reason, sizeof reason, "given up after %u attempts, while others were taken: reason 7",
             attempts);
    assert_letter(bench, 7, attempts, reason);
    bench_free(bench);
}

/* An outage looks different: nothing is taken. However long it lasts, nothing is given up. */
static void
an_outage_parks_nothing(void **state)
{
    struct bench *bench = bench_new(37);
    bench->script.judge = refuse_seventh;
    bench->options.retry_max_ms = 1;
    bench_open(bench);
    push_range(bench, 0, 20);
    WAIT_UNTIL(stats_of(bench).delivered == 19); /* the seventh steps aside */
    set_stuck(bench, true);
    push_range(bench, 20, 60);
    unsigned writes = writes_of(bench);
    WAIT_UNTIL(writes_of(bench) > writes + 60);
    assert_int_equal(stats_of(bench).rejected, 0);
    accept_all(bench);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_int_equal(stats_of(bench).delivered, 60);
    assert_int_equal(stats_of(bench).parked, 0);
    for (size_t i = 0; i < 60; i++) { /* a record that was tried in another's place may be before it */
        assert_int_equal(bench->script.done[i], 1);
    }
    bench_free(bench);
}

/* As a driver that keeps the order does: nothing behind a record that has to wait. */
static enum verdict
refuse_seventh_and_all_behind(struct script *script, const struct sink_record *record,
                              unsigned attempt)
{
    bool is_behind = record->id.position > 7 && script->done[7] == 0 && script->attempts[7] > 0 &&
                     script->attempts[7] < 5;
    return record->id.position == 7 || is_behind ? VERDICT_RETRY : VERDICT_DONE;
}

static void
after_the_last_attempt_the_record_alone_is_parked(void **state)
{
    struct bench *bench = bench_new(38);
    bench->script.judge = refuse_seventh_and_all_behind;
    bench->options.attempts_max = 5;
    bench_open(bench);
    push_range(bench, 0, 40);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    struct outbox_stats stats = stats_of(bench);
    assert_int_equal(stats.delivered, 39);
    assert_int_equal(stats.parked, 1);
    assert_int_equal(bench->script.attempts[7], 5);
    assert_order(bench, 0, 40);
    assert_letter(bench, 7, 5, "given up after 5 attempts: reason 7");
    bench_free(bench);
}

/* ---- draining ---- */

static void
a_backlog_drains_no_faster_than_it_may(void **state)
{
    struct bench *bench = bench_new(39);
    bench->script.is_stuck = true;
    bench->options.queue_max_bytes = 3000;
    bench->options.drain_rate = 1000;
    bench_open(bench);
    push_range(bench, 0, 400);
    uint64_t on_disk = stats_of(bench).backlog_records;
    assert_true(on_disk > 300);
    int64_t began_us = os_posix.mono_us(&os_posix);
    set_stuck(bench, false);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    int64_t took_us = os_posix.mono_us(&os_posix) - began_us;
    assert_true(took_us > (int64_t)(on_disk - 40) * 1000); /* the last ones are in memory */
    assert_order(bench, 0, 400);
    push_range(bench, 400, 410); /* with nothing on disk there is no such limit */
    push_range(bench, 410, 420);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    bench_free(bench);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(above_the_bound_the_oldest_are_dropped_and_counted),
            cmocka_unit_test(dropping_frees_the_log_and_a_restart_brings_nothing_back),
            cmocka_unit_test(dropping_beside_delivery_counts_each_record_once),
            cmocka_unit_test(a_log_that_cannot_be_read_is_not_dropped),
            cmocka_unit_test(a_record_weighs_the_same_wherever_it_is),
            cmocka_unit_test(at_the_bound_the_outbox_is_full_until_some_are_delivered),
            cmocka_unit_test(what_is_refused_while_others_are_taken_is_parked),
            cmocka_unit_test(an_outage_parks_nothing),
            cmocka_unit_test(after_the_last_attempt_the_record_alone_is_parked),
            cmocka_unit_test(a_backlog_drains_no_faster_than_it_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
