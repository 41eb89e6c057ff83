/* SPDX-License-Identifier: Apache-2.0 */
/* A data plane that carries out struct dp_op as core/dp.h says, and forwards frames by
 * its tables as the eBPF one does. It outlives its NVE (pins). One table per NVE, rows
 * told apart by a letter: P port, N VN, A VAP, S VSI, F FDB, R neighbour, M member, G
 * negative.
 *
 * Asserted here, always: a tag of a port never changes its VN while it is in use; a
 * frame never leaves in another VN (P5); nothing is delivered locally, and nothing
 * taken from the VM's place, after a newer epoch of another NVE was seen (P4). */
#include "sim.h"
#include "core/mapping.h"
#include "wire/arp.h"
#include "wire/eth.h"

struct key {
    uint8_t b[TAB_KEY];
    uint8_t n;
};
struct dp_port {
    uint8_t native;
    uint32_t vni;
};
struct dp_vn {
    uint8_t arp;
    uint32_t mtu;
};
struct dp_vap {
    uint32_t vni;
    uint8_t wildcard, reflect, flood;
};
struct dp_vsi {
    uint32_t vni;
    uint8_t active;
};

static struct key
key_of(char kind)
{
    return (struct key){.b = {(uint8_t)kind}, .n = 1};
}

static void
key_u32(struct key *k, uint32_t v)
{
    memcpy(k->b + k->n, &v, 4);
    k->n += 4;
}

static void
key_octets(struct key *k, const void *p, uint8_t n)
{
    memcpy(k->b + k->n, p, n);
    k->n += n;
}

static struct key
key_place(char kind, uint32_t port, uint32_t vid)
{
    struct key k = key_of(kind);
    key_u32(&k, port);
    key_u32(&k, vid);
    return k;
}

static struct key
key_vn(char kind, uint32_t vni, const void *p, uint8_t n)
{
    struct key k = key_of(kind);
    key_u32(&k, vni);
    key_octets(&k, p, n);
    return k;
}

static const void *
row(const struct nve_node *n, const struct key *k)
{
    struct tab_row *r = tab_find(&n->dp, k->b, k->n);
    return r ? r->val : NULL;
}

static void
set(struct nve_node *n, const struct key *k, const void *val, uint32_t size)
{
    tab_put(&n->dp, k->b, k->n, val, size)->gen = n->dp_gen;
}

static void
del(struct nve_node *n, const struct key *k)
{
    tab_del(&n->dp, k->b, k->n);
}

uint32_t
vtep_nve(const struct world *w, const struct ip *ip)
{
    uint32_t v = ip_is_v4(ip) ? ip_to_v4(ip) : 0;
    return v > 0x0aff0000 && v <= 0x0aff0000 + w->sc->nves ? v - 0x0aff0000 : 0;
}

const struct dp_fdb *
dp_fdb(const struct nve_node *n, uint32_t vni, const struct mac *mac)
{
    struct key k = key_vn('F', vni, mac, 6);
    return row(n, &k);
}

uint32_t
dp_count(const struct nve_node *n, char kind)
{
    uint32_t sum = 0;
    struct tab_row *r;
    for (uint32_t it = 0; (r = tab_each(&n->dp, &it));)
        sum += r->key[0] == (uint8_t)kind;
    return sum;
}

/* ---- operations ---- */

static void
set_vap(struct world *w, uint32_t nve, const struct dp_op *op)
{
    struct nve_node *n = &w->nves[nve];
    struct key k = key_place('A', op->u.vap.port, op->u.vap.vid);
    const struct dp_vap *old = row(n, &k);
    struct dp_vap v = {
        op->u.vap.vni, op->u.vap.wildcard, op->u.vap.reflect, op->u.vap.flood};
    if (old && old->vni != v.vni && !w->sc->dp_fails)
        sim_fail(w, "one-vn-per-tag",
            "nve=%u port=%u vid=%u was vni=%u, is set to vni=%u", nve, op->u.vap.port,
            op->u.vap.vid, old->vni, v.vni);
    set(n, &k, &v, sizeof(v));
}

