#include "unit.h"

#include "drivers/mqtt.h"
#include "filters.h"
#include "rules/topic.h"
#include "message.h"
#include "subscriptions.h"

#include <stdio.h>
#include <unistd.h>

/* ---- broker addresses ---- */

static void
address_is(const char *url, const char *host, unsigned port, bool is_tls, bool is_ipv6)
{
    struct diag_list diags = {0};
    struct mqtt_address address;
    assert_true(mqtt_address_parse(bytes_of_string(url), &address, &diags));
    assert_bytes(address.host, host);
    assert_int_equal(address.port, port);
    assert_int_equal(address.is_tls, is_tls);
    assert_int_equal(address.is_ipv6, is_ipv6);
    diag_list_fini(&diags);
}

static void
address_fails(const char *url, const char *message)
{
    struct diag_list diags = {0};
    struct mqtt_address address;
    assert_false(mqtt_address_parse(bytes_of_string(url), &address, &diags));
    assert_bytes(diags.items[0].message, message);
    assert_true(diags.items[0].hint.size > 0);
    diag_list_fini(&diags);
}

static void
broker_addresses_are_taken_apart(void **state)
{
    address_is("mqtt://localhost", "localhost", 1883, false, false);
    address_is("mqtt://broker.example:1884/", "broker.example", 1884, false, false);
    address_is("mqtts://10.0.0.7", "10.0.0.7", 8883, true, false);
    address_is("mqtts://host:65535", "host", 65535, true, false);
    address_is("mqtt://[::1]", "::1", 1883, false, true);
    address_is("mqtt://[fe80::1%eth0]:1", "fe80::1%eth0", 1, false, true);
}

static void
broken_broker_addresses_say_what_is_wrong(void **state)
{
    address_fails("localhost:1883",
                  "broker address 'localhost:1883' does not begin with mqtt:// or mqtts://");
    address_fails("http://x", "broker address 'http://x' does not begin with mqtt:// or mqtts://");
    address_fails("mqtt://", "broker address 'mqtt://' has no host");
    address_fails("mqtt://:1883", "broker address 'mqtt://:1883' has no host");
    address_fails("mqtt://[::1", "broker address 'mqtt://[::1' has '[' without ']'");
    address_fails("mqtt://ho st", "broker address 'mqtt://ho st' has no valid host name");
    address_fails("mqtt://user:secret@host", "the broker address has a user name in it");
    static const char *const ports[] = {"mqtt://h:", "mqtt://h:0", "mqtt://h:65536", "mqtt://h:x",
                                        "mqtt://[::1]x", "mqtt://h:1/path"};
    for (size_t i = 0; i < sizeof ports / sizeof *ports; i++) {
        struct diag_list diags = {0};
        struct mqtt_address address;
        assert_false(mqtt_address_parse(bytes_of_string(ports[i]), &address, &diags));
        diag_list_fini(&diags);
    }
}

/* ---- properties ---- */

static void
properties_come_back(void **state)
{
    struct message_property user[] = {{BYTES("a"), BYTES("1")},
                                      {BYTES("a"), BYTES("")},
                                      {BYTES(""), BYTES("\0x")},
                                      {BYTES(MESSAGE_HOPS_PROPERTY), BYTES("3")}};
    struct message_props props = {.content_type = BYTES("application/json"),
                                  .response_topic = BYTES("reply/to"),
                                  .correlation = BYTES("\0\1\2"),
                                  .payload_is_text = true,
                                  .user = user,
                                  .user_count = 4};
    struct buf out = {0};
    struct arena arena = {0};
    struct message_props back;
    message_props_encode(&props, &out);
    assert_true(message_props_decode(buf_bytes(&out), &arena, &back));
    assert_bytes(back.content_type, "application/json");
    assert_bytes(back.response_topic, "reply/to");
    assert_true(bytes_equal(back.correlation, props.correlation));
    assert_true(back.payload_is_text);
    assert_int_equal(back.user_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_true(bytes_equal(back.user[i].name, user[i].name));
        assert_true(bytes_equal(back.user[i].value, user[i].value));
    }
    assert_int_equal(message_hops(&back), 3);
    buf_fini(&out);
    arena_fini(&arena);
}

