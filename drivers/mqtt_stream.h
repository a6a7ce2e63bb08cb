/*
 * A connection to a broker as a stream of bytes: TCP, and TLS over it. The ack gate's; where
 * there is no gate, Paho connects by itself. Only drivers/mqtt_stream.c knows OpenSSL's libssl.
 *
 * One thread.
 */
#ifndef HEADGATE_DRIVERS_MQTT_STREAM_H
#define HEADGATE_DRIVERS_MQTT_STREAM_H

#include "drivers/mqtt.h"

#include <sys/types.h>

struct mqtt_stream;

/*
 * Connects; with TLS the certificate is checked against the address's host, by the options' CA
 * file. Blocks for as long as resolving the name takes, and `timeout_ms` besides. On false
 * `reason` is a sentence, empty where the network is at fault: mqtt_explain_unreachable() tells.
 */
bool mqtt_stream_open(struct mqtt_stream **out, const struct mqtt_options *options,
                      int64_t timeout_ms, struct buf *reason) MUST_CHECK;

/* Accepts NULL. */
void mqtt_stream_close(struct mqtt_stream *stream);

/* For poll(). `events` says what else than the wish to read or write must be awaited. */
int mqtt_stream_fd(const struct mqtt_stream *stream);
short mqtt_stream_events(const struct mqtt_stream *stream);

enum { MQTT_STREAM_END = 0, MQTT_STREAM_WAIT = -1, MQTT_STREAM_FAILED = -2 };

/* Never block: a count of bytes, or one of the above. After FAILED `reason` may hold a sentence. */
ssize_t mqtt_stream_read(struct mqtt_stream *stream, void *out, size_t size, struct buf *reason);
ssize_t mqtt_stream_write(struct mqtt_stream *stream, struct bytes bytes, struct buf *reason);

#endif
