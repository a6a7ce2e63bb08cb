/*
 * The core with a real journal, real outboxes and the null driver; no broker, no child process.
 */
#define _GNU_SOURCE
#include "unit.h"

#include "engine.h"
#include "failure.h"
#include "message.h"

#include "base/mem.h"
#include "base/os.h"

#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

struct bench {
    char dir[64];
    char journal_dir[128];
    struct journal *journal;
    uint64_t position_least;
    int64_t checkpoint_ms;
    struct sink_context context;
    struct engine *engine;
    struct ruleset *ruleset;
    struct sink *sinks[4];
    size_t sink_count;
    struct sink *topic_sink;
    struct diag_list diags;
};

static uint64_t
tail(void *context)
{
    return journal_tail(((struct bench *)context)->journal);
}

static bool
prepare_wait(void *context, uint64_t seen)
{
    return tail(context) <= seen;
}

static void
woken(void *context)
{
}

static void
wake(void *context)
{
    engine_wake(((struct bench *)context)->engine);
}

static struct stream_place
stream_place(void *context, const char *stream)
{
    return engine_stream_place(((struct bench *)context)->engine, stream);
}

static void
open_journal(struct bench *bench)
{
    struct journal_options options = {
            .os = &os_posix,
            .dir = bench->journal_dir,
            .segment_bytes = 65536,
            .record_max_bytes = 1 << 20,
            .sync = JOURNAL_SYNC_NEVER,
            .position_least = bench->position_least,
    };
    assert_true(journal_open(&bench->journal, &options, &bench->diags));
}

static void
open_engine(struct bench *bench)
{
    struct engine_options options = {
            .os = &os_posix,
            .data_dir = bench->dir,
            .checkpoint_interval_ms = bench->checkpoint_ms,
            .origin = {.account_id = "123", .principal_property = "by", .gateway = "test"},
            .source = {.dir = bench->journal_dir,
                       .tail = tail,
                       .prepare_wait = prepare_wait,
                       .wake_fd = -1,
                       .woken = woken,
                       .context = bench},
    };
    assert_true(engine_new(&bench->engine, &options, &bench->diags));
    bench->context = (struct sink_context){
            .os = &os_posix,
            .data_dir = bench->dir,
            .queue_max_bytes = 1 << 20,
            .retry_max_ms = 1000,
            .segment_bytes = 65536,
            .wake = wake,
            .stream_place = stream_place,
            .wake_context = bench,
            .failures = engine_failures(bench->engine),
    };
    bench->sink_count = 0;
}

static const struct outbox_mark *
mark_of(struct bench *bench, const char *name, struct outbox_mark *mark)
{
    return engine_sink_mark(bench->engine, name, mark) ? mark : NULL;
}

/* Loads a text as the generation to run, with a sink for each of its tables. */
static void
run_rules(struct bench *bench, const char *sql)
{
    struct ruleset *old = bench->ruleset;
    struct outbox_mark mark;
    if (bench->sink_count == 0) {
        assert_true(sink_open_builtin(&bench->topic_sink, &bench->context, "topic",
                                      driver_find(BYTES("null")), mark_of(bench, "topic", &mark),
                                      &bench->diags));
        bench->sinks[bench->sink_count++] = bench->topic_sink;
    }
    assert_true(ruleset_load_text(&bench->ruleset, BYTES("test.sql"), bytes_of_string(sql),
                                  &bench->diags));
    for (size_t i = 0; i < bench->ruleset->relation_count; i++) {
        struct ruleset_relation *relation = &bench->ruleset->relations[i];
        char *name = bytes_to_string(relation->declared->name);
        assert_true(sink_open(&relation->sink, &bench->context, relation,
                              mark_of(bench, name, &mark), &bench->diags));
        bench->sinks[bench->sink_count++] = relation->sink;
        free(name);
    }
    engine_swap(bench->engine, bench->ruleset, bench->sinks, bench->sink_count,
                bench->topic_sink);
    ruleset_free(old);
}

