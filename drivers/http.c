/*
 * http: sends records as the body of HTTP requests.
 *
 * What a request is made of stands in http_writer.c.
 *
 * Verdicts.
 *   207                            each record as its own status in the body says (http_items.h);
 *                                  RETRY for all when the body does not say that
 *   other 2xx                      DONE
 *   408 425 429 5xx, no answer     RETRY, after Retry-After where the answer has it
 *   3xx 401 407                    RETRY: about the configuration, not about the records; nothing
 *   415 to a compressed body       is given up while the owner mends it
 *     with 'retry' = 'aws' only 429, 5xx and no answer: AWS IoT gives all others up at once
 *   413 and other 4xx              more than one record: the halves are sent in turn;
 *                                  one record: REJECT with the status and the answer's first bytes
 * Order is kept: behind a record that gets RETRY nothing more is sent in that call. What the
 * deadline leaves undecided is RETRY too, and since what was decided does not come again, halving
 * goes on where it stopped.
 */
#define _GNU_SOURCE
#include "driver.h"

#include "base/log.h"
#include "base/mem.h"
#include "curl.h"
#include "http_items.h"
#include "http_writer.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { METHOD_POST, METHOD_PUT, METHOD_PATCH };

enum retry { RETRY_PATIENT, RETRY_AWS };

enum { MULTI_STATUS = 207, UNSUPPORTED_MEDIA = 415 };

enum { REASON_BODY_BYTES = 200, LEFT_MIN_MS = 5 };

struct http_options {
    char *url;
    int method;
    int format;
    int retry;
    bool envelope;
    char *content_type;
    char *headers;
    bool gzip; /* an older way to say 'compression' = 'gzip' */
    int compression;
    char *token;
    char *username;
    char *password;
    char *ca;
    char *certificate;
    char *key;
    bool insecure;
    bool allow_private;
    char *proxy;
    char *proxy_username;
    char *proxy_password;
    int64_t timeout_ms;
    int64_t connect_timeout_ms;
};

struct http_sink {
    const struct http_options *options;
    const struct driver_env *env;
    struct http_client *client;
    struct http_writer writer;
    _Atomic uint64_t sent, requests; /* written by the sink's thread, read by health */
    _Atomic int last_status;         /* 0: no answer */
};

/* ---- open and close ---- */

static void
http_close(void *instance)
{
    struct http_sink *sink = instance;
    http_client_free(sink->client);
    http_writer_fini(&sink->writer);
    free(sink);
}

static bool
choose_compression(const struct http_options *options, enum compression *out,
                   struct diag_list *diags)
{
    if (options->gzip && options->compression == COMPRESSION_ZSTD) {
        diag_error(diags, DIAG_INVALID, "both 'gzip' and 'compression' = 'zstd' are set");
        diag_hint(diags, "leave 'gzip' away");
        return false;
    }
    *out = options->gzip ? COMPRESSION_GZIP : (enum compression)options->compression;
    return true;
}

/* One of the lines of 'headers' would contradict what compression says. */
static bool
sets_encoding(const struct http_options *options)
{
    struct bytes rest = bytes_of_string(options->headers == NULL ? "" : options->headers), line;
    while (bytes_split(&rest, '\n', &line)) {
        struct bytes part;
        while (bytes_split(&line, '|', &part)) {
            struct bytes name = bytes_trim(bytes_slice(part, 0, bytes_find(part, ':')));
            if (bytes_equal_nocase(name, BYTES("Content-Encoding"))) {
                return true;
            }
        }
    }
    return false;
}

