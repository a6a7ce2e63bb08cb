/*
 * The document as text: what is known, from the filter to the targets, and at the end the reason.
 */
#include "why_document.h"

#include <inttypes.h>

void
why_disarm(struct buf *out, size_t start)
{
    for (size_t i = start; i < out->size; i++) {
        unsigned char c = (unsigned char)out->data[i];
        if ((c < 0x20 && c != '\n') || c == 0x7f) {
            out->data[i] = '?';
        }
    }
}

static void
print_indented(struct bytes text, struct buf *out)
{
    struct bytes line;
    while (bytes_split(&text, '\n', &line)) {
        if (line.size > 0) {
            buf_printf(out, "  %.*s\n", BYTES_ARG(line));
        }
    }
}

/* ---- the rule ---- */

static void
print_rule(struct why_document *document, struct buf *out)
{
    uint32_t gateway = why_object(document, 0, "gateway");
    struct bytes errors = why_text(document, 0, "errors");
    struct bytes path = why_text(document, 0, "path");
    buf_printf(out, "rule '%.*s'", BYTES_ARG(why_text(document, 0, "rule")));
    if (path.size > 0) {
        buf_printf(out, " in %.*s, line %" PRIu64, BYTES_ARG(path),
                   why_count(document, 0, "line"));
    }
    buf_append_string(out, errors.size > 0  ? ": the newest version has errors, the last good one "
                                              "runs\n"
                           : gateway != 0 ? ": runs\n"
                                          : "\n");
    print_indented(errors, out);
    buf_append_string(out, why_bool(document, 0, "source_is_topic") ? "  FROM '" : "  FROM ");
    buf_append(out, why_text(document, 0, "source"));
    buf_append_string(out, why_bool(document, 0, "source_is_topic") ? "'" : "");
    if (gateway != 0 && why_bool(document, 0, "source_is_topic")) {
        struct bytes broker = why_text(document, gateway, "broker");
        if (!why_bool(document, gateway, "connected")) {
            buf_printf(out, ": not connected to the broker (%.*s)", BYTES_ARG(broker));
        } else if (why_bool(document, gateway, "refused")) {
            buf_printf(out, ": the broker refuses it (%.*s)",
                       BYTES_ARG(why_text(document, gateway, "refusal")));
        } else if (why_bool(document, gateway, "subscribed")) {
            buf_append_string(out, ": subscribed, QoS 1");
        } else {
            buf_printf(out, ": not subscribed yet (%.*s)", BYTES_ARG(broker));
        }
    }
    buf_append_char(out, '\n');
}

/* ---- messages ---- */

static void
print_conjunct(struct why_document *document, uint32_t conjunct, struct buf *out)
{
    uint64_t no = why_count(document, conjunct, "false");
    uint64_t undefined = why_count(document, conjunct, "undefined");
    struct bytes last = why_text(document, conjunct, "last");
    buf_printf(out, "    %10" PRIu64 "  by WHERE %.*s: ", no + undefined,
               BYTES_ARG(why_text(document, conjunct, "text")));
    if (no + undefined == 0) {
        buf_append_string(out, "stopped none\n");
        return;
    }
    if (no > 0) {
        buf_append_string(out, "false ");
        buf_append_count(out, no, "time");
    }
    if (undefined > 0) {
        buf_append_string(out, no > 0 ? ", Undefined " : "Undefined ");
        buf_append_count(out, undefined, "time");
    }
    if (last.size > 0) {
        buf_printf(out, "; last %.*s", BYTES_ARG(last));
    }
    buf_append_char(out, '\n');
}

