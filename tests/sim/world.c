/*
 * The seeded run: lives of the gateway, one after the other, each ended by a crash but the last.
 *
 * Sync policies, as gateway/keeper.c has them: `always` acknowledges what a sync has covered,
 * `interval` and `never` when the journal has it. What a policy excuses: nothing when the process
 * is killed; when the power goes, what `interval` has not synced yet, and anything with `never`.
 */
#define _GNU_SOURCE
#include "world.h"

#include "base/mem.h"
#include "ledger.h"
#include "outbox_state.h" /* to break it */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    IN_FLIGHT_MAX = 10,    /* that the broker sends without an acknowledgement */
    IDLE_ROUNDS = 5,       /* that nothing moves before all is quiet: also windows end in them */
    WINDOW_US = 1000000,   /* of RULES */
    QUIET_STEPS_MAX = 4000,
    CHECKPOINT_MS = 100,
    SEGMENT_BYTES = 8192,  /* small, so that the workload begins many */
    QUEUE_BYTES = 2000,    /* more waits on disk */
    CRASHES_MAX = 3,       /* of a run by chance */
    CHANCE_MOMENTS = 700,  /* a crash by chance comes at one of them */
};

static const char RULES[] =
        "CREATE TABLE store WITH ('connector' = 'store');\n"
        "CREATE TABLE upstream WITH ('connector' = 'upstream');\n"
        "CREATE FUNCTION relay AS 'relay.c' LANGUAGE C;\n"
        "CREATE RULE every AS INSERT INTO store SELECT k FROM 'in/+' WHERE v >= 0;\n"
        "CREATE RULE doubled AS INSERT INTO store SELECT k, v * 2 AS w FROM 'in/+' WHERE v > 2;\n"
        "CREATE RULE sent WITH ('on_error' = 'errors/${topic(2)}') AS\n"
        "    INSERT INTO upstream, 'out/${topic(2)}' SELECT k FROM 'in/+' WHERE v >= 0;\n"
        "CREATE RULE passed AS INSERT INTO relay SELECT k FROM 'in/+' WHERE v > 5;\n"
        "CREATE RULE relayed AS INSERT INTO store SELECT k FROM relay;\n"
        "CREATE TABLE messages (k BIGINT, v BIGINT, at AS PROCTIME())\n"
        "    WITH ('connector' = 'mqtt', 'topic' = 'in/+');\n"
        "CREATE TABLE chain (k BIGINT) WITH ('connector' = 'stream');\n"
        "CREATE RULE counted AS INSERT INTO store SELECT COUNT(*) AS n, SUM(k) AS k\n"
        "    FROM messages WHERE v >= 0 GROUP BY TUMBLE(at, INTERVAL '1' SECOND);\n"
        "CREATE RULE chained AS INSERT INTO chain SELECT k FROM 'in/+' WHERE v >= 0;\n"
        "CREATE RULE linked AS INSERT INTO store SELECT k FROM chain;\n"
        "CREATE TABLE past (k BIGINT) WITH ('connector' = 'stream', 'stream' = 'chain',\n"
        "    'scan.stream.initpos' = 'TRIM_HORIZON');\n"
        "CREATE RULE recalled AS INSERT INTO store SELECT k FROM past;\n"
        "CREATE TABLE timed (k BIGINT, v BIGINT, t BIGINT, ts AS TO_TIMESTAMP_LTZ(t, 3),\n"
        "    WATERMARK FOR ts AS ts - INTERVAL '0.05' SECOND) WITH ('connector' = 'mqtt',\n"
        "    'topic' = 'in/+', 'scan.watermark.idle-timeout' = '1 d');\n"
        "CREATE RULE dated AS INSERT INTO store SELECT COUNT(*) AS n, SUM(k) AS k, MIN(t) AS t\n"
        "    FROM timed WHERE v >= 0 GROUP BY TUMBLE(ts, INTERVAL '0.1' SECOND);\n";

