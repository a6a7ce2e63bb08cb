#define _GNU_SOURCE
#include "conform/fixtures.h"

#include "base/check.h"
#include "conform/stub.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void
stage_add(struct stage *stage, const char *name, const char *value)
{
    check(stage->option_count + 2 <= STAGE_OPTIONS_MAX);
    stage->options[stage->option_count++] = name;
    stage->options[stage->option_count++] = value;
}

/* ---- console: its lines must not mix with the test's own output ---- */

static void
hide_stdout(struct stage *stage)
{
    fflush(stdout);
    stage->saved_stdout = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
    int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    check(stage->saved_stdout >= 0 && nothing >= 0 && dup2(nothing, STDOUT_FILENO) >= 0);
    close(nothing);
}

static void
show_stdout(struct stage *stage)
{
    check(dup2(stage->saved_stdout, STDOUT_FILENO) >= 0);
    close(stage->saved_stdout);
}

/* ---- http: a server that takes everything ---- */

static bool
answer_ok(struct stub *stub, const struct stub_request *request)
{
    return stub_reply(stub, 204, "", "");
}

static void
start_server(struct stage *stage)
{
    stage->stub = stub_start(answer_ok, NULL);
    snprintf(stage->url, sizeof stage->url, "http://127.0.0.1:%d/", stub_port(stage->stub));
    stage_add(stage, "url", stage->url);
}

static void
stop_server(struct stage *stage)
{
    stub_stop(stage->stub);
}

/* ---- handler: a folder with one source ---- */

static void
make_folder(struct stage *stage)
{
    struct buf from = {0}, to = {0}, content = {0};
    snprintf(stage->folder, sizeof stage->folder, "/tmp/headgate-conform-XXXXXX");
    check(mkdtemp(stage->folder) != NULL);
    buf_printf(&from, "%s/copy.c", getenv("TESTS_HANDLERS_DIR"));
    buf_printf(&to, "%s/copy.c", stage->folder);
    int result = os_read_file(&os_posix, buf_string(&from), 1 << 20, &content);
    check(result == 0);
    result = os_replace_file(&os_posix, buf_string(&to), buf_bytes(&content), 0644);
    check(result == 0);
    buf_fini(&from);
    buf_fini(&to);
    buf_fini(&content);
}

static void
remove_folder(struct stage *stage)
{
    rig_remove_tree(stage->folder);
}

static const struct fixture fixtures[] = {
        {.driver = "null", .payload = "{}"},
        {.driver = "console", .payload = "{\"a\":1}", .start = hide_stdout, .stop = show_stdout},
        {.driver = "http", .payload = "{\"a\":1}", .start = start_server, .stop = stop_server,
         .options = (const char *const[]){"token", "S3CR3T-xyz", NULL},
         .bad_options = (const char *const[]){"url", "gopher://x/", "token", "S3CR3T-xyz", NULL}},
        {.driver = "handler", .payload = "{\"a\":1}", .source = "copy.c", .start = make_folder,
         .stop = remove_folder,
         .options = (const char *const[]){"environment", "KEY=S3CR3T-xyz", NULL},
         .bad_options = (const char *const[]){"libraries", "no such", NULL}},
        {.driver = "timeseries", .payload = "{\"sensor\":\"s1\",\"value\":1.5}"},
        {.driver = "timestream", .payload = "{\"sensor\":\"s1\",\"value\":1.5}"},
        {.driver = "table", .payload = "{\"id\":\"s1\",\"value\":1.5}",
         .options = (const char *const[]){"partition_key", "id", NULL},
         .bad_options = (const char *const[]){"partition_key", "id", "sort_key", "id", NULL}},
        {.driver = "dynamodb", .payload = "{\"id\":7,\"at\":\"2022-01\",\"value\":1.5}",
         .options = (const char *const[]){"partition_key", "id", "sort_key", "at", NULL}},
        {.driver = "filesystem", .outside_help = "a file, which is only read: test_csv"},
        {.driver = "topic", .outside_help = "a broker: tests/scenario has one"},
        {.driver = "mqtt-bridge", .outside_help = "a broker: tests/mqtt/test_bridge.py"},
        {.driver = "mqtt", .outside_help = "it has no instance: its rows go through topic"},
        {.driver = "stream", .outside_help = "the gateway's journal: test_engine has one"},
        {.driver = "kinesis", .outside_help = "the gateway's journal: test_engine has one"},
};

const struct fixture *
fixture_find(const char *driver)
{
    for (size_t i = 0; i < sizeof fixtures / sizeof *fixtures; i++) {
        if (strcmp(fixtures[i].driver, driver) == 0) {
            return &fixtures[i];
        }
    }
    return NULL;
}
