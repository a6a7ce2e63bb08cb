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

/* As rules/topic.h says. */
bool filter_is_valid(struct bytes filter);

/* As a broker does it: 'a/#' matches 'a' too, unlike topic_match(). */
bool filter_matches(struct bytes filter, struct bytes topic);

/* Every topic that matches `inner` matches `outer`. */
bool filter_covers(struct bytes outer, struct bytes inner);

/* Some topic matches both. */
bool filter_overlaps(struct bytes a, struct bytes b);

#endif
