/* The broker's part of the configuration, as the MQTT connection wants it. */
#ifndef HEADGATE_BROKER_OPTIONS_H
#define HEADGATE_BROKER_OPTIONS_H

#include "config.h"
#include "drivers/mqtt.h"

/*
 * Views into `config`, which must live as long as the connection. The client id is the
 * configuration's; a session is kept. Fails on a broker address that cannot be parsed.
 */
bool broker_options(const struct config *config, struct mqtt_options *out,
                    struct diag_list *diags) MUST_CHECK;

#endif
