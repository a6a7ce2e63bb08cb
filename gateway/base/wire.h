/*
 * Binary encoding of everything that we write to disk or to a child process: fixed little-endian
 * integers, varints (7 bits a byte, low bits first, as in Protocol Buffers), counted bytes.
 *
 * A reader never runs past its end: once a read does not fit, `failed` is set, every further read
 * gives 0 or empty, and one test at the end suffices.
 */
#ifndef HEADGATE_BASE_WIRE_H
#define HEADGATE_BASE_WIRE_H

#include "buf.h"

#include <stdint.h>

void wire_put_u8(struct buf *out, uint8_t value);
void wire_put_u32(struct buf *out, uint32_t value);
void wire_put_u64(struct buf *out, uint64_t value);
void wire_put_varint(struct buf *out, uint64_t value);
void wire_put_signed(struct buf *out, int64_t value); /* zigzag varint */
void wire_put_bytes(struct buf *out, struct bytes bytes); /* varint size, then the bytes */

struct wire_reader {
    struct bytes rest;
    bool failed;
};

static inline struct wire_reader
wire_reader(struct bytes bytes)
{
    return (struct wire_reader){bytes, false};
}

uint8_t wire_get_u8(struct wire_reader *reader);
uint32_t wire_get_u32(struct wire_reader *reader);
uint64_t wire_get_u64(struct wire_reader *reader);
uint64_t wire_get_varint(struct wire_reader *reader);
int64_t wire_get_signed(struct wire_reader *reader);
struct bytes wire_get_bytes(struct wire_reader *reader); /* a view into the input */

/* True when nothing failed and nothing is left. */
bool wire_at_end(const struct wire_reader *reader);

/* CRC-32C (Castagnoli, RFC 3720 B.4); `crc` is 0 or the result for the bytes before. */
uint32_t wire_crc32c(uint32_t crc, struct bytes bytes);

#endif