static void
publish(struct bench *bench, const char *topic, const char *payload)
{
    struct record record = {.time_us = os_posix.wall_us(&os_posix),
                            .topic = bytes_of_string(topic),
                            .payload = bytes_of_string(payload)};
    assert_true(journal_append(bench->journal, &record, &bench->diags));
    engine_wake(bench->engine);
}

static struct outbox_stats
stats_of(const struct sink *sink)
{
    struct outbox_stats stats;
    outbox_stats(sink->outbox, &stats);
    return stats;
}

/* Waits until the sink has delivered that many, for at most 10 s. */
static void
await_delivered(const struct sink *sink, uint64_t count)
{
    for (int i = 0; i < 2000 && stats_of(sink).delivered < count; i++) {
        usleep(5000);
    }
    assert_int_equal(stats_of(sink).delivered, count);
}

static void
await_records(struct bench *bench, uint64_t count)
{
    struct engine_stats stats = {0};
    for (int i = 0; i < 2000 && stats.records < count; i++) {
        usleep(5000);
        engine_stats(bench->engine, &stats);
    }
    assert_int_equal(stats.records, count);
}

static void
close_engine(struct bench *bench, bool commit)
{
    engine_stop(bench->engine);
    for (size_t i = 0; i < bench->sink_count; i++) {
        outbox_stop(bench->sinks[i]->outbox, 1000);
    }
    if (commit) {
        engine_commit(bench->engine);
    }
    engine_free(bench->engine);
    for (size_t i = 0; i < bench->sink_count; i++) {
        sink_close(bench->sinks[i], 0);
    }
    ruleset_free(bench->ruleset);
    bench->ruleset = NULL;
}

static int
remove_entry(const char *path, const struct stat *status, int type, struct FTW *at)
{
    return remove(path);
}

static int
set_up(void **state)
{
    struct bench *bench = mem_new(struct bench);
    bench->checkpoint_ms = 20;
    snprintf(bench->dir, sizeof bench->dir, "/tmp/headgate-unit-XXXXXX");
    if (mkdtemp(bench->dir) == NULL) {
        return -1;
    }
    snprintf(bench->journal_dir, sizeof bench->journal_dir, "%s/journal/mqtt", bench->dir);
    open_journal(bench);
    open_engine(bench);
    *state = bench;
    return 0;
}

