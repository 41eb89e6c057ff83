/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold when nothing happens any more (P2, P3, requirements 4.3), what a
 * confirmed associate means, and that nothing is left when all has ended. */
#include "sim.h"
#include "core/mapping.h"
#include "core/registry.h"

struct owner {
    uint32_t nve, port, listed;
    uint64_t epoch;
};

static bool
away(const struct world *w)
{
    for (uint32_t i = 0; i < w->sc->nves; i++)
        if (!w->nves[i].up)
            return true;
    return !w->nva.up;
}

/* P2: one place per (VN, MAC). */
static void
owners_collect(struct world *w, struct tab *owners)
{
    struct edge_att_view v;
    char text[MAC_STR];
    for (uint32_t i = 0; i < w->sc->nves && !w->failed; i++) {
        for (uint32_t it = 0;
             edge_each_attachment(nve_edge(w->nves[i].nve), &it, &v, w->now);) {
            uint8_t key[10];
            struct owner o = {.nve = i, .port = v.port, .epoch = v.epoch};
            struct tab_row *r;
            if (v.waiting)
                sim_fail(w, "at-rest",
                    "nve=%u port=%u vni=%u mac=%s state=%s still waits for %x", i,
                    v.port, v.vni, mac_str(&v.mac, text), att_state_str(v.state),
                    v.waiting);
            struct mapping_rec held; /* a learned MAC has an epoch of its own (K2) */
            if (!mac_is_none(&v.mac) &&
                mapping_find(
                    nve_edge(w->nves[i].nve), v.vni, &v.mac, NULL, &held, NULL) &&
                ip_equal(&held.owner, &w->nves[i].vtep))
                v.epoch = o.epoch = held.epoch;
            memcpy(key, &v.vni, 4);
            memcpy(key + 4, &v.mac, 6);
            if ((v.state == ATT_SUSP || v.state == ATT_EMIG || v.state == ATT_IMMIG) &&
                !mac_is_none(&v.mac)) {
                uint8_t pausing[14];
                memcpy(pausing, key, 10);
                memcpy(pausing + 10, &i, 4);
                tab_put(owners, pausing, 14, &o, sizeof(o));
            }
            if (v.state != ATT_ASSOC || mac_is_none(&v.mac))
                continue;
            r = tab_find(owners, key, 10);
            if (r) {
                const struct owner *a = r->val;
                sim_fail(w, "P2",
                    "vni=%u mac=%s is active at nve=%u port=%u (epoch %llu) and nve=%u "
                    "port=%u (epoch %llu)",
                    v.vni, mac_str(&v.mac, text), a->nve, a->port,
                    (unsigned long long)a->epoch, i, v.port,
                    (unsigned long long)v.epoch);
                return;
            }
            tab_put(owners, key, 10, &o, sizeof(o));
            if (v.unpublished)
                sim_fail(w, "P3",
                    "nve=%u port=%u vni=%u mac=%s is not published at rest", i, v.port,
                    v.vni, mac_str(&v.mac, text));
        }
    }
}

/* P3: the authority's record against the owner, its data plane, and everybody else's.
 */
static void
record_check(struct world *w, struct tab *owners, const struct registry_map_view *m)
{
    uint8_t key[10];
    char text[MAC_STR];
    uint32_t at = vtep_nve(w, &m->rec.owner), vni = m->rec.vni;
    const char *mac = mac_str(&m->rec.mac, text);
    struct tab_row *r;
    const struct dp_fdb *f;
    memcpy(key, &vni, 4);
    memcpy(key + 4, &m->rec.mac, 6);
    r = tab_find(owners, key, 10);
    const struct owner *o = r ? r->val : NULL;
    if (m->stale) {
        sim_fail(w, "P3", "vni=%u mac=%s: the authority's record is stale at rest", vni,
            mac);
        return;
    }
    if (!o &&
        at) { /* it owns, and rests: suspended, or leaving with nobody there yet */
        uint8_t pausing[14];
        uint32_t nve = at - 1;
        memcpy(pausing, key, 10);
        memcpy(pausing + 10, &nve, 4);
        if (tab_find(owners, pausing, 14))
            return;
    }
    if (!o || o->nve + 1 != at || o->epoch != m->rec.epoch) {
        sim_fail(w, "P3",
            "vni=%u mac=%s: the authority says nve=%d epoch %llu, active is nve=%d "
            "epoch %llu",
            vni, mac, (int)at - 1, (unsigned long long)m->rec.epoch,
            o ? (int)o->nve : -1, o ? (unsigned long long)o->epoch : 0);
        return;
    }
    ((struct owner *)r->val)->listed = 1;
    f = dp_fdb(&w->nves[o->nve], vni, &m->rec.mac);
    if (!f || f->kind != FDB_LOCAL || f->port != o->port)
        sim_fail(w, "P3",
            "nve=%u owns vni=%u mac=%s on port=%u, its data plane says %s", o->nve, vni,
            mac, o->port,
            !f                     ? "nothing"
            : f->kind != FDB_LOCAL ? "elsewhere"
                                   : "another port");
}

