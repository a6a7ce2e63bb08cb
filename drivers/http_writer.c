/*
 * Requests out of records, so that the same records make the same request.
 *
 * Body. `format` json_array and json_lines put the payloads of a batch together and therefore take
 * JSON payloads only; `single` sends one record a request, bytes as they are. With `envelope` each
 * payload is wrapped: {"id":"mqtt:17:0","topic":...,"time":<ms>,"payload":...}.
 *
 * Headers. Those of the record's parameters (http_params.h), of a request with several records
 * those of the last one; they come before what the driver would set itself.
 *
 * Identity. Each request carries
 *   Idempotency-Key: sink/stream:position.output-stream:position.output/crc
 *                    (first and last record, CRC-32C of the body before compression):
 *                    the same records give the same key and the same bytes, today and after a
 *                    restart; another set of records gives another key
 *   Headgate-Id:     stream:position:output, when the request holds one record
 */
#include "http_writer.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/wire.h"
#include "http_params.h"

#include <inttypes.h>

enum { JSON_DEPTH_MAX = 512 };

static void
append_name(struct buf *out, struct bytes name)
{
    for (size_t i = 0; i < name.size; i++) {
        unsigned char c = (unsigned char)name.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '_' || c == '-' || c == '.';
        if (plain) {
            buf_append_char(out, (char)c);
        } else {
            buf_printf(out, "%%%02X", c);
        }
    }
}

/* ---- the body ---- */

/* A JSON text on one line: raw line ends are white space there, never part of a string. */
static void
append_json(struct buf *out, struct bytes payload)
{
    size_t start = out->size;
    buf_append(out, payload);
    for (size_t i = start; i < out->size; i++) {
        if (out->data[i] == '\n' || out->data[i] == '\r') {
            out->data[i] = ' ';
        }
    }
}

static void
append_id(struct buf *out, const struct sink_record *record, char separator)
{
    append_name(out, record->stream);
    buf_printf(out, ":%" PRIu64 "%c%" PRIu32, record->id.position, separator, record->id.output);
}

static void
append_record(struct buf *out, const struct sink_record *record, bool envelope)
{
    if (!envelope) {
        append_json(out, record->payload);
        return;
    }
    buf_append_string(out, "{\"id\":\"");
    append_id(out, record, ':');
    buf_append_string(out, "\",\"topic\":");
    json_write_string(out, record->target);
    buf_printf(out, ",\"time\":%" PRId64 ",\"payload\":", record->time_us / 1000);
    append_json(out, record->payload);
    buf_append_char(out, '}');
}

static void
build_body(struct http_writer *writer, const struct sink_record *records, size_t count)
{
    enum http_format format = writer->shape.format;
    buf_clear(&writer->body);
    buf_reserve(&writer->body, 1); /* an empty body is one too */
    if (format == HTTP_FORMAT_SINGLE && !writer->shape.envelope) {
        buf_append(&writer->body, records[0].payload);
        return;
    }
    if (format == HTTP_FORMAT_JSON_ARRAY) {
        buf_append_char(&writer->body, '[');
    }
    for (size_t i = 0; i < count; i++) {
        if (format == HTTP_FORMAT_JSON_ARRAY && i > 0) {
            buf_append_char(&writer->body, ',');
        }
        append_record(&writer->body, &records[i], writer->shape.envelope);
        if (format == HTTP_FORMAT_JSON_LINES) {
            buf_append_char(&writer->body, '\n');
        }
    }
    if (format == HTTP_FORMAT_JSON_ARRAY) {
        buf_append_char(&writer->body, ']');
    }
}

static bool
is_json(struct bytes payload, struct json_error *error)
{
    struct json json;
    struct arena scratch = {0};
    bool parsed = json_parse(&json, payload, JSON_DEPTH_MAX, &scratch, error);
    arena_fini(&scratch);
    return parsed;
}

static const char *
content_type(const struct http_shape *shape, struct bytes body)
{
    struct json_error error;
    if (shape->content_type != NULL) {
        return shape->content_type;
    }
    if (shape->format == HTTP_FORMAT_JSON_LINES) {
        return "application/x-ndjson";
    }
    bool is_raw = shape->format == HTTP_FORMAT_SINGLE && !shape->envelope;
    return is_raw && !is_json(body, &error) ? "application/octet-stream" : "application/json";
}

