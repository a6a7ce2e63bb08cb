/*
 * The handler driver with real handlers (tests/handlers), compiled by cc and run in real worker
 * processes: this program is its own worker (argv[1] is "worker"). Not here: what every driver
 * must do (tests/conform), hostile replies byte by byte (tests/fuzz).
 */
#define _GNU_SOURCE
#include "unit.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/os.h"
#include "conform/rig.h"
#include "worker/process.h"
#include "worker/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A folder of handlers with the permissions that the driver asks for. */
struct place {
    char dir[40];
};

static void
put(const struct place *place, const char *name, struct bytes content)
{
    struct buf path = {0};
    buf_printf(&path, "%s/%s", place->dir, name);
    assert_int_equal(os_replace_file(&os_posix, buf_string(&path), content, 0644), 0);
    buf_fini(&path);
}

static void
put_sample(const struct place *place, const char *name, const char *as)
{
    struct buf path = {0}, content = {0};
    buf_printf(&path, "%s/%s", getenv("TESTS_HANDLERS_DIR"), name);
    assert_int_equal(os_read_file(&os_posix, buf_string(&path), 1 << 20, &content), 0);
    put(place, as, buf_bytes(&content));
    buf_fini(&path);
    buf_fini(&content);
}

static const char *
file_of(const char *name)
{
    return strrchr(name, '/') == NULL ? name : strrchr(name, '/') + 1;
}

static void
place_make(struct place *place, const char *name)
{
    *place = (struct place){.dir = "/tmp/headgate-handlers-XXXXXX"};
    assert_non_null(mkdtemp(place->dir));
    put_sample(place, name, file_of(name));
}

static bool
try_open(struct rig *rig, const struct place *place, const char *source,
         const char *const *options)
{
    struct rig_setup setup = {.driver = "handler", .name = "sample", .options = options,
                              .source = source, .handlers_dir = place->dir,
                              .executable = "/proc/self/exe"};
    return rig_open(rig, &setup);
}

static void
open_sample(struct rig *rig, struct place *place, const char *name, const char *const *options)
{
    place_make(place, name);
    bool opened = try_open(rig, place, file_of(name), options);
    if (!opened) {
        print_message("# %.*s\n", BYTES_ARG(diag_first_error(&rig->diags)));
    }
    assert_true(opened);
}

static void
shut(struct rig *rig, struct place *place)
{
    rig_close(rig);
    rig_remove_tree(place->dir);
}

static bool
contains(struct bytes text, const char *part)
{
    return memmem(text.data, text.size, part, strlen(part)) != NULL;
}

static int64_t
now_ms(void)
{
    return os_posix.mono_us(&os_posix) / 1000;
}

/* The driver's count of calls so far. */
static unsigned
calls(struct rig *rig)
{
    struct health health;
    rig->driver->health(rig->instance, &health);
    const char *found = strstr(health.sentence, " calls");
    assert_non_null(found);
    while (found > health.sentence && found[-1] >= '0' && found[-1] <= '9') {
        found--;
    }
    return (unsigned)atoi(found);
}

static void
a_handler_emits_what_it_makes(void **state)
{
    struct place place;
    struct rig rig;
    open_sample(&rig, &place, "copy.c", NULL);
    rig_write_strings(&rig, (const char *[]){"{\"a\":1}", "", "three"}, 3, 5000);
    assert_int_equal(rig_count(&rig, VERDICT_DONE), 3);
    assert_string_equal(buf_string(&rig.emitted),
                        "copies {\"a\":1}\ncopies \ncopies three\n");
    assert_int_equal(calls(&rig), 1);
    shut(&rig, &place);
}

