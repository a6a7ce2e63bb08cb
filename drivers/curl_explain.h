/*
 * Why a request got no answer, in words for the owner: what happened, and which option mends it.
 *
 * libcurl's own sentences name its and OpenSSL's functions; they stand behind ours where they say
 * more.
 */
#ifndef HEADGATE_DRIVERS_CURL_EXPLAIN_H
#define HEADGATE_DRIVERS_CURL_EXPLAIN_H

#include "base/diag.h"

#include <curl/curl.h>

/* Whom was talked to and with which options. */
struct http_peer {
    struct bytes host;
    bool is_tls;
    bool has_answered; /* some request before: what follows is not about the options */
    bool has_ca, has_certificate, has_proxy; /* the options are set */
};

struct http_failure {
    CURLcode result;
    const char *detail; /* libcurl's sentence */
    int64_t timeout_ms, connect_timeout_ms;
};

/* Adds one error: DIAG_TIMEOUT or DIAG_REMOTE. `curl` is the handle as the request left it. */
void http_explain(CURL *curl, const struct http_peer *peer, const struct http_failure *failure,
                  struct diag_list *diags);

#endif
