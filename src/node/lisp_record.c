/* SPDX-License-Identifier: Apache-2.0 */
/* Core counts a mapping as (VN, MAC) with its addresses, owner and epoch (K1); the wire
 * has an EID, locators, and the rest in the vendor LCAF of the first locator (K5). */
#include "node/lisp_record.h"
#include <string.h>

void
lisp_record_of(
    const struct mapping_rec *m, const struct lisp_eid *eid, struct lisp_record *to)
{
    memset(to, 0, sizeof *to);
    to->eid = eid ? *eid : lisp_eid_mac(m->vni, &m->mac);
    to->ttl_min = LISP_TTL_FOREVER;
    to->authoritative = true;
    to->version = lisp_version_of(m->epoch);
    to->n_rlocs = 1;
    struct lisp_rloc *l = &to->rlocs[0];
    l->ip = l->owner = m->owner;
    l->prio = 1;
    l->weight = 100;
    l->local = l->reachable = true;
    l->has_mac = l->has_epoch = true;
    l->mac = m->mac;
    l->epoch = m->epoch;
    l->migration_id = m->migration_id;
    l->vsi = m->vsi;
    l->n_ips = m->n_ips < LISP_IPS_MAX ? m->n_ips : LISP_IPS_MAX;
    l->low_trust = m->low_trust & (uint8_t)((1u << l->n_ips) - 1);
    memcpy(l->ips, m->ips, l->n_ips * sizeof l->ips[0]);
}

bool
lisp_record_mapping(const struct lisp_record *rec, struct mapping_rec *to)
{
    const struct lisp_rloc *l = rec->n_rlocs ? &rec->rlocs[0] : NULL;
    memset(to, 0, sizeof *to);
    to->vni = rec->eid.vni;
    if (rec->eid.kind == LISP_EID_MAC)
        to->mac = rec->eid.mac;
    else if (l && l->has_mac)
        to->mac = l->mac;
    else
        return false;
    if (!l)
        return true; /* a withdrawal, or a negative answer */
    to->owner = ip_is_none(&l->owner) ? l->ip : l->owner;
    to->epoch = l->has_epoch ? l->epoch : 0;
    to->migration_id = l->migration_id;
    to->vsi = l->vsi;
    for (; to->n_ips < l->n_ips && to->n_ips < TNS_IPS_MAX; to->n_ips++)
        to->ips[to->n_ips] = l->ips[to->n_ips];
    if (!to->n_ips && rec->eid.kind == LISP_EID_IP)
        to->ips[to->n_ips++] = rec->eid.ip;
    to->low_trust = l->low_trust;
    return true;
}

struct lisp_eid
lisp_record_key(uint32_t vni, const struct mac *mac, const struct ip *ip)
{
    return ip_is_none(ip) ? lisp_eid_mac(vni, mac) : lisp_eid_ip(vni, ip);
}

void
lisp_record_vn_of(const struct vn_rec *vn, uint64_t ref, struct lisp_rt_vn *to)
{
    memset(to, 0, sizeof *to);
    to->ref = ref;
    to->vni = vn->vni;
    to->mtu = vn->mtu;
    to->arp_policy = vn->arp; /* the numbers are the same: see below */
    to->reply_mode = vn->centralised ? LISP_VN_CENTRAL : LISP_VN_DISTRIBUTED;
    to->flags = (vn->deleted ? LISP_VN_F_DELETED : 0) | (vn->pull ? LISP_VN_F_PULL : 0);
    to->name_size = (uint8_t)strnlen(vn->name, LISP_RT_NAME);
    memcpy(to->name, vn->name, to->name_size);
}

_Static_assert((int)LISP_VN_ARP_SUPPRESS == (int)ARP_SUPPRESS &&
                   (int)LISP_VN_ARP_FLOOD == (int)ARP_FLOOD &&
                   (int)LISP_VN_ARP_OWN_MAC == (int)ARP_OWN_MAC &&
                   (int)LISP_VN_ARP_TRANSLATE == (int)ARP_TRANSLATE,
    "policies of core and wire are one list");
_Static_assert(VN_NAME_SIZE == LISP_RT_NAME + 1, "a VN's name fits both");

void
lisp_record_vn(const struct lisp_rt_vn *w, struct vn_rec *to)
{
    memset(to, 0, sizeof *to);
    to->vni = w->vni;
    to->mtu = w->mtu;
    to->arp = w->arp_policy <= LISP_VN_ARP_TRANSLATE ? w->arp_policy : ARP_SUPPRESS;
    to->centralised = w->reply_mode == LISP_VN_CENTRAL;
    to->pull = (w->flags & LISP_VN_F_PULL) != 0;
    to->deleted = (w->flags & LISP_VN_F_DELETED) != 0;
    memcpy(to->name, w->name, sizeof to->name - 1);
}
