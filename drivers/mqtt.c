/*
 * The connection to a broker: Paho's MQTTAsync tamed.
 *
 * Paho 1.3 has one receive thread, one send thread and one mutex for a process, and calls back
 * with that mutex held. What follows from that, and from its known faults, shapes this file:
 *
 *   owner's thread      mqtt_step(): the state machine below; every Paho call except publish
 *   Paho's threads      callbacks: hand a message or a publish result to the user, or put an
 *                       `event` into the queue and write to the eventfd. They call nothing.
 *
 *      WAITING --deadline--> CONNECTING --CONNACK--> CONNECTED --lost--> WAITING
 *         ^                      | refused, failed, timed out
 *         +----------------------+
 *
 * - Paho's automaticReconnect never subscribes again and hides what the broker said; so each
 *   attempt is a fresh MQTTAsync_connect() with fresh options (certificates are read again).
 * - The client is created once and never destroyed; whoever is done calls _exit().
 * - A version fall-back needs a new process: Paho keeps a client at the version it was refused
 *   with, and frees uninitialised memory after the two-byte CONNACK of a broker that only speaks
 *   3.1.1. The process therefore ends inside that callback, before Paho goes on.
 * - A DISCONNECT from the broker does not lead to `connectionLost`, only to `disconnected`.
 * - An answer that belongs to an earlier connection carries an older `epoch` and is passed over.
 * - http_proxy and https_proxy in the environment would redirect MQTT; they are removed.
 * - Paho traces each call and packet into a ring in memory unless told otherwise, which costs a
 *   third of its time. Only who sets MQTT_C_CLIENT_TRACE, and so reads it, gets it.
 */
#define _GNU_SOURCE
#include "drivers/mqtt.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "drivers/mqtt_gate.h"

#include <MQTTAsync.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    PAHO_STUCK_MS = 30000,     /* longer than Paho may take to fail an attempt */
    FIRST_PAUSE_MS = 1000,     /* the jitter's range after the first failure; doubles */
    SHORT_LIVED_MS = 5000,     /* a connection lost sooner counts as a failed attempt */
    CAREFUL_PAUSE_MS = 2000,   /* the least pause when trying again at once is rude or useless */
    REPEAT_LOG_MS = 60000,
    QUEUED_MAX = 2000,         /* Paho's own queue; the owner's window is always smaller */
    REASON_MAX = 240,
};

enum phase { PHASE_WAITING, PHASE_CONNECTING, PHASE_CONNECTED, PHASE_CLOSED };

enum event_kind {
    EVENT_CONNECTED,
    EVENT_REFUSED, /* the attempt failed: `code` or `text` */
    EVENT_LOST,    /* `code` when the broker said why */
    EVENT_ANSWER,
    EVENT_CLOSED, /* our goodbye is through */
};

struct event {
    enum event_kind kind;
    uint32_t epoch;
    uint64_t token;
    unsigned code; /* 0: none */
    struct mqtt_session session;
    char text[REASON_MAX];
};

struct mqtt_connection {
    struct mqtt_options options;
    struct mqtt_events events;
    char *uri;
    MQTTAsync client;
    int wake_fd;

    /* the owner's */
    enum phase phase;
    int64_t deadline_us; /* WAITING: of the next attempt; CONNECTING: of Paho's patience */
    int64_t connected_at_us;
    unsigned failures; /* in a row */
    unsigned short_lived; /* connections in a row that were lost at once */
    struct log_gate gate;
    struct buf last_reason;

    /* both sides' */
    _Atomic uint32_t epoch; /* of the connection; raised when it is lost */
    _Atomic bool is_connected;
    _Atomic bool is_resumed; /* the broker kept the session */
    pthread_mutex_t lock; /* of what follows; never held while calling anything */
    struct event *queue;
    size_t queue_count;
    size_t queue_capacity;
    char tls_error[REASON_MAX];

    struct arena arena; /* Paho's receive thread: properties of the message at hand */
};

/* What Paho gives back with the answer to a request. Freed there: each request is answered once. */
struct request {
    struct mqtt_connection *connection;
    uint64_t token;
    uint32_t epoch;
    bool is_publication;
};

