/*
 * Messages between the gateway's own processes, over a stream socket: u32 size, u8 type, body.
 *
 * Both ends are the same binary, so there is no version. The other end may still be broken (a
 * handler writes where it likes): a size above the limit is an error, never an allocation.
 */
#ifndef HEADGATE_BASE_FRAME_H
#define HEADGATE_BASE_FRAME_H

#include "diag.h"

#include <stdint.h>

enum { FRAME_MAX_BYTES = 64 * 1024 * 1024 };

struct frame {
    uint8_t type;
    struct bytes body; /* in the buffer given to frame_receive, until the next call */
};

/*
 * Sends one frame; waits at most `timeout_ms` (-1: for ever) for the other end to take it.
 * DIAG_TIMEOUT when it does not, DIAG_REMOTE when it is gone.
 */
bool frame_send(int fd, uint8_t type, struct bytes body, int timeout_ms, struct diag_list *diags)
        MUST_CHECK;

/* Receives one frame whole; the same errors, and DIAG_CORRUPT for a size above the limit. */
bool frame_receive(int fd, struct buf *buffer, struct frame *out, int timeout_ms,
                   struct diag_list *diags) MUST_CHECK;

#endif
