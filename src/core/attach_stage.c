/* SPDX-License-Identifier: Apache-2.0 */
/* What a request asks for, checked before anything changes: all entries or none (A20).
 * First pass: VN, permission, MTU, contradictions. Second pass: tags and objects, which
 * a failure gives back. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/attach_int.h"

#define OVERHEAD_V4 50 /* VXLAN over IPv4: inner Ethernet, VXLAN, UDP, IP */
#define OVERHEAD_V6 70

const char *
request_fault(const struct tns_request *rq)
{
    if (rq->op >= TNS_N_OPS)
        return "unknown operation";
    if (rq->id.format < VSIID_IPV4 || rq->id.format > VSIID_UUID)
        return "unknown VSIID format";
    if (rq->n_entries > TNS_ENTRIES_MAX)
        return "too many entries";
    if (rq->has_epoch && (rq->epoch == 0 || rq->epoch >= EPOCH_MAX))
        return "epoch out of range";
    for (uint16_t i = 0; i < rq->n_entries; i++) {
        const struct tns_entry *n = &rq->entries[i];
        if (n->vn_ref > VN_BY_NAME)
            return "unknown reference to a virtual network";
        if (n->vn_ref == VN_BY_VNI && (n->vni == 0 || n->vni > VNI_MAX))
            return "VNI out of range";
        if (n->vn_ref == VN_BY_NAME &&
            (!memchr(n->vn_name, '\0', sizeof n->vn_name) || !n->vn_name[0]))
            return "bad name of a virtual network";
        if (n->vid > VID_MAX)
            return "VID above 4094";
        if (n->pcp > 7)
            return "PCP above 7";
        if (n->has_mac && (mac_is_none(&n->mac) || mac_is_group(&n->mac)))
            return "not a station's MAC";
        if (n->n_ips > TNS_IPS_MAX)
            return "too many addresses";
    }
    return NULL;
}

static enum stage __attribute__((format(printf, 3, 4)))
refuse(struct refusal *why, uint8_t code, const char *fmt, ...)
{
    va_list ap;
    why->code = code;
    va_start(ap, fmt);
    vsnprintf(why->reason, sizeof why->reason, fmt, ap);
    va_end(ap);
    return STAGE_FAIL;
}

/* May this VSI have this MAC here? The same VSI elsewhere is a move; another VSI is a
 * conflict until it is gone (K18). A place that was lost or ended is gone. */
static bool
mac_taken(
    const struct edge *e, const struct att *a, uint32_t vni, const struct mac *mac)
{
    for (uint32_t h = entry_first(e, vni, mac); h; h = entry_next(e, h)) {
        const struct entry *n = entry_at(e, h);
        const struct att *o = att_at(e, n->att);
        bool gone =
            o->state == ATT_TERM || (o->state == ATT_EMIG && o->flags & ATT_LOST);
        if (!gone && !(n->flags & ENTRY_LEARNED) && !vsiid_equal(&o->id, &a->id))
            return true;
    }
    return false;
}

static enum stage
check_vn(struct edge *e, const struct edge_port *p, const struct txn *x,
    const struct tns_entry *n, uint32_t *vn, struct refusal *why)
{
    switch (vn_resolve(e, p->number, &x->rq.profile, n, vn)) {
    case VN_FOUND:
        break;
    case VN_ASKED:
        return STAGE_WAIT;
    case VN_UNKNOWN:
        if (n->vn_ref == VN_BY_NONE)
            return refuse(why, TNS_UNKNOWN_VN, "nothing names a virtual network");
        if (n->vn_ref == VN_BY_NAME)
            return refuse(why, TNS_UNKNOWN_VN, "no virtual network \"%s\"", n->vn_name);
        return refuse(why, TNS_UNKNOWN_VN, "no virtual network %u", n->vni);
    case VN_NO_AUTHORITY:
        return refuse(why, TNS_NO_AUTHORITY, "the authority does not answer");
    case VN_FULL:
        return refuse(why, TNS_NO_RESOURCES, "too many virtual networks asked for");
    }
    const struct vn_rec *rec = vn_at(e, *vn);
    if (!authz_may_join(&p->authz, rec->vni)) {
        edge_count(e, EDGEC_UNAUTHORISED);
        return refuse(
            why, TNS_NOT_AUTHORISED, "port %s may not join VN %u", p->name, rec->vni);
    }
    uint32_t overhead = ip_is_v4(&e->conf.vtep) ? OVERHEAD_V4 : OVERHEAD_V6;
    if (e->conf.underlay_mtu && rec->mtu > e->conf.underlay_mtu - overhead)
        return refuse(why, TNS_NO_RESOURCES,
            "MTU %u of VN %u does not fit the underlay's %u", rec->mtu, rec->vni,
            e->conf.underlay_mtu);
    return STAGE_OK;
}

