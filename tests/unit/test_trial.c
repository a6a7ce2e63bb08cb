/* Messages out of lines, and which rules they reach. The verb `try` itself is in the READMEs. */
#include "unit.h"

#include "trial.h"

#include <stdio.h>

static const struct diag_place place = {.file = {"t", 1}, .line = 3, .column = 1};

static struct trial_message
parse(const char *line, struct arena *arena)
{
    struct diag_list diags = {0};
    struct trial_message message;
    if (!trial_message_parse(&message, bytes_of_string(line), &place, arena, &diags)) {
        fail_msg("%.*s", BYTES_ARG(diags.items[0].message));
    }
    diag_list_fini(&diags);
    return message;
}

static void
a_line_of_mosquitto_sub_is_a_message(void **state)
{
    struct arena arena = {0};
    struct trial_message message = parse("sensors/7/data {\"a\": 1}  ", &arena);
    assert_bytes(message.topic, "sensors/7/data");
    assert_bytes(message.payload, "{\"a\": 1}  ");
    assert_false(message.has_time);
    message = parse("empty ", &arena);
    assert_int_equal(message.payload.size, 0);
    message = parse("empty (null)", &arena);
    assert_int_equal(message.payload.size, 0);
    arena_fini(&arena);
}

/* As mosquitto_sub 2.0 prints it with -V 5 -F %J. */
static void
a_recording_keeps_time_and_properties(void **state)
{
    struct arena arena = {0};
    struct trial_message message =
            parse("{\"tst\":\"2026-11-25T02:01:38.744042Z+0000\",\"topic\":\"a/b\",\"qos\":1,"
                  "\"retain\":0,\"payloadlen\":10,\"properties\":{\"content-type\":\"app/json\","
                  "\"user-properties\":{\"k\":\"v\",\"k\":\"w\"},\"correlation-data\":\"xx\","
                  "\"response-topic\":\"r/t\",\"payload-format-indicator\":1},"
                  "\"payload\":{\"a\":1.50}}",
                  &arena);
    assert_bytes(message.topic, "a/b");
    assert_bytes(message.payload, "{\"a\":1.50}");
    assert_true(message.has_time);
    assert_int_equal(message.time_us, 1795572098744042);
    assert_int_equal(message.qos, 1);
    assert_bytes(message.origin.content_type, "app/json");
    assert_bytes(message.origin.response_topic, "r/t");
    assert_bytes(message.origin.correlation, "xx");
    assert_true(message.origin.payload_is_text);
    assert_int_equal(message.origin.user_count, 2);
    assert_bytes(message.origin.user[1].name, "k");
    assert_bytes(message.origin.user[1].value, "w");
    arena_fini(&arena);
}

static void
bytes_streams_and_senders_can_be_written(void **state)
{
    struct arena arena = {0};
    struct trial_message message = parse("{\"topic\":\"a\",\"base64\":\"/wA=\",\"at\":1500,"
                                         "\"identity\":{\"client_id\":\"c7\"}}",
                                         &arena);
    assert_int_equal(message.payload.size, 2);
    assert_memory_equal(message.payload.data, "\xff\0", 2);
    assert_int_equal(message.time_us, 1500000);
    assert_bytes(message.origin.client_id, "c7");
    message = parse("{\"stream\":\"enrich\",\"payload\":\"a \\\"text\\\"\"}", &arena);
    assert_bytes(message.stream, "enrich");
    assert_bytes(message.payload, "a \"text\"");
    arena_fini(&arena);
}

