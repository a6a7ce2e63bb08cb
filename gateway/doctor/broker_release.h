/*
 * Which mosquitto this machine has, and what is known of its releases.
 *
 * Sources: ChangeLog.txt of mosquitto, its issues by number, Debian's changelog of the package.
 */
#ifndef HEADGATE_DOCTOR_BROKER_RELEASE_H
#define HEADGATE_DOCTOR_BROKER_RELEASE_H

#include "doctor.h"
#include "mosquitto.h"

struct mosquitto_release {
    bool is_known;
    unsigned number;         /* 2.0.11 is 20011 */
    bool is_patched_by_debian; /* a Debian package with security updates of its own */
};

/* Asks the program and dpkg's list of packages. */
void mosquitto_release_find(struct mosquitto_release *out, const struct doctor_world *world);

/* False also when the release is not known. */
bool mosquitto_release_at_least(const struct mosquitto_release *release, unsigned major,
                                unsigned minor, unsigned patch);

/* Adds what this release does wrong with this configuration, and a fact with its number. */
void mosquitto_release_look(const struct mosquitto_release *release,
                            const struct mosquitto_config *config, struct report *report);

#endif
