/*
 * The HTTP client: one libcurl easy handle, driven by its callbacks.
 *
 * Path. http_client_send() prepares the handle and performs; libcurl calls back on the same thread:
 *   open_socket  before each connection: the address check
 *   on_header    each header line: counts bytes, notices the end of the final header block
 *   on_body      keeps the first MiB, then ends the transfer
 *   on_progress  about once a second and on each move: stalls, and the time after the answer
 * A transfer that a callback ends after the final headers is an answer, not an error.
 *
 * Invariants. Nothing of a request stays in the handle but the connection: the per-request headers
 * are freed before send returns. The settings' texts are copied by libcurl (setopt strings) or
 * here (header list).
 */
#define _GNU_SOURCE
#include "curl.h"

#include "base/mem.h"
#include "base/os.h"
#include "curl_explain.h"
#include "http_address.h"
#include "http_header.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

enum {
    BODY_MAX_BYTES = 1024 * 1024, /* an answer may have a line a record */
    HEADER_MAX_BYTES = 64 * 1024,
    AFTER_ANSWER_US = 2 * 1000 * 1000,
    STALL_US = 5 * 1000 * 1000,
    STALL_MIN_BYTES = 50,
    CONNECTION_LIFETIME_S = 60, /* so that a certificate replaced on disk is used within this */
};

struct http_client {
    CURL *curl;
    struct curl_slist *headers;
    struct curl_slist *pinned;
    bool check_addresses;
    struct http_peer peer; /* its text in `arena` */
    int64_t connect_timeout_ms;
    struct arena arena;

    /* of the request under way */
    struct buf body;
    size_t header_bytes;
    bool answered;
    int64_t answered_us;
    int64_t window_start_us; /* of the stall check */
    curl_off_t window_bytes;
    const char *stopped; /* why a callback ended the transfer, or NULL */
    char refused[INET6_ADDRSTRLEN];
    char error[CURL_ERROR_SIZE];
};

/* ---- callbacks ---- */

