/*
 * What rules may know of a message beside topic and payload (rules/rule.h: struct rule_origin),
 * from the properties of a journal record.
 *
 * An MQTT delivery does not tell who published. Where the publishers (or a broker's plug-in) put
 * that into user properties, options name those; then the gateway believes what they say.
 */
#ifndef HEADGATE_MESSAGE_ORIGIN_H
#define HEADGATE_MESSAGE_ORIGIN_H

#include "message.h"

#include "rules/rule.h"

/* Texts of the configuration, borrowed; the three names may be NULL or empty: not known. */
struct message_origin_options {
    const char *account_id;
    const char *client_id_property;
    const char *principal_property;
    const char *source_ip_property;
    const char *gateway; /* tells this gateway's trace ids from those of others */
};

/* The origin of all messages of a stream that have no properties. */
struct rule_origin message_origin_plain(const struct message_origin_options *options,
                                        struct bytes stream);

/* `plain` with what the properties add; views into `props`, the rest in the arena. */
struct rule_origin message_origin_of_props(const struct rule_origin *plain,
                                           const struct message_origin_options *options,
                                           const struct message_props *props, struct arena *arena);

#endif
