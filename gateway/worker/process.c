/*
 * The worker process: one handler, loaded once, called with batches until the driver hangs up.
 *
 * Order of confinement. The object's constructors are the owner's code already, so everything but
 * reading files is taken away before dlopen(), and that too before the first call:
 *   1. environment wiped, no new privileges, no dump, few descriptors   (sandbox_begin)
 *   2. stdout and stderr become the driver's pipe
 *   3. memory limit, system calls of the loading stage
 *   4. dlopen, symbols, ABI number
 *   5. system calls of the running stage; READY
 *
 * Trust. After step 4 nothing in this process can be trusted, this file's data included: it is the
 * driver that decodes with care. What this file keeps right is the well-behaved handler's case:
 * limits on what is emitted and logged answer -1 or drop, they do not kill.
 *
 * The process leaves with _exit(): neither the handler's destructors nor a sanitizer's leak check,
 * which needs ptrace, run.
 */
#define _GNU_SOURCE
#include "worker/process.h"

#include "base/child.h"
#include "base/frame.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/wire.h"
#include "handler.h"
#include "worker/protocol.h"
#include "worker/sandbox.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { SETUP_TIMEOUT_MS = 10000, PRINT_PIPE_FD = CHILD_SOCKET_FD + 1, SEND_TIMEOUT_MS = 10000 };

typedef int (*handle_fn)(struct headgate_context *context, const struct headgate_record *records,
                         size_t count);

struct worker {
    struct headgate_context context; /* first: the functions get this pointer back */
    handle_fn handle;
    int status_fd;
    struct diag_list diags;

    /* of the call under way */
    size_t count;
    int64_t deadline_us;
    struct buf *reasons;    /* one a record of the call, size 0: has not failed */
    bool *failed;
    struct buf emitted;     /* encoded as the reply's end */
    size_t emitted_count;
    unsigned log_lines;
};

/* ---- what a handler calls ---- */

static struct worker *
worker_of(struct headgate_context *context)
{
    return (struct worker *)context;
}

static int
do_emit(struct headgate_context *context, const char *topic, size_t topic_size,
        const void *payload, size_t payload_size)
{
    struct worker *worker = worker_of(context);
    if (worker->emitted_count >= WORKER_EMIT_MAX_RECORDS || payload_size > WORKER_EMIT_MAX_BYTES ||
        worker->emitted.size + topic_size + payload_size > WORKER_EMIT_MAX_BYTES ||
        !worker_topic_is_good(bytes_of(topic, topic_size))) {
        return -1;
    }
    struct worker_emitted emitted = {bytes_of(topic, topic_size), bytes_of(payload, payload_size)};
    worker_reply_add(&worker->emitted, &emitted);
    worker->emitted_count++;
    return 0;
}

static void
do_log(struct headgate_context *context, enum headgate_level level, const char *text,
       size_t text_size)
{
    struct worker *worker = worker_of(context);
    if (worker->log_lines >= WORKER_LOG_MAX_LINES || (unsigned)level > HEADGATE_DEBUG) {
        return;
    }
    worker->log_lines++;
    struct buf body = {0};
    wire_put_u8(&body, (uint8_t)level);
    buf_append(&body, bytes_slice(bytes_of(text, text_size), 0, WORKER_LOG_MAX_BYTES));
    if (!frame_send(CHILD_SOCKET_FD, WORKER_LOG, buf_bytes(&body), SEND_TIMEOUT_MS,
                    &worker->diags)) {
        _exit(1);
    }
    buf_fini(&body);
}

static void
do_fail(struct headgate_context *context, size_t index, const char *reason, size_t reason_size)
{
    struct worker *worker = worker_of(context);
    if (index < worker->count) {
        buf_clear(&worker->reasons[index]);
        buf_append(&worker->reasons[index],
                   bytes_slice(bytes_of(reason, reason_size), 0, WORKER_REASON_MAX_BYTES));
        worker->failed[index] = true;
    }
}

static int64_t
do_remaining_ms(struct headgate_context *context)
{
    int64_t left_us = worker_of(context)->deadline_us - os_posix.mono_us(&os_posix);
    return left_us < 0 ? 0 : left_us / 1000;
}

static const char *
do_environment(struct headgate_context *context, const char *name)
{
    return getenv(name);
}

static const struct headgate_functions functions = {
        .size = sizeof functions,
        .emit = do_emit,
        .log = do_log,
        .fail = do_fail,
        .remaining_ms = do_remaining_ms,
        .environment = do_environment,
};

/* ---- start ---- */

static void
set_environment(struct bytes lines)
{
    struct bytes rest = lines, line;
    while (bytes_split(&rest, '\n', &line)) {
        size_t equals = bytes_find(line, '=');
        if (equals > 0 && equals < line.size) {
            char *name = bytes_to_string(bytes_slice(line, 0, equals));
            char *value = bytes_to_string(bytes_slice(line, equals + 1, line.size));
            setenv(name, value, 1);
            free(name);
            free(value);
        }
    }
}

/* A sanitizer's handlers would turn a crash into an exit code. */
static void
restore_signals(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        signal(signals[i], SIG_DFL);
    }
}

/* The pipe does not block: a handler that floods it loses the flood, not its time. */
static void
redirect_output(void)
{
    dup2(PRINT_PIPE_FD, STDOUT_FILENO);
    dup2(PRINT_PIPE_FD, STDERR_FILENO);
    close(PRINT_PIPE_FD);
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
}

