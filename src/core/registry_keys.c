/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that an NVE has pulled: it is subscribed to what it asked for, found or not, and
 * told when that changes (K8). An NVE's subscriptions stand in the order of asking, and
 * the oldest makes room for a new one. */
#include "core/registry_int.h"

#include <string.h>

struct keysub_key {
    uint32_t vni;
    struct mac mac;
    uint8_t zero[2];
    struct ip ip;
};

static struct reg_keysub *
keysub_at(const struct registry *r, uint32_t h)
{
    return slab_at(&r->keysubs, h);
}

static struct keysub_key
keysub_key_of(uint32_t vni, const struct mac *mac, const struct ip *ip)
{
    struct keysub_key k = {.vni = vni};
    if (ip && !ip_is_none(ip))
        k.ip = *ip;
    else if (mac)
        k.mac = *mac;
    return k;
}

static void
keysub_dirty(struct registry *r, uint32_t h)
{
    struct reg_keysub *s = keysub_at(r, h);
    if (!s->dirty) {
        struct reg_nve *n = reg_nve(r, s->nve);
        s->dirty = 1;
        s->dnext = 0;
        if (n->dirty_tail)
            keysub_at(r, n->dirty_tail)->dnext = h;
        else
            n->dirty = h;
        n->dirty_tail = h;
    }
    reg_nve_ready(r, s->nve);
}

static void
keysub_free(struct registry *r, uint32_t h)
{
    struct reg_keysub *s = keysub_at(r, h);
    struct reg_nve *n = reg_nve(r, s->nve);
    struct keysub_key k = keysub_key_of(s->vni, &s->mac, &s->ip);
    if (s->dirty) {
        uint32_t prev = 0, at = n->dirty;
        while (at != h) {
            prev = at;
            at = keysub_at(r, at)->dnext;
        }
        if (prev)
            keysub_at(r, prev)->dnext = s->dnext;
        else
            n->dirty = s->dnext;
        if (n->dirty_tail == h)
            n->dirty_tail = prev;
    }
    if (s->next)
        keysub_at(r, s->next)->prev = s->prev;
    else
        n->key_subs_tail = s->prev;
    if (s->prev)
        keysub_at(r, s->prev)->next = s->next;
    else
        n->key_subs = s->next;
    n->n_key_subs--;
    map_del(&r->by_keysub, map_hash(&r->by_keysub, &k, sizeof k), h);
    slab_put(&r->keysubs, h);
}

/* The oldest subscription of the same NVE makes room: it is told to forget that key,
 * and asks again when it meets it. */
static void
keysub_evict(struct registry *r, uint32_t nve)
{
    struct reg_nve *n = reg_nve(r, nve);
    const struct reg_keysub *s = keysub_at(r, n->key_subs);
    const struct mac *mac = ip_is_none(&s->ip) ? &s->mac : NULL;
    uint32_t vn = reg_vn_find(r, s->vni), part = vn ? reg_part_find(r, vn, nve) : 0;
    struct mapping_rec rec;
    if (!(part && reg_part(r, part)->subscribed == REG_SUB_ALL) &&
        registry_peek(r, s->vni, mac, &s->ip, &rec, NULL) == REG_FOUND) {
        struct registry_out *o = reg_out(r, REG_NOTIFY, nve);
        o->del = 1;
        o->rec = rec;
        o->seq = reg_push_seq(r, nve, 0, 0);
    }
    keysub_free(r, n->key_subs);
    r->counters[REGC_EVICTED]++;
}

uint32_t
reg_key_sub(struct registry *r, uint32_t nve, uint32_t vni, const struct mac *mac,
    const struct ip *ip, bool owed)
{
    struct keysub_key k = keysub_key_of(vni, mac, ip);
    uint32_t hash = map_hash(&r->by_keysub, &k, sizeof k), n_same = 0;
    for (uint32_t h = map_find(&r->by_keysub, hash, &k); h;
         h = map_next(&r->by_keysub, hash, &k, h)) {
        if (keysub_at(r, h)->nve == nve) {
            keysub_at(r, h)->owed |= owed;
            return h;
        }
        n_same++;
    }
    if (n_same >= REG_KEY_SUBS)
        return 0;
    struct reg_nve *n = reg_nve(r, nve);
    if (r->keysubs.pool.n >= r->keysubs.pool.max) {
        if (!n->key_subs)
            return 0;
        keysub_evict(r, nve);
    }
    uint32_t h = slab_get(&r->keysubs);
    struct reg_keysub *s = keysub_at(r, h);
    s->vni = vni;
    s->nve = nve;
    s->mac = k.mac;
    s->ip = k.ip;
    s->owed = owed;
    s->prev = n->key_subs_tail;
    if (s->prev)
        keysub_at(r, s->prev)->next = h;
    else
        n->key_subs = h;
    n->key_subs_tail = h;
    n->n_key_subs++;
    map_add(&r->by_keysub, hash, h);
    return h;
}

