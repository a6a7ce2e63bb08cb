/*
 * libmicrohttpd with one thread that polls. All limits are its options; nothing of a request is used
 * but its method and its path.
 */
#define _GNU_SOURCE
#include "http_server.h"

#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char METRICS_TYPE[] = "text/plain; version=0.0.4; charset=utf-8";
static const char TEXT_TYPE[] = "text/plain; charset=utf-8";

struct http_server {
    struct http_pages pages;
    struct MHD_Daemon *daemon;
    bool is_public;
};

/* ---- answers ---- */

/* Takes the text over. */
static enum MHD_Result
answer(struct MHD_Connection *connection, unsigned code, const char *type, struct buf *text)
{
    size_t size = text->size;
    char *body = buf_take_string(text);
    struct MHD_Response *response =
            MHD_create_response_from_buffer(size, body, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(body);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (code == MHD_HTTP_METHOD_NOT_ALLOWED) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    }
    enum MHD_Result result = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result
answer_path(const struct http_server *server, struct MHD_Connection *connection, const char *path)
{
    const struct http_pages *pages = &server->pages;
    struct buf text = {0};
    if (strcmp(path, "/metrics") == 0) {
        pages->metrics(pages->context, &text);
        return answer(connection, MHD_HTTP_OK, METRICS_TYPE, &text);
    }
    if (strcmp(path, "/healthz") == 0) {
        bool is_well = pages->health(pages->context, &text);
        return answer(connection, is_well ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, TEXT_TYPE,
                      &text);
    }
    buf_append_string(&text, "there is /metrics and /healthz\n");
    return answer(connection, MHD_HTTP_NOT_FOUND, TEXT_TYPE, &text);
}

/* Called once when the headers are there, then for each part of a body, then once more. */
static enum MHD_Result
on_request(void *context, struct MHD_Connection *connection, const char *path, const char *method,
           const char *version, const char *body, size_t *body_size, void **state)
{
    const struct http_server *server = context;
    struct buf text = {0};
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        buf_append_string(&text, "only GET\n");
        return answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED, TEXT_TYPE, &text);
    }
    if (*state == NULL) {
        *state = (void *)(uintptr_t)path; /* any pointer: the headers have been seen */
        return MHD_YES;
    }
    *body_size = 0; /* of a GET: not for us */
    return answer_path(server, connection, path);
}

/* ---- addresses ---- */

/* "127.0.0.1:9464" or "[::1]:9464"; free `*host` and `*port`. */
static bool
split_address(const char *address, char **host, char **port)
{
    struct bytes text = bytes_of_string(address);
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon == address || colon[1] == '\0') {
        return false;
    }
    struct bytes name = bytes_slice(text, 0, (size_t)(colon - address));
    if (name.data[0] == '[' && name.data[name.size - 1] == ']') {
        name = bytes_slice(name, 1, name.size - 1);
    } else if (bytes_find(name, ':') < name.size) {
        return false;
    }
    struct bytes port_text = bytes_of_string(colon + 1);
    int64_t number;
    if (!bytes_to_int64(port_text, &number) || number < 1 || number > 65535) {
        return false; /* getaddrinfo() would take 99999 for another */
    }
    *host = bytes_to_string(name);
    *port = bytes_to_string(port_text);
    return true;
}

static void
complain(const char *address, const char *why, struct diag_list *diags)
{
    diag_error(diags, DIAG_INVALID, "'%s' is no address to listen on: %s", address, why);
    diag_hint(diags, "ADDRESS:PORT, as in 127.0.0.1:9464 or [::1]:9464");
}

static struct addrinfo *
resolve(const char *address, struct diag_list *diags)
{
    const struct addrinfo wanted = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                                    .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char *host = NULL, *port = NULL;
    if (!split_address(address, &host, &port)) {
        complain(address, "address or port is missing", diags);
        return NULL;
    }
    const char *name = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    int result = getaddrinfo(name, port, &wanted, &found);
    if (result != 0) {
        complain(address, gai_strerror(result), diags);
        found = NULL;
    }
    free(host);
    free(port);
    return found;
}

static bool
is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;
    return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

/* A socket that listens there; negative errno. libmicrohttpd itself would not say what failed. */
static int
listen_on(const struct addrinfo *where)
{
    int one = 1;
    int fd = socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(fd, where->ai_addr, where->ai_addrlen) < 0 ||
        listen(fd, HTTP_CONNECTIONS_MAX) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

/* ---- life ---- */

/* Complaints about requests, and nothing that an operator could act on. */
static void
hear(void *context, const char *format, va_list arguments)
{
    struct buf text = {0};
    buf_vprintf(&text, format, arguments);
    log_debug("http: %s", buf_string(&text));
    buf_fini(&text);
}

static bool
start_daemon(struct http_server *server, int fd)
{
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ERROR_LOG |
                     MHD_USE_ITC;
    server->daemon = MHD_start_daemon(
            flags, 0, NULL, NULL, on_request, server, MHD_OPTION_EXTERNAL_LOGGER, hear, NULL,
            MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
            (unsigned)HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_IDLE_S,
            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_REQUEST_BYTES_MAX, MHD_OPTION_END);
    return server->daemon != NULL;
}

bool
http_server_start(struct http_server **out, const char *address, const struct http_pages *pages,
                  struct diag_list *diags)
{
    struct addrinfo *where = resolve(address, diags);
    if (where == NULL) {
        return false;
    }
    struct http_server *server = mem_new(struct http_server);
    server->pages = *pages;
    server->is_public = !is_loopback(where->ai_addr);
    int fd = listen_on(where);
    freeaddrinfo(where);
    if (fd < 0 || !start_daemon(server, fd)) {
        diag_io_error(diags, fd < 0 ? -fd : ENOMEM, "cannot listen on '%s'", address);
        diag_hint(diags, "another program may listen there; choose another port for the option "
                         "'http'");
        if (fd >= 0) {
            close(fd);
        }
        free(server);
        return false;
    }
    *out = server;
    return true;
}

void
http_server_stop(struct http_server *server)
{
    if (server != NULL) {
        MHD_stop_daemon(server->daemon); /* closes the socket too */
        free(server);
    }
}

bool
http_server_is_public(const struct http_server *server)
{
    return server->is_public;
}