/* ---- Paho's side ---- */

static void
put_event(struct mqtt_connection *connection, const struct event *event)
{
    pthread_mutex_lock(&connection->lock);
    connection->queue = mem_grow(connection->queue, connection->queue_count,
                                 &connection->queue_capacity, sizeof *connection->queue);
    connection->queue[connection->queue_count++] = *event;
    pthread_mutex_unlock(&connection->lock);
    eventfd_write(connection->wake_fd, 1);
}

static void
put_loss(struct mqtt_connection *connection, unsigned code)
{
    atomic_store(&connection->is_connected, false);
    struct event event = {.kind = EVENT_LOST,
                          .epoch = atomic_fetch_add(&connection->epoch, 1),
                          .code = code};
    put_event(connection, &event);
}

static void
on_connection_lost(void *context, char *cause)
{
    put_loss(context, 0);
}

static void
on_broker_disconnect(void *context, MQTTProperties *properties, enum MQTTReasonCodes code)
{
    put_loss(context, (unsigned)code);
}

static void
put_connected(struct mqtt_connection *connection, struct mqtt_session session)
{
    atomic_store(&connection->is_resumed, session.is_present);
    atomic_store(&connection->is_connected, true);
    struct event event = {.kind = EVENT_CONNECTED,
                          .epoch = atomic_load(&connection->epoch),
                          .session = session};
    put_event(connection, &event);
}

static void
on_connected(void *context, MQTTAsync_successData *data)
{
    put_connected(context, (struct mqtt_session){.is_present = data->alt.connect.sessionPresent,
                                                 .receive_max = UINT16_MAX,
                                                 .version = MQTT_3_1_1});
}

static void
on_connected5(void *context, MQTTAsync_successData5 *data)
{
    struct mqtt_session session = {.is_present = data->alt.connect.sessionPresent,
                                   .receive_max = UINT16_MAX,
                                   .version = MQTT_5};
    MQTTProperty *receive_max = MQTTProperties_getProperty(
            &data->properties, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM);
    if (receive_max != NULL && receive_max->value.integer2 > 0) {
        session.receive_max = receive_max->value.integer2;
    }
    put_connected(context, session);
}

static void
put_refusal(struct mqtt_connection *connection, int code, const char *text)
{
    bool is_version_refused = code == 1 || code == MQTTREASONCODE_UNSUPPORTED_PROTOCOL_VERSION;
    if (is_version_refused && connection->options.version == MQTT_5) {
        log_notice("the broker does not speak MQTT 5, going on with MQTT 3.1.1");
        _exit(MQTT_EXIT_VERSION);
    }
    struct event event = {.kind = EVENT_REFUSED,
                          .epoch = atomic_load(&connection->epoch),
                          .code = code > 0 ? (unsigned)code : 0};
    snprintf(event.text, sizeof event.text, "%s", text == NULL ? "" : text);
    put_event(connection, &event);
}

static void
on_refused(void *context, MQTTAsync_failureData *data)
{
    put_refusal(context, data->code, data->message);
}

static void
on_refused5(void *context, MQTTAsync_failureData5 *data)
{
    put_refusal(context, data->code > 0 ? data->code : (int)data->reasonCode, data->message);
}

/* OpenSSL's words, a call for each line: thread:error:code:library:function:reason:file:line:. */
static int
on_tls_error(const char *text, size_t size, void *context)
{
    struct mqtt_connection *connection = context;
    struct bytes rest = bytes_trim(bytes_of(text, size)), reason;
    for (int field = 0; field < 6 && bytes_split(&rest, ':', &reason); field++) {
    }
    pthread_mutex_lock(&connection->lock);
    snprintf(connection->tls_error, sizeof connection->tls_error, "%.*s", BYTES_ARG(reason));
    pthread_mutex_unlock(&connection->lock);
    return 1;
}

static struct bytes
bytes_of_paho(MQTTLenString string)
{
    return bytes_of(string.data, string.len < 0 ? 0 : (size_t)string.len);
}