static void
a_handler_has_what_it_needs_and_no_more(void **state)
{
    struct place place;
    struct rig rig;
    setenv("HEADGATE_TEST_SECRET", "S3CR3T-xyz", 1);
    open_sample(&rig, &place, "misbehave.c",
                (const char *[]){"environment", "SHAPE=round | COLOUR=green", NULL});
    unsetenv("HEADGATE_TEST_SECRET");
    rig_write_strings(&rig, (const char *[]){"useful"}, 1, 5000);
    rig_write_strings(&rig, (const char *[]){"harmless"}, 1, 5000);
    rig_write_strings(&rig, (const char *[]){"useful"}, 1, 5000);
    assert_int_equal(rig_count(&rig, VERDICT_DONE), 1);
    const char *emitted = buf_string(&rig.emitted);
    assert_true(bytes_starts_with(bytes_of_string(emitted),
                                  BYTES("env green\nsecret none\nconstructed exe\ntime left\n"
                                        "year ok\nnumber 1\nnumber 1\nnumber 1\nnumber 1\n"
                                        "number 1\nnumber 1\nnumber 1\nenv green\n")));
    assert_non_null(strstr(emitted, "number 2\n")); /* its state */
    assert_int_not_equal(access("/tmp/headgate-handler-was-here", F_OK), 0);
    shut(&rig, &place);
}

struct misdeed {
    const char *word;
    const char *reason;
    bool not_under_asan; /* memory is not limited, and exit() looks for leaks */
};

static const struct misdeed misdeeds[] = {
        {"segfault", "handler killed by signal 11 (Segmentation fault)", false},
        {"abort", "handler killed by signal 6 (Aborted): giving up", false},
        {"overflow", "handler killed by signal 11 (Segmentation fault)", false},
        {"exit", "handler left with exit code 0", true},
        {"spin", "timeout after 0.3 s", false},
        {"sleep", "timeout after 0.3 s", false},
        {"exhaust", "handler killed by signal 6 (Aborted): malloc failed after", true},
        {"exhaust shared", "handler killed by signal 6 (Aborted): mmap failed after", true},
        {"fork", "signal 31 (Bad system call): it may not start processes", false},
        {"thread", "signal 31 (Bad system call)", false},
        {"system", "signal 31 (Bad system call)", false},
        {"socket", "signal 31 (Bad system call)", false},
        {"connect", "signal 31 (Bad system call)", false},
        {"ptrace", "signal 31 (Bad system call)", false},
        {"kill", "signal 31 (Bad system call)", false},
        {"garbage", "handler wrote to the gateway's connection", false},
        {"false reply", "handler wrote to the gateway's connection", false},
        {"partial frame", "timeout after 0.3 s", false},
        {"close", "handler closed its connection to the gateway", false},
        {"fail", "failed: no such unit", false},
        {"return", "failed: handle returned 7", false},
};

/* H1, H2, H3, H4, H7, H9, H10: each costs its own record and nothing else. */
static void
misdeeds_cost_their_record_only(void **state)
{
    struct place place;
    struct rig rig;
    open_sample(&rig, &place, "misbehave.c",
                (const char *[]){"timeout", "300ms", "retries", "0", "memory", "32M", NULL});
    for (size_t i = 0; i < sizeof misdeeds / sizeof *misdeeds; i++) {
        if (sandbox_under_asan() && misdeeds[i].not_under_asan) {
            print_message("# skipped under AddressSanitizer: %s\n", misdeeds[i].word);
            continue;
        }
        buf_clear(&rig.emitted);
        rig_write_strings(&rig, (const char *[]){"a", misdeeds[i].word, "b", "c"}, 4, 20000);
        print_message("# %s: %.*s\n", misdeeds[i].word, BYTES_ARG(rig.outcomes[1].reason));
        assert_int_equal(rig_count(&rig, VERDICT_DONE), 3);
        assert_int_equal(rig.outcomes[1].verdict, VERDICT_REJECT);
        assert_true(contains(rig.outcomes[1].reason, misdeeds[i].reason));
        assert_string_equal(buf_string(&rig.emitted), "said a\nsaid b\nsaid c\n");
    }
    shut(&rig, &place);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
    assert_int_equal(errno, ECHILD);
}

