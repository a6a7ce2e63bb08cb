/*
 * The http driver against a scripted server. Not here: what every driver must do (tests/conform),
 * and whom it talks to and over what (test_http_peer.c).
 */
#define _GNU_SOURCE
#include "unit.h"

#include "base/os.h"
#include "conform/rig.h"
#include "conform/stub.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

/* A rig whose driver talks to a stub. */
struct pair {
    struct stub *stub;
    struct rig rig;
    char url[64];
};

static void
pair_open(struct pair *pair, stub_answer_fn answer, void *context, const char *const *more)
{
    pair->stub = stub_start(answer, context);
    snprintf(pair->url, sizeof pair->url, "http://127.0.0.1:%d/in", stub_port(pair->stub));
    const char *options[21] = {"url", pair->url};
    for (size_t i = 0; more != NULL && more[i] != NULL; i++) {
        options[i + 2] = more[i];
    }
    struct rig_setup setup = {.driver = "http", .name = "up stream", .options = options};
    assert_true(rig_open(&pair->rig, &setup));
}

static void
pair_close(struct pair *pair)
{
    rig_close(&pair->rig);
    stub_stop(pair->stub);
}

static int64_t
now_ms(void)
{
    return os_posix.mono_us(&os_posix) / 1000;
}

static bool
contains(struct bytes text, const char *part)
{
    return memmem(text.data, text.size, part, strlen(part)) != NULL;
}

#define assert_contains(text, part) assert_true(contains(text, part))

static const char *const three[] = {"{\"n\":1}", "[2,\n 2]", "3"};

static bool
answer_ok(struct stub *stub, const struct stub_request *request)
{
    return stub_reply(stub, 200, "", "thanks");
}

static void
a_batch_is_one_request(void **state)
{
    struct pair pair;
    pair_open(&pair, answer_ok, NULL,
              (const char *[]){"token", "S3CR3T", "headers", "X-One: 1|X-Two: a b\nX-Three: 3",
                               NULL});
    rig_write_strings(&pair.rig, three, 3, 5000);
    assert_int_equal(rig_count(&pair.rig, VERDICT_DONE), 3);
    rig_write_strings(&pair.rig, three, 1, 5000);
    assert_int_equal(stub_count(pair.stub), 2);
    assert_int_equal(stub_connections(pair.stub), 1);
    const struct stub_request *first = stub_request(pair.stub, 0);
    assert_bytes(first->body, "[{\"n\":1},[2,  2],3]");
    assert_true(bytes_starts_with(first->head, BYTES("POST /in HTTP/1.1\r\n")));
    assert_bytes(stub_header(first, "Content-Type"), "application/json");
    assert_bytes(stub_header(first, "Authorization"), "Bearer S3CR3T");
    assert_bytes(stub_header(first, "X-One"), "1");
    assert_bytes(stub_header(first, "X-Two"), "a b");
    assert_bytes(stub_header(first, "X-Three"), "3");
    assert_bytes(stub_header(first, "Idempotency-Key"), "up%20stream/mqtt:1.0-mqtt:3.0/592d14e9");
    assert_bytes(stub_header(first, "Headgate-Id"), "");
    assert_bytes(stub_header(stub_request(pair.stub, 1), "Headgate-Id"), "mqtt:4:0");
    pair_close(&pair);
}

