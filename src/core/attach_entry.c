/* SPDX-License-Identifier: Apache-2.0 */
/* Entries and VAPs. Several entries may name one (VN, MAC): the old and the new list of
 * a request under way (A9), the two halves of a move on this NVE (K1, F15), tombstones.
 * So an entry that ends takes a VSI out of the data plane only if no twin stands at the
 * same port and VID, and mapping ends a residence only for the entry that holds it. */
#include <string.h>

#include "base/log.h"
#include "core/arp.h"
#include "core/attach_int.h"

static uint32_t
key_hash(const struct edge *e, uint32_t vni, const struct mac *mac)
{
    uint8_t k[10];
    memcpy(k, &vni, 4);
    memcpy(k + 4, mac->b, 6);
    return map_hash(&e->att->by_key, k, sizeof k);
}

uint32_t
entry_new(struct edge *e, uint32_t att, uint32_t vni, const struct mac *mac)
{
    uint32_t h = pool_get(&e->att->entries);
    if (h == 0)
        return 0;
    struct entry *n = entry_at(e, h);
    n->att = att;
    n->vni = vni;
    if (mac) {
        n->mac = *mac;
        n->flags = ENTRY_MAC;
        map_add(&e->att->by_key, key_hash(e, vni, mac), h);
    }
    return h;
}

const struct ip *
entry_ips(const struct entry *n)
{
    return n->n_ips > ENTRY_IPS_IN ? n->ips.more : n->ips.in;
}

void
entry_ips_set(struct entry *n, const struct ip *ips, uint8_t n_ips)
{
    if (n->n_ips > ENTRY_IPS_IN)
        mem_free(n->ips.more);
    n->n_ips = n_ips;
    struct ip *to = n->ips.in;
    if (n_ips > ENTRY_IPS_IN)
        to = n->ips.more = mem_alloc(n_ips * sizeof *to);
    if (n_ips)
        memcpy(to, ips, n_ips * sizeof *to);
}

void
entry_free(struct edge *e, uint32_t h)
{
    struct entry *n = entry_at(e, h);
    if (n->flags & ENTRY_MAC)
        map_del(&e->att->by_key, key_hash(e, n->vni, &n->mac), h);
    edge_ticket_drop(e, n->reg);
    edge_ticket_drop(e, n->claim);
    edge_ticket_drop(e, n->resv);
    timers_clear(&e->timers, &n->timer);
    entry_ips_set(n, NULL, 0);
    if (n->flags & ENTRY_VN)
        vn_unref(e, vn_find(e, n->vni));
    pool_put(&e->att->entries, h);
}

uint32_t
entry_first(const struct edge *e, uint32_t vni, const struct mac *mac)
{
    struct att_key k = {vni, *mac};
    return map_find(&e->att->by_key, key_hash(e, vni, mac), &k);
}

uint32_t
entry_next(const struct edge *e, uint32_t prev)
{
    const struct entry *n = entry_at(e, prev);
    struct att_key k = {n->vni, n->mac};
    return map_next(&e->att->by_key, key_hash(e, n->vni, &n->mac), &k, prev);
}

uint32_t
entry_find(const struct edge *e, uint32_t list, uint32_t vni, const struct mac *mac)
{
    for (uint32_t h = list; h; h = entry_at(e, h)->next) {
        const struct entry *n = entry_at(e, h);
        if (n->vni == vni && n->flags & ENTRY_MAC && mac_equal(&n->mac, mac))
            return h;
    }
    return 0;
}

/* ---- VAPs ---- */

uint32_t
vap_find(const struct edge *e, uint32_t port, uint16_t vid)
{
    uint32_t k[2] = {port, vid};
    return map_find(&e->att->by_vap, map_hash(&e->att->by_vap, k, sizeof k), k);
}