/* ---- the headers ---- */

static const char *
idempotency_key(struct http_writer *writer, const struct sink_record *records, size_t count)
{
    writer->key.size = writer->key_prefix_bytes;
    append_id(&writer->key, &records[0], '.');
    if (count > 1) {
        buf_append_char(&writer->key, '-');
        append_id(&writer->key, &records[count - 1], '.');
    }
    buf_printf(&writer->key, "/%08" PRIx32, wire_crc32c(0, buf_bytes(&writer->body)));
    return buf_string(&writer->key);
}

/* A request's headers as the client takes them; NULL behind the last. */
struct header_list {
    const char **lines;
    size_t count;
};

static void
add_header(struct header_list *list, const struct http_headers *given, const char *name,
           struct bytes line)
{
    if (!http_headers_have(given, name)) {
        list->lines[list->count++] = line.data;
    }
}

/* The record's own headers, and ours where it has none of that name. */
static const char *const *
build_headers(struct http_writer *writer, const struct sink_record *records, size_t count,
              struct arena *arena)
{
    enum { OURS = 4 };
    struct http_headers given;
    struct bytes reason;
    bool is_good = http_params_read(records[count - 1].params, arena, &given, &reason);
    check(is_good && "was read before");
    struct header_list list = {arena_new_array(arena, const char *, given.count + OURS + 1), 0};
    for (size_t i = 0; i < given.count; i++) {
        list.lines[list.count++] = given.items[i].line;
    }
    add_header(&list, &given, "Content-Type",
               arena_printf(arena, "Content-Type: %s",
                            content_type(&writer->shape, buf_bytes(&writer->body))));
    add_header(&list, &given, "Idempotency-Key",
               bytes_of_string(idempotency_key(writer, records, count)));
    if (count == 1) {
        struct buf id = {.arena = arena};
        buf_append_string(&id, "Headgate-Id: ");
        append_id(&id, &records[0], ':');
        add_header(&list, &given, "Headgate-Id", bytes_of_string(buf_string(&id)));
    }
    if (writer->shape.compression != COMPRESSION_NONE) {
        list.lines[list.count++] = compress_header(writer->shape.compression);
    }
    return list.lines;
}

/* ---- the whole ---- */

void
http_writer_init(struct http_writer *writer, const struct http_shape *shape)
{
    *writer = (struct http_writer){.shape = *shape};
    buf_append_string(&writer->key, "Idempotency-Key: ");
    append_name(&writer->key, bytes_of_string(shape->sink_name));
    buf_append_char(&writer->key, '/');
    writer->key_prefix_bytes = writer->key.size;
}

void
http_writer_fini(struct http_writer *writer)
{
    buf_fini(&writer->body);
    buf_fini(&writer->packed);
    buf_fini(&writer->key);
}

bool
http_writer_takes(const struct http_writer *writer, const struct sink_record *record,
                  struct arena *arena, struct bytes *reason)
{
    struct http_headers headers;
    struct json_error error;
    bool is_raw = writer->shape.format == HTTP_FORMAT_SINGLE && !writer->shape.envelope;
    if (!http_params_read(record->params, arena, &headers, reason)) {
        return false;
    }
    if (writer->shape.compression != COMPRESSION_NONE &&
        http_headers_have(&headers, "Content-Encoding")) {
        *reason = BYTES("the action sets the header 'Content-Encoding', and the table "
                        "'compression': only one of them can");
        return false;
    }
    if (is_raw || is_json(record->payload, &error)) {
        return true;
    }
    *reason = arena_printf(arena,
                           "the payload is not JSON (byte %zu: %s); only 'format' = 'single' "
                           "without 'envelope' sends other bytes",
                           error.offset, error.message);
    return false;
}

struct http_request
http_writer_make(struct http_writer *writer, const struct sink_record *records, size_t count,
                 struct arena *arena)
{
    build_body(writer, records, count);
    struct http_request request = {.headers = build_headers(writer, records, count, arena),
                                   .body = buf_bytes(&writer->body)};
    if (writer->shape.compression != COMPRESSION_NONE) {
        buf_clear(&writer->packed);
        compress_append(&writer->packed, request.body, writer->shape.compression);
        request.body = buf_bytes(&writer->packed);
    }
    return request;
}
