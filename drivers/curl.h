/*
 * HTTP requests for drivers, over libcurl, which only curl.c and curl_explain.c include (names
 * begin with `http_` because `curl_` is libcurl's own prefix).
 *
 * A client holds one peer's settings and one kept-alive connection, never a second one; it sends
 * one request at a time and belongs to one thread. What is decided here, for every driver alike:
 *   - http and https only; redirects are not followed; the proxy variables of the environment are
 *     not read; TLS 1.2 or newer, the certificate's chain and name are verified.
 *   - The address a *name* resolves to must be public, unless `allow_private`: else whoever
 *     answers DNS could point the gateway at the machines beside it. A literal address or
 *     `localhost` in the URL was written by the owner and is taken as it is. The check is on the
 *     address that is connected to, so a second DNS answer cannot slip in between. With a proxy
 *     the proxy resolves names and this check does not apply.
 *   - Once a final status line and its headers are here, that is the answer: at most 1 MiB of the
 *     body and 2 s are spent on what follows. Headers above 64 KiB, or fewer than 50 bytes in 5 s
 *     in either direction (other than waiting for the answer to begin), end the request.
 */
#ifndef HEADGATE_DRIVERS_CURL_H
#define HEADGATE_DRIVERS_CURL_H

#include "base/diag.h"

struct http_settings {
    const char *url; /* literal; no user name or password in it */
    const char *proxy; /* http://host:port, no user name in it; NULL: none */
    const char *proxy_username, *proxy_password; /* Basic, or NULL */
    const char *ca, *certificate, *key; /* PEM files; NULL: the system's CAs, no certificate */
    bool insecure;                      /* any certificate will do */
    bool allow_private;
    const char *username, *password; /* Basic, or NULL */
    const char *token;               /* Bearer, or NULL */
    const char *headers;             /* "Name: value" separated by line ends or '|', or NULL */
    int64_t connect_timeout_ms;
    const char *pinned_address; /* connect to this address instead of asking DNS; for tests */
};

struct http_client;

/* All texts are copied. Fails with DIAG_INVALID on an URL or header that cannot be sent. */
bool http_client_new(struct http_client **out, const struct http_settings *settings,
                     struct diag_list *diags) MUST_CHECK;
void http_client_free(struct http_client *client);

struct http_request {
    const char *method;
    const char *const *headers; /* "Name: value", NULL-terminated; added to the settings' */
    struct bytes body;          /* borrowed for the call; data NULL: no body */
    int64_t timeout_ms;         /* for all of it; at least 1 */
};

struct http_reply {
    int status;             /* 200 to 599 */
    int64_t retry_after_ms; /* of Retry-After, in either form; 0: none */
    struct bytes body;      /* its first MiB; valid until the client's next call */
    bool is_cut;            /* the body was longer, or did not end in 2 s */
};

/*
 * Blocks until there is an answer, whatever its status. Fails when there is none: DIAG_TIMEOUT, or
 * DIAG_REMOTE with the network's reason; the peer may then have received the request or not.
 */
bool http_client_send(struct http_client *client, const struct http_request *request,
                      struct http_reply *reply, struct diag_list *diags) MUST_CHECK;

#endif
