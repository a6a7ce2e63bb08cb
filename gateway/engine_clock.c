/*
 * When time passes, and in which order inputs are read: decided once, written down, and the same
 * again in a replay.
 *
 * Stream SQL has rows that no message sets free: a window in processing time ends, a source has
 * been silent for too long. A tick lets time pass for all flows. When it comes depends on the
 * machine, so what it gives could not be made again after a crash: windows would fire between other
 * messages, and their rows have other names. Therefore a tick that sets something free is written
 * to a log of its own before it runs, with the positions of all inputs; its rows are named by its
 * place in that log. A restart reads the log from the checkpoint on, reads each input up to the
 * positions of the next entry, runs the tick, and so on; behind the last entry it is live again.
 *
 * A flow that joins several inputs also depends on the order in which they are read. While there
 * is one, the log says whose turn it is, too, whenever that changes.
 *
 * An entry's payload: u8 version, 1 | u8 kind | signed time in ms | counted name of the input whose
 * turn it is | varint number of inputs | each: counted name, varint position
 *
 * Time is the wall clock, a little behind, so that a message that is being received is hardly ever
 * older than a tick; and it does not pass by messages that wait to be read. A clock that was never
 * set lets no time pass. When it is set back by less than a minute, flows stand still until it is
 * there again; by more, and an entry sets their time back, too (stream_run_set_back()). Engine thread.
 */
#include "engine_state.h"

#include "base/mem.h"
#include "base/wire.h"

#include <stdlib.h>

enum {
    ENTRY_VERSION = 1,
    TICK_EVERY_MS = 100,
    BEHIND_MS = 50,
    REPLAY_WAIT_MS = 20, /* for a journal that is being opened */
    SET_BACK_MS = 60000, /* for less than that flows stand still when the clock is set back */
    SEGMENT_BYTES = 1024 * 1024,
    ENTRY_BYTES_MAX = 1024 * 1024,
};

enum entry_kind { ENTRY_TICK = 1, ENTRY_TURN = 2, ENTRY_SET_BACK = 3 };

struct entry {
    enum entry_kind kind;
    int64_t time_ms;
    struct bytes turn;
    struct wire_reader positions; /* the rest: count, names, positions */
    uint64_t position, next;      /* in the log */
};

struct clock {
    char *dir;
    struct journal *journal; /* NULL until there is something to write */
    struct input *input;     /* its position: what of the log is done */
    struct journal_reader *reader; /* in a replay */
    uint64_t replay_tail;
    bool has_entry; /* the next of the replay */
    struct entry entry;
    struct buf entry_bytes;
    const struct input *turn; /* NULL: nobody has been told */
    char *turn_name;          /* of the replay's last entry; its input may not be there */
    int64_t looked_us;        /* monotonic */
    struct log_gate trouble_gate;
};

/* ---- the log ---- */

static bool
open_journal(struct engine *engine, struct diag_list *diags)
{
    const struct journal_options options = {
            .os = engine->options.os,
            .dir = engine->clock->dir,
            .segment_bytes = SEGMENT_BYTES,
            .record_max_bytes = ENTRY_BYTES_MAX,
            .sync = engine->options.reads_synced ? JOURNAL_SYNC_ALWAYS : JOURNAL_SYNC_NEVER,
            .position_least = committed_position(&engine->committed, BYTES(CLOCK_STREAM)),
    };
    return journal_open(&engine->clock->journal, &options, diags);
}

static bool
is_ordered(const struct input *input)
{
    return input->kind == INPUT_MESSAGES || input->kind == INPUT_STREAM;
}

static void
encode_entry(const struct engine *engine, enum entry_kind kind, int64_t time_ms,
             const struct input *turn, struct buf *out)
{
    size_t count = 0;
    wire_put_u8(out, ENTRY_VERSION);
    wire_put_u8(out, (uint8_t)kind);
    wire_put_signed(out, time_ms);
    wire_put_bytes(out, turn == NULL ? BYTES("") : bytes_of_string(turn->stream));
    for (size_t i = 0; i < engine->input_count; i++) {
        count += is_ordered(engine->inputs[i]);
    }
    wire_put_varint(out, count);
    for (size_t i = 0; i < engine->input_count; i++) {
        if (is_ordered(engine->inputs[i])) {
            wire_put_bytes(out, bytes_of_string(engine->inputs[i]->stream));
            wire_put_varint(out, engine->inputs[i]->position);
        }
    }
}

