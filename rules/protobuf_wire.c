/*
 * Fields of the wire format, one after the other. Every length is checked against what is left.
 */
#include "protobuf_wire.h"

#include "protobuf.h"

enum { VARINT_MAX_BYTES = 10, FIELD_NUMBER_MAX = (1 << 29) - 1 };

static struct bytes
after(struct bytes rest, size_t size)
{
    return bytes_slice(rest, size, rest.size);
}

bool
protobuf_take_varint(struct bytes *rest, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < rest->size && i < VARINT_MAX_BYTES; i++) {
        unsigned char byte = (unsigned char)rest->data[i];
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *rest = after(*rest, i + 1);
            *out = value;
            return true;
        }
    }
    return false;
}

bool
protobuf_take_fixed(struct bytes *rest, size_t size, uint64_t *out)
{
    if (rest->size < size) {
        return false;
    }
    *out = 0;
    for (size_t i = 0; i < size; i++) {
        *out |= (uint64_t)(unsigned char)rest->data[i] << (8 * i);
    }
    *rest = after(*rest, size);
    return true;
}

static bool
take_tag(struct bytes *rest, struct wire_field *out)
{
    uint64_t tag;
    if (!protobuf_take_varint(rest, &tag) || tag >> 3 == 0 || tag >> 3 > FIELD_NUMBER_MAX ||
        (tag & 7) > WIRE_32) {
        return false;
    }
    out->number = (uint32_t)(tag >> 3);
    out->type = (enum wire_type)(tag & 7);
    return true;
}

/* The value of any type but groups. */
static bool
take_value(struct bytes *rest, struct wire_field *out)
{
    switch (out->type) {
    case WIRE_VARINT:
        return protobuf_take_varint(rest, &out->scalar);
    case WIRE_64:
        return protobuf_take_fixed(rest, 8, &out->scalar);
    case WIRE_32:
        return protobuf_take_fixed(rest, 4, &out->scalar);
    case WIRE_BYTES:
        if (!protobuf_take_varint(rest, &out->scalar) || out->scalar > rest->size) {
            return false;
        }
        out->bytes = bytes_slice(*rest, 0, (size_t)out->scalar);
        *rest = after(*rest, (size_t)out->scalar);
        return true;
    default:
        return false;
    }
}

/* Up to the end of the group that has just begun. */
static bool
pass_group(struct bytes *rest, uint32_t number)
{
    uint32_t open[PROTOBUF_DEPTH_MAX] = {number};
    size_t depth = 1;
    while (depth > 0) {
        struct wire_field field;
        if (!take_tag(rest, &field)) {
            return false;
        }
        if (field.type == WIRE_GROUP) {
            if (depth == PROTOBUF_DEPTH_MAX) {
                return false;
            }
            open[depth++] = field.number;
        } else if (field.type == WIRE_GROUP_END) {
            if (open[--depth] != field.number) {
                return false;
            }
        } else if (!take_value(rest, &field)) {
            return false;
        }
    }
    return true;
}

bool
protobuf_take_field(struct bytes *rest, struct wire_field *out, bool *bad)
{
    *bad = false;
    while (rest->size > 0) {
        bool taken = take_tag(rest, out);
        if (taken && out->type == WIRE_GROUP) {
            taken = pass_group(rest, out->number);
        } else if (taken && take_value(rest, out)) {
            return true;
        } else {
            taken = false;
        }
        if (!taken) {
            *bad = true;
            return false;
        }
    }
    return false;
}
