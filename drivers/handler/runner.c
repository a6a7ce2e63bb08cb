/*
 * The driver's side of a worker process.
 *
 * States: absent -> (start: SETUP, READY) -> idle -> (CALL ... REPLY) -> idle
 *                                              \-> crash, timeout, garbage: SIGKILL -> absent
 *
 * The process group is killed, not only the process: where there is no seccomp a handler may have
 * forked. What it printed waits in a pipe of 64 KiB that does not block the writer; it is read
 * after each call and after a crash, when its last line often says why.
 */
#define _GNU_SOURCE
#include "runner.h"

#include "base/child.h"
#include "base/frame.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    READY_TIMEOUT_MS = 5000,
    PRINTED_MAX_BYTES = 64 * 1024, /* read at a time */
    PRINTED_MAX_LINES = 50,        /* logged at a time */
    PRINTED_LINE_MAX_BYTES = 500,
    END_WAIT_MS = 200,
    STOP_GRACE_MS = 100,
    BUFFER_KEPT_BYTES = 1 << 20,
};

/* A process and its two channels; pid 0: none. */
struct worker_child {
    struct child child;
    int printed; /* our end of its stdout and stderr */
    unsigned confinement;
};

struct runner {
    struct runner_settings settings;
    char *environment;
    char *object; /* NULL until the first runner_load() */
    struct worker_child worker;
    struct buf buffer;   /* of the frame received last */
    struct buf printed;  /* read from the pipe */
};

static const struct worker_child absent = {.child = {.fd = -1}, .printed = -1};

struct runner *
runner_new(const struct runner_settings *settings)
{
    struct runner *runner = mem_new(struct runner);
    runner->settings = *settings;
    runner->environment = bytes_to_string(settings->environment);
    runner->settings.environment = bytes_of_string(runner->environment);
    runner->worker = absent;
    return runner;
}

static void
stop(struct worker_child *worker, int grace_ms)
{
    if (worker->child.pid != 0 && grace_ms == 0) {
        kill(-worker->child.pid, SIGKILL);
    }
    if (worker->child.fd >= 0) {
        child_stop(&worker->child, grace_ms);
    }
    if (worker->printed >= 0) {
        close(worker->printed);
    }
    *worker = absent;
}

void
runner_free(struct runner *runner)
{
    if (runner != NULL) {
        stop(&runner->worker, STOP_GRACE_MS);
        explicit_bzero(runner->environment, strlen(runner->environment));
        free(runner->environment);
        free(runner->object);
        buf_fini(&runner->buffer);
        buf_fini(&runner->printed);
        free(runner);
    }
}

/* ---- what it printed ---- */

/* Logs what waits in the pipe, a bounded part of it. */
static void
drain_printed(struct runner *runner, struct worker_child *worker)
{
    buf_clear(&runner->printed);
    ssize_t n = read(worker->printed, buf_reserve(&runner->printed, PRINTED_MAX_BYTES),
                     PRINTED_MAX_BYTES);
    runner->printed.size = n > 0 ? (size_t)n : 0;
    struct bytes rest = bytes_trim(buf_bytes(&runner->printed)), line;
    unsigned lines = 0;
    while (rest.size > 0 && bytes_split(&rest, '\n', &line)) {
        if (lines++ < PRINTED_MAX_LINES) {
            line = bytes_slice(line, 0, PRINTED_LINE_MAX_BYTES);
            log_info("%s: %.*s", runner->settings.name, BYTES_ARG(line));
        }
    }
    if (lines > PRINTED_MAX_LINES) {
        log_info("%s: ... %u more lines", runner->settings.name, lines - PRINTED_MAX_LINES);
    }
}

static struct bytes
last_printed_line(const struct runner *runner)
{
    struct bytes text = bytes_trim(buf_bytes(&runner->printed));
    size_t start = text.size;
    while (start > 0 && text.data[start - 1] != '\n') {
        start--;
    }
    return bytes_slice(text, start, start + 200 < text.size ? start + 200 : text.size);
}

/* ---- how it ended ---- */

static struct bytes
describe_end(const struct runner *runner, int status, struct arena *arena)
{
    struct bytes how = child_describe_status(status, arena);
    struct bytes last = last_printed_line(runner);
    bool forbidden = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
    return arena_printf(arena, "handler %s %.*s%s%s%.*s",
                        WIFSIGNALED(status) ? "killed by" : "left with", BYTES_ARG(how),
                        forbidden ? ": it may not start processes or threads, open sockets or "
                                    "signal others"
                                  : "",
                        last.size > 0 ? ": " : "", BYTES_ARG(last));
}

