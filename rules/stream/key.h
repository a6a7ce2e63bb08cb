/*
 * Values as bytes: keys of state, and state in snapshots. The types are known to whoever reads.
 *
 *   u8 1 for NULL, else 0 and: u64 of integers and doubles | counted text | counted decimal text
 */
#ifndef HEADGATE_RULES_STREAM_KEY_H
#define HEADGATE_RULES_STREAM_KEY_H

#include "base/wire.h"
#include "type.h"

void stream_key_put(struct buf *out, struct stream_type type, const struct stream_value *value);

/* Texts are views of the reader's bytes; wide decimals go into the arena. */
struct stream_value stream_key_get(struct wire_reader *reader, struct stream_type type,
                                   struct arena *arena);

#endif
