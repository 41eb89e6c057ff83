/* SPDX-License-Identifier: Apache-2.0 */
/* Who may own what, after every step: the forms of P2 and P3 (requirements 4.3) that
 * hold at every instant. The linker puts this file between the functions that change
 * ownership and their callers, so a check costs what the step touched.
 *
 * P2. "At most one edge is active for a key" holds at rest alone: between the grant of
 * a newer number and the push to the older owner both are active, and a number that an
 * agent carries to the wrong edge is claimed there until the authority refuses it (F4).
 * What always holds: a number of a key belongs to one edge and one migration, for ever,
 * in all that the authority ever recorded; of two edges that deliver locally and have
 * the authority's word for it, the numbers differ; the number of a record never falls
 * while the authority remembers it (in memory, or after a crash by its store, until
 * T_forget after a withdrawal); an edge never takes a lower number than it has.
 *
 * A number that an edge chose by itself while the authority was away (E5) has no
 * migration id, and may be chosen twice.
 *
 * P3. "Everybody agrees" holds at rest alone, too. What always holds: the authority
 * records only who had the VM in its data plane first (E7; what is learned from frames
 * is recorded while the data plane is written); what an edge takes for another's is
 * what the authority has recorded or reserved for that one at some time, number, owner
 * and migration; and frames are sent only to an edge that has delivered this VM locally
 * once, or, as a relay, has reserved a number (D1 to D3). */
#include "core/attach_int.h"
#include "core/registry_int.h"
#include "sim.h"
#include "core/mapping.h"

#define SAMPLE 64 /* of a large world's keys one in so many is followed */

struct number { /* recorded: who has this number of the key */
    struct ip owner;
    uint64_t migration;
};
struct place {         /* of an edge: what it has had to do with the key */
    uint64_t reserved; /* the last number that was kept for it */
    uint8_t said;      /* it told its data plane to deliver locally */
    uint8_t delivered; /* which did */
};

static struct world *now; /* the one that runs */

struct key {
    uint8_t b[20];
};

static struct key
key_of(uint32_t vni, const struct mac *mac, uint64_t more)
{
    struct key k;
    memset(&k, 0, sizeof(k));
    memcpy(k.b, &vni, 4);
    memcpy(k.b + 4, mac, 6);
    memcpy(k.b + 12, &more, 8);
    return k;
}

static bool
followed(const struct world *w, uint32_t vni, const struct mac *mac)
{
    return !w->failed && (w->sc->vms <= LARGE || (vni + mac->b[5]) % SAMPLE == 0);
}

static struct place *
place_of(struct world *w, uint32_t nve, uint32_t vni, const struct mac *mac, bool make)
{
    struct key k = key_of(vni, mac, nve);
    struct place none = {0};
    struct tab_row *r = tab_find(&w->places, &k, sizeof(k));
    if (!r && make)
        r = tab_put(&w->places, &k, sizeof(k), &none, sizeof(none));
    return r ? r->val : NULL;
}

void
owners_begin(struct world *w)
{
    tab_init(&w->numbers);
    tab_init(&w->newest);
    tab_init(&w->places);
    now = w;
}

void
owners_done(struct world *w)
{
    tab_done(&w->numbers);
    tab_done(&w->newest);
    tab_done(&w->places);
    now = NULL;
}

/* The authority has died: it knows what its store kept. */
void
owners_crash(struct world *w)
{
    struct tab_row *r;
    tab_done(&w->newest);
    tab_init(&w->newest);
    for (uint32_t it = 0; (r = tab_each(&w->nva.epochs, &it));) {
        uint32_t vni;
        memcpy(&vni, r->key, 4);
        struct key k = key_of(vni, (const struct mac *)(r->key + 4), 0);
        tab_put(&w->newest, &k, sizeof(k), r->val, sizeof(uint64_t));
    }
}

void
owners_stored(struct world *w, const struct nva_out *o)
{
    uint32_t nve = vtep_nve(w, &o->target);
    if (o->store == STORE_EPOCH && !o->epoch) { /* T_forget */
        struct key k = key_of(o->vni, &o->mac, 0);
        tab_del(&w->newest, &k, sizeof(k));
    } else if (o->store == STORE_RESERVATION && o->epoch && nve &&
               followed(w, o->vni, &o->mac)) {
        place_of(w, nve - 1, o->vni, &o->mac, true)->reserved = o->epoch;
    }
}

