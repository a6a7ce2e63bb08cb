/*
 * The publisher process: batches from a sink to a broker, verdicts back.
 *
 *   main thread     socket to the sink, connection, the first messages of a batch, deadlines
 *   Paho's threads  an acknowledgement decides a record; one that leaves the window half empty
 *                   fills it again (58,900 against 22,800 messages/s when the main thread has to
 *                   be woken for it). Each burst wakes Paho's send thread once, not each record:
 *                   an eighth of the CPU.
 *
 * The window: at most min(publish_window, the broker's Receive Maximum) messages are under way.
 * Were one more handed to Paho, it would wait in Paho's own queue, which an acknowledgement does
 * not wake: up to a second of silence each time.
 *
 * One thread sends at a time: the main thread while `is_starting`, Paho's otherwise. So records
 * leave in the order of the batch. The lock is never held while Paho is called, and an
 * acknowledgement of an earlier batch (its patience ran out) only opens the window.
 */
#define _GNU_SOURCE
#include "drivers/publisher.h"

#include "base/child.h"
#include "base/frame.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/wire.h"
#include "broker_options.h"
#include "driver.h"
#include "message.h"
#include "rules/topic.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    CONFIG_TIMEOUT_MS = 10000,
    FRAME_TIMEOUT_MS = 5000,
    TICK_MS = 1000,
    CONNECT_PATIENCE_MS = 2000, /* a batch waits that long for a connection */
    GOODBYE_MS = 500,
    HEADERS_LOG_EVERY_MS = 60000,
};

struct outgoing {
    char *topic; /* NUL-terminated; in the batch's arena */
    struct bytes payload; /* in the frame */
    int qos;
    struct message_props props; /* ours among the user properties */
    bool expires;
    uint32_t expiry_s;
    enum verdict verdict;
    struct bytes reason; /* static */
};

struct publisher {
    struct config config;
    char *client_id;
    bool is_bridge;
    struct mqtt_connection *mqtt;
    bool has_properties; /* MQTT 5 */
    struct log_gate header_gate; /* headers that MQTT 3.1.1 cannot carry */
    int done_fd; /* readable when the batch is decided */
    struct buf frame;
    struct arena arena;

    /* the batch at hand; main thread */
    bool has_batch;
    bool is_retained;
    int64_t until_us;
    int64_t connect_until_us;

    pthread_mutex_t lock; /* of what follows */
    uint64_t number;
    struct outgoing *records;
    size_t count;
    size_t next;
    size_t undecided;
    unsigned in_flight; /* of all batches on this connection */
    unsigned window;
    unsigned senders; /* threads that read `records` without the lock */
    bool is_open;     /* records may be sent */
    bool is_starting;
};

static int64_t
now_us(void)
{
    return os_posix.mono_us(&os_posix);
}

/* ---- deciding and sending ---- */

/* With the lock. */
static void
decide(struct publisher *publisher, size_t i, enum verdict verdict, const char *reason)
{
    struct outgoing *record = &publisher->records[i];
    if (record->verdict == VERDICT_NONE) {
        record->verdict = verdict;
        record->reason = bytes_of_string(reason);
        publisher->undecided--;
        if (publisher->undecided == 0) {
            eventfd_write(publisher->done_fd, 1);
        }
    }
}

/* With the lock: the next record that is to be sent now, or false. */
static bool
take_next(struct publisher *publisher, size_t *out)
{
    while (publisher->is_open && publisher->next < publisher->count &&
           publisher->records[publisher->next].verdict != VERDICT_NONE) {
        publisher->next++; /* refused beforehand */
    }
    if (!publisher->is_open || publisher->next >= publisher->count ||
        publisher->in_flight >= publisher->window) {
        return false;
    }
    *out = publisher->next++;
    publisher->in_flight++;
    publisher->senders++;
    return true;
}

static bool
send_record(struct publisher *publisher, size_t i)
{
    const struct outgoing *record = &publisher->records[i];
    struct mqtt_publication publication = {
            .topic = record->topic,
            .payload = record->payload,
            .qos = record->qos,
            .is_retained = publisher->is_retained,
            .props = record->props,
            .expires = record->expires,
            .expiry_s = record->expiry_s,
    };
    return mqtt_publish(publisher->mqtt, &publication, publisher->number << 20 | i);
}

/* Sends while the window has room. The lock is held on entry and exit, not while sending. */
static void
send_more(struct publisher *publisher)
{
    size_t i;
    while (take_next(publisher, &i)) {
        pthread_mutex_unlock(&publisher->lock);
        bool sent = send_record(publisher, i);
        pthread_mutex_lock(&publisher->lock);
        publisher->senders--;
        if (!sent) {
            publisher->in_flight--;
            publisher->is_open = false; /* the connection is gone; on_lost() will follow */
            decide(publisher, i, VERDICT_RETRY, "the broker is not connected");
        }
    }
}

