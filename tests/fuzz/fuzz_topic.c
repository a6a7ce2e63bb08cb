/* Topic filters: lines of filters, the last line a topic; the trie and the plain matcher agree. */
#include "fuzz.h"
#include "rules/topic.h"

enum { FILTERS_MAX = 64 };

static void
count(void *context, uint32_t index)
{
    ((unsigned *)context)[index]++;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes rest = bytes_of(data, size), line, topic = BYTES("");
    struct bytes filters[FILTERS_MAX];
    uint32_t filter_count = 0;
    struct topic_trie *trie = topic_trie_new();
    while (size > 0 && bytes_split(&rest, '\n', &line)) {
        const char *reason;
        size_t at;
        topic = line;
        if (filter_count < FILTERS_MAX && topic_filter_is_valid(line, &reason, &at)) {
            topic_trie_add(trie, line, filter_count);
            filters[filter_count++] = line;
        }
    }
    unsigned counts[FILTERS_MAX] = {0};
    topic_trie_match(trie, topic, count, counts);
    for (uint32_t i = 0; i < filter_count; i++) {
        check(counts[i] == topic_match(filters[i], topic));
        check(!topic_is_valid(filters[i]) || topic_match(filters[i], filters[i]));
    }
    topic_trie_free(trie);
    return 0;
}