static void
formats_shape_the_body(void **state)
{
    struct pair pair;
    pair_open(&pair, answer_ok, NULL, (const char *[]){"format", "json_lines", NULL});
    rig_write_strings(&pair.rig, three, 3, 5000);
    assert_bytes(stub_request(pair.stub, 0)->body, "{\"n\":1}\n[2,  2]\n3\n");
    assert_bytes(stub_header(stub_request(pair.stub, 0), "Content-Type"), "application/x-ndjson");
    pair_close(&pair);

    pair_open(&pair, answer_ok, NULL,
              (const char *[]){"format", "single", "method", "PUT", "content_type", "text/x",
                               NULL});
    rig_write_strings(&pair.rig, (const char *[]){"not json\n", "", "3"}, 3, 5000);
    assert_int_equal(rig_count(&pair.rig, VERDICT_DONE), 3);
    assert_int_equal(stub_count(pair.stub), 3);
    assert_bytes(stub_request(pair.stub, 0)->body, "not json\n");
    assert_true(bytes_starts_with(stub_request(pair.stub, 0)->head, BYTES("PUT ")));
    assert_bytes(stub_header(stub_request(pair.stub, 0), "Content-Type"), "text/x");
    assert_bytes(stub_header(stub_request(pair.stub, 1), "Headgate-Id"), "mqtt:2:0");
    assert_int_equal(stub_request(pair.stub, 1)->body.size, 0);
    pair_close(&pair);

    pair_open(&pair, answer_ok, NULL, (const char *[]){"envelope", "true", NULL});
    rig_write_strings(&pair.rig, three, 1, 5000);
    assert_bytes(stub_request(pair.stub, 0)->body,
                 "[{\"id\":\"mqtt:1:0\",\"topic\":\"alerts/7\",\"time\":1700000000000,"
                 "\"payload\":{\"n\":1}}]");
    pair_close(&pair);
}

static const char row[] = "{\"temperature\":21.5,\"status\":\"OK\"}";

enum { ROWS = 50, ROWS_BYTES = ROWS * 34 + ROWS + 1 };

/* What is sent of 50 such rows with these options; the pair stays open. */
static const struct stub_request *
send_rows(struct pair *pair, const char *const *options)
{
    const char *payloads[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
        payloads[i] = row;
    }
    pair_open(pair, answer_ok, NULL, options);
    rig_write_strings(&pair->rig, payloads, ROWS, 5000);
    assert_int_equal(rig_count(&pair->rig, VERDICT_DONE), ROWS);
    return stub_request(pair->stub, 0);
}

static void
gzip_shrinks_the_body(void **state)
{
    static const char *const options[][3] = {{"gzip", "true"}, {"compression", "gzip"}};
    for (size_t i = 0; i < 2; i++) {
        struct pair pair;
        const struct stub_request *request = send_rows(&pair, options[i]);
        assert_bytes(stub_header(request, "Content-Encoding"), "gzip");
        assert_true(request->body.size < 200);
        char plain[4096];
        z_stream stream = {.next_in = (Bytef *)(uintptr_t)request->body.data,
                           .avail_in = (uInt)request->body.size, .next_out = (Bytef *)plain,
                           .avail_out = sizeof plain};
        assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
        assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
        assert_int_equal(stream.total_out, ROWS_BYTES);
        assert_memory_equal(plain, "[{\"temperature\":21.5", 20);
        inflateEnd(&stream);
        pair_close(&pair);
    }
}

static void
zstd_shrinks_the_body(void **state)
{
    struct pair pair;
    const struct stub_request *plain =
            send_rows(&pair, (const char *[]){"compression", "none", NULL});
    assert_bytes(stub_header(plain, "Content-Encoding"), "");
    assert_int_equal(plain->body.size, ROWS_BYTES);
    char expected[ROWS_BYTES];
    memcpy(expected, plain->body.data, sizeof expected);
    char *key = bytes_to_string(stub_header(plain, "Idempotency-Key"));
    pair_close(&pair);

    const struct stub_request *request =
            send_rows(&pair, (const char *[]){"compression", "zstd", NULL});
    assert_bytes(stub_header(request, "Content-Encoding"), "zstd");
    assert_bytes(stub_header(request, "Content-Type"), "application/json");
    assert_bytes(stub_header(request, "Idempotency-Key"), key);
    assert_true(request->body.size < 150);
    char got[4096];
    assert_int_equal(ZSTD_decompress(got, sizeof got, request->body.data, request->body.size),
                     ROWS_BYTES);
    assert_memory_equal(got, expected, sizeof expected);
    pair_close(&pair);
    free(key);
}

static bool
answer_500_once(struct stub *stub, const struct stub_request *request)
{
    return stub_reply(stub, request->number == 0 ? 500 : 202, "", "overloaded");
}

static bool
reset_once(struct stub *stub, const struct stub_request *request)
{
    if (request->number == 0) {
        stub_reset(stub);
        return false;
    }
    return stub_reply(stub, 200, "", "");
}

