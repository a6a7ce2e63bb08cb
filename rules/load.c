/*
 * From the text of a rule file, or of one query, to its rules and declarations.
 *
 * Tokens and trees live in a scratch arena that is gone when the file is compiled; what stays
 * (text, names, programs) lives in the file's own arena.
 */
#include "load.h"

#include "base/mem.h"
#include "fields.h"
#include "lint.h"
#include "topic.h"

#include <stdlib.h>

enum { FILE_ERRORS_MAX = 100, RULE_ALIGNMENT = 32 };

/* ---- places, options ---- */

struct diag_place
loader_place(struct loader *loader, struct span span)
{
    struct diag_place place = line_index_place(&loader->compiler.lines, span);
    place.file = loader->file->name;
    return place;
}

static struct bytes
keep(struct loader *loader, struct bytes text)
{
    return compiler_keep(&loader->compiler, text);
}

/* All options but 'connector', which goes to `*connector`. */
static const struct rule_option *
keep_options(struct loader *loader, const struct option_items *items, struct bytes *connector,
             size_t *count)
{
    struct rule_option *options = arena_new_array(&loader->file->arena, struct rule_option,
                                                  items->count);
    *count = 0;
    for (size_t i = 0; i < items->count; i++) {
        const struct option_item *item = &items->items[i];
        if (connector != NULL && bytes_equal(item->name, BYTES("connector"))) {
            *connector = keep(loader, item->value);
            continue;
        }
        options[(*count)++] = (struct rule_option){
                .name = keep(loader, item->name),
                .value = keep(loader, item->value),
                .place = loader_place(loader, item->value_span),
        };
    }
    return options;
}

/* ---- rules ---- */

static struct bytes
file_stem(struct bytes path)
{
    struct bytes part;
    struct bytes stem = path;
    while (bytes_split(&path, '/', &part)) {
        stem = part;
    }
    size_t end = stem.size;
    for (size_t i = 1; i < stem.size; i++) {
        if (stem.data[i] == '.') {
            end = i;
        }
    }
    return bytes_slice(stem, 0, end);
}

struct bytes
loader_next_name(struct loader *loader, char separator)
{
    struct bytes stem = file_stem(loader->file->name);
    loader->unnamed_count++;
    if (loader->unnamed_count == 1) {
        return arena_copy(&loader->file->arena, stem);
    }
    return arena_printf(&loader->file->arena, "%.*s%c%zu", BYTES_ARG(stem), separator,
                        loader->unnamed_count);
}

bool
loader_set_source(struct loader *loader, struct rule_info *info, const struct source *from)
{
    info->source_place = loader_place(loader, from->span);
    if (from->kind == SOURCE_TABLE && from->name.count == 1) {
        info->source_kind = RULE_SOURCE_RELATION;
        info->source = keep(loader, from->name.items[0]);
        return true;
    }
    if (from->kind != SOURCE_TOPIC) {
        compiler_report(&loader->compiler, DIAG_ERROR, from->span,
                        "a rule reads a topic or a declared table");
        return false;
    }
    info->source_kind = RULE_SOURCE_TOPIC;
    info->source = keep(loader, from->text);
    const char *reason;
    size_t at;
    if (!topic_filter_is_valid(from->text, &reason, &at)) {
        compiler_report(&loader->compiler, DIAG_ERROR, from->span, "%s", reason);
        return false;
    }
    const char *hint, *odd = lint_filter(from->text, &hint);
    if (odd != NULL) {
        compiler_report(&loader->compiler, DIAG_WARNING, from->span, "%s", odd);
        if (hint != NULL) {
            compiler_hint(&loader->compiler, "%s", hint);
        }
    }
    return true;
}

bool
loader_compile_target(struct loader *loader, enum rule_target_kind kind, struct bytes text,
                      struct span span, struct target_program *out)
{
    out->kind = kind;
    if (kind == RULE_TARGET_RELATION) {
        out->text = text;
        return true;
    }
    if (kind == RULE_TARGET_TOPIC && bytes_starts_with(text, BYTES("$$"))) {
        text = bytes_slice(text, 1, text.size); /* AWS writes a leading '$' twice */
    }
    struct template *template = &out->template;
    loader->compiler.place = kind == RULE_TARGET_TOPIC ? PLACE_TOPIC : PLACE_TEMPLATE;
    if (!template_compile(template, &loader->compiler, text, span)) {
        return false;
    }
    if (kind == RULE_TARGET_TOPIC && template_is_fixed(template) && !topic_is_valid(text)) {
        compiler_report(&loader->compiler, DIAG_ERROR, span, "nobody can publish to this topic");
        compiler_hint(&loader->compiler, "a topic is not empty and has no '+' and '#'; "
                                         "${topic(2)} takes a level from the message's topic");
        return false;
    }
    return true;
}

