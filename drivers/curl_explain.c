/*
 * What is known of a failed handshake: OpenSSL's verify result when the server's certificate was
 * refused here, and the name of the alert when the server refused. The latter exists only in the
 * text of the error, so it is looked for there. Under TLS 1.3 a server refuses a missing
 * certificate after the handshake, when the request is on its way already: then nothing but a
 * closed connection may be left to see, and the guess is said as one.
 */
#define _GNU_SOURCE
#include "curl_explain.h"

#include <openssl/x509_vfy.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool
says(const char *detail, const char *part)
{
    return strstr(detail, part) != NULL;
}

/* ---- the server's certificate was refused here ---- */

static void
hint_clock(struct diag_list *diags)
{
    char now[32];
    time_t seconds = time(NULL);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    strftime(now, sizeof now, "%Y-%m-%d %H:%M", &utc);
    diag_hint(diags, "it must be renewed at the server, unless this gateway's clock is wrong: it "
                     "says %s UTC", now);
}

/* The names that the certificate is good for, as OpenSSL writes them ("DNS:a.example, IP
   Address:10.0.0.1"); empty when it has none. A view into the handle. */
static struct bytes
names_of_certificate(CURL *curl)
{
    static const char label[] = "X509v3 Subject Alternative Name:";
    struct curl_certinfo *chain = NULL;
    if (curl_easy_getinfo(curl, CURLINFO_CERTINFO, &chain) != CURLE_OK || chain == NULL ||
        chain->num_of_certs < 1) {
        return BYTES("");
    }
    for (const struct curl_slist *row = chain->certinfo[0]; row != NULL; row = row->next) {
        if (strncmp(row->data, label, sizeof label - 1) == 0) {
            return bytes_trim(bytes_of_string(row->data + sizeof label - 1));
        }
    }
    return BYTES("");
}

static void
explain_name(CURL *curl, const struct http_peer *peer, const char *detail, struct diag_list *diags)
{
    enum { NAMES_MAX_BYTES = 200 };
    struct bytes names = names_of_certificate(curl);
    diag_error(diags, DIAG_REMOTE, "TLS: the server's certificate is for another host than '%.*s'",
               BYTES_ARG(peer->host));
    if (names.size > 0 && names.size <= NAMES_MAX_BYTES && bytes_is_utf8(names)) {
        diag_hint(diags, "it is for %.*s: write such a name in 'url', or have the certificate "
                         "issued for this one", BYTES_ARG(names));
    } else {
        diag_hint(diags, "write the name of the certificate in 'url', or have it issued for this "
                         "one (%s)", detail);
    }
}

static void
explain_certificate(CURL *curl, const struct http_peer *peer, const char *detail,
                    struct diag_list *diags)
{
    long verdict = X509_V_OK, proxy_verdict = X509_V_OK;
    curl_easy_getinfo(curl, CURLINFO_SSL_VERIFYRESULT, &verdict);
    curl_easy_getinfo(curl, CURLINFO_PROXY_SSL_VERIFYRESULT, &proxy_verdict);
    verdict = verdict == X509_V_OK ? proxy_verdict : verdict;
    const char *why = X509_verify_cert_error_string(verdict);
    if (says(detail, "subject name")) { /* libcurl's own check, without a verdict of OpenSSL */
        explain_name(curl, peer, detail, diags);
        return;
    }
    switch (verdict) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        diag_error(diags, DIAG_REMOTE, "TLS: the server's certificate has expired");
        hint_clock(diags);
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        diag_error(diags, DIAG_REMOTE, "TLS: the server's certificate is not valid yet");
        hint_clock(diags);
        break;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        diag_error(diags, DIAG_REMOTE,
                   "TLS: nobody whom this gateway trusts has signed the server's certificate: %s",
                   why);
        diag_hint(diags, peer->has_ca
                                 ? "the file of 'ca' holds other certificates than the one that "
                                   "signed it, or the server does not send those in between"
                                 : "set 'ca' to a PEM file with the certificate that signed it");
        break;
    default:
        diag_error(diags, DIAG_REMOTE, "TLS: the server's certificate is not accepted: %s", detail);
        diag_hint(diags, "it must be mended at the server");
        break;
    }
}

/* ---- the server refused ---- */

/* A server that asks for a certificate refuses with one of these. */
static bool
is_about_our_certificate(const char *detail)
{
    static const char *const alerts[] = {
            "alert certificate required", "alert handshake failure",   "alert bad certificate",
            "alert unknown ca",           "alert certificate expired", "alert certificate unknown",
            "alert certificate revoked",  "alert access denied"};
    bool found = false;
    for (size_t i = 0; i < sizeof alerts / sizeof *alerts; i++) {
        found |= says(detail, alerts[i]);
    }
    return found;
}

static void
explain_refusal(const struct http_peer *peer, const struct http_failure *failure,
                struct diag_list *diags)
{
    if (peer->has_certificate) {
        diag_error(diags, DIAG_REMOTE, "TLS: the server refuses this gateway's certificate: %s",
                   failure->detail);
        diag_hint(diags, "the certificate in 'certificate' must be signed by somebody whom the "
                         "server trusts, and not be expired");
        return;
    }
    bool is_sure = failure->result == CURLE_SSL_CLIENTCERT ||
                   says(failure->detail, "alert certificate required");
    diag_error(diags, DIAG_REMOTE, "TLS: the server %s a certificate of this gateway: %s",
               is_sure ? "requires" : "refuses; it may want", failure->detail);
    diag_hint(diags, "set 'certificate' and 'key' to PEM files with one that the server trusts");
}

static bool
is_no_tls(const char *detail)
{
    return says(detail, "wrong version number") || says(detail, "http request") ||
           says(detail, "packet length too long") || says(detail, "record layer failure");
}

