#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* The process's log settings: written once by log_setup(), read by all threads. */
static struct {
    enum log_level level;
    const char *part;
    bool journald;
} settings = {.level = LOG_INFO, .part = "headgate"};

static const struct {
    const char *name;
    int priority; /* syslog(3) */
} levels[] = {
        [LOG_ERROR] = {"error", 3}, [LOG_WARNING] = {"warning", 4}, [LOG_NOTICE] = {"notice", 5},
        [LOG_INFO] = {"info", 6},   [LOG_DEBUG] = {"debug", 7},
};

void
log_setup(enum log_level level, const char *part)
{
    settings.level = level;
    settings.part = part;
    settings.journald = getenv("JOURNAL_STREAM") != NULL;
}

static void
append_prefix(struct buf *line, enum log_level level)
{
    if (settings.journald) {
        buf_printf(line, "<%d>%s: ", levels[level].priority, settings.part);
        return;
    }
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    char stamp[32];
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    buf_printf(line, "%s.%03ldZ %s %s: ", stamp, now.tv_nsec / 1000000, levels[level].name,
               settings.part);
}

/* What a terminal or a log reader would act on is escaped, and all of it that is not UTF-8. */
static void
append_escaped(struct buf *line, struct bytes text, bool keep_newlines)
{
    unsigned last_plain = bytes_is_utf8(text) ? 0xff : 0x7e;
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if ((c >= ' ' && c != 0x7f && c <= last_plain) || (c == '\n' && keep_newlines)) {
            buf_append_char(line, (char)c);
        } else {
            buf_printf(line, "\\x%02x", c);
        }
    }
}

static void
write_line(enum log_level level, struct bytes text, bool keep_newlines)
{
    struct buf line = {0};
    append_prefix(&line, level);
    append_escaped(&line, text, keep_newlines);
    buf_append_char(&line, '\n');
    ssize_t written = write(STDERR_FILENO, line.data, line.size);
    (void)written; /* a closed stderr must not stop the gateway */
    buf_fini(&line);
}

void
log_line(enum log_level level, const char *format, ...)
{
    if (level > settings.level) {
        return;
    }
    struct buf text = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    write_line(level, buf_bytes(&text), false);
    buf_fini(&text);
}

void
log_diags(const struct diag_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        enum log_level level = list->items[i].level == DIAG_ERROR ? LOG_ERROR : LOG_WARNING;
        if (level <= settings.level) {
            struct buf text = {0};
            diag_print(&list->items[i], &text);
            struct bytes said = bytes_trim(buf_bytes(&text));
            if (list->items[i].place.file.size == 0) { /* begins with the level; so does the line */
                said = bytes_slice(said, bytes_find(said, ' ') + 1, said.size);
            }
            write_line(level, said, true);
            buf_fini(&text);
        }
    }
}

bool
log_gate_open(struct log_gate *gate, int64_t now_ms, int64_t every_ms)
{
    if (gate->last_ms != 0 && now_ms - gate->last_ms < every_ms) {
        gate->refused++;
        return false;
    }
    gate->last_ms = now_ms;
    gate->hidden = gate->refused;
    gate->refused = 0;
    return true;
}
