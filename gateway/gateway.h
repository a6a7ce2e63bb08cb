/*
 * A running gateway: what `headgate run` is.
 *
 * The main thread owns configuration, rule files, sinks and child processes; the engine thread
 * runs rules; a control thread answers `headgate status`. `lock` guards what the control thread
 * reads while the main thread changes it.
 */
#ifndef HEADGATE_GATEWAY_H
#define HEADGATE_GATEWAY_H

#include "config.h"
#include "engine.h"
#include "ingest.h"
#include "ruleset.h"
#include "sink.h"

#include <pthread.h>

struct gateway {
    const struct config *config;
    int64_t started_us; /* monotonic */
    struct http_server *http; /* NULL: not wanted, or not to be had yet */
    int64_t http_again_ms;    /* monotonic: try to have it by then */
    int64_t audited_ms;   /* monotonic: when the main thread looked at the ledger */
    int64_t reload_at_ms; /* monotonic: load the rules again by then; 0: no need */
    struct sink_context context;
    struct ingest *ingest;
    struct engine *engine;

    pthread_mutex_t lock;
    struct ruleset *ruleset;
    struct ruleset_report report; /* of the newest load */
    char *report_text;            /* its errors and warnings, as printed */
    int64_t loaded_at_us;         /* wall clock */
    uint64_t reloads;
    struct sink **sinks;          /* also retired ones */
    size_t sink_count, sink_capacity;
    struct sink *topic_sink;      /* one of them */
};

/* Runs until a signal says stop; the exit code. */
int gateway_run(const struct config *config);


#endif