/* U1, U6: what is sent again is the same request. */
static void
a_failed_request_comes_again_the_same(void **state)
{
    static const stub_answer_fn answers[] = {answer_500_once, reset_once};
    for (size_t i = 0; i < 2; i++) {
        struct pair pair;
        pair_open(&pair, answers[i], NULL, NULL);
        rig_write_strings(&pair.rig, three, 3, 5000);
        assert_int_equal(rig_count(&pair.rig, VERDICT_RETRY), 3);
        assert_true(pair.rig.outcomes[0].reason.size > 0);
        pair.rig.next_position = 1;
        rig_write_strings(&pair.rig, three, 3, 5000);
        assert_int_equal(rig_count(&pair.rig, VERDICT_DONE), 3);
        assert_int_equal(stub_count(pair.stub), 2);
        const struct stub_request *one = stub_request(pair.stub, 0);
        const struct stub_request *two = stub_request(pair.stub, 1);
        assert_true(bytes_equal(one->body, two->body));
        assert_true(bytes_equal(stub_header(one, "Idempotency-Key"),
                                stub_header(two, "Idempotency-Key")));
        pair_close(&pair);
    }
}

static bool
answer_429(struct stub *stub, const struct stub_request *request)
{
    if (request->number == 0) {
        return stub_reply(stub, 429, "Retry-After: 7\r\n", "");
    }
    char header[100];
    time_t later = time(NULL) + 7;
    struct tm utc;
    gmtime_r(&later, &utc);
    strftime(header, sizeof header, "Retry-After: %a, %d %b %Y %H:%M:%S GMT\r\n", &utc);
    return stub_reply(stub, 503, header, "");
}

/* U2 */
static void
retry_after_is_handed_on(void **state)
{
    struct pair pair;
    pair_open(&pair, answer_429, NULL, NULL);
    rig_write_strings(&pair.rig, three, 3, 5000);
    assert_int_equal(rig_count(&pair.rig, VERDICT_RETRY), 3);
    assert_int_equal(pair.rig.outcomes[2].retry_after_ms, 7000);
    rig_write_strings(&pair.rig, three, 3, 5000);
    assert_in_range(pair.rig.outcomes[0].retry_after_ms, 5000, 7000);
    pair_close(&pair);
}

static bool
refuse_poison(struct stub *stub, const struct stub_request *request)
{
    bool poison = contains(request->body, "poison");
    return stub_reply(stub, poison ? 400 : 200, "", poison ? "bad \"field\"\n" : "");
}

/* U3 */
static void
one_refused_record_of_a_hundred_is_found(void **state)
{
    struct pair pair;
    pair_open(&pair, refuse_poison, NULL, NULL);
    const char *payloads[100];
    for (size_t i = 0; i < 100; i++) {
        payloads[i] = i == 37 ? "\"poison\"" : "1";
    }
    rig_write_strings(&pair.rig, payloads, 100, 5000);
    assert_int_equal(rig_count(&pair.rig, VERDICT_DONE), 99);
    assert_int_equal(pair.rig.outcomes[37].verdict, VERDICT_REJECT);
    assert_bytes(pair.rig.outcomes[37].reason, "HTTP 400: bad \"field\"");
    assert_true(stub_count(pair.stub) <= 15);
    pair_close(&pair);
}

static bool
take_ten(struct stub *stub, const struct stub_request *request)
{
    return stub_reply(stub, request->body.size > 21 ? 413 : 200, "", "");
}

static void
too_large_a_batch_is_halved(void **state)
{
    struct pair pair;
    pair_open(&pair, take_ten, NULL, NULL);
    const char *payloads[64];
    for (size_t i = 0; i < 64; i++) {
        payloads[i] = "7";
    }
    rig_write_strings(&pair.rig, payloads, 64, 5000);
    assert_int_equal(rig_count(&pair.rig, VERDICT_DONE), 64);
    assert_int_equal(stub_count(pair.stub), 15);
    pair_close(&pair);
}

