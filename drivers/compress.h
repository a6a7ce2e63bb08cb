/*
 * The body of a request in fewer bytes: the content codings that HTTP has for it. zlib and libzstd
 * are included by compress.c only. Pure.
 */
#ifndef HEADGATE_DRIVERS_COMPRESS_H
#define HEADGATE_DRIVERS_COMPRESS_H

#include "base/buf.h"

enum compression { COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_ZSTD };

/*
 * Appends `text` as gzip (RFC 1952) or zstd (RFC 8878, with a window of 2 MiB at most), or as it
 * is. The same input gives the same bytes (no time stamp inside). At most 4 GiB.
 */
void compress_append(struct buf *out, struct bytes text, enum compression compression);

/* "Content-Encoding: gzip", or NULL. */
const char *compress_header(enum compression compression);

#endif
