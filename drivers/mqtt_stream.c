/*
 * TCP by poll(), TLS by OpenSSL on the same descriptor.
 *
 * Certificates are read at each connect, so new files count from the next connection on. TLS 1.2
 * is the least. A refused client certificate shows only after the handshake, as an alert on the
 * first read (TLS 1.3), so reading and writing explain their failures too.
 */
#define _GNU_SOURCE
#include "drivers/mqtt_stream.h"

#include "base/mem.h"
#include "base/os.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct mqtt_stream {
    int fd;
    char *host;
    SSL_CTX *context; /* NULL: plain TCP */
    SSL *tls;
    short wanted; /* what TLS waits for besides what its user does */
};

/* ---- TCP ---- */

static int64_t
now_ms(void)
{
    return os_posix.mono_us(&os_posix) / 1000;
}

static bool
wait_for(int fd, short events, int64_t until_ms)
{
    int64_t left_ms = until_ms - now_ms();
    struct pollfd pollfd = {.fd = fd, .events = events};
    int count;
    do {
        count = poll(&pollfd, 1, left_ms < 0 ? 0 : (int)left_ms);
    } while (count < 0 && errno == EINTR);
    return count > 0;
}

static int
connect_to(const struct addrinfo *address, int64_t until_ms)
{
    int fd = socket(address->ai_family, address->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    int error = connect(fd, address->ai_addr, address->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        socklen_t size = sizeof error;
        if (!wait_for(fd, POLLOUT, until_ms) ||
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) {
            error = ETIMEDOUT;
        }
    }
    if (error != 0) {
        close(fd);
        return -1;
    }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* writes are groups already */
    return fd;
}

static int
connect_tcp(const struct mqtt_address *address, int64_t until_ms)
{
    char *host = bytes_to_string(address->host);
    char port[8];
    snprintf(port, sizeof port, "%u", address->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int fd = -1;
    if (getaddrinfo(host, port, &hints, &found) == 0) {
        for (const struct addrinfo *each = found; each != NULL && fd < 0; each = each->ai_next) {
            fd = connect_to(each, until_ms);
        }
        freeaddrinfo(found);
    }
    free(host);
    return fd;
}

/* ---- TLS ---- */

/* The newest of OpenSSL's errors in its words, and why a certificate was not believed. */
static void
explain_tls(const struct mqtt_stream *stream, struct buf *reason)
{
    unsigned long code = ERR_peek_last_error();
    const char *text = code == 0 ? NULL : ERR_reason_error_string(code);
    buf_printf(reason, "TLS: %s", text == NULL ? "the broker closed the connection" : text);
    long verified = stream->tls == NULL ? X509_V_OK : SSL_get_verify_result(stream->tls);
    if (verified == X509_V_ERR_HOSTNAME_MISMATCH || verified == X509_V_ERR_IP_ADDRESS_MISMATCH) {
        buf_clear(reason);
        buf_printf(reason, "TLS: the broker's certificate is not for host '%s'", stream->host);
    } else if (verified != X509_V_OK) {
        buf_printf(reason, ": %s", X509_verify_cert_error_string(verified));
    }
    ERR_clear_error();
}

static bool
load_certificates(SSL_CTX *context, const struct mqtt_options *options)
{
    bool is_loaded = options->ca != NULL
                             ? SSL_CTX_load_verify_locations(context, options->ca, NULL) == 1
                             : SSL_CTX_set_default_verify_paths(context) == 1;
    if (is_loaded && options->certificate != NULL) {
        const char *key = options->key != NULL ? options->key : options->certificate;
        is_loaded = SSL_CTX_use_certificate_chain_file(context, options->certificate) == 1 &&
                    SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1 &&
                    SSL_CTX_check_private_key(context) == 1;
    }
    return is_loaded;
}

/* Which name or address the certificate must be for. */
static bool
set_host(SSL *tls, const char *host)
{
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), host) == 1) {
        return true;
    }
    ERR_clear_error(); /* it is no address but a name */
    return SSL_set1_host(tls, host) == 1 && SSL_set_tlsext_host_name(tls, host) == 1;
}

