/* SPDX-License-Identifier: Apache-2.0 */
/* Berth's TLV is read first, so that Cisco's addresses are added to its list. */
#include "proto/vdp_orgs.h"

#include <string.h>

#include "wire/cisco_tlv.h"

static uint64_t
hash_on(uint64_t h, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3;
    return h ? h : 1;
}

static void
take_berth(struct vdp_orgs *o, const struct vdp_org *t)
{
    struct berth_tlv tlv;
    enum berth_tlv_result result = berth_tlv_decode(t->body, &tlv);
    if (result == BERTH_TLV_OTHER) {
        o->n_unknown++;
    } else if (result != BERTH_TLV_GOOD || o->has_berth) {
        o->n_bad++;
        o->refuse = true;
    } else {
        o->has_berth = true;
        o->berth = tlv;
        o->hash = hash_on(o->hash + t->oui, t->body.p, t->body.size);
    }
}

static void
take_cisco(struct vdp_orgs *o, const struct cisco_tlv *tlv)
{
    if (tlv->subtype == CISCO_ADDR) {
        if (o->berth.n_ips < BERTH_IPS_MAX)
            o->berth.ips[o->berth.n_ips++] = (struct berth_ip){tlv->ip, 0};
        return;
    }
    o->vm = tlv->vm;
    size_t n =
        tlv->name_size < sizeof o->vm_name - 1 ? tlv->name_size : sizeof o->vm_name - 1;
    for (size_t i = 0; i < n; i++) /* a peer's octets, and they end in logs */
        o->vm_name[i] = tlv->name[i] >= ' ' && tlv->name[i] <= '~' ? tlv->name[i] : '?';
    o->vm_name[n] = '\0';
}

void
vdp_orgs_read(const uint8_t *org, size_t size, uint32_t oui, struct vdp_orgs *o)
{
    struct vdp_org t;
    memset(o, 0, sizeof *o);
    for (struct rd r = rd_of(org, size); vdp_org_next(&r, &t);)
        if (t.oui == oui)
            take_berth(o, &t);
    for (struct rd r = rd_of(org, size); vdp_org_next(&r, &t);) {
        struct cisco_tlv tlv;
        if (t.oui == oui)
            continue;
        if (t.oui != CISCO_OUI) {
            o->n_unknown++;
        } else if (!cisco_tlv_decode(t.body, &tlv)) {
            o->n_bad++;
        } else {
            o->hash = hash_on(o->hash + t.oui, t.body.p, t.body.size);
            take_cisco(o, &tlv);
        }
    }
}
