/*
 * The key-value table, through its driver and its parts: keys, items, exactly once, look-ups,
 * queries. The contract that all drivers share is tested in tests/conform.
 */
#include "table.h"

#include "drivers/table/table_key.h"

#include "base/mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void
open_or_fail(struct table *table)
{
    if (!table_open(table)) {
        fail_msg("open: %.*s", BYTES_ARG(diag_first_error(&table->diags)));
    }
}

static void
begin(struct table *table, const char *const *options)
{
    table_init(table, "table", options);
    open_or_fail(table);
}

static void
reopen(struct table *table)
{
    table_close(table);
    open_or_fail(table);
}

static enum verdict
write_with(struct table *table, const char *params, struct bytes payload, const char **reason)
{
    struct sink_record record = {.id = {.position = table->position++},
                                 .stream = BYTES("mqtt"),
                                 .params = bytes_of_string(params),
                                 .payload = payload};
    struct outcome outcome = {0};
    struct batch batch = {&record, &outcome, 1, INT64_MAX, &table->arena};
    table->driver->write(table->instance, &batch);
    *reason = arena_copy(&table->arena, outcome.reason).data;
    return outcome.verdict;
}

static void
assert_acted(struct table *table, const char *params, const char *payload)
{
    const char *reason = "";
    enum verdict verdict = write_with(table, params, bytes_of_string(payload), &reason);
    if (verdict != VERDICT_DONE) {
        fail_msg("%s: verdict %d, reason '%s'", params, verdict, reason);
    }
}

static void
assert_done(struct table *table, const char *payload)
{
    assert_acted(table, NULL, payload);
}

/* Refused with exactly this sentence. */
static void
assert_refused(struct table *table, const char *params, const char *payload, const char *sentence)
{
    const char *reason = "";
    enum verdict verdict = write_with(table, params, bytes_of_string(payload), &reason);
    assert_int_equal(verdict, VERDICT_REJECT);
    assert_string_equal(reason, sentence);
}

static void
assert_rows(struct table *table, const char *expected)
{
    assert_string_equal(table_rows(table, NULL), expected);
}

/* The item with a key as text, "" when there is none, the error when it is no key. */
static const char *
look_up(struct table *table, const char *key)
{
    struct bytes item = {0};
    diag_list_clear(&table->diags);
    if (!table->driver->lookup(table->instance, bytes_of_string(key), &table->arena, &item,
                               &table->diags)) {
        return arena_copy(&table->arena, diag_first_error(&table->diags)).data;
    }
    return arena_copy(&table->arena, item).data;
}

static const char *const by_id[] = {"partition_key=id", NULL};
static const char *const by_id_and_at[] = {"partition_key=id", "sort_key=at", NULL};

/* ---- keys ---- */

static struct bytes
number_key(struct buf *buf, const char *text)
{
    buf_clear(buf);
    const char *wrong = table_key_append_number(buf, bytes_of_string(text));
    assert_null(wrong);
    return buf_bytes(buf);
}

static void
number_keys_order_by_value(void **state)
{
    static const char *const rising[] = {
            "-9.99E125", "-1e38", "-1000", "-999.5", "-123.46", "-123.456", "-123.45", "-12",
            "-1.01", "-1", "-0.5", "-0.05", "-1E-130", "0", "1E-130", "0.05", "0.5", "0.501", "1",
            "1.01", "9", "10", "10.5", "99", "100", "101", "12345678901234567890123456789012345678",
            "12345678901234567890123456789012345679", "1e38", "9.99E125"};
    struct buf a = {0}, b = {0};
    for (size_t i = 0; i < sizeof rising / sizeof *rising; i++) {
        for (size_t j = 0; j < sizeof rising / sizeof *rising; j++) {
            int order = bytes_compare(number_key(&a, rising[i]), number_key(&b, rising[j]));
            if ((order > 0) - (order < 0) != (i > j) - (i < j)) {
                fail_msg("%s and %s compare as %d", rising[i], rising[j], order);
            }
        }
    }
    buf_fini(&a);
    buf_fini(&b);
}

