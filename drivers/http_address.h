/*
 * Which addresses are public: what stands between a name that somebody else answers for and the
 * machines beside the gateway. Pure.
 */
#ifndef HEADGATE_DRIVERS_HTTP_ADDRESS_H
#define HEADGATE_DRIVERS_HTTP_ADDRESS_H

#include <stdbool.h>

struct sockaddr;

/*
 * Whether an address is loopback, private, link-local (also a cloud's metadata service), multicast,
 * reserved, or a family other than IPv4 and IPv6. An IPv4 address inside of an IPv6 one (mapped,
 * NAT64, 6to4) is judged as that IPv4 address.
 */
bool http_address_is_private(const struct sockaddr *address);

#endif