const char *
sim_break_name(enum sim_break broken)
{
    static const char *const names[BREAK_COUNT] = {
            "nothing",      "ack-early",  "skip-sync",   "read-early", "forget-last-id",
            "forget-ids",   "done-early", "drop-retried", "lying-sync", "lying-names",
            "miscount",     "leak",
    };
    return names[broken];
}

const char *
sim_mode_name(enum crash_mode mode)
{
    static const char *const names[] = {"kill", "drop", "tear"};
    return names[mode];
}

/* ---- chance, history, moments ---- */

unsigned
sim_draw(struct sim *sim, unsigned limit)
{
    sim->random += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    uint64_t z = sim->random;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (unsigned)((z ^ (z >> 31)) % limit);
}

void
sim_event(struct sim *sim, const char *format, ...)
{
    struct buf line = {0};
    va_list args;
    buf_printf(&line, "%6" PRIu64 " ", crash_disk_changes(sim->disk));
    va_start(args, format);
    buf_vprintf(&line, format, args);
    va_end(args);
    for (size_t i = 0; i < line.size; i++) { /* FNV-1a */
        sim->digest = (sim->digest ^ (unsigned char)line.data[i]) * UINT64_C(0x100000001b3);
    }
    if (sim->setup.traces) {
        printf("%s\n", buf_string(&line));
    }
    buf_fini(&line);
}

void
sim_wrong(struct sim *sim, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buf_vprintf(&sim->wrong, format, args);
    va_end(args);
    buf_append_char(&sim->wrong, '\n');
}

bool
sim_act(struct sim *sim)
{
    return sim->os->pwrite(sim->os, sim->effects_fd, "", 1, 0) == 1;
}

struct token *
sim_token_of(struct sim *sim, struct bytes payload)
{
    size_t from = 0;
    while (from < payload.size && (payload.data[from] < '0' || payload.data[from] > '9')) {
        from++;
    }
    size_t to = from;
    while (to < payload.size && payload.data[to] >= '0' && payload.data[to] <= '9') {
        to++;
    }
    int64_t number;
    bool is_known = bytes_to_int64(bytes_slice(payload, from, to), &number) &&
                    (uint64_t)number < sim->token_count;
    return is_known ? &sim->tokens[number] : NULL;
}

/* ---- the gateway, up and down ---- */

static uint64_t
tail(void *context)
{
    const struct sim *sim = context;
    bool waits = sim->policy == JOURNAL_SYNC_ALWAYS && sim->setup.broken != BREAK_READ_EARLY;
    return waits ? sim->readable : journal_tail(sim->journal);
}

static uint64_t
end(void *context)
{
    return journal_tail(((struct sim *)context)->journal);
}

static void
wake(void *context)
{
}

static struct stream_place
stream_place(void *context, const char *stream)
{
    struct sim *sim = context;
    struct stream_place place = engine_stream_place(sim->engine, stream);
    place.ids_from = sim->setup.broken == BREAK_FORGET_IDS ? place.position : place.ids_from;
    return place;
}

/* Of the tokens that the loss of power may have taken, those that the journal has not. */
static bool
note_lost_tokens(struct sim *sim, struct diag_list *diags)
{
    struct journal_reader *reader;
    if (sim->doubtful_token >= sim->token_count) {
        return true;
    }
    if (!journal_reader_open(&reader, sim->os, "data/journal/mqtt", 0, diags)) {
        return false;
    }
    uint64_t *kept = mem_new_array(uint64_t, sim->token_count);
    struct record record;
    enum journal_read read = JOURNAL_GAP;
    while (read == JOURNAL_RECORD || read == JOURNAL_GAP) {
        read = journal_reader_next(reader, journal_tail(sim->journal), &record, diags);
        struct token *token = read == JOURNAL_RECORD ? sim_token_of(sim, record.payload) : NULL;
        if (token != NULL) {
            kept[token - sim->tokens] = record.next;
        }
    }
    journal_reader_close(reader);
    for (size_t i = sim->doubtful_token; i < sim->token_count && read == JOURNAL_END; i++) {
        sim->tokens[i].next = kept[i];
    }
    sim->doubtful_token = read == JOURNAL_END ? SIZE_MAX : sim->doubtful_token;
    free(kept);
    return read == JOURNAL_END;
}

