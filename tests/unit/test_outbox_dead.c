/*
 * Dead letters by hand: tried again, dropped, bounded; and what waits, given up by hand.
 */
#define _GNU_SOURCE
#include "unit.h"

#include "outbox_rig.h"

#include "dead_list.h"
#include "store/journal.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* ---- what is listed ---- */

struct listed {
    size_t count;
    uint64_t positions[RECORDS_MAX];
    uint64_t ids[RECORDS_MAX];
    char reason[100]; /* of the last */
};

static bool
note_letter(void *context, const struct dead_item *item)
{
    struct listed *listed = context;
    listed->positions[listed->count] = item->position;
    listed->ids[listed->count++] = item->letter.record.id.position;
    snprintf(listed->reason, sizeof listed->reason, "%.*s", BYTES_ARG(item->letter.reason));
    return true;
}

static struct listed
list_letters(const struct bench *bench)
{
    struct listed listed = {0};
    struct diag_list diags = {0};
    assert_true(dead_list_each(bench->options.os, "sinks/alerts/dead", note_letter, &listed,
                               &diags));
    diag_list_fini(&diags);
    return listed;
}

static uint64_t
retry(struct bench *bench, uint64_t from, uint64_t to)
{
    struct diag_list diags = {0};
    uint64_t count;
    assert_true(outbox_retry_dead(bench->outbox, from, to, &count, &diags));
    diag_list_fini(&diags);
    return count;
}

static uint64_t
drop(struct bench *bench, uint64_t from, uint64_t to)
{
    struct diag_list diags = {0};
    uint64_t count;
    assert_true(outbox_drop_dead(bench->outbox, from, to, &count, &diags));
    diag_list_fini(&diags);
    return count;
}

static enum verdict
reject_fives(struct script *script, const struct sink_record *record, unsigned attempt)
{
    return record->id.position % 5 == 0 ? VERDICT_REJECT : VERDICT_DONE;
}

/* 0, 5, 10, ... of 50 are letters. */
static struct bench *
bench_with_ten_letters(uint64_t seed)
{
    struct bench *bench = bench_new(seed);
    bench->script.judge = reject_fives;
    bench_open(bench);
    push_range(bench, 0, 50);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_int_equal(list_letters(bench).count, 10);
    return bench;
}

static void
without_a_folder_there_are_no_letters(void **state)
{
    struct bench *bench = bench_new(50);
    bench_open(bench);
    assert_int_equal(list_letters(bench).count, 0);
    assert_int_equal(retry(bench, 0, UINT64_MAX), 0);
    assert_int_equal(drop(bench, 0, UINT64_MAX), 0);
    assert_null(crash_disk_file(bench->disk, "sinks/alerts/dead/lock"));
    bench_free(bench);
}

/* ---- trying again ---- */

static void
a_letter_that_is_delivered_at_last_is_none_any_more(void **state)
{
    struct bench *bench = bench_with_ten_letters(51);
    struct listed before = list_letters(bench);
    accept_all(bench);
    assert_int_equal(retry(bench, before.positions[3], before.positions[3] + 1), 1);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_int_equal(bench->script.done[15], 1);
    assert_int_equal(bench->script.letters, 1);
    struct listed after = list_letters(bench);
    assert_int_equal(after.count, 9);
    assert_int_equal(after.ids[3], 20);
    assert_int_equal(after.positions[3], before.positions[4]); /* a name for ever */
    assert_int_equal(retry(bench, before.positions[3], before.positions[3] + 1), 0);

    assert_int_equal(retry(bench, 0, UINT64_MAX), 9);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_int_equal(list_letters(bench).count, 0);
    struct outbox_stats stats = stats_of(bench);
    assert_int_equal(stats.resubmitted, 10);
    assert_int_equal(stats.delivered, 50);
    struct outbox_mark mark = must_cut(bench);
    restart(bench, &mark);
    assert_int_equal(list_letters(bench).count, 0);
    bench_free(bench);
}