/* ---- the authority's records ---- */

static void
recorded(struct world *w, const struct registry *r, const struct reg_ent *en)
{
    uint32_t vni = en->key.vni;
    struct number n = {reg_nve(r, en->nve)->vtep, en->migration_id};
    struct key k = key_of(vni, &en->key.mac, en->epoch),
               k0 = key_of(vni, &en->key.mac, 0);
    struct tab_row *row = tab_find(&w->numbers, &k, sizeof(k));
    const struct number *had = row ? row->val : NULL;
    uint32_t nve = vtep_nve(w, &n.owner);
    unsigned long long epoch = en->epoch;
    char mac[MAC_STR];
    mac_str(&en->key.mac, mac);
    bool granted = had && had->migration && n.migration;
    if (granted && w->sc->profile != PROFILE_ODD &&
        (!ip_equal(&had->owner, &n.owner) || had->migration != n.migration))
        sim_fail(w, "P2",
            "vni=%u mac=%s: epoch %llu is recorded for nve=%d migration %llx, it was "
            "nve=%d's, migration %llx",
            vni, mac, epoch, (int)nve - 1, (unsigned long long)n.migration,
            (int)vtep_nve(w, &had->owner) - 1, (unsigned long long)had->migration);
    row = tab_find(&w->newest, &k0, sizeof(k0));
    if (row && *(const uint64_t *)row->val > en->epoch)
        sim_fail(w, "P2", "vni=%u mac=%s: epoch %llu is recorded after %llu", vni, mac,
            epoch, *(unsigned long long *)row->val);
    const struct place *p = nve ? place_of(w, nve - 1, vni, &en->key.mac, false) : NULL;
    if (nve && en->vsi && !w->sc->dp_fails && (!p || !p->delivered))
        sim_fail(w, "P3",
            "vni=%u mac=%s: nve=%u is recorded at epoch %llu and never had it in its "
            "data plane (E7)",
            vni, mac, nve - 1, epoch);
    tab_put(&w->numbers, &k, sizeof(k), &n, sizeof(n));
    tab_put(&w->newest, &k0, sizeof(k0), &en->epoch, sizeof(en->epoch));
}

void __real_reg_ent_changed(struct registry *r, uint32_t ent);
void __wrap_reg_ent_changed(struct registry *r, uint32_t ent);
void
__wrap_reg_ent_changed(struct registry *r, uint32_t ent)
{
    __real_reg_ent_changed(r, ent);
    const struct reg_ent *en = reg_ent(r, ent);
    if (now && now->nva.up && nva_registry(now->nva.nva) == r && en->flags & ENT_LIVE &&
        followed(now, en->key.vni, &en->key.mac))
        recorded(now, r, en);
}

/* ---- what an edge takes for true ---- */

struct att_counts
att_counts(const struct edge *e)
{
    const struct attach *a = e->att;
    return (struct att_counts){a->atts.n, a->entries.n, a->vaps.n, a->txns.n};
}

static uint32_t
nve_of(const struct edge *e)
{
    uint32_t i = now ? vtep_nve(now, &e->conf.vtep) : 0;
    return i && now->nves[i - 1].up && nve_edge(now->nves[i - 1].nve) == e ? i : 0;
}

static void
taken(struct world *w, uint32_t nve, const struct mapping_rec *rec,
    const struct mapping_rec *before, bool was_local)
{
    struct key k = key_of(rec->vni, &rec->mac, rec->epoch);
    struct tab_row *row = tab_find(&w->numbers, &k, sizeof(k));
    const struct number *n = row ? row->val : NULL;
    uint32_t att = 0, owner = vtep_nve(w, &rec->owner);
    char mac[MAC_STR];
    mac_str(&rec->mac, mac);
    const struct place *p =
        owner ? place_of(w, owner - 1, rec->vni, &rec->mac, false) : NULL;
    bool was =
        n && ip_equal(&n->owner, &rec->owner) && n->migration == rec->migration_id;
    /* Without a session an edge is told no number: 0 is below all (RFC 9306). */
    if (rec->epoch && !was && !(p && p->reserved == rec->epoch))
        sim_fail(w, "P3",
            "nve=%u takes nve=%d for the owner of vni=%u mac=%s at epoch %llu, which "
            "the "
            "authority neither recorded nor kept for it",
            nve, (int)owner - 1, rec->vni, mac, (unsigned long long)rec->epoch);
    if (before->epoch > rec->epoch)
        sim_fail(w, "P2",
            "nve=%u knows vni=%u mac=%s at epoch %llu and takes epoch %llu (E3)", nve,
            rec->vni, mac, (unsigned long long)before->epoch,
            (unsigned long long)rec->epoch);
    if (was_local &&
        mapping_find(
            nve_edge(w->nves[nve].nve), rec->vni, &rec->mac, NULL, NULL, &att) &&
        att)
        sim_fail(w, "P4", "nve=%u keeps vni=%u mac=%s although nve=%d has epoch %llu",
            nve, rec->vni, mac, (int)vtep_nve(w, &rec->owner) - 1,
            (unsigned long long)rec->epoch);
}