static bool
open_engine(struct sim *sim, struct diag_list *diags)
{
    const struct engine_options options = {
            .os = sim->os,
            .data_dir = "data",
            .checkpoint_interval_ms = CHECKPOINT_MS,
            .origin = {.account_id = "1", .principal_property = "by", .gateway = "sim"},
            .source = {.dir = "data/journal/mqtt", .tail = tail, .end = end, .wake_fd = -1,
                       .context = sim},
            .reads_synced = sim->policy == JOURNAL_SYNC_ALWAYS,
            .is_stepped = true,
    };
    if (!engine_new(&sim->engine, &options, diags)) {
        return false;
    }
    const struct journal_options journal = {
            .os = sim->os,
            .dir = "data/journal/mqtt",
            .segment_bytes = SEGMENT_BYTES,
            .record_max_bytes = 1 << 16,
            .position_least = engine_stream_position(sim->engine, "mqtt"),
            .sync = sim->policy == JOURNAL_SYNC_NEVER ? JOURNAL_SYNC_NEVER : JOURNAL_SYNC_INTERVAL,
    };
    return journal_open(&sim->journal, &journal, diags) && note_lost_tokens(sim, diags);
}

/* The one that another table of the same stream has opened, or NULL. */
static struct sink *
find_sink(const struct sim *sim, struct bytes name)
{
    for (size_t i = 0; i < sim->sink_count; i++) {
        if (bytes_equal_string(name, sim->sinks[i]->name)) {
            return sim->sinks[i];
        }
    }
    return NULL;
}

static bool
open_sinks(struct sim *sim, struct diag_list *diags)
{
    struct outbox_mark mark;
    sim->context = (struct sink_context){
            .os = sim->os,
            .data_dir = "data",
            .queue_max_bytes = QUEUE_BYTES,
            .retry_max_ms = 1000,
            .segment_bytes = SEGMENT_BYTES,
            .wake = wake,
            .stream_place = stream_place,
            .wake_context = sim,
            .failures = engine_failures(sim->engine),
            .is_stepped = true,
    };
    bool has_mark = engine_sink_mark(sim->engine, "topic", &mark);
    if (!sink_open_builtin(&sim->topic_sink, &sim->context, "topic",
                           driver_find(BYTES("upstream")), has_mark ? &mark : NULL, diags)) {
        return false;
    }
    sim->sinks[sim->sink_count++] = sim->topic_sink;
    for (size_t i = 0; i < sim->ruleset->relation_count; i++) {
        struct ruleset_relation *relation = &sim->ruleset->relations[i];
        if (relation->relation.driver->open == NULL) {
            continue; /* topics as a table */
        }
        relation->sink = find_sink(sim, relation_sink_name(relation->declared));
        if (relation->sink != NULL) {
            continue;
        }
        char *name = bytes_to_string(relation->declared->name);
        has_mark = engine_sink_mark(sim->engine, name, &mark);
        free(name);
        if (!sink_open(&relation->sink, &sim->context, relation, has_mark ? &mark : NULL, diags)) {
            return false;
        }
        sim->sinks[sim->sink_count++] = relation->sink;
    }
    return true;
}

static void
note_alarm(void *context, const struct ledger_alarm *alarm)
{
    sim_wrong(context, "the ledger of %s '%s' does not balance: %s",
              ledger_kind_name(alarm->kind), alarm->name, alarm->text);
}

/* The gateway's own opinion of what it has counted in this life. */
static void
check_ledger(struct sim *sim)
{
    struct ledger_stats stats;
    ledger_stats(engine_ledger(sim->engine), &stats);
    ledger_each_alarm(engine_ledger(sim->engine), note_alarm, sim);
    if (stats.alarms > stats.open) {
        sim_wrong(sim, "the ledger had %" PRIu64 " alarms in life %u", stats.alarms, sim->lives);
    }
    sim->ledger_checks += stats.checks;
}