static bool
http_open(void **out_instance, const struct driver_env *env, const void *options,
          const struct driver_declaration *declaration, struct diag_list *diags)
{
    const struct http_options *o = options;
    enum compression compression;
    struct http_settings settings = {
            .url = o->url, .proxy = o->proxy, .proxy_username = o->proxy_username,
            .proxy_password = o->proxy_password, .ca = o->ca, .certificate = o->certificate,
            .key = o->key, .insecure = o->insecure, .allow_private = o->allow_private,
            .username = o->username, .password = o->password, .token = o->token,
            .headers = o->headers, .connect_timeout_ms = o->connect_timeout_ms};
    struct http_client *client;
    if (!choose_compression(o, &compression, diags)) {
        return false;
    }
    if (compression != COMPRESSION_NONE && sets_encoding(o)) {
        diag_error(diags, DIAG_INVALID,
                   "both 'compression' and the header 'Content-Encoding' are set");
        return false;
    }
    if (!http_client_new(&client, &settings, diags)) {
        return false;
    }
    if (o->insecure) {
        log_warning("%s: 'insecure' is set: anybody on the way can read and answer in place of %s",
                    env->name, o->url);
    }
    struct http_sink *sink = mem_new(struct http_sink);
    sink->options = o;
    sink->env = env;
    sink->client = client;
    const struct http_shape shape = {.sink_name = env->name, .envelope = o->envelope,
                                     .format = (enum http_format)o->format,
                                     .content_type = o->content_type, .compression = compression};
    http_writer_init(&sink->writer, &shape);
    *out_instance = sink;
    return true;
}

/* ---- one request ---- */

static bool
send_records(struct http_sink *sink, const struct sink_record *records, size_t count,
             struct arena *arena, int64_t timeout_ms, struct http_reply *reply,
             struct diag_list *diags)
{
    static const char *const methods[] = {
            [METHOD_POST] = "POST", [METHOD_PUT] = "PUT", [METHOD_PATCH] = "PATCH"};
    const struct http_options *options = sink->options;
    struct http_request request = http_writer_make(&sink->writer, records, count, arena);
    request.method = methods[options->method];
    request.timeout_ms = timeout_ms;
    bool answered = http_client_send(sink->client, &request, reply, diags);
    atomic_fetch_add(&sink->requests, 1);
    atomic_store(&sink->last_status, answered ? reply->status : 0);
    return answered;
}

/* ---- verdicts ---- */

enum judgement { JUDGED_DONE, JUDGED_RETRY, JUDGED_RECORDS, JUDGED_EACH };

static enum judgement
judge(const struct http_sink *sink, int status)
{
    if (status >= 200 && status < 300) {
        return status == MULTI_STATUS ? JUDGED_EACH : JUDGED_DONE;
    }
    if (sink->options->retry == RETRY_AWS) {
        return status == 429 || status >= 500 ? JUDGED_RETRY : JUDGED_RECORDS;
    }
    bool coding = status == UNSUPPORTED_MEDIA && sink->writer.shape.compression != COMPRESSION_NONE;
    bool configuration = status < 400 || status == 401 || status == 407 || coding;
    bool passing = status == 408 || status == 425 || status == 429 || status >= 500;
    return configuration || passing ? JUDGED_RETRY : JUDGED_RECORDS;
}

/* The first bytes of what the other side said, on one line. */
static struct bytes
quote(struct bytes said, struct arena *arena)
{
    struct bytes start = bytes_trim(bytes_slice(said, 0, REASON_BODY_BYTES));
    for (int cut = 0; cut < 3 && !bytes_is_utf8(start); cut++) { /* through a character */
        start = bytes_slice(start, 0, start.size - 1);
    }
    size_t size = bytes_is_utf8(start) ? start.size : 0;
    char *text = arena_alloc(arena, size);
    for (size_t i = 0; i < size; i++) {
        char c = start.data[i];
        text[i] = (unsigned char)c < ' ' || c == 0x7f ? ' ' : c;
    }
    return bytes_of(text, size);
}

/* "HTTP 400: first bytes of the answer". */
static struct bytes
describe(int status, struct bytes said, struct arena *arena)
{
    struct bytes words = quote(said, arena);
    return arena_printf(arena, "HTTP %d%s%s%.*s", status,
                        status < 400 ? ", a redirect, which is not followed" : "",
                        words.size > 0 ? ": " : "", BYTES_ARG(words));
}