static void
take_property(struct mqtt_message *message, struct message_property *user,
              const MQTTProperty *property)
{
    struct message_props *props = &message->props;
    switch (property->identifier) {
    case MQTTPROPERTY_CODE_PAYLOAD_FORMAT_INDICATOR:
        props->payload_is_text = property->value.byte == 1;
        break;
    case MQTTPROPERTY_CODE_CONTENT_TYPE:
        props->content_type = bytes_of_paho(property->value.data);
        break;
    case MQTTPROPERTY_CODE_RESPONSE_TOPIC:
        props->response_topic = bytes_of_paho(property->value.data);
        break;
    case MQTTPROPERTY_CODE_CORRELATION_DATA:
        props->correlation = bytes_of_paho(property->value.data);
        break;
    case MQTTPROPERTY_CODE_USER_PROPERTY:
        user[props->user_count++] =
                (struct message_property){bytes_of_paho(property->value.data),
                                          bytes_of_paho(property->value.value)};
        break;
    case MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER:
        if (message->subscription == 0 || property->value.integer4 < message->subscription) {
            message->subscription = property->value.integer4;
        }
        return;
    default:
        return; /* expiry and the like concern the broker */
    }
    message->has_props = true;
}

static int
on_message(void *context, char *topic, int topic_size, MQTTAsync_message *arrived)
{
    struct mqtt_connection *connection = context;
    struct mqtt_message message = {
            .topic = bytes_of(topic, topic_size > 0 ? (size_t)topic_size : strlen(topic)),
            .payload = bytes_of(arrived->payload, (size_t)arrived->payloadlen),
            .qos = (unsigned)arrived->qos,
            .is_retained = arrived->retained,
            .is_dup = arrived->dup,
            .packet = arrived->qos > 0 ? (unsigned)arrived->msgid : 0,
            .connection = atomic_load_explicit(&connection->epoch, memory_order_relaxed),
            .is_resumed = atomic_load_explicit(&connection->is_resumed, memory_order_relaxed),
    };
    if (arrived->properties.count > 0) {
        size_t count = (size_t)arrived->properties.count;
        struct message_property *user =
                arena_new_array(&connection->arena, struct message_property, count);
        message.props.user = user;
        for (size_t i = 0; i < count; i++) {
            take_property(&message, user, &arrived->properties.array[i]);
        }
    }
    connection->events.message(connection->events.context, &message);
    if (arrived->properties.count > 0) {
        arena_reset(&connection->arena);
    }
    MQTTAsync_freeMessage(&arrived);
    MQTTAsync_free(topic);
    return 1; /* 0 would acknowledge all the same, and keep the message in memory for ever */
}

static void
answer(struct request *request, unsigned code)
{
    struct mqtt_connection *connection = request->connection;
    uint64_t token = request->token;
    uint32_t epoch = request->epoch;
    bool is_publication = request->is_publication;
    free(request);
    if (epoch != atomic_load(&connection->epoch)) {
        return;
    }
    if (is_publication) {
        connection->events.published(connection->events.context, token, code);
        return;
    }
    struct event event = {.kind = EVENT_ANSWER, .epoch = epoch, .token = token, .code = code};
    put_event(connection, &event);
}

static void
on_success(void *context, MQTTAsync_successData *data)
{
    answer(context, 0);
}

static void
on_success5(void *context, MQTTAsync_successData5 *data)
{
    answer(context, 0);
}

/* MQTT 3.1.1 has the one refusal 0x80; a negative code is Paho giving up with the connection. */
static void
on_failure(void *context, MQTTAsync_failureData *data)
{
    answer(context, data->code > 127 ? (unsigned)data->code : MQTT_CODE_UNSENT);
}

static void
on_failure5(void *context, MQTTAsync_failureData5 *data)
{
    int code = (int)data->reasonCode;
    answer(context, code > 127 ? (unsigned)code : MQTT_CODE_UNSENT);
}

static void
on_goodbye(void *context, MQTTAsync_successData *data)
{
    struct event event = {.kind = EVENT_CLOSED};
    put_event(context, &event);
}

