/*
 * A scripted HTTP server on loopback, on a thread of its own: a test gives the function that
 * answers each request, and reads afterwards what was asked. One connection at a time.
 */
#ifndef HEADGATE_TESTS_STUB_H
#define HEADGATE_TESTS_STUB_H

#include "base/bytes.h"

#include <stdatomic.h>

struct stub_request {
    unsigned number;     /* 0, 1, ... */
    struct bytes head;   /* request line and headers */
    struct bytes body;
    int64_t at_us;       /* monotonic */
};

struct stub;

/* Writes the answer with stub_send(); returns false to close the connection afterwards. */
typedef bool (*stub_answer_fn)(struct stub *stub, const struct stub_request *request);

struct stub *stub_start(stub_answer_fn answer, void *context);
void stub_stop(struct stub *stub);

void *stub_context(struct stub *stub);
int stub_port(const struct stub *stub);

/* False when the client is gone or the stub is being stopped. */
bool stub_send(struct stub *stub, const char *text);

/* A whole answer: status line, Content-Length, `headers` (each with its line end), body. */
bool stub_reply(struct stub *stub, int status, const char *headers, const char *body);

/* Ends the connection with a reset. */
void stub_reset(struct stub *stub);

/* What was asked so far; valid until stub_stop(). Call when the client is not sending. */
unsigned stub_count(struct stub *stub);
unsigned stub_connections(struct stub *stub);
const struct stub_request *stub_request(struct stub *stub, unsigned number);

/* The value of a header of a request, "" when it has none. */
struct bytes stub_header(const struct stub_request *request, const char *name);

#endif
