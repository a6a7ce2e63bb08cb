/*
 * mqtt_publish: a fast MQTT 3.1.1 publisher on plain sockets.
 *
 * It stands in front of every measurement, so it must cost little, keep a precise pace, and know
 * exactly which messages the broker has taken.
 *
 * Messages are numbered first, first + 1, ... The next number goes to the next connection that has
 * room: at QoS 1 that is a free slot in its window, at QoS 0 an output buffer below OUTPUT_MAX.
 * Slot i of a connection uses packet id i + 1; the PUBACK gives the slot back and, with a ledger,
 * writes the number to it. So the ledger holds exactly what the broker has promised to keep.
 *
 * With a rate, message i is due at start + i / rate, whatever happened before: a late message does
 * not shift the others. Without one, connections are filled as fast as their windows allow; while
 * most of the windows is under way the program naps, because waking for each PUBACK would take the
 * processor from the broker and from whom we measure.
 *
 * At the end each connection sends PINGREQ and waits for the answer: the broker answers in order,
 * so then it has read every QoS 0 message as well. One thread, one poll loop.
 */
#define _GNU_SOURCE
#include "histogram.h"
#include "template.h"
#include "tool.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { OUTPUT_MAX = 1 << 16, INPUT_MAX = 1 << 14, STALLED_US = 60 * 1000 * 1000, NAP_US = 200 };

enum packet { CONNACK = 0x20, PUBLISH = 0x30, PUBACK = 0x40, PINGREQ = 0xc0, PINGRESP = 0xd0 };

struct options {
    char *host, *topic, *payload, *client_id, *ledger;
    int64_t port, connections, qos, messages, first, sensors, window, rate;
};

#define ROW(n, t, fallback_, min_, max_, doc_)                                            \
    {.name = #n, .type = t, .offset = offsetof(struct options, n), .fallback = fallback_, \
     .min = min_, .max = max_, .doc = doc_}
static const struct option option_rows[] = {
        ROW(host, OPTION_STRING, "127.0.0.1", 0, 0, "Address of the broker, numeric."),
        ROW(port, OPTION_INT, "1883", 1, 65535, "Port of the broker."),
        ROW(client_id, OPTION_STRING, "publish", 0, 0, "Start of the connections' client ids."),
        ROW(connections, OPTION_INT, "2", 1, 100, "Connections that share the messages."),
        ROW(qos, OPTION_INT, "1", 0, 1, "QoS of the messages."),
        ROW(messages, OPTION_INT, "100000", 1, 1000000000, "How many messages to send."),
        ROW(first, OPTION_INT, "0", 0, INT64_MAX / 2, "Number of the first message."),
        ROW(sensors, OPTION_INT, "100", 1, 1000000, "%d counts 0 .. sensors - 1 and again."),
        ROW(window, OPTION_INT, "200", 1, 60000, "Unacknowledged messages of a connection."),
        ROW(rate, OPTION_INT, "0", 0, 10000000, "Messages a second, evenly paced; 0: no pause."),
        ROW(topic, OPTION_STRING, "bench/%d/data", 0, 0, "Template of the topic."),
        ROW(payload, OPTION_STRING,
            "{\"seq\":%n,\"sent_us\":%t,\"sensor_id\":\"sensor-%d\",\"temperature\":%v,"
            "\"status\":\"OK\",\"event_time\":%m}",
            0, 0,
            "Template: %n number, %t microseconds (monotonic), %m milliseconds (wall), %d sensor, "
            "%v temperature 10..180."),
        ROW(ledger, OPTION_STRING, NULL, 0, 0, "File for the acknowledged numbers, one a line."),
};
#undef ROW

struct slot {
    int64_t sequence;
    int64_t sent_us;
};

struct connection {
    int fd;
    bool pinged, answered; /* PINGREQ sent, PINGRESP seen */
    struct slot *slots;    /* at QoS 1: `window` of them */
    uint16_t *free_slots;
    size_t free_count;
    struct buf out;
    size_t out_sent;
    size_t in_size;
    unsigned char in[INPUT_MAX];
};

struct publisher {
    struct options options;
    struct template topic, payload;
    struct connection *connections;
    struct pollfd *polls;
    struct buf scratch;
    int64_t sent, acknowledged;
    int64_t start_us, progress_us;
    uint64_t random;
    FILE *ledger;
    struct histogram ack_us;
};

static void
put_u16(struct buf *out, size_t value)
{
    buf_append_char(out, (char)(value >> 8));
    buf_append_char(out, (char)value);
}

