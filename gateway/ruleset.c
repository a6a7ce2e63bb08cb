/*
 * From a folder of rule files to one generation.
 *
 * 1. read:  every *.sql and *.json is read; an unchanged text reuses the compiled file of the
 *           generation before, a changed one is compiled and tested (ruletest.h), one that is
 *           broken or fails its test falls back to its last good version.
 * 2. link:  names are resolved over all files together. A file that does not link falls back too,
 *           or is left out, and linking starts again: the loop ends because each round takes a
 *           version away.
 * 3. build: the arrays that the engine runs from.
 *
 * Compiled files are shared between generations by reference count. Main thread only.
 */
#include "ruleset_link.h"

#include "ruletest.h"

#include "base/map.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { RULE_FILE_MAX_BYTES = 1024 * 1024 };

struct ruleset_file {
    char *path;
    struct rule_file *compiled;
    struct ruletest_text test; /* that it passed */
    unsigned references;
};

/* A file on its way into the generation. */
struct candidate {
    struct ruleset_file *file;     /* NULL: left out */
    struct ruleset_file *fallback; /* the version that runs now, when `file` is a newer one */
    struct ruleset_script *script; /* of `file`; NULL: none, or not yet */
    bool is_tested;                /* `file` has passed its test */
    bool broken;
};

struct load {
    const struct ruleset *previous;
    const struct ruleset_provider *provider; /* NULL: nothing will run */
    struct ruleset_report *report;
    struct diag_list *diags;
    char **paths;
    size_t path_count, path_capacity;
    struct candidate *candidates;
    struct linker linker;
};

static struct ruleset_file *
file_new(const char *path, struct rule_file *compiled)
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

/* ---- read ---- */

/* AWS rule JSON. */
static bool
is_document_name(const char *path)
{
    return bytes_ends_with(bytes_of_string(path), BYTES(".json"));
}

static bool
is_rule_file_name(const char *name)
{
    struct bytes bytes = bytes_of_string(name);
    bool has_ending = bytes_ends_with(bytes, BYTES(".sql")) || is_document_name(name);
    return has_ending && name[0] != '.' && name[0] != '#' && name[0] != '_';
}

struct listing {
    struct load *load;
    const char *dir;
};

static void
add_path(void *context, const char *name)
{
    struct listing *listing = context;
    struct load *load = listing->load;
    if (is_rule_file_name(name)) {
        struct buf path = {0};
        buf_printf(&path, "%s/%s", listing->dir, name);
        load->paths = mem_grow(load->paths, load->path_count, &load->path_capacity,
                               sizeof *load->paths);
        load->paths[load->path_count++] = buf_take_string(&path);
    }
}

static int
compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool
list_paths(struct load *load, const char *path)
{
    struct stat status;
    if (stat(path, &status) < 0 && errno == ENOENT) {
        bool is_gone = load->previous != NULL && load->previous->file_count > 0;
        struct diag_place place = {.file = bytes_of_string(path)};
        diag_at(load->diags, is_gone ? DIAG_ERROR : DIAG_WARNING, &place,
                "there is no such file or folder");
        if (is_gone) {
            return false;
        }
        diag_hint(load->diags, "make the folder, or name another with rules_dir");
        return true;
    }
    if (stat(path, &status) == 0 && !S_ISDIR(status.st_mode)) {
        load->paths = mem_grow(load->paths, 0, &load->path_capacity, sizeof *load->paths);
        load->paths[load->path_count++] = bytes_to_string(bytes_of_string(path));
        return true;
    }
    struct listing listing = {load, path};
    int result = os_posix.list(&os_posix, path, add_path, &listing);
    if (result < 0) {
        diag_io_error(load->diags, -result, "cannot read the rules in '%s'", path);
        return false;
    }
    ruletest_warn_of_orphans(path, load->diags);
    if (load->path_count > 0) {
        qsort(load->paths, load->path_count, sizeof *load->paths, compare_paths);
    }
    return true;
}

static int
compare_path_to_file(const void *path, const void *file)
{
    return strcmp(path, (*(struct ruleset_file *const *)file)->path);
}