static bool
set_targets(struct loader *loader, struct rule *rule, const struct target *targets, size_t count)
{
    struct arena *arena = &loader->file->arena;
    struct rule_target *kept = arena_new_array(arena, struct rule_target, count);
    struct target_program *programs = arena_new_array(&loader->scratch, struct target_program,
                                                      count);
    bool ok = true;
    for (size_t i = 0; i < count; i++) {
        kept[i] = (struct rule_target){
                .kind = targets[i].topic ? RULE_TARGET_TOPIC : RULE_TARGET_RELATION,
                .text = keep(loader, targets[i].text),
                .place = loader_place(loader, targets[i].span),
        };
        ok = loader_compile_target(loader, kept[i].kind, kept[i].text, targets[i].span,
                                   &programs[i]) &&
             ok;
    }
    rule->about->info.targets = kept;
    rule->about->info.target_count = count;
    rule->targets = pool_targets(&loader->compiler.pool, programs, count);
    rule->target_count = (uint32_t)count;
    return ok;
}

/* As in a statement: what could stand there without quotes is a name, everything else a topic. */
static bool
is_relation_name(struct bytes text)
{
    bool is_name = text.size > 0 && !(text.data[0] >= '0' && text.data[0] <= '9');
    for (size_t i = 0; i < text.size && is_name; i++) {
        char c = text.data[i];
        is_name = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_';
    }
    return is_name;
}

/* The error action of a rule in SQL: its option 'on_error'. */
static bool
set_error_target(struct loader *loader, struct rule *rule, const struct option_items *options)
{
    struct arena *arena = &loader->file->arena;
    const struct option_item *item = NULL;
    for (size_t i = 0; i < options->count; i++) {
        if (bytes_equal(options->items[i].name, BYTES("on_error"))) {
            item = &options->items[i];
        }
    }
    if (item == NULL) {
        return true;
    }
    struct rule_target *target = arena_new(arena, struct rule_target);
    struct target_program program = {0};
    target->kind = is_relation_name(item->value) ? RULE_TARGET_RELATION : RULE_TARGET_TOPIC;
    target->text = keep(loader, item->value);
    target->place = loader_place(loader, item->value_span);
    rule->about->info.error_targets = target;
    rule->about->info.error_target_count = 1;
    bool ok = loader_compile_target(loader, target->kind, target->text, item->value_span,
                                    &program);
    rule->about->error_targets = pool_targets(&loader->compiler.pool, &program, 1);
    return ok;
}

static uint64_t
salt_of(struct bytes name)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < name.size; i++) {
        hash = (hash ^ (unsigned char)name.data[i]) * UINT64_C(1099511628211);
    }
    return hash;
}

struct rule *
loader_new_rule(struct loader *loader)
{
    struct rule *rule = arena_new(&loader->scratch, struct rule);
    rule->about = arena_new(&loader->file->arena, struct rule_about);
    return rule;
}

void
loader_add_rule(struct loader *loader, struct rule *rule, struct span name_span)
{
    struct bytes name = rule->about->info.name;
    if (map_put(&loader->names, name, rule->about) != NULL) {
        compiler_report(&loader->compiler, DIAG_ERROR, name_span,
                        "there are two rules named '%.*s'", BYTES_ARG(name));
        return;
    }
    rule->about->salt = salt_of(name);
    rule->version_2015 = loader->compiler.version_2015;
    rule->about->info.calls_functions = loader->compiler.uses.calls > 0;
    loader->rules = mem_grow(loader->rules, loader->rule_count, &loader->rule_capacity,
                             sizeof *loader->rules);
    loader->rules[loader->rule_count++] = *rule;
}

