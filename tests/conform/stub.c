#define _GNU_SOURCE
#include "conform/stub.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/os.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct stub {
    int listener;
    int port;
    pthread_t thread;
    stub_answer_fn answer;
    void *context;
    _Atomic int connection; /* -1: none */
    _Atomic bool stopping;
    _Atomic unsigned connections;
    pthread_mutex_t lock; /* requests, count */
    struct stub_request **requests;
    size_t count, capacity;
};

static bool
receive(int fd, struct buf *in)
{
    ssize_t n = recv(fd, buf_reserve(in, 65536), 65536, 0);
    in->size += n > 0 ? (size_t)n : 0;
    return n > 0;
}

static size_t
head_size(struct bytes in)
{
    const char *end = memmem(in.data, in.size, "\r\n\r\n", 4);
    return end == NULL ? 0 : (size_t)(end - in.data) + 4;
}

static struct bytes
copy(struct bytes text)
{
    return bytes_of(bytes_to_string(text), text.size);
}

/* Reads one request off the connection; NULL when the client has closed. */
static struct stub_request *
read_request(struct stub *stub, int fd, struct buf *in)
{
    size_t head = 0;
    while ((head = in->size == 0 ? 0 : head_size(buf_bytes(in))) == 0) {
        if (!receive(fd, in)) {
            return NULL;
        }
    }
    struct stub_request whole = {.head = bytes_slice(buf_bytes(in), 0, head)};
    int64_t length = 0;
    bool has_length = bytes_to_int64(stub_header(&whole, "Content-Length"), &length);
    size_t body = has_length ? (size_t)length : 0;
    while (in->size < head + body) {
        if (!receive(fd, in)) {
            return NULL;
        }
    }
    struct stub_request *request = mem_new(struct stub_request);
    request->head = copy(bytes_slice(buf_bytes(in), 0, head));
    request->body = copy(bytes_slice(buf_bytes(in), head, head + body));
    request->at_us = os_posix.mono_us(&os_posix);
    memmove(in->data, in->data + head + body, in->size - head - body);
    in->size -= head + body;
    pthread_mutex_lock(&stub->lock);
    request->number = (unsigned)stub->count;
    stub->requests = mem_grow(stub->requests, stub->count, &stub->capacity,
                              sizeof *stub->requests);
    stub->requests[stub->count++] = request;
    pthread_mutex_unlock(&stub->lock);
    return request;
}

static void *
serve(void *context)
{
    struct stub *stub = context;
    while (!stub->stopping) {
        int fd = accept4(stub->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) {
            break;
        }
        stub->connection = fd;
        stub->connections++;
        struct buf in = {0};
        bool go_on = true;
        while (go_on && !stub->stopping) {
            struct stub_request *request = read_request(stub, fd, &in);
            go_on = request != NULL && stub->answer(stub, request);
        }
        stub->connection = -1;
        close(fd);
        buf_fini(&in);
    }
    return NULL;
}

struct stub *
stub_start(stub_answer_fn answer, void *context)
{
    struct stub *stub = mem_new(struct stub);
    stub->answer = answer;
    stub->context = context;
    stub->connection = -1;
    pthread_mutex_init(&stub->lock, NULL);
    stub->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    check(bind(stub->listener, (struct sockaddr *)&address, size) == 0);
    check(listen(stub->listener, 8) == 0);
    check(getsockname(stub->listener, (struct sockaddr *)&address, &size) == 0);
    stub->port = ntohs(address.sin_port);
    check(pthread_create(&stub->thread, NULL, serve, stub) == 0);
    return stub;
}

void
stub_stop(struct stub *stub)
{
    stub->stopping = true;
    shutdown(stub->listener, SHUT_RDWR);
    int fd = stub->connection;
    if (fd >= 0) {
        shutdown(fd, SHUT_RDWR);
    }
    pthread_join(stub->thread, NULL);
    close(stub->listener);
    for (size_t i = 0; i < stub->count; i++) {
        free((void *)(uintptr_t)stub->requests[i]->head.data);
        free((void *)(uintptr_t)stub->requests[i]->body.data);
        free(stub->requests[i]);
    }
    free(stub->requests);
    pthread_mutex_destroy(&stub->lock);
    free(stub);
}

void *
stub_context(struct stub *stub)
{
    return stub->context;
}

int
stub_port(const struct stub *stub)
{
    return stub->port;
}

static bool
send_bytes(struct stub *stub, struct bytes text)
{
    for (size_t done = 0; done < text.size;) {
        ssize_t n = send(stub->connection, text.data + done, text.size - done, MSG_NOSIGNAL);
        if (n <= 0 || stub->stopping) {
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

bool
stub_send(struct stub *stub, const char *text)
{
    return send_bytes(stub, bytes_of_string(text));
}

bool
stub_reply(struct stub *stub, int status, const char *headers, const char *body)
{
    struct buf out = {0};
    buf_printf(&out, "HTTP/1.1 %d Status\r\nContent-Length: %zu\r\n%s\r\n%s", status, strlen(body),
               headers, body);
    bool sent = send_bytes(stub, buf_bytes(&out));
    buf_fini(&out);
    return sent;
}

void
stub_reset(struct stub *stub)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(stub->connection, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

unsigned
stub_count(struct stub *stub)
{
    pthread_mutex_lock(&stub->lock);
    unsigned count = (unsigned)stub->count;
    pthread_mutex_unlock(&stub->lock);
    return count;
}

unsigned
stub_connections(struct stub *stub)
{
    return stub->connections;
}

const struct stub_request *
stub_request(struct stub *stub, unsigned number)
{
    pthread_mutex_lock(&stub->lock);
    check(number < stub->count);
    const struct stub_request *request = stub->requests[number];
    pthread_mutex_unlock(&stub->lock);
    return request;
}

struct bytes
stub_header(const struct stub_request *request, const char *name)
{
    struct bytes rest = request->head, line;
    while (bytes_split(&rest, '\n', &line)) {
        size_t colon = bytes_find(line, ':');
        if (bytes_equal_nocase(bytes_slice(line, 0, colon), bytes_of_string(name))) {
            return bytes_trim(bytes_slice(line, colon + 1, line.size));
        }
    }
    return BYTES("");
}
