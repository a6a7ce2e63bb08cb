/*
 * Stream SQL against a model of its own: random streams (out of order, late, several keys) through
 * windows, compared with the definition applied to all rows at once; and the same input through
 * runs that are saved and loaded at random places. What the language means, case by case, is in
 * tests/vectors/windows.jsonl.
 */
#include "unit.h"

#include "rules/stream/stream.h"
#include "base/buf.h"
#include "base/zone_cache.h"

#include <stdio.h>

enum { ROWS_MAX = 400, RESULTS_MAX = 20000, DELAY_MS = 5000, ROUNDS = 60 };

static const char TABLE[] =
        "CREATE TABLE s (k STRING, v INT, ts TIMESTAMP(3),"
        " WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)"
        " WITH ('connector'='mqtt', 'topic'='in/#', 'json.timestamp-format.standard'='ISO-8601');";

struct event {
    char key;
    int64_t value;
    int64_t time_ms;
};

/* One group of one window, as text that can be sorted. */
struct results {
    char lines[RESULTS_MAX][96];
    size_t count;
};

struct bench {
    struct stream_script *script;
    struct event events[ROWS_MAX];
    size_t event_count;
    struct results got, wanted;
    uint64_t late;
    uint64_t random;
};

static uint64_t
draw(struct bench *bench, uint64_t below)
{
    bench->random = bench->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (bench->random >> 33) % below;
}

static void
add_line(struct results *results, char key, int64_t start_ms, int64_t end_ms, int64_t count,
         int64_t sum, int64_t least)
{
    assert_true(results->count < RESULTS_MAX);
    snprintf(results->lines[results->count++], sizeof results->lines[0],
             "%c %lld %lld %lld %lld %lld", key, (long long)start_ms, (long long)end_ms,
             (long long)count, (long long)sum, (long long)least);
}

