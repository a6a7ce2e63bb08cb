/*
 * Dead letters of running sinks are the outbox's matter. Those of a table that no rule file declares
 * any more lie in its folder, and the gateway that holds the lock of data_dir is the one to write
 * there.
 */
#include "dlq_gateway.h"

#include "base/json.h"
#include "dead_list.h"

#include <inttypes.h>
#include <stdlib.h>

struct dlq_request {
    bool is_retry;
    bool is_waiting; /* what waits, instead of letters */
    uint64_t from;   /* positions of letters */
    uint64_t to;
    struct bytes sink;
};

static bool
parse(struct bytes text, struct dlq_request *out, struct diag_list *diags)
{
    struct bytes verb, what;
    int64_t position = 0;
    *out = (struct dlq_request){.to = UINT64_MAX};
    bool is_known = bytes_split(&text, ' ', &verb) && bytes_split(&text, ' ', &what);
    out->is_retry = is_known && bytes_equal(verb, BYTES("retry"));
    is_known = out->is_retry || (is_known && bytes_equal(verb, BYTES("drop")));
    out->sink = text;
    out->is_waiting = is_known && !out->is_retry && bytes_equal(what, BYTES("waiting"));
    if (!is_known || out->is_waiting || bytes_equal(what, BYTES("all"))) {
        is_known = is_known && text.size > 0;
    } else {
        is_known = text.size > 0 && bytes_to_int64(what, &position) && position > 0;
        out->from = (uint64_t)position;
        out->to = out->from + 1;
    }
    if (!is_known) {
        diag_error(diags, DIAG_INVALID, "unknown request");
    }
    return is_known;
}

static bool
ask_sink(struct outbox *outbox, const struct dlq_request *request, uint64_t *count,
         struct diag_list *diags)
{
    if (request->is_waiting) {
        return outbox_drop_waiting(outbox, count, diags);
    }
    return request->is_retry
                   ? outbox_retry_dead(outbox, request->from, request->to, count, diags)
                   : outbox_drop_dead(outbox, request->from, request->to, count, diags);
}

static char *
folder_of(const struct gateway *gateway, const char *sink, const char *kind)
{
    struct buf path = {0};
    buf_printf(&path, "%s/sinks/%s/%s", gateway->context.data_dir, sink, kind);
    return buf_take_string(&path);
}

/* The mark is gone; so may be the bytes that it was about. */
static bool
free_backlog(const struct gateway *gateway, const char *sink, struct diag_list *diags)
{
    char *dir = folder_of(gateway, sink, "backlog");
    bool is_free = journal_trim(&os_posix, dir, UINT64_MAX, diags);
    free(dir);
    return is_free;
}

static bool
drop_absent_letters(const struct gateway *gateway, const char *sink,
                    const struct dlq_request *request, uint64_t *count, struct diag_list *diags)
{
    char *dir = folder_of(gateway, sink, "dead");
    struct dead_letters letters = {.os = &os_posix, .dir = dir};
    bool is_dropped = dead_letters_remove(&letters, request->from, request->to, count, diags);
    dead_letters_close(&letters);
    free(dir);
    return is_dropped;
}

/* Of a table that nobody declares. Its name comes from outside and becomes a path. */
static bool
ask_absent(const struct gateway *gateway, const struct dlq_request *request, uint64_t *count,
           struct diag_list *diags)
{
    bool is_path = bytes_find(request->sink, '/') < request->sink.size ||
                   bytes_starts_with(request->sink, BYTES("."));
    if (request->is_retry || is_path) {
        diag_error(diags, DIAG_MISSING, "no rule file declares a table '%.*s'",
                   BYTES_ARG(request->sink));
        diag_hint(diags, "declare it: what waits for it is delivered, and letters can be tried again");
        return false;
    }
    char *name = bytes_to_string(request->sink);
    bool is_done;
    if (request->is_waiting) {
        engine_forget_absent_sink(gateway->engine, name, count);
        is_done = *count == 0 || free_backlog(gateway, name, diags);
    } else {
        is_done = drop_absent_letters(gateway, name, request, count, diags);
    }
    free(name);
    return is_done;
}

static void
write_answer(uint64_t count, const struct diag_list *diags, struct buf *out)
{
    buf_printf(out, "{\"count\":%" PRIu64, count);
    for (size_t i = 0; i < diags->count; i++) {
        if (diags->items[i].level == DIAG_ERROR) {
            buf_append_string(out, ",\"error\":");
            json_write_string(out, diags->items[i].message);
            buf_append_string(out, ",\"hint\":");
            json_write_string(out, diags->items[i].hint);
            break;
        }
    }
    buf_append_char(out, '}');
}

void
gateway_dlq(struct gateway *gateway, struct bytes text, struct buf *out)
{
    struct diag_list diags = {0};
    struct dlq_request request;
    uint64_t count = 0;
    if (parse(text, &request, &diags)) {
        struct sink *sink = NULL;
        pthread_mutex_lock(&gateway->lock); /* the sink is not closed meanwhile */
        for (size_t i = 0; i < gateway->sink_count && sink == NULL; i++) {
            bool is_it = bytes_equal_string(request.sink, gateway->sinks[i]->name);
            sink = is_it ? gateway->sinks[i] : NULL;
        }
        bool is_done = sink != NULL ? ask_sink(sink->outbox, &request, &count, &diags)
                                    : ask_absent(gateway, &request, &count, &diags);
        pthread_mutex_unlock(&gateway->lock);
        check(is_done || diags.errors > 0);
    }
    write_answer(count, &diags, out);
    diag_list_fini(&diags);
}
