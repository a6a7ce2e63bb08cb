/*
 * The bytes of a log on disk.
 *
 * A log is a directory:
 *
 *   lock                      locked by the writer; holds the log's id as hexadecimal text
 *   00000000000000000000.seg  segments, each named by the position of its first byte
 *   00000000000016777111.seg
 *
 * A position is an address in the log's whole life, so file offset = position - base. Headers
 * count as addresses too. The next segment begins where the one before ended, with one exception:
 * after a restart of the machine it begins where the file before would have ended when full.
 * Positions that a power cut took back had perhaps been seen by a consumer; they must not come
 * again with another content. `previous_end` tells readers that nothing is missing in between.
 *
 *   header, 64 bytes, little endian
 *   offset size
 *        0    4  magic "HGLG"
 *        4    4  format version, 1
 *        8   12  log id: random, the same in all segments of a log
 *       20    4  boot: CRC-32C of the kernel's boot id
 *       24    8  base: position of this byte 0
 *       32    8  previous_end: where the segment before ended
 *       40    8  number of records before this segment
 *       48    8  creation, microseconds since 1970
 *       56    4  salt: random
 *       60    4  CRC-32C of bytes 0 to 59
 *
 * All records of a segment need its header. So one damaged byte in it is corrected: each other value
 * of each byte is tried until the checksum fits (16,320 of them in 2^32 values).
 *
 *   record, not aligned
 *        0    4  CRC-32C of all that follows, begun with (salt + low 32 bits of the position)
 *        4  1-4  length of what follows, varint
 *           1    flags: enum record_flag, 32: props are there; 64 and 128 are never set
 *         1-10   time, zigzag varint: microseconds after the segment's creation
 *          1-    topic, counted by a varint
 *          0-    props, counted by a varint, only with flag 32
 *          0-    payload: the rest
 *
 * A 100-byte payload under an 18-byte topic takes 130 bytes. The salt keeps the bytes of an older
 * file in the same disk blocks from looking valid, the position keeps a record that the disk put
 * at a wrong place from doing so.
 *
 * A segment is allocated in full when it is created, so its end reads as zeros. Zeros are no
 * record, because no record has length 0. A full segment is cut to what it holds before the next
 * one is created.
 */
#define _GNU_SOURCE
#include "segment.h"

#include "base/mem.h"
#include "base/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    RECORD_HAS_PROPS = 32,
    RECORD_NEVER = 64 | 128,
    NAME_DIGITS = 20,
    HEADER_BASE_OFFSET = 24,
};

static const char magic[4] = {'H', 'G', 'L', 'G'};

void
segment_header_encode(const struct segment_header *header, struct buf *out)
{
    size_t start = out->size;
    buf_append(out, bytes_of(magic, sizeof magic));
    wire_put_u32(out, SEGMENT_VERSION);
    buf_append(out, bytes_of(header->log_id, LOG_ID_BYTES));
    wire_put_u32(out, header->boot);
    wire_put_u64(out, header->base);
    wire_put_u64(out, header->previous_end);
    wire_put_u64(out, header->records_before);
    wire_put_u64(out, (uint64_t)header->created_us);
    wire_put_u32(out, header->salt);
    wire_put_u32(out, wire_crc32c(0, bytes_of(out->data + start, out->size - start)));
    check(out->size - start == SEGMENT_HEADER_BYTES);
}

static bool
is_zero(struct bytes bytes)
{
    return bytes.size == 0 ||
           (bytes.data[0] == 0 && memcmp(bytes.data, bytes.data + 1, bytes.size - 1) == 0);
}

