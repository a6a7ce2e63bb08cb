/*
 * Where the broker is: mqtt://host[:port] and mqtts://host[:port] taken apart. Pure; apart from
 * mqtt.c so that it can be tested without Paho.
 */
#include "drivers/mqtt.h"

static bool
refuse(struct bytes url, const char *what, struct diag_list *diags)
{
    diag_error(diags, DIAG_INVALID, "broker address '%.*s' %s", BYTES_ARG(url), what);
    diag_hint(diags, "write mqtt://host[:1883], or mqtts://host[:8883] for TLS");
    return false;
}

static bool
take_scheme(struct bytes *rest, struct mqtt_address *address)
{
    if (bytes_starts_with(*rest, BYTES("mqtt://"))) {
        *rest = bytes_slice(*rest, 7, rest->size);
        address->port = 1883;
        return true;
    }
    if (bytes_starts_with(*rest, BYTES("mqtts://"))) {
        *rest = bytes_slice(*rest, 8, rest->size);
        address->port = 8883;
        address->is_tls = true;
        return true;
    }
    return false;
}

/* Takes the host off; `rest` is then empty or begins with what follows it. */
static bool
take_host(struct bytes *rest, struct mqtt_address *address)
{
    size_t end;
    if (rest->size > 0 && rest->data[0] == '[') {
        end = bytes_find(*rest, ']');
        if (end == rest->size) {
            return false;
        }
        address->is_ipv6 = true;
        address->host = bytes_slice(*rest, 1, end);
        end++;
    } else {
        end = bytes_find(*rest, ':');
        address->host = bytes_slice(*rest, 0, end);
    }
    *rest = bytes_slice(*rest, end, rest->size);
    return true;
}

static bool
is_host_char(char c, bool is_ipv6)
{
    bool is_digit = c >= '0' && c <= '9';
    bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return is_digit || is_letter || c == '.' || c == '-' || c == '_' ||
           (is_ipv6 && (c == ':' || c == '%'));
}

static bool
is_host(struct bytes host, bool is_ipv6)
{
    for (size_t i = 0; i < host.size; i++) {
        if (!is_host_char(host.data[i], is_ipv6)) {
            return false;
        }
    }
    return host.size > 0 && host.size <= 253;
}

bool
mqtt_address_parse(struct bytes url, struct mqtt_address *out, struct diag_list *diags)
{
    struct bytes rest = url;
    struct mqtt_address address = {0};
    if (!take_scheme(&rest, &address)) {
        return refuse(url, "does not begin with mqtt:// or mqtts://", diags);
    }
    if (bytes_find(rest, '@') < rest.size) {
        diag_error(diags, DIAG_INVALID, "the broker address has a user name in it");
        diag_hint(diags, "use the options broker_username and broker_password");
        return false;
    }
    if (bytes_ends_with(rest, BYTES("/"))) {
        rest.size--;
    }
    if (!take_host(&rest, &address)) {
        return refuse(url, "has '[' without ']'", diags);
    }
    if (!is_host(address.host, address.is_ipv6)) {
        bool is_empty = address.host.size == 0;
        return refuse(url, is_empty ? "has no host" : "has no valid host name", diags);
    }
    if (rest.size > 0) {
        int64_t port;
        if (rest.data[0] != ':' || !bytes_to_int64(bytes_slice(rest, 1, rest.size), &port) ||
            port < 1 || port > 65535) {
            return refuse(url, "has something else than a port from 1 to 65535 behind the host",
                          diags);
        }
        address.port = (unsigned)port;
    }
    *out = address;
    return true;
}
