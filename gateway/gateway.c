/*
 * `headgate run`: puts the parts together and keeps them running.
 *
 * Start:  lock data_dir -> checkpoint -> rules -> sinks -> ingest process -> engine
 * Reload: rules of a new generation are compiled and linked aside; sinks are opened, or told of
 *         their changed declaration; the engine swaps between two batches; then the filters of
 *         the subscription follow, and the old generation is freed.
 * Stop:   ingest -> engine thread -> sinks -> last checkpoint. What was not delivered is in the
 *         backlogs and the journal, and goes on at the next start.
 *
 * Main thread, except gateway_status().
 */
#define _GNU_SOURCE
#include "gateway.h"

#include "control.h"
#include "dlq_gateway.h"
#include "http_gateway.h"
#include "ledger_gateway.h"
#include "metrics.h"
#include "rules_kept.h"
#include "status.h"
#include "watch.h"
#include "why_gateway.h"

#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    TICK_MS = 200,
    RELOAD_AGAIN_MS = 10000, /* after a load in which a table could not be opened */
    STOP_GRACE_MS = 5000,
    LOCK_MODE = 0600,
    DATA_DIR_MODE = 0750,
};

static const char TOPIC_SINK_NAME[] = "topic";

static int64_t
mono_ms(void)
{
    return os_posix.mono_us(&os_posix) / 1000;
}

/* ---- sinks of a generation ---- */

static struct sink *
find_sink(struct gateway *gateway, struct bytes name)
{
    for (size_t i = 0; i < gateway->sink_count; i++) {
        if (bytes_equal_string(name, gateway->sinks[i]->name)) {
            return gateway->sinks[i];
        }
    }
    return NULL;
}

static void
add_sink(struct gateway *gateway, struct sink *sink)
{
    pthread_mutex_lock(&gateway->lock);
    gateway->sinks = mem_grow(gateway->sinks, gateway->sink_count, &gateway->sink_capacity,
                              sizeof *gateway->sinks);
    gateway->sinks[gateway->sink_count++] = sink;
    pthread_mutex_unlock(&gateway->lock);
}

/* Rows of a table of MQTT topics go through the sink that publishes. */
static bool
has_sink(const struct rule_relation *declared)
{
    const struct driver *driver = driver_find(declared->connector);
    return driver == NULL || driver->write != NULL;
}

/* Makes sure that there is a sink for a declaration. Nothing that runs is changed by it. */
static bool
provide_sink(void *context, const struct ruleset_relation *relation, struct diag_list *diags)
{
    struct gateway *gateway = context;
    struct bytes sink_name = relation_sink_name(relation->declared);
    struct sink *sink = find_sink(gateway, sink_name);
    if (!has_sink(relation->declared)) {
        return true;
    }
    if (sink != NULL) {
        return sink_prepare(sink, relation->declared, diags);
    }
    char *name = bytes_to_string(sink_name);
    struct outbox_mark mark;
    bool known = engine_sink_mark(gateway->engine, name, &mark);
    free(name);
    if (!sink_open(&sink, &gateway->context, relation, known ? &mark : NULL, diags)) {
        return false;
    }
    add_sink(gateway, sink);
    return true;
}

/* Gives each declaration of a new generation its sink, and tells those whose declaration changed. */
static void
assign_sinks(struct gateway *gateway, struct ruleset *ruleset)
{
    pthread_mutex_lock(&gateway->lock);
    for (size_t i = 0; i < gateway->sink_count; i++) {
        gateway->sinks[i]->retired = gateway->sinks[i] != gateway->topic_sink;
    }
    for (size_t i = 0; i < ruleset->relation_count; i++) {
        struct ruleset_relation *relation = &ruleset->relations[i];
        if (!has_sink(relation->declared)) {
            relation->sink = gateway->topic_sink;
            continue;
        }
        struct sink *sink = find_sink(gateway, relation_sink_name(relation->declared));
        check(sink != NULL && "was provided when linking");
        bool is_first = sink->retired; /* of the tables that share it */
        if (is_first && !sink_is_current(sink, relation)) {
            log_notice("table '%s': its declaration changed; what waits goes out the new way",
                       sink->name);
            sink_reconfigure(sink, relation);
        }
        sink->retired = false;
        relation->sink = sink;
    }
    pthread_mutex_unlock(&gateway->lock);
}