/* Takes the fields apart; false when the checksum does not fit. */
static bool
decode_header(struct bytes bytes, struct segment_header *out, uint32_t *version)
{
    struct wire_reader reader = wire_reader(bytes_slice(bytes, 4, SEGMENT_HEADER_BYTES));
    *version = wire_get_u32(&reader);
    memcpy(out->log_id, bytes.data + 8, LOG_ID_BYTES);
    reader = wire_reader(bytes_slice(bytes, 8 + LOG_ID_BYTES, SEGMENT_HEADER_BYTES));
    out->boot = wire_get_u32(&reader);
    out->base = wire_get_u64(&reader);
    out->previous_end = wire_get_u64(&reader);
    out->records_before = wire_get_u64(&reader);
    out->created_us = (int64_t)wire_get_u64(&reader);
    out->salt = wire_get_u32(&reader);
    return wire_get_u32(&reader) ==
           wire_crc32c(0, bytes_slice(bytes, 0, SEGMENT_HEADER_BYTES - 4));
}

/* Whether at most one byte of what a header of `base` must say is wrong. */
static bool
resembles_header(struct bytes bytes, uint64_t base)
{
    struct buf expected = {0};
    wire_put_u64(&expected, base);
    unsigned wrong = 0;
    for (size_t i = 0; i < sizeof magic; i++) {
        wrong += bytes.data[i] != magic[i];
    }
    for (size_t i = 0; i < expected.size; i++) {
        wrong += bytes.data[HEADER_BASE_OFFSET + i] != expected.data[i];
    }
    buf_fini(&expected);
    return wrong <= 1;
}

/* Looks for the one byte whose change makes the checksum fit: the header stands for a segment. */
static bool
correct_header(char bytes[SEGMENT_HEADER_BYTES], struct segment_header *out, uint32_t *version)
{
    for (size_t i = 0; i < SEGMENT_HEADER_BYTES; i++) {
        const char damaged = bytes[i];
        for (unsigned change = 1; change < 256; change++) {
            bytes[i] = (char)((unsigned char)damaged ^ change);
            if (decode_header(bytes_of(bytes, SEGMENT_HEADER_BYTES), out, version)) {
                out->is_corrected = true;
                return true;
            }
        }
        bytes[i] = damaged;
    }
    return false;
}

enum segment_state
segment_header_decode(struct bytes bytes, uint64_t base, struct segment_header *out)
{
    if (bytes.size < SEGMENT_HEADER_BYTES || is_zero(bytes_slice(bytes, 0, SEGMENT_HEADER_BYTES))) {
        return SEGMENT_BLANK;
    }
    char copy[SEGMENT_HEADER_BYTES];
    memcpy(copy, bytes.data, sizeof copy);
    struct segment_header header = {0};
    uint32_t version;
    bool is_whole = decode_header(bytes_of(copy, sizeof copy), &header, &version) ||
                    (resembles_header(bytes, base) && correct_header(copy, &header, &version));
    if (!is_whole || memcmp(copy, magic, sizeof magic) != 0) {
        return SEGMENT_DAMAGED;
    }
    if (version > SEGMENT_VERSION) {
        return SEGMENT_NEWER;
    }
    if (header.base != base || header.previous_end > base) {
        return SEGMENT_DAMAGED;
    }
    *out = header;
    return SEGMENT_GOOD;
}

int
segment_header_read(const struct os *os, int fd, uint64_t base, struct segment_header *out)
{
    char bytes[SEGMENT_HEADER_BYTES];
    size_t size = 0;
    while (size < sizeof bytes) {
        ssize_t n = os->pread(os, fd, bytes + size, sizeof bytes - size, (int64_t)size);
        if (n < 0 && n != -EINTR) {
            return (int)n;
        }
        if (n == 0) {
            break;
        }
        size += n > 0 ? (size_t)n : 0;
    }
    return (int)segment_header_decode(bytes_of(bytes, size), base, out);
}

int
segment_header_load(const struct os *os, const char *dir, uint64_t base,
                    struct segment_header *out)
{
    int fd = segment_open(os, dir, base, O_RDONLY);
    if (fd < 0) {
        return fd;
    }
    int state = segment_header_read(os, fd, base, out);
    os->close(os, fd);
    return state;
}

/* ---- files ---- */

void
segment_path(struct buf *out, const char *dir, uint64_t base)
{
    buf_printf(out, "%s/%0*" PRIu64 SEGMENT_SUFFIX, dir, NAME_DIGITS, base);
}