static int
compare_lines(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void
assert_same_results(struct bench *bench, const char *what, uint64_t seed)
{
    qsort(bench->got.lines, bench->got.count, sizeof bench->got.lines[0], compare_lines);
    qsort(bench->wanted.lines, bench->wanted.count, sizeof bench->wanted.lines[0], compare_lines);
    for (size_t i = 0; i < bench->got.count || i < bench->wanted.count; i++) {
        const char *got = i < bench->got.count ? bench->got.lines[i] : "nothing";
        const char *wanted = i < bench->wanted.count ? bench->wanted.lines[i] : "nothing";
        if (strcmp(got, wanted) != 0) {
            fail_msg("%s, seed %llu: wanted '%s', got '%s'", what, (unsigned long long)seed, wanted,
                     got);
        }
    }
}

/* ---- the stream ---- */

/* Mostly forward, sometimes back, sometimes far back, sometimes a pause. */
static void
make_events(struct bench *bench)
{
    int64_t time_ms = INT64_C(1709294400000) + (int64_t)draw(bench, 60000);
    bench->event_count = 50 + draw(bench, ROWS_MAX - 50);
    for (size_t i = 0; i < bench->event_count; i++) {
        uint64_t kind = draw(bench, 20);
        time_ms += kind == 0 ? (int64_t)draw(bench, 40000) : (int64_t)draw(bench, 1500);
        int64_t back = kind == 1   ? (int64_t)draw(bench, 60000)
                       : kind < 8 ? (int64_t)draw(bench, 5000)
                                   : 0;
        bench->events[i] = (struct event){
                .key = (char)('a' + draw(bench, 4)),
                .value = (int64_t)draw(bench, 200) - 100,
                .time_ms = time_ms - back,
        };
        if (kind == 2) { /* on an edge */
            bench->events[i].time_ms -= bench->events[i].time_ms % 10000;
        }
    }
}

static void
take_row(void *context, struct bytes json)
{
    struct bench *bench = context;
    char key;
    long long start_ms, end_ms, count, sum, least;
    char text[256];
    assert_true(json.size < sizeof text);
    memcpy(text, json.data, json.size);
    text[json.size] = '\0';
    assert_int_equal(sscanf(text,
                            "{\"k\":\"%c\",\"a\":%lld,\"e\":%lld,\"n\":%lld,\"s\":%lld,"
                            "\"m\":%lld}",
                            &key, &start_ms, &end_ms, &count, &sum, &least),
                     6);
    add_line(&bench->got, key, start_ms, end_ms, count, sum, least);
}

static void
send(struct stream_run *run, const struct event *event)
{
    struct buf payload = {0};
    int64_t ms = event->time_ms % 86400000;
    int64_t day = event->time_ms / 86400000 - 19783; /* since 2024-03-01 */
    buf_printf(&payload, "{\"k\":\"%c\",\"v\":%lld,\"ts\":\"2024-03-%02dT%02d:%02d:%02d.%03d\"}",
               event->key, (long long)event->value, (int)day + 1, (int)(ms / 3600000),
               (int)(ms / 60000 % 60), (int)(ms / 1000 % 60), (int)(ms % 1000));
    const struct stream_message message = {.payload = buf_bytes(&payload), .time_ms = 1};
    stream_run_message(run, 0, &message);
    buf_fini(&payload);
}

/* Runs the events; with `cuts`, through a snapshot now and then. */
static void
run_events(struct bench *bench, bool cuts)
{
    const struct stream_output output = {.row = take_row, .context = bench};
    const struct stream_program *program = bench->script->programs[0];
    struct stream_run *run = stream_run_new(program, &output);
    struct stream_stats stats;
    bench->got.count = 0;
    for (size_t i = 0; i < bench->event_count; i++) {
        send(run, &bench->events[i]);
        if (cuts && draw(bench, 7) == 0) {
            struct buf saved = {0};
            stream_run_save(run, &saved);
            stream_run_free(run);
            run = stream_run_new(program, &output);
            assert_true(stream_run_load(run, buf_bytes(&saved)));
            buf_fini(&saved);
        }
    }
    stream_run_finish(run);
    assert_int_equal(stream_run_footprint(run), 0); /* all windows are closed, nothing is kept */
    assert_int_equal(stream_run_entries(run), 0);
    stream_run_stats(run, &stats);
    bench->late = stats.late;
    stream_run_free(run);
}

/* ---- the model: windows on a grid ---- */

struct grid {
    int64_t slide_ms, size_ms;
    bool cumulate; /* slide is the step */
};

/* An end of the grid, not behind the first window that holds the time. */
static int64_t
first_end(const struct grid *grid, int64_t time_ms)
{
    int64_t start_ms = (time_ms / grid->slide_ms) * grid->slide_ms;
    return grid->cumulate ? start_ms : start_ms + grid->size_ms % grid->slide_ms;
}

static bool
in_window(const struct grid *grid, int64_t time_ms, int64_t end_ms)
{
    int64_t start_ms = grid->cumulate ? (end_ms - 1) / grid->size_ms * grid->size_ms
                                      : end_ms - grid->size_ms;
    return time_ms >= start_ms && time_ms < end_ms;
}

/* What the rows of one key give in the window that ends at `end_ms`. */
static void
model_window(struct bench *bench, const struct grid *grid, char key, int64_t end_ms,
             const int64_t *watermarks_ms)
{
    int64_t count = 0, sum = 0, least = 0;
    for (size_t i = 0; i < bench->event_count; i++) {
        const struct event *event = &bench->events[i];
        if (event->key != key || !in_window(grid, event->time_ms, end_ms) ||
            end_ms - 1 <= watermarks_ms[i]) {
            continue;
        }
        least = count == 0 || event->value < least ? event->value : least;
        sum += event->value;
        count++;
    }
    if (count > 0) {
        int64_t start_ms = grid->cumulate ? (end_ms - 1) / grid->size_ms * grid->size_ms
                                          : end_ms - grid->size_ms;
        add_line(&bench->wanted, key, start_ms, end_ms, count, sum, least);
    }
}

static void
model_grid(struct bench *bench, const struct grid *grid)
{
    int64_t watermarks_ms[ROWS_MAX], watermark_ms = INT64_MIN;
    int64_t first_ms = INT64_MAX, last_ms = INT64_MIN;
    uint64_t late = 0;
    bench->wanted.count = 0;
    for (size_t i = 0; i < bench->event_count; i++) {
        int64_t time_ms = bench->events[i].time_ms;
        watermarks_ms[i] = watermark_ms; /* before this row */
        watermark_ms = time_ms - DELAY_MS > watermark_ms ? time_ms - DELAY_MS : watermark_ms;
        first_ms = time_ms < first_ms ? time_ms : first_ms;
        last_ms = time_ms > last_ms ? time_ms : last_ms;
    }
    for (int64_t end_ms = first_end(grid, first_ms);
         end_ms <= last_ms + grid->size_ms + grid->slide_ms; end_ms += grid->slide_ms) {
        for (char key = 'a'; key <= 'd'; key++) {
            model_window(bench, grid, key, end_ms, watermarks_ms);
        }
    }
    for (size_t i = 0; i < bench->event_count; i++) {
        bool any = false;
        int64_t time_ms = bench->events[i].time_ms;
        for (int64_t end_ms = first_end(grid, time_ms);
             end_ms <= time_ms + grid->size_ms; end_ms += grid->slide_ms) {
            any |= in_window(grid, time_ms, end_ms) && end_ms - 1 > watermarks_ms[i];
        }
        late += !any;
    }
    assert_int_equal(bench->late, late);
}

/* ---- the model: sessions ---- */

struct session {
    char key;
    bool open;
    int64_t start_ms, end_ms, count, sum, least;
};

static void
model_sessions(struct bench *bench, int64_t gap_ms)
{
    static struct session sessions[ROWS_MAX];
    size_t count = 0;
    int64_t watermark_ms = INT64_MIN;
    bench->wanted.count = 0;
    for (size_t i = 0; i < bench->event_count; i++) {
        const struct event *event = &bench->events[i];
        struct session merged = {event->key, true, event->time_ms, event->time_ms + gap_ms, 1,
                                 event->value, event->value};
        bool touched = false;
        for (size_t s = 0; s < count; s++) {
            struct session *session = &sessions[s];
            if (session->open && session->key == event->key &&
                session->start_ms <= event->time_ms + gap_ms &&
                session->end_ms >= event->time_ms) {
                session->open = false;
                touched = true;
                merged.start_ms = session->start_ms < merged.start_ms ? session->start_ms
                                                                      : merged.start_ms;
                merged.end_ms = session->end_ms > merged.end_ms ? session->end_ms : merged.end_ms;
                merged.count += session->count;
                merged.sum += session->sum;
                merged.least = session->least < merged.least ? session->least : merged.least;
            }
        }
        if (touched || merged.end_ms - 1 > watermark_ms) {
            sessions[count++] = merged;
        }
        watermark_ms = event->time_ms - DELAY_MS > watermark_ms ? event->time_ms - DELAY_MS
                                                                : watermark_ms;
        for (size_t s = 0; s < count; s++) {
            if (sessions[s].open && sessions[s].end_ms - 1 <= watermark_ms) {
                sessions[s].open = false;
                add_line(&bench->wanted, sessions[s].key, sessions[s].start_ms, sessions[s].end_ms,
                         sessions[s].count, sessions[s].sum, sessions[s].least);
            }
        }
    }
    for (size_t s = 0; s < count; s++) {
        if (sessions[s].open) {
            add_line(&bench->wanted, sessions[s].key, sessions[s].start_ms, sessions[s].end_ms,
                     sessions[s].count, sessions[s].sum, sessions[s].least);
        }
    }
}

/* ---- the tests ---- */

/* `window` with its kind: TUMBLE_START(args) and so on are made of it. */
static struct bench *
bench_new(const char *kind, const char *args)
{
    struct bench *bench = calloc(1, sizeof *bench);
    struct diag_list diags = {0};
    struct buf sql = {0};
    assert_non_null(bench);
    buf_append_string(&sql, TABLE);
    buf_printf(&sql,
               "SELECT k, TIMESTAMPDIFF(MILLISECOND, TIMESTAMP '1970-01-01 00:00:00', "
               "%s_START(ts, %s)) AS a, TIMESTAMPDIFF(MILLISECOND, TIMESTAMP '1970-01-01 "
               "00:00:00', %s_END(ts, %s)) AS e, COUNT(*) AS n, SUM(v) AS s, MIN(v) AS m FROM s "
               "GROUP BY %s(ts, %s), k;",
               kind, args, kind, args, kind, args);
    bool parsed = stream_script_parse(&bench->script, BYTES("test"), buf_bytes(&sql), true, NULL,
                                      &diags);
    if (!parsed) {
        fail_msg("%.*s", BYTES_ARG(diag_first_error(&diags)));
    }
    diag_list_fini(&diags);
    buf_fini(&sql);
    return bench;
}

static void
bench_free(struct bench *bench)
{
    stream_script_free(bench->script);
    free(bench);
}

static void
check_grid(const char *kind, const char *args, const struct grid *grid)
{
    struct bench *bench = bench_new(kind, args);
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        bench->random = seed;
        make_events(bench);
        run_events(bench, false);
        model_grid(bench, grid);
        assert_same_results(bench, kind, seed);
        run_events(bench, true);
        assert_same_results(bench, "with snapshots", seed);
    }
    bench_free(bench);
}

