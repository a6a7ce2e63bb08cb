/*
 * Builds and prints the status document. The only file that uses cJSON: a document of counters is
 * what it is good for; payloads never pass through it (it holds numbers as doubles).
 */
#include "status.h"

#include "gateway.h"
#include "ledger.h"
#include "store/examine.h"

#include <cjson/cJSON.h>

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static uint64_t
load(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void
add_count(cJSON *object, const char *name, uint64_t value)
{
    cJSON_AddNumberToObject(object, name, (double)value);
}

static void
add_bytes(cJSON *object, const char *name, struct bytes text)
{
    char *string = bytes_to_string(text);
    cJSON_AddStringToObject(object, name, string);
    free(string);
}

/* ---- building ---- */

static const char *
ingest_state_name(enum ingest_state state)
{
    static const char *const names[] = {
            [INGEST_STARTING] = "starting",
            [INGEST_CONNECTING] = "waiting for the broker",
            [INGEST_SUBSCRIBING] = "subscribing",
            [INGEST_READY] = "ready",
            [INGEST_BLOCKED] = "blocked: the journal cannot be written",
    };
    return names[state];
}

static void
add_ingest(cJSON *root, struct gateway *gateway)
{
    struct ingest_stats stats;
    ingest_stats(gateway->ingest, &stats);
    cJSON *ingest = cJSON_AddObjectToObject(root, "ingest");
    bool connected = stats.is_running && stats.state >= INGEST_SUBSCRIBING;
    const char *protocol = stats.protocol == 5 ? "5" : stats.protocol == 4 ? "3.1.1" : "";
    cJSON_AddBoolToObject(ingest, "connected", connected);
    cJSON_AddStringToObject(ingest, "state", ingest_state_name(stats.state));
    cJSON_AddStringToObject(ingest, "protocol", protocol);
    add_bytes(ingest, "last_error", bytes_of_string(stats.reason));
    add_count(ingest, "received", stats.received);
    add_count(ingest, "received_bytes", stats.received_bytes);
    add_count(ingest, "accepted", stats.accepted);
    add_count(ingest, "duplicates", stats.duplicates_flagged);
    cJSON_AddBoolToObject(ingest, "knows_redelivered", stats.knows_redelivered);
    cJSON *dropped = cJSON_AddObjectToObject(ingest, "dropped");
    add_count(dropped, "too_large", stats.dropped_too_large);
    add_count(dropped, "bad_topic", stats.dropped_bad_topic);
    add_count(dropped, "oldest", stats.dropped_oldest);
    add_count(dropped, "no_room", stats.dropped_no_room);
    add_count(dropped, "surplus_copies", stats.surplus_copies);
    add_count(dropped, "redelivered", stats.redelivered);
    add_count(dropped, "interrupted", stats.interrupted);
    add_count(ingest, "append_failures", stats.append_failures);
    add_count(ingest, "held", stats.held);
    add_count(ingest, "syncs", stats.syncs);
    add_count(ingest, "sync_failures", stats.sync_failures);
    add_count(ingest, "connects", stats.connects);
    add_count(ingest, "sessions_lost", stats.sessions_lost);
    add_count(ingest, "canaries_lost", stats.canaries_lost);
    add_count(ingest, "canary_us", (uint64_t)stats.canary_us);
    add_count(ingest, "restarts", stats.restarts);
    add_count(ingest, "filters", stats.filters_active);
    add_count(ingest, "filters_refused", stats.filters_refused);
    add_count(ingest, "position", ingest_tail(gateway->ingest));
}

static void
add_reader(void *context, const char *stream, uint64_t position, uint64_t end)
{
    cJSON *reader = cJSON_CreateObject();
    cJSON_AddStringToObject(reader, "stream", stream);
    add_count(reader, "position", position);
    add_count(reader, "behind_bytes", end > position ? end - position : 0);
    cJSON_AddItemToArray(context, reader);
}

static void
add_journal(cJSON *root, struct gateway *gateway)
{
    const char *dir = ingest_journal_dir(gateway->ingest);
    struct journal_extent extent = {0};
    struct diag_list diags = {0};
    struct ingest_stats stats;
    ingest_stats(gateway->ingest, &stats);
    cJSON *journal = cJSON_AddObjectToObject(root, "journal");
    if (!journal_extent(&os_posix, dir, &extent, &diags)) {
        add_bytes(journal, "error", diag_first_error(&diags));
    }
    add_count(journal, "first", extent.first);
    add_count(journal, "end", ingest_tail(gateway->ingest));
    add_count(journal, "synced", stats.synced);
    add_count(journal, "segments", extent.segments);
    add_count(journal, "bytes", extent.bytes);
    add_count(journal, "quarantined", journal_quarantined(&os_posix, dir));
    diag_list_fini(&diags);
}

static void
add_engine(cJSON *root, struct gateway *gateway)
{
    struct engine_stats stats;
    engine_stats(gateway->engine, &stats);
    cJSON *engine = cJSON_AddObjectToObject(root, "engine");
    add_count(engine, "records", stats.records);
    add_count(engine, "position", stats.position);
    add_count(engine, "gaps", stats.gaps);
    add_count(engine, "rules_not_found", stats.rules_not_found);
    add_count(engine, "checkpoints", stats.checkpoints);
    add_count(engine, "checkpoint_failures", stats.checkpoint_failures);
    add_count(engine, "clock_steps", stats.clock_steps);
    cJSON_AddBoolToObject(engine, "clock_believed", stats.is_clock_believed);
    add_count(engine, "checkpoint_us", (uint64_t)stats.checkpoint_us);
    add_count(engine, "swap_us", (uint64_t)stats.swap_us);
}

static struct sink *
sink_of(const struct gateway *gateway, const struct ruleset_target *target)
{
    return target->relation == NULL ? gateway->topic_sink : target->relation->sink;
}

/* Targets that share a sink count together; true for the first of them. */
static bool
is_first_of_its_sink(const struct gateway *gateway, const struct ruleset_target *targets, size_t i)
{
    for (size_t before = 0; before < i; before++) {
        if (sink_of(gateway, &targets[before]) == sink_of(gateway, &targets[i])) {
            return false;
        }
    }
    return true;
}

/* AWS IoT's metrics of a rule and an action: Success and Failure, ErrorActionSuccess and -Failure. */
static void
add_actions(cJSON *item, const struct gateway *gateway, const struct ruleset_rule *rule)
{
    cJSON *actions = cJSON_AddArrayToObject(item, "actions");
    struct tally tally;
    for (size_t i = 0; i < rule->info->target_count; i++) {
        if (is_first_of_its_sink(gateway, rule->targets, i)) {
            const struct sink *sink = sink_of(gateway, &rule->targets[i]);
            outbox_tally(sink->outbox, rule->info->name, &tally);
            cJSON *action = cJSON_CreateObject();
            add_bytes(action, "sink", bytes_of_string(sink->name));
            add_count(action, "pushed", tally.pushed);
            add_count(action, "success", tally.delivered);
            add_count(action, "failure", tally.rejected);
            add_count(action, "dropped", tally.dropped);
            add_count(action, "resubmitted", tally.resubmitted);
            cJSON_AddItemToArray(actions, action);
        }
    }
    uint64_t delivered = 0, failed = load(&rule->counters->error_failed);
    for (size_t i = 0; i < rule->info->error_target_count; i++) {
        if (is_first_of_its_sink(gateway, rule->error_targets, i)) {
            const struct sink *sink = sink_of(gateway, &rule->error_targets[i]);
            outbox_tally(sink->outbox, rule->info->name, &tally);
            delivered += tally.error_delivered;
            failed += tally.error_rejected;
        }
    }
    if (rule->info->error_target_count > 0) {
        cJSON *error_action = cJSON_AddObjectToObject(item, "error_action");
        add_count(error_action, "success", delivered);
        add_count(error_action, "failure", failed);
    }
}

/* Of stream SQL: rows that gave nothing, by reason, and what its windows hold. */
static void
add_stream(cJSON *item, const struct ruleset_rule *rule)
{
    const struct rule_stream_counters *counters = &rule->counters->stream;
    int64_t watermark_ms = atomic_load_explicit(&counters->watermark_ms, memory_order_relaxed);
    cJSON *stream = cJSON_AddObjectToObject(item, "stream");
    add_count(stream, "used", load(&counters->used));
    add_count(stream, "rejected", load(&counters->rejected));
    add_count(stream, "turned_away", load(&counters->turned_away));
    add_count(stream, "bad", load(&counters->bad));
    add_count(stream, "null_rowtime", load(&counters->null_rowtime));
    add_count(stream, "future", load(&counters->future));
    add_count(stream, "late", load(&counters->late));
    add_count(stream, "no_window", load(&counters->no_window));
    add_count(stream, "refused", load(&counters->refused));
    add_count(stream, "state_bytes", load(&counters->state_bytes));
    add_count(stream, "state_entries", load(&counters->state_entries));
    if (watermark_ms != 0 && watermark_ms != INT64_MIN) {
        cJSON_AddNumberToObject(stream, "watermark_ms", (double)watermark_ms);
    }
}

static void
add_rules(cJSON *root, const struct gateway *gateway)
{
    const struct ruleset *ruleset = gateway->ruleset;
    cJSON *rules = cJSON_AddArrayToObject(root, "rules");
    for (size_t i = 0; i < ruleset->rule_count; i++) {
        const struct ruleset_rule *rule = &ruleset->rules[i];
        const struct rule_counters *counters = rule->counters;
        cJSON *item = cJSON_CreateObject();
        add_bytes(item, "name", rule->info->name);
        add_bytes(item, "source", rule->info->source);
        cJSON_AddBoolToObject(item, "disabled", rule->info->disabled);
        add_count(item, "messages", load(&counters->messages));
        add_count(item, "matched", load(&counters->matched));
        add_count(item, "filtered", load(&counters->filtered));
        add_count(item, "undefined", load(&counters->undefined));
        add_count(item, "failed", load(&counters->failed));
        add_count(item, "not_json", load(&counters->not_json));
        add_count(item, "retained_ignored", load(&counters->retained));
        add_count(item, "out", load(&counters->rows));
        if (rule->program != NULL) {
            add_stream(item, rule);
        }
        add_actions(item, gateway, rule);
        cJSON_AddItemToArray(rules, item);
    }
}

/* What waits for a table that no rule file declares any more. */
static void
add_absent_sink(void *context, struct bytes name, uint64_t records)
{
    cJSON *item = cJSON_CreateObject();
    add_bytes(item, "name", name);
    cJSON_AddStringToObject(item, "driver", "");
    cJSON_AddStringToObject(item, "state", "undeclared");
    add_count(item, "queued", records);
    cJSON_AddItemToArray(context, item);
}

static void
add_held_up(cJSON *item, const struct outbox_stats *stats)
{
    struct buf text = {0};
    outbox_print_held_up(stats, &text);
    add_bytes(item, "held_up", buf_bytes(&text));
    buf_fini(&text);
}

static void
add_sinks(cJSON *root, struct gateway *gateway)
{
    cJSON *sinks = cJSON_AddArrayToObject(root, "sinks");
    for (size_t i = 0; i < gateway->sink_count; i++) {
        const struct sink *sink = gateway->sinks[i];
        struct outbox_stats stats;
        outbox_stats(sink->outbox, &stats);
        cJSON *item = cJSON_CreateObject();
        add_bytes(item, "name", bytes_of_string(sink->name));
        add_bytes(item, "driver", bytes_of_string(sink->setup->relation.driver->name));
        add_bytes(item, "state", bytes_of_string(outbox_state_name(stats.state)));
        add_count(item, "pushed", stats.pushed);
        add_count(item, "restored", stats.restored);
        add_count(item, "delivered", stats.delivered);
        add_count(item, "retried", stats.retried);
        add_count(item, "rejected", stats.rejected);
        cJSON *dropped = cJSON_AddObjectToObject(item, "dropped");
        add_count(dropped, "oldest", stats.dropped);
        add_count(dropped, "by_hand", stats.given_up);
        add_count(dropped, "dead_letters", stats.dead_dropped);
        add_count(item, "resubmitted", stats.resubmitted);
        add_count(item, "parked", stats.parked);
        add_count(item, "lost", stats.lost);
        add_count(item, "queued", stats.queued_records + stats.backlog_records);
        add_count(item, "queued_bytes", stats.queued_bytes);
        add_count(item, "backlog_bytes", stats.backlog_bytes);
        cJSON_AddBoolToObject(item, "holds_up_rules", stats.is_full);
        cJSON_AddBoolToObject(item, "retired", sink->retired);
        add_bytes(item, "last_error", bytes_of_string(stats.last_error));
        add_held_up(item, &stats);
        cJSON_AddItemToArray(sinks, item);
    }
    engine_each_absent_sink(gateway->engine, add_absent_sink, sinks);
}

static void
add_alarm(void *context, const struct ledger_alarm *alarm)
{
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "account", ledger_kind_name(alarm->kind));
    add_bytes(item, "name", bytes_of_string(alarm->name));
    cJSON_AddNumberToObject(item, "difference", (double)alarm->difference);
    add_bytes(item, "text", bytes_of_string(alarm->text));
    cJSON_AddItemToArray(context, item);
}

