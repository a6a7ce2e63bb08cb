/*
 * A machine for doctor to look at: a folder with etc/, proc/ and sys/, and a case about it. It
 * begins healthy: no area has a finding. Tests make one thing worse at a time.
 */
#ifndef HEADGATE_TESTS_DOCTOR_RIG_H
#define HEADGATE_TESTS_DOCTOR_RIG_H

#include "unit.h"

#include "doctor/doctor.h"

enum { GATEWAY_PID = 700 };

struct clinic {
    char root[64];
    struct doctor_world world;
    struct config config;
    struct doctor_case subject;
    struct report report;
    struct doctor_space space;
    const char *broker_release; /* "2.0.11"; NULL: no mosquitto is installed */
};

void clinic_init(struct clinic *clinic);
void clinic_fini(struct clinic *clinic);

/* Writes a file below the root; its folders are made. Mode 600. */
void clinic_put(struct clinic *clinic, const char *path, const char *text);
void clinic_mode(struct clinic *clinic, const char *path, mode_t mode);
void clinic_remove(struct clinic *clinic, const char *path);

/* The whole mosquitto.conf: what is healthy, then `more`, which wins. */
void clinic_broker(struct clinic *clinic, const char *more);

/* The line of proc/self/mountinfo for everything, on the SD card. */
void clinic_mount(struct clinic *clinic, const char *type, const char *options);

typedef void (*clinic_area)(const struct doctor_case *subject, struct report *report);

/* Looks at one area anew. */
void clinic_look(struct clinic *clinic, clinic_area area);

/* Whether there is a finding of that level with these words in it, and reason and fix. */
bool clinic_found(const struct clinic *clinic, enum finding_level level, const char *words);

/* Fails, and says what is there, unless so. */
#define assert_found(clinic, level, words) \
    clinic_check((clinic), clinic_found((clinic), (level), (words)), (words), __FILE__, __LINE__)
#define assert_healthy(clinic)                                                             \
    clinic_check((clinic), (clinic)->report.errors + (clinic)->report.warnings == 0, "nothing", \
                 __FILE__, __LINE__)
void clinic_check(const struct clinic *clinic, bool is_so, const char *words, const char *file,
                  int line);

#endif
