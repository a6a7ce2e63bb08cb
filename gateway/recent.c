/* A set-associative table, like a processor's cache: no list to keep in order, nothing to search. */
#include "recent.h"

#include "base/map.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdlib.h>

enum { SETS = 128, WAYS = 4, TOPIC_KEPT_MAX_BYTES = 256 };

struct entry {
    uint64_t hash;
    char *topic; /* NULL: free */
    size_t size;
    uint64_t count;
    int64_t last_us;
};

struct recent {
    pthread_mutex_t lock;
    struct entry entries[SETS][WAYS];
};

struct recent *
recent_new(void)
{
    struct recent *recent = mem_new(struct recent);
    pthread_mutex_init(&recent->lock, NULL);
    return recent;
}

void
recent_free(struct recent *recent)
{
    if (recent == NULL) {
        return;
    }
    for (size_t s = 0; s < SETS; s++) {
        for (size_t w = 0; w < WAYS; w++) {
            free(recent->entries[s][w].topic);
        }
    }
    pthread_mutex_destroy(&recent->lock);
    free(recent);
}

/* The topic's entry, or the one that it should replace. */
static struct entry *
find(struct entry *set, struct bytes topic, uint64_t hash)
{
    struct entry *oldest = set;
    for (size_t w = 0; w < WAYS; w++) {
        struct entry *entry = &set[w];
        if (entry->topic != NULL && entry->hash == hash &&
            bytes_equal(bytes_of(entry->topic, entry->size), topic)) {
            return entry;
        }
        bool older = entry->topic == NULL || entry->last_us < oldest->last_us;
        oldest = oldest->topic != NULL && older ? entry : oldest;
    }
    return oldest;
}

/* Topics often differ in few bits, in their last digits: spread these over all. */
static size_t
set_of(uint64_t hash)
{
    return (size_t)((hash * UINT64_C(0xd6e8feb86659fd93)) >> 32) % SETS;
}

void
recent_note(struct recent *recent, struct bytes topic, int64_t time_us)
{
    if (topic.size > TOPIC_KEPT_MAX_BYTES) {
        return;
    }
    uint64_t hash = map_hash(topic);
    pthread_mutex_lock(&recent->lock);
    struct entry *entry = find(recent->entries[set_of(hash)], topic, hash);
    if (entry->topic == NULL || entry->hash != hash ||
        !bytes_equal(bytes_of(entry->topic, entry->size), topic)) {
        free(entry->topic);
        *entry = (struct entry){
                .hash = hash, .topic = bytes_to_string(topic), .size = topic.size};
    }
    entry->count++;
    entry->last_us = time_us;
    pthread_mutex_unlock(&recent->lock);
}

struct recent_topic *
recent_list(struct recent *recent, struct arena *arena, size_t *count)
{
    struct recent_topic *topics = arena_new_array(arena, struct recent_topic, SETS * WAYS);
    *count = 0;
    pthread_mutex_lock(&recent->lock);
    for (size_t s = 0; s < SETS; s++) {
        for (size_t w = 0; w < WAYS; w++) {
            const struct entry *entry = &recent->entries[s][w];
            if (entry->topic != NULL) {
                topics[(*count)++] = (struct recent_topic){
                        arena_copy(arena, bytes_of(entry->topic, entry->size)), entry->count,
                        entry->last_us};
            }
        }
    }
    pthread_mutex_unlock(&recent->lock);
    return topics;
}
