/*
 * The origin of messages. A trace id is made of the stream's seed, the position and the arrival
 * time, all of which a replay brings again.
 */
#include "message_origin.h"

static uint64_t
hash(uint64_t seed, struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        seed = (seed ^ (unsigned char)text.data[i]) * UINT64_C(1099511628211);
    }
    return seed;
}

struct rule_origin
message_origin_plain(const struct message_origin_options *options, struct bytes stream)
{
    uint64_t seed = hash(UINT64_C(14695981039346656037), bytes_of_string(options->gateway));
    return (struct rule_origin){
            .account_id = bytes_of_string(options->account_id),
            .trace_seed = hash(hash(seed, BYTES("/")), stream) | 1,
    };
}

static void
take_property(const struct message_props *props, const char *name, struct bytes *out)
{
    if (name != NULL && name[0] != '\0') {
        message_props_find(props, bytes_of_string(name), out);
    }
}

static struct bytes
text_or_absent(struct bytes text)
{
    return text.size > 0 ? text : bytes_of(NULL, 0);
}

struct rule_origin
message_origin_of_props(const struct rule_origin *plain,
                        const struct message_origin_options *options,
                        const struct message_props *props, struct arena *arena)
{
    struct rule_origin origin = *plain;
    struct rule_property *user = arena_new_array(arena, struct rule_property, props->user_count);
    for (size_t i = 0; i < props->user_count; i++) {
        user[i] = (struct rule_property){props->user[i].name, props->user[i].value};
    }
    origin.user = user;
    origin.user_count = props->user_count;
    origin.content_type = text_or_absent(props->content_type);
    origin.response_topic = text_or_absent(props->response_topic);
    origin.correlation = text_or_absent(props->correlation);
    origin.payload_is_text = props->payload_is_text;
    take_property(props, options->client_id_property, &origin.client_id);
    take_property(props, options->principal_property, &origin.principal);
    take_property(props, options->source_ip_property, &origin.source_ip);
    return origin;
}
