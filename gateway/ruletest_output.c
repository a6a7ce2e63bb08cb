/* Lines of rows and verdicts. The grammar is in the header. */
#include "ruletest_output.h"

#include "base/base64.h"
#include "base/json.h"

enum { DEPTH_MAX = 200 }; /* of a row: payload and SELECT may each nest 64 and more */

static const char OUTPUT_FORMS[] =
        "write `=> target payload`, where the payload is JSON, text \"...\" or base64 \"...\"; or "
        "`=> filtered`, `=> undefined`, `=> unmatched`, `=> failed: reason`";

static const struct bytes FAILED_WORD = {"failed", 6};

static const struct {
    const char *word;
    enum ruletest_kind kind;
} verdicts[] = {{"filtered", RULETEST_FILTERED},
                {"undefined", RULETEST_UNDEFINED},
                {"unmatched", RULETEST_UNMATCHED}};

/* ---- reading ---- */

struct reading {
    struct bytes text;
    const struct diag_place *place;
    struct arena *arena;
    struct diag_list *diags;
    struct ruletest_output *out;
};

static bool
fail_at(const struct reading *reading, size_t offset, size_t length, const char *what)
{
    struct diag_place place = *reading->place;
    place.column += (unsigned)offset;
    place.length = (unsigned)length;
    diag_at(reading->diags, DIAG_ERROR, &place, "%s", what);
    diag_hint(reading->diags, "%s", OUTPUT_FORMS);
    return false;
}

static struct bytes
rest_from(const struct reading *reading, size_t at)
{
    return bytes_slice(reading->text, at, reading->text.size);
}

static size_t
pass_blanks(struct bytes text, size_t at)
{
    while (at < text.size && (text.data[at] == ' ' || text.data[at] == '\t')) {
        at++;
    }
    return at;
}

/* The JSON value at `*at`, which is then behind it; what follows is not looked at. */
static bool
read_json(const struct reading *reading, size_t *at, struct json *out)
{
    struct json_error error;
    struct bytes rest = rest_from(reading, *at);
    bool parsed = json_parse(out, rest, DEPTH_MAX, reading->arena, &error);
    if (!parsed && error.offset > 0 && error.offset < rest.size) {
        size_t offset = error.offset; /* perhaps something stands behind the value */
        rest = bytes_slice(rest, 0, offset);
        parsed = json_parse(out, rest, DEPTH_MAX, reading->arena, &error);
        error.offset = parsed ? error.offset : offset;
    }
    if (!parsed) {
        return fail_at(reading, *at + error.offset, 1, error.message);
    }
    *at += rest.size;
    return true;
}

static bool
read_string(const struct reading *reading, size_t *at, struct bytes *out)
{
    struct json json;
    size_t from = *at;
    if (!read_json(reading, at, &json)) {
        return false;
    }
    if (json.nodes[0].kind != JSON_STRING) {
        return fail_at(reading, from, *at - from, "not a text in double quotes");
    }
    *out = json_string(&json, 0, reading->arena);
    return true;
}

static bool
is_word_at(struct bytes text, size_t at, struct bytes word)
{
    struct bytes rest = bytes_slice(text, at, text.size);
    return bytes_starts_with(rest, word) &&
           (rest.size == word.size || rest.data[word.size] == ' ' ||
            rest.data[word.size] == '"');
}

static bool
read_base64(const struct reading *reading, size_t *at, struct bytes *out)
{
    struct bytes text;
    struct buf bytes = {.arena = reading->arena};
    size_t from = *at;
    if (!read_string(reading, at, &text)) {
        return false;
    }
    if (!base64_decode(&bytes, text)) {
        return fail_at(reading, from, *at - from, "not base64");
    }
    *out = buf_bytes(&bytes);
    return true;
}

