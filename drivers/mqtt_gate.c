/*
 * One thread, one connection at a time:
 *
 *   ACCEPT --Paho connects--> CONNECT --broker answers--> RELAY --either end--> ACCEPT
 *
 * What the broker sends passes through unread. What Paho sends is sorted by mqtt_hold. When one
 * side takes nothing, nothing is read from the other. When the broker's end closes, what it said
 * before is still handed to Paho, and acknowledgements that wait are forgotten: the broker will
 * send those messages again. When Paho's end closes, what waits has LINGER_MS to become safe, so
 * that a goodbye leaves nothing to be sent again.
 *
 * TLS ends here, because inside of it the gate would see no PUBACK. So the port on 127.0.0.1 leads
 * into an authenticated connection; therefore a connection that does not come from a socket of
 * this very process is closed unread.
 *
 * Threads. `lock` guards `reason` and `is_linked`. `released` and `is_holding` are a pair: the gate
 * sets `is_holding` and then reads `released`; the owner writes `released` and then reads
 * `is_holding`; so one of the two sees the other, and under load a release costs no system call
 * while nothing waits.
 */
#define _GNU_SOURCE
#include "drivers/mqtt_gate.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "drivers/mqtt_hold.h"
#include "drivers/mqtt_stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONNECT_TIMEOUT_MS = 8000, /* below Paho's, so that the reason is known first */
    LINGER_MS = 400,
    READ_BYTES = 64 * 1024,
    UP_BYTES_MAX = 1024 * 1024, /* towards the broker; above it Paho has to wait */
    FD_SEARCHED = 256,
    PAUSE_MS = 100, /* after accept() failed */
    NOTES = 4096,   /* packet ids remembered: more than a broker of MQTT 5 may have in flight */
    PACKET_BITS = 16,
};

struct mqtt_gate {
    struct mqtt_options options;
    struct mqtt_gate_events events;
    int listen_fd;
    int wake_fd;
    struct sockaddr_in address;

    _Atomic uint64_t notes[NOTES]; /* by packet id: the count it needs, and the id below it */
    _Atomic uint64_t released;
    _Atomic bool is_holding;
    _Atomic int64_t clear_us; /* when it last ceased to hold */

    pthread_mutex_t lock;
    pthread_cond_t unlinked;
    bool is_linked;
    struct buf reason;
};

/* One connection through the gate; the gate's thread's. */
struct link {
    struct mqtt_gate *gate;
    int client;
    struct mqtt_stream *broker;
    struct mqtt_hold hold;
    char *down; /* READ_BYTES from the broker */
    size_t down_size;
    size_t down_sent;
    char *up; /* READ_BYTES from Paho */
    bool is_client_done;
    bool is_broker_done;
    int64_t linger_until_us;
    struct buf reason;
};

static int64_t
now_us(void)
{
    return os_posix.mono_us(&os_posix);
}

/* ---- Paho's connection ---- */

/* Whether the other end of this loopback connection is a socket of ours. */
static bool
is_from_here(const struct mqtt_gate *gate, int client)
{
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    if (getpeername(client, (struct sockaddr *)&peer, &size) < 0) {
        return false;
    }
    for (int fd = 0; fd < FD_SEARCHED; fd++) {
        struct sockaddr_in here, there;
        size = sizeof here;
        socklen_t there_size = sizeof there;
        if (fd != client && getsockname(fd, (struct sockaddr *)&here, &size) == 0 &&
            getpeername(fd, (struct sockaddr *)&there, &there_size) == 0 &&
            here.sin_family == AF_INET && here.sin_port == peer.sin_port &&
            here.sin_addr.s_addr == peer.sin_addr.s_addr &&
            there.sin_family == AF_INET && there.sin_port == gate->address.sin_port) {
            return true;
        }
    }
    return false;
}

static int
accept_client(struct mqtt_gate *gate)
{
    for (;;) {
        int client = accept4(gate->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client < 0) {
            poll(NULL, 0, errno == EINTR ? 0 : PAUSE_MS);
            continue;
        }
        if (is_from_here(gate, client)) {
            int on = 1;
            setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            return client;
        }
        log_warning("refused a connection of another process to the ack gate");
        close(client);
    }
}

/* ---- the relay ---- */

/* What a PUBACK of `packet` has to wait for. */
static uint64_t
need_of(void *context, unsigned packet)
{
    struct mqtt_gate *gate = context;
    uint64_t note = atomic_load(&gate->notes[packet % NOTES]);
    bool is_known = packet != 0 && (note & ((1U << PACKET_BITS) - 1)) == packet;
    return is_known ? note >> PACKET_BITS : gate->events.taken(gate->events.context);
}