/* What all rules have in common. */
static bool
finish_rule(struct loader *loader, struct rule *rule, const struct statement *statement)
{
    struct rule_info *info = &rule->about->info;
    const struct select *select = statement->select;
    bool ok = set_error_target(loader, rule, &statement->options);
    info->name = statement->name.size > 0 ? keep(loader, statement->name)
                                          : loader_next_name(loader, '.');
    info->options = keep_options(loader, &statement->options, NULL, &info->option_count);
    info->text = bytes_slice(loader->file->text, statement->span.start, statement->span.end);
    info->sql = bytes_slice(loader->file->text, select->span.start, select->span.end);
    info->place = loader_place(loader, statement->span);
    return ok;
}

static bool
set_any_source(struct loader *loader, struct rule_info *info, const struct select *select)
{
    if (select->from == NULL) {
        compiler_report(&loader->compiler, DIAG_ERROR, select->span, "a rule needs FROM");
        compiler_hint(&loader->compiler, "FROM 'topic/filter'");
        return false;
    }
    loader->compiler.source_alias = select->from->alias;
    return loader_set_source(loader, info, select->from);
}

/* As topic SQL; of a bare source errors are kept aside, for it may be stream SQL. */
static const struct query *
compile_topic_query(struct loader *loader, struct rule_about *about, const struct select *select)
{
    if (about->info.source_kind == RULE_SOURCE_TOPIC) {
        return compile_query(&loader->compiler, select);
    }
    struct compiler *compiler = &loader->compiler;
    struct diag_list *deferred = &loader->file->deferred;
    const struct compiler before = *compiler;
    about->deferred_first = deferred->count;
    compiler->diags = deferred;
    compiler->diags_before = deferred->count;
    compiler->errors_before = deferred->errors;
    const struct query *query = compile_query(compiler, select);
    about->deferred_count = deferred->count - about->deferred_first;
    compiler->diags = before.diags;
    compiler->diags_before = before.diags_before;
    compiler->errors_before = before.errors_before;
    compiler->muted = before.muted;
    return query;
}

static void
load_insert(struct loader *loader, const struct statement *statement)
{
    struct compiler *compiler = &loader->compiler;
    const struct select *select = statement->select;
    struct rule *rule = loader_new_rule(loader);
    struct rule_info *info = &rule->about->info;
    compiler->variable_count = 0;
    compiler->source_alias = BYTES("");
    bool ok = set_any_source(loader, info, select);
    struct fields fields = fields_of(&loader->scratch, compiler->source_alias);
    rule->query = compile_topic_query(loader, rule->about, select);
    compiler->fields = &fields;
    ok = set_targets(loader, rule, statement->targets, statement->target_count) && ok;
    compiler->fields = NULL;
    fields_finish(&fields, select, &loader->file->arena, &compiler->lines, info);
    ok = finish_rule(loader, rule, statement) && ok;
    if (ok && (rule->query != NULL || info->source_kind == RULE_SOURCE_RELATION)) {
        loader_add_rule(loader, rule, statement->name_span);
    }
}

/* ---- stream SQL: found here, compiled when the files are linked ---- */

static void
declare(struct loader *loader, const struct statement *statement, enum rule_declaration_kind kind,
        struct bytes name)
{
    struct span span = statement->name.size > 0 ? statement->name_span : statement->span;
    loader->declarations = mem_grow(loader->declarations, loader->declaration_count,
                                    &loader->declaration_capacity, sizeof *loader->declarations);
    loader->declarations[loader->declaration_count++] = (struct rule_declaration){
            .name = keep(loader, name),
            .text = bytes_slice(loader->file->text, statement->span.start, statement->span.end),
            .place = loader_place(loader, span),
            .kind = kind,
    };
}

/* Whether it can be nothing but stream SQL. */
static bool
is_stream_query(const struct statement *statement)
{
    const struct select *select = statement->select;
    const struct source *from = select->from;
    return statement->dialect == DIALECT_STREAM && from != NULL &&
           (from->kind != SOURCE_TABLE || from->name.count != 1 || from->join_count > 0 ||
            from->match != NULL || select->group_by_count > 0 || select->stagger != NULL ||
            select->named_over_count > 0 || statement->insert_column_count > 0);
}

