/*
 * headgate dlq ls | show | retry | drop: what sinks could not take.
 *
 * Reading goes to the files, beside a running gateway or without one. Changes are asked of the
 * gateway: only it may write there, and only it can deliver.
 */
#define _GNU_SOURCE
#include "base/json.h"
#include "base/mem.h"
#include "base/os.h"
#include "command.h"
#include "control.h"
#include "dead_list.h"
#include "print_record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { REASON_SHOWN_BYTES = 100 };

/* ---- which sinks there are ---- */

struct names {
    char **items;
    size_t count;
    size_t capacity;
};

static void
collect(void *context, const char *name)
{
    struct names *names = context;
    names->items = mem_grow(names->items, names->count, &names->capacity, sizeof *names->items);
    names->items[names->count++] = bytes_to_string(bytes_of_string(name));
}

static void
ignore_name(void *context, const char *name)
{
}

static int
compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
names_fini(struct names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free(names->items[i]);
    }
    free(names->items);
}

/* The folders of sinks; false when they cannot be listed. */
static bool
find_sinks(const char *data_dir, struct names *names, struct diag_list *diags)
{
    struct buf dir = {0};
    buf_printf(&dir, "%s/sinks", data_dir);
    int result = os_posix.list(&os_posix, buf_string(&dir), collect, names);
    if (result < 0 && result != -ENOENT) {
        diag_io_error(diags, -result, "cannot list '%s'", buf_string(&dir));
    } else if (result == -ENOENT) {
        result = os_posix.list(&os_posix, data_dir, ignore_name, NULL);
        if (result < 0) {
            diag_error(diags, DIAG_MISSING, "there is no data_dir '%s'", data_dir);
            diag_hint(diags, "name it with -c FILE or --set data_dir=...");
        }
    }
    if (names->count > 0) {
        qsort(names->items, names->count, sizeof *names->items, compare_names);
    }
    buf_fini(&dir);
    return result == 0;
}

static bool
has_sink(const struct names *names, const char *name, struct diag_list *diags)
{
    struct buf known = {0};
    bool is_found = false;
    for (size_t i = 0; i < names->count; i++) {
        is_found |= strcmp(names->items[i], name) == 0;
        buf_printf(&known, "%s%s", i == 0 ? "" : ", ", names->items[i]);
    }
    if (!is_found) {
        diag_error(diags, DIAG_MISSING, "no sink '%s' has ever held anything", name);
        diag_hint(diags, names->count == 0 ? "none has" : "there are: %s", buf_string(&known));
    }
    buf_fini(&known);
    return is_found;
}

/* ---- showing ---- */

static void
print_id(const struct sink_record *record, struct buf *out)
{
    buf_printf(out, "%.*s:%" PRIu64 ":%" PRIu32, BYTES_ARG(record->stream), record->id.position,
               record->id.output);
}

static void
put_text(struct buf *out, const char *name, struct bytes text)
{
    buf_printf(out, ",\"%s\":", name);
    json_write_string(out, bytes_is_utf8(text) ? text : BYTES(""));
}

static void
put_time(struct buf *out, const char *name, int64_t time_us)
{
    buf_printf(out, ",\"%s\":\"", name);
    print_time(time_us, out);
    buf_append_char(out, '"');
}

static void
print_letter_json(const struct dead_item *item)
{
    const struct dead_letter *letter = &item->letter;
    struct buf line = {0}, id = {0};
    print_id(&letter->record, &id);
    buf_append_string(&line, "{\"sink\":");
    json_write_string(&line, letter->sink);
    buf_printf(&line, ",\"position\":%" PRIu64, item->position);
    put_text(&line, "id", buf_bytes(&id));
    put_text(&line, "ruleName", letter->record.rule);
    put_text(&line, "topic", letter->record.source);
    put_text(&line, "target", letter->record.target);
    put_time(&line, "arrived", letter->record.time_us);
    buf_printf(&line, ",\"attempts\":%u", letter->attempts);
    put_time(&line, "firstAttempt", letter->first_attempt_us);
    put_time(&line, "lastAttempt", letter->last_attempt_us);
    put_text(&line, "errorMessage", letter->reason);
    if (letter->record.params.size > 0) {
        buf_printf(&line, ",\"params\":%.*s", BYTES_ARG(letter->record.params));
    }
    buf_append_char(&line, ',');
    print_payload_json(letter->record.payload, &line);
    buf_append_char(&line, '}');
    print_line(&line);
    buf_fini(&id);
}

