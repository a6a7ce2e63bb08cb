/*
 * headgate try: one statement, messages in, rows out, no side effects.
 *
 * Nothing is opened: targets are shown, not written to. Everything that depends on time comes from
 * the input's `at` or from --now, so that the same input gives the same output.
 */
#include "command.h"
#include "ruleset.h"

#include "base/calendar.h"
#include "base/json.h"
#include "base/os.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { TRY_INPUT_MAX_BYTES = 64 * 1024 * 1024 };

struct trial {
    struct ruleset *ruleset;
    struct arena arena;
    int64_t now_us;
    uint64_t seed;
    struct bytes topic; /* of every line; empty: the line says it */
    uint64_t messages, unmatched, matched, filtered, undefined, failed, not_json;
    struct diag_list diags;
};

struct input_line {
    struct bytes topic, payload;
    int64_t time_us;
};

static bool
bad_line(struct trial *trial, size_t number, const char *what, const char *hint)
{
    struct diag_place place = {.file = arena_printf(&trial->arena, "input line %zu", number)};
    diag_at(&trial->diags, DIAG_ERROR, &place, "%s", what);
    diag_hint(&trial->diags, "%s", hint);
    return false;
}

static const char LINE_FORMS[] =
        "a line is `topic payload`, {\"topic\":...,\"payload\":...,\"at\":...}, or with --topic the "
        "payload alone";

static bool
parse_at(const struct json *json, uint32_t node, struct arena *arena, int64_t *out_us)
{
    int64_t number;
    if (json->nodes[node].kind == JSON_STRING) {
        if (!calendar_parse(json_string(json, node, arena), &number)) {
            return false;
        }
        *out_us = number / 1000;
        return true;
    }
    if (json->nodes[node].kind == JSON_NUMBER && json_int64(json, node, &number)) {
        *out_us = number * 1000;
        return true;
    }
    return false;
}

static bool
parse_json_line(struct trial *trial, size_t number, struct bytes text, struct input_line *out)
{
    struct json json;
    struct json_error error;
    if (!json_parse(&json, text, JSON_DEPTH_MAX_DEFAULT, &trial->arena, &error)) {
        return bad_line(trial, number, error.message, LINE_FORMS);
    }
    uint32_t topic = json_member(&json, 0, BYTES("topic"));
    uint32_t payload = json_member(&json, 0, BYTES("payload"));
    uint32_t at = json_member(&json, 0, BYTES("at"));
    if (topic == 0 || json.nodes[topic].kind != JSON_STRING || payload == 0) {
        return bad_line(trial, number, "no \"topic\" and \"payload\"", LINE_FORMS);
    }
    if (at != 0 && !parse_at(&json, at, &trial->arena, &out->time_us)) {
        return bad_line(trial, number, "\"at\" is not a time",
                        "write milliseconds since 1970, or text like \"2026-01-31T12:00:00Z\"");
    }
    out->topic = json_string(&json, topic, &trial->arena);
    out->payload = json.nodes[payload].kind == JSON_STRING
                           ? json_string(&json, payload, &trial->arena)
                           : json_raw(&json, payload);
    return true;
}

static bool
parse_line(struct trial *trial, size_t number, struct bytes text, struct input_line *out)
{
    *out = (struct input_line){.time_us = trial->now_us};
    if (trial->topic.size > 0) {
        out->topic = trial->topic;
        out->payload = text;
        return true;
    }
    if (text.data[0] == '{') {
        return parse_json_line(trial, number, text, out);
    }
    size_t blank = bytes_find(text, ' ');
    if (blank == text.size) {
        return bad_line(trial, number, "no payload behind the topic", LINE_FORMS);
    }
    out->topic = bytes_slice(text, 0, blank);
    out->payload = bytes_slice(text, blank + 1, text.size);
    return true;
}

/* A payload that is not JSON is shown as a JSON string; bytes that are not UTF-8 as base64 would
 * be: they are named, not shown. */
