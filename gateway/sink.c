/*
 * From a declaration to something that rows can be pushed to. Folders, all below data_dir:
 *
 *   sinks/NAME/         backlog and dead letters of the outbox
 *   DRIVER/NAME/        what the driver keeps
 *   streams/NAME/       what a function emits
 */
#include "sink.h"

#include "base/log.h"
#include "base/mem.h"
#include "worker/protocol.h"

#include <stdlib.h>

/* The driver's ways to append to the stream of its instance: on the outbox's thread. */
static bool
emit(const struct driver_env *env, unsigned hops, struct bytes topic, struct bytes payload,
     struct diag_list *diags)
{
    struct sink *sink = env->emit_context;
    bool appended = stream_log_emit(sink->log, hops, topic, payload, diags);
    if (appended) {
        sink->context->wake(sink->context->wake_context);
    }
    return appended;
}

static bool
append(const struct driver_env *env, const struct sink_record *record, struct diag_list *diags)
{
    struct sink *sink = env->emit_context;
    bool appended = stream_log_append(sink->log, record, diags);
    if (appended) {
        sink->context->wake(sink->context->wake_context);
    }
    return appended;
}

static char *
folder_of(const struct sink_context *context, const char *kind, const char *name)
{
    struct buf path = {0};
    buf_printf(&path, "%s/%s/%s", context->data_dir, kind, name);
    return buf_take_string(&path);
}

/* What a handler may emit at the most has to fit, or its call would be made again for ever. */
static bool
open_stream(struct sink *sink, struct diag_list *diags)
{
    const struct sink_context *context = sink->context;
    free(sink->stream_dir);
    sink->stream_dir = folder_of(context, "streams", sink->name);
    struct stream_place place = context->stream_place(context->wake_context, sink->name);
    struct journal_options options = {
            .os = context->os,
            .dir = sink->stream_dir,
            .segment_bytes = context->segment_bytes,
            .record_max_bytes = WORKER_EMIT_MAX_BYTES + 2 * WORKER_TOPIC_MAX_BYTES,
            .sync = JOURNAL_SYNC_INTERVAL,
            .position_least = place.position,
    };
    if (!stream_log_open(&sink->log, &options, place.ids_from, diags)) {
        return false;
    }
    sink->stream = stream_log_journal(sink->log);
    return true;
}

static struct sink_setup *
setup_new(struct sink *sink)
{
    struct sink_setup *setup = mem_new(struct sink_setup);
    setup->older = sink->setup;
    sink->setup = setup;
    return setup;
}

static void
setup_free(struct sink_setup *setup)
{
    relation_fini(&setup->relation);
    ruleset_file_unref(setup->file);
    free(setup->folder);
    free(setup->fingerprint);
    free(setup);
}

static void
set_env(struct sink *sink)
{
    struct sink_setup *setup = sink->setup;
    setup->folder = folder_of(sink->context, setup->relation.driver->name, sink->name);
    setup->env = (struct driver_env){
            .os = sink->context->os,
            .name = sink->name,
            .data_dir = setup->folder,
            .paths = &sink->context->paths,
            .emit = sink->stream == NULL ? NULL : emit,
            .append = sink->stream == NULL ? NULL : append,
            .emit_context = sink,
    };
}

static struct outbox_options
outbox_options_of(const struct sink *sink)
{
    const struct sink_setup *setup = sink->setup;
    const struct sink_options *options = &setup->relation.sink;
    int64_t backlog_max = options->backlog_max;
    return (struct outbox_options){
            .os = sink->context->os,
            .name = sink->name,
            .dir = sink->dir,
            .driver = setup->relation.driver,
            .env = &setup->env,
            .driver_options = setup->relation.options,
            .declaration = &setup->relation.declaration,
            .limits = setup->relation.limits,
            .queue_max_bytes = (size_t)sink->context->queue_max_bytes,
            .retry_max_ms = options->retry_max_ms > 0 ? options->retry_max_ms
                                                      : sink->context->retry_max_ms,
            .attempts_max = (unsigned)options->retry_max_attempts,
            .backlog_max_bytes = (uint64_t)(backlog_max > 0 ? backlog_max
                                                            : sink->context->backlog_max_bytes),
            .drops_oldest = options->backlog_policy == BACKLOG_DROP_OLDEST,
            .drain_rate = options->drain_rate,
            .dead_max_bytes = (uint64_t)options->dead_max,
            .failures = sink->context->failures,
            .is_stepped = sink->context->is_stepped,
    };
}