static void
a_wrong_line_says_where(void **state)
{
    static const struct {
        const char *line, *said;
    } cases[] = {
            {"sensors/7", ":3:1: error: no payload behind the topic"},
            {" x", ":3:1: error: no topic before the blank"},
            {"{\"topic\":\"a\"}", ":3:1: error: no \"payload\""},
            {"{\"payload\":1}", ":3:1: error: no \"topic\""},
            {"{\"topic\":\"a\",\"stream\":\"b\",\"payload\":1}", "both a topic and a stream"},
            {"{\"topic\":\"a\",\"payload\":1,\"qos\":3}", ":3:32: error: not a quality of service"},
            {"{\"topic\":\"a\",\"payload\":1,\"att\":3}", "did you mean 'at'?"},
            {"{\"topic\":\"a\",\"payload\":1,\"at\":\"noon\"}", "not a time"},
            {"{\"topic\":\"a\",\"payload\":1,\"at\":9223372036854775807}", "not a time"},
            {"{\"topic\":\"a\",\"base64\":\"?\"}", "not base64"},
            {"{\"topic\":\"a\",\"payload\":1,\"properties\":[]}", "not an object"},
            {"{\"topic\":\"a\",\"payload\":1,\"properties\":{\"user-properties\":{\"a\":1}}}",
             "not a text"},
            {"{\"topic\":\"a\",\"payload\":1", ":3:25: error: unexpected end"},
            {"a/+ x", "t:3:1: error: no message can have this topic"},
            {"a\xff x", "no message can have this topic"},
            {"{\"topic\":\"a\\u0000\",\"payload\":1}", "no message can have this topic"},
            {"{\"topic\":7,\"payload\":1}", "not a text"},
    };
    struct arena arena = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct diag_list diags = {0};
        struct buf said = {0};
        struct trial_message message;
        assert_false(trial_message_parse(&message, bytes_of_string(cases[i].line), &place, &arena,
                                         &diags));
        diag_list_print(&diags, &said);
        if (strstr(buf_string(&said), cases[i].said) == NULL ||
            strstr(buf_string(&said), "hint: ") == NULL) {
            fail_msg("%s\ngives\n%s", cases[i].line, buf_string(&said));
        }
        buf_fini(&said);
        diag_list_fini(&diags);
    }
    arena_fini(&arena);
}

static void
note_rule(void *context, struct trial_outcome *outcome)
{
    struct buf *names = context;
    buf_printf(names, "%.*s ", BYTES_ARG(outcome->info->name));
}

static void
assert_reached(struct trial *trial, const char *line, const char *names)
{
    struct arena arena = {0};
    struct buf reached = {0};
    struct trial_message message = parse(line, &arena);
    assert_int_equal(trial_run(trial, &message, &arena, note_rule, &reached), *names != '\0');
    assert_string_equal(buf_string(&reached), names);
    buf_fini(&reached);
    arena_fini(&arena);
}

/* However the filters are found: by the trie they come in another order. */
static void
rules_run_in_the_order_of_their_file(void **state)
{
    static const char text[] = "INSERT INTO 'x' SELECT * FROM 'a/b';"
                               "INSERT INTO 'x' SELECT * FROM '#';"
                               "INSERT INTO 'x' SELECT * FROM f;"
                               "INSERT INTO 'x' SELECT * FROM 'a/+';"
                               "INSERT INTO 'x' SELECT * FROM 'a/b';";
    struct diag_list diags = {0};
    struct rule_file *file;
    assert_true(rule_file_parse(&file, BYTES("r.sql"), bytes_of_string(text), &diags));
    struct trial *trial =
            trial_new((const struct rule *const *)file->rules, file->rule_count, NULL, 1);
    assert_reached(trial, "a/b {}", "r r.2 r.4 r.5 ");
    assert_reached(trial, "a/c {}", "r.2 r.4 ");
    assert_reached(trial, "{\"stream\":\"f\",\"payload\":{}}", "r.3 ");
    assert_reached(trial, "$aws/rules/r.4/a/b {}", "r.4 ");
    assert_reached(trial, "$SYS/x {}", "");
    trial_free(trial);
    rule_file_free(file);
    diag_list_fini(&diags);
}

static void
payloads_are_written_so_that_they_can_be_told_apart(void **state)
{
    const struct {
        struct bytes payload;
        bool is_json;
        const char *text;
    } cases[] = {{BYTES("{\"a\": 1.0}"), true, "{\"a\": 1.0}"},
                 {BYTES("hello \"you\""), false, "text \"hello \\\"you\\\"\""},
                 {BYTES(""), false, "text \"\""},
                 {BYTES("\xff\0"), false, "base64 \"/wA=\""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = {0};
        trial_payload_write(cases[i].payload, cases[i].is_json, &out);
        assert_string_equal(buf_string(&out), cases[i].text);
        buf_fini(&out);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_line_of_mosquitto_sub_is_a_message),
            cmocka_unit_test(a_recording_keeps_time_and_properties),
            cmocka_unit_test(bytes_streams_and_senders_can_be_written),
            cmocka_unit_test(a_wrong_line_says_where),
            cmocka_unit_test(rules_run_in_the_order_of_their_file),
            cmocka_unit_test(payloads_are_written_so_that_they_can_be_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
