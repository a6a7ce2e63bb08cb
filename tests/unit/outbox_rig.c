#define _GNU_SOURCE
#include "outbox_rig.h"

#include "base/mem.h"
#include "failure.h"

#include <sched.h>
#include <stdio.h>

/* ---- the scripted driver ---- */

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
        script->is_open = true;
    }
    pthread_mutex_unlock(&script->lock);
    return !fails;
}

static void
script_close(void *instance)
{
    struct script *script = instance;
    script->is_open = false;
    script->closes++;
}

/* Answers with the key, while it is open. */
static bool
script_lookup(void *instance, struct bytes key, struct arena *arena, struct bytes *item,
              struct diag_list *diags)
{
    struct script *script = instance;
    script->lookups_wrong += !script->is_open;
    sched_yield();
    script->lookups_wrong += !script->is_open;
    *item = arena_copy(arena, key);
    return true;
}

static void
check_record(struct script *script, const struct sink_record *record)
{
    char expected[64];
    bool is_letter = record->dead_position != 0; /* has no original, and nobody to tell of errors */
    snprintf(expected, sizeof expected, "payload %u", (unsigned)record->id.position);
    script->letters += is_letter;
    script->seen_bytes_wrong += !bytes_equal_string(record->payload, expected) ||
                                !bytes_equal_string(record->stream, "mqtt") ||
                                !bytes_equal_string(record->rule, "hot") ||
                                !bytes_equal_string(record->target, "alerts/7") ||
                                !bytes_equal_string(record->source, "sensors/7/data") ||
                                !bytes_equal_string(record->params, "{\"qos\":1}") ||
                                record->hops != 3 ||
                                !bytes_equal_string(record->original, is_letter ? "" : ORIGINAL) ||
                                record->is_error_action !=
                                        (!is_letter && record->id.position % 4 == 3) ||
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
    bool is_refused = false;
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
        is_refused |= outcome->verdict == VERDICT_RETRY;
    }
    for (size_t i = 0; i < batch->count; i++) {
        uint64_t n = batch->records[i].id.position;
        struct outcome *outcome = &batch->outcomes[i];
        outcome->verdict = is_refused && script->is_whole ? VERDICT_RETRY : outcome->verdict;
        if (outcome->verdict == VERDICT_DONE) {
            script->done[n]++;
            script->done_order[script->done_count++ % RECORDS_MAX] = n;
        }
    }
    pthread_mutex_unlock(&script->lock);
}

static const struct driver driver_script = {
        .name = "script",
        .open = script_open,
        .close = script_close,
        .write = script_write,
        .lookup = script_lookup,
};

/* ---- the bench around an outbox ---- */

void
bench_open(struct bench *bench)
{
    struct diag_list diags = {0};
    if (!outbox_open(&bench->outbox, &bench->options, &diags)) {
        fail_msg("open: %.*s", BYTES_ARG(diag_first_error(&diags)));
    }
    diag_list_fini(&diags);
}

struct bench *
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

void
bench_free(struct bench *bench)
{
    outbox_close(bench->outbox, 0);
    failure_log_close(bench->options.failures);
    assert_int_equal(bench->script.seen_bytes_wrong, 0);
    crash_disk_free(bench->disk);
    pthread_mutex_destroy(&bench->script.lock);
    free(bench);
}

void
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
            .hops = 3,
            .params = BYTES("{\"qos\":1}"),
            .payload = bytes_of(text, (size_t)size),
            .original = BYTES(ORIGINAL),
            .is_error_action = n % 4 == 3,
    };
    if (bench->rejects_seconds && n % 2 == 1) {
        outbox_push_rejected(bench->outbox, &record, BYTES("odd"));
    } else {
        outbox_push(bench->outbox, &record);
    }
}

void
push_range(struct bench *bench, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n < to; n++) {
        push(bench, n);
    }
}

static void
assert_tally(void *context, const struct tally *tally)
{
    assert_true(tally_waiting(tally) >= 0);
}

struct outbox_stats
stats_of(const struct bench *bench)
{
    struct outbox_stats stats;
    struct tally total;
    outbox_audit(bench->outbox, &stats, &total, assert_tally, NULL);
    assert_int_equal(stats.pushed + stats.restored + stats.resubmitted,
                     stats.delivered + stats.rejected + stats.dropped + stats.given_up +
                             stats.lost + stats.queued_records + stats.backlog_records);
    assert_int_equal(total.pushed + total.error_pushed, stats.pushed);
    assert_int_equal(total.resubmitted, stats.resubmitted);
    assert_int_equal(total.delivered + total.error_delivered, stats.delivered);
    assert_int_equal(total.rejected + total.error_rejected, stats.rejected);
    assert_int_equal(total.dropped, stats.dropped + stats.given_up);
    uint64_t unread = stats.restored - total.restored; /* of which nobody knows the rule yet */
    assert_int_equal((uint64_t)tally_waiting(&total) + unread,
                     stats.lost + stats.queued_records + stats.backlog_records);
    return stats;
}

void
set_stuck(struct bench *bench, bool is_stuck)
{
    pthread_mutex_lock(&bench->script.lock);
    bench->script.is_stuck = is_stuck;
    pthread_mutex_unlock(&bench->script.lock);
}

void
accept_all(struct bench *bench)
{
    pthread_mutex_lock(&bench->script.lock);
    bench->script.is_stuck = false;
    bench->script.judge = NULL;
    pthread_mutex_unlock(&bench->script.lock);
}

unsigned
writes_of(struct bench *bench)
{
    pthread_mutex_lock(&bench->script.lock);
    unsigned writes = bench->script.writes;
    pthread_mutex_unlock(&bench->script.lock);
    return writes;
}

struct outbox_mark
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

void
must_commit(struct bench *bench, const struct outbox_mark *mark)
{
    struct diag_list diags = {0};
    assert_true(outbox_committed(bench->outbox, mark, &diags));
    diag_list_fini(&diags);
}

void
assert_order(const struct bench *bench, uint64_t from, uint64_t to)
{
    assert_int_equal(bench->script.order_count, to - from);
    for (size_t i = 0; i < bench->script.order_count; i++) {
        assert_int_equal(bench->script.order[i], from + i);
    }
}

void
restart(struct bench *bench, const struct outbox_mark *mark)
{
    outbox_close(bench->outbox, 0);
    bench->options.mark = *mark;
    memset(bench->script.attempts, 0, sizeof bench->script.attempts);
    memset(bench->script.done, 0, sizeof bench->script.done);
    bench_open(bench);
}