/* Numbers of a seeded generator, short enough that doubles order them exactly. */
static void
number_keys_order_as_doubles_do(void **state)
{
    struct buf a = {0}, b = {0};
    srand(7);
    for (int i = 0; i < 20000; i++) {
        char texts[2][32];
        for (int k = 0; k < 2; k++) {
            snprintf(texts[k], sizeof texts[k], "%de%d", rand() % 2001 - 1000, rand() % 7 - 3);
        }
        double x = strtod(texts[0], NULL), y = strtod(texts[1], NULL);
        int order = bytes_compare(number_key(&a, texts[0]), number_key(&b, texts[1]));
        if ((order > 0) - (order < 0) != (x > y) - (x < y)) {
            fail_msg("%s and %s compare as %d", texts[0], texts[1], order);
        }
    }
    buf_fini(&a);
    buf_fini(&b);
}

static void
equal_numbers_are_one_key(void **state)
{
    static const char *const equal[][2] = {
            {"1", "1.0"}, {"1", "1e0"}, {"100", "1E2"}, {"0.30", "0.3"}, {"0", "-0.00e7"},
            {"12000000000000000000000000000000000000000", "1.2e40"}, {"-5", "-0.5E+1"}};
    struct buf a = {0}, b = {0};
    for (size_t i = 0; i < sizeof equal / sizeof *equal; i++) {
        assert_int_equal(bytes_compare(number_key(&a, equal[i][0]), number_key(&b, equal[i][1])),
                         0);
    }
    buf_fini(&a);
    buf_fini(&b);
}

static void
number_keys_have_bounds(void **state)
{
    static const struct {
        const char *text;
        const char *wrong;
    } cases[] = {
            {"123456789012345678901234567890123456789", "has more than 38 digits"},
            {"0.100000000000000000000000000000000000001", "has more than 38 digits"},
            {"1e126", "is outside of 1E-130 to 9.99E125"},
            {"-1e126", "is outside of 1E-130 to 9.99E125"},
            {"9e-131", "is outside of 1E-130 to 9.99E125"},
            {"1e99999999999999999999", "is outside of 1E-130 to 9.99E125"},
            {"1e-99999999999999999999", "is outside of 1E-130 to 9.99E125"}};
    struct buf key = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *wrong = table_key_append_number(&key, bytes_of_string(cases[i].text));
        assert_non_null(wrong);
        assert_string_equal(wrong, cases[i].wrong);
    }
    assert_int_equal(key.size, 0);
    assert_null(table_key_append_number(&key, BYTES("0e99999")));
    buf_fini(&key);
}

/* ---- items ---- */

/* The table of the smart meters: periods as strings sort as the data model wants it. */
static void
items_lie_in_the_order_of_their_keys(void **state)
{
    const struct declared_column columns[] = {
            {BYTES("CustomerID"), COLUMN_BIGINT}, {BYTES("SensorID-Period"), COLUMN_VARCHAR}};
    static const char *const options[] = {"partition_key=CustomerID", "sort_key=SensorID-Period",
                                          NULL};
    struct table table;
    table_init(&table, "dynamodb", options);
    table.declaration = (struct driver_declaration){.columns = columns, .column_count = 2};
    open_or_fail(&table);
    assert_string_equal(table_columns(&table), "CustomerID:BIGINT SensorID-Period:VARCHAR");
    static const char *const items[] = {
            "{\"CustomerID\":10027610,\"SensorID-Period\":\"51246501#2022-01-05T00\",\"kWh\":0.28}",
            "{\"CustomerID\":10027610,\"SensorID-Period\":\"51246501#2022-01\",\"kWh\":192.51}",
            "{\"CustomerID\":9,\"SensorID-Period\":\"51246509#2022-01\",\"kWh\":1}",
            "{\"CustomerID\":10027610,\"SensorID-Period\":\"51246501#2022-01-05\",\"kWh\":6.21}"};
    for (size_t i = 0; i < 4; i++) {
        assert_done(&table, items[i]);
    }
    static const char *const rows =
            "CustomerID=9 SensorID-Period=51246509#2022-01 kWh=1\n"
            "CustomerID=10027610 SensorID-Period=51246501#2022-01 kWh=192.51\n"
            "CustomerID=10027610 SensorID-Period=51246501#2022-01-05 kWh=6.21\n"
            "CustomerID=10027610 SensorID-Period=51246501#2022-01-05T00 kWh=0.28\n";
    assert_rows(&table, rows);
    for (size_t i = 0; i < 4; i++) {
        assert_done(&table, items[i]); /* new records: a day is counted again */
    }
    assert_rows(&table, rows);
    assert_refused(&table, NULL, "{\"CustomerID\":\"9\",\"SensorID-Period\":\"x\"}",
                   "member 'CustomerID', the partition key, holds \"9\", expected a number");
    assert_refused(&table, NULL, "{\"CustomerID\":9,\"SensorID-Period\":7}",
                   "member 'SensorID-Period', the sort key, holds 7, expected a string");
    table_fini(&table);
}

