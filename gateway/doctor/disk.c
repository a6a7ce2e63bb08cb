/*
 * Whether what the gateway acknowledges can be kept: room, inodes, and a file system that is there
 * after a power cut.
 */
#include "doctor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { FREE_LOW_BYTES = 150000000, FILES_LOW = 1000, FILES_FEW = 50, COMMIT_LONG_S = 30 };

struct disk {
    const struct doctor_case *subject;
    struct report *report;
    char *dir; /* data_dir, or the parent that is there */
};

/* ---- room ---- */

static void
add_room(struct disk *disk, enum finding_level level, const struct doctor_space *space,
         int64_t wanted, const char *because)
{
    struct buf text = {0};
    doctor_append_size(&text, (double)space->free_bytes);
    buf_printf(&text, " of the disk under '%s' are free, less than ",
               disk->subject->config->data_dir);
    doctor_append_size(&text, (double)wanted);
    buf_printf(&text, " (%s)", because);
    report_add(disk->report, level, "%s", buf_string(&text));
    report_why(disk->report, "without room the gateway acknowledges nothing more: the broker "
               "queues up to its limit, and then drops");
    report_fix(disk->report, "make room (sudo apt clean; sudo journalctl --vacuum-size=50M), set "
               "'data_dir' to a larger disk, or lower 'journal_max' and 'backlog_max' in %s",
               disk->subject->config_path);
    buf_fini(&text);
}

/* False: it cannot be seen, and errno says why. */
static bool
look(const struct disk *disk, struct doctor_space *out)
{
    struct buf path = {0};
    buf_printf(&path, "%s%s", disk->subject->world->root, disk->dir);
    bool is_seen = disk->subject->world->space(disk->subject->world, buf_string(&path), out);
    int error = errno;
    buf_fini(&path);
    errno = error;
    return is_seen;
}

static void
look_at_inodes(struct disk *disk, struct doctor_space space)
{
    if (space.total_files == 0 || space.free_files >= FILES_LOW) {
        return;
    }
    report_add(disk->report, space.free_files < FILES_FEW ? FINDING_ERROR : FINDING_WARNING,
               "%" PRId64 " more files fit on the disk (inodes), of %" PRId64, space.free_files,
               space.total_files);
    report_why(disk->report, "the journal, backlogs and checkpoints are new files; without "
               "inodes nothing can be kept, however many bytes are free");
    report_fix(disk->report, "find the folder with too many small files: sudo du --inodes -xS "
               "/ | sort -n | tail");
}

static void
look_at_room(struct disk *disk)
{
    const struct config *config = disk->subject->config;
    struct doctor_space space = {0};
    struct buf text = {0};
    int64_t growth = config->journal_max - disk->subject->gateway.journal_bytes;
    if (!look(disk, &space)) {
        report_add(disk->report, FINDING_WARNING, "how full the disk is cannot be seen: %s",
                   strerror(errno));
        report_why(disk->report, "a full disk would not be noticed before messages wait");
        report_fix(disk->report, "run: sudo headgate doctor");
    } else if (space.free_bytes <= config->disk_reserve) {
        add_room(disk, FINDING_ERROR, &space, config->disk_reserve, "disk_reserve");
    } else if (space.free_bytes < FREE_LOW_BYTES) {
        add_room(disk, FINDING_WARNING, &space, FREE_LOW_BYTES, "a day of few messages");
    } else if (growth > 0 && space.free_bytes < growth + config->disk_reserve) {
        add_room(disk, FINDING_WARNING, &space, growth + config->disk_reserve,
                 "what is left of journal_max, and disk_reserve");
    } else {
        doctor_append_size(&text, (double)space.free_bytes);
        report_fact(disk->report, "%s free", buf_string(&text));
    }
    if (space.total_bytes > 0) {
        look_at_inodes(disk, space);
    }
    buf_fini(&text);
}

/* ---- kind ---- */

struct kind {
    const char *type;
    enum finding_level level;
    const char *what;
    const char *why;
};

static const char FIX_KIND[] = "set 'data_dir' to a folder on ext4, f2fs or xfs in %s";

