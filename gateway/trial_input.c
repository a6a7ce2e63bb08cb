/* Lines of a file, one message each. */
#include "trial_input.h"

#include "base/os.h"

#include <errno.h>
#include <stdio.h>

enum { INPUT_MAX_BYTES = 64 * 1024 * 1024 };

static bool
read_stream(FILE *stream, struct buf *out)
{
    size_t n;
    while ((n = fread(buf_reserve(out, 65536), 1, 65536, stream)) > 0) {
        out->size += n;
        if (out->size > INPUT_MAX_BYTES) {
            errno = EFBIG;
            return false;
        }
    }
    return ferror(stream) == 0;
}

bool
trial_input_read(const char *path, struct buf *out, struct diag_list *diags)
{
    bool standard = path == NULL || strcmp(path, "-") == 0;
    FILE *stream = standard ? stdin : fopen(path, "re");
    bool done = stream != NULL && read_stream(stream, out);
    if (!done) {
        diag_io_error(diags, errno, "cannot read the input '%s'", standard ? "-" : path);
    }
    if (!standard && stream != NULL) {
        fclose(stream);
    }
    return done;
}

bool
trial_input_now(const char *text, int64_t *out_us, struct diag_list *diags)
{
    if (text == NULL) {
        *out_us = os_posix.wall_us(&os_posix);
        return true;
    }
    if (trial_time_parse(bytes_of_string(text), out_us)) {
        return true;
    }
    diag_error(diags, DIAG_INVALID, "'--now %s' is not a time", text);
    diag_hint(diags, "write milliseconds since 1970, or text like 2026-01-31T12:00:00Z");
    return false;
}

static bool
parse_line(const struct trial_input *input, unsigned number, struct bytes line,
           struct arena *arena, struct trial_message *out, struct diag_list *diags)
{
    if (input->topic.size > 0) {
        *out = (struct trial_message){.topic = input->topic, .payload = line};
    } else {
        struct diag_place place = {
                .file = input->name, .line = number, .column = 1, .source_line = line};
        if (!trial_message_parse(out, line, &place, arena, diags)) {
            return false;
        }
    }
    if (!out->has_time) {
        out->time_us = input->now_us;
    }
    if (out->origin.account_id.data == NULL) {
        out->origin.account_id = input->account_id;
    }
    out->origin.trace_seed = 1;
    return true;
}

void
trial_input_each(const struct trial_input *input, struct bytes text, struct arena *arena,
                 void (*each)(void *context, const struct trial_message *message),
                 void *context, struct diag_list *diags)
{
    struct bytes line;
    for (unsigned number = 1; bytes_split(&text, '\n', &line); number++) {
        struct trial_message message;
        if (bytes_ends_with(line, BYTES("\r"))) {
            line.size--;
        }
        if (line.size > 0 && parse_line(input, number, line, arena, &message, diags)) {
            each(context, &message);
        }
        arena_reset(arena);
    }
}