static void
read_client(struct link *link)
{
    struct mqtt_gate *gate = link->gate;
    ssize_t size = recv(link->client, link->up, READ_BYTES, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (size <= 0) {
        link->is_client_done = true;
        link->linger_until_us = now_us() + (int64_t)LINGER_MS * 1000;
        return;
    }
    size_t before = link->hold.held.size;
    if (!mqtt_hold_feed(&link->hold, bytes_of(link->up, (size_t)size),
                        &(struct mqtt_hold_needs){gate, need_of})) {
        log_error("the ack gate was sent something that is not MQTT; closing the connection");
        link->is_broker_done = true;
    }
    if (link->hold.held.size > before) {
        atomic_store(&gate->is_holding, true);
        gate->events.waiting(gate->events.context);
    }
}

static void
write_broker(struct link *link)
{
    mqtt_hold_release(&link->hold, atomic_load(&link->gate->released));
    if (link->hold.held.size == 0 && atomic_load(&link->gate->is_holding)) {
        atomic_store(&link->gate->clear_us, now_us());
        atomic_store(&link->gate->is_holding, false);
    }
    while (link->hold.out.size > 0 && !link->is_broker_done) {
        ssize_t size = mqtt_stream_write(link->broker, buf_bytes(&link->hold.out), &link->reason);
        if (size > 0) {
            mqtt_hold_sent(&link->hold, (size_t)size);
        } else if (size == MQTT_STREAM_WAIT) {
            return;
        } else {
            link->is_broker_done = true;
        }
    }
}

/* False: Paho takes no more for now. */
static bool
write_client(struct link *link)
{
    while (link->down_sent < link->down_size && !link->is_client_done) {
        ssize_t size = send(link->client, link->down + link->down_sent,
                            link->down_size - link->down_sent, MSG_NOSIGNAL);
        if (size < 0 && errno == EAGAIN) {
            return false;
        }
        if (size < 0 && errno != EINTR) {
            link->is_client_done = true;
            link->linger_until_us = now_us() + (int64_t)LINGER_MS * 1000;
        }
        link->down_sent += size > 0 ? (size_t)size : 0;
    }
    link->down_size = link->down_sent = 0;
    return true;
}

/* No TLS record is larger than the buffer, so nothing is left inside of the library. */
static void
read_broker(struct link *link)
{
    while (!link->is_broker_done && link->down_size == 0) {
        ssize_t size = mqtt_stream_read(link->broker, link->down, READ_BYTES, &link->reason);
        if (size == MQTT_STREAM_WAIT) {
            return;
        }
        if (size <= 0) {
            link->is_broker_done = true;
            return;
        }
        link->down_size = (size_t)size;
        if (!write_client(link) || size < READ_BYTES / 4) {
            return; /* what else is there shows in the next poll() */
        }
    }
}

static bool
is_over(const struct link *link)
{
    if (link->is_broker_done) {
        return link->down_size == 0 || link->is_client_done;
    }
    bool is_empty = link->hold.held.size == 0 && link->hold.out.size == 0;
    return link->is_client_done && (is_empty || now_us() >= link->linger_until_us);
}

static void
await(struct link *link)
{
    bool is_full = link->hold.out.size > UP_BYTES_MAX;
    short client = (short)((link->is_client_done || is_full ? 0 : POLLIN) |
                           (link->down_size > 0 ? POLLOUT : 0));
    short broker = (short)((link->down_size > 0 ? 0 : POLLIN) |
                           (link->hold.out.size > 0 ? POLLOUT : 0) |
                           mqtt_stream_events(link->broker));
    struct pollfd fds[] = {
            {.fd = client == 0 ? -1 : link->client, .events = client},
            {.fd = link->is_broker_done ? -1 : mqtt_stream_fd(link->broker), .events = broker},
            {.fd = link->gate->wake_fd, .events = POLLIN},
    };
    poll(fds, 3, link->is_client_done ? LINGER_MS : -1);
    if (fds[2].revents != 0) {
        eventfd_t ignored;
        eventfd_read(link->gate->wake_fd, &ignored);
    }
    if ((fds[0].revents & ~POLLOUT) != 0) {
        read_client(link);
    }
    if (fds[0].revents != 0) {
        write_client(link);
    }
    if (fds[1].revents != 0) {
        read_broker(link);
    }
}

static void
relay(struct link *link)
{
    while (!is_over(link)) {
        await(link);
        write_broker(link);
    }
}

/* ---- the thread ---- */

static void
set_linked(struct mqtt_gate *gate, bool is_linked)
{
    pthread_mutex_lock(&gate->lock);
    gate->is_linked = is_linked;
    pthread_cond_broadcast(&gate->unlinked);
    pthread_mutex_unlock(&gate->lock);
}

static void
set_reason(struct mqtt_gate *gate, const struct buf *reason)
{
    pthread_mutex_lock(&gate->lock);
    buf_clear(&gate->reason);
    buf_append(&gate->reason, buf_bytes(reason));
    pthread_mutex_unlock(&gate->lock);
}

static void
serve(struct mqtt_gate *gate, int client)
{
    struct link link = {.gate = gate, .client = client};
    set_linked(gate, true);
    set_reason(gate, &link.reason);
    if (mqtt_stream_open(&link.broker, &gate->options, CONNECT_TIMEOUT_MS, &link.reason)) {
        link.down = mem_alloc(READ_BYTES);
        link.up = mem_alloc(READ_BYTES);
        relay(&link);
        mqtt_stream_close(link.broker);
        free(link.down);
        free(link.up);
    }
    set_reason(gate, &link.reason);
    atomic_store(&gate->is_holding, false);
    close(client);
    mqtt_hold_fini(&link.hold);
    buf_fini(&link.reason);
    set_linked(gate, false);
}

static void *
run(void *context)
{
    struct mqtt_gate *gate = context;
    for (;;) {
        serve(gate, accept_client(gate));
    }
    return NULL;
}

/* ---- the owner's side ---- */

static bool
listen_here(struct mqtt_gate *gate, struct diag_list *diags)
{
    gate->address = (struct sockaddr_in){
            .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof gate->address;
    struct sockaddr *address = (struct sockaddr *)&gate->address;
    gate->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    gate->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (gate->wake_fd < 0 || gate->listen_fd < 0 || bind(gate->listen_fd, address, size) < 0 ||
        listen(gate->listen_fd, 4) < 0 || getsockname(gate->listen_fd, address, &size) < 0) {
        diag_io_error(diags, errno, "cannot listen on 127.0.0.1 for the ack gate (sync always)");
        return false;
    }
    return true;
}

bool
mqtt_gate_open(struct mqtt_gate **out, const struct mqtt_options *options,
               const struct mqtt_gate_events *events, struct diag_list *diags)
{
    struct mqtt_gate *gate = mem_new(struct mqtt_gate);
    gate->options = *options;
    gate->events = *events;
    check(pthread_mutex_init(&gate->lock, NULL) == 0);
    check(pthread_cond_init(&gate->unlinked, NULL) == 0);
    signal(SIGPIPE, SIG_IGN); /* as Paho does; libssl writes without MSG_NOSIGNAL */
    if (!listen_here(gate, diags)) {
        return false; /* the process is going to end */
    }
    pthread_t thread;
    check(pthread_create(&thread, NULL, run, gate) == 0);
    *out = gate;
    return true;
}

unsigned
mqtt_gate_port(const struct mqtt_gate *gate)
{
    return ntohs(gate->address.sin_port);
}

void
mqtt_gate_note(struct mqtt_gate *gate, unsigned packet, uint64_t count)
{
    atomic_store(&gate->notes[packet % NOTES], count << PACKET_BITS | packet);
}

void
mqtt_gate_release(struct mqtt_gate *gate, uint64_t count)
{
    atomic_store(&gate->released, count);
    if (atomic_load(&gate->is_holding)) {
        eventfd_write(gate->wake_fd, 1);
    }
}

int64_t
mqtt_gate_held_until(const struct mqtt_gate *gate)
{
    return atomic_load(&gate->is_holding) ? now_us() : atomic_load(&gate->clear_us);
}

void
mqtt_gate_explain(struct mqtt_gate *gate, struct buf *out)
{
    pthread_mutex_lock(&gate->lock);
    buf_append(out, buf_bytes(&gate->reason));
    pthread_mutex_unlock(&gate->lock);
}

void
mqtt_gate_drain(struct mqtt_gate *gate, int timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (timeout_ms % 1000) * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&gate->lock);
    int result = 0;
    while (gate->is_linked && result == 0) {
        result = pthread_cond_timedwait(&gate->unlinked, &gate->lock, &until);
    }
    pthread_mutex_unlock(&gate->lock);
}