static bool
open_topic_sink(struct gateway *gateway, struct diag_list *diags)
{
    const struct driver *driver = driver_find(BYTES("topic"));
    struct outbox_mark mark;
    check(driver != NULL);
    bool known = engine_sink_mark(gateway->engine, TOPIC_SINK_NAME, &mark);
    if (!sink_open_builtin(&gateway->topic_sink, &gateway->context, TOPIC_SINK_NAME, driver,
                           known ? &mark : NULL, diags)) {
        return false;
    }
    add_sink(gateway, gateway->topic_sink);
    return true;
}

/* Retired sinks that have delivered everything are closed; the engine lets go of them first. */
static void
close_retired_sinks(struct gateway *gateway)
{
    struct sink **closing = mem_new_array(struct sink *, gateway->sink_count);
    size_t closing_count = 0, kept = 0;
    pthread_mutex_lock(&gateway->lock);
    for (size_t i = 0; i < gateway->sink_count; i++) {
        struct sink *sink = gateway->sinks[i];
        sink_settle(sink);
        if (sink->retired && outbox_is_drained(sink->outbox)) {
            closing[closing_count++] = sink;
        } else {
            gateway->sinks[kept++] = sink;
        }
    }
    gateway->sink_count = kept;
    pthread_mutex_unlock(&gateway->lock);
    if (closing_count > 0) {
        engine_swap(gateway->engine, gateway->ruleset, gateway->sinks, gateway->sink_count,
                    gateway->topic_sink);
    }
    for (size_t i = 0; i < closing_count; i++) {
        log_notice("table '%s' is not declared any more and has delivered everything: closed",
                   closing[i]->name);
        sink_close(closing[i], STOP_GRACE_MS);
    }
    free(closing);
}

/* ---- rules ---- */

static void
subscribe(struct gateway *gateway)
{
    size_t count;
    struct bytes *filters = ruleset_filters(gateway->ruleset, &count);
    if (gateway->config->basic_ingest && gateway->ruleset->by_name.count > 0) {
        filters[count++] = BYTES("$aws/rules/#");
    }
    ingest_set_filters(gateway->ingest, filters, count);
    free(filters);
}

static void
report_load(struct gateway *gateway, const struct ruleset_report *report, struct diag_list *diags)
{
    struct buf text = {0};
    log_diags(diags);
    diag_list_print(diags, &text);
    pthread_mutex_lock(&gateway->lock);
    gateway->report = *report;
    free(gateway->report_text);
    gateway->report_text = buf_take_string(&text);
    pthread_mutex_unlock(&gateway->lock);
    if (report->broken > 0) {
        log_error("%zu of %zu rule files have errors; %zu of them go on in their last good version",
                  report->broken, report->files, report->kept);
    }
}

static void
warn_of_absent_sink(void *context, struct bytes name, uint64_t records)
{
    log_warning("%llu records wait for table '%.*s', which no rule file declares any more; declare "
                "it again to deliver them, or give them up with 'headgate dlq drop %.*s waiting'",
                (unsigned long long)records, BYTES_ARG(name), BYTES_ARG(name));
}

/* Loads the rules and lets the engine work with them. False: what ran before goes on. */
static bool
load_rules(struct gateway *gateway)
{
    struct diag_list diags = {0};
    struct ruleset_report report = {0};
    struct ruleset *ruleset = NULL, *old = gateway->ruleset;
    int64_t began_ms = mono_ms();
    const struct ruleset_provider provider = {provide_sink, gateway};
    bool loaded = ruleset_load(&ruleset, gateway->config->rules_dir, old, &provider, &report,
                               &diags);
    report_load(gateway, &report, &diags);
    diag_list_fini(&diags);
    gateway->reload_at_ms = report.unprovided > 0 || !loaded ? began_ms + RELOAD_AGAIN_MS : 0;
    if (!loaded) {
        return false;
    }
    int kept = rules_keep(&os_posix, gateway->config->data_dir, ruleset);
    if (kept < 0) {
        log_warning("cannot keep a copy of the rules in '%s/rules' for 'headgate test --from': %s",
                    gateway->config->data_dir, strerror(-kept));
    }
    assign_sinks(gateway, ruleset);
    engine_swap(gateway->engine, ruleset, gateway->sinks, gateway->sink_count,
                gateway->topic_sink);
    pthread_mutex_lock(&gateway->lock);
    gateway->ruleset = ruleset;
    gateway->loaded_at_us = os_posix.wall_us(&os_posix);
    gateway->reloads += old != NULL;
    pthread_mutex_unlock(&gateway->lock);
    subscribe(gateway);
    ruleset_free(old);
    engine_each_absent_sink(gateway->engine, warn_of_absent_sink, NULL);
    struct buf summary = {0};
    ruleset_report_contents(&report, ruleset, &summary);
    log_notice("%s: %s; %zu changed, %lld ms", gateway->config->rules_dir, buf_string(&summary),
               report.changed, (long long)(mono_ms() - began_ms));
    buf_fini(&summary);
    return true;
}

