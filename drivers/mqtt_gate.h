/*
 * The ack gate: a relay inside this process, between Paho and the broker, that lets a PUBACK
 * through only when the message is on the medium.
 *
 * Paho acknowledges when its callback returns and has no other way. With one sync per callback a
 * medium whose sync takes 5 ms keeps 200 messages a second. With the gate the callback returns at
 * once, Paho and its keep-alive go on, and one sync serves all acknowledgements that wait. Holding
 * them is also how the broker is told to wait: it stops at its limit of messages in flight.
 *
 *   Paho ──127.0.0.1──> gate ──TCP or TLS──> broker
 *
 * The owner counts the messages it has taken from Paho, notes each one's packet id, and says how
 * far they are safe. A PUBACK waits for the count of its own message and no longer: what was taken
 * meanwhile may have to wait for room on a full disk.
 */
#ifndef HEADGATE_DRIVERS_MQTT_GATE_H
#define HEADGATE_DRIVERS_MQTT_GATE_H

#include "drivers/mqtt.h"

struct mqtt_gate;

struct mqtt_gate_events {
    void *context;
    /* How many messages the callback has taken so far; a PUBACK whose message the gate does not
     * remember waits for them all. The gate's thread; must not block. */
    uint64_t (*taken)(void *context);
    /* Acknowledgements wait. The gate's thread; may take a lock for a moment. */
    void (*waiting)(void *context);
};

/*
 * Listens on a free port of 127.0.0.1 for the connection of this process's Paho, and starts the
 * gate's thread. Only connections from this process are served. `options` is copied, its strings
 * are borrowed for the gate's life. Lives as long as the process.
 */
bool mqtt_gate_open(struct mqtt_gate **out, const struct mqtt_options *options,
                    const struct mqtt_gate_events *events, struct diag_list *diags) MUST_CHECK;

unsigned mqtt_gate_port(const struct mqtt_gate *gate);

/* Paho's thread, before the callback returns: the message's PUBACK may go when `count` are safe. */
void mqtt_gate_note(struct mqtt_gate *gate, unsigned packet, uint64_t count);

/* Any thread. The first `count` messages taken are safe; must not fall from call to call. */
void mqtt_gate_release(struct mqtt_gate *gate, uint64_t count);

/* Any thread: until when (monotonic, us) acknowledgements were held here, now if some are. */
int64_t mqtt_gate_held_until(const struct mqtt_gate *gate);

/* Any thread. Appends why the last connection failed; nothing when it is the network's fault. */
void mqtt_gate_explain(struct mqtt_gate *gate, struct buf *out);

/* Any thread. After Paho has said goodbye: until that has reached the broker, or the time is up. */
void mqtt_gate_drain(struct mqtt_gate *gate, int timeout_ms);

#endif
