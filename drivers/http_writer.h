/*
 * What the records of a sink look like as HTTP requests: body and headers. Sends nothing.
 */
#ifndef HEADGATE_DRIVERS_HTTP_WRITER_H
#define HEADGATE_DRIVERS_HTTP_WRITER_H

#include "driver.h"

#include "compress.h"
#include "curl.h"

enum http_format { HTTP_FORMAT_JSON_ARRAY, HTTP_FORMAT_JSON_LINES, HTTP_FORMAT_SINGLE };

/* Texts are borrowed for the writer's life. */
struct http_shape {
    const char *sink_name;
    enum http_format format;
    bool envelope;
    const char *content_type; /* NULL: what the body is */
    enum compression compression;
};

struct http_writer {
    struct http_shape shape;
    struct buf body;
    struct buf packed;
    struct buf key; /* "Idempotency-Key: <sink>/" and what follows */
    size_t key_prefix_bytes;
};

void http_writer_init(struct http_writer *writer, const struct http_shape *shape);
void http_writer_fini(struct http_writer *writer);

/* Whether a request can be made of the record; else `reason` says, in the arena, why not. */
bool http_writer_takes(const struct http_writer *writer, const struct sink_record *record,
                       struct arena *arena, struct bytes *reason) MUST_CHECK;

/*
 * Records that http_writer_takes() as a request, all but its method and time. With
 * HTTP_FORMAT_SINGLE `count` is 1. The body and the key in the headers are valid until the next
 * call, the other headers as long as the arena.
 */
struct http_request http_writer_make(struct http_writer *writer, const struct sink_record *records,
                                     size_t count, struct arena *arena);

#endif
