/*
 * mqtt-bridge: publishes each record to another broker, up to the cloud or across the plant.
 *
 * All of the delivery is in publisher_client.c and the publisher process, as for the gateway's own
 * broker: QoS 1, at least once, a window below the broker's Receive Maximum, MQTT 5 and 3.1.1
 * where that is refused, an id on every message (user property headgate-id). What is special:
 *
 *   connection   the process gets the gateway's configuration without anything about its broker, and
 *                this table's options in the places of those
 *   topic        a template of fields of the record: ${topic}, ${topic(2)}, ${rule}, ${table}
 *   session      none: what is not acknowledged is sent again out of the sink's own queue
 *
 * headgate-hops counts on across the bridge, so two gateways that bridge to each other end it.
 */
#define _GNU_SOURCE
#include "driver.h"

#include "base/mem.h"
#include "drivers/mqtt.h"
#include "drivers/publisher_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct bridge_options {
    char *url;
    char *topic;
    int64_t qos;
    bool retain;
    char *client_id;
    char *username;
    char *password;
    char *ca;
    char *certificate;
    char *key;
    bool insecure;
    int protocol;
    int64_t keepalive;
    int64_t window;
    int64_t reconnect_max;
};

static const char protocols[] = "auto|5|3.1.1";
static const char *const protocol_names[] = {"auto", "5", "3.1.1"};

struct bridge {
    const struct bridge_options *options;
    const struct driver_env *env;
    struct publisher_client *client;
};

/* ---- the topic ---- */

/* "topic(12)" gives 12; 0: it is something else. */
static int64_t
level_of(struct bytes field)
{
    int64_t level = 0;
    bool is_level = bytes_starts_with(field, BYTES("topic(")) && bytes_ends_with(field, BYTES(")")) &&
                    bytes_to_int64(bytes_slice(field, 6, field.size - 1), &level);
    return is_level && level > 0 ? level : 0;
}

/* The n-th level of a topic, from 1; empty when there are fewer. */
static struct bytes
take_level(struct bytes topic, int64_t number)
{
    struct bytes level = BYTES("");
    for (int64_t i = 0; i < number; i++) {
        if (!bytes_split(&topic, '/', &level)) {
            return BYTES("");
        }
    }
    return level;
}

static bool
expand_field(const struct bridge *bridge, struct bytes field, const struct sink_record *record,
             struct bytes *out)
{
    int64_t level = level_of(field);
    if (level > 0) {
        *out = take_level(record->source, level);
    } else if (bytes_equal(field, BYTES("topic"))) {
        *out = record->source;
    } else if (bytes_equal(field, BYTES("rule"))) {
        *out = record->rule;
    } else if (bytes_equal(field, BYTES("table"))) {
        *out = bytes_of_string(bridge->env->name);
    } else {
        return false;
    }
    return true;
}

/* The next piece of a template: text, or a field (`is_field`). */
static bool
next_piece(struct bytes *rest, struct bytes *piece, bool *is_field)
{
    if (rest->size == 0) {
        return false;
    }
    size_t end = bytes_find(*rest, '}');
    *is_field = bytes_starts_with(*rest, BYTES("${")) && end < rest->size;
    if (*is_field) {
        *piece = bytes_trim(bytes_slice(*rest, 2, end));
        *rest = bytes_slice(*rest, end + 1, rest->size);
        return true;
    }
    size_t size = 1;
    while (size < rest->size && rest->data[size] != '$') {
        size++;
    }
    *piece = bytes_slice(*rest, 0, size);
    *rest = bytes_slice(*rest, size, rest->size);
    return true;
}

static struct bytes
topic_of(void *context, const struct sink_record *record, struct arena *arena)
{
    const struct bridge *bridge = context;
    struct bytes rest = bytes_of_string(bridge->options->topic), piece;
    struct buf out = {.arena = arena};
    bool is_field;
    while (next_piece(&rest, &piece, &is_field)) {
        bool is_known = !is_field || expand_field(bridge, piece, record, &piece);
        check(is_known); /* check_topic() */
        buf_append(&out, piece);
    }
    return buf_bytes(&out);
}

static bool
check_topic(const struct bridge *bridge, struct diag_list *diags)
{
    struct bytes rest = bytes_of_string(bridge->options->topic), piece, ignored;
    const struct sink_record none = {0};
    bool is_field;
    while (next_piece(&rest, &piece, &is_field)) {
        if (is_field && !expand_field(bridge, piece, &none, &ignored)) {
            diag_error(diags, DIAG_INVALID, "option 'topic' has the unknown field '${%.*s}'",
                       BYTES_ARG(piece));
            diag_hint(diags, "there are ${topic}, ${topic(1)}, ${rule} and ${table}");
            return false;
        }
        if (!is_field && (bytes_find(piece, '+') < piece.size ||
                          bytes_find(piece, '#') < piece.size)) {
            diag_error(diags, DIAG_INVALID, "option 'topic' has a wildcard; it is published to");
            return false;
        }
    }
    return true;
}

