/*
 * From a folder of rule files to one generation.
 *
 * 1. read:  every *.sql and *.json is read; an unchanged text reuses the compiled file of the
 *           generation before, a changed one is compiled and tested (ruletest.h), one that is
 *           broken or fails its test falls back to its last good version.
 * 2. link:  names are resolved over all files together. A file that does not link falls back too,
 *           or is left out, and linking starts again: the loop ends because each round takes a
 *           version away.
 * 3. build: the arrays that the engine runs from (ruleset_build.c).
 *
 * Compiled files are shared between generations by reference count. Main thread only.
 */
#include "ruleset_build.h"
#include "ruleset_link.h"

#include "ruletest.h"

#include "base/map.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { RULE_FILE_MAX_BYTES = 1024 * 1024 };

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
    bool skips_tests;
    struct linker linker;
};

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
    candidate->file = ruleset_file_new(path, compiled);
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
                result == -EFBIG ? "larger than 1 MiB" : strerror(-result));
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

/* What runs does not compile any more because of a new version of another file: that gives way. */
static void
blame(struct load *load, struct candidate *candidate)
{
    for (size_t i = 0; i < load->path_count; i++) {
        struct candidate *other = &load->candidates[i];
        if (other->file != NULL && !is_settled(load, other) &&
            ruleset_script_uses(&load->linker.catalogue, candidate->file->compiled,
                                other->file->compiled)) {
            struct diag_place place = {.file = bytes_of_string(other->file->path)};
            diag_at(load->diags, DIAG_ERROR, &place, "'%s', which runs, needs what this declares",
                    candidate->file->path);
            fall_back(load, other);
            return;
        }
    }
    fall_back(load, candidate);
}

static bool
compile_files(struct load *load, bool settled)
{
    for (size_t i = 0; i < load->path_count; i++) {
        struct candidate *candidate = &load->candidates[i];
        if (candidate->file == NULL || is_settled(load, candidate) != settled ||
            compile_script(load, candidate)) {
            continue;
        }
        if (settled) {
            blame(load, candidate);
        } else {
            fall_back(load, candidate);
        }
        return false;
    }
    return true;
}

/* Compiles the stream SQL of all files, now that it is known what they declare. */
static bool
compile_pass(struct load *load)
{
    return compile_files(load, false) && compile_files(load, true);
}

/* A version that runs already has passed its test. */
static bool
test_pass(struct load *load)
{
    for (size_t i = 0; i < load->path_count && !load->skips_tests; i++) {
        struct candidate *candidate = &load->candidates[i];
        if (candidate->file == NULL || candidate->is_tested || is_settled(load, candidate)) {
            continue;
        }
        struct arena arena = {0};
        const struct rule_file *file = candidate->file->compiled;
        bool permitted = ruletest_permits(
                &candidate->file->test, file,
                ruleset_script_programs(candidate->script, file, &arena), load->diags);
        arena_fini(&arena);
        if (!permitted) {
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
    return ruleset_build(files, scripts, count, load->previous);
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

static bool
load_all(struct load *load, struct ruleset **out, const char *path)
{
    bool listed = list_paths(load, path);
    if (listed) {
        load->report->files = load->path_count;
        load->candidates = mem_new_array(struct candidate, load->path_count);
        for (size_t i = 0; i < load->path_count; i++) {
            read_candidate(load, load->paths[i], &load->candidates[i]);
        }
        load->report->changed += count_removed(load);
        while (!link_round(load)) {
        }
        *out = build_from_candidates(load);
    }
    load_fini(load);
    return listed;
}

/* Errors of other files are not this one's. */
static void
append_own(struct diag_list *diags, const struct diag_list *from, const char *path)
{
    for (size_t i = 0; i < from->count; i++) {
        if (bytes_equal_string(from->items[i].place.file, path)) {
            struct diag_list one = *from;
            one.items += i;
            one.count = 1;
            diag_list_append(diags, &one);
        }
    }
}

/* The folder of a file, and the file as a listing of the folder names it. */
static void
split_path(const char *path, char **dir, char **listed)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash == NULL ? path : slash + 1;
    struct buf full = {0};
    *dir = bytes_to_string(slash == NULL   ? BYTES(".")
                           : slash == path ? BYTES("/")
                                           : bytes_of(path, (size_t)(slash - path)));
    buf_printf(&full, "%s/%s", *dir, base);
    *listed = buf_take_string(&full);
}

bool
ruleset_load_file(struct ruleset **out, const char *path, const char **listed_path,
                  struct diag_list *diags)
{
    struct ruleset_report report = {0};
    struct diag_list all = {0};
    struct load load = {.report = &report,
                        .diags = &all,
                        .skips_tests = true,
                        .linker = {.report = &report, .diags = &all}};
    struct ruleset *ruleset = NULL;
    char *dir, *listed;
    split_path(path, &dir, &listed);
    bool loaded = load_all(&load, &ruleset, dir);
    *listed_path = NULL;
    for (size_t i = 0; loaded && i < ruleset->file_count; i++) {
        if (strcmp(ruleset->files[i]->path, listed) == 0) {
            *listed_path = ruleset->files[i]->path;
        }
    }
    append_own(diags, &all, listed);
    if (*listed_path == NULL && diags->errors == 0) {
        diag_list_append(diags, &all);
    }
    diag_list_fini(&all);
    free(dir);
    free(listed);
    if (*listed_path == NULL) {
        ruleset_free(ruleset);
        return false;
    }
    *out = ruleset;
    return true;
}

const struct rule_file *
ruleset_file_of(const struct ruleset *ruleset, const char *path,
                const struct ruleset_script **script)
{
    for (size_t i = 0; i < ruleset->file_count; i++) {
        if (strcmp(ruleset->files[i]->path, path) == 0) {
            *script = ruleset->scripts[i];
            return ruleset->files[i]->compiled;
        }
    }
    return NULL;
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
    return load_all(&load, out, path);
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
    struct candidate candidate = {.file = ruleset_file_new("", compiled)};
    bool linked = link_check_relations(&load.linker, compiled) &&
                  link_check_declarations(&load.linker, compiled) &&
                  link_check_rules(&load.linker, compiled) && compile_script(&load, &candidate);
    if (linked) {
        struct ruleset_file **files = mem_new_array(struct ruleset_file *, 1);
        struct ruleset_script **scripts = mem_new_array(struct ruleset_script *, 1);
        files[0] = ruleset_file_ref(candidate.file);
        scripts[0] = ruleset_script_ref(candidate.script);
        *out = ruleset_build(files, scripts, 1, NULL);
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
