/*
 * Which repetitions are known: packet ids, DUP flags and contents in, verdicts out. With a real
 * broker and kill -9: tests/mqtt/test_redelivery.py and tests/scenario/test_crash.py.
 */
#include "unit.h"

#include "base/mem.h"
#include "redelivery.h"

enum { ORIGIN = 7, RECORDS_MAX = 20000, SECOND_US = 1000000 };

/* A window, and what the journal would hold of it. */
struct rig {
    struct redelivery *window;
    struct buf *props;
    struct delivery *kept;
    size_t count;
    int64_t now_us;
    bool is_stalled;
};

static struct rig
rig_new(void)
{
    struct rig rig = {.window = redelivery_new(ORIGIN, REDELIVERY_MARK_EVERY),
                      .props = mem_new_array(struct buf, RECORDS_MAX),
                      .kept = mem_new_array(struct delivery, RECORDS_MAX)};
    redelivery_connected(rig.window, false);
    return rig;
}

static void
rig_fini(struct rig *rig)
{
    for (size_t i = 0; i < rig->count; i++) {
        buf_fini(&rig->props[i]);
    }
    free(rig->props);
    free(rig->kept);
    redelivery_free(rig->window);
}

static uint32_t
content_of(unsigned number)
{
    return redelivery_content(BYTES("t"), BYTES(""), bytes_of((char *)&number, sizeof number),
                              false);
}

static struct delivery
delivery(const struct rig *rig, unsigned packet, bool is_dup, unsigned number)
{
    return (struct delivery){.packet = packet,
                             .is_dup = is_dup,
                             .content = content_of(number),
                             .time_us = rig->now_us,
                             .held_us = rig->is_stalled ? rig->now_us : 0};
}

/* Receives a message; its number is its content. True: it is kept. */
static bool
receive(struct rig *rig, unsigned packet, bool is_dup, unsigned number)
{
    struct delivery one = delivery(rig, packet, is_dup, number);
    if (redelivery_is_known(rig->window, &one)) {
        return false;
    }
    assert_true(rig->count < RECORDS_MAX);
    redelivery_keep(rig->window, &one, &rig->props[rig->count]);
    one.content = number;
    rig->kept[rig->count++] = one;
    return true;
}

/* Packet ids 1, 2, 3, ... with their own numbers, a second apart where that matters. */
static void
receive_first(struct rig *rig, unsigned count)
{
    for (unsigned i = 1; i <= count; i++) {
        rig->now_us += SECOND_US;
        assert_true(receive(rig, i, false, i));
    }
}

/* kill -9 and a new process, which reads the records from `from` on. */
static void
restart(struct rig *rig, uint32_t origin, size_t from)
{
    bool is_ready = redelivery_is_ready(rig->window);
    redelivery_free(rig->window);
    rig->window = redelivery_new(origin, REDELIVERY_MARK_EVERY);
    for (size_t i = from; i < rig->count; i++) {
        unsigned number = (unsigned)rig->kept[i].content;
        redelivery_replay(rig->window, BYTES("t"), buf_bytes(&rig->props[i]),
                          bytes_of((char *)&number, sizeof number), false, rig->kept[i].is_dup);
    }
    if (is_ready) {
        redelivery_set_ready(rig->window);
    }
}

static void
what_comes_again_after_a_reconnect_is_known(void **state)
{
    struct rig rig = rig_new();
    receive_first(&rig, 5);
    redelivery_connected(rig.window, true);
    assert_false(receive(&rig, 4, true, 4));
    assert_false(receive(&rig, 5, true, 5));
    assert_true(receive(&rig, 6, true, 6)); /* it had been sent, but had not come */
    assert_true(receive(&rig, 7, false, 7));
    redelivery_connected(rig.window, true);
    assert_false(receive(&rig, 6, true, 6));
    assert_false(receive(&rig, 7, true, 7));
    rig_fini(&rig);
}

static void
only_all_marks_together_count(void **state)
{
    struct rig rig = rig_new();
    receive_first(&rig, 5);
    redelivery_connected(rig.window, true);
    assert_true(receive(&rig, 5, true, 4));  /* another content */
    assert_true(receive(&rig, 9, true, 3));  /* another packet id: 3 said twice */
    assert_true(receive(&rig, 10, false, 10));
    assert_true(receive(&rig, 11, false, 10)); /* a device that repeats itself */
    rig_fini(&rig);
}

static void
another_session_knows_nothing(void **state)
{
    struct rig rig = rig_new();
    receive_first(&rig, 5);
    redelivery_connected(rig.window, false);
    assert_true(receive(&rig, 5, true, 5));
    rig_fini(&rig);
    rig = rig_new();
    receive_first(&rig, 5);
    restart(&rig, ORIGIN + 1, 0);
    redelivery_connected(rig.window, true);
    assert_true(receive(&rig, 5, true, 5));
    rig_fini(&rig);
}

