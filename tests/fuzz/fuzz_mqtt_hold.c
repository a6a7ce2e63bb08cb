/*
 * Sorting of what a client sends. The first byte chooses the pieces, the rest is the stream. What
 * comes out, with everything released at the end, is the stream's packets: all of them, whole,
 * acknowledgements and others each in their order.
 */
#include "fuzz.h"

#include "drivers/mqtt_hold.h"

static bool
next_of(struct bytes *rest, bool wants_acks, struct bytes *out)
{
    unsigned type;
    size_t size;
    while (mqtt_packet_look(*rest, SIZE_MAX, &type, &size) == MQTT_PACKET_WHOLE) {
        struct bytes packet = bytes_slice(*rest, 0, size);
        *rest = bytes_slice(*rest, size, rest->size);
        bool is_ack = type == MQTT_PACKET_PUBACK || type == MQTT_PACKET_PUBREC;
        if (is_ack == wants_acks && type != MQTT_PACKET_DISCONNECT) {
            *out = packet;
            return true;
        }
    }
    return false;
}

static uint64_t
half_of(void *context, unsigned packet)
{
    return packet / 2;
}

static void
check_order(struct bytes in, struct bytes out, bool of_acks)
{
    struct bytes sent, left;
    while (next_of(&in, of_acks, &sent)) {
        check(next_of(&out, of_acks, &left) && bytes_equal(sent, left));
    }
    check(!next_of(&out, of_acks, &left));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    size_t step = 1 + data[0] % 64;
    struct bytes stream = bytes_of(data + 1, size - 1);
    struct mqtt_hold hold = {0};
    bool is_good = true;
    for (size_t at = 0; is_good && at < stream.size; at += step) {
        size_t end = at + step < stream.size ? at + step : stream.size;
        is_good = mqtt_hold_feed(&hold, bytes_slice(stream, at, end),
                                 &(struct mqtt_hold_needs){NULL, half_of});
        mqtt_hold_release(&hold, at / 2);
    }
    mqtt_hold_release(&hold, UINT64_MAX);
    check(hold.held.size == 0 && hold.mark_count == 0);
    if (is_good) {
        check(hold.out.size + hold.part.size == stream.size);
        check_order(stream, buf_bytes(&hold.out), true);
        check_order(stream, buf_bytes(&hold.out), false);
    }
    mqtt_hold_fini(&hold);
    return 0;
}
