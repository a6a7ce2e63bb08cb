/*
 * AWS rule JSON: {"sql": "SELECT ...", "actions": [{"republish": {...}}, ...], ...}, in every
 * wrapping in which people have it.
 *
 *   1. unwrap: which values of the document are rules, and what they are called
 *   2. read:   SQL, actions, errorAction of each
 *
 * A table that an action names is implied: it is there, with default options, unless a rule file
 * declares one of that name. Linking (gateway/ruleset.c) decides.
 */
#include "document.h"

#include "base/mem.h"
#include "fields.h"

#include <stdarg.h>

enum {
    ACTIONS_MAX = 10,
    NAME_MAX_BYTES = 128,
    DOCUMENT_DEPTH_MAX = 64,
    DOCUMENT_AWS_BYTES = 128 * 1024,
    DOCUMENT_MAX_BYTES = 1024 * 1024,
    DOCUMENT_ERRORS_MAX = 100,
};

/* ---- helpers for reading ---- */

static struct span
span_of(const struct document *document, uint32_t node)
{
    const struct json_node *at = &document->json.nodes[node];
    bool is_text = at->kind == JSON_STRING;
    bool is_container = at->kind == JSON_OBJECT || at->kind == JSON_ARRAY;
    if (is_container) {
        return (struct span){at->start, at->start + 1};
    }
    return (struct span){at->start - is_text, at->end + is_text};
}

void
document_report(struct document *document, enum diag_level level, uint32_t node,
                const char *format, ...)
{
    struct buf text = {.arena = &document->loader->scratch};
    va_list args;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    compiler_report(&document->loader->compiler, level, span_of(document, node), "%s",
                    buf_string(&text));
}

void
document_hint(struct document *document, const char *format, ...)
{
    struct buf text = {.arena = &document->loader->scratch};
    va_list args;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    compiler_hint(&document->loader->compiler, "%s", buf_string(&text));
}

bool
document_is_named(const struct document *document, uint32_t name_node, const char *name)
{
    struct bytes found = json_raw(&document->json, name_node); /* with its quotes */
    size_t size = strlen(name);
    char first = document->pascal && name[0] >= 'a' && name[0] <= 'z'
                         ? (char)(name[0] - 'a' + 'A')
                         : name[0];
    return found.size == size + 2 && found.data[1] == first &&
           memcmp(found.data + 2, name + 1, size - 1) == 0;
}

struct bytes
document_text(struct document *document, uint32_t node)
{
    return json_string(&document->json, node, &document->loader->file->arena);
}

const char *
document_kind_name(const struct document *document, uint32_t node)
{
    switch ((enum json_kind)document->json.nodes[node].kind) {
    case JSON_NULL:
        return "null";
    case JSON_FALSE:
    case JSON_TRUE:
        return "a boolean";
    case JSON_NUMBER:
        return "a number";
    case JSON_STRING:
        return "a string";
    case JSON_ARRAY:
        return "a list";
    case JSON_OBJECT:
        return "an object";
    }
    never("all kinds are listed");
}

void
document_hint_functions(struct document *document, uint32_t node)
{
    if (document->pascal && document->json.nodes[node].kind == JSON_OBJECT) {
        document_hint(document,
                      "functions of CloudFormation are not evaluated here: write the value");
    }
}

void
document_enter(struct document *document, struct bytes text, uint32_t node)
{
    struct compiler *compiler = &document->loader->compiler;
    struct text_origin *origin = arena_new(&document->loader->scratch, struct text_origin);
    *origin = (struct text_origin){
            .file = document->loader->file->name,
            .document = document->json.text,
            .start = document->json.nodes[node].start,
            .end = document->json.nodes[node].end,
    };
    compiler->lines = line_index_of(document->loader->file->name, text,
                                    &document->loader->scratch);
    compiler->lines.origin = origin;
}

void
document_leave(struct document *document)
{
    document->loader->compiler.lines = document->lines;
}

static const char *
name_at(const void *context, size_t i)
{
    return ((const char *const *)context)[i];
}

/*
 * Finds the members of an object by name: out[i] is the value of names[i], or 0. What is none of
 * them is an error, and so is a name that comes twice.
 */
