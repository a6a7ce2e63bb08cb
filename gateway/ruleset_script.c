/*
 * Which declarations a file uses is found by its words: every name in its text that is declared
 * somewhere, and every such name in those declarations, and so on. That may be more than it needs,
 * never less.
 */
#include "ruleset_script.h"

#include "base/mem.h"
#include "base/os.h"
#include "base/zone_cache.h"
#include "rules/token.h"

#include <stdlib.h>

enum { FUTURE_MAX_MS = 600000 };

struct catalogue_entry {
    const struct rule_file *file;
    const struct rule_declaration *declaration;
    struct catalogue_entry *next; /* of the same name */
    unsigned mark;                /* of the last collection that has it */
};

struct ruleset_script {
    struct stream_script *script;
    struct zone_cache zones;
    struct arena zone_arena;
    struct buf uses; /* the declarations of other files, one behind the other */
    unsigned references;
};

/* ---- the catalogue ---- */

static struct bytes
fold(struct bytes name, struct arena *arena)
{
    char *folded = arena_alloc(arena, name.size + 1);
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        folded[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    return bytes_of(folded, name.size);
}

void
catalogue_add(struct catalogue *catalogue, const struct rule_file *file)
{
    for (size_t i = 0; i < file->declaration_count; i++) {
        struct bytes name = fold(file->declarations[i].name, &catalogue->arena);
        struct catalogue_entry *entry = arena_new(&catalogue->arena, struct catalogue_entry);
        struct catalogue_entry *first = map_find(&catalogue->names, name);
        *entry = (struct catalogue_entry){.file = file, .declaration = &file->declarations[i]};
        if (first == NULL) {
            map_put(&catalogue->names, name, entry);
            continue;
        }
        while (first->next != NULL) {
            first = first->next;
        }
        first->next = entry;
    }
}

void
catalogue_fini(struct catalogue *catalogue)
{
    map_fini(&catalogue->names);
    arena_fini(&catalogue->arena);
    *catalogue = (struct catalogue){0};
}

static struct catalogue_entry *
find(const struct catalogue *catalogue, struct bytes name)
{
    struct arena arena = {0};
    struct catalogue_entry *entry = map_find(&catalogue->names, fold(name, &arena));
    arena_fini(&arena);
    return entry;
}

bool
catalogue_has(const struct catalogue *catalogue, struct bytes name,
              enum rule_declaration_kind kind)
{
    const struct catalogue_entry *entry = find(catalogue, name);
    while (entry != NULL && (entry->declaration->kind != kind ||
                             !bytes_equal(entry->declaration->name, name))) {
        entry = entry->next;
    }
    return entry != NULL;
}

/* ---- what a file uses ---- */

struct collection {
    const struct catalogue *catalogue;
    const struct rule_file *file;
    struct arena arena;
    struct catalogue_entry **found; /* in the order in which they were found */
    size_t count, capacity;
    unsigned mark;
};

static void collect(struct collection *collection, struct bytes text);

static void
collect_name(struct collection *collection, struct bytes name)
{
    struct catalogue_entry *entry = find(collection->catalogue, name);
    for (; entry != NULL; entry = entry->next) {
        if (entry->file == collection->file || entry->mark == collection->mark) {
            continue; /* what the file itself says comes with its text */
        }
        entry->mark = collection->mark;
        collection->found = mem_grow(collection->found, collection->count, &collection->capacity,
                                     sizeof *collection->found);
        collection->found[collection->count++] = entry;
        collect(collection, entry->declaration->text);
    }
}

static void
collect(struct collection *collection, struct bytes text)
{
    struct diag_list diags = {0};
    struct token_list tokens;
    const struct token_source source = {.text = text, .comments = true};
    bool is_read = token_list_read(&tokens, &source, &collection->arena, &diags);
    for (size_t i = 0; is_read && i < tokens.count; i++) {
        const struct token *token = &tokens.items[i];
        if (token->kind == TOKEN_NAME || token->kind == TOKEN_BACKQUOTED ||
            token->kind == TOKEN_QUOTED) {
            collect_name(collection, token_text(token, text, &collection->arena));
        }
    }
    diag_list_fini(&diags);
}

/* Free `found` and the arena. */
static struct collection
collect_file(const struct catalogue *catalogue, const struct rule_file *file)
{
    struct collection collection = {.catalogue = catalogue, .file = file, .mark = 1};
    struct bytes key;
    void *value;
    size_t cursor = 0;
    while (map_next(&catalogue->names, &cursor, &key, &value)) {
        for (struct catalogue_entry *entry = value; entry != NULL; entry = entry->next) {
            entry->mark = 0;
        }
    }
    collect(&collection, file->text);
    return collection;
}

bool
ruleset_script_uses(const struct catalogue *catalogue, const struct rule_file *file,
                    const struct rule_file *other)
{
    struct collection collection = collect_file(catalogue, file);
    bool uses = false;
    for (size_t i = 0; i < collection.count; i++) {
        uses |= collection.found[i]->file == other;
    }
    free(collection.found);
    arena_fini(&collection.arena);
    return uses;
}

/* Streams before what fills them, texts together. */
static int
compare_entries(const void *a, const void *b)
{
    const struct catalogue_entry *x = *(struct catalogue_entry *const *)a;
    const struct catalogue_entry *y = *(struct catalogue_entry *const *)b;
    bool x_fills = x->declaration->kind == RULE_DECLARES_PUMP;
    bool y_fills = y->declaration->kind == RULE_DECLARES_PUMP;
    if (x_fills != y_fills) {
        return x_fills ? 1 : -1;
    }
    int order = bytes_compare(x->file->name, y->file->name);
    return order != 0 ? order
                      : (x->declaration->text.data > y->declaration->text.data) -
                                (x->declaration->text.data < y->declaration->text.data);
}

static const struct stream_declaration *
declarations_of(struct collection *collection, struct buf *uses)
{
    struct stream_declaration *declarations = arena_new_array(
            &collection->arena, struct stream_declaration, collection->count);
    if (collection->count > 0) {
        qsort(collection->found, collection->count, sizeof *collection->found, compare_entries);
    }
    for (size_t i = 0; i < collection->count; i++) {
        const struct catalogue_entry *entry = collection->found[i];
        struct bytes text = entry->declaration->text;
        uint32_t start = (uint32_t)(text.data - entry->file->text.data);
        declarations[i] = (struct stream_declaration){.path = entry->file->name,
                                                      .text = entry->file->text,
                                                      .start = start,
                                                      .end = start + (uint32_t)text.size};
        buf_append(uses, entry->file->name);
        buf_append_char(uses, '\0');
        buf_append(uses, text);
        buf_append_char(uses, '\0');
    }
    return declarations;
}

/* ---- scripts ---- */

bool
ruleset_script_is_needed(const struct rule_file *file)
{
    for (size_t i = 0; i < file->rule_count; i++) {
        if (rule_info(file->rules[i])->source_kind != RULE_SOURCE_TOPIC) {
            return true;
        }
    }
    for (size_t i = 0; i < file->declaration_count; i++) {
        enum rule_declaration_kind kind = file->declarations[i].kind;
        if (kind == RULE_DECLARES_VIEW || kind == RULE_DECLARES_STREAM) {
            return true;
        }
    }
    for (size_t i = 0; i < file->relation_count; i++) {
        struct bytes connector = file->relations[i].connector;
        if (bytes_equal(connector, BYTES("mqtt")) || bytes_equal(connector, BYTES("stream")) ||
            bytes_equal(connector, BYTES("kinesis"))) {
            return true;
        }
    }
    return false;
}

static const struct zone *
find_zone(void *context, struct bytes name)
{
    struct ruleset_script *script = context;
    const struct zone *zone = zone_fixed(name, &script->zone_arena);
    return zone != NULL ? zone : zone_cache_find(&script->zones, name);
}

static struct ruleset_script *
script_new(void)
{
    struct ruleset_script *script = mem_new(struct ruleset_script);
    zone_cache_init(&script->zones, &os_posix, ZONE_FOLDER);
    script->references = 1;
    return script;
}

struct ruleset_script *
ruleset_script_ref(struct ruleset_script *script)
{
    if (script != NULL) {
        script->references++;
    }
    return script;
}

void
ruleset_script_unref(struct ruleset_script *script)
{
    if (script != NULL && --script->references == 0) {
        stream_script_free(script->script);
        zone_cache_fini(&script->zones);
        arena_fini(&script->zone_arena);
        buf_fini(&script->uses);
        free(script);
    }
}

static bool
compile(struct ruleset_script **out, const struct stream_declaration *declarations, size_t count,
        struct buf *uses, const struct rule_file *file, struct diag_list *diags)
{
    struct ruleset_script *script = script_new();
    const struct stream_host host = {
            .max_future_ms = FUTURE_MAX_MS,
            .zone = find_zone,
            .context = script,
            .declarations = declarations,
            .declaration_count = count,
    };
    if (!stream_script_parse(&script->script, file->name, file->text, false, &host, diags)) {
        script->script = NULL;
        ruleset_script_unref(script);
        return false;
    }
    script->uses = *uses;
    *uses = (struct buf){0};
    *out = script;
    return true;
}

bool
ruleset_script_compile(struct ruleset_script **out, struct ruleset_script *before,
                       const struct catalogue *catalogue, const struct rule_file *file,
                       struct diag_list *diags)
{
    struct collection collection = collect_file(catalogue, file);
    struct buf uses = {0};
    const struct stream_declaration *declarations = declarations_of(&collection, &uses);
    bool compiled = true;
    if (before != NULL && bytes_equal(buf_bytes(&before->uses), buf_bytes(&uses))) {
        *out = ruleset_script_ref(before);
    } else {
        compiled = compile(out, declarations, collection.count, &uses, file, diags);
    }
    free(collection.found);
    arena_fini(&collection.arena);
    buf_fini(&uses);
    return compiled;
}

const struct stream_program *
ruleset_script_program(const struct ruleset_script *script, const struct rule_file *file,
                       const struct rule_info *rule)
{
    for (size_t i = 0; script != NULL && i < script->script->program_count; i++) {
        const struct stream_program *program = script->script->programs[i];
        if (stream_program_start(program) == (size_t)(rule->text.data - file->text.data)) {
            return stream_program_is_inner(program) ? NULL : program;
        }
    }
    return NULL;
}

const struct stream_program *const *
ruleset_script_programs(const struct ruleset_script *script, const struct rule_file *file,
                        struct arena *arena)
{
    if (script == NULL) {
        return NULL;
    }
    const struct stream_program **programs =
            arena_new_array(arena, const struct stream_program *, file->rule_count);
    for (size_t i = 0; i < file->rule_count; i++) {
        programs[i] = ruleset_script_program(script, file, rule_info(file->rules[i]));
    }
    return programs;
}
