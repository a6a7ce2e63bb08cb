/*
 * bare_subscriber: the yardstick. A Paho MQTTAsync client that only counts.
 *
 * What it costs is what any gateway built on this library must at least pay, so the gateway's
 * numbers are given as ratios to it. The callback reads the sequence number and the publisher's
 * time stamp out of the payload (some ten nanoseconds) and returns 1; nothing else.
 *
 * Prints "ready" when the broker has acknowledged the subscription, so that nobody publishes
 * before it is live; then, at the end, one line of JSON. It ends when every number from `first`
 * on has been seen, when nothing has come for `idle` seconds, or on SIGTERM and SIGINT.
 *
 * Threads: Paho's receive thread owns `count` until the client is disconnected; the main thread
 * only reads the atomic fields while it waits.
 */
#define _GNU_SOURCE
#include "histogram.h"
#include "tool.h"

#include "base/mem.h"

#include <MQTTAsync.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct options {
    char *broker, *topic, *client_id, *sequence_key, *time_key;
    int64_t qos, messages, first, idle;
};

#define ROW(n, t, fallback_, min_, max_, doc_)                                            \
    {.name = #n, .type = t, .offset = offsetof(struct options, n), .fallback = fallback_, \
     .min = min_, .max = max_, .doc = doc_}
static const struct option option_rows[] = {
        ROW(broker, OPTION_STRING, "tcp://127.0.0.1:1883", 0, 0, "The broker's address."),
        ROW(topic, OPTION_STRING, "bench/#", 0, 0, "Topic filter."),
        ROW(client_id, OPTION_STRING, "bare-subscriber", 0, 0, "Client id."),
        ROW(qos, OPTION_INT, "1", 0, 1, "QoS of the subscription."),
        ROW(messages, OPTION_INT, "100000", 1, 1000000000, "How many numbers to wait for."),
        ROW(first, OPTION_INT, "0", 0, INT64_MAX / 2, "The first number."),
        ROW(idle, OPTION_DURATION, "10s", 100, 3600000, "Give up after so long without a message."),
        ROW(sequence_key, OPTION_STRING, "seq", 0, 0, "Member with the sequence number."),
        ROW(time_key, OPTION_STRING, "sent_us", 0, 0, "Member with the publisher's time stamp."),
};
#undef ROW

struct subscriber {
    struct options options;
    struct buf sequence_key, time_key; /* with quotes */
    MQTTAsync client;
    sem_t answered;
    int answer; /* of connect and subscribe: 0 is success */

    struct tool_sequence sequence;
    struct histogram latency_us;
    int64_t received, without_number;
    int64_t first_us, last_us, first_cpu_us, last_cpu_us;
    _Atomic int64_t arrived; /* = received, for the waiting thread */
    _Atomic bool complete, lost;
};

static int
on_message(void *context, char *topic, int topic_size, MQTTAsync_message *message)
{
    struct subscriber *self = context;
    struct bytes payload = bytes_of(message->payload, (size_t)message->payloadlen);
    int64_t now_us = tool_mono_us();
    if (self->received++ == 0) {
        self->first_us = now_us;
        self->first_cpu_us = tool_cpu_us();
    }
    self->last_us = now_us;
    int64_t number = tool_member(payload, buf_bytes(&self->sequence_key));
    int64_t sent_us = tool_member(payload, buf_bytes(&self->time_key));
    if (number < 0) {
        self->without_number++;
    } else {
        tool_sequence_add(&self->sequence, number);
    }
    if (sent_us >= 0) {
        histogram_add(&self->latency_us, now_us - sent_us);
    }
    atomic_store(&self->arrived, self->received);
    if (self->sequence.distinct == self->options.messages) {
        self->last_cpu_us = tool_cpu_us();
        atomic_store(&self->complete, true);
    }
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1;
}

static void
on_lost(void *context, char *cause)
{
    struct subscriber *self = context;
    atomic_store(&self->lost, true);
}

static void
on_success(void *context, MQTTAsync_successData5 *data)
{
    struct subscriber *self = context;
    self->answer = 0;
    sem_post(&self->answered);
}

static void
on_failure(void *context, MQTTAsync_failureData5 *data)
{
    struct subscriber *self = context;
    self->answer = data->code == 0 ? -1 : data->code;
    sem_post(&self->answered);
}

static void
await_answer(struct subscriber *self, int started, const char *what)
{
    if (started != MQTTASYNC_SUCCESS) {
        tool_fail("%s: Paho error %d", what, started);
    }
    while (sem_wait(&self->answered) != 0 && errno == EINTR) {
    }
    if (self->answer != 0) {
        tool_fail("%s: refused with %d", what, self->answer);
    }
}

