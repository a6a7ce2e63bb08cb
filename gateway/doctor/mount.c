/*
 * Which mount, file system and disk a folder is on, by /proc/self/mountinfo (proc(5)) and /sys.
 *
 * A line: 36 35 179:2 / / rw,noatime shared:1 - ext4 /dev/root rw,barrier=0
 *         id parent major:minor root point options [tags] - type source options-of-the-file-system
 */
#define _GNU_SOURCE
#include "doctor.h"

#include <limits.h>
#include <stdlib.h>

struct fields {
    struct bytes device; /* major:minor */
    struct bytes point;
    struct bytes options;
    struct bytes type;
    struct bytes source;
    struct bytes more; /* options of the file system */
};

/* Blanks and backslashes in paths are octal: "\040". */
static struct bytes
unescape(struct bytes text, struct arena *arena)
{
    struct buf out = {.arena = arena};
    for (size_t i = 0; i < text.size; i++) {
        const char *c = text.data + i;
        bool is_octal = *c == '\\' && text.size - i > 3 && c[1] >= '0' && c[1] <= '3' &&
                        c[2] >= '0' && c[2] <= '7' && c[3] >= '0' && c[3] <= '7';
        if (is_octal) {
            buf_append_char(&out, (char)((c[1] - '0') * 64 + (c[2] - '0') * 8 + (c[3] - '0')));
            i += 3;
        } else {
            buf_append_char(&out, *c);
        }
    }
    return buf_bytes(&out);
}

static bool
parse_line(struct bytes line, struct fields *out)
{
    struct bytes part, rest = line;
    struct bytes *before[] = {NULL, NULL, &out->device, NULL, &out->point, &out->options};
    struct bytes *behind[] = {&out->type, &out->source, &out->more};
    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        if (!bytes_split(&rest, ' ', &part)) {
            return false;
        }
        if (before[i] != NULL) {
            *before[i] = part;
        }
    }
    bool is_behind = false;
    while (!is_behind && bytes_split(&rest, ' ', &part)) {
        is_behind = bytes_equal(part, BYTES("-"));
    }
    for (size_t i = 0; is_behind && i < sizeof behind / sizeof *behind; i++) {
        is_behind = bytes_split(&rest, ' ', behind[i]);
    }
    return is_behind;
}

static bool
is_below(struct bytes path, struct bytes point)
{
    return bytes_starts_with(path, point) &&
           (path.size == point.size || bytes_ends_with(point, BYTES("/")) ||
            path.data[point.size] == '/');
}

/* "mmcblk0p2" is on mmcblk0, "sda1" on sda: the device's folder lies in that of its disk. */
static struct bytes
disk_of(const struct doctor_world *world, struct bytes device, struct arena *arena)
{
    struct buf path = {0}, text = {0};
    struct bytes disk = {0}, line, rest;
    buf_printf(&path, "/sys/dev/block/%.*s/uevent", BYTES_ARG(device));
    if (doctor_read(world, buf_string(&path), &text)) {
        rest = buf_bytes(&text);
        while (bytes_split(&rest, '\n', &line)) {
            if (bytes_starts_with(line, BYTES("DEVNAME="))) {
                disk = arena_copy(arena, bytes_slice(line, strlen("DEVNAME="), line.size));
            }
        }
    }
    /* Without its digits, and where a number precedes them, without the p. */
    size_t size = disk.size;
    while (size > 0 && disk.data[size - 1] >= '0' && disk.data[size - 1] <= '9') {
        size--;
    }
    bool is_numbered = size > 1 && disk.data[size - 1] == 'p' && disk.data[size - 2] >= '0' &&
                       disk.data[size - 2] <= '9';
    bool is_letters = bytes_starts_with(disk, BYTES("sd")) || bytes_starts_with(disk, BYTES("vd"));
    if (is_numbered || is_letters) {
        disk.size = size - is_numbered;
    }
    buf_fini(&path);
    buf_fini(&text);
    return disk;
}

/* The path without symbolic links: /var/lib/headgate is one where systemd made it. */
static struct bytes
resolve(const struct doctor_world *world, const char *path, struct arena *arena)
{
    struct buf place = {0};
    buf_printf(&place, "%s%s", world->root, path);
    char *real = realpath(buf_string(&place), NULL);
    struct bytes found = bytes_of_string(path);
    size_t root_size = strlen(world->root);
    if (real != NULL && strncmp(real, world->root, root_size) == 0 && real[root_size] == '/') {
        found = bytes_of_string(real + root_size);
    }
    found = arena_copy(arena, found);
    free(real);
    buf_fini(&place);
    return found;
}

bool
doctor_mount_of(const struct doctor_world *world, const char *path, struct arena *arena,
                struct doctor_mount *out)
{
    struct buf text = {0};
    struct fields best = {0};
    struct bytes line, wanted = resolve(world, path, arena), best_point = {0};
    bool is_found = false;
    bool is_read = doctor_read(world, "/proc/self/mountinfo", &text);
    struct bytes rest = buf_bytes(&text);
    while (is_read && bytes_split(&rest, '\n', &line)) {
        struct fields fields = {0};
        if (parse_line(line, &fields)) {
            struct bytes point = unescape(fields.point, arena);
            if (is_below(wanted, point) && point.size >= best_point.size) {
                best = fields;
                best_point = point;
                is_found = true;
            }
        }
    }
    if (is_found) {
        *out = (struct doctor_mount){
                .point = best_point,
                .type = arena_copy(arena, best.type),
                .options = arena_printf(arena, "%.*s,%.*s", BYTES_ARG(best.options),
                                        BYTES_ARG(best.more)),
                .source = unescape(best.source, arena),
                .disk = disk_of(world, best.device, arena),
        };
    }
    buf_fini(&text);
    return is_found;
}

bool
doctor_has_option(struct bytes options, const char *option)
{
    struct bytes rest = options, part;
    while (bytes_split(&rest, ',', &part)) {
        if (bytes_equal_string(part, option)) {
            return true;
        }
    }
    return false;
}
