/*
 * Statements: tables, views, in-application streams and pumps, and the programs of INSERT.
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

static enum stream_time_format
time_format(const struct statement *statement)
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

static const struct stream_op_plan *
plan_outside(struct planner *planner, const struct relation_entry *entry)
{
    const struct statement *statement = entry->statement;
    struct stream_source_plan *plan = arena_new(planner->compiler.arena,
                                                struct stream_source_plan);
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
        planner->format = time_format(statement);
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
plan_pump(struct planner *planner, const struct relation_entry *entry,
          const struct statement *pump)
{
    const struct stream_op_plan *query = plan_select(planner, pump->select);
    return query == NULL ? NULL
                         : plan_assign(planner, pump->span, query, entry, pump);
}

static const struct stream_op_plan *
plan_stream(struct planner *planner, const struct relation_entry *entry)
{
    const struct stream_op_plan *all = plan_pump(planner, entry, entry->pumps[0]);
    for (size_t i = 1; i < entry->pump_count && all != NULL; i++) {
        const struct stream_op_plan *more = plan_pump(planner, entry, entry->pumps[i]);
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
plan_table(struct planner *planner, const struct relation_entry *entry)
{
    return entry->pump_count > 0 ? plan_stream(planner, entry) : plan_outside(planner, entry);
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

/* ---- programs ---- */

static const struct bytes *
json_names(struct planner *planner, const struct stream_schema *schema)
{
    struct arena *arena = planner->compiler.arena;
    struct bytes *names = arena_new_array(arena, struct bytes, schema->count);
    for (size_t i = 0; i < schema->count; i++) {
        struct buf name = {.arena = arena};
        json_write_string(&name, schema->columns[i].name);
        buf_append_char(&name, ':');
        names[i] = arena_copy(arena, buf_bytes(&name));
    }
    return names;
}

/* What state depends on: the kinds of the operators and the types of their rows. */
static uint64_t
fingerprint(const struct planner *planner)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < planner->op_count; i++) {
        const struct stream_op_plan *op = planner->ops[i];
        for (const char *c = op->class->name; *c != '\0'; c++) {
            hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
        }
        for (size_t c = 0; c < op->schema.count; c++) {
            const struct stream_type *type = &op->schema.columns[c].type;
            hash = (hash ^ type->kind) * UINT64_C(1099511628211);
            hash = (hash ^ type->width) * UINT64_C(1099511628211);
        }
    }
    return hash;
}

/* Hidden columns do not go out. */
static const struct stream_op_plan *
drop_hidden(struct planner *planner, const struct stream_op_plan *op)
{
    size_t count = 0;
    struct arena *arena = planner->compiler.arena;
    const struct stream_node **nodes = arena_new_array(arena, const struct stream_node *,
                                                       op->schema.count);
    struct stream_column *columns = arena_new_array(arena, struct stream_column,
                                                    op->schema.count);
    for (size_t i = 0; i < op->schema.count; i++) {
        if (!op->schema.columns[i].is_hidden) {
            nodes[count] = stream_column_node(&planner->compiler, &op->schema, i);
            columns[count++] = op->schema.columns[i];
        }
    }
    if (count == op->schema.count) {
        return op;
    }
    struct stream_select_plan *plan = plan_new(planner, struct stream_select_plan,
                                               &stream_select_class, op);
    plan->items = nodes;
    plan->op.schema = (struct stream_schema){columns, count};
    return plan_add(planner, &plan->op);
}

static void
begin_program(struct planner *planner)
{
    planner->op_count = 0;
    planner->source_count = 0;
    planner->nesting = 0;
    planner->format = STREAM_TIME_SQL;
    planner->scope = NULL;
}

