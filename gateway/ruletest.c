/*
 * Runs the steps of a test and compares what comes out with what is written below them.
 *
 * Everything that one step makes lives in an arena that is reset before the next.
 */
#include "ruletest.h"

#include "host.h"
#include "ruletest_script.h"

#include "base/mem.h"

#include <stdlib.h>

enum { SHOWN_MAX_BYTES = 2000 };

struct run {
    const struct ruletest_script *script;
    const struct ruletest_options *options;
    struct ruletest_report *report;
    struct diag_list *diags;
    struct trial *trial;
    struct arena arena; /* of one step */
    struct ruletest_output *outputs; /* of one step */
    size_t output_count, output_capacity;
    size_t output_bytes; /* of the whole run */
    int64_t deadline_us;
    struct buf updated;
    size_t copied; /* how much of the text is in `updated` */
};

/* ---- what comes out ---- */

static void
add_output(struct run *run, const struct ruletest_output *output)
{
    run->outputs = mem_grow(run->outputs, run->output_count, &run->output_capacity,
                            sizeof *run->outputs);
    run->outputs[run->output_count++] = *output;
    run->output_bytes += output->payload.size + output->params.size + output->target.size;
}

/* A reason in one line. */
static struct bytes
reason_line(struct run *run, struct bytes reason)
{
    struct buf line = {.arena = &run->arena};
    for (size_t i = 0; i < reason.size; i++) {
        buf_append_char(&line, (unsigned char)reason.data[i] < ' ' ? ' ' : reason.data[i]);
    }
    return bytes_trim(buf_bytes(&line));
}

static void
add_row(struct run *run, const struct trial_outcome *outcome)
{
    for (size_t i = 0; i < outcome->row.output_count; i++) {
        const struct rule_output *from = &outcome->row.outputs[i];
        struct ruletest_output output = {.kind = RULETEST_ROW,
                                         .target = from->text,
                                         .payload = from->payload,
                                         .payload_is_json = from->payload_is_json,
                                         .params = from->params,
                                         .rule = outcome->info->name};
        if (output.target.data == NULL) {
            output.target = BYTES("");
        }
        if (from->failure.size > 0) {
            output.kind = RULETEST_FAILED;
            output.reason = reason_line(run, from->failure);
        }
        add_output(run, &output);
    }
}

/* The part of WHERE that decided, as it is written. */
static struct bytes
stopping_conjunct(const struct trial_outcome *outcome)
{
    uint32_t i = outcome->row.conjunct;
    return i < outcome->info->conjunct_count ? outcome->info->conjuncts[i].text : BYTES("");
}

static void
collect(void *context, struct trial_outcome *outcome)
{
    struct run *run = context;
    struct ruletest_output output = {.rule = outcome->info->name};
    switch (outcome->verdict) {
    case RULE_MATCHED:
        add_row(run, outcome);
        return;
    case RULE_FILTERED:
        output.kind = RULETEST_FILTERED;
        output.reason = stopping_conjunct(outcome);
        break;
    case RULE_UNDEFINED:
        output.kind = RULETEST_UNDEFINED;
        output.reason = stopping_conjunct(outcome);
        break;
    case RULE_NOTHING:
        output.kind = RULETEST_UNDEFINED;
        break;
    case RULE_FAILED:
        output.kind = RULETEST_FAILED;
        output.reason = reason_line(run, bytes_of_string(outcome->row.reason));
        break;
    }
    add_output(run, &output);
}

static void
run_message(struct run *run, const struct ruletest_step *step)
{
    run->report->messages++;
    if (!trial_run(run->trial, &step->message, &run->arena, collect, run)) {
        add_output(run, &(struct ruletest_output){.kind = RULETEST_UNMATCHED});
    }
}

/* ---- differences ---- */

static void
append_shown(const struct ruletest_output *output, struct buf *out)
{
    struct buf line = {0};
    size_t shown = SHOWN_MAX_BYTES;
    ruletest_output_write(output, &line);
    while (shown < line.size && (line.data[shown] & 0xc0) == 0x80) { /* whole characters */
        shown--;
    }
    buf_append(out, bytes_slice(buf_bytes(&line), 0, shown));
    buf_append_string(out, line.size > shown ? "..." : "");
    buf_fini(&line);
}

static const char *
verdict_text(enum ruletest_kind kind)
{
    switch (kind) {
    case RULETEST_FILTERED:
        return "WHERE was false";
    case RULETEST_UNDEFINED:
        return "WHERE or the row was undefined: a field is missing or of a wrong type";
    case RULETEST_UNMATCHED:
        return "no rule of this file takes messages of this topic";
    case RULETEST_ROW:
    case RULETEST_FAILED:
        break;
    }
    return "it gave what is expected above";
}

