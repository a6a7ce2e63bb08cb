/*
 * A log as each released version wrote it: tests/fixtures/journal-VERSION, never to be changed.
 * For a new format version, write one with HEADGATE_WRITE_FIXTURE=FOLDER and this program, commit
 * it beside the others, and add its row.
 */
#define _GNU_SOURCE
#include "journal_rig.h"

#include "store/examine.h"
#include "store/segment.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { COUNT = 40 };

static struct journal_options
fixture_options(const struct os *os, const char *folder)
{
    struct journal_options options = options_for(os);
    options.dir = folder;
    return options;
}

static void
write_fixture(const char *folder)
{
    struct journal_options options = fixture_options(&os_posix, folder);
    struct journal *journal = must_open(&options);
    struct diag_list diags = {0};
    for (uint64_t n = 0; n < COUNT; n++) {
        char text[64];
        struct record record = numbered(n, text);
        record.props = n % 3 == 0 ? BYTES("\x01\x04text") : BYTES("");
        record.flags |= n % 5 == 0 ? (unsigned)RECORD_RETAINED : 0;
        assert_true(journal_append(journal, &record, &diags));
    }
    journal_close(journal);
    diag_list_fini(&diags);
}

/* Copies a fixture into a folder of its own, because a writer changes it. */
static void
copy_fixture(const char *version, char folder[128])
{
    snprintf(folder, 128, "/tmp/headgate-fixture-XXXXXX");
    assert_non_null(mkdtemp(folder));
    struct buf command = {0};
    buf_printf(&command, "cp %s/journal-%s/* %s/", FIXTURES, version, folder);
    assert_int_equal(system(buf_string(&command)), 0);
    buf_fini(&command);
}

static void
remove_copy(const char *folder)
{
    struct buf command = {0};
    buf_printf(&command, "rm -r %s", folder);
    assert_int_equal(system(buf_string(&command)), 0);
    buf_fini(&command);
}

static uint64_t
read_fixture(const char *folder)
{
    struct journal_reader *reader = NULL;
    struct diag_list diags = {0};
    struct record record;
    uint64_t n = 0;
    assert_true(journal_reader_open(&reader, &os_posix, folder, 0, &diags));
    while (journal_reader_next(reader, UINT64_MAX, &record, &diags) == JOURNAL_RECORD) {
        char text[64];
        struct record expected = numbered(n, text);
        assert_true(bytes_equal(record.payload, expected.payload));
        assert_true(bytes_equal(record.topic, expected.topic));
        assert_int_equal(record.time_us, expected.time_us);
        if (n < COUNT) {
            assert_int_equal(record.props.size, n % 3 == 0 ? 6 : 0);
            assert_int_equal((record.flags & RECORD_RETAINED) != 0, n % 5 == 0);
        }
        n++;
    }
    journal_reader_close(reader);
    diag_list_fini(&diags);
    return n;
}

static void
logs_of_released_versions_are_read_and_continued(void **state)
{
    static const char *const versions[] = {"1"};
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        char folder[128];
        copy_fixture(versions[i], folder);
        assert_int_equal(read_fixture(folder), COUNT);
        struct journal_options options = fixture_options(&os_posix, folder);
        struct journal *journal = must_open(&options);
        append_range(journal, COUNT, COUNT + 10);
        journal_close(journal);
        assert_int_equal(read_fixture(folder), COUNT + 10);
        remove_copy(folder);
    }
}

static void
a_log_of_a_version_to_come_is_refused_and_left_as_it_is(void **state)
{
    char folder[128];
    copy_fixture("newer", folder);
    struct buf path = {0}, before = {0}, after = {0};
    segment_path(&path, folder, 0);
    assert_int_equal(os_read_file(&os_posix, buf_string(&path), 1 << 20, &before), 0);
    struct journal_options options = fixture_options(&os_posix, folder);
    struct journal *journal = NULL;
    struct diag_list diags = {0};
    assert_false(journal_open(&journal, &options, &diags));
    struct bytes said = diag_first_error(&diags);
    assert_non_null(memmem(said.data, said.size, "newer version", 13));
    assert_int_equal(os_read_file(&os_posix, buf_string(&path), 1 << 20, &after), 0);
    assert_true(bytes_equal(buf_bytes(&before), buf_bytes(&after)));
    struct journal_examination found;
    assert_false(journal_examine(&os_posix, folder, NULL, NULL, &found, &diags));
    diag_list_fini(&diags);
    buf_fini(&path);
    buf_fini(&before);
    buf_fini(&after);
    remove_copy(folder);
}

int
main(void)
{
    const char *folder = getenv("HEADGATE_WRITE_FIXTURE");
    if (folder != NULL) {
        write_fixture(folder);
        return 0;
    }
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(logs_of_released_versions_are_read_and_continued),
            cmocka_unit_test(a_log_of_a_version_to_come_is_refused_and_left_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