static void
load_stream_insert(struct loader *loader, const struct statement *statement)
{
    struct rule *rule = loader_new_rule(loader);
    struct rule_info *info = &rule->about->info;
    const struct source *from = statement->select->from;
    loader->compiler.variable_count = 0;
    info->source_kind = RULE_SOURCE_QUERY;
    info->source = bytes_slice(loader->file->text, from->span.start, from->span.end);
    info->source_place = loader_place(loader, from->span);
    bool ok = set_targets(loader, rule, statement->targets, statement->target_count);
    ok = finish_rule(loader, rule, statement) && ok;
    if (ok) {
        loader_add_rule(loader, rule, statement->name_span);
    }
}

static void
load_any_insert(struct loader *loader, const struct statement *statement)
{
    if (is_stream_query(statement)) {
        load_stream_insert(loader, statement);
    } else {
        load_insert(loader, statement);
    }
    if (statement->dialect == DIALECT_STREAM && !statement->targets[0].topic) {
        declare(loader, statement, RULE_DECLARES_PUMP, statement->targets[0].text);
    }
}

/* ---- relations ---- */

/* Those that are stored: computed and metadata columns are made when a table is read. */
static const struct rule_column *
keep_columns(struct loader *loader, const struct statement *statement, size_t *count)
{
    struct rule_column *columns = arena_new_array(&loader->file->arena, struct rule_column,
                                                  statement->column_count);
    *count = 0;
    for (size_t i = 0; i < statement->column_count; i++) {
        const struct column *column = &statement->columns[i];
        if (column->computed == NULL && !column->metadata) {
            columns[(*count)++] = (struct rule_column){
                    .name = keep(loader, column->name),
                    .type = keep(loader, column->type),
                    .place = loader_place(loader, column->span),
            };
        }
    }
    return columns;
}

/* A misspelt 'connector' is among the options. */
static void
hint_connector(struct loader *loader, const struct option_items *options)
{
    for (size_t i = 0; i < options->count; i++) {
        if (bytes_distance(options->items[i].name, BYTES("connector")) <= 3) {
            compiler_hint(&loader->compiler, "did you mean 'connector' where you wrote '%.*s'?",
                          BYTES_ARG(options->items[i].name));
            return;
        }
    }
    compiler_hint(&loader->compiler, "WITH ('connector' = 'timeseries', ...)");
}

static void
check_columns(struct loader *loader, const struct statement *statement)
{
    for (size_t i = 0; i < statement->column_count; i++) {
        const struct column *column = &statement->columns[i];
        for (size_t j = 0; j < i; j++) {
            if (bytes_equal(statement->columns[j].name, column->name)) {
                compiler_report(&loader->compiler, DIAG_ERROR, column->span,
                                "column '%.*s' is declared twice", BYTES_ARG(column->name));
                break;
            }
        }
    }
}

static void
add_relation(struct loader *loader, const struct statement *statement,
             const struct rule_relation *relation)
{
    for (size_t i = 0; i < loader->relation_count; i++) {
        if (bytes_equal(loader->relations[i].name, relation->name)) {
            if (statement->if_not_exists) {
                return;
            }
            compiler_report(&loader->compiler, DIAG_ERROR, statement->name_span,
                            "'%.*s' is declared twice", BYTES_ARG(relation->name));
        }
    }
    loader->relations = mem_grow(loader->relations, loader->relation_count,
                                 &loader->relation_capacity, sizeof *loader->relations);
    loader->relations[loader->relation_count++] = *relation;
}

static void
load_relation(struct loader *loader, const struct statement *statement)
{
    bool table = statement->kind == STATEMENT_CREATE_TABLE;
    struct rule_relation relation = {
            .kind = table ? RULE_TABLE : RULE_FUNCTION,
            .name = keep(loader, statement->name),
            .source = keep(loader, statement->source),
            .connector = table ? BYTES("") : BYTES("handler"),
            .place = loader_place(loader, statement->name_span),
    };
    relation.columns = keep_columns(loader, statement, &relation.column_count);
    relation.options = keep_options(loader, &statement->options,
                                    table ? &relation.connector : NULL, &relation.option_count);
    if (relation.connector.size == 0) {
        compiler_report(&loader->compiler, DIAG_ERROR, statement->name_span,
                        "table '%.*s' has no 'connector'", BYTES_ARG(relation.name));
        hint_connector(loader, &statement->options);
    }
    check_columns(loader, statement);
    declare(loader, statement, table ? RULE_DECLARES_TABLE : RULE_DECLARES_FUNCTION,
            statement->name);
    add_relation(loader, statement, &relation);
}

