/* Names become pointers, filters a trie, sources feeds; counters live on under the rules' names. */
#include "ruleset_build.h"

#include "base/mem.h"

#include <stdlib.h>

/* ---- files, shared by generations ---- */

struct ruleset_file *
ruleset_file_new(const char *path, struct rule_file *compiled)
{
    struct ruleset_file *file = mem_new(struct ruleset_file);
    file->path = bytes_to_string(bytes_of_string(path));
    file->compiled = compiled;
    file->references = 1;
    return file;
}

void
ruleset_file_unref(struct ruleset_file *file)
{
    if (file != NULL && --file->references == 0) {
        free(file->path);
        rule_file_free(file->compiled);
        ruletest_text_fini(&file->test);
        free(file);
    }
}

struct ruleset_file *
ruleset_file_ref(struct ruleset_file *file)
{
    if (file != NULL) {
        file->references++;
    }
    return file;
}

/* ---- a generation ---- */

static void
build_relation(struct ruleset *ruleset, struct ruleset_file *file,
               const struct rule_relation *declared, struct map *names)
{
    struct diag_list diags = {0};
    struct ruleset_relation *relation = &ruleset->relations[ruleset->relation_count++];
    relation->declared = declared;
    relation->file = file;
    bool valid = relation_init(&relation->relation, declared, &diags);
    check(valid && "was checked when linking");
    diag_list_fini(&diags);
    map_put(names, declared->name, relation);
}

/* What is declared, and what actions name beyond that. */
static void
build_relations(struct ruleset *ruleset, size_t count, struct map *names)
{
    ruleset->relations = mem_new_array(struct ruleset_relation, count);
    for (size_t f = 0; f < ruleset->file_count; f++) {
        const struct rule_file *file = ruleset->files[f]->compiled;
        for (size_t i = 0; i < file->relation_count; i++) {
            build_relation(ruleset, ruleset->files[f], &file->relations[i], names);
        }
    }
    for (size_t f = 0; f < ruleset->file_count; f++) {
        const struct rule_file *file = ruleset->files[f]->compiled;
        for (size_t i = 0; i < file->implied_count; i++) {
            if (!file->implied[i].must_be_declared &&
                map_find(names, file->implied[i].name) == NULL) {
                build_relation(ruleset, ruleset->files[f], &file->implied[i], names);
            }
        }
    }
}

/* Names on the way into the arrays. */
struct names {
    struct map relations; /* name -> struct ruleset_relation of this generation */
    struct map before;    /* rule name -> struct ruleset_rule of the generation before */
};

static struct rule_counters *
counters_of(const struct ruleset_rule *before)
{
    struct rule_counters *counters =
            before == NULL ? mem_new_lines(struct rule_counters, 1) : before->counters;
    counters->references++;
    return counters;
}

static struct ruleset_target *
build_targets(const struct rule_target *targets, size_t count, const struct names *names)
{
    struct ruleset_target *built = mem_new_array(struct ruleset_target, count);
    for (size_t i = 0; i < count; i++) {
        if (targets[i].kind == RULE_TARGET_RELATION) {
            built[i].relation = map_find(&names->relations, targets[i].text);
        }
    }
    return built;
}

static struct rule_watch *
watch_of(const struct ruleset_rule *before, const struct rule_info *info)
{
    struct rule_watch *watch;
    if (before != NULL && explain_is_same(before->info, info)) {
        watch = before->watch;
    } else {
        watch = mem_new(struct rule_watch);
        watch->explain = explain_new(info, false);
    }
    watch->references++;
    return watch;
}

/* The sources of a rule of stream SQL. */
static void
build_feeds(struct ruleset *ruleset, uint32_t index, const struct names *names)
{
    struct ruleset_rule *rule = &ruleset->rules[index];
    size_t count = stream_program_source_count(rule->program);
    rule->feeds = &ruleset->feeds[ruleset->feed_count];
    ruleset->flow_count++;
    for (size_t i = 0; i < count; i++) {
        const struct stream_table *table = stream_program_source(rule->program, i);
        struct ruleset_relation *relation = map_find(&names->relations, table->name);
        check(relation != NULL && "was checked when linking");
        struct ruleset_feed *feed = &ruleset->feeds[ruleset->feed_count];
        *feed = (struct ruleset_feed){.rule = index, .source = (uint32_t)i};
        if (relation->relation.driver->has_stream) {
            feed->relation = relation;
        } else {
            feed->filter = relation_option(relation->declared, "topic");
            topic_trie_add(ruleset->topics, feed->filter,
                           (uint32_t)(ruleset->feed_base + ruleset->feed_count));
        }
        ruleset->feed_count++;
    }
}