int
segment_open(const struct os *os, const char *dir, uint64_t base, int flags)
{
    struct buf path = {0};
    segment_path(&path, dir, base);
    int fd = os->open(os, buf_string(&path), flags, 0640);
    buf_fini(&path);
    return fd;
}

int
segment_unlink(const struct os *os, const char *dir, uint64_t base)
{
    struct buf path = {0};
    segment_path(&path, dir, base);
    int result = os->unlink(os, buf_string(&path));
    buf_fini(&path);
    return result;
}

static bool
parse_name(const char *name, uint64_t *base)
{
    uint64_t value = 0;
    for (size_t i = 0; i < NAME_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(name[i] - '0'), &value)) {
            return false;
        }
    }
    *base = value;
    return strcmp(name + NAME_DIGITS, SEGMENT_SUFFIX) == 0;
}

static void
collect_name(void *context, const char *name)
{
    struct segment_list *list = context;
    uint64_t base;
    if (parse_name(name, &base)) {
        list->bases = mem_grow(list->bases, list->count, &list->capacity, sizeof *list->bases);
        list->bases[list->count++] = base;
    }
}

static int
compare_bases(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

int
segment_list_read(const struct os *os, const char *dir, struct segment_list *out)
{
    out->count = 0;
    int result = os->list(os, dir, collect_name, out);
    if (result == 0 && out->count > 0) {
        qsort(out->bases, out->count, sizeof *out->bases, compare_bases);
    }
    return result;
}

void
segment_list_fini(struct segment_list *list)
{
    free(list->bases);
    *list = (struct segment_list){0};
}

size_t
segment_list_find(const struct segment_list *list, uint64_t position)
{
    size_t found = SIZE_MAX;
    for (size_t low = 0, high = list->count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (list->bases[middle] <= position) {
            found = middle;
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return found;
}

/* The id that the lock file holds. */
static bool
read_lock_id(const struct os *os, const char *dir, char out[LOG_ID_BYTES])
{
    struct buf path = {0};
    struct buf text = {0};
    buf_printf(&path, "%s/lock", dir);
    bool is_id = os_read_file(os, buf_string(&path), 1024, &text) == 0 &&
                 text.size >= 2 * LOG_ID_BYTES;
    for (size_t i = 0; is_id && i < LOG_ID_BYTES; i++) {
        const char pair[] = {text.data[2 * i], text.data[2 * i + 1], '\0'};
        char *end;
        out[i] = (char)strtoul(pair, &end, 16);
        is_id = end == pair + 2;
    }
    buf_fini(&path);
    buf_fini(&text);
    return is_id;
}

bool
segment_log_id(const struct os *os, const char *dir, const struct segment_list *list,
               char out[LOG_ID_BYTES])
{
    char locked[LOG_ID_BYTES];
    bool is_locked = read_lock_id(os, dir, locked);
    bool is_found = false;
    for (size_t i = list->count; i > 0; i--) {
        struct segment_header header;
        if (segment_header_load(os, dir, list->bases[i - 1], &header) != SEGMENT_GOOD) {
            continue;
        }
        if (is_locked && memcmp(locked, header.log_id, LOG_ID_BYTES) == 0) {
            memcpy(out, locked, LOG_ID_BYTES);
            return true;
        }
        if (!is_found) {
            memcpy(out, header.log_id, LOG_ID_BYTES);
            is_found = true;
        }
        if (!is_locked) {
            break;
        }
    }
    if (!is_found && is_locked) {
        memcpy(out, locked, LOG_ID_BYTES);
    }
    return is_found || is_locked;
}

uint32_t
segment_boot(const struct os *os)
{
    struct buf text = {0};
    uint32_t boot;
    if (os_read_file(os, "/proc/sys/kernel/random/boot_id", 1024, &text) == 0) {
        boot = wire_crc32c(0, buf_bytes(&text));
    } else {
        os->random(os, &boot, sizeof boot); /* unknown: as if the machine had restarted */
    }
    buf_fini(&text);
    return boot;
}

/* ---- records ---- */

static uint32_t
record_crc(const struct segment_header *header, uint64_t position, struct bytes bytes)
{
    return wire_crc32c(header->salt + (uint32_t)position, bytes);
}

static size_t
varint_size(uint64_t value)
{
    size_t size = 1;
    while (value >= 0x80) {
        value >>= 7;
        size++;
    }
    return size;
}

static size_t
counted_size(struct bytes bytes)
{
    return varint_size(bytes.size) + bytes.size;
}

void
segment_record_encode(const struct segment_header *header, const struct record *record,
                      struct buf *out)
{
    check((record->flags & (RECORD_HAS_PROPS | RECORD_NEVER)) == 0 && record->flags < 256);
    int64_t delta = record->time_us - header->created_us;
    size_t delta_size = varint_size(((uint64_t)delta << 1) ^ (delta < 0 ? UINT64_MAX : 0));
    bool has_props = record->props.size > 0;
    size_t body = 1 + delta_size + counted_size(record->topic) +
                  (has_props ? counted_size(record->props) : 0) + record->payload.size;
    size_t start = out->size;
    buf_reserve(out, body + RECORD_OVERHEAD_BYTES_MAX);
    wire_put_u32(out, 0);
    wire_put_varint(out, body);
    wire_put_u8(out, (uint8_t)(record->flags | (has_props ? RECORD_HAS_PROPS : 0)));
    wire_put_signed(out, delta);
    wire_put_bytes(out, record->topic);
    if (has_props) {
        wire_put_bytes(out, record->props);
    }
    buf_append(out, record->payload);
    uint32_t crc = record_crc(header, record->position,
                              bytes_of(out->data + start + 4, out->size - start - 4));
    for (size_t i = 0; i < 4; i++) {
        out->data[start + i] = (char)(crc >> (8 * i));
    }
}

/* The body of a record whose checksum fits. */
static bool
decode_body(const struct segment_header *header, struct bytes body, struct record *out)
{
    struct wire_reader reader = wire_reader(body);
    unsigned flags = wire_get_u8(&reader);
    int64_t delta = wire_get_signed(&reader);
    out->topic = wire_get_bytes(&reader);
    out->props = bytes_of(NULL, 0);
    if ((flags & RECORD_HAS_PROPS) != 0) {
        out->props = wire_get_bytes(&reader);
    }
    out->payload = reader.rest;
    out->flags = flags & ~(unsigned)RECORD_HAS_PROPS;
    return !reader.failed && !__builtin_add_overflow(header->created_us, delta, &out->time_us);
}

enum record_state
segment_record_decode(const struct segment_header *header, uint64_t position, struct bytes window,
                      struct record *out, size_t *size)
{
    *size = RECORD_BYTES_LEAST;
    if (window.size < RECORD_BYTES_LEAST) {
        return RECORD_CUT;
    }
    struct wire_reader reader = wire_reader(window);
    uint32_t crc = wire_get_u32(&reader);
    if (crc == 0 && reader.rest.data[0] == 0) {
        return RECORD_BLANK;
    }
    uint64_t body_size = wire_get_varint(&reader);
    if (reader.failed || reader.rest.size == 0) {
        *size = window.size + 1;
        return window.size < 16 ? RECORD_CUT : RECORD_BAD;
    }
    if (body_size < 3 || body_size > RECORD_BYTES_LIMIT ||
        ((unsigned char)reader.rest.data[0] & RECORD_NEVER) != 0) {
        return RECORD_BAD;
    }
    size_t head = window.size - reader.rest.size;
    *size = head + (size_t)body_size;
    if (window.size < *size) {
        return RECORD_CUT;
    }
    if (record_crc(header, position, bytes_slice(window, 4, *size)) != crc) {
        return RECORD_BAD;
    }
    struct record record = {.position = position, .next = position + *size};
    if (!decode_body(header, bytes_slice(window, head, *size), &record)) {
        return RECORD_BAD;
    }
    *out = record;
    return RECORD_GOOD;
}
