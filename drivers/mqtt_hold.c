/*
 * A packet is type and flags in one byte, a length in one to four bytes of seven bits, and that
 * many bytes. What a client of ours sends is small, but for subscriptions with long filters.
 *
 *   fed bytes ──> part ──whole packets──┬── PUBACK, PUBREC, DISCONNECT ──> held ──released──┐
 *                                       └── all others ─────────────────────────────────────┴> out
 */
#include "drivers/mqtt_hold.h"

#include "base/mem.h"

#include <stdlib.h>

enum { PACKET_BYTES_MAX = 1024 * 1024, LENGTH_BYTES_MAX = 4 };

enum mqtt_packet_state
mqtt_packet_look(struct bytes bytes, size_t size_max, unsigned *type, size_t *size)
{
    size_t length = 0;
    for (size_t i = 0; i < LENGTH_BYTES_MAX; i++) {
        if (bytes.size < i + 2) {
            return MQTT_PACKET_PART;
        }
        unsigned char byte = (unsigned char)bytes.data[1 + i];
        length |= (size_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) == 0) {
            *type = (unsigned char)bytes.data[0] >> 4;
            *size = 2 + i + length;
            return *size > size_max        ? MQTT_PACKET_BAD
                   : bytes.size < *size ? MQTT_PACKET_PART
                                        : MQTT_PACKET_WHOLE;
        }
    }
    return MQTT_PACKET_BAD;
}

void
mqtt_hold_fini(struct mqtt_hold *hold)
{
    buf_fini(&hold->part);
    buf_fini(&hold->held);
    buf_fini(&hold->out);
    free(hold->marks);
    *hold = (struct mqtt_hold){0};
}

static void
hold_packet(struct mqtt_hold *hold, struct bytes packet, uint64_t needed)
{
    buf_append(&hold->held, packet);
    if (hold->mark_count > 0 && hold->marks[hold->mark_count - 1].needed >= needed) {
        hold->marks[hold->mark_count - 1].end = hold->held.size;
        return;
    }
    hold->marks = mem_grow(hold->marks, hold->mark_count, &hold->mark_capacity,
                           sizeof *hold->marks);
    hold->marks[hold->mark_count++] = (struct mqtt_hold_mark){needed, hold->held.size};
}

static void
remove_front(struct buf *buf, size_t size)
{
    if (size > 0) {
        memmove(buf->data, buf->data + size, buf->size - size);
        buf->size -= size;
    }
}

/* A PUBACK of ours has no properties, so its length is one byte and its id the two behind it. A
 * PUBREC is sent before its message is given to anybody. */
static unsigned
acknowledged_packet(struct bytes packet, unsigned type)
{
    const unsigned char *at = (const unsigned char *)packet.data;
    bool is_ours = type == MQTT_PACKET_PUBACK && packet.size >= 4 && packet.size < 128;
    return is_ours ? (unsigned)at[2] << 8 | at[3] : 0;
}

/* Sorts the whole packets at the front of `bytes`; gives how many bytes they take. */
static bool
sort_packets(struct mqtt_hold *hold, struct bytes bytes, const struct mqtt_hold_needs *needs,
             size_t *sorted)
{
    *sorted = 0;
    for (;;) {
        struct bytes rest = bytes_slice(bytes, *sorted, bytes.size);
        unsigned type;
        size_t size;
        enum mqtt_packet_state state = mqtt_packet_look(rest, PACKET_BYTES_MAX, &type, &size);
        if (state != MQTT_PACKET_WHOLE) {
            return state == MQTT_PACKET_PART;
        }
        struct bytes packet = bytes_slice(rest, 0, size);
        bool is_ack = type == MQTT_PACKET_PUBACK || type == MQTT_PACKET_PUBREC;
        if (is_ack) {
            hold_packet(hold, packet,
                        needs->of(needs->context, acknowledged_packet(packet, type)));
        } else if (type == MQTT_PACKET_DISCONNECT && hold->held.size > 0) {
            hold_packet(hold, packet, 0);
        } else {
            buf_append(&hold->out, packet);
        }
        *sorted += size;
    }
}

bool
mqtt_hold_feed(struct mqtt_hold *hold, struct bytes bytes,
               const struct mqtt_hold_needs *needs)
{
    size_t sorted;
    if (hold->part.size == 0) {
        bool is_good = sort_packets(hold, bytes, needs, &sorted);
        buf_append(&hold->part, bytes_slice(bytes, sorted, bytes.size));
        return is_good;
    }
    buf_append(&hold->part, bytes);
    bool is_good = sort_packets(hold, buf_bytes(&hold->part), needs, &sorted);
    remove_front(&hold->part, sorted);
    return is_good;
}

void
mqtt_hold_release(struct mqtt_hold *hold, uint64_t reached)
{
    size_t count = 0;
    while (count < hold->mark_count && hold->marks[count].needed <= reached) {
        count++;
    }
    if (count == 0) {
        return;
    }
    size_t end = hold->marks[count - 1].end;
    buf_append(&hold->out, bytes_of(hold->held.data, end));
    remove_front(&hold->held, end);
    hold->mark_count -= count;
    for (size_t i = 0; i < hold->mark_count; i++) {
        hold->marks[i] = hold->marks[i + count];
        hold->marks[i].end -= end;
    }
}

void
mqtt_hold_sent(struct mqtt_hold *hold, size_t size)
{
    check(size <= hold->out.size);
    remove_front(&hold->out, size);
}
