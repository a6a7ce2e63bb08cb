/*
 * A table of the last deliveries by packet id.
 *
 *   newest     the packet id that the broker has come to
 *   chain      the packet id of the last kept record; the next one is implied
 *
 * Packet ids run from 1 to 65535 and begin again; a *step* from a to b is how often one has to
 * count on from a to come to b, 0 to 65534. An entry counts while the step from it to `newest` is
 * at most REDELIVERY_REACH. For a new message to meet an old entry of its packet id, the broker
 * would have to be 32,768 messages ahead of what we have received; we ask for 4096 at most.
 *
 * A step that is no small step ahead means
 *   on a connection's first new delivery: the broker has gone back, to a session that it had saved
 *      a while ago; what we have of later packet ids belongs to messages that it does not know
 *   later: it does not give packet ids out in turn
 */
#include "redelivery.h"

#include "base/map.h"
#include "base/mem.h"

#include <stdlib.h>

enum {
    PACKETS = 65535,
    ROUND_TRIP_US = 500000, /* after so long our acknowledgement is with the broker */
};

struct redelivery {
    uint32_t origin;
    uint32_t contents[PACKETS + 1]; /* by packet id; 0: no entry */
    unsigned newest;         /* 0: none yet */
    unsigned chain;          /* 0: not known */
    unsigned mark_every;
    unsigned unmarked;       /* records since the last mark */
    unsigned in_turn;        /* new deliveries in a row, each a small step ahead */
    int64_t row_us;          /* since then each was acknowledged at once */
    bool is_trusted;         /* packet ids are given out in turn */
    bool is_first;           /* no new delivery on this connection yet */
    bool must_mark;
    bool is_new_session;     /* for the next mark */
};

static unsigned
next_packet(unsigned packet)
{
    return packet == PACKETS ? 1 : packet + 1;
}

static unsigned
step(unsigned from, unsigned to)
{
    return (to + PACKETS - from) % PACKETS;
}

static bool
is_small(unsigned steps)
{
    return steps > 0 && steps <= REDELIVERY_REACH;
}

static void
forget(struct redelivery *redelivery)
{
    memset(redelivery->contents, 0, sizeof redelivery->contents);
    redelivery->newest = 0;
    redelivery->in_turn = 0;
    redelivery->is_trusted = false;
}

/* The broker has gone back to before `packet`. */
static void
forget_from(struct redelivery *redelivery, unsigned packet)
{
    for (unsigned entry = 1; entry <= PACKETS; entry++) {
        if (!is_small(step(entry, packet))) {
            redelivery->contents[entry] = 0;
        }
    }
    redelivery->in_turn = 0;
}

struct redelivery *
redelivery_new(uint32_t origin, unsigned mark_every)
{
    struct redelivery *redelivery = mem_new(struct redelivery);
    redelivery->origin = origin;
    redelivery->mark_every = mark_every;
    redelivery->is_first = true;
    return redelivery;
}

void
redelivery_free(struct redelivery *redelivery)
{
    free(redelivery);
}

static uint64_t
mix(uint64_t hash, uint64_t more)
{
    hash = (hash ^ more) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ (hash >> 31);
}

uint32_t
redelivery_content(struct bytes topic, struct bytes props, struct bytes payload, bool is_retained)
{
    uint64_t hash =
            mix(mix(mix(is_retained, map_hash(topic)), map_hash(props)), map_hash(payload));
    uint32_t content = (uint32_t)(hash >> 32);
    return content == 0 ? 1 : content;
}

void
redelivery_connected(struct redelivery *redelivery, bool is_session_present)
{
    if (!is_session_present) {
        forget(redelivery);
        redelivery->is_new_session = true;
    }
    redelivery->is_first = true;
    redelivery->must_mark = true;
}

bool
redelivery_is_ready(const struct redelivery *redelivery)
{
    return redelivery->is_trusted;
}

void
redelivery_set_ready(struct redelivery *redelivery)
{
    redelivery->is_trusted = true;
}