static void
set_vsi(struct world *w, uint32_t nve, const struct dp_op *op)
{
    struct nve_node *n = &w->nves[nve];
    struct key k = key_place('S', op->u.vsi.port, op->u.vsi.vid),
               a = key_place('A', op->u.vsi.port, op->u.vsi.vid);
    const struct dp_vap *vap = row(n, &a);
    struct dp_vsi v = {op->u.vsi.vni, op->u.vsi.active};
    key_octets(&k, &op->u.vsi.mac, 6);
    if (vap && vap->vni != v.vni && !w->sc->dp_fails)
        sim_fail(w, "one-vn-per-tag",
            "nve=%u port=%u vid=%u has vni=%u, a VSI of vni=%u is set", nve,
            op->u.vsi.port, op->u.vsi.vid, vap->vni, v.vni);
    if (v.active && !vap && !w->sc->dp_fails)
        sim_fail(w, "vap-before-vsi",
            "nve=%u port=%u vid=%u: a VSI is active without a VAP", nve, op->u.vsi.port,
            op->u.vsi.vid);
    set(n, &k, &v, sizeof(v));
}

static void
sync_end(struct world *w, uint32_t nve)
{
    struct nve_node *n = &w->nves[nve];
    struct tab_row *r;
    if (!n->dp_sync)
        return;
    n->dp_sync = false;
    hold_sync(w, nve, n->dp_gen);
    for (uint32_t it = 0; (r = tab_each(&n->dp, &it));)
        if (r->gen != n->dp_gen && r->key[0] != 'G') {
            struct key k = {.n = r->key_size};
            memcpy(k.b, r->key, r->key_size);
            tab_del(&n->dp, k.b, k.n);
        }
}

static void egress(struct world *w, uint32_t nve, uint32_t port, uint32_t vid,
    uint32_t vni, const uint8_t *p, uint32_t size);
static void forward(struct world *w, uint32_t nve, uint32_t port, uint32_t vid,
    uint32_t vni, const uint8_t *p, uint32_t size);

static void
send_frame(struct world *w, uint32_t nve, const struct dp_op *op)
{
    if (op->u.frame.size < ETH_HEADER_SIZE) {
        sim_fail(w, "frame-size", "nve=%u sends a frame of %u octets", nve,
            op->u.frame.size);
        return;
    }
    if (op->u.frame.port) {
        struct key a = key_place('A', op->u.frame.port, op->u.frame.vid);
        const struct dp_vap *vap = row(&w->nves[nve], &a);
        egress(w, nve, op->u.frame.port, op->u.frame.vid,
            vap ? vap->vni : op->u.frame.vni, op->u.frame.p, op->u.frame.size);
    } else {
        forward(w, nve, 0, 0, op->u.frame.vni, op->u.frame.p, op->u.frame.size);
    }
}

static void
set_fdb(struct world *w, uint32_t nve, const struct dp_op *op)
{
    struct nve_node *n = &w->nves[nve];
    struct key k = key_vn('F', op->u.fdb.vni, &op->u.fdb.mac, 6);
    struct dp_fdb f = {.kind = op->u.fdb.kind};
    if (f.kind == FDB_LOCAL) {
        f.vid = op->u.fdb.vid;
        f.port = op->u.fdb.port;
    } else {
        f.vtep = op->u.fdb.vtep;
        f.from = vtep_nve(w, &f.vtep);
        if (f.from == nve + 1 || !f.from)
            sim_fail(w, "fdb-remote", "nve=%u: a remote entry that leads %s", nve,
                f.from ? "to itself" : "nowhere");
    }
    set(n, &k, &f, sizeof(f));
    if (f.kind == FDB_LOCAL)
        owners_local(w, nve, op->u.fdb.vni, &op->u.fdb.mac);
    else if (f.from)
        owners_remote(
            w, nve, f.from - 1, op->u.fdb.vni, &op->u.fdb.mac, f.kind == FDB_RELAY);
}