/* The same, with what the owner can do about it. */
static struct bytes
describe_reply(const struct http_sink *sink, const struct http_reply *reply, struct arena *arena)
{
    struct bytes text = describe(reply->status, reply->body, arena);
    const char *hint = "";
    if (reply->status == UNSUPPORTED_MEDIA && sink->writer.shape.compression != COMPRESSION_NONE) {
        hint = "; if the server cannot read what is compressed so, set 'compression' = 'none'";
    } else if (reply->status == 407) {
        hint = "; set 'proxy_username' and 'proxy_password'";
    }
    return arena_printf(arena, "%.*s%s", BYTES_ARG(text), hint);
}

/* "what happened; what to do". */
static struct bytes
describe_failure(const struct diag_list *diags, struct arena *arena)
{
    struct bytes hint = diags->items[0].hint;
    return arena_printf(arena, "%.*s%s%.*s", BYTES_ARG(diags->items[0].message),
                        hint.size > 0 ? "; " : "", BYTES_ARG(hint));
}

static void
set_outcomes(struct batch *batch, size_t from, size_t to, struct outcome outcome)
{
    for (size_t i = from; i < to; i++) {
        if (batch->outcomes[i].verdict == VERDICT_NONE) {
            batch->outcomes[i] = outcome;
        }
    }
}

/* Time for the next request, 0 when there is not enough. */
static int64_t
time_left_ms(const struct http_sink *sink, const struct batch *batch)
{
    const struct os *os = sink->env->os;
    int64_t left_ms = (batch->deadline_us - os->mono_us(os)) / 1000;
    if (left_ms < LEFT_MIN_MS) {
        return 0;
    }
    return left_ms < sink->options->timeout_ms ? left_ms : sink->options->timeout_ms;
}

static struct outcome
judge_item(const struct http_sink *sink, const struct http_item *item,
           const struct http_reply *reply, struct arena *arena)
{
    enum judgement judgement = judge(sink, item->status);
    if (judgement == JUDGED_DONE) {
        return (struct outcome){.verdict = VERDICT_DONE};
    }
    bool is_retry = judgement != JUDGED_RECORDS; /* a 207 inside of a 207 says nothing */
    return (struct outcome){.verdict = is_retry ? VERDICT_RETRY : VERDICT_REJECT,
                            .retry_after_ms = is_retry ? reply->retry_after_ms : 0,
                            .reason = describe(item->status, item->message, arena)};
}

/* What the answer 207 says of each of [from, to); true when none of them has to wait. */
static bool
take_items(struct http_sink *sink, struct batch *batch, size_t from, size_t to,
           const struct http_reply *reply, struct outcome *retry)
{
    const struct http_item *items;
    struct bytes reason = BYTES("the body is longer than 1 MiB, or did not end within 2 s");
    if (reply->is_cut ||
        !http_items_read(reply->body, to - from, batch->arena, &items, &reason)) {
        retry->reason = arena_printf(batch->arena,
                                     "HTTP 207, but %.*s; it must say what became of each record: "
                                     "[{\"status\":201},...]", BYTES_ARG(reason));
        return false;
    }
    bool go_on = true;
    for (size_t i = from; i < to; i++) {
        batch->outcomes[i] = judge_item(sink, &items[i - from], reply, batch->arena);
        if (batch->outcomes[i].verdict == VERDICT_DONE) {
            atomic_fetch_add(&sink->sent, 1);
        } else if (batch->outcomes[i].verdict == VERDICT_RETRY && go_on) {
            go_on = false;
            *retry = batch->outcomes[i];
        }
    }
    return go_on;
}