/* H13 */
static void
poison_is_found_in_few_calls(void **state)
{
    struct place place;
    struct rig rig;
    open_sample(&rig, &place, "misbehave.c", NULL);
    const char *payloads[100];
    for (size_t i = 0; i < 100; i++) {
        payloads[i] = i == 37 ? "segfault" : "x";
    }
    rig_write_strings(&rig, payloads, 100, 20000);
    assert_int_equal(rig_count(&rig, VERDICT_DONE), 99);
    assert_int_equal(rig.outcomes[37].verdict, VERDICT_REJECT);
    assert_int_equal(rig.emitted.size, 99 * strlen("said x\n"));
    assert_in_range(calls(&rig), 3 + 7, 3 + 2 * 7);

    unsigned before = calls(&rig);
    rig_write_strings(&rig, payloads, 20, 20000);
    assert_int_equal(rig_count(&rig, VERDICT_DONE), 20);
    assert_int_equal(calls(&rig), before + 1); /* whole batches again */
    shut(&rig, &place);
}

static void
several_poisons_are_found(void **state)
{
    struct place place;
    struct rig rig;
    open_sample(&rig, &place, "misbehave.c", (const char *[]){"retries", "1", NULL});
    const char *payloads[64];
    for (size_t i = 0; i < 64; i++) {
        payloads[i] = i % 13 == 5 ? "exit" : "x";
    }
    rig_write_strings(&rig, payloads, 64, 30000);
    for (size_t i = 0; i < 64; i++) {
        assert_int_equal(rig.outcomes[i].verdict, i % 13 == 5 ? VERDICT_REJECT : VERDICT_DONE);
    }
    assert_int_equal(rig.emitted.size, 59 * strlen("said x\n"));
    shut(&rig, &place);
}

static void
tries_are_counted(void **state)
{
    struct place place;
    struct rig rig;
    open_sample(&rig, &place, "misbehave.c", (const char *[]){"retries", "2", NULL});
    static const char *const words[] = {"return", "fail", "exit"};
    for (size_t i = 0; i < 3; i++) {
        unsigned before = calls(&rig);
        rig_write_strings(&rig, &words[i], 1, 20000);
        assert_int_equal(rig_count(&rig, VERDICT_REJECT), 1);
        assert_int_equal(calls(&rig), before + 3);
    }
    shut(&rig, &place);
}

static size_t
write_undecided(struct rig *rig, const char *const *payloads, size_t count, int64_t timeout_ms)
{
    rig->next_position = 1;
    rig_write_strings(rig, payloads, count, timeout_ms);
    return rig_count(rig, VERDICT_RETRY);
}

/* The hunt goes on from write to write, however early the deadline. */
static void
a_short_deadline_does_not_stop_the_hunt(void **state)
{
    struct place place;
    struct rig rig;
    open_sample(&rig, &place, "misbehave.c",
                (const char *[]){"timeout", "200ms", "retries", "1", NULL});
    const char *payloads[] = {"x", "x", "spin", "x", "fail"};
    unsigned writes = 0;
    size_t first = 0;
    while (first < 5 && writes < 20) {
        int64_t start = now_ms();
        rig.next_position = first + 1;
        rig_write_strings(&rig, payloads + first, 5 - first, 50);
        assert_true(now_ms() - start < 1000);
        first += rig.count - rig_count(&rig, VERDICT_RETRY); /* the rest is at the end */
        writes++;
    }
    assert_int_equal(first, 5);
    assert_in_range(writes, 3, 12);
    assert_int_equal(rig.emitted.size, 3 * strlen("said x\n"));
    payloads[0] = "slow fail"; /* each write has time for one call */
    assert_int_equal(write_undecided(&rig, payloads, 1, 50), 1);
    assert_int_equal(write_undecided(&rig, payloads, 1, 50), 0);
    assert_int_equal(rig.outcomes[0].verdict, VERDICT_REJECT);
    assert_int_equal(write_undecided(&rig, payloads, 1, -1), 1);
    shut(&rig, &place);
}