/* The files of a generation are in the order of their paths. */
static struct ruleset_file *
running_version(const struct load *load, const char *path)
{
    if (load->previous == NULL || load->previous->file_count == 0) {
        return NULL;
    }
    struct ruleset_file **found =
            bsearch(path, load->previous->files, load->previous->file_count,
                    sizeof *load->previous->files, compare_path_to_file);
    return found == NULL ? NULL : *found;
}

static void
mark_broken(struct load *load, struct candidate *candidate)
{
    if (!candidate->broken) {
        candidate->broken = true;
        load->report->broken++;
    }
}

/* Gives up the newest version; the running one takes its place, or nothing. */
static void
fall_back(struct load *load, struct candidate *candidate)
{
    mark_broken(load, candidate);
    ruleset_script_unref(candidate->script);
    candidate->script = NULL;
    candidate->is_tested = false;
    ruleset_file_unref(candidate->file);
    candidate->file = candidate->fallback;
    candidate->fallback = NULL;
    load->report->kept += candidate->file != NULL;
}

bool
ruleset_parse_file(struct rule_file **out, const char *path, struct bytes text,
                   struct diag_list *diags)
{
    return is_document_name(path) ? rule_document_parse(out, bytes_of_string(path), text, diags)
                                  : rule_file_parse(out, bytes_of_string(path), text, diags);
}

/* A version that runs already is used again; a new one must compile and pass its test. */
static void
compile_candidate(struct load *load, const char *path, struct bytes text,
                  struct ruletest_text *test, struct candidate *candidate)
{
    const struct ruleset_file *running = candidate->fallback;
    struct rule_file *compiled;
    if (running != NULL && bytes_equal(running->compiled->text, text) &&
        ruletest_text_equal(&running->test, test)) {
        candidate->file = candidate->fallback;
        candidate->fallback = NULL;
        return;
    }
    load->report->changed++;
    if (!ruleset_parse_file(&compiled, path, text, load->diags)) {
        fall_back(load, candidate);
        return;
    }
    candidate->file = file_new(path, compiled);
    candidate->file->test = *test;
    *test = (struct ruletest_text){0};
}

static void
read_candidate(struct load *load, const char *path, struct candidate *candidate)
{
    struct buf text = {0};
    struct ruletest_text test;
    int result = os_read_file(&os_posix, path, RULE_FILE_MAX_BYTES, &text);
    candidate->fallback = ruleset_file_ref(running_version(load, path));
    if (result < 0) {
        struct diag_place place = {.file = bytes_of_string(path)};
        diag_at(load->diags, DIAG_ERROR, &place, "cannot be read: %s",
                result == -EFBIG ? "larger than 1 MB" : strerror(-result));
        load->report->changed++;
        fall_back(load, candidate);
    } else {
        ruletest_text_read(&test, path);
        compile_candidate(load, path, buf_bytes(&text), &test, candidate);
        ruletest_text_fini(&test);
    }
    buf_fini(&text);
}

static size_t
count_removed(const struct load *load)
{
    size_t removed = 0;
    for (size_t i = 0; load->previous != NULL && i < load->previous->file_count; i++) {
        const char *path = load->previous->files[i]->path;
        removed += load->path_count == 0 || bsearch(&path, load->paths, load->path_count,
                                                    sizeof *load->paths, compare_paths) == NULL;
    }
    return removed;
}

/* ---- link ---- */

static bool
provide(struct load *load, struct ruleset_file *file, const struct rule_relation *declared)
{
    struct ruleset_relation relation = {.declared = declared, .file = file};
    return load->provider->provide(load->provider->context, &relation, load->diags);
}

/* Makes sure that every table of a file can run; only files that are new can fail here. */
static bool
provide_file(struct load *load, struct ruleset_file *file)
{
    bool provided = true;
    const struct rule_file *compiled = file->compiled;
    for (size_t i = 0; i < compiled->relation_count && load->provider != NULL; i++) {
        provided &= provide(load, file, &compiled->relations[i]);
    }
    for (size_t i = 0; i < compiled->implied_count && load->provider != NULL; i++) {
        const struct rule_relation *implied = &compiled->implied[i];
        if (map_find(&load->linker.relations, implied->name) == implied) {
            provided &= provide(load, file, implied);
        }
    }
    return provided;
}