static void
a_put_replaces_the_whole_item(void **state)
{
    struct table table;
    begin(&table, by_id);
    assert_done(&table, "{\"id\":1,\"a\":1,\"b\":2}");
    assert_done(&table, " {\"id\": 1.0, \"b\": 3} ");
    assert_string_equal(look_up(&table, "{\"id\":1}"), "{\"id\": 1.0, \"b\": 3}");
    assert_rows(&table, "id=1 b=3\n");
    table_fini(&table);
}

static void
keys_of_several_types_order_numbers_first(void **state)
{
    struct table table;
    begin(&table, by_id);
    assert_done(&table, "{\"id\":{\"$binary\":\"AAE=\"}}");
    assert_done(&table, "{\"id\":\"10\"}");
    assert_done(&table, "{\"id\":\"\\u00e4\"}");
    assert_done(&table, "{\"id\":9}");
    assert_done(&table, "{\"id\":10}");
    assert_rows(&table, "id=9\nid=10\nid=10\nid=\xc3\xa4\nid={\"$binary\":\"AAE=\"}\n");
    assert_string_equal(look_up(&table, "{\"id\":{\"$binary\":\"AAE\"}}"),
                        "{\"id\":{\"$binary\":\"AAE=\"}}");
    table_fini(&table);
}

static void
bad_items_are_refused_with_the_member(void **state)
{
    struct table table;
    begin(&table, by_id_and_at);
    assert_refused(&table, NULL, "{\"id\":", "the payload is not JSON: unexpected end at byte 6");
    assert_refused(&table, NULL, "[{\"id\":1}]",
                   "the payload is not a JSON object with the member 'id'");
    assert_refused(&table, NULL, "{\"Id\":1,\"at\":1}",
                   "member 'id', the partition key, is missing");
    assert_refused(&table, NULL, "{\"id\":1}", "member 'at', the sort key, is missing");
    assert_refused(&table, NULL, "{\"id\":null,\"at\":1}",
                   "member 'id', the partition key, holds null, which is neither a string nor a "
                   "number nor {\"$binary\": base64}");
    assert_refused(&table, NULL, "{\"id\":\"\",\"at\":1}",
                   "member 'id', the partition key, has 0 bytes, expected 1 to 2048");
    assert_refused(&table, NULL, "{\"id\":1e200,\"at\":1}",
                   "member 'id', the partition key, holds 1e200, which is outside of 1E-130 to "
                   "9.99E125");
    /* A long value is cut between characters: 59 bytes and two of them do not fit 60. */
    assert_refused(&table, NULL,
                   "{\"id\":[\"012345678901234567890123456789012345678901234567890123456"
                   "\xc3\xa4\"]}",
                   "member 'id', the partition key, holds "
                   "[\"012345678901234567890123456789012345678901234567890123456, which is neither "
                   "a string nor a number nor {\"$binary\": base64}");
    assert_rows(&table, "");
    table_fini(&table);
}

static void
items_and_keys_have_a_size(void **state)
{
    struct table table;
    begin(&table, by_id_and_at);
    struct buf item = {0};
    char *text = mem_alloc(500000);
    memset(text, 'x', 500000);
    buf_printf(&item, "{\"id\":\"%.*s\",\"at\":\"%.*s\"}", 2048, text, 1024, text);
    assert_done(&table, buf_string(&item));
    buf_clear(&item);
    buf_printf(&item, "{\"id\":\"%.*s\",\"at\":\"%.*s\"}", 2048, text, 1025, text);
    assert_refused(&table, NULL, buf_string(&item),
                   "member 'at', the sort key, has 1025 bytes, expected 1 to 1024");
    buf_clear(&item);
    buf_printf(&item, "{\"id\":1,\"at\":1,\"v\":\"%.*s\"}", 409600 - 22, text);
    assert_int_equal(item.size, 409600);
    assert_done(&table, buf_string(&item));
    buf_clear(&item);
    buf_printf(&item, "{\"id\":1,\"at\":1,\"v\":\"%.*s\"}", 409600 - 21, text);
    assert_refused(&table, NULL, buf_string(&item), "the item has 409601 bytes, more than 409600");
    free(text);
    buf_fini(&item);
    table_fini(&table);
}

