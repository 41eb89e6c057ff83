/* SPDX-License-Identifier: Apache-2.0 */
/* ARP for IPv4 over Ethernet (RFC 826), announcements and probes (RFC 5227). */
#ifndef BERTH_WIRE_ARP_H
#define BERTH_WIRE_ARP_H
#include "base/buf.h"
#include "wire/addr.h"

#define ARP_SIZE 28
enum arp_op { ARP_REQUEST = 1, ARP_REPLY = 2 };
struct arp {
    uint16_t op;                         /* enum arp_op; others are passed through */
    struct mac sender_mac, target_mac;
    struct ip sender_ip, target_ip;      /* v4-mapped; 0.0.0.0 is v4-mapped too */
};
/* false: not Ethernet/IPv4 ARP, or too short. */
bool arp_decode(struct rd *r, struct arp *arp);
void arp_encode(struct wr *w, const struct arp *arp);
bool arp_is_probe(const struct arp *arp);      /* request from 0.0.0.0 (RFC 5227 2.1.1) */
bool arp_is_announce(const struct arp *arp);   /* sender = target (gratuitous) */
int arp_print(const struct arp *arp, char *text, size_t size);
#endif
