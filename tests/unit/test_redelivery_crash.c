/*
 * What the broker sends again after a crash, at every moment of a small life: the journal on a disk
 * that loses power, the window of deliveries that is recalled from it, and a broker as mosquitto is.
 *
 * The broker gives packet ids out in turn, has FLIGHT messages on their way at most, and sends what
 * it has no acknowledgement for again, in order, with DUP, when the connection is new. Devices say
 * everything twice, so a message that is taken for a repetition is missed as surely as one that
 * is lost. In the end the journal has each content exactly twice.
 */
#include "journal_rig.h"

#include "redelivery.h"

#include <stdio.h>

enum { ORIGIN = 7, FLIGHT = 8, FIRST = 20, MESSAGES = 60, ACKS_MAX = 4096, STEPS_MAX = 4000 };

struct flight {
    unsigned message;
    unsigned packet;
};

struct life {
    struct crash_disk *disk;
    const struct os *os;
    uint64_t random;
    bool syncs_first; /* sync always: acknowledged when it is on the medium */
    bool forgets;     /* broken on purpose: recalls nothing */

    /* The broker. */
    unsigned next_message, next_packet;
    struct flight flight[FLIGHT];
    size_t flight_count;
    size_t resent; /* of the flight, in this connection */
    bool is_connection_new;
    unsigned acks[ACKS_MAX]; /* on their way to it */
    size_t ack_count;

    /* The gateway. */
    struct journal *journal;
    struct redelivery *window;
    unsigned unsynced[FLIGHT]; /* packets that wait for a sync */
    size_t unsynced_count;
    bool is_dead;
};

static unsigned
draw(struct life *life, unsigned below)
{
    life->random = life->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(life->random >> 33) % below;
}

/* ---- the gateway ---- */

static void
acknowledge(struct life *life, unsigned packet)
{
    assert_true(life->ack_count < ACKS_MAX);
    life->acks[life->ack_count++] = packet;
}

/* The message is in the journal: acknowledged now, or when it is on the medium. */
static void
settle(struct life *life, unsigned packet)
{
    if (life->syncs_first) {
        life->unsynced[life->unsynced_count++] = packet;
    } else {
        acknowledge(life, packet);
    }
}

static void
sync(struct life *life)
{
    struct diag_list diags = {0};
    if (!journal_sync(life->journal, &diags)) {
        life->is_dead = true;
    }
    for (size_t i = 0; i < life->unsynced_count && !life->is_dead; i++) {
        acknowledge(life, life->unsynced[i]);
    }
    life->unsynced_count = 0;
    diag_list_fini(&diags);
}

static void
keep(struct life *life, const struct delivery *delivery, struct bytes payload)
{
    struct diag_list diags = {0};
    struct buf props = {0};
    redelivery_keep(life->window, delivery, &props);
    struct record record = {.time_us = life->os->wall_us(life->os),
                            .flags = delivery->is_dup ? 1 | RECORD_DUP : 1,
                            .topic = BYTES("t"),
                            .props = buf_bytes(&props),
                            .payload = payload};
    if (journal_append(life->journal, &record, &diags)) {
        settle(life, delivery->packet);
    } else {
        life->is_dead = true;
    }
    buf_fini(&props);
    diag_list_fini(&diags);
}

static void
take(struct life *life, struct flight flight, bool is_dup)
{
    char text[16];
    int size = snprintf(text, sizeof text, "%u", flight.message / 2);
    struct bytes payload = bytes_of(text, (size_t)size);
    if (life->is_connection_new) {
        redelivery_connected(life->window, life->next_message > 0);
        life->is_connection_new = false;
    }
    const struct delivery delivery = {
            .packet = flight.packet,
            .is_dup = is_dup,
            .content = redelivery_content(BYTES("t"), BYTES(""), payload, false),
            .time_us = life->os->mono_us(life->os)};
    if (redelivery_is_known(life->window, &delivery)) {
        settle(life, flight.packet);
    } else {
        keep(life, &delivery, payload);
    }
}

static void
recall(struct life *life)
{
    struct journal_reader *reader;
    struct diag_list diags = {0};
    struct record record;
    enum journal_read read = JOURNAL_RECORD;
    struct buf trust = {0};
    life->window = redelivery_new(ORIGIN, life->syncs_first ? 1 : REDELIVERY_MARK_EVERY);
    assert_true(journal_reader_open(&reader, life->os, dir, 0, &diags));
    while (read == JOURNAL_RECORD || read == JOURNAL_GAP) {
        read = journal_reader_next(reader, journal_tail(life->journal), &record, &diags);
        if (read == JOURNAL_RECORD && !life->forgets) {
            redelivery_replay(life->window, record.topic, record.props, record.payload, false,
                              (record.flags & RECORD_DUP) != 0);
        } else if (read == JOURNAL_GAP) {
            redelivery_skip(life->window);
        }
    }
    assert_int_equal(read, JOURNAL_END);
    journal_reader_close(reader);
    if (os_read_file(life->os, "data/trust", 16, &trust) == 0) {
        redelivery_set_ready(life->window);
    }
    buf_fini(&trust);
    diag_list_fini(&diags);
}

static void
start(struct life *life)
{
    struct journal_options options = options_for(life->os);
    life->journal = must_open(&options);
    recall(life);
    life->is_connection_new = true;
    life->is_dead = false;
    life->resent = 0;
    life->unsynced_count = 0;
}

static void
stop(struct life *life)
{
    journal_close(life->journal);
    redelivery_free(life->window);
}

/* ---- the broker ---- */

