/*
 * Collects first and writes then: a family's samples stand together, so each family walks over all
 * rules or sinks. Sinks are looked at once, so that a sink's numbers fit each other.
 */
#define _GNU_SOURCE
#include "metrics.h"

#include "gateway.h"
#include "ledger.h"
#include "metrics_process.h"
#include "metrics_text.h"
#include "store/examine.h"

#include "base/mem.h"

#include <stdlib.h>

struct sink_view {
    struct bytes name, driver;
    struct outbox_stats stats;
    uint64_t dead_bytes;
};

static uint64_t
load(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static struct metric_labels
label(struct bytes first)
{
    return (struct metric_labels){{first}};
}

static struct metric_labels
labels_of(struct bytes first, const char *second)
{
    return (struct metric_labels){{first, bytes_of_string(second)}};
}

/* ---- the ledger ---- */

static void
write_alarm(void *context, const struct ledger_alarm *alarm)
{
    struct metric_labels labels = {
            {bytes_of_string(ledger_kind_name(alarm->kind)), bytes_of_string(alarm->name)}};
    metric_signed(context, METRIC_DIFFERENCE, &labels, alarm->difference);
}

static void
write_ledger(struct gateway *gateway, struct buf *out)
{
    struct ledger *ledger = engine_ledger(gateway->engine);
    struct ledger_stats stats;
    ledger_stats(ledger, &stats);
    metric_only(out, METRIC_UNEXPLAINED, stats.unexplained);
    metric_begin(out, METRIC_DIFFERENCE);
    ledger_each_alarm(ledger, write_alarm, out);
    metric_only(out, METRIC_LEDGER_CHECKS, stats.checks);
    metric_only(out, METRIC_LEDGER_ALARMS, stats.alarms);
}

/* ---- receiving, and the journal ---- */

static void
write_broker(const struct ingest_stats *stats, struct buf *out)
{
    const struct {
        const char *state;
        unsigned count;
    } filters[] = {{"wanted", stats->filters_wanted},
                   {"active", stats->filters_active},
                   {"refused", stats->filters_refused}};
    metric_only(out, METRIC_CONNECTED, stats->is_running && stats->state >= INGEST_SUBSCRIBING);
    metric_only(out, METRIC_CONNECTS, stats->connects);
    metric_only(out, METRIC_SESSIONS_LOST, stats->sessions_lost);
    metric_only(out, METRIC_CANARIES_LOST, stats->canaries_lost);
    metric_only_seconds(out, METRIC_CANARY_SECONDS, stats->canary_us);
    metric_begin(out, METRIC_FILTERS);
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        struct metric_labels labels = label(bytes_of_string(filters[i].state));
        metric_count(out, METRIC_FILTERS, &labels, filters[i].count);
    }
}

static void
write_ingest(const struct ingest_stats *stats, struct buf *out)
{
    const struct {
        const char *reason;
        uint64_t count;
    } not_kept[] = {{"too_large", stats->dropped_too_large},
                    {"bad_topic", stats->dropped_bad_topic},
                    {"no_room", stats->dropped_no_room},
                    {"surplus_copy", stats->surplus_copies},
                    {"redelivered", stats->redelivered},
                    {"interrupted", stats->interrupted}};
    metric_only(out, METRIC_RECEIVED, stats->received);
    metric_only(out, METRIC_RECEIVED_BYTES, stats->received_bytes);
    metric_only(out, METRIC_ACCEPTED, stats->accepted);
    metric_begin(out, METRIC_NOT_KEPT);
    for (size_t i = 0; i < sizeof not_kept / sizeof *not_kept; i++) {
        struct metric_labels labels = label(bytes_of_string(not_kept[i].reason));
        metric_count(out, METRIC_NOT_KEPT, &labels, not_kept[i].count);
    }
    metric_only(out, METRIC_HELD, stats->held);
    metric_only(out, METRIC_APPEND_FAILURES, stats->append_failures);
    metric_only(out, METRIC_INGEST_RESTARTS, stats->restarts);
}

