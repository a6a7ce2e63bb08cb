/*
 * bare_publisher: the other half of the yardstick. A Paho MQTTAsync client that only publishes.
 *
 * A rule that republishes must pay for one reception and one publication. This program tells what
 * the publication costs at least: QoS 1, MQTT 5, a window as wide as the broker's default Receive
 * Maximum (above it Paho 1.3.12 sleeps), the next message sent from the acknowledgement's callback
 * (the fastest way that the library offers). Prints one line of JSON.
 */
#define _GNU_SOURCE
#include "tool.h"

#include "base/mem.h"

#include <MQTTAsync.h>
#include <errno.h>
#include <inttypes.h>
#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

struct options {
    char *broker, *topic, *client_id;
    int64_t messages, window;
};

#define ROW(n, t, fallback_, min_, max_, doc_)                                            \
    {.name = #n, .type = t, .offset = offsetof(struct options, n), .fallback = fallback_, \
     .min = min_, .max = max_, .doc = doc_}
static const struct option option_rows[] = {
        ROW(broker, OPTION_STRING, "tcp://127.0.0.1:1883", 0, 0, "The broker's address."),
        ROW(topic, OPTION_STRING, "out/data", 0, 0, "Topic of all messages."),
        ROW(client_id, OPTION_STRING, "bare-publisher", 0, 0, "Client id."),
        ROW(messages, OPTION_INT, "100000", 1, 1000000000, "How many messages to send."),
        ROW(window, OPTION_INT, "20", 1, 1000, "Unacknowledged messages at a time."),
};
#undef ROW

struct publisher {
    struct options options;
    MQTTAsync client;
    sem_t connected, finished;
    int64_t sent, acknowledged; /* after the first window only on Paho's thread */
};

static void on_acknowledged(void *context, MQTTAsync_successData5 *data);

static void
on_failure(void *context, MQTTAsync_failureData5 *data)
{
    tool_fail("refused with %d", data->code);
}

static void
publish_next(struct publisher *self)
{
    MQTTAsync_responseOptions respond = MQTTAsync_responseOptions_initializer;
    char payload[128];
    int size = snprintf(payload, sizeof payload,
                        "{\"seq\":%" PRId64 ",\"sent_us\":%" PRId64 ",\"temperature\":98}",
                        self->sent++, tool_mono_us());
    respond.context = self;
    respond.onSuccess5 = on_acknowledged;
    respond.onFailure5 = on_failure;
    int result = MQTTAsync_send(self->client, self->options.topic, size, payload, 1, 0, &respond);
    if (result != MQTTASYNC_SUCCESS) {
        tool_fail("send: Paho error %d", result);
    }
}

static void
on_acknowledged(void *context, MQTTAsync_successData5 *data)
{
    struct publisher *self = context;
    if (++self->acknowledged == self->options.messages) {
        sem_post(&self->finished);
    } else if (self->sent < self->options.messages) {
        publish_next(self);
    }
}

/* Fills the window on Paho's own thread, so that all counting happens there. */
static void
on_connected(void *context, MQTTAsync_successData5 *data)
{
    struct publisher *self = context;
    sem_post(&self->connected);
    while (self->sent < self->options.window && self->sent < self->options.messages) {
        publish_next(self);
    }
}

static int
on_message(void *context, char *topic, int topic_size, MQTTAsync_message *message)
{
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1;
}

static void
wait_for(sem_t *event)
{
    while (sem_wait(event) != 0 && errno == EINTR) {
    }
}

int
main(int argc, char **argv)
{
    static const struct option_table table = {option_rows,
                                              sizeof option_rows / sizeof *option_rows};
    struct publisher *self = mem_new(struct publisher);
    tool_options(&table, &self->options, "bare_publisher: publishes through Paho.", argc, argv);
    sem_init(&self->connected, 0, 0);
    sem_init(&self->finished, 0, 0);
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer5;
    MQTTAsync_connectOptions connect = MQTTAsync_connectOptions_initializer5;
    create.maxBufferedMessages = (int)self->options.window + 1;
    connect.cleanstart = 1;
    connect.maxInflight = (int)self->options.window;
    connect.context = self;
    connect.onSuccess5 = on_connected;
    connect.onFailure5 = on_failure;
    if (MQTTAsync_createWithOptions(&self->client, self->options.broker, self->options.client_id,
                                    MQTTCLIENT_PERSISTENCE_NONE, NULL, &create) != 0 ||
        MQTTAsync_setCallbacks(self->client, self, NULL, on_message, NULL) != 0 ||
        MQTTAsync_connect(self->client, &connect) != 0) {
        tool_fail("broker '%s' cannot be used", self->options.broker);
    }
    wait_for(&self->connected);
    int64_t start_us = tool_mono_us(), cpu_us = tool_cpu_us();
    wait_for(&self->finished);
    double seconds = (double)(tool_mono_us() - start_us) / 1e6;
    printf("{\"sent\":%" PRId64 ",\"acknowledged\":%" PRId64 ",\"seconds\":%.6f,\"rate\":%.1f,"
           "\"cpu_seconds\":%.6f}\n",
           self->sent, self->acknowledged, seconds, (double)self->acknowledged / seconds,
           (double)(tool_cpu_us() - cpu_us) / 1e6);
    fflush(stdout);
    _exit(0); /* Paho's threads may still be in a callback */
}