/* ---- the connection ---- */

/* The process's configuration is lines of text. */
static bool
check_text(const char *name, const char *value, struct diag_list *diags)
{
    struct bytes text = bytes_of_string(value == NULL ? "x" : value);
    if (text.size == 0 || bytes_find(text, '\n') < text.size ||
        bytes_trim(text).size < text.size) {
        diag_error(diags, DIAG_INVALID,
                   "option '%s' is empty, has a line break, or a space at an end", name);
        return false;
    }
    return true;
}

static bool
check_file(const char *name, const char *path, struct diag_list *diags)
{
    if (!check_text(name, path, diags)) {
        return false;
    }
    if (path != NULL && access(path, R_OK) < 0) {
        diag_io_error(diags, errno, "cannot read '%s' '%s'", name, path);
        return false;
    }
    return true;
}

static bool
check_options(const struct bridge *bridge, struct diag_list *diags)
{
    const struct bridge_options *options = bridge->options;
    struct mqtt_address address;
    bool valid = check_text("url", options->url, diags) &&
                 mqtt_address_parse(bytes_of_string(options->url), &address, diags) &&
                 check_text("client_id", options->client_id, diags) &&
                 check_text("username", options->username, diags) &&
                 check_text("password", options->password, diags) &&
                 check_file("ca", options->ca, diags) &&
                 check_file("certificate", options->certificate, diags) &&
                 check_file("key", options->key, diags) && check_topic(bridge, diags);
    bool has_tls_option =
            options->ca != NULL || options->certificate != NULL || options->key != NULL;
    if (valid && has_tls_option && !address.is_tls) {
        diag_error(diags, DIAG_INVALID, "'ca', 'certificate' and 'key' need TLS");
        diag_hint(diags, "write the url as mqtts://%.*s", BYTES_ARG(address.host));
        return false;
    }
    if (valid && options->key != NULL && options->certificate == NULL) {
        diag_error(diags, DIAG_INVALID, "'key' is set but 'certificate' is not");
        return false;
    }
    return valid;
}

/* The gateway's options, without those of its own broker. Gives its client id. */
static struct bytes
copy_config(struct bytes config, struct buf *out)
{
    struct bytes line, client_id = BYTES("headgate");
    while (bytes_split(&config, '\n', &line)) {
        if (bytes_starts_with(line, BYTES("broker_client_id "))) {
            client_id = bytes_slice(line, strlen("broker_client_id "), line.size);
        }
        if (!bytes_starts_with(line, BYTES("broker"))) {
            buf_append(out, line);
            buf_append_char(out, '\n');
        }
    }
    return client_id;
}

static void
put(struct buf *out, const char *name, const char *value)
{
    if (value != NULL) {
        buf_printf(out, "%s %s\n", name, value);
    }
}

static void
print_config(const struct bridge *bridge, struct buf *out)
{
    const struct bridge_options *options = bridge->options;
    struct bytes client_id = copy_config(bridge->env->paths->config_text, out);
    put(out, "broker", options->url);
    if (options->client_id != NULL) {
        put(out, "broker_client_id", options->client_id);
    } else {
        buf_printf(out, "broker_client_id %.*s-%s\n", BYTES_ARG(client_id), bridge->env->name);
    }
    put(out, "broker_username", options->username);
    put(out, "broker_password", options->password);
    put(out, "broker_ca", options->ca);
    put(out, "broker_certificate", options->certificate);
    put(out, "broker_key", options->key);
    put(out, "broker_insecure", options->insecure ? "true" : "false");
    put(out, "broker_protocol", protocol_names[options->protocol]);
    buf_printf(out, "broker_keepalive %lldms\nreconnect_max %lldms\npublish_window %lld\n",
               (long long)options->keepalive, (long long)options->reconnect_max,
               (long long)options->window);
}

/* ---- the instance ---- */

