/*
 * Reading TZif (RFC 8536):
 *
 *   header    "TZif" version[1] 0[15], then six counts of 4 bytes: UT flags, standard flags,
 *             leap seconds, changes, kinds, bytes of abbreviations
 *   data      times of the changes (4 or 8 bytes), a kind's index[1] for each,
 *             kinds {offset[4] dst[1] abbreviation[1]}, abbreviations, leap seconds, flags
 *
 * all big-endian. Version 1 is one block with times of 4 bytes. From version 2 on a second header
 * and block follow, with times of 8 bytes, then the footer: '\n' rule '\n'; the first block is
 * skipped, as the RFC wishes. Nothing is believed: every count is checked against the bytes that
 * are there.
 */
#include "wire.h"
#include "zone_data.h"

enum { KINDS_MAX = 256, KIND_BYTES = 6, RESERVED_BYTES = 15 };

struct block {
    uint8_t version;
    uint32_t ut_count, standard_count, leap_count, change_count, kind_count, text_size;
    struct bytes times, indices, kinds, text;
    struct bytes footer;
};

/* ---- big-endian, on top of a little-endian reader ---- */

static uint32_t
get_u32(struct wire_reader *reader)
{
    return __builtin_bswap32(wire_get_u32(reader));
}

static int64_t
get_time(struct wire_reader *reader, size_t size)
{
    return size == 4 ? (int32_t)get_u32(reader)
                     : (int64_t)__builtin_bswap64(wire_get_u64(reader));
}

static struct bytes
get_view(struct wire_reader *reader, uint64_t size)
{
    if (size > reader->rest.size) {
        reader->failed = true;
        size = 0;
    }
    struct bytes view = bytes_slice(reader->rest, 0, size);
    reader->rest = bytes_slice(reader->rest, size, reader->rest.size);
    return view;
}

/* ---- the parts of the file ---- */

static void
get_block(struct wire_reader *reader, struct block *out, size_t time_size)
{
    struct bytes magic = get_view(reader, 4);
    if (!bytes_equal(magic, BYTES("TZif"))) {
        reader->failed = true;
    }
    out->version = wire_get_u8(reader);
    get_view(reader, RESERVED_BYTES);
    out->ut_count = get_u32(reader);
    out->standard_count = get_u32(reader);
    out->leap_count = get_u32(reader);
    out->change_count = get_u32(reader);
    out->kind_count = get_u32(reader);
    out->text_size = get_u32(reader);
    out->times = get_view(reader, (uint64_t)out->change_count * time_size);
    out->indices = get_view(reader, out->change_count);
    out->kinds = get_view(reader, (uint64_t)out->kind_count * KIND_BYTES);
    out->text = get_view(reader, out->text_size);
    get_view(reader, (uint64_t)out->leap_count * (time_size + 4));
    get_view(reader, out->standard_count);
    get_view(reader, out->ut_count);
}

/* The block that counts, and its size of times; 0 when the file is cut off or no TZif. */
static size_t
get_file(struct bytes tzif, struct block *out)
{
    struct wire_reader reader = wire_reader(tzif);
    size_t time_size = 4;
    get_block(&reader, out, time_size);
    if (!reader.failed && out->version >= '2') {
        time_size = 8;
        get_block(&reader, out, time_size);
        if (wire_get_u8(&reader) != '\n') {
            reader.failed = true;
        }
        size_t end = bytes_find(reader.rest, '\n');
        out->footer = bytes_slice(reader.rest, 0, end);
        reader.failed = reader.failed || end == reader.rest.size;
    }
    return reader.failed ? 0 : time_size;
}

/* ---- the zone ---- */

static bool
read_kinds(const struct block *block, struct arena *arena, struct zone_kind *out)
{
    struct bytes text = arena_copy(arena, block->text);
    struct wire_reader reader = wire_reader(block->kinds);
    for (uint32_t i = 0; i < block->kind_count; i++) {
        int32_t offset_s = (int32_t)get_u32(&reader);
        uint8_t dst = wire_get_u8(&reader);
        struct bytes rest = bytes_slice(text, wire_get_u8(&reader), text.size);
        size_t end = bytes_find(rest, '\0');
        if (end == rest.size || dst > 1 || offset_s < -ZONE_OFFSET_MAX_S ||
            offset_s > ZONE_OFFSET_MAX_S) {
            return false;
        }
        out[i] = (struct zone_kind){offset_s, dst == 1, bytes_slice(rest, 0, end)};
    }
    return true;
}

static bool
read_changes(const struct block *block, size_t time_size, const struct zone_kind *kinds,
             struct zone_change *out)
{
    struct wire_reader times = wire_reader(block->times), indices = wire_reader(block->indices);
    for (uint32_t i = 0; i < block->change_count; i++) {
        uint8_t kind = wire_get_u8(&indices);
        out[i].at_s = get_time(&times, time_size);
        if (kind >= block->kind_count || (i > 0 && out[i].at_s <= out[i - 1].at_s)) {
            return false;
        }
        out[i].kind = &kinds[kind];
    }
    return true;
}

const struct zone *
zone_parse(struct bytes name, struct bytes tzif, struct arena *arena)
{
    struct block block = {0};
    size_t time_size = get_file(tzif, &block);
    if (time_size == 0 || block.leap_count > 0 || block.kind_count == 0 ||
        block.kind_count > KINDS_MAX) {
        return NULL;
    }
    struct zone_kind *kinds = arena_new_array(arena, struct zone_kind, block.kind_count);
    struct zone_change *changes = arena_new_array(arena, struct zone_change, block.change_count);
    struct zone *zone = arena_new(arena, struct zone);
    *zone = (struct zone){
            .name = arena_copy(arena, name),
            .first = &kinds[0],
            .changes = changes,
            .change_count = block.change_count,
            .has_rule = block.footer.size > 0,
    };
    bool ok = read_kinds(&block, arena, kinds) && read_changes(&block, time_size, kinds, changes) &&
              (!zone->has_rule || zone_rule_parse(arena_copy(arena, block.footer), &zone->rule));
    return ok ? zone : NULL;
}
