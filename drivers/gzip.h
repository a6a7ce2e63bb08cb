/* gzip (RFC 1952) of a whole text; zlib is included by gzip.c only. */
#ifndef HEADGATE_DRIVERS_GZIP_H
#define HEADGATE_DRIVERS_GZIP_H

#include "base/buf.h"

/* Appends the compressed form. The same input gives the same bytes (no time stamp inside). */
void gzip_append(struct buf *out, struct bytes text);

#endif