static void
append_payload(struct bytes payload, bool is_json, struct buf *out)
{
    if (is_json) {
        buf_append(out, payload);
    } else if (bytes_is_utf8(payload)) {
        json_write_string(out, payload);
    } else {
        buf_printf(out, "\"(%zu bytes)\"", payload.size);
    }
}

static void
append_output(const struct rule_output *output, struct buf *out)
{
    buf_append_string(out, "{\"target\":");
    json_write_string(out, output->text);
    if (output->params.size > 0) {
        buf_append_string(out, ",\"params\":");
        buf_append(out, output->params);
    }
    if (output->failure.size > 0) {
        buf_append_string(out, ",\"failure\":");
        json_write_string(out, output->failure);
    } else {
        buf_append_string(out, ",\"payload\":");
        append_payload(output->payload, output->payload_is_json, out);
    }
    buf_append_string(out, "}\n");
}

static void
print_row(const struct rule_row *row)
{
    struct buf out = {0};
    for (size_t i = 0; i < row->output_count; i++) {
        append_output(&row->outputs[i], &out);
    }
    if (row->output_count == 0) {
        append_payload(row->payload, row->payload_is_json, &out);
        buf_append_char(&out, '\n');
    }
    fwrite(out.data, 1, out.size, stdout);
    buf_fini(&out);
}

struct try_match {
    struct trial *trial;
    struct rule_message message;
    bool matched_any;
};

static void
try_rule(void *context, uint32_t index)
{
    struct try_match *match = context;
    struct trial *trial = match->trial;
    const struct ruleset_rule *rule = &trial->ruleset->rules[index];
    struct rule_row row;
    match->matched_any = true;
    switch (rule_run(rule->rule, &match->message, &row)) {
    case RULE_MATCHED:
        trial->matched++;
        print_row(&row);
        return;
    case RULE_FILTERED:
        trial->filtered++;
        return;
    case RULE_UNDEFINED:
    case RULE_NOTHING:
        trial->undefined++;
        return;
    case RULE_FAILED:
        trial->failed++;
        fprintf(stderr, "rule failed: %s\n", row.reason);
        return;
    }
    never("rule verdict");
}

static void
try_message(struct trial *trial, const struct input_line *line)
{
    struct try_match match = {
            .trial = trial,
            .message = {.arena = &trial->arena,
                        .topic = line->topic,
                        .payload = line->payload,
                        .time_us = line->time_us,
                        .seed = trial->seed + trial->messages},
    };
    const char *reason;
    trial->messages++;
    topic_trie_match(trial->ruleset->topics, line->topic, try_rule, &match);
    for (size_t i = 0; i < trial->ruleset->rule_count; i++) {
        if (trial->ruleset->rules[i].info->source.size == 0) { /* SELECT without FROM */
            try_rule(&match, (uint32_t)i);
        }
    }
    trial->unmatched += !match.matched_any;
    trial->not_json += match.matched_any && !rule_message_is_json(&match.message, &reason);
}

static void
try_input(struct trial *trial, struct bytes text)
{
    struct bytes rest = text, line;
    for (size_t number = 1; bytes_split(&rest, '\n', &line); number++) {
        struct input_line input;
        if (bytes_ends_with(line, BYTES("\r"))) {
            line.size--;
        }
        if (line.size > 0 && parse_line(trial, number, line, &input)) {
            try_message(trial, &input);
        }
        arena_reset(&trial->arena);
    }
}

static void
print_summary(const struct trial *trial)
{
    fprintf(stderr, "%llu messages: %llu rows", (unsigned long long)trial->messages,
            (unsigned long long)trial->matched);
    const struct {
        uint64_t count;
        const char *what;
    } parts[] = {{trial->filtered, "filtered (WHERE was false)"},
                 {trial->undefined, "undefined (a field is missing or of a wrong type)"},
                 {trial->unmatched, "on other topics"},
                 {trial->not_json, "not JSON"},
                 {trial->failed, "failed"}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i].count > 0) {
            fprintf(stderr, ", %llu %s", (unsigned long long)parts[i].count, parts[i].what);
        }
    }
    fputc('\n', stderr);
}

