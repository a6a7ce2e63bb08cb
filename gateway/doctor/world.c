/*
 * The world as it is, what areas ask of it, and the order of the areas.
 */
#define _GNU_SOURCE
#include "doctor.h"

#include "base/os.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { FILE_MAX_BYTES = 64 * 1024 * 1024, HELP_MAX_BYTES = 4096 };

static bool
space(const struct doctor_world *world, const char *path, struct doctor_space *out)
{
    struct statvfs status;
    if (statvfs(path, &status) != 0) {
        return false;
    }
    int64_t unit = (int64_t)status.f_frsize;
    *out = (struct doctor_space){.free_bytes = (int64_t)status.f_bavail * unit,
                                 .total_bytes = (int64_t)status.f_blocks * unit,
                                 .free_files = (int64_t)status.f_favail,
                                 .total_files = (int64_t)status.f_files};
    return true;
}

/* A command without anything from outside in it; where there is no mosquitto it prints nothing. */
static void
broker_help(const struct doctor_world *world, struct buf *out)
{
    FILE *pipe = popen("PATH=$PATH:/usr/local/sbin:/usr/sbin mosquitto -h 2>/dev/null </dev/null",
                       "re");
    if (pipe != NULL) {
        out->size += fread(buf_reserve(out, HELP_MAX_BYTES), 1, HELP_MAX_BYTES, pipe);
        pclose(pipe);
    }
}

void
doctor_world_init(struct doctor_world *world)
{
    *world = (struct doctor_world){
            .root = "",
            .wall_us = os_posix.wall_us(&os_posix),
            .is_time_synchronised = os_posix.is_synchronised(&os_posix),
            .uid = geteuid(),
            .space = space,
            .broker_help = broker_help,
    };
}

void
doctor_examine(const struct doctor_case *subject, struct report *report)
{
    doctor_broker(subject, report);
    doctor_disk(subject, report);
    doctor_card(subject, report);
    doctor_clock(subject, report);
    doctor_certificates(subject, report);
    doctor_limits(subject, report);
    doctor_access(subject, report);
}

/* ---- what areas ask ---- */

bool
doctor_read(const struct doctor_world *world, const char *path, struct buf *out)
{
    struct buf place = {0};
    buf_printf(&place, "%s%s", world->root, path);
    int result = os_read_file(&os_posix, buf_string(&place), FILE_MAX_BYTES, out);
    buf_fini(&place);
    errno = -result;
    return result == 0;
}

bool
doctor_stat(const struct doctor_world *world, const char *path, struct stat *out)
{
    struct buf place = {0};
    buf_printf(&place, "%s%s", world->root, path);
    int result = stat(buf_string(&place), out) == 0 ? 0 : errno;
    buf_fini(&place);
    errno = result;
    return result == 0;
}

int64_t
doctor_field(struct bytes text, const char *name)
{
    struct bytes rest = text, line, start = bytes_of_string(name);
    while (bytes_split(&rest, '\n', &line)) {
        int64_t number;
        if (bytes_starts_with(line, start)) {
            line = bytes_slice(line, start.size, line.size);
            line = bytes_trim(bytes_slice(line, bytes_starts_with(line, BYTES(":")), line.size));
            size_t size = 0;
            while (size < line.size && line.data[size] >= '0' && line.data[size] <= '9') {
                size++;
            }
            return bytes_to_int64(bytes_slice(line, 0, size), &number) ? number : -1;
        }
    }
    return -1;
}

void
doctor_append_size(struct buf *out, double bytes)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    size_t unit = 0;
    while (bytes >= 1000 && unit < 4) {
        bytes /= 1000;
        unit++;
    }
    buf_printf(out, unit == 0 || bytes >= 10 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
}

void
doctor_append_time(struct buf *out, double seconds)
{
    static const struct {
        double length;
        const char *name;
    } units[] = {{365.25 * 86400, "year"}, {86400, "day"}, {3600, "hour"}, {60, "minute"}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (seconds >= 2 * units[i].length) {
            buf_append_count(out, (uint64_t)(seconds / units[i].length), units[i].name);
            return;
        }
    }
    buf_append_count(out, (uint64_t)seconds, "second");
}

char *
doctor_data_dir(const struct doctor_case *subject, bool *exists)
{
    /* Room for "/" and "." also where the name is empty. */
    struct buf name = {0};
    buf_printf(&name, "%s", subject->config->data_dir);
    buf_reserve(&name, 2);
    char *path = buf_take_string(&name);
    struct stat status;
    *exists = doctor_stat(subject->world, path, &status);
    bool is_there = *exists;
    while (!is_there) {
        char *slash = strrchr(path, '/');
        if (slash == NULL || slash == path) {
            path[0] = slash == NULL ? '.' : '/';
            path[1] = '\0';
            break;
        }
        *slash = '\0';
        is_there = doctor_stat(subject->world, path, &status);
    }
    return path;
}
