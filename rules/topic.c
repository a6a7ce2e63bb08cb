/*
 * The trie has a node for each prefix of a filter. The children of all nodes are in one hash table,
 * keyed by (node, level text), so that a node with ten thousand children costs the same as one with
 * two; '+' is a link of its own. Indices hang on nodes as chains: those whose filter ends there,
 * and those that end with '#' there.
 *
 *   a/+/c -> 1, a/# -> 2      (0) -a-> (1) [#: 2] -+-> (2) -c-> (3) [end: 1]
 *
 * A match walks at most two children a level ('+' and the text), depth bounded by the filters.
 */
#include "topic.h"

#include "base/arena.h"
#include "base/mem.h"

#include <stdlib.h>

/* ---- one topic, one filter ---- */

bool
topic_filter_is_valid(struct bytes filter, const char **reason, size_t *at)
{
    *at = 0;
    *reason = filter.size == 0                   ? "a topic filter cannot be empty"
              : filter.size > TOPIC_BYTES_MAX    ? "a topic filter has at most 65535 bytes"
              : !bytes_is_utf8(filter)           ? "a topic filter must be UTF-8"
              : bytes_find(filter, 0) < filter.size ? "a topic filter cannot hold NUL"
                                                 : NULL;
    size_t levels = 0;
    struct bytes rest = filter, level;
    while (*reason == NULL && bytes_split(&rest, '/', &level)) {
        size_t plus = bytes_find(level, '+');
        size_t hash = bytes_find(level, '#');
        *at = (size_t)(level.data - filter.data) + (plus < level.size ? plus : hash);
        if ((plus < level.size || hash < level.size) && level.size > 1) {
            *reason = "a wildcard must fill its whole level";
        } else if (hash < level.size && rest.data != NULL) {
            *reason = "'#' must be the last level";
        } else if (++levels > TOPIC_LEVELS_MAX) {
            *reason = "a topic filter has at most 128 levels";
        }
    }
    return *reason == NULL;
}

bool
topic_is_valid(struct bytes topic)
{
    return topic.size > 0 && topic.size <= TOPIC_BYTES_MAX && bytes_is_utf8(topic) &&
           bytes_find(topic, '+') == topic.size && bytes_find(topic, '#') == topic.size &&
           bytes_find(topic, '\0') == topic.size;
}

static bool
is_reserved(struct bytes topic)
{
    return topic.size > 0 && topic.data[0] == '$';
}

static bool
is_wildcard(struct bytes level, char c)
{
    return level.size == 1 && level.data[0] == c;
}

bool
topic_match(struct bytes filter, struct bytes topic)
{
    bool wild = filter.size > 0 && (filter.data[0] == '+' || filter.data[0] == '#');
    if (wild && is_reserved(topic)) {
        return false;
    }
    struct bytes wanted, level;
    while (bytes_split(&filter, '/', &wanted)) {
        if (!bytes_split(&topic, '/', &level)) {
            return false;
        }
        if (is_wildcard(wanted, '#')) {
            return true;
        }
        if (!is_wildcard(wanted, '+') && !bytes_equal(wanted, level)) {
            return false;
        }
    }
    return topic.data == NULL;
}

bool
topic_is_basic_ingest(struct bytes topic, struct bytes *rule, struct bytes *rest)
{
    struct bytes prefix = BYTES("$aws/rules/");
    if (!bytes_starts_with(topic, prefix) || topic.size == prefix.size) {
        return false;
    }
    struct bytes tail = bytes_slice(topic, prefix.size, topic.size);
    size_t slash = bytes_find(tail, '/');
    *rule = bytes_slice(tail, 0, slash);
    *rest = bytes_slice(tail, slash + 1, tail.size);
    return rule->size > 0;
}

/* ---- the trie ---- */

enum { NONE = 0, EDGES_MIN = 16 };

struct trie_node {
    uint32_t plus; /* the child for '+', or NONE (the root is nobody's child) */
    uint32_t ends; /* chain of indices whose filter ends here, or NONE */
    uint32_t hash; /* chain of indices whose filter goes on with '#' and ends */
};

struct trie_edge {
    uint32_t parent;
    uint32_t child; /* NONE: an empty place of the table */
    uint32_t hash;
    uint32_t size;
    const char *level;
};

struct trie_link {
    uint32_t index;
    uint32_t next;
};

struct topic_trie {
    struct arena arena; /* the texts of levels */
    struct trie_node *nodes;
    size_t node_count, node_capacity;
    struct trie_link *links; /* from 1: 0 is NONE */
    size_t link_count, link_capacity;
    struct trie_edge *edges; /* open addressing; a power of two */
    size_t edge_count, edge_capacity;
};

struct topic_trie *
topic_trie_new(void)
{
    struct topic_trie *trie = mem_new(struct topic_trie);
    trie->nodes = mem_grow(NULL, 0, &trie->node_capacity, sizeof *trie->nodes);
    trie->nodes[0] = (struct trie_node){0};
    trie->node_count = 1;
    trie->links = mem_grow(NULL, 0, &trie->link_capacity, sizeof *trie->links);
    trie->link_count = 1;
    trie->edge_capacity = EDGES_MIN;
    trie->edges = mem_new_array(struct trie_edge, EDGES_MIN);
    return trie;
}

