/*
 * Which of the broker's repetitions we have kept already.
 *
 * A broker that had no acknowledgement sends a QoS 1 message again after a reconnect: with the DUP
 * flag, the packet id that it had, and the same content (MQTT 5, 4.4). It is known when the last
 * record with that packet id has that content, is among the last REDELIVERY_REACH deliveries of
 * the same session, and packet ids are given out in turn. A device that says the same twice
 * never meets that: its second message has a packet id of its own, and no DUP flag.
 *
 * Why "in turn": a broker that gives the lowest free packet id to the next message may send
 * another message of the same content with the same id and, after a reconnect, with DUP; nobody
 * could tell it from the one before. So nothing is known until the broker has shown that it counts
 * on (as mosquitto does): by a row of rising packet ids that goes on half a second after its first
 * was acknowledged, or that is longer than what may be in flight. A packet id that goes back
 * within a connection ends that, and everything is kept.
 *
 * The window survives a crash in the journal (that the broker counts on, the owner keeps). Packet
 * ids are not written for each record: one that follows that of the record before is implied; only
 * a *mark* (message.h) says where a connection begins, where the row has a gap, and something
 * every REDELIVERY_MARK_EVERY records. A power cut may leave records behind others that it took; with
 * `sync always`, where the broker sends both again, every record has a mark (MESSAGE_MARK_BYTES).
 *
 * One thread; no I/O.
 */
#ifndef HEADGATE_REDELIVERY_H
#define HEADGATE_REDELIVERY_H

#include "message.h"

enum {
    REDELIVERY_REACH = 32767, /* mosquitto had 10,000 in flight, with a limit of 1000 */
    REDELIVERY_FLIGHT_MAX = 4096, /* the Receive Maximum that we ask for */
    REDELIVERY_MARK_EVERY = 256,
};

struct redelivery;

/*
 * `origin` stands for the session: equal for equal broker and client id. `mark_every`:
 * REDELIVERY_MARK_EVERY; or 1, so that a record behind lost ones tells its packet id, too. Trusts
 * no broker yet.
 */
struct redelivery *redelivery_new(uint32_t origin, unsigned mark_every);
void redelivery_free(struct redelivery *redelivery);

/* One message of QoS 1. */
struct delivery {
    unsigned packet; /* 1 to 65535 */
    bool is_dup;
    uint32_t content; /* redelivery_content() */
    int64_t time_us;  /* of a clock that is never set */
    int64_t held_us;  /* until then acknowledgements of deliveries before may have waited; or 0 */
};

/* Stands for a message's content, never 0; another in each process. `props` without a mark. */
uint32_t redelivery_content(struct bytes topic, struct bytes props, struct bytes payload,
                            bool is_retained);

/* The next delivery is the first of another connection. */
void redelivery_connected(struct redelivery *redelivery, bool is_session_present);

/* Whether it is in the journal already: acknowledge it and drop it. */
bool redelivery_is_known(const struct redelivery *redelivery, const struct delivery *delivery)
        MUST_CHECK;

/* Whether the broker has shown that it counts on; as long as not, nothing is known. */
bool redelivery_is_ready(const struct redelivery *redelivery);

/* It had shown that to an earlier process, in this session; after redelivery_replay(). */
void redelivery_set_ready(struct redelivery *redelivery);

/* It is going to be kept, next. Appends the mark that its record's props must begin with, if any. */
void redelivery_keep(struct redelivery *redelivery, const struct delivery *delivery,
                     struct buf *props);

/* It is not kept: the canary, a surplus copy, what is not for us. */
void redelivery_pass(struct redelivery *redelivery, const struct delivery *delivery);

/*
 * After a restart, before the first delivery: the journal's last records, in order.
 * redelivery_skip() stands for records that could not be read.
 */
void redelivery_replay(struct redelivery *redelivery, struct bytes topic, struct bytes props,
                       struct bytes payload, bool is_retained, bool is_dup);
void redelivery_skip(struct redelivery *redelivery);

#endif