/* ---- columns ---- */

static void
columns_show_all_values_without_loss(void **state)
{
    struct table table;
    begin(&table, by_id);
    assert_done(&table, "{\"id\":1,\"n\":5,\"x\":1,\"long\":9223372036854775807,\"b\":true,"
                        "\"s\":\"5\",\"mixed\":1,\"none\":null}");
    assert_string_equal(table_columns(&table),
                        "id:BIGINT n:BIGINT x:BIGINT long:BIGINT b:BOOLEAN s:VARCHAR mixed:BIGINT "
                        "none:VARCHAR");
    assert_done(&table, "{\"id\":2,\"n\":9007199254740993,\"x\":0.1,\"long\":0.5,\"b\":false,"
                        "\"mixed\":[1, 2.50],\"big\":123456789012345678901234567890}");
    assert_string_equal(table_columns(&table),
                        "id:BIGINT n:BIGINT x:DOUBLE long:VARCHAR b:BOOLEAN s:VARCHAR "
                        "mixed:VARCHAR none:VARCHAR big:VARCHAR");
    assert_rows(&table, "id=1 n=5 x=1 long=9223372036854775807 b=true s=5 mixed=1\n"
                        "id=2 n=9007199254740993 x=0.1 long=0.5 b=false mixed=[1, 2.50] "
                        "big=123456789012345678901234567890\n");
    table_fini(&table);
}

static void
attributes_beyond_the_limit_are_no_columns(void **state)
{
    struct table table;
    begin(&table, by_id);
    struct buf item = {0};
    buf_append_string(&item, "{\"id\":1");
    for (int i = 0; i < 1100; i++) {
        buf_printf(&item, ",\"a%d\":%d", i, i);
    }
    buf_append_char(&item, '}');
    assert_done(&table, buf_string(&item));
    struct table_schema schema;
    assert_true(table.driver->describe(table.instance, &table.arena, &schema, &table.diags));
    assert_int_equal(schema.count, 1000);
    assert_string_equal(look_up(&table, "{\"id\":1}"), buf_string(&item));
    assert_non_null(strstr(table_rows(&table, NULL), " a998=998\n"));
    buf_fini(&item);
    table_fini(&table);
}

static void
an_equality_with_the_partition_key_is_used(void **state)
{
    struct table table;
    begin(&table, by_id_and_at);
    for (int i = 0; i < 3; i++) {
        static const char *const ids[] = {"\"7\"", "7.0", "\"8\""};
        char item[64];
        snprintf(item, sizeof item, "{\"id\":%s,\"at\":%d}", ids[i], i);
        assert_done(&table, item);
    }
    struct scan_request request = {.equal_column = 0, .equal_text = BYTES("7")};
    assert_string_equal(table_rows(&table, &request), "id=7.0 at=1\nid=7 at=0\n");
    request.equal_text = BYTES("9");
    assert_string_equal(table_rows(&table, &request), "");
    const bool wanted[] = {false, true};
    request = (struct scan_request){.equal_column = SIZE_MAX, .wanted = wanted};
    assert_string_equal(table_rows(&table, &request), "at=1\nat=0\nat=2\n");
    table_fini(&table);
}

/* ---- exactly once ---- */

static void
a_batch_sent_twice_counts_once(void **state)
{
    static const uint64_t positions[] = {1, 2, 3};
    static const char *const payloads[] = {"{\"id\":1,\"v\":1}", "{\"id\":1,\"v\":2}", "{\"v\":3}"};
    enum verdict verdicts[3];
    struct table table;
    begin(&table, by_id);
    for (int i = 0; i < 2; i++) {
        table_write_at(&table, positions, payloads, 3, verdicts);
        assert_int_equal(verdicts[1], VERDICT_DONE);
        assert_int_equal(verdicts[2], VERDICT_REJECT);
        reopen(&table);
    }
    table_write_at(&table, positions, payloads, 1, verdicts); /* an older value comes again */
    assert_int_equal(verdicts[0], VERDICT_DONE);
    assert_rows(&table, "id=1 v=2\n");
    table_fini(&table);
}

