/*
 * Time zones as the date functions of rules know them: found by name with the help of the host, and
 * called by their English names.
 *
 * A zone file has short names ("CET") for most of the world and numbers ("-03") for the rest, and
 * no long names at all. zone_names.def fills in what Java says for the zones that many people live
 * in; elsewhere a zone without a name is called by its offset, as Joda-Time does.
 */
#ifndef HEADGATE_RULES_ZONE_NAME_H
#define HEADGATE_RULES_ZONE_NAME_H

#include "eval.h"

#include "base/zone.h"

/* By its name, or its offset ("UTC", "+05:30"). NULL: there is none, or no host to ask. */
const struct zone *run_zone(struct run *run, struct bytes name);

/* "CET", "Central European Summer Time", "+05:30" */
struct bytes zone_short_name(const struct zone *zone, const struct zone_span *span,
                             struct arena *arena);
struct bytes zone_long_name(const struct zone *zone, const struct zone_span *span,
                            struct arena *arena);

/*
 * The longest name of zone_names.def that `text` begins with: its size, and the zone it stands for
 * ("PST": America/Los_Angeles). 0: there is none.
 */
size_t zone_name_read(struct bytes text, bool full, struct bytes *zone);

#endif