static void
deliver(struct life *life)
{
    if (life->resent < life->flight_count) {
        take(life, life->flight[life->resent++], true);
    } else if (life->flight_count < FLIGHT && life->next_message < MESSAGES) {
        struct flight flight = {life->next_message++, life->next_packet};
        life->next_packet = life->next_packet % 65535 + 1;
        life->flight[life->flight_count++] = flight;
        life->resent = life->flight_count;
        take(life, flight, false);
    }
}

static void
take_ack(struct life *life)
{
    if (life->ack_count == 0) {
        return;
    }
    for (size_t i = 0; i < life->flight_count; i++) {
        if (life->flight[i].packet == life->acks[0]) {
            life->flight_count--;
            memmove(&life->flight[i], &life->flight[i + 1],
                    (life->flight_count - i) * sizeof *life->flight);
            life->resent -= life->resent > i;
            break;
        }
    }
    life->ack_count--;
    memmove(life->acks, life->acks + 1, life->ack_count * sizeof *life->acks);
}

/* Some of what was on its way still arrives, the rest is gone with the connection. */
static void
hang_up(struct life *life)
{
    for (unsigned i = draw(life, FLIGHT); i > 0; i--) {
        take_ack(life);
    }
    life->ack_count = 0;
}

/* ---- a life, and another one ---- */

static bool
is_done(const struct life *life)
{
    return life->next_message == MESSAGES && life->flight_count == 0;
}

static void
live(struct life *life)
{
    for (unsigned steps = 0; !is_done(life) && !life->is_dead; steps++) {
        assert_true(steps < STEPS_MAX);
        switch (draw(life, 4)) {
        case 0: sync(life); break;
        case 1: take_ack(life); break;
        default: deliver(life);
        }
        crash_disk_advance(life->disk, draw(life, 20000));
    }
}

/* Before anything goes wrong the broker has shown how it gives packet ids out. */
static void
begin(struct life *life, uint64_t seed, bool syncs_first)
{
    *life = (struct life){.disk = crash_disk_new(seed), .random = seed, .next_packet = 1,
                          .syncs_first = syncs_first};
    life->os = crash_disk_os(life->disk);
    start(life);
    while (life->next_message < FIRST) {
        deliver(life);
        sync(life);
        take_ack(life);
        crash_disk_advance(life->disk, 100000);
    }
    assert_true(redelivery_is_ready(life->window));
    assert_int_equal(os_make_dirs(life->os, "data", 0700), 0);
    assert_int_equal(os_replace_file(life->os, "data/trust", BYTES("in turn"), 0600), 0);
}

/* How many contents are not there exactly twice. */
static unsigned
count_wrong(const struct life *life)
{
    unsigned counts[MESSAGES / 2] = {0};
    unsigned wrong = 0;
    struct journal_reader *reader;
    struct diag_list diags = {0};
    struct record record;
    assert_true(journal_reader_open(&reader, life->os, dir, 0, &diags));
    enum journal_read read = JOURNAL_GAP;
    while (read == JOURNAL_RECORD || read == JOURNAL_GAP) {
        int64_t number;
        read = journal_reader_next(reader, UINT64_MAX, &record, &diags);
        if (read == JOURNAL_RECORD) {
            assert_true(bytes_to_int64(record.payload, &number));
            counts[number]++;
        }
    }
    journal_reader_close(reader);
    diag_list_fini(&diags);
    for (unsigned i = 0; i < MESSAGES / 2; i++) {
        wrong += counts[i] != 2;
    }
    return wrong;
}

/* Crashes `after` so many changes of the disk, and again after half as many; gives whether it did. */
static bool
crash_and_go_on(uint64_t seed, uint64_t after, enum crash_mode mode, bool syncs_first)
{
    struct life life;
    unsigned crashes = 0;
    begin(&life, seed, syncs_first);
    for (uint64_t left = after; left > 0 && !is_done(&life); left /= 2) {
        crash_disk_stop_after(life.disk, left);
        live(&life);
        crashes += life.is_dead;
        stop(&life);
        hang_up(&life);
        crash_disk_cut(life.disk, mode);
        start(&life);
    }
    live(&life);
    unsigned wrong = count_wrong(&life);
    if (wrong > 0) {
        fail_msg("seed %u, moment %u, mode %d: %u messages are lost or doubled", (unsigned)seed,
                 (unsigned)after, (int)mode, wrong);
    }
    stop(&life);
    crash_disk_free(life.disk);
    return crashes > 0;
}

static void
a_kill_at_any_moment_doubles_nothing(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint64_t after = 1;
        while (crash_and_go_on(seed, after, CRASH_KILL, seed % 2 == 0)) {
            after++;
        }
        assert_true(after > MESSAGES - FIRST);
    }
}

static void
with_sync_always_a_power_cut_at_any_moment_doubles_nothing(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        for (enum crash_mode mode = CRASH_DROP; mode <= CRASH_TEAR; mode++) {
            uint64_t after = 1;
            while (crash_and_go_on(seed, after, mode, true)) {
                after++;
            }
            assert_true(after > MESSAGES - FIRST);
        }
    }
}

/* What this test can see: without what the journal says of deliveries, something is there twice. */
static void
a_window_that_recalls_nothing_is_noticed(void **state)
{
    struct life life;
    begin(&life, 3, false);
    life.forgets = true;
    while (life.flight_count < FLIGHT) {
        deliver(&life);
    }
    life.ack_count = 0;
    stop(&life);
    start(&life);
    live(&life);
    assert_true(count_wrong(&life) > 0);
    stop(&life);
    crash_disk_free(life.disk);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_kill_at_any_moment_doubles_nothing),
            cmocka_unit_test(with_sync_always_a_power_cut_at_any_moment_doubles_nothing),
            cmocka_unit_test(a_window_that_recalls_nothing_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