/* A stream of Kinesis Analytics is a durable stream of its name where no pump fills it, or where
 * nobody reads it. */
static void
load_stream(struct loader *loader, const struct statement *statement)
{
    const struct rule_relation relation = {
            .kind = RULE_TABLE,
            .name = keep(loader, statement->name),
            .connector = BYTES("stream"),
            .place = loader_place(loader, statement->name_span),
    };
    check_columns(loader, statement);
    declare(loader, statement, RULE_DECLARES_STREAM, statement->name);
    add_relation(loader, statement, &relation);
}

/* ---- files ---- */

void
loader_init(struct loader *loader, struct bytes path, struct bytes text, bool comments,
            struct diag_list *diags)
{
    struct rule_file *file = mem_new(struct rule_file);
    file->name = arena_copy(&file->arena, path);
    file->text = arena_copy(&file->arena, text);
    *loader = (struct loader){.file = file, .diags = diags};
    loader->compiler = (struct compiler){
            .arena = &file->arena,
            .pool = {.arena = &file->arena},
            .diags = diags,
            .diags_before = diags->count,
            .errors_before = diags->errors,
            .comments = comments,
    };
}

void
loader_start(struct loader *loader)
{
    loader->compiler.scratch = &loader->scratch;
    loader->compiler.pool.scratch = &loader->scratch;
    loader->compiler.lines = line_index_of(loader->file->name, loader->file->text,
                                           &loader->scratch);
}

static void *
keep_array(struct rule_file *file, const void *items, size_t count, size_t size)
{
    void *kept = arena_alloc_zeroed(&file->arena, count, size);
    if (count > 0) {
        memcpy(kept, items, count * size);
    }
    return kept;
}

bool
loader_finish(struct loader *loader, size_t errors_before, struct rule_file **out)
{
    struct rule_file *file = loader->file;
    bool ok = loader->diags->errors == errors_before;
    struct rule **rules = arena_new_array(&file->arena, struct rule *, loader->rule_count);
    struct rule *packed = arena_alloc_aligned(&file->arena, loader->rule_count * sizeof *packed,
                                              RULE_ALIGNMENT);
    for (size_t i = 0; i < loader->rule_count; i++) {
        packed[i] = loader->rules[i];
        rules[i] = &packed[i];
    }
    file->rules = rules;
    file->rule_count = loader->rule_count;
    file->relations = keep_array(file, loader->relations, loader->relation_count,
                                 sizeof *loader->relations);
    file->relation_count = loader->relation_count;
    file->declarations = keep_array(file, loader->declarations, loader->declaration_count,
                                    sizeof *loader->declarations);
    file->declaration_count = loader->declaration_count;
    file->implied = keep_array(file, loader->implied, loader->implied_count,
                               sizeof *loader->implied);
    file->implied_count = loader->implied_count;
    free(loader->declarations);
    free(loader->implied);
    free(loader->rules);
    free(loader->relations);
    map_fini(&loader->names);
    pool_fini(&loader->compiler.pool);
    arena_fini(&loader->scratch);
    if (ok) {
        *out = file;
    } else {
        rule_file_free(file);
    }
    return ok;
}

bool
loader_check_text(struct bytes path, struct bytes text, struct diag_list *diags)
{
    struct diag_place place = {.file = path};
    if (text.size > TOKEN_TEXT_MAX_BYTES) {
        diag_at(diags, DIAG_ERROR, &place, "the text is longer than %d MiB",
                TOKEN_TEXT_MAX_BYTES / (1024 * 1024));
        return false;
    }
    if (!bytes_is_utf8(text) || bytes_find(text, '\0') < text.size) {
        diag_at(diags, DIAG_ERROR, &place, "the text is not UTF-8");
        return false;
    }
    return true;
}