static void
write_journal(struct gateway *gateway, const struct ingest_stats *stats, struct buf *out)
{
    const char *dir = ingest_journal_dir(gateway->ingest);
    struct journal_extent extent = {0};
    struct diag_list diags = {0};
    (void)!journal_extent(&os_posix, dir, &extent, &diags); /* then it says 0; status says why */
    diag_list_fini(&diags);
    metric_only(out, METRIC_GIVEN_UP, stats->dropped_oldest);
    metric_only(out, METRIC_JOURNAL_BYTES, extent.bytes);
    metric_only(out, METRIC_JOURNAL_SEGMENTS, extent.segments);
    metric_only(out, METRIC_JOURNAL_FIRST, extent.first);
    metric_only(out, METRIC_JOURNAL_END, ingest_tail(gateway->ingest));
    metric_only(out, METRIC_JOURNAL_SYNCED, stats->synced);
    metric_only(out, METRIC_SYNCS, stats->syncs);
    metric_only(out, METRIC_SYNC_FAILURES, stats->sync_failures);
    metric_only(out, METRIC_QUARANTINED, journal_quarantined(&os_posix, dir));
}

/* ---- the engine ---- */

static void
write_position(void *context, const char *stream, uint64_t position, uint64_t end)
{
    struct metric_labels labels = label(bytes_of_string(stream));
    metric_count(context, METRIC_POSITION, &labels, position);
}

static void
write_lag(void *context, const char *stream, uint64_t position, uint64_t end)
{
    struct metric_labels labels = label(bytes_of_string(stream));
    metric_count(context, METRIC_LAG, &labels, end > position ? end - position : 0);
}

static void
write_engine(struct gateway *gateway, struct buf *out)
{
    struct engine_stats stats;
    engine_stats(gateway->engine, &stats);
    int64_t since_us =
            stats.checkpoint_at_us == 0 ? gateway->started_us : stats.checkpoint_at_us;
    metric_begin(out, METRIC_POSITION);
    engine_each_reader(gateway->engine, write_position, out);
    metric_begin(out, METRIC_LAG);
    engine_each_reader(gateway->engine, write_lag, out);
    metric_only(out, METRIC_RECORDS, stats.records);
    metric_only(out, METRIC_GAPS, stats.gaps);
    metric_only(out, METRIC_NO_RULE, stats.rules_not_found);
    metric_only(out, METRIC_CLOCK_STEPS, stats.clock_steps);
    metric_only(out, METRIC_CLOCK_BELIEVED, stats.is_clock_believed);
    metric_only(out, METRIC_CHECKPOINTS, stats.checkpoints);
    metric_only(out, METRIC_CHECKPOINT_FAILURES, stats.checkpoint_failures);
    metric_only_seconds(out, METRIC_CHECKPOINT_SECONDS, stats.checkpoint_us);
    metric_only_seconds(out, METRIC_CHECKPOINT_AGE, os_posix.mono_us(&os_posix) - since_us);
    metric_only(out, METRIC_CHECKPOINT_DUE, stats.is_checkpoint_due);
}

/* ---- rules ---- */

/* A counter of rules under up to two labels. */
struct rule_metric {
    const char *label; /* NULL: the rule's name is the only one */
    size_t offset;     /* of an _Atomic uint64_t in struct rule_counters */
    bool of_topic_sql, of_stream_sql;
};

#define AT(member) offsetof(struct rule_counters, member)

static void
write_rule_family(const struct ruleset *ruleset, enum metric metric,
                  const struct rule_metric *table, size_t count, struct buf *out)
{
    metric_begin(out, metric);
    for (size_t i = 0; i < ruleset->rule_count; i++) {
        const struct ruleset_rule *rule = &ruleset->rules[i];
        for (size_t j = 0; j < count; j++) {
            bool is_shown = rule->program == NULL ? table[j].of_topic_sql : table[j].of_stream_sql;
            if (is_shown) {
                const char *counters = (const char *)rule->counters;
                struct metric_labels labels = labels_of(rule->info->name, "");
                if (table[j].label != NULL) {
                    labels.values[1] = bytes_of_string(table[j].label);
                }
                metric_count(out, metric, &labels,
                             load((const _Atomic uint64_t *)(const void *)(counters +
                                                                            table[j].offset)));
            }
        }
    }
}

