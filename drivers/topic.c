/*
 * topic: publishes each record to the gateway's broker; the sink behind INSERT INTO 'some/topic'.
 *
 * All of it is in publisher_client.c; this is what is special about the gateway's own broker: the
 * connection is that of the gateway's configuration, the topic that of the record.
 */
#include "driver.h"

#include "drivers/publisher_client.h"

#include <string.h>

struct topic_options {
    int64_t qos;
    bool retain;
};

static bool
topic_open(void **out_instance, const struct driver_env *env, const void *options,
           const struct driver_declaration *declaration, struct diag_list *diags)
{
    const struct topic_options *topic = options;
    struct publisher_client *client;
    struct buf suffix = {0};
    buf_append_string(&suffix, "-out");
    if (strcmp(env->name, "topic") != 0) {
        buf_printf(&suffix, "-%s", env->name);
    }
    struct publisher_settings settings = {.config = env->paths->config_text,
                                          .client_id = buf_bytes(&suffix),
                                          .qos = topic->qos,
                                          .is_retained = topic->retain};
    bool is_open = publisher_client_open(&client, env, &settings, diags);
    buf_fini(&suffix);
    *out_instance = is_open ? client : NULL;
    return is_open;
}

static void
topic_close(void *instance)
{
    publisher_client_close(instance);
}

static void
topic_write(void *instance, struct batch *batch)
{
    publisher_client_write(instance, batch);
}

static void
topic_health(void *instance, struct health *out)
{
    publisher_client_health(instance, out);
}

static const struct option topic_options[] = {
        {.name = "qos", .type = OPTION_INT, .offset = offsetof(struct topic_options, qos),
         .fallback = "1", .min = 0, .max = 1,
         .doc = "Quality of service; with 0 a message counts as delivered once it is sent."},
        {.name = "retain", .type = OPTION_BOOL, .offset = offsetof(struct topic_options, retain),
         .fallback = "false", .doc = "Whether the broker keeps the last message of each topic."},
};

const struct driver driver_topic = {
        .name = "topic",
        .summary = "publishes to the MQTT broker: INSERT INTO 'some/topic'",
        .options = {topic_options, sizeof topic_options / sizeof *topic_options},
        .options_size = sizeof(struct topic_options),
        .limits = {.records_max = 1000, .bytes_max = 1 << 20, .linger_ms = 0, .timeout_ms = 30000},
        .open = topic_open,
        .close = topic_close,
        .write = topic_write,
        .health = topic_health,
};
