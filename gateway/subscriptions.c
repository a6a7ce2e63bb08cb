/*
 * The subscriptions of the ingest process: a list in the order of identifiers.
 *
 * States of an entry, per connection:
 *
 *   is_wanted   in the set that must be subscribed
 *   is_known    the broker has it: acknowledged on this connection, or the session was kept
 *   is_active   acknowledged on this connection
 *   asked       a request that is under way
 *   is_leaving  will be given up next; until then an unwanted one still stands in for others, so
 *               that a change of filters hands over without copies
 *   is_refused  the broker said no; it then covers nothing, so what it covered becomes wanted
 *
 * The order of identifiers is the order in which the broker took the subscriptions; that lets an
 * older one stand in for a newer one. So an entry that was given up and is wanted again, or was
 * refused and is accepted later, gets a new identifier and is subscribed once more. The table of
 * overlaps may lag behind: an entry that ceases to stand in leaves it at once, one that becomes
 * able to enters it when there is nothing left to subscribe.
 *
 * File: "HGS1", then { varint id, counted filter } for each entry, then CRC-32C of all before.
 * It holds every filter that the broker's session may hold: it is written before a SUBSCRIBE and
 * after an UNSUBACK.
 *
 * Threads: the owner changes the list; the other thread only reads `overlaps`, a table of its own
 * that the owner replaces under the lock. has_overlaps spares the lock in the usual case.
 */
#include "subscriptions.h"

#include "base/mem.h"
#include "base/wire.h"
#include "filters.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    FILE_MAX_BYTES = 64 * 1024 * 1024,
    IN_FLIGHT_MAX = 32,
    LOST_IDS = 1 << 20, /* passed over when the file was damaged */
    ID_MAX = 268435455, /* of MQTT 5 */
};

enum request { REQUEST_NONE, REQUEST_ADD, REQUEST_DROP };

struct subscription {
    uint32_t id;
    struct bytes filter; /* heap, NUL-terminated behind its size */
    enum request asked;
    bool is_wanted, is_known, is_active, is_refused;
    bool is_late;    /* was refused since it got its identifier */
    bool is_leaving; /* unwanted, and about to be given up */
};

/* For one subscription: the older ones that share topics with it. */
struct overlap {
    uint32_t id;
    struct bytes *older;
    size_t older_count;
    size_t older_capacity;
};

struct subscriptions {
    struct subscription *items; /* by rising id */
    size_t count;
    size_t capacity;
    uint32_t last_id;
    bool is_changed;      /* since the file was read or written */
    bool is_plan_stale;   /* something was refused */
    bool is_table_stale;  /* something was accepted */
    struct bytes *goal;   /* what subscriptions_want() was given, valid ones only; heap */
    size_t goal_count;

    _Atomic bool has_overlaps;
    pthread_mutex_t lock; /* of the table */
    struct overlap *overlaps; /* by rising id; only entries with at least one older */
    size_t overlap_count;
    size_t overlap_capacity;
};

struct subscriptions *
subscriptions_new(void)
{
    struct subscriptions *set = mem_new(struct subscriptions);
    check(pthread_mutex_init(&set->lock, NULL) == 0);
    return set;
}

static struct bytes
copy_text(struct bytes text)
{
    return bytes_of(bytes_to_string(text), text.size);
}

static void
free_text(struct bytes text)
{
    free((char *)(uintptr_t)text.data);
}

static void
free_overlaps(struct overlap *overlaps, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < overlaps[i].older_count; j++) {
            free_text(overlaps[i].older[j]);
        }
        free(overlaps[i].older);
    }
    free(overlaps);
}

static void
free_goal(struct subscriptions *set)
{
    for (size_t i = 0; i < set->goal_count; i++) {
        free_text(set->goal[i]);
    }
    free(set->goal);
    set->goal = NULL;
    set->goal_count = 0;
}

void
subscriptions_free(struct subscriptions *set)
{
    if (set == NULL) {
        return;
    }
    for (size_t i = 0; i < set->count; i++) {
        free_text(set->items[i].filter);
    }
    free(set->items);
    free_goal(set);
    free_overlaps(set->overlaps, set->overlap_count);
    pthread_mutex_destroy(&set->lock);
    free(set);
}

