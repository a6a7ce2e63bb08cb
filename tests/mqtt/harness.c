/*
 * The gateway's MQTT processes without the gateway, for scenario tests: the same binary is the
 * parent ("run", "publish") and, under the hidden verbs, the children.
 *
 *   mqtt_harness run [--set name=value]... [--filter F]... [--quiet]
 *
 * starts the ingest process (without a filter, none are set until the command below) and prints
 * what the journal gets, a line for each record:
 *
 *   record POSITION FLAGS TOPIC PROPS PAYLOAD    (hexadecimal, '-' for empty; PAYLOAD: 64 bytes)
 *   gap FROM TO
 *
 * Lines on stdin: "filters F..." replaces the filters, "stats" prints one line of name=value,
 * "pid" the ingest process's id, "cpu" its CPU time in microseconds; end of file stops.
 *
 *   mqtt_harness publish [--set name=value]... [--driver NAME] [--with option=value]...
 *                        [--hops N] [--timeout MS] < lines
 *
 * opens the topic sink, or with --driver NAME another one (the source topic of its records is the
 * line's TOPIC); each line is "COUNT SIZE TOPIC": one batch of COUNT records. Prints
 * "verdicts DONE RETRY REJECT MICROSECONDS [first reason]" for each batch.
 */
#define _GNU_SOURCE
#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "driver.h"
#include "drivers/publisher.h"
#include "ingest.h"
#include "message.h"
#include "store/journal.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILTERS_MAX = 20000, LINE_MAX_BYTES = 4 << 20 };

struct arguments {
    struct config config;
    struct bytes *filters;
    size_t filter_count;
    bool is_quiet;
    const char *driver;
    const char *with[16];
    size_t with_count;
    unsigned hops;
    int64_t timeout_ms; /* 0: the driver's */
};

static _Noreturn void
die(const struct diag_list *diags)
{
    log_diags(diags);
    exit(1);
}

static void
parse_arguments(struct arguments *arguments, int argc, char **argv)
{
    struct diag_list diags = {0};
    config_init(&arguments->config);
    arguments->filters = mem_new_array(struct bytes, FILTERS_MAX);
    for (int i = 2; i < argc; i++) {
        bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--quiet") == 0) {
            arguments->is_quiet = true;
        } else if (strcmp(argv[i], "--set") == 0 && has_value) {
            if (!config_set(&arguments->config, bytes_of_string(argv[++i]), &diags)) {
                die(&diags);
            }
        } else if (strcmp(argv[i], "--filter") == 0 && has_value) {
            arguments->filters[arguments->filter_count++] = bytes_of_string(argv[++i]);
        } else if (strcmp(argv[i], "--with") == 0 && has_value && arguments->with_count < 16) {
            arguments->with[arguments->with_count++] = argv[++i];
        } else if (strcmp(argv[i], "--driver") == 0 && has_value) {
            arguments->driver = argv[++i];
        } else if (strcmp(argv[i], "--timeout") == 0 && has_value) {
            arguments->timeout_ms = atoi(argv[++i]);
        } else if (strcmp(argv[i], "--hops") == 0 && has_value) {
            arguments->hops = (unsigned)atoi(argv[++i]);
        } else {
            fprintf(stderr, "mqtt_harness: what is '%s'?\n", argv[i]);
            exit(2);
        }
    }
    log_setup((enum log_level)arguments->config.log_level, "harness");
}

/* ---- run ---- */

struct runner {
    struct ingest *ingest;
    struct journal_reader *reader;
    uint64_t position;
    uint64_t records;
    bool is_quiet;
    struct buf input;
};

static void
print_hex(struct bytes bytes, size_t max)
{
    putchar(' ');
    if (bytes.size == 0) {
        putchar('-');
    }
    for (size_t i = 0; i < bytes.size && i < max; i++) {
        printf("%02x", (unsigned char)bytes.data[i]);
    }
}

static void
print_record(const struct record *record)
{
    struct bytes props = record->props;
    struct message_mark mark;
    bool is_marked = message_mark_take(&props, &mark); /* it is not the message's */
    (void)is_marked;
    printf("record %" PRIu64 " %u", record->position, record->flags);
    print_hex(record->topic, 65535);
    print_hex(props, 65535);
    print_hex(record->payload, 64);
    printf(" %zu\n", record->payload.size);
}

static bool
open_reader(struct runner *runner)
{
    struct diag_list diags = {0};
    if (runner->reader == NULL && ingest_readable(runner->ingest) > 0 &&
        !journal_reader_open(&runner->reader, &os_posix, ingest_journal_dir(runner->ingest),
                             runner->position, &diags)) {
        log_diags(&diags);
    }
    diag_list_fini(&diags);
    return runner->reader != NULL;
}

static void
read_records(struct runner *runner)
{
    struct diag_list diags = {0};
    struct record record;
    uint64_t tail = ingest_readable(runner->ingest);
    while (open_reader(runner) && runner->position < tail) {
        enum journal_read read = journal_reader_next(runner->reader, tail, &record, &diags);
        if (read == JOURNAL_END) {
            break;
        }
        if (read == JOURNAL_ERROR) {
            die(&diags);
        }
        runner->position = record.next;
        if (read == JOURNAL_GAP) {
            printf("gap %" PRIu64 " %" PRIu64 "\n", record.position, record.next);
        } else {
            runner->records++;
            if (!runner->is_quiet) {
                print_record(&record);
            }
        }
    }
    fflush(stdout);
    diag_list_fini(&diags);
}