static bool
find_members(struct document *document, uint32_t object, const char *const *names, size_t count,
             uint32_t *out)
{
    const struct json *json = &document->json;
    bool ok = true;
    memset(out, 0, count * sizeof *out);
    for (uint32_t name = object + 1; name < json->nodes[object].next;
         name = json->nodes[name + 1].next) {
        size_t i = 0;
        while (i < count && !document_is_named(document, name, names[i])) {
            i++;
        }
        struct bytes found = document_text(document, name);
        if (i < count && out[i] == 0) {
            out[i] = name + 1;
            continue;
        }
        ok = false;
        document_report(document, DIAG_ERROR, name, i < count ? "'%.*s' comes twice"
                                                              : "unknown member '%.*s'",
                        BYTES_ARG(found));
        const char *nearest = i < count ? NULL : diag_nearest(found, count, name_at, names);
        if (nearest != NULL) {
            document_hint(document, document->pascal ? "did you mean '%s' with a capital?"
                                                     : "did you mean '%s'?",
                          nearest);
        }
    }
    return ok;
}

static bool
expect(struct document *document, uint32_t node, enum json_kind kind, const char *what,
       const char *wanted)
{
    if (document->json.nodes[node].kind == kind) {
        return true;
    }
    document_report(document, DIAG_ERROR, node, "%s is %s, expected %s", what,
                    document_kind_name(document, node), wanted);
    document_hint_functions(document, node);
    return false;
}

/* A member that may be missing; false (with an error) when it is no string. */
static bool
optional_text(struct document *document, uint32_t node, const char *what, struct bytes *out)
{
    if (node == 0 || !expect(document, node, JSON_STRING, what, "a string")) {
        return node == 0;
    }
    *out = document_text(document, node);
    return true;
}

/* ---- one rule ---- */

enum { SQL, DESCRIPTION, ACTIONS, DISABLED, VERSION, ERROR_ACTION, RULE_NAME, CREATED, MEMBERS };

static const char *const member_names[MEMBERS] = {
        "sql",         "description", "actions",  "ruleDisabled", "awsIotSqlVersion",
        "errorAction", "ruleName",    "createdAt"};

static bool
read_disabled(struct document *document, uint32_t node, bool *out)
{
    uint8_t kind = node == 0 ? JSON_FALSE : document->json.nodes[node].kind;
    struct bytes text = kind == JSON_STRING && document->pascal ? document_text(document, node)
                                                                : BYTES("");
    *out = kind == JSON_TRUE || bytes_equal(text, BYTES("true"));
    if (*out || kind == JSON_FALSE || bytes_equal(text, BYTES("false"))) {
        return true;
    }
    return expect(document, node, JSON_TRUE, "'ruleDisabled'", "true or false");
}

static bool
read_version(struct document *document, uint32_t object, uint32_t node)
{
    struct bytes version = BYTES("");
    document->loader->compiler.version_2015 = false;
    if (node == 0) {
        document_report(document, DIAG_WARNING, object,
                        "no 'awsIotSqlVersion': taken as 2016-03-23");
        document_hint(document, "AWS would take the rule as 2015-10-08");
        return true;
    }
    if (!optional_text(document, node, "'awsIotSqlVersion'", &version)) {
        return false;
    }
    document->loader->compiler.version_2015 = bytes_equal(version, BYTES("2015-10-08"));
    if (bytes_equal(version, BYTES("beta"))) {
        document_report(document, DIAG_WARNING, node, "version beta is taken as 2016-03-23");
        return true;
    }
    if (!document->loader->compiler.version_2015 && !bytes_equal(version, BYTES("2016-03-23"))) {
        document_report(document, DIAG_ERROR, node, "unknown version '%.*s'", BYTES_ARG(version));
        document_hint(document, "there are 2016-03-23, 2015-10-08 and beta");
        return false;
    }
    return true;
}

/* Without FROM a rule is reached by its name only. */
static bool
read_source(struct loader *loader, const struct select *select, struct rule_info *info)
{
    if (select->from != NULL && select->from->kind == SOURCE_TABLE) {
        compiler_report(&loader->compiler, DIAG_ERROR, select->from->span,
                        "AWS has no tables to read from");
        compiler_hint(&loader->compiler, "quote a topic filter: FROM 'topic/filter'");
        return false;
    }
    return select->from == NULL || loader_set_source(loader, info, select->from);
}

