#include "export.h"

#include "base/json.h"
#include "ruleset_build.h"
#include "ruleset_script.h"

struct export {
    const struct export_options *options;
    const struct rule_info *info;
    struct diag_list *diags;
    struct arena arena;
    struct buf out;
};

static bool
fail(struct export *export, const struct diag_place *place, const char *message, struct bytes name,
     const char *hint)
{
    diag_at(export->diags, DIAG_ERROR, place, "'%.*s' cannot be exported: %s", BYTES_ARG(name),
            message);
    if (hint != NULL) {
        diag_hint(export->diags, "%s", hint);
    }
    return false;
}

static struct bytes
option_of(const struct rule_relation *relation, const char *name)
{
    for (size_t i = 0; i < relation->option_count; i++) {
        if (bytes_equal_string(relation->options[i].name, name)) {
            return relation->options[i].value;
        }
    }
    return bytes_of(NULL, 0);
}

/* "name":"text" with a comma before it where one is needed. */
static void
add_text(struct export *export, const char *name, struct bytes text)
{
    struct buf *out = &export->out;
    bool is_first = out->data[out->size - 1] == '{';
    buf_printf(out, "%s\"%s\":", is_first ? "" : ",", name);
    json_write_string(out, text);
}

static void
add_role(struct export *export)
{
    add_text(export, "roleArn", export->options->role);
}

/* ---- one writer a connector ---- */

static bool
write_topic(struct export *export, const struct rule_target *target,
            const struct rule_relation *relation)
{
    (void)relation;
    buf_append_string(&export->out, "{\"republish\":{");
    add_role(export);
    add_text(export, "topic", target->text);
    buf_append_string(&export->out, ",\"qos\":1}}"); /* as the topic sink publishes */
    return true;
}

/* The names of a table's dimensions: its option, or its columns of text. */
static size_t
dimensions_of(const struct rule_relation *relation, struct arena *arena, struct bytes **out)
{
    struct bytes rest = option_of(relation, "dimensions"), part;
    size_t count = 0;
    struct bytes *names = arena_new_array(arena, struct bytes,
                                          rest.size + relation->column_count + 1);
    if (rest.size > 0) {
        while (bytes_split(&rest, ',', &part)) {
            names[count++] = bytes_trim(part);
        }
    } else {
        for (size_t i = 0; i < relation->column_count; i++) {
            if (bytes_starts_with(relation->columns[i].type, BYTES("VARCHAR"))) {
                names[count++] = relation->columns[i].name;
            }
        }
    }
    *out = names;
    return count;
}

static struct bytes
time_column(const struct rule_relation *relation)
{
    struct bytes name = option_of(relation, "time");
    for (size_t i = 0; i < relation->column_count && name.size == 0; i++) {
        if (bytes_starts_with(relation->columns[i].type, BYTES("TIMESTAMP"))) {
            name = relation->columns[i].name;
        }
    }
    return name.size == 0 ? BYTES("time") : name;
}

/* A time of the row's own would be a measure on AWS; SELECT * may hold one, or not. */
static bool
check_time(struct export *export, const struct rule_target *target,
           const struct rule_relation *relation)
{
    struct bytes name = time_column(relation);
    struct bytes given = rule_member_expression(export->info->sql, name, &export->arena);
    if (given.size == 0 || (bytes_equal(given, name) &&
                            option_of(relation, "time").size == 0)) {
        return true;
    }
    return fail(export, &target->place, "AWS would store the row's time as a measure",
                relation->name,
                "leave it out of the SELECT: the time is then that of the message's arrival");
}

static bool
write_dimensions(struct export *export, const struct rule_target *target,
                 const struct rule_relation *relation)
{
    struct bytes *names;
    size_t count = dimensions_of(relation, &export->arena, &names);
    if (count == 0) {
        return fail(export, &target->place, "AWS has to be told which members are dimensions",
                    relation->name, "give the table 'dimensions' = 'name, ...'");
    }
    buf_append_string(&export->out, ",\"dimensions\":[");
    for (size_t i = 0; i < count; i++) {
        struct bytes value = rule_member_expression(export->info->sql, names[i], &export->arena);
        if (value.size == 0) {
            return fail(export, &target->place, "the row does not hold a dimension", relation->name,
                        arena_printf(&export->arena, "select '%.*s' too", BYTES_ARG(names[i]))
                                .data);
        }
        struct bytes template = arena_printf(&export->arena, "${%.*s}", BYTES_ARG(value));
        buf_append_string(&export->out, i == 0 ? "{" : ",{");
        add_text(export, "name", names[i]);
        add_text(export, "value", template);
        buf_append_char(&export->out, '}');
    }
    buf_append_char(&export->out, ']');
    return true;
}

