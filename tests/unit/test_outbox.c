/*
 * One sink's way out, with a driver that follows a script: order, retries, dead letters, what
 * waits on disk, and that nothing is lost when any call fails or the power goes.
 */
#define _GNU_SOURCE
#include "unit.h"

#include "base/mem.h"
#include "checkpoint.h"
#include "dead_letter.h"
#include "fault/crash_disk.h"
#include "fault/fault_os.h"
#include "outbox.h"
#include "store/journal.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum { RECORDS_MAX = 4096 };

/* ---- the scripted driver ---- */

struct script {
    pthread_mutex_t lock;
    /* What to do; read at each call. */
    enum verdict (*judge)(struct script *script, const struct sink_record *record,
                          unsigned attempt);
    int open_failures; /* opens that fail first; -1: all */
    enum diag_class open_class;
    bool is_stuck; /* write gives RETRY to all */
    int64_t retry_after_ms;
    int64_t write_ms; /* how long a write takes */
    /* What happened. */
    unsigned opens;
    unsigned closes;
    unsigned writes;
    size_t largest_batch;
    int64_t write_times_us[64];
    unsigned attempts[RECORDS_MAX];
    unsigned done[RECORDS_MAX];
    uint64_t order[RECORDS_MAX]; /* of first attempts in this life of the instance */
    size_t order_count;
    uint64_t seen_bytes_wrong;
};

static bool
script_open(void **out_instance, const struct driver_env *env, const void *options,
            const struct driver_declaration *declaration, struct diag_list *diags)
{
    struct script *script = (struct script *)(uintptr_t)options;
    pthread_mutex_lock(&script->lock);
    script->opens++;
    bool fails = script->open_failures != 0;
    script->open_failures -= script->open_failures > 0;
    script->order_count = 0;
    if (fails) {
        diag_error(diags, script->open_class, "no luck");
    } else {
        *out_instance = script;
    }
    pthread_mutex_unlock(&script->lock);
    return !fails;
}

static void
script_close(void *instance)
{
    struct script *script = instance;
    script->closes++;
}

static void
check_record(struct script *script, const struct sink_record *record)
{
    char expected[64];
    snprintf(expected, sizeof expected, "payload %u", (unsigned)record->id.position);
    script->seen_bytes_wrong += !bytes_equal_string(record->payload, expected) ||
                                !bytes_equal_string(record->stream, "mqtt") ||
                                !bytes_equal_string(record->rule, "hot") ||
                                !bytes_equal_string(record->target, "alerts/7") ||
                                !bytes_equal_string(record->source, "sensors/7/data") ||
                                record->time_us != (int64_t)record->id.position + 5 ||
                                record->id.output != record->id.position % 3;
}

static void
script_write(void *instance, struct batch *batch)
{
    struct script *script = instance;
    usleep((useconds_t)(script->write_ms * 1000));
    pthread_mutex_lock(&script->lock);
    if (script->writes < 64) {
        script->write_times_us[script->writes] = os_posix.mono_us(&os_posix);
    }
    script->writes++;
    script->largest_batch =
            batch->count > script->largest_batch ? batch->count : script->largest_batch;
    for (size_t i = 0; i < batch->count; i++) {
        const struct sink_record *record = &batch->records[i];
        uint64_t n = record->id.position;
        check(n < RECORDS_MAX);
        check_record(script, record);
        bool is_first = true;
        for (size_t k = script->order_count; k > 0 && is_first; k--) {
            is_first = script->order[k - 1] != n;
        }
        if (is_first) {
            script->order[script->order_count++] = n;
        }
        unsigned attempt = ++script->attempts[n];
        struct outcome *outcome = &batch->outcomes[i];
        outcome->verdict = script->is_stuck         ? VERDICT_RETRY
                           : script->judge == NULL ? VERDICT_DONE
                                                    : script->judge(script, record, attempt);
        outcome->retry_after_ms = script->retry_after_ms;
        outcome->reason = arena_printf(batch->arena, "reason %u", (unsigned)n);
        script->done[n] += outcome->verdict == VERDICT_DONE;
    }
    pthread_mutex_unlock(&script->lock);
}

static const struct driver driver_script = {
        .name = "script",
        .open = script_open,
        .close = script_close,
        .write = script_write,
};

/* ---- the bench around an outbox ---- */

struct bench {
    struct crash_disk *disk;
    struct fault_os fault;
    struct script script;
    struct outbox_options options;
    struct outbox *outbox;
};

static void
bench_open(struct bench *bench)
{
    struct diag_list diags = {0};
    if (!outbox_open(&bench->outbox, &bench->options, &diags)) {
        fail_msg("open: %.*s", BYTES_ARG(diag_first_error(&diags)));
    }
    diag_list_fini(&diags);
}

static struct bench *
bench_new(uint64_t seed)
{
    struct bench *bench = mem_new(struct bench);
    bench->disk = crash_disk_new(seed);
    fault_os_init(&bench->fault, crash_disk_os(bench->disk));
    pthread_mutex_init(&bench->script.lock, NULL);
    bench->options = (struct outbox_options){
            .os = &bench->fault.os,
            .name = "alerts",
            .dir = "sinks/alerts",
            .driver = &driver_script,
            .driver_options = &bench->script,
            .limits = {.records_max = 10, .bytes_max = 1 << 20, .timeout_ms = 1000},
            .queue_max_bytes = 1 << 20,
            .retry_min_ms = 1,
            .retry_max_ms = 4,
    };
    return bench;
}

static void
bench_free(struct bench *bench)
{
    outbox_close(bench->outbox, 0);
    assert_int_equal(bench->script.seen_bytes_wrong, 0);
    crash_disk_free(bench->disk);
    pthread_mutex_destroy(&bench->script.lock);
    free(bench);
}