static struct subscription *
add_item(struct subscriptions *set, uint32_t id, struct bytes filter)
{
    set->items = mem_grow(set->items, set->count, &set->capacity, sizeof *set->items);
    struct subscription *item = &set->items[set->count++];
    *item = (struct subscription){.id = id, .filter = copy_text(filter)};
    check(id > set->last_id && id <= ID_MAX);
    set->last_id = id;
    return item;
}

static void
remove_item(struct subscriptions *set, size_t i)
{
    free_text(set->items[i].filter);
    memmove(&set->items[i], &set->items[i + 1], (set->count - i - 1) * sizeof *set->items);
    set->count--;
    set->is_changed = true;
}

/* Moves an entry to the end, as one that the broker does not have. */
static void
renew_item(struct subscriptions *set, size_t i)
{
    struct subscription *item = add_item(set, set->last_id + 1, set->items[i].filter);
    item->is_wanted = set->items[i].is_wanted;
    remove_item(set, i);
}

/* ---- the file ---- */

static const struct bytes file_magic = {"HGS1", 4};

static bool
take_items(struct subscriptions *set, struct bytes text)
{
    if (text.size < file_magic.size + 4 || !bytes_starts_with(text, file_magic)) {
        return false;
    }
    struct bytes body = bytes_slice(text, 0, text.size - 4);
    struct wire_reader crc = wire_reader(bytes_slice(text, body.size, text.size));
    if (wire_get_u32(&crc) != wire_crc32c(0, body)) {
        return false;
    }
    struct wire_reader reader = wire_reader(bytes_slice(body, file_magic.size, body.size));
    while (reader.rest.size > 0) {
        uint64_t id = wire_get_varint(&reader);
        struct bytes filter = wire_get_bytes(&reader);
        if (reader.failed || id <= set->last_id || id > ID_MAX || !filter_is_valid(filter)) {
            return false;
        }
        add_item(set, (uint32_t)id, filter);
    }
    return true;
}

bool
subscriptions_load(struct subscriptions *set, const struct os *os, const char *path,
                   struct diag_list *diags)
{
    struct buf text = {0};
    int result = os_read_file(os, path, FILE_MAX_BYTES, &text);
    bool valid = result == 0 || result == -ENOENT;
    if (!valid) {
        diag_io_error(diags, -result, "cannot read '%s'", path);
    } else if (result == 0 && !take_items(set, buf_bytes(&text))) {
        struct diag_place place = {.file = bytes_of_string(path)};
        diag_at(diags, DIAG_WARNING, &place,
                "not a list of subscriptions; filters of removed rules may stay at the broker");
        set->last_id += LOST_IDS; /* the session's identifiers must not mean something else */
    }
    buf_fini(&text);
    return valid;
}

bool
subscriptions_save(struct subscriptions *set, const struct os *os, const char *path,
                   struct diag_list *diags)
{
    if (!set->is_changed) {
        return true;
    }
    struct buf text = {0};
    buf_append(&text, file_magic);
    for (size_t i = 0; i < set->count; i++) {
        wire_put_varint(&text, set->items[i].id);
        wire_put_bytes(&text, set->items[i].filter);
    }
    wire_put_u32(&text, wire_crc32c(0, buf_bytes(&text)));
    int result = os_replace_file(os, path, buf_bytes(&text), 0600);
    buf_fini(&text);
    if (result < 0) {
        diag_io_error(diags, -result, "cannot write '%s'", path);
        return false;
    }
    set->is_changed = false;
    return true;
}

/* ---- pairs ---- */

/*
 * Two filters can only meet when the text before the first wildcard of one begins that of the
 * other. Sorted by that text, all that may meet a filter stand together behind it.
 */
struct ranked {
    struct bytes start; /* up to the first wildcard; of a plain topic: all of it and a '/' */
    struct bytes filter;
    size_t index;
};

static struct bytes
start_of(struct bytes filter, struct arena *arena)
{
    size_t plus = bytes_find(filter, '+'), hash = bytes_find(filter, '#');
    size_t end = plus < hash ? plus : hash;
    if (end < filter.size) {
        return bytes_slice(filter, 0, end);
    }
    return arena_printf(arena, "%.*s/", BYTES_ARG(filter));
}

