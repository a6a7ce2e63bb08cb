#include "table.h"

#include "base/calendar.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void
open_or_fail(struct table *table)
{
    if (!table_open(table)) {
        fail_msg("open: %.*s", BYTES_ARG(diag_first_error(&table->diags)));
    }
}

/* A table with options, open. */
static void
begin(struct table *table, const char *const *options)
{
    table_init(table, "timeseries", options);
    open_or_fail(table);
}

static void
reopen(struct table *table)
{
    table_close(table);
    open_or_fail(table);
}

static void
assert_refused(struct table *table, const char *payload, const char *part)
{
    const char *reason = "";
    enum verdict verdict = table_write(table, payload, &reason);
    if (verdict != VERDICT_REJECT || strstr(reason, part) == NULL) {
        fail_msg("%s: verdict %d, reason '%s', wanted '%s'", payload, verdict, reason, part);
    }
}

static void
assert_done(struct table *table, const char *payload)
{
    const char *reason = "";
    enum verdict verdict = table_write(table, payload, &reason);
    if (verdict != VERDICT_DONE) {
        fail_msg("%s: verdict %d, reason '%s'", payload, verdict, reason);
    }
}

static void
assert_rows(struct table *table, const char *expected)
{
    assert_string_equal(table_rows(table, NULL), expected);
}

#define T0 "2024-07-11T12:00:00.000000000"
#define T1 "2024-07-11T12:00:01.000000000"

static void
strings_are_dimensions_and_the_rest_measures(void **state)
{
    struct table table;
    begin(&table, NULL);
    assert_string_equal(table_columns(&table), "measure_name:VARCHAR time:TIMESTAMP");
    assert_done(&table, "{\"id\":\"s1\",\"time\":\"" T0 "Z\",\"t\":21.5,\"n\":9223372036854775807,"
                        "\"on\":true,\"gone\":null,\"list\":[1, 2.50]}");
    assert_rows(&table, "id=s1 measure_name=t time=" T0 " measure_value::double=21.5\n"
                        "id=s1 measure_name=n time=" T0
                        " measure_value::bigint=9223372036854775807\n"
                        "id=s1 measure_name=on time=" T0 " measure_value::boolean=true\n"
                        "id=s1 measure_name=list time=" T0 " measure_value::varchar=[1, 2.50]\n");
    assert_string_equal(table_columns(&table),
                        "id:VARCHAR measure_name:VARCHAR time:TIMESTAMP "
                        "measure_value::double:DOUBLE measure_value::bigint:BIGINT "
                        "measure_value::varchar:VARCHAR measure_value::boolean:BOOLEAN");
    table_fini(&table);
}

static void
options_name_dimensions_measures_and_time(void **state)
{
    static const char *const options[] = {"dimensions=device_id, location",
                                          "measures=device_id,temperature,humidity,note",
                                          "time=ts", "time_unit=s", NULL};
    struct table table;
    begin(&table, options);
    assert_done(&table, "{\"device_id\":\"d1\",\"location\":7,\"temperature\":26.5,\"humidity\":72,"
                        "\"note\":\"x\",\"other\":1,\"ts\":1720699200.25}");
    assert_rows(&table,
                "device_id=d1 location=7 measure_name=device_id time=2024-07-11T12:00:00.250000000 "
                "measure_value::varchar=d1\n"
                "device_id=d1 location=7 measure_name=temperature "
                "time=2024-07-11T12:00:00.250000000 measure_value::double=26.5\n"
                "device_id=d1 location=7 measure_name=humidity time=2024-07-11T12:00:00.250000000 "
                "measure_value::bigint=72\n"
                "device_id=d1 location=7 measure_name=note time=2024-07-11T12:00:00.250000000 "
                "measure_value::varchar=x\n");
    table_fini(&table);
}

