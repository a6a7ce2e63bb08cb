/* One translation, used by every process that connects to the broker. */
#include "broker_options.h"

#include "rules/topic.h"

enum { BROKER_PROTOCOL_3_1_1 = 2, PACKET_EXTRA_BYTES = 2 * TOPIC_BYTES_MAX };

bool
broker_options(const struct config *config, struct mqtt_options *out, struct diag_list *diags)
{
    struct mqtt_options options = {
            .version = config->broker_protocol == BROKER_PROTOCOL_3_1_1 ? MQTT_3_1_1 : MQTT_5,
            .client_id = config->broker_client_id,
            .option_prefix = "broker_",
            .username = config->broker_username,
            .password = config->broker_password,
            .ca = config->broker_ca,
            .certificate = config->broker_certificate,
            .key = config->broker_key,
            .is_insecure = config->broker_insecure,
            .is_session_kept = true,
            .session_expiry_ms = config->broker_session_expiry,
            .keepalive_ms = config->broker_keepalive,
            .reconnect_max_ms = config->reconnect_max,
            .packet_max_bytes = (uint32_t)config->payload_max + PACKET_EXTRA_BYTES,
            .window = (unsigned)config->publish_window,
    };
    if (!mqtt_address_parse(bytes_of_string(config->broker), &options.address, diags)) {
        return false;
    }
    *out = options;
    return true;
}
