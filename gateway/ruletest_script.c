/* Lines to steps. The grammar is in the header. */
#include "ruletest_script.h"

#include "base/calendar.h"
#include "base/mem.h"
#include "base/option.h"

#include <stdlib.h>

enum { ERRORS_MAX = 50 };

#define CLOCK_BEGINS_US INT64_C(1767225600000000) /* 2026-01-01T00:00:00Z */

static const char STEP_FORMS[] = "a line is `topic payload`, `+2s topic payload`, "
                                 "`2026-01-31T12:00:00Z topic payload`, JSON, `=> target payload` "
                                 "or `# comment`";

struct parser {
    struct ruletest_script *script;
    struct bytes path;
    struct diag_list *diags;
    struct bytes line;  /* without line end */
    size_t start, end;  /* of the line in the text, with its line end */
    unsigned number;    /* of the line */
    int64_t now_us;
    bool is_clock_set;  /* by an absolute time */
    struct ruletest_step *steps;
    size_t step_count, step_capacity;
    struct ruletest_expected *expected;
    size_t expected_count, expected_capacity;
};

static struct diag_place
place_at(const struct parser *parser, size_t offset, size_t length)
{
    return (struct diag_place){.file = parser->path,
                               .line = parser->number,
                               .column = (unsigned)offset + 1,
                               .length = (unsigned)length,
                               .source_line = parser->line};
}

static bool
fail_at(const struct parser *parser, size_t offset, size_t length, const char *what,
        const char *hint)
{
    struct diag_place place = place_at(parser, offset, length);
    diag_at(parser->diags, DIAG_ERROR, &place, "%s", what);
    diag_hint(parser->diags, "%s", hint);
    return false;
}

static struct bytes
first_word(struct bytes line)
{
    return bytes_slice(line, 0, bytes_find(line, ' '));
}

/* ---- the clock ---- */

static bool
set_clock(struct parser *parser, int64_t time_us, size_t length)
{
    bool is_first = parser->step_count == 0 && !parser->is_clock_set;
    if (!is_first && time_us < parser->now_us) {
        return fail_at(parser, 0, length, "time goes back",
                       "messages stand in the order of their arrival");
    }
    parser->now_us = time_us;
    parser->is_clock_set = true;
    return true;
}

static bool
advance_clock(struct parser *parser, struct bytes word)
{
    int64_t ms, us;
    if (!option_parse_duration(bytes_slice(word, 1, word.size), &ms) || ms < 0 ||
        __builtin_mul_overflow(ms, 1000, &us) ||
        __builtin_add_overflow(parser->now_us, us, &us) || us > TRIAL_TIME_MAX_US) {
        return fail_at(parser, 0, word.size, "not a duration",
                       "write +500ms, +2s, +5m, +1h or +7d");
    }
    parser->now_us = us;
    return true;
}

/* 2026-01-31T12:00:00Z: with a T, so that a topic that looks like a date stays one. */
static bool
is_time(struct bytes word, int64_t *out_us)
{
    return word.size > 10 && word.data[10] == 'T' && trial_time_parse(word, out_us);
}

/* Takes the time off the front of a line; `*at` is where the message begins. */
static bool
take_time(struct parser *parser, size_t *at)
{
    struct bytes word = first_word(parser->line);
    int64_t time_us;
    *at = 0;
    if (word.data[0] == '+') {
        *at = word.size;
        return advance_clock(parser, word);
    }
    if (is_time(word, &time_us)) {
        *at = word.size;
        return set_clock(parser, time_us, word.size);
    }
    return true;
}

/* ---- lines ---- */

static struct ruletest_step *
add_step(struct parser *parser)
{
    parser->steps = mem_grow(parser->steps, parser->step_count, &parser->step_capacity,
                             sizeof *parser->steps);
    struct ruletest_step *step = &parser->steps[parser->step_count++];
    *step = (struct ruletest_step){.place = place_at(parser, 0, parser->line.size),
                                   .end = parser->end};
    return step;
}

static bool
parse_message(struct parser *parser, size_t at, struct trial_message *message)
{
    bool has_prefix = at > 0;
    while (at < parser->line.size && parser->line.data[at] == ' ') {
        at++;
    }
    struct bytes text = bytes_slice(parser->line, at, parser->line.size);
    struct diag_place place = place_at(parser, at, 1);
    if (!trial_message_parse(message, text, &place, &parser->script->arena, parser->diags)) {
        return false;
    }
    if (!message->has_time) {
        return true;
    }
    if (has_prefix) {
        return fail_at(parser, 0, at, "two times for one message",
                       "leave one out: the first word, or the member \"at\"");
    }
    return set_clock(parser, message->time_us, parser->line.size);
}

static bool
parse_step(struct parser *parser)
{
    size_t at;
    struct trial_message message = {0};
    if (!take_time(parser, &at)) {
        return false;
    }
    bool has_message = bytes_trim(bytes_slice(parser->line, at, parser->line.size)).size > 0;
    if (has_message && !parse_message(parser, at, &message)) {
        return false;
    }
    struct ruletest_step *step = add_step(parser);
    message.time_us = parser->now_us;
    message.has_time = true;
    step->message = message;
    step->has_message = has_message;
    parser->script->message_count += has_message;
    return true;
}