/* Sends [from, to) in one request; true when the rest may be sent, `*split` when halves should. */
static bool
deliver_range(struct http_sink *sink, struct batch *batch, size_t from, size_t to, bool *split)
{
    int64_t timeout_ms = time_left_ms(sink, batch);
    struct diag_list diags = {0};
    struct http_reply reply;
    struct outcome retry = {.verdict = VERDICT_RETRY};
    bool go_on = false;
    if (timeout_ms == 0) {
        retry.reason = BYTES("the deadline of the call was reached");
    } else if (!send_records(sink, batch->records + from, to - from, batch->arena, timeout_ms,
                             &reply, &diags)) {
        retry.reason = describe_failure(&diags, batch->arena);
    } else if (judge(sink, reply.status) == JUDGED_DONE) {
        set_outcomes(batch, from, to, (struct outcome){.verdict = VERDICT_DONE});
        atomic_fetch_add(&sink->sent, to - from);
        go_on = true;
    } else if (judge(sink, reply.status) == JUDGED_EACH) {
        go_on = take_items(sink, batch, from, to, &reply, &retry);
    } else if (judge(sink, reply.status) == JUDGED_RETRY) {
        retry.retry_after_ms = reply.retry_after_ms;
        retry.reason = describe_reply(sink, &reply, batch->arena);
    } else if (to - from == 1) {
        batch->outcomes[from] = (struct outcome){.verdict = VERDICT_REJECT,
                                                 .reason = describe_reply(sink, &reply,
                                                                          batch->arena)};
        go_on = true;
    } else {
        *split = true;
        go_on = true;
    }
    if (!go_on) {
        set_outcomes(batch, from, batch->count, retry);
    }
    diag_list_fini(&diags);
    return go_on;
}

/* Sends [from, to), halving where the answer asks for it; the depth is log2 of the batch. */
static bool
deliver(struct http_sink *sink, struct batch *batch, size_t from, size_t to)
{
    bool split = false;
    if (!deliver_range(sink, batch, from, to, &split)) {
        return false;
    }
    size_t middle = from + (to - from) / 2;
    return !split || (deliver(sink, batch, from, middle) && deliver(sink, batch, middle, to));
}

/* Whether a request can be made of the record; else it is rejected. */
static bool
is_sendable(struct http_sink *sink, struct batch *batch, size_t i)
{
    struct bytes reason;
    if (http_writer_takes(&sink->writer, &batch->records[i], batch->arena, &reason)) {
        return true;
    }
    batch->outcomes[i] = (struct outcome){.verdict = VERDICT_REJECT, .reason = reason};
    return false;
}

/* Runs of acceptable records are sent together. */
static void
http_write(void *instance, struct batch *batch)
{
    struct http_sink *sink = instance;
    size_t run_max = sink->writer.shape.format == HTTP_FORMAT_SINGLE ? 1 : batch->count;
    bool go_on = true;
    for (size_t from = 0; from < batch->count && go_on;) {
        size_t to = from;
        while (to < batch->count && to - from < run_max && is_sendable(sink, batch, to)) {
            to++;
        }
        go_on = to == from || deliver(sink, batch, from, to);
        bool stopped_at_bad = to < batch->count && batch->outcomes[to].verdict == VERDICT_REJECT;
        from = stopped_at_bad ? to + 1 : to;
    }
}

static void
http_health(void *instance, struct health *out)
{
    struct http_sink *sink = instance;
    int status = atomic_load(&sink->last_status);
    uint64_t requests = atomic_load(&sink->requests);
    bool fine = requests == 0 || judge(sink, status) != JUDGED_RETRY;
    out->state = fine ? HEALTH_OK : HEALTH_WAITING;
    if (requests > 0 && status == 0) {
        snprintf(out->sentence, sizeof out->sentence, "no answer from %s", sink->options->url);
        return;
    }
    snprintf(out->sentence, sizeof out->sentence,
             "%" PRIu64 " records sent in %" PRIu64 " requests, last status %d",
             atomic_load(&sink->sent), requests, status);
}

