/*
 * Circles are found in the graph of who feeds whom: rule a feeds rule b when b's filter matches the
 * topic that a publishes to. Of a template's parts in ${...} nothing is known, so only a wildcard of
 * b is taken to match them: what is reported can happen.
 */
#include "lint.h"

#include "base/map.h"
#include "base/mem.h"

#include <stdlib.h>

/* ---- circles ---- */

/* Stands for what ${...} gives: a level that no filter names. */
static const char UNKNOWN_LEVEL[] = "\x01";

/* 'alerts/${topic(2)}' with its expressions made unknown. */
static struct bytes
topic_of_target(struct bytes text, struct arena *arena)
{
    struct buf topic = {.arena = arena};
    for (size_t i = 0; i < text.size; i++) {
        bool opens = text.data[i] == '$' && i + 1 < text.size && text.data[i + 1] == '{';
        if (opens) {
            i += bytes_find(bytes_slice(text, i, text.size), '}');
            buf_append_string(&topic, UNKNOWN_LEVEL);
        } else {
            buf_append_char(&topic, text.data[i]);
        }
    }
    return buf_bytes(&topic);
}

struct edges {
    size_t *items;
    size_t count, capacity;
};

enum color { WHITE, GREY, BLACK };

struct graph {
    const struct ruleset *ruleset;
    struct edges *edges; /* of each rule: those that it feeds */
    enum color *colors;
    size_t *path; /* of grey rules */
    size_t depth;
    struct diag_list *diags;
};

static void
add_edge(void *context, uint32_t to)
{
    struct edges *edges = context;
    edges->items = mem_grow(edges->items, edges->count, &edges->capacity, sizeof *edges->items);
    edges->items[edges->count++] = to;
}

static void
find_edges(struct graph *graph)
{
    struct arena arena = {0};
    for (size_t i = 0; i < graph->ruleset->rule_count; i++) {
        const struct ruleset_rule *rule = &graph->ruleset->rules[i];
        for (size_t t = 0; t < rule->info->target_count; t++) {
            if (rule->info->targets[t].kind == RULE_TARGET_TOPIC) {
                topic_trie_match(graph->ruleset->topics,
                                 topic_of_target(rule->info->targets[t].text, &arena), add_edge,
                                 &graph->edges[i]);
            }
        }
        arena_reset(&arena);
    }
    arena_fini(&arena);
}

/* The path from `start`, where it is entered again, to its end. */
static void
report_circle(struct graph *graph, size_t start)
{
    const struct rule_info *first = graph->ruleset->rules[graph->path[start]].info;
    struct buf names = {0};
    for (size_t i = start; i < graph->depth; i++) {
        const struct rule_info *info = graph->ruleset->rules[graph->path[i]].info;
        buf_printf(&names, "%s'%.*s'", i == start ? "" : ", ", BYTES_ARG(info->name));
    }
    if (graph->depth - start == 1) {
        diag_at(graph->diags, DIAG_WARNING, &first->source_place,
                "rule %s gets its own rows again: its filter matches what it publishes",
                buf_string(&names));
    } else {
        diag_at(graph->diags, DIAG_WARNING, &first->source_place,
                "rules %s feed each other in a circle", buf_string(&names));
    }
    diag_hint(graph->diags, "a message that has come through five rules is stopped; publish to a "
                            "topic that the filter does not match");
    buf_fini(&names);
}

/* Depth first, with the path in an array of its own: rules may be many. */
static void
visit(struct graph *graph, size_t root)
{
    size_t *next = mem_new_array(size_t, graph->ruleset->rule_count); /* edge to look at */
    graph->depth = 0;
    graph->path[graph->depth++] = root;
    graph->colors[root] = GREY;
    while (graph->depth > 0) {
        size_t at = graph->path[graph->depth - 1];
        if (next[at] == graph->edges[at].count) {
            graph->colors[at] = BLACK;
            graph->depth--;
            continue;
        }
        size_t to = graph->edges[at].items[next[at]++];
        if (graph->colors[to] == WHITE) {
            graph->colors[to] = GREY;
            graph->path[graph->depth++] = to;
        } else if (graph->colors[to] == GREY) {
            size_t start = 0;
            while (graph->path[start] != to) {
                start++;
            }
            report_circle(graph, start);
        }
    }
    free(next);
}

