/*
 * The checks of ruleset_link.h: names over all files.
 */
#include "ruleset_link.h"

#include "failure.h"

#include "base/mem.h"

#include <stdlib.h>

enum { NAME_MAX_BYTES = 100 };

void
linker_clear(struct linker *linker)
{
    map_fini(&linker->relations);
    map_fini(&linker->rules);
    catalogue_fini(&linker->catalogue);
}

static const char *
relation_name_at(const void *context, size_t i)
{
    return ((const char *const *)context)[i];
}

static void
hint_nearest_relation(struct linker *linker, struct bytes wanted)
{
    size_t count = 0, cursor = 0;
    const char **names = mem_new_array(const char *, linker->relations.count);
    struct bytes key;
    void *value;
    while (map_next(&linker->relations, &cursor, &key, &value)) {
        names[count++] = bytes_to_string(key);
    }
    const char *nearest = diag_nearest(wanted, count, relation_name_at, names);
    if (nearest != NULL) {
        diag_hint(linker->diags, "did you mean '%s'?", nearest);
    } else if (linker->report->broken > 0) {
        diag_hint(linker->diags,
                  "perhaps it is declared in a file that has errors: mend those first");
    } else {
        diag_hint(linker->diags,
                  "declare it with CREATE TABLE %.*s WITH ('connector' = '...'), or quote it to "
                  "mean an MQTT topic",
                  BYTES_ARG(wanted));
    }
    for (size_t i = 0; i < count; i++) {
        free((char *)(uintptr_t)names[i]);
    }
    free(names);
}

/* Connectors that are two names of one. */
static bool
is_same_connector(struct bytes a, struct bytes b)
{
    static const char *const pairs[][2] = {{"timeseries", "timestream"},
                                            {"table", "dynamodb"},
                                            {"stream", "kinesis"}};
    bool same = bytes_equal(a, b);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs && !same; i++) {
        same = (bytes_equal_string(a, pairs[i][0]) && bytes_equal_string(b, pairs[i][1])) ||
               (bytes_equal_string(a, pairs[i][1]) && bytes_equal_string(b, pairs[i][0]));
    }
    return same;
}

static void
hint_place(struct linker *linker, const struct rule_relation *there)
{
    diag_hint(linker->diags, "%.*s:%u:%u: '%.*s' has the connector '%.*s'%s",
              BYTES_ARG(there->place.file), there->place.line, there->place.column,
              BYTES_ARG(there->name), BYTES_ARG(there->connector),
              there->action == NULL ? "" : " by an action");
}

/* What a new file declares instead of an action: it must be of the action's kind. */
static bool
check_takes_over(struct linker *linker, const struct rule_relation *declared,
                 const struct rule_relation *implied)
{
    if (declared->kind == implied->kind &&
        is_same_connector(declared->connector, implied->connector)) {
        map_put(&linker->relations, declared->name, (void *)(uintptr_t)declared);
        return true;
    }
    diag_at(linker->diags, DIAG_ERROR, &declared->place,
            "'%.*s' is used by an action that needs the connector '%.*s'",
            BYTES_ARG(declared->name), BYTES_ARG(implied->connector));
    hint_place(linker, implied);
    return false;
}

static bool
check_name(struct linker *linker, struct map *names, struct bytes name, const void *owner,
           const struct diag_place *place, const char *what)
{
    const void *first = map_find(names, name);
    if (first == NULL) {
        map_put(names, name, (void *)(uintptr_t)owner);
        return true;
    }
    if (first == owner) {
        return true;
    }
    diag_at(linker->diags, DIAG_ERROR, place, "%s '%.*s' exists already", what, BYTES_ARG(name));
    return false;
}

/* Names become folders and stream names; some of them are taken. */
static bool
check_usable_name(struct linker *linker, const struct rule_relation *declared)
{
    struct bytes name = declared->name;
    bool is_reserved =
            bytes_equal_string(name, "topic") || bytes_equal_string(name, RULESET_MQTT_STREAM) ||
            bytes_equal(name, BYTES(FAILURE_STREAM));
    bool is_path = name.size == 0 || name.size > NAME_MAX_BYTES || name.data[0] == '.' ||
                   bytes_find(name, '/') < name.size || bytes_find(name, '\0') < name.size;
    if (is_reserved) {
        diag_at(linker->diags, DIAG_ERROR, &declared->place,
                "'%.*s' is a name that the gateway uses itself", BYTES_ARG(name));
        diag_hint(linker->diags, "take another, for example my_%.*s", BYTES_ARG(name));
    } else if (is_path) {
        diag_at(linker->diags, DIAG_ERROR, &declared->place,
                "'%.*s' cannot be the name of a table: it becomes the name of a folder",
                BYTES_ARG(name));
        diag_hint(linker->diags, "use letters, digits, '_' and '-', at most %d", NAME_MAX_BYTES);
    }
    return !is_reserved && !is_path;
}

