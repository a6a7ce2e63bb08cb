/*
 * Whom the http driver talks to, and what it says when it cannot: addresses, certificates, time,
 * proxies. What answers are made of is in test_http.c.
 */
#define _GNU_SOURCE
#include "unit.h"

#include "base/buf.h"
#include "base/child.h"
#include "base/os.h"
#include "conform/rig.h"
#include "conform/stub.h"
#include "drivers/curl.h"
#include "drivers/http_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static int64_t
now_ms(void)
{
    return os_posix.mono_us(&os_posix) / 1000;
}

static bool
answer_ok(struct stub *stub, const struct stub_request *request)
{
    return stub_reply(stub, 200, "", "thanks");
}

/* Whether a record goes out with these options; else the reason has `part`. */
static bool
delivers(const char *const *options, const char *part)
{
    struct rig rig;
    struct rig_setup setup = {.driver = "http", .options = options};
    assert_true(rig_open(&rig, &setup));
    rig_write_strings(&rig, (const char *[]){"{\"n\":1}", "2", "3"}, 3, 5000);
    bool done = rig_count(&rig, VERDICT_DONE) == 3;
    if (!done) {
        assert_int_equal(rig_count(&rig, VERDICT_RETRY), 3);
        struct bytes reason = rig.outcomes[0].reason;
        if (memmem(reason.data, reason.size, part, strlen(part)) == NULL) {
            fail_msg("says: %.*s\nexpected: %s", BYTES_ARG(reason), part);
        }
    }
    rig_close(&rig);
    return done;
}

#define delivers(...) delivers((const char *const[]){__VA_ARGS__, NULL}, "")
#define refuses(part, ...) (!(delivers)((const char *const[]){__VA_ARGS__, NULL}, part))

/* ---- servers that are programs ---- */

struct server {
    struct child child;
    char url[64];
    char port[8];
};

/* A line of what it prints, without the line end. */
static void
read_line(struct server *server, char *line, size_t size)
{
    size_t at = 0;
    struct pollfd readable = {.fd = server->child.fd, .events = POLLIN};
    for (char c = 0; c != '\n'; at++) {
        assert_int_equal(poll(&readable, 1, 20000), 1);
        assert_true(at < size && read(server->child.fd, &c, 1) == 1);
        line[at] = c == '\n' ? '\0' : c;
    }
}

static void
server_start(struct server *server, const char *scheme, const char *command)
{
    struct buf line = {0};
    buf_printf(&line, "exec python3 %s/%s <&3 >&3", getenv("TESTS_UNIT_DIR"), command);
    const char *const argv[] = {"sh", "-c", buf_string(&line), NULL};
    struct diag_list diags = {0};
    assert_true(child_spawn(&server->child, "/bin/sh", argv, NULL, 0, &diags));
    read_line(server, server->port, sizeof server->port);
    snprintf(server->url, sizeof server->url, "%s://127.0.0.1:%s/", scheme, server->port);
    buf_fini(&line);
    diag_list_fini(&diags);
}

static void
server_stop(struct server *server)
{
    child_stop(&server->child, 1000);
}

/* ---- certificates ---- */

/* A folder of certificates, each signed by itself: NAME.pem and NAME-key.pem. */
struct keys {
    char dir[32];
};

static void
keys_make(struct keys *keys)
{
    *keys = (struct keys){.dir = "/tmp/headgate-tls-XXXXXX"};
    assert_non_null(mkdtemp(keys->dir));
    struct buf command = {0};
    buf_printf(&command,
               "set -e; cd %s; make() { openssl req -x509 -newkey ec -pkeyopt "
               "ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=$1 -keyout $1-key.pem -out $1.pem "
               "-addext subjectAltName=$2; }; (make here IP:127.0.0.1; "
               "make other DNS:other.example; make client DNS:gateway; make stranger DNS:stranger; "
               "openssl req -new -key here-key.pem -subj /CN=old -out old.csr; "
               "openssl x509 -req -in old.csr -signkey here-key.pem -days -1 -out old.pem) 2>log",
               keys->dir);
    assert_int_equal(system(buf_string(&command)), 0);
    buf_fini(&command);
}

static void
keys_remove(struct keys *keys)
{
    rig_remove_tree(keys->dir);
}

/* The server with that certificate; `more` are the further arguments, "@" is the folder. */
static void
tls_start(struct server *server, const struct keys *keys, const char *cert, const char *key,
          const char *more)
{
    struct buf command = {0};
    buf_printf(&command, "tls_server.py tls %s/%s %s/%s", keys->dir, cert, keys->dir, key);
    for (const char *c = more; *c != '\0'; c++) {
        if (*c == '@') {
            buf_append_string(&command, keys->dir);
        } else {
            buf_append_char(&command, *c);
        }
    }
    server_start(server, "https", buf_string(&command));
    buf_fini(&command);
}

