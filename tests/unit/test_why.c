/*
 * The reason that `headgate why` gives, from documents: above all the reasons that a scenario cannot
 * bring about easily. That a gateway counts right is tested in scenario/test_why.
 */
#include "unit.h"

#include "why.h"

#include "base/buf.h"

/* The completed document of a text, and its reason alone. */
static char *
complete(const char *document, const struct why_heard *heard)
{
    struct buf out = {0};
    struct diag_list diags = {0};
    assert_true(why_complete(bytes_of_string(document), heard, &out, &diags));
    diag_list_fini(&diags);
    return buf_take_string(&out);
}

static void
assert_reason(const char *document, const struct why_heard *heard, const char *expected)
{
    char *whole = complete(document, heard);
    const char *reason = strstr(whole, "\"reason\":\"");
    assert_non_null(reason);
    struct bytes text = bytes_of_string(reason + strlen("\"reason\":\""));
    text.size -= strlen("\"}");
    if (!bytes_equal_string(text, expected)) {
        fail_msg("%s\ngives    %.*s\nexpected %s", document, BYTES_ARG(text), expected);
    }
    free(whole);
}

#define RULE "{\"rule\":\"hot\",\"source\":\"a/+\",\"source_is_topic\":true,"

static void
without_messages_the_way_to_the_broker_is_to_blame(void **state)
{
    assert_reason(RULE "\"gateway\":{\"connected\":false,\"broker\":\"connection refused\"},"
                       "\"messages\":0}",
                  NULL,
                  "Nothing came out because the gateway is not connected to the broker: connection "
                  "refused.");
    assert_reason(RULE "\"gateway\":{\"connected\":true,\"refused\":true,\"refusal\":\"not "
                       "authorised, reason code 135\"},\"messages\":0}",
                  NULL,
                  "Nothing came out because the broker refuses the subscription: not authorised, "
                  "reason code 135.");
    assert_reason(RULE "\"gateway\":{\"connected\":true},\"messages\":0}", NULL,
                  "Nothing came out because no message came on a topic that 'a/+' matches.");
    assert_reason("{\"rule\":\"hot\",\"source\":\"enrich\",\"source_is_topic\":false,"
                  "\"messages\":0}",
                  NULL, "Nothing came out because function 'enrich' has emitted nothing yet.");
    assert_reason(RULE "\"idle\":true}", NULL,
                  "Nothing comes out because no gateway runs here; the rule itself is understood.");
}

static void
what_was_heard_counts(void **state)
{
    const struct recent_topic topics[] = {{BYTES("A/7"), 3, 1000000}, {BYTES("x/y/z"), 5, 0}};
    struct why_heard heard = {.seconds = 1, .messages = 8, .topics = topics, .topic_count = 2};
    assert_reason(RULE "\"messages\":0}", &heard,
                  "Nothing came out because no message came on a topic that 'a/+' matches; 3 "
                  "messages came on 'A/7': level 1 is 'A', the filter has 'a'.");
    const struct recent_topic matching[] = {{BYTES("a/7"), 3, 1000000}};
    heard = (struct why_heard){.seconds = 1, .messages = 3, .topics = matching, .topic_count = 1};
    assert_reason(RULE "\"messages\":0}", &heard,
                  "Nothing came out because no message came on a topic that 'a/+' matches, although "
                  "3 messages on such topics could be heard just now: the gateway's own "
                  "subscription does not deliver.");
    heard = (struct why_heard){.seconds = 1};
    assert_reason(RULE "\"messages\":0}", &heard,
                  "Nothing came out because no message came on a topic that 'a/+' matches, nor on "
                  "any other.");
}

static void
what_stopped_most_messages_is_to_blame(void **state)
{
    assert_reason(RULE "\"messages\":5,\"failed\":4,\"failure\":\"too deep\",\"conjuncts\":["
                       "{\"text\":\"a > 1\",\"false\":1,\"undefined\":0}]}",
                  NULL,
                  "Nothing came out because the rule failed for 4 of 5 messages: too deep.");
    assert_reason(RULE "\"messages\":2,\"nothing\":2,\"looked_at\":2,\"fields\":[{\"name\":\"x\","
                       "\"seen\":0}]}",
                  NULL, "Nothing came out because no message had the field 'x'.");
    assert_reason(RULE "\"messages\":1,\"looked_at\":1,\"conjuncts\":[{\"text\":\"a > 1\","
                       "\"false\":1,\"undefined\":0,\"last\":\"a: 0\",\"fields\":[\"a\"]}],"
                       "\"fields\":[{\"name\":\"a\",\"seen\":1}]}",
                  NULL,
                  "Nothing came out because `a > 1` was false for the only message; the last had a: "
                  "0.");
    /* A condition on a field that never comes can never let anything through. */
    assert_reason(RULE "\"messages\":9,\"looked_at\":9,\"conjuncts\":["
                       "{\"text\":\"a > 1\",\"false\":8,\"undefined\":0,\"fields\":[\"a\"]},"
                       "{\"text\":\"b > 1\",\"false\":0,\"undefined\":1,\"fields\":[\"b\"]}],"
                       "\"fields\":[{\"name\":\"a\",\"seen\":9},{\"name\":\"b\",\"seen\":0,"
                       "\"nearest\":\"bb\",\"nearest_seen\":1}]}",
                  NULL,
                  "Nothing came out because no message had the field 'b'; 'bb' was there once.");
}