static const struct kind kinds[] = {
        {"tmpfs", FINDING_ERROR, "in memory", "everything is gone when the machine restarts"},
        {"ramfs", FINDING_ERROR, "in memory", "everything is gone when the machine restarts"},
        {"overlay", FINDING_ERROR, "an overlay, as of a container or a read-only root",
         "what is written there is mostly gone with the container or the next boot"},
        {"squashfs", FINDING_ERROR, "read-only", "nothing can be kept"},
        {"vfat", FINDING_WARNING, "a file system without a journal",
         "a power cut can damage the folder itself, and with it everything in it"},
        {"exfat", FINDING_WARNING, "a file system without a journal",
         "a power cut can damage the folder itself, and with it everything in it"},
        {"nfs", FINDING_WARNING, "on another machine",
         "each message waits for the network; when that is away, nothing is kept"},
        {"nfs4", FINDING_WARNING, "on another machine",
         "each message waits for the network; when that is away, nothing is kept"},
        {"cifs", FINDING_WARNING, "on another machine",
         "each message waits for the network; when that is away, nothing is kept"},
        {"btrfs", FINDING_OK, "btrfs (chattr +C on an empty data_dir saves it copying)", ""},
};

static void
look_at_kind(struct disk *disk, const struct doctor_mount *mount)
{
    const char *data_dir = disk->subject->config->data_dir;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!bytes_equal_string(mount->type, kinds[i].type)) {
            continue;
        }
        if (kinds[i].level == FINDING_OK) {
            report_fact(disk->report, "%s", kinds[i].what);
            return;
        }
        report_add(disk->report, kinds[i].level, "'%s' is %s (%.*s on %.*s)", data_dir,
                   kinds[i].what, BYTES_ARG(mount->type), BYTES_ARG(mount->point));
        report_why(disk->report, "%s", kinds[i].why);
        report_fix(disk->report, FIX_KIND, disk->subject->config_path);
        return;
    }
    report_fact(disk->report, "%.*s", BYTES_ARG(mount->type));
}

static int64_t
commit_s(struct bytes options)
{
    struct bytes rest = options, part;
    int64_t seconds = 0, number;
    while (bytes_split(&rest, ',', &part)) {
        if (bytes_starts_with(part, BYTES("commit=")) &&
            bytes_to_int64(bytes_slice(part, strlen("commit="), part.size), &number)) {
            seconds = number;
        }
    }
    return seconds;
}

static void
look_at_options(struct disk *disk, const struct doctor_mount *mount)
{
    enum { SYNC_NEVER = 0 };
    struct bytes point = mount->point;
    if (doctor_has_option(mount->options, "ro")) {
        report_add(disk->report, FINDING_ERROR, "%.*s is mounted read-only", BYTES_ARG(point));
        report_why(disk->report, "nothing can be kept, so nothing is acknowledged; the kernel "
                   "makes a disk read-only when it finds it damaged");
        report_fix(disk->report, "look at: sudo dmesg | grep -i error; then sudo mount -o "
                   "remount,rw %.*s, or a new card", BYTES_ARG(point));
    }
    if (doctor_has_option(mount->options, "nobarrier") ||
        doctor_has_option(mount->options, "barrier=0")) {
        report_add(disk->report, FINDING_WARNING, "%.*s is mounted without barriers",
                   BYTES_ARG(point));
        report_why(disk->report, "a sync does not reach the medium: a power cut takes messages "
                   "that were acknowledged, and may damage the file system");
        report_fix(disk->report, "take 'nobarrier' or 'barrier=0' out of /etc/fstab, and restart");
    }
    if (doctor_has_option(mount->options, "sync")) {
        report_add(disk->report, FINDING_WARNING, "%.*s is mounted with 'sync'", BYTES_ARG(point));
        report_why(disk->report, "each write of a few bytes becomes a write of a whole block: "
                   "slow, and a card wears out many times as fast");
        report_fix(disk->report, "take 'sync' out of /etc/fstab, and restart; the gateway syncs "
                   "what has to be");
    }
    int64_t commit = commit_s(mount->options);
    if (disk->subject->config->sync == SYNC_NEVER && commit > COMMIT_LONG_S) {
        report_add(disk->report, FINDING_WARNING, "with 'sync never' %.*s is written every %" PRId64
                   " seconds only (commit=%" PRId64 ")", BYTES_ARG(point), commit, commit);
        report_why(disk->report, "a power cut takes what was acknowledged in that time");
        report_fix(disk->report, "set 'sync interval' in %s, or 'commit=5' in /etc/fstab",
                   disk->subject->config_path);
    }
}

void
doctor_disk(const struct doctor_case *subject, struct report *report)
{
    bool exists;
    struct disk disk = {.subject = subject, .report = report,
                        .dir = doctor_data_dir(subject, &exists)};
    struct arena arena = {0};
    struct doctor_mount mount;
    report_area(report, "disk");
    look_at_room(&disk);
    if (doctor_mount_of(subject->world, disk.dir, &arena, &mount)) {
        look_at_kind(&disk, &mount);
        look_at_options(&disk, &mount);
    }
    if (!exists) {
        report_fact(report, "'%s' is not there yet", subject->config->data_dir);
    }
    arena_fini(&arena);
    free(disk.dir);
}