static void
take_down(struct sim *sim)
{
    if (sim->engine != NULL) {
        check_ledger(sim);
    }
    crash_disk_stop_after(sim->disk, 0);
    for (size_t i = 0; i < sim->sink_count; i++) {
        outbox_stop(sim->sinks[i]->outbox, 0);
    }
    engine_free(sim->engine);
    for (size_t i = 0; i < sim->sink_count; i++) {
        sink_close(sim->sinks[i], 0);
    }
    ruleset_free(sim->ruleset);
    journal_close(sim->journal);
    sim->engine = NULL;
    sim->ruleset = NULL;
    sim->journal = NULL;
    sim->sink_count = 0;
}

/* Whether a call that changes something still goes through. */
static bool
is_alive(struct sim *sim, uint64_t end)
{
    return crash_disk_changes(sim->disk) < end;
}

static bool
bring_up(struct sim *sim, uint64_t end)
{
    struct diag_list diags = {0};
    sim->effects_fd = sim->os->open(sim->os, "effects", O_CREAT | O_RDWR, 0600);
    bool is_up = sim->effects_fd >= 0 && open_engine(sim, &diags) &&
                 ruleset_load_text(&sim->ruleset, BYTES("sim.sql"), bytes_of_string(RULES),
                                   &diags) &&
                 open_sinks(sim, &diags);
    if (is_up) {
        engine_swap(sim->engine, sim->ruleset, sim->sinks, sim->sink_count, sim->topic_sink);
    } else if (is_alive(sim, end)) {
        sim_wrong(sim, "life %u does not begin: %.*s", sim->lives,
                  BYTES_ARG(diag_first_error(&diags)));
    }
    diag_list_fini(&diags);
    return is_up;
}

/* ---- the broker and what receives ---- */

static void
acknowledge(struct sim *sim, struct token *token)
{
    if (!sim->is_taken[token->message] && sim_act(sim)) {
        sim->is_taken[token->message] = true;
        token->is_acknowledged = true;
        token->is_owed = true;
        sim_event(sim, "broker: message %u is acknowledged", token->message);
    }
}

static bool
append(struct sim *sim, size_t index)
{
    struct token *token = &sim->tokens[index];
    struct buf topic = {0};
    struct buf payload = {0};
    struct diag_list diags = {0};
    buf_printf(&topic, "in/%zu", index);
    token->time_ms = sim_event_time(sim, index);
    if (token->value == 9) {
        buf_printf(&payload, "no json %zu", index);
    } else {
        buf_printf(&payload, "{\"k\":%zu,\"v\":%u,\"t\":%" PRId64 "}", index, token->value,
                   token->time_ms);
    }
    struct record record = {.time_us = sim->os->wall_us(sim->os),
                            .flags = sim->is_clock_wrong ? 1 | RECORD_TIME_UNSYNCED : 1,
                            .topic = buf_bytes(&topic),
                            .payload = buf_bytes(&payload)};
    bool is_appended = journal_append(sim->journal, &record, &diags);
    token->next = is_appended ? record.next : 0;
    sim_event(sim, "receive: token %zu of message %u, %s", index, token->message,
              is_appended ? "kept" : "failed");
    buf_fini(&topic);
    buf_fini(&payload);
    diag_list_fini(&diags);
    return is_appended;
}

/* The next message that the broker sends, if it sends one. */
static bool
receive(struct sim *sim)
{
    while (sim->next_message < sim->setup.messages && sim->is_taken[sim->next_message]) {
        sim->next_message++;
    }
    size_t in_flight = sim->token_count - sim->unacknowledged_token;
    if (sim->next_message == sim->setup.messages || in_flight >= IN_FLIGHT_MAX) {
        return false;
    }
    sim->tokens = mem_grow(sim->tokens, sim->token_count, &sim->token_capacity,
                           sizeof *sim->tokens);
    size_t index = sim->token_count++;
    unsigned message = sim->next_message++;
    sim->tokens[index] = (struct token){
            .message = message, .value = (unsigned)((sim->setup.seed + message * 7) % 10)};
    bool is_early = sim->setup.broken == BREAK_ACK_EARLY;
    if (is_early) {
        acknowledge(sim, &sim->tokens[index]);
    }
    if (sim->setup.broken == BREAK_MISCOUNT && index == 3) {
        sim->ruleset->rules[0].counters->filtered++;
    } else if (sim->setup.broken == BREAK_LEAK && index == 3) {
        sim->sinks[1]->outbox->stats.pushed++;
    }
    if (append(sim, index) && sim->policy != JOURNAL_SYNC_ALWAYS && !is_early) {
        acknowledge(sim, &sim->tokens[index]);
    }
    if (sim->policy != JOURNAL_SYNC_ALWAYS) {
        sim->unacknowledged_token = sim->token_count;
    }
    return true;
}