/* Waits for the end of the process and reaps it, but its group first, while the number is its. */
static bool
reap(struct worker_child *worker, int *status)
{
    siginfo_t info = {0};
    for (int waited_ms = 0; waited_ms < END_WAIT_MS && info.si_pid == 0; waited_ms++) {
        if (waitid(P_PID, (id_t)worker->child.pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0) {
            return false;
        }
        if (info.si_pid == 0) {
            usleep(1000);
        }
    }
    if (info.si_pid == 0) {
        return false;
    }
    kill(-worker->child.pid, SIGKILL);
    return child_has_ended(&worker->child, status);
}

/* After the connection broke: the reason, with the process gone. */
static struct bytes
bury(struct runner *runner, struct worker_child *worker, struct arena *arena)
{
    int status = 0;
    bool ended = reap(worker, &status);
    drain_printed(runner, worker);
    struct bytes reason = ended ? describe_end(runner, status, arena)
                                : BYTES("handler closed its connection to the gateway");
    stop(worker, 0);
    return reason;
}

/* ---- start ---- */

static bool
spawn(struct runner *runner, struct worker_child *out, struct diag_list *diags)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
        diag_io_error(diags, errno, "pipe");
        return false;
    }
    const char *const argv[] = {runner->settings.executable, "worker", NULL};
    *out = absent;
    bool spawned = child_spawn(&out->child, runner->settings.executable, argv, &ends[1], 1, diags);
    close(ends[1]);
    if (!spawned) {
        close(ends[0]);
        *out = absent;
        return false;
    }
    out->printed = ends[0];
    return true;
}

/* SETUP and its answer. */
static bool
greet(struct runner *runner, struct worker_child *worker, const char *object,
      struct diag_list *diags)
{
    struct worker_setup setup = {.object = bytes_of_string(object),
                                 .environment = runner->settings.environment,
                                 .memory_bytes = runner->settings.memory_bytes};
    struct buf body = {0};
    struct arena arena = {0};
    struct diag_list wire_diags = {0};
    struct frame frame = {0};
    worker_setup_encode(&body, &setup);
    int ready_ms = runner->settings.ready_ms > 0 ? runner->settings.ready_ms : READY_TIMEOUT_MS;
    bool answered = frame_send(worker->child.fd, WORKER_SETUP, buf_bytes(&body), ready_ms,
                               &wire_diags) &&
                    frame_receive(worker->child.fd, &runner->buffer, &frame, ready_ms,
                                  &wire_diags);
    bool ready = answered && frame.type == WORKER_READY && frame.body.size == 1;
    if (ready) {
        worker->confinement = (unsigned char)frame.body.data[0];
    } else if (answered && frame.type == WORKER_REFUSED) {
        diag_error(diags, DIAG_INVALID, "handler '%s' cannot be loaded: %.*s",
                   runner->settings.name, BYTES_ARG(bytes_slice(frame.body, 0, 1000)));
    } else if (!answered && wire_diags.items[0].class == DIAG_TIMEOUT) {
        diag_error(diags, DIAG_INVALID, "handler '%s' is not loaded after %d s",
                   runner->settings.name, ready_ms / 1000);
    } else {
        struct bytes reason = bury(runner, worker, &arena);
        diag_error(diags, DIAG_INVALID, "handler '%s' ended while it was loaded: %.*s",
                   runner->settings.name, BYTES_ARG(reason));
    }
    diag_list_fini(&wire_diags);
    buf_fini(&body);
    arena_fini(&arena);
    return ready;
}

static bool
start(struct runner *runner, const char *object, struct worker_child *out,
      struct diag_list *diags)
{
    if (!spawn(runner, out, diags)) {
        return false;
    }
    if (!greet(runner, out, object, diags)) {
        stop(out, 0);
        return false;
    }
    return true;
}

bool
runner_load(struct runner *runner, const char *object, struct diag_list *diags)
{
    struct worker_child next;
    if (!start(runner, object, &next, diags)) {
        return false;
    }
    stop(&runner->worker, STOP_GRACE_MS);
    runner->worker = next;
    char *copy = bytes_to_string(bytes_of_string(object));
    free(runner->object);
    runner->object = copy;
    return true;
}

void
runner_recycle(struct runner *runner)
{
    stop(&runner->worker, STOP_GRACE_MS);
}