void
dp_apply(struct world *w, uint32_t nve, const struct dp_op *op)
{
    struct nve_node *n = &w->nves[nve];
    struct key k;
    switch ((enum dp_op_type)op->type) {
    case DP_SYNC_BEGIN:
        n->dp_gen++;
        n->dp_sync = true;
        break;
    case DP_SYNC_END:
        sync_end(w, nve);
        break;
    case DP_PORT_SET: {
        struct dp_port port = {op->u.port.native, op->u.port.native_vni};
        k = key_place('P', op->u.port.port, 0);
        set(n, &k, &port, sizeof(port));
        break;
    }
    case DP_PORT_DEL:
        k = key_place('P', op->u.port.port, 0);
        del(n, &k);
        break;
    case DP_VN_SET: {
        struct dp_vn vn = {op->u.vn.arp, op->u.vn.mtu};
        k = key_vn('N', op->u.vn.vni, "", 0);
        set(n, &k, &vn, sizeof(vn));
        break;
    }
    case DP_VN_DEL:
        k = key_vn('N', op->u.vn.vni, "", 0);
        del(n, &k);
        break;
    case DP_VAP_SET:
        set_vap(w, nve, op);
        break;
    case DP_VAP_DEL:
        k = key_place('A', op->u.vap.port, op->u.vap.vid);
        del(n, &k);
        break;
    case DP_VSI_SET:
        set_vsi(w, nve, op);
        break;
    case DP_VSI_DEL:
        k = key_place('S', op->u.vsi.port, op->u.vsi.vid);
        key_octets(&k, &op->u.vsi.mac, 6);
        del(n, &k);
        break;
    case DP_FDB_SET:
        set_fdb(w, nve, op);
        break;
    case DP_FDB_DEL:
        k = key_vn('F', op->u.fdb.vni, &op->u.fdb.mac, 6);
        del(n, &k);
        break;
    case DP_NEIGH_SET:
        k = key_vn('R', op->u.neigh.vni, &op->u.neigh.ip, 16);
        set(n, &k, &op->u.neigh.mac, 6);
        break;
    case DP_NEIGH_DEL:
        k = key_vn('R', op->u.neigh.vni, &op->u.neigh.ip, 16);
        del(n, &k);
        break;
    case DP_MEMBER_SET:
    case DP_MEMBER_DEL:
        k = key_vn('M', op->u.member.vni, &op->u.member.vtep, 16);
        if (op->type == DP_MEMBER_SET)
            set(n, &k, "", 1);
        else
            del(n, &k);
        break;
    case DP_NEG_SET:
    case DP_NEG_DEL: {
        uint64_t until = w->now + op->u.neg.hold_us;
        k = key_vn('G', op->u.neg.vni, &op->u.neg.mac, 6);
        if (!ip_is_none(&op->u.neg.ip))
            k = key_vn('G', op->u.neg.vni, &op->u.neg.ip, 16);
        if (op->type == DP_NEG_SET)
            set(n, &k, &until, sizeof(until));
        else
            del(n, &k);
        break;
    }
    case DP_HOLD_SET:
        hold_set(w, nve, op);
        break;
    case DP_HOLD_DEL:
        hold_del(w, nve, op);
        break;
    case DP_FRAME:
        send_frame(w, nve, op);
        break;
    case DP_N_OPS:
        break;
    }
}

/* ---- frames ---- */

static void
drop(
    struct world *w, uint32_t nve, enum dp_counter why, const uint8_t *p, uint32_t size)
{
    w->nves[nve].counters[why]++;
    TRACE(w, "  nve=%u drops: %s", nve, dp_counter_name(why));
    flight_lost(w, LOST_DROP, nve, why, p, size);
}

