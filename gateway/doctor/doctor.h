/*
 * What `headgate doctor` looks at, and with whose eyes.
 *
 * Every area is one file with one function: it reads the world, adds findings and facts to the
 * report, and changes nothing. The verb (cmd_doctor.c) makes the case: what the configuration and
 * the rule files name, and what a running gateway says of itself.
 *
 * Tests put a tree with etc/, proc/ and sys/ into a folder and give that as the world's root, and
 * functions of their own for what is no file.
 */
#ifndef HEADGATE_DOCTOR_DOCTOR_H
#define HEADGATE_DOCTOR_DOCTOR_H

#include "config.h"
#include "report.h"

#include <sys/stat.h>
#include <sys/types.h>

struct doctor_space {
    int64_t free_bytes; /* for who is not root */
    int64_t total_bytes;
    int64_t free_files; /* inodes */
    int64_t total_files; /* 0: the file system has no fixed number */
};

struct doctor_world {
    const char *root;   /* stands before every path; "" in production */
    int64_t wall_us;
    bool is_time_synchronised; /* the kernel's clock is disciplined */
    uid_t uid;          /* who looks */
    void *context;
    /* False with errno set. `path` is with the root. */
    bool (*space)(const struct doctor_world *world, const char *path, struct doctor_space *out);
    /* Appends what `mosquitto -h` prints; nothing where there is none. */
    void (*broker_help)(const struct doctor_world *world, struct buf *out);
};

/* The world we live in. */
void doctor_world_init(struct doctor_world *world);

/* A certificate, a key or both, and who names it. Texts are borrowed. */
struct doctor_credential {
    const char *owner;       /* "broker", "table 'up'" */
    const char *ca;          /* PEM files; NULL where none is named */
    const char *certificate;
    const char *key;
    bool is_brokers; /* mosquitto reads them, not the gateway */
};

/* A table whose rule file holds a password itself. Texts are borrowed. */
struct doctor_secret {
    const char *owner; /* "table 'up'" */
    const char *path;
};

/* What a running gateway says of itself; all 0 when none answers. */
struct doctor_gateway {
    bool runs;
    pid_t pid;
    int64_t uptime_s;
    int64_t received;       /* messages since its start */
    int64_t received_bytes; /* their payloads */
    int64_t journal_bytes;  /* on disk now */
};

struct doctor_case {
    const struct doctor_world *world;
    const struct config *config;
    const char *config_path;
    const char *broker_config; /* NULL: the usual place, if the broker is on this machine */
    struct bytes broker_host;
    unsigned broker_port;
    const struct doctor_credential *credentials;
    size_t credential_count;
    const struct doctor_secret *secrets;
    size_t secret_count;
    size_t sinks; /* that the rule files declare, the one for topics included */
    struct doctor_gateway gateway;
};

void doctor_broker(const struct doctor_case *subject, struct report *report);
void doctor_disk(const struct doctor_case *subject, struct report *report);
void doctor_card(const struct doctor_case *subject, struct report *report);
void doctor_clock(const struct doctor_case *subject, struct report *report);
void doctor_certificates(const struct doctor_case *subject, struct report *report);
void doctor_limits(const struct doctor_case *subject, struct report *report);
void doctor_access(const struct doctor_case *subject, struct report *report);

/* All of them, in this order. */
void doctor_examine(const struct doctor_case *subject, struct report *report);

/* ---- helpers of the areas ---- */

/* Whether the clock shows a time since this was written. */
bool doctor_is_clock_set(const struct doctor_world *world);

/* Reads a file below the root, at most 64 MiB of it; false with errno set. */
bool doctor_read(const struct doctor_world *world, const char *path, struct buf *out);

/* The mosquitto.conf to look at: the one that is named, or the usual place; `*is_here`: it is that of
 * the broker on this machine. NULL: the broker is another machine's, and none is named. */
const char *doctor_broker_config(const struct doctor_case *subject, bool *is_here);

/* stat() of a path below the root; false with errno set. */
bool doctor_stat(const struct doctor_world *world, const char *path, struct stat *out);

/* The number behind `name` in lines like "write_bytes: 4096" and "MemTotal:  8000 kB"; -1: none. */
int64_t doctor_field(struct bytes text, const char *name);

/* "1.5 GB", "24 MB", "900 bytes": powers of 1000. */
void doctor_append_size(struct buf *out, double bytes);

/* "8 seconds", "25 minutes", "3 hours", "12 days" */
void doctor_append_time(struct buf *out, double seconds);

/* ---- the device that a folder lies on (mount.c) ---- */

struct doctor_mount {
    struct bytes point;
    struct bytes type;    /* "ext4" */
    struct bytes options; /* of the mount and of the file system: "rw,noatime,rw,barrier=0" */
    struct bytes source;  /* "/dev/mmcblk0p2" */
    struct bytes disk;    /* "mmcblk0", without partition; empty: no block device */
};

/* The mount that holds `path`, an absolute one. Texts live in `arena`; false: none is known. */
bool doctor_mount_of(const struct doctor_world *world, const char *path, struct arena *arena,
                     struct doctor_mount *out);

/* Whether a comma-separated list of mount options has this one. */
bool doctor_has_option(struct bytes options, const char *option);

/* data_dir, or its nearest parent that is there. Heap; `*exists` tells which. */
char *doctor_data_dir(const struct doctor_case *subject, bool *exists);

#endif
