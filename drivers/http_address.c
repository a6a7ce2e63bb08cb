/*
 * IPv4 is public but for the rows of a list. IPv6 is the other way round: only 2000::/3 is given
 * out (RFC 4291, 2.4; IANA's table of global unicast addresses), and what the list takes out of it
 * is private too, so that a range nobody has thought of is refused.
 */
#include "http_address.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

struct range4 {
    uint32_t net;
    unsigned bits;
};

static bool
is_private4(uint32_t address)
{
    /* The "not globally reachable" rows of the IANA special-purpose registry, and multicast. */
    static const struct range4 ranges[] = {
            {0x00000000, 8},  /* 0.0.0.0 "this host" */
            {0x0a000000, 8},  /* 10.0.0.0 */
            {0x64400000, 10}, /* 100.64.0.0 shared */
            {0x7f000000, 8},  /* 127.0.0.0 loopback */
            {0xa9fe0000, 16}, /* 169.254.0.0 link-local */
            {0xac100000, 12}, /* 172.16.0.0 */
            {0xc0000000, 24}, /* 192.0.0.0 */
            {0xc0000200, 24}, /* 192.0.2.0 for texts */
            {0xc0586300, 24}, /* 192.88.99.0 6to4 relays, given up */
            {0xc0a80000, 16}, /* 192.168.0.0 */
            {0xc6120000, 15}, /* 198.18.0.0 benchmarks */
            {0xc6336400, 24}, /* 198.51.100.0 for texts */
            {0xcb007100, 24}, /* 203.0.113.0 for texts */
            {0xe0000000, 3},  /* 224.0.0.0 multicast, 240.0.0.0 reserved */
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        if ((address ^ ranges[i].net) >> (32 - ranges[i].bits) == 0) {
            return true;
        }
    }
    return false;
}

static uint32_t
word_at(const uint8_t *address, size_t i)
{
    return (uint32_t)address[i] << 24 | (uint32_t)address[i + 1] << 16 |
           (uint32_t)address[i + 2] << 8 | address[i + 3];
}

/* Of 2000::/3, what is not for everybody. */
static bool
is_special6(const uint8_t *a)
{
    uint32_t first = word_at(a, 0);
    return first >> 9 == 0x20010000 >> 9       /* 2001::/23: Teredo, benchmarks, ORCHID */
           || first == 0x20010db8              /* 2001:db8::/32 for texts */
           || first >> 12 == 0x3fff0000 >> 12; /* 3fff::/20 for texts */
}

static bool
is_private6(const uint8_t *a)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0) {
        return is_private4(word_at(a, 12));
    }
    if (a[0] == 0x20 && a[1] == 0x02) { /* 6to4: the IPv4 address follows */
        return is_private4(word_at(a, 2));
    }
    return (a[0] & 0xe0) != 0x20 || is_special6(a);
}

bool
http_address_is_private(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        return is_private4(ntohl(in.sin_addr.s_addr));
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof in6);
        return is_private6(in6.sin6_addr.s6_addr);
    }
    return true;
}
