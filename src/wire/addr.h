/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and identifiers that every layer speaks of. Plain values, no padding inside,
 * comparable with memcmp when made by these functions. */
#ifndef BERTH_WIRE_ADDR_H
#define BERTH_WIRE_ADDR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mac {
    uint8_t b[6];
};
/* IPv4 is kept v4-mapped (::ffff:a.b.c.d) so that one key serves both; all zero = none. */
struct ip {
    uint8_t b[16];
};
/* VSIID formats of VDP (S3-114): values as on the wire. */
enum vsiid_format { VSIID_IPV4 = 1, VSIID_IPV6, VSIID_MAC, VSIID_LOCAL, VSIID_UUID };
struct vsiid {
    uint8_t format;                      /* enum vsiid_format */
    uint8_t b[16];                       /* right aligned for IPv4 and MAC */
};

#define VID_MAX 4094
#define VNI_MAX 0xffffff

struct ip ip_v4(uint32_t host_order);
bool ip_is_v4(const struct ip *ip);
uint32_t ip_to_v4(const struct ip *ip);                   /* host order */
bool ip_is_none(const struct ip *ip);
static inline bool
ip_equal(const struct ip *a, const struct ip *b)
{
    return __builtin_memcmp(a->b, b->b, sizeof a->b) == 0;
}
static inline bool
mac_equal(const struct mac *a, const struct mac *b)
{
    return __builtin_memcmp(a->b, b->b, sizeof a->b) == 0;
}
bool mac_is_none(const struct mac *m);                    /* all zero */
bool mac_is_group(const struct mac *m);
bool vsiid_equal(const struct vsiid *a, const struct vsiid *b);
/* Tells two VSIs apart where 17 octets are too many (K18): the same number everywhere,
 * never 0, which means "not known". Not a secret, not proof against somebody who looks for
 * an equal one. */
uint64_t vsiid_print(const struct vsiid *v);

#define MAC_STR 18
#define IP_STR 46
#define VSIID_STR 48
/* Text into a caller's array of at least the size above; returns it. */
const char *mac_str(const struct mac *m, char *text);
const char *ip_str(const struct ip *ip, char *text);
const char *vsiid_str(const struct vsiid *v, char *text); /* UUID, IP, MAC, or format:hex */
bool mac_parse(const char *text, struct mac *m);          /* the whole text must fit */
bool ip_parse(const char *text, struct ip *ip);
bool vsiid_parse(const char *text, struct vsiid *v);      /* UUID, IP, MAC, or local:hex */
#endif