static bool
refuse_then_fail(struct stub *stub, const struct stub_request *request)
{
    static const int statuses[] = {400, 200, 503};
    return stub_reply(stub, statuses[request->number], "", "");
}

static void
nothing_is_sent_behind_a_retry(void **state)
{
    struct pair pair;
    pair_open(&pair, refuse_then_fail, NULL, NULL);
    rig_write_strings(&pair.rig, (const char *[]){"1", "2", "3", "4", "5", "6", "7", "8"}, 8, 5000);
    assert_int_equal(stub_count(pair.stub), 3);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(pair.rig.outcomes[i].verdict, i < 4 ? VERDICT_DONE : VERDICT_RETRY);
    }
    pair_close(&pair);
}

static bool
answer_items(struct stub *stub, const struct stub_request *request)
{
    const char *body = stub_context(stub);
    return stub_reply(stub, request->number == 0 ? 207 : 200, "Retry-After: 3\r\n", body);
}

static void
a_batch_taken_in_part_is_judged_record_by_record(void **state)
{
    struct pair pair;
    char body[] = "[{\"status\":201},{\"status\":422,\"message\":\"no\\nunit\"},{\"status\":503},"
                  "{\"status\":200},{\"status\":207},{\"status\":404,\"error\":7}]";
    pair_open(&pair, answer_items, body, (const char *[]){"timeout", "5s", NULL});
    rig_write_strings(&pair.rig, (const char *[]){"1", "2", "3", "4", "5", "6"}, 6, 5000);
    static const enum verdict verdicts[] = {VERDICT_DONE, VERDICT_REJECT, VERDICT_RETRY,
                                            VERDICT_DONE, VERDICT_RETRY, VERDICT_REJECT};
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(pair.rig.outcomes[i].verdict, verdicts[i]);
    }
    assert_bytes(pair.rig.outcomes[1].reason, "HTTP 422: no unit");
    assert_bytes(pair.rig.outcomes[2].reason, "HTTP 503");
    assert_bytes(pair.rig.outcomes[5].reason, "HTTP 404");
    assert_int_equal(pair.rig.outcomes[2].retry_after_ms, 3000);
    assert_int_equal(stub_count(pair.stub), 1);
    pair_close(&pair);
}

static void
an_answer_207_without_verdicts_keeps_the_records(void **state)
{
    static char bodies[][64] = {"", "thanks", "{\"status\":200}", "[]", "[{\"status\":200}]",
                                "[{\"status\":200},{\"status\":99}]", "[{\"status\":200},200]",
                                "[{\"status\":200},{\"status\":\"200\"}]",
                                "[{\"status\":200},{\"status\":200},{\"status\":200}]"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct pair pair;
        pair_open(&pair, answer_items, bodies[i], NULL);
        rig_write_strings(&pair.rig, three, 2, 5000);
        assert_int_equal(rig_count(&pair.rig, VERDICT_RETRY), 2);
        assert_contains(pair.rig.outcomes[1].reason, "HTTP 207, but ");
        assert_contains(pair.rig.outcomes[1].reason, "[{\"status\":201},...]");
        pair_close(&pair);
    }
}

/* Verdicts behind a MiB of white space, and some that stop in the middle of the answer. */
static bool
answer_items_cut(struct stub *stub, const struct stub_request *request)
{
    static char blanks[(1 << 20) + 1];
    memset(blanks, ' ', sizeof blanks - 1);
    bool is_long = request->number == 0;
    return stub_send(stub, "HTTP/1.1 207 Multi-Status\r\nContent-Length: ") &&
           stub_send(stub, is_long ? "1048607\r\n\r\n" : "34\r\n\r\n") &&
           stub_send(stub, "[{\"status\":200},{\"status\":200}]") && is_long &&
           stub_send(stub, blanks);
}

static void
verdicts_that_did_not_come_whole_do_not_count(void **state)
{
    struct pair pair;
    pair_open(&pair, answer_items_cut, NULL, NULL);
    for (size_t i = 0; i < 2; i++) {
        rig_write_strings(&pair.rig, three, 2, 5000);
        assert_int_equal(rig_count(&pair.rig, VERDICT_RETRY), 2);
        assert_contains(pair.rig.outcomes[0].reason, "HTTP 207, but the body is longer than 1 MiB");
        assert_contains(pair.rig.outcomes[0].reason, "[{\"status\":201},...]");
    }
    assert_int_equal(stub_count(pair.stub), 2);
    pair_close(&pair);
}