static void
subscriber_open(struct subscriber *self)
{
    const struct options *options = &self->options;
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer5;
    MQTTAsync_connectOptions connect = MQTTAsync_connectOptions_initializer5;
    MQTTAsync_responseOptions respond = MQTTAsync_responseOptions_initializer;
    sem_init(&self->answered, 0, 0);
    if (MQTTAsync_createWithOptions(&self->client, options->broker, options->client_id,
                                    MQTTCLIENT_PERSISTENCE_NONE, NULL, &create) != 0 ||
        MQTTAsync_setCallbacks(self->client, self, on_lost, on_message, NULL) != 0) {
        tool_fail("broker '%s' is not an address", options->broker);
    }
    connect.cleanstart = 1;
    connect.context = respond.context = self;
    connect.onSuccess5 = respond.onSuccess5 = on_success;
    connect.onFailure5 = respond.onFailure5 = on_failure;
    await_answer(self, MQTTAsync_connect(self->client, &connect), "connect");
    await_answer(self,
                 MQTTAsync_subscribe(self->client, options->topic, (int)options->qos, &respond),
                 "subscribe");
    puts("ready");
    fflush(stdout);
}

/* Returns when the numbers are complete, nothing comes any more, or a signal asks to stop. */
static void
subscriber_wait(struct subscriber *self, int signals)
{
    int64_t seen = 0;
    int64_t idle_since_us = tool_mono_us();
    while (!atomic_load(&self->complete) && !atomic_load(&self->lost)) {
        struct pollfd poll_signals = {.fd = signals, .events = POLLIN};
        if (poll(&poll_signals, 1, 20) > 0) {
            return;
        }
        int64_t arrived = atomic_load(&self->arrived);
        if (arrived != seen) {
            seen = arrived;
            idle_since_us = tool_mono_us();
        } else if (tool_mono_us() - idle_since_us > self->options.idle * 1000) {
            return;
        }
    }
}

/* After this no callback runs any more: disconnect is answered on the receive thread. */
static void
subscriber_close(struct subscriber *self)
{
    if (!atomic_load(&self->lost)) {
        MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer5;
        options.context = self;
        options.onSuccess5 = on_success;
        options.onFailure5 = on_failure;
        await_answer(self, MQTTAsync_disconnect(self->client, &options), "disconnect");
    }
    MQTTAsync_destroy(&self->client);
    if (!atomic_load(&self->complete)) {
        self->last_cpu_us = tool_cpu_us();
    }
}

static void
subscriber_print(const struct subscriber *self)
{
    const struct tool_sequence *sequence = &self->sequence;
    double seconds = (double)(self->last_us - self->first_us) / 1e6;
    printf("{\"received\":%" PRId64 ",\"distinct\":%" PRId64 ",\"duplicates\":%" PRId64
           ",\"missing\":%" PRId64 ",\"foreign\":%" PRId64 ",\"without_number\":%" PRId64
           ",\"connection_lost\":%s",
           self->received, sequence->distinct, sequence->duplicates,
           sequence->count - sequence->distinct, sequence->foreign, self->without_number,
           atomic_load(&self->lost) ? "true" : "false");
    printf(",\"first_us\":%" PRId64 ",\"last_us\":%" PRId64
           ",\"seconds\":%.6f,\"rate\":%.1f,\"cpu_seconds\":%.6f",
           self->first_us, self->last_us, seconds,
           seconds > 0 ? (double)self->received / seconds : 0.0,
           (double)(self->last_cpu_us - self->first_cpu_us) / 1e6);
    printf(",\"latency_p50_us\":%" PRId64 ",\"latency_p99_us\":%" PRId64
           ",\"latency_max_us\":%" PRId64 "}\n",
           histogram_quantile(&self->latency_us, 0.5), histogram_quantile(&self->latency_us, 0.99),
           self->latency_us.max_us);
}

/* Blocked in all threads, so that only the descriptor sees them. */
static int
catch_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    return signalfd(-1, &signals, SFD_CLOEXEC);
}

int
main(int argc, char **argv)
{
    static const struct option_table table = {option_rows,
                                              sizeof option_rows / sizeof *option_rows};
    struct subscriber *self = mem_new(struct subscriber);
    tool_options(&table, &self->options, "bare_subscriber: counts numbered messages.", argc, argv);
    buf_printf(&self->sequence_key, "\"%s\"", self->options.sequence_key);
    buf_printf(&self->time_key, "\"%s\"", self->options.time_key);
    tool_sequence_init(&self->sequence, self->options.first, self->options.messages);
    int signals = catch_signals();

    subscriber_open(self);
    subscriber_wait(self, signals);
    subscriber_close(self);
    subscriber_print(self);

    close(signals);
    tool_sequence_fini(&self->sequence);
    buf_fini(&self->sequence_key);
    buf_fini(&self->time_key);
    option_fini(&table, &self->options);
    free(self);
    return 0;
}
