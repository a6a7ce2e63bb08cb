/*
 * What waits for a sink on disk: in order over restarts, and nothing is lost when the disk is full,
 * when any call fails, or when the power goes.
 */
#define _GNU_SOURCE
#include "unit.h"

#include "outbox_rig.h"

#include "checkpoint.h"
#include "store/journal.h"

#include <errno.h>
#include <unistd.h>

/* ---- waiting on disk ---- */

static void
what_memory_cannot_hold_waits_on_disk_in_order(void **state)
{
    struct bench *bench = bench_new(12);
    bench->script.is_stuck = true;
    bench->options.queue_max_bytes = 8000;
    bench_open(bench);
    push_range(bench, 0, 1000);
    struct outbox_stats stats = stats_of(bench);
    assert_true(stats.queued_bytes <= 8000);
    assert_true(stats.backlog_records > 900 && stats.backlog_bytes > 900 * 50);
    assert_true(stats.oldest_age_us > 0);
    assert_false(outbox_is_full(bench->outbox));
    set_stuck(bench, false);
    for (uint64_t n = 1000; n < 2000; n++) { /* pushing goes on while it drains */
        push(bench, n);
        if (n % 50 == 0) {
            usleep(1000);
            must_cut(bench);
        }
    }
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    stats = stats_of(bench);
    assert_int_equal(stats.delivered, 2000);
    assert_int_equal(stats.backlog_records, 0);
    assert_order(bench, 0, 2000);
    push_range(bench, 2000, 2050); /* and back in memory */
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_order(bench, 0, 2050);
    bench_free(bench);
}

static void
a_restart_delivers_what_the_cut_says(void **state)
{
    for (int spilled = 0; spilled < 2; spilled++) {
        struct bench *bench = bench_new(13);
        bench->script.is_stuck = true;
        bench->options.queue_max_bytes = spilled ? 5000 : 1 << 20;
        bench_open(bench);
        push_range(bench, 0, 300);
        struct outbox_mark mark = must_cut(bench);
        assert_int_equal(mark.records, 300);
        push_range(bench, 300, 400); /* not in the checkpoint: replay makes them again */
        struct outbox_mark later = must_cut(bench);
        assert_int_equal(later.records, 400);
        restart(bench, &mark);
        struct outbox_stats stats = stats_of(bench);
        assert_int_equal(stats.restored, 300);
        push_range(bench, 300, 350);
        set_stuck(bench, false);
        WAIT_UNTIL(outbox_is_drained(bench->outbox));
        assert_order(bench, 0, 350);
        stats = stats_of(bench);
        assert_int_equal(stats.delivered, 350);

        mark = must_cut(bench);
        assert_int_equal(mark.records, 0);
        assert_int_equal(mark.head, mark.tail);
        restart(bench, &mark);
        assert_true(outbox_is_drained(bench->outbox));
        bench_free(bench);
    }
}

static enum verdict
retry_first_ten(struct script *script, const struct sink_record *record, unsigned attempt)
{
    return record->id.position < 10 && record->id.position % 2 == 0 ? VERDICT_RETRY : VERDICT_DONE;
}

static void
a_cut_holds_what_is_not_acknowledged_of_a_batch(void **state)
{
    struct bench *bench = bench_new(14);
    bench->script.judge = retry_first_ten;
    bench->options.limits.linger_ms = 10000; /* the first batch is the first ten */
    bench_open(bench);
    WAIT_UNTIL(stats_of(bench).state == OUTBOX_READY);
    push_range(bench, 0, 40);
    WAIT_UNTIL(stats_of(bench).delivered == 5);
    struct outbox_mark mark = must_cut(bench);
    assert_int_equal(mark.records, 35);
    accept_all(bench);
    bench->options.limits.linger_ms = 0;
    restart(bench, &mark);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    for (size_t n = 0; n < 40; n++) {
        assert_int_equal(bench->script.done[n], n >= 10 || n % 2 == 0);
    }
    bench_free(bench);
}

