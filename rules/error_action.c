/*
 * The payload of an error action as JSON text. error_action.h has its shape.
 *
 * Reasons come from drivers and from the other side of a network, so they may hold anything; the
 * payload is JSON all the same.
 */
#include "error_action.h"

#include "action.h"

#include "base/base64.h"
#include "base/json.h"

/* A JSON string of bytes that should be UTF-8 but may be cut or foreign. */
static void
write_text(struct buf *out, struct bytes text, struct arena *arena)
{
    if (bytes_is_utf8(text)) {
        json_write_string(out, text);
        return;
    }
    struct buf clean = {.arena = arena};
    for (size_t at = 0; at < text.size;) {
        size_t size = text.size - at < 4 ? text.size - at : 4;
        while (size > 0 && !bytes_is_utf8(bytes_slice(text, at, at + size))) {
            size--;
        }
        if (size == 0) {
            buf_append_string(&clean, "\xEF\xBF\xBD");
            at++;
        } else {
            buf_append(&clean, bytes_slice(text, at, at + size));
            at += size;
        }
    }
    json_write_string(out, buf_bytes(&clean));
}

static void
write_member(struct buf *out, const char *key, struct bytes text, struct arena *arena)
{
    buf_append_string(out, key);
    write_text(out, text, arena);
}

/* The members of a failure, and the end of its object. */
static void
write_failure(struct buf *out, const struct rule_failure *failure, struct arena *arena)
{
    write_member(out, "\"failedAction\":", failure->action, arena);
    write_member(out, ",\"failedResource\":", failure->resource, arena);
    write_member(out, ",\"errorMessage\":", failure->message, arena);
    buf_append_char(out, '}');
}

/* Who sent a message, and what, and the end of its object or of those members. */
static void
write_message(struct buf *out, const struct rule_message *message)
{
    static const struct rule_origin unknown;
    const struct rule_origin *origin = message->origin == NULL ? &unknown : message->origin;
    struct arena *arena = message->arena;
    bool has_client = origin->client_id.data != NULL;
    write_member(out, ",\"cloudwatchTraceId\":", rule_message_trace_id(message), arena);
    write_member(out, ",\"clientId\":", has_client ? origin->client_id : BYTES("n/a"), arena);
    if (origin->source_ip.data != NULL) {
        write_member(out, ",\"sourceIp\":", origin->source_ip, arena);
    }
    buf_append_string(out, ",\"base64OriginalPayload\":\"");
    base64_encode(out, message->payload);
    buf_append_char(out, '"');
}

void
error_action_write(struct buf *out, struct bytes rule, const struct rule_message *message,
                   const struct rule_failure *failures, size_t failure_count)
{
    write_member(out, "{\"ruleName\":", rule, message->arena);
    write_member(out, ",\"topic\":", message->topic, message->arena);
    write_message(out, message);
    buf_append_string(out, ",\"failures\":[");
    for (size_t i = 0; i < failure_count; i++) {
        buf_append_string(out, i == 0 ? "{" : ",{");
        write_failure(out, &failures[i], message->arena);
    }
    buf_append_string(out, "]}");
}

static void
write_messages(struct buf *out, const struct rule_message *messages, size_t count,
               bool across_topics)
{
    buf_append_string(out, ",\"payloadsWithMetadata\":[");
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, "%s{\"id\":%zu", i == 0 ? "" : ",", i + 1);
        if (across_topics) {
            write_member(out, ",\"topic\":", messages[i].topic, messages[i].arena);
        }
        write_message(out, &messages[i]);
        buf_append_char(out, '}');
    }
    buf_append_char(out, ']');
}

static void
write_affected(struct buf *out, const struct error_batch_failure *failure)
{
    buf_append_string(out, "{\"affectedIds\":[");
    for (size_t i = 0; i < failure->affected_count; i++) {
        buf_printf(out, "%s%u", i == 0 ? "" : ",", failure->affected[i]);
    }
    buf_append_string(out, "],");
}

void
error_action_write_batch(struct buf *out, struct bytes rule, const struct rule_message *messages,
                         size_t message_count, bool across_topics,
                         const struct error_batch_failure *failures, size_t failure_count)
{
    struct arena *arena = messages[0].arena;
    write_member(out, "{\"ruleName\":", rule, arena);
    if (!across_topics) {
        write_member(out, ",\"topic\":", messages[0].topic, arena);
    }
    write_messages(out, messages, message_count, across_topics);
    buf_append_string(out, ",\"failures\":[");
    for (size_t i = 0; i < failure_count; i++) {
        buf_append_string(out, i == 0 ? "" : ",");
        write_affected(out, &failures[i]);
        write_failure(out, &failures[i].failure, arena);
    }
    buf_append_string(out, "]}");
}

struct bytes
error_action_class(const struct rule_target *target, struct bytes connector)
{
    const struct action_kind *kind = target->action != NULL
                                             ? target->action->kind
                                             : action_kind_of_connector(connector);
    return kind == NULL ? connector : bytes_of_string(kind->failed);
}