static void
declared_columns_set_parts_and_types(void **state)
{
    const struct declared_column columns[] = {
            {BYTES("sensor_id"), COLUMN_VARCHAR}, {BYTES("temperature"), COLUMN_DOUBLE},
            {BYTES("count"), COLUMN_BIGINT},      {BYTES("ok"), COLUMN_BOOLEAN},
            {BYTES("event_time"), COLUMN_TIMESTAMP},
    };
    struct table table;
    table_init(&table, "timestream", NULL);
    table.declaration = (struct driver_declaration){.columns = columns, .column_count = 5};
    open_or_fail(&table);
    assert_done(&table, "{\"sensor_id\":12,\"temperature\":61,\"count\":5.0,\"ok\":false,"
                        "\"event_time\":1720699200000,\"more\":1}");
    assert_refused(&table, "{\"temperature\":\"61\"}", "'temperature' holds \"61\"");
    assert_refused(&table, "{\"count\":1.5}", "'count' holds 1.5, expected a BIGINT");
    assert_refused(&table, "{\"ok\":1}", "'ok'");
    assert_refused(&table, "{\"more\":1}", "no member holds a measure");
    assert_rows(&table, "sensor_id=12 measure_name=temperature time=" T0
                        " measure_value::double=61\n"
                        "sensor_id=12 measure_name=count time=" T0 " measure_value::bigint=5\n"
                        "sensor_id=12 measure_name=ok time=" T0
                        " measure_value::boolean=false\n");
    table_fini(&table);
}

static void
whole_numbers_join_a_measure_of_doubles(void **state)
{
    struct table table;
    begin(&table, NULL);
    assert_done(&table, "{\"time\":1720699200000,\"v\":72}");
    assert_done(&table, "{\"time\":1720699201000,\"v\":72.5}");
    assert_done(&table, "{\"time\":1720699202000,\"v\":73}");
    assert_done(&table, "{\"time\":1720699203000,\"v\":9007199254740993}");
    assert_done(&table, "{\"time\":1720699200000,\"v\":72.0}"); /* the same value */
    assert_rows(&table, "measure_name=v time=" T0
                        " measure_value::double=72 measure_value::bigint=72\n"
                        "measure_name=v time=" T1 " measure_value::double=72.5\n"
                        "measure_name=v time=2024-07-11T12:00:02.000000000 "
                        "measure_value::double=73\n"
                        "measure_name=v time=2024-07-11T12:00:03.000000000 "
                        "measure_value::double=9007199254740992 "
                        "measure_value::bigint=9007199254740993\n");
    table_fini(&table);
}

static void
numbers_can_all_be_doubles(void **state)
{
    static const char *const options[] = {"numbers=double", NULL};
    struct table table;
    begin(&table, options);
    assert_done(&table, "{\"time\":1720699200000,\"v\":72,\"w\":18446744073709551616}");
    assert_rows(&table, "measure_name=v time=" T0 " measure_value::double=72\n"
                        "measure_name=w time=" T0 " measure_value::double=18446744073709552000\n");
    table_fini(&table);
}

static void
bad_rows_are_refused_with_the_member(void **state)
{
    struct table table;
    begin(&table, NULL);
    assert_refused(&table, "hello", "not JSON");
    assert_refused(&table, "12", "not a JSON object");
    assert_refused(&table, "{\"id\":\"x\"}", "no member holds a measure");
    assert_refused(&table, "{\"v\":null}", "no member holds a measure");
    assert_refused(&table, "{\"v\":1,\"time\":\"noon\"}", "'time' holds \"noon\"");
    assert_refused(&table, "{\"v\":1,\"time\":true}", "'time' holds true");
    assert_refused(&table, "{\"v\":1,\"time\":1720999999000}", "15 minutes after the arrival");
    assert_refused(&table, "{\"v\":1,\"time\":99999999999999999999}", "'time'");
    assert_refused(&table, "{\"v\":18446744073709551616}", "at most 64 bits");
    assert_refused(&table, "{\"v\":1e999}", "'v' holds 1e999");
    assert_refused(&table, "{\"v\":1,\"measure_name\":\"x\"}", "reserved");
    assert_refused(&table, "[{\"v\":1,\"time\":1720699200000},{\"v\":1,\"time\":\"\"}]",
                   "row 2: member 'time'");
    assert_rows(&table, "measure_name=v time=" T0 " measure_value::bigint=1\n");
    table_fini(&table);
}

static void
a_row_without_time_has_its_arrival(void **state)
{
    struct table table;
    begin(&table, NULL);
    assert_done(&table, "{\"v\":1}");
    assert_done(&table, "{\"v\":2,\"time\":null}");
    assert_rows(&table, "measure_name=v time=2024-07-11T13:00:00.000001000 "
                        "measure_value::bigint=1\n"
                        "measure_name=v time=2024-07-11T13:00:00.000002000 "
                        "measure_value::bigint=2\n");
    table_fini(&table);
}