static bool
decode_entry(const struct record *record, struct clock *clock)
{
    struct entry *entry = &clock->entry;
    buf_clear(&clock->entry_bytes);
    buf_append(&clock->entry_bytes, record->payload);
    struct wire_reader reader = wire_reader(buf_bytes(&clock->entry_bytes));
    bool is_known = wire_get_u8(&reader) == ENTRY_VERSION;
    *entry = (struct entry){.position = record->position, .next = record->next};
    entry->kind = (enum entry_kind)wire_get_u8(&reader);
    entry->time_ms = wire_get_signed(&reader);
    entry->turn = wire_get_bytes(&reader);
    entry->positions = reader;
    return is_known && entry->kind >= ENTRY_TICK && entry->kind <= ENTRY_SET_BACK &&
           !reader.failed;
}

/* Without its entry nothing may happen: false, until the disk takes it. */
static bool
write_entry(struct engine *engine, enum entry_kind kind, int64_t time_ms, const struct input *turn,
            struct record *out)
{
    struct clock *clock = engine->clock;
    const struct os *os = engine->options.os;
    struct diag_list diags = {0};
    struct buf payload = {0};
    encode_entry(engine, kind, time_ms, turn, &payload);
    *out = (struct record){.time_us = os->wall_us(os), .payload = buf_bytes(&payload)};
    bool written = (clock->journal != NULL || open_journal(engine, &diags)) &&
                   journal_append(clock->journal, out, &diags);
    if (written) {
        clock->input->position = out->next;
    } else if (log_gate_open(&clock->trouble_gate, os->mono_us(os) / 1000, ENGINE_LOG_EVERY_MS)) {
        log_error("time stands still for windows: %.*s", BYTES_ARG(diag_first_error(&diags)));
    }
    out->payload = BYTES("");
    buf_fini(&payload);
    diag_list_fini(&diags);
    return written;
}

/* ---- replay ---- */

static void
end_replay(struct clock *clock)
{
    journal_reader_close(clock->reader);
    clock->reader = NULL;
}

/* The next entry; what is damaged was not needed for what the checkpoint holds. */
static void
read_entry(struct engine *engine)
{
    struct clock *clock = engine->clock;
    struct diag_list diags = {0};
    struct record record;
    clock->has_entry = false;
    while (!clock->has_entry) {
        enum journal_read read =
                journal_reader_next(clock->reader, clock->replay_tail, &record, &diags);
        if (read == JOURNAL_RECORD) {
            clock->has_entry = decode_entry(&record, clock);
        } else if (read != JOURNAL_GAP) {
            break;
        }
    }
    if (diags.errors > 0) {
        log_diags(&diags);
    }
    diag_list_fini(&diags);
}

/* Where the next entry wants an input to be; an input that it does not know stays where it is. */
static uint64_t
wanted_position(const struct clock *clock, const struct input *input)
{
    struct wire_reader reader = clock->entry.positions;
    uint64_t count = wire_get_varint(&reader);
    for (uint64_t i = 0; i < count && !reader.failed; i++) {
        struct bytes name = wire_get_bytes(&reader);
        uint64_t position = wire_get_varint(&reader);
        if (!reader.failed && bytes_equal_string(name, input->stream)) {
            return position;
        }
    }
    return input->position;
}

static bool
is_turn_of(const struct clock *clock, const struct input *input)
{
    return clock->turn_name == NULL ||
           strcmp(clock->turn_name, input->stream) == 0;
}

/* Everything of an input is read; the journal of messages has no end before it is opened. */
static bool
is_read_up(const struct engine *engine, const struct input *input)
{
    uint64_t end = engine_input_end(engine, input);
    return input->position >= end && (end > 0 || input->kind != INPUT_MESSAGES);
}

