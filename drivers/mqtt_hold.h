/*
 * Sorts what an MQTT client sends: acknowledgements wait, everything else goes on at once.
 *
 * Bytes come in any pieces and leave as whole packets, so that what was held back can be put
 * between two others. The order of the acknowledgements stays, and the order of everything else;
 * MQTT wants no more. A DISCONNECT goes behind the acknowledgements before it.
 *
 * Pure: no I/O, one thread.
 */
#ifndef HEADGATE_DRIVERS_MQTT_HOLD_H
#define HEADGATE_DRIVERS_MQTT_HOLD_H

#include "base/buf.h"

enum mqtt_packet_type {
    MQTT_PACKET_PUBACK = 4,
    MQTT_PACKET_PUBREC = 5,
    MQTT_PACKET_DISCONNECT = 14,
};

/* The packet at the front of `bytes`. */
enum mqtt_packet_state {
    MQTT_PACKET_WHOLE, /* `type` and `size` are set */
    MQTT_PACKET_PART,  /* more bytes are needed */
    MQTT_PACKET_BAD,   /* not MQTT, or above `size_max` */
};
enum mqtt_packet_state mqtt_packet_look(struct bytes bytes, size_t size_max, unsigned *type,
                                        size_t *size);

/* Acknowledgements up to `end` of the held bytes may go when `needed` is reached. */
struct mqtt_hold_mark {
    uint64_t needed;
    size_t end;
};

/*
 * What an acknowledgement needs to have reached, by the packet id of what it acknowledges; 0 stands
 * for one that cannot be told.
 */
struct mqtt_hold_needs {
    void *context;
    uint64_t (*of)(void *context, unsigned packet);
};

/* All zero is an empty one. */
struct mqtt_hold {
    struct buf part; /* of a packet whose rest has not come yet */
    struct buf held;
    struct buf out; /* to be sent now; the owner takes from its front: mqtt_hold_sent() */
    struct mqtt_hold_mark *marks; /* rising in both members */
    size_t mark_count;
    size_t mark_capacity;
};

void mqtt_hold_fini(struct mqtt_hold *hold);

/*
 * Takes bytes from the client. Acknowledgements among them wait until mqtt_hold_release() is
 * called with what they and those before them need, or more. False: what came is no MQTT, or a
 * packet is larger than any that we send; the connection is to be closed.
 */
bool mqtt_hold_feed(struct mqtt_hold *hold, struct bytes bytes,
                    const struct mqtt_hold_needs *needs) MUST_CHECK;

/* Moves to `out` what needs no more than `reached`. */
void mqtt_hold_release(struct mqtt_hold *hold, uint64_t reached);

/* The first `size` bytes of `out` are on their way. */
void mqtt_hold_sent(struct mqtt_hold *hold, size_t size);

#endif
