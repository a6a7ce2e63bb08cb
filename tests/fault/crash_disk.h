/*
 * A disk in memory that loses power: the whole of `struct os` over files that keep two contents,
 * what was written and what is on the medium.
 *
 *   sync()      the file's content and size reach the medium
 *   sync_dir()  the names in that directory (created, renamed, removed) reach the medium
 *   all else    reaches it when crash_disk_cut() says so
 *
 * Flat: a directory is a prefix of names. The clock advances by 1 us a call; random numbers come
 * from the seed; "/proc/sys/kernel/random/boot_id" changes with every cut. Single-threaded.
 */
#ifndef HEADGATE_TESTS_CRASH_DISK_H
#define HEADGATE_TESTS_CRASH_DISK_H

#include "base/os.h"

enum crash_mode {
    CRASH_KILL,  /* the process died: everything written is there */
    CRASH_DROP,  /* power cut: nothing that was not synced is there */
    CRASH_TEAR,  /* power cut: of what was not synced, any 512-byte sectors are there, and the
                    first few of the changes of names */
};

struct crash_disk;

struct crash_disk *crash_disk_new(uint64_t seed);
void crash_disk_free(struct crash_disk *disk);
const struct os *crash_disk_os(struct crash_disk *disk);

/* After `count` more calls that change something, every such call fails with EIO. */
void crash_disk_stop_after(struct crash_disk *disk, uint64_t count);

/* Calls that changed something, since the beginning. */
uint64_t crash_disk_changes(const struct crash_disk *disk);

/* A device that lies: sync, or sync_dir, succeeds and brings nothing to the medium. */
enum crash_lie { CRASH_LIE_NONE, CRASH_LIE_SYNC, CRASH_LIE_SYNC_DIR };
void crash_disk_lie(struct crash_disk *disk, enum crash_lie lie);

/* Lets time pass. */
void crash_disk_advance(struct crash_disk *disk, int64_t us);

/* Sets the wall clock, that much ahead of the monotonic one, and whether NTP keeps it. At first it is
 * not ahead, and kept. */
void crash_disk_set_clock(struct crash_disk *disk, int64_t ahead_us, bool is_synchronised);

/* What a stop leaves; all descriptors are closed, locks are free, calls work again. */
void crash_disk_cut(struct crash_disk *disk, enum crash_mode mode);

/* Bytes of files there may be; allocate and pwrite fail with ENOSPC above it. 0: no limit. */
void crash_disk_set_space(struct crash_disk *disk, uint64_t bytes);

/* The content as written, to be looked at or damaged by the test; NULL when there is none. */
struct buf *crash_disk_file(struct crash_disk *disk, const char *path);

/* Puts a file there, on the medium. */
void crash_disk_put(struct crash_disk *disk, const char *path, struct bytes content);

#endif
