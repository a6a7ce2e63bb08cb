/*
 * windows: {id, sql, input, expect} and, where needed, flush (false: the input does not end),
 * stats, expect_error (the script is refused). The last INSERT or SELECT of the script is observed.
 *
 * An input row is the payload; its members "@table" (which table), "@proctime" and "@rowtime" (when
 * it arrives) are for this program, and a row of "@tick" alone lets time pass. Rows are compared as
 * a set: those of one window may come in any order. Numbers may differ by 1e-9.
 *
 * Each vector is run twice, the second time through a snapshot behind every row.
 *
 * flink: the same vectors, as they are exported for Flink. What cannot be is in windows.flink.
 */
#include "rules/stream/flink.h"
#include "base/calendar.h"
#include "vector.h"

#include <stdio.h>

struct trial {
    struct vector *vector;
    const struct stream_program *program;
    struct stream_run *run;
    struct buf rows; /* a line each */
    size_t row_count;
    int64_t now_ms;
    bool is_cut; /* saved and loaded behind every row */
};

static void
take_row(void *context, struct bytes json)
{
    struct trial *trial = context;
    buf_append(&trial->rows, json);
    buf_append_char(&trial->rows, '\n');
    trial->row_count++;
}

static bool
time_of(struct trial *trial, uint32_t row, const char *name)
{
    int64_t ns;
    struct bytes text = member_string(trial->vector, row, name);
    if (text.data == NULL) {
        return false;
    }
    check(calendar_parse(text, &ns));
    trial->now_ms = ns / 1000000;
    return true;
}

static void
send(struct trial *trial, uint32_t row)
{
    const struct json *json = &trial->vector->json;
    bool object = json->nodes[row].kind == JSON_OBJECT;
    struct bytes table = object ? member_string(trial->vector, row, "@table") : BYTES("");
    if (object && json->nodes[row].count == 1 && time_of(trial, row, "@tick")) {
        stream_run_tick(trial->run, trial->now_ms);
        return;
    }
    if (object && !time_of(trial, row, "@proctime")) {
        time_of(trial, row, "@rowtime");
    }
    const struct stream_message message = {
            .payload = json_raw(json, row), .topic = BYTES("in"), .time_ms = trial->now_ms};
    for (size_t i = 0; i < stream_program_source_count(trial->program); i++) {
        if (table.size == 0 ||
            bytes_equal(table, stream_program_source(trial->program, i)->name)) {
            stream_run_message(trial->run, i, &message);
        }
    }
}

/* The run's state goes through bytes into another run. */
static void
cut(struct trial *trial)
{
    const struct stream_output output = {.row = take_row, .context = trial};
    struct buf saved = {0};
    struct stream_run *next = stream_run_new(trial->program, &output);
    stream_run_save(trial->run, &saved);
    check(stream_run_load(next, buf_bytes(&saved)));
    stream_run_free(trial->run);
    trial->run = next;
    buf_fini(&saved);
}

static void
run_all(struct trial *trial, struct stream_stats *stats)
{
    struct vector *vector = trial->vector;
    const struct stream_output output = {.row = take_row, .context = trial};
    uint32_t input = member(vector, "input"), flush = member(vector, "flush");
    trial->run = stream_run_new(trial->program, &output);
    for (uint32_t i = 0; i < vector->json.nodes[input].count; i++) {
        send(trial, json_element(&vector->json, input, i));
        if (trial->is_cut) {
            cut(trial);
        }
    }
    if (flush == 0 || vector->json.nodes[flush].kind != JSON_FALSE) {
        stream_run_finish(trial->run);
    }
    stream_run_stats(trial->run, stats);
    stream_run_free(trial->run);
}

static bool
rows_are_expected(struct trial *trial)
{
    struct vector *vector = trial->vector;
    uint32_t expect = member(vector, "expect");
    uint32_t count = vector->json.nodes[expect].count;
    bool *used = arena_new_array(&vector->arena, bool, count + 1);
    struct bytes rest = buf_bytes(&trial->rows), line;
    if (trial->row_count != count) {
        return false;
    }
    while (bytes_split(&rest, '\n', &line) && line.size > 0) {
        struct json row;
        struct json_error error;
        uint32_t i = 0;
        if (!json_parse(&row, line, 100, &vector->arena, &error)) {
            return false;
        }
        while (i < count && (used[i] || !nodes_equal(&vector->json,
                                                     json_element(&vector->json, expect, i), &row,
                                                     0, CLOSELY, &vector->arena))) {
            i++;
        }
        if (i == count) {
            return false;
        }
        used[i] = true;
    }
    return true;
}