/* Tells the data plane when something it cares about has changed. */
void
vap_say(struct edge *e, struct vap *v, uint8_t kind, uint32_t ref)
{
    const struct edge_port *p = edge_port_at(e, v->port);
    uint8_t reflect = p ? p->reflect : 0;
    uint8_t say = (uint8_t)(1 + (v->wild ? 1 : 0) + (v->active ? 2 : 0) +
                            (reflect ? 4 : 0) + v->pcp * 8);
    if (say == v->said)
        return;
    v->said = say;
    struct dp_op *op = edge_dp(e, DP_VAP_SET, kind, ref);
    op->u.vap.port = v->port;
    op->u.vap.vni = v->vni;
    op->u.vap.vid = v->vid;
    op->u.vap.wildcard = v->wild ? 1 : 0;
    op->u.vap.reflect = reflect;
    op->u.vap.flood = v->active ? 1 : 0;
    op->u.vap.pcp = v->pcp;
}

static struct vap *
vap_hold(struct edge *e, uint32_t port, const struct entry *n)
{
    struct attach *t = e->att;
    uint32_t k[2] = {port, n->vid};
    uint32_t hash = map_hash(&t->by_vap, k, sizeof k);
    uint32_t h = map_find(&t->by_vap, hash, k);
    if (h == 0) {
        h = pool_get(&t->vaps);
        struct vap *v = pool_at(&t->vaps, h);
        *v = (struct vap){.port = port, .vni = n->vni, .vid = n->vid, .pcp = n->pcp};
        map_add(&t->by_vap, hash, h);
    }
    struct vap *v = pool_at(&t->vaps, h);
    v->refs++;
    return v;
}

static void
vap_release(struct edge *e, uint32_t h, uint8_t kind, uint32_t ref)
{
    struct attach *t = e->att;
    struct vap *v = pool_at(&t->vaps, h);
    if (--v->refs > 0) {
        vap_say(e, v, kind, ref);
        return;
    }
    struct dp_op *op = edge_dp(e, DP_VAP_DEL, kind, ref);
    op->u.vap.port = v->port;
    op->u.vap.vni = v->vni;
    op->u.vap.vid = v->vid;
    uint32_t k[2] = {v->port, v->vid};
    map_del(&t->by_vap, map_hash(&t->by_vap, k, sizeof k), h);
    pool_put(&t->vaps, h);
}

/* ---- in the data plane ---- */

static uint8_t
ticket_kind(uint32_t txn)
{
    return txn ? TICKET_ATT_DP : TICKET_DP;
}

static uint32_t
domain_of(const struct edge *e, const struct att *a)
{
    return edge_port_at(e, a->port)->domain;
}

static void
vsi_say(struct edge *e, uint8_t type, const struct entry *n, uint32_t txn)
{
    struct dp_op *op = edge_dp(e, type, ticket_kind(txn), txn);
    op->u.vsi.port = att_at(e, n->att)->port;
    op->u.vsi.vni = n->vni;
    op->u.vsi.vsi = n->att;
    op->u.vsi.vid = n->vid;
    op->u.vsi.mac = n->mac;
    op->u.vsi.active = n->flags & ENTRY_ACTIVE ? 1 : 0;
    op->u.vsi.pcp = n->pcp;
}

/* A wildcard entry opens the VAP while its VSI is active and has room (K2). */
static bool
opens(const struct edge *e, const struct entry *n)
{
    return !(n->flags & ENTRY_MAC) && n->flags & ENTRY_ACTIVE &&
           learn_room(e, att_at(e, n->att));
}

static void
set_active(struct edge *e, struct entry *n, struct vap *v, bool active)
{
    if (active == !!(n->flags & ENTRY_ACTIVE))
        return;
    n->flags ^= ENTRY_ACTIVE;
    v->active += active ? 1 : -1;
    if (n->flags & ENTRY_TAG)
        tag_activate(e, domain_of(e, att_at(e, n->att)), n->vid, active);
}

