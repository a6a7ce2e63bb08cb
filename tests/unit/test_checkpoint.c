/* The checkpoint: what comes back, from which of the two files, and after which crash. */
#define _GNU_SOURCE
#include "unit.h"

#include "base/os.h"
#include "base/wire.h"
#include "checkpoint.h"
#include "fault/crash_disk.h"
#include "fault/fault_os.h"

#include <errno.h>
#include <stdio.h>

static const char dir[] = "data";

/* A checkpoint whose every field follows from its generation. */
struct sample {
    struct checkpoint checkpoint;
    struct checkpoint_stream streams[2];
    struct checkpoint_sink sinks[3];
    struct checkpoint_rule rules[2];
    char state[16];
};

static void
sample_make(struct sample *sample, uint64_t generation)
{
    *sample = (struct sample){
            .streams = {{BYTES("mqtt"), generation * 1000, 0},
                        {BYTES("enrich"), UINT64_MAX, generation * 3}},
            .sinks = {{BYTES("readings"), generation, generation * 2, 3}, {BYTES("http"), 0, 0, 0},
                      {BYTES(""), 1, UINT64_MAX, UINT64_MAX}},
            .rules = {{BYTES("hot"), BYTES("")}, {BYTES("windows"), bytes_of(NULL, 0)}},
    };
    snprintf(sample->state, sizeof sample->state, "state %u", (unsigned)generation);
    sample->rules[1].state = bytes_of_string(sample->state);
    sample->checkpoint = (struct checkpoint){generation, sample->streams, 2, sample->sinks, 3,
                                             sample->rules, 2};
}

static void
assert_is_sample(const struct checkpoint *actual, uint64_t generation)
{
    struct sample expected;
    sample_make(&expected, generation);
    struct buf a = {0}, b = {0};
    checkpoint_encode(actual, &a);
    checkpoint_encode(&expected.checkpoint, &b);
    assert_int_equal(actual->generation, generation);
    assert_true(bytes_equal(buf_bytes(&a), buf_bytes(&b)));
    buf_fini(&a);
    buf_fini(&b);
}

static bool
save(const struct os *os, uint64_t generation)
{
    struct sample sample;
    struct diag_list diags = {0};
    sample_make(&sample, generation);
    bool saved = checkpoint_save(os, dir, &sample.checkpoint, &diags);
    assert_int_equal(saved, diags.errors == 0);
    diag_list_fini(&diags);
    return saved;
}

/* The generation that a load gives; checks that all of it is there. */
static uint64_t
load(const struct os *os, size_t warnings)
{
    struct arena arena = {0};
    struct diag_list diags = {0};
    struct checkpoint checkpoint;
    if (!checkpoint_load(os, dir, &arena, &checkpoint, &diags)) {
        fail_msg("load: %.*s", BYTES_ARG(diag_first_error(&diags)));
    }
    uint64_t generation = checkpoint.generation;
    if (generation > 0) {
        assert_is_sample(&checkpoint, generation);
    }
    assert_int_equal(diags.count, warnings);
    assert_int_equal(diags.errors, 0);
    arena_fini(&arena);
    diag_list_fini(&diags);
    return generation;
}

static enum diag_class
load_fails(const struct os *os)
{
    struct arena arena = {0};
    struct diag_list diags = {0};
    struct checkpoint checkpoint;
    assert_false(checkpoint_load(os, dir, &arena, &checkpoint, &diags));
    enum diag_class class = diags.items[0].class;
    arena_fini(&arena);
    diag_list_fini(&diags);
    return class;
}

static void
the_newest_of_two_comes_back(void **state)
{
    struct crash_disk *disk = crash_disk_new(1);
    const struct os *os = crash_disk_os(disk);
    assert_int_equal(load(os, 0), 0);
    for (uint64_t generation = 1; generation < 6; generation++) {
        assert_true(save(os, generation));
        assert_int_equal(load(os, 0), generation);
    }
    crash_disk_free(disk);
}

