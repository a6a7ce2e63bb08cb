#define ZLIB_CONST /* inputs are const */
#include "gzip.h"

#include <limits.h>
#include <zlib.h>

enum { WINDOW_BITS = 15, GZIP_HEADER = 16, MEMORY_LEVEL = 8, LEVEL = 6 };

void
gzip_append(struct buf *out, struct bytes text)
{
    check(text.size <= UINT_MAX);
    z_stream stream = {0};
    int result = deflateInit2(&stream, LEVEL, Z_DEFLATED, WINDOW_BITS + GZIP_HEADER, MEMORY_LEVEL,
                              Z_DEFAULT_STRATEGY);
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