static bool
parse_expected(struct parser *parser)
{
    struct bytes text = bytes_trim(bytes_slice(parser->line, 2, parser->line.size));
    size_t offset = text.size == 0 ? 0 : (size_t)(text.data - parser->line.data);
    struct ruletest_expected expected = {.start = parser->start, .end = parser->end};
    expected.place = place_at(parser, offset, 1);
    if (parser->step_count == 0) {
        return fail_at(parser, 0, 2, "nothing comes before the first message",
                       "write the message above what it gives");
    }
    if (!ruletest_output_parse(&expected.output, text, &expected.place, &parser->script->arena,
                               parser->diags)) {
        return false;
    }
    expected.place.length = (unsigned)text.size;
    parser->expected = mem_grow(parser->expected, parser->expected_count,
                                &parser->expected_capacity, sizeof *parser->expected);
    parser->expected[parser->expected_count++] = expected;
    parser->steps[parser->step_count - 1].expected_count++;
    return true;
}

static bool
parse_now(struct parser *parser, struct bytes value)
{
    int64_t time_us;
    if (!trial_time_parse(value, &time_us)) {
        return fail_at(parser, 0, parser->line.size, "not a time",
                       "write now 2026-01-31T12:00:00Z; a message on the topic 'now' is written "
                       "{\"topic\":\"now\",\"payload\":...}");
    }
    return set_clock(parser, time_us, parser->line.size);
}

static bool
parse_seed(struct parser *parser, struct bytes value)
{
    int64_t number;
    if (!bytes_to_int64(value, &number)) {
        return fail_at(parser, 0, parser->line.size, "not a whole number",
                       "write seed 7; a message on the topic 'seed' is written "
                       "{\"topic\":\"seed\",\"payload\":...}");
    }
    parser->script->seed = (uint64_t)number;
    return true;
}

static bool
is_expectation(struct bytes line)
{
    return bytes_starts_with(line, BYTES("=>")) &&
           (line.size == 2 || line.data[2] == ' ' || line.data[2] == '\t');
}

static bool
parse_line(struct parser *parser)
{
    struct bytes word = first_word(parser->line);
    struct bytes value = bytes_trim(bytes_slice(parser->line, word.size, parser->line.size));
    bool is_head = parser->step_count == 0;
    if (bytes_trim(parser->line).size == 0 || parser->line.data[0] == '#') {
        return true;
    }
    if (is_expectation(parser->line)) {
        return parse_expected(parser);
    }
    if (is_head && bytes_equal(word, BYTES("now"))) {
        return parse_now(parser, value);
    }
    if (is_head && bytes_equal(word, BYTES("seed"))) {
        return parse_seed(parser, value);
    }
    return parse_step(parser);
}

/* ---- the whole ---- */

static void
parse_lines(struct parser *parser)
{
    struct bytes text = parser->script->text;
    size_t errors = parser->diags->errors;
    while (parser->end < text.size && parser->diags->errors - errors < ERRORS_MAX) {
        struct bytes rest = bytes_slice(text, parser->end, text.size);
        parser->line = bytes_slice(rest, 0, bytes_find(rest, '\n'));
        parser->start = parser->end;
        parser->end += parser->line.size + (parser->line.size < rest.size);
        parser->number++;
        if (bytes_ends_with(parser->line, BYTES("\r"))) {
            parser->line.size--;
        }
        size_t before = parser->diags->errors;
        bool parsed = parse_line(parser);
        check(parsed == (parser->diags->errors == before));
    }
}

/* Into the arena; steps get their part of the expectations. */
static void
keep_steps(struct parser *parser)
{
    struct ruletest_script *script = parser->script;
    size_t next = 0;
    struct ruletest_expected *expected =
            arena_new_array(&script->arena, struct ruletest_expected, parser->expected_count);
    struct ruletest_step *steps =
            arena_new_array(&script->arena, struct ruletest_step, parser->step_count);
    for (size_t i = 0; i < parser->expected_count; i++) {
        expected[i] = parser->expected[i];
    }
    for (size_t i = 0; i < parser->step_count; i++) {
        steps[i] = parser->steps[i];
        steps[i].expected = expected + next;
        next += steps[i].expected_count;
    }
    script->steps = steps;
    script->step_count = parser->step_count;
}

bool
ruletest_script_parse(struct ruletest_script *out, struct bytes path, struct bytes text,
                      struct diag_list *diags)
{
    struct ruletest_script script = {.seed = 1};
    script.text = arena_copy(&script.arena, text);
    struct parser parser = {.script = &script,
                            .path = arena_copy(&script.arena, path),
                            .diags = diags,
                            .now_us = CLOCK_BEGINS_US};
    size_t errors = diags->errors;
    parse_lines(&parser);
    if (diags->errors == errors && script.message_count == 0) {
        struct diag_place place = {.file = parser.path};
        diag_at(diags, DIAG_ERROR, &place, "a test without a message");
        diag_hint(diags, "%s", STEP_FORMS);
    }
    bool parsed = diags->errors == errors;
    if (parsed) {
        keep_steps(&parser);
        *out = script;
    } else {
        arena_fini(&script.arena);
    }
    free(parser.steps);
    free(parser.expected);
    return parsed;
}

void
ruletest_script_fini(struct ruletest_script *script)
{
    arena_fini(&script->arena);
    *script = (struct ruletest_script){0};
}