static int
compare_ranked(const void *a, const void *b)
{
    const struct ranked *left = a, *right = b;
    int order = bytes_compare(left->start, right->start);
    return order != 0 ? order : left->index < right->index ? -1 : 1;
}

typedef void (*pair_fn)(void *context, const struct ranked *a, const struct ranked *b);

/* Calls `each` for all pairs that may meet. */
static void
visit_pairs(struct ranked *ranked, size_t count, pair_fn each, void *context)
{
    qsort(ranked, count, sizeof *ranked, compare_ranked);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = i + 1; j < count && bytes_starts_with(ranked[j].start, ranked[i].start);
             j++) {
            each(context, &ranked[i], &ranked[j]);
        }
    }
}

/* ---- overlaps ---- */

/* Only what the broker surely has, and is not about to give up, stands in for another. */
static bool
can_stand_in(const struct subscription *item)
{
    return item->is_known && !item->is_refused && !item->is_leaving &&
           item->asked != REQUEST_DROP;
}

struct overlap_builder {
    const struct subscriptions *set;
    struct overlap *table; /* one an item */
};

static void
note_overlap(void *context, const struct ranked *a, const struct ranked *b)
{
    struct overlap_builder *builder = context;
    const struct ranked *older = a->index < b->index ? a : b;
    const struct ranked *newer = older == a ? b : a;
    if (can_stand_in(&builder->set->items[older->index]) &&
        filter_overlaps(older->filter, newer->filter)) {
        struct overlap *overlap = &builder->table[newer->index];
        overlap->older = mem_grow(overlap->older, overlap->older_count, &overlap->older_capacity,
                                  sizeof *overlap->older);
        overlap->older[overlap->older_count++] = copy_text(older->filter);
    }
}

static void
rebuild_overlaps(struct subscriptions *set)
{
    struct arena arena = {0};
    struct ranked *ranked = arena_new_array(&arena, struct ranked, set->count + 1);
    struct overlap *table = mem_new_array(struct overlap, set->count);
    for (size_t i = 0; i < set->count; i++) {
        struct bytes filter = set->items[i].filter;
        ranked[i] = (struct ranked){start_of(filter, &arena), filter, i};
        table[i].id = set->items[i].id;
    }
    visit_pairs(ranked, set->count, note_overlap, &(struct overlap_builder){set, table});
    size_t count = 0;
    for (size_t i = 0; i < set->count; i++) {
        if (table[i].older_count > 0) {
            table[count++] = table[i];
        }
    }
    arena_fini(&arena);
    pthread_mutex_lock(&set->lock);
    struct overlap *before = set->overlaps;
    size_t before_count = set->overlap_count;
    set->overlaps = table;
    set->overlap_count = count;
    atomic_store(&set->has_overlaps, count > 0);
    pthread_mutex_unlock(&set->lock);
    free_overlaps(before, before_count);
    set->is_table_stale = false;
}

static bool
is_seen_by_older(const struct subscriptions *set, uint32_t id, struct bytes topic)
{
    size_t low = 0, high = set->overlap_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->overlaps[middle].id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == set->overlap_count || set->overlaps[low].id != id) {
        return false;
    }
    const struct overlap *overlap = &set->overlaps[low];
    for (size_t i = 0; i < overlap->older_count; i++) {
        if (filter_matches(overlap->older[i], topic)) {
            return true;
        }
    }
    return false;
}

bool
subscriptions_is_copy(struct subscriptions *set, uint32_t id, struct bytes topic)
{
    if (id == 0 || !atomic_load_explicit(&set->has_overlaps, memory_order_relaxed)) {
        return false;
    }
    pthread_mutex_lock(&set->lock);
    bool is_copy = is_seen_by_older(set, id, topic);
    pthread_mutex_unlock(&set->lock);
    return is_copy;
}

/* ---- what is wanted ---- */

static int
compare_filters(const void *a, const void *b)
{
    const struct subscription *const *left = a, *const *right = b;
    return bytes_compare((*left)->filter, (*right)->filter);
}