static void
push(struct bench *bench, uint64_t n)
{
    char text[64];
    int size = snprintf(text, sizeof text, "payload %u", (unsigned)n);
    struct sink_record record = {
            .id = {n, (uint32_t)(n % 3)},
            .time_us = (int64_t)n + 5,
            .stream = BYTES("mqtt"),
            .rule = BYTES("hot"),
            .target = BYTES("alerts/7"),
            .source = BYTES("sensors/7/data"),
            .payload = bytes_of(text, (size_t)size),
    };
    outbox_push(bench->outbox, &record);
}

static void
push_range(struct bench *bench, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n < to; n++) {
        push(bench, n);
    }
}

static struct outbox_stats
stats_of(const struct bench *bench)
{
    struct outbox_stats stats;
    outbox_stats(bench->outbox, &stats);
    assert_int_equal(stats.pushed + stats.restored, stats.delivered + stats.rejected + stats.lost +
                                                            stats.queued_records +
                                                            stats.backlog_records);
    return stats;
}

#define WAIT_UNTIL(condition)                                                \
    do {                                                                     \
        int64_t until_us = os_posix.mono_us(&os_posix) + 10000000;           \
        while (!(condition)) {                                               \
            if (os_posix.mono_us(&os_posix) > until_us) {                    \
                fail_msg("in vain: %s", #condition);                         \
            }                                                                \
            usleep(200);                                                     \
        }                                                                    \
    } while (0)

static void
set_stuck(struct bench *bench, bool is_stuck)
{
    pthread_mutex_lock(&bench->script.lock);
    bench->script.is_stuck = is_stuck;
    pthread_mutex_unlock(&bench->script.lock);
}

static void
accept_all(struct bench *bench)
{
    pthread_mutex_lock(&bench->script.lock);
    bench->script.is_stuck = false;
    bench->script.judge = NULL;
    pthread_mutex_unlock(&bench->script.lock);
}

static unsigned
writes_of(struct bench *bench)
{
    pthread_mutex_lock(&bench->script.lock);
    unsigned writes = bench->script.writes;
    pthread_mutex_unlock(&bench->script.lock);
    return writes;
}

static struct outbox_mark
must_cut(struct bench *bench)
{
    struct outbox_mark mark = {0};
    struct diag_list diags = {0};
    if (!outbox_cut(bench->outbox, &mark, &diags)) {
        fail_msg("cut: %.*s", BYTES_ARG(diag_first_error(&diags)));
    }
    diag_list_fini(&diags);
    return mark;
}

static void
must_commit(struct bench *bench, const struct outbox_mark *mark)
{
    struct diag_list diags = {0};
    assert_true(outbox_committed(bench->outbox, mark, &diags));
    diag_list_fini(&diags);
}

/* First attempts came in the order of pushes, without a hole. */
static void
assert_order(const struct bench *bench, uint64_t from, uint64_t to)
{
    assert_int_equal(bench->script.order_count, to - from);
    for (size_t i = 0; i < bench->script.order_count; i++) {
        assert_int_equal(bench->script.order[i], from + i);
    }
}

static void
restart(struct bench *bench, const struct outbox_mark *mark)
{
    outbox_close(bench->outbox, 0);
    bench->options.mark = *mark;
    memset(bench->script.attempts, 0, sizeof bench->script.attempts);
    memset(bench->script.done, 0, sizeof bench->script.done);
    bench_open(bench);
}

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
    bench->script.open_failures = 0;
    restart(bench, &mark);
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

static void
a_record_without_letter_is_no_letter(void **state)
{
    struct dead_letter letter;
    struct record record = {.props = BYTES("")};
    assert_false(dead_letter_decode(&record, &letter));
    record.props = BYTES("\x02\0\0\0\0\0\0\0\0\0\0\0");
    assert_false(dead_letter_decode(&record, &letter));
    record.props = BYTES("\x01\0\0\0\0\0\0\0\0\0\0\0");
    assert_true(dead_letter_decode(&record, &letter));
    record.props = BYTES("\x01\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_false(dead_letter_decode(&record, &letter));
}

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
            struct checkpoint_stream stream = {BYTES("mqtt"), position};
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
    enum { END = 60 };
    static const enum crash_mode modes[] = {CRASH_KILL, CRASH_DROP, CRASH_TEAR};
    for (uint64_t seed = 0; seed < 6; seed++) {
        for (uint64_t stop = 0; stop < 110; stop += 1 + stop / 20) {
            struct bench *bench = bench_new(seed);
            bench->script.judge = moody;
            bench->options.queue_max_bytes = seed % 2 == 0 ? 1500 : 1 << 20;
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
            cmocka_unit_test(a_record_without_letter_is_no_letter),
            cmocka_unit_test(what_memory_cannot_hold_waits_on_disk_in_order),
            cmocka_unit_test(a_restart_delivers_what_the_cut_says),
            cmocka_unit_test(a_cut_holds_what_is_not_acknowledged_of_a_batch),
            cmocka_unit_test(committed_checkpoints_free_the_backlog),
            cmocka_unit_test(the_backlog_of_the_checkpoint_before_is_kept),
            cmocka_unit_test(a_full_disk_keeps_records_in_memory_and_says_so),
            cmocka_unit_test(a_disk_that_fills_in_between_keeps_the_order),
            cmocka_unit_test(a_cut_holds_what_the_disk_refused_before),
            cmocka_unit_test(damage_in_the_backlog_is_counted),
            cmocka_unit_test(closing_with_grace_delivers_first),
            cmocka_unit_test(no_crash_loses_a_record),
            cmocka_unit_test(no_failing_call_loses_a_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
