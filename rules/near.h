/*
 * Which of the things that are there somebody probably meant: names of fields, topics.
 *
 * Pure. Texts given out are in the arena or views into what was given.
 */
#ifndef HEADGATE_RULES_NEAR_H
#define HEADGATE_RULES_NEAR_H

#include "base/arena.h"
#include "base/buf.h"

/* ---- fields ---- */

/* How a path that is there differs from the wanted one, nearest first. */
enum near_field {
    NEAR_FIELD_CASE,     /* sensor_Id, sensorId: the same letters and digits */
    NEAR_FIELD_LEVEL,    /* data.temperature for temperature */
    NEAR_FIELD_SPELLING, /* temprature */
    NEAR_FIELD_NOT,
};

/* Paths are written with dots. `distance` tells spellings apart: less is nearer. */
enum near_field near_field(struct bytes wanted, struct bytes seen, size_t *distance);

/* ---- topics ---- */

/*
 * Whether a topic that the filter does not match is nearly one that it does; then `why` says in
 * what it differs: "level 1 is 'Sensors', the filter has 'sensors'". The AWS rule that 'a/#' does
 * not match 'a' counts among them, and so does one level too much or too few.
 */
bool near_topic(struct bytes filter, struct bytes topic, struct arena *arena, struct bytes *why);

#endif