static void
print_messages(struct why_document *document, struct buf *out)
{
    uint64_t messages = why_count(document, 0, "messages");
    uint64_t not_json = why_count(document, 0, "not_json");
    uint64_t failed = why_count(document, 0, "failed");
    uint64_t nothing = why_count(document, 0, "nothing");
    uint32_t array;
    buf_printf(out, "\n  %12" PRIu64 "  message%s matched the filter", messages,
               messages == 1 ? "" : "s");
    if (not_json > 0) {
        struct bytes reason = why_text(document, 0, "not_json_reason");
        buf_printf(out, ", %" PRIu64 " of them not JSON", not_json);
        if (reason.size > 0) { /* an edit of the rule forgets it, and keeps the counts */
            buf_printf(out, " (%.*s)", BYTES_ARG(reason));
        }
    }
    buf_append_char(out, '\n');
    if (messages == 0) {
        return;
    }
    buf_append_string(out, "               stopped:\n");
    for (uint32_t conjunct = why_first(document, 0, "conjuncts", &array); conjunct != 0;
         conjunct = why_next(document, array, conjunct)) {
        print_conjunct(document, conjunct, out);
    }
    if (nothing > 0) {
        buf_printf(out, "    %10" PRIu64 "  because SELECT VALUE was Undefined\n", nothing);
    }
    if (failed > 0 || why_text(document, 0, "failure").size > 0) {
        buf_printf(out, "    %10" PRIu64 "  because the rule failed: %.*s\n", failed,
                   BYTES_ARG(why_text(document, 0, "failure")));
    }
    buf_printf(out, "  %12" PRIu64 "  gave a row\n", why_count(document, 0, "matched"));
}

/* ---- fields ---- */

static void
print_types(struct why_document *document, uint32_t field, struct buf *out)
{
    uint32_t types = why_object(document, field, "types");
    if (types == 0) {
        return;
    }
    const struct json *json = &document->json;
    uint32_t key = types + 1;
    for (uint32_t i = 0; i < json->nodes[types].count; i++) {
        buf_printf(out, "%s%.*s", i > 0 ? ", " : "; ",
                   BYTES_ARG(json_string(json, key, &document->arena)));
        if (json->nodes[types].count > 1) {
            buf_printf(out, " %.*s", BYTES_ARG(json_raw(json, key + 1)));
        }
        key = json->nodes[key + 1].next;
    }
}

static void
print_field(struct why_document *document, uint32_t field, int width, struct buf *out)
{
    struct bytes name = why_text(document, field, "name");
    uint64_t seen = why_count(document, field, "seen");
    struct bytes nearest = why_text(document, field, "nearest");
    buf_printf(out, "    %-*.*s  ", width, BYTES_ARG(name));
    if (seen > 0) {
        buf_printf(out, "in %" PRIu64, seen);
        print_types(document, field, out);
        buf_printf(out, "; last %.*s", BYTES_ARG(why_text(document, field, "last")));
    } else if (nearest.size > 0) {
        buf_printf(out, "never seen; '%.*s' was, in %" PRIu64, BYTES_ARG(nearest),
                   why_count(document, field, "nearest_seen"));
    } else {
        buf_append_string(out, "never seen");
        if (why_bool(document, field, "may_be_missing")) {
            buf_append_string(out, "; the rule copes with that");
        }
    }
    if (why_count(document, field, "surprises") > 0) {
        buf_printf(out, " (a %.*s is wanted)", BYTES_ARG(why_text(document, field, "wanted")));
    }
    buf_append_char(out, '\n');
}

static void
print_fields(struct why_document *document, struct buf *out)
{
    uint64_t looked_at = why_count(document, 0, "looked_at");
    uint32_t array, first = why_first(document, 0, "fields", &array);
    size_t width = 8;
    if (first == 0 || looked_at == 0) {
        return;
    }
    for (uint32_t field = first; field != 0; field = why_next(document, array, field)) {
        size_t size = why_text(document, field, "name").size;
        width = size > width && size < 40 ? size : width;
    }
    buf_printf(out, "\n  fields, in the %" PRIu64 " message%s looked at\n", looked_at,
               looked_at == 1 ? "" : "s");
    for (uint32_t field = first; field != 0; field = why_next(document, array, field)) {
        print_field(document, field, (int)width, out);
    }
    uint64_t omitted = why_count(document, 0, "fields_omitted");
    if (omitted > 0) {
        buf_append_string(out, "    and ");
        buf_append_count(out, omitted, "field");
        buf_append_string(out, " more that nobody looked for\n");
    }
}

/* ---- targets and topics ---- */

