/* SPDX-License-Identifier: Apache-2.0 */
/* IPv6 Neighbor Solicitation and Advertisement (RFC 4861 4.3, 4.4) with the facts that K14
 * asks for. Starts at the IPv6 header. */
#ifndef BERTH_WIRE_ND_H
#define BERTH_WIRE_ND_H
#include "base/buf.h"
#include "wire/addr.h"

enum nd_type { ND_NS = 135, ND_NA = 136 };
#define ND_NA_ROUTER    0x80
#define ND_NA_SOLICITED 0x40
#define ND_NA_OVERRIDE  0x20
struct nd {
    struct ip src, dst, target;
    uint8_t type;                        /* enum nd_type */
    uint8_t flags;                       /* of a NA */
    uint8_t hop_limit;
    bool ext_header;                     /* a hop-by-hop, routing or options header precedes */
    uint8_t n_slla, n_tlla, n_other;     /* options seen */
    struct mac slla, tlla;               /* the last of each */
};
enum nd_reason {
    ND_OK,
    ND_NOT_ND,                           /* sound IPv6, but neither NS nor NA: not ours */
    ND_SHORT,
    ND_CHECKSUM,
    ND_OPTION,                           /* option of length 0 or beyond the end */
    ND_INVALID,                          /* hop limit, code, target, or addresses (7.1.1, 7.1.2) */
};
const char *nd_reason_str(enum nd_reason reason);
enum nd_reason nd_decode(struct rd *r, struct nd *nd);
/* Whole IPv6 packet with checksum; n_slla and n_tlla are 0 or 1, hop limit as given. */
void nd_encode(struct wr *w, const struct nd *nd);
bool nd_is_dad(const struct nd *nd);           /* NS from :: (RFC 4862 5.4.2) */
/* K14: the edge may answer it by itself. The rest goes to core. */
bool nd_is_plain_ns(const struct nd *nd);
struct ip nd_solicited_node(const struct ip *target);     /* ff02::1:ffXX:XXXX */
struct mac nd_multicast_mac(const struct ip *group);      /* 33-33-.. (RFC 2464 7) */
int nd_print(const struct nd *nd, char *text, size_t size);
#endif