static bool
read_payload(const struct reading *reading, size_t *at)
{
    struct ruletest_output *out = reading->out;
    struct json json;
    if (is_word_at(reading->text, *at, BYTES("text"))) {
        *at = pass_blanks(reading->text, *at + 4);
        return read_string(reading, at, &out->payload);
    }
    if (is_word_at(reading->text, *at, BYTES("base64"))) {
        *at = pass_blanks(reading->text, *at + 6);
        return read_base64(reading, at, &out->payload);
    }
    out->payload_is_json = true;
    out->payload_at = *at;
    if (!read_json(reading, at, &json)) {
        return false;
    }
    out->payload = json.text;
    return true;
}

static bool
read_params(const struct reading *reading, size_t at)
{
    struct json json;
    if (at == reading->text.size) {
        return true;
    }
    if (!is_word_at(reading->text, at, BYTES("with"))) {
        return fail_at(reading, at, 1, "something behind the payload");
    }
    at = pass_blanks(reading->text, at + 4);
    size_t from = at;
    if (!read_json(reading, &at, &json)) {
        return false;
    }
    if (json.nodes[0].kind != JSON_OBJECT || at < reading->text.size) {
        return fail_at(reading, from, 1, "parameters are one JSON object");
    }
    reading->out->params = json.text;
    return true;
}

/* "failed" or "failed: reason" at `at`. */
static bool
read_failure(const struct reading *reading, size_t at)
{
    struct bytes rest = rest_from(reading, at);
    if (!bytes_starts_with(rest, FAILED_WORD)) {
        return false;
    }
    rest = bytes_slice(rest, FAILED_WORD.size, rest.size);
    if (rest.size > 0 && rest.data[0] != ':') {
        return false;
    }
    reading->out->kind = RULETEST_FAILED;
    reading->out->reason = bytes_trim(bytes_slice(rest, 1, rest.size));
    return true;
}

static bool
read_verdict(const struct reading *reading)
{
    for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
        if (bytes_equal_string(reading->text, verdicts[i].word)) {
            reading->out->kind = verdicts[i].kind;
            return true;
        }
    }
    return false;
}

static bool
read_target(const struct reading *reading, size_t *at)
{
    if (reading->text.size > 0 && reading->text.data[0] == '"') {
        if (!read_string(reading, at, &reading->out->target)) {
            return false;
        }
    } else {
        *at = bytes_find(reading->text, ' ');
        reading->out->target = bytes_slice(reading->text, 0, *at);
    }
    *at = pass_blanks(reading->text, *at);
    if (*at == reading->text.size) {
        return fail_at(reading, 0, reading->text.size, "no payload behind the target");
    }
    return true;
}

static bool
read_output(const struct reading *reading)
{
    size_t at = 0;
    if (read_verdict(reading) || read_failure(reading, 0)) {
        return true;
    }
    if (!read_target(reading, &at)) {
        return false;
    }
    if (read_failure(reading, at)) {
        return true;
    }
    reading->out->kind = RULETEST_ROW;
    if (!read_payload(reading, &at)) {
        return false;
    }
    return read_params(reading, pass_blanks(reading->text, at));
}

bool
ruletest_output_parse(struct ruletest_output *out, struct bytes text,
                      const struct diag_place *place, struct arena *arena,
                      struct diag_list *diags)
{
    struct ruletest_output output = {0};
    struct reading reading = {text, place, arena, diags, &output};
    bool read = read_output(&reading);
    if (read) {
        *out = output;
    }
    return read;
}

/* ---- writing ---- */

/* Line ends between the tokens of a document are white space like any other. */
static void
append_on_one_line(struct bytes json, struct buf *out)
{
    size_t from = out->size;
    buf_append(out, json);
    for (size_t i = from; i < out->size; i++) {
        if (out->data[i] == '\n' || out->data[i] == '\r') {
            out->data[i] = ' ';
        }
    }
}

/* Whether a target can stand there as it is. */
static bool
is_plain(struct bytes target)
{
    bool plain = target.size > 0 && target.data[0] != '"' &&
                 !bytes_starts_with(target, BYTES("failed:")) && !bytes_equal(target, FAILED_WORD);
    for (size_t i = 0; i < target.size && plain; i++) {
        plain = (unsigned char)target.data[i] > ' ' && target.data[i] != '\x7f';
    }
    return plain;
}

