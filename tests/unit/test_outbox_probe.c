/* A record that holds up the others, by a driver that keeps the order, and what looks like one. */
#define _GNU_SOURCE
#include "unit.h"

#include "outbox_rig.h"

#include <stdio.h>
#include <stdlib.h>

static enum verdict
refuse_seven(struct script *script, const struct sink_record *record, unsigned attempt)
{
    return record->id.position == 7 ? VERDICT_RETRY : VERDICT_DONE;
}

static enum verdict
refuse_seven_to_nine(struct script *script, const struct sink_record *record, unsigned attempt)
{
    return record->id.position >= 7 && record->id.position <= 9 ? VERDICT_RETRY : VERDICT_DONE;
}

static struct bench *
bench_of_batches(uint64_t seed, size_t records_max)
{
    struct bench *bench = bench_new(seed);
    bench->options.limits.records_max = records_max;
    bench->script.is_whole = true;
    return bench;
}

/* What was delivered came in the order of pushes. */
static void
assert_done_in_order(const struct bench *bench, size_t count)
{
    assert_int_equal(bench->script.done_count, count);
    for (size_t i = 1; i < count; i++) {
        assert_true(bench->script.done_order[i] > bench->script.done_order[i - 1]);
    }
}

/* The server answers 500 to each request that has the record, whatever else is in it. */
static void
a_record_that_is_never_taken_is_found_and_parked(void **state)
{
    static const size_t sizes[] = {1, 2, 10, 100};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct bench *bench = bench_of_batches(70 + i, sizes[i]);
        bench->script.judge = refuse_seven;
        bench_open(bench);
        push_range(bench, 0, 200);
        WAIT_UNTIL(outbox_is_drained(bench->outbox));
        struct outbox_stats stats = stats_of(bench);
        assert_int_equal(stats.delivered, 199);
        assert_int_equal(stats.parked, 1);
        assert_int_equal(stats.held_up_since_us, 0);
        assert_non_null(strstr(stats.last_error, "reason 7"));
        assert_done_in_order(bench, 199);
        assert_true(bench->script.attempts[7] > OUTBOX_REFUSALS_MAX + 5);
        bench_free(bench);
    }
}

static void
several_in_a_row_are_parked_one_by_one(void **state)
{
    for (size_t records_max = 1; records_max <= 10; records_max += 9) {
        struct bench *bench = bench_of_batches(75, records_max);
        bench->script.judge = refuse_seven_to_nine;
        bench->options.queue_max_bytes = 3000; /* the probes come from the disk, too */
        bench_open(bench);
        push_range(bench, 0, 100);
        WAIT_UNTIL(outbox_is_drained(bench->outbox));
        assert_int_equal(stats_of(bench).delivered, 97);
        assert_int_equal(stats_of(bench).parked, 3);
        assert_done_in_order(bench, 97);
        bench_free(bench);
    }
}

/* Nothing waits behind it: nobody is held up, and nothing tells what it is about. */
static void
a_record_alone_waits_until_another_comes(void **state)
{
    struct bench *bench = bench_of_batches(76, 10);
    bench->script.judge = refuse_seven;
    bench_open(bench);
    push(bench, 7);
    WAIT_UNTIL(writes_of(bench) > 40);
    assert_int_equal(stats_of(bench).parked, 0);
    assert_int_equal(stats_of(bench).held_up_since_us, 0);
    push_range(bench, 8, 40);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_int_equal(stats_of(bench).parked, 1);
    assert_int_equal(stats_of(bench).delivered, 32);
    bench_free(bench);
}

static void
it_is_said_what_holds_up_a_sink(void **state)
{
    struct bench *bench = bench_of_batches(77, 10);
    struct buf text = {0};
    bench->script.judge = refuse_seven;
    bench->options.retry_max_ms = 2000;
    bench_open(bench);
    push_range(bench, 0, 40);
    WAIT_UNTIL(stats_of(bench).held_up_refusals >= 2);
    struct outbox_stats stats = stats_of(bench);
    assert_true(stats.held_up_attempts > stats.held_up_refusals);
    assert_true(stats.held_up_since_us > 0 && stats.state == OUTBOX_WAITING);
    stats.held_up_since_us = 1764055862000000;
    stats.held_up_attempts = 14;
    stats.held_up_refusals = 3;
    outbox_print_held_up(&stats, &text);
    assert_string_equal(buf_string(&text),
                        "held up by one record since 2025-11-25T07:31:02Z: refused 14 times, of them "
                        "3 while others were taken; after 10 of these it becomes a dead letter");
    accept_all(bench); /* it is taken after all: late, not lost */
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_int_equal(stats_of(bench).delivered, 40);
    assert_int_equal(stats_of(bench).held_up_since_us, 0);
    buf_clear(&text);
    stats = stats_of(bench);
    outbox_print_held_up(&stats, &text);
    assert_int_equal(text.size, 0);
    buf_fini(&text);
    bench_free(bench);
}

/* ---- what it must not be taken for ---- */

static void
an_outage_parks_nothing_and_keeps_batches_whole(void **state)
{
    struct bench *bench = bench_of_batches(78, 10);
    bench->script.is_stuck = true;
    bench_open(bench);
    push_range(bench, 0, 1000);
    WAIT_UNTIL(writes_of(bench) > 300);
    assert_int_equal(stats_of(bench).rejected, 0);
    assert_int_equal(stats_of(bench).held_up_since_us, 0);
    set_stuck(bench, false);
    unsigned before = writes_of(bench); /* those in vain are not counted, however slow this is */
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_int_equal(stats_of(bench).delivered, 1000);
    assert_int_equal(stats_of(bench).parked, 0);
    assert_true(writes_of(bench) - before < 130); /* 100, and some that grow again */
    bench_free(bench);
}