/* What the keeper's thread does now and then. */
static void
sync_journal(struct sim *sim)
{
    struct diag_list diags = {0};
    bool is_skipped = sim->policy == JOURNAL_SYNC_NEVER || sim->setup.broken == BREAK_SKIP_SYNC;
    uint64_t synced = journal_tail(sim->journal);
    if ((sim->unsynced_token < sim->token_count || sim->readable < synced) &&
        (is_skipped || journal_sync(sim->journal, &diags))) {
        sim->readable = synced;
        sim_event(sim, "receive: synced up to token %zu", sim->token_count);
        for (; sim->policy == JOURNAL_SYNC_ALWAYS && sim->unacknowledged_token < sim->token_count;
             sim->unacknowledged_token++) {
            struct token *token = &sim->tokens[sim->unacknowledged_token];
            if (token->next > 0) {
                acknowledge(sim, token);
            }
        }
        sim->unsynced_token = sim->token_count;
    }
    diag_list_fini(&diags);
}

/* What the crash excuses, and the broker's view of it. */
static void
lose_connection(struct sim *sim, enum crash_mode mode)
{
    bool is_excused = mode != CRASH_KILL && sim->policy != JOURNAL_SYNC_ALWAYS;
    sim->has_lost_input |= is_excused;
    sim->readable = 0;
    if (mode != CRASH_KILL && sim->unsynced_token < sim->doubtful_token) {
        sim->doubtful_token = sim->unsynced_token;
    }
    size_t from = sim->policy == JOURNAL_SYNC_NEVER ? 0 : sim->unsynced_token;
    for (size_t i = from; is_excused && i < sim->token_count; i++) {
        sim->tokens[i].is_owed = false;
    }
    sim->next_message = 0;
    sim->unacknowledged_token = sim->token_count;
    sim->unsynced_token = mode == CRASH_KILL ? sim->unsynced_token : sim->token_count;
}

/* ---- a life ---- */

/* The clock is set, to a wrong time or to the right one. */
static void
set_clock(struct sim *sim)
{
    static const int64_t ahead_s[] = {0, -3600, INT64_C(21) * 86400, INT64_C(3650) * 86400};
    int64_t ahead_us = ahead_s[sim_draw(sim, 4)] * 1000000;
    sim->is_clock_wrong = ahead_us != 0;
    crash_disk_set_clock(sim->disk, ahead_us, !sim->is_clock_wrong);
    sim_event(sim, "clock: %" PRId64 " s ahead", ahead_us / 1000000);
}

/* One thing that one of the gateway's threads, or time, does next. */
static void
step(struct sim *sim)
{
    unsigned what = sim_draw(sim, 12);
    if (what < 3) {
        receive(sim);
    } else if (what == 3) {
        sync_journal(sim);
    } else if (what < 6) {
        if (engine_turn(sim->engine)) {
            sim_event(sim, "engine: read on");
        }
    } else if (what < 10) {
        outbox_turn(sim->sinks[sim_draw(sim, (unsigned)sim->sink_count)]->outbox);
    } else {
        crash_disk_advance(sim->disk, sim_draw(sim, 60000));
        if (sim->setup.seed % 8 >= 5 && sim_draw(sim, 6) == 0) {
            set_clock(sim);
        }
    }
}

