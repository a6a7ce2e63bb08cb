/*
 * The most likely reason, in one sentence: the first of these that holds.
 *
 *   the file has an error             its last good version runs, or nothing
 *   no message came                   no connection, refused, a topic that nearly matches, none
 *   no row came                       what stopped most messages: no JSON, a failure, a condition
 *   rows came, and wait               the target's error
 *   rows came
 */
#include "why_document.h"

#include <inttypes.h>

static void
quote(struct buf *out, struct bytes text)
{
    buf_printf(out, "'%.*s'", BYTES_ARG(text));
}

/* ---- no messages ---- */

/* The near topic with the most messages, heard or received; 0: none. */
static uint32_t
best_near(const struct why_document *document)
{
    static const char *const places[] = {"topics", "heard"};
    uint32_t best = 0;
    for (size_t i = 0; i < 2; i++) {
        uint32_t object = why_object(document, 0, places[i]), array;
        uint32_t first = object == 0 ? 0 : why_first(document, object, "near", &array);
        if (first != 0 && (best == 0 || why_count(document, first, "messages") >
                                                why_count(document, best, "messages"))) {
            best = first;
        }
    }
    return best;
}

static void
explain_silence(struct why_document *document, struct buf *out)
{
    uint32_t heard = why_object(document, 0, "heard"), near = best_near(document);
    buf_append_string(out, "Nothing came out because no message came on a topic that ");
    quote(out, why_text(document, 0, "source"));
    buf_append_string(out, " matches");
    if (near != 0) {
        buf_append_string(out, "; ");
        buf_append_count(out, why_count(document, near, "messages"), "message");
        buf_append_string(out, " came on ");
        quote(out, why_text(document, near, "topic"));
        buf_printf(out, ": %.*s", BYTES_ARG(why_text(document, near, "why")));
    } else if (heard != 0 && why_count(document, heard, "matching") > 0) {
        buf_append_string(out, ", although ");
        buf_append_count(out, why_count(document, heard, "matching"), "message");
        buf_append_string(out, " on such topics could be heard just now: the gateway's own "
                               "subscription does not deliver");
    } else if (heard != 0 && why_count(document, heard, "messages") == 0) {
        buf_append_string(out, ", nor on any other");
    }
    buf_append_char(out, '.');
}

static void
explain_no_message(struct why_document *document, struct buf *out)
{
    uint32_t gateway = why_object(document, 0, "gateway");
    struct bytes source = why_text(document, 0, "source");
    if (!why_bool(document, 0, "source_is_topic")) {
        buf_append_string(out, "Nothing came out because function ");
        quote(out, source);
        buf_append_string(out, " has emitted nothing yet.");
    } else if (gateway != 0 && !why_bool(document, gateway, "connected")) {
        buf_printf(out, "Nothing came out because the gateway is not connected to the broker: "
                        "%.*s.",
                   BYTES_ARG(why_text(document, gateway, "broker")));
    } else if (gateway != 0 && why_bool(document, gateway, "refused")) {
        buf_printf(out, "Nothing came out because the broker refuses the subscription: %.*s.",
                   BYTES_ARG(why_text(document, gateway, "refusal")));
    } else {
        explain_silence(document, out);
    }
}

/* ---- fields ---- */

static uint32_t
find_field(struct why_document *document, struct bytes name)
{
    uint32_t array;
    for (uint32_t field = why_first(document, 0, "fields", &array); field != 0;
         field = why_next(document, array, field)) {
        if (bytes_equal(why_text(document, field, "name"), name)) {
            return field;
        }
    }
    return 0;
}

static bool
is_missing(const struct why_document *document, uint32_t field)
{
    return why_count(document, field, "seen") == 0 &&
           !why_bool(document, field, "may_be_missing") &&
           why_count(document, 0, "looked_at") > why_count(document, 0, "not_json");
}