static void
lint_circles(const struct ruleset *ruleset, struct diag_list *diags)
{
    struct graph graph = {
            .ruleset = ruleset,
            .edges = mem_new_array(struct edges, ruleset->rule_count),
            .colors = mem_new_array(enum color, ruleset->rule_count),
            .path = mem_new_array(size_t, ruleset->rule_count),
            .diags = diags,
    };
    find_edges(&graph);
    for (size_t i = 0; i < ruleset->rule_count; i++) {
        if (graph.colors[i] == WHITE && graph.edges[i].count > 0) {
            visit(&graph, i);
        }
    }
    for (size_t i = 0; i < ruleset->rule_count; i++) {
        free(graph.edges[i].items);
    }
    free(graph.edges);
    free(graph.colors);
    free(graph.path);
}

/* ---- rules ---- */

/* The statement without its name and with single blanks, so that copies look alike. */
static struct bytes
normal_text(const struct rule_info *info, struct arena *arena)
{
    struct buf text = {.arena = arena};
    struct bytes name = info->name;
    for (size_t i = 0; i < info->text.size; i++) {
        char c = info->text.data[i];
        struct bytes rest = bytes_slice(info->text, i, info->text.size);
        if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
            bool repeats = text.size > 0 && text.data[text.size - 1] == ' ';
            buf_append_string(&text, repeats ? "" : " ");
        } else if (name.size > 0 && i > 0 && bytes_starts_with(rest, name) &&
                   bytes_ends_with(buf_bytes(&text), BYTES("RULE "))) {
            i += name.size - 1;
        } else if (c != ';') {
            buf_append_char(&text, c);
        }
    }
    return bytes_trim(buf_bytes(&text));
}

static void
lint_copies(const struct ruleset *ruleset, struct diag_list *diags)
{
    struct map texts = {0};
    struct arena arena = {0};
    for (size_t i = 0; i < ruleset->rule_count; i++) {
        const struct rule_info *info = ruleset->rules[i].info;
        struct bytes text = normal_text(info, &arena);
        const struct rule_info *first = map_find(&texts, text);
        if (first == NULL) {
            map_put(&texts, text, (void *)(uintptr_t)info);
            continue;
        }
        diag_at(diags, DIAG_WARNING, &info->place, "rule '%.*s' does the same as rule '%.*s'",
                BYTES_ARG(info->name), BYTES_ARG(first->name));
        diag_hint(diags, "every message gives both their rows; the other is in %.*s, line %u",
                  BYTES_ARG(first->place.file), first->place.line);
    }
    map_fini(&texts);
    arena_fini(&arena);
}

static const char *const rule_options[] = {"on_error", "retained", "state.max", "state.max_entries"};

static const char *
rule_option_at(const void *context, size_t i)
{
    (void)context;
    return rule_options[i];
}

static void
lint_options(const struct rule_info *info, struct diag_list *diags)
{
    enum { OPTIONS = sizeof rule_options / sizeof *rule_options };
    for (size_t i = 0; i < info->option_count; i++) {
        const struct rule_option *option = &info->options[i];
        bool known = false;
        for (size_t k = 0; k < OPTIONS; k++) {
            known |= bytes_equal_string(option->name, rule_options[k]);
        }
        if (known) {
            continue;
        }
        diag_at(diags, DIAG_WARNING, &option->place, "a rule has no option '%.*s'",
                BYTES_ARG(option->name));
        const char *near = diag_nearest(option->name, OPTIONS, rule_option_at, NULL);
        if (near != NULL) {
            diag_hint(diags, "did you mean '%s'?", near);
        }
    }
}

static void
lint_rule(const struct ruleset_rule *rule, struct diag_list *diags)
{
    const struct rule_info *info = rule->info;
    lint_options(info, diags);
    if (info->source_kind == RULE_SOURCE_TOPIC && bytes_equal(info->source, BYTES("#"))) {
        diag_at(diags, DIAG_WARNING, &info->source_place,
                "rule '%.*s' gets every message of the broker", BYTES_ARG(info->name));
        diag_hint(diags, "a narrower filter costs the broker, the network and the journal less");
    }
}

