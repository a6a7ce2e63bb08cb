/* Sorting what a client sends. The relay around it: tests/mqtt/test_gate.py. */
#include "unit.h"

#include "drivers/mqtt_hold.h"

#define PING "\xc0\x00"
#define ACK(id) "\x40\x02\x00" id
#define WITH_REASON(id) "\x40\x03\x00" id "\x10"
#define DISCONNECT "\xe0\x00"
#define SUBSCRIBE "\x82\x06\x00\x01\x00\x01" "a\x01"

#define PIECE(text) bytes_of(text, sizeof text - 1)

/* An acknowledgement needs as much as its packet id says; one that cannot be told, 9. */
static uint64_t
need_of_id(void *context, unsigned packet)
{
    return packet == 0 ? 9 : packet;
}

static bool
feed(struct mqtt_hold *hold, struct bytes bytes)
{
    return mqtt_hold_feed(hold, bytes, &(struct mqtt_hold_needs){NULL, need_of_id});
}

static void
out_is(struct mqtt_hold *hold, struct bytes expected)
{
    assert_true(bytes_equal(buf_bytes(&hold->out), expected));
    mqtt_hold_sent(hold, hold->out.size);
}

static void
acknowledgements_wait_for_their_number(void **state)
{
    struct mqtt_hold hold = {0};
    assert_true(feed(&hold, PIECE(ACK("\x02") WITH_REASON("\x03") ACK("\x04"))));
    mqtt_hold_release(&hold, 1);
    out_is(&hold, PIECE(""));
    mqtt_hold_release(&hold, 3);
    out_is(&hold, PIECE(ACK("\x02") WITH_REASON("\x03")));
    mqtt_hold_release(&hold, 9);
    out_is(&hold, PIECE(ACK("\x04")));
    assert_int_equal(hold.held.size, 0);
    mqtt_hold_fini(&hold);
}

/* MQTT wants acknowledgements in order, so one waits for those before it. */
static void
no_acknowledgement_overtakes(void **state)
{
    struct mqtt_hold hold = {0};
    assert_true(feed(&hold, PIECE(ACK("\x02") ACK("\x01"))));
    mqtt_hold_release(&hold, 1);
    out_is(&hold, PIECE(""));
    mqtt_hold_release(&hold, 2);
    out_is(&hold, PIECE(ACK("\x02") ACK("\x01")));
    mqtt_hold_fini(&hold);
}

static void
one_whose_message_cannot_be_told_waits_for_all(void **state)
{
    static const char received[] = "\x50\x02\x00\x01"; /* PUBREC */
    static const char without_id[] = "\x40\x01\x00";
    struct mqtt_hold hold = {0};
    assert_true(feed(&hold, PIECE(received)));
    assert_true(feed(&hold, PIECE(without_id)));
    mqtt_hold_release(&hold, 8);
    out_is(&hold, PIECE(""));
    mqtt_hold_release(&hold, 9);
    assert_int_equal(hold.out.size, sizeof received - 1 + sizeof without_id - 1);
    mqtt_hold_fini(&hold);
}

static void
everything_else_goes_on_at_once(void **state)
{
    struct mqtt_hold hold = {0};
    assert_true(feed(&hold, PIECE(ACK("\x01") PING SUBSCRIBE)));
    out_is(&hold, PIECE(PING SUBSCRIBE));
    mqtt_hold_release(&hold, 1);
    out_is(&hold, PIECE(ACK("\x01")));
    mqtt_hold_fini(&hold);
}

static void
a_goodbye_stays_behind_the_acknowledgements(void **state)
{
    struct mqtt_hold hold = {0};
    assert_true(feed(&hold, PIECE(ACK("\x01") DISCONNECT)));
    out_is(&hold, PIECE(""));
    mqtt_hold_release(&hold, 1);
    out_is(&hold, PIECE(ACK("\x01") DISCONNECT));
    assert_true(feed(&hold, PIECE(DISCONNECT)));
    out_is(&hold, PIECE(DISCONNECT));
    mqtt_hold_fini(&hold);
}

/* An acknowledgement that is released meanwhile must not land inside of another packet. */
static void
packets_leave_whole_in_whatever_pieces_they_come(void **state)
{
    static const char stream[] = ACK("\x01") SUBSCRIBE ACK("\x02") PING;
    for (size_t first = 1; first < sizeof stream - 1; first++) {
        struct mqtt_hold hold = {0};
        struct bytes all = PIECE(stream);
        assert_true(feed(&hold, bytes_slice(all, 0, first)));
        mqtt_hold_release(&hold, 1);
        for (size_t i = first; i < all.size; i++) {
            assert_true(feed(&hold, bytes_slice(all, i, i + 1)));
        }
        mqtt_hold_release(&hold, 2);
        assert_int_equal(hold.out.size, all.size);
        for (size_t at = 0; at < hold.out.size;) {
            unsigned type;
            size_t size;
            assert_int_equal(mqtt_packet_look(bytes_slice(buf_bytes(&hold.out), at, hold.out.size),
                                              64, &type, &size), MQTT_PACKET_WHOLE);
            assert_true(type == 4 || type == 8 || type == 12);
            at += size;
        }
        mqtt_hold_fini(&hold);
    }
}

static void
what_is_not_mqtt_is_refused(void **state)
{
    struct mqtt_hold hold = {0};
    assert_false(feed(&hold, PIECE("\x82\xff\xff\xff\xff")));
    mqtt_hold_fini(&hold);
    assert_false(feed(&hold, PIECE("\x82\xff\xff\xff\x7f")));
    mqtt_hold_fini(&hold);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(acknowledgements_wait_for_their_number),
            cmocka_unit_test(no_acknowledgement_overtakes),
            cmocka_unit_test(one_whose_message_cannot_be_told_waits_for_all),
            cmocka_unit_test(everything_else_goes_on_at_once),
            cmocka_unit_test(a_goodbye_stays_behind_the_acknowledgements),
            cmocka_unit_test(packets_leave_whole_in_whatever_pieces_they_come),
            cmocka_unit_test(what_is_not_mqtt_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
