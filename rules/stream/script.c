/*
 * A text of statements: what is declared, and a program for each INSERT.
 *
 * A statement may use what other texts declare (stream_host.declarations): those are read first,
 * and only what this text's own queries name of them is planned. Errors are told at the text that
 * they are in.
 */
#include "plan.h"

#include "base/mem.h"
#include "base/option.h"

#include <stdlib.h>

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
    planner->meaning = UINT64_C(14695981039346656037);
    planner->format = STREAM_TIME_SQL;
    planner->scope = NULL;
}

/* The option of CREATE RULE; else the host's. */
static size_t
state_max_bytes(struct planner *planner, const struct statement *statement)
{
    const struct stream_host *host = planner->host;
    int64_t bytes = host == NULL || host->state_max_bytes == 0 ? STREAM_STATE_DEFAULT_MAX_BYTES
                                                               : (int64_t)host->state_max_bytes;
    for (size_t i = 0; i < statement->options.count; i++) {
        const struct option_item *item = &statement->options.items[i];
        if (bytes_equal_string(item->name, "state.max") &&
            (!option_parse_size(item->value, &bytes) || bytes <= 0)) {
            stream_fail(&planner->compiler, item->value_span, "'%.*s' is no size",
                        BYTES_ARG(item->value));
            stream_hint(&planner->compiler, "write 64M, or 512k");
        }
    }
    return (size_t)bytes;
}

/* The option of CREATE RULE; else any number. */
static size_t
state_max_entries(struct planner *planner, const struct statement *statement)
{
    int64_t entries = INT64_MAX;
    for (size_t i = 0; i < statement->options.count; i++) {
        const struct option_item *item = &statement->options.items[i];
        if (bytes_equal_string(item->name, "state.max_entries") &&
            (!bytes_to_int64(item->value, &entries) || entries <= 0)) {
            stream_fail(&planner->compiler, item->value_span, "'%.*s' is no number of entries",
                        BYTES_ARG(item->value));
            stream_hint(&planner->compiler, "a key, a key in a window, or a row that waits is one");
        }
    }
    return (size_t)entries;
}

static void
finish_program(struct planner *planner, const struct stream_op_plan *end,
               const struct relation_entry *target, const struct statement *statement)
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
    plan_mean_layout(planner);
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
                              : plan_time_format(target->statement),
            .zone = planner->compiler.zone,
            .state_max_bytes = state_max_bytes(planner, statement),
            .state_max_entries = state_max_entries(planner, statement),
            .start = statement->span.start,
            .fingerprint = planner->meaning,
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
add_pump(struct planner *planner, struct relation_entry *entry, const struct statement *insert)
{
    entry->pumps = mem_grow(entry->pumps, entry->pump_count, &entry->pump_capacity,
                            sizeof *entry->pumps);
    entry->pumps[entry->pump_count++] = (struct pump){insert, planner->compiler.lines};
}

/* What is told by its FROM alone: topic SQL, which has its own compiler, also over what a function
 * emits. */
static bool
is_topic_sql(struct planner *planner, const struct statement *insert)
{
    const struct source *from = insert->select->from;
    if (insert->dialect != DIALECT_STREAM || from == NULL) {
        return true;
    }
    const struct relation_entry *entry =
            from->kind == SOURCE_TABLE ? plan_find(planner, from->name.items[0]) : NULL;
    return entry != NULL && entry->statement->kind == STATEMENT_CREATE_FUNCTION &&
           from->join_count == 0 && from->match == NULL;
}

/*
 * Finds what the INSERT fills, of several targets the first that has columns; NULL in `*out` when
 * none has. False after an error.
 */
static bool
find_target(struct planner *planner, const struct statement *insert, struct relation_entry **out,
            struct span *span)
{
    *out = NULL;
    for (size_t i = 0; i < insert->target_count; i++) {
        const struct target *target = &insert->targets[i];
        struct relation_entry *entry = target->topic ? NULL : plan_find(planner, target->text);
        if (!target->topic && entry == NULL) {
            stream_fail(&planner->compiler, target->span, "unknown table '%.*s'",
                        BYTES_ARG(target->text));
            return false;
        }
        if (entry != NULL && entry->statement->kind == STATEMENT_CREATE_VIEW) {
            stream_fail(&planner->compiler, target->span, "'%.*s' is a view, which holds no rows",
                        BYTES_ARG(target->text));
            return false;
        }
        bool is_better = entry != NULL && (*out == NULL || (!plan_has_columns(*out) &&
                                                            plan_has_columns(entry)));
        if (is_better) {
            *out = entry;
            *span = target->span;
        }
    }
    return true;
}