static void
another_value_is_a_conflict(void **state)
{
    static const char *const options[] = {"version=ver", NULL};
    struct table table;
    begin(&table, options);
    assert_done(&table, "{\"time\":1720699200000,\"id\":\"a\",\"v\":1}");
    assert_done(&table, "{\"time\":1720699200000,\"id\":\"a\",\"v\":1}");
    assert_refused(&table, "{\"time\":1720699200000,\"id\":\"a\",\"v\":2,\"w\":3}",
                   "'v' already has the value 1");
    assert_done(&table, "{\"time\":1720699200000,\"id\":\"a\",\"v\":4,\"ver\":2}");
    assert_refused(&table, "{\"time\":1720699200000,\"id\":\"a\",\"v\":5,\"ver\":2}", "version 2");
    assert_refused(&table, "{\"v\":5,\"ver\":0}", "'ver' holds 0");
    assert_rows(&table, "id=a measure_name=v time=" T0 " measure_value::bigint=4\n"
                        "id=a measure_name=w time=" T0 " measure_value::bigint=3\n");
    table_fini(&table);
}

static void
a_conflict_can_replace(void **state)
{
    static const char *const options[] = {"on_conflict=replace", NULL};
    struct table table;
    begin(&table, options);
    assert_done(&table, "{\"time\":1720699200000,\"v\":1}");
    assert_done(&table, "{\"time\":1720699200000,\"v\":2.5}");
    assert_rows(&table, "measure_name=v time=" T0 " measure_value::double=2.5\n");
    /* The first record comes again, as after a crash: it must not win. */
    table.position = 1;
    assert_done(&table, "{\"time\":1720699200000,\"v\":1}");
    assert_rows(&table, "measure_name=v time=" T0 " measure_value::double=2.5\n");
    table_fini(&table);
}

static void
a_batch_sent_twice_is_stored_once(void **state)
{
    static const char *const options[] = {"on_conflict=replace", NULL};
    static const uint64_t positions[] = {10, 11, 12};
    static const char *const payloads[] = {"{\"v\":1}", "bad", "{\"v\":3}"};
    enum verdict verdicts[3];
    struct table table;
    begin(&table, options);
    table_write_at(&table, positions, payloads, 3, verdicts);
    const char *rows = table_rows(&table, NULL);
    reopen(&table);
    table_write_at(&table, positions, payloads, 3, verdicts);
    assert_int_equal(verdicts[0], VERDICT_DONE);
    assert_int_equal(verdicts[1], VERDICT_REJECT); /* its first verdict may have been lost */
    assert_int_equal(verdicts[2], VERDICT_DONE);
    assert_rows(&table, rows);
    assert_non_null(strstr(rows, "=1\n"));
    table_fini(&table);
}

/* A dead letter that is tried again is no repetition, though its id is an old one. */
static void
a_dead_letter_is_taken_behind_newer_records(void **state)
{
    static const char *const options[] = {"on_conflict=replace", NULL};
    static const uint64_t positions[] = {1, 2};
    static const char *const payloads[] = {"{\"time\":1720699200000,\"v\":1}",
                                           "{\"time\":1720699200001,\"v\":2}"};
    enum verdict verdicts[2];
    struct table table;
    begin(&table, options);
    table_write_at(&table, positions + 1, payloads + 1, 1, verdicts);
    table.dead_position = 64;
    table_write_at(&table, positions, payloads, 1, verdicts);
    assert_int_equal(verdicts[0], VERDICT_DONE);
    assert_non_null(strstr(table_rows(&table, NULL), "measure_name=v time=" T0));
    table_fini(&table);
}

