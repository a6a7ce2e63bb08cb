/*
 * What rows give beyond windows on a grid (test_stream.c), against a model: the definition, applied to
 * all rows at once. Random rows: out of order, late, several keys, equal times; each also through runs
 * that are saved and loaded at random places. HEADGATE_ROUNDS says how many streams, HEADGATE_SEED the
 * first one.
 */
#include "unit.h"

#include "rules/stream/stream.h"
#include "base/buf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS_MAX = 200, DELAY_MS = 5000, ROUNDS = 60 };

#define TABLE(name)                                                                       \
    "CREATE TABLE " name " (k STRING, v INT, t BIGINT, ts AS TO_TIMESTAMP_LTZ(t, 3),\n"   \
    "  pt AS PROCTIME(), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)\n"                 \
    "WITH ('connector' = 'mqtt', 'topic' = 'in');\n"

struct row {
    unsigned table; /* 0 or 1 */
    char key;
    int value;
    int64_t time_ms;
    bool is_late; /* not above the watermark when it came */
};

struct bench {
    struct stream_script *script;
    struct row rows[ROWS_MAX];
    size_t count;
    struct buf got, wanted; /* lines */
    uint64_t random;
    size_t matches; /* lines of all rounds: a test that compares nothing is none */
};

static uint64_t
draw(struct bench *bench, uint64_t below)
{
    bench->random = bench->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (bench->random >> 33) % below;
}

/* Times go forward, or back by less than `back_ms`; some are equal. */
static void
make_rows(struct bench *bench, unsigned tables, uint64_t back_ms)
{
    int64_t time_ms = 1700000000000, highest[2] = {INT64_MIN, INT64_MIN};
    bench->count = 1 + draw(bench, ROWS_MAX - 1);
    for (size_t i = 0; i < bench->count; i++) {
        time_ms += draw(bench, 4) == 0 ? 0 : (int64_t)draw(bench, 3000);
        struct row *row = &bench->rows[i];
        *row = (struct row){
                .table = (unsigned)draw(bench, tables),
                .key = (char)('a' + draw(bench, 3)),
                .value = (int)draw(bench, 100),
                .time_ms = time_ms - (draw(bench, 3) == 0 ? (int64_t)draw(bench, back_ms) : 0),
        };
        int64_t *high = &highest[row->table];
        row->is_late = *high != INT64_MIN && row->time_ms <= *high - DELAY_MS;
        *high = row->time_ms > *high ? row->time_ms : *high;
    }
}

static void
take_row(void *context, struct bytes json)
{
    struct bench *bench = context;
    buf_append(&bench->got, json);
    buf_append_char(&bench->got, '\n');
}

static struct stream_run *
cut(struct bench *bench, struct stream_run *run)
{
    const struct stream_output output = {.row = take_row, .context = bench};
    struct buf saved = {0};
    stream_run_save(run, &saved);
    stream_run_free(run);
    run = stream_run_new(bench->script->programs[0], &output);
    assert_true(stream_run_load(run, buf_bytes(&saved)));
    buf_fini(&saved);
    return run;
}

static void
run_rows(struct bench *bench, bool has_cuts)
{
    const struct stream_output output = {.row = take_row, .context = bench};
    const struct stream_program *program = bench->script->programs[0];
    struct stream_run *run = stream_run_new(program, &output);
    buf_clear(&bench->got);
    for (size_t i = 0; i < bench->count; i++) {
        const struct row *row = &bench->rows[i];
        struct buf payload = {0};
        buf_printf(&payload, "{\"k\":\"%c\",\"v\":%d,\"t\":%" PRId64 "}", row->key, row->value,
                   row->time_ms);
        const struct stream_message message = {.payload = buf_bytes(&payload),
                                               .time_ms = 1700000000000 + (int64_t)i};
        stream_run_message(run, row->table, &message);
        buf_fini(&payload);
        if (has_cuts && draw(bench, 7) == 0) {
            run = cut(bench, run);
        }
    }
    stream_run_finish(run);
    stream_run_free(run);
}

/* ---- comparing lines as a set ---- */