static void
tumbling_windows_hold_what_their_definition_says(void **state)
{
    check_grid("TUMBLE", "INTERVAL '10' SECOND", &(struct grid){10000, 10000, false});
}

static void
hopping_windows_hold_what_their_definition_says(void **state)
{
    check_grid("HOP", "INTERVAL '10' SECOND, INTERVAL '30' SECOND",
               &(struct grid){10000, 30000, false});
    check_grid("HOP", "INTERVAL '4' SECOND, INTERVAL '10' SECOND",
               &(struct grid){4000, 10000, false});
}

static void
cumulating_windows_hold_what_their_definition_says(void **state)
{
    check_grid("CUMULATE", "INTERVAL '5' SECOND, INTERVAL '20' SECOND",
               &(struct grid){5000, 20000, true});
}

static void
sessions_hold_what_their_definition_says(void **state)
{
    struct bench *bench = bench_new("SESSION", "INTERVAL '3' SECOND");
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        bench->random = seed;
        make_events(bench);
        run_events(bench, false);
        model_sessions(bench, 3000);
        assert_same_results(bench, "SESSION", seed);
        run_events(bench, true);
        assert_same_results(bench, "with snapshots", seed);
    }
    bench_free(bench);
}

static void
a_snapshot_of_another_program_is_refused(void **state)
{
    struct bench *a = bench_new("TUMBLE", "INTERVAL '10' SECOND");
    struct bench *b = bench_new("SESSION", "INTERVAL '3' SECOND");
    const struct stream_output output = {.row = take_row, .context = a};
    struct stream_run *from = stream_run_new(a->script->programs[0], &output);
    struct stream_run *to = stream_run_new(b->script->programs[0], &output);
    struct buf saved = {0};
    stream_run_save(from, &saved);
    assert_false(stream_run_load(to, buf_bytes(&saved)));
    saved.data[0] = 99; /* a version of the future */
    stream_run_free(to);
    to = stream_run_new(a->script->programs[0], &output);
    assert_false(stream_run_load(to, buf_bytes(&saved)));
    buf_fini(&saved);
    stream_run_free(from);
    stream_run_free(to);
    bench_free(a);
    bench_free(b);
}

