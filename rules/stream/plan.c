/*
 * Tables, views, in-application streams and pumps: as sources, and as what INSERT fills.
 *
 * A view is planned again in each query that reads it. So is a stream of Kinesis Analytics: what
 * reads it goes on where its pumps end, in the same program. A stream without a pump is where rows
 * come in from outside.
 */
#include "plan.h"

#include "base/mem.h"

#include <stdlib.h>

/* ---- names ---- */

struct relation_entry *
plan_find(struct planner *planner, struct bytes name)
{
    for (int loose = 0; loose < 2; loose++) {
        for (size_t i = 0; i < planner->entry_count; i++) {
            struct bytes other = planner->entries[i].statement->name;
            if (loose ? bytes_equal_nocase(other, name) : bytes_equal(other, name)) {
                return &planner->entries[i];
            }
        }
    }
    return NULL;
}

bool
plan_has_columns(const struct relation_entry *entry)
{
    return entry->statement->kind == STATEMENT_CREATE_VIEW || entry->statement->column_count > 0;
}

static struct bytes
option(const struct statement *statement, const char *name)
{
    for (size_t i = 0; i < statement->options.count; i++) {
        if (bytes_equal_string(statement->options.items[i].name, name)) {
            return statement->options.items[i].value;
        }
    }
    return bytes_of(NULL, 0);
}

/* ---- a table as a source ---- */

/* "10 min", "30s", "500 ms": as Flink writes durations. */
static bool
duration_ms(struct bytes text, int64_t *out)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"sec", 1000}, {"m", 60000}, {"min", 60000},
                 {"h", 3600000}, {"d", 86400000}};
    size_t digits = 0;
    while (digits < text.size && text.data[digits] >= '0' && text.data[digits] <= '9') {
        digits++;
    }
    struct bytes unit = bytes_trim(bytes_slice(text, digits, text.size));
    if (!bytes_to_int64(bytes_slice(text, 0, digits), out) || *out > INT64_MAX / 86400000) {
        return false;
    }
    if (unit.size == 0) {
        return *out == 0;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (bytes_equal_nocase(unit, bytes_of_string(units[i].unit))) {
            *out *= units[i].ms;
            return true;
        }
    }
    return false;
}

static bool
read_duration(struct planner *planner, const struct statement *statement, const char *name,
              int64_t *out)
{
    struct bytes text = option(statement, name);
    if (text.data == NULL || duration_ms(text, out)) {
        return true;
    }
    stream_fail(&planner->compiler, statement->name_span, "'%s' = '%.*s' is no duration", name,
                BYTES_ARG(text));
    stream_hint(&planner->compiler, "write 30 s, 10 min, 500 ms");
    return false;
}

static bool
set_metadata(struct planner *planner, const struct column *column,
             struct stream_source_column *out)
{
    struct bytes key = column->metadata_key.size > 0 ? column->metadata_key : column->name;
    static const struct {
        const char *key;
        enum stream_metadata metadata;
    } keys[] = {{"topic", METADATA_TOPIC}, {"timestamp", METADATA_TIME}, {"qos", METADATA_QOS},
                {"offset", METADATA_OFFSET}, {"sequence-number", METADATA_OFFSET}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (bytes_equal_string(key, keys[i].key)) {
            out->metadata = keys[i].metadata;
            return true;
        }
    }
    stream_fail(&planner->compiler, column->span, "there is no metadata '%.*s'", BYTES_ARG(key));
    stream_hint(&planner->compiler, "there are topic, timestamp, qos and offset");
    return false;
}

