/*
 * headgate bench: how fast this machine evaluates rules, without broker and disk.
 *
 * CPU time of one thread. The cases take turns, a fifth of a second each, and the best of their
 * rounds counts, so that a machine with other work disturbs little, and all cases alike. The
 * payload is a reading of about 100 bytes. Two cases are yardsticks: the scan with our own reader,
 * and cJSON, which also makes a tree and frees it.
 *
 * With many rules what costs is memory: messages go to their topics in an order that no cache
 * foresees. Rules that differ in their topic only share a program (rules/pool.h), so there is a
 * second pair of cases in which each rule compares with another number.
 *
 * A single case with a fixed number of messages is for tools that count instructions; with a folder
 * what is measured is loading it.
 */
#define _GNU_SOURCE
#include "command.h"
#include "ruleset.h"

#include "base/json.h"

#include <cjson/cJSON.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    ROUNDS = 3,
    ROUND_NS = 200000000,
    STEP_MESSAGES = 1000,
    MESSAGES_MAX = 1000000000,
    MANY = 10000,
    FEW = 10,
    SAME_FILTER = 300,
};

static const char PAYLOAD[] =
        "{\"sensor_id\":\"sensor-42\",\"temperature\":61.5,\"humidity\":48,\"status\":\"WARNING\","
        "\"event_time\":1635240020904}";

enum case_id {
    CASE_SCAN,
    CASE_CJSON,
    CASE_FILTER_PROJECT,
    CASE_PASS,
    CASE_EXTEND,
    CASE_COMPUTE,
    CASE_RULES_FEW,
    CASE_RULES_MANY,
    CASE_PROGRAMS_FEW,
    CASE_PROGRAMS_MANY,
    CASE_SAME_FILTER,
    CASES
};

struct bench_case {
    const char *name;
    const char *what;
    void (*write_rules)(struct buf *sql, const struct bench_case *self); /* NULL: no rules */
    size_t rules;
    size_t topics; /* messages go to so many in turn */
};

/* A case at work. */
struct bench {
    const struct bench_case *of;
    struct ruleset *ruleset;
    struct arena arena;
    struct buf topic;
    uint64_t messages;
    uint64_t evaluated;
    uint64_t matched;
    struct rule_message message;
    double best_ns; /* of CPU a message */
};

/* ---- rules ---- */

static const char SELECT_THREE[] = "INSERT INTO 'out' SELECT sensor_id, temperature, status FROM ";

static void
write_filter_project(struct buf *sql, const struct bench_case *self)
{
    buf_printf(sql, "%s'sensors/+/data' WHERE temperature > 60", SELECT_THREE);
}

static void
write_pass(struct buf *sql, const struct bench_case *self)
{
    buf_append_string(sql, "INSERT INTO 'out' SELECT * FROM 'sensors/+/data'");
}

static void
write_extend(struct buf *sql, const struct bench_case *self)
{
    buf_append_string(sql, "INSERT INTO 'out' SELECT *, timestamp() AS time FROM 'sensors/+/data' "
                           "WHERE status = 'WARNING'");
}

static void
write_compute(struct buf *sql, const struct bench_case *self)
{
    buf_append_string(sql, "INSERT INTO 'alerts/${topic(2)}' SELECT sensor_id, "
                           "(temperature - 32) * 5 / 9 AS celsius, upper(status) AS s FROM "
                           "'sensors/+/data' WHERE temperature > 60 AND status <> 'OK'");
}

static void
write_same_programs(struct buf *sql, const struct bench_case *self)
{
    for (size_t i = 0; i < self->rules; i++) {
        buf_printf(sql, "%s'sensors/%zu/data' WHERE temperature > 60;\n", SELECT_THREE, i);
    }
}

static void
write_other_programs(struct buf *sql, const struct bench_case *self)
{
    for (size_t i = 0; i < self->rules; i++) {
        buf_printf(sql, "%s'sensors/%zu/data' WHERE temperature > 60.%05zu;\n", SELECT_THREE, i, i);
    }
}

static void
write_same_filter(struct buf *sql, const struct bench_case *self)
{
    for (size_t i = 0; i < self->rules; i++) {
        buf_printf(sql, "%s'sensors/+/data' WHERE temperature > 60.%05zu;\n", SELECT_THREE, i);
    }
}

static const struct bench_case cases[CASES] = {
        [CASE_SCAN] = {"scan", "JSON alone, our reader, 104 bytes", NULL, 0, 1},
        [CASE_CJSON] = {"cjson", "JSON alone, cJSON", NULL, 0, 1},
        [CASE_FILTER_PROJECT] = {"filter_project", "filter, three fields", write_filter_project, 1,
                                 1},
        [CASE_PASS] = {"pass", "SELECT *", write_pass, 1, 1},
        [CASE_EXTEND] = {"extend", "filter, SELECT * and a field", write_extend, 1, 1},
        [CASE_COMPUTE] = {"compute", "two conditions, arithmetic, topic", write_compute, 1, 1},
        [CASE_RULES_FEW] = {"rules_10", "10 rules on distinct topics", write_same_programs, FEW,
                            FEW},
        [CASE_RULES_MANY] = {"rules_10000", "10,000 rules on distinct topics", write_same_programs,
                             MANY, MANY},
        [CASE_PROGRAMS_FEW] = {"programs_10", "10 rules, all different", write_other_programs, FEW,
                               FEW},
        [CASE_PROGRAMS_MANY] = {"programs_10000", "10,000 rules, all different",
                                write_other_programs, MANY, MANY},
        [CASE_SAME_FILTER] = {"filter_300", "300 different rules on one filter", write_same_filter,
                              SAME_FILTER, 1},
};

