/*
 * The conformance suite: what gateway/driver.h promises of every driver, checked for every row of
 * drivers.def. A driver's own behaviour is tested in tests/unit.
 *
 * The rig (rig.c) overwrites and frees every byte of a batch when write returns, and the suite
 * runs under AddressSanitizer: a driver that keeps a view, leaks or overruns is found by any check.
 */
#define _GNU_SOURCE
#include "unit/unit.h"

#include "base/mem.h"
#include "conform/fixtures.h"
#include "worker/process.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

static const char secret[] = "S3CR3T-xyz"; /* what secret options are set to in fixtures.c */

/* ---- around a check ---- */

static void
stage_start(struct stage *stage, const struct fixture *fixture)
{
    *stage = (struct stage){0};
    for (const char *const *o = fixture->options; o != NULL && *o != NULL; o += 2) {
        stage_add(stage, o[0], o[1]);
    }
    if (fixture->start != NULL) {
        fixture->start(stage);
    }
}

static void
stage_stop(struct stage *stage, const struct fixture *fixture)
{
    if (fixture->stop != NULL) {
        fixture->stop(stage);
    }
}

static bool
open_with(struct rig *rig, const struct fixture *fixture, const struct stage *stage,
          const char *const *options)
{
    struct rig_setup setup = {.driver = fixture->driver, .options = options,
                              .source = fixture->source, .handlers_dir = stage->folder,
                              .executable = "/proc/self/exe"};
    return rig_open(rig, &setup);
}

static void
open_good(struct rig *rig, const struct fixture *fixture, const struct stage *stage)
{
    bool opened = open_with(rig, fixture, stage, stage->options);
    if (!opened) {
        print_message("%.*s\n", BYTES_ARG(diag_first_error(&rig->diags)));
    }
    assert_true(opened);
}

static bool
tells_secret(struct bytes text)
{
    return memmem(text.data, text.size, secret, sizeof secret - 1) != NULL;
}

/* Every record has a verdict, every refusal a reason in printable UTF-8, none of it a secret. */
static void
assert_outcomes(const struct rig *rig)
{
    for (size_t i = 0; i < rig->count; i++) {
        const struct outcome *outcome = &rig->outcomes[i];
        assert_int_not_equal(outcome->verdict, VERDICT_NONE);
        assert_true(outcome->retry_after_ms >= 0);
        if (outcome->verdict != VERDICT_DONE) {
            assert_true(outcome->reason.size > 0);
            assert_true(bytes_is_utf8(outcome->reason));
            assert_false(tells_secret(outcome->reason));
        }
    }
}

static void
write_good(struct rig *rig, const struct fixture *fixture, size_t count)
{
    struct bytes *payloads = mem_new_array(struct bytes, count);
    for (size_t i = 0; i < count; i++) {
        payloads[i] = bytes_of_string(fixture->payload);
    }
    rig_write(rig, payloads, count, 20000);
    free(payloads);
    assert_outcomes(rig);
}

static size_t
count_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    assert_non_null(dir);
    size_t count = 0;
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count - 2;
}

/* ---- the checks ---- */

