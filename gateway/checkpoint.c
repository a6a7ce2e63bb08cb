/*
 * The file of a checkpoint, little endian:
 *
 *   magic "HGCP" | u32 format version, 2 | u64 generation
 *   varint number of streams | each: counted name, varint position, varint ids_from
 *   varint number of sinks   | each: counted name, varint head, varint tail, varint records
 *   varint number of rules   | each: counted name, counted state
 *   u32 CRC-32C of all before
 *
 * Version 1 had no ids_from; it was what `position` is.
 *
 * A save replaces the older of the two files by rename, so there are always two whole ones on the
 * medium, whatever happens when.
 */
#define _GNU_SOURCE
#include "checkpoint.h"

#include "base/wire.h"

#include <errno.h>
#include <inttypes.h>

enum {
    CHECKPOINT_VERSION = 2,
    CHECKPOINT_BYTES_MAX = 1024 * 1024 * 1024,
    HEADER_BYTES = 16,
    TRAILER_BYTES = 4,
};

static const char magic[4] = {'H', 'G', 'C', 'P'};

void
checkpoint_encode(const struct checkpoint *checkpoint, struct buf *out)
{
    size_t start = out->size;
    buf_append(out, bytes_of(magic, sizeof magic));
    wire_put_u32(out, CHECKPOINT_VERSION);
    wire_put_u64(out, checkpoint->generation);
    wire_put_varint(out, checkpoint->stream_count);
    for (size_t i = 0; i < checkpoint->stream_count; i++) {
        wire_put_bytes(out, checkpoint->streams[i].name);
        wire_put_varint(out, checkpoint->streams[i].position);
        wire_put_varint(out, checkpoint->streams[i].ids_from);
    }
    wire_put_varint(out, checkpoint->sink_count);
    for (size_t i = 0; i < checkpoint->sink_count; i++) {
        const struct checkpoint_sink *sink = &checkpoint->sinks[i];
        wire_put_bytes(out, sink->name);
        wire_put_varint(out, sink->head);
        wire_put_varint(out, sink->tail);
        wire_put_varint(out, sink->records);
    }
    wire_put_varint(out, checkpoint->rule_count);
    for (size_t i = 0; i < checkpoint->rule_count; i++) {
        wire_put_bytes(out, checkpoint->rules[i].name);
        wire_put_bytes(out, checkpoint->rules[i].state);
    }
    wire_put_u32(out, wire_crc32c(0, bytes_of(out->data + start, out->size - start)));
}

/* A count of things of at least `least` bytes each; a count that cannot be fails the reader. */
static size_t
get_count(struct wire_reader *reader, size_t least)
{
    uint64_t count = wire_get_varint(reader);
    if (count > reader->rest.size / least) {
        reader->failed = true;
        return 0;
    }
    return (size_t)count;
}

static void
get_streams(struct wire_reader *reader, uint32_t version, struct arena *arena,
            struct checkpoint *out)
{
    out->stream_count = get_count(reader, 2);
    struct checkpoint_stream *streams =
            arena_new_array(arena, struct checkpoint_stream, out->stream_count);
    for (size_t i = 0; i < out->stream_count; i++) {
        streams[i].name = arena_copy(arena, wire_get_bytes(reader));
        streams[i].position = wire_get_varint(reader);
        streams[i].ids_from = version == 1 ? streams[i].position : wire_get_varint(reader);
    }
    out->streams = streams;
}

static void
get_sinks(struct wire_reader *reader, struct arena *arena, struct checkpoint *out)
{
    out->sink_count = get_count(reader, 4);
    struct checkpoint_sink *sinks = arena_new_array(arena, struct checkpoint_sink, out->sink_count);
    for (size_t i = 0; i < out->sink_count; i++) {
        sinks[i].name = arena_copy(arena, wire_get_bytes(reader));
        sinks[i].head = wire_get_varint(reader);
        sinks[i].tail = wire_get_varint(reader);
        sinks[i].records = wire_get_varint(reader);
    }
    out->sinks = sinks;
}

static void
get_rules(struct wire_reader *reader, struct arena *arena, struct checkpoint *out)
{
    out->rule_count = get_count(reader, 2);
    struct checkpoint_rule *rules = arena_new_array(arena, struct checkpoint_rule, out->rule_count);
    for (size_t i = 0; i < out->rule_count; i++) {
        rules[i].name = arena_copy(arena, wire_get_bytes(reader));
        rules[i].state = arena_copy(arena, wire_get_bytes(reader));
    }
    out->rules = rules;
}

static bool
is_whole(struct bytes bytes)
{
    if (bytes.size < HEADER_BYTES + TRAILER_BYTES ||
        memcmp(bytes.data, magic, sizeof magic) != 0) {
        return false;
    }
    size_t body = bytes.size - TRAILER_BYTES;
    struct wire_reader trailer = wire_reader(bytes_slice(bytes, body, bytes.size));
    return wire_get_u32(&trailer) == wire_crc32c(0, bytes_slice(bytes, 0, body));
}