#define FIELD(member) offsetof(struct http_options, member)
static const struct option http_options[] = {
        {.name = "url", .type = OPTION_STRING, .offset = FIELD(url), .required = true,
         .doc = "Where to send: https://host/path, literal, without a user name. A name must "
                "resolve to a public address, see 'allow_private'."},
        {.name = "method", .type = OPTION_CHOICE, .offset = FIELD(method), .fallback = "POST",
         .choices = "POST|PUT|PATCH", .doc = "The request's method."},
        {.name = "format", .type = OPTION_CHOICE, .offset = FIELD(format),
         .fallback = "json_array", .choices = "json_array|json_lines|single",
         .doc = "The body: one JSON array, one JSON text a line, or one record a request."},
        {.name = "envelope", .type = OPTION_BOOL, .offset = FIELD(envelope), .fallback = "false",
         .doc = "Wrap each payload as {\"id\",\"topic\",\"time\",\"payload\"}; the id is stable, "
                "so the receiver can drop what it already has."},
        {.name = "retry", .type = OPTION_CHOICE, .offset = FIELD(retry), .fallback = "patient",
         .choices = "patient|aws",
         .doc = "aws: only 429, 5xx and no answer are tried again, as AWS IoT's http action does. "
                "patient: also what an owner can mend: 3xx, 401, 407, 408, 425."},
        {.name = "content_type", .type = OPTION_STRING, .offset = FIELD(content_type),
         .doc = "Content-Type; by default application/json, application/x-ndjson for lines, and "
                "application/octet-stream for a single record that is not JSON."},
        {.name = "headers", .type = OPTION_SECRET, .offset = FIELD(headers),
         .doc = "More headers, 'Name: value', one a line or separated by '|'; never shown. Also "
                "file:PATH or env:NAME."},
        {.name = "compression", .type = OPTION_CHOICE, .offset = FIELD(compression),
         .fallback = "none", .choices = "none|gzip|zstd",
         .doc = "Compress the body (Content-Encoding); the server must know how to read that."},
        {.name = "gzip", .type = OPTION_BOOL, .offset = FIELD(gzip), .fallback = "false",
         .doc = "The same as 'compression' = 'gzip'."},
        {.name = "token", .type = OPTION_SECRET, .offset = FIELD(token),
         .doc = "Sent as 'Authorization: Bearer'; the text, file:PATH or env:NAME."},
        {.name = "username", .type = OPTION_STRING, .offset = FIELD(username),
         .doc = "User name for Basic authentication."},
        {.name = "password", .type = OPTION_SECRET, .offset = FIELD(password),
         .doc = "Password of 'username'; the text, file:PATH or env:NAME."},
        {.name = "ca", .type = OPTION_STRING, .offset = FIELD(ca),
         .doc = "PEM file with the certificates that sign the server's; default: the system's."},
        {.name = "certificate", .type = OPTION_STRING, .offset = FIELD(certificate),
         .doc = "PEM file with this gateway's certificate; a new file is used within a minute."},
        {.name = "key", .type = OPTION_STRING, .offset = FIELD(key),
         .doc = "PEM file with the key of 'certificate'."},
        {.name = "insecure", .type = OPTION_BOOL, .offset = FIELD(insecure), .fallback = "false",
         .doc = "Accept any certificate. For a test bench only: anybody can then be the server."},
        {.name = "allow_private", .type = OPTION_BOOL, .offset = FIELD(allow_private),
         .fallback = "false",
         .doc = "Connect to loopback, link-local and private addresses also when a name resolves "
                "to them. Addresses and 'localhost' written in 'url' need no permission."},
        {.name = "proxy", .type = OPTION_STRING, .offset = FIELD(proxy),
         .doc = "HTTP proxy, http://host:port. The environment's proxy variables are not read."},
        {.name = "proxy_username", .type = OPTION_STRING, .offset = FIELD(proxy_username),
         .doc = "User name for Basic authentication at the proxy."},
        {.name = "proxy_password", .type = OPTION_SECRET, .offset = FIELD(proxy_password),
         .doc = "Password of 'proxy_username'; the text, file:PATH or env:NAME."},
        {.name = "timeout", .type = OPTION_DURATION, .offset = FIELD(timeout_ms),
         .fallback = "10s", .min = 10, .max = 300000,
         .doc = "How long one request may take in all."},
        {.name = "connect_timeout", .type = OPTION_DURATION, .offset = FIELD(connect_timeout_ms),
         .fallback = "5s", .min = 10, .max = 60000,
         .doc = "How long finding and reaching the server may take."},
};
#undef FIELD

const struct driver driver_http = {
        .name = "http",
        .summary = "sends records to a web server, in batches",
        .options = {http_options, sizeof http_options / sizeof *http_options},
        .options_size = sizeof(struct http_options),
        .limits = {.records_max = 100, .bytes_max = 1 << 20, .linger_ms = 200,
                   .timeout_ms = 30000},
        .open = http_open,
        .close = http_close,
        .write = http_write,
        .health = http_health,
};