static void
emitted_records_are_kept_before_done(void **state)
{
    struct place place;
    struct rig rig;
    open_sample(&rig, &place, "copy.c", NULL);
    rig.emit_fails = true;
    assert_int_equal(write_undecided(&rig, (const char *[]){"a", "b"}, 2, 5000), 2);
    assert_true(contains(rig.outcomes[0].reason, "the stream is full"));
    rig.emit_fails = false;
    assert_int_equal(write_undecided(&rig, (const char *[]){"a", "b"}, 2, 5000), 0);
    assert_string_equal(buf_string(&rig.emitted), "copies a\ncopies b\n");
    rig.env.emit = NULL;
    assert_int_equal(write_undecided(&rig, (const char *[]){"a", "b"}, 2, 5000), 0);
    shut(&rig, &place);
}

/* Bytes that a function writes to stderr. */
static size_t
logged_by(struct rig *rig, const char *word, char *start, size_t start_size)
{
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    rig_write_strings(rig, &word, 1, 20000);
    dup2(saved, STDERR_FILENO);
    close(saved);
    long size = ftell(file) < 0 ? 0 : lseek(fileno(file), 0, SEEK_END);
    rewind(file);
    size_t got = fread(start, 1, start_size - 1, file);
    start[got] = '\0';
    fclose(file);
    return (size_t)size;
}

/* H8 */
static void
floods_are_cut(void **state)
{
    struct place place;
    struct rig rig;
    char start[400];
    open_sample(&rig, &place, "misbehave.c", (const char *[]){"timeout", "20s", NULL});
    assert_true(logged_by(&rig, "print", start, sizeof start) < 200);
    assert_non_null(strstr(start, "sample: printed \\x1b[31mred\n"));
    assert_true(logged_by(&rig, "flood", start, sizeof start) < 65536);
    assert_int_equal(rig_count(&rig, VERDICT_DONE), 1);
    assert_true(logged_by(&rig, "line flood", start, sizeof start) < 65536);
    assert_int_equal(rig_count(&rig, VERDICT_DONE), 1);
    assert_true(logged_by(&rig, "log flood", start, sizeof start) < 65536);
    assert_int_equal(rig_count(&rig, VERDICT_DONE), 1);
    shut(&rig, &place);
}

/* H5 */
static void
a_leak_is_recycled(void **state)
{
    if (sandbox_under_asan()) {
        print_message("# skipped under AddressSanitizer\n");
        return;
    }
    struct place place;
    struct rig rig;
    open_sample(&rig, &place, "misbehave.c",
                (const char *[]){"memory", "16M", "batch", "1", "retries", "0", NULL});
    const char *payloads[60];
    for (size_t i = 0; i < 60; i++) {
        payloads[i] = "leak";
    }
    rig_write_strings(&rig, payloads, 60, 20000);
    assert_int_equal(rig_count(&rig, VERDICT_DONE), 60);
    shut(&rig, &place);
}

static pid_t
only_child(void)
{
    char text[64] = {0};
    struct buf path = {0};
    buf_printf(&path, "/proc/self/task/%d/children", gettid());
    int fd = open(buf_string(&path), O_RDONLY);
    assert_true(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
    close(fd);
    buf_fini(&path);
    return (pid_t)atoi(text);
}

static void
read_proc(pid_t pid, const char *file, struct buf *out)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    buf_clear(out);
    ssize_t n = read(fd, buf_reserve(out, 65536), 65536);
    out->size = n > 0 ? (size_t)n : 0;
    close(fd);
}