/* A filter of a table that is read. */
static bool
check_filter(struct linker *linker, const struct rule_relation *declared)
{
    const char *reason;
    size_t at;
    for (size_t i = 0; i < declared->option_count; i++) {
        const struct rule_option *option = &declared->options[i];
        if (bytes_equal(option->name, BYTES("topic")) &&
            !topic_filter_is_valid(option->value, &reason, &at)) {
            diag_at(linker->diags, DIAG_ERROR, &option->place, "%s", reason);
            return false;
        }
    }
    return true;
}

bool
link_check_relations(struct linker *linker, const struct rule_file *file)
{
    bool valid = true;
    for (size_t i = 0; i < file->relation_count; i++) {
        const struct rule_relation *declared = &file->relations[i];
        struct relation relation;
        valid &= check_usable_name(linker, declared);
        valid &= !bytes_equal(declared->connector, BYTES("mqtt")) ||
                 check_filter(linker, declared);
        const struct rule_relation *there = map_find(&linker->relations, declared->name);
        valid &= there != NULL && there->action != NULL
                         ? check_takes_over(linker, declared, there)
                         : check_name(linker, &linker->relations, declared->name, declared,
                                      &declared->place,
                                      declared->kind == RULE_TABLE ? "table" : "function");
        if (relation_init(&relation, declared, linker->diags)) {
            relation_fini(&relation);
        } else {
            valid = false;
        }
    }
    return valid;
}

static bool
is_same_declaration(const struct rule_relation *a, const struct rule_relation *b)
{
    struct buf first = {0}, second = {0};
    relation_fingerprint(a, &first);
    relation_fingerprint(b, &second);
    bool same = bytes_equal(buf_bytes(&first), buf_bytes(&second));
    buf_fini(&first);
    buf_fini(&second);
    return same;
}

/* What an action names is there already: it must be of its kind, and when another action names it
 * too, the two must want the same. */
static bool
check_existing(struct linker *linker, const struct rule_relation *implied,
               const struct rule_relation *there)
{
    bool fits = there->kind == implied->kind &&
                is_same_connector(there->connector, implied->connector);
    if (fits && (there->action == NULL || implied->must_be_declared ||
                 is_same_declaration(there, implied))) {
        return true;
    }
    diag_at(linker->diags, DIAG_ERROR, &implied->place,
            fits ? "%s: '%.*s' is wanted with other settings elsewhere"
                 : "%s: '%.*s' is something else",
            implied->action, BYTES_ARG(implied->name));
    hint_place(linker, there);
    return false;
}

static bool
fail_undeclared(struct linker *linker, const struct rule_relation *implied)
{
    bool is_function = implied->kind == RULE_FUNCTION;
    diag_at(linker->diags, DIAG_ERROR, &implied->place, "%s: there is no %s '%.*s'",
            implied->action, is_function ? "function" : "table", BYTES_ARG(implied->name));
    if (is_function) {
        diag_hint(linker->diags,
                  "declare it in a .sql file: CREATE FUNCTION %.*s AS '%.*s.c' LANGUAGE C;",
                  BYTES_ARG(implied->name), BYTES_ARG(implied->name));
    } else {
        diag_hint(linker->diags,
                  "declare it, and its key, in a .sql file: CREATE TABLE %.*s WITH ('connector' = "
                  "'%.*s', 'partition_key' = '...');",
                  BYTES_ARG(implied->name), BYTES_ARG(implied->connector));
    }
    return false;
}