/* P3, the other way round: what each data plane says of a VM that is active. */
static void
fdb_check(struct world *w, uint32_t nve, const struct tab_row *r, struct tab *owners)
{
    const struct dp_fdb *f = r->val;
    const struct tab_row *at = tab_find(owners, r->key + 1, 10);
    const struct owner *o = at ? at->val : NULL;
    bool local = f->kind == FDB_LOCAL;
    uint8_t pausing[14];
    uint32_t vni;
    char mac[MAC_STR];
    memcpy(pausing, r->key + 1, 10);
    memcpy(pausing + 10, &nve, 4);
    memcpy(&vni, r->key + 1, 4);
    mac_str((const struct mac *)(r->key + 5), mac);
    if (local && (!o || o->nve != nve) && !tab_find(owners, pausing, 14))
        sim_fail(w, "P3",
            "nve=%u: the data plane delivers vni=%u mac=%s locally, nobody is active "
            "there",
            nve, vni, mac);
    if (o && o->listed && o->nve != nve && (local || f->from != o->nve + 1))
        sim_fail(w, "P3",
            "nve=%u: the data plane sends vni=%u mac=%s to nve=%d, the owner is nve=%u",
            nve, vni, mac, local ? (int)nve : (int)f->from - 1, o->nve);
}

static void
planes_check(struct world *w, struct tab *owners)
{
    const struct tab_row *r;
    for (uint32_t i = 0; i < w->sc->nves; i++)
        for (uint32_t it = 0; !w->failed && (r = tab_each(&w->nves[i].dp, &it));)
            if (r->key[0] == 'F')
                fdb_check(w, i, r, owners);
}

void
props_rest(struct world *w)
{
    struct tab owners;
    struct tab_row *r;
    struct registry_map_view m;
    char text[MAC_STR];
    if (away(w)) {
        sim_fail(w, "at-rest", "a node has not come back");
        return;
    }
    tab_init(&owners);
    owners_collect(w, &owners);
    for (uint32_t it = 0;
         !w->failed && registry_each_mapping(nva_registry(w->nva.nva), &it, &m);)
        record_check(w, &owners, &m);
    for (uint32_t it = 0; !w->failed && (r = tab_each(&owners, &it));) {
        const struct owner *o = r->val;
        uint32_t vni;
        memcpy(&vni, r->key, 4);
        if (!o->listed && r->key_size == 10)
            sim_fail(w, "P3",
                "nve=%u port=%u vni=%u mac=%s epoch %llu: the authority knows nothing "
                "of it",
                o->nve, o->port, vni, mac_str((const struct mac *)(r->key + 4), text),
                (unsigned long long)o->epoch);
    }
    planes_check(w, &owners);
    tab_done(&owners);
}

/* ---- the final placement ---- */

/* What stands elsewhere, and at plain stations here too: one that lost its VSI and asks
 * as before cannot be told from one that did not hear of it (K3). */
static bool
terminates(struct world *w, uint32_t server, uint32_t vm)
{
    const struct server *s = &w->servers[server];
    bool here = w->vms[vm].want == server + 1,
         tagged = server_att(w, server, vm, false);
    if (s->kind == SERVER_TES)
        return !here && (tagged || w->sc->vms < 1000);
    return s->kind == SERVER_PLAIN && tagged;
}

/* A large world stays where it is: what is sampled of it is what stands. */
static void
place_none(struct world *w)
{
    for (uint32_t i = 0; i < w->sc->vms; i++) {
        struct vm *v = &w->vms[i];
        const struct attachment *a =
            v->run ? server_att(w, v->run - 1, i, false) : NULL;
        v->want = v->run;
        v->final = v->sure && v->sure == v->run && a && a->pass ? FINAL_OK : FINAL_NOT;
    }
}

