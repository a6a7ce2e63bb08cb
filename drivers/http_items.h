/*
 * The answer 207 to a request with several records: what became of each of them.
 *
 * The body is a JSON array with an object for each record, in the order of the request:
 *   [{"status":201},{"status":400,"message":"temperature is not a number"}]
 * `status` is what a request with that record alone would have got; `message` or `error`, a text, is
 * the reason if it was refused. Other members do not matter. (Source of the status: RFC 4918, 11.1;
 * of the shape: the bulk answers in JSON of common HTTP interfaces, without their names.)
 *
 * Pure.
 */
#ifndef HEADGATE_DRIVERS_HTTP_ITEMS_H
#define HEADGATE_DRIVERS_HTTP_ITEMS_H

#include "base/arena.h"

struct http_item {
    int status;           /* 100 to 599 */
    struct bytes message; /* may be empty; in the arena or the body */
};

/*
 * `count` items, in the arena. False when the body does not say what became of each of the `count`
 * records: then nothing may be taken for delivered, and `reason` says what is wrong with it.
 */
bool http_items_read(struct bytes body, size_t count, struct arena *arena,
                     const struct http_item **out, struct bytes *reason) MUST_CHECK;

#endif
