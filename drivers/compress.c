#define ZLIB_CONST /* inputs are const */
#include "compress.h"

#include <limits.h>
#include <zlib.h>
#include <zstd.h>

enum { WINDOW_BITS = 15, GZIP_HEADER = 16, MEMORY_LEVEL = 8, GZIP_LEVEL = 6, ZSTD_LEVEL = 3 };

static void
append_gzip(struct buf *out, struct bytes text)
{
    z_stream stream = {0};
    int result = deflateInit2(&stream, GZIP_LEVEL, Z_DEFLATED, WINDOW_BITS + GZIP_HEADER,
                              MEMORY_LEVEL, Z_DEFAULT_STRATEGY);
    check(result == Z_OK && "zlib has no memory");
    size_t bound = deflateBound(&stream, text.size);
    stream.next_in = (const Bytef *)text.data;
    stream.avail_in = (uInt)text.size;
    stream.next_out = (Bytef *)buf_reserve(out, bound);
    stream.avail_out = (uInt)bound;
    result = deflate(&stream, Z_FINISH);
    check(result == Z_STREAM_END && "deflateBound is an upper bound");
    out->size += stream.total_out;
    deflateEnd(&stream);
}

static void
append_zstd(struct buf *out, struct bytes text)
{
    size_t bound = ZSTD_compressBound(text.size);
    size_t size = ZSTD_compress(buf_reserve(out, bound), bound, text.data, text.size, ZSTD_LEVEL);
    check(!ZSTD_isError(size) && "the bound is an upper bound, and there is memory");
    out->size += size;
}

void
compress_append(struct buf *out, struct bytes text, enum compression compression)
{
    check(text.size <= UINT_MAX);
    switch (compression) {
    case COMPRESSION_NONE:
        buf_append(out, text);
        break;
    case COMPRESSION_GZIP:
        append_gzip(out, text);
        break;
    case COMPRESSION_ZSTD:
        append_zstd(out, text);
        break;
    }
}

const char *
compress_header(enum compression compression)
{
    static const char *const headers[] = {[COMPRESSION_GZIP] = "Content-Encoding: gzip",
                                          [COMPRESSION_ZSTD] = "Content-Encoding: zstd"};
    return headers[compression];
}