/* v->wild counts the wildcard entries that stand open, v->opener is one of them. */
static void
wild_update(struct edge *e, uint32_t h, struct vap *v)
{
    struct entry *n = entry_at(e, h);
    bool was = n->flags & ENTRY_QUIET, is = opens(e, n);
    if (n->flags & ENTRY_MAC || was == is)
        return;
    n->flags ^= ENTRY_QUIET; /* on a wildcard entry: it stands open */
    v->wild += is ? 1 : -1;
    if (is)
        v->opener = h;
    else if (v->opener == h)
        v->opener = 0;
}

void
entry_install(struct edge *e, uint32_t h, bool active, uint32_t txn)
{
    struct entry *n = entry_at(e, h);
    uint32_t port = att_at(e, n->att)->port;
    uint8_t kind = ticket_kind(txn);
    struct vap *v;
    if (!(n->flags & ENTRY_VAP)) {
        vn_ref(e, vn_find(e, n->vni), kind, txn);
        v = vap_hold(e, port, n);
        n->flags |= ENTRY_VAP;
        if (n->flags & ENTRY_VN)
            vn_unref(e, vn_find(e, n->vni));
        n->flags &= (uint16_t)~ENTRY_VN;
    } else {
        v = pool_at(&e->att->vaps, vap_find(e, port, n->vid));
    }
    set_active(e, n, v, active);
    wild_update(e, h, v);
    vap_say(e, v, kind, txn);
    if (n->flags & ENTRY_MAC)
        vsi_say(e, DP_VSI_SET, n, txn);
}

/* One who waits is enough: another port of this NVE may, too (F15), or the list that
 * replaces this one (A9). */
static void
waits(struct edge *e, uint32_t h, bool on)
{
    struct entry *n = entry_at(e, h);
    if (on == n->holds)
        return;
    n->holds = on;
    uint32_t t = on ? h : entry_first(e, n->vni, &n->mac);
    while (t && !entry_at(e, t)->holds)
        t = entry_next(e, t);
    mapping_hold(e, n->vni, &n->mac, t ? t : h, t != 0);
}

/* It is claimed, and until it is known whose number is the newer one, or while others
 * may have been told of a newer one of ours, nothing is relayed from here: the other's
 * tables may lead back already (D1, D3, E7). */
static bool
in_doubt(const struct entry *n)
{
    return n->flags & ENTRY_LOCAL &&
           (n->flags & ENTRY_WANT || n->claim || n->unsure || n->unheard);
}

/* That, or its VM is to come. */
static bool
must_wait(const struct edge *e, uint32_t h)
{
    const struct entry *n = entry_at(e, h);
    return att_at(e, n->att)->state == ATT_IMMIG || in_doubt(n);
}

void
entry_claims(struct edge *e, uint32_t h)
{
    if ((entry_at(e, h)->flags & (ENTRY_MAC | ENTRY_LEARNED)) == ENTRY_MAC)
        waits(e, h, must_wait(e, h));
}

void
entry_move(struct edge *e, uint32_t h)
{
    const struct entry *n = entry_at(e, h);
    const struct att *a = att_at(e, n->att);
    if (!(n->flags & ENTRY_MAC))
        return;
    bool hold = a->state == ATT_IMMIG;
    enum mapping_away away = MAPPING_HERE;
    if (a->state == ATT_EMIG)
        away = MAPPING_AWAY;
    else if (hold || a->untold || a->flags & (ATT_HOLD | ATT_AWAIT))
        away =
            MAPPING_WAIT; /* armed, it may stay yet: what waits here is not lost then */
    bool keeps = must_wait(e, h);
    if (keeps)
        waits(e, h, true);
    mapping_local_away(e, n->vni, &n->mac, h, away);
    if (!keeps)
        waits(e, h, false);
}

/* Somebody else installed with the same port, VID and MAC. */
static bool
has_twin(const struct edge *e, uint32_t h)
{
    const struct entry *n = entry_at(e, h);
    for (uint32_t t = entry_first(e, n->vni, &n->mac); t; t = entry_next(e, t)) {
        const struct entry *o = entry_at(e, t);
        if (t != h && o->flags & ENTRY_VAP && !(o->flags & ENTRY_QUIET) &&
            o->vid == n->vid && att_at(e, o->att)->port == att_at(e, n->att)->port)
            return true;
    }
    return false;
}

