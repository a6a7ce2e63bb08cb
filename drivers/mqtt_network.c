/*
 * What Paho does not do about the network: say why a broker is not there, and send at once.
 *
 * Paho only tells that an attempt failed. Whether the name, the way, the port or a certificate is
 * at fault is found by trying it once more by hand, on the owner's thread. And it leaves Nagle's
 * algorithm on, with which the second of two messages waits for the first one's acknowledgement,
 * up to 40 ms.
 */
#define _GNU_SOURCE
#include "drivers/mqtt.h"

#include "drivers/mqtt_gate.h"
#include "drivers/mqtt_stream.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PROBE_TIMEOUT_MS = 2000, REFUSAL_TIMEOUT_MS = 500, FD_SEARCHED = 64 };

static int
finish_connect(int fd)
{
    struct pollfd writable = {.fd = fd, .events = POLLOUT};
    if (poll(&writable, 1, PROBE_TIMEOUT_MS) <= 0) {
        return ETIMEDOUT;
    }
    int error = 0;
    socklen_t size = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? errno : error;
}

static int
connect_once(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, address->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno;
    }
    int error = connect(fd, address->ai_addr, address->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        error = finish_connect(fd);
    }
    close(fd);
    return error;
}

bool
mqtt_explain_unreachable(const struct mqtt_address *address, struct buf *out)
{
    char *host = bytes_to_string(address->host);
    char port[8];
    snprintf(port, sizeof port, "%u", address->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int result = getaddrinfo(host, port, &hints, &found);
    int error = 0;
    if (result != 0) {
        buf_printf(out, "cannot resolve '%s': %s", host, gai_strerror(result));
    } else {
        for (const struct addrinfo *each = found; each != NULL; each = each->ai_next) {
            error = connect_once(each);
            if (error == 0) {
                break;
            }
        }
        freeaddrinfo(found);
    }
    if (error != 0) {
        buf_printf(out, "cannot reach %s port %s: %s", host, port, strerror(error));
    }
    free(host);
    return result != 0 || error != 0;
}

static void
suspect_certificate(const struct mqtt_options *options, struct buf *out)
{
    buf_printf(out, "; it may want a client certificate (%scertificate)", options->option_prefix);
}

/* Paho does not say why a handshake failed: the name did not match, or the broker hung up, as under
   TLS 1.3 it may when it misses a client certificate. */
static void
explain_handshake(const struct mqtt_options *options, struct buf *out)
{
    struct mqtt_stream *stream = NULL;
    if (mqtt_stream_open(&stream, options, PROBE_TIMEOUT_MS, out)) {
        struct pollfd readable = {.fd = mqtt_stream_fd(stream), .events = POLLIN};
        char byte;
        if (poll(&readable, 1, REFUSAL_TIMEOUT_MS) > 0) {
            mqtt_stream_read(stream, &byte, sizeof byte, out);
        }
        mqtt_stream_close(stream);
    }
    bool is_refused = out->size == 0 || strstr(buf_string(out), "alert") != NULL;
    if (out->size == 0) {
        buf_append_string(out, "TLS: the broker closed the connection in the handshake");
    }
    if (is_refused && options->certificate == NULL) {
        suspect_certificate(options, out);
    }
}

static bool
explain_gate(const struct mqtt_options *options, struct buf *out)
{
    mqtt_gate_explain(options->gate, out);
    if (options->certificate == NULL && strstr(buf_string(out), "alert") != NULL) {
        suspect_certificate(options, out);
    }
    return out->size > 0;
}

static void
explain(const struct mqtt_options *options, unsigned code, const char *text, const char *tls_error,
        struct buf *out)
{
    if (code != 0) {
        buf_printf(out, "the broker refuses: %s", mqtt_describe_code(code));
    } else if (options->gate != NULL && explain_gate(options, out)) {
        return;
    } else if (tls_error[0] != '\0') {
        buf_printf(out, "TLS: %s", tls_error);
    } else if (mqtt_explain_unreachable(&options->address, out)) {
        return;
    } else if (options->address.is_tls && strstr(text, "TCP/TLS") != NULL) {
        explain_handshake(options, out);
    } else if (strstr(text, "timeout") != NULL) {
        buf_printf(out, "no answer within %d s", MQTT_CONNECT_TIMEOUT_S);
    } else {
        buf_append_string(out, "the broker closed the connection before it answered");
        if (options->address.is_tls && options->certificate == NULL) {
            suspect_certificate(options, out);
        }
    }
}

static void
append_hint(const struct mqtt_options *options, unsigned code, struct buf *out)
{
    const char *prefix = options->option_prefix;
    switch (code) {
    case 4:
    case 134:
    case 5:
    case 135:
        buf_printf(out, " (%susername, %spassword)", prefix, prefix);
        break;
    case 2:
    case 133:
        buf_printf(out, " (%sclient_id)", prefix);
        break;
    default:
        break;
    }
}

void
mqtt_explain_failure(const struct mqtt_options *options, unsigned code, const char *text,
                     const char *tls_error, struct buf *out)
{
    explain(options, code, text, tls_error, out);
    append_hint(options, code, out);
}

static unsigned
port_of_peer(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } peer;
    socklen_t size = sizeof peer;
    if (getpeername(fd, &peer.any, &size) < 0) {
        return 0;
    }
    return peer.any.sa_family == AF_INET    ? ntohs(peer.v4.sin_port)
           : peer.any.sa_family == AF_INET6 ? ntohs(peer.v6.sin6_port)
                                            : 0;
}

void
mqtt_send_at_once(unsigned broker_port)
{
    for (int fd = 0; fd < FD_SEARCHED; fd++) {
        if (port_of_peer(fd) == broker_port) {
            int on = 1;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        }
    }
}

const char *
mqtt_describe_code(unsigned code)
{
    static const struct {
        unsigned code;
        const char *text;
    } codes[] = {
            {1, "unacceptable protocol version"},
            {2, "client id rejected"},
            {3, "broker unavailable"},
            {4, "bad user name or password"},
            {5, "not authorised"},
            {128, "refused without a reason"},
            {129, "malformed packet"},
            {130, "protocol error"},
            {131, "implementation specific error"},
            {132, "unsupported protocol version"},
            {133, "client id not valid"},
            {134, "bad user name or password"},
            {135, "not authorised"},
            {136, "broker unavailable"},
            {137, "broker busy"},
            {138, "banned"},
            {139, "broker shutting down"},
            {140, "bad authentication method"},
            {141, "keep-alive timeout"},
            {142, "session taken over"},
            {143, "topic filter not valid"},
            {144, "topic name not valid"},
            {145, "packet identifier in use"},
            {147, "receive maximum exceeded"},
            {148, "topic alias not valid"},
            {149, "packet too large"},
            {150, "message rate too high"},
            {151, "quota exceeded"},
            {152, "administrative action"},
            {153, "payload format not valid"},
            {154, "retained messages not supported"},
            {155, "quality of service not supported"},
            {156, "use another broker"},
            {157, "broker moved"},
            {158, "shared subscriptions not supported"},
            {159, "connection rate exceeded"},
            {160, "maximum connect time"},
            {161, "subscription identifiers not supported"},
            {162, "wildcard subscriptions not supported"},
            {MQTT_CODE_UNSENT, "the connection was lost"},
    };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (codes[i].code == code) {
            return codes[i].text;
        }
    }
    return "unknown reason";
}