static void
put_header(struct buf *out, unsigned type, size_t size)
{
    buf_append_char(out, (char)type);
    do {
        buf_append_char(out, (char)((size & 127) | (size > 127 ? 128 : 0)));
        size >>= 7;
    } while (size > 0);
}

static void
put_connect(struct buf *out, const char *client_id, unsigned number)
{
    struct buf id = {0};
    buf_printf(&id, "%s-%u", client_id, number);
    put_header(out, 0x10, 10 + 2 + id.size);
    put_u16(out, 4);
    buf_append_string(out, "MQTT");
    buf_append(out, bytes_of("\x04\x02\x00\x00", 4)); /* 3.1.1, clean session, no keep-alive */
    put_u16(out, id.size);
    buf_append(out, buf_bytes(&id));
    buf_fini(&id);
}

static void
connection_open(struct connection *connection, const struct options *options, unsigned number)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((in_port_t)options->port)};
    if (inet_pton(AF_INET, options->host, &address.sin_addr) != 1) {
        tool_fail("host '%s' is not an IPv4 address", options->host);
    }
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 ||
        connect(connection->fd, (struct sockaddr *)&address, sizeof address) != 0) {
        tool_fail("connect to %s:%" PRId64 ": %s", options->host, options->port, strerror(errno));
    }
    int on = 1;
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    put_connect(&connection->out, options->client_id, number);
    unsigned char answer[4];
    if (send(connection->fd, connection->out.data, connection->out.size, MSG_NOSIGNAL) !=
                (ssize_t)connection->out.size ||
        recv(connection->fd, answer, sizeof answer, MSG_WAITALL) != sizeof answer ||
        answer[0] != CONNACK || answer[3] != 0) {
        tool_fail("the broker refused the connection");
    }
    buf_clear(&connection->out);
    fcntl(connection->fd, F_SETFL, O_NONBLOCK);

    size_t window = (size_t)options->window;
    connection->slots = mem_new_array(struct slot, window);
    connection->free_slots = mem_new_array(uint16_t, window);
    for (size_t i = 0; i < window; i++) {
        connection->free_slots[connection->free_count++] = (uint16_t)(window - 1 - i);
    }
}

static bool
connection_has_room(const struct publisher *publisher, const struct connection *connection)
{
    return connection->out.size - connection->out_sent < OUTPUT_MAX &&
           (publisher->options.qos == 0 || connection->free_count > 0);
}

/* xorshift64*; the seed is fixed, so a run can be repeated exactly. */
static int64_t
next_temperature(struct publisher *publisher)
{
    publisher->random ^= publisher->random >> 12;
    publisher->random ^= publisher->random << 25;
    publisher->random ^= publisher->random >> 27;
    return 10 + (int64_t)((publisher->random * 2685821657736338717ULL >> 33) % 171);
}

static void
put_publish(struct publisher *publisher, struct connection *connection, int64_t now_us)
{
    struct template_values values = {
            .sequence = publisher->options.first + publisher->sent,
            .mono_us = now_us,
            .wall_ms = tool_wall_ms(),
            .sensor = publisher->sent % publisher->options.sensors,
            .temperature = next_temperature(publisher),
    };
    struct buf *scratch = &publisher->scratch;
    buf_clear(scratch);
    template_fill(&publisher->topic, &values, scratch);
    size_t topic_size = scratch->size;
    template_fill(&publisher->payload, &values, scratch);

    bool acknowledged = publisher->options.qos == 1;
    put_header(&connection->out, PUBLISH | (acknowledged ? 2U : 0U),
               2 + scratch->size + (acknowledged ? 2 : 0));
    put_u16(&connection->out, topic_size);
    buf_append(&connection->out, bytes_of(scratch->data, topic_size));
    if (acknowledged) {
        uint16_t slot = connection->free_slots[--connection->free_count];
        connection->slots[slot] = (struct slot){values.sequence, now_us};
        put_u16(&connection->out, (size_t)slot + 1);
    }
    buf_append(&connection->out, bytes_slice(buf_bytes(scratch), topic_size, scratch->size));
    publisher->sent++;
}

static void
take_puback(struct publisher *publisher, struct connection *connection, unsigned packet_id)
{
    check(packet_id >= 1 && packet_id <= publisher->options.window);
    struct slot *slot = &connection->slots[packet_id - 1];
    histogram_add(&publisher->ack_us, tool_mono_us() - slot->sent_us);
    if (publisher->ledger != NULL) {
        fprintf(publisher->ledger, "%" PRId64 "\n", slot->sequence);
    }
    connection->free_slots[connection->free_count++] = (uint16_t)(packet_id - 1);
    publisher->acknowledged++;
}