static bool
is_version(const char *detail)
{
    return says(detail, "alert protocol version") || says(detail, "unsupported protocol");
}

/* The files that the options name. True when one of them was at fault. */
static bool
explain_files(const struct http_failure *failure, struct diag_list *diags)
{
    if (failure->result == CURLE_SSL_CERTPROBLEM) {
        diag_error(diags, DIAG_REMOTE, "TLS: 'certificate' and 'key' cannot be used: %s",
                   failure->detail);
        diag_hint(diags, "both must be PEM, belong together, and the key must have no passphrase");
    } else if (failure->result == CURLE_SSL_CACERT_BADFILE) {
        diag_error(diags, DIAG_REMOTE, "TLS: 'ca' cannot be used: %s", failure->detail);
        diag_hint(diags, "it must be a PEM file with one or more certificates");
    } else {
        return false;
    }
    return true;
}

/* True when the connection was closed in or just after the handshake: a guess is left. */
static bool
explain_closed(const struct http_peer *peer, const struct http_failure *failure,
               struct diag_list *diags)
{
    bool closed = failure->result == CURLE_GOT_NOTHING || failure->result == CURLE_RECV_ERROR ||
                  failure->result == CURLE_SEND_ERROR || failure->result == CURLE_SSL_CONNECT_ERROR;
    if (!closed || peer->has_answered) {
        return false;
    }
    diag_error(diags, DIAG_REMOTE, "the server closed the connection without an answer: %s",
               failure->detail);
    if (!peer->is_tls) {
        diag_hint(diags, "if it speaks TLS, write https:// in 'url'");
    } else if (peer->has_certificate) {
        diag_hint(diags, "it may refuse this gateway's certificate, the one in 'certificate'");
    } else {
        diag_hint(diags, "it may want a certificate of this gateway: 'certificate' and 'key'");
    }
    return true;
}

/* True when there was something to say of TLS. */
static bool
explain_tls(CURL *curl, const struct http_peer *peer, const struct http_failure *failure,
            struct diag_list *diags)
{
    const char *detail = failure->detail;
    if (failure->result == CURLE_PEER_FAILED_VERIFICATION) {
        explain_certificate(curl, peer, detail, diags);
    } else if (failure->result == CURLE_SSL_CLIENTCERT || is_about_our_certificate(detail)) {
        explain_refusal(peer, failure, diags);
    } else if (is_no_tls(detail)) {
        diag_error(diags, DIAG_REMOTE, "'%.*s' does not speak TLS at this port: %s",
                   BYTES_ARG(peer->host), detail);
        diag_hint(diags, "correct the port in 'url', or write http:// if nobody on the way can "
                         "read or change what is sent");
    } else if (is_version(detail)) {
        diag_error(diags, DIAG_REMOTE, "TLS: the server has neither TLS 1.2 nor 1.3: %s", detail);
        diag_hint(diags, "older versions are not safe; they are not supported");
    } else {
        return explain_files(failure, diags);
    }
    return true;
}

/* ---- everything else ---- */

static void
explain_timeout(CURL *curl, const struct http_failure *failure, struct diag_list *diags)
{
    curl_off_t ready_us = 0; /* when the request could begin; 0: never */
    curl_easy_getinfo(curl, CURLINFO_PRETRANSFER_TIME_T, &ready_us);
    bool was_connecting = ready_us == 0 && failure->connect_timeout_ms <= failure->timeout_ms;
    int64_t waited_ms = was_connecting ? failure->connect_timeout_ms : failure->timeout_ms;
    diag_error(diags, DIAG_TIMEOUT, "no %s within %.3g s: %s",
               was_connecting ? "connection" : "answer", (double)waited_ms / 1000, failure->detail);
    diag_hint(diags, "'%s' is how long that may take",
              was_connecting ? "connect_timeout" : "timeout");
}

/* True when the proxy was at fault. */
static bool
explain_proxy(CURL *curl, const struct http_peer *peer, const struct http_failure *failure,
              struct diag_list *diags)
{
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_HTTP_CONNECTCODE, &status);
    if (failure->result == CURLE_COULDNT_RESOLVE_PROXY) {
        diag_error(diags, DIAG_REMOTE, "%s", failure->detail);
        diag_hint(diags, "it is the name in 'proxy'");
    } else if (status == 407) {
        diag_error(diags, DIAG_REMOTE, "the proxy wants other credentials (HTTP 407)");
        diag_hint(diags, "set 'proxy_username' and 'proxy_password'");
    } else if (status >= 300) {
        diag_error(diags, DIAG_REMOTE, "the proxy opens no way to '%.*s' (HTTP %ld)",
                   BYTES_ARG(peer->host), status);
        diag_hint(diags, "the proxy must allow CONNECT to that host and port");
    } else {
        return false;
    }
    return true;
}

void
http_explain(CURL *curl, const struct http_peer *peer, const struct http_failure *failure,
             struct diag_list *diags)
{
    if (failure->result == CURLE_OPERATION_TIMEDOUT) {
        explain_timeout(curl, failure, diags);
    } else if ((peer->has_proxy && explain_proxy(curl, peer, failure, diags)) ||
               explain_tls(curl, peer, failure, diags) || explain_closed(peer, failure, diags)) {
        return;
    } else if (failure->result == CURLE_UNSUPPORTED_PROTOCOL) { /* "Received HTTP/0.9" */
        diag_error(diags, DIAG_REMOTE, "'%.*s' answers something that is not HTTP",
                   BYTES_ARG(peer->host));
        diag_hint(diags, peer->is_tls ? "correct the port in 'url'"
                                      : "correct the port in 'url', or write https://");
    } else {
        diag_error(diags, DIAG_REMOTE, "%s", failure->detail);
    }
}