static curl_socket_t
open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct http_client *client = context;
    if (client->check_addresses && http_address_is_private(&address->addr)) {
        const struct sockaddr *any = &address->addr;
        const void *raw = any->sa_family == AF_INET
                                  ? (const void *)&((const struct sockaddr_in *)any)->sin_addr
                                  : (const void *)&((const struct sockaddr_in6 *)any)->sin6_addr;
        inet_ntop(any->sa_family, raw, client->refused, sizeof client->refused);
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t
on_header(char *data, size_t size, size_t count, void *context)
{
    struct http_client *client = context;
    size_t bytes = size * count;
    client->header_bytes += bytes;
    if (client->header_bytes > HEADER_MAX_BYTES) {
        client->stopped = "the answer's headers are above 64 KiB";
        return 0;
    }
    long status = 0;
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
    bool block_ends = (bytes == 2 && data[0] == '\r') || (bytes == 1 && data[0] == '\n');
    if (block_ends && status >= 200 && !client->answered) {
        client->answered = true;
        client->answered_us = os_posix.mono_us(&os_posix);
    }
    return bytes;
}

static size_t
on_body(char *data, size_t size, size_t count, void *context)
{
    struct http_client *client = context;
    size_t room = BODY_MAX_BYTES - client->body.size;
    buf_append(&client->body, bytes_slice(bytes_of(data, size * count), 0, room));
    return size * count <= room ? size * count : 0;
}

/* True when fewer than STALL_MIN_BYTES have moved in a window of STALL_US. */
static bool
has_stalled(struct http_client *client, int64_t now_us, curl_off_t moved)
{
    if (now_us - client->window_start_us < STALL_US) {
        return false;
    }
    bool stalled = moved - client->window_bytes < STALL_MIN_BYTES;
    client->window_start_us = now_us;
    client->window_bytes = moved;
    return stalled;
}

static int
on_progress(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
            curl_off_t up)
{
    struct http_client *client = context;
    int64_t now_us = os_posix.mono_us(&os_posix);
    if (client->answered) {
        return now_us - client->answered_us > AFTER_ANSWER_US;
    }
    bool peer_thinks = client->header_bytes == 0 && up >= up_total;
    if (has_stalled(client, now_us, up + (curl_off_t)client->header_bytes) && !peer_thinks) {
        client->stopped = "fewer than 50 bytes moved in 5 s";
        return 1;
    }
    return 0;
}

/* ---- settings ---- */

/* A refused line is named by its number, not shown: headers hold secrets. */
static bool
add_header(struct http_client *client, struct bytes line, unsigned number, struct diag_list *diags)
{
    size_t colon = bytes_find(line, ':');
    struct bytes name = bytes_slice(line, 0, colon);
    if (colon == line.size || !http_header_is_name(name) || http_header_has_control(line)) {
        diag_error(diags, DIAG_INVALID, "line %u of 'headers' is not 'Name: value'", number);
        return false;
    }
    if (http_header_frames(name)) {
        diag_error(diags, DIAG_INVALID, "header '%.*s' cannot be set", BYTES_ARG(name));
        return false;
    }
    char *text = bytes_to_string(line);
    client->headers = curl_slist_append(client->headers, text);
    explicit_bzero(text, line.size);
    free(text);
    return true;
}

static bool
add_headers(struct http_client *client, const char *text, struct diag_list *diags)
{
    struct bytes rest = bytes_of_string(text), line, part;
    unsigned number = 0;
    while (bytes_split(&rest, '\n', &line)) {
        while (bytes_split(&line, '|', &part)) {
            struct bytes header = bytes_trim(part);
            number++;
            if (header.size > 0 && !add_header(client, header, number, diags)) {
                return false;
            }
        }
    }
    return true;
}

static bool
host_is_literal(struct bytes host)
{
    char *text = bytes_to_string(host.size > 2 && host.data[0] == '['
                                         ? bytes_slice(host, 1, host.size - 1)
                                         : host);
    char *zone = strchr(text, '%');
    if (zone != NULL) {
        *zone = '\0';
    }
    unsigned char address[sizeof(struct in6_addr)];
    bool literal = inet_pton(AF_INET, text, address) == 1 ||
                   inet_pton(AF_INET6, text, address) == 1 || strcasecmp(text, "localhost") == 0;
    free(text);
    return literal;
}

static bool
take_part(CURLU *url, CURLUPart part, struct arena *arena, struct bytes *out)
{
    char *text = NULL;
    bool present = curl_url_get(url, part, &text, 0) == CURLUE_OK && text[0] != '\0';
    *out = present ? arena_copy(arena, bytes_of_string(text)) : BYTES("");
    curl_free(text);
    return present;
}

/* An option that holds an URL. */
struct url_option {
    const char *name, *text;
    unsigned flags;                       /* of curl_url_set() */
    const char *hint, *credentials_hint;  /* how to write it; where a user name belongs */
};

/* Reads host and scheme, and refuses what must not be in an URL of a rule file. */
static bool
read_url(const struct url_option *option, struct arena *arena, struct bytes *host,
         struct bytes *scheme, struct diag_list *diags)
{
    CURLU *url = curl_url();
    check(url != NULL);
    CURLUcode result = curl_url_set(url, CURLUPART_URL, option->text,
                                    CURLU_NON_SUPPORT_SCHEME | option->flags);
    struct bytes user = {0};
    bool has_user = take_part(url, CURLUPART_USER, arena, &user);
    bool good = false;
    if (result != CURLUE_OK || !take_part(url, CURLUPART_HOST, arena, host)) {
        diag_error(diags, DIAG_INVALID, "'%s' is not an URL: %s", option->name,
                   curl_url_strerror(result));
        diag_hint(diags, "write it as %s", option->hint);
    } else if (!take_part(url, CURLUPART_SCHEME, arena, scheme) ||
               (!bytes_equal_string(*scheme, "http") && !bytes_equal_string(*scheme, "https"))) {
        diag_error(diags, DIAG_INVALID, "'%s' has the scheme '%.*s', expected https or http",
                   option->name, BYTES_ARG(*scheme));
    } else if (has_user) {
        diag_error(diags, DIAG_INVALID, "'%s' holds a user name", option->name);
        diag_hint(diags, "use the options %s, which are not logged", option->credentials_hint);
    } else if (strstr(option->text, "${") != NULL) {
        diag_error(diags, DIAG_INVALID, "'%s' holds a template, but it must be literal",
                   option->name);
    } else {
        good = true;
    }
    curl_url_cleanup(url);
    return good;
}

static bool
check_urls(struct http_client *client, const struct http_settings *settings,
           struct diag_list *diags)
{
    struct url_option url = {.name = "url", .text = settings->url, .hint = "https://host/path",
                             .credentials_hint = "'username' and 'password'"};
    struct url_option proxy = {.name = "proxy", .text = settings->proxy, .hint = "http://host:port",
                               .flags = CURLU_GUESS_SCHEME,
                               .credentials_hint = "'proxy_username' and 'proxy_password'"};
    struct bytes scheme, proxy_host, proxy_scheme;
    if (!read_url(&url, &client->arena, &client->peer.host, &scheme, diags) ||
        (settings->proxy != NULL &&
         !read_url(&proxy, &client->arena, &proxy_host, &proxy_scheme, diags))) {
        return false;
    }
    client->peer.is_tls = bytes_equal_string(scheme, "https");
    return true;
}

static bool
check_credentials(const struct http_settings *settings, struct diag_list *diags)
{
    if (settings->token != NULL && settings->username != NULL) {
        diag_error(diags, DIAG_INVALID, "both 'token' and 'username' are set");
    } else if (settings->token != NULL &&
               http_header_has_control(bytes_of_string(settings->token))) {
        diag_error(diags, DIAG_INVALID, "'token' holds control characters");
    } else if (settings->password != NULL && settings->username == NULL) {
        diag_error(diags, DIAG_INVALID, "'password' is set without 'username'");
    } else if (settings->proxy_password != NULL && settings->proxy_username == NULL) {
        diag_error(diags, DIAG_INVALID, "'proxy_password' is set without 'proxy_username'");
    } else if (settings->proxy_username != NULL && settings->proxy == NULL) {
        diag_error(diags, DIAG_INVALID, "'proxy_username' is set without 'proxy'");
    } else if ((settings->key != NULL) != (settings->certificate != NULL)) {
        diag_error(diags, DIAG_INVALID, "'certificate' and 'key' are set only together");
    } else {
        return true;
    }
    return false;
}

static bool
check_files(const struct http_settings *settings, struct diag_list *diags)
{
    const char *const paths[] = {settings->ca, settings->certificate, settings->key};
    for (size_t i = 0; i < 3; i++) {
        if (paths[i] != NULL && access(paths[i], R_OK) != 0) {
            diag_error(diags, DIAG_IO, "cannot read '%s'", paths[i]);
            return false;
        }
    }
    return true;
}

static void
set_transport(struct http_client *client, const struct http_settings *settings)
{
    CURL *curl = client->curl;
    curl_easy_setopt(curl, CURLOPT_URL, settings->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "headgate");
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)settings->connect_timeout_ms);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L); /* close does not wait for a stuck resolver */
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXCONNECTS, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXLIFETIME_CONN, (long)CONNECTION_LIFETIME_S);
    curl_easy_setopt(curl, CURLOPT_CA_CACHE_TIMEOUT, (long)CONNECTION_LIFETIME_S);
    curl_easy_setopt(curl, CURLOPT_CERTINFO, 1L); /* for http_explain() */
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (settings->ca != NULL) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, settings->ca);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }
    curl_easy_setopt(curl, CURLOPT_SSLCERT, settings->certificate);
    curl_easy_setopt(curl, CURLOPT_SSLKEY, settings->key);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, settings->insecure ? 0L : 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, settings->insecure ? 0L : 2L);
}

