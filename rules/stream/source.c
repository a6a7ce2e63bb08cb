/*
 * Where rows come from: a JSON payload read as a declared table's columns, its event time, and the
 * watermark behind it.
 *
 * The watermark is the greatest value of the WATERMARK expression so far: it never goes back, NULL
 * does not count. A row that is bad, or has no event time, does not move it; neither does one from
 * beyond max_future, which would make all that follows late.
 */
#include "op.h"

enum { IDLE_STEP_MS = 1000 }; /* in which event time goes on by the clock */

struct source_op {
    struct stream_op op;
    int64_t last_row_ms; /* processing time of the last row; for idle_ms */
    bool is_idle;
};

static struct stream_value
metadata(const struct stream_source_column *column, const struct stream_message *message)
{
    switch (column->metadata) {
    case METADATA_TOPIC:
        return (struct stream_value){.text = message->topic};
    case METADATA_TIME:
        return stream_integer(message->time_ms);
    case METADATA_QOS:
        return stream_integer(message->qos);
    default:
        return stream_integer((int64_t)message->position);
    }
}

/* The physical columns; false: the row is bad. */
static bool
read_columns(const struct stream_source_plan *plan, struct stream_run *run,
             const struct stream_message *message, struct stream_value *row)
{
    struct json json;
    struct json_error error;
    if (!json_parse(&json, message->payload, JSON_DEPTH_MAX_DEFAULT, &run->arena, &error) ||
        json.nodes[0].kind != JSON_OBJECT) {
        return false;
    }
    for (size_t i = 0; i < plan->op.schema.count; i++) {
        const struct stream_source_column *column = &plan->columns[i];
        if (column->metadata != METADATA_NONE) {
            row[i] = metadata(column, message);
        } else if (column->is_physical &&
                   !stream_value_read(&row[i], plan->op.schema.columns[i].type, &json,
                                      json_member(&json, 0, column->name), &run->arena)) {
            return false;
        }
    }
    return true;
}

static bool
compute_columns(const struct source_op *source, struct stream_run *run, struct stream_value *row)
{
    const struct stream_source_plan *plan = (const struct stream_source_plan *)source->op.plan;
    for (size_t i = 0; i < plan->op.schema.count; i++) {
        const struct stream_node *node = plan->columns[i].computed;
        if (node != NULL && !stream_op_eval(&source->op, run, node, row, &row[i])) {
            return false;
        }
    }
    return true;
}

static void
advance(struct source_op *source, struct stream_run *run, const struct stream_value *row)
{
    const struct stream_source_plan *plan = (const struct stream_source_plan *)source->op.plan;
    struct stream_value watermark;
    if (plan->watermark != NULL &&
        stream_op_eval(&source->op, run, plan->watermark, row, &watermark) &&
        !watermark.is_null && watermark.integer > source->op.watermark_ms) {
        source->op.watermark_ms = watermark.integer;
        stream_push_watermark(&source->op, run, watermark.integer);
    }
}

/* Whether the row's event time is one that can be worked with. */
static bool
check_event_time(const struct stream_source_plan *plan, struct stream_run *run,
                 const struct stream_message *message, const struct stream_value *row)
{
    if (plan->event_column == SIZE_MAX) {
        return true;
    }
    const struct stream_value *time = &row[plan->event_column];
    if (time->is_null) {
        run->stats.null_rowtime++;
        stream_reject(run, "the event time is missing");
        return false;
    }
    if (plan->max_future_ms > 0 && !message->is_clock_doubted &&
        time->integer > run->context.now_ms + plan->max_future_ms) {
        run->stats.future++;
        stream_reject(run, "the event time is too far in the future");
        return false;
    }
    return true;
}

/* False: the row is not to be used, and why has been said. */
static bool
read_row(const struct source_op *source, struct stream_run *run,
         const struct stream_message *message, struct stream_value *row)
{
    const struct stream_source_plan *plan = (const struct stream_source_plan *)source->op.plan;
    if (!read_columns(plan, run, message, row)) {
        run->stats.bad++;
        stream_reject(run, "not JSON, or a column has another type");
        return false;
    }
    return compute_columns(source, run, row) && check_event_time(plan, run, message, row);
}

/* Grows with each row that something rejects. */
static uint64_t
count_rejections(const struct stream_stats *stats)
{
    return stats->bad + stats->null_rowtime + stats->late + stats->no_window + stats->failed +
           stats->refused;
}

void
stream_source_message(struct stream_op *op, struct stream_run *run,
                      const struct stream_message *message)
{
    struct source_op *source = (struct source_op *)op;
    struct stream_value *row =
            arena_new_array(&run->arena, struct stream_value, op->plan->schema.count);
    source->last_row_ms = run->context.now_ms;
    source->is_idle = false;
    stream_push_idle(op, run, false);
    if (!read_row(source, run, message, row)) {
        run->stats.turned_away++;
        return;
    }
    uint64_t before = count_rejections(&run->stats);
    stream_push(op, run, row);
    bool is_rejected = count_rejections(&run->stats) > before;
    run->stats.rejected += is_rejected;
    run->stats.used += !is_rejected;
    advance(source, run, row);
}

/* After idle_ms without a row the source holds nobody back; or its event time goes on by the clock,
 * so that the last windows close. */
static int64_t
next_tick(const struct stream_op *op)
{
    const struct source_op *source = (const struct source_op *)op;
    const struct stream_source_plan *plan = (const struct stream_source_plan *)op->plan;
    bool waits = plan->idle_ms > 0 && plan->watermark != NULL && op->watermark_ms != INT64_MIN &&
                 op->watermark_ms != INT64_MAX && (plan->is_idle_advance || !source->is_idle);
    int64_t step_ms = plan->is_idle_advance && source->is_idle ? IDLE_STEP_MS : 1;
    return waits ? source->last_row_ms + plan->idle_ms + step_ms : INT64_MAX;
}

static void
tick(struct stream_op *op, struct stream_run *run)
{
    struct source_op *source = (struct source_op *)op;
    const struct stream_source_plan *plan = (const struct stream_source_plan *)op->plan;
    int64_t silent_ms = run->context.now_ms - source->last_row_ms - plan->idle_ms;
    if (silent_ms <= 0) {
        return;
    }
    if (!plan->is_idle_advance) {
        source->is_idle = true;
        stream_push_idle(op, run, true);
        return;
    }
    source->is_idle = true;
    source->last_row_ms += silent_ms;
    op->watermark_ms += silent_ms;
    stream_push_watermark(op, run, op->watermark_ms);
}

static void
set_back(struct stream_op *op, struct stream_run *run)
{
    ((struct source_op *)op)->last_row_ms = run->context.now_ms;
}

static void
row(struct stream_op *op, struct stream_run *run, unsigned port, const struct stream_value *values)
{
    never("nothing is pushed to a source");
}

static void
save(const struct stream_op *op, struct buf *out)
{
    const struct source_op *source = (const struct source_op *)op;
    wire_put_u64(out, (uint64_t)source->last_row_ms);
    wire_put_u8(out, source->is_idle);
}

static bool
load(struct stream_op *op, struct wire_reader *reader)
{
    struct source_op *source = (struct source_op *)op;
    source->last_row_ms = (int64_t)wire_get_u64(reader);
    source->is_idle = wire_get_u8(reader) != 0;
    return wire_at_end(reader);
}

const struct stream_op_class stream_source_class = {
        .name = "source",
        .size = sizeof(struct source_op),
        .row = row,
        .next_tick = next_tick,
        .tick = tick,
        .set_back = set_back,
        .save = save,
        .load = load,
};