static bool
write_series(struct export *export, const struct rule_target *target,
             const struct rule_relation *relation)
{
    buf_append_string(&export->out, "{\"timestream\":{");
    add_role(export);
    add_text(export, "databaseName", export->options->database);
    add_text(export, "tableName", relation->name);
    if (!check_time(export, target, relation) ||
        !write_dimensions(export, target, relation)) {
        return false;
    }
    buf_append_string(&export->out, "}}");
    return true;
}

static bool
write_table(struct export *export, const struct rule_target *target,
            const struct rule_relation *relation)
{
    (void)target;
    buf_append_string(&export->out, "{\"dynamoDBv2\":{");
    add_role(export);
    buf_append_string(&export->out, ",\"putItem\":{");
    add_text(export, "tableName", relation->name);
    buf_append_string(&export->out, "}}}");
    return true;
}

static bool
write_function(struct export *export, const struct rule_target *target,
               const struct rule_relation *relation)
{
    (void)target;
    const struct export_options *options = export->options;
    buf_append_string(&export->out, "{\"lambda\":{");
    add_text(export, "functionArn",
             arena_printf(&export->arena, "arn:aws:lambda:%.*s:%.*s:function:%.*s",
                          BYTES_ARG(options->region), BYTES_ARG(options->account),
                          BYTES_ARG(relation->name)));
    buf_append_string(&export->out, "}}");
    return true;
}

static bool
write_http(struct export *export, const struct rule_target *target,
           const struct rule_relation *relation)
{
    struct bytes format = option_of(relation, "format");
    bool is_batched = format.size == 0 || bytes_equal(format, BYTES("json_array"));
    for (size_t i = 0; i < relation->option_count; i++) {
        if (!bytes_equal_string(relation->options[i].name, "url") &&
            !bytes_equal_string(relation->options[i].name, "format")) {
            return fail(export, &relation->options[i].place, "AWS has no such option",
                        relation->options[i].name, NULL);
        }
    }
    if (!is_batched && !bytes_equal(format, BYTES("single"))) {
        return fail(export, &target->place, "AWS sends one message or a JSON array", relation->name,
                    "give the table 'format' = 'json_array' or 'single'");
    }
    buf_append_string(&export->out, "{\"http\":{");
    add_text(export, "url", option_of(relation, "url"));
    buf_append_string(&export->out, is_batched ? ",\"enableBatching\":true}}" : "}}");
    return true;
}

/* ---- targets ---- */

static bool
write_target(struct export *export, const struct rule_target *target,
             const struct ruleset_relation *relation)
{
    static const struct {
        const char *connector;
        bool (*write)(struct export *export, const struct rule_target *target,
                      const struct rule_relation *relation);
    } writers[] = {{"timeseries", write_series}, {"timestream", write_series},
                   {"table", write_table},       {"dynamodb", write_table},
                   {"handler", write_function},  {"http", write_http}};
    if (relation == NULL) {
        return write_topic(export, target, NULL);
    }
    for (size_t i = 0; i < sizeof writers / sizeof *writers; i++) {
        if (bytes_equal_string(relation->declared->connector, writers[i].connector)) {
            return writers[i].write(export, target, relation->declared);
        }
    }
    diag_at(export->diags, DIAG_ERROR, &target->place,
            "'%.*s' cannot be exported: AWS has no action for the connector '%.*s'",
            BYTES_ARG(target->text), BYTES_ARG(relation->declared->connector));
    return false;
}

static bool
write_targets(struct export *export, const struct rule_target *targets,
              const struct ruleset_target *linked, size_t count)
{
    bool ok = true;
    for (size_t i = 0; i < count; i++) {
        buf_append_string(&export->out, i == 0 ? "" : ",");
        ok = write_target(export, &targets[i], linked[i].relation) && ok;
    }
    return ok;
}

/* ---- the statement ---- */