/* A batch that failed as a whole may come behind later ones. */
static void
a_failed_batch_is_taken_when_it_comes_again(void **state)
{
    static const char *const options[] = {"on_conflict=replace", NULL};
    static const uint64_t early[] = {1, 2};
    static const uint64_t late[] = {3, 4};
    static const char *const payloads[] = {"{\"v\":1}", "{\"v\":2}"};
    enum verdict verdicts[2];
    struct table table;
    begin(&table, options);
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    struct rlimit none = {0, limit.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &none); /* as a full disk */
    table_write_at(&table, early, payloads, 2, verdicts);
    setrlimit(RLIMIT_FSIZE, &limit);
    assert_int_equal(verdicts[0], VERDICT_RETRY);
    assert_int_equal(verdicts[1], VERDICT_RETRY);
    table_write_at(&table, late, payloads, 2, verdicts);
    assert_int_equal(verdicts[1], VERDICT_DONE);
    reopen(&table);
    table_write_at(&table, early, payloads, 2, verdicts);
    assert_int_equal(verdicts[1], VERDICT_DONE);
    struct scan_request first = {.time_min_ns = INT64_MIN,
                                 .time_max_ns = (table.wall_us + 2) * 1000,
                                 .equal_column = SIZE_MAX};
    assert_string_equal(table_rows(&table, &first),
                        "measure_name=v time=2024-07-11T13:00:00.000001000 "
                        "measure_value::bigint=1\n"
                        "measure_name=v time=2024-07-11T13:00:00.000002000 "
                        "measure_value::bigint=2\n");
    table_fini(&table);
}

enum { RECORDS = 3000, BATCH = 10 };

/* Writes all batches; a byte into `progress` (if not -1) for each. */
static void
write_all(struct table *table, int progress)
{
    for (uint64_t at = 0; at < RECORDS; at += BATCH) {
        uint64_t positions[BATCH];
        char texts[BATCH][40];
        const char *payloads[BATCH];
        enum verdict verdicts[BATCH];
        for (size_t i = 0; i < BATCH; i++) {
            positions[i] = 1 + at + i;
            snprintf(texts[i], sizeof texts[i], "{\"v\":%d}", (int)positions[i]);
            payloads[i] = texts[i];
        }
        table_write_at(table, positions, payloads, BATCH, verdicts);
        if (progress >= 0 && write(progress, "x", 1) != 1) {
            _exit(1);
        }
    }
}

/* Killed while batches are written: what comes again after the restart is stored once. */
static void
a_killed_writer_loses_and_doubles_nothing(void **state)
{
    struct table table;
    table_init(&table, "timeseries", NULL);
    for (int round = 0; round < 4; round++) {
        int progress[2];
        assert_int_equal(pipe(progress), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            if (table_open(&table)) {
                write_all(&table, progress[1]);
            }
            _exit(0);
        }
        close(progress[1]);
        char one;
        for (int i = 0; i < 3 + round * 20; i++) {
            assert_int_equal(read(progress[0], &one, 1), 1);
        }
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        close(progress[0]);
    }
    open_or_fail(&table);
    write_all(&table, -1);
    const char *rows = table_rows(&table, NULL);
    size_t count = 0;
    for (const char *at = rows; *at != '\0'; at++) {
        count += *at == '\n';
    }
    assert_int_equal(count, RECORDS);
    table_fini(&table);
}

static void
scans_keep_range_order_and_equality(void **state)
{
    struct table table;
    begin(&table, NULL);
    assert_done(&table, "{\"time\":1720699203000,\"id\":\"a\",\"v\":3}");
    assert_done(&table, "{\"time\":1720699201000,\"id\":\"a\",\"v\":1}");
    assert_done(&table, "{\"time\":1720699202000,\"id\":\"b\",\"v\":2}");
    assert_done(&table, "{\"time\":1720699202000,\"v\":5}");
    struct scan_request request = {.time_min_ns = INT64_C(1720699201000000000),
                                   .time_max_ns = INT64_C(1720699202000000000),
                                   .newest_first = true,
                                   .equal_column = SIZE_MAX};
    assert_string_equal(table_rows(&table, &request),
                        "measure_name=v time=2024-07-11T12:00:02.000000000 "
                        "measure_value::bigint=5\n"
                        "id=b measure_name=v time=2024-07-11T12:00:02.000000000 "
                        "measure_value::bigint=2\n"
                        "id=a measure_name=v time=" T1 " measure_value::bigint=1\n");
    static const bool wanted[] = {false, false, false, true};
    request = (struct scan_request){.time_min_ns = INT64_MIN,
                                    .time_max_ns = INT64_MAX,
                                    .wanted = wanted,
                                    .equal_column = 0,
                                    .equal_text = BYTES("a")};
    assert_string_equal(table_rows(&table, &request),
                        "measure_value::bigint=1\nmeasure_value::bigint=3\n");
    table_fini(&table);
}