/* Why there is not more: what each rule made of the message. */
static void
hint_verdicts(struct run *run)
{
    struct buf text = {.arena = &run->arena};
    for (size_t i = 0; i < run->output_count; i++) {
        const struct ruletest_output *output = &run->outputs[i];
        buf_append_string(&text, i == 0 ? "" : "; ");
        if (output->rule.size > 0) {
            buf_printf(&text, "rule '%.*s': ", BYTES_ARG(output->rule));
        }
        buf_append_string(&text, verdict_text(output->kind));
        if (ruletest_output_is_optional(output) && output->reason.size > 0) {
            buf_printf(&text, ": %.*s", BYTES_ARG(output->reason));
        }
    }
    if (run->output_count == 0) {
        buf_append_string(&text, "no message, only time passes");
    }
    diag_hint(run->diags, "%s", buf_string(&text));
}

static const char UPDATE_HINT[] = "mend the rule or the test; `headgate test --update` writes into "
                                  "the test what the rules give";

static void
report_missing(struct run *run, const struct ruletest_expected *expected)
{
    diag_at(run->diags, DIAG_ERROR, &expected->place, "expected, but it does not come");
    hint_verdicts(run);
}

static void
report_surplus(struct run *run, const struct ruletest_step *step,
               const struct ruletest_output *actual)
{
    struct buf text = {.arena = &run->arena};
    append_shown(actual, &text);
    diag_at(run->diags, DIAG_ERROR, &step->place, "rule '%.*s' gives what is not expected: => %s",
            BYTES_ARG(actual->rule), buf_string(&text));
    diag_hint(run->diags, "%s", UPDATE_HINT);
}

static void
report_other(struct run *run, const struct ruletest_expected *expected,
             const struct ruletest_output *actual)
{
    struct diag_place place = expected->place;
    struct buf text = {.arena = &run->arena};
    size_t at, length;
    ruletest_output_equal(&expected->output, actual, &run->arena, &at, &length);
    if (length > 0) {
        place.column += (unsigned)(expected->output.payload_at + at);
        place.length = (unsigned)length;
    }
    append_shown(actual, &text);
    diag_at(run->diags, DIAG_ERROR, &place, "expected, but rule '%.*s' gives => %s",
            BYTES_ARG(actual->rule), buf_string(&text));
    diag_hint(run->diags, "%s", UPDATE_HINT);
}

static bool
differ(struct run *run, const struct ruletest_step *step, const struct ruletest_expected *expected,
       const struct ruletest_output *actual)
{
    if (run->report->differences++ >= run->options->differences_max) {
        return false;
    }
    if (actual == NULL) {
        report_missing(run, expected);
    } else if (expected == NULL) {
        report_surplus(run, step, actual);
    } else {
        report_other(run, expected, actual);
    }
    return false;
}

/* Outputs and expectations in step; an output that may be left out waits for none. */
static bool
compare_step(struct run *run, const struct ruletest_step *step)
{
    const struct ruletest_expected *next = step->expected, *end = next + step->expected_count;
    for (size_t i = 0; i < run->output_count; i++) {
        const struct ruletest_output *actual = &run->outputs[i];
        size_t at, length;
        if (next < end &&
            ruletest_output_equal(&next->output, actual, &run->arena, &at, &length)) {
            next++;
        } else if (!ruletest_output_is_optional(actual)) {
            return differ(run, step, next < end ? next : NULL, actual);
        }
    }
    return next == end || differ(run, step, next, NULL);
}

/* ---- update ---- */

static void
copy_until(struct run *run, size_t end)
{
    buf_append(&run->updated, bytes_slice(run->script->text, run->copied, end));
    run->copied = end;
}

static void
replace_line(struct run *run, const struct ruletest_expected *old,
             const struct ruletest_output *new)
{
    struct bytes text = run->script->text;
    size_t begin = old->start + old->place.column - 1;
    size_t line_end = begin + old->place.length;
    copy_until(run, begin);
    ruletest_output_write(new, &run->updated);
    run->copied = line_end; /* what blanks and line end there were follow */
    check(line_end <= text.size);
}

static void
insert_line(struct run *run, const struct ruletest_step *step, const struct ruletest_output *new)
{
    struct bytes text = run->script->text;
    bool is_last_cut = step->end == text.size && text.data[text.size - 1] != '\n';
    bool has_return = !is_last_cut && step->end >= 2 && text.data[step->end - 2] == '\r';
    const char *line_end = has_return ? "\r\n" : "\n";
    size_t where = step->expected_count == 0 ? step->end
                                             : step->expected[step->expected_count - 1].end;
    if (run->copied < where) {
        copy_until(run, where);
    }
    if (run->updated.size > 0 && run->updated.data[run->updated.size - 1] != '\n') {
        buf_append_string(&run->updated, line_end);
    }
    buf_append_string(&run->updated, "=> ");
    ruletest_output_write(new, &run->updated);
    buf_append_string(&run->updated, line_end);
}