/* "no message had the field 'temprature'; 'temperature' was there 812 times" */
static void
tell_missing(struct why_document *document, uint32_t field, struct buf *out)
{
    struct bytes nearest = why_text(document, field, "nearest");
    buf_append_string(out, "no message had the field ");
    quote(out, why_text(document, field, "name"));
    if (nearest.size > 0) {
        uint64_t count = why_count(document, field, "nearest_seen");
        buf_append_string(out, "; ");
        quote(out, nearest);
        buf_append_string(out, " was there ");
        if (count == 1) {
            buf_append_string(out, "once");
        } else {
            buf_append_count(out, count, "time");
        }
    }
}

/* "'temperature' is a string ("warm") in 3 of 812 messages, and `temperature > 60` needs a number" */
static void
tell_surprise(struct why_document *document, uint32_t field, struct bytes condition,
              struct buf *out)
{
    uint64_t count = why_count(document, field, "surprises");
    uint64_t seen = why_count(document, field, "seen");
    struct bytes kind = why_text(document, field, "surprise");
    struct bytes last = why_text(document, field, "last");
    quote(out, why_text(document, field, "name"));
    buf_printf(out, " was %s%.*s",
               kind.data[0] == 'a' || kind.data[0] == 'o' ? "an "
               : bytes_equal(kind, BYTES("null"))         ? ""
                                                          : "a ",
               BYTES_ARG(kind));
    if (count == seen) {
        buf_printf(out, " (the last: %.*s)", BYTES_ARG(last));
    } else {
        buf_printf(out, " in %" PRIu64 " of %" PRIu64 " messages", count, seen);
    }
    buf_printf(out, ", and `%.*s` wants a %.*s", BYTES_ARG(condition),
               BYTES_ARG(why_text(document, field, "wanted")));
}

/* ---- what stopped most messages ---- */

enum blame_kind { BLAME_NONE, BLAME_JSON, BLAME_FAILURE, BLAME_NOTHING, BLAME_CONDITION };

struct blame {
    enum blame_kind kind;
    uint64_t count;
    uint32_t conjunct; /* node */
};

static void
blame(struct blame *most, enum blame_kind kind, uint64_t count, uint32_t conjunct)
{
    if (count > most->count) {
        *most = (struct blame){kind, count, conjunct};
    }
}

/* A field of the condition that explains it; `missing`: never seen, else of a wrong type. */
static uint32_t
guilty_field(struct why_document *document, uint32_t conjunct, bool missing)
{
    uint32_t array;
    for (uint32_t name = why_first(document, conjunct, "fields", &array); name != 0;
         name = why_next(document, array, name)) {
        uint32_t field = find_field(document,
                                    json_string(&document->json, name, &document->arena));
        if (field != 0 && (missing ? is_missing(document, field)
                                   : why_count(document, field, "surprises") > 0)) {
            return field;
        }
    }
    return 0;
}

/* A condition on a field that nobody sends lets nothing through, however few messages reach it. */
static struct blame
find_blame(struct why_document *document)
{
    struct blame most = {0};
    uint32_t array;
    for (uint32_t conjunct = why_first(document, 0, "conjuncts", &array); conjunct != 0;
         conjunct = why_next(document, array, conjunct)) {
        uint64_t undefined = why_count(document, conjunct, "undefined");
        if (undefined > 0 && guilty_field(document, conjunct, true) != 0) {
            return (struct blame){BLAME_CONDITION, undefined, conjunct};
        }
    }
    if (why_first(document, 0, "fields", &array) != 0) {
        blame(&most, BLAME_JSON, why_count(document, 0, "not_json"), 0);
    }
    blame(&most, BLAME_FAILURE, why_count(document, 0, "failed"), 0);
    blame(&most, BLAME_NOTHING, why_count(document, 0, "nothing"), 0);
    for (uint32_t conjunct = why_first(document, 0, "conjuncts", &array); conjunct != 0;
         conjunct = why_next(document, array, conjunct)) {
        blame(&most, BLAME_CONDITION,
              why_count(document, conjunct, "false") + why_count(document, conjunct, "undefined"),
              conjunct);
    }
    return most;
}