/* The format is a promise to later versions. */
static void
the_bytes_are_those_of_format_2(void **state)
{
    static const char expected[] = "HGCP\x02\0\0\0\x02\0\0\0\0\0\0\0"
                                   "\x01\x04mqtt\xac\x02\xc8\x01"
                                   "\x01\x01s\x01\x02\x03"
                                   "\x01\x01r\x02st";
    struct checkpoint_stream stream = {BYTES("mqtt"), 300, 200};
    struct checkpoint_sink sink = {BYTES("s"), 1, 2, 3};
    struct checkpoint_rule rule = {BYTES("r"), BYTES("st")};
    struct checkpoint checkpoint = {2, &stream, 1, &sink, 1, &rule, 1};
    struct buf bytes = {0};
    checkpoint_encode(&checkpoint, &bytes);
    size_t body = sizeof expected - 1;
    assert_int_equal(bytes.size, body + 4);
    assert_memory_equal(bytes.data, expected, body);
    struct wire_reader trailer = wire_reader(bytes_of(bytes.data + body, 4));
    assert_int_equal(wire_get_u32(&trailer), wire_crc32c(0, bytes_of(expected, body)));
    buf_fini(&bytes);
}

static void
format_1_is_read(void **state)
{
    static const char before[] = "HGCP\x01\0\0\0\x02\0\0\0\0\0\0\0"
                                 "\x01\x04mqtt\xac\x02"
                                 "\x01\x01s\x01\x02\x03"
                                 "\x01\x01r\x02st";
    struct arena arena = {0};
    struct diag_list diags = {0};
    struct checkpoint checkpoint;
    struct buf bytes = {0};
    buf_append(&bytes, bytes_of(before, sizeof before - 1));
    wire_put_u32(&bytes, wire_crc32c(0, buf_bytes(&bytes)));
    assert_true(checkpoint_decode(buf_bytes(&bytes), &arena, &checkpoint, &diags));
    assert_int_equal(checkpoint.streams[0].position, 300);
    assert_int_equal(checkpoint.streams[0].ids_from, 300);
    assert_int_equal(checkpoint.sinks[0].records, 3);
    assert_true(bytes_equal_string(checkpoint.rules[0].state, "st"));
    buf_fini(&bytes);
    arena_fini(&arena);
    diag_list_fini(&diags);
}

static void
damage_anywhere_gives_the_one_before(void **state)
{
    struct crash_disk *disk = crash_disk_new(2);
    const struct os *os = crash_disk_os(disk);
    assert_true(save(os, 1) && save(os, 2));
    struct buf *newest = crash_disk_file(disk, "data/checkpoint-0");
    for (size_t at = 0; at < newest->size; at++) {
        newest->data[at] ^= 4;
        assert_int_equal(load(os, 1), 1);
        newest->data[at] ^= 4;
    }
    for (size_t size = 0, whole = newest->size; size < whole; size++) {
        newest->size = size;
        assert_int_equal(load(os, 1), 1);
        newest->size = whole;
    }
    assert_int_equal(load(os, 0), 2);
    newest->data[20] ^= 1;
    assert_true(save(os, 2)); /* the generation that was lost is saved again */
    assert_int_equal(load(os, 0), 2);

    crash_disk_file(disk, "data/checkpoint-0")->data[30] ^= 1;
    crash_disk_file(disk, "data/checkpoint-1")->data[30] ^= 1;
    assert_int_equal(load_fails(os), DIAG_CORRUPT);
    crash_disk_free(disk);
}

static void
seal(struct buf *bytes)
{
    bytes->size -= 4;
    wire_put_u32(bytes, wire_crc32c(0, buf_bytes(bytes)));
}

static void
a_newer_version_is_refused(void **state)
{
    struct crash_disk *disk = crash_disk_new(3);
    const struct os *os = crash_disk_os(disk);
    assert_true(save(os, 1) && save(os, 2));
    struct buf *newest = crash_disk_file(disk, "data/checkpoint-0");
    newest->data[4] = 3;
    seal(newest);
    assert_int_equal(load_fails(os), DIAG_INVALID);
    crash_disk_free(disk);
}