/* A dead letter that is tried again is no repetition, though its id is an old one. */
static void
a_dead_letter_is_taken_behind_newer_records(void **state)
{
    static const uint64_t positions[] = {1, 2};
    static const char *const payloads[] = {"{\"id\":1,\"v\":1}", "{\"id\":2,\"v\":2}"};
    enum verdict verdicts[2];
    struct table table;
    begin(&table, by_id);
    table_write_at(&table, positions + 1, payloads + 1, 1, verdicts);
    table.dead_position = 64;
    table_write_at(&table, positions, payloads, 1, verdicts);
    assert_int_equal(verdicts[0], VERDICT_DONE);
    assert_rows(&table, "id=1 v=1\nid=2 v=2\n");
    table_fini(&table);
}

static void
a_failed_batch_is_taken_when_it_comes_again(void **state)
{
    static const uint64_t early[] = {1, 2};
    static const uint64_t late[] = {3};
    static const char *const payloads[] = {"{\"id\":1,\"v\":1}", "{\"id\":2,\"w\":2}"};
    static const char *const other[] = {"{\"id\":3}"};
    enum verdict verdicts[2];
    struct table table;
    begin(&table, by_id);
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    struct rlimit none = {0, limit.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &none); /* as a full disk */
    table_write_at(&table, early, payloads, 2, verdicts);
    setrlimit(RLIMIT_FSIZE, &limit);
    assert_int_equal(verdicts[0], VERDICT_RETRY);
    assert_int_equal(verdicts[1], VERDICT_RETRY);
    assert_string_equal(table_columns(&table), "id:VARCHAR");
    table_write_at(&table, late, other, 1, verdicts);
    assert_int_equal(verdicts[0], VERDICT_DONE);
    table_write_at(&table, early, payloads, 1, verdicts);
    assert_int_equal(verdicts[0], VERDICT_DONE);
    assert_string_equal(table_columns(&table), "id:BIGINT v:BIGINT");
    reopen(&table);
    table_write_at(&table, early, payloads, 2, verdicts);
    assert_int_equal(verdicts[1], VERDICT_DONE);
    assert_rows(&table, "id=1 v=1\nid=2 w=2\nid=3\n");
    assert_string_equal(table_columns(&table), "id:BIGINT v:BIGINT w:BIGINT");
    table_fini(&table);
}

static enum verdict
write_value(struct table *table, uint64_t position)
{
    char text[40];
    const char *payload = text;
    enum verdict verdict;
    snprintf(text, sizeof text, "{\"id\":1,\"v\":%d}", (int)position);
    table_write_at(table, &position, &payload, 1, &verdict);
    return verdict;
}

/* In a child: one value after another until it is killed; the first `reported` ones are DONE. */
static void
write_until_killed(struct table *table, int reports)
{
    bool going = table_open(table);
    for (uint64_t position = 1; going; position++) {
        going = write_value(table, position) == VERDICT_DONE && write(reports, "x", 1) == 1;
    }
    _exit(1);
}

/* Killed at some moment: what was DONE is there, and older values that come again change nothing. */
static void
a_killed_writer_loses_nothing_and_repeats_nothing(void **state)
{
    for (int round = 1; round <= 4; round++) {
        int reports[2];
        struct table table;
        table_init(&table, "table", by_id);
        assert_int_equal(pipe(reports), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            write_until_killed(&table, reports[1]);
        }
        close(reports[1]);
        char bytes[64];
        size_t reported = 0;
        ssize_t got;
        while (reported < (size_t)round * 7 && (got = read(reports[0], bytes, 1)) > 0) {
            reported += (size_t)got;
        }
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        while ((got = read(reports[0], bytes, sizeof bytes)) > 0) {
            reported += (size_t)got;
        }
        close(reports[0]);
        open_or_fail(&table);
        const char *item = look_up(&table, "{\"id\":1}");
        uint64_t value = strtoull(strrchr(item, ':') + 1, NULL, 10);
        assert_in_range(value, reported, reported + 1);
        for (uint64_t position = 1; position <= value; position++) {
            assert_int_equal(write_value(&table, position), VERDICT_DONE);
            assert_string_equal(look_up(&table, "{\"id\":1}"), item);
        }
        table_fini(&table);
    }
}