static void
a_letter_that_is_rejected_again_is_a_new_one(void **state)
{
    struct bench *bench = bench_with_ten_letters(52);
    struct listed before = list_letters(bench);
    assert_int_equal(retry(bench, 0, before.positions[2]), 2);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    struct listed after = list_letters(bench);
    assert_int_equal(after.count, 10);
    assert_int_equal(after.ids[0], 10);
    assert_int_equal(after.ids[8], 0);
    assert_int_equal(after.ids[9], 5);
    assert_int_equal(stats_of(bench).rejected, 12);
    bench_free(bench);
}

static void
a_letter_on_its_way_is_not_sent_twice(void **state)
{
    struct bench *bench = bench_with_ten_letters(53);
    accept_all(bench);
    set_stuck(bench, true);
    assert_int_equal(retry(bench, 0, UINT64_MAX), 10);
    assert_int_equal(retry(bench, 0, UINT64_MAX), 0);
    assert_int_equal(list_letters(bench).count, 10); /* until they are delivered */
    set_stuck(bench, false);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    for (size_t n = 0; n < 50; n++) {
        assert_int_equal(bench->script.done[n], 1);
    }
    assert_int_equal(list_letters(bench).count, 0);
    bench_free(bench);
}

/* Killed before it was delivered: it is a letter still, and if it waited in the backlog also that. */
static void
a_crash_while_letters_are_on_their_way_loses_none(void **state)
{
    for (int is_cut = 0; is_cut < 2; is_cut++) {
        struct bench *bench = bench_with_ten_letters(54);
        struct outbox_mark mark = must_cut(bench);
        accept_all(bench);
        set_stuck(bench, true);
        assert_int_equal(retry(bench, 0, UINT64_MAX), 10);
        mark = is_cut ? must_cut(bench) : mark;
        assert_int_equal(mark.records, is_cut ? 10 : 0);
        outbox_close(bench->outbox, 0);
        crash_disk_cut(bench->disk, CRASH_DROP);
        assert_int_equal(list_letters(bench).count, 10);
        bench->options.mark = mark;
        memset(bench->script.done, 0, sizeof bench->script.done);
        set_stuck(bench, false);
        bench_open(bench);
        if (!is_cut) {
            assert_int_equal(retry(bench, 0, UINT64_MAX), 10);
        }
        WAIT_UNTIL(outbox_is_drained(bench->outbox));
        for (size_t n = 0; n < 50; n += 5) {
            assert_int_equal(bench->script.done[n], 1);
        }
        assert_int_equal(list_letters(bench).count, 0);
        bench_free(bench);
    }
}

/* As before the restart, be it on disk, in memory or in the driver's hand. */
static void
a_letter_that_waits_after_a_restart_is_not_sent_twice(void **state)
{
    for (int is_small = 0; is_small < 2; is_small++) {
        struct bench *bench = bench_with_ten_letters(58);
        bench->options.queue_max_bytes = is_small ? 1500 : 1 << 20;
        accept_all(bench);
        set_stuck(bench, true);
        push_range(bench, 50, 70);
        assert_int_equal(retry(bench, 0, list_letters(bench).positions[7]), 7);
        struct outbox_mark mark = must_cut(bench);
        must_commit(bench, &mark);
        restart(bench, &mark);
        WAIT_UNTIL(stats_of(bench).queued_records > 0);
        assert_int_equal(retry(bench, 0, UINT64_MAX), 3); /* the others */
        assert_int_equal(retry(bench, 0, UINT64_MAX), 0);
        set_stuck(bench, false);
        WAIT_UNTIL(outbox_is_drained(bench->outbox));
        for (size_t n = 0; n < 50; n += 5) {
            assert_int_equal(bench->script.done[n], 1);
        }
        assert_int_equal(list_letters(bench).count, 0);
        bench_free(bench);
    }
}

static bool
note_hops(void *context, const struct dead_item *item)
{
    *(unsigned *)context = item->letter.record.hops;
    return true;
}