/* ---- engine source ---- */

/* Not more than half a segment: two must be enough for a journal, see journal_max. */
static uint64_t
kept_bytes(const struct config *config)
{
    uint64_t most = (uint64_t)config->segment_size / 2;
    return most < INGEST_KEPT_BYTES ? most : INGEST_KEPT_BYTES;
}

/* New messages must find room below journal_max. */
static struct journal_retention
history_of(const struct config *config)
{
    int64_t most = config->journal_history_max;
    if (config->journal_max > 0 && config->journal_max / 2 < most) {
        most = config->journal_max / 2;
    }
    return (struct journal_retention){config->journal_history * 1000, (uint64_t)most};
}

static uint64_t
source_tail(void *context)
{
    return ingest_readable(context);
}

static uint64_t
source_end(void *context)
{
    return ingest_tail(context);
}

static uint64_t
source_first(void *context)
{
    return ingest_first(context);
}

static bool
source_prepare_wait(void *context, uint64_t seen_tail)
{
    return ingest_prepare_wait(context, seen_tail);
}

static void
source_woken(void *context)
{
    ingest_woken(context);
}

static void
wake_engine(void *context)
{
    const struct gateway *gateway = context;
    engine_wake(gateway->engine);
}

static struct stream_place
stream_place(void *context, const char *stream)
{
    const struct gateway *gateway = context;
    return engine_stream_place(gateway->engine, stream);
}

/* ---- start ---- */

/* One gateway a data_dir: the lock is held until the process ends, however it ends. */
static bool
lock_data_dir(const char *data_dir, struct diag_list *diags)
{
    int made = os_make_dirs(&os_posix, data_dir, DATA_DIR_MODE);
    struct buf path = {0};
    buf_printf(&path, "%s/lock", data_dir);
    int fd = made < 0 ? made
                      : os_posix.open(&os_posix, buf_string(&path), O_RDWR | O_CREAT, LOCK_MODE);
    int locked = fd < 0 ? fd : os_posix.lock(&os_posix, fd);
    buf_fini(&path);
    if (locked == -EWOULDBLOCK) {
        diag_error(diags, DIAG_BUSY, "another gateway works in '%s'", data_dir);
        diag_hint(diags, "stop it, or give this one its own folder with --set data_dir=...");
        return false;
    }
    if (locked < 0) {
        diag_io_error(diags, -locked, "cannot use data_dir '%s'", data_dir);
        diag_hint(diags, "make it writable for this user, or name another with --set data_dir=...");
        return false;
    }
    return true; /* the descriptor stays open on purpose */
}

static char *
own_executable(void)
{
    char path[4096];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    check(size > 0);
    return bytes_to_string(bytes_of(path, (size_t)size));
}

static void
set_context(struct gateway *gateway)
{
    const struct config *config = gateway->config;
    struct buf text = {0};
    config_print(config, &text);
    size_t size = text.size;
    gateway->context = (struct sink_context){
            .os = &os_posix,
            .data_dir = config->data_dir,
            .paths = {.executable = own_executable(),
                      .handlers_dir = config->handlers_dir,
                      .config_text = bytes_of(buf_take_string(&text), size)},
            .queue_max_bytes = config->queue_max,
            .retry_max_ms = config->retry_max,
            .backlog_max_bytes = config->backlog_max,
            .segment_bytes = config->segment_size,
            .wake = wake_engine,
            .stream_place = stream_place,
            .wake_context = gateway,
    };
}