static enum verdict
verdict_of(unsigned code)
{
    switch (code) {
    case 135: /* not authorised */
    case 144: /* topic name invalid */
    case 149: /* packet too large */
    case 153: /* payload format invalid */
    case 154: /* retain not supported */
    case 155: /* QoS not supported */
        return VERDICT_REJECT;
    default:
        return code < 128 ? VERDICT_DONE : VERDICT_RETRY;
    }
}

static void
on_published(void *context, uint64_t token, unsigned code)
{
    struct publisher *publisher = context;
    pthread_mutex_lock(&publisher->lock);
    publisher->in_flight -= publisher->in_flight > 0; /* 0: sent while the connection was lost */
    if (token >> 20 == publisher->number && publisher->count > 0) {
        decide(publisher, token & 0xfffff, verdict_of(code),
               code < 128 ? "" : mqtt_describe_code(code));
    }
    bool is_half_empty = publisher->in_flight <= publisher->window / 2;
    if (is_half_empty && !publisher->is_starting) {
        send_more(publisher);
    }
    pthread_mutex_unlock(&publisher->lock);
}

static void
start_sending(struct publisher *publisher)
{
    pthread_mutex_lock(&publisher->lock);
    publisher->is_open = true;
    publisher->is_starting = true;
    send_more(publisher);
    publisher->is_starting = false; /* the lock was not let go since the window was full */
    pthread_mutex_unlock(&publisher->lock);
}

/* Decides what is left, and waits until nobody looks at the records any more. */
static void
close_batch(struct publisher *publisher, const char *reason)
{
    pthread_mutex_lock(&publisher->lock);
    publisher->is_open = false;
    for (size_t i = 0; i < publisher->count; i++) {
        decide(publisher, i, VERDICT_RETRY, reason);
    }
    while (publisher->senders > 0) {
        pthread_mutex_unlock(&publisher->lock);
        usleep(100);
        pthread_mutex_lock(&publisher->lock);
    }
    pthread_mutex_unlock(&publisher->lock);
}

/* ---- connection ---- */

static void
on_connected(void *context, const struct mqtt_session *session)
{
    struct publisher *publisher = context;
    unsigned wanted = (unsigned)publisher->config.publish_window;
    pthread_mutex_lock(&publisher->lock);
    publisher->window = session->receive_max < wanted ? session->receive_max : wanted;
    pthread_mutex_unlock(&publisher->lock);
    if (publisher->has_batch) {
        start_sending(publisher);
    }
}

static void
on_lost(void *context, struct bytes reason)
{
    struct publisher *publisher = context;
    close_batch(publisher, "the connection to the broker was lost");
    pthread_mutex_lock(&publisher->lock);
    publisher->in_flight = 0;
    publisher->window = 0; /* until it is known anew */
    pthread_mutex_unlock(&publisher->lock);
}

static void
on_answered(void *context, uint64_t token, unsigned code)
{
    never("the publisher subscribes to nothing");
}

static void
on_message(void *context, const struct mqtt_message *message)
{
    /* Nothing is subscribed; a broker that sends all the same is not listened to. */
}

/* ---- batches ---- */

static const char *
find_fault(struct bytes topic, unsigned hops)
{
    if (!topic_is_valid(topic)) {
        return "the topic is empty, too long, not UTF-8, or has a wildcard or NUL";
    }
    if (bytes_starts_with(topic, BYTES("$SYS")) || bytes_starts_with(topic, BYTES("$share/")) ||
        bytes_starts_with(topic, BYTES("$CONTROL"))) {
        return "topics that begin with '$SYS', '$share/' or '$CONTROL' belong to the broker";
    }
    if (hops >= MESSAGE_HOPS_LIMIT) {
        return "the message goes round in a circle: a rule publishes to what it reads";
    }
    return NULL;
}

static void
note_lost_headers(struct publisher *publisher, struct bytes topic)
{
    struct log_gate *gate = &publisher->header_gate;
    if (log_gate_open(gate, now_us() / 1000, HEADERS_LOG_EVERY_MS)) {
        log_warning("the headers of a message to '%.*s' are left out: the broker speaks MQTT 3.1.1 "
                    "only; %llu more since the last such line",
                    BYTES_ARG(topic), (unsigned long long)gate->hidden);
    }
}