/* Counts and sizes that promise more than there is, with a checksum that fits. */
static void
hostile_counts_are_damage(void **state)
{
    const struct bytes bodies[] = {
            BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
            BYTES("\x01\xff\xff\xff\xff\x0f" "a"),
            BYTES("\0\x05\x01s\x01"),
            BYTES("\0\0\x01\x01r\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
            BYTES("\0\0\0rest"),
            BYTES("\0"),
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct buf bytes = {0};
        buf_append(&bytes, BYTES("HGCP\x01\0\0\0\x02\0\0\0\0\0\0\0"));
        buf_append(&bytes, bodies[i]);
        buf_append(&bytes, BYTES("crc!"));
        seal(&bytes);
        struct arena arena = {0};
        struct diag_list diags = {0};
        struct checkpoint checkpoint;
        assert_false(checkpoint_decode(buf_bytes(&bytes), &arena, &checkpoint, &diags));
        assert_int_equal(diags.items[0].class, DIAG_CORRUPT);
        assert_true(arena_footprint(&arena) < 100000);
        buf_fini(&bytes);
        arena_fini(&arena);
        diag_list_fini(&diags);
    }
}

static void
any_failing_call_keeps_the_one_before(void **state)
{
    for (enum fault_call call = 0; call < FAULT_CALLS; call++) {
        for (uint64_t nth = 1;; nth++) {
            struct crash_disk *disk = crash_disk_new(4);
            struct fault_os fault;
            fault_os_init(&fault, crash_disk_os(disk));
            assert_true(save(&fault.os, 1) && save(&fault.os, 2));
            fault_os_arm(&fault, call, nth, call == FAULT_PWRITE ? FAULT_SHORT : ENOSPC);
            bool saved = save(&fault.os, 3);
            bool fired = fault.fired;
            fault_os_disarm(&fault);
            uint64_t generation = load(&fault.os, 0);
            assert_true(saved ? generation == 3 : generation == 2 || generation == 3);
            assert_true(save(&fault.os, 3));
            assert_int_equal(load(&fault.os, 0), 3);
            crash_disk_free(disk);
            if (!fired) {
                break;
            }
        }
    }
}

static void
an_unreadable_file_gives_the_one_before(void **state)
{
    struct crash_disk *disk = crash_disk_new(5);
    struct fault_os fault;
    fault_os_init(&fault, crash_disk_os(disk));
    assert_true(save(&fault.os, 1) && save(&fault.os, 2));
    fault_os_arm(&fault, FAULT_PREAD, 1, EIO); /* checkpoint-0 is read first */
    assert_int_equal(load(&fault.os, 1), 1);
    fault_os_arm(&fault, FAULT_PREAD, 1, EIO);
    fault.is_lasting = true;
    assert_int_equal(load_fails(&fault.os), DIAG_IO);
    crash_disk_free(disk);
}

static void
a_saved_checkpoint_survives_any_crash(void **state)
{
    static const enum crash_mode modes[] = {CRASH_KILL, CRASH_DROP, CRASH_TEAR};
    for (uint64_t seed = 0; seed < 60; seed++) {
        for (uint64_t stop = 0; stop < 30; stop++) {
            struct crash_disk *disk = crash_disk_new(seed);
            const struct os *os = crash_disk_os(disk);
            uint64_t saved = 0;
            crash_disk_stop_after(disk, stop);
            for (uint64_t generation = 1; generation < 8; generation++) {
                if (!save(os, generation)) {
                    break;
                }
                saved = generation;
            }
            crash_disk_cut(disk, modes[seed % 3]);
            uint64_t generation = load(os, 0);
            assert_true(generation == saved || generation == saved + 1);
            assert_true(save(os, generation + 1));
            assert_int_equal(load(os, 0), generation + 1);
            crash_disk_free(disk);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(the_newest_of_two_comes_back),
            cmocka_unit_test(the_bytes_are_those_of_format_2),
            cmocka_unit_test(format_1_is_read),
            cmocka_unit_test(damage_anywhere_gives_the_one_before),
            cmocka_unit_test(a_newer_version_is_refused),
            cmocka_unit_test(hostile_counts_are_damage),
            cmocka_unit_test(any_failing_call_keeps_the_one_before),
            cmocka_unit_test(an_unreadable_file_gives_the_one_before),
            cmocka_unit_test(a_saved_checkpoint_survives_any_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
