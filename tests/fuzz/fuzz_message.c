/*
 * Properties of a record, topic filters and broker addresses: nothing reads past its end, what is
 * decoded is encoded alike, and what a filter is said to cover it matches.
 *
 * The input is a topic (up to the first newline), a filter (up to the next), and the properties.
 */
#include "fuzz.h"

#include "drivers/mqtt.h"
#include "filters.h"

#include "rules/topic.h"

static void
check_properties(struct bytes encoded)
{
    struct arena arena = {0};
    struct message_props props, again;
    struct buf first = {0}, second = {0};
    if (message_props_decode(encoded, &arena, &props)) {
        message_props_encode(&props, &first);
        check(message_props_decode(buf_bytes(&first), &arena, &again));
        message_props_encode(&again, &second);
        check(bytes_equal(buf_bytes(&first), buf_bytes(&second)));
        check(message_hops(&props) == message_hops(&again));
    }
    buf_fini(&first);
    buf_fini(&second);
    arena_fini(&arena);
}

static void
check_filters(struct bytes topic, struct bytes filter)
{
    if (!filter_is_valid(filter)) {
        return;
    }
    check(filter_covers(filter, filter));
    if (topic_is_valid(topic) && !bytes_starts_with(filter, BYTES("$share/"))) {
        bool matches = filter_matches(filter, topic);
        check(!matches || filter_overlaps(filter, topic));
        check(matches == filter_covers(filter, topic));
        check(filter_matches(topic, topic));
    }
}

static void
check_address(struct bytes url)
{
    struct diag_list diags = {0};
    struct mqtt_address address;
    if (mqtt_address_parse(url, &address, &diags)) {
        check(address.host.size > 0 && address.port >= 1 && address.port <= 65535);
    } else {
        check(diags.errors > 0);
    }
    diag_list_fini(&diags);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes rest = bytes_of(data, size), topic = {"", 0}, filter = {"", 0};
    check_address(rest);
    bytes_split(&rest, '\n', &topic);
    if (rest.data != NULL) {
        bytes_split(&rest, '\n', &filter);
    }
    check_filters(topic, filter);
    if (rest.data != NULL) {
        check_properties(rest);
    }
    return 0;
}