static void
place_all(struct world *w)
{
    for (uint32_t i = 0; i < w->sc->vms; i++) {
        struct vm *v = &w->vms[i];
        uint32_t to = (uint32_t)rnd(&w->rng, w->n_servers);
        while (w->servers[to].kind == SERVER_HOSTILE)
            to = (to + 1) % w->n_servers;
        v->want = to + 1;
        v->final = FINAL_NOT;
        v->run = to + 1;
    }
    for (uint32_t s = 0; s < w->n_servers; s++)
        for (uint32_t i = 0; i < w->sc->vms; i++)
            if (terminates(w, s, i))
                server_ask(w, s, i, V_TERM);
    world_advance(w, w->now + 5 * SEC);
    for (int attempt = 0; attempt < 5 && !w->failed; attempt++) {
        for (uint32_t i = 0; i < w->sc->vms; i++) {
            struct vm *v = &w->vms[i];
            if (v->final != FINAL_NOT && v->final != FINAL_REFUSED)
                continue;
            v->final = FINAL_ASKED;
            server_ask(w, v->want - 1, i, V_ASSOC);
        }
        world_advance(w, w->now + 4 * SEC);
    }
    for (uint32_t i = 0; i < w->sc->vms && !w->failed; i++) {
        const struct vm *v = &w->vms[i];
        if (v->final == FINAL_OK || v->final == FINAL_UNPUBLISHED)
            continue;
        if (w->sc->small_tags || w->sc->wild)
            continue; /* no tag is left there, or a wildcard stands in the way */
        sim_fail(w, "associates",
            "vm=%u cannot be associated at server=%u with calm wires: %s", i,
            v->want - 1, v->final == FINAL_ASKED ? "no answer" : "refused");
    }
}

static bool
settled(const struct vm *v)
{
    return v->final == FINAL_OK && !v->wild;
}

/* Some VM of `a`'s VN behind another server. */
static uint32_t
partner(struct world *w, uint32_t a)
{
    uint32_t n = w->sc->vms, first = (uint32_t)rnd(&w->rng, n);
    for (uint32_t k = 0; k < n; k++) {
        uint32_t b = (first + k) % n;
        if (b != a && settled(&w->vms[b]) && w->vms[b].vn == w->vms[a].vn &&
            w->vms[b].want != w->vms[a].want)
            return b + 1;
    }
    return 0;
}

struct asker { /* VM a asks who has the address of VM b */
    uint32_t a, b, had;
};

static bool
asked_all(struct world *w, const struct asker *q, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (w->vms[q[i].a].arp_from == q[i].had)
            return false;
    return true;
}

/* Each VM asks for one behind another server, and hears the right answer. */
static void
arp_all(struct world *w)
{
    uint32_t most = w->sc->vms < 60 ? w->sc->vms : 60, n = 0;
    struct asker q[60];
    for (uint32_t i = 0; i < w->sc->vms && w->sc->vms <= LARGE; i++)
        guest_send(w, i, i, FRAME_GARP);
    world_advance(w, w->now + 3 * SEC);
    for (uint32_t k = 0; k < most && !w->failed; k++) {
        uint32_t a = w->sc->vms < 60 ? k : (uint32_t)rnd(&w->rng, w->sc->vms);
        uint32_t b = settled(&w->vms[a]) ? partner(w, a) : 0;
        for (uint32_t i = 0; i < n; i++)
            b = q[i].a == a ? 0 : b; /* one question at a time */
        if (b)
            q[n++] = (struct asker){a, b - 1, w->vms[a].arp_from};
    }
    for (int t = 0; t < 4 && !w->failed && !asked_all(w, q, n); t++) {
        for (uint32_t i = 0; i < n; i++)
            if (w->vms[q[i].a].arp_from == q[i].had)
                guest_send(w, q[i].a, q[i].b, FRAME_ARP);
        world_advance(w, w->now + (t ? 2 * SEC : 300 * MS));
    }
    for (uint32_t i = 0; i < n && !w->failed; i++) {
        const struct vm *from = &w->vms[q[i].a], *to = &w->vms[q[i].b];
        if (from->arp_from == q[i].had)
            sim_fail(w, "arp",
                "vm=%u at server=%u gets no answer about vm=%u at server=%u", q[i].a,
                from->want - 1, q[i].b, to->want - 1);
        else if (!mac_equal(&from->arp_mac, &to->mac))
            sim_fail(w, "arp", "vm=%u is told another MAC for vm=%u", q[i].a, q[i].b);
    }
}