static void
tell_condition(struct why_document *document, uint32_t conjunct, struct buf *out)
{
    uint64_t no = why_count(document, conjunct, "false");
    uint64_t undefined = why_count(document, conjunct, "undefined");
    uint64_t messages = why_count(document, 0, "messages");
    struct bytes text = why_text(document, conjunct, "text");
    struct bytes last = why_text(document, conjunct, "last");
    uint32_t missing = guilty_field(document, conjunct, true);
    uint32_t surprising = guilty_field(document, conjunct, false);
    if (missing != 0) {
        tell_missing(document, missing, out);
        return;
    }
    if (surprising != 0 && why_count(document, surprising, "surprises") * 2 >
                                   why_count(document, surprising, "seen")) {
        tell_surprise(document, surprising, text, out);
        return;
    }
    buf_printf(out, "`%.*s` was %s for ", BYTES_ARG(text),
               no >= undefined ? "false" : "Undefined");
    uint64_t count = no >= undefined ? no : undefined;
    if (count == messages) {
        buf_append_string(out, count == 1 ? "the only message" : "all ");
    } else {
        buf_printf(out, "%" PRIu64 " of ", count);
    }
    if (messages != 1 || count != messages) {
        buf_append_count(out, messages, "message");
    }
    if (last.size > 0) {
        buf_printf(out, "; the last had %.*s", BYTES_ARG(last));
    }
}

/* ": cause", or nothing when an edit of the rule forgot it. */
static void
tell_cause(struct bytes cause, struct buf *out)
{
    if (cause.size > 0) {
        buf_printf(out, ": %.*s", BYTES_ARG(cause));
    }
}

/* Why rows are few or none: a clause. */
static void
tell_blame(struct why_document *document, const struct blame *most, struct buf *out)
{
    uint64_t messages = why_count(document, 0, "messages");
    switch (most->kind) {
    case BLAME_NONE:
        buf_append_string(out, "the first messages are still on their way");
        return;
    case BLAME_JSON:
        buf_printf(out, "the payload of %" PRIu64 " of ", most->count);
        buf_append_count(out, messages, "message");
        buf_append_string(out, " is not JSON");
        tell_cause(why_text(document, 0, "not_json_reason"), out);
        return;
    case BLAME_FAILURE:
        buf_append_string(out, "the rule failed for ");
        buf_printf(out, "%" PRIu64 " of ", most->count);
        buf_append_count(out, messages, "message");
        tell_cause(why_text(document, 0, "failure"), out);
        return;
    case BLAME_NOTHING: {
        uint32_t array;
        for (uint32_t field = why_first(document, 0, "fields", &array); field != 0;
             field = why_next(document, array, field)) {
            if (is_missing(document, field)) {
                tell_missing(document, field, out);
                return;
            }
        }
        buf_append_string(out, "SELECT VALUE was Undefined for ");
        buf_append_count(out, most->count, "message");
        return;
    }
    case BLAME_CONDITION:
        tell_condition(document, most->conjunct, out);
        return;
    }
    never("all kinds are listed");
}

/* ---- rows ---- */

/* A target that does not take what it gets; 0: none. */
static uint32_t
find_stuck_target(struct why_document *document)
{
    uint32_t array;
    for (uint32_t target = why_first(document, 0, "targets", &array); target != 0;
         target = why_next(document, array, target)) {
        struct bytes state = why_text(document, target, "state");
        bool idle = state.size == 0 || bytes_equal(state, BYTES("ready"));
        if (why_text(document, target, "last_error").size > 0 &&
            (!idle || why_count(document, target, "rejected") > 0)) {
            return target;
        }
    }
    return 0;
}

static uint32_t
find_missing_item(struct why_document *document)
{
    uint32_t array;
    for (uint32_t field = why_first(document, 0, "fields", &array); field != 0;
         field = why_next(document, array, field)) {
        if (is_missing(document, field) && why_bool(document, field, "selected")) {
            return field;
        }
    }
    return 0;
}

