/* What the gateway answers to rules: files, and how tables and handlers are asked. */
#define _GNU_SOURCE
#include "unit.h"

#include "host.h"

#include "base/buf.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct bench {
    char dir[64];
    struct host host;
    struct host_sources sources;
    struct arena arena;
    struct buf asked; /* of tables and handlers */
};

static void
write_file(struct bench *bench, const char *name, const char *content)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", bench->dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(content, file);
    fclose(file);
}

static const char *
path_of(struct bench *bench, const char *name)
{
    return arena_printf(&bench->arena, "%s/%s", bench->dir, name).data;
}

/* The answer's text, or "failed: ..." or "none". */
static const char *
ask(struct bench *bench, enum rule_question question, const char *first, const char *second,
    const char *third)
{
    const struct bytes args[] = {bytes_of_string(first), bytes_of_string(second),
                                 bytes_of_string(third)};
    struct rule_ask ask = {.question = question, .args = args, .arena = &bench->arena};
    ask.count = third != NULL ? 3 : second != NULL ? 2 : 1;
    host_set_sources(&bench->host, &bench->sources);
    switch (bench->host.rule.ask(bench->host.rule.context, &ask)) {
    case RULE_ANSWERED:
        return arena_copy(&bench->arena, ask.answer).data;
    case RULE_NO_SUCH:
        return "none";
    case RULE_ASK_FAILED:
        return arena_printf(&bench->arena, "failed: %.*s", BYTES_ARG(ask.answer)).data;
    }
    never("all answers are listed");
}

static const char *
secret(struct bench *bench, const char *id, const char *type, const char *key)
{
    return ask(bench, RULE_ASK_SECRET, id, type, key);
}

static void
secrets_are_files_of_a_closed_folder(void **state)
{
    struct bench *bench = *state;
    bench->sources.secrets_dir = bench->dir;
    write_file(bench, "plain", "s3cr3t\n");
    write_file(bench, "json", "{\"user\": \"u\", \"n\": 7}");
    assert_string_equal(secret(bench, "plain", "SecretString", NULL), "s3cr3t");
    assert_string_equal(secret(bench, "plain", "SecretBinary", NULL), "czNjcjN0Cg==");
    assert_string_equal(secret(bench, "json", "SecretString", "user"), "u");
    assert_string_equal(secret(bench, "json", "SecretString", "n"), "7");
    assert_string_equal(secret(bench, "json", "SecretString", "x"),
                        "failed: secret 'json' has no member 'x'");
    assert_string_equal(secret(bench, "plain", "SecretString", "x"),
                        "failed: secret 'plain' is no JSON object, so it has no member 'x'");
    assert_string_equal(secret(bench, "json", "SecretBinary", "user"),
                        "failed: a SecretBinary has no members");
    assert_string_equal(secret(bench, "../plain", "SecretString", NULL),
                        "failed: there is no secret '../plain': No such file or directory");
    assert_string_equal(secret(bench, "absent", "SecretString", NULL),
                        "failed: there is no secret 'absent': No such file or directory");
    assert_int_equal(chmod(bench->dir, 0750), 0);
    assert_non_null(strstr(secret(bench, "plain", "SecretString", NULL), "is open to others"));
    bench->sources.hides_secrets = true;
    assert_string_equal(secret(bench, "plain", "SecretString", NULL), "(secret)");
}

static void
credentials_of_the_service_manager_are_secrets(void **state)
{
    struct bench *bench = *state;
    unsetenv("CREDENTIALS_DIRECTORY");
    assert_string_equal(secret(bench, "plain", "SecretString", NULL),
                        "failed: there is no folder of secrets: set secrets_dir");
    write_file(bench, "plain", "given");
    setenv("CREDENTIALS_DIRECTORY", bench->dir, 1);
    assert_string_equal(secret(bench, "plain", "SecretString", NULL), "given");
    unsetenv("CREDENTIALS_DIRECTORY");
}

static void
the_registry_is_a_file_of_devices(void **state)
{
    struct bench *bench = *state;
    assert_string_equal(ask(bench, RULE_ASK_THING, "lamp", NULL, NULL),
                        "failed: there is no inventory of devices: set registry_file");
    bench->sources.registry_file = path_of(bench, "things.json");
    write_file(bench, "things.json",
               "{\"lamp\": {\"thingTypeName\": \"light\", \"attributes\": {\"site\": \"n\"}, "
               "\"groups\": [\"a\", \"b\"], \"version\": 3}, \"bare\": {}}");
    assert_string_equal(ask(bench, RULE_ASK_THING, "lamp", NULL, NULL),
                        "{\"defaultClientId\":\"lamp\",\"thingName\":\"lamp\","
                        "\"thingTypeName\":\"light\",\"attributes\":{\"site\": \"n\"},"
                        "\"version\":3}");
    assert_string_equal(ask(bench, RULE_ASK_GROUPS, "lamp", NULL, NULL),
                        "{\"thingGroups\":[{\"groupName\":\"a\"},{\"groupName\":\"b\"}]}");
    assert_string_equal(ask(bench, RULE_ASK_THING, "bare", NULL, NULL),
                        "{\"defaultClientId\":\"bare\",\"thingName\":\"bare\",\"attributes\":{},"
                        "\"version\":1}");
    assert_string_equal(ask(bench, RULE_ASK_GROUPS, "bare", NULL, NULL), "{\"thingGroups\":[]}");
    assert_string_equal(ask(bench, RULE_ASK_GROUPS, "pump", NULL, NULL),
                        "failed: there is no device 'pump' in the inventory");
    write_file(bench, "things.json", "{\"pump\": {\"groups\": [\"a\"]}}"); /* it is read anew */
    assert_string_equal(ask(bench, RULE_ASK_GROUPS, "pump", NULL, NULL),
                        "{\"thingGroups\":[{\"groupName\":\"a\"}]}");
    write_file(bench, "things.json", "{\"pump\": ");
    assert_non_null(strstr(ask(bench, RULE_ASK_GROUPS, "pump", NULL, NULL), "cannot be read"));
}