static bool
read_sql(struct document *document, uint32_t node, struct rule *rule)
{
    struct rule_info *info = &rule->about->info;
    struct loader *loader = document->loader;
    struct bytes sql = document_text(document, node);
    if (bytes_find(sql, '\0') < sql.size) {
        document_report(document, DIAG_ERROR, node, "the SQL holds a NUL");
        return false;
    }
    document_enter(document, sql, node);
    struct token_source source = {.file = loader->file->name,
                                  .text = sql,
                                  .origin = loader->compiler.lines.origin};
    struct parser parser;
    bool ok = parser_init(&parser, &source, DIALECT_TOPIC, &loader->scratch, loader->diags);
    const struct select *select = parse_select(&parser);
    if (select != NULL && parser_expect(&parser, TOKEN_END, "the end of the query") && ok) {
        loader->compiler.variable_count = 0;
        loader->compiler.source_alias = BYTES("");
        struct fields fields = fields_of(&loader->scratch, BYTES(""));
        ok = read_source(loader, select, info);
        rule->query = compile_query(&loader->compiler, select);
        fields_finish(&fields, select, &loader->file->arena, &loader->compiler.lines, info);
        info->place = loader_place(loader, select->span);
    }
    info->text = sql;
    info->sql = sql;
    document_leave(document);
    return ok && rule->query != NULL;
}

static void
add_implied(struct loader *loader, const struct rule_relation *implied)
{
    loader->implied = mem_grow(loader->implied, loader->implied_count,
                               &loader->implied_capacity, sizeof *loader->implied);
    loader->implied[loader->implied_count++] = *implied;
}

static bool
read_action(struct document *document, uint32_t node, bool is_error_action,
            struct rule_target *target)
{
    struct loader *loader = document->loader;
    struct action *action = arena_new(&loader->file->arena, struct action);
    struct rule_relation implied;
    if (!action_read(document, node, is_error_action, action) ||
        !action_read_target(document, node, action, target, &implied)) {
        return false;
    }
    target->action = action;
    if (target->kind == RULE_TARGET_RELATION) {
        add_implied(loader, &implied);
    }
    return true;
}

static bool
read_actions(struct document *document, uint32_t node, struct rule_info *info)
{
    const struct json *json = &document->json;
    if (!expect(document, node, JSON_ARRAY, "'actions'", "a list")) {
        return false;
    }
    uint32_t count = json->nodes[node].count;
    if (count == 0 || count > ACTIONS_MAX) {
        document_report(document, DIAG_ERROR, node,
                        count == 0 ? "no action: the rows of this rule go nowhere"
                                   : "%u actions, and a rule has at most %d",
                        count, ACTIONS_MAX);
        return false;
    }
    struct rule_target *targets = arena_new_array(&document->loader->file->arena,
                                                  struct rule_target, count);
    bool ok = true;
    size_t i = 0;
    for (uint32_t item = node + 1; item < json->nodes[node].next; item = json->nodes[item].next) {
        ok = read_action(document, item, false, &targets[i++]) && ok;
    }
    info->targets = targets;
    info->target_count = count;
    return ok;
}

static bool
read_error_action(struct document *document, uint32_t node, struct rule_info *info)
{
    struct rule_target *target = arena_new(&document->loader->file->arena, struct rule_target);
    if (node == 0) {
        return true;
    }
    info->error_targets = target;
    info->error_target_count = 1;
    return read_action(document, node, true, target);
}

/* What is run for the targets. */
static const struct target_program *
programs_of(struct document *document, const struct rule_target *targets, size_t count)
{
    struct target_program *programs = arena_new_array(&document->loader->scratch,
                                                      struct target_program, count);
    for (size_t i = 0; i < count; i++) {
        programs[i].kind = targets[i].kind;
        programs[i].text = targets[i].text;
        programs[i].action = targets[i].action;
    }
    return pool_targets(&document->loader->compiler.pool, programs, count);
}

/* What a rule is called: its own name, else the one that it is wrapped in, else the file's. */
static struct bytes
rule_name(struct document *document, uint32_t node, struct bytes wrapped)
{
    struct bytes name = wrapped;
    if (node != 0 && document->json.nodes[node].kind == JSON_STRING) {
        name = document_text(document, node);
    }
    return name.data == NULL ? loader_next_name(document->loader, '_') : name;
}

