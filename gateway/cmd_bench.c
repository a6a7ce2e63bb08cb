/*
 * headgate bench: how fast this machine evaluates rules, without broker and disk.
 *
 * CPU time of one thread, each case for about half a second, best of three rounds, so that a busy
 * machine disturbs little. The payload is a reading of about 100 bytes.
 */
#define _GNU_SOURCE
#include "command.h"
#include "ruleset.h"

#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 3, ROUND_NS = 200000000, STEP_MESSAGES = 1000, TOPICS = 10000 };

static const char PAYLOAD[] =
        "{\"sensor_id\":\"sensor-42\",\"temperature\":61.5,\"humidity\":48,\"status\":\"WARNING\","
        "\"event_time\":1635240020904}";

struct bench {
    struct ruleset *ruleset;
    struct arena arena;
    struct buf topic;
    size_t topics;     /* messages go to this many topics in turn */
    uint64_t matched;
    struct rule_message message;
};

typedef void (*bench_fn)(struct bench *bench, uint64_t i);

static void
run_matched_rule(void *context, uint32_t index)
{
    struct bench *bench = context;
    struct rule_row row;
    bench->matched +=
            rule_run(bench->ruleset->rules[index].rule, &bench->message, &row) == RULE_MATCHED;
}

static void
run_rules(struct bench *bench, uint64_t i)
{
    buf_clear(&bench->topic);
    buf_append_string(&bench->topic, "sensors/");
    buf_append_int64(&bench->topic, (int64_t)(i * 7919 % bench->topics));
    buf_append_string(&bench->topic, "/data");
    bench->message = (struct rule_message){
            .arena = &bench->arena,
            .topic = buf_bytes(&bench->topic),
            .payload = bytes_of_string(PAYLOAD),
            .time_us = 1635240020904000,
    };
    topic_trie_match(bench->ruleset->topics, bench->message.topic, run_matched_rule, bench);
}

static void
parse_only(struct bench *bench, uint64_t i)
{
    struct json json;
    struct json_error error;
    bench->matched += json_parse(&json, bytes_of_string(PAYLOAD), JSON_DEPTH_MAX_DEFAULT,
                                 &bench->arena, &error);
}

static int64_t
cpu_ns(void)
{
    struct timespec now;
    check(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Nanoseconds of CPU a message. */
static double
measure(struct bench *bench, bench_fn step)
{
    double best_ns = 0;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t messages = 0;
        int64_t began_ns = cpu_ns(), spent_ns = 0;
        while (spent_ns < ROUND_NS) {
            for (int i = 0; i < STEP_MESSAGES; i++) {
                step(bench, messages++);
            }
            arena_reset(&bench->arena);
            spent_ns = cpu_ns() - began_ns;
        }
        double ns = (double)spent_ns / (double)messages;
        best_ns = round == 0 || ns < best_ns ? ns : best_ns;
    }
    return best_ns;
}

static bool
report(const char *name, const char *what, const char *sql, size_t topics, bool json)
{
    struct bench bench = {.topics = topics};
    struct diag_list diags = {0};
    bool ready = sql == NULL ||
                 ruleset_load_text(&bench.ruleset, BYTES("bench"), bytes_of_string(sql), &diags);
    if (ready) {
        double ns = measure(&bench, sql == NULL ? parse_only : run_rules);
        check(bench.matched > 0);
        if (json) {
            printf("{\"case\":\"%s\",\"ns\":%.1f,\"per_second\":%.0f}\n", name, ns, 1e9 / ns);
        } else {
            printf("%-46s %8.1f ns  %10.0f/s\n", what, ns, 1e9 / ns);
        }
    }
    command_print_diags(&diags);
    ruleset_free(bench.ruleset);
    arena_fini(&bench.arena);
    buf_fini(&bench.topic);
    diag_list_fini(&diags);
    return ready;
}

static char *
rules_on_distinct_topics(size_t count)
{
    struct buf sql = {0};
    for (size_t i = 0; i < count; i++) {
        buf_printf(&sql,
                   "INSERT INTO 'out' SELECT sensor_id, temperature, status FROM "
                   "'sensors/%zu/data' WHERE temperature > 60;\n",
                   i);
    }
    return buf_take_string(&sql);
}

int
cmd_bench(int argc, char **argv)
{
    struct command_line line;
    int code;
    if (!command_line_parse(&line, command_find("bench"), argc, argv, NULL, 0, 0, &code)) {
        return code;
    }
    static const char PROJECT[] = "INSERT INTO 'out' SELECT sensor_id, temperature, status FROM "
                                  "'sensors/+/data' WHERE temperature > 60";
    char *few = rules_on_distinct_topics(10), *many = rules_on_distinct_topics(TOPICS);
    bool done = report("parse", "JSON scan alone, 104 bytes", NULL, 1, line.json);
    done &= report("filter_project", "filter, three fields", PROJECT, 1, line.json);
    done &= report("pass", "SELECT *", "INSERT INTO 'out' SELECT * FROM 'sensors/+/data'", 1,
                   line.json);
    done &= report("rules_10", "10 rules on distinct topics", few, 10, line.json);
    done &= report("rules_10000", "10,000 rules on distinct topics", many, TOPICS, line.json);
    free(few);
    free(many);
    command_line_fini(&line);
    return done ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
}