/* The broker sends this client PUBACK (4 bytes) and PINGRESP (2 bytes), nothing else. */
static void
take_packets(struct publisher *publisher, struct connection *connection)
{
    size_t at = 0;
    for (;;) {
        const unsigned char *packet = connection->in + at;
        size_t left = connection->in_size - at;
        if (left >= 4 && packet[0] == PUBACK) {
            take_puback(publisher, connection, packet[2] * 256U + packet[3]);
            at += 4;
        } else if (left >= 2 && packet[0] == PINGRESP) {
            connection->answered = true;
            at += 2;
        } else if (left > 0 && packet[0] != PUBACK && packet[0] != PINGRESP) {
            tool_fail("unexpected packet 0x%02x from the broker", packet[0]);
        } else {
            break;
        }
    }
    memmove(connection->in, connection->in + at, connection->in_size - at);
    connection->in_size -= at;
}

static void
connection_read(struct publisher *publisher, struct connection *connection)
{
    ssize_t got = recv(connection->fd, connection->in + connection->in_size,
                       sizeof connection->in - connection->in_size, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        tool_fail("the broker closed a connection: %" PRId64 " of %" PRId64 " messages sent",
                  publisher->sent, publisher->options.messages);
    }
    if (got > 0) {
        publisher->progress_us = tool_mono_us();
        connection->in_size += (size_t)got;
        take_packets(publisher, connection);
    }
}