static bool
bridge_open(void **out_instance, const struct driver_env *env, const void *options,
            const struct driver_declaration *declaration, struct diag_list *diags)
{
    struct bridge *bridge = mem_new(struct bridge);
    bridge->options = options;
    bridge->env = env;
    struct buf config = {0};
    bool is_open = check_options(bridge, diags);
    if (is_open) {
        print_config(bridge, &config);
        const struct publisher_settings settings = {.config = buf_bytes(&config),
                                                    .is_bridge = true,
                                                    .qos = bridge->options->qos,
                                                    .is_retained = bridge->options->retain,
                                                    .topic = topic_of,
                                                    .context = bridge};
        is_open = publisher_client_open(&bridge->client, env, &settings, diags);
        explicit_bzero(config.data, config.size);
    }
    buf_fini(&config);
    if (!is_open) {
        free(bridge);
        return false;
    }
    *out_instance = bridge;
    return true;
}

static void
bridge_close(void *instance)
{
    struct bridge *bridge = instance;
    publisher_client_close(bridge->client);
    free(bridge);
}

static void
bridge_write(void *instance, struct batch *batch)
{
    struct bridge *bridge = instance;
    publisher_client_write(bridge->client, batch);
}

static void
bridge_health(void *instance, struct health *out)
{
    struct bridge *bridge = instance;
    publisher_client_health(bridge->client, out);
}

#define FIELD(name) offsetof(struct bridge_options, name)

static const struct option bridge_options[] = {
        {.name = "url", .type = OPTION_STRING, .offset = FIELD(url), .required = true,
         .doc = "The other broker: mqtts://host[:8883], or mqtt://host[:1883] without TLS."},
        {.name = "topic", .type = OPTION_STRING, .offset = FIELD(topic), .fallback = "${topic}",
         .doc = "Where to publish: 'site1/${topic}'. ${topic} is the topic of the message that the "
                "record was made of, ${topic(2)} its second level; also ${rule} and ${table}."},
        {.name = "qos", .type = OPTION_INT, .offset = FIELD(qos), .fallback = "1", .max = 1,
         .doc = "Quality of service; with 0 a message counts as delivered once it is sent."},
        {.name = "retain", .type = OPTION_BOOL, .offset = FIELD(retain), .fallback = "false",
         .doc = "Whether the broker keeps the last message of each topic."},
        {.name = "client_id", .type = OPTION_STRING, .offset = FIELD(client_id),
         .doc = "Client id; default: that of the gateway, '-', and the table's name."},
        {.name = "username", .type = OPTION_STRING, .offset = FIELD(username),
         .doc = "User name."},
        {.name = "password", .type = OPTION_SECRET, .offset = FIELD(password),
         .doc = "Password; the text, file:PATH or env:NAME."},
        {.name = "ca", .type = OPTION_STRING, .offset = FIELD(ca),
         .doc = "PEM file with the certificates that sign the broker's; default: the system's."},
        {.name = "certificate", .type = OPTION_STRING, .offset = FIELD(certificate),
         .doc = "PEM file with this gateway's certificate; a new file is used at the next "
                "connection."},
        {.name = "key", .type = OPTION_STRING, .offset = FIELD(key),
         .doc = "PEM file with the key of 'certificate'."},
        {.name = "insecure", .type = OPTION_BOOL, .offset = FIELD(insecure), .fallback = "false",
         .doc = "Accept any certificate. For a test bench only: anybody can then be the broker."},
        {.name = "protocol", .type = OPTION_CHOICE, .offset = FIELD(protocol), .fallback = "auto",
         .choices = protocols,
         .doc = "MQTT version; auto is 5, and 3.1.1 for a broker that refuses 5."},
        {.name = "keepalive", .type = OPTION_DURATION, .offset = FIELD(keepalive),
         .fallback = "30s", .min = 5000, .max = 3600000,
         .doc = "MQTT keep-alive: a silent connection is noticed after one and a half times this."},
        {.name = "window", .type = OPTION_INT, .offset = FIELD(window), .fallback = "20", .min = 1,
         .max = 1000,
         .doc = "Messages that may be unacknowledged at a time; the broker's Receive Maximum lowers "
                "it."},
        {.name = "reconnect_max", .type = OPTION_DURATION, .offset = FIELD(reconnect_max),
         .fallback = "60s", .min = 1000, .max = 3600000,
         .doc = "Longest pause between two attempts to reach the broker."},
};

const struct driver driver_bridge = {
        .name = "mqtt-bridge",
        .summary = "publishes to another MQTT broker, at least once",
        .options = {bridge_options, sizeof bridge_options / sizeof *bridge_options},
        .options_size = sizeof(struct bridge_options),
        .limits = {.records_max = 1000, .bytes_max = 1 << 20, .linger_ms = 0, .timeout_ms = 30000},
        .open = bridge_open,
        .close = bridge_close,
        .write = bridge_write,
        .health = bridge_health,
};