/* Keys in windows: the third of a window is refused, and there is room when it has closed. */
static void
entries_are_limited(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    struct diag_list diags = {0};
    struct buf sql = {0}, saved = {0};
    const struct stream_output output = {.row = take_row, .context = bench};
    struct stream_stats stats;
    buf_append_string(&sql, TABLE);
    buf_append_string(&sql,
                      "CREATE RULE few WITH ('state.max_entries' = '2') AS INSERT INTO 'o'\n"
                      "SELECT k, 0 AS a, 0 AS e, COUNT(*) AS n, SUM(v) AS s, MIN(v) AS m\n"
                      "FROM s GROUP BY k, TUMBLE(ts, INTERVAL '10' SECOND);");
    assert_true(stream_script_parse(&bench->script, BYTES("test"), buf_bytes(&sql), true, NULL,
                                    &diags));
    struct stream_run *run = stream_run_new(bench->script->programs[0], &output);
    for (int64_t i = 0; i < 6; i++) { /* a b c a b c, then the next window */
        const struct event event = {.key = (char)('a' + i % 3), .value = 1,
                                    .time_ms = INT64_C(1709294400000) + i};
        send(run, &event);
    }
    stream_run_stats(run, &stats);
    assert_int_equal(stats.refused, 2);
    assert_int_equal(stream_run_entries(run), 2);
    stream_run_save(run, &saved);
    stream_run_free(run);
    run = stream_run_new(bench->script->programs[0], &output);
    assert_true(stream_run_load(run, buf_bytes(&saved)));
    assert_int_equal(stream_run_entries(run), 2);
    const struct event late = {.key = 'c', .value = 1, .time_ms = INT64_C(1709294400000) + 30000};
    send(run, &late); /* refused itself, but time has passed */
    send(run, &late);
    stream_run_stats(run, &stats);
    assert_int_equal(stats.refused, 1);
    assert_int_equal(stream_run_entries(run), 1);
    assert_int_equal(bench->got.count, 2);
    stream_run_free(run);

    /* A snapshot of before entries were counted: they lie behind four numbers. */
    struct buf before = {0};
    buf_append(&before, bytes_slice(buf_bytes(&saved), 0, 33));
    buf_append(&before, bytes_slice(buf_bytes(&saved), 41, saved.size));
    before.data[0] = 2;
    run = stream_run_new(bench->script->programs[0], &output);
    assert_true(stream_run_load(run, buf_bytes(&before)));
    bench->got.count = 0;
    stream_run_finish(run);
    assert_int_equal(bench->got.count, 2);
    assert_int_equal(stream_run_entries(run), 0);
    stream_run_free(run);
    buf_fini(&before);
    buf_fini(&saved);
    buf_fini(&sql);
    diag_list_fini(&diags);
    stream_script_free(bench->script);
    free(bench);
}

/* ---- lookup ---- */

struct lookups {
    struct buf rows;
    struct buf keys;
    bool is_down;
};

static void
keep_row(void *context, struct bytes json)
{
    struct lookups *lookups = context;
    buf_append(&lookups->rows, json);
    buf_append_char(&lookups->rows, '\n');
}

static bool
look_up(void *context, const struct stream_table *table, struct bytes key, struct arena *arena,
        struct bytes *item)
{
    struct lookups *lookups = context;
    assert_bytes(table->name, "d");
    buf_append(&lookups->keys, key);
    *item = bytes_equal_string(key, "{\"id\":\"a\"}") ? BYTES("{\"id\":\"a\",\"name\":\"Ada\"}")
                                                     : BYTES("");
    return !lookups->is_down;
}

