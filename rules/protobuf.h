/*
 * Protocol Buffers to JSON, driven by a descriptor: for decode(x, 'proto', ...).
 *
 * Sources: "Encoding" and "ProtoJSON Format" of the Protocol Buffers documentation, descriptor.proto,
 * and the AWS IoT developer guide, "Decoding protobuf message payloads". Members are called as in
 * the .proto file and stand in the order of their numbers; 64-bit integers are numbers; an enum is
 * the name of its value; bytes are base64; a map is an object. Fields without presence that hold
 * their default are left out. Unknown fields and groups are passed over. The well-known types
 * (Timestamp and so on) are messages like others.
 *
 * Pure. Everything that is made lives in the arena.
 */
#ifndef HEADGATE_RULES_PROTOBUF_H
#define HEADGATE_RULES_PROTOBUF_H

#include "base/arena.h"
#include "base/buf.h"

enum {
    PROTOBUF_JSON_MAX_BYTES = 128 * 1024,
    PROTOBUF_DESCRIPTOR_MAX_BYTES = 32 * 1024,
    PROTOBUF_DEPTH_MAX = 64, /* of messages in messages, and of groups */
};

/*
 * Appends the JSON of `message`, which is of `type` (Person, or package.Person) of the file `file`
 * (person, person.proto, dir/person.proto) in `set`, a FileDescriptorSet. On false `*reason` (in the
 * arena, or static) tells why, and `out` holds some of it.
 */
bool protobuf_to_json(struct buf *out, struct bytes set, struct bytes file, struct bytes type,
                      struct bytes message, struct arena *arena, const char **reason) MUST_CHECK;

#endif