static enum stage
check_entry(struct edge *e, struct txn *x, const struct att *a, uint16_t i,
    uint32_t *vnis, struct refusal *why)
{
    const struct tns_entry *n = &x->rq.entries[i];
    uint32_t vn = 0;
    enum stage s = check_vn(e, edge_port_at(e, a->port), x, n, &vn, why);
    if (s != STAGE_OK)
        return s;
    vnis[i] = vn_at(e, vn)->vni;
    for (uint16_t k = 0; k < i; k++) {
        const struct tns_entry *o = &x->rq.entries[k];
        if (vnis[k] == vnis[i] && o->has_mac == n->has_mac &&
            (!n->has_mac || mac_equal(&o->mac, &n->mac)))
            return refuse(why, TNS_BAD_MESSAGE, "entries %u and %u say the same", k, i);
        if (n->vid && o->vid == n->vid && vnis[k] != vnis[i])
            return refuse(why, TNS_CONFLICT, "VID %u for two virtual networks", n->vid);
    }
    if (n->has_mac && mac_taken(e, a, vnis[i], &n->mac)) {
        char mac[MAC_STR];
        edge_count(e, EDGEC_CONFLICTS);
        return refuse(why, TNS_CONFLICT, "%s is another VSI's in VN %u",
            mac_str(&n->mac, mac), vnis[i]);
    }
    return STAGE_OK;
}

/* The tag: none where the port's untagged frames are this VN's (K9, K18); the one the
 * VSI has already; the one asked for; or the edge's choice. */
static enum stage
take_tag(struct edge *e, const struct att *a, struct entry *n, uint16_t asked,
    struct refusal *why)
{
    const struct edge_port *p = edge_port_at(e, a->port);
    if (asked == 0 && p->native == NATIVE_VN && p->native_vni == n->vni) {
        n->flags |= ENTRY_UNTAGGED;
        n->vid = 0;
        return STAGE_OK;
    }
    for (uint32_t h = a->entries; asked == 0 && h; h = entry_at(e, h)->next) {
        const struct entry *o = entry_at(e, h);
        if (o->vni == n->vni && o->flags & ENTRY_TAG)
            asked = o->vid;
    }
    switch (tag_get(e, p->domain, n->vni, asked, &n->vid)) {
    case TAG_OK:
        n->flags |= ENTRY_TAG;
        return STAGE_OK;
    case TAG_CONFLICT:
        edge_count(e, EDGEC_CONFLICTS);
        return refuse(why, TNS_CONFLICT, "VID %u is another virtual network's", asked);
    case TAG_RESERVED:
        return refuse(why, TNS_CONFLICT, "VID %u is reserved", asked);
    case TAG_EXHAUSTED:
        break;
    }
    edge_count(e, EDGEC_NO_TAG);
    return refuse(why, TNS_NO_RESOURCES, "no local tag is free on port %s", p->name);
}

static enum stage
take_entry(struct edge *e, uint32_t txn, const struct tns_entry *n, uint32_t vni,
    uint32_t *tail, struct refusal *why)
{
    struct txn *x = txn_at(e, txn);
    uint32_t h = entry_new(e, x->att, vni, n->has_mac ? &n->mac : NULL);
    if (h == 0)
        return refuse(why, TNS_NO_RESOURCES, "too many addresses on this edge");
    struct entry *to = entry_at(e, h);
    if (*tail)
        entry_at(e, *tail)->next = h;
    else
        x->staged = h;
    *tail = h;
    x->n_staged++;
    to->pcp = n->ps ? n->pcp : 0; /* S3-105: without PS the edge says which; 0 */
    if (n->ps)
        to->flags |= ENTRY_PS;
    struct ip ips[TNS_IPS_MAX];
    uint8_t n_ips = 0, max = (uint8_t)edge_set(e, SET_MAX_IPS);
    for (uint8_t i = 0; i < n->n_ips && n_ips < max; i++) {
        bool again = ip_is_none(&n->ips[i]);
        for (uint8_t k = 0; k < n_ips; k++)
            again |= ip_equal(&ips[k], &n->ips[i]);
        if (!again)
            ips[n_ips++] = n->ips[i];
    }
    entry_ips_set(to, ips, n_ips);
    return take_tag(e, att_at(e, x->att), to, n->vid, why);
}