static void
options_are_documented(const struct fixture *fixture)
{
    const struct driver *driver = driver_find(bytes_of_string(fixture->driver));
    assert_true(driver->summary != NULL && driver->open != NULL && driver->close != NULL);
    assert_true(driver->limits.records_max >= 1 && driver->limits.bytes_max >= 1);
    for (size_t i = 0; i < driver->options.count; i++) {
        const struct option *option = &driver->options.options[i];
        struct bytes doc = bytes_of_string(option->doc);
        assert_true(doc.size > 10 && bytes_ends_with(doc, BYTES(".")));
        for (const char *c = option->name; *c != '\0'; c++) {
            assert_true((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '_' ||
                        *c == '.' || *c == '-');
        }
    }
}

static void
a_failed_open_leaves_nothing(const struct fixture *fixture)
{
    if (fixture->bad_options == NULL) {
        return;
    }
    struct stage stage;
    stage_start(&stage, fixture);
    size_t descriptors = rig_descriptors(), threads = count_threads();
    for (int i = 0; i < 3; i++) {
        struct rig rig;
        assert_false(open_with(&rig, fixture, &stage, fixture->bad_options));
        assert_null(rig.instance);
        assert_true(rig.diags.errors > 0);
        assert_false(tells_secret(diag_first_error(&rig.diags)));
        rig_close(&rig);
    }
    assert_int_equal(rig_descriptors(), descriptors);
    assert_int_equal(count_threads(), threads);
    stage_stop(&stage, fixture);
}

static void
good_records_are_done(const struct fixture *fixture)
{
    struct stage stage;
    struct rig rig;
    stage_start(&stage, fixture);
    open_good(&rig, fixture, &stage);
    write_good(&rig, fixture, 1);
    assert_int_equal(rig_count(&rig, VERDICT_DONE), 1);
    write_good(&rig, fixture, rig.driver->limits.records_max);
    assert_int_equal(rig_count(&rig, VERDICT_DONE), rig.driver->limits.records_max);
    rig_close(&rig);
    stage_stop(&stage, fixture);
}

static bool
count_row(void *context, const struct cell *cells)
{
    size_t *rows = context;
    (*rows)++;
    return true;
}

static bool
stop_at_once(void *context, const struct cell *cells)
{
    count_row(context, cells);
    return false;
}

/* Rows that a scan over all time gives; 0 for a driver that cannot. */
static size_t
count_rows(struct rig *rig, scan_row_fn row)
{
    if (!rig->driver->can_scan) {
        return 0;
    }
    struct arena arena = {0};
    struct table_schema schema;
    size_t rows = 0;
    struct scan_request all = {.time_min_ns = INT64_MIN, .time_max_ns = INT64_MAX,
                               .equal_column = SIZE_MAX};
    assert_true(rig->driver->describe(rig->instance, &arena, &schema, &rig->diags));
    assert_true(schema.count > 0);
    assert_true(rig->driver->scan(rig->instance, &schema, &all, row, &rows, &rig->diags));
    arena_fini(&arena);
    return rows;
}

static void
the_same_batch_twice_is_fine(const struct fixture *fixture)
{
    struct stage stage;
    struct rig rig;
    stage_start(&stage, fixture);
    open_good(&rig, fixture, &stage);
    write_good(&rig, fixture, 5);
    size_t rows = count_rows(&rig, count_row);
    rig.next_position = 1;
    write_good(&rig, fixture, 5);
    assert_int_equal(rig_count(&rig, VERDICT_DONE), 5);
    assert_int_equal(count_rows(&rig, count_row), rows);
    if (rig.driver->can_scan) {
        assert_true(rows > 0);
        assert_int_equal(count_rows(&rig, stop_at_once), 1);
    }
    rig_close(&rig);
    stage_stop(&stage, fixture);
}

/* Each odd payload gets a verdict, and the good record behind it is done. */
static void
odd_payloads_get_a_verdict(const struct fixture *fixture)
{
    struct stage stage;
    struct rig rig;
    stage_start(&stage, fixture);
    open_good(&rig, fixture, &stage);
    size_t megabyte = 1 << 20;
    char *large = mem_alloc(megabyte);
    memset(large, 'x', megabyte);
    large[0] = large[megabyte - 1] = '"';
    const struct bytes odd[] = {
            BYTES(""), bytes_of(large, megabyte), BYTES("not json"), BYTES("\0\xff\x01 binary\r\n"),
            BYTES("null"), BYTES("[]"), BYTES("{\"a\":"), bytes_of_string(fixture->payload)};
    size_t count = sizeof odd / sizeof *odd;
    rig_write(&rig, odd, count, 20000);
    assert_outcomes(&rig);
    assert_int_equal(rig.outcomes[count - 1].verdict, VERDICT_DONE);
    assert_int_equal(rig_count(&rig, VERDICT_RETRY), 0);
    for (size_t i = 0; i < count - 1; i++) {
        rig_write(&rig, &odd[i], 1, 20000);
        assert_outcomes(&rig);
    }
    free(large);
    rig_close(&rig);
    stage_stop(&stage, fixture);
}

static void
a_past_deadline_returns_soon(const struct fixture *fixture)
{
    struct stage stage;
    struct rig rig;
    stage_start(&stage, fixture);
    open_good(&rig, fixture, &stage);
    struct bytes payloads[50];
    for (size_t i = 0; i < 50; i++) {
        payloads[i] = bytes_of_string(fixture->payload);
    }
    int64_t start_us = os_posix.mono_us(&os_posix);
    rig_write(&rig, payloads, 50, -1000);
    assert_true(os_posix.mono_us(&os_posix) - start_us < 500000);
    assert_outcomes(&rig);
    assert_int_equal(rig_count(&rig, VERDICT_REJECT), 0);
    rig.next_position = 1;
    write_good(&rig, fixture, 50);
    assert_int_equal(rig_count(&rig, VERDICT_DONE), 50);
    rig_close(&rig);
    stage_stop(&stage, fixture);
}

static void
closing_leaves_nothing(const struct fixture *fixture)
{
    struct stage stage;
    stage_start(&stage, fixture);
    size_t descriptors = rig_descriptors(), threads = count_threads();
    for (size_t writes = 0; writes < 4; writes++) {
        struct rig rig;
        open_good(&rig, fixture, &stage);
        for (size_t i = 0; i < writes; i++) {
            write_good(&rig, fixture, 3);
        }
        int64_t start_us = os_posix.mono_us(&os_posix);
        rig.driver->close(rig.instance);
        rig.instance = NULL;
        assert_true(os_posix.mono_us(&os_posix) - start_us < 1000000);
        rig_close(&rig);
    }
    usleep(20000); /* a server's thread notices that its client is gone */
    assert_in_range(rig_descriptors(), 0, descriptors);
    assert_int_equal(count_threads(), threads);
    stage_stop(&stage, fixture);
}

static void
two_instances_run_side_by_side(const struct fixture *fixture)
{
    struct stage stage_one, stage_two;
    struct rig one, two;
    stage_start(&stage_one, fixture);
    stage_start(&stage_two, fixture);
    open_good(&one, fixture, &stage_one);
    open_good(&two, fixture, &stage_two);
    write_good(&one, fixture, 3);
    write_good(&two, fixture, 2);
    write_good(&one, fixture, 1);
    assert_int_equal(rig_count(&one, VERDICT_DONE), 1);
    rig_close(&one);
    write_good(&two, fixture, 4);
    assert_int_equal(rig_count(&two, VERDICT_DONE), 4);
    rig_close(&two);
    stage_stop(&stage_two, fixture);
    stage_stop(&stage_one, fixture);
}

static void
health_is_a_sentence(const struct fixture *fixture)
{
    struct stage stage;
    struct rig rig;
    stage_start(&stage, fixture);
    open_good(&rig, fixture, &stage);
    for (int i = 0; i < 2 && rig.driver->health != NULL; i++) {
        struct health health;
        memset(&health, 0xdb, sizeof health);
        rig.driver->health(rig.instance, &health);
        assert_int_equal(health.state, HEALTH_OK);
        size_t size = strnlen(health.sentence, sizeof health.sentence);
        assert_in_range(size, 1, sizeof health.sentence - 1);
        assert_true(bytes_is_utf8(bytes_of(health.sentence, size)));
        assert_false(tells_secret(bytes_of(health.sentence, size)));
        write_good(&rig, fixture, 2);
    }
    rig_close(&rig);
    stage_stop(&stage, fixture);
}

static const struct {
    const char *name;
    void (*run)(const struct fixture *fixture);
} checks[] = {
        {"options are documented", options_are_documented},
        {"a failed open leaves nothing", a_failed_open_leaves_nothing},
        {"good records are done", good_records_are_done},
        {"the same batch twice is fine", the_same_batch_twice_is_fine},
        {"odd payloads get a verdict", odd_payloads_get_a_verdict},
        {"a past deadline returns soon", a_past_deadline_returns_soon},
        {"closing leaves nothing", closing_leaves_nothing},
        {"two instances run side by side", two_instances_run_side_by_side},
        {"health is a sentence", health_is_a_sentence},
};

enum { CHECKS = sizeof checks / sizeof *checks };

/* ---- drivers x checks ---- */

struct cross {
    const struct fixture *fixture;
    size_t check;
    char name[100];
};

static void
run_check(void **state)
{
    const struct cross *cross = *state;
    checks[cross->check].run(cross->fixture);
}

static void
every_driver_has_a_fixture(void **state)
{
    for (const struct driver *const *row = driver_catalogue; *row != NULL; row++) {
        if (fixture_find((*row)->name) == NULL) {
            fail_msg("driver '%s' has no row in tests/conform/fixtures.c", (*row)->name);
        }
    }
}

int
main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "worker") == 0) {
        return worker_process_main();
    }
    size_t drivers = 0, count = 0;
    while (driver_catalogue[drivers] != NULL) {
        drivers++;
    }
    struct cross *crosses = mem_new_array(struct cross, drivers * CHECKS);
    struct CMUnitTest *tests = mem_new_array(struct CMUnitTest, drivers * CHECKS + 1);
    for (size_t i = 0; i < drivers * CHECKS; i++) {
        const char *name = driver_catalogue[i / CHECKS]->name;
        const struct fixture *fixture = fixture_find(name);
        if (fixture == NULL || fixture->outside_help != NULL) {
            continue;
        }
        struct cross *cross = &crosses[count];
        cross->fixture = fixture;
        cross->check = i % CHECKS;
        snprintf(cross->name, sizeof cross->name, "%s: %s", name, checks[i % CHECKS].name);
        tests[count++] = (struct CMUnitTest){cross->name, run_check, NULL, NULL, cross};
    }
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(every_driver_has_a_fixture);
    int failed = _cmocka_run_group_tests("conform", tests, count, NULL, NULL);
    free(tests);
    free(crosses);
    return failed;
}
