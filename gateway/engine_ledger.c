/*
 * The engine's part of the ledger: rules, what they made, and the sinks that got it, as of one
 * instant between two batches. Engine thread, or the main thread once that has ended.
 *
 * Sinks count by a rule's name for as long as they run, a rule's counters live as long as the rule.
 * So a rule that is new to the engine notes what sinks have had from one of its name before, and
 * what a sink had is noted at its rules when it goes.
 */
#include "engine_state.h"

#include <stdlib.h>

static uint64_t
load(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static uint64_t
pushed_of(const struct tally *tally)
{
    return tally->pushed + tally->error_pushed;
}

/* What a sink had from a rule is of no sink that runs any more. */
static void
note_gone(const struct ruleset *ruleset, const struct sink *sink)
{
    for (size_t i = 0; i < ruleset->rule_count; i++) {
        struct tally tally;
        outbox_tally(sink->outbox, ruleset->rules[i].info->name, &tally);
        ruleset->rules[i].counters->audit.gone += pushed_of(&tally);
    }
}

static bool
has_sink(const struct generation *generation, const struct sink *sink)
{
    for (size_t i = 0; i < generation->sink_count; i++) {
        if (generation->sinks[i] == sink) {
            return true;
        }
    }
    return false;
}

/* What the sinks that run have had from a rule of this name. */
static uint64_t
pushed_by(const struct generation *generation, struct bytes rule)
{
    uint64_t pushed = 0;
    for (size_t i = 0; i < generation->sink_count; i++) {
        struct tally tally;
        outbox_tally(generation->sinks[i]->outbox, rule, &tally);
        pushed += pushed_of(&tally);
    }
    return pushed;
}

/* What became of a rule's messages; which terms there are depends on its kind of SQL. */
static void
messages_account(const struct ruleset_rule *rule, struct ledger_account *out)
{
    const struct rule_counters *counters = rule->counters;
    bool is_flow = rule->program != NULL;
    *out = (struct ledger_account){.kind = is_flow ? LEDGER_FLOW : LEDGER_RULE,
                                   .name = rule->info->name};
    ledger_in(out, "messages", load(&counters->messages));
    if (is_flow) {
        ledger_out(out, "used", load(&counters->stream.used));
        ledger_out(out, "rejected", load(&counters->stream.rejected));
        ledger_out(out, "turned away", load(&counters->stream.turned_away));
    } else {
        ledger_out(out, "matched", load(&counters->matched));
        ledger_out(out, "filtered", load(&counters->filtered));
        ledger_out(out, "undefined", load(&counters->undefined));
        ledger_out(out, "failed", load(&counters->failed));
    }
}

/* Counters live on under the rule's name, also when an edit makes it the other kind of SQL. */
static void
note_kind(const struct ruleset_rule *rule)
{
    struct rule_audit *audit = &rule->counters->audit;
    bool is_flow = rule->program != NULL;
    if (audit->is_flow != is_flow) {
        struct ledger_account account;
        messages_account(rule, &account);
        audit->is_flow = is_flow;
        audit->other = ledger_difference(&account);
    }
}

static void
judge_messages(struct engine *engine, const struct ruleset_rule *rule)
{
    int64_t other = rule->counters->audit.other;
    struct ledger_account account;
    messages_account(rule, &account);
    if (other < 0) {
        ledger_in(&account, "messages as another kind of rule", (uint64_t)-other);
    } else {
        ledger_out(&account, "as another kind of rule", (uint64_t)other);
    }
    ledger_judge(engine->ledger, &account);
}

void
engine_adopt_ledger(struct engine *engine, const struct generation *next)
{
    const struct generation *before = engine->current;
    for (size_t i = 0; before != NULL && i < before->sink_count; i++) {
        if (!has_sink(next, before->sinks[i])) {
            note_gone(before->ruleset, before->sinks[i]);
        }
    }
    for (size_t i = 0; i < next->ruleset->rule_count; i++) {
        struct rule_audit *audit = &next->ruleset->rules[i].counters->audit;
        if (!audit->is_known) {
            audit->is_known = true;
            audit->before = pushed_by(next, next->ruleset->rules[i].info->name);
        }
        note_kind(&next->ruleset->rules[i]);
    }
}

/* ---- a look ---- */

static void
see_tally(void *context, const struct tally *tally)
{
    const struct ruleset *ruleset = context;
    const struct ruleset_rule *rule =
            map_find(&ruleset->by_name, bytes_of_string(tally->rule));
    if (rule != NULL) {
        rule->counters->audit.seen += pushed_of(tally);
    }
}

static void
judge_sink(struct engine *engine, const struct sink *sink)
{
    struct outbox_stats stats;
    struct tally total;
    outbox_audit(sink->outbox, &stats, &total, see_tally, engine->current->ruleset);
    struct ledger_account account;
    engine_sink_account(sink->name, &stats, &account);
    ledger_judge(engine->ledger, &account);
    account = (struct ledger_account){.kind = LEDGER_SINK_BY_RULE,
                                      .name = bytes_of_string(sink->name)};
    ledger_in(&account, "pushed", pushed_of(&total));
    ledger_in(&account, "restored", stats.restored);
    ledger_in(&account, "resubmitted", total.resubmitted);
    ledger_out(&account, "delivered", total.delivered + total.error_delivered);
    ledger_out(&account, "rejected", total.rejected + total.error_rejected);
    ledger_out(&account, "dropped", total.dropped);
    ledger_out(&account, "lost", stats.lost);
    ledger_out(&account, "queued", stats.queued_records + stats.backlog_records);
    ledger_judge(engine->ledger, &account);
}

void
engine_sink_account(const char *name, const struct outbox_stats *stats,
                    struct ledger_account *out)
{
    *out = (struct ledger_account){.kind = LEDGER_SINK, .name = bytes_of_string(name)};
    ledger_in(out, "pushed", stats->pushed);
    ledger_in(out, "restored", stats->restored);
    ledger_in(out, "resubmitted", stats->resubmitted);
    ledger_out(out, "delivered", stats->delivered);
    ledger_out(out, "rejected", stats->rejected);
    ledger_out(out, "dropped", stats->dropped);
    ledger_out(out, "given up", stats->given_up);
    ledger_out(out, "lost", stats->lost);
    ledger_out(out, "queued", stats->queued_records + stats->backlog_records);
}

static void
judge_rows(struct engine *engine, const struct ruleset_rule *rule)
{
    const struct rule_counters *counters = rule->counters;
    const struct rule_audit *audit = &counters->audit;
    struct ledger_account account = {.kind = LEDGER_ROWS, .name = rule->info->name};
    ledger_in(&account, "rows", load(&counters->rows));
    ledger_in(&account, "messages of the error action", load(&counters->error_rows));
    ledger_in(&account, "rows of a removed rule of this name", audit->before);
    ledger_out(&account, "pushed", audit->seen);
    ledger_out(&account, "pushed to sinks closed since", audit->gone);
    ledger_judge(engine->ledger, &account);
}

void
engine_check_ledger(struct engine *engine)
{
    const struct generation *generation = engine->current;
    const struct ruleset *ruleset = generation->ruleset;
    for (size_t i = 0; i < ruleset->rule_count; i++) {
        ruleset->rules[i].counters->audit.seen = 0;
    }
    for (size_t i = 0; i < generation->sink_count; i++) {
        judge_sink(engine, generation->sinks[i]);
    }
    for (size_t i = 0; i < ruleset->rule_count; i++) {
        const struct ruleset_rule *rule = &ruleset->rules[i];
        if (rule->info->disabled) {
            continue; /* sinks' counts by its name are not looked up: nothing is made */
        }
        judge_messages(engine, rule);
        judge_rows(engine, rule);
    }
}