static void
rows_may_come_out_and_still_be_wrong(void **state)
{
    assert_reason(RULE "\"messages\":3,\"matched\":3,\"targets\":[{\"name\":\"t\",\"state\":"
                       "\"waiting\",\"last_error\":\"refused\",\"queued\":1}]}",
                  NULL,
                  "3 rows came out of 3 messages, but 't' does not take them: refused (1 record "
                  "waiting).");
    assert_reason(RULE "\"messages\":3,\"matched\":3,\"targets\":[{\"name\":\"t\",\"state\":"
                       "\"ready\",\"last_error\":\"no time\",\"queued\":0,\"rejected\":3}]}",
                  NULL, "3 rows came out of 3 messages, but 't' rejects records: no time.");
    assert_reason(RULE "\"messages\":3,\"matched\":3,\"looked_at\":3,\"fields\":[{\"name\":\"S\","
                       "\"seen\":0,\"selected\":true,\"nearest\":\"s\",\"nearest_seen\":3}]}",
                  NULL,
                  "3 rows came out of 3 messages, but no message had the field 'S'; 's' was there 3 "
                  "times.");
    assert_reason(RULE "\"messages\":1,\"matched\":1}", NULL,
                  "1 row came out of 1 message: the rule works.");
}

static void
errors_of_one_file_are_found_in_a_report(void **state)
{
    struct arena arena = {0};
    struct bytes report = BYTES("r/a.sql:1:2: warning: odd\n  text\n"
                                "r/a.sql:3:4: error: bad\n  text\n  hint: do\n"
                                "r/ab.sql:1:1: error: other\n"
                                "r/a.sql: error: no place\n"
                                "r/a.test:2:4: error: expected\n");
    assert_bytes(why_errors_of(report, BYTES("r/a.sql"), &arena),
                 "r/a.sql:3:4: error: bad\n  text\n  hint: do\nr/a.sql: error: no place\n"
                 "r/a.test:2:4: error: expected\n");
    assert_bytes(why_errors_of(report, BYTES("r/b.sql"), &arena), "");
    assert_bytes(why_errors_of(report, BYTES(""), &arena), "");
    arena_fini(&arena);
}

static void
nothing_in_a_payload_reaches_the_terminal_as_a_command(void **state)
{
    struct buf out = {0};
    struct diag_list diags = {0};
    char *whole = complete(RULE "\"messages\":1,\"looked_at\":1,\"fields\":[{\"name\":"
                                "\"\\u001b[2J\\n\",\"seen\":0}],\"conjuncts\":[]}",
                           NULL);
    assert_true(why_print(bytes_of_string(whole), &out, &diags));
    assert_null(strchr(buf_string(&out), '\x1b'));
    assert_non_null(strstr(buf_string(&out), "?[2J"));
    free(whole);
    buf_fini(&out);
    diag_list_fini(&diags);
}

static void
an_answer_that_is_no_document_is_an_error(void **state)
{
    static const char *const texts[] = {"", "[]", "{\"rule\":", "garbage"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct buf out = {0};
        struct diag_list diags = {0};
        assert_false(why_complete(bytes_of_string(texts[i]), NULL, &out, &diags));
        assert_int_equal(diags.errors, 1);
        buf_fini(&out);
        diag_list_fini(&diags);
    }
    assert_true(why_is_known(BYTES("{\"rule\":\"a\"}")));
    assert_false(why_is_known(BYTES("{\"unknown\":\"a\"}")));
    assert_reason("{\"unknown\":\"a\",\"nearest\":\"b\"}", NULL,
                  "There is no rule 'a'; did you mean 'b'?");
}

/* ---- the table of recent topics ---- */

static void
recent_topics_are_counted_and_bounded(void **state)
{
    struct recent *recent = recent_new();
    struct arena arena = {0};
    size_t count;
    for (int i = 0; i < 3; i++) {
        recent_note(recent, BYTES("a/b"), 100 + i);
    }
    const struct recent_topic *topics = recent_list(recent, &arena, &count);
    assert_int_equal(count, 1);
    assert_bytes(topics[0].topic, "a/b");
    assert_int_equal(topics[0].count, 3);
    assert_int_equal(topics[0].last_us, 102);
    for (int i = 0; i < 100000; i++) {
        recent_note(recent, arena_printf(&arena, "t/%d", i), 1000 + i);
    }
    char longest[300];
    memset(longest, 'x', sizeof longest);
    recent_note(recent, bytes_of(longest, sizeof longest), 2000000);
    topics = recent_list(recent, &arena, &count);
    assert_int_equal(count, 512);
    size_t newest = 0;
    for (size_t i = 0; i < count; i++) {
        newest += topics[i].last_us > 1000 + 100000 - 2048;
    }
    assert_in_range(newest, 480, 512); /* the old ones gave way */
    arena_fini(&arena);
    recent_free(recent);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(without_messages_the_way_to_the_broker_is_to_blame),
            cmocka_unit_test(what_was_heard_counts),
            cmocka_unit_test(what_stopped_most_messages_is_to_blame),
            cmocka_unit_test(rows_may_come_out_and_still_be_wrong),
            cmocka_unit_test(errors_of_one_file_are_found_in_a_report),
            cmocka_unit_test(nothing_in_a_payload_reaches_the_terminal_as_a_command),
            cmocka_unit_test(an_answer_that_is_no_document_is_an_error),
            cmocka_unit_test(recent_topics_are_counted_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