static void
load_insert(struct planner *planner, const struct statement *statement)
{
    struct relation_entry *entry;
    struct span span;
    begin_program(planner);
    if (is_topic_sql(planner, statement) || !find_target(planner, statement, &entry, &span)) {
        return;
    }
    const struct stream_op_plan *query = plan_query(planner, statement->select);
    if (query != NULL && entry != NULL) {
        query = plan_assign(planner, span, query, entry, statement);
    }
    finish_program(planner, query, entry, statement);
    if (entry != NULL && entry->statement->kind == STATEMENT_CREATE_STREAM) {
        add_pump(planner, entry, statement);
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

static struct relation_entry *
add_entry(struct planner *planner, const struct statement *statement)
{
    planner->entries = mem_grow(planner->entries, planner->entry_count, &planner->entry_capacity,
                                sizeof *planner->entries);
    struct relation_entry *entry = &planner->entries[planner->entry_count++];
    *entry = (struct relation_entry){
            .statement = statement,
            .table = statement->kind == STATEMENT_CREATE_VIEW ? NULL
                                                              : table_of(planner, statement),
            .lines = planner->compiler.lines,
    };
    return entry;
}

/* Declared first, whatever stands before: a query may name what stands behind it. */
static void
load_declaration(struct planner *planner, const struct statement *statement)
{
    struct relation_entry *old = plan_find(planner, statement->name);
    if (old == NULL || !bytes_equal(old->statement->name, statement->name)) {
        add_entry(planner, statement);
        return;
    }
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
    old->lines = planner->compiler.lines;
}

/* Errors of a view or a table are told where it stands. */
static void
check_declaration(struct planner *planner, const struct statement *statement)
{
    const struct relation_entry *entry = plan_find(planner, statement->name);
    begin_program(planner);
    if (entry == NULL || entry->statement != statement) {
        return; /* IF NOT EXISTS, or replaced */
    }
    if (statement->kind == STATEMENT_CREATE_VIEW) {
        plan_query(planner, statement->select);
    } else if (statement->kind == STATEMENT_CREATE_TABLE && statement->column_count > 0) {
        plan_outside(planner, entry);
    }
}

/* What another text declares: it is planned where it is used. */
static void
load_foreign(struct planner *planner, const struct statement *statement)
{
    if (statement->kind == STATEMENT_INSERT) {
        const struct target *target = &statement->targets[0];
        struct relation_entry *entry = target->topic ? NULL : plan_find(planner, target->text);
        if (entry != NULL && entry->statement->kind == STATEMENT_CREATE_STREAM) {
            add_pump(planner, entry, statement);
        }
    } else if (statement->kind != STATEMENT_SET && statement->kind != STATEMENT_SELECT) {
        add_entry(planner, statement);
    }
}

static void
read_foreign(struct planner *planner, struct diag_list *diags)
{
    struct arena *arena = planner->compiler.arena;
    const struct stream_host *host = planner->host;
    struct line_index lines = {0};
    for (size_t i = 0; host != NULL && i < host->declaration_count; i++) {
        const struct stream_declaration *declaration = &host->declarations[i];
        struct parser parser;
        if (i == 0 || declaration->text.data != host->declarations[i - 1].text.data) {
            struct bytes text = arena_copy(arena, declaration->text);
            lines = line_index_of(arena_copy(arena, declaration->path), text, arena);
        }
        const struct token_source source = {.file = lines.file,
                                            .text = lines.text,
                                            .comments = true,
                                            .range = {declaration->start, declaration->end}};
        parser_init(&parser, &source, DIALECT_STREAM, arena, diags);
        parser.lines = lines;
        planner->compiler.lines = lines;
        const struct statement *statement = parse_statement(&parser);
        if (statement != NULL) {
            load_foreign(planner, statement);
        }
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

static bool
is_declaration(const struct statement *statement)
{
    return statement->kind == STATEMENT_CREATE_TABLE || statement->kind == STATEMENT_CREATE_VIEW ||
           statement->kind == STATEMENT_CREATE_STREAM ||
           statement->kind == STATEMENT_CREATE_FUNCTION;
}

static void
load_statement(struct planner *planner, const struct statement *statement)
{
    switch (statement->kind) {
    case STATEMENT_CREATE_TABLE:
    case STATEMENT_CREATE_VIEW:
        check_declaration(planner, statement);
        return;
    case STATEMENT_SET:
        load_set(planner, statement);
        return;
    case STATEMENT_INSERT:
        load_insert(planner, statement);
        return;
    case STATEMENT_SELECT:
        begin_program(planner);
        finish_program(planner, plan_query(planner, statement->select), NULL, statement);
        return;
    case STATEMENT_CREATE_STREAM:
    case STATEMENT_CREATE_FUNCTION:
        return;
    }
}

/* Declarations, then everything else in its order. */
static void
load_text(struct planner *planner, struct parser *parser)
{
    const struct statement **statements = NULL;
    size_t count = 0, capacity = 0;
    while (!parser_at_end(parser)) {
        const struct statement *statement = parse_statement(parser);
        if (statement != NULL) {
            statements = mem_grow(statements, count, &capacity, sizeof *statements);
            statements[count++] = statement;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (is_declaration(statements[i])) {
            load_declaration(planner, statements[i]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        load_statement(planner, statements[i]);
    }
    free(statements);
}

/* The programs go to the script. */
static void
planner_finish(struct planner *planner, struct stream_script *script)
{
    struct stream_program **programs = arena_new_array(&script->arena, struct stream_program *,
                                                       planner->program_count);
    if (planner->program_count > 0) {
        memcpy(programs, planner->programs, planner->program_count * sizeof *programs);
    }
    script->programs = programs;
    script->program_count = planner->program_count;
    for (size_t i = 0; i < planner->entry_count; i++) {
        const struct relation_entry *entry = &planner->entries[i];
        for (size_t p = 0; p < planner->program_count && entry->is_read; p++) {
            planner->programs[p]->is_inner |= planner->programs[p]->target == entry->table;
        }
        free(entry->pumps);
    }
    free(planner->entries);
    free(planner->programs);
    free(planner);
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
    struct planner *planner = mem_new(struct planner);
    planner->compiler = (struct stream_compiler){.arena = arena, .diags = diags};
    planner->host = host;
    planner->scratch = arena;
    read_foreign(planner, diags);
    parser_init(&parser, &source, DIALECT_STREAM, arena, diags);
    parser.lone_select = lone_select;
    planner->compiler.lines = parser.lines;
    planner->compiler.lines.file = source.file;
    load_text(planner, &parser);
    planner_finish(planner, script);
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