static void
on_goodbye5(void *context, MQTTAsync_successData5 *data)
{
    on_goodbye(context, NULL);
}

/* ---- opening ---- */

static bool
check_readable(const struct mqtt_options *options, const char *name, const char *path,
               struct diag_list *diags)
{
    if (path != NULL && access(path, R_OK) < 0) {
        diag_io_error(diags, errno, "cannot read %s%s '%s'", options->option_prefix, name, path);
        return false;
    }
    return true;
}

static bool
check_options(const struct mqtt_options *options, struct diag_list *diags)
{
    const char *prefix = options->option_prefix;
    bool valid = check_readable(options, "ca", options->ca, diags);
    valid &= check_readable(options, "certificate", options->certificate, diags);
    valid &= check_readable(options, "key", options->key, diags);
    bool is_paho_s_tls = options->address.is_tls && options->gate == NULL;
    if (is_paho_s_tls && options->address.is_ipv6 && !options->is_insecure) {
        diag_error(diags, DIAG_INVALID,
                   "the certificate of a broker cannot be checked against an IPv6 address");
        diag_hint(diags, "use the broker's host name, as in its certificate");
        valid = false;
    }
    bool has_tls_option =
            options->ca != NULL || options->certificate != NULL || options->key != NULL;
    if (!options->address.is_tls && has_tls_option) {
        diag_error(diags, DIAG_INVALID, "%sca, %scertificate and %skey need TLS", prefix, prefix,
                   prefix);
        diag_hint(diags, "write the broker's address as mqtts://%.*s",
                  BYTES_ARG(options->address.host));
        valid = false;
    }
    if (options->key != NULL && options->certificate == NULL) {
        diag_error(diags, DIAG_INVALID, "%skey is set but %scertificate is not", prefix, prefix);
        valid = false;
    }
    return valid;
}

static char *
print_uri(const struct mqtt_address *address)
{
    struct buf uri = {0};
    buf_printf(&uri, address->is_ipv6 ? "%s[%.*s]:%u" : "%s%.*s:%u",
               address->is_tls ? "mqtts://" : "mqtt://", BYTES_ARG(address->host), address->port);
    return buf_take_string(&uri);
}

/* Where Paho connects to. */
static char *
make_uri(const struct mqtt_connection *connection)
{
    const struct mqtt_gate *gate = connection->options.gate;
    const struct mqtt_address here = {
            .host = BYTES("127.0.0.1"), .port = gate == NULL ? 0 : mqtt_gate_port(gate)};
    return print_uri(gate == NULL ? &connection->options.address : &here);
}

static bool
create_client(struct mqtt_connection *connection, struct diag_list *diags)
{
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer;
    create.MQTTVersion = (int)connection->options.version;
    create.maxBufferedMessages = QUEUED_MAX;
    char *uri = make_uri(connection);
    int code = MQTTAsync_createWithOptions(&connection->client, uri,
                                           connection->options.client_id,
                                           MQTTCLIENT_PERSISTENCE_NONE, NULL, &create);
    free(uri);
    if (code == MQTTASYNC_SUCCESS) {
        code = MQTTAsync_setCallbacks(connection->client, connection, on_connection_lost,
                                      on_message, NULL);
    }
    if (code == MQTTASYNC_SUCCESS) {
        code = MQTTAsync_setDisconnected(connection->client, connection, on_broker_disconnect);
    }
    if (code != MQTTASYNC_SUCCESS) {
        const char *text = MQTTAsync_strerror(code);
        diag_error(diags, DIAG_INVALID, "the MQTT library refuses client id '%s': %s",
                   connection->options.client_id, text == NULL ? "unknown error" : text);
    }
    return code == MQTTASYNC_SUCCESS;
}

