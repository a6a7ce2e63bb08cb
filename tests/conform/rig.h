/*
 * Opens a driver as the gateway does, and hands it batches the way the outbox does, but meaner:
 * every byte of a batch lies in one heap block that is overwritten and freed when write returns.
 */
#ifndef HEADGATE_TESTS_RIG_H
#define HEADGATE_TESTS_RIG_H

#include "driver.h"

/* Options as name, value, name, value, NULL. */
struct rig_setup {
    const char *driver;
    const char *name;           /* of the instance; NULL: "rig" */
    const char *const *options; /* may be NULL */
    const char *source;         /* CREATE FUNCTION ... AS 'source'; NULL: none */
    const char *handlers_dir;
    const char *executable;
};

struct rig {
    const struct driver *driver;
    void *options;
    struct driver_env env;
    struct gateway_paths paths;
    struct driver_declaration declaration;
    char dir[64]; /* holds data_dir; removed by rig_close */
    char *data_dir;
    void *instance;
    struct diag_list diags;
    struct arena arena;      /* reasons of the last write */
    struct outcome *outcomes; /* of the last write */
    size_t count;
    uint64_t next_position;
    const char *params; /* of the action, of all records of the next write; NULL: none */
    struct buf emitted;    /* "topic payload\n" for each record emitted */
    bool emit_fails;
};

/* False leaves the reasons in rig->diags. rig_close() in either case. */
bool rig_open(struct rig *rig, const struct rig_setup *setup) MUST_CHECK;
void rig_close(struct rig *rig);

/* Records to write: `payloads`, ids counting up from rig->next_position. */
void rig_write(struct rig *rig, const struct bytes *payloads, size_t count, int64_t timeout_ms);
void rig_write_strings(struct rig *rig, const char *const *payloads, size_t count,
                       int64_t timeout_ms);

size_t rig_count(const struct rig *rig, enum verdict verdict);

/* The number of open descriptors of this process. */
size_t rig_descriptors(void);

/* rm -r. */
void rig_remove_tree(const char *path);

#endif