/* Paths in the folder; valid until the next call but seven. */
static const char *
path_of(const struct keys *keys, const char *name)
{
    static char paths[8][64];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", keys->dir, name);
    return path;
}

static void
certificates_are_verified(void **state)
{
    struct keys keys;
    struct server server;
    keys_make(&keys);
    const char *ca = path_of(&keys, "here.pem");
    tls_start(&server, &keys, "here.pem", "here-key.pem", "");
    assert_true(refuses("TLS: nobody whom this gateway trusts has signed the server's certificate: "
                        "self-signed certificate; set 'ca' to a PEM file",
                        "url", server.url));
    assert_true(refuses("the file of 'ca' holds other certificates", "url", server.url, "ca",
                        path_of(&keys, "other.pem")));
    assert_true(refuses("TLS: 'ca' cannot be used", "url", server.url, "ca",
                        path_of(&keys, "here-key.pem")));
    assert_true(delivers("url", server.url, "ca", ca));
    assert_true(delivers("url", server.url, "insecure", "true"));
    server_stop(&server);

    tls_start(&server, &keys, "other.pem", "other-key.pem", "");
    assert_true(refuses("TLS: the server's certificate is for another host than '127.0.0.1'; it is "
                        "for DNS:other.example: write such a name in 'url'",
                        "url", server.url, "ca", path_of(&keys, "other.pem")));
    server_stop(&server);

    tls_start(&server, &keys, "old.pem", "here-key.pem", "");
    assert_true(refuses("TLS: the server's certificate has expired; it must be renewed at the "
                        "server, unless this gateway's clock is wrong: it says 20",
                        "url", server.url, "ca", path_of(&keys, "old.pem")));
    server_stop(&server);
    keys_remove(&keys);
}

static void
a_server_may_require_a_certificate(void **state)
{
    static const char *const versions[] = {" @/client.pem", " @/client.pem 1.2"};
    struct keys keys;
    keys_make(&keys);
    const char *ca = path_of(&keys, "here.pem"), *good = path_of(&keys, "client.pem");
    const char *key = path_of(&keys, "client-key.pem"), *bad = path_of(&keys, "stranger.pem");
    const char *bad_key = path_of(&keys, "stranger-key.pem");
    for (size_t i = 0; i < 2; i++) {
        struct server server;
        tls_start(&server, &keys, "here.pem", "here-key.pem", versions[i]);
        assert_true(refuses(" certificate of this gateway", "url", server.url, "ca", ca));
        assert_true(refuses("'certificate' and 'key'", "url", server.url, "ca", ca));
        assert_true(refuses("this gateway's certificate", "url", server.url,
                            "ca", ca, "certificate", bad, "key", bad_key));
        assert_true(refuses("TLS: 'certificate' and 'key' cannot be used", "url", server.url, "ca",
                            ca, "certificate", good, "key", bad_key));
        assert_true(delivers("url", server.url, "ca", ca, "certificate", good, "key", key));
        server_stop(&server);
    }
    keys_remove(&keys);
}

static void
the_wrong_protocol_is_recognised(void **state)
{
    struct server server;
    server_start(&server, "https", "tls_server.py plain");
    assert_true(refuses("'127.0.0.1' does not speak TLS at this port", "url", server.url));
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%s/", server.port);
    assert_true(refuses("'127.0.0.1' answers something that is not HTTP; correct the port in 'url'",
                        "url", url));
    server_stop(&server);

    struct keys keys;
    keys_make(&keys);
    tls_start(&server, &keys, "here.pem", "here-key.pem", "");
    snprintf(url, sizeof url, "http://127.0.0.1:%s/", server.port);
    assert_true(refuses("if it speaks TLS, write https:// in 'url'", "url", url));
    server_stop(&server);
    keys_remove(&keys);
}

/* ---- time ---- */

static void
reaching_and_answering_have_times_of_their_own(void **state)
{
    struct server server;
    server_start(&server, "https", "tls_server.py mute");
    int64_t start = now_ms();
    assert_true(refuses("no connection within 0.3 s", "url", server.url, "connect_timeout", "300ms",
                        "timeout", "20s"));
    assert_in_range(now_ms() - start, 290, 2500);
    assert_true(refuses("'connect_timeout' is how long that may take", "url", server.url,
                        "connect_timeout", "300ms"));
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%s/", server.port);
    start = now_ms();
    assert_true(refuses("no answer within 0.4 s", "url", url, "connect_timeout", "300ms", "timeout",
                        "400ms"));
    assert_in_range(now_ms() - start, 390, 2600);
    server_stop(&server);
}