void
topic_trie_free(struct topic_trie *trie)
{
    if (trie != NULL) {
        arena_fini(&trie->arena);
        free(trie->nodes);
        free(trie->links);
        free(trie->edges);
        free(trie);
    }
}

size_t
topic_trie_footprint(const struct topic_trie *trie)
{
    return arena_footprint(&trie->arena) + trie->node_capacity * sizeof *trie->nodes +
           trie->link_capacity * sizeof *trie->links + trie->edge_capacity * sizeof *trie->edges;
}

/* FNV-1a, over the parent too. */
static uint32_t
hash_of(uint32_t parent, struct bytes level)
{
    uint32_t hash = UINT32_C(2166136261) ^ parent * UINT32_C(2654435769);
    for (size_t i = 0; i < level.size; i++) {
        hash = (hash ^ (unsigned char)level.data[i]) * UINT32_C(16777619);
    }
    return hash ^ hash >> 15;
}

/* The edge, or the empty place where it belongs. */
static struct trie_edge *
find_edge(const struct topic_trie *trie, uint32_t parent, struct bytes level, uint32_t hash)
{
    size_t mask = trie->edge_capacity - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct trie_edge *edge = &trie->edges[i];
        bool same = edge->child == NONE ||
                    (edge->hash == hash && edge->parent == parent && edge->size == level.size &&
                     memcmp(edge->level, level.data, level.size) == 0);
        if (same) {
            return edge;
        }
    }
}

static void
grow_edges(struct topic_trie *trie)
{
    struct trie_edge *old = trie->edges;
    size_t old_capacity = trie->edge_capacity;
    trie->edge_capacity *= 2;
    trie->edges = mem_new_array(struct trie_edge, trie->edge_capacity);
    for (size_t i = 0; i < old_capacity; i++) {
        if (old[i].child != NONE) {
            struct bytes level = bytes_of(old[i].level, old[i].size);
            *find_edge(trie, old[i].parent, level, old[i].hash) = old[i];
        }
    }
    free(old);
}

static uint32_t
add_node(struct topic_trie *trie)
{
    trie->nodes = mem_grow(trie->nodes, trie->node_count, &trie->node_capacity,
                           sizeof *trie->nodes);
    trie->nodes[trie->node_count] = (struct trie_node){0};
    return (uint32_t)trie->node_count++;
}

static uint32_t
find_or_add_child(struct topic_trie *trie, uint32_t parent, struct bytes level)
{
    if (is_wildcard(level, '+')) {
        if (trie->nodes[parent].plus == NONE) {
            uint32_t child = add_node(trie);
            trie->nodes[parent].plus = child;
        }
        return trie->nodes[parent].plus;
    }
    if ((trie->edge_count + 1) * 2 > trie->edge_capacity) {
        grow_edges(trie);
    }
    uint32_t hash = hash_of(parent, level);
    struct trie_edge *edge = find_edge(trie, parent, level, hash);
    if (edge->child == NONE) {
        *edge = (struct trie_edge){
                .parent = parent,
                .child = add_node(trie),
                .hash = hash,
                .size = (uint32_t)level.size,
                .level = arena_copy(&trie->arena, level).data,
        };
        trie->edge_count++;
    }
    return edge->child;
}

void
topic_trie_add(struct topic_trie *trie, struct bytes filter, uint32_t index)
{
    uint32_t node = 0;
    bool multi = false;
    struct bytes level;
    while (bytes_split(&filter, '/', &level)) {
        multi = is_wildcard(level, '#');
        if (!multi) {
            node = find_or_add_child(trie, node, level);
        }
    }
    uint32_t *chain = multi ? &trie->nodes[node].hash : &trie->nodes[node].ends;
    trie->links = mem_grow(trie->links, trie->link_count, &trie->link_capacity,
                           sizeof *trie->links);
    trie->links[trie->link_count] = (struct trie_link){index, *chain};
    *chain = (uint32_t)trie->link_count++;
}

struct match {
    const struct topic_trie *trie;
    void (*found)(void *context, uint32_t index);
    void *context;
};

static void
report_chain(const struct match *match, uint32_t link)
{
    for (; link != NONE; link = match->trie->links[link].next) {
        match->found(match->context, match->trie->links[link].index);
    }
}

/* `wild`: whether wildcards may match here (not in the first level of '$...'). */
static void
match_from(const struct match *match, uint32_t at, struct bytes topic, bool wild)
{
    const struct trie_node *node = &match->trie->nodes[at];
    struct bytes level;
    if (!bytes_split(&topic, '/', &level)) {
        report_chain(match, node->ends);
        return;
    }
    if (wild) {
        report_chain(match, node->hash);
        if (node->plus != NONE) {
            match_from(match, node->plus, topic, true);
        }
    }
    uint32_t hash = hash_of(at, level);
    const struct trie_edge *edge = find_edge(match->trie, at, level, hash);
    if (edge->child != NONE) {
        match_from(match, edge->child, topic, true);
    }
}

void
topic_trie_match(const struct topic_trie *trie, struct bytes topic,
                 void (*found)(void *context, uint32_t index), void *context)
{
    struct match match = {trie, found, context};
    match_from(&match, 0, topic, !is_reserved(topic));
}