static void
what_is_older_than_the_retention_goes(void **state)
{
    static const char *const options[] = {"magnetic.retention=1d", "memory.retention=1h", NULL};
    struct table table;
    begin(&table, options);
    assert_refused(&table, "{\"time\":1720099200000,\"v\":1}", "older than 'magnetic.retention'");
    assert_done(&table, "{\"time\":1720699200000,\"v\":1}");
    table.wall_us += INT64_C(23) * 3600 * 1000000 + 1;
    assert_rows(&table, ""); /* hidden before it is deleted */
    table.wall_us -= INT64_C(24) * 3600 * 1000000;
    assert_rows(&table, "measure_name=v time=" T0 " measure_value::bigint=1\n");
    table.wall_us = 86400; /* a clock that was never set deletes nothing */
    reopen(&table);
    assert_done(&table, "{\"v\":2}");
    table.wall_us = INT64_C(1720702800000000);
    assert_rows(&table, "measure_name=v time=" T0 " measure_value::bigint=1\n");
    int64_t then_us = table.wall_us;
    table.wall_us += INT64_C(3650) * 86400 * 1000000; /* nor does one that nobody keeps right */
    table.is_synchronised = false;
    reopen(&table);
    assert_refused(&table, "{\"time\":1720099200000,\"v\":4}", "older than 'magnetic.retention'");
    table.mono_us = 1000000; /* since the boot: who knows what time it is */
    assert_done(&table, "{\"time\":1720099200000,\"v\":4}");
    table.is_synchronised = true;
    table.wall_us = then_us;
    assert_rows(&table, "measure_name=v time=" T0 " measure_value::bigint=1\n");
    table.wall_us += INT64_C(24) * 3600 * 1000000;
    reopen(&table);
    assert_done(&table, "{\"v\":3}");
    table.wall_us = 86400;
    assert_rows(&table, "measure_name=v time=2024-07-12T13:00:00.000006000 "
                        "measure_value::bigint=3\n");
    table_fini(&table);
}

static bool
has_file_with(const char *dir, const char *part)
{
    DIR *open_dir = opendir(dir);
    bool found = false;
    struct dirent *entry;
    while ((entry = readdir(open_dir)) != NULL) {
        found = found || strstr(entry->d_name, part) != NULL;
    }
    closedir(open_dir);
    return found;
}

static void
spoil(const struct table *table, off_t from, size_t size)
{
    char path[128];
    char noise[8192];
    memset(noise, 'x', sizeof noise);
    snprintf(path, sizeof path, "%s/series.db", table->dir);
    int fd = open(path, O_WRONLY | O_CREAT, 0644);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, noise, size, from), (ssize_t)size);
    close(fd);
}

static void
a_damaged_file_is_moved_aside(void **state)
{
    struct table table;
    begin(&table, NULL);
    assert_done(&table, "{\"v\":1}");
    table_close(&table);
    spoil(&table, 0, 4096);
    open_or_fail(&table);
    assert_int_equal(table.diags.errors, 0);
    assert_true(table.diags.count > 0);
    assert_true(has_file_with(table.dir, ".damaged-"));
    assert_rows(&table, "");
    assert_done(&table, "{\"v\":2}");
    table_fini(&table);

    begin(&table, NULL); /* pages in the middle */
    for (int i = 0; i < 500; i++) {
        assert_done(&table, "{\"v\":1,\"w\":2,\"x\":3}");
    }
    table_close(&table);
    spoil(&table, 4096, 8192);
    open_or_fail(&table);
    assert_true(has_file_with(table.dir, ".damaged-"));
    table_fini(&table);
}

/* Damage that is found while writing: a new file begins, the batch comes again. */
static void
damage_under_a_writer_costs_a_retry(void **state)
{
    enum { ROWS = 150000 }; /* more than SQLite keeps in memory */
    struct table table;
    begin(&table, NULL);
    struct buf many = {0};
    for (int i = 0; i < ROWS; i++) {
        buf_printf(&many, "%s{\"time\":%d,\"v\":%d.5}", i == 0 ? "[" : ",", i, i);
    }
    buf_append_char(&many, ']');
    assert_done(&table, buf_string(&many));
    buf_fini(&many);
    reopen(&table);
    for (off_t at = 4096; at < ROWS * 20; at += 8192) {
        spoil(&table, at, 8192);
    }
    assert_int_equal(table_write(&table, "{\"v\":1,\"time\":77}", NULL), VERDICT_RETRY);
    assert_done(&table, "{\"id\":\"b\",\"v\":1}");
    assert_true(has_file_with(table.dir, ".damaged-"));
    assert_rows(&table, "id=b measure_name=v time=2024-07-11T13:00:00.000003000 "
                        "measure_value::bigint=1\n");
    table_fini(&table);
}