static void
load_statement(struct loader *loader, const struct statement *statement)
{
    switch (statement->kind) {
    case STATEMENT_INSERT:
        load_any_insert(loader, statement);
        return;
    case STATEMENT_CREATE_TABLE:
    case STATEMENT_CREATE_FUNCTION:
        load_relation(loader, statement);
        return;
    case STATEMENT_CREATE_VIEW:
        declare(loader, statement, RULE_DECLARES_VIEW, statement->name);
        return;
    case STATEMENT_CREATE_STREAM:
        load_stream(loader, statement);
        return;
    case STATEMENT_SET: /* counts for the stream SQL behind it */
    case STATEMENT_SELECT: /* the parser lets none stand alone */
        return;
    }
}

bool
rule_file_parse(struct rule_file **out, struct bytes path, struct bytes text,
                struct diag_list *diags)
{
    size_t errors = diags->errors;
    if (!loader_check_text(path, text, diags)) {
        return false;
    }
    struct loader loader;
    loader_init(&loader, path, text, true, diags);
    loader_start(&loader);
    struct token_source source = {
            .file = loader.file->name, .text = loader.file->text, .comments = true};
    struct parser parser;
    parser_init(&parser, &source, DIALECT_TOPIC, &loader.scratch, diags); /* go on: tell all */
    while (!parser_at_end(&parser)) {
        const struct statement *statement = parse_statement(&parser);
        if (statement != NULL) {
            load_statement(&loader, statement);
        }
        if (diags->errors - errors >= FILE_ERRORS_MAX) {
            diag_error(diags, DIAG_INVALID, "too many errors: the rest of the file is not read");
            break;
        }
    }
    return loader_finish(&loader, errors, out);
}

void
rule_file_free(struct rule_file *file)
{
    if (file != NULL) {
        diag_list_fini(&file->deferred);
        arena_fini(&file->arena);
        free(file);
    }
}

/* ---- a query alone ---- */

static void
load_sql(struct loader *loader, const struct rule_sql *sql, const struct select *select)
{
    struct rule *rule = loader_new_rule(loader);
    struct rule_info *info = &rule->about->info;
    struct target_program *programs = arena_new_array(&loader->scratch, struct target_program,
                                                      sql->template_count);
    struct rule_target *targets = arena_new_array(&loader->file->arena, struct rule_target,
                                                  sql->template_count);
    bool ok = select->from == NULL || loader_set_source(loader, info, select->from);
    struct fields fields = fields_of(&loader->scratch, BYTES(""));
    rule->query = compile_query(&loader->compiler, select);
    loader->compiler.fields = &fields;
    for (size_t i = 0; i < sql->template_count; i++) {
        targets[i].kind = RULE_TARGET_TEXT;
        targets[i].text = arena_copy(&loader->file->arena, sql->templates[i]);
        targets[i].place = loader_place(loader, select->span);
        ok = loader_compile_target(loader, RULE_TARGET_TEXT, targets[i].text, select->span,
                                   &programs[i]) &&
             ok;
    }
    loader->compiler.fields = NULL;
    fields_finish(&fields, select, &loader->file->arena, &loader->compiler.lines, info);
    info->targets = targets;
    info->target_count = sql->template_count;
    rule->targets = pool_targets(&loader->compiler.pool, programs, sql->template_count);
    rule->target_count = (uint32_t)sql->template_count;
    info->name = arena_copy(&loader->file->arena, sql->name);
    info->text = loader->file->text;
    info->sql = info->text;
    info->place = loader_place(loader, select->span);
    if (ok && rule->query != NULL) {
        loader_add_rule(loader, rule, select->span);
    }
}

bool
rule_sql_parse(struct rule_file **out, const struct rule_sql *sql, struct diag_list *diags)
{
    size_t errors = diags->errors;
    if (!loader_check_text(sql->path, sql->sql, diags)) {
        return false;
    }
    struct loader loader;
    loader_init(&loader, sql->path, sql->sql, sql->comments, diags);
    loader_start(&loader);
    loader.compiler.version_2015 = sql->version_2015;
    struct token_source source = {
            .file = loader.file->name, .text = loader.file->text, .comments = sql->comments};
    struct parser parser;
    bool tokens = parser_init(&parser, &source, DIALECT_TOPIC, &loader.scratch, diags);
    const struct select *select = parse_select(&parser);
    bool ended = select != NULL && parser_expect(&parser, TOKEN_END, "the end of the query");
    if (tokens && ended) {
        load_sql(&loader, sql, select);
    }
    return loader_finish(&loader, errors, out);
}