bool
mqtt_open(struct mqtt_connection **out, const struct mqtt_options *options,
          const struct mqtt_events *events, struct diag_list *diags)
{
    if (!check_options(options, diags)) {
        return false;
    }
    unsetenv("http_proxy");
    unsetenv("https_proxy");
    if (getenv("MQTT_C_CLIENT_TRACE") == NULL) {
        MQTTAsync_setTraceLevel(MQTTASYNC_TRACE_ERROR);
    }
    struct mqtt_connection *connection = mem_new(struct mqtt_connection);
    connection->options = *options;
    connection->events = *events;
    connection->uri = print_uri(&options->address);
    connection->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    check(connection->wake_fd >= 0);
    check(pthread_mutex_init(&connection->lock, NULL) == 0);
    if (!create_client(connection, diags)) {
        return false; /* the process is going to end: nothing of Paho can be given back safely */
    }
    if (options->address.is_tls && options->is_insecure) {
        log_warning("%sinsecure is set: anybody on the way can be the broker",
                    options->option_prefix);
    }
    *out = connection;
    return true;
}

int
mqtt_fd(const struct mqtt_connection *connection)
{
    return connection->wake_fd;
}

bool
mqtt_is_connected(const struct mqtt_connection *connection)
{
    return atomic_load(&connection->is_connected);
}

/* ---- an attempt ---- */

static void
add_number(MQTTProperties *properties, enum MQTTPropertyCodes code, uint32_t value)
{
    MQTTProperty property = {.identifier = code};
    property.value.integer4 = value;
    check(MQTTProperties_add(properties, &property) == 0);
}

static void
set_connect5(MQTTAsync_connectOptions *connect, MQTTProperties *properties,
             struct mqtt_connection *connection)
{
    const struct mqtt_options *options = &connection->options;
    *connect = (MQTTAsync_connectOptions)MQTTAsync_connectOptions_initializer5;
    connect->cleanstart = !options->is_session_kept;
    connect->onSuccess5 = on_connected5;
    connect->onFailure5 = on_refused5;
    if (options->is_session_kept) {
        add_number(properties, MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL,
                   (uint32_t)(options->session_expiry_ms / 1000));
    }
    add_number(properties, MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE, options->packet_max_bytes);
    if (options->receive_max > 0) {
        MQTTProperty property = {.identifier = MQTTPROPERTY_CODE_RECEIVE_MAXIMUM};
        property.value.integer2 = (unsigned short)options->receive_max;
        check(MQTTProperties_add(properties, &property) == 0);
    }
    connect->connectProperties = properties;
}

static void
set_connect(MQTTAsync_connectOptions *connect, struct mqtt_connection *connection)
{
    *connect = (MQTTAsync_connectOptions)MQTTAsync_connectOptions_initializer;
    connect->MQTTVersion = MQTTVERSION_3_1_1;
    connect->cleansession = !connection->options.is_session_kept;
    connect->onSuccess = on_connected;
    connect->onFailure = on_refused;
}

static void
set_tls(MQTTAsync_SSLOptions *tls, struct mqtt_connection *connection)
{
    const struct mqtt_options *options = &connection->options;
    *tls = (MQTTAsync_SSLOptions)MQTTAsync_SSLOptions_initializer;
    tls->trustStore = options->ca;
    tls->keyStore = options->certificate;
    tls->privateKey = options->key;
    tls->enableServerCertAuth = !options->is_insecure;
    tls->verify = !options->is_insecure; /* the host name: Paho's default takes any */
    tls->sslVersion = MQTT_SSL_VERSION_TLS_1_2;
    tls->ssl_error_cb = on_tls_error;
    tls->ssl_error_context = connection;
}

static void fail_attempt(struct mqtt_connection *connection, unsigned code, const char *text);