enum stage
stage_entries(struct edge *e, uint32_t txn, struct refusal *why)
{
    struct txn *x = txn_at(e, txn);
    const struct att *a = att_at(e, x->att);
    uint32_t vnis[TNS_ENTRIES_MAX], tail = 0;
    int waits_for = -1;
    for (uint16_t i = 0; i < x->rq.n_entries; i++) {
        enum stage s = check_entry(e, x, a, i, vnis, why);
        if (s == STAGE_FAIL)
            return s;
        if (s == STAGE_WAIT) { /* go on: all look-ups leave together */
            vnis[i] = 0;
            if (waits_for < 0)
                waits_for = i;
        }
    }
    if (waits_for >= 0) {
        vn_wait(e, a->port, &x->rq.profile, &x->rq.entries[waits_for], txn);
        return STAGE_WAIT;
    }
    for (uint16_t i = 0; i < x->rq.n_entries; i++) {
        enum stage s = take_entry(e, txn, &x->rq.entries[i], vnis[i], &tail, why);
        if (s != STAGE_OK) {
            stage_drop(e, txn);
            return s;
        }
    }
    return STAGE_OK;
}

void
stage_drop(struct edge *e, uint32_t txn)
{
    struct txn *x = txn_at(e, txn);
    uint32_t domain = edge_port_at(e, att_at(e, x->att)->port)->domain;
    for (uint32_t h = x->staged, next; h; h = next) {
        struct entry *n = entry_at(e, h);
        next = n->next;
        if (n->flags & ENTRY_TAG)
            tag_cancel(e, domain, n->vid);
        entry_free(e, h);
    }
    x->staged = 0;
    x->n_staged = 0;
}

static bool
ips_same(const struct ip *a, uint8_t n_a, const struct ip *b, uint8_t n_b)
{
    return n_a == n_b && (n_a == 0 || memcmp(a, b, n_a * sizeof *a) == 0);
}

bool
stage_same(const struct edge *e, uint32_t list_a, uint32_t list_b)
{
    uint16_t what = ENTRY_MAC | ENTRY_PS | ENTRY_UNTAGGED;
    while (list_a && list_b) {
        const struct entry *a = entry_at(e, list_a), *b = entry_at(e, list_b);
        if (a->vni != b->vni || a->vid != b->vid || a->pcp != b->pcp ||
            (a->flags & what) != (b->flags & what) || !mac_equal(&a->mac, &b->mac) ||
            !ips_same(entry_ips(a), a->n_ips, entry_ips(b), b->n_ips))
            return false;
        list_a = a->next;
        list_b = b->next;
    }
    return list_a == list_b;
}

/* K3: equal to the last accepted request of this VSI at this port. A station repeats
 * the VID it was given, or still none; but once it was told that its VM has moved, only
 * the VID given is a repetition: none is the first request of a VM that came back. */
bool
request_same(struct edge *e, const struct att *a, const struct tns_request *rq)
{
    if (a->op != rq->op || a->n_entries != rq->n_entries ||
        a->profile.type_id != rq->profile.type_id ||
        a->profile.version != rq->profile.version ||
        memcmp(a->profile.manager, rq->profile.manager, sizeof a->profile.manager) != 0)
        return false;
    uint32_t h = a->entries;
    for (uint16_t i = 0; i < rq->n_entries; i++) {
        const struct tns_entry *n = &rq->entries[i];
        const struct entry *o = entry_at(e, h);
        uint32_t vn = 0;
        if (n->vid != o->vid &&
            (n->vid || (a->state == ATT_EMIG && a->flags & ATT_LOST)))
            return false;
        if (n->has_mac != !!(o->flags & ENTRY_MAC) ||
            n->ps != !!(o->flags & ENTRY_PS) || (n->ps && n->pcp != o->pcp) ||
            (n->has_mac && !mac_equal(&n->mac, &o->mac)) ||
            !ips_same(n->ips, n->n_ips, entry_ips(o), o->n_ips))
            return false;
        if (n->vn_ref == VN_BY_VNI
                ? n->vni != o->vni
                : vn_resolve(e, a->port, &rq->profile, n, &vn) != VN_FOUND ||
                      vn_at(e, vn)->vni != o->vni)
            return false;
        h = o->next;
    }
    return true;
}

bool
request_stale(const struct edge *e, uint32_t list, const struct tns_request *rq)
{
    for (uint32_t h = list; rq->has_epoch && h; h = entry_at(e, h)->next) {
        const struct entry *n = entry_at(e, h);
        uint32_t holder = 0;
        if (!(n->flags & ENTRY_MAC))
            continue;
        uint64_t known = mapping_epoch(e, n->vni, &n->mac);
        mapping_find(e, n->vni, &n->mac, NULL, NULL, &holder);
        /* Claimed at another port here since; what it will be granted is higher. */
        if (holder && entry_at(e, holder)->att != n->att &&
            entry_at(e, holder)->flags & ENTRY_WANT)
            known++;
        if (known > rq->epoch)
            return true;
    }
    return false;
}
