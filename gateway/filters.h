/*
 * Topic filters as sets of topics (MQTT 5, 4.7): which topics one matches, which filter makes
 * another needless, which two share a topic.
 *
 * A filter whose first level is a wildcard matches no topic that begins with '$'. Shared
 * subscriptions ($share/group/filter) are sets of their own: they cover and overlap nothing.
 */
#ifndef HEADGATE_FILTERS_H
#define HEADGATE_FILTERS_H

#include "base/bytes.h"

enum { TOPIC_MAX_BYTES = 65535 };

/* A name to publish to: 1 to 65535 bytes of UTF-8 without NUL and without wildcards. */
bool topic_is_valid(struct bytes topic);

/* As above, with '+' and '#' as whole levels and '#' only at the end. */
bool filter_is_valid(struct bytes filter);

bool filter_matches(struct bytes filter, struct bytes topic);

/* Every topic that matches `inner` matches `outer`. */
bool filter_covers(struct bytes outer, struct bytes inner);

/* Some topic matches both. */
bool filter_overlaps(struct bytes a, struct bytes b);

#endif