static void
print_stats(struct runner *runner)
{
    struct ingest_stats stats;
    ingest_stats(runner->ingest, &stats);
    printf("stats state=%d running=%d protocol=%u wanted=%u active=%u refused=%u canary_us=%" PRId64
           " knows_redelivered=%d held=%" PRIu64 " restarts=%" PRIu64 " records=%" PRIu64,
           (int)stats.state, stats.is_running, stats.protocol, stats.filters_wanted,
           stats.filters_active, stats.filters_refused, stats.canary_us,
           stats.knows_redelivered, stats.held, stats.restarts, runner->records);
#define INGEST_COUNTER(name, doc) printf(" " #name "=%" PRIu64, stats.name);
    INGEST_COUNTERS(INGEST_COUNTER)
#undef INGEST_COUNTER
    printf("\n");
}

/* The one child of this process: the ingest process. 0 while it is being started again. */
static int
child_pid(void)
{
    char path[64];
    struct buf text = {0};
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    int pid = os_read_file(&os_posix, path, 1000, &text) == 0 ? atoi(buf_string(&text)) : 0;
    buf_fini(&text);
    return pid;
}

static void
print_cpu(void)
{
    char path[64];
    struct buf text = {0};
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", child_pid());
    if (os_read_file(&os_posix, path, 4000, &text) == 0) {
        const char *from = strrchr(buf_string(&text), ')');
        sscanf(from == NULL ? "" : from, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
               &user, &system);
    }
    long ticks = sysconf(_SC_CLK_TCK);
    printf("cpu %lu\n", (user + system) * (1000000UL / (unsigned long)ticks));
    buf_fini(&text);
}

static void
replace_filters(struct runner *runner, struct bytes words)
{
    struct bytes *filters = mem_new_array(struct bytes, FILTERS_MAX);
    size_t count = 0;
    struct bytes word;
    while (bytes_split(&words, ' ', &word)) {
        if (word.size > 0 && count < FILTERS_MAX) {
            filters[count++] = word;
        }
    }
    ingest_set_filters(runner->ingest, filters, count);
    free(filters);
}

static void
obey(struct runner *runner, struct bytes line)
{
    if (bytes_starts_with(line, BYTES("filters"))) {
        replace_filters(runner, bytes_slice(line, 7, line.size));
    } else if (bytes_equal_string(line, "stats")) {
        print_stats(runner);
    } else if (bytes_equal_string(line, "pid")) {
        printf("pid %d\n", child_pid());
    } else if (bytes_equal_string(line, "cpu")) {
        print_cpu();
    }
    fflush(stdout);
}

/* False at the end of stdin. */
static bool
read_commands(struct runner *runner)
{
    char *to = buf_reserve(&runner->input, 65536);
    ssize_t n = read(STDIN_FILENO, to, 65536);
    if (n <= 0) {
        return false;
    }
    runner->input.size += (size_t)n;
    struct bytes rest = buf_bytes(&runner->input), line;
    size_t used = 0;
    while (bytes_find(rest, '\n') < rest.size && bytes_split(&rest, '\n', &line)) {
        used += line.size + 1;
        obey(runner, line);
    }
    memmove(runner->input.data, runner->input.data + used, runner->input.size - used);
    runner->input.size -= used;
    return true;
}

static int
run(struct arguments *arguments)
{
    struct diag_list diags = {0};
    struct runner runner = {.is_quiet = arguments->is_quiet};
    if (!ingest_new(&runner.ingest, &arguments->config, "/proc/self/exe", &diags) ||
        !ingest_start(runner.ingest, 0, &diags)) {
        die(&diags);
    }
    if (arguments->filter_count > 0) {
        ingest_set_filters(runner.ingest, arguments->filters, arguments->filter_count);
    }
    for (bool is_open = true; is_open;) {
        read_records(&runner);
        ingest_tick(runner.ingest);
        if (!ingest_prepare_wait(runner.ingest, runner.position) && runner.reader != NULL) {
            continue;
        }
        struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                               {.fd = ingest_wake_fd(runner.ingest), .events = POLLIN}};
        int ready = poll(fds, 2, 200);
        ingest_woken(runner.ingest);
        if (ready > 0 && fds[0].revents != 0) {
            is_open = read_commands(&runner);
        }
    }
    ingest_free(runner.ingest);
    journal_reader_close(runner.reader);
    buf_fini(&runner.input);
    return 0;
}

/* ---- publish ---- */

struct publication {
    const struct driver *driver;
    void *instance;
    char *options;
    struct buf config_text;
    struct gateway_paths paths;
    struct driver_env env;
    uint64_t position;
    unsigned hops;
    int64_t timeout_ms;
};