bool
redelivery_is_known(const struct redelivery *redelivery, const struct delivery *delivery)
{
    return delivery->is_dup && redelivery->is_trusted &&
           redelivery->contents[delivery->packet] == delivery->content &&
           step(delivery->packet, redelivery->newest) <= REDELIVERY_REACH;
}

/* Draws conclusions from a packet id; false: it was not the broker's turn for it. */
static bool
follow(struct redelivery *redelivery, unsigned packet, bool is_dup)
{
    bool is_ahead = redelivery->newest == 0 || is_small(step(redelivery->newest, packet));
    if (is_ahead) {
        redelivery->newest = packet;
    }
    if (is_dup) {
        return true;
    }
    bool is_first = redelivery->is_first;
    redelivery->is_first = false;
    if (!is_ahead && is_first) {
        forget_from(redelivery, packet);
    } else if (!is_ahead) {
        forget(redelivery);
    }
    redelivery->newest = packet;
    return is_ahead || is_first;
}

/* Whether the broker gives out packet ids in turn, as far as this delivery shows. */
static void
judge(struct redelivery *redelivery, const struct delivery *delivery)
{
    bool is_next = !delivery->is_dup && !redelivery->is_first && redelivery->newest != 0;
    if (follow(redelivery, delivery->packet, delivery->is_dup) && is_next) {
        redelivery->in_turn++;
        redelivery->row_us =
                delivery->held_us > redelivery->row_us ? delivery->held_us : redelivery->row_us;
        redelivery->is_trusted |= redelivery->in_turn > REDELIVERY_FLIGHT_MAX ||
                                  delivery->time_us - redelivery->row_us >= ROUND_TRIP_US;
    } else if (!delivery->is_dup) {
        redelivery->in_turn = 0;
        redelivery->row_us = delivery->time_us;
    }
}

static void
enter(struct redelivery *redelivery, unsigned packet, uint32_t content)
{
    redelivery->contents[packet] = content;
    redelivery->chain = packet;
}

void
redelivery_keep(struct redelivery *redelivery, const struct delivery *delivery, struct buf *props)
{
    unsigned implied = redelivery->chain == 0 ? 0 : next_packet(redelivery->chain);
    judge(redelivery, delivery);
    enter(redelivery, delivery->packet, delivery->content);
    redelivery->unmarked++;
    if (redelivery->must_mark || implied != delivery->packet ||
        redelivery->unmarked >= redelivery->mark_every) {
        struct message_mark mark = {
                .packet = delivery->packet,
                .origin = redelivery->origin,
                .is_connection = redelivery->must_mark,
                .is_session = redelivery->is_new_session,
        };
        message_mark_encode(&mark, props);
        redelivery->must_mark = redelivery->is_new_session = false;
        redelivery->unmarked = 0;
    }
}

void
redelivery_pass(struct redelivery *redelivery, const struct delivery *delivery)
{
    judge(redelivery, delivery);
}

static void
obey(struct redelivery *redelivery, const struct message_mark *mark)
{
    bool is_ours = mark->origin == redelivery->origin;
    if (is_ours && mark->is_session) {
        forget(redelivery);
    }
    redelivery->chain = is_ours ? mark->packet : 0;
    redelivery->is_first |= mark->is_connection;
}

void
redelivery_replay(struct redelivery *redelivery, struct bytes topic, struct bytes props,
                  struct bytes payload, bool is_retained, bool is_dup)
{
    struct message_mark mark;
    if (redelivery->chain != 0) {
        redelivery->chain = next_packet(redelivery->chain);
    }
    if (message_mark_take(&props, &mark)) {
        obey(redelivery, &mark);
    }
    if (redelivery->chain != 0) {
        follow(redelivery, redelivery->chain, is_dup);
        enter(redelivery, redelivery->chain,
              redelivery_content(topic, props, payload, is_retained));
    }
}

void
redelivery_skip(struct redelivery *redelivery)
{
    redelivery->chain = 0;
}