/* The circle guard goes on counting where it was. */
static void
a_letter_keeps_its_hops(void **state)
{
    struct bench *bench = bench_new(59);
    struct diag_list diags = {0};
    unsigned hops = 0;
    bench->script.judge = reject_fives;
    bench_open(bench);
    push(bench, 5);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_int_equal(retry(bench, 0, UINT64_MAX), 1); /* rejected again: through the queue, too */
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_true(dead_list_each(bench->options.os, "sinks/alerts/dead", note_hops, &hops, &diags));
    assert_int_equal(hops, 3);
    diag_list_fini(&diags);
    bench_free(bench);
}

static void
a_letter_of_the_first_version_is_read(void **state)
{
    static const char props[] = "\x01\x03web\x03hot\x04mqtt\x01t\x00\x02no\x29\x02\x54\x03\x02\x04";
    const struct record record = {.topic = BYTES("sensors/7"),
                                  .props = bytes_of(props, sizeof props - 1),
                                  .payload = BYTES("{}")};
    struct dead_letter letter;
    assert_true(dead_letter_decode(&record, &letter));
    assert_bytes(letter.reason, "no");
    assert_int_equal(letter.record.id.position, 41);
    assert_int_equal(letter.attempts, 3);
    assert_int_equal(letter.last_attempt_us, 2);
    assert_int_equal(letter.record.hops, 0);
}

static void
a_full_outbox_takes_no_letters(void **state)
{
    struct bench *bench = bench_with_ten_letters(55);
    struct diag_list diags = {0};
    uint64_t count;
    set_stuck(bench, true);
    push_range(bench, 50, 60);
    bench->options.backlog_max_bytes = 100;
    outbox_reconfigure(bench->outbox, &bench->options);
    assert_false(outbox_retry_dead(bench->outbox, 0, UINT64_MAX, &count, &diags));
    assert_int_equal(count, 0);
    assert_int_equal(diags.items[0].class, DIAG_BUSY);
    diag_list_fini(&diags);
    bench_free(bench);
}

/* ---- dropping ---- */

static void
dropped_letters_are_gone_and_their_space_too(void **state)
{
    struct bench *bench = bench_new(56);
    struct diag_list diags = {0};
    struct journal_extent extent;
    char payload[20000];
    memset(payload, 'x', sizeof payload);
    bench->script.judge = reject_fives;
    bench_open(bench);
    for (uint64_t n = 0; n < 1000; n += 5) { /* 4 MB */
        struct sink_record record = {.id = {n, 0}, .payload = bytes_of(payload, sizeof payload)};
        outbox_push(bench->outbox, &record);
    }
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    struct listed letters = list_letters(bench);
    assert_int_equal(letters.count, 200);
    assert_int_equal(drop(bench, letters.positions[150], letters.positions[151]), 1);
    assert_int_equal(list_letters(bench).count, 199);
    assert_int_equal(drop(bench, 0, letters.positions[100]), 100);
    letters = list_letters(bench);
    assert_int_equal(letters.count, 99);
    assert_int_equal(letters.ids[0], 500);
    assert_true(journal_extent(bench->options.os, "sinks/alerts/dead", &extent, &diags));
    assert_true(extent.bytes < 3500000);
    assert_int_equal(drop(bench, 0, UINT64_MAX), 99);
    assert_int_equal(list_letters(bench).count, 0);
    assert_true(journal_extent(bench->options.os, "sinks/alerts/dead", &extent, &diags));
    assert_int_equal(extent.segments, 1);
    push(bench, 1000);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    letters = list_letters(bench);
    assert_int_equal(letters.count, 1);
    assert_int_equal(letters.ids[0], 1000);
    bench->script.seen_bytes_wrong = 0;
    diag_list_fini(&diags);
    bench_free(bench);
}

static void
above_the_bound_the_oldest_letters_are_dropped_and_counted(void **state)
{
    struct bench *bench = bench_new(57);
    char payload[5000];
    memset(payload, 'x', sizeof payload);
    bench->script.judge = reject_fives;
    bench->options.dead_max_bytes = 100000;
    bench_open(bench);
    for (uint64_t n = 0; n < 1000; n += 5) {
        struct sink_record record = {.id = {n, 0}, .payload = bytes_of(payload, sizeof payload)};
        outbox_push(bench->outbox, &record);
    }
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    struct listed letters = list_letters(bench);
    assert_true(letters.count >= 15 && letters.count <= 20);
    assert_int_equal(letters.ids[letters.count - 1], 995);
    assert_int_equal(stats_of(bench).dead_dropped, 200 - letters.count);
    assert_int_equal(stats_of(bench).rejected, 200);
    bench->script.seen_bytes_wrong = 0;
    bench_free(bench);
}

