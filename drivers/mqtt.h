/*
 * One connection to an MQTT broker, on Eclipse Paho's MQTTAsync. Only drivers/mqtt.c knows Paho.
 *
 * A process has at most one connection, creates it once and ends with _exit(): Paho serves all
 * clients of a process with one thread and one mutex, and has no safe way to give a client up.
 *
 * Threads. The *owner* is the thread that opened the connection; it polls mqtt_fd() and calls
 * mqtt_step(), which connects, reconnects and tells what happened. Messages and publish results
 * arrive on Paho's thread, with Paho's mutex held: those two functions may append to a file and
 * set flags; the only call back into this module that they may make is mqtt_publish(). Nobody may
 * hold a lock that these functions take while calling into this module.
 */
#ifndef HEADGATE_DRIVERS_MQTT_H
#define HEADGATE_DRIVERS_MQTT_H

#include "base/diag.h"
#include "message.h"

enum { MQTT_CONNECT_TIMEOUT_S = 10 };

enum {
    MQTT_EXIT_RETRY = 75,   /* EX_TEMPFAIL: start again */
    MQTT_EXIT_VERSION = 76, /* EX_PROTOCOL: start again with MQTT 3.1.1 */
};

struct mqtt_address {
    struct bytes host; /* without brackets; a view into the URL */
    unsigned port;
    bool is_tls;
    bool is_ipv6; /* a literal address */
};

/* mqtt://host[:1883], mqtts://host[:8883]; an IPv6 address in brackets. */
bool mqtt_address_parse(struct bytes url, struct mqtt_address *out, struct diag_list *diags)
        MUST_CHECK;

enum mqtt_version { MQTT_3_1_1 = 4, MQTT_5 = 5 };

struct mqtt_gate;

/* Strings are borrowed for the connection's life; NULL where there is none. */
struct mqtt_options {
    struct mqtt_address address;
    enum mqtt_version version;
    const char *option_prefix; /* "broker_": how messages name an option */
    const char *client_id;
    const char *username;
    const char *password;
    const char *ca;          /* PEM file; NULL: the system's */
    const char *certificate; /* PEM file, with its chain */
    const char *key;         /* PEM file; NULL: in `certificate` */
    bool is_insecure;        /* accept any certificate */
    bool is_session_kept;    /* else the broker forgets everything at each connect */
    int64_t session_expiry_ms;
    int64_t keepalive_ms;
    int64_t reconnect_max_ms;
    uint32_t packet_max_bytes; /* the broker drops what is larger (MQTT 5) */
    unsigned window;           /* QoS 1 publications that the owner lets be unacknowledged */
    unsigned receive_max;      /* those of the broker (MQTT 5); 0: it may send any number */
    bool is_at_most_once;      /* subscribe at QoS 0: the broker keeps nothing for us */
    struct mqtt_gate *gate;    /* connect through it (drivers/mqtt_gate.h); NULL: directly */
    bool sends_at_once;        /* TCP_NODELAY: for a publisher; a subscriber's acknowledgements
                                  had better share packets */
};

/* A "reason code" of our own: the request did not reach the broker, or its answer not us. */
enum { MQTT_CODE_UNSENT = 255 };

/* Views are valid until the function returns. */
struct mqtt_message {
    struct bytes topic;
    struct bytes payload;
    unsigned qos;
    bool is_retained;
    bool is_dup;
    unsigned packet;       /* its packet id; 0 with QoS 0 */
    uint32_t connection;   /* differs from that of messages of an earlier connection */
    bool is_resumed;       /* the broker kept the session from before this connection */
    uint32_t subscription; /* the lowest id that the broker names; 0: none */
    struct message_props props;
    bool has_props;
};

struct mqtt_session {
    bool is_present;      /* the broker kept the session: subscriptions and queued messages */
    unsigned receive_max; /* how many QoS 1 publications the broker takes unacknowledged */
    enum mqtt_version version;
};

