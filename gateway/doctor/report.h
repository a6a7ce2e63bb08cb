/*
 * What `headgate doctor` found: findings by area, each with what it means for the data and the fix.
 *
 *   broker: error: the broker keeps 1000 messages for the gateway while it is away, the default
 *     why: what comes beyond that is dropped without a word, though the device got its PUBACK
 *     fix: put 'max_queued_messages 1000000' in /etc/mosquitto/conf.d/headgate.conf
 *
 * An area without findings is one line of the facts that were looked at:
 *
 *   clock: ok: synchronised, hardware clock, time zone Europe/Berlin
 *
 * Findings are in the order in which they were added; areas are looked at one after the other.
 * Belongs to one thread. `struct report report = {0};` is an empty one.
 */
#ifndef HEADGATE_DOCTOR_REPORT_H
#define HEADGATE_DOCTOR_REPORT_H

#include "base/arena.h"
#include "base/buf.h"

/* OK is a fact: it needs no reason and no fix. */
enum finding_level { FINDING_OK, FINDING_WARNING, FINDING_ERROR };

struct finding {
    const char *area; /* static: "broker" */
    enum finding_level level;
    struct bytes what;
    struct bytes why; /* empty of a fact */
    struct bytes fix; /* a line for which file, or a command; empty of a fact */
};

struct report {
    struct arena arena; /* owns the texts */
    struct finding *items;
    size_t count;
    size_t capacity;
    size_t errors;
    size_t warnings;
    const char *area; /* of what is added next */
};

void report_fini(struct report *report);

/* What follows is about `area`, a static text. */
void report_area(struct report *report, const char *area);

/* Adds a finding or a fact. Whoever adds a finding says why and the fix next. */
void report_add(struct report *report, enum finding_level level, const char *format, ...)
        PRINTF_LIKE(3, 4);
#define report_fact(report, ...) report_add((report), FINDING_OK, __VA_ARGS__)

/* Of the newest finding: what it means for the data, and what to do. */
void report_why(struct report *report, const char *format, ...) PRINTF_LIKE(2, 3);
void report_fix(struct report *report, const char *format, ...) PRINTF_LIKE(2, 3);

/* The text shown above, and a line that counts. Facts of an area with findings are left out. */
void report_print(const struct report *report, struct buf *out);

/* {"errors":1,"warnings":0,"findings":[{"area","level","what","why","fix"}]}; facts included. */
void report_write_json(const struct report *report, struct buf *out);

#endif