static void
write_rules(const struct ruleset *ruleset, struct buf *out)
{
    static const struct rule_metric messages[] = {{NULL, AT(messages), true, true}},
                                    rows[] = {{NULL, AT(rows), true, true}},
                                    error_rows[] = {{NULL, AT(error_rows), true, true}},
                                    state[] = {{NULL, AT(stream.state_bytes), false, true}};
    static const struct rule_metric outcomes[] = {
            {"matched", AT(matched), true, false},
            {"filtered", AT(filtered), true, false},
            {"undefined", AT(undefined), true, false},
            {"failed", AT(failed), true, false},
            {"used", AT(stream.used), false, true},
            {"rejected", AT(stream.rejected), false, true},
            {"turned_away", AT(stream.turned_away), false, true},
    };
    static const struct rule_metric rejected[] = {
            {"bad", AT(stream.bad), false, true},
            {"null_rowtime", AT(stream.null_rowtime), false, true},
            {"future", AT(stream.future), false, true},
            {"late", AT(stream.late), false, true},
            {"no_window", AT(stream.no_window), false, true},
            {"refused", AT(stream.refused), false, true},
            {"failed", AT(failed), false, true},
    };
    write_rule_family(ruleset, METRIC_RULE_MESSAGES, messages, 1, out);
    write_rule_family(ruleset, METRIC_RULE_OUTCOMES, outcomes,
                      sizeof outcomes / sizeof *outcomes, out);
    write_rule_family(ruleset, METRIC_RULE_ROWS, rows, 1, out);
    write_rule_family(ruleset, METRIC_RULE_ERROR_ROWS, error_rows, 1, out);
    write_rule_family(ruleset, METRIC_RULE_REJECTED, rejected,
                      sizeof rejected / sizeof *rejected, out);
    write_rule_family(ruleset, METRIC_RULE_STATE, state, 1, out);
}

/* ---- sinks ---- */

/* What a sink counts of each rule, written in three families. */
struct action_writer {
    struct buf *out;
    struct bytes sink;
    enum metric metric;
};

static void
write_tally(void *context, const struct tally *tally)
{
    const struct action_writer *writer = context;
    struct metric_labels labels = {{bytes_of_string(tally->rule), writer->sink}};
    if (writer->metric == METRIC_ACTION_IN) {
        metric_count(writer->out, writer->metric, &labels, tally->pushed + tally->error_pushed);
        return;
    }
    if (writer->metric == METRIC_ACTION_WAITING) {
        metric_signed(writer->out, writer->metric, &labels, tally_waiting(tally));
        return;
    }
    labels.values[2] = BYTES("delivered");
    metric_count(writer->out, writer->metric, &labels,
                 tally->delivered + tally->error_delivered);
    labels.values[2] = BYTES("rejected");
    metric_count(writer->out, writer->metric, &labels, tally->rejected + tally->error_rejected);
    labels.values[2] = BYTES("dropped");
    metric_count(writer->out, writer->metric, &labels, tally->dropped);
}

static void
write_actions(const struct gateway *gateway, struct buf *out)
{
    static const enum metric families[] = {METRIC_ACTION_IN, METRIC_ACTION_OUT,
                                           METRIC_ACTION_WAITING};
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        metric_begin(out, families[f]);
        for (size_t i = 0; i < gateway->sink_count; i++) {
            struct action_writer writer = {out, bytes_of_string(gateway->sinks[i]->name),
                                           families[f]};
            struct outbox_stats stats;
            struct tally total;
            outbox_audit(gateway->sinks[i]->outbox, &stats, &total, write_tally, &writer);
        }
    }
}