/* The properties that a rule asked for, and behind them ours. */
static void
read_properties(struct publisher *publisher, struct bytes headers, struct bytes id, unsigned hops,
                struct outgoing *record)
{
    struct wire_reader reader = wire_reader(headers);
    unsigned flags = headers.size == 0 ? 0 : wire_get_u8(&reader);
    record->expires = (flags & PUBLISHER_EXPIRES) != 0;
    record->expiry_s = (uint32_t)wire_get_varint(&reader);
    record->props.payload_is_text = (flags & PUBLISHER_TEXT) != 0;
    record->props.content_type = wire_get_bytes(&reader);
    record->props.response_topic = wire_get_bytes(&reader);
    record->props.correlation = wire_get_bytes(&reader);
    uint64_t users = wire_get_varint(&reader);
    check(users <= headers.size);
    struct message_property *user =
            arena_new_array(&publisher->arena, struct message_property, users + 2);
    for (uint64_t i = 0; i < users; i++) {
        user[i].name = wire_get_bytes(&reader);
        user[i].value = wire_get_bytes(&reader);
    }
    check(headers.size == 0 || wire_at_end(&reader));
    user[users] = (struct message_property){BYTES(MESSAGE_ID_PROPERTY), id};
    user[users + 1] = (struct message_property){
            BYTES(MESSAGE_HOPS_PROPERTY), arena_printf(&publisher->arena, "%u", hops + 1)};
    record->props.user = user;
    record->props.user_count = users + 2;
}

static void
read_record(struct publisher *publisher, struct wire_reader *reader, size_t i)
{
    struct bytes topic = wire_get_bytes(reader);
    struct outgoing *record = &publisher->records[i];
    *record = (struct outgoing){.payload = wire_get_bytes(reader), .verdict = VERDICT_NONE};
    struct bytes id = wire_get_bytes(reader);
    unsigned hops = (unsigned)wire_get_varint(reader);
    record->qos = wire_get_u8(reader);
    struct bytes headers = wire_get_bytes(reader);
    record->topic = (char *)(uintptr_t)arena_copy(&publisher->arena, topic).data;
    const char *fault = find_fault(topic, hops);
    if (fault != NULL) {
        decide(publisher, i, VERDICT_REJECT, fault);
    } else if (publisher->has_properties) {
        read_properties(publisher, headers, id, hops, record);
    } else if (headers.size > 0) {
        note_lost_headers(publisher, topic);
    }
}

static void
open_batch(struct publisher *publisher, struct bytes body)
{
    struct wire_reader reader = wire_reader(body);
    pthread_mutex_lock(&publisher->lock);
    arena_reset(&publisher->arena);
    publisher->number = wire_get_u64(&reader);
    publisher->until_us = now_us() + (int64_t)wire_get_u32(&reader) * 1000;
    publisher->connect_until_us = now_us() + (int64_t)CONNECT_PATIENCE_MS * 1000;
    publisher->is_retained = wire_get_u8(&reader) != 0;
    publisher->count = wire_get_varint(&reader);
    check(!reader.failed && publisher->count < 1 << 20);
    publisher->records = arena_new_array(&publisher->arena, struct outgoing, publisher->count + 1);
    publisher->undecided = publisher->count;
    publisher->next = 0;
    for (size_t i = 0; i < publisher->count; i++) {
        read_record(publisher, &reader, i);
    }
    check(wire_at_end(&reader));
    pthread_mutex_unlock(&publisher->lock);
    publisher->has_batch = true;
    if (mqtt_is_connected(publisher->mqtt) && publisher->window > 0) {
        start_sending(publisher);
    }
}

static void
answer_batch(struct publisher *publisher)
{
    struct buf body = {0};
    wire_put_u64(&body, publisher->number);
    wire_put_varint(&body, publisher->count);
    for (size_t i = 0; i < publisher->count; i++) {
        wire_put_u8(&body, (uint8_t)publisher->records[i].verdict);
        wire_put_bytes(&body, publisher->records[i].reason);
    }
    struct diag_list diags = {0};
    eventfd_t ignored;
    eventfd_read(publisher->done_fd, &ignored);
    publisher->has_batch = false;
    if (!frame_send(CHILD_SOCKET_FD, PUBLISHER_VERDICTS, buf_bytes(&body), FRAME_TIMEOUT_MS,
                    &diags)) {
        _exit(MQTT_EXIT_RETRY);
    }
    buf_fini(&body);
}

static void
advance_batch(struct publisher *publisher)
{
    if (!publisher->has_batch) {
        return;
    }
    bool is_connected = mqtt_is_connected(publisher->mqtt);
    if (!is_connected && now_us() >= publisher->connect_until_us) {
        close_batch(publisher, "the broker is not connected");
    } else if (now_us() >= publisher->until_us) {
        close_batch(publisher, "the broker did not acknowledge in time");
    }
    pthread_mutex_lock(&publisher->lock);
    bool is_decided = publisher->undecided == 0;
    pthread_mutex_unlock(&publisher->lock);
    if (is_decided) {
        close_batch(publisher, ""); /* a sender may still be on its way out */
        answer_batch(publisher);
    }
}