bool
checkpoint_decode(struct bytes bytes, struct arena *arena, struct checkpoint *out,
                  struct diag_list *diags)
{
    if (!is_whole(bytes)) {
        diag_error(diags, DIAG_CORRUPT, "checkpoint of %zu bytes is damaged", bytes.size);
        return false;
    }
    struct wire_reader reader =
            wire_reader(bytes_slice(bytes, sizeof magic, bytes.size - TRAILER_BYTES));
    uint32_t version = wire_get_u32(&reader);
    if (version > CHECKPOINT_VERSION) {
        diag_error(diags, DIAG_INVALID, "checkpoint has format version %u, known is %d", version,
                   CHECKPOINT_VERSION);
        diag_hint(diags, "it was written by a newer version: install that version again");
        return false;
    }
    struct checkpoint checkpoint = {.generation = wire_get_u64(&reader)};
    get_streams(&reader, version, arena, &checkpoint);
    get_sinks(&reader, arena, &checkpoint);
    get_rules(&reader, arena, &checkpoint);
    if (!wire_at_end(&reader) || checkpoint.generation == 0) {
        diag_error(diags, DIAG_CORRUPT, "checkpoint of %zu bytes makes no sense", bytes.size);
        return false;
    }
    *out = checkpoint;
    return true;
}

static void
append_path(struct buf *out, const char *dir, unsigned slot)
{
    buf_printf(out, "%s/checkpoint-%u", dir, slot);
}

bool
checkpoint_save(const struct os *os, const char *dir, const struct checkpoint *checkpoint,
                struct diag_list *diags)
{
    check(checkpoint->generation > 0);
    struct buf path = {0};
    struct buf bytes = {0};
    append_path(&path, dir, checkpoint->generation % 2);
    checkpoint_encode(checkpoint, &bytes);
    int result = os_make_dirs(os, dir, 0750);
    if (result == 0) {
        result = os_replace_file(os, buf_string(&path), buf_bytes(&bytes), 0640);
    }
    if (result < 0) {
        diag_io_error(diags, -result, "cannot write checkpoint '%s'", buf_string(&path));
    }
    buf_fini(&bytes);
    buf_fini(&path);
    return result == 0;
}

enum slot_state { SLOT_EMPTY, SLOT_VALID, SLOT_DAMAGED, SLOT_REFUSED };

/* Errors go to `diags`; whether they count is the caller's to say. */
static enum slot_state
load_slot(const struct os *os, const char *dir, unsigned slot, struct arena *arena,
          struct checkpoint *out, struct diag_list *diags)
{
    struct buf path = {0};
    struct buf bytes = {0};
    append_path(&path, dir, slot);
    int result = os_read_file(os, buf_string(&path), CHECKPOINT_BYTES_MAX, &bytes);
    enum slot_state state = SLOT_EMPTY;
    if (result < 0 && result != -ENOENT) {
        diag_io_error(diags, -result, "cannot read checkpoint '%s'", buf_string(&path));
        state = SLOT_DAMAGED;
    } else if (result == 0) {
        struct diag_list found = {0};
        bool is_valid = checkpoint_decode(buf_bytes(&bytes), arena, out, &found);
        state = is_valid                                  ? SLOT_VALID
                : found.items[0].class == DIAG_INVALID    ? SLOT_REFUSED
                                                          : SLOT_DAMAGED;
        if (!is_valid) {
            diag_error(diags, found.items[0].class, "%s: %.*s", buf_string(&path),
                       BYTES_ARG(found.items[0].message));
            diag_hint(diags, "%.*s", BYTES_ARG(found.items[0].hint));
        }
        diag_list_fini(&found);
    }
    buf_fini(&bytes);
    buf_fini(&path);
    return state;
}

/* Passes the errors on as warnings: the other slot is good. */
static void
append_as_warnings(struct diag_list *diags, const struct diag_list *from)
{
    size_t first = diags->count;
    diag_list_append(diags, from);
    for (size_t i = first; i < diags->count; i++) {
        diags->errors -= diags->items[i].level == DIAG_ERROR;
        diags->items[i].level = DIAG_WARNING;
    }
}

bool
checkpoint_load(const struct os *os, const char *dir, struct arena *arena, struct checkpoint *out,
                struct diag_list *diags)
{
    struct checkpoint slots[2] = {0};
    enum slot_state states[2];
    struct diag_list found = {0};
    const struct checkpoint *newest = NULL;
    bool is_damaged = false;
    bool is_refused = false;
    for (unsigned slot = 0; slot < 2; slot++) {
        states[slot] = load_slot(os, dir, slot, arena, &slots[slot], &found);
        is_damaged = is_damaged || states[slot] == SLOT_DAMAGED;
        is_refused = is_refused || states[slot] == SLOT_REFUSED;
        if (states[slot] == SLOT_VALID &&
            (newest == NULL || slots[slot].generation > newest->generation)) {
            newest = &slots[slot];
        }
    }
    bool loaded = !is_refused && (newest != NULL || !is_damaged);
    if (loaded) {
        append_as_warnings(diags, &found);
        *out = newest == NULL ? (struct checkpoint){0} : *newest;
    } else {
        diag_list_append(diags, &found);
    }
    diag_list_fini(&found);
    return loaded;
}