/* ---- tables ---- */

static bool
option_names(const struct rule_option *options, size_t count, struct bytes name)
{
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        found |= bytes_equal(options[i].value, name);
    }
    return found;
}

static bool
is_source(const struct stream_program *program, struct bytes name)
{
    for (size_t i = 0; program != NULL && i < stream_program_source_count(program); i++) {
        if (bytes_equal(stream_program_source(program, i)->name, name)) {
            return true;
        }
    }
    return false;
}

/* Whether a rule writes to it or reads it, or an option names it (on_error, on_failure). */
static bool
is_used(const struct ruleset *ruleset, const struct ruleset_relation *relation)
{
    struct bytes name = relation->declared->name;
    bool used = false;
    for (size_t i = 0; i < ruleset->rule_count && !used; i++) {
        const struct ruleset_rule *rule = &ruleset->rules[i];
        used = rule->source == relation || is_source(rule->program, name) ||
               option_names(rule->info->options, rule->info->option_count, name);
        for (size_t t = 0; t < rule->info->target_count; t++) {
            used |= rule->targets[t].relation == relation;
        }
        for (size_t t = 0; t < rule->info->error_target_count; t++) {
            used |= rule->error_targets[t].relation == relation;
        }
    }
    for (size_t i = 0; i < ruleset->relation_count && !used; i++) {
        const struct rule_relation *other = ruleset->relations[i].declared;
        used = option_names(other->options, other->option_count, name);
    }
    return used;
}

/* An option that was declared, as it was read; NULL: the driver has no such switch, or it is off. */
static const struct rule_option *
find_switch(const struct ruleset_relation *relation, const char *name)
{
    const struct option_table *table = &relation->relation.driver->options;
    const struct rule_relation *declared = relation->declared;
    const char *values = relation->relation.options;
    bool is_on = false;
    for (size_t i = 0; i < table->count; i++) {
        const struct option *option = &table->options[i];
        if (option->type == OPTION_BOOL && strcmp(option->name, name) == 0) {
            memcpy(&is_on, values + option->offset, sizeof is_on);
        }
    }
    for (size_t i = 0; is_on && i < declared->option_count; i++) {
        if (bytes_equal_string(declared->options[i].name, name)) {
            return &declared->options[i];
        }
    }
    return NULL;
}

/* All drivers that speak TLS name it so. */
static void
lint_insecure(const struct ruleset_relation *relation, struct diag_list *diags)
{
    const struct rule_option *insecure = find_switch(relation, "insecure");
    if (insecure == NULL) {
        return;
    }
    bool has_ca = relation_option(relation->declared, "ca").size > 0;
    diag_at(diags, DIAG_WARNING, &insecure->place,
            "'insecure' takes any certificate: anybody on the way can read what table '%.*s' sends, "
            "and answer in the server's place", BYTES_ARG(relation->declared->name));
    diag_hint(diags, has_ca ? "leave it away: 'ca' says already whose certificate is trusted"
                            : "leave it away, and for a certificate that no public CA has signed "
                              "write 'ca' = 'FILE.pem', the certificate that signed it");
}

static void
lint_tables(const struct ruleset *ruleset, struct diag_list *diags)
{
    for (size_t i = 0; i < ruleset->relation_count; i++) {
        const struct ruleset_relation *relation = &ruleset->relations[i];
        lint_insecure(relation, diags);
        bool is_source = relation->relation.driver->is_source; /* unread ones do no harm */
        if (!is_source && !is_used(ruleset, relation)) {
            diag_at(diags, DIAG_WARNING, &relation->declared->place,
                    "no rule uses %s '%.*s'",
                    relation->declared->kind == RULE_TABLE ? "table" : "function",
                    BYTES_ARG(relation->declared->name));
        }
    }
}

void
lint_ruleset(const struct ruleset *ruleset, struct diag_list *diags)
{
    for (size_t i = 0; i < ruleset->rule_count; i++) {
        lint_rule(&ruleset->rules[i], diags);
    }
    lint_circles(ruleset, diags);
    lint_copies(ruleset, diags);
    lint_tables(ruleset, diags);
}
