/*
 * The properties of an MQTT 5 message as bytes of a journal record. The layout is in message.h.
 *
 * Written by the ingest process, read by the core. The bytes come out of a checksummed record, but
 * a record may be older than this program, so the reader takes nothing on trust.
 */
#include "message.h"

#include "base/wire.h"


enum tag {
    TAG_CONTENT_TYPE = 1,
    TAG_RESPONSE_TOPIC = 2,
    TAG_CORRELATION = 3,
    TAG_PAYLOAD_IS_TEXT = 4,
    TAG_USER = 5,
    TAG_MARK = 6,
};

enum { MARK_CONNECTION = 1, MARK_SESSION = 2, PACKET_MAX = 65535 };

enum { HOPS_MAX = 1000 };

static void
put_field(struct buf *out, enum tag tag, struct bytes value)
{
    if (value.size > 0) {
        wire_put_u8(out, (uint8_t)tag);
        wire_put_bytes(out, value);
    }
}

static void
put_user(struct buf *out, const struct message_property *property)
{
    struct buf field = {0};
    wire_put_bytes(&field, property->name);
    buf_append(&field, property->value);
    wire_put_u8(out, TAG_USER);
    wire_put_bytes(out, buf_bytes(&field));
    buf_fini(&field);
}

void
message_props_encode(const struct message_props *props, struct buf *out)
{
    put_field(out, TAG_CONTENT_TYPE, props->content_type);
    put_field(out, TAG_RESPONSE_TOPIC, props->response_topic);
    put_field(out, TAG_CORRELATION, props->correlation);
    if (props->payload_is_text) {
        wire_put_u8(out, TAG_PAYLOAD_IS_TEXT);
        wire_put_bytes(out, BYTES(""));
    }
    for (size_t i = 0; i < props->user_count; i++) {
        put_user(out, &props->user[i]);
    }
}

static bool
take_field(struct message_props *props, struct message_property *user, uint8_t tag,
           struct bytes value)
{
    switch (tag) {
    case TAG_CONTENT_TYPE:
        props->content_type = value;
        return true;
    case TAG_RESPONSE_TOPIC:
        props->response_topic = value;
        return true;
    case TAG_CORRELATION:
        props->correlation = value;
        return true;
    case TAG_PAYLOAD_IS_TEXT:
        props->payload_is_text = true;
        return true;
    case TAG_USER: {
        struct wire_reader reader = wire_reader(value);
        user[props->user_count].name = wire_get_bytes(&reader);
        user[props->user_count].value = reader.rest;
        props->user_count++;
        return !reader.failed;
    }
    default:
        return true; /* of a later version */
    }
}

/* How many user properties there are, or SIZE_MAX when the fields do not end with the bytes. */
static size_t
count_users(struct bytes encoded)
{
    struct wire_reader reader = wire_reader(encoded);
    size_t count = 0;
    while (reader.rest.size > 0 && !reader.failed) {
        count += wire_get_u8(&reader) == TAG_USER;
        wire_get_bytes(&reader);
    }
    return reader.failed ? SIZE_MAX : count;
}

bool
message_props_decode(struct bytes encoded, struct arena *arena, struct message_props *out)
{
    size_t user_count = count_users(encoded);
    if (user_count == SIZE_MAX) {
        return false;
    }
    struct message_property *user =
            user_count == 0 ? NULL : arena_new_array(arena, struct message_property, user_count);
    struct message_props props = {.user = user};
    struct wire_reader reader = wire_reader(encoded);
    while (reader.rest.size > 0) {
        uint8_t tag = wire_get_u8(&reader);
        if (!take_field(&props, user, tag, wire_get_bytes(&reader))) {
            return false;
        }
    }
    check(props.user_count == user_count);
    *out = props;
    return true;
}

void
message_mark_encode(const struct message_mark *mark, struct buf *out)
{
    struct buf field = {0};
    wire_put_u32(&field, mark->packet);
    wire_put_u32(&field, mark->origin);
    wire_put_u8(&field, (uint8_t)((mark->is_connection ? MARK_CONNECTION : 0) |
                                  (mark->is_session ? MARK_SESSION : 0)));
    put_field(out, TAG_MARK, buf_bytes(&field));
    buf_fini(&field);
}

bool
message_mark_take(struct bytes *encoded, struct message_mark *out)
{
    struct wire_reader reader = wire_reader(*encoded);
    if (wire_get_u8(&reader) != TAG_MARK) {
        return false;
    }
    struct wire_reader field = wire_reader(wire_get_bytes(&reader));
    unsigned packet = wire_get_u32(&field);
    uint32_t origin = wire_get_u32(&field);
    unsigned flags = wire_get_u8(&field);
    if (reader.failed || field.failed || packet == 0 || packet > PACKET_MAX) {
        return false;
    }
    *out = (struct message_mark){packet, origin, (flags & MARK_CONNECTION) != 0,
                                 (flags & MARK_SESSION) != 0};
    *encoded = reader.rest;
    return true;
}

bool
message_props_find(const struct message_props *props, struct bytes name, struct bytes *out)
{
    for (size_t i = 0; i < props->user_count; i++) {
        if (bytes_equal(props->user[i].name, name)) {
            *out = props->user[i].value;
            return true;
        }
    }
    return false;
}

unsigned
message_hops(const struct message_props *props)
{
    struct bytes text;
    int64_t hops;
    if (!message_props_find(props, BYTES(MESSAGE_HOPS_PROPERTY), &text) ||
        !bytes_to_int64(text, &hops) || hops < 0 || hops > HOPS_MAX) {
        return 0;
    }
    return (unsigned)hops;
}
