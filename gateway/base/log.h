/*
 * Log lines for people and for journald: one line an event, on stderr.
 *
 *   2026-03-01T12:00:00.123Z warning ingest: broker not reachable, trying again in 2 s
 *
 * Under systemd (JOURNAL_STREAM is set) a line starts with "<N>" and has no time of its own.
 * Control characters in the text are escaped, so that a payload cannot forge a line. Each line is
 * one write(), so lines of several threads and processes do not mix. Thread-safe.
 */
#ifndef HEADGATE_BASE_LOG_H
#define HEADGATE_BASE_LOG_H

#include "bytes.h"
#include "check.h"
#include "diag.h"

enum log_level {
    LOG_NOTHING = -1, /* for log_setup() only */
    LOG_ERROR,
    LOG_WARNING,
    LOG_NOTICE,
    LOG_INFO,
    LOG_DEBUG,
};

/* Set once at the start of a process, before threads. `part` names the process in each line. */
void log_setup(enum log_level level, const char *part);

void log_line(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_notice(...) log_line(LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

/* Logs every entry of a list at its level, in the multi-line form. */
void log_diags(const struct diag_list *list);

/* A gate for lines that may repeat: true at most once per `every_ms`, and counts the others. */
struct log_gate {
    int64_t last_ms;
    uint64_t refused; /* since the last true */
    uint64_t hidden;  /* before it, since the true before: for the line */
};
bool log_gate_open(struct log_gate *gate, int64_t now_ms, int64_t every_ms);

#endif
