/*
 * What the kernel lets the gateway have: open files and memory, against what the rule files ask.
 */
#include "doctor.h"

#include <inttypes.h>

enum {
    FILES_BASE = 64,     /* journal, checkpoints, sockets to children */
    FILES_OF_SINK = 12,  /* segments, dead letters, a connection, a database with its two others */
    MEMORY_BASE_BYTES = 32 * 1024 * 1024,
    KB = 1024,
};

static void
look_at_files(const struct doctor_case *subject, struct report *report)
{
    struct buf path = {0}, text = {0};
    int64_t wanted = FILES_BASE + FILES_OF_SINK * (int64_t)subject->sinks;
    buf_printf(&path, "/proc/%" PRId64 "/limits", (int64_t)subject->gateway.pid);
    if (!subject->gateway.runs) {
        report_fact(report, "no gateway runs, so its limits were not looked at");
    } else if (!doctor_read(subject->world, buf_string(&path), &text)) {
        report_add(report, FINDING_WARNING, "the limits of the gateway cannot be seen");
        report_why(report, "too few open files would stop sinks from reaching their stores");
        report_fix(report, "run: sudo headgate doctor");
    } else {
        int64_t limit = doctor_field(buf_bytes(&text), "Max open files");
        if (limit >= 0 && limit < wanted) {
            report_add(report, FINDING_WARNING, "the gateway may open %" PRId64
                       " files; with %zu sinks it may need %" PRId64, limit, subject->sinks,
                       wanted);
            report_why(report, "a sink that can open nothing delivers nothing: its records wait, "
                       "and at 'backlog_max' all rules with them");
            report_fix(report, "write 'LimitNOFILE=16384' below [Service] (sudo systemctl edit "
                       "headgate), or run 'ulimit -n 16384' before headgate");
        } else {
            report_fact(report, "%" PRId64 " files may be open", limit);
        }
    }
    buf_fini(&path);
    buf_fini(&text);
}

static void
look_at_memory(const struct doctor_case *subject, struct report *report)
{
    struct buf text = {0}, wanted_text = {0}, total_text = {0};
    if (doctor_read(subject->world, "/proc/meminfo", &text)) {
        int64_t total = doctor_field(buf_bytes(&text), "MemTotal") * KB;
        int64_t wanted = MEMORY_BASE_BYTES + subject->config->queue_max * (int64_t)subject->sinks;
        doctor_append_size(&wanted_text, (double)wanted);
        doctor_append_size(&total_text, (double)total);
        if (total > 0 && wanted > total / 2) {
            report_add(report, FINDING_WARNING,
                       "when all %zu sinks wait, their queues take %s of %s memory", subject->sinks,
                       buf_string(&wanted_text), buf_string(&total_text));
            report_why(report, "the kernel kills what takes too much; the gateway starts again and "
                       "loses nothing, but the broker may be killed in its place, and loses its "
                       "queue");
            report_fix(report, "lower 'queue_max' in %s; what does not fit goes to the disk",
                       subject->config_path);
        } else if (total > 0) {
            report_fact(report, "%s of %s memory at most", buf_string(&wanted_text),
                        buf_string(&total_text));
        }
    }
    buf_fini(&text);
    buf_fini(&wanted_text);
    buf_fini(&total_text);
}

void
doctor_limits(const struct doctor_case *subject, struct report *report)
{
    report_area(report, "limits");
    look_at_files(subject, report);
    look_at_memory(subject, report);
}