static bool
check_name(struct document *document, uint32_t node, struct bytes name)
{
    bool valid = name.size > 0 && name.size <= NAME_MAX_BYTES;
    for (size_t i = 0; i < name.size && valid; i++) {
        char c = name.data[i];
        valid = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                c == '_';
    }
    if (!valid) {
        document_report(document, DIAG_ERROR, node, "'%.*s' cannot be the name of a rule",
                        BYTES_ARG(bytes_slice(name, 0, 200)));
        document_hint(document, "a name has letters, digits and '_', at most %d; without "
                                "'ruleName' the rule is called after its file",
                      NAME_MAX_BYTES);
    }
    return valid;
}

/* {"sql", "actions", ...}. `name`: data NULL when the wrapping has none; told at `name_node`. */
static void
read_rule(struct document *document, uint32_t object, struct bytes name, uint32_t name_node)
{
    struct rule *rule = loader_new_rule(document->loader);
    struct rule_info *info = &rule->about->info;
    uint32_t members[MEMBERS];
    if (!expect(document, object, JSON_OBJECT, "the rule", "an object")) {
        return;
    }
    bool ok = find_members(document, object, member_names, MEMBERS, members);
    info->is_document = true;
    info->name = rule_name(document, members[RULE_NAME], name);
    ok = check_name(document, members[RULE_NAME] != 0 ? members[RULE_NAME] : name_node,
                    info->name) &&
         ok;
    ok = optional_text(document, members[DESCRIPTION], "'description'", &info->description) &&
         ok;
    ok = read_disabled(document, members[DISABLED], &info->disabled) && ok;
    ok = read_version(document, object, members[VERSION]) && ok;
    if (members[SQL] == 0 || members[ACTIONS] == 0) {
        document_report(document, DIAG_ERROR, object, "the rule has no '%s'",
                        document->pascal ? members[SQL] == 0 ? "Sql" : "Actions"
                        : members[SQL] == 0 ? "sql"
                                            : "actions");
        return;
    }
    ok = expect(document, members[SQL], JSON_STRING, "the SQL", "a string") &&
         read_sql(document, members[SQL], rule) && ok;
    ok = read_actions(document, members[ACTIONS], info) && ok;
    ok = read_error_action(document, members[ERROR_ACTION], info) && ok;
    rule->targets = programs_of(document, info->targets, info->target_count);
    rule->target_count = (uint32_t)info->target_count;
    rule->about->error_targets = programs_of(document, info->error_targets,
                                             info->error_target_count);
    if (ok) {
        loader_add_rule(document->loader, rule, span_of(document, object));
    }
}

/* ---- wrappings ---- */

static uint32_t
member_of(const struct document *document, uint32_t object, const char *name)
{
    return json_member(&document->json, object, bytes_of_string(name));
}

/* {"ruleName", "topicRulePayload"}, of CloudFormation {"RuleName", "TopicRulePayload", "Tags"}. */
static void
read_wrapped(struct document *document, uint32_t object, struct bytes name, uint32_t name_node)
{
    static const char *const names[] = {"ruleName", "topicRulePayload", "tags"};
    uint32_t members[3];
    if (!find_members(document, object, names, 3, members)) {
        return;
    }
    if (members[0] != 0) {
        if (!expect(document, members[0], JSON_STRING, "the rule's name", "a string")) {
            return;
        }
        name = document_text(document, members[0]);
        name_node = members[0];
    }
    read_rule(document, members[1], name, name_node);
}

/* {"ruleArn", "rule": {...}}: what get-topic-rule answers. */
static void
read_answer(struct document *document, uint32_t object)
{
    static const char *const names[] = {"ruleArn", "rule"};
    uint32_t members[2];
    if (find_members(document, object, names, 2, members)) {
        read_rule(document, members[1], bytes_of(NULL, 0), object);
    }
}

/* {"Type": "AWS::IoT::TopicRule", "Properties": {...}} */
static void
read_resource(struct document *document, uint32_t object, struct bytes name, uint32_t name_node)
{
    uint32_t properties = member_of(document, object, "Properties");
    if (properties == 0 || document->json.nodes[properties].kind != JSON_OBJECT ||
        member_of(document, properties, "TopicRulePayload") == 0) {
        document_report(document, DIAG_ERROR, object,
                        "the resource has no \"Properties\" with a \"TopicRulePayload\"");
        return;
    }
    document->pascal = true;
    read_wrapped(document, properties, name, name_node);
}

