/*
 * MQTT topics and filters, as AWS IoT matches them (developer guide, "Topics"; MQTT 5 section 4.7):
 *
 *   +        one whole level, also an empty one
 *   #        last and alone in its level: one level or more. 'sensor/#' matches 'sensor/' and
 *            'sensor/a', but not 'sensor' (there MQTT brokers differ: a message that the broker
 *            delivers must be matched again here)
 *   A wildcard in the first level does not match topics that start with '$'.
 *
 * The trie finds the filters that match a topic in a time that depends on the topic's levels and
 * on how many match, not on how many filters there are.
 */
#ifndef HEADGATE_RULES_TOPIC_H
#define HEADGATE_RULES_TOPIC_H

#include "base/bytes.h"
#include "base/check.h"

enum { TOPIC_LEVELS_MAX = 128, TOPIC_BYTES_MAX = 65535 };

/* Whether it is a filter; if not, `*reason` (static text) and `*at` (byte) tell why. */
bool topic_filter_is_valid(struct bytes filter, const char **reason, size_t *at);

/* Whether a message may be published to it: not empty, no wildcards, no NUL, UTF-8. */
bool topic_is_valid(struct bytes topic);

bool topic_match(struct bytes filter, struct bytes topic);

/* $aws/rules/NAME[/rest]: published to one rule only (AWS: Basic Ingest). */
bool topic_is_basic_ingest(struct bytes topic, struct bytes *rule, struct bytes *rest);

/* ---- many filters ---- */

struct topic_trie;

struct topic_trie *topic_trie_new(void);
void topic_trie_free(struct topic_trie *trie);

/* The same filter may be added with many indices. The filter is copied and must be valid. */
void topic_trie_add(struct topic_trie *trie, struct bytes filter, uint32_t index);

/* Calls `found` once for each index whose filter matches. Reads only: threads may share it. */
void topic_trie_match(const struct topic_trie *trie, struct bytes topic,
                      void (*found)(void *context, uint32_t index), void *context);

size_t topic_trie_footprint(const struct topic_trie *trie);

#endif