struct mqtt_events {
    void *context;
    /*
     * Paho's thread. Returning acknowledges the message, or tells the gate that it may be once it
     * is safe; may wait at most half the keep-alive.
     */
    void (*message)(void *context, const struct mqtt_message *message);
    /* Paho's thread. `code` 0 to 127: the broker has it; else refused with that reason code. */
    void (*published)(void *context, uint64_t token, unsigned code);
    /* The owner, in mqtt_step(). */
    void (*connected)(void *context, const struct mqtt_session *session);
    /* The owner. An attempt failed, `reason` is a sentence; another follows. May be NULL. */
    void (*failed)(void *context, struct bytes reason);
    /* The owner. Requests without an answer will not get one. `reason` is a sentence. */
    void (*lost)(void *context, struct bytes reason);
    /* The owner. Of mqtt_subscribe() and mqtt_unsubscribe(); `code` >= 128: refused. */
    void (*answered)(void *context, uint64_t token, unsigned code);
};

struct mqtt_connection;

/*
 * Checks the options, reads nothing from the network. Fails on unreadable certificate files and on
 * what Paho cannot do. `options` and `events` are copied.
 */
bool mqtt_open(struct mqtt_connection **out, const struct mqtt_options *options,
               const struct mqtt_events *events, struct diag_list *diags) MUST_CHECK;

/* Readable when mqtt_step() has something to do. */
int mqtt_fd(const struct mqtt_connection *connection);

/*
 * Owner. Goes on; returns the monotonic time in microseconds of the next wanted call. Logs every
 * change of state, and repeated failures at most once a minute. Resolves names and may thus block
 * for seconds while there is no connection. Ends the process (MQTT_EXIT_VERSION, MQTT_EXIT_RETRY)
 * when Paho cannot be used any more.
 */
int64_t mqtt_step(struct mqtt_connection *connection);

bool mqtt_is_connected(const struct mqtt_connection *connection);

/*
 * Owner. Subscribes at QoS 1, or 0 (is_at_most_once); retained messages come only for a new
 * subscription. `id` goes into the subscription identifier (MQTT 5). False: not connected; there
 * will be no answer.
 */
bool mqtt_subscribe(struct mqtt_connection *connection, const char *filter, uint32_t id,
                    uint64_t token) MUST_CHECK;
bool mqtt_unsubscribe(struct mqtt_connection *connection, const char *filter, uint64_t token)
        MUST_CHECK;

struct mqtt_publication {
    const char *topic;
    struct bytes payload;
    int qos;
    bool is_retained;
    struct message_props props; /* left out under MQTT 3.1.1, and so is: */
    bool expires;
    uint32_t expiry_s; /* with `expires`: the broker keeps it that long for a subscriber */
};

/* Any thread. Copies. False: not connected or refused by Paho; there will be no `published`. */
bool mqtt_publish(struct mqtt_connection *connection, const struct mqtt_publication *publication,
                  uint64_t token) MUST_CHECK;

/* Owner. Says goodbye and waits at most `timeout_ms`; the session stays as the options say. */
void mqtt_disconnect(struct mqtt_connection *connection, int timeout_ms);

/* "not authorised": a reason code of MQTT 5, or 1 to 5 of a CONNACK of MQTT 3.1.1. */
const char *mqtt_describe_code(unsigned code);

/*
 * Whether no TCP connection to the address is possible; then `out` gets the reason. Blocks for as
 * long as resolving the name takes, and 2 s for each of its addresses.
 */
bool mqtt_explain_unreachable(const struct mqtt_address *address, struct buf *out);

/*
 * Appends why an attempt failed, a sentence: the broker's reason code (0: none), Paho's `text`, and
 * what TLS said (""). May block as mqtt_explain_unreachable() does.
 */
void mqtt_explain_failure(const struct mqtt_options *options, unsigned code, const char *text,
                          const char *tls_error, struct buf *out);

/* Sets TCP_NODELAY on this process's connection to that port; Paho does not tell its socket. */
void mqtt_send_at_once(unsigned broker_port);

#endif