/* One line: position, when it was given up, rule, and the beginning of the reason. */
static void
print_letter_line(const struct dead_item *item)
{
    const struct dead_letter *letter = &item->letter;
    struct bytes reason = bytes_slice(letter->reason, 0, REASON_SHOWN_BYTES);
    struct buf line = {0};
    buf_printf(&line, "%.*s %" PRIu64 " ", BYTES_ARG(letter->sink), item->position);
    print_time(letter->last_attempt_us, &line);
    buf_printf(&line, " %.*s: ", BYTES_ARG(letter->record.rule));
    print_escaped(reason, &line);
    buf_append_string(&line, reason.size < letter->reason.size ? "..." : "");
    print_line(&line);
}

static void
print_field(const char *name, struct bytes text)
{
    struct buf line = {0};
    if (text.size > 0) {
        buf_printf(&line, "%-9s ", name);
        print_escaped(text, &line);
        print_line(&line);
    }
}

static void
print_letter(const struct dead_item *item)
{
    const struct dead_letter *letter = &item->letter;
    struct buf text = {0};
    print_field("sink", letter->sink);
    buf_printf(&text, "%" PRIu64, item->position);
    print_field("position", buf_bytes(&text));
    buf_clear(&text);
    print_id(&letter->record, &text);
    print_field("id", buf_bytes(&text));
    print_field("rule", letter->record.rule);
    print_field("topic", letter->record.source);
    print_field("target", letter->record.target);
    buf_clear(&text);
    print_time(letter->record.time_us, &text);
    print_field("arrived", buf_bytes(&text));
    buf_clear(&text);
    print_time(letter->last_attempt_us, &text);
    buf_printf(&text, " after %u attempt%s", letter->attempts, letter->attempts == 1 ? "" : "s");
    print_field("given up", buf_bytes(&text));
    print_field("reason", letter->reason);
    print_field("params", letter->record.params);
    print_field("payload", letter->record.payload);
    buf_fini(&text);
}

/* ---- ls and show ---- */

struct reading {
    bool json;
    bool is_whole;      /* show */
    uint64_t position;  /* the only one; 0: all */
    uint64_t count;
};

static bool
take_letter(void *context, const struct dead_item *item)
{
    struct reading *reading = context;
    if (reading->position != 0 && item->position != reading->position) {
        return item->position < reading->position;
    }
    reading->count++;
    if (reading->json) {
        print_letter_json(item);
    } else if (reading->is_whole) {
        print_letter(item);
    } else {
        print_letter_line(item);
    }
    return !ferror(stdout);
}

static bool
read_letters(const char *data_dir, const char *sink, struct reading *reading,
             struct diag_list *diags)
{
    struct buf dir = {0};
    buf_printf(&dir, "%s/sinks/%s/dead", data_dir, sink);
    bool is_read = dead_list_each(&os_posix, buf_string(&dir), take_letter, reading, diags);
    buf_fini(&dir);
    return is_read;
}

static bool
list(const struct command_line *line, struct diag_list *diags)
{
    const char *sink = line->operand_count > 1 ? line->operands[1] : NULL;
    const char *data_dir = line->config.data_dir;
    struct reading reading = {.json = line->json};
    struct names names = {0};
    bool is_read = find_sinks(data_dir, &names, diags) &&
                   (sink == NULL || has_sink(&names, sink, diags));
    for (size_t i = 0; i < names.count && is_read; i++) {
        if (sink == NULL || strcmp(names.items[i], sink) == 0) {
            is_read = read_letters(data_dir, names.items[i], &reading, diags);
        }
    }
    if (is_read && reading.count == 0 && !line->json) {
        puts("no dead letters");
    }
    names_fini(&names);
    return is_read;
}

static void
report_no_letter(const char *sink, const char *position, struct diag_list *diags)
{
    diag_error(diags, DIAG_MISSING, "'%s' has no dead letter at position %s", sink, position);
    diag_hint(diags, "'headgate dlq ls %s' lists them; one that is on its way again stays there until "
              "it is delivered", sink);
}

static bool
show(const struct command_line *line, uint64_t position, struct diag_list *diags)
{
    const char *sink = line->operands[1];
    struct reading reading = {.json = line->json, .is_whole = true, .position = position};
    struct names names = {0};
    bool is_read = find_sinks(line->config.data_dir, &names, diags) &&
                   has_sink(&names, sink, diags) &&
                   read_letters(line->config.data_dir, sink, &reading, diags);
    names_fini(&names);
    if (is_read && reading.count == 0) {
        report_no_letter(sink, line->operands[2], diags);
    }
    return is_read && reading.count > 0;
}

