/* SPDX-License-Identifier: Apache-2.0 */
/* The NVE's ARP and ND agent, and the one that asks for what the data plane misses: one
 * question per key (K8), the first frames wait for the answer (K18), addresses are learned
 * from a VSI's own ARP, ND and DHCP (K8), hard Neighbor Solicitations are answered (K14,
 * S4-30 to S4-35). Everything is bounded. The agent hangs at e->arp. */
#ifndef BERTH_CORE_ARP_H
#define BERTH_CORE_ARP_H
#include "core/dp.h"
#include "core/mapping.h"

#define ARP_HELD_FRAMES 3                /* frames waiting per key (K18) */
#define ARP_HELD_BYTES  (1024 * 1024)    /* of all waiting frames */
#define ARP_PENDING_MAX 4096             /* questions under way */

void arp_open(struct edge *e);
void arp_close(struct edge *e);
void arp_timer(struct edge *e, uint32_t kind, uint32_t ref);

/* The data plane reports (DP_EV_MISS_MAC, MISS_IP, SNOOP, ND; others are ignored). true: a
 * VSI's address was learned and stands in mapping; attach registers (vni, mac) again. */
struct arp_learned {
    uint32_t vni, att;                   /* att 0: the answer to arp_ask, from (port, vid) of ev */
    struct mac mac;
    struct ip ip;
};
bool arp_event(struct edge *e, const struct dp_event *ev, struct arp_learned *l);
/* The mapping now known of a key releases what waited for its MAC and IPs. Call after every
 * mapping_local_set and mapping_remote_set that was accepted (SAME included). */
void arp_known(struct edge *e, const struct mapping_rec *rec);
/* The answer was no: tenant frames that waited are dropped; who asked for an IP is
 * remembered a few seconds and answered if it appears. Call after mapping_negative. */
void arp_unknown(struct edge *e, uint32_t vni, const struct mac *mac, const struct ip *ip);
void arp_session(struct edge *e, bool up);          /* up: asks again what is pending */
/* The authority asks who has this IP (K8): asks the local VSIs of the VN whose addresses are
 * not known, rate limited; their answers come back as DP_EV_SNOOP. */
void arp_probe(struct edge *e, uint32_t vni, const struct ip *ip);
/* Asks one VM behind (port, vid) for an address of its own, rate limited; its answer is
 * told by arp_event with att = 0 (RFC 9135 7.1). */
void arp_ask(struct edge *e, const struct mapping_place *at, uint32_t vni,
    const struct ip *ip);
/* The MAC behind an IP changed: local VMs that were told the old one are told (F18, K18). */
void arp_announce(struct edge *e, uint32_t vni, const struct ip *ip, const struct mac *mac);
void arp_vn_gone(struct edge *e, uint32_t vni);
/* How many questions, frames and octets wait now. */
void arp_waiting(const struct edge *e, uint32_t *keys, uint32_t *frames, uint32_t *bytes);
#endif
