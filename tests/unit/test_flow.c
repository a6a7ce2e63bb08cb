/*
 * Stream SQL in the engine: windows over crashes, edits and a clock that is the test's.
 *
 * Rows go to durable streams, where they are read back. A crash is an engine that is freed without
 * a checkpoint; what its sinks had in memory is lost with it.
 */
#define _GNU_SOURCE
#include "unit.h"

#include "engine.h"

#include "base/mem.h"
#include "base/os.h"

#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

#define BEGIN_US INT64_C(1772323200000000) /* 2026-03-01T00:00:00Z */

struct bench {
    struct os os; /* first: with a wall clock that stands until the test moves it */
    _Atomic int64_t wall_us;
    char dir[64];
    char journal_dir[128];
    int64_t checkpoint_ms;
    struct journal *journal;
    struct sink_context context;
    struct engine *engine;
    struct ruleset *ruleset;
    struct sink *sinks[16];
    size_t sink_count;
    struct diag_list diags;
};

static int64_t
wall_us(const struct os *os)
{
    return atomic_load(&((struct bench *)(uintptr_t)os)->wall_us);
}

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
            .os = &bench->os,
            .dir = bench->journal_dir,
            .segment_bytes = 65536,
            .record_max_bytes = 1 << 20,
            .sync = JOURNAL_SYNC_NEVER,
    };
    assert_true(journal_open(&bench->journal, &options, &bench->diags));
}

