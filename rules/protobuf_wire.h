/*
 * The wire format of Protocol Buffers: a message is a row of fields, each a number with a wire type,
 * and a value. Bytes are borrowed.
 */
#ifndef HEADGATE_RULES_PROTOBUF_WIRE_H
#define HEADGATE_RULES_PROTOBUF_WIRE_H

#include "base/bytes.h"
#include "base/check.h"

enum wire_type {
    WIRE_VARINT = 0,
    WIRE_64 = 1,
    WIRE_BYTES = 2,
    WIRE_GROUP = 3,     /* never given out: groups are passed over */
    WIRE_GROUP_END = 4,
    WIRE_32 = 5,
};

struct wire_field {
    uint32_t number;
    enum wire_type type;
    uint64_t scalar; /* VARINT, 64, 32 */
    struct bytes bytes;
};

/* Takes a varint, or a fixed number, off the front; false when the bytes end too early. */
bool protobuf_take_varint(struct bytes *rest, uint64_t *out);
bool protobuf_take_fixed(struct bytes *rest, size_t size, uint64_t *out);

/*
 * Takes the next field that is no group off the front. False at the end, and then `*bad` tells
 * whether the bytes were no message.
 */
bool protobuf_take_field(struct bytes *rest, struct wire_field *out, bool *bad);

#endif