/* The entry of each goal, or NULL; in the arena. */
static struct subscription **
find_goals(struct subscriptions *set, struct arena *arena)
{
    struct subscription **sorted =
            arena_new_array(arena, struct subscription *, set->count + 1);
    struct subscription **found =
            arena_new_array(arena, struct subscription *, set->goal_count + 1);
    for (size_t i = 0; i < set->count; i++) {
        sorted[i] = &set->items[i];
    }
    qsort(sorted, set->count, sizeof *sorted, compare_filters);
    for (size_t i = 0; i < set->goal_count; i++) {
        struct subscription key = {.filter = set->goal[i]}, *key_pointer = &key;
        struct subscription **at =
                bsearch(&key_pointer, sorted, set->count, sizeof *sorted, compare_filters);
        found[i] = at == NULL ? NULL : *at;
    }
    return found;
}

struct cover_finder {
    struct subscription *const *found;
    bool *is_covered; /* per goal */
};

static bool
can_cover(const struct cover_finder *finder, size_t goal)
{
    return finder->found[goal] == NULL || !finder->found[goal]->is_refused;
}

static void
note_cover(void *context, const struct ranked *a, const struct ranked *b)
{
    struct cover_finder *finder = context;
    if (bytes_equal(a->filter, b->filter)) {
        finder->is_covered[b->index] = true; /* said twice */
    } else if (can_cover(finder, a->index) && filter_covers(a->filter, b->filter)) {
        finder->is_covered[b->index] = true;
    } else if (can_cover(finder, b->index) && filter_covers(b->filter, a->filter)) {
        finder->is_covered[a->index] = true;
    }
}

static void
plan(struct subscriptions *set)
{
    struct arena arena = {0};
    struct ranked *ranked = arena_new_array(&arena, struct ranked, set->goal_count + 1);
    struct cover_finder finder = {find_goals(set, &arena),
                                  arena_new_array(&arena, bool, set->goal_count + 1)};
    for (size_t i = 0; i < set->goal_count; i++) {
        ranked[i] = (struct ranked){start_of(set->goal[i], &arena), set->goal[i], i};
    }
    visit_pairs(ranked, set->goal_count, note_cover, &finder);
    for (size_t i = 0; i < set->count; i++) {
        set->items[i].is_wanted = false;
    }
    for (size_t i = 0; i < set->goal_count; i++) {
        if (!finder.is_covered[i] && finder.found[i] != NULL) {
            finder.found[i]->is_wanted = true;
            finder.found[i]->is_leaving = false;
        }
    }
    for (size_t i = 0; i < set->goal_count; i++) { /* last: adding moves the entries */
        if (!finder.is_covered[i] && finder.found[i] == NULL) {
            add_item(set, set->last_id + 1, set->goal[i])->is_wanted = true;
            set->is_changed = true;
        }
    }
    arena_fini(&arena);
    set->is_plan_stale = false;
    rebuild_overlaps(set);
}

size_t
subscriptions_want(struct subscriptions *set, const struct bytes *filters, size_t count)
{
    free_goal(set);
    set->goal = mem_new_array(struct bytes, count);
    for (size_t i = 0; i < count; i++) {
        if (filter_is_valid(filters[i])) {
            set->goal[set->goal_count++] = copy_text(filters[i]);
        }
    }
    plan(set);
    return count - set->goal_count;
}

/* ---- steps ---- */

void
subscriptions_connected(struct subscriptions *set, bool is_session_present)
{
    for (size_t i = set->count; i-- > 0;) {
        struct subscription *item = &set->items[i];
        item->is_known = is_session_present;
        item->is_late &= is_session_present;
        item->is_active = item->is_refused = false;
        item->asked = REQUEST_NONE;
        if (!is_session_present && !item->is_wanted) {
            remove_item(set, i);
        }
    }
    plan(set);
}

void
subscriptions_lost(struct subscriptions *set)
{
    for (size_t i = 0; i < set->count; i++) {
        set->items[i].is_active = false;
        set->items[i].asked = REQUEST_NONE;
    }
}

static bool
must_add(const struct subscription *item)
{
    return item->is_wanted && !item->is_active && !item->is_refused;
}