static bool
answer_by_target(struct stub *stub, const struct stub_request *request)
{
    const int *status = stub_context(stub);
    return stub_reply(stub, *status, "Location: /again\r\n", "no");
}

/* U9, and what is about the configuration. */
static void
answers_about_the_request_keep_the_records(void **state)
{
    static const int statuses[] = {301, 302, 307, 308, 304, 401, 407, 408, 425, 429, 500, 599};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        struct pair pair;
        int status = statuses[i];
        pair_open(&pair, answer_by_target, &status, NULL);
        rig_write_strings(&pair.rig, three, 3, 5000);
        assert_int_equal(rig_count(&pair.rig, VERDICT_RETRY), 3);
        assert_int_equal(stub_count(pair.stub), 1);
        struct health health;
        pair.rig.driver->health(pair.rig.instance, &health);
        assert_int_equal(health.state, HEALTH_WAITING);
        pair_close(&pair);
    }
}

static void
a_server_that_cannot_decompress_keeps_the_records(void **state)
{
    static const struct {
        const char *options[5];
        enum verdict verdict;
    } rows[] = {{{"compression", "zstd"}, VERDICT_RETRY},
                {{"gzip", "true"}, VERDICT_RETRY},
                {{"compression", "gzip", "retry", "aws"}, VERDICT_REJECT},
                {{NULL}, VERDICT_REJECT}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pair pair;
        int status = 415;
        pair_open(&pair, answer_by_target, &status, rows[i].options);
        rig_write_strings(&pair.rig, three, 1, 5000);
        assert_int_equal(pair.rig.outcomes[0].verdict, rows[i].verdict);
        if (i < 2) {
            assert_contains(pair.rig.outcomes[0].reason, "set 'compression' = 'none'");
        }
        pair_close(&pair);
    }
}

static bool
drip_headers(struct stub *stub, const struct stub_request *request)
{
    bool open = stub_send(stub, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 100 && open; i++) {
        open = stub_send(stub, "X");
        usleep(200000);
    }
    return false;
}