static void
add_ledger(cJSON *root, struct gateway *gateway)
{
    struct ledger *ledger = engine_ledger(gateway->engine);
    struct ledger_stats stats;
    ledger_stats(ledger, &stats);
    cJSON *item = cJSON_AddObjectToObject(root, "ledger");
    add_count(item, "checks", stats.checks);
    add_count(item, "unexplained", stats.unexplained);
    add_count(item, "alarms", stats.alarms);
    ledger_each_alarm(ledger, add_alarm, cJSON_AddArrayToObject(item, "open"));
}

void
gateway_status(struct gateway *gateway, struct buf *out)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "version", HEADGATE_VERSION);
    add_count(root, "pid", (uint64_t)getpid());
    cJSON_AddNumberToObject(root, "uptime_s",
                            (double)((os_posix.mono_us(&os_posix) - gateway->started_us) / 1000000));
    add_ingest(root, gateway);
    add_journal(root, gateway);
    add_engine(root, gateway);
    engine_each_reader(gateway->engine, add_reader, cJSON_AddArrayToObject(root, "readers"));
    add_ledger(root, gateway);
    pthread_mutex_lock(&gateway->lock);
    add_rules(root, gateway);
    add_sinks(root, gateway);
    cJSON *load_report = cJSON_AddObjectToObject(root, "rule_files");
    add_count(load_report, "files", gateway->report.files);
    add_count(load_report, "broken", gateway->report.broken);
    add_count(load_report, "kept", gateway->report.kept);
    add_count(load_report, "reloads", gateway->reloads);
    add_bytes(load_report, "errors", bytes_of_string(gateway->report_text));
    pthread_mutex_unlock(&gateway->lock);
    char *text = cJSON_PrintUnformatted(root);
    check(text != NULL && "out of memory");
    buf_append_string(out, text);
    cJSON_free(text);
    cJSON_Delete(root);
}

