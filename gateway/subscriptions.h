/*
 * What the ingest process is subscribed to, what it should be, and the next step between the two.
 *
 * A broker sends a message once for *each* of a client's subscriptions that matches (mosquitto
 * does under MQTT 5). So that every message is journaled once:
 *
 *   - a filter that another wanted filter covers is not subscribed at all;
 *   - where two filters overlap without one covering the other ('a/+/c' and 'a/b/+'), each copy
 *     carries the identifier of its subscription, and subscriptions_is_copy() tells which copies
 *     are surplus: those for which an older, acknowledged subscription matches too.
 *
 * Identifiers grow in the order in which subscriptions are made and are never used again: whatever
 * passed the newer subscription at the broker was seen by the older one.
 *
 * Subscriptions are made before needless ones are given up, so a change of rules loses nothing.
 * The set is kept in a file, because the broker's session outlives this process.
 *
 * Owner's thread, except subscriptions_is_copy(): one other thread.
 */
#ifndef HEADGATE_SUBSCRIPTIONS_H
#define HEADGATE_SUBSCRIPTIONS_H

#include "base/diag.h"
#include "base/os.h"

struct subscriptions;

struct subscriptions *subscriptions_new(void);
void subscriptions_free(struct subscriptions *set);

/* The set of an earlier run. A missing file is an empty set; a damaged one too, with a warning. */
bool subscriptions_load(struct subscriptions *set, const struct os *os, const char *path,
                        struct diag_list *diags) MUST_CHECK;

/* Replaces the file when the set has changed since it was loaded or saved. */
bool subscriptions_save(struct subscriptions *set, const struct os *os, const char *path,
                        struct diag_list *diags) MUST_CHECK;

/*
 * The wanted filters, in any order, with repetitions; copied. Invalid ones are passed over and
 * counted in the result.
 */
size_t subscriptions_want(struct subscriptions *set, const struct bytes *filters, size_t count);

/* A new connection: everything is to be subscribed again. */
void subscriptions_connected(struct subscriptions *set, bool is_session_present);
void subscriptions_lost(struct subscriptions *set);

enum subscription_step { SUBSCRIPTION_NOTHING, SUBSCRIPTION_ADD, SUBSCRIPTION_DROP };

/*
 * The next request to send; it counts as sent. `filter` is valid until the next call into the
 * set. NOTHING: wait for answers, or all is done. Save the set before the first ADD.
 */
enum subscription_step subscriptions_next(struct subscriptions *set, const char **filter,
                                          uint32_t *id);

/* The broker's answer to the request for `id`. */
void subscriptions_answer(struct subscriptions *set, uint32_t id, bool is_accepted);

/* Refused filters are asked for again from now on. */
void subscriptions_forgive(struct subscriptions *set);

struct subscriptions_state {
    size_t wanted;  /* that must be subscribed: without covered ones */
    size_t active;  /* of them, acknowledged on this connection */
    size_t refused; /* of all */
    size_t in_flight;
    const char *first_refused; /* NULL: none; valid until the next call */
};
struct subscriptions_state subscriptions_state(const struct subscriptions *set);

/* Whether this copy of a message is surplus. `id` 0: not known, never surplus. */
bool subscriptions_is_copy(struct subscriptions *set, uint32_t id, struct bytes topic);

#endif