/* Where the entry wants them, or at their ends: a power cut may have taken records. */
static bool
have_inputs_come(const struct engine *engine)
{
    for (size_t i = 0; i < engine->input_count; i++) {
        const struct input *input = engine->inputs[i];
        if (is_ordered(input) && input->position < wanted_position(engine->clock, input) &&
            !is_read_up(engine, input)) {
            return false;
        }
    }
    return true;
}

static const struct input *
find_input(const struct engine *engine, const char *stream)
{
    for (size_t i = 0; i < engine->input_count; i++) {
        if (strcmp(engine->inputs[i]->stream, stream) == 0) {
            return engine->inputs[i];
        }
    }
    return NULL;
}

static void
run_tick(struct engine *engine, enum entry_kind kind, uint64_t position, uint64_t next,
         int64_t time_ms)
{
    const struct record record = {
            .position = position, .next = next, .time_us = time_ms * 1000};
    engine_run_tick(engine, engine->clock->input, &record, kind == ENTRY_SET_BACK);
    arena_reset(&engine->arena);
    engine->moved = true;
}

static bool
step_replay(struct engine *engine)
{
    struct clock *clock = engine->clock;
    if (!clock->has_entry) {
        const struct input *turn =
                clock->turn_name == NULL ? NULL : find_input(engine, clock->turn_name);
        if (turn == NULL || is_read_up(engine, turn)) {
            end_replay(clock);
        }
        return false;
    }
    if (!have_inputs_come(engine)) {
        return false;
    }
    if (clock->entry.kind == ENTRY_TURN) {
        free(clock->turn_name);
        clock->turn_name = bytes_to_string(clock->entry.turn);
    } else {
        run_tick(engine, clock->entry.kind, clock->entry.position, clock->entry.next,
                 clock->entry.time_ms);
    }
    clock->input->position = clock->entry.next;
    read_entry(engine);
    return true;
}

uint64_t
engine_clock_limit(const struct engine *engine, const struct input *input, uint64_t tail)
{
    const struct clock *clock = engine->clock;
    if (clock->reader == NULL || !is_ordered(input)) {
        return tail;
    }
    if (!clock->has_entry) {
        return is_turn_of(clock, input) ? tail : input->position;
    }
    uint64_t wanted = wanted_position(clock, input);
    return wanted < tail ? wanted : tail;
}

/* ---- live ---- */

bool
engine_clock_take_turn(struct engine *engine, struct input *input)
{
    struct clock *clock = engine->clock;
    if (!engine->current->has_joint_flow || !is_ordered(input) || clock->reader != NULL ||
        clock->turn == input) {
        return true;
    }
    struct record record;
    if (!write_entry(engine, ENTRY_TURN, 0, input, &record)) {
        return false;
    }
    clock->turn = input;
    return true;
}

void
engine_clock_forget_turn(struct engine *engine)
{
    engine->clock->turn = NULL;
}

/* Up to when time may pass: INT64_MIN, not at all. */
static int64_t
passed_us(const struct engine *engine)
{
    const struct os *os = engine->options.os;
    int64_t now_us = os->wall_us(os) - (int64_t)BEHIND_MS * 1000;
    for (size_t i = 0; i < engine->input_count; i++) {
        const struct input *input = engine->inputs[i];
        if (is_ordered(input) && engine_input_end(engine, input) > input->position &&
            input->read_us < now_us) {
            now_us = input->read_us;
        }
    }
    return wall_is_set(now_us) ? now_us : INT64_MIN;
}

static void
note_step(struct engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    int64_t step_us = wall_look(&engine->wall, engine->options.os);
    engine->stats.clock_steps += step_us != 0;
    pthread_mutex_unlock(&engine->lock);
    if (step_us != 0) {
        log_notice("the clock was set %s by %lld s", step_us > 0 ? "forward" : "back",
                   (long long)(step_us > 0 ? step_us : -step_us) / 1000000);
    }
}