static void
the_journal_tells_where_a_session_begins(void **state)
{
    struct rig rig = rig_new();
    receive_first(&rig, 9);
    redelivery_connected(rig.window, false);
    assert_true(receive(&rig, 1, false, 101));
    assert_true(receive(&rig, 10, false, 110));
    restart(&rig, ORIGIN, 0);
    redelivery_set_ready(rig.window);
    redelivery_connected(rig.window, true);
    assert_false(receive(&rig, 1, true, 101));
    assert_true(receive(&rig, 4, true, 4));
    rig_fini(&rig);
}

static void
the_journal_tells_a_new_process(void **state)
{
    struct rig rig = rig_new();
    receive_first(&rig, 1000);
    redelivery_connected(rig.window, true);
    assert_false(receive(&rig, 1000, true, 1000));
    assert_true(receive(&rig, 1003, true, 1003)); /* a row with a hole in it */
    assert_true(receive(&rig, 1004, true, 1004));
    size_t marks = 0;
    for (size_t i = 0; i < rig.count; i++) {
        marks += rig.props[i].size == MESSAGE_MARK_BYTES;
        assert_true(rig.props[i].size == 0 || rig.props[i].size == MESSAGE_MARK_BYTES);
    }
    assert_int_equal(marks, 2 + 3); /* the connections; every 256th */
    for (size_t from = 0; from <= 700; from += 350) {
        restart(&rig, ORIGIN, from);
        redelivery_connected(rig.window, true);
        for (unsigned packet = 990; packet <= 1000; packet++) {
            assert_false(receive(&rig, packet, true, packet));
        }
        assert_false(receive(&rig, 1003, true, 1003));
        assert_false(receive(&rig, 1004, true, 1004));
        struct delivery unseen = delivery(&rig, 1002, true, 1002);
        assert_false(redelivery_is_known(rig.window, &unseen));
    }
    rig_fini(&rig);
}

static void
behind_records_that_cannot_be_read_a_mark_is_needed(void **state)
{
    struct rig rig = rig_new();
    receive_first(&rig, 600);
    restart(&rig, ORIGIN, rig.count);
    unsigned number = 600;
    redelivery_skip(rig.window);
    redelivery_replay(rig.window, BYTES("t"), BYTES(""), bytes_of((char *)&number, sizeof number),
                      false, false);
    redelivery_connected(rig.window, true);
    assert_true(receive(&rig, 600, true, 600));
    rig_fini(&rig);
}

static void
packet_ids_begin_again_after_the_last(void **state)
{
    struct rig rig = rig_new();
    for (unsigned i = 0; i < 10; i++) {
        rig.now_us += SECOND_US;
        assert_true(receive(&rig, 1 + (65530 + i) % 65535, false, i));
    }
    restart(&rig, ORIGIN, 0);
    redelivery_connected(rig.window, true);
    assert_false(receive(&rig, 65535, true, 4));
    assert_false(receive(&rig, 1, true, 5));
    assert_true(receive(&rig, 2, true, 5)); /* another one's content */
    rig_fini(&rig);
}

static void
an_entry_does_not_last_until_its_packet_id_comes_again(void **state)
{
    struct rig rig = rig_new();
    receive_first(&rig, 2);
    for (unsigned packet = 3; packet <= REDELIVERY_REACH + 5; packet++) {
        struct delivery passed = delivery(&rig, packet, false, 0);
        redelivery_pass(rig.window, &passed); /* so that nothing takes its slot */
    }
    redelivery_connected(rig.window, true);
    assert_true(receive(&rig, 2, true, 2));
    rig_fini(&rig);
}

static void
a_broker_that_uses_packet_ids_again_at_once_is_not_trusted(void **state)
{
    struct rig rig = rig_new();
    for (unsigned i = 0; i < 10; i++) {
        rig.now_us += SECOND_US;
        assert_true(receive(&rig, 1, false, 5));
    }
    redelivery_connected(rig.window, true);
    assert_true(receive(&rig, 1, true, 5)); /* the eleventh, perhaps */
    restart(&rig, ORIGIN, 0);
    redelivery_connected(rig.window, true);
    assert_true(receive(&rig, 1, true, 5));
    rig_fini(&rig);
}

static void
trust_ends_when_a_packet_id_goes_back(void **state)
{
    struct rig rig = rig_new();
    receive_first(&rig, 20);
    assert_true(receive(&rig, 3, false, 100));
    redelivery_connected(rig.window, true);
    assert_true(receive(&rig, 3, true, 100));
    restart(&rig, ORIGIN, 0);
    redelivery_connected(rig.window, true);
    assert_true(receive(&rig, 3, true, 100));
    rig_fini(&rig);
}

/* While acknowledgements wait, rising packet ids prove nothing, unless there are too many of them. */
static void
a_burst_is_no_proof(void **state)
{
    struct rig rig = rig_new();
    rig.is_stalled = true;
    receive_first(&rig, REDELIVERY_FLIGHT_MAX + 1);
    unsigned last = REDELIVERY_FLIGHT_MAX + 1;
    redelivery_connected(rig.window, true);
    assert_true(receive(&rig, last, true, last));
    for (unsigned i = 1; i <= REDELIVERY_FLIGHT_MAX + 2; i++) {
        assert_true(receive(&rig, last + i, false, last + i));
    }
    redelivery_connected(rig.window, true);
    last += REDELIVERY_FLIGHT_MAX + 2;
    assert_false(receive(&rig, last, true, last));
    rig_fini(&rig);
}

