#include "unit.h"

#include "control.h"
#include "watch.h"

#include "base/os.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder under a long path: a Unix socket's own path would not fit. */
static char dir[400];

static int
make_dir(void **state)
{
    snprintf(dir, sizeof dir, "/tmp/headgate-unit-XXXXXX");
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    size_t size = strlen(dir);
    memset(dir + size, 'd', 200);
    dir[size] = '/';
    return mkdir(dir, 0700);
}

static int
remove_dir(void **state)
{
    rmdir(dir);
    *strrchr(dir, '/') = '\0';
    return rmdir(dir);
}

static char *
path_of(const char *name)
{
    static char path[500];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

/* Ticks of a fake clock until a change is reported; false when none was in 2 s. */
static bool
reports_change(struct watch *watch, int64_t *now_ms)
{
    for (int i = 0; i < 200; i++, *now_ms += 10) {
        if (watch_tick(watch, *now_ms)) {
            return true;
        }
    }
    return false;
}

static void
a_change_is_reported_once_when_it_is_quiet(void **state)
{
    int64_t now_ms = 1000;
    struct watch *watch = watch_new(dir);
    assert_false(reports_change(watch, &now_ms));
    assert_int_equal(os_replace_file(&os_posix, path_of("a.sql"), BYTES("x"), 0600), 0);
    assert_false(watch_tick(watch, now_ms)); /* not yet quiet */
    assert_true(reports_change(watch, &now_ms));
    assert_false(reports_change(watch, &now_ms));
    unlink(path_of("a.sql"));
    assert_true(reports_change(watch, &now_ms));
    watch_free(watch);
}

static void
a_folder_that_appears_later_is_picked_up(void **state)
{
    int64_t now_ms = 1000;
    char *path = path_of("later");
    struct watch *watch = watch_new(path);
    assert_false(reports_change(watch, &now_ms));
    assert_int_equal(mkdir(path, 0700), 0);
    assert_true(reports_change(watch, &now_ms));
    rmdir(path);
    assert_true(reports_change(watch, &now_ms));
    assert_int_equal(mkdir(path, 0700), 0);
    assert_true(reports_change(watch, &now_ms));
    rmdir(path);
    watch_free(watch);
}

static void
answer(void *context, struct bytes request, struct buf *out)
{
    buf_append_string(out, context);
    buf_append(out, request);
}

static void
the_control_socket_answers_in_a_long_path(void **state)
{
    struct control *control;
    struct diag_list diags = {0};
    struct buf text = {0};
    assert_true(strlen(dir) > 108);
    assert_false(control_ask(dir, BYTES("status"), &text, &diags));
    assert_int_equal(diags.items[0].class, DIAG_MISSING);
    assert_true(control_start(&control, dir, answer, (char[]){"you said "}, &diags));
    assert_true(control_ask(dir, BYTES("status"), &text, &diags));
    assert_string_equal(buf_string(&text), "you said status");
    control_stop(control);
    assert_false(control_ask(dir, BYTES("status"), &text, &diags));
    buf_fini(&text);
    diag_list_fini(&diags);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_change_is_reported_once_when_it_is_quiet),
            cmocka_unit_test(a_folder_that_appears_later_is_picked_up),
            cmocka_unit_test(the_control_socket_answers_in_a_long_path),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
