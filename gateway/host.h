/*
 * What the gateway gives to rules that run in it: the other side of `struct rule_host`.
 *
 * A host belongs to the thread that runs rules with it: the engine has one, and so has each trial.
 */
#ifndef HEADGATE_HOST_H
#define HEADGATE_HOST_H

#include "base/zone_cache.h"
#include "rules/rule.h"

struct host {
    struct rule_host rule; /* for rule_message.host */
    struct zone_cache zones;
};

/* `os` must live as long as the host. The host must not be moved: `rule` refers to it. */
void host_init(struct host *host, const struct os *os);
void host_fini(struct host *host);

#endif