static void
start_attempt(struct mqtt_connection *connection)
{
    const struct mqtt_options *options = &connection->options;
    MQTTProperties properties = MQTTProperties_initializer;
    MQTTAsync_connectOptions connect;
    MQTTAsync_SSLOptions tls;
    if (options->version == MQTT_5) {
        set_connect5(&connect, &properties, connection);
    } else {
        set_connect(&connect, connection);
    }
    if (options->address.is_tls && options->gate == NULL) {
        set_tls(&tls, connection);
        connect.ssl = &tls;
    }
    connect.context = connection;
    connect.keepAliveInterval = (int)(options->keepalive_ms / 1000);
    connect.connectTimeout = MQTT_CONNECT_TIMEOUT_S;
    connect.maxInflight = (int)options->window + 2;
    connect.username = options->username;
    connect.password = options->password;
    connection->tls_error[0] = '\0';
    connection->phase = PHASE_CONNECTING;
    connection->deadline_us = os_posix.mono_us(&os_posix) + (int64_t)PAHO_STUCK_MS * 1000;
    int code = MQTTAsync_connect(connection->client, &connect);
    MQTTProperties_free(&properties);
    if (code != MQTTASYNC_SUCCESS) {
        const char *text = MQTTAsync_strerror(code);
        fail_attempt(connection, 0, text == NULL ? "the MQTT library refuses" : text);
    }
}

/* ---- the owner's state machine ---- */

static int64_t
now_us(void)
{
    return os_posix.mono_us(&os_posix);
}

/* Full jitter: anything up to a range that doubles with each failure. */
static int64_t
pause_ms(const struct mqtt_connection *connection, bool is_careful)
{
    int64_t range = FIRST_PAUSE_MS;
    for (unsigned i = 1; i < connection->failures && range < connection->options.reconnect_max_ms;
         i++) {
        range *= 2;
    }
    if (range > connection->options.reconnect_max_ms) {
        range = connection->options.reconnect_max_ms;
    }
    uint32_t random;
    os_posix.random(&os_posix, &random, sizeof random);
    int64_t pause = 50 + (int64_t)(random % (uint64_t)range);
    return is_careful && pause < CAREFUL_PAUSE_MS ? CAREFUL_PAUSE_MS + pause / 4 : pause;
}

static void
report(struct mqtt_connection *connection, struct bytes reason, int64_t pause)
{
    int64_t now_ms = now_us() / 1000;
    if (!bytes_equal(reason, buf_bytes(&connection->last_reason))) {
        connection->gate = (struct log_gate){0};
        buf_clear(&connection->last_reason);
        buf_append(&connection->last_reason, reason);
    }
    if (log_gate_open(&connection->gate, now_ms, REPEAT_LOG_MS)) {
        log_warning("%.*s; trying again in %.1f s (attempt %u)", BYTES_ARG(reason),
                    (double)pause / 1000.0, connection->failures);
    }
}

static void
wait_and_retry(struct mqtt_connection *connection, struct bytes reason, bool is_careful)
{
    connection->failures++;
    int64_t pause = pause_ms(connection, is_careful);
    connection->phase = PHASE_WAITING;
    connection->deadline_us = now_us() + pause * 1000;
    report(connection, reason, pause);
    if (connection->events.failed != NULL) {
        connection->events.failed(connection->events.context, reason);
    }
}

static void
fail_attempt(struct mqtt_connection *connection, unsigned code, const char *text)
{
    char tls_error[REASON_MAX];
    pthread_mutex_lock(&connection->lock);
    memcpy(tls_error, connection->tls_error, sizeof tls_error);
    pthread_mutex_unlock(&connection->lock);
    struct buf reason = {0};
    mqtt_explain_failure(&connection->options, code, text, tls_error, &reason);
    wait_and_retry(connection, buf_bytes(&reason), code != 0);
    buf_fini(&reason);
}

static void
handle_connected(struct mqtt_connection *connection, const struct event *event)
{
    connection->phase = PHASE_CONNECTED;
    connection->connected_at_us = now_us();
    connection->gate = (struct log_gate){0};
    buf_clear(&connection->last_reason);
    log_info("connected to %s as '%s' with MQTT %s, %s", connection->uri,
             connection->options.client_id,
             event->session.version == MQTT_5 ? "5" : "3.1.1",
             !connection->options.is_session_kept ? "new session"
             : event->session.is_present          ? "the broker kept the session"
                                                  : "the broker had no session of ours");
    if (connection->options.sends_at_once) {
        mqtt_send_at_once(connection->options.address.port);
    }
    connection->events.connected(connection->events.context, &event->session);
}

