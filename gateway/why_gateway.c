/* Gathers under the gateway's lock, so that the generation stays; the engine waits for nothing. */
#include "why_gateway.h"

#include "why.h"
#include "why_rules.h"

#include "drivers/mqtt.h"

/* ---- parts of the document ---- */

static struct why_gateway
describe_gateway(struct gateway *gateway, const struct rule_info *info,
                 const struct ingest_stats *stats, struct arena *arena)
{
    bool is_refused = stats->filters_refused > 0 &&
                      bytes_equal_string(info->source, stats->refused_filter);
    struct why_gateway out = {
            .is_connected = stats->is_running && stats->state >= INGEST_SUBSCRIBING,
            .uptime_s = (os_posix.mono_us(&os_posix) - gateway->started_us) / 1000000,
            .is_refused = is_refused,
            .is_subscribed = stats->state == INGEST_READY,
            .broker = stats->reason[0] != '\0' ? bytes_of_string(stats->reason)
                                               : BYTES("waiting for the broker"),
    };
    if (stats->filters_refused > 0) {
        out.broker = arena_printf(arena, "%u of the filters are refused, among them '%s'",
                                  stats->filters_refused, stats->refused_filter);
        out.refusal = arena_printf(arena, "%s, reason code %u",
                                   mqtt_describe_code(stats->refused_code), stats->refused_code);
    } else if (out.is_connected) {
        out.broker = BYTES("subscribing");
    }
    return out;
}

static struct why_target
describe_target(const struct gateway *gateway, const struct rule_target *declared,
                const struct ruleset_target *target, struct arena *arena)
{
    const struct sink *sink =
            target->relation == NULL ? gateway->topic_sink : target->relation->sink;
    struct outbox_stats stats;
    outbox_stats(sink->outbox, &stats);
    struct buf held_up = {0};
    outbox_print_held_up(&stats, &held_up);
    struct why_target out = {
            .name = declared->text,
            .is_topic = target->relation == NULL,
            .driver = bytes_of_string(sink->setup->relation.driver->name),
            .state = bytes_of_string(outbox_state_name(stats.state)),
            .last_error = arena_copy(arena, bytes_of_string(stats.last_error)),
            .queued = stats.queued_records + stats.backlog_records,
            .delivered = stats.delivered,
            .rejected = stats.rejected,
            .held_up = arena_copy(arena, buf_bytes(&held_up)),
            .lost = stats.lost,
    };
    buf_fini(&held_up);
    return out;
}

static uint64_t
read_counter(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static struct why_counts
counts_of(const struct ruleset_rule *rule)
{
    const struct rule_counters *counters = rule->counters;
    const struct rule_stream_counters *stream = &counters->stream;
    return (struct why_counts){
            .is_stream = rule->program != NULL,
            .unusable = read_counter(&stream->bad) + read_counter(&stream->null_rowtime) +
                        read_counter(&stream->future),
            .late = read_counter(&stream->late),
            .refused = read_counter(&stream->refused),
            .messages = read_counter(&counters->messages),
            .matched = read_counter(&counters->matched),
            .rows = read_counter(&counters->rows),
            .not_json = read_counter(&counters->not_json),
    };
}

static void
write_rule(struct gateway *gateway, const struct ruleset_rule *rule,
           const struct ingest_stats *ingest, struct arena *arena, struct buf *out)
{
    const struct rule_info *info = rule->info;
    struct explain_report report;
    engine_explain(gateway->engine, rule, arena, &report);
    struct why_gateway running = describe_gateway(gateway, info, ingest, arena);
    struct why_target *targets = arena_new_array(arena, struct why_target, info->target_count);
    for (size_t i = 0; i < info->target_count; i++) {
        targets[i] = describe_target(gateway, &info->targets[i], &rule->targets[i], arena);
    }
    struct bytes path = bytes_of_string(rule->path);
    struct why_subject subject = {
            .info = info,
            .path = path,
            .errors = why_errors_of(bytes_of_string(gateway->report_text), path, arena),
            .counts = counts_of(rule),
            .report = &report,
            .now_us = os_posix.wall_us(&os_posix),
            .targets = targets,
            .target_count = info->target_count,
            .gateway = &running,
    };
    subject.topics = engine_recent_topics(gateway->engine, arena, &subject.topic_count);
    why_write(&subject, arena, out);
}

void
gateway_why(struct gateway *gateway, struct bytes name, struct buf *out)
{
    struct arena arena = {0};
    struct ingest_stats ingest;
    ingest_stats(gateway->ingest, &ingest);
    pthread_mutex_lock(&gateway->lock);
    const struct ruleset_rule *rule = why_find_rule(gateway->ruleset, name);
    if (rule == NULL) {
        why_write_no_rule(gateway->ruleset, name, gateway->config->rules_dir,
                          bytes_of_string(gateway->report_text), &arena, out);
    } else {
        write_rule(gateway, rule, &ingest, &arena, out);
    }
    pthread_mutex_unlock(&gateway->lock);
    arena_fini(&arena);
}
