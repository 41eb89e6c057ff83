/* SPDX-License-Identifier: Apache-2.0 */
/* Who asked where whom (S4-13): a table of fixed size, of which the least recent row makes
 * room for a new one. */
#include "core/registry_int.h"
#include <string.h>

struct talk_key {
    uint32_t vni;
    struct mac dst_mac;
    uint8_t zero[2];
    struct ip asker, src, dst;
};

static struct reg_talk *
talk_at(const struct registry *r, uint32_t h)
{
    return slab_at(&r->talks, h);
}

static bool
talk_eq(const void *ctx, uint32_t h, const void *key)
{
    const struct registry *r = ctx;
    const struct reg_talk *t = slab_at(&r->talks, h);
    const struct talk_key *k = key;
    return t->vni == k->vni && mac_equal(&t->dst_mac, &k->dst_mac) &&
           ip_equal(&t->asker, &k->asker) && ip_equal(&t->src, &k->src) &&
           ip_equal(&t->dst, &k->dst);
}

void
reg_talks_open(struct registry *r)
{
    slab_init(&r->talks, sizeof(struct reg_talk), r->conf.max_talkers);
    map_init(&r->by_talk, talk_eq, r, r->conf.seed + 8);
}

static void
talk_unlink(struct registry *r, uint32_t h)
{
    struct reg_talk *t = talk_at(r, h);
    if (t->next)
        talk_at(r, t->next)->prev = t->prev;
    else
        r->talk_tail = t->prev;
    if (t->prev)
        talk_at(r, t->prev)->next = t->next;
    else
        r->talk_head = t->next;
}

static struct talk_key
talk_key_of(uint32_t vni, const struct ip *asker, const struct ip *src,
    const struct ip *dst, const struct mac *dst_mac)
{
    struct talk_key k = {.vni = vni, .asker = *asker};
    if (src)
        k.src = *src;
    if (dst)
        k.dst = *dst;
    if (dst_mac)
        k.dst_mac = *dst_mac;
    return k;
}

void
registry_talk(struct registry *r, uint32_t vni, const struct ip *asker,
    const struct ip *src, const struct ip *dst, const struct mac *dst_mac,
    uint64_t now_us)
{
    struct talk_key k = talk_key_of(vni, asker, src, dst, dst_mac);
    uint32_t hash = map_hash(&r->by_talk, &k, sizeof k);
    uint32_t h = map_find(&r->by_talk, hash, &k);
    if (h) {
        talk_unlink(r, h);
    } else {
        if (r->talks.pool.n >= r->talks.pool.max) {
            uint32_t old = r->talk_head;
            const struct reg_talk *t = talk_at(r, old);
            struct talk_key ok =
                talk_key_of(t->vni, &t->asker, &t->src, &t->dst, &t->dst_mac);
            talk_unlink(r, old);
            map_del(&r->by_talk, map_hash(&r->by_talk, &ok, sizeof ok), old);
            slab_put(&r->talks, old);
            r->counters[REGC_EVICTED]++;
        }
        h = slab_get(&r->talks);
        struct reg_talk *t = talk_at(r, h);
        t->vni = vni;
        t->asker = k.asker;
        t->src = k.src;
        t->dst = k.dst;
        t->dst_mac = k.dst_mac;
        map_add(&r->by_talk, hash, h);
    }
    struct reg_talk *t = talk_at(r, h);
    t->count++;
    t->last_us = now_us;
    t->next = 0;
    t->prev = r->talk_tail;
    if (t->prev)
        talk_at(r, t->prev)->next = h;
    else
        r->talk_head = h;
    r->talk_tail = h;
}

bool
registry_each_talk(const struct registry *r, uint32_t *it, struct registry_talk_view *v)
{
    uint32_t h = slab_each(&r->talks, it);
    if (!h)
        return false;
    const struct reg_talk *t = talk_at(r, h);
    *v = (struct registry_talk_view){
        .vni = t->vni,
        .asker = t->asker,
        .src = t->src,
        .dst = t->dst,
        .dst_mac = t->dst_mac,
        .count = t->count,
        .last_us = t->last_us,
    };
    return true;
}
