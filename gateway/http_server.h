/*
 * The gateway's HTTP server: what Prometheus and a health check ask for, and nothing that changes
 * anything. The only user of libmicrohttpd.
 *
 *   GET /metrics   the metrics of metrics.h
 *   GET /healthz   200 "ok", or 503 with a line for each reason why not
 *
 * It must never cost the core anything: a thread of its own, HTTP_CONNECTIONS_MAX connections at a
 * time, each at most HTTP_IDLE_S seconds without a byte and HTTP_REQUEST_BYTES_MAX bytes of memory,
 * one answer being made at a time. It knows no passwords and no TLS: it belongs on the loopback
 * interface, or behind a proxy.
 */
#ifndef HEADGATE_HTTP_SERVER_H
#define HEADGATE_HTTP_SERVER_H

#include "base/diag.h"

enum {
    HTTP_CONNECTIONS_MAX = 8,
    HTTP_IDLE_S = 5,
    HTTP_REQUEST_BYTES_MAX = 16 * 1024,
};

struct http_server;

/* The answers: appended to `out`, on the server's thread. */
struct http_pages {
    void (*metrics)(void *context, struct buf *out);
    bool (*health)(void *context, struct buf *out); /* true: 200 */
    void *context;
};

/*
 * Listens on "ADDRESS:PORT" ("[::1]:9464" for IPv6). DIAG_INVALID when the address is none, DIAG_IO
 * when it cannot be had now. Free with http_server_stop(), which waits for an answer being made.
 */
bool http_server_start(struct http_server **out, const char *address,
                       const struct http_pages *pages, struct diag_list *diags) MUST_CHECK;
void http_server_stop(struct http_server *server);

/* Whether others than this machine can reach it. */
bool http_server_is_public(const struct http_server *server);

#endif