/* Out of (port, vid). vni: the VN in which the frame travels here. */
static void
egress(struct world *w, uint32_t nve, uint32_t port, uint32_t vid, uint32_t vni,
    const uint8_t *p, uint32_t size)
{
    struct server *s;
    uint32_t vn, seq;
    if (frame_truth(p, size, &vn, &seq) && vni_of(vn) != vni)
        sim_fail(w, "P5",
            "nve=%u: frame %u of vn=%d leaves by port=%u vid=%u in vni=%u", nve, seq,
            (int)vn, port, vid, vni);
    if (port == 0 || port > w->sc->ports) {
        flight_lost(w, LOST_NET, nve, 0, p, size);
        return;
    }
    w->nves[nve].counters[DPC_TX_PORT]++;
    s = &w->servers[nve * w->sc->ports + port - 1];
    if (!s->up) {
        flight_lost(w, LOST_NET, nve, 0, p, size);
        return;
    }
    struct flight *f = flight_of(w, p, size);
    if (f)
        f->left_us = w->now;
    /* the wire keeps the order; a late frame is what T_hold is for (F16) */
    uint64_t at = w->now + net_delay(w);
    if (at < s->down_last)
        at = s->down_last;
    s->down_last = at;
    struct event *e = world_push_octets(
        w, EV_DATA_SERVER, at, nve * w->sc->ports + port - 1, 0, p, size);
    e->a = vid;
}

/* P4: what the NVE has accepted and its data plane has carried out binds it. */
static void
check_local(struct world *w, uint32_t nve, uint32_t vni, const struct mac *mac)
{
    struct nve_node *n = &w->nves[nve];
    struct mapping_rec rec;
    uint32_t att = 0;
    char text[MAC_STR];
    if (!n->up || n->dpq.n)
        return;
    if (mapping_find(nve_edge(n->nve), vni, mac, NULL, &rec, &att) && !att &&
        !ip_equal(&rec.owner, &n->vtep))
        sim_fail(w, "P4",
            "nve=%u delivers locally to vni=%u mac=%s, which nve=%u owns at epoch %llu",
            nve, vni, mac_str(mac, text), vtep_nve(w, &rec.owner) - 1,
            (unsigned long long)rec.epoch);
}

/* The same for what comes from the VM's place: once its edge has seen a newer epoch of
 * another NVE, and asks for none itself, nothing of it passes (F9). */
static void
check_source(
    struct world *w, uint32_t nve, uint32_t port, uint32_t vni, const struct mac *mac)
{
    struct nve_node *n = &w->nves[nve];
    struct mapping_rec rec;
    struct edge_att_view v;
    uint32_t att = 0;
    char text[MAC_STR];
    if (!n->up || n->dpq.n ||
        !mapping_find(nve_edge(n->nve), vni, mac, NULL, &rec, &att) || att ||
        ip_equal(&rec.owner, &n->vtep))
        return;
    for (uint32_t it = 0; edge_each_attachment(nve_edge(n->nve), &it, &v, w->now);)
        if (v.port == port && v.vni == vni && mac_equal(&v.mac, mac) &&
            (v.waiting || v.unpublished))
            return;
    sim_fail(w, "P4",
        "nve=%u takes frames of vni=%u mac=%s from port=%u, nve=%u owns it at epoch "
        "%llu",
        nve, vni, mac_str(mac, text), port, vtep_nve(w, &rec.owner) - 1,
        (unsigned long long)rec.epoch);
}

static void
overlay(struct world *w, uint32_t nve, uint32_t to, uint32_t vni, uint32_t ttl,
    const uint8_t *p, uint32_t size)
{
    struct event *e;
    if (!to || to > w->sc->nves)
        return;
    w->nves[nve].counters[DPC_TX_OVERLAY]++;
    uint32_t n = !w->calm && rng_chance(&w->net, w->sc->loss)  ? 0
                 : !w->calm && rng_chance(&w->air, w->sc->dup) ? 2
                                                               : 1;
    struct flight *f = flight_of(w, p, size);
    if (n == 0)
        flight_lost(w, LOST_NET, nve, 0, p, size);
    if (n == 2 && f)
        f->twice = 1;
    for (uint32_t i = 0; i < n; i++) {
        /* One path keeps the order, but for what strays (and what came twice). */
        uint64_t at = w->now + net_delay(w), *last = &w->nves[nve].overlay_last[to - 1];
        bool stray = i || (!w->calm && w->sc->loss && rng_chance(&w->air, 20000));
        if (stray && f)
            f->stray = 1;
        if (!stray) {
            if (at < *last)
                at = *last;
            *last = at;
        }
        e = world_push_octets(w, EV_OVERLAY, at, to - 1, 0, p, size);
        e->a = nve;
        e->b = vni;
        e->c = ttl;
    }
}

