/* How verbs show what lies in a log: times, bytes that may be anything, lines. */
#ifndef HEADGATE_PRINT_RECORD_H
#define HEADGATE_PRINT_RECORD_H

#include "base/buf.h"

#include <stdint.h>

/* 2022-06-17T10:15:20.123456Z; "-" for 0. */
void print_time(int64_t time_us, struct buf *out);

/* As text where it is UTF-8, with control characters escaped, so that a record is one line. */
void print_escaped(struct bytes bytes, struct buf *out);

/* "payload":"text", or "payload_base64":"..." when it is no UTF-8. */
void print_payload_json(struct bytes payload, struct buf *out);

/* To stdout, with a line's end; frees. */
void print_line(struct buf *line);

#endif
