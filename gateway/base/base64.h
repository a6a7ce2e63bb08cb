/*
 * Base64 of RFC 4648, section 4: the standard alphabet, padded with '='.
 */
#ifndef HEADGATE_BASE_BASE64_H
#define HEADGATE_BASE_BASE64_H

#include "buf.h"

void base64_encode(struct buf *out, struct bytes bytes);

/*
 * Appends the decoded bytes; false (and nothing appended) when `text` is not base64. Padding may be
 * missing; white space, other alphabets and stray bits in the last character are refused.
 */
bool base64_decode(struct buf *out, struct bytes text) MUST_CHECK;

#endif