/* ---- printing ---- */

static const char *
text_of(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return text == NULL ? "" : text;
}

static int64_t
number_of(const cJSON *object, const char *name)
{
    double number = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return isnan(number) ? 0 : (int64_t)number;
}

static void
print_ingest(const cJSON *root, struct buf *out)
{
    const cJSON *ingest = cJSON_GetObjectItemCaseSensitive(root, "ingest");
    bool connected = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(ingest, "connected"));
    buf_printf(out, "headgate %s, up %" PRId64 " s\n", text_of(root, "version"),
               number_of(root, "uptime_s"));
    buf_printf(out, "broker   %s", connected ? "connected" : "not connected");
    if (connected) {
        buf_printf(out, ", MQTT %s", text_of(ingest, "protocol"));
    } else {
        const char *why = text_of(ingest, "last_error");
        buf_printf(out, ": %s", why[0] == '\0' ? text_of(ingest, "state") : why);
    }
    buf_printf(out, "\nmessages %" PRId64 " received, %" PRId64 " through the rules",
               number_of(ingest, "received"),
               number_of(cJSON_GetObjectItemCaseSensitive(root, "engine"), "records"));
    int64_t not_found = number_of(cJSON_GetObjectItemCaseSensitive(root, "engine"),
                                  "rules_not_found");
    if (not_found > 0) {
        buf_printf(out, ", %" PRId64 " to $aws/rules/ without such a rule", not_found);
    }
    const cJSON *reason;
    cJSON_ArrayForEach(reason, cJSON_GetObjectItemCaseSensitive(ingest, "dropped"))
    {
        if (reason->valuedouble > 0) {
            buf_printf(out, ", %.0f dropped (%s)", reason->valuedouble, reason->string);
        }
    }
    buf_append_char(out, '\n');
    const cJSON *journal = cJSON_GetObjectItemCaseSensitive(root, "journal");
    buf_append_string(out, "journal  ");
    buf_append_count(out, (uint64_t)number_of(journal, "segments"), "segment");
    buf_printf(out, ", %.1f MB", (double)number_of(journal, "bytes") / 1e6);
    if (number_of(journal, "quarantined") > 0) {
        buf_printf(out, ", %" PRId64 " damaged stretches in quarantine",
                   number_of(journal, "quarantined"));
    }
    if (number_of(ingest, "held") > 0) {
        buf_printf(out, ", %" PRId64 " messages wait to be written", number_of(ingest, "held"));
    }
    buf_append_char(out, '\n');
}