static bool
start_engine(struct gateway *gateway, struct diag_list *diags)
{
    struct engine_options options = {
            .os = &os_posix,
            .data_dir = gateway->config->data_dir,
            .checkpoint_interval_ms = gateway->config->checkpoint_interval,
            .depth_max = (unsigned)gateway->config->depth_max,
            .origin = {.account_id = gateway->config->account_id,
                       .client_id_property = gateway->config->client_id_property,
                       .principal_property = gateway->config->principal_property,
                       .source_ip_property = gateway->config->source_ip_property,
                       .gateway = gateway->config->broker_client_id},
            .sources = {.secrets_dir = gateway->config->secrets_dir,
                        .registry_file = gateway->config->registry_file,
                        .descriptors_dir = gateway->config->descriptors_dir,
                        .shadow_table = gateway->config->shadow_table},
            .reads_synced = gateway->config->sync == JOURNAL_SYNC_ALWAYS,
            .source = {.dir = ingest_journal_dir(gateway->ingest),
                       .kept_bytes = kept_bytes(gateway->config),
                       .history = history_of(gateway->config),
                       .history_free_bytes = gateway->config->disk_reserve * 2,
                       .tail = source_tail,
                       .end = source_end,
                       .first = source_first,
                       .prepare_wait = source_prepare_wait,
                       .wake_fd = ingest_wake_fd(gateway->ingest),
                       .woken = source_woken,
                       .context = gateway->ingest},
    };
    return engine_new(&gateway->engine, &options, diags);
}

static bool
start(struct gateway *gateway, struct diag_list *diags)
{
    if (!lock_data_dir(gateway->config->data_dir, diags)) {
        return false;
    }
    set_context(gateway);
    if (!ingest_new(&gateway->ingest, gateway->config, gateway->context.paths.executable, diags) ||
        !start_engine(gateway, diags)) {
        return false;
    }
    gateway->context.failures = engine_failures(gateway->engine);
    uint64_t position = engine_stream_position(gateway->engine, "mqtt");
    return ingest_start(gateway->ingest, position, diags) && open_topic_sink(gateway, diags) &&
           load_rules(gateway);
}

/* ---- run ---- */

/* Tells a service manager, if there is one (sd_notify(3): one datagram). */
static void
notify_service_manager(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL || strlen(path) >= sizeof address.sun_path) {
        return;
    }
    strcpy(address.sun_path, path);
    if (path[0] == '@') {
        address.sun_path[0] = '\0';
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (fd >= 0 && sendto(fd, state, strlen(state), 0, (struct sockaddr *)&address, size) < 0) {
        log_warning("cannot notify the service manager: %s", strerror(errno));
    }
    close(fd);
}

static int
open_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    check(pthread_sigmask(SIG_BLOCK, &signals, NULL) == 0);
    int fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    check(fd >= 0);
    return fd;
}

struct wishes {
    bool stop;
    bool reload;
};

static struct wishes
read_signals(int fd)
{
    struct wishes wishes = {0};
    struct signalfd_siginfo info;
    while (read(fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGHUP) {
            wishes.reload = true;
        } else {
            log_notice("%s: stopping", strsignal((int)info.ssi_signo));
            wishes.stop = true;
        }
    }
    return wishes;
}

static int
poll_timeout_ms(const struct watch *rules, const struct watch *handlers)
{
    int rules_ms = watch_timeout_ms(rules, mono_ms());
    int handlers_ms = watch_timeout_ms(handlers, mono_ms());
    int timeout_ms = TICK_MS;
    timeout_ms = rules_ms >= 0 && rules_ms < timeout_ms ? rules_ms : timeout_ms;
    return handlers_ms >= 0 && handlers_ms < timeout_ms ? handlers_ms : timeout_ms;
}

/* A running handler looks at its source itself; one that did not compile waits to be told. */
static void
retry_failed_sinks(struct gateway *gateway)
{
    for (size_t i = 0; i < gateway->sink_count; i++) {
        sink_retry(gateway->sinks[i]);
    }
}

