/* Values to bytes and back. */
#include "key.h"

void
stream_key_put(struct buf *out, struct stream_type type, const struct stream_value *value)
{
    char digits[DECIMAL_TEXT_MAX];
    uint64_t bits;
    wire_put_u8(out, value->is_null);
    if (value->is_null) {
        return;
    }
    switch ((enum stream_kind)type.kind) {
    case STREAM_STRING:
    case STREAM_JSON:
        wire_put_bytes(out, value->text);
        return;
    case STREAM_DECIMAL:
        wire_put_bytes(out, bytes_of(digits, decimal_print(&value->decimal, digits)));
        return;
    case STREAM_DOUBLE: {
        double real = value->real == 0 ? 0 : value->real; /* -0 and 0 are one key */
        memcpy(&bits, &real, sizeof bits);
        wire_put_u64(out, bits);
        return;
    }
    default:
        wire_put_u64(out, (uint64_t)value->integer);
    }
}

struct stream_value
stream_key_get(struct wire_reader *reader, struct stream_type type, struct arena *arena)
{
    struct stream_value value = {.is_null = wire_get_u8(reader) != 0};
    uint64_t bits;
    if (value.is_null || reader->failed) {
        value.is_null = true;
        return value;
    }
    switch ((enum stream_kind)type.kind) {
    case STREAM_STRING:
    case STREAM_JSON:
        value.text = wire_get_bytes(reader);
        return value;
    case STREAM_DECIMAL:
        reader->failed |= !decimal_parse(&value.decimal, wire_get_bytes(reader), arena);
        return value;
    case STREAM_DOUBLE:
        bits = wire_get_u64(reader);
        memcpy(&value.real, &bits, sizeof bits);
        return value;
    default:
        value.integer = (int64_t)wire_get_u64(reader);
        return value;
    }
}