static void
run_lookup(struct lookups *lookups, const char *kind, const char *payload,
           struct stream_stats *stats)
{
    struct stream_script *script;
    struct diag_list diags = {0};
    struct buf sql = {0};
    buf_printf(&sql,
               "CREATE TABLE s (id STRING, v INT, pt AS PROCTIME()) WITH ('connector'='mqtt');"
               "CREATE TABLE d (id STRING, name STRING) WITH ('connector'='dynamodb');"
               "SELECT s.v, d.name FROM s %s JOIN d FOR SYSTEM_TIME AS OF s.pt AS d ON s.id = d.id;",
               kind);
    assert_true(stream_script_parse(&script, BYTES("test"), buf_bytes(&sql), true, NULL, &diags));
    assert_int_equal(stream_program_source_count(script->programs[0]), 1);
    const struct stream_output output = {
            .row = keep_row, .lookup = look_up, .context = lookups};
    const struct stream_message message = {.payload = bytes_of_string(payload), .time_ms = 1};
    struct stream_run *run = stream_run_new(script->programs[0], &output);
    stream_run_message(run, 0, &message);
    stream_run_stats(run, stats);
    stream_run_free(run);
    stream_script_free(script);
    diag_list_fini(&diags);
    buf_fini(&sql);
}

static void
a_lookup_joins_a_row_with_what_the_table_holds(void **state)
{
    struct lookups lookups = {0};
    struct stream_stats stats;
    run_lookup(&lookups, "", "{\"id\":\"a\",\"v\":1}", &stats);
    run_lookup(&lookups, "", "{\"id\":\"b\",\"v\":2}", &stats);
    run_lookup(&lookups, "LEFT", "{\"id\":\"b\",\"v\":3}", &stats);
    run_lookup(&lookups, "LEFT", "{\"v\":4}", &stats);
    assert_int_equal(stats.failed, 0);
    assert_string_equal(buf_string(&lookups.rows), "{\"v\":1,\"name\":\"Ada\"}\n"
                                                   "{\"v\":3,\"name\":null}\n"
                                                   "{\"v\":4,\"name\":null}\n");
    assert_string_equal(buf_string(&lookups.keys),
                        "{\"id\":\"a\"}{\"id\":\"b\"}{\"id\":\"b\"}");
    lookups.is_down = true;
    run_lookup(&lookups, "LEFT", "{\"id\":\"a\",\"v\":5}", &stats);
    assert_int_equal(stats.failed, 1);
    buf_fini(&lookups.rows);
    buf_fini(&lookups.keys);
}

/* ---- time on a machine: silence, clocks that are ahead, fleets ---- */

/* Runs payloads a second apart, then lets `quiet_ms` pass; the rows are in `lookups`. */
static void
run_script(const char *sql, const char *const *payloads, int64_t quiet_ms,
           struct lookups *lookups, struct stream_stats *stats)
{
    struct stream_script *script;
    struct diag_list diags = {0};
    if (!stream_script_parse(&script, BYTES("test"), bytes_of_string(sql), true, NULL, &diags)) {
        fail_msg("%.*s", BYTES_ARG(diag_first_error(&diags)));
    }
    const struct stream_output output = {.row = keep_row, .context = lookups};
    struct stream_run *run = stream_run_new(script->programs[0], &output);
    int64_t now_ms = INT64_C(1709294400000); /* 2024-03-01T12:00 */
    for (; *payloads != NULL; payloads++, now_ms += 1000) {
        const char *source = *payloads;
        const struct stream_message message = {
                .payload = bytes_of_string(source + 1), .time_ms = now_ms};
        stream_run_message(run, (size_t)(source[0] - '0'), &message);
    }
    stream_run_tick(run, now_ms + quiet_ms);
    struct buf saved = {0};
    struct stream_run *next = stream_run_new(script->programs[0], &output);
    stream_run_save(run, &saved);
    assert_true(stream_run_load(next, buf_bytes(&saved)));
    buf_fini(&saved);
    stream_run_stats(run, stats);
    stream_run_free(next);
    stream_run_free(run);
    stream_script_free(script);
    diag_list_fini(&diags);
}

#define DEVICES(options)                                                                         \
    "CREATE TABLE s (id STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) PARTITIONED BY (id) "   \
    "WITH ('connector'='mqtt' " options "); SELECT id, COUNT(*) AS n FROM s GROUP BY TUMBLE(ts, " \
    "INTERVAL '10' SECOND), id;"