static bool
read_stream(FILE *stream, struct buf *out)
{
    size_t n;
    while ((n = fread(buf_reserve(out, 65536), 1, 65536, stream)) > 0) {
        out->size += n;
        if (out->size > TRY_INPUT_MAX_BYTES) {
            return false;
        }
    }
    return ferror(stream) == 0;
}

static bool
read_input(const char *path, struct buf *out, struct diag_list *diags)
{
    bool standard = path == NULL || strcmp(path, "-") == 0;
    FILE *stream = standard ? stdin : fopen(path, "re");
    bool done = stream != NULL && read_stream(stream, out);
    if (!done) {
        diag_io_error(diags, errno == 0 ? EFBIG : errno, "cannot read the input '%s'",
                      standard ? "-" : path);
    }
    if (!standard && stream != NULL) {
        fclose(stream);
    }
    return done;
}

static bool
parse_now(const char *text, int64_t *out_us, struct diag_list *diags)
{
    int64_t number;
    if (text == NULL) {
        *out_us = os_posix.wall_us(&os_posix);
        return true;
    }
    if (bytes_to_int64(bytes_of_string(text), &number)) {
        *out_us = number * 1000;
        return true;
    }
    if (calendar_parse(bytes_of_string(text), &number)) {
        *out_us = number / 1000;
        return true;
    }
    diag_error(diags, DIAG_INVALID, "'--now %s' is not a time", text);
    diag_hint(diags, "write milliseconds since 1970, or text like 2026-01-31T12:00:00Z");
    return false;
}

static int
run_trial(struct trial *trial, const char *sql, const char *input_path)
{
    struct buf input = {0};
    bool ready = ruleset_load_text(&trial->ruleset, BYTES("--sql"), bytes_of_string(sql),
                                   &trial->diags) &&
                 read_input(input_path, &input, &trial->diags);
    if (ready) {
        try_input(trial, buf_bytes(&input));
        fflush(stdout); /* rows before the summary, also where both go to one place */
        print_summary(trial);
    }
    buf_fini(&input);
    return trial->diags.errors == 0 ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
}

int
cmd_try(int argc, char **argv)
{
    const char *sql = NULL, *topic = "", *input = NULL, *now = NULL, *seed = "1";
    const struct flag flags[] = {
            {"--sql", "SQL", "the statement: SELECT ..., or INSERT INTO ... SELECT ...", &sql, NULL},
            {"--topic", "TOPIC", "the topic of every input line; the line is the payload", &topic,
             NULL},
            {"--input", "FILE", "read messages from FILE instead of standard input", &input, NULL},
            {"--now", "TIME", "the arrival time of messages that do not say it", &now, NULL},
            {"--seed", "NUMBER", "for rand() and newuuid()", &seed, NULL},
    };
    struct command_line line;
    int code;
    if (!command_line_parse(&line, command_find("try"), argc, argv, flags,
                            sizeof flags / sizeof *flags, 0, &code)) {
        return code;
    }
    struct trial trial = {.topic = bytes_of_string(topic)};
    int64_t seed_number;
    code = EXIT_CODE_USAGE;
    if (sql == NULL) {
        diag_error(&trial.diags, DIAG_INVALID, "no statement to try");
        diag_hint(&trial.diags, "headgate try --sql \"SELECT * FROM 'a/b'\" --topic a/b");
    } else if (!bytes_to_int64(bytes_of_string(seed), &seed_number)) {
        diag_error(&trial.diags, DIAG_INVALID, "'--seed %s' is not a number", seed);
    } else if (parse_now(now, &trial.now_us, &trial.diags)) {
        trial.seed = (uint64_t)seed_number;
        code = run_trial(&trial, sql, input);
    }
    command_print_diags(&trial.diags);
    ruleset_free(trial.ruleset);
    arena_fini(&trial.arena);
    diag_list_fini(&trial.diags);
    command_line_fini(&line);
    return code;
}