static void
what_waits_can_be_given_up(void **state)
{
    for (int spilled = 0; spilled < 2; spilled++) {
        struct bench *bench = bench_new(58);
        struct diag_list diags = {0};
        uint64_t count;
        bench->options.queue_max_bytes = spilled ? 5000 : 1 << 20;
        set_stuck(bench, true);
        bench_open(bench);
        push_range(bench, 0, 300);
        WAIT_UNTIL(writes_of(bench) > 0);
        assert_true(outbox_drop_waiting(bench->outbox, &count, &diags));
        assert_int_equal(count, 300);
        WAIT_UNTIL(outbox_is_drained(bench->outbox));
        struct outbox_stats stats = stats_of(bench);
        assert_int_equal(stats.given_up, 300);
        assert_int_equal(must_cut(bench).records, 0);
        set_stuck(bench, false);
        push_range(bench, 300, 310);
        WAIT_UNTIL(outbox_is_drained(bench->outbox));
        assert_int_equal(stats_of(bench).delivered, 10);
        diag_list_fini(&diags);
        bench_free(bench);
    }
}

/* ---- failing calls ---- */

static void
no_failing_call_loses_a_letter(void **state)
{
    for (enum fault_call call = 0; call < FAULT_CALLS; call++) {
        for (uint64_t nth = 1; nth < 40; nth++) {
            struct bench *bench = bench_with_ten_letters(60 + nth);
            struct diag_list diags = {0};
            uint64_t count, dropped = 0;
            uint64_t middle = list_letters(bench).positions[5];
            accept_all(bench);
            fault_os_arm(&bench->fault, call, nth, nth % 3 == 0 ? EIO : ENOSPC);
            bool is_retried = outbox_retry_dead(bench->outbox, 0, middle, &count, &diags);
            bool is_dropped = outbox_drop_dead(bench->outbox, middle, UINT64_MAX, &dropped, &diags);
            WAIT_UNTIL(outbox_is_drained(bench->outbox));
            bool fired = bench->fault.fired;
            fault_os_disarm(&bench->fault);
            assert_true(fired || (is_retried && is_dropped));
            struct listed letters = list_letters(bench);
            for (uint64_t n = 0; n < 25; n += 5) { /* delivered, or listed, or both */
                bool is_listed = false;
                for (size_t i = 0; i < letters.count; i++) {
                    is_listed |= letters.ids[i] == n;
                }
                assert_true(is_listed || bench->script.done[n] == 1);
            }
            retry(bench, 0, middle);
            WAIT_UNTIL(outbox_is_drained(bench->outbox));
            for (uint64_t n = 0; n < 25; n += 5) {
                assert_true(bench->script.done[n] >= 1);
            }
            diag_list_fini(&diags);
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
            cmocka_unit_test(without_a_folder_there_are_no_letters),
            cmocka_unit_test(a_letter_that_is_delivered_at_last_is_none_any_more),
            cmocka_unit_test(a_letter_that_is_rejected_again_is_a_new_one),
            cmocka_unit_test(a_letter_on_its_way_is_not_sent_twice),
            cmocka_unit_test(a_crash_while_letters_are_on_their_way_loses_none),
            cmocka_unit_test(a_letter_that_waits_after_a_restart_is_not_sent_twice),
            cmocka_unit_test(a_letter_keeps_its_hops),
            cmocka_unit_test(a_letter_of_the_first_version_is_read),
            cmocka_unit_test(a_full_outbox_takes_no_letters),
            cmocka_unit_test(dropped_letters_are_gone_and_their_space_too),
            cmocka_unit_test(above_the_bound_the_oldest_letters_are_dropped_and_counted),
            cmocka_unit_test(what_waits_can_be_given_up),
            cmocka_unit_test(no_failing_call_loses_a_letter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
