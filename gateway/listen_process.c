/*
 * The process that listens: one connection, one subscription, every message to the parent.
 *
 * Paho's thread hands messages over, the main thread everything else; a lock keeps their frames
 * apart. A parent that reads slowly slows Paho down, and the broker drops what does not fit: at
 * QoS 0 that is nobody's loss. Ends with its parent.
 */
#include "listen.h"

#include "base/child.h"
#include "base/frame.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/wire.h"
#include "broker_options.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { CONFIG_TIMEOUT_MS = 10000, PAYLOAD_HEARD_MAX_BYTES = 1024 * 1024, TICK_MS = 1000 };

struct listener {
    struct config config;
    struct mqtt_connection *mqtt;
    char *client_id;
    pthread_mutex_t lock; /* of the socket */
    struct buf body;      /* Paho's thread */
};

/* Whoever cannot be told any more is gone. */
static void
tell(struct listener *listener, enum listen_frame type, struct bytes body)
{
    struct diag_list diags = {0};
    pthread_mutex_lock(&listener->lock);
    bool sent = frame_send(CHILD_SOCKET_FD, (uint8_t)type, body, -1, &diags);
    pthread_mutex_unlock(&listener->lock);
    diag_list_fini(&diags);
    if (!sent) {
        _exit(EXIT_SUCCESS);
    }
}

static void
on_message(void *context, const struct mqtt_message *message)
{
    struct listener *listener = context;
    if (message->payload.size > PAYLOAD_HEARD_MAX_BYTES ||
        bytes_starts_with(message->topic, BYTES("headgate/canary/"))) {
        return;
    }
    buf_clear(&listener->body);
    wire_put_bytes(&listener->body, message->topic);
    buf_append(&listener->body, message->payload);
    tell(listener, LISTEN_MESSAGE, buf_bytes(&listener->body));
}

static void
on_published(void *context, uint64_t token, unsigned code)
{
    /* Nothing is published here. */
}

static void
on_connected(void *context, const struct mqtt_session *session)
{
    struct listener *listener = context;
    if (!mqtt_subscribe(listener->mqtt, "#", 1, 1)) {
        tell(listener, LISTEN_FAILED, BYTES("the connection broke before the subscription"));
    }
}

static void
on_failed(void *context, struct bytes reason)
{
    tell(context, LISTEN_FAILED, reason);
}

static void
on_lost(void *context, struct bytes reason)
{
    tell(context, LISTEN_FAILED, reason);
}

static void
on_answered(void *context, uint64_t token, unsigned code)
{
    if (code >= 128) {
        struct buf reason = {0};
        buf_printf(&reason, "the broker refuses the subscription to '#': %s",
                   mqtt_describe_code(code));
        tell(context, LISTEN_FAILED, buf_bytes(&reason));
        buf_fini(&reason);
    } else {
        tell(context, LISTEN_READY, BYTES(""));
    }
}

static bool
receive_config(struct listener *listener, struct diag_list *diags)
{
    struct buf buffer = {0};
    struct frame frame;
    config_init(&listener->config);
    bool received = frame_receive(CHILD_SOCKET_FD, &buffer, &frame, CONFIG_TIMEOUT_MS, diags) &&
                    config_parse(&listener->config, BYTES("parent"), frame.body, diags);
    if (buffer.data != NULL) {
        explicit_bzero(buffer.data, buffer.capacity);
    }
    buf_fini(&buffer);
    return received;
}

static bool
open_connection(struct listener *listener, struct diag_list *diags)
{
    struct mqtt_options options;
    struct mqtt_events events = {
            .context = listener,
            .message = on_message,
            .published = on_published,
            .connected = on_connected,
            .failed = on_failed,
            .lost = on_lost,
            .answered = on_answered,
    };
    struct buf client_id = {0};
    buf_printf(&client_id, "%s-listen-%ld", listener->config.broker_client_id, (long)getpid());
    listener->client_id = buf_take_string(&client_id); /* for the process's life */
    if (!broker_options(&listener->config, &options, diags)) {
        return false;
    }
    options.client_id = listener->client_id;
    options.is_session_kept = false;
    options.is_at_most_once = true;
    return mqtt_open(&listener->mqtt, &options, &events, diags);
}

static int
timeout_until(int64_t wanted_us)
{
    int64_t left_ms = wanted_us == INT64_MAX
                              ? TICK_MS
                              : (wanted_us - os_posix.mono_us(&os_posix) + 999) / 1000;
    return left_ms < 0 ? 0 : left_ms > TICK_MS ? TICK_MS : (int)left_ms;
}

int
listen_process_main(void)
{
    struct diag_list diags = {0};
    struct listener *listener = mem_new(struct listener);
    log_setup(LOG_ERROR, "listener"); /* the parent tells what matters */
    signal(SIGINT, SIG_IGN);          /* the parent decides: its end of the socket closes */
    signal(SIGTERM, SIG_IGN);
    check(pthread_mutex_init(&listener->lock, NULL) == 0);
    if (!receive_config(listener, &diags) || !open_connection(listener, &diags)) {
        tell(listener, LISTEN_FAILED, diag_first_error(&diags));
        _exit(EXIT_FAILURE);
    }
    for (;;) {
        int64_t wanted_us = mqtt_step(listener->mqtt);
        struct pollfd fds[] = {
                {.fd = CHILD_SOCKET_FD, .events = POLLIN},
                {.fd = mqtt_fd(listener->mqtt), .events = POLLIN},
        };
        if (poll(fds, 2, timeout_until(wanted_us)) > 0 && fds[0].revents != 0) {
            mqtt_disconnect(listener->mqtt, 0);
            _exit(EXIT_SUCCESS);
        }
    }
}
