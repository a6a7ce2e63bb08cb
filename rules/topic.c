/*
 * The trie has a node for each beginning that filters share. The children of all nodes are in one
 * hash table of edges, keyed by (node, level text), so that a node with ten thousand children costs
 * the same as one with two; '+' is a link of its own. A beginning that only one filter has is no
 * node: its edge is a leaf, with the index and the rest of the filter's text, which is matched as
 * it is. Two chains of indices hang on a node: filters that end there, and filters that end with
 * '#' there.
 *
 *   a/+/c -> 1, a/# -> 2, a/b/c/d -> 3       (0) -a-> (1) [#: 2] -+-> (2) -c-> leaf 1
 *                                                          -b-> leaf 3, rest c/d
 *
 * A match walks at most two children a level ('+' and the text), depth bounded by the filters.
 * What counts with many filters is memory: an edge is half a cache line and never lies across two,
 * so that most topics cost one access that no cache foresees. Equal rests have one text.
 */
#include "topic.h"

#include "base/arena.h"
#include "base/map.h"
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

/* Level by level, without the rule about '$'. */
static bool
match_levels(struct bytes filter, struct bytes topic)
{
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
topic_match(struct bytes filter, struct bytes topic)
{
    bool wild = filter.size > 0 && (filter.data[0] == '+' || filter.data[0] == '#');
    return !(wild && is_reserved(topic)) && match_levels(filter, topic);
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

enum { SHORT_LEVEL_BYTES = sizeof(char *) };

struct trie_edge {
    uint32_t parent;
    uint32_t hash;
    uint32_t to; /* a node; of a leaf the index. NONE and no rest: an empty place of the table */
    uint16_t size;
    uint16_t rest_size;
    const char *rest; /* of a leaf: what follows the level, or ENDED; else NULL */
    union {
        const char *level;
        char short_level[SHORT_LEVEL_BYTES]; /* when it fits */
    };
};

/* The rest of a filter that ends with the level. (An empty rest is one more, empty level.) */
static const char ENDED[] = "";

struct trie_link {
    uint32_t index;
    uint32_t next;
};

struct topic_trie {
    struct arena arena; /* the texts of levels and rests */
    struct map rests;   /* text -> itself in the arena */
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
    trie->edges = mem_new_lines(struct trie_edge, EDGES_MIN);
    return trie;
}

void
topic_trie_free(struct topic_trie *trie)
{
    if (trie != NULL) {
        arena_fini(&trie->arena);
        map_fini(&trie->rests);
        free(trie->nodes);
        free(trie->links);
        free(trie->edges);
        free(trie);
    }
}

size_t
topic_trie_footprint(const struct topic_trie *trie)
{
    return arena_footprint(&trie->arena) + map_footprint(&trie->rests) +
           trie->node_capacity * sizeof *trie->nodes + trie->link_capacity * sizeof *trie->links +
           trie->edge_capacity * sizeof *trie->edges;
}

/*
 * As bytes_split() at '/', of a rest that has data, and with the hash of the level below a node in
 * the same pass: FNV-1a, over the node too.
 */
static struct bytes
split_level(struct bytes *rest, uint32_t parent, uint32_t *hash)
{
    const char *start = rest->data, *end = start + rest->size, *p = start;
    uint32_t h = UINT32_C(2166136261) ^ parent * UINT32_C(2654435769);
    for (; p < end && *p != '/'; p++) {
        h = (h ^ (unsigned char)*p) * UINT32_C(16777619);
    }
    *hash = h ^ h >> 15;
    *rest = p < end ? bytes_of(p + 1, (size_t)(end - p) - 1) : (struct bytes){0};
    return bytes_of(start, (size_t)(p - start));
}

static bool
edge_is_empty(const struct trie_edge *edge)
{
    return edge->to == NONE && edge->rest == NULL;
}

/* What follows the level of a leaf: nothing is data NULL, as bytes_split() leaves it. */
static struct bytes
leaf_rest(const struct trie_edge *edge)
{
    return bytes_of(edge->rest == ENDED ? NULL : edge->rest, edge->rest_size);
}

static struct bytes
edge_level(const struct trie_edge *edge)
{
    bool fits = edge->size <= SHORT_LEVEL_BYTES;
    return bytes_of(fits ? edge->short_level : edge->level, edge->size);
}

/* The edge, or the empty place where it belongs. */
static struct trie_edge *
find_edge(const struct topic_trie *trie, uint32_t parent, struct bytes level, uint32_t hash)
{
    size_t mask = trie->edge_capacity - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct trie_edge *edge = &trie->edges[i];
        bool same = edge_is_empty(edge) ||
                    (edge->hash == hash && edge->parent == parent &&
                     bytes_equal(edge_level(edge), level));
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
    trie->edges = mem_new_lines(struct trie_edge, trie->edge_capacity);
    for (size_t i = 0; i < old_capacity; i++) {
        if (!edge_is_empty(&old[i])) {
            *find_edge(trie, old[i].parent, edge_level(&old[i]), old[i].hash) = old[i];
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

/* The edge for a level, made empty when there is none: then the caller fills it. */
static struct trie_edge *
find_or_add_edge(struct topic_trie *trie, uint32_t parent, struct bytes level, uint32_t hash)
{
    if ((trie->edge_count + 1) * 4 > trie->edge_capacity * 3) {
        grow_edges(trie);
    }
    struct trie_edge *edge = find_edge(trie, parent, level, hash);
    if (edge_is_empty(edge)) {
        *edge = (struct trie_edge){
                .parent = parent, .hash = hash, .size = (uint16_t)level.size};
        if (level.size <= SHORT_LEVEL_BYTES) {
            memcpy(edge->short_level, level.data, level.size);
        } else {
            edge->level = arena_copy(&trie->arena, level).data;
        }
        trie->edge_count++;
    }
    return edge;
}

static void
add_link(struct topic_trie *trie, uint32_t *chain_of_node, uint32_t index)
{
    struct trie_link link = {index, *chain_of_node};
    *chain_of_node = (uint32_t)trie->link_count;
    trie->links = mem_grow(trie->links, trie->link_count, &trie->link_capacity,
                           sizeof *trie->links);
    trie->links[trie->link_count++] = link;
}

static void
make_leaf(struct topic_trie *trie, struct trie_edge *edge, struct bytes rest, uint32_t index)
{
    edge->to = index;
    edge->rest = ENDED;
    edge->rest_size = (uint16_t)rest.size;
    if (rest.data == NULL) {
        return;
    }
    edge->rest = map_find(&trie->rests, rest);
    if (edge->rest == NULL) {
        struct bytes copy = arena_copy(&trie->arena, rest);
        map_put(&trie->rests, copy, (void *)(uintptr_t)copy.data);
        edge->rest = copy.data;
    }
}

static void add_from(struct topic_trie *trie, uint32_t node, struct bytes rest, uint32_t index);

/* A second filter passes here: the leaf becomes a node, with what it held below. */
static uint32_t
open_leaf(struct topic_trie *trie, struct trie_edge *edge)
{
    struct bytes rest = leaf_rest(edge);
    uint32_t index = edge->to;
    uint32_t node = add_node(trie);
    edge->to = node;
    edge->rest = NULL;
    edge->rest_size = 0;
    add_from(trie, node, rest, index); /* the edges may have moved now */
    return node;
}

static uint32_t
child_for_plus(struct topic_trie *trie, uint32_t node)
{
    if (trie->nodes[node].plus == NONE) {
        uint32_t child = add_node(trie);
        trie->nodes[node].plus = child;
    }
    return trie->nodes[node].plus;
}

/* Adds the rest of a filter; data NULL: it ends at the node. */
static void
add_from(struct topic_trie *trie, uint32_t node, struct bytes rest, uint32_t index)
{
    while (rest.data != NULL) {
        uint32_t hash;
        struct bytes level = split_level(&rest, node, &hash);
        if (is_wildcard(level, '#')) {
            add_link(trie, &trie->nodes[node].hash, index);
            return;
        }
        if (is_wildcard(level, '+')) {
            node = child_for_plus(trie, node);
            continue;
        }
        struct trie_edge *edge = find_or_add_edge(trie, node, level, hash);
        if (edge_is_empty(edge)) {
            make_leaf(trie, edge, rest, index);
            return;
        }
        node = edge->rest != NULL ? open_leaf(trie, edge) : edge->to;
    }
    add_link(trie, &trie->nodes[node].ends, index);
}

void
topic_trie_add(struct topic_trie *trie, struct bytes filter, uint32_t index)
{
    add_from(trie, 0, filter, index);
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

/* Equal texts match, whatever wildcards they hold: most rests are found so. */
static void
match_leaf(const struct match *match, const struct trie_edge *edge, struct bytes topic)
{
    struct bytes rest = leaf_rest(edge);
    bool matches = rest.data == NULL || topic.data == NULL
                           ? rest.data == topic.data
                           : bytes_equal(rest, topic) || match_levels(rest, topic);
    if (matches) {
        match->found(match->context, edge->to);
    }
}

/* `wild`: whether wildcards may match here (not in the first level of '$...'). */
static void
match_from(const struct match *match, uint32_t at, struct bytes topic, bool wild)
{
    const struct trie_node *node = &match->trie->nodes[at];
    if (topic.data == NULL) {
        report_chain(match, node->ends);
        return;
    }
    uint32_t hash;
    struct bytes level = split_level(&topic, at, &hash);
    if (wild) {
        report_chain(match, node->hash);
        if (node->plus != NONE) {
            match_from(match, node->plus, topic, true);
        }
    }
    const struct trie_edge *edge = find_edge(match->trie, at, level, hash);
    if (edge->rest != NULL) {
        match_leaf(match, edge, topic);
    } else if (edge->to != NONE) {
        match_from(match, edge->to, topic, true);
    }
}

void
topic_trie_match(const struct topic_trie *trie, struct bytes topic,
                 void (*found)(void *context, uint32_t index), void *context)
{
    struct match match = {trie, found, context};
    topic.data = topic.size == 0 ? "" : topic.data; /* one empty level, not none */
    match_from(&match, 0, topic, !is_reserved(topic));
}