/* ---- what a confirmed associate means ---- */

/* Moves `a` to `to`, and waits for the very event that brings the answer. */
static void
move_confirmed(struct world *w, uint32_t a, uint32_t to)
{
    struct vm *v = &w->vms[a];
    server_ask(w, v->want - 1, a, V_TERM);
    world_advance(w, w->now + 6 * SEC);
    uint64_t end = w->now + 10 * SEC;
    v->want = v->run = to + 1;
    v->final = FINAL_ASKED;
    v->far = false;
    w->confirm = true;
    server_ask(w, to, a, V_ASSOC);
    w->confirm = false;
    while (!w->failed && v->final == FINAL_ASKED && w->now < end && w->n_heap)
        world_advance(w, w->heap[0].at);
}

/* Some VM of `a`'s VN behind edge `nve`. */
static uint32_t
speaker(const struct world *w, uint32_t a, uint32_t nve)
{
    for (uint32_t b = 0; b < w->sc->vms; b++)
        if (b != a && settled(&w->vms[b]) && w->vms[b].vn == w->vms[a].vn &&
            w->servers[w->vms[b].want - 1].nve == nve)
            return b + 1;
    return 0;
}

/* K6 REMOTE: with that answer the VM is reached from every other edge, at once. */
static void
confirm_one(struct world *w, uint32_t a, uint32_t to)
{
    struct vm *v = &w->vms[a];
    uint32_t nve = w->servers[to].nve, had, sent = 0;
    move_confirmed(w, a, to);
    if (w->failed || v->final != FINAL_OK) {
        if (!w->sc->small_tags && !w->sc->wild)
            sim_fail(w, "confirm", "vm=%u cannot be associated at server=%u", a, to);
        return;
    }
    if (!v->far) {
        sim_fail(w, "confirm", "vm=%u at server=%u is not confirmed at rest", a, to);
        return;
    }
    had = v->n_got;
    for (uint32_t e = 0; e < w->sc->nves; e++) {
        uint32_t b = e == nve ? 0 : speaker(w, a, e);
        if (b) /* one each: of a key that is pulled three frames wait (K18) */
            sent += guest_send(w, b - 1, a, FRAME_UNICAST) != 0;
    }
    world_advance(w, w->now + 20 * MS);
    if (!w->failed && v->n_got - had < sent)
        sim_fail(w, "confirm",
            "vm=%u at server=%u is confirmed, %u of %u edges' frames reach it", a, to,
            v->n_got - had, sent);
}

static void
confirm_all(struct world *w)
{
    for (uint32_t k = 0; k < 6 && !w->failed; k++) {
        uint32_t a = (uint32_t)rnd(&w->rng, w->sc->vms),
                 to = (uint32_t)rnd(&w->rng, w->n_servers);
        if (settled(&w->vms[a]) && w->servers[to].kind == SERVER_TES &&
            w->vms[a].want != to + 1)
            confirm_one(w, a, to);
    }
}

/* ---- the end ---- */