static bool
stats_are_expected(struct vector *vector, const struct stream_stats *stats, struct buf *out)
{
    const struct {
        const char *name;
        uint64_t value;
    } known[] = {{"late", stats->late}, {"bad", stats->bad},
                 {"null_rowtime", stats->null_rowtime}, {"no_window", stats->no_window}};
    uint32_t wanted = member(vector, "stats");
    bool equal = true;
    for (size_t i = 0; wanted != 0 && i < sizeof known / sizeof known[0]; i++) {
        int64_t number;
        uint32_t node = json_member(&vector->json, wanted, bytes_of_string(known[i].name));
        if (node != 0 && (!json_int64(&vector->json, node, &number) ||
                          (uint64_t)number != known[i].value)) {
            buf_printf(out, " %s %llu", known[i].name, (unsigned long long)known[i].value);
            equal = false;
        }
    }
    return equal;
}

static bool
run_once(struct vector *vector, const struct stream_script *script, bool is_cut, struct buf *out)
{
    struct stream_stats stats;
    struct trial trial = {
            .vector = vector,
            .program = script->programs[script->program_count - 1],
            .is_cut = is_cut,
    };
    run_all(&trial, &stats);
    bool passed = rows_are_expected(&trial);
    if (!passed) {
        buf_printf(out, "%srows %.*s", is_cut ? "(cut) " : "", BYTES_ARG(buf_bytes(&trial.rows)));
    }
    passed = (is_cut || stats_are_expected(vector, &stats, out)) && passed;
    buf_fini(&trial.rows);
    return passed;
}

static const struct zone *
find_zone(void *context, struct bytes name)
{
    const struct rule_host *host = context;
    return host->zone(host->context, name);
}

static bool
parse(struct vector *vector, struct bytes text, struct stream_script **script, struct buf *out)
{
    struct diag_list diags = {0};
    const struct stream_host host = {.zone = find_zone, .context = (void *)(uintptr_t)vector->host};
    bool is_parsed = stream_script_parse(script, vector->id, text, true, &host, &diags);
    buf_printf(out, "%.*s", BYTES_ARG(diag_first_error(&diags)));
    diag_list_fini(&diags);
    return is_parsed;
}

bool
run_windows(struct vector *vector, struct buf *out)
{
    struct stream_script *script = NULL;
    bool refused = !parse(vector, member_string(vector, 0, "sql"), &script, out);
    bool passed = refused == (member(vector, "expect_error") != 0);
    if (passed && !refused) {
        passed = script->program_count > 0 && run_once(vector, script, false, out) &&
                 run_once(vector, script, true, out);
    }
    stream_script_free(script);
    return passed;
}

/* What is exported for Flink is the same script: it gives the same rows. */
static bool
runs_exported(struct vector *vector, const struct stream_script *script, struct buf *out)
{
    struct stream_script *again = NULL;
    struct diag_list diags = {0};
    struct buf text = {0};
    const struct flink_options options = {.region = BYTES("eu-central-1")};
    bool passed = stream_flink_export(
            vector->id, member_string(vector, 0, "sql"),
            (const struct stream_program *const *)script->programs, script->program_count,
            &options, &text, &diags);
    buf_printf(out, "%.*s", BYTES_ARG(diag_first_error(&diags)));
    passed = passed && parse(vector, buf_bytes(&text), &again, out) &&
             run_once(vector, again, false, out);
    stream_script_free(again);
    buf_fini(&text);
    diag_list_fini(&diags);
    return passed;
}

bool
run_flink(struct vector *vector, struct buf *out)
{
    struct stream_script *script = NULL;
    struct buf unheard = {0};
    bool is_script = parse(vector, member_string(vector, 0, "sql"), &script, &unheard);
    bool passed = !is_script || runs_exported(vector, script, out);
    stream_script_free(script);
    buf_fini(&unheard);
    return passed;
}
