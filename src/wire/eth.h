/* SPDX-License-Identifier: Apache-2.0 */
/* Ethernet header with up to two 802.1Q tags, and the addresses and types we speak of.
 * Frames are without FCS. Pure: bytes belong to the caller. */
#ifndef BERTH_WIRE_ETH_H
#define BERTH_WIRE_ETH_H
#include "base/buf.h"
#include "wire/addr.h"

#define ETH_HEADER_SIZE 14
#define ETH_MIN_SIZE    60               /* without FCS; short frames are zero padded */
enum eth_type {
    ETH_TYPE_IPV4 = 0x0800,
    ETH_TYPE_ARP = 0x0806,
    ETH_TYPE_VLAN = 0x8100,
    ETH_TYPE_IPV6 = 0x86dd,
    ETH_TYPE_QINQ = 0x88a8,
    ETH_TYPE_LLDP = 0x88cc,
    ETH_TYPE_ECP = 0x8940,
};
/* 01-80-C2-00-00-00: nearest customer bridge, for LLDP EVB, ECP requests and acks alike. */
extern const struct mac eth_mac_ncb;

struct eth_tag {
    uint16_t tpid, tci;
};
struct eth {
    struct mac dst, src;
    uint8_t n_tags;                      /* 0..2; a third tag stays in .type */
    struct eth_tag tags[2];
    uint16_t type;                       /* of what follows the tags */
};
/* Leaves the cursor at the payload; false (and the cursor's error) when it is too short. */
bool eth_decode(struct rd *r, struct eth *eth);
void eth_encode(struct wr *w, const struct eth *eth);
/* Zero padding up to ETH_MIN_SIZE, counted from the start of the buffer. */
void eth_pad(struct wr *w);
uint16_t eth_tci(uint16_t vid, uint8_t pcp);
uint16_t eth_tci_vid(uint16_t tci);
uint8_t eth_tci_pcp(uint16_t tci);
/* One line for logs; returns octets that were needed, as snprintf does. */
int eth_print(const struct eth *eth, char *text, size_t size);
#endif