/* ---- start and main loop ---- */

static _Noreturn void
fail(const struct diag_list *diags)
{
    log_diags(diags);
    _exit(MQTT_EXIT_RETRY);
}

static void
receive_config(struct publisher *publisher, struct diag_list *diags)
{
    struct frame frame;
    config_init(&publisher->config);
    if (!frame_receive(CHILD_SOCKET_FD, &publisher->frame, &frame, CONFIG_TIMEOUT_MS, diags)) {
        fail(diags);
    }
    struct wire_reader reader = wire_reader(frame.body);
    publisher->is_bridge = wire_get_u8(&reader) != 0;
    struct bytes suffix = wire_get_bytes(&reader);
    if (!config_parse(&publisher->config, BYTES("core"), reader.rest, diags)) {
        fail(diags);
    }
    struct buf client_id = {0};
    buf_printf(&client_id, "%s%.*s", publisher->config.broker_client_id, BYTES_ARG(suffix));
    publisher->client_id = buf_take_string(&client_id);
    explicit_bzero(publisher->frame.data, publisher->frame.capacity);
    log_setup((enum log_level)publisher->config.log_level, "publisher");
}

static void
open_connection(struct publisher *publisher, struct diag_list *diags)
{
    struct mqtt_options options;
    struct mqtt_events events = {
            .context = publisher,
            .message = on_message,
            .published = on_published,
            .connected = on_connected,
            .lost = on_lost,
            .answered = on_answered,
    };
    if (!broker_options(&publisher->config, &options, diags)) {
        fail(diags);
    }
    options.client_id = publisher->client_id;
    options.sends_at_once = true;
    options.option_prefix = publisher->is_bridge ? "" : options.option_prefix;
    publisher->has_properties = options.version == MQTT_5;
    options.is_session_kept = false; /* what is unacknowledged is sent again from the backlog */
    if (!mqtt_open(&publisher->mqtt, &options, &events, diags)) {
        fail(diags);
    }
}

static void
listen_to_sink(struct publisher *publisher)
{
    struct frame frame;
    struct diag_list diags = {0};
    close_batch(publisher, ""); /* whoever speaks, or hangs up, does not wait for it any more */
    if (!frame_receive(CHILD_SOCKET_FD, &publisher->frame, &frame, FRAME_TIMEOUT_MS, &diags)) {
        mqtt_disconnect(publisher->mqtt, GOODBYE_MS);
        _exit(EXIT_SUCCESS);
    }
    if (frame.type == PUBLISHER_BATCH) {
        open_batch(publisher, frame.body);
    }
    diag_list_fini(&diags);
}

static int
next_timeout_ms(const struct publisher *publisher, int64_t wanted_us)
{
    int64_t until_us = now_us() + (int64_t)TICK_MS * 1000;
    until_us = wanted_us < until_us ? wanted_us : until_us;
    if (publisher->has_batch) {
        until_us = publisher->until_us < until_us ? publisher->until_us : until_us;
        bool is_waiting = !mqtt_is_connected(publisher->mqtt);
        until_us = is_waiting && publisher->connect_until_us < until_us
                           ? publisher->connect_until_us
                           : until_us;
    }
    int64_t left_ms = (until_us - now_us() + 999) / 1000;
    return left_ms < 0 ? 0 : (int)left_ms;
}

int
publisher_process_main(void)
{
    struct diag_list diags = {0};
    struct publisher *publisher = mem_new(struct publisher);
    log_setup(LOG_INFO, "publisher");
    signal(SIGINT, SIG_IGN); /* the core decides: its end of the socket closes */
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    check(pthread_mutex_init(&publisher->lock, NULL) == 0);
    publisher->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    check(publisher->done_fd >= 0);
    receive_config(publisher, &diags);
    open_connection(publisher, &diags);
    for (;;) {
        int64_t wanted_us = mqtt_step(publisher->mqtt);
        advance_batch(publisher);
        struct pollfd fds[] = {
                {.fd = CHILD_SOCKET_FD, .events = POLLIN},
                {.fd = mqtt_fd(publisher->mqtt), .events = POLLIN},
                {.fd = publisher->done_fd, .events = POLLIN},
        };
        if (poll(fds, 3, next_timeout_ms(publisher, wanted_us)) > 0 && fds[0].revents != 0) {
            listen_to_sink(publisher);
        }
    }
}