static void
explain_rows(struct why_document *document, struct buf *out)
{
    uint64_t messages = why_count(document, 0, "messages");
    uint64_t matched = why_count(document, 0, "matched");
    uint32_t target = find_stuck_target(document), item = find_missing_item(document);
    buf_append_count(out, matched, "row");
    buf_append_string(out, " came out of ");
    buf_append_count(out, messages, "message");
    if (target != 0) {
        bool rejects = why_count(document, target, "queued") == 0;
        struct bytes held_up = why_text(document, target, "held_up");
        buf_append_string(out, ", but ");
        quote(out, why_text(document, target, "name"));
        if (held_up.size > 0) {
            buf_printf(out,
                       " is %.*s ('headgate dlq ls'), or sooner by 'retry.max_attempts'; the answer "
                       "is: %.*s",
                       BYTES_ARG(held_up), BYTES_ARG(why_text(document, target, "last_error")));
        } else {
            buf_printf(out, " %s: %.*s", rejects ? "rejects records" : "does not take them",
                       BYTES_ARG(why_text(document, target, "last_error")));
        }
        if (!rejects) {
            buf_append_string(out, " (");
            buf_append_count(out, why_count(document, target, "queued"), "record");
            buf_append_string(out, " waiting)");
        }
    } else if (item != 0) {
        buf_append_string(out, ", but ");
        tell_missing(document, item, out);
    } else if (matched < messages) {
        struct blame most = find_blame(document);
        if (most.kind != BLAME_NONE) {
            buf_append_string(out, "; the others did not because ");
            tell_blame(document, &most, out);
        }
    } else {
        buf_append_string(out, ": the rule works");
    }
    buf_append_char(out, '.');
}

/* ---- the file ---- */

static void
explain_errors(struct why_document *document, struct buf *out)
{
    struct bytes errors = why_text(document, 0, "errors");
    struct bytes first = bytes_slice(errors, 0, bytes_find(errors, '\n'));
    bool runs = why_object(document, 0, "rule") != 0;
    buf_printf(out, "%s: %.*s.",
               runs ? "The rule that runs is an older version, because its file has an error"
                    : "The rule does not run because its file has an error",
               BYTES_ARG(first));
}

/* Stream SQL: rows that were rejected, or windows that are still open. */
static void
explain_stream(struct why_document *document, struct buf *out)
{
    static const struct {
        const char *name, *text;
    } reasons[] = {{"unusable", "not JSON, with a column of another type, without an event time or "
                                "from the future"},
                   {"late", "late"},
                   {"refused", "beyond what the rule's state may hold"}};
    uint64_t messages = why_count(document, 0, "messages");
    bool is_rejected = false;
    buf_append_string(out, "Nothing came out because ");
    if (messages == 0) {
        buf_append_string(out, "no message came to its tables.");
        return;
    }
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        uint64_t count = why_count(document, 0, reasons[i].name);
        if (count > 0) {
            buf_append_string(out, is_rejected ? ", " : "of ");
            if (!is_rejected) {
                buf_append_count(out, messages, "message");
                buf_append_char(out, ' ');
            }
            buf_printf(out, "%llu are %s", (unsigned long long)count, reasons[i].text);
            is_rejected = true;
        }
    }
    if (!is_rejected) {
        buf_append_string(out, "no window has ended yet that holds a row: in event time that takes "
                               "a later message; or WHERE let no row in");
    }
    buf_append_char(out, '.');
}

void
why_reason(struct why_document *document, struct buf *out)
{
    if (why_text(document, 0, "errors").size > 0) {
        explain_errors(document, out);
    } else if (why_object(document, 0, "rule") == 0) {
        struct bytes nearest = why_text(document, 0, "nearest");
        buf_append_string(out, "There is no rule ");
        quote(out, why_text(document, 0, "unknown"));
        if (nearest.size > 0) {
            buf_append_string(out, "; did you mean ");
            quote(out, nearest);
            buf_append_char(out, '?');
        } else {
            buf_append_char(out, '.');
        }
    } else if (why_bool(document, 0, "idle")) {
        buf_append_string(out, "Nothing comes out because no gateway runs here; the rule itself "
                               "is understood.");
    } else if (why_bool(document, 0, "is_stream") && why_count(document, 0, "matched") == 0) {
        explain_stream(document, out);
    } else if (why_count(document, 0, "messages") == 0) {
        explain_no_message(document, out);
    } else if (why_count(document, 0, "matched") == 0) {
        struct blame most = find_blame(document);
        buf_append_string(out, "Nothing came out because ");
        tell_blame(document, &most, out);
        buf_append_char(out, '.');
    } else {
        explain_rows(document, out);
    }
}
