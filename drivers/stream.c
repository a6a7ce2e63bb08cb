/*
 * stream, kinesis: a durable stream on this machine, as Kinesis Data Streams is one elsewhere.
 *
 * Rows are appended to the journal of the stream's name, which the gateway keeps; rules read it:
 * FROM table. Several tables may name one stream. A row is DONE when it is in the journal; it is
 * on the medium before the checkpoint that lets go of its input. A row that comes again after a
 * crash is stored once.
 *
 * mqtt: topics of the broker as a table. It is read by its filter, and written by the sink that
 * publishes for all rules; so it has no instance of its own.
 */
#include "driver.h"

#include "base/mem.h"

#include <stdlib.h>

struct stream_sink {
    const struct driver_env *env;
};

static bool
stream_open(void **out_instance, const struct driver_env *env, const void *options,
            const struct driver_declaration *declaration, struct diag_list *diags)
{
    struct stream_sink *sink = mem_new(struct stream_sink);
    sink->env = env;
    *out_instance = sink;
    return true;
}

static void
stream_close(void *instance)
{
    free(instance);
}

static void
stream_write(void *instance, struct batch *batch)
{
    const struct stream_sink *sink = instance;
    for (size_t i = 0; i < batch->count; i++) {
        struct diag_list diags = {0};
        if (sink->env->append != NULL &&
            sink->env->append(sink->env, &batch->records[i], &diags)) {
            batch->outcomes[i].verdict = VERDICT_DONE;
        } else {
            bool is_too_large = diags.count > 0 && diags.items[0].class == DIAG_INVALID;
            batch->outcomes[i].verdict = is_too_large ? VERDICT_REJECT : VERDICT_RETRY;
            batch->outcomes[i].reason = arena_copy(batch->arena, diag_first_error(&diags));
        }
        bool done = batch->outcomes[i].verdict != VERDICT_RETRY;
        diag_list_fini(&diags);
        if (!done) {
            return; /* what comes behind waits, so that the order stays */
        }
    }
}

#define OPTION_AT(member) .offset = offsetof(struct driver_stream_options, member)

static const struct option stream_option_rows[] = {
        {.name = "stream", .type = OPTION_STRING, OPTION_AT(stream),
         .doc = "The stream's name; without it that of the table."},
        {.name = "retention", .type = OPTION_DURATION, OPTION_AT(retention_ms), .fallback = "0ms",
         .max = INT64_C(366) * 86400000,
         .doc = "How long rows are kept that rules have read; 0: not at all, or see "
                "retention.bytes."},
        {.name = "retention.bytes", .type = OPTION_SIZE, OPTION_AT(retention_bytes),
         .fallback = "0", .max = INT64_C(1) << 40,
         .doc = "At most so many bytes of them are kept, in whole segments; 0: any."},
};

#define STREAM_DRIVER(name_, summary_)                                                            \
    {                                                                                             \
        .name = name_, .summary = summary_,                                                       \
        .options = {stream_option_rows, sizeof stream_option_rows / sizeof *stream_option_rows},  \
        .options_size = sizeof(struct driver_stream_options),                                     \
        .limits = {.records_max = 1000, .bytes_max = 1 << 20, .linger_ms = 0, .timeout_ms = 10000}, \
        .needs_order = true, .is_source = true, .has_stream = true, .open = stream_open,          \
        .close = stream_close, .write = stream_write,                                             \
    }

const struct driver driver_stream =
        STREAM_DRIVER("stream", "a durable stream on this machine, which rules read");
const struct driver driver_kinesis =
        STREAM_DRIVER("kinesis", "the same under the name of the service it stands for");

struct mqtt_table_options {
    char *topic;
};

static const struct option mqtt_option_rows[] = {
        {.name = "topic", .type = OPTION_STRING,
         .offset = offsetof(struct mqtt_table_options, topic), .required = true,
         .doc = "The topic filter that is read: sensors/+/data; of a table that is written a topic "
                "without wildcards."},
};

const struct driver driver_mqtt = {
        .name = "mqtt",
        .summary = "topics of the MQTT broker as a table, for stream SQL",
        .options = {mqtt_option_rows, sizeof mqtt_option_rows / sizeof *mqtt_option_rows},
        .options_size = sizeof(struct mqtt_table_options),
        .limits = {.records_max = 1},
        .is_source = true,
};