void
entry_end(struct edge *e, uint32_t h, bool tomb, uint32_t txn)
{
    struct entry *n = entry_at(e, h);
    tomb = tomb && !in_doubt(n);
    if (n->flags & ENTRY_LOCAL)
        entry_withdraw(e, h, tomb);
    waits(e, h, false);
    entry_unreserve(e, h);
    if (!tomb)
        n->flags &= (uint16_t)~ENTRY_TOMB;
    uint32_t vn = vn_find(e, n->vni);
    if (n->flags & ENTRY_VAP) {
        uint32_t vh = vap_find(e, att_at(e, n->att)->port, n->vid);
        struct vap *v = pool_at(&e->att->vaps, vh);
        set_active(e, n, v, false);
        wild_update(e, h, v);
        if (n->flags & ENTRY_MAC && !(n->flags & ENTRY_QUIET) && !has_twin(e, h))
            vsi_say(e, DP_VSI_DEL, n, txn);
        n->flags &= (uint16_t)~ENTRY_VAP;
        vap_release(e, vh, ticket_kind(txn), txn);
        if (n->flags & ENTRY_TOMB)
            n->flags |= ENTRY_VN; /* the newer owner is still to be heard of (F20) */
        else
            vn_unref(e, vn);
    }
    if (n->flags & ENTRY_TAG)
        tag_put(e, domain_of(e, att_at(e, n->att)), n->vid);
    n->flags &= (uint16_t)~ENTRY_TAG;
}

/* ---- in the mapping ---- */

bool
entry_resident(const struct edge *e, uint32_t h)
{
    const struct entry *n = entry_at(e, h);
    uint32_t holder = 0;
    mapping_find(e, n->vni, &n->mac, NULL, NULL, &holder);
    return holder == h;
}

enum mapping_verdict
entry_claim(
    struct edge *e, uint32_t h, uint64_t epoch, uint64_t migration_id, uint32_t txn)
{
    struct entry *n = entry_at(e, h);
    struct mapping_rec known;
    uint32_t holder = 0;
    bool found = mapping_find(e, n->vni, &n->mac, NULL, &known, &holder);
    struct mapping_local l = {.vni = n->vni,
        .att = h,
        .port = att_at(e, n->att)->port,
        .mac = n->mac,
        .vid = n->vid,
        .pcp = n->pcp,
        .n_ips = n->n_ips,
        .ips = entry_ips(n),
        .epoch = epoch,
        .migration_id = migration_id,
        .asked = !!(n->flags & ENTRY_WANT),
        .wait = txn != 0, /* until the request is through */
        .hold = att_at(e, n->att)->untold};
    /* Nothing signalled: what is known of its IPs follows the MAC (K1), as low trust.
     */
    if (n->n_ips == 0 && found) {
        l.n_ips = known.n_ips;
        l.ips = known.ips;
        l.low_trust = 0xff;
    }
    if (epoch == 0 && found && holder) {
        l.epoch = known.epoch;
        l.migration_id = known.migration_id;
    } else if (epoch == 0) {
        l.epoch = mapping_epoch(e, n->vni, &n->mac) + 1;
    }
    enum mapping_verdict v = mapping_local_set(e, &l, ticket_kind(txn), txn);
    if (v == MAPPING_ACCEPTED || v == MAPPING_SAME) {
        if (!(n->flags & ENTRY_LOCAL))
            n->flags |= ENTRY_FRESH | (found && !holder ? ENTRY_TOOK : 0);
        n->flags |= ENTRY_LOCAL;
        n->flags &= (uint16_t)~ENTRY_TOMB;
        if (mapping_find(e, n->vni, &n->mac, NULL, &known, NULL))
            arp_known(e, &known);
    }
    return v;
}