static uint64_t
mix(uint64_t n)
{
    n = (n ^ n >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    n = (n ^ n >> 27) * UINT64_C(0x94d049bb133111eb);
    return n ^ n >> 31;
}

static enum verdict
refuse_every_second(struct script *script, const struct sink_record *record, unsigned attempt)
{
    return mix(script->writes) % 2 == 0 ? VERDICT_RETRY : VERDICT_DONE;
}

static void
an_upstream_that_fails_at_random_gets_everything(void **state)
{
    for (size_t records_max = 1; records_max <= 10; records_max += 9) {
        struct bench *bench = bench_of_batches(79, records_max);
        bench->script.judge = refuse_every_second;
        bench->options.retry_max_ms = 1;
        bench_open(bench);
        push_range(bench, 0, 1000);
        WAIT_UNTIL(outbox_is_drained(bench->outbox));
        assert_int_equal(stats_of(bench).delivered, 1000);
        assert_true(stats_of(bench).retried > 20);
        bench_free(bench);
    }
}

/* Of eight requests five fail as a whole, two are taken in part, one is taken. */
static enum verdict
refuse_all_or_some(struct script *script, const struct sink_record *record, unsigned attempt)
{
    uint64_t request = mix(script->writes) % 8;
    uint64_t part = mix(record->id.position * 4096 + script->writes) % 3;
    bool is_refused = request < 5 || (request < 7 && part == 0);
    return is_refused ? VERDICT_RETRY : VERDICT_DONE;
}

/* Each record fails often while others get through, in other requests. That says nothing of it. */
static void
requests_that_fail_as_a_whole_say_nothing_of_a_record(void **state)
{
    struct bench *bench = bench_new(82);
    bench->script.judge = refuse_all_or_some;
    bench->options.retry_max_ms = 1;
    bench_open(bench);
    push_range(bench, 0, 4000);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_int_equal(stats_of(bench).parked, 0);
    assert_int_equal(stats_of(bench).delivered, 4000);
    bench_free(bench);
}

/* Also by a driver that takes others behind it: set aside, it comes again alone, with a probe. */
static void
a_bad_record_is_parked_without_an_order_too(void **state)
{
    for (int is_whole = 0; is_whole < 2; is_whole++) {
        struct bench *bench = bench_new(83);
        bench->script.judge = refuse_seven;
        bench_open(bench);
        uint64_t n = 20;
        push_range(bench, 0, n);
        WAIT_UNTIL(stats_of(bench).delivered == n - 1); /* now it is known to keep no order */
        pthread_mutex_lock(&bench->script.lock);
        bench->script.is_whole = is_whole == 1;
        pthread_mutex_unlock(&bench->script.lock);
        for (; stats_of(bench).parked == 0; n++) {
            assert_true(n < RECORDS_MAX - 1);
            push(bench, n);
            usleep(300);
        }
        WAIT_UNTIL(outbox_is_drained(bench->outbox));
        assert_int_equal(stats_of(bench).parked, 1);
        assert_int_equal(stats_of(bench).delivered, n - 1);
        bench_free(bench);
    }
}

/* It says itself when to come again: it speaks of itself, and no other record is tried. */
static void
who_asks_for_a_pause_is_not_probed(void **state)
{
    struct bench *bench = bench_of_batches(80, 1);
    bench->script.is_stuck = true;
    bench->script.retry_after_ms = 1;
    bench_open(bench);
    push_range(bench, 0, 10);
    WAIT_UNTIL(writes_of(bench) > 40);
    set_stuck(bench, false);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_int_equal(bench->script.attempts[1], 1);
    assert_done_in_order(bench, 10);
    bench_free(bench);
}

/* Such a driver would take the older one for stored already. */
static void
a_driver_that_needs_the_order_is_not_probed(void **state)
{
    struct bench *bench = bench_of_batches(81, 1);
    struct driver driver = *bench->options.driver;
    driver.needs_order = true;
    bench->options.driver = &driver;
    bench->script.judge = refuse_seven;
    bench_open(bench);
    push_range(bench, 0, 20);
    WAIT_UNTIL(writes_of(bench) > 60);
    assert_int_equal(bench->script.attempts[8], 0);
    accept_all(bench);
    WAIT_UNTIL(outbox_is_drained(bench->outbox));
    assert_done_in_order(bench, 20);
    bench_free(bench);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_record_that_is_never_taken_is_found_and_parked),
            cmocka_unit_test(several_in_a_row_are_parked_one_by_one),
            cmocka_unit_test(a_record_alone_waits_until_another_comes),
            cmocka_unit_test(it_is_said_what_holds_up_a_sink),
            cmocka_unit_test(an_outage_parks_nothing_and_keeps_batches_whole),
            cmocka_unit_test(an_upstream_that_fails_at_random_gets_everything),
            cmocka_unit_test(requests_that_fail_as_a_whole_say_nothing_of_a_record),
            cmocka_unit_test(a_bad_record_is_parked_without_an_order_too),
            cmocka_unit_test(who_asks_for_a_pause_is_not_probed),
            cmocka_unit_test(a_driver_that_needs_the_order_is_not_probed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