static bool
prepare_tls(struct mqtt_stream *stream, const struct mqtt_options *options)
{
    stream->context = SSL_CTX_new(TLS_client_method());
    if (stream->context == NULL) {
        return false;
    }
    SSL_CTX_set_min_proto_version(stream->context, TLS1_2_VERSION);
    SSL_CTX_set_mode(stream->context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                              SSL_MODE_AUTO_RETRY);
    if (!load_certificates(stream->context, options)) {
        return false;
    }
    stream->tls = SSL_new(stream->context);
    if (stream->tls == NULL || SSL_set_fd(stream->tls, stream->fd) != 1 ||
        !set_host(stream->tls, stream->host)) {
        return false;
    }
    SSL_set_verify(stream->tls, options->is_insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    return true;
}

static bool
shake_hands(struct mqtt_stream *stream, int64_t until_ms)
{
    for (;;) {
        int result = SSL_connect(stream->tls);
        if (result == 1) {
            return true;
        }
        int error = SSL_get_error(stream->tls, result);
        short events = error == SSL_ERROR_WANT_READ    ? POLLIN
                       : error == SSL_ERROR_WANT_WRITE ? POLLOUT
                                                       : 0;
        if (events == 0 || !wait_for(stream->fd, events, until_ms)) {
            return false;
        }
    }
}

/* ---- both ---- */

bool
mqtt_stream_open(struct mqtt_stream **out, const struct mqtt_options *options, int64_t timeout_ms,
                 struct buf *reason)
{
    int64_t until_ms = now_ms() + timeout_ms;
    int fd = connect_tcp(&options->address, until_ms);
    if (fd < 0) {
        return false;
    }
    struct mqtt_stream *stream = mem_new(struct mqtt_stream);
    stream->fd = fd;
    stream->host = bytes_to_string(options->address.host);
    if (options->address.is_tls) {
        ERR_clear_error();
        if (!prepare_tls(stream, options) || !shake_hands(stream, until_ms)) {
            explain_tls(stream, reason);
            mqtt_stream_close(stream);
            return false;
        }
    }
    *out = stream;
    return true;
}

void
mqtt_stream_close(struct mqtt_stream *stream)
{
    if (stream == NULL) {
        return;
    }
    if (stream->tls != NULL) {
        SSL_shutdown(stream->tls); /* says goodbye if that is possible at once */
        SSL_free(stream->tls);
        ERR_clear_error();
    }
    SSL_CTX_free(stream->context);
    close(stream->fd);
    free(stream->host);
    free(stream);
}

int
mqtt_stream_fd(const struct mqtt_stream *stream)
{
    return stream->fd;
}

short
mqtt_stream_events(const struct mqtt_stream *stream)
{
    return stream->wanted;
}

static ssize_t
judge(struct mqtt_stream *stream, int result, struct buf *reason)
{
    stream->wanted = 0;
    if (result > 0) {
        return result;
    }
    switch (SSL_get_error(stream->tls, result)) {
    case SSL_ERROR_WANT_READ:
        stream->wanted = POLLIN;
        return MQTT_STREAM_WAIT;
    case SSL_ERROR_WANT_WRITE:
        stream->wanted = POLLOUT;
        return MQTT_STREAM_WAIT;
    case SSL_ERROR_ZERO_RETURN:
        return MQTT_STREAM_END;
    case SSL_ERROR_SSL:
        explain_tls(stream, reason);
        return MQTT_STREAM_FAILED;
    default:
        ERR_clear_error();
        return MQTT_STREAM_FAILED;
    }
}

static ssize_t
judge_plain(ssize_t result)
{
    if (result >= 0) {
        return result;
    }
    bool is_soon = errno == EAGAIN || errno == EINTR;
    return is_soon ? MQTT_STREAM_WAIT : MQTT_STREAM_FAILED;
}

ssize_t
mqtt_stream_read(struct mqtt_stream *stream, void *out, size_t size, struct buf *reason)
{
    if (stream->tls == NULL) {
        return judge_plain(recv(stream->fd, out, size, 0));
    }
    return judge(stream, SSL_read(stream->tls, out, (int)size), reason);
}

ssize_t
mqtt_stream_write(struct mqtt_stream *stream, struct bytes bytes, struct buf *reason)
{
    if (stream->tls == NULL) {
        return judge_plain(send(stream->fd, bytes.data, bytes.size, MSG_NOSIGNAL));
    }
    size_t size = bytes.size > INT32_MAX ? INT32_MAX : bytes.size;
    return judge(stream, SSL_write(stream->tls, bytes.data, (int)size), reason);
}