static void
leaks(struct world *w)
{
    struct edge_att_view a;
    struct edge_tag_view t;
    struct edge_map_view m;
    struct registry_map_view rm;
    char text[MAC_STR];
    for (uint32_t i = 0; i < w->sc->nves && !w->failed; i++) {
        const struct nve_node *n = &w->nves[i];
        struct edge *e = nve_edge(n->nve);
        struct tab_row *r;
        uint32_t it = 0;
        if (edge_each_attachment(e, &it, &a, w->now))
            sim_fail(w, "leak", "nve=%u port=%u vni=%u mac=%s state=%s is left", i,
                a.port, a.vni, mac_str(&a.mac, text), att_state_str(a.state));
        it = 0;
        if (!w->failed && edge_each_tag(e, &it, &t, w->now))
            sim_fail(w, "leak", "nve=%u tag %u of vni=%u state=%s refs=%u is left", i,
                t.vid, t.vni, tag_state_str(t.state), t.refs);
        it = 0;
        if (!w->failed && edge_each_mapping(e, &it, &m))
            sim_fail(w, "leak",
                "nve=%u mapping of vni=%u mac=%s is left: epoch %llu local=%u stale=%u "
                "tomb=%u owner=%d",
                i, m.rec.vni, mac_str(&m.rec.mac, text),
                (unsigned long long)m.rec.epoch, m.local, m.stale, m.tomb,
                (int)vtep_nve(w, &m.rec.owner) - 1);
        for (it = 0; !w->failed && (r = tab_each(&n->dp, &it));)
            if (strchr("ASFRM", r->key[0])) {
                uint32_t x;
                memcpy(&x, r->key + 1, 4);
                if (r->key[0] == 'M' && x == 0)
                    continue; /* another NVE's endpoint, known while it is there (K11)
                               */
                sim_fail(w, "leak",
                    "nve=%u: the data plane keeps a row of kind %c, first number %u", i,
                    r->key[0], x);
            }
        for (it = 0; !w->failed && (r = tab_each(&n->journal, &it));)
            if (r->key[0] != 3)
                sim_fail(w, "leak", "nve=%u: the journal keeps a record of kind %u", i,
                    r->key[0]);
    }
    uint32_t it = 0;
    if (!w->failed && registry_each_mapping(nva_registry(w->nva.nva), &it, &rm))
        sim_fail(w, "leak",
            "the authority keeps vni=%u mac=%s epoch %llu owner=%d stale=%u",
            rm.rec.vni, mac_str(&rm.rec.mac, text), (unsigned long long)rm.rec.epoch,
            (int)vtep_nve(w, &rm.rec.owner) - 1, rm.stale);
    if (!w->failed && w->nva.epochs.n)
        sim_fail(
            w, "leak", "the store keeps %u epochs after T_forget", w->nva.epochs.n);
    for (uint32_t s = 0; s < w->n_servers && !w->failed; s++) {
        if (w->servers[s].kind == SERVER_TES && w->servers[s].alive &&
            tes_n_vms(w->servers[s].tes))
            sim_fail(w, "leak", "server=%u: the agent keeps %u VMs", s,
                tes_n_vms(w->servers[s].tes));
        for (uint32_t k = 0; k < w->servers[s].n_atts && !w->failed; k++)
            if (w->servers[s].atts[k].used)
                sim_fail(w, "leak", "server=%u: vm=%u keeps a tag", s,
                    w->servers[s].atts[k].vm);
    }
}

/* What moved away and was never terminated, or was claimed by a station that never got
 * the answer, stays as long as its station asked for when it spoke last (S3-80, F19): a
 * forged LLDP frame may have asked for much. */
static uint64_t
leaving_us(struct world *w)
{
    uint64_t most = 0;
    struct edge_att_view a;
    for (uint32_t i = 0; i < w->sc->nves; i++)
        for (uint32_t it = 0;
             edge_each_attachment(nve_edge(w->nves[i].nve), &it, &a, w->now);)
            if (a.idle_left_us != TIMER_NEVER && a.idle_left_us > most)
                most = a.idle_left_us;
    return most;
}

void
props_final(struct world *w)
{
    bool large = w->sc->vms > LARGE;
    props_live(w);
    if (w->failed)
        return;
    if (large)
        place_none(w);
    else
        place_all(w);
    if (!w->failed && !large)
        props_rest(w);
    if (!w->failed)
        props_live(w);
    if (!w->failed)
        arp_all(w);
    if (!w->failed)
        confirm_all(w);
    if (!w->failed)
        props_rest(w);
    if (!w->failed)
        props_frames(w);
    if (large)
        return;
    for (uint32_t s = 0; s < w->n_servers && !w->failed; s++)
        for (uint32_t i = 0; i < w->sc->vms; i++)
            if (w->vms[i].want == s + 1 || server_att(w, s, i, false))
                server_ask(w, s, i, V_TERM);
    world_advance(w, w->now + 70 * SEC);
    uint64_t leaving = w->failed ? 0 : leaving_us(w);
    if (leaving)
        world_advance(w, w->now + leaving + 70 * SEC);
    if (!w->failed)
        leaks(w);
    if (!w->failed)
        bounds_end(w);
}