/* Never those of the environment: rule files say where records go. */
static void
set_proxy(CURL *curl, const struct http_settings *settings)
{
    curl_easy_setopt(curl, CURLOPT_PROXY, settings->proxy == NULL ? "" : settings->proxy);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "");
    curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(curl, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE); /* no secrets to it */
    if (settings->proxy_username != NULL) {
        curl_easy_setopt(curl, CURLOPT_PROXYAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(curl, CURLOPT_PROXYUSERNAME, settings->proxy_username);
        curl_easy_setopt(curl, CURLOPT_PROXYPASSWORD,
                         settings->proxy_password == NULL ? "" : settings->proxy_password);
    }
}

static void
set_credentials(CURL *curl, const struct http_settings *settings)
{
    if (settings->username != NULL) {
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(curl, CURLOPT_USERNAME, settings->username);
        curl_easy_setopt(curl, CURLOPT_PASSWORD,
                         settings->password == NULL ? "" : settings->password);
    } else if (settings->token != NULL) {
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, settings->token);
    }
}

static void
set_callbacks(struct http_client *client)
{
    CURL *curl = client->curl;
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->error);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, client);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, client);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, client);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, client);
}

/* libcurl's "HOST:PORT:CONNECT-TO-HOST:CONNECT-TO-PORT", empty for any and the same. */
static void
pin_address(struct http_client *client, const char *address)
{
    struct buf row = {0};
    buf_printf(&row, "::%s:", address);
    client->pinned = curl_slist_append(NULL, buf_string(&row));
    curl_easy_setopt(client->curl, CURLOPT_CONNECT_TO, client->pinned);
    buf_fini(&row);
}