/* Whether the candidate is what runs already, and so has the older right to its names. */
static bool
is_settled(const struct load *load, const struct candidate *candidate)
{
    return running_version(load, candidate->file->path) == candidate->file;
}

typedef bool link_check_fn(struct linker *linker, const struct rule_file *file);

/* One kind of check over the included files that run already, or over those that are new. */
static bool
link_files(struct load *load, bool settled, link_check_fn *check_file)
{
    for (size_t i = 0; i < load->path_count; i++) {
        struct candidate *candidate = &load->candidates[i];
        if (candidate->file != NULL && is_settled(load, candidate) == settled &&
            !check_file(&load->linker, candidate->file->compiled)) {
            fall_back(load, candidate);
            return false;
        }
    }
    return true;
}

static bool
link_pass(struct load *load, link_check_fn *check_file)
{
    return link_files(load, true, check_file) && link_files(load, false, check_file);
}

static bool
provide_pass(struct load *load)
{
    for (size_t i = 0; i < load->path_count; i++) {
        struct candidate *candidate = &load->candidates[i];
        if (candidate->file != NULL && !provide_file(load, candidate->file)) {
            load->report->unprovided++;
            fall_back(load, candidate);
            return false;
        }
    }
    return true;
}

/* The script of a version that runs. */
static struct ruleset_script *
running_script(const struct load *load, const struct ruleset_file *file)
{
    for (size_t i = 0; load->previous != NULL && i < load->previous->file_count; i++) {
        if (load->previous->files[i] == file) {
            return load->previous->scripts[i];
        }
    }
    return NULL;
}

static bool
compile_script(struct load *load, struct candidate *candidate)
{
    const struct rule_file *file = candidate->file->compiled;
    struct ruleset_script *script = NULL;
    struct ruleset_script *before = candidate->script != NULL
                                            ? candidate->script
                                            : running_script(load, candidate->file);
    if (ruleset_script_is_needed(file) &&
        !ruleset_script_compile(&script, before, &load->linker.catalogue, file, load->diags)) {
        return false;
    }
    ruleset_script_unref(candidate->script);
    candidate->script = script;
    return link_check_programs(&load->linker, file, script);
}

/* Compiles the stream SQL of all files, now that it is known what they declare. */
static bool
compile_pass(struct load *load)
{
    for (size_t i = 0; i < load->path_count; i++) {
        struct candidate *candidate = &load->candidates[i];
        if (candidate->file != NULL && !compile_script(load, candidate)) {
            fall_back(load, candidate);
            return false;
        }
    }
    return true;
}

/* A version that runs already has passed its test. */
static bool
test_pass(struct load *load)
{
    for (size_t i = 0; i < load->path_count; i++) {
        struct candidate *candidate = &load->candidates[i];
        if (candidate->file == NULL || candidate->is_tested || is_settled(load, candidate)) {
            continue;
        }
        if (!ruletest_permits(&candidate->file->test, candidate->file->compiled, load->diags)) {
            fall_back(load, candidate);
            return false;
        }
        candidate->is_tested = true;
    }
    return true;
}

/* One round over all included files; false when one of them had to give up a version. */
static bool
link_round(struct load *load)
{
    linker_clear(&load->linker);
    for (int newcomers = 0; newcomers < 2; newcomers++) {
        if (!link_files(load, newcomers == 0, link_check_relations) ||
            !link_files(load, newcomers == 0, link_check_implied)) {
            return false;
        }
    }
    return link_pass(load, link_check_needed) && link_pass(load, link_check_declarations) &&
           link_pass(load, link_check_rules) && compile_pass(load) && test_pass(load) &&
           provide_pass(load);
}

/* ---- build ---- */

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
        rule->source = map_find(&names->relations, info->source);
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

