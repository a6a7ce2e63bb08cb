/*
 * console: prints each record on standard output, one line each: for trying rules out.
 *
 *   alerts/7 {"sensor_id":7,"temperature":61.5}
 *
 * A line stays a line: line ends in the payload become spaces, other control characters \xNN, so
 * that a payload cannot drive the terminal. A reader that does not read is waited for until the
 * deadline; a record is DONE when its whole line was taken.
 */
#define _GNU_SOURCE
#include "driver.h"

#include "base/buf.h"
#include "base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FORMAT_TOPIC, FORMAT_PAYLOAD };

struct console_options {
    int format;
};

struct console_sink {
    const struct console_options *options;
    const struct os *os;
    struct buf line;
    bool torn; /* the last line was cut: start a new one */
    _Atomic uint64_t printed;
};

static bool
console_open(void **out_instance, const struct driver_env *env, const void *options,
             const struct driver_declaration *declaration, struct diag_list *diags)
{
    struct console_sink *sink = mem_new(struct console_sink);
    sink->options = options;
    sink->os = env->os;
    *out_instance = sink;
    return true;
}

static void
console_close(void *instance)
{
    struct console_sink *sink = instance;
    buf_fini(&sink->line);
    free(sink);
}

static void
append_plain(struct buf *out, struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c == '\n' || c == '\r' || c == '\t') {
            buf_append_char(out, ' ');
        } else if (c < ' ' || c == 0x7f) {
            buf_printf(out, "\\x%02x", c);
        } else {
            buf_append_char(out, (char)c);
        }
    }
}

/*
 * Writes in pieces that a pipe takes whole once it polls as writable, so that a blocking standard
 * output cannot hold the thread beyond the deadline. 0, or an errno.
 */
static int
write_until(struct console_sink *sink, struct bytes text, int64_t deadline_us)
{
    for (size_t done = 0; done < text.size;) {
        int64_t left_us = deadline_us - sink->os->mono_us(sink->os);
        struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
        int left_ms = left_us <= 0 ? 0 : (int)(left_us / 1000 < INT_MAX ? left_us / 1000 : INT_MAX);
        int ready = poll(&out, 1, left_ms);
        if (ready == 0) {
            return ETIMEDOUT;
        }
        size_t piece = text.size - done < PIPE_BUF ? text.size - done : PIPE_BUF;
        ssize_t n = ready < 0 ? -1 : write(STDOUT_FILENO, text.data + done, piece);
        if (n < 0 && errno != EINTR && errno != EAGAIN) {
            return errno;
        }
        if (n > 0) {
            done += (size_t)n;
            sink->torn = done < text.size;
        }
    }
    return 0;
}

static void
console_write(void *instance, struct batch *batch)
{
    struct console_sink *sink = instance;
    int error = 0;
    for (size_t i = 0; i < batch->count && error == 0; i++) {
        const struct sink_record *record = &batch->records[i];
        buf_clear(&sink->line);
        buf_append_string(&sink->line, sink->torn ? "\n" : "");
        if (sink->options->format == FORMAT_TOPIC) {
            append_plain(&sink->line, record->target);
            buf_append_char(&sink->line, ' ');
        }
        append_plain(&sink->line, record->payload);
        buf_append_char(&sink->line, '\n');
        error = write_until(sink, buf_bytes(&sink->line), batch->deadline_us);
        if (error == 0) {
            batch->outcomes[i].verdict = VERDICT_DONE;
            atomic_fetch_add(&sink->printed, 1);
        }
    }
    for (size_t i = 0; i < batch->count && error != 0; i++) {
        if (batch->outcomes[i].verdict == VERDICT_NONE) {
            batch->outcomes[i] = (struct outcome){
                    .verdict = VERDICT_RETRY,
                    .reason = arena_printf(batch->arena, "standard output: %s", strerror(error))};
        }
    }
}

static void
console_health(void *instance, struct health *out)
{
    struct console_sink *sink = instance;
    out->state = HEALTH_OK;
    snprintf(out->sentence, sizeof out->sentence, "%" PRIu64 " records printed",
             atomic_load(&sink->printed));
}

static const struct option console_options[] = {
        {.name = "format", .type = OPTION_CHOICE,
         .offset = offsetof(struct console_options, format), .fallback = "topic",
         .choices = "topic|payload", .doc = "Print topic and payload, or the payload only."},
};

const struct driver driver_console = {
        .name = "console",
        .summary = "prints each record on standard output, one line each",
        .options = {console_options, sizeof console_options / sizeof *console_options},
        .options_size = sizeof(struct console_options),
        .limits = {.records_max = 100, .bytes_max = 1 << 20, .linger_ms = 0, .timeout_ms = 10000},
        .open = console_open,
        .close = console_close,
        .write = console_write,
        .health = console_health,
};
