/*
 * The trie has a node for each beginning that filters share. The children of all nodes are in one
 * hash table, keyed by (node, level text), so that a node with ten thousand children costs the same
 * as one with two; '+' is a link of its own. Three chains of indices hang on a node: filters that
 * end there, filters that end with '#' there, and a few tails: filters that nobody shares from here
 * on, with the rest of their text, which is matched as it is. When a node gets too many tails they
 * move one level down.
 *
 *   a/+/c -> 1, a/# -> 2, a/b/c/d -> 3       (0) -a-> (1) [#: 2] [tails: +/c 1, b/c/d 3]
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

enum { NONE = 0, EDGES_MIN = 16, TAILS_MAX = 4 };

struct trie_node {
    uint32_t plus; /* the child for '+', or NONE (the root is nobody's child) */
    uint32_t ends; /* chain of indices whose filter ends here, or NONE */
    uint32_t hash; /* chain of indices whose filter goes on with '#' and ends */
    uint32_t tails; /* chain of indices whose filter goes on with `rest` */
};

enum { SHORT_LEVEL_BYTES = sizeof(char *) };

struct trie_edge {
    uint32_t parent;
    uint32_t child; /* NONE: an empty place of the table */
    uint32_t hash;
    uint32_t size;
    union {
        const char *level;
        char short_level[SHORT_LEVEL_BYTES]; /* when it fits: saves a cache miss */
    };
};

struct trie_link {
    const char *rest; /* of tails */
    uint32_t rest_size;
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
        bool same = edge->child == NONE ||
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
    trie->edges = mem_new_array(struct trie_edge, trie->edge_capacity);
    for (size_t i = 0; i < old_capacity; i++) {
        if (old[i].child != NONE) {
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

/* The child for a level, or NONE. */
static uint32_t
find_child(const struct topic_trie *trie, uint32_t parent, struct bytes level)
{
    if (is_wildcard(level, '+')) {
        return trie->nodes[parent].plus;
    }
    return find_edge(trie, parent, level, hash_of(parent, level))->child;
}

static uint32_t
add_child(struct topic_trie *trie, uint32_t parent, struct bytes level)
{
    uint32_t child = add_node(trie);
    if (is_wildcard(level, '+')) {
        trie->nodes[parent].plus = child;
        return child;
    }
    if ((trie->edge_count + 1) * 2 > trie->edge_capacity) {
        grow_edges(trie);
    }
    uint32_t hash = hash_of(parent, level);
    struct trie_edge *edge = find_edge(trie, parent, level, hash);
    *edge = (struct trie_edge){
            .parent = parent, .child = child, .hash = hash, .size = (uint32_t)level.size};
    if (level.size <= SHORT_LEVEL_BYTES) {
        memcpy(edge->short_level, level.data, level.size);
    } else {
        edge->level = arena_copy(&trie->arena, level).data;
    }
    trie->edge_count++;
    return child;
}

static void
add_link(struct topic_trie *trie, uint32_t *chain_of_node, struct trie_link link)
{
    link.next = *chain_of_node;
    *chain_of_node = (uint32_t)trie->link_count;
    trie->links = mem_grow(trie->links, trie->link_count, &trie->link_capacity,
                           sizeof *trie->links);
    trie->links[trie->link_count++] = link;
}

static unsigned
chain_length(const struct topic_trie *trie, uint32_t link)
{
    unsigned length = 0;
    for (; link != NONE; link = trie->links[link].next) {
        length++;
    }
    return length;
}

static void add_from(struct topic_trie *trie, uint32_t node, struct bytes rest, uint32_t index);

/* Moves a node's tails one level down. Their links stay behind unused. */
static void
move_tails_down(struct topic_trie *trie, uint32_t node)
{
    uint32_t link = trie->nodes[node].tails;
    trie->nodes[node].tails = NONE;
    while (link != NONE) {
        struct trie_link tail = trie->links[link];
        struct bytes rest = bytes_of(tail.rest, tail.rest_size), level;
        bytes_split(&rest, '/', &level);
        uint32_t child = find_child(trie, node, level);
        child = child == NONE ? add_child(trie, node, level) : child;
        add_from(trie, child, rest, tail.index);
        link = tail.next;
    }
}

/* `rest` lives in the trie's arena. */
static void
add_from(struct topic_trie *trie, uint32_t node, struct bytes rest, uint32_t index)
{
    struct trie_link link = {rest.data, (uint32_t)rest.size, index, NONE};
    struct bytes level;
    while (bytes_split(&rest, '/', &level)) {
        if (is_wildcard(level, '#')) {
            add_link(trie, &trie->nodes[node].hash, link);
            return;
        }
        uint32_t child = find_child(trie, node, level);
        if (child == NONE) {
            add_link(trie, &trie->nodes[node].tails, link);
            if (chain_length(trie, trie->nodes[node].tails) > TAILS_MAX) {
                move_tails_down(trie, node);
            }
            return;
        }
        node = child;
        link.rest = rest.data;
        link.rest_size = (uint32_t)rest.size;
    }
    add_link(trie, &trie->nodes[node].ends, link);
}

void
topic_trie_add(struct topic_trie *trie, struct bytes filter, uint32_t index)
{
    add_from(trie, 0, arena_copy(&trie->arena, filter), index);
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

static void
match_tails(const struct match *match, uint32_t at, struct bytes topic)
{
    uint32_t link = match->trie->nodes[at].tails;
    while (link != NONE) {
        const struct trie_link *tail = &match->trie->links[link];
        struct bytes rest = bytes_of(tail->rest, tail->rest_size);
        if (at == 0 ? topic_match(rest, topic) : match_levels(rest, topic)) {
            match->found(match->context, tail->index);
        }
        link = tail->next;
    }
}

/* `wild`: whether wildcards may match here (not in the first level of '$...'). */
static void
match_from(const struct match *match, uint32_t at, struct bytes topic, bool wild)
{
    const struct trie_node *node = &match->trie->nodes[at];
    struct bytes level;
    if (topic.data == NULL) {
        report_chain(match, node->ends);
        return;
    }
    match_tails(match, at, topic);
    bytes_split(&topic, '/', &level);
    if (wild) {
        report_chain(match, node->hash);
        if (node->plus != NONE) {
            match_from(match, node->plus, topic, true);
        }
    }
    const struct trie_edge *edge = find_edge(match->trie, at, level, hash_of(at, level));
    if (edge->child != NONE) {
        match_from(match, edge->child, topic, true);
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