bool
http_client_new(struct http_client **out, const struct http_settings *settings,
                struct diag_list *diags)
{
    struct http_client *client = mem_new(struct http_client);
    client->curl = curl_easy_init();
    check(client->curl != NULL);
    bool good = check_urls(client, settings, diags) && check_credentials(settings, diags) &&
                check_files(settings, diags) &&
                (settings->headers == NULL || add_headers(client, settings->headers, diags));
    if (!good) {
        http_client_free(client);
        return false;
    }
    client->peer.has_ca = settings->ca != NULL;
    client->peer.has_certificate = settings->certificate != NULL;
    client->peer.has_proxy = settings->proxy != NULL;
    client->connect_timeout_ms = settings->connect_timeout_ms;
    client->check_addresses = !settings->allow_private && settings->proxy == NULL &&
                              !host_is_literal(client->peer.host);
    client->headers = curl_slist_append(client->headers, "Expect:"); /* no 1 s wait for a "100" */
    set_transport(client, settings);
    set_proxy(client->curl, settings);
    set_credentials(client->curl, settings);
    set_callbacks(client);
    if (settings->pinned_address != NULL) {
        pin_address(client, settings->pinned_address);
    }
    *out = client;
    return true;
}

void
http_client_free(struct http_client *client)
{
    if (client != NULL) {
        curl_easy_cleanup(client->curl);
        curl_slist_free_all(client->headers);
        curl_slist_free_all(client->pinned);
        buf_fini(&client->body);
        arena_fini(&client->arena);
        free(client);
    }
}

/* ---- one request ---- */

static void
begin(struct http_client *client)
{
    buf_clear(&client->body);
    client->header_bytes = 0;
    client->answered = false;
    client->window_start_us = os_posix.mono_us(&os_posix);
    client->window_bytes = 0;
    client->stopped = NULL;
    client->refused[0] = '\0';
    client->error[0] = '\0';
}

static struct curl_slist *
join_headers(const struct curl_slist *common, const char *const *more)
{
    struct curl_slist *all = NULL;
    for (const struct curl_slist *row = common; row != NULL; row = row->next) {
        all = curl_slist_append(all, row->data);
    }
    for (; more != NULL && *more != NULL; more++) {
        all = curl_slist_append(all, *more);
    }
    return all;
}

/* Performs with SIGPIPE blocked: OpenSSL writes to sockets that the peer may have closed. */
static CURLcode
perform(CURL *curl)
{
    sigset_t pipe_set, old_set, pending;
    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    sigpending(&pending);
    bool was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_set, &old_set);
    CURLcode result = curl_easy_perform(curl);
    const struct timespec now = {0};
    while (!was_pending && sigtimedwait(&pipe_set, NULL, &now) == SIGPIPE) {
    }
    pthread_sigmask(SIG_SETMASK, &old_set, NULL);
    return result;
}

static void
explain(struct http_client *client, CURLcode result, int64_t timeout_ms, struct diag_list *diags)
{
    if (client->refused[0] != '\0') {
        diag_error(diags, DIAG_REMOTE, "'%.*s' resolves to %s, which is not a public address",
                   BYTES_ARG(client->peer.host), client->refused);
        diag_hint(diags, "set 'allow_private' = 'true', or write the address itself in 'url'");
    } else if (client->stopped != NULL) {
        diag_error(diags, DIAG_REMOTE, "%s", client->stopped);
    } else {
        /* libcurl keeps the first thing it notes, here that the other side is gone already. */
        bool is_told = client->error[0] != '\0' && strstr(client->error, "getpeername") == NULL;
        struct http_failure failure = {
                .result = result, .detail = is_told ? client->error : curl_easy_strerror(result),
                .timeout_ms = timeout_ms, .connect_timeout_ms = client->connect_timeout_ms};
        http_explain(client->curl, &client->peer, &failure, diags);
    }
}

bool
http_client_send(struct http_client *client, const struct http_request *request,
                 struct http_reply *reply, struct diag_list *diags)
{
    check(request->timeout_ms > 0);
    begin(client);
    CURL *curl = client->curl;
    struct curl_slist *headers = join_headers(client->headers, request->headers);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    if (request->body.data != NULL) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body.data);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.size);
    } else {
        curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    CURLcode result = perform(curl);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    if (!client->answered) {
        explain(client, result, request->timeout_ms, diags);
        return false;
    }
    client->peer.has_answered = true;
    long status = 0;
    curl_off_t retry_after_s = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &retry_after_s);
    *reply = (struct http_reply){.status = (int)status,
                                 .retry_after_ms = (int64_t)retry_after_s * 1000,
                                 .body = buf_bytes(&client->body),
                                 .is_cut = result != CURLE_OK};
    return true;
}