static void
finish_program(struct planner *planner, const struct stream_op_plan *end,
               const struct relation_entry *target)
{
    struct arena *arena = planner->compiler.arena;
    end = end == NULL ? NULL : drop_hidden(planner, end);
    if (end == NULL) {
        return;
    }
    if (planner->scope != NULL && planner->source_count > 1) {
        stream_fail(&planner->compiler, planner->scope->name_span,
                    "a query of several tables cannot have a watermark for each key");
        return;
    }
    struct stream_program *program = arena_new(arena, struct stream_program);
    const struct stream_op_plan **ops = arena_new_array(arena, const struct stream_op_plan *,
                                                        planner->op_count);
    const struct stream_source_plan **sources = arena_new_array(
            arena, const struct stream_source_plan *, planner->source_count);
    const struct stream_table **tables = arena_new_array(arena, const struct stream_table *,
                                                         planner->source_count);
    memcpy(ops, planner->ops, planner->op_count * sizeof *ops);
    memcpy(sources, planner->sources, planner->source_count * sizeof *sources);
    memcpy(tables, planner->source_tables, planner->source_count * sizeof *tables);
    *program = (struct stream_program){
            .ops = ops,
            .op_count = planner->op_count,
            .sources = sources,
            .source_tables = tables,
            .source_count = planner->source_count,
            .target = target == NULL ? NULL : target->table,
            .names = json_names(planner, &end->schema),
            .format = target == NULL || target->statement->kind != STATEMENT_CREATE_TABLE
                              ? planner->format
                              : time_format(target->statement),
            .zone = planner->compiler.zone,
            .state_max_bytes = planner->host == NULL || planner->host->state_max_bytes == 0
                                       ? STREAM_STATE_DEFAULT_MAX_BYTES
                                       : planner->host->state_max_bytes,
            .fingerprint = fingerprint(planner),
    };
    if (planner->scope != NULL) {
        const struct stream_table *table = program->source_tables[0];
        program->scope = table->partition_by;
        program->scope_count = table->partition_count;
    }
    planner->programs = mem_grow(planner->programs, planner->program_count,
                                 &planner->program_capacity, sizeof *planner->programs);
    planner->programs[planner->program_count++] = program;
}

static void
load_insert(struct planner *planner, const struct statement *statement)
{
    const struct target *target = &statement->targets[0];
    begin_program(planner);
    if (statement->dialect != DIALECT_STREAM) {
        return; /* topic SQL has its own compiler */
    }
    struct relation_entry *entry = target->topic ? NULL : plan_find(planner, target->text);
    if (!target->topic && entry == NULL) {
        stream_fail(&planner->compiler, target->span, "unknown table '%.*s'",
                    BYTES_ARG(target->text));
        return;
    }
    const struct stream_op_plan *query = plan_select(planner, statement->select);
    if (query != NULL && entry != NULL) {
        query = plan_assign(planner, target->span, query, entry, statement);
    }
    finish_program(planner, query, entry);
    if (entry != NULL && entry->statement->kind == STATEMENT_CREATE_STREAM) {
        size_t capacity = entry->pump_capacity;
        entry->pumps = mem_grow(entry->pumps, entry->pump_count, &capacity,
                                sizeof *entry->pumps);
        entry->pump_capacity = capacity;
        entry->pumps[entry->pump_count++] = statement;
    }
}

/* ---- declarations ---- */

static const struct stream_table *
table_of(struct planner *planner, const struct statement *statement)
{
    struct arena *arena = planner->compiler.arena;
    struct stream_table *table = arena_new(arena, struct stream_table);
    struct stream_option *options = arena_new_array(arena, struct stream_option,
                                                    statement->options.count);
    struct bytes *partition = arena_new_array(arena, struct bytes, statement->partition_count);
    for (size_t i = 0; i < statement->options.count; i++) {
        const struct option_item *item = &statement->options.items[i];
        options[i] = (struct stream_option){
                arena_copy(arena, item->name), arena_copy(arena, item->value),
                line_index_place(&planner->compiler.lines, item->value_span)};
    }
    for (size_t i = 0; i < statement->partition_count; i++) {
        partition[i] = arena_copy(arena, statement->partition_by[i]);
    }
    *table = (struct stream_table){
            .name = arena_copy(arena, statement->name),
            .options = options,
            .option_count = statement->options.count,
            .partition_by = partition,
            .partition_count = statement->partition_count,
    };
    return table;
}

