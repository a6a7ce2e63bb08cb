/*
 * Publishing to a broker at least once, by a process of its own: what the drivers `topic` (the
 * gateway's broker) and `mqtt-bridge` (another one) have in common.
 *
 * Calls for one client are never concurrent, except publisher_client_health().
 */
#ifndef HEADGATE_DRIVERS_PUBLISHER_CLIENT_H
#define HEADGATE_DRIVERS_PUBLISHER_CLIENT_H

#include "driver.h"

struct publisher_client;

struct publisher_settings {
    struct bytes config;    /* of the process, as config_print() writes it; copied */
    struct bytes client_id; /* counts behind the config's broker_client_id; copied */
    bool is_bridge;         /* options are named without 'broker_' */
    int64_t qos;
    bool is_retained;
    /* The topic of a record, in the arena or longer lived. NULL: its target. */
    struct bytes (*topic)(void *context, const struct sink_record *record, struct arena *arena);
    void *context;
};

/* Starts the process. `env` is borrowed until close. False: it cannot be started. */
bool publisher_client_open(struct publisher_client **out, const struct driver_env *env,
                           const struct publisher_settings *settings, struct diag_list *diags)
        MUST_CHECK;

/* Lets the process say goodbye; takes less than a second. */
void publisher_client_close(struct publisher_client *client);

/* As driver.h says of write; DONE: the broker has acknowledged it (QoS 0: it is sent). */
void publisher_client_write(struct publisher_client *client, struct batch *batch);

/* Any thread. */
void publisher_client_health(const struct publisher_client *client, struct health *out);

#endif