static void
flood(struct world *w, uint32_t nve, uint32_t port, uint32_t vid, uint32_t vni,
    bool remote, const uint8_t *p, uint32_t size)
{
    struct nve_node *n = &w->nves[nve];
    struct tab_row *r;
    for (uint32_t it = 0; (r = tab_each(&n->dp, &it));) {
        uint32_t a, b;
        memcpy(&a, r->key + 1, 4);
        memcpy(&b, r->key + 5, 4);
        if (r->key[0] == 'A') {
            const struct dp_vap *v = r->val;
            if (v->vni == vni && v->flood && (a != port || b != vid || v->reflect))
                egress(w, nve, a, b, vni, p, size);
        } else if (r->key[0] == 'M' && remote && a == vni) {
            struct ip vtep;
            memcpy(&vtep, r->key + 5, 16);
            overlay(w, nve, vtep_nve(w, &vtep), vni, 64, p, size);
        }
    }
}

static bool
known_vtep(struct world *w, uint32_t nve, uint32_t from)
{
    struct key k = key_vn('M', 0, &w->nves[from].vtep, 16);
    struct tab_row *r;
    if (row(&w->nves[nve], &k))
        return true;
    for (uint32_t it = 0; (r = tab_each(&w->nves[nve].dp, &it));)
        if (r->key[0] == 'M' && memcmp(r->key + 5, &w->nves[from].vtep, 16) == 0)
            return true;
    return false;
}

/* Reports of one key at most each 100 ms. */
static void
report(struct world *w, uint32_t nve, uint8_t type, uint32_t port, uint32_t vid,
    uint32_t vni, const struct ip *ip, const uint8_t *p, uint32_t size)
{
    struct nve_node *n = &w->nves[nve];
    struct key k = key_vn((char)type, vni, p, 12);
    struct tab_row *r;
    struct event *e;
    if (!n->up)
        return;
    if (ip)
        key_octets(&k, ip, 16);
    r = tab_find(&n->asked, k.b, k.n);
    if (r && *(uint64_t *)r->val + 100 * MS > w->now)
        return;
    tab_put(&n->asked, k.b, k.n, &w->now, sizeof(w->now));
    uint64_t at = w->now + 1 + slow_delay(w);
    if (at < n->event_last)
        at = n->event_last;
    n->event_last = at; /* one ring: in order */
    e = world_push_octets(w, EV_DP_EVENT, at, nve, n->inc, p, size);
    e->a = type;
    e->b = port << 16 | vid;
    e->c = vni;
    if (ip)
        memcpy(&e->status, ip->b + 12, 4);
}

static bool
negative(struct world *w, uint32_t nve, uint32_t vni, const void *p, uint8_t size)
{
    struct key k = key_vn('G', vni, p, size);
    const uint64_t *until = row(&w->nves[nve], &k);
    return until && *until > w->now;
}

static void
forward(struct world *w, uint32_t nve, uint32_t port, uint32_t vid, uint32_t vni,
    const uint8_t *p, uint32_t size)
{
    struct nve_node *n = &w->nves[nve];
    struct mac dst;
    const struct dp_fdb *f;
    memcpy(&dst, p, 6);
    if (mac_is_group(&dst)) {
        flood(w, nve, port, vid, vni, true, p, size);
        return;
    }
    flight_at(w, nve, p, size);
    f = dp_fdb(n, vni, &dst);
    /* What has no place here is asked for, whoever waits for it (core/dp.h). */
    if (f && f->kind != FDB_REMOTE &&
        hold_take(w, nve, vni, &dst, port, 64, nve, p, size))
        return;
    if (!f) {
        if (negative(w, nve, vni, &dst, 6)) {
            drop(w, nve, DPC_DROP_NEGATIVE, p, size);
            return;
        }
        drop(w, nve, DPC_DROP_UNKNOWN_MAC, p, size);
        if (port)
            report(w, nve, DP_EV_MISS_MAC, port, vid, vni, NULL, p, size);
        return;
    }
    w->n_forwarded++;
    if (f->kind != FDB_LOCAL) {
        overlay(w, nve, f->from, vni, 64, p, size);
        return;
    }
    if (f->port == port && f->vid == vid) {
        struct key a = key_place('A', port, vid);
        const struct dp_vap *vap = row(n, &a);
        if (!vap || !vap->reflect) {
            drop(w, nve, DPC_DROP_HAIRPIN, p, size);
            return;
        }
    }
    check_local(w, nve, vni, &dst);
    egress(w, nve, f->port, f->vid, vni, p, size);
}