static void
print_ledger(const cJSON *root, struct buf *out)
{
    const cJSON *ledger = cJSON_GetObjectItemCaseSensitive(root, "ledger"), *alarm;
    if (number_of(ledger, "checks") > 0 && number_of(ledger, "unexplained") == 0) {
        buf_printf(out, "ledger   balances: in = out + dropped + queued, %" PRId64 " checks\n",
                   number_of(ledger, "checks"));
    }
    cJSON_ArrayForEach(alarm, cJSON_GetObjectItemCaseSensitive(ledger, "open"))
    {
        buf_printf(out, "ALARM    the ledger of %s '%s' does not balance: %s\n",
                   text_of(alarm, "account"), text_of(alarm, "name"), text_of(alarm, "text"));
    }
}

static int
longest_name(const cJSON *array, const char *title)
{
    size_t longest = strlen(title);
    const cJSON *item;
    cJSON_ArrayForEach(item, array)
    {
        size_t size = strlen(text_of(item, "name"));
        longest = size > longest ? size : longest;
    }
    return (int)longest;
}

static void
print_rules(const cJSON *root, struct buf *out)
{
    const cJSON *rules = cJSON_GetObjectItemCaseSensitive(root, "rules");
    int width = longest_name(rules, "RULE");
    buf_printf(out, "\n%-*s %10s %10s %10s %10s %8s\n", width, "RULE", "messages", "matched",
               "filtered", "undefined", "failed");
    const cJSON *rule;
    cJSON_ArrayForEach(rule, rules)
    {
        bool is_disabled = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(rule, "disabled"));
        buf_printf(out,
                   "%-*s %10" PRId64 " %10" PRId64 " %10" PRId64 " %10" PRId64 " %8" PRId64 "%s\n",
                   width, text_of(rule, "name"), number_of(rule, "messages"),
                   number_of(rule, "matched"), number_of(rule, "filtered"),
                   number_of(rule, "undefined"), number_of(rule, "failed"),
                   is_disabled ? "  disabled" : "");
    }
}

