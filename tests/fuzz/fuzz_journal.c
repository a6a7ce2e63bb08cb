/*
 * A segment file of any bytes: reading ends, gives rising positions, and never more than there is;
 * recovery ends, and what is appended after it is read back.
 *
 * The first byte of the input says how it becomes a file, because chance does not hit checksums:
 * 0: as it is; 1: behind a good header; 2: behind a good header, as pieces (a length byte, then
 * that many bytes) that each get a record's head with a good checksum, or, when the length byte is
 * 128 or more, lie there bare.
 */
#include "base/wire.h"
#include "fault/crash_disk.h"
#include "fuzz.h"
#include "store/segment.h"

enum { SEGMENT_BYTES = 4096 };

static const char dir[] = "log";
static const char path[] = "log/00000000000000000000.seg";

static void
append_piece(struct buf *file, uint32_t salt, struct bytes body)
{
    struct buf rest = {0};
    wire_put_varint(&rest, body.size);
    buf_append(&rest, body);
    wire_put_u32(file, wire_crc32c(salt + (uint32_t)file->size, buf_bytes(&rest)));
    buf_append(file, buf_bytes(&rest));
    buf_fini(&rest);
}

static void
make_file(struct bytes input, struct buf *file)
{
    int mode = input.size == 0 ? 0 : (unsigned char)input.data[0] % 3;
    input = bytes_slice(input, 1, input.size);
    if (mode > 0) {
        struct segment_header header = {.salt = 7};
        segment_header_encode(&header, file);
    }
    if (mode < 2) {
        buf_append(file, input);
        return;
    }
    while (input.size > 0) {
        unsigned length = (unsigned char)input.data[0];
        struct bytes piece = bytes_slice(input, 1, 1 + (length & 127));
        input = bytes_slice(input, 1 + piece.size, input.size);
        if (length < 128) {
            append_piece(file, 7, piece);
        } else {
            buf_append(file, piece);
        }
    }
}

/* Reads everything; gives the payload of the last record and how many there were. */
static size_t
read_all(const struct os *os, uint64_t limit, struct buf *last)
{
    struct diag_list diags = {0};
    struct journal_reader *reader = NULL;
    struct record record;
    size_t count = 0;
    uint64_t position = 0;
    check(journal_reader_open(&reader, os, dir, 0, &diags));
    for (;;) {
        enum journal_read result = journal_reader_next(reader, limit, &record, &diags);
        if (result == JOURNAL_END || result == JOURNAL_ERROR) {
            break;
        }
        check(record.position >= position && record.next > record.position);
        position = record.next;
        if (result == JOURNAL_RECORD) {
            count++;
            buf_clear(last);
            buf_append(last, record.payload);
        }
    }
    journal_reader_close(reader);
    diag_list_fini(&diags);
    return count;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crash_disk *disk = crash_disk_new(1);
    struct buf file = {0}, last = {0};
    make_file(bytes_of(data, size), &file);
    crash_disk_put(disk, path, buf_bytes(&file));
    const struct journal_options options = {
            .os = crash_disk_os(disk),
            .dir = dir,
            .segment_bytes = SEGMENT_BYTES,
            .record_max_bytes = 1024,
            .sync = JOURNAL_SYNC_INTERVAL,
    };
    size_t count = read_all(options.os, UINT64_MAX, &last);
    struct diag_list diags = {0};
    struct journal *journal = NULL;
    if (journal_open(&journal, &options, &diags)) {
        struct record record = {.payload = BYTES("the end")};
        check(journal_append(journal, &record, &diags));
        check(read_all(options.os, journal_tail(journal), &last) > count ||
              file.size < SEGMENT_HEADER_BYTES || diags.count > 0);
        check(bytes_equal_string(buf_bytes(&last), "the end"));
        journal_close(journal);
        count = read_all(options.os, UINT64_MAX, &last);
        check(bytes_equal_string(buf_bytes(&last), "the end"));
    }
    diag_list_fini(&diags);
    buf_fini(&file);
    buf_fini(&last);
    crash_disk_free(disk);
    return 0;
}