static void
open_sink(struct publication *publication, struct arguments *arguments)
{
    struct diag_list diags = {0};
    const char *name = arguments->driver == NULL ? "topic" : arguments->driver;
    publication->driver = driver_find(bytes_of_string(name));
    check(publication->driver != NULL);
    publication->options = mem_alloc_zeroed(1, publication->driver->options_size);
    option_defaults(&publication->driver->options, publication->options);
    for (size_t i = 0; i < arguments->with_count; i++) {
        struct bytes with = bytes_of_string(arguments->with[i]);
        size_t equals = bytes_find(with, '=');
        if (!option_set(&publication->driver->options, publication->options,
                        bytes_slice(with, 0, equals), bytes_slice(with, equals + 1, with.size),
                        NULL, &diags)) {
            die(&diags);
        }
    }
    config_print(&arguments->config, &publication->config_text);
    publication->paths = (struct gateway_paths){.executable = "/proc/self/exe",
                                                .config_text =
                                                        buf_bytes(&publication->config_text)};
    publication->env = (struct driver_env){
            .os = &os_posix,
            .name = arguments->driver == NULL ? "topic" : "cloud",
            .paths = &publication->paths};
    publication->hops = arguments->hops;
    publication->timeout_ms = arguments->timeout_ms > 0
                                      ? arguments->timeout_ms
                                      : publication->driver->limits.timeout_ms;
    if (!publication->driver->open(&publication->instance, &publication->env,
                                   publication->options, NULL, &diags)) {
        die(&diags);
    }
}

static void
print_outcomes(const struct batch *batch, int64_t took_us)
{
    size_t by_verdict[4] = {0};
    struct bytes reason = BYTES("");
    for (size_t i = 0; i < batch->count; i++) {
        by_verdict[batch->outcomes[i].verdict]++;
        reason = reason.size == 0 ? batch->outcomes[i].reason : reason;
    }
    printf("verdicts %zu %zu %zu %" PRId64 " %.*s\n", by_verdict[VERDICT_DONE],
           by_verdict[VERDICT_RETRY], by_verdict[VERDICT_REJECT], took_us, BYTES_ARG(reason));
    fflush(stdout);
}

/* "COUNT SIZE TOPIC": payloads are the record's number, filled up with spaces. */
static void
publish_line(struct publication *publication, struct bytes line)
{
    struct arena arena = {0};
    struct bytes count_text, size_text;
    int64_t count = 0, size = 0;
    bool valid = bytes_split(&line, ' ', &count_text) && bytes_split(&line, ' ', &size_text) &&
                 bytes_to_int64(count_text, &count) && bytes_to_int64(size_text, &size);
    check(valid && count > 0 && size >= 20);
    struct sink_record *records = arena_new_array(&arena, struct sink_record, (size_t)count);
    for (int64_t i = 0; i < count; i++) {
        char *payload = arena_alloc(&arena, (size_t)size);
        memset(payload, ' ', (size_t)size);
        int digits = snprintf(payload, 20, "%" PRIu64, ++publication->position);
        payload[digits] = ' ';
        records[i] = (struct sink_record){.id = {publication->position, 0},
                                          .stream = BYTES("mqtt"),
                                          .rule = BYTES("rule"),
                                          .source = line,
                                          .target = line,
                                          .hops = publication->hops,
                                          .payload = bytes_of(payload, (size_t)size)};
    }
    int64_t start_us = os_posix.mono_us(&os_posix);
    struct batch batch = {
            .records = records,
            .outcomes = arena_new_array(&arena, struct outcome, (size_t)count),
            .count = (size_t)count,
            .deadline_us = start_us + publication->timeout_ms * 1000,
            .arena = &arena,
    };
    publication->driver->write(publication->instance, &batch);
    print_outcomes(&batch, os_posix.mono_us(&os_posix) - start_us);
    arena_fini(&arena);
}

static int
publish(struct arguments *arguments)
{
    struct publication publication = {0};
    char *line = NULL;
    size_t capacity = 0;
    open_sink(&publication, arguments);
    for (ssize_t n; (n = getline(&line, &capacity, stdin)) > 0;) {
        struct bytes text = bytes_of(line, (size_t)n);
        if (bytes_ends_with(text, BYTES("\n"))) {
            text.size--;
        }
        if (bytes_equal_string(text, "pid")) {
            printf("pid %d\n", child_pid());
            fflush(stdout);
        } else {
            publish_line(&publication, text);
        }
    }
    publication.driver->close(publication.instance);
    option_fini(&publication.driver->options, publication.options);
    free(publication.options);
    buf_fini(&publication.config_text);
    free(line);
    return 0;
}

int
main(int argc, char **argv)
{
    struct arguments arguments = {0};
    const char *verb = argc > 1 ? argv[1] : "";
    if (strcmp(verb, "ingest") == 0) {
        return ingest_process_main();
    }
    if (strcmp(verb, "publisher") == 0) {
        return publisher_process_main();
    }
    parse_arguments(&arguments, argc, argv);
    int result = strcmp(verb, "run") == 0       ? run(&arguments)
                 : strcmp(verb, "publish") == 0 ? publish(&arguments)
                                                : 2;
    free(arguments.filters);
    config_fini(&arguments.config);
    return result;
}