static void
a_silent_source_closes_its_windows_by_the_clock(void **state)
{
    static const char *const payloads[] = {"0{\"id\":\"a\",\"ts\":\"2024-03-01 12:00:01\"}", NULL};
    struct lookups lookups = {0};
    struct stream_stats stats;
    run_script(DEVICES(""), payloads, 60000, &lookups, &stats);
    assert_int_equal(lookups.rows.size, 0);
    run_script(DEVICES(", 'scan.watermark.idle-timeout'='5 s'"), payloads, 60000, &lookups, &stats);
    assert_int_equal(lookups.rows.size, 0); /* as in Flink: nothing moves a single source */
    run_script(DEVICES(", 'scan.watermark.idle-timeout'='5 s', 'gateway.idle'='advance'"),
               payloads, 10000, &lookups, &stats);
    assert_int_equal(lookups.rows.size, 0); /* event time is 12:00:07 */
    run_script(DEVICES(", 'scan.watermark.idle-timeout'='5 s', 'gateway.idle'='advance'"),
               payloads, 14000, &lookups, &stats);
    assert_string_equal(buf_string(&lookups.rows), "{\"id\":\"a\",\"n\":1}\n");
    buf_fini(&lookups.rows);
}

static void
rows_from_the_future_are_refused(void **state)
{
    static const char *const payloads[] = {
            "0{\"id\":\"a\",\"ts\":\"2024-03-01 12:10:01\"}",
            "0{\"id\":\"a\",\"ts\":\"2024-03-01 12:09:59\"}", NULL};
    struct lookups lookups = {0};
    struct stream_stats stats;
    run_script(DEVICES(", 'gateway.max-future'='10 min'"), payloads, 0, &lookups, &stats);
    assert_int_equal(stats.future, 1);
    assert_int_equal(stats.late, 0);
    assert_int_equal(stats.turned_away, 1);
    assert_int_equal(stats.rejected, 0);
    assert_int_equal(stats.used, 1);
    buf_fini(&lookups.rows);
}

static void
with_a_watermark_for_each_key_a_fast_clock_harms_nobody(void **state)
{
    static const char *const payloads[] = {
            "0{\"id\":\"fast\",\"ts\":\"2024-03-01 13:00:01\"}",
            "0{\"id\":\"a\",\"ts\":\"2024-03-01 12:00:01\"}",
            "0{\"id\":\"a\",\"ts\":\"2024-03-01 12:00:02\"}",
            "0{\"id\":\"a\",\"ts\":\"2024-03-01 12:00:12\"}", NULL};
    struct lookups lookups = {0};
    struct stream_stats stats;
    run_script(DEVICES(""), payloads, 0, &lookups, &stats);
    assert_int_equal(stats.late, 3);
    assert_int_equal(stats.rejected, 3);
    assert_int_equal(stats.used, 1);
    run_script(DEVICES(", 'gateway.watermark-scope'='key'"), payloads, 0, &lookups, &stats);
    assert_int_equal(stats.late, 0);
    assert_int_equal(stats.rows_in, 4);
    assert_int_equal(stats.used, 4);
    assert_string_equal(buf_string(&lookups.rows), "{\"id\":\"a\",\"n\":2}\n");
    buf_fini(&lookups.rows);
}

struct step {
    int64_t at_s; /* by the clock, since 2024-03-01T12:00 */
    enum { ROW, TICK, SET_BACK } kind;
    const char *payload;
};

static const struct zone *
find_zone(void *context, struct bytes name)
{
    return zone_cache_find(context, name);
}

static void
run_steps(const char *sql, const struct step *steps, size_t count, const char *expected)
{
    struct stream_script *script;
    struct diag_list diags = {0};
    struct lookups lookups = {0};
    struct zone_cache zones;
    const struct stream_host host = {.zone = find_zone, .context = &zones};
    zone_cache_init(&zones, &os_posix, ZONE_FOLDER);
    if (!stream_script_parse(&script, BYTES("test"), bytes_of_string(sql), true, &host, &diags)) {
        fail_msg("%.*s", BYTES_ARG(diag_first_error(&diags)));
    }
    const struct stream_output output = {.row = keep_row, .context = &lookups};
    struct stream_run *run = stream_run_new(script->programs[0], &output);
    for (size_t i = 0; i < count; i++) {
        int64_t now_ms = INT64_C(1709294400000) + steps[i].at_s * 1000;
        if (steps[i].kind == ROW) {
            const struct stream_message message = {
                    .payload = bytes_of_string(steps[i].payload), .time_ms = now_ms,
                    .is_clock_doubted = true};
            stream_run_message(run, 0, &message);
        } else {
            (steps[i].kind == TICK ? stream_run_tick : stream_run_set_back)(run, now_ms);
        }
        assert_true(stream_run_now(run) >= now_ms);
    }
    if (!bytes_equal_string(buf_bytes(&lookups.rows), expected)) {
        fail_msg("%s\ngave:\n%.*sand not:\n%s", sql, BYTES_ARG(buf_bytes(&lookups.rows)), expected);
    }
    buf_fini(&lookups.rows);
    stream_run_free(run);
    stream_script_free(script);
    zone_cache_fini(&zones);
    diag_list_fini(&diags);
}