static void
print_targets(struct why_document *document, struct buf *out)
{
    uint32_t array, first = why_first(document, 0, "targets", &array);
    if (first == 0) {
        return;
    }
    buf_append_string(out, "\n  targets\n");
    for (uint32_t target = first; target != 0; target = why_next(document, array, target)) {
        const char *quote = why_bool(document, target, "is_topic") ? "'" : "";
        struct bytes state = why_text(document, target, "state");
        struct bytes error = why_text(document, target, "last_error");
        uint64_t queued = why_count(document, target, "queued");
        uint64_t rejected = why_count(document, target, "rejected");
        buf_printf(out, "    %s%.*s%s", quote, BYTES_ARG(why_text(document, target, "name")),
                   quote);
        if (state.size > 0) {
            buf_printf(out, " (%.*s): %.*s, %" PRIu64 " delivered",
                       BYTES_ARG(why_text(document, target, "driver")), BYTES_ARG(state),
                       why_count(document, target, "delivered"));
        }
        if (queued > 0) {
            buf_printf(out, ", %" PRIu64 " waiting", queued);
        }
        if (rejected > 0) {
            buf_printf(out, ", %" PRIu64 " rejected", rejected);
        }
        if (error.size > 0) {
            buf_printf(out, "; last error: %.*s", BYTES_ARG(error));
        }
        buf_append_char(out, '\n');
    }
}

static void
print_near(struct why_document *document, uint32_t object, const char *title, struct buf *out)
{
    uint32_t array, first = object == 0 ? 0 : why_first(document, object, "near", &array);
    if (first == 0) {
        return;
    }
    buf_printf(out, "\n  %s\n", title);
    for (uint32_t topic = first; topic != 0; topic = why_next(document, array, topic)) {
        buf_printf(out, "    %.*s  ", BYTES_ARG(why_text(document, topic, "topic")));
        buf_append_count(out, why_count(document, topic, "messages"), "message");
        buf_printf(out, ", last %" PRIu64 " s ago: %.*s\n",
                   why_count(document, topic, "seconds_ago"),
                   BYTES_ARG(why_text(document, topic, "why")));
    }
}

static void
print_heard(struct why_document *document, struct buf *out)
{
    uint32_t heard = why_object(document, 0, "heard");
    if (heard == 0) {
        return;
    }
    buf_append_string(out, "\n  heard on all topics in ");
    buf_append_count(out, why_count(document, heard, "seconds"), "second");
    buf_append_string(out, ": ");
    buf_append_count(out, why_count(document, heard, "messages"), "message");
    buf_printf(out, ", %" PRIu64 " of them on topics that the filter matches\n",
               why_count(document, heard, "matching"));
    print_near(document, heard, "heard, and nearly matching", out);
}

/* What to do next, where the reason is only that nothing came. */
static void
print_advice(struct why_document *document, struct buf *out)
{
    bool is_silent = why_count(document, 0, "messages") == 0 &&
                     why_bool(document, 0, "source_is_topic");
    if (is_silent && why_object(document, 0, "gateway") != 0 &&
        why_object(document, 0, "heard") == 0) {
        buf_printf(out, "  hint: the gateway receives only what rules subscribe to; 'headgate why "
                        "%.*s --listen 10s' hears all topics\n",
                   BYTES_ARG(why_text(document, 0, "rule")));
    }
}

bool
why_print(struct bytes text, struct buf *out, struct diag_list *diags)
{
    struct why_document document;
    size_t start = out->size;
    if (!why_parse(&document, text, diags)) {
        return false;
    }
    if (why_object(&document, 0, "rule") != 0) {
        print_rule(&document, out);
        if (!why_bool(&document, 0, "idle")) {
            print_messages(&document, out);
        }
        print_fields(&document, out);
        print_targets(&document, out);
        print_near(&document, why_object(&document, 0, "topics"), "received, and nearly matching",
                   out);
        print_heard(&document, out);
        buf_append_char(out, '\n');
    } else {
        print_indented(why_text(&document, 0, "errors"), out);
    }
    buf_printf(out, "%.*s\n", BYTES_ARG(why_text(&document, 0, "reason")));
    print_advice(&document, out);
    why_document_fini(&document);
    why_disarm(out, start);
    return true;
}
