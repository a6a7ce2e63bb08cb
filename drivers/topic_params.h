/*
 * What the parameters of AWS IoT's republish action mean for one publication:
 *
 *   {"qos":0|1,"headers":{"payloadFormatIndicator":"UTF8_DATA|UNSPECIFIED_BYTES","contentType",
 *    "responseTopic","correlationData" (base64),"messageExpiry" (seconds, as a string),
 *    "userProperties":[{"key","value"}]}}
 *
 * Texts are checked, because records may come from an older gateway's backlog. Pure.
 */
#ifndef HEADGATE_DRIVERS_TOPIC_PARAMS_H
#define HEADGATE_DRIVERS_TOPIC_PARAMS_H

#include "base/arena.h"
#include "base/buf.h"

struct topic_params {
    int qos;               /* -1: not said */
    struct bytes headers;  /* encoded as drivers/publisher.h says; empty: none */
};

/* In the arena. False: `reason` is why no message can be published with them. */
bool topic_params_read(struct bytes params, struct arena *arena, struct topic_params *out,
                       struct bytes *reason) MUST_CHECK;

#endif