static void
look_at_sink(const struct sink *sink, struct sink_view *out)
{
    struct journal_extent extent = {0};
    struct diag_list diags = {0};
    struct buf dir = {0};
    outbox_stats(sink->outbox, &out->stats);
    out->name = bytes_of_string(sink->name);
    out->driver = bytes_of_string(sink->setup->relation.driver->name);
    buf_printf(&dir, "%s/dead", sink->dir);
    (void)!journal_extent(&os_posix, buf_string(&dir), &extent, &diags); /* no folder: none */
    out->dead_bytes = extent.bytes;
    buf_fini(&dir);
    diag_list_fini(&diags);
}

/* A number of sinks under up to one more label. */
struct sink_metric {
    const char *label; /* NULL: the sink's name is the only one */
    size_t offset;     /* of a uint64_t in struct sink_view */
};

static void
write_sink_family(const struct sink_view *views, size_t view_count, enum metric metric,
                  const struct sink_metric *table, size_t count, struct buf *out)
{
    metric_begin(out, metric);
    for (size_t i = 0; i < view_count; i++) {
        for (size_t j = 0; j < count; j++) {
            uint64_t value;
            struct metric_labels labels =
                    labels_of(views[i].name, table[j].label == NULL ? "" : table[j].label);
            memcpy(&value, (const char *)&views[i] + table[j].offset, sizeof value);
            metric_count(out, metric, &labels, value);
        }
    }
}

#define IN_VIEW(member) offsetof(struct sink_view, member)
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

static void
write_sink_counts(const struct sink_view *views, size_t count, struct buf *out)
{
    static const struct sink_metric in[] = {
            {"rules", IN_VIEW(stats.pushed)},
            {"backlog", IN_VIEW(stats.restored)},
            {"dead_letters", IN_VIEW(stats.resubmitted)},
    };
    static const struct sink_metric left[] = {
            {"delivered", IN_VIEW(stats.delivered)}, {"rejected", IN_VIEW(stats.rejected)},
            {"dropped", IN_VIEW(stats.dropped)},     {"given_up", IN_VIEW(stats.given_up)},
            {"lost", IN_VIEW(stats.lost)},
    };
    static const struct sink_metric records[] = {{"memory", IN_VIEW(stats.queued_records)},
                                                 {"disk", IN_VIEW(stats.backlog_records)}};
    static const struct sink_metric bytes[] = {{"memory", IN_VIEW(stats.queued_bytes)},
                                               {"disk", IN_VIEW(stats.backlog_bytes)}};
    write_sink_family(views, count, METRIC_SINK_IN, in, COUNT_OF(in), out);
    write_sink_family(views, count, METRIC_SINK_OUT, left, COUNT_OF(left), out);
    write_sink_family(views, count, METRIC_SINK_QUEUED, records, COUNT_OF(records), out);
    write_sink_family(views, count, METRIC_SINK_BYTES, bytes, COUNT_OF(bytes), out);
}

static void
write_sink_states(const struct sink_view *views, size_t count, struct buf *out)
{
    metric_begin(out, METRIC_SINK_AGE);
    for (size_t i = 0; i < count; i++) {
        struct metric_labels labels = label(views[i].name);
        metric_seconds(out, METRIC_SINK_AGE, &labels, views[i].stats.oldest_age_us);
    }
    metric_begin(out, METRIC_SINK_STATE);
    for (size_t i = 0; i < count; i++) {
        struct metric_labels labels = {
                {views[i].name, views[i].driver,
                 bytes_of_string(outbox_state_name(views[i].stats.state))}};
        metric_count(out, METRIC_SINK_STATE, &labels, 1);
    }
    metric_begin(out, METRIC_SINK_FULL);
    for (size_t i = 0; i < count; i++) {
        struct metric_labels labels = label(views[i].name);
        metric_count(out, METRIC_SINK_FULL, &labels, views[i].stats.is_full);
    }
    metric_begin(out, METRIC_SINK_HELD_UP);
    for (size_t i = 0; i < count; i++) {
        struct metric_labels labels = label(views[i].name);
        metric_count(out, METRIC_SINK_HELD_UP, &labels, views[i].stats.held_up_since_us != 0);
    }
}