static void
build_rule(struct ruleset *ruleset, size_t f, const struct rule *compiled,
           const struct names *names)
{
    const struct ruleset_file *file = ruleset->files[f];
    size_t index = ruleset->rule_count++;
    struct ruleset_rule *rule = &ruleset->rules[index];
    const struct rule_info *info = rule_info(compiled);
    rule->rule = compiled;
    rule->info = info;
    rule->path = file->path;
    const struct ruleset_rule *before = map_find(&names->before, info->name);
    rule->counters = counters_of(before);
    rule->ignores_retained = bytes_equal(rule_info_option(info, BYTES("retained")),
                                         BYTES("ignore"));
    rule->watch = watch_of(before, info);
    rule->targets = build_targets(info->targets, info->target_count, names);
    rule->error_targets = build_targets(info->error_targets, info->error_target_count, names);
    if (info->disabled) {
        return;
    }
    map_put(&ruleset->by_name, info->name, rule);
    rule->program = ruleset_script_program(ruleset->scripts[f], file->compiled, info);
    if (rule->program != NULL) {
        build_feeds(ruleset, (uint32_t)index, names);
    } else if (info->source_kind == RULE_SOURCE_TOPIC && info->source.size > 0) {
        topic_trie_add(ruleset->topics, info->source, (uint32_t)index);
    } else if (info->source_kind == RULE_SOURCE_RELATION) {
        struct ruleset_relation *source = map_find(&names->relations, info->source);
        bool is_function = source != NULL && source->declared->kind == RULE_FUNCTION;
        rule->source = is_function ? source : NULL;
    }
}

/* Room for the sources of all programs. */
static size_t
count_sources(const struct ruleset *ruleset)
{
    size_t count = 0;
    for (size_t f = 0; f < ruleset->file_count; f++) {
        const struct rule_file *file = ruleset->files[f]->compiled;
        for (size_t i = 0; i < file->rule_count && ruleset->scripts[f] != NULL; i++) {
            const struct stream_program *program = ruleset_script_program(
                    ruleset->scripts[f], file, rule_info(file->rules[i]));
            count += program == NULL ? 0 : stream_program_source_count(program);
        }
    }
    return count;
}

struct ruleset *
ruleset_build(struct ruleset_file **files, struct ruleset_script **scripts, size_t file_count,
              const struct ruleset *previous)
{
    struct ruleset *ruleset = mem_new(struct ruleset);
    ruleset->files = files;
    ruleset->scripts = scripts;
    ruleset->file_count = file_count;
    ruleset->topics = topic_trie_new();
    size_t relation_count = 0, rule_count = 0;
    for (size_t f = 0; f < file_count; f++) {
        relation_count += files[f]->compiled->relation_count + files[f]->compiled->implied_count;
        rule_count += files[f]->compiled->rule_count;
    }
    struct names names = {0};
    build_relations(ruleset, relation_count, &names.relations);
    for (size_t i = 0; previous != NULL && i < previous->rule_count; i++) {
        map_put(&names.before, previous->rules[i].info->name, &previous->rules[i]);
    }
    ruleset->rules = mem_new_lines(struct ruleset_rule, rule_count);
    ruleset->feeds = mem_new_array(struct ruleset_feed, count_sources(ruleset));
    ruleset->feed_base = rule_count;
    for (size_t f = 0; f < file_count; f++) {
        for (size_t i = 0; i < files[f]->compiled->rule_count; i++) {
            build_rule(ruleset, f, files[f]->compiled->rules[i], &names);
        }
    }
    map_fini(&names.relations);
    map_fini(&names.before);
    return ruleset;
}

void
ruleset_free(struct ruleset *ruleset)
{
    if (ruleset == NULL) {
        return;
    }
    for (size_t i = 0; i < ruleset->rule_count; i++) {
        if (--ruleset->rules[i].counters->references == 0) {
            free(ruleset->rules[i].counters);
        }
        if (--ruleset->rules[i].watch->references == 0) {
            explain_free(ruleset->rules[i].watch->explain);
            free(ruleset->rules[i].watch);
        }
        free(ruleset->rules[i].targets);
        free(ruleset->rules[i].error_targets);
    }
    for (size_t i = 0; i < ruleset->relation_count; i++) {
        relation_fini(&ruleset->relations[i].relation);
    }
    for (size_t i = 0; i < ruleset->file_count; i++) {
        ruleset_file_unref(ruleset->files[i]);
        ruleset_script_unref(ruleset->scripts[i]);
    }
    topic_trie_free(ruleset->topics);
    map_fini(&ruleset->by_name);
    free(ruleset->rules);
    free(ruleset->relations);
    free(ruleset->files);
    free(ruleset->scripts);
    free(ruleset->feeds);
    free(ruleset);
}

struct bytes *
ruleset_filters(const struct ruleset *ruleset, size_t *count)
{
    struct bytes *filters = mem_new_array(struct bytes,
                                          ruleset->rule_count + ruleset->feed_count + 1);
    struct map seen = {0};
    *count = 0;
    for (size_t i = 0; i < ruleset->rule_count; i++) {
        const struct rule_info *info = ruleset->rules[i].info;
        if (info->source_kind == RULE_SOURCE_TOPIC && info->source.size > 0 && !info->disabled &&
            map_put(&seen, info->source, (void *)(uintptr_t)info) == NULL) {
            filters[(*count)++] = info->source;
        }
    }
    for (size_t i = 0; i < ruleset->feed_count; i++) {
        struct ruleset_feed *feed = &ruleset->feeds[i];
        if (feed->filter.data != NULL && map_put(&seen, feed->filter, feed) == NULL) {
            filters[(*count)++] = feed->filter;
        }
    }
    map_fini(&seen);
    return filters;
}