static void
a_steady_row_is_a_proof(void **state)
{
    struct rig rig = rig_new();
    for (unsigned i = 1; i <= 60; i++) {
        rig.now_us += SECOND_US / 100;
        assert_true(receive(&rig, i, false, i));
    }
    redelivery_connected(rig.window, true);
    assert_false(receive(&rig, 60, true, 60));
    rig_fini(&rig);
}

/* The broker was killed and came back with what it had saved: packet ids 6 and 7 are given again. */
static void
a_broker_that_went_back_gives_new_messages_old_ids(void **state)
{
    struct rig rig = rig_new();
    receive_first(&rig, 8);
    redelivery_connected(rig.window, true);
    assert_false(receive(&rig, 5, true, 5));
    assert_true(receive(&rig, 6, false, 60));
    redelivery_connected(rig.window, true);
    assert_false(receive(&rig, 6, true, 60));
    assert_true(receive(&rig, 7, true, 7)); /* a new message of the same content as that 7 */
    restart(&rig, ORIGIN, 0);
    redelivery_connected(rig.window, true);
    assert_false(receive(&rig, 6, true, 60));
    assert_true(receive(&rig, 8, true, 8));
    rig_fini(&rig);
}

/* The same, and what it gives an old packet id has the content of what had it before. */
static void
without_the_dup_flag_a_message_is_new(void **state)
{
    struct rig rig = rig_new();
    receive_first(&rig, 20);
    redelivery_connected(rig.window, true);
    assert_true(receive(&rig, 6, false, 6));
    assert_true(receive(&rig, 16, false, 160)); /* 7 to 15 have expired at the broker */
    redelivery_connected(rig.window, true);
    assert_true(receive(&rig, 8, true, 8)); /* or not all of them */
    assert_true(receive(&rig, 20, true, 20));
    rig_fini(&rig);
}

static void
contents_differ_by_topic_props_payload_and_retain_flag(void **state)
{
    uint32_t content = redelivery_content(BYTES("a"), BYTES("b"), BYTES("c"), false);
    assert_true(content == redelivery_content(BYTES("a"), BYTES("b"), BYTES("c"), false));
    assert_true(content != redelivery_content(BYTES("b"), BYTES("a"), BYTES("c"), false));
    assert_true(content != redelivery_content(BYTES("a"), BYTES("c"), BYTES("b"), false));
    assert_true(content != redelivery_content(BYTES("ab"), BYTES(""), BYTES("c"), false));
    assert_true(content != redelivery_content(BYTES("a"), BYTES("b"), BYTES("c"), true));
}

static void
a_mark_is_read_as_it_was_written(void **state)
{
    struct message_mark mark = {65535, UINT32_MAX, false, true}, back;
    struct buf out = {0};
    message_mark_encode(&mark, &out);
    assert_int_equal(out.size, MESSAGE_MARK_BYTES);
    buf_append_string(&out, "rest");
    struct bytes rest = buf_bytes(&out);
    assert_true(message_mark_take(&rest, &back));
    assert_bytes(rest, "rest");
    assert_int_equal(back.packet, 65535);
    assert_true(back.origin == UINT32_MAX && !back.is_connection);
    assert_true(back.is_session);
    for (size_t size = 0; size < MESSAGE_MARK_BYTES; size++) {
        rest = bytes_of(out.data, size);
        assert_false(message_mark_take(&rest, &back));
    }
    rest = BYTES("\x06\x09\0\0\0\0\0\0\0\0\0");
    assert_false(message_mark_take(&rest, &back)); /* packet id 0 */
    buf_fini(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(what_comes_again_after_a_reconnect_is_known),
            cmocka_unit_test(only_all_marks_together_count),
            cmocka_unit_test(another_session_knows_nothing),
            cmocka_unit_test(the_journal_tells_where_a_session_begins),
            cmocka_unit_test(the_journal_tells_a_new_process),
            cmocka_unit_test(behind_records_that_cannot_be_read_a_mark_is_needed),
            cmocka_unit_test(packet_ids_begin_again_after_the_last),
            cmocka_unit_test(an_entry_does_not_last_until_its_packet_id_comes_again),
            cmocka_unit_test(a_broker_that_uses_packet_ids_again_at_once_is_not_trusted),
            cmocka_unit_test(trust_ends_when_a_packet_id_goes_back),
            cmocka_unit_test(a_burst_is_no_proof),
            cmocka_unit_test(a_steady_row_is_a_proof),
            cmocka_unit_test(a_broker_that_went_back_gives_new_messages_old_ids),
            cmocka_unit_test(without_the_dup_flag_a_message_is_new),
            cmocka_unit_test(contents_differ_by_topic_props_payload_and_retain_flag),
            cmocka_unit_test(a_mark_is_read_as_it_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