/* Flows live in a future that the clock has left; and what it stamped there has been read. */
static bool
is_set_back(const struct engine *engine, int64_t now_us)
{
    int64_t limit_us = now_us + (int64_t)SET_BACK_MS * 1000;
    if (now_us == INT64_MIN || engine_latest_flow_ms(engine) <= limit_us / 1000) {
        return false;
    }
    for (size_t i = 0; i < engine->input_count; i++) {
        const struct input *input = engine->inputs[i];
        if (is_ordered(input) && input->read_us > limit_us && !is_read_up(engine, input)) {
            return false;
        }
    }
    return true;
}

static bool
let_time_pass(struct engine *engine)
{
    struct clock *clock = engine->clock;
    const struct os *os = engine->options.os;
    int64_t mono_us = os->mono_us(os);
    if (mono_us - clock->looked_us < (int64_t)TICK_EVERY_MS * 1000) {
        return false;
    }
    clock->looked_us = mono_us;
    note_step(engine);
    int64_t now_us = passed_us(engine);
    enum entry_kind kind = is_set_back(engine, now_us) ? ENTRY_SET_BACK : ENTRY_TICK;
    struct record record;
    if (now_us == INT64_MIN ||
        (kind == ENTRY_TICK && engine_next_tick_ms(engine) > now_us / 1000) ||
        !write_entry(engine, kind, now_us / 1000, NULL, &record)) {
        return false;
    }
    run_tick(engine, kind, record.position, record.next, now_us / 1000);
    return true;
}

bool
engine_clock_step(struct engine *engine)
{
    return engine->clock->reader != NULL ? step_replay(engine) : let_time_pass(engine);
}

int
engine_clock_timeout_ms(const struct engine *engine)
{
    const struct clock *clock = engine->clock;
    if (clock->reader != NULL) {
        return REPLAY_WAIT_MS;
    }
    int64_t next_ms = engine_next_tick_ms(engine);
    if (is_set_back(engine, passed_us(engine))) {
        return TICK_EVERY_MS;
    }
    if (next_ms == INT64_MAX) {
        return -1;
    }
    const struct os *os = engine->options.os;
    int64_t left_ms = next_ms + BEHIND_MS + 1 - os->wall_us(os) / 1000;
    return left_ms < TICK_EVERY_MS ? TICK_EVERY_MS : left_ms > 60000 ? 60000 : (int)left_ms;
}

/* ---- life ---- */

static void
note_entry(void *context, const char *name)
{
    *(bool *)context = true;
}

/* Entries behind the checkpoint are to be done again. */
static bool
begin_replay(struct engine *engine, struct diag_list *diags)
{
    struct clock *clock = engine->clock;
    clock->replay_tail = journal_tail(clock->journal);
    if (clock->replay_tail <= clock->input->position) {
        return true;
    }
    if (!journal_reader_open(&clock->reader, engine->options.os, clock->dir,
                             clock->input->position, diags)) {
        return false;
    }
    read_entry(engine);
    return true;
}

bool
engine_open_clock(struct engine *engine, struct diag_list *diags)
{
    struct clock *clock = mem_new(struct clock);
    struct buf dir = {0};
    bool is_there = false;
    buf_printf(&dir, "%s/clock", engine->options.data_dir);
    clock->dir = buf_take_string(&dir);
    clock->input = engine_add_input(engine, INPUT_CLOCK, CLOCK_STREAM, clock->dir);
    engine->clock = clock;
    engine->options.os->list(engine->options.os, clock->dir, note_entry, &is_there);
    return !is_there || (open_journal(engine, diags) && begin_replay(engine, diags));
}

void
engine_close_clock(struct engine *engine)
{
    struct clock *clock = engine->clock;
    if (clock == NULL) {
        return;
    }
    journal_reader_close(clock->reader);
    journal_close(clock->journal);
    buf_fini(&clock->entry_bytes);
    free(clock->turn_name);
    free(clock->dir);
    free(clock);
}

uint64_t
engine_clock_tail(const struct engine *engine)
{
    const struct clock *clock = engine->clock;
    return clock->journal == NULL ? 0 : journal_tail(clock->journal);
}