static void
write_absent(void *context, struct bytes name, uint64_t records)
{
    struct metric_labels labels = label(name);
    metric_count(context, METRIC_ABSENT, &labels, records);
}

static void
write_sinks(struct gateway *gateway, struct buf *out)
{
    static const struct {
        enum metric metric;
        struct sink_metric value;
    } singles[] = {
            {METRIC_SINK_BATCHES, {NULL, IN_VIEW(stats.batches)}},
            {METRIC_SINK_RETRIES, {NULL, IN_VIEW(stats.retried)}},
            {METRIC_SINK_PARKED, {NULL, IN_VIEW(stats.parked)}},
            {METRIC_SINK_OVERRUNS, {NULL, IN_VIEW(stats.overruns)}},
            {METRIC_DEAD_BYTES, {NULL, IN_VIEW(dead_bytes)}},
            {METRIC_DEAD_DROPPED, {NULL, IN_VIEW(stats.dead_dropped)}},
    };
    size_t count = gateway->sink_count;
    struct sink_view *views = mem_new_array(struct sink_view, count);
    for (size_t i = 0; i < count; i++) {
        look_at_sink(gateway->sinks[i], &views[i]);
    }
    write_actions(gateway, out);
    write_sink_counts(views, count, out);
    write_sink_states(views, count, out);
    for (size_t i = 0; i < COUNT_OF(singles); i++) {
        write_sink_family(views, count, singles[i].metric, &singles[i].value, 1, out);
    }
    metric_begin(out, METRIC_ABSENT);
    engine_each_absent_sink(gateway->engine, write_absent, out);
    free(views);
}

/* ---- all ---- */

void
gateway_metrics(struct gateway *gateway, struct buf *out)
{
    struct metric_labels version = label(BYTES(HEADGATE_VERSION));
    struct ingest_stats stats;
    ingest_stats(gateway->ingest, &stats);
    metric_begin(out, METRIC_BUILD);
    metric_count(out, METRIC_BUILD, &version, 1);
    write_ledger(gateway, out);
    write_broker(&stats, out);
    write_ingest(&stats, out);
    write_journal(gateway, &stats, out);
    write_engine(gateway, out);
    pthread_mutex_lock(&gateway->lock);
    write_rules(gateway->ruleset, out);
    write_sinks(gateway, out);
    metric_only(out, METRIC_FILES, gateway->report.files);
    metric_only(out, METRIC_BROKEN, gateway->report.broken);
    metric_only(out, METRIC_RELOADS, gateway->reloads);
    pthread_mutex_unlock(&gateway->lock);
    metrics_process(out);
}

static void
add_reason(void *context, const struct ledger_alarm *alarm)
{
    buf_printf(context, "the ledger of %s '%s' does not balance: %s\n",
               ledger_kind_name(alarm->kind), alarm->name, alarm->text);
}

bool
gateway_health(struct gateway *gateway, struct buf *out)
{
    struct ingest_stats stats;
    size_t before = out->size;
    ingest_stats(gateway->ingest, &stats);
    if (!stats.is_running || stats.state < INGEST_SUBSCRIBING) {
        buf_printf(out, "the broker is not connected%s%s\n", stats.reason[0] == '\0' ? "" : ": ",
                   stats.reason);
    } else if (stats.state == INGEST_BLOCKED) {
        buf_append_string(out, "the journal cannot be written\n");
    }
    ledger_each_alarm(engine_ledger(gateway->engine), add_reason, out);
    bool is_well = out->size == before;
    if (is_well) {
        buf_append_string(out, "ok\n");
    }
    return is_well;
}
