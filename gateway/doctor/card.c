/*
 * SD cards: how long one lasts at what the gateway writes, and who else writes to it.
 *
 * What the gateway writes is measured by the kernel: write_bytes in /proc/PID/io, what a process
 * caused to be sent to the disk, for the gateway and all processes below it, since its start.
 *
 * How much a card takes is on no label. We assume 100 times its size: flash cells last 500 to 1000
 * writes, and a card copies several times what it is sent, because it erases in large blocks. Cards
 * sold for dash cameras take several times as much; the finding names the assumption.
 */
#include "doctor.h"

#include "base/mem.h"
#include "base/os.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { CARD_TAKES_TIMES = 100, CARD_YEARS_MIN = 3, UPTIME_MIN_S = 60, SECTOR_BYTES = 512 };

/* Whether it is an SD card; eMMC is soldered and lasts longer. */
static bool
is_card(const struct doctor_world *world, struct bytes disk)
{
    struct buf path = {0}, text = {0};
    bool is_mmc = bytes_starts_with(disk, BYTES("mmcblk"));
    buf_printf(&path, "/sys/block/%.*s/device/type", BYTES_ARG(disk));
    bool is_emmc = is_mmc && doctor_read(world, buf_string(&path), &text) &&
                   bytes_equal(bytes_trim(buf_bytes(&text)), BYTES("MMC"));
    buf_fini(&path);
    buf_fini(&text);
    return is_mmc && !is_emmc;
}

/* 0: not known. */
static int64_t
disk_bytes(const struct doctor_world *world, struct bytes disk)
{
    struct buf path = {0}, text = {0};
    int64_t sectors = 0;
    buf_printf(&path, "/sys/block/%.*s/size", BYTES_ARG(disk));
    if (!doctor_read(world, buf_string(&path), &text) ||
        !bytes_to_int64(bytes_trim(buf_bytes(&text)), &sectors) || sectors < 0 ||
        sectors > INT64_MAX / SECTOR_BYTES) {
        sectors = 0;
    }
    buf_fini(&path);
    buf_fini(&text);
    return sectors * SECTOR_BYTES;
}

/* ---- what the gateway writes ---- */

struct process {
    int64_t pid;
    int64_t parent;
    bool is_ours;
};

struct processes {
    const struct doctor_world *world;
    struct process *items;
    size_t count;
    size_t capacity;
};

/* "12 (name) S 1 ...": the name may hold blanks and brackets. */
static int64_t
parent_in(struct bytes stat)
{
    size_t end = stat.size;
    int64_t parent = 0;
    struct bytes rest, part;
    while (end > 0 && stat.data[end - 1] != ')') {
        end--;
    }
    rest = bytes_trim(bytes_slice(stat, end, stat.size));
    if (end == 0 || !bytes_split(&rest, ' ', &part) || !bytes_split(&rest, ' ', &part) ||
        !bytes_to_int64(part, &parent)) {
        return 0;
    }
    return parent;
}

static void
add_process(void *context, const char *name)
{
    struct processes *all = context;
    int64_t pid;
    struct buf path = {0}, text = {0};
    buf_printf(&path, "/proc/%s/stat", name);
    if (bytes_to_int64(bytes_of_string(name), &pid) &&
        doctor_read(all->world, buf_string(&path), &text)) {
        all->items = mem_grow(all->items, all->count, &all->capacity, sizeof *all->items);
        all->items[all->count++] =
                (struct process){.pid = pid, .parent = parent_in(buf_bytes(&text))};
    }
    buf_fini(&path);
    buf_fini(&text);
}

/* Marks the process and all below it. */
static void
mark(struct processes *all, int64_t pid)
{
    bool is_new = true;
    for (size_t i = 0; i < all->count; i++) {
        all->items[i].is_ours = all->items[i].pid == pid;
    }
    while (is_new) {
        is_new = false;
        for (size_t i = 0; i < all->count; i++) {
            for (size_t k = 0; !all->items[i].is_ours && k < all->count; k++) {
                if (all->items[k].is_ours && all->items[k].pid == all->items[i].parent) {
                    all->items[i].is_ours = true;
                    is_new = true;
                }
            }
        }
    }
}

/* Bytes that the gateway and its children have sent to disks; -1: that may not be seen. */
static int64_t
written_bytes(const struct doctor_case *subject)
{
    struct processes all = {.world = subject->world};
    struct buf place = {0};
    int64_t written = -1;
    buf_printf(&place, "%s/proc", subject->world->root);
    if (os_posix.list(&os_posix, buf_string(&place), add_process, &all) == 0) {
        mark(&all, subject->gateway.pid);
    }
    for (size_t i = 0; i < all.count; i++) {
        struct buf path = {0}, text = {0};
        buf_printf(&path, "/proc/%" PRId64 "/io", all.items[i].pid);
        if (all.items[i].is_ours && doctor_read(subject->world, buf_string(&path), &text)) {
            int64_t bytes = doctor_field(buf_bytes(&text), "write_bytes");
            written = (written < 0 ? 0 : written) + (bytes < 0 ? 0 : bytes);
        }
        buf_fini(&path);
        buf_fini(&text);
    }
    free(all.items);
    buf_fini(&place);
    return written;
}