static void
a_reader_needs_no_writer(void **state)
{
    struct table table;
    table_init(&table, "timeseries", NULL);
    table.env.read_only = true;
    open_or_fail(&table);
    assert_rows(&table, ""); /* before there is a file */
    assert_false(has_file_with(table.dir, "series.db"));
    table_close(&table);
    table.env.read_only = false;
    open_or_fail(&table);
    struct table reader = table;
    reader.env.read_only = true;
    reader.arena = (struct arena){0};
    open_or_fail(&reader);
    assert_done(&table, "{\"v\":1}");
    assert_rows(&reader, "measure_name=v time=2024-07-11T13:00:00.000001000 "
                         "measure_value::bigint=1\n");
    table_close(&reader);
    arena_fini(&reader.arena);
    table_fini(&table);
}

static void
series_are_bounded(void **state)
{
    static const char *const options[] = {"series_max=2", NULL};
    struct table table;
    begin(&table, options);
    assert_done(&table, "{\"id\":\"a\",\"v\":1}");
    assert_done(&table, "{\"id\":\"b\",\"v\":1}");
    assert_refused(&table, "{\"id\":\"c\",\"v\":1}", "holds 2 series");
    reopen(&table);
    assert_refused(&table, "{\"id\":\"d\",\"v\":1}", "holds 2 series");
    assert_done(&table, "{\"id\":\"b\",\"v\":2}");
    table_fini(&table);
}

static void
contradicting_options_do_not_open(void **state)
{
    static const char *const reserved[] = {"dimensions=time", NULL};
    const struct declared_column columns[] = {{BYTES("a"), COLUMN_TIMESTAMP},
                                                     {BYTES("b"), COLUMN_TIMESTAMP}};
    struct table table;
    table_init(&table, "timeseries", reserved);
    assert_false(table_open(&table));
    table_fini(&table);
    table_init(&table, "timeseries", NULL);
    table.declaration = (struct driver_declaration){.columns = columns, .column_count = 2};
    assert_false(table_open(&table));
    table_fini(&table);
}

/* The same dimensions in another order are the same series. */
static void
the_order_of_dimensions_does_not_matter(void **state)
{
    struct table table;
    begin(&table, NULL);
    assert_done(&table, "{\"b\":\"2\",\"a\":\"1\",\"v\":1,\"time\":1720699200000}");
    assert_refused(&table, "{\"a\":\"1\",\"b\":\"2\",\"v\":2,\"time\":1720699200000}", "already");
    assert_done(&table, "{\"a\":\"1\",\"v\":2,\"time\":1720699200000}");
    assert_rows(&table, "b=2 a=1 measure_name=v time=" T0 " measure_value::bigint=1\n"
                        "a=1 measure_name=v time=" T0 " measure_value::bigint=2\n");
    table_fini(&table);
}

static void
an_action_says_dimensions_and_time(void **state)
{
    static const char *const options[] = {"dimensions=id", "time=at", NULL};
    struct table table;
    begin(&table, options);
    table.params = "{\"dimensions\":[{\"name\":\"device\",\"value\":\"d7\"},{\"name\":\"floor\","
                   "\"value\":\"2\"}],\"timestamp\":{\"value\":\"1720699200\",\"unit\":\"SECONDS\"}}";
    assert_done(&table, "{\"id\":\"x\",\"t\":21.5,\"ok\":true,\"list\":[1],\"none\":null}");
    assert_rows(&table,
                "device=d7 floor=2 measure_name=id time=" T0 " measure_value::varchar=x\n"
                "device=d7 floor=2 measure_name=t time=" T0 " measure_value::double=21.5\n"
                "device=d7 floor=2 measure_name=ok time=" T0 " measure_value::boolean=true\n"
                "device=d7 floor=2 measure_name=list time=" T0 " measure_value::varchar=[1]\n");
    table.params = "{\"dimensions\":[{\"name\":\"device\",\"value\":\"d7\"},{\"name\":\"floor\","
                   "\"value\":\"2\"}],\"timestamp\":{\"value\":\"1720699200001\",\"unit\":"
                   "\"MILLISECONDS\"}}";
    assert_done(&table, "{\"t\":22}"); /* joins the doubles */
    assert_non_null(strstr(table_rows(&table, NULL), "00:00.001000000 measure_value::double=22"));
    table_fini(&table);
}