/* ---- one message ---- */

static void
run_matched_rule(void *context, uint32_t index)
{
    struct bench *bench = context;
    struct rule_row row;
    bench->evaluated++;
    bench->matched +=
            rule_run(bench->ruleset->rules[index].rule, &bench->message, &row) == RULE_MATCHED;
}

static void
run_rules(struct bench *bench)
{
    buf_clear(&bench->topic);
    buf_append_string(&bench->topic, "sensors/");
    buf_append_int64(&bench->topic, (int64_t)(bench->messages * 7919 % bench->of->topics));
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
scan(struct bench *bench)
{
    struct json json;
    struct json_error error;
    bench->matched += json_parse(&json, bytes_of_string(PAYLOAD), JSON_DEPTH_MAX_DEFAULT,
                                 &bench->arena, &error);
}

static void
parse_with_cjson(struct bench *bench)
{
    cJSON *tree = cJSON_ParseWithLength(PAYLOAD, sizeof PAYLOAD - 1);
    bench->matched += tree != NULL;
    cJSON_Delete(tree);
}

/* Not inlined: tools that count instructions count those below this function. */
static void __attribute__((noinline))
bench_run_messages(struct bench *bench, size_t count)
{
    void (*run_one)(struct bench *bench) = bench->of == &cases[CASE_SCAN]    ? scan
                                           : bench->of == &cases[CASE_CJSON] ? parse_with_cjson
                                                                             : run_rules;
    for (size_t i = 0; i < count; i++) {
        run_one(bench);
        arena_reset(&bench->arena); /* after each message, as the engine does */
        bench->messages++;
    }
}

/* ---- measuring ---- */

static int64_t
cpu_ns(void)
{
    struct timespec now;
    check(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool
bench_init(struct bench *bench, const struct bench_case *of)
{
    *bench = (struct bench){.of = of};
    if (of->write_rules == NULL) {
        return true;
    }
    struct buf sql = {0};
    struct diag_list diags = {0};
    of->write_rules(&sql, of);
    bool loaded = ruleset_load_text(&bench->ruleset, BYTES("bench"), buf_bytes(&sql), &diags);
    command_print_diags(&diags);
    diag_list_fini(&diags);
    buf_fini(&sql);
    return loaded;
}

static void
bench_fini(struct bench *bench)
{
    ruleset_free(bench->ruleset);
    arena_fini(&bench->arena);
    buf_fini(&bench->topic);
}

static void
run_round(struct bench *bench)
{
    uint64_t before = bench->messages;
    int64_t began_ns = cpu_ns(), spent_ns = 0;
    while (spent_ns < ROUND_NS) {
        bench_run_messages(bench, STEP_MESSAGES);
        spent_ns = cpu_ns() - began_ns;
    }
    double ns = (double)spent_ns / (double)(bench->messages - before);
    bench->best_ns = bench->best_ns == 0 || ns < bench->best_ns ? ns : bench->best_ns;
    check(bench->matched > 0);
}

static void
print_case(const struct bench *bench, bool json)
{
    double per_second = 1e9 / bench->best_ns;
    uint64_t evaluations = bench->evaluated / bench->messages; /* a message */
    if (json) {
        printf("{\"case\":\"%s\",\"ns\":%.1f,\"per_second\":%.0f,\"rules_per_message\":%llu}\n",
               bench->of->name, bench->best_ns, per_second, (unsigned long long)evaluations);
        return;
    }
    printf("%-36s %9.1f ns  %10.0f/s", bench->of->what, bench->best_ns, per_second);
    if (evaluations > 1) {
        printf("  %.0f evaluations/s", per_second * (double)evaluations);
    }
    putchar('\n');
}

static void
print_ratios(const struct bench *benches, bool json)
{
    static const struct {
        enum case_id a, b;
        const char *what;
    } ratios[] = {
            {CASE_FILTER_PROJECT, CASE_SCAN, "the rule / our reader alone"},
            {CASE_FILTER_PROJECT, CASE_CJSON, "the rule / cJSON alone"},
            {CASE_RULES_MANY, CASE_RULES_FEW, "10,000 rules / 10 rules (goal: at most 1.3)"},
            {CASE_PROGRAMS_MANY, CASE_PROGRAMS_FEW, "the same, all rules different"},
    };
    for (size_t i = 0; i < sizeof ratios / sizeof *ratios; i++) {
        const struct bench *a = &benches[ratios[i].a], *b = &benches[ratios[i].b];
        double ratio = a->best_ns / b->best_ns;
        if (json) {
            printf("{\"ratio\":\"%s/%s\",\"value\":%.3f}\n", a->of->name, b->of->name, ratio);
        } else {
            printf("%6.2f  %s\n", ratio, ratios[i].what);
        }
    }
}

static bool
bench_all(bool json)
{
    struct bench benches[CASES];
    bool ready = true;
    for (size_t i = 0; i < CASES; i++) {
        ready &= bench_init(&benches[i], &cases[i]);
    }
    for (size_t i = 0; i < ROUNDS * CASES && ready; i++) {
        run_round(&benches[i % CASES]);
    }
    for (size_t i = 0; i < CASES && ready; i++) {
        print_case(&benches[i], json);
    }
    if (ready) {
        print_ratios(benches, json);
    }
    for (size_t i = 0; i < CASES; i++) {
        bench_fini(&benches[i]);
    }
    return ready;
}

/* ---- one case, so many messages ---- */

static const char *
case_name_at(const void *context, size_t i)
{
    return ((const struct bench_case *)context)[i].name;
}

static bool
bench_one(const char *name, const char *messages, bool json)
{
    struct diag_list diags = {0};
    const struct bench_case *of = NULL;
    for (size_t i = 0; i < CASES; i++) {
        of = strcmp(cases[i].name, name) == 0 ? &cases[i] : of;
    }
    int64_t count = STEP_MESSAGES;
    if (of == NULL) {
        const char *nearest = diag_nearest(bytes_of_string(name), CASES, case_name_at, cases);
        diag_error(&diags, DIAG_INVALID, "there is no case '%s'", name);
        diag_hint(&diags, "did you mean '%s'?", nearest != NULL ? nearest : cases[0].name);
    }
    if (messages != NULL && (!bytes_to_int64(bytes_of_string(messages), &count) || count < 1 ||
                             count > MESSAGES_MAX)) {
        diag_error(&diags, DIAG_INVALID, "--messages takes a number from 1 to %d", MESSAGES_MAX);
    }
    struct bench bench = {0};
    bool ready = diags.errors == 0 && bench_init(&bench, of);
    if (ready) {
        int64_t began_ns = cpu_ns();
        bench_run_messages(&bench, (size_t)count);
        bench.best_ns = (double)(cpu_ns() - began_ns) / (double)count;
        print_case(&bench, json);
    }
    command_print_diags(&diags);
    diag_list_fini(&diags);
    bench_fini(&bench);
    return ready;
}

/* ---- loading a folder ---- */

static size_t
heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static double
ms_since(int64_t began_us)
{
    return (double)(os_posix.mono_us(&os_posix) - began_us) / 1000;
}

static void
print_load(const struct ruleset *ruleset, double load_ms, double reload_ms, size_t bytes, bool json)
{
    size_t rules = ruleset->rule_count;
    size_t per_rule = rules == 0 ? 0 : bytes / rules;
    printf(json ? "{\"files\":%zu,\"rules\":%zu,\"load_ms\":%.1f,\"reload_ms\":%.1f,"
                  "\"bytes\":%zu,\"bytes_per_rule\":%zu}\n"
                : "%zu files, %zu rules: loaded in %.1f ms, again without a change in %.1f ms; "
                  "%zu bytes, %zu a rule\n",
           ruleset->file_count, rules, load_ms, reload_ms, bytes, per_rule);
}

static bool
bench_folder(const char *path, bool json)
{
    struct diag_list diags = {0};
    struct ruleset_report report;
    struct ruleset *first = NULL, *second = NULL;
    size_t before = heap_bytes();
    int64_t began_us = os_posix.mono_us(&os_posix);
    bool loaded = ruleset_load(&first, path, NULL, NULL, &report, &diags);
    double load_ms = ms_since(began_us);
    size_t bytes = heap_bytes() - before;
    began_us = os_posix.mono_us(&os_posix);
    loaded = loaded && ruleset_load(&second, path, first, NULL, &report, &diags);
    if (loaded) {
        print_load(first, load_ms, ms_since(began_us), bytes, json);
    }
    command_print_diags(&diags);
    bool valid = loaded && diags.errors == 0;
    ruleset_free(second);
    ruleset_free(first);
    diag_list_fini(&diags);
    return valid;
}

int
cmd_bench(int argc, char **argv)
{
    struct command_line line;
    int code;
    const char *name = NULL, *messages = NULL;
    const struct flag flags[] = {
            {"--case", "NAME", "run one case only, once", &name, NULL},
            {"--messages", "N", "with --case: so many messages (default 1000)", &messages, NULL},
    };
    if (!command_line_parse(&line, command_find("bench"), argc, argv, flags,
                            sizeof flags / sizeof *flags, 1, &code)) {
        return code;
    }
    bool done = line.operand_count > 0 ? bench_folder(line.operands[0], line.json)
                : name != NULL         ? bench_one(name, messages, line.json)
                                       : bench_all(line.json);
    command_line_fini(&line);
    return done ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
}
