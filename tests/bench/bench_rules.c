/*
 * How long a message takes in the rule language, on one core: parse, WHERE, SELECT, row. And how
 * the topic trie scales. Prints one line a case; `meson test --benchmark` or by hand.
 */
#include "base/arena.h"
#include "base/json.h"
#include "rules/rule.h"
#include "rules/topic.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double
now_s(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static const char payload[] =
        "{\"sensor_id\":\"sensor-07\",\"temperature\":72.5,\"status\":\"WARNING\","
        "\"event_time\":1621423200978,\"humidity\":41}";

static const char *const statements[] = {
        "SELECT sensor_id, temperature, status FROM 'sensors/+/data' WHERE temperature > 60",
        "SELECT sensor_id, temperature, status FROM 'sensors/+/data' WHERE temperature > 80",
        "SELECT * FROM 'sensors/+/data'",
        "SELECT *, timestamp() AS time FROM 'sensors/+/data' WHERE status = 'WARNING'",
        ("SELECT sensor_id, (temperature - 32) * 5 / 9 AS celsius, upper(status) AS s "
        "FROM 'sensors/+/data' WHERE temperature > 60 AND status <> 'OK'"),
};

static void
bench_statement(const char *sql_text, size_t messages)
{
    struct bytes template = BYTES("alerts/${topic(2)}");
    struct rule_sql sql = {
            .path = BYTES("bench"), .name = BYTES("bench"), .sql = bytes_of_string(sql_text),
            .templates = &template, .template_count = 1};
    struct diag_list diags = {0};
    struct rule_file *file;
    check(rule_sql_parse(&file, &sql, &diags));
    struct arena arena = {0};
    size_t rows = 0;
    double start = now_s();
    for (size_t i = 0; i < messages; i++) {
        struct rule_message message = {
                .arena = &arena, .topic = BYTES("sensors/7/data"),
                .payload = bytes_of(payload, sizeof payload - 1), .time_us = 1, .seed = i};
        struct rule_row row;
        rows += rule_run(file->rules[0], &message, &row) == RULE_MATCHED;
        if (i % 64 == 0) {
            arena_reset(&arena);
        }
    }
    double seconds = now_s() - start;
    printf("%6.0f ns  %5.2f M messages/s  %zu rows  %s\n", seconds / (double)messages * 1e9,
           (double)messages / seconds / 1e6, rows, sql_text);
    arena_fini(&arena);
    rule_file_free(file);
    diag_list_fini(&diags);
}

static void
count(void *context, uint32_t index)
{
    *(size_t *)context += index >= 1;
}

/* Messages on all of the topics in turn, in an order that caches cannot guess. */
static void
bench_trie(uint32_t rules, size_t messages)
{
    struct arena arena = {0};
    struct topic_trie *trie = topic_trie_new();
    struct bytes *topics = arena_new_array(&arena, struct bytes, rules);
    for (uint32_t i = 0; i < rules; i++) {
        topic_trie_add(trie, arena_printf(&arena, "site/%u/sensors/+/data", i), i);
        topics[i] = arena_printf(&arena, "site/%u/sensors/7/data", i);
    }
    size_t found = 0;
    double start = now_s();
    for (size_t i = 0; i < messages; i++) {
        struct bytes topic = topics[(uint32_t)(i * 2654435761u) % rules];
        topic_trie_match(trie, topic, count, &found);
    }
    double seconds = now_s() - start;
    printf("%6.0f ns  match one of %u filters, %zu KiB\n", seconds / (double)messages * 1e9, rules,
           topic_trie_footprint(trie) / 1024);
    topic_trie_free(trie);
    arena_fini(&arena);
}

static void
bench_memory(uint32_t rules)
{
    struct diag_list diags = {0};
    struct rule_file **files = calloc(rules, sizeof(struct rule_file *));
    check(files != NULL);
    size_t bytes = 0;
    double start = now_s();
    for (uint32_t i = 0; i < rules; i++) {
        struct bytes text = BYTES("INSERT INTO 'alerts/${topic(2)}', readings "
                                  "SELECT sensor_id, temperature, timestamp() AS time "
                                  "FROM 'sensors/+/data' WHERE temperature > 60;");
        check(rule_file_parse(&files[i], BYTES("etc/rules.d/hot.sql"), text, &diags));
        bytes += arena_footprint(&files[i]->arena);
    }
    printf("%6.0f ns  to compile a file of one rule, %zu bytes\n",
           (now_s() - start) / rules * 1e9, bytes / rules);
    for (uint32_t i = 0; i < rules; i++) {
        rule_file_free(files[i]);
    }
    free(files);
    diag_list_fini(&diags);
}

int
main(int argc, char **argv)
{
    size_t messages = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 1000000;
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++) {
        bench_statement(statements[i], messages);
    }
    bench_trie(10, messages);
    bench_trie(10000, messages);
    bench_memory(1000);
    return 0;
}