static void
load_declaration(struct planner *planner, const struct statement *statement)
{
    struct relation_entry *old = plan_find(planner, statement->name);
    if (old != NULL && bytes_equal(old->statement->name, statement->name)) {
        if (statement->if_not_exists) {
            return;
        }
        if (!statement->or_replace) {
            stream_fail(&planner->compiler, statement->name_span, "'%.*s' is declared twice",
                        BYTES_ARG(statement->name));
            return;
        }
        old->statement = statement;
        old->table = table_of(planner, statement);
        return;
    }
    planner->entries = mem_grow(planner->entries, planner->entry_count, &planner->entry_capacity,
                                sizeof *planner->entries);
    planner->entries[planner->entry_count++] = (struct relation_entry){
            .statement = statement,
            .table = statement->kind == STATEMENT_CREATE_VIEW ? NULL
                                                              : table_of(planner, statement),
    };
    if (statement->kind == STATEMENT_CREATE_VIEW) { /* errors are told where the view is */
        begin_program(planner);
        plan_select(planner, statement->select);
    } else if (statement->kind == STATEMENT_CREATE_TABLE && statement->column_count > 0) {
        begin_program(planner);
        plan_outside(planner, &planner->entries[planner->entry_count - 1]);
    }
}

static void
load_set(struct planner *planner, const struct statement *statement)
{
    const struct option_item *item = &statement->options.items[0];
    if (!bytes_equal_string(item->name, "table.local-time-zone")) {
        return; /* settings of a cluster, which have no meaning here */
    }
    const struct stream_host *host = planner->host;
    planner->compiler.zone = host == NULL || host->zone == NULL
                                     ? NULL
                                     : host->zone(host->context, item->value);
    if (planner->compiler.zone == NULL) {
        stream_fail(&planner->compiler, item->value_span, "unknown time zone '%.*s'",
                    BYTES_ARG(item->value));
        stream_hint(&planner->compiler, "a name like Europe/Berlin, or an offset like +02:00");
    }
}

static void
load_statement(struct planner *planner, const struct statement *statement)
{
    switch (statement->kind) {
    case STATEMENT_CREATE_TABLE:
    case STATEMENT_CREATE_VIEW:
    case STATEMENT_CREATE_STREAM:
        load_declaration(planner, statement);
        return;
    case STATEMENT_SET:
        load_set(planner, statement);
        return;
    case STATEMENT_INSERT:
        load_insert(planner, statement);
        return;
    case STATEMENT_SELECT:
        begin_program(planner);
        finish_program(planner, plan_select(planner, statement->select), NULL);
        return;
    case STATEMENT_CREATE_FUNCTION:
        return;
    }
}

bool
stream_script_parse(struct stream_script **out, struct bytes path, struct bytes text,
                    bool lone_select, const struct stream_host *host, struct diag_list *diags)
{
    size_t errors = diags->errors;
    struct stream_script *script = mem_new(struct stream_script);
    struct arena *arena = &script->arena;
    struct token_source source = {arena_copy(arena, path), arena_copy(arena, text), true, {0, 0}};
    struct parser parser;
    parser_init(&parser, &source, DIALECT_STREAM, arena, diags);
    parser.lone_select = lone_select;
    struct planner *planner = mem_new(struct planner);
    planner->compiler = (struct stream_compiler){.arena = arena, .lines = parser.lines,
                                                 .diags = diags};
    planner->compiler.lines.file = source.file;
    planner->host = host;
    planner->scratch = arena;
    while (!parser_at_end(&parser)) {
        const struct statement *statement = parse_statement(&parser);
        if (statement != NULL) {
            load_statement(planner, statement);
        }
    }
    struct stream_program **programs = arena_new_array(arena, struct stream_program *,
                                                       planner->program_count);
    if (planner->program_count > 0) {
        memcpy(programs, planner->programs, planner->program_count * sizeof *programs);
    }
    script->programs = programs;
    script->program_count = planner->program_count;
    for (size_t i = 0; i < planner->entry_count; i++) {
        free(planner->entries[i].pumps);
    }
    free(planner->entries);
    free(planner->programs);
    free(planner);
    if (diags->errors > errors) {
        stream_script_free(script);
        return false;
    }
    *out = script;
    return true;
}

void
stream_script_free(struct stream_script *script)
{
    if (script != NULL) {
        arena_fini(&script->arena);
        free(script);
    }
}
