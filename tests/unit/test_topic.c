#include "unit.h"

#include "base/buf.h"
#include "rules/topic.h"

#include <stdio.h>

static void
filters_match_as_aws_says(void **state)
{
    static const struct {
        const char *filter;
        const char *topic;
        bool matches;
    } cases[] = {
            {"sensor/#", "sensor/a", true}, {"sensor/#", "sensor/a/b/c", true},
            {"sensor/#", "sensor/", true}, {"sensor/#", "sensor", false},
            {"sensor/#", "sensors/a", false}, {"#", "a", true}, {"#", "a/b", true},
            {"#", "", true}, {"#", "$SYS/x", false}, {"+/x", "$SYS/x", false},
            {"$SYS/+", "$SYS/x", true}, {"$SYS/#", "$SYS/x/y", true}, {"+", "a", true},
            {"+", "a/b", false}, {"+", "", true}, {"+/+", "/", true}, {"/+", "/a", true},
            {"+/a", "/a", true}, {"a/+/c", "a/b/c", true}, {"a/+/c", "a//c", true},
            {"a/+/c", "a/b/c/d", false}, {"a/+", "a", false}, {"a/b", "a/b", true},
            {"a/b", "A/b", false}, {"a/b", "a/b/", false}, {"a/b/", "a/b", false},
            {"a/+/#", "a/b", false}, {"a/+/#", "a/b/c", true}, {"a/#", "b/c", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool matches = topic_match(bytes_of_string(cases[i].filter),
                                   bytes_of_string(cases[i].topic));
        if (matches != cases[i].matches) {
            fail_msg("%s on %s: %d", cases[i].filter, cases[i].topic, matches);
        }
    }
}

static void
bad_filters_are_told(void **state)
{
    static const struct {
        const char *filter;
        const char *reason;
        size_t at;
    } cases[] = {
            {"", "a topic filter cannot be empty", 0},
            {"a/#/b", "'#' must be the last level", 2},
            {"a/b+", "a wildcard must fill its whole level", 3},
            {"a/#b", "a wildcard must fill its whole level", 2},
            {"#/", "'#' must be the last level", 0},
            {"a/\xff", "a topic filter must be UTF-8", 0},
    };
    const char *reason;
    size_t at;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_false(topic_filter_is_valid(bytes_of_string(cases[i].filter), &reason, &at));
        assert_string_equal(reason, cases[i].reason);
        assert_int_equal(at, cases[i].at);
    }
    static const char *const good[] = {"a", "/", "+", "#", "+/+/#", "a//b", "$aws/things/+/shadow"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(topic_filter_is_valid(bytes_of_string(good[i]), &reason, &at));
    }
    char deep[2 * TOPIC_LEVELS_MAX + 2];
    memset(deep, '/', sizeof deep);
    assert_true(topic_filter_is_valid(bytes_of(deep, TOPIC_LEVELS_MAX - 1), &reason, &at));
    assert_false(topic_filter_is_valid(bytes_of(deep, TOPIC_LEVELS_MAX), &reason, &at));
}

static void
topics_to_publish_to_have_no_wildcards(void **state)
{
    assert_true(topic_is_valid(BYTES("a/b")));
    assert_false(topic_is_valid(BYTES("")));
    assert_false(topic_is_valid(BYTES("a/+")));
    assert_false(topic_is_valid(BYTES("a/#")));
    assert_false(topic_is_valid(BYTES("a\0b")));
    assert_false(topic_is_valid(BYTES("\xff")));
}

static void
basic_ingest_names_the_rule(void **state)
{
    struct bytes rule, rest;
    assert_true(topic_is_basic_ingest(BYTES("$aws/rules/hot/a/b"), &rule, &rest));
    assert_bytes(rule, "hot");
    assert_bytes(rest, "a/b");
    assert_true(topic_is_basic_ingest(BYTES("$aws/rules/hot"), &rule, &rest));
    assert_bytes(rest, "");
    assert_false(topic_is_basic_ingest(BYTES("$aws/rules/"), &rule, &rest));
    assert_false(topic_is_basic_ingest(BYTES("$aws/rules//a"), &rule, &rest));
    assert_false(topic_is_basic_ingest(BYTES("aws/rules/hot"), &rule, &rest));
}