/* ARP at the edge (K8, K18). true: the frame is done with. */
static bool
answered(struct world *w, uint32_t nve, uint32_t port, uint32_t vid, uint32_t vni,
    const uint8_t *p, uint32_t size)
{
    struct nve_node *n = &w->nves[nve];
    struct key vk = key_vn('N', vni, "", 0), k;
    const struct dp_vn *vn = row(n, &vk);
    struct rd r = rd_of(p, size);
    struct eth eth;
    struct arp arp;
    const struct mac *known;
    uint8_t reply[128];
    if (!eth_decode(&r, &eth) || eth.type != ETH_TYPE_ARP || !arp_decode(&r, &arp))
        return false;
    if (!vn) {
        drop(w, nve, DPC_DROP_NO_VN, p, size);
        return true;
    }
    if (!arp_is_probe(&arp)) {
        k = key_vn('R', vni, &arp.sender_ip, 16);
        known = row(n, &k);
        if (!known || !mac_equal(known, &arp.sender_mac))
            report(w, nve, DP_EV_SNOOP, port, vid, vni, &arp.sender_ip, p, size);
    }
    if (!mac_is_group(&eth.dst))
        return false;
    if (vn->arp == ARP_FLOOD)
        return false;
    if (arp.op != ARP_REQUEST || arp_is_announce(&arp)) {
        drop(w, nve, DPC_ABSORBED, p, size);
        return true;
    }
    k = key_vn('R', vni, &arp.target_ip, 16);
    known = row(n, &k);
    if (!known) {
        if (negative(w, nve, vni, &arp.target_ip, 16)) {
            drop(w, nve, DPC_DROP_NEGATIVE, p, size);
            return true;
        }
        drop(w, nve, DPC_DROP_UNKNOWN_IP, p, size);
        report(w, nve, DP_EV_MISS_IP, port, vid, vni, &arp.target_ip, p, size);
        return true;
    }
    if (mac_equal(known, &eth.src)) {
        drop(w, nve, DPC_ABSORBED, p, size);
        return true;
    }
    const struct dp_fdb *f = dp_fdb(n, vni, known);
    if (f && f->kind == FDB_LOCAL && f->port == port && f->vid == vid) {
        k = key_place('A', port, vid);
        const struct dp_vap *vap = row(n, &k);
        if (!vap || !vap->reflect) {
            drop(w, nve, DPC_DROP_HAIRPIN, p, size);
            return true;
        }
    }
    struct wr o = wr_of(reply, sizeof(reply));
    struct arp a = {.op = ARP_REPLY,
        .sender_mac = *known,
        .target_mac = arp.sender_mac,
        .sender_ip = arp.target_ip,
        .target_ip = arp.sender_ip};
    eth_encode(&o, &(struct eth){.dst = eth.src, .src = *known, .type = ETH_TYPE_ARP});
    arp_encode(&o, &a);
    eth_pad(&o);
    n->counters[DPC_ARP_ANSWERED]++;
    egress(w, nve, port, vid, vni, reply, (uint32_t)o.pos);
    return true;
}