static void
open_engine(struct bench *bench)
{
    struct engine_options options = {
            .os = &bench->os,
            .data_dir = bench->dir,
            .checkpoint_interval_ms = bench->checkpoint_ms,
            .source = {.dir = bench->journal_dir,
                       .tail = tail,
                       .prepare_wait = prepare_wait,
                       .wake_fd = -1,
                       .woken = woken,
                       .context = bench},
    };
    assert_true(engine_new(&bench->engine, &options, &bench->diags));
    bench->context = (struct sink_context){
            .os = &bench->os,
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

static struct sink *
find_sink(struct bench *bench, struct bytes name)
{
    for (size_t i = 0; i < bench->sink_count; i++) {
        if (bytes_equal_string(name, bench->sinks[i]->name)) {
            return bench->sinks[i];
        }
    }
    return NULL;
}

static const struct outbox_mark *
mark_of(struct bench *bench, const char *name, struct outbox_mark *mark)
{
    return engine_sink_mark(bench->engine, name, mark) ? mark : NULL;
}

static struct sink *
sink_of(struct bench *bench, struct ruleset_relation *relation)
{
    struct bytes name = relation_sink_name(relation->declared);
    struct sink *sink = find_sink(bench, name);
    if (relation->relation.driver->write == NULL) {
        return bench->sinks[0];
    }
    if (sink == NULL) {
        struct outbox_mark mark;
        char *string = bytes_to_string(name);
        assert_true(sink_open(&sink, &bench->context, relation, mark_of(bench, string, &mark),
                              &bench->diags));
        bench->sinks[bench->sink_count++] = sink;
        free(string);
    }
    return sink;
}

/* Loads a text as the generation to run; the first sink publishes to nobody. */
static void
run_rules(struct bench *bench, const char *sql)
{
    struct ruleset *old = bench->ruleset;
    struct outbox_mark mark;
    if (bench->sink_count == 0) {
        assert_true(sink_open_builtin(&bench->sinks[0], &bench->context, "topic",
                                      driver_find(BYTES("null")), mark_of(bench, "topic", &mark),
                                      &bench->diags));
        bench->sink_count = 1;
    }
    bool loaded = ruleset_load_text(&bench->ruleset, BYTES("test.sql"), bytes_of_string(sql),
                                    &bench->diags);
    if (!loaded) {
        struct buf text = {0};
        diag_list_print(&bench->diags, &text);
        fail_msg("%s", buf_string(&text));
    }
    for (size_t i = 0; i < bench->ruleset->relation_count; i++) {
        bench->ruleset->relations[i].sink = sink_of(bench, &bench->ruleset->relations[i]);
    }
    engine_swap(bench->engine, bench->ruleset, bench->sinks, bench->sink_count,
                bench->sinks[0]);
    ruleset_free(old);
}

static void
close_engine(struct bench *bench, bool commit)
{
    engine_stop(bench->engine);
    for (size_t i = 0; i < bench->sink_count && commit; i++) {
        outbox_stop(bench->sinks[i]->outbox, 1000);
    }
    if (commit) {
        engine_commit(bench->engine);
    }
    for (size_t i = 0; i < bench->sink_count; i++) {
        sink_close(bench->sinks[i], 0); /* they tell the engine of what they append */
    }
    engine_free(bench->engine);
    ruleset_free(bench->ruleset);
    bench->ruleset = NULL;
    bench->sink_count = 0;
}

static void
publish(struct bench *bench, const char *topic, const char *payload)
{
    struct record record = {.time_us = wall_us(&bench->os),
                            .topic = bytes_of_string(topic),
                            .payload = bytes_of_string(payload)};
    assert_true(journal_append(bench->journal, &record, &bench->diags));
    engine_wake(bench->engine);
}

static void
pass_ms(struct bench *bench, int64_t ms)
{
    atomic_fetch_add(&bench->wall_us, ms * 1000);
    engine_wake(bench->engine);
}

/* The rows of a stream, a line each. */
static char *
read_stream(struct bench *bench, const char *name, size_t *count)
{
    struct buf dir = {0}, out = {0};
    struct journal_reader *reader;
    struct record record;
    buf_printf(&dir, "%s/streams/%s", bench->dir, name);
    *count = 0;
    if (journal_reader_open(&reader, &bench->os, buf_string(&dir), 0, &bench->diags)) {
        while (journal_reader_next(reader, UINT64_MAX, &record, &bench->diags) ==
               JOURNAL_RECORD) {
            buf_append(&out, record.payload);
            buf_append_char(&out, '\n');
            ++*count;
        }
        journal_reader_close(reader);
    }
    buf_fini(&dir);
    return buf_take_string(&out);
}

/* Waits until the stream has that many rows, for at most 10 s, and gives them. */
static char *
await_rows(struct bench *bench, const char *name, size_t wanted)
{
    size_t count = 0;
    char *rows = NULL;
    for (int i = 0; i < 2000; i++) {
        free(rows);
        rows = read_stream(bench, name, &count);
        if (count >= wanted) {
            break;
        }
        usleep(5000);
    }
    if (count != wanted) {
        fail_msg("%zu rows instead of %zu:\n%s", count, wanted, rows);
    }
    return rows;
}

static void
assert_rows(struct bench *bench, const char *name, size_t count, const char *expected)
{
    char *rows = await_rows(bench, name, count);
    assert_string_equal(rows, expected);
    free(rows);
}

static const struct ruleset_rule *
rule_of(const struct bench *bench, const char *name)
{
    return map_find(&bench->ruleset->by_name, bytes_of_string(name));
}

static void
await_counter(const _Atomic uint64_t *counter, uint64_t value)
{
    for (int i = 0; i < 2000 && atomic_load(counter) < value; i++) {
        usleep(5000);
    }
    assert_int_equal(atomic_load(counter), value);
}

/* ---- set up ---- */

static int
remove_entry(const char *path, const struct stat *status, int type, struct FTW *at)
{
    return remove(path);
}

static int
set_up(void **state)
{
    struct bench *bench = mem_new(struct bench);
    bench->os = os_posix;
    bench->os.wall_us = wall_us;
    bench->wall_us = BEGIN_US;
    bench->checkpoint_ms = 60000;
    snprintf(bench->dir, sizeof bench->dir, "/tmp/headgate-flow-XXXXXX");
    assert_non_null(mkdtemp(bench->dir));
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
    nftw(bench->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    diag_list_fini(&bench->diags);
    free(bench);
    return 0;
}

/* ---- windows ---- */

#define READINGS                                                                                  \
    "CREATE TABLE readings (id STRING, v INTEGER, ts TIMESTAMP(3),\n"                             \
    "  at AS PROCTIME(), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)\n"                         \
    "WITH ('connector' = 'mqtt', 'topic' = 'in/+', 'json.timestamp-format.standard' = "           \
    "'ISO-8601');\n"                                                                              \
    "CREATE TABLE counts WITH ('connector' = 'stream');\n"                                        \
    "CREATE TABLE ticks WITH ('connector' = 'stream');\n"

#define EVENT_WINDOWS                                                                             \
    "CREATE RULE events AS INSERT INTO counts SELECT id, COUNT(*) AS n, SUM(v) AS total,\n"       \
    "  TUMBLE_START(ts, INTERVAL '10' SECOND) AS s\n"                                             \
    "FROM readings GROUP BY TUMBLE(ts, INTERVAL '10' SECOND), id;\n"

#define CLOCK_WINDOWS                                                                             \
    "CREATE RULE times AS INSERT INTO ticks SELECT id, COUNT(*) AS n,\n"                          \
    "  TUMBLE_START(at, INTERVAL '10' SECOND) AS s\n"                                             \
    "FROM readings GROUP BY TUMBLE(at, INTERVAL '10' SECOND), id;\n"

static void
read_at(struct bench *bench, const char *id, int value, int second)
{
    char payload[128];
    snprintf(payload, sizeof payload, "{\"id\":\"%s\",\"v\":%d,\"ts\":\"2026-03-01T00:%02d:%02d\"}",
             id, value, second / 60, second % 60);
    publish(bench, "in/1", payload);
}

static void
a_window_survives_a_crash(void **state)
{
    struct bench *bench = *state;
    run_rules(bench, READINGS EVENT_WINDOWS);
    read_at(bench, "a", 1, 1);
    read_at(bench, "a", 2, 9);
    await_counter(&rule_of(bench, "events")->counters->messages, 2);
    close_engine(bench, true); /* the state comes from the checkpoint */
    open_engine(bench);
    run_rules(bench, READINGS EVENT_WINDOWS);
    read_at(bench, "a", 4, 5);
    await_counter(&rule_of(bench, "events")->counters->messages, 1);
    close_engine(bench, false); /* and the last reading from the journal, again */
    open_engine(bench);
    run_rules(bench, READINGS EVENT_WINDOWS);
    read_at(bench, "a", 8, 12);
    assert_rows(bench, "counts", 1,
                "{\"id\":\"a\",\"n\":3,\"total\":7,\"s\":\"2026-03-01 00:00:00\"}\n");
}

static void
rows_of_the_clock_come_once(void **state)
{
    struct bench *bench = *state;
    static const char expected[] = "{\"id\":\"a\",\"n\":2,\"s\":\"2026-03-01 00:00:00\"}\n";
    run_rules(bench, READINGS CLOCK_WINDOWS);
    read_at(bench, "a", 1, 1);
    read_at(bench, "a", 1, 2);
    await_counter(&rule_of(bench, "times")->counters->messages, 2);
    pass_ms(bench, 10200);
    assert_rows(bench, "ticks", 1, expected);
    for (int i = 0; i < 3; i++) {
        close_engine(bench, false); /* nothing is committed: all of it is done again */
        open_engine(bench);
        run_rules(bench, READINGS CLOCK_WINDOWS);
        read_at(bench, "b", 1, 1);
        await_counter(&rule_of(bench, "times")->counters->messages, (uint64_t)(3 + i));
        assert_rows(bench, "ticks", 1, expected);
    }
    pass_ms(bench, 10000);
    assert_rows(bench, "ticks", 2,
                "{\"id\":\"a\",\"n\":2,\"s\":\"2026-03-01 00:00:00\"}\n"
                "{\"id\":\"b\",\"n\":3,\"s\":\"2026-03-01 00:00:10\"}\n");
}

/* Rows of a clock that was ten years ahead come when it is set back, and no others in a replay. */
static void
a_clock_that_was_ahead_holds_nothing_up(void **state)
{
    struct bench *bench = *state;
    static const int64_t years_10_ms = INT64_C(315360000) * 1000;
    static const char expected[] = "{\"id\":\"a\",\"n\":1,\"s\":\"2026-03-01 00:00:00\"}\n"
                                   "{\"id\":\"b\",\"n\":1,\"s\":\"2036-02-27 00:00:00\"}\n"
                                   "{\"id\":\"c\",\"n\":1,\"s\":\"2026-03-01 00:00:10\"}\n";
    run_rules(bench, READINGS CLOCK_WINDOWS);
    const struct rule_counters *counters = rule_of(bench, "times")->counters;
    read_at(bench, "a", 1, 1);
    await_counter(&counters->messages, 1);
    pass_ms(bench, years_10_ms);
    read_at(bench, "b", 1, 2);
    await_counter(&counters->messages, 2);
    pass_ms(bench, 15000 - years_10_ms);
    free(await_rows(bench, "ticks", 2));
    read_at(bench, "c", 1, 3);
    await_counter(&counters->messages, 3);
    pass_ms(bench, 10000);
    assert_rows(bench, "ticks", 3, expected);
    for (int i = 0; i < 2; i++) { /* all of it again, then from a checkpoint */
        close_engine(bench, i == 1);
        open_engine(bench);
        run_rules(bench, READINGS CLOCK_WINDOWS);
        read_at(bench, "d", 1, 4);
        await_counter(&rule_of(bench, "times")->counters->messages, i == 0 ? 4 : 1);
        assert_rows(bench, "ticks", 3, expected);
    }
}

/* ---- any cut ---- */

struct random {
    uint64_t state;
};

static unsigned
draw(struct random *random, unsigned below)
{
    random->state = random->state * UINT64_C(6364136223846793005) + 1442695040888963407U;
    return (unsigned)(random->state >> 33) % below;
}

enum { STEPS = 60 };

/* The same input for a seed; crashes, restarts and commits of another one. */
static char *
rows_of(struct bench *bench, uint64_t seed, uint64_t cuts, const char *stream, size_t *count)
{
    static const char rules[] = READINGS EVENT_WINDOWS CLOCK_WINDOWS
            "INSERT INTO counts SELECT n AS again, id FROM ticks_read WHERE n > 1;\n"
            "CREATE TABLE ticks_read (id STRING, n INTEGER)\n"
            "WITH ('connector' = 'kinesis', 'stream' = 'ticks');\n";
    struct random input = {seed}, fate = {cuts};
    run_rules(bench, rules);
    for (int i = 0; i < STEPS; i++) {
        static const char *const ids[] = {"a", "b", "c"};
        int second = i + (int)draw(&input, 4);
        read_at(bench, ids[draw(&input, 3)], (int)draw(&input, 100), second);
        pass_ms(bench, 300 + draw(&input, 1500));
        if (cuts != 0 && draw(&fate, 6) == 0) {
            usleep(draw(&fate, 20000));
            close_engine(bench, draw(&fate, 2) == 0);
            open_engine(bench);
            run_rules(bench, rules);
        }
    }
    read_at(bench, "end", 0, 400);
    pass_ms(bench, 60000);
    size_t settled = 0, before = SIZE_MAX;
    char *rows = NULL;
    for (int i = 0; i < 600 && settled < 60; i++) {
        free(rows);
        usleep(10000);
        rows = read_stream(bench, stream, count);
        settled = *count == before && *count > 0 ? settled + 1 : 0;
        before = *count;
    }
    return rows;
}

static int
compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Rows of one instant may come in any order. */
static char *
sorted(char *rows)
{
    char *lines[1000];
    size_t count = 0;
    struct buf out = {0};
    for (char *line = strtok(rows, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        assert_true(count < 1000);
        lines[count++] = line;
    }
    qsort(lines, count, sizeof *lines, compare_lines);
    for (size_t i = 0; i < count; i++) {
        buf_printf(&out, "%s\n", lines[i]);
    }
    free(rows);
    return buf_take_string(&out);
}

static void
any_cut_gives_the_same_rows(void **state)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        char *rows[2];
        for (uint64_t cuts = 0; cuts < 2; cuts++) {
            void *bench;
            size_t count;
            set_up(&bench);
            rows[cuts] = sorted(rows_of(bench, seed, cuts * seed, "counts", &count));
            assert_true(count > 20);
            tear_down(&bench);
        }
        assert_string_equal(rows[1], rows[0]);
        free(rows[0]);
        free(rows[1]);
    }
}

/* All of it from the beginning: between the same messages the same ticks, and the same order of two
 * inputs. */
static void
a_replay_is_the_run_that_was(void **state)
{
    struct bench *bench = *state;
    static const char rules[] = READINGS CLOCK_WINDOWS
            "CREATE TABLE ticks_read (id STRING, n INTEGER, s TIMESTAMP(3),\n"
            "  WATERMARK FOR s AS s) WITH ('connector' = 'stream', 'stream' = 'ticks');\n"
            "CREATE RULE joint AS INSERT INTO counts SELECT r.id, r.v, t.n\n"
            "FROM readings AS r JOIN ticks_read AS t ON r.id = t.id\n"
            "  AND r.ts BETWEEN t.s - INTERVAL '5' SECOND AND t.s + INTERVAL '5' SECOND;\n";
    static const char *const ids[] = {"a", "b"};
    struct random random = {7};
    size_t count;
    struct buf dir = {0};
    run_rules(bench, rules);
    for (int i = 0; i < STEPS; i++) {
        read_at(bench, ids[draw(&random, 2)], i, i);
        usleep(draw(&random, 20000));
        pass_ms(bench, 500 + draw(&random, 2000));
    }
    await_counter(&rule_of(bench, "times")->counters->messages, STEPS);
    close_engine(bench, false);
    char *before = read_stream(bench, "counts", &count);
    assert_true(count > 10);
    buf_printf(&dir, "%s/streams/counts", bench->dir);
    assert_int_equal(nftw(buf_string(&dir), remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
    buf_fini(&dir);
    open_engine(bench);
    run_rules(bench, rules);
    char *after = await_rows(bench, "counts", count);
    assert_string_equal(after, before);
    free(before);
    free(after);
}

/* ---- edits ---- */

static void
an_edit_that_means_the_same_keeps_the_window(void **state)
{
    struct bench *bench = *state;
    run_rules(bench, READINGS EVENT_WINDOWS);
    read_at(bench, "a", 1, 1);
    await_counter(&rule_of(bench, "events")->counters->messages, 1);
    run_rules(bench, READINGS "CREATE RULE events AS INSERT INTO ticks\n"
                              "SELECT id AS sensor, COUNT(*) AS many, SUM(v) * 10 AS tenfold\n"
                              "FROM readings GROUP BY TUMBLE(ts, INTERVAL '10' SECOND), id;\n");
    read_at(bench, "a", 2, 2);
    read_at(bench, "a", 3, 12);
    assert_rows(bench, "ticks", 1, "{\"sensor\":\"a\",\"many\":2,\"tenfold\":30}\n");
}

static void
an_edit_of_the_window_begins_anew(void **state)
{
    struct bench *bench = *state;
    run_rules(bench, READINGS EVENT_WINDOWS);
    read_at(bench, "a", 1, 1);
    await_counter(&rule_of(bench, "events")->counters->messages, 1);
    run_rules(bench, READINGS "CREATE RULE events AS INSERT INTO ticks\n"
                              "SELECT id, COUNT(*) AS n, SUM(v) AS total,\n"
                              "  TUMBLE_START(ts, INTERVAL '5' SECOND) AS s\n"
                              "FROM readings GROUP BY TUMBLE(ts, INTERVAL '5' SECOND), id;\n");
    read_at(bench, "a", 2, 2);
    read_at(bench, "a", 3, 12);
    assert_rows(bench, "ticks", 1,
                "{\"id\":\"a\",\"n\":1,\"total\":2,\"s\":\"2026-03-01 00:00:00\"}\n");
}

/* ---- what is wrong ---- */

static void
rejected_rows_are_counted_and_told(void **state)
{
    struct bench *bench = *state;
    run_rules(bench, READINGS
              "CREATE RULE events WITH ('on_error' = 'ticks', 'state.max' = '1k') AS\n"
              "INSERT INTO counts SELECT id, COUNT(*) AS n FROM readings\n"
              "GROUP BY TUMBLE(ts, INTERVAL '10' SECOND), id;\n");
    const struct rule_counters *counters = rule_of(bench, "events")->counters;
    publish(bench, "in/1", "no json");
    publish(bench, "in/1", "{\"id\":\"a\"}");
    publish(bench, "in/1", "{\"id\":\"a\",\"ts\":\"2026-03-01T02:00:00\"}");
    read_at(bench, "a", 1, 30);
    read_at(bench, "a", 1, 5);
    await_counter(&counters->messages, 5);
    await_counter(&counters->stream.late, 1);
    assert_int_equal(counters->stream.bad, 1);
    assert_int_equal(counters->stream.null_rowtime, 1);
    assert_int_equal(counters->stream.future, 1);
    char *rows = await_rows(bench, "ticks", 4);
    assert_non_null(strstr(rows, "\"errorMessage\":\"the event time is missing\""));
    free(rows);
    for (int i = 0; i < 30; i++) {
        char id[8];
        snprintf(id, sizeof id, "k%d", i);
        read_at(bench, id, 1, 31);
    }
    await_counter(&counters->messages, 35);
    assert_true(counters->stream.refused > 0);
    assert_true(counters->stream.state_bytes <= 1024);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(a_window_survives_a_crash, set_up, tear_down),
            cmocka_unit_test_setup_teardown(rows_of_the_clock_come_once, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_clock_that_was_ahead_holds_nothing_up, set_up,
                                            tear_down),
            cmocka_unit_test(any_cut_gives_the_same_rows),
            cmocka_unit_test_setup_teardown(a_replay_is_the_run_that_was, set_up, tear_down),
            cmocka_unit_test_setup_teardown(an_edit_that_means_the_same_keeps_the_window, set_up,
                                            tear_down),
            cmocka_unit_test_setup_teardown(an_edit_of_the_window_begins_anew, set_up, tear_down),
            cmocka_unit_test_setup_teardown(rejected_rows_are_counted_and_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