enum mapping_verdict __real_mapping_remote_set(
    struct edge *e, const struct mapping_rec *rec, uint64_t seq, uint32_t *att);
enum mapping_verdict __wrap_mapping_remote_set(
    struct edge *e, const struct mapping_rec *rec, uint64_t seq, uint32_t *att);
enum mapping_verdict
__wrap_mapping_remote_set(
    struct edge *e, const struct mapping_rec *rec, uint64_t seq, uint32_t *att)
{
    struct mapping_rec before = {0};
    uint32_t had = 0, nve = nve_of(e);
    bool look = nve && followed(now, rec->vni, &rec->mac);
    if (look)
        mapping_find(e, rec->vni, &rec->mac, NULL, &before, &had);
    enum mapping_verdict v = __real_mapping_remote_set(e, rec, seq, att);
    if (look && (v == MAPPING_ACCEPTED || v == MAPPING_TOOK_LOCAL))
        taken(now, nve - 1, rec, &before, had != 0);
    return v;
}

/* ---- what a data plane does ---- */

static bool
has_word(const struct world *w, uint32_t nve, uint32_t vni, const struct mac *mac,
    uint64_t *epoch)
{
    const struct nve_node *n = &w->nves[nve];
    const struct dp_fdb *f = dp_fdb(n, vni, mac);
    struct mapping_rec rec;
    uint32_t att = 0;
    if (!n->up || n->dpq.n || !f || f->kind != FDB_LOCAL)
        return false;
    const struct edge *e = nve_edge(n->nve);
    if (!mapping_find(e, vni, mac, NULL, &rec, &att) || !att ||
        !(entry_at(e, att)->flags & ENTRY_PUBLISHED))
        return false;
    *epoch = rec.epoch;
    return rec.migration_id != 0;
}

void
owners_local(struct world *w, uint32_t nve, uint32_t vni, const struct mac *mac)
{
    uint64_t mine, theirs;
    char text[MAC_STR];
    if (!followed(w, vni, mac))
        return;
    struct place *p = place_of(w, nve, vni, mac, true);
    p->said = p->delivered = 1;
    if (!has_word(w, nve, vni, mac, &mine))
        return;
    for (uint32_t i = 0; i < w->sc->nves; i++)
        if (i != nve && has_word(w, i, vni, mac, &theirs) && mine == theirs)
            sim_fail(w, "P2",
                "nve=%u and nve=%u both have the authority's word for vni=%u mac=%s at "
                "epoch %llu",
                nve, i, vni, mac_str(mac, text), (unsigned long long)mine);
}

void
owners_said(struct world *w, uint32_t nve, uint32_t vni, const struct mac *mac)
{
    if (followed(w, vni, mac))
        place_of(w, nve, vni, mac, true)->said = 1;
}

void
owners_remote(struct world *w, uint32_t nve, uint32_t to, uint32_t vni,
    const struct mac *mac, bool relay)
{
    char text[MAC_STR];
    if (!followed(w, vni, mac) || w->sc->dp_fails)
        return;
    const struct place *p = place_of(w, to, vni, mac, false);
    if (!p || !(p->said || (relay && p->reserved)))
        sim_fail(w, "P3",
            "nve=%u: the data plane %s vni=%u mac=%s to nve=%u, which never had it%s",
            nve, relay ? "relays" : "sends", vni, mac_str(mac, text), to,
            relay ? " nor reserved a number" : "");
}
