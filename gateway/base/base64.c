#include "base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
base64_encode(struct buf *out, struct bytes bytes)
{
    const unsigned char *p = (const unsigned char *)bytes.data;
    char *to = buf_reserve(out, (bytes.size + 2) / 3 * 4);
    for (size_t left = bytes.size; left > 0;) {
        size_t taken = left < 3 ? left : 3;
        uint32_t group = (uint32_t)p[0] << 16;
        group |= taken > 1 ? (uint32_t)p[1] << 8 : 0;
        group |= taken > 2 ? p[2] : 0;
        *to++ = alphabet[group >> 18];
        *to++ = alphabet[(group >> 12) & 63];
        *to++ = taken > 1 ? alphabet[(group >> 6) & 63] : '=';
        *to++ = taken > 2 ? alphabet[group & 63] : '=';
        p += taken;
        left -= taken;
        out->size += 4;
    }
}

static int
value_of(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool
base64_decode(struct buf *out, struct bytes text)
{
    if (text.size % 4 == 0 && bytes_ends_with(text, BYTES("="))) {
        text.size -= bytes_ends_with(text, BYTES("==")) ? 2 : 1;
    }
    if (text.size % 4 == 1) {
        return false;
    }
    char *to = buf_reserve(out, text.size / 4 * 3 + 3);
    size_t size = 0;
    uint32_t group = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < text.size; i++) {
        int value = value_of(text.data[i]);
        if (value < 0) {
            return false;
        }
        group = group << 6 | (uint32_t)value;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            to[size++] = (char)(group >> bits);
            group &= (1u << bits) - 1;
        }
    }
    if (group != 0) {
        return false;
    }
    out->size += size;
    return true;
}