/* ---- the parameters of the dynamoDB action ---- */

#define HASH "\"hashKeyField\":\"id\",\"hashKeyValue\":\"7\""
#define RANGE ",\"rangeKeyField\":\"at\",\"rangeKeyValue\":\"2.50\",\"rangeKeyType\":\"NUMBER\""

static void
an_action_puts_the_payload_into_one_member(void **state)
{
    struct table table;
    begin(&table, by_id_and_at);
    const char *reason;
    assert_acted(&table, "{\"tableName\":\"t\"," HASH RANGE "}", " {\"a\" : 1} ");
    assert_string_equal(look_up(&table, "{\"id\":\"7\",\"at\":2.5}"),
                        "{\"id\":\"7\",\"at\":2.50,\"payload\":{\"a\" : 1}}");
    assert_acted(&table, "{" HASH ",\"hashKeyType\":\"NUMBER\"" RANGE ",\"payloadField\":\"p\"}",
                 "not json");
    assert_string_equal(look_up(&table, "{\"id\":7,\"at\":2.5}"),
                        "{\"id\":7,\"at\":2.50,\"p\":{\"$binary\":\"bm90IGpzb24=\"}}");
    assert_int_equal(write_with(&table, "{" HASH RANGE "}", BYTES("\xff\0"), &reason),
                     VERDICT_DONE);
    assert_string_equal(look_up(&table, "{\"id\":\"7\",\"at\":2.5}"),
                        "{\"id\":\"7\",\"at\":2.50,\"payload\":{\"$binary\":\"/wA=\"}}");
    assert_acted(&table, "{\"qos\":0}", "{\"id\":1,\"at\":1}"); /* of another action */
    assert_string_equal(look_up(&table, "{\"id\":1,\"at\":1}"), "{\"id\":1,\"at\":1}");
    table_fini(&table);
}

static void
an_action_updates_and_deletes(void **state)
{
    struct table table;
    begin(&table, by_id);
    assert_done(&table, "{\"id\":\"7\",\"keep\":1.50,\"payload\":0,\"a\\u0062\":2}");
    assert_acted(&table, "{" HASH ",\"operation\":\"UPDATE\"}", "[1]");
    assert_string_equal(look_up(&table, "{\"id\":\"7\"}"),
                        "{\"keep\":1.50,\"a\\u0062\":2,\"id\":\"7\",\"payload\":[1]}");
    assert_acted(&table, "{" HASH ",\"operation\":\"INSERT\"}", "2");
    assert_string_equal(look_up(&table, "{\"id\":\"7\"}"), "{\"id\":\"7\",\"payload\":2}");
    assert_acted(&table, "{" HASH ",\"operation\":\"DELETE\"}", "");
    assert_string_equal(look_up(&table, "{\"id\":\"7\"}"), "");
    assert_acted(&table, "{" HASH ",\"operation\":\"delete\"}", ""); /* there is none */
    assert_acted(&table, "{" HASH ",\"operation\":\"UPDATE\"}", "3");
    assert_rows(&table, "id=7 payload=3\n");
    table_fini(&table);
}

static void
an_action_that_does_not_fit_is_refused(void **state)
{
    struct table table;
    begin(&table, by_id);
    assert_refused(&table, "{\"hashKeyField\":\"ID\",\"hashKeyValue\":\"7\"}", "1",
                   "hashKeyField is 'ID', but the table's partition key is 'id'");
    assert_refused(&table, "{" HASH RANGE "}", "1",
                   "rangeKeyField is 'at', but the table's sort key is ''");
    assert_refused(&table, "{" HASH ",\"hashKeyType\":\"INT\"}", "1",
                   "hashKeyType is 'INT', expected STRING or NUMBER");
    assert_refused(&table,
                   "{\"hashKeyField\":\"id\",\"hashKeyValue\":\"7a\",\"hashKeyType\":\"NUMBER\"}",
                   "1", "hashKeyValue is '7a', expected a number");
    assert_refused(&table, "{\"hashKeyField\":\"id\"}", "1",
                   "member 'id', the partition key, has 0 bytes, expected 1 to 2048");
    assert_refused(&table, "{" HASH ",\"operation\":\"UPSERT\"}", "1",
                   "operation is 'UPSERT', expected INSERT, UPDATE or DELETE");
    assert_refused(&table, "{" HASH ",\"payloadField\":\"id\"}", "1",
                   "payloadField 'id' is a key of the table");
    assert_refused(&table, "[]", "1", "the action's parameters are not a JSON object");
    assert_refused(&table, "{\"hashKeyField\"", "1",
                   "the action's parameters are not JSON: unexpected end at byte 15");
    table_fini(&table);
}