static void
descriptors_lie_below_their_folder(void **state)
{
    struct bench *bench = *state;
    assert_string_equal(ask(bench, RULE_ASK_DESCRIPTOR, "b", "k", NULL),
                        "failed: there is no folder of descriptors: set descriptors_dir");
    bench->sources.descriptors_dir = bench->dir;
    assert_int_equal(mkdir(path_of(bench, "b"), 0700), 0);
    assert_int_equal(mkdir(path_of(bench, "b/dir"), 0700), 0);
    write_file(bench, "b/dir/file.desc", "one");
    assert_string_equal(ask(bench, RULE_ASK_DESCRIPTOR, "b", "dir/file.desc", NULL), "one");
    write_file(bench, "b/dir/file.desc", "two"); /* kept for a quarter of an hour */
    assert_string_equal(ask(bench, RULE_ASK_DESCRIPTOR, "b", "dir/file.desc", NULL), "one");
    static const char *const ways_out[] = {"../x", "a/../../x", "/etc/passwd", "a//b", ""};
    for (size_t i = 0; i < sizeof ways_out / sizeof ways_out[0]; i++) {
        assert_non_null(strstr(ask(bench, RULE_ASK_DESCRIPTOR, "b", ways_out[i], NULL),
                               "cannot be the name of a descriptor"));
    }
    for (int i = 0; i < 100; i++) { /* many are too many to keep, and none is wrong */
        char name[32];
        snprintf(name, sizeof name, "b/%d", i);
        write_file(bench, name, name);
        assert_string_equal(ask(bench, RULE_ASK_DESCRIPTOR, "b", name + 2, NULL), name);
    }
    assert_non_null(strstr(ask(bench, RULE_ASK_DESCRIPTOR, "b", "absent", NULL), "cannot be read"));
}

static bool
lookup(void *context, struct bytes table, struct bytes key, struct arena *arena,
       struct bytes *item, struct diag_list *diags)
{
    struct bench *bench = context;
    buf_printf(&bench->asked, "%.*s %.*s;", BYTES_ARG(table), BYTES_ARG(key));
    bool known = bytes_equal(key, BYTES("{\"thing\":\"lamp\",\"shadow\":\"classic\"}"));
    *item = known ? BYTES("{\"v\":1}") : BYTES("");
    return true;
}

static bool
call(void *context, struct bytes function, struct bytes argument, struct arena *arena,
     struct bytes *answer, struct diag_list *diags)
{
    struct bench *bench = context;
    buf_printf(&bench->asked, "%.*s(%.*s);", BYTES_ARG(function), BYTES_ARG(argument));
    *answer = BYTES("5");
    return true;
}

static void
tables_and_handlers_are_asked(void **state)
{
    struct bench *bench = *state;
    assert_string_equal(ask(bench, RULE_ASK_ITEM, "t", "id", "7"),
                        "failed: tables cannot be read here");
    assert_string_equal(ask(bench, RULE_ASK_FUNCTION, "f", "1", NULL),
                        "failed: handlers cannot be called here");
    bench->sources.lookup = lookup;
    bench->sources.call = call;
    bench->sources.context = bench;
    bench->sources.shadow_table = "shadows";
    assert_string_equal(ask(bench, RULE_ASK_ITEM, "t", "id", "7"), "none");
    assert_string_equal(ask(bench, RULE_ASK_SHADOW, "lamp", NULL, NULL), "{\"v\":1}");
    assert_string_equal(ask(bench, RULE_ASK_SHADOW, "lamp", "night", NULL),
                        "failed: device 'lamp' has no shadow 'night'");
    static const char *const names[] = {"f", "arn:aws:lambda:r:1:function:f",
                                        "arn:aws:lambda:r:1:function:f:live"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_string_equal(ask(bench, RULE_ASK_FUNCTION, names[i], "{}", NULL), "5");
    }
    assert_string_equal(ask(bench, RULE_ASK_MODEL, "m", "{}", NULL), "5");
    assert_string_equal(buf_string(&bench->asked),
                        "t {\"id\":7};shadows {\"thing\":\"lamp\",\"shadow\":\"classic\"};"
                        "shadows {\"thing\":\"lamp\",\"shadow\":\"night\"};f({});f({});f({});"
                        "m({});");
}

static int
set_up(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    strcpy(bench->dir, "/tmp/headgate-host-XXXXXX");
    assert_non_null(mkdtemp(bench->dir));
    host_init(&bench->host, &os_posix);
    *state = bench;
    return 0;
}

static int
remove_entry(const char *path, const struct stat *status, int type, struct FTW *at)
{
    return remove(path);
}

static int
tear_down(void **state)
{
    struct bench *bench = *state;
    host_fini(&bench->host);
    nftw(bench->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    arena_fini(&bench->arena);
    buf_fini(&bench->asked);
    free(bench);
    return 0;
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
            TEST(secrets_are_files_of_a_closed_folder),
            TEST(credentials_of_the_service_manager_are_secrets),
            TEST(the_registry_is_a_file_of_devices),
            TEST(descriptors_lie_below_their_folder),
            TEST(tables_and_handlers_are_asked),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
