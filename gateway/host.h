/*
 * What the gateway gives to rules that run in it: the other side of `struct rule_host`.
 *
 * Secrets, the inventory of devices and descriptors of protobuf are small local files; shadows and
 * items are in tables, which are asked through the engine. Nothing here waits for the network.
 *
 * A host belongs to the thread that runs rules with it: the engine has one, and so has each trial.
 */
#ifndef HEADGATE_HOST_H
#define HEADGATE_HOST_H

#include "base/json.h"
#include "base/zone_cache.h"
#include "rules/rule.h"

/* Where answers come from. What is NULL is not there: asking for it fails. Texts are borrowed. */
struct host_sources {
    const char *secrets_dir;     /* NULL or empty: $CREDENTIALS_DIRECTORY */
    bool hides_secrets;          /* "(secret)" instead: nothing is read, nothing can be shown */
    const char *registry_file;
    const char *descriptors_dir;
    const char *shadow_table;
    /* One item by its key, a JSON object; `*item` is empty when there is none. See driver.h. */
    bool (*lookup)(void *context, struct bytes table, struct bytes key, struct arena *arena,
                   struct bytes *item, struct diag_list *diags);
    /* What a handler answers to one argument; returns within HOST_CALL_MS. See driver.h. */
    bool (*call)(void *context, struct bytes function, struct bytes argument, struct arena *arena,
                 struct bytes *answer, struct diag_list *diags);
    void *context; /* of both */
};

/* A file that is read again when it has changed. */
struct host_registry {
    struct arena arena;
    struct json json;
    int64_t stamp; /* 0: not read */
};

struct host_descriptor;

struct host {
    struct rule_host rule; /* for rule_message.host */
    struct zone_cache zones;
    const struct os *os;
    struct host_sources sources;
    struct host_registry registry;
    struct host_descriptor *descriptors; /* read in the last quarter of an hour; a list */
};

enum { HOST_CALL_MS = 2000 };

/* `os` must live as long as the host. The host must not be moved: `rule` refers to it. */
void host_init(struct host *host, const struct os *os);
void host_fini(struct host *host);

/* Before this only zones are known, and everything else that is asked for fails. */
void host_set_sources(struct host *host, const struct host_sources *sources);

#endif