/* ---- addresses ---- */

static bool
is_private(const char *text)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        return http_address_is_private((struct sockaddr *)&in);
    }
    assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
    return http_address_is_private((struct sockaddr *)&in6);
}

static void
private_addresses_are_known(void **state)
{
    static const char *const private[] = {
            "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.0.1",
            "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.168.1.1",
            "198.19.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1",
            "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::1",
            "fc00::1", "fd12::1", "fe80::1", "febf::1", "fec0::1", "ff02::1", "fd00:ec2::254",
            "::ffff:0:7f00:1", "64:ff9b:1::7f00:1", "100::1", "2001::1", "2001:db8::1", "3fff::1",
            "4000::1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "192.88.99.1"};
    static const char *const public[] = {
            "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.0.1", "100.128.0.1", "126.0.0.1",
            "128.0.0.1", "169.253.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1", "192.167.0.1",
            "198.17.0.1", "198.20.0.1", "223.255.255.255", "2001:4860::8888", "::ffff:8.8.8.8",
            "64:ff9b::808:808", "2002:808:808::1", "192.0.3.1", "203.0.112.1", "2001:200::1",
            "2001:db9::1", "2600::1", "3ffe::1"};
    for (size_t i = 0; i < sizeof private / sizeof *private; i++) {
        assert_true(is_private(private[i]));
    }
    for (size_t i = 0; i < sizeof public / sizeof *public; i++) {
        assert_false(is_private(public[i]));
    }
}

/* Sends to a name that resolves to `address`; true when there was an answer. */
static bool
reaches(struct stub *stub, const char *host, const char *address, bool allow_private,
        struct diag_list *diags)
{
    struct buf url = {0};
    buf_printf(&url, "http://%s:%d/", host, stub_port(stub));
    struct http_settings settings = {.url = buf_string(&url), .allow_private = allow_private,
                                     .connect_timeout_ms = 1000, .pinned_address = address};
    struct http_client *client;
    assert_true(http_client_new(&client, &settings, diags));
    struct http_request request = {.method = "POST", .body = BYTES("x"), .timeout_ms = 2000};
    struct http_reply reply;
    bool answered = http_client_send(client, &request, &reply, diags);
    http_client_free(client);
    buf_fini(&url);
    return answered;
}

static void
names_must_resolve_to_public_addresses(void **state)
{
    struct stub *stub = stub_start(answer_ok, NULL);
    struct diag_list diags = {0};
    assert_false(reaches(stub, "inside.example", "127.0.0.1", false, &diags));
    assert_bytes(diags.items[0].message,
                 "'inside.example' resolves to 127.0.0.1, which is not a public address");
    assert_false(reaches(stub, "localhost.example", "127.0.0.1", false, &diags));
    assert_false(reaches(stub, "inside.example", "[::ffff:127.0.0.1]", false, &diags));
    assert_bytes(diags.items[2].message,
                 "'inside.example' resolves to ::ffff:127.0.0.1, which is not a public address");
    assert_false(reaches(stub, "metadata.example", "169.254.169.254", false, &diags));
    assert_int_equal(stub_connections(stub), 0);
    assert_true(reaches(stub, "inside.example", "127.0.0.1", true, &diags));
    assert_true(reaches(stub, "inside.example", "[::ffff:127.0.0.1]", true, &diags));
    assert_true(reaches(stub, "127.0.0.1", "127.0.0.1", false, &diags));
    assert_true(reaches(stub, "localhost", "127.0.0.1", false, &diags));
    diag_list_fini(&diags);
    stub_stop(stub);
}

/* Another server, to which the first one sends its clients. */
static bool
answer_redirect(struct stub *stub, const struct stub_request *request)
{
    char header[64];
    snprintf(header, sizeof header, "Location: http://127.0.0.1:%d/\r\n",
             stub_port(stub_context(stub)));
    return stub_reply(stub, 307, header, "");
}

static void
redirects_are_not_followed(void **state)
{
    struct stub *inside = stub_start(answer_ok, NULL);
    struct stub *stub = stub_start(answer_redirect, inside);
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", stub_port(stub));
    assert_true(refuses("HTTP 307, a redirect, which is not followed", "url", url, "allow_private",
                        "true"));
    assert_int_equal(stub_count(stub), 1);
    stub_stop(stub);
    assert_int_equal(stub_connections(inside), 0);
    stub_stop(inside);
}

/* ---- proxies ---- */

#define assert_line(server, expected)                  \
    do {                                               \
        char line_[200];                               \
        read_line(server, line_, sizeof line_);        \
        assert_string_equal(line_, expected);          \
    } while (0)

/* Names are the proxy's to resolve: inside.example is nowhere else. */
static void
a_proxy_takes_requests_and_opens_tunnels(void **state)
{
    struct server proxy, server;
    struct keys keys;
    char url[64], line[100];
    struct stub *stub = stub_start(answer_ok, NULL);
    keys_make(&keys);
    server_start(&proxy, "http", "proxy_server.py");
    snprintf(url, sizeof url, "http://inside.example:%d/in", stub_port(stub));
    assert_true(delivers("url", url, "proxy", proxy.url, "headers", "X-Secret: 1"));
    snprintf(line, sizeof line, "POST %s header X-Secret", url);
    assert_line(&proxy, line);
    assert_int_equal(stub_count(stub), 1);
    stub_stop(stub);

    tls_start(&server, &keys, "other.pem", "other-key.pem", "");
    snprintf(url, sizeof url, "https://other.example:%s/", server.port);
    assert_true(delivers("url", url, "proxy", proxy.url, "ca", path_of(&keys, "other.pem"),
                         "headers", "X-Secret: 1", "token", "S3CR3T"));
    snprintf(line, sizeof line, "CONNECT other.example:%s", server.port);
    assert_line(&proxy, line);
    assert_true(refuses("TLS: nobody whom this gateway trusts", "url", url, "proxy", proxy.url));
    server_stop(&server);
    server_stop(&proxy);
    keys_remove(&keys);
}

static void
a_proxy_may_want_credentials(void **state)
{
    struct server proxy;
    char url[64];
    struct stub *stub = stub_start(answer_ok, NULL);
    server_start(&proxy, "http", "proxy_server.py gate:pa:ss");
    snprintf(url, sizeof url, "http://inside.example:%d/in", stub_port(stub));
    assert_true(refuses("HTTP 407; set 'proxy_username' and 'proxy_password'", "url", url, "proxy",
                        proxy.url));
    assert_true(refuses("HTTP 407", "url", url, "proxy", proxy.url, "proxy_username", "gate"));
    assert_int_equal(stub_connections(stub), 0);
    assert_true(delivers("url", url, "proxy", proxy.url, "proxy_username", "gate",
                         "proxy_password", "pa:ss"));
    assert_true(refuses("the proxy wants other credentials (HTTP 407); set 'proxy_username'", "url",
                        "https://inside.example/", "proxy", proxy.url));
    assert_true(refuses("Could not resolve proxy: nowhere.invalid; it is the name in 'proxy'",
                        "url", url, "proxy", "http://nowhere.invalid:3128"));
    server_stop(&proxy);
    stub_stop(stub);
}

/* Neither to send records another way, nor to leave the proxy out that a rule file names. */
static void
the_environment_has_no_say(void **state)
{
    static const char *const names[] = {"http_proxy", "https_proxy", "ALL_PROXY", "HTTPS_PROXY"};
    struct server proxy;
    char url[64];
    for (size_t i = 0; i < 4; i++) {
        setenv(names[i], "http://127.0.0.1:1", 1);
    }
    setenv("no_proxy", "*", 1);
    setenv("NO_PROXY", "127.0.0.1,localhost", 1);
    struct stub *stub = stub_start(answer_ok, NULL);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/in", stub_port(stub));
    unsetenv("no_proxy");
    assert_true(delivers("url", url));
    setenv("no_proxy", "*", 1);
    server_start(&proxy, "http", "proxy_server.py");
    assert_true(delivers("url", url, "proxy", proxy.url));
    char line[100];
    snprintf(line, sizeof line, "POST %s", url);
    assert_line(&proxy, line);
    server_stop(&proxy);
    stub_stop(stub);
    for (size_t i = 0; i < 4; i++) {
        unsetenv(names[i]);
    }
    unsetenv("no_proxy");
    unsetenv("NO_PROXY");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(certificates_are_verified),
            cmocka_unit_test(a_server_may_require_a_certificate),
            cmocka_unit_test(the_wrong_protocol_is_recognised),
            cmocka_unit_test(reaching_and_answering_have_times_of_their_own),
            cmocka_unit_test(private_addresses_are_known),
            cmocka_unit_test(names_must_resolve_to_public_addresses),
            cmocka_unit_test(redirects_are_not_followed),
            cmocka_unit_test(a_proxy_takes_requests_and_opens_tunnels),
            cmocka_unit_test(a_proxy_may_want_credentials),
            cmocka_unit_test(the_environment_has_no_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
