#include "unit.h"

#include "base/child.h"
#include "base/frame.h"
#include "base/os.h"
#include "base/wire.h"

#include <sys/socket.h>
#include <unistd.h>

static void
values_come_back(void **state)
{
    static const uint64_t values[] = {0, 1, 127, 128, 300, UINT32_MAX, UINT64_MAX};
    struct buf out = {0};
    for (size_t i = 0; i < 7; i++) {
        wire_put_varint(&out, values[i]);
        wire_put_signed(&out, -(int64_t)(values[i] / 2));
        wire_put_u64(&out, values[i]);
        wire_put_u32(&out, (uint32_t)values[i]);
    }
    wire_put_bytes(&out, BYTES("text"));
    struct wire_reader reader = wire_reader(buf_bytes(&out));
    for (size_t i = 0; i < 7; i++) {
        assert_true(wire_get_varint(&reader) == values[i]);
        assert_true(wire_get_signed(&reader) == -(int64_t)(values[i] / 2));
        assert_true(wire_get_u64(&reader) == values[i]);
        assert_true(wire_get_u32(&reader) == (uint32_t)values[i]);
    }
    assert_bytes(wire_get_bytes(&reader), "text");
    assert_true(wire_at_end(&reader));
    buf_fini(&out);
}

static void
short_input_fails_and_stays_failed(void **state)
{
    struct wire_reader reader = wire_reader(BYTES("\x05" "abc"));
    assert_int_equal(wire_get_bytes(&reader).size, 0);
    assert_true(reader.failed);
    assert_int_equal(wire_get_u8(&reader), 0);
    assert_false(wire_at_end(&reader));
    reader = wire_reader(BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02")); /* 65 bits */
    wire_get_varint(&reader);
    assert_true(reader.failed);
}

/* Vectors of RFC 3720 B.4, and the same in pieces. */
static void
crc32c_is_castagnoli(void **state)
{
    char zeros[32] = {0};
    assert_int_equal(wire_crc32c(0, bytes_of(zeros, 32)), 0x8a9136aa);
    assert_int_equal(wire_crc32c(0, BYTES("123456789")), 0xe3069283);
    uint32_t first = wire_crc32c(0, BYTES("12345"));
    assert_int_equal(wire_crc32c(first, BYTES("6789")), 0xe3069283);
}

static void
frames_cross_a_socket_whole(void **state)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    struct diag_list diags = {0};
    struct buf buffer = {0};
    struct frame frame;
    assert_true(frame_send(ends[0], 7, BYTES("hello"), 1000, &diags));
    assert_true(frame_receive(ends[1], &buffer, &frame, 1000, &diags));
    assert_int_equal(frame.type, 7);
    assert_bytes(frame.body, "hello");

    assert_false(frame_receive(ends[1], &buffer, &frame, 10, &diags));
    assert_int_equal(diags.items[0].class, DIAG_TIMEOUT);
    diag_list_clear(&diags);

    assert_int_equal(write(ends[0], "\xff\xff\xff\xff\x01", 5), 5);
    assert_false(frame_receive(ends[1], &buffer, &frame, 1000, &diags));
    assert_int_equal(diags.items[0].class, DIAG_CORRUPT);
    diag_list_clear(&diags);

    close(ends[0]);
    assert_false(frame_receive(ends[1], &buffer, &frame, 1000, &diags));
    assert_int_equal(diags.items[0].class, DIAG_REMOTE);
    close(ends[1]);
    buf_fini(&buffer);
    diag_list_fini(&diags);
}

static void
a_child_has_what_it_was_given_and_is_stopped(void **state)
{
    const char *const argv[] = {"sh", "-c", "ls /proc/self/fd >&3; exec sleep 60", NULL};
    struct diag_list diags = {0};
    struct child child;
    struct arena arena = {0};
    int inherit[2];
    assert_int_equal(pipe(inherit), 0);
    assert_true(child_spawn(&child, "/bin/sh", argv, inherit, 2, &diags));
    char listed[100] = {0};
    ssize_t n = 0;
    for (int64_t until = os_posix.mono_us(&os_posix) + 5000000;
         n < 12 && os_posix.mono_us(&os_posix) < until;) {
        ssize_t more = read(child.fd, listed + n, sizeof listed - 1 - (size_t)n);
        assert_true(more > 0);
        n += more;
    }
    /* 0 to 5, and the directory that ls itself reads */
    assert_string_equal(listed, "0\n1\n2\n3\n4\n5\n6\n");
    close(inherit[0]);
    close(inherit[1]);
    int status = 0;
    assert_false(child_has_ended(&child, &status));
    child_stop(&child, 10);
    assert_int_equal(child.pid, 0);
    assert_bytes(child_describe_status(9, &arena), "signal 9 (Killed)");
    assert_bytes(child_describe_status(3 << 8, &arena), "exit code 3");
    arena_fini(&arena);
    diag_list_fini(&diags);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(values_come_back),
            cmocka_unit_test(short_input_fails_and_stays_failed),
            cmocka_unit_test(crc32c_is_castagnoli),
            cmocka_unit_test(frames_cross_a_socket_whole),
            cmocka_unit_test(a_child_has_what_it_was_given_and_is_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