static bool
imply(struct linker *linker, const struct rule_relation *implied)
{
    struct relation relation;
    if (implied->connector.size == 0) {
        diag_at(linker->diags, DIAG_ERROR, &implied->place, "the action %s cannot run here",
                implied->action);
        diag_hint(linker->diags, "%s", implied->advice);
        return false;
    }
    if (!check_usable_name(linker, implied) || !relation_init(&relation, implied, linker->diags)) {
        return false;
    }
    relation_fini(&relation);
    map_put(&linker->relations, implied->name, (void *)(uintptr_t)implied);
    return true;
}

bool
link_check_implied(struct linker *linker, const struct rule_file *file)
{
    bool valid = true;
    for (size_t i = 0; i < file->implied_count; i++) {
        const struct rule_relation *implied = &file->implied[i];
        const struct rule_relation *there = map_find(&linker->relations, implied->name);
        if (there == NULL && !implied->must_be_declared) {
            valid &= imply(linker, implied);
        } else if (there != NULL && there != implied) {
            valid &= check_existing(linker, implied, there);
        }
    }
    return valid;
}

bool
link_check_needed(struct linker *linker, const struct rule_file *file)
{
    bool valid = true;
    for (size_t i = 0; i < file->implied_count; i++) {
        const struct rule_relation *implied = &file->implied[i];
        if (map_find(&linker->relations, implied->name) == NULL) {
            valid &= fail_undeclared(linker, implied);
        }
    }
    return valid;
}

static bool
check_relation_use(struct linker *linker, struct bytes name, const struct diag_place *place)
{
    if (map_find(&linker->relations, name) != NULL) {
        return true;
    }
    diag_at(linker->diags, DIAG_ERROR, place, "unknown table '%.*s'", BYTES_ARG(name));
    hint_nearest_relation(linker, name);
    return false;
}

bool
link_is_stream_rule(const struct linker *linker, const struct rule_info *info)
{
    if (info->source_kind != RULE_SOURCE_RELATION) {
        return info->source_kind == RULE_SOURCE_QUERY;
    }
    const struct rule_relation *declared = map_find(&linker->relations, info->source);
    return declared == NULL || declared->kind != RULE_FUNCTION;
}

static bool
fail_unreadable(struct linker *linker, const struct rule_relation *declared,
                const struct diag_place *place)
{
    diag_at(linker->diags, DIAG_ERROR, place,
            "'%.*s' is a table with connector '%.*s', which cannot be read as a stream",
            BYTES_ARG(declared->name), BYTES_ARG(declared->connector));
    diag_hint(linker->diags, "quote the name to mean an MQTT topic: FROM '%.*s'",
              BYTES_ARG(declared->name));
    return false;
}

static bool
is_source(const struct rule_relation *declared)
{
    const struct driver *driver = driver_find(declared->connector);
    return driver != NULL && driver->is_source;
}

static bool
check_source(struct linker *linker, const struct rule_file *file, const struct rule *rule)
{
    const struct rule_info *info = rule_info(rule);
    if (info->source_kind != RULE_SOURCE_RELATION) {
        return true;
    }
    const struct rule_relation *declared = map_find(&linker->relations, info->source);
    if (declared != NULL && declared->kind == RULE_FUNCTION) {
        return rule_report_deferred(file, rule, linker->diags);
    }
    if (declared != NULL) {
        return is_source(declared) || fail_unreadable(linker, declared, &info->source_place);
    }
    return catalogue_has(&linker->catalogue, info->source, RULE_DECLARES_VIEW) ||
           catalogue_has(&linker->catalogue, info->source, RULE_DECLARES_STREAM) ||
           check_relation_use(linker, info->source, &info->source_place);
}

bool
link_check_declarations(struct linker *linker, const struct rule_file *file)
{
    bool valid = true;
    for (size_t i = 0; i < file->declaration_count; i++) {
        const struct rule_declaration *view = &file->declarations[i];
        if (view->kind == RULE_DECLARES_VIEW &&
            (map_find(&linker->relations, view->name) != NULL ||
             catalogue_has(&linker->catalogue, view->name, RULE_DECLARES_VIEW))) {
            diag_at(linker->diags, DIAG_ERROR, &view->place, "table or view '%.*s' exists already",
                    BYTES_ARG(view->name));
            valid = false;
        }
    }
    catalogue_add(&linker->catalogue, file);
    return valid;
}