static void
remove_line(struct run *run, const struct ruletest_expected *old)
{
    copy_until(run, old->start);
    run->copied = old->end;
}

/* Verdicts are written where there were some, or where there would be nothing else. */
static bool
writes_verdicts(const struct run *run, const struct ruletest_step *step)
{
    bool had_some = false, has_rows = false;
    for (size_t i = 0; i < step->expected_count; i++) {
        had_some |= ruletest_output_is_optional(&step->expected[i].output);
    }
    for (size_t i = 0; i < run->output_count; i++) {
        has_rows |= !ruletest_output_is_optional(&run->outputs[i]);
    }
    return had_some || !has_rows;
}

/* The i-th expectation becomes the i-th output; one that was right keeps its form. */
static void
update_step(struct run *run, const struct ruletest_step *step)
{
    bool verdicts = writes_verdicts(run, step);
    size_t line = 0;
    for (size_t i = 0; i < run->output_count; i++) {
        const struct ruletest_output *actual = &run->outputs[i];
        size_t at, length;
        if (!verdicts && ruletest_output_is_optional(actual)) {
            continue;
        }
        if (line >= step->expected_count) {
            insert_line(run, step, actual);
        } else if (!ruletest_output_equal(&step->expected[line].output, actual, &run->arena, &at,
                                          &length)) {
            replace_line(run, &step->expected[line], actual);
        }
        line++;
    }
    for (; line < step->expected_count; line++) {
        remove_line(run, &step->expected[line]);
    }
}

/* ---- the run ---- */

static bool
is_within_limits(struct run *run, const struct ruletest_step *step)
{
    const char *what = NULL;
    const struct os *os = run->options->os;
    if (run->report->messages >= RULETEST_MESSAGES_MAX && step->has_message) {
        what = "more than 10000 messages in one test";
    } else if (run->output_bytes > RULETEST_OUTPUT_MAX_BYTES) {
        what = "the rules give more than 16 MiB in one test";
    } else if (os != NULL && os->mono_us(os) > run->deadline_us) {
        what = "the test takes longer than 2 seconds";
    }
    if (what != NULL) {
        diag_at(run->diags, DIAG_ERROR, &step->place, "%s: stopped here", what);
        diag_hint(run->diags, "a reload waits for it: keep it short");
    }
    return what == NULL;
}

static bool
run_steps(struct run *run)
{
    bool passed = true;
    for (size_t i = 0; i < run->script->step_count; i++) {
        const struct ruletest_step *step = &run->script->steps[i];
        if (!is_within_limits(run, step)) {
            return false;
        }
        arena_reset(&run->arena);
        run->output_count = 0;
        if (step->has_message) {
            run_message(run, step);
        } else {
            trial_pass_time(run->trial, step->message.time_us, &run->arena, collect, run);
        }
        if (!compare_step(run, step)) {
            passed = false;
            update_step(run, step);
        }
    }
    copy_until(run, run->script->text.size);
    if (run->options->updated != NULL) {
        buf_append(run->options->updated, buf_bytes(&run->updated));
    }
    return passed;
}

/* With a host of its own: it belongs to the thread. */
static bool
run_in_world(struct run *run, const struct rule_file *rules)
{
    const struct os *os = run->options->os;
    struct host host;
    if (os != NULL) {
        run->deadline_us = os->mono_us(os) + RULETEST_TIME_MAX_MS * 1000;
        host_init(&host, os);
    }
    run->trial = trial_new((const struct rule *const *)rules->rules, rules->rule_count,
                           os == NULL ? NULL : &host.rule, run->script->seed);
    for (size_t i = 0; run->options->programs != NULL && i < rules->rule_count; i++) {
        if (run->options->programs[i] != NULL) {
            trial_set_program(run->trial, i, run->options->programs[i]);
        }
    }
    bool passed = run_steps(run);
    trial_free(run->trial);
    if (os != NULL) {
        host_fini(&host);
    }
    return passed;
}

bool
ruletest_run(const struct rule_file *rules, struct bytes path, struct bytes text,
             const struct ruletest_options *options, struct ruletest_report *report,
             struct diag_list *diags)
{
    struct ruletest_script script;
    *report = (struct ruletest_report){0};
    if (!ruletest_script_parse(&script, path, text, diags)) {
        return false;
    }
    struct run run = {.script = &script, .options = options, .report = report, .diags = diags};
    bool passed = run_in_world(&run, rules);
    free(run.outputs);
    buf_fini(&run.updated);
    arena_fini(&run.arena);
    ruletest_script_fini(&script);
    return passed;
}