/* Each layer by itself, since one hides the lack of another. */
static void
every_layer_of_the_sandbox_is_there(void **state)
{
    struct place place;
    struct rig rig;
    struct buf text = {0};
    open_sample(&rig, &place, "copy.c", NULL);
    read_proc(only_child(), "limits", &text);
    const char *limits = buf_string(&text);
    static const char *const zeros[] = {"Max file size", "Max core file size", "Max processes",
                                        "Max locked memory"};
    for (size_t i = 0; i < 4; i++) {
        const char *row = strstr(limits, zeros[i]);
        assert_non_null(row);
        assert_int_equal(row[strlen(zeros[i]) + strspn(row + strlen(zeros[i]), " ")], '0');
    }
    assert_non_null(strstr(limits, "Max open files            16 "));
    if (!sandbox_under_asan()) {
        assert_null(strstr(limits, "Max data size             unlimited"));
        assert_null(strstr(limits, "Max address space         unlimited"));
    }
    read_proc(only_child(), "status", &text);
    assert_non_null(strstr(buf_string(&text), "NoNewPrivs:\t1"));
    assert_non_null(strstr(buf_string(&text), "Seccomp:\t2"));
    assert_non_null(strstr(buf_string(&text), "Threads:\t1"));
    buf_fini(&text);
    shut(&rig, &place);
}

static void
a_process_killed_between_calls_blames_no_record(void **state)
{
    struct place place;
    struct rig rig;
    open_sample(&rig, &place, "copy.c", (const char *[]){"retries", "0", NULL});
    for (int i = 0; i < 3; i++) {
        kill(only_child(), SIGKILL);
        usleep(20000);
        rig_write_strings(&rig, (const char *[]){"a"}, 1, 5000);
        assert_int_equal(rig_count(&rig, VERDICT_DONE), 1);
    }
    shut(&rig, &place);
}

static void
compile_errors_have_a_place(void **state)
{
    struct place place;
    struct rig rig;
    place_make(&place, "syntax_error.c");
    assert_false(try_open(&rig, &place, "syntax_error.c", NULL));
    const struct diag *diag = NULL;
    for (size_t i = 0; i < rig.diags.count && diag == NULL; i++) {
        diag = rig.diags.items[i].level == DIAG_ERROR ? &rig.diags.items[i] : NULL;
    }
    assert_non_null(diag);
    assert_int_equal(diag->class, DIAG_INVALID);
    assert_true(bytes_ends_with(diag->place.file, BYTES("/syntax_error.c")));
    assert_int_equal(diag->place.line, 6);
    assert_int_equal(diag->place.column, 12);
    assert_bytes(diag->place.source_line, "    return recrods[0].payload_size > 0;");
    assert_true(contains(diag->message, "undeclared"));
    shut(&rig, &place);
}