unsigned
runner_confinement(const struct runner *runner)
{
    return runner->worker.confinement;
}

/* ---- calls ---- */

/*
 * False when there is no process and none could be started. Between two calls a process has
 * nothing to say: what waits there is its end, or a second reply that would be taken for the next.
 */
static bool
ensure_started(struct runner *runner, struct diag_list *diags)
{
    struct pollfd waiting = {.fd = runner->worker.child.fd, .events = POLLIN};
    if (runner->worker.child.pid != 0 && poll(&waiting, 1, 0) > 0) {
        stop(&runner->worker, 0);
    }
    return runner->worker.child.pid != 0 ||
           start(runner, runner->object, &runner->worker, diags);
}

static bool
take_log(struct runner *runner, struct bytes body)
{
    if (body.size == 0 || (unsigned char)body.data[0] > LOG_DEBUG) {
        return false;
    }
    struct bytes text = bytes_slice(body, 1, 1 + WORKER_LOG_MAX_BYTES);
    log_line((enum log_level)body.data[0], "%s: %.*s", runner->settings.name, BYTES_ARG(text));
    return true;
}

enum answer { ANSWER_REPLY, ANSWER_LATE, ANSWER_GONE, ANSWER_GARBAGE };

/* Receives until the reply; log lines in between. */
static enum answer
await_reply(struct runner *runner, size_t count, int64_t deadline_us, struct arena *arena,
            struct worker_reply *reply, struct diag_list *diags)
{
    for (unsigned logged = 0; logged <= WORKER_LOG_MAX_LINES; logged++) {
        int64_t left_us = deadline_us - os_posix.mono_us(&os_posix);
        struct frame frame;
        if (!frame_receive(runner->worker.child.fd, &runner->buffer, &frame,
                           left_us <= 0 ? 0 : (int)(left_us / 1000) + 1, diags)) {
            enum diag_class class = diags->items[0].class;
            return class == DIAG_TIMEOUT   ? ANSWER_LATE
                   : class == DIAG_CORRUPT ? ANSWER_GARBAGE
                                           : ANSWER_GONE;
        }
        if (frame.type == WORKER_REPLY) {
            return worker_reply_decode(reply, frame.body, count, arena) ? ANSWER_REPLY
                                                                        : ANSWER_GARBAGE;
        }
        if (frame.type != WORKER_LOG || !take_log(runner, frame.body)) {
            return ANSWER_GARBAGE;
        }
    }
    return ANSWER_GARBAGE;
}

static enum answer
exchange(struct runner *runner, struct bytes call, size_t count, struct arena *arena,
         struct worker_reply *reply, struct diag_list *diags)
{
    int64_t timeout_ms = runner->settings.timeout_ms;
    int64_t deadline_us = os_posix.mono_us(&os_posix) + timeout_ms * 1000;
    if (!frame_send(runner->worker.child.fd, WORKER_CALL, call, (int)timeout_ms, diags)) {
        return diags->items[0].class == DIAG_TIMEOUT ? ANSWER_LATE : ANSWER_GONE;
    }
    return await_reply(runner, count, deadline_us, arena, reply, diags);
}

enum runner_result
runner_call(struct runner *runner, struct bytes call, size_t count, struct arena *arena,
            struct worker_reply *reply, struct bytes *reason)
{
    struct diag_list diags = {0};
    enum runner_result result = RUNNER_FAILED;
    if (runner->buffer.capacity > BUFFER_KEPT_BYTES) {
        buf_fini(&runner->buffer);
    }
    if (!ensure_started(runner, &diags)) {
        *reason = arena_copy(arena, diag_first_error(&diags));
        diag_list_fini(&diags);
        return RUNNER_ABSENT;
    }
    switch (exchange(runner, call, count, arena, reply, &diags)) {
    case ANSWER_REPLY:
        drain_printed(runner, &runner->worker);
        result = RUNNER_REPLIED;
        break;
    case ANSWER_LATE:
        drain_printed(runner, &runner->worker);
        stop(&runner->worker, 0);
        *reason = arena_printf(arena, "timeout after %.3g s",
                               (double)runner->settings.timeout_ms / 1000);
        break;
    case ANSWER_GARBAGE:
        drain_printed(runner, &runner->worker);
        stop(&runner->worker, 0);
        *reason = BYTES("handler wrote to the gateway's connection");
        break;
    case ANSWER_GONE:
        *reason = bury(runner, &runner->worker, arena);
        break;
    }
    diag_list_fini(&diags);
    return result;
}