/* A refused entry that is not wanted any more has nothing at the broker. */
static void
forget_refused(struct subscriptions *set)
{
    for (size_t i = set->count; i-- > 0;) {
        if (set->items[i].is_refused && !set->items[i].is_wanted) {
            remove_item(set, i);
        }
    }
}

/* Before the first is given up: none of them stands in for another any more. */
static void
let_go(struct subscriptions *set)
{
    for (size_t i = 0; i < set->count; i++) {
        set->items[i].is_leaving = !set->items[i].is_wanted;
    }
    rebuild_overlaps(set);
}

static struct subscription *
choose_next(struct subscriptions *set)
{
    struct subscription *add = NULL, *drop = NULL;
    bool is_adding = false;
    size_t in_flight = 0;
    for (size_t i = 0; i < set->count; i++) {
        struct subscription *item = &set->items[i];
        in_flight += item->asked != REQUEST_NONE;
        is_adding |= must_add(item);
        bool is_free = item->asked == REQUEST_NONE;
        add = add == NULL && must_add(item) && is_free ? item : add;
        drop = drop == NULL && !item->is_wanted && is_free ? item : drop;
    }
    if (in_flight == 0 && !is_adding && (set->is_plan_stale || set->is_table_stale)) {
        if (set->is_plan_stale) {
            plan(set);
        } else {
            rebuild_overlaps(set);
        }
        forget_refused(set);
        return choose_next(set);
    }
    if (in_flight >= IN_FLIGHT_MAX) {
        return NULL;
    }
    if (!is_adding && drop != NULL && !drop->is_leaving) {
        let_go(set);
    }
    return is_adding ? add : drop;
}

enum subscription_step
subscriptions_next(struct subscriptions *set, const char **filter, uint32_t *id)
{
    struct subscription *item = choose_next(set);
    if (item == NULL) {
        return SUBSCRIPTION_NOTHING;
    }
    item->asked = item->is_wanted ? REQUEST_ADD : REQUEST_DROP;
    if (item->asked == REQUEST_DROP) {
        item->is_known = item->is_active = false;
    }
    *filter = item->filter.data;
    *id = item->id;
    return item->is_wanted ? SUBSCRIPTION_ADD : SUBSCRIPTION_DROP;
}

static void
take_answer(struct subscriptions *set, size_t i, bool is_accepted)
{
    struct subscription *item = &set->items[i];
    enum request asked = item->asked;
    item->asked = REQUEST_NONE;
    if (asked == REQUEST_DROP && item->is_wanted) {
        renew_item(set, i); /* wanted again meanwhile */
    } else if (asked == REQUEST_DROP) {
        remove_item(set, i); /* a refusal to unsubscribe would not be mended by asking again */
    } else if (is_accepted && item->is_late) {
        renew_item(set, i);
    } else if (is_accepted) {
        item->is_known = item->is_active = true;
        set->is_table_stale = true;
    } else {
        bool stood_in = can_stand_in(item);
        item->is_refused = item->is_late = true;
        item->is_known = false;
        set->is_plan_stale = true;
        if (stood_in) {
            rebuild_overlaps(set);
        }
    }
}

void
subscriptions_answer(struct subscriptions *set, uint32_t id, bool is_accepted)
{
    for (size_t i = 0; i < set->count; i++) {
        if (set->items[i].id == id && set->items[i].asked != REQUEST_NONE) {
            take_answer(set, i, is_accepted);
            return;
        }
    }
}

void
subscriptions_forgive(struct subscriptions *set)
{
    for (size_t i = 0; i < set->count; i++) {
        set->items[i].is_refused = false;
    }
    plan(set);
}

struct subscriptions_state
subscriptions_state(const struct subscriptions *set)
{
    struct subscriptions_state state = {0};
    for (size_t i = 0; i < set->count; i++) {
        const struct subscription *item = &set->items[i];
        state.wanted += item->is_wanted;
        state.active += item->is_wanted && item->is_active;
        state.in_flight += item->asked != REQUEST_NONE;
        if (item->is_wanted && item->is_refused) {
            state.refused++;
            state.first_refused =
                    state.first_refused == NULL ? item->filter.data : state.first_refused;
        }
    }
    return state;
}