/* ---- retry and drop ---- */

/* The gateway's answer: how many, and what went wrong. False: something did. */
static bool
read_answer(struct bytes answer, uint64_t *count, struct diag_list *diags)
{
    struct arena arena = {0};
    struct json json;
    struct json_error error;
    int64_t number = 0;
    bool is_good = json_parse(&json, answer, JSON_DEPTH_MAX_DEFAULT, &arena, &error) &&
                   json_int64(&json, json_member(&json, 0, BYTES("count")), &number);
    uint32_t message = is_good ? json_member(&json, 0, BYTES("error")) : 0;
    if (!is_good) {
        diag_error(diags, DIAG_CORRUPT, "the gateway's answer is none to this question");
    } else if (message != 0) {
        diag_error(diags, DIAG_REMOTE, "%.*s", BYTES_ARG(json_string(&json, message, &arena)));
        diag_hint(diags, "%.*s",
                  BYTES_ARG(json_string(&json, json_member(&json, 0, BYTES("hint")), &arena)));
    }
    *count = (uint64_t)number;
    arena_fini(&arena);
    return is_good && message == 0;
}

static void
print_count(const struct command_line *line, uint64_t count)
{
    bool is_retry = strcmp(line->operands[0], "retry") == 0;
    bool is_waiting = strcmp(line->operands[2], "waiting") == 0;
    if (line->json) {
        printf("{\"count\":%" PRIu64 "}\n", count);
    } else {
        printf("%" PRIu64 " %s%s %s\n", count, is_waiting ? "record" : "letter",
               count == 1 ? "" : "s",
               is_retry     ? count == 1 ? "goes out again" : "go out again"
               : is_waiting ? "given up"
                            : "dropped");
    }
}

static bool
change(const struct command_line *line, uint64_t position, struct diag_list *diags)
{
    struct buf request = {0}, answer = {0};
    uint64_t count = 0;
    buf_printf(&request, "dlq %s %s %s", line->operands[0], line->operands[2], line->operands[1]);
    bool answered =
            control_ask(line->config.data_dir, buf_bytes(&request), &answer, diags);
    bool is_done = answered && read_answer(buf_bytes(&answer), &count, diags);
    if (is_done && count == 0 && position != 0) {
        report_no_letter(line->operands[1], line->operands[2], diags);
        is_done = false;
    } else if (answered && (is_done || count > 0)) {
        print_count(line, count);
    }
    buf_fini(&request);
    buf_fini(&answer);
    return is_done;
}

/* ---- the verb ---- */

/* A position, or one of the words that the verb takes instead. */
static bool
parse_what(const char *verb, const char *what, uint64_t *position)
{
    int64_t number;
    bool is_word = (strcmp(what, "all") == 0 && strcmp(verb, "show") != 0) ||
                   (strcmp(what, "waiting") == 0 && strcmp(verb, "drop") == 0);
    bool is_position = bytes_to_int64(bytes_of_string(what), &number) && number > 0;
    *position = is_position ? (uint64_t)number : 0;
    return is_word || is_position;
}

static int
run_verb(const struct command_line *line, struct diag_list *diags)
{
    const char *verb = line->operand_count > 0 ? line->operands[0] : "";
    bool is_change = strcmp(verb, "retry") == 0 || strcmp(verb, "drop") == 0;
    uint64_t position;
    bool is_done = false;
    if (strcmp(verb, "ls") == 0 && line->operand_count <= 2) {
        is_done = list(line, diags);
    } else if ((is_change || strcmp(verb, "show") == 0) && line->operand_count == 3 &&
               parse_what(verb, line->operands[2], &position)) {
        is_done = is_change ? change(line, position, diags) : show(line, position, diags);
    } else {
        diag_error(diags, DIAG_INVALID, "this is nothing that can be done with dead letters");
        diag_hint(diags, "headgate dlq %s", command_find("dlq")->operands);
        return EXIT_CODE_USAGE;
    }
    return is_done ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
}

int
cmd_dlq(int argc, char **argv)
{
    struct command_line line;
    int code;
    if (!command_line_parse(&line, command_find("dlq"), argc, argv, NULL, 0, 3, &code)) {
        return code;
    }
    struct diag_list diags = {0};
    code = run_verb(&line, &diags);
    command_print_diags(&diags);
    diag_list_fini(&diags);
    command_line_fini(&line);
    return code;
}