static void
handle_lost(struct mqtt_connection *connection, const struct event *event)
{
    if (connection->phase != PHASE_CONNECTED) {
        return; /* of a connection that was given up already */
    }
    bool is_short_lived =
            now_us() - connection->connected_at_us < (int64_t)SHORT_LIVED_MS * 1000;
    connection->short_lived = is_short_lived ? connection->short_lived + 1 : 0;
    if (!is_short_lived) {
        connection->failures = 0;
    }
    struct buf reason = {0};
    buf_append_string(&reason, "connection lost");
    if (event->code != 0) {
        buf_printf(&reason, ": %s", mqtt_describe_code(event->code));
    }
    bool is_taken_over = event->code == MQTTREASONCODE_SESSION_TAKEN_OVER;
    if (is_taken_over || (event->code == 0 && connection->short_lived >= 3)) {
        buf_printf(&reason, "; %s client uses the id '%s' (%sclient_id)",
                   is_taken_over ? "another" : "perhaps another", connection->options.client_id,
                   connection->options.option_prefix);
    }
    connection->events.lost(connection->events.context, buf_bytes(&reason));
    wait_and_retry(connection, buf_bytes(&reason), is_taken_over || is_short_lived);
    buf_fini(&reason);
}

static void
handle_event(struct mqtt_connection *connection, const struct event *event)
{
    switch (event->kind) {
    case EVENT_CONNECTED:
        if (connection->phase == PHASE_CONNECTING) {
            handle_connected(connection, event);
        }
        break;
    case EVENT_REFUSED:
        if (connection->phase == PHASE_CONNECTING) {
            fail_attempt(connection, event->code, event->text);
        }
        break;
    case EVENT_LOST:
        handle_lost(connection, event);
        break;
    case EVENT_ANSWER:
        if (event->epoch == atomic_load(&connection->epoch)) {
            connection->events.answered(connection->events.context, event->token, event->code);
        }
        break;
    case EVENT_CLOSED:
        connection->phase = PHASE_CLOSED;
        break;
    }
}

static void
drain_events(struct mqtt_connection *connection)
{
    eventfd_t ignored;
    eventfd_read(connection->wake_fd, &ignored);
    pthread_mutex_lock(&connection->lock);
    struct event *events = connection->queue;
    size_t count = connection->queue_count;
    connection->queue = NULL;
    connection->queue_count = connection->queue_capacity = 0;
    pthread_mutex_unlock(&connection->lock);
    for (size_t i = 0; i < count; i++) {
        handle_event(connection, &events[i]);
    }
    free(events);
}

int64_t
mqtt_step(struct mqtt_connection *connection)
{
    drain_events(connection);
    bool is_due = now_us() >= connection->deadline_us;
    if (connection->phase == PHASE_WAITING && is_due) {
        start_attempt(connection);
    } else if (connection->phase == PHASE_CONNECTING && is_due) {
        log_error("the MQTT library does not finish an attempt to connect; starting again");
        _exit(MQTT_EXIT_RETRY);
    }
    bool is_idle = connection->phase == PHASE_CONNECTED || connection->phase == PHASE_CLOSED;
    return is_idle ? INT64_MAX : connection->deadline_us;
}

/* ---- requests ---- */

static MQTTAsync_responseOptions
response_for(struct mqtt_connection *connection, uint64_t token, bool is_publication)
{
    struct request *request = mem_new(struct request);
    *request = (struct request){connection, token, atomic_load(&connection->epoch),
                                is_publication};
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    response.context = request;
    if (connection->options.version == MQTT_5) {
        response.onSuccess5 = on_success5;
        response.onFailure5 = on_failure5;
    } else {
        response.onSuccess = on_success;
        response.onFailure = on_failure;
    }
    return response;
}

static bool
is_accepted(int code, const MQTTAsync_responseOptions *response)
{
    if (code != MQTTASYNC_SUCCESS) {
        free(response->context);
    }
    return code == MQTTASYNC_SUCCESS;
}