static int
tear_down(void **state)
{
    struct bench *bench = *state;
    close_engine(bench, false);
    journal_close(bench->journal);
    diag_list_fini(&bench->diags);
    nftw(bench->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(bench);
    return 0;
}

static const char TWO_TARGETS[] =
        "CREATE TABLE n WITH ('connector' = 'null');"
        "CREATE RULE hot AS INSERT INTO n, 'out/${topic(2)}' SELECT v FROM 'a/+' WHERE v > 1;";

static void
rows_reach_every_target_and_are_counted(void **state)
{
    struct bench *bench = *state;
    run_rules(bench, TWO_TARGETS);
    publish(bench, "a/1", "{\"v\":2}");
    publish(bench, "a/2", "{\"v\":1}");
    publish(bench, "a/3", "{\"w\":5}");
    publish(bench, "a/4", "not json");
    publish(bench, "b/1", "{\"v\":2}");
    await_records(bench, 5);
    await_delivered(bench->sinks[0], 1);
    await_delivered(bench->sinks[1], 1);
    const struct rule_counters *counters = bench->ruleset->rules[0].counters;
    assert_int_equal(counters->messages, 4);
    assert_int_equal(counters->matched, 1);
    assert_int_equal(counters->filtered, 1);
    assert_int_equal(counters->undefined, 2);
    assert_int_equal(counters->not_json, 1);
    assert_int_equal(counters->rows, 2);
}

static void
a_new_generation_runs_from_the_next_record_on(void **state)
{
    struct bench *bench = *state;
    run_rules(bench, TWO_TARGETS);
    publish(bench, "a/1", "{\"v\":2}");
    await_records(bench, 1);
    run_rules(bench, "CREATE TABLE m WITH ('connector' = 'null');"
                     "CREATE RULE all AS INSERT INTO m SELECT * FROM 'a/#';");
    publish(bench, "a/1", "{\"v\":1}");
    await_delivered(bench->sinks[2], 1);
    assert_int_equal(stats_of(bench->sinks[1]).pushed, 1);
}

/* After a clean stop nothing is seen twice; after a crash everything since the checkpoint is. */
static void
a_restart_goes_on_where_the_checkpoint_was(void **state)
{
    struct bench *bench = *state;
    run_rules(bench, TWO_TARGETS);
    publish(bench, "a/1", "{\"v\":2}");
    await_delivered(bench->sinks[1], 1);
    close_engine(bench, true);

    open_engine(bench);
    run_rules(bench, TWO_TARGETS);
    publish(bench, "a/1", "{\"v\":3}");
    await_records(bench, 1);
    await_delivered(bench->sinks[1], 1);
}

/*
 * Gives table n, which takes its time for each record, `count` of them, and stops cleanly while
 * most still wait; returns how many it had taken.
 */
static uint64_t
stop_with_waiting_records(struct bench *bench, unsigned count)
{
    run_rules(bench, "CREATE TABLE n WITH ('connector' = 'null', 'delay' = '300ms',"
                     "                     'batch.records' = '1');"
                     "INSERT INTO n SELECT v FROM 'a/+';");
    for (unsigned i = 0; i < count; i++) {
        publish(bench, "a/1", "{\"v\":1}");
    }
    await_records(bench, count);
    engine_stop(bench->engine);
    outbox_stop(bench->sinks[1]->outbox, 0);
    uint64_t delivered = stats_of(bench->sinks[1]).delivered;
    close_engine(bench, true);
    return delivered;
}

static void
what_a_slow_sink_holds_survives_a_stop(void **state)
{
    struct bench *bench = *state;
    uint64_t delivered = stop_with_waiting_records(bench, 20);
    assert_true(delivered < 10);

    open_engine(bench);
    run_rules(bench, "CREATE TABLE n WITH ('connector' = 'null');");
    await_delivered(bench->sinks[1], 20 - delivered);
    assert_int_equal(stats_of(bench->sinks[1]).restored, 20 - delivered);
}

/* The journal's folder is emptied while the gateway is down: what comes then is not passed over. */
static void
a_lost_journal_goes_on_behind_what_was_read(void **state)
{
    struct bench *bench = *state;
    run_rules(bench, TWO_TARGETS);
    for (int i = 0; i < 10; i++) {
        publish(bench, "a/1", "{\"v\":2}");
    }
    await_delivered(bench->sinks[1], 10);
    close_engine(bench, true);
    journal_close(bench->journal);
    nftw(bench->journal_dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);

    open_engine(bench);
    bench->position_least = engine_stream_position(bench->engine, "mqtt");
    assert_true(bench->position_least > 0);
    open_journal(bench);
    assert_int_equal(bench->diags.count, 1); /* it says so */
    run_rules(bench, TWO_TARGETS);
    publish(bench, "a/1", "{\"v\":2}");
    await_delivered(bench->sinks[1], 1);
}

static void
an_edited_table_takes_over_what_waits(void **state)
{
    struct bench *bench = *state;
    run_rules(bench, "CREATE TABLE n WITH ('connector' = 'null', 'delay' = '400ms',"
                     "                     'batch.records' = '1');"
                     "INSERT INTO n SELECT v FROM 'a/+';");
    for (int i = 0; i < 50; i++) {
        publish(bench, "a/1", "{\"v\":1}");
    }
    await_records(bench, 50);
    struct ruleset *edited;
    assert_true(ruleset_load_text(&edited, BYTES("edited.sql"),
                                  BYTES("CREATE TABLE n WITH ('connector' = 'null');"
                                        "INSERT INTO n SELECT v FROM 'a/+';"),
                                  &bench->diags));
    struct sink *sink = bench->sinks[1];
    assert_false(sink_is_current(sink, &edited->relations[0]));
    sink_reconfigure(sink, &edited->relations[0]);
    assert_true(sink_is_current(sink, &edited->relations[0]));
    edited->relations[0].sink = sink;
    engine_swap(bench->engine, edited, bench->sinks, bench->sink_count, bench->topic_sink);
    ruleset_free(bench->ruleset);
    bench->ruleset = edited;
    await_delivered(sink, 50); /* the old way would take 20 s */
    sink_settle(sink);
    assert_null(sink->setup->older);
}

struct absent {
    unsigned count;
    uint64_t records;
};

static void
note_absent(void *context, struct bytes name, uint64_t records)
{
    struct absent *absent = context;
    assert_bytes(name, "n");
    absent->count++;
    absent->records = records;
}

static void
what_waits_for_an_undeclared_table_is_said(void **state)
{
    struct bench *bench = *state;
    struct absent absent = {0};
    uint64_t waiting = 20 - stop_with_waiting_records(bench, 20);

    open_engine(bench);
    run_rules(bench, "INSERT INTO 'out' SELECT * FROM 'b';");
    engine_each_absent_sink(bench->engine, note_absent, &absent);
    assert_int_equal(absent.count, 1);
    assert_int_equal(absent.records, waiting);
}

/* A sink that delivered everything and left must not bring back what its old mark says. */
static void
a_closed_sink_leaves_no_mark(void **state)
{
    struct bench *bench = *state;
    struct absent absent = {0};
    run_rules(bench, "CREATE TABLE n WITH ('connector' = 'null', 'delay' = '100ms',"
                     "                     'batch.records' = '1');"
                     "INSERT INTO n SELECT v FROM 'a/+';");
    for (int i = 0; i < 5; i++) {
        publish(bench, "a/1", "{\"v\":1}");
    }
    struct outbox_mark mark = {0};
    for (int i = 0; i < 1000 && mark.records == 0; i++) {
        usleep(1000);
        engine_sink_mark(bench->engine, "n", &mark);
    }
    assert_true(mark.records > 0);
    engine_stop(bench->engine); /* no checkpoint sees the sink empty */
    await_delivered(bench->sinks[1], 5);
    struct ruleset *without;
    assert_true(ruleset_load_text(&without, BYTES("w.sql"),
                                  BYTES("INSERT INTO 'o' SELECT * FROM 'b';"), &bench->diags));
    engine_swap(bench->engine, without, bench->sinks, 1, bench->topic_sink);
    engine_each_absent_sink(bench->engine, note_absent, &absent);
    assert_int_equal(absent.count, 0);
    sink_close(bench->sinks[1], 0);
    bench->sink_count = 1;
    ruleset_free(bench->ruleset);
    bench->ruleset = without;
}

static void
a_message_that_goes_round_in_a_circle_is_stopped(void **state)
{
    struct bench *bench = *state;
    struct buf encoded = {0};
    const struct message_property hops = {BYTES(MESSAGE_HOPS_PROPERTY), BYTES("5")};
    const struct message_props props = {.user = &hops, .user_count = 1};
    message_props_encode(&props, &encoded);
    run_rules(bench, TWO_TARGETS);
    struct record record = {.topic = BYTES("a/1"), .payload = BYTES("{\"v\":2}"),
                            .props = buf_bytes(&encoded)};
    assert_true(journal_append(bench->journal, &record, &bench->diags));
    engine_wake(bench->engine);
    await_records(bench, 1);
    assert_int_equal(bench->ruleset->rules[0].counters->failed, 1);
    assert_int_equal(bench->ruleset->rules[0].counters->rows, 0);
    buf_fini(&encoded);
}

/* ---- error actions ---- */

/* sinks: 0 topic, 1 s (rejects rows without a measure), 2 e */
static const char WITH_ERROR_ACTION[] =
        "CREATE TABLE s WITH ('connector' = 'timeseries');"
        "CREATE TABLE e WITH ('connector' = 'null');"
        "CREATE RULE r WITH ('on_error' = 'e') AS "
        "INSERT INTO s, 'out/${t}' SELECT v FROM 'a/+';";

static struct tally
tally_at(const struct bench *bench, size_t sink)
{
    struct tally tally;
    outbox_tally(bench->sinks[sink]->outbox, BYTES("r"), &tally);
    return tally;
}

static void
a_rejected_record_runs_the_error_action(void **state)
{
    struct bench *bench = *state;
    run_rules(bench, WITH_ERROR_ACTION);
    publish(bench, "a/1", "{\"v\":1,\"t\":\"x\"}");
    publish(bench, "a/1", "{\"v\":\"no measure\",\"t\":\"x\"}");
    await_delivered(bench->sinks[2], 1);
    assert_int_equal(tally_at(bench, 1).delivered, 1);
    assert_int_equal(tally_at(bench, 1).rejected, 1);
    assert_int_equal(tally_at(bench, 2).error_delivered, 1);
    assert_int_equal(tally_at(bench, 2).delivered, 0);
    await_delivered(bench->sinks[0], 2);
}

/* The topic of one of the targets is no topic: the others get the row, the error action is told. */
static void
a_target_that_fails_at_once_runs_the_error_action(void **state)
{
    struct bench *bench = *state;
    run_rules(bench, WITH_ERROR_ACTION);
    publish(bench, "a/1", "{\"v\":1,\"t\":\"+\"}");
    await_delivered(bench->sinks[2], 1);
    await_delivered(bench->sinks[1], 1);
    for (int i = 0; i < 2000 && tally_at(bench, 0).rejected == 0; i++) {
        usleep(5000);
    }
    assert_int_equal(tally_at(bench, 0).rejected, 1);
    assert_int_equal(stats_of(bench->sinks[0]).rejected, 1);
    assert_int_equal(bench->ruleset->rules[0].counters->matched, 1);
    assert_int_equal(bench->ruleset->rules[0].counters->failed, 0);
    assert_int_equal(bench->ruleset->rules[0].counters->rows, 2);
    assert_int_equal(tally_at(bench, 2).error_delivered, 1);
}

static void
an_error_action_that_fails_tells_nobody(void **state)
{
    struct bench *bench = *state;
    run_rules(bench, "CREATE TABLE e (v DOUBLE) WITH ('connector' = 'timeseries');"
                     "CREATE RULE r WITH ('on_error' = 'e') AS "
                     "INSERT INTO 'out/${t}' SELECT v FROM 'a/+';"
                     "CREATE RULE q WITH ('on_error' = '${t}') AS "
                     "INSERT INTO 'out/${t}' SELECT v FROM 'b/+';");
    publish(bench, "b/1", "{\"t\":\"+\"}");
    publish(bench, "a/1", "{\"t\":\"+\"}");
    for (int i = 0; i < 2000 && tally_at(bench, 1).error_rejected == 0; i++) {
        usleep(5000);
    }
    assert_int_equal(tally_at(bench, 1).error_rejected, 1); /* it has no member v */
    assert_int_equal(bench->ruleset->rules[1].counters->error_failed, 1);
    assert_int_equal(failure_log_tail(engine_failures(bench->engine)), 0);
    assert_int_equal(stats_of(bench->sinks[0]).pushed, 2);
}

/* The time series lets rows gather for a second if no checkpoint is near. */
static void
reject_after_stop(struct bench *bench)
{
    close_engine(bench, false);
    bench->checkpoint_ms = 60000;
    open_engine(bench);
    run_rules(bench, WITH_ERROR_ACTION);
    publish(bench, "a/1", "{\"v\":\"no measure\",\"t\":\"x\"}");
    await_records(bench, 1);
    engine_stop(bench->engine);
    assert_int_equal(tally_at(bench, 1).rejected, 0);
    close_engine(bench, true);
    bench->checkpoint_ms = 20;
}

/* Rejected when the engine had stopped already: its next start tells the error action. */
static void
a_failure_survives_a_stop(void **state)
{
    struct bench *bench = *state;
    reject_after_stop(bench);

    open_engine(bench);
    run_rules(bench, WITH_ERROR_ACTION);
    await_delivered(bench->sinks[2], 1);
    close_engine(bench, true);

    open_engine(bench);
    assert_true(engine_stream_position(bench->engine, FAILURE_STREAM) > 0);
    run_rules(bench, WITH_ERROR_ACTION);
    publish(bench, "a/1", "{\"v\":1,\"t\":\"x\"}");
    await_delivered(bench->sinks[1], 1);
    assert_int_equal(stats_of(bench->sinks[2]).pushed, 0);
}

static void
a_failure_of_a_rule_that_is_gone_is_passed_over(void **state)
{
    struct bench *bench = *state;
    reject_after_stop(bench);

    open_engine(bench);
    run_rules(bench, "CREATE TABLE e WITH ('connector' = 'null');"
                     "INSERT INTO e SELECT * FROM 'b';");
    publish(bench, "b", "{}");
    await_delivered(bench->sinks[1], 1);
    await_records(bench, 2);
    assert_int_equal(stats_of(bench->sinks[1]).pushed, 1);
}

static void
rules_see_who_published(void **state)
{
    struct bench *bench = *state;
    struct buf encoded = {0};
    const struct message_property user = {BYTES("by"), BYTES("user-7")};
    const struct message_props props = {
            .content_type = BYTES("a/b"), .user = &user, .user_count = 1};
    message_props_encode(&props, &encoded);
    run_rules(bench, "CREATE TABLE t WITH ('connector' = 'null'); INSERT INTO t SELECT * FROM '#' "
                     "WHERE principal() = 'user-7' AND get_mqtt_property('content_type') = 'a/b' "
                     "AND accountid() = '123' AND length(traceid()) = 36 AND clientid() = 'n/a';");
    publish(bench, "a/1", "{}");
    struct record record = {
            .topic = BYTES("a/1"), .payload = BYTES("{}"), .props = buf_bytes(&encoded)};
    assert_true(journal_append(bench->journal, &record, &bench->diags));
    engine_wake(bench->engine);
    await_records(bench, 2);
    assert_int_equal(bench->ruleset->rules[0].counters->undefined, 1);
    assert_int_equal(bench->ruleset->rules[0].counters->matched, 1);
    buf_fini(&encoded);
}

static void
committed_segments_are_given_back(void **state)
{
    struct bench *bench = *state;
    struct journal_extent extent;
    run_rules(bench, TWO_TARGETS);
    for (int i = 0; i < 5000; i++) {
        publish(bench, "a/1", "{\"v\":2,\"text\":\"about a hundred bytes, so that five thousand of "
                              "them fill several segments of this log\"}");
    }
    await_delivered(bench->sinks[1], 5000);
    for (int i = 0; i < 400; i++) {
        publish(bench, "b/1", "{}"); /* moves the position, so that more checkpoints follow */
        usleep(5000);
        assert_true(journal_extent(&os_posix, bench->journal_dir, &extent, &bench->diags));
        if (extent.segments <= 2) {
            return;
        }
    }
    fail_msg("%u segments are still there", extent.segments);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
            TEST(rows_reach_every_target_and_are_counted),
            TEST(a_new_generation_runs_from_the_next_record_on),
            TEST(a_restart_goes_on_where_the_checkpoint_was),
            TEST(what_a_slow_sink_holds_survives_a_stop),
            TEST(a_lost_journal_goes_on_behind_what_was_read),
            TEST(an_edited_table_takes_over_what_waits),
            TEST(what_waits_for_an_undeclared_table_is_said),
            TEST(a_closed_sink_leaves_no_mark),
            TEST(a_message_that_goes_round_in_a_circle_is_stopped),
            TEST(rules_see_who_published),
            TEST(a_rejected_record_runs_the_error_action),
            TEST(a_target_that_fails_at_once_runs_the_error_action),
            TEST(an_error_action_that_fails_tells_nobody),
            TEST(a_failure_survives_a_stop),
            TEST(a_failure_of_a_rule_that_is_gone_is_passed_over),
            TEST(committed_segments_are_given_back),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
