/*
 * Stream SQL: a script, a NUL, and payloads in lines. What parses runs, gives JSON rows, and gives
 * the same rows when its state goes through bytes behind each line; bytes that are no state are
 * refused, or run on.
 */
#include "fuzz.h"
#include "base/buf.h"
#include "base/json.h"
#include "rules/stream/stream.h"

#include <stdlib.h>

enum { SCRIPT_MAX_BYTES = 4096, LINES_MAX = 50, ROWS_MAX = 2000 };

struct trial {
    struct buf rows;
    size_t count;
};

static void
take_row(void *context, struct bytes json)
{
    struct trial *trial = context;
    struct arena arena = {0};
    struct json parsed;
    struct json_error error;
    check(json_parse(&parsed, json, JSON_DEPTH_MAX_DEFAULT + 1, &arena, &error));
    if (trial->count++ < ROWS_MAX) {
        buf_append(&trial->rows, json);
        buf_append_char(&trial->rows, '\n');
    }
    arena_fini(&arena);
}

static struct stream_run *
reload(const struct stream_program *program, struct stream_run *run,
       const struct stream_output *output)
{
    struct buf saved = {0};
    struct stream_run *next = stream_run_new(program, output);
    stream_run_save(run, &saved);
    check(stream_run_load(next, buf_bytes(&saved)));
    stream_run_free(run);
    buf_fini(&saved);
    return next;
}

static void
run(const struct stream_program *program, struct bytes lines, bool cuts, struct trial *trial)
{
    const struct stream_output output = {.row = take_row, .context = trial};
    struct stream_run *state = stream_run_new(program, &output);
    struct bytes line;
    int64_t now_ms = 1709294400000;
    for (int i = 0; i < LINES_MAX && bytes_split(&lines, '\n', &line); i++) {
        const struct stream_message message = {
                .payload = line, .topic = BYTES("t"), .time_ms = now_ms, .position = (uint64_t)i};
        for (size_t s = 0; s < stream_program_source_count(program); s++) {
            stream_run_message(state, s, &message);
        }
        now_ms += 700;
        stream_run_tick(state, now_ms);
        if (cuts) {
            state = reload(program, state, &output);
        }
    }
    stream_run_finish(state);
    stream_run_free(state);
}

/* The lines as the bytes of a state. */
static void
load_anything(const struct stream_program *program, struct bytes bytes)
{
    struct trial trial = {0};
    const struct stream_output output = {.row = take_row, .context = &trial};
    struct stream_run *state = stream_run_new(program, &output);
    struct buf saved = {0};
    stream_run_save(state, &saved);
    for (size_t i = 0; i < bytes.size && i < 64 && saved.size > 9; i++) { /* behind the header */
        size_t at = 9 + (unsigned char)bytes.data[i] % (saved.size - 9);
        saved.data[at] = (char)(saved.data[at] ^ bytes.data[bytes.size - 1 - i]);
    }
    if (stream_run_load(state, buf_bytes(&saved))) {
        stream_run_tick(state, 1709294500000);
        stream_run_finish(state);
    }
    stream_run_free(state);
    buf_fini(&saved);
    buf_fini(&trial.rows);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes all = bytes_of(data, size);
    size_t end = bytes_find(all, '\0');
    struct bytes text = bytes_slice(all, 0, end < SCRIPT_MAX_BYTES ? end : SCRIPT_MAX_BYTES);
    struct bytes lines = bytes_slice(all, end + 1, size);
    struct diag_list diags = {0};
    struct stream_script *script;
    if (!bytes_is_utf8(text) ||
        !stream_script_parse(&script, BYTES("fuzz.sql"), text, true, NULL, &diags)) {
        diag_list_fini(&diags);
        return 0;
    }
    for (size_t i = 0; i < script->program_count; i++) {
        struct trial whole = {0}, cut = {0};
        run(script->programs[i], lines, false, &whole);
        run(script->programs[i], lines, true, &cut);
        check(bytes_equal(buf_bytes(&whole.rows), buf_bytes(&cut.rows)));
        load_anything(script->programs[i], lines);
        buf_fini(&whole.rows);
        buf_fini(&cut.rows);
    }
    stream_script_free(script);
    diag_list_fini(&diags);
    return 0;
}