bool
link_check_programs(struct linker *linker, const struct rule_file *file,
                    const struct ruleset_script *script)
{
    bool valid = true;
    for (size_t i = 0; i < file->rule_count; i++) {
        const struct rule_info *info = rule_info(file->rules[i]);
        const struct stream_program *program = ruleset_script_program(script, file, info);
        size_t count = program == NULL ? 0 : stream_program_source_count(program);
        for (size_t s = 0; s < count; s++) {
            struct bytes name = stream_program_source(program, s)->name;
            const struct rule_relation *declared = map_find(&linker->relations, name);
            valid &= declared == NULL ||
                     is_source(declared) || fail_unreadable(linker, declared, &info->source_place);
        }
    }
    return valid;
}

static bool
check_relation_target(struct linker *linker, const struct rule_target *target)
{
    if (!check_relation_use(linker, target->text, &target->place)) {
        return false;
    }
    const struct rule_relation *declared = map_find(&linker->relations, target->text);
    struct bytes topic = relation_option(declared, "topic");
    const struct driver *driver = driver_find(declared->connector);
    if (driver != NULL && driver->is_read_only) {
        diag_at(linker->diags, DIAG_ERROR, &target->place,
                "table '%.*s' is only read: its connector is '%s'", BYTES_ARG(declared->name),
                driver->name);
        return false;
    }
    if (bytes_equal(declared->connector, BYTES("mqtt")) && !topic_is_valid(topic)) {
        diag_at(linker->diags, DIAG_ERROR, &target->place,
                "nobody can publish to '%.*s', the topic of table '%.*s'", BYTES_ARG(topic),
                BYTES_ARG(declared->name));
        diag_hint(linker->diags, "INSERT INTO 'topic/${column}' writes to topics of its own");
        return false;
    }
    return true;
}

static bool
check_targets(struct linker *linker, const struct rule_target *targets, size_t count)
{
    bool valid = true;
    for (size_t i = 0; i < count; i++) {
        valid &= targets[i].kind != RULE_TARGET_RELATION ||
                 check_relation_target(linker, &targets[i]);
    }
    return valid;
}

static bool
check_retained(struct linker *linker, const struct rule_option *option)
{
    if (bytes_equal(option->value, BYTES("use")) || bytes_equal(option->value, BYTES("ignore"))) {
        return true;
    }
    diag_at(linker->diags, DIAG_ERROR, &option->place, "option 'retained' is 'use' or 'ignore'");
    return false;
}

/* Options of CREATE RULE. */
static bool
check_rule_options(struct linker *linker, const struct rule_info *info)
{
    static const char *const names[] = {"on_error", "retained", "state.max", "state.max_entries"};
    enum { NAME_COUNT = sizeof names / sizeof *names };
    bool valid = true;
    for (size_t i = 0; i < info->option_count; i++) {
        const struct rule_option *option = &info->options[i];
        bool is_known = info->is_document;
        if (bytes_equal_string(option->name, "retained")) {
            valid &= check_retained(linker, option);
        }
        for (size_t n = 0; n < NAME_COUNT && !is_known; n++) {
            is_known = bytes_equal_string(option->name, names[n]);
        }
        if (!is_known) {
            diag_at(linker->diags, DIAG_WARNING, &option->place, "rules have no option '%.*s'",
                    BYTES_ARG(option->name));
            const char *nearest = diag_nearest(option->name, NAME_COUNT, relation_name_at, names);
            if (nearest != NULL) {
                diag_hint(linker->diags, "did you mean '%s'?", nearest);
            }
        }
    }
    return valid;
}

bool
link_check_rules(struct linker *linker, const struct rule_file *file)
{
    bool valid = true;
    for (size_t i = 0; i < file->rule_count; i++) {
        const struct rule_info *info = rule_info(file->rules[i]);
        valid &= check_name(linker, &linker->rules, info->name, info, &info->place, "rule");
        valid &= check_source(linker, file, file->rules[i]);
        valid &= check_targets(linker, info->targets, info->target_count);
        valid &= check_targets(linker, info->error_targets, info->error_target_count);
        valid &= check_rule_options(linker, info);
        if (info->target_count == 0 && !linker->allow_no_target) {
            diag_at(linker->diags, DIAG_ERROR, &info->place, "the rows of this SELECT go nowhere");
            diag_hint(linker->diags, "write INSERT INTO 'topic' or INSERT INTO table before it");
            valid = false;
        }
    }
    return valid;
}
