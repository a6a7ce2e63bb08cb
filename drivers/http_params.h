/*
 * The headers of AWS IoT's http action: {"headers":[{"key","value"}]} among a record's parameters.
 * Pure.
 */
#ifndef HEADGATE_DRIVERS_HTTP_PARAMS_H
#define HEADGATE_DRIVERS_HTTP_PARAMS_H

#include "base/arena.h"

struct http_header {
    struct bytes name;
    const char *line; /* "Name: value" */
};

struct http_headers {
    const struct http_header *items;
    size_t count;
};

/*
 * In the arena; empty `params`: none. False: `reason` is why no request can be made with them, and
 * holds no value: those may be secrets.
 */
bool http_params_read(struct bytes params, struct arena *arena, struct http_headers *out,
                      struct bytes *reason) MUST_CHECK;

/* Whether one of them has that name, in any case. */
bool http_headers_have(const struct http_headers *headers, const char *name);

#endif