static void
run_until_stopped(struct gateway *gateway, int signal_fd)
{
    struct watch *rules = watch_new(gateway->config->rules_dir);
    struct watch *handlers = watch_new(gateway->config->handlers_dir);
    for (;;) {
        struct pollfd fds[] = {{.fd = signal_fd, .events = POLLIN},
                               {.fd = watch_fd(rules), .events = POLLIN},
                               {.fd = watch_fd(handlers), .events = POLLIN}};
        poll(fds, 3, poll_timeout_ms(rules, handlers));
        struct wishes wishes = read_signals(signal_fd);
        if (wishes.stop) {
            break;
        }
        bool is_handler_new = watch_tick(handlers, mono_ms());
        bool is_rule_new = watch_tick(rules, mono_ms()) ||
                           (gateway->reload_at_ms != 0 && mono_ms() >= gateway->reload_at_ms);
        if ((wishes.reload || is_rule_new) && !load_rules(gateway)) {
            log_error("the rules could not be loaded; those from before go on");
        }
        if (wishes.reload || is_handler_new) {
            retry_failed_sinks(gateway);
        }
        ingest_tick(gateway->ingest);
        gateway_audit(gateway);
        gateway_retry_http(gateway);
        close_retired_sinks(gateway);
    }
    watch_free(rules);
    watch_free(handlers);
}

static void
stop(struct gateway *gateway)
{
    ingest_stop(gateway->ingest);
    if (gateway->engine != NULL) {
        engine_stop(gateway->engine);
        for (size_t i = 0; i < gateway->sink_count; i++) {
            outbox_ask_stop(gateway->sinks[i]->outbox, STOP_GRACE_MS);
        }
        engine_commit(gateway->engine); /* a write that hangs may outlast the service manager */
        for (size_t i = 0; i < gateway->sink_count; i++) {
            outbox_stop(gateway->sinks[i]->outbox, STOP_GRACE_MS);
        }
        engine_commit(gateway->engine);
    }
    engine_free(gateway->engine);
    for (size_t i = 0; i < gateway->sink_count; i++) {
        sink_close(gateway->sinks[i], 0);
    }
    ruleset_free(gateway->ruleset);
    ingest_free(gateway->ingest);
    free(gateway->sinks);
    free(gateway->report_text);
    char *config_text = (char *)(uintptr_t)gateway->context.paths.config_text.data;
    if (config_text != NULL) {
        explicit_bzero(config_text, gateway->context.paths.config_text.size);
    }
    free(config_text);
    free((char *)(uintptr_t)gateway->context.paths.executable);
}

static void
answer_control(void *context, struct bytes request, struct buf *out)
{
    if (bytes_equal(request, BYTES("status"))) {
        gateway_status(context, out);
    } else if (bytes_equal(request, BYTES("metrics"))) {
        gateway_metrics(context, out);
    } else if (bytes_starts_with(request, BYTES("dlq "))) {
        gateway_dlq(context, bytes_slice(request, 4, request.size), out);
    } else if (bytes_starts_with(request, BYTES("why "))) {
        gateway_why(context, bytes_slice(request, 4, request.size), out);
    } else {
        buf_append_string(out, "{\"error\":\"unknown request\"}");
    }
}

int
gateway_run(const struct config *config)
{
    struct gateway gateway = {.config = config, .started_us = os_posix.mono_us(&os_posix)};
    struct diag_list diags = {0};
    struct control *control = NULL;
    pthread_mutex_init(&gateway.lock, NULL);
    int signal_fd = open_signals();
    bool started = start(&gateway, &diags) &&
                   control_start(&control, config->data_dir, answer_control, &gateway, &diags) &&
                   gateway_listen_http(&gateway, &diags);
    if (started) {
        log_diags(&diags);
        log_notice("ready after %lld ms; data in %s",
                   (long long)(os_posix.mono_us(&os_posix) - gateway.started_us) / 1000,
                   config->data_dir);
        notify_service_manager("READY=1");
        run_until_stopped(&gateway, signal_fd);
        notify_service_manager("STOPPING=1");
    } else {
        log_diags(&diags);
    }
    gateway_stop_http(&gateway);
    control_stop(control);
    stop(&gateway);
    close(signal_fd);
    pthread_mutex_destroy(&gateway.lock);
    diag_list_fini(&diags);
    log_notice("stopped");
    return started ? 0 : 1;
}