static void
committed_checkpoints_free_the_backlog(void **state)
{
    struct bench *bench = bench_new(15);
    bench->options.queue_max_bytes = 5000;
    struct journal_extent extent;
    struct diag_list diags = {0};
    bench_open(bench);
    uint64_t largest = 0;
    char payload[20000];
    memset(payload, 'x', sizeof payload);
    bench->script.is_stuck = true;
    for (int round = 0; round < 20; round++) {
        set_stuck(bench, true);
        for (uint64_t n = 0; n < 30; n++) {
            struct sink_record record = {.id = {n, 0}, .payload = bytes_of(payload, 20000)};
            outbox_push(bench->outbox, &record);
        }
        struct outbox_mark mark = must_cut(bench);
        must_commit(bench, &mark);
        set_stuck(bench, false);
        WAIT_UNTIL(outbox_is_drained(bench->outbox));
        assert_true(journal_extent(bench->options.os, "sinks/alerts/backlog", &extent, &diags));
        largest = extent.bytes > largest ? extent.bytes : largest;
    }
    assert_true(largest <= 4 << 20); /* of 12 MB that went through */
    bench->script.seen_bytes_wrong = 0;
    diag_list_fini(&diags);
    bench_free(bench);
}

/* The newest checkpoint may be found damaged: the one before must still be usable. */
static void
the_backlog_of_the_checkpoint_before_is_kept(void **state)
{
    struct bench *bench = bench_new(15);
    char payload[20000];
    memset(payload, 'x', sizeof payload);
    struct outbox_mark marks[2];
    bench_open(bench);
    for (int round = 0; round < 2; round++) {
        set_stuck(bench, round == 0);
        WAIT_UNTIL(outbox_is_drained(bench->outbox));
        for (uint64_t n = 0; n < 120; n++) { /* more than two segments */
            struct sink_record record = {.id = {n, 0}, .payload = bytes_of(payload, 20000)};
            outbox_push(bench->outbox, &record);
        }
        marks[round] = must_cut(bench);
        must_commit(bench, &marks[round]);
    }
    assert_true(marks[1].head > marks[0].head);
    restart(bench, &marks[0]);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_int_equal(stats_of(bench).lost, 0);
    assert_int_equal(stats_of(bench).delivered, 120);
    bench->script.seen_bytes_wrong = 0;
    bench_free(bench);
}

static void
a_full_disk_keeps_records_in_memory_and_says_so(void **state)
{
    struct bench *bench = bench_new(16);
    bench->script.is_stuck = true;
    bench->options.queue_max_bytes = 5000;
    bench_open(bench);
    crash_disk_set_space(bench->disk, 1000);
    push_range(bench, 0, 200);
    assert_true(outbox_is_full(bench->outbox));
    assert_int_equal(stats_of(bench).queued_records, 200);
    struct outbox_mark mark;
    struct diag_list diags = {0};
    assert_false(outbox_cut(bench->outbox, &mark, &diags));
    assert_int_equal(diags.items[0].os_error, ENOSPC);
    crash_disk_set_space(bench->disk, 0);
    mark = must_cut(bench);
    assert_int_equal(mark.records, 200);
    set_stuck(bench, false);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_false(outbox_is_full(bench->outbox));
    assert_order(bench, 0, 200);
    diag_list_fini(&diags);
    bench_free(bench);
}

/* The disk fills while records are there already: the order holds over all three runs. */
static void
a_disk_that_fills_in_between_keeps_the_order(void **state)
{
    struct bench *bench = bench_new(17);
    bench->script.is_stuck = true;
    bench->options.queue_max_bytes = 5000;
    bench_open(bench);
    push_range(bench, 0, 100);
    struct outbox_stats stats = stats_of(bench);
    uint64_t in_memory = stats.queued_records;
    assert_true(stats.backlog_records > 0);
    bench->fault.is_lasting = true;
    fault_os_arm(&bench->fault, FAULT_PWRITE, 1, ENOSPC);
    uint64_t writes = bench->fault.counts[FAULT_PWRITE];
    push_range(bench, 100, 200);
    assert_true(bench->fault.counts[FAULT_PWRITE] - writes < 5); /* not one for every record */
    assert_true(outbox_is_full(bench->outbox));
    assert_int_equal(stats_of(bench).queued_records, in_memory + 100);

    fault_os_disarm(&bench->fault);
    usleep(510000); /* the disk is tried again after half a second */
    push_range(bench, 200, 300);
    assert_false(outbox_is_full(bench->outbox));
    assert_int_equal(stats_of(bench).queued_records, in_memory);

    bench->fault.is_lasting = true;
    fault_os_arm(&bench->fault, FAULT_PWRITE, 1, ENOSPC);
    push_range(bench, 300, 400);
    set_stuck(bench, false);
    WAIT_UNTIL(outbox_is_drained(bench->outbox)); /* delivery needs no room */
    fault_os_disarm(&bench->fault);
    push_range(bench, 400, 450);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_order(bench, 0, 450);
    bench_free(bench);
}

static enum verdict
retry_from_100(struct script *script, const struct sink_record *record, unsigned attempt)
{
    return record->id.position >= 100 ? VERDICT_RETRY : VERDICT_DONE;
}

