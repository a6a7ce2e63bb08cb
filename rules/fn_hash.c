/*
 * Hashing functions: the digest of a text's UTF-8 bytes in lower-case hexadecimal.
 *
 * All but MD2 come from OpenSSL (this is the only file of rules/ that knows it). OpenSSL as Debian
 * builds it has no MD2, so that one stands here (RFC 1319): slow and broken, and kept because rules
 * written for AWS IoT may use it to recognise what others hashed long ago.
 */
#include "fn.h"

#include <openssl/evp.h>

/* ---- MD2 ---- */

enum { MD2_BLOCK_BYTES = 16, MD2_STATE_BYTES = 48, MD2_ROUNDS = 18 };

/* A permutation of 0..255 made from the digits of pi (RFC 1319, section 3.2). */
static const uint8_t md2_table[256] = {
        41,  46,  67,  201, 162, 216, 124, 1,   61,  54,  84,  161, 236, 240, 6,   19,
        98,  167, 5,   243, 192, 199, 115, 140, 152, 147, 43,  217, 188, 76,  130, 202,
        30,  155, 87,  60,  253, 212, 224, 22,  103, 66,  111, 24,  138, 23,  229, 18,
        190, 78,  196, 214, 218, 158, 222, 73,  160, 251, 245, 142, 187, 47,  238, 122,
        169, 104, 121, 145, 21,  178, 7,   63,  148, 194, 16,  137, 11,  34,  95,  33,
        128, 127, 93,  154, 90,  144, 50,  39,  53,  62,  204, 231, 191, 247, 151, 3,
        255, 25,  48,  179, 72,  165, 181, 209, 215, 94,  146, 42,  172, 86,  170, 198,
        79,  184, 56,  210, 150, 164, 125, 182, 118, 252, 107, 226, 156, 116, 4,   241,
        69,  157, 112, 89,  100, 113, 135, 32,  134, 91,  207, 101, 230, 45,  168, 2,
        27,  96,  37,  173, 174, 176, 185, 246, 28,  70,  97,  105, 52,  64,  126, 15,
        85,  71,  163, 35,  221, 81,  175, 58,  195, 92,  249, 206, 186, 197, 234, 38,
        44,  83,  13,  110, 133, 40,  132, 9,   211, 223, 205, 244, 65,  129, 77,  82,
        106, 220, 55,  200, 108, 193, 171, 250, 36,  225, 123, 8,   12,  189, 177, 74,
        120, 136, 149, 139, 227, 99,  232, 109, 233, 203, 213, 254, 59,  0,   29,  57,
        242, 239, 183, 14,  102, 88,  208, 228, 166, 119, 114, 248, 235, 117, 75,  10,
        49,  68,  80,  180, 143, 237, 31,  26,  219, 153, 141, 51,  159, 17,  131, 20,
};

struct md2 {
    uint8_t state[MD2_STATE_BYTES];
    uint8_t checksum[MD2_BLOCK_BYTES];
};

static void
md2_mix(struct md2 *md2, const uint8_t block[MD2_BLOCK_BYTES])
{
    for (size_t i = 0; i < MD2_BLOCK_BYTES; i++) {
        md2->state[MD2_BLOCK_BYTES + i] = block[i];
        md2->state[2 * MD2_BLOCK_BYTES + i] = block[i] ^ md2->state[i];
    }
    uint8_t last = 0;
    for (unsigned round = 0; round < MD2_ROUNDS; round++) {
        for (size_t i = 0; i < MD2_STATE_BYTES; i++) {
            last = md2->state[i] ^= md2_table[last];
        }
        last = (uint8_t)(last + round);
    }
}

static void
md2_add_block(struct md2 *md2, const uint8_t block[MD2_BLOCK_BYTES])
{
    md2_mix(md2, block);
    uint8_t last = md2->checksum[MD2_BLOCK_BYTES - 1];
    for (size_t i = 0; i < MD2_BLOCK_BYTES; i++) {
        last = md2->checksum[i] ^= md2_table[block[i] ^ last];
    }
}

/* The digest is the first block of the state; the last block is padded with its own lack. */
static struct md2
md2_of(struct bytes text)
{
    struct md2 md2 = {0};
    uint8_t block[MD2_BLOCK_BYTES];
    size_t at = 0;
    for (; text.size - at >= MD2_BLOCK_BYTES; at += MD2_BLOCK_BYTES) {
        memcpy(block, text.data + at, MD2_BLOCK_BYTES);
        md2_add_block(&md2, block);
    }
    size_t left = text.size - at;
    memset(block, (int)(MD2_BLOCK_BYTES - left), MD2_BLOCK_BYTES);
    if (left > 0) {
        memcpy(block, text.data + at, left);
    }
    md2_add_block(&md2, block);
    memcpy(block, md2.checksum, MD2_BLOCK_BYTES);
    md2_mix(&md2, block);
    return md2;
}

/* ---- the functions ---- */

static struct value
hex_text(const uint8_t *digest, size_t size, struct arena *arena)
{
    static const char digits[] = "0123456789abcdef";
    char *text = arena_alloc(arena, 2 * size);
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[digest[i] >> 4];
        text[2 * i + 1] = digits[digest[i] & 0xf];
    }
    return value_string(bytes_of(text, 2 * size));
}

void
fn_md2(const struct call *call, struct value *out)
{
    struct bytes text;
    if (call_string(call, 0, &text)) {
        struct md2 md2 = md2_of(text);
        *out = hex_text(md2.state, MD2_BLOCK_BYTES, call->arena);
    }
}

/* Undefined too when this machine's policy forbids the algorithm. */
static void
digest(const struct call *call, const EVP_MD *algorithm, struct value *out)
{
    struct bytes text;
    uint8_t bytes[EVP_MAX_MD_SIZE];
    unsigned size;
    if (call_string(call, 0, &text) &&
        EVP_Digest(text.size == 0 ? "" : text.data, text.size, bytes, &size, algorithm, NULL)) {
        *out = hex_text(bytes, size, call->arena);
    }
}

void
fn_md5(const struct call *call, struct value *out)
{
    digest(call, EVP_md5(), out);
}

void
fn_sha1(const struct call *call, struct value *out)
{
    digest(call, EVP_sha1(), out);
}

void
fn_sha224(const struct call *call, struct value *out)
{
    digest(call, EVP_sha224(), out);
}

void
fn_sha256(const struct call *call, struct value *out)
{
    digest(call, EVP_sha256(), out);
}

void
fn_sha384(const struct call *call, struct value *out)
{
    digest(call, EVP_sha384(), out);
}

void
fn_sha512(const struct call *call, struct value *out)
{
    digest(call, EVP_sha512(), out);
}