static void
connection_write(struct publisher *publisher, struct connection *connection)
{
    while (connection->out_sent < connection->out.size) {
        ssize_t put = send(connection->fd, connection->out.data + connection->out_sent,
                           connection->out.size - connection->out_sent, MSG_NOSIGNAL);
        if (put < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (put < 0) {
            tool_fail("sending to the broker: %s", strerror(errno));
        }
        publisher->progress_us = tool_mono_us();
        connection->out_sent += (size_t)put;
    }
    buf_clear(&connection->out);
    connection->out_sent = 0;
}

/* When message `number` is due; at full speed always. */
static int64_t
due_us(const struct publisher *publisher, int64_t number)
{
    int64_t rate = publisher->options.rate;
    return rate == 0 ? 0
                     : publisher->start_us + number / rate * 1000000 +
                               number % rate * 1000000 / rate;
}

/* Hands out what is due to connections with room, in turn. */
static void
send_due(struct publisher *publisher)
{
    const struct options *options = &publisher->options;
    int64_t without_room = 0;
    for (int64_t i = publisher->sent; without_room < options->connections; i++) {
        int64_t now_us = tool_mono_us();
        if (publisher->sent == options->messages || due_us(publisher, publisher->sent) > now_us) {
            return;
        }
        struct connection *connection = &publisher->connections[i % options->connections];
        if (connection_has_room(publisher, connection)) {
            put_publish(publisher, connection, now_us);
            without_room = 0;
        } else {
            without_room++;
        }
    }
}

static bool
everything_acknowledged(const struct publisher *publisher)
{
    return publisher->sent == publisher->options.messages &&
           (publisher->options.qos == 0 || publisher->acknowledged == publisher->sent);
}

/* Asks each connection for a last sign of life; true when all have answered. */
static bool
finish(struct publisher *publisher)
{
    bool all = true;
    for (int64_t i = 0; i < publisher->options.connections; i++) {
        struct connection *connection = &publisher->connections[i];
        if (!connection->pinged) {
            put_header(&connection->out, PINGREQ, 0);
            connection->pinged = true;
        }
        all = all && connection->answered;
    }
    return all;
}

static void
nap_when_full(const struct publisher *publisher)
{
    const struct options *options = &publisher->options;
    int64_t under_way = publisher->sent - publisher->acknowledged;
    if (options->rate == 0 && options->qos == 1 &&
        under_way > options->window * options->connections / 2) {
        nanosleep(&(struct timespec){0, NAP_US * 1000}, NULL);
    }
}

static void
wait_for_events(struct publisher *publisher)
{
    const struct options *options = &publisher->options;
    int64_t wait_us = 1000000;
    if (publisher->sent < options->messages && options->rate > 0) {
        wait_us = due_us(publisher, publisher->sent) - tool_mono_us();
        wait_us = wait_us < 0 ? 0 : wait_us > 1000000 ? 1000000 : wait_us;
    }
    for (int64_t i = 0; i < options->connections; i++) {
        struct connection *connection = &publisher->connections[i];
        connection_write(publisher, connection);
        bool writes = connection->out.size > 0;
        bool fills = options->rate == 0 && publisher->sent < options->messages &&
                     connection_has_room(publisher, connection);
        wait_us = fills && !writes ? 0 : wait_us;
        publisher->polls[i] = (struct pollfd){
                .fd = connection->fd, .events = (short)(POLLIN | (writes ? POLLOUT : 0))};
    }
    nap_when_full(publisher);
    struct timespec timeout = {wait_us / 1000000, wait_us % 1000000 * 1000};
    ppoll(publisher->polls, (nfds_t)options->connections, &timeout, NULL);
    for (int64_t i = 0; i < options->connections; i++) {
        if ((publisher->polls[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
            connection_read(publisher, &publisher->connections[i]);
        }
    }
    if (tool_mono_us() - publisher->progress_us > STALLED_US) {
        tool_fail("no progress for %d s: %" PRId64 " sent, %" PRId64 " acknowledged",
                  STALLED_US / 1000000, publisher->sent, publisher->acknowledged);
    }
}

static void
publisher_run(struct publisher *publisher)
{
    publisher->start_us = publisher->progress_us = tool_mono_us();
    while (!everything_acknowledged(publisher)) {
        send_due(publisher);
        wait_for_events(publisher);
    }
    while (!finish(publisher)) {
        wait_for_events(publisher);
    }
}

static void
publisher_print(const struct publisher *publisher, int64_t elapsed_us, int64_t cpu_us)
{
    double seconds = (double)elapsed_us / 1e6;
    printf("{\"sent\":%" PRId64 ",\"acknowledged\":%" PRId64 ",\"start_us\":%" PRId64
           ",\"seconds\":%.6f,\"rate\":%.1f,"
           "\"cpu_seconds\":%.6f,\"ack_p50_us\":%" PRId64 ",\"ack_p99_us\":%" PRId64 "}\n",
           publisher->sent, publisher->acknowledged, publisher->start_us, seconds,
           (double)publisher->sent / seconds,
           (double)cpu_us / 1e6, histogram_quantile(&publisher->ack_us, 0.5),
           histogram_quantile(&publisher->ack_us, 0.99));
}

static void
publisher_open(struct publisher *publisher)
{
    const struct options *options = &publisher->options;
    if (!template_cut(&publisher->topic, bytes_of_string(options->topic)) ||
        !template_cut(&publisher->payload, bytes_of_string(options->payload))) {
        tool_fail("a template holds an unknown place holder or more than %d", TEMPLATE_PARTS_MAX);
    }
    if (options->ledger != NULL && (publisher->ledger = fopen(options->ledger, "we")) == NULL) {
        tool_fail("%s: %s", options->ledger, strerror(errno));
    }
    publisher->connections = mem_new_array(struct connection, (size_t)options->connections);
    publisher->polls = mem_new_array(struct pollfd, (size_t)options->connections);
    for (int64_t i = 0; i < options->connections; i++) {
        connection_open(&publisher->connections[i], options, (unsigned)i);
    }
}

static void
publisher_close(struct publisher *publisher, const struct option_table *table)
{
    for (int64_t i = 0; i < publisher->options.connections; i++) {
        struct connection *connection = &publisher->connections[i];
        static const unsigned char disconnect[] = {0xe0, 0};
        if (send(connection->fd, disconnect, sizeof disconnect, MSG_NOSIGNAL) < 0) {
            fprintf(stderr, "disconnect: %s\n", strerror(errno));
        }
        close(connection->fd);
        free(connection->slots);
        free(connection->free_slots);
        buf_fini(&connection->out);
    }
    if (publisher->ledger != NULL && fclose(publisher->ledger) != 0) {
        tool_fail("%s: %s", publisher->options.ledger, strerror(errno));
    }
    free(publisher->connections);
    free(publisher->polls);
    buf_fini(&publisher->scratch);
    option_fini(table, &publisher->options);
}

int
main(int argc, char **argv)
{
    static const struct option_table table = {option_rows,
                                              sizeof option_rows / sizeof *option_rows};
    struct publisher *publisher = mem_new(struct publisher);
    publisher->random = 0x9e3779b97f4a7c15ULL;
    tool_options(&table, &publisher->options, "mqtt_publish: publishes numbered messages.", argc,
                 argv);
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    publisher_open(publisher);
    int64_t cpu_us = tool_cpu_us();
    publisher_run(publisher);
    publisher_print(publisher, tool_mono_us() - publisher->start_us, tool_cpu_us() - cpu_us);
    publisher_close(publisher, &table);
    free(publisher);
    return 0;
}