/* What the disk did not take is in the next cut, wherever it waits by then. */
static void
cut_what_the_disk_refused(bool is_read_back)
{
    struct bench *bench = bench_new(17);
    bench->script.is_stuck = true;
    bench->script.judge = retry_from_100;
    bench->options.queue_max_bytes = 5000;
    bench_open(bench);
    push_range(bench, 0, 100);
    bench->fault.is_lasting = true;
    fault_os_arm(&bench->fault, FAULT_PWRITE, 1, ENOSPC);
    push_range(bench, 100, 120);
    fault_os_disarm(&bench->fault);
    uint64_t first = is_read_back ? 100 : 0;
    if (is_read_back) {
        set_stuck(bench, false);
        WAIT_UNTIL(stats_of(bench).delivered == 100);
    }
    struct outbox_mark mark = must_cut(bench);
    assert_int_equal(mark.records, 120 - first);
    accept_all(bench);
    restart(bench, &mark);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_order(bench, first, 120);
    bench_free(bench);
}

static void
a_cut_holds_what_the_disk_refused_before(void **state)
{
    cut_what_the_disk_refused(false);
    cut_what_the_disk_refused(true);
}

static void
damage_in_the_backlog_is_counted(void **state)
{
    struct bench *bench = bench_new(18);
    bench->script.is_stuck = true;
    bench_open(bench);
    push_range(bench, 0, 100);
    struct outbox_mark mark = must_cut(bench);
    outbox_close(bench->outbox, 0);
    struct buf *file =
            crash_disk_file(bench->disk, "sinks/alerts/backlog/00000000000000000000.seg");
    file->data[2000] ^= 1;
    bench->options.mark = mark;
    bench->script.is_stuck = false;
    bench_open(bench);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    struct outbox_stats stats = stats_of(bench);
    assert_int_equal(stats.lost, 1);
    assert_int_equal(stats.delivered, 99);
    outbox_close(bench->outbox, 0);

    assert_int_equal(bench->options.os->unlink(
                             bench->options.os,
                             "sinks/alerts/backlog/00000000000000000000.seg"), 0);
    bench_open(bench); /* all of it is gone */
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_int_equal(stats_of(bench).lost, 100);
    bench_free(bench);
}

/* The engine must not wait for the medium with each segment that is full. */
static void
a_push_waits_for_no_sync(void **state)
{
    struct bench *bench = bench_new(20);
    bench->options.queue_max_bytes = 3000;
    bench->options.segment_bytes = 4000;
    bench->script.write_ms = 300; /* the sink's thread is away */
    bench->script.is_stuck = true;
    bench_open(bench);
    WAIT_UNTIL(stats_of(bench).state == OUTBOX_READY);
    push(bench, 0);
    usleep(20000); /* it has begun */
    uint64_t syncs = bench->fault.counts[FAULT_SYNC] + bench->fault.counts[FAULT_SYNC_DIR];
    push_range(bench, 1, 1000);
    assert_int_equal(bench->fault.counts[FAULT_SYNC] + bench->fault.counts[FAULT_SYNC_DIR], syncs);
    assert_true(stats_of(bench).backlog_bytes > 20 * 4000);

    struct outbox_mark mark = must_cut(bench); /* brings all of it to the medium */
    outbox_close(bench->outbox, 0);
    crash_disk_cut(bench->disk, CRASH_DROP);
    bench->script.write_ms = 0;
    bench->script.is_stuck = false;
    bench->options.mark = mark;
    bench_open(bench);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_order(bench, 0, 1000);
    assert_int_equal(stats_of(bench).lost, 0);
    bench_free(bench);
}

/* After a failed sync the file is not believed: whichever segment it was, it is written anew. */
static void
a_full_segment_whose_sync_failed_is_written_anew(void **state)
{
    for (uint64_t nth = 1; nth <= 12; nth++) {
        struct bench *bench = bench_new(22);
        bench->options.queue_max_bytes = 1500;
        bench->options.segment_bytes = 2000;
        bench->options.retry_min_ms = 20000;
        bench->options.retry_max_ms = 20000;
        bench->script.open_failures = -1;
        bench->script.open_class = DIAG_INVALID; /* its thread rests for good */
        bench_open(bench);
        WAIT_UNTIL(stats_of(bench).state == OUTBOX_FAILED);
        push_range(bench, 0, 80);
        fault_os_arm(&bench->fault, FAULT_SYNC, nth, EIO);
        struct outbox_mark mark;
        struct diag_list diags = {0};
        bool is_cut = outbox_cut(bench->outbox, &mark, &diags);
        bool fired = bench->fault.fired;
        fault_os_disarm(&bench->fault);
        mark = is_cut ? mark : must_cut(bench);
        assert_int_equal(mark.records, 80);
        outbox_close(bench->outbox, 0);
        crash_disk_cut(bench->disk, CRASH_DROP);
        bench->script.open_failures = 0;
        bench->options.mark = mark;
        bench_open(bench);
        WAIT_UNTIL(outbox_is_drained(bench->outbox));
        assert_int_equal(stats_of(bench).lost, 0);
        assert_order(bench, 0, 80);
        assert_true(fired || nth > 5);
        diag_list_fini(&diags);
        bench_free(bench);
    }
}

