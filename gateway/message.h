/*
 * What an MQTT 5 message carries beside topic and payload, and its form in a journal record.
 *
 * `props` of a record is empty for most messages. Otherwise it is a row of fields, each a tag (u8)
 * and counted bytes (base/wire.h), in any order; unknown tags are passed over:
 *
 *   1 content type   2 response topic   3 correlation data   4 the payload is UTF-8 (empty)
 *   5 user property: counted name, then the value up to the end of the field
 *   6 mark: packet id (u32), origin (u32), flags (u8: 1 connection, 2 session);
 *     always the first field. It is the journal's, not the message's: redelivery.h
 */
#ifndef HEADGATE_MESSAGE_H
#define HEADGATE_MESSAGE_H

#include "base/arena.h"
#include "base/buf.h"

struct message_property {
    struct bytes name;
    struct bytes value;
};

/* Views; an absent text is empty. */
struct message_props {
    struct bytes content_type;
    struct bytes response_topic;
    struct bytes correlation;
    bool payload_is_text; /* Payload Format Indicator 1 */
    const struct message_property *user; /* in the order of arrival; names may repeat */
    size_t user_count;
};

/* User properties that the gateway sets on what it publishes. */
#define MESSAGE_ID_PROPERTY "headgate-id"
#define MESSAGE_HOPS_PROPERTY "headgate-hops"

/* A message that came through so many rules is taken for one that goes round in a circle. */
enum { MESSAGE_HOPS_LIMIT = 5 };

/* Appends the encoding; nothing when there is nothing to say. */
void message_props_encode(const struct message_props *props, struct buf *out);

/* Views into `encoded`; the array of user properties is in the arena. False: not our encoding. */
bool message_props_decode(struct bytes encoded, struct arena *arena, struct message_props *out)
        MUST_CHECK;

/* The first user property of that name. */
bool message_props_find(const struct message_props *props, struct bytes name, struct bytes *out);

/* Where a record stands among the deliveries of a session. */
struct message_mark {
    unsigned packet; /* its packet id, 1 to 65535 */
    uint32_t origin; /* which session: redelivery_new() */
    bool is_connection; /* the first record of a connection */
    bool is_session;    /* the first record of a session */
};

enum { MESSAGE_MARK_BYTES = 11 };

/* Appends the field, MESSAGE_MARK_BYTES; before all others. */
void message_mark_encode(const struct message_mark *mark, struct buf *out);

/* Takes the field off the front of `encoded`; false when there is none. */
bool message_mark_take(struct bytes *encoded, struct message_mark *out);

/*
 * How many gateways and rules a message has come through: its `headgate-hops`; 0 when it has none
 * or the value is not a number from 0 to 1000.
 */
unsigned message_hops(const struct message_props *props);

#endif
