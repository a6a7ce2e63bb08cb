/* The console driver, with standard output turned into a pipe for the time of a write. */
#define _GNU_SOURCE
#include "unit.h"

#include "base/os.h"
#include "conform/rig.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* Writes with stdout into a pipe whose reader reads `read_size` bytes afterwards. */
static void
write_to_pipe(struct rig *rig, const struct bytes *payloads, size_t count, int64_t timeout_ms,
              char *out, size_t out_size)
{
    int ends[2];
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDOUT_FILENO);
    close(ends[1]);
    rig_write(rig, payloads, count, timeout_ms);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    size_t got = 0;
    for (ssize_t n = 1; n > 0; got += n > 0 ? (size_t)n : 0) {
        n = read(ends[0], out + got, out_size - 1 - got);
    }
    out[got] = '\0';
    close(ends[0]);
}

static void
a_record_is_a_line(void **state)
{
    struct rig rig;
    char out[1000];
    const struct bytes payloads[] = {BYTES("{\"a\":\n1}"), BYTES(""), BYTES("\x1b[2J\0x\xc3\xa4")};
    assert_true(rig_open(&rig, &(struct rig_setup){.driver = "console"}));
    write_to_pipe(&rig, payloads, 3, 1000, out, sizeof out);
    assert_int_equal(rig_count(&rig, VERDICT_DONE), 3);
    assert_string_equal(out, "alerts/7 {\"a\": 1}\nalerts/7 \nalerts/7 \\x1b[2J\\x00x\xc3\xa4\n");
    rig_close(&rig);

    struct rig_setup payload_only = {.driver = "console",
                                     .options = (const char *[]){"format", "payload", NULL}};
    assert_true(rig_open(&rig, &payload_only));
    write_to_pipe(&rig, payloads, 1, 1000, out, sizeof out);
    assert_string_equal(out, "{\"a\": 1}\n");
    rig_close(&rig);
}

static void
a_reader_that_does_not_read_is_not_waited_for_longer(void **state)
{
    struct rig rig;
    static char large[100000], out[200000];
    memset(large, 'x', sizeof large);
    const struct bytes payloads[] = {BYTES("1"), bytes_of(large, sizeof large), BYTES("2")};
    assert_true(rig_open(&rig, &(struct rig_setup){.driver = "console"}));
    int64_t start_us = os_posix.mono_us(&os_posix);
    write_to_pipe(&rig, payloads, 3, 100, out, sizeof out);
    assert_in_range(os_posix.mono_us(&os_posix) - start_us, 90000, 1000000);
    assert_int_equal(rig.outcomes[0].verdict, VERDICT_DONE);
    assert_int_equal(rig.outcomes[1].verdict, VERDICT_RETRY);
    assert_int_equal(rig.outcomes[2].verdict, VERDICT_RETRY);
    write_to_pipe(&rig, payloads, 1, 100, out, sizeof out);
    assert_string_equal(out, "\nalerts/7 1\n"); /* not behind the cut line */
    rig_close(&rig);
}

static void
a_closed_output_is_a_retry(void **state)
{
    struct rig rig;
    const struct bytes payload = BYTES("1");
    assert_true(rig_open(&rig, &(struct rig_setup){.driver = "console"}));
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    int full = open("/dev/full", O_WRONLY);
    dup2(full, STDOUT_FILENO);
    rig_write(&rig, &payload, 1, 1000);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    close(full);
    assert_int_equal(rig_count(&rig, VERDICT_RETRY), 1);
    assert_bytes(rig.outcomes[0].reason, "standard output: No space left on device");
    rig_close(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_record_is_a_line),
            cmocka_unit_test(a_reader_that_does_not_read_is_not_waited_for_longer),
            cmocka_unit_test(a_closed_output_is_a_retry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
