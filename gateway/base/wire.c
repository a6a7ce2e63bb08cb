#include "wire.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

void
wire_put_u8(struct buf *out, uint8_t value)
{
    buf_append_char(out, (char)value);
}

static void
put_fixed(struct buf *out, uint64_t value, size_t size)
{
    char *to = buf_reserve(out, size);
    for (size_t i = 0; i < size; i++) {
        to[i] = (char)(value >> (8 * i));
    }
    out->size += size;
}

void
wire_put_u32(struct buf *out, uint32_t value)
{
    put_fixed(out, value, sizeof value);
}

void
wire_put_u64(struct buf *out, uint64_t value)
{
    put_fixed(out, value, sizeof value);
}

void
wire_put_varint(struct buf *out, uint64_t value)
{
    char *to = buf_reserve(out, 10);
    size_t size = 0;
    while (value >= 0x80) {
        to[size++] = (char)(value | 0x80);
        value >>= 7;
    }
    to[size++] = (char)value;
    out->size += size;
}

void
wire_put_signed(struct buf *out, int64_t value)
{
    wire_put_varint(out, ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0));
}

void
wire_put_bytes(struct buf *out, struct bytes bytes)
{
    wire_put_varint(out, bytes.size);
    buf_append(out, bytes);
}

static uint64_t
get_fixed(struct wire_reader *reader, size_t size)
{
    if (reader->failed || reader->rest.size < size) {
        reader->failed = true;
        return 0;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value |= (uint64_t)(uint8_t)reader->rest.data[i] << (8 * i);
    }
    reader->rest = bytes_slice(reader->rest, size, reader->rest.size);
    return value;
}

uint8_t
wire_get_u8(struct wire_reader *reader)
{
    return (uint8_t)get_fixed(reader, 1);
}

uint32_t
wire_get_u32(struct wire_reader *reader)
{
    return (uint32_t)get_fixed(reader, 4);
}

uint64_t
wire_get_u64(struct wire_reader *reader)
{
    return get_fixed(reader, 8);
}

uint64_t
wire_get_varint(struct wire_reader *reader)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = wire_get_u8(reader);
        if (shift == 63 && byte > 1) {
            break; /* more than 64 bits */
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            return reader->failed ? 0 : value;
        }
    }
    reader->failed = true;
    return 0;
}

int64_t
wire_get_signed(struct wire_reader *reader)
{
    uint64_t value = wire_get_varint(reader);
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

struct bytes
wire_get_bytes(struct wire_reader *reader)
{
    uint64_t size = wire_get_varint(reader);
    if (reader->failed || size > reader->rest.size) {
        reader->failed = true;
        return bytes_of(NULL, 0);
    }
    struct bytes bytes = bytes_slice(reader->rest, 0, size);
    reader->rest = bytes_slice(reader->rest, size, reader->rest.size);
    return bytes;
}

bool
wire_at_end(const struct wire_reader *reader)
{
    return !reader->failed && reader->rest.size == 0;
}

/* One table per nibble: 64 bytes of constants instead of a table that somebody must fill. */
static uint32_t
crc32c_portable(uint32_t crc, struct bytes bytes)
{
    static const uint32_t nibble[16] = {
            0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
            0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
            0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
    for (size_t i = 0; i < bytes.size; i++) {
        crc ^= (uint8_t)bytes.data[i];
        crc = (crc >> 4) ^ nibble[crc & 15];
        crc = (crc >> 4) ^ nibble[crc & 15];
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t
crc32c_hardware(uint32_t crc, struct bytes bytes)
{
    uint64_t wide = crc;
    size_t i = 0;
    for (; i + 8 <= bytes.size; i += 8) {
        uint64_t word;
        memcpy(&word, bytes.data + i, sizeof word);
        wide = _mm_crc32_u64(wide, word);
    }
    return crc32c_portable((uint32_t)wide, bytes_slice(bytes, i, bytes.size));
}

static bool
has_hardware(void)
{
    return __builtin_cpu_supports("sse4.2");
}
#elif defined(__aarch64__)
/* Optional in ARMv8.0, which Debian builds for; every Raspberry Pi since the 2 rev. 1.2 has it. */
__attribute__((target("+crc"))) static uint32_t
crc32c_hardware(uint32_t crc, struct bytes bytes)
{
    size_t i = 0;
    for (; i + 8 <= bytes.size; i += 8) {
        uint64_t word;
        memcpy(&word, bytes.data + i, sizeof word);
        crc = __crc32cd(crc, word);
    }
    return crc32c_portable(crc, bytes_slice(bytes, i, bytes.size));
}

static bool
has_hardware(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
}
#else
static uint32_t
crc32c_hardware(uint32_t crc, struct bytes bytes)
{
    return crc32c_portable(crc, bytes);
}

static bool
has_hardware(void)
{
    return false;
}
#endif

uint32_t
wire_crc32c(uint32_t crc, struct bytes bytes)
{
    crc = ~crc;
    crc = has_hardware() ? crc32c_hardware(crc, bytes) : crc32c_portable(crc, bytes);
    return ~crc;
}