/* The physical and metadata columns, so that computed ones can use them; then those. */
static bool
read_columns(struct planner *planner, const struct statement *statement,
             struct stream_source_plan *plan)
{
    struct stream_compiler *compiler = &planner->compiler;
    bool kinesis = statement->kind == STATEMENT_CREATE_STREAM;
    size_t count = statement->column_count + kinesis;
    struct stream_column *columns = arena_new_array(compiler->arena, struct stream_column, count);
    struct stream_source_column *sources = arena_new_array(compiler->arena,
                                                           struct stream_source_column, count);
    plan->op.schema = (struct stream_schema){columns, count};
    plan->columns = sources;
    for (size_t i = 0; i < statement->column_count; i++) {
        const struct column *column = &statement->columns[i];
        columns[i].name = arena_copy(compiler->arena, column->name);
        sources[i].name = columns[i].name;
        columns[i].nested = arena_copy(compiler->arena, column->type);
        sources[i].is_physical = column->computed == NULL && !column->metadata;
        if (column->computed == NULL && !stream_type_parse(column->type, &columns[i].type)) {
            stream_fail(compiler, column->span, "unknown type '%.*s'", BYTES_ARG(column->type));
            return false;
        }
        if (column->metadata && !set_metadata(planner, column, &sources[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < statement->column_count; i++) {
        const struct stream_schema before = {columns, statement->column_count};
        const struct stream_scope scope = {.schema = &before};
        const struct expr *computed = statement->columns[i].computed;
        if (computed != NULL) {
            sources[i].computed = stream_compile(compiler, &scope, computed);
            if (sources[i].computed == NULL) {
                return false;
            }
            columns[i].type = sources[i].computed->type;
            columns[i].attribute = sources[i].computed->attribute;
        }
    }
    if (kinesis) { /* ROWTIME: when the row came in */
        const struct stream_schema nothing = {0};
        const struct stream_scope scope = {.schema = &nothing};
        const struct expr now = {.kind = EXPR_CALL, .text = BYTES("LOCALTIMESTAMP")};
        columns[count - 1] = (struct stream_column){
                .name = BYTES("ROWTIME"), .type = stream_type_of(STREAM_TIMESTAMP),
                .attribute = ATTRIBUTE_PROCESSING, .is_hidden = true};
        sources[count - 1].computed = stream_compile(compiler, &scope, &now);
    }
    return true;
}

static bool
read_watermark(struct planner *planner, const struct statement *statement,
               struct stream_source_plan *plan)
{
    struct stream_compiler *compiler = &planner->compiler;
    const struct watermark *watermark = statement->watermark;
    plan->event_column = SIZE_MAX;
    if (watermark == NULL) {
        return true;
    }
    const struct expr column = {.kind = EXPR_NAME, .text = watermark->column,
                                .span = watermark->span};
    bool ambiguous;
    size_t i = stream_find_column(&plan->op.schema, &column, &ambiguous);
    if (i == SIZE_MAX || !stream_is_time(plan->op.schema.columns[i].type)) {
        stream_fail(compiler, watermark->span, "WATERMARK needs a column of type TIMESTAMP(3)");
        stream_hint(compiler, "time AS TO_TIMESTAMP_LTZ(milliseconds, 3) makes one of a number");
        return false;
    }
    const struct stream_scope scope = {.schema = &plan->op.schema};
    plan->event_column = i;
    plan->watermark = stream_compile(compiler, &scope, watermark->expr);
    if (plan->watermark == NULL) {
        return false;
    }
    if (!stream_is_time(plan->watermark->type)) {
        stream_fail(compiler, watermark->span, "the watermark must be a time");
        return false;
    }
    ((struct stream_column *)(uintptr_t)plan->op.schema.columns)[i].attribute = ATTRIBUTE_EVENT;
    return true;
}

enum stream_time_format
plan_time_format(const struct statement *statement)
{
    return bytes_starts_with(option(statement, "json.timestamp-format.standard"), BYTES("ISO"))
                   ? STREAM_TIME_ISO
                   : STREAM_TIME_SQL;
}

/* 'gateway.idle' and 'gateway.watermark-scope'. */
static bool
read_words(struct planner *planner, const struct statement *statement,
           struct stream_source_plan *plan)
{
    struct bytes idle = option(statement, "gateway.idle");
    struct bytes scope = option(statement, "gateway.watermark-scope");
    plan->is_idle_advance = idle.data == NULL
                                    ? option(statement, "scan.watermark.idle-timeout").data == NULL
                                    : bytes_equal_string(idle, "advance");
    if (idle.data != NULL && !plan->is_idle_advance && !bytes_equal_string(idle, "hold")) {
        stream_fail(&planner->compiler, statement->name_span,
                    "'gateway.idle' is 'advance' or 'hold'");
        return false;
    }
    if (scope.data == NULL || bytes_equal_string(scope, "source")) {
        return true;
    }
    if (!bytes_equal_string(scope, "key") || statement->partition_count == 0) {
        stream_fail(&planner->compiler, statement->name_span,
                    "'gateway.watermark-scope' is 'source', or 'key' of a table that is "
                    "PARTITIONED BY its key");
        return false;
    }
    planner->scope = statement;
    return true;
}

const struct stream_op_plan *
plan_outside(struct planner *planner, const struct relation_entry *entry)
{
    const struct statement *statement = entry->statement;
    struct stream_source_plan *plan = arena_new(planner->compiler.arena,
                                                struct stream_source_plan);
    plan_mean_table(planner, statement);
    plan->op.class = &stream_source_class;
    plan->table = entry->table->name;
    plan->index = planner->source_count;
    if (planner->host != NULL) {
        plan->max_future_ms = planner->host->max_future_ms;
        plan->idle_ms = planner->host->idle_ms;
    }
    if (!read_columns(planner, statement, plan) || !read_watermark(planner, statement, plan) ||
        !read_words(planner, statement, plan) ||
        !read_duration(planner, statement, "gateway.max-future", &plan->max_future_ms) ||
        !read_duration(planner, statement, "scan.watermark.idle-timeout", &plan->idle_ms)) {
        return NULL;
    }
    if (planner->source_count == 0) {
        planner->format = plan_time_format(statement);
    }
    planner->source_tables[planner->source_count] = entry->table;
    planner->sources[planner->source_count++] = plan;
    return plan_add(planner, &plan->op);
}

/* ---- in-application streams ---- */

static void
pass_row(struct stream_op *op, struct stream_run *run, unsigned port,
         const struct stream_value *row)
{
    stream_push(op, run, row);
}

/* Rows of two pumps into one stream. */
static const struct stream_op_class union_class = {
        .name = "union", .size = sizeof(struct stream_op), .row = pass_row};

/* What a pump gives, as the stream's columns with ROWTIME behind. */
static const struct stream_op_plan *
plan_pump(struct planner *planner, const struct relation_entry *entry, const struct pump *pump)
{
    const struct line_index lines = planner->compiler.lines;
    planner->compiler.lines = pump->lines;
    const struct stream_op_plan *query = plan_query(planner, pump->statement->select);
    if (query != NULL) {
        query = plan_assign(planner, pump->statement->span, query, entry, pump->statement);
    }
    planner->compiler.lines = lines;
    return query;
}

static const struct stream_op_plan *
plan_stream(struct planner *planner, const struct relation_entry *entry)
{
    const struct stream_op_plan *all = plan_pump(planner, entry, &entry->pumps[0]);
    for (size_t i = 1; i < entry->pump_count && all != NULL; i++) {
        const struct stream_op_plan *more = plan_pump(planner, entry, &entry->pumps[i]);
        if (more == NULL) {
            return NULL;
        }
        struct stream_op_plan *both = arena_new(planner->compiler.arena, struct stream_op_plan);
        *both = (struct stream_op_plan){&union_class, all->schema, {all, more}, 2};
        all = plan_add(planner, both);
    }
    return all;
}

const struct stream_op_plan *
plan_named_relation(struct planner *planner, const struct relation_entry *entry)
{
    const struct line_index lines = planner->compiler.lines;
    const struct stream_op_plan *plan;
    planner->compiler.lines = entry->lines;
    if (entry->statement->kind == STATEMENT_CREATE_VIEW) {
        plan = plan_query(planner, entry->statement->select);
    } else if (entry->pump_count > 0) {
        ((struct relation_entry *)(uintptr_t)entry)->is_read = true;
        plan = plan_stream(planner, entry);
    } else {
        plan = plan_outside(planner, entry);
    }
    planner->compiler.lines = lines;
    return plan;
}

/* ---- INSERT: a query's columns become a table's ---- */

/* Whether a value may be assigned without saying CAST. Kinesis and numbers: with a check. */
static bool
assignable(struct stream_type from, struct stream_type to, bool kinesis)
{
    if (from.kind == STREAM_NULLS || from.kind == to.kind) {
        return true;
    }
    if (stream_is_number(from) && stream_is_number(to)) {
        return kinesis || from.kind == STREAM_INTEGER || to.kind != STREAM_INTEGER;
    }
    bool times = (stream_is_time(from) || from.kind == STREAM_DATE) &&
                 (stream_is_time(to) || to.kind == STREAM_DATE);
    return times || (from.kind == STREAM_JSON && to.kind == STREAM_STRING);
}

/* The columns of a table that INSERT fills: physical ones, or those that it names. */
static size_t
target_columns(struct planner *planner, const struct relation_entry *entry,
               const struct statement *insert, size_t *out)
{
    const struct statement *table = entry->statement;
    size_t count = 0;
    for (size_t n = 0; n < insert->insert_column_count; n++) {
        size_t i = 0;
        while (i < table->column_count &&
               !bytes_equal_nocase(table->columns[i].name, insert->insert_columns[n])) {
            i++;
        }
        if (i == table->column_count || table->columns[i].computed != NULL) {
            stream_fail(&planner->compiler, insert->span, "'%.*s' is no column to insert into",
                        BYTES_ARG(insert->insert_columns[n]));
            return SIZE_MAX;
        }
        out[count++] = i;
    }
    for (size_t i = 0; i < table->column_count && insert->insert_column_count == 0; i++) {
        if (table->columns[i].computed == NULL && !table->columns[i].metadata) {
            out[count++] = i;
        }
    }
    return count;
}

static bool
assign_column(struct planner *planner, const struct relation_entry *entry,
              const struct stream_op_plan *query, size_t from, const struct column *column,
              struct span span, const struct stream_node **out)
{
    struct stream_compiler *compiler = &planner->compiler;
    struct stream_type to;
    const struct stream_column *source = &query->schema.columns[from];
    bool kinesis = entry->statement->kind == STATEMENT_CREATE_STREAM;
    if (!stream_type_parse(column->type, &to)) {
        stream_fail(compiler, column->span, "unknown type '%.*s'", BYTES_ARG(column->type));
        return false;
    }
    const struct stream_node *node = stream_column_node(compiler, &query->schema, from);
    *out = assignable(source->type, to, kinesis) ? stream_cast_node(compiler, node, to) : NULL;
    if (*out == NULL) {
        struct buf a = {0}, b = {0};
        stream_type_print(source->type, &a);
        stream_type_print(to, &b);
        stream_fail(compiler, span, "column '%.*s' is %s, and gets %s", BYTES_ARG(column->name),
                    buf_string(&b), buf_string(&a));
        stream_hint(compiler, "CAST(x AS %s)", buf_string(&b));
        buf_fini(&a);
        buf_fini(&b);
    }
    return *out != NULL;
}

const struct stream_op_plan *
plan_assign(struct planner *planner, struct span span, const struct stream_op_plan *query,
            const struct relation_entry *entry, const struct statement *insert)
{
    struct arena *arena = planner->compiler.arena;
    const struct statement *table = entry->statement;
    bool kinesis = table->kind == STATEMENT_CREATE_STREAM;
    size_t *targets = arena_new_array(planner->scratch, size_t,
                                      table->column_count + insert->insert_column_count + 1);
    size_t count = target_columns(planner, entry, insert, targets);
    if (count == SIZE_MAX) {
        return NULL;
    }
    if (count != query->schema.count && table->column_count > 0) {
        return stream_fail(&planner->compiler, span,
                           "the column count differs: '%.*s' takes %zu, the query gives %zu",
                           BYTES_ARG(table->name), count, query->schema.count);
    }
    if (table->column_count == 0) {
        return query; /* a table that takes what comes */
    }
    const struct stream_node **nodes = arena_new_array(arena, const struct stream_node *,
                                                       count + kinesis);
    struct stream_column *columns = arena_new_array(arena, struct stream_column, count + kinesis);
    for (size_t i = 0; i < count; i++) {
        const struct column *column = &table->columns[targets[i]];
        if (!assign_column(planner, entry, query, i, column, span, &nodes[i])) {
            return NULL;
        }
        columns[i] = (struct stream_column){.name = arena_copy(arena, column->name),
                                            .type = nodes[i]->type};
    }
    if (kinesis) {
        const struct stream_schema nothing = {0};
        const struct stream_scope scope = {.schema = &nothing};
        const struct expr now = {.kind = EXPR_CALL, .text = BYTES("LOCALTIMESTAMP")};
        nodes[count] = stream_compile(&planner->compiler, &scope, &now);
        columns[count] = (struct stream_column){
                .name = BYTES("ROWTIME"), .type = stream_type_of(STREAM_TIMESTAMP),
                .attribute = ATTRIBUTE_PROCESSING, .is_hidden = true};
    }
    struct stream_select_plan *plan = plan_new(planner, struct stream_select_plan,
                                               &stream_select_class, query);
    plan->items = nodes;
    plan->op.schema = (struct stream_schema){columns, count + kinesis};
    return plan_add(planner, &plan->op);
}