#define YEARS_10 INT64_C(315360000)
#define CLOCK_TABLE "CREATE TABLE s (id STRING, v INT, t AS PROCTIME()) WITH ('connector'='mqtt'); "
#define CLOCK_COUNTS                                                                       \
    "SELECT id, window_start, window_end, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE s, "        \
    "DESCRIPTOR(t), INTERVAL '10' SECOND)) GROUP BY id, window_start, window_end"

/* Two rows, one while the clock is ten years ahead, two more: windows of 2, 1 and 2, not a window
 * that waits for ten years. */
static void
a_clock_that_is_set_back_holds_nothing_up(void **state)
{
    static const struct step steps[] = {
            {1, ROW, "{\"id\":\"a\",\"v\":1}"},
            {2, ROW, "{\"id\":\"a\",\"v\":1}"},
            {YEARS_10, ROW, "{\"id\":\"a\",\"v\":1}"},
            {20, SET_BACK, NULL},
            {21, ROW, "{\"id\":\"a\",\"v\":1}"},
            {22, ROW, "{\"id\":\"a\",\"v\":2}"},
            {40, TICK, NULL},
    };
    static const char windows[] = "{\"id\":\"a\",\"n\":2}\n{\"id\":\"a\",\"n\":1}\n"
                                  "{\"id\":\"a\",\"n\":2}\n";
    static const char *const queries[] = {
            CLOCK_TABLE "SELECT id, COUNT(*) AS n FROM s GROUP BY TUMBLE(t, INTERVAL '10' "
                            "SECOND), id;",
            CLOCK_TABLE "SELECT id, COUNT(*) AS n FROM s GROUP BY SESSION(t, INTERVAL '5' "
                            "SECOND), id;",
            CLOCK_TABLE "SELECT id, SUM(n) AS n FROM (" CLOCK_COUNTS ") GROUP BY id, "
                            "window_start, window_end;",
            CLOCK_TABLE "SELECT id, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY "
                            "window_start, window_end ORDER BY n DESC) AS r FROM (" CLOCK_COUNTS
                            ")) WHERE r <= 1;",
    };
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        run_steps(queries[i], steps, sizeof steps / sizeof *steps, windows);
    }
    run_steps(CLOCK_TABLE "SELECT id, COUNT(*) OVER (PARTITION BY id ORDER BY t RANGE BETWEEN "
                              "INTERVAL '10' SECOND PRECEDING AND CURRENT ROW) AS n FROM s;",
              steps, sizeof steps / sizeof *steps,
              "{\"id\":\"a\",\"n\":1}\n{\"id\":\"a\",\"n\":2}\n{\"id\":\"a\",\"n\":1}\n"
              "{\"id\":\"a\",\"n\":2}\n{\"id\":\"a\",\"n\":3}\n");
}

static void
a_pattern_of_the_wrong_future_expires(void **state)
{
    static const struct step steps[] = {
            {YEARS_10, ROW, "{\"id\":\"a\",\"v\":1}"},
            {20, SET_BACK, NULL},
            {35, ROW, "{\"id\":\"a\",\"v\":2}"},
            {36, ROW, "{\"id\":\"a\",\"v\":1}"},
            {38, ROW, "{\"id\":\"a\",\"v\":4}"},
    };
    run_steps(CLOCK_TABLE "SELECT * FROM s MATCH_RECOGNIZE (PARTITION BY id ORDER BY t MEASURES "
                              "B.v AS v ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW PATTERN "
                          "(A B) WITHIN INTERVAL '10' SECOND DEFINE A AS A.v = 1, B AS B.v > 1);",
              steps, sizeof steps / sizeof *steps, "{\"id\":\"a\",\"v\":4}\n");
}

/* Event time that is the time of arrival begins anew; that of devices goes on. */
static void
event_time_of_the_clock_is_set_back_with_it(void **state)
{
    static const struct step arrivals[] = {
            {1, ROW, "{\"id\":\"a\"}"},   {2, ROW, "{\"id\":\"a\"}"},
            {YEARS_10, ROW, "{\"id\":\"a\"}"}, {20, SET_BACK, NULL},
            {21, ROW, "{\"id\":\"a\"}"},  {22, ROW, "{\"id\":\"a\"}"},
            {41, ROW, "{\"id\":\"a\"}"},
    };
    run_steps("CREATE TABLE s (id STRING, t TIMESTAMP_LTZ(3) METADATA FROM 'timestamp', WATERMARK "
              "FOR t AS t) WITH ('connector'='mqtt', 'gateway.max-future'='10 min'); "
              "SELECT id, COUNT(*) AS n FROM s GROUP BY "
              "TUMBLE(t, INTERVAL '10' SECOND), id;",
              arrivals, sizeof arrivals / sizeof *arrivals,
              "{\"id\":\"a\",\"n\":2}\n{\"id\":\"a\",\"n\":1}\n{\"id\":\"a\",\"n\":2}\n");
    static const struct step devices[] = {
            {1, ROW, "{\"id\":\"a\",\"ts\":\"2024-03-01 12:00:01\"}"},
            {-3600, SET_BACK, NULL},
            {-3599, ROW, "{\"id\":\"a\",\"ts\":\"2024-03-01 12:00:02\"}"},
            {-3589, ROW, "{\"id\":\"a\",\"ts\":\"2024-03-01 12:00:12\"}"},
    };
    run_steps(DEVICES(""), devices, sizeof devices / sizeof *devices,
              "{\"id\":\"a\",\"n\":2}\n");
}

