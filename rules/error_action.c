/*
 * The payload of an error action as JSON text. error_action.h has its shape.
 *
 * Reasons come from drivers and from the other side of a network, so they may hold anything; the
 * payload is JSON all the same.
 */
#include "error_action.h"

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

static void
write_failures(struct buf *out, const struct rule_failure *failures, size_t count,
               struct arena *arena)
{
    buf_append_string(out, ",\"failures\":[");
    for (size_t i = 0; i < count; i++) {
        write_member(out, i == 0 ? "{\"failedAction\":" : ",{\"failedAction\":",
                     failures[i].action, arena);
        write_member(out, ",\"failedResource\":", failures[i].resource, arena);
        write_member(out, ",\"errorMessage\":", failures[i].message, arena);
        buf_append_char(out, '}');
    }
    buf_append_char(out, ']');
}

void
error_action_write(struct buf *out, struct bytes rule, const struct rule_message *message,
                   const struct rule_failure *failures, size_t failure_count)
{
    static const struct rule_origin unknown;
    const struct rule_origin *origin = message->origin == NULL ? &unknown : message->origin;
    struct arena *arena = message->arena;
    bool has_client = origin->client_id.data != NULL;
    write_member(out, "{\"ruleName\":", rule, arena);
    write_member(out, ",\"topic\":", message->topic, arena);
    write_member(out, ",\"cloudwatchTraceId\":", rule_message_trace_id(message),
                 arena);
    write_member(out, ",\"clientId\":", has_client ? origin->client_id : BYTES("n/a"), arena);
    if (origin->source_ip.data != NULL) {
        write_member(out, ",\"sourceIp\":", origin->source_ip, arena);
    }
    buf_append_string(out, ",\"base64OriginalPayload\":\"");
    base64_encode(out, message->payload);
    buf_append_char(out, '"');
    write_failures(out, failures, failure_count, arena);
    buf_append_char(out, '}');
}