/* In a pause the thread brings full segments to the medium, so that a cut finds little to do. */
static void
full_segments_are_synced_in_pauses(void **state)
{
    struct bench *bench = bench_new(21);
    bench->options.queue_max_bytes = 3000;
    bench->options.segment_bytes = 4000;
    bench->options.retry_min_ms = 20000;
    bench->options.retry_max_ms = 20000;
    bench->script.is_stuck = true;
    bench_open(bench);
    push(bench, 0);
    WAIT_UNTIL(writes_of(bench) > 0);
    push_range(bench, 1, 400);
    WAIT_UNTIL(bench->fault.counts[FAULT_SYNC] >= 10);
    usleep(300000); /* a pause looks about four times a second */
    uint64_t syncs = bench->fault.counts[FAULT_SYNC];
    must_cut(bench);
    assert_true(bench->fault.counts[FAULT_SYNC] - syncs <= 1);
    bench_free(bench);
}

/* ---- crashes: a little engine around the outbox ---- */

static enum verdict
moody(struct script *script, const struct sink_record *record, unsigned attempt)
{
    return (record->id.position * 7 + script->writes) % 4 == 0 ? VERDICT_RETRY : VERDICT_DONE;
}

/*
 * Reads the records `position`, ... of a stream that is always there, pushes them, and commits a
 * checkpoint now and then, until the end or until the disk fails.
 */
static void
engine_run(struct bench *bench, uint64_t end)
{
    struct arena arena = {0};
    struct diag_list diags = {0};
    struct checkpoint checkpoint;
    bool runs = checkpoint_load(bench->options.os, "data", &arena, &checkpoint, &diags);
    uint64_t position = runs && checkpoint.stream_count > 0 ? checkpoint.streams[0].position : 0;
    bench->options.mark = (struct outbox_mark){0};
    if (runs && checkpoint.sink_count > 0) {
        bench->options.mark = (struct outbox_mark){
                checkpoint.sinks[0].head, checkpoint.sinks[0].tail, checkpoint.sinks[0].records};
    }
    uint64_t generation = runs ? checkpoint.generation : 0;
    runs = runs && outbox_open(&bench->outbox, &bench->options, &diags);
    while (runs && position < end) {
        push_range(bench, position, position + 5);
        position += 5;
        usleep(position % 3 == 0 ? 300 : 0);
        if (position % 10 == 0) {
            struct outbox_mark mark;
            struct checkpoint_stream stream = {BYTES("mqtt"), position, 0};
            runs = outbox_cut(bench->outbox, &mark, &diags);
            struct checkpoint_sink sink = {BYTES("alerts"), mark.head, mark.tail, mark.records};
            struct checkpoint next = {++generation, &stream, 1, &sink, 1, NULL, 0};
            runs = runs && checkpoint_save(bench->options.os, "data", &next, &diags) &&
                   outbox_committed(bench->outbox, &mark, &diags);
        }
    }
    if (bench->outbox != NULL && runs) {
        WAIT_UNTIL(outbox_is_drained(bench->outbox));
    }
    outbox_close(bench->outbox, 0);
    bench->outbox = NULL;
    for (size_t i = 1; i < bench->script.order_count; i++) { /* a sink may drop lower ids */
        assert_true(bench->script.order[i] > bench->script.order[i - 1]);
    }
    arena_fini(&arena);
    diag_list_fini(&diags);
}

static void
assert_all_done(const struct bench *bench, uint64_t end)
{
    for (uint64_t n = 0; n < end; n++) {
        if (bench->script.done[n] == 0) {
            fail_msg("record %u was not delivered", (unsigned)n);
        }
    }
}