static int
compare_lines(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

static size_t
sort_lines(struct bytes text, struct bytes *lines, size_t most)
{
    size_t count = 0;
    struct bytes line;
    while (bytes_split(&text, '\n', &line)) {
        if (line.size > 0) {
            assert_true(count < most);
            lines[count++] = line;
        }
    }
    qsort(lines, count, sizeof *lines, compare_lines);
    return count;
}

static void
assert_same_lines(struct bench *bench, const char *what, uint64_t seed)
{
    enum { LINES_MAX = 20000 };
    static struct bytes got[LINES_MAX], wanted[LINES_MAX];
    size_t got_count = sort_lines(buf_bytes(&bench->got), got, LINES_MAX);
    size_t wanted_count = sort_lines(buf_bytes(&bench->wanted), wanted, LINES_MAX);
    for (size_t i = 0; i < got_count || i < wanted_count; i++) {
        struct bytes a = i < got_count ? got[i] : BYTES("nothing");
        struct bytes b = i < wanted_count ? wanted[i] : BYTES("nothing");
        if (!bytes_equal(a, b)) {
            fail_msg("%s, HEADGATE_SEED=%" PRIu64 ": wanted '%.*s', got '%.*s'", what, seed,
                     BYTES_ARG(b), BYTES_ARG(a));
        }
    }
    bench->matches += wanted_count;
}

static uint64_t
number_of(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

typedef void model_fn(struct bench *bench, unsigned variant);

/* `sql` may be made anew for each seed; tables 1 or 2. */
static void
hold(const char *what, const char *sql, unsigned tables, uint64_t back_ms, unsigned variant,
     model_fn *model)
{
    struct bench *bench = calloc(1, sizeof *bench);
    struct diag_list diags = {0};
    uint64_t first = number_of("HEADGATE_SEED", 1), rounds = number_of("HEADGATE_ROUNDS", ROUNDS);
    if (!stream_script_parse(&bench->script, BYTES("test"), bytes_of_string(sql), true, NULL,
                             &diags)) {
        fail_msg("%s: %.*s", sql, BYTES_ARG(diag_first_error(&diags)));
    }
    for (uint64_t seed = first; seed < first + rounds; seed++) {
        bench->random = seed;
        make_rows(bench, tables, back_ms);
        buf_clear(&bench->wanted);
        model(bench, variant);
        run_rows(bench, false);
        assert_same_lines(bench, what, seed);
        run_rows(bench, true);
        assert_same_lines(bench, what, seed);
    }
    assert_true(bench->matches > 0);
    stream_script_free(bench->script);
    diag_list_fini(&diags);
    buf_fini(&bench->got);
    buf_fini(&bench->wanted);
    free(bench);
}

/* ---- rows of a key in the order of their times ---- */

struct series {
    const struct row *rows[ROWS_MAX];
    size_t count;
};

/* Those that were not late, by time; of one time in the order of arrival. */
static void
series_of(const struct bench *bench, char key, struct series *out)
{
    out->count = 0;
    for (size_t i = 0; i < bench->count; i++) {
        const struct row *row = &bench->rows[i];
        if (row->key != key || row->is_late) {
            continue;
        }
        size_t at = out->count++;
        for (; at > 0 && out->rows[at - 1]->time_ms > row->time_ms; at--) {
            out->rows[at] = out->rows[at - 1];
        }
        out->rows[at] = row;
    }
}

static void
add_null_or(struct buf *out, const struct series *series, size_t at, size_t back)
{
    if (back > at) {
        buf_append_string(out, "null");
    } else {
        buf_printf(out, "%d", series->rows[at - back]->value);
    }
}

/* ---- OVER ---- */

static void
model_rows(struct bench *bench, unsigned preceding)
{
    for (char key = 'a'; key <= 'c'; key++) {
        struct series series;
        series_of(bench, key, &series);
        for (size_t i = 0; i < series.count; i++) {
            size_t from = i < preceding ? 0 : i - preceding;
            int sum = 0, least = INT32_MAX;
            for (size_t j = from; j <= i; j++) {
                sum += series.rows[j]->value;
                least = series.rows[j]->value < least ? series.rows[j]->value : least;
            }
            buf_printf(&bench->wanted,
                       "{\"k\":\"%c\",\"t\":%" PRId64 ",\"v\":%d,\"s\":%d,\"n\":%zu,\"m\":%d}\n", key,
                       series.rows[i]->time_ms, series.rows[i]->value, sum, i - from + 1, least);
        }
    }
}

static void
rows_before_are_counted(void **state)
{
    for (unsigned preceding = 0; preceding < 4; preceding++) {
        char sql[1000];
        snprintf(sql, sizeof sql,
                 TABLE("s") "SELECT k, t, v, SUM(v) OVER w AS s, COUNT(*) OVER w AS n,\n"
                 "MIN(v) OVER w AS m FROM s WINDOW w AS (PARTITION BY k ORDER BY ts\n"
                 "ROWS BETWEEN %u PRECEDING AND CURRENT ROW);", preceding);
        hold("ROWS", sql, 1, 8000, preceding, model_rows);
    }
}

/* Rows of the same time see each other. */
static void
model_range(struct bench *bench, unsigned seconds)
{
    for (char key = 'a'; key <= 'c'; key++) {
        struct series series;
        series_of(bench, key, &series);
        for (size_t i = 0; i < series.count; i++) {
            int64_t to_ms = series.rows[i]->time_ms, from_ms = to_ms - (int64_t)seconds * 1000;
            int sum = 0, most = 0;
            size_t count = 0;
            for (size_t j = 0; j < series.count; j++) {
                int64_t at_ms = series.rows[j]->time_ms;
                if (at_ms >= from_ms && at_ms <= to_ms) {
                    sum += series.rows[j]->value;
                    most = series.rows[j]->value > most ? series.rows[j]->value : most;
                    count++;
                }
            }
            buf_printf(&bench->wanted,
                       "{\"k\":\"%c\",\"t\":%" PRId64 ",\"v\":%d,\"s\":%d,\"n\":%zu,\"m\":%d}\n", key,
                       to_ms, series.rows[i]->value, sum, count, most);
        }
    }
}

static void
a_range_of_time_is_counted(void **state)
{
    static const unsigned seconds[] = {1, 4, 30};
    for (size_t i = 0; i < 3; i++) {
        char sql[1000];
        snprintf(sql, sizeof sql,
                 TABLE("s") "SELECT k, t, v, SUM(v) OVER w AS s, COUNT(*) OVER w AS n,\n"
                 "MAX(v) OVER w AS m FROM s WINDOW w AS (PARTITION BY k ORDER BY ts\n"
                 "RANGE BETWEEN INTERVAL '%u' SECOND PRECEDING AND CURRENT ROW);", seconds[i]);
        hold("RANGE", sql, 1, 8000, seconds[i], model_range);
    }
}

static void
model_lag(struct bench *bench, unsigned variant)
{
    for (char key = 'a'; key <= 'c'; key++) {
        struct series series;
        series_of(bench, key, &series);
        for (size_t i = 0; i < series.count; i++) {
            buf_printf(&bench->wanted, "{\"k\":\"%c\",\"v\":%d,\"a\":", key,
                       series.rows[i]->value);
            add_null_or(&bench->wanted, &series, i, 1);
            buf_append_string(&bench->wanted, ",\"b\":");
            add_null_or(&bench->wanted, &series, i, 3);
            buf_append_string(&bench->wanted, "}\n");
        }
    }
}

static void
lag_looks_back(void **state)
{
    hold("LAG",
         TABLE("s") "SELECT k, v, LAG(v) OVER w AS a, LAG(v, 3) OVER w AS b FROM s\n"
                    "WINDOW w AS (PARTITION BY k ORDER BY ts);",
         1, 8000, 0, model_lag);
}

/* ---- the first of each ---- */

static void
model_first(struct bench *bench, unsigned variant)
{
    for (size_t i = 0; i < bench->count; i++) {
        const struct row *row = &bench->rows[i];
        bool is_first = true;
        for (size_t j = 0; j < i; j++) {
            is_first = is_first && (bench->rows[j].key != row->key ||
                                    bench->rows[j].value / 10 != row->value / 10);
        }
        if (is_first) {
            buf_printf(&bench->wanted, "{\"k\":\"%c\",\"v\":%d}\n", row->key, row->value);
        }
    }
}

static void
only_the_first_of_each_key_comes_out(void **state)
{
    hold("the first",
         TABLE("s") "SELECT k, v FROM (SELECT k, v, ROW_NUMBER() OVER\n"
                    "(PARTITION BY k, v / 10 ORDER BY pt) AS rn FROM s) WHERE rn = 1;",
         1, 8000, 0, model_first);
}

/* ---- windows: aggregates with conditions, and the best of each window ---- */

/* Whether the row is counted in the tumbling window of so many ms that holds it. */
static bool
is_in_time(const struct bench *bench, size_t i, int64_t size_ms)
{
    int64_t end_ms = (bench->rows[i].time_ms / size_ms + 1) * size_ms, highest = INT64_MIN;
    for (size_t j = 0; j < i; j++) {
        highest = bench->rows[j].time_ms > highest ? bench->rows[j].time_ms : highest;
    }
    return i == 0 || end_ms - 1 > highest - DELAY_MS;
}

struct totals {
    size_t count, high_count, different;
    int sum, high_sum, most;
    bool seen[100];
};

static struct totals
totals_of(const struct bench *bench, char key, int64_t window, int64_t size_ms)
{
    struct totals totals = {.most = -1};
    for (size_t i = 0; i < bench->count; i++) {
        const struct row *row = &bench->rows[i];
        if (row->key != key || row->time_ms / size_ms != window ||
            !is_in_time(bench, i, size_ms)) {
            continue;
        }
        totals.count++;
        totals.sum += row->value;
        totals.most = row->value > totals.most ? row->value : totals.most;
        totals.high_count += row->value > 50;
        totals.high_sum += row->value > 50 ? row->value : 0;
        totals.different += !totals.seen[row->value % 5];
        totals.seen[row->value % 5] = true;
    }
    return totals;
}

/* The windows that rows lie in, each once. */
static bool
is_new_window(const struct bench *bench, size_t i, int64_t size_ms)
{
    for (size_t j = 0; j < i; j++) {
        if (bench->rows[j].time_ms / size_ms == bench->rows[i].time_ms / size_ms) {
            return false;
        }
    }
    return true;
}

static void
model_conditions(struct bench *bench, unsigned seconds)
{
    int64_t size_ms = (int64_t)seconds * 1000;
    for (size_t i = 0; i < bench->count; i++) {
        int64_t window = bench->rows[i].time_ms / size_ms;
        for (char key = 'a'; key <= 'c' && is_new_window(bench, i, size_ms); key++) {
            struct totals totals = totals_of(bench, key, window, size_ms);
            if (totals.count < 2) {
                continue;
            }
            buf_printf(&bench->wanted,
                       "{\"k\":\"%c\",\"n\":%zu,\"s\":%d,\"h\":%zu,\"hs\":", key, totals.count,
                       totals.sum, totals.high_count);
            if (totals.high_count == 0) {
                buf_append_string(&bench->wanted, "null");
            } else {
                buf_printf(&bench->wanted, "%d", totals.high_sum);
            }
            buf_printf(&bench->wanted, ",\"d\":%zu}\n", totals.different);
        }
    }
}

static void
conditions_of_aggregates_hold(void **state)
{
    hold("FILTER, DISTINCT, HAVING",
         TABLE("s") "SELECT k, COUNT(*) AS n, SUM(v) AS s, COUNT(*) FILTER (WHERE v > 50) AS h,\n"
                    "SUM(v) FILTER (WHERE v > 50) AS hs, COUNT(DISTINCT MOD(v, 5)) AS d\n"
                    "FROM s GROUP BY k, TUMBLE(ts, INTERVAL '10' SECOND) HAVING COUNT(*) > 1;",
         1, 20000, 10, model_conditions);
}

/* Keys whose sums are equal may take either place: a sum and its place are compared. */
static void
model_best(struct bench *bench, unsigned seconds)
{
    int64_t size_ms = (int64_t)seconds * 1000;
    for (size_t i = 0; i < bench->count; i++) {
        int sums[3], count = 0;
        for (char key = 'a'; key <= 'c' && is_new_window(bench, i, size_ms); key++) {
            struct totals totals =
                    totals_of(bench, key, bench->rows[i].time_ms / size_ms, size_ms);
            int at = count;
            if (totals.count == 0) {
                continue;
            }
            for (count++; at > 0 && sums[at - 1] < totals.sum; at--) {
                sums[at] = sums[at - 1];
            }
            sums[at] = totals.sum;
        }
        for (int at = 0; at < count && at < 2; at++) {
            buf_printf(&bench->wanted, "{\"s\":%d,\"rn\":%d}\n", sums[at], at + 1);
        }
    }
}

static void
the_best_of_each_window_come_out(void **state)
{
    hold("Top-N",
         TABLE("s") "SELECT s, rn FROM (SELECT s, window_start, window_end, ROW_NUMBER() OVER\n"
                    "(PARTITION BY window_start, window_end ORDER BY s DESC) AS rn FROM\n"
                    "(SELECT k, window_start, window_end, SUM(v) AS s FROM TABLE(TUMBLE(TABLE s,\n"
                    "DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY k, window_start, window_end))\n"
                    "WHERE rn <= 2;",
         1, 20000, 10, model_best);
}

/* ---- joins ---- */

/* No row is late: every pair that fits comes out once. */
static void
model_join(struct bench *bench, unsigned seconds)
{
    for (size_t i = 0; i < bench->count; i++) {
        const struct row *left = &bench->rows[i];
        for (size_t j = 0; j < bench->count && left->table == 0; j++) {
            const struct row *right = &bench->rows[j];
            int64_t distance_ms = right->time_ms - left->time_ms;
            if (right->table == 1 && right->key == left->key && distance_ms >= -2000 &&
                distance_ms <= (int64_t)seconds * 1000 && left->value <= right->value + 50) {
                buf_printf(&bench->wanted, "{\"k\":\"%c\",\"a\":%d,\"b\":%d}\n", left->key,
                           left->value, right->value);
            }
        }
    }
}

static void
pairs_near_in_time_are_joined(void **state)
{
    hold("an interval join",
         TABLE("s") TABLE("u") "SELECT s.k, s.v AS a, u.v AS b FROM s JOIN u ON s.k = u.k AND\n"
                               "s.v <= u.v + 50 AND u.ts BETWEEN s.ts - INTERVAL '2' SECOND\n"
                               "AND s.ts + INTERVAL '10' SECOND;",
         2, DELAY_MS, 10, model_join);
}

/* ---- patterns ---- */

/* A: above 60; B: not; C: above 60 again. How often B, whether the next attempt may use C. */
struct pattern {
    const char *sql;
    size_t least, most;
    bool skips_past;
    int64_t within_ms; /* 0: any */
};

static const struct pattern patterns[] = {
        {"B{1,3}", 1, 3, true, 0},      {"B?", 0, 1, true, 0},
        {"B{2}", 2, 2, false, 0},       {"B{0,4}", 0, 4, false, 0},
        {"B{1,5}", 1, 5, true, 6000},   {"B*", 0, ROWS_MAX, true, 9000},
        {"B+", 1, ROWS_MAX, false, 4000}, {"B{1,3}?", 1, 3, true, 0},
};

static bool
is_high(const struct series *series, size_t at)
{
    return at < series->count && series->rows[at]->value > 60;
}

/* The length of the match that begins there, 0: none. */
static size_t
match_at(const struct series *series, size_t at, const struct pattern *pattern)
{
    size_t middle = 0;
    if (!is_high(series, at)) {
        return 0;
    }
    while (at + 1 + middle < series->count && !is_high(series, at + 1 + middle)) {
        middle++;
    }
    size_t last = at + 1 + middle;
    bool fits = middle >= pattern->least && middle <= pattern->most && is_high(series, last);
    int64_t span_ms = fits ? series->rows[last]->time_ms - series->rows[at]->time_ms : 0;
    return fits && (pattern->within_ms == 0 || span_ms <= pattern->within_ms) ? middle + 2 : 0;
}

static void
model_pattern(struct bench *bench, unsigned variant)
{
    const struct pattern *pattern = &patterns[variant];
    for (char key = 'a'; key <= 'c'; key++) {
        struct series series;
        series_of(bench, key, &series);
        for (size_t at = 0; at < series.count;) {
            size_t length = match_at(&series, at, pattern);
            if (length > 0) {
                int sum = 0;
                for (size_t i = 0; i < length; i++) {
                    sum += series.rows[at + i]->value;
                }
                buf_printf(&bench->wanted,
                           "{\"k\":\"%c\",\"t\":%" PRId64 ",\"n\":%zu,\"s\":%d,\"c\":%d}\n", key,
                           series.rows[at]->time_ms, length, sum,
                           series.rows[at + length - 1]->value);
            }
            at += length > 0 && pattern->skips_past ? length : 1;
        }
    }
}

static void
patterns_are_found_where_they_are(void **state)
{
    for (unsigned i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        char sql[1000], within[60] = "";
        if (patterns[i].within_ms > 0) {
            snprintf(within, sizeof within, "WITHIN INTERVAL '%d' SECOND",
                     (int)patterns[i].within_ms / 1000);
        }
        snprintf(sql, sizeof sql,
                 TABLE("s") "SELECT * FROM s MATCH_RECOGNIZE (PARTITION BY k ORDER BY ts\n"
                 "MEASURES A.t AS t, COUNT(*) AS n, SUM(v) AS s, C.v AS c\n"
                 "AFTER MATCH SKIP %s PATTERN (A %s C) %s\n"
                 "DEFINE A AS v > 60, B AS v <= 60, C AS v > 60);",
                 patterns[i].skips_past ? "PAST LAST ROW" : "TO NEXT ROW", patterns[i].sql, within);
        hold(patterns[i].sql, sql, 1, 8000, i, model_pattern);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(rows_before_are_counted),
            cmocka_unit_test(a_range_of_time_is_counted),
            cmocka_unit_test(lag_looks_back),
            cmocka_unit_test(only_the_first_of_each_key_comes_out),
            cmocka_unit_test(conditions_of_aggregates_hold),
            cmocka_unit_test(the_best_of_each_window_come_out),
            cmocka_unit_test(pairs_near_in_time_are_joined),
            cmocka_unit_test(patterns_are_found_where_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