/* Of one rule: the actions that have failed, and what its error action made of it. */
static void
print_failures_of(const cJSON *rule, struct buf *out)
{
    const cJSON *error_action = cJSON_GetObjectItemCaseSensitive(rule, "error_action");
    const cJSON *action;
    cJSON_ArrayForEach(action, cJSON_GetObjectItemCaseSensitive(rule, "actions"))
    {
        if (number_of(action, "failure") > 0) {
            buf_printf(out, "  %s -> %s: %" PRId64 " failed, %" PRId64 " succeeded\n",
                       text_of(rule, "name"), text_of(action, "sink"),
                       number_of(action, "failure"), number_of(action, "success"));
        }
    }
    if (number_of(error_action, "failure") > 0 || number_of(error_action, "success") > 0) {
        buf_printf(out, "  %s -> error action: %" PRId64 " failed, %" PRId64 " succeeded\n",
                   text_of(rule, "name"), number_of(error_action, "failure"),
                   number_of(error_action, "success"));
    }
}

/* Rows that stream SQL rejected, by reason. */
static void
print_rejected(const cJSON *root, struct buf *out)
{
    static const struct {
        const char *name, *text;
    } reasons[] = {{"bad", "not JSON, or a column of another type"},
                   {"null_rowtime", "without an event time"},
                   {"future", "too far in the future"},
                   {"late", "late: every window had fired"},
                   {"no_window", "between two windows"},
                   {"refused", "the rule's state has reached its limit"}};
    bool is_first = true;
    const cJSON *rule;
    cJSON_ArrayForEach(rule, cJSON_GetObjectItemCaseSensitive(root, "rules"))
    {
        const cJSON *stream = cJSON_GetObjectItemCaseSensitive(rule, "stream");
        for (size_t i = 0; stream != NULL && i < sizeof reasons / sizeof *reasons; i++) {
            int64_t count = number_of(stream, reasons[i].name);
            if (count > 0) {
                buf_printf(out, "%s  %s: %" PRId64 " %s\n",
                           is_first ? "\nROWS REJECTED BY STREAM SQL\n" : "",
                           text_of(rule, "name"), count, reasons[i].text);
                is_first = false;
            }
        }
    }
}