static void
no_crash_loses_a_record(void **state)
{
    enum { END = 40 };
    static const enum crash_mode modes[] = {CRASH_KILL, CRASH_DROP, CRASH_TEAR};
    for (uint64_t seed = 0; seed < 6; seed++) {
        for (uint64_t stop = 0; stop < 90; stop += 1 + stop / 20) {
            struct bench *bench = bench_new(seed);
            bench->script.judge = moody;
            bench->options.queue_max_bytes = seed % 2 == 0 ? 1500 : 1 << 20;
            bench->options.segment_bytes = stop % 2 == 0 ? 0 : 700; /* many, or one */
            bench->options.retry_max_ms = 1;
            for (int round = 0; round < 3; round++) {
                crash_disk_stop_after(bench->disk, round == 0   ? stop
                                                   : round == 1 ? stop % 13
                                                                : UINT64_MAX);
                engine_run(bench, END);
                crash_disk_cut(bench->disk, modes[seed % 3]);
            }
            assert_all_done(bench, END);
            bench_free(bench);
        }
    }
}

static void
no_failing_call_loses_a_record(void **state)
{
    enum { END = 60 };
    for (enum fault_call call = 0; call < FAULT_CALLS; call++) {
        for (uint64_t nth = 1; nth < 60; nth++) {
            struct bench *bench = bench_new(nth);
            bench->script.judge = moody;
            bench->options.queue_max_bytes = nth % 2 == 0 ? 1500 : 1 << 20;
            bench->options.segment_bytes = nth % 4 < 2 ? 0 : 700;
            bench->options.retry_max_ms = 1;
            fault_os_arm(&bench->fault, call, nth, nth % 3 == 0 ? EIO : ENOSPC);
            engine_run(bench, END);
            bool fired = bench->fault.fired;
            fault_os_disarm(&bench->fault);
            engine_run(bench, END);
            assert_all_done(bench, END);
            bench_free(bench);
            if (!fired) {
                break;
            }
        }
    }
}

/* The same with a bound: a record is delivered or counted as dropped, and the newest are there. */
static void
no_failing_call_breaks_dropping(void **state)
{
    enum { END = 200 };
    for (enum fault_call call = 0; call < FAULT_CALLS; call++) {
        for (uint64_t nth = 1; nth < 40; nth++) {
            struct bench *bench = bench_new(nth);
            bench->script.judge = moody;
            bench->options.queue_max_bytes = 1500;
            bench->options.backlog_max_bytes = 12000;
            bench->options.segment_bytes = nth % 2 == 0 ? 0 : 2000;
            bench->options.drops_oldest = true;
            bench->options.retry_max_ms = 1;
            bench_open(bench);
            fault_os_arm(&bench->fault, call, nth, nth % 3 == 0 ? EIO : ENOSPC);
            for (uint64_t n = 0; n < END; n += 20) {
                struct outbox_mark mark;
                struct diag_list diags = {0};
                push_range(bench, n, n + 20);
                if (outbox_cut(bench->outbox, &mark, &diags) &&
                    !outbox_committed(bench->outbox, &mark, &diags)) {
                    assert_true(diags.errors > 0);
                }
                diag_list_fini(&diags);
                stats_of(bench);
            }
            bool fired = bench->fault.fired;
            fault_os_disarm(&bench->fault);
            WAIT_UNTIL(outbox_is_drained(bench->outbox));
            struct outbox_stats stats = stats_of(bench);
            assert_int_equal(stats.delivered + stats.dropped, END);
            assert_int_equal(bench->script.done[END - 1], 1);
            bench_free(bench);
            if (!fired) {
                break;
            }
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(what_memory_cannot_hold_waits_on_disk_in_order),
            cmocka_unit_test(a_restart_delivers_what_the_cut_says),
            cmocka_unit_test(a_cut_holds_what_is_not_acknowledged_of_a_batch),
            cmocka_unit_test(committed_checkpoints_free_the_backlog),
            cmocka_unit_test(the_backlog_of_the_checkpoint_before_is_kept),
            cmocka_unit_test(a_full_disk_keeps_records_in_memory_and_says_so),
            cmocka_unit_test(a_disk_that_fills_in_between_keeps_the_order),
            cmocka_unit_test(a_cut_holds_what_the_disk_refused_before),
            cmocka_unit_test(damage_in_the_backlog_is_counted),
            cmocka_unit_test(a_push_waits_for_no_sync),
            cmocka_unit_test(a_full_segment_whose_sync_failed_is_written_anew),
            cmocka_unit_test(full_segments_are_synced_in_pauses),
            cmocka_unit_test(no_crash_loses_a_record),
            cmocka_unit_test(no_failing_call_loses_a_record),
            cmocka_unit_test(no_failing_call_breaks_dropping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