/* ---- the trie does what the plain matcher does ---- */

enum { FILTERS = 400, TOPICS = 4000 };

struct seen {
    unsigned counts[FILTERS];
};

static void
note(void *context, uint32_t index)
{
    ((struct seen *)context)->counts[index]++;
}

static uint32_t
draw(uint32_t *state, uint32_t below)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % below;
}

/* A few short and long levels, so that many filters share beginnings. */
static struct bytes
random_topic(struct buf *out, uint32_t *seed, bool filter)
{
    static const char *const levels[] = {"a",  "b",        "", "long-level-name",
                                         "$x", "\xc3\xa9", "+", "#"};
    uint32_t count = 1 + draw(seed, 4);
    buf_clear(out);
    for (uint32_t i = 0; i < count; i++) {
        const char *level = levels[draw(seed, filter ? 8 : 6)];
        if (level[0] == '#' && i + 1 < count) {
            level = "+";
        }
        buf_append_string(out, i == 0 ? "" : "/");
        buf_append_string(out, level);
    }
    if (filter && out->size == 0) {
        buf_append_char(out, '#');
    }
    return buf_bytes(out);
}

static void
the_trie_agrees_with_the_plain_matcher(void **state)
{
    uint32_t seed = 1;
    struct topic_trie *trie = topic_trie_new();
    char *filters[FILTERS];
    struct buf text = {0};
    for (uint32_t i = 0; i < FILTERS; i++) {
        filters[i] = bytes_to_string(random_topic(&text, &seed, true));
        topic_trie_add(trie, bytes_of_string(filters[i]), i);
    }
    unsigned matches = 0;
    for (int i = 0; i < TOPICS; i++) {
        struct bytes topic = random_topic(&text, &seed, false);
        struct seen seen = {0};
        topic_trie_match(trie, topic, note, &seen);
        for (uint32_t f = 0; f < FILTERS; f++) {
            bool expected = topic_match(bytes_of_string(filters[f]), topic);
            if (seen.counts[f] != expected) {
                fail_msg("%s on %.*s: %u, expected %d", filters[f], BYTES_ARG(topic),
                         seen.counts[f], expected);
            }
            matches += expected;
        }
    }
    assert_true(matches > TOPICS);
    for (uint32_t i = 0; i < FILTERS; i++) {
        free(filters[i]);
    }
    buf_fini(&text);
    topic_trie_free(trie);
}

static void
many_filters_under_one_node_are_all_found(void **state)
{
    struct topic_trie *trie = topic_trie_new();
    char text[64];
    for (uint32_t i = 0; i < 10000; i++) {
        int size = snprintf(text, sizeof text, "site/device-number-%u/data", i);
        topic_trie_add(trie, bytes_of(text, (size_t)size), i % FILTERS);
    }
    for (uint32_t i = 0; i < 10000; i++) {
        struct seen seen = {0};
        int size = snprintf(text, sizeof text, "site/device-number-%u/data", i);
        topic_trie_match(trie, bytes_of(text, (size_t)size), note, &seen);
        assert_int_equal(seen.counts[i % FILTERS], 1);
    }
    assert_true(topic_trie_footprint(trie) < 10000 * 400);
    topic_trie_free(trie);
    topic_trie_free(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(filters_match_as_aws_says),
            cmocka_unit_test(bad_filters_are_told),
            cmocka_unit_test(topics_to_publish_to_have_no_wildcards),
            cmocka_unit_test(basic_ingest_names_the_rule),
            cmocka_unit_test(the_trie_agrees_with_the_plain_matcher),
            cmocka_unit_test(many_filters_under_one_node_are_all_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