static bool
open_outbox(struct sink *sink, const struct outbox_mark *mark, struct diag_list *diags)
{
    sink->dir = folder_of(sink->context, "sinks", sink->name);
    struct outbox_options options = outbox_options_of(sink);
    if (mark != NULL) {
        options.mark = *mark;
    }
    return outbox_open(&sink->outbox, &options, diags);
}

static struct sink *
sink_new(const struct sink_context *context, struct bytes name)
{
    struct sink *sink = mem_new(struct sink);
    sink->context = context;
    sink->name = bytes_to_string(name);
    return sink;
}

static char *
fingerprint_of(const struct rule_relation *declared)
{
    struct buf fingerprint = {0};
    relation_fingerprint(declared, &fingerprint);
    return buf_take_string(&fingerprint);
}

/* Linking has checked the declaration, so this cannot fail. */
static void
adopt_declaration(struct sink *sink, const struct ruleset_relation *declared)
{
    struct sink_setup *setup = setup_new(sink);
    struct diag_list diags = {0};
    bool valid = relation_init(&setup->relation, declared->declared, &diags);
    check(valid && "was checked when linking");
    diag_list_fini(&diags);
    setup->fingerprint = fingerprint_of(declared->declared);
    setup->file = ruleset_file_ref(declared->file);
    set_env(sink);
}

bool
sink_open(struct sink **out, const struct sink_context *context,
          const struct ruleset_relation *declared, const struct outbox_mark *mark,
          struct diag_list *diags)
{
    struct sink *sink = sink_new(context, relation_sink_name(declared->declared));
    bool opened = sink_prepare(sink, declared->declared, diags);
    if (opened) {
        adopt_declaration(sink, declared);
        opened = open_outbox(sink, mark, diags);
    }
    if (!opened) {
        sink_close(sink, 0);
        return false;
    }
    *out = sink;
    return true;
}

bool
sink_open_builtin(struct sink **out, const struct sink_context *context, const char *name,
                  const struct driver *driver, const struct outbox_mark *mark,
                  struct diag_list *diags)
{
    struct sink *sink = sink_new(context, bytes_of_string(name));
    relation_init_default(&setup_new(sink)->relation, driver);
    set_env(sink);
    if (!open_outbox(sink, mark, diags)) {
        sink_close(sink, 0);
        return false;
    }
    *out = sink;
    return true;
}

bool
sink_is_current(const struct sink *sink, const struct ruleset_relation *declared)
{
    char *fingerprint = fingerprint_of(declared->declared);
    bool same = strcmp(fingerprint, sink->setup->fingerprint) == 0;
    free(fingerprint);
    return same;
}

static bool
needs_stream(const struct rule_relation *declared)
{
    const struct driver *driver = driver_find(declared->connector);
    return declared->kind == RULE_FUNCTION || (driver != NULL && driver->has_stream);
}

bool
sink_prepare(struct sink *sink, const struct rule_relation *declared, struct diag_list *diags)
{
    return !needs_stream(declared) || sink->stream != NULL || open_stream(sink, diags);
}

void
sink_reconfigure(struct sink *sink, const struct ruleset_relation *declared)
{
    check(!needs_stream(declared->declared) || sink->stream != NULL);
    adopt_declaration(sink, declared);
    struct outbox_options options = outbox_options_of(sink);
    outbox_reconfigure(sink->outbox, &options);
}

void
sink_retry(struct sink *sink)
{
    struct outbox_stats stats;
    outbox_stats(sink->outbox, &stats);
    if (stats.state == OUTBOX_FAILED) {
        struct outbox_options options = outbox_options_of(sink);
        outbox_reconfigure(sink->outbox, &options);
    }
}

void
sink_settle(struct sink *sink)
{
    if (sink->setup->older == NULL || !outbox_is_settled(sink->outbox)) {
        return;
    }
    while (sink->setup->older != NULL) {
        struct sink_setup *older = sink->setup->older;
        sink->setup->older = older->older;
        setup_free(older);
    }
}

void
sink_close(struct sink *sink, int grace_ms)
{
    if (sink == NULL) {
        return;
    }
    outbox_close(sink->outbox, grace_ms);
    stream_log_close(sink->log);
    while (sink->setup != NULL) {
        struct sink_setup *older = sink->setup->older;
        setup_free(sink->setup);
        sink->setup = older;
    }
    free(sink->stream_dir);
    free(sink->dir);
    free(sink->name);
    free(sink);
}