static void
no_properties_take_no_bytes(void **state)
{
    struct message_props props = {0}, back;
    struct buf out = {0};
    struct arena arena = {0};
    message_props_encode(&props, &out);
    assert_int_equal(out.size, 0);
    assert_true(message_props_decode(BYTES(""), &arena, &back));
    assert_int_equal(back.user_count, 0);
    assert_int_equal(message_hops(&back), 0);
    buf_fini(&out);
    arena_fini(&arena);
}

static void
cut_properties_are_refused_and_unknown_ones_passed_over(void **state)
{
    struct arena arena = {0};
    struct message_props back;
    assert_true(message_props_decode(BYTES("\x63\x02xy\x01\x01j"), &arena, &back));
    assert_bytes(back.content_type, "j");
    assert_false(message_props_decode(BYTES("\x01\x05" "abc"), &arena, &back));
    assert_false(message_props_decode(BYTES("\x01"), &arena, &back));
    assert_false(message_props_decode(BYTES("\x05\x02\x07x"), &arena, &back)); /* name too long */
    arena_fini(&arena);
}

static void
hops_are_numbers_in_range(void **state)
{
    static const struct {
        const char *text;
        unsigned hops;
    } cases[] = {{"1", 1}, {"1000", 1000}, {"1001", 0}, {"-1", 0}, {"x", 0}, {"", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct message_property user = {BYTES(MESSAGE_HOPS_PROPERTY),
                                        bytes_of_string(cases[i].text)};
        struct message_props props = {.user = &user, .user_count = 1};
        assert_int_equal(message_hops(&props), cases[i].hops);
    }
}

/* ---- filters ---- */

static void
filters_match_as_the_standard_says(void **state)
{
    static const struct {
        const char *filter, *topic;
        bool matches;
    } cases[] = {
            {"sport/tennis/player1/#", "sport/tennis/player1", true},
            {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
            {"sport/#", "sport", true},
            {"#", "a/b", true},
            {"#", "$SYS/x", false},
            {"+/x", "$SYS/x", false},
            {"$SYS/#", "$SYS/x", true},
            {"sport/+", "sport", false},
            {"sport/+", "sport/", true},
            {"+/+", "/finance", true},
            {"/+", "/finance", true},
            {"+", "/finance", false},
            {"a/b", "a/b/c", false},
            {"a/b/c", "a/b", false},
            {"a/+/c", "a/b/c", true},
            {"a/+/c", "a/b/d", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(filter_matches(bytes_of_string(cases[i].filter),
                                        bytes_of_string(cases[i].topic)),
                         cases[i].matches);
    }
}

static void
filters_are_judged_valid_or_not(void **state)
{
    static const char *const valid[] = {"#", "+", "a", "/", "a//b", "+/+/#", "$aws/rules/#", "a/#"};
    static const char *const invalid[] = {"", "a#", "#/a", "a+/b", "a/#/b", "++", "\xff"};
    for (size_t i = 0; i < sizeof valid / sizeof *valid; i++) {
        assert_true(filter_is_valid(bytes_of_string(valid[i])));
    }
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++) {
        assert_false(filter_is_valid(bytes_of_string(invalid[i])));
    }
    assert_false(filter_is_valid(bytes_of("a\0b", 3)));
    assert_false(topic_is_valid(BYTES("a/+")));
    assert_false(topic_is_valid(BYTES("")));
    assert_true(topic_is_valid(BYTES("$aws/x")));
}

/*
 * covers and overlaps against their definition: over all topics of up to three levels out of a
 * small alphabet, and all filters of that shape.
 */
enum { WORDS = 3, LEVELS = 3 };

static size_t
spell_all(char out[][16], size_t max, const char *const *words, size_t word_count, bool is_filter)
{
    size_t count = 0;
    for (size_t levels = 1; levels <= LEVELS; levels++) {
        size_t total = 1;
        for (size_t i = 0; i < levels; i++) {
            total *= word_count;
        }
        for (size_t n = 0; n < total; n++) {
            char text[16] = "";
            for (size_t level = 0, rest = n; level < levels; level++, rest /= word_count) {
                snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s",
                         level == 0 ? "" : "/", words[rest % word_count]);
            }
            if (text[0] != '\0' && (!is_filter || filter_is_valid(bytes_of_string(text)))) {
                assert_true(count < max);
                memcpy(out[count++], text, sizeof text);
            }
        }
    }
    return count;
}

static void
covering_and_overlapping_are_what_matching_makes_them(void **state)
{
    static const char *const topic_words[] = {"a", "b", "$", ""};
    static const char *const filter_words[] = {"a", "b", "$", "+", "#"};
    static char topics[100][16], filters[200][16];
    size_t topic_count = spell_all(topics, 100, topic_words, 4, false);
    size_t filter_count = spell_all(filters, 200, filter_words, 5, true);
    for (size_t i = 0; i < filter_count; i++) {
        for (size_t j = 0; j < filter_count; j++) {
            struct bytes a = bytes_of_string(filters[i]), b = bytes_of_string(filters[j]);
            bool covers = true, overlaps = false;
            for (size_t t = 0; t < topic_count; t++) {
                bool in_a = filter_matches(a, bytes_of_string(topics[t]));
                bool in_b = filter_matches(b, bytes_of_string(topics[t]));
                covers = covers && (in_a || !in_b);
                overlaps = overlaps || (in_a && in_b);
            }
            if (filter_covers(a, b)) {
                assert_true(covers); /* may say no where longer topics would be needed to tell */
            }
            if (overlaps) {
                assert_true(filter_overlaps(a, b));
            }
        }
    }
    assert_true(filter_covers(BYTES("a/#"), BYTES("a")));
    assert_true(filter_covers(BYTES("a/#"), BYTES("a/+/c")));
    assert_true(filter_covers(BYTES("+/+"), BYTES("a/+")));
    assert_false(filter_covers(BYTES("#"), BYTES("$SYS/#")));
    assert_false(filter_covers(BYTES("#"), BYTES("$share/g/a")));
    assert_false(filter_covers(BYTES("a/+"), BYTES("a/#")));
    assert_false(filter_overlaps(BYTES("a/+/c"), BYTES("a/b/d")));
    assert_false(filter_overlaps(BYTES("+/x"), BYTES("$SYS/x")));
    assert_true(filter_overlaps(BYTES("a/+/c"), BYTES("a/b/+")));
}

/* ---- subscriptions ---- */

static void
want(struct subscriptions *set, const char *words)
{
    struct bytes filters[16], rest = bytes_of_string(words);
    size_t count = 0;
    while (words[0] != '\0' && bytes_split(&rest, ' ', &filters[count])) {
        count++;
    }
    assert_int_equal(subscriptions_want(set, filters, count), 0);
}

/* The steps that are taken when the broker says yes to all but `refused`: "+filter -filter ...". */
static void
steps_are(struct subscriptions *set, const char *refused, const char *expected)
{
    struct buf steps = {0};
    const char *filter;
    uint32_t id;
    for (enum subscription_step step;
         (step = subscriptions_next(set, &filter, &id)) != SUBSCRIPTION_NOTHING;) {
        bool is_refused = refused != NULL && strcmp(filter, refused) == 0;
        buf_printf(&steps, "%s%c%s", steps.size == 0 ? "" : " ",
                   step == SUBSCRIPTION_ADD ? '+' : '-', filter);
        subscriptions_answer(set, id, !is_refused);
    }
    assert_string_equal(buf_string(&steps), expected);
    buf_fini(&steps);
}

static void
only_what_changes_is_asked_for(void **state)
{
    struct subscriptions *set = subscriptions_new();
    want(set, "a b c");
    subscriptions_connected(set, false);
    steps_are(set, NULL, "+a +b +c");
    want(set, "b c d");
    steps_are(set, NULL, "+d -a"); /* first the new, then the needless */
    want(set, "b c d");
    steps_are(set, NULL, "");
    subscriptions_lost(set);
    subscriptions_connected(set, true);
    steps_are(set, NULL, "+b +c +d"); /* always again after a connect */
    want(set, "");
    steps_are(set, NULL, "-b -c -d");
    subscriptions_free(set);
}

static void
covered_filters_are_spared(void **state)
{
    struct subscriptions *set = subscriptions_new();
    want(set, "a/b a/# a/b/c b a/#");
    subscriptions_connected(set, false);
    steps_are(set, NULL, "+a/# +b");
    want(set, "a/b b");
    steps_are(set, NULL, "+a/b -a/#");
    want(set, "# a/b $SYS/x");
    steps_are(set, NULL, "+# +$SYS/x -b -a/b");
    subscriptions_free(set);
}

static void
a_refused_filter_covers_nothing(void **state)
{
    struct subscriptions *set = subscriptions_new();
    want(set, "a/b #");
    subscriptions_connected(set, false);
    steps_are(set, "#", "+# +a/b");
    struct subscriptions_state now = subscriptions_state(set);
    assert_int_equal(now.refused, 1);
    assert_string_equal(now.first_refused, "#");
    assert_int_equal(now.wanted, 2);
    assert_int_equal(now.active, 1);
    subscriptions_forgive(set);
    /* accepted now; once more with a new identifier, then what it covers goes */
    steps_are(set, NULL, "+# +# -a/b");
    assert_int_equal(subscriptions_state(set).refused, 0);
    subscriptions_free(set);
}

static uint32_t
id_of(struct subscriptions *set, const char *wanted)
{
    const char *filter;
    uint32_t id, found = 0;
    subscriptions_lost(set);
    subscriptions_connected(set, true);
    while (subscriptions_next(set, &filter, &id) != SUBSCRIPTION_NOTHING) {
        found = strcmp(filter, wanted) == 0 ? id : found;
        subscriptions_answer(set, id, true);
    }
    return found;
}

static void
of_overlapping_subscriptions_the_older_keeps_the_message(void **state)
{
    struct subscriptions *set = subscriptions_new();
    want(set, "a/+/c a/b/+ x");
    subscriptions_connected(set, false);
    assert_false(subscriptions_is_copy(set, 2, BYTES("a/b/c"))); /* not acknowledged yet */
    steps_are(set, NULL, "+a/+/c +a/b/+ +x");
    uint32_t first = id_of(set, "a/+/c"), second = id_of(set, "a/b/+");
    assert_true(first < second);
    assert_false(subscriptions_is_copy(set, first, BYTES("a/b/c")));
    assert_true(subscriptions_is_copy(set, second, BYTES("a/b/c")));
    assert_false(subscriptions_is_copy(set, second, BYTES("a/b/d")));
    assert_false(subscriptions_is_copy(set, 0, BYTES("a/b/c")));
    assert_false(subscriptions_is_copy(set, 12345, BYTES("a/b/c")));

    want(set, "a/b/+ x"); /* the older will go; as long as the broker has it, its copy counts */
    assert_true(subscriptions_is_copy(set, second, BYTES("a/b/c")));
    const char *filter;
    uint32_t dropped;
    assert_int_equal(subscriptions_next(set, &filter, &dropped), SUBSCRIPTION_DROP);
    assert_false(subscriptions_is_copy(set, second, BYTES("a/b/c"))); /* before it is sent */
    subscriptions_answer(set, dropped, true);
    steps_are(set, NULL, "");
    want(set, "a/+/c a/b/+ x"); /* and comes back as the newer one */
    steps_are(set, NULL, "+a/+/c");
    uint32_t third = id_of(set, "a/+/c");
    assert_true(third > second);
    assert_false(subscriptions_is_copy(set, second, BYTES("a/b/c")));
    assert_true(subscriptions_is_copy(set, third, BYTES("a/b/c")));
    subscriptions_free(set);
}

static void
a_lost_session_makes_no_copy_surplus(void **state)
{
    struct subscriptions *set = subscriptions_new();
    want(set, "a/+ +/b");
    subscriptions_connected(set, false);
    steps_are(set, NULL, "+a/+ ++/b");
    assert_true(subscriptions_is_copy(set, 2, BYTES("a/b")));
    subscriptions_lost(set);
    subscriptions_connected(set, false);
    assert_false(subscriptions_is_copy(set, 2, BYTES("a/b")));
    steps_are(set, NULL, "+a/+ ++/b");
    assert_true(subscriptions_is_copy(set, 2, BYTES("a/b")));
    subscriptions_free(set);
}

static void
what_the_session_holds_survives_a_restart(void **state)
{
    char path[] = "/tmp/headgate-unit-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    struct diag_list diags = {0};
    struct subscriptions *set = subscriptions_new();
    assert_true(subscriptions_load(set, &os_posix, path, &diags)); /* missing: empty */
    want(set, "a b");
    subscriptions_connected(set, false);
    steps_are(set, NULL, "+a +b");
    assert_true(subscriptions_save(set, &os_posix, path, &diags));
    subscriptions_free(set);

    set = subscriptions_new();
    assert_true(subscriptions_load(set, &os_posix, path, &diags));
    want(set, "b c");
    subscriptions_connected(set, true);
    steps_are(set, NULL, "+b +c -a"); /* the session still held 'a' */
    assert_int_equal(id_of(set, "b"), 2); /* queued copies carry the identifier of before */
    subscriptions_free(set);

    set = subscriptions_new();
    assert_int_equal(os_replace_file(&os_posix, path, BYTES("HGS1 rubbish"), 0600), 0);
    assert_true(subscriptions_load(set, &os_posix, path, &diags));
    assert_int_equal(diags.errors, 0);
    assert_int_equal(diags.count, 1);
    subscriptions_free(set);
    unlink(path);
    diag_list_fini(&diags);
}

/* 10,000 rules must not make the plan slow: no pair of them can meet. */
static void
many_filters_are_planned_quickly(void **state)
{
    enum { COUNT = 10000 };
    struct arena arena = {0};
    struct bytes *filters = arena_new_array(&arena, struct bytes, COUNT);
    for (int i = 0; i < COUNT; i++) {
        filters[i] = arena_printf(&arena, "plant/line/device%d/+", i);
    }
    struct subscriptions *set = subscriptions_new();
    int64_t start_us = os_posix.mono_us(&os_posix);
    assert_int_equal(subscriptions_want(set, filters, COUNT), 0);
    subscriptions_connected(set, false);
    const char *filter;
    uint32_t id;
    size_t steps = 0;
    while (subscriptions_next(set, &filter, &id) != SUBSCRIPTION_NOTHING) {
        subscriptions_answer(set, id, true);
        steps++;
    }
    assert_int_equal(steps, COUNT);
    assert_true(os_posix.mono_us(&os_posix) - start_us < 20000000); /* sanitizers included */
    subscriptions_free(set);
    arena_fini(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(broker_addresses_are_taken_apart),
            cmocka_unit_test(broken_broker_addresses_say_what_is_wrong),
            cmocka_unit_test(properties_come_back),
            cmocka_unit_test(no_properties_take_no_bytes),
            cmocka_unit_test(cut_properties_are_refused_and_unknown_ones_passed_over),
            cmocka_unit_test(hops_are_numbers_in_range),
            cmocka_unit_test(filters_match_as_the_standard_says),
            cmocka_unit_test(filters_are_judged_valid_or_not),
            cmocka_unit_test(covering_and_overlapping_are_what_matching_makes_them),
            cmocka_unit_test(only_what_changes_is_asked_for),
            cmocka_unit_test(covered_filters_are_spared),
            cmocka_unit_test(a_refused_filter_covers_nothing),
            cmocka_unit_test(of_overlapping_subscriptions_the_older_keeps_the_message),
            cmocka_unit_test(a_lost_session_makes_no_copy_surplus),
            cmocka_unit_test(what_the_session_holds_survives_a_restart),
            cmocka_unit_test(many_filters_are_planned_quickly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