/* Takes the arrays. */
static struct ruleset *
build(struct ruleset_file **files, struct ruleset_script **scripts, size_t file_count,
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

static struct ruleset *
build_from_candidates(struct load *load)
{
    struct ruleset_file **files = mem_new_array(struct ruleset_file *, load->path_count);
    struct ruleset_script **scripts = mem_new_array(struct ruleset_script *, load->path_count);
    size_t count = 0;
    for (size_t i = 0; i < load->path_count; i++) {
        if (load->candidates[i].file != NULL) {
            scripts[count] = ruleset_script_ref(load->candidates[i].script);
            files[count++] = ruleset_file_ref(load->candidates[i].file);
        }
    }
    return build(files, scripts, count, load->previous);
}

static void
load_fini(struct load *load)
{
    for (size_t i = 0; i < load->path_count; i++) {
        free(load->paths[i]);
        if (load->candidates != NULL) {
            ruleset_file_unref(load->candidates[i].file);
            ruleset_file_unref(load->candidates[i].fallback);
            ruleset_script_unref(load->candidates[i].script);
        }
    }
    free(load->paths);
    free(load->candidates);
    linker_clear(&load->linker);
}

bool
ruleset_load(struct ruleset **out, const char *path, const struct ruleset *previous,
             const struct ruleset_provider *provider, struct ruleset_report *report,
             struct diag_list *diags)
{
    struct load load = {
            .previous = previous,
            .provider = provider,
            .report = report,
            .diags = diags,
            .linker = {.report = report, .diags = diags},
    };
    *report = (struct ruleset_report){0};
    bool listed = list_paths(&load, path);
    if (listed) {
        load.candidates = mem_new_array(struct candidate, load.path_count);
        report->files = load.path_count;
        for (size_t i = 0; i < load.path_count; i++) {
            read_candidate(&load, load.paths[i], &load.candidates[i]);
        }
        report->changed += count_removed(&load);
        while (!link_round(&load)) {
        }
        *out = build_from_candidates(&load);
    }
    load_fini(&load);
    return listed;
}

static bool
begins_with_word(struct bytes text, struct bytes word)
{
    text = bytes_trim(text);
    return bytes_equal_nocase(bytes_slice(text, 0, word.size), word);
}

static bool
parse_text(struct rule_file **out, struct bytes name, struct bytes text, bool *is_query,
           struct diag_list *diags)
{
    *is_query = !begins_with_word(text, BYTES("INSERT")) &&
                !begins_with_word(text, BYTES("CREATE")) && !begins_with_word(text, BYTES("--")) &&
                !begins_with_word(text, BYTES("/*"));
    struct rule_sql sql = {.path = name, .name = BYTES("query"), .sql = text, .comments = true};
    return *is_query ? rule_sql_parse(out, &sql, diags) : rule_file_parse(out, name, text, diags);
}

bool
ruleset_load_text(struct ruleset **out, struct bytes name, struct bytes text,
                  struct diag_list *diags)
{
    struct ruleset_report report = {0};
    struct load load = {
            .report = &report, .diags = diags, .linker = {.report = &report, .diags = diags}};
    struct rule_file *compiled;
    if (!parse_text(&compiled, name, text, &load.linker.allow_no_target, diags)) {
        return false;
    }
    struct candidate candidate = {.file = file_new("", compiled)};
    bool linked = link_check_relations(&load.linker, compiled) &&
                  link_check_declarations(&load.linker, compiled) &&
                  link_check_rules(&load.linker, compiled) && compile_script(&load, &candidate);
    if (linked) {
        struct ruleset_file **files = mem_new_array(struct ruleset_file *, 1);
        struct ruleset_script **scripts = mem_new_array(struct ruleset_script *, 1);
        files[0] = ruleset_file_ref(candidate.file);
        scripts[0] = ruleset_script_ref(candidate.script);
        *out = build(files, scripts, 1, NULL);
    }
    ruleset_script_unref(candidate.script);
    ruleset_file_unref(candidate.file);
    load_fini(&load);
    return linked;
}

void
ruleset_report_contents(const struct ruleset_report *report, const struct ruleset *ruleset,
                        struct buf *out)
{
    buf_append_count(out, report->files, "file");
    buf_append_string(out, ", ");
    buf_append_count(out, ruleset->rule_count, "rule");
    buf_append_string(out, ", ");
    buf_append_count(out, ruleset->relation_count, "table");
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
