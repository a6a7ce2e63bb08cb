/*
 * Protocol Buffers to JSON: two bytes with the descriptor's size, the descriptor, the message. What
 * comes out is JSON, of the size that is promised.
 */
#include "base/json.h"
#include "fuzz.h"
#include "rules/protobuf.h"

enum { SIZE_BYTES = 2 };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < SIZE_BYTES) {
        return 0;
    }
    struct bytes rest = bytes_of(data + SIZE_BYTES, size - SIZE_BYTES);
    size_t set_size = data[0] | (size_t)data[1] << 8;
    struct arena arena = {0};
    struct buf out = {.arena = &arena};
    const char *reason = NULL;
    bool done = protobuf_to_json(&out, bytes_slice(rest, 0, set_size), BYTES("readings"),
                                 BYTES("Reading"), bytes_slice(rest, set_size, rest.size), &arena,
                                 &reason);
    check(done == (reason == NULL));
    if (done) {
        struct json json;
        struct json_error error;
        check(out.size <= PROTOBUF_JSON_MAX_BYTES);
        check(json_parse(&json, buf_bytes(&out), 4 * PROTOBUF_DEPTH_MAX, &arena, &error));
    }
    arena_fini(&arena);
    return 0;
}