/* Without comments, which AWS refuses. Quotes protect what looks like one. */
static struct bytes
without_comments(struct bytes sql, struct arena *arena)
{
    struct buf out = {.arena = arena};
    char quote = '\0';
    for (size_t i = 0; i < sql.size; i++) {
        struct bytes rest = bytes_slice(sql, i, sql.size);
        char c = sql.data[i];
        if (quote == '\0' && bytes_starts_with(rest, BYTES("--"))) {
            i += bytes_find(rest, '\n');
            c = '\n';
        } else if (quote == '\0' && bytes_starts_with(rest, BYTES("/*"))) {
            for (i += 2; i + 1 < sql.size && !(sql.data[i] == '*' && sql.data[i + 1] == '/'); i++) {
            }
            i++;
            c = ' ';
        } else if (c == quote) {
            quote = '\0';
        } else if (quote == '\0' && (c == '\'' || c == '"' || c == '`')) {
            quote = c;
        }
        buf_append_char(&out, c);
    }
    return bytes_trim(buf_bytes(&out));
}

/* AWS's names have letters, digits and '_'. */
static struct bytes
name_of(struct export *export)
{
    struct buf name = {.arena = &export->arena};
    for (size_t i = 0; i < export->info->name.size; i++) {
        char c = export->info->name.data[i];
        bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        buf_append_char(&name, fits ? c : '_');
    }
    if (!bytes_equal(buf_bytes(&name), export->info->name)) {
        diag_at(export->diags, DIAG_WARNING, &export->info->place,
                "rule '%.*s' is exported as '%.*s'", BYTES_ARG(export->info->name),
                BYTES_ARG(buf_bytes(&name)));
        diag_hint(export->diags, "names of AWS have letters, digits and '_'");
    }
    return buf_bytes(&name);
}

static bool
write_statement(struct export *export, const struct ruleset_rule *rule)
{
    const struct rule_info *info = rule->info;
    if (info->source_kind == RULE_SOURCE_RELATION) {
        return fail(export, &info->source_place, "rules of AWS read topics only", info->name,
                    "publish to a topic in between");
    }
    buf_append_string(&export->out, "{");
    add_text(export, "ruleName", name_of(export));
    buf_append_string(&export->out, ",\"topicRulePayload\":{");
    add_text(export, "sql", without_comments(info->sql, &export->arena));
    buf_append_string(&export->out, ",\"actions\":[");
    bool ok = write_targets(export, info->targets, rule->targets, info->target_count);
    buf_append_string(&export->out,
                      "],\"ruleDisabled\":false,\"awsIotSqlVersion\":\"2016-03-23\"");
    if (info->error_target_count > 0) {
        buf_append_string(&export->out, ",\"errorAction\":");
        ok = write_targets(export, info->error_targets, rule->error_targets, 1) && ok;
    }
    buf_append_string(&export->out, "}}");
    return ok;
}

bool
export_rule(const struct ruleset_rule *rule, const struct export_options *options,
            struct buf *out, struct diag_list *diags)
{
    struct export export = {.options = options, .info = rule->info, .diags = diags};
    bool ok = true;
    if (rule->info->is_document) {
        rule_document_write(rule->rule, options->role, &export.out);
    } else {
        ok = write_statement(&export, rule);
    }
    if (ok) {
        buf_append(out, buf_bytes(&export.out));
    }
    buf_fini(&export.out);
    arena_fini(&export.arena);
    return ok;
}

void
export_script(const struct ruleset *ruleset, size_t file, const struct flink_options *options,
              struct buf *out, struct diag_list *diags)
{
    const struct rule_file *compiled = ruleset->files[file]->compiled;
    struct arena arena = {0};
    if (bytes_ends_with(compiled->name, BYTES(".json"))) {
        diag_error(diags, DIAG_INVALID, "'%.*s' is AWS rule JSON, which has no stream SQL",
                   BYTES_ARG(compiled->name));
        diag_hint(diags, "'headgate export --to aws' prints it for AWS IoT Core");
        return;
    }
    const struct stream_program *const *programs =
            ruleset_script_programs(ruleset->scripts[file], compiled, &arena);
    size_t count = programs == NULL ? 0 : compiled->rule_count;
    stream_flink_export(compiled->name, compiled->text, programs, count, options, out, diags);
    arena_fini(&arena);
}