static bool
is_drained(struct sim *sim)
{
    bool is_drained = true;
    for (size_t i = 0; i < sim->sink_count && is_drained; i++) {
        is_drained = outbox_is_drained(sim->sinks[i]->outbox);
    }
    return is_drained;
}

/* Until every message is acknowledged and nothing waits anywhere. */
static void
settle(struct sim *sim, uint64_t end)
{
    unsigned idle = 0;
    unsigned steps = 0;
    for (; idle < IDLE_ROUNDS && steps < QUIET_STEPS_MAX && is_alive(sim, end); steps++) {
        bool has_moved = receive(sim);
        sync_journal(sim);
        has_moved |= engine_turn(sim->engine);
        for (size_t i = 0; i < sim->sink_count; i++) {
            outbox_turn(sim->sinks[i]->outbox);
        }
        crash_disk_advance(sim->disk, idle > 0 ? WINDOW_US / 2 : 20000);
        idle = has_moved || !is_drained(sim) ? 0 : idle + 1;
    }
    if (steps == QUIET_STEPS_MAX) {
        sim_wrong(sim, "life %u does not come to rest", sim->lives);
    }
}

/* Runs until the world ends at moment `end`, or all is quiet. */
static void
live(struct sim *sim, uint64_t end)
{
    sim->lives++;
    sim_event(sim, "life %u", sim->lives);
    crash_disk_stop_after(sim->disk, end == UINT64_MAX
                                             ? UINT64_MAX
                                             : end - crash_disk_changes(sim->disk));
    if (!bring_up(sim, end)) {
        return;
    }
    for (unsigned i = sim->setup.messages * 12; i > 0 && is_alive(sim, end); i--) {
        step(sim);
    }
    settle(sim, end);
}

static void
crash(struct sim *sim, enum crash_mode mode)
{
    sim_event(sim, "crash: %s", sim_mode_name(mode));
    take_down(sim);
    crash_disk_cut(sim->disk, mode);
    lose_connection(sim, mode);
}

/* ---- a run ---- */

static void
set_up(struct sim *sim, const struct sim_setup *setup)
{
    *sim = (struct sim){.setup = *setup, .random = setup->seed, .digest = 1,
                        .doubtful_token = SIZE_MAX};
    sim->disk = crash_disk_new(setup->seed);
    sim->os = crash_disk_os(sim->disk);
    sim->is_taken = mem_new_array(bool, setup->messages);
    static const enum journal_sync policies[] = {JOURNAL_SYNC_ALWAYS, JOURNAL_SYNC_ALWAYS,
                                                 JOURNAL_SYNC_INTERVAL, JOURNAL_SYNC_NEVER};
    sim->policy = policies[setup->seed % 4];
    crash_disk_lie(sim->disk, setup->broken == BREAK_LYING_SYNC    ? CRASH_LIE_SYNC
                              : setup->broken == BREAK_LYING_NAMES ? CRASH_LIE_SYNC_DIR
                                                                   : CRASH_LIE_NONE);
}

void
sim_run(struct sim *sim, const struct sim_setup *setup)
{
    set_up(sim, setup);
    if (setup->crash_at == UINT64_MAX) {
        for (unsigned i = sim_draw(sim, CRASHES_MAX) + 1; i > 0 && sim->wrong.size == 0; i--) {
            live(sim, crash_disk_changes(sim->disk) + 1 + sim_draw(sim, CHANCE_MOMENTS));
            crash(sim, (enum crash_mode)sim_draw(sim, CRASH_TEAR + 1));
        }
    } else if (setup->crash_at > 0) {
        live(sim, setup->crash_at);
        crash(sim, setup->mode);
    }
    if (sim->wrong.size == 0) {
        live(sim, UINT64_MAX);
    }
    if (sim->wrong.size == 0) {
        sim_check(sim);
    }
    sim->moments = crash_disk_changes(sim->disk);
    take_down(sim);
}

void
sim_fini(struct sim *sim)
{
    crash_disk_free(sim->disk);
    free(sim->is_taken);
    free(sim->tokens);
    buf_fini(&sim->wrong);
}
