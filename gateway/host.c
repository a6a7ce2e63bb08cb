#include "host.h"

static const struct zone *
zone_by_name(void *context, struct bytes name)
{
    struct host *host = context;
    return zone_cache_find(&host->zones, name);
}

void
host_init(struct host *host, const struct os *os)
{
    *host = (struct host){.rule = {.zone = zone_by_name, .context = host}};
    zone_cache_init(&host->zones, os, ZONE_FOLDER);
}

void
host_fini(struct host *host)
{
    zone_cache_fini(&host->zones);
}