void
reg_key_touch(
    struct registry *r, uint32_t vni, const struct mac *mac, const struct ip *ip)
{
    if (r->by_keysub.n == 0)
        return;
    struct keysub_key k = keysub_key_of(vni, mac, ip);
    uint32_t hash = map_hash(&r->by_keysub, &k, sizeof k);
    for (uint32_t h = map_find(&r->by_keysub, hash, &k); h;
         h = map_next(&r->by_keysub, hash, &k, h))
        keysub_dirty(r, h);
}

void
reg_ips_touch(struct registry *r, uint32_t ent)
{
    struct mapping_rec rec;
    if (r->by_keysub.n == 0)
        return;
    keytab_rec(&r->keys, ent, &rec);
    for (uint32_t i = 0; i < rec.n_ips; i++)
        reg_key_touch(r, rec.vni, NULL, &rec.ips[i]);
}

void
reg_key_opened(struct registry *r, uint32_t ent)
{
    const struct key_head *key = &reg_ent(r, ent)->key;
    struct keysub_key k = keysub_key_of(key->vni, &key->mac, NULL);
    uint32_t hash = map_hash(&r->by_keysub, &k, sizeof k);
    for (uint32_t h = map_find(&r->by_keysub, hash, &k); h;
         h = map_next(&r->by_keysub, hash, &k, h)) {
        if (!keysub_at(r, h)->first)
            keysub_dirty(r, h);
        keysub_at(r, h)->first = 0;
    }
    reg_ips_touch(r, ent);
}

void
reg_key_owed(struct registry *r)
{
    for (uint32_t it = 0, h; (h = slab_each(&r->keysubs, &it));)
        if (keysub_at(r, h)->owed)
            keysub_dirty(r, h);
}

/* The list as a whole: taking one by one out of it would be quadratic. */
void
reg_keys_quiet(struct registry *r, uint32_t nve)
{
    struct reg_nve *n = reg_nve(r, nve);
    for (uint32_t h = n->dirty; h; h = keysub_at(r, h)->dnext)
        keysub_at(r, h)->dirty = 0;
    n->dirty = n->dirty_tail = 0;
    while (n->key_subs)
        keysub_free(r, n->key_subs);
}

/* Behind a shut gate nobody but who had the key hears of it; the gate tells the others
 * when it opens. */
bool
reg_key_push(struct registry *r, uint32_t nve, struct registry_out *o)
{
    struct reg_nve *n = reg_nve(r, nve);
    struct reg_keysub *s;
    const struct mac *mac;
    uint32_t h, gate;
    do {
        if (!(h = n->dirty))
            return false;
        s = keysub_at(r, h);
        n->dirty = s->dnext;
        if (!n->dirty)
            n->dirty_tail = 0;
        s->dirty = 0;
        mac = ip_is_none(&s->ip) ? &s->mac : NULL;
        gate = reg_gate_find(r, mac ? keytab_find(&r->keys, s->vni, mac)
                                    : keytab_holder(&r->keys, s->vni, &s->ip));
    } while (gate && !s->first);
    s->owed = 0;
    *o = (struct registry_out){.nve = nve};
    if (registry_peek(r, s->vni, mac, &s->ip, &o->rec, NULL) == REG_FOUND) {
        o->type = REG_NOTIFY;
    } else {
        o->type = REG_NEGATIVE;
        o->rec = (struct mapping_rec){.vni = s->vni, .mac = s->mac};
        o->rec.ips[0] = s->ip;
        o->rec.n_ips = ip_is_none(&s->ip) ? 0 : 1;
        o->hold_us = r->conf.negative_us;
    }
    o->seq = reg_push_seq(r, nve, 0, gate);
    reg_gate_sent(r, gate, nve, o->seq);
    r->counters[REGC_NOTIFIES]++;
    return true;
}