/* ---- look-ups ---- */

static void
a_lookup_needs_the_whole_key(void **state)
{
    struct table table;
    begin(&table, by_id_and_at);
    assert_string_equal(look_up(&table, "{\"id\":1,\"at\":\"x\"}"), "");
    assert_done(&table, "{\"id\":1,\"at\":\"x\",\"n\":9007199254740993.10}");
    assert_string_equal(look_up(&table, "{\"at\":\"x\",\"id\":1.0}"),
                        "{\"id\":1,\"at\":\"x\",\"n\":9007199254740993.10}");
    assert_string_equal(look_up(&table, "{\"id\":\"1\",\"at\":\"x\"}"), "");
    assert_string_equal(look_up(&table, "{\"id\":1}"),
                        "table 't': member 'at', the sort key, is missing");
    assert_string_equal(look_up(&table, "{\"id\":1,\"at\":\"x\",\"n\":1}"),
                        "table 't': 'n' is no key of the table, which has 'id' and 'at'");
    assert_int_equal(table.diags.items[0].class, DIAG_INVALID);
    table_fini(&table);
}

static void
a_reader_needs_no_writer(void **state)
{
    struct table table;
    table_init(&table, "table", by_id);
    table.env.read_only = true;
    open_or_fail(&table);
    assert_rows(&table, "");
    assert_string_equal(look_up(&table, "{\"id\":1}"), "");
    assert_string_equal(table_columns(&table), "id:VARCHAR");
    table_close(&table);
    table.env.read_only = false;
    open_or_fail(&table);
    struct table reader = table;
    reader.env.read_only = true;
    reader.arena = (struct arena){0};
    open_or_fail(&reader);
    assert_done(&table, "{\"id\":1}");
    assert_rows(&reader, "id=1\n");
    assert_string_equal(look_up(&reader, "{\"id\":1}"), "{\"id\":1}");
    assert_done(&table, "{\"id\":1,\"v\":2}"); /* through the kept connection too */
    assert_string_equal(look_up(&reader, "{\"id\":1}"), "{\"id\":1,\"v\":2}");
    table_close(&reader);
    arena_fini(&reader.arena);
    table_fini(&table);
}

/* ---- opening ---- */

static void
assert_does_not_open(const char *const *options, const struct declared_column *columns,
                     size_t count, const char *message)
{
    struct table table;
    table_init(&table, "table", options);
    table.declaration = (struct driver_declaration){.columns = columns, .column_count = count};
    assert_false(table_open(&table));
    assert_bytes(diag_first_error(&table.diags), message);
    table_fini(&table);
}

static void
contradicting_options_do_not_open(void **state)
{
    static const char *const same[] = {"partition_key=id", "sort_key=id", NULL};
    static const char *const empty[] = {"partition_key=", NULL};
    const struct declared_column columns[] = {{BYTES("Id"), COLUMN_BIGINT},
                                                     {BYTES("at"), COLUMN_TIMESTAMP}};
    static const char *const at[] = {"partition_key=at", NULL};
    assert_does_not_open(same, NULL, 0, "'partition_key' and 'sort_key' are both 'id'");
    assert_does_not_open(empty, NULL, 0, "'partition_key' has 0 bytes, expected 1 to 255");
    assert_does_not_open(by_id, columns, 2,
                         "'partition_key' is 'id', which is no column of the table");
    assert_does_not_open(at, columns, 2, "column 'at' cannot be the 'partition_key'");
}