static bool
is_topic_rule(struct document *document, uint32_t object)
{
    uint32_t type = document->json.nodes[object].kind == JSON_OBJECT
                            ? member_of(document, object, "Type")
                            : 0;
    return type != 0 && document->json.nodes[type].kind == JSON_STRING &&
           bytes_equal(document_text(document, type), BYTES("AWS::IoT::TopicRule"));
}

/* A template: its other resources are none of our business. */
static void
read_resources(struct document *document, uint32_t resources)
{
    const struct json *json = &document->json;
    size_t found = 0;
    if (!expect(document, resources, JSON_OBJECT, "\"Resources\"", "an object")) {
        return;
    }
    for (uint32_t name = resources + 1; name < json->nodes[resources].next;
         name = json->nodes[name + 1].next) {
        if (is_topic_rule(document, name + 1)) {
            found++;
            read_resource(document, name + 1, document_text(document, name), name);
        }
    }
    if (found == 0) {
        document_report(document, DIAG_ERROR, resources,
                        "the template has no resource of the type AWS::IoT::TopicRule");
    }
}

static void
read_value(struct document *document, uint32_t node)
{
    struct bytes unnamed = bytes_of(NULL, 0);
    document->pascal = false;
    if (!expect(document, node, JSON_OBJECT, "a rule", "an object")) {
        return;
    }
    uint32_t resources = member_of(document, node, "Resources");
    if (resources != 0) {
        read_resources(document, resources);
    } else if (is_topic_rule(document, node) || member_of(document, node, "Properties") != 0) {
        read_resource(document, node, unnamed, node);
    } else if (member_of(document, node, "TopicRulePayload") != 0) {
        document->pascal = true;
        read_wrapped(document, node, unnamed, node);
    } else if (member_of(document, node, "topicRulePayload") != 0) {
        read_wrapped(document, node, unnamed, node);
    } else if (member_of(document, node, "rule") != 0) {
        read_answer(document, node);
    } else {
        document->pascal = member_of(document, node, "Sql") != 0;
        read_rule(document, node, unnamed, node);
    }
}

static void
read_document(struct document *document)
{
    const struct json *json = &document->json;
    if (json->nodes[0].kind != JSON_ARRAY) {
        read_value(document, 0);
        return;
    }
    if (json->nodes[0].count == 0) {
        document_report(document, DIAG_ERROR, 0, "the list has no rule");
    }
    size_t errors = document->loader->diags->errors;
    for (uint32_t node = 1; node < json->nodes[0].next; node = json->nodes[node].next) {
        read_value(document, node);
        if (document->loader->diags->errors - errors >= DOCUMENT_ERRORS_MAX) {
            return;
        }
    }
}

static bool
parse_json(struct document *document)
{
    struct loader *loader = document->loader;
    struct json_error error;
    if (json_parse(&document->json, loader->file->text, DOCUMENT_DEPTH_MAX, &loader->scratch,
                   &error)) {
        return true;
    }
    uint32_t at = (uint32_t)error.offset;
    compiler_report(&loader->compiler, DIAG_ERROR, (struct span){at, at + 1}, "not JSON: %s",
                    error.message);
    return false;
}

bool
rule_document_parse(struct rule_file **out, struct bytes path, struct bytes text,
                    struct diag_list *diags)
{
    size_t errors = diags->errors;
    struct diag_place place = {.file = path};
    if (text.size > DOCUMENT_MAX_BYTES) {
        diag_at(diags, DIAG_ERROR, &place, "the document is larger than 1 MiB");
        return false;
    }
    if (!loader_check_text(path, text, diags)) {
        return false;
    }
    struct loader loader;
    loader_init(&loader, path, text, false, diags);
    loader_start(&loader);
    struct document document = {.loader = &loader, .lines = loader.compiler.lines};
    if (text.size > DOCUMENT_AWS_BYTES) {
        diag_at(diags, DIAG_WARNING, &place, "the document is larger than the 128 KB of AWS");
    }
    if (parse_json(&document)) {
        read_document(&document);
    }
    return loader_finish(&loader, errors, out);
}