bool
mqtt_subscribe(struct mqtt_connection *connection, const char *filter, uint32_t id, uint64_t token)
{
    if (!mqtt_is_connected(connection)) {
        return false;
    }
    MQTTAsync_responseOptions response = response_for(connection, token, false);
    if (connection->options.version == MQTT_5) {
        response.subscribeOptions.retainHandling = 1;
        add_number(&response.properties, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER, id);
    }
    int code = MQTTAsync_subscribe(connection->client, filter,
                                   connection->options.is_at_most_once ? 0 : 1, &response);
    MQTTProperties_free(&response.properties);
    return is_accepted(code, &response);
}

bool
mqtt_unsubscribe(struct mqtt_connection *connection, const char *filter, uint64_t token)
{
    if (!mqtt_is_connected(connection)) {
        return false;
    }
    MQTTAsync_responseOptions response = response_for(connection, token, false);
    return is_accepted(MQTTAsync_unsubscribe(connection->client, filter, &response), &response);
}

static void
add_user_property(MQTTProperties *properties, const struct message_property *user)
{
    MQTTProperty property = {.identifier = MQTTPROPERTY_CODE_USER_PROPERTY};
    property.value.data.data = (char *)(uintptr_t)user->name.data;
    property.value.data.len = (int)user->name.size;
    property.value.value.data = (char *)(uintptr_t)user->value.data;
    property.value.value.len = (int)user->value.size;
    check(MQTTProperties_add(properties, &property) == 0);
}

/* A string or binary property; an empty one is absent. */
static void
add_data(MQTTProperties *properties, enum MQTTPropertyCodes code, struct bytes data)
{
    MQTTProperty property = {.identifier = code};
    if (data.size > 0) {
        property.value.data.data = (char *)(uintptr_t)data.data;
        property.value.data.len = (int)data.size;
        check(MQTTProperties_add(properties, &property) == 0);
    }
}

static void
add_publication(MQTTProperties *properties, const struct mqtt_publication *publication)
{
    const struct message_props *props = &publication->props;
    if (props->payload_is_text) {
        MQTTProperty property = {.identifier = MQTTPROPERTY_CODE_PAYLOAD_FORMAT_INDICATOR};
        property.value.byte = 1;
        check(MQTTProperties_add(properties, &property) == 0);
    }
    if (publication->expires) {
        add_number(properties, MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL, publication->expiry_s);
    }
    add_data(properties, MQTTPROPERTY_CODE_CONTENT_TYPE, props->content_type);
    add_data(properties, MQTTPROPERTY_CODE_RESPONSE_TOPIC, props->response_topic);
    add_data(properties, MQTTPROPERTY_CODE_CORRELATION_DATA, props->correlation);
    for (size_t i = 0; i < props->user_count; i++) {
        add_user_property(properties, &props->user[i]);
    }
}

bool
mqtt_publish(struct mqtt_connection *connection, const struct mqtt_publication *publication,
             uint64_t token)
{
    MQTTAsync_responseOptions response = response_for(connection, token, true);
    if (connection->options.version == MQTT_5) {
        add_publication(&response.properties, publication);
    }
    check(publication->payload.size <= INT32_MAX);
    int code = MQTTAsync_send(connection->client, publication->topic,
                              (int)publication->payload.size, publication->payload.data,
                              publication->qos, publication->is_retained, &response);
    MQTTProperties_free(&response.properties);
    return is_accepted(code, &response);
}

void
mqtt_disconnect(struct mqtt_connection *connection, int timeout_ms)
{
    MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer;
    if (connection->options.version == MQTT_5) {
        options = (MQTTAsync_disconnectOptions)MQTTAsync_disconnectOptions_initializer5;
        options.onSuccess5 = on_goodbye5;
    } else {
        options.onSuccess = on_goodbye;
    }
    options.context = connection;
    if (!mqtt_is_connected(connection) ||
        MQTTAsync_disconnect(connection->client, &options) != MQTTASYNC_SUCCESS) {
        return;
    }
    int64_t until_us = now_us() + (int64_t)timeout_ms * 1000;
    while (connection->phase != PHASE_CLOSED && now_us() < until_us) {
        struct pollfd wake = {.fd = connection->wake_fd, .events = POLLIN};
        poll(&wake, 1, 10);
        drain_events(connection);
    }
}