static void
write_target(struct bytes target, struct buf *out)
{
    if (is_plain(target)) {
        buf_append(out, target);
    } else {
        json_write_string(out, target);
    }
}

static void
write_failure(const struct ruletest_output *output, struct buf *out)
{
    if (output->target.data != NULL) {
        write_target(output->target, out);
        buf_append_char(out, ' ');
    }
    buf_append(out, FAILED_WORD);
    if (output->reason.size > 0) {
        buf_append_string(out, ": ");
        append_on_one_line(bytes_trim(output->reason), out);
    }
}

static void
write_row(const struct ruletest_output *output, struct buf *out)
{
    write_target(output->target, out);
    buf_append_char(out, ' ');
    if (output->payload_is_json) {
        append_on_one_line(bytes_trim(output->payload), out);
    } else {
        trial_payload_write(output->payload, false, out);
    }
    if (output->params.size > 0) {
        buf_append_string(out, " with ");
        append_on_one_line(bytes_trim(output->params), out);
    }
}

void
ruletest_output_write(const struct ruletest_output *output, struct buf *out)
{
    if (output->kind == RULETEST_ROW) {
        write_row(output, out);
        return;
    }
    if (output->kind == RULETEST_FAILED) {
        write_failure(output, out);
        return;
    }
    for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
        if (verdicts[i].kind == output->kind) {
            buf_append_string(out, verdicts[i].word);
        }
    }
}

/* ---- comparing ---- */

bool
ruletest_output_is_optional(const struct ruletest_output *output)
{
    return output->kind != RULETEST_ROW && output->kind != RULETEST_FAILED;
}

/* Two JSON texts; those that no reader takes are equal when their bytes are. */
static bool
documents_equal(struct bytes a, struct bytes b, struct arena *arena, size_t *at, size_t *length)
{
    struct json x, y;
    struct json_error error;
    struct json_difference difference;
    if (bytes_equal(a, b)) {
        return true;
    }
    if (!json_parse(&x, a, DEPTH_MAX, arena, &error) ||
        !json_parse(&y, b, DEPTH_MAX, arena, &error)) {
        return false;
    }
    if (json_equal(&x, &y, arena, &difference)) {
        return true;
    }
    struct bytes part = json_raw(&x, difference.a);
    *at = (size_t)(part.data - a.data);
    *length = part.size;
    return false;
}

static bool
rows_equal(const struct ruletest_output *expected, const struct ruletest_output *actual,
           struct arena *arena, size_t *at, size_t *length)
{
    size_t params_at, params_length;
    if (!bytes_equal(expected->target, actual->target) ||
        expected->payload_is_json != actual->payload_is_json) {
        return false;
    }
    bool payloads = expected->payload_is_json
                            ? documents_equal(expected->payload, actual->payload, arena, at, length)
                            : bytes_equal(expected->payload, actual->payload);
    return payloads && documents_equal(expected->params, actual->params, arena, &params_at,
                                       &params_length);
}

bool
ruletest_output_equal(const struct ruletest_output *expected,
                      const struct ruletest_output *actual, struct arena *arena, size_t *at,
                      size_t *length)
{
    *at = *length = 0;
    if (expected->kind != actual->kind) {
        return false;
    }
    switch (expected->kind) {
    case RULETEST_ROW:
        return rows_equal(expected, actual, arena, at, length);
    case RULETEST_FAILED:
        return bytes_equal(expected->target, actual->target) &&
               (expected->target.data == NULL) == (actual->target.data == NULL) &&
               (expected->reason.size == 0 ||
                bytes_equal(expected->reason, bytes_trim(actual->reason)));
    case RULETEST_FILTERED:
    case RULETEST_UNDEFINED:
    case RULETEST_UNMATCHED:
        return true;
    }
    never("kind of an output");
}