static void
what_an_action_cannot_store_is_named(void **state)
{
    static const struct {
        const char *params, *payload, *reason;
    } cases[] = {
            {"[]", "{\"v\":1}", "not a JSON object"},
            {"{\"dimensions\":[{\"name\":\"ts_x\",\"value\":\"\"}]}", "{\"v\":1}",
             "'ts_x' cannot be the name of a dimension"},
            {"{\"dimensions\":[{\"name\":\"x\"}]}", "{\"v\":1}", "no name or value"},
            {"{\"dimensions\":[{\"name\":\"x\",\"value\":\"\"},{\"name\":\"x\",\"value\":\"\"}]}",
             "{\"v\":1}", "'x' is given twice"},
            {"{\"timestamp\":{\"value\":\"1.5\",\"unit\":\"SECONDS\"}}", "{\"v\":1}",
             "'1.5 SECONDS' is not a whole number"},
            {"{\"timestamp\":{\"value\":\"1\",\"unit\":\"DAYS\"}}", "{\"v\":1}", "'1 DAYS'"},
            {"{\"timestamp\":{\"value\":\"99999999999\",\"unit\":\"SECONDS\"}}", "{\"v\":1}",
             "not a whole number of a unit"},
            {"{\"timestamp\":{\"value\":\"1999999999\",\"unit\":\"SECONDS\"}}", "{\"v\":1}",
             "more than 15 minutes after the arrival"},
            {"{\"timestamp\":{\"value\":\"1720699200\"}}", "{\"v\":1}", "older than"},
            {"{\"dimensions\":[]}", "{\"time\":1}", "'time' cannot be the name of a measure"},
            {"{\"dimensions\":[]}", "{\"a:b\":1}", "'a:b' cannot be the name of a measure"},
            {"{\"dimensions\":[]}", "{\"measure_value::x\":1}", "cannot be the name"},
            {"{\"dimensions\":[]}", "{}", "no member holds a measure"},
    };
    static const char *const options[] = {"magnetic.retention=365d", NULL};
    struct table table;
    begin(&table, options);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        table.params = cases[i].params;
        assert_refused(&table, cases[i].payload, cases[i].reason);
    }
    assert_rows(&table, "");
    table_fini(&table);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(strings_are_dimensions_and_the_rest_measures),
            cmocka_unit_test(options_name_dimensions_measures_and_time),
            cmocka_unit_test(declared_columns_set_parts_and_types),
            cmocka_unit_test(whole_numbers_join_a_measure_of_doubles),
            cmocka_unit_test(numbers_can_all_be_doubles),
            cmocka_unit_test(bad_rows_are_refused_with_the_member),
            cmocka_unit_test(a_row_without_time_has_its_arrival),
            cmocka_unit_test(another_value_is_a_conflict),
            cmocka_unit_test(a_conflict_can_replace),
            cmocka_unit_test(a_batch_sent_twice_is_stored_once),
            cmocka_unit_test(a_dead_letter_is_taken_behind_newer_records),
            cmocka_unit_test(a_failed_batch_is_taken_when_it_comes_again),
            cmocka_unit_test(a_killed_writer_loses_and_doubles_nothing),
            cmocka_unit_test(scans_keep_range_order_and_equality),
            cmocka_unit_test(what_is_older_than_the_retention_goes),
            cmocka_unit_test(a_damaged_file_is_moved_aside),
            cmocka_unit_test(damage_under_a_writer_costs_a_retry),
            cmocka_unit_test(a_reader_needs_no_writer),
            cmocka_unit_test(series_are_bounded),
            cmocka_unit_test(contradicting_options_do_not_open),
            cmocka_unit_test(the_order_of_dimensions_does_not_matter),
            cmocka_unit_test(an_action_says_dimensions_and_time),
            cmocka_unit_test(what_an_action_cannot_store_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
