#define _GNU_SOURCE
#include "frame.h"

#include "os.h"
#include "wire.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

enum { HEADER_BYTES = 5 };

/* Waits until `fd` is ready for `events`; the deadline is monotonic, -1 for none. */
static bool
wait_ready(int fd, short events, int64_t deadline_us, struct diag_list *diags)
{
    for (;;) {
        int left_ms = -1;
        if (deadline_us >= 0) {
            int64_t left_us = deadline_us - os_posix.mono_us(&os_posix);
            left_ms = left_us <= 0 ? 0 : (int)((left_us + 999) / 1000);
        }
        struct pollfd poll_fd = {.fd = fd, .events = events};
        int ready = poll(&poll_fd, 1, left_ms);
        if (ready > 0) {
            return true;
        }
        if (ready == 0) {
            diag_error(diags, DIAG_TIMEOUT, "the other process did not answer in time");
            return false;
        }
        if (errno != EINTR) {
            diag_io_error(diags, errno, "poll");
            return false;
        }
    }
}

static int64_t
deadline_after(int timeout_ms)
{
    return timeout_ms < 0 ? -1 : os_posix.mono_us(&os_posix) + (int64_t)timeout_ms * 1000;
}

/* Moves all of `size` bytes in one direction. */
static bool
transfer(int fd, char *data, size_t size, bool sending, int64_t deadline_us,
         struct diag_list *diags)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = sending ? send(fd, data + done, size - done, MSG_NOSIGNAL | MSG_DONTWAIT)
                            : recv(fd, data + done, size - done, MSG_DONTWAIT);
        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            diag_error(diags, DIAG_REMOTE, "the other process closed the connection");
            return false;
        } else if (!wait_ready(fd, sending ? POLLOUT : POLLIN, deadline_us, diags)) {
            return false;
        }
    }
    return true;
}

bool
frame_send(int fd, uint8_t type, struct bytes body, int timeout_ms, struct diag_list *diags)
{
    check(body.size <= FRAME_MAX_BYTES);
    struct buf whole = {0};
    wire_put_u32(&whole, (uint32_t)body.size);
    wire_put_u8(&whole, type);
    buf_append(&whole, body);
    bool sent = transfer(fd, whole.data, whole.size, true, deadline_after(timeout_ms), diags);
    buf_fini(&whole);
    return sent;
}

bool
frame_receive(int fd, struct buf *buffer, struct frame *out, int timeout_ms,
              struct diag_list *diags)
{
    int64_t deadline_us = deadline_after(timeout_ms);
    char header[HEADER_BYTES];
    if (!transfer(fd, header, sizeof header, false, deadline_us, diags)) {
        return false;
    }
    struct wire_reader reader = wire_reader(bytes_of(header, sizeof header));
    uint32_t size = wire_get_u32(&reader);
    uint8_t type = wire_get_u8(&reader);
    if (size > FRAME_MAX_BYTES) {
        diag_error(diags, DIAG_CORRUPT, "the other process sent a frame of %u bytes, the limit is %d",
                   size, FRAME_MAX_BYTES);
        return false;
    }
    buf_clear(buffer);
    if (!transfer(fd, buf_reserve(buffer, size), size, false, deadline_us, diags)) {
        return false;
    }
    buffer->size = size;
    *out = (struct frame){type, buf_bytes(buffer)};
    return true;
}