static void
print_failures(const cJSON *root, struct buf *out)
{
    struct buf lines = {0};
    const cJSON *rule;
    cJSON_ArrayForEach(rule, cJSON_GetObjectItemCaseSensitive(root, "rules"))
    {
        print_failures_of(rule, &lines);
    }
    if (lines.size > 0) {
        buf_printf(out, "\nACTIONS THAT FAILED\n%s", buf_string(&lines));
    }
    buf_fini(&lines);
}

/* What is wrong with one sink, below its line. */
static void
print_trouble_of(const cJSON *sink, int width, struct buf *out)
{
    if (text_of(sink, "last_error")[0] != '\0') {
        buf_printf(out, "%*s   %s\n", width, "", text_of(sink, "last_error"));
    }
    if (text_of(sink, "held_up")[0] != '\0') {
        buf_printf(out, "%*s   %s ('headgate dlq ls'); 'retry.max_attempts' gives up sooner\n",
                   width, "", text_of(sink, "held_up"));
    }
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(sink, "holds_up_rules"))) {
        buf_printf(out, "%*s   all rules wait for it: 'backlog.max' is reached, or the disk takes no "
                        "more\n",
                   width, "");
    }
    const cJSON *reason;
    cJSON_ArrayForEach(reason, cJSON_GetObjectItemCaseSensitive(sink, "dropped"))
    {
        if (reason->valuedouble > 0) {
            buf_printf(out, "%*s   %.0f records dropped (%s)\n", width, "", reason->valuedouble,
                       reason->string);
        }
    }
}

static void
print_sinks(const cJSON *root, struct buf *out)
{
    const cJSON *sinks = cJSON_GetObjectItemCaseSensitive(root, "sinks");
    int width = longest_name(sinks, "SINK");
    buf_printf(out, "\n%-*s %-10s %10s %10s %8s %8s %8s  %s\n", width, "SINK", "driver", "pushed",
               "delivered", "retried", "rejected", "queued", "state");
    const cJSON *sink;
    cJSON_ArrayForEach(sink, sinks)
    {
        buf_printf(out,
                   "%-*s %-10s %10" PRId64 " %10" PRId64 " %8" PRId64 " %8" PRId64 " %8" PRId64
                   "  %s\n",
                   width, text_of(sink, "name"), text_of(sink, "driver"),
                   number_of(sink, "pushed"), number_of(sink, "delivered"),
                   number_of(sink, "retried"), number_of(sink, "rejected"),
                   number_of(sink, "queued"), text_of(sink, "state"));
        print_trouble_of(sink, width, out);
    }
}

bool
status_print(struct bytes document, struct buf *out, struct diag_list *diags)
{
    cJSON *root = cJSON_ParseWithLength(document.data, document.size);
    if (root == NULL) {
        diag_error(diags, DIAG_CORRUPT, "the gateway's answer is not a status document");
        return false;
    }
    print_ingest(root, out);
    print_ledger(root, out);
    print_rules(root, out);
    print_failures(root, out);
    print_rejected(root, out);
    print_sinks(root, out);
    const cJSON *files = cJSON_GetObjectItemCaseSensitive(root, "rule_files");
    if (number_of(files, "broken") > 0) {
        buf_printf(out, "\n%s", text_of(files, "errors"));
    }
    cJSON_Delete(root);
    return true;
}