static bool
drip_body(struct stub *stub, const struct stub_request *request)
{
    bool open = stub_send(stub, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    for (int i = 0; i < 100 && open; i++) {
        open = stub_send(stub, "x");
        usleep(200000);
    }
    return false;
}

/* U7 */
static void
a_dripping_server_is_left(void **state)
{
    struct pair pair;
    pair_open(&pair, drip_headers, NULL, (const char *[]){"timeout", "60s", NULL});
    int64_t start = now_ms();
    rig_write_strings(&pair.rig, three, 3, 60000);
    assert_in_range(now_ms() - start, 4900, 12000);
    assert_int_equal(rig_count(&pair.rig, VERDICT_RETRY), 3);
    assert_bytes(pair.rig.outcomes[0].reason, "fewer than 50 bytes moved in 5 s");
    pair_close(&pair);

    pair_open(&pair, drip_body, NULL, (const char *[]){"timeout", "60s", NULL});
    start = now_ms();
    rig_write_strings(&pair.rig, three, 3, 60000);
    assert_in_range(now_ms() - start, 1900, 4000);
    assert_int_equal(rig_count(&pair.rig, VERDICT_DONE), 3);
    pair_close(&pair);
}

static bool
send_gigabyte(struct stub *stub, const struct stub_request *request)
{
    static char block[65537];
    memset(block, 'y', sizeof block - 1);
    size_t *sent = stub_context(stub);
    bool open = stub_send(stub, "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n");
    while (open && *sent < 1073741824) {
        open = stub_send(stub, block);
        *sent += sizeof block - 1;
    }
    return false;
}

static bool
send_endless_header(struct stub *stub, const struct stub_request *request)
{
    bool open = stub_send(stub, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 100000 && open; i++) {
        open = stub_send(stub, "X-Filler: 0123456789012345678901234567890123456789\r\n");
    }
    return false;
}

/* U8 */
static void
endless_answers_are_cut(void **state)
{
    struct pair pair;
    size_t sent = 0;
    pair_open(&pair, send_gigabyte, &sent, NULL);
    int64_t start = now_ms();
    rig_write_strings(&pair.rig, three, 3, 5000);
    assert_true(now_ms() - start < 2000);
    assert_int_equal(rig_count(&pair.rig, VERDICT_DONE), 3);
    pair_close(&pair);
    assert_true(sent < 64 << 20);

    pair_open(&pair, send_endless_header, NULL, NULL);
    rig_write_strings(&pair.rig, three, 3, 5000);
    assert_int_equal(rig_count(&pair.rig, VERDICT_RETRY), 3);
    assert_bytes(pair.rig.outcomes[0].reason, "the answer's headers are above 64 KiB");
    pair_close(&pair);
}

static bool
answer_never(struct stub *stub, const struct stub_request *request)
{
    char byte;
    int fd = *(int *)stub_context(stub);
    return read(fd, &byte, 1) > 0;
}

/* U5 */
static void
waiting_is_bounded(void **state)
{
    struct pair pair;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pair_open(&pair, answer_never, &ends[0], (const char *[]){"timeout", "300ms", NULL});
    int64_t start = now_ms();
    rig_write_strings(&pair.rig, three, 3, 60000);
    assert_in_range(now_ms() - start, 290, 1300);
    assert_contains(pair.rig.outcomes[0].reason, "no answer within 0.3 s");
    start = now_ms();
    rig_write_strings(&pair.rig, three, 3, -1);
    assert_true(now_ms() - start < 100);
    assert_int_equal(rig_count(&pair.rig, VERDICT_RETRY), 3);
    close(ends[1]);
    pair_close(&pair);
    close(ends[0]);
}

static void
an_absent_server_is_a_retry(void **state)
{
    struct stub *stub = stub_start(answer_ok, NULL);
    char url[64];
    snprintf(url, sizeof url, "http://localhost:%d", stub_port(stub));
    stub_stop(stub);
    struct rig rig;
    struct rig_setup setup = {.driver = "http", .options = (const char *[]){"url", url, NULL}};
    assert_true(rig_open(&rig, &setup));
    rig_write_strings(&rig, three, 3, 5000);
    assert_int_equal(rig_count(&rig, VERDICT_RETRY), 3);
    assert_contains(rig.outcomes[0].reason, "Failed to connect to localhost");
    rig_close(&rig);
}

static void
payloads_that_are_not_json_are_rejected_alone(void **state)
{
    struct pair pair;
    pair_open(&pair, answer_ok, NULL, NULL);
    rig_write_strings(&pair.rig, (const char *[]){"", "1", "2", "{\"x\":", "3"}, 5, 5000);
    assert_int_equal(rig_count(&pair.rig, VERDICT_DONE), 3);
    assert_int_equal(pair.rig.outcomes[0].verdict, VERDICT_REJECT);
    assert_int_equal(pair.rig.outcomes[3].verdict, VERDICT_REJECT);
    assert_contains(pair.rig.outcomes[3].reason, "not JSON (byte 5");
    assert_int_equal(stub_count(pair.stub), 2);
    assert_bytes(stub_request(pair.stub, 0)->body, "[1,2]");
    assert_bytes(stub_request(pair.stub, 1)->body, "[3]");
    pair_close(&pair);
}

static void
wrong_options_are_named(void **state)
{
    static const struct {
        const char *options[7];
        const char *message;
    } rows[] = {
            {{NULL}, "option 'url' is missing"},
            {{"url", "ftp://host/x"}, "'url' has the scheme 'ftp', expected https or http"},
            {{"url", "file:///etc/shadow"}, "'url' "},
            {{"url", "http://"}, "'url' is not an URL"},
            {{"url", "https://me:pw@host/"}, "'url' holds a user name"},
            {{"url", "https://host/${topic(2)}"}, "'url' holds a template"},
            {{"url", "https://h/", "token", "a", "username", "b"}, "both 'token' and 'username'"},
            {{"url", "https://h/", "token", "a\r\nX: y"}, "'token' holds control characters"},
            {{"url", "https://h/", "headers", "A: b | nonsense"}, "line 2 of 'headers'"},
            {{"url", "https://h/", "headers", "Transfer-Encoding: x"},
             "header 'Transfer-Encoding' cannot be set"},
            {{"url", "https://h/", "password", "x"}, "'password' is set without 'username'"},
            {{"url", "https://h/", "gzip", "true", "compression", "zstd"},
             "both 'gzip' and 'compression' = 'zstd' are set"},
            {{"url", "https://h/", "compression", "zstd", "headers", "A: b|content-encoding: x"},
             "both 'compression' and the header 'Content-Encoding' are set"},
            {{"url", "https://h/", "proxy", "socks5://p:1080"}, "'proxy' has the scheme 'socks5'"},
            {{"url", "https://h/", "proxy", "http://me:pw@p:1"}, "'proxy' holds a user name"},
            {{"url", "https://h/", "proxy", "http://"}, "'proxy' is not an URL"},
            {{"url", "https://h/", "proxy_username", "a"},
             "'proxy_username' is set without 'proxy'"},
            {{"url", "https://h/", "proxy", "p:3128", "proxy_password", "a"},
             "'proxy_password' is set without 'proxy_username'"},
            {{"url", "https://h/", "key", "/x"}, "'certificate' and 'key' are set only together"},
            {{"url", "https://h/", "ca", "/nonexistent.pem"}, "cannot read '/nonexistent.pem'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        struct rig_setup setup = {.driver = "http", .options = rows[i].options};
        assert_false(rig_open(&rig, &setup));
        assert_contains(diag_first_error(&rig.diags), rows[i].message);
        rig_close(&rig);
    }
}

/* AWS IoT gives up at once what is neither 429 nor 5xx. */
static void
an_action_retries_as_aws_does(void **state)
{
    static const struct {
        int status;
        enum verdict verdict;
    } cases[] = {{200, VERDICT_DONE},   {204, VERDICT_DONE},   {301, VERDICT_REJECT},
                 {400, VERDICT_REJECT}, {401, VERDICT_REJECT}, {408, VERDICT_REJECT},
                 {429, VERDICT_RETRY},  {500, VERDICT_RETRY},  {503, VERDICT_RETRY}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pair pair;
        int status = cases[i].status;
        pair_open(&pair, answer_by_target, &status,
                  (const char *[]){"retry", "aws", "format", "single", NULL});
        rig_write_strings(&pair.rig, three, 1, 5000);
        assert_int_equal(pair.rig.outcomes[0].verdict, cases[i].verdict);
        pair_close(&pair);
    }
}

static void
an_action_brings_headers(void **state)
{
    struct pair pair;
    pair_open(&pair, answer_ok, NULL,
              (const char *[]){"format", "single", "headers", "X-Table: t", NULL});
    pair.rig.params = "{\"headers\":[{\"key\":\"X-One\",\"value\":\"1 2\"},{\"key\":\"X-Empty\","
                      "\"value\":\"\"},{\"key\":\"headgate-id\",\"value\":\"mine\"}]}";
    rig_write_strings(&pair.rig, (const char *[]){"{\"n\":1}", "\xff raw", "text"}, 3, 5000);
    assert_int_equal(rig_count(&pair.rig, VERDICT_DONE), 3);
    const struct stub_request *first = stub_request(pair.stub, 0);
    assert_bytes(stub_header(first, "X-One"), "1 2");
    assert_contains(first->head, "X-Empty:");
    assert_bytes(stub_header(first, "X-Table"), "t");
    assert_bytes(stub_header(first, "Headgate-Id"), "mine");
    assert_bytes(stub_header(first, "Content-Type"), "application/json");
    assert_bytes(stub_header(stub_request(pair.stub, 1), "Content-Type"),
                 "application/octet-stream");
    pair.rig.params = "{\"headers\":[{\"key\":\"content-type\",\"value\":\"text/x\"}]}";
    rig_write_strings(&pair.rig, three, 1, 5000);
    const struct stub_request *last = stub_request(pair.stub, 3);
    assert_bytes(stub_header(last, "Content-Type"), "text/x");
    assert_false(contains(last->head, "application/json"));
    pair_close(&pair);
}

static void
headers_that_would_split_a_request_are_rejected(void **state)
{
    static const struct {
        const char *params, *reason;
    } cases[] = {
            {"{\"headers\":[{\"key\":\"X\",\"value\":\"S3CR3T\\r\\nEvil: 1\"}]}",
             "the header 'X' holds a control character"},
            {"{\"headers\":[{\"key\":\"a b\",\"value\":\"1\"}]}",
             "the header 'a b' is not a header's name"},
            {"{\"headers\":[{\"key\":\"content-length\",\"value\":\"1\"}]}",
             "the header 'content-length' cannot be set"},
            {"{\"headers\":[{\"key\":\"X\"}]}", "a header of the action has no key or value"},
            {"7", "the action's parameters are not a JSON object"},
    };
    struct pair pair;
    pair_open(&pair, answer_ok, NULL, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pair.rig.params = cases[i].params;
        rig_write_strings(&pair.rig, three, 1, 5000);
        assert_int_equal(pair.rig.outcomes[0].verdict, VERDICT_REJECT);
        assert_bytes(pair.rig.outcomes[0].reason, cases[i].reason);
    }
    assert_int_equal(stub_count(pair.stub), 0);
    pair_close(&pair);
}

/* The body would say that it is compressed twice. */
static void
an_action_does_not_say_how_the_table_compresses(void **state)
{
    static const char params[] =
            "{\"headers\":[{\"key\":\"content-encoding\",\"value\":\"x\"}]}";
    struct pair pair;
    pair_open(&pair, answer_ok, NULL, (const char *[]){"compression", "gzip", NULL});
    pair.rig.params = params;
    rig_write_strings(&pair.rig, three, 1, 5000);
    assert_int_equal(pair.rig.outcomes[0].verdict, VERDICT_REJECT);
    assert_contains(pair.rig.outcomes[0].reason, "only one of them can");
    assert_int_equal(stub_count(pair.stub), 0);
    pair_close(&pair);
    pair_open(&pair, answer_ok, NULL, NULL);
    pair.rig.params = params;
    rig_write_strings(&pair.rig, three, 1, 5000);
    assert_int_equal(pair.rig.outcomes[0].verdict, VERDICT_DONE);
    pair_close(&pair);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_batch_is_one_request),
            cmocka_unit_test(formats_shape_the_body),
            cmocka_unit_test(gzip_shrinks_the_body),
            cmocka_unit_test(zstd_shrinks_the_body),
            cmocka_unit_test(a_server_that_cannot_decompress_keeps_the_records),
            cmocka_unit_test(a_failed_request_comes_again_the_same),
            cmocka_unit_test(retry_after_is_handed_on),
            cmocka_unit_test(one_refused_record_of_a_hundred_is_found),
            cmocka_unit_test(too_large_a_batch_is_halved),
            cmocka_unit_test(nothing_is_sent_behind_a_retry),
            cmocka_unit_test(a_batch_taken_in_part_is_judged_record_by_record),
            cmocka_unit_test(an_answer_207_without_verdicts_keeps_the_records),
            cmocka_unit_test(verdicts_that_did_not_come_whole_do_not_count),
            cmocka_unit_test(answers_about_the_request_keep_the_records),
            cmocka_unit_test(a_dripping_server_is_left),
            cmocka_unit_test(endless_answers_are_cut),
            cmocka_unit_test(waiting_is_bounded),
            cmocka_unit_test(an_absent_server_is_a_retry),
            cmocka_unit_test(payloads_that_are_not_json_are_rejected_alone),
            cmocka_unit_test(wrong_options_are_named),
            cmocka_unit_test(an_action_retries_as_aws_does),
            cmocka_unit_test(an_action_brings_headers),
            cmocka_unit_test(headers_that_would_split_a_request_are_rejected),
            cmocka_unit_test(an_action_does_not_say_how_the_table_compresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