/* The bounds alone say when their window is over: in which time, and in whose zone. */
static void
windows_of_windows_end_in_local_time(void **state)
{
    static const struct step steps[] = {
            {1, ROW, "{\"id\":\"a\"}"}, {21, ROW, "{\"id\":\"a\"}"}, {41, ROW, "{\"id\":\"a\"}"},
    };
#define LOCAL_COUNTS                                                                        \
    "SET 'table.local-time-zone' = 'America/New_York'; CREATE TABLE s (id STRING, "          \
    "t TIMESTAMP_LTZ(3) METADATA FROM 'timestamp', WATERMARK FOR t AS t) "                   \
    "WITH ('connector'='mqtt'); "
    static const char expected[] = "{\"id\":\"a\",\"n\":1}\n{\"id\":\"a\",\"n\":1}\n";
    run_steps(LOCAL_COUNTS "SELECT id, SUM(n) AS n FROM (" CLOCK_COUNTS ") GROUP BY id, "
              "window_start, window_end;", steps, sizeof steps / sizeof *steps, expected);
    run_steps(LOCAL_COUNTS "SELECT id, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY "
              "window_start, window_end ORDER BY n DESC) AS r FROM (" CLOCK_COUNTS ")) "
              "WHERE r <= 1;", steps, sizeof steps / sizeof *steps, expected);
#undef LOCAL_COUNTS
}

#define TWO(options)                                                                          \
    "CREATE TABLE a (id STRING, t TIMESTAMP(3), WATERMARK FOR t AS t) WITH ('connector'="     \
    "'mqtt'" options "); CREATE TABLE b (id STRING, u TIMESTAMP(3), WATERMARK FOR u AS u) "   \
    "WITH ('connector'='mqtt'" options "); SELECT a.id, u FROM a LEFT JOIN b ON a.id = b.id " \
    "AND u BETWEEN t AND t + INTERVAL '5' SECOND;"

static void
a_silent_source_does_not_hold_a_join_back(void **state)
{
    static const char *const payloads[] = {
            "1{\"id\":\"x\",\"u\":\"2024-03-01 12:00:00\"}",
            "0{\"id\":\"y\",\"t\":\"2024-03-01 12:00:01\"}",
            "0{\"id\":\"y\",\"t\":\"2024-03-01 12:00:30\"}", NULL};
    struct lookups lookups = {0};
    struct stream_stats stats;
    run_script(TWO(""), payloads, 60000, &lookups, &stats);
    assert_int_equal(lookups.rows.size, 0);
    run_script(TWO(", 'scan.watermark.idle-timeout'='5 s'"), payloads, 3500, &lookups, &stats);
    assert_string_equal(buf_string(&lookups.rows), "{\"id\":\"y\",\"u\":null}\n");
    buf_fini(&lookups.rows);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(tumbling_windows_hold_what_their_definition_says),
            cmocka_unit_test(hopping_windows_hold_what_their_definition_says),
            cmocka_unit_test(cumulating_windows_hold_what_their_definition_says),
            cmocka_unit_test(sessions_hold_what_their_definition_says),
            cmocka_unit_test(a_snapshot_of_another_program_is_refused),
            cmocka_unit_test(entries_are_limited),
            cmocka_unit_test(a_lookup_joins_a_row_with_what_the_table_holds),
            cmocka_unit_test(a_silent_source_closes_its_windows_by_the_clock),
            cmocka_unit_test(rows_from_the_future_are_refused),
            cmocka_unit_test(with_a_watermark_for_each_key_a_fast_clock_harms_nobody),
            cmocka_unit_test(a_clock_that_is_set_back_holds_nothing_up),
            cmocka_unit_test(a_pattern_of_the_wrong_future_expires),
            cmocka_unit_test(event_time_of_the_clock_is_set_back_with_it),
            cmocka_unit_test(windows_of_windows_end_in_local_time),
            cmocka_unit_test(a_silent_source_does_not_hold_a_join_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
