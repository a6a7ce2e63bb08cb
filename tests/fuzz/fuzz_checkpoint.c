/* A checkpoint file: any bytes decode or are refused; what decodes survives a round trip. */
#include "base/wire.h"
#include "checkpoint.h"
#include "fuzz.h"

/* Decodes `bytes`; an accepted checkpoint must survive a round trip. */
static void
try_bytes(struct bytes bytes)
{
    struct arena arena = {0};
    struct diag_list diags = {0};
    struct checkpoint checkpoint;
    if (checkpoint_decode(bytes, &arena, &checkpoint, &diags)) {
        struct buf first = {0}, second = {0};
        struct checkpoint again;
        checkpoint_encode(&checkpoint, &first);
        check(checkpoint_decode(buf_bytes(&first), &arena, &again, &diags));
        checkpoint_encode(&again, &second);
        check(bytes_equal(buf_bytes(&first), buf_bytes(&second)));
        buf_fini(&first);
        buf_fini(&second);
    } else {
        check(diags.errors > 0);
    }
    check(arena_footprint(&arena) < 64 * bytes.size + 1024 * 1024);
    arena_fini(&arena);
    diag_list_fini(&diags);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes input = bytes_of(data, size);
    try_bytes(input);
    struct buf sealed = {0}; /* the same as a body behind a good header and a good checksum */
    buf_append(&sealed, BYTES("HGCP\x01\0\0\0\x01\0\0\0\0\0\0\0"));
    buf_append(&sealed, input);
    wire_put_u32(&sealed, wire_crc32c(0, buf_bytes(&sealed)));
    try_bytes(buf_bytes(&sealed));
    buf_fini(&sealed);
    return 0;
}