/* H11 */
static void
unfit_objects_are_refused(void **state)
{
    static const struct {
        const char *name;
        const char *reason;
    } rows[] = {
            {"unresolved.c", "undefined symbol: no_such_function"},
            {"no_handle.c", "it has no function 'handle'"},
            {"no_header.c", "it was not compiled with <headgate/handler.h>"},
            {"other_version.c", "compiled with another version of <headgate/handler.h>"},
            {"dies_at_start.c", "ended while it was loaded: handler killed by signal 6"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct place place;
        struct rig rig;
        place_make(&place, rows[i].name);
        assert_false(try_open(&rig, &place, rows[i].name, NULL));
        print_message("# %.*s\n", BYTES_ARG(diag_first_error(&rig.diags)));
        assert_true(contains(diag_first_error(&rig.diags), rows[i].reason));
        shut(&rig, &place);
    }
}

static void
refuse(const struct place *place, const char *source, const char *const *options,
       const char *reason)
{
    struct rig rig;
    assert_false(try_open(&rig, place, source, options));
    print_message("# %.*s\n", BYTES_ARG(diag_first_error(&rig.diags)));
    assert_true(contains(diag_first_error(&rig.diags), reason));
    rig_close(&rig);
}

static void
only_the_owners_files_are_run(void **state)
{
    struct place place;
    struct buf path = {0};
    place_make(&place, "copy.c");
    refuse(&place, "", NULL, "is not the name of a handler");
    refuse(&place, "../copy.c", NULL, "is not the name of a handler");
    refuse(&place, "/etc/passwd", NULL, "is not the name of a handler");
    refuse(&place, "sub/copy.c", NULL, "is not the name of a handler");
    refuse(&place, ".copy.c", NULL, "is not the name of a handler");
    refuse(&place, "copy.c;id;.c", NULL, "is not the name of a handler");
    refuse(&place, "copy.txt", NULL, "is not the name of a handler");
    refuse(&place, "none.c", NULL, "there is no handler");
    refuse(&place, "copy.c", (const char *[]){"libraries", "m,-fplugin=x", NULL},
           "is not the name of a library");
    refuse(&place, "copy.c", (const char *[]){"libraries", "no_such_library", NULL},
           "no_such_library");

    buf_printf(&path, "%s/link.c", place.dir);
    assert_int_equal(symlink("copy.c", buf_string(&path)), 0);
    refuse(&place, "link.c", NULL, "is a symbolic link");
    buf_clear(&path);
    buf_printf(&path, "%s/copy.c", place.dir);
    chmod(buf_string(&path), 0664);
    refuse(&place, "copy.c", NULL, "can be written by others (mode 664)");
    chmod(buf_string(&path), 0644);
    if (geteuid() == 0) {
        assert_int_equal(chown(buf_string(&path), 12345, 0), 0);
        refuse(&place, "copy.c", NULL, "belongs to another user");
        assert_int_equal(chown(buf_string(&path), 0, 0), 0);
    }
    chmod(place.dir, 0777);
    refuse(&place, "copy.c", NULL, "can be written by others (mode 777)");
    buf_fini(&path);
    rig_remove_tree(place.dir);
}

static void
a_changed_source_takes_over(void **state)
{
    struct place place;
    struct rig rig;
    open_sample(&rig, &place, "copy.c", NULL);
    rig_write_strings(&rig, (const char *[]){"a"}, 1, 5000);
    usleep(1100000);
    put_sample(&place, "syntax_error.c", "copy.c");
    rig_write_strings(&rig, (const char *[]){"b"}, 1, 5000);
    struct health health;
    rig.driver->health(rig.instance, &health);
    assert_int_equal(health.state, HEALTH_FAILED);
    usleep(1100000);
    put_sample(&place, "misbehave.c", "copy.c");
    rig_write_strings(&rig, (const char *[]){"c"}, 1, 5000);
    rig.driver->health(rig.instance, &health);
    assert_int_equal(health.state, HEALTH_OK);
    assert_string_equal(buf_string(&rig.emitted), "copies a\ncopies b\nsaid c\n");
    shut(&rig, &place);
}

static void
headers_beside_the_source_count(void **state)
{
    static const char source[] = "#include <headgate/handler.h>\n#include \"word.h\"\n"
                                 "int handle(struct headgate_context *context, const struct "
                                 "headgate_record *records, size_t count)\n"
                                 "{ return headgate_emit(context, WORD, \"\", 0); }\n";
    struct place place;
    struct rig rig;
    place_make(&place, "copy.c");
    put(&place, "word.c", bytes_of_string(source));
    put(&place, "word.h", BYTES("#define WORD \"one\"\n"));
    assert_true(try_open(&rig, &place, "word.c", NULL));
    assert_int_equal(rig.diags.count, 0);
    rig_write_strings(&rig, (const char *[]){"a"}, 1, 5000);
    usleep(1100000);
    put(&place, "word.h", BYTES("#define WORD \"two\"\n"));
    rig_write_strings(&rig, (const char *[]){"a"}, 1, 5000);
    assert_string_equal(buf_string(&rig.emitted), "one \ntwo \n");
    shut(&rig, &place);
}

/* The only .so below a folder. */
static void
find_object(void *context, const char *name)
{
    if (bytes_ends_with(bytes_of_string(name), BYTES(".so"))) {
        buf_append_string(context, name);
    }
}

static void
a_shared_object_is_taken_as_it_is(void **state)
{
    struct place place;
    struct rig rig;
    struct buf name = {0}, path = {0}, content = {0};
    open_sample(&rig, &place, "copy.c", NULL);
    assert_int_equal(os_posix.list(&os_posix, rig.data_dir, find_object, &name), 0);
    buf_printf(&path, "%s/%s", rig.data_dir, buf_string(&name));
    assert_int_equal(os_read_file(&os_posix, buf_string(&path), 1 << 24, &content), 0);
    rig_close(&rig);
    put(&place, "ready.so", buf_bytes(&content));
    assert_true(try_open(&rig, &place, "ready.so", NULL));
    put(&place, "ready.so", BYTES("overwritten"));
    rig_write_strings(&rig, (const char *[]){"a"}, 1, 5000);
    assert_string_equal(buf_string(&rig.emitted), "copies a\n");
    shut(&rig, &place);
    buf_fini(&name);
    buf_fini(&path);
    buf_fini(&content);
}

/* etc/handlers, as they are shipped: no warning, and what their first comment says. */
static void
the_examples_work(void **state)
{
    struct place place;
    struct rig rig;
    open_sample(&rig, &place, "../../etc/handlers/enrich.c",
                (const char *[]){"environment", "SITE=hall 3", "retries", "0", NULL});
    assert_int_equal(rig.diags.count, 0);
    rig_write_strings(&rig, (const char *[]){"{\"id\":7,\"t\":21.50} ", " { }", "7"}, 3, 5000);
    assert_string_equal(buf_string(&rig.emitted),
                        "sensors/7/data {\"id\":7,\"t\":21.50,\"site\":\"hall 3\","
                        "\"seen_ms\":1700000000000}\n"
                        "sensors/7/data  { \"site\":\"hall 3\",\"seen_ms\":1700000000000}\n");
    assert_bytes(rig.outcomes[2].reason, "failed: the payload is not a JSON object");
    shut(&rig, &place);

    open_sample(&rig, &place, "../../etc/handlers/timestream_rows.c",
                (const char *[]){"libraries", "cjson", "retries", "0", NULL});
    assert_int_equal(rig.diags.count, 0);
    static const char *const inputs[] = {
            "{\"device_id\":\"a\",\"location\":\"hall\",\"sensors\":{\"temperature\":25.5,"
            "\"vibration\":\"0.05\"}}",
            "[{\"device_id\":\"b\",\"measurement\":7,\"metric_name\":\"rpm\"},{\"measurement\":1}]",
            "{\"Records\":[{\"body\":\"{\\\"device_id\\\":\\\"c\\\",\\\"measurement\\\":2}\"},"
            "{\"Sns\":{\"Message\":\"{\\\"device_id\\\":\\\"d\\\",\\\"measurement\\\":3}\"}}]}",
            "{\"device_id\":\"e\",\"sensors\":{\"door\":\"open\"}}",
            "{\"device_id\":\"f\"} {}",
    };
    rig_write_strings(&rig, inputs, 5, 5000);
    static const char at[] = "\"time\":1700000000000";
    struct buf expected = {0};
    buf_printf(&expected,
               "sensors/7/data {\"device_id\":\"a\",\"location\":\"hall\",%s,"
               "\"temperature\":25.5,\"vibration\":0.05}\n"
               "sensors/7/data {\"device_id\":\"b\",\"location\":\"unknown\",%s,\"rpm\":7}\n"
               "sensors/7/data {\"device_id\":\"unknown\",\"location\":\"unknown\",%s,"
               "\"value\":1}\n"
               "sensors/7/data {\"device_id\":\"c\",\"location\":\"unknown\",%s,\"value\":2}\n"
               "sensors/7/data {\"device_id\":\"d\",\"location\":\"unknown\",%s,\"value\":3}\n",
               at, at, at, at, at);
    assert_string_equal(buf_string(&rig.emitted), buf_string(&expected));
    assert_int_equal(rig_count(&rig, VERDICT_DONE), 3);
    assert_bytes(rig.outcomes[3].reason, "failed: a measure is not a number");
    assert_bytes(rig.outcomes[4].reason, "failed: a message is not a JSON object");
    buf_fini(&expected);
    shut(&rig, &place);
}

/* The C block of drivers/README.md. */
static void
the_handler_of_the_readme_works(void **state)
{
    struct place place;
    struct rig rig;
    struct buf readme = {0};
    assert_int_equal(os_read_file(&os_posix, getenv("DRIVERS_README"), 1 << 20, &readme), 0);
    const char *begin = strstr(buf_string(&readme), "```c\n");
    assert_non_null(begin);
    const char *end = strstr(begin + 5, "```");
    assert_non_null(end);
    place_make(&place, "copy.c");
    put(&place, "twice.c", bytes_of(begin + 5, (size_t)(end - begin) - 5));
    assert_true(try_open(&rig, &place, "twice.c", NULL));
    assert_int_equal(rig.diags.count, 0);
    rig_write_strings(&rig, (const char *[]){"21", "0.75"}, 2, 5000);
    assert_string_equal(buf_string(&rig.emitted), "sensors/7/data 42\nsensors/7/data 1.5\n");
    buf_fini(&readme);
    shut(&rig, &place);
}

static void
two_handlers_run_side_by_side(void **state)
{
    struct place place;
    struct rig one, two;
    size_t descriptors = rig_descriptors();
    open_sample(&one, &place, "misbehave.c", (const char *[]){"retries", "0", NULL});
    assert_true(try_open(&two, &place, "misbehave.c", NULL));
    rig_write_strings(&one, (const char *[]){"segfault", "a"}, 2, 5000);
    rig_write_strings(&two, (const char *[]){"b"}, 1, 5000);
    assert_string_equal(buf_string(&one.emitted), "said a\n");
    assert_string_equal(buf_string(&two.emitted), "said b\n");
    assert_int_equal(calls(&two), 1);
    rig_close(&two);
    shut(&one, &place);
    assert_int_equal(rig_descriptors(), descriptors);
}

int
main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "worker") == 0) {
        return worker_process_main();
    }
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_handler_emits_what_it_makes),
            cmocka_unit_test(a_handler_has_what_it_needs_and_no_more),
            cmocka_unit_test(misdeeds_cost_their_record_only),
            cmocka_unit_test(poison_is_found_in_few_calls),
            cmocka_unit_test(several_poisons_are_found),
            cmocka_unit_test(tries_are_counted),
            cmocka_unit_test(a_short_deadline_does_not_stop_the_hunt),
            cmocka_unit_test(emitted_records_are_kept_before_done),
            cmocka_unit_test(floods_are_cut),
            cmocka_unit_test(a_leak_is_recycled),
            cmocka_unit_test(every_layer_of_the_sandbox_is_there),
            cmocka_unit_test(a_process_killed_between_calls_blames_no_record),
            cmocka_unit_test(compile_errors_have_a_place),
            cmocka_unit_test(unfit_objects_are_refused),
            cmocka_unit_test(only_the_owners_files_are_run),
            cmocka_unit_test(a_changed_source_takes_over),
            cmocka_unit_test(headers_beside_the_source_count),
            cmocka_unit_test(a_shared_object_is_taken_as_it_is),
            cmocka_unit_test(the_examples_work),
            cmocka_unit_test(the_handler_of_the_readme_works),
            cmocka_unit_test(two_handlers_run_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