static void
other_names_of_the_options_are_suggested(void **state)
{
    struct diag_list diags = {0};
    const struct driver *driver = driver_find(BYTES("dynamodb"));
    void *options = mem_alloc_zeroed(1, driver->options_size);
    assert_false(option_set(&driver->options, options, BYTES("hash_key"), BYTES("id"), NULL,
                            &diags));
    assert_bytes(diags.items[0].hint, "did you mean 'partition_key'?");
    assert_false(option_set(&driver->options, options, BYTES("Range_Key"), BYTES("id"), NULL,
                            &diags));
    assert_bytes(diags.items[1].hint, "did you mean 'sort_key'?");
    assert_false(option_check_required(&driver->options, options, &(struct diag_place){0},
                                       &diags));
    free(options);
    diag_list_fini(&diags);
}

static void
stored_items_keep_their_key(void **state)
{
    static const char *const by_name[] = {"partition_key=name", NULL};
    struct table table;
    begin(&table, by_id);
    assert_done(&table, "{\"id\":1}");
    table_close(&table);
    struct table other;
    table_init(&other, "table", by_name);
    other.env.data_dir = table.dir;
    assert_false(table_open(&other));
    assert_bytes(diag_first_error(&other.diags),
                 "the stored items have the partition_key 'id', not 'name'");
    assert_int_equal(other.diags.items[0].class, DIAG_INVALID);
    table_fini(&other);
    open_or_fail(&table);
    assert_rows(&table, "id=1\n");
    table_fini(&table);
}

static bool
has_file_with(const char *dir, const char *part)
{
    DIR *opened = opendir(dir);
    assert_non_null(opened);
    bool found = false;
    struct dirent *entry;
    while ((entry = readdir(opened)) != NULL) {
        found = found || strstr(entry->d_name, part) != NULL;
    }
    closedir(opened);
    return found;
}

static void
a_damaged_file_is_moved_aside(void **state)
{
    struct table table;
    char path[128], noise[4096];
    begin(&table, by_id);
    assert_done(&table, "{\"id\":1}");
    table_close(&table);
    memset(noise, 0x5a, sizeof noise);
    snprintf(path, sizeof path, "%s/table.db", table.dir);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, noise, sizeof noise, 0), sizeof noise);
    close(fd);
    open_or_fail(&table);
    assert_int_equal(table.diags.errors, 0);
    assert_true(table.diags.count > 0);
    assert_true(has_file_with(table.dir, "table.db.damaged-"));
    assert_done(&table, "{\"id\":2}");
    assert_rows(&table, "id=2\n");
    table_fini(&table);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(number_keys_order_by_value),
            cmocka_unit_test(number_keys_order_as_doubles_do),
            cmocka_unit_test(equal_numbers_are_one_key),
            cmocka_unit_test(number_keys_have_bounds),
            cmocka_unit_test(items_lie_in_the_order_of_their_keys),
            cmocka_unit_test(a_put_replaces_the_whole_item),
            cmocka_unit_test(keys_of_several_types_order_numbers_first),
            cmocka_unit_test(bad_items_are_refused_with_the_member),
            cmocka_unit_test(items_and_keys_have_a_size),
            cmocka_unit_test(columns_show_all_values_without_loss),
            cmocka_unit_test(attributes_beyond_the_limit_are_no_columns),
            cmocka_unit_test(an_equality_with_the_partition_key_is_used),
            cmocka_unit_test(a_batch_sent_twice_counts_once),
            cmocka_unit_test(a_dead_letter_is_taken_behind_newer_records),
            cmocka_unit_test(a_failed_batch_is_taken_when_it_comes_again),
            cmocka_unit_test(a_killed_writer_loses_nothing_and_repeats_nothing),
            cmocka_unit_test(an_action_puts_the_payload_into_one_member),
            cmocka_unit_test(an_action_updates_and_deletes),
            cmocka_unit_test(an_action_that_does_not_fit_is_refused),
            cmocka_unit_test(a_lookup_needs_the_whole_key),
            cmocka_unit_test(a_reader_needs_no_writer),
            cmocka_unit_test(contradicting_options_do_not_open),
            cmocka_unit_test(other_names_of_the_options_are_suggested),
            cmocka_unit_test(stored_items_keep_their_key),
            cmocka_unit_test(a_damaged_file_is_moved_aside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