static const char *
load(struct worker *worker, const char *path)
{
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL) {
        return dlerror();
    }
    const struct headgate_handler_info *info = dlsym(object, "headgate_handler_info");
    if (info == NULL) {
        return "it was not compiled with <headgate/handler.h>";
    }
    if (info->abi != HEADGATE_HANDLER_ABI || info->record_size != sizeof(struct headgate_record)) {
        return "it was compiled with another version of <headgate/handler.h>; compile it again";
    }
    void *symbol = dlsym(object, "handle");
    if (symbol == NULL) {
        return "it has no function 'handle'";
    }
    memcpy(&worker->handle, &symbol, sizeof worker->handle);
    return NULL;
}

static bool
answer(struct worker *worker, enum worker_frame type, struct bytes body)
{
    return frame_send(CHILD_SOCKET_FD, (uint8_t)type, body, SEND_TIMEOUT_MS, &worker->diags);
}

static bool
start(struct worker *worker)
{
    struct buf buffer = {0};
    struct frame frame;
    struct worker_setup setup;
    if (!frame_receive(CHILD_SOCKET_FD, &buffer, &frame, SETUP_TIMEOUT_MS, &worker->diags) ||
        frame.type != WORKER_SETUP || !worker_setup_decode(&setup, frame.body)) {
        return false;
    }
    sandbox_begin();
    restore_signals();
    redirect_output();
    set_environment(setup.environment);
    tzset(); /* reads the zone's file while it may */
    worker->status_fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    char confined = 0;
    confined |= sandbox_limit_memory(setup.memory_bytes) ? WORKER_HAS_MEMORY_LIMIT : 0;
    bool filtered = sandbox_restrict_calls(SANDBOX_LOADING);
    char *path = bytes_to_string(setup.object);
    const char *refusal = load(worker, path);
    free(path);
    confined |= filtered && sandbox_restrict_calls(SANDBOX_RUNNING) ? WORKER_HAS_SECCOMP : 0;
    buf_fini(&buffer);
    if (refusal != NULL) {
        answer(worker, WORKER_REFUSED, bytes_of_string(refusal));
        return false;
    }
    return answer(worker, WORKER_READY, bytes_of(&confined, 1));
}

/* ---- calls ---- */

/* A field of /proc/self/status in kB. */
static uint64_t
status_kb(const char *text, const char *field)
{
    const char *found = strstr(text, field);
    return found == NULL ? 0 : strtoull(found + strlen(field), NULL, 10);
}

static void
measure(struct worker *worker, struct worker_reply *reply)
{
    char text[4096];
    ssize_t size = pread(worker->status_fd, text, sizeof text - 1, 0);
    text[size < 0 ? 0 : size] = '\0';
    reply->peak_kb = status_kb(text, "VmHWM:");
    reply->private_kb = status_kb(text, "RssAnon:");
}

/* Records with a NUL behind each text. */
static struct headgate_record *
make_records(const struct worker_call *call, struct arena *arena)
{
    struct headgate_record *records = arena_new_array(arena, struct headgate_record, call->count);
    for (size_t i = 0; i < call->count; i++) {
        const struct worker_record *from = &call->records[i];
        struct bytes payload = arena_copy(arena, from->payload);
        struct bytes topic = arena_copy(arena, from->topic);
        struct bytes rule = arena_copy(arena, from->rule);
        records[i] = (struct headgate_record){
                .payload = payload.data, .payload_size = payload.size, .topic = topic.data,
                .topic_size = topic.size, .rule = rule.data, .rule_size = rule.size,
                .time_us = from->time_us, .position = from->position, .output = from->output};
    }
    return records;
}

/* The reply, with the emitted records appended as they were encoded. */
static bool
reply_to(struct worker *worker, struct worker_reply *reply, struct arena *arena)
{
    struct worker_failure *failures = arena_new_array(arena, struct worker_failure, worker->count);
    for (size_t i = 0; i < worker->count; i++) {
        if (worker->failed[i]) {
            failures[reply->failure_count++] =
                    (struct worker_failure){i, buf_bytes(&worker->reasons[i])};
        }
    }
    reply->failures = failures;
    reply->emitted_count = worker->emitted_count;
    measure(worker, reply);
    struct buf body = {0};
    worker_reply_begin(&body, reply);
    buf_append(&body, buf_bytes(&worker->emitted));
    bool sent = answer(worker, WORKER_REPLY, buf_bytes(&body));
    buf_fini(&body);
    return sent;
}

static bool
call_handler(struct worker *worker, const struct worker_call *call, struct arena *arena)
{
    int64_t start_us = os_posix.mono_us(&os_posix);
    worker->count = call->count;
    worker->deadline_us = start_us + (int64_t)call->timeout_ms * 1000;
    worker->reasons = arena_new_array(arena, struct buf, call->count);
    worker->failed = arena_new_array(arena, bool, call->count);
    buf_clear(&worker->emitted);
    worker->emitted_count = 0;
    worker->log_lines = 0;
    struct worker_reply reply = {0};
    reply.status = worker->handle(&worker->context, make_records(call, arena), call->count);
    fflush(stdout);
    reply.duration_us = (uint64_t)(os_posix.mono_us(&os_posix) - start_us);
    bool sent = reply_to(worker, &reply, arena);
    for (size_t i = 0; i < worker->count; i++) {
        buf_fini(&worker->reasons[i]);
    }
    return sent;
}

int
worker_process_main(void)
{
    setpgid(0, 0);
    struct worker worker = {.context = {.functions = &functions}};
    if (!start(&worker)) {
        _exit(1);
    }
    struct buf buffer = {0};
    struct arena arena = {0};
    struct frame frame;
    struct worker_call call;
    while (frame_receive(CHILD_SOCKET_FD, &buffer, &frame, -1, &worker.diags) &&
           frame.type == WORKER_CALL && worker_call_decode(&call, frame.body, &arena) &&
           call_handler(&worker, &call, &arena)) {
        arena_reset(&arena);
    }
    _exit(0);
}
