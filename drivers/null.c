/*
 * null: takes every record and forgets it. The template for a new driver.
 *
 * A sink for measuring the path before it, and the shortest complete driver: options as a table,
 * an instance on the heap, a verdict for each record, a counter that health shows.
 */
#define _GNU_SOURCE
#include "driver.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct null_options {
    int64_t delay_ms;
};

struct null_sink {
    const struct null_options *options;
    _Atomic uint64_t taken; /* written by the sink's thread, read by health */
};

static bool
null_open(void **out_instance, const struct driver_env *env, const void *options,
          const struct driver_declaration *declaration, struct diag_list *diags)
{
    struct null_sink *sink = mem_new(struct null_sink);
    sink->options = options;
    *out_instance = sink;
    return true;
}

static void
null_close(void *instance)
{
    free(instance);
}

static void
null_write(void *instance, struct batch *batch)
{
    struct null_sink *sink = instance;
    usleep((useconds_t)(sink->options->delay_ms * 1000));
    for (size_t i = 0; i < batch->count; i++) {
        batch->outcomes[i].verdict = VERDICT_DONE;
    }
    atomic_fetch_add(&sink->taken, batch->count);
}

static void
null_health(void *instance, struct health *out)
{
    struct null_sink *sink = instance;
    out->state = HEALTH_OK;
    snprintf(out->sentence, sizeof out->sentence, "%" PRIu64 " records taken",
             atomic_load(&sink->taken));
}

static const struct option null_options[] = {
        {.name = "delay", .type = OPTION_DURATION, .offset = offsetof(struct null_options, delay_ms),
         .fallback = "0ms", .min = 0, .max = 60000,
         .doc = "How long each write takes, to imitate a slow sink."},
};

const struct driver driver_null = {
        .name = "null",
        .summary = "takes every record and forgets it; for measuring and as a template",
        .options = {null_options, sizeof null_options / sizeof *null_options},
        .options_size = sizeof(struct null_options),
        .limits = {.records_max = 1000, .bytes_max = 1 << 20, .linger_ms = 0, .timeout_ms = 10000},
        .open = null_open,
        .close = null_close,
        .write = null_write,
        .health = null_health,
};