void
dp_from_port(struct world *w, uint32_t nve, uint32_t port, uint32_t vid,
    const uint8_t *p, uint32_t size)
{
    struct nve_node *n = &w->nves[nve];
    struct key k = key_place('P', port, 0);
    const struct dp_port *conf = row(n, &k);
    const struct dp_vsi *vsi;
    uint32_t vni, vn, seq;
    if (!conf || !w->servers[nve * w->sc->ports + port - 1].up) {
        flight_lost(w, LOST_NET, nve, 0, p, size); /* out of the port, or into it */
        return;
    }
    if (!vid && conf->native != NATIVE_VN) {
        drop(w, nve, DPC_DROP_NATIVE, p, size);
        return;
    }
    k = key_place('S', port, vid);
    key_octets(&k, p + 6, 6);
    vsi = row(n, &k);
    if (vsi) {
        if (!vsi->active) {
            drop(w, nve, DPC_DROP_INACTIVE, p, size);
            return;
        }
        vni = vsi->vni;
        check_source(w, nve, port, vni, (const struct mac *)(p + 6));
    } else {
        k = key_place('A', port, vid);
        const struct dp_vap *vap = row(n, &k);
        if (!vap && frame_truth(p, size, &vn, &seq) && vn != VN_HOSTILE)
            cover_fault(FAULT_16);
        if (!vap || !vap->wildcard) {
            drop(w, nve, vap ? DPC_DROP_SPOOF : DPC_DROP_NO_VAP, p, size);
            return;
        }
        vni = vap->vni;
        report(w, nve, DP_EV_LEARN, port, vid, vni, NULL, p, size);
    }
    if (frame_truth(p, size, &vn, &seq) && vni_of(vn) != vni)
        sim_fail(w, "P5", "nve=%u: frame %u of vn=%d enters vni=%u by port=%u vid=%u",
            nve, seq, (int)vn, vni, port, vid);
    if (answered(w, nve, port, vid, vni, p, size))
        return;
    forward(w, nve, port, vid, vni, p, size);
}

void
dp_from_overlay(struct world *w, uint32_t nve, uint32_t from, uint32_t vni,
    uint32_t ttl, const uint8_t *p, uint32_t size)
{
    struct nve_node *n = &w->nves[nve];
    struct key vk = key_vn('N', vni, "", 0);
    struct mac dst;
    memcpy(&dst, p, 6);
    if (!known_vtep(w, nve, from)) {
        drop(w, nve, DPC_DROP_VTEP, p, size);
        return;
    }
    if (mac_is_group(&dst)) {
        if (n->counters[DPC_RELAYED])
            cover_fault(FAULT_17);
        if (row(n, &vk))
            flood(w, nve, 0, 0, vni, false, p, size);
        return;
    }
    flight_at(w, nve, p, size);
    if (hold_take(w, nve, vni, &dst, 0, ttl, from, p, size))
        return;
    dp_release(w, nve, vni, 0, ttl, from, p, size);
}

/* A unicast frame that does not wait (any more). port 0: from the overlay, of NVE
 * `from`. */
void
dp_release(struct world *w, uint32_t nve, uint32_t vni, uint32_t port, uint32_t ttl,
    uint32_t from, const uint8_t *p, uint32_t size)
{
    struct nve_node *n = &w->nves[nve];
    struct key vk = key_vn('N', vni, "", 0);
    struct mac dst;
    memcpy(&dst, p, 6);
    const struct dp_fdb *f = dp_fdb(n, vni, &dst);
    if (f && f->kind == FDB_LOCAL) {
        check_local(w, nve, vni, &dst);
        egress(w, nve, f->port, f->vid, vni, p, size);
        return;
    }
    if (port && f) {
        overlay(w, nve, f->from, vni, ttl, p, size);
        return;
    }
    if (!row(n, &vk)) {
        drop(w, nve, DPC_DROP_NO_VN, p, size);
        return;
    }
    if (!f || f->kind != FDB_RELAY) {
        drop(w, nve, DPC_DROP_SPLIT, p, size);
        report(w, nve, DP_EV_ASTRAY, 0, 0, vni, &w->nves[from].vtep, p, size);
        return;
    }
    w->n_relayed++;
    n->counters[DPC_RELAYED]++;
    if (ttl <= 1) {
        drop(w, nve, DPC_DROP_TTL, p, size);
        sim_fail(w, "P1", "nve=%u: a frame was relayed until its TTL was used up", nve);
        return;
    }
    flight_relayed(w, nve, f->from - 1, vni, &dst, p, size);
    report(w, nve, DP_EV_RELAYED, 0, 0, vni, &w->nves[from].vtep, p, size);
    overlay(w, nve, f->from, vni, ttl - 1, p, size);
}