static void
add_budget(const struct doctor_case *subject, struct report *report, int64_t size, double per_day)
{
    double takes = (double)size * CARD_TAKES_TIMES;
    double years = per_day > 0 ? takes / per_day / 365 : 1000;
    struct buf text = {0};
    buf_append_string(&text, "the gateway writes ");
    doctor_append_size(&text, per_day);
    buf_append_string(&text, " a day to the SD card of ");
    doctor_append_size(&text, (double)size);
    buf_printf(&text, years > 50 ? ", which takes that for decades" :
               ", which takes that for %.1f years", years);
    if (years >= CARD_YEARS_MIN) {
        report_fact(report, "%s", buf_string(&text));
    } else {
        report_add(report, FINDING_WARNING, "%s", buf_string(&text));
        report_why(report, "a worn-out card loses what was written, or becomes read-only; assumed "
                   "is that it takes %d times its size, a card for dash cameras several times that",
                   CARD_TAKES_TIMES);
        report_fix(report, "set 'data_dir' to an SSD or a larger card; or 'sync_interval 5s' and "
                   "'checkpoint_interval 10s' in %s, which write less", subject->config_path);
    }
    buf_fini(&text);
}

static void
look_at_budget(const struct doctor_case *subject, struct report *report, struct bytes disk)
{
    int64_t size = disk_bytes(subject->world, disk);
    int64_t written = subject->gateway.runs ? written_bytes(subject) : -1;
    if (!subject->gateway.runs || subject->gateway.uptime_s < UPTIME_MIN_S) {
        report_fact(report, "an SD card; how long it lasts is known while the gateway runs for a "
                    "minute or more");
    } else if (written < 0 || size == 0) {
        report_add(report, FINDING_WARNING, "how much the gateway writes to its SD card cannot be "
                   "seen");
        report_why(report, "a card that wears out is noticed when it loses messages");
        report_fix(report, "run: sudo headgate doctor");
    } else {
        add_budget(subject, report, size,
                   (double)written / (double)subject->gateway.uptime_s * 86400);
    }
}

/* ---- who else writes ---- */

/* A line of /proc/swaps: "/var/swap  file  102396  0  -2". */
static bool
is_swap_on(const struct doctor_world *world, struct bytes line, struct bytes disk)
{
    struct bytes name = bytes_slice(line, 0, bytes_find(line, ' '));
    name = bytes_slice(name, 0, bytes_find(name, '\t'));
    struct buf device = {0};
    struct arena arena = {0};
    struct doctor_mount mount;
    buf_printf(&device, "/dev/%.*s", BYTES_ARG(disk));
    bool is_there = bytes_starts_with(name, buf_bytes(&device));
    if (!is_there && bytes_starts_with(name, BYTES("/")) &&
        !bytes_starts_with(name, BYTES("/dev/"))) {
        char *path = bytes_to_string(name);
        is_there = doctor_mount_of(world, path, &arena, &mount) && bytes_equal(mount.disk, disk);
        free(path);
    }
    arena_fini(&arena);
    buf_fini(&device);
    return is_there;
}

static void
look_at_swap(const struct doctor_case *subject, struct report *report, struct bytes disk)
{
    struct buf text = {0};
    struct bytes line, rest;
    if (doctor_read(subject->world, "/proc/swaps", &text)) {
        rest = buf_bytes(&text);
        while (bytes_split(&rest, '\n', &line)) {
            if (!is_swap_on(subject->world, line, disk)) {
                continue;
            }
            report_add(report, FINDING_WARNING, "memory is swapped out to the same SD card (%.*s)",
                       BYTES_ARG(bytes_slice(line, 0, bytes_find(line, ' '))));
            report_why(report, "swapping wears the card out, and makes each sync of a message "
                       "wait");
            report_fix(report, "run: sudo systemctl disable --now dphys-swapfile; or use zram: "
                       "sudo apt install zram-tools");
        }
    }
    buf_fini(&text);
}

void
doctor_card(const struct doctor_case *subject, struct report *report)
{
    bool exists;
    struct arena arena = {0};
    struct doctor_mount mount;
    char *dir = doctor_data_dir(subject, &exists);
    report_area(report, "card");
    if (doctor_mount_of(subject->world, dir, &arena, &mount) &&
        is_card(subject->world, mount.disk)) {
        look_at_budget(subject, report, mount.disk);
        look_at_swap(subject, report, mount.disk);
    } else {
        report_fact(report, "data_dir is on no SD card");
    }
    arena_fini(&arena);
    free(dir);
}
